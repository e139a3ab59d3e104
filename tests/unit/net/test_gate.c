/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/net/test_gate.c – the open gate, and the one write path that asks a gate. */
#include "net/gate.h"

#include <string.h>

#include "net/loop_impl.h"
#include "net/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct fake_loop {
    struct loop base;
    uint64_t now_ns;
};

struct fake_stream {
    struct stream base;
    size_t accepts; /* bytes of each write */
    size_t offered; /* by the last write   */
    unsigned writes, readies;
};

struct fake_gate {
    struct gate base;
    size_t allows;
    uint64_t retry_ns;
    size_t spent;
    unsigned forgotten;
};

static uint64_t fake_now(struct loop *loop)
{
    return ((struct fake_loop *)loop)->now_ns;
}
static void fake_arm(struct loop *loop, uint64_t at_ns)
{
    (void)loop;
    (void)at_ns;
}
static const struct loop_ops loop_ops = {.now_ns = fake_now, .arm = fake_arm};

static enum stream_result fake_write(struct stream *base, const void *bytes, size_t size,
                                     size_t *moved)
{
    struct fake_stream *s = (struct fake_stream *)base;

    (void)bytes;
    s->writes++;
    s->offered = size;
    if (s->accepts == 0)
        return STREAM_BLOCKED;
    *moved = size < s->accepts ? size : s->accepts;
    return STREAM_MOVED;
}
static void fake_free(struct stream *s)
{
    (void)s;
}
static const struct stream_ops stream_ops = {.write = fake_write, .free = fake_free};

static size_t fake_ask(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    struct fake_gate *f = (struct fake_gate *)g;

    (void)want;
    (void)now_ns;
    *retry_ns = f->retry_ns;
    return f->allows;
}
static void fake_spent(struct gate *g, size_t bytes, uint64_t now_ns)
{
    (void)now_ns;
    ((struct fake_gate *)g)->spent += bytes;
}
static void fake_forget(struct gate *g)
{
    ((struct fake_gate *)g)->forgotten++;
}
static const struct gate_ops gate_ops = {
    .ask = fake_ask, .spent = fake_spent, .forget = fake_forget};

static void count_ready(void *arg)
{
    ((struct fake_stream *)arg)->readies++;
}

static void set_up(struct fake_loop *loop, struct fake_stream *s, struct fake_gate *g)
{
    *loop = (struct fake_loop){.now_ns = 1000};
    *s = (struct fake_stream){.accepts = SIZE_MAX};
    *g = (struct fake_gate){.base.ops = &gate_ops};
    loop_init(&loop->base, &loop_ops);
    stream_init(&s->base, &loop->base, &stream_ops);
    stream_on_ready(&s->base, count_ready, s);
    stream_use_gate(&s->base, &g->base);
}

static void tear_down(struct fake_loop *loop, struct fake_stream *s)
{
    stream_free(&s->base);
    loop_release(&loop->base);
}

static void an_open_gate_lets_everything_through(void **state)
{
    struct gate g;
    uint64_t retry_ns = 0;

    (void)state;
    gate_init_open(&g);
    assert_int_equal(g.ops->ask(&g, 12345, 0, &retry_ns), 12345);
    g.ops->spent(&g, 12345, 0);
}

static void a_write_is_cut_to_what_the_gate_allows(void **state)
{
    struct fake_loop loop;
    struct fake_stream s;
    struct fake_gate g;
    size_t moved = 0;

    (void)state;
    set_up(&loop, &s, &g);
    g.allows = 10;
    assert_int_equal(stream_write(&s.base, "0123456789abcdef", 16, &moved), STREAM_MOVED);
    assert_int_equal(s.offered, 10);
    assert_int_equal(moved, 10);
    assert_int_equal(g.base.least, 16); /* it would rather not have been cut */
    tear_down(&loop, &s);
}

static void the_gate_hears_what_went_and_not_what_was_asked(void **state)
{
    struct fake_loop loop;
    struct fake_stream s;
    struct fake_gate g;
    size_t moved = 0;

    (void)state;
    set_up(&loop, &s, &g);
    g.allows = 10;
    s.accepts = 3;
    assert_int_equal(stream_write(&s.base, "0123456789", 10, &moved), STREAM_MOVED);
    assert_int_equal(g.spent, 3);
    assert_int_equal(g.base.passed_bytes, 3);
    s.accepts = 0;
    assert_int_equal(stream_write(&s.base, "3456789", 7, &moved), STREAM_BLOCKED);
    assert_int_equal(g.spent, 3);
    tear_down(&loop, &s);
}

static void a_closed_gate_blocks_and_calls_again_at_its_time(void **state)
{
    struct fake_loop loop;
    struct fake_stream s;
    struct fake_gate g;
    size_t moved = 0;

    (void)state;
    set_up(&loop, &s, &g);
    g.retry_ns = 5000;
    assert_int_equal(stream_write(&s.base, "x", 1, &moved), STREAM_BLOCKED);
    assert_int_equal(s.writes, 0);
    loop.now_ns = 4999;
    loop_turn(&loop.base);
    assert_int_equal(s.readies, 0);
    loop.now_ns = 5000;
    loop_turn(&loop.base);
    assert_int_equal(s.readies, 1);
    tear_down(&loop, &s);
}

