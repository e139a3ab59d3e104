/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_cache.c – a cache whose writes fail while it evicts, pins, scrubs and opens: what is
 * pinned stays, a failure is clear, it stays within its quota, and it goes on. */
/* LINKS: sysfault store_disk store wire chunk base */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "store/disk/segment_store.h"
#include "support/sysfault.h"
#include "support/tmpdir.h"

#ifdef ALB_FAULT

/* About five groups fit; what a pull brings is twice that. */
enum { QUOTA = 2 << 20, BODY = 40000, GROUP = 4, SEGMENT = 200 << 10 };
enum { PINNED = 8, PULL = 24, KEYS = 200, PLAYS_MOST = 5000 };

struct world {
    struct tmpdir *tmp;
    char *dir;
    struct chunk_store *store; /* NULL while it could not be opened    */
    bool is_pinned;            /* and was told so                      */
    bool must[PINNED];         /* put, and told so, while it is pinned */
    const char *failing;
};

static struct chunk_key key_of(unsigned n)
{
    return (struct chunk_key){.kind = KEY_PLAIN, .digest = {{(uint8_t)n, 0xca}}};
}

/* The disk's failure or our limit, and words for it. */
static bool is_fine(const struct world *w, struct alb_status st)
{
    if (!alb_failed(st))
        return true;
    if ((st.code != ALB_FULL && st.code != ALB_IO) || st.what[0] == '\0')
        fail_msg("%s: %s (%d): %s", w->failing, alb_code_name(st.code), st.sys, st.what);
    return false;
}

static void try_open(struct world *w)
{
    const struct segment_store_options options = {.dir = w->dir,
                                                  .segment_bytes = SEGMENT,
                                                  .quota_bytes = QUOTA,
                                                  .policy = evict_policy_find("s3-fifo")};
    if (w->store == NULL && !is_fine(w, segment_store_open(&options, &w->store)))
        w->store = NULL;
}

static void close_it(struct world *w)
{
    chunk_store_close(w->store);
    w->store = NULL;
}

static bool try_put(struct world *w, unsigned from)
{
    struct chunk *group[GROUP] = {NULL};
    bool ok = w->store != NULL;
    for (unsigned i = 0; i < GROUP; i++) {
        struct chunk_key key = key_of(from + i);
        group[i] = chunk_new(&key, BODY);
        ok &= group[i] != NULL;
        if (group[i] != NULL)
            memset(group[i]->bytes, (int)(from + i), BODY);
    }
    ok = ok && is_fine(w, chunk_store_put_many(w->store, group, GROUP, NULL));
    for (unsigned i = 0; i < GROUP; i++) {
        if (ok && from + i < PINNED)
            w->must[from + i] = w->is_pinned;
        chunk_unref(group[i]);
    }
    return ok;
}

static void try_pull(struct world *w, unsigned from)
{
    for (unsigned n = 0; n < PULL; n += GROUP)
        (void)try_put(w, from + n);
}

static void try_pin(struct world *w)
{
    struct chunk_key keys[PINNED];
    for (unsigned i = 0; i < PINNED; i++)
        keys[i] = key_of(i);
    w->is_pinned =
        w->store != NULL &&
        is_fine(w, w->store->ops->cache->pin(w->store, "a@1", keys, PINNED, PINNED * (BODY + 100)));
}

