/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_http_pace.c – a session under a credit gate: what comes is what the gate allowed. */
/* LINKS: sim_world */
#include "net/http_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "net/http_impl.h"
#include "sim/world_duo.h"

enum { LINK_RATE = 10000000, QUANTUM = 2000, WINDOW = 50000, WAY_MS = 20 };

/* Lets bytes go as they become available; calls when there are more. */
struct purse {
    struct gate gate;
    uint64_t has, spent;
    size_t wanted;
    unsigned asked, forgotten;
};

static size_t purse_ask(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    struct purse *p = (struct purse *)g;

    (void)now_ns;
    p->asked++;
    p->wanted = want;
    *retry_ns = GATE_WILL_CALL;
    if (p->has == 0)
        return 0;
    return p->has < want ? (size_t)p->has : want;
}

static void purse_spent(struct gate *g, size_t bytes, uint64_t now_ns)
{
    struct purse *p = (struct purse *)g;

    (void)now_ns;
    assert_true(bytes <= p->has);
    p->has -= bytes;
    p->spent += bytes;
}

static void purse_forget(struct gate *g)
{
    ((struct purse *)g)->forgotten++;
}

static const struct gate_ops purse_ops = {purse_ask, purse_spent, purse_forget};

static void purse_fill(struct purse *p, uint64_t bytes)
{
    p->has += bytes;
    gate_wake(&p->gate);
}

struct paced {
    struct duo *duo;
    struct purse purse;
};

static void paced_open(struct paced *p)
{
    *p = (struct paced){.duo = duo_new(LINK_RATE), .purse.gate.ops = &purse_ops};
    p->duo->client_options = (struct http_session_options){
        .is_paced = true, .window_bytes = WINDOW, .dead_timeout_ns = 1000 * NS_PER_S};
    p->duo->server_options.dead_timeout_ns = 1000 * NS_PER_S;
    duo_connect(p->duo);
    http_session_use_credit_gate(p->duo->client, &p->purse.gate);
    http_session_set_quantum(p->duo->client, QUANTUM);
}

static struct duo_call *ask_for(struct duo *d, uint64_t bytes)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/flow?%llu", (unsigned long long)bytes);
    return duo_get(d, path, bytes);
}

static uint64_t received(struct duo *d)
{
    uint64_t in = 0, out = 0;

    http_session_counts(d->client, &in, &out);
    return in;
}

/* Everybody's window is open: what did they say they got? */
static void let_all_come(struct paced *p)
{
    for (unsigned i = 0; i < 100; i++) {
        purse_fill(&p->purse, 1 << 20);
        duo_run_ms(p->duo, 100);
    }
}

/* ---- the first bytes ------------------------------------------------------------------------- */

static void a_paced_session_gets_nothing_that_was_not_granted(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    struct duo_call *r = ask_for(p.duo, 300000);
    duo_run_ms(p.duo, 2000);
    assert_int_equal(r->status, 200); /* its head is not a body */
    assert_int_equal(received(p.duo), 0);
    assert_int_equal(p.duo->pulled, 0);
    for (unsigned i = 1; i <= 120; i++) {
        purse_fill(&p.purse, 2500);
        duo_run_ms(p.duo, 100);
        assert_int_equal(p.purse.spent, 2500 * i);
        assert_int_equal(received(p.duo), 2500 * i);
    }
    assert_int_equal(r->bytes, 300000);
    assert_int_equal(r->ends, 1);
    assert_false(r->is_damaged);
    duo_free(p.duo);
}

static void many_calls_share_what_is_granted(void **state)
{
    struct duo_call *r[20];
    struct paced p;

    (void)state;
    paced_open(&p);
    for (size_t i = 0; i < 20; i++)
        r[i] = ask_for(p.duo, 30000);
    for (unsigned i = 1; i <= 200; i++) {
        purse_fill(&p.purse, 3000);
        duo_run_ms(p.duo, 50);
        assert_true(received(p.duo) <= p.purse.spent);
        assert_true(p.purse.spent >= 3000 * (i - 1));
    }
    purse_fill(&p.purse, 100000);
    duo_run_ms(p.duo, 1000);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(r[i]->ends, 1);
        assert_int_equal(r[i]->bytes, 30000);
        assert_false(r[i]->is_damaged);
    }
    duo_free(p.duo);
}

static void small_answers_come_one_after_the_other_for_ever(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    duo_run_ms(p.duo, 1000);
    for (unsigned i = 0; i < 300; i++) {
        struct duo_call *r = ask_for(p.duo, 1000);

        purse_fill(&p.purse, 2000);
        duo_run_ms(p.duo, 50);
        assert_int_equal(r->ends, 1);
        assert_int_equal(r->bytes, 1000);
    }
    duo_free(p.duo);
}

