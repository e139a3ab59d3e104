/* SPDX-License-Identifier: Apache-2.0 */
/* store/ram.h – the twins of both doors in memory, for the simulator and tests.
 *
 * They keep the contracts of chunk_store.h and catalogue.h and, with a non-zero
 * `unknown_per_mille`, answer "unknown" to that share of writes by `seed` (half of them took
 * effect), so that tests reach that branch.  `quota_bytes` 0 means no limit; beyond it put_many
 * answers FULL.
 */
#pragma once

#include "store/catalogue.h"
#include "store/chunk_store.h"

struct ram_options {
    uint64_t quota_bytes;
    uint64_t seed;
    unsigned unknown_per_mille;
};

struct chunk_store *ram_chunk_store_new(const struct ram_options *options);
struct catalogue *ram_catalogue_new(const struct ram_options *options);
/* Flip a byte of a kept chunk, so that get answers CORRUPT (as the disk's check would). */
ALB_MUST_USE struct alb_status ram_chunk_store_damage(struct chunk_store *s,
                                                      const struct chunk_key *key);
