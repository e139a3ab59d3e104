/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/test_law.c – the control law by itself: terms, samples, losses, sleep, words. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "shaper/law.h"
#include "shaper/law_parts.h"

enum { MS = 1000000 };
static const uint64_t second = 1000 * (uint64_t)MS;

static struct law law;
static uint64_t now;

static void begin(uint64_t capacity_bps)
{
    now = 10 * second;
    law_init(&law, &(struct law_options){.now_ns = now, .capacity_bps = capacity_bps});
}

/* A probe that stood `queue_ms` in a queue, on a path of 40 ms. */
static void sample(unsigned queue_ms)
{
    uint64_t rtt_ns = (40 + (uint64_t)queue_ms) * MS;
    law_on_sample(&law, &(struct law_sample){now, rtt_ns, (int64_t)rtt_ns - 20 * MS});
}

/* What a link of `link_bps` does with what is granted, for a while, with `queue_ms` of queue. */
static struct law_verdict run(double seconds, double link_bps, unsigned queue_ms)
{
    struct law_verdict v = law_tick(&law, now);
    double due = 0, owed = 0;
    for (uint64_t end = now + (uint64_t)(seconds * 1e9); now < end; now += 5 * (uint64_t)MS) {
        if (now % (50 * (uint64_t)MS) == 0)
            sample(queue_ms);
        due += (double)v.rate_bps * 0.005 / 8;
        uint64_t grant = owed + due <= (double)v.window_bytes ? (uint64_t)due : 0;
        due = grant > 0 ? due - (double)grant : 0;
        law_on_granted(&law, grant, now);
        owed += (double)grant;
        uint64_t most = (uint64_t)(link_bps * 0.005 / 8);
        uint64_t come = owed < (double)most ? (uint64_t)owed : most;
        law_on_delivered(&law, come, now);
        owed -= (double)come;
        v = law_tick(&law, now);
    }
    return v;
}

static void an_idle_link_is_climbed(void **state)
{
    (void)state;
    begin(0);
    assert_int_equal(run(0.1, 1e9, 0).state, LAW_START);
    struct law_verdict v = run(3, 1e9, 0);
    assert_true(v.rate_bps > 5000000);
    assert_true(v.window_bytes > v.rate_bps / 8 * 40 / 1000);
}

/* Six milliseconds of somebody's queue are none of ours by default; a rule may be stricter. */
static void a_rule_that_allows_less_queue_makes_way_for_less(void **state)
{
    (void)state;
    begin(10000000);
    run(3, 9.6e6, 0);
    run(2, 3e6, 6);
    const double without = law_high_s(&law);
    law_set_terms(&law, &(struct law_terms){.max_queue_ns = 1000000}, now);
    const struct law_verdict v = law_tick(&law, now);
    assert_true(law_high_s(&law) < without);
    assert_true((double)v.queue_most_ns / 1e9 < without); /* as `albedo explain rate` tells */
    law_set_terms(&law, &(struct law_terms){0}, now);
    law_tick(&law, now);
    assert_true(law_high_s(&law) == without);
}

static void policy_off_grants_nothing_and_comes_back(void **state)
{
    (void)state;
    begin(10000000);
    run(3, 9.6e6, 0);
    law_set_terms(&law, &(struct law_terms){.off = true}, now);
    struct law_verdict v = law_tick(&law, now);
    assert_int_equal(v.state, LAW_OFF);
    assert_int_equal(v.rate_bps, 0);
    assert_int_equal(v.window_bytes, 0);
    law_set_terms(&law, &(struct law_terms){0}, now);
    assert_true(law_tick(&law, now).rate_bps > 0);
}

static void a_ceiling_holds_from_the_next_verdict_on(void **state)
{
    (void)state;
    begin(10000000);
    run(3, 9.6e6, 0);
    law_set_terms(&law, &(struct law_terms){.ceiling_bps = 1000000}, now);
    assert_true(law_tick(&law, now).rate_bps <= 1000000);
    struct law_verdict v = run(3, 9.6e6, 0);
    assert_int_equal(v.state, LAW_CAPPED);
    assert_int_equal(v.rate_bps, 1000000);
    assert_string_equal(law_reason_name(v.reason), "ceiling");
}

