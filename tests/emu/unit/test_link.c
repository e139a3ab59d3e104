/* SPDX-License-Identifier: Apache-2.0 */
/* emu/unit/test_link.c – the laws of the virtual queue, without an interface or a clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emu/link.h"

#define MS 1000000u
#define S 1000000000u
#define T0 (5 * (uint64_t)S) /* an arbitrary now */

static const struct link_params TEN_MBIT = {
    .rate_bits = 10000000, .delay_ns = 20 * MS, .queue_ns = 100 * MS};

static struct link_times pass(struct link *link, uint32_t bytes, uint64_t now_ns)
{
    struct link_times times = {0};
    assert_int_equal(link_offer(link, bytes, now_ns, &times), LINK_PASS);
    return times;
}

static void an_idle_link_takes_the_packets_time_and_the_delay(void **state)
{
    (void)state;
    struct link link;
    link_init(&link, &TEN_MBIT, 1);
    struct link_times times = pass(&link, 1250, T0);
    assert_int_equal(times.depart_ns, T0 + 1 * MS);
    assert_int_equal(times.due_ns, T0 + 21 * MS);
}

static void packets_that_come_together_leave_one_after_another(void **state)
{
    (void)state;
    struct link link;
    link_init(&link, &TEN_MBIT, 1);
    for (unsigned i = 1; i <= 50; i++)
        assert_int_equal(pass(&link, 1250, T0).depart_ns, T0 + i * MS);
}

static void a_rate_that_does_not_divide_is_exact_over_many_packets(void **state)
{
    (void)state;
    struct link_params params = {.rate_bits = 999999937, .queue_ns = 10 * (uint64_t)S};
    struct link link;
    link_init(&link, &params, 1);
    uint64_t count = 1000000;
    struct link_times last = {0};
    for (uint64_t i = 0; i < count; i++)
        last = pass(&link, 64, T0);
    assert_int_equal(last.depart_ns, T0 + count * 64 * 8 * S / params.rate_bits);
}

static void a_full_queue_drops_the_newcomer_and_recovers(void **state)
{
    (void)state;
    struct link link;
    struct link_times times = {7, 7};
    link_init(&link, &TEN_MBIT, 1);
    for (int i = 0; i < 100; i++)
        (void)pass(&link, 1250, T0);
    assert_int_equal(link_offer(&link, 1250, T0, &times), LINK_FULL);
    assert_int_equal(times.due_ns, 7); /* written only on success */
    (void)pass(&link, 1250, T0 + 1 * MS);
}

static void a_queue_in_bytes_holds_those_bytes(void **state)
{
    (void)state;
    struct link_params params = {.rate_bits = 1000000, .queue_bytes = 5000};
    struct link link;
    struct link_times times;
    link_init(&link, &params, 1);
    for (int i = 0; i < 5; i++)
        (void)pass(&link, 1000, T0);
    assert_int_equal(link_offer(&link, 1000, T0, &times), LINK_FULL);
}

static void a_packet_larger_than_the_queue_passes_an_idle_link(void **state)
{
    (void)state;
    struct link_params params = {.rate_bits = 1000000, .queue_bytes = 100};
    struct link link;
    link_init(&link, &params, 1);
    (void)pass(&link, 1500, T0);
    (void)pass(&link, 1500, T0 + 12 * MS);
}

static void a_link_that_is_down_loses_everything(void **state)
{
    (void)state;
    struct link_params params = TEN_MBIT;
    struct link link;
    struct link_times times;
    params.down = true;
    link_init(&link, &params, 1);
    assert_int_equal(link_offer(&link, 100, T0, &times), LINK_CUT);
}

static void coming_up_again_finds_an_empty_queue(void **state)
{
    (void)state;
    struct link_params down = TEN_MBIT;
    struct link link;
    down.down = true;
    link_init(&link, &TEN_MBIT, 1);
    for (int i = 0; i < 100; i++)
        (void)pass(&link, 1250, T0);
    (void)link_change(&link, &down, T0 + 1 * MS);
    (void)link_change(&link, &TEN_MBIT, T0 + 2 * MS);
    assert_int_equal(pass(&link, 1250, T0 + 2 * MS).depart_ns, T0 + 3 * MS);
}

static unsigned lost_of(struct link *link, unsigned count)
{
    unsigned lost = 0;
    struct link_times times;
    for (unsigned i = 0; i < count; i++)
        lost += link_offer(link, 100, T0 + i * MS, &times) == LINK_LOST;
    return lost;
}

static void loss_has_its_share_and_follows_the_seed(void **state)
{
    (void)state;
    struct link_params params = TEN_MBIT;
    struct link one, two;
    params.loss = 0.05;
    link_init(&one, &params, 7);
    link_init(&two, &params, 7);
    unsigned lost = lost_of(&one, 100000);
    assert_in_range(lost, 4700, 5300); /* 4 sigma are 276 */
    assert_int_equal(lost_of(&two, 100000), lost);
}

static void half_the_rate_doubles_what_was_left_to_wait(void **state)
{
    (void)state;
    struct link_params slow = TEN_MBIT;
    struct link link;
    slow.rate_bits /= 2;
    link_init(&link, &TEN_MBIT, 1);
    struct link_times first = pass(&link, 1250, T0);
    struct link_times second = pass(&link, 12500, T0);
    struct link_change change = link_change(&link, &slow, T0 + 3 * MS);
    link_retime(&link, &change, &first);
    link_retime(&link, &change, &second);
    assert_int_equal(first.due_ns, T0 + 21 * MS); /* had left already */
    assert_int_equal(second.depart_ns, T0 + 19 * MS);
    assert_int_equal(second.due_ns, T0 + 39 * MS);
    assert_int_equal(pass(&link, 1250, T0 + 4 * MS).depart_ns, T0 + 21 * MS);
}

static void a_shorter_delay_never_reorders(void **state)
{
    (void)state;
    struct link_params near = TEN_MBIT;
    struct link link;
    near.delay_ns = 0;
    link_init(&link, &TEN_MBIT, 1);
    struct link_times first = pass(&link, 1250, T0);
    struct link_change change = link_change(&link, &near, T0 + 5 * MS);
    link_retime(&link, &change, &first);
    struct link_times second = pass(&link, 125, T0 + 5 * MS);
    assert_int_equal(first.due_ns, T0 + 21 * MS);
    assert_int_equal(second.due_ns, first.due_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_link_takes_the_packets_time_and_the_delay),
        cmocka_unit_test(packets_that_come_together_leave_one_after_another),
        cmocka_unit_test(a_rate_that_does_not_divide_is_exact_over_many_packets),
        cmocka_unit_test(a_full_queue_drops_the_newcomer_and_recovers),
        cmocka_unit_test(a_queue_in_bytes_holds_those_bytes),
        cmocka_unit_test(a_packet_larger_than_the_queue_passes_an_idle_link),
        cmocka_unit_test(a_link_that_is_down_loses_everything),
        cmocka_unit_test(coming_up_again_finds_an_empty_queue),
        cmocka_unit_test(loss_has_its_share_and_follows_the_seed),
        cmocka_unit_test(half_the_rate_doubles_what_was_left_to_wait),
        cmocka_unit_test(a_shorter_delay_never_reorders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
