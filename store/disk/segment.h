/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/segment.h – one segment file: append a group, read a record, walk them all.
 *
 * One writer appends; any number of readers read below `size` meanwhile.  A segment that failed to
 * write is *sealed*: cut back to its last good group and never appended to again, because after a
 * failed sync nobody can say what of the file is on the disk.
 *
 * Fault sites: segment.create, segment.open, segment.write (half of the group is written),
 * segment.sync, segment.cut, segment.read.
 */
#pragma once

#include <stdatomic.h>

#include "chunk/chunk.h"
#include "store/disk/record.h"

struct segment {
    uint64_t id;
    uint64_t salt;
    char *path;          /* owned                                               */
    int fd;              /* −1 while closed; the table opens it (segment_table.h) */
    atomic_uint readers; /* holds; fd stays open while there are any             */
    atomic_ullong size;  /* end of the last good group                           */
    bool sealed;         /* the writer's                                         */
    enum evict_queue queue;
    atomic_ullong disk_bytes; /* the blocks it occupies, as of the last write     */
};

/* What is appended; `body` is borrowed for the call. */
struct append {
    struct record record; /* type, key, size in; offset out */
    const void *body;
};

/* "DIR/NNNNNNNNNNNNNNNN.seg", heap. */
char *segment_path(const char *dir, uint64_t id);
/* A new file with its header, durable with its name.  FULL, IO. */
ALB_MUST_USE struct alb_status segment_create(const char *dir, uint64_t id, enum evict_queue queue,
                                              struct segment **out);
/* Read and judge the header of a file that is there; leaves `fd` closed.  INVALID (unknown
 * version), CORRUPT (no segment, or shorter than a header), IO. */
ALB_MUST_USE struct alb_status segment_open(const char *dir, uint64_t id, struct segment **out);
/* Closes and frees; the file stays. */
struct segment *segment_close(struct segment *s);
/* Open the file behind `s` for reading or, the writer's, for both. */
ALB_MUST_USE struct alb_status segment_reopen(struct segment *s, bool writable);

/* What a group takes in the file. */
uint64_t append_bytes(const struct append *group, size_t count);
/* One write and one sync; durable and below `size` when it returns OK.  After any failure the
 * segment is sealed at its old size. */
ALB_MUST_USE struct alb_status segment_append(struct segment *s, struct append *group,
                                              size_t count);
/* What was read beyond the last known group may still be in memory only: make it durable. */
ALB_MUST_USE struct alb_status segment_sync(const struct segment *s);
/* Seal at `size`, cutting what is behind it off the file if that is possible. */
void segment_cut(struct segment *s, uint64_t size);

/* CORRUPT when the record at `offset` is not a whole chunk record of `key` with `size` bytes; IO;
 * FULL (no memory). */
ALB_MUST_USE struct alb_status segment_read(const struct segment *s, const struct chunk_key *key,
                                            uint64_t offset, uint32_t size, struct chunk **out);

/* Who is shown the records of a walk. */
struct segment_visitor {
    struct alb_status (*take)(void *arg, const struct record *r);
    void *arg;
};
/* Every whole record from `from` to the end of the file, in order; what is damaged between two of
 * them is stepped over and counted.  *end is where the last whole record ends (`from` if none).
 * The visitor's failure ends the walk and is returned.  IO, FULL (no memory). */
ALB_MUST_USE struct alb_status segment_walk(struct segment *s, uint64_t from,
                                            const struct segment_visitor *visitor, uint64_t *end,
                                            uint64_t *damaged_bytes);
