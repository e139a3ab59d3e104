/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_store.c – the n-th fallible call fails, for every n: what was acknowledged stays. */
/* LINKS: sysfault store_disk store wire chunk base */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "store/disk/segment_store.h"
#include "support/sysfault.h"
#include "support/tmpdir.h"

#ifdef ALB_FAULT

enum { KEYS = 24, GROUP = 4, BODY = 700, TRIES_MAX = 2000 };

enum expect { ABSENT, PRESENT, EITHER };

struct world {
    struct tmpdir *tmp;
    char *dir;
    struct chunk_store *store; /* NULL while it could not be opened */
    enum expect expect[KEYS];
};

static struct chunk_key key_of(unsigned n)
{
    return (struct chunk_key){.kind = KEY_PLAIN, .digest = {{(uint8_t)n, 0xee}}};
}

static void try_open(struct world *w)
{
    struct segment_store_options options = {.dir = w->dir, .segment_bytes = 9 * 1024};
    if (w->store == NULL && alb_failed(segment_store_open(&options, &w->store)))
        w->store = NULL;
}

static void try_put(struct world *w, unsigned from)
{
    struct chunk *group[GROUP] = {NULL};
    bool has[GROUP];
    struct chunk_key keys[GROUP];
    bool made = true;
    if (w->store == NULL)
        return;
    for (unsigned i = 0; i < GROUP; i++) {
        keys[i] = key_of(from + i);
        group[i] = chunk_new(&keys[i], BODY);
        made &= group[i] != NULL;
        if (group[i] != NULL)
            memset(group[i]->bytes, (int)(from + i), BODY);
    }
    bool ok = made && !alb_failed(chunk_store_put_many(w->store, group, GROUP, NULL));
    for (unsigned i = 0; i < GROUP; i++) {
        /* A group that failed is not visible: neither now, nor to an index built anew. */
        if (!alb_failed(chunk_store_exists_many(w->store, &keys[i], 1, &has[i])))
            assert_int_equal(has[i], ok || w->expect[from + i] == PRESENT);
        if (ok)
            w->expect[from + i] = PRESENT;
        chunk_unref(group[i]);
    }
}

static void try_remove(struct world *w, unsigned n)
{
    struct chunk_key key = key_of(n);
    if (w->store == NULL || w->expect[n] != PRESENT)
        return;
    bool ok = !alb_failed(chunk_store_remove(w->store, &key));
    w->expect[n] = ok ? ABSENT : EITHER;
}

static enum alb_code look(struct world *w, unsigned n)
{
    struct chunk_key key = key_of(n);
    struct chunk *c;
    enum alb_code code = chunk_store_get(w->store, &key, &c).code;
    if (code != ALB_OK)
        return code;
    assert_int_equal(c->size, BODY);
    for (size_t i = 0; i < BODY; i++)
        assert_int_equal(c->bytes[i], n);
    chunk_unref(c);
    return code;
}

static void play(struct world *w)
{
    try_open(w);
    for (unsigned n = 0; n < 12; n += GROUP)
        try_put(w, n);
    try_remove(w, 1);
    try_remove(w, 5);
    if (w->store != NULL) {
        enum alb_code code = look(w, 2);
        assert_true(code != ALB_CORRUPT);
    }
    chunk_store_close(w->store);
    w->store = NULL;
    try_open(w);
    try_put(w, 12);
    try_put(w, 0); /* mostly there already */
    try_remove(w, 13);
}

static void check(struct world *w, const char *when)
{
    for (unsigned n = 0; n < KEYS; n++) {
        enum alb_code code = look(w, n);
        bool fits = w->expect[n] == PRESENT  ? code == ALB_OK
                    : w->expect[n] == ABSENT ? code == ALB_NOT_FOUND
                                             : code == ALB_OK || code == ALB_NOT_FOUND;
        if (!fits)
            fail_msg("%s: chunk %u is %s, expected %d", when, n, alb_code_name(code),
                     (int)w->expect[n]);
    }
}

