/* SPDX-License-Identifier: Apache-2.0 */
/* net/net_place.h – of a picture, what tells one branch from another: addresses and gateways.
 *
 * For the directory of sites and for rules that go by subnet.  Whether the bytes to one certain
 * address cost money or make a detour is asked more exactly by netlink_view_reach() and the nature
 * of the link it names: routing rules and halves of the Internet (0.0.0.0/1) are not seen here.
 */
#pragma once

#include "net/net_picture.h"

enum { NET_PLACE_ADDRESSES = 16, NET_PLACE_GATEWAYS = 8 };

struct net_place {
    /* IPv6; IPv4 as ::ffff:a.b.c.d.  Those of the way out first, and a tunnel's last, whatever
     * leads into it: it ends at another place.  Without loopback, without what only its link
     * knows, without what is still being tried, and without bridges that lead nowhere: they hold
     * containers, and 172.17.0.1 is at no site. */
    uint8_t addresses[NET_PLACE_ADDRESSES][16];
    size_t address_count;
    /* MACs of the default gateways, the preferred one first; those not known yet are not here. */
    uint8_t gateways[NET_PLACE_GATEWAYS][NET_MAC_SIZE];
    size_t gateway_count;
    uint32_t link;          /* the preferred way out; 0: there is none            */
    enum net_nature nature; /* of it; NET_WIRED where there is none               */
    bool has_vpn;           /* some default route, of any table, leads into a VPN */
};

void net_place_of(const struct net_picture *p, struct net_place *out);
bool net_place_is_same(const struct net_place *a, const struct net_place *b);
