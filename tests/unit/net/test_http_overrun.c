/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_http_overrun.c – another side that sends what it was not granted. */
/* LINKS: sim_world */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "net/http_impl.h"
#include "net/http_pace.h"
#include "sim/world_duo.h"

enum { LINK_RATE = 100000000, FRAME_SIZE = 16384, FIRST_STREAM = 1 };

/* DATA, beside anything that the server's own HTTP knows of. */
static void push_data(struct duo *d, uint8_t stream_id)
{
    static const uint8_t zeros[FRAME_SIZE];
    const uint8_t head[9] = {0, FRAME_SIZE >> 8, 0, NGHTTP2_DATA, 0, 0, 0, 0, stream_id};

    if (d->server == NULL)
        return;
    assert_false(alb_failed(buf_append(&d->server->out, head, sizeof(head))));
    assert_false(alb_failed(buf_append(&d->server->out, zeros, sizeof(zeros))));
    http_session_wake(d->server);
    duo_run_ms(d, 50);
}

static struct duo *waiting(bool is_paced, struct duo_call **out)
{
    struct duo *d = duo_new(LINK_RATE);

    d->client_options.is_paced = is_paced;
    duo_connect(d);
    *out = duo_get(d, "/never", is_paced ? 10000 : 1 << 20);
    duo_run_ms(d, 1000);
    return d;
}

static void more_than_the_connection_was_granted_ends_it(void **state)
{
    struct duo *d = duo_new(LINK_RATE);

    (void)state;
    d->client_options.window_bytes = 100000;
    duo_connect(d);
    struct duo_call *r = duo_get(d, "/never", 1 << 20);
    duo_run_ms(d, 1000);
    static uint8_t burst[20 * (9 + FRAME_SIZE)];
    for (size_t i = 0; i < 20; i++) {
        burst[i * (9 + FRAME_SIZE) + 1] = FRAME_SIZE >> 8;
        burst[i * (9 + FRAME_SIZE) + 8] = FIRST_STREAM;
    }
    d->server->out.limit = sizeof(burst) + (1 << 20);
    assert_false(alb_failed(buf_append(&d->server->out, burst, sizeof(burst))));
    http_session_wake(d->server);
    duo_run_ms(d, 1000);
    assert_true(d->is_client_closed);
    assert_int_equal(d->client_code, ALB_CORRUPT);
    assert_int_equal(r->ends, 1);
    assert_true(r->bytes <= 100000);
    duo_free(d);
}

static void more_than_a_stream_was_granted_ends_a_paced_session(void **state)
{
    struct duo_call *r;
    struct duo *d = waiting(true, &r);

    (void)state;
    push_data(d, FIRST_STREAM);
    assert_true(d->is_client_closed);
    assert_int_equal(d->client_code, ALB_CORRUPT);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->bytes, 0);
    duo_free(d);
}

static void a_body_that_was_broken_off_may_not_come_for_ever(void **state)
{
    struct duo_call *r;
    struct duo *d = waiting(false, &r);
    unsigned frames = 0;

    (void)state;
    http_call_cancel(r->call);
    r->call = NULL;
    duo_run_ms(d, 1000);
    while (!d->is_client_closed && frames++ < 1000)
        push_data(d, FIRST_STREAM);
    assert_in_range(frames, (1 << 20) / FRAME_SIZE / 2, 3 * (1 << 20) / FRAME_SIZE);
    assert_int_equal(d->client_code, ALB_CORRUPT);
    duo_free(d);
}

static void what_was_under_way_when_calls_were_broken_off_is_forgiven(void **state)
{
    struct duo *d = duo_connected(LINK_RATE);

    (void)state;
    duo_run_ms(d, 500);
    for (unsigned i = 0; i < 300; i++) {
        struct duo_call *r = duo_get(d, "/flow?900000", 900000);

        duo_run_ms(d, 45 + i % 20);
        if (r->call != NULL)
            http_call_cancel(r->call);
        r->call = NULL;
    }
    duo_run_ms(d, 1000);
    assert_false(d->is_client_closed);
    struct duo_call *last = duo_get(d, "/flow?900000", 900000);
    duo_run_ms(d, 3000);
    assert_int_equal(last->bytes, 900000);
    duo_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_than_the_connection_was_granted_ends_it),
        cmocka_unit_test(more_than_a_stream_was_granted_ends_a_paced_session),
        cmocka_unit_test(a_body_that_was_broken_off_may_not_come_for_ever),
        cmocka_unit_test(what_was_under_way_when_calls_were_broken_off_is_forgiven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
