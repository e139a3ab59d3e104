/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_upstream.c – a parent that comes late, goes away, refuses, and falls
 * silent. */
/* LINKS: sim_world */
#include "transfer/upstream.h"

#include "support/liar.h"

struct told {
    unsigned count;
    enum alb_code code;
    unsigned status;
    char body[128];
    char message[128];
};

struct stage {
    struct liar_stage on;
    struct upstream *upstream;
    struct upstream_listener listener;
    unsigned ups, downs;
    /* what the parent does */
    unsigned grants, greetings, events_asked, echoes;
    unsigned greeting_status; /* 0: never answers */
    const char *greeting;     /* what it says when it is 200 */
    unsigned echo_breaks;     /* so many are broken off */
    bool echo_is_mute;
    struct http_exchange *events; /* the open one */
    char say_to_events[256];
    size_t say_size;
    bool end_events;
    char last_grant[64], last_proto[8];
    /* what the child does */
    int64_t renew_wall_s;
    bool refuse_grants;
    unsigned trust_there, trust_here; /* newest trust file of parent and child; 0: no matter */
    unsigned trust_asked;
    char events_heard[256];
};

/* ---- the parent ---- */

static size_t pull_events(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct stage *g = arg;
    size_t n = g->say_size;

    assert_true(n <= size);
    memcpy(out, g->say_to_events, n);
    g->say_size = 0;
    *ended = g->end_events;
    return n;
}

static void say_events(struct stage *g, const char *lines, bool and_end)
{
    g->say_size = strlen(lines);
    memcpy(g->say_to_events, lines, g->say_size);
    g->end_events = and_end;
    http_exchange_resume(g->events);
}

static void answer_echo(struct stage *g, struct http_exchange *x)
{
    struct buf *body = http_exchange_body(x);

    g->echoes++;
    if (g->echo_breaks > 0) {
        g->echo_breaks--;
        http_exchange_abort(x);
    } else if (!g->echo_is_mute) {
        http_answer(x, 200, NULL, buf_peek(body), buf_size(body));
    }
}

static void answer(struct liar *l, struct http_exchange *x)
{
    static const char refusal[] = "{\"error\":\"refused\",\"message\":\"ask somebody else\"}";
    struct stage *g = l->arg;
    struct buf *body = http_exchange_body(x);
    const char *path = http_exchange_path(x);
    char grant[32];

    snprintf(g->last_proto, sizeof g->last_proto, "%s", http_exchange_header(x, "albedo-proto"));
    if (strcmp(path, "/v1/grant") == 0) {
        snprintf(grant, sizeof grant, "grant %u", ++g->grants);
        http_answer(x, 200, NULL, grant, strlen(grant));
    } else if (strcmp(path, "/v1/session") == 0) {
        g->greetings++;
        snprintf(g->last_grant, sizeof g->last_grant, "%.*s", (int)buf_size(body),
                 (const char *)buf_peek(body));
        if (g->greeting_status == 200)
            http_answer(x, 200, NULL, g->greeting, strlen(g->greeting));
        else if (g->greeting_status != 0)
            http_answer(x, g->greeting_status, NULL, refusal, sizeof refusal - 1);
    } else if (strncmp(path, "/v1/trust/", 10) == 0) {
        g->trust_asked++;
        bool is_there = strtoul(path + 10, NULL, 10) <= g->trust_there;
        http_answer(x, is_there ? 200 : 404, NULL, path + 10, strlen(path + 10));
    } else if (strcmp(path, "/v1/events") == 0) {
        g->events_asked++;
        g->events = x;
        g->end_events = false;
        http_answer_stream(x, 200, NULL, &(struct http_source){.pull = pull_events, .arg = g});
    } else if (strcmp(path, "/v1/echo") == 0) {
        answer_echo(g, x);
    } else {
        http_answer(x, 403, "application/json", refusal, sizeof refusal - 1);
    }
}

static void gone(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;

    if (g->events == x)
        g->events = NULL;
}

