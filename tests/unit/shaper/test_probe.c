/* SPDX-License-Identifier: Apache-2.0 */
/* unit/shaper/test_probe.c – asker and answerer over a simulated link, and whoever tries to come
 * between them. */
/* LINKS: sim_world */
#include "shaper/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/units.h"
#include "sim/world.h"

enum { PORT = 7443, STRANGE_PORT = 5555, SAMPLES_MAX = 4096, HEARD_MAX = 512 };
#define DELAY_NS (20 * NS_PER_MS)
#define RATE_BPS UINT64_C(8000000)

struct rig {
    struct world *world;
    struct world_link *link;
    struct loop *hub, *box;
    struct probe_responder *responder;
    struct probe_ticket *ticket;
    struct probe *probe;
    struct datagram *meddler; /* on the box's node, a socket of somebody else */
    struct datagram_peer door;
    uint8_t key[PROBE_KEY_SIZE];
    struct probe_sample samples[SAMPLES_MAX];
    size_t sample_count;
    unsigned lost, forgets, pings, modes[3], heard;
    uint8_t heard_bytes[HEARD_MAX];
    size_t heard_size;
    uint64_t ping_rtt_ns; /* 0: nobody answers PINGs */
    struct timer pong;
    bool frees_in_sample, frees_in_lost, frees_in_forget, frees_in_mode;
};

static void drop(struct rig *r)
{
    r->probe = probe_free(r->probe);
}

static void on_sample(void *arg, const struct probe_sample *s)
{
    struct rig *r = arg;

    if (r->sample_count < SAMPLES_MAX)
        r->samples[r->sample_count++] = *s;
    if (r->frees_in_sample)
        drop(r);
}

static void on_lost(void *arg, uint64_t sent_ns)
{
    struct rig *r = arg;

    (void)sent_ns;
    r->lost++;
    if (r->frees_in_lost)
        drop(r);
}

static void on_forget(void *arg)
{
    struct rig *r = arg;

    r->forgets++;
    if (r->frees_in_forget)
        drop(r);
}

static void on_mode(void *arg, enum probe_mode mode)
{
    struct rig *r = arg;

    r->modes[mode]++;
    if (r->frees_in_mode)
        drop(r);
}

static void on_pong(void *arg)
{
    struct rig *r = arg;

    if (r->probe != NULL)
        probe_take_ping(r->probe, r->ping_rtt_ns);
}

static void on_ping(void *arg)
{
    struct rig *r = arg;

    r->pings++;
    if (r->ping_rtt_ns != 0)
        timer_set_in(&r->pong, r->ping_rtt_ns);
}

static const struct probe_ops ops = {
    .sample = on_sample, .lost = on_lost, .forget = on_forget, .mode = on_mode, .ping = on_ping};

static void on_heard(void *arg, const void *bytes, size_t size, const struct datagram_peer *from,
                     uint64_t at_ns)
{
    struct rig *r = arg;

    (void)from;
    (void)at_ns;
    r->heard++;
    memcpy(r->heard_bytes, bytes, size);
    r->heard_size = size;
}

static void open_responder(struct rig *r)
{
    const struct probe_responder_options options = {
        .loop = r->hub, .address = "0.0.0.0", .port = PORT, .max_tickets = 3};

    assert_false(alb_failed(probe_responder_open(&options, &r->responder)));
    assert_false(alb_failed(probe_ticket_new(r->responder, r->key, &r->ticket)));
}

static void close_responder(struct rig *r)
{
    r->responder = probe_responder_close(r->responder);
    r->ticket = probe_ticket_free(r->ticket);
}

