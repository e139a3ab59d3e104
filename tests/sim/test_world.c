/* SPDX-License-Identifier: Apache-2.0 */
/* sim/test_world.c – the simulated world keeps its word: time, links, streams, jobs, one seed. */
#include "sim/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "base/units.h"
#include "net/stream.h"

enum { PORT = 7, PIPES = 4 };

/* Writes `left` bytes at one end and reads them at the other. */
struct pipe {
    struct stage *stage;
    struct stream *writer, *reader;
    uint64_t left, written, got, opened_ns, accepted_ns, ended_ns;
    bool is_damaged, is_lazy, is_ended;
    enum alb_code failed;
};

struct stage {
    struct world *world;
    struct world_link *link;
    struct loop *hub, *box;
    struct listener *listener;
    struct pipe pipes[PIPES];
    size_t dialled, accepted;
};

static void on_writable(void *arg)
{
    struct pipe *p = arg;
    uint8_t bytes[5000];
    size_t moved;

    if (p->opened_ns == 0 && stream_is_open(p->writer))
        p->opened_ns = world_now_ns(p->stage->world);
    while (p->writer != NULL && !alb_failed(stream_status(p->writer)) && p->left > 0) {
        size_t n = p->left < sizeof(bytes) ? p->left : sizeof(bytes);

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)((p->written + i) * 7 >> 3);
        if (stream_write(p->writer, bytes, n, &moved) != STREAM_MOVED)
            break;
        p->written += moved;
        p->left -= moved;
    }
    if (p->writer != NULL && alb_failed(stream_status(p->writer)))
        p->failed = stream_status(p->writer).code;
    else if (p->writer != NULL && p->opened_ns != 0 && p->left == 0)
        p->writer = stream_free(p->writer);
}

static void on_readable(void *arg)
{
    struct pipe *p = arg;
    uint8_t bytes[3000];
    size_t moved;

    while (!p->is_lazy) {
        switch (stream_read(p->reader, bytes, sizeof(bytes), &moved)) {
        case STREAM_MOVED:
            for (size_t i = 0; i < moved; i++)
                p->is_damaged |= bytes[i] != (uint8_t)((p->got + i) * 7 >> 3);
            p->got += moved;
            break;
        case STREAM_BLOCKED:
        case STREAM_FAILED: return;
        case STREAM_ENDED:
            p->is_ended = true;
            p->ended_ns = world_now_ns(p->stage->world);
            return;
        }
    }
}

static void on_accepted(void *arg, struct stream *stream)
{
    struct stage *s = arg;
    struct pipe *p = &s->pipes[s->accepted++];

    p->accepted_ns = world_now_ns(s->world);
    p->reader = stream;
    stream_on_ready(stream, on_readable, p);
    on_readable(p);
}

static void stage_init(struct stage *s, uint64_t rate_bps, uint64_t seed)
{
    const struct identity id = {.role = ROLE_REFLECTOR, .org = "o", .device = "box"};
    struct listen_options listen = {.port = PORT};

    memset(s, 0, sizeof(*s));
    s->world = world_new(seed);
    s->hub = world_add_node(s->world, "hub", NULL);
    s->box = world_add_node(s->world, "box", &id);
    s->link = world_add_link(s->world, "hub--box", rate_bps, 20 * NS_PER_MS);
    world_route(s->world, s->hub, s->box, &s->link, 1);
    assert_false(alb_failed(loop_listen(s->hub, &listen, on_accepted, s, &s->listener)));
}

static struct pipe *dial_as(struct stage *s, const char *host, uint16_t port, uint64_t bytes)
{
    struct pipe *p = &s->pipes[s->dialled++];
    struct dial_options dial = {.host = host, .port = port, .timeout_ns = 3 * NS_PER_S};

    p->stage = s;
    p->left = bytes;
    p->writer = loop_dial(s->box, &dial);
    stream_on_ready(p->writer, on_writable, p);
    return p;
}

static void run_for_ms(struct stage *s, uint64_t ms)
{
    world_run(s->world, world_now_ns(s->world) + ms * NS_PER_MS);
}

