/* SPDX-License-Identifier: Apache-2.0 */
/* net/net_picture_ask.c – what a picture answers: whose subnet, what kind of link. */
#include <arpa/inet.h>
#include <linux/if_arp.h>
#include <string.h>

#include "base/alloc.h"
#include "net/netlink_impl.h"

/* ---- addresses ------------------------------------------------------------------------------- */

bool net_ip_parse(const char *text, struct net_ip *out)
{
    struct net_ip found = {.size = 4};

    if (inet_pton(AF_INET, text, found.bytes) != 1) {
        found.size = 16;
        if (inet_pton(AF_INET6, text, found.bytes) != 1)
            return false;
    }
    *out = found;
    return true;
}

const char *net_ip_format(const struct net_ip *ip, char out[NET_IP_TEXT_SIZE])
{
    out[0] = '\0';
    if (ip->size != 0)
        (void)inet_ntop(ip->size == 4 ? AF_INET : AF_INET6, ip->bytes, out, NET_IP_TEXT_SIZE);
    return out;
}

bool net_address_covers(const struct net_address *a, const struct net_ip *ip)
{
    const struct net_ip *base = a->peer.size != 0 ? &a->peer : &a->ip;
    const size_t whole = a->prefix / 8, bits = a->prefix % 8;

    if (base->size != ip->size || memcmp(base->bytes, ip->bytes, whole) != 0)
        return false;
    return bits == 0 || (base->bytes[whole] ^ ip->bytes[whole]) >> (8 - bits) == 0;
}

/* ---- links ----------------------------------------------------------------------------------- */

bool net_link_is_usable(const struct net_link *l)
{
    return l->is_up && (l->has_carrier || l->carrier_is_held);
}

static bool is_one_of(const char *word, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, list[i]) == 0)
            return true;
    return false;
}

/* Kinds as the kernel's drivers name them (rtnl_link_ops.kind). */
static bool is_vpn_kind(const char *kind)
{
    static const char *const KINDS[] = {"tun",  "wireguard", "ppp",     "ipip",   "sit",
                                        "gre",  "gretap",    "ip6gre",  "ip6tnl", "ip6gretap",
                                        "vti",  "vti6",      "xfrm",    "l2tp",   "l2tpeth",
                                        "ovpn", "amneziawg", "ovpn-dco"};

    return is_one_of(kind, KINDS, ALB_COUNT(KINDS));
}

enum net_nature net_nature_of(const struct net_link *l, bool is_loopback, const char *devtype)
{
    static const char *const MODEMS[] = {"wwan", "rmnet", "qmimux"};

    if (is_loopback)
        return NET_LOOPBACK;
    if (strcmp(devtype, "wwan") == 0 || is_one_of(l->kind, MODEMS, ALB_COUNT(MODEMS)))
        return NET_MOBILE;
    if (is_vpn_kind(l->kind) || l->hardware == ARPHRD_PPP || l->hardware == ARPHRD_TUNNEL ||
        l->hardware == ARPHRD_TUNNEL6 || l->hardware == ARPHRD_SIT || l->hardware == ARPHRD_IPGRE)
        return NET_VPN;
    if (strcmp(devtype, "wlan") == 0 || l->hardware == ARPHRD_IEEE80211)
        return NET_WIRELESS;
    return l->kind[0] != '\0' ? NET_VIRTUAL : NET_WIRED;
}

const char *net_nature_name(enum net_nature nature)
{
    switch (nature) {
    case NET_WIRED: return "wired";
    case NET_WIRELESS: return "wireless";
    case NET_MOBILE: return "mobile";
    case NET_VPN: return "vpn";
    case NET_VIRTUAL: return "virtual";
    case NET_LOOPBACK: return "loopback";
    }
    alb_unreachable();
}
