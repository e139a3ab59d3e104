/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_law.c – what the control law owes on any link: limits, progress, yielding, fairness. */
/* LINKS: fluid shaper base */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "fluid/trial.h"
#include "support/gen.h"

enum { LINKS = 60 };

static struct gen gen;
static struct figures *figures;

static double between(double least, double most) /* evenly in the logarithm */
{
    return least * pow(most / least, (double)gen_below(&gen, 1000000) / 1e6);
}

/* 0.3–500 Mbit/s, 2–600 ms, a buffer of 5 ms–2 s that holds at least six packets. */
static struct trial any_link(void)
{
    double rate = between(0.3e6, 500e6), rtt_s = between(0.002, 0.6), buffer_s = between(0.005, 2);
    struct trial t = trial_of("any", rate, rtt_s, fmax(buffer_s, 6 * 1500 * 8 / rate));
    t.seed = gen_below(&gen, 1000000) + 1;
    t.from_s = 20;
    return t;
}

/* With a buffer of a round trip at least, and of 5–300 ms: beyond, a carrier that regrows its own
 * window for many seconds says more about TCP than about the law. */
static struct trial any_deep_link(void)
{
    struct trial t = any_link();
    t.down.delay_s = t.up.delay_s = between(0.0025, 0.15);
    double trip_s = t.down.delay_s + t.up.delay_s;
    t.down.buffer_bytes = fmax(t.down.buffer_bytes, t.down.rate_bps / 8 * fmax(0.05, trip_s));
    return t;
}

static void say(const struct trial *t, const char *what, double value)
{
    print_message("%.2f Mbit/s, %.1f ms, buffer %.0f bytes, seed %llu: %s %.3f\n",
                  t->down.rate_bps / 1e6, (t->down.delay_s + t->up.delay_s) * 1e3,
                  t->down.buffer_bytes, (unsigned long long)t->seed, what, value);
}

/* Over any second, with what a window lets through at once. */
static double worst_second(const struct trial *t, double least_bps)
{
    double worst = 0, goodput = t->down.rate_bps * 1448 / 1500;
    for (double at = 2; at + 1 <= t->end_s; at += 0.1)
        worst = fmax(worst, figures_mean(figures, figures->bins, at, at + 1) * goodput);
    return worst / least_bps;
}

static void it_never_goes_above_a_ceiling(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINKS; i++) {
        struct trial t = any_link();
        t.end_s = 30;
        t.ceiling_bps = (uint64_t)(t.down.rate_bps * between(0.05, 2));
        trial_run(&t, &fluid_scavenger, figures);
        if (figures->of[FIG_ABOVE] > 0)
            say(&t, "above the ceiling by", figures->of[FIG_ABOVE]);
        assert_true(figures->of[FIG_ABOVE] <= 0);
        double burst = 1 + 3 * 16384 * 8 / (double)t.ceiling_bps;
        assert_true(worst_second(&t, (double)t.ceiling_bps) <= 1.02 * burst);
    }
}

static void an_idle_link_is_used(void **state)
{
    (void)state;
    unsigned poor = 0;
    double sum = 0;
    for (unsigned i = 0; i < 2 * LINKS; i++) {
        struct trial t = any_link();
        t.end_s = 40;
        trial_run(&t, &fluid_scavenger, figures);
        sum += figures->of[FIG_USE];
        if (figures->of[FIG_USE] >= 0.7)
            continue;
        say(&t, "use", figures->of[FIG_USE]);
        poor++;
    }
    assert_true(poor <= 2 * LINKS / 20);
    assert_true(sum / (2 * LINKS) > 0.9);
}

static void an_idle_link_keeps_a_short_queue(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINKS; i++) {
        struct trial t = any_link();
        t.end_s = 40;
        trial_run(&t, &fluid_scavenger, figures);
        double most_s = 0.025 + 2.5 * 12000 / t.down.rate_bps;
        if (figures->of[FIG_P95] > most_s)
            say(&t, "p95 of the queue, ms", figures->of[FIG_P95] * 1e3);
        assert_true(figures->of[FIG_P95] <= most_s);
    }
}

static double part_while_yielding(const struct trial *t)
{
    double trip_s = t->down.delay_s + t->up.delay_s;
    return figures_mean(figures, figures->bins, t->fg_from_s + 3 + 10 * trip_s, t->fg_to_s);
}

/* A CUBIC that grows slowly leaves a fast link half empty for seconds, and what it leaves is ours
 * to take: hence a few links may show more. */
static void it_gives_way_and_comes_back(enum foreground foreground)
{
    unsigned many = 0;
    for (unsigned i = 0; i < LINKS; i++) {
        struct trial t = any_deep_link();
        t.foreground = foreground;
        t.fg_from_s = 35;
        t.fg_to_s = 60;
        t.end_s = 100;
        trial_run(&t, &fluid_scavenger, figures);
        double part = part_while_yielding(&t) - 16e3 / t.down.rate_bps;
        double back = figures_mean(figures, figures->bins, 85, 100);
        if (part > 0.10)
            say(&t, "our part", part);
        if (back < 0.5)
            say(&t, "back at", back);
        many += part > 0.10;
        assert_true(part <= 0.25);
        assert_true(back >= 0.5);
        assert_true(figures->of[FIG_BASE] <= 0.005 + 24000 / t.down.rate_bps);
    }
    assert_true(many <= LINKS / 12);
}

static void it_gives_way_to_cubic_and_comes_back(void **state)
{
    (void)state;
    it_gives_way_and_comes_back(FG_CUBIC);
}

static void it_gives_way_to_bbr_and_comes_back(void **state)
{
    (void)state;
    it_gives_way_and_comes_back(FG_BBR);
}

static void siblings_under_one_controller_are_fair(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINKS / 4; i++) {
        struct trial t = any_deep_link();
        t.sessions = 2 + (unsigned)gen_below(&gen, 3);
        t.end_s = 60;
        trial_run(&t, &fluid_scavenger, figures);
        if (figures->of[FIG_JAIN] < 0.95)
            say(&t, "Jain", figures->of[FIG_JAIN]);
        assert_true(figures->of[FIG_JAIN] >= 0.95);
    }
}

static void a_drifting_clock_makes_no_queue(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINKS / 4; i++) {
        struct trial t = any_deep_link();
        t.drift = gen_below(&gen, 2) == 0 ? 100e-6 : -100e-6;
        t.end_s = 60;
        trial_run(&t, &fluid_scavenger, figures);
        if (figures->of[FIG_USE] < 0.5)
            say(&t, "use with a drifting clock", figures->of[FIG_USE]);
        assert_true(figures->of[FIG_USE] >= 0.5);
    }
}

int main(void)
{
    (void)gen_init_from_env(&gen);
    figures = xcalloc(1, sizeof(*figures));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_never_goes_above_a_ceiling),
        cmocka_unit_test(an_idle_link_is_used),
        cmocka_unit_test(an_idle_link_keeps_a_short_queue),
        cmocka_unit_test(it_gives_way_to_cubic_and_comes_back),
        cmocka_unit_test(it_gives_way_to_bbr_and_comes_back),
        cmocka_unit_test(siblings_under_one_controller_are_fair),
        cmocka_unit_test(a_drifting_clock_makes_no_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
