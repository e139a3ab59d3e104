/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/store_parts.h – what the segment store is made of; for segment_store.c and recover.c.
 *
 * `write_lock` serialises everything that changes the segments or the index: the keeper's lane
 * puts, but removals and the dropping of damaged records come from other workers.  It is held
 * during disk writes, which only jobs wait for.  Readers never take it.
 */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "store/disk/index.h"
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

    struct segment_table table;
    struct index *index;

    pthread_mutex_t write_lock;
    struct index_mark mark; /* as the index has it                                          */
    struct segment *active; /* held, open for writing; NULL: the next group begins a new one */
    bool is_full;           /* the last put found no room, and the log has been told       */
    uint64_t last_id;       /* of any segment that ever was, as far as we know              */
    struct map suspects;    /* keys the disk failed to read: there, yet to be written again */
    atomic_size_t suspect_count;
};

/* chunk_store.h's, in wipe.c. */
ALB_MUST_USE struct alb_status store_wipe(struct chunk_store *s);

/* Fill the table from the directory, open the index (anew if it is damaged), read on from the mark
 * and choose the segment to go on with. */
ALB_MUST_USE struct alb_status store_recover(struct segment_store *d);
