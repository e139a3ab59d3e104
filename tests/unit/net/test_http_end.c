/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_http_end.c – HTTP/2 sessions of two simulated nodes: how calls and they end. */
/* LINKS: sim_world */
#include "sim/world_duo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"

static void expect_ended(const struct duo_call *r, enum alb_code code)
{
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->code, code);
    assert_false(r->is_damaged);
}

static struct duo_call *post_zeros(struct duo *d, const char *path, size_t size)
{
    uint8_t *body = calloc(1, size);
    struct http_call_options options = {
        .method = "POST", .path = path, .body = body, .body_size = size, .expect_bytes = 100};

    assert_non_null(body);
    struct duo_call *r = duo_start(d, &options);
    free(body);
    return r;
}

/* ---- giving up ------------------------------------------------------------------------------- */

static void a_cancelled_call_hears_nothing_more(void **state)
{
    struct duo *d = duo_connected(1000000);
    struct duo_call *waiting = duo_get(d, "/flow?1000000", 1000000);
    struct duo_call *running = duo_get(d, "/flow?1000000", 1000000);

    (void)state;
    http_call_cancel(waiting->call);
    duo_run_ms(d, 500);
    assert_true(running->bytes > 0);
    http_call_cancel(running->call);
    uint64_t had = running->bytes;
    duo_run_ms(d, 3000);
    assert_int_equal(running->bytes, had);
    assert_int_equal(waiting->ends + running->ends, 0);
    assert_int_equal(waiting->bytes, 0);
    assert_int_equal(d->exchanges_closed, 1);
    struct duo_call *after = duo_get(d, "/flow?2000000", 2000000);
    duo_run_ms(d, 4000);
    expect_ended(after, ALB_OK);
    duo_free(d);
}

static void a_session_may_be_closed_inside_any_callback(void **state)
{
    (void)state;
    for (unsigned moment = NEVER + 1; moment < MOMENTS; moment++)
        for (unsigned side = 0; side < 2; side++) {
            struct duo *d = duo_connected(1000000);
            struct duo_call *flow = duo_get(d, "/flow?300000", 300000);
            struct duo_call *echo = post_zeros(d, "/echo", 50);
            struct duo_call *never = duo_get(d, "/never", 10);

            d->close_at = moment;
            d->close_server_side = side == 1;
            duo_run_ms(d, 60000);
            bool is_too_early = side == 1 && moment == IN_OPENED; /* there is no server yet */
            assert_int_equal(d->is_client_closed, !is_too_early);
            assert_int_equal(flow->ends + echo->ends + never->ends, is_too_early ? 2 : 3);
            duo_free(d);
        }
}

static void a_reset_flood_ends_the_session(void **state)
{
    struct duo *d = duo_connected(10000000);

    (void)state;
    for (unsigned i = 0; i < 1100 && !d->is_server_closed; i++) {
        struct duo_call *r = duo_get(d, "/never", 10);

        duo_run_ms(d, 1);
        if (r->call != NULL && d->client != NULL)
            http_call_cancel(r->call);
        if (d->client == NULL)
            break;
    }
    duo_run_ms(d, 100);
    assert_true(d->is_server_closed);
    assert_int_equal(d->server_code, ALB_REFUSED);
    duo_free(d);
}

/* ---- the link dies --------------------------------------------------------------------------- */

static void a_short_cut_is_survived(void **state)
{
    struct duo *d = duo_connected(200000);
    struct duo_call *r = duo_get(d, "/flow?2000000", 2000000);

    (void)state;
    duo_run_ms(d, 2000);
    world_link_set_up(d->link, false);
    duo_run_ms(d, 8000);
    assert_int_equal(r->ends, 0);
    world_link_set_up(d->link, true);
    duo_run_ms(d, 15000);
    expect_ended(r, ALB_OK);
    duo_free(d);
}

