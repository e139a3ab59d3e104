/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_wake.c – whatever is asked, whenever it is looked at, wakes stay within bounds. */
/* LINKS: shaper net wire base */
#include "shaper/wake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/gen.h"

enum { ROUNDS = 200, STEPS = 2000, MACHINES = 300 };

struct machine {
    uint64_t begun_ns, last_ns;
    unsigned sends; /* of this wake; 0: none under way */
    bool was_begun;
};

struct model {
    struct gen gen;
    struct wake_queue *queue;
    struct machine machines[MACHINES];
    uint64_t now_ns, space_ns, last_begin_ns, held_ns;
    bool has_begun;
};

static struct wake_target target_of(unsigned number)
{
    return (struct wake_target){.mac = {2, 0, 0, 0, (uint8_t)(number >> 8), (uint8_t)number},
                                .link = 3};
}

static void check_begin(struct model *m, struct machine *x)
{
    assert_true(m->now_ns >= m->held_ns);
    assert_true(!m->has_begun || m->now_ns - m->last_begin_ns >= m->space_ns);
    assert_true(!x->was_begun || m->now_ns - x->begun_ns >= WAKE_AGAIN_NS);
    m->has_begun = x->was_begun = true;
    m->last_begin_ns = x->begun_ns = m->now_ns;
}

static void check_due(struct model *m, const struct wake_due *due)
{
    const unsigned number = (unsigned)due->target.mac[4] << 8 | due->target.mac[5];
    struct machine *x = &m->machines[number];

    assert_int_equal(due->attempt, x->sends);
    if (due->attempt == 0)
        check_begin(m, x);
    else
        assert_true(m->now_ns - x->last_ns >= (due->attempt == 1 ? 100 : 900) * NS_PER_MS);
    x->last_ns = m->now_ns;
    x->sends = due->is_last ? 0 : x->sends + 1;
    assert_int_equal(due->is_last, due->attempt == WAKE_SENDS - 1);
}

static void look(struct model *m)
{
    const uint64_t next_ns = wake_queue_next_ns(m->queue);
    struct wake_due due;
    bool any = false;

    while (wake_queue_take(m->queue, m->now_ns, &due)) {
        check_due(m, &due);
        any = true;
    }
    assert_true(any == (next_ns <= m->now_ns)); /* a timer at next_ns misses nothing */
    assert_true(wake_queue_next_ns(m->queue) > m->now_ns);
}

static void do_something(struct model *m)
{
    const unsigned number = (unsigned)gen_below(&m->gen, MACHINES);
    const struct wake_target t = target_of(number);

    if (gen_chance(&m->gen, 1, 20)) {
        if (wake_queue_drop(m->queue, t.mac))
            m->machines[number].sends = 0;
    } else if (gen_chance(&m->gen, 1, 200)) {
        const uint64_t until_ns = m->now_ns + gen_skewed(&m->gen, 10 * NS_PER_S);
        wake_queue_hold(m->queue, until_ns);
        m->held_ns = until_ns > m->held_ns ? until_ns : m->held_ns;
    } else {
        const struct alb_status st = wake_queue_add(m->queue, &t, m->now_ns);
        assert_true(st.code == ALB_OK || st.code == ALB_REFUSED);
    }
}

static void one_round(struct gen *gen)
{
    const unsigned rate = (unsigned)gen_range(gen, 1, WAKE_RATE_MOST);
    struct model m = {.gen = gen_fork(gen),
                      .queue = wake_queue_new(rate),
                      .now_ns = gen_skewed(gen, UINT64_C(1) << 60),
                      .space_ns = NS_PER_S / rate};

    for (unsigned i = 0; i < STEPS; i++) {
        do_something(&m);
        if (gen_chance(&m.gen, 1, 3)) {
            m.now_ns += gen_skewed(&m.gen, 3 * NS_PER_S);
            look(&m);
        }
    }
    wake_queue_free(m.queue);
}

static void wakes_stay_within_their_bounds(void **state)
{
    struct gen gen;

    (void)state;
    gen_init_from_env(&gen);
    for (unsigned i = 0; i < ROUNDS; i++)
        one_round(&gen);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(wakes_stay_within_their_bounds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
