/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_tree_bucket.c – a bucket beside a model in exact fractions, through whatever happens
 * to it; and a timing wheel beside a list. */
/* LINKS: shaper net wire base */
#include "shaper/bucket.h"
#include "shaper/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/units.h"
#include "support/gen.h"

typedef __int128 wide;

enum { ROUNDS = 300, STEPS = 3000 };
#define BYTE ((wide)8 * 1000000000) /* the model's unit: what 1 bit/s earns in 1 ns */

static struct gen gen;

/* Tokens, as one would have them without rounding: `level` ≤ burst. */
struct model {
    uint64_t rate_bps, now_ns;
    uint32_t burst_bytes;
    wide level;
};

static void model_advance(struct model *m, uint64_t now_ns)
{
    if (m->rate_bps != BUCKET_UNLIMITED)
        m->level += (wide)m->rate_bps * (wide)(now_ns - m->now_ns);
    if (m->level > m->burst_bytes * BYTE)
        m->level = m->burst_bytes * BYTE;
    m->now_ns = now_ns;
}

static uint64_t model_room(const struct model *m)
{
    return m->level > 0 && m->rate_bps != 0 ? (uint64_t)(m->level / BYTE) : 0;
}

static uint64_t some_rate(void)
{
    if (gen_chance(&gen, 1, 12))
        return 0;
    if (gen_chance(&gen, 1, 12))
        return BUCKET_UNLIMITED;
    return 1 + gen_skewed(&gen, UINT64_C(20000000000));
}

static void change(struct bucket *b, struct model *m)
{
    uint64_t rate_bps = some_rate();
    uint32_t burst_bytes = 3000 + (uint32_t)gen_skewed(&gen, 1 << 24);

    if (gen_chance(&gen, 1, 2))
        burst_bytes = m->burst_bytes;
    if (rate_bps == m->rate_bps && burst_bytes == m->burst_bytes)
        return;
    bucket_set(b, rate_bps, burst_bytes, m->now_ns);
    if (m->rate_bps == BUCKET_UNLIMITED)
        m->level = 0;
    if (m->level > burst_bytes * BYTE)
        m->level = burst_bytes * BYTE;
    m->rate_bps = rate_bps;
    m->burst_bytes = burst_bytes;
}

static void use(struct bucket *b, struct model *m, double *error)
{
    uint64_t bytes = gen_skewed(&gen, 1 << 20);

    if (gen_chance(&gen, 3, 4)) /* as the tree does */
        bytes = bucket_room(b, bytes, m->now_ns);
    if (m->rate_bps == BUCKET_UNLIMITED)
        return;
    if (gen_chance(&gen, 1, 8)) {
        bucket_refund(b, bytes, m->now_ns);
        m->level += bytes * BYTE;
    } else {
        bucket_charge(b, bytes, m->now_ns);
        m->level -= bytes * BYTE;
    }
    *error += (double)bytes * 1e-9 * (1 + (double)m->rate_bps / 8e9);
}

static void what_passes_is_never_more_than_exact_fractions_allow_and_hardly_less(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct model m = {some_rate(), gen_skewed(&gen, UINT64_C(1) << 60), 3000, 3000 * BYTE};
        struct bucket b;
        double error = 0;
        bucket_init(&b, m.rate_bps, m.burst_bytes);
        for (unsigned step = 0; step < STEPS; step++) {
            model_advance(&m, m.now_ns +
                                  gen_skewed(&gen, gen_chance(&gen, 1, 50) ? 1ULL << 45 : 1 << 24));
            if (m.rate_bps != BUCKET_UNLIMITED) {
                uint64_t exact = model_room(&m), room = bucket_room(&b, UINT64_MAX, m.now_ns);
                assert_true(room <= exact);
                assert_true((double)room + 2 + error >= (double)exact);
                error = exact == m.burst_bytes && room == exact ? 0 : error;
            }
            if (gen_chance(&gen, 1, 200)) {
                change(&b, &m);
                error += 2;
            }
            use(&b, &m, &error);
            model_advance(&m, m.now_ns);
        }
    }
}

