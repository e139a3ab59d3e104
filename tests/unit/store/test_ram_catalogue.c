/* SPDX-License-Identifier: Apache-2.0 */
/* unit/store/test_ram_catalogue.c – the catalogue's twin in memory keeps the door's contract. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "store/ram.h"

static struct catalogue *fresh(void)
{
    return ram_catalogue_new(&(struct ram_options){0});
}

static void a_write_changes_the_version_and_the_old_one_conflicts(void **state)
{
    (void)state;
    struct catalogue *c = fresh();
    uint64_t first = 0;
    uint64_t second = 0;
    assert_int_equal(catalogue_swap(c, "a", CATALOGUE_ABSENT, "1", 1, &first).code, ALB_OK);
    assert_int_not_equal(first, 0);
    assert_int_equal(catalogue_swap(c, "a", CATALOGUE_ABSENT, "2", 1, NULL).code, ALB_CONFLICT);
    assert_int_equal(catalogue_swap(c, "a", first, "22", 2, &second).code, ALB_OK);
    assert_int_not_equal(second, first);
    assert_int_equal(catalogue_swap(c, "a", first, "3", 1, NULL).code, ALB_CONFLICT);
    assert_int_equal(catalogue_swap(c, "a", CATALOGUE_ANY, "", 0, NULL).code, ALB_OK);
    assert_int_equal(catalogue_swap(c, "b", first, "3", 1, NULL).code, ALB_CONFLICT);
    catalogue_close(c);
    catalogue_close(NULL);
}

static void a_record_made_again_never_has_an_old_version(void **state)
{
    (void)state;
    struct catalogue *c = fresh();
    uint64_t old = 0;
    uint64_t gone = 7;
    uint64_t again = 0;
    assert_int_equal(catalogue_swap(c, "a", CATALOGUE_ANY, "1", 1, &old).code, ALB_OK);
    assert_int_equal(catalogue_swap(c, "a", old, NULL, 0, &gone).code, ALB_OK);
    assert_int_equal(gone, CATALOGUE_ABSENT);
    assert_int_equal(catalogue_swap(c, "a", CATALOGUE_ANY, NULL, 0, NULL).code, ALB_OK);
    assert_int_equal(catalogue_swap(c, "a", CATALOGUE_ABSENT, "1", 1, &again).code, ALB_OK);
    assert_int_not_equal(again, old);
    catalogue_close(c);
}

static void get_appends_the_value_or_says_why_not(void **state)
{
    (void)state;
    struct catalogue *c = fresh();
    struct buf out;
    uint64_t version = 0;
    uint64_t written = 0;
    buf_init(&out, 10);
    assert_int_equal(buf_append(&out, "<", 1).code, ALB_OK);
    assert_int_equal(catalogue_get(c, "x", &out, &version).code, ALB_NOT_FOUND);
    assert_int_equal(catalogue_swap(c, "x", CATALOGUE_ANY, "v\0w", 3, &written).code, ALB_OK);
    assert_int_equal(catalogue_get(c, "x", &out, &version).code, ALB_OK);
    assert_int_equal(version, written);
    assert_int_equal(buf_size(&out), 4);
    assert_memory_equal(buf_peek(&out), "<v\0w", 4);
    assert_int_equal(catalogue_swap(c, "x", CATALOGUE_ANY, "0123456789", 10, NULL).code, ALB_OK);
    assert_int_equal(catalogue_get(c, "x", &out, NULL).code, ALB_FULL);
    buf_release(&out);
    catalogue_close(c);
}

static void names_and_values_have_bounds(void **state)
{
    (void)state;
    struct catalogue *c = fresh();
    char name[CATALOGUE_NAME_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[CATALOGUE_NAME_MAX + 1] = '\0';
    AUTO_FREE void *large = xalloc(CATALOGUE_VALUE_MAX + 1);
    assert_int_equal(catalogue_swap(c, name, 0, "", 0, NULL).code, ALB_INVALID);
    assert_int_equal(catalogue_swap(c, "", 0, "", 0, NULL).code, ALB_INVALID);
    assert_int_equal(catalogue_swap(c, "a", 0, large, CATALOGUE_VALUE_MAX + 1, NULL).code,
                     ALB_INVALID);
    name[CATALOGUE_NAME_MAX] = '\0';
    assert_int_equal(catalogue_swap(c, name, 0, large, CATALOGUE_VALUE_MAX, NULL).code, ALB_OK);
    catalogue_close(c);
}

struct seen {
    struct catalogue *catalogue;
    char names[64];
    size_t stop_after;
    size_t count;
};

static bool note(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    struct seen *s = arg;
    assert_int_equal(size, 1);
    assert_int_equal(*(const char *)value, name[strlen(name) - 1]);
    assert_int_not_equal(version, 0);
    strncat(s->names, name, sizeof(s->names) - strlen(s->names) - 1);
    strncat(s->names, " ", sizeof(s->names) - strlen(s->names) - 1);
    /* A visitor may write: what it removes is the record it was shown. */
    assert_int_equal(catalogue_swap(s->catalogue, name, version, NULL, 0, NULL).code, ALB_OK);
    return ++s->count != s->stop_after;
}

