/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law_states.c – START and CRUISE of the control law: until a queue shows, and after. */
#include "shaper/law_parts.h"

enum { SIGN_WHOLE = 3 }; /* a faint sign of a shortfall counts a third */

static bool suspect(struct law *l, const struct law_view *v);
static void trim(struct law *l, const struct law_view *v, enum law_reason reason);
static void overflow(struct law *l, const struct law_view *v);
static void share(struct law *l, const struct law_view *v);
static bool count_shortfall(struct law *l, const struct law_view *v);
static double mean_of_rates(const struct law *l);
static void settle(struct law *l, const struct law_view *v);
static void ease(struct law *l, const struct law_view *v);
static void climb(struct law *l, const struct law_view *v);

/* Does what is asked for come? */
bool law_follows(const struct law *l, const struct law_view *v, double share)
{
    if (v->sender_limited || v->demand_limited)
        return false;
    return v->coarse || v->delivered_bps >= share * l->rate_bps;
}

void law_next_round(struct law *l, const struct law_view *v)
{
    l->round_ns = v->now_ns + law_ns(v->round_s);
}

/* ---- START: nothing is known; grow until a queue shows ---- */

static double start_capacity(struct law *l, const struct law_view *v, bool lossy, bool stuck)
{
    const struct law_constants *c = l->c;
    /* What stood behind a hole comes all at once: no faster than it was asked for. */
    double came = law_least(lossy ? v->delivered_mean_bps : v->delivered_most_bps, l->rate_bps);
    uint64_t since_ns = l->progress_ns + law_ns(2 * v->round_s);
    if (stuck && since_ns < v->now_ns)
        came = law_least(came, law_delivered_bps(l, since_ns, v->now_ns));
    uint64_t width = law_ns(c->interval_packets * 11200 / law_most(came, 1));
    if (width < v->now_ns && law_seconds(width) > v->interval_s)
        came = law_least(came, law_delivered_bps(l, v->now_ns - width, v->now_ns));
    /* A carrier that stalls just now has shown before what comes through. */
    came = law_most(came, law_least(c->start_stall * l->best_bps, l->rate_bps));
    return law_most(came, law_floor_bps(l));
}

/* Where each flow has a queue of its own no probe shows ours, and each round more overflows it.
 * Behind a hole, though, everything waits. */
static double start_patience_s(const struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    bool hole = l->flow.lossy_ns != 0 && law_since(v->now_ns, l->flow.lossy_ns) < 4 * v->round_s;
    bool early = l->rate_bps < c->start_sure * c->start_rate; /* an answer takes its time, too */
    bool alone = law_sisters(l, v->now_ns) < 2;
    return hole || early || !alone ? c->start_patience + 4 * v->round_s : c->start_lag * v->round_s;
}

/* Has the line shown what it can? */
static bool start_ends(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    bool queue = v->sampled && v->queue_s > law_most(c->start_exit * v->high_s, v->low_s);
    /* While nothing is on its way a queue is somebody else's and says nothing of the capacity. */
    bool idle = v->demand_limited || law_outstanding(l) == 0;
    if (idle || law_delay_seen(&l->delay) < (unsigned)c->late_samples)
        l->progress_ns = v->now_ns;
    bool stuck = law_since(v->now_ns, l->progress_ns) > start_patience_s(l, v) &&
                 !v->sender_limited && v->delivered_mean_bps > law_floor_bps(l);
    bool lossy = v->loss_share > c->start_loss && v->losses >= c->start_losses;
    if (idle || !(queue || stuck || lossy || v->lost))
        return false;
    double came = start_capacity(l, v, lossy || v->hole,
                                 stuck && !queue && !v->lost && law_sisters(l, v->now_ns) < 2);
    l->capacity_bps = law_most(l->capacity_bps, came);
    l->rate_bps = c->start_cut * came;
    l->flow.aftermath_ns = v->now_ns + law_ns(c->start_after + c->start_calm * law_base_s(l));
    l->flow.lossy_ns = v->now_ns;
    law_enter(l, LAW_CRUISE, v->now_ns);
    return true;
}

