/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/world.h – links, flows and a clock in virtual time: a packet model of one bottleneck.
 *
 * A world has two links, DOWN (towards the site) and UP.  Whatever happens is an event of one of a
 * few actors (a link's transmitter, a link's delay line, a flow's timer, a controller), and the
 * world always runs the earliest.  Same seed, same run.  Packets of fast links are larger than
 * 1500 bytes (the world's `mss`), so that a run costs about as much on any link.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum direction { DOWN, UP, DIRECTIONS };
enum packet_kind { PACKET_DATA, PACKET_ACK, PACKET_CREDIT, PACKET_PROBE, PACKET_PING, PACKET_CALL };
enum discipline { QUEUE_FIFO, QUEUE_CODEL, QUEUE_FQ, QUEUE_POLICER };
enum { WORLD_FLOWS = 24, WORLD_OURS = 4, HEADER_BYTES = 52 };

struct packet {
    enum packet_kind kind;
    unsigned flow;     /* pipe, caller or controller */
    uint32_t size;     /* on the wire */
    uint32_t position; /* CREDIT: which session */
    uint64_t seq;      /* DATA: segment; CREDIT: bytes; PROBE, PING, CALL: number */
    uint64_t tx;       /* DATA, ACK: number of the transmission */
    uint64_t edge;     /* ACK: first segment not yet there */
    uint64_t sent_ns, turned_ns, queued_ns;
};

struct packet_ring {
    struct packet *items;
    size_t size, first, count;
};

struct link_shape {
    double rate_bps; /* 0: no queue, only delay */
    double delay_s, jitter_s, loss;
    double loss_burst;             /* mean length of a run of lost packets, 0 or 1: single */
    double stall_s, stall_every_s; /* what arrives in a stall comes at its end; 0: none */
    double buffer_bytes;
    enum discipline discipline;
};

struct link {
    struct link_shape shape;
    struct packet_ring queues[WORLD_FLOWS + 1]; /* FIFO and CoDel use the first */
    double deficit[WORLD_FLOWS + 1];
    unsigned turn;
    double queued_bytes;
    uint64_t free_ns; /* when the transmitter is done; UINT64_MAX: nothing to send */
    struct packet sending;
    bool busy, in_burst;
    struct packet_ring line; /* on its way: queued_ns is when it arrives */
    uint64_t line_last_ns;
    uint64_t stall_ns, stalled_until_ns; /* the next stall, or the newest */
    double tokens;                       /* of a policer */
    uint64_t tokens_ns;
    uint64_t codel_above_ns, codel_next_ns;
    unsigned codel_count;
    bool codel_dropping;
    uint64_t sent_bytes, dropped, dropped_calls;
};

struct world {
    uint64_t now_ns, seed;
    uint32_t mss; /* payload of a full segment */
    struct link links[DIRECTIONS];
    struct pipe *pipes[WORLD_FLOWS];
    unsigned pipe_count;
    struct ours *ours[WORLD_OURS];
    unsigned ours_count;
    struct { /* what a sender of all of ours says to them, a look ago */
        uint64_t look_ns, sent_bytes, recent_bytes[5], bps, told_bps;
        unsigned looks, sisters, told_sisters;
    } aggregate;
    struct caller *callers[2]; /* the ping, the telephone */
};

/* A packet's payload is chosen for `rate_bps`; the shapes may be changed while it runs. */
struct world *world_new(const struct link_shape *down, const struct link_shape *up, uint64_t seed);
struct world *world_free(struct world *w);
void world_run(struct world *w, double until_s);
double world_random(struct world *w); /* [0, 1) */
void world_send(struct world *w, enum direction d, const struct packet *p);
double world_seconds(const struct world *w);
/* The queue in front of a new packet, seconds. */
double link_queue_s(const struct link *l);

/* fluid/link.c */
void link_release(struct link *l);
void link_push(struct world *w, struct link *l, const struct packet *p);
void link_transmit(struct world *w, struct link *l); /* what was being sent is out */
uint64_t link_arrival_ns(const struct link *l);
struct packet link_take(struct link *l);

/* Callers send small packets at a steady pace and note the delays. */
struct caller {
    enum packet_kind kind; /* PING goes up and comes back, CALL only comes down */
    double every_s;
    uint32_t size;
    uint64_t next_ns, sent, came;
    double from_s, to_s; /* delays are kept of this time */
    double *delays_s;
    size_t count, room;
};
struct caller *caller_new(struct world *w, enum packet_kind kind, double every_s, uint32_t size);
double caller_percentile(struct caller *c, double share); /* above the least, seconds */
