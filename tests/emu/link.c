/* SPDX-License-Identifier: Apache-2.0 */
/* emu/link.c – the line in virtual time: free_ns moves by each packet's time on it. */
#include "emu/link.h"

#include <string.h>

#include "emu/ip.h"

#define NS_PER_S 1000000000u
#define NS_BITS (8 * (uint64_t)NS_PER_S) /* nanoseconds a byte takes at one bit per second */

static enum link_verdict admit(struct link *link, uint32_t slot, uint64_t now_ns);
static bool is_over_limit(const struct link *link, uint32_t newcomer_bytes, uint64_t now_ns);
static void line_begin(struct link *link, uint32_t slot, uint64_t start_ns);
static void requeue(struct link *link, const struct queue_params *before, uint64_t now_ns);

void link_init(struct link *link, struct packet_pool *pool, const struct link_params *params,
               uint64_t seed, uint64_t radio_seed, uint64_t now_ns)
{
    struct dice seeds = {seed};
    memset(link, 0, sizeof *link);
    link->params = *params;
    link->pool = pool;
    link->radio_seed = radio_seed;
    link->on_line = PACKET_NONE;
    link->loss.dice.state = dice_bits(&seeds);
    queue_init(&link->queue, pool, dice_bits(&seeds));
    air_init(&link->air, pool, dice_bits(&seeds));
    air_restart_pauses(&link->air, radio_seed, now_ns);
}

enum link_verdict link_offer(struct link *link, uint32_t slot, uint64_t now_ns)
{
    link_advance(link, now_ns);
    enum link_verdict verdict = admit(link, slot, now_ns);
    switch (verdict) {
    case LINK_PASS: link_advance(link, now_ns); return verdict;
    case LINK_CUT: link->counts.cut++; break;
    case LINK_LOST: link->counts.lost++; break;
    case LINK_POLICED: link->counts.policed++; break;
    case LINK_FULL: link->counts.full++; break;
    }
    packet_pool_give(link->pool, slot);
    return verdict;
}

/* A single queue refuses the newcomer; fair queues take it and drop from the fattest. */
static enum link_verdict admit(struct link *link, uint32_t slot, uint64_t now_ns)
{
    const struct link_params *p = &link->params;
    struct packet *packet = packet_pool_at(link->pool, slot);
    if (p->down)
        return LINK_CUT;
    if (loss_hits(&link->loss, &p->loss))
        return LINK_LOST;
    if (!policer_passes(&link->policer, &p->policer, packet->bytes, now_ns))
        return LINK_POLICED;
    bool idle = link->on_line == PACKET_NONE && link->queue.packets == 0;
    if (!idle && !p->queue.fair && is_over_limit(link, packet->bytes, now_ns))
        return LINK_FULL;
    if (p->queue.ecn == QUEUE_ECN_CLEAR)
        ip_clear_ecn(packet->data, packet->bytes);
    packet->came_ns = now_ns;
    queue_push(&link->queue, &p->queue, slot);
    while (!idle && link->queue.packets > 0 && is_over_limit(link, 0, now_ns)) {
        queue_drop_fattest(&link->queue);
        link->counts.full++;
    }
    return LINK_PASS;
}

void link_advance(struct link *link, uint64_t now_ns)
{
    while (link->free_ns <= now_ns) {
        if (link->on_line != PACKET_NONE) {
            link->counts.sent_bytes += packet_pool_at(link->pool, link->on_line)->bytes;
            air_launch(&link->air, &link->params.air, link->on_line, link->free_ns);
            link->on_line = PACKET_NONE;
        }
        uint32_t slot = queue_pop(&link->queue, &link->params.queue, link->free_ns);
        if (slot == PACKET_NONE)
            return;
        uint64_t came_ns = packet_pool_at(link->pool, slot)->came_ns;
        line_begin(link, slot, came_ns > link->free_ns ? came_ns : link->free_ns);
    }
}

/* The remainder is carried from one packet to the one right behind it: at 64 bytes and 1 gbit,
 * rounding each would be 0.2 % of the rate. */
static void line_begin(struct link *link, uint32_t slot, uint64_t start_ns)
{
    uint64_t line = packet_pool_at(link->pool, slot)->bytes * NS_BITS;
    if (start_ns == link->free_ns)
        line += link->free_rem;
    link->on_line = slot;
    link->free_ns = start_ns + line / link->params.rate_bits;
    link->free_rem = line % link->params.rate_bits;
}

/* The packet on the line is the next to join those in the air; while they are in order it cannot
 * come before them, so it need not be looked at. */
uint64_t link_due_ns(const struct link *link)
{
    uint64_t air_ns = air_due_ns(&link->air);
    bool is_busy = link->on_line != PACKET_NONE || link->queue.packets > 0;
    if (!is_busy || (air_ns != UINT64_MAX && !link->params.air.reorder))
        return air_ns;
    uint64_t line_ns = link->free_ns + link->params.air.delay_ns;
    return line_ns < air_ns ? line_ns : air_ns;
}