/* Before the first step: was somebody here first?  While it is not known, nothing is asked for. */
static bool start_waits(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    if (!l->waiting || law_since(v->now_ns, l->began_ns) >= c->late_time)
        return false;
    bool seen = law_delay_seen(&l->delay) >= (unsigned)c->late_samples;
    if (seen && law_delay_spread(&l->delay) > c->late_spread)
        l->reason = LAW_BECAUSE_LATECOMER;
    if (l->reason == LAW_BECAUSE_LATECOMER && law_is_sisters(l, v)) {
        l->capacity_bps = law_most(l->capacity_bps, l->aggregate_mean_bps);
        law_enter(l, LAW_CRUISE, v->now_ns); /* it moved by what our own kind sends */
        return true;
    }
    if (seen && l->reason != LAW_BECAUSE_LATECOMER)
        return false;
    l->progress_ns = v->now_ns;
    return true;
}

/* Once there was time enough, what comes in bursts, from behind holes, does not follow. */
static bool start_lags(const struct law *l, const struct law_view *v)
{
    bool late = law_since(v->now_ns, l->progress_ns) > l->c->start_lag * v->round_s;
    return late && !l->waiting && !v->coarse && v->delivered_mean_bps < 0.5 * l->rate_bps;
}

void law_start(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    l->reason = LAW_BECAUSE_STARTING;
    if (start_ends(l, v) || start_waits(l, v))
        return;
    if (v->now_ns < l->round_ns || v->blind || !law_follows(l, v, 0.5) || start_lags(l, v))
        return;
    if (l->waiting)
        law_delay_settle(l);
    l->rate_bps = l->waiting ? c->start_rate : l->rate_bps * c->start_gain;
    l->waiting = false;
    l->progress_ns = v->now_ns;
    law_next_round(l, v);
}

/* ---- CRUISE: at the capacity, with as good as no queue ---- */

void law_cruise(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    if (v->lost) {
        law_give_way(l, v, LAW_BECAUSE_PROBES_LOST);
        return;
    }
    if (v->queue_s > v->high_s && !v->blind) {
        if (law_is_sisters(l, v))
            share(l, v);
        else if (!law_is_foreign(l, v) && !law_is_short(l, v))
            trim(l, v, LAW_BECAUSE_OWN_QUEUE);
        else if (!suspect(l, v))
            law_give_way(l, v, LAW_BECAUSE_FOREIGN_QUEUE);
        return;
    }
    if (l->suspect_bps > 0 && v->sampled) {
        l->rate_bps = c->suspect_back * l->suspect_bps;
        l->suspect_bps = 0;
    }
    if (l->company && law_since(v->now_ns, l->recover_ns) > c->company_time) {
        l->company = false;
        law_next_round(l, v);
    }
    settle(l, v);
    if (v->sender_limited || v->demand_limited)
        l->cruise_count = 0;
    else if (++l->cruise_count >= LAW_RATES)
        l->cruise_bps = law_most(l->cruise_bps, mean_of_rates(l));
    l->proven = l->proven || l->cruise_bps > c->unseen_proof * l->capacity_bps;
    if (count_shortfall(l, v))
        return;
    if (law_is_sisters(l, v))
        share(l, v);
    else if (v->loss_share > 0 && v->full)
        overflow(l, v);
    else if (v->queue_s > v->low_s)
        ease(l, v);
    else
        climb(l, v);
}

static double mean_of_rates(const struct law *l)
{
    double sum = 0;
    for (unsigned i = 0; i < LAW_RATES; i++)
        sum += l->rates[i];
    return sum / LAW_RATES;
}

/* Who has met a queue now and then for so long, and never seen C come, has believed too much. */
static void settle(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    struct law_settling *s = &l->settling;
    if (s->began_ns < l->state_ns || v->hole || v->sender_limited || v->demand_limited ||
        law_sisters(l, v->now_ns) > 1 || law_is_shared(l)) {
        *s = (struct law_settling){.began_ns = v->now_ns};
        return;
    }
    s->seen++;
    s->queued += v->queue_s > v->low_s;
    if (law_since(v->now_ns, s->began_ns) > LAW_RATES * v->interval_s)
        s->best_bps = law_most(s->best_bps, mean_of_rates(l));
    if (law_since(v->now_ns, s->began_ns) < c->settle_time)
        return;
    if (s->queued > c->settle_share * s->seen && s->best_bps < l->capacity_bps)
        l->capacity_bps = law_most(s->best_bps, c->settle_least * l->capacity_bps);
    *s = (struct law_settling){.began_ns = v->now_ns};
}

/* The first sign of somebody else may be a hiccup of this machine or of the path: halve, and look
 * again, at probes that came well after it and after each other.  When none comes, that is a sign
 * too. */
