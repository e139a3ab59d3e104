/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/reflector/test_reflector.c – a reflector between a parent and those behind it. */
/* LINKS: sim_world */
#include "reflector/reflector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "sim/cast_holder.h"
#include "wire/json.h"

enum { BOX_PORT = 7500 };

/* One who speaks to the reflector. */
struct asker {
    struct branch *branch;
    struct upstream *upstream;
    struct buf grant;  /* the last that came */
    unsigned told;     /* answers to ask() */
    unsigned status;   /* of the last       */
    struct buf answer; /* its body          */
    char message[512];
};

struct branch {
    struct world *world;
    struct world_link *wan, *lan;
    struct loop *box, *pc, *below;
    struct cast_holder hub;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct reflector *reflector;
    /* what the hub was asked, and how it answers */
    unsigned grants, lists, renewals;
    int64_t grant_lifetime_s;
    const char *refused_device;
    struct asker endpoint, child;
};

static const char LIST[] = "{\"layers\":[{\"layer\":\"base/debian-12\",\"new_member\":[1,2]},"
                           "{\"layer\":\"app/office\"}]}";

static void print_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

/* ---- the hub ---- */

static void hub_grants(void *arg, struct serve_request *rq)
{
    struct branch *b = arg;
    struct named_request ask;
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);
    AUTO_FREE struct grant *grant = xalloc(sizeof *grant);
    struct buf bytes;

    assert_false(alb_failed(named_request_decode(body, size, &ask)));
    if (ask.device[0] == '\0')
        snprintf(ask.device, sizeof ask.device, "%s", rq->session->who.device);
    else
        b->grants++;
    if (b->refused_device != NULL && strcmp(ask.device, b->refused_device) == 0) {
        serve_refuse(rq, ALB_REFUSED, "no such device is enrolled here, or it was revoked");
        return;
    }
    snprintf(grant->org, sizeof grant->org, "acme");
    snprintf(grant->device, sizeof grant->device, "%s", ask.device);
    snprintf(grant->prefixes[0], NAME_MAX_SIZE, "%s", strcmp(ask.device, "pc") == 0 ? "base" : "");
    grant->prefix_count = 1;
    grant->issued_wall_s = loop_wall_s(b->hub.loop);
    grant->expires_wall_s = grant->issued_wall_s + b->grant_lifetime_s;
    buf_init(&bytes, SIGNED_MAX);
    assert_false(alb_failed(grant_encode(grant, &b->hub.hub_key, &bytes)));
    serve_answer(rq, "application/octet-stream", buf_peek(&bytes), buf_size(&bytes));
    buf_release(&bytes);
}

static void hub_lists(void *arg, struct serve_request *rq)
{
    struct branch *b = arg;

    b->lists++;
    serve_answer(rq, "application/json", LIST, sizeof LIST - 1);
}

/* Says whom it was asked for. */
static void hub_renews(void *arg, struct serve_request *rq)
{
    struct branch *b = arg;
    AUTO_FREE struct renew_request *ask = xalloc(sizeof *ask);
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);

    b->renewals++;
    assert_false(alb_failed(renew_request_decode(body, size, ask)));
    if (b->refused_device != NULL && strcmp(ask->device, b->refused_device) == 0)
        serve_refuse(rq, ALB_REFUSED, "no such device is enrolled here, or it was revoked");
    else
        serve_answer(rq, "application/json", ask->device, strlen(ask->device));
}

static void hub_start(struct branch *b, struct loop *loop)
{
    b->grant_lifetime_s = GRANT_LIFETIME_S;
    cast_holder_start(&b->hub, loop);
    serve_set(b->hub.serve, ROUTE_GRANT, hub_grants, b);
    serve_set(b->hub.serve, ROUTE_LAYERS, hub_lists, b);
    serve_set(b->hub.serve, ROUTE_RENEW, hub_renews, b);
}

/* ---- the reflector ---- */

/* As `init` leaves it: the first trust file is in the catalogue. */
static void keep_trust(struct branch *b)
{
    assert_false(alb_failed(catalogue_swap(b->catalogue, "trust/1", CATALOGUE_ANY,
                                           buf_peek(&b->hub.trust_bytes),
                                           buf_size(&b->hub.trust_bytes), NULL)));
}

static void box_start(struct branch *b)
{
    const struct reflector_options options = {.loop = b->box,
                                              .store = b->store,
                                              .catalogue = b->catalogue,
                                              .parents = {{"hub", CAST_PORT}},
                                              .parent_count = 1,
                                              .listen_address = "0.0.0.0",
                                              .listen_port = BOX_PORT,
                                              .trust_pin = &b->hub.trust_pin,
                                              .device = "box",
                                              .site = "north"};

    assert_false(alb_failed(reflector_start(&options, &b->reflector)));
}

/* ---- askers ---- */

static struct alb_status take_grant(void *arg, const uint8_t *bytes, size_t size,
                                    int64_t *renew_wall_s)
{
    struct asker *a = arg;

    buf_release(&a->grant);
    buf_init(&a->grant, SIGNED_MAX);
    *renew_wall_s = INT64_MAX;
    return buf_append(&a->grant, bytes, size);
}

