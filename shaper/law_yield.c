/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law_yield.c – YIELD and RECOVER of the control law: away from others, and back. */
#include "shaper/law_parts.h"

/* ---- YIELD: somebody else needs the link ---- */

static double first_hold_s(const struct law *l)
{
    switch (l->terms.hold) {
    case LAW_HOLD_NORMAL: return l->c->hold_normal;
    case LAW_HOLD_HARVEST: return l->c->hold_harvest;
    case LAW_HOLD_INVISIBLE: return l->c->hold_invisible;
    }
    return l->c->hold_normal;
}

/* Less came, and no queue says why: a queue for each flow, a policer, or C is wrong. */
static bool is_unseen(const struct law_view *v, enum law_reason reason)
{
    return v->queue_s <= v->low_s &&
           (reason == LAW_BECAUSE_SHORTFALL || reason == LAW_BECAUSE_LOSS);
}

/* Without a queue nobody is seen: if C never came in all this time, we believed a little too much.
 * Where far less comes, somebody has a queue of their own; but a start, too, may have taken what
 * a policer's bucket held, or what came at once from behind a hole, for the line. */
static void forget_unseen(struct law *l, const struct law_view *v, enum law_reason reason)
{
    bool alone = law_sisters(l, v->now_ns) < 2; /* else ours is a part */
    if (!alone || !is_unseen(v, reason) || law_ceiling_bps(l) < l->capacity_bps)
        return;
    double came = l->proven ? l->cruise_bps : law_most(l->cruise_bps, v->delivered_mean_bps);
    if (came > (l->proven ? l->c->unseen_least * l->capacity_bps : law_floor_bps(l)))
        l->capacity_bps = law_least(l->capacity_bps, came);
}

/* How long to be silent: what the last return was worth tells. True if it was worth nothing. */
static bool choose_hold(struct law *l, const struct law_view *v, enum law_reason reason,
                        double out_s)
{
    const struct law_constants *c = l->c;
    double first = law_most(first_hold_s(l), c->hold_rounds * law_base_s(l));
    /* Where buffers are shallow a flow needs many round trips to grow back after each loss. */
    double can = law_least(law_part_bps(l, v->now_ns), law_ceiling_bps(l));
    bool vain = l->best_bps < c->hold_worth * can ||
                (l->delay.lossy_queue && out_s < c->hold_regrow * law_base_s(l)) ||
                (l->company && out_s < c->company_least);
    /* Where losses are ours or others'. Not after we pushed: that may have been our fault. */
    bool known = is_unseen(v, reason) && v->full && l->flow.while_count > 0;
    bool unseen = known && out_s < c->hold_unseen && l->flow.pushed_ns < l->recover_ns;
    if (l->hold_s <= 0 || out_s > c->hold_forget)
        l->hold_s = first * (known ? c->unseen_first : 1);
    else if (vain || unseen)
        l->hold_s = law_most(first, law_least(l->hold_s * (unseen ? c->unseen_gain : c->hold_gain),
                                              law_least(first * c->hold_most, c->hold_longest)));
    else
        l->hold_s = law_most(l->hold_s * c->hold_ease, first * c->hold_least);
    return vain;
}

void law_give_way(struct law *l, const struct law_view *v, enum law_reason reason)
{
    const struct law_constants *c = l->c;
    double out_s = l->recover_ns != 0 ? law_since(v->now_ns, l->recover_ns) : 1e9;
    bool vain = choose_hold(l, v, reason, out_s);
    forget_unseen(l, v, reason);
    bool alone = law_sisters(l, v->now_ns) < 2;
    l->unseen = alone && is_unseen(v, reason);
    l->company = alone && !vain && !l->unseen && out_s < c->company_within;
    l->vain = vain ? l->vain + (l->vain < 8) : 0;
    l->silences = 0;
    bool begun = l->suspect_bps > 0;
    double rate = begun ? l->suspect_bps : l->rate_bps;
    if (l->capacity_bps > v->delivered_most_bps && !law_is_shared(l))
        l->capacity_bps -= (v->queue_s > v->low_s ? c->capacity_forget : c->capacity_fade) *
                           (l->capacity_bps - v->delivered_most_bps);
    l->knee.before_bps = l->knee.bps;
    l->knee.before_ns = l->knee.at_ns;
    l->knee.before_drained = l->knee.drained;
    l->knee.bps = 0;
    l->knee.drained = false;
    l->knee.queued = v->queue_s > v->low_s && !v->lost;
    if (!begun)
        law_knee_begin(l, v->now_ns);
    l->rate_bps = law_most(law_floor_bps(l), c->yield_cut * rate);
    law_enter(l, LAW_YIELD, v->now_ns);
    l->yield_ns = v->now_ns;
    l->delay.calm_ns = 0;
    l->reason = reason;
}

void law_silence_ended(struct law *l, uint64_t now_ns)
{
    const struct law_constants *c = l->c;
    if (l->state != LAW_YIELD || l->delay.calm_ns == 0)
        return;
    double first = law_most(first_hold_s(l), c->hold_rounds * law_base_s(l));
    double lasted = law_since(now_ns, l->delay.calm_ns);
    if (lasted <= first || ++l->silences < 2 * l->vain)
        return;
    l->silences = 0;
    l->hold_s = law_most(c->hold_least * first, law_least(l->hold_s, c->hold_gap * lasted));
}

