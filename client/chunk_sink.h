/* SPDX-License-Identifier: Apache-2.0 */
/* client/chunk_sink.h – where pulled chunks end up: a stage on disk, or digests in memory.
 *
 *     for each round: prepare → its units, several at once
 *     plan → put for each position it answered → seal
 *
 * The operations block and are called from workers: prepare, plan and seal alone, prepare_unit for
 * different units and put for different positions at once.  The pull engine (puller.h) knows
 * nothing else about files.
 */
#pragma once

#include "chunk/chunk.h"
#include "transfer/root_book.h"

struct chunk_sink;

struct chunk_sink_ops {
    /* How many rounds of preparation there are; the two below may be NULL when there are none. */
    unsigned rounds;
    struct alb_status (*prepare)(struct chunk_sink *s, const struct root_view *view, unsigned round,
                                 size_t *units);
    struct alb_status (*prepare_unit)(struct chunk_sink *s, unsigned round, size_t unit);
    /* What of list C is needed: *positions (heap, ascending) becomes the caller's. */
    struct alb_status (*plan)(struct chunk_sink *s, const struct root_view *view,
                              uint32_t **positions, size_t *count);
    /* A verified chunk, as stored. */
    struct alb_status (*put)(struct chunk_sink *s, uint32_t position, const struct chunk *chunk);
    /* Everything planned was put: check the whole and make it last.  NOT_FOUND means: plan again, a
     * local source was altered meanwhile. */
    struct alb_status (*seal)(struct chunk_sink *s);
};

struct chunk_sink {
    const struct chunk_sink_ops *ops;
};
