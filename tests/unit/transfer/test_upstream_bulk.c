/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_upstream_bulk.c – large bodies, and several data connections, to one parent
 * over a line of 10 Mbit/s and 40 ms there and back. */
/* LINKS: sim_world */
#include "transfer/upstream.h"

#include "shaper/wan_impl.h"
#include "sim/world_impl.h"
#include "support/liar.h"
#include "transfer/line.h"
#include "wire/probe.h"
#include "wire/stamp.h"

enum { BODY = 1 << 20, FLOW = 1 << 20 };
#define LINE_BPS UINT64_C(10000000)

struct told {
    unsigned count;
    enum alb_code code;
};

struct stage {
    struct liar_stage on;
    struct line *line;
    struct upstream *upstream;
    struct upstream_listener listener;
    unsigned downs, bodies;
    struct http_exchange *last; /* body, while unanswered */
    bool is_mute;
    unsigned greetings, greeting_left; /* the number of the one that is not answered */
    uint8_t *body;
    uint64_t flowed; /* bytes that came down */
    unsigned flows_ended;
    bool flows_on, pushes_on;
    struct probe_responder *responder;
    struct probe_ticket *ticket;
};

/* ---- the parent ---- */

static void invite(struct stage *g, struct http_exchange *x)
{
    struct stream *stream = http_session_stream(http_exchange_session(x));
    struct probe_invite i = {.port = probe_responder_port(g->responder)};
    uint8_t key[PROBE_KEY_SIZE];
    struct buf out;

    buf_init(&out, 256);
    probe_ticket_free(g->ticket);
    assert_false(alb_failed(stream_export_key(stream, PROBE_KEY_LABEL, key)));
    assert_false(alb_failed(probe_ticket_new(g->responder, key, &g->ticket)));
    memcpy(i.id, probe_ticket_id(g->ticket), PROBE_ID_SIZE);
    assert_false(alb_failed(probe_invite_encode(&i, &out)));
    http_answer(x, 200, NULL, buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

static void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;
    const char *path = http_exchange_path(x);

    if (strcmp(path, "/v1/body") == 0) {
        g->bodies++;
        g->last = x;
        if (!g->is_mute)
            http_answer(x, 200, NULL, "got it", 6);
    } else if (strcmp(path, "/v1/flow") == 0) {
        http_answer(x, 200, NULL, g->body, FLOW);
    } else if (strcmp(path, "/v1/probe") == 0) {
        invite(g, x);
    } else if (strcmp(path, "/v1/session") == 0) {
        if (++g->greetings != g->greeting_left)
            http_answer(x, 200, NULL, NULL, 0);
    } else if (strcmp(path, "/v1/grant") == 0) {
        http_answer(x, 200, NULL, "grant", 5);
    } else {
        http_answer(x, 404, NULL, NULL, 0);
    }
}

/* ---- the child ---- */

static void on_up(struct upstream_listener *l)
{
    (void)l;
}

static void on_down(struct upstream_listener *l)
{
    ALB_CONTAINER(l, struct stage, listener)->downs++;
}

static struct alb_status granted(void *arg, const uint8_t *grant, size_t size,
                                 int64_t *renew_wall_s)
{
    (void)arg;
    (void)grant;
    (void)size;
    *renew_wall_s = INT64_MAX;
    return ALB_STATUS_OK;
}

static struct stage *stage_new(unsigned greeting_left)
{
    struct stage *g = xalloc(sizeof *g);
    const struct upstream_place hub = {"hub", LIAR_PORT};

    liar_stage_open(&g->on);
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    g->body = xcalloc(BODY, 1);
    liar_listen(&g->on.liar);
    assert_false(alb_failed(probe_responder_open(
        &(struct probe_responder_options){
            .loop = g->on.hub, .address = "0.0.0.0", .port = LIAR_PORT},
        &g->responder)));
    g->line = line_new(&(struct line_options){
        .loop = g->on.box, .places = &hub, .place_count = 1, .site = "site1", .device = "box"});
    g->upstream = upstream_new(&(struct upstream_options){.loop = g->on.box,
                                                          .places = {hub},
                                                          .place_count = 1,
                                                          .wan = line_wan(g->line),
                                                          .wants_grant = greeting_left != 0,
                                                          .granted = granted});
    g->greeting_left = greeting_left;
    g->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(g->upstream, &g->listener);
    line_use_upstream(g->line, g->upstream);
    liar_stage_run_ms(&g->on, 2000);
    return g;
}

static int setup(void **state)
{
    struct stage *g = stage_new(0);

    assert_true(upstream_is_up(g->upstream));
    *state = g;
    return 0;
}

/* The data connection's greeting is not answered. */
static int setup_greeting(void **state)
{
    *state = stage_new(2);
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    g->flows_on = g->pushes_on = false;
    line_stop(g->line);
    upstream_free(g->upstream);
    line_free(g->line);
    g->ticket = probe_ticket_free(g->ticket);
    g->responder = probe_responder_close(g->responder);
    liar_stage_close(&g->on);
    free(g->body);
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
}

static struct upstream_request *send_body(struct stage *g, struct told *t, size_t size,
                                          upstream_done done, void *arg)
{
    const struct upstream_ask ask = {.method = "POST",
                                     .path = "/v1/body",
                                     .body = g->body,
                                     .body_size = size,
                                     .body_stays = true,
                                     .expect_bytes = 100,
                                     .is_bulk = true};

    if (t != NULL)
        *t = (struct told){0};
    return upstream_request(g->upstream, &ask, done, arg);
}

static void expect_told(const struct told *t, enum alb_code code)
{
    assert_int_equal(t->count, 1);
    assert_int_equal(t->code, code);
}

/* ---- uploads ---- */

static void bodies_go_up_on_a_connection_that_is_there_for_as_long_as_they_do(void **state)
{
    struct stage *g = *state;
    struct told t;

    assert_int_equal(g->on.liar.session_count, 2);
    send_body(g, &t, 100000, on_told, &t);
    run_ms(g, 15000);
    expect_told(&t, ALB_OK);
    assert_int_equal(g->on.liar.session_count, 3);
    run_ms(g, 35000);
    assert_int_equal(g->on.liar.session_count, 2);
    send_body(g, &t, 100000, on_told, &t);
    run_ms(g, 15000);
    expect_told(&t, ALB_OK);
    assert_int_equal(g->downs, 0);
}

static void a_body_survives_its_connection_and_the_line_does_too(void **state)
{
    struct stage *g = *state;
    struct told t;

    send_body(g, &t, BODY, on_told, &t);
    run_ms(g, 600);
    assert_int_equal(g->on.liar.session_count, 3);
    http_session_close(g->on.liar.sessions[2]);
    run_ms(g, 60000);
    expect_told(&t, ALB_OK);
    assert_int_equal(g->on.liar.accepted, 4);
    assert_int_equal(g->downs, 0);
}

static void a_body_survives_the_loss_of_the_line_at_each_moment(void **state)
{
    struct stage *g = *state;
    struct told t;

    for (unsigned i = 0; i < 30; i++) {
        send_body(g, &t, 200000, on_told, &t);
        run_ms(g, i * 20);
        liar_hang_up(&g->on.liar);
        run_ms(g, 40000);
        expect_told(&t, ALB_OK);
        assert_true(upstream_is_up(g->upstream));
    }
    assert_int_equal(g->downs, 30);
}

static void a_body_may_be_cancelled_at_each_moment(void **state)
{
    struct stage *g = *state;
    struct told t;

    for (unsigned i = 0; i < 30; i++) {
        struct upstream_request *r = send_body(g, &t, 200000, on_told, &t);
        run_ms(g, i * 30);
        if (t.count == 0)
            upstream_cancel(r);
        run_ms(g, 40000);
        assert_true(t.count <= 1);
    }
    assert_int_equal(g->downs, 0);
}

static void a_parent_that_took_a_body_and_says_nothing_is_waited_for_a_minute(void **state)
{
    struct stage *g = *state;
    struct told t;

    g->is_mute = true;
    send_body(g, &t, 1000, on_told, &t);
    run_ms(g, 50000);
    assert_int_equal(t.count, 0);
    run_ms(g, 15000);
    expect_told(&t, ALB_TIMEOUT);
}

static void a_body_that_the_policy_holds_back_for_an_hour_does_not_time_out(void **state)
{
    struct stage *g = *state;
    struct told t;

    send_body(g, &t, BODY, on_told, &t);
    run_ms(g, 300);
    wan_set_terms(line_wan(g->line), WAN_UP,
                  &(struct policy_terms){.action = {.mode = POLICY_OFF}});
    run_ms(g, 3600 * 1000);
    assert_int_equal(t.count, 0);
    assert_int_equal(g->downs, 0);
    wan_set_terms(line_wan(g->line), WAN_UP,
                  &(struct policy_terms){.action = {.mode = POLICY_MODE_SCAVENGE}});
    run_ms(g, 60000);
    expect_told(&t, ALB_OK);
    assert_int_equal(g->bodies, 1);
}

/* A hub resets what comes slower than 4 KiB/s, which is our own doing when we give way. */
static void a_body_that_is_broken_off_for_being_slow_is_sent_again_each_time(void **state)
{
    struct stage *g = *state;
    struct told t = {0};
    const struct upstream_ask ask = {.method = "POST",
                                     .path = "/v1/body",
                                     .body = "slow",
                                     .body_size = 4,
                                     .expect_bytes = 100,
                                     .timeout_ns = 3600 * NS_PER_S,
                                     .is_bulk = true};

    g->is_mute = true;
    upstream_request(g->upstream, &ask, on_told, &t);
    for (unsigned i = 1; i <= 8; i++) {
        run_ms(g, 70000);
        assert_int_equal(g->bodies, i);
        http_exchange_abort(g->last);
    }
    g->is_mute = false;
    run_ms(g, 5000);
    expect_told(&t, ALB_OK);
    assert_int_equal(g->downs, 0);
}

/* ---- both ways ---- */

static void start_flow(struct stage *g);

static void flow_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct stage *g = arg;

    (void)c;
    (void)bytes;
    g->flowed += size;
}

