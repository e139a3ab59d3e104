/* SPDX-License-Identifier: Apache-2.0 */
/* base/key.h – the name of a chunk: what kind of bytes it is, and their digest.
 *
 * Never a bare 32 bytes: the kind says which rule verifies the bytes, so one store, one want table
 * and one quota hold them all (DESIGN §5).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

enum { DIGEST_SIZE = 32, DIGEST_HEX_SIZE = 2 * DIGEST_SIZE + 1 };

/* The numbers are on disk and on the wire. */
enum key_kind {
    KEY_PLAIN = 1,         /* SHA-256 of the uncompressed bytes; stored as one zstd frame */
    KEY_SEALED = 2,        /* SHA-256 of the stored (encrypted) bytes; reserved          */
    KEY_CASYNC_SHA256 = 3, /* casync chunk id, SHA-256; reserved                         */
    KEY_CASYNC_SHA512 = 4, /* casync chunk id, SHA-512/256; reserved                     */
};

struct digest {
    uint8_t bytes[DIGEST_SIZE];
};

struct chunk_key {
    uint8_t kind; /* enum key_kind */
    struct digest digest;
};

static inline bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}
static inline bool chunk_key_equal(const struct chunk_key *a, const struct chunk_key *b)
{
    return a->kind == b->kind && digest_equal(&a->digest, &b->digest);
}
int chunk_key_compare(const struct chunk_key *a, const struct chunk_key *b);
/* A well-spread 64-bit value: the digest's first bytes, mixed with the kind. */
uint64_t chunk_key_hash(const struct chunk_key *k);

/* Lower-case hexadecimal; `out` holds DIGEST_HEX_SIZE bytes.  Returns `out`. */
const char *digest_hex(const struct digest *d, char *out);
/* Exactly 64 hexadecimal digits, else ALB_INVALID. */
ALB_MUST_USE struct alb_status digest_parse(const char *hex, struct digest *out);
void bytes_hex(const uint8_t *bytes, size_t size, char *out /* 2 * size + 1 */);
ALB_MUST_USE struct alb_status bytes_parse_hex(const char *hex, uint8_t *out, size_t size);
