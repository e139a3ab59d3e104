/* SPDX-License-Identifier: Apache-2.0 */
/* unit/base/test_process.c – open files are raised to what is allowed, and sessions fit in them. */
#include "base/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>

#include <cmocka.h>

static void open_files_are_raised_to_the_hard_limit(void **state)
{
    struct rlimit before, after;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit low = {.rlim_cur = 256, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(process_raise_open_files(), before.rlim_max);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, before.rlim_max);
}

static void sessions_leave_room_for_other_files(void **state)
{
    (void)state;
    assert_int_equal(process_sessions_that_fit(1 << 20, 4096), 4096);
    assert_int_equal(process_sessions_that_fit(4096, 4096), 4096 - 768);
    assert_int_equal(process_sessions_that_fit(1024, 4096), 512);
    assert_int_equal(process_sessions_that_fit(1024, 100), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_files_are_raised_to_the_hard_limit),
        cmocka_unit_test(sessions_leave_room_for_other_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
