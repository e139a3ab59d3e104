/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_chooser_strangers.c – stolen boxes, reflectors of other sites, forged beacons.
 */
/* LINKS: sim_world */
#include "support/choosing_stage.h"

enum { MINUTE_MS = 60000, FORGED = 16 };
static const char SERIAL_OF_A[] = "02";

/* ---- stolen ---------------------------------------------------------------------------------- */

static void a_stolen_reflector_is_not_tried_again_and_again(void **state)
{
    struct stage *g = *state;

    g->revoked = SERIAL_OF_A;
    start(g, HUB, true, false);
    run_ms(g, 60 * MINUTE_MS);
    assert_string_equal(at(g), "b");
    expect_reason(g, "a", "revoked");
    assert_int_equal(g->actors[A].greeted, 2); /* the first call, which nobody was asked before */
    assert_int_equal(g->actors[A].asked_here, 0);
    print_message("it was looked at %u times in an hour\n", g->actors[A].liar.accepted);
    assert_in_range(g->actors[A].liar.accepted, 3, 10); /* it may have got another certificate */
}

static void a_reflector_that_is_revoked_is_left_and_not_called_again(void **state)
{
    struct stage *g = *state;

    start(g, HUB, true, false);
    run_ms(g, 5000);
    assert_string_equal(at(g), "a");
    const unsigned greeted = g->actors[A].greeted;
    g->revoked = SERIAL_OF_A;
    upstream_suspect(g->upstream, alb_fail(ALB_REFUSED, "the parent's certificate was revoked"));
    run_ms(g, 30 * MINUTE_MS);
    assert_string_equal(at(g), "b");
    assert_in_range(g->actors[A].greeted - greeted, 0, 2);
}

static void the_only_one_being_stolen_it_waits_for_a_new_certificate(void **state)
{
    struct stage *g = *state;

    g->revoked = SERIAL_OF_A;
    for (unsigned i = B; i <= HUB; i++)
        die(g, i);
    start(g, A, true, false);
    run_ms(g, 30 * MINUTE_MS);
    assert_string_equal(at(g), "");
    expect_reason(g, "a", "revoked");
    assert_in_range(g->actors[A].greeted, 0, 4);
    g->revoked = NULL;
    run_ms(g, 15 * MINUTE_MS);
    assert_string_equal(at(g), "a");
}

/* ---- another site's -------------------------------------------------------------------------- */

static void make_list_of_elsewhere(struct stage *g)
{
    snprintf(g->list.site, sizeof g->list.site, "south");
    g->list.number = 8;
    g->list.holder_count = 0;
}

static void one_remembered_from_another_site_is_no_lan_and_comes_behind_the_hub(void **state)
{
    struct stage *g = *state;

    start(g, HUB, true, false);
    run_ms(g, 5000);
    assert_string_equal(at(g), "a");
    assert_true(chooser_is_lan(g->chooser));
    stop(g);
    run_ms(g, 1000);
    make_list_of_elsewhere(g); /* carried while it was off */
    start(g, HUB, true, false);
    run_ms(g, 2000);
    assert_false(chooser_is_lan(g->chooser));
    run_ms(g, MINUTE_MS);
    assert_string_equal(at(g), "hub");
    expect_reason(g, "a", "worse");
}

static void one_remembered_comes_behind_the_hub_when_a_tunnel_leads_out_of_nowhere(void **state)
{
    const struct net_place away = {.address_count = 1, .has_vpn = true};
    struct stage *g = *state;

    start(g, HUB, true, false);
    run_ms(g, 5000);
    assert_string_equal(at(g), "a");
    stop(g);
    run_ms(g, 1000);
    make_list_of_elsewhere(g);
    g->list.site[0] = '\0';
    start(g, HUB, true, false);
    chooser_moved(g->chooser, &away);
    run_ms(g, MINUTE_MS);
    assert_string_equal(at(g), "hub");
}

