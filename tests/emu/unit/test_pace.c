/* SPDX-License-Identifier: Apache-2.0 */
/* emu/unit/test_pace.c – naps come with thick streams and end with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emu/pace.h"

#define US 1000u
#define T0 5000000000u
#define NAP (200 * US)

/* `wakes` looks, `gap_ns` apart, of `packets` each. */
static struct pace run(unsigned wakes, uint64_t gap_ns, uint32_t packets)
{
    struct pace pace = {.nap_ns = NAP};
    for (unsigned i = 0; i < wakes; i++)
        pace_served(&pace, packets, T0 + i * gap_ns);
    return pace;
}

static void sparse_packets_never_wait(void **state)
{
    (void)state;
    struct pace pace = run(1000, 150 * US, 1);
    assert_int_equal(pace_nap_until_ns(&pace), 0);
}

static void thick_wakes_lead_to_a_nap_from_the_last_look(void **state)
{
    (void)state;
    struct pace pace = run(9, 50 * US, 2);
    assert_int_equal(pace_nap_until_ns(&pace), T0 + 8 * 50 * US + NAP);
}

static void naps_last_while_they_gather_packets(void **state)
{
    (void)state;
    struct pace pace = run(9, 50 * US, 2);
    pace_served(&pace, 4, T0 + 1000 * US);
    assert_int_equal(pace_nap_until_ns(&pace), T0 + 1000 * US + NAP);
    pace_served(&pace, 1, T0 + 1200 * US);
    assert_int_equal(pace_nap_until_ns(&pace), 0);
}

static void nobody_sleeps_with_a_batch_still_waiting(void **state)
{
    (void)state;
    struct pace pace = run(9, 50 * US, PACE_BATCH);
    assert_int_equal(pace_nap_until_ns(&pace), 0);
    pace_served(&pace, 3, T0 + 450 * US);
    assert_int_not_equal(pace_nap_until_ns(&pace), 0);
}

static void a_nap_of_nothing_never_happens(void **state)
{
    (void)state;
    struct pace pace = {0};
    for (unsigned i = 0; i < 100; i++)
        pace_served(&pace, 9, T0 + i);
    assert_int_equal(pace_nap_until_ns(&pace), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sparse_packets_never_wait),
        cmocka_unit_test(thick_wakes_lead_to_a_nap_from_the_last_look),
        cmocka_unit_test(naps_last_while_they_gather_packets),
        cmocka_unit_test(nobody_sleeps_with_a_batch_still_waiting),
        cmocka_unit_test(a_nap_of_nothing_never_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
