/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_progress.c – the line of a command that the policy stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "client/progress.h"

static const char *text_of(const char *held, size_t columns, char *out)
{
    const struct progress p = {.phase = "fetching", .rate_bps = 5};
    const struct progress_figures f = {.done_bytes = 5, .total_bytes = 10, .held = held};

    return progress_text(&p, &f, columns, out);
}

static void what_stops_it_stands_in_the_line_instead_of_figures(void **state)
{
    char out[PROGRESS_TEXT_SIZE];

    (void)state;
    assert_string_equal(text_of("paused by rule 1 (office)", 100, out),
                        "fetching: paused by rule 1 (office)");
    assert_non_null(strstr(text_of(NULL, 100, out), "50 %"));
}

static void a_reason_longer_than_the_line_is_cut_between_letters(void **state)
{
    char out[PROGRESS_TEXT_SIZE];
    char long_text[600];

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(strlen(text_of(long_text, 79, out)), 79);
    assert_int_equal(strlen(text_of(long_text, 4000, out)), PROGRESS_TEXT_SIZE - 1);
    assert_string_equal(text_of("caf\xc3\xa9 bar", 14, out), "fetching: caf"); /* half an é fits */
    assert_string_equal(text_of("caf\xc3\xa9 bar", 15, out), "fetching: caf\xc3\xa9");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stops_it_stands_in_the_line_instead_of_figures),
        cmocka_unit_test(a_reason_longer_than_the_line_is_cut_between_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
