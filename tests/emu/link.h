/* SPDX-License-Identifier: Apache-2.0 */
/* emu/link.h – one direction of a link as pure arithmetic on (state, now): when does a packet
 * arrive?
 *
 *     offer → random loss → policer → queue (limit, flows, CoDel) → line (rate) → air (delay,
 *             jitter, pauses) → take
 *
 * The line works in virtual time: link_advance() lets it do all it would have done until `now`,
 * each packet beginning exactly where the one before it ended.  So the rate is exact by
 * construction, whenever the caller comes, and nothing has to be drained by a timer; only the
 * moment at which the caller takes a packet that is due is subject to the machine's noise.  A
 * caller who comes when link_due_ns() says misses nothing.
 *
 * Without `reorder` packets keep their order, also across changes of rate and delay.
 * No clock is read and nothing is allocated here; `now_ns` is monotonic and must not run back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/air.h"
#include "emu/loss.h"
#include "emu/packet_pool.h"
#include "emu/policer.h"
#include "emu/queue.h"

#define LINK_IDLE UINT64_MAX

struct link_params {
    uint64_t rate_bits;   /* bits per second, at least 1; headers of IP included, none below */
    uint64_t limit_bytes; /* of the queue, the packet on the line included; or, if 0, … */
    uint64_t limit_ns;    /* … in time at the current rate; or, if that is 0 too, … */
    uint32_t limit_packets;
    struct queue_params queue;
    struct loss_params loss;
    struct policer_params policer;
    struct air_params air;
    bool down; /* the cable is out: everything is lost */
};

enum link_verdict {
    LINK_PASS,    /* it is in the queue; there it may still be dropped for another's sake */
    LINK_CUT,     /* the link is down */
    LINK_LOST,    /* lost at random */
    LINK_POLICED, /* beyond the policer's rate */
    LINK_FULL,    /* tail drop */
};

/* All since the start. */
struct link_counts {
    uint64_t sent_bytes; /* left the line */
    uint64_t cut;        /* packets dropped: the link was down, or went down under them */
    uint64_t lost;
    uint64_t policed;
    uint64_t full; /* dropped because the queue was full */
};

struct link_backlog {
    uint64_t bytes; /* waiting, and what is left of the packet on the line */
    uint64_t ns;    /* to send them at the current rate, pauses apart */
};

struct link {
    struct link_params params;
    struct packet_pool *pool; /* borrowed */
    struct link_counts counts;
    struct loss loss;
    struct policer policer;
    struct queue queue;
    struct air air;
    uint64_t radio_seed;
    uint32_t on_line;  /* slot of the packet being sent, or PACKET_NONE */
    uint64_t free_ns;  /* the line is busy until then */
    uint64_t free_rem; /* fraction of a nanosecond beyond free_ns, in 1/rate_bits */
};

/* An idle link from `now_ns` on.  The same `seed` loses and delays the same packets; `radio_seed`
 * is of the pauses of the air. */
void link_init(struct link *link, struct packet_pool *pool, const struct link_params *params,
               uint64_t seed, uint64_t radio_seed, uint64_t now_ns);

/* Offer the packet in `slot`, whose data and bytes (IP header included) are set.  The link owns
 * the slot from now on and gives it back to the pool unless it passes.  A packet that finds the
 * line idle and nothing waiting always fits, however small the queue. */
enum link_verdict link_offer(struct link *link, uint32_t slot, uint64_t now_ns);

/* Do what the line would have done by `now_ns`. */
void link_advance(struct link *link, uint64_t now_ns);

/* When to come next at the latest: nothing can be due before.  LINK_IDLE: the link is empty. */
uint64_t link_due_ns(const struct link *link);

/* The slot of the next packet that is due at `now_ns`, now the caller's, or PACKET_NONE. */
uint32_t link_take(struct link *link, uint64_t now_ns);

/* Let `params` hold from `now_ns` on: the rest of the packet on the line goes at the new rate,
 * what waits follows by the new rules, and what has left the line keeps its arrival.  Going down
 * loses everything. */
void link_change(struct link *link, const struct link_params *params, uint64_t now_ns);

/* The line stands still for `pause_ns`; packets wait for it. */
void link_pause(struct link *link, uint64_t pause_ns, uint64_t now_ns);

struct link_backlog link_backlog(const struct link *link, uint64_t now_ns);

/* Packets dropped so far for whatever reason, by CoDel too. */
uint64_t link_dropped(const struct link *link);
