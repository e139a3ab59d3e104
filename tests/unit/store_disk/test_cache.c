/* SPDX-License-Identifier: Apache-2.0 */
/* unit/store_disk/test_cache.c – the store on disk as a cache: quota, floor, policies at work,
 * pins, what would be lost. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "store/disk/store_parts.h"
#include "support/tmpdir.h"
#include "support/unsynced.h"

enum { BODY = 20000, QUOTA = 12 << 20, SEGMENT = 96 << 10, GROUP = 4 };

struct fixture {
    struct tmpdir *tmp;
    struct segment_store_options options;
    struct chunk_store *store;
};

static void reopen(struct fixture *f)
{
    chunk_store_close(f->store);
    f->store = NULL;
    assert_int_equal(segment_store_open(&f->options, &f->store).code, ALB_OK);
}

static int set_up(void **state)
{
    struct fixture *f = xalloc(sizeof(*f));
    f->tmp = tmpdir_open();
    f->options = (struct segment_store_options){.dir = f->tmp->path,
                                                .segment_bytes = SEGMENT,
                                                .quota_bytes = QUOTA,
                                                .policy = evict_policy_find("s3-fifo")};
    *state = f;
    reopen(f);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    chunk_store_close(f->store);
    tmpdir_close(f->tmp);
    free(f);
    return 0;
}

static struct chunk_key key_of(unsigned n)
{
    return (struct chunk_key){.kind = KEY_PLAIN,
                              .digest = {{(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16)}}};
}

static void say_why_not(struct fixture *f, struct alb_status st, unsigned n)
{
    struct cache_stats s;
    f->store->ops->cache->stats(f->store, &s);
    print_message("chunk %u: %s (%d): used %" PRIu64 ", reserved %" PRIu64 ", new %" PRIu64
                  ", main %" PRIu64 ", pinned %" PRIu64 "\n",
                  n, st.what, st.sys, s.used_bytes, s.reserved_bytes, s.queue_bytes[QUEUE_NEW],
                  s.queue_bytes[QUEUE_MAIN], s.queue_bytes[QUEUE_PINNED]);
}

static enum alb_code put(struct fixture *f, unsigned first, unsigned count)
{
    struct alb_status st = ALB_STATUS_OK;
    for (unsigned at = 0; at < count && !alb_failed(st); at += GROUP) {
        struct chunk *group[GROUP];
        for (unsigned i = 0; i < GROUP; i++) {
            struct chunk_key key = key_of(first + at + i);
            group[i] = chunk_new(&key, BODY);
            memset(group[i]->bytes, (int)((first + at + i) & 0xff), BODY);
        }
        st = chunk_store_put_many(f->store, group, GROUP, NULL);
        if (alb_failed(st))
            say_why_not(f, st, first + at);
        for (unsigned i = 0; i < GROUP; i++)
            chunk_unref(group[i]);
    }
    return st.code;
}

static bool get(struct fixture *f, unsigned n)
{
    struct chunk_key key = key_of(n);
    struct chunk *c = NULL;
    struct alb_status st = chunk_store_get(f->store, &key, &c);
    if (st.code == ALB_NOT_FOUND)
        return false;
    assert_int_equal(st.code, ALB_OK);
    assert_int_equal(c->size, BODY);
    assert_true(c->bytes[0] == (n & 0xff) && c->bytes[BODY - 1] == (n & 0xff));
    chunk_unref(c);
    return true;
}

static unsigned count_here(struct fixture *f, unsigned first, unsigned count)
{
    unsigned here = 0;
    for (unsigned i = 0; i < count; i++) {
        struct chunk_key key = key_of(first + i);
        bool has = false;
        assert_int_equal(chunk_store_exists_many(f->store, &key, 1, &has).code, ALB_OK);
        here += has;
    }
    return here;
}

static enum alb_code pin(struct fixture *f, const char *name, unsigned first, unsigned count)
{
    struct chunk_key keys[400];
    for (unsigned i = 0; i < count; i++)
        keys[i] = key_of(first + i);
    return f->store->ops->cache->pin(f->store, name, keys, count, (uint64_t)count * (BODY + 64))
        .code;
}

static struct cache_stats stats(struct fixture *f)
{
    struct cache_stats s;
    f->store->ops->cache->stats(f->store, &s);
    return s;
}

static uint64_t blocks_below(struct fixture *f, const char *name)
{
    AUTO_FREE char *path = tmpdir_path(f->tmp, name);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    struct stat about;
    uint64_t total = 0;
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (fstatat(dirfd(folder), entry->d_name, &about, 0) == 0 && S_ISREG(about.st_mode))
            total += (uint64_t)about.st_blocks * 512;
    if (folder != NULL)
        (void)closedir(folder);
    return total;
}

static uint64_t occupied(struct fixture *f)
{
    return blocks_below(f, "segments") + blocks_below(f, "index") + blocks_below(f, "pins");
}

/* ---- quota ---- */

