/* SPDX-License-Identifier: Apache-2.0 */
/* net/loop.h – everything a program asks of the outside world: time, chance, timers, jobs, streams.
 *
 * An interface with two back ends: the kernel (loop_event.c, on libevent) and a simulated world
 * (tests/sim/world.c) with a virtual clock, virtual links and inline jobs.  What stands above this
 * header runs unchanged on both.  It lies above TLS and below HTTP/2, so flow-control windows are
 * real in the simulator.
 *
 * One thread runs a loop and owns everything that hangs off it; only a job's run() happens
 * elsewhere. Nothing here is global: a program may have several loops.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct loop;
struct stream;
struct listener;
struct tls_context;

typedef void (*loop_fn)(void *arg);

/* Monotonic, does not run backwards; the loop's own cached now is fresh at each callback. */
uint64_t loop_now_ns(struct loop *loop);
/* How long the machine has slept (suspend) since it started, which loop_now_ns() does not count.
 * Grown: timers are late by as much, and what was measured before may hold no more. */
uint64_t loop_asleep_ns(struct loop *loop);
/* Seconds since 1970, for signatures, certificates and schedules only. */
int64_t loop_wall_s(struct loop *loop);
/* fn(arg) from the loop whenever that clock was set, or the machine woke: it has not just run on.
 * The last fn counts; NULL: nobody. */
void loop_on_clock_set(struct loop *loop, loop_fn fn, void *arg);
/* Seeded in the simulator; cryptographic in the kernel's loop. */
uint64_t loop_random(struct loop *loop);
/* A value in [low, high]. */
uint64_t loop_random_between(struct loop *loop, uint64_t low, uint64_t high);

/* ---- timers and deferred calls --------------------------------------------------------------- */

struct timer {
    struct loop *loop;
    loop_fn fn;
    void *arg;
    uint64_t at_ns;
    uint64_t order; /* the loop's: of two for the same time, the one set first runs first */
    size_t slot;    /* the loop's; 0 while idle */
};

/* fn is called once, from the loop, at or after the time set.  The storage is the owner's and must
 * be stopped before it goes away. */
void timer_init(struct timer *t, struct loop *loop, loop_fn fn, void *arg);
void timer_set(struct timer *t, uint64_t at_ns);       /* absolute; replaces what was set */
void timer_set_in(struct timer *t, uint64_t delay_ns); /* from now */
void timer_stop(struct timer *t);                      /* idle is fine */
static inline bool timer_is_set(const struct timer *t)
{
    return t->slot != 0;
}

/* Free `memory` by `free_fn` after the current batch of callbacks: the one road of death for
 * objects that may be on the stack of a callback. */
void loop_bury(struct loop *loop, loop_fn free_fn, void *memory);

/* ---- jobs ------------------------------------------------------------------------------------ */

enum job_lane {
    JOB_SHARED,  /* any worker, in any order                                        */
    JOB_ORDERED, /* one at a time, in the order submitted: the store's write lane   */
};

/* run() happens on a worker and sees only the job; done() is called on the loop afterwards, always,
 * and never from inside loop_submit().  The memory is the submitter's and must live until
 * done(). */
struct job {
    void (*run)(struct job *job);
    void (*done)(struct job *job);
    enum job_lane lane;
    uint64_t work_bytes; /* how much it chews: the simulator's cost model */
    struct job *next;    /* the loop's */
};

void loop_submit(struct loop *loop, struct job *job);

/* ---- streams: connections, opened and accepted ----------------------------------------------- */

struct dial_options {
    const char *host; /* name or address */
    uint16_t port;
    struct tls_context *tls; /* borrowed; ignored by the simulator */
    uint64_t timeout_ns;     /* name look-up, connect and handshake together */
    bool bulk;               /* marks bulk data (DSCP LE) */
};

/* A stream at once; it says by its ready call when it is open or failed (net/stream.h). */
struct stream *loop_dial(struct loop *loop, const struct dial_options *options);

struct listen_options {
    const char *address; /* "0.0.0.0", "::1", … */
    uint16_t port;       /* 0: any; see listener_port() */
    struct tls_context *tls;
};

/* Calls accepted(arg, stream) with each stream whose handshake has succeeded; the stream is then
 * the callee's.  At the descriptor limit the listener pauses by itself and logs once. */
typedef void (*accept_fn)(void *arg, struct stream *stream);
ALB_MUST_USE struct alb_status loop_listen(struct loop *loop, const struct listen_options *options,
                                           accept_fn accepted, void *arg, struct listener **out);
uint16_t listener_port(const struct listener *l);
struct listener *listener_free(struct listener *l);

/* ---- running it ------------------------------------------------------------------------------ */

struct loop_options {
    unsigned workers; /* threads for jobs; 0: one per core, at least 2 */
};

struct loop *loop_new(const struct loop_options *options); /* the kernel's */
/* Jobs under way are waited for; what was closed just before ends. */
struct loop *loop_free(struct loop *loop);
/* Until loop_stop().  Logs event=loop.lag when a batch of callbacks took over 50 ms. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* fn(arg) on the loop when SIGTERM or SIGINT arrives. */
void loop_on_terminate(struct loop *loop, loop_fn fn, void *arg);
/* Longest time a batch of callbacks took so far. */
uint64_t loop_worst_lag_ns(struct loop *loop);
