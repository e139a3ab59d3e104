/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_link.c – how a packet crosses links: it queues, it is sent, it travels, it arrives.
 *
 *     world_packet_send → push → (queue) → transmit → on_sent → (delay) → on_arrival → next lane …
 *                                                                        → world_conn_deliver
 *                                             (a datagram) → world_datagram_deliver, or lost
 */
#include "sim/world_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"

enum { MILLION = 1000000 };
/* After a cut a sender that backed off tries again within twice the time it lost, at most minutes;
 * two seconds is what a handful of streams that probe independently come to. */
#define WAKE_MOST_NS (2 * NS_PER_S)

static void transmit(struct world_lane *lane);
static void on_sent(void *arg);
static void on_arrival(void *arg);
static void on_delivery(void *arg);

static struct world_lane *lane_of(const struct world_packet *p)
{
    return p->path->lanes[p->hop];
}

static void push(struct world_packet *p)
{
    struct world_lane *lane = lane_of(p);

    if (p->kind == PACKET_DATAGRAM && !lane->link->is_up) {
        free(p);
        return;
    }
    p->next = NULL;
    p->queued_ns = lane->link->world->now_ns;
    *lane->last = p;
    lane->last = &p->next;
    if (!lane->is_busy)
        transmit(lane);
}

void world_packet_send(struct world_packet *p)
{
    p->hop = 0;
    push(p);
}

/* Put the first packet of the queue on the wire; it stays first until it has left whole. */
static void transmit(struct world_lane *lane)
{
    struct world_link *l = lane->link;
    struct world_packet *p = lane->first;

    if (p == NULL || !l->is_up || l->world->now_ns < l->awake_ns)
        return;
    uint64_t waited_ms = (l->world->now_ns - p->queued_ns) / NS_PER_MS;
    lane->waited_ms[waited_ms < QUEUE_BUCKETS ? waited_ms : QUEUE_BUCKETS - 1]++;
    lane->is_busy = true;
    lane->done_ns = l->world->now_ns + p->wire_size * NS_PER_S / l->rate_bps + 1;
    world_at(l->world, lane->done_ns, on_sent, lane);
}

/* True: it is gone.  A stream's segment comes again, a round trip late. */
static bool lose_by_chance(struct world_link *l, struct world_lane *lane, struct world_packet *p)
{
    if (l->loss_per_million == 0 || (p->kind != PACKET_DATA && p->kind != PACKET_DATAGRAM))
        return false;
    if (!gen_chance(&l->world->gen, l->loss_per_million, MILLION))
        return false;
    if (p->kind == PACKET_DATAGRAM)
        return true;
    p->late_ns += 2 * p->path->delay_ns;
    p->conn->ends[1 - p->to].lost_segments += world_packet_segments(p);
    p->conn->ends[1 - p->to].lost_bytes += p->size;
    lane->bytes += p->wire_size;
    return false;
}

static void on_sent(void *arg)
{
    struct world_lane *lane = arg;
    struct world_link *l = lane->link;
    struct world_packet *p = lane->first;

    if (!lane->is_busy || l->world->now_ns != lane->done_ns)
        return; /* the link went down meanwhile: the packet is still first in the queue */
    lane->first = p->next;
    if (lane->first == NULL)
        lane->last = &lane->first;
    lane->is_busy = false;
    lane->bytes += p->wire_size;
    if (lose_by_chance(l, lane, p))
        free(p);
    else
        world_at(l->world, l->world->now_ns + l->delay_ns, on_arrival, p);
    transmit(lane);
}

static void on_arrival(void *arg)
{
    struct world_packet *p = arg;

    if (++p->hop < p->path->count) {
        push(p);
        return;
    }
    if (p->kind == PACKET_DATAGRAM) {
        world_datagram_deliver(p);
        return;
    }
    struct world_end *to = &p->conn->ends[p->to];
    struct world *w = p->conn->world;
    uint64_t at_ns = w->now_ns + p->late_ns;
    if (at_ns < to->not_before_ns && p->kind != PACKET_ACK) {
        at_ns = to->not_before_ns;
        to->held_up_segments += world_packet_segments(p);
    }
    if (p->kind != PACKET_ACK)
        to->not_before_ns = at_ns;
    world_at(w, at_ns, on_delivery, p);
}

static void on_delivery(void *arg)
{
    world_conn_deliver(arg);
}

/* ---- links ----------------------------------------------------------------------------------- */

struct world_link *world_add_link(struct world *w, const char *name, uint64_t rate_bps,
                                  uint64_t delay_ns)
{
    struct world_link *l = xalloc(sizeof(*l));

    alb_assert(rate_bps > 0 && strlen(name) < sizeof(l->name) && world_find_link(w, name) == NULL);
    l->world = w;
    (void)snprintf(l->name, sizeof(l->name), "%s", name);
    l->rate_bps = rate_bps;
    l->delay_ns = delay_ns;
    l->is_up = true;
    for (size_t i = 0; i < ALB_COUNT(l->lanes); i++) {
        l->lanes[i].link = l;
        l->lanes[i].last = &l->lanes[i].first;
    }
    l->next = w->links;
    w->links = l;
    return l;
}