static void a_configured_reflector_of_another_site_is_used_as_one_over_a_wan(void **state)
{
    struct stage *g = *state;

    make_list_of_elsewhere(g);
    start(g, A, true, false);
    run_ms(g, 2 * MINUTE_MS);
    assert_string_equal(at(g), "a");
    assert_false(chooser_is_lan(g->chooser));
    g->list.holders[0].depth = 0;
    g->list.holder_count = 1; /* it moved into our site */
    chooser_set_list(g->chooser, &g->list);
    run_ms(g, 100);
    assert_true(chooser_is_lan(g->chooser));
}

static void without_a_site_the_configured_reflector_is_the_branchs_own(void **state)
{
    struct stage *g = *state;

    make_list_of_elsewhere(g);
    g->list.site[0] = '\0';
    start(g, A, true, false);
    run_ms(g, 2 * MINUTE_MS);
    assert_string_equal(at(g), "a");
    assert_true(chooser_is_lan(g->chooser));
}

static void places_are_written_as_they_are_typed(void **state)
{
    const struct upstream_place four = {.host = "10.1.0.5", .port = 7443};
    const struct upstream_place six = {.host = "2001:db8::5", .port = 7443};

    (void)state;
    assert_string_equal(upstream_place_text(&four).text, "10.1.0.5:7443");
    assert_string_equal(upstream_place_text(&six).text, "[2001:db8::5]:7443");
}

/* ---- forged beacons -------------------------------------------------------------------------- */

static void forge(struct stage *g, unsigned turn)
{
    struct upstream_place places[FORGED];

    for (unsigned i = 0; i < FORGED; i++) {
        places[i] = (struct upstream_place){.port = (uint16_t)(1000 + (turn * FORGED + i) % 60000)};
        snprintf(places[i].host, sizeof places[i].host, "b");
    }
    chooser_set_beacons(g->chooser, places, FORGED);
}

static void forged_beacons_move_nobody_and_nothing_is_told_for_them(void **state)
{
    struct stage *g = *state;

    start(g, HUB, true, false);
    run_ms(g, MINUTE_MS);
    assert_string_equal(at(g), "a");
    const unsigned ups = g->ups, changes = g->changes;
    for (unsigned i = 0; i < 3600; i++) {
        forge(g, i);
        run_ms(g, 1000);
    }
    assert_string_equal(at(g), "a");
    assert_int_equal(g->ups, ups);
    assert_int_equal(g->changes, changes);
}

static void forged_beacons_do_not_keep_it_from_the_hub(void **state)
{
    struct stage *g = *state;

    start(g, HUB, true, false);
    run_ms(g, MINUTE_MS);
    assert_string_equal(at(g), "a");
    for (unsigned i = A; i <= PARENT; i++)
        die(g, i);
    g->up_ns = 0;
    unsigned turns = 0;
    for (; turns < 60 && g->up_ns == 0; turns++) {
        forge(g, turns);
        run_ms(g, 1000);
    }
    print_message("at the hub after %u s\n", turns);
    assert_in_range(turns, 1, 15);
    assert_string_equal(at(g), "hub");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stolen_reflector_is_not_tried_again_and_again),
        TEST(a_reflector_that_is_revoked_is_left_and_not_called_again),
        TEST(the_only_one_being_stolen_it_waits_for_a_new_certificate),
        TEST(one_remembered_from_another_site_is_no_lan_and_comes_behind_the_hub),
        TEST(one_remembered_comes_behind_the_hub_when_a_tunnel_leads_out_of_nowhere),
        TEST(a_configured_reflector_of_another_site_is_used_as_one_over_a_wan),
        TEST(without_a_site_the_configured_reflector_is_the_branchs_own),
        TEST(places_are_written_as_they_are_typed),
        TEST(forged_beacons_move_nobody_and_nothing_is_told_for_them),
        TEST(forged_beacons_do_not_keep_it_from_the_hub),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
