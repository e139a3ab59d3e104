/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_own_address.c – addresses that others know us by, and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "net/own_address.h"

/* What there is depends on the machine, and may be nothing. */
static void none_is_of_this_machine_or_its_link_alone(void **state)
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t LOOPBACK[16] = {[15] = 1};
    struct own_addresses own;

    (void)state;
    own_addresses_read(&own);
    assert_true(own.count <= OWN_ADDRESSES_MAX);
    for (size_t i = 0; i < own.count; i++) {
        const uint8_t *a = own.list[i];

        assert_memory_not_equal(a, LOOPBACK, sizeof LOOPBACK);
        assert_false(a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
        if (memcmp(a, V4, sizeof V4) == 0) {
            assert_int_not_equal(a[12], 127);
            assert_false(a[12] == 169 && a[13] == 254);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_of_this_machine_or_its_link_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
