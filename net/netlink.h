/* SPDX-License-Identifier: Apache-2.0 */
/* net/netlink.h – where this machine is: its links, addresses, ways out and who stands there.
 *
 *     netlink_view_open(loop, on_moved, agent, &view);
 *     …
 *     static void on_moved(void *arg, unsigned parts)      something is other than it was
 *     {
 *         const struct net_picture *now = netlink_view_peek(agent->view);
 *         if (net_picture_gateway_mac(now, &now->routes[0], mac)) …
 *     }
 *
 * A view is told by the kernel (rtnetlink) what changes; nothing is polled.  What is said is taken
 * as a hint that something changed, and read anew 250 ms later, once for all that came meanwhile:
 * IPv4 routes go with their interface without a word, and after a burst that overran the socket
 * nobody knows what was said.  Neighbours alone are followed one by one; they change state all day.
 * A change is told within a second, but for one: a carrier that is lost counts as there for 2 s,
 * since cables, switches and roaming flap.
 *
 * Kept are default routes only; how any other address is reached, netlink_view_reach() asks the
 * kernel's own table.  Reading needs no privilege.  Two back ends as for net/loop.h: the kernel
 * (netlink_view_event.c) and the simulated world (tests/sim/world_place.c).
 */
#pragma once

#include "net/loop.h"
#include "net/net_picture.h"

/* ---- being told ------------------------------------------------------------------------------ */

enum net_part {
    NET_LINKS = 1,
    NET_ADDRESSES = 2,
    NET_ROUTES = 4,
    NET_NEIGHBOURS = 8, /* one came, went or has another MAC; states alone are no change */
    NET_GATEWAYS = 16,  /* of a default route: another MAC, become known, or forgotten   */
    NET_ALL = 31,
};

struct netlink_view;
/* From the loop; `parts` of enum net_part.  The first call says NET_ALL, when the first picture is
 * complete.  The view may be closed here. */
typedef void (*netlink_view_fn)(void *arg, unsigned parts);

/* IO: no netlink here (a system call filter); the program then goes by what it is configured. */
ALB_MUST_USE struct alb_status netlink_view_open(struct loop *loop, netlink_view_fn changed,
                                                 void *arg, struct netlink_view **out);
struct netlink_view *netlink_view_close(struct netlink_view *v); /* returns NULL */
/* Borrowed until the next turn of the loop.  What is known now, which may be ahead of `changed`
 * by 250 ms; before its first call, nothing but neighbours that were heard of. */
const struct net_picture *netlink_view_peek(const struct netlink_view *v);
/* How often the kernel could not tell all, and everything was read again. */
unsigned netlink_view_overruns(const struct netlink_view *v);

struct net_way {
    uint32_t link;
    struct net_ip source;  /* of ours; none where the route names none */
    struct net_ip gateway; /* none: it is on the link                   */
    bool is_own;           /* `to` is this machine                      */
};

/* How `to` is reached now.  A call into the kernel of some microseconds.  NOT_FOUND: there is no
 * way, or a route says so (unreachable, prohibit, blackhole); IO: the kernel refuses to say. */
ALB_MUST_USE struct alb_status netlink_view_reach(struct netlink_view *v, const struct net_ip *to,
                                                  struct net_way *out);
