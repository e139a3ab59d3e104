/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/reflector/test_reflector.c – a reflector between a parent and those behind it. */
/* LINKS: sim_world */
#include "support/box_stage.h"

/* ---- grants ---- */

static void a_grant_comes_through_from_the_parent(void **state)
{
    struct branch *b = *state;

    assert_int_equal(b->grants, 2); /* both askers got theirs before they greeted */
    assert_true(buf_size(&b->endpoint.grant) > 0);
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/grant", "{}"), 200);
    check_grant(b, &b->endpoint, "pc");
    assert_int_equal(b->grants, 2); /* it came a moment ago */
    run(b, 31 * NS_PER_S);
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/grant", "{}"), 200);
    assert_int_equal(b->grants, 3);
}

static void asking_for_grants_again_and_again_costs_the_parent_one_question(void **state)
{
    struct branch *b = *state;

    b->refused_device = "nobody";
    for (unsigned i = 0; i < 100; i++) {
        ask(&b->endpoint, "POST", "/v1/grant", "{}");
        ask(&b->child, "POST", "/v1/grant", "{}");
    }
    run(b, 2 * NS_PER_S);
    assert_int_equal(b->endpoint.told + b->child.told, 200);
    assert_int_equal(b->grants, 2);
    for (unsigned i = 0; i < 3; i++) {
        ask(&b->child, "POST", "/v1/grant", "{\"device\":\"nobody\"}");
        run(b, NS_PER_S);
        assert_int_equal(b->child.status, 403);
        b->refused_device = ""; /* enrolled meanwhile */
    }
    assert_int_equal(b->grants, 3);
    run(b, 5 * NS_PER_S);
    assert_int_equal(answer_to(&b->child, "POST", "/v1/grant", "{\"device\":\"nobody\"}"), 200);
    assert_int_equal(b->grants, 4);
}

static void cut_off_the_kept_grant_is_answered(void **state)
{
    struct branch *b = *state;

    cut(b);
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/grant", "{}"), 200);
    check_grant(b, &b->endpoint, "pc");
    assert_int_equal(b->grants, 2);
}

static void cut_off_the_kept_grant_survives_a_restart(void **state)
{
    struct branch *b = *state;

    cut(b);
    b->reflector = reflector_free(b->reflector);
    run(b, NS_PER_S);
    box_start(b);
    run(b, 60 * NS_PER_S);
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/grant", "{}"), 200);
    check_grant(b, &b->endpoint, "pc");
}

static void cut_off_a_device_never_seen_is_told_to_wait(void **state)
{
    struct branch *b = *state;

    cut(b);
    assert_int_equal(answer_to(&b->child, "POST", "/v1/grant", "{\"device\":\"new-pc\"}"), 503);
    assert_non_null(strstr(b->child.message, "the hub cannot be reached from this reflector"));
}

static void count_lines(void *arg, enum log_level level, const char *line)
{
    (void)level;
    *(unsigned *)arg += strstr(line, "grant.none") != NULL || strstr(line, "grant.kept") != NULL;
}

static void asking_a_cut_off_box_again_and_again_does_not_flood_its_log(void **state)
{
    struct branch *b = *state;
    unsigned lines = 0;

    cut(b);
    log_install(count_lines, &lines, LOG_INFO);
    for (unsigned i = 0; i < 50; i++) {
        ask(&b->endpoint, "POST", "/v1/grant", "{}");
        ask(&b->child, "POST", "/v1/grant", "{\"device\":\"x\"}");
        run(b, 100 * NS_PER_MS);
    }
    log_install(NULL, NULL, LOG_ERROR);
    assert_in_range(lines, 1, 20);
}

static void an_expired_grant_is_not_answered(void **state)
{
    struct branch *b = *state;

    b->grant_lifetime_s = 30;
    run(b, 31 * NS_PER_S); /* what it said before is no longer repeated */
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/grant", "{}"), 200);
    cut(b);
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/grant", "{}"), 503);
}

static void a_device_the_parent_refuses_loses_what_was_kept(void **state)
{
    struct branch *b = *state;

    b->refused_device = "pc";
    run(b, 31 * NS_PER_S);
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/grant", "{}"), 403);
    assert_non_null(strstr(b->endpoint.message, "or it was revoked"));
    cut(b);
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/grant", "{}"), 503);
}

static void only_a_reflector_asks_for_others(void **state)
{
    struct branch *b = *state;

    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/grant", "{\"device\":\"boss\"}"), 403);
    assert_int_equal(b->grants, 2);
    assert_int_equal(answer_to(&b->child, "POST", "/v1/grant", "{\"device\":\"boss\"}"), 200);
    check_grant(b, &b->child, "boss");
    assert_int_equal(answer_to(&b->child, "POST", "/v1/grant", "{\"device\":\"../x\"}"), 400);
    assert_int_equal(answer_to(&b->child, "POST", "/v1/grant", "no JSON"), 400);
}