static int make_rig(void **state)
{
    struct rig *r = xalloc(sizeof(*r));
    struct world_link *via[1];

    r->world = world_new(7);
    r->hub = world_add_node(r->world, "hub", NULL);
    r->box = world_add_node(r->world, "box", NULL);
    r->link = world_add_link(r->world, "hub--box", RATE_BPS, DELAY_NS);
    via[0] = r->link;
    world_route(r->world, r->hub, r->box, via, 1);
    memset(r->key, 9, sizeof(r->key));
    timer_init(&r->pong, r->box, on_pong, r);
    open_responder(r);
    const struct stream line = {.loop = r->box, .address = "hub:1"};
    assert_true(datagram_peer_of(&line, PORT, &r->door));
    const struct datagram_options other = {
        .address = "0.0.0.0", .port = STRANGE_PORT, .got = on_heard, .arg = r};
    assert_false(alb_failed(datagram_open(r->box, &other, &r->meddler)));
    *state = r;
    return 0;
}

static int drop_rig(void **state)
{
    struct rig *r = *state;

    timer_stop(&r->pong);
    drop(r);
    datagram_close(r->meddler);
    close_responder(r);
    world_free(r->world);
    free(r);
    return 0;
}

static void begin(struct rig *r, enum probe_pace pace)
{
    struct probe_options o = {.loop = r->box, .to = &r->door, .ops = &ops, .arg = r};

    memcpy(o.id, probe_ticket_id(r->ticket), PROBE_ID_SIZE);
    memcpy(o.key, r->key, PROBE_KEY_SIZE);
    r->probe = probe_new(&o);
    probe_set_pace(r->probe, pace);
}

static void run_s(struct rig *r, double s)
{
    world_run(r->world, world_now_ns(r->world) + (uint64_t)(s * (double)NS_PER_S));
}

static struct probe_responder_figures answerer(const struct rig *r)
{
    struct probe_responder_figures f;

    probe_responder_figures(r->responder, &f);
    return f;
}

static struct probe_figures asker(const struct rig *r)
{
    struct probe_figures f;