/* ---- the child ---- */

static void on_up(struct upstream_listener *l)
{
    ALB_CONTAINER(l, struct stage, listener)->ups++;
}

static void on_down(struct upstream_listener *l)
{
    ALB_CONTAINER(l, struct stage, listener)->downs++;
}

static struct alb_status granted(void *arg, const uint8_t *bytes, size_t size,
                                 int64_t *renew_wall_s)
{
    struct stage *g = arg;

    (void)bytes;
    (void)size;
    if (g->refuse_grants || g->trust_here < g->trust_there)
        return alb_fail(ALB_REFUSED, "not ours");
    *renew_wall_s = g->renew_wall_s;
    return ALB_STATUS_OK;
}

static uint64_t next_trust(void *arg)
{
    return ((struct stage *)arg)->trust_here + 1;
}

static struct alb_status take_trust(void *arg, const uint8_t *bytes, size_t size)
{
    struct stage *g = arg;

    assert_int_equal(size, 1);
    assert_int_equal(bytes[0], '1' + g->trust_here);
    g->trust_here++;
    return ALB_STATUS_OK;
}

static void heard(void *arg, const char *line)
{
    struct stage *g = arg;

    strncat(g->events_heard, line, sizeof g->events_heard - strlen(g->events_heard) - 2);
    strncat(g->events_heard, ";", 2);
}

static void start(struct stage *g)
{
    g->upstream = upstream_new(
        &(struct upstream_options){.loop = g->on.box,
                                   .places = {{"nowhere", LIAR_PORT}, {"hub", LIAR_PORT}},
                                   .place_count = 2,
                                   .wants_grant = true,
                                   .wants_events = true,
                                   .arg = g,
                                   .granted = granted,
                                   .event = heard});
    g->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(g->upstream, &g->listener);
    upstream_use_trust(g->upstream,
                       &(struct upstream_trust){.next = next_trust, .take = take_trust, .arg = g});
}

static int setup(void **state)
{
    struct stage *g = xalloc(sizeof *g);

    liar_stage_open(&g->on);
    (void)world_add_node(g->on.world, "nowhere", NULL);
    g->on.liar.answer = answer;
    g->on.liar.gone = gone;
    g->on.liar.arg = g;
    g->greeting_status = 200;
    g->greeting = "";
    g->renew_wall_s = loop_wall_s(g->on.box) + 3600;
    *state = g;
    return 0;
}

static int setup_up(void **state)
{
    setup(state);
    struct stage *g = *state;
    liar_listen(&g->on.liar);
    start(g);
    liar_stage_run_ms(&g->on, 60000);
    assert_true(upstream_is_up(g->upstream));
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    upstream_free(g->upstream);
    liar_stage_close(&g->on);
    free(g);
    return 0;
}

static void run_ms(struct stage *g, uint64_t ms)
{
    liar_stage_run_ms(&g->on, ms);
}

static void on_told(void *arg, const struct upstream_answer *a)
{
    struct told *t = arg;

    t->count++;
    t->code = a->st.code;
    t->status = a->status;
    snprintf(t->body, sizeof t->body, "%.*s", (int)a->size, (const char *)a->body);
    snprintf(t->message, sizeof t->message, "%s", a->message);
}

static struct upstream_request *ask(struct stage *g, struct told *t, struct upstream_ask ask)
{
    *t = (struct told){0};
    ask.method = "POST";
    ask.path = ask.path != NULL ? ask.path : "/v1/echo";
    ask.body = "hello";
    ask.body_size = 5;
    ask.expect_bytes = ask.expect_bytes != 0 ? ask.expect_bytes : 100;
    return upstream_request(g->upstream, &ask, on_told, t);
}

static void expect_hello(const struct told *t)
{
    assert_int_equal(t->count, 1);
    assert_int_equal(t->code, ALB_OK);
    assert_string_equal(t->body, "hello");
}

/* ---- a parent that many come back to ---- */