static void asker_start(struct branch *b, struct asker *a, struct loop *loop)
{
    a->branch = b;
    buf_init(&a->grant, SIGNED_MAX);
    buf_init(&a->answer, SIGNED_MAX);
    a->upstream = upstream_new(&(struct upstream_options){.loop = loop,
                                                          .places = {{"box", BOX_PORT}},
                                                          .place_count = 1,
                                                          .wants_grant = true,
                                                          .arg = a,
                                                          .granted = take_grant});
}

static void asker_stop(struct asker *a)
{
    a->upstream = upstream_free(a->upstream);
    buf_release(&a->grant);
    buf_release(&a->answer);
}

static void told(void *arg, const struct upstream_answer *answer)
{
    struct asker *a = arg;

    a->told++;
    a->status = answer->status;
    buf_clear(&a->answer);
    assert_false(alb_failed(buf_append(&a->answer, answer->body, answer->size)));
    snprintf(a->message, sizeof a->message, "%s", answer->message);
}

static void run(struct branch *b, uint64_t ns)
{
    world_run(b->world, world_now_ns(b->world) + ns);
}

static void ask(struct asker *a, const char *method, const char *path, const char *body)
{
    const struct upstream_ask question = {.method = method,
                                          .path = path,
                                          .body = body,
                                          .body_size = strlen(body),
                                          .expect_bytes = SIGNED_MAX,
                                          .timeout_ns = 50 * NS_PER_S};

    (void)upstream_request(a->upstream, &question, told, a);
}

/* Ask and wait for the answer's HTTP status. */
static unsigned answer_to(struct asker *a, const char *method, const char *path, const char *body)
{
    const unsigned before = a->told;

    ask(a, method, path, body);
    run(a->branch, 60 * NS_PER_S);
    assert_int_equal(a->told, before + 1);
    return a->status;
}

static void check_grant(const struct branch *b, const struct asker *a, const char *device)
{
    AUTO_FREE struct grant *grant = xalloc(sizeof *grant);

    assert_int_equal(grant_decode(buf_peek(&a->answer), buf_size(&a->answer),
                                  authority_trust(b->hub.authority), grant)
                         .code,
                     ALB_OK);
    assert_string_equal(grant->device, device);
}

static void cut(struct branch *b)
{
    world_link_set_up(b->wan, false);
    run(b, 120 * NS_PER_S);
}

/* ---- fixture ---- */

static int setup(void **state)
{
    static const struct identity ids[] = {
        {.role = ROLE_HUB, .org = "acme", .device = "hub"},
        {.role = ROLE_REFLECTOR, .org = "acme", .device = "box", .serial = "01"},
        {.role = ROLE_ENDPOINT, .org = "acme", .device = "pc", .serial = "02"},
        {.role = ROLE_REFLECTOR, .org = "acme", .device = "below", .serial = "03"},
    };
    struct branch *b = xalloc(sizeof *b);

    if (getenv("ALB_LOG") != NULL)
        log_install(print_log, NULL, LOG_DEBUG);
    b->world = world_new(1);
    struct loop *hub = world_add_node(b->world, "hub", &ids[0]);
    b->box = world_add_node(b->world, "box", &ids[1]);
    b->pc = world_add_node(b->world, "pc", &ids[2]);
    b->below = world_add_node(b->world, "below", &ids[3]);
    b->wan = world_add_link(b->world, "wan", 1250 * 1000, 20 * NS_PER_MS);
    b->lan = world_add_link(b->world, "lan", 125 * 1000 * 1000, NS_PER_MS / 5);
    world_route(b->world, hub, b->box, &b->wan, 1);
    world_route(b->world, b->box, b->pc, &b->lan, 1);
    world_route(b->world, b->box, b->below, &b->lan, 1);
    hub_start(b, hub);
    b->store = ram_chunk_store_new(&(struct ram_options){0});
    b->catalogue = ram_catalogue_new(&(struct ram_options){0});
    keep_trust(b);
    box_start(b);
    run(b, NS_PER_S);
    asker_start(b, &b->endpoint, b->pc);
    asker_start(b, &b->child, b->below);
    run(b, NS_PER_S);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct branch *b = *state;

    asker_stop(&b->endpoint);
    asker_stop(&b->child);
    b->reflector = reflector_free(b->reflector);
    cast_holder_stop(&b->hub);
    run(b, 60 * NS_PER_S);
    world_free(b->world);
    chunk_store_close(b->store);
    catalogue_close(b->catalogue);
    cast_holder_release(&b->hub);
    free(b);
    return 0;
}

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

static void cut_off_without_a_list_says_so(void **state)
{
    struct branch *b = *state;

    cut(b);
    assert_int_equal(answer_to(&b->endpoint, "GET", "/v1/layers", ""), 503);
    assert_non_null(strstr(b->endpoint.message, "the parent cannot be reached"));
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
        cmocka_unit_test_setup_teardown(cut_off_without_a_list_says_so, setup, teardown),
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