static void without_a_gate_a_paced_session_is_like_any_other(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    http_session_use_credit_gate(p.duo->client, NULL);
    struct duo_call *r = ask_for(p.duo, 5000000);
    duo_run_ms(p.duo, 10000);
    assert_int_equal(r->bytes, 5000000);
    assert_int_equal(p.purse.asked, 0);
    duo_free(p.duo);
}

static void uploads_to_a_paced_server_wait_for_its_gate(void **state)
{
    static const uint8_t zeros[200000];
    struct purse purse = {.gate.ops = &purse_ops};
    struct duo *d = duo_new(LINK_RATE);
    struct http_call_options options = {
        .method = "POST", .path = "/other", .body = zeros, .body_size = sizeof(zeros)};
    uint64_t in = 0, out = 0;

    (void)state;
    d->server_options.is_paced = true;
    duo_connect(d);
    duo_run_ms(d, 1000);
    http_session_use_credit_gate(d->server, &purse.gate);
    struct duo_call *r = duo_start(d, &options);
    duo_run_ms(d, 1000);
    http_session_counts(d->server, &in, &out);
    assert_int_equal(in, 0);
    for (unsigned i = 0; i < 100; i++) {
        purse_fill(&purse, 2000);
        duo_run_ms(d, 100);
        http_session_counts(d->server, &in, &out);
        assert_true(in <= purse.spent);
    }
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->status, 404);
    duo_free(d);
}

/* ---- grants ---------------------------------------------------------------------------------- */

static void the_gate_is_asked_for_a_quantum_at_a_time(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    ask_for(p.duo, 300000);
    duo_run_ms(p.duo, 1000);
    assert_int_equal(p.purse.wanted, QUANTUM);
    unsigned asked = p.purse.asked;
    duo_run_ms(p.duo, 10000); /* told to wait for a call: it waits */
    assert_int_equal(p.purse.asked, asked);
    let_all_come(&p);
    assert_int_equal(received(p.duo), 300000);
    duo_free(p.duo);
}

static void who_has_no_more_to_ask_for_is_forgotten(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    struct duo_call *r = ask_for(p.duo, 300000);
    duo_run_ms(p.duo, 1000);
    http_call_cancel(r->call);
    duo_run_ms(p.duo, 1000);
    assert_int_equal(p.purse.forgotten, 1);
    duo_free(p.duo);
}

static void the_session_lets_go_of_its_gate_before_it_says_that_it_is_over(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    ask_for(p.duo, 300000);
    duo_run_ms(p.duo, 1000);
    http_session_close(p.duo->client);
    duo_run_ms(p.duo, 1000);
    assert_int_equal(p.purse.forgotten, 1);
    purse_fill(&p.purse, 100000);
    duo_free(p.duo);
}

static void a_quantum_takes_two_hundredths_of_the_way_back(void **state)
{
    (void)state;
    assert_int_equal(http_credit_quantum(0, 0), 1400);
    assert_int_equal(http_credit_quantum(10000000, 0), 2500);        /* one each 2 ms */
    assert_int_equal(http_credit_quantum(10000000, 1000000), 43500); /* 28.7 grants/s × 696 bit */
    assert_int_equal(http_credit_quantum(UINT64_MAX, 1), 256 << 10);
    assert_int_equal(http_credit_quantum(1000000000, 1000000000), 250000);
}

/* ---- off ------------------------------------------------------------------------------------- */

static void credit_that_was_granted_is_taken_back(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    struct duo_call *slow = duo_get(p.duo, "/trickle?3000000", 3000000);
    purse_fill(&p.purse, 400000);
    duo_run_ms(p.duo, 1000); /* 100,000 have come, and all of W is out */
    assert_true(http_session_outstanding_bytes(p.duo->client) >= WINDOW - QUANTUM);
    p.purse.has = 0;
    http_session_revoke_credit(p.duo->client);
    duo_run_ms(p.duo, 2 * WAY_MS + 1);
    uint64_t after = received(p.duo);
    duo_run_ms(p.duo, 1000);
    assert_int_equal(received(p.duo), after);
    assert_int_equal(http_session_outstanding_bytes(p.duo->client), 0);
    purse_fill(&p.purse, 10000);
    duo_run_ms(p.duo, 1000);
    assert_int_equal(received(p.duo), after + 10000);
    purse_fill(&p.purse, 4000000);
    duo_run_ms(p.duo, 20000);
    assert_int_equal(slow->ends, 1);
    assert_int_equal(slow->code, ALB_OK);
    assert_int_equal(slow->bytes, 3000000);
    assert_false(slow->is_damaged);
    duo_free(p.duo);
}

