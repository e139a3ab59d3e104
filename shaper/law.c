/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law.c – the scavenger's control law: events in, one verdict per interval out. */
#include "shaper/law_parts.h"

#include <math.h>

static void begin(struct law *l, uint64_t now_ns);
static void regard_time(struct law *l, uint64_t now_ns);
static void regard_aggregate(struct law *l, const struct law_view *v);
static void regard_losses(struct law *l, const struct law_view *v);
static void clamp(struct law *l, uint64_t now_ns);
static enum law_reason ceiling_reason(const struct law *l)
{
    if (law_is_crowd(l))
        return LAW_BECAUSE_CROWD;
    double part = l->c->company_share * l->capacity_bps;
    return l->company && law_ceiling_bps(l) >= part ? LAW_BECAUSE_COMPANY : LAW_BECAUSE_CEILING;
}

static void write_verdict(struct law *l, const struct law_view *v);

void law_init(struct law *l, const struct law_options *o)
{
    *l = (struct law){0};
    l->c = o->constants != NULL ? o->constants : &law_constants_default;
    l->connections = 1;
    begin(l, o->now_ns);
    l->capacity_bps = (double)o->capacity_bps;
    if (o->base_rtt_ns != 0)
        law_delay_sample(l, &(struct law_sample){o->now_ns, o->base_rtt_ns, LAW_NO_OWD});
    if (o->capacity_bps != 0)
        law_enter(l, LAW_RECOVER, o->now_ns);
    struct law_view v;
    law_look(l, true, &v, o->now_ns);
    write_verdict(l, &v);
}

/* A path of which nothing is known. */
static void begin(struct law *l, uint64_t now_ns)
{
    law_delay_reset(&l->delay, now_ns);
    law_flow_reset(l, now_ns);
    l->capacity_bps = l->aggregate_max_bps = 0;
    l->rate_bps = l->c->start_wait;
    l->waiting = true;
    l->began_ns = l->progress_ns = l->tick_ns = l->next_ns = now_ns;
    l->delay.sample_ns = l->flow.busy_ns = now_ns;
    l->knee = (struct law_knee){0};
    l->knee_pending = false;
    l->rate_count = 0;
    law_enter(l, LAW_START, now_ns);
}

void law_set_terms(struct law *l, const struct law_terms *terms, uint64_t now_ns)
{
    bool was_off = l->terms.off;
    l->terms = *terms;
    if (terms->off)
        law_enter(l, LAW_OFF, now_ns);
    else if (was_off) {
        l->rate_bps = law_most(law_floor_bps(l), l->c->recover_from * l->capacity_bps);
        law_enter(l, l->capacity_bps > 0 ? LAW_RECOVER : LAW_START, now_ns);
    }
    l->next_ns = now_ns;
}

void law_on_sample(struct law *l, const struct law_sample *s)
{
    double queue_s = law_delay_sample(l, s);
    if (queue_s > law_low_s(l)) {
        law_silence_ended(l, s->at_ns);
        l->delay.calm_ns = 0;
    } else {
        if (l->delay.calm_ns == 0)
            l->delay.calm_ns = s->at_ns;
        if (l->state == LAW_YIELD && s->rtt_ns != 0)
            law_delay_calm(l, queue_s);
    }
    bool running = l->state == LAW_CRUISE || l->state == LAW_RECOVER;
    if (running && !law_is_bunched(l) && (queue_s > law_high_s(l) || l->suspect_bps > 0))
        l->alarm = true;
}

void law_on_lost(struct law *l, uint64_t now_ns)
{
    if (l->delay.lost_run++ == 0)
        l->delay.lost_since_ns = now_ns;
    l->delay.calm_ns = 0;
}

void law_on_resume(struct law *l, uint64_t now_ns)
{
    l->cautious_until_ns = now_ns + law_ns(l->c->resume_time);
    l->rate_bps = law_floor_bps(l);
    l->flow.forfeited += law_outstanding(l);
    l->delay.sample_ns = l->tick_ns = l->next_ns = now_ns;
    l->delay.lost_run = 0;
    l->progress_ns = now_ns;
    if (l->state != LAW_OFF)
        law_enter(l, l->capacity_bps > 0 ? LAW_RECOVER : LAW_START, now_ns);
    l->reason = LAW_BECAUSE_RESUMED;
}