/* Others use the line while nobody asks us for anything: `seconds` without credit. */
static void wait_idle(double seconds, unsigned queue_ms)
{
    for (uint64_t end = now + (uint64_t)(seconds * 1e9); now < end; now += 50 * (uint64_t)MS) {
        sample(queue_ms);
        (void)law_tick(&law, now);
    }
}

static void a_queue_of_others_while_nothing_was_asked_for_left_a_capacity_of_nearly_nothing(
    void **state)
{
    (void)state;
    begin(0);
    wait_idle(3, 0);
    wait_idle(20, 100);
    wait_idle(2, 0);
    assert_true(run(3, 9.6e6, 0).rate_bps > 3000000);
}

static void a_percentage_is_of_the_measured_capacity(void **state)
{
    (void)state;
    begin(10000000);
    law_set_terms(&law, &(struct law_terms){.ceiling_percent = 25}, now);
    struct law_verdict v = run(4, 9.6e6, 0);
    assert_true(v.rate_bps <= v.capacity_bps / 4 + 1);
}

static void expect_capacity_after_yields(const struct law_terms *terms)
{
    begin(10000000);
    law_set_terms(&law, terms, now);
    run(6, 9.6e6, 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(run(1, 1e6, 60).state, LAW_YIELD);
        run(15, 9.6e6, 0);
    }
    assert_true(run(1, 9.6e6, 0).capacity_bps > 9000000);
}

static void a_share_of_the_capacity_shrank_with_each_yield(void **state)
{
    (void)state;
    expect_capacity_after_yields(&(struct law_terms){.ceiling_percent = 50});
    expect_capacity_after_yields(&(struct law_terms){.crowd = 8});
}

static void a_return_to_a_low_ceiling_was_never_worth_it(void **state)
{
    (void)state;
    begin(10000000);
    law_set_terms(&law, &(struct law_terms){.ceiling_bps = 3000000}, now);
    run(6, 9.6e6, 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(run(1, 1e6, 60).state, LAW_YIELD);
        assert_int_equal(law.vain, 0);
        assert_true(law.hold_s <= law.c->hold_normal);
        run(8, 9.6e6, 0);
    }
}

static void a_ceiling_below_one_packet_a_second_is_obeyed(void **state)
{
    (void)state;
    begin(10000000);
    law_set_terms(&law, &(struct law_terms){.ceiling_bps = 8000}, now);
    assert_true(run(3, 9.6e6, 0).rate_bps <= 8000);
}

static void insisting_gives_way_to_nobody(void **state)
{
    (void)state;
    begin(10000000);
    run(3, 9.6e6, 0);
    law_set_terms(&law, &(struct law_terms){.ceiling_bps = 4000000, .insist = true}, now);
    struct law_verdict v = run(3, 2e6, 80);
    assert_int_equal(v.rate_bps, 4000000);
    assert_true(v.window_bytes == LAW_UNLIMITED);
}

static void a_foreign_queue_is_given_way_to_within_half_a_second(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    struct law_verdict v = run(0.5, 3e6, 60);
    assert_int_equal(v.state, LAW_YIELD);
    assert_true(v.rate_bps <= 100000);
    char text[LAW_TEXT_SIZE];
    law_reason_text(&v, text, sizeof(text));
    assert_non_null(strstr(text, "yield: queue 60 ms, delivered "));
    v = run(6, 9.6e6, 0);
    assert_true(v.rate_bps > 7000000);
}

static void a_single_late_probe_costs_little(void **state)
{
    (void)state;
    begin(10000000);
    uint64_t before = run(4, 9.6e6, 0).rate_bps;
    now += 5 * (uint64_t)MS;
    sample(40);
    assert_true(law_next_ns(&law) <= now);
    struct law_verdict v = law_tick(&law, now);
    assert_true(v.rate_bps < before);
    assert_true(v.probe_period_ns <= 20 * (uint64_t)MS);
    assert_true(run(0.5, 9.6e6, 0).rate_bps > before * 8 / 10);
}