static void flow_head(void *arg, struct http_call *c, unsigned status)
{
    (void)arg;
    (void)c;
    assert_int_equal(status, 200);
}

static void flow_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct stage *g = arg;

    (void)c;
    g->flows_ended += !alb_failed(st);
    if (g->flows_on)
        start_flow(g);
}

static void start_flow(struct stage *g)
{
    static const struct http_call_ops ops = {.head = flow_head, .data = flow_data, .end = flow_end};
    struct http_session *line = upstream_data(g->upstream);

    if (line != NULL)
        http_call_start(
            line,
            &(struct http_call_options){.method = "GET", .path = "/v1/flow", .expect_bytes = FLOW},
            &ops, g);
}

static void pushed(void *arg, const struct upstream_answer *a)
{
    struct stage *g = arg;

    (void)a;
    if (g->pushes_on)
        send_body(g, NULL, BODY, pushed, g);
}

static void begin(struct stage *g, unsigned flows, unsigned pushes)
{
    g->flows_on = g->pushes_on = true;
    for (unsigned i = 0; i < flows; i++)
        start_flow(g);
    for (unsigned i = 0; i < pushes; i++)
        send_body(g, NULL, BODY, pushed, g);
}

static uint64_t up_bytes(struct stage *g)
{
    struct wan_figures f;

    wan_figures(line_wan(g->line), WAN_UP, &f);
    return f.bulk_bytes;
}

