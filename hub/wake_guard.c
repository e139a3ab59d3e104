/* SPDX-License-Identifier: Apache-2.0 */
/* hub/wake_guard.c – who is awake where a machine sleeps: the reflector first, else an endpoint.
 *
 * A guard is at the machine's site and has an address in a subnet of its.  Of machines at no known
 * site, where any two branches may use 10.0.0.0/24, it must know the same default gateway.
 */
#include <string.h>

#include "hub/wake_impl.h"

#define MEMO_NS NS_PER_S

struct search {
    const struct hub_wake *wake;
    const struct wake_sleeper *sleeper;
    size_t index;
    const struct roster_entry *best;
};

/* Are the first `bits` the same? */
static bool is_same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    const unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* An address by itself (128 bits, as DHCPv6 gives them) is in whatever subnet the other has. */
static bool is_same_subnet(const struct announce_address *a, const struct announce_address *b)
{
    unsigned bits = a->bits > b->bits ? a->bits : b->bits;

    if (bits == 128)
        bits = a->bits < b->bits ? a->bits : b->bits;
    return bits > 0 && bits < 128 && is_same_prefix(a->bytes, b->bytes, bits);
}

static bool shares_subnet(const struct wake_sleeper *s, const struct announce_place *p)
{
    for (size_t i = 0; i < s->address_count; i++)
        for (size_t k = 0; k < p->address_count; k++)
            if (is_same_subnet(&s->addresses[i], &p->addresses[k]))
                return true;
    return false;
}

static bool shares_gateway(const struct wake_sleeper *s, const struct announce_place *p)
{
    for (size_t i = 0; i < s->gateway_count; i++)
        for (size_t k = 0; k < p->gateway_count; k++)
            if (memcmp(&s->gateways[i], &p->gateways[k], sizeof p->gateways[k]) == 0)
                return true;
    return false;
}

/* 0 is best. */
static unsigned rank(const struct announce *a)
{
    return (a->is_reflector ? 0u : 2u) + (strcmp(a->place.nature, "wired") == 0 ? 0u : 1u);
}

static bool is_better(const struct announce *a, const struct announce *b)
{
    if (rank(a) != rank(b))
        return rank(a) < rank(b);
    return strcmp(a->device, b->device) < 0;
}

static bool may_guard(const struct search *s, const struct announce *a)
{
    const struct wake_sleeper *sleeper = s->sleeper;

    if (a->goes != ANNOUNCE_STAYS || strcmp(a->place.nature, "vpn") == 0 ||
        strcmp(a->device, sleeper->device) == 0 || strcmp(a->place.site, sleeper->site) != 0)
        return false;
    return shares_subnet(sleeper, &a->place) &&
           (sleeper->site[0] != '\0' || shares_gateway(sleeper, &a->place)) &&
           wake_job_may_ask(s->wake->core, s->index, a->device);
}

static bool look(void *arg, const struct roster_entry *e)
{
    struct search *s = arg;
    const struct announce *a = e->announce;

    if (may_guard(s, a) && (s->best == NULL || is_better(a, s->best->announce)))
        s->best = e;
    return true;
}

/* ---- remembered for a moment ----------------------------------------------------------------- */

/* A better one than that which was found for its neighbour comes into play a second later. */
static const struct roster_entry *recall(const struct search *s, uint64_t now_ns)
{
    const struct hub_wakes *w = s->wake->all;

    for (size_t i = 0; i < WAKE_GUARD_MEMOS; i++) {
        const struct guard_memo *m = &w->memos[i];
        const struct roster_entry *e;

        if (m->until_ns <= now_ns || strcmp(m->site, s->sleeper->site) != 0 ||
            !is_same_subnet(&m->address, &s->sleeper->addresses[0]))
            continue;
        e = roster_find(w->hub->roster, m->guard);
        if (e != NULL && may_guard(s, e->announce))
            return e;
    }
    return NULL;
}

static void remember(const struct search *s, uint64_t now_ns)
{
    struct hub_wakes *w = s->wake->all;
    struct guard_memo *m = &w->memos[w->next_memo++ % WAKE_GUARD_MEMOS];

    *m = (struct guard_memo){.address = s->sleeper->addresses[0], .until_ns = now_ns + MEMO_NS};
    memcpy(m->site, s->sleeper->site, sizeof m->site);
    memcpy(m->guard, s->best->announce->device, sizeof m->guard);
}

const struct roster_entry *hub_wake_guard(struct hub_wake *k, size_t index)
{
    struct search s = {.wake = k, .sleeper = &k->sleepers[index], .index = index};
    const uint64_t now_ns = loop_now_ns(k->all->hub->options.loop);
    const bool has_place = s.sleeper->site[0] != '\0' && s.sleeper->address_count > 0;

    if (has_place)
        s.best = recall(&s, now_ns);
    if (s.best != NULL)
        return s.best;
    roster_each(k->all->hub->roster, s.sleeper->site, look, &s);
    if (has_place && s.best != NULL)
        remember(&s, now_ns);
    return s.best;
}
