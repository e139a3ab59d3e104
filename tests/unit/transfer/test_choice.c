/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_choice.c – who is chosen, and why the others are not. */
#include "transfer/choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/units.h"

#define NOW (10000 * NS_PER_S)
#define LONG_AGO (1000 * NS_PER_S)

struct table {
    struct choice_candidate list[CHOICE_MAX];
    size_t count;
    struct site_terms terms;
    struct choice_held held;
    uint64_t now_ns;
    struct choice out;
};

enum { A, B, PARENT, HUB };

/* Two reflectors of the site, A on the own subnet; one of the site above; the hub: all good. */
static struct table branch(void)
{
    struct table t = {.count = 4, .now_ns = NOW};

    t.held = (struct choice_held){.index = CHOICE_NONE, .return_after_ns = CHOICE_RETURN_FIRST_NS};
    t.list[A] = (struct choice_candidate){
        .device = "a", .tier = CHOICE_SAME_SUBNET, .latency_us = 300, .order = 0};
    t.list[B] = (struct choice_candidate){
        .device = "b", .tier = CHOICE_SAME_SITE, .latency_us = 500, .order = 1};
    t.list[PARENT] = (struct choice_candidate){
        .device = "p", .tier = CHOICE_PARENT_SITE, .depth = 1, .latency_us = 20000};
    t.list[HUB] =
        (struct choice_candidate){.device = "hub", .tier = CHOICE_HUB, .latency_us = 40000};
    for (size_t i = 0; i < t.count; i++)
        t.list[i].good_since_ns = LONG_AGO;
    return t;
}

static void hold(struct table *t, size_t index)
{
    t->held.index = index;
    t->held.is_up = true;
}

static void fails(struct table *t, size_t i, uint64_t since_ns)
{
    t->list[i].good_since_ns = 0;
    t->list[i].bad_since_ns = since_ns;
    t->list[i].failed_until_ns = t->now_ns + NS_PER_S;
}

static size_t decide(struct table *t)
{
    choice_decide(t->list, t->count, &t->terms, &t->held, t->now_ns, &t->out);
    return t->out.chosen;
}

static void the_nearest_by_the_tree_is_chosen_and_the_hub_is_the_last(void **state)
{
    struct table t = branch();

    (void)state;
    assert_int_equal(decide(&t), A);
    assert_true(t.out.is_move);
    assert_int_equal(t.out.reasons[B], CHOICE_WORSE);
    assert_int_equal(t.out.reasons[PARENT], CHOICE_WORSE);
    assert_int_equal(t.out.reasons[HUB], CHOICE_LAST);
    fails(&t, A, LONG_AGO);
    assert_int_equal(decide(&t), B);
    assert_int_equal(t.out.reasons[A], CHOICE_FAILED);
    fails(&t, B, LONG_AGO);
    assert_int_equal(decide(&t), PARENT);
    fails(&t, PARENT, LONG_AGO);
    assert_int_equal(decide(&t), HUB);
}

static void nobody_goes_over_a_wan_before_who_is_nearer_was_given_up(void **state)
{
    struct table t = branch();

    (void)state;
    hold(&t, A);
    t.held.is_up = false;
    fails(&t, A, NOW - NS_PER_S);
    fails(&t, B, NOW - NS_PER_S / 2);
    assert_int_equal(decide(&t), A); /* which is called again */
    assert_int_equal(t.out.reasons[PARENT], CHOICE_NOT_YET);
    assert_int_equal(t.out.reasons[HUB], CHOICE_NOT_YET);
    t.now_ns = NOW - NS_PER_S / 2 + CHOICE_PATIENCE_NS;
    assert_int_equal(decide(&t), PARENT);
}

static void who_was_not_asked_yet_is_waited_for_before_a_wan_is_used(void **state)
{
    struct table t = branch();

    (void)state;
    t.list[A].good_since_ns = t.list[B].good_since_ns = 0;
    assert_int_equal(decide(&t), A);
    assert_int_equal(t.out.reasons[HUB], CHOICE_NOT_YET);
    assert_int_equal(choice_worth_asking(t.list, t.count, &t.terms, HUB, NOW), A);
    t.list[A].failed_until_ns = NOW + 1;
    assert_int_equal(choice_worth_asking(t.list, t.count, &t.terms, HUB, NOW), B);
    assert_int_equal(choice_worth_asking(t.list, t.count, &t.terms, B, NOW), CHOICE_NONE);
    assert_int_equal(choice_worth_asking(t.list, t.count, &t.terms, B, NOW + 2), A);
}

static void a_site_that_always_uses_reflectors_waits_and_never_uses_the_hub(void **state)
{
    struct table t = branch();

    (void)state;
    t.terms.use = SITE_USE_ALWAYS;
    hold(&t, HUB);
    for (size_t i = A; i < HUB; i++)
        t.list[i].refused_until_ns = NOW + 60 * NS_PER_S;
    assert_int_equal(decide(&t), CHOICE_NONE);
    assert_int_equal(t.out.reasons[HUB], CHOICE_FORBIDDEN);
    assert_int_equal(t.out.reasons[A], CHOICE_REFUSED);
    assert_true(t.out.again_ns == NOW + 60 * NS_PER_S);
}

