/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_impl.h – what the files of sim/world*.c share; nobody else includes it.
 *
 *     world.c          the clock and its events; nodes as back ends of net/loop.h; jobs
 *     world_link.c     links, routes, and how a packet crosses them
 *     world_stream.c   connections: two ends, windows, buffers
 *     world_dial.c     how a connection comes about: dial, handshake, listen
 *     world_datagram.c single packets that may be lost
 *     world_place.c    what a node sees of its surroundings, and its raw frames
 *     world_mdns.c     multicast among nodes of one subnet
 */
#pragma once

#include "base/buf.h"
#include "net/datagram_impl.h"
#include "net/loop_impl.h"
#include "net/net_picture.h"
#include "net/stream.h"
#include "sim/world.h"
#include "sim/world_place.h"
#include "support/gen.h"

enum {
    NODE_NAME_SIZE = 64,
    SEGMENT_SIZE = 1448,
    SEGMENT_MOST = 64 << 10,
    HEADERS_SIZE = 52,   /* IPv4, TCP and its time stamps */
    QUEUE_BUCKETS = 4096 /* one per millisecond */
};

struct world_event {
    uint64_t at_ns;
    uint64_t order; /* ties: first come, first served */
    loop_fn fn;
    void *arg;
};

struct world {
    uint64_t now_ns;
    struct gen gen;
    struct world_event *heap; /* 0-based binary heap */
    size_t events, heap_capacity;
    uint64_t next_order, run_events;
    struct world_node *nodes;
    struct world_link *links;
    struct world_path *paths;
    struct world_conn *conns;
    struct world_listener *listeners;
    struct world_datagram *datagrams;
    struct world_mdns *mdns;
    uint16_t next_port;
    uint32_t node_count;
    uint64_t conn_count;
    world_frame_fn frame; /* NULL: nobody looks */
    void *frame_arg;
};

/* ---- nodes ----------------------------------------------------------------------------------- */

enum { NODE_WORKERS = 2 };

struct world_node {
    struct loop loop; /* first: a node is a loop */
    struct world_node *next;
    struct world *world;
    uint32_t number; /* from 1; its address is 10.0.0.0 + number */
    uint64_t asleep_ns;
    int64_t clock_ahead_s;
    char name[NODE_NAME_SIZE];
    struct identity identity;
    struct gen gen;
    uint64_t wake_ns; /* earliest wake-up on the world's heap; UINT64_MAX: none */
    uint64_t worker_free_ns[NODE_WORKERS], ordered_free_ns;
    struct net_picture place;
    struct world_source *sources; /* the open views' */
};

struct world_node *world_node_of(struct loop *loop);
/* A batch of callbacks on this node has ended. */
void world_node_turn(struct world_node *n);

/* ---- links and packets ----------------------------------------------------------------------- */

struct world_packet;

/* One direction of a link: a queue and a wire. */
struct world_lane {
    struct world_link *link;
    struct world_packet *first, **last;
    bool is_busy; /* the first packet is on the wire until done_ns */
    uint64_t done_ns;
    uint64_t bytes;
    uint32_t waited_ms[QUEUE_BUCKETS];
};

struct world_link {
    struct world_link *next;
    struct world *world;
    char name[NODE_NAME_SIZE];
    uint64_t rate_bps, delay_ns;
    uint32_t loss_per_million;
    bool is_up;
    uint64_t down_since_ns;
    uint64_t awake_ns;          /* after a cut: when senders notice that it is up again */
    struct world_lane lanes[2]; /* by enum world_direction */
};

/* The lanes from one node to another. */
struct world_path {
    struct world_path *next;
    const struct world_node *from, *to;
    struct world_lane **lanes;
    size_t count;
    uint64_t delay_ns; /* of all links together */
    uint64_t slowest_bps;
};

const struct world_path *world_path_find(const struct world *w, const struct world_node *from,
                                         const struct world_node *to);

enum packet_kind {
    PACKET_HANDSHAKE,
    PACKET_DATA,
    PACKET_ACK,
    PACKET_FINISH,
    PACKET_RESET,
    PACKET_DATAGRAM
};

