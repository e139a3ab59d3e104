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

#define POOL_SLOTS 4096

static const struct link_params TEN_MBIT = {
    .rate_bits = 10000000, .limit_ns = 100 * MS, .air = {.delay_ns = 20 * MS}};

/* One link at a time; half a megabyte each does not belong on the stack. */
static struct packet_pool pool;
static struct link link;

static int pool_set_up(void **state)
{
    (void)state;
    struct emu_error err;
    return packet_pool_init(&pool, POOL_SLOTS, &err) ? 0 : -1;
}

static int pool_tear_down(void **state)
{
    (void)state;
    packet_pool_release(&pool);
    return 0;
}

static void link_make(const struct link_params *params, uint64_t seed)
{
    packet_pool_release(&pool);
    assert_int_equal(pool_set_up(NULL), 0);
    link_init(&link, &pool, params, seed, seed, T0);
}

static enum link_verdict offer(uint32_t bytes, uint64_t now_ns)
{
    uint32_t slot = packet_pool_take(&pool);
    assert_int_not_equal(slot, PACKET_NONE);
    packet_pool_at(&pool, slot)->bytes = bytes;
    packet_pool_at(&pool, slot)->data[0] = 0; /* no IPv4 */
    return link_offer(&link, slot, now_ns);
}

static void pass(uint32_t bytes, uint64_t now_ns)
{
    assert_int_equal(offer(bytes, now_ns), LINK_PASS);
}

/* When the next packet arrives, for a caller who comes exactly when the link says; that it may
 * ask to come earlier is part of the bargain. */
static uint64_t arrival(void)
{
    for (;;) {
        uint64_t due_ns = link_due_ns(&link);
        if (due_ns == LINK_IDLE)
            return LINK_IDLE;
        link_advance(&link, due_ns);
        uint32_t slot = link_take(&link, due_ns);
        if (slot == PACKET_NONE)
            continue;
        assert_int_equal(packet_pool_at(&pool, slot)->due_ns, due_ns);
        packet_pool_give(&pool, slot);
        return due_ns;
    }
}

static void an_idle_link_takes_the_packets_time_and_the_delay(void **state)
{
    (void)state;
    link_make(&TEN_MBIT, 1);
    pass(1250, T0);
    assert_int_equal(arrival(), T0 + 21 * MS);
    assert_int_equal(arrival(), LINK_IDLE);
}

static void packets_that_come_together_leave_one_after_another(void **state)
{
    (void)state;
    link_make(&TEN_MBIT, 1);
    for (unsigned i = 1; i <= 50; i++)
        pass(1250, T0);
    for (unsigned i = 1; i <= 50; i++)
        assert_int_equal(arrival(), T0 + (20 + i) * MS);
}

static void a_caller_who_comes_late_changes_no_arrival(void **state)
{
    (void)state;
    link_make(&TEN_MBIT, 1);
    for (unsigned i = 1; i <= 50; i++)
        pass(1250, T0);
    link_advance(&link, T0 + 1 * S);
    for (unsigned i = 1; i <= 50; i++) {
        uint32_t slot = link_take(&link, T0 + 1 * S);
        assert_int_equal(packet_pool_at(&pool, slot)->due_ns, T0 + (20 + i) * MS);
    }
}

static void a_rate_that_does_not_divide_is_exact_over_many_packets(void **state)
{
    (void)state;
    struct link_params params = {.rate_bits = 999999937, .limit_ns = 10 * (uint64_t)S};
    link_make(&params, 1);
    uint64_t count = 1000000, last = 0;
    for (uint64_t i = 0; i < count; i++) {
        pass(64, T0 + i * 100); /* faster than they leave */
        if (i >= 1000)
            last = arrival();
    }
    for (uint64_t next; (next = arrival()) != LINK_IDLE;)
        last = next;
    assert_int_equal(last, T0 + count * 64 * 8 * S / params.rate_bits);
}

static void a_full_queue_drops_the_newcomer_and_recovers(void **state)
{
    (void)state;
    link_make(&TEN_MBIT, 1);
    for (int i = 0; i < 100; i++)
        pass(1250, T0);
    assert_int_equal(offer(1250, T0), LINK_FULL);
    assert_int_equal(link.counts.full, 1);
    pass(1250, T0 + 1 * MS);
}

