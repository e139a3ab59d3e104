/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law_knee.c – is it a slower link rather than somebody else?
 *
 * When a link becomes slower, our own bytes queue, and that looks like a neighbour: queue, and less
 * delivered than C.  What tells them apart comes after giving way: a queue of ours alone is gone as
 * soon as our bytes are.  So the rate at which the link gave out our last bytes (the knee) is
 * kept, and a ramp that meets a queue again just there takes it for the capacity.
 */
#include "shaper/law_parts.h"

void law_knee_begin(struct law *l, uint64_t now_ns)
{
    l->knee_bytes = law_outstanding(l) * 9 / 10;
    l->knee_target = l->flow.delivered + l->knee_bytes;
    l->knee_began_ns = now_ns;
    l->knee_pending = l->knee_bytes > 0;
}

void law_knee_measure(struct law *l, uint64_t now_ns)
{
    double took_s = law_since(now_ns, l->knee_began_ns);
    l->knee_pending = false;
    if (took_s <= 0.002 || l->state != LAW_YIELD)
        return;
    l->knee.bps = (double)l->knee_bytes * 8 / took_s;
    l->knee.at_ns = now_ns;
}

void law_knee_follow(struct law *l, const struct law_view *v)
{
    double most = l->c->knee_drain + 3 * law_base_s(l);
    if (v->sampled && v->queue_s <= v->low_s && law_since(v->now_ns, l->yield_ns) <= most)
        l->knee.drained = true;
}

static bool is_believable(const struct law *l, uint64_t now_ns)
{
    const struct law_knee *k = &l->knee;
    return !law_is_shared(l) && k->bps > l->c->knee_least * l->capacity_bps &&
           k->bps < l->capacity_bps && k->queued && k->drained &&
           law_since(now_ns, k->at_ns) < l->c->knee_time;
}

bool law_knee_twice(struct law *l, uint64_t now_ns)
{
    const struct law_knee *k = &l->knee;
    if (!is_believable(l, now_ns) || !k->before_drained || k->before_bps <= 0)
        return false;
    double most = law_most(k->bps, k->before_bps), least = law_least(k->bps, k->before_bps);
    if (law_since(now_ns, k->before_ns) > l->c->knee_time ||
        most - least > l->c->knee_spread * most)
        return false;
    l->capacity_bps = law_least(l->capacity_bps, 1.03 * most);
    l->knee_ns = now_ns;
    l->knee = (struct law_knee){0};
    return true;
}

bool law_knee_is_near(const struct law *l, uint64_t now_ns)
{
    return is_believable(l, now_ns) && l->rate_bps >= l->c->knee_low * l->knee.bps &&
           l->rate_bps <= l->c->knee_high * l->knee.bps;
}

bool law_knee_is_met(const struct law *l, const struct law_view *v)
{
    double off = v->delivered_bps / law_most(l->knee.bps, 1) - 1;
    return off > -l->c->knee_spread && off < l->c->knee_spread;
}