    probe_figures(r->probe, &f);
    return f;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void a_probe_measures_the_path_and_both_its_halves(void **state)
{
    struct rig *r = *state;

    probe_responder_tell(r->responder, 3000000, 2);
    begin(r, PROBE_ACTIVE);
    run_s(r, 10);
    assert_in_range(r->sample_count, 190, 212);
    for (size_t i = 0; i < r->sample_count; i++) {
        const struct probe_sample *s = &r->samples[i];
        assert_in_range(s->rtt_ns, 2 * DELAY_NS, 2 * DELAY_NS + NS_PER_MS);
        assert_true(s->has_owd && !s->is_late);
        assert_in_range(s->owd_down_ns, DELAY_NS, DELAY_NS + NS_PER_MS);
        assert_in_range(s->owd_up_ns, DELAY_NS, DELAY_NS + NS_PER_MS);
        assert_int_equal(s->aggregate_bps, 3000000);
        assert_int_equal(s->flows, 2);
        assert_true(s->at_ns == s->sent_ns + s->rtt_ns);
    }
    assert_int_equal(r->lost + r->forgets + r->pings, 0);
    assert_int_equal(r->modes[PROBE_UDP], 1);
    assert_in_range(answerer(r).answered, r->sample_count, r->sample_count + 1);
}

static void the_pace_is_20_10_and_1_in_a_second(void **state)
{
    struct rig *r = *state;

    begin(r, PROBE_IDLE);
    run_s(r, 20.5);
    assert_in_range(r->sample_count, 19, 23);
    r->sample_count = 0;
    probe_set_pace(r->probe, PROBE_YIELDED);
    run_s(r, 10);
    assert_in_range(r->sample_count, 95, 106);
    r->sample_count = 0;
    probe_set_pace(r->probe, PROBE_ACTIVE);
    run_s(r, 10);
    assert_in_range(r->sample_count, 190, 212);
    uint64_t bytes = world_link_bytes(r->link, WORLD_UP);
    run_s(r, 10);
    bytes = world_link_bytes(r->link, WORLD_UP) - bytes;
    assert_in_range(bytes, 190 * (PROBE_PACKET_SIZE + 28), 212 * (PROBE_PACKET_SIZE + 28));
}

static void a_faster_pace_begins_at_once(void **state)
{
    struct rig *r = *state;

    begin(r, PROBE_IDLE);
    run_s(r, 0.3);
    assert_int_equal(r->sample_count, 1);
    probe_set_pace(r->probe, PROBE_ACTIVE);
    run_s(r, 0.11);
    assert_in_range(r->sample_count, 2, 3);
}

static void a_lost_probe_is_told_after_a_second(void **state)
{
    struct rig *r = *state;

    begin(r, PROBE_ACTIVE);
    run_s(r, 2);
    world_link_set_up(r->link, false);
    run_s(r, 0.9);
    assert_int_equal(r->lost, 0);
    run_s(r, 0.6);
    assert_in_range(r->lost, 7, 13);
}

static void one_in_ten_lost_is_counted_as_that(void **state)
{
    struct rig *r = *state;

    world_link_set_loss(r->link, 50000); /* each way */
    begin(r, PROBE_ACTIVE);
    run_s(r, 100);
    assert_in_range(r->lost, 150, 245);
    assert_int_equal(r->modes[PROBE_PING], 0);
    assert_in_range(r->lost + r->sample_count, asker(r).sent - 25, asker(r).sent);
}

/* ---- late ------------------------------------------------------------------------------------ */

/* Forwards what it gets to the answerer and back, later: a path with a deep queue. */
struct detour {
    struct rig *rig;
    struct datagram *near, *far;
    struct datagram_peer asker;
    uint64_t delay_ns;
};

struct parcel {
    struct detour *detour;
    uint8_t bytes[PROBE_PACKET_SIZE];
};

static void on_parcel(void *arg)
{
    struct parcel *p = arg;

    assert_false(alb_failed(
        datagram_send(p->detour->far, p->bytes, sizeof(p->bytes), &p->detour->rig->door)));
    free(p);
}

static void on_outwards(void *arg, const void *bytes, size_t size, const struct datagram_peer *from,
                        uint64_t at_ns)
{
    struct detour *d = arg;
    struct parcel *p = xalloc(sizeof(*p));

    assert_int_equal(size, sizeof(p->bytes));
    d->asker = *from;
    p->detour = d;
    memcpy(p->bytes, bytes, size);
    world_at(d->rig->world, at_ns + d->delay_ns, on_parcel, p);
}

static void on_homewards(void *arg, const void *bytes, size_t size,
                         const struct datagram_peer *from, uint64_t at_ns)
{
    struct detour *d = arg;

    (void)from;
    (void)at_ns;
    assert_false(alb_failed(datagram_send(d->near, bytes, size, &d->asker)));
}

/* A third node between; the answerer sees its address. */
static void build_detour(struct detour *d, struct rig *r, uint64_t delay_ns)
{
    struct loop *relay = world_add_node(r->world, "relay", NULL);
    struct world_link *near = world_add_link(r->world, "relay--box", RATE_BPS, NS_PER_MS);
    struct world_link *far = world_add_link(r->world, "hub--relay", RATE_BPS, NS_PER_MS);
    const struct stream to_hub = {.loop = relay, .address = "hub:1"};
    const struct stream to_relay = {.loop = r->box, .address = "relay:1"};

    *d = (struct detour){.rig = r, .delay_ns = delay_ns};
    world_route(r->world, relay, r->box, &near, 1);
    world_route(r->world, r->hub, relay, &far, 1);
    const struct datagram_options inner = {
        .address = "0.0.0.0", .port = 1, .got = on_outwards, .arg = d};
    const struct datagram_options outer = {
        .address = "0.0.0.0", .port = 2, .got = on_homewards, .arg = d};
    assert_false(alb_failed(datagram_open(relay, &inner, &d->near)));
    assert_false(alb_failed(datagram_open(relay, &outer, &d->far)));
    assert_true(datagram_peer_of(&to_relay, 1, &r->door));
    begin(r, PROBE_ACTIVE);
    assert_true(datagram_peer_of(&to_hub, PORT, &r->door));
}

static void close_detour(struct detour *d)
{
    run_s(d->rig, 5);
    drop(d->rig);
    run_s(d->rig, 10); /* parcels under way */
    datagram_close(d->near);
    datagram_close(d->far);
}

static void an_answer_after_its_time_is_a_late_sample_and_then_the_time_is_longer(void **state)
{
    struct rig *r = *state;
    struct detour d;

    build_detour(&d, r, 100 * NS_PER_MS);
    run_s(r, 2);
    assert_true(r->sample_count > 30 && r->lost == 0);
    d.delay_ns = 2500 * NS_PER_MS;
    run_s(r, 20);
    assert_in_range(r->lost, 10, 60);
    assert_true(asker(r).late > 10 && asker(r).late <= r->lost);
    assert_int_equal(r->modes[PROBE_PING], 0);
    const unsigned lost = r->lost;
    run_s(r, 20); /* used to it */
    assert_int_equal(r->lost, lost);
    close_detour(&d);
}

static void probes_that_overtake_each_other_are_samples_all(void **state)
{
    struct rig *r = *state;
    struct detour d;

    build_detour(&d, r, 200 * NS_PER_MS);
    for (unsigned i = 0; i < 40; i++) {
        d.delay_ns = i % 2 == 0 ? 20 * NS_PER_MS : 200 * NS_PER_MS;
        run_s(r, 0.05);
    }
    run_s(r, 1);
    assert_int_equal(r->lost, 0);
    assert_in_range(r->sample_count, 50, 63);
    assert_int_equal(answerer(r).repeated, 0);
    close_detour(&d);
}

/* ---- where UDP is blocked -------------------------------------------------------------------- */

static void without_udp_pings_are_asked_for_and_nothing_is_called_lost(void **state)
{
    struct rig *r = *state;

    r->key[0] ^= 1; /* no request is answered, as if none came through */
    r->ping_rtt_ns = 41 * NS_PER_MS;
    begin(r, PROBE_ACTIVE);
    run_s(r, 13);
    assert_int_equal(r->modes[PROBE_PING], 1);
    assert_int_equal(r->lost, 0);
    assert_in_range(r->sample_count, 85, 110); /* ten seconds of ten */
    assert_false(r->samples[0].has_owd);
    assert_int_equal(r->samples[0].rtt_ns, 41 * NS_PER_MS);
    assert_in_range(r->samples[0].at_ns, 3 * NS_PER_S, 4 * NS_PER_S);
}

static void a_parent_without_udp_is_measured_by_ping_from_the_start(void **state)
{
    struct rig *r = *state;
    const struct probe_options o = {.loop = r->box, .ops = &ops, .arg = r};

    r->ping_rtt_ns = 41 * NS_PER_MS;
    r->probe = probe_new(&o);
    run_s(r, 10);
    assert_in_range(r->sample_count, 4, 7);
    assert_int_equal(asker(r).mode, PROBE_PING);
}

static void udp_that_stops_in_mid_run_is_left_when_a_ping_is_answered(void **state)
{
    struct rig *r = *state;

    r->ping_rtt_ns = 41 * NS_PER_MS;
    begin(r, PROBE_ACTIVE);
    run_s(r, 5);
    assert_int_equal(r->pings, 0);
    close_responder(r);
    run_s(r, 8);
    assert_int_equal(asker(r).mode, PROBE_PING);
    assert_in_range(r->lost, 30, 70); /* those of the three seconds it took to tell */
}

static void udp_that_is_open_again_is_taken_up_again(void **state)
{
    struct rig *r = *state;

    r->ping_rtt_ns = 41 * NS_PER_MS;
    world_link_set_up(r->link, false); /* PINGs are not really sent here */
    begin(r, PROBE_ACTIVE);
    run_s(r, 5);
    assert_int_equal(asker(r).mode, PROBE_PING);
    world_link_set_up(r->link, true);
    run_s(r, 12);
    assert_int_equal(asker(r).mode, PROBE_UDP);
    assert_int_equal(r->lost, 0);
}

static void a_line_that_is_down_is_not_taken_for_one_that_blocks_udp(void **state)
{
    struct rig *r = *state;

    begin(r, PROBE_ACTIVE); /* and PINGs are not answered either */
    run_s(r, 5);
    world_link_set_up(r->link, false);
    run_s(r, 10);
    assert_int_equal(asker(r).mode, PROBE_UDP);
    assert_in_range(r->lost, 160, 190);
    assert_true(r->pings > 0);
    world_link_set_up(r->link, true);
    const size_t before = r->sample_count;
    run_s(r, 5);
    assert_true(r->sample_count > before + 50);
}

static void pings_that_are_not_answered_are_lost(void **state)
{
    struct rig *r = *state;
    const struct probe_options o = {.loop = r->box, .ops = &ops, .arg = r};

    r->probe = probe_new(&o);
    probe_set_pace(r->probe, PROBE_ACTIVE);
    run_s(r, 10);
    assert_in_range(r->lost, 8, 10);
    assert_in_range(r->pings, 9, 11); /* one at a time */
}

/* ---- spoofed, repeated, cut, strange --------------------------------------------------------- */

static void meddle(struct rig *r, const void *bytes, size_t size)
{
    assert_false(alb_failed(datagram_send(r->meddler, bytes, size, &r->door)));
    run_s(r, 0.2);
}

static void seal_request(const struct rig *r, uint32_t sequence, uint8_t out[PROBE_PACKET_SIZE])
{
    struct probe_packet p = {.kind = PROBE_REQUEST, .sequence = sequence, .sent_ns = 5};

    memcpy(p.id, probe_ticket_id(r->ticket), PROBE_ID_SIZE);
    probe_packet_seal(&p, r->key, out);
}

static void strangers_get_no_answer(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE + 8] = {0};
    unsigned tried = 0;

