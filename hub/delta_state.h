/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_state.h – what the catalogue says of a layer's delta sets.
 *
 *   record/L@root:SET   the signed record of a set, by the set's root
 *   deltas/L@root:TO    those that lead to TO, signed, smallest first: what is served
 *   delta/L             all pairs (from, to) that were decided, kept ones and others
 *
 * They are written in this order, and delta/L says what was done: whatever a crash leaves undone is
 * done again.  Every call blocks; those that write belong to the ordered lane.
 */
#pragma once

#include "hub/ledger.h"
#include "wire/delta_set.h"

enum {
    DELTA_VERSIONS_MAX = 8, /* versions back that sets are made from */
    DELTA_PAIRS_MAX = 128,
};

enum delta_outcome {
    DELTA_KEPT = 1,
    DELTA_POOR = 2,   /* it would save too little             */
    DELTA_CANNOT = 3, /* trees too large, or a chunk is lost  */
};

struct delta_pair {
    struct digest from, to;
    enum delta_outcome outcome;
    struct digest set; /* zero unless it is kept */
    uint64_t root_bytes, bytes, chunk_bytes, rest_bytes, pieces;
    int64_t made_wall_s;
};

struct delta_pairs {
    size_t count;
    struct delta_pair at[DELTA_PAIRS_MAX];
};

/* None yet is OK with count 0.  CORRUPT. */
ALB_MUST_USE struct alb_status delta_state_read(const struct ledger *l, const char *layer,
                                                struct delta_pairs *out);
/* Write what is served of `to` anew: as `pairs` says, signed with the ledger's key. */
ALB_MUST_USE struct alb_status delta_state_serve(const struct ledger *l, const char *layer,
                                                 const struct delta_pairs *pairs,
                                                 const struct digest *to);
/* Is what is served of `to` signed by the ledger's key, and as many as `pairs` says? */
bool delta_state_is_served(const struct ledger *l, const char *layer,
                           const struct delta_pairs *pairs, const struct digest *to);
/* Add a pair (in place of one of the same roots): what is served first, then delta/L.  FULL. */
ALB_MUST_USE struct alb_status delta_state_add(const struct ledger *l, const char *layer,
                                               struct delta_pairs *pairs,
                                               const struct delta_pair *pair);
/* Take pair `i` out: what is served, the set's record, then delta/L. */
ALB_MUST_USE struct alb_status delta_state_drop(const struct ledger *l, const char *layer,
                                                struct delta_pairs *pairs, size_t i);
const struct delta_pair *delta_pairs_find(const struct delta_pairs *pairs,
                                          const struct digest *from, const struct digest *to);
