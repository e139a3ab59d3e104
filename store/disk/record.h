/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/record.h – the bytes of a segment file: its header and its records (store/FORMAT.md).
 *
 * A record's check values cover, besides the record, the segment's random salt and the record's
 * own offset.  So the bytes of a record count as one in a single place only: neither a stored chunk
 * that holds a copy of a segment, nor an old block that the file system hands out again, can be
 * taken for a record when a damaged file is searched for the next good one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/key.h"
#include "base/status.h"
#include "store/evict.h"

enum { SEGMENT_HEADER_SIZE = 32, RECORD_HEADER_SIZE = 48 };

struct segment_header {
    uint64_t id;
    uint64_t salt;
    enum evict_queue queue; /* which of a cache's queues its records stand in */
};

void segment_header_encode(const struct segment_header *h, uint8_t out[SEGMENT_HEADER_SIZE]);
/* INVALID for a format version or a queue this program does not know, CORRUPT for all else. */
ALB_MUST_USE struct alb_status segment_header_decode(const uint8_t bytes[SEGMENT_HEADER_SIZE],
                                                     struct segment_header *out);

enum record_type {
    RECORD_CHUNK = 1,   /* the stored form of the chunk `key`                            */
    RECORD_REMOVAL = 2, /* no body: `key` was removed; earlier records of it are void     */
};

struct record {
    enum record_type type;
    struct chunk_key key;
    uint32_t size;   /* of the body                    */
    uint64_t offset; /* of the header, in the segment  */
};

/* `body` is read for its check value only. */
void record_header_encode(const struct record *r, uint64_t salt, const void *body,
                          uint8_t out[RECORD_HEADER_SIZE]);
/* Is there a record header at `offset`?  CORRUPT when not: then `out` is not written.  When it
 * is, its size can be believed even if the body behind it is damaged. */
ALB_MUST_USE struct alb_status record_header_decode(const uint8_t header[RECORD_HEADER_SIZE],
                                                    uint64_t salt, uint64_t offset,
                                                    struct record *out);
/* Are header and body what was written?  `header` must have passed record_header_decode(). */
bool record_is_whole(const uint8_t header[RECORD_HEADER_SIZE], const struct record *r,
                     uint64_t salt, const void *body);
/* The first place in `bytes` where a record's magic stands, or `size`. */
size_t record_find_magic(const uint8_t *bytes, size_t size);