/* ---- layers ---- */

static void the_list_is_cut_to_the_grant_and_passed_on_whole(void **state)
{
    struct branch *b = *state;

    assert_int_equal(answer_to(&b->endpoint, "GET", "/v1/layers", ""), 200);
    assert_string_equal(buf_text(&b->endpoint.answer),
                        "{\"layers\":[{\"layer\":\"base/debian-12\",\"new_member\":[1,2]}],"
                        "\"stale\":false}");
    assert_int_equal(answer_to(&b->child, "GET", "/v1/layers", ""), 200);
    assert_non_null(strstr(buf_text(&b->child.answer), "app/office"));
}

static void many_who_ask_at_once_cost_one_question(void **state)
{
    struct branch *b = *state;

    for (unsigned i = 0; i < 20; i++) {
        ask(&b->endpoint, "GET", "/v1/layers", "");
        ask(&b->child, "GET", "/v1/layers", "");
    }
    run(b, 2 * NS_PER_S);
    assert_int_equal(b->endpoint.told + b->child.told, 40);
    assert_int_equal(b->lists, 1);
    feed_say(b->hub.feed, "head base/debian-12");
    run(b, NS_PER_S);
    assert_int_equal(answer_to(&b->endpoint, "GET", "/v1/layers", ""), 200);
    assert_int_equal(b->lists, 2);
}

static void cut_off_the_last_list_is_shown_as_stale(void **state)
{
    struct branch *b = *state;

    assert_int_equal(answer_to(&b->endpoint, "GET", "/v1/layers", ""), 200);
    cut(b);
    assert_int_equal(answer_to(&b->endpoint, "GET", "/v1/layers", ""), 200);
    assert_non_null(strstr(buf_text(&b->endpoint.answer), "\"stale\":true"));
    b->reflector = reflector_free(b->reflector);
    run(b, NS_PER_S);
    box_start(b);
    run(b, 60 * NS_PER_S);
    assert_int_equal(answer_to(&b->endpoint, "GET", "/v1/layers", ""), 200);
    assert_non_null(strstr(buf_text(&b->endpoint.answer), "base/debian-12"));
}

static void cut_off_there_is_a_list_though_nobody_had_asked_for_one(void **state)
{
    struct branch *b = *state;

    run(b, 3 * NS_PER_S);
    cut(b);
    assert_int_equal(b->lists, 1);
    assert_int_equal(answer_to(&b->endpoint, "GET", "/v1/layers", ""), 200);
    assert_non_null(strstr(buf_text(&b->endpoint.answer), "\"stale\":true"));
}

static void many_changes_of_the_list_are_one_question_within_a_minute(void **state)
{
    struct branch *b = *state;

    run(b, 3 * NS_PER_S);
    for (unsigned n = 0; n < 20; n++) {
        feed_say(b->hub.feed, "head base/debian-12");
        run(b, NS_PER_S / 10);
    }
    run(b, 60 * NS_PER_S);
    assert_int_equal(b->lists, 2);
}

/* ---- status ---- */

static void the_status_says_who_and_how(void **state)
{
    struct branch *b = *state;
    struct json_doc *doc = NULL;

    assert_int_equal(answer_to(&b->endpoint, "GET", "/v1/layers", ""), 200);
    assert_int_equal(answer_to(&b->endpoint, "GET", "/v1/status", ""), 200);
    assert_false(alb_failed(
        json_doc_parse(buf_peek(&b->endpoint.answer), buf_size(&b->endpoint.answer), &doc)));
    assert_string_equal(json_doc_text(doc, "program"), "albedo-reflector");
    assert_string_equal(json_doc_text(doc, "device"), "box");
    assert_string_equal(json_doc_text(doc, "site"), "north");
    assert_string_equal(json_doc_text(doc, "parent.place"), "hub:7443");
    assert_string_equal(json_doc_text(doc, "parent.why_down"), "");
    assert_int_equal(json_doc_number(doc, "trust.version"), 1);
    assert_int_equal(json_doc_number(doc, "layers"), 2);
    assert_true(json_doc_number(doc, "sessions") >= 4);
    json_doc_free(doc);
    cut(b);
    assert_int_equal(answer_to(&b->endpoint, "GET", "/v1/status", ""), 200);
    assert_non_null(strstr(buf_text(&b->endpoint.answer), "\"up\":false"));
    assert_null(strstr(buf_text(&b->endpoint.answer), "\"why_down\":\"\""));
}

