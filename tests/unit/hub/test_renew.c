/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_renew.c – the next certificate: for whom, when, and what revoking does to the old
 * ones. */
/* LINKS: sim_world */
#include "support/hub_crate.h"

static const int64_t DAY = 86400;

/* The endpoint "laptop", enrolled with a key of its own. */
struct member {
    char *key_pem, *csr_pem;
    char *first, *last; /* certificates; last: what the last renewal gave */
};

static void enrol_laptop(struct stage *s, struct member *m)
{
    struct enrol_request *ask = xalloc(sizeof *ask);
    struct enrol_answer *answer = xalloc(sizeof *answer);
    struct token_answer token_text;
    struct token token;
    struct buf body;

    *m = (struct member){.key_pem = NULL};
    must(x509_make_key(&m->key_pem));
    must(x509_make_request(m->key_pem, &m->csr_pem));
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/token",
                                    "{\"role\":\"endpoint\",\"name\":\"laptop\"}"),
                     200);
    must(token_answer_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &token_text));
    must(token_parse(token_text.token, &token));
    memcpy(ask->token_id, token.id, sizeof token.id);
    bytes_hex(token.secret, sizeof token.secret, ask->secret_hex);
    snprintf(ask->csr_pem, sizeof ask->csr_pem, "%s", m->csr_pem);
    buf_init(&body, 64 << 10);
    must(enrol_request_encode(ask, &body));
    assert_int_equal(stage_ask(s, NOBODY, "POST", "/v1/enrol", &body), 200);
    must(enrol_answer_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), answer));
    m->first = strdup(answer->certificate_pem);
    buf_release(&body);
    free(ask);
    free(answer);
}

static struct stage *stage_with_laptop(struct member *m)
{
    struct stage *s = stage_new();

    must(hub_install_trust(s->hub, buf_peek(&s->trust_bytes), buf_size(&s->trust_bytes)));
    must(hub_admit(s->hub, &s->who[REFLECTOR], "site1", ""));
    must(hub_admit(s->hub, &s->who[ADMIN], "site1", ""));
    enrol_laptop(s, m);
    return s;
}

static void leave(struct stage *s, struct member *m)
{
    free(m->key_pem);
    free(m->csr_pem);
    free(m->first);
    free(m->last);
    stage_free(s);
}

static unsigned renew(struct stage *s, struct member *m, enum actor asker, const char *device,
                      const char *csr_pem)
{
    struct renew_request *ask = xalloc(sizeof *ask);
    struct renew_answer *answer = xalloc(sizeof *answer);
    struct buf body;

    snprintf(ask->device, sizeof ask->device, "%s", device);
    snprintf(ask->csr_pem, sizeof ask->csr_pem, "%s", csr_pem);
    buf_init(&body, 64 << 10);
    must(renew_request_encode(ask, &body));
    unsigned status = stage_ask(s, asker, "POST", "/v1/renew", &body);
    if (status == 200) {
        must(renew_answer_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), answer));
        free(m->last);
        m->last = strdup(answer->certificate_pem);
    }
    buf_release(&body);
    free(ask);
    free(answer);
    return status;
}

/* Nobody stays connected: a session that lasts would be pinged all those days. */
static void days_pass(struct stage *s, int64_t days)
{
    for (unsigned a = 0; a < ACTORS; a++)
        if (s->sessions[a] != NULL)
            http_session_close(s->sessions[a]);
    world_run(s->world, world_now_ns(s->world) + (uint64_t)(days * DAY) * NS_PER_S);
}

static struct identity of(const char *pem)
{
    struct identity id = {.role = ROLE_NONE};

    must(x509_identity(pem, &id));
    return id;
}

static bool is_listed(struct stage *s, const char *serial, uint64_t number)
{
    struct revocations list;

    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/revoked", NULL), 200);
    must(revocations_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &s->trust, &list));
    assert_int_equal(list.number, number);
    bool there = revocations_has(&list, serial);
    revocations_release(&list);
    return there;
}

static void revoke(struct stage *s, const char *device)
{
    char text[64];

    snprintf(text, sizeof text, "{\"device\":\"%s\"}", device);
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/revoke", text), 200);
}

/* ---- what works ------------------------------------------------------------------------------ */

static void the_next_certificate_is_for_the_same_key_and_lasts_longer(void **state)
{
    struct member m;
    struct stage *s = stage_with_laptop(&m);
    struct digest before, after;

    (void)state;
    days_pass(s, 21);
    assert_int_equal(renew(s, &m, ENDPOINT, "", m.csr_pem), 200);
    struct identity old = of(m.first), new = of(m.last);
    assert_string_equal(new.device, "laptop");
    assert_string_equal(new.org, "acme");
    assert_int_equal(new.role, ROLE_ENDPOINT);
    assert_string_not_equal(new.serial, old.serial);
    assert_in_range(new.expires_wall_s - old.expires_wall_s, 20 * DAY, 22 * DAY);
    must(x509_pin(m.first, &before));
    must(x509_pin(m.last, &after));
    assert_true(digest_equal(&before, &after));
    leave(s, &m);
}

