/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_source.h – what delta sets are made from: manifests and contents, out of the store.
 *
 * Every call blocks and belongs on a worker; one user at a time.  A source keeps the chunks it
 * expanded last, since neighbouring small files share theirs: at most 64 MiB.
 */
#pragma once

#include "store/chunk_store.h"
#include "wire/manifest.h"

enum {
    DELTA_MANIFEST_MAX = 24 << 20, /* bytes of a manifest that is looked into: 300,000 files */
    DELTA_ENTRIES_MAX = 400000,
};

struct delta_source;
struct delta_source *delta_source_new(struct chunk_store *store); /* borrowed */
struct delta_source *delta_source_free(struct delta_source *s);

/* The tree of a root.  NOT_FOUND, CORRUPT, FULL (larger than what is looked into), IO. */
ALB_MUST_USE struct alb_status delta_source_tree(struct delta_source *s, const struct digest *root,
                                                 struct manifest *out);
/* Append `length` bytes of a regular file from `at` on. */
ALB_MUST_USE struct alb_status delta_source_read(struct delta_source *s,
                                                 const struct manifest_entry *file, uint64_t at,
                                                 uint64_t length, struct buf *out);
/* Bytes of a chunk's stored form. */
ALB_MUST_USE struct alb_status delta_source_stored(struct delta_source *s,
                                                   const struct chunk_key *key, uint32_t *out);
