/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law_parts.h – what the parts of the control law ask of each other; for law*.c only. */
#pragma once

#include "shaper/law.h"

#define LAW_S 1e9

static inline double law_seconds(uint64_t ns)
{
    return (double)ns / LAW_S;
}

static inline uint64_t law_ns(double seconds)
{
    return seconds <= 0 ? 0 : (uint64_t)(seconds * LAW_S);
}

static inline double law_least(double a, double b)
{
    return a < b ? a : b;
}

static inline double law_most(double a, double b)
{
    return a > b ? a : b;
}

/* Time since `then_ns`; never negative. */
static inline double law_since(uint64_t now_ns, uint64_t then_ns)
{
    return now_ns > then_ns ? law_seconds(now_ns - then_ns) : 0;
}

/* ---- law_delay.c: the base delay, the queue above it, and how noisy both are ---- */
void law_delay_reset(struct law_delay *d, uint64_t now_ns);
/* The queue that this sample stood in, in seconds; the base is kept. */
double law_delay_sample(struct law *l, const struct law_sample *s);
/* The base round trip, 0 while unknown. */
double law_base_s(const struct law *l);
/* From credit to bytes without a queue on their way: the base, and the queue that the credit
 * stands in on its own. */
double law_loop_s(const struct law *l);
/* Is the way back full?  Credit then comes out of its queue in bunches, and so do we. */
bool law_is_bunched(const struct law *l);
/* The whole range of the path's jitter. */
double law_noise_s(const struct law *l);
/* One packet of 1500 bytes at the capacity. */
double law_packet_s(const struct law *l);
double law_low_s(const struct law *l);  /* T_lo */
double law_high_s(const struct law *l); /* T_hi */
/* Ends an interval: the least queue of it, or the one before when no sample came. */
double law_delay_take(struct law *l);
/* The base is what is measured now (a longer route). */
void law_delay_rebase(struct law *l, uint64_t now_ns);
/* Has the queue stood still for long?  Keeps count. */
bool law_delay_is_flat(struct law *l, double queue_s, uint64_t now_ns);
/* p90-p10 of the newest samples, 0 while there are too few. */
double law_delay_spread(const struct law_delay *d);
/* The samples before the first step say how noisy the path is, if a whole window did not. */
void law_delay_settle(struct law *l);
/* A sample of a time without anybody. */
void law_delay_calm(struct law *l, double queue_s);
/* Samples so far (not counted for ever). */
unsigned law_delay_seen(const struct law_delay *d);

/* ---- law_flow.c: credit out, bytes in, and what the senders say ---- */
void law_flow_reset(struct law *l, uint64_t now_ns);
/* Ends an interval: its losses are counted. */
void law_flow_interval(struct law *l, uint64_t now_ns);
double law_delivered_bps(struct law *l, uint64_t from_ns, uint64_t to_ns);
double law_granted_bps(struct law *l, uint64_t from_ns, uint64_t to_ns);
uint64_t law_outstanding(const struct law *l);
/* The queue that our own outstanding bytes can make at the capacity. */
double law_own_queue_s(const struct law *l);
/* Do losses mean a full buffer here, rather than a bad line? */
bool law_losses_are_ours(const struct law *l);
/* Were there losses, and is not known yet what they mean?  Then stay below the capacity: those that
 * go on are not ours. */
bool law_is_judging(const struct law *l);
/* The most of it in the last `back_s`: a probe tells of a queue that was. */
double law_own_queue_lately_s(struct law *l, double back_s);

/* ---- law_decide.c: what an interval looked like, and what is not ours in it ---- */
struct law_view {
    uint64_t now_ns;
    double interval_s, round_s; /* a step upwards is seen a round later */
    double queue_s, low_s, high_s;
    double delivered_bps;      /* in it */
    double delivered_most_bps; /* in the newest three */
    double delivered_mean_bps;
    double paced_bps;    /* the least R of the last round trip */
    double asked_bps;    /* credit granted one RTT earlier */
    bool window_full;    /* W held the credit back */
    bool demand_limited; /* nobody asked for more */
    bool full;           /* losses are of a full buffer */
    bool coarse;         /* so few grants in an interval that rates say nothing */
    bool sender_limited, hole, sampled, blind, lost;
    double losses, loss_share; /* segments lost; of those that came */
};
void law_look(struct law *l, bool alarm, struct law_view *v, uint64_t now_ns);
void law_decide(struct law *l, const struct law_view *v);
void law_enter(struct law *l, enum law_state state, uint64_t now_ns);
/* Is the queue more than our bytes can explain? */
bool law_is_foreign(struct law *l, const struct law_view *v);
/* Do we get less than the link can do, although we asked? */
bool law_is_short(const struct law *l, const struct law_view *v);
/* How many share a line with us by what our sender says, we included: 1 if it says nothing. */
unsigned law_sisters(const struct law *l, uint64_t now_ns);
/* C, or what is our part of it. */
double law_part_bps(const struct law *l, uint64_t now_ns);
/* Is the line full of what is scavengers' as well? */
bool law_is_sisters(const struct law *l, const struct law_view *v);
double law_floor_bps(const struct law *l);
/* May others of our kind be here, and nobody tells? */
bool law_is_crowd(const struct law *l);
/* Is the ceiling a share of C?  Then C never comes whole, so nothing that lowered it could ever be
 * made good, and the share would shrink with each yield. */
bool law_is_shared(const struct law *l);
/* The least of policy's ceiling and the safe part, or a very large number. */
double law_ceiling_bps(const struct law *l);

/* ---- law.c ---- */
/* What is granted, and sent, at once at such a rate. */
double law_frame_bytes(const struct law *l, double bps);

/* ---- law_states.c: START and CRUISE ---- */
void law_start(struct law *l, const struct law_view *v);
void law_cruise(struct law *l, const struct law_view *v);
/* Does what is asked for come, or that share of it? */
bool law_follows(const struct law *l, const struct law_view *v, double share);
/* The next step upwards is a round from now. */
void law_next_round(struct law *l, const struct law_view *v);

/* ---- law_yield.c: YIELD and RECOVER ---- */
void law_yield(struct law *l, const struct law_view *v);
void law_recover(struct law *l, const struct law_view *v);
/* Somebody came before we were back: was the hold too long? */
void law_silence_ended(struct law *l, uint64_t now_ns);
void law_give_way(struct law *l, const struct law_view *v, enum law_reason reason);
double law_hold_s(const struct law *l); /* of silence before coming back, as things are */
/* Just back from a yield without a queue: without a push whatever is missing is not our fault. */
bool law_looks_only(const struct law *l, const struct law_view *v);

/* ---- law_knee.c: is it a slower link rather than somebody else? ---- */
void law_knee_begin(struct law *l, uint64_t now_ns);
void law_knee_measure(struct law *l, uint64_t now_ns);
/* While yielding: was the queue gone as soon as our bytes were? */
void law_knee_follow(struct law *l, const struct law_view *v);
/* Two like knees in a row are the capacity. */
bool law_knee_twice(struct law *l, uint64_t now_ns);
/* Does the ramp pass the rate at which we had to yield? */
bool law_knee_is_near(const struct law *l, uint64_t now_ns);
/* And is what comes now just that rate? */
bool law_knee_is_met(const struct law *l, const struct law_view *v);
