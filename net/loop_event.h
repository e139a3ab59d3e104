/* SPDX-License-Identifier: Apache-2.0 */
/* net/loop_event.h – the kernel's loop from inside: for loop_event.c, stream_event.c,
 * listener_event.c.
 *
 * Every callback that libevent makes begins with loop_event_enter(), which measures the batch and
 * ends it when it has lasted long enough.
 */
#pragma once

#include <event2/event.h>

#include "base/buf.h"
#include "net/loop_impl.h"
#include "net/worker.h"

struct event_stream;

struct loop_event {
    struct loop base;
    struct event_base *events;
    struct event *wake;     /* the one timer: the head of the heap      */
    struct event *job_done; /* the workers' eventfd                     */
    struct event *signals[2];
    struct event *clock_set; /* clock_event.c's; NULL: nobody asked */
    int job_fd;
    struct worker_pool *workers;
    struct job *done;              /* finished, done() not called yet           */
    size_t open_jobs;              /* submitted, done() not called yet          */
    struct event_stream *leaving;  /* freed by their owners, last bytes on the way */
    struct bio_method_st *outlets; /* how TLS hands its records to streams       */
    struct buf sealed;             /* records of the stream that writes just now */
    bool stopping;
    uint64_t batch_start_ns; /* 0 between batches */
    uint64_t worst_lag_ns;
    loop_fn terminate;
    void *terminate_arg;
};

/* The loop must be of this back end. */
struct loop_event *loop_event_of(struct loop *loop);
void loop_event_enter(struct loop_event *l);

void clock_event_watch(struct loop *loop);
void clock_event_stop(struct loop_event *l);

struct stream *stream_event_dial(struct loop *loop, const struct dial_options *options);
struct alb_status listener_event_open(struct loop *loop, const struct listen_options *options,
                                      accept_fn accepted, void *arg, struct listener **out);