static void taking_back_again_and_again_loses_nothing(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    struct duo_call *r = ask_for(p.duo, 2000000);
    for (unsigned i = 0; i < 400 && r->ends == 0; i++) {
        purse_fill(&p.purse, 20000);
        duo_run_ms(p.duo, 37);
        if (i % 3 == 0)
            http_session_revoke_credit(p.duo->client);
        duo_run_ms(p.duo, i % 50);
        assert_true(received(p.duo) <= p.purse.spent);
    }
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->bytes, 2000000);
    assert_false(r->is_damaged);
    duo_free(p.duo);
}

static void what_is_under_way_can_be_stopped_and_the_session_stays(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    struct duo_call *a = ask_for(p.duo, 300000);
    struct duo_call *b = duo_get(p.duo, "/never", 10);
    purse_fill(&p.purse, 100000);
    duo_run_ms(p.duo, 150);
    http_session_stop_bodies(p.duo->client);
    assert_int_equal(a->ends, 0); /* not from inside */
    duo_run_ms(p.duo, 1);
    assert_int_equal(a->ends, 1);
    assert_int_equal(a->code, ALB_CLOSED);
    assert_int_equal(b->ends, 1);
    assert_true(http_session_is_open(p.duo->client));
    duo_run_ms(p.duo, 2 * WAY_MS);
    uint64_t after = received(p.duo);
    p.purse.has = 0;
    struct duo_call *again = ask_for(p.duo, 5000);
    duo_run_ms(p.duo, 1000);
    assert_int_equal(received(p.duo), after);
    let_all_come(&p);
    assert_int_equal(again->bytes, 5000);
    duo_free(p.duo);
}

/* ---- PINGs ----------------------------------------------------------------------------------- */

struct pong {
    uint64_t rtt_ns;
    unsigned count;
};

static void on_pong(void *arg, uint64_t rtt_ns)
{
    struct pong *p = arg;

    p->rtt_ns = rtt_ns;
    p->count++;
}

static void a_ping_measures_the_way_there_and_back(void **state)
{
    struct duo *d = duo_connected(LINK_RATE);
    struct pong pong = {0}, other = {0};

    (void)state;
    assert_false(http_session_ping(d->client, on_pong, &pong)); /* it is not open yet */
    duo_run_ms(d, 1000);
    for (unsigned i = 0; i < HTTP_PINGS_MAX; i++)
        assert_true(http_session_ping(d->client, on_pong, i == 0 ? &other : &pong));
    assert_false(http_session_ping(d->client, on_pong, &pong));
    http_session_cancel_pings(d->client, &other);
    duo_run_ms(d, 1000);
    assert_int_equal(other.count, 0);
    assert_int_equal(pong.count, HTTP_PINGS_MAX - 1);
    assert_in_range(pong.rtt_ns, 2 * WAY_MS * NS_PER_MS, 2 * WAY_MS * NS_PER_MS + NS_PER_MS);
    assert_true(http_session_ping(d->client, on_pong, &pong));
    duo_free(d);
}

/* ---- stamps ---------------------------------------------------------------------------------- */

struct heard {
    uint8_t bytes[HTTP_STAMP_MAX];
    size_t size;
    unsigned count;
};

static void on_stamp(void *arg, const uint8_t *bytes, size_t size)
{
    struct heard *h = arg;

    assert_true(size <= sizeof(h->bytes));
    memcpy(h->bytes, bytes, size);
    h->size = size;
    h->count++;
}

static void a_stamp_arrives_as_it_was_given(void **state)
{
    struct duo *d = duo_connected(LINK_RATE);
    struct heard heard = {0};
    uint8_t stamp[HTTP_STAMP_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(stamp); i++)
        stamp[i] = (uint8_t)i;
    http_session_stamp(d->client, stamp, 1); /* before it is open: nobody to tell */
    duo_run_ms(d, 1000);
    http_session_stamp(d->server, stamp, 5); /* nobody listens there */
    duo_run_ms(d, 100);
    http_session_on_stamp(d->client, on_stamp, &heard);
    http_session_stamp(d->server, "first", 5);
    http_session_stamp(d->server, stamp, sizeof(stamp)); /* takes its place */
    duo_run_ms(d, 100);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.size, sizeof(stamp));
    assert_memory_equal(heard.bytes, stamp, sizeof(stamp));
    duo_free(d);
}