static void a_download_beside_an_upload_keeps_its_line(void **state)
{
    struct stage *g = *state;

    begin(g, 4, 3);
    run_ms(g, 15000);
    const uint64_t up_before = up_bytes(g), down_before = g->flowed;
    run_ms(g, 10000);
    const uint64_t up = (up_bytes(g) - up_before) * 8 / 10,
                   down = (g->flowed - down_before) * 8 / 10;
    print_message("both ways: %.2f Mbit/s down, %.2f up\n", (double)down / 1e6, (double)up / 1e6);
    assert_true(down > LINE_BPS * 50 / 100); /* on one connection: 23 and 64 % */
    assert_true(up > LINE_BPS * 45 / 100);
}

static void an_upload_that_may_not_go_costs_a_download_nothing(void **state)
{
    struct stage *g = *state;

    begin(g, 4, 3);
    run_ms(g, 5000);
    wan_set_terms(line_wan(g->line), WAN_UP,
                  &(struct policy_terms){.action = {.mode = POLICY_OFF}});
    run_ms(g, 5000);
    const uint64_t before = g->flowed;
    run_ms(g, 10000);
    assert_true((g->flowed - before) * 8 / 10 > LINE_BPS * 85 / 100);
}

/* ---- a parent that does not play by the rules ---- */

