/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/net/test_loop.c – timers, graveyard, jobs, signals and lag of the kernel's loop. */
#include "net/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "support/gen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int make_loop(void **state)
{
    *state = loop_new(&(struct loop_options){.workers = 3});
    return 0;
}
static int drop_loop(void **state)
{
    loop_free(*state);
    return 0;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

/* ---- timers ---------------------------------------------------------------------------------- */

enum { TIMERS = 200 };

struct order {
    struct loop *loop;
    struct timer timers[TIMERS];
    uint64_t seen[TIMERS];
    size_t count, expected;
};

struct numbered {
    struct order *order;
    size_t number;
};

static void note(void *arg)
{
    struct numbered *n = arg;
    struct order *o = n->order;

    o->seen[o->count++] = n->number;
    if (o->count == o->expected)
        loop_stop(o->loop);
}

static void timers_run_by_time_and_equal_ones_in_the_order_set(void **state)
{
    struct order o = {.loop = *state, .expected = TIMERS};
    struct numbered numbers[TIMERS];
    struct gen gen;
    uint64_t start_ns = loop_now_ns(o.loop) + NS_PER_MS * 20;

    gen_init_from_env(&gen);
    for (size_t i = 0; i < TIMERS; i++) {
        numbers[i] = (struct numbered){&o, i};
        timer_init(&o.timers[i], o.loop, note, &numbers[i]);
        timer_set(&o.timers[i], start_ns + gen_below(&gen, 8) * 1000);
    }
    loop_run(o.loop);
    for (size_t i = 1; i < TIMERS; i++) {
        const struct timer *before = &o.timers[o.seen[i - 1]];
        const struct timer *after = &o.timers[o.seen[i]];

        assert_true(before->at_ns <= after->at_ns);
        if (before->at_ns == after->at_ns)
            assert_true(o.seen[i - 1] < o.seen[i]);
    }
}

static void a_stopped_timer_does_not_run_and_the_others_do(void **state)
{
    struct order o = {.loop = *state, .expected = TIMERS / 2};
    struct numbered numbers[TIMERS];
    uint64_t now_ns = loop_now_ns(o.loop);

    for (size_t i = 0; i < TIMERS; i++) {
        numbers[i] = (struct numbered){&o, i};
        timer_init(&o.timers[i], o.loop, note, &numbers[i]);
        timer_set(&o.timers[i], now_ns + (i * 7919) % TIMERS * 1000);
    }
    for (size_t i = 0; i < TIMERS; i += 2) {
        timer_stop(&o.timers[i]);
        timer_stop(&o.timers[i]);
        assert_false(timer_is_set(&o.timers[i]));
    }
    loop_run(o.loop);
    for (size_t i = 0; i < o.count; i++)
        assert_int_equal(o.seen[i] % 2, 1);
}

static void setting_a_timer_again_replaces_its_time(void **state)
{
    struct order o = {.loop = *state, .expected = 2};
    struct numbered numbers[2] = {{&o, 0}, {&o, 1}};

    timer_init(&o.timers[0], o.loop, note, &numbers[0]);
    timer_init(&o.timers[1], o.loop, note, &numbers[1]);
    timer_set_in(&o.timers[0], 0);
    timer_set_in(&o.timers[1], NS_PER_MS);
    timer_set_in(&o.timers[0], 2 * NS_PER_MS);
    loop_run(o.loop);
    assert_int_equal(o.seen[0], 1);
    assert_int_equal(o.seen[1], 0);
}

static void a_timer_never_runs_early(void **state)
{
    struct loop *loop = *state;
    struct timer t;
    uint64_t at_ns = loop_now_ns(loop) + 3 * NS_PER_MS + 333;

    timer_init(&t, loop, stop, loop);
    timer_set(&t, at_ns);
    loop_run(loop);
    assert_true(loop_now_ns(loop) >= at_ns);
}

struct greedy {
    struct timer timer;
    unsigned runs;
};

static void run_again(void *arg)
{
    struct greedy *g = arg;

    g->runs++;
    timer_set(&g->timer, 0);
}

static void a_timer_that_asks_for_the_past_again_and_again_starves_nobody(void **state)
{
    struct loop *loop = *state;
    struct greedy g = {.runs = 0};
    struct timer end;

    timer_init(&g.timer, loop, run_again, &g);
    timer_init(&end, loop, stop, loop);
    timer_set(&g.timer, 0);
    timer_set_in(&end, NS_PER_MS);
    loop_run(loop);
    assert_true(g.runs > 0);
    timer_stop(&g.timer);
}

static void random_values_stay_within_their_bounds(void **state)
{
    for (unsigned i = 0; i < 200; i++) {
        uint64_t value = loop_random_between(*state, 10, 12);

        assert_in_range(value, 10, 12);
    }
    assert_int_equal(loop_random_between(*state, 5, 5), 5);
    (void)loop_random_between(*state, 0, UINT64_MAX);
}

/* ---- the graveyard --------------------------------------------------------------------------- */

struct mortal {
    struct loop *loop;
    struct timer timer;
    struct mortal *heir; /* buried when this one is freed */
    unsigned *freed;
    unsigned touched;
};

static void bury_heir(void *arg)
{
    struct mortal *m = arg;

    (*m->freed)++;
    if (m->heir != NULL)
        loop_bury(m->loop, bury_heir, m->heir);
    free(m);
}

static void die_in_callback(void *arg)
{
    struct mortal *m = arg;

    loop_bury(m->loop, bury_heir, m);
    m->touched++; /* still there: the memory goes after the batch */
    assert_int_equal(*m->freed, 0);
    loop_stop(m->loop);
}

static void what_is_buried_in_its_own_callback_lives_until_the_batch_ends(void **state)
{
    struct mortal *m = xalloc(sizeof(*m));
    unsigned freed = 0;

    *m = (struct mortal){.loop = *state, .freed = &freed, .heir = xalloc(sizeof(*m))};
    *m->heir = (struct mortal){.loop = *state, .freed = &freed};
    timer_init(&m->timer, *state, die_in_callback, m);
    timer_set_in(&m->timer, 0);
    loop_run(*state);
    assert_int_equal(freed, 2);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

enum { JOBS = 500 };

struct lane {
    struct loop *loop;
    unsigned running, most_running, next_run, next_done;
    bool out_of_order, was_inside_submit, is_submitting;
    pthread_t loop_thread;
};

struct lane_job {
    struct job job;
    struct lane *lane;
    unsigned number;
};

static void run_in_lane(struct job *job)
{
    struct lane_job *j = ALB_CONTAINER(job, struct lane_job, job);
    struct lane *lane = j->lane;
    unsigned now = __atomic_add_fetch(&lane->running, 1, __ATOMIC_SEQ_CST);

    if (now > lane->most_running)
        lane->most_running = now;
    if (lane->next_run++ != j->number || pthread_equal(pthread_self(), lane->loop_thread))
        lane->out_of_order = true;
    __atomic_sub_fetch(&lane->running, 1, __ATOMIC_SEQ_CST);
}

static void done_in_lane(struct job *job)
{
    struct lane_job *j = ALB_CONTAINER(job, struct lane_job, job);
    struct lane *lane = j->lane;

    if (lane->next_done++ != j->number || !pthread_equal(pthread_self(), lane->loop_thread))
        lane->out_of_order = true;
    lane->was_inside_submit = lane->was_inside_submit || lane->is_submitting;
    if (lane->next_done == JOBS)
        loop_stop(lane->loop);
    free(j);
}

static void the_ordered_lane_runs_one_at_a_time_in_the_order_submitted(void **state)
{
    struct lane lane = {.loop = *state, .loop_thread = pthread_self()};

    lane.is_submitting = true;
    for (unsigned i = 0; i < JOBS; i++) {
        struct lane_job *j = xalloc(sizeof(*j));

        *j = (struct lane_job){
            .job = {.run = run_in_lane, .done = done_in_lane, .lane = JOB_ORDERED},
            .lane = &lane,
            .number = i};
        loop_submit(*state, &j->job);
    }
    lane.is_submitting = false;
    loop_run(*state);
    assert_false(lane.out_of_order);
    assert_false(lane.was_inside_submit);
    assert_int_equal(lane.most_running, 1);
}

struct meeting {
    struct job jobs[2];
    pthread_barrier_t barrier;
    struct loop *loop;
    unsigned done;
};

static struct meeting *the_meeting(struct job *job)
{
    return ALB_CONTAINER(job - job->work_bytes, struct meeting, jobs);
}
static void meet(struct job *job)
{
    pthread_barrier_wait(&the_meeting(job)->barrier);
}
static void leave_meeting(struct job *job)
{
    struct meeting *m = the_meeting(job);

    if (++m->done == 2)
        loop_stop(m->loop);
}

static void shared_jobs_run_beside_the_ordered_lane(void **state)
{
    struct meeting m = {.loop = *state};

    /* Each waits for the other inside run(): done only when both run at once. */
    pthread_barrier_init(&m.barrier, NULL, 2);
    for (unsigned i = 0; i < 2; i++) {
        m.jobs[i] = (struct job){.run = meet, .done = leave_meeting, .work_bytes = i};
        m.jobs[i].lane = i == 0 ? JOB_ORDERED : JOB_SHARED;
        loop_submit(*state, &m.jobs[i]);
    }
    loop_run(*state);
    assert_int_equal(m.done, 2);
    pthread_barrier_destroy(&m.barrier);
}

static void run_nothing(struct job *job)
{
    (void)job;
}
static void count_done(struct job *job)
{
    (*(unsigned *)(uintptr_t)job->work_bytes)++;
}

static void freeing_the_loop_still_calls_done(void **state)
{
    struct loop *loop = loop_new(&(struct loop_options){.workers = 1});
    unsigned done = 0;
    struct job jobs[20];

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(jobs); i++) {
        jobs[i] =
            (struct job){.run = run_nothing, .done = count_done, .work_bytes = (uintptr_t)&done};
        loop_submit(loop, &jobs[i]);
    }
    loop_free(loop);
    assert_int_equal(done, ALB_COUNT(jobs));
}

/* ---- lag and signals ------------------------------------------------------------------------- */

static void catch_line(void *arg, enum log_level level, const char *line)
{
    unsigned *hits = arg;

    (void)level;
    if (strstr(line, "event=loop.lag ms=") != NULL)
        (*hits)++;
}

static void hog(void *arg)
{
    struct loop *loop = arg;
    uint64_t until_ns = loop_now_ns(loop) + 60 * NS_PER_MS;

    while (loop_now_ns(loop) < until_ns)
        ;
    loop_stop(loop);
}

static void a_callback_that_takes_long_is_logged_as_lag(void **state)
{
    struct timer t;
    unsigned hits = 0;

    log_install(catch_line, &hits, LOG_DEBUG);
    timer_init(&t, *state, hog, *state);
    timer_set_in(&t, 0);
    loop_run(*state);
    log_install(NULL, NULL, LOG_DEBUG);
    assert_int_equal(hits, 1);
    assert_true(loop_worst_lag_ns(*state) >= 60 * NS_PER_MS);
}

static void raise_signal(void *arg)
{
    (void)arg;
    raise(SIGTERM);
}

static void a_termination_signal_becomes_a_call_on_the_loop(void **state)
{
    struct timer t;

    loop_on_terminate(*state, stop, *state);
    timer_init(&t, *state, raise_signal, NULL);
    timer_set_in(&t, 0);
    loop_run(*state); /* ends only by the signal */
}

#define ON_A_LOOP(test) cmocka_unit_test_setup_teardown(test, make_loop, drop_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_LOOP(timers_run_by_time_and_equal_ones_in_the_order_set),
        ON_A_LOOP(a_stopped_timer_does_not_run_and_the_others_do),
        ON_A_LOOP(setting_a_timer_again_replaces_its_time),
        ON_A_LOOP(a_timer_never_runs_early),
        ON_A_LOOP(a_timer_that_asks_for_the_past_again_and_again_starves_nobody),
        ON_A_LOOP(random_values_stay_within_their_bounds),
        ON_A_LOOP(what_is_buried_in_its_own_callback_lives_until_the_batch_ends),
        ON_A_LOOP(the_ordered_lane_runs_one_at_a_time_in_the_order_submitted),
        ON_A_LOOP(shared_jobs_run_beside_the_ordered_lane),
        cmocka_unit_test(freeing_the_loop_still_calls_done),
        ON_A_LOOP(a_callback_that_takes_long_is_logged_as_lag),
        ON_A_LOOP(a_termination_signal_becomes_a_call_on_the_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
