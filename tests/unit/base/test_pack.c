/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/test_pack.c – one spelling for each value, and errors that stick. */
#include "base/pack.h"

#include "support/gen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void fixed_integers_are_little_endian(void **state)
{
    static const uint8_t want[] = {1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8};
    struct buf b;
    struct pack p;
    struct unpack u;

    (void)state;
    buf_init(&b, 100);
    pack_init(&p, &b);
    pack_u8(&p, 1);
    pack_u16(&p, 0x0203);
    pack_u32(&p, 0x04050607);
    pack_u64(&p, UINT64_C(0x08090a0b0c0d0e0f));
    assert_false(alb_failed(pack_finish(&p)));
    assert_int_equal(buf_size(&b), sizeof want);
    assert_memory_equal(buf_peek(&b), want, sizeof want);
    unpack_init(&u, want, sizeof want);
    assert_int_equal(unpack_u8(&u), 1);
    assert_int_equal(unpack_u16(&u), 0x0203);
    assert_int_equal(unpack_u32(&u), 0x04050607);
    assert_true(unpack_u64(&u) == UINT64_C(0x08090a0b0c0d0e0f));
    assert_false(alb_failed(unpack_finish(&u)));
    buf_release(&b);
}

static void varints_have_the_bytes_the_format_says(void **state)
{
    static const struct {
        uint64_t v;
        size_t size;
        uint8_t bytes[10];
    } rows[] = {
        {0, 1, {0}},
        {127, 1, {0x7f}},
        {128, 2, {0x80, 1}},
        {300, 2, {0xac, 2}},
        {UINT64_MAX, 10, {255, 255, 255, 255, 255, 255, 255, 255, 255, 1}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b;
        struct pack p;
        struct unpack u;

        buf_init(&b, 100);
        pack_init(&p, &b);
        pack_varint(&p, rows[i].v);
        assert_int_equal(buf_size(&b), rows[i].size);
        assert_memory_equal(buf_peek(&b), rows[i].bytes, rows[i].size);
        unpack_init(&u, rows[i].bytes, rows[i].size);
        assert_true(unpack_varint(&u) == rows[i].v);
        assert_false(alb_failed(unpack_finish(&u)));
        buf_release(&b);
    }
}

static void varints_and_zigzags_come_back(void **state)
{
    struct gen g;

    (void)state;
    gen_init_from_env(&g);
    for (unsigned i = 0; i < 5000; i++) {
        uint64_t v = gen_skewed(&g, UINT64_MAX);
        struct buf b;
        struct pack p;
        struct unpack u;

        buf_init(&b, 100);
        pack_init(&p, &b);
        pack_varint(&p, v);
        pack_zigzag(&p, (int64_t)v);
        unpack_init(&u, buf_peek(&b), buf_size(&b));
        assert_true(unpack_varint(&u) == v);
        assert_true(unpack_zigzag(&u) == (int64_t)v);
        assert_false(alb_failed(unpack_finish(&u)));
        buf_release(&b);
    }
}

static void small_negative_numbers_are_short(void **state)
{
    static const int64_t values[] = {0, -1, 1, -2, INT64_MAX, INT64_MIN};
    static const uint64_t spelled[] = {0, 1, 2, 3, UINT64_MAX - 1, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct buf b;
        struct pack p;
        struct unpack u;

        buf_init(&b, 100);
        pack_init(&p, &b);
        pack_zigzag(&p, values[i]);
        unpack_init(&u, buf_peek(&b), buf_size(&b));
        assert_true(unpack_varint(&u) == spelled[i]);
        buf_release(&b);
    }
}

static void a_number_with_two_spellings_is_refused(void **state)
{
    static const struct {
        size_t size;
        uint8_t bytes[11];
    } rows[] = {
        {2, {0x80, 0}},
        {3, {0xff, 0x80, 0}},
        {10, {255, 255, 255, 255, 255, 255, 255, 255, 255, 2}},
        {10, {128, 128, 128, 128, 128, 128, 128, 128, 128, 0}},
        {11, {255, 255, 255, 255, 255, 255, 255, 255, 255, 0x81, 0}},
        {1, {0x80}},
        {0, {0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct unpack u;

        unpack_init(&u, rows[i].bytes, rows[i].size);
        assert_true(unpack_varint(&u) == 0);
        assert_int_equal(unpack_check(&u).code, ALB_CORRUPT);
    }
}

static void the_first_error_stays_and_all_else_is_zero(void **state)
{
    static const uint8_t bytes[40] = {9, 9, 9, 9};
    struct unpack u;
    struct chunk_key key = {.kind = 7};
    struct digest digest;
    char text[4] = "abc";
    size_t size = 5;

    (void)state;
    unpack_init(&u, bytes, sizeof bytes);
    assert_int_equal(unpack_u8(&u), 9);
    unpack_fail(&u, "first");
    unpack_fail(&u, "second");
    assert_int_equal(unpack_left(&u), 0);
    assert_int_equal(unpack_u8(&u) + unpack_u16(&u), 0);
    assert_true(unpack_u32(&u) + unpack_u64(&u) + unpack_varint(&u) == 0);
    assert_true(unpack_bounded(&u, 5) == 0 && unpack_zigzag(&u) == 0);
    assert_null(unpack_bytes(&u, 0));
    assert_null(unpack_run(&u, 5, &size));
    assert_int_equal(size, 0);
    unpack_string(&u, text, sizeof text);
    assert_string_equal(text, "");
    unpack_digest(&u, &digest);
    assert_int_equal(digest.bytes[0], 0);
    unpack_key(&u, &key);
    assert_int_equal(key.kind, 0);
    assert_int_equal(unpack_finish(&u).code, ALB_CORRUPT);
    assert_string_equal(unpack_finish(&u).what, "first");
}

static void input_that_ends_early_or_late_is_corrupt(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct unpack u;

    (void)state;
    unpack_init(&u, bytes, 3);
    assert_int_equal(unpack_u32(&u), 0);
    assert_int_equal(unpack_check(&u).code, ALB_CORRUPT);
    unpack_init(&u, bytes, 3);
    assert_int_equal(unpack_u16(&u), 0x0201);
    assert_false(alb_failed(unpack_check(&u)));
    assert_int_equal(unpack_finish(&u).code, ALB_CORRUPT);
    unpack_init(&u, NULL, 0);
    assert_non_null(unpack_bytes(&u, 0));
    assert_false(alb_failed(unpack_finish(&u)));
}

static void a_bound_is_kept(void **state)
{
    static const uint8_t bytes[] = {5, 6};
    struct unpack u;

    (void)state;
    unpack_init(&u, bytes, 2);
    assert_true(unpack_bounded(&u, 5) == 5);
    assert_true(unpack_bounded(&u, 5) == 0);
    assert_int_equal(unpack_check(&u).code, ALB_CORRUPT);
}

static void runs_texts_and_keys_come_back(void **state)
{
    struct chunk_key key = {.kind = KEY_CASYNC_SHA512, .digest = {{1, 2, 3}}};
    struct chunk_key back;
    struct digest digest;
    const uint8_t *run;
    struct buf b;
    struct pack p;
    struct unpack u;
    char text[6];
    size_t size;

    (void)state;
    buf_init(&b, 200);
    pack_init(&p, &b);
    pack_run(&p, "\0\1", 2);
    pack_string(&p, "hello");
    pack_string(&p, "");
    pack_key(&p, &key);
    pack_digest(&p, &key.digest);
    unpack_init(&u, buf_peek(&b), buf_size(&b));
    run = unpack_run(&u, 2, &size);
    assert_int_equal(size, 2);
    assert_memory_equal(run, "\0\1", 2);
    unpack_string(&u, text, sizeof text);
    assert_string_equal(text, "hello");
    unpack_string(&u, text, sizeof text);
    assert_string_equal(text, "");
    unpack_key(&u, &back);
    assert_true(chunk_key_equal(&key, &back));
    unpack_digest(&u, &digest);
    assert_true(digest_equal(&digest, &key.digest));
    assert_false(alb_failed(unpack_finish(&u)));
    buf_release(&b);
}

static void a_text_that_is_too_long_or_holds_a_zero_is_refused(void **state)
{
    static const uint8_t longer[] = {4, 'a', 'b', 'c', 'd'};
    static const uint8_t zero[] = {3, 'a', 0, 'c'};
    static const uint8_t torn[] = {3, 'a'};
    char text[4];
    struct unpack u;

    (void)state;
    unpack_init(&u, longer, sizeof longer);
    unpack_string(&u, text, sizeof text);
    assert_int_equal(unpack_check(&u).code, ALB_CORRUPT);
    unpack_init(&u, zero, sizeof zero);
    unpack_string(&u, text, sizeof text);
    assert_int_equal(unpack_check(&u).code, ALB_CORRUPT);
    unpack_init(&u, torn, sizeof torn);
    unpack_string(&u, text, sizeof text);
    assert_int_equal(unpack_check(&u).code, ALB_CORRUPT);
    assert_string_equal(text, "");
}

static void a_key_of_unknown_kind_is_refused(void **state)
{
    static const uint8_t kinds[] = {0, 5, 255};

    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        uint8_t bytes[33] = {kinds[i], 1};
        struct chunk_key key;
        struct unpack u;

        unpack_init(&u, bytes, sizeof bytes);
        unpack_key(&u, &key);
        assert_int_equal(key.kind, 0);
        assert_int_equal(unpack_check(&u).code, ALB_CORRUPT);
    }
}

static void a_full_buffer_is_remembered_by_the_writer(void **state)
{
    struct buf b;
    struct pack p;

    (void)state;
    buf_init(&b, 3);
    pack_init(&p, &b);
    pack_u16(&p, 1);
    pack_u32(&p, 2);
    pack_u8(&p, 3); /* would fit, but must not be written after a hole */
    assert_int_equal(pack_finish(&p).code, ALB_FULL);
    assert_int_equal(buf_size(&b), 2);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_integers_are_little_endian),
        cmocka_unit_test(varints_have_the_bytes_the_format_says),
        cmocka_unit_test(varints_and_zigzags_come_back),
        cmocka_unit_test(small_negative_numbers_are_short),
        cmocka_unit_test(a_number_with_two_spellings_is_refused),
        cmocka_unit_test(the_first_error_stays_and_all_else_is_zero),
        cmocka_unit_test(input_that_ends_early_or_late_is_corrupt),
        cmocka_unit_test(a_bound_is_kept),
        cmocka_unit_test(runs_texts_and_keys_come_back),
        cmocka_unit_test(a_text_that_is_too_long_or_holds_a_zero_is_refused),
        cmocka_unit_test(a_key_of_unknown_kind_is_refused),
        cmocka_unit_test(a_full_buffer_is_remembered_by_the_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