/* How long after the line broke it was made again, on average. */
static uint64_t mean_return_ms(struct stage *g)
{
    uint64_t sum_ms = 0;

    for (unsigned i = 0; i < 20; i++) {
        run_ms(g, 100000); /* nothing was asked lately */
        const unsigned ups = g->ups;
        liar_hang_up(&g->on.liar);
        for (unsigned ms = 0; g->ups == ups && ms < 60000; ms += 100, sum_ms += 100)
            run_ms(g, 100);
        assert_true(g->ups > ups);
    }
    return sum_ms / 20;
}

static void children_come_back_over_the_time_that_their_parent_said(void **state)
{
    struct stage *g = *state;

    assert_in_range(mean_return_ms(g), 300, 1500);
    g->greeting = "{\"spread_s\":20}";
    liar_hang_up(&g->on.liar);
    run_ms(g, 30000);
    assert_in_range(mean_return_ms(g), 6000, 15000);
    g->greeting = "{\"spread_s\":99999999}";
    liar_hang_up(&g->on.liar);
    run_ms(g, 60000);
    assert_in_range(mean_return_ms(g), 18000, 45000);
}

static void who_waits_for_an_answer_makes_the_line_come_back_at_once(void **state)
{
    struct stage *g = *state;
    struct told t;

    g->greeting = "{\"spread_s\":60}";
    liar_hang_up(&g->on.liar);
    run_ms(g, 30000);
    for (unsigned i = 0; i < 10; i++) {
        run_ms(g, 100000);
        liar_hang_up(&g->on.liar);
        run_ms(g, 100);
        ask(g, &t, (struct upstream_ask){0}); /* during the pause */
        run_ms(g, 1000);
        expect_hello(&t);
        run_ms(g, 100000);
        ask(g, &t, (struct upstream_ask){0}); /* before it */
        liar_hang_up(&g->on.liar);
        run_ms(g, 2000);
        expect_hello(&t);
    }
}

static void what_nobody_waits_for_is_asked_when_the_herd_has_passed(void **state)
{
    struct stage *g = *state;
    struct told background, urgent;
    unsigned at_once = 0;

    g->greeting = "{\"spread_s\":20}";
    liar_hang_up(&g->on.liar);
    run_ms(g, 30000);
    for (unsigned i = 0; i < 20; i++) {
        liar_hang_up(&g->on.liar);
        ask(g, &background, (struct upstream_ask){.may_wait = true});
        ask(g, &urgent, (struct upstream_ask){0});
        run_ms(g, 2500);
        expect_hello(&urgent);
        at_once += background.count;
        run_ms(g, 21000);
        expect_hello(&background);
    }
    assert_in_range(at_once, 0, 8);
    ask(g, &background, (struct upstream_ask){.may_wait = true}); /* the line is old: no herd */
    run_ms(g, 500);
    expect_hello(&background);
}

/* ---- tests ---- */

static void the_second_place_of_the_list_is_tried(void **state)
{
    struct stage *g = *state;
    struct upstream_figures f;

    upstream_figures(g->upstream, &f);
    assert_string_equal(f.place, "hub:7443");
    assert_int_equal(g->ups, 1);
    assert_int_equal(g->grants, 1);
    assert_int_equal(g->greetings, 2);
    assert_string_equal(g->last_grant, "grant 1");
    assert_string_equal(g->last_proto, "1");
    assert_int_equal(g->on.liar.accepted, 2);
}

static void a_parent_that_comes_late_is_found(void **state)
{
    struct stage *g = *state;
    struct upstream_figures f;
    struct told t;

    start(g);
    ask(g, &t, (struct upstream_ask){.timeout_ns = 600 * NS_PER_S});
    run_ms(g, 300000);
    assert_false(upstream_is_up(g->upstream));
    upstream_figures(g->upstream, &f);
    assert_true(f.dials > 20 && f.dials < 120); /* the back-off grows to ten seconds */
    assert_true(strlen(f.why_down) > 0);
    liar_listen(&g->on.liar);
    run_ms(g, 45000);
    assert_true(upstream_is_up(g->upstream));
    expect_hello(&t);
}

