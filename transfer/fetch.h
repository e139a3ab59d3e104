/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/fetch.h – wants become batches, batches become verified chunks.
 *
 * Wants for the same {layer, root, list} are asked for together: at most 256 items and 4 MiB a
 * batch (1 MiB over a WAN), at most `max_batches` batches (four times as many) and
 * `max_outstanding_bytes` under way or being checked; versions take turns. Each item that comes
 * whole is checked on a worker against its name; only then is the want told.
 *
 *     lost with the line      asked again when it is back, before the others
 *     damaged                 dropped, counted, asked again; the third time it fails as CORRUPT
 *     "missing", or a 4xx     another waiter's place is tried, then it fails
 *     "failed", 429 or 5xx, left out, broken off alone
 *                             asked again after a rest that doubles (fetch_queue.h); after
 *                             twelve it fails as IO
 *
 * What the policy keeps from being asked for waits in the queue (layer_jobs.h).
 *
 * A want that nobody waits for any more is not asked for.  A parent whose data connection says
 * nothing for 30 s, not even "queued", is given up and called again: slow is not dead, silent is.
 * What is slow beyond measure is told (fetch_pace.h).
 */
#pragma once

#include "net/loop.h"
#include "transfer/layer_jobs.h"
#include "transfer/upstream.h"
#include "transfer/want_table.h"

struct fetcher;

struct fetcher_options {
    struct loop *loop;
    struct upstream *upstream;
    struct layer_jobs *jobs;        /* borrowed, outlives it; NULL: all may be asked for */
    bool only_held;                 /* asked for is only what the parent holds itself */
    size_t max_batches;             /* 0: 4      */
    uint64_t max_outstanding_bytes; /* 0: 16 MiB */
    /* The want's search ended; `chunk` is verified, borrowed, and NULL unless OK. */
    void (*done)(void *arg, struct want *want, struct alb_status st, struct chunk *chunk);
    void *arg;
};

struct fetcher_stats {
    uint64_t batches, items, stored_bytes; /* verified items and their stored bytes  */
    uint64_t received_bytes; /* of items: bad, repeated and cut short ones too        */
    uint64_t corrupt, missing, repeated;
    size_t queued, asked;
    bool is_slow; /* the parent brings next to nothing (fetch_pace.h) */
    uint64_t slow_alarms;
    /* What the parent said last of its own waiting ("queued"), and when; 0: it did not. */
    uint32_t before;
    uint64_t before_bps, before_ns;
};

struct fetcher *fetcher_new(const struct fetcher_options *options);
struct fetcher *fetcher_free(struct fetcher *f);
void fetcher_add(struct fetcher *f, struct want *want);
/* Whatever waits or is under way ends as NOT_FOUND; only chunks that came and are being checked
 * still end otherwise.  done() must add nothing. */
void fetcher_give_up(struct fetcher *f);
void fetcher_stats(const struct fetcher *f, struct fetcher_stats *out);