struct world_packet {
    struct world_packet *next;
    const struct world_path *path;
    struct world_conn *conn;     /* NULL: a datagram */
    uint16_t from_port, to_port; /* of a datagram */
    unsigned to;                 /* index of the end it goes to */
    enum packet_kind kind;
    unsigned step; /* handshake */
    size_t hop;
    size_t wire_size;
    uint64_t queued_ns, late_ns;
    uint64_t sent_ns, acked_bytes, consumed_bytes; /* acknowledgements */
    size_t size;
    uint8_t bytes[];
};

/* How many segments of TCP it stands for. */
uint64_t world_packet_segments(const struct world_packet *p);
/* Takes the packet to the far end of its connection's path, then calls world_conn_deliver(). */
void world_packet_send(struct world_packet *p);
void world_links_free(struct world *w);

/* ---- connections ----------------------------------------------------------------------------- */

/* What the program holds; goes with stream_free(), while the end may still have to say things. */
struct world_stream {
    struct stream stream; /* first */
    struct world_end *end;
};

struct world_end {
    struct world_conn *conn;
    unsigned index;
    struct world_node *node;
    struct world_stream *stream;   /* NULL: the program let go */
    const struct world_path *path; /* to the other end */
    bool is_ready_pending, is_reader_waiting, is_writer_waiting;
    struct alb_status failure;
    /* sending */
    struct buf unsent;
    uint64_t window_bytes, congestion_bytes;
    uint64_t sent_bytes, acked_bytes, other_consumed_bytes;
    bool is_finishing, is_finish_sent;
    uint64_t rtt_ns, min_rtt_ns; /* 0: not measured yet */
    uint64_t segments_sent, segments_received;
    uint64_t lost_segments, lost_bytes; /* sent again */
    uint64_t held_up_segments;          /* came behind one that was lost              */
    /* receiving */
    struct buf inbox;
    uint64_t received_bytes, consumed_bytes, reported_bytes;
    bool is_other_finished;
    uint64_t not_before_ns; /* a late segment holds up those behind it */
};

struct world_conn {
    struct world_conn *next, **self;
    struct world *world;
    uint64_t serial;     /* of this world, from 1 */
    unsigned references; /* ends the program holds, packets and events under way */
    uint16_t port;
    bool is_handshaken;
    struct world_end ends[2]; /* the dialler's, the acceptor's */
};

struct world_conn *world_conn_new(struct world *w, struct world_node *dialler,
                                  struct world_node *acceptor, uint16_t port);
void world_conn_ref(struct world_conn *c);
void world_conn_unref(struct world_conn *c);
void world_conn_free(struct world_conn *c); /* whatever still refers to it */
/* The program's handle of an end. */
struct world_stream *world_end_open(struct world_end *e);
struct world_packet *world_packet_new(struct world_end *from, enum packet_kind kind, size_t size);
void world_packet_free(struct world_packet *p);
void world_conn_deliver(struct world_packet *p);
void world_handshake_deliver(struct world_conn *c, unsigned step);
/* Fail what the program holds of this end, and tell it. */
void world_end_fail(struct world_end *e, struct alb_status st);
void world_end_notify(struct world_end *e);

/* ---- datagrams ------------------------------------------------------------------------------- */

struct alb_status world_open_datagram(struct loop *loop, const struct datagram_options *options,
                                      struct datagram **out);
bool world_find_host(struct loop *loop, const char *host, uint16_t port, struct address *out);
void world_datagram_deliver(struct world_packet *p);

/* ---- surroundings ---------------------------------------------------------------------------- */

struct alb_status world_open_netlink(struct loop *loop, struct netlink_view *view,
                                     struct netlink_source **out);
struct alb_status world_send_frame(struct loop *loop, const struct raw_frame *f);
struct alb_status world_open_mdns(struct loop *loop, struct mdns_socket **out);

struct stream *world_dial(struct loop *loop, const struct dial_options *options);
struct alb_status world_listen(struct loop *loop, const struct listen_options *options,
                               accept_fn accepted, void *arg, struct listener **out);
