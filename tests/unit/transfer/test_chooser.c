/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_chooser.c – a machine between two reflectors, one above, and the hub: who is
 * asked, who is taken, and how soon after a death, a silence, a refusal, a move. */
/* LINKS: sim_world */
#include "transfer/chooser.h"

#include "support/choosing_stage.h"

/* ---- tests ----------------------------------------------------------------------------------- */

static void at_the_start_the_nearest_is_taken_within_a_second(void **state)
{
    struct stage *g = *state;

    start(g, HUB, true, false);
    run_ms(g, 1000);
    assert_string_equal(at(g), "a");
    assert_int_equal(g->actors[HUB].liar.accepted, 0);
    assert_int_equal(g->actors[PARENT].liar.accepted, 0);
    expect_reason(g, "a", "chosen");
    expect_reason(g, "hub", "not_asked");
}

static void the_hub_is_left_when_the_list_comes_later(void **state)
{
    struct stage *g = *state;

    start(g, HUB, false, false);
    run_ms(g, 2000);
    assert_string_equal(at(g), "hub");
    chooser_set_list(g->chooser, &g->list);
    run_ms(g, 1000);
    assert_string_equal(at(g), "a");
}

static void a_sibling_takes_over_within_three_seconds_of_a_death(void **state)
{
    struct stage *g = *state;

    start(g, A, true, false);
    run_ms(g, 120000);
    assert_string_equal(at(g), "a");
    die(g, A);
    const uint64_t ms = ms_to_next_up(g, 25000);
    print_message("re-chosen %lu ms after a death\n", (unsigned long)ms);
    assert_true(ms <= 3000);
    assert_string_equal(at(g), "b");
    assert_int_equal(g->actors[HUB].liar.accepted, 0);
}

static void without_a_sibling_the_wan_is_used_after_some_patience(void **state)
{
    struct stage *g = *state;

    start(g, A, true, false);
    run_ms(g, 10000);
    die(g, A);
    die(g, B);
    uint64_t ms = ms_to_next_up(g, 25000);
    print_message("over the WAN %lu ms after all of the branch died\n", (unsigned long)ms);
    assert_true(ms >= 2000 && ms <= 4000);
    assert_string_equal(at(g), "parent");
    die(g, PARENT);
    ms = ms_to_next_up(g, 25000);
    print_message("at the hub %lu ms after its parent died\n", (unsigned long)ms);
    assert_true(ms <= 5000);
    assert_string_equal(at(g), "hub");
}

static void a_configured_reflector_that_is_down_is_waited_for_before_the_hub(void **state)
{
    struct stage *g = *state;

    die(g, A);
    start(g, A, false, false);
    const uint64_t ms = ms_to_next_up(g, 25000);
    assert_true(ms >= 2000 && ms <= 4000);
    assert_string_equal(at(g), "hub");
}

static void who_comes_back_is_returned_to_after_it_was_good_for_a_while(void **state)
{
    struct stage *g = *state;

    start(g, A, true, false);
    run_ms(g, 10000);
    die(g, A);
    run_ms(g, 5000);
    assert_string_equal(at(g), "b");
    liar_listen(&g->actors[A].liar);
    run_ms(g, 30000);
    assert_string_equal(at(g), "b");
    const uint64_t ms = ms_to_next_up(g, 240000);
    print_message("returned %lu ms after it came back\n", (unsigned long)ms + 30000);
    assert_string_equal(at(g), "a");
    assert_true(ms + 30000 <= 180000);
}

static void who_flaps_is_not_followed(void **state)
{
    struct stage *g = *state;
    const unsigned before = g->ups;

    start(g, A, true, false);
    for (unsigned i = 0; i < 360; i++) { /* an hour */
        run_ms(g, 5000);
        die(g, A);
        run_ms(g, 5000);
        liar_listen(&g->actors[A].liar);
    }
    print_message("%u ups in an hour of flapping\n", g->ups - before);
    assert_true(g->ups - before <= 20);
    assert_string_equal(at(g), "b");
}

static void who_refuses_is_left_alone_until_the_time_it_named(void **state)
{
    struct stage *g = *state;

    g->actors[A].here.takes_new = false;
    g->actors[A].here.retry_s = 45;
    g->actors[A].refuses = 503;
    start(g, A, true, false);
    run_ms(g, 3000);
    assert_string_equal(at(g), "b");
    expect_reason(g, "a", "refused");
    const unsigned greeted = g->actors[A].greeted;
    run_ms(g, 30000);
    assert_int_equal(g->actors[A].greeted, greeted);
    g->actors[A].here.takes_new = true;
    g->actors[A].refuses = 0;
    run_ms(g, 90000);
    assert_string_equal(at(g), "a");
}

