/* SPDX-License-Identifier: Apache-2.0 */
/* wire/root.c – the root object: sizes, and the chunks that spell the manifest. */
#include "wire/root.h"

#include "base/alloc.h"
#include "wire/fields.h"
#include "wire/root_chunks.h"

static const char MAGIC[] = "ALBROOT";
static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("root object");

enum {
    ROOT_FORMAT = 1,
    MAGIC_SIZE = sizeof MAGIC - 1,
};

/* What must hold of any root; the literal says what does not. */
static const char *fault_of(const struct root *r)
{
    uint64_t sum = 0;

    if (r->chunk_count == 0)
        return "a root object names no manifest chunk";
    if (r->chunk_count > ROOT_CHUNKS_MAX)
        return "a root object names more than 110000 manifest chunks";
    for (size_t i = 0; i < r->chunk_count; i++) {
        const struct root_chunk *c = &r->chunks[i];

        if (c->raw_bytes == 0 || c->raw_bytes > ROOT_CHUNK_RAW_MAX)
            return "a root object's chunk is empty or larger than a chunk may be";
        if (c->stored_bytes == 0 || c->stored_bytes > ROOT_CHUNK_STORED_MAX)
            return "a root object's stored chunk is empty or larger than one may be";
        sum += c->raw_bytes;
    }
    if (sum != r->manifest_bytes)
        return "a root object's manifest chunks do not add up to its manifest's size";
    if (r->entries == 0 || r->entries > r->manifest_bytes)
        return "a root object's number of entries does not fit its manifest's size";
    if (r->content_chunks > UINT32_MAX || r->content_chunks > r->content_raw_bytes ||
        r->content_raw_bytes > UINT32_MAX * (uint64_t)ROOT_CHUNK_RAW_MAX)
        return "a root object's number of chunks does not fit their size";
    if ((r->content_bytes == 0) != (r->content_chunks == 0))
        return "a root object has content without chunks, or chunks without content";
    return NULL;
}

struct alb_status root_encode(const struct root *r, struct buf *out)
{
    const char *fault = fault_of(r);
    struct pack p;

    if (fault != NULL)
        return (struct alb_status){ALB_INVALID, 0, fault};
    pack_init(&p, out);
    pack_bytes(&p, MAGIC, MAGIC_SIZE);
    pack_u8(&p, ROOT_FORMAT);
    pack_varint(&p, r->entries);
    pack_varint(&p, r->content_bytes);
    pack_varint(&p, r->content_chunks);
    pack_varint(&p, r->content_raw_bytes);
    pack_varint(&p, r->manifest_bytes);
    pack_varint(&p, r->chunk_count);
    root_chunks_pack(&p, r->chunks, r->chunk_count);
    return pack_finish(&p); /* no typed fields yet: they would stand here, to the end */
}

static void get_numbers(struct unpack *u, struct root *r)
{
    r->entries = unpack_varint(u);
    r->content_bytes = unpack_varint(u);
    r->content_chunks = unpack_varint(u);
    r->content_raw_bytes = unpack_varint(u);
    r->manifest_bytes = unpack_varint(u);
}

static struct alb_status get_chunks(struct unpack *u, struct root *r)
{
    uint64_t most = unpack_left(u) / ROOT_CHUNK_LEAST;

    r->chunk_count = (size_t)unpack_bounded(u, most < ROOT_CHUNKS_MAX ? most : ROOT_CHUNKS_MAX);
    r->chunks = try_alloc(r->chunk_count * sizeof *r->chunks);
    if (r->chunks == NULL)
        return alb_fail(ALB_FULL, "no memory for a root object");
    root_chunks_unpack(u, r->chunks, r->chunk_count);
    return unpack_check(u);
}

static struct alb_status get_rest(struct unpack *u, struct root *r)
{
    struct alb_status st;
    const char *fault;

    get_numbers(u, r);
    st = get_chunks(u, r);
    if (!alb_failed(st))
        st = fields_skip(u, UNKNOWN);
    if (alb_failed(st))
        return st;
    fault = fault_of(r);
    return fault == NULL ? st : (struct alb_status){ALB_CORRUPT, 0, fault};
}

struct alb_status root_decode(const void *bytes, size_t size, struct root *out)
{
    struct root r = {.entries = 0};
    struct unpack u;
    const uint8_t *magic;
    struct alb_status st;

    if (size > ROOT_OBJECT_MAX)
        return alb_fail(ALB_CORRUPT, "a root object is larger than 4 MiB");
    unpack_init(&u, bytes, size);
    magic = unpack_bytes(&u, MAGIC_SIZE);
    if (magic == NULL || memcmp(magic, MAGIC, MAGIC_SIZE) != 0)
        return alb_fail(ALB_CORRUPT, "these bytes are not a root object");
    if (unpack_u8(&u) != ROOT_FORMAT)
        return alb_fail(ALB_CORRUPT, "root object format is not known to this program");
    st = get_rest(&u, &r);
    if (alb_failed(st))
        root_release(&r);
    else
        *out = r;
    return st;
}

void root_release(struct root *r)
{
    free(r->chunks);
    *r = (struct root){.entries = 0};
}

const char *chunk_list_word(enum chunk_list list)
{
    switch (list) {
    case LIST_MANIFEST: return "manifest";
    case LIST_CONTENT: return "content";
    case LIST_ROOT: return "root";
    }
    alb_unreachable();
}