static size_t never(struct gate *gate, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    (void)gate;
    (void)want;
    (void)now_ns;
    *retry_ns = GATE_WILL_CALL;
    return 0;
}

static void nothing_spent(struct gate *gate, size_t bytes, uint64_t now_ns)
{
    (void)gate;
    (void)bytes;
    (void)now_ns;
}

static void nothing_to_forget(struct gate *gate)
{
    (void)gate;
}

static void a_parent_that_grants_an_upload_nothing_is_left_after_a_minute(void **state)
{
    static const struct gate_ops ops = {never, nothing_spent, nothing_to_forget};
    struct gate shut = {.ops = &ops};
    struct stage *g = *state;
    struct told t;

    send_body(g, &t, BODY, on_told, &t);
    while (g->on.liar.session_count < 3)
        run_ms(g, 1);
    http_session_use_credit_gate(g->on.liar.sessions[2], &shut);
    const uint64_t before = up_bytes(g);
    begin(g, 1, 0);
    run_ms(g, 55000);
    assert_int_equal(t.count, 0);
    assert_true(up_bytes(g) - before <= 128 << 10); /* what every connection starts with */
    run_ms(g, 30000);
    expect_told(&t, ALB_TIMEOUT);
    assert_int_equal(g->downs, 0);
    assert_true(g->flowed * 8 / 85 > LINE_BPS / 2); /* it held up nothing else */
    http_session_use_credit_gate(g->on.liar.sessions[2], NULL);
}

static void lie(struct stage *g, unsigned i)
{
    const struct sender_stamp lies[] = {
        {.sent_ns = UINT64_MAX, .cumulative_bytes = UINT64_MAX, .aggregate_bps = UINT64_MAX / 2},
        {.sent_ns = 0, .cumulative_bytes = 1, .retransmitted = UINT64_MAX},
        {.sent_ns = NS_PER_S, .retransmitted = 5, .aggregate_bps = 1, .flows = UINT16_MAX},
        {.flags = STAMP_SENDER_LIMITED, .sent_ns = UINT64_MAX / 2, .retransmitted = 1},
        {.flags = STAMP_POLICY_LIMITED, .aggregate_bps = UINT64_C(1) << 40, .flows = 1}};
    uint8_t bytes[STAMP_SIZE];

    sender_stamp_encode(&lies[i % ALB_COUNT(lies)], bytes);
    for (size_t k = 0; k < g->on.liar.session_count; k++)
        http_session_stamp(g->on.liar.sessions[k], bytes, sizeof bytes);
}

/* Who sends may send as little as it likes, by lies as well: no limit is lifted for it, and it is
 * over when they are. */
static void a_parent_that_lies_in_its_stamps_harms_itself_while_it_lies(void **state)
{
    struct stage *g = *state;

    begin(g, 4, 0);
    for (unsigned i = 0; i < 600; i++) {
        lie(g, i);
        run_ms(g, 50);
    }
    print_message("%.2f Mbit/s beside lies\n", (double)g->flowed * 8 / 30e6);
    assert_true(g->flowed > 0);
    wan_set_terms(
        line_wan(g->line), WAN_DOWN,
        &(struct policy_terms){.action = {.mode = POLICY_CAPPED, .rate_bps = LINE_BPS / 5}});
    run_ms(g, 1000);
    const uint64_t before = g->flowed;
    for (unsigned i = 0; i < 200; i++) {
        lie(g, i);
        run_ms(g, 50);
    }
    assert_true((g->flowed - before) * 8 / 10 <= LINE_BPS / 5);
    wan_set_terms(line_wan(g->line), WAN_DOWN,
                  &(struct policy_terms){.action = {.mode = POLICY_MODE_SCAVENGE}});
    run_ms(g, 30000);
    const uint64_t after = g->flowed;
    run_ms(g, 10000);
    print_message("%.2f Mbit/s after them\n", (double)(g->flowed - after) * 8 / 10e6);
    assert_true((g->flowed - after) * 8 / 10 > LINE_BPS / 2);
    assert_int_equal(g->downs, 0);
}