static void too_early_or_again_the_last_one_is_given(void **state)
{
    struct member m;
    struct stage *s = stage_with_laptop(&m);

    (void)state;
    days_pass(s, 10);
    assert_int_equal(renew(s, &m, ENDPOINT, "", m.csr_pem), 200);
    assert_string_equal(m.last, m.first);
    days_pass(s, 10);
    assert_int_equal(renew(s, &m, ENDPOINT, "laptop", m.csr_pem), 200);
    AUTO_FREE char *second = strdup(m.last);
    assert_string_not_equal(second, m.first);
    assert_int_equal(renew(s, &m, ENDPOINT, "", m.csr_pem), 200);
    assert_string_equal(m.last, second);
    leave(s, &m);
}

static void a_reflector_hands_on_what_a_device_asks(void **state)
{
    struct member m;
    struct stage *s = stage_with_laptop(&m);

    (void)state;
    days_pass(s, 21);
    assert_int_equal(renew(s, &m, REFLECTOR, "laptop", m.csr_pem), 200);
    assert_string_equal(of(m.last).device, "laptop");
    leave(s, &m);
}

static void what_has_expired_is_forgotten(void **state)
{
    struct member m;
    struct stage *s = stage_with_laptop(&m);

    (void)state;
    days_pass(s, 20);
    assert_int_equal(renew(s, &m, ENDPOINT, "", m.csr_pem), 200);
    struct identity second = of(m.last);
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/devices", NULL), 200);
    assert_non_null(strstr(stage_text(s), of(m.first).serial));
    days_pass(s, 20);
    assert_int_equal(renew(s, &m, ENDPOINT, "", m.csr_pem), 200);
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/devices", NULL), 200);
    assert_null(strstr(stage_text(s), of(m.first).serial));
    assert_non_null(strstr(stage_text(s), second.serial));
    assert_non_null(strstr(stage_text(s), of(m.last).serial));
    leave(s, &m);
}

/* ---- revoking -------------------------------------------------------------------------------- */

static void revoking_covers_the_old_one_too(void **state)
{
    struct member m;
    struct stage *s = stage_with_laptop(&m);

    (void)state;
    days_pass(s, 21);
    assert_int_equal(renew(s, &m, ENDPOINT, "", m.csr_pem), 200);
    revoke(s, "laptop");
    assert_true(is_listed(s, of(m.first).serial, 1));
    assert_true(is_listed(s, of(m.last).serial, 1));
    days_pass(s, 16);
    renew(s, &m, REFLECTOR, "laptop", m.csr_pem);
    stage_refused(s, 403, "it was revoked");
    leave(s, &m);
}

static void a_serial_leaves_the_list_when_its_certificate_has_expired(void **state)
{
    struct member m;
    struct stage *s = stage_with_laptop(&m);
    struct identity till = {.role = ROLE_ENDPOINT, .device = "till", .serial = "ab"};

    (void)state;
    till.expires_wall_s = loop_wall_s(s->hub_loop) + 90 * DAY;
    must(hub_admit(s->hub, &till, "site1", ""));
    revoke(s, "laptop");
    days_pass(s, 29);
    revoke(s, "till");
    assert_true(is_listed(s, of(m.first).serial, 2));
    days_pass(s, 3);
    revoke(s, "till");
    assert_false(is_listed(s, of(m.first).serial, 3));
    assert_true(is_listed(s, "ab", 3));
    revoke(s, "till");
    assert_false(is_listed(s, of(m.first).serial, 4));
    leave(s, &m);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void another_key_needs_another_token(void **state)
{
    struct member m;
    struct stage *s = stage_with_laptop(&m);
    AUTO_FREE char *key = NULL;
    AUTO_FREE char *csr = NULL;

    (void)state;
    must(x509_make_key(&key));
    must(x509_make_request(key, &csr));
    days_pass(s, 21);
    renew(s, &m, ENDPOINT, "", csr);
    stage_refused(s, 403, "another key");
    renew(s, &m, REFLECTOR, "laptop", csr);
    stage_refused(s, 403, "another key");
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/devices", NULL), 200);
    assert_non_null(strstr(stage_text(s), of(m.first).serial));
    leave(s, &m);
}

static void nobody_but_a_reflector_asks_for_another(void **state)
{
    struct member m;
    struct stage *s = stage_with_laptop(&m);

    (void)state;
    renew(s, &m, ADMIN, "laptop", m.csr_pem);
    stage_refused(s, 403, "only a reflector");
    renew(s, &m, ENDPOINT, "box", m.csr_pem);
    stage_refused(s, 403, "only a reflector");
    renew(s, &m, REFLECTOR, "stranger", m.csr_pem);
    stage_refused(s, 403, "no such device is enrolled");
    renew(s, &m, REFLECTOR, "../x", m.csr_pem);
    assert_int_equal(s->reply.status, 400);
    renew(s, &m, ENDPOINT, "", "nonsense");
    assert_int_equal(s->reply.status, 400);
    stage_ask_text(s, ENDPOINT, "POST", "/v1/renew", "{}");
    assert_int_equal(s->reply.status, 400);
    renew(s, &m, NOBODY, "laptop", m.csr_pem);
    stage_refused(s, 401, "join first");
    leave(s, &m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_certificate_is_for_the_same_key_and_lasts_longer),
        cmocka_unit_test(too_early_or_again_the_last_one_is_given),
        cmocka_unit_test(a_reflector_hands_on_what_a_device_asks),
        cmocka_unit_test(what_has_expired_is_forgotten),
        cmocka_unit_test(revoking_covers_the_old_one_too),
        cmocka_unit_test(a_serial_leaves_the_list_when_its_certificate_has_expired),
        cmocka_unit_test(another_key_needs_another_token),
        cmocka_unit_test(nobody_but_a_reflector_asks_for_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
