/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law_flow.c – credit out, bytes in, and what the senders say about both. */
#include "shaper/law_parts.h"

enum { SLOT_NS = 10000000, SEGMENT_BYTES = 1448 };

void law_flow_reset(struct law *l, uint64_t now_ns)
{
    struct law_flow *f = &l->flow;
    f->slot = f->first_slot = now_ns / SLOT_NS;
    f->slots[f->slot % LAW_SLOTS] = (struct law_slot){f->granted, f->delivered};
    f->aggregate_bps = 0;
    f->sisters = 0;
}

/* Closes the slots up to now: in those without an event the counts stayed. */
static struct law_slot *slot_at(struct law_flow *f, uint64_t now_ns)
{
    uint64_t slot = now_ns / SLOT_NS;
    struct law_slot last = {f->granted, f->delivered};
    if (slot > f->slot + LAW_SLOTS) {
        f->slot = slot - LAW_SLOTS;
        f->first_slot = f->slot;
    }
    while (f->slot < slot)
        f->slots[++f->slot % LAW_SLOTS] = last;
    if (f->slot - f->first_slot >= LAW_SLOTS)
        f->first_slot = f->slot - LAW_SLOTS + 1;
    return &f->slots[f->slot % LAW_SLOTS];
}

static struct law_slot counts_at(const struct law_flow *f, uint64_t at_ns)
{
    uint64_t slot = at_ns / SLOT_NS;
    if (slot <= f->first_slot)
        return f->slots[f->first_slot % LAW_SLOTS];
    if (slot >= f->slot)
        return f->slots[f->slot % LAW_SLOTS];
    struct law_slot before = f->slots[(slot - 1) % LAW_SLOTS];
    struct law_slot after = f->slots[slot % LAW_SLOTS];
    double part = (double)(at_ns % SLOT_NS) / SLOT_NS;
    before.granted += (uint64_t)(part * (double)(after.granted - before.granted));
    before.delivered += (uint64_t)(part * (double)(after.delivered - before.delivered));
    return before;
}

double law_delivered_bps(struct law *l, uint64_t from_ns, uint64_t to_ns)
{
    if (to_ns <= from_ns)
        return 0;
    uint64_t bytes = counts_at(&l->flow, to_ns).delivered - counts_at(&l->flow, from_ns).delivered;
    return (double)bytes * 8 / law_seconds(to_ns - from_ns);
}

double law_granted_bps(struct law *l, uint64_t from_ns, uint64_t to_ns)
{
    if (to_ns <= from_ns)
        return 0;
    uint64_t bytes = counts_at(&l->flow, to_ns).granted - counts_at(&l->flow, from_ns).granted;
    return (double)bytes * 8 / law_seconds(to_ns - from_ns);
}

uint64_t law_outstanding(const struct law *l)
{
    uint64_t gone = l->flow.delivered + l->flow.forfeited;
    return l->flow.granted > gone ? l->flow.granted - gone : 0;
}

double law_own_queue_s(const struct law *l)
{
    if (l->capacity_bps <= 0)
        return 0;
    return law_most(0, (double)law_outstanding(l) * 8 / l->capacity_bps - law_loop_s(l));
}

double law_own_queue_lately_s(struct law *l, double back_s)
{
    if (l->capacity_bps <= 0)
        return 0;
    const struct law_flow *f = &l->flow;
    uint64_t slots = law_ns(back_s) / (uint64_t)SLOT_NS + 1, most = law_outstanding(l);
    for (uint64_t i = 0; i < slots && i < LAW_SLOTS && f->slot >= f->first_slot + i; i++) {
        const struct law_slot *s = &f->slots[(f->slot - i) % LAW_SLOTS];
        uint64_t gone = s->delivered + f->forfeited;
        if (s->granted > gone && s->granted - gone > most)
            most = s->granted - gone;
    }
    /* Credit that stood in a queue on its way may have come out of it all at once. */
    return law_most(0, (double)most * 8 / l->capacity_bps - law_base_s(l));
}

void law_on_granted(struct law *l, uint64_t bytes, uint64_t now_ns)
{
    struct law_slot *slot = slot_at(&l->flow, now_ns);
    l->flow.granted += bytes;
    slot->granted = l->flow.granted;
    l->flow.busy_ns = now_ns;
}

void law_on_delivered(struct law *l, uint64_t bytes, uint64_t now_ns)
{
    struct law_slot *slot = slot_at(&l->flow, now_ns);
    l->flow.delivered += bytes;
    slot->delivered = l->flow.delivered;
    if (l->knee_pending && l->flow.delivered >= l->knee_target)
        law_knee_measure(l, now_ns);
}

