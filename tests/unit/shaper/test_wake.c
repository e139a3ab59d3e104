/* SPDX-License-Identifier: Apache-2.0 */
/* unit/shaper/test_wake.c – the bytes that wake, by which ways, and who is woken when. */
/* LINKS: sim_world */
#include "shaper/wake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sim/world_place.h"

#define MS(n) ((uint64_t)(n)*NS_PER_MS)

static struct wake_target machine(unsigned number)
{
    return (struct wake_target){.mac = {2, 0, 0, 0, (uint8_t)(number >> 8), (uint8_t)number},
                                .link = 3};
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void a_pattern_is_exact(void **state)
{
    struct wake_target t = {.mac = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55}};
    uint8_t bytes[WAKE_PATTERN_MOST];

    (void)state;
    assert_int_equal(wake_pattern(&t, bytes), 102);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(bytes[i], 0xff);
    for (size_t i = 0; i < 16; i++)
        assert_memory_equal(bytes + 6 + 6 * i, t.mac, 6);
    for (uint8_t size = 4; size <= 6; size += 2) {
        t.password_size = size;
        memcpy(t.password, "secret", 6);
        assert_int_equal(wake_pattern(&t, bytes), 102 + size);
        assert_memory_equal(bytes + 102, "secret", size);
    }
}

struct sent {
    struct loop *node;
    unsigned count;
    struct raw_frame frames[2 * WAKE_WAYS];
};

static void on_frame(void *arg, struct loop *from, const struct raw_frame *f)
{
    struct sent *s = arg;

    assert_ptr_equal(from, s->node);
    assert_int_equal(f->size, 102);
    s->frames[s->count++] = *f;
}