static void three_times_the_quota_is_put_and_it_is_never_exceeded(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < 1800; n += GROUP) {
        assert_int_equal(put(f, n, GROUP), ALB_OK);
        assert_true(occupied(f) <= QUOTA);
    }
    struct chunk_store_stats s;
    assert_int_equal(chunk_store_stats(f->store, &s).code, ALB_OK);
    unsigned here = count_here(f, 0, 1800);
    assert_int_equal(s.chunks, here);
    assert_int_equal(s.stored_bytes, (uint64_t)here * BODY);
    assert_int_equal(stats(f).counts.evicted_chunks, 1800 - here);
    assert_true((uint64_t)here * BODY > QUOTA / 100 * 80); /* never down to a half */
    reopen(f);
    assert_int_equal(count_here(f, 0, 1800), here);
    assert_true(occupied(f) <= QUOTA);
}

static void a_quota_made_smaller_is_kept_after_the_next_put(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, 0, 500), ALB_OK);
    f->options.quota_bytes = QUOTA / 2;
    reopen(f);
    assert_int_equal(put(f, 1000, GROUP), ALB_OK);
    assert_true(occupied(f) <= QUOTA / 2);
    assert_int_equal(count_here(f, 1000, GROUP), GROUP);
}

static void room_is_made_ahead_of_need_in_small_steps(void **state)
{
    struct fixture *f = *state;
    bool more = true;
    assert_int_equal(put(f, 0, 1000), ALB_OK);
    uint64_t before = stats(f).counts.evicted_segments;
    for (unsigned n = 0; more; n++) {
        uint64_t last = stats(f).counts.evicted_segments;
        assert_int_equal(f->store->ops->cache->tend(f->store, &more).code, ALB_OK);
        assert_true(stats(f).counts.evicted_segments <= last + 1);
        assert_true(n < 100);
    }
    uint64_t after = stats(f).counts.evicted_segments;
    assert_true(after > before);
    assert_int_equal(put(f, 5000, GROUP), ALB_OK); /* nobody waits for an eviction now */
    assert_int_equal(stats(f).counts.evicted_segments, after);
}

static void too_small_a_quota_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct chunk_store *other;
    struct segment_store_options options = f->options;
    options.segment_bytes = 0;
    struct alb_status st = segment_store_open(&options, &other);
    assert_int_equal(st.code, ALB_INVALID);
    assert_non_null(strstr(st.what, "32 MiB"));
}

static void a_chunk_larger_than_the_quota_is_full_and_the_rest_is_served(void **state)
{
    struct fixture *f = *state;
    f->options.quota_bytes = 3 << 20;
    reopen(f);
    assert_int_equal(put(f, 0, 40), ALB_OK);
    struct chunk_key key = key_of(9999);
    struct chunk *large = chunk_new(&key, 4 << 20);
    memset(large->bytes, 1, large->size);
    assert_int_equal(chunk_store_put_many(f->store, &large, 1, NULL).code, ALB_FULL);
    chunk_unref(large);
    assert_int_equal(put(f, 100, GROUP), ALB_OK);
    assert_true(get(f, 100));
}

static void less_free_space_than_the_floor_means_that_nothing_is_kept(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, 0, 100), ALB_OK);
    f->options.floor_bytes = UINT64_C(1) << 60;
    reopen(f);
    assert_true(get(f, 0)); /* opening drops nothing */
    assert_int_equal(put(f, 1000, GROUP), ALB_FULL);
    f->options.floor_bytes = 0;
    reopen(f);
    assert_int_equal(put(f, 1000, GROUP), ALB_OK);
}

/* ---- who stays ---- */

static void a_large_pull_does_not_push_out_what_everybody_uses(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, 0, 200), ALB_OK);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned n = 0; n < 200; n++)
            assert_true(get(f, n));
    assert_int_equal(put(f, 10000, 2000), ALB_OK); /* three and a half times the quota */
    assert_true(count_here(f, 0, 200) >= 190);
    reopen(f); /* who stands where is in the files */
    assert_int_equal(put(f, 20000, 100), ALB_OK);
    assert_true(count_here(f, 0, 200) >= 190);
}

