/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/ledbat.c – one decision for each round trip. */
#include "labkit/ledbat.h"

#include <math.h>

#include "labkit/common.h"

static const double TARGET_US = 60000, LEAST = 2.0 * LEDBAT_PACKET, ENDLESS = 1e12;
enum { MINUTE_US = 60 * US_PER_S, SLOW_ROUNDS = 2, SLOW_SHARE = 9 };

void ledbat_init(struct ledbat *l, uint64_t now_us)
{
    *l = (struct ledbat){.window = LEAST, .threshold = ENDLESS, .minute_us = now_us};
}

uint64_t ledbat_window(const struct ledbat *l)
{
    return (uint64_t)l->window;
}

static uint64_t base_of(const struct ledbat *l)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < LEDBAT_BASES; i++)
        if (l->base_us[i] != 0 && l->base_us[i] < least)
            least = l->base_us[i];
    return least;
}

static void base_update(struct ledbat *l, uint64_t rtt_us, uint64_t now_us)
{
    if (now_us - l->minute_us >= MINUTE_US) {
        for (int i = LEDBAT_BASES - 1; i > 0; i--)
            l->base_us[i] = l->base_us[i - 1];
        l->base_us[0] = 0;
        l->minute_us = now_us;
    }
    if (l->base_us[0] == 0 || rtt_us < l->base_us[0])
        l->base_us[0] = rtt_us;
}

static void halve_on_loss(struct ledbat *l, uint32_t lost, uint64_t now_us)
{
    if (lost > l->lost && now_us - l->halved_us > 2 * l->rtt_us) {
        l->window = l->threshold = fmax(LEAST, l->window / 2);
        l->halved_us = now_us;
    }
    l->lost = lost;
}

/* Two packets for two round trips, then slow start back, then nine times as long in peace. */
static bool slowdown_runs(struct ledbat *l, uint64_t now_us)
{
    if (l->slow_at_us != 0 && now_us >= l->slow_at_us) {
        l->threshold = l->window;
        l->window = LEAST;
        l->slow_from_us = now_us;
        l->slow_until_us = now_us + SLOW_ROUNDS * base_of(l);
        l->slow_at_us = 0;
    }
    return now_us < l->slow_until_us;
}

static void slow_start(struct ledbat *l, double gain, double queue_us, uint64_t now_us)
{
    bool is_first = l->threshold == ENDLESS;
    if (!is_first || queue_us <= 0.75 * TARGET_US)
        l->window *= 1 + gain;
    else
        l->threshold = l->window;
    if (l->window < l->threshold)
        return;
    uint64_t pause_us = is_first ? 2 * l->rtt_us : SLOW_SHARE * (now_us - l->slow_from_us);
    l->slow_at_us = now_us + pause_us;
}

static void round_end(struct ledbat *l, uint64_t now_us)
{
    double base = (double)base_of(l), queue_us = (double)l->least_us - base;
    double gain = 1 / fmin(16, ceil(2 * TARGET_US / fmax(base, 1)));
    if (slowdown_runs(l, now_us))
        return;
    if (l->window < l->threshold) {
        slow_start(l, gain, queue_us, now_us);
        return;
    }
    double excess = queue_us / TARGET_US - 1;
    double step = gain * LEDBAT_PACKET;
    l->window += excess <= 0 ? step : fmax(step - l->window * excess, -l->window / 2);
    l->window = fmax(LEAST, l->window);
}

void ledbat_on_arrival(struct ledbat *l, uint64_t rtt_us, uint32_t lost, uint64_t now_us)
{
    base_update(l, rtt_us, now_us);
    halve_on_loss(l, lost, now_us);
    if (l->least_us == 0 || rtt_us < l->least_us)
        l->least_us = rtt_us;
    if (now_us < l->round_us)
        return;
    round_end(l, now_us);
    l->rtt_us = rtt_us;
    l->round_us = now_us + rtt_us;
    l->least_us = 0;
}
