/* SPDX-License-Identifier: Apache-2.0 */
/* wire/signed.h – the envelope of everything that is signed.
 *
 *     "albedo <kind> <version>\n"      domain string and format version, ASCII
 *     u32 length, body                 typed fields, ascending (wire/fields.h)
 *     u8 count, count × {32 bytes Ed25519 public key, 64 bytes signature}
 *
 * A signature covers everything before the count, so a body can never be taken for one of another
 * kind or version.  Signed bytes are stored and relayed verbatim.  An unknown version is refused by
 * name.
 */
#pragma once

#include "base/buf.h"
#include "base/crypto.h"

enum { SIGNED_MAX = 1 << 20, SIGNED_SIGNATURES_MAX = 16 };

struct signature {
    struct sign_public key;
    uint8_t bytes[SIGN_SIZE];
};

/* Borrowed views of the bytes that were opened. */
struct signed_view {
    const uint8_t *covered; /* what signatures cover */
    size_t covered_size;
    const uint8_t *body;
    size_t body_size;
    size_t signature_count;
    struct signature signatures[SIGNED_SIGNATURES_MAX];
};

/* Append envelope and body, signed by each of `secrets` (may be 0 of them,
 * for signing elsewhere). */
ALB_MUST_USE struct alb_status signed_seal(const char *kind, unsigned version,
                                           const struct buf *body,
                                           const struct sign_secret *secrets, size_t secret_count,
                                           struct buf *out);
/* Checks the frame only; CORRUPT, or INVALID for another kind or an unknown version ("head format 2
 * is not known to this program"). */
ALB_MUST_USE struct alb_status signed_open(const void *bytes, size_t size, const char *kind,
                                           unsigned version, struct signed_view *out);
/* OK when `key` is among the signatures and its signature verifies. */
ALB_MUST_USE struct alb_status signed_check(const struct signed_view *v,
                                            const struct sign_public *key);
/* Open what exactly one key signs (heads, grants …): CORRUPT unless there is one signature, it is
 * `key`'s and it verifies. */
ALB_MUST_USE struct alb_status signed_open_by(const void *bytes, size_t size, const char *kind,
                                              unsigned version, const struct sign_public *key,
                                              struct signed_view *out);
/* How many distinct keys of `keys` have a valid signature. */
size_t signed_count(const struct signed_view *v, const struct sign_public *keys, size_t key_count);
/* Add a signature to sealed bytes (offline root keys sign one after another). */
ALB_MUST_USE struct alb_status signed_add(struct buf *sealed, const struct sign_secret *secret);
