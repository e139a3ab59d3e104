/* SPDX-License-Identifier: Apache-2.0 */
/* image/holdings.h – what this machine really holds: verified file contents and chunks, and where.
 *
 * Made from the target and from seed directories.  The digest of a file is computed, or taken from
 * the scan cache when path, size, mtime, ctime and inode are what they were when it was computed.
 * Work comes in units like image/build.h's.
 */
#pragma once

#include "image/scan.h"

struct holdings;

struct holding {      /* where some bytes are */
    int top_fd;       /* borrowed: the tree's top                 */
    const char *path; /* relative to it                           */
    uint64_t offset;
    uint32_t length; /* of a chunk; for files the whole file     */
};

/* `cache_path` NULL: nothing is believed, every byte is read; neither a cache nor the record of
 * what was applied to a tree counts.  A damaged or foreign cache file is ignored (and said in the
 * log). */
struct holdings *holdings_new(const char *cache_path);
struct holdings *holdings_free(struct holdings *h);
/* Optional, before trees are added: read only what this version could use.  Borrowed while trees
 * are added.  Left out are small files of a size that does not occur in it and, in the first tree,
 * large ones that the applied version did not have either; and of a later tree that has every large
 * file of the version, by path, size and time, those that look so alike: they are presumed to be
 * the same until whoever copies one finds that it is not. */
void holdings_want(struct holdings *h, const struct manifest *wanted);
/* Borrow a scanned tree; the first one is the target.  A tree with a record of what was applied to
 * it (image/apply.h) is not read where a file is as that record says. */
void holdings_add(struct holdings *h, const struct scan *scan);
size_t holdings_units(const struct holdings *h);
uint64_t holdings_unit_bytes(const struct holdings *h, size_t unit);
/* Thread-safe for different units.  A file that cannot be read is merely not held. */
void holdings_run(struct holdings *h, size_t unit);
/* After all units. */
bool holdings_file(const struct holdings *h, const struct digest *content, uint64_t size,
                   struct holding *out);
bool holdings_chunk(const struct holdings *h, const struct chunk_key *key, struct holding *out);
/* Digest of the file at `path` in the first tree added;
 * false when it is not a held regular file. */
bool holdings_digest_of(const struct holdings *h, const char *path, struct digest *out);
ALB_MUST_USE struct alb_status holdings_save_cache(const struct holdings *h);
