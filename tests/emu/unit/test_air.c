/* SPDX-License-Identifier: Apache-2.0 */
/* emu/unit/test_air.c – delay, jitter and pauses of the air; order is kept unless asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emu/air.h"

#define MS 1000000u
#define S 1000000000u
#define T0 (5 * (uint64_t)S)
#define PACKETS 4000u

static struct packet_pool pool;
static struct air air, twin;

struct seen {
    uint64_t least_ns, most_ns, mean_ns; /* on the way */
    unsigned overtaken;                  /* came after a packet that was sent later */
    uint64_t due_ns[PACKETS];
};

/* Packets 1 ms apart; `bytes` carries their number. */
static void run(struct air *a, const struct air_params *params, struct seen *seen)
{
    uint32_t newest = 0;
    uint64_t sum_ns = 0;
    *seen = (struct seen){.least_ns = UINT64_MAX};
    for (uint32_t i = 0; i < PACKETS; i++) {
        uint32_t slot = packet_pool_take(&pool);
        packet_pool_at(&pool, slot)->bytes = i;
        air_launch(a, params, slot, T0 + i * (uint64_t)MS);
    }
    for (uint64_t before = 0; air_due_ns(a) != UINT64_MAX;) {
        uint64_t due_ns = air_due_ns(a);
        uint32_t slot = air_land(a);
        uint32_t number = packet_pool_at(&pool, slot)->bytes;
        uint64_t way_ns = due_ns - (T0 + number * (uint64_t)MS);
        assert_true(due_ns >= before);
        before = due_ns;
        seen->due_ns[number] = due_ns;
        seen->least_ns = way_ns < seen->least_ns ? way_ns : seen->least_ns;
        seen->most_ns = way_ns > seen->most_ns ? way_ns : seen->most_ns;
        sum_ns += way_ns;
        seen->overtaken += number < newest;
        newest = number > newest ? number : newest;
        packet_pool_give(&pool, slot);
    }
    seen->mean_ns = sum_ns / PACKETS;
}

static struct seen seen, other;

static void without_jitter_all_take_the_delay(void **state)
{
    (void)state;
    const struct air_params params = {.delay_ns = 20 * MS};
    air_init(&air, &pool, 1);
    run(&air, &params, &seen);
    assert_int_equal(seen.least_ns, 20 * MS);
    assert_int_equal(seen.most_ns, 20 * MS);
}

static void uniform_jitter_adds_up_to_its_time_and_keeps_the_order(void **state)
{
    (void)state;
    const struct air_params params = {.delay_ns = 20 * MS, .jitter_ns = 5 * MS};
    air_init(&air, &pool, 1);
    run(&air, &params, &seen);
    assert_in_range(seen.least_ns, 20 * MS, 20 * MS + MS / 2);
    assert_in_range(seen.most_ns, 24 * MS + MS / 2, 25 * MS);
    assert_int_equal(seen.overtaken, 0);
}

static void only_on_request_packets_overtake(void **state)
{
    (void)state;
    const struct air_params params = {.delay_ns = 20 * MS, .jitter_ns = 5 * MS, .reorder = true};
    air_init(&air, &pool, 1);
    run(&air, &params, &seen);
    assert_in_range(seen.overtaken, PACKETS / 5, PACKETS * 4 / 5);
    assert_in_range(seen.mean_ns, 22400000, 22600000); /* half of the jitter */
}

static void normal_jitter_is_mostly_small_and_never_negative(void **state)
{
    (void)state;
    const struct air_params params = {
        .delay_ns = 20 * MS, .jitter_ns = 5 * MS, .jitter = AIR_NORMAL, .reorder = true};
    air_init(&air, &pool, 1);
    run(&air, &params, &seen);
    assert_in_range(seen.least_ns, 20 * MS, 20100000);
    assert_in_range(seen.most_ns, 32 * MS, 40 * MS);
    assert_in_range(seen.mean_ns, 23800000, 24180000); /* sqrt(2 / pi) of 5 ms */
}

static unsigned gaps_count(const struct seen *s, uint64_t from_ns)
{
    unsigned count = 0;
    for (unsigned i = 1; i < PACKETS; i++)
        count += s->due_ns[i] - s->due_ns[i - 1] >= from_ns;
    return count;
}

static void a_radio_pauses_and_gives_all_at_once_after(void **state)
{
    (void)state;
    const struct air_params params = {.delay_ns = 2 * MS,
                                      .pause_min_ns = 20 * MS,
                                      .pause_max_ns = 100 * MS,
                                      .pause_gap_ns = 200 * MS};
    air_init(&air, &pool, 1);
    air_restart_pauses(&air, 9, T0);
    run(&air, &params, &seen);
    assert_int_equal(seen.least_ns, 2 * MS);
    assert_in_range(seen.most_ns, 60 * MS, 102 * MS);   /* no pause is longer */
    assert_in_range(gaps_count(&seen, 19 * MS), 8, 25); /* of 4 s, 260 ms each: 15 expected */
    assert_int_equal(seen.overtaken, 0);
}

static void both_directions_pause_together(void **state)
{
    (void)state;
    const struct air_params params = {
        .pause_min_ns = 20 * MS, .pause_max_ns = 100 * MS, .pause_gap_ns = 200 * MS};
    air_init(&air, &pool, 1);
    air_init(&twin, &pool, 2);
    air_restart_pauses(&air, 9, T0);
    air_restart_pauses(&twin, 9, T0);
    run(&air, &params, &seen);
    run(&twin, &params, &other);
    for (unsigned i = 0; i < PACKETS; i++)
        assert_int_equal(seen.due_ns[i], other.due_ns[i]);
}

static int pool_set_up(void **state)
{
    (void)state;
    struct emu_error err;
    return packet_pool_init(&pool, PACKETS, &err) ? 0 : -1;
}

static int pool_tear_down(void **state)
{
    (void)state;
    packet_pool_release(&pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_jitter_all_take_the_delay),
        cmocka_unit_test(uniform_jitter_adds_up_to_its_time_and_keeps_the_order),
        cmocka_unit_test(only_on_request_packets_overtake),
        cmocka_unit_test(normal_jitter_is_mostly_small_and_never_negative),
        cmocka_unit_test(a_radio_pauses_and_gives_all_at_once_after),
        cmocka_unit_test(both_directions_pause_together),
    };
    return cmocka_run_group_tests(tests, pool_set_up, pool_tear_down);
}
