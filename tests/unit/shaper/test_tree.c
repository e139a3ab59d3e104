/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/shaper/test_tree.c – who gets how much, in stories on a virtual clock. */
#include "shaper/tree.h"

#include "support/tree_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define OPEN                                                                                       \
    {                                                                                              \
        .ceiling_bps = TREE_UNLIMITED                                                              \
    }
#define assert_near(value, expected, percent)                                                      \
    do {                                                                                           \
        double value_ = (double)(value), expected_ = (double)(expected);                           \
        if (value_ < expected_ * (1 - (percent) / 100.0) ||                                        \
            value_ > expected_ * (1 + (percent) / 100.0))                                          \
            fail_msg(#value " is %.0f, not %.0f ± %d %%", value_, expected_, (percent));           \
    } while (0)

static struct node_terms terms(uint64_t assured_bps, uint64_t ceiling_bps, enum tree_class class)
{
    return (struct node_terms){
        .assured_bps = assured_bps, .ceiling_bps = ceiling_bps, .class = class};
}

static void one_hungry_leaf_gets_the_link_and_not_a_byte_more(void **state)
{
    struct stage *s = stage_new(10 * MBIT);
    struct actor *a = stage_leaf(s, NULL, (struct node_terms)OPEN);

    (void)state;
    stage_run_for(s, 10 * NS_PER_S);
    assert_true(a->got_bytes <= 12500000 + 25000); /* and the burst of 20 ms */
    assert_true(a->got_bytes + 3000 >= 12500000 + 25000);
    stage_free(s, NULL, 0);
}

static void without_a_limit_all_passes_at_once_and_nothing_waits(void **state)
{
    struct stage *s = stage_new(TREE_UNLIMITED);
    struct actor *a = stage_leaf(s, NULL, (struct node_terms)OPEN);

    (void)state;
    assert_int_equal(tree_leaf_want(a->leaf, UINT64_C(1) << 40, s->now_ns), UINT64_C(1) << 40);
    assert_true(tree_next_ns(s->tree) == UINT64_MAX);
    stage_free(s, NULL, 0);
}

static void the_least_of_the_ceilings_on_the_way_holds(void **state)
{
    struct stage *s = stage_new(50 * MBIT);
    struct tree_node *site = stage_node(s, NULL, terms(0, 4 * MBIT, TREE_INHERIT));
    struct tree_node *class = stage_node(s, site, terms(0, 20 * MBIT, TREE_NORMAL));
    struct actor *a = stage_leaf(s, class, terms(0, 9 * MBIT, TREE_INHERIT));

    (void)state;
    stage_run_for(s, NS_PER_S);
    assert_near(stage_rate(s, a, 10 * NS_PER_S), 4 * MBIT, 1);
    stage_free(s, (struct tree_node *[]){class, site}, 2);
}

static void a_ceiling_of_0_lets_nothing_pass_and_another_is_in_force_at_once(void **state)
{
    struct stage *s = stage_new(10 * MBIT);
    struct actor *a = stage_leaf(s, NULL, (struct node_terms){0});
    struct node_terms open = OPEN, off = {0};

    (void)state;
    assert_int_equal(tree_leaf_ceiling_bps(a->leaf), 0);
    stage_run_for(s, 100 * NS_PER_S);
    assert_int_equal(a->got_bytes, 0);
    tree_node_set_terms(a->leaf, &open, s->now_ns);
    assert_int_equal(tree_leaf_ceiling_bps(a->leaf), 10 * MBIT);
    assert_near(stage_rate(s, a, NS_PER_S), 10 * MBIT, 3);
    tree_node_set_terms(a->leaf, &off, s->now_ns);
    assert_int_equal(stage_rate(s, a, NS_PER_S), 0);
    stage_free(s, NULL, 0);
}

static void a_new_limit_under_load_overshoots_by_no_more_than_its_burst(void **state)
{
    struct stage *s = stage_new(50 * MBIT);
    struct actor *a = stage_leaf(s, NULL, (struct node_terms)OPEN);
    struct node_terms thin = terms(0, MBIT, TREE_INHERIT);

    (void)state;
    stage_run_for(s, NS_PER_S);
    for (unsigned ms = 1; ms <= 1000; ms *= 10) {
        struct node_terms wide = terms(0, 50 * MBIT, TREE_INHERIT);
        tree_node_set_terms(tree_link(s->tree), &thin, s->now_ns);
        uint64_t before = a->got_bytes;
        stage_run_for(s, ms * NS_PER_MS);
        assert_true(a->got_bytes - before <= 3000 + ms * 125);
        tree_node_set_terms(tree_link(s->tree), &wide, s->now_ns);
        stage_run_for(s, NS_PER_S);
    }
    stage_free(s, NULL, 0);
}

static void urgent_goes_before_normal_before_scavengers_wherever_they_are(void **state)
{
    struct stage *s = stage_new(10 * MBIT);
    struct tree_node *a = stage_node(s, NULL, (struct node_terms)OPEN);
    struct tree_node *b = stage_node(s, NULL, (struct node_terms)OPEN);
    struct actor *scavenger = stage_leaf(s, a, terms(0, TREE_UNLIMITED, TREE_SCAVENGER));
    struct actor *urgent = stage_leaf(s, a, terms(0, 3 * MBIT, TREE_URGENT));
    struct actor *normal = stage_leaf(s, b, terms(0, 5 * MBIT, TREE_NORMAL));

    (void)state;
    stage_run_for(s, NS_PER_S);
    uint64_t urgent_before = urgent->got_bytes, normal_before = normal->got_bytes;
    assert_near(stage_rate(s, scavenger, 5 * NS_PER_S), 2 * MBIT, 2);
    assert_near((urgent->got_bytes - urgent_before) * 8 / 5, 3 * MBIT, 1);
    assert_near((normal->got_bytes - normal_before) * 8 / 5, 5 * MBIT, 1);
    tree_node_set_terms(normal->leaf, &(struct node_terms)OPEN, s->now_ns);
    stage_run_for(s, NS_PER_S);
    assert_int_equal(stage_rate(s, scavenger, 5 * NS_PER_S), 0);
    stage_free(s, (struct tree_node *[]){a, b}, 2);
}

static void a_scavenger_keeps_what_it_is_assured_beside_any_urgency(void **state)
{
    struct stage *s = stage_new(10 * MBIT);
    struct tree_node *site = stage_node(s, NULL, (struct node_terms)OPEN);
    struct tree_node *bulk = stage_node(s, site, terms(MBIT, TREE_UNLIMITED, TREE_SCAVENGER));
    struct actor *scavenger = stage_leaf(s, bulk, (struct node_terms)OPEN);
    struct actor *urgent = stage_leaf(s, NULL, terms(0, TREE_UNLIMITED, TREE_URGENT));

    (void)state;
    stage_run_for(s, NS_PER_S);
    assert_near(stage_rate(s, scavenger, 10 * NS_PER_S), MBIT, 2);
    stage_stop(s, urgent);
    stage_run_for(s, 10 * NS_PER_S); /* it borrows all, and is not made to pay for it */
    urgent->is_hungry = true;
    assert_near(stage_rate(s, scavenger, 2 * NS_PER_S), MBIT, 3);
    stage_free(s, (struct tree_node *[]){bulk, site}, 2);
}

static void what_is_assured_comes_first_and_the_rest_is_shared_by_weight(void **state)
{
    struct stage *s = stage_new(12 * MBIT);
    struct actor *assured = stage_leaf(s, NULL, terms(3 * MBIT, TREE_UNLIMITED, TREE_INHERIT));
    struct actor *heavy = stage_leaf(s, NULL, (struct node_terms)OPEN);
    struct actor *light = stage_leaf(s, NULL, (struct node_terms)OPEN);
    struct node_terms sevenfold = {.ceiling_bps = TREE_UNLIMITED, .weight = 7};

    (void)state;
    tree_node_set_terms(heavy->leaf, &sevenfold, s->now_ns);
    stage_run_for(s, NS_PER_S);
    uint64_t heavy_before = heavy->got_bytes, light_before = light->got_bytes;
    assert_near(stage_rate(s, assured, 20 * NS_PER_S), 4 * MBIT, 1);
    assert_near((heavy->got_bytes - heavy_before) * 8 / 20, 7 * MBIT, 1);
    assert_near((light->got_bytes - light_before) * 8 / 20, MBIT, 2);
    stage_free(s, NULL, 0);
}

static void who_is_assured_something_gets_a_share_of_the_rest_though_it_asks_for_little(
    void **state)
{
    (void)state;
    for (uint64_t ask = 4096; ask <= 65536; ask *= 4) {
        struct stage *s = stage_new(50 * MBIT);
        struct tree_node *site = stage_node(s, NULL, terms(MBIT, TREE_UNLIMITED, TREE_INHERIT));
        struct actor *a = stage_leaf(s, site, (struct node_terms)OPEN);
        a->ask_bytes = ask;
        for (unsigned i = 0; i < 16; i++)
            stage_leaf(s, NULL, (struct node_terms)OPEN);
        stage_run_for(s, NS_PER_S);
        assert_near(stage_rate(s, a, 20 * NS_PER_S), MBIT + 49 * MBIT / 17, 5);
        stage_free(s, &site, 1);
    }
}

static void a_leaf_that_has_sent_may_become_a_site(void **state)
{
    struct stage *s = stage_new(8 * MBIT);
    struct actor *other = stage_leaf(s, NULL, (struct node_terms)OPEN);
    struct actor *a = stage_leaf(s, NULL, terms(MBIT, TREE_UNLIMITED, TREE_INHERIT));
    struct tree_node *site = a->leaf;

    (void)state;
    stage_run_for(s, NS_PER_S);
    stage_stop(s, a);
    a->leaf = stage_node(s, site, (struct node_terms)OPEN);
    tree_node_set_arg(a->leaf, a);
    a->is_hungry = true;
    stage_run_for(s, NS_PER_S);
    assert_near(stage_rate(s, a, 10 * NS_PER_S), MBIT + 7 * MBIT / 2, 2);
    assert_true(other->got_bytes > 0);
    stage_free(s, &site, 1);
}

static void a_share_that_lies_idle_is_used_within_200_ms_and_given_back_as_fast(void **state)
{
    struct stage *s = stage_new(10 * MBIT);
    struct tree_node *here = stage_node(s, NULL, terms(5 * MBIT, TREE_UNLIMITED, TREE_INHERIT));
    struct tree_node *there = stage_node(s, NULL, terms(5 * MBIT, TREE_UNLIMITED, TREE_INHERIT));
    struct actor *a = stage_leaf(s, here, (struct node_terms)OPEN);
    struct actor *b = stage_leaf(s, there, (struct node_terms)OPEN);

    (void)state;
    stage_run_for(s, 2 * NS_PER_S);
    assert_near(stage_rate(s, a, NS_PER_S), 5 * MBIT, 3);
    stage_stop(s, b);
    stage_run_for(s, 20 * NS_PER_MS);
    assert_near(stage_rate(s, a, 180 * NS_PER_MS), 10 * MBIT, 5);
    b->is_hungry = true;
    stage_run_for(s, 50 * NS_PER_MS);
    assert_near(stage_rate(s, b, 150 * NS_PER_MS), 5 * MBIT, 10);
    stage_free(s, (struct tree_node *[]){here, there}, 2);
}

static void the_small_and_seldom_are_not_kept_waiting_behind_the_greedy(void **state)
{
    struct stage *s = stage_new(10 * MBIT);
    struct actor *greedy[40], *seldom;

    (void)state;
    for (unsigned i = 0; i < 40; i++)
        greedy[i] = stage_leaf(s, NULL, (struct node_terms)OPEN);
    seldom = stage_leaf(s, NULL, terms(0, TREE_UNLIMITED, TREE_URGENT));
    stage_stop(s, seldom);
    stage_run_for(s, NS_PER_S);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(tree_leaf_want(seldom->leaf, 1000, s->now_ns), 0);
        seldom->queued_bytes = 1000;
        stage_run_for(s, 7 * NS_PER_MS + i * 1000);
        assert_int_equal(seldom->queued_bytes, 0);
    }
    assert_true(greedy[39]->got_bytes > 0);
    stage_free(s, NULL, 0);
}

