/* SPDX-License-Identifier: Apache-2.0 */
/* emu/unit/test_queue.c – CoDel and fair queues on a link in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "emu/ip.h"
#include "emu/link.h"

#define MS 1000000u
#define S 1000000000u
#define T0 (5 * (uint64_t)S)
#define POOL_SLOTS 4096
#define PACKET_BYTES 1250u /* 1 ms at 10 Mbit/s */
#define ECT 2u

static struct packet_pool pool;
static struct link link;

static const struct link_params TEN_MBIT = {.rate_bits = 10000000, .limit_ns = 500 * MS};

struct seen {
    uint64_t packets[4]; /* by flow */
    uint64_t most_ns[4]; /* longest time in the queue */
    unsigned marked;
};

static void link_make(const struct link_params *params)
{
    struct emu_error err;
    packet_pool_release(&pool);
    assert_true(packet_pool_init(&pool, POOL_SLOTS, &err));
    link_init(&link, &pool, params, 1, 1, T0);
}

/* A UDP packet of flow `port`, with a right checksum. */
static void packet_make(struct packet *packet, unsigned port, uint8_t ecn, uint32_t bytes)
{
    static const uint8_t header[] = {0x45, 0, 4, 0xe2, 0,  1, 0, 0, 64, 17, 0, 0,
                                     10,   0, 0, 1,    10, 0, 0, 2, 0,  9,  0, 0};
    memcpy(packet->data, header, sizeof header);
    packet->data[1] = ecn;
    packet->data[23] = (uint8_t)port;
    uint32_t sum = 0;
    for (unsigned i = 0; i < 20; i += 2)
        sum += (uint32_t)packet->data[i] << 8 | packet->data[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    uint16_t checksum = (uint16_t) ~(sum + (sum >> 16));
    packet->data[10] = (uint8_t)(checksum >> 8);
    packet->data[11] = (uint8_t)checksum;
    packet->bytes = bytes;
}

static bool checksum_is_right(const uint8_t *data)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < 20; i += 2)
        sum += (uint32_t)data[i] << 8 | data[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    return ((sum + (sum >> 16)) & 0xffff) == 0xffff;
}

static void offer(unsigned port, uint8_t ecn, uint64_t now_ns)
{
    uint32_t slot = packet_pool_take(&pool);
    assert_int_not_equal(slot, PACKET_NONE);
    packet_make(packet_pool_at(&pool, slot), port, ecn, PACKET_BYTES);
    (void)link_offer(&link, slot, now_ns);
}

static void take_until(uint64_t now_ns, struct seen *seen)
{
    link_advance(&link, now_ns);
    for (uint32_t slot; (slot = link_take(&link, now_ns)) != PACKET_NONE;) {
        struct packet *packet = packet_pool_at(&pool, slot);
        unsigned port = packet->data[23] % 4;
        uint64_t wait_ns = packet->due_ns - packet->came_ns;
        assert_true(checksum_is_right(packet->data));
        seen->packets[port]++;
        seen->most_ns[port] = wait_ns > seen->most_ns[port] ? wait_ns : seen->most_ns[port];
        seen->marked += (packet->data[1] & 3) == 3;
        packet_pool_give(&pool, slot);
    }
}

/* For `seconds`, offer flow i every `gap_us[i]` (0: never). */
static struct seen run(const uint32_t gap_us[4], uint8_t ecn, unsigned seconds)
{
    struct seen seen = {0};
    for (uint64_t us = 0; us < seconds * (uint64_t)1000000; us += 10) {
        for (unsigned flow = 0; flow < 4; flow++)
            if (gap_us[flow] > 0 && us % gap_us[flow] == 0)
                offer(flow, ecn, T0 + us * 1000);
        take_until(T0 + us * 1000, &seen);
    }
    return seen;
}

static const uint32_t OVERLOAD[4] = {800}; /* 12.5 Mbit/s */

static void codel_leaves_a_burst_alone(void **state)
{
    (void)state;
    struct link_params params = TEN_MBIT;
    params.queue.codel = (struct codel_params){5 * MS, 100 * MS};
    link_make(&params);
    struct seen seen = {0};
    for (unsigned i = 0; i < 90; i++)
        offer(0, 0, T0);
    take_until(T0 + 1 * S, &seen);
    assert_int_equal(seen.packets[0], 90);
    assert_int_equal(link.queue.dropped, 0);
}

/* Against a sender that does not slow down the drops come closer and closer. */
static void codel_drops_from_a_standing_queue_ever_faster(void **state)
{
    (void)state;
    struct link_params params = TEN_MBIT;
    params.queue.codel = (struct codel_params){5 * MS, 100 * MS};
    link_make(&params);
    (void)run(OVERLOAD, 0, 1);
    uint64_t first = link.queue.dropped;
    assert_in_range(first, 20, 30); /* the sum of 100 ms / sqrt(n) up to 0.88 s: n = 24 */
    assert_int_equal(link.counts.full, 0);
    assert_int_equal(pool.spares + link.queue.packets + 1, POOL_SLOTS);
}

