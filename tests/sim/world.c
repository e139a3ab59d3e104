/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world.c – the clock, the heap of events, and nodes as back ends of net/loop.h. */
#include "sim/world_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/netlink_impl.h"

enum { FIRST_EVENTS = 1024, JOB_BASE_NS = 20000, JOB_RATE_BPS = 400000000 };
#define WALL_START_S INT64_C(1767225600) /* 2026-01-01T00:00:00Z */

/* ---- events ---------------------------------------------------------------------------------- */

static bool is_sooner(const struct world_event *a, const struct world_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void world_at(struct world *w, uint64_t at_ns, loop_fn fn, void *arg)
{
    struct world_event event = {at_ns > w->now_ns ? at_ns : w->now_ns, w->next_order++, fn, arg};

    if (w->events == w->heap_capacity) {
        w->heap_capacity = w->heap_capacity == 0 ? FIRST_EVENTS : 2 * w->heap_capacity;
        w->heap = xrealloc(w->heap, w->heap_capacity * sizeof(*w->heap));
    }
    size_t slot = w->events++;
    while (slot > 0 && is_sooner(&event, &w->heap[(slot - 1) / 2])) {
        w->heap[slot] = w->heap[(slot - 1) / 2];
        slot = (slot - 1) / 2;
    }
    w->heap[slot] = event;
}

static struct world_event next_event(struct world *w)
{
    struct world_event first = w->heap[0];
    struct world_event last = w->heap[--w->events];
    size_t slot = 0;

    for (;;) {
        size_t child = 2 * slot + 1;

        if (child >= w->events)
            break;
        if (child + 1 < w->events && is_sooner(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (is_sooner(&last, &w->heap[child]))
            break;
        w->heap[slot] = w->heap[child];
        slot = child;
    }
    w->heap[slot] = last;
    return first;
}

bool world_run_until(struct world *w, uint64_t until_ns, bool (*done)(void *arg), void *arg)
{
    while (!done(arg)) {
        if (w->events == 0 || w->heap[0].at_ns > until_ns) {
            w->now_ns = until_ns > w->now_ns ? until_ns : w->now_ns;
            return false;
        }
        struct world_event event = next_event(w);
        w->now_ns = event.at_ns;
        w->run_events++;
        event.fn(event.arg);
    }
    return true;
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

void world_run(struct world *w, uint64_t until_ns)
{
    (void)world_run_until(w, until_ns, never, NULL);
}

uint64_t world_now_ns(const struct world *w)
{
    return w->now_ns;
}

uint64_t world_events(const struct world *w)
{
    return w->run_events;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

struct world_node *world_node_of(struct loop *loop)
{
    return (struct world_node *)loop;
}

void world_node_turn(struct world_node *n)
{
    loop_turn(&n->loop);
}

static uint64_t node_now_ns(struct loop *loop)
{
    return world_node_of(loop)->world->now_ns;
}

static uint64_t node_asleep_ns(struct loop *loop)
{
    return world_node_of(loop)->asleep_ns;
}

void world_node_sleep(struct loop *node, uint64_t ns)
{
    world_node_of(node)->asleep_ns += ns;
}

static int64_t node_wall_s(struct loop *loop)
{
    return WALL_START_S + (int64_t)(node_now_ns(loop) / NS_PER_S) +
           world_node_of(loop)->clock_ahead_s;
}

void world_node_set_clock(struct loop *node, int64_t ahead_s)
{
    world_node_of(node)->clock_ahead_s = ahead_s;
    loop_clock_was_set(node);
}

static uint64_t node_random(struct loop *loop)
{
    return gen_u64(&world_node_of(loop)->gen);
}

/* Wake-ups on the world's heap cannot be taken back; one that is not the earliest any more is
 * stale. */
static void on_wake(void *arg)
{
    struct world_node *n = arg;

    if (n->world->now_ns != n->wake_ns)
        return;
    n->wake_ns = UINT64_MAX;
    world_node_turn(n);
}

static void node_arm(struct loop *loop, uint64_t at_ns)
{
    struct world_node *n = world_node_of(loop);

    if (at_ns == UINT64_MAX || at_ns >= n->wake_ns)
        return;
    n->wake_ns = at_ns > n->world->now_ns ? at_ns : n->world->now_ns;
    world_at(n->world, n->wake_ns, on_wake, n);
}

struct job_end {
    struct world_node *node;
    struct job *job;
};

static void on_job_end(void *arg)
{
    struct job_end *e = arg;
    struct job_end end = *e;

    free(e);
    end.job->done(end.job);
    world_node_turn(end.node);
}

/* The first moment at which a worker of the job's lane has nothing to do. */
static uint64_t *worker_for(struct world_node *n, const struct job *job)
{
    size_t best = 0;

    if (job->lane == JOB_ORDERED)
        return &n->ordered_free_ns;
    for (size_t i = 1; i < NODE_WORKERS; i++)
        if (n->worker_free_ns[i] < n->worker_free_ns[best])
            best = i;
    return &n->worker_free_ns[best];
}

static void node_submit(struct loop *loop, struct job *job)
{
    struct world_node *n = world_node_of(loop);
    uint64_t *free_ns = worker_for(n, job);
    struct job_end *e = xalloc(sizeof(*e));

    *e = (struct job_end){n, job};
    if (*free_ns < n->world->now_ns)
        *free_ns = n->world->now_ns;
    *free_ns += JOB_BASE_NS + job->work_bytes * NS_PER_S / JOB_RATE_BPS;
    job->run(job);
    world_at(n->world, *free_ns, on_job_end, e);
}

static const struct loop_ops node_ops = {
    .now_ns = node_now_ns,
    .asleep_ns = node_asleep_ns,
    .wall_s = node_wall_s,
    .random = node_random,
    .arm = node_arm,
    .submit = node_submit,
    .dial = world_dial,
    .listen = world_listen,
    .open_datagram = world_open_datagram,
    .find_host = world_find_host,
    .open_netlink = world_open_netlink,
    .send_frame = world_send_frame,
    .open_mdns = world_open_mdns,
};

struct loop *world_add_node(struct world *w, const char *name, const struct identity *identity)
{
    struct world_node *n = xalloc(sizeof(*n));

    alb_assert(world_node(w, name) == NULL && strlen(name) < sizeof(n->name));
    loop_init(&n->loop, &node_ops);
    n->world = w;
    n->number = ++w->node_count;
    (void)snprintf(n->name, sizeof(n->name), "%s", name);
    n->identity.role = ROLE_NONE;
    if (identity != NULL)
        n->identity = *identity;
    n->gen = gen_fork(&w->gen);
    n->wake_ns = UINT64_MAX;
    n->next = w->nodes;
    w->nodes = n;
    return &n->loop;
}

struct loop *world_node(struct world *w, const char *name)
{
    for (struct world_node *n = w->nodes; n != NULL; n = n->next)
        if (strcmp(n->name, name) == 0)
            return &n->loop;
    return NULL;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

struct world *world_new(uint64_t seed)
{
    struct world *w = xalloc(sizeof(*w));

    gen_init(&w->gen, seed);
    w->next_port = 40000;
    return w;
}

/* done() is called always: what has no owner any more frees itself there. */
static void end_jobs_under_way(struct world *w)
{
    for (size_t i = 0; i < w->events; i++)
        if (w->heap[i].fn == on_job_end) {
            struct job_end *e = w->heap[i].arg;
            struct job *job = e->job;

            w->heap[i].fn = NULL;
            free(e);
            job->done(job);
            i = (size_t)-1; /* it may have begun others */
        }
}

struct world *world_free(struct world *w)
{
    if (w == NULL)
        return NULL;
    end_jobs_under_way(w);
    for (struct world_node *n = w->nodes; n != NULL; n = n->next)
        loop_release(&n->loop);
    while (w->conns != NULL)
        world_conn_free(w->conns);
    world_links_free(w);
    while (w->nodes != NULL) {
        struct world_node *n = w->nodes;

        w->nodes = n->next;
        net_picture_release(&n->place);
        free(n);
    }
    free(w->heap);
    free(w);
    return NULL;
}