static void a_queue_in_bytes_holds_those_bytes(void **state)
{
    (void)state;
    struct link_params params = {.rate_bits = 1000000, .limit_bytes = 5000};
    link_make(&params, 1);
    for (int i = 0; i < 5; i++)
        pass(1000, T0);
    assert_int_equal(offer(1000, T0), LINK_FULL);
    assert_int_equal(link_backlog(&link, T0).bytes, 5000);
    assert_int_equal(link_backlog(&link, T0).ns, 40 * MS);
    link_advance(&link, T0 + 4 * MS);
    assert_int_equal(link_backlog(&link, T0 + 4 * MS).bytes, 4500); /* half of one is on its way */
}

static void a_queue_in_packets_holds_those_whatever_their_size(void **state)
{
    (void)state;
    struct link_params params = {.rate_bits = 1000000, .limit_packets = 5};
    link_make(&params, 1);
    for (int i = 0; i < 5; i++)
        pass(i % 2 == 0 ? 40 : 1500, T0);
    assert_int_equal(offer(40, T0), LINK_FULL);
}

static void a_packet_larger_than_the_queue_passes_an_idle_link(void **state)
{
    (void)state;
    struct link_params params = {.rate_bits = 1000000, .limit_bytes = 100};
    link_make(&params, 1);
    pass(1500, T0);
    pass(1500, T0 + 12 * MS);
}

static void a_link_that_is_down_loses_everything(void **state)
{
    (void)state;
    struct link_params params = TEN_MBIT;
    params.down = true;
    link_make(&params, 1);
    assert_int_equal(offer(100, T0), LINK_CUT);
}

static void coming_up_again_finds_an_empty_queue_and_every_slot_free(void **state)
{
    (void)state;
    struct link_params down = TEN_MBIT;
    down.down = true;
    link_make(&TEN_MBIT, 1);
    for (int i = 0; i < 100; i++)
        pass(1250, T0);
    link_change(&link, &down, T0 + 5 * MS); /* five in the air, one on the line */
    assert_int_equal(link.counts.cut, 100);
    assert_int_equal(pool.spares, POOL_SLOTS);
    link_change(&link, &TEN_MBIT, T0 + 6 * MS);
    pass(1250, T0 + 6 * MS);
    assert_int_equal(arrival(), T0 + 27 * MS);
}

static unsigned lost_of(unsigned count)
{
    unsigned lost = 0;
    for (unsigned i = 0; i < count; i++) {
        lost += offer(100, T0 + i * MS) == LINK_LOST;
        while (arrival() != LINK_IDLE) {
        }
    }
    return lost;
}

static void loss_has_its_share_and_follows_the_seed(void **state)
{
    (void)state;
    struct link_params params = TEN_MBIT;
    params.loss.good = 0.05;
    params.air.delay_ns = 0;
    link_make(&params, 7);
    unsigned lost = lost_of(100000);
    assert_in_range(lost, 4700, 5300); /* 4 sigma are 276 */
    link_make(&params, 7);
    assert_int_equal(lost_of(100000), lost);
}

static void half_the_rate_doubles_what_was_left_to_wait(void **state)
{
    (void)state;
    struct link_params slow = TEN_MBIT;
    slow.rate_bits /= 2;
    link_make(&TEN_MBIT, 1);
    pass(1250, T0);
    pass(12500, T0);
    link_change(&link, &slow, T0 + 3 * MS);
    pass(1250, T0 + 4 * MS);
    assert_int_equal(arrival(), T0 + 21 * MS); /* had left already */
    assert_int_equal(arrival(), T0 + 39 * MS); /* 8 of its 10 ms were left */
    assert_int_equal(arrival(), T0 + 41 * MS);
}

static void a_shorter_delay_never_reorders(void **state)
{
    (void)state;
    struct link_params near = TEN_MBIT;
    near.air.delay_ns = 0;
    link_make(&TEN_MBIT, 1);
    pass(1250, T0);
    link_change(&link, &near, T0 + 5 * MS);
    pass(125, T0 + 5 * MS);
    assert_int_equal(arrival(), T0 + 21 * MS);
    assert_int_equal(arrival(), T0 + 21 * MS);
}

