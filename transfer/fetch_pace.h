/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/fetch_pace.h – does the parent bring what it is asked for, or only say that it lives?
 *
 * Slow is not dead: a parent that says "queued" for hours, or trickles, is waited for, since its
 * own line may be down. But nobody shall be kept from news without anyone noticing (TUF calls that
 * slow retrieval). So while wants are unanswered a look is taken every minute: when fewer than 1
 * KiB a second came in it, "queued" not counted, and the line is up, that is said in the log
 * (`fetch.slow`, a warning), and again after twice the time, an hour at most. It ends with a minute
 * that brought more, or when nothing is wanted any more (`fetch.slow_over`).
 *
 * While the line is down nothing is said: upstream.down told it.
 */
#pragma once

#include "net/loop.h"
#include "transfer/upstream.h"

enum { FETCH_LOOK_S = 60, FETCH_FLOOR_BPS = 1024 };

struct fetch_pace {
    struct upstream *upstream; /* borrowed: is it up, and where? */
    struct layer_jobs *jobs;   /* borrowed: what the policy keeps back is not slow; or NULL */
    struct loop *loop;
    struct timer look;
    size_t wants;           /* unanswered                                  */
    uint64_t brought_bytes; /* since the last look                         */
    bool is_slow;
    uint64_t slow_since_ns;
    uint64_t tell_ns; /* not before then again                       */
    uint64_t alarms;  /* how often it was said, all in all           */
};

void fetch_pace_init(struct fetch_pace *p, struct loop *loop, struct upstream *upstream);
/* Stops looking, without a word. */
void fetch_pace_release(struct fetch_pace *p);

/* One more is wanted, one less. */
void fetch_pace_wanted(struct fetch_pace *p);
void fetch_pace_answered(struct fetch_pace *p);
/* Bytes of an answer came; or those that came were no more than "queued". */
void fetch_pace_brought(struct fetch_pace *p, size_t bytes);
void fetch_pace_queued(struct fetch_pace *p, size_t bytes);