static bool suspect(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    l->reason = LAW_BECAUSE_FOREIGN_QUEUE;
    if (l->suspect_bps > 0) {
        double most = c->suspect_time + c->probe_suspect + law_base_s(l) + 2 * v->queue_s;
        if (l->delay.sample_ns >= l->suspect_ns + law_ns(c->suspect_time)) {
            l->suspect_ns = l->delay.sample_ns;
            l->suspect_looks++;
        } else if (law_since(v->now_ns, l->suspect_ns) >= most) {
            return false;
        }
        return l->suspect_looks < (unsigned)c->suspect_looks;
    }
    l->suspect_bps = l->rate_bps;
    l->suspect_ns = v->now_ns;
    l->suspect_looks = 0;
    l->rate_bps *= c->suspect_cut;
    law_knee_begin(l, v->now_ns);
    return true;
}

/* The capacity is here: the next steps upwards are small again. */
static void timid(struct law *l)
{
    l->growth = l->c->climb_least;
    l->proof_bps = l->capacity_bps;
}

static void trim(struct law *l, const struct law_view *v, enum law_reason reason)
{
    const struct law_constants *c = l->c;
    l->reason = reason;
    timid(l);
    if (law_since(v->now_ns, l->trim_ns) < law_loop_s(l) + v->high_s)
        return;
    bool ours = reason == LAW_BECAUSE_SISTER_QUEUE;
    if (++l->trims > 2 * (unsigned)c->trim_patience && !ours) {
        law_give_way(l, v, LAW_BECAUSE_FOREIGN_QUEUE); /* what we take off, others put on */
        return;
    }
    bool again = l->trims > (unsigned)c->trim_patience;
    l->rate_bps = (again ? c->trim_again : c->trim) *
                  law_least(l->rate_bps, law_most(v->delivered_most_bps, law_floor_bps(l)));
    l->trim_ns = v->now_ns;
}

/* Lost without a queue to speak of: too fast for a short buffer.  The capacity stays: that less
 * comes through, a shortfall will tell. */
static void overflow(struct law *l, const struct law_view *v)
{
    if (law_is_judging(l) && l->rate_bps < l->c->chance_below * l->capacity_bps) {
        climb(l, v);
        return;
    }
    trim(l, v, LAW_BECAUSE_OWN_QUEUE);
}

/* The queue is of our sender's other receivers: who has more than a fair part gives, who has less
 * takes. */
static void share(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    double drain = v->queue_s > v->high_s ? c->sister_drain : 1;
    double fair = drain * (double)l->flow.aggregate_bps / law_most(l->flow.sisters, 1);
    l->reason = LAW_BECAUSE_SISTER_QUEUE;
    double off = l->rate_bps / law_most(fair, 1) - 1, part = v->interval_s / v->round_s;
    /* A line that is not full has room for more than a part: somebody does not want theirs. */
    bool is_full = v->queue_s > v->low_s ||
                   (double)l->flow.aggregate_bps > c->sister_full * l->aggregate_max_bps;
    bool more = off > c->sister_band && is_full, less = off < -c->sister_band;
    if (l->flow.sisters > 0 && (more || less))
        l->rate_bps += c->sister_step * (fair - l->rate_bps) * part;
    else if (v->queue_s > v->high_s)
        trim(l, v, LAW_BECAUSE_SISTER_QUEUE);
    else if (v->queue_s > v->low_s)
        ease(l, v);
    else
        climb(l, v);
}