/* Late probes `every_ms` apart, with ticks as they come due. */
static struct law_verdict late_probes(unsigned count, unsigned every_ms, unsigned queue_ms)
{
    struct law_verdict v = law.verdict;
    for (unsigned i = 0; i < count * every_ms; i++) {
        if (i % every_ms == 0)
            sample(queue_ms);
        now += MS;
        law_on_delivered(&law, 500, now);
        law_on_granted(&law, 500, now);
        v = law_tick(&law, now);
    }
    return v;
}

static void one_late_probe_is_not_counted_again_at_the_next_tick(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    assert_int_equal(late_probes(1, 60, 40).state, LAW_CRUISE);
}

static void probes_that_stood_in_one_stall_are_one_sign(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    assert_int_equal(late_probes(5, 5, 40).state, LAW_CRUISE);
    assert_int_equal(run(0.5, 9.6e6, 0).state, LAW_CRUISE);
}

static void three_late_probes_one_after_another_are_somebody(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    assert_int_equal(late_probes(3, 20, 40).state, LAW_YIELD);
}

static void a_capacity_that_never_comes_is_believed_no_longer(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    uint64_t before = law.verdict.capacity_bps;
    run(20, 9e6, 4); /* a little slower, a little queue: nobody is there */
    assert_int_equal(law.verdict.state, LAW_CRUISE);
    assert_in_range(law.verdict.capacity_bps, 8900000, before - 300000);
}

static void a_floor_is_kept(void **state)
{
    (void)state;
    begin(10000000);
    law_set_terms(&law, &(struct law_terms){.floor_bps = 300000}, now);
    run(4, 9.6e6, 0);
    assert_int_equal(run(2, 3e6, 60).rate_bps, 300000);
}

static void probes_that_vanish_are_a_full_link(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    for (unsigned i = 0; i < 20; i++) {
        now += 50 * (uint64_t)MS;
        law_on_lost(&law, now);
        law_tick(&law, now);
    }
    struct law_verdict v = law_tick(&law, now);
    assert_int_equal(v.state, LAW_YIELD);
    assert_string_equal(law_reason_name(v.reason), "probes-lost");
}

static void a_longer_route_is_no_queue_for_ever(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    run(2, 9.6e6, 30);
    struct law_verdict v = run(30, 9.6e6, 30);
    assert_true(v.rate_bps > 5000000);
    assert_true(v.base_rtt_ns >= 69 * (uint64_t)MS);
}

static void who_slept_begins_carefully(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    now += 3600 * second;
    struct law_verdict v = law_tick(&law, now);
    assert_true(v.rate_bps < 1000000);
    assert_true(run(1.5, 9.6e6, 0).rate_bps <= v.capacity_bps / 2 + 1);
}

static void another_path_is_learned_anew(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    law_on_path_change(&law, now);
    struct law_verdict v = law_tick(&law, now);
    assert_int_equal(v.state, LAW_START);
    assert_int_equal(v.capacity_bps, 0);
}

static void a_slow_sender_is_no_neighbour(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    for (unsigned i = 0; i < 40; i++) {
        law_on_stamp(&law, &(struct law_stamp){.sender_limited = true}, now);
        assert_int_not_equal(run(0.1, 2e6, 4).state, LAW_YIELD);
    }
}

static void more_than_granted_and_less_than_before_do_no_harm(void **state)
{
    (void)state;
    begin(0);
    law_on_delivered(&law, UINT64_C(1) << 40, now);
    law_on_forfeit(&law, UINT64_C(1) << 50, now);
    law_on_stamp(&law, &(struct law_stamp){.stream = 4000000000, .retransmitted = 9}, now);
    law_on_stamp(&law, &(struct law_stamp){.stream = 4000000000, .retransmitted = 3}, now);
    law_on_sample(&law, &(struct law_sample){now, 0, LAW_NO_OWD});
    law_on_sample(&law, &(struct law_sample){now, 1, INT64_MAX / 2});
    law_on_hole(&law, now);
    struct law_verdict v = run(2, 9.6e6, 0);
    assert_true(v.rate_bps > 0 && v.rate_bps < UINT64_C(1) << 40);
}

