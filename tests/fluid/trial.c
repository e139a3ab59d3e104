/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/trial.c – sets a world up, lets it run, and reads off what the matrix asks for. */
#include "fluid/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static const double bin_s = 0.1;

struct trial trial_of(const char *name, double rate_bps, double rtt_s, double buffer_s)
{
    struct trial t = {.name = name, .sessions = 1, .controllers = 1, .seed = 1};
    t.down = (struct link_shape){.rate_bps = rate_bps, .delay_s = rtt_s / 2};
    t.down.buffer_bytes = fmax(3000, rate_bps * buffer_s / 8);
    t.up = (struct link_shape){.delay_s = rtt_s / 2};
    t.from_s = 10;
    t.fg_from_s = 25;
    t.fg_to_s = 45;
    t.end_s = 65;
    return t;
}

const char *figure_name(enum figure f)
{
    static const char *const names[FIGURES] = {
        "use",        "p50",         "p95",       "p99",     "share",    "yield",
        "recover",    "after",       "jain",      "page30k", "page300k", "page2M",
        "page95-30k", "page95-300k", "page95-2M", "harvest", "call95",   "call-loss",
        "base",       "above",       "stall",     "down",    "up",       "during"};
    return names[f];
}

bool figure_is_good_high(enum figure f)
{
    return f == FIG_USE || f == FIG_SHARE || f == FIG_JAIN || f == FIG_HARVEST || f == FIG_DURING;
}

static struct pipe *foreground_new(struct world *w, const struct trial *t)
{
    enum direction d = t->foreground == FG_UPLOAD ? UP : DOWN;
    struct pipe *p = pipe_new(w, d, t->foreground == FG_BBR ? BBR : CUBIC);
    if (t->foreground == FG_WEB) {
        web_begin(w, p, 1);
        p->stop_ns = (uint64_t)(t->fg_to_s * 1e9);
    } else {
        pipe_give(w, p, PIPE_ENDLESS);
    }
    return p;
}

static void toggle(struct world *w, struct pipe *fg)
{
    if (fg->limit == PIPE_ENDLESS) {
        pipe_stop(fg);
        return;
    }
    pipe_reconnect(w, fg);
    pipe_give(w, fg, PIPE_ENDLESS);
}

static void apply_changes(struct world *w, const struct trial *t, double from_s, double to_s)
{
    for (unsigned i = 0; i < TRIAL_CHANGES; i++) {
        const struct change *c = &t->changes[i];
        if (c->at_s < from_s || c->at_s >= to_s)
            continue;
        if (c->rate_bps > 0)
            w->links[DOWN].shape.rate_bps = c->rate_bps;
        if (c->delay_s > 0)
            w->links[DOWN].shape.delay_s = c->delay_s;
    }
}

static double link_goodput(const struct world *w)
{
    return w->links[DOWN].shape.rate_bps * w->mss / (w->mss + HEADER_BYTES);
}

static uint64_t ours_delivered(const struct world *w)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < w->ours_count; i++)
        sum += w->ours[i]->delivered;
    return sum;
}

static void watch(struct world *w, const struct trial *t, struct figures *out)
{
    double base_s = w->links[DOWN].shape.delay_s + w->links[UP].shape.delay_s;
    for (unsigned i = 0; i < w->ours_count; i++) {
        const struct law_verdict *v = &w->ours[i]->verdict;
        if (world_seconds(w) > t->from_s && v->base_rtt_ns > 0)
            out->of[FIG_BASE] =
                fmax(out->of[FIG_BASE], fabs((double)v->base_rtt_ns / 1e9 - base_s));
        if (t->ceiling_bps > 0 && v->rate_bps > t->ceiling_bps)
            out->of[FIG_ABOVE] =
                fmax(out->of[FIG_ABOVE], (double)v->rate_bps / (double)t->ceiling_bps - 1);
    }
}

static double jain(const struct world *w)
{
    double sum = 0, squares = 0;
    unsigned count = 0;
    for (unsigned i = 0; i < w->ours_count; i++)
        for (unsigned s = 0; s < w->ours[i]->sessions; s++, count++) {
            double x = (double)(w->ours[i]->session_bytes[s] - w->ours[i]->session_before[s]);
            sum += x;
            squares += x * x;
        }
    return count == 0 || squares <= 0 ? 1 : sum * sum / (count * squares);
}

