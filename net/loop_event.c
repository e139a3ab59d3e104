/* SPDX-License-Identifier: Apache-2.0 */
/* net/loop_event.c – the kernel's loop, on libevent's raw events.
 *
 *     poll → callbacks of one batch → timers that are due → graveyard → poll …
 *
 * libevent decides nothing here but which descriptors are ready.  It would run callbacks as long as
 * new ones become active, so loop_event_enter() breaks off a batch that has lasted BATCH_NS.
 */
#include "net/loop_event.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/units.h"
#include "net/datagram_event.h"
#include "net/mdns_impl.h"
#include "net/netlink_impl.h"
#include "net/raw_frame_impl.h"
#include "net/stream_event.h"

enum { LAST_TURNS = 64 }; /* of a loop that ends; two or three are usual */
/* Short against the 10 ms that a bulk pull may add to somebody's round trip. */
#define BATCH_NS (4 * NS_PER_MS)
/* A person notices from about here on; also what net/loop.h promises. */
#define LAG_LOGGED_NS (50 * NS_PER_MS)

static uint64_t clock_ns(clockid_t which)
{
    struct timespec t;

    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(struct loop *loop)
{
    (void)loop;
    return clock_ns(CLOCK_MONOTONIC);
}

/* Two readings one after the other: a few microseconds too much at most, and not less than 0. */
static uint64_t asleep_ns(struct loop *loop)
{
    uint64_t awake_ns = clock_ns(CLOCK_MONOTONIC);

    (void)loop;
    return clock_ns(CLOCK_BOOTTIME) - awake_ns;
}

static int64_t wall_s(struct loop *loop)
{
    (void)loop;
    return time(NULL);
}

static uint64_t random_value(struct loop *loop)
{
    uint64_t value = 0;

    (void)loop;
    random_bytes(&value, sizeof(value));
    return value;
}

/* Rounded up, because waking a moment early would only mean to wake twice. */
static void arm(struct loop *loop, uint64_t at_ns)
{
    struct loop_event *l = loop_event_of(loop);
    uint64_t now = now_ns(loop);

    if (at_ns == UINT64_MAX) {
        event_del(l->wake);
        return;
    }
    uint64_t wait_us = at_ns > now ? (at_ns - now + 999) / 1000 : 0;
    const struct timeval wait = {.tv_sec = (time_t)(wait_us / 1000000),
                                 .tv_usec = (suseconds_t)(wait_us % 1000000)};

    event_add(l->wake, &wait);
}

static void submit(struct loop *loop, struct job *job)
{
    struct loop_event *l = loop_event_of(loop);

    l->open_jobs++;
    worker_pool_submit(l->workers, job);
}

static const struct loop_ops event_ops = {
    .now_ns = now_ns,
    .asleep_ns = asleep_ns,
    .wall_s = wall_s,
    .watch_clock = clock_event_watch,
    .random = random_value,
    .arm = arm,
    .submit = submit,
    .dial = stream_event_dial,
    .listen = listener_event_open,
    .open_datagram = datagram_event_open,
    .find_host = datagram_event_find_host,
    .open_netlink = netlink_event_open,
    .send_frame = raw_frame_event_send,
    .open_mdns = mdns_event_open,
};

struct loop_event *loop_event_of(struct loop *loop)
{
    alb_assert(loop->ops == &event_ops);
    return ALB_CONTAINER(loop, struct loop_event, base);
}

/* ---- batches --------------------------------------------------------------------------------- */

void loop_event_enter(struct loop_event *l)
{
    uint64_t now = now_ns(&l->base);

    if (l->batch_start_ns == 0)
        l->batch_start_ns = now;
    else if (now - l->batch_start_ns > BATCH_NS)
        event_base_loopbreak(l->events);
}

static void finish_batch(struct loop_event *l)
{
    if (l->batch_start_ns == 0)
        l->batch_start_ns = now_ns(&l->base);
    loop_turn(&l->base);

    uint64_t lag_ns = now_ns(&l->base) - l->batch_start_ns;
    l->batch_start_ns = 0;
    if (lag_ns > l->worst_lag_ns)
        l->worst_lag_ns = lag_ns;
    if (lag_ns > LAG_LOGGED_NS)
        log_event(LOG_WARN, "loop.lag", "ms=%llu", (unsigned long long)(lag_ns / NS_PER_MS));
}

void loop_run(struct loop *loop)
{
    struct loop_event *l = loop_event_of(loop);

    finish_batch(l); /* timers may have been set and things buried before */
    while (!l->stopping) {
        alb_assert(event_base_loop(l->events, EVLOOP_ONCE) >= 0);
        finish_batch(l);
    }
    l->stopping = false;
}

void loop_stop(struct loop *loop)
{
    struct loop_event *l = loop_event_of(loop);

    l->stopping = true;
    event_base_loopbreak(l->events);
}

uint64_t loop_worst_lag_ns(struct loop *loop)
{
    return loop_event_of(loop)->worst_lag_ns;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void append_done(struct loop_event *l, struct job *jobs)
{
    struct job **end = &l->done;

    while (*end != NULL)
        end = &(*end)->next;
    *end = jobs;
}

/* Tell the submitters: one at least, and more for as long as a batch may last. */
static void call_done(struct loop_event *l)
{
    append_done(l, worker_pool_take_done(l->workers));
    while (l->done != NULL) {
        struct job *job = l->done;

        l->done = job->next;
        l->open_jobs--;
        job->done(job); /* may free the job */
        if (now_ns(&l->base) - l->batch_start_ns > BATCH_NS)
            return;
    }
}

static void on_job_done(evutil_socket_t fd, short what, void *arg)
{
    struct loop_event *l = arg;
    uint64_t count = 0;

    (void)what;
    loop_event_enter(l);
    if (read(fd, &count, sizeof(count)) < 0)
        alb_assert(errno == EAGAIN); /* made active by hand, below */
    call_done(l);
    if (l->done != NULL)
        event_active(l->job_done, EV_READ, 0);
}

/* Nobody may be left waiting for a done() that never comes. */
static void finish_jobs(struct loop_event *l)
{
    while (l->open_jobs > 0) {
        event_base_loop(l->events, EVLOOP_ONCE);
        finish_batch(l);
    }
}

/* What was closed a moment ago dies in the next turn, and its end may close something else.  The
 * bound is for a timer that keeps asking to be called at once. */
static void finish_due(struct loop_event *l)
{
    for (unsigned i = 0; i < LAST_TURNS && loop_is_due(&l->base); i++)
        finish_batch(l);
}

/* ---- signals --------------------------------------------------------------------------------- */

static void on_terminate(evutil_socket_t number, short what, void *arg)
{
    struct loop_event *l = arg;

    (void)number;
    (void)what;
    loop_event_enter(l);
    l->terminate(l->terminate_arg);
}

void loop_on_terminate(struct loop *loop, loop_fn fn, void *arg)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    struct loop_event *l = loop_event_of(loop);

    l->terminate = fn;
    l->terminate_arg = arg;
    for (size_t i = 0; i < ALB_COUNT(numbers); i++) {
        if (l->signals[i] == NULL)
            l->signals[i] = evsignal_new(l->events, numbers[i], on_terminate, l);
        alb_assert(l->signals[i] != NULL && evsignal_add(l->signals[i], NULL) == 0);
    }
}

/* ---- birth and death ------------------------------------------------------------------------- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    loop_event_enter(arg); /* the timers run when the batch ends */
}

