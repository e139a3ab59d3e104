/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_choice.c – laws of the choice, over traces of facts that come and go for hours. */
/* LINKS: transfer store net shaper chunk wire base */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/units.h"
#include "support/gen.h"
#include "transfer/choice.h"

enum { TRACES = 300, STEPS_OF_TRACE = 1200, CANDIDATES = 8 };
#define STEP_NS (3 * NS_PER_S) /* so a trace is an hour */

static struct gen gen;

struct trace {
    struct choice_candidate list[CANDIDATES];
    size_t count;
    struct site_terms terms;
    struct choice_held held;
    uint64_t now_ns, returned_ns;
    unsigned moves, forced, returns;
};

static void make(struct trace *t)
{
    *t = (struct trace){.count = gen_range(&gen, 1, CANDIDATES), .now_ns = 1000 * NS_PER_S};
    t->terms = (struct site_terms){.use = (enum site_use)gen_below(&gen, 4),
                                   .latency_ms = gen_chance(&gen, 1, 3) ? 30 : 0,
                                   .load_percent = gen_chance(&gen, 1, 3) ? 70 : 0};
    for (size_t i = 0; i < t->count; i++) {
        t->list[i] = (struct choice_candidate){.tier = (enum choice_tier)gen_below(&gen, 4),
                                               .order = (unsigned)i};
        if (t->list[i].tier == CHOICE_PARENT_SITE)
            t->list[i].depth = (unsigned)gen_range(&gen, 1, 3);
    }
    t->held =
        (struct choice_held){.index = CHOICE_NONE, .return_after_ns = choice_return_after(0, 0)};
}

static void fall(struct trace *t, size_t i)
{
    struct choice_candidate *c = &t->list[i];

    if (c->bad_since_ns == 0)
        c->bad_since_ns = t->now_ns;
    c->good_since_ns = 0;
    c->failed_until_ns = t->now_ns + gen_below(&gen, 60) * NS_PER_S;
    if (i == t->held.index)
        t->held.is_up = false;
}

static void rise(struct trace *t, size_t i)
{
    struct choice_candidate *c = &t->list[i];

    if (c->good_since_ns == 0)
        c->good_since_ns = t->now_ns;
    c->bad_since_ns = c->failed_until_ns = 0;
    c->latency_us = gen_skewed(&gen, 200000) + 1;
}

/* `calm`: nobody fails or is closed; only latency, load and the like change. */
static void change(struct trace *t, bool calm)
{
    const size_t i = gen_below(&gen, t->count);
    struct choice_candidate *c = &t->list[i];

    switch (gen_below(&gen, calm ? 4 : 10)) {
    case 0: c->latency_us = gen_skewed(&gen, 400000) + 1; break;
    case 1: c->load_percent = (unsigned)gen_below(&gen, 101); break;
    case 2: c->is_cut_off = gen_chance(&gen, 1, 4); break;
    case 3: t->held.is_busy = gen_chance(&gen, 1, 2); break;
    case 4: fall(t, i); break;
    case 5: c->state = (enum reflector_state)gen_below(&gen, 4); break;
    case 6: c->refused_until_ns = t->now_ns + gen_below(&gen, 60) * NS_PER_S; break;
    case 7: c->lacks_until_ns = t->now_ns + gen_below(&gen, 60) * NS_PER_S; break;
    case 8: c->is_foreign = gen_chance(&gen, 1, 4); break;
    default: rise(t, i); break;
    }
}

static void obey(struct trace *t, const struct choice *c)
{
    if (!c->is_move)
        return;
    t->moves++;
    if (t->returned_ns != 0)
        t->held.return_after_ns =
            choice_return_after(t->held.return_after_ns, t->now_ns - t->returned_ns);
    t->returned_ns = c->is_return ? t->now_ns : 0;
    *(c->is_return ? &t->returns : &t->forced) += 1;
    t->held.index = c->chosen;
    t->held.since_ns = t->now_ns;
    t->held.is_up = c->chosen != CHOICE_NONE && t->list[c->chosen].good_since_ns != 0;
}