static void a_silent_other_side_is_given_up(void **state)
{
    struct duo *d = duo_connected(200000);
    struct duo_call *r = duo_get(d, "/flow?2000000", 2000000);

    (void)state;
    duo_run_ms(d, 2000);
    world_link_set_up(d->link, false);
    duo_run_ms(d, 19000);
    assert_false(d->is_client_closed);
    duo_run_ms(d, 2000);
    assert_true(d->is_client_closed);
    assert_int_equal(d->client_code, ALB_TIMEOUT);
    assert_true(d->is_server_closed);
    assert_int_equal(d->server_code, ALB_TIMEOUT);
    expect_ended(r, ALB_TIMEOUT);
    duo_free(d);
}

static void a_quiet_session_stays_alive_by_pings(void **state)
{
    struct duo *d = duo_connected(200000);

    (void)state;
    duo_run_ms(d, 600000);
    assert_non_null(d->client);
    assert_non_null(d->server);
    struct duo_call *r = duo_get(d, "/none", 0);
    duo_run_ms(d, 100);
    expect_ended(r, ALB_OK);
    duo_free(d);
}

static void an_idle_session_is_closed_when_asked_to(void **state)
{
    struct duo *d = duo_new(200000);

    (void)state;
    d->client_options.idle_timeout_ns = 3 * NS_PER_S;
    duo_connect(d);
    struct duo_call *r = duo_get(d, "/trickle?1000000", 1000000); /* five seconds */
    duo_run_ms(d, 6500);
    expect_ended(r, ALB_OK);
    assert_false(d->is_client_closed);
    duo_run_ms(d, 3000);
    assert_true(d->is_client_closed);
    assert_int_equal(d->client_code, ALB_CLOSED);
    duo_free(d);
}

static void calls_of_a_dial_that_fails_hear_why(void **state)
{
    struct duo *d = duo_new(200000);

    (void)state;
    world_link_set_up(d->link, false);
    duo_connect(d);
    struct duo_call *r = duo_get(d, "/hello", 5);
    duo_run_ms(d, 6000);
    assert_true(d->is_client_closed);
    assert_false(d->is_opened);
    expect_ended(r, ALB_TIMEOUT);
    duo_free(d);
}

/* ---- drain ----------------------------------------------------------------------------------- */

static void a_draining_server_finishes_what_it_began(void **state)
{
    struct duo *d = duo_connected(200000);
    struct duo_call *r = duo_get(d, "/flow?1500000", 1500000);

    (void)state;
    duo_run_ms(d, 1000);
    http_session_drain(d->server);
    duo_run_ms(d, 3000); /* behind what its buffers held */
    assert_false(http_session_is_open(d->client));
    struct duo_call *late = duo_get(d, "/hello", 5);
    duo_run_ms(d, 8000);
    expect_ended(r, ALB_OK);
    expect_ended(late, ALB_CLOSED);
    assert_true(d->is_client_closed && d->is_server_closed);
    duo_free(d);
}

static void a_draining_client_finishes_what_it_asked(void **state)
{
    struct duo *d = duo_connected(200000);
    struct duo_call *r = duo_get(d, "/flow?500000", 500000);

    (void)state;
    duo_run_ms(d, 1000);
    http_session_drain(d->client);
    duo_run_ms(d, 5000);
    expect_ended(r, ALB_OK);
    assert_true(d->is_client_closed && d->is_server_closed);
    assert_int_equal(d->client_code, ALB_CLOSED);
    duo_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cancelled_call_hears_nothing_more),
        cmocka_unit_test(a_session_may_be_closed_inside_any_callback),
        cmocka_unit_test(a_reset_flood_ends_the_session),
        cmocka_unit_test(a_short_cut_is_survived),
        cmocka_unit_test(a_silent_other_side_is_given_up),
        cmocka_unit_test(a_quiet_session_stays_alive_by_pings),
        cmocka_unit_test(an_idle_session_is_closed_when_asked_to),
        cmocka_unit_test(calls_of_a_dial_that_fails_hear_why),
        cmocka_unit_test(a_draining_server_finishes_what_it_began),
        cmocka_unit_test(a_draining_client_finishes_what_it_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
