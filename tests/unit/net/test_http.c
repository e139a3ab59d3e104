/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_http.c – HTTP/2 sessions between two simulated nodes: calls and their bodies. */
/* LINKS: sim_world */
#include "sim/world_duo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"
#include "net/http_impl.h"

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

/* ---- a call and its answer ------------------------------------------------------------------- */

static void a_get_is_answered(void **state)
{
    struct duo *d = duo_connected(1000000);
    struct duo_call *hello = duo_get(d, "/hello?who=x", 5);
    struct duo_call *missing = duo_get(d, "/no/such/path", 0);

    (void)state;
    assert_null(d->server);
    assert_false(d->is_opened);
    duo_run_ms(d, 1000);
    assert_int_equal(hello->ends, 1);
    assert_int_equal(hello->code, ALB_OK);
    assert_int_equal(hello->status, 200);
    assert_int_equal(hello->bytes, 5);
    expect_ended(missing, ALB_OK);
    assert_int_equal(missing->status, 404);
    duo_free(d);
}

static void a_head_request_has_no_body(void **state)
{
    struct duo *d = duo_connected(1000000);
    struct http_call_options options = {.method = "HEAD", .path = "/hello"};
    struct duo_call *r = duo_start(d, &options);

    (void)state;
    duo_run_ms(d, 1000);
    expect_ended(r, ALB_OK);
    assert_int_equal(r->status, 200);
    assert_int_equal(r->bytes, 0);
    duo_free(d);
}

static void a_posted_body_comes_back(void **state)
{
    enum { SIZE = 300000 };
    struct duo *d = duo_connected(1000000);
    uint8_t *body = malloc(SIZE);
    struct http_call_options options = {
        .method = "POST", .path = "/echo", .body = body, .body_size = SIZE, .expect_bytes = SIZE};

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < SIZE; i++)
        body[i] = duo_pattern(i);
    struct duo_call *r = duo_start(d, &options);
    free(body);
    duo_run_ms(d, 3000);
    expect_ended(r, ALB_OK);
    assert_int_equal(r->bytes, SIZE);
    duo_free(d);
}

static size_t record_pull(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct duo_call *r = arg;
    size_t n = r->left < DUO_TRICKLE ? r->left : DUO_TRICKLE;

    if (r->given % 2 == 0) { /* every other time there is nothing */
        r->given++;
        return 0;
    }
    r->given++;
    assert_true(size >= DUO_TRICKLE);
    for (size_t i = 0; i < n; i++)
        out[i] = duo_pattern((200 * DUO_TRICKLE) - r->left + i);
    r->left -= n;
    *ended = r->left == 0;
    return n;
}

static void resume_record(void *arg)
{
    struct duo_call *r = arg;

    if (r->call != NULL)
        http_call_resume(r->call);
}

static void a_request_may_come_from_a_source(void **state)
{
    struct duo *d = duo_connected(10000000);
    struct duo_call *r = &d->records[0];
    struct http_call_options options = {.method = "POST",
                                        .path = "/echo",
                                        .source = {record_pull, r},
                                        .expect_bytes = 200 * DUO_TRICKLE};

    (void)state;
    r->left = 200 * DUO_TRICKLE;
    duo_start(d, &options);
    for (unsigned i = 0; i < 300; i++)
        world_at(d->world, (500 + i) * NS_PER_MS, resume_record, r);
    duo_run_ms(d, 2000);
    expect_ended(r, ALB_OK);
    assert_int_equal(r->bytes, 200 * DUO_TRICKLE);
    duo_free(d);
}

static void a_streamed_answer_goes_on_when_resumed(void **state)
{
    struct duo *d = duo_connected(1000000);
    struct duo_call *r = duo_get(d, "/trickle?50500", 50500);

    (void)state;
    duo_run_ms(d, 2000);
    expect_ended(r, ALB_OK);
    assert_int_equal(r->bytes, 50500);
    duo_free(d);
}

static void a_session_with_nothing_under_way_keeps_no_large_buffer(void **state)
{
    struct duo *d = duo_connected(100000);
    struct duo_call *r = duo_get(d, "/flow?900000", 900000);

    (void)state;
    duo_run_ms(d, 500);
    assert_true(d->server->out.capacity >= 32 << 10);
    duo_run_ms(d, 20000);
    expect_ended(r, ALB_OK);
    assert_true(d->server->out.capacity <= 8 << 10);
    duo_free(d);
}

