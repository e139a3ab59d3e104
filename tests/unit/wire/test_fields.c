/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_fields.c – typed fields: order, criticality, and nothing left over. */
#include "support/wire_fixture.h"

#include "wire/fields.h"

struct thing {
    uint64_t number;
    char name[NAME_MAX_SIZE];
};

static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("thing");
static const struct field_row ROWS[] = {
    {1, FIELD_NUMBER, offsetof(struct thing, number), NULL, NULL},
    {5, FIELD_ID, offsetof(struct thing, name), NULL, NULL},
};
static const struct field_table TABLE = {UNKNOWN, "a thing lacks a field", ROWS, 2};

#define GOOD "\x81\x01\x07\x85\x02hi"

static struct alb_status decode(const char *bytes, size_t size, struct thing *out)
{
    return fields_decode(&TABLE, bytes, size, out);
}

static void a_table_reads_what_it_wrote(void **state)
{
    struct thing in = {7, "hi"}, out = {0};
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_ok(fields_encode(&TABLE, &in, &b));
    assert_int_equal(buf_size(&b), sizeof GOOD - 1);
    assert_memory_equal(buf_peek(&b), GOOD, sizeof GOOD - 1);
    assert_ok(decode(GOOD, sizeof GOOD - 1, &out));
    assert_int_equal(out.number, 7);
    assert_string_equal(out.name, "hi");
    buf_release(&b);
}

static void what_is_unknown_and_not_critical_is_skipped(void **state)
{
    struct thing out = {0};

    (void)state;
    assert_ok(decode("\x81\x01\x07\x03\x02zz\x85\x02hi\x7f\x00", 13, &out));
    assert_int_equal(out.number, 7);
}

static void each_refusal_says_its_reason(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } cases[] = {
        {"\x81\x01\x07\x85\x02hi\x97\x00", 9,
         "thing has a field 23 that this program does not know"},
        {"\x81\x01\x07\x85\x02hi\xff\x00", 9,
         "thing has a field 127 that this program does not know"},
        {"\x81\x01\x07\x82\x00\x85\x02hi", 9,
         "thing has a field 2 that this program does not know"},
        {"\x80\x00\x81\x01\x07\x85\x02hi", 9, "fields are not in ascending order"},
        {"\x85\x02hi\x81\x01\x07", 7, "fields are not in ascending order"},
        {"\x81\x01\x07\x81\x01\x07\x85\x02hi", 10, "fields are not in ascending order"},
        {"\x01\x01\x07\x85\x02hi", 7, "a field's critical bit is not as it must be"},
        {"\x81\x02\x07\x00\x85\x02hi", 8, "a field is longer than its value"},
        {"\x81\x00\x85\x02hi", 6, "input ends too early"},
        {"\x81\x01\x07\x85\x03hi", 7, "input ends too early"},
        {"\x81\x01\x07", 3, "a thing lacks a field"},
        {"", 0, "a thing lacks a field"},
        {"\x81\x01\x07\x85\x02h\0", 7, "a name is too long or holds a zero byte"},
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        struct thing out = {0};

        assert_says(decode(cases[i].bytes, cases[i].size, &out), ALB_CORRUPT, cases[i].says);
    }
}

static void names_are_checked_both_ways(void **state)
{
    struct thing in = {7, "Hi"}, out = {0};
    struct alb_status wrote, read;
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    wrote = fields_encode(&TABLE, &in, &b);
    assert_int_equal(wrote.code, ALB_INVALID);
    read = decode("\x81\x01\x07\x85\x02Hi", 7, &out);
    assert_int_equal(read.code, ALB_CORRUPT);
    assert_string_equal(read.what, wrote.what);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_reads_what_it_wrote),
        cmocka_unit_test(what_is_unknown_and_not_critical_is_skipped),
        cmocka_unit_test(each_refusal_says_its_reason),
        cmocka_unit_test(names_are_checked_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
