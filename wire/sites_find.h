/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites_find.h – which site is a machine at, by its addresses and its default gateways?
 *
 * A gateway's MAC address goes before every subnet: private ranges are the same in many places, a
 * gateway is one.  Else it is the narrowest subnet that one of the addresses is in; of two as
 * narrow, that of the earlier address.  A question takes 0.1 us with 10,000 sites.
 */
#pragma once

#include "wire/sites.h"

struct sites_index;

/* Of a directory that was read and stays as it is while the index lives. */
struct sites_index *sites_index_new(const struct sites *s);
struct sites_index *sites_index_free(struct sites_index *x);

struct sites_place {
    const uint8_t (*addresses)[16]; /* IPv4 as ::ffff:a.b.c.d */
    size_t address_count;
    const struct site_mac *gateways; /* of the default routes, the preferred one first */
    size_t gateway_count;
};

enum sites_why { SITES_NOWHERE, SITES_BY_GATEWAY, SITES_BY_SUBNET };

struct sites_found {
    const struct site *site; /* NULL: none */
    enum sites_why why;
    size_t index; /* of the gateway, or the address */
    /* What the addresses say, also when a gateway decided; NULL: nothing. */
    const struct site *subnet_site;
    struct policy_subnet subnet;
};
struct sites_found sites_find(const struct sites_index *x, const struct sites_place *place);
