/* SPDX-License-Identifier: Apache-2.0 */
/* emu/link.h – one direction of a link as pure arithmetic on (state, now): when does a packet
 * arrive?
 *
 * The queue is not a queue but a time: `free_ns` is when the line will have sent everything
 * accepted so far.  A packet of L bytes that arrives at `now` begins at max(now, free_ns), takes
 * L / rate, and reaches the other end one fixed delay later.  Its backlog is free_ns − now.  So
 * the rate is exact by construction and nothing has to be drained by a timer; only the moment at
 * which the caller acts on `due_ns` is subject to the machine's noise.
 *
 * Packets are never reordered: due times do not decrease, also across changes of rate and delay.
 * No clock is read and nothing is allocated here; `now_ns` is monotonic and must not run back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct link_params {
    uint64_t rate_bits;   /* bits per second, at least 1; headers of IP included, none below */
    uint64_t delay_ns;    /* one way, beyond the time on the line */
    uint64_t queue_bytes; /* tail-drop limit in bytes … */
    uint64_t queue_ns;    /* … or, when queue_bytes is 0, in time at the current rate */
    double loss;          /* share of packets lost at random before the queue, 0 to 1 */
    bool down;            /* the cable is out: everything is lost */
};

enum link_verdict {
    LINK_PASS, /* will arrive at due_ns */
    LINK_CUT,  /* the link is down */
    LINK_LOST, /* lost at random */
    LINK_FULL, /* tail drop */
};

struct link_times {
    uint64_t depart_ns; /* the last bit leaves the queue */
    uint64_t due_ns;    /* the last bit arrives at the other end */
};

struct link {
    struct link_params params;
    uint64_t free_ns;     /* the line is busy until then */
    uint64_t free_rem;    /* fraction of a nanosecond beyond free_ns, in 1/rate_bits */
    uint64_t last_due_ns; /* no later packet may arrive before this one */
    uint64_t random;      /* state of the generator behind `loss` */
};

/* What a change did, for link_retime(). */
struct link_change {
    uint64_t at_ns;
    double stretch; /* old rate over new rate */
};

/* An idle link.  The same `seed` loses the same packets. */
void link_init(struct link *link, const struct link_params *params, uint64_t seed);

/* Offer a packet of `bytes` (IP header included) to the link.  Fills `times` only on LINK_PASS.
 * A packet that finds the line idle always fits, however small the queue. */
enum link_verdict link_offer(struct link *link, uint32_t bytes, uint64_t now_ns,
                             struct link_times *times);

/* Let `params` hold from `now_ns` on.  What still waits in the queue leaves at the new rate with
 * the new delay: call link_retime() for each packet not yet delivered, oldest first.  What has
 * left the queue keeps its arrival.  After a change to `down` the caller discards all of them. */
struct link_change link_change(struct link *link, const struct link_params *params,
                               uint64_t now_ns);
void link_retime(struct link *link, const struct link_change *change, struct link_times *times);
