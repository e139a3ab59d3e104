/* SPDX-License-Identifier: Apache-2.0 */
/* image/build.h – a scanned tree → manifest, root object and the chunks behind them.
 *
 * Files of at least cut_content.min bytes are cut one by one.  Smaller files of a directory are
 * *packed*: joined in name order into chunks that never span directories and never split a file; a
 * pack ends after the file whose content digest says so (so that boundaries survive insertions),
 * before cut_content.max would be exceeded, and with its directory.  Measured reasons:
 * ARCHITECTURE.md, "Sizes".
 *
 * The work comes in units (a large file, or the small files of a directory) that the caller runs on
 * as many threads as it likes: build_run() is safe for different units at once, one `build_worker`
 * a thread. A file that changes while it is read is read again, three times at most; then the unit
 * fails and names it.  A file that vanished is left out and listed.  Chunk bytes are not kept:
 * build_read() reads a chunk again, from the tree.  Files whose size, times and inode stand are
 * believed; of others it refuses (CONFLICT) what no longer hashes to its name.  So a change that
 * moves no time (through a mapping that was made before) is found by the hub, which hashes all.
 */
#pragma once

#include "base/buf.h"
#include "chunk/chunk.h"
#include "image/scan.h"
#include "wire/root.h"

struct build;
struct build_worker; /* buffers and codec of one thread */

struct build *build_new(const struct scan *scan); /* borrows the scan */
struct build *build_free(struct build *b);
struct build_worker *build_worker_new(void);
struct build_worker *build_worker_free(struct build_worker *w);

size_t build_units(const struct build *b); /* largest first, so that threads end together */
uint64_t build_unit_bytes(const struct build *b, size_t unit);
/* CONFLICT: keeps changing; IO; NOT_FOUND never (a vanished file is a problem, listed). */
ALB_MUST_USE struct alb_status build_run(struct build *b, size_t unit, struct build_worker *w);
/* Path of the file a failed build_run() or build_read() stopped at; borrowed from the scan. */
const char *build_worker_path(const struct build_worker *w);
/* After build_finish(): what it left out, in the scan's order; borrowed. */
size_t build_problems(const struct build *b, const struct scan_problem **out);

struct build_result {
    struct buf manifest;            /* the stream                                          */
    struct root root;               /* list M with stored sizes                            */
    struct buf root_object;         /* encoded                                             */
    struct digest root_digest;      /* its SHA-256                                         */
    struct chunk **manifest_chunks; /* list M's stored chunks, one reference each     */
    struct chunk_key *content_keys; /* list C, borrowed from the build                */
    size_t content_key_count;
};

/* After every unit ran well.  The manifest is read back before anything is made of it. */
ALB_MUST_USE struct alb_status build_finish(struct build *b, struct build_result *out);
void build_result_release(struct build_result *r);

/* The stored form of the chunk at position `position` of list C, read and compressed anew.  Safe on
 * several threads, each with its worker.  CONFLICT (changed or gone since), IO, FULL. */
ALB_MUST_USE struct alb_status build_read(struct build *b, uint32_t position,
                                          struct build_worker *w, struct chunk **out);
uint32_t build_chunk_raw_size(const struct build *b, uint32_t position);
