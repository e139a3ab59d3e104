/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites_find.c – subnets and gateways of all sites, sorted.
 *
 * Sorted by address and then length, a subnet follows all that cover it, and the last one not
 * behind an address is either around it or within something that is: each knows what is around it.
 */
#include "wire/sites_find.h"

#include <stdlib.h>

#include "base/alloc.h"

#define NO_OUTER SIZE_MAX

struct range {
    struct policy_subnet subnet; /* .site is the directory's index */
    size_t outer;                /* the narrowest range around this one */
};

struct gateway {
    struct site_mac mac; /* first: sorted by it */
    uint32_t site;
};

struct sites_index {
    const struct sites *sites;
    struct range *ranges;
    struct gateway *gateways;
    size_t range_count, gateway_count;
};

static int compare_ranges(const void *a, const void *b)
{
    const struct policy_subnet *left = &((const struct range *)a)->subnet,
                               *right = &((const struct range *)b)->subnet;
    const int order = memcmp(left->address, right->address, sizeof left->address);

    return order != 0 ? order : (int)left->bits - (int)right->bits;
}

static int compare_gateways(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct site_mac));
}

static bool holds(const struct policy_subnet *s, const uint8_t address[16])
{
    const size_t whole = s->bits / 8;
    const uint8_t mask = (uint8_t)(0xff00U >> s->bits % 8);

    return memcmp(s->address, address, whole) == 0 &&
           (mask == 0 || ((s->address[whole] ^ address[whole]) & mask) == 0);
}

/* ---- building ---- */

static void add_site(struct sites_index *x, uint32_t index)
{
    const struct site *s = &x->sites->list[index];

    for (size_t i = 0; i < s->subnet_count; i++) {
        x->ranges[x->range_count].subnet = s->subnets[i];
        x->ranges[x->range_count++].subnet.site = index;
    }
    for (size_t i = 0; i < s->gateway_count; i++)
        x->gateways[x->gateway_count++] = (struct gateway){s->gateways[i], index};
}

static void nest(struct sites_index *x)
{
    size_t inner = NO_OUTER;

    for (size_t i = 0; i < x->range_count; i++) {
        while (inner != NO_OUTER && !holds(&x->ranges[inner].subnet, x->ranges[i].subnet.address))
            inner = x->ranges[inner].outer;
        x->ranges[i].outer = inner;
        inner = i;
    }
}

struct sites_index *sites_index_new(const struct sites *s)
{
    struct sites_index *x = xalloc(sizeof *x);
    size_t ranges = 0, gateways = 0;

    for (size_t i = 0; i < s->count; i++) {
        ranges += s->list[i].subnet_count;
        gateways += s->list[i].gateway_count;
    }
    x->sites = s;
    x->ranges = xcalloc(ranges + 1, sizeof *x->ranges);
    x->gateways = xcalloc(gateways + 1, sizeof *x->gateways);
    for (size_t i = 0; i < s->count; i++)
        add_site(x, (uint32_t)i);
    qsort(x->ranges, x->range_count, sizeof *x->ranges, compare_ranges);
    qsort(x->gateways, x->gateway_count, sizeof *x->gateways, compare_gateways);
    nest(x);
    return x;
}

struct sites_index *sites_index_free(struct sites_index *x)
{
    if (x == NULL)
        return NULL;
    free(x->ranges);
    free(x->gateways);
    free(x);
    return NULL;
}

/* ---- asking ---- */

static const struct gateway *by_gateway(const struct sites_index *x, const struct site_mac *mac)
{
    return bsearch(mac, x->gateways, x->gateway_count, sizeof *x->gateways, compare_gateways);
}

static const struct policy_subnet *by_address(const struct sites_index *x,
                                              const uint8_t address[16])
{
    size_t low = 0, high = x->range_count;

    while (low < high) { /* the first that begins behind the address */
        const size_t middle = low + (high - low) / 2;

        if (memcmp(x->ranges[middle].subnet.address, address, 16) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low == 0 ? NO_OUTER : low - 1; i != NO_OUTER; i = x->ranges[i].outer)
        if (holds(&x->ranges[i].subnet, address))
            return &x->ranges[i].subnet;
    return NULL;
}

static void take_subnets(const struct sites_index *x, const struct sites_place *place,
                         struct sites_found *found)
{
    for (size_t i = 0; i < place->address_count; i++) {
        const struct policy_subnet *s = by_address(x, place->addresses[i]);

        if (s == NULL || (found->subnet_site != NULL && s->bits <= found->subnet.bits))
            continue;
        found->subnet = *s;
        found->subnet_site = &x->sites->list[s->site];
        found->index = i;
    }
}

struct sites_found sites_find(const struct sites_index *x, const struct sites_place *place)
{
    struct sites_found found = {.why = SITES_NOWHERE};

    take_subnets(x, place, &found);
    for (size_t i = 0; i < place->gateway_count; i++) {
        const struct gateway *g = by_gateway(x, &place->gateways[i]);

        if (g == NULL)
            continue;
        found.site = &x->sites->list[g->site];
        found.why = SITES_BY_GATEWAY;
        found.index = i;
        return found;
    }
    found.site = found.subnet_site;
    found.why = found.site != NULL ? SITES_BY_SUBNET : SITES_NOWHERE;
    return found;
}
