/* SPDX-License-Identifier: Apache-2.0 */
/* emu/unit/test_any_link.c – whatever the link is and becomes: no packet vanishes, none overtakes
 * unasked, and none goes faster than the rate.
 *
 * ALB_SEED repeats a run.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emu/dice.h"
#include "emu/link.h"

#define MS 1000000u
#define S 1000000000u
#define T0 (5 * (uint64_t)S)
#define POOL_SLOTS 2048u
#define LINKS 200u
#define STEPS 2000u
#define FLOWS 5u

static struct packet_pool pool;
static struct link link;
static struct dice dice;

struct tally {
    uint64_t offered, delivered;
    uint64_t last_due_ns;
    uint64_t newest[FLOWS]; /* number of the latest packet that came */
    uint64_t sent_before;   /* bytes, when this rate began to hold */
    uint64_t rate_from_ns;
};

static uint64_t below(uint64_t limit)
{
    return dice_bits(&dice) % limit;
}

static struct queue_params any_queue(void)
{
    static const struct codel_params codel[] = {{0}, {5 * MS, 100 * MS}, {1 * MS, 10 * MS}};
    static const enum queue_ecn ecn[] = {QUEUE_ECN_OFF, QUEUE_ECN_MARK, QUEUE_ECN_CLEAR};
    return (struct queue_params){
        .fair = below(2) == 0, .codel = codel[below(3)], .ecn = ecn[below(3)]};
}

static struct air_params any_air(bool may_reorder)
{
    bool pauses = below(4) == 0;
    return (struct air_params){
        .delay_ns = below(50) * MS,
        .jitter_ns = below(2) * below(10) * MS,
        .jitter = below(2) == 0 ? AIR_UNIFORM : AIR_NORMAL,
        .reorder = may_reorder,
        .pause_min_ns = 1 * MS,
        .pause_max_ns = 1 * MS + below(100) * MS,
        .pause_gap_ns = pauses ? 1 + below(S) : 0,
    };
}

static struct link_params any_link(bool may_reorder)
{
    struct link_params p = {
        .rate_bits = 1000 + below(20000000),
        .queue = any_queue(),
        .air = any_air(may_reorder),
        .down = below(20) == 0,
    };
    switch (below(3)) {
    case 0: p.limit_bytes = 1 + below(100000); break;
    case 1: p.limit_ns = below(500) * MS; break;
    case 2: p.limit_packets = (uint32_t)below(200); break;
    }
    if (below(3) == 0)
        p.loss = (struct loss_params){0.01, 0.5, 0.05, 0.3};
    if (below(3) == 0)
        p.policer = (struct policer_params){1000 + below(10000000), 1500 + below(50000)};
    return p;
}

static void offer(struct tally *tally, uint64_t now_ns)
{
    uint32_t slot = packet_pool_take(&pool);
    if (slot == PACKET_NONE)
        return;
    struct packet *packet = packet_pool_at(&pool, slot);
    packet->bytes = 32 + (uint32_t)below(PACKET_MTU - 31);
    packet->data[0] = 0x45;
    packet->data[1] = (uint8_t)below(4);
    packet->data[9] = 17;
    packet->data[23] = (uint8_t)below(FLOWS);
    tally->offered++;
    memcpy(packet->data + 24, &tally->offered, sizeof tally->offered);
    (void)link_offer(&link, slot, now_ns);
}

/* Within a flow, the numbers of packets grow. */
static void order_holds(struct tally *tally, const struct packet *packet)
{
    uint64_t number;
    uint64_t *newest = &tally->newest[packet->data[23]];
    memcpy(&number, packet->data + 24, sizeof number);
    assert_true(number > *newest);
    *newest = number;
}

static void take(struct tally *tally, uint64_t now_ns)
{
    link_advance(&link, now_ns);
    for (uint32_t slot; (slot = link_take(&link, now_ns)) != PACKET_NONE;) {
        const struct packet *packet = packet_pool_at(&pool, slot);
        uint64_t due_ns = packet->due_ns;
        assert_true(due_ns <= now_ns);
        if (!link.params.air.reorder) {
            assert_true(due_ns >= tally->last_due_ns);
            order_holds(tally, packet);
        }
        tally->last_due_ns = due_ns;
        tally->delivered++;
        packet_pool_give(&pool, slot);
    }
    assert_true(link_due_ns(&link) > now_ns);
}

/* What left the line since the rate began to hold, but for the packet that was on it then. */
static void rate_holds(const struct tally *tally, uint64_t now_ns)
{
    double most = (double)link.params.rate_bits / 8 * (double)(now_ns - tally->rate_from_ns) / S;
    assert_true((double)(link.counts.sent_bytes - tally->sent_before) <= most + PACKET_MTU + 1);
}

static void nothing_vanished(const struct tally *tally)
{
    uint32_t inside =
        link.queue.packets + (link.on_line != PACKET_NONE) + (link.air.end - link.air.first);
    assert_int_equal(pool.spares + inside, POOL_SLOTS);
    assert_int_equal(tally->delivered + link_dropped(&link) + inside, tally->offered);
}

static void change(struct tally *tally, bool may_reorder, uint64_t now_ns)
{
    struct link_params params = any_link(may_reorder);
    link_change(&link, &params, now_ns);
    tally->sent_before = link.counts.sent_bytes;
    tally->rate_from_ns = now_ns;
}

static void play(bool may_reorder)
{
    struct link_params params = any_link(may_reorder);
    struct tally tally = {.rate_from_ns = T0};
    uint64_t now_ns = T0;
    link_init(&link, &pool, &params, below(1000), 1, now_ns);
    for (unsigned step = 0; step < STEPS; step++) {
        now_ns += below(3) * below(2 * MS);
        uint64_t what = below(400);
        if (what == 0)
            change(&tally, may_reorder, now_ns);
        else if (what == 1)
            link_pause(&link, below(300) * MS, now_ns);
        else
            offer(&tally, now_ns);
        take(&tally, now_ns);
        rate_holds(&tally, now_ns);
        nothing_vanished(&tally);
    }
    for (uint64_t due_ns; (due_ns = link_due_ns(&link)) != LINK_IDLE;)
        take(&tally, due_ns);
    nothing_vanished(&tally);
    assert_int_equal(pool.spares, POOL_SLOTS);
}

static void no_packet_vanishes_or_overtakes_or_beats_the_rate(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINKS; i++)
        play(false);
}

static void none_vanishes_where_they_may_overtake(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINKS; i++)
        play(true);
}

static int set_up(void **state)
{
    (void)state;
    struct emu_error err;
    const char *seed = getenv("ALB_SEED");
    dice.state = seed == NULL ? 1 : strtoull(seed, NULL, 10);
    (void)printf("ALB_SEED=%" PRIu64 "\n", dice.state);
    return packet_pool_init(&pool, POOL_SLOTS, &err) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    packet_pool_release(&pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_packet_vanishes_or_overtakes_or_beats_the_rate),
        cmocka_unit_test(none_vanishes_where_they_may_overtake),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
