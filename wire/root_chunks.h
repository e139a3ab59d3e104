/* SPDX-License-Identifier: Apache-2.0 */
/* wire/root_chunks.h – a row of chunks as root objects spell it, of versions and of delta sets:
 * each its key, then its sizes, expanded and as stored. */
#pragma once

#include "base/pack.h"
#include "wire/root.h"

enum {
    ROOT_CHUNK_LEAST = 1 + DIGEST_SIZE + 2, /* bytes that spell one */
    ROOT_CHUNK_RAW_MAX = 4 << 20,           /* chunk/codec.h, which wire/ does not see */
    ROOT_CHUNK_STORED_MAX = ROOT_CHUNK_RAW_MAX + (64 << 10),
};

void root_chunks_pack(struct pack *p, const struct root_chunk *chunks, size_t count);
/* Fills `chunks`, which has room for `count`; whether sizes are within bounds is not asked here. */
void root_chunks_unpack(struct unpack *u, struct root_chunk *chunks, size_t count);
