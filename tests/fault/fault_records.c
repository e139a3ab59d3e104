/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_records.c – a catalogue of either kind: what a write said it did stays, whatever
 * fails. */
/* LINKS: sysfault client store_disk config image net shaper transfer store wire chunk base */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "client/file_catalogue.h"
#include "store/disk/segment_store.h"
#include "support/sysfault.h"
#include "support/tmpdir.h"

#ifdef ALB_FAULT

enum { RECORDS = 4 };

/* What a record may be: `sure` was acknowledged; `maybe` was refused after that, or nobody knows.
 * NULL: not there. */
struct expect {
    const char *sure, *maybe;
};

struct world {
    struct alb_status (*open)(const char *dir, struct catalogue **out);
    enum sysfault kind;
    struct tmpdir *tmp;
    char *dir;
    struct catalogue *catalogue; /* NULL while it could not be opened */
    struct expect expect[RECORDS];
    unsigned failures;
};

static const char *const NAMES[RECORDS] = {"head/base/os", "trust/1", "grant", "record/a@1"};

static void try_open(struct world *w)
{
    if (w->catalogue == NULL && alb_failed(w->open(w->dir, &w->catalogue))) {
        w->catalogue = NULL;
        w->failures++;
    }
}

static void try_close(struct world *w)
{
    catalogue_close(w->catalogue);
    w->catalogue = NULL;
}

static void try_swap(struct world *w, unsigned n, const char *value)
{
    struct expect *e = &w->expect[n];

    if (w->catalogue == NULL)
        return;
    if (alb_failed(catalogue_swap(w->catalogue, NAMES[n], CATALOGUE_ANY, value,
                                  value == NULL ? 0 : strlen(value), NULL))) {
        w->failures++;
        e->maybe = value;
        return;
    }
    *e = (struct expect){value, value};
}

static bool is(const char *found, const char *value)
{
    return found == NULL || value == NULL ? found == value : strcmp(found, value) == 0;
}

/* A read that failed has said nothing; one that did not is right. */
static void look(struct world *w, unsigned n, bool must_know)
{
    struct buf out;

    buf_init(&out, 100);
    struct alb_status st = catalogue_get(w->catalogue, NAMES[n], &out, NULL);
    const char *found = alb_failed(st) ? NULL : buf_text(&out);
    if (!alb_failed(st) || st.code == ALB_NOT_FOUND)
        assert_true(is(found, w->expect[n].sure) || is(found, w->expect[n].maybe));
    else
        assert_false(must_know);
    w->failures += alb_failed(st) && st.code != ALB_NOT_FOUND;
    buf_release(&out);
}

static bool count_one(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    (void)name;
    (void)value;
    (void)size;
    (void)version;
    ++*(unsigned *)arg;
    return true;
}

static void play(struct world *w)
{
    unsigned listed = 0;

    try_open(w);
    try_swap(w, 0, "one");
    try_swap(w, 1, "one");
    try_swap(w, 0, "two");
    try_swap(w, 1, NULL);
    try_close(w);
    try_open(w);
    try_swap(w, 2, "one");
    try_swap(w, 0, "three");
    try_swap(w, 2, NULL);
    try_swap(w, 2, "two");
    for (unsigned n = 0; n < RECORDS && w->catalogue != NULL; n++)
        look(w, n, false);
    if (w->catalogue != NULL)
        w->failures += alb_failed(catalogue_list(w->catalogue, "", count_one, &listed));
    assert_true(listed <= RECORDS);
    try_close(w);
}

/* Without the failure all is as it was promised, and goes on. */
static void check_all(struct world *w)
{
    for (unsigned round = 0; round < 2; round++) {
        try_open(w);
        assert_non_null(w->catalogue);
        for (unsigned n = 0; n < RECORDS; n++)
            look(w, n, true);
        try_swap(w, 3, round == 0 ? "one" : "two");
        assert_true(is(w->expect[3].sure, round == 0 ? "one" : "two"));
        look(w, 3, true);
        try_close(w);
    }
}

static void play_with_call_failing(void *arg)
{
    const struct world *with = arg;
    struct world w = {.open = with->open, .tmp = tmpdir_open()};

    w.dir = tmpdir_path(w.tmp, "catalogue");
    sysfault_begin();
    play(&w);
    if (!sysfault_disarm() || sysfault_is_harmless(with->kind))
        assert_int_equal(w.failures, 0);
    check_all(&w);
    free(w.dir);
    tmpdir_close(w.tmp);
}

static void fail_everywhere(struct world *w, const enum sysfault *kinds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        w->kind = kinds[i];
        sysfault_loop(w->kind, 5, play_with_call_failing, w);
    }
}

static void records_as_files_are_as_promised_whatever_call_fails(void **state)
{
    static const enum sysfault kinds[] = {SYSFAULT_OPEN,  SYSFAULT_READ,        SYSFAULT_READ_SHORT,
                                          SYSFAULT_WRITE, SYSFAULT_WRITE_SHORT, SYSFAULT_FULL,
                                          SYSFAULT_SYNC,  SYSFAULT_NAME,        SYSFAULT_EINTR};
    struct world w = {.open = file_catalogue_open};

    (void)state;
    fail_everywhere(&w, kinds, ALB_COUNT(kinds));
}

static void records_on_disk_are_as_promised_whatever_call_fails(void **state)
{
    /* The others meet RocksDB in fault_store. */
    static const enum sysfault kinds[] = {SYSFAULT_WRITE, SYSFAULT_FULL, SYSFAULT_SYNC};
    struct world w = {.open = disk_catalogue_open};

    (void)state;
    fail_everywhere(&w, kinds, ALB_COUNT(kinds));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_as_files_are_as_promised_whatever_call_fails),
        cmocka_unit_test(records_on_disk_are_as_promised_whatever_call_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    print_message("built without ALB_FAULT: nothing can be made to fail\n");
    return 77; /* skipped, to ctest */
}

#endif
