/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_enrol.c – tokens made and used: who gets a certificate, by which name, who not. */
/* LINKS: sim_world */
#include "support/hub_crate.h"

/* A machine that wants to join. */
struct joiner {
    char *key_pem, *csr_pem;
    struct token token;
    struct enrol_answer answer;
};

static void joiner_init(struct joiner *j)
{
    *j = (struct joiner){.key_pem = NULL};
    must(x509_make_key(&j->key_pem));
    must(x509_make_request(j->key_pem, &j->csr_pem));
}

static void joiner_release(struct joiner *j)
{
    free(j->key_pem);
    free(j->csr_pem);
}

static unsigned make_token(struct stage *s, const char *json, struct token *out)
{
    struct token_answer answer;
    unsigned status = stage_ask_text(s, ADMIN, "POST", "/v1/token", json);

    if (status != 200)
        return status;
    must(token_answer_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &answer));
    must(token_parse(answer.token, out));
    return status;
}

static unsigned join(struct stage *s, struct joiner *j, const char *name)
{
    struct enrol_request *ask = xalloc(sizeof *ask);
    struct buf body;

    memcpy(ask->token_id, j->token.id, sizeof j->token.id);
    bytes_hex(j->token.secret, sizeof j->token.secret, ask->secret_hex);
    snprintf(ask->name, sizeof ask->name, "%s", name);
    snprintf(ask->csr_pem, sizeof ask->csr_pem, "%s", j->csr_pem);
    buf_init(&body, 64 << 10);
    must(enrol_request_encode(ask, &body));
    free(ask);
    unsigned status = stage_ask(s, NOBODY, "POST", "/v1/enrol", &body);
    buf_release(&body);
    if (status == 200)
        must(enrol_answer_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &j->answer));
    return status;
}

/* ---- what works ------------------------------------------------------------------------------ */

static void an_endpoint_joins_and_is_who_the_hub_says(void **state)
{
    struct stage *s = stage_ready();
    struct identity who;
    struct digest pin;
    struct joiner j;

    (void)state;
    joiner_init(&j);
    assert_int_equal(
        make_token(s, "{\"role\":\"endpoint\",\"site\":\"lyon\",\"layers\":\"base\"}", &j.token),
        200);
    must(x509_pin(s->ca_pem, &pin));
    assert_memory_equal(&pin, &j.token.ca_pin, sizeof pin);
    assert_true(j.token.has_trust_pin);
    sha256(buf_peek(&s->trust_bytes), buf_size(&s->trust_bytes), &pin);
    assert_memory_equal(&pin, &j.token.trust_pin, sizeof pin);

    assert_int_equal(join(s, &j, "desk-7"), 200);
    must(x509_identity(j.answer.certificate_pem, &who));
    assert_string_equal(who.device, "desk-7");
    assert_string_equal(who.org, "acme");
    assert_int_equal(who.role, ROLE_ENDPOINT);
    const int64_t days = (who.expires_wall_s - loop_wall_s(s->hub_loop)) / 86400;
    assert_in_range(days, 29, 30);
    assert_string_equal(j.answer.site, "lyon");
    assert_string_equal(j.answer.ca_pem, s->ca_pem);
    assert_int_equal(j.answer.trust_version, 1);
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/devices", NULL), 200);
    assert_non_null(strstr(stage_text(s), "\"device\":\"desk-7\""));
    assert_null(strstr(stage_text(s), "CERTIFICATE"));
    joiner_release(&j);
    stage_free(s);
}

static void a_lost_answer_is_given_again_without_another_use(void **state)
{
    struct stage *s = stage_ready();
    struct joiner j, thief;

    (void)state;
    joiner_init(&j);
    joiner_init(&thief);
    make_token(s, "{\"role\":\"endpoint\"}", &j.token);
    assert_int_equal(join(s, &j, "desk-7"), 200);
    char *first = strdup(j.answer.certificate_pem);
    assert_int_equal(join(s, &j, "desk-7"), 200);
    assert_string_equal(first, j.answer.certificate_pem);
    free(first);
    thief.token = j.token; /* the token's text, another key */
    join(s, &thief, "desk-7");
    stage_refused(s, 401, "as often as it may be");
    joiner_release(&j);
    joiner_release(&thief);
    stage_free(s);
}

static void machines_of_one_name_get_names_of_their_own(void **state)
{
    struct stage *s = stage_ready();
    struct token token;
    const char *const names[] = {"desk", "desk-2", "desk-3"};

    (void)state;
    make_token(s, "{\"role\":\"endpoint\",\"uses\":3}", &token);
    for (size_t i = 0; i < 3; i++) {
        struct joiner j;
        joiner_init(&j);
        j.token = token;
        assert_int_equal(join(s, &j, "desk"), 200);
        assert_string_equal(j.answer.device, names[i]);
        joiner_release(&j);
    }
    stage_free(s);
}