static void stamps_beyond_so_many_a_second_are_not_heard(void **state)
{
    struct duo *d = duo_connected(LINK_RATE);
    struct heard heard = {0};

    (void)state;
    duo_run_ms(d, 1000);
    http_session_on_stamp(d->client, on_stamp, &heard);
    for (unsigned i = 0; i < 900; i++) {
        http_session_stamp(d->server, "x", 1);
        duo_run_ms(d, 1);
    }
    assert_in_range(heard.count, HTTP_STAMPS_PER_S, HTTP_STAMPS_PER_S + 1);
    duo_run_ms(d, 1000);
    http_session_stamp(d->server, "y", 1);
    duo_run_ms(d, 100);
    assert_int_equal(heard.bytes[0], 'y');
    duo_free(d);
}

/* A frame of the stamps' type as a hostile other side would make it. */
static void send_frame(struct duo *d, uint32_t size, uint8_t stream_id)
{
    static uint8_t zeros[20000];
    const uint8_t head[9] = {(uint8_t)(size >> 16),
                             (uint8_t)(size >> 8),
                             (uint8_t)size,
                             HTTP_STAMP_TYPE,
                             0,
                             0,
                             0,
                             0,
                             stream_id};

    assert_false(alb_failed(buf_append(&d->server->out, head, sizeof(head))));
    assert_false(alb_failed(buf_append(&d->server->out, zeros, size)));
    http_session_wake(d->server);
    duo_run_ms(d, 100);
}

static void a_stamp_of_a_hostile_size_is_passed_over(void **state)
{
    struct duo *d = duo_connected(LINK_RATE);
    struct heard heard = {0};

    (void)state;
    duo_run_ms(d, 1000);
    http_session_on_stamp(d->client, on_stamp, &heard);
    send_frame(d, HTTP_STAMP_MAX + 1, 0);
    send_frame(d, 16384, 0);
    send_frame(d, 0, 0);
    send_frame(d, 10, 1); /* of a stream */
    assert_int_equal(heard.count, 0);
    send_frame(d, HTTP_STAMP_MAX, 0);
    assert_int_equal(heard.count, 1);
    struct duo_call *r = duo_get(d, "/hello", 5);
    duo_run_ms(d, 1000);
    assert_int_equal(r->code, ALB_OK);
    duo_free(d);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void frames_are_four_milliseconds_long(void **state)
{
    (void)state;
    assert_int_equal(http_frame_size(0), 1400);
    assert_int_equal(http_frame_size(10000000), 5000);
    assert_int_equal(http_frame_size(UINT64_MAX), HTTP_DATA_SIZE);
}

static void a_session_with_small_frames_sends_all_the_same(void **state)
{
    struct duo *d = duo_connected(LINK_RATE);

    (void)state;
    duo_run_ms(d, 1000);
    http_session_set_frame_size(d->server, 1400);
    struct duo_call *r = ask_for(d, 1000000);
    duo_run_ms(d, 5000);
    assert_int_equal(r->bytes, 1000000);
    assert_false(r->is_damaged);
    duo_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_paced_session_gets_nothing_that_was_not_granted),
        cmocka_unit_test(many_calls_share_what_is_granted),
        cmocka_unit_test(small_answers_come_one_after_the_other_for_ever),
        cmocka_unit_test(without_a_gate_a_paced_session_is_like_any_other),
        cmocka_unit_test(uploads_to_a_paced_server_wait_for_its_gate),
        cmocka_unit_test(the_gate_is_asked_for_a_quantum_at_a_time),
        cmocka_unit_test(who_has_no_more_to_ask_for_is_forgotten),
        cmocka_unit_test(the_session_lets_go_of_its_gate_before_it_says_that_it_is_over),
        cmocka_unit_test(a_quantum_takes_two_hundredths_of_the_way_back),
        cmocka_unit_test(credit_that_was_granted_is_taken_back),
        cmocka_unit_test(taking_back_again_and_again_loses_nothing),
        cmocka_unit_test(what_is_under_way_can_be_stopped_and_the_session_stays),
        cmocka_unit_test(a_ping_measures_the_way_there_and_back),
        cmocka_unit_test(a_stamp_arrives_as_it_was_given),
        cmocka_unit_test(stamps_beyond_so_many_a_second_are_not_heard),
        cmocka_unit_test(a_stamp_of_a_hostile_size_is_passed_over),
        cmocka_unit_test(frames_are_four_milliseconds_long),
        cmocka_unit_test(a_session_with_small_frames_sends_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