void law_on_path_change(struct law *l, uint64_t now_ns)
{
    bool off = l->state == LAW_OFF;
    begin(l, now_ns);
    if (off)
        law_enter(l, LAW_OFF, now_ns);
}

uint64_t law_next_ns(const struct law *l)
{
    return l->alarm ? 0 : l->next_ns;
}

struct law_verdict law_tick(struct law *l, uint64_t now_ns)
{
    bool regular = now_ns >= l->next_ns;
    if (!regular && !l->alarm)
        return l->verdict;
    if (regular)
        regard_time(l, now_ns);
    struct law_view v;
    law_look(l, !regular, &v, now_ns);
    l->alarm = false;
    if (regular) {
        regard_aggregate(l, &v);
        regard_losses(l, &v);
        l->tick_ns = now_ns;
        l->next_ns = now_ns + law_ns(v.interval_s);
    }
    if (regular || v.queue_s > v.high_s || l->suspect_bps > 0)
        law_decide(l, &v);
    clamp(l, now_ns);
    write_verdict(l, &v);
    return l->verdict;
}

/* What only the passing of time says: the machine slept, nobody asked, the base was not seen. */
static void regard_time(struct law *l, uint64_t now_ns)
{
    const struct law_constants *c = l->c;
    if (law_since(now_ns, l->tick_ns) > c->resume_gap)
        law_on_resume(l, now_ns);
    bool idle = law_since(now_ns, l->flow.busy_ns) > c->idle_time;
    if (idle && l->state == LAW_CRUISE) {
        l->rate_bps = law_most(law_floor_bps(l), c->recover_from * l->capacity_bps);
        law_enter(l, LAW_RECOVER, now_ns);
    }
    if (l->delay.lost_run > 0 && law_since(now_ns, l->delay.lost_since_ns) > c->lost_time)
        l->rate_bps = law_floor_bps(l);
    if (l->state == LAW_CRUISE && law_since(now_ns, l->delay.low_ns) > c->dip_after) {
        l->dip_until_ns = now_ns + law_ns(2 * law_base_s(l) + 2 * law_high_s(l));
        l->delay.low_ns = now_ns;
    }
}

static void regard_aggregate(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    double told = (double)l->flow.aggregate_bps;
    if (law_sisters(l, v->now_ns) < 2) {
        l->aggregate_mean_bps = 0;
        return;
    }
    if (l->aggregate_mean_bps <= 0)
        l->aggregate_mean_bps = law_least(told, l->rate_bps);
    l->aggregate_mean_bps +=
        law_least(v->interval_s / c->sister_mean, 1) * (told - l->aggregate_mean_bps);
    l->aggregate_max_bps =
        law_most(l->aggregate_max_bps * (1 - 0.001 * v->interval_s), l->aggregate_mean_bps);
    /* The line carries all of it: that is what it can do, whatever our part is. */
    if (l->state == LAW_CRUISE)
        l->capacity_bps = law_most(l->capacity_bps, c->sister_body * l->aggregate_mean_bps);
}

/* A carrier that random loss holds back, while the queue is empty: more carriers. */
static void regard_losses(struct law *l, const struct law_view *v)
{
    const struct law_constants *c = l->c;
    uint64_t now = v->now_ns;
    bool random = l->flow.random_ns != 0 && law_since(now, l->flow.random_ns) < c->connections_wait;
    bool lags = random && v->window_full && !v->sender_limited && v->queue_s <= v->low_s &&
                l->state != LAW_YIELD && v->loss_share < c->loss_congested;
    if (!random)
        l->starved_ns = 0;
    else if (lags && l->starved_ns == 0)
        l->starved_ns = now;
    bool long_enough = l->starved_ns != 0 && law_since(now, l->starved_ns) > c->connections_wait;
    if (long_enough && l->connections < (unsigned)c->connections_most) {
        l->connections++;
        l->starved_ns = 0;
        l->connected_ns = now;
    }
    if (l->connections > 1 && law_since(now, l->flow.random_ns) > c->connections_calm &&
        law_since(now, l->connected_ns) > c->connections_calm) {
        l->connections--;
        l->connected_ns = now;
    }
}

static void clamp(struct law *l, uint64_t now_ns)
{
    double ceiling = law_ceiling_bps(l), floor = law_least(law_floor_bps(l), ceiling);
    if (now_ns < l->cautious_until_ns && l->capacity_bps > 0)
        ceiling = law_least(ceiling, l->c->resume_share * l->capacity_bps);
    l->rate_bps = law_most(floor, law_least(l->rate_bps, ceiling));
}

