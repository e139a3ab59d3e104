/* SPDX-License-Identifier: Apache-2.0 */
/* hub/stored_tree.h – a version's tree as the hub's own store has it; blocks, for workers. */
#pragma once

#include "chunk/codec.h"
#include "store/chunk_store.h"
#include "wire/manifest.h"
#include "wire/root.h"

struct stored_tree {
    struct chunk_store *store; /* borrowed, */
    struct codec *codec;       /* as is this: one caller's at a time */
};

/* Appends a chunk's bytes, `most` at most.  What the store says; CORRUPT. */
ALB_MUST_USE struct alb_status stored_tree_expand(const struct stored_tree *t,
                                                  const struct chunk_key *key, size_t most,
                                                  struct buf *out);
/* root_release(out) is the caller's, on success. */
ALB_MUST_USE struct alb_status stored_tree_root(const struct stored_tree *t,
                                                const struct digest *digest, struct root *out);
/* manifest_release(out) is the caller's, on success.  How large it may be is his to judge, too: by
 * `root`, and `max_entries` (0: as many as any reader takes). */
ALB_MUST_USE struct alb_status stored_tree_manifest(const struct stored_tree *t,
                                                    const struct root *root, uint64_t max_entries,
                                                    struct manifest *out);
