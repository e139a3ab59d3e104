/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/ledbat.c – a law in the manner of LEDBAT++ (its draft), for comparison.
 *
 * A window in bytes that grows by GAIN per round trip while the queue is below 60 ms, shrinks in
 * proportion above, and is taken down to two packets for two round trips now and then, to see the
 * base delay.
 */
#include <math.h>

#include "base/alloc.h"
#include "fluid/ours.h"

static const double target_s = 0.060, packet = 1448, base_minute_s = 60;

struct ledbat {
    double cwnd, ssthresh, base_s, next_base_s, queue_s, rtt_s;
    uint64_t base_ns, round_ns, next_ns, slow_ns, slow_until_ns, last_slow_ns;
    uint64_t rtx[LAW_STREAMS], lost_ns;
    double delivered, rate_bps;
    bool started;
};

static void *make(const struct law_options *o)
{
    struct ledbat *l = xcalloc(1, sizeof(*l));
    l->cwnd = 2 * packet;
    l->ssthresh = 1e12;
    l->next_ns = l->base_ns = o->now_ns;
    l->slow_ns = UINT64_MAX;
    return l;
}

static double gain(const struct ledbat *l)
{
    return 1 / fmin(16, ceil(2 * target_s / fmax(l->base_s, 1e-3)));
}

static void on_sample(void *state, const struct law_sample *s)
{
    struct ledbat *l = state;
    double rtt_s = (double)s->rtt_ns / 1e9;
    if ((double)(s->at_ns - l->base_ns) / 1e9 > 5 * base_minute_s) {
        l->base_s = l->next_base_s;
        l->next_base_s = 0;
        l->base_ns = s->at_ns;
    }
    if (l->base_s <= 0 || rtt_s < l->base_s)
        l->base_s = rtt_s;
    if (l->next_base_s <= 0 || rtt_s < l->next_base_s)
        l->next_base_s = rtt_s;
    l->rtt_s = rtt_s;
    l->queue_s = rtt_s - l->base_s;
}

static void slow_down(struct ledbat *l, uint64_t now_ns)
{
    double rtt_s = l->base_s + l->queue_s;
    if (l->slow_until_ns > now_ns)
        return;
    if (l->slow_until_ns != 0 && l->slow_ns == UINT64_MAX) { /* over: back by slow start */
        if (l->cwnd < l->ssthresh)
            return;
        double took_s = (double)(now_ns - l->last_slow_ns) / 1e9;
        l->slow_ns = now_ns + (uint64_t)(9 * took_s * 1e9);
        l->slow_until_ns = 0;
        return;
    }
    if (now_ns < l->slow_ns)
        return;
    l->ssthresh = l->cwnd;
    l->cwnd = 2 * packet;
    l->last_slow_ns = now_ns;
    l->slow_until_ns = now_ns + (uint64_t)(2 * rtt_s * 1e9);
    l->slow_ns = UINT64_MAX;
}

static void round_passed(struct ledbat *l, uint64_t now_ns)
{
    if (l->slow_until_ns > now_ns)
        return;
    if (l->cwnd < l->ssthresh) {
        if (l->queue_s <= 0.75 * target_s) {
            l->cwnd *= 1 + gain(l);
            return;
        }
        l->ssthresh = l->cwnd;
        if (!l->started)
            l->slow_ns = now_ns + (uint64_t)(2 * l->rtt_s * 1e9);
        l->started = true;
    }
    double over = l->queue_s / target_s - 1;
    if (over <= 0)
        l->cwnd += gain(l) * packet;
    else
        l->cwnd += fmax(gain(l) * packet - l->cwnd * over, -l->cwnd / 2);
    l->cwnd = fmax(l->cwnd, 2 * packet);
}

static struct law_verdict tick(void *state, uint64_t now_ns)
{
    struct ledbat *l = state;
    double rtt_s = fmax(0.01, l->base_s + l->queue_s);
    if (now_ns >= l->next_ns) {
        slow_down(l, now_ns);
        round_passed(l, now_ns);
        l->rate_bps = l->delivered * 8 / rtt_s;
        l->delivered = 0;
        l->next_ns = now_ns + (uint64_t)(rtt_s * 1e9);
    }
    struct law_verdict v = {.state = LAW_CRUISE, .connections = 1, .quantum_bytes = 1448};
    v.rate_bps = (uint64_t)(2 * l->cwnd * 8 / rtt_s);
    v.window_bytes = (uint64_t)l->cwnd;
    v.probe_period_ns = 50000000;
    v.queue_ns = (uint64_t)(l->queue_s * 1e9);
    v.delivered_bps = (uint64_t)l->rate_bps;
    return v;
}

static uint64_t next_ns(const void *state)
{
    return ((const struct ledbat *)state)->next_ns;
}

static void on_lost(void *state, uint64_t now_ns)
{
    (void)state;
    (void)now_ns;
}

static void on_granted(void *state, uint64_t bytes, uint64_t now_ns)
{
    (void)state;
    (void)bytes;
    (void)now_ns;
}

static void on_delivered(void *state, uint64_t bytes, uint64_t now_ns)
{
    (void)now_ns;
    ((struct ledbat *)state)->delivered += (double)bytes;
}

static void on_stamp(void *state, const struct law_stamp *s, uint64_t now_ns)
{
    struct ledbat *l = state;
    unsigned i = s->stream % LAW_STREAMS;
    bool fresh = now_ns - l->lost_ns > (uint64_t)(2 * l->rtt_s * 1e9);
    if (s->retransmitted > l->rtx[i] && fresh) {
        l->cwnd = l->ssthresh = fmax(2 * packet, l->cwnd / 2);
        l->lost_ns = now_ns;
    }
    l->rtx[i] = s->retransmitted;
}

const struct fluid_law fluid_ledbat = {
    .name = "ledbat++",
    .make = make,
    .tick = tick,
    .next_ns = next_ns,
    .on_sample = on_sample,
    .on_lost = on_lost,
    .on_granted = on_granted,
    .on_delivered = on_delivered,
    .on_stamp = on_stamp,
    .on_hole = on_lost,
};
