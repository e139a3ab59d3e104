/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_source.c – manifests and contents, out of the store. */
#include "hub/delta_source.h"

#include "base/alloc.h"
#include "hub/stored_tree.h"

enum { KEPT = 16 };

struct kept_chunk {
    struct chunk_key key; /* kind 0: none */
    struct buf raw;
    uint64_t used; /* when, by the source's count */
};

struct delta_source {
    struct stored_tree tree; /* its codec is owned */
    struct kept_chunk kept[KEPT];
    uint64_t uses;
};

struct delta_source *delta_source_new(struct chunk_store *store)
{
    struct delta_source *s = xalloc(sizeof *s);

    s->tree = (struct stored_tree){.store = store, .codec = codec_new()};
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
    codec_free(s->tree.codec);
    free(s);
    return NULL;
}

/* ---- trees ---- */

struct alb_status delta_source_tree(struct delta_source *s, const struct digest *root,
                                    struct manifest *out)
{
    struct root r = {.chunk_count = 0};
    struct alb_status st = stored_tree_root(&s->tree, root, &r);

    if (alb_failed(st))
        return st;
    if (r.manifest_bytes > DELTA_MANIFEST_MAX || r.entries > DELTA_ENTRIES_MAX)
        st = alb_fail(ALB_FULL, "the tree has more entries than deltas are made for");
    else
        st = stored_tree_manifest(&s->tree, &r, DELTA_ENTRIES_MAX, out);
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
    struct alb_status st = stored_tree_expand(&s->tree, key, CHUNK_RAW_MAX, &oldest->raw);
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

    if (!alb_failed(chunk_store_locate(s->tree.store, key, &place))) {
        *out = place.size;
        return ALB_STATUS_OK;
    }
    struct alb_status st = chunk_store_get(s->tree.store, key, &chunk);
    if (!alb_failed(st))
        *out = chunk->size;
    chunk_unref(chunk);
    return st;
}
