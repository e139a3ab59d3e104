/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_http_pace.c – a session under a credit gate: what comes is what was allowed. */
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
    assert_int_equal(p.purse.gate.least, QUANTUM);
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
    assert_int_equal(http_credit_quantum(10000000, 10000000), 4350); /* 287 × 696 bit a second */
    assert_int_equal(http_credit_quantum(10000000, 1000000), 12500); /* 10 ms */
    assert_int_equal(http_credit_quantum(1000000, 1000000), 1400);
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

/* What came in by the stream after the first time could not be taken back, and all of W came. */
static void a_second_pause_soon_after_the_first_takes_back_all_as_well(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    struct duo_call *r = duo_get(p.duo, "/trickle?3000000", 3000000);
    purse_fill(&p.purse, 400000);
    duo_run_ms(p.duo, 1000);
    for (unsigned i = 0; i < 10; i++) {
        p.purse.has = 0;
        http_session_revoke_credit(p.duo->client);
        duo_run_ms(p.duo, 2 * WAY_MS + 1);
        const uint64_t after = received(p.duo);
        duo_run_ms(p.duo, 500);
        assert_int_equal(received(p.duo), after);
        assert_int_equal(http_session_outstanding_bytes(p.duo->client), 0);
        if (i == 0)
            assert_int_equal(r->ends, 0); /* nothing need be broken off for it */
        if (r->ends > 0)
            assert_int_equal(r->code, ALB_REFUSED);
        if (r->ends > 0)
            r = duo_get(p.duo, "/trickle?3000000", 3000000);
        purse_fill(&p.purse, 20000); /* by the stream, and the trickle leaves most of it there */
        duo_run_ms(p.duo, 70);
        assert_true(http_session_outstanding_bytes(p.duo->client) > 0);
    }
    purse_fill(&p.purse, 4000000);
    duo_run_ms(p.duo, 40000);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->code, ALB_OK);
    assert_int_equal(r->bytes, 3000000);
    duo_free(p.duo);
}

static void taking_back_again_and_again_loses_nothing(void **state)
{
    struct paced p;

    (void)state;
    paced_open(&p);
    struct duo_call *r = ask_for(p.duo, 500000);
    for (unsigned i = 0; i < 1000 && (r->ends == 0 || r->code != ALB_OK); i++) {
        if (r->ends > 0) {
            assert_int_equal(r->code, ALB_REFUSED);
            r = ask_for(p.duo, 500000);
        }
        purse_fill(&p.purse, 20000);
        duo_run_ms(p.duo, 37);
        if (i % 3 == 0)
            http_session_revoke_credit(p.duo->client);
        duo_run_ms(p.duo, i % 50);
        assert_true(received(p.duo) <= p.purse.spent);
    }
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->bytes, 500000);
    assert_false(r->is_damaged);
    duo_free(p.duo);
}

/* Up to three records of bodies left beside every limit when a session was closed at its gate. */
static void who_ends_a_session_whose_gate_is_gone_says_no_bodies(void **state)
{
    struct purse shut = {.gate.ops = &purse_ops};
    struct paced p;

    (void)state;
    paced_open(&p);
    struct duo_call *r = ask_for(p.duo, 300000);
    duo_run_ms(p.duo, 1000);
    struct stream *stream = http_session_stream(p.duo->server);
    stream_use_gate(stream, &shut.gate);
    purse_fill(&p.purse, 50000);
    duo_run_ms(p.duo, 1000);
    assert_true(buf_size(&p.duo->server->out) > 10000);
    stream_use_gate(stream, NULL);
    http_session_close(p.duo->server);
    duo_run_ms(p.duo, 1000);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->bytes, 0);
    duo_free(p.duo);
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
        cmocka_unit_test(a_second_pause_soon_after_the_first_takes_back_all_as_well),
        cmocka_unit_test(taking_back_again_and_again_loses_nothing),
        cmocka_unit_test(who_ends_a_session_whose_gate_is_gone_says_no_bodies),
        cmocka_unit_test(frames_are_four_milliseconds_long),
        cmocka_unit_test(a_session_with_small_frames_sends_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
