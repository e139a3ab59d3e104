/* SPDX-License-Identifier: Apache-2.0 */
/* wire/delta_set.h – a delta set: how to make one root's files from another's, in few bytes.
 *
 *     record   signed by the hub: "from R1 to R2 of layer L it is set D, of N bytes"
 *       └─ D   the set's root object: which chunks spell its index (list M) and stream (list C)
 *            ├─ index    for each blob what it rebuilds, from which contents
 *            └─ stream   the blobs, one behind another, in the order of the target's paths
 *
 * D is asked for like any root: {layer, D, list, runs}, entitled by the layer, kept and relayed as
 * chunks.  A *blob* is a delta of chunk/DELTA.md and rebuilds *pieces*: whole contents, or windows
 * of large ones.  Offsets are sums, so blobs can neither overlap nor leave gaps.
 *
 * What a set says is a hint and nothing more: content that was rebuilt counts only when it has the
 * digest that the publisher-signed manifest names.  The signature limits who may feed a decoder.
 * Every byte: wire/FORMAT.md, section 11.
 */
#pragma once

#include "base/units.h"
#include "wire/root.h"
#include "wire/trust.h"

enum {
    DELTA_SET_CODEC = 1,                 /* chunk/DELTA.md, version 1: the only one so far   */
    DELTA_SET_BLOB_MAX = 10 << 20,       /* bytes of one blob                                */
    DELTA_SET_BLOB_TARGET_MAX = 8 << 20, /* bytes that one rebuilds                         */
    DELTA_SET_BLOB_PIECES_MAX = 4096,    /* pieces of one                                    */
    DELTA_SET_MEMORY_MAX = 48 << 20,     /* bytes that applying one may take                 */
    DELTA_SET_INDEX_MAX = 16 << 20,      /* bytes of the index                               */
    DELTA_SET_PIECES_MAX = 1 << 20,      /* pieces of a set                                  */
    DELTA_SET_LIST_MAX = 16,             /* records in an answer                             */
    DELTA_SET_RECORD_MAX = 2048,         /* bytes of a signed record                         */
};

/* ---- the root object ---- */

struct delta_set_root {
    struct digest from, to;    /* the roots it leads from and to: different ones */
    uint64_t target_bytes;     /* what all its pieces rebuild                    */
    uint64_t index_bytes;      /* raw: the sum over list M                       */
    uint64_t stream_bytes;     /* raw: the sum over list C                       */
    struct root_chunk *chunks; /* owned: list M, then list C                  */
    size_t index_count;        /* ≥ 1 */
    size_t stream_count;       /* ≥ 1 */
};

/* Are these the bytes of a delta set's root object rather than of a version's? */
bool delta_set_is_root(const void *bytes, size_t size);
ALB_MUST_USE struct alb_status delta_set_root_encode(const struct delta_set_root *r,
                                                     struct buf *out);
/* CORRUPT with what is wrong; an unknown format is refused by name. */
ALB_MUST_USE struct alb_status delta_set_root_decode(const void *bytes, size_t size,
                                                     struct delta_set_root *out);
void delta_set_root_release(struct delta_set_root *r);

/* ---- the index ---- */

struct delta_set_blob {
    uint64_t offset;      /* in the stream: the sum of the sizes before (reader) */
    uint32_t size;        /* bytes                                               */
    uint32_t memory;      /* bytes that applying it takes at most                */
    uint32_t first_piece; /* (reader) */
    uint32_t piece_count;
};

/* Piece first_piece + i of the set is piece i of its blob.  All pieces of one target stand next to
 * each other, ascending; a target that is a whole content is one piece: at 0, its whole size. */
struct delta_set_piece {
    struct digest target; /* SHA-256 of the whole content */
    uint64_t target_size;
    uint64_t at; /* where the window begins */
    uint32_t length;
    uint32_t reference_size;
    struct digest reference; /* of the whole content it is made from */
    uint32_t blob;           /* (reader) */
};

struct delta_set_index {
    struct delta_set_blob *blobs; /* owned, as are pieces */
    size_t blob_count;
    struct delta_set_piece *pieces;
    size_t piece_count;
    uint64_t stream_bytes; /* (reader): the sum of the blobs' sizes; the root object's, or refuse */
    uint64_t target_bytes; /* (reader): likewise */
};

/* INVALID with what is wrong. */
ALB_MUST_USE struct alb_status delta_set_index_encode(const struct delta_set_index *x,
                                                      struct buf *out);
/* CORRUPT with what is wrong, FULL (no memory: some 40 bytes for each of the input).  An unknown
 * format or codec is refused by name. */
ALB_MUST_USE struct alb_status delta_set_index_decode(const void *bytes, size_t size,
                                                      struct delta_set_index *out);
void delta_set_index_release(struct delta_set_index *x);

/* ---- the record, and a list of them ---- */

struct delta_set_record {
    char org[NAME_MAX_SIZE];
    char layer[NAME_MAX_SIZE];
    struct digest from, to;
    struct digest set;   /* SHA-256 of the set's root object */
    uint64_t root_bytes; /* of the root object               */
    uint64_t bytes;      /* stored bytes of all its chunks: what fetching the whole set costs */
    int64_t made_wall_s;
};

ALB_MUST_USE struct alb_status delta_set_record_encode(const struct delta_set_record *r,
                                                       const struct sign_secret *hub,
                                                       struct buf *out);
/* REFUSED when `trust` is NULL or another organisation's, CORRUPT unless the hub alone signed. */
ALB_MUST_USE struct alb_status delta_set_record_decode(const void *bytes, size_t size,
                                                       const struct trust *trust,
                                                       struct delta_set_record *out);
/* Is this, by its first line, such a record rather than a version record? */
bool delta_set_is_record(const void *bytes, size_t size);

struct delta_set_list { /* of signed records; borrowed */
    size_t count;       /* may be 0 */
    const uint8_t *bytes[DELTA_SET_LIST_MAX];
    size_t sizes[DELTA_SET_LIST_MAX];
};
ALB_MUST_USE struct alb_status delta_set_list_encode(const struct delta_set_list *l,
                                                     struct buf *out);
/* The frame only: each record is its reader's to judge. */
ALB_MUST_USE struct alb_status delta_set_list_decode(const void *bytes, size_t size,
                                                     struct delta_set_list *out);
/* All of it judged: each record believed, of this layer and this target, the smallest first. */
ALB_MUST_USE struct alb_status delta_set_list_judge(const void *bytes, size_t size,
                                                    const struct trust *trust, const char *layer,
                                                    const struct digest *to);