static void who_drains_is_left_at_once(void **state)
{
    struct stage *g = *state;

    start(g, A, true, false);
    run_ms(g, 10000);
    g->holders[A].state = REFLECTOR_DRAIN;
    chooser_set_list(g->chooser, &g->list);
    assert_true(ms_to_next_up(g, 5000) <= 1000);
    assert_string_equal(at(g), "b");
    expect_reason(g, "a", "draining");
}

static void where_only_reflectors_may_be_used_it_waits_and_says_so(void **state)
{
    struct stage *g = *state;
    struct upstream_figures f;

    g->list.terms.use = SITE_USE_ALWAYS;
    for (unsigned i = A; i <= PARENT; i++) {
        g->actors[i].here.takes_new = false;
        g->actors[i].here.retry_s = 60;
        g->actors[i].refuses = 503;
    }
    start(g, HUB, true, false);
    run_ms(g, 20000);
    assert_string_equal(at(g), "");
    assert_int_equal(g->actors[HUB].liar.accepted, 0);
    upstream_figures(g->upstream, &f);
    assert_non_null(strstr(f.why_down, "does not allow the hub"));
    expect_reason(g, "hub", "forbidden");
    g->actors[PARENT].here.takes_new = true;
    g->actors[PARENT].refuses = 0;
    run_ms(g, 100000);
    assert_string_equal(at(g), "parent");
    assert_int_equal(g->actors[HUB].liar.accepted, 0);
}

static void another_certificate_than_the_list_names_is_refused_by_name(void **state)
{
    struct stage *g = *state;
    struct json_doc *doc = NULL;
    char path[64];

    snprintf(g->holders[A].device, sizeof g->holders[A].device, "c");
    start(g, B, true, false);
    run_ms(g, 3000);
    assert_string_equal(at(g), "b");
    const size_t i = find_shown(g, &doc, "a:");
    snprintf(path, sizeof path, "choice.candidates.%zu.words", i);
    assert_non_null(strstr(json_doc_text(doc, path), "certificate of a, not of c"));
    json_doc_free(doc);
    expect_reason(g, "a:", "foreign");
}

static void a_reflector_never_goes_to_one_that_has_it_above_itself(void **state)
{
    struct stage *g = *state;

    snprintf(g->actors[PARENT].here.above[0], NAME_MAX_SIZE, "box");
    g->actors[PARENT].here.above_count = 1;
    start(g, HUB, true, true);
    run_ms(g, 5000);
    assert_string_equal(at(g), "hub");
    expect_reason(g, "parent", "below");
    assert_int_equal(g->actors[A].liar.accepted, 0); /* of its own site */
    g->actors[PARENT].here.above_count = 0;
    run_ms(g, 300000);
    assert_string_equal(at(g), "parent");
}

static void a_state_that_the_parent_tells_of_counts_at_once(void **state)
{
    struct stage *g = *state;

    start(g, A, true, false);
    run_ms(g, 10000);
    g->actors[A].here.state = REFLECTOR_DRAIN;
    g->actors[A].here.takes_new = false;
    chooser_hear(g->chooser);
    assert_true(ms_to_next_up(g, 5000) <= 1000);
    assert_string_equal(at(g), "b");
}

static void a_parent_that_came_to_be_below_is_left(void **state)
{
    struct stage *g = *state;

    start(g, HUB, true, true);
    run_ms(g, 60000);
    assert_string_equal(at(g), "parent");
    snprintf(g->actors[PARENT].here.above[0], NAME_MAX_SIZE, "box");
    g->actors[PARENT].here.above_count = 1;
    run_ms(g, 90000);
    assert_string_equal(at(g), "hub");
}

static void the_last_good_one_is_called_first_after_a_restart(void **state)
{
    struct stage *g = *state;

    start(g, HUB, true, false);
    run_ms(g, 5000);
    assert_string_equal(at(g), "a");
    stop(g);
    run_ms(g, 1000);
    start(g, HUB, false, false);
    run_ms(g, 2000);
    assert_string_equal(at(g), "a");
}

static void a_beacon_is_enough_when_nothing_else_answers(void **state)
{
    struct stage *g = *state;
    const struct upstream_place place = {.host = "b", .port = LIAR_PORT};

    world_link_set_up(g->wan, false);
    start(g, HUB, false, false);
    run_ms(g, 5000);
    assert_string_equal(at(g), "");
    chooser_set_beacons(g->chooser, &place, 1);
    run_ms(g, 1000);
    assert_string_equal(at(g), "b");
}

