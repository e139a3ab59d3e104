/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_wake_job.c – one machine through every turn of being woken. */
/* LINKS: sim_world */
#include "hub/wake_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define S NS_PER_S

static struct wake_job *job_of(size_t count, size_t at_once)
{
    struct wake_job *job = wake_job_new(&(struct wake_job_options){.at_once = at_once, .rate = 1});

    for (size_t i = 0; i < count; i++) {
        char name[32];

        snprintf(name, sizeof name, "pc-%zu", i + 1);
        wake_job_add(job, name);
    }
    return job;
}

static bool told(struct wake_job *job, const char *device, uint64_t number, enum wake_word word,
                 uint64_t now_ns)
{
    struct wake_told t = {.word = word, .why = "no link here is in its subnet"};

    snprintf(t.device, sizeof t.device, "%s", device);
    return wake_job_told(job, "box", number, &t, now_ns);
}

static void order(struct wake_job *job, size_t expected, uint64_t number, uint64_t now_ns)
{
    size_t i;

    assert_true(wake_job_next(job, now_ns, &i));
    assert_int_equal(i, expected);
    wake_job_ordered(job, i, "box", number, now_ns);
}

static enum wake_result result(const struct wake_job *job)
{
    return wake_job_machine(job, 0)->result;
}

static void a_machine_that_comes_is_woken(void **state)
{
    struct wake_job *job = job_of(1, 1);

    (void)state;
    order(job, 0, 7, 10 * S);
    assert_true(told(job, "pc-1", 7, WAKE_WORD_SENT, 10 * S));
    assert_true(wake_job_awake(job, "pc-1", 40 * S));
    assert_int_equal(result(job), WAKE_WOKEN);
    assert_false(wake_job_awake(job, "pc-1", 41 * S));
    assert_true(wake_job_is_done(job));
    wake_job_free(job);
}

static void a_machine_that_never_comes_is_sent_for_three_times(void **state)
{
    struct wake_job *job = job_of(1, 1);
    const uint64_t at_s[] = {0, 30, 90};
    size_t i;

    (void)state;
    for (unsigned n = 0; n < WAKE_JOB_ATTEMPTS; n++) {
        assert_false(n > 0 && wake_job_next(job, at_s[n] * S - 1, &i));
        order(job, 0, n, at_s[n] * S);
        assert_true(told(job, "pc-1", n, WAKE_WORD_SENT, at_s[n] * S));
    }
    assert_true(wake_job_next_ns(job) == 210 * S);
    assert_false(wake_job_next(job, 210 * S - 1, &i));
    assert_int_equal(result(job), WAKE_NO_RESULT);
    assert_false(wake_job_next(job, 210 * S, &i));
    assert_int_equal(result(job), WAKE_NEVER_ANSWERED);
    wake_job_free(job);
}

static void without_a_guard_it_is_given_up_after_ten_seconds(void **state)
{
    struct wake_job *job = job_of(1, 1);
    uint64_t now_ns = 5 * S;
    size_t i;

    (void)state;
    while (wake_job_next(job, now_ns, &i)) {
        wake_job_unguarded(job, i, now_ns);
        now_ns = wake_job_next_ns(job);
    }
    assert_int_equal(result(job), WAKE_NOBODY_AWAKE);
    assert_true(wake_job_machine(job, 0)->done_ns == 15 * S);
    wake_job_free(job);
}

static void a_guard_that_leaves_is_replaced_at_once(void **state)
{
    struct wake_job *job = job_of(1, 1);

    (void)state;
    order(job, 0, 1, 10 * S);
    wake_job_guard_left(job, "box", 12 * S);
    assert_false(wake_job_may_ask(job, 0, "box"));
    order(job, 0, 2, 12 * S);
    wake_job_free(job);
}

static void a_guard_that_says_nothing_is_replaced_after_five_seconds(void **state)
{
    struct wake_job *job = job_of(1, 1);
    size_t i;

    (void)state;
    order(job, 0, 1, 10 * S);
    assert_false(wake_job_next(job, 15 * S - 1, &i));
    assert_true(wake_job_next(job, 15 * S, &i));
    assert_false(wake_job_may_ask(job, 0, "box"));
    assert_false(told(job, "pc-1", 1, WAKE_WORD_SENT, 16 * S)); /* too late to count */
    wake_job_unguarded(job, i, 16 * S);
    wake_job_free(job);
}

static void what_the_last_guard_refused_is_the_operators_to_read(void **state)
{
    struct wake_job *job = job_of(1, 1);
    uint64_t now_ns = 10 * S;
    size_t i;

    (void)state;
    order(job, 0, 1, now_ns);
    assert_true(told(job, "pc-1", 1, WAKE_WORD_REFUSED, now_ns));
    while (wake_job_next(job, now_ns, &i)) {
        wake_job_unguarded(job, i, now_ns);
        now_ns = wake_job_next_ns(job);
    }
    assert_int_equal(result(job), WAKE_REFUSED);
    assert_string_equal(wake_job_machine(job, 0)->why, "no link here is in its subnet");
    wake_job_free(job);
}

static void a_few_at_a_time_and_one_after_another(void **state)
{
    struct wake_job *job = job_of(4, 2);
    size_t i;

    (void)state;
    order(job, 0, 1, 10 * S);
    assert_false(wake_job_next(job, 10 * S, &i));
    order(job, 1, 1, 11 * S);
    assert_true(told(job, "pc-1", 1, WAKE_WORD_SENT, 11 * S));
    assert_true(told(job, "pc-2", 1, WAKE_WORD_SENT, 11 * S));
    assert_false(wake_job_next(job, 13 * S, &i)); /* two are begun */
    assert_true(wake_job_awake(job, "pc-2", 14 * S));
    order(job, 2, 2, 14 * S);
    assert_int_equal(wake_job_begun(job), 2);
    wake_job_free(job);
}

static void nobody_begins_before_the_content_is_there(void **state)
{
    struct wake_job *job = job_of(2, 2);
    size_t i;

    (void)state;
    wake_job_hold(job, 0, true);
    wake_job_hold(job, 1, true);
    assert_false(wake_job_next(job, 10 * S, &i));
    assert_true(wake_job_next_ns(job) == UINT64_MAX);
    assert_true(wake_job_awake(job, "pc-1", 11 * S)); /* by itself */
    assert_int_equal(result(job), WAKE_ALREADY_AWAKE);
    wake_job_hold(job, 0, false); /* done is done */
    assert_false(wake_job_next(job, 12 * S, &i));
    wake_job_hold(job, 1, false);
    order(job, 1, 1, 12 * S);
    wake_job_end(job, "an operator ended it", 13 * S);
    assert_int_equal(wake_job_machine(job, 1)->result, WAKE_ENDED);
    wake_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_that_comes_is_woken),
        cmocka_unit_test(a_machine_that_never_comes_is_sent_for_three_times),
        cmocka_unit_test(without_a_guard_it_is_given_up_after_ten_seconds),
        cmocka_unit_test(a_guard_that_leaves_is_replaced_at_once),
        cmocka_unit_test(a_guard_that_says_nothing_is_replaced_after_five_seconds),
        cmocka_unit_test(what_the_last_guard_refused_is_the_operators_to_read),
        cmocka_unit_test(a_few_at_a_time_and_one_after_another),
        cmocka_unit_test(nobody_begins_before_the_content_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
