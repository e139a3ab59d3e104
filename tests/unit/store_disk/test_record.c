/* SPDX-License-Identifier: Apache-2.0 */
/* unit/store_disk/test_record.c – the bytes of store/FORMAT.md, golden, and what is refused of
 * them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/key.h"
#include "chunk/codec.h"
#include "store/disk/record.h"

static const uint64_t salt = UINT64_C(0x1122334455667788);
static const uint64_t place = 32;
static const char body[] = "the body";

static struct record sample(void)
{
    struct record r = {.type = RECORD_CHUNK, .size = 8, .offset = place};
    r.key.kind = KEY_PLAIN;
    for (uint8_t i = 0; i < DIGEST_SIZE; i++)
        r.key.digest.bytes[i] = i;
    return r;
}

static void assert_hex(const uint8_t *bytes, size_t size, const char *expected)
{
    char hex[2 * RECORD_HEADER_SIZE + 1];
    bytes_hex(bytes, size, hex);
    assert_string_equal(hex, expected);
}

/* On disks everywhere: a change here is format 02. */
static void the_segment_header_is_golden(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header h = {.id = 0x2a, .salt = salt};
    segment_header_encode(&h, bytes);
    assert_hex(bytes, sizeof(bytes),
               "414c4253454730312a00000000000000887766554433221100000000d32d9ef6");
    struct segment_header back;
    assert_int_equal(segment_header_decode(bytes, &back).code, ALB_OK);
    assert_int_equal(back.id, 0x2a);
    assert_int_equal(back.salt, salt);
    assert_int_equal(back.queue, QUEUE_NEW);
}

static void a_queue_is_kept_and_an_unknown_one_refused(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header h = {.id = 7, .salt = salt, .queue = QUEUE_PINNED};
    struct segment_header back;
    segment_header_encode(&h, bytes);
    assert_int_equal(bytes[24], 2);
    assert_int_equal(segment_header_decode(bytes, &back).code, ALB_OK);
    assert_int_equal(back.queue, QUEUE_PINNED);
    h.queue = (enum evict_queue)EVICT_QUEUES;
    segment_header_encode(&h, bytes);
    assert_int_equal(segment_header_decode(bytes, &back).code, ALB_INVALID);
}

static void the_record_headers_are_golden(void **state)
{
    (void)state;
    uint8_t bytes[RECORD_HEADER_SIZE];
    struct record r = sample();
    record_header_encode(&r, salt, body, bytes);
    assert_hex(bytes, sizeof(bytes),
               "414c4272a04c8b1d0800000001019c69000102030405060708090a0b0c0d0e0f"
               "101112131415161718191a1b1c1d1e1f");
    r.type = RECORD_REMOVAL;
    r.size = 0;
    record_header_encode(&r, salt, "", bytes);
    assert_hex(bytes, sizeof(bytes),
               "414c4272fe9739f0000000000201b58d000102030405060708090a0b0c0d0e0f"
               "101112131415161718191a1b1c1d1e1f");
}

static void a_record_comes_back(void **state)
{
    (void)state;
    uint8_t bytes[RECORD_HEADER_SIZE];
    struct record r = sample();
    struct record back;
    record_header_encode(&r, salt, body, bytes);
    assert_int_equal(record_header_decode(bytes, salt, place, &back).code, ALB_OK);
    assert_int_equal(back.type, RECORD_CHUNK);
    assert_int_equal(back.size, 8);
    assert_int_equal(back.offset, place);
    assert_true(chunk_key_equal(&back.key, &r.key));
    assert_true(record_is_whole(bytes, &back, salt, body));
}

static void every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[RECORD_HEADER_SIZE + 8];
    struct record r = sample();
    struct record back;
    record_header_encode(&r, salt, body, bytes);
    memcpy(bytes + RECORD_HEADER_SIZE, body, 8);
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        bool passes = !alb_failed(record_header_decode(bytes, salt, place, &back)) &&
                      back.size == 8 &&
                      record_is_whole(bytes, &back, salt, bytes + RECORD_HEADER_SIZE);
        assert_false(passes);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void a_copy_elsewhere_is_no_record(void **state)
{
    (void)state;
    uint8_t bytes[RECORD_HEADER_SIZE];
    struct record r = sample();
    struct record back;
    record_header_encode(&r, salt, body, bytes);
    assert_int_equal(record_header_decode(bytes, salt, place + 1, &back).code, ALB_CORRUPT);
    assert_int_equal(record_header_decode(bytes, salt + 1, place, &back).code, ALB_CORRUPT);
}

static void absurd_sizes_and_unknown_types_are_refused(void **state)
{
    (void)state;
    static uint8_t large[CHUNK_STORED_MAX + 1];
    uint8_t bytes[RECORD_HEADER_SIZE];
    struct record back;
    struct record r = sample();
    r.size = CHUNK_STORED_MAX + 1;
    record_header_encode(&r, salt, large, bytes);
    assert_int_equal(record_header_decode(bytes, salt, place, &back).code, ALB_CORRUPT);
    r.size = 1;
    r.type = RECORD_REMOVAL;
    record_header_encode(&r, salt, body, bytes);
    assert_int_equal(record_header_decode(bytes, salt, place, &back).code, ALB_CORRUPT);
    r.type = (enum record_type)3;
    record_header_encode(&r, salt, body, bytes);
    assert_int_equal(record_header_decode(bytes, salt, place, &back).code, ALB_CORRUPT);
}

static void another_version_is_refused_by_name(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header h = {.id = 1};
    segment_header_encode(&h, bytes);
    bytes[7] = '2';
    struct alb_status st = segment_header_decode(bytes, &h);
    assert_int_equal(st.code, ALB_INVALID);
    assert_non_null(strstr(st.what, "format version"));
    bytes[0] = 'X';
    assert_int_equal(segment_header_decode(bytes, &h).code, ALB_CORRUPT);
    segment_header_encode(&h, bytes);
    bytes[20] ^= 1;
    assert_int_equal(segment_header_decode(bytes, &h).code, ALB_CORRUPT);
}

static void the_magic_is_found_or_not(void **state)
{
    (void)state;
    static const uint8_t bytes[] = "ALBALBrxx";
    assert_int_equal(record_find_magic(bytes, 9), 3);
    assert_int_equal(record_find_magic(bytes, 6), 6);
    assert_int_equal(record_find_magic(bytes, 0), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_segment_header_is_golden),
        cmocka_unit_test(a_queue_is_kept_and_an_unknown_one_refused),
        cmocka_unit_test(the_record_headers_are_golden),
        cmocka_unit_test(a_record_comes_back),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(a_copy_elsewhere_is_no_record),
        cmocka_unit_test(absurd_sizes_and_unknown_types_are_refused),
        cmocka_unit_test(another_version_is_refused_by_name),
        cmocka_unit_test(the_magic_is_found_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
