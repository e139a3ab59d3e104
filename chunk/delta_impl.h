/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/delta_impl.h – the parts of a delta's blob, known to its maker and its reader only.
 *
 * chunk/DELTA.md is the manual: the order of the streams and the numbers are the format.
 */
#pragma once

#include "chunk/delta.h"

/* What is compressed together, apart from the rest.  The order is the format's. */
enum delta_stream {
    STREAM_DIRECTORY, /* a piece after the other: way, sizes, and how much it has of each stream */
    STREAM_LITERALS,  /* per run: how many new bytes come first                                  */
    STREAM_LENGTHS,   /* per run: how many bytes lie beside the reference                        */
    STREAM_SEEKS,     /* per run: how far its place is from where the last one would go on       */
    STREAM_GAPS,      /* per byte that differs: how many alike ones come before it               */
    STREAM_VALUES, /* per byte that differs: target − reference, modulo 256                   */
    STREAM_NEW,    /* the new bytes                                                           */
    STREAM_COUNT,
};

enum {
    DELTA_HEAD_SIZE = 5, /* magic, version                                                       */
    PIECE_RAW_MAX = 96,  /* bytes of all streams that a piece may have beyond 2 × its target's   */
};
#define DELTA_MAGIC "AlbD"

/* The most that all streams together may be, expanded: no delta that is worth making comes near. */
static inline size_t delta_raw_max(size_t pieces, size_t target)
{
    return 2 * target + PIECE_RAW_MAX * pieces;
}