static void a_delay_that_no_two_clocks_can_have_is_not_believed(void **state)
{
    (void)state;
    begin(10000000);
    run(2, 9.6e6, 0);
    law_on_sample(&law, &(struct law_sample){now, 0, -(INT64_C(1) << 62)});
    law_on_sample(&law, &(struct law_sample){now, 0, INT64_MAX});
    struct law_verdict v = run(1, 9.6e6, 0);
    assert_int_equal(v.state, LAW_CRUISE);
    assert_true(v.rate_bps > 8000000);
}

static void a_number_that_another_connection_had_brings_no_losses(void **state)
{
    (void)state;
    begin(10000000);
    law_on_stamp(&law, &(struct law_stamp){.stream = 3, .retransmitted = 20}, now);
    law_on_stream(&law, 3);
    law_on_stamp(&law, &(struct law_stamp){.stream = 3, .retransmitted = 5000}, now);
    assert_true(law.flow.losses < 0.5);
    law_on_stamp(&law, &(struct law_stamp){.stream = 3, .retransmitted = 5001}, now);
    assert_true(law.flow.losses > 0.5);
}

/* Somebody's upload stands in the way of our credit, `back_ms` long, more or less. */
static struct law_verdict run_behind_an_upload(double seconds, unsigned back_ms)
{
    struct law_verdict v = {0};
    for (uint64_t end = now + (uint64_t)(seconds * 1e9); now < end; now += 50 * (uint64_t)MS) {
        uint64_t back_ns = (back_ms + now / (50 * (uint64_t)MS) % 3 * 6) * MS;
        uint64_t rtt_ns = 40 * MS + back_ns;
        law_on_sample(&law, &(struct law_sample){now, rtt_ns, 20 * MS});
        v = law_tick(&law, now);
        uint64_t bytes = v.rate_bps / 8 / 20;
        law_on_granted(&law, bytes, now);
        law_on_delivered(&law, bytes, now);
    }
    return v;
}

static void an_upload_that_filled_the_way_back_left_a_window_too_small_for_the_line(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    struct law_verdict v = run_behind_an_upload(4, 160);
    assert_int_equal(v.state, LAW_CRUISE);
    assert_true(v.rate_bps > 8000000);
    assert_true(v.window_bytes >= v.capacity_bps / 8 * 212 / 1000);
    v = run_behind_an_upload(4, 5000);
    assert_true(v.window_bytes <= v.rate_bps / 8 * 600 / 1000);
}

static void a_bunch_of_credit_out_of_a_full_way_back_is_no_neighbour(void **state)
{
    (void)state;
    begin(10000000);
    run(4, 9.6e6, 0);
    run_behind_an_upload(2, 160);
    uint64_t rtt_ns = (40 + 160 + 12) * (uint64_t)MS;
    law_on_sample(&law, &(struct law_sample){now, rtt_ns, 32 * MS});
    assert_true(law_next_ns(&law) > 0);
    assert_true(run_behind_an_upload(0.5, 160).rate_bps > 8000000);
}

/* One in 200 is lost whatever the rate; returned as run() does. */
static struct law_verdict run_with_chance_losses(double seconds, double link_bps)
{
    static uint64_t lost;
    struct law_verdict v = {0};
    for (double at = 0; at < seconds; at += 0.1) {
        v = run(0.1, link_bps, 0);
        lost += law.flow.delivered / 1448 / 200 > lost ? 1 : 0;
        law_on_stamp(&law, &(struct law_stamp){.retransmitted = lost}, now);
    }
    return v;
}

static void losses_by_chance_took_the_capacity_down_step_by_step(void **state)
{
    (void)state;
    begin(10000000);
    run_with_chance_losses(2, 9.6e6);
    struct law_verdict v = run_with_chance_losses(20, 9.6e6);
    assert_true(v.capacity_bps > 9000000);
    assert_true(v.rate_bps > 8000000);
}

static void what_losses_mean_is_asked_below_the_capacity(void **state)
{
    (void)state;
    begin(10000000);
    law_on_stamp(&law, &(struct law_stamp){.retransmitted = 0}, now);
    struct law_verdict v = run(1.2, 9.6e6, 0);
    law_on_stamp(&law, &(struct law_stamp){.retransmitted = 1}, now);
    v = run(0.6, 9.6e6, 0);
    assert_true(v.rate_bps < v.capacity_bps * 92 / 100);
    v = run(4, 9.6e6, 0); /* none more: it was ours */
    assert_true(v.rate_bps > v.capacity_bps * 92 / 100);
}

