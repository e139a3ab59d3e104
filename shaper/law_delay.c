/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law_delay.c – the base delay, the queue above it, and how noisy both are. */
#include "shaper/law_parts.h"

#include <stdlib.h>

static void minimum_reset(struct law_minimum *m, uint64_t now_ns)
{
    for (unsigned i = 0; i < LAW_BASE_BUCKETS; i++)
        m->buckets[i] = INT64_MAX;
    m->newest = 0;
    m->newest_began_ns = now_ns;
    m->least = INT64_MAX;
}

static void minimum_add(struct law_minimum *m, int64_t value, uint64_t bucket_ns, uint64_t now_ns)
{
    while (now_ns >= m->newest_began_ns + bucket_ns) {
        m->newest = (m->newest + 1) % LAW_BASE_BUCKETS;
        m->buckets[m->newest] = INT64_MAX;
        m->newest_began_ns += bucket_ns;
        if (now_ns - m->newest_began_ns > bucket_ns * 2 * LAW_BASE_BUCKETS)
            m->newest_began_ns = now_ns; /* a long silence: all buckets are old anyway */
    }
    if (value < m->buckets[m->newest])
        m->buckets[m->newest] = value;
    m->least = INT64_MAX;
    for (unsigned i = 0; i < LAW_BASE_BUCKETS; i++)
        if (m->buckets[i] < m->least)
            m->least = m->buckets[i];
}