void law_on_forfeit(struct law *l, uint64_t bytes, uint64_t now_ns)
{
    slot_at(&l->flow, now_ns);
    uint64_t most = law_outstanding(l);
    l->flow.forfeited += bytes < most ? bytes : most;
}

void law_on_hole(struct law *l, uint64_t now_ns)
{
    uint64_t until = now_ns + law_ns(l->c->hole_time * law_most(law_base_s(l), 0.02));
    if (until > l->flow.hole_until_ns)
        l->flow.hole_until_ns = until;
}

/* Chance losses never stop: like the base delay, the least share lost in any while is the line's
 * own, and others only add to it. */
static double chance_share(const struct law_flow *f)
{
    double least = 1;
    for (unsigned i = 0; i < f->while_count; i++)
        least = law_least(least, f->whiles[i]);
    return least;
}

bool law_losses_are_ours(const struct law *l)
{
    const struct law_flow *f = &l->flow;
    return f->while_count == 0 || chance_share(f) < l->c->chance_least;
}

bool law_is_judging(const struct law *l)
{
    return l->flow.while_count == 0 && l->flow.random_ns != 0 && l->capacity_bps > 0;
}

static void while_end(struct law_flow *f, double share)
{
    f->whiles[f->while_next] = share;
    f->while_next = (f->while_next + 1) % LAW_WHILES;
    if (f->while_count < LAW_WHILES)
        f->while_count++;
    f->while_segments = f->while_losses = f->clean_segments = 0;
}

void law_flow_interval(struct law *l, uint64_t now_ns)
{
    struct law_flow *f = &l->flow;
    double segments = (double)(f->delivered - f->while_delivered) / SEGMENT_BYTES;
    f->while_delivered = f->delivered;
    double losses = f->losses, settled_s = 2 * law_base_s(l) + 2 * l->c->interval_min;
    f->losses = 0;
    f->clean_segments = losses > 0 ? 0 : f->clean_segments + segments;
    if (f->clean_segments >= l->c->chance_segments)
        while_end(f, 0); /* a line that loses nothing at all is a good one */
    f->strange *= 1 - law_least(1, law_since(now_ns, l->tick_ns) / l->c->strange_time);
    if (losses > 0)
        f->lossy_ns = now_ns;
    if (law_since(now_ns, f->lossy_ns) > l->c->start_calm * law_base_s(l))
        f->aftermath_ns = 0;
    if (l->rate_bps >= l->c->chance_below * l->capacity_bps || now_ns < f->aftermath_ns)
        f->pushed_ns = now_ns;
    if (law_since(now_ns, f->pushed_ns) < settled_s)
        return;                       /* what is lost now, we may have lost by pushing */
    f->strange += losses > 0 ? 1 : 0; /* many at once may be a burst of a carrier's own */
    f->while_segments += segments;
    f->while_losses += losses > 0 ? 1 : 0;
    /* The first while is waited for: some losses say enough. */
    bool enough = f->while_count == 0 && f->while_losses >= l->c->chance_losses;
    if (f->while_segments >= l->c->chance_segments || enough)
        while_end(f, f->while_losses / f->while_segments);
}

/* A loss at the deepest queue ever seen is a full buffer; chance strikes at any depth. */
static void on_losses(struct law *l, double count, uint64_t now_ns)
{
    struct law_delay *d = &l->delay;
    struct law_flow *f = &l->flow;
    bool full = d->peak_s > l->c->full_share * d->deepest_s && d->peak_s > law_low_s(l);
    f->losses += count;
    f->congested += l->c->congested_weight * ((full ? 1 : 0) - f->congested);
    if (full)
        d->lossy_queue = law_losses_are_ours(l);
    else
        f->random_ns = now_ns;
}

void law_on_stream(struct law *l, unsigned stream)
{
    l->flow.stamped[stream % LAW_STREAMS] = false;
}

void law_on_stamp(struct law *l, const struct law_stamp *s, uint64_t now_ns)
{
    struct law_flow *f = &l->flow;
    unsigned i = s->stream % LAW_STREAMS;
    if (f->stamped[i] && s->retransmitted > f->retransmitted[i])
        on_losses(l, (double)(s->retransmitted - f->retransmitted[i]), now_ns);
    f->stamped[i] = true;
    f->retransmitted[i] = s->retransmitted;
    if (s->sender_limited || s->policy_limited)
        f->limited_until_ns = now_ns + law_ns(l->c->limited_time);
    f->aggregate_bps = s->aggregate_bps;
    f->sisters = s->sisters;
    f->aggregate_ns = now_ns;
}
