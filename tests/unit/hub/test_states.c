/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_states.c – reflectors' states at the hub: numbered, signed, all or none, and what
 * is no reflector refused by name. */
/* LINKS: sim_world */
#include "support/hub_stage.h"
#include "wire/here.h"
#include "wire/policy_seal.h"

static unsigned put(struct stage *s, const char *body)
{
    return stage_ask_text(s, ADMIN, "POST", "/v1/states-put", body);
}

/* The list as a reflector gets it; the caller's to release. */
static struct states list_of(struct stage *s, uint64_t *number)
{
    struct policy_seal seal;
    struct states states;

    assert_int_equal(stage_ask_text(s, REFLECTOR, "GET", "/v1/states", ""), 200);
    must(policy_seal_decode(POLICY_STATES, buf_peek(&s->reply.body), buf_size(&s->reply.body),
                            &s->trust, &seal));
    must(states_decode(seal.text, seal.text_size, &states));
    *number = seal.number;
    return states;
}

static void a_state_is_numbered_signed_and_there_after_a_restart(void **state)
{
    struct stage *s = stage_ready();
    uint64_t number = 0;

    (void)state;
    assert_int_equal(stage_ask_text(s, REFLECTOR, "GET", "/v1/states", ""), 404);
    assert_int_equal(put(s, "{\"device\":[\"box\"],\"state\":\"drain\",\"why\":\"new disk\"}"),
                     200);
    assert_string_equal(stage_text(s), "{\"number\":1,\"state\":\"drain\",\"changed\":[\"box\"]}");
    assert_int_equal(put(s, "{\"device\":[\"box\"],\"state\":\"drain\",\"why\":\"new disk\"}"),
                     200);
    assert_string_equal(stage_text(s), "{\"number\":1,\"state\":\"drain\",\"changed\":[]}");
    stage_stop_hub(s);
    stage_start_hub(s);
    struct states list = list_of(s, &number);
    assert_int_equal(number, 1);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.list[0].by, "root");
    assert_string_equal(list.list[0].why, "new disk");
    states_release(&list);
    assert_int_equal(put(s, "{\"device\":[\"box\"],\"state\":\"accept\"}"), 200);
    list = list_of(s, &number);
    assert_int_equal(number, 2);
    assert_int_equal(list.count, 0);
    states_release(&list);
    stage_free(s);
}

static void what_is_wrong_is_told_by_name_and_changes_nothing(void **state)
{
    static const struct {
        const char *body;
        unsigned status;
        const char *says;
    } WRONG[] = {
        {"{\"device\":[\"box\",\"bux\"],\"state\":\"drain\"}", 404, "no device bux is enrolled"},
        {"{\"device\":[\"laptop\"],\"state\":\"drain\"}", 400, "laptop is of role endpoint"},
        {"{\"device\":[\"a b\"],\"state\":\"drain\"}", 404, "no device a b is enrolled"},
        {"{\"device\":[],\"state\":\"drain\"}", 400, "a list of 1 to 256 reflectors"},
        {"{\"device\":[\"box\"],\"state\":\"nap\"}", 400, "accept, drain, suspend or disable"},
        {"{\"device\":[\"box\"],\"state\":\"drain\",\"wipe\":true}", 400, "only a reflector that"},
        {"{\"device\":[\"box\"],\"state\":\"drain\",\"why\":\"a\\nb\"}", 400, "one line"},
        {"no JSON", 400, "no JSON"},
    };
    struct stage *s = stage_ready();

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(WRONG); i++) {
        assert_int_equal(put(s, WRONG[i].body), WRONG[i].status);
        if (strstr(s->reply.error.message, WRONG[i].says) == NULL)
            fail_msg("%zu: %s", i, s->reply.error.message);
    }
    assert_int_equal(stage_ask_text(s, REFLECTOR, "GET", "/v1/states", ""), 404);
    assert_int_equal(stage_ask_text(s, ENDPOINT, "POST", "/v1/states-put",
                                    "{\"device\":[\"box\"],\"state\":\"disable\"}"),
                     403);
    stage_free(s);
}

static void who_was_revoked_is_only_taken_out(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(put(s, "{\"device\":[\"box\"],\"state\":\"disable\",\"wipe\":true}"), 200);
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/revoke", "{\"device\":\"box\"}"), 200);
    assert_int_equal(put(s, "{\"device\":[\"box\"],\"state\":\"drain\"}"), 400);
    assert_non_null(strstr(s->reply.error.message, "box was revoked"));
    assert_int_equal(put(s, "{\"device\":[\"box\"],\"state\":\"accept\"}"), 200);
    stage_free(s);
}

static void a_hub_restored_from_a_backup_counts_on_for_states_too(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(put(s, "{\"device\":[\"box\"],\"state\":\"drain\"}"), 200);
    assert_int_equal(stage_ask_text(s, REFLECTOR, "GET", "/v1/states?after=40", ""), 404);
    assert_int_equal(put(s, "{\"device\":[\"box\"],\"state\":\"drain\"}"), 200);
    assert_string_equal(stage_text(s), "{\"number\":41,\"state\":\"drain\",\"changed\":[]}");
    stage_free(s);
}

static void the_hub_says_who_it_is_to_whoever_thinks_of_coming(void **state)
{
    struct stage *s = stage_ready();
    struct here here;

    (void)state;
    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/here", ""), 200);
    must(here_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &here));
    assert_true(here.is_hub && here.takes_new);
    assert_int_equal(here.state, REFLECTOR_ACCEPT);
    assert_int_equal(here.above_count, 0);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_numbered_signed_and_there_after_a_restart),
        cmocka_unit_test(what_is_wrong_is_told_by_name_and_changes_nothing),
        cmocka_unit_test(who_was_revoked_is_only_taken_out),
        cmocka_unit_test(a_hub_restored_from_a_backup_counts_on_for_states_too),
        cmocka_unit_test(the_hub_says_who_it_is_to_whoever_thinks_of_coming),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
