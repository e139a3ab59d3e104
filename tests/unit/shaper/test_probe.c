/* SPDX-License-Identifier: Apache-2.0 */
/* unit/shaper/test_probe.c – the asker: what it measures, how often, by which way, and what it does
 * not believe. */
/* LINKS: sim_world */
#include "support/probe_rig.h"

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

static void count(void *arg)
{
    ++*(uint64_t *)arg;
}

static void who_gave_the_ticket_hears_of_each_answer(void **state)
{
    struct rig *r = *state;
    uint64_t heard = 0;

    probe_ticket_on_answered(r->ticket, count, &heard);
    begin(r, PROBE_ACTIVE);
    run_s(r, 5);
    assert_true(heard >= 95);
    assert_int_equal(heard, answerer(r).answered);
    probe_ticket_on_answered(r->ticket, NULL, NULL);
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
    uint64_t delay_ns; /* outwards */
    uint64_t home_ns;  /* homewards */
};

struct parcel {
    struct detour *detour;
    bool is_outwards;
    uint8_t bytes[PROBE_PACKET_SIZE];
};

static void on_parcel(void *arg)
{
    struct parcel *p = arg;
    const struct detour *d = p->detour;
    struct alb_status st = p->is_outwards
                               ? datagram_send(d->far, p->bytes, sizeof(p->bytes), &d->rig->door)
                               : datagram_send(d->near, p->bytes, sizeof(p->bytes), &d->asker);

    assert_false(alb_failed(st));
    free(p);
}

static void forward(struct detour *d, bool is_outwards, const void *bytes, uint64_t at_ns)
{
    struct parcel *p = xalloc(sizeof(*p));

    p->detour = d;
    p->is_outwards = is_outwards;
    memcpy(p->bytes, bytes, sizeof(p->bytes));
    world_at(d->rig->world, at_ns, on_parcel, p);
}

static void on_outwards(void *arg, const void *bytes, size_t size, const struct datagram_peer *from,
                        uint64_t at_ns)
{
    struct detour *d = arg;

    assert_int_equal(size, PROBE_PACKET_SIZE);
    d->asker = *from;
    forward(d, true, bytes, at_ns + d->delay_ns);
}

static void on_homewards(void *arg, const void *bytes, size_t size,
                         const struct datagram_peer *from, uint64_t at_ns)
{
    (void)from;
    assert_int_equal(size, PROBE_PACKET_SIZE);
    forward(arg, false, bytes, at_ns + ((struct detour *)arg)->home_ns);
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

/* Requests carry it, so that who sends to many can tell its own line from theirs. */
static void a_queue_on_the_way_here_is_reported_while_bulk_is_taken(void **state)
{
    struct rig *r = *state;
    struct detour d;

    build_detour(&d, r, NS_PER_MS);
    run_s(r, 3);
    const uint64_t now_ns = world_now_ns(r->world);
    assert_int_equal(probe_responder_queued(r->responder, 0, now_ns - NS_PER_S), 1);
    assert_int_equal(probe_responder_queued(r->responder, NS_PER_MS, now_ns - NS_PER_S), 0);
    d.home_ns = 30 * NS_PER_MS;
    run_s(r, 1);
    assert_int_equal(probe_responder_queued(r->responder, 29 * NS_PER_MS, now_ns), 1);
    assert_int_equal(probe_responder_queued(r->responder, 32 * NS_PER_MS, now_ns), 0);
    d.home_ns = 0;
    d.delay_ns = 30 * NS_PER_MS; /* on the way there is another matter */
    run_s(r, 1);
    assert_int_equal(probe_responder_queued(r->responder, NS_PER_MS, now_ns), 0);
    d.home_ns = 30 * NS_PER_MS;
    probe_set_pace(r->probe, PROBE_IDLE);
    run_s(r, 3);
    assert_int_equal(probe_responder_queued(r->responder, NS_PER_MS, now_ns), 0);
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
    const struct probe_options o = {.loop = r->box, .ops = &rig_ops, .arg = r};

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
    const struct probe_options o = {.loop = r->box, .ops = &rig_ops, .arg = r};

    r->probe = probe_new(&o);
    probe_set_pace(r->probe, PROBE_ACTIVE);
    run_s(r, 10);
    assert_in_range(r->lost, 8, 10);
    assert_in_range(r->pings, 9, 11); /* one at a time */
}

/* ---- spoofed, repeated, cut, strange ------------------------------------------------------ */

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
        with_rig(who_gave_the_ticket_hears_of_each_answer),
        with_rig(the_pace_is_20_10_and_1_in_a_second),
        with_rig(a_faster_pace_begins_at_once),
        with_rig(a_lost_probe_is_told_after_a_second),
        with_rig(one_in_ten_lost_is_counted_as_that),
        with_rig(an_answer_after_its_time_is_a_late_sample_and_then_the_time_is_longer),
        with_rig(probes_that_overtake_each_other_are_samples_all),
        with_rig(a_queue_on_the_way_here_is_reported_while_bulk_is_taken),
        with_rig(without_udp_pings_are_asked_for_and_nothing_is_called_lost),
        with_rig(a_parent_without_udp_is_measured_by_ping_from_the_start),
        with_rig(udp_that_stops_in_mid_run_is_left_when_a_ping_is_answered),
        with_rig(udp_that_is_open_again_is_taken_up_again),
        with_rig(a_line_that_is_down_is_not_taken_for_one_that_blocks_udp),
        with_rig(pings_that_are_not_answered_are_lost),
        with_rig(a_reply_that_is_forged_doubled_or_nobodys_is_no_sample),
        with_rig(after_the_answerer_slept_the_owner_is_told_to_forget),
        with_rig(after_the_asker_slept_the_owner_is_told_to_forget_and_nothing_is_lost),
        with_rig(a_pause_between_two_readings_is_no_sleep),
        with_rig(each_sleep_of_the_answerer_is_told),
        with_rig(it_may_be_freed_in_each_of_its_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
