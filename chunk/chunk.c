/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/chunk.c – allocates, shares and frees the stored bytes of one chunk. */

#include "chunk/chunk.h"

#include "base/alloc.h"
#include "chunk/codec.h"

struct chunk *chunk_new(const struct chunk_key *key, size_t size)
{
    if (size > CHUNK_STORED_MAX)
        return NULL;
    struct chunk *c = try_alloc(sizeof(*c) + size);
    if (c == NULL)
        return NULL;
    atomic_init(&c->refs, 1);
    c->size = (uint32_t)size;
    c->key = *key;
    return c;
}

struct chunk *chunk_copy(const struct chunk_key *key, const void *bytes, size_t size)
{
    struct chunk *c = chunk_new(key, size);
    if (c != NULL && size > 0)
        memcpy(c->bytes, bytes, size);
    return c;
}

struct chunk *chunk_ref(struct chunk *c)
{
    unsigned before = atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    alb_assert(before > 0 && before < UINT32_MAX);
    return c;
}

struct chunk *chunk_unref(struct chunk *c)
{
    /* Acquire and release: whoever frees must see every other holder's last read as done. */
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        free(c);
    return NULL;
}