static void who_asks_again_each_time_gets_as_much_as_who_asks_for_much_at_once(void **state)
{
    struct stage *s = stage_new(20 * MBIT);
    struct actor *small = stage_leaf(s, NULL, (struct node_terms)OPEN);
    struct actor *large = stage_leaf(s, NULL, (struct node_terms)OPEN);

    (void)state;
    small->ask_bytes = 1400;
    large->ask_bytes = 1 << 20;
    stage_run_for(s, NS_PER_S);
    uint64_t before = small->got_bytes;
    assert_near(stage_rate(s, large, 10 * NS_PER_S), 10 * MBIT, 2);
    assert_near((small->got_bytes - before) * 8 / 10, 10 * MBIT, 2);
    stage_free(s, NULL, 0);
}

static void clients_that_come_and_go_leave_nothing_behind(void **state)
{
    struct stage *s = stage_new(MBIT);
    struct tree_node *site = stage_node(s, NULL, (struct node_terms)OPEN);
    struct node_figures figures;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct node_terms t = terms(i % 3 * 1000, i % 7 * 1000, 1 + i % 3);
        struct tree_node *leaf = tree_node_new(s->tree, site, &t, s->now_ns);
        tree_leaf_want(leaf, 1 + i % 9000, s->now_ns);
        if (i % 5 == 0)
            tree_leaf_charge(leaf, i % 3000, s->now_ns);
        assert_null(tree_node_free(leaf, s->now_ns));
        s->now_ns += i % 3 * NS_PER_MS;
    }
    tree_node_figures(site, &figures);
    assert_int_equal(figures.children, 0);
    assert_false(figures.is_waiting);
    assert_true(tree_next_ns(s->tree) == UINT64_MAX);
    stage_free(s, &site, 1);
}

