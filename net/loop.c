/* SPDX-License-Identifier: Apache-2.0 */
/* net/loop.c – what every back end shares: the timers, the graveyard, and the way to its
 * operations.
 */
#include "net/loop_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

uint64_t loop_now_ns(struct loop *loop)
{
    return loop->ops->now_ns(loop);
}

uint64_t loop_asleep_ns(struct loop *loop)
{
    return loop->ops->asleep_ns(loop);
}

int64_t loop_wall_s(struct loop *loop)
{
    return loop->ops->wall_s(loop);
}

void loop_on_clock_set(struct loop *loop, loop_fn fn, void *arg)
{
    loop->clock_set = fn;
    loop->clock_set_arg = arg;
    if (fn != NULL && !loop->watches_clock && loop->ops->watch_clock != NULL)
        loop->ops->watch_clock(loop);
    loop->watches_clock = loop->watches_clock || fn != NULL;
}

void loop_clock_was_set(struct loop *loop)
{
    if (loop->clock_set != NULL)
        loop->clock_set(loop->clock_set_arg);
}

uint64_t loop_random(struct loop *loop)
{
    return loop->ops->random(loop);
}

uint64_t loop_random_between(struct loop *loop, uint64_t low, uint64_t high)
{
    alb_assert(low <= high);
    uint64_t count = high - low + 1;
    if (count == 0)
        return loop_random(loop);
    /* Draws from the last, incomplete block of `count` would favour small values. */
    uint64_t unfair = (0 - count) % count;
    uint64_t draw = loop_random(loop);

    while (draw < unfair)
        draw = loop_random(loop);
    return low + draw % count;
}

void loop_submit(struct loop *loop, struct job *job)
{
    job->next = NULL;
    loop->ops->submit(loop, job);
}

struct stream *loop_dial(struct loop *loop, const struct dial_options *options)
{
    return loop->ops->dial(loop, options);
}

struct alb_status loop_listen(struct loop *loop, const struct listen_options *options,
                              accept_fn accepted, void *arg, struct listener **out)
{
    return loop->ops->listen(loop, options, accepted, arg, out);
}

uint16_t listener_port(const struct listener *l)
{
    return l->ops->port(l);
}

struct listener *listener_free(struct listener *l)
{
    if (l != NULL)
        l->ops->free(l);
    return NULL;
}

/* ---- the heap -------------------------------------------------------------------------------- */

static bool is_sooner(const struct timer *a, const struct timer *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void place(struct loop *loop, size_t slot, struct timer *t)
{
    loop->heap[slot] = t;
    t->slot = slot;
}

static void sift_up(struct loop *loop, size_t slot, struct timer *t)
{
    while (slot > 1 && is_sooner(t, loop->heap[slot / 2])) {
        place(loop, slot, loop->heap[slot / 2]);
        slot /= 2;
    }
    place(loop, slot, t);
}

static void sift_down(struct loop *loop, size_t slot, struct timer *t)
{
    for (;;) {
        size_t child = 2 * slot;

        if (child > loop->timers)
            break;
        if (child < loop->timers && is_sooner(loop->heap[child + 1], loop->heap[child]))
            child++;
        if (is_sooner(t, loop->heap[child]))
            break;
        place(loop, slot, loop->heap[child]);
        slot = child;
    }
    place(loop, slot, t);
}

static void heap_add(struct loop *loop, struct timer *t)
{
    if (loop->timers + 1 >= loop->heap_capacity) {
        loop->heap_capacity = loop->heap_capacity == 0 ? 64 : 2 * loop->heap_capacity;
        loop->heap = xrealloc(loop->heap, loop->heap_capacity * sizeof(struct timer *));
    }
    loop->timers++;
    sift_up(loop, loop->timers, t);
}

static void heap_remove(struct loop *loop, struct timer *t)
{
    size_t slot = t->slot;
    struct timer *last = loop->heap[loop->timers];

    loop->timers--;
    t->slot = 0;
    if (last == t)
        return;
    if (slot > 1 && is_sooner(last, loop->heap[slot / 2]))
        sift_up(loop, slot, last);
    else
        sift_down(loop, slot, last);
}

static uint64_t soonest_ns(const struct loop *loop)
{
    return loop->timers == 0 ? UINT64_MAX : loop->heap[1]->at_ns;
}

/* ---- timers ---------------------------------------------------------------------------------- */

void timer_init(struct timer *t, struct loop *loop, loop_fn fn, void *arg)
{
    *t = (struct timer){.loop = loop, .fn = fn, .arg = arg};
}

void timer_set(struct timer *t, uint64_t at_ns)
{
    struct loop *loop = t->loop;
    uint64_t now_ns = loop_now_ns(loop);

    timer_stop(t);
    /* A timer that keeps asking for a time long past must queue behind the others that are due. */
    t->at_ns = at_ns > now_ns ? at_ns : now_ns;
    t->order = loop->next_order++;
    heap_add(loop, t);
    if (t->at_ns < loop->armed_ns) {
        loop->armed_ns = t->at_ns;
        loop->ops->arm(loop, t->at_ns);
    }
}

void timer_set_in(struct timer *t, uint64_t delay_ns)
{
    uint64_t now_ns = loop_now_ns(t->loop);

    timer_set(t, delay_ns < UINT64_MAX - now_ns ? now_ns + delay_ns : UINT64_MAX);
}

void timer_stop(struct timer *t)
{
    if (t->slot != 0)
        heap_remove(t->loop, t);
}

/* A timer set by one of these callbacks waits for the next turn, so a turn always ends. */
static void run_due(struct loop *loop)
{
    uint64_t now_ns = loop_now_ns(loop);
    uint64_t first_new = loop->next_order;

    while (loop->timers > 0) {
        struct timer *t = loop->heap[1];

        if (t->at_ns > now_ns || t->order >= first_new)
            return;
        heap_remove(loop, t);
        t->fn(t->arg);
    }
}

/* ---- the graveyard --------------------------------------------------------------------------- */

void loop_bury(struct loop *loop, loop_fn free_fn, void *memory)
{
    if (loop->grave_count == loop->grave_capacity) {
        loop->grave_capacity = loop->grave_capacity == 0 ? 16 : 2 * loop->grave_capacity;
        loop->graves = xrealloc(loop->graves, loop->grave_capacity * sizeof(struct grave));
    }
    loop->graves[loop->grave_count++] = (struct grave){free_fn, memory};
}

/* Freeing one thing may bury another, which may also move the array. */
static void empty_graveyard(struct loop *loop)
{
    for (size_t i = 0; i < loop->grave_count; i++) {
        struct grave g = loop->graves[i];

        g.free_fn(g.memory);
    }
    loop->grave_count = 0;
}

/* ---- for back ends --------------------------------------------------------------------------- */

void loop_init(struct loop *loop, const struct loop_ops *ops)
{
    *loop = (struct loop){.ops = ops, .armed_ns = UINT64_MAX};
}

void loop_release(struct loop *loop)
{
    empty_graveyard(loop);
    free(loop->heap);
    free(loop->graves);
    memset(loop, 0, sizeof(*loop));
}

bool loop_is_due(struct loop *loop)
{
    return soonest_ns(loop) <= loop_now_ns(loop);
}

void loop_turn(struct loop *loop)
{
    loop->armed_ns = 0;
    run_due(loop);
    empty_graveyard(loop);
    loop->armed_ns = soonest_ns(loop);
    loop->ops->arm(loop, loop->armed_ns);
}