static void the_time_named_is_exact_to_the_nanosecond(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 100 * ROUNDS; round++) {
        struct bucket b;
        uint64_t now_ns = gen_skewed(&gen, UINT64_C(1) << 50);
        uint32_t burst_bytes = 3000 + (uint32_t)gen_skewed(&gen, 1 << 20);
        uint64_t bytes = 1 + gen_below(&gen, burst_bytes);
        bucket_init(&b, 1 + gen_skewed(&gen, UINT64_C(20000000000)), burst_bytes);
        bucket_charge(&b, gen_skewed(&gen, 1 << 24), now_ns);
        uint64_t at_ns = bucket_eligible_ns(&b, bytes);
        assert_int_equal(bucket_room(&b, bytes, at_ns), bytes);
        if (at_ns > 0)
            assert_true(bucket_room(&b, bytes, at_ns - 1) < bytes);
    }
}

/* ---- the wheel ------------------------------------------------------------------------------- */

enum { SLEEPERS = 200 };

struct sleeper {
    struct wheel_entry entry;
    uint64_t at_ns;
    bool sleeps;
};

static uint64_t first_tick_after(uint64_t at_ns)
{
    return (at_ns + NS_PER_MS - 1) / NS_PER_MS * NS_PER_MS;
}

/* All who are due wake, none before its time, and the wheel's next time is never too late. */
static void let_pass(struct wheel *w, struct sleeper *all, uint64_t now_ns)
{
    struct wheel_entry *e;
    uint64_t first_ns = UINT64_MAX;

    for (unsigned i = 0; i < SLEEPERS; i++)
        if (all[i].sleeps && first_tick_after(all[i].at_ns) < first_ns)
            first_ns = first_tick_after(all[i].at_ns);
    if (first_ns == UINT64_MAX)
        assert_true(wheel_next_ns(w) == UINT64_MAX);
    else
        assert_true(wheel_next_ns(w) <= first_ns);
    while ((e = wheel_take(w, now_ns)) != NULL) {
        struct sleeper *s = ALB_CONTAINER(e, struct sleeper, entry);
        assert_true(s->sleeps && s->at_ns <= now_ns && !wheel_entry_is_set(e));
        s->sleeps = false;
    }
    for (unsigned i = 0; i < SLEEPERS; i++)
        assert_true(!all[i].sleeps ||
                    first_tick_after(all[i].at_ns) > now_ns / NS_PER_MS * NS_PER_MS);
}

static void everybody_on_a_wheel_wakes_in_the_millisecond_of_their_time(void **state)
{
    static struct sleeper all[SLEEPERS];

    (void)state;
    for (unsigned round = 0; round < ROUNDS / 10; round++) {
        struct wheel w;
        uint64_t now_ns = gen_skewed(&gen, UINT64_C(1) << 50);
        wheel_init(&w, now_ns);
        for (unsigned i = 0; i < SLEEPERS; i++) {
            wheel_entry_init(&all[i].entry);
            all[i].sleeps = false;
        }
        for (unsigned step = 0; step < STEPS; step++) {
            struct sleeper *s = &all[gen_below(&gen, SLEEPERS)];
            s->sleeps = gen_chance(&gen, 3, 4);
            s->at_ns = now_ns + gen_skewed(&gen, UINT64_C(1) << 38);
            if (s->sleeps)
                wheel_set(&w, &s->entry, s->at_ns);
            else
                wheel_remove(&w, &s->entry);
            if (gen_chance(&gen, 1, 2))
                now_ns += gen_skewed(&gen, gen_chance(&gen, 1, 100) ? UINT64_C(1) << 43
                                                                    : UINT64_C(1) << 28);
            let_pass(&w, all, now_ns);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_passes_is_never_more_than_exact_fractions_allow_and_hardly_less),
        cmocka_unit_test(the_time_named_is_exact_to_the_nanosecond),
        cmocka_unit_test(everybody_on_a_wheel_wakes_in_the_millisecond_of_their_time),
    };

    gen_init_from_env(&gen);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