static void remember(struct world *w)
{
    for (unsigned i = 0; i < w->ours_count; i++)
        memcpy(w->ours[i]->session_before, w->ours[i]->session_bytes,
               sizeof(w->ours[i]->session_before));
}

static void run_bins(struct world *w, const struct trial *t, struct figures *out)
{
    struct pipe *fg = NULL;
    uint64_t before = 0, fg_before = 0;
    unsigned last = (unsigned)(t->end_s / bin_s);
    out->bin_count = last < TRIAL_BINS ? last : TRIAL_BINS;
    for (unsigned i = 11; i < out->bin_count; i++) {
        double from_s = i * bin_s, to_s = (i + 1) * bin_s;
        apply_changes(w, t, from_s, to_s);
        if (fg == NULL && t->foreground != FG_NONE && from_s >= t->fg_from_s - 1e-6)
            fg = foreground_new(w, t);
        if (fg != NULL && from_s >= t->fg_to_s - 1e-6)
            pipe_stop(fg);
        else if (fg != NULL && t->foreground == FG_RANDOM && world_random(w) < 0.007)
            toggle(w, fg);
        world_run(w, to_s);
        if (i == (unsigned)(t->from_s / bin_s + 0.5))
            remember(w);
        if (i == (unsigned)((t->fg_from_s > 0 ? t->fg_from_s : t->end_s) / bin_s + 0.5) - 1)
            out->of[FIG_JAIN] = jain(w);
        double can = link_goodput(w) * bin_s / 8;
        uint64_t now = ours_delivered(w), fg_now = fg != NULL ? fg->received_bytes : 0;
        out->bins[i] = (double)(now - before) / can;
        out->fg_bins[i] = (double)(fg_now - fg_before) / can;
        before = now;
        fg_before = fg_now;
        watch(w, t, out);
    }
    if (fg != NULL && fg->web != NULL)
        for (unsigned i = 0; i < WEB_SIZES; i++) {
            out->of[FIG_PAGE_30K + i] = web_percentile(fg->web, i, 0.5);
            out->of[FIG_PAGE95_30K + i] = web_percentile(fg->web, i, 0.95);
        }
}

double figures_mean(const struct figures *f, const double *bins, double from_s, double to_s)
{
    double sum = 0;
    unsigned from = (unsigned)(from_s / bin_s + 0.5), to = (unsigned)(to_s / bin_s + 0.5);
    for (unsigned i = from; i < to && i < f->bin_count; i++)
        sum += bins[i];
    return to > from ? sum / (to - from) : 0;
}

static double when_low(const struct figures *f, double from_s, double to_s)
{
    unsigned run = 0, from = (unsigned)(from_s / bin_s + 0.5);
    for (unsigned i = from; i < f->bin_count && i * bin_s < to_s; i++) {
        run = f->bins[i] < 0.10 ? run + 1 : 0;
        if (run == 10)
            return (i + 1 - 10 - from) * bin_s;
    }
    return FIGURE_NEVER;
}

static double when_high(const struct figures *f, double from_s)
{
    unsigned from = (unsigned)(from_s / bin_s + 0.5);
    for (unsigned i = from; i < f->bin_count; i++)
        if (f->bins[i] > 0.80)
            return (i + 1 - from) * bin_s;
    return FIGURE_NEVER;
}

/* Seconds until what follows keeps 80 % for two seconds. */
static double settled(const struct figures *f, double from_s)
{
    for (double at = from_s; from_s > 0 && at + 2 <= f->bin_count * bin_s; at += bin_s)
        if (figures_mean(f, f->bins, at, at + 2) > 0.80)
            return at - from_s;
    return FIGURE_NEVER;
}

static double longest_stall(const struct figures *f, double from_s, double to_s)
{
    double longest = 0, run = 0;
    for (unsigned i = (unsigned)(from_s / bin_s); i < f->bin_count && i * bin_s < to_s; i++) {
        run = f->bins[i] <= 0 ? run + bin_s : 0;
        longest = fmax(longest, run);
    }
    return longest;
}

