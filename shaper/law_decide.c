/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law_decide.c – what an interval looked like, and whose queue it was. */
#include "shaper/law_parts.h"

enum { SEGMENT_BITS = 1448 * 8 };

double law_floor_bps(const struct law *l)
{
    if (l->terms.floor_bps != 0)
        return (double)l->terms.floor_bps;
    if (l->capacity_bps <= 0)
        return law_least(l->c->floor_bps, l->c->start_wait);
    double share = l->c->floor_share * l->capacity_bps;
    return law_least(l->c->floor_bps, law_most(share, l->c->floor_least));
}

bool law_is_crowd(const struct law *l)
{
    const struct law_flow *f = &l->flow;
    bool told = f->aggregate_ns != 0 && law_since(l->tick_ns, f->aggregate_ns) < l->c->crowd_after;
    return l->terms.crowd > 1 && l->capacity_bps > 0 && !told;
}

bool law_is_shared(const struct law *l)
{
    return l->terms.ceiling_percent != 0 || l->company || law_is_crowd(l);
}

double law_ceiling_bps(const struct law *l)
{
    double ceiling = l->terms.ceiling_bps != 0 ? (double)l->terms.ceiling_bps : 1e15;
    if (l->terms.ceiling_percent != 0 && l->capacity_bps > 0)
        ceiling = law_least(ceiling, l->capacity_bps * l->terms.ceiling_percent / 100);
    if (l->company && l->capacity_bps > 0)
        ceiling = law_least(ceiling, l->c->company_share * l->capacity_bps);
    if (law_is_crowd(l))
        ceiling = law_least(ceiling, l->capacity_bps / l->terms.crowd);
    return ceiling;
}

/* The least R of the last `back_s`: what comes now was asked for then. */
static double pace_before(const struct law *l, double back_s, double interval_s)
{
    double least = l->rate_bps;
    unsigned count = (unsigned)(back_s / interval_s) + 1;
    for (unsigned i = 1; i <= count && i <= LAW_PACES && i <= l->rate_count; i++)
        least = law_least(least, l->paces[(l->rate_count - i) % LAW_PACES]);
    return least;
}

static void look_at_rates(struct law *l, bool alarm, struct law_view *v)
{
    uint64_t now = v->now_ns, width = law_ns(v->interval_s);
    uint64_t from = now > width ? now - width : 0;
    v->delivered_bps = law_delivered_bps(l, from, now);
    if (!alarm) {
        l->paces[l->rate_count % LAW_PACES] = l->rate_bps;
        l->rates[l->rate_count++ % LAW_RATES] = v->delivered_bps;
    }
    v->delivered_most_bps = v->delivered_bps;
    double sum = 0;
    unsigned count = l->rate_count < 3 ? l->rate_count : 3;
    for (unsigned i = 1; i <= count; i++) {
        double bps = l->rates[(l->rate_count - i) % LAW_RATES];
        v->delivered_most_bps = law_most(v->delivered_most_bps, bps);
        sum += bps;
    }
    v->delivered_mean_bps = count > 0 ? sum / count : v->delivered_bps;
    if (v->queue_s <= v->low_s)
        l->best_bps = law_most(l->best_bps, v->delivered_mean_bps);
    uint64_t lag = law_ns(law_loop_s(l));
    if (from > lag)
        v->asked_bps = law_granted_bps(l, from - lag, now - lag);
    v->paced_bps = pace_before(l, law_loop_s(l) + v->interval_s, v->interval_s);
    v->window_full = law_outstanding(l) * 100 >= l->verdict.window_bytes / 100 * 85;
    v->coarse = l->rate_bps * v->interval_s / 8 < 4 * (double)l->verdict.quantum_bytes;
    v->demand_limited =
        !v->coarse && !v->window_full && law_granted_bps(l, from, now) < 0.85 * l->rate_bps;
    double segments = law_most(1, v->delivered_bps * v->interval_s / SEGMENT_BITS);
    v->losses = l->flow.losses;
    v->loss_share = l->flow.losses / (segments + l->flow.losses);
}

