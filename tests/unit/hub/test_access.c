/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_access.c – every row of the table with every role and with none, on both ports. */
/* LINKS: sim_world */
#include "support/gen.h"
#include "support/hub_stage.h"
#include "wire/routes.h"

static const unsigned role_bits[ACTORS] = {
    [NOBODY] = RR_NONE,         [THE_HUB] = RR_HUB,
    [REFLECTOR] = RR_REFLECTOR, [ENDPOINT] = RR_ENDPOINT,
    [PUBLISHER] = RR_PUBLISHER, [ADMIN] = RR_ADMIN,
    [BEARER] = RR_BEARER,       [PASSER] = 0,
};

/* A path of the row: what stands for '*' exists nowhere. */
static const char *path_of(const struct route *r, char *out, size_t size)
{
    snprintf(out, size, "%s", r->pattern);
    size_t length = strlen(out);
    if (out[length - 1] == '*')
        snprintf(out + length - 1, size - length + 1, "zz");
    return out;
}

static void expect_answer(struct stage *s, enum actor a, const struct route *r)
{
    const unsigned port = a >= BEARER ? PORT_ADMIN : PORT_TREE;
    const bool is_here = (r->ports & port) != 0;
    const bool is_allowed = (r->roles & role_bits[a]) != 0;
    char path[128];
    unsigned status = stage_ask_text(s, a, r->method, path_of(r, path, sizeof path), "");
    unsigned wanted = !is_here ? 404 : a == NOBODY || a == PASSER ? 401 : 403;

    if (is_here && is_allowed) { /* let in: whatever the handler makes of an empty body */
        if (strcmp(s->reply.error.message, "this device's role may not do that") == 0 ||
            strstr(s->reply.error.message, "no such request") != NULL || status == 0)
            fail_msg("%s %s refused actor %d: %u %s", r->method, path, a, status,
                     s->reply.error.message);
    } else if (status != wanted) {
        fail_msg("%s %s answered actor %d with %u, not %u: %s", r->method, path, a, status, wanted,
                 s->reply.error.message);
    }
}

static void every_row_lets_in_whom_it_names_and_nobody_else(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    for (unsigned id = 0; id < ROUTE_COUNT; id++)
        for (unsigned a = 0; a < ACTORS; a++)
            if (id != ROUTE_EVENTS || (routes[id].roles & role_bits[a]) == 0)
                expect_answer(s, (enum actor)a, &routes[id]);
    stage_free(s);
}

static void events_are_for_members_and_never_end(void **state)
{
    struct stage *s = stage_ready();
    struct reply reply;

    (void)state;
    struct http_call *call = stage_begin(s, ENDPOINT, "GET", "/v1/events", NULL, &reply);
    world_run(s->world, world_now_ns(s->world) + NS_PER_S);
    assert_int_equal(reply.status, 200);
    assert_false(reply.is_over);
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/revoke", "{\"device\":\"box\"}"), 200);
    world_run(s->world, world_now_ns(s->world) + NS_PER_S);
    assert_non_null(strstr(buf_text(&reply.body), "revoked "));
    http_call_cancel(call);
    buf_release(&reply.body);
    stage_free(s);
}

static void a_path_outside_the_table_is_not_there(void **state)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"};
    struct stage *s = stage_ready();
    struct gen g;

    (void)state;
    gen_init_from_env(&g);
    for (unsigned n = 0; n < 300; n++) {
        const struct route *r = &routes[gen_below(&g, ROUTE_COUNT)];
        const char *method = methods[gen_below(&g, ALB_COUNT(methods))], *rest;
        char path[160], name[40];

        path_of(r, path, 100);
        gen_name(&g, name, 30);
        size_t at = 1 + gen_below(&g, strlen(path));
        snprintf(path + at, sizeof path - at, "%s", name);
        if (route_find(PORT_TREE, method, path, &rest) != NULL)
            continue;
        unsigned status = stage_ask(s, gen_chance(&g, 1, 2) ? ADMIN : NOBODY, method, path, NULL);
        if (status != 404)
            fail_msg("%s %s was answered %u", method, path, status);
    }
    stage_free(s);
}

static void a_body_over_the_rows_limit_is_refused(void **state)
{
    struct stage *s = stage_ready();
    struct buf body;
    uint8_t *room;

    (void)state;
    buf_init(&body, 1 << 20);
    must(buf_reserve(&body, 5 << 10, &room));
    memset(room, ' ', 5 << 10);
    buf_commit(&body, 5 << 10);
    assert_int_equal(stage_ask(s, ADMIN, "POST", "/v1/promote", &body), 413);
    buf_release(&body);
    stage_free(s);
}

static void a_revoked_device_is_cut_off_at_once(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    stage_greet(s, ENDPOINT);
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/revoke", "{\"device\":\"laptop\"}"),
                     200);
    world_run(s->world, world_now_ns(s->world) + NS_PER_S);
    assert_null(s->sessions[ENDPOINT]); /* hung up on */
    stage_ask(s, ENDPOINT, "GET", "/v1/status", NULL);
    stage_refused(s, 403, "was revoked");
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/revoked", NULL), 200);
    struct revocations list;
    must(revocations_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &s->trust, &list));
    assert_int_equal(list.number, 1);
    assert_true(revocations_has(&list, s->who[ENDPOINT].serial));
    revocations_release(&list);
    stage_free(s);
}

static void revocations_add_up_and_last(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/revoke", "{\"device\":\"laptop\"}"),
                     200);
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/revoke", "{\"device\":\"box\"}"), 200);
    stage_ask_text(s, ADMIN, "POST", "/v1/revoke", "{\"device\":\"ghost\"}");
    stage_refused(s, 404, "no device ghost is enrolled");
    stage_ask_text(s, ADMIN, "POST", "/v1/revoke", "{\"device\":\"\"}");
    assert_int_equal(s->reply.status, 400);
    stage_stop_hub(s);
    stage_start_hub(s);
    stage_ask(s, ENDPOINT, "GET", "/v1/status", NULL);
    stage_refused(s, 403, "was revoked");
    stage_ask(s, REFLECTOR, "GET", "/v1/status", NULL);
    stage_refused(s, 403, "was revoked");
    stage_free(s);
}

static void revoking_needs_a_trust_file(void **state)
{
    struct stage *s = stage_new();

    (void)state;
    stage_ask_text(s, ADMIN, "POST", "/v1/revoke", "{\"device\":\"laptop\"}");
    stage_refused(s, 403, "albedo trust init");
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_lets_in_whom_it_names_and_nobody_else),
        cmocka_unit_test(events_are_for_members_and_never_end),
        cmocka_unit_test(a_path_outside_the_table_is_not_there),
        cmocka_unit_test(a_body_over_the_rows_limit_is_refused),
        cmocka_unit_test(a_revoked_device_is_cut_off_at_once),
        cmocka_unit_test(revocations_add_up_and_last),
        cmocka_unit_test(revoking_needs_a_trust_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
