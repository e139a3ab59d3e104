/* SPDX-License-Identifier: Apache-2.0 */
/* base/pack.c – integers, varints and byte runs, read and written with a sticky error. */
#include "base/pack.h"

enum { VARINT_MOST_BYTES = 10 };

static const uint8_t NO_BYTES[1] = {0};

/* ---- reading ---- */

void unpack_init(struct unpack *u, const void *bytes, size_t size)
{
    alb_assert(bytes != NULL || size == 0);
    u->at = bytes == NULL ? NO_BYTES : bytes;
    u->end = u->at + size;
    u->error = NULL;
}

void unpack_fail(struct unpack *u, const char *what)
{
    if (u->error == NULL)
        u->error = what;
    /* Nothing is left, so a loop over unpack_left() ends too. */
    u->at = u->end;
}

const uint8_t *unpack_bytes(struct unpack *u, size_t size)
{
    const uint8_t *bytes = u->at;

    if (u->error != NULL)
        return NULL;
    if (size > unpack_left(u)) {
        unpack_fail(u, "input ends too early");
        return NULL;
    }
    u->at += size;
    return bytes;
}

/* Little-endian, `size` ≤ 8 bytes. */
static uint64_t unpack_fixed(struct unpack *u, size_t size)
{
    const uint8_t *bytes = unpack_bytes(u, size);
    uint64_t v = 0;

    if (bytes == NULL)
        return 0;
    for (size_t i = 0; i < size; i++)
        v |= (uint64_t)bytes[i] << (8 * i);
    return v;
}

uint8_t unpack_u8(struct unpack *u)
{
    return (uint8_t)unpack_fixed(u, 1);
}

uint16_t unpack_u16(struct unpack *u)
{
    return (uint16_t)unpack_fixed(u, 2);
}

uint32_t unpack_u32(struct unpack *u)
{
    return (uint32_t)unpack_fixed(u, 4);
}

uint64_t unpack_u64(struct unpack *u)
{
    return unpack_fixed(u, 8);
}

uint64_t unpack_varint(struct unpack *u)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < VARINT_MOST_BYTES; i++) {
        const uint8_t *byte = unpack_bytes(u, 1);

        if (byte == NULL)
            return 0;
        if (i == VARINT_MOST_BYTES - 1 && *byte > 1)
            break; /* the tenth byte has room for the 64th bit only */
        v |= (uint64_t)(*byte & 0x7f) << (7 * i);
        if (*byte & 0x80)
            continue;
        if (*byte == 0 && i > 0) {
            unpack_fail(u, "a number is spelled longer than needed");
            return 0;
        }
        return v;
    }
    unpack_fail(u, "a number does not fit 64 bits");
    return 0;
}

uint64_t unpack_bounded(struct unpack *u, uint64_t max)
{
    uint64_t v = unpack_varint(u);

    if (v <= max)
        return v;
    unpack_fail(u, "a number is larger than allowed");
    return 0;
}

int64_t unpack_zigzag(struct unpack *u)
{
    uint64_t v = unpack_varint(u);
    uint64_t half = v >> 1;

    return (v & 1) ? -(int64_t)half - 1 : (int64_t)half;
}

const uint8_t *unpack_run(struct unpack *u, size_t max, size_t *size)
{
    size_t length = (size_t)unpack_bounded(u, max);
    const uint8_t *bytes = unpack_bytes(u, length);

    *size = bytes == NULL ? 0 : length; /* zero on failure: a sticky reader answers zero */
    return bytes;
}

void unpack_string(struct unpack *u, char *out, size_t out_size)
{
    const uint8_t *bytes;
    size_t size;

    alb_assert(out_size > 0);
    out[0] = '\0';
    bytes = unpack_run(u, out_size - 1, &size);
    if (bytes == NULL)
        return;
    if (memchr(bytes, 0, size) != NULL) {
        unpack_fail(u, "a text holds a zero byte");
        return;
    }
    memcpy(out, bytes, size);
    out[size] = '\0';
}

void unpack_digest(struct unpack *u, struct digest *out)
{
    const uint8_t *bytes = unpack_bytes(u, DIGEST_SIZE);

    if (bytes == NULL)
        *out = (struct digest){0};
    else
        memcpy(out->bytes, bytes, DIGEST_SIZE);
}

void unpack_key(struct unpack *u, struct chunk_key *out)
{
    struct chunk_key key = {.kind = unpack_u8(u)};

    unpack_digest(u, &key.digest);
    if (u->error == NULL && (key.kind < KEY_PLAIN || key.kind > KEY_CASYNC_SHA512))
        unpack_fail(u, "unknown kind of chunk key");
    *out = u->error == NULL ? key : (struct chunk_key){0};
}

struct alb_status unpack_check(const struct unpack *u)
{
    if (u->error != NULL)
        return (struct alb_status){ALB_CORRUPT, 0, u->error};
    return ALB_STATUS_OK;
}

struct alb_status unpack_finish(struct unpack *u)
{
    if (unpack_left(u) > 0)
        unpack_fail(u, "bytes are left over at the end");
    return unpack_check(u);
}

/* ---- writing ---- */

void pack_init(struct pack *p, struct buf *out)
{
    p->out = out;
    p->st = ALB_STATUS_OK;
}

void pack_bytes(struct pack *p, const void *bytes, size_t size)
{
    if (!alb_failed(p->st))
        p->st = buf_append(p->out, bytes, size);
}

static void pack_fixed(struct pack *p, uint64_t v, size_t size)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(v >> (8 * i));
    pack_bytes(p, bytes, size);
}

void pack_u8(struct pack *p, uint8_t v)
{
    pack_fixed(p, v, 1);
}

void pack_u16(struct pack *p, uint16_t v)
{
    pack_fixed(p, v, 2);
}

void pack_u32(struct pack *p, uint32_t v)
{
    pack_fixed(p, v, 4);
}

void pack_u64(struct pack *p, uint64_t v)
{
    pack_fixed(p, v, 8);
}

void pack_varint(struct pack *p, uint64_t v)
{
    uint8_t bytes[VARINT_MOST_BYTES];
    size_t n = 0;

    while (v >= 0x80) {
        bytes[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    bytes[n++] = (uint8_t)v;
    pack_bytes(p, bytes, n);
}

void pack_zigzag(struct pack *p, int64_t v)
{
    uint64_t twice = (uint64_t)v << 1;

    pack_varint(p, v < 0 ? ~twice : twice);
}

void pack_run(struct pack *p, const void *bytes, size_t size)
{
    pack_varint(p, size);
    pack_bytes(p, bytes, size);
}

void pack_string(struct pack *p, const char *text)
{
    pack_run(p, text, strlen(text));
}

void pack_digest(struct pack *p, const struct digest *d)
{
    pack_bytes(p, d->bytes, DIGEST_SIZE);
}

void pack_key(struct pack *p, const struct chunk_key *k)
{
    pack_u8(p, k->kind);
    pack_digest(p, &k->digest);
}

struct alb_status pack_finish(const struct pack *p)
{
    return p->st;
}
