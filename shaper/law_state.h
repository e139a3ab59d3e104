/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law_state.h – what the control law knows; its fields belong to law*.c alone.
 *
 * It is a header because the storage of a `struct law` is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LAW_BASE_BUCKETS = 10,
    LAW_SLOTS = 256,
    LAW_SPREAD_SAMPLES = 20,
    LAW_CALM_SAMPLES = 8, /* of several short silences */
    LAW_SPREADS = 5,
    LAW_BACKS = 4,
    LAW_RATES = 8,
    LAW_PACES = 64,
    LAW_STREAMS = 16,
    LAW_WHILES = 16,
};

enum law_state { LAW_START, LAW_CRUISE, LAW_YIELD, LAW_RECOVER, LAW_CAPPED, LAW_OFF };

enum law_hold {
    LAW_HOLD_NORMAL,    /* half a second of silence before coming back */
    LAW_HOLD_HARVEST,   /* use the gaps between page loads */
    LAW_HOLD_INVISIBLE, /* seconds of silence */
};

enum law_reason {
    LAW_BECAUSE_STARTING,      /* looking for the capacity */
    LAW_BECAUSE_LATECOMER,     /* the queue moved before we sent: somebody was here first */
    LAW_BECAUSE_ROOM,          /* no queue: a little more */
    LAW_BECAUSE_STEADY,        /* a short queue: hold, or a little less */
    LAW_BECAUSE_OWN_QUEUE,     /* trimmed: the queue is ours */
    LAW_BECAUSE_SISTER_QUEUE,  /* trimmed: the queue is that of other flows of our sender */
    LAW_BECAUSE_FOREIGN_QUEUE, /* gave way: more queue than our bytes can make, or less delivered */
    LAW_BECAUSE_SHORTFALL,     /* gave way: delivered less than the link can do, again and again */
    LAW_BECAUSE_LOSS,          /* gave way: losses while the queue is short, and a shortfall */
    LAW_BECAUSE_PROBES_LOST,   /* gave way: nothing comes back */
    LAW_BECAUSE_HOLDING,       /* waiting for silence */
    LAW_BECAUSE_RECOVERING,    /* silence: back towards the capacity */
    LAW_BECAUSE_NEW_CAPACITY,  /* the same knee again: the link has become slower */
    LAW_BECAUSE_NEW_BASE,      /* a constant delay of an idle path: the route has become longer */
    LAW_BECAUSE_CEILING,       /* policy's ceiling */
    LAW_BECAUSE_CROWD,         /* a safe part: nobody tells how many share the line */
    LAW_BECAUSE_COMPANY,       /* a part: somebody comes and goes */
    LAW_BECAUSE_OFF,           /* policy says no */
    LAW_BECAUSE_INSISTING,     /* policy says so, whatever the queue */
    LAW_BECAUSE_IDLE,          /* little was asked of us: nothing learned */
    LAW_BECAUSE_SENDER,        /* the sender is slower than the credit */
    LAW_BECAUSE_BLIND,         /* no delay was measured lately */
    LAW_BECAUSE_RESUMED,       /* just woke up */
};

/* What policy says; all zero is "no ceiling, the smallest floor, normal". */
struct law_terms {
    uint64_t ceiling_bps;     /* 0: none */
    uint64_t floor_bps;       /* what we keep while yielding; 0: the constant floor_bps */
    unsigned ceiling_percent; /* of the measured capacity; 0: none */
    uint64_t max_queue_ns;    /* bounds T_hi, down to what can be told from T_lo; 0: none */
    unsigned crowd;           /* so many of our kind may share the line, and no stamp tells: the
                               * safe part is one of them; 0: no */
    bool off;                 /* rate 0, window 0 */
    bool insist;              /* do not give way: the ceiling is the rate (capped, full) */
    enum law_hold hold;
};

struct law_verdict {
    enum law_state state;
    enum law_reason reason;
    uint64_t rate_bps;        /* pace of the credit; LAW_UNLIMITED: none */
    uint64_t window_bytes;    /* credit outstanding stays below this; LAW_UNLIMITED: no bound */
    uint64_t quantum_bytes;   /* a good size of one grant */
    unsigned connections;     /* how many in parallel carry it best, 1–4 */
    uint64_t probe_period_ns; /* how often to measure */
    uint64_t queue_ns;        /* figures for the text */
    uint64_t own_queue_ns;    /* how much of it our own bytes can be */
    uint64_t queue_most_ns;   /* T_hi: what is above it is somebody's */
    uint64_t base_rtt_ns;
    uint64_t delivered_bps;
    uint64_t capacity_bps; /* 0: not known yet */
    uint64_t hold_ns;      /* silence still to wait for, while yielding */
};

struct law_constants {
#define LAW_CONSTANT(name, value, unit, why) double name;
#include "shaper/law_constants.def"
#undef LAW_CONSTANT
};

extern const struct law_constants law_constants_default;

/* The smallest value of the last LAW_BASE_BUCKETS periods. */
struct law_minimum {
    int64_t buckets[LAW_BASE_BUCKETS]; /* INT64_MAX: nothing seen in it */
    unsigned newest;
    uint64_t newest_began_ns;
    int64_t least; /* of all; INT64_MAX: nothing yet */
};

