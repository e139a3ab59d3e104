/* SPDX-License-Identifier: Apache-2.0 */
/* net/mdns_socket.h – packets to all machines on a link, and from them: port 5353, both families.
 *
 * Groups 224.0.0.251 and ff02::fb (RFC 6762 §3).  A socket is on a link while that is usable, no
 * VPN, no modem and no loopback, and has an address that others know; mdns_socket_follow() joins
 * and leaves.  The port is shared with whoever else speaks mDNS on this machine (avahi-daemon,
 * systemd-resolved): all hear everything.
 *
 * What comes was sent to the group or to us, from an address of a subnet of that very link, or from
 * a link-local one; anything else is dropped here, as is what is longer than MDNS_PACKET_MOST, and
 * what is more than MDNS_HEARD_MOST in a second on one link: nobody's flood takes our time.  The
 * hop limit is not looked at (RFC 6762 §11).  What we send has hop limit 255, goes to the group on
 * one link, and never through a gate: who sends is bound by its own pace (transfer/beacon.h).
 *
 * Two back ends: the kernel (mdns_socket_event.c) and the simulated world (tests/sim/world_mdns.c),
 * where nodes of the same subnet hear each other.
 */
#pragma once

#include "net/loop.h"
#include "net/mdns.h"

enum {
    MDNS_LINKS_MOST = 16, /* Linux lets a socket be in 20 groups; of more links, the first */
    MDNS_HEARD_MOST = 300,
};

struct mdns_socket;

struct mdns_heard {
    const uint8_t *bytes; /* borrowed for the call */
    size_t size;
    uint32_t link;
    struct net_ip from;
    uint16_t from_port;
};

/* From the loop.  The socket may be closed here.  Our own packets come, too. */
typedef void (*mdns_heard_fn)(void *arg, const struct mdns_heard *heard);

/* IO, FULL, REFUSED: no family can be had (port 5353 taken by somebody who shares it with nobody,
 * no descriptors); one family alone is fine. */
ALB_MUST_USE struct alb_status mdns_socket_open(struct loop *loop, mdns_heard_fn heard, void *arg,
                                                struct mdns_socket **out);
/* Returns NULL; NULL is fine. */
struct mdns_socket *mdns_socket_close(struct mdns_socket *s);

/* Something of `now` is other than it was: links are joined and left. */
void mdns_socket_follow(struct mdns_socket *s, const struct net_picture *now);
/* Links and addresses as it was told last; borrowed until the next follow. */
const struct net_picture *mdns_socket_picture(const struct mdns_socket *s);
/* The links it is on, ascending; how many. */
size_t mdns_socket_links(const struct mdns_socket *s, uint32_t out[MDNS_LINKS_MOST]);

/* To the group on that link, by each family that the link has an address of.  OK when one left. */
ALB_MUST_USE struct alb_status mdns_socket_send(struct mdns_socket *s, uint32_t link,
                                                const struct mdns_writer *packet);

/* Is a link one on which a socket of `p` would be? */
bool mdns_link_is_wanted(const struct net_picture *p, const struct net_link *l);
/* Of that link, as others may dial it: no link-local, none on trial or running out. */
bool mdns_address_is_told(const struct net_address *a);
/* Is `ip` in a subnet of that link?  Of an IPv6 address, the first 64 bits count: one by DHCPv6 has
 * a prefix of 128, and yet neighbours. */
bool mdns_socket_is_near(const struct mdns_socket *s, uint32_t link, const struct net_ip *ip);