static void what_is_lent_for_an_answer_comes_back_once(void **state)
{
    struct duo *d = duo_connected(1000000);
    struct http_call_options head = {.method = "HEAD", .path = "/lent?7"};

    (void)state;
    struct duo_call *whole = duo_get(d, "/lent?300000", 300000);
    struct duo_call *none = duo_start(d, &head);
    struct duo_call *empty = duo_get(d, "/lent?0", 0);
    duo_run_ms(d, 2000);
    expect_ended(whole, ALB_OK);
    expect_ended(none, ALB_OK);
    expect_ended(empty, ALB_OK);
    assert_int_equal(whole->bytes, 300000);
    assert_int_equal(none->bytes, 0);
    assert_int_equal(d->lent, 3);
    assert_int_equal(d->given_back, 3);
    duo_free(d);
}

static void and_when_nobody_waits_for_it_any_more(void **state)
{
    struct duo *d = duo_connected(100000);

    (void)state;
    struct duo_call *cancelled = duo_get(d, "/lent?300000", 300000);
    duo_get(d, "/lent?900000", 900000);
    duo_run_ms(d, 500);
    assert_int_equal(d->lent, 2);
    assert_int_equal(d->given_back, 0);
    http_call_cancel(cancelled->call);
    duo_run_ms(d, 3000); /* behind what was on its way */
    assert_int_equal(d->given_back, 1);
    http_session_close(d->server);
    duo_run_ms(d, 100);
    assert_int_equal(d->given_back, 2);
    duo_free(d);
}

static void an_answer_larger_than_expected_is_broken_off(void **state)
{
    struct duo *d = duo_connected(1000000);
    struct duo_call *r = duo_get(d, "/flow?100000", 99999);

    (void)state;
    duo_run_ms(d, 2000);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->code, ALB_CORRUPT);
    struct duo_call *after = duo_get(d, "/flow?1000", 1000);
    duo_run_ms(d, 1000);
    expect_ended(after, ALB_OK);
    duo_free(d);
}

static void an_aborted_answer_is_no_answer(void **state)
{
    struct duo *d = duo_connected(1000000);
    struct duo_call *r = duo_get(d, "/abort", 100);

    (void)state;
    duo_run_ms(d, 1000);
    expect_ended(r, ALB_CLOSED);
    assert_int_equal(d->exchanges_closed, 1);
    duo_free(d);
}

/* ---- bodies that are too large, or not wanted ------------------------------------------------ */

static void a_body_over_the_limit_is_answered_413(void **state)
{
    struct duo *d = duo_connected(1000000);
    struct duo_call *r = post_zeros(d, "/echo", DUO_BODY_LIMIT + 1);

    (void)state;
    duo_run_ms(d, 3000);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->code, ALB_OK);
    assert_int_equal(r->status, 413);
    assert_int_equal(d->requests, 0);
    duo_free(d);
}

static size_t endless_pull(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct duo_call *r = arg;

    memset(out, 0, size);
    r->given += size;
    *ended = false;
    return size;
}

static void a_body_of_unknown_length_is_cut_at_the_limit(void **state)
{
    struct duo *d = duo_connected(1000000);
    struct duo_call *r = &d->records[0];
    struct http_call_options options = {
        .method = "POST", .path = "/echo", .source = {endless_pull, r}, .expect_bytes = 100};

    (void)state;
    duo_start(d, &options);
    duo_run_ms(d, 10000);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->status, 413);
    assert_in_range(r->given, DUO_BODY_LIMIT, DUO_BODY_LIMIT + 1000000);
    duo_free(d);
}

static void an_early_answer_stops_the_body(void **state)
{
    struct duo *d = duo_connected(100000);
    struct duo_call *r = post_zeros(d, "/refuse", DUO_BODY_LIMIT);

    (void)state;
    duo_run_ms(d, 3000); /* the whole body would take ten seconds */
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->status, 403);
    assert_int_equal(d->requests, 0);
    duo_free(d);
}