static void who_is_told_nothing_of_others_takes_a_safe_part(void **state)
{
    (void)state;
    begin(10000000);
    law_set_terms(&law, &(struct law_terms){.crowd = 8}, now);
    struct law_verdict v = run(6, 9.6e6, 0);
    assert_true(v.rate_bps <= v.capacity_bps / 8 + 1);
    assert_true(v.rate_bps >= v.capacity_bps / 8 * 9 / 10);
    assert_int_equal(v.state, LAW_CAPPED);
    assert_string_equal(law_reason_name(v.reason), "crowd");
    for (unsigned i = 0; i < 60; i++) { /* a sender that tells: we are alone */
        law_on_stamp(&law, &(struct law_stamp){0}, now);
        v = run(0.1, 9.6e6, 0);
    }
    assert_true(v.rate_bps > 8000000);
}

static void under_a_low_ceiling_it_recovered_for_ever(void **state)
{
    (void)state;
    begin(10000000);
    law_set_terms(&law, &(struct law_terms){.ceiling_bps = 2000000}, now);
    assert_int_equal(run(6, 9.6e6, 0).state, LAW_CAPPED);
}

static void losses_on_a_good_line_that_we_do_not_push_are_given_way_to(void **state)
{
    (void)state;
    begin(10000000);
    run(5, 9.6e6, 0);
    law_set_terms(&law, &(struct law_terms){.ceiling_bps = 5000000}, now);
    run(1, 9.6e6, 0);
    struct law_verdict v = {0};
    for (unsigned i = 0; i <= 8 && v.state != LAW_YIELD; i++) {
        law_on_stamp(&law, &(struct law_stamp){.retransmitted = i}, now);
        v = run(0.1, 9.6e6, 0);
    }
    assert_int_equal(v.state, LAW_YIELD);
}

/* Somebody reads a page: half a second of queue, then two of nothing; the line as they left
 * it. */
static struct law_verdict read_pages(unsigned pages)
{
    struct law_verdict v = {0};
    for (unsigned i = 0; i < pages; i++) {
        law_on_forfeit(&law, law_outstanding(&law), now); /* each run() is another link */
        run(0.5, 3e6, 25);
        law_on_forfeit(&law, law_outstanding(&law), now);
        v = run(2, 9.6e6, 0);
    }
    return v;
}

static void who_comes_and_goes_is_met_with_a_part_of_the_line(void **state)
{
    (void)state;
    begin(10000000);
    run(3, 9.6e6, 0);
    const double first_hold_s = law_hold_s(&law), capacity_bps = law.capacity_bps;
    struct law_verdict v = read_pages(4);
    assert_int_equal(v.state, LAW_CAPPED);
    assert_string_equal(law_reason_name(v.reason), "company");
    assert_true((double)v.rate_bps <= 0.45 * capacity_bps);
    assert_true(law_hold_s(&law) < first_hold_s || first_hold_s <= 0);
    assert_true(law.capacity_bps > 0.9 * capacity_bps); /* a part says nothing of the whole */
    v = run(6, 9.6e6, 0);
    assert_true((double)v.rate_bps > 0.85 * capacity_bps);
}

static void a_ceiling_below_the_part_is_told_as_the_ceiling(void **state)
{
    (void)state;
    begin(10000000);
    run(3, 9.6e6, 0);
    law_set_terms(&law, &(struct law_terms){.ceiling_bps = 1000000}, now);
    struct law_verdict v = read_pages(4);
    assert_true(v.rate_bps <= 1000000);
    assert_string_not_equal(law_reason_name(v.reason), "company");
}

static void a_download_that_lasts_is_no_coming_and_going(void **state)
{
    (void)state;
    begin(10000000);
    run(3, 9.6e6, 0);
    run(8, 3e6, 25);
    assert_false(law.company);
    struct law_verdict v = run(4, 9.6e6, 0);
    assert_true((double)v.rate_bps > 0.8 * law.capacity_bps);
}

