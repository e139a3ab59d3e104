/* SPDX-License-Identifier: Apache-2.0 */
/* sim/cast_version.h – a layer version made in memory: files of seeded bytes, cut, packed and
 * signed.
 *
 * What a publisher's `albedo publish` would have uploaded, without a disk: the chunks of lists M
 * and C, the root object's chunk and the signed version record.
 */
#pragma once

#include "base/crypto.h"
#include "chunk/chunk.h"
#include "wire/record.h"
#include "wire/root.h"

struct cast_version {
    struct chunk **chunks; /* all of them: root object first, then M, then C; one reference each */
    size_t count;
    uint64_t stored_bytes;
    struct version_record record;
    struct buf record_bytes; /* signed */
};

struct cast_order {
    const char *org, *layer;
    uint64_t sequence;
    uint64_t size; /* bytes of content */
    uint64_t seed;
    int64_t wall_s;
    const struct sign_secret *publisher;
};

/* Any failure is a broken test, so it aborts. */
void cast_version_make(const struct cast_order *order, struct cast_version *out);
void cast_version_release(struct cast_version *v);
/* A key pair that is the same for the same seed. */
void cast_key(uint64_t seed, struct sign_secret *secret, struct sign_public *pub);
