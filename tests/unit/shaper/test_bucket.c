/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/shaper/test_bucket.c – one rate limit: what passes, when, and after changes. */
#include "shaper/bucket.h"

#include "base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { BURST = 3000, PACKET = 1400 };
#define START (UINT64_C(77) * NS_PER_S)
#define MEGABIT UINT64_C(1000000)

/* Takes all it may, every `step_ns`; returns the bytes. */
static uint64_t drain(struct bucket *b, uint64_t from_ns, uint64_t for_ns, uint64_t step_ns)
{
    uint64_t bytes = 0;

    for (uint64_t now_ns = from_ns; now_ns <= from_ns + for_ns; now_ns += step_ns) {
        uint64_t room = bucket_room(b, UINT64_MAX, now_ns);
        bucket_charge(b, room, now_ns);
        bytes += room;
    }
    return bytes;
}

static void a_new_bucket_lets_its_burst_pass_and_no_byte_more(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 8 * MEGABIT, BURST);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START), BURST);
    bucket_charge(&b, BURST, START);
    assert_int_equal(bucket_room(&b, 1, START), 0);
    assert_int_equal(bucket_room(&b, 1, START + 999), 0);
    assert_int_equal(bucket_room(&b, 1, START + 1000), 1); /* 1 µs a byte */
}

static void a_second_gives_exactly_the_rate_in_whatever_steps(void **state)
{
    static const uint64_t rates[] = {64000, 1000001, 10 * MEGABIT, 999999937, 10000 * MEGABIT};
    static const uint64_t steps[] = {1, 7, 997, 1000003};

    (void)state;
    for (unsigned r = 0; r < sizeof rates / sizeof rates[0]; r++) {
        for (unsigned s = 0; s < sizeof steps / sizeof steps[0]; s++) {
            struct bucket b;
            uint64_t for_ns = steps[s] * 1000;
            bucket_init(&b, rates[r], UINT32_C(1) << 30);
            bucket_charge(&b, UINT32_C(1) << 30, START);
            uint64_t most = for_ns * (rates[r] / 8.0) / NS_PER_S + 1e-6;
            uint64_t got = drain(&b, START, for_ns, steps[s]);
            assert_true(got <= most && got + 1 >= most);
        }
    }
}

static void the_time_it_names_is_the_first_at_which_so_much_passes(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 3 * MEGABIT, BURST);
    assert_int_equal(bucket_eligible_ns(&b, PACKET), 0);
    bucket_charge(&b, 2 * BURST, START);
    uint64_t at_ns = bucket_eligible_ns(&b, PACKET);
    assert_int_equal(bucket_room(&b, PACKET, at_ns), PACKET);
    assert_true(bucket_room(&b, PACKET, at_ns - 1) < PACKET);
    /* more than the burst: when the burst may pass */
    assert_int_equal(bucket_eligible_ns(&b, 10 * BURST), bucket_eligible_ns(&b, BURST));
}

static void below_one_packet_in_a_second_a_packet_passes_in_its_time(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 800, BURST); /* 100 bytes in a second */
    bucket_charge(&b, BURST, START);
    assert_int_equal(bucket_eligible_ns(&b, PACKET), START + 14 * NS_PER_S);
    bucket_init(&b, 1, BURST);
    bucket_charge(&b, BURST, START);
    assert_int_equal(bucket_eligible_ns(&b, 1), START + 8 * NS_PER_S);
}

static void rate_0_lets_nothing_pass_for_ever_and_unlimited_all(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 0, BURST);
    assert_int_equal(bucket_room(&b, 1, UINT64_MAX), 0);
    assert_true(bucket_eligible_ns(&b, 1) == BUCKET_NEVER);
    bucket_init(&b, BUCKET_UNLIMITED, BURST);
    bucket_charge(&b, UINT64_MAX, START);
    assert_true(bucket_room(&b, UINT64_MAX, START) == UINT64_MAX);
    assert_int_equal(bucket_eligible_ns(&b, UINT64_MAX), 0);
    bucket_refund(&b, 5, START);
    assert_true(bucket_room(&b, UINT64_MAX, START) == UINT64_MAX);
}

static void after_a_suspend_of_a_day_there_is_one_burst_and_no_more(void **state)
{
    struct bucket b;
    uint64_t later_ns = START + UINT64_C(86400) * NS_PER_S;

    (void)state;
    bucket_init(&b, 100 * MEGABIT, BURST);
    bucket_charge(&b, BURST, START);
    assert_int_equal(bucket_room(&b, UINT64_MAX, later_ns), BURST);
    bucket_charge(&b, BURST, later_ns);
    assert_int_equal(bucket_room(&b, UINT64_MAX, later_ns), 0);
}

static void a_clock_that_steps_back_never_lets_more_pass(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 8 * MEGABIT, BURST);
    bucket_charge(&b, BURST, START);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START - NS_PER_S), 0);
    assert_int_equal(bucket_room(&b, UINT64_MAX, 0), 0);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START + 3000000), BURST);
}