static void a_freed_stream_is_not_called_when_the_gate_opens(void **state)
{
    struct fake_loop loop;
    struct fake_stream s;
    struct fake_gate g;
    size_t moved = 0;

    (void)state;
    set_up(&loop, &s, &g);
    g.retry_ns = 5000;
    assert_int_equal(stream_write(&s.base, "x", 1, &moved), STREAM_BLOCKED);
    stream_free(&s.base);
    loop.now_ns = 6000;
    loop_turn(&loop.base);
    assert_int_equal(s.readies, 0);
    loop_release(&loop.base);
}

static void without_a_gate_of_its_own_a_stream_counts_in_the_open_one(void **state)
{
    struct fake_loop loop;
    struct fake_stream s;
    struct fake_gate g;
    size_t moved = 0;

    (void)state;
    set_up(&loop, &s, &g);
    stream_use_gate(&s.base, NULL);
    assert_int_equal(stream_write(&s.base, "abcd", 4, &moved), STREAM_MOVED);
    assert_int_equal(s.base.gate->passed_bytes, 4);
    assert_int_equal(g.spent, 0);
    tear_down(&loop, &s);
}

static void a_failed_stream_does_not_trouble_the_gate(void **state)
{
    struct fake_loop loop;
    struct fake_stream s;
    struct fake_gate g;
    size_t moved = 0;

    (void)state;
    set_up(&loop, &s, &g);
    g.allows = 10;
    s.base.status = alb_fail(ALB_CLOSED, "gone");
    assert_int_equal(stream_write(&s.base, "x", 1, &moved), STREAM_FAILED);
    assert_int_equal(s.writes, 0);
    tear_down(&loop, &s);
}

static void a_gate_that_will_call_is_waited_for(void **state)
{
    struct fake_loop loop;
    struct fake_stream s;
    struct fake_gate g;
    size_t moved = 0;

    (void)state;
    set_up(&loop, &s, &g);
    gate_wake(&g.base); /* nobody waits yet */
    g.retry_ns = GATE_WILL_CALL;
    assert_int_equal(stream_write(&s.base, "x", 1, &moved), STREAM_BLOCKED);
    assert_true(stream_is_held(&s.base));
    loop.now_ns = UINT64_MAX - 1;
    loop_turn(&loop.base);
    assert_int_equal(s.readies, 0);
    gate_wake(&g.base);
    assert_int_equal(s.readies, 0); /* not from inside the gate's call */
    gate_wake(&g.base);
    loop_turn(&loop.base);
    assert_int_equal(s.readies, 1);
    g.allows = 1;
    assert_int_equal(stream_write(&s.base, "x", 1, &moved), STREAM_MOVED);
    assert_false(stream_is_held(&s.base));
    assert_int_equal(g.forgotten, 0);
    tear_down(&loop, &s);
    assert_int_equal(g.forgotten, 0);
}

static void who_waits_no_longer_is_forgotten(void **state)
{
    struct fake_loop loop;
    struct fake_stream s;
    struct fake_gate g;
    size_t moved = 0;

    (void)state;
    set_up(&loop, &s, &g);
    g.retry_ns = GATE_WILL_CALL;
    assert_int_equal(stream_write(&s.base, "x", 1, &moved), STREAM_BLOCKED);
    stream_use_gate(&s.base, NULL);
    assert_int_equal(g.forgotten, 1);
    loop_turn(&loop.base); /* whoever was held by one gate asks the next one */
    assert_int_equal(s.readies, 1);
    stream_use_gate(&s.base, &g.base);
    assert_int_equal(stream_write(&s.base, "x", 1, &moved), STREAM_BLOCKED);
    tear_down(&loop, &s);
    assert_int_equal(g.forgotten, 2);
    gate_wake(&g.base);
}

static void a_gate_never_gives_more_than_was_wanted(void **state)
{
    struct fake_gate g = {.base.ops = &gate_ops, .allows = SIZE_MAX};
    uint64_t retry_ns = 0;

    (void)state;
    assert_int_equal(gate_ask(&g.base, 7, 0, &retry_ns), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_gate_lets_everything_through),
        cmocka_unit_test(a_write_is_cut_to_what_the_gate_allows),
        cmocka_unit_test(the_gate_hears_what_went_and_not_what_was_asked),
        cmocka_unit_test(a_closed_gate_blocks_and_calls_again_at_its_time),
        cmocka_unit_test(a_freed_stream_is_not_called_when_the_gate_opens),
        cmocka_unit_test(without_a_gate_of_its_own_a_stream_counts_in_the_open_one),
        cmocka_unit_test(a_failed_stream_does_not_trouble_the_gate),
        cmocka_unit_test(a_gate_that_will_call_is_waited_for),
        cmocka_unit_test(who_waits_no_longer_is_forgotten),
        cmocka_unit_test(a_gate_never_gives_more_than_was_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