static void a_refund_is_there_for_the_next_who_asks(void **state)
{
    struct stage *s = stage_new(MBIT);
    struct actor *a = stage_leaf(s, NULL, (struct node_terms)OPEN);
    struct actor *b = stage_leaf(s, NULL, (struct node_terms)OPEN);

    (void)state;
    uint64_t got = tree_leaf_want(a->leaf, 1 << 20, s->now_ns);
    assert_int_equal(got, 3000);
    assert_int_equal(tree_leaf_want(b->leaf, 2000, s->now_ns), 0);
    b->queued_bytes = 2000;
    tree_leaf_refund(a->leaf, got, s->now_ns);
    assert_int_equal(tree_next_ns(s->tree), 0);
    a->is_hungry = b->is_hungry = false;
    tree_run(s->tree, s->now_ns, stage_on_granted, s);
    assert_int_equal(b->got_bytes, 2000);
    stage_free(s, NULL, 0);
}

static void what_was_charged_beyond_the_grant_is_waited_for(void **state)
{
    struct stage *s = stage_new(8 * MBIT);
    struct actor *a = stage_leaf(s, NULL, (struct node_terms)OPEN);

    (void)state;
    tree_leaf_charge(a->leaf, 1000000 + 20000, s->now_ns); /* the burst, and a second's worth */
    assert_int_equal(stage_rate(s, a, NS_PER_S), 0);
    assert_near(stage_rate(s, a, NS_PER_S), 8 * MBIT, 1);
    stage_free(s, NULL, 0);
}