    for (size_t size = 0; size <= sizeof(bytes); size += 4, tried++) {
        seal_request(r, 1, bytes);
        if (size == PROBE_PACKET_SIZE)
            bytes[PROBE_PACKET_SIZE - 1] ^= 1; /* the MAC */
        meddle(r, bytes, size);
    }
    seal_request(r, 1, bytes);
    bytes[5] ^= 1; /* the id */
    meddle(r, bytes, PROBE_PACKET_SIZE);
    seal_request(r, 1, bytes);
    bytes[0] = 2; /* the version */
    meddle(r, bytes, PROBE_PACKET_SIZE);
    assert_int_equal(r->heard, 0);
    assert_int_equal(answerer(r).strangers, tried + 2);
    assert_int_equal(answerer(r).answered, 0);
}

static void a_reply_is_as_long_as_its_request_and_is_no_request(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE];

    seal_request(r, 1, bytes);
    meddle(r, bytes, sizeof(bytes));
    assert_int_equal(r->heard, 1);
    assert_int_equal(r->heard_size, sizeof(bytes));
    memcpy(bytes, r->heard_bytes, sizeof(bytes));
    meddle(r, bytes, sizeof(bytes)); /* sent back to where it came from */
    assert_int_equal(r->heard, 1);
    assert_int_equal(answerer(r).strangers, 1);
}

