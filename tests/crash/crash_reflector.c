/* SPDX-License-Identifier: Apache-2.0 */
/* crash/crash_reflector.c – a half-written cache is at worst a smaller cache, never a wrong byte.
 * LINKS: store_disk store wire chunk base support
 *
 * A life opens a reflector's store, looks at every chunk it lists, and then fills it while others
 * read. On a disk that lies about syncs nothing has to be there, but the store opens and what it
 * gives out is right.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "crash/chunks.h"
#include "store/disk/segment_store.h"

enum { STEPS = 30, GROUP_MOST = 8, READERS = 2, LIST_STEP = 32, SEGMENT_SIZE = 64 << 10 };

struct life {
    const char *work;
    uint64_t seed;
    struct chunk_store *store;
    struct chunk_notes notes;
    atomic_bool is_over, is_bad;
};

static void note_line(void *arg, const char *line)
{
    chunk_notes_line(&((struct life *)arg)->notes, line);
}

/* Whatever key it is: no chunk, or bytes that hash to the key. */
static bool look(struct chunk_store *store, struct codec *codec, const struct chunk_key *key)
{
    struct chunk *c = NULL;
    struct alb_status st = chunk_store_get(store, key, &c);
    bool good = true;

    if (!alb_failed(st))
        good = crash_ok(codec_verify(codec, key, c->bytes, c->size, NULL), "a cached chunk");
    else if (st.code != ALB_NOT_FOUND && st.code != ALB_CORRUPT)
        good = crash_ok(st, "reading the cache");
    chunk_unref(c);
    return good;
}

static bool look_at_all(struct life *l, struct codec *codec)
{
    struct chunk_key keys[LIST_STEP];
    struct chunk_key last;
    size_t count = LIST_STEP;
    bool good = true;

    for (bool first = true; count == LIST_STEP && good; first = false) {
        good = crash_ok(chunk_store_list(l->store, first ? NULL : &last, LIST_STEP, keys, &count),
                        "listing the cache");
        for (size_t i = 0; i < count && good; i++)
            good = look(l->store, codec, &keys[i]);
        if (good && count > 0)
            last = keys[count - 1];
    }
    return good;
}

/* Reads what the writer has put, is putting or will put. */
static void *reader(void *arg)
{
    struct life *l = arg;
    struct codec *codec = codec_new();
    struct gen g;

    gen_init(&g, l->seed ^ 0x5eed);
    while (!atomic_load(&l->is_over)) {
        struct buf raw;

        buf_init(&raw, CHUNK_RAW_MAX);
        struct chunk_key key = numbered_key(
            l->seed % (UINT64_C(1) << 40) * 1000 + gen_below(&g, STEPS * GROUP_MOST), &raw);
        buf_release(&raw);
        if (!look(l->store, codec, &key))
            atomic_store(&l->is_bad, true);
    }
    codec_free(codec);
    return NULL;
}

static bool fill(struct life *l, struct codec *codec)
{
    bool good = true;
    struct gen g;

    gen_init(&g, l->seed);
    for (unsigned n = 0; n < STEPS && good; n++) {
        uint64_t first = l->seed % (UINT64_C(1) << 40) * 1000 + n * GROUP_MOST;

        if (gen_chance(&g, 1, 6))
            good = chunk_notes_remove(&l->notes, l->work, l->store, &g);
        else
            good =
                chunks_put(l->work, l->store, codec, first, (unsigned)gen_range(&g, 1, GROUP_MOST));
    }
    return good;
}

static bool fill_while_others_read(struct life *l, struct codec *codec)
{
    pthread_t threads[READERS];

    for (unsigned i = 0; i < READERS; i++)
        if (pthread_create(&threads[i], NULL, reader, l) != 0)
            abort();
    bool good = fill(l, codec);
    atomic_store(&l->is_over, true);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    return good && !atomic_load(&l->is_bad);
}

static bool live(const char *work, uint64_t seed)
{
    AUTO_FREE char *dir = path_join(work, "dir");
    const struct segment_store_options options = {.dir = dir, .segment_bytes = SEGMENT_SIZE};
    struct life l = {.work = work, .seed = seed};
    struct codec *codec = codec_new();

    expect_read(work, note_line, &l);
    bool good = crash_ok(segment_store_open(&options, &l.store), "opening the cache") &&
                chunk_notes_check(&l.notes, l.store, codec) && look_at_all(&l, codec) &&
                fill_while_others_read(&l, codec);
    chunk_store_close(l.store);
    chunk_notes_release(&l.notes);
    codec_free(codec);
    return good;
}

int main(int argc, char **argv)
{
    static const struct crash_actor actor = {
        .name = "crash_reflector", .live = live, .between = chunks_lose_index, .may_lie = true};

    return crash_main(&actor, argc, argv);
}
