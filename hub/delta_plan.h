/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_plan.h – between two trees: which contents are new, from what, and what they cost.
 *
 * A *target* is a content of the new tree that the old one does not have, once, in path order.
 * What a target is *worth* is what it costs whoever holds the old tree to fetch it as chunks: the
 * stored bytes of the chunks that the old tree lacks, shared out among the targets in them.
 */
#pragma once

#include "base/map.h"
#include "chunk/resemble.h"
#include "hub/delta_source.h"

struct delta_target {
    const struct manifest_entry *file; /* of the new tree */
    size_t candidate_count;
    const struct manifest_entry *candidates[RESEMBLE_ANSWERS]; /* of the old tree, best first */
};

struct delta_plan {
    struct manifest from, to;
    struct delta_target *targets;
    size_t target_count;
    uint64_t worth;    /* of all targets, bytes */
    struct map chunks; /* those that the old tree lacks: struct new_chunk */
    struct new_chunk *all;
};

/* Blocks.  As delta_source_tree(). */
ALB_MUST_USE struct alb_status delta_plan_make(struct delta_source *s, const struct digest *from,
                                               const struct digest *to, struct delta_plan *out);
void delta_plan_release(struct delta_plan *p);
/* What `length` bytes of a target from `at` on are worth. */
uint64_t delta_plan_worth(const struct delta_plan *p, const struct manifest_entry *file,
                          uint64_t at, uint64_t length);