static void a_hit_in_memory_counts_too(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, 0, 80), ALB_OK);
    for (unsigned n = 0; n < 40; n++) {
        struct chunk_key key = key_of(n);
        chunk_store_touch(f->store, &key);
    }
    assert_int_equal(put(f, 10000, 1200), ALB_OK);
    assert_int_equal(count_here(f, 0, 40), 40);
    assert_true(count_here(f, 40, 40) < 20);
}

static void everybody_asking_for_everything_is_no_deadlock(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < 1500; n += GROUP) {
        assert_int_equal(put(f, n, GROUP), ALB_OK);
        for (unsigned i = 0; n % 50 == 0 && i < 600; i++)
            if (i <= n + GROUP)
                (void)get(f, n + GROUP - i);
    }
    assert_true(occupied(f) <= QUOTA);
}

struct reading {
    struct fixture *f;
    atomic_bool is_over;
    unsigned found;
};

static void *read_all_the_time(void *arg)
{
    struct reading *r = arg;
    for (unsigned n = 0; !atomic_load(&r->is_over); n = (n * 7 + 1) % 2000)
        r->found += get(r->f, n);
    return NULL;
}

static void readers_go_on_while_what_they_read_is_evicted(void **state)
{
    struct fixture *f = *state;
    struct reading r = {.f = f};
    pthread_t thread;
    assert_int_equal(put(f, 0, 100), ALB_OK);
    assert_int_equal(pthread_create(&thread, NULL, read_all_the_time, &r), 0);
    assert_int_equal(put(f, 0, 2000), ALB_OK);
    atomic_store(&r.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(occupied(f) <= QUOTA);
}

static void an_index_that_is_lost_is_built_again_with_its_queues(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *index = tmpdir_path(f->tmp, "index");
    assert_int_equal(pin(f, "a@1", 0, 20), ALB_OK);
    assert_int_equal(put(f, 0, 1000), ALB_OK);
    unsigned here = count_here(f, 0, 1000);
    chunk_store_close(f->store);
    f->store = NULL;
    assert_int_equal(file_remove_all(index).code, ALB_OK);
    reopen(f);
    assert_int_equal(count_here(f, 0, 1000), here);
    assert_true(stats(f).queue_bytes[QUEUE_PINNED] >= 20 * BODY);
    assert_int_equal(put(f, 5000, 1000), ALB_OK);
    assert_int_equal(count_here(f, 0, 20), 20);
}

static void removed_is_removed_whichever_queue_it_stood_in(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *index = tmpdir_path(f->tmp, "index");
    assert_int_equal(pin(f, "a@1", 0, 8), ALB_OK);
    for (unsigned n = 0; n < 24; n += GROUP)
        assert_int_equal(put(f, n, GROUP), ALB_OK);
    for (unsigned n = 0; n < 24; n += 3) {
        struct chunk_key key = key_of(n);
        assert_int_equal(chunk_store_remove(f->store, &key).code, ALB_OK);
    }
    assert_int_equal(put(f, 0, GROUP), ALB_OK); /* 0 and 3 are back */
    chunk_store_close(f->store);
    f->store = NULL;
    assert_int_equal(file_remove_all(index).code, ALB_OK);
    reopen(f);
    for (unsigned n = 0; n < 24; n++)
        assert_int_equal(get(f, n), n < GROUP || n % 3 != 0);
}

/* ---- pins ---- */

static void what_is_pinned_outlives_everything_else(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, 0, 40), ALB_OK);
    assert_int_equal(pin(f, "base/os@1", 0, 100), ALB_OK); /* some here, some to come */
    assert_int_equal(put(f, 40, 60), ALB_OK);
    assert_int_equal(put(f, 10000, 1500), ALB_OK);
    reopen(f);
    assert_int_equal(put(f, 20000, 1500), ALB_OK);
    assert_int_equal(count_here(f, 0, 100), 100);
    assert_int_equal(f->store->ops->cache->unpin(f->store, "base/os@1").code, ALB_OK);
    assert_int_equal(put(f, 30000, 2000), ALB_OK);
    assert_true(count_here(f, 0, 100) < 100);
    assert_true(occupied(f) <= QUOTA);
}

static void pins_beyond_their_share_are_refused_and_change_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pin(f, "a@1", 0, 300), ALB_OK);
    assert_int_equal(pin(f, "b@1", 300, 300), ALB_FULL);
    assert_int_equal(stats(f).pins, 1);
    assert_int_equal(pin(f, "a@1", 0, 350), ALB_OK); /* in its own place */
    assert_int_equal(stats(f).pinned_bytes, 350 * (BODY + 64));
    assert_int_equal(f->store->ops->cache->unpin(f->store, "b@1").code, ALB_NOT_FOUND);
}

