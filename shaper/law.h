/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law.h – how fast the scavenger may go now: a control law, a pure function of events.
 *
 * One `struct law` stands for one bottleneck.  It is told what happens (a probe came back, credit
 * was granted, bytes arrived, a sender's stamp) and answers with a rate R, a window W that the
 * credit outstanding must not exceed, and the reason.  No clock, no I/O, no memory of its own:
 * `now_ns` is a monotonic time that the caller passes in and that never goes back.
 *
 * Two signals decide, never one alone.  *Delay*: how long a probe stands in the queue, above the
 * smallest ever seen.  *Whose queue it is*: the credit outstanding says how many of our own bytes
 * can be in it, and the delivered rate says what share of the link's capacity C we still get.  Our
 * own queue is trimmed by a tenth; to somebody else's we give way at once, down to a floor.
 *
 *     START → CRUISE ⇄ (trim)          CRUISE → YIELD → (queue gone for `hold`) → RECOVER → CRUISE
 *
 * Rates are bits per second of what on_granted() and on_delivered() count (body bytes).
 * Several connections through one bottleneck share one law: sum their bytes.
 * Every constant stands in shaper/law_constants.def.  Nothing here can fail.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shaper/law_state.h"

#define LAW_NO_OWD INT64_MIN
#define LAW_UNLIMITED UINT64_MAX
enum { LAW_TEXT_SIZE = 160 };

struct law_options {
    uint64_t now_ns;
    uint64_t base_rtt_ns;                  /* remembered of this path (keep it 24 h); 0: unknown */
    uint64_t capacity_bps;                 /* likewise; 0: unknown */
    const struct law_constants *constants; /* NULL: law_constants_default */
};

struct law_sample {
    uint64_t at_ns;  /* when it was known here */
    uint64_t rtt_ns; /* 0: not known (a stamp gives only the one-way delay) */
    int64_t owd_ns;  /* sender's clock to ours, any offset; LAW_NO_OWD: not known */
};

/* The sender's counters, as of its newest stamp; cumulative ones are of one connection (`stream`:
 * any number below LAW_STREAMS). */
struct law_stamp {
    unsigned stream;
    uint64_t retransmitted; /* segments, cumulative */
    bool sender_limited;    /* it had credit but nothing ready: disk, its own sources */
    bool policy_limited;    /* its own shaper held it back */
    uint64_t aggregate_bps; /* all it sends to its scavengers on that egress; 0: not known */
    unsigned sisters;       /* receivers that share that aggregate, us included; 0: not known */
};

void law_init(struct law *l, const struct law_options *options);
/* `struct law_terms` (law_state.h) is what policy says; all zero is no ceiling and no hurry. */
void law_set_terms(struct law *l, const struct law_terms *terms, uint64_t now_ns);

/* A delay measurement; a sample that came is also the end of a run of lost ones. */
void law_on_sample(struct law *l, const struct law_sample *sample);
/* A probe that was never answered. */
void law_on_lost(struct law *l, uint64_t now_ns);
/* Credit given to senders. */
void law_on_granted(struct law *l, uint64_t bytes, uint64_t now_ns);
/* Bytes of it that arrived. */
void law_on_delivered(struct law *l, uint64_t bytes, uint64_t now_ns);
/* Credit that will never be used: the session closed, the stream was reset. */
void law_on_forfeit(struct law *l, uint64_t bytes, uint64_t now_ns);
/* Another connection has this number from now on. */
void law_on_stream(struct law *l, unsigned stream);
void law_on_stamp(struct law *l, const struct law_stamp *stamp, uint64_t now_ns);
/* Segments arrived out of order: what is behind the hole is here but not yet delivered. */
void law_on_hole(struct law *l, uint64_t now_ns);
/* Resumed from suspend, or a cable came back: everything measured is old. */
void law_on_resume(struct law *l, uint64_t now_ns);
/* Another route, address or link: the base delay and the capacity are of another path. */
void law_on_path_change(struct law *l, uint64_t now_ns);

/* Decide.  May be called at any time; it does nothing before law_next_ns(). */
struct law_verdict law_tick(struct law *l, uint64_t now_ns);
/* When law_tick() is due: in the past when a sample just raised an alarm: ask after each. */
uint64_t law_next_ns(const struct law *l);

/* "yield: queue 23 ms, delivered 41 % of 9.6 Mbit/s"; `out` holds LAW_TEXT_SIZE; returned. */
const char *law_reason_text(const struct law_verdict *v, char *out, size_t size);
const char *law_state_name(enum law_state state);
/* "foreign-queue", …: the stable word of a reason, for logs and JSON. */
const char *law_reason_name(enum law_reason reason);

/* The table of constants, to print: row `i`, or false at the end. */
struct law_constant {
    const char *name;
    double value;
    const char *unit;
    const char *why;
};
bool law_constant_at(const struct law_constants *c, size_t i, struct law_constant *out);