static void a_bad_proposal_gets_a_name_from_the_hub(void **state)
{
    struct stage *s = stage_ready();
    struct joiner j;

    (void)state;
    joiner_init(&j);
    make_token(s, "{\"role\":\"reflector\"}", &j.token);
    assert_int_equal(join(s, &j, "../../Etc"), 200);
    assert_memory_equal(j.answer.device, "reflector-", 10);
    assert_string_equal(j.answer.role, "reflector");
    joiner_release(&j);
    stage_free(s);
}

static void a_revoked_name_can_be_had_again(void **state)
{
    struct stage *s = stage_ready();
    struct joiner old, new;

    (void)state;
    joiner_init(&old);
    joiner_init(&new);
    make_token(s, "{\"role\":\"endpoint\",\"name\":\"till-1\"}", &old.token);
    assert_int_equal(join(s, &old, "anything"), 200);
    assert_string_equal(old.answer.device, "till-1");
    make_token(s, "{\"role\":\"endpoint\",\"name\":\"till-1\"}", &new.token);
    join(s, &new, "");
    stage_refused(s, 401, "albedo revoke till-1");
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/revoke", "{\"device\":\"till-1\"}"),
                     200);
    assert_int_equal(join(s, &new, ""), 200);
    assert_string_equal(new.answer.device, "till-1");
    joiner_release(&old);
    joiner_release(&new);
    stage_free(s);
}

static void the_first_admin_may_join_before_there_is_a_trust_file(void **state)
{
    struct stage *s = stage_new();
    struct joiner j;

    (void)state;
    joiner_init(&j);
    assert_int_equal(make_token(s, "{\"role\":\"admin\"}", &j.token), 200);
    assert_false(j.token.has_trust_pin);
    assert_int_equal(join(s, &j, "chief"), 200);
    assert_int_equal(j.answer.trust_version, 0);
    joiner_release(&j);
    stage_free(s);
}

static void a_grant_covers_what_the_token_said(void **state)
{
    struct stage *s = stage_ready();
    struct grant *grant = xalloc(sizeof *grant);

    (void)state;
    assert_int_equal(stage_ask(s, ENDPOINT, "POST", "/v1/grant", NULL), 200);
    must(grant_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &s->trust, grant));
    assert_string_equal(grant->device, "laptop");
    assert_true(grant_covers(grant, "base/os"));
    assert_false(grant_covers(grant, "app/editor"));
    assert_int_equal(stage_ask(s, REFLECTOR, "POST", "/v1/grant", NULL), 200);
    must(grant_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &s->trust, grant));
    assert_true(grant_covers(grant, "app/editor"));
    assert_int_equal(stage_ask_text(s, REFLECTOR, "POST", "/v1/grant", "{\"device\":\"laptop\"}"),
                     200);
    must(grant_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &s->trust, grant));
    assert_string_equal(grant->device, "laptop");
    assert_false(grant_covers(grant, "app/editor"));
    free(grant);
    stage_free(s);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void grants_are_for_those_who_are_enrolled(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    stage_ask_text(s, ENDPOINT, "POST", "/v1/grant", "{\"device\":\"box\"}");
    stage_refused(s, 403, "only a reflector");
    stage_ask_text(s, REFLECTOR, "POST", "/v1/grant", "{\"device\":\"stranger\"}");
    stage_refused(s, 403, "no such device is enrolled");
    stage_ask_text(s, REFLECTOR, "POST", "/v1/grant", "{\"device\":\"a/b\"}");
    assert_int_equal(s->reply.status, 400);
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/revoke", "{\"device\":\"laptop\"}"),
                     200);
    stage_ask_text(s, REFLECTOR, "POST", "/v1/grant", "{\"device\":\"laptop\"}");
    stage_refused(s, 403, "it was revoked");
    stage_free(s);
}

static void what_a_grant_does_not_cover_does_not_exist(void **state)
{
    struct stage *s = stage_ready();
    struct crate c;

    (void)state;
    crate_make(&c, "app/editor", 1, 2, false);
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 200);
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", "/v1/head/app/editor", NULL), 404);
    stage_greet(s, ENDPOINT);
    stage_ask(s, ENDPOINT, "GET", "/v1/head/app/editor", NULL);
    stage_refused(s, 404, "no such layer for this device");
    stage_ask(s, ENDPOINT, "GET", "/v1/head/app/nothing", NULL);
    stage_refused(s, 404, "no such layer for this device");
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", "/v1/layers", NULL), 200);
    assert_null(strstr(stage_text(s), "app/editor"));
    stage_greet(s, REFLECTOR);
    assert_int_equal(stage_ask(s, REFLECTOR, "GET", "/v1/layers", NULL), 200);
    assert_non_null(strstr(stage_text(s), "app/editor"));
    crate_release(&c);
    stage_free(s);
}

