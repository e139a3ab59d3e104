/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/congestion.c – CUBIC with HyStart, and BBR, in outline. */
#include "fluid/pipe.h"

#include <math.h>

static const double bbr_startup = 2.885, bbr_cycle[8] = {1.25, 0.75, 1, 1, 1, 1, 1, 1};

void congestion_begin(struct world *w, struct pipe *p)
{
    double scale = 1448.0 / w->mss; /* of ten ordinary packets */
    p->cwnd = fmax(2, 10 * scale);
    p->ssthresh = 1e9;
    p->w_max = p->cubic_k = 0;
    p->epoch_ns = 0;
    p->hystart_end = p->next_tx;
    p->hystart_samples = 0;
    p->hystart_least_s = 1e9;
    p->min_rtt_s = 0;
    p->bbr = (struct bbr){0};
    p->recovery_tx = p->next_tx;
    p->pace_ns = 0;
}

/* Linux': the least of a round's first eight samples says whether the queue has begun. */
static void hystart(struct pipe *p, double rtt_s)
{
    if (p->edge_tx >= p->hystart_end) {
        p->hystart_end = p->next_tx;
        p->hystart_samples = 0;
        p->hystart_least_s = 1e9;
    }
    if (p->hystart_samples >= 8)
        return;
    p->hystart_least_s = fmin(p->hystart_least_s, rtt_s);
    double late_s = fmin(0.016, fmax(0.004, p->min_rtt_s / 8));
    if (++p->hystart_samples == 8 && p->cwnd >= 16 && p->hystart_least_s > p->min_rtt_s + late_s)
        p->ssthresh = p->cwnd;
}

static void cubic_acked(struct world *w, struct pipe *p, double rtt_s)
{
    bool busy = p->in_flight + 3 >= p->cwnd * 0.5 && !(p->limit - p->given == 0 && p->ours == NULL);
    if (p->ours != NULL)
        busy = p->in_flight + 1 >= p->cwnd * 0.8;
    if (!busy)
        return; /* an application that does not fill its window does not grow it */
    if (p->cwnd < p->ssthresh) {
        p->cwnd += 1;
        hystart(p, rtt_s);
        return;
    }
    if (p->epoch_ns == 0) {
        p->epoch_ns = w->now_ns;
        p->epoch_cwnd = p->cwnd;
        if (p->w_max < p->cwnd)
            p->w_max = p->cwnd;
        double scale = w->mss / 1448.0;
        p->cubic_k = cbrt((p->w_max - p->cwnd) * scale / 0.4);
    }
    double t = (double)(w->now_ns - p->epoch_ns) / 1e9, scale = w->mss / 1448.0;
    double cubic = (0.4 * pow(t + p->srtt_s - p->cubic_k, 3)) / scale + p->w_max;
    double reno = p->epoch_cwnd + 0.53 * t / fmax(p->srtt_s, 0.001) / scale;
    double target = fmin(fmax(cubic, reno), 1.5 * p->cwnd);
    p->cwnd += target > p->cwnd ? (target - p->cwnd) / p->cwnd : 0.01 / p->cwnd;
}

static double bbr_best(const struct pipe *p)
{
    double best = 0;
    for (unsigned i = 0; i < 10; i++)
        best = fmax(best, p->bbr.rate_bps[i]);
    return best;
}

static double bbr_bdp(const struct world *w, const struct pipe *p)
{
    return bbr_best(p) * p->min_rtt_s / 8 / w->mss;
}

static void bbr_round(struct pipe *p)
{
    struct bbr *b = &p->bbr;
    b->round_end = p->next_tx;
    double best = bbr_best(p);
    if (!b->filled && ++b->flat_rounds >= 3 && best < 1.25 * b->best_before)
        b->filled = true;
    if (best >= 1.25 * b->best_before) {
        b->best_before = best;
        b->flat_rounds = 0;
    }
    b->round++;
    b->rate_bps[b->round % 10] = 0;
}

static void bbr_acked(struct world *w, struct pipe *p, const struct transmission *t)
{
    struct bbr *b = &p->bbr;
    uint64_t now = w->now_ns, since = t->delivered_ns == 0 ? t->sent_ns : t->delivered_ns;
    double took_s = fmax((double)(now - since) / 1e9, p->min_rtt_s);
    double rate = (double)(p->acked_bytes - t->delivered) * 8 / fmax(took_s, 1e-6);
    if (t->delivered_ns != 0 && (!t->limited || rate > bbr_best(p)))
        b->rate_bps[b->round % 10] = fmax(b->rate_bps[b->round % 10], rate);
    if (p->acked_tx >= b->round_end)
        bbr_round(p);
    if (b->filled && !b->drained && p->in_flight <= bbr_bdp(w, p)) {
        b->drained = true;
        b->phase = 2;
        b->phase_ns = now;
    }
    if (b->drained && now > b->phase_ns + (uint64_t)(p->min_rtt_s * 1e9)) {
        b->phase = (b->phase + 1) % 8;
        b->phase_ns = now;
    }
    if (b->probe_ns == 0)
        b->probe_ns = now;
    if (now > b->probe_ns + 10000000000u && now - p->min_rtt_ns > 10000000000u) {
        b->probe_until_ns = now + 200000000;
        b->probe_ns = now;
        p->min_rtt_s = 0; /* measure again while there is no queue of ours */
    }
}

void congestion_acked(struct world *w, struct pipe *p, const struct transmission *t, double rtt_s)
{
    if (p->min_rtt_s <= 0 || rtt_s <= p->min_rtt_s) {
        p->min_rtt_s = rtt_s;
        p->min_rtt_ns = w->now_ns;
    }
    if (p->congestion == CUBIC)
        cubic_acked(w, p, rtt_s);
    else
        bbr_acked(w, p, t);
}

void congestion_lost(struct world *w, struct pipe *p)
{
    (void)w;
    if (p->congestion == BBR)
        return;
    p->w_max = p->cwnd < p->w_max ? p->cwnd * 0.85 : p->cwnd;
    p->cwnd = fmax(2, p->cwnd * 0.7);
    p->ssthresh = p->cwnd;
    p->epoch_ns = 0;
}

void congestion_timeout(struct pipe *p)
{
    if (p->congestion == BBR)
        return;
    p->ssthresh = fmax(2, p->cwnd * 0.5);
    p->cwnd = 2;
    p->epoch_ns = 0;
}

static double bbr_gain(const struct pipe *p)
{
    const struct bbr *b = &p->bbr;
    if (!b->filled)
        return bbr_startup;
    return b->drained ? bbr_cycle[b->phase] : 1 / bbr_startup;
}

double congestion_pace_bps(const struct pipe *p)
{
    if (p->congestion == CUBIC || bbr_best(p) <= 0)
        return 0;
    return bbr_gain(p) * bbr_best(p) * (1448 + HEADER_BYTES) / 1448;
}

double congestion_window(const struct world *w, const struct pipe *p)
{
    if (p->congestion == CUBIC || bbr_best(p) <= 0)
        return p->cwnd;
    if (w->now_ns < p->bbr.probe_until_ns)
        return 4;
    double gain = p->bbr.filled ? 2 : bbr_startup;
    return fmax(4, gain * bbr_bdp(w, p));
}
