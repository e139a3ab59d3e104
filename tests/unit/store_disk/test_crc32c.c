/* SPDX-License-Identifier: Apache-2.0 */
/* unit/store_disk/test_crc32c.c – the check value, against RFC 3720 and bit by bit. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "support/gen.h"
#include "store/disk/crc32c.h"

static uint32_t bit_by_bit(const uint8_t *bytes, size_t size)
{
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        c ^= bytes[i];
        for (unsigned b = 0; b < 8; b++)
            c = (c >> 1) ^ ((c & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~c;
}

static void assert_both(const uint8_t *bytes, size_t size, uint32_t expected)
{
    assert_int_equal(crc32c_extend(0, bytes, size), expected);
    assert_int_equal(crc32c_extend_portable(0, bytes, size), expected);
}

/* RFC 3720 appendix B.4, whose bytes are printed lowest first. */
static void the_vectors_of_rfc_3720_hold(void **state)
{
    (void)state;
    uint8_t bytes[48] = {0};
    assert_both(bytes, 32, 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_both(bytes, 32, 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_both(bytes, 32, 0x46dd794e);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_both(bytes, 32, 0x113fdb5c);
    static const uint8_t read10[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                                       0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                       0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
    assert_both(read10, 48, 0xd9963a56);
    assert_both((const uint8_t *)"123456789", 9, 0xe3069283);
    assert_both(bytes, 0, 0);
}

static void any_length_alignment_and_split_agree(void **state)
{
    (void)state;
    struct gen g;
    gen_init(&g, 4);
    uint8_t bytes[300];
    gen_bytes(&g, bytes, sizeof(bytes));
    for (size_t from = 0; from < 9; from++) {
        for (size_t size = 0; size < 200; size++) {
            uint32_t expected = bit_by_bit(bytes + from, size);
            assert_both(bytes + from, size, expected);
            size_t half = size / 3;
            uint32_t crc = crc32c_extend(0, bytes + from, half);
            assert_int_equal(crc32c_extend(crc, bytes + from + half, size - half), expected);
            crc = crc32c_extend_portable(0, bytes + from, half);
            assert_int_equal(crc32c_extend_portable(crc, bytes + from + half, size - half),
                             expected);
        }
    }
}

static void long_runs_agree(void **state)
{
    (void)state;
    static uint8_t bytes[20000];
    struct gen g;
    gen_init(&g, 5);
    gen_bytes(&g, bytes, sizeof(bytes));
    for (size_t size = 3000; size < sizeof(bytes); size += 411)
        assert_both(bytes + size % 7, size - 7, bit_by_bit(bytes + size % 7, size - 7));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_3720_hold),
        cmocka_unit_test(any_length_alignment_and_split_agree),
        cmocka_unit_test(long_runs_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
