/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/segment_table.h – all segments of a store, and which of their files are open.
 *
 * A reader *holds* a segment while it reads: an atomic count that keeps the file open and, when it
 * is evicted meanwhile, the segment alive.  Looking one up takes a lock for a few dozen
 * instructions; dropping it takes none.  At most SEGMENT_OPEN_MAX files stay open, so that a large
 * store does not use up the process's descriptors.
 */
#pragma once

#include <pthread.h>

#include "store/disk/segment.h"

enum { SEGMENT_OPEN_MAX = 256 }; /* a quarter of the usual soft limit of 1,024 descriptors */

struct segment_table {
    pthread_mutex_t lock;
    struct segment **segments; /* owned, ascending ids */
    size_t count;
    size_t capacity;
    size_t open_count;
    size_t clock_hand;     /* where the search for a file to close goes on */
    struct segment **gone; /* owned: without a file, and still being read when that went */
    size_t gone_count;
};

void segment_table_init(struct segment_table *t);
void segment_table_release(struct segment_table *t);

/* Takes `s`, whose id must be greater than all that are there. */
void segment_table_add(struct segment_table *t, struct segment *s);
/* Forget one, and its file; whoever reads it reads on, and the file's blocks are free afterwards.
 * Its id is no other's ever.  IO: it is still there. */
ALB_MUST_USE struct alb_status segment_table_discard(struct segment_table *t, struct segment *s);
/* Forget one whose file is gone already.  Nobody else may be discarding. */
void segment_table_lose(struct segment_table *t, uint64_t id);
/* Forget all of them, and their files, the oldest first; whoever reads one reads on.  When it fails
 * the rest is still there.  Nobody may be writing.  IO. */
ALB_MUST_USE struct alb_status segment_table_discard_all(struct segment_table *t);
/* *out is held and its file is open; drop it.  NOT_FOUND, IO. */
ALB_MUST_USE struct alb_status segment_table_hold(struct segment_table *t, uint64_t id,
                                                  struct segment **out);
void segment_drop(struct segment *s);
/* Does segment `id` exist and reach to `end`? */
bool segment_table_covers(struct segment_table *t, uint64_t id, uint64_t end);
/* The blocks that the segments of each queue occupy; returns the sum, with those that are gone and
 * still being read. */
uint64_t segment_table_bytes(struct segment_table *t, uint64_t queues[EVICT_QUEUES]);
/* Of those that are gone and still being read. */
uint64_t segment_table_gone_bytes(struct segment_table *t);
/* The greatest id of `queue`; 0: there is none. */
uint64_t segment_table_last_of(struct segment_table *t, enum evict_queue queue);
/* The least id of `queue`; 0: there is none. */
uint64_t segment_table_first_of(struct segment_table *t, enum evict_queue queue);
