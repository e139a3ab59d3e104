/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_policy_states.c – the third part of the policy: reflectors' states, as a child
 * keeps and follows them. */
/* LINKS: sim_world */
#include "support/book_stage.h"

#define DRAINED "{\"format\":1,\"states\":[{\"device\":\"r1\",\"state\":\"drain\"}]}"

static void states_are_kept_behind_a_restart(void **state)
{
    struct book_stage *s = *state;

    assert_int_equal(policy_book_states(s->book)->count, 0);
    seal(s, POLICY_STATES, 2, DRAINED);
    assert_int_equal(take(s, POLICY_STATES).code, ALB_OK);
    assert_int_equal(s->taken, 1);
    run_ns(s, NS_PER_S);
    assert_int_equal(s->changed, 0); /* nobody's terms go by them */
    close_book(s);
    open_book(s);
    assert_int_equal(policy_book_number(s->book, POLICY_STATES), 2);
    assert_int_equal(states_find(policy_book_states(s->book), "r1")->state, REFLECTOR_DRAIN);
    seal(s, POLICY_STATES, 3, "{\"format\":1,\"states\":[{\"device\":\"r1\",\"state\":\"nap\"}]}");
    assert_int_equal(take(s, POLICY_STATES).code, ALB_INVALID); /* a newer hub's: the last holds */
    assert_int_equal(states_find(policy_book_states(s->book), "r1")->state, REFLECTOR_DRAIN);
}

static void whoever_has_no_use_for_states_does_not_ask_for_them(void **state)
{
    struct book_stage *s = *state;

    close_book(s);
    s->book = policy_book_open(&(struct policy_book_options){
        .loop = s->net.box, .authority = s->authority, .without_states = true});
    policy_book_watch(s->book, &s->watch);
    seal(s, POLICY_RULES, 1, CAPPED);
    seal(s, POLICY_STATES, 1, DRAINED);
    connect_box(s);
    assert_int_equal(s->asked[POLICY_RULES], 1);
    assert_int_equal(s->asked[POLICY_STATES], 0);
    assert_true(policy_book_hear(s->book, "states"));
    run_ns(s, NS_PER_S);
    assert_int_equal(s->asked[POLICY_STATES], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(states_are_kept_behind_a_restart),
        TEST(whoever_has_no_use_for_states_does_not_ask_for_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