static void stage_release(struct stage *s)
{
    for (size_t i = 0; i < PIPES; i++) {
        stream_free(s->pipes[i].writer);
        stream_free(s->pipes[i].reader);
    }
    listener_free(s->listener);
    world_free(s->world);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void a_dial_takes_two_round_trips_and_shows_who_it_is(void **state)
{
    struct stage s;

    (void)state;
    stage_init(&s, 10000000, 1);
    struct pipe *p = dial_as(&s, "hub", PORT, 1000);
    assert_false(stream_is_open(p->writer));
    run_for_ms(&s, 1000);
    assert_in_range(p->opened_ns, 80 * NS_PER_MS, 82 * NS_PER_MS);
    assert_in_range(p->accepted_ns, 100 * NS_PER_MS, 102 * NS_PER_MS);
    assert_int_equal(stream_peer(p->reader)->role, ROLE_REFLECTOR);
    assert_string_equal(stream_peer(p->reader)->device, "box");
    stage_release(&s);
}

static void a_dial_that_cannot_succeed_says_why(void **state)
{
    struct stage s;

    (void)state;
    stage_init(&s, 10000000, 1);
    struct pipe *unknown = dial_as(&s, "nowhere", PORT, 1);
    struct pipe *closed = dial_as(&s, "hub", PORT + 1, 1);
    struct pipe *itself = dial_as(&s, "box", PORT, 1);
    assert_int_equal(unknown->failed, ALB_OK); /* not from inside the dial */
    run_for_ms(&s, 1000);
    assert_int_equal(unknown->failed, ALB_NOT_FOUND);
    assert_int_equal(closed->failed, ALB_REFUSED);
    assert_int_equal(itself->failed, ALB_IO);
    world_link_set_up(s.link, false);
    struct pipe *silent = dial_as(&s, "hub", PORT, 1);
    run_for_ms(&s, 2900);
    assert_int_equal(silent->failed, ALB_OK);
    run_for_ms(&s, 200);
    assert_int_equal(silent->failed, ALB_TIMEOUT);
    stage_release(&s);
}

/* ---- moving bytes ---------------------------------------------------------------------------- */

static void bytes_arrive_in_order_at_the_rate_of_the_link(void **state)
{
    struct stage s;

    (void)state;
    stage_init(&s, 250000, 1);
    struct pipe *p = dial_as(&s, "hub", PORT, 1000000);
    run_for_ms(&s, 10000);
    assert_true(p->is_ended);
    assert_false(p->is_damaged);
    assert_int_equal(p->got, 1000000);
    /* 1,000,000 bytes in segments of 1,448 with 52 of headers, after 100 ms of dialling. */
    assert_in_range(p->ended_ns, 4200 * NS_PER_MS, 4350 * NS_PER_MS);
    assert_in_range(world_link_bytes(s.link, WORLD_UP), 1036000, 1041000);
    stage_release(&s);
}

static void figures_add_up_to_what_the_link_carried(void **state)
{
    enum { HEADERS = 52 };
    struct path_figures f;
    struct stage s;

    (void)state;
    stage_init(&s, 250000, 1);
    world_link_set_loss(s.link, 10000);
    struct pipe *p = dial_as(&s, "hub", PORT, 1000000);
    run_for_ms(&s, 3000);
    assert_true(p->writer != NULL && !p->is_ended);
    stream_figures(p->writer, &f);
    assert_true(f.retransmitted > 0);
    assert_int_equal(f.path_sent_bytes, f.wire_sent_bytes + f.retransmitted_bytes);
    assert_true(f.segments_sent >= f.path_sent_bytes / 1448);
    assert_in_range(f.min_rtt_ns, 1, f.rtt_ns);
    /* but for what waits in the link's queue, and the handshake */
    uint64_t carried = world_link_bytes(s.link, WORLD_UP);
    uint64_t counted = f.path_sent_bytes + f.segments_sent * HEADERS;
    assert_in_range(counted, carried - 4000, carried + 100000);
    stage_release(&s);
}

static void streams_share_a_link(void **state)
{
    struct stage s;

    (void)state;
    stage_init(&s, 250000, 1);
    struct pipe *a = dial_as(&s, "hub", PORT, 10000000);
    struct pipe *b = dial_as(&s, "hub", PORT, 10000000);
    run_for_ms(&s, 10000);
    uint64_t sum = a->got + b->got;
    assert_in_range(sum, 2300000, 2440000);
    assert_in_range(a->got, sum * 45 / 100, sum * 55 / 100);
    stage_release(&s);
}

static void a_reader_that_does_not_read_stops_the_writer(void **state)
{
    struct stage s;

    (void)state;
    stage_init(&s, 1000000, 1);
    s.pipes[0].is_lazy = true;
    struct pipe *p = dial_as(&s, "hub", PORT, 10000000);
    run_for_ms(&s, 5000);
    uint64_t stuck_at = p->written;
    assert_in_range(stuck_at, 64 << 10, 512 << 10);
    run_for_ms(&s, 5000);
    assert_int_equal(p->written, stuck_at);
    p->is_lazy = false;
    on_readable(p);
    run_for_ms(&s, 15000);
    assert_true(p->is_ended);
    assert_false(p->is_damaged);
    assert_int_equal(p->got, 10000000);
    stage_release(&s);
}

static void the_other_side_hears_that_a_stream_was_let_go(void **state)
{
    struct stage s;

    (void)state;
    stage_init(&s, 250000, 1);
    struct pipe *p = dial_as(&s, "hub", PORT, 10000000);
    run_for_ms(&s, 2000);
    p->reader = stream_free(p->reader);
    run_for_ms(&s, 2000);
    assert_int_equal(p->failed, ALB_CLOSED);
    stage_release(&s);
}

/* ---- trouble --------------------------------------------------------------------------------- */

static void a_cut_link_holds_what_waits_and_goes_on(void **state)
{
    struct stage s;

    (void)state;
    stage_init(&s, 250000, 1);
    struct pipe *p = dial_as(&s, "hub", PORT, 1000000);
    run_for_ms(&s, 1000);
    world_link_set_up(s.link, false);
    run_for_ms(&s, 100);
    uint64_t got = p->got;
    run_for_ms(&s, 29900);
    assert_int_equal(p->got, got);
    world_link_set_up(s.link, true);
    run_for_ms(&s, 6000);
    assert_true(p->is_ended);
    assert_false(p->is_damaged);
    assert_int_equal(p->got, 1000000);
    stage_release(&s);
}

static void a_flapping_link_loses_and_doubles_nothing(void **state)
{
    struct stage s;

    (void)state;
    stage_init(&s, 250000, 1);
    struct pipe *p = dial_as(&s, "hub", PORT, 1000000);
    for (unsigned i = 0; i < 2000 && !p->is_ended; i++) {
        run_for_ms(&s, 3 + i % 40);
        world_link_set_up(s.link, i % 2 == 1);
    }
    assert_true(p->is_ended);
    assert_false(p->is_damaged);
    assert_int_equal(p->got, 1000000);
    stage_release(&s);
}

static uint64_t events_with_loss(uint64_t seed)
{
    struct stage s;

    stage_init(&s, 250000, seed);
    world_link_set_loss(s.link, 10000);
    struct pipe *p = dial_as(&s, "hub", PORT, 1000000);
    run_for_ms(&s, 20000);
    assert_true(p->is_ended);
    assert_false(p->is_damaged);
    assert_in_range(world_link_bytes(s.link, WORLD_UP), 1042000, 1059000);
    uint64_t events = world_events(s.world) * 1000003 + p->ended_ns;
    stage_release(&s);
    return events;
}

static void loss_delays_and_one_seed_says_the_same_twice(void **state)
{
    (void)state;
    assert_int_equal(events_with_loss(5), events_with_loss(5));
    assert_int_not_equal(events_with_loss(5), events_with_loss(6));
}

/* ---- jobs and timers ------------------------------------------------------------------------- */

struct task {
    struct job job;
    struct stage *stage;
    uint64_t ran, done_ns;
};

static void task_run(struct job *job)
{
    ((struct task *)job)->ran++;
}

static void task_done(struct job *job)
{
    struct task *t = (struct task *)job;

    t->done_ns = world_now_ns(t->stage->world);
}

static void jobs_take_their_time(void **state)
{
    struct stage s;
    struct task tasks[5];

    (void)state;
    stage_init(&s, 250000, 1);
    for (size_t i = 0; i < 5; i++) {
        enum job_lane lane = i < 3 ? JOB_SHARED : JOB_ORDERED;

        tasks[i] = (struct task){.job = {task_run, task_done, lane, 4000000, NULL}, .stage = &s};
        loop_submit(s.hub, &tasks[i].job);
        assert_int_equal(tasks[i].done_ns, 0);
    }
    run_for_ms(&s, 100);
    uint64_t one_ns = 10 * NS_PER_MS + 20000; /* 4 MB at 400 MB/s, and 20 µs */
    const uint64_t expected[] = {one_ns, one_ns, 2 * one_ns, one_ns, 2 * one_ns};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(tasks[i].ran, 1);
        assert_int_equal(tasks[i].done_ns, expected[i]);
    }
    stage_release(&s);
}