static void a_request_is_answered_once_however_often_it_comes(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE];
    static const uint32_t order[] = {10, 12, 11, 74, 9, 75, 11, 74, 75, 12, 300, 237, 236};
    static const unsigned heard[] = {1, 2, 3, 4, 4, 5, 5, 5, 5, 5, 6, 7, 7};

    for (size_t i = 0; i < ALB_COUNT(order); i++) {
        seal_request(r, order[i], bytes);
        meddle(r, bytes, sizeof(bytes));
        assert_int_equal(r->heard, heard[i]);
    }
    assert_int_equal(answerer(r).repeated, 6);
}

static void sequence_numbers_count_on_past_their_end(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE];
    static const uint32_t order[] = {UINT32_MAX - 1, UINT32_MAX, 0, 1, UINT32_MAX, 0};

    for (size_t i = 0; i < ALB_COUNT(order); i++) {
        seal_request(r, order[i], bytes);
        meddle(r, bytes, sizeof(bytes));
    }
    assert_int_equal(r->heard, 4);
}

static void a_ticket_has_a_hundred_answers_in_a_second(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE];

    for (uint32_t i = 0; i < 2000; i++) { /* in two seconds */
        seal_request(r, i, bytes);
        assert_false(alb_failed(datagram_send(r->meddler, bytes, sizeof(bytes), &r->door)));
        run_s(r, 0.001);
    }
    run_s(r, 1);
    assert_in_range(r->heard, 200, 225);
    assert_int_equal(answerer(r).too_many, 2000 - r->heard);
}