static void an_older_parent_that_does_not_know_the_question_is_good(void **state)
{
    struct stage *g = *state;

    g->actors[A].is_old = true;
    start(g, HUB, true, false);
    run_ms(g, 1000);
    assert_string_equal(at(g), "a");
}

/* That it lacks something is no error: who could fetch it has nobody above who has it either, and
 * who cannot is left for the next one. */
static void one_that_lacks_and_cannot_fetch_gives_way_to_the_next(void **state)
{
    struct stage *g = *state;

    start(g, HUB, true, false);
    run_ms(g, 5000);
    assert_string_equal(at(g), "a");
    assert_true(chooser_lacks(g->chooser)); /* how it stands with it is asked first */
    run_ms(g, 500);
    assert_false(chooser_lacks(g->chooser));
    g->actors[A].here.state = REFLECTOR_SUSPEND;
    chooser_hear(g->chooser);
    run_ms(g, 200);
    assert_true(chooser_lacks(g->chooser));
    run_ms(g, 1000);
    assert_string_equal(at(g), "b");
    expect_reason(g, "a", "lacks");
    run_ms(g, 58000);
    g->actors[A].here.state = REFLECTOR_ACCEPT;
    run_ms(g, 300000);
    assert_string_equal(at(g), "a"); /* the preferred one, once it can fetch again */
}

/* ---- silence --------------------------------------------------------------------------------- */

static void call_end(void *arg, struct http_call *c, struct alb_status st)
{
    (void)c;
    (void)st;
    ((struct stage *)arg)->call = NULL;
}

static void call_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    (void)arg;
    (void)c;
    (void)bytes;
    (void)size;
}

static void call_head(void *arg, struct http_call *c, unsigned status)
{
    (void)arg;
    (void)c;
    (void)status;
}

static void ask_for_chunks(struct stage *g)
{
    static const struct http_call_ops ops = {.head = call_head, .data = call_data, .end = call_end};

    g->call = http_call_start(upstream_data(g->upstream),
                              &(struct http_call_options){.method = "POST",
                                                          .path = "/v1/chunks",
                                                          .body = "x",
                                                          .body_size = 1,
                                                          .expect_bytes = 1 << 20},
                              &ops, g);
}

static void a_silent_one_on_the_lan_is_left_for_a_sibling_that_answers(void **state)
{
    struct stage *g = *state;

    start(g, A, true, false);
    run_ms(g, 60000);
    g->actors[A].is_mute = true;
    ask_for_chunks(g);
    const uint64_t ms = ms_to_next_up(g, 25000);
    print_message("re-chosen %lu ms after a silence on the LAN\n", (unsigned long)ms);
    assert_true(ms <= 7000);
    assert_string_equal(at(g), "b");
}

static void a_silent_one_is_not_left_for_somebody_over_the_wan(void **state)
{
    struct stage *g = *state;

    die(g, B);
    start(g, A, true, false);
    run_ms(g, 60000);
    g->actors[A].is_mute = true;
    ask_for_chunks(g);
    assert_true(ms_to_next_up(g, 15000) == UINT64_MAX);
    assert_string_equal(at(g), "a");
    assert_int_equal(g->actors[HUB].liar.accepted, 0);
}

static void one_that_answers_but_is_slow_is_kept(void **state)
{
    struct stage *g = *state;

    start(g, A, true, false);
    run_ms(g, 60000);
    ask_for_chunks(g); /* which hangs, and the rest of it lives */
    assert_true(ms_to_next_up(g, 9000) == UINT64_MAX);
    assert_string_equal(at(g), "a");
}

static void pong(void *arg, uint64_t rtt_ns)
{
    (void)arg;
    (void)rtt_ns;
}

/* As when a record comes so slowly that none of its body is seen for long: PINGs are no body. */
static void one_that_trickles_is_not_left_for_a_sibling(void **state)
{
    struct stage *g = *state;

    start(g, A, true, false);
    run_ms(g, 60000);
    ask_for_chunks(g);
    run_ms(g, 100);
    assert_non_null(g->actors[A].hanging);
    g->up_ns = 0;
    for (unsigned i = 0; i < 1000; i++) {
        if (g->actors[A].hanging != NULL)
            (void)http_session_ping(http_exchange_session(g->actors[A].hanging), pong, NULL);
        run_ms(g, 20);
    }
    assert_true(g->up_ns == 0);
    assert_string_equal(at(g), "a");
}

