/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/index.h – where each chunk is, and how far the index knows the segments.
 *
 * The index is a convenience: everything in it can be read from the segments again.  Therefore its
 * writes are not synced; the *mark*, written in the same batch as the entries, says up to where in
 * which segment it is complete, and opening the store reads on from there.
 */
#pragma once

#include "base/key.h"
#include "base/status.h"
#include "store/evict.h"

struct index;

struct index_entry {
    uint64_t segment;
    uint32_t offset; /* of the record's header */
    uint32_t size;   /* of the body            */
};

/* Where scrubbing goes on, and what it has done so far. */
struct index_scrub {
    struct chunk_key after; /* kind 0: from the beginning */
    uint64_t rounds, chunks, bytes, bad;
};

/* Up to where a segment that is being written is known; segment 0: none is. */
struct index_extent {
    uint64_t segment;
    uint64_t offset;
};

/* The index is complete for the segments in `at` up to their offsets, and for all others with ids
 * up to `complete_to`. */
struct index_mark {
    struct index_extent at[EVICT_QUEUES];
    uint64_t complete_to; /* 0: knows nothing yet       */
    uint64_t chunks;      /* how many entries there are */
    uint64_t stored_bytes;
};

/* `quota_bytes`: of the whole store, so that what is not yet in tables is a small part of it; 0:
 * none.  INVALID when its format version is unknown, CONFLICT when it is open elsewhere; CORRUPT;
 * IO; FULL. */
ALB_MUST_USE struct alb_status index_open(const char *path, uint64_t quota_bytes,
                                          struct index **out);
void index_close(struct index *x);
/* Remove it, to build it anew; it must not be open. */
ALB_MUST_USE struct alb_status index_destroy(const char *path);

ALB_MUST_USE struct alb_status index_get(struct index *x, const struct chunk_key *key,
                                         struct index_entry *out);
ALB_MUST_USE struct alb_status index_get_mark(struct index *x, struct index_mark *out);
/* Up to `max` keys greater than *after, with their entries. */
ALB_MUST_USE struct alb_status index_list(struct index *x, const struct chunk_key *after,
                                          size_t max, struct chunk_key *keys,
                                          struct index_entry *entries, size_t *count);
/* All zero when there is none.  Saved unsynced. */
ALB_MUST_USE struct alb_status index_get_scrub(struct index *x, struct index_scrub *out);
ALB_MUST_USE struct alb_status index_put_scrub(struct index *x, const struct index_scrub *s);
/* What it occupies on disk, and what it may occupy besides, for a while, by its own doing. */
uint64_t index_disk_bytes(struct index *x);
uint64_t index_reserve_bytes(struct index *x);
/* FULL when `more_bytes` more on this disk would leave too little for the index (rocks.h). */
ALB_MUST_USE struct alb_status index_check_room(struct index *x, uint64_t more_bytes);

struct index_batch;
struct index_batch *index_batch_new(void);
struct index_batch *index_batch_free(struct index_batch *b);
void index_batch_put(struct index_batch *b, const struct chunk_key *key,
                     const struct index_entry *entry);
void index_batch_remove(struct index_batch *b, const struct chunk_key *key);
/* All changes and the mark, or nothing; with `sync` it and all before it is durable. */
ALB_MUST_USE struct alb_status index_write(struct index *x, struct index_batch *b,
                                           const struct index_mark *mark, bool sync);
/* Up to where the segment `id` is known: 0, an offset, or UINT64_MAX for all of it. */
uint64_t index_mark_knows(const struct index_mark *mark, uint64_t id);
