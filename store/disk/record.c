/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/record.c – encodes and judges segment headers and record headers. */

#include "store/disk/record.h"

#include "chunk/codec.h"
#include "store/disk/crc32c.h"
#include "store/disk/le.h"

/* Offsets of the fields; store/FORMAT.md says the same in words. */
enum { HEAD_MAGIC = 0, HEAD_ID = 8, HEAD_SALT = 16, HEAD_FLAGS = 24, HEAD_CRC = 28 };
enum {
    REC_MAGIC = 0,
    REC_CRC = 4,
    REC_SIZE = 8,
    REC_TYPE = 12,
    REC_KIND = 13,
    REC_HEAD_CRC = 14,
    REC_DIGEST = 16
};

static const char segment_magic[8] = {'A', 'L', 'B', 'S', 'E', 'G', '0', '1'};
static const char record_magic[4] = {'A', 'L', 'B', 'r'};
enum { MAGIC_VERSION = 6 }; /* where the digits of segment_magic start */

void segment_header_encode(const struct segment_header *h, uint8_t out[SEGMENT_HEADER_SIZE])
{
    memcpy(out + HEAD_MAGIC, segment_magic, sizeof(segment_magic));
    le_put(out + HEAD_ID, h->id, 8);
    le_put(out + HEAD_SALT, h->salt, 8);
    le_put(out + HEAD_FLAGS, (uint64_t)h->queue, 4);
    le_put(out + HEAD_CRC, crc32c_extend(0, out, HEAD_CRC), 4);
}

struct alb_status segment_header_decode(const uint8_t bytes[SEGMENT_HEADER_SIZE],
                                        struct segment_header *out)
{
    if (memcmp(bytes, segment_magic, MAGIC_VERSION) != 0)
        return alb_fail(ALB_CORRUPT, "segment: does not begin like one");
    if (memcmp(bytes, segment_magic, sizeof(segment_magic)) != 0)
        return alb_fail(ALB_INVALID, "segment: its format version is not 01; a newer program "
                                     "wrote it, so use that one");
    if (le_get(bytes + HEAD_CRC, 4) != crc32c_extend(0, bytes, HEAD_CRC))
        return alb_fail(ALB_CORRUPT, "segment: its header's check value is wrong");
    if (le_get(bytes + HEAD_FLAGS, 4) >= EVICT_QUEUES)
        return alb_fail(ALB_INVALID, "segment: it has flags this program does not know; a newer "
                                     "program wrote it, so use that one");
    out->id = le_get(bytes + HEAD_ID, 8);
    out->salt = le_get(bytes + HEAD_SALT, 8);
    out->queue = (enum evict_queue)le_get(bytes + HEAD_FLAGS, 4);
    return ALB_STATUS_OK;
}

static uint32_t place_crc(uint64_t salt, uint64_t offset)
{
    uint8_t place[16];
    le_put(place, salt, 8);
    le_put(place + 8, offset, 8);
    return crc32c_extend(0, place, sizeof(place));
}

/* Two bytes that tell a real header from a likeness, so that its size can be followed without
 * reading the body. */
static uint16_t header_crc(const uint8_t *header, uint64_t salt, uint64_t offset)
{
    uint32_t crc = place_crc(salt, offset);
    crc = crc32c_extend(crc, header + REC_SIZE, REC_HEAD_CRC - REC_SIZE);
    crc = crc32c_extend(crc, header + REC_DIGEST, DIGEST_SIZE);
    return (uint16_t)(crc ^ (crc >> 16));
}

static uint32_t whole_crc(const uint8_t *header, uint64_t salt, const struct record *r,
                          const void *body)
{
    uint32_t crc = place_crc(salt, r->offset);
    crc = crc32c_extend(crc, header + REC_SIZE, RECORD_HEADER_SIZE - REC_SIZE);
    return crc32c_extend(crc, body, r->size);
}

void record_header_encode(const struct record *r, uint64_t salt, const void *body,
                          uint8_t out[RECORD_HEADER_SIZE])
{
    memcpy(out + REC_MAGIC, record_magic, sizeof(record_magic));
    le_put(out + REC_SIZE, r->size, 4);
    out[REC_TYPE] = (uint8_t)r->type;
    out[REC_KIND] = r->key.kind;
    memcpy(out + REC_DIGEST, r->key.digest.bytes, DIGEST_SIZE);
    le_put(out + REC_HEAD_CRC, header_crc(out, salt, r->offset), 2);
    le_put(out + REC_CRC, whole_crc(out, salt, r, body), 4);
}

struct alb_status record_header_decode(const uint8_t header[RECORD_HEADER_SIZE], uint64_t salt,
                                       uint64_t offset, struct record *out)
{
    struct record r = {.type = RECORD_CHUNK, .offset = offset};
    if (memcmp(header + REC_MAGIC, record_magic, sizeof(record_magic)) != 0)
        return alb_fail(ALB_CORRUPT, "segment: no record begins here");
    if (le_get(header + REC_HEAD_CRC, 2) != header_crc(header, salt, offset))
        return alb_fail(ALB_CORRUPT, "segment: a record's header is damaged");
    r.size = (uint32_t)le_get(header + REC_SIZE, 4);
    r.key.kind = header[REC_KIND];
    memcpy(r.key.digest.bytes, header + REC_DIGEST, DIGEST_SIZE);
    if (header[REC_TYPE] == RECORD_REMOVAL)
        r.type = RECORD_REMOVAL;
    else if (header[REC_TYPE] != RECORD_CHUNK)
        return alb_fail(ALB_CORRUPT, "segment: a record of unknown type");
    if (r.size > (r.type == RECORD_REMOVAL ? 0 : CHUNK_STORED_MAX))
        return alb_fail(ALB_CORRUPT, "segment: a record's size is absurd");
    *out = r;
    return ALB_STATUS_OK;
}

bool record_is_whole(const uint8_t header[RECORD_HEADER_SIZE], const struct record *r,
                     uint64_t salt, const void *body)
{
    return le_get(header + REC_CRC, 4) == whole_crc(header, salt, r, body);
}

size_t record_find_magic(const uint8_t *bytes, size_t size)
{
    const uint8_t *found = memmem(bytes, size, record_magic, sizeof(record_magic));
    return found != NULL ? (size_t)(found - bytes) : size;
}