static void the_figures_are_zero_at_first(void **state)
{
    struct branch *b = *state;
    struct reflector_figures f;

    reflector_figures(b->reflector, &f);
    assert_true(f.upstream.is_up);
    assert_true(f.albedo == 0);
    assert_true(f.crossing_ratio == 0);
    assert_int_equal(f.store.chunks, 0);
}

/* ---- stopping ---- */

static void stopping_while_others_wait_harms_nobody(void **state)
{
    struct branch *b = *state;
    char path[256], hex[DIGEST_HEX_SIZE];
    struct digest root = {.bytes = {1}};

    world_link_set_up(b->wan, false);
    for (unsigned i = 0; i < 3; i++) {
        ask(&b->endpoint, "POST", "/v1/grant", "{}");
        ask(&b->endpoint, "GET", "/v1/layers", "");
        ask(&b->endpoint, "GET", "/v1/status", "");
        ask(&b->endpoint, "GET", "/v1/head/base/debian-12", "");
        snprintf(path, sizeof path, "/v1/root/%s?layer=base/debian-12", digest_hex(&root, hex));
        ask(&b->endpoint, "GET", path, "");
        run(b, 30 * NS_PER_MS);
    }
    b->reflector = reflector_free(b->reflector);
    run(b, 120 * NS_PER_S);
}

/* ---- certificates ---- */

static void a_devices_renewal_is_handed_to_the_parent_and_back(void **state)
{
    struct branch *b = *state;

    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/renew", "{\"csr_pem\":\"x\"}"), 200);
    assert_string_equal(buf_text(&b->endpoint.answer), "pc");
    assert_int_equal(
        answer_to(&b->child, "POST", "/v1/renew", "{\"csr_pem\":\"x\",\"device\":\"far-pc\"}"),
        200);
    assert_string_equal(buf_text(&b->child.answer), "far-pc");
}

static void renewals_are_for_oneself_and_need_the_parent(void **state)
{
    struct branch *b = *state;

    assert_int_equal(
        answer_to(&b->endpoint, "POST", "/v1/renew", "{\"csr_pem\":\"x\",\"device\":\"below\"}"),
        403);
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/renew", "{}"), 400);
    b->refused_device = "pc";
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/renew", "{\"csr_pem\":\"x\"}"), 403);
    assert_non_null(strstr(b->endpoint.message, "it was revoked"));
    cut(b);
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/renew", "{\"csr_pem\":\"x\"}"), 503);
    ask(&b->endpoint, "POST", "/v1/renew", "{\"csr_pem\":\"x\"}");
    run(b, NS_PER_MS);
    b->reflector = reflector_free(b->reflector); /* while one is under way */
}

static void asking_for_certificates_again_and_again_costs_the_parent_one_question(void **state)
{
    struct branch *b = *state;

    for (unsigned i = 0; i < 40; i++) {
        ask(&b->endpoint, "POST", "/v1/renew", "{\"csr_pem\":\"x\"}");
        run(b, 100 * NS_PER_MS);
    }
    assert_int_equal(b->renewals, 1);
    assert_int_equal(b->endpoint.status, 503);
    assert_int_equal(answer_to(&b->child, "POST", "/v1/renew", "{\"csr_pem\":\"x\"}"), 200);
    assert_int_equal(answer_to(&b->endpoint, "POST", "/v1/renew", "{\"csr_pem\":\"x\"}"), 200);
    assert_int_equal(b->renewals, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_grant_comes_through_from_the_parent, setup, teardown),
        cmocka_unit_test_setup_teardown(
            asking_for_grants_again_and_again_costs_the_parent_one_question, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_off_the_kept_grant_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_off_the_kept_grant_survives_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_off_a_device_never_seen_is_told_to_wait, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(asking_a_cut_off_box_again_and_again_does_not_flood_its_log,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_expired_grant_is_not_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_the_parent_refuses_loses_what_was_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(only_a_reflector_asks_for_others, setup, teardown),
        cmocka_unit_test_setup_teardown(the_list_is_cut_to_the_grant_and_passed_on_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_who_ask_at_once_cost_one_question, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_off_the_last_list_is_shown_as_stale, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_off_there_is_a_list_though_nobody_had_asked_for_one,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(many_changes_of_the_list_are_one_question_within_a_minute,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_status_says_who_and_how, setup, teardown),
        cmocka_unit_test_setup_teardown(the_figures_are_zero_at_first, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping_while_others_wait_harms_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_devices_renewal_is_handed_to_the_parent_and_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(renewals_are_for_oneself_and_need_the_parent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            asking_for_certificates_again_and_again_costs_the_parent_one_question, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