static void a_line_lost_at_each_moment_is_made_again_and_requests_survive(void **state)
{
    struct stage *g = *state;
    struct told t;

    for (unsigned i = 0; i < 60; i++) {
        liar_hang_up(&g->on.liar);
        ask(g, &t, (struct upstream_ask){0});
        run_ms(g,
               200 + i * 20); /* dial, grant, greet, dial, greet: some 300 ms after the back-off */
        liar_hang_up(&g->on.liar);
        run_ms(g, 30000);
        assert_true(upstream_is_up(g->upstream));
        expect_hello(&t);
    }
    assert_int_equal(g->ups, g->downs + 1);
    assert_true(g->on.liar.most_sessions <= 6); /* nothing piles up */
}

static void a_link_that_goes_dark_is_noticed_and_the_request_sent_again(void **state)
{
    struct stage *g = *state;
    struct told t;

    world_link_set_up(g->on.wan, false);
    ask(g, &t, (struct upstream_ask){.timeout_ns = 300 * NS_PER_S});
    run_ms(g, 60000);
    assert_false(upstream_is_up(g->upstream));
    assert_int_equal(t.count, 0);
    world_link_set_up(g->on.wan, true);
    run_ms(g, 60000);
    assert_true(upstream_is_up(g->upstream));
    expect_hello(&t);
}

static void a_line_that_keeps_breaking_is_not_dialled_faster_and_faster(void **state)
{
    struct stage *g = *state;
    struct upstream_figures before, after;

    upstream_figures(g->upstream, &before);
    for (unsigned i = 0; i < 6000; i++) {
        liar_hang_up(&g->on.liar);
        run_ms(g, 100);
    }
    upstream_figures(g->upstream, &after);
    assert_true(after.dials - before.dials < 150); /* in ten minutes */
}

static void a_deadline_is_kept(void **state)
{
    struct stage *g = *state;
    struct told t;

    g->echo_is_mute = true;
    ask(g, &t, (struct upstream_ask){.timeout_ns = 3 * NS_PER_S});
    run_ms(g, 2900);
    assert_int_equal(t.count, 0);
    run_ms(g, 200);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.code, ALB_TIMEOUT);
    assert_true(upstream_is_up(g->upstream)); /* slow is not dead */
}

static void who_will_not_wait_hears_at_once_when_the_line_is_down(void **state)
{
    struct stage *g = *state;
    struct told before, during, patient;

    g->echo_is_mute = true;
    ask(g, &before, (struct upstream_ask){.fail_when_down = true});
    ask(g, &patient, (struct upstream_ask){0});
    run_ms(g, 1000);
    world_link_set_up(g->on.wan, false);
    run_ms(g, 30000);
    assert_int_equal(before.code, ALB_CLOSED);
    assert_int_equal(before.count, 1);
    ask(g, &during, (struct upstream_ask){.fail_when_down = true});
    assert_int_equal(during.count, 0); /* not from inside */
    run_ms(g, 10);
    assert_int_equal(during.count, 1);
    assert_int_equal(during.code, ALB_CLOSED);
    assert_int_equal(patient.count, 0);
    run_ms(g, 30000);
    assert_int_equal(patient.code, ALB_TIMEOUT);
}

static void a_request_broken_off_alone_is_sent_again_three_times(void **state)
{
    struct stage *g = *state;
    struct told t;

    g->echo_breaks = 2;
    ask(g, &t, (struct upstream_ask){0});
    run_ms(g, 2000);
    expect_hello(&t);
    assert_int_equal(g->echoes, 3);
    g->echo_breaks = 100;
    ask(g, &t, (struct upstream_ask){0});
    run_ms(g, 5000);
    assert_int_equal(t.code, ALB_CLOSED);
    assert_int_equal(g->echoes, 7);
    assert_true(upstream_is_up(g->upstream));
}

