/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_source.c – manifests and contents, out of the store. */
#include "hub/delta_source.h"

#include "base/alloc.h"
#include "chunk/codec.h"
#include "wire/root.h"

enum { KEPT = 16 };

struct kept_chunk {
    struct chunk_key key; /* kind 0: none */
    struct buf raw;
    uint64_t used; /* when, by the source's count */
};

struct delta_source {
    struct chunk_store *store;
    struct codec *codec;
    struct kept_chunk kept[KEPT];
    uint64_t uses;
};

struct delta_source *delta_source_new(struct chunk_store *store)
{
    struct delta_source *s = xalloc(sizeof *s);

    s->store = store;
    s->codec = codec_new();
    for (size_t i = 0; i < KEPT; i++)
        buf_init(&s->kept[i].raw, CHUNK_RAW_MAX);
    return s;
}

struct delta_source *delta_source_free(struct delta_source *s)
{
    if (s == NULL)
        return NULL;
    for (size_t i = 0; i < KEPT; i++)
        buf_release(&s->kept[i].raw);
    codec_free(s->codec);
    free(s);
    return NULL;
}

static struct alb_status expand(struct delta_source *s, const struct chunk_key *key, size_t most,
                                struct buf *out)
{
    struct chunk *chunk = NULL;
    struct alb_status st = chunk_store_get(s->store, key, &chunk);

    if (alb_failed(st))
        return st;
    st = codec_expand(s->codec, chunk->bytes, chunk->size, most, out);
    chunk_unref(chunk);
    return st;
}

/* ---- trees ---- */

static struct alb_status read_root(struct delta_source *s, const struct digest *digest,
                                   struct root *out)
{
    const struct chunk_key key = {KEY_PLAIN, *digest};
    struct buf bytes;

    buf_init(&bytes, ROOT_OBJECT_MAX);
    struct alb_status st = expand(s, &key, ROOT_OBJECT_MAX, &bytes);
    if (!alb_failed(st))
        st = root_decode(buf_peek(&bytes), buf_size(&bytes), out);
    buf_release(&bytes);
    return st;
}

static struct alb_status read_manifest(struct delta_source *s, const struct root *root,
                                       struct manifest *out)
{
    struct manifest_limits limits = manifest_limits_default;
    struct alb_status st = ALB_STATUS_OK;
    struct buf stream;

    if (root->manifest_bytes > DELTA_MANIFEST_MAX || root->entries > DELTA_ENTRIES_MAX)
        return alb_fail(ALB_FULL, "the tree has more entries than deltas are made for");
    limits.allow_devices = true; /* judged when it was published */
    limits.max_entries = DELTA_ENTRIES_MAX;
    buf_init(&stream, root->manifest_bytes);
    for (size_t i = 0; i < root->chunk_count && !alb_failed(st); i++)
        st = expand(s, &root->chunks[i].key, root->chunks[i].raw_bytes, &stream);
    if (!alb_failed(st))
        st = manifest_decode(buf_peek(&stream), buf_size(&stream), &limits, out);
    buf_release(&stream);
    return st;
}

struct alb_status delta_source_tree(struct delta_source *s, const struct digest *root,
                                    struct manifest *out)
{
    struct root r = {.chunk_count = 0};
    struct alb_status st = read_root(s, root, &r);

    if (alb_failed(st))
        return st;
    st = read_manifest(s, &r, out);
    root_release(&r);
    return st;
}

/* ---- contents ---- */

static struct alb_status chunk_of(struct delta_source *s, const struct chunk_key *key,
                                  const struct buf **out)
{
    struct kept_chunk *oldest = &s->kept[0];

    for (size_t i = 0; i < KEPT; i++) {
        struct kept_chunk *k = &s->kept[i];
        if (chunk_key_equal(&k->key, key)) {
            k->used = ++s->uses;
            *out = &k->raw;
            return ALB_STATUS_OK;
        }
        if (k->used < oldest->used)
            oldest = k;
    }
    buf_clear(&oldest->raw);
    oldest->key = (struct chunk_key){.kind = 0};
    struct alb_status st = expand(s, key, CHUNK_RAW_MAX, &oldest->raw);
    if (alb_failed(st))
        return st;
    oldest->key = *key;
    oldest->used = ++s->uses;
    *out = &oldest->raw;
    return st;
}

static struct alb_status read_slice(struct delta_source *s, const struct slice *slice,
                                    uint64_t skip, uint64_t length, struct buf *out)
{
    const struct buf *raw = NULL;
    struct alb_status st = chunk_of(s, &slice->key, &raw);

    if (alb_failed(st))
        return st;
    if (buf_size(raw) < (uint64_t)slice->offset + slice->length)
        return alb_fail(ALB_CORRUPT, "a chunk is shorter than its manifest says");
    return buf_append(out, buf_peek(raw) + slice->offset + skip, (size_t)length);
}

struct alb_status delta_source_read(struct delta_source *s, const struct manifest_entry *file,
                                    uint64_t at, uint64_t length, struct buf *out)
{
    struct alb_status st = ALB_STATUS_OK;
    uint64_t begin = 0; /* of the slice, in the file */

    for (size_t i = 0; i < file->slice_count && length > 0 && !alb_failed(st); i++) {
        const struct slice *slice = &file->slices[i];
        const uint64_t end = begin + slice->length;

        if (at < end) {
            const uint64_t some = end - at < length ? end - at : length;
            st = read_slice(s, slice, at - begin, some, out);
            at += some;
            length -= some;
        }
        begin = end;
    }
    if (!alb_failed(st) && length > 0)
        st = alb_fail(ALB_INVALID, "a file has no such bytes");
    return st;
}

struct alb_status delta_source_stored(struct delta_source *s, const struct chunk_key *key,
                                      uint32_t *out)
{
    struct chunk_place place;
    struct chunk *chunk = NULL;

    if (!alb_failed(chunk_store_locate(s->store, key, &place))) {
        *out = place.size;
        return ALB_STATUS_OK;
    }
    struct alb_status st = chunk_store_get(s->store, key, &chunk);
    if (!alb_failed(st))
        *out = chunk->size;
    chunk_unref(chunk);
    return st;
}
