/* SPDX-License-Identifier: Apache-2.0 */
/* image/build_unit.h – what the parts of build share: files, units of work, and the chunks they
 * made.
 *
 * Every file belongs to one unit and every unit is run by one thread at a time, which alone writes
 * the file and the unit; so nothing here is locked.  build_finish() reads it all after the threads
 * are done.
 */
#pragma once

#include "base/crypto.h"
#include "base/map.h"
#include "chunk/codec.h"
#include "chunk/cut.h"
#include "image/build.h"

/* How often a file that changes while it is read is read before its unit gives up. */
enum { BUILD_READ_TRIES = 3 };

struct build_chunk {
    struct chunk_key key;
    uint32_t raw_size;
    uint32_t position; /* in list C; of the first of equal ones, once finished */
    size_t file;       /* the file it is of; of a pack, the first file in it   */
    uint64_t offset;   /* in that file; of a pack always 0                     */
    uint32_t members;  /* files in the pack; 0 when it is a part of one file   */
};

struct build_file {
    size_t item; /* of the scan; this and the next two are the plan and stay as they are */
    size_t unit;
    bool alone;                /* a unit of its own, by its size when it was scanned           */
    bool is_there;             /* read whole; what follows holds                               */
    struct alb_status problem; /* why it is left out                                 */
    struct digest content;
    uint64_t size; /* this and the next four: as it was when it was read           */
    uint16_t mode;
    uint32_t uid, gid;
    int64_t mtime_s;
    uint32_t mtime_ns;
    int64_t ctime_ns; /* this and the next: is it still the state that was read?          */
    uint64_t inode;
    size_t chunk;       /* of the unit: the first of its chunks, or the pack it is in   */
    size_t chunk_count; /* 0: empty                                                  */
    uint32_t offset;    /* in the pack                                                  */
    struct hole *holes;
    size_t hole_count;
};

struct build_unit {
    bool alone;              /* one file to be cut by itself; else a directory's small files */
    size_t file, file_count; /* a range; in a directory's, those `alone` are skipped         */
    uint64_t bytes;
    bool is_done;
    struct build_chunk *chunks;
    size_t chunk_count, chunk_capacity;
};

struct build {
    const struct scan *scan; /* borrowed */
    struct cutter cutter;
    int64_t newest_ns; /* latest change the scan saw: files as young are read twice */
    struct build_file *files;
    size_t file_count;
    struct build_unit *units; /* largest first */
    size_t unit_count;
    struct scan_problem *problems; /* gathered by build_finish(); paths borrowed from the scan */
    size_t problem_count, problem_capacity;
    struct map known;            /* chunk key → the first build_chunk that has it */
    struct build_chunk **places; /* list C */
    struct chunk_key *keys;      /* list C */
    size_t key_count, place_capacity, key_capacity;
};

struct build_worker {
    struct codec *codec;
    struct hasher *hasher;
    const char *path; /* of the file at hand, borrowed from the scan */
    uint8_t *window;  /* WINDOW_SIZE bytes: a large file rolling by */
    uint8_t *pack;    /* PACK_SIZE bytes: the pack being put together, and the file after it */
    struct buf stored;
};

enum { WINDOW_SIZE = 4 << 20, PACK_SIZE = 2 << 20 };

/* ---- build_file.c: one file, read so that what was read is one state of it ------------------- */

struct opened_file {
    int fd;
    uint64_t size, blocks;
    int64_t mtime_s;
    uint32_t mtime_ns;
    int64_t ctime_ns; /* since the epoch */
    uint64_t inode;
    uint16_t mode;
    uint32_t uid, gid;
};

/* fd −1 and OK when it is gone or no longer a file:
 * `f->problem` says so and it is to be left out. */
ALB_MUST_USE struct alb_status build_file_open(struct build *b, struct build_file *f,
                                               struct opened_file *out);
/* Exactly `size` bytes, or fewer when the file ends before (*got). */
ALB_MUST_USE struct alb_status build_file_read(const struct opened_file *o, uint8_t *out,
                                               size_t size, uint64_t offset, size_t *got);
/* Is the file still what it was when it was opened, and had it `digest` all the time?  If so, note
 * its size, metadata, holes and digest: it is there.  If not (*out_same), read it again. */
ALB_MUST_USE struct alb_status build_file_settle(const struct build *b, struct build_worker *w,
                                                 struct build_file *f, const struct opened_file *o,
                                                 const struct digest *digest, bool *out_same);
/* Is what was opened, asked again after reading it, surely what build_file_settle() noted?  Not so
 * for a file so young that its times do not tell one write from the next. */
ALB_MUST_USE struct alb_status build_file_is_as_noted(const struct build *b,
                                                      const struct build_file *f,
                                                      const struct opened_file *o, bool *out);
ALB_MUST_USE struct alb_status build_chunk_add(struct build_unit *u,
                                               const struct build_chunk *chunk);

/* ---- build_alone.c, build_pack.c ------------------------------------------------------------- */

/* Cut one file into chunks of its own; smaller than cut_content.min, it is one chunk. */
ALB_MUST_USE struct alb_status build_alone(struct build *b, struct build_unit *u,
                                           struct build_file *f, struct build_worker *w);
/* Pack the small files of the unit's directory. */
ALB_MUST_USE struct alb_status build_pack(struct build *b, struct build_unit *u,
                                          struct build_worker *w);
