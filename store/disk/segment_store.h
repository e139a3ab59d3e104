/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/segment_store.h – chunks in append-only segment files, found by a RocksDB index.
 *
 * DIR/segments/NNNNNNNNNNNNNNNN.seg   payloads, format in store/FORMAT.md
 * DIR/index/                          RocksDB: key → segment, offset, length; and the high-water
 * mark DIR/catalogue/                      RocksDB: the records of catalogue.h
 *
 * put_many is one group: one pwritev, one fdatasync, one unsynced index batch that also carries the
 * mark (segment, offset) up to which the index is complete; then it is acknowledged.  Opening scans
 * from the mark, puts what it finds into the index and cuts a torn tail.  A lost index is rebuilt
 * from the segments.  A read checks the record's CRC32C; a record that fails is dropped from the
 * index and answers CORRUPT; one that the disk refuses to read answers IO and stays, but counts as
 * absent when it is put again.  A failed write or sync closes the segment and cuts it back to the
 * last good group; nothing of the group is visible.  When a full disk has room again, the next put
 * goes on.
 *
 * The quota counts the blocks of segments, index and pins; a removal is written even beyond it.
 *
 * As a cache (a policy is given), segments form the policy's queues (store/evict.h).  Room is made
 * before a group is written, by the oldest segment of the queue whose turn it is: what stays is
 * copied on, the file goes.  Segments are a 128th of the quota, 1 to 64 MiB, so that is the step.
 * Never by looking at anything else than that one segment, and nothing is done at start-up.
 */
#pragma once

#include "store/cache.h"
#include "store/catalogue.h"
#include "store/chunk_store.h"

struct segment_store_options {
    const char *dir;
    uint64_t segment_bytes; /* 0: 64 MiB (DESIGN §6) */
    uint64_t quota_bytes;   /* 0: none                         */
    /* NULL: nothing is ever dropped, and beyond the quota put_many answers FULL.  Else what
     * follows, and cache.h's calls. */
    const struct evict_policy *policy;
    uint64_t floor_bytes; /* of free space on the volume that is not to be used up; 0: none */
};

/* The least quota with a policy: eight segments, a group of chunks, the index and its logs. */
enum { SEGMENT_STORE_QUOTA_LEAST = 32 << 20 };

/* CONFLICT (another process has it open), INVALID (unknown format version, by name), IO, FULL,
 * CORRUPT. */
ALB_MUST_USE struct alb_status segment_store_open(const struct segment_store_options *options,
                                                  struct chunk_store **out);

/* `dir` is the catalogue's own directory. */
ALB_MUST_USE struct alb_status disk_catalogue_open(const char *dir, struct catalogue **out);
/* And reads all of it: whatever is damaged in it is found now, and not by a device one day. */
ALB_MUST_USE struct alb_status disk_catalogue_open_whole(const char *dir, struct catalogue **out);
