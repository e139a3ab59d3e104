/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/test_alloc.c – memory that is zeroed, owned and handed over. */
#include "base/alloc.h"

#include <stdint.h>
#include <string.h>

#include "base/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void memory_for_small_things_is_zeroed(void **state)
{
    AUTO_FREE uint8_t *one = xalloc(64);
    AUTO_FREE uint32_t *many = xcalloc(16, sizeof *many);

    (void)state;
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(one[i], 0);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(many[i], 0);
}

static void nothing_is_still_a_block(void **state)
{
    AUTO_FREE void *a = xalloc(0);
    AUTO_FREE void *b = xcalloc(0, 8);
    AUTO_FREE void *c = try_alloc(0);

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
}

static void texts_are_copied_cut_and_formatted(void **state)
{
    AUTO_FREE char *whole = xstrdup("layer");
    AUTO_FREE char *part = xstrndup("layer", 3);
    AUTO_FREE char *made = xasprintf("%s/%d", "base", 12);

    (void)state;
    assert_string_equal(whole, "layer");
    assert_string_equal(part, "lay");
    assert_string_equal(made, "base/12");
}

static void growing_keeps_what_was_there(void **state)
{
    char *text = xstrdup("kept");

    (void)state;
    text = xrealloc(text, 1000);
    assert_string_equal(text, "kept");
    text = try_realloc(text, 2000);
    assert_non_null(text);
    assert_string_equal(text, "kept");
    free(text);
}

static void an_absurd_size_is_answered_with_null(void **state)
{
    volatile size_t absurd = SIZE_MAX - 7;

    (void)state;
    assert_null(try_alloc(absurd));
    assert_null(try_realloc(NULL, absurd));
}

static void taking_a_pointer_empties_the_source(void **state)
{
    AUTO_FREE char *mine = xstrdup("x");
    AUTO_FREE char *yours = take_ptr(&mine);

    (void)state;
    assert_null(mine);
    assert_string_equal(yours, "x");
}

static void a_container_is_found_from_its_member(void **state)
{
    struct pair {
        int first;
        int second;
    } pair = {1, 2};

    (void)state;
    assert_ptr_equal(ALB_CONTAINER(&pair.second, struct pair, second), &pair);
}

static void an_armed_fault_fails_the_nth_allocation_once(void **state)
{
    (void)state;
#ifdef ALB_FAULT
    fault_arm("alloc", 1);
    AUTO_FREE void *first = try_alloc(8);
    void *second = try_alloc(8);
    AUTO_FREE void *third = try_alloc(8);

    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    assert_true(fault_fired());
    fault_arm("elsewhere", 0);
    assert_false(fault_hits("alloc"));
    assert_false(fault_fired());
    fault_arm(NULL, 0);
    assert_true(fault_hits("anything"));
    assert_false(fault_hits("anything"));
    fault_arm(NULL, 0);
    fault_disarm();
    assert_false(fault_hits("anything"));
#else
    assert_false(fault_hits("alloc"));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_for_small_things_is_zeroed),
        cmocka_unit_test(nothing_is_still_a_block),
        cmocka_unit_test(texts_are_copied_cut_and_formatted),
        cmocka_unit_test(growing_keeps_what_was_there),
        cmocka_unit_test(an_absurd_size_is_answered_with_null),
        cmocka_unit_test(taking_a_pointer_empties_the_source),
        cmocka_unit_test(a_container_is_found_from_its_member),
        cmocka_unit_test(an_armed_fault_fails_the_nth_allocation_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