/* Who comes back small may do so sooner. */
double law_hold_s(const struct law *l)
{
    const struct law_constants *c = l->c;
    if (!l->company || l->terms.hold == LAW_HOLD_INVISIBLE)
        return l->hold_s;
    return law_least(l->hold_s, law_most(c->company_hold, c->company_rounds * law_base_s(l)));
}

void law_yield(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    law_knee_follow(l, v);
    if (law_is_sisters(l, v)) {
        law_enter(l, LAW_CRUISE, v->now_ns); /* the link is full of our own kind */
        return;
    }
    /* Others of our kind, who see what we see, did not give way: it was a hiccup of ours. */
    bool alone = law_sisters(l, v->now_ns) > 1 && v->queue_s <= v->high_s && !v->blind &&
                 l->aggregate_mean_bps > c->sister_stay * l->aggregate_max_bps;
    if (alone && law_since(v->now_ns, l->yield_ns) > c->sister_wait) {
        l->rate_bps = law_most(l->rate_bps, c->recover_from * l->capacity_bps);
        law_enter(l, LAW_RECOVER, v->now_ns);
        return;
    }
    bool quiet = v->queue_s <= v->low_s && !v->blind && l->delay.calm_ns != 0;
    bool at_floor = l->rate_bps <= law_floor_bps(l);
    l->rate_bps = law_most(law_floor_bps(l), c->yield_cut * l->rate_bps);
    if (!quiet) {
        if (!at_floor || !law_delay_is_flat(l, v->queue_s, v->now_ns))
            return;
        law_delay_rebase(l, v->now_ns);
        law_enter(l, LAW_RECOVER, v->now_ns);
        l->reason = LAW_BECAUSE_NEW_BASE;
        return;
    }
    l->delay.flat_since_ns = 0;
    l->reason = LAW_BECAUSE_HOLDING;
    if (law_since(v->now_ns, l->delay.calm_ns) < law_hold_s(l))
        return;
    law_knee_twice(l, v->now_ns);
    double from = l->company ? c->company_from : c->recover_from;
    l->rate_bps = law_most(l->rate_bps, from * l->capacity_bps);
    law_enter(l, LAW_RECOVER, v->now_ns);
}

/* ---- RECOVER: back to where we were, quickly but not blindly ---- */

bool law_looks_only(const struct law *l, const struct law_view *v)
{
    return l->unseen && v->full && law_since(v->now_ns, l->recover_ns) < l->c->unseen_look;
}

/* A queue of somebody's, or the end of a line that has become slower. */
static void recover_meets(struct law *l, const struct law_view *v, bool near)
{
    if (!near || v->lost || !law_knee_is_met(l, v)) {
        law_give_way(l, v, v->lost ? LAW_BECAUSE_PROBES_LOST : LAW_BECAUSE_FOREIGN_QUEUE);
        return;
    }
    l->capacity_bps = l->knee.bps;
    l->knee_ns = v->now_ns;
    l->knee = (struct law_knee){0};
    l->rate_bps = l->c->start_cut * l->capacity_bps;
    law_enter(l, LAW_CRUISE, v->now_ns);
    l->reason = LAW_BECAUSE_NEW_CAPACITY;
}

static void recover_back(struct law *l, const struct law_view *v)
{
    l->shortfalls += v->sampled && law_is_foreign(l, v);
    if (l->shortfalls >= (unsigned)l->c->recover_count) {
        law_give_way(l, v, LAW_BECAUSE_FOREIGN_QUEUE);
        return;
    }
    l->rate_bps = law_most(law_floor_bps(l), l->rate_bps * l->c->recover_back);
    law_next_round(l, v);
}

static void recover_step(struct law *l, const struct law_view *v, bool near)
{
    const struct law_constants *c = l->c;
    l->shortfalls = 0;
    if (law_follows(l, v, 0.4)) {
        l->rate_bps *= near ? c->knee_gain : c->recover_gain;
        law_next_round(l, v);
    }
    double part = law_looks_only(l, v) ? c->judge_at : c->recover_done;
    double done = law_least(part * law_part_bps(l, v->now_ns), law_ceiling_bps(l));
    if (l->rate_bps >= done) {
        l->rate_bps = law_least(l->rate_bps, done);
        law_enter(l, LAW_CRUISE, v->now_ns);
    }
}

void law_recover(struct law *l, const struct law_view *v)
{
    if (law_is_sisters(l, v)) {
        law_enter(l, LAW_CRUISE, v->now_ns);
        return;
    }
    bool near = law_knee_is_near(l, v->now_ns);
    l->reason = LAW_BECAUSE_RECOVERING;
    if ((v->queue_s > v->high_s || v->lost) && !v->blind)
        recover_meets(l, v, near);
    else if (v->now_ns < l->round_ns || v->blind)
        return;
    else if (v->queue_s > v->low_s)
        recover_back(l, v);
    else
        recover_step(l, v, near);
}
