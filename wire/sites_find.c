/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites_find.c – subnets and gateways of all sites, sorted. */
#include "wire/sites_find.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "wire/subnets.h"

struct gateway {
    struct site_mac mac; /* first: sorted by it */
    uint32_t site;
};

struct sites_index {
    const struct sites *sites;
    struct subnet_index *subnets; /* .site is the directory's index */
    struct gateway *gateways;
    size_t gateway_count;
};

static int compare_gateways(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct site_mac));
}

/* ---- building ---- */

static void add_site(struct sites_index *x, uint32_t index, struct policy_subnet *subnets,
                     size_t *count)
{
    const struct site *s = &x->sites->list[index];

    for (size_t i = 0; i < s->subnet_count; i++) {
        subnets[*count] = s->subnets[i];
        subnets[(*count)++].site = index;
    }
    for (size_t i = 0; i < s->gateway_count; i++)
        x->gateways[x->gateway_count++] = (struct gateway){s->gateways[i], index};
}

struct sites_index *sites_index_new(const struct sites *s)
{
    struct sites_index *x = xalloc(sizeof *x);
    size_t subnet_count = 0, gateways = 0;

    for (size_t i = 0; i < s->count; i++) {
        subnet_count += s->list[i].subnet_count;
        gateways += s->list[i].gateway_count;
    }
    AUTO_FREE struct policy_subnet *subnets = xcalloc(subnet_count + 1, sizeof *subnets);
    x->sites = s;
    x->gateways = xcalloc(gateways + 1, sizeof *x->gateways);
    subnet_count = 0;
    for (size_t i = 0; i < s->count; i++)
        add_site(x, (uint32_t)i, subnets, &subnet_count);
    x->subnets = subnet_index_new(subnets, subnet_count);
    qsort(x->gateways, x->gateway_count, sizeof *x->gateways, compare_gateways);
    return x;
}

struct sites_index *sites_index_free(struct sites_index *x)
{
    if (x == NULL)
        return NULL;
    subnet_index_free(x->subnets);
    free(x->gateways);
    free(x);
    return NULL;
}

/* ---- asking ---- */

static const struct gateway *by_gateway(const struct sites_index *x, const struct site_mac *mac)
{
    return bsearch(mac, x->gateways, x->gateway_count, sizeof *x->gateways, compare_gateways);
}

struct sites_found sites_find(const struct sites_index *x, const struct sites_place *place)
{
    struct sites_found found = {.why = SITES_NOWHERE};
    const struct policy_subnet *subnet =
        subnet_index_find(x->subnets, place->addresses, place->address_count, &found.index);

    if (subnet != NULL) {
        found.subnet = *subnet;
        found.subnet_site = &x->sites->list[subnet->site];
    }
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
