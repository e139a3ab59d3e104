/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/shaper/test_shaper.c – the tree behind real streams: what the link sees is the limit.
 */
/* LINKS: sim_world */
#include "shaper/shaper.h"

#include "base/alloc.h"
#include "base/units.h"
#include "net/http_pace.h"
#include "net/stream.h"
#include "sim/world_duo.h"
#include "support/gen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum {
    FLOWS_MAX = 30,
    NOISE_SIZE = 40000,
    PORT = 7000,
    LINK_RATE = 12500000 /* bytes: 100 Mbit/s */,
    WAY_MS = 10
};
#define MBIT UINT64_C(1000000)
#define OPEN ((struct node_terms){.ceiling_bps = TREE_UNLIMITED})
#define assert_near(value, expected, percent)                                                      \
    do {                                                                                           \
        double value_ = (double)(value), expected_ = (double)(expected);                           \
        if (value_ < expected_ * (1 - (percent) / 100.0) ||                                        \
            value_ > expected_ * (1 + (percent) / 100.0))                                          \
            fail_msg(#value " is %.0f, not %.0f, %d %%", value_, expected_, (percent));            \
    } while (0)

static struct node_terms capped(uint64_t ceiling_bps)
{
    return (struct node_terms){.ceiling_bps = ceiling_bps};
}

/* A hub that says as much as it may to a box that listens. */
struct flow {
    struct stream *sender, *reader;
    struct shaper_leaf leaf;
    bool is_mute;  /* says only … */
    size_t to_say; /* … so much   */
    uint64_t read_bytes;
};

static struct scene {
    struct world *world;
    struct loop *hub, *box;
    struct world_link *link;
    struct listener *listener;
    struct shaper *shaper;
    struct flow flows[FLOWS_MAX];
    unsigned count, accepted;
} scene;

static void pump(void *arg)
{
    static const uint8_t noise[NOISE_SIZE];
    struct flow *f = arg;
    size_t moved;

    while (f->to_say > 0 || !f->is_mute) {
        size_t size = f->is_mute ? f->to_say : sizeof noise;
        if (stream_write(f->sender, noise, size, &moved) != STREAM_MOVED)
            break;
        f->to_say -= f->is_mute ? moved : 0;
    }
}

/* What waits at the gate is said all the same. */
static void be_mute(struct flow *f, bool is_mute)
{
    f->is_mute = is_mute;
    f->to_say = stream_is_held(f->sender) ? NOISE_SIZE : 0;
    pump(f);
}

static void listen_to(void *arg)
{
    static uint8_t heard[65536];
    struct flow *f = arg;
    size_t moved;

    while (stream_read(f->reader, heard, sizeof heard, &moved) == STREAM_MOVED)
        f->read_bytes += moved;
}

static void accepted(void *arg, struct stream *stream)
{
    struct flow *f = &scene.flows[scene.accepted++];

    (void)arg;
    f->sender = stream;
    stream_use_gate(stream, &f->leaf.gate);
    shaper_leaf_watch_sent(&f->leaf, stream);
    stream_on_ready(stream, pump, f);
    pump(f);
}

static void run_ms(uint64_t ms)
{
    world_run(scene.world, world_now_ns(scene.world) + ms * NS_PER_MS);
}

static void scene_open(uint64_t link_bps)
{
    struct listen_options listen = {.address = "0.0.0.0", .port = PORT};
    struct shaper_options options = {.link = capped(link_bps)};

    scene = (struct scene){.world = world_new(1)};
    scene.hub = world_add_node(scene.world, "hub", NULL);
    scene.box = world_add_node(scene.world, "box", NULL);
    scene.link = world_add_link(scene.world, "hub--box", LINK_RATE, WAY_MS * NS_PER_MS);
    world_route(scene.world, scene.hub, scene.box, &scene.link, 1);
    assert_false(alb_failed(loop_listen(scene.hub, &listen, accepted, NULL, &scene.listener)));
    scene.shaper = shaper_new(scene.hub, &options);
}

static struct flow *add_flow(struct tree_node *parent, struct node_terms terms)
{
    struct dial_options dial = {.host = "hub", .port = PORT, .timeout_ns = 5 * NS_PER_S};
    struct flow *f = &scene.flows[scene.count++];

    shaper_leaf_start(&f->leaf, scene.shaper, parent, &terms);
    f->reader = loop_dial(scene.box, &dial);
    stream_on_ready(f->reader, listen_to, f);
    run_ms(500);
    assert_non_null(f->sender);
    listen_to(f);
    return f;
}

static void stop_sending(struct flow *f)
{
    if (f->sender != NULL)
        stream_use_gate(f->sender, NULL);
    shaper_leaf_stop(&f->leaf);
    f->sender = stream_free(f->sender);
}

static void scene_close(void)
{
    for (unsigned i = 0; i < scene.count; i++) {
        stop_sending(&scene.flows[i]);
        stop_sending(&scene.flows[i]); /* again is fine */
        stream_free(scene.flows[i].reader);
    }
    listener_free(scene.listener);
    run_ms(60000);
    shaper_free(scene.shaper);
    world_free(scene.world);
}

/* What leaves on the link in so long, in bits per second. */
static double link_rate(uint64_t ms)
{
    uint64_t before = world_link_bytes(scene.link, WORLD_DOWN);

    run_ms(ms);
    return (double)(world_link_bytes(scene.link, WORLD_DOWN) - before) * 8000 / (double)ms;
}

static void a_cap_holds_for_what_the_link_carries_headers_included(void **state)
{
    static const uint64_t caps[] = {MBIT, 4 * MBIT, 50 * MBIT};

    (void)state;
    for (unsigned i = 0; i < ALB_COUNT(caps); i++) {
        scene_open(caps[i]);
        add_flow(NULL, OPEN);
        run_ms(2000);
        assert_near(link_rate(10000), caps[i], 2);
        for (unsigned second = 0; second < 5; second++)
            assert_near(link_rate(1000), caps[i], 4);
        scene_close();
    }
}

static void a_thin_line_gets_packets_and_not_whole_records_at_a_time(void **state)
{
    (void)state;
    scene_open(MBIT);
    add_flow(NULL, OPEN);
    run_ms(2000);
    for (unsigned i = 0; i < 100; i++) /* 20 ms are 2,500 bytes, a packet is more or less */
        assert_true(link_rate(20) <= (2500 + 1600) * 8 * 50);
    scene_close();
}

static void below_one_packet_a_second_a_stream_still_moves_and_no_faster(void **state)
{
    (void)state;
    scene_open(800);
    add_flow(NULL, OPEN);
    run_ms(60000);
    assert_near(link_rate(1400000), 800, 5);
    scene_close();
}

static void what_the_line_adds_to_a_packet_counts_when_it_is_said(void **state)
{
    struct shaper_options options = {.link = capped(4 * MBIT), .packet_overhead_bytes = 100};

    (void)state;
    scene_open(4 * MBIT);
    shaper_free(scene.shaper);
    scene.shaper = shaper_new(scene.hub, &options);
    add_flow(NULL, OPEN);
    run_ms(2000);
    assert_near(link_rate(10000), 4 * MBIT * 1500 / 1600, 3);
    scene_close();
}

static void several_connections_together_have_one_limit_and_share_it(void **state)
{
    (void)state;
    scene_open(8 * MBIT);
    for (unsigned i = 0; i < 4; i++)
        add_flow(NULL, (struct node_terms){.ceiling_bps = TREE_UNLIMITED, .weight = 1 + i / 2});
    run_ms(2000);
    uint64_t before[4];
    for (unsigned i = 0; i < 4; i++)
        before[i] = scene.flows[i].read_bytes;
    assert_near(link_rate(10000), 8 * MBIT, 2);
    for (unsigned i = 0; i < 4; i++)
        assert_near((scene.flows[i].read_bytes - before[i]) * 8 / 10,
                    8 * MBIT * (1 + i / 2) / 6 * 0.965, 3);
    scene_close();
}

static void thirty_streams_on_and_off_keep_to_the_limit_and_leave_nothing_idle(void **state)
{
    struct gen gen;

    (void)state;
    gen_init(&gen, 1);
    scene_open(10 * MBIT);
    for (unsigned i = 0; i < FLOWS_MAX; i++)
        add_flow(NULL, OPEN)->is_mute = true;
    run_ms(2000);
    uint64_t before = world_link_bytes(scene.link, WORLD_DOWN);
    for (unsigned second = 0; second < 40; second++) {
        for (unsigned i = 0; i < FLOWS_MAX; i++) {
            bool is_mute = i != second % FLOWS_MAX && gen_chance(&gen, 1, 2);
            be_mute(&scene.flows[i], is_mute);
        }
        assert_near(link_rate(1000), 10 * MBIT, 7);
    }
    /* what was written leaves a few round trips later; the sum is exact */
    assert_near((world_link_bytes(scene.link, WORLD_DOWN) - before) * 8 / 40, 10 * MBIT, 1);
    scene_close();
}

static void what_is_lost_and_sent_again_counts(void **state)
{
    (void)state;
    scene_open(4 * MBIT);
    add_flow(NULL, OPEN);
    world_link_set_loss(scene.link, 50000);
    run_ms(2000);
    assert_near(link_rate(20000), 4 * MBIT, 2);
    scene_close();
}

static void many_small_writes_with_large_headers_stay_within_the_limit_too(void **state)
{
    struct flow *f;
    uint64_t before;

    (void)state;
    scene_open(MBIT / 2);
    f = add_flow(NULL, OPEN);
    f->is_mute = true;
    run_ms(3000);
    before = world_link_bytes(scene.link, WORLD_DOWN);
    for (unsigned i = 0; i < 10000; i++) { /* as much again in headers */
        f->to_say = 40;
        pump(f);
        run_ms(1);
    }
    uint64_t passed = world_link_bytes(scene.link, WORLD_DOWN) - before;
    assert_true(passed > 400000 && passed <= 10 * 62500 * 1.02);
    scene_close();
}

static void off_stops_within_a_round_trip_and_another_rate_holds_at_once(void **state)
{
    struct node_terms off = {0}, slow = capped(2 * MBIT), fast = capped(20 * MBIT);

    (void)state;
    scene_open(20 * MBIT);
    struct flow *f = add_flow(NULL, OPEN);
    run_ms(1000);
    shaper_node_set_terms(scene.shaper, shaper_link(scene.shaper), &off);
    run_ms(2 * WAY_MS + 100);
    uint64_t heard = f->read_bytes;
    run_ms(10000);
    assert_int_equal(f->read_bytes, heard);
    shaper_node_set_terms(scene.shaper, shaper_link(scene.shaper), &slow);
    run_ms(100);
    assert_near(link_rate(1000), 2 * MBIT, 4);
    shaper_node_set_terms(scene.shaper, shaper_link(scene.shaper), &fast);
    run_ms(100);
    assert_near(link_rate(1000), 20 * MBIT, 4);
    shaper_leaf_set_terms(&f->leaf, &slow);
    run_ms(100);
    assert_near(link_rate(1000), 2 * MBIT, 4);
    scene_close();
}

static void without_limits_a_stream_runs_as_without_a_gate(void **state)
{
    double rates[2];

    (void)state;
    for (unsigned gated = 0; gated < 2; gated++) {
        scene_open(TREE_UNLIMITED);
        struct flow *f = add_flow(NULL, OPEN);
        if (!gated)
            stream_use_gate(f->sender, NULL);
        run_ms(1000);
        rates[gated] = link_rate(2000);
        scene_close();
    }
    assert_near(rates[1], rates[0], 1);
    assert_near(rates[1], 100 * MBIT, 3);
}

static void an_urgent_word_passes_a_scavenger_that_fills_the_limit(void **state)
{
    (void)state;
    scene_open(MBIT);
    struct flow *bulk =
        add_flow(NULL, (struct node_terms){.ceiling_bps = TREE_UNLIMITED, .class = TREE_SCAVENGER});
    struct flow *talk =
        add_flow(NULL, (struct node_terms){.ceiling_bps = TREE_UNLIMITED, .class = TREE_URGENT});
    talk->is_mute = true;
    run_ms(3000);
    uint64_t heard = talk->read_bytes, bulk_heard = bulk->read_bytes;
    for (unsigned i = 0; i < 20; i++) {
        talk->to_say = 4;
        pump(talk);
        run_ms(2 * WAY_MS + 25); /* its way, and the packet before it */
    }
    assert_true(talk->read_bytes >= heard + 4 * 18);
    assert_true(bulk->read_bytes > bulk_heard);
    scene_close();
}

static void nothing_ticks_while_nobody_wants_anything(void **state)
{
    (void)state;
    scene_open(4 * MBIT);
    struct flow *f = add_flow(NULL, OPEN);
    run_ms(1000);
    f->is_mute = true;
    run_ms(5000);
    uint64_t events = world_events(scene.world);
    run_ms(3600000);
    assert_int_equal(world_events(scene.world), events);
    scene_close();
}

static void a_stream_that_goes_while_it_waits_leaves_the_budget_to_the_others(void **state)
{
    (void)state;
    scene_open(4 * MBIT);
    struct flow *going = add_flow(NULL, OPEN);
    add_flow(NULL, OPEN);
    run_ms(1000);
    stop_sending(going);
    run_ms(200);
    assert_near(link_rate(5000), 4 * MBIT, 2);
    scene_close();
}

/* ---- credit: what others send us ------------------------------------------------------------- */

static double download_rate(struct duo *d, uint64_t ms)
{
    uint64_t before = world_link_bytes(d->link, WORLD_DOWN);

    duo_run_ms(d, ms);
    return (double)(world_link_bytes(d->link, WORLD_DOWN) - before) * 8000 / (double)ms;
}

static void credit_is_given_so_that_what_comes_keeps_to_the_limit(void **state)
{
    struct shaper_options options = {.link = capped(4 * MBIT)};
    struct node_terms off = {0};
    struct shaper_leaf leaf;

    (void)state;
    struct duo *d = duo_new(LINK_RATE);
    d->client_options = (struct http_session_options){
        .is_paced = true, .window_bytes = 65536, .dead_timeout_ns = 1000 * NS_PER_S};
    d->server_options.dead_timeout_ns = 1000 * NS_PER_S;
    duo_connect(d);
    struct shaper *shaper = shaper_new(d->box, &options);
    shaper_leaf_start(&leaf, shaper, NULL, &OPEN);
    http_session_use_credit_gate(d->client, &leaf.gate);
    shaper_leaf_watch_received(&leaf, d->client);
    duo_get(d, "/flow?20000000", 20000000);
    duo_run_ms(d, 3000);
    assert_near(download_rate(d, 10000), 4 * MBIT, 2);
    for (unsigned i = 0; i < 5; i++)
        assert_near(download_rate(d, 1000), 4 * MBIT, 4);
    shaper_node_set_terms(shaper, shaper_link(shaper), &off);
    duo_run_ms(d, 500); /* what was granted comes */
    assert_true(download_rate(d, 5000) < 1000);
    shaper_leaf_watch_received(&leaf, NULL);
    http_session_use_credit_gate(d->client, NULL);
    shaper_leaf_stop(&leaf);
    shaper_free(shaper);
    duo_free(d);
}

enum { CROWD = 200 };
static size_t figures_asked;

static void count_figures(struct stream *stream, struct path_figures *out)
{
    (void)stream;
    figures_asked++;
    *out = (struct path_figures){0};
}

/* All of them were asked of the kernel in one turn, ten times a second. */
static void many_connections_are_looked_at_a_part_at_a_time(void **state)
{
    static const struct stream_ops ops = {.figures = count_figures};
    static struct stream streams[CROWD];
    static struct shaper_leaf leaves[CROWD];
    const struct node_terms terms = OPEN;
    size_t before = 0;

    (void)state;
    scene_open(1000000000);
    for (size_t i = 0; i < CROWD; i++) {
        stream_init(&streams[i], scene.hub, &ops);
        shaper_leaf_start(&leaves[i], scene.shaper, NULL, &terms);
        shaper_leaf_watch_sent(&leaves[i], &streams[i]);
        gate_spend(&leaves[i].gate, 100, loop_now_ns(scene.hub));
    }
    before = figures_asked;
    for (unsigned ms = 0; ms < 210; ms++) {
        const size_t last = figures_asked;
        run_ms(1);
        assert_true(figures_asked - last <= CROWD / 10);
    }
    assert_in_range(figures_asked - before, CROWD, 2 * CROWD);
    for (size_t i = 0; i < CROWD; i++)
        shaper_leaf_stop(&leaves[i]);
    scene_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cap_holds_for_what_the_link_carries_headers_included),
        cmocka_unit_test(a_thin_line_gets_packets_and_not_whole_records_at_a_time),
        cmocka_unit_test(below_one_packet_a_second_a_stream_still_moves_and_no_faster),
        cmocka_unit_test(what_the_line_adds_to_a_packet_counts_when_it_is_said),
        cmocka_unit_test(several_connections_together_have_one_limit_and_share_it),
        cmocka_unit_test(thirty_streams_on_and_off_keep_to_the_limit_and_leave_nothing_idle),
        cmocka_unit_test(what_is_lost_and_sent_again_counts),
        cmocka_unit_test(many_small_writes_with_large_headers_stay_within_the_limit_too),
        cmocka_unit_test(off_stops_within_a_round_trip_and_another_rate_holds_at_once),
        cmocka_unit_test(without_limits_a_stream_runs_as_without_a_gate),
        cmocka_unit_test(an_urgent_word_passes_a_scavenger_that_fills_the_limit),
        cmocka_unit_test(nothing_ticks_while_nobody_wants_anything),
        cmocka_unit_test(a_stream_that_goes_while_it_waits_leaves_the_budget_to_the_others),
        cmocka_unit_test(credit_is_given_so_that_what_comes_keeps_to_the_limit),
        cmocka_unit_test(many_connections_are_looked_at_a_part_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
