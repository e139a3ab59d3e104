/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_sisters.c – endpoints of one site, a law each, told what all get: they share. */
/* LINKS: fluid shaper base */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "fluid/pipe.h"
#include "fluid/trial.h"
#include "support/gen.h"

enum { LINKS = 12, MOST = WORLD_OURS };

static struct gen gen;

struct site {
    struct world *world;
    double rate_bps, rtt_s;
    unsigned count;
    uint64_t before[MOST];
    double from_s;
};

static double between(double least, double most) /* evenly in the logarithm */
{
    return least * pow(most / least, (double)gen_below(&gen, 1000000) / 1e6);
}

/* 4–100 Mbit/s, 10–50 ms, a buffer of a tenth of a second. */
static struct site any_site(void)
{
    struct site s = {.rate_bps = between(4e6, 100e6), .rtt_s = between(0.01, 0.05)};
    struct trial t = trial_of("site", s.rate_bps, s.rtt_s, 0.1);
    s.world = world_new(&t.down, &t.up, gen_below(&gen, 1000000) + 1);
    return s;
}

static struct ours *join(struct site *s, double at_s)
{
    struct ours *o = ours_new(s->world, &fluid_scavenger, 1, at_s);
    o->told_aggregate = true;
    s->count++;
    return o;
}

static void begin(struct site *s, double at_s)
{
    world_run(s->world, at_s);
    s->from_s = at_s;
    for (unsigned i = 0; i < s->count; i++)
        s->before[i] = s->world->ours[i]->delivered;
}

/* Of the line, since begin(). */
static double part_of(const struct site *s, unsigned i)
{
    double bytes = (double)(s->world->ours[i]->delivered - s->before[i]);
    double goodput = s->rate_bps * s->world->mss / (s->world->mss + HEADER_BYTES);
    return bytes * 8 / (world_seconds(s->world) - s->from_s) / goodput;
}

/* Of `count` of them from `first` on. */
static double fairness(const struct site *s, unsigned first, unsigned count, double *sum)
{
    double squares = 0;
    *sum = 0;
    for (unsigned i = first; i < first + count; i++) {
        *sum += part_of(s, i);
        squares += part_of(s, i) * part_of(s, i);
    }
    return squares > 0 ? *sum * *sum / (count * squares) : 0;
}

/* Returns 1 where they do not quite; where they do not at all it fails. */
static unsigned misses(const struct site *s, unsigned first, unsigned count, const char *when)
{
    double sum, jain = fairness(s, first, count, &sum);
    unsigned missed = jain < 0.95 || sum < 0.9;
    if (missed)
        print_message("%.2f Mbit/s, %.1f ms, seed %llu, %s: Jain %.3f, sum %.3f\n",
                      s->rate_bps / 1e6, s->rtt_s * 1e3, (unsigned long long)s->world->seed, when,
                      jain, sum);
    assert_true(jain >= 0.8);
    assert_true(sum >= 0.5);
    return missed;
}

static void shares_follow_within_seconds_when_one_comes_and_one_leaves(void **state)
{
    (void)state;
    unsigned many = 0;
    for (unsigned i = 0; i < LINKS; i++) {
        struct site s = any_site();
        struct ours *first = join(&s, 1);
        join(&s, 1.4);
        join(&s, 1.9);
        join(&s, 30);
        s.count = 3;
        begin(&s, 15);
        world_run(s.world, 30);
        many += misses(&s, 0, 3, "three");
        s.count = 4;
        begin(&s, 38);
        world_run(s.world, 50);
        many += misses(&s, 0, 4, "after one came");
        first->stop_ns = s.world->now_ns;
        begin(&s, 55);
        world_run(s.world, 65);
        many += misses(&s, 1, 3, "after one left");
        world_free(s.world);
    }
    assert_true(many <= LINKS / 3);
}

static void what_one_does_not_want_the_others_take(void **state)
{
    (void)state;
    unsigned many = 0;
    for (unsigned i = 0; i < LINKS; i++) {
        struct site s = any_site();
        join(&s, 1)->demand_bps = s.rate_bps / 12;
        join(&s, 1.5);
        join(&s, 2);
        begin(&s, 15);
        world_run(s.world, 40);
        double sum, jain = fairness(&s, 1, 2, &sum);
        sum += part_of(&s, 0);
        if (jain < 0.95 || sum < 0.85)
            print_message("%.2f Mbit/s, %.1f ms, seed %llu: Jain %.3f, sum %.3f\n",
                          s.rate_bps / 1e6, s.rtt_s * 1e3, (unsigned long long)s.world->seed, jain,
                          sum);
        assert_true(jain >= 0.8 && sum >= 0.6);
        many += jain < 0.95 || sum < 0.85;
        world_free(s.world);
    }
    assert_true(many <= LINKS / 4);
}

static void all_of_them_give_way_to_cubic(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINKS; i++) {
        struct site s = any_site();
        for (unsigned n = 0; n < MOST; n++)
            join(&s, 1 + 0.3 * n);
        world_run(s.world, 20);
        pipe_give(s.world, pipe_new(s.world, DOWN, CUBIC), PIPE_ENDLESS);
        begin(&s, 40);
        world_run(s.world, 60);
        double sum;
        (void)fairness(&s, 0, MOST, &sum);
        sum -= MOST * 64e3 / s.rate_bps; /* the floors */
        if (sum > 0.15)
            print_message("%.2f Mbit/s, %.1f ms, seed %llu: ours keep %.3f\n", s.rate_bps / 1e6,
                          s.rtt_s * 1e3, (unsigned long long)s.world->seed, sum);
        assert_true(sum <= 0.15);
        world_free(s.world);
    }
}

int main(void)
{
    (void)gen_init_from_env(&gen);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_within_seconds_when_one_comes_and_one_leaves),
        cmocka_unit_test(what_one_does_not_want_the_others_take),
        cmocka_unit_test(all_of_them_give_way_to_cubic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
