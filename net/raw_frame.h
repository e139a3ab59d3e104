/* SPDX-License-Identifier: Apache-2.0 */
/* net/raw_frame.h – one packet out of one link, whatever the routes say: for waking neighbours.
 *
 *     RAW_ETHER    an Ethernet frame of its own type, to a MAC; needs CAP_NET_RAW
 *     RAW_UDP      to 255.255.255.255 or a subnet's broadcast address; no privilege
 *     RAW_UDP6     to ff02::1 (all machines on the link), hop limit 1; no privilege
 *
 * They pass no gate, being few: shaper/wake.h bounds them.  Nobody answers, and nothing says that
 * a frame arrived.  Two back ends as for net/loop.h; the simulated world hands frames to whoever
 * asked for them (tests/sim/world_place.h).
 */
#pragma once

#include "net/netlink.h"

enum {
    RAW_FRAME_MOST = 512, /* bytes behind the headers           */
    RAW_PORT_ECHO = 7,    /* what wakes listens at by custom: a */
    RAW_PORT_DISCARD = 9, /* machine that is awake ignores both */
};

enum raw_way { RAW_ETHER, RAW_UDP, RAW_UDP6 };

struct raw_frame {
    uint32_t link; /* index */
    enum raw_way way;
    uint8_t to_mac[NET_MAC_SIZE]; /* RAW_ETHER: ff:ff:ff:ff:ff:ff for all               */
    uint16_t ethertype;           /* RAW_ETHER                                          */
    struct net_ip to;             /* RAW_UDP: none is 255.255.255.255; RAW_UDP6: none is ff02::1 */
    uint16_t port;                /* RAW_UDP, RAW_UDP6                                  */
    const void *bytes;            /* borrowed                                           */
    size_t size;
};

/* Does not block.  REFUSED: RAW_ETHER without CAP_NET_RAW (or with AF_PACKET forbidden), send it by
 * UDP; or this machine's packet filter or routes forbid the datagram, or its kernel has no IPv6;
 * NOT_FOUND: there is no such link (any more); FULL: its queue is full; IO: it is down, or has no
 * address. */
ALB_MUST_USE struct alb_status raw_frame_send(struct loop *loop, const struct raw_frame *f);
