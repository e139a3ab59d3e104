/* SPDX-License-Identifier: Apache-2.0 */
/* unit/shaper/test_policy_zone.c – zone files that are none, names that are none, and times beyond
 * what a file lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "shaper/policy_footer.h"
#include "shaper/policy_zone.h"

static void only_names_of_zones_are_looked_for(void **state)
{
    static const char *const NAMES[] = {"",     "/etc/passwd", "../../etc/passwd", "Europe/",
                                        "a//b", "zone.tab",    "Europe/Oslo\n",    "Europe/O o"};
    struct zone *z = NULL;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(NAMES); i++) {
        assert_int_equal(zone_read(NULL, NAMES[i], &z).code, ALB_INVALID);
        assert_false(zone_is_known(NAMES[i], NULL));
    }
    assert_int_equal(zone_read(NULL, "Mars/Base", &z).code, ALB_NOT_FOUND);
    assert_false(zone_is_known("Europe", NULL)); /* a directory */
    assert_null(z);
}

static void read_oslo(struct buf *bytes)
{
    buf_init(bytes, ZONE_BYTES_MAX);
    assert_int_equal(file_read("/usr/share/zoneinfo/Europe/Oslo", bytes).code, ALB_OK);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    struct zone *z = NULL;
    struct buf bytes;

    (void)state;
    read_oslo(&bytes);
    for (size_t size = 0; size < buf_size(&bytes); size++) {
        AUTO_FREE uint8_t *exact = xalloc(size + 1); /* so that a byte beyond is seen */

        memcpy(exact, buf_peek(&bytes), size);
        assert_int_equal(zone_decode(exact, size, &z).code, ALB_CORRUPT);
    }
    assert_int_equal(zone_decode(buf_peek(&bytes), buf_size(&bytes), &z).code, ALB_OK);
    z = zone_free(z);
    buf_release(&bytes);
}

static void times_far_beyond_a_file_follow_its_last_rule(void **state)
{
    struct zone *z = NULL;
    int64_t until_s;

    (void)state;
    assert_int_equal(zone_read(NULL, "Europe/Oslo", &z).code, ALB_OK);
    assert_int_equal(zone_offset(z, INT64_C(7258118400), &until_s), 3600); /* January 2200 */
    assert_int_equal(zone_offset(z, INT64_C(7274016000), &until_s), 7200); /* July 2200    */
    assert_int_equal(zone_offset(z, INT64_MAX, &until_s), 3600);           /* no such year */
    assert_int_equal(until_s, INT64_MAX);
    (void)zone_offset(z, INT64_MIN, &until_s); /* before there were zones */
    z = zone_free(z);
}

/* Version 1 of 2004: 32-bit times, nothing behind them. */
static void a_file_of_the_first_version_is_read(void **state)
{
    static const uint8_t FILE_BYTES[] = {
        'T',  'Z',  'i',  'f',  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* no leap seconds            */
        0,    0,    0,    1,    0, 0, 0, 2, 0, 0, 0, 4, /* 1 transition, 2 types, "A\0B\0" */
        0,    0,    0,    100,  1,                      /* at 100 s: type 1           */
        0,    0,    14,   16,   0, 0,                   /* 3600 s east                */
        0xff, 0xff, 0xf1, 0xf0, 0, 2,                   /* 3600 s west                */
        'A',  0,    'B',  0};
    struct zone *z = NULL;
    int64_t until_s;

    (void)state;
    assert_int_equal(zone_decode(FILE_BYTES, sizeof FILE_BYTES, &z).code, ALB_OK);
    assert_int_equal(zone_offset(z, 99, &until_s), 3600);
    assert_int_equal(until_s, 100);
    assert_int_equal(zone_offset(z, 100, &until_s), -3600);
    assert_int_equal(until_s, INT64_MAX);
    z = zone_free(z);
}

static void footers_that_are_none_are_refused(void **state)
{
    static const char *const TEXTS[] = {"",
                                        "C",
                                        "CET",
                                        "CET-",
                                        "CET-25",
                                        "<CET-1",
                                        "CET-1CEST",
                                        "CET-1CEST,",
                                        "CET-1CEST,M3.5.0",
                                        "CET-1CEST,M13.5.0,M10.5.0",
                                        "CET-1X",
                                        "CET-1CEST,M3.6.0,M10.5.0",
                                        "CET-1CEST,M3.5.7,M10.5.0",
                                        "CET-1CEST,J0,J5",
                                        "CET-1CEST,J366,J5",
                                        "CET-1CEST,M3.5.0/168,M10.5.0",
                                        "CET-1CEST,M3.5.0,M10.5.0/3x",
                                        "CET-1:60",
                                        "CET-1CEST,366,5"};
    struct zone_footer f;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(TEXTS); i++)
        assert_false(zone_footer_parse(TEXTS[i], &f));
}

/* As RFC 8536 spells a zone that has summer time all year. */
static void summer_all_year_is_summer_always(void **state)
{
    struct zone_footer f;
    int64_t until_s;

    (void)state;
    assert_true(zone_footer_parse("XXX3EDT4,0/0,J365/23", &f));
    for (int64_t at = 0; at < INT64_C(4000000000); at += 86399)
        assert_int_equal(zone_footer_offset(&f, at, &until_s), -4 * 3600);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_names_of_zones_are_looked_for),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(times_far_beyond_a_file_follow_its_last_rule),
        cmocka_unit_test(a_file_of_the_first_version_is_read),
        cmocka_unit_test(footers_that_are_none_are_refused),
        cmocka_unit_test(summer_all_year_is_summer_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
