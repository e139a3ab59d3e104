/* SPDX-License-Identifier: Apache-2.0 */
/* wire/delta_set.c – a delta set's root object: which chunks spell its index and its stream. */
#include "wire/delta_set.h"

#include "base/alloc.h"
#include "wire/fields.h"
#include "wire/root_chunks.h"

static const char MAGIC[] = "ALBDELTA";
static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("delta set");

enum {
    ROOT_FORMAT = 1,
    MAGIC_SIZE = sizeof MAGIC - 1,
};

static const char *fault_of_chunks(const struct root_chunk *chunks, size_t count, uint64_t bytes)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        if (chunks[i].raw_bytes == 0 || chunks[i].raw_bytes > ROOT_CHUNK_RAW_MAX)
            return "a delta set's chunk is empty or larger than a chunk may be";
        if (chunks[i].stored_bytes == 0 || chunks[i].stored_bytes > ROOT_CHUNK_STORED_MAX)
            return "a delta set's stored chunk is empty or larger than one may be";
        sum += chunks[i].raw_bytes;
    }
    return sum == bytes ? NULL : "a delta set's chunks do not add up to its size";
}

/* What must hold of any; the literal says what does not. */
static const char *fault_of(const struct delta_set_root *r)
{
    if (r->index_count == 0 || r->stream_count == 0)
        return "a delta set has no index or no stream";
    if (r->index_count > ROOT_CHUNKS_MAX || r->stream_count > ROOT_CHUNKS_MAX - r->index_count)
        return "a delta set names more than 110000 chunks";
    if (digest_equal(&r->from, &r->to))
        return "a delta set leads from a root to itself";
    if (r->index_bytes > DELTA_SET_INDEX_MAX)
        return "a delta set's index is larger than 16 MiB";
    /* Each blob has at least a byte and rebuilds at most 8 MiB. */
    if (r->target_bytes == 0 || r->target_bytes / DELTA_SET_BLOB_TARGET_MAX > r->stream_bytes)
        return "a delta set rebuilds nothing, or more than its stream can say";
    const char *fault = fault_of_chunks(r->chunks, r->index_count, r->index_bytes);
    if (fault == NULL)
        fault = fault_of_chunks(r->chunks + r->index_count, r->stream_count, r->stream_bytes);
    return fault;
}

struct alb_status delta_set_root_encode(const struct delta_set_root *r, struct buf *out)
{
    const char *fault = fault_of(r);
    struct pack p;

    if (fault != NULL)
        return (struct alb_status){ALB_INVALID, 0, fault};
    pack_init(&p, out);
    pack_bytes(&p, MAGIC, MAGIC_SIZE);
    pack_u8(&p, ROOT_FORMAT);
    pack_digest(&p, &r->from);
    pack_digest(&p, &r->to);
    pack_varint(&p, r->target_bytes);
    pack_varint(&p, r->index_bytes);
    pack_varint(&p, r->stream_bytes);
    pack_varint(&p, r->index_count);
    pack_varint(&p, r->stream_count);
    root_chunks_pack(&p, r->chunks, r->index_count + r->stream_count);
    return pack_finish(&p); /* no typed fields yet: they would stand here, to the end */
}

static void get_numbers(struct unpack *u, struct delta_set_root *r)
{
    const uint64_t most = ROOT_CHUNKS_MAX;

    unpack_digest(u, &r->from);
    unpack_digest(u, &r->to);
    r->target_bytes = unpack_varint(u);
    r->index_bytes = unpack_varint(u);
    r->stream_bytes = unpack_varint(u);
    r->index_count = (size_t)unpack_bounded(u, most);
    r->stream_count = (size_t)unpack_bounded(u, most);
    if ((r->index_count + r->stream_count) * ROOT_CHUNK_LEAST > unpack_left(u))
        unpack_fail(u, "a delta set is cut short");
}

static struct alb_status get_chunks(struct unpack *u, struct delta_set_root *r)
{
    const size_t count = r->index_count + r->stream_count;
    struct alb_status st = unpack_check(u);

    if (alb_failed(st))
        return st;
    r->chunks = try_alloc((count + 1) * sizeof *r->chunks);
    if (r->chunks == NULL)
        return alb_fail(ALB_FULL, "no memory for a delta set");
    root_chunks_unpack(u, r->chunks, count);
    return unpack_check(u);
}

static struct alb_status get_rest(struct unpack *u, struct delta_set_root *r)
{
    get_numbers(u, r);
    struct alb_status st = get_chunks(u, r);
    if (!alb_failed(st))
        st = fields_skip(u, UNKNOWN);
    if (alb_failed(st))
        return st;
    const char *fault = fault_of(r);
    return fault == NULL ? st : (struct alb_status){ALB_CORRUPT, 0, fault};
}

bool delta_set_is_root(const void *bytes, size_t size)
{
    return size >= MAGIC_SIZE && memcmp(bytes, MAGIC, MAGIC_SIZE) == 0;
}

struct alb_status delta_set_root_decode(const void *bytes, size_t size, struct delta_set_root *out)
{
    struct delta_set_root r = {.chunks = NULL};
    struct unpack u;

    if (size > ROOT_OBJECT_MAX)
        return alb_fail(ALB_CORRUPT, "a delta set's root object is larger than 4 MiB");
    if (!delta_set_is_root(bytes, size))
        return alb_fail(ALB_CORRUPT, "these bytes are not a delta set");
    unpack_init(&u, bytes, size);
    (void)unpack_bytes(&u, MAGIC_SIZE);
    if (unpack_u8(&u) != ROOT_FORMAT)
        return alb_fail(ALB_CORRUPT, "delta set format is not known to this program");
    struct alb_status st = get_rest(&u, &r);
    if (alb_failed(st))
        delta_set_root_release(&r);
    else
        *out = r;
    return st;
}

void delta_set_root_release(struct delta_set_root *r)
{
    free(r->chunks);
    *r = (struct delta_set_root){.chunks = NULL};
}