static void a_busy_moment_before_the_first_byte_made_a_line_noisy_for_ever(void **state)
{
    (void)state;
    begin(10000000);
    run(3, 9.6e6, 0);
    law.delay.noise_s = 0.006; /* as some late probes at the start would have it */
    read_pages(24);
    assert_true(law_noise_s(&law) < 0.001);
}

/* The window goes by C: it lets through as much, and C is raised by what comes. */
static void a_capacity_taken_too_low_at_the_start_was_kept_by_its_window(void **state)
{
    (void)state;
    begin(320000);
    run(40, 480e3, 0);
    assert_true(law.capacity_bps > 440e3);
}

/* A router that queues by flow gives us half and shows no queue to anybody. */
static void where_each_flow_has_its_own_queue_half_of_the_line_was_kept(void **state)
{
    (void)state;
    begin(10000000);
    run(6, 9.6e6, 0);
    const uint64_t before = law.flow.delivered;
    run(20, 4.8e6, 0);
    assert_true((double)(law.flow.delivered - before) * 8 < 0.15 * 20 * 9.6e6);
    assert_true(law.capacity_bps > 0.8 * 9.6e6); /* theirs is no loss of capacity */
}

/* Its own queue is all that ends it, so the start looks at what comes. */
static void a_start_that_no_queue_shows_overflowed_the_line(void **state)
{
    (void)state;
    begin(0);
    struct law_verdict v = run(0.1, 9.6e6, 0);
    unsigned above = 0;
    for (unsigned i = 0; i < 40 && v.state == LAW_START; i++) {
        v = run(0.05, 9.6e6, 0);
        above += v.rate_bps > 16000000;
    }
    assert_int_equal(v.state, LAW_CRUISE);
    assert_true(above <= 6);
    assert_true(law.capacity_bps < 1.05 * 9.6e6);
}

/* A policer lets through what its bucket holds, at any rate, and nobody queues: then it drops. */
static void what_a_bucket_held_at_the_start_was_taken_for_the_line(void **state)
{
    (void)state;
    begin(0);
    struct law_verdict v = run(0.1, 1e9, 0);
    while (v.rate_bps < 20000000)
        v = run(0.05, 1e9, 0);
    run(0.2, 20e6, 0);
    uint64_t again = 0;
    for (unsigned i = 0; i < 80; i++) {
        again += v.rate_bps > 9600000 ? 5 : 0;
        v = run(0.05, 9.6e6, 0);
        law_on_stamp(&law, &(struct law_stamp){.retransmitted = again}, now);
    }
    assert_true(law.capacity_bps < 1.2 * 9.6e6);
    assert_true(law_losses_are_ours(&law));
}

static void a_burst_of_losses_says_no_more_of_a_line_than_one(void **state)
{
    (void)state;
    begin(10000000);
    run(1, 9.6e6, 0);
    law_set_terms(&law, &(struct law_terms){.ceiling_bps = 5000000}, now);
    run(0.6, 9.6e6, 0);
    law_on_stamp(&law, &(struct law_stamp){.retransmitted = 0}, now);
    law_on_stamp(&law, &(struct law_stamp){.retransmitted = 20}, now);
    run(0.2, 9.6e6, 0);
    assert_int_equal(law.flow.while_count, 0);
    for (unsigned i = 1; i <= 3; i++) {
        law_on_stamp(&law, &(struct law_stamp){.retransmitted = 20 + i}, now);
        run(0.2, 9.6e6, 0);
    }
    assert_int_equal(law.flow.while_count, 1);
}

static void every_word_is_there(void **state)
{
    (void)state;
    for (int r = 0; r <= LAW_BECAUSE_RESUMED; r++) {
        assert_string_not_equal(law_reason_name((enum law_reason)r), "?");
        for (int s = 0; s <= LAW_OFF; s++) {
            struct law_verdict v = {.state = (enum law_state)s, .reason = (enum law_reason)r};
            v.capacity_bps = r % 2 == 0 ? 9600000 : 0;
            char text[LAW_TEXT_SIZE];
            law_reason_text(&v, text, sizeof(text));
            assert_non_null(strstr(text, law_state_name((enum law_state)s)));
        }
    }
}