static void a_clock_that_runs_backwards_stops_nobody_for_long(void **state)
{
    struct stage *s = stage_new(8 * MBIT);
    struct actor *a = stage_leaf(s, NULL, (struct node_terms)OPEN);

    (void)state;
    stage_run_for(s, NS_PER_S);
    s->now_ns -= 600 * NS_PER_S;
    tree_run(s->tree, s->now_ns, stage_on_granted, s); /* or whoever asks next */
    assert_near(stage_rate(s, a, NS_PER_S), 8 * MBIT, 1);
    s->now_ns += 86400 * NS_PER_S; /* a suspend */
    uint64_t before = a->got_bytes;
    stage_run_for(s, 0);
    assert_true(a->got_bytes - before <= 20000);
    assert_near(stage_rate(s, a, NS_PER_S), 8 * MBIT, 1);
    stage_free(s, NULL, 0);
}

static void absurd_terms_are_held_within_what_makes_sense(void **state)
{
    struct stage *s = stage_new(10 * MBIT);
    struct node_terms absurd = {.assured_bps = UINT64_MAX,
                                .ceiling_bps = 800,
                                .weight = UINT32_MAX,
                                .class = TREE_SCAVENGER,
                                .burst_bytes = 1};
    struct actor *a = stage_leaf(s, NULL, absurd);
    struct node_figures figures;

    (void)state;
    assert_near(stage_rate(s, a, 1000 * NS_PER_S), 800, 4); /* a packet each 14 s */
    absurd.burst_bytes = UINT32_MAX;
    tree_node_set_terms(a->leaf, &absurd, s->now_ns);
    assert_near(stage_rate(s, a, 1000 * NS_PER_S), 800, 4);
    tree_node_figures(a->leaf, &figures);
    assert_int_equal(figures.granted_bytes, a->got_bytes);
    assert_int_equal(figures.terms.ceiling_bps, 800);
    assert_true(figures.is_waiting && figures.is_at_ceiling);
    assert_null(tree_free(NULL));
    assert_null(tree_node_free(NULL, 0));
    stage_free(s, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_hungry_leaf_gets_the_link_and_not_a_byte_more),
        cmocka_unit_test(without_a_limit_all_passes_at_once_and_nothing_waits),
        cmocka_unit_test(the_least_of_the_ceilings_on_the_way_holds),
        cmocka_unit_test(a_ceiling_of_0_lets_nothing_pass_and_another_is_in_force_at_once),
        cmocka_unit_test(a_new_limit_under_load_overshoots_by_no_more_than_its_burst),
        cmocka_unit_test(urgent_goes_before_normal_before_scavengers_wherever_they_are),
        cmocka_unit_test(a_scavenger_keeps_what_it_is_assured_beside_any_urgency),
        cmocka_unit_test(what_is_assured_comes_first_and_the_rest_is_shared_by_weight),
        cmocka_unit_test(
            who_is_assured_something_gets_a_share_of_the_rest_though_it_asks_for_little),
        cmocka_unit_test(a_leaf_that_has_sent_may_become_a_site),
        cmocka_unit_test(a_share_that_lies_idle_is_used_within_200_ms_and_given_back_as_fast),
        cmocka_unit_test(the_small_and_seldom_are_not_kept_waiting_behind_the_greedy),
        cmocka_unit_test(who_asks_again_each_time_gets_as_much_as_who_asks_for_much_at_once),
        cmocka_unit_test(clients_that_come_and_go_leave_nothing_behind),
        cmocka_unit_test(a_refund_is_there_for_the_next_who_asks),
        cmocka_unit_test(what_was_charged_beyond_the_grant_is_waited_for),
        cmocka_unit_test(a_clock_that_runs_backwards_stops_nobody_for_long),
        cmocka_unit_test(absurd_terms_are_held_within_what_makes_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