uint32_t link_take(struct link *link, uint64_t now_ns)
{
    return air_due_ns(&link->air) <= now_ns ? air_land(&link->air) : PACKET_NONE;
}

static void line_clear(struct link *link, uint64_t now_ns)
{
    uint32_t count = queue_clear(&link->queue) + air_clear(&link->air);
    if (link->on_line != PACKET_NONE) {
        packet_pool_give(link->pool, link->on_line);
        count++;
    }
    link->on_line = PACKET_NONE;
    link->free_ns = now_ns;
    link->counts.cut += count;
}

static bool has_other_pauses(const struct air_params *a, const struct air_params *b)
{
    return a->pause_gap_ns != b->pause_gap_ns || a->pause_min_ns != b->pause_min_ns ||
           a->pause_max_ns != b->pause_max_ns;
}

void link_change(struct link *link, const struct link_params *params, uint64_t now_ns)
{
    link_advance(link, now_ns);
    struct link_params before = link->params;
    link->params = *params;
    if (params->rate_bits != before.rate_bits && link->free_ns > now_ns) {
        double stretch = (double)before.rate_bits / (double)params->rate_bits;
        link->free_ns = now_ns + (uint64_t)((double)(link->free_ns - now_ns) * stretch);
        link->free_rem = 0;
    }
    if (params->queue.fair != before.queue.fair)
        requeue(link, &before.queue, now_ns);
    if (has_other_pauses(&params->air, &before.air))
        air_restart_pauses(&link->air, link->radio_seed, now_ns);
    if (params->down)
        line_clear(link, now_ns);
}

/* Sort what waits into the other kind of queue, in the order in which it would have gone. */
static void requeue(struct link *link, const struct queue_params *before, uint64_t now_ns)
{
    struct queue_params plain = {.fair = before->fair};
    uint32_t first = PACKET_NONE, last = PACKET_NONE, slot;
    while ((slot = queue_pop(&link->queue, &plain, now_ns)) != PACKET_NONE) {
        if (first == PACKET_NONE)
            first = slot;
        else
            packet_pool_at(link->pool, last)->next = slot;
        packet_pool_at(link->pool, slot)->next = PACKET_NONE;
        last = slot;
    }
    for (uint32_t next; first != PACKET_NONE; first = next) {
        next = packet_pool_at(link->pool, first)->next;
        queue_push(&link->queue, &link->params.queue, first);
    }
}

void link_pause(struct link *link, uint64_t pause_ns, uint64_t now_ns)
{
    link_advance(link, now_ns);
    if (link->free_ns < now_ns)
        link->free_ns = now_ns;
    link->free_ns += pause_ns;
}

/* What is left of the packet on the line, without a pause that it may be in. */
static uint64_t line_left_ns(const struct link *link, uint64_t now_ns)
{
    if (link->on_line == PACKET_NONE || link->free_ns <= now_ns)
        return 0;
    uint32_t bytes = packet_pool_at(link->pool, link->on_line)->bytes;
    uint64_t whole_ns = bytes * NS_BITS / link->params.rate_bits;
    return link->free_ns - now_ns < whole_ns ? link->free_ns - now_ns : whole_ns;
}

/* A packet in service counts as queued, as in a router whose ring holds it until it is sent. */
struct link_backlog link_backlog(const struct link *link, uint64_t now_ns)
{
    uint64_t rate = link->params.rate_bits;
    uint64_t left_ns = line_left_ns(link, now_ns);
    uint64_t left_bytes = (uint64_t)((double)left_ns * (double)rate / (double)NS_BITS + 0.5);
    return (struct link_backlog){
        .bytes = link->queue.bytes + left_bytes,
        .ns = link->queue.bytes * NS_BITS / rate + left_ns,
    };
}

static bool is_over_limit(const struct link *link, uint32_t newcomer_bytes, uint64_t now_ns)
{
    const struct link_params *p = &link->params;
    uint32_t newcomers = newcomer_bytes > 0;
    if (p->limit_bytes == 0 && p->limit_ns == 0)
        return link->queue.packets + (link->on_line != PACKET_NONE) + newcomers > p->limit_packets;
    uint64_t limit_ns = p->limit_bytes == 0 ? p->limit_ns : p->limit_bytes * NS_BITS / p->rate_bits;
    uint64_t line_ns = newcomer_bytes * NS_BITS / p->rate_bits;
    return link_backlog(link, now_ns).ns + line_ns > limit_ns;
}

uint64_t link_dropped(const struct link *link)
{
    const struct link_counts *c = &link->counts;
    return c->cut + c->lost + c->policed + c->full + link->queue.dropped;
}
