/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/test_key.c – spelling, ordering and hashing of digests and chunk keys. */
#include "base/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void a_digest_is_spelled_and_read_back(void **state)
{
    struct digest d;
    struct digest back;
    char hex[DIGEST_HEX_SIZE];

    (void)state;
    for (unsigned i = 0; i < DIGEST_SIZE; i++)
        d.bytes[i] = (uint8_t)(i * 8 + 1);
    assert_ptr_equal(digest_hex(&d, hex), hex);
    assert_int_equal(strlen(hex), 64);
    assert_memory_equal(hex, "010911", 6);
    assert_false(alb_failed(digest_parse(hex, &back)));
    assert_true(digest_equal(&d, &back));
}

static void capital_digits_are_read_too(void **state)
{
    uint8_t out[2];

    (void)state;
    assert_false(alb_failed(bytes_parse_hex("aBCd", out, 2)));
    assert_int_equal(out[0], 0xab);
    assert_int_equal(out[1], 0xcd);
}

static void wrong_spellings_are_refused_and_nothing_is_written(void **state)
{
    static const char *const bad[] = {"", "0", "012", "01234", "01 3", "0x12", "012g", "-123"};
    uint8_t out[2] = {7, 7};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(bytes_parse_hex(bad[i], out, 2).code, ALB_INVALID);
    assert_int_equal(out[0], 7);
    assert_int_equal(out[1], 7);
}

static void keys_are_ordered_by_kind_then_digest(void **state)
{
    struct chunk_key a = {.kind = KEY_PLAIN};
    struct chunk_key b = a;

    (void)state;
    assert_int_equal(chunk_key_compare(&a, &b), 0);
    b.digest.bytes[31] = 1;
    assert_true(chunk_key_compare(&a, &b) < 0);
    assert_true(chunk_key_compare(&b, &a) > 0);
    a.kind = KEY_SEALED;
    assert_true(chunk_key_compare(&a, &b) > 0);
    assert_false(chunk_key_equal(&a, &b));
}

static void the_same_digest_of_another_kind_hashes_elsewhere(void **state)
{
    struct chunk_key a = {.kind = KEY_PLAIN, .digest = {{1, 2, 3}}};
    struct chunk_key b = a;

    (void)state;
    assert_true(chunk_key_hash(&a) == chunk_key_hash(&b));
    b.kind = KEY_SEALED;
    assert_true(chunk_key_hash(&a) != chunk_key_hash(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_is_spelled_and_read_back),
        cmocka_unit_test(capital_digits_are_read_too),
        cmocka_unit_test(wrong_spellings_are_refused_and_nothing_is_written),
        cmocka_unit_test(keys_are_ordered_by_kind_then_digest),
        cmocka_unit_test(the_same_digest_of_another_kind_hashes_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
