/* SPDX-License-Identifier: Apache-2.0 */
/* unit/base/test_log_limit.c – a flood of lines becomes a screen and a count. */
#include "base/log_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

static char last[LOG_LINE_SIZE];

static void keep(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)snprintf(last, sizeof last, "%s", line);
}

static void a_flood_is_cut_to_a_screen_and_the_rest_is_counted(void **state)
{
    struct log_limit limit;
    unsigned passed = 0;

    (void)state;
    log_install(keep, NULL, LOG_INFO);
    log_limit_init(&limit, "door.slammed");
    for (unsigned i = 0; i < 1000; i++)
        passed += log_limit_passes(&limit, NS_PER_S);
    assert_int_equal(passed, LOG_LIMIT_LINES);
    assert_true(log_limit_passes(&limit, NS_PER_S + LOG_LIMIT_INTERVAL_NS));
    assert_string_equal(last, "event=log.held of=door.slammed lines=980");
    assert_int_equal(limit.held_ever, 980);
    log_install(NULL, NULL, LOG_ERROR);
}

static void what_comes_seldom_always_passes(void **state)
{
    struct log_limit limit;

    (void)state;
    last[0] = '\0';
    log_install(keep, NULL, LOG_INFO);
    log_limit_init(&limit, "door.opened");
    for (uint64_t i = 0; i < 100; i++)
        assert_true(log_limit_passes(&limit, i * 10 * NS_PER_S));
    assert_string_equal(last, "");
    log_install(NULL, NULL, LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_is_cut_to_a_screen_and_the_rest_is_counted),
        cmocka_unit_test(what_comes_seldom_always_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
