/* SPDX-License-Identifier: Apache-2.0 */
/* emu/link.c – the virtual queue: a timestamp that moves by each packet's time on the line. */
#include "emu/link.h"

#define NS_PER_S 1000000000u
#define BITS_PER_BYTE 8u

static bool lose(struct link *link);
static uint64_t queue_limit_ns(const struct link *link);
static uint64_t max_u64(uint64_t a, uint64_t b);

void link_init(struct link *link, const struct link_params *params, uint64_t seed)
{
    *link = (struct link){.params = *params, .random = seed};
}

enum link_verdict link_offer(struct link *link, uint32_t bytes, uint64_t now_ns,
                             struct link_times *times)
{
    uint64_t rate = link->params.rate_bits;
    if (link->params.down)
        return LINK_CUT;
    if (lose(link))
        return LINK_LOST;

    bool idle = link->free_ns <= now_ns;
    uint64_t start_ns = idle ? now_ns : link->free_ns;
    /* The remainder is carried: at 64 bytes and 1 gbit, rounding each packet is 0.2 % of rate. */
    uint64_t line = (uint64_t)bytes * BITS_PER_BYTE * NS_PER_S + (idle ? 0 : link->free_rem);
    uint64_t end_ns = start_ns + line / rate;
    if (!idle && end_ns - now_ns > queue_limit_ns(link))
        return LINK_FULL;

    link->free_ns = end_ns;
    link->free_rem = line % rate;
    link->last_due_ns = max_u64(link->last_due_ns, end_ns + link->params.delay_ns);
    *times = (struct link_times){end_ns, link->last_due_ns};
    return LINK_PASS;
}

static uint64_t stretched(const struct link_change *change, uint64_t time_ns)
{
    if (time_ns <= change->at_ns)
        return time_ns;
    return change->at_ns + (uint64_t)((double)(time_ns - change->at_ns) * change->stretch);
}

struct link_change link_change(struct link *link, const struct link_params *params, uint64_t now_ns)
{
    struct link_change change = {
        .at_ns = now_ns,
        .stretch = (double)link->params.rate_bits / (double)params->rate_bits,
    };
    link->params = *params;
    link->free_ns = params->down ? now_ns : stretched(&change, link->free_ns);
    link->free_rem = 0;
    link->last_due_ns = now_ns; /* rebuilt by link_retime() from what is still under way */
    return change;
}

void link_retime(struct link *link, const struct link_change *change, struct link_times *times)
{
    if (times->depart_ns > change->at_ns) {
        times->depart_ns = stretched(change, times->depart_ns);
        times->due_ns = times->depart_ns + link->params.delay_ns;
    }
    times->due_ns = max_u64(times->due_ns, link->last_due_ns);
    link->last_due_ns = times->due_ns;
}

/* A packet in service counts as queued, as in a router whose ring holds it until it is sent. */
static uint64_t queue_limit_ns(const struct link *link)
{
    const struct link_params *p = &link->params;
    if (p->queue_bytes == 0)
        return p->queue_ns;
    return p->queue_bytes * BITS_PER_BYTE * NS_PER_S / p->rate_bits;
}

/* splitmix64: one addition and three mixing steps for each number, good enough for coin tosses
 * and the same on every machine, unlike rand(). */
static uint64_t random_next(struct link *link)
{
    link->random += 0x9e3779b97f4a7c15u;
    uint64_t z = link->random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool lose(struct link *link)
{
    const double span = 9007199254740992.0; /* 2^53, what a double holds exactly */
    if (link->params.loss <= 0)
        return false;
    return (double)(random_next(link) >> 11) / span < link->params.loss;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
