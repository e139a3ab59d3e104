/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/sweep.c – rates, round trips and buffers crossed with kinds of line. */
#include "fluid/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static const double rates_bps[] = {0.5e6, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6, 100e6, 200e6};
static const double trips_s[] = {0.005, 0.010, 0.020, 0.040, 0.080, 0.150, 0.300};
static const double buffers[] = {0.25, 0.5, 1, 2, 4}; /* round trips */
enum { LEAST_PACKETS = 6, LINKS = 9 * 7 * 5 };

struct kind {
    const char *name;
    enum discipline discipline;
    double jitter_s, loss;
};
static const struct kind kinds[] = {
    {"plain", QUEUE_FIFO, 0, 0},
    {"jitter 5 ms", QUEUE_FIFO, 0.005, 0},
    {"jitter 20 ms", QUEUE_FIFO, 0.020, 0},
    {"loss 0.1 %", QUEUE_FIFO, 0, 0.001},
    {"loss 1 %", QUEUE_FIFO, 0, 0.01},
    {"CoDel", QUEUE_CODEL, 0, 0},
    {"policer", QUEUE_POLICER, 0, 0},
};

static const enum figure watched[] = {FIG_USE,   FIG_P95,     FIG_SHARE, FIG_YIELD,
                                      FIG_AFTER, FIG_RECOVER, FIG_STALL, FIG_BASE};
enum { WATCHED = sizeof(watched) / sizeof(watched[0]) };

struct result {
    double rate_bps, rtt_s, buffer;
    double of[WATCHED];
};

static struct trial trial_at(const struct kind *k, const struct result *at)
{
    double least_s = LEAST_PACKETS * 12000 / at->rate_bps;
    struct trial t =
        trial_of(k->name, at->rate_bps, at->rtt_s, fmax(at->buffer * at->rtt_s, least_s));
    t.foreground = FG_CUBIC;
    t.fg_from_s = 40;
    t.fg_to_s = 60;
    t.end_s = 80;
    t.from_s = 20;
    t.down.discipline = k->discipline;
    t.down.jitter_s = t.up.jitter_s = k->jitter_s;
    t.down.loss = k->loss;
    return t;
}

static unsigned sorted_by;

static int compare(const void *a, const void *b)
{
    const struct result *x = a, *y = b;
    double d = x->of[sorted_by] - y->of[sorted_by];
    d = figure_is_good_high(watched[sorted_by]) ? d : -d;
    return (d > 0) - (d < 0);
}

static void print_result(const struct result *r)
{
    printf("    %6.1fM %4.0f ms %4.2f:", r->rate_bps / 1e6, r->rtt_s * 1e3, r->buffer);
    for (unsigned i = 0; i < WATCHED; i++)
        printf(" %s %.3g", figure_name(watched[i]), r->of[i]);
    printf("\n");
}

static void print_kind(const struct kind *k, struct result *all, unsigned worst)
{
    printf("%s\n", k->name);
    for (sorted_by = 0; sorted_by < WATCHED; sorted_by++) {
        qsort(all, LINKS, sizeof(*all), compare);
        printf("  %-8s worst %.3g, a twentieth beyond %.3g, median %.3g\n",
               figure_name(watched[sorted_by]), all[0].of[sorted_by], all[LINKS / 20].of[sorted_by],
               all[LINKS / 2].of[sorted_by]);
        for (unsigned i = 0; i < worst && i < LINKS; i++)
            print_result(&all[i]);
    }
}

void sweep_print(const struct fluid_law *law, unsigned worst)
{
    struct figures *f = xcalloc(1, sizeof(*f));
    struct result *all = xcalloc(LINKS, sizeof(*all));
    for (size_t k = 0; k < ALB_COUNT(kinds); k++) {
        for (unsigned i = 0; i < LINKS; i++) {
            all[i] = (struct result){.rate_bps = rates_bps[i % 9],
                                     .rtt_s = trips_s[i / 9 % 7],
                                     .buffer = buffers[i / 63]};
            struct trial t = trial_at(&kinds[k], &all[i]);
            trial_run(&t, law, f);
            for (unsigned j = 0; j < WATCHED; j++)
                all[i].of[j] = f->of[watched[j]];
        }
        print_kind(&kinds[k], all, worst);
    }
    free(all);
    free(f);
}
