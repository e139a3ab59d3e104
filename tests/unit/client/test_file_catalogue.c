/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_file_catalogue.c – records as plain files keep the catalogue's contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "client/file_catalogue.h"
#include "support/tmpdir.h"

struct fixture {
    struct tmpdir *dir;
    char *path;
    struct catalogue *c;
};

static int set_up(void **state)
{
    struct fixture *f = xalloc(sizeof *f);

    f->dir = tmpdir_open();
    f->path = tmpdir_path(f->dir, "catalogue");
    assert_int_equal(file_catalogue_open(f->path, &f->c).code, ALB_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    catalogue_close(f->c);
    free(f->path);
    tmpdir_close(f->dir);
    free(f);
    return 0;
}

static struct alb_status put(struct catalogue *c, const char *name, uint64_t expected,
                             const char *value, uint64_t *version)
{
    return catalogue_swap(c, name, expected, value, value == NULL ? 0 : strlen(value), version);
}

static void assert_holds(struct catalogue *c, const char *name, const char *value)
{
    struct buf out;

    buf_init(&out, 1000);
    assert_int_equal(catalogue_get(c, name, &out, NULL).code, ALB_OK);
    assert_string_equal(buf_text(&out), value);
    buf_release(&out);
}

static void a_write_changes_the_version_and_the_old_one_conflicts(void **state)
{
    struct catalogue *c = ((struct fixture *)*state)->c;
    uint64_t first = 0, second = 0;

    assert_int_equal(put(c, "a", CATALOGUE_ABSENT, "1", &first).code, ALB_OK);
    assert_int_equal(put(c, "a", CATALOGUE_ABSENT, "2", NULL).code, ALB_CONFLICT);
    assert_int_equal(put(c, "a", first, "22", &second).code, ALB_OK);
    assert_int_not_equal(first, second);
    assert_int_equal(put(c, "a", first, "3", NULL).code, ALB_CONFLICT);
    assert_int_equal(put(c, "b", first, "3", NULL).code, ALB_CONFLICT);
    assert_int_equal(put(c, "a", CATALOGUE_ANY, "", NULL).code, ALB_OK);
    assert_holds(c, "a", "");
}

static void a_removed_record_is_gone_and_never_has_its_old_version(void **state)
{
    struct catalogue *c = ((struct fixture *)*state)->c;
    uint64_t old = 0, gone = 7, again = 0;
    struct buf out;

    assert_int_equal(put(c, "a", CATALOGUE_ANY, "1", &old).code, ALB_OK);
    assert_int_equal(put(c, "a", old, NULL, &gone).code, ALB_OK);
    assert_int_equal(gone, CATALOGUE_ABSENT);
    assert_int_equal(put(c, "a", CATALOGUE_ANY, NULL, NULL).code, ALB_OK);
    buf_init(&out, 10);
    assert_int_equal(catalogue_get(c, "a", &out, NULL).code, ALB_NOT_FOUND);
    buf_release(&out);
    assert_int_equal(put(c, "a", CATALOGUE_ABSENT, "1", &again).code, ALB_OK);
    assert_int_not_equal(again, old);
}

static void names_of_any_bytes_stay_apart_and_inside(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"head/a/b", "head%2Fa%2Fb", "head/a",   "..", ".", ".lock",
                                        "../x",     "a b\n",        "\xc3\xa4", "A",  "a"};
    char longest[CATALOGUE_NAME_MAX + 1], other[CATALOGUE_NAME_MAX + 1];

    memset(longest, '/', CATALOGUE_NAME_MAX);
    longest[CATALOGUE_NAME_MAX] = '\0';
    memcpy(other, longest, sizeof other);
    other[CATALOGUE_NAME_MAX - 1] = 'x';
    for (size_t i = 0; i < ALB_COUNT(names); i++)
        assert_int_equal(put(f->c, names[i], CATALOGUE_ABSENT, names[i], NULL).code, ALB_OK);
    assert_int_equal(put(f->c, longest, CATALOGUE_ABSENT, "long", NULL).code, ALB_OK);
    assert_int_equal(put(f->c, other, CATALOGUE_ABSENT, "other", NULL).code, ALB_OK);
    for (size_t i = 0; i < ALB_COUNT(names); i++)
        assert_holds(f->c, names[i], names[i]);
    assert_holds(f->c, longest, "long");
    assert_holds(f->c, other, "other");
    AUTO_FREE char *outside = tmpdir_path(f->dir, "x");
    assert_int_equal(access(outside, F_OK), -1);
}

