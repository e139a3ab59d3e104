/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_policy.c – policy and overrides at the hub: numbered, signed, refused. */
/* LINKS: sim_world */
#include "support/hub_stage.h"
#include "wire/policy.h"
#include "wire/policy_seal.h"

static const char OFFICE[] = "{\"format\":1,\"zone\":\"Europe/Oslo\",\"rules\":[{\"name\":\"a\","
                             "\"scope\":\"global\",\"mode\":\"off\"}]}";
static const char NIGHT[] = "{\"format\":1,\"zone\":\"Europe/Oslo\",\"rules\":[{\"name\":\"b\","
                            "\"scope\":\"global\",\"mode\":\"full\"}]}";

static unsigned post(struct stage *s, const char *path, const char *body)
{
    return stage_ask_text(s, ADMIN, "POST", path, body);
}

static uint64_t number_of(const struct stage *s)
{
    struct json_doc *d = NULL;

    must(json_doc_parse(buf_peek(&s->reply.body), buf_size(&s->reply.body), &d));
    const uint64_t number = json_doc_number(d, "number");
    json_doc_free(d);
    return number;
}

static struct policy_seal sealed(struct stage *s, enum policy_part part)
{
    struct policy_seal seal = {.number = 0};

    must(policy_seal_decode(part, buf_peek(&s->reply.body), buf_size(&s->reply.body), &s->trust,
                            &seal));
    return seal;
}

static void a_policy_is_numbered_signed_and_given_to_every_member(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/policy", ""), 404);
    assert_int_equal(post(s, "/v1/policy-put", OFFICE), 200);
    assert_int_equal(number_of(s), 1);
    assert_int_equal(post(s, "/v1/policy-put?if=1", NIGHT), 200);
    assert_int_equal(number_of(s), 2);
    static const enum actor members[] = {REFLECTOR, ENDPOINT, PUBLISHER, ADMIN};
    for (size_t i = 0; i < ALB_COUNT(members); i++) {
        assert_int_equal(stage_ask_text(s, members[i], "GET", "/v1/policy", ""), 200);
        assert_int_equal(sealed(s, POLICY_RULES).number, 2);
        assert_int_equal(stage_ask_text(s, members[i], "GET", "/v1/policy?after=1", ""), 200);
        assert_int_equal(stage_ask_text(s, members[i], "GET", "/v1/policy?after=2", ""), 404);
    }
    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/policy?after=x", ""), 400);
    stage_free(s);
}

static void setting_the_same_again_gives_no_number(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/policy-put?if=0", OFFICE), 200);
    assert_int_equal(post(s, "/v1/policy-put", OFFICE), 200);
    assert_int_equal(number_of(s), 1);
    assert_int_equal(post(s, "/v1/policy-put?if=0", NIGHT), 409);
    assert_non_null(strstr(s->reply.error.message, "policy number 1 is in force, not 0"));
    assert_int_equal(post(s, "/v1/policy-put?if=one", NIGHT), 400);
    stage_free(s);
}

static void a_document_that_is_wrong_is_refused_with_the_first_thing_that_is(void **state)
{
    static const struct {
        const char *body, *says;
    } wrong[] = {
        {"", "albedo policy check FILE"},
        {"{\"format\":2}", "format"},
        {"{\"format\":1,\"rules\":[{\"name\":\"a\",\"scope\":\"global\",\"mode\":\"fast\"}]}",
         "mode is off, scavenge, capped or full"},
        {"{\"format\":1,\"zone\":\"Mars/Olympus\"}", "Mars/Olympus"},
        {"SubnetMaskV4,Site\nx,y\n", "albedo policy check FILE"},
    };
    struct stage *s = stage_ready();

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(wrong); i++) {
        assert_int_equal(post(s, "/v1/policy-put", wrong[i].body), 400);
        if (strstr(s->reply.error.message, wrong[i].says) == NULL)
            fail_msg("%zu: %s", i, s->reply.error.message);
    }
    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/policy", ""), 404);
    stage_free(s);
}

static void both_are_there_after_a_restart(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/policy-put", OFFICE), 200);
    assert_int_equal(post(s, "/v1/override-put",
                          "{\"what\":\"go\",\"scope\":\"global\",\"for_s\":60,\"why\":\"x\"}"),
                     200);
    stage_stop_hub(s);
    stage_start_hub(s);
    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/policy", ""), 200);
    assert_int_equal(sealed(s, POLICY_RULES).number, 1);
    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/override", ""), 200);
    assert_int_equal(sealed(s, POLICY_OVERRIDES).number, 1);
    stage_free(s);
}

static void without_a_trust_file_nothing_is_set(void **state)
{
    static const char *const paths[] = {"/v1/policy-put", "/v1/override-put", "/v1/override-end"};
    struct stage *s = stage_new();

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(paths); i++) {
        assert_int_equal(post(s, paths[i], OFFICE), 403);
        assert_non_null(strstr(s->reply.error.message, "albedo trust init"));
    }
    stage_free(s);
}

static void a_hub_restored_from_a_backup_counts_on_from_what_reflectors_have(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/policy-put", OFFICE), 200);
    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/policy?after=90", ""), 404);
    assert_int_equal(post(s, "/v1/policy-put", NIGHT), 200);
    assert_int_equal(number_of(s), 2); /* an endpoint's word is none */
    assert_int_equal(stage_ask_text(s, REFLECTOR, "GET", "/v1/policy?after=90", ""), 404);
    assert_int_equal(stage_ask_text(s, REFLECTOR, "GET", "/v1/policy?after=9000000000", ""), 404);
    assert_int_equal(post(s, "/v1/policy-put", NIGHT), 200); /* also the one it has itself */
    assert_int_equal(number_of(s), 91);
    assert_int_equal(post(s, "/v1/policy-put", NIGHT), 200);
    assert_int_equal(number_of(s), 91);
    stage_free(s);
}