/* Without any more failures everything works again: in this process, the next, and from nothing. */
static void check_all(struct world *w)
{
    try_open(w);
    assert_non_null(w->store);
    check(w, "after the failure");
    try_put(w, 16);
    assert_int_equal(w->expect[16], PRESENT);
    chunk_store_close(w->store);
    w->store = NULL;
    try_open(w);
    assert_non_null(w->store);
    check(w, "opened again");
    chunk_store_close(w->store);
    w->store = NULL;
    AUTO_FREE char *command = xasprintf("rm -r '%s/index'", w->dir);
    assert_int_equal(system(command), 0);
    try_open(w);
    assert_non_null(w->store);
    check(w, "index built anew");
    try_put(w, 20);
    assert_int_equal(w->expect[20], PRESENT);
    check(w, "after more");
    chunk_store_close(w->store);
    w->store = NULL;
}

/* Plays with the n-th hit of `site` failing; false when there was none any more. */
static bool play_with_fault(const char *site, unsigned n)
{
    struct world w = {.tmp = tmpdir_open()};
    w.dir = tmpdir_path(w.tmp, "store");
    fault_arm(site, n);
    play(&w);
    bool fired = fault_fired();
    fault_disarm();
    check_all(&w);
    free(w.dir);
    tmpdir_close(w.tmp);
    return fired;
}

/* What follows plays with each of its hits; here only that there are some. */
static void every_site_is_met(void **state)
{
    static const char *const sites[] = {
        "segment.create", "segment.open", "segment.write", "segment.sync", "segment.read",
        "rocks.open",     "rocks.read",   "rocks.write",   "alloc",
    };
    (void)state;
    for (size_t i = 0; i < ALB_COUNT(sites); i++)
        if (!play_with_fault(sites[i], 0))
            fail_msg("%s: never met", sites[i]);
}

static void the_store_survives_any_one_failure(void **state)
{
    (void)state;
    unsigned n = 0;
    while (play_with_fault(NULL, n))
        assert_true(++n < TRIES_MAX);
    print_message("any: %u failures survived\n", n);
}

/* A call that RocksDB made as well: its errors come to us as its words, and it may stop writing. */
static void play_with_call(void *arg)
{
    enum sysfault kind = *(const enum sysfault *)arg;
    struct world w = {.tmp = tmpdir_open()};
    w.dir = tmpdir_path(w.tmp, "store");
    sysfault_begin();
    play(&w);
    if (!sysfault_disarm() || sysfault_is_harmless(kind)) {
        for (unsigned n = 0; n < 16; n++)
            assert_int_equal(w.expect[n], n == 5 || n == 13 ? ABSENT : PRESENT);
    }
    check_all(&w);
    free(w.dir);
    tmpdir_close(w.tmp);
}

static void play_with_every_call(enum sysfault kind, unsigned least)
{
    sysfault_loop(kind, least, play_with_call, &kind);
}

static void what_was_acknowledged_stays_whatever_call_fails(void **state)
{
    (void)state;
    play_with_every_call(SYSFAULT_OPEN, 20);
    play_with_every_call(SYSFAULT_READ, 10);
    play_with_every_call(SYSFAULT_WRITE, 20);
    play_with_every_call(SYSFAULT_SYNC, 10);
    play_with_every_call(SYSFAULT_NAME, 5);
}

static void what_was_acknowledged_stays_wherever_the_disk_is_full(void **state)
{
    (void)state;
    play_with_every_call(SYSFAULT_FULL, 30);
}

static void short_counts_and_interruptions_change_nothing(void **state)
{
    (void)state;
    play_with_every_call(SYSFAULT_READ_SHORT, 10);
    play_with_every_call(SYSFAULT_WRITE_SHORT, 20);
    play_with_every_call(SYSFAULT_EINTR, 40);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_site_is_met),
        cmocka_unit_test(the_store_survives_any_one_failure),
        cmocka_unit_test(short_counts_and_interruptions_change_nothing),
        cmocka_unit_test(what_was_acknowledged_stays_whatever_call_fails),
        cmocka_unit_test(what_was_acknowledged_stays_wherever_the_disk_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    print_message("built without ALB_FAULT: nothing to trip\n");
    return 77; /* skipped, to ctest */
}

#endif