static void set_up(struct world *w, const struct trial *t, const struct fluid_law *law)
{
    for (unsigned i = 0; law != NULL && i < t->controllers; i++) {
        double start_s = 1 + 0.37 * i + 0.9 * world_random(w);
        struct ours *o = ours_new(w, law, t->sessions, start_s);
        o->owd = !t->no_owd;
        o->told_aggregate = t->controllers > 1;
        o->demand_bps = t->demand_bps;
        o->drift = t->drift;
        if (law == &fluid_scavenger) {
            struct law_terms terms = {.hold = t->hold, .ceiling_bps = t->ceiling_bps};
            law_set_terms(o->state, &terms, o->start_ns);
            o->verdict = law->tick(o->state, o->start_ns);
        }
    }
}

static void read_off(struct world *w, const struct trial *t, struct caller *call,
                     struct figures *out)
{
    double idle_to = t->foreground == FG_NONE ? t->end_s : t->fg_from_s;
    struct caller *ping = w->callers[0];
    out->of[FIG_USE] = figures_mean(out, out->bins, t->from_s, idle_to);
    out->of[FIG_STALL] = longest_stall(out, t->from_s, t->end_s);
    out->of[FIG_P50] = caller_percentile(ping, 0.50);
    out->of[FIG_P95] = caller_percentile(ping, 0.95);
    out->of[FIG_P99] = caller_percentile(ping, 0.99);
    out->of[FIG_DOWN] = settled(out, t->changes[0].at_s);
    out->of[FIG_UP] = settled(out, t->changes[1].at_s);
    if (call != NULL) {
        out->of[FIG_CALL95] = caller_percentile(call, 0.95);
        out->of[FIG_CALL_LOSS] = (double)w->links[DOWN].dropped_calls / (double)call->sent;
    }
}

static void run_once(const struct trial *t, const struct fluid_law *law, struct figures *out)
{
    *out = (struct figures){0};
    struct world *w = world_new(&t->down, &t->up, t->seed);
    struct caller *ping = caller_new(w, PACKET_PING, 0.02, 76);
    ping->from_s = t->from_s;
    ping->to_s = t->foreground == FG_NONE ? t->end_s : t->fg_from_s;
    struct caller *call = t->call ? caller_new(w, PACKET_CALL, 0.02, 200) : NULL;
    set_up(w, t, law);
    run_bins(w, t, out);
    read_off(w, t, call, out);
    world_free(w);
}

static void compare_with_alone(const struct trial *t, const struct figures *alone,
                               struct figures *out)
{
    double had = figures_mean(alone, alone->fg_bins, t->fg_from_s, t->fg_to_s);
    double has = figures_mean(out, out->fg_bins, t->fg_from_s, t->fg_to_s);
    double ours = figures_mean(out, out->bins, t->fg_from_s, t->fg_to_s);
    out->of[FIG_SHARE] = had > 0 ? has / had : 0;
    out->of[FIG_YIELD] = when_low(out, t->fg_from_s, t->fg_to_s);
    out->of[FIG_RECOVER] = when_high(out, t->fg_to_s);
    out->of[FIG_AFTER] = figures_mean(out, out->bins, t->fg_from_s + 3, t->fg_to_s);
    out->of[FIG_DURING] = ours;
    out->of[FIG_HARVEST] = ours / fmax(1 - had, 0.01);
    for (unsigned i = FIG_PAGE_30K; i <= FIG_PAGE95_2M; i++)
        if (alone->of[i] > 0)
            out->of[i] = out->of[i] / alone->of[i] - 1;
}

void trial_run(const struct trial *t, const struct fluid_law *law, struct figures *out)
{
    run_once(t, law, out);
    if (t->foreground == FG_NONE || law == NULL)
        return;
    struct figures *alone = xcalloc(1, sizeof(*alone));
    run_once(t, NULL, alone);
    compare_with_alone(t, alone, out);
    free(alone);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void trial_median(const struct trial *t, const struct fluid_law *law, unsigned runs,
                  double out[FIGURES])
{
    struct figures *f = xcalloc(1, sizeof(*f));
    double *all = xcalloc((size_t)runs * FIGURES, sizeof(double));
    for (unsigned r = 0; r < runs; r++) {
        struct trial one = *t;
        one.seed = t->seed + r;
        trial_run(&one, law, f);
        for (unsigned i = 0; i < FIGURES; i++)
            all[i * runs + r] = f->of[i];
    }
    for (unsigned i = 0; i < FIGURES; i++) {
        qsort(&all[i * runs], runs, sizeof(double), compare);
        out[i] = all[i * runs + runs / 2];
    }
    free(all);
    free(f);
}