static void a_quota_full_of_pins_takes_no_more_and_loses_none(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pin(f, "a@1", 0, 400), ALB_OK);
    assert_int_equal(put(f, 0, 400), ALB_OK);
    assert_int_equal(put(f, 10000, 1000), ALB_OK); /* what is left of the quota */
    assert_int_equal(count_here(f, 0, 400), 400);
    f->options.quota_bytes = QUOTA / 2; /* less than the pins */
    reopen(f);
    assert_int_equal(put(f, 20000, GROUP), ALB_FULL);
    assert_int_equal(count_here(f, 0, 400), 400);
}

/* Whoever pins says how much it can take; said too little, all that was evicted was the pins'
 * own queue, over and over, until it was full. */
static void pins_that_take_more_than_was_said_do_not_stop_what_comes(void **state)
{
    struct fixture *f = *state;
    struct chunk_key keys[100];
    for (unsigned i = 0; i < 100; i++)
        keys[i] = key_of(i);
    assert_int_equal(f->store->ops->cache->pin(f->store, "a@1", keys, 100, 100).code, ALB_OK);
    assert_int_equal(put(f, 0, 100), ALB_OK);
    assert_int_equal(put(f, 10000, 1500), ALB_OK);
    reopen(f);
    assert_int_equal(put(f, 20000, 1500), ALB_OK);
    assert_int_equal(count_here(f, 0, 100), 100);
    assert_true(stats(f).counts.copied_bytes < QUOTA); /* nor is it copied for ever */
    assert_true(occupied(f) <= QUOTA);
}

static void a_segment_that_somebody_deleted_does_not_stop_what_comes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, 0, 400), ALB_OK);
    reopen(f);
    struct segment_store *d = ALB_CONTAINER(f->store, struct segment_store, base);
    uint64_t oldest = segment_table_first_of(&d->table, QUEUE_NEW);
    AUTO_FREE char *path = segment_path(d->segments_dir, oldest);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(put(f, 10000, 1500), ALB_OK);
    assert_false(get(f, 0));
    assert_int_equal(put(f, 0, GROUP), ALB_OK);
    assert_true(get(f, 0));
    assert_true(occupied(f) <= QUOTA);
}

/* ---- room that is being made ---- */

#ifdef ALB_FAULT
/* RocksDB made a table of what it had in memory between a look that found room and the next. */
static void a_put_is_not_refused_because_the_index_grew_just_then(void **state)
{
    struct fixture *f = *state;
    bool fired = true;
    unsigned n = 0;
    assert_int_equal(put(f, 0, 700), ALB_OK);
    for (; fired; n++) {
        fault_arm("room.look", n);
        assert_int_equal(put(f, 10000 + n * GROUP, GROUP), ALB_OK);
        fired = fault_fired();
        fault_disarm();
    }
    assert_true(n > 1 && n < 100);
}
#endif

struct holding {
    struct segment_store *store;
    struct segment *held[200];
    size_t count;
};

/* A reader is slow: all of its segments are evicted before it lets go of one of them. */
static void *let_go_once_all_are_gone(void *arg)
{
    struct holding *h = arg;
    struct segment_table *t = &h->store->table;
    for (size_t gone = 0; gone < h->count; sched_yield()) {
        pthread_mutex_lock(&t->lock);
        gone = t->gone_count;
        pthread_mutex_unlock(&t->lock);
    }
    for (size_t i = 0; i < h->count; i++)
        segment_drop(h->held[i]);
    return NULL;
}

static void room_that_a_reader_still_holds_is_waited_for(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    assert_int_equal(put(f, 0, 600), ALB_OK);
    struct holding h = {.store = ALB_CONTAINER(f->store, struct segment_store, base)};
    for (uint64_t id = 1; id <= h.store->last_id; id++)
        if (segment_table_hold(&h.store->table, id, &h.held[h.count]).code == ALB_OK)
            h.count++;
    assert_int_equal(pthread_create(&thread, NULL, let_go_once_all_are_gone, &h), 0);
    assert_int_equal(put(f, 10000, 600), ALB_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(count_here(f, 10600 - GROUP, GROUP), GROUP);
    assert_true(occupied(f) <= QUOTA);
}

static void what_scrubbing_finds_damaged_is_named_once_and_can_be_put_again(void **state)
{
    struct fixture *f = *state;
    const struct cache_ops *cache = f->store->ops->cache;
    struct chunk_key bad[CACHE_BAD_MOST];
    struct chunk_key key = key_of(7);
    struct chunk_place place;
    bool is_round_over = false;
    assert_int_equal(put(f, 0, 40), ALB_OK);
    assert_int_equal(chunk_store_locate(f->store, &key, &place).code, ALB_OK);
    AUTO_FREE char *path = tmpdir_path(f->tmp, place.file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "?", 1, (off_t)place.offset + RECORD_HEADER_SIZE + 100), 1);
    assert_int_equal(close(fd), 0);
    while (!is_round_over)
        assert_int_equal(cache->scrub(f->store, 10 * BODY, &is_round_over).code, ALB_OK);
    assert_int_equal(cache->take_bad(f->store, bad), 1);
    assert_true(chunk_key_equal(&bad[0], &key));
    assert_int_equal(cache->take_bad(f->store, bad), 0);
    assert_false(get(f, 7));
    assert_int_equal(put(f, 4, GROUP), ALB_OK);
    assert_true(get(f, 7));
}

