/* SPDX-License-Identifier: Apache-2.0 */
/* crash/chunks.c – makes numbered chunks and holds a store to what it acknowledged. */
#include "crash/chunks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/file.h"

enum { RAW_MOST = 24000, GROUP_MOST = 64 };

struct chunk_key numbered_key(uint64_t n, struct buf *raw)
{
    struct chunk_key key = {.kind = KEY_PLAIN};
    uint8_t bytes[RAW_MOST];
    struct gen g;

    gen_init(&g, n);
    size_t size = sizeof n + (size_t)gen_skewed(&g, RAW_MOST - sizeof n);
    gen_bytes(&g, bytes, size);
    memcpy(bytes, &n, sizeof n); /* or two small ones would be one */
    sha256(bytes, size, &key.digest);
    alb_ignore(buf_append(raw, bytes, size), "a short answer is seen by who compares");
    return key;
}

struct chunk *numbered_chunk(struct codec *codec, uint64_t n)
{
    struct buf raw, stored;

    buf_init(&raw, CHUNK_RAW_MAX);
    buf_init(&stored, CHUNK_STORED_MAX);
    struct chunk_key key = numbered_key(n, &raw);
    struct chunk *c = NULL;
    if (!alb_failed(codec_compress(codec, buf_peek(&raw), buf_size(&raw), &stored)))
        c = chunk_copy(&key, buf_peek(&stored), buf_size(&stored));
    buf_release(&raw);
    buf_release(&stored);
    if (c == NULL)
        abort();
    return c;
}

/* ---- notes ----------------------------------------------------------------------------------- */

static void note(struct chunk_notes *all, uint64_t n, enum chunk_note what)
{
    for (size_t i = all->count; i-- > 0;) {
        if (all->items[i].n != n)
            continue;
        all->items[i].note = what;
        return;
    }
    all->items = xrealloc(all->items, (all->count + 1) * sizeof *all->items);
    all->items[all->count].n = n;
    all->items[all->count++].note = what;
}

void chunk_notes_line(struct chunk_notes *all, const char *line)
{
    uint64_t n;

    if (sscanf(line, "have %" SCNu64, &n) == 1)
        note(all, n, CHUNK_HAVE);
    else if (sscanf(line, "maybe %" SCNu64, &n) == 1)
        note(all, n, CHUNK_MAYBE);
    else if (sscanf(line, "gone %" SCNu64, &n) == 1)
        note(all, n, CHUNK_GONE);
    for (size_t i = 0; strcmp(line, "lied") == 0 && i < all->count; i++)
        all->items[i].note = CHUNK_MAYBE;
}

void chunk_notes_release(struct chunk_notes *all)
{
    free(all->items);
    *all = (struct chunk_notes){NULL, 0};
}

static bool check_one(uint64_t n, enum chunk_note what, struct chunk_store *store,
                      struct codec *codec)
{
    struct chunk *c = NULL;
    struct buf want, got;

    buf_init(&want, CHUNK_RAW_MAX);
    buf_init(&got, CHUNK_RAW_MAX);
    struct chunk_key key = numbered_key(n, &want);
    struct alb_status st = chunk_store_get(store, &key, &c);
    bool good = true;
    if (alb_failed(st))
        good = (what != CHUNK_HAVE && st.code == ALB_NOT_FOUND) ||
               (what == CHUNK_MAYBE && st.code == ALB_CORRUPT) ||
               crash_bug("chunk %" PRIu64 ", noted as %d: %s", n, (int)what, st.what);
    else if (what == CHUNK_GONE)
        good = crash_bug("chunk %" PRIu64 " is back", n);
    else
        good = crash_ok(codec_verify(codec, &key, c->bytes, c->size, &got), "a chunk's bytes") &&
               (buf_size(&want) == buf_size(&got) || crash_bug("other bytes"));
    chunk_unref(c);
    buf_release(&want);
    buf_release(&got);
    return good;
}

bool chunk_notes_check(const struct chunk_notes *all, struct chunk_store *store,
                       struct codec *codec)
{
    bool good = true;

    for (size_t i = 0; i < all->count && good; i++)
        good = check_one(all->items[i].n, all->items[i].note, store, codec);
    return good;
}

bool chunk_notes_remove(struct chunk_notes *all, const char *work, struct chunk_store *store,
                        struct gen *g)
{
    struct buf raw;
    size_t i;

    if (all->count == 0 || all->items[i = (size_t)gen_below(g, all->count)].note != CHUNK_HAVE)
        return true;
    uint64_t n = all->items[i].n;
    buf_init(&raw, CHUNK_RAW_MAX);
    struct chunk_key key = numbered_key(n, &raw);
    buf_release(&raw);
    all->items[i].note = CHUNK_MAYBE;
    expect_say(work, "maybe %" PRIu64, n);
    if (!crash_ok(chunk_store_remove(store, &key), "removing a chunk"))
        return false;
    all->items[i].note = CHUNK_GONE;
    expect_say(work, "gone %" PRIu64, n);
    return true;
}

bool chunks_put(const char *work, struct chunk_store *store, struct codec *codec, uint64_t first,
                unsigned count)
{
    struct chunk *group[GROUP_MOST] = {NULL};

    for (unsigned i = 0; i < count; i++)
        group[i] = numbered_chunk(codec, first + i);
    bool good = crash_ok(chunk_store_put_many(store, group, count, NULL), "storing chunks");
    for (unsigned i = 0; i < count; i++) {
        if (good)
            expect_say(work, "have %" PRIu64, first + i);
        chunk_unref(group[i]);
    }
    return good;
}

bool chunks_lose_index(const char *work, struct gen *g)
{
    AUTO_FREE char *path = path_join(work, "dir/index");

    return !gen_chance(g, 1, 8) || crash_ok(file_remove_all(path), "losing the index");
}
