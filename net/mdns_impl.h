/* SPDX-License-Identifier: Apache-2.0 */
/* net/mdns_impl.h – what a back end of net/mdns_socket.h fills in; nobody else includes it.
 *
 *     back end ──mdns_socket_hear(link, from, bytes)──> front: is it from that link? ──> heard()
 *     front    ──ops->join, leave(link, family)──────> back end
 */
#pragma once

#include "net/loop_impl.h"
#include "net/mdns_socket.h"

enum mdns_family { MDNS_4, MDNS_6, MDNS_FAMILIES };

struct mdns_ops {
    /* False: it cannot be (tried again with the next picture). */
    bool (*join)(struct mdns_socket *s, uint32_t link, enum mdns_family family);
    void (*leave)(struct mdns_socket *s, uint32_t link, enum mdns_family family);
    struct alb_status (*send)(struct mdns_socket *s, uint32_t link, enum mdns_family family,
                              const struct mdns_writer *packet);
    void (*close)(struct mdns_socket *s); /* and buries it */
};

struct mdns_joined {
    uint32_t link;
    bool is_in[MDNS_FAMILIES];
    uint64_t second_ns; /* … in which so many packets were heard */
    unsigned heard;
};

/* First member of every back end's socket. */
struct mdns_socket {
    const struct mdns_ops *ops;
    struct loop *loop;
    mdns_heard_fn heard;
    void *arg;
    struct mdns_joined joined[MDNS_LINKS_MOST]; /* ascending by link */
    size_t joined_count;
    struct net_picture now; /* owned: whose subnets are asked */
    bool is_closed;         /* while its own callback runs */
};

void mdns_socket_hear(struct mdns_socket *s, const struct mdns_heard *heard);

struct alb_status mdns_event_open(struct loop *loop, struct mdns_socket **out);