static void what_was_written_is_there_after_opening_again(void **state)
{
    struct fixture *f = *state;
    uint64_t before = 0, after = 0;
    struct buf out;

    assert_int_equal(put(f->c, "trust/1", CATALOGUE_ANY, "signed", &before).code, ALB_OK);
    catalogue_close(f->c);
    assert_int_equal(file_catalogue_open(f->path, &f->c).code, ALB_OK);
    buf_init(&out, 10);
    assert_int_equal(catalogue_get(f->c, "trust/1", &out, &after).code, ALB_OK);
    assert_int_equal(before, after);
    buf_release(&out);
}

static bool append_name(void *arg, const char *name, const void *value, size_t size,
                        uint64_t version)
{
    char *text = arg;
    size_t length = strlen(text);

    assert_int_not_equal(version, 0);
    snprintf(text + length, 200 - length, "%s=%.*s;", name, (int)size, (const char *)value);
    return strcmp(name, "head/c") != 0;
}

static void a_listing_is_in_name_order_and_stops_when_told(void **state)
{
    struct catalogue *c = ((struct fixture *)*state)->c;
    static const char *const names[] = {"head/c", "head/a", "heap", "head/d", "head/b"};
    char text[200] = "";

    for (size_t i = 0; i < ALB_COUNT(names); i++)
        assert_int_equal(put(c, names[i], CATALOGUE_ANY, "v", NULL).code, ALB_OK);
    assert_int_equal(catalogue_list(c, "head/", append_name, text).code, ALB_OK);
    assert_string_equal(text, "head/a=v;head/b=v;head/c=v;");
    text[0] = '\0';
    assert_int_equal(catalogue_list(c, "nothing", append_name, text).code, ALB_OK);
    assert_string_equal(text, "");
}

static void a_file_that_is_no_record_is_called_corrupt(void **state)
{
    struct fixture *f = *state;
    static const char cut[] = "albedo record 1\nshort";
    struct buf out;
    char text[200] = "";

    buf_init(&out, 100);
    tmpdir_write(f->dir, "catalogue/a", "rubbish", 7);
    assert_int_equal(catalogue_get(f->c, "a", &out, NULL).code, ALB_CORRUPT);
    assert_int_equal(put(f->c, "a", CATALOGUE_ABSENT, "1", NULL).code, ALB_CORRUPT);
    assert_int_equal(catalogue_list(f->c, "", append_name, text).code, ALB_CORRUPT);
    assert_int_equal(put(f->c, "a", CATALOGUE_ANY, "1", NULL).code, ALB_OK);
    assert_holds(f->c, "a", "1");
    tmpdir_write(f->dir, "catalogue/b", cut, sizeof cut - 1);
    assert_int_equal(catalogue_get(f->c, "b", &out, NULL).code, ALB_CORRUPT);
    buf_release(&out);
}

static void files_left_by_a_process_that_died_are_not_records(void **state)
{
    struct fixture *f = *state;
    char text[200] = "";

    tmpdir_write(f->dir, "catalogue/.a.tmp-0011", "half", 4);
    assert_int_equal(catalogue_list(f->c, "", append_name, text).code, ALB_OK);
    assert_string_equal(text, "");
}

static void names_and_values_have_bounds(void **state)
{
    struct catalogue *c = ((struct fixture *)*state)->c;
    char name[CATALOGUE_NAME_MAX + 2];
    AUTO_FREE char *large = xalloc(CATALOGUE_VALUE_MAX + 1);

    memset(name, 'n', sizeof name);
    name[CATALOGUE_NAME_MAX + 1] = '\0';
    assert_int_equal(put(c, name, CATALOGUE_ANY, "1", NULL).code, ALB_INVALID);
    assert_int_equal(put(c, "", CATALOGUE_ANY, "1", NULL).code, ALB_INVALID);
    assert_int_equal(catalogue_swap(c, "a", CATALOGUE_ANY, large, CATALOGUE_VALUE_MAX, NULL).code,
                     ALB_OK);
    assert_int_equal(
        catalogue_swap(c, "a", CATALOGUE_ANY, large, CATALOGUE_VALUE_MAX + 1, NULL).code,
        ALB_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_write_changes_the_version_and_the_old_one_conflicts,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_removed_record_is_gone_and_never_has_its_old_version,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_of_any_bytes_stay_apart_and_inside, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_written_is_there_after_opening_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_listing_is_in_name_order_and_stops_when_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_record_is_called_corrupt, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(files_left_by_a_process_that_died_are_not_records, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(names_and_values_have_bounds, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