/* ---- overrides ------------------------------------------------------------------------------- */

static struct policy_overrides *list_of(struct stage *s)
{
    struct policy_overrides *list = xalloc(sizeof *list);
    struct policy_findings findings;

    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/override", ""), 200);
    const struct policy_seal seal = sealed(s, POLICY_OVERRIDES);
    policy_findings_init(&findings);
    must(policy_overrides_decode(seal.text, seal.text_size, &findings, list));
    policy_findings_release(&findings);
    return list;
}

static void overrides_are_listed_the_newest_first_until_they_expire(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/override-put",
                          "{\"what\":\"pause\",\"scope\":\"global\",\"for_s\":60,\"why\":\"one\"}"),
                     200);
    assert_int_equal(post(s, "/v1/override-put",
                          "{\"what\":\"go\",\"scope\":\"client:box\",\"for_s\":600,\"why\":\"t\"}"),
                     200);
    struct policy_overrides *list = list_of(s);
    assert_int_equal(list->count, 2);
    assert_string_equal(list->list[0].id, "o2");
    assert_int_equal(list->list[0].what, POLICY_GO);
    assert_string_equal(list->list[0].of, "box");
    assert_int_equal(list->list[0].until_s - list->list[0].since_s, 600);
    assert_string_equal(list->list[1].id, "o1");
    assert_string_equal(list->list[1].by, s->who[ADMIN].device);
    free(list);

    world_run(s->world, world_now_ns(s->world) + 61 * NS_PER_S);
    assert_int_equal(post(s, "/v1/override-end", "{\"which\":\"o1\"}"), 404); /* it has expired */
    assert_int_equal(post(s, "/v1/override-end", "{\"which\":\"client:box\"}"), 200);
    list = list_of(s);
    assert_int_equal(list->count, 0);
    free(list);
    stage_free(s);
}

static void an_override_that_makes_no_sense_is_refused(void **state)
{
    static const struct {
        const char *body;
        unsigned status;
        const char *says;
    } wrong[] = {
        {"[", 400, ""},
        {"{\"what\":\"stop\",\"scope\":\"global\",\"for_s\":1,\"why\":\"x\"}", 400, "pause or go"},
        {"{\"what\":\"go\",\"scope\":\"everyone\",\"for_s\":1,\"why\":\"x\"}", 400, ""},
        {"{\"what\":\"go\",\"scope\":\"global\",\"why\":\"x\"}", 400, "every override expires"},
        {"{\"what\":\"go\",\"scope\":\"global\",\"for_s\":99999999,\"why\":\"x\"}", 400,
         "366 days"},
        {"{\"what\":\"go\",\"scope\":\"global\",\"for_s\":1}", 400, "why it is there"},
        {"{\"what\":\"go\",\"scope\":\"global\",\"for_s\":1,\"why\":\"a\\nevent=audit\"}", 400,
         "one line"},
        {"{\"what\":\"go\",\"scope\":\"site:olso\",\"for_s\":1,\"why\":\"x\"}", 404,
         "no site olso"},
        {"{\"what\":\"go\",\"scope\":\"client:none\",\"for_s\":1,\"why\":\"x\"}", 404, "no device"},
    };
    struct stage *s = stage_ready();

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(wrong); i++) {
        assert_int_equal(post(s, "/v1/override-put", wrong[i].body), wrong[i].status);
        if (strstr(s->reply.error.message, wrong[i].says) == NULL)
            fail_msg("%zu: %s", i, s->reply.error.message);
    }
    assert_int_equal(post(s, "/v1/override-end", "{}"), 404);
    assert_int_equal(post(s, "/v1/override-end", "all"), 400);
    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/override", ""), 404);
    stage_free(s);
}

static void there_are_only_so_many_overrides(void **state)
{
    static const char one[] = "{\"what\":\"go\",\"scope\":\"global\",\"for_s\":60,\"why\":\"x\"}";
    struct stage *s = stage_ready();

    (void)state;
    for (unsigned i = 0; i < POLICY_OVERRIDES_MAX; i++)
        assert_int_equal(post(s, "/v1/override-put", one), 200);
    assert_int_equal(post(s, "/v1/override-put", one), 507);
    assert_non_null(strstr(s->reply.error.message, "albedo resume"));
    assert_int_equal(post(s, "/v1/override-end", "{\"which\":\"all\"}"), 200);
    assert_int_equal(post(s, "/v1/override-put", one), 200);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_is_numbered_signed_and_given_to_every_member),
        cmocka_unit_test(setting_the_same_again_gives_no_number),
        cmocka_unit_test(a_document_that_is_wrong_is_refused_with_the_first_thing_that_is),
        cmocka_unit_test(both_are_there_after_a_restart),
        cmocka_unit_test(without_a_trust_file_nothing_is_set),
        cmocka_unit_test(a_hub_restored_from_a_backup_counts_on_from_what_reflectors_have),
        cmocka_unit_test(overrides_are_listed_the_newest_first_until_they_expire),
        cmocka_unit_test(an_override_that_makes_no_sense_is_refused),
        cmocka_unit_test(there_are_only_so_many_overrides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