static void a_dead_machine_is_noticed_by_its_silence(void **state)
{
    struct stage *g = *state;

    start(g, HUB, false, false);
    run_ms(g, 3000);
    chooser_set_list(g->chooser, &g->list);
    world_link_set_up(g->wan, false);
    const uint64_t ms = ms_to_next_up(g, 40000);
    print_message("re-chosen %lu ms after the WAN fell silent\n", (unsigned long)ms);
    assert_true(ms <= 25000);
    assert_string_equal(at(g), "a");
}

/* ---- carried --------------------------------------------------------------------------------- */

static void carried_to_another_subnet_it_takes_the_reflector_there(void **state)
{
    struct stage *g = *state;
    struct net_place place = {.addresses = {{[10] = 0xff, 0xff, 10, 1, 0, 9}}, .address_count = 1};

    for (unsigned i = A; i <= B; i++)
        assert_false(alb_failed(site_address_parse(i == A ? "10.1.0.0" : "10.2.0.0",
                                                   g->holders[i].subnets[0].address)));
    for (unsigned i = A; i <= B; i++) {
        g->holders[i].subnets[0].bits = 120;
        g->holders[i].subnet_count = 1;
    }
    start(g, HUB, true, false);
    chooser_moved(g->chooser, &place);
    run_ms(g, 60000);
    assert_string_equal(at(g), "a");
    place.addresses[0][13] = 2;
    chooser_moved(g->chooser, &place);
    const uint64_t ms = ms_to_next_up(g, 25000);
    print_message("re-chosen %lu ms after a move\n", (unsigned long)ms);
    assert_true(ms <= 3000);
    assert_string_equal(at(g), "b");
}

static void a_preferred_one_waits_until_what_is_under_way_has_ended(void **state)
{
    struct stage *g = *state;

    start(g, B, false, false);
    run_ms(g, 5000);
    assert_string_equal(at(g), "b");
    ask_for_chunks(g);
    for (unsigned i = A; i <= B; i++) {
        g->holders[i].order = i;
        g->holders[i].depth = i == B;
    }
    chooser_set_list(g->chooser, &g->list);
    run_ms(g, 25000);
    assert_string_equal(at(g), "b");
    assert_non_null(g->actors[B].hanging);
    run_ms(g, 7000); /* good for 30 s: nothing new is begun */
    assert_string_equal(at(g), "b");
    assert_null(upstream_data(g->upstream));
    http_answer(g->actors[B].hanging, 200, NULL, "", 0);
    run_ms(g, 500);
    assert_string_equal(at(g), "a");
    assert_non_null(upstream_data(g->upstream));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(at_the_start_the_nearest_is_taken_within_a_second),
        TEST(the_hub_is_left_when_the_list_comes_later),
        TEST(a_sibling_takes_over_within_three_seconds_of_a_death),
        TEST(without_a_sibling_the_wan_is_used_after_some_patience),
        TEST(a_configured_reflector_that_is_down_is_waited_for_before_the_hub),
        TEST(who_comes_back_is_returned_to_after_it_was_good_for_a_while),
        TEST(who_flaps_is_not_followed),
        TEST(who_refuses_is_left_alone_until_the_time_it_named),
        TEST(who_drains_is_left_at_once),
        TEST(where_only_reflectors_may_be_used_it_waits_and_says_so),
        TEST(another_certificate_than_the_list_names_is_refused_by_name),
        TEST(a_reflector_never_goes_to_one_that_has_it_above_itself),
        TEST(a_state_that_the_parent_tells_of_counts_at_once),
        TEST(a_parent_that_came_to_be_below_is_left),
        TEST(the_last_good_one_is_called_first_after_a_restart),
        TEST(a_beacon_is_enough_when_nothing_else_answers),
        TEST(an_older_parent_that_does_not_know_the_question_is_good),
        TEST(one_that_lacks_and_cannot_fetch_gives_way_to_the_next),
        TEST(a_silent_one_on_the_lan_is_left_for_a_sibling_that_answers),
        TEST(a_silent_one_is_not_left_for_somebody_over_the_wan),
        TEST(one_that_answers_but_is_slow_is_kept),
        TEST(one_that_trickles_is_not_left_for_a_sibling),
        TEST(a_dead_machine_is_noticed_by_its_silence),
        TEST(carried_to_another_subnet_it_takes_the_reflector_there),
        TEST(a_preferred_one_waits_until_what_is_under_way_has_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
