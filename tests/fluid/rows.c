/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/rows.c – the links and the bars of the test matrix. */
#include "fluid/rows.h"

#include <string.h>

static struct trial beside(struct trial t, enum foreground f)
{
    t.foreground = f;
    return t;
}

static struct trial ten(const char *name)
{
    return trial_of(name, 10e6, 0.040, 0.150);
}

static struct trial s1(void)
{
    return ten("S1");
}

/* A machine or a radio on the way that stops for a moment, with data or with credit. */
static struct trial s1_stalls(void)
{
    struct trial t = ten("S1-stalls");
    t.down.stall_s = 0.020;
    t.down.stall_every_s = 3;
    return t;
}

static struct trial s1_bursts(void)
{
    struct trial t = ten("S1-bursts");
    t.up.stall_s = 0.020;
    t.up.stall_every_s = 3;
    return t;
}

static struct trial s2(void)
{
    return beside(ten("S2"), FG_CUBIC);
}

static struct trial s3(void)
{
    return beside(ten("S3"), FG_BBR);
}

static struct trial s5(void)
{
    return beside(trial_of("S5", 2e6, 0.060, 0.300), FG_CUBIC);
}

static struct trial s6(void)
{
    struct trial t = trial_of("S6", 0.5e6, 0.080, 0.400);
    t.call = true;
    return t;
}

static struct trial s7(void)
{
    return beside(trial_of("S7", 50e6, 0.020, 0.060), FG_CUBIC);
}

static struct trial s7b(void)
{
    return beside(trial_of("S7b", 50e6, 0.020, 0.060), FG_BBR);
}

static struct trial s8(void)
{
    return beside(trial_of("S8", 100e6, 0.010, 0.040), FG_CUBIC);
}

static struct trial s9(void)
{
    return beside(trial_of("S9", 20e6, 0.150, 0.100), FG_CUBIC);
}

static struct trial s10(void)
{
    return beside(trial_of("S10", 10e6, 0.040, 0.0128), FG_CUBIC);
}

static struct trial s11(void)
{
    struct trial t = beside(ten("S11"), FG_CUBIC);
    t.down.jitter_s = t.up.jitter_s = 0.005;
    return t;
}

static struct trial s13(void)
{
    struct trial t = ten("S13");
    t.down.loss = 0.005;
    t.end_s = 65;
    return t;
}

static struct trial s14(void)
{
    struct trial t = ten("S14");
    t.changes[0] = (struct change){30, 4e6, 0};
    t.changes[1] = (struct change){60, 10e6, 0};
    t.end_s = 90;
    return t;
}

static struct trial s16(void)
{
    struct trial t = beside(ten("S16"), FG_WEB);
    t.fg_from_s = 12;
    t.fg_to_s = t.end_s = 240;
    return t;
}

static struct trial s16h(void)
{
    struct trial t = s16();
    t.hold = LAW_HOLD_HARVEST;
    return t;
}

static struct trial s17(void)
{
    struct trial t = ten("S17");
    t.call = true;
    return t;
}

static struct trial s19(void)
{
    struct trial t = trial_of("S19", 20e6, 0.040, 0.100);
    t.sessions = 4;
    return t;
}

static struct trial s19_direct(void)
{
    struct trial t = trial_of("S19-direct", 20e6, 0.040, 0.100);
    t.controllers = 4;
    return t;
}

static struct trial s19_cubic(void)
{
    return beside(s19_direct(), FG_CUBIC);
}

static struct trial s20(void)
{
    struct trial t = beside(trial_of("S20", 20e6, 0.040, 0.100), FG_CUBIC);
    t.controllers = 3;
    return t;
}

static struct trial s21_codel(void)
{
    struct trial t = beside(ten("S21-codel"), FG_CUBIC);
    t.down.discipline = QUEUE_CODEL;
    return t;
}

