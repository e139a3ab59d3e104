/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_http_signs.c – what a session measures with: PINGs and stamps, hostile ones too. */
/* LINKS: sim_world */
#include "net/http_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "base/units.h"
#include "net/http_impl.h"
#include "sim/world_duo.h"

enum { LINK_RATE = 10000000, WAY_MS = 20 };

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ping_measures_the_way_there_and_back),
        cmocka_unit_test(a_stamp_arrives_as_it_was_given),
        cmocka_unit_test(stamps_beyond_so_many_a_second_are_not_heard),
        cmocka_unit_test(a_stamp_of_a_hostile_size_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