struct world_link *world_find_link(struct world *w, const char *name)
{
    for (struct world_link *l = w->links; l != NULL; l = l->next)
        if (strcmp(l->name, name) == 0)
            return l;
    return NULL;
}

static void on_recovered(void *arg)
{
    struct world_link *l = arg;

    for (size_t i = 0; i < ALB_COUNT(l->lanes); i++)
        if (!l->lanes[i].is_busy)
            transmit(&l->lanes[i]);
}

void world_link_set_up(struct world_link *l, bool is_up)
{
    struct world *w = l->world;

    if (l->is_up == is_up)
        return;
    l->is_up = is_up;
    if (!is_up) {
        l->down_since_ns = w->now_ns;
        l->lanes[WORLD_DOWN].is_busy = false;
        l->lanes[WORLD_UP].is_busy = false;
        return;
    }
    uint64_t down_ns = w->now_ns - l->down_since_ns;
    uint64_t most_ns = down_ns < WAKE_MOST_NS ? down_ns : WAKE_MOST_NS;
    l->awake_ns = w->now_ns + gen_range(&w->gen, 0, most_ns);
    world_at(w, l->awake_ns, on_recovered, l);
}

void world_link_set_loss(struct world_link *l, uint32_t per_million)
{
    l->loss_per_million = per_million;
}

uint64_t world_link_bytes(const struct world_link *l, enum world_direction direction)
{
    return l->lanes[direction].bytes;
}

uint64_t world_link_queueing_p95_ns(const struct world_link *l, enum world_direction direction)
{
    const uint32_t *waited_ms = l->lanes[direction].waited_ms;
    uint64_t all = 0, seen = 0;

    for (size_t i = 0; i < QUEUE_BUCKETS; i++)
        all += waited_ms[i];
    for (size_t i = 0; i < QUEUE_BUCKETS; i++) {
        seen += waited_ms[i];
        if (seen * 100 >= all * 95)
            return (i + 1) * NS_PER_MS;
    }
    return 0;
}

/* ---- routes ---------------------------------------------------------------------------------- */

static void add_path(struct world *w, const struct world_node *from, const struct world_node *to,
                     struct world_link *const *links, size_t count, enum world_direction direction)
{
    struct world_path *p = xalloc(sizeof(*p));

    *p = (struct world_path){.from = from, .to = to, .count = count, .slowest_bps = UINT64_MAX};
    p->lanes = xcalloc(count, sizeof(struct world_lane *));
    for (size_t i = 0; i < count; i++) {
        struct world_link *l = direction == WORLD_DOWN ? links[i] : links[count - 1 - i];

        p->lanes[i] = &l->lanes[direction];
        p->delay_ns += l->delay_ns;
        if (l->rate_bps < p->slowest_bps)
            p->slowest_bps = l->rate_bps;
    }
    p->next = w->paths;
    w->paths = p;
}

void world_route(struct world *w, struct loop *upper, struct loop *lower,
                 struct world_link *const *links, size_t count)
{
    const struct world_node *a = world_node_of(upper), *b = world_node_of(lower);

    alb_assert(count > 0 && world_path_find(w, a, b) == NULL);
    add_path(w, a, b, links, count, WORLD_DOWN);
    add_path(w, b, a, links, count, WORLD_UP);
}

const struct world_path *world_path_find(const struct world *w, const struct world_node *from,
                                         const struct world_node *to)
{
    for (const struct world_path *p = w->paths; p != NULL; p = p->next)
        if (p->from == from && p->to == to)
            return p;
    return NULL;
}

/* ---- end ------------------------------------------------------------------------------------- */

static bool is_packet_event(const struct world_event *event)
{
    return event->fn == on_arrival || event->fn == on_delivery;
}

/* A packet is in a queue (also while it is being sent) or in one event. */
void world_links_free(struct world *w)
{
    for (size_t i = 0; i < w->events; i++)
        if (is_packet_event(&w->heap[i]))
            free(w->heap[i].arg);
    while (w->paths != NULL) {
        struct world_path *p = w->paths;

        w->paths = p->next;
        free(p->lanes);
        free(p);
    }
    while (w->links != NULL) {
        struct world_link *l = w->links;

        w->links = l->next;
        for (size_t i = 0; i < ALB_COUNT(l->lanes); i++)
            while (l->lanes[i].first != NULL) {
                struct world_packet *p = l->lanes[i].first;

                l->lanes[i].first = p->next;
                free(p);
            }
        free(l);
    }
}
