/* SPDX-License-Identifier: Apache-2.0 */
/* crash/crash_cache.c – a cache that evicts, killed and cut off: what is pinned stays, the quota
 * holds, and no byte is wrong.
 * LINKS: store_disk store wire chunk base support
 *
 * A life pins some chunks, puts them, and drives others through the cache until it dies. What is
 * pinned is copied on whenever its segment is evicted, so a copy that was not durable before its
 * original went would be missed here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "crash/chunks.h"
#include "store/disk/segment_store.h"

enum { STEPS = 60, GROUP = 8, PINNED = 40, SEGMENT_SIZE = 64 << 10, QUOTA = 4 << 20 };
enum { CHUNK_MOST = 24100 };
static const char pin_name[] = "base/os@1";

struct life {
    const char *work;
    struct chunk_store *store;
    struct chunk_notes notes;
    struct codec *codec;
    bool was_pinned, is_pinned;
};

static void note_line(void *arg, const char *line)
{
    struct life *l = arg;

    if (strcmp(line, "pinned") == 0)
        l->was_pinned = true;
    else
        chunk_notes_line(&l->notes, line);
    if (strcmp(line, "lied") == 0)
        l->was_pinned = false;
}

static void note_pin(void *arg, const char *name, uint64_t chunks, uint64_t bytes)
{
    (void)bytes;
    *(bool *)arg |= strcmp(name, pin_name) == 0 && chunks == PINNED;
}

static bool pin(struct life *l)
{
    struct chunk_key keys[PINNED];
    struct buf raw;

    l->store->ops->cache->list_pins(l->store, note_pin, &l->is_pinned);
    if (l->was_pinned && !l->is_pinned)
        return crash_bug("a pin was lost");
    for (unsigned n = 0; n < PINNED; n++) {
        buf_init(&raw, CHUNK_RAW_MAX);
        keys[n] = numbered_key(n, &raw);
        buf_release(&raw);
    }
    if (!crash_ok(l->store->ops->cache->pin(l->store, pin_name, keys, PINNED, PINNED * CHUNK_MOST),
                  "pinning"))
        return false;
    expect_say(l->work, "pinned");
    return true;
}

static bool is_within_quota(struct life *l)
{
    struct cache_stats s;

    l->store->ops->cache->stats(l->store, &s);
    return s.used_bytes <= QUOTA + QUOTA / 50 ||
           crash_bug("%" PRIu64 " bytes are used of %d", s.used_bytes, (int)QUOTA);
}

/* What passes through; nobody is promised to find it again. */
static bool put_others(struct life *l, uint64_t first)
{
    struct chunk *group[GROUP];

    for (unsigned i = 0; i < GROUP; i++)
        group[i] = numbered_chunk(l->codec, first + i);
    bool good = crash_ok(chunk_store_put_many(l->store, group, GROUP, NULL), "putting others");
    for (unsigned i = 0; i < GROUP; i++)
        chunk_unref(group[i]);
    return good && is_within_quota(l);
}

static bool use(struct life *l, uint64_t seed)
{
    struct gen g;
    bool good = true;
    bool more;

    gen_init(&g, seed);
    for (unsigned n = 0; n < STEPS && good; n++) {
        uint64_t first = (gen_u64(&g) >> 24) * GROUP + 1000;

        if (gen_chance(&g, 1, 6))
            good = chunks_put(l->work, l->store, l->codec, gen_below(&g, PINNED - 1), 2);
        else if (gen_chance(&g, 1, 6))
            good = crash_ok(l->store->ops->cache->tend(l->store, &more), "tending");
        else
            good = put_others(l, first);
    }
    return good;
}

static bool live(const char *work, uint64_t seed)
{
    AUTO_FREE char *dir = path_join(work, "dir");
    const struct segment_store_options options = {.dir = dir,
                                                  .segment_bytes = SEGMENT_SIZE,
                                                  .quota_bytes = QUOTA,
                                                  .policy = evict_policy_at(seed % 3)};
    struct life l = {.work = work, .codec = codec_new()};

    expect_read(work, note_line, &l);
    bool good = crash_ok(segment_store_open(&options, &l.store), "opening the cache") &&
                chunk_notes_check(&l.notes, l.store, l.codec) && is_within_quota(&l) && pin(&l) &&
                use(&l, seed);
    chunk_store_close(l.store);
    chunk_notes_release(&l.notes);
    codec_free(l.codec);
    return good;
}

int main(int argc, char **argv)
{
    static const struct crash_actor actor = {
        .name = "crash_cache", .live = live, .between = chunks_lose_index, .may_lie = true};

    return crash_main(&actor, argc, argv);
}