static void a_ticket_that_was_given_back_is_a_strangers(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE];

    seal_request(r, 1, bytes);
    assert_int_equal(answerer(r).tickets, 1);
    r->ticket = probe_ticket_free(r->ticket);
    assert_int_equal(answerer(r).tickets, 0);
    meddle(r, bytes, sizeof(bytes));
    assert_int_equal(r->heard, 0);
    assert_int_equal(answerer(r).strangers, 1);
}

static void there_are_no_more_tickets_than_allowed(void **state)
{
    struct rig *r = *state;
    struct probe_ticket *more[3] = {NULL};

    assert_false(alb_failed(probe_ticket_new(r->responder, r->key, &more[0])));
    assert_false(alb_failed(probe_ticket_new(r->responder, r->key, &more[1])));
    assert_int_equal(probe_ticket_new(r->responder, r->key, &more[2]).code, ALB_FULL);
    assert_memory_not_equal(probe_ticket_id(more[0]), probe_ticket_id(more[1]), PROBE_ID_SIZE);
    probe_ticket_free(more[0]);
    assert_false(alb_failed(probe_ticket_new(r->responder, r->key, &more[2])));
    probe_ticket_free(more[1]);
    probe_ticket_free(more[2]);
}

static void a_reply_that_is_forged_doubled_or_nobodys_is_no_sample(void **state)
{
    struct rig *r = *state;
    struct detour d;
    struct probe_packet p = {.kind = PROBE_REPLY, .sequence = 0, .sent_ns = 0};
    uint8_t bytes[PROBE_PACKET_SIZE];

    build_detour(&d, r, 10 * NS_PER_MS);
    run_s(r, 2.02);
    const size_t samples = r->sample_count;
    memcpy(p.id, probe_ticket_id(r->ticket), PROBE_ID_SIZE);
    probe_packet_seal(&p, r->key, bytes); /* well made, for one that was answered long ago */
    assert_false(alb_failed(datagram_send(d.near, bytes, sizeof(bytes), &d.asker)));
    r->key[0] ^= 1;
    probe_packet_seal(&p, r->key, bytes); /* by somebody without the key */
    assert_false(alb_failed(datagram_send(d.near, bytes, sizeof(bytes), &d.asker)));
    r->key[0] ^= 1;
    p.kind = PROBE_REQUEST;
    probe_packet_seal(&p, r->key, bytes); /* reflected */
    assert_false(alb_failed(datagram_send(d.near, bytes, sizeof(bytes), &d.asker)));
    assert_false(alb_failed(datagram_send(d.near, bytes, 12, &d.asker)));
    bytes[0] = 9;
    assert_false(alb_failed(datagram_send(d.near, bytes, sizeof(bytes), &d.asker)));
    run_s(r, 0.02);
    assert_int_equal(asker(r).wrong, 5);
    assert_in_range(r->sample_count, samples, samples + 1);
    close_detour(&d);
}

/* ---- clocks ---------------------------------------------------------------------------------- */

static void after_the_answerer_slept_the_owner_is_told_to_forget(void **state)
{
    struct rig *r = *state;

    begin(r, PROBE_ACTIVE);
    run_s(r, 2);
    assert_int_equal(r->forgets, 0);
    world_node_sleep(r->hub, 3600 * NS_PER_S);
    run_s(r, 2);
    assert_int_equal(r->forgets, 1);
}