void law_delay_reset(struct law_delay *d, uint64_t now_ns)
{
    *d = (struct law_delay){.fresh_s = -1};
    minimum_reset(&d->rtt, now_ns);
    minimum_reset(&d->owd, now_ns);
    d->low_ns = now_ns;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double spread_of(const double *samples, unsigned count)
{
    double sorted[LAW_SPREAD_SAMPLES];
    for (unsigned i = 0; i < count; i++)
        sorted[i] = samples[i];
    qsort(sorted, count, sizeof(sorted[0]), compare);
    return sorted[count * 9 / 10] - sorted[count / 10];
}

/* Do we send next to nothing?  Then what moves a probe is the path or somebody else. */
static bool is_sparse(const struct law *l)
{
    return l->state == LAW_YIELD || l->state == LAW_OFF || (l->state == LAW_START && l->waiting);
}

static double middle_of(const double *values)
{
    double sorted[LAW_SPREADS];
    for (unsigned i = 0; i < LAW_SPREADS; i++)
        sorted[i] = values[i];
    qsort(sorted, LAW_SPREADS, sizeof(sorted[0]), compare);
    return sorted[LAW_SPREADS / 2];
}

/* Jitter is what a probe's delay does while we are silent: whoever shares the queue only adds to
 * it.  It is believed at once before we begin; then downwards the middle one of the newest windows,
 * as the least of many would be a lucky one; upwards, only when it alone has kept us silent for
 * long. */
static void spread_add(struct law *l, double queue_s, uint64_t now_ns)
{
    struct law_delay *d = &l->delay;
    d->window[d->window_count++] = queue_s;
    if (d->window_count < LAW_SPREAD_SAMPLES)
        return;
    double jitter_s = spread_of(d->window, LAW_SPREAD_SAMPLES) * l->c->noise_share;
    d->spreads_s[d->spread_count++ % LAW_SPREADS] = jitter_s;
    d->window_count = 0;
    if (d->least_since_ns != l->state_ns)
        d->least_spread_s = jitter_s;
    d->least_since_ns = l->state_ns;
    d->least_spread_s = law_least(d->least_spread_s, jitter_s);
    double lately_s = d->spread_count < LAW_SPREADS ? d->noise_s : middle_of(d->spreads_s);
    if (l->state == LAW_START)
        d->noise_s = d->least_spread_s;
    else if (lately_s < d->noise_s)
        d->noise_s = lately_s;
    else if (law_since(now_ns, l->state_ns) > l->c->noise_patience)
        d->noise_s = law_most(d->noise_s, law_least(d->least_spread_s, l->c->noise_most));
}

double law_delay_spread(const struct law_delay *d)
{
    return d->window_count >= 3 ? spread_of(d->window, d->window_count) : 0;
}

/* Of a few samples, without the one furthest out: a hiccup of this machine is no jitter. */
static double few_spread(const double *samples, unsigned count)
{
    double sorted[LAW_SPREAD_SAMPLES];
    if (count < 4)
        return count == 3 ? spread_of(samples, count) : 0;
    for (unsigned i = 0; i < count; i++)
        sorted[i] = samples[i];
    qsort(sorted, count, sizeof(sorted[0]), compare);
    return sorted[count - 2] - sorted[0];
}

static double few_jitter(const struct law *l, const double *samples, unsigned count)
{
    return few_spread(samples, count) * l->c->noise_share * l->c->noise_few;
}

void law_delay_settle(struct law *l)
{
    struct law_delay *d = &l->delay;
    if (d->least_since_ns == 0)
        d->noise_s = few_jitter(l, d->window, d->window_count);
}

/* Silences that are too short for a window tell a little each: downwards only. */
void law_delay_calm(struct law *l, double queue_s)
{
    struct law_delay *d = &l->delay;
    d->calm[d->calm_count++] = queue_s;
    if (d->calm_count < LAW_CALM_SAMPLES)
        return;
    d->calm_count = 0;
    d->spreads_s[d->spread_count++ % LAW_SPREADS] = few_jitter(l, d->calm, LAW_CALM_SAMPLES);
    if (d->spread_count >= LAW_SPREADS)
        d->noise_s = law_least(d->noise_s, middle_of(d->spreads_s));
}

unsigned law_delay_seen(const struct law_delay *d)
{
    return d->seen;
}

double law_noise_s(const struct law *l)
{
    return l->delay.noise_s;
}

double law_packet_s(const struct law *l)
{
    return 12000 / (l->capacity_bps > 0 ? l->capacity_bps : law_most(l->rate_bps, 1));
}

/* How long a bunch of credit is that the way back lets out at once: 0 while it is not full. */
static double bunch_s(const struct law *l)
{
    const struct law_delay *d = &l->delay;
    if (!law_is_bunched(l))
        return 0;
    return law_least(d->back_most_s - d->back_least_s, l->c->bunch_most);
}

double law_low_s(const struct law *l)
{
    const struct law_constants *c = l->c;
    double bps = law_most(l->rate_bps, 1), frame_s = law_frame_bytes(l, bps) * 8 / bps;
    double t = law_most(c->low_queue, c->low_packets * law_packet_s(l));
    if (l->capacity_bps > 0 && bps > c->short_share * l->capacity_bps)
        t = law_most(t, c->low_frames * frame_s);
    return law_least(t + law_noise_s(l) + 0.5 * bunch_s(l), c->high_cap * 0.8);
}

double law_high_s(const struct law *l)
{
    const struct law_constants *c = l->c;
    double t = law_most(c->high_queue, c->high_packets * law_packet_s(l)) + law_noise_s(l);
    t += bunch_s(l);
    if (l->delay.lossy_queue)
        t = law_least(
            t, law_most(c->shallow_share * l->delay.deepest_s, law_low_s(l) + c->shallow_margin));
    if (l->terms.max_queue_ns > 0)
        t = law_least(
            t, law_most((double)l->terms.max_queue_ns / LAW_S, law_low_s(l) + c->shallow_margin));
    return law_least(t, law_most(c->high_cap, c->high_packets * law_packet_s(l)));
}

double law_base_s(const struct law *l)
{
    return l->delay.rtt.least == INT64_MAX ? 0 : (double)l->delay.rtt.least / LAW_S;
}

/* Most of what stands on the way back, while that is full all the time. */
double law_loop_s(const struct law *l)
{
    const struct law_delay *d = &l->delay;
    return law_base_s(l) + (law_is_bunched(l) ? law_least(d->back_most_s, l->c->back_most) : 0);
}

bool law_is_bunched(const struct law *l)
{
    double least = law_most(l->c->low_queue, l->c->low_packets * law_packet_s(l));
    return l->delay.back_least_s > least + law_noise_s(l);
}

static void back_add(struct law_delay *d, double queue_s)
{
    d->back_s[d->back_next++ % LAW_BACKS] = queue_s;
    d->back_least_s = d->back_most_s = d->back_s[0];
    for (unsigned i = 1; i < LAW_BACKS; i++) {
        d->back_least_s = law_least(d->back_least_s, d->back_s[i]);
        d->back_most_s = law_most(d->back_most_s, d->back_s[i]);
    }
}

/* The round trip bounds what a drifting clock makes of the one-way delay; the one-way delay
 * bounds what a full queue in the other direction makes of the round trip. */
#define OWD_MOST_NS (INT64_C(1) << 61)

double law_delay_sample(struct law *l, const struct law_sample *s)
{
    struct law_delay *d = &l->delay;
    uint64_t bucket_ns = law_ns(l->c->base_bucket);
    double queue_s = -1;
    if (s->rtt_ns != 0) {
        minimum_add(&d->rtt, (int64_t)s->rtt_ns, bucket_ns, s->at_ns);
        queue_s = (double)((int64_t)s->rtt_ns - d->rtt.least) / LAW_S;
    }
    /* Two clocks are some centuries apart at most; who says otherwise is not believed. */
    if (s->owd_ns != LAW_NO_OWD && s->owd_ns < OWD_MOST_NS && s->owd_ns > -OWD_MOST_NS) {
        minimum_add(&d->owd, s->owd_ns, bucket_ns, s->at_ns);
        double q = (double)(s->owd_ns - d->owd.least) / LAW_S;
        if (queue_s >= 0)
            back_add(d, queue_s - q);
        queue_s = queue_s < 0 ? q : law_least(queue_s, q);
    }
    if (queue_s < 0)
        return 0;
    if (d->first_ns == 0)
        d->first_ns = s->at_ns;
    d->seen++;
    if (!is_sparse(l))
        d->window_count = 0;
    else if (s->rtt_ns != 0)
        spread_add(l, queue_s, s->at_ns);
    d->sample_ns = s->at_ns;
    d->lost_run = 0;
    d->newest_s = queue_s;
    d->fresh_s = d->fresh_s < 0 ? queue_s : law_least(d->fresh_s, queue_s);
    d->deepest_s = law_most(d->deepest_s * (1 - l->c->deepest_forget), queue_s);
    d->peak_s = law_most(queue_s, d->peak_s * l->c->peak_forget);
    if (queue_s <= l->c->dip_margin + law_noise_s(l))
        d->low_ns = s->at_ns;
    return queue_s;
}

double law_delay_take(struct law *l)
{
    struct law_delay *d = &l->delay;
    if (d->fresh_s >= 0) {
        d->before_s[1] = d->before_s[0];
        d->before_s[0] = d->queue_s;
        d->queue_s = d->fresh_s;
    }
    d->fresh_s = -1;
    /* On a path with jitter one interval's least says little. */
    if (law_noise_s(l) > l->c->noise_filter || law_is_bunched(l))
        return law_least(d->queue_s, law_least(d->before_s[0], d->before_s[1]));
    return d->queue_s;
}

void law_delay_rebase(struct law *l, uint64_t now_ns)
{
    struct law_delay old = l->delay;
    law_delay_reset(&l->delay, now_ns);
    l->delay.sample_ns = old.sample_ns;
    l->delay.first_ns = old.first_ns;
    l->delay.low_ns = now_ns;
}

bool law_delay_is_flat(struct law *l, double queue_s, uint64_t now_ns)
{
    struct law_delay *d = &l->delay;
    double most = l->c->flat_spread + law_noise_s(l);
    bool wider = law_most(d->flat_high_s, queue_s) - law_least(d->flat_low_s, queue_s) > most;
    if (d->flat_since_ns == 0 || wider || d->lost_run > 0) {
        d->flat_since_ns = now_ns;
        d->flat_low_s = d->flat_high_s = queue_s;
        return false;
    }
    d->flat_low_s = law_least(d->flat_low_s, queue_s);
    d->flat_high_s = law_most(d->flat_high_s, queue_s);
    return law_since(now_ns, d->flat_since_ns) >= l->c->flat_time;
}
