/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/chunk.h – one chunk's stored bytes in memory, shared by everybody they are being sent to.
 *
 * Immutable after chunk_new(); the reference count is atomic because a worker may drop the last
 * reference.  The bytes are the stored form and start right behind the struct.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/key.h"

struct chunk {
    atomic_uint refs;
    uint32_t size; /* stored bytes */
    struct chunk_key key;
    uint8_t bytes[];
};

/* One reference, bytes to be filled by the caller before anyone else sees it; NULL when there is
 * no memory or `size` is over CHUNK_STORED_MAX. */
struct chunk *chunk_new(const struct chunk_key *key, size_t size);
struct chunk *chunk_copy(const struct chunk_key *key, const void *bytes, size_t size);
struct chunk *chunk_ref(struct chunk *c);
struct chunk *chunk_unref(struct chunk *c); /* returns NULL; NULL is fine */
