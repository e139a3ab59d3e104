/* SPDX-License-Identifier: Apache-2.0 */
/* net/net_place.c – the few facts of a picture that say at which branch it was taken. */
#include "net/net_place.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

/* ---- gateways -------------------------------------------------------------------------------- */

static bool has_gateway(const struct net_place *place, const uint8_t mac[NET_MAC_SIZE])
{
    for (size_t i = 0; i < place->gateway_count; i++)
        if (memcmp(place->gateways[i], mac, NET_MAC_SIZE) == 0)
            return true;
    return false;
}

static void take_route(const struct net_picture *p, const struct net_route *r,
                       struct net_place *out)
{
    const struct net_link *l = net_picture_link(p, r->link);
    uint8_t mac[NET_MAC_SIZE];

    if (l == NULL || !net_link_is_usable(l))
        return;
    out->has_vpn = out->has_vpn || l->nature == NET_VPN;
    if (r->table != RT_TABLE_MAIN)
        return;
    if (out->link == 0) {
        out->link = l->index;
        out->nature = l->nature;
    }
    if (out->gateway_count < NET_PLACE_GATEWAYS && net_picture_gateway_mac(p, r, mac) &&
        !has_gateway(out, mac))
        memcpy(out->gateways[out->gateway_count++], mac, NET_MAC_SIZE);
}

static bool leads_out(const struct net_picture *p, uint32_t link)
{
    for (size_t i = 0; i < p->route_count; i++)
        if (p->routes[i].link == link && p->routes[i].table == RT_TABLE_MAIN)
            return true;
    return false;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static bool is_known_beyond_its_link(const struct net_ip *ip)
{
    static const uint8_t LOOPBACK[16] = {[15] = 1};
    const uint8_t *b = ip->bytes;

    if (ip->size == 4)
        return b[0] != 127 && (b[0] != 169 || b[1] != 254);
    return (b[0] != 0xfe || (b[1] & 0xc0) != 0x80) && memcmp(b, LOOPBACK, sizeof(LOOPBACK)) != 0;
}

static bool tells(const struct net_picture *p, const struct net_address *a)
{
    const struct net_link *l = net_picture_link(p, a->link);

    if (l == NULL || !net_link_is_usable(l) || l->nature == NET_LOOPBACK)
        return false;
    if ((a->flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0 || !is_known_beyond_its_link(&a->ip))
        return false;
    return strcmp(l->kind, "bridge") != 0 || leads_out(p, a->link);
}

static void take_address(const struct net_ip *ip, struct net_place *out)
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};

    if (out->address_count == NET_PLACE_ADDRESSES)
        return;
    uint8_t *at = out->addresses[out->address_count++];
    if (ip->size == 16) {
        memcpy(at, ip->bytes, 16);
        return;
    }
    memcpy(at, V4, sizeof(V4));
    memcpy(at + sizeof(V4), ip->bytes, 4);
}

enum { NEAR_WAY_OUT, NEAR_OTHERS, NEAR_TUNNELS, NEARNESS };

static unsigned nearness_of(const struct net_picture *p, const struct net_address *a, uint32_t way)
{
    if (net_picture_link(p, a->link)->nature == NET_VPN)
        return NEAR_TUNNELS;
    return a->link == way ? NEAR_WAY_OUT : NEAR_OTHERS;
}

/* ---- together -------------------------------------------------------------------------------- */

void net_place_of(const struct net_picture *p, struct net_place *out)
{
    *out = (struct net_place){.nature = NET_WIRED};
    for (size_t i = 0; i < p->route_count; i++)
        take_route(p, &p->routes[i], out);
    for (unsigned nearness = 0; nearness < NEARNESS; nearness++)
        for (size_t i = 0; i < p->address_count; i++)
            if (tells(p, &p->addresses[i]) &&
                nearness_of(p, &p->addresses[i], out->link) == nearness)
                take_address(&p->addresses[i].ip, out);
}

bool net_place_is_same(const struct net_place *a, const struct net_place *b)
{
    return a->address_count == b->address_count && a->gateway_count == b->gateway_count &&
           a->link == b->link && a->nature == b->nature && a->has_vpn == b->has_vpn &&
           memcmp(a->addresses, b->addresses, sizeof(a->addresses)) == 0 &&
           memcmp(a->gateways, b->gateways, sizeof(a->gateways)) == 0;
}
