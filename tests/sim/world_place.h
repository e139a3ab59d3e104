/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_place.h – where a node is: what its netlink views see, and the frames it sends.
 *
 *     world_node_place(laptop, &(struct world_place){.address = "10.1.0.11", .prefix = 24,
 *                                                    .gateway = "10.1.0.1", .gateway_mac = {2}});
 *     …
 *     world_node_place(laptop, &(struct world_place){.address = NULL});     the cable is out
 *
 * Beside links and routes of the world (world_route()), which carry its streams: who carries a
 * laptop away changes both.  A node that was never placed has no link at all.
 */
#pragma once

#include "net/netlink.h"
#include "net/raw_frame.h"
#include "sim/world.h"

enum { WORLD_PLACE_LINK = 2 /* index of the one link, "lan0" */ };

struct world_place {
    const char *address; /* of either family; NULL: no carrier, no address, no route */
    uint8_t prefix;
    const char *gateway;               /* NULL: no way out */
    uint8_t gateway_mac[NET_MAC_SIZE]; /* zero: nobody has asked for it yet */
    enum net_nature nature;
};

/* One link, with a MAC made of the node's number.  Its views are told as the kernel's are. */
void world_node_place(struct loop *node, const struct world_place *place);
/* Anything else; copied. */
void world_node_set_picture(struct loop *node, const struct net_picture *picture);

/* fn sees each frame that a node sends out of a link it has, and wakes whom it will.  The last fn
 * counts; NULL: nobody. */
typedef void (*world_frame_fn)(void *arg, struct loop *from, const struct raw_frame *f);
void world_on_frame(struct world *w, world_frame_fn fn, void *arg);
