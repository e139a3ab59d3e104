/* SPDX-License-Identifier: Apache-2.0 */
/* hub/stored_tree.c – chunk, root object, manifest: out of the store and decoded. */
#include "hub/stored_tree.h"

struct alb_status stored_tree_expand(const struct stored_tree *t, const struct chunk_key *key,
                                     size_t most, struct buf *out)
{
    struct chunk *chunk = NULL;
    struct alb_status st = chunk_store_get(t->store, key, &chunk);

    if (alb_failed(st))
        return st;
    st = codec_expand(t->codec, chunk->bytes, chunk->size, most, out);
    chunk_unref(chunk);
    return st;
}

struct alb_status stored_tree_root(const struct stored_tree *t, const struct digest *digest,
                                   struct root *out)
{
    const struct chunk_key key = {KEY_PLAIN, *digest};
    struct buf bytes;

    buf_init(&bytes, ROOT_OBJECT_MAX);
    struct alb_status st = stored_tree_expand(t, &key, ROOT_OBJECT_MAX, &bytes);
    if (!alb_failed(st))
        st = root_decode(buf_peek(&bytes), buf_size(&bytes), out);
    buf_release(&bytes);
    return st;
}

struct alb_status stored_tree_manifest(const struct stored_tree *t, const struct root *root,
                                       uint64_t max_entries, struct manifest *out)
{
    struct manifest_limits limits = manifest_limits_default;
    struct alb_status st = ALB_STATUS_OK;
    struct buf stream;

    limits.allow_devices = true; /* judged when it was published */
    if (max_entries > 0)
        limits.max_entries = max_entries;
    buf_init(&stream, root->manifest_bytes);
    for (size_t i = 0; i < root->chunk_count && !alb_failed(st); i++)
        st = stored_tree_expand(t, &root->chunks[i].key, root->chunks[i].raw_bytes, &stream);
    if (!alb_failed(st))
        st = manifest_decode(buf_peek(&stream), buf_size(&stream), &limits, out);
    buf_release(&stream);
    return st;
}
