/* SPDX-License-Identifier: Apache-2.0 */
/* net/loop_impl.h – what a back end of net/loop.h fills in; nobody else includes it.
 *
 * loop.c keeps the timer heap and the graveyard for every back end; the back end embeds
 * `struct loop` as its first member, calls loop_init(), arms one wake-up when arm() asks for it,
 * and calls loop_turn() whenever that time has come or a batch of callbacks has ended.
 */
#pragma once

#include "net/loop.h"

struct address;
struct datagram;
struct datagram_options;
struct mdns_socket;
struct netlink_source;
struct netlink_view;
struct raw_frame;

struct loop_ops {
    uint64_t (*now_ns)(struct loop *loop);
    uint64_t (*asleep_ns)(struct loop *loop);
    int64_t (*wall_s)(struct loop *loop);
    /* Call loop_clock_was_set() from now on; once.  NULL: whoever sets the clock does it anyway. */
    void (*watch_clock)(struct loop *loop);
    uint64_t (*random)(struct loop *loop);
    void (*arm)(struct loop *loop, uint64_t at_ns); /* UINT64_MAX: nothing to wait for */
    void (*submit)(struct loop *loop, struct job *job);
    struct stream *(*dial)(struct loop *loop, const struct dial_options *options);
    struct alb_status (*listen)(struct loop *loop, const struct listen_options *options,
                                accept_fn accepted, void *arg, struct listener **out);
    struct alb_status (*open_datagram)(struct loop *loop, const struct datagram_options *options,
                                       struct datagram **out);
    /* Without asking anybody: an IP address, or a node of the simulated world. */
    bool (*find_host)(struct loop *loop, const char *host, uint16_t port, struct address *out);
    struct alb_status (*open_netlink)(struct loop *loop, struct netlink_view *view,
                                      struct netlink_source **out);
    struct alb_status (*send_frame)(struct loop *loop, const struct raw_frame *frame);
    struct alb_status (*open_mdns)(struct loop *loop, struct mdns_socket **out);
};

struct grave {
    loop_fn free_fn;
    void *memory;
};

struct loop {
    const struct loop_ops *ops;
    struct timer **heap; /* 1-based binary heap by at_ns, ties by order of setting */
    size_t timers, heap_capacity;
    struct grave *graves;
    size_t grave_count, grave_capacity;
    uint64_t armed_ns;   /* 0 while loop_turn() runs: it arms at its end */
    uint64_t next_order; /* of the timer set next */
    loop_fn clock_set;
    void *clock_set_arg;
    bool watches_clock;
};

struct listener_ops {
    uint16_t (*port)(const struct listener *l);
    void (*free)(struct listener *l);
};
/* First member of every back end's listener. */
struct listener {
    const struct listener_ops *ops;
};

void loop_init(struct loop *loop, const struct loop_ops *ops);
void loop_release(struct loop *loop); /* empties the graveyard */
/* Run the timers that are due, then empty the graveyard, then arm the next wake-up. */
void loop_turn(struct loop *loop);
void loop_clock_was_set(struct loop *loop);
/* Is there a timer whose time has come? */
bool loop_is_due(struct loop *loop);