struct ring {
    struct timer timer;
    char *log;
    char letter;
};

static void on_ring(void *arg)
{
    struct ring *r = arg;
    size_t used = strlen(r->log);

    r->log[used] = r->letter;
}

static void timers_of_all_nodes_ring_in_order(void **state)
{
    struct stage s;
    char log[8] = "";
    struct ring rings[4] = {{.letter = 'c'}, {.letter = 'a'}, {.letter = 'b'}, {.letter = 'x'}};
    const uint64_t at_ms[] = {30, 10, 20, 15};

    (void)state;
    stage_init(&s, 250000, 1);
    for (size_t i = 0; i < 4; i++) {
        rings[i].log = log;
        timer_init(&rings[i].timer, i % 2 == 0 ? s.hub : s.box, on_ring, &rings[i]);
        timer_set_in(&rings[i].timer, at_ms[i] * NS_PER_MS);
    }
    timer_stop(&rings[3].timer);
    run_for_ms(&s, 100);
    assert_string_equal(log, "abc");
    assert_int_equal(loop_wall_s(s.hub), loop_wall_s(s.box));
    stage_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dial_takes_two_round_trips_and_shows_who_it_is),
        cmocka_unit_test(a_dial_that_cannot_succeed_says_why),
        cmocka_unit_test(bytes_arrive_in_order_at_the_rate_of_the_link),
        cmocka_unit_test(figures_add_up_to_what_the_link_carried),
        cmocka_unit_test(streams_share_a_link),
        cmocka_unit_test(a_reader_that_does_not_read_stops_the_writer),
        cmocka_unit_test(the_other_side_hears_that_a_stream_was_let_go),
        cmocka_unit_test(a_cut_link_holds_what_waits_and_goes_on),
        cmocka_unit_test(a_flapping_link_loses_and_doubles_nothing),
        cmocka_unit_test(loss_delays_and_one_seed_says_the_same_twice),
        cmocka_unit_test(jobs_take_their_time),
        cmocka_unit_test(timers_of_all_nodes_ring_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
