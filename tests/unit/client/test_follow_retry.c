/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_follow_retry.c – what a parent says does not switch off the wait after failures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/units.h"
#include "client/follow_retry.h"

static const struct digest NONE, FIRST = {.bytes = {1}}, SECOND = {.bytes = {2}};

static void each_failure_doubles_the_wait_up_to_ten_minutes(void **state)
{
    static const uint64_t WAITS_S[] = {10, 20, 40, 80, 160, 320, 600, 600};
    struct follow_retry r = {.failures = 0};

    (void)state;
    for (size_t i = 0; i < sizeof WAITS_S / sizeof WAITS_S[0]; i++)
        assert_int_equal(follow_retry_failed(&r, &FIRST, NS_PER_S), WAITS_S[i] * NS_PER_S);
    follow_retry_done(&r);
    assert_int_equal(follow_retry_failed(&r, &FIRST, NS_PER_S), 10 * NS_PER_S);
}

/* A hundred events a second for an hour: the head is asked for every ten seconds, and never pulled
 * again, since it is the one that failed. */
static void a_parents_head_events_do_not_shorten_the_wait(void **state)
{
    struct follow_retry r = {.failures = 0};
    unsigned asked = 0, pulls = 0;

    (void)state;
    (void)follow_retry_failed(&r, &FIRST, NS_PER_S);
    for (uint64_t now_ns = NS_PER_S; now_ns <= 3601 * NS_PER_S; now_ns += NS_PER_S / 100) {
        if (follow_retry_ask_at(&r, now_ns) > now_ns)
            continue;
        follow_retry_asked(&r, now_ns);
        asked++;
        pulls += follow_retry_is_news(&r, &FIRST);
    }
    assert_int_equal(asked, 361);
    assert_int_equal(pulls, 0);
}

static void a_new_version_is_pulled_at_once_and_once(void **state)
{
    struct follow_retry r = {.failures = 0};

    (void)state;
    (void)follow_retry_failed(&r, &FIRST, NS_PER_S);
    assert_true(follow_retry_is_news(&r, &SECOND));
    assert_int_equal(follow_retry_failed(&r, &SECOND, 2 * NS_PER_S), 20 * NS_PER_S);
    assert_false(follow_retry_is_news(&r, &SECOND));
}

/* It fails before it knows a head (the target cannot be written, say): one try for what is heard,
 * not one for each event. */
static void a_failure_without_a_head_is_tried_for_a_head_once(void **state)
{
    struct follow_retry r = {.failures = 0};

    (void)state;
    (void)follow_retry_failed(&r, &NONE, NS_PER_S);
    assert_true(follow_retry_is_news(&r, &FIRST));
    (void)follow_retry_failed(&r, &NONE, 2 * NS_PER_S);
    assert_false(follow_retry_is_news(&r, &FIRST));
}

static void a_line_that_flaps_has_it_tried_every_ten_seconds_at_most(void **state)
{
    struct follow_retry r = {.failures = 0};

    (void)state;
    (void)follow_retry_failed(&r, &FIRST, 5 * NS_PER_S);
    assert_int_equal(follow_retry_line_up(&r, 6 * NS_PER_S), 15 * NS_PER_S);
    assert_int_equal(follow_retry_line_up(&r, 60 * NS_PER_S), 60 * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_doubles_the_wait_up_to_ten_minutes),
        cmocka_unit_test(a_parents_head_events_do_not_shorten_the_wait),
        cmocka_unit_test(a_new_version_is_pulled_at_once_and_once),
        cmocka_unit_test(a_failure_without_a_head_is_tried_for_a_head_once),
        cmocka_unit_test(a_line_that_flaps_has_it_tried_every_ten_seconds_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
