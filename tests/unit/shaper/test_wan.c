/* SPDX-License-Identifier: Apache-2.0 */
/* unit/shaper/test_wan.c – one line with its law, its probe and its budgets, on a simulated link of
 * 10 Mbit/s and 40 ms there and back. */
/* LINKS: sim_world */
#include "shaper/wan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/units.h"
#include "sim/world_duo.h"

enum { PROBE_PORT = 7443, OTHERS_PORT = 5555, OTHERS_SIZE = 500, MEGABYTE = 1 << 20 };
#define LINE_BYTES UINT64_C(1250000)
#define LINE_BPS (8 * LINE_BYTES)

static const enum world_direction LINK_WAY[WAN_WAYS] = {
    [WAN_DOWN] = WORLD_DOWN, [WAN_UP] = WORLD_UP};

struct rig {
    struct duo *duo;
    struct wan *wan;
    struct wan_member *member;
    struct probe_responder *responder;
    struct probe_ticket *ticket;
    struct probe *probe;
    struct datagram *from[WAN_WAYS], *to[WAN_WAYS]; /* somebody else's traffic, each way */
    struct datagram_peer door[WAN_WAYS];
    enum wan_way others_way;
    struct timer others;
    uint64_t others_ns;  /* between two of its packets */
    uint64_t others_got; /* bytes */
    bool is_ended;
};

/* ---- somebody else at the branch ------------------------------------------------------------- */

static void others_heard(void *arg, const void *bytes, size_t size,
                         const struct datagram_peer *from, uint64_t at_ns)
{
    (void)bytes;
    (void)from;
    (void)at_ns;
    ((struct rig *)arg)->others_got += size + 28;
}

static void others_send(void *arg)
{
    static const uint8_t packet[OTHERS_SIZE - 28];
    struct rig *r = arg;

    alb_ignore(
        datagram_send(r->from[r->others_way], packet, sizeof packet, &r->door[r->others_way]),
        "the queue never drops");
    timer_set_in(&r->others, r->others_ns);
}

static void others_begin(struct rig *r, enum wan_way way, uint64_t bps)
{
    r->others_way = way;
    r->others_ns = OTHERS_SIZE * 8 * NS_PER_S / bps;
    r->others_got = 0;
    others_send(r);
}

static void others_end(struct rig *r)
{
    timer_stop(&r->others);
}

static void open_others(struct rig *r)
{
    struct duo *d = r->duo;
    const struct datagram_options to = {
        .address = "0.0.0.0", .port = OTHERS_PORT, .got = others_heard, .arg = r};
    const struct datagram_options from = {.address = "0.0.0.0", .got = others_heard, .arg = r};

    assert_false(alb_failed(datagram_open(d->box, &to, &r->to[WAN_DOWN])));
    assert_false(alb_failed(datagram_open(d->hub, &from, &r->from[WAN_DOWN])));
    assert_true(datagram_peer_of(http_session_stream(d->server), OTHERS_PORT, &r->door[WAN_DOWN]));
    assert_false(alb_failed(datagram_open(d->hub, &to, &r->to[WAN_UP])));
    assert_false(alb_failed(datagram_open(d->box, &from, &r->from[WAN_UP])));
    assert_true(datagram_peer_of(http_session_stream(d->client), OTHERS_PORT, &r->door[WAN_UP]));
    timer_init(&r->others, d->box, others_send, r);
}

/* ---- the rig --------------------------------------------------------------------------------- */

static void set_pace(void *arg, enum probe_pace pace)
{
    struct rig *r = arg;

    if (r->probe != NULL)
        probe_set_pace(r->probe, pace);
}

static void open_probe(struct rig *r)
{
    struct duo *d = r->duo;
    const struct probe_responder_options answer = {
        .loop = d->hub, .address = "0.0.0.0", .port = PROBE_PORT};
    struct stream *stream = http_session_stream(d->client);
    struct datagram_peer to;
    struct probe_options ask = {.loop = d->box, .to = &to, .ops = &wan_probe_ops, .arg = r->wan};

    assert_true(datagram_peer_of(stream, PROBE_PORT, &to));
    assert_false(alb_failed(stream_export_key(stream, PROBE_KEY_LABEL, ask.key)));
    assert_false(alb_failed(probe_responder_open(&answer, &r->responder)));
    assert_false(alb_failed(probe_ticket_new(r->responder, ask.key, &r->ticket)));
    memcpy(ask.id, probe_ticket_id(r->ticket), sizeof ask.id);
    r->probe = probe_new(&ask);
}