/* Without libevent's change list, which asks the kernel late: by then the number of a descriptor
 * that was closed here may be that of a worker's file.  The precise timer is for gates that pace by
 * the millisecond (the default clock ticks in four). */
static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();

    alb_assert(config != NULL);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
    struct event_base *events = event_base_new_with_config(config);
    event_config_free(config);
    alb_assert(events != NULL);
    return events;
}

static unsigned worker_count(const struct loop_options *options)
{
    if (options->workers > 0)
        return options->workers;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return cores < 2 ? 2 : (unsigned)cores;
}

struct loop *loop_new(const struct loop_options *options)
{
    struct loop_event *l = xalloc(sizeof(*l));

    /* A closed connection is an error of that stream, not the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    loop_init(&l->base, &event_ops);
    l->events = make_base();
    l->wake = evtimer_new(l->events, on_wake, l);
    l->job_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    alb_assert(l->job_fd >= 0);
    l->job_done = event_new(l->events, l->job_fd, EV_READ | EV_PERSIST, on_job_done, l);
    alb_assert(l->wake != NULL && l->job_done != NULL);
    event_add(l->job_done, NULL);
    l->workers = worker_pool_new(worker_count(options), l->job_fd);
    l->outlets = tls_outlet_method_new();
    buf_init(&l->sealed, STREAM_SEALED_MAX);
    return &l->base;
}

struct loop *loop_free(struct loop *loop)
{
    if (loop == NULL)
        return NULL;
    struct loop_event *l = loop_event_of(loop);

    finish_due(l);
    finish_jobs(l);
    finish_due(l);
    l->workers = worker_pool_free(l->workers);
    stream_event_abandon_leaving(l);
    loop_release(&l->base);
    for (size_t i = 0; i < ALB_COUNT(l->signals); i++)
        if (l->signals[i] != NULL)
            event_free(l->signals[i]);
    clock_event_stop(l);
    event_free(l->job_done);
    event_free(l->wake);
    event_base_free(l->events);
    close(l->job_fd);
    tls_outlet_method_free(l->outlets);
    buf_release(&l->sealed);
    free(l);
    return NULL;
}
