/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_wake_job.c – whoever wakes, sleeps on, refuses or leaves: each machine ends in one
 * result, no more are begun than allowed, and none is sent for more than three times. */
/* LINKS: hub transfer shaper net wire base */
#include "hub/wake_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/gen.h"

enum { ROUNDS = 300, MACHINES = 60, GUARDS = 6, LOOKS_MOST = 20000 };

struct model {
    struct gen gen;
    struct wake_job *job;
    uint64_t now_ns, space_ns, last_begin_ns;
    size_t at_once, count;
    bool has_begun;
    bool was_begun[MACHINES], was_done[MACHINES];
    unsigned sent[MACHINES];
    enum wake_result result[MACHINES];
    uint64_t numbers;
};

static void guard_name(unsigned i, char out[16])
{
    snprintf(out, 16, "guard-%u", i);
}

static void check(struct model *m)
{
    size_t begun = 0, done = 0;

    for (size_t i = 0; i < m->count; i++) {
        const struct wake_machine *x = wake_job_machine(m->job, i);

        if (m->was_done[i])
            assert_true(x->stage == WAKE_DONE && x->result == m->result[i]); /* for good */
        m->was_done[i] = x->stage == WAKE_DONE;
        m->result[i] = x->result;
        assert_true((x->result != WAKE_NO_RESULT) == m->was_done[i]);
        assert_true(x->attempts <= WAKE_JOB_ATTEMPTS && x->attempts == m->sent[i]);
        assert_true(x->change <= wake_job_change(m->job));
        begun += x->is_begun && x->stage != WAKE_DONE;
        done += m->was_done[i];
    }
    assert_true(begun == wake_job_begun(m->job) && begun <= m->at_once);
    assert_true((done == m->count) == wake_job_is_done(m->job));
}

static void order(struct model *m, size_t i)
{
    char guard[16];

    guard_name((unsigned)gen_below(&m->gen, GUARDS), guard);
    if (gen_chance(&m->gen, 1, 6) || !wake_job_may_ask(m->job, i, guard)) {
        wake_job_unguarded(m->job, i, m->now_ns);
        return;
    }
    if (!m->was_begun[i]) {
        assert_true(!m->has_begun || m->now_ns - m->last_begin_ns >= m->space_ns);
        m->has_begun = m->was_begun[i] = true;
        m->last_begin_ns = m->now_ns;
    }
    wake_job_ordered(m->job, i, guard, ++m->numbers, m->now_ns);
}

static void tell(struct model *m, size_t i)
{
    const struct wake_machine *x = wake_job_machine(m->job, i);
    struct wake_told told = {.word = (enum wake_word)gen_below(&m->gen, 4), .why = "no link"};
    const uint64_t number = gen_chance(&m->gen, 1, 10) ? 1 : x->number;
    char guard[64], device[64];

    snprintf(guard, sizeof guard, "%s", x->guard);
    snprintf(device, sizeof device, "%s", x->device);
    memcpy(told.device, device, sizeof told.device);
    if (wake_job_told(m->job, guard, number, &told, m->now_ns) && told.word == WAKE_WORD_SENT)
        m->sent[i]++;
}

static void do_something(struct model *m)
{
    const size_t i = (size_t)gen_below(&m->gen, m->count);
    char guard[16];

    if (gen_chance(&m->gen, 1, 12)) {
        assert_true(wake_job_awake(m->job, wake_job_machine(m->job, i)->device, m->now_ns) !=
                    m->was_done[i]);
    } else if (gen_chance(&m->gen, 1, 15)) {
        guard_name((unsigned)gen_below(&m->gen, GUARDS), guard);
        wake_job_guard_left(m->job, guard, m->now_ns);
    } else {
        tell(m, i);
    }
}

static void look(struct model *m)
{
    const uint64_t next_ns = wake_job_next_ns(m->job);
    size_t index;

    if (next_ns > m->now_ns) {
        assert_false(wake_job_next(m->job, m->now_ns, &index)); /* a timer at it misses nothing */
        return;
    }
    while (wake_job_next(m->job, m->now_ns, &index)) {
        order(m, index);
        check(m);
    }
    assert_true(wake_job_next_ns(m->job) > m->now_ns);
}

/* Left alone, it ends by itself. */
static void run_out(struct model *m)
{
    unsigned looks = 0;

    while (!wake_job_is_done(m->job)) {
        assert_true(wake_job_next_ns(m->job) != UINT64_MAX && ++looks < LOOKS_MOST);
        if (wake_job_next_ns(m->job) > m->now_ns)
            m->now_ns = wake_job_next_ns(m->job);
        look(m);
        check(m);
    }
    assert_true(wake_job_next_ns(m->job) == UINT64_MAX);
}

static void one_round(struct gen *gen)
{
    const struct wake_job_options options = {
        .at_once = gen_range(gen, 1, 20),
        .rate = (unsigned)gen_range(gen, 1, WAKE_JOB_RATE_MOST),
        .patience_ns = gen_range(gen, 7 * NS_PER_S, 3600 * NS_PER_S),
    };
    struct model m = {.gen = gen_fork(gen),
                      .job = wake_job_new(&options),
                      .now_ns = gen_skewed(gen, UINT64_C(1) << 60),
                      .space_ns = NS_PER_S / options.rate,
                      .at_once = options.at_once,
                      .count = (size_t)gen_range(gen, 1, MACHINES)};
    size_t results = 0;

    for (size_t i = 0; i < m.count; i++) {
        char name[32];

        snprintf(name, sizeof name, "pc-%zu", i);
        assert_int_equal(wake_job_add(m.job, name), i);
    }
    for (unsigned i = 0; i < 400; i++) {
        m.now_ns += gen_skewed(&m.gen, 20 * NS_PER_S);
        look(&m);
        do_something(&m);
        check(&m);
    }
    if (gen_chance(&m.gen, 1, 4))
        wake_job_end(m.job, "ended by hand", m.now_ns);
    run_out(&m);
    for (unsigned r = 0; r < WAKE_RESULTS; r++)
        results += wake_job_results(m.job, (enum wake_result)r);
    assert_true(results == m.count && wake_job_begun(m.job) == 0);
    wake_job_free(m.job);
}

static void each_machine_ends_in_one_result_within_bounds(void **state)
{
    struct gen gen;

    (void)state;
    gen_init_from_env(&gen);
    for (unsigned i = 0; i < ROUNDS; i++)
        one_round(&gen);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_machine_ends_in_one_result_within_bounds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