static void a_wake_goes_every_way_by_its_own_link(void **state)
{
    struct world *w = world_new(1);
    struct sent sent = {.node = world_add_node(w, "reflector", NULL)};
    struct wake_target t = machine(1);

    (void)state;
    world_node_place(sent.node, &(struct world_place){.address = "10.1.0.1", .prefix = 24});
    world_on_frame(w, on_frame, &sent);
    t.link = WORLD_PLACE_LINK;
    assert_int_equal(wake_send(sent.node, &t).code, ALB_OK);
    assert_int_equal(sent.count, WAKE_WAYS);
    for (unsigned i = 0; i < WAKE_WAYS; i++)
        assert_int_equal(sent.frames[i].link, WORLD_PLACE_LINK);
    assert_int_equal(sent.frames[0].ethertype, WAKE_ETHERTYPE);
    assert_memory_equal(sent.frames[1].to_mac, t.mac, NET_MAC_SIZE);
    assert_int_equal(sent.frames[2].port, 9);
    assert_int_equal(sent.frames[3].port, 7);
    t.link = 9;
    assert_int_equal(wake_send(sent.node, &t).code, ALB_NOT_FOUND);
    world_free(w);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void add(struct wake_queue *q, unsigned number, uint64_t now_ns, enum alb_code expected)
{
    const struct wake_target t = machine(number);

    assert_int_equal(wake_queue_add(q, &t, now_ns).code, expected);
}

static void one_machine_is_sent_to_three_times(void **state)
{
    static const uint64_t AT[WAKE_SENDS] = {MS(5000), MS(5100), MS(6000)};
    struct wake_queue *q = wake_queue_new(WAKE_RATE_DEFAULT);
    struct wake_due due;

    (void)state;
    assert_int_equal(wake_queue_next_ns(q), UINT64_MAX);
    add(q, 1, MS(5000), ALB_OK);
    add(q, 1, MS(5000), ALB_OK); /* it waits already */
    assert_int_equal(wake_queue_waiting(q), 1);
    assert_true(wake_queue_next_ns(q) <= MS(5000));
    for (unsigned i = 0; i < WAKE_SENDS; i++) {
        if (i > 0)
            assert_int_equal(wake_queue_next_ns(q), AT[i]);
        if (i > 0)
            assert_false(wake_queue_take(q, AT[i] - 1, &due));
        assert_true(wake_queue_take(q, AT[i], &due));
        assert_int_equal(due.attempt, i);
        assert_int_equal(due.is_last, i == WAKE_SENDS - 1);
        assert_int_equal(due.target.mac[5], 1);
        add(q, 1, AT[i], due.is_last ? ALB_REFUSED : ALB_OK); /* being woken; was woken */
    }
    assert_int_equal(wake_queue_next_ns(q), UINT64_MAX);
    wake_queue_free(q);
}

static void a_machine_woken_may_be_asked_for_again_after_a_while(void **state)
{
    struct wake_queue *q = wake_queue_new(WAKE_RATE_DEFAULT);
    struct wake_due due;

    (void)state;
    add(q, 1, 0, ALB_OK);
    assert_true(wake_queue_take(q, 0, &due));
    assert_true(wake_queue_drop(q, due.target.mac));
    add(q, 1, WAKE_AGAIN_NS - 1, ALB_REFUSED);
    add(q, 1, WAKE_AGAIN_NS, ALB_OK);
    wake_queue_free(q);
}

static void a_machine_that_is_forgotten_may_be_asked_for_at_once(void **state)
{
    struct wake_queue *q = wake_queue_new(WAKE_RATE_DEFAULT);
    struct wake_due due;

    (void)state;
    add(q, 1, 0, ALB_OK);
    assert_true(wake_queue_take(q, 0, &due));
    assert_true(wake_queue_drop(q, due.target.mac));
    add(q, 1, NS_PER_S, ALB_REFUSED);
    wake_queue_forget(q, due.target.mac);
    add(q, 1, NS_PER_S, ALB_OK);
    wake_queue_free(q);
}

static void the_last_thousands_woken_are_remembered_and_no_more(void **state)
{
    struct wake_queue *q = wake_queue_new(WAKE_RATE_MOST);
    struct wake_due due;

    (void)state;
    for (unsigned i = 0; i <= WAKE_REMEMBERED; i++) {
        if (i == WAKE_REMEMBERED)
            add(q, 1, MS(i), ALB_REFUSED);
        add(q, i + 1, MS(i), ALB_OK);
        assert_true(wake_queue_take(q, MS(i), &due));
        assert_true(wake_queue_drop(q, due.target.mac));
    }
    add(q, 2, MS(WAKE_REMEMBERED + 1), ALB_REFUSED);
    add(q, 1, MS(WAKE_REMEMBERED + 1), ALB_OK);
    wake_queue_free(q);
}

static void machines_begin_one_after_the_other(void **state)
{
    struct wake_queue *q = wake_queue_new(20);
    struct wake_due due;
    unsigned begun = 0, sends = 0;
    uint64_t last_ns = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        add(q, i + 1, 0, ALB_OK);
    for (uint64_t now_ns; (now_ns = wake_queue_next_ns(q)) != UINT64_MAX;) {
        while (wake_queue_take(q, now_ns, &due)) {
            sends++;
            if (due.attempt != 0)
                continue;
            assert_int_equal(due.target.mac[5], ++begun); /* in the order asked */
            assert_true(begun == 1 || now_ns - last_ns >= MS(50));
            last_ns = now_ns;
        }
    }
    assert_int_equal(begun, 100);
    assert_int_equal(sends, 300);
    assert_true(last_ns <= MS(99 * 50));
    wake_queue_free(q);
}

static void what_a_late_caller_missed_is_not_caught_up(void **state)
{
    struct wake_queue *q = wake_queue_new(20);
    struct wake_due due;
    unsigned taken = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        add(q, i + 1, 0, ALB_OK);
    assert_true(wake_queue_take(q, 0, &due));
    while (wake_queue_take(q, MS(60000), &due)) /* a repeat, and one that begins */
        taken++;
    assert_int_equal(taken, 2);
    wake_queue_free(q);
}

static void a_held_queue_begins_nobody_and_repeats_go_on(void **state)
{
    struct wake_queue *q = wake_queue_new(20);
    struct wake_due due;

    (void)state;
    add(q, 1, 0, ALB_OK);
    add(q, 2, 0, ALB_OK);
    assert_true(wake_queue_take(q, 0, &due));
    wake_queue_hold(q, MS(30000));
    assert_true(wake_queue_take(q, MS(100), &due));
    assert_int_equal(due.target.mac[5], 1);
    assert_true(wake_queue_take(q, MS(1000), &due));
    assert_false(wake_queue_take(q, MS(29999), &due));
    assert_int_equal(wake_queue_next_ns(q), MS(30000));
    wake_queue_hold(q, MS(10000)); /* never sooner */
    assert_true(wake_queue_take(q, MS(30000), &due));
    assert_int_equal(due.target.mac[5], 2);
    wake_queue_free(q);
}

static void who_is_heard_is_sent_nothing_more(void **state)
{
    struct wake_queue *q = wake_queue_new(20);
    const struct wake_target one = machine(1), two = machine(2), three = machine(3);
    struct wake_due due;

    (void)state;
    for (unsigned i = 1; i <= 3; i++)
        add(q, i, 0, ALB_OK);
    assert_true(wake_queue_take(q, 0, &due));
    assert_true(wake_queue_drop(q, one.mac));   /* begun              */
    assert_true(wake_queue_drop(q, three.mac)); /* waits, the last    */
    assert_false(wake_queue_drop(q, three.mac));
    add(q, 4, 0, ALB_OK); /* the list's end is where it should be */
    assert_true(wake_queue_take(q, MS(50), &due));
    assert_memory_equal(due.target.mac, two.mac, NET_MAC_SIZE);
    assert_true(wake_queue_drop(q, two.mac));
    assert_true(wake_queue_take(q, MS(100), &due));
    assert_int_equal(due.target.mac[5], 4);
    assert_int_equal(wake_queue_waiting(q), 0);
    wake_queue_free(q);
}

static void what_cannot_be_is_refused(void **state)
{
    struct wake_queue *q = wake_queue_new(1);
    struct wake_target t = {.mac = {0}};

    (void)state;
    assert_int_equal(wake_queue_add(q, &t, 0).code, ALB_INVALID);
    memset(t.mac, 0xff, sizeof(t.mac));
    assert_int_equal(wake_queue_add(q, &t, 0).code, ALB_INVALID);
    t = machine(1);
    t.password_size = 5;
    assert_int_equal(wake_queue_add(q, &t, 0).code, ALB_INVALID);
    for (unsigned i = 0; i < WAKE_WAITING_MOST; i++)
        add(q, i + 1, 0, ALB_OK);
    add(q, WAKE_WAITING_MOST + 1, 0, ALB_FULL);
    wake_queue_free(q);
    wake_queue_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_is_exact),
        cmocka_unit_test(a_wake_goes_every_way_by_its_own_link),
        cmocka_unit_test(one_machine_is_sent_to_three_times),
        cmocka_unit_test(a_machine_woken_may_be_asked_for_again_after_a_while),
        cmocka_unit_test(a_machine_that_is_forgotten_may_be_asked_for_at_once),
        cmocka_unit_test(the_last_thousands_woken_are_remembered_and_no_more),
        cmocka_unit_test(machines_begin_one_after_the_other),
        cmocka_unit_test(what_a_late_caller_missed_is_not_caught_up),
        cmocka_unit_test(a_held_queue_begins_nobody_and_repeats_go_on),
        cmocka_unit_test(who_is_heard_is_sent_nothing_more),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
