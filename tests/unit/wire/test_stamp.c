/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_stamp.c – stamps: one spelling, nothing else is read. */
#include "support/wire_fixture.h"

#include "wire/stamp.h"

static const struct sender_stamp SAMPLE = {.flags = STAMP_SOURCE_STARVED | STAMP_SENDER_LIMITED,
                                           .sent_ns = UINT64_C(0x0102030405060708),
                                           .cumulative_bytes = UINT64_MAX,
                                           .retransmitted = 5,
                                           .aggregate_bps = 9600000,
                                           .flows = 3};

static void a_stamp_is_written_and_read(void **state)
{
    uint8_t bytes[STAMP_SIZE];
    struct sender_stamp out;

    (void)state;
    sender_stamp_encode(&SAMPLE, bytes);
    assert_ok(sender_stamp_decode(bytes, sizeof bytes, &out));
    assert_true(out.sent_ns == SAMPLE.sent_ns && out.cumulative_bytes == SAMPLE.cumulative_bytes);
    assert_true(out.retransmitted == 5 && out.aggregate_bps == SAMPLE.aggregate_bps);
    assert_int_equal(out.flags, SAMPLE.flags);
    assert_int_equal(out.flows, SAMPLE.flows);
}

static void what_is_no_stamp_is_refused_by_name(void **state)
{
    uint8_t bytes[STAMP_SIZE + 1] = {0};
    struct sender_stamp out;

    (void)state;
    sender_stamp_encode(&SAMPLE, bytes);
    for (size_t size = 0; size <= sizeof bytes; size++)
        if (size != STAMP_SIZE)
            assert_says(sender_stamp_decode(bytes, size, &out), ALB_CORRUPT,
                        "a stamp that is not 32 bytes long");
    bytes[1] = STAMP_FLAGS + 1;
    assert_says(sender_stamp_decode(bytes, STAMP_SIZE, &out), ALB_CORRUPT,
                "a stamp with flags that this program does not know");
    bytes[0] = STAMP_VERSION + 1;
    assert_says(sender_stamp_decode(bytes, STAMP_SIZE, &out), ALB_INVALID,
                "a stamp of a version that this program does not know");
}

static void flags_that_do_not_exist_are_not_written(void **state)
{
    struct sender_stamp s = SAMPLE, out;
    uint8_t bytes[STAMP_SIZE];

    (void)state;
    s.flags = ~0u;
    s.aggregate_bps = UINT64_MAX;
    sender_stamp_encode(&s, bytes);
    assert_ok(sender_stamp_decode(bytes, sizeof bytes, &out));
    assert_int_equal(out.flags, STAMP_FLAGS);
    assert_true(out.aggregate_bps == UINT64_C(1000) * UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stamp_is_written_and_read),
        cmocka_unit_test(what_is_no_stamp_is_refused_by_name),
        cmocka_unit_test(flags_that_do_not_exist_are_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