static void every_constant_can_be_printed(void **state)
{
    (void)state;
    struct law_constant row;
    size_t count = 0;
    for (; law_constant_at(&law_constants_default, count, &row); count++) {
        assert_true(strlen(row.name) > 2);
        assert_true(row.value > 0);
    }
    assert_true(count * sizeof(double) == sizeof(struct law_constants));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_link_is_climbed),
        cmocka_unit_test(a_rule_that_allows_less_queue_makes_way_for_less),
        cmocka_unit_test(policy_off_grants_nothing_and_comes_back),
        cmocka_unit_test(a_ceiling_holds_from_the_next_verdict_on),
        cmocka_unit_test(
            a_queue_of_others_while_nothing_was_asked_for_left_a_capacity_of_nearly_nothing),
        cmocka_unit_test(a_percentage_is_of_the_measured_capacity),
        cmocka_unit_test(a_share_of_the_capacity_shrank_with_each_yield),
        cmocka_unit_test(a_return_to_a_low_ceiling_was_never_worth_it),
        cmocka_unit_test(a_ceiling_below_one_packet_a_second_is_obeyed),
        cmocka_unit_test(insisting_gives_way_to_nobody),
        cmocka_unit_test(a_foreign_queue_is_given_way_to_within_half_a_second),
        cmocka_unit_test(a_single_late_probe_costs_little),
        cmocka_unit_test(one_late_probe_is_not_counted_again_at_the_next_tick),
        cmocka_unit_test(probes_that_stood_in_one_stall_are_one_sign),
        cmocka_unit_test(three_late_probes_one_after_another_are_somebody),
        cmocka_unit_test(a_capacity_that_never_comes_is_believed_no_longer),
        cmocka_unit_test(a_floor_is_kept),
        cmocka_unit_test(probes_that_vanish_are_a_full_link),
        cmocka_unit_test(a_longer_route_is_no_queue_for_ever),
        cmocka_unit_test(who_slept_begins_carefully),
        cmocka_unit_test(another_path_is_learned_anew),
        cmocka_unit_test(a_slow_sender_is_no_neighbour),
        cmocka_unit_test(more_than_granted_and_less_than_before_do_no_harm),
        cmocka_unit_test(a_delay_that_no_two_clocks_can_have_is_not_believed),
        cmocka_unit_test(a_number_that_another_connection_had_brings_no_losses),
        cmocka_unit_test(an_upload_that_filled_the_way_back_left_a_window_too_small_for_the_line),
        cmocka_unit_test(a_bunch_of_credit_out_of_a_full_way_back_is_no_neighbour),
        cmocka_unit_test(losses_by_chance_took_the_capacity_down_step_by_step),
        cmocka_unit_test(what_losses_mean_is_asked_below_the_capacity),
        cmocka_unit_test(who_is_told_nothing_of_others_takes_a_safe_part),
        cmocka_unit_test(under_a_low_ceiling_it_recovered_for_ever),
        cmocka_unit_test(losses_on_a_good_line_that_we_do_not_push_are_given_way_to),
        cmocka_unit_test(who_comes_and_goes_is_met_with_a_part_of_the_line),
        cmocka_unit_test(a_ceiling_below_the_part_is_told_as_the_ceiling),
        cmocka_unit_test(a_download_that_lasts_is_no_coming_and_going),
        cmocka_unit_test(a_busy_moment_before_the_first_byte_made_a_line_noisy_for_ever),
        cmocka_unit_test(a_capacity_taken_too_low_at_the_start_was_kept_by_its_window),
        cmocka_unit_test(where_each_flow_has_its_own_queue_half_of_the_line_was_kept),
        cmocka_unit_test(a_start_that_no_queue_shows_overflowed_the_line),
        cmocka_unit_test(what_a_bucket_held_at_the_start_was_taken_for_the_line),
        cmocka_unit_test(a_burst_of_losses_says_no_more_of_a_line_than_one),
        cmocka_unit_test(every_word_is_there),
        cmocka_unit_test(every_constant_can_be_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
