/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/store_parts.h – the inside of the store on disk, shared by its sources only.
 *
 * `write_lock` serialises everything that changes the segments or the index: the keeper's lane
 * puts, but removals, evictions and the dropping of damaged records come from other workers.  It is
 * held during disk writes, which only jobs wait for.  Readers never take it.
 *
 * `evict_lock` is for the evictor alone, which readers tell what was asked for; it is held for a
 * few dozen instructions, and taken with or without `write_lock`, never the other way round.
 */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "store/cache.h"
#include "store/disk/index.h"
#include "store/disk/pins.h"
#include "store/disk/segment_store.h"
#include "store/disk/segment_table.h"

struct segment_store {
    struct chunk_store base;
    char *dir;
    char *segments_dir;
    char *index_dir;
    int lock_fd;
    uint64_t segment_bytes;
    uint64_t quota_bytes;
    uint64_t floor_bytes;

    struct segment_table table;
    struct index *index;

    pthread_mutex_t write_lock;
    struct index_mark mark;               /* as the index has it                           */
    struct segment *active[EVICT_QUEUES]; /* held, open for writing; NULL: the next group
                                            begins a new one                              */
    bool is_full;        /* the last put found no room, and the log has been told       */
    uint64_t last_id;    /* of any segment that ever was, as far as we know              */
    struct map suspects; /* keys the disk failed to read: there, yet to be written again */
    atomic_size_t suspect_count;
    struct pins pins;
    struct cache_counts counts;
    struct index_scrub scrub;             /* of whoever scrubs; figures are read by others */
    struct chunk_key bad[CACHE_BAD_MOST]; /* found since somebody last took them */
    size_t bad_count;

    uint64_t pinned_in_vain_bytes; /* looked through since that freed something: room.c */
    bool evicts;                   /* there is a limit, so there is an evictor          */
    pthread_mutex_t evict_lock;
    struct evictor evictor;
};

/* What one call appends to one queue, and what that does to the sums in the mark. */
struct group {
    struct append *items; /* borrowed */
    size_t count;
    int64_t chunks_delta;
    int64_t bytes_delta;
};

/* append.c.  All of it durable and in the index, or nothing of it visible.  Under `write_lock`. */
ALB_MUST_USE struct alb_status store_append(struct segment_store *d, enum evict_queue queue,
                                            struct group *g);
/* No more is appended to the queue's segment. */
void store_retire(struct segment_store *d, enum evict_queue queue);
/* The queue where what is written last is read last, too: a removal belongs there. */
enum evict_queue store_last_queue(const struct segment_store *d);

/* room.c.  Room for `bytes` more within quota, floor and disk, by evicting if need be; FULL.  Under
 * `write_lock`. */
ALB_MUST_USE struct alb_status store_make_room(struct segment_store *d, uint64_t bytes);
/* The same without evicting: is there room? */
ALB_MUST_USE struct alb_status store_look_for_room(struct segment_store *d, uint64_t bytes);
uint64_t store_used_bytes(struct segment_store *d, uint64_t queues[EVICT_QUEUES]);

/* evict.c.  The oldest segment of the queue goes, with all that does not stay; with `force`, all
 * that is not pinned.  NOT_FOUND: the queue is empty.  Under `write_lock`. */
ALB_MUST_USE struct alb_status store_evict(struct segment_store *d, enum evict_queue queue,
                                           bool force);

/* Is there a segment that reaches as far as the entry says? */
static inline bool store_has_record(struct segment_store *d, const struct index_entry *e)
{
    return segment_table_covers(&d->table, e->segment,
                                e->offset + RECORD_HEADER_SIZE + (uint64_t)e->size);
}
/* segment_store.c.  Hold the segment where `key` is; NOT_FOUND. */
ALB_MUST_USE struct alb_status store_hold_record(struct segment_store *d,
                                                 const struct chunk_key *key, struct index_entry *e,
                                                 struct segment **segment);
/* A read failed for good: see to it that the chunk can be put anew. */
void store_note_damage(struct segment_store *d, const struct chunk_key *key,
                       const struct index_entry *bad, struct alb_status why);
/* Take `key` out of the index, unless it has been written elsewhere meanwhile.  Under
 * `write_lock`. */
void store_forget_entry(struct segment_store *d, const struct chunk_key *key,
                        const struct index_entry *bad);

/* cache.h's: in room.c, scrub.c and cache.c. */
ALB_MUST_USE struct alb_status store_scrub(struct chunk_store *s, uint64_t bytes,
                                           bool *is_round_over);
size_t store_take_bad(struct chunk_store *s, struct chunk_key keys[CACHE_BAD_MOST]);
ALB_MUST_USE struct alb_status store_tend(struct chunk_store *s, bool *more);
void store_touch(struct chunk_store *s, const struct chunk_key *key);
extern const struct cache_ops store_cache_ops;

/* chunk_store.h's, in wipe.c. */
ALB_MUST_USE struct alb_status store_wipe(struct chunk_store *s);

/* Fill the table from the directory, open the index (anew if it is damaged), read on from the mark
 * and choose the segments to go on with. */
ALB_MUST_USE struct alb_status store_recover(struct segment_store *d);