static void a_parent_that_is_half_a_second_away_is_used_as_well(void **state)
{
    struct stage *g = *state;

    g->on.wan->delay_ns = 250 * NS_PER_MS;
    wan_probe_ops.forget(line_wan(g->line));
    begin(g, 4, 0);
    run_ms(g, 30000);
    const uint64_t before = g->flowed;
    run_ms(g, 60000);
    print_message("%.2f Mbit/s at 500 ms\n", (double)(g->flowed - before) * 8 / 60e6);
    assert_true((g->flowed - before) * 8 / 60 > LINE_BPS / 20); /* weak: ARCHITECTURE */
    assert_int_equal(g->downs, 0);
}

/* ---- several data connections ---- */

static void law_wants(struct stage *g, unsigned connections)
{
    struct wan_half *down = &line_wan(g->line)->halves[WAN_DOWN];

    down->law.connections = down->verdict.connections = connections;
    down->law.connected_ns = loop_now_ns(g->on.box);
}

static void as_many_are_opened_as_the_law_wants_and_closed_again(void **state)
{
    struct stage *g = *state;

    law_wants(g, 4);
    begin(g, 4, 0);
    run_ms(g, 5000);
    assert_int_equal(upstream_data_count(g->upstream), 4);
    assert_int_equal(g->on.liar.session_count, 5);
    law_wants(g, 1);
    run_ms(g, 8000);
    assert_int_equal(upstream_data_count(g->upstream), 1);
    run_ms(g, 8000);
    assert_int_equal(g->on.liar.session_count, 2);
    assert_int_equal(g->downs, 0);
}

static void calls_of_a_connection_that_leaves_are_finished_first(void **state)
{
    struct stage *g = *state;

    law_wants(g, 2);
    begin(g, 1, 0);
    run_ms(g, 2000);
    begin(g, 4, 0);
    run_ms(g, 500);
    g->flows_on = false;
    const unsigned before = g->flows_ended;
    law_wants(g, 1);
    run_ms(g, 1500);
    assert_int_equal(upstream_data_count(g->upstream), 1);
    run_ms(g, 20000);
    assert_int_equal(g->flows_ended - before, 5);
    assert_int_equal(g->on.liar.session_count, 2);
}

static void losing_one_of_several_does_not_lose_the_line(void **state)
{
    struct stage *g = *state;

    law_wants(g, 3);
    begin(g, 4, 0);
    run_ms(g, 4000);
    assert_int_equal(upstream_data_count(g->upstream), 3);
    http_session_close(g->on.liar.sessions[3]);
    run_ms(g, 500);
    assert_int_equal(upstream_data_count(g->upstream), 2);
    assert_true(upstream_is_up(g->upstream));
    law_wants(g, 3);
    run_ms(g, 10000);
    assert_int_equal(upstream_data_count(g->upstream), 3);
    assert_int_equal(g->downs, 0);
}

/* They were dialled and dropped, once in five seconds, until the line was lost one day. */
static void a_parent_that_renewed_its_certificate_is_the_same(void **state)
{
    struct stage *g = *state;
    struct identity *who = &world_node_of(g->on.hub)->identity;

    snprintf(who->serial, sizeof who->serial, "77");
    law_wants(g, 3);
    begin(g, 4, 0);
    run_ms(g, 4000);
    assert_int_equal(upstream_data_count(g->upstream), 3);
    assert_string_equal(upstream_parent(g->upstream, 0)->serial, "");
    assert_string_equal(upstream_parent(g->upstream, 2)->serial, "77");
    struct http_session *control = upstream_control(g->upstream);
    assert_ptr_equal(upstream_parent(g->upstream, 1), stream_peer(http_session_stream(control)));
    assert_non_null(upstream_parent(g->upstream, 3));
    assert_null(upstream_parent(g->upstream, 4));
    assert_int_equal(g->downs, 0);
}