static void a_wrong_secret_is_answered_like_an_unknown_token(void **state)
{
    struct stage *s = stage_ready();
    char message[512];
    struct joiner j;

    (void)state;
    joiner_init(&j);
    make_token(s, "{\"role\":\"endpoint\"}", &j.token);
    j.token.secret[0] ^= 1;
    join(s, &j, "desk");
    stage_refused(s, 401, "this token is not known here");
    memcpy(message, s->reply.error.message, sizeof message);
    j.token.secret[0] ^= 1;
    j.token.id[0] = j.token.id[0] == 'a' ? 'b' : 'a';
    join(s, &j, "desk");
    assert_string_equal(message, s->reply.error.message);
    stage_ask_text(s, NOBODY, "POST", "/v1/enrol",
                   "{\"token_id\":\"../x\",\"secret_hex\":\"00\",\"name\":\"\",\"csr_pem\":\"\"}");
    assert_in_range(s->reply.status, 400, 401);
    stage_ask_text(s, NOBODY, "POST", "/v1/enrol", "[1, 2");
    assert_int_equal(s->reply.status, 400);
    joiner_release(&j);
    stage_free(s);
}

static void a_token_ends_with_its_time(void **state)
{
    struct stage *s = stage_ready();
    struct joiner j;

    (void)state;
    joiner_init(&j);
    make_token(s, "{\"role\":\"endpoint\",\"lifetime_s\":3600}", &j.token);
    world_run(s->world, world_now_ns(s->world) + 3601 * NS_PER_S);
    join(s, &j, "desk");
    stage_refused(s, 401, "has expired");
    joiner_release(&j);
    stage_free(s);
}

static void a_request_that_is_none_costs_no_use(void **state)
{
    struct stage *s = stage_ready();
    struct joiner j, bad;

    (void)state;
    joiner_init(&j);
    joiner_init(&bad);
    make_token(s, "{\"role\":\"endpoint\"}", &j.token);
    bad.token = j.token;
    memset(bad.csr_pem + 40, 'A', 20);
    join(s, &bad, "desk");
    assert_in_range(s->reply.status, 400, 422);
    assert_int_equal(join(s, &j, "desk"), 200);
    joiner_release(&j);
    joiner_release(&bad);
    stage_free(s);
}

static void tokens_wait_for_the_trust_file(void **state)
{
    struct stage *s = stage_new();
    struct token token;

    (void)state;
    assert_int_equal(make_token(s, "{\"role\":\"endpoint\"}", &token), 403);
    stage_refused(s, 403, "albedo trust init");
    assert_int_equal(make_token(s, "{\"role\":\"reflector\"}", &token), 403);
    assert_int_equal(make_token(s, "{\"role\":\"publisher\"}", &token), 403);
    stage_free(s);
}

static void a_token_that_makes_no_sense_is_not_made(void **state)
{
    static const char *const asked[] = {
        "{\"role\":\"hub\"}",
        "{\"role\":\"king\"}",
        "{\"role\":\"endpoint\",\"site\":\"Not A Site\"}",
        "{\"role\":\"endpoint\",\"name\":\"a/b\"}",
        "{\"role\":\"endpoint\",\"name\":\"a\",\"uses\":2}",
        "{\"role\":\"endpoint\",\"uses\":100001}",
        "{\"role\":\"endpoint\",\"lifetime_s\":99999999999}",
        "{\"role\":\"endpoint\",\"layers\":\"base,../x\"}",
        "{\"role\":\"admin\",\"layers\":\"base\"}",
    };
    struct stage *s = stage_ready();
    struct token token;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(asked); i++) {
        if (make_token(s, asked[i], &token) != 400)
            fail_msg("%s was answered %u", asked[i], s->reply.status);
        assert_int_not_equal(strlen(s->reply.error.message), 0);
    }
    stage_free(s);
}

static void without_a_ca_nobody_joins(void **state)
{
    struct stage *s = stage_ready();
    struct token token;
    struct joiner j;

    (void)state;
    joiner_init(&j);
    stage_stop_hub(s);
    free(s->ca_key);
    free(s->ca_pem);
    s->ca_key = s->ca_pem = NULL;
    stage_start_hub(s);
    assert_int_equal(make_token(s, "{\"role\":\"endpoint\"}", &token), 403);
    token_make(&j.token);
    assert_int_equal(join(s, &j, ""), 401);
    stage_refused(s, 401, "no CA");
    joiner_release(&j);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_endpoint_joins_and_is_who_the_hub_says),
        cmocka_unit_test(a_lost_answer_is_given_again_without_another_use),
        cmocka_unit_test(machines_of_one_name_get_names_of_their_own),
        cmocka_unit_test(a_bad_proposal_gets_a_name_from_the_hub),
        cmocka_unit_test(a_revoked_name_can_be_had_again),
        cmocka_unit_test(the_first_admin_may_join_before_there_is_a_trust_file),
        cmocka_unit_test(a_grant_covers_what_the_token_said),
        cmocka_unit_test(grants_are_for_those_who_are_enrolled),
        cmocka_unit_test(what_a_grant_does_not_cover_does_not_exist),
        cmocka_unit_test(a_wrong_secret_is_answered_like_an_unknown_token),
        cmocka_unit_test(a_token_ends_with_its_time),
        cmocka_unit_test(a_request_that_is_none_costs_no_use),
        cmocka_unit_test(tokens_wait_for_the_trust_file),
        cmocka_unit_test(a_token_that_makes_no_sense_is_not_made),
        cmocka_unit_test(without_a_ca_nobody_joins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