static void check(const struct trace *t, const struct choice *c)
{
    struct choice again;

    choice_decide(t->list, t->count, &t->terms, &t->held, t->now_ns, &again);
    assert_memory_equal(&again, c, sizeof again);
    assert_true(c->again_ns > t->now_ns);
    if (c->chosen == CHOICE_NONE)
        return;
    const struct choice_candidate *f = &t->list[c->chosen];
    assert_false(f->tier == CHOICE_HUB && t->terms.use == SITE_USE_ALWAYS);
    assert_false(f->is_foreign || f->is_below);
    assert_int_not_equal(f->state, REFLECTOR_DISABLE);
    assert_int_equal(c->reasons[c->chosen], CHOICE_CHOSEN);
    for (size_t i = 0; i < t->count; i++)
        assert_true(i == c->chosen || c->reasons[i] != CHOICE_CHOSEN);
    if (c->is_return) {
        assert_false(t->held.is_busy);
        assert_true(f->good_since_ns + t->held.return_after_ns <= t->now_ns);
        assert_true(t->held.since_ns + t->held.return_after_ns <= t->now_ns);
    }
}

static void run(struct trace *t, bool calm)
{
    struct choice choice;

    for (unsigned step = 0; step < STEPS_OF_TRACE; step++) {
        for (unsigned k = (unsigned)gen_below(&gen, 4); k > 0; k--)
            change(t, calm);
        choice_decide(t->list, t->count, &t->terms, &t->held, t->now_ns, &choice);
        check(t, &choice);
        obey(t, &choice);
        t->now_ns += STEP_NS;
    }
}

static void nobody_is_chosen_who_must_not_be_and_equal_facts_give_the_same_answer(void **state)
{
    struct trace t;

    (void)state;
    for (unsigned i = 0; i < TRACES; i++) {
        make(&t);
        run(&t, false);
    }
}

/* The first choice, after 30 s another, then 1 min, 2, 4, 8, then every ten minutes: eleven. */
static void whatever_is_measured_there_are_few_moves_in_an_hour(void **state)
{
    struct trace t;
    unsigned most = 0;

    (void)state;
    for (unsigned i = 0; i < TRACES; i++) {
        make(&t);
        for (size_t k = 0; k < t.count; k++)
            rise(&t, k);
        run(&t, true);
        most = t.moves > most ? t.moves : most;
        assert_true(t.moves <= 12);
    }
    print_message("at most %u moves in an hour\n", most);
}

/* Facts that stay: after the longest return there is nothing left to do. */
static void with_facts_that_stay_it_settles_on_the_best(void **state)
{
    struct trace t;
    struct choice choice, fresh;

    (void)state;
    for (unsigned i = 0; i < TRACES * 10; i++) {
        make(&t);
        for (unsigned k = 0; k < 40; k++)
            change(&t, false);
        for (unsigned k = 0; k < 10; k++) {
            choice_decide(t.list, t.count, &t.terms, &t.held, t.now_ns, &choice);
            obey(&t, &choice);
            t.held.is_busy = false;
            t.now_ns += CHOICE_RETURN_MOST_NS;
        }
        choice_decide(t.list, t.count, &t.terms, &t.held, t.now_ns, &choice);
        assert_false(choice.is_move);
        const struct choice_held nobody = {.index = CHOICE_NONE};
        choice_decide(t.list, t.count, &t.terms, &nobody, t.now_ns, &fresh);
        if (fresh.chosen != CHOICE_NONE && t.list[fresh.chosen].good_since_ns != 0) {
            assert_int_not_equal(choice.chosen, CHOICE_NONE);
            if (t.terms.use != SITE_USE_DIRECT && t.list[fresh.chosen].tier != CHOICE_HUB)
                assert_int_not_equal(t.list[choice.chosen].tier, CHOICE_HUB);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_chosen_who_must_not_be_and_equal_facts_give_the_same_answer),
        cmocka_unit_test(whatever_is_measured_there_are_few_moves_in_an_hour),
        cmocka_unit_test(with_facts_that_stay_it_settles_on_the_best),
    };

    (void)gen_init_from_env(&gen);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