static void codel_rests_when_the_queue_has_gone(void **state)
{
    (void)state;
    const uint32_t light[4] = {2000};
    struct link_params params = TEN_MBIT;
    params.queue.codel = (struct codel_params){5 * MS, 100 * MS};
    link_make(&params);
    (void)run(light, 0, 3);
    assert_int_equal(link.queue.dropped, 0);
}

static void codel_marks_who_understands_and_only_then(void **state)
{
    (void)state;
    struct link_params params = TEN_MBIT;
    params.queue.codel = (struct codel_params){5 * MS, 100 * MS};
    params.queue.ecn = QUEUE_ECN_MARK;
    link_make(&params);
    struct seen seen = run(OVERLOAD, ECT, 1);
    assert_int_equal(link.queue.dropped, 0);
    assert_in_range(seen.marked, 20, 30);
    link_make(&params);
    seen = run(OVERLOAD, 0, 1);
    assert_in_range(link.queue.dropped, 20, 30);
    assert_int_equal(seen.marked, 0);
}

static void with_ecn_off_codel_drops_and_with_clear_no_packet_can_say_it(void **state)
{
    (void)state;
    struct link_params params = TEN_MBIT;
    params.queue.codel = (struct codel_params){5 * MS, 100 * MS};
    link_make(&params);
    struct seen seen = run(OVERLOAD, ECT, 1);
    assert_int_equal(seen.marked, 0);
    assert_in_range(link.queue.dropped, 20, 30);

    struct packet packet;
    packet_make(&packet, 1, ECT, PACKET_BYTES);
    ip_clear_ecn(packet.data, packet.bytes);
    assert_int_equal(packet.data[1], 0);
    assert_true(checksum_is_right(packet.data));
}

static void fair_queues_give_a_thin_flow_its_packets_at_once(void **state)
{
    (void)state;
    const uint32_t gaps[4] = {800, 20000}; /* 12.5 Mbit/s beside 0.5 Mbit/s */
    struct link_params params = TEN_MBIT;
    params.queue.fair = true;
    link_make(&params);
    struct seen seen = run(gaps, 0, 4);
    assert_in_range(seen.packets[1], 199, 200);
    assert_true(seen.most_ns[1] <= 3 * MS + MS / 2); /* the one on the line, a turn, itself */
    assert_true(seen.most_ns[0] > 400 * MS);
    assert_true(link.counts.full > 0);
}

static void fair_queues_share_evenly_however_much_is_asked(void **state)
{
    (void)state;
    const uint32_t gaps[4] = {400, 800, 1600};
    struct link_params params = TEN_MBIT;
    params.queue.fair = true;
    link_make(&params);
    struct seen seen = run(gaps, 0, 4);
    for (unsigned flow = 0; flow < 3; flow++)
        assert_in_range(seen.packets[flow], 1300, 1350); /* a third of 4,000 each */
}

static void fair_codel_keeps_the_fat_flow_short_too(void **state)
{
    (void)state;
    const uint32_t gaps[4] = {980, 20000}; /* just above the capacity together */
    struct link_params params = TEN_MBIT;
    params.queue = (struct queue_params){.fair = true, .codel = {5 * MS, 100 * MS}};
    link_make(&params);
    struct seen seen = run(gaps, 0, 8);
    assert_true(link.queue.dropped > 0);
    assert_true(seen.most_ns[0] < 60 * MS);
    assert_in_range(seen.packets[1], 399, 400);
}

static void fragments_and_others_have_no_ports(void **state)
{
    (void)state;
    struct packet one, two;
    packet_make(&one, 1, 0, PACKET_BYTES);
    packet_make(&two, 2, 0, PACKET_BYTES);
    assert_int_not_equal(ip_flow_hash(one.data, one.bytes, 5),
                         ip_flow_hash(two.data, two.bytes, 5));
    assert_int_equal(ip_flow_hash(one.data, 20, 5), ip_flow_hash(two.data, 20, 5));
    one.data[6] = two.data[6] = 0x20;
    assert_int_equal(ip_flow_hash(one.data, one.bytes, 5), ip_flow_hash(two.data, two.bytes, 5));
    assert_int_equal(ip_flow_hash(one.data, 3, 5), 0);
    assert_false(ip_mark(one.data, one.bytes));
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
        cmocka_unit_test(codel_leaves_a_burst_alone),
        cmocka_unit_test(codel_drops_from_a_standing_queue_ever_faster),
        cmocka_unit_test(codel_rests_when_the_queue_has_gone),
        cmocka_unit_test(codel_marks_who_understands_and_only_then),
        cmocka_unit_test(with_ecn_off_codel_drops_and_with_clear_no_packet_can_say_it),
        cmocka_unit_test(fair_queues_give_a_thin_flow_its_packets_at_once),
        cmocka_unit_test(fair_queues_share_evenly_however_much_is_asked),
        cmocka_unit_test(fair_codel_keeps_the_fat_flow_short_too),
        cmocka_unit_test(fragments_and_others_have_no_ports),
    };
    return cmocka_run_group_tests(tests, NULL, pool_tear_down);
}
