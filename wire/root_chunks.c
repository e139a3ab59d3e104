/* SPDX-License-Identifier: Apache-2.0 */
/* wire/root_chunks.c – chunks of a root object, one behind another. */
#include "wire/root_chunks.h"

void root_chunks_pack(struct pack *p, const struct root_chunk *chunks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pack_key(p, &chunks[i].key);
        pack_varint(p, chunks[i].raw_bytes);
        pack_varint(p, chunks[i].stored_bytes);
    }
}

void root_chunks_unpack(struct unpack *u, struct root_chunk *chunks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unpack_key(u, &chunks[i].key);
        chunks[i].raw_bytes = (uint32_t)unpack_bounded(u, UINT32_MAX);
        chunks[i].stored_bytes = (uint32_t)unpack_bounded(u, UINT32_MAX);
    }
}
