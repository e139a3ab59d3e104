/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_renewal.c – a certificate renewed in time, by parents good and bad. */
/* LINKS: sim_world */
#include "transfer/renewal.h"

#include "net/x509.h"
#include "support/liar.h"
#include "wire/json.h"

static const int64_t HOUR = 3600;

struct stage {
    struct liar_stage on;
    struct upstream *upstream;
    struct authority *authority;
    struct renewal *renewal;
    char *ca_key, *ca_pem, *key, *csr, *pem;
    struct identity who;
    unsigned asked, renewed;
    char serial[SERIAL_HEX_SIZE]; /* of the last that was put to use */
    /* what the parent gives */
    unsigned status;  /* other than 200: a refusal                           */
    const char *lies; /* NULL, "device", "role", "key", "early" or "nonsense" */
    bool frees;       /* the renewal ends from inside renewed()              */
};

static void sure(struct alb_status st)
{
    char text[256];

    if (alb_failed(st))
        fail_msg("%s", alb_status_text(st, text, sizeof text));
}

static bool lies_about(const struct stage *g, const char *what)
{
    return g->lies != NULL && strcmp(g->lies, what) == 0;
}

static char *issue(struct stage *g, const char *csr_pem, int64_t lifetime_s)
{
    struct identity who = g->who;
    char serial[SERIAL_HEX_SIZE];
    char *pem = NULL;

    if (lies_about(g, "device"))
        snprintf(who.device, sizeof who.device, "other");
    if (lies_about(g, "role"))
        who.role = ROLE_ADMIN;
    sure(x509_issue(&(struct x509_issue){.ca_key_pem = g->ca_key,
                                         .ca_certificate_pem = g->ca_pem,
                                         .csr_pem = csr_pem,
                                         .who = &who,
                                         .now_wall_s = loop_wall_s(g->on.box),
                                         .lifetime_s = lifetime_s},
                    &pem, serial));
    return pem;
}

/* ---- the parent ---- */

static char *next_certificate(struct stage *g, const char *csr_pem)
{
    AUTO_FREE char *key = NULL;
    AUTO_FREE char *csr = NULL;

    if (!lies_about(g, "key"))
        return issue(g, csr_pem, lies_about(g, "early") ? HOUR : 30 * HOUR);
    sure(x509_make_key(&key));
    sure(x509_make_request(key, &csr));
    return issue(g, csr, 30 * HOUR);
}