static bool is_77(void *arg, const char *serial)
{
    (void)arg;
    return strcmp(serial, "77") == 0;
}

static void another_parent_or_a_revoked_one_behind_the_address_is_not_used(void **state)
{
    struct stage *g = *state;
    struct identity *who = &world_node_of(g->on.hub)->identity;

    upstream_use_trust(g->upstream, &(struct upstream_trust){.has_revoked = is_77});
    snprintf(who->serial, sizeof who->serial, "77");
    law_wants(g, 3);
    begin(g, 4, 0);
    run_ms(g, 4000);
    assert_int_equal(upstream_data_count(g->upstream), 1);
    snprintf(who->serial, sizeof who->serial, "78");
    snprintf(who->device, sizeof who->device, "somebody-else");
    run_ms(g, 10000);
    assert_int_equal(upstream_data_count(g->upstream), 1);
    assert_int_equal(g->downs, 0);
}

/* Nobody asked again, and the line was lost after a minute. */
static void a_greeting_that_a_pause_breaks_off_is_repeated(void **state)
{
    struct stage *g = *state;
    struct upstream_figures f;

    assert_int_equal(g->greetings, 2);
    wan_set_terms(line_wan(g->line), WAN_DOWN,
                  &(struct policy_terms){.action = {.mode = POLICY_OFF}});
    run_ms(g, 1000);
    assert_int_equal(g->greetings, 3);
    wan_set_terms(line_wan(g->line), WAN_DOWN,
                  &(struct policy_terms){.action = {.mode = POLICY_MODE_SCAVENGE}});
    run_ms(g, 1000);
    assert_true(upstream_is_up(g->upstream));
    upstream_figures(g->upstream, &f);
    assert_int_equal(f.dials, 1);
}

static void at_rest_one_connection_is_enough(void **state)
{
    struct stage *g = *state;

    law_wants(g, 4);
    begin(g, 1, 0);
    run_ms(g, 5000);
    g->flows_on = false;
    run_ms(g, 120000);
    assert_int_equal(g->on.liar.session_count, 2);
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(bodies_go_up_on_a_connection_that_is_there_for_as_long_as_they_do),
        HERE(a_body_survives_its_connection_and_the_line_does_too),
        HERE(a_body_survives_the_loss_of_the_line_at_each_moment),
        HERE(a_body_may_be_cancelled_at_each_moment),
        HERE(a_parent_that_took_a_body_and_says_nothing_is_waited_for_a_minute),
        HERE(a_body_that_the_policy_holds_back_for_an_hour_does_not_time_out),
        HERE(a_body_that_is_broken_off_for_being_slow_is_sent_again_each_time),
        HERE(a_download_beside_an_upload_keeps_its_line),
        HERE(an_upload_that_may_not_go_costs_a_download_nothing),
        HERE(a_parent_that_grants_an_upload_nothing_is_left_after_a_minute),
        HERE(a_parent_that_lies_in_its_stamps_harms_itself_while_it_lies),
        HERE(a_parent_that_is_half_a_second_away_is_used_as_well),
        HERE(as_many_are_opened_as_the_law_wants_and_closed_again),
        HERE(calls_of_a_connection_that_leaves_are_finished_first),
        HERE(losing_one_of_several_does_not_lose_the_line),
        HERE(a_parent_that_renewed_its_certificate_is_the_same),
        HERE(another_parent_or_a_revoked_one_behind_the_address_is_not_used),
        HERE(at_rest_one_connection_is_enough),
        cmocka_unit_test_setup_teardown(a_greeting_that_a_pause_breaks_off_is_repeated,
                                        setup_greeting, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
