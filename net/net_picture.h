/* SPDX-License-Identifier: Apache-2.0 */
/* net/net_picture.h – links, addresses, default routes and neighbours of one machine at a moment.
 *
 * Made by a view (net/netlink.h), or by the simulated world.  Plain data that asks nobody.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NET_MAC_SIZE = 6,
    NET_NAME_SIZE = 16, /* IFNAMSIZ */
    NET_KIND_SIZE = 24,
    NET_IP_TEXT_SIZE = 48,
    /* The most that is kept of each; of what was more, a picture is `cut`. */
    NET_LINKS_MOST = 512,
    NET_ADDRESSES_MOST = 2048,
    NET_ROUTES_MOST = 2048,
    NET_NEIGHBOURS_MOST = 2048,
};

struct net_ip {
    uint8_t bytes[16]; /* as on the wire; behind `size` zero */
    uint8_t size;      /* 4, 16; 0: none */
};

/* What a link is good for.  VPN and MOBILE are hints that bytes may cost or make a detour: a tunnel
 * may lead next door, and a phone's hot spot looks like any wireless network. */
enum net_nature {
    NET_WIRED,
    NET_WIRELESS,
    NET_MOBILE,  /* a modem: metered unless somebody says otherwise          */
    NET_VPN,     /* tun, wireguard, ipsec, gre …; and ppp, always: PPPoE as well, since
                  * nothing in it tells a tunnel from somebody's way to the Internet */
    NET_VIRTUAL, /* bridges, VLANs, veth, containers; what is below may be any */
    NET_LOOPBACK,
};

struct net_link {
    uint32_t index;
    uint32_t lower; /* index of the link it stands on (VLAN, macvlan); 0: none     */
    uint32_t mtu;
    uint16_t hardware; /* ARPHRD_*                                                  */
    uint8_t operstate; /* IF_OPER_*                                                 */
    char name[NET_NAME_SIZE];
    char kind[NET_KIND_SIZE]; /* "bridge", "wireguard" …; "" for hardware              */
    uint8_t mac[NET_MAC_SIZE], permanent_mac[NET_MAC_SIZE];
    bool has_mac, has_permanent_mac;
    bool is_up;           /* somebody switched it on                                  */
    bool has_carrier;     /* as it is this moment                                     */
    bool carrier_is_held; /* lost, but not for long enough to believe it              */
    enum net_nature nature;
    uint64_t lost_ns; /* the view's: when the carrier went; 0: it is there           */
};

struct net_address {
    uint32_t link;
    struct net_ip ip;
    struct net_ip peer; /* of a point-to-point link; else none */
    uint8_t prefix;     /* of `peer` where there is one        */
    uint8_t scope;      /* RT_SCOPE_*                          */
    uint32_t flags;     /* IFA_F_*: tentative, deprecated, temporary … */
};

/* A default route; one for each next hop where it has several.  Sorted by family and metric. */
struct net_route {
    uint8_t family_size; /* 4: of IPv4; 16: of IPv6                            */
    uint32_t metric;     /* least is best                                      */
    uint32_t table;      /* RT_TABLE_MAIN, or one that only some rule leads to */
    uint32_t link;
    struct net_ip gateway; /* none: straight onto the link; may be IPv6 for an IPv4 route */
};

/* Only those with a MAC that somebody confirmed.  REACHABLE does not say that the machine is awake:
 * network cards answer for it in its sleep. */
struct net_neighbour {
    uint32_t link;
    struct net_ip ip;
    uint8_t mac[NET_MAC_SIZE];
    uint16_t state; /* NUD_* */
    bool is_router;
};

struct net_picture {
    struct net_link *links; /* owned, each list sorted and without doubles */
    struct net_address *addresses;
    struct net_route *routes;
    struct net_neighbour *neighbours;
    size_t link_count, address_count, route_count, neighbour_count;
    unsigned cut; /* parts (enum net_part) of which there was more than is kept */
};

void net_picture_release(struct net_picture *p);
/* NULL: there is none. */
const struct net_link *net_picture_link(const struct net_picture *p, uint32_t index);
/* False: its MAC is not known (yet), or there is no gateway. */
bool net_picture_gateway_mac(const struct net_picture *p, const struct net_route *r,
                             uint8_t out[NET_MAC_SIZE]);
/* On, and its carrier not lost for good. */
bool net_link_is_usable(const struct net_link *l);
/* Is `ip` in the subnet of `a`? */
bool net_address_covers(const struct net_address *a, const struct net_ip *ip);

/* False: no IP address (no scope, no brackets). */
bool net_ip_parse(const char *text, struct net_ip *out);
const char *net_ip_format(const struct net_ip *ip, char out[NET_IP_TEXT_SIZE]); /* returns out */
const char *net_nature_name(enum net_nature nature); /* "wired", "vpn" … */