static void a_pause_holds_the_line_and_loses_nothing(void **state)
{
    (void)state;
    link_make(&TEN_MBIT, 1);
    pass(1250, T0);
    pass(1250, T0);
    link_pause(&link, 50 * MS, T0 + 500000);                        /* half of the first is out */
    assert_int_equal(link_backlog(&link, T0 + 500000).bytes, 2500); /* bytes do not wait longer */
    assert_int_equal(arrival(), T0 + 71 * MS);
    assert_int_equal(arrival(), T0 + 72 * MS);
}

static void a_pause_of_an_idle_line_holds_who_comes_then(void **state)
{
    (void)state;
    link_make(&TEN_MBIT, 1);
    link_pause(&link, 50 * MS, T0);
    pass(1250, T0 + 10 * MS);
    assert_int_equal(arrival(), T0 + 71 * MS);
}

static void a_policer_lets_its_burst_and_its_rate_pass_and_holds_nothing(void **state)
{
    (void)state;
    struct link_params params = {.rate_bits = 1000000000, .limit_ns = 100 * MS};
    params.policer = (struct policer_params){.rate_bits = 8000000, .burst_bytes = 10000};
    link_make(&params, 1);
    unsigned passed = 0;
    for (unsigned i = 0; i < 10000; i++) { /* 80 Mbit/s for a second */
        uint64_t now_ns = T0 + i * (uint64_t)(S / 10000);
        if (offer(1000, now_ns) != LINK_PASS)
            continue;
        passed++;
        assert_int_equal(arrival(), now_ns + 8000);
    }
    assert_in_range(passed, 1000 + 9, 1000 + 10);
    assert_int_equal(link.counts.policed, 10000 - passed);
}

static void changing_the_kind_of_queue_keeps_what_waits(void **state)
{
    (void)state;
    struct link_params fair = TEN_MBIT;
    fair.queue.fair = true;
    link_make(&TEN_MBIT, 1);
    for (int i = 0; i < 20; i++)
        pass(1250, T0);
    link_change(&link, &fair, T0 + 500000);
    for (unsigned i = 1; i <= 10; i++)
        assert_int_equal(arrival(), T0 + (20 + i) * MS);
    link_change(&link, &TEN_MBIT, T0 + 30 * MS + 500000);
    for (unsigned i = 11; i <= 20; i++)
        assert_int_equal(arrival(), T0 + (20 + i) * MS);
    assert_int_equal(pool.spares, POOL_SLOTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_link_takes_the_packets_time_and_the_delay),
        cmocka_unit_test(packets_that_come_together_leave_one_after_another),
        cmocka_unit_test(a_caller_who_comes_late_changes_no_arrival),
        cmocka_unit_test(a_rate_that_does_not_divide_is_exact_over_many_packets),
        cmocka_unit_test(a_full_queue_drops_the_newcomer_and_recovers),
        cmocka_unit_test(a_queue_in_bytes_holds_those_bytes),
        cmocka_unit_test(a_queue_in_packets_holds_those_whatever_their_size),
        cmocka_unit_test(a_packet_larger_than_the_queue_passes_an_idle_link),
        cmocka_unit_test(a_link_that_is_down_loses_everything),
        cmocka_unit_test(coming_up_again_finds_an_empty_queue_and_every_slot_free),
        cmocka_unit_test(loss_has_its_share_and_follows_the_seed),
        cmocka_unit_test(half_the_rate_doubles_what_was_left_to_wait),
        cmocka_unit_test(a_shorter_delay_never_reorders),
        cmocka_unit_test(a_pause_holds_the_line_and_loses_nothing),
        cmocka_unit_test(a_pause_of_an_idle_line_holds_who_comes_then),
        cmocka_unit_test(a_policer_lets_its_burst_and_its_rate_pass_and_holds_nothing),
        cmocka_unit_test(changing_the_kind_of_queue_keeps_what_waits),
    };
    return cmocka_run_group_tests(tests, pool_set_up, pool_tear_down);
}
