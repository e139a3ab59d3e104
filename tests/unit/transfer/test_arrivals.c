/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_arrivals.c – what came, told to siblings once, in order, as far as kept. */
#include "transfer/arrivals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void add(struct arrivals *a, const char *layer, enum chunk_list list, uint32_t position)
{
    struct where where = {.list = list, .position = position};

    snprintf(where.layer, sizeof where.layer, "%s", layer);
    where.root.bytes[0] = 7;
    arrivals_add(a, &where);
}

static void nothing_came_yet(void **state)
{
    struct arrivals a = {.ring = NULL};
    struct arrivals_answer answer;

    (void)state;
    arrivals_after(&a, 0, NULL, NULL, &answer);
    assert_false(answer.has_some || answer.has_lost);
    assert_int_equal(answer.next, 0);
    arrivals_release(&a);
}

static void lists_are_told_one_by_one_ascending_and_each_position_once(void **state)
{
    struct arrivals a = {.ring = NULL};
    struct arrivals_answer answer;

    (void)state;
    add(&a, "base/os", LIST_CONTENT, 9);
    add(&a, "base/os", LIST_CONTENT, 3);
    add(&a, "base/os", LIST_CONTENT, 9);
    add(&a, "base/app", LIST_CONTENT, 4);
    arrivals_after(&a, 0, NULL, NULL, &answer);
    assert_true(answer.has_some && answer.next == 3);
    assert_int_equal(batch_request_items(&answer.came), 2);
    assert_int_equal(answer.came.runs[0].first, 3);
    arrivals_after(&a, answer.next, NULL, NULL, &answer);
    assert_string_equal(answer.came.layer, "base/app");
    assert_int_equal(answer.next, 4);
    arrivals_after(&a, answer.next, NULL, NULL, &answer);
    assert_false(answer.has_some);
    arrivals_release(&a);
}

static bool is_app(const void *arg, const char *layer)
{
    (void)arg;
    return strcmp(layer, "base/app") == 0;
}

static void what_the_asker_may_not_read_is_passed_over(void **state)
{
    struct arrivals a = {.ring = NULL};
    struct arrivals_answer answer;

    (void)state;
    add(&a, "base/os", LIST_CONTENT, 1);
    add(&a, "base/app", LIST_CONTENT, 2);
    add(&a, "base/os", LIST_CONTENT, 3);
    arrivals_after(&a, 0, is_app, NULL, &answer);
    assert_string_equal(answer.came.layer, "base/app");
    assert_int_equal(batch_request_items(&answer.came), 1);
    assert_int_equal(answer.next, 3);
    arrivals_release(&a);
}

static void what_was_overwritten_is_said_to_be_lost(void **state)
{
    struct arrivals a = {.ring = NULL};
    struct arrivals_answer answer;

    (void)state;
    for (uint32_t i = 0; i < ARRIVALS_MOST + 10; i++)
        add(&a, "base/os", LIST_CONTENT, i);
    arrivals_after(&a, 5, NULL, NULL, &answer);
    assert_true(answer.has_lost);
    assert_int_equal(answer.came.runs[0].first, 10);
    assert_int_equal(batch_request_items(&answer.came), BATCH_ITEMS_MAX);
    arrivals_after(&a, answer.next, NULL, NULL, &answer);
    assert_false(answer.has_lost);
    arrivals_release(&a);
}

static void a_number_of_before_a_restart_begins_anew(void **state)
{
    struct arrivals a = {.ring = NULL};
    struct arrivals_answer answer;

    (void)state;
    add(&a, "base/os", LIST_CONTENT, 1);
    arrivals_after(&a, 900, NULL, NULL, &answer);
    assert_true(answer.has_some && answer.next == 1);
    arrivals_release(&a);
}

static void an_answer_survives_its_journey_and_others_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "arrivals",
                                      "arrivals \n",
                                      "arrivals 1\n",
                                      "arrivals x 0\n",
                                      "arrivals 1 2\n",
                                      "arrivals 1 0",
                                      "arrivals 1 0\nx"};
    struct arrivals a = {.ring = NULL};
    struct arrivals_answer answer, back;
    struct buf out;

    (void)state;
    add(&a, "base/os", LIST_MANIFEST, 5);
    arrivals_after(&a, 0, NULL, NULL, &answer);
    buf_init(&out, ARRIVALS_BYTES_MAX);
    assert_int_equal(arrivals_encode(&answer, &out).code, ALB_OK);
    assert_int_equal(arrivals_decode(buf_peek(&out), buf_size(&out), &back).code, ALB_OK);
    assert_true(back.has_some && back.next == 1 && back.came.list == LIST_MANIFEST);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(alb_failed(arrivals_decode(bad[i], strlen(bad[i]), &back)));
    buf_release(&out);
    arrivals_release(&a);
}

static void an_answer_without_a_byte_is_refused(void **state)
{
    struct arrivals_answer back;

    (void)state;
    assert_int_equal(arrivals_decode(NULL, 0, &back).code, ALB_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_came_yet),
        cmocka_unit_test(lists_are_told_one_by_one_ascending_and_each_position_once),
        cmocka_unit_test(what_the_asker_may_not_read_is_passed_over),
        cmocka_unit_test(what_was_overwritten_is_said_to_be_lost),
        cmocka_unit_test(a_number_of_before_a_restart_begins_anew),
        cmocka_unit_test(an_answer_survives_its_journey_and_others_are_refused),
        cmocka_unit_test(an_answer_without_a_byte_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
