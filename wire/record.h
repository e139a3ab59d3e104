/* SPDX-License-Identifier: Apache-2.0 */
/* wire/record.h – version record, head, read grant and revocation list: the small signed things.
 *
 * A *version record* introduces content: signed by a publisher the trust file delegates the layer
 * to; never expires.  A *head* selects one: signed by the hub's online key; expires.  A *grant*
 * says which layers a device may read; a *revocation list* which certificates are no longer
 * believed.  All travel and rest as the signed bytes they came in.
 */
#pragma once

#include "base/buf.h"
#include "base/crypto.h"
#include "base/units.h"
#include "wire/trust.h"

enum { HEAD_LIFETIME_S = 7 * 86400, GRANT_LIFETIME_S = 30 * 86400, GRANT_PREFIXES_MAX = 256 };
enum { RECORD_DEVICES = 1 }; /* flags: the manifest may hold device nodes */

struct version_record {
    char org[NAME_MAX_SIZE];
    char layer[NAME_MAX_SIZE];
    char version[NAME_MAX_SIZE];
    uint64_t sequence; /* 1, 2, 3 … within the layer */
    struct digest root;
    uint64_t root_bytes;    /* of the root object                      */
    uint64_t content_bytes; /* must equal the root object's            */
    uint64_t entries;       /* must equal the root object's            */
    uint64_t flags;
    int64_t made_wall_s;
    struct sign_public publisher; /* the key that signed it; from the envelope */
};

struct head {
    char org[NAME_MAX_SIZE];
    char layer[NAME_MAX_SIZE];
    uint64_t sequence;    /* of heads of this layer */
    struct digest record; /* SHA-256 of the version record's signed bytes */
    int64_t issued_wall_s;
    int64_t expires_wall_s;
};

struct grant {
    char org[NAME_MAX_SIZE];
    char device[NAME_MAX_SIZE];
    char site[NAME_MAX_SIZE];
    int64_t issued_wall_s;
    int64_t expires_wall_s;
    size_t prefix_count; /* layer prefixes it may read; "" is all */
    char prefixes[GRANT_PREFIXES_MAX][NAME_MAX_SIZE];
};

struct revocations {
    char org[NAME_MAX_SIZE];
    uint64_t number;
    int64_t issued_wall_s;
    char (*serials)[41]; /* owned; lower-case hex, ascending */
    size_t count;
};

ALB_MUST_USE struct alb_status record_encode(const struct version_record *r,
                                             const struct sign_secret *publisher, struct buf *out);
/* REFUSED when the signer may not publish that layer, CORRUPT when the signature is bad.  `trust`
 * NULL: decode only (a relay that has no need to judge must not use this to serve). */
ALB_MUST_USE struct alb_status record_decode(const void *bytes, size_t size,
                                             const struct trust *trust, struct version_record *out);
ALB_MUST_USE struct alb_status head_encode(const struct head *h, const struct sign_secret *hub,
                                           struct buf *out);
/* Signature only: an expired one stops "latest", never a version asked for by name.  REFUSED when
 * `trust` is NULL, as with grants and revocation lists: what nobody can judge is not believed. */
ALB_MUST_USE struct alb_status head_decode(const void *bytes, size_t size,
                                           const struct trust *trust, struct head *out);
ALB_MUST_USE struct alb_status grant_encode(const struct grant *g, const struct sign_secret *hub,
                                            struct buf *out);
ALB_MUST_USE struct alb_status grant_decode(const void *bytes, size_t size,
                                            const struct trust *trust, struct grant *out);
bool grant_covers(const struct grant *g, const char *layer);
ALB_MUST_USE struct alb_status revocations_encode(const struct revocations *r,
                                                  const struct sign_secret *hub, struct buf *out);
ALB_MUST_USE struct alb_status revocations_decode(const void *bytes, size_t size,
                                                  const struct trust *trust,
                                                  struct revocations *out);
void revocations_release(struct revocations *r);
bool revocations_has(const struct revocations *r, const char *serial);