static struct trial s21_fq(void)
{
    struct trial t = beside(ten("S21-fq"), FG_CUBIC);
    t.down.discipline = QUEUE_FQ;
    return t;
}

static struct trial s21_policer(void)
{
    struct trial t = beside(trial_of("S21-policer", 10e6, 0.040, 0.020), FG_CUBIC);
    t.down.discipline = QUEUE_POLICER;
    return t;
}

static struct trial s23(void)
{
    struct trial t = beside(ten("S23"), FG_CUBIC);
    t.no_owd = true;
    return t;
}

static struct trial s24(void)
{
    struct trial t = beside(ten("S24"), FG_UPLOAD);
    t.up = (struct link_shape){.rate_bps = 1e6, .delay_s = 0.020, .buffer_bytes = 25000};
    return t;
}

static struct trial s25(void)
{
    struct trial t = beside(ten("S25"), FG_RANDOM);
    t.fg_from_s = 20;
    t.fg_to_s = 3540;
    t.end_s = 3600;
    return t;
}

const struct row rows[] = {
    {"S1",
     "10M 40/150 ms, idle",
     s1,
     {{FIG_USE, 0.90, 0.95},
      {FIG_P50, 0.006, 0.004},
      {FIG_P95, 0.014, 0.010},
      {FIG_P99, 0.035, 0.020}}},
    {"S1-stalls",
     "same, stalls of 20 ms",
     s1_stalls,
     {{FIG_USE, 0.90, 0.95}, {FIG_P50, 0.006, 0.004}, {FIG_P95, 0.014, 0.010}}},
    {"S1-bursts",
     "same, of credit",
     s1_bursts,
     {{FIG_USE, 0.90, 0.95}, {FIG_P50, 0.006, 0.004}, {FIG_P95, 0.014, 0.010}}},
    {"S2",
     "S1, cubic",
     s2,
     {{FIG_SHARE, 0.96, 0.98},
      {FIG_YIELD, 1.5, 0.7},
      {FIG_RECOVER, 4, 2.5},
      {FIG_AFTER, 0.02, 0.01}}},
    {"S3", "same, bbr", s3, {{FIG_SHARE, 0.96, 0.98}, {FIG_AFTER, 0.03, 0.01}}},
    {"S5",
     "2M 60/300 ms, cubic",
     s5,
     {{FIG_USE, 0.85, 0.90},
      {FIG_P50, 0.012, 0.008},
      {FIG_P95, 0.028, 0.020},
      {FIG_SHARE, 0.94, 0.96},
      {FIG_RECOVER, 6, 4}}},
    {"S6",
     "0.5M 80/400 ms, telephone",
     s6,
     {{FIG_USE, 0.75 * 0.84, 0.85 * 0.84},
      {FIG_CALL95, 0.060, 0.050},
      {FIG_CALL_LOSS, 1e-9, 1e-9}}},
    {"S7",
     "50M 20/60 ms, cubic",
     s7,
     {{FIG_USE, 0.92, 0.96}, {FIG_P95, 0.010, 0.007}, {FIG_SHARE, 0.97, 0.985}}},
    {"S7b", "same, bbr", s7b, {{FIG_SHARE, 0.97, 0.985}}},
    {"S8",
     "100M 10/40 ms, cubic",
     s8,
     {{FIG_USE, 0.88, 0.95}, {FIG_P95, 0.010, 0.010}, {FIG_SHARE, 0.95, 0.95}}},
    {"S9",
     "20M 150/100 ms, cubic",
     s9,
     {{FIG_USE, 0.85, 0.94},
      {FIG_P95, 0.025, 0.015},
      {FIG_SHARE, 0.88, 0.95},
      {FIG_YIELD, 4, 2},
      {FIG_RECOVER, 6, 6}}},
    {"S10", "10M 40 ms, 16 kB, cubic", s10, {{FIG_USE, 0.75, 0.88}, {FIG_SHARE, 0.82, 0.92}}},
    {"S11", "S2 and 5 ms jitter", s11, {{FIG_USE, 0.88, 0.94}, {FIG_SHARE, 0.95, 0.97}}},
    {"S13", "S1 and 0.5 % loss", s13, {{FIG_USE, 0.50, 0.80}}},
    {"S14", "10M, 4M, 10M", s14, {{FIG_DOWN, 15, 6}, {FIG_UP, 15, 8}, {FIG_P95, 0.040, 0.020}}},
    {"S16",
     "S1, pages",
     s16,
     {{FIG_PAGE_30K, 0.10, 0.05},
      {FIG_PAGE_300K, 0.25, 0.10},
      {FIG_PAGE_2M, 0.08, 0.03},
      {FIG_PAGE95_30K, 0.6, 0.6},
      {FIG_PAGE95_300K, 0.6, 0.6},
      {FIG_PAGE95_2M, 0.6, 0.6},
      {FIG_HARVEST, 0.15, 0.35}}},
    {"S16h",
     "same, to harvest",
     s16h,
     {{FIG_PAGE_30K, 0.10, 0.05},
      {FIG_PAGE_300K, 0.25, 0.10},
      {FIG_PAGE_2M, 0.08, 0.03},
      {FIG_PAGE95_30K, 0.6, 0.6},
      {FIG_PAGE95_300K, 0.6, 0.6},
      {FIG_PAGE95_2M, 0.6, 0.6},
      {FIG_HARVEST, 0.15, 0.35}}},
    {"S17", "S1, telephone", s17, {{FIG_CALL95, 0.012, 0.008}, {FIG_CALL_LOSS, 0.001, 1e-9}}},
    {"S19",
     "20M 40/100 ms, 4 of ours",
     s19,
     {{FIG_USE, 0.90, 0.95}, {FIG_JAIN, 0.95, 0.99}, {FIG_P95, 0.015, 0.010}}},
    {"S19-direct",
     "same, a controller for each",
     s19_direct,
     {{FIG_USE, 0.90, 0.95}, {FIG_JAIN, 0.95, 0.99}, {FIG_P95, 0.015, 0.010}}},
    {"S19-cubic",
     "S19-direct, cubic",
     s19_cubic,
     {{FIG_USE, 0.90, 0.95},
      {FIG_JAIN, 0.95, 0.99},
      {FIG_P95, 0.015, 0.010},
      {FIG_SHARE, 0.90, 0.97},
      {FIG_YIELD, 4, 2},
      {FIG_RECOVER, 6, 4}}},
    {"S20",
     "hub's 20M, 3 sites, cubic",
     s20,
     {{FIG_USE, 0.88, 0.94}, {FIG_JAIN, 0.95, 0.98}, {FIG_SHARE, 0.93, 0.97}}},
    {"S21-codel", "S2 with CoDel", s21_codel, {{FIG_SHARE, 0.85, 0.95}, {FIG_STALL, 60, 60}}},
    {"S21-fq", "S2 with fair queues", s21_fq, {{FIG_SHARE, 0.90, 0.95}, {FIG_STALL, 60, 60}}},
    {"S21-policer",
     "10M policer, cubic",
     s21_policer,
     {{FIG_SHARE, 0.80, 0.95}, {FIG_STALL, 60, 60}}},
    {"S23", "S2, UDP blocked", s23, {{FIG_SHARE, 0.94, 0.98}}},
    {"S24", "S1, upload on 1M up", s24, {{FIG_DURING, 0.70, 0.85}}},
    {"S25", "an hour, cubic on and off", s25, {{FIG_STALL, 10, 10}, {FIG_BASE, 0.003, 0.003}}},
};
const size_t row_count = sizeof(rows) / sizeof(rows[0]);

const struct row *row_find(const char *name)
{
    for (size_t i = 0; i < row_count; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

bool bar_holds(enum figure f, double value, double bar)
{
    return figure_is_good_high(f) ? value >= bar : value <= bar;
}
