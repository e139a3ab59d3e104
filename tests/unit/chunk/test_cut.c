/* SPDX-License-Identifier: Apache-2.0 */
/* unit/chunk/test_cut.c – the cut points, against the plain definition and against golden ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "chunk/cut.h"
#include "support/gen.h"

static const uint64_t gear[256] = {
#include "chunk/gear.def"
};

/* The definition, a byte at a time and a window at a time. */
static size_t plain_next(const struct cutter *c, const uint8_t *bytes, size_t size)
{
    for (size_t length = c->params.min + 1; length <= size; length++) {
        if (length >= c->params.max)
            return c->params.max;
        uint64_t hash = 0;
        for (size_t i = length - 64; i < length; i++)
            hash = (hash << 1) + gear[bytes[i]];
        uint64_t mask = length <= c->params.average ? c->strict_mask : c->loose_mask;
        if ((hash & mask) == 0)
            return length;
    }
    return size;
}

static void gear_table_follows_its_rule(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        uint8_t text[14] = "albedo gear 1";
        struct digest d;
        text[13] = (uint8_t)i;
        sha256(text, sizeof(text), &d);
        uint64_t entry = 0;
        for (unsigned b = 0; b < 8; b++)
            entry |= (uint64_t)d.bytes[b] << (8 * b);
        assert_int_equal(gear[i], entry);
    }
}

static void masks_have_two_bits_more_and_less_than_the_average(void **state)
{
    (void)state;
    struct cutter c;
    cutter_init(&c, &(struct cut_params){64 << 10, 256 << 10, 1024 << 10});
    assert_int_equal(__builtin_popcountll(c.strict_mask), 20);
    assert_int_equal(__builtin_popcountll(c.loose_mask), 16);
    assert_int_equal(c.strict_mask, UINT64_C(0x54a54a54a54a0000));
    assert_int_equal(c.loose_mask, UINT64_C(0x4924924924920000));
    cutter_init(&c, &(struct cut_params){64, 128, 256});
    assert_int_equal(__builtin_popcountll(c.strict_mask), 9);
    assert_int_equal(__builtin_popcountll(c.loose_mask), 5);
    assert_int_equal(c.strict_mask >> 63, 0);
}

static void cuts_agree_with_the_plain_definition(void **state)
{
    (void)state;
    struct gen g;
    gen_init(&g, 7);
    enum { SIZE = 200 << 10 };
    AUTO_FREE uint8_t *bytes = xalloc(SIZE);
    gen_bytes(&g, bytes, SIZE / 2);
    gen_text(&g, bytes + SIZE / 2, SIZE / 2);
    static const struct cut_params all[] = {
        {64, 128, 256}, {100, 256, 999}, {1 << 10, 4 << 10, 16 << 10}, {65, 2048, 2049}};
    for (size_t k = 0; k < ALB_COUNT(all); k++) {
        struct cutter c;
        cutter_init(&c, &all[k]);
        for (size_t at = 0; at < SIZE;) {
            size_t length = cutter_next(&c, bytes + at, SIZE - at);
            assert_int_equal(length, plain_next(&c, bytes + at, SIZE - at));
            at += length;
        }
    }
}

static void bytes_beyond_the_maximum_change_nothing(void **state)
{
    (void)state;
    struct gen g;
    gen_init(&g, 8);
    uint8_t bytes[40 << 10];
    gen_bytes(&g, bytes, sizeof(bytes));
    struct cutter c;
    cutter_init(&c, &cut_manifest);
    for (size_t at = 0; at + cut_manifest.max <= sizeof(bytes);) {
        size_t length = cutter_next(&c, bytes + at, cut_manifest.max);
        assert_int_equal(length, cutter_next(&c, bytes + at, sizeof(bytes) - at));
        at += length;
    }
}

static void short_and_empty_streams_are_one_chunk(void **state)
{
    (void)state;
    uint8_t bytes[1 << 10] = {0};
    struct cutter c;
    cutter_init(&c, &cut_manifest);
    assert_int_equal(cutter_next(&c, bytes, 0), 0);
    assert_int_equal(cutter_next(&c, bytes, 1), 1);
    assert_int_equal(cutter_next(&c, bytes, sizeof(bytes)), sizeof(bytes));
}

static void a_run_of_one_byte_is_cut_at_the_maximum(void **state)
{
    (void)state;
    enum { SIZE = 64 << 10 };
    AUTO_FREE uint8_t *bytes = xalloc(SIZE);
    struct cutter c;
    cutter_init(&c, &cut_manifest);
    assert_int_equal(cutter_next(&c, bytes, SIZE), cut_manifest.max);
}

/* These places are in every manifest ever made: a change here is a new format. */
static void golden_cut_points_stay(void **state)
{
    (void)state;
    enum { SIZE = 48 << 10 };
    static const size_t golden[] = {6271, 4190, 4636, 4344, 4421, 3100,
                                    5532, 5739, 4774, 4786, 1359};
    AUTO_FREE uint8_t *bytes = xalloc(SIZE);
    uint64_t x = 1;
    for (size_t i = 0; i < SIZE; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (uint8_t)(x >> 56);
    }
    struct cutter c;
    cutter_init(&c, &(struct cut_params){1 << 10, 4 << 10, 16 << 10});
    size_t at = 0;
    for (size_t k = 0; at < SIZE; k++) {
        size_t length = cutter_next(&c, bytes + at, SIZE - at);
        assert_true(k < ALB_COUNT(golden));
        assert_int_equal(length, golden[k]);
        at += length;
    }
}

static void senseless_parameters_are_refused(void **state)
{
    (void)state;
    static const struct cut_params bad[] = {
        {63, 128, 256},
        {128, 128, 256},
        {64, 256, 256},
        {64, 200, 1000},
        {64, 256, CUT_MAX_LIMIT + 1},
        {0, 0, 0},
    };
    for (size_t i = 0; i < ALB_COUNT(bad); i++)
        assert_int_equal(cut_params_check(&bad[i]).code, ALB_INVALID);
    assert_int_equal(cut_params_check(&cut_content).code, ALB_OK);
    assert_int_equal(cut_params_check(&cut_manifest).code, ALB_OK);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(gear_table_follows_its_rule),
        cmocka_unit_test(masks_have_two_bits_more_and_less_than_the_average),
        cmocka_unit_test(cuts_agree_with_the_plain_definition),
        cmocka_unit_test(bytes_beyond_the_maximum_change_nothing),
        cmocka_unit_test(short_and_empty_streams_are_one_chunk),
        cmocka_unit_test(a_run_of_one_byte_is_cut_at_the_maximum),
        cmocka_unit_test(golden_cut_points_stay),
        cmocka_unit_test(senseless_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