static void where_the_hub_is_one_of_many_the_nearer_and_idler_one_is_chosen(void **state)
{
    struct table t = branch();

    (void)state;
    t.terms.use = SITE_USE_DIRECT;
    assert_int_equal(decide(&t), A);
    for (size_t i = A; i < HUB; i++) {
        t.list[i].load_percent = 100;
        t.list[i].latency_us = 60000;
    }
    assert_int_equal(decide(&t), HUB);
}

static void the_terms_of_the_site_go_before_the_tree(void **state)
{
    struct table t = branch();

    (void)state;
    t.terms.latency_ms = 100;
    t.terms.load_percent = 80;
    t.list[A].latency_us = 150000;
    assert_int_equal(decide(&t), B);
    assert_int_equal(t.out.reasons[A], CHOICE_TOO_FAR);
    t.list[B].load_percent = 90;
    assert_int_equal(decide(&t), PARENT);
    assert_int_equal(t.out.reasons[B], CHOICE_TOO_BUSY);
}

static void a_preferred_one_is_returned_to_when_it_was_good_for_long_enough(void **state)
{
    struct table t = branch();

    (void)state;
    hold(&t, B);
    t.list[A].good_since_ns = NOW - 10 * NS_PER_S;
    assert_int_equal(decide(&t), B);
    assert_int_equal(t.out.reasons[A], CHOICE_NOT_YET);
    assert_true(t.out.again_ns == NOW + 20 * NS_PER_S);
    t.now_ns = t.out.again_ns;
    assert_int_equal(decide(&t), A);
    t.held.is_busy = true;
    assert_int_equal(decide(&t), B);
    assert_int_equal(t.out.reasons[A], CHOICE_NOT_NOW);
    assert_int_equal(t.out.awaited, A);
    t.held.is_new_place = true;
    assert_int_equal(decide(&t), A);
}

static void the_time_until_a_return_doubles_while_returns_do_not_last(void **state)
{
    uint64_t after_ns = choice_return_after(0, 0);

    (void)state;
    assert_true(after_ns == 30 * NS_PER_S);
    for (unsigned i = 0; i < 10; i++)
        after_ns = choice_return_after(after_ns, 5 * NS_PER_S);
    assert_true(after_ns == 600 * NS_PER_S);
    assert_true(choice_return_after(after_ns, 3600 * NS_PER_S) == 30 * NS_PER_S);
}

static void a_slow_one_is_kept(void **state)
{
    struct table t = branch();

    (void)state;
    hold(&t, A);
    t.list[A].latency_us = 900000; /* its line is full, say */
    t.list[A].load_percent = 100;
    t.list[A].is_cut_off = true;
    assert_int_equal(decide(&t), A);
    assert_int_equal(t.out.reasons[HUB], CHOICE_LAST);
    assert_int_equal(t.out.reasons[PARENT], CHOICE_WORSE);
}

static void nobody_moves_between_equals_for_a_little(void **state)
{
    struct table t = branch();

    (void)state;
    t.list[A].tier = CHOICE_SAME_SITE;
    hold(&t, B);
    t.list[B].load_percent = 30;
    assert_int_equal(decide(&t), B);
    assert_int_equal(t.out.reasons[A], CHOICE_NO_GAIN);
    t.list[B].load_percent = 60;
    assert_int_equal(decide(&t), A);
}

static void who_drains_keeps_those_it_has_only_while_there_is_no_other(void **state)
{
    struct table t = branch();

    (void)state;
    t.list[A].state = REFLECTOR_DRAIN;
    assert_int_equal(decide(&t), B);
    assert_int_equal(t.out.reasons[A], CHOICE_DRAINING);
    hold(&t, A);
    assert_int_equal(decide(&t), B);
    t.count = 1;
    assert_int_equal(decide(&t), A);
}

static void who_is_suspended_or_cut_off_gives_way_within_the_site_but_not_to_a_wan(void **state)
{
    struct table t = branch();

    (void)state;
    t.list[A].state = REFLECTOR_SUSPEND;
    assert_int_equal(decide(&t), B);
    t.list[B].is_cut_off = true;
    assert_int_equal(decide(&t), A);
    t.list[A].lacks_until_ns = NOW + 60 * NS_PER_S;
    hold(&t, A);
    assert_int_equal(decide(&t), B);
    t.list[B].lacks_until_ns = NOW + 60 * NS_PER_S;
    assert_int_equal(decide(&t), PARENT);
    t.list[PARENT].lacks_until_ns = NOW + 60 * NS_PER_S;
    assert_int_equal(decide(&t), HUB); /* the next one is asked */
}