/* Less than the link can do, for several intervals, with some other sign of a full link. */
static bool count_shortfall(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    bool congested = v->loss_share > 0 && v->full;
    bool policed = v->loss_share > c->loss_congested;
    /* Where chance takes segments it is the carrier that fills its window. */
    bool carrier = !v->full && l->flow.random_ns != 0 &&
                   law_since(v->now_ns, l->flow.random_ns) < c->connections_wait;
    bool signs = v->queue_s > v->low_s || policed || congested || (v->window_full && !carrier);
    /* A small queue may be ours, where C is a little too high; while C comes, nobody has taken. */
    double can = law_least(l->capacity_bps, law_ceiling_bps(l));
    bool foreign = v->delivered_most_bps < c->short_foreign * can && v->queue_s > v->low_s &&
                   v->sampled && law_is_foreign(l, v);
    /* Losses at a rate that the line has carried before: others' bytes are in it. */
    foreign = foreign || (congested && v->delivered_most_bps < c->loss_short * l->capacity_bps);
    bool strange = v->full && l->flow.while_count > 0 && l->flow.strange >= c->strange_losses;
    if (strange && !law_is_sisters(l, v)) {
        l->flow.strange = 0;
        law_give_way(l, v, LAW_BECAUSE_LOSS);
        return true;
    }
    if (law_is_sisters(l, v) || !(foreign || (signs && law_is_short(l, v)))) {
        l->shortfalls = 0;
        return false;
    }
    /* Who gets all that was asked for has lost little, whatever the queue: look for longer. */
    bool comes = v->delivered_most_bps >= c->short_asked * law_least(l->capacity_bps, v->paced_bps);
    l->shortfalls += congested || policed ? 2 * SIGN_WHOLE : comes ? 2 : SIGN_WHOLE;
    /* Who had to go for want of a queue of theirs, and is just back, has seen it before. */
    bool known = l->unseen && v->full && l->flow.while_count > 0 &&
                 law_since(v->now_ns, l->recover_ns) < c->hold_unseen;
    if (l->shortfalls < SIGN_WHOLE * (unsigned)(known ? c->short_again : c->short_count))
        return false;
    law_give_way(l, v, policed ? LAW_BECAUSE_LOSS : LAW_BECAUSE_SHORTFALL);
    return true;
}

static void ease(struct law *l, const struct law_view *v)
{
    double part = (v->queue_s - v->low_s) / (v->high_s - v->low_s);
    l->reason = LAW_BECAUSE_STEADY;
    timid(l);
    l->trims = 0;
    l->rate_bps *= 1 - l->c->ease * part * v->interval_s / v->round_s;
    if (!v->hole && !v->demand_limited && !law_is_bunched(l) &&
        v->delivered_mean_bps > 0.5 * l->capacity_bps)
        l->rate_bps = law_least(l->rate_bps, v->delivered_most_bps);
}

/* Over a while: what a stall held back comes faster than the line can. */
static void learn_more(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    /* All that was asked for comes; or all that the window, which goes by C, lets through. */
    bool alone = law_sisters(l, v->now_ns) < 2 && !v->sender_limited;
    bool whole = law_follows(l, v, c->short_share) || (v->window_full && alone);
    bool full = l->rate_bps > l->capacity_bps && whole;
    bool honest = !v->hole && v->delivered_mean_bps < c->burst_share * l->rate_bps;
    double mean = mean_of_rates(l);
    if (full && honest && l->rate_count >= LAW_RATES && mean > l->capacity_bps)
        l->capacity_bps = mean;
}

static double most_of_rates(const struct law *l)
{
    double most = 0;
    for (unsigned i = 0; i < LAW_RATES; i++)
        most = law_most(most, l->rates[i]);
    return most;
}

/* Is it no time for a step upwards? */
static bool stays(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    bool enough = v->queue_s > c->climb_queue * v->low_s &&
                  l->rate_bps > c->far_share * law_part_bps(l, v->now_ns);
    bool judging =
        (law_is_judging(l) || law_looks_only(l, v)) && l->rate_bps > c->judge_at * l->capacity_bps;
    if (judging)
        l->rate_bps = c->judge_at * l->capacity_bps;
    return v->now_ns < l->round_ns || v->blind || v->hole || enough || judging ||
           !law_follows(l, v, 0.85);
}

static double next_step(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    double all = law_most(l->rate_bps, l->aggregate_mean_bps);
    double at = all / law_most(l->capacity_bps, 1);
    if (at < c->far_share)
        return c->climb_far;
    if (at < c->near_share)
        return c->climb_near;
    /* Bolder each time the link has shown that it does carry a little more. */
    if (v->delivered_mean_bps > (1 + c->climb_proof) * l->proof_bps) {
        l->growth = law_least(2 * l->growth, c->climb_most);
        l->proof_bps = v->delivered_mean_bps;
    }
    return l->growth;
}

static void climb(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    double most = most_of_rates(l);
    l->trims = 0;
    l->reason = v->blind            ? LAW_BECAUSE_BLIND
                : v->sender_limited ? LAW_BECAUSE_SENDER
                : v->demand_limited ? LAW_BECAUSE_IDLE
                                    : LAW_BECAUSE_ROOM;
    learn_more(l, v);
    if (!v->coarse && most > 0)
        l->rate_bps = law_least(l->rate_bps, c->climb_lead * most);
    if (stays(l, v))
        return;
    if (v->coarse) /* too slow to tell by what comes */
        l->growth = c->climb_most;
    l->rate_bps *= 1 + next_step(l, v);
    law_next_round(l, v);
}
