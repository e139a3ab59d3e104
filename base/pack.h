/* SPDX-License-Identifier: Apache-2.0 */
/* base/pack.h – fixed little-endian integers, LEB128 varints and byte runs, in and out of memory.
 *
 * Both sides carry a *sticky* error: after the first failure every further call is harmless and
 * answers zero, so a decoder reads straight through and asks once at the end.  The reader never
 * reads beyond its input; varints must be minimal (one value has one spelling) and fit 64 bits.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/key.h"
#include "base/status.h"

struct unpack {
    const uint8_t *at;
    const uint8_t *end;
    const char *error; /* NULL while well; a literal that says what was wrong */
};

void unpack_init(struct unpack *u, const void *bytes, size_t size);
static inline size_t unpack_left(const struct unpack *u)
{
    return (size_t)(u->end - u->at);
}
uint8_t unpack_u8(struct unpack *u);
uint16_t unpack_u16(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
uint64_t unpack_varint(struct unpack *u);
/* A varint that may not exceed `max`. */
uint64_t unpack_bounded(struct unpack *u, uint64_t max);
int64_t unpack_zigzag(struct unpack *u);
/* Borrowed view of `size` bytes, or NULL (and the error) when there are fewer. */
const uint8_t *unpack_bytes(struct unpack *u, size_t size);
/* A varint length (≤ max) followed by that many bytes; borrowed. */
const uint8_t *unpack_run(struct unpack *u, size_t max, size_t *size);
/* The same, copied into `out` with a terminating zero; zero bytes inside are refused. */
void unpack_string(struct unpack *u, char *out, size_t out_size);
void unpack_digest(struct unpack *u, struct digest *out);
void unpack_key(struct unpack *u, struct chunk_key *out); /* kind byte, then digest */
/* Note an error of the caller's own; the first one stays. */
void unpack_fail(struct unpack *u, const char *what);
/* OK when nothing failed and nothing is left over; else ALB_CORRUPT with the literal. */
ALB_MUST_USE struct alb_status unpack_finish(struct unpack *u);
/* OK when nothing failed; what is left is the caller's. */
ALB_MUST_USE struct alb_status unpack_check(const struct unpack *u);

struct pack {
    struct buf *out;      /* borrowed */
    struct alb_status st; /* first failure */
};

void pack_init(struct pack *p, struct buf *out);
void pack_u8(struct pack *p, uint8_t v);
void pack_u16(struct pack *p, uint16_t v);
void pack_u32(struct pack *p, uint32_t v);
void pack_u64(struct pack *p, uint64_t v);
void pack_varint(struct pack *p, uint64_t v);
void pack_zigzag(struct pack *p, int64_t v);
void pack_bytes(struct pack *p, const void *bytes, size_t size);
void pack_run(struct pack *p, const void *bytes, size_t size); /* varint length, bytes */
void pack_string(struct pack *p, const char *text);            /* as a run, without the zero */
void pack_digest(struct pack *p, const struct digest *d);
void pack_key(struct pack *p, const struct chunk_key *k);
ALB_MUST_USE struct alb_status pack_finish(const struct pack *p);
