/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_sites.c – the site directory at the hub: judged, numbered, put into the policy,
 * and what devices, tokens and policies say of it. */
/* LINKS: sim_world */
#include "support/hub_stage.h"
#include "wire/policy.h"
#include "wire/policy_seal.h"
#include "wire/sites.h"

/* Everybody on the stage is at site1. */
#define DOC(sites) "{\"format\":1,\"sites\":[{\"name\":\"site1\"}," sites "]}"
#define OSLO                                                                                       \
    "{\"name\":\"oslo\",\"subnets\":[\"10.1.0.0/16\"],\"zone\":\"Europe/Oslo\",\"link\":\"mpls\"}"
#define BERGEN "{\"name\":\"bergen\",\"subnets\":[\"10.2.0.0/16\"]}"

static unsigned post(struct stage *s, const char *path, const char *body)
{
    return stage_ask_text(s, ADMIN, "POST", path, body);
}

static uint64_t number_in(const struct stage *s, const char *member)
{
    struct json_doc *d = NULL;

    must(json_doc_parse(buf_peek(&s->reply.body), buf_size(&s->reply.body), &d));
    const uint64_t number = json_doc_number(d, member);
    json_doc_free(d);
    return number;
}

static bool answer_has(const struct stage *s, const char *text)
{
    AUTO_FREE char *body =
        xstrndup((const char *)buf_peek(&s->reply.body), buf_size(&s->reply.body));

    return strstr(body, text) != NULL;
}

static void assert_refused(const struct stage *s, unsigned status, const char *says)
{
    if (s->reply.status != status || strstr(s->reply.error.message, says) == NULL)
        fail_msg("%u: %s", s->reply.status, s->reply.error.message);
}

/* The text of the policy in force is, or has, that. */
static void assert_policy(struct stage *s, uint64_t number, const char *has)
{
    struct policy_seal seal = {.number = 0};

    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/policy", ""), 200);
    must(policy_seal_decode(POLICY_RULES, buf_peek(&s->reply.body), buf_size(&s->reply.body),
                            &s->trust, &seal));
    AUTO_FREE char *text = xstrndup(seal.text, seal.text_size);
    assert_int_equal(seal.number, number);
    if (strstr(text, has) == NULL)
        fail_msg("the policy is %s", text);
}

static void a_directory_is_numbered_and_goes_into_the_policy(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/sites-put?if=0", DOC(OSLO)), 200);
    assert_int_equal(number_in(s, "number"), 1);
    assert_int_equal(number_in(s, "policy"), 1);
    assert_policy(s, 1,
                  "\"sites\":[{\"name\":\"oslo\",\"zone\":\"Europe/Oslo\",\"link\":\"mpls\","
                  "\"subnets\":[\"10.1.0.0/16\"]},{\"name\":\"site1\"}]");
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 200); /* nothing new: no number */
    assert_int_equal(number_in(s, "number"), 1);
    assert_int_equal(post(s, "/v1/sites-put?if=1", DOC(BERGEN "," OSLO)), 200);
    assert_int_equal(number_in(s, "number"), 2);
    assert_policy(s, 2, "\"name\":\"bergen\"");
    assert_int_equal(post(s, "/v1/sites-put?if=1", DOC(OSLO)), 409);
    assert_refused(s, 409, "site directory number 2 is in force, not 1");
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/sites", ""), 200);
    assert_true(answer_has(s, "\"number\":2"));
    assert_true(answer_has(s, "\"bergen\""));
    stage_free(s);
}

static void a_policy_without_sites_gets_those_of_the_directory(void **state)
{
    static const char RULES[] = "{\"format\":1,\"rules\":[{\"name\":\"a\",\"scope\":\"site:oslo\","
                                "\"mode\":\"off\"}]}";
    static const char SAME[] =
        "{\"format\":1,\"sites\":[{\"name\":\"oslo\",\"zone\":\"Europe/Oslo\",\"link\":\"mpls\","
        "\"subnets\":[\"10.1.0.0/16\"]}],\"rules\":[]}";
    static const char TYPING_ERROR[] = "{\"format\":1,\"rules\":[{\"name\":\"a\",\"scope\":"
                                       "\"site:olso\",\"mode\":\"off\"}]}";
    static const char OTHER[] = "{\"format\":1,\"sites\":[{\"name\":\"oslo\",\"zone\":\"UTC\"}]}";

    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/policy-put", OTHER), 200); /* no directory: as ever */
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/sites", ""), 200);
    assert_true(answer_has(s, "{\"name\":\"oslo\"}")); /* the draft */
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 200);
    assert_int_equal(post(s, "/v1/policy-put", RULES), 200);
    assert_false(answer_has(s, "warnings"));
    assert_policy(s, 3, "\"link\":\"mpls\"");
    assert_policy(s, 3, "\"site:oslo\"");
    assert_int_equal(post(s, "/v1/policy-put", SAME), 200);
    assert_int_equal(post(s, "/v1/policy-put", TYPING_ERROR), 200);
    assert_true(answer_has(s, "\"warnings\":[\"rule 1 (a): site olso is not among this policy's"));
    assert_int_equal(post(s, "/v1/policy-put", OTHER), 400);
    assert_refused(s, 400, "site oslo has another zone there");
    assert_refused(s, 400, "'albedo site export'");
    stage_free(s);
}