static void a_header_over_the_limit_is_answered_431(void **state)
{
    struct duo *d = duo_connected(1000000);
    char *value = malloc(HTTP_HEADER_MAX - 20);
    const struct http_header header = {"x-long", value};
    struct http_call_options options = {.method = "GET",
                                        .path = "/hello",
                                        .headers = &header,
                                        .header_count = 1,
                                        .expect_bytes = 100};

    (void)state;
    assert_non_null(value);
    memset(value, 'x', HTTP_HEADER_MAX - 21);
    value[HTTP_HEADER_MAX - 21] = '\0';
    struct duo_call *r = duo_start(d, &options);
    free(value);
    duo_run_ms(d, 1000);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->status, 431);
    assert_int_equal(d->heads, 0);
    duo_free(d);
}

/* ---- many, slow, bounded --------------------------------------------------------------------- */

static void a_thousand_calls_are_all_answered(void **state)
{
    struct duo *d = duo_connected(10000000);

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        (void)duo_get(d, "/flow?3000", 3000);
    duo_run_ms(d, 20000);
    for (unsigned i = 0; i < 1000; i++)
        expect_ended(&d->records[i], ALB_OK);
    assert_in_range(d->most, 32, 64);
    duo_free(d);
}

static void a_slow_reader_costs_bounded_memory(void **state)
{
    enum { SIZE = 20 << 20, BUFFERS = 768 << 10 };
    struct duo *d = duo_connected(200000);
    char path[64];

    (void)state;
    (void)snprintf(path, sizeof(path), "/flow?%u", SIZE);
    struct duo_call *r = duo_get(d, path, SIZE);
    while (r->ends == 0) {
        duo_run_ms(d, 100);
        assert_true(d->pulled - r->bytes <= BUFFERS);
    }
    expect_ended(r, ALB_OK);
    assert_int_equal(r->bytes, SIZE);
    assert_true(world_now_ns(d->world) < 130 * NS_PER_S);
    duo_free(d);
}

static void credit_paces_the_other_side(void **state)
{
    enum { SIZE = 4 << 20, WINDOW = 200000 };
    struct duo *d = duo_new(100000000);
    char path[64];

    (void)state;
    d->client_options.window_bytes = WINDOW;
    duo_connect(d);
    (void)snprintf(path, sizeof(path), "/flow?%u", SIZE);
    struct duo_call *r = duo_get(d, path, SIZE);
    while (r->ends == 0) {
        duo_run_ms(d, 1);
        assert_true(d->pulled - r->bytes <= WINDOW);
    }
    expect_ended(r, ALB_OK);
    /* A window each round trip of 40 ms and no more. */
    assert_true(world_now_ns(d->world) > SIZE / WINDOW * 40 * NS_PER_MS);
    duo_free(d);
}

static void both_sides_may_send_much_at_once(void **state)
{
    struct duo *d = duo_connected(300000);
    struct duo_call *up[3], *down[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        up[i] = post_zeros(d, "/echo/not", DUO_BODY_LIMIT);
        down[i] = duo_get(d, "/flow?1000000", 1000000);
    }
    duo_run_ms(d, 30000);
    for (size_t i = 0; i < 3; i++) {
        expect_ended(up[i], ALB_OK);
        expect_ended(down[i], ALB_OK);
    }
    duo_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_is_answered),
        cmocka_unit_test(a_head_request_has_no_body),
        cmocka_unit_test(a_posted_body_comes_back),
        cmocka_unit_test(a_request_may_come_from_a_source),
        cmocka_unit_test(a_streamed_answer_goes_on_when_resumed),
        cmocka_unit_test(a_session_with_nothing_under_way_keeps_no_large_buffer),
        cmocka_unit_test(what_is_lent_for_an_answer_comes_back_once),
        cmocka_unit_test(and_when_nobody_waits_for_it_any_more),
        cmocka_unit_test(an_answer_larger_than_expected_is_broken_off),
        cmocka_unit_test(an_aborted_answer_is_no_answer),
        cmocka_unit_test(a_body_over_the_limit_is_answered_413),
        cmocka_unit_test(a_body_of_unknown_length_is_cut_at_the_limit),
        cmocka_unit_test(an_early_answer_stops_the_body),
        cmocka_unit_test(a_header_over_the_limit_is_answered_431),
        cmocka_unit_test(a_thousand_calls_are_all_answered),
        cmocka_unit_test(a_slow_reader_costs_bounded_memory),
        cmocka_unit_test(credit_paces_the_other_side),
        cmocka_unit_test(both_sides_may_send_much_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
