/* SPDX-License-Identifier: Apache-2.0 */
/* base/crypto.h – digest, HMAC, Ed25519 and random bytes, all from OpenSSL's libcrypto.
 *
 * SHA-256 is FIPS 180-4, Ed25519 RFC 8032.
 * A libcrypto that cannot do these is a broken installation: digest and random calls abort then.
 */
#pragma once

#include "base/key.h"

enum { SIGN_PUBLIC_SIZE = 32, SIGN_SECRET_SIZE = 32, SIGN_SIZE = 64 };

struct sign_public {
    uint8_t bytes[SIGN_PUBLIC_SIZE];
};
struct sign_secret {
    uint8_t seed[SIGN_SECRET_SIZE];
};

void sha256(const void *bytes, size_t size, struct digest *out);

/* A running digest.  One owner; hasher_free(NULL) is fine. */
struct hasher;
struct hasher *hasher_new(void);
void hasher_reset(struct hasher *h);
void hasher_add(struct hasher *h, const void *bytes, size_t size);
void hasher_finish(struct hasher *h, struct digest *out); /* and resets */
struct hasher *hasher_free(struct hasher *h);

void random_bytes(void *out, size_t size);
/* RFC 2104 with SHA-256. */
void hmac_sha256(const void *key, size_t key_size, const void *bytes, size_t size,
                 struct digest *out);
/* Equal in constant time. */
bool bytes_same_secret(const void *a, const void *b, size_t size);
void wipe(void *bytes, size_t size);

void sign_generate(struct sign_secret *secret, struct sign_public *pub);
void sign_public_of(const struct sign_secret *secret, struct sign_public *pub);
void sign_bytes(const struct sign_secret *secret, const void *bytes, size_t size,
                uint8_t out[SIGN_SIZE]);
/* ALB_CORRUPT when the signature is not that key's over those bytes. */
ALB_MUST_USE struct alb_status sign_verify(const struct sign_public *pub, const void *bytes,
                                           size_t size, const uint8_t signature[SIGN_SIZE]);
static inline bool sign_public_equal(const struct sign_public *a, const struct sign_public *b)
{
    return memcmp(a->bytes, b->bytes, SIGN_PUBLIC_SIZE) == 0;
}
