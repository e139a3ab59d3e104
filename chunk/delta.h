/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/delta.h – new content told as its difference to content the other side holds.
 *
 * A *delta* is one blob that rebuilds some pieces: whole small files, or one window of a large
 * one, at most DELTA_TARGET_MAX bytes together, each from a reference of its own.  What several
 * pieces have alike is compressed together, so thousands of small files cost no thousand of
 * frames; yet each piece needs no reference but its own, and any of them may be left out.
 *
 *   making    maker = delta_maker_new(&terms)
 *             delta_maker_add(maker, &piece, worth, &made)      until it says full
 *             delta_maker_finish(maker, &blob)                  and it is empty again
 *   applying  delta_open(blob, size, &limits, &delta)
 *             delta_rebuild(delta, i, &reference, &sink)        for those pieces one wants
 *
 * Each piece is made in one of two ways, whichever is smaller.  PREFIX is zstd with the reference
 * before it.  ALIGNED is ours: runs of the target are laid beside runs of the reference, found by
 * hashing, and only the bytes that differ are told; control, differences and new bytes are kept
 * apart and compressed apart.  chunk/DELTA.md has every byte.
 *
 * Whoever applies a delta trusts nothing in it: every size is checked against the limits before
 * memory is taken, every offset before it is read.  What comes out has the length that was
 * declared and no more than that is promised: the caller verifies its digest.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

enum {
    DELTA_VERSION = 1,
    DELTA_TARGET_MAX = 8 << 20,    /* bytes all pieces of one delta rebuild; part of the format   */
    DELTA_PIECES_MAX = 4096,       /* pieces of one delta; part of the format                     */
    DELTA_PREFIX_MAX = 16 << 20,   /* bytes of a reference zstd may look at; part of the format   */
    DELTA_WINDOWS_MAX = 128 << 20, /* all such windows of one delta; part of the format           */
    DELTA_SIZE_MAX = 10 << 20,     /* no blob is larger; part of the format                       */
    DELTA_MEMORY_MAX = 48 << 20, /* applying a delta of any kind never holds more, blob excluded */
};

enum delta_way {
    DELTA_PREFIX = 1, /* the numbers are in the format */
    DELTA_ALIGNED = 2,
};

/* ---- making ---- */

struct delta_terms {
    int level;        /* zstd's, for ALIGNED's streams; 1 … 19                             */
    int prefix_level; /* zstd's, for PREFIX; 1 … 19; 0: not at all                         */
    bool aligned;     /* may ALIGNED be used (and tried: it is what costs)                 */
};
extern const struct delta_terms delta_terms_plain;   /* PREFIX alone, made for speed        */
extern const struct delta_terms delta_terms_default; /* both, made for size                 */

/* All borrowed for the call alone; target and reference may not overlap in memory (zstd would not
 * look at what does).  `at` is where the target begins in its file.  The windows of a large file,
 * added one after the other, share the reference's index when `reference` and its size stay what
 * they were at the window before: keep it mapped. */
struct delta_piece {
    const uint8_t *target;
    size_t target_size; /* 1 … DELTA_TARGET_MAX */
    uint64_t at;
    const uint8_t *reference;
    size_t reference_size; /* 1 … UINT32_MAX */
};

struct delta_made {
    bool is_kept;       /* false: it would save too little, and nothing was added           */
    enum delta_way way; /* when it is kept                                                  */
    size_t cost;        /* about how many bytes it adds to the blob                         */
};

/* One per worker: some megabytes, and with a large reference 32 MiB for its index. */
struct delta_maker;
struct delta_maker *delta_maker_new(const struct delta_terms *terms);
struct delta_maker *delta_maker_free(struct delta_maker *m);

/* Is there room for `target_size` more bytes in one more piece? */
bool delta_maker_has_room(const struct delta_maker *m, size_t target_size);
/* Try a piece that would cost `worth` bytes otherwise.  It is kept when the delta saves at least
 * an eighth of them and 64 bytes (what its index entry costs).  INVALID (sizes; no room), FULL
 * (memory).  After FULL the maker is as before the call. */
ALB_MUST_USE struct alb_status delta_maker_add(struct delta_maker *m,
                                               const struct delta_piece *piece, size_t worth,
                                               struct delta_made *made);
size_t delta_maker_pieces(const struct delta_maker *m); /* kept since the last finish */
/* Append the blob of the pieces kept, in the order they were added.  INVALID when there are none,
 * FULL.  In any case the maker is empty after it. */
ALB_MUST_USE struct alb_status delta_maker_finish(struct delta_maker *m, struct buf *out);

/* ---- applying ---- */

struct delta_limits {
    uint64_t target_max; /* bytes all pieces may rebuild together, at most DELTA_TARGET_MAX */
    size_t memory_max;   /* bytes; what applying would hold beyond is refused               */
};
extern const struct delta_limits delta_limits_default; /* what the format allows */

/* A reference: bytes in memory, or (`bytes` NULL) whatever `read` fetches.  `read` fills all of
 * `out` or fails, and is never asked for more than there is. */
struct delta_reference {
    uint64_t size;
    const uint8_t *bytes;
    struct alb_status (*read)(void *arg, uint64_t offset, void *out, size_t size);
    void *arg;
};

/* Gets the target's bytes in order, at most 64 KiB at a time; its failure ends the piece. */
struct delta_sink {
    struct alb_status (*write)(void *arg, const void *bytes, size_t size);
    void *arg;
};

struct delta_piece_info {
    enum delta_way way;
    uint64_t target_size;
    uint64_t reference_size; /* of the content it was made from */
};

/* Borrows `bytes` until delta_close().  CORRUPT (no delta; sizes that cannot be), INVALID (a
 * version or a way this program does not know, by name), FULL (over the limits, or no memory). */
struct delta;
ALB_MUST_USE struct alb_status delta_open(const void *bytes, size_t size,
                                          const struct delta_limits *limits, struct delta **out);
struct delta *delta_close(struct delta *d); /* returns NULL; NULL is fine */
size_t delta_pieces(const struct delta *d);
/* Of piece `i` < delta_pieces(). */
struct delta_piece_info delta_piece_info(const struct delta *d, size_t i);
/* Rebuild piece `i`, in any order and as often as one likes.  CONFLICT when the reference has
 * another size than the one it was made from, CORRUPT, FULL, or what `read` or `write` said.
 * What the sink got before a failure is worth nothing. */
ALB_MUST_USE struct alb_status delta_rebuild(struct delta *d, size_t i,
                                             const struct delta_reference *reference,
                                             const struct delta_sink *sink);