static void another_rate_keeps_what_may_pass_and_what_is_owed(void **state)
{
    static const uint64_t rates[] = {1, 800, 64000, MEGABIT, 10000 * MEGABIT, 0, 10 * MEGABIT};
    struct bucket b;

    (void)state;
    bucket_init(&b, 8 * MEGABIT, BURST);
    bucket_charge(&b, 1000, START);
    for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        bucket_set(&b, rates[i], BURST, START);
        uint64_t expected = rates[i] == 0 ? 0 : 2000;
        uint64_t room = bucket_room(&b, UINT64_MAX, START);
        assert_true(room <= expected && room + 1 >= expected);
    }
    bucket_charge(&b, 10000, START); /* 8,000 owed */
    bucket_set(&b, 8000, BURST, START);
    uint64_t free_ns = bucket_eligible_ns(&b, 1);
    assert_true(free_ns >= START + 8 * NS_PER_S);
    assert_true(free_ns <= START + 8 * NS_PER_S + 3 * NS_PER_MS);
}

static void a_rate_that_was_0_comes_back_without_a_burst(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 8 * MEGABIT, BURST);
    bucket_charge(&b, BURST, START);
    bucket_set(&b, 0, BURST, START);
    bucket_set(&b, 8 * MEGABIT, BURST, START + 3600 * NS_PER_S);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START + 3600 * NS_PER_S), 0);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START + 3600 * NS_PER_S + 1000), 1);
    /* and what passed meanwhile, asked for or not, is owed */
    bucket_set(&b, 0, BURST, START + 3600 * NS_PER_S + 1000);
    bucket_charge(&b, 500, START);
    bucket_refund(&b, 100, START);
    bucket_set(&b, 8 * MEGABIT, BURST, START + 4000 * NS_PER_S);
    assert_int_equal(bucket_room(&b, 1, START + 4000 * NS_PER_S + 399000), 0);
    assert_int_equal(bucket_room(&b, 1, START + 4000 * NS_PER_S + 402000), 1);
}

static void a_limit_where_there_was_none_begins_empty(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, BUCKET_UNLIMITED, BURST);
    bucket_set(&b, 8 * MEGABIT, BURST, START);
    assert_int_equal(bucket_room(&b, 1, START), 0);
    bucket_set(&b, BUCKET_UNLIMITED, BURST, START);
    assert_int_equal(bucket_room(&b, 5000, START), 5000);
}

static void a_larger_burst_is_not_filled_at_once_and_a_smaller_one_holds_less(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 8 * MEGABIT, BURST);
    bucket_set(&b, 8 * MEGABIT, 10 * BURST, START);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START), BURST);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START + NS_PER_S), 10 * BURST);
    bucket_set(&b, 8 * MEGABIT, 2000, START + NS_PER_S);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START + NS_PER_S), 2000);
}

static void what_is_given_back_may_pass_again_but_fills_nothing_over(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 8 * MEGABIT, BURST);
    bucket_charge(&b, BURST, START);
    bucket_refund(&b, 1000, START);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START), 1000);
    bucket_refund(&b, UINT64_MAX, START);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START), BURST);
    bucket_refund(&b, 1000, START + NS_PER_S); /* full long since */
    assert_int_equal(bucket_room(&b, UINT64_MAX, START + NS_PER_S), BURST);
}

static void absurd_numbers_end_in_a_wait_and_not_in_an_overflow(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 1, 1 << 30);
    bucket_charge(&b, UINT64_MAX, START);
    bucket_charge(&b, UINT64_MAX, START);
    assert_int_equal(bucket_room(&b, UINT64_MAX, START), 0);
    bucket_set(&b, 0, 1 << 30, START);
    bucket_charge(&b, UINT64_MAX, START);
    bucket_set(&b, UINT64_MAX - 1, 1 << 30, START);
    assert_int_equal(bucket_room(&b, 1, START), 0);
    assert_true(bucket_eligible_ns(&b, 1) < START + NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_bucket_lets_its_burst_pass_and_no_byte_more),
        cmocka_unit_test(a_second_gives_exactly_the_rate_in_whatever_steps),
        cmocka_unit_test(the_time_it_names_is_the_first_at_which_so_much_passes),
        cmocka_unit_test(below_one_packet_in_a_second_a_packet_passes_in_its_time),
        cmocka_unit_test(rate_0_lets_nothing_pass_for_ever_and_unlimited_all),
        cmocka_unit_test(after_a_suspend_of_a_day_there_is_one_burst_and_no_more),
        cmocka_unit_test(a_clock_that_steps_back_never_lets_more_pass),
        cmocka_unit_test(another_rate_keeps_what_may_pass_and_what_is_owed),
        cmocka_unit_test(a_rate_that_was_0_comes_back_without_a_burst),
        cmocka_unit_test(a_limit_where_there_was_none_begins_empty),
        cmocka_unit_test(a_larger_burst_is_not_filled_at_once_and_a_smaller_one_holds_less),
        cmocka_unit_test(what_is_given_back_may_pass_again_but_fills_nothing_over),
        cmocka_unit_test(absurd_numbers_end_in_a_wait_and_not_in_an_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
