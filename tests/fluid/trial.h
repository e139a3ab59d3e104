/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/trial.h – one run of a law on one link beside one kind of foreground, and its figures. */
#pragma once

#include "fluid/ours.h"
#include "fluid/pipe.h"

enum foreground { FG_NONE, FG_CUBIC, FG_BBR, FG_WEB, FG_UPLOAD, FG_RANDOM };
enum { TRIAL_BINS = 36100, TRIAL_CHANGES = 2 };

struct trial {
    const char *name;
    struct link_shape down, up;
    enum foreground foreground;
    double fg_from_s, fg_to_s, end_s;
    double from_s; /* of the idle time that is judged, up to fg_from_s */
    unsigned sessions, controllers;
    bool call;   /* a telephone call from from_s on */
    bool no_owd; /* UDP is blocked: the probe is a PING, which knows no way alone */
    enum law_hold hold;
    uint64_t ceiling_bps;
    double demand_bps, drift;
    struct change {
        double at_s, rate_bps, delay_s; /* 0: unchanged */
    } changes[TRIAL_CHANGES];
    uint64_t seed;
};

/* The figures, each a number of a run; all but `bins` can be asked for by name. */
enum figure {
    FIG_USE, /* of the link while nobody else wants it */
    FIG_P50, /* RTT inflation in that time, seconds */
    FIG_P95,
    FIG_P99,
    FIG_SHARE,    /* what the foreground keeps of what it has alone */
    FIG_YIELD,    /* seconds until we are below a tenth, for a second */
    FIG_RECOVER,  /* seconds until we are above 80 % again */
    FIG_AFTER,    /* our part of the link from 3 s after the foreground began */
    FIG_JAIN,     /* fairness among our own */
    FIG_PAGE_30K, /* inflation of the median page time, and of its 95th percentile */
    FIG_PAGE_300K,
    FIG_PAGE_2M,
    FIG_PAGE95_30K,
    FIG_PAGE95_300K,
    FIG_PAGE95_2M,
    FIG_HARVEST, /* of what the foreground leaves */
    FIG_CALL95,  /* inflation of a telephone packet's delay, seconds */
    FIG_CALL_LOSS,
    FIG_BASE,  /* largest error of the base delay, seconds */
    FIG_ABOVE, /* most above the ceiling, a share */
    FIG_STALL, /* longest time without a byte, seconds */
    FIG_DOWN,  /* seconds until 80 % of a new rate, first change and second */
    FIG_UP,
    FIG_DURING, /* our part of the link while the foreground uploads */
    FIGURES
};
#define FIGURE_NEVER 999.0

struct figures {
    double of[FIGURES];
    double bins[TRIAL_BINS]; /* our part of the link, each tenth of a second */
    double fg_bins[TRIAL_BINS];
    unsigned bin_count;
};

/* A link of `rate` bit/s, `rtt` and `buffer` seconds of queue, nothing else. */
struct trial trial_of(const char *name, double rate_bps, double rtt_s, double buffer_s);
/* The name of a figure, and whether more of it is better. */
const char *figure_name(enum figure f);
bool figure_is_good_high(enum figure f);
/* Runs it with `law`; what the foreground has alone is measured first. */
void trial_run(const struct trial *t, const struct fluid_law *law, struct figures *out);
/* The median of each figure over `runs` that differ in when things happen. */
void trial_median(const struct trial *t, const struct fluid_law *law, unsigned runs,
                  double out[FIGURES]);
/* Mean of our share of the link (or the foreground's) between two times. */
double figures_mean(const struct figures *f, const double *bins, double from_s, double to_s);
