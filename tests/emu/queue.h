/* SPDX-License-Identifier: Apache-2.0 */
/* emu/queue.h – the packets in front of the line: one queue or one for each flow, with or without
 * CoDel.
 *
 * With `fair`, packets are hashed by their 5-tuple into QUEUE_FLOWS queues that are served by
 * deficit round robin, a packet's worth of bytes a turn, flows that were idle first (RFC 8290);
 * with CoDel each of them has its own.  How much fits is for the link to say: it knows the rate.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/codel.h"
#include "emu/packet_pool.h"

#define QUEUE_FLOWS 1024u /* as RFC 8290 has it */

enum queue_ecn {
    QUEUE_ECN_OFF,   /* CoDel drops, whatever the sender said; the field passes */
    QUEUE_ECN_MARK,  /* CoDel marks where it may */
    QUEUE_ECN_CLEAR, /* the link clears the field of every packet */
};

struct queue_params {
    bool fair;
    struct codel_params codel;
    enum queue_ecn ecn;
};

/* A list of flows with something to send, by their numbers. */
struct queue_turns {
    uint32_t first, last; /* QUEUE_FLOWS: none */
};

struct queue_flow {
    uint32_t first, last; /* slots; PACKET_NONE: empty */
    uint32_t next;        /* the flow after this one on its list */
    int64_t credit_bytes; /* what it may still send in this turn */
    uint64_t bytes;
    struct codel codel;
    bool is_listed;
};

struct queue {
    struct packet_pool *pool; /* borrowed */
    uint64_t seed;            /* of the flows' hash */
    uint64_t bytes;
    uint32_t packets;
    uint64_t dropped; /* by CoDel, so far */
    uint64_t marked;
    struct queue_turns fresh, old;
    struct queue_flow flows[QUEUE_FLOWS];
};

void queue_init(struct queue *queue, struct packet_pool *pool, uint64_t seed);

/* Append the packet in `slot`, whose `came_ns` and `bytes` are set. */
void queue_push(struct queue *queue, const struct queue_params *params, uint32_t slot);

/* The packet that goes next at `now_ns`, or PACKET_NONE.  What CoDel drops on the way goes back
 * to the pool. */
uint32_t queue_pop(struct queue *queue, const struct queue_params *params, uint64_t now_ns);

/* Drop the oldest packet of the flow that has most bytes waiting.  The queue is not empty. */
void queue_drop_fattest(struct queue *queue);

/* Drop all; how many. */
uint32_t queue_clear(struct queue *queue);
