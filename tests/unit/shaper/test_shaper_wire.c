/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/shaper/test_shaper_wire.c – bytes on the wire from what the kernel says, or does not.
 */
#include "shaper/shaper_wire.h"

#include "net/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define V4 "10.1.2.3:7443"
#define V6 "[2001:db8::1]:7443"

static void payload_sent_again_and_headers_of_all_packets_count(void **state)
{
    struct path_figures f = {.path_sent_bytes = 100000,
                             .wire_sent_bytes = 90000,
                             .segments_sent = 80,
                             .retransmitted = 7};

    (void)state;
    assert_int_equal(wire_sent(&f, V4, 0), 100000 + 80 * 52);
    assert_int_equal(wire_sent(&f, V6, 0), 100000 + 80 * 72);
    assert_int_equal(wire_sent(&f, "[::ffff:10.1.2.3]:7443", 0), 100000 + 80 * 52);
    assert_int_equal(wire_sent(&f, V4, 38), 100000 + 80 * 90);
}

static void what_waits_in_the_kernel_counts_as_if_it_had_left(void **state)
{
    struct path_figures f = {.path_sent_bytes = 1448, .segments_sent = 1, .unsent_bytes = 2896};

    (void)state;
    assert_int_equal(wire_sent(&f, V4, 0), 3 * 1500);
}

static void what_comes_counts_with_the_acknowledgements_of_what_we_send(void **state)
{
    struct path_figures f = {.wire_received_bytes = 14480, .segments_received = 25};

    (void)state;
    assert_int_equal(wire_received(&f, V4, 0), 14480 + 25 * 52);
    assert_int_equal(wire_received(&f, V6, 14), 14480 + 25 * 86);
}

static void a_system_that_counts_no_packets_is_taken_to_send_full_ones(void **state)
{
    struct path_figures f = {
        .wire_sent_bytes = 14480, .wire_received_bytes = 28960, .retransmitted = 1};

    (void)state;
    assert_int_equal(wire_sent(&f, V4, 0), 11 * 1500 + 10 * 52);
    assert_int_equal(wire_received(&f, V4, 0), 20 * 1500 + 5 * 52);
    assert_int_equal(wire_sent(&(struct path_figures){0}, "", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payload_sent_again_and_headers_of_all_packets_count),
        cmocka_unit_test(what_waits_in_the_kernel_counts_as_if_it_had_left),
        cmocka_unit_test(what_comes_counts_with_the_acknowledgements_of_what_we_send),
        cmocka_unit_test(a_system_that_counts_no_packets_is_taken_to_send_full_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