static void nobody_is_chosen_who_is_foreign_disabled_or_below(void **state)
{
    struct table t = branch();

    (void)state;
    t.list[A].is_foreign = true;
    t.list[B].state = REFLECTOR_DISABLE;
    t.list[PARENT].is_below = true;
    hold(&t, PARENT);
    assert_int_equal(decide(&t), HUB);
    assert_int_equal(t.out.reasons[A], CHOICE_FOREIGN);
    assert_int_equal(t.out.reasons[B], CHOICE_CLOSED);
    assert_int_equal(t.out.reasons[PARENT], CHOICE_BELOW);
}

static void one_that_is_being_called_is_not_left_for_an_equal_one(void **state)
{
    struct table t = branch();

    (void)state;
    t.list[A].tier = CHOICE_SAME_SITE;
    t.list[A].order = 1;
    t.held.index = B;
    t.list[B].good_since_ns = 0;
    t.list[B].latency_us = 0;
    assert_int_equal(decide(&t), B);
    fails(&t, B, NOW);
    assert_int_equal(decide(&t), A);
}

static void a_revoked_certificate_bars_whoever_shows_it(void **state)
{
    struct table t = branch();

    (void)state;
    hold(&t, A);
    t.list[A].is_revoked = true;
    assert_int_equal(decide(&t), B);
    assert_int_equal(t.out.reasons[A], CHOICE_REVOKED);
    assert_true(t.out.is_move); /* although it is up */
    t.count = 1;
    assert_int_equal(decide(&t), CHOICE_NONE);
}

static void another_sites_reflector_comes_behind_the_hub_unless_forbidden(void **state)
{
    struct table t = branch();

    (void)state;
    t.list[A].tier = CHOICE_ELSEWHERE;
    t.list[A].latency_us = 100;
    assert_int_equal(decide(&t), B);
    fails(&t, B, LONG_AGO);
    fails(&t, PARENT, LONG_AGO);
    assert_int_equal(decide(&t), HUB);
    fails(&t, HUB, LONG_AGO);
    assert_int_equal(decide(&t), A);
    t.terms.use = SITE_USE_ALWAYS;
    t.list[B].refused_until_ns = t.list[PARENT].refused_until_ns = t.now_ns + NS_PER_S;
    assert_int_equal(decide(&t), CHOICE_NONE);
    assert_int_equal(t.out.reasons[A], CHOICE_FORBIDDEN);
}

static void forged_beacons_in_a_crowd_keep_nobody_from_the_hub(void **state)
{
    struct table t = branch();

    (void)state;
    hold(&t, A);
    t.held.is_up = false;
    for (size_t i = A; i <= PARENT; i++)
        fails(&t, i, LONG_AGO);
    for (size_t i = 0; i < 16; i++) {
        t.list[t.count++] = (struct choice_candidate){
            .from = CHOICE_BY_BEACON, .tier = CHOICE_SAME_SUBNET, .order = 200};
        if (i == 0)
            assert_int_equal(decide(&t), A); /* one is asked first: it may be a reflector */
    }
    assert_int_equal(decide(&t), HUB);
    t.list[HUB].good_since_ns = 0;
    t.list[B].failed_until_ns = 0;
    assert_int_equal(choice_worth_asking(t.list, t.count, &t.terms, A, t.now_ns), B);
}

static void every_reason_has_words(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CHOICE_REASONS; i++) {
        assert_non_null(choice_reason_word((enum choice_reason)i));
        assert_non_null(choice_reason_text((enum choice_reason)i));
    }
    assert_string_equal(choice_tier_word(CHOICE_HUB), "hub");
    assert_string_equal(choice_from_word(CHOICE_BY_CONFIGURATION), "configuration");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_by_the_tree_is_chosen_and_the_hub_is_the_last),
        cmocka_unit_test(nobody_goes_over_a_wan_before_who_is_nearer_was_given_up),
        cmocka_unit_test(who_was_not_asked_yet_is_waited_for_before_a_wan_is_used),
        cmocka_unit_test(a_site_that_always_uses_reflectors_waits_and_never_uses_the_hub),
        cmocka_unit_test(where_the_hub_is_one_of_many_the_nearer_and_idler_one_is_chosen),
        cmocka_unit_test(the_terms_of_the_site_go_before_the_tree),
        cmocka_unit_test(a_preferred_one_is_returned_to_when_it_was_good_for_long_enough),
        cmocka_unit_test(the_time_until_a_return_doubles_while_returns_do_not_last),
        cmocka_unit_test(a_slow_one_is_kept),
        cmocka_unit_test(nobody_moves_between_equals_for_a_little),
        cmocka_unit_test(who_drains_keeps_those_it_has_only_while_there_is_no_other),
        cmocka_unit_test(who_is_suspended_or_cut_off_gives_way_within_the_site_but_not_to_a_wan),
        cmocka_unit_test(nobody_is_chosen_who_is_foreign_disabled_or_below),
        cmocka_unit_test(one_that_is_being_called_is_not_left_for_an_equal_one),
        cmocka_unit_test(a_revoked_certificate_bars_whoever_shows_it),
        cmocka_unit_test(another_sites_reflector_comes_behind_the_hub_unless_forbidden),
        cmocka_unit_test(forged_beacons_in_a_crowd_keep_nobody_from_the_hub),
        cmocka_unit_test(every_reason_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
