/* SPDX-License-Identifier: Apache-2.0 */
/* net/netlink_impl.h – how a view learns: what its two back ends fill in, and what they share.
 *
 *     source  ──netlink_view_stir(parts)──>  view   something changed there
 *     view    ──ops->read(parts)──────────>  source read it, 250 ms later
 *     source  ──netlink_view_take(parts)──>  view   here it is, from the loop
 */
#pragma once

#include "net/loop_impl.h"
#include "net/netlink.h"

/* What is read from the kernel; NET_GATEWAYS follows from it. */
#define NET_READABLE ((unsigned)(NET_LINKS | NET_ADDRESSES | NET_ROUTES | NET_NEIGHBOURS))

/* After reading comes a rest of so many times what it took: no more than a tenth of us. */
enum { NETLINK_REST_FACTOR = 9 };

struct netlink_source;

struct netlink_source_ops {
    /* Calls netlink_view_take() with all of `parts`, some time, never from inside. */
    void (*read)(struct netlink_source *s, unsigned parts);
    struct alb_status (*reach)(struct netlink_source *s, const struct net_ip *to,
                               struct net_way *out);
    void (*close)(struct netlink_source *s);
};

/* First member of every back end's source. */
struct netlink_source {
    const struct netlink_source_ops *ops;
    struct netlink_view *view;
};

struct netlink_view {
    struct loop *loop;
    netlink_view_fn changed;
    void *arg;
    struct netlink_source *source;
    struct net_picture now, told;
    struct timer settle; /* reads what was stirred                */
    struct timer hold;   /* the carrier that was lost first       */
    unsigned stirred;    /* parts, waiting for `settle`           */
    unsigned read;       /* parts that the source reads just now  */
    uint64_t rest_until_ns;
    unsigned overruns;
    bool is_told; /* the first call was made               */
};

void netlink_view_stir(struct netlink_view *v, unsigned parts);
/* Events were lost: all is stirred. */
void netlink_view_overrun(struct netlink_view *v);
/* Moves those parts out of `fresh`, which keeps the rest.  Reading them kept the loop for
 * `spent_ns`.  The view may be closed in here. */
void netlink_view_take(struct netlink_view *v, unsigned parts, uint64_t spent_ns,
                       struct net_picture *fresh);
/* A neighbour was put or removed in v->now by an event. */
void netlink_view_neighbours_moved(struct netlink_view *v);

struct alb_status netlink_event_open(struct loop *loop, struct netlink_view *v,
                                     struct netlink_source **out);

/* ---- pictures -------------------------------------------------------------------------------- */

/* Put what is new, replace what is there; too many: the picture is cut. */
void net_picture_put_link(struct net_picture *p, const struct net_link *row);
void net_picture_put_address(struct net_picture *p, const struct net_address *row);
void net_picture_put_route(struct net_picture *p, const struct net_route *row);
void net_picture_put_neighbour(struct net_picture *p, const struct net_neighbour *row);
/* False: it was not there. */
bool net_picture_remove_neighbour(struct net_picture *p, uint32_t link, const struct net_ip *ip);
const struct net_neighbour *net_picture_neighbour(const struct net_picture *p, uint32_t link,
                                                  const struct net_ip *ip);
/* Frees those parts of `to` and moves them there from `from`. */
void net_picture_move(struct net_picture *to, struct net_picture *from, unsigned parts);
void net_picture_copy(struct net_picture *to, const struct net_picture *from); /* frees the old */
/* What differs that anybody should hear of: enum net_part. */
unsigned net_picture_changes(const struct net_picture *before, const struct net_picture *after);
/* By kind, hardware and what /sys says ("wlan", "wwan", "": nothing). */
enum net_nature net_nature_of(const struct net_link *l, bool is_loopback, const char *devtype);
