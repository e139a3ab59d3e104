/* SPDX-License-Identifier: Apache-2.0 */
/* wire/trust.h – where trust starts: the trust file, and what it delegates (DESIGN §5, §9).
 *
 * Versions 1, 2, 3 …; each is signed by the threshold of its own root keys and, from version 2 on,
 * by the threshold of the version before.  It names the hub's online key and, for each layer
 * prefix, the publisher keys that may sign version records beneath it.
 */
#pragma once

#include "base/buf.h"
#include "base/crypto.h"
#include "base/units.h"

enum { TRUST_ROOTS_MAX = 16, TRUST_DELEGATIONS_MAX = 1024 };

struct trust_delegation {
    char prefix[NAME_MAX_SIZE]; /* "" covers every layer */
    struct sign_public key;
};

struct trust {
    char org[NAME_MAX_SIZE];
    uint64_t version;
    int64_t issued_wall_s;
    uint32_t threshold;
    size_t root_count;
    struct sign_public roots[TRUST_ROOTS_MAX];
    struct sign_public hub_key;           /* signs heads, grants, revocations */
    struct trust_delegation *delegations; /* owned */
    size_t delegation_count;
};

ALB_MUST_USE struct alb_status trust_encode(const struct trust *t,
                                            const struct sign_secret *secrets, size_t secret_count,
                                            struct buf *out);
/* Decode and check against `before` (NULL: version 1, checked against its own keys and, when not
 * NULL, `pin`, the SHA-256 of its bytes).  INVALID when it is not the version after `before`. */
ALB_MUST_USE struct alb_status trust_decode(const void *bytes, size_t size,
                                            const struct trust *before, const struct digest *pin,
                                            struct trust *out);
/* Decode without judging signatures, to show or to sign. */
ALB_MUST_USE struct alb_status trust_decode_unchecked(const void *bytes, size_t size,
                                                      struct trust *out);
void trust_release(struct trust *t);
/* May `key` sign version records of `layer`? */
bool trust_allows(const struct trust *t, const char *layer, const struct sign_public *key);