void law_look(struct law *l, bool alarm, struct law_view *v, uint64_t now_ns)
{
    const struct law_constants *c = l->c;
    double base = law_base_s(l);
    *v = (struct law_view){.now_ns = now_ns};
    double packets_s = l->capacity_bps > 0 ? c->interval_packets * 11200 / l->capacity_bps : 0;
    v->interval_s = law_least(law_most(packets_s, c->interval_min), c->interval_max);
    v->round_s = law_most(v->interval_s, law_loop_s(l));
    v->sampled = l->delay.fresh_s >= 0;
    v->queue_s = alarm ? l->delay.newest_s : law_delay_take(l);
    v->low_s = law_low_s(l);
    v->high_s = law_high_s(l);
    v->lost = l->delay.lost_run >= (unsigned)c->lost_run;
    v->blind = !v->lost && law_since(now_ns, l->delay.sample_ns) > c->stale_after + 2 * base;
    if (v->lost)
        v->queue_s = 2 * v->high_s;
    v->full = law_losses_are_ours(l);
    v->hole = !v->full && now_ns < l->flow.hole_until_ns + law_ns(3 * v->interval_s);
    v->sender_limited = now_ns < l->flow.limited_until_ns;
    look_at_rates(l, alarm, v);
    if (!alarm)
        law_flow_interval(l, now_ns);
}

unsigned law_sisters(const struct law *l, uint64_t now_ns)
{
    const struct law_flow *f = &l->flow;
    bool told = f->aggregate_bps > 0 && law_since(now_ns, f->aggregate_ns) <= l->c->limited_time;
    return told && f->sisters > 1 ? f->sisters : 1;
}

double law_part_bps(const struct law *l, uint64_t now_ns)
{
    return l->capacity_bps / law_sisters(l, now_ns);
}

bool law_is_sisters(const struct law *l, const struct law_view *v)
{
    const struct law_flow *f = &l->flow;
    if (v->queue_s > l->c->sister_queue * v->high_s)
        return false; /* each has its window: together they make no such queue */
    if (f->aggregate_bps == 0 || law_since(v->now_ns, f->aggregate_ns) > l->c->limited_time)
        return false;
    return f->sisters != 1 && (double)f->aggregate_bps > 1.05 * v->delivered_most_bps &&
           (double)f->aggregate_bps >= l->c->sister_share * l->aggregate_max_bps;
}

static double sisters_queue_s(const struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    double base = law_base_s(l), others = (double)l->flow.aggregate_bps - v->delivered_most_bps;
    double bits = (double)law_outstanding(l) * 8 +
                  law_most(others, 0) * (base + c->window_slack + c->window_frames * c->frame_time);
    return bits / l->capacity_bps - base;
}

bool law_is_foreign(struct law *l, const struct law_view *v)
{
    if (l->capacity_bps <= 0 || v->hole)
        return false;
    double base = law_base_s(l), own = law_own_queue_lately_s(l, base + v->queue_s);
    if (law_sisters(l, v->now_ns) > 1) /* and what theirs can make, at the windows they have */
        own = law_most(own, sisters_queue_s(l, v));
    return v->queue_s - own > l->c->foreign_share * v->queue_s + l->c->foreign_base * base;
}

bool law_is_short(const struct law *l, const struct law_view *v)
{
    if (l->capacity_bps <= 0 || v->hole || v->sender_limited || v->demand_limited || v->coarse)
        return false;
    if (v->queue_s <= v->low_s && law_is_bunched(l))
        return false; /* the way back is full: what we ask for arrives late */
    double asked = v->window_full ? v->paced_bps : law_least(v->paced_bps, v->asked_bps);
    double can = law_least(l->capacity_bps, law_ceiling_bps(l));
    return v->delivered_most_bps < l->c->short_share * can &&
           v->delivered_most_bps < l->c->short_asked * asked;
}

void law_enter(struct law *l, enum law_state state, uint64_t now_ns)
{
    l->state = state;
    l->state_ns = now_ns;
    l->round_ns = now_ns;
    /* A capacity of a while ago is only looked beyond; one taken from a knee may be what somebody
     * left of the line, who is gone now. */
    bool doubted = l->knee_ns != 0 && law_since(now_ns, l->knee_ns) < l->c->knee_doubt;
    l->growth = doubted ? l->c->knee_climb : l->c->climb_least;
    l->proof_bps = doubted ? 0 : l->capacity_bps;
    l->shortfalls = l->trims = 0;
    if (state == LAW_CRUISE) {
        l->cruise_bps = 0;
        l->cruise_count = 0;
    }
    l->suspect_bps = 0;
    l->delay.flat_since_ns = 0;
    if (state == LAW_RECOVER) {
        l->recover_ns = now_ns;
        l->best_bps = 0;
    }
}

void law_decide(struct law *l, const struct law_view *v)
{
    switch (l->state) {
    case LAW_START: law_start(l, v); return;
    case LAW_CRUISE:
    case LAW_CAPPED: law_cruise(l, v); return;
    case LAW_YIELD: law_yield(l, v); return;
    case LAW_RECOVER: law_recover(l, v); return;
    case LAW_OFF: return;
    }
}