static void a_refusal_brings_the_parents_words(void **state)
{
    struct stage *g = *state;
    struct told t;

    ask(g, &t, (struct upstream_ask){.path = "/v1/else"});
    run_ms(g, 1000);
    assert_int_equal(t.code, ALB_REFUSED);
    assert_int_equal(t.status, 403);
    assert_string_equal(t.message, "ask somebody else");
}

static void an_answer_that_is_too_long_is_corrupt(void **state)
{
    struct stage *g = *state;
    struct told t;

    ask(g, &t, (struct upstream_ask){.expect_bytes = 4});
    run_ms(g, 1000);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.code, ALB_CORRUPT);
}

static void a_cancelled_request_is_not_told(void **state)
{
    struct stage *g = *state;
    struct told t;

    upstream_cancel(ask(g, &t, (struct upstream_ask){0}));
    struct upstream_request *r = ask(g, &t, (struct upstream_ask){0});
    run_ms(g, 10);
    upstream_cancel(r);
    run_ms(g, 1000);
    assert_int_equal(t.count, 0);
}

static void free_upstream(void *arg, const struct upstream_answer *a)
{
    struct stage *g = arg;

    (void)a;
    g->upstream = upstream_free(g->upstream);
}

static void it_may_be_freed_from_an_answer(void **state)
{
    struct stage *g = *state;
    const struct upstream_ask echo = {.method = "GET", .path = "/v1/echo", .expect_bytes = 10};
    struct told t;

    upstream_request(g->upstream, &echo, free_upstream, g);
    ask(g, &t, (struct upstream_ask){0});
    run_ms(g, 5000);
    assert_null(g->upstream);
    assert_int_equal(t.count, 0);
}

static void a_grant_that_is_refused_is_asked_for_anew(void **state)
{
    struct stage *g = *state;

    g->greeting_status = 403;
    liar_hang_up(&g->on.liar);
    run_ms(g, 20000);
    assert_false(upstream_is_up(g->upstream));
    const unsigned grants = g->grants;
    assert_true(grants > 1);
    g->greeting_status = 200;
    run_ms(g, 40000);
    assert_true(upstream_is_up(g->upstream));
    assert_true(g->grants > grants);
}

static void a_greeting_never_answered_is_given_up(void **state)
{
    struct stage *g = *state;
    const unsigned accepted = g->on.liar.accepted;

    g->greeting_status = 0;
    liar_hang_up(&g->on.liar);
    run_ms(g, 120000);
    assert_true(g->on.liar.accepted >= accepted + 2);
    g->greeting_status = 200;
    run_ms(g, 90000);
    assert_true(upstream_is_up(g->upstream));
}

static void a_half_spent_grant_is_renewed_on_the_line_that_holds(void **state)
{
    struct stage *g = *state;
    const unsigned accepted = g->on.liar.accepted;

    assert_int_equal(g->grants, 1);
    g->renew_wall_s += 7200;
    run_ms(g, 4000 * 1000);
    assert_int_equal(g->grants, 2);
    assert_int_equal(g->greetings, 4);
    assert_string_equal(g->last_grant, "grant 2");
    assert_int_equal(g->on.liar.accepted, accepted);
    assert_int_equal(g->downs, 0);
}

static void a_grant_that_is_not_ours_is_not_shown(void **state)
{
    struct stage *g = *state;

    g->refuse_grants = true;
    g->renew_wall_s = 0;
    liar_listen(&g->on.liar);
    start(g);
    run_ms(g, 60000);
    assert_true(upstream_is_up(g->upstream)); /* it may still read what needs none */
    assert_string_equal(g->last_grant, "");
}

static void a_grant_by_a_newer_key_brings_the_trust_files_first(void **state)
{
    struct stage *g = *state;

    g->trust_here = 1;
    g->trust_there = 3;
    liar_listen(&g->on.liar);
    start(g);
    run_ms(g, 20000);
    assert_int_equal(g->ups, 1);
    assert_int_equal(g->trust_asked, 3); /* 2, 3 and the one that is not there */
    assert_int_equal(g->grants, 2);
    assert_string_equal(g->last_grant, "grant 2");
    assert_int_equal(g->greetings, 2); /* never greeted without it */
}

