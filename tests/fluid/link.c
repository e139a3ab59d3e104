/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/link.c – a bottleneck: a queue of one of four kinds, a transmitter, and a delay line. */
#include "fluid/world.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

/* CoDel's own constants: its target and its interval. */
static const double codel_target_s = 0.005, codel_interval_s = 0.100;

static void ring_push(struct packet_ring *r, const struct packet *p)
{
    if (r->count == r->size) {
        size_t size = r->size == 0 ? 64 : 2 * r->size;
        struct packet *items = xcalloc(size, sizeof(*items));
        for (size_t i = 0; i < r->count; i++)
            items[i] = r->items[(r->first + i) % r->size];
        free(r->items);
        *r = (struct packet_ring){items, size, 0, r->count};
    }
    r->items[(r->first + r->count++) & (r->size - 1)] = *p;
}

static struct packet ring_pop(struct packet_ring *r)
{
    struct packet p = r->items[r->first];
    r->first = (r->first + 1) & (r->size - 1);
    r->count--;
    return p;
}

void link_release(struct link *l)
{
    for (unsigned i = 0; i <= WORLD_FLOWS; i++)
        free(l->queues[i].items);
    free(l->line.items);
}

double link_queue_s(const struct link *l)
{
    return l->shape.rate_bps > 0 ? l->queued_bytes * 8 / l->shape.rate_bps : 0;
}

uint64_t link_arrival_ns(const struct link *l)
{
    return l->line.count == 0 ? UINT64_MAX : l->line.items[l->line.first].queued_ns;
}

struct packet link_take(struct link *l)
{
    return ring_pop(&l->line);
}

/* Stalls are half to one and a half times as long, and as far apart, as the shape says. */
static uint64_t after_stalls(struct world *w, struct link *l, uint64_t due_ns)
{
    if (l->shape.stall_every_s <= 0)
        return due_ns;
    while (due_ns >= l->stalled_until_ns) {
        double gap_s = l->shape.stall_every_s * (0.5 + world_random(w));
        l->stall_ns = l->stalled_until_ns + (uint64_t)(gap_s * 1e9);
        l->stalled_until_ns =
            l->stall_ns + (uint64_t)(l->shape.stall_s * (0.5 + world_random(w)) * 1e9);
    }
    return due_ns >= l->stall_ns ? l->stalled_until_ns : due_ns;
}

/* Onto the wire: loss, then delay and jitter, never out of order. */
static void depart(struct world *w, struct link *l, struct packet *p)
{
    l->sent_bytes += p->size;
    double loss = l->shape.loss;
    if (loss > 0 && l->shape.loss_burst > 1)
        loss = l->in_burst ? 1 - 1 / l->shape.loss_burst : loss / l->shape.loss_burst;
    l->in_burst = loss > 0 && world_random(w) < loss;
    if (l->in_burst)
        return;
    double delay_s = l->shape.delay_s;
    if (l->shape.jitter_s > 0)
        delay_s += l->shape.jitter_s * world_random(w);
    uint64_t due = w->now_ns + (uint64_t)(delay_s * 1e9);
    due = after_stalls(w, l, due);
    if (due < l->line_last_ns)
        due = l->line_last_ns;
    l->line_last_ns = p->queued_ns = due;
    ring_push(&l->line, p);
}

static bool policer_passes(struct world *w, struct link *l, uint32_t size)
{
    double since_s = (double)(w->now_ns - l->tokens_ns) / 1e9;
    l->tokens_ns = w->now_ns;
    l->tokens = fmin(l->shape.buffer_bytes, l->tokens + since_s * l->shape.rate_bps / 8);
    if (l->tokens < size)
        return false;
    l->tokens -= size;
    return true;
}

static void drop(struct link *l, const struct packet *p)
{
    l->dropped++;
    if (p->kind == PACKET_CALL)
        l->dropped_calls++;
}

static unsigned queue_of(const struct link *l, const struct packet *p)
{
    if (l->shape.discipline != QUEUE_FQ)
        return 0;
    return p->kind == PACKET_DATA || p->kind == PACKET_ACK ? 1 + p->flow % WORLD_FLOWS : 0;
}

void link_push(struct world *w, struct link *l, const struct packet *arrived)
{
    struct packet p = *arrived;
    p.queued_ns = w->now_ns;
    if (l->shape.rate_bps <= 0) {
        depart(w, l, &p);
        return;
    }
    if (l->shape.discipline == QUEUE_POLICER) {
        if (policer_passes(w, l, p.size))
            depart(w, l, &p);
        else
            drop(l, &p);
        return;
    }
    /* Credit travels by TCP: late rather than lost. */
    bool full = l->queued_bytes + p.size > l->shape.buffer_bytes && l->queued_bytes > 0;
    if (full && p.kind != PACKET_CREDIT) {
        drop(l, &p);
        return;
    }
    ring_push(&l->queues[queue_of(l, &p)], &p);
    l->queued_bytes += p.size;
    if (!l->busy)
        link_transmit(w, l);
}

/* One queue per flow in deficit round robin; the first, of sparse flows, goes before all. */
static struct packet_ring *fq_queue(struct link *l)
{
    if (l->queues[0].count > 0)
        return &l->queues[0];
    for (;;) {
        struct packet_ring *q = &l->queues[l->turn];
        if (q->count > 0 && l->deficit[l->turn] >= q->items[q->first].size) {
            l->deficit[l->turn] -= q->items[q->first].size;
            return q;
        }
        if (q->count == 0)
            l->deficit[l->turn] = 0;
        l->turn = l->turn % WORLD_FLOWS + 1;
        if (l->queues[l->turn].count > 0)
            l->deficit[l->turn] += 1500;
    }
}

/* CoDel: after an interval of more than the target, drop at a rate that grows. */
static bool codel_drops(struct world *w, struct link *l, const struct packet *p)
{
    double waited_s = (double)(w->now_ns - p->queued_ns) / 1e9;
    uint64_t interval_ns = (uint64_t)(codel_interval_s * 1e9);
    if (waited_s < codel_target_s || l->queued_bytes < 3000) {
        l->codel_above_ns = 0;
        l->codel_dropping = false;
        return false;
    }
    if (l->codel_above_ns == 0)
        l->codel_above_ns = w->now_ns + interval_ns;
    if (w->now_ns < l->codel_above_ns || (l->codel_dropping && w->now_ns < l->codel_next_ns))
        return false;
    bool again = l->codel_dropping || w->now_ns - l->codel_next_ns < 8 * interval_ns;
    l->codel_count = l->codel_dropping             ? l->codel_count + 1
                     : again && l->codel_count > 2 ? l->codel_count - 2
                                                   : 1;
    l->codel_dropping = true;
    l->codel_next_ns = w->now_ns + (uint64_t)((double)interval_ns / sqrt(l->codel_count));
    return true;
}

void link_transmit(struct world *w, struct link *l)
{
    if (l->busy)
        depart(w, l, &l->sending);
    l->busy = false;
    l->free_ns = UINT64_MAX;
    while (l->queued_bytes > 0) {
        bool fq = l->shape.discipline == QUEUE_FQ;
        struct packet p = ring_pop(fq ? fq_queue(l) : &l->queues[0]);
        l->queued_bytes -= p.size;
        if (l->shape.discipline == QUEUE_CODEL && codel_drops(w, l, &p)) {
            drop(l, &p);
            continue;
        }
        l->sending = p;
        l->busy = true;
        l->free_ns = w->now_ns + (uint64_t)(p.size * 8e9 / l->shape.rate_bps);
        return;
    }
}