struct law_delay {
    struct law_minimum rtt, owd;
    double fresh_s;           /* least queue since the last interval; negative: no sample */
    double before_s[2];       /* of the two before */
    double back_s[LAW_BACKS]; /* queue on the way back, of the newest samples; ring */
    double back_least_s, back_most_s;
    unsigned back_next;
    double newest_s;    /* queue of the newest sample */
    double queue_s;     /* of the last interval that had a sample */
    uint64_t sample_ns; /* the newest */
    uint64_t first_ns;  /* the first since the path was new */
    uint64_t calm_ns;   /* since when every sample was at most T_lo; 0: it is not calm */
    uint64_t low_ns;    /* when a sample last stood within dip_margin of the base */
    double window[LAW_SPREAD_SAMPLES];
    double calm[LAW_CALM_SAMPLES];
    unsigned window_count, calm_count, seen, spread_count;
    double spreads_s[LAW_SPREADS]; /* of the newest windows, as jitter; ring */
    double least_spread_s;         /* of the windows in this state, as jitter */
    uint64_t least_since_ns;
    double noise_s;   /* the path's own jitter */
    double deepest_s; /* the highest queue seen, slowly forgotten */
    double peak_s;    /* likewise, within the newest few samples */
    bool lossy_queue; /* a loss was seen at the deepest: that is the buffer */
    unsigned lost_run;
    uint64_t lost_since_ns;
    double flat_low_s, flat_high_s; /* extremes since flat_since_ns */
    uint64_t flat_since_ns;
};

struct law_slot {
    uint64_t granted, delivered;
};

struct law_flow {
    struct law_slot slots[LAW_SLOTS]; /* cumulative counts as of the end of each slot */
    uint64_t slot;                    /* number of the newest: its time / slot_ns */
    uint64_t first_slot;
    uint64_t granted, delivered, forfeited; /* bytes since the beginning */
    uint64_t hole_until_ns;
    uint64_t limited_until_ns; /* the sender said that it was limited */
    uint64_t retransmitted[LAW_STREAMS];
    bool stamped[LAW_STREAMS];
    double losses;             /* new retransmissions since the last interval */
    double whiles[LAW_WHILES]; /* share of the segments lost, of some thousand each */
    unsigned while_count, while_next;
    double strange; /* intervals lately with losses that we did not push for */
    double while_losses, while_segments, clean_segments;
    uint64_t while_delivered, pushed_ns;
    uint64_t aftermath_ns, lossy_ns; /* a start's overshoot is sent again until then; newest loss */
    double congested;                /* share of losses that were of a full buffer, smoothed */
    uint64_t random_ns;              /* the newest loss without a queue */
    uint64_t aggregate_bps;
    unsigned sisters;
    uint64_t aggregate_ns;
    uint64_t busy_ns; /* when credit was last granted */
};

struct law {
    const struct law_constants *c;
    struct law_terms terms;
    struct law_delay delay;
    struct law_flow flow;
    enum law_state state;
    enum law_reason reason;
    double rate_bps;
    double capacity_bps;       /* 0: not known */
    double aggregate_max_bps;  /* the most that sisters were seen to get together, as a mean */
    double aggregate_mean_bps; /* what they get now; 0: there are none */
    double rates[LAW_RATES];   /* delivered in the newest intervals, ring */
    unsigned rate_count;
    double paces[LAW_PACES];             /* R of the newest intervals, ring */
    uint64_t tick_ns, next_ns, round_ns; /* last and next interval; next step upwards */
    uint64_t began_ns, trim_ns, state_ns;
    bool alarm, waiting;     /* waiting: START, before its first step */
    double best_bps;         /* delivered since the last return, without a queue */
    bool company;            /* somebody comes and goes: stay small, and be back sooner */
    bool proven;             /* C, or nearly, has come for a while: it is not the start's guess */
    bool unseen;             /* the last yield was without a queue: a shortfall, losses */
    unsigned vain, silences; /* returns that were not worth it; gaps missed since */
    double proof_bps;        /* delivered when the step last grew */
    double growth;           /* next step upwards at the capacity */
    unsigned shortfalls, trims;
    double hold_s;
    uint64_t yield_ns, recover_ns, progress_ns;
    struct law_settling { /* is C what comes, at its best? */
        uint64_t began_ns;
        unsigned seen, queued; /* intervals; with a queue */
        double best_bps;
    } settling;
    double suspect_bps;  /* the rate before a first sign of foreign queue; 0: none */
    uint64_t suspect_ns; /* the first sign, or the newest look after it */
    unsigned suspect_looks;
    double cruise_bps;     /* the best that came over a while in this CRUISE */
    unsigned cruise_count; /* intervals of it */
    uint64_t knee_ns;      /* C was taken from a knee; 0: never */
    struct law_knee {
        double bps, before_bps; /* what the link gave when we had to yield, and the time before */
        uint64_t at_ns, before_ns;
        bool queued, drained, before_drained;
    } knee;
    bool knee_pending; /* being measured: */
    uint64_t knee_target, knee_bytes, knee_began_ns;
    uint64_t cautious_until_ns; /* after resume */
    unsigned connections;
    uint64_t starved_ns, connected_ns; /* since when a loss-bound carrier lags; last change */
    uint64_t dip_until_ns;
    struct law_verdict verdict;
};