static uint64_t window_bytes(const struct law *l, const struct law_view *v, double bps,
                             double frame)
{
    const struct law_constants *c = l->c;
    double base = law_loop_s(l);
    double can = law_most(l->capacity_bps, v->delivered_most_bps);
    double paced = l->capacity_bps > 0 ? law_least(bps, 1.05 * can) : bps;
    /* Probes are small: on a thin line a whole packet takes longer than the slack. */
    double packet_s = law_sisters(l, v->now_ns) < 2 ? c->window_packet * law_packet_s(l) : 0;
    double slack = law_most(c->window_slack, packet_s);
    double window =
        paced * (base + slack + c->window_noise * law_noise_s(l)) / 8 + c->window_frames * frame;
    if (v->hole)
        window += c->hole_window * paced * base / 8;
    double quanta = ceil(window / frame - c->window_round);
    return (uint64_t)(law_most(quanta, 1) * frame);
}

static uint64_t probe_period_ns(const struct law *l, uint64_t now_ns)
{
    const struct law_constants *c = l->c;
    if (l->suspect_bps > 0)
        return law_ns(c->probe_suspect);
    if (l->state == LAW_OFF || law_since(now_ns, l->flow.busy_ns) > c->idle_time)
        return law_ns(c->probe_idle);
    bool rests = l->state == LAW_YIELD && !l->company;
    return law_ns(rests ? c->probe_yielded : c->probe_active);
}

/* Some milliseconds of the rate; two packets at once from where they take 15 ms, since each grant
 * is a packet the other way and each frame a record of its own. */
double law_frame_bytes(const struct law *l, double bps)
{
    const struct law_constants *c = l->c;
    double frame = bps * c->frame_time / 8;
    bool steady = bps > 0.5 * l->capacity_bps; /* on the way up each packet tells */
    if (steady && frame < c->frame_two && bps * c->two_time / 8 >= c->frame_two)
        frame = c->frame_two;
    return law_most(c->frame_min, law_least(frame, c->frame_max));
}

static void write_limits(struct law *l, const struct law_view *v, struct law_verdict *out)
{
    const struct law_constants *c = l->c;
    double bps = l->rate_bps;
    if (v->now_ns < l->dip_until_ns)
        bps *= c->dip_share;
    double frame = law_frame_bytes(l, bps);
    out->quantum_bytes = (uint64_t)frame;
    out->rate_bps = (uint64_t)bps;
    out->window_bytes = window_bytes(l, v, bps, frame);
    if (l->terms.insist && l->state != LAW_OFF) {
        bool capped = law_ceiling_bps(l) < 1e15;
        out->rate_bps = capped ? (uint64_t)law_ceiling_bps(l) : LAW_UNLIMITED;
        out->window_bytes = LAW_UNLIMITED;
        out->quantum_bytes = capped ? (uint64_t)law_most(c->frame_min, frame) : 16384;
        out->state = LAW_CAPPED;
        out->reason = LAW_BECAUSE_INSISTING;
    }
    if (l->state == LAW_OFF) {
        out->rate_bps = out->window_bytes = 0;
        out->reason = LAW_BECAUSE_OFF;
    }
}

static void write_verdict(struct law *l, const struct law_view *v)
{
    struct law_verdict *out = &l->verdict;
    bool capped = l->state == LAW_CRUISE && l->rate_bps >= 0.999 * law_ceiling_bps(l);
    out->state = capped ? LAW_CAPPED : l->state;
    out->reason = capped ? ceiling_reason(l) : l->reason;
    write_limits(l, v, out);
    out->connections = l->connections;
    out->probe_period_ns = probe_period_ns(l, v->now_ns);
    out->queue_ns = law_ns(v->queue_s);
    out->own_queue_ns = law_ns(law_own_queue_s(l));
    out->queue_most_ns = law_ns(law_high_s(l));
    out->base_rtt_ns = law_ns(law_base_s(l));
    out->delivered_bps = (uint64_t)v->delivered_mean_bps;
    out->capacity_bps = (uint64_t)l->capacity_bps;
    double silent = l->delay.calm_ns == 0 ? 0 : law_since(v->now_ns, l->delay.calm_ns);
    out->hold_ns = l->state == LAW_YIELD ? law_ns(law_hold_s(l) - silent) : 0;
}