static void try_unpin(struct world *w)
{
    if (w->store == NULL || !w->is_pinned)
        return;
    w->is_pinned = false;
    memset(w->must, 0, sizeof w->must);
    (void)is_fine(w, w->store->ops->cache->unpin(w->store, "a@1"));
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

static void try_care(struct world *w)
{
    bool more = w->store != NULL;
    bool is_round_over;
    for (unsigned n = 0; more && n < 4; n++)
        (void)is_fine(w, w->store->ops->cache->tend(w->store, &more));
    if (w->store != NULL)
        (void)is_fine(w, w->store->ops->cache->scrub(w->store, 4 * BODY, &is_round_over));
}

static void play(struct world *w)
{
    try_open(w);
    try_pin(w);
    try_put(w, 0);
    try_put(w, GROUP);
    try_pull(w, 20);
    if (w->store != NULL)
        (void)look(w, 1);
    try_care(w);
    close_it(w);
    try_open(w);
    try_pull(w, 60);
    try_unpin(w);
    try_pin(w);
    try_put(w, 0);
}

static uint64_t occupied(const struct world *w)
{
    static const char *const parts[] = {"segments", "index", "pins"};
    uint64_t total = 0;
    for (size_t i = 0; i < ALB_COUNT(parts); i++) {
        AUTO_FREE char *path = path_join(w->dir, parts[i]);
        DIR *folder = opendir(path);
        const struct dirent *entry;
        struct stat about;
        while (folder != NULL && (entry = readdir(folder)) != NULL)
            if (fstatat(dirfd(folder), entry->d_name, &about, 0) == 0 && S_ISREG(about.st_mode))
                total += (uint64_t)about.st_blocks * 512;
        if (folder != NULL)
            (void)closedir(folder);
    }
    return total;
}

/* Without any more failures: nothing that must be here is lost, and it takes what comes. */
static void check(struct world *w, const char *when, unsigned from)
{
    try_open(w);
    assert_non_null(w->store);
    for (unsigned n = 0; n < KEYS; n++) {
        enum alb_code code = look(w, n);
        if (code != ALB_OK && (code != ALB_NOT_FOUND || (n < PINNED && w->must[n])))
            fail_msg("%s, %s: chunk %u is %s", w->failing, when, n, alb_code_name(code));
    }
    for (unsigned n = 0; n < PULL; n += GROUP)
        if (!try_put(w, from + n))
            fail_msg("%s, %s: it does not go on", w->failing, when);
    assert_int_equal(look(w, from + PULL - 1), ALB_OK);
    if (occupied(w) > QUOTA + QUOTA / 50)
        fail_msg("%s, %s: %lu bytes", w->failing, when, (unsigned long)occupied(w));
}

static void check_all(struct world *w)
{
    check(w, "after the failure", 100);
    close_it(w);
    check(w, "opened again", 124);
    close_it(w);
    AUTO_FREE char *command = xasprintf("rm -r '%s/index'", w->dir);
    assert_int_equal(system(command), 0);
    check(w, "index built anew", 148);
    close_it(w);
}

/* The n-th hit of a site or the n-th call of a kind fails; false: there was none any more. */
static bool play_once(const char *site, enum sysfault kind, unsigned n)
{
    struct world w = {.tmp = tmpdir_open(), .failing = site != NULL ? site : sysfault_name(kind)};
    w.dir = tmpdir_path(w.tmp, "store");
    if (site != NULL)
        fault_arm(site, n);
    else
        sysfault_arm(kind, n);
    play(&w);
    bool fired = site != NULL ? fault_fired() : sysfault_disarm();
    fault_disarm();
    check_all(&w);
    free(w.dir);
    tmpdir_close(w.tmp);
    return fired;
}

/* The first few each, then ever fewer: they are the same over and over. */
static void play_all(const char *site, enum sysfault kind)
{
    unsigned plays = 0;
    for (unsigned n = 0; play_once(site, kind, n); n += 1 + n / 3)
        assert_true(++plays < PLAYS_MOST);
    print_message("%s: %u failures survived\n", site != NULL ? site : sysfault_name(kind), plays);
    assert_true(plays > 0);
}

static void a_cache_survives_a_failure_at_each_of_its_steps(void **state)
{
    static const char *const sites[] = {"segment.create", "segment.write", "segment.sync",
                                        "segment.read",   "rocks.write",   "rocks.read",
                                        "alloc"};
    (void)state;
    for (size_t i = 0; i < ALB_COUNT(sites); i++)
        play_all(sites[i], SYSFAULT_KINDS);
}

/* Among them the pins' files, and what RocksDB writes by itself. */
static void a_cache_survives_a_disk_that_fails_under_it(void **state)
{
    (void)state;
    play_all(NULL, SYSFAULT_WRITE);
    play_all(NULL, SYSFAULT_SYNC);
    play_all(NULL, SYSFAULT_NAME);
}

static void a_cache_survives_a_disk_that_is_full(void **state)
{
    (void)state;
    play_all(NULL, SYSFAULT_FULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_survives_a_failure_at_each_of_its_steps),
        cmocka_unit_test(a_cache_survives_a_disk_that_fails_under_it),
        cmocka_unit_test(a_cache_survives_a_disk_that_is_full),
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
