/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/rocks.h – RocksDB as we use it: get, atomic batches, walks; nothing else is known of
 * it.
 *
 * The one place that includes RocksDB's header and turns its error texts into a status.  The text
 * itself goes to the log (event=rocksdb.failed), since a status carries none.  All calls may come
 * from any thread.
 *
 * After a write that failed, RocksDB refuses all others until it is opened again.  That is done
 * here, by the next write that finds room on the disk, so that a disk that was full for an hour
 * does not mean a dead service; reads go on meanwhile.  A database whose disk has no room when it
 * is opened is opened for reading, and for writing by the first write that finds room.
 *
 * RocksDB writes by itself, later, and some of its code does not survive ENOSPC; so whoever is
 * about to write asks rocks_check_room() first, which keeps back what that takes.
 *
 * Fault sites: rocks.open, rocks.read, rocks.write; the write fails before anything is written.
 */
#pragma once

#include "base/buf.h"
#include "base/status.h"

struct rocks;

struct rocks_tuning {
    size_t cache_bytes;        /* of blocks                              */
    size_t write_buffer_bytes; /* RocksDB keeps up to two of them        */
};

/* A database in the directory `path`, made when there is none.  CORRUPT when it is damaged or parts
 * of it are missing; CONFLICT when it is open elsewhere; FULL; IO. */
ALB_MUST_USE struct alb_status rocks_open(const char *path, const struct rocks_tuning *tuning,
                                          struct rocks **out);
void rocks_close(struct rocks *r);
/* Remove the database with all that is in it; it must not be open. */
ALB_MUST_USE struct alb_status rocks_destroy(const char *path);

/* FULL (with ENOSPC) when after a write of `more_bytes` the disk would not have room left for what
 * RocksDB writes by itself.  Free space alone is looked at: a quota shows when it is met. */
ALB_MUST_USE struct alb_status rocks_check_room(struct rocks *r, uint64_t more_bytes);

/* Append the value of `key` to `out`.  NOT_FOUND. */
ALB_MUST_USE struct alb_status rocks_get(struct rocks *r, const void *key, size_t key_size,
                                         struct buf *out);
/* A value of exactly `size` bytes, without an allocation of ours;
 * CORRUPT when it has another size. */
ALB_MUST_USE struct alb_status rocks_get_fixed(struct rocks *r, const void *key, size_t key_size,
                                               void *out, size_t size);

struct rocks_batch;
struct rocks_batch *rocks_batch_new(void);
struct rocks_batch *rocks_batch_free(struct rocks_batch *b);
void rocks_batch_put(struct rocks_batch *b, const void *key, size_t key_size, const void *value,
                     size_t size);
void rocks_batch_remove(struct rocks_batch *b, const void *key, size_t key_size);
/* All of it or, when it fails, nothing that this process will see.  With `sync` it is durable when
 * it returns. */
ALB_MUST_USE struct alb_status rocks_write(struct rocks *r, struct rocks_batch *b, bool sync);

/* False stops the walk. */
typedef bool (*rocks_visit)(void *arg, const void *key, size_t key_size, const void *value,
                            size_t size);
/* All pairs from `start` on in the order of their keys, as they were when the walk began. */
ALB_MUST_USE struct alb_status rocks_walk(struct rocks *r, const void *start, size_t start_size,
                                          rocks_visit visit, void *arg);
/* The blocks that its files occupy on disk. */
uint64_t rocks_disk_bytes(struct rocks *r);
/* What it will write by itself (what is in memory, as a table, and tables merged anew), and what
 * opening tries first: whether there is room for its log once more and for the small files that it
 * writes.  For a moment that is really taken. */
uint64_t rocks_reserve_bytes(struct rocks *r);
