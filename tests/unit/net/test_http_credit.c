/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_http_credit.c – when connection window is granted, and how much: the arithmetic. */
#include "net/http_credit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { INITIAL = 65535 };

static void nothing_is_granted_without_a_reason(void **state)
{
    struct http_credit c;

    (void)state;
    http_credit_init(&c, 0);
    assert_int_equal(http_credit_due(&c, INITIAL), 0);
    assert_int_equal(http_credit_due(&c, 0), 0);
}

static void the_initial_window_counts_as_granted(void **state)
{
    struct http_credit c;

    (void)state;
    http_credit_init(&c, 0);
    http_credit_announce(&c, 60000);
    assert_int_equal(http_credit_due(&c, INITIAL), 0);
    http_credit_announce(&c, 40000);
    assert_int_equal(http_credit_due(&c, INITIAL), 100000 - INITIAL);
}

static void no_more_than_the_window_is_outstanding(void **state)
{
    struct http_credit c;

    (void)state;
    http_credit_init(&c, 100000);
    http_credit_announce(&c, 10000000);
    assert_int_equal(http_credit_due(&c, INITIAL), 100000 - INITIAL);
    assert_int_equal(http_credit_due(&c, 100000), 0);
    assert_int_equal(http_credit_due(&c, 200000), 0);
}

static void small_change_waits_until_the_other_side_runs_dry(void **state)
{
    struct http_credit c;

    (void)state;
    http_credit_init(&c, 1 << 20); /* an eighth: 131,072 */
    http_credit_announce(&c, 100 << 20);
    assert_int_equal(http_credit_due(&c, (1 << 20) - 1000), 0);
    assert_int_equal(http_credit_due(&c, (1 << 20) - 131072), 131072);
    http_credit_settle(&c, 100 << 20);
    http_credit_announce(&c, 131000 + 500);
    assert_int_equal(http_credit_due(&c, 131000), 500);
}

static void every_announced_byte_can_come_in_the_end(void **state)
{
    static const uint64_t sizes[] = {1, 1399, 65535, 65536, 70000, 1 << 20, 123456789};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct http_credit c;
        uint64_t outstanding = INITIAL;

        http_credit_init(&c, 300000);
        http_credit_announce(&c, sizes[i]);
        while (c.announced_bytes > 0) {
            outstanding += http_credit_due(&c, outstanding);
            uint64_t n = outstanding < 16384 ? outstanding : 16384;
            n = n < c.announced_bytes ? n : c.announced_bytes;
            assert_true(n > 0);
            assert_true(outstanding <= 300000);
            outstanding -= n;
            http_credit_settle(&c, n);
        }
    }
}

static void a_window_the_protocol_cannot_say_is_cut(void **state)
{
    struct http_credit c;

    (void)state;
    http_credit_init(&c, UINT64_MAX);
    assert_int_equal(c.window_bytes, HTTP_WINDOW_MAX);
    http_credit_set_window(&c, 0);
    assert_int_equal(c.window_bytes, HTTP_WINDOW_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_granted_without_a_reason),
        cmocka_unit_test(the_initial_window_counts_as_granted),
        cmocka_unit_test(no_more_than_the_window_is_outstanding),
        cmocka_unit_test(small_change_waits_until_the_other_side_runs_dry),
        cmocka_unit_test(every_announced_byte_can_come_in_the_end),
        cmocka_unit_test(a_window_the_protocol_cannot_say_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