static void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;
    AUTO_FREE struct renew_request *ask = xalloc(sizeof *ask);
    AUTO_FREE struct renew_answer *reply = xalloc(sizeof *reply);
    struct buf *body = http_exchange_body(x), out;

    assert_string_equal(http_exchange_path(x), RENEWAL_PATH);
    g->asked++;
    sure(renew_request_decode(buf_peek(body), buf_size(body), ask));
    if (g->status != 0 || lies_about(g, "nonsense")) {
        http_answer(x, g->status != 0 ? g->status : 200, NULL, "{}", 2);
        return;
    }
    AUTO_FREE char *pem = next_certificate(g, ask->csr_pem);
    snprintf(reply->certificate_pem, sizeof reply->certificate_pem, "%s", pem);
    buf_init(&out, 64 << 10);
    sure(renew_answer_encode(reply, &out));
    http_answer(x, 200, "application/json", buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

/* ---- the child ---- */

static void on_renewed(void *arg, const char *certificate_pem)
{
    struct stage *g = arg;
    struct identity who;

    sure(x509_identity(certificate_pem, &who));
    memcpy(g->serial, who.serial, sizeof g->serial);
    g->renewed++;
    if (g->frees)
        g->renewal = renewal_free(g->renewal);
}

static int setup(void **state)
{
    struct stage *g = xalloc(sizeof *g);

    liar_stage_open(&g->on);
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    g->who = (struct identity){.role = ROLE_REFLECTOR, .org = "acme", .device = "box"};
    sure(x509_make_ca("acme", loop_wall_s(g->on.box), &g->ca_key, &g->ca_pem));
    sure(x509_make_key(&g->key));
    sure(x509_make_request(g->key, &g->csr));
    g->pem = issue(g, g->csr, 30 * HOUR);
    sure(authority_open(&(struct authority_options){.loop = g->on.box}, &g->authority));
    g->upstream = upstream_new(&(struct upstream_options){
        .loop = g->on.box, .places = {{"hub", LIAR_PORT}}, .place_count = 1});
    sure(renewal_new(&(struct renewal_options){.loop = g->on.box,
                                               .upstream = g->upstream,
                                               .authority = g->authority,
                                               .certificate_pem = g->pem,
                                               .csr_pem = g->csr,
                                               .renewed = on_renewed,
                                               .arg = g},
                     &g->renewal));
    *state = g;
    return 0;
}

static int setup_up(void **state)
{
    setup(state);
    liar_listen(&((struct stage *)*state)->on.liar);
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    renewal_free(g->renewal);
    authority_close(g->authority);
    upstream_free(g->upstream);
    liar_stage_close(&g->on);
    free(g->ca_key);
    free(g->ca_pem);
    free(g->key);
    free(g->csr);
    free(g->pem);
    free(g);
    return 0;
}

static void hours_pass(struct stage *g, uint64_t hours)
{
    liar_stage_run_ms(&g->on, hours * 3600 * 1000);
}

/* ---- tests ---- */

static void it_is_asked_for_when_two_thirds_are_over_and_not_before(void **state)
{
    struct stage *g = *state;

    hours_pass(g, 19);
    assert_int_equal(g->asked, 0);
    hours_pass(g, 2);
    assert_int_equal(g->asked, 1);
    assert_int_equal(g->renewed, 1);
    hours_pass(g, 18);
    assert_int_equal(g->asked, 1); /* the new one is looked after, too */
    hours_pass(g, 3);
    assert_int_equal(g->renewed, 2);
}

static void a_parent_that_is_away_or_refuses_is_asked_again(void **state)
{
    struct stage *g = *state;

    hours_pass(g, 21); /* nobody listens */
    assert_int_equal(g->asked, 0);
    g->status = 503;
    liar_listen(&g->on.liar);
    hours_pass(g, 5);
    assert_true(g->asked >= 3);
    assert_int_equal(g->renewed, 0);
    g->status = 0;
    hours_pass(g, 2);
    assert_int_equal(g->renewed, 1);
}

static void what_is_no_successor_is_not_put_to_use(void **state)
{
    static const char *const lies[] = {"early", "device", "role", "key", "nonsense"};
    struct stage *g = *state;

    hours_pass(g, 20);
    for (size_t i = 0; i < ALB_COUNT(lies); i++) {
        const unsigned before = g->asked;
        g->lies = lies[i];
        hours_pass(g, 3);
        if (g->renewed != 0 || g->asked == before)
            fail_msg("%s: asked %u, renewed %u", lies[i], g->asked, g->renewed);
    }
    g->lies = NULL;
    hours_pass(g, 2);
    assert_int_equal(g->renewed, 1);
}

static void it_may_be_freed_when_it_tells(void **state)
{
    struct stage *g = *state;

    g->frees = true;
    hours_pass(g, 21);
    assert_int_equal(g->renewed, 1);
    assert_null(g->renewal);
}

static void what_is_no_certificate_is_not_looked_after(void **state)
{
    struct stage *g = *state;
    struct renewal *r = NULL;

    assert_int_equal(
        renewal_new(&(struct renewal_options){.loop = g->on.box, .certificate_pem = "nonsense"}, &r)
            .code,
        ALB_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_asked_for_when_two_thirds_are_over_and_not_before,
                                        setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_parent_that_is_away_or_refuses_is_asked_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_no_successor_is_not_put_to_use, setup_up, teardown),
        cmocka_unit_test_setup_teardown(it_may_be_freed_when_it_tells, setup_up, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_certificate_is_not_looked_after, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