static void a_line_that_refuses_us_says_why_in_the_parents_words(void **state)
{
    struct stage *g = *state;
    struct upstream_figures f;

    upstream_figures(g->upstream, &f);
    assert_int_equal(f.down_code, ALB_OK);
    g->greeting_status = 403;
    liar_hang_up(&g->on.liar);
    do {
        run_ms(g, 100);
        upstream_figures(g->upstream, &f);
    } while (f.down_code != ALB_REFUSED);
    assert_string_equal(f.why_down, "ask somebody else");
    liar_hang_up(&g->on.liar);
    g->greeting_status = 200;
    run_ms(g, 60000);
    upstream_figures(g->upstream, &f);
    assert_true(f.is_up);
    assert_string_equal(f.why_down, "");
    assert_int_equal(f.down_code, ALB_OK);
}

static void events_come_line_by_line(void **state)
{
    struct stage *g = *state;

    say_events(g, "head base/debian-12\nre", false);
    run_ms(g, 100);
    say_events(g, "voked\n", false);
    run_ms(g, 100);
    assert_string_equal(g->events_heard, "head base/debian-12;revoked;");
}

static void events_that_the_parent_ends_are_asked_for_again_and_nothing_is_missed(void **state)
{
    struct stage *g = *state;

    say_events(g, "layers\n", true);
    run_ms(g, 5000);
    assert_int_equal(g->events_asked, 2);
    assert_string_equal(g->events_heard,
                        "layers;trust;revoked;layers;policy;override;states;nearby;");
    assert_int_equal(g->downs, 0);
    assert_non_null(g->events);
    say_events(g, "trust\n", false);
    run_ms(g, 100);
    assert_string_equal(g->events_heard,
                        "layers;trust;revoked;layers;policy;override;states;nearby;trust;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_second_place_of_the_list_is_tried, setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_parent_that_comes_late_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_line_lost_at_each_moment_is_made_again_and_requests_survive, setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_link_that_goes_dark_is_noticed_and_the_request_sent_again,
                                        setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_line_that_keeps_breaking_is_not_dialled_faster_and_faster,
                                        setup_up, teardown),
        cmocka_unit_test_setup_teardown(children_come_back_over_the_time_that_their_parent_said,
                                        setup_up, teardown),
        cmocka_unit_test_setup_teardown(who_waits_for_an_answer_makes_the_line_come_back_at_once,
                                        setup_up, teardown),
        cmocka_unit_test_setup_teardown(what_nobody_waits_for_is_asked_when_the_herd_has_passed,
                                        setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_deadline_is_kept, setup_up, teardown),
        cmocka_unit_test_setup_teardown(who_will_not_wait_hears_at_once_when_the_line_is_down,
                                        setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_request_broken_off_alone_is_sent_again_three_times,
                                        setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_refusal_brings_the_parents_words, setup_up, teardown),
        cmocka_unit_test_setup_teardown(an_answer_that_is_too_long_is_corrupt, setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_request_is_not_told, setup_up, teardown),
        cmocka_unit_test_setup_teardown(it_may_be_freed_from_an_answer, setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_grant_that_is_refused_is_asked_for_anew, setup_up,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_greeting_never_answered_is_given_up, setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_half_spent_grant_is_renewed_on_the_line_that_holds,
                                        setup_up, teardown),
        cmocka_unit_test_setup_teardown(a_grant_that_is_not_ours_is_not_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(a_grant_by_a_newer_key_brings_the_trust_files_first, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_line_that_refuses_us_says_why_in_the_parents_words,
                                        setup_up, teardown),
        cmocka_unit_test_setup_teardown(events_come_line_by_line, setup_up, teardown),
        cmocka_unit_test_setup_teardown(
            events_that_the_parent_ends_are_asked_for_again_and_nothing_is_missed, setup_up,
            teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