static struct rig *rig_new(const struct wan_options *options)
{
    struct rig *r = xalloc(sizeof *r);
    struct wan_options o = *options;

    r->duo = duo_new(LINE_BYTES);
    r->duo->client_options.is_paced = o.is_shaped;
    duo_connect(r->duo);
    o.loop = r->duo->box;
    o.name = "hub";
    o.pace = set_pace;
    o.arg = r;
    r->wan = wan_new(&o);
    r->member = wan_attach(r->wan, r->duo->client, WAN_BULK);
    duo_run_ms(r->duo, 500);
    assert_true(r->duo->is_opened);
    if (o.is_shaped)
        open_probe(r);
    open_others(r);
    duo_run_ms(r->duo, 500);
    return r;
}

static void rig_free(struct rig *r)
{
    timer_stop(&r->others);
    r->probe = probe_free(r->probe);
    r->ticket = probe_ticket_free(r->ticket);
    r->responder = probe_responder_close(r->responder);
    for (size_t way = 0; way < WAN_WAYS; way++) {
        datagram_close(r->from[way]);
        datagram_close(r->to[way]);
    }
    wan_detach(r->member);
    wan_free(r->wan);
    duo_free(r->duo);
    free(r);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static void pull(struct rig *r, unsigned megabytes)
{
    char path[32];

    snprintf(path, sizeof path, "/flow?%u", megabytes * MEGABYTE);
    duo_get(r->duo, path, (uint64_t)megabytes * MEGABYTE);
}

static void push(struct rig *r, unsigned megabytes)
{
    static const uint8_t body[MEGABYTE];

    wan_member_uploads(r->member, true);
    for (unsigned i = 0; i < megabytes; i++)
        duo_start(r->duo, &(struct http_call_options){.method = "POST",
                                                      .path = "/hello",
                                                      .body = body,
                                                      .body_size = sizeof body,
                                                      .expect_bytes = 16});
}

static uint64_t body_bytes(struct rig *r, enum wan_way way)
{
    uint64_t received = 0, sent = 0;
    struct path_figures f;

    http_session_counts(r->duo->client, &received, &sent);
    stream_figures(http_session_stream(r->duo->client), &f);
    return way == WAN_DOWN ? received : f.acked_bytes;
}

/* Bits per second of bodies over the next while. */
static uint64_t body_bps(struct rig *r, enum wan_way way, uint64_t ms)
{
    const uint64_t before = body_bytes(r, way);

    duo_run_ms(r->duo, ms);
    return (body_bytes(r, way) - before) * 8 * 1000 / ms;
}

static uint64_t wire_bps(struct rig *r, enum wan_way way, uint64_t ms)
{
    const uint64_t before = world_link_bytes(r->duo->link, LINK_WAY[way]);

    duo_run_ms(r->duo, ms);
    return (world_link_bytes(r->duo->link, LINK_WAY[way]) - before) * 8 * 1000 / ms;
}

static const struct wan_options shaped = {.is_shaped = true};

static void say(const char *what, struct rig *r, enum wan_way way, uint64_t bps)
{
    struct wan_figures f;
    char text[LAW_TEXT_SIZE];

    wan_figures(r->wan, way, &f);
    print_message("%s: %.2f Mbit/s, p95 %u ms, %s\n", what, (double)bps / 1e6,
                  (unsigned)(world_link_queueing_p95_ns(r->duo->link, LINK_WAY[way]) / NS_PER_MS),
                  law_reason_text(&f.verdict, text, sizeof text));
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void fills_the_line(struct rig *r, enum wan_way way)
{
    duo_run_ms(r->duo, 5000);
    const uint64_t bps = body_bps(r, way, 10000);
    say("alone", r, way, bps);
    assert_true(bps > LINE_BPS * 88 / 100);
    assert_true(world_link_queueing_p95_ns(r->duo->link, LINK_WAY[way]) <= 14 * NS_PER_MS);
    rig_free(r);
}

static void makes_way(struct rig *r, enum wan_way way)
{
    duo_run_ms(r->duo, 10000);
    others_begin(r, way, LINE_BPS * 95 / 100);
    duo_run_ms(r->duo, 1500);
    const uint64_t beside = body_bps(r, way, 5000);
    say("beside others", r, way, beside);
    assert_true(beside < LINE_BPS * 6 / 100);
    others_end(r);
    duo_run_ms(r->duo, 4000);
    const uint64_t back = body_bps(r, way, 3000);
    say("back", r, way, back);
    assert_true(back > LINE_BPS * 80 / 100);
    rig_free(r);
}

static void alone_it_fills_the_line_and_nobody_waits(void **state)
{
    struct rig *r = rig_new(&shaped);

    (void)state;
    pull(r, 200);
    fills_the_line(r, WAN_DOWN);
}

static void it_makes_way_for_somebody_else_and_comes_back(void **state)
{
    struct rig *r = rig_new(&shaped);

    (void)state;
    pull(r, 200);
    makes_way(r, WAN_DOWN);
}

static void an_upload_alone_fills_the_way_up_and_nobody_waits(void **state)
{
    struct rig *r = rig_new(&shaped);

    (void)state;
    push(r, 60);
    fills_the_line(r, WAN_UP);
}

static void an_upload_makes_way_for_somebody_else_and_comes_back(void **state)
{
    struct rig *r = rig_new(&shaped);

    (void)state;
    push(r, 60);
    makes_way(r, WAN_UP);
}

static void a_cap_holds_on_the_wire(void **state)
{
    static const uint64_t caps[] = {1000000, 4000000};
    struct rig *r = rig_new(&shaped);

    (void)state;
    pull(r, 200);
    for (size_t i = 0; i < ALB_COUNT(caps); i++) {
        wan_set_terms(
            r->wan, WAN_DOWN,
            &(struct policy_terms){.action = {.mode = POLICY_CAPPED, .rate_bps = caps[i]}});
        duo_run_ms(r->duo, 2000);
        const uint64_t bps = wire_bps(r, WAN_DOWN, 10000);
        say("capped", r, WAN_DOWN, bps);
        assert_in_range(bps, caps[i] * 99 / 100, caps[i] * 101 / 100);
    }
    rig_free(r);
}

static void off_means_nothing_comes_after_a_round_trip(void **state)
{
    struct rig *r = rig_new(&shaped);

    (void)state;
    pull(r, 200);
    duo_run_ms(r->duo, 8000);
    wan_set_terms(r->wan, WAN_DOWN, &(struct policy_terms){.action = {.mode = POLICY_OFF}});
    duo_run_ms(r->duo, 140); /* a round trip and 100 ms */
    assert_int_equal(body_bps(r, WAN_DOWN, 60000), 0);
    wan_set_terms(r->wan, WAN_DOWN,
                  &(struct policy_terms){.action = {.mode = POLICY_MODE_SCAVENGE}});
    duo_run_ms(r->duo, 5000);
    const uint64_t bps = body_bps(r, WAN_DOWN, 3000);
    say("on again", r, WAN_DOWN, bps);
    assert_true(bps > LINE_BPS * 80 / 100);
    rig_free(r);
}

static void a_line_that_is_not_shaped_is_free_up_to_its_ceiling(void **state)
{
    const struct wan_options lan = {.ceiling_bps = {2000000, 0}};
    struct rig *r = rig_new(&lan);

    (void)state;
    pull(r, 20);
    duo_run_ms(r->duo, 2000);
    assert_in_range(wire_bps(r, WAN_DOWN, 10000), 1960000, 2040000);
    rig_free(r);
}

static void an_upload_is_shaped_by_the_way_up(void **state)
{
    struct rig *r = rig_new(&shaped);
    static uint8_t body[MEGABYTE];

    (void)state;
    wan_member_uploads(r->member, true);
    wan_set_terms(r->wan, WAN_UP,
                  &(struct policy_terms){.action = {.mode = POLICY_CAPPED, .rate_bps = 1000000}});
    duo_start(r->duo, &(struct http_call_options){.method = "POST",
                                                  .path = "/echo",
                                                  .body = body,
                                                  .body_size = sizeof body,
                                                  .expect_bytes = sizeof body});
    duo_run_ms(r->duo, 1000);
    assert_in_range(wire_bps(r, WAN_UP, 5000), 980000, 1020000);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_it_fills_the_line_and_nobody_waits),
        cmocka_unit_test(it_makes_way_for_somebody_else_and_comes_back),
        cmocka_unit_test(a_cap_holds_on_the_wire),
        cmocka_unit_test(off_means_nothing_comes_after_a_round_trip),
        cmocka_unit_test(a_line_that_is_not_shaped_is_free_up_to_its_ceiling),
        cmocka_unit_test(an_upload_is_shaped_by_the_way_up),
        cmocka_unit_test(an_upload_alone_fills_the_way_up_and_nobody_waits),
        cmocka_unit_test(an_upload_makes_way_for_somebody_else_and_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