static void listing_is_by_prefix_and_in_order(void **state)
{
    (void)state;
    struct catalogue *c = fresh();
    static const char *const names[] = {"h/c", "h/a", "g", "h/b", "i", "h", "h/d"};
    for (size_t i = 0; i < ALB_COUNT(names); i++) {
        const char *last = names[i] + strlen(names[i]) - 1;
        assert_int_equal(catalogue_swap(c, names[i], 0, last, 1, NULL).code, ALB_OK);
    }
    struct seen two = {.catalogue = c, .stop_after = 2};
    assert_int_equal(catalogue_list(c, "h/", note, &two).code, ALB_OK);
    assert_string_equal(two.names, "h/a h/b ");
    struct seen rest = {.catalogue = c};
    assert_int_equal(catalogue_list(c, "h/", note, &rest).code, ALB_OK);
    assert_string_equal(rest.names, "h/c h/d ");
    struct seen all = {.catalogue = c};
    assert_int_equal(catalogue_list(c, "", note, &all).code, ALB_OK);
    assert_string_equal(all.names, "g h i ");
    catalogue_close(c);
}

static void the_quota_and_unknown_are_answers(void **state)
{
    (void)state;
    struct catalogue *c = ram_catalogue_new(&(struct ram_options){.quota_bytes = 10});
    assert_int_equal(catalogue_swap(c, "a", 0, "12345678", 8, NULL).code, ALB_OK);
    assert_int_equal(catalogue_swap(c, "b", 0, "1", 1, NULL).code, ALB_FULL);
    assert_int_equal(catalogue_swap(c, "a", CATALOGUE_ANY, "123456789", 9, NULL).code, ALB_OK);
    catalogue_close(c);

    c = ram_catalogue_new(&(struct ram_options){.seed = 1, .unknown_per_mille = 1000});
    unsigned effective = 0;
    for (unsigned i = 0; i < 100; i++) {
        char name[2] = {(char)(1 + i), '\0'};
        struct buf out;
        buf_init(&out, 10);
        assert_int_equal(catalogue_swap(c, name, 0, "1", 1, NULL).code, ALB_UNKNOWN);
        effective += catalogue_get(c, name, &out, NULL).code == ALB_OK;
        buf_release(&out);
    }
    assert_in_range(effective, 25, 75);
    catalogue_close(c);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_changes_the_version_and_the_old_one_conflicts),
        cmocka_unit_test(a_record_made_again_never_has_an_old_version),
        cmocka_unit_test(get_appends_the_value_or_says_why_not),
        cmocka_unit_test(names_and_values_have_bounds),
        cmocka_unit_test(listing_is_by_prefix_and_in_order),
        cmocka_unit_test(the_quota_and_unknown_are_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