static void a_wrong_directory_changes_nothing(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/sites-put", "name,parent\na,b\nb,a\na,\n"), 400);
    assert_refused(s, 400, "line 4 (site a): line 2 (site a) has the same name, and more is wrong");
    assert_int_equal(post(s, "/v1/sites-put", "name,zone\na,Mars/Olympus\n"), 400);
    assert_refused(s, 400, "Mars/Olympus");
    assert_int_equal(post(s, "/v1/sites-put?if=x", DOC(OSLO)), 400);
    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/policy", ""), 404);
    stage_free(s);
}

static void nobody_but_an_admin_may_see_or_change_sites(void **state)
{
    static const enum actor others[] = {NOBODY, REFLECTOR, ENDPOINT, PUBLISHER};
    struct stage *s = stage_ready();

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(others); i++) {
        const unsigned no = others[i] == NOBODY ? 401 : 403;

        assert_int_equal(stage_ask_text(s, others[i], "POST", "/v1/sites-put", DOC(OSLO)), no);
        assert_int_equal(stage_ask_text(s, others[i], "GET", "/v1/sites", ""), no);
        assert_int_equal(stage_ask_text(s, others[i], "GET", "/v1/site-devices", ""), no);
    }
    stage_free(s);
}

static void a_site_with_devices_or_tokens_stays(void **state)
{
    struct stage *s = stage_ready();
    struct identity till = {.role = ROLE_ENDPOINT, .org = "acme", .expires_wall_s = INT64_MAX};

    (void)state;
    (void)snprintf(till.device, sizeof till.device, "till-7");
    (void)snprintf(till.serial, sizeof till.serial, "%032x", 77U);
    must(hub_admit(s->hub, &till, "bergen", ""));
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/sites", ""), 200);
    assert_true(answer_has(s, "\"bergen\"")); /* the draft begins with it */
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 403);
    assert_refused(s, 403, "site bergen would be gone, but there are device till-7");
    assert_int_equal(post(s, "/v1/sites-put", "{\"format\":1,\"sites\":[]}"), 403);
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO "," BERGEN)), 200);
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/site-devices", ""), 200);
    assert_true(answer_has(s, "{\"site\":\"bergen\",\"devices\":1,\"reflectors\":0,\"tokens\":0}"));
    assert_int_equal(post(s, "/v1/sites-put",
                          DOC(OSLO ",{\"name\":\"bergen\",\"reflectors\":[\"till-7\",\"later\"]}")),
                     403);
    assert_refused(s, 403, "site bergen names till-7 as a reflector, and that device is none");
    assert_int_equal(post(s, "/v1/token", "{\"role\":\"endpoint\",\"site\":\"olso\"}"), 404);
    assert_refused(s, 404, "there is no site olso");
    assert_int_equal(post(s, "/v1/token", "{\"role\":\"endpoint\",\"site\":\"oslo\"}"), 200);
    assert_int_equal(post(s, "/v1/sites-put", DOC(BERGEN)), 403);
    assert_refused(s, 403, "site oslo would be gone, but there are token ");
    stage_free(s);
}

static void a_large_directory_is_kept_in_parts_and_read_back(void **state)
{
    struct stage *s = stage_ready();
    struct buf text;

    (void)state;
    buf_init(&text, SITES_BYTES_MAX);
    must(buf_printf(&text, "name,note,gateways,subnets\nsite1,,,\n"));
    for (unsigned i = 0; i + 1 < SITES_MAX; i++)
        must(buf_printf(&text, "s%05u,%020u,52:54:00:%02x:%02x:%02x,10.%u.%u.0/24\n", i, i, i >> 16,
                        i >> 8 & 255, i & 255, i >> 8, i & 255));
    assert_int_equal(post(s, "/v1/sites-put", buf_text(&text)), 200);
    assert_int_equal(number_in(s, "number"), 1);
    assert_int_equal(post(s, "/v1/sites-put", buf_text(&text)), 200);
    assert_int_equal(number_in(s, "number"), 1);
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/sites", ""), 200);
    assert_true(answer_has(s, "\"s09998\""));
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 200);
    assert_policy(s, 2, "\"oslo\"");
    buf_release(&text);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_is_numbered_and_goes_into_the_policy),
        cmocka_unit_test(a_policy_without_sites_gets_those_of_the_directory),
        cmocka_unit_test(a_wrong_directory_changes_nothing),
        cmocka_unit_test(nobody_but_an_admin_may_see_or_change_sites),
        cmocka_unit_test(a_site_with_devices_or_tokens_stays),
        cmocka_unit_test(a_large_directory_is_kept_in_parts_and_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
