/* SPDX-License-Identifier: Apache-2.0 */
/* unit/store_disk/test_disk_catalogue.c – the catalogue on disk: its contract, reopening,
 * damage. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "store/disk/rocks.h"
#include "store/disk/segment_store.h"
#include "support/tmpdir.h"

struct fixture {
    struct tmpdir *tmp;
    char *dir;
    struct catalogue *catalogue;
};

static void reopen(struct fixture *f)
{
    catalogue_close(f->catalogue);
    f->catalogue = NULL;
    assert_int_equal(disk_catalogue_open(f->dir, &f->catalogue).code, ALB_OK);
}

static int set_up(void **state)
{
    struct fixture *f = xalloc(sizeof(*f));
    f->tmp = tmpdir_open();
    f->dir = tmpdir_path(f->tmp, "catalogue");
    *state = f;
    reopen(f);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    catalogue_close(f->catalogue);
    tmpdir_close(f->tmp);
    free(f->dir);
    free(f);
    return 0;
}

static enum alb_code swap(struct fixture *f, const char *name, uint64_t expected, const char *value,
                          uint64_t *version)
{
    size_t size = value != NULL ? strlen(value) : 0;
    return catalogue_swap(f->catalogue, name, expected, value, size, version).code;
}

static void assert_value(struct fixture *f, const char *name, const char *value, uint64_t version)
{
    struct buf out;
    uint64_t found = 0;
    buf_init(&out, 1000);
    assert_int_equal(catalogue_get(f->catalogue, name, &out, &found).code, ALB_OK);
    assert_string_equal(buf_text(&out), value);
    assert_int_equal(found, version);
    buf_release(&out);
}

static void a_write_changes_the_version_and_lasts(void **state)
{
    struct fixture *f = *state;
    uint64_t first = 0;
    uint64_t second = 0;
    assert_int_equal(swap(f, "head/a", CATALOGUE_ABSENT, "one", &first), ALB_OK);
    assert_int_not_equal(first, 0);
    assert_int_equal(swap(f, "head/a", CATALOGUE_ABSENT, "two", NULL), ALB_CONFLICT);
    assert_int_equal(swap(f, "head/b", first, "two", NULL), ALB_CONFLICT);
    reopen(f);
    assert_value(f, "head/a", "one", first);
    assert_int_equal(swap(f, "head/a", first, "two", &second), ALB_OK);
    assert_int_not_equal(second, first);
    assert_int_equal(swap(f, "head/a", first, "three", NULL), ALB_CONFLICT);
    assert_value(f, "head/a", "two", second);
    assert_int_equal(swap(f, "head/a", CATALOGUE_ANY, "", &second), ALB_OK);
    assert_value(f, "head/a", "", second);
}

static void a_record_made_again_never_has_an_old_version(void **state)
{
    struct fixture *f = *state;
    struct buf out;
    uint64_t old = 0;
    uint64_t gone = 7;
    uint64_t again = 0;
    assert_int_equal(swap(f, "a", CATALOGUE_ANY, "1", &old), ALB_OK);
    assert_int_equal(swap(f, "a", old, NULL, &gone), ALB_OK);
    assert_int_equal(gone, CATALOGUE_ABSENT);
    assert_int_equal(swap(f, "a", CATALOGUE_ANY, NULL, NULL), ALB_OK);
    reopen(f);
    buf_init(&out, 10);
    assert_int_equal(catalogue_get(f->catalogue, "a", &out, NULL).code, ALB_NOT_FOUND);
    buf_release(&out);
    assert_int_equal(swap(f, "a", CATALOGUE_ABSENT, "1", &again), ALB_OK);
    assert_true(again > old);
}

static void names_and_values_have_bounds(void **state)
{
    struct fixture *f = *state;
    char name[CATALOGUE_NAME_MAX + 2];
    struct buf out;
    memset(name, 0xff, sizeof(name));
    name[CATALOGUE_NAME_MAX + 1] = '\0';
    AUTO_FREE void *large = xalloc(CATALOGUE_VALUE_MAX + 1);
    buf_init(&out, 10);
    assert_int_equal(swap(f, name, 0, "", NULL), ALB_INVALID);
    assert_int_equal(swap(f, "", 0, "", NULL), ALB_INVALID);
    assert_int_equal(catalogue_get(f->catalogue, name, &out, NULL).code, ALB_INVALID);
    assert_int_equal(
        catalogue_swap(f->catalogue, "a", 0, large, CATALOGUE_VALUE_MAX + 1, NULL).code,
        ALB_INVALID);
    name[CATALOGUE_NAME_MAX] = '\0';
    assert_int_equal(catalogue_swap(f->catalogue, name, 0, large, CATALOGUE_VALUE_MAX, NULL).code,
                     ALB_OK);
    assert_int_equal(catalogue_get(f->catalogue, name, &out, NULL).code, ALB_FULL);
    buf_release(&out);
}

struct seen {
    char names[64];
    size_t stop_after;
    size_t count;
};

static bool note(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    struct seen *s = arg;
    assert_int_equal(size, 1);
    assert_int_equal(*(const char *)value, 'v');
    assert_int_not_equal(version, 0);
    strncat(s->names, name, sizeof(s->names) - strlen(s->names) - 1);
    strncat(s->names, " ", sizeof(s->names) - strlen(s->names) - 1);
    return ++s->count != s->stop_after;
}

static void listing_is_by_prefix_and_in_order(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"h/c", "h/a", "g", "h/b", "i", "h", "h/d"};
    for (size_t i = 0; i < ALB_COUNT(names); i++)
        assert_int_equal(swap(f, names[i], CATALOGUE_ABSENT, "v", NULL), ALB_OK);
    struct seen two = {.stop_after = 2};
    assert_int_equal(catalogue_list(f->catalogue, "h/", note, &two).code, ALB_OK);
    assert_string_equal(two.names, "h/a h/b ");
    struct seen all = {.count = 0};
    assert_int_equal(catalogue_list(f->catalogue, "", note, &all).code, ALB_OK);
    assert_string_equal(all.names, "g h h/a h/b h/c h/d i ");
    struct seen none = {.count = 0};
    assert_int_equal(catalogue_list(f->catalogue, "h/e", note, &none).code, ALB_OK);
    assert_string_equal(none.names, "");
    char prefix[CATALOGUE_NAME_MAX + 2];
    memset(prefix, 'h', sizeof(prefix) - 1);
    prefix[sizeof(prefix) - 1] = '\0';
    assert_int_equal(catalogue_list(f->catalogue, prefix, note, &none).code, ALB_OK);
    assert_int_equal(none.count, 0);
}

static void *count_up(void *arg)
{
    struct fixture *f = arg;
    for (unsigned done = 0; done < 50;) {
        struct buf out;
        uint64_t version = CATALOGUE_ABSENT;
        unsigned number = 0;
        buf_init(&out, 100);
        if (catalogue_get(f->catalogue, "n", &out, &version).code == ALB_OK)
            number = (unsigned)strtoul(buf_text(&out), NULL, 10);
        buf_release(&out);
        AUTO_FREE char *next = xasprintf("%u", number + 1);
        enum alb_code code = swap(f, "n", version, next, NULL);
        if (code != ALB_OK && code != ALB_CONFLICT)
            return arg;
        done += code == ALB_OK;
    }
    return NULL;
}

static void swaps_of_several_workers_lose_nothing(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[4];
    for (size_t i = 0; i < ALB_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, f), 0);
    for (size_t i = 0; i < ALB_COUNT(threads); i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    struct buf out;
    buf_init(&out, 100);
    assert_int_equal(catalogue_get(f->catalogue, "n", &out, NULL).code, ALB_OK);
    assert_string_equal(buf_text(&out), "200");
    buf_release(&out);
}

static void it_opens_once_and_only_what_it_knows(void **state)
{
    struct fixture *f = *state;
    struct catalogue *second;
    assert_int_equal(disk_catalogue_open(f->dir, &second).code, ALB_CONFLICT);
    AUTO_FREE char *nowhere = tmpdir_path(f->tmp, "file/catalogue");
    tmpdir_write(f->tmp, "file", "", 0);
    assert_int_equal(disk_catalogue_open(nowhere, &second).code, ALB_IO);

    catalogue_close(f->catalogue);
    f->catalogue = NULL;
    struct rocks *db;
    struct rocks_tuning tuning = {1 << 20, 1 << 20};
    struct rocks_batch *b = rocks_batch_new();
    assert_int_equal(rocks_open(f->dir, &tuning, &db).code, ALB_OK);
    rocks_batch_put(b, "mformat", 7, "albedo catalogue 2", 18);
    assert_int_equal(rocks_write(db, b, true).code, ALB_OK);
    rocks_batch_free(b);
    rocks_close(db);
    struct alb_status st = disk_catalogue_open(f->dir, &second);
    assert_int_equal(st.code, ALB_INVALID);
    assert_non_null(strstr(st.what, "format"));
}

static void damage_is_told_and_nothing_is_begun_anew(void **state)
{
    struct fixture *f = *state;
    struct catalogue *again;
    assert_int_equal(swap(f, "a", CATALOGUE_ABSENT, "1", NULL), ALB_OK);
    catalogue_close(f->catalogue);
    f->catalogue = NULL;
    AUTO_FREE char *hide = xasprintf("mv '%s/CURRENT' '%s/aside'", f->dir, f->dir);
    AUTO_FREE char *back = xasprintf("mv '%s/aside' '%s/CURRENT'", f->dir, f->dir);
    AUTO_FREE char *spoil = xasprintf("for m in '%s'/MANIFEST-*; do echo x > \"$m\"; done", f->dir);
    assert_int_equal(system(hide), 0);
    assert_int_equal(disk_catalogue_open(f->dir, &again).code, ALB_CORRUPT);
    assert_int_equal(system(back), 0);
    reopen(f);
    catalogue_close(f->catalogue);
    f->catalogue = NULL;
    assert_int_equal(system(spoil), 0);
    assert_int_equal(disk_catalogue_open(f->dir, &again).code, ALB_CORRUPT);
}

static void a_failed_write_is_unknown(void **state)
{
    struct fixture *f = *state;
#ifdef ALB_FAULT
    uint64_t version = 0;
    fault_arm("rocks.write", 0);
    assert_int_equal(swap(f, "a", CATALOGUE_ABSENT, "1", &version), ALB_UNKNOWN);
    assert_int_equal(version, 0);
    fault_arm("rocks.read", 0);
    assert_int_equal(swap(f, "a", CATALOGUE_ABSENT, "1", &version), ALB_IO);
    fault_disarm();
    assert_int_equal(swap(f, "a", CATALOGUE_ABSENT, "1", &version), ALB_OK);
#else
    (void)f;
    skip();
#endif
}

static bool no_visit(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    (void)name;
    (void)value;
    (void)size;
    (void)version;
    (*(unsigned *)arg)++;
    return true;
}

/* A limit on the size of files is a full disk that a test can have and give back. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_disk_that_was_full_is_written_to_again(void **state)
{
    struct fixture *f = *state;
    char value[4001] = {0};
    unsigned records = 0;
    unsigned listed = 0;
    memset(value, 'v', sizeof(value) - 1);
    (void)signal(SIGXFSZ, SIG_IGN);
    limit_files(256 << 10);
    for (enum alb_code code = ALB_OK; code == ALB_OK;) {
        AUTO_FREE char *name = xasprintf("r%04u", records);
        code = swap(f, name, CATALOGUE_ABSENT, value, NULL);
        assert_true(code == ALB_OK || code == ALB_UNKNOWN);
        records += code == ALB_OK;
        assert_true(records < 1000);
    }
    assert_int_equal(swap(f, "more", CATALOGUE_ANY, "1", NULL), ALB_UNKNOWN);
    assert_int_equal(catalogue_list(f->catalogue, "r", no_visit, &listed).code, ALB_OK);
    assert_int_equal(listed, records);
    limit_files(RLIM_INFINITY);
    assert_int_equal(swap(f, "more", CATALOGUE_ANY, "1", NULL), ALB_OK);
    reopen(f);
    for (unsigned i = 0; i < records; i++) {
        struct buf out;
        AUTO_FREE char *name = xasprintf("r%04u", i);
        buf_init(&out, sizeof(value));
        assert_int_equal(catalogue_get(f->catalogue, name, &out, NULL).code, ALB_OK);
        assert_int_equal(buf_size(&out), sizeof(value) - 1);
        buf_release(&out);
    }
}

#define CATALOGUE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CATALOGUE_TEST(a_write_changes_the_version_and_lasts),
        CATALOGUE_TEST(a_record_made_again_never_has_an_old_version),
        CATALOGUE_TEST(names_and_values_have_bounds),
        CATALOGUE_TEST(listing_is_by_prefix_and_in_order),
        CATALOGUE_TEST(swaps_of_several_workers_lose_nothing),
        CATALOGUE_TEST(it_opens_once_and_only_what_it_knows),
        CATALOGUE_TEST(damage_is_told_and_nothing_is_begun_anew),
        CATALOGUE_TEST(a_failed_write_is_unknown),
        CATALOGUE_TEST(a_disk_that_was_full_is_written_to_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