static void after_the_asker_slept_the_owner_is_told_to_forget_and_nothing_is_lost(void **state)
{
    struct rig *r = *state;

    begin(r, PROBE_ACTIVE);
    run_s(r, 2);
    world_node_sleep(r->box, 3600 * NS_PER_S);
    world_link_set_up(r->link, false); /* as if what was out had been dropped */
    run_s(r, 0.2);
    world_link_set_up(r->link, true);
    run_s(r, 3);
    assert_int_equal(r->forgets, 1);
    assert_in_range(r->lost, 0, 5); /* those sent after it woke */
    assert_int_equal(asker(r).mode, PROBE_UDP);
}

static void a_pause_between_two_readings_is_no_sleep(void **state)
{
    struct rig *r = *state;

    begin(r, PROBE_ACTIVE);
    run_s(r, 1);
    world_node_sleep(r->box, 20 * NS_PER_MS);
    world_node_sleep(r->hub, 20 * NS_PER_MS);
    run_s(r, 1);
    assert_int_equal(r->forgets, 0);
}

static void each_sleep_of_the_answerer_is_told(void **state)
{
    struct rig *r = *state;

    begin(r, PROBE_ACTIVE);
    for (unsigned i = 0; i < 300; i++) { /* more often than the epoch's counter can count */
        run_s(r, 1);
        assert_int_equal(r->forgets, i);
        world_node_sleep(r->hub, NS_PER_S);
    }
}

/* ---- the owner lets go ----------------------------------------------------------------------- */

static void it_may_be_freed_in_each_of_its_calls(void **state)
{
    struct rig *r = *state;
    bool *const when[] = {&r->frees_in_mode, &r->frees_in_sample, &r->frees_in_forget,
                          &r->frees_in_lost};

    for (size_t i = 0; i < ALB_COUNT(when); i++) {
        *when[i] = true;
        begin(r, PROBE_ACTIVE);
        run_s(r, 1);
        world_node_sleep(r->hub, NS_PER_S);
        run_s(r, 1);
        world_link_set_up(r->link, false);
        run_s(r, 3);
        assert_null(r->probe);
        world_link_set_up(r->link, true);
        *when[i] = false;
        run_s(r, 3);
    }
}

int main(void)
{
#define with_rig(test) cmocka_unit_test_setup_teardown(test, make_rig, drop_rig)
    const struct CMUnitTest tests[] = {
        with_rig(a_probe_measures_the_path_and_both_its_halves),
        with_rig(the_pace_is_20_10_and_1_in_a_second),
        with_rig(a_faster_pace_begins_at_once),
        with_rig(a_lost_probe_is_told_after_a_second),
        with_rig(one_in_ten_lost_is_counted_as_that),
        with_rig(an_answer_after_its_time_is_a_late_sample_and_then_the_time_is_longer),
        with_rig(probes_that_overtake_each_other_are_samples_all),
        with_rig(without_udp_pings_are_asked_for_and_nothing_is_called_lost),
        with_rig(a_parent_without_udp_is_measured_by_ping_from_the_start),
        with_rig(udp_that_stops_in_mid_run_is_left_when_a_ping_is_answered),
        with_rig(udp_that_is_open_again_is_taken_up_again),
        with_rig(a_line_that_is_down_is_not_taken_for_one_that_blocks_udp),
        with_rig(pings_that_are_not_answered_are_lost),
        with_rig(strangers_get_no_answer),
        with_rig(a_reply_is_as_long_as_its_request_and_is_no_request),
        with_rig(a_request_is_answered_once_however_often_it_comes),
        with_rig(sequence_numbers_count_on_past_their_end),
        with_rig(a_ticket_has_a_hundred_answers_in_a_second),
        with_rig(a_ticket_that_was_given_back_is_a_strangers),
        with_rig(there_are_no_more_tickets_than_allowed),
        with_rig(a_reply_that_is_forged_doubled_or_nobodys_is_no_sample),
        with_rig(after_the_answerer_slept_the_owner_is_told_to_forget),
        with_rig(after_the_asker_slept_the_owner_is_told_to_forget_and_nothing_is_lost),
        with_rig(a_pause_between_two_readings_is_no_sleep),
        with_rig(each_sleep_of_the_answerer_is_told),
        with_rig(it_may_be_freed_in_each_of_its_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