static void what_would_be_lost_is_answered(void **state)
{
    struct fixture *f = *state;
    const struct cache_ops *cache = f->store->ops->cache;
    struct cache_loss loss;
    assert_int_equal(pin(f, "a@1", 0, 100), ALB_OK);
    assert_int_equal(pin(f, "a@2", 50, 100), ALB_OK);
    assert_int_equal(put(f, 0, 140), ALB_OK);
    assert_int_equal(cache->would_lose(f->store, "a@2", 0, &loss).code, ALB_OK);
    assert_int_equal(loss.chunks, 40); /* 100 to 139: not in a@1, and here */
    assert_int_equal(loss.bytes, 40 * BODY);
    assert_int_equal(cache->would_lose(f->store, "c@1", 0, &loss).code, ALB_NOT_FOUND);
    assert_int_equal(cache->would_lose(f->store, NULL, 2 << 20, &loss).code, ALB_OK);
    assert_true(loss.bytes > 140 * BODY - (2 << 20));
    assert_true(loss.lacking_bytes > 2 << 20);
    assert_int_equal(cache->would_lose(f->store, NULL, 1 << 30, &loss).code, ALB_OK);
    assert_true(loss.bytes == 0 && loss.lacking_bytes == 0);
}

static void a_wipe_takes_chunks_and_pins(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pin(f, "a@1", 0, 100), ALB_OK);
    assert_int_equal(put(f, 0, 600), ALB_OK);
    assert_int_equal(chunk_store_wipe(f->store).code, ALB_OK);
    assert_int_equal(stats(f).pins, 0);
    assert_int_equal(count_here(f, 0, 600), 0);
    assert_int_equal(put(f, 0, 600), ALB_OK);
    reopen(f);
    assert_int_equal(stats(f).pins, 0);
    assert_true(count_here(f, 0, 600) > 400);
}

#define CACHE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CACHE_TEST(three_times_the_quota_is_put_and_it_is_never_exceeded),
        CACHE_TEST(a_quota_made_smaller_is_kept_after_the_next_put),
        CACHE_TEST(room_is_made_ahead_of_need_in_small_steps),
        CACHE_TEST(too_small_a_quota_is_refused_by_name),
        CACHE_TEST(a_chunk_larger_than_the_quota_is_full_and_the_rest_is_served),
        CACHE_TEST(less_free_space_than_the_floor_means_that_nothing_is_kept),
        CACHE_TEST(a_large_pull_does_not_push_out_what_everybody_uses),
        CACHE_TEST(a_hit_in_memory_counts_too),
        CACHE_TEST(everybody_asking_for_everything_is_no_deadlock),
        CACHE_TEST(readers_go_on_while_what_they_read_is_evicted),
        CACHE_TEST(an_index_that_is_lost_is_built_again_with_its_queues),
        CACHE_TEST(removed_is_removed_whichever_queue_it_stood_in),
        CACHE_TEST(what_is_pinned_outlives_everything_else),
        CACHE_TEST(pins_beyond_their_share_are_refused_and_change_nothing),
        CACHE_TEST(a_quota_full_of_pins_takes_no_more_and_loses_none),
        CACHE_TEST(pins_that_take_more_than_was_said_do_not_stop_what_comes),
        CACHE_TEST(a_segment_that_somebody_deleted_does_not_stop_what_comes),
#ifdef ALB_FAULT
        CACHE_TEST(a_put_is_not_refused_because_the_index_grew_just_then),
#endif
        CACHE_TEST(room_that_a_reader_still_holds_is_waited_for),
        CACHE_TEST(what_scrubbing_finds_damaged_is_named_once_and_can_be_put_again),
        CACHE_TEST(what_would_be_lost_is_answered),
        CACHE_TEST(a_wipe_takes_chunks_and_pins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
