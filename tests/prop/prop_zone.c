/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_zone.c – laws of local time: ours is libc's in every zone, and no change comes
 * unannounced. */
/* LINKS: shaper wire base */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "shaper/policy_footer.h"
#include "shaper/policy_zone.h"
#include "support/gen.h"

static struct gen gen;

/* A zone of each kind: two changes a year, none, many in the past, half an hour, southern, a rule
 * without a name, one that moved across the date line, Ramadan (listed, not ruled). */
static const char *const ZONES[] = {
    "UTC",
    "Europe/Oslo",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Havana",
    "America/Nuuk",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Asia/Tehran",
    "Asia/Gaza",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Chatham",
};

/* libc's answer, in the zone that the environment names. */
static int32_t libc_offset(int64_t utc_s)
{
    time_t at = (time_t)utc_s;
    struct tm tm;

    assert_non_null(localtime_r(&at, &tm));
    return (int32_t)tm.tm_gmtoff;
}

static bool take_zone(const char *name, struct zone **out)
{
    if (!zone_is_known(name, NULL)) {
        print_message("[ NOTE ] %s is not on this machine\n", name);
        return false;
    }
    assert_int_equal(zone_read(NULL, name, out).code, ALB_OK);
    setenv("TZ", name, 1);
    tzset();
    return true;
}

static void local_time_is_what_libc_says(void **state)
{
    (void)state;
    for (size_t z = 0; z < ALB_COUNT(ZONES); z++) {
        struct zone *zone = NULL;
        int64_t until_s;

        if (!take_zone(ZONES[z], &zone))
            continue;
        for (unsigned i = 0; i < 20000; i++) {
            int64_t at = (int64_t)gen_below(&gen, UINT64_C(6000000000)) - 1000000000;

            if (zone_offset(zone, at, &until_s) != libc_offset(at))
                fail_msg("%s at %lld: %d, libc says %d", ZONES[z], (long long)at,
                         zone_offset(zone, at, &until_s), libc_offset(at));
        }
        zone = zone_free(zone);
    }
}

/* From the end of one stretch to that of the next: the same all through it, as far as libc, asked
 * at the edges, in the middle and at random, can tell. */
static void an_offset_holds_until_it_says(void **state)
{
    (void)state;
    for (size_t z = 0; z < ALB_COUNT(ZONES); z++) {
        struct zone *zone = NULL;
        int64_t at = 0, until_s = 0;

        if (!take_zone(ZONES[z], &zone))
            continue;
        for (; at < INT64_C(4500000000); at = until_s) {
            int32_t east_s = zone_offset(zone, at, &until_s);

            assert_true(until_s > at);
            if (until_s == INT64_MAX)
                break;
            assert_int_equal(libc_offset(at), east_s);
            assert_int_equal(libc_offset(until_s - 1), east_s);
            assert_int_equal(libc_offset(at + (int64_t)gen_below(&gen, (uint64_t)(until_s - at))),
                             east_s);
        }
        zone = zone_free(zone);
    }
}

/* Rules that no zone of today needs, spelled both as ours and as libc's environment variable. */
static void footers_are_read_as_libc_reads_them(void **state)
{
    static const char *const RULES[] = {
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "EST5EDT,M3.2.0,M11.1.0",
        "<-03>3",
        "<+0330>-3:30",
        "IST-1GMT0,M10.5.0,M3.5.0/1",
        "AEST-10AEDT,M10.1.0,M4.1.0/3",
        "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
        "AAA3BBB,J60/0,J300/1:30",
        "AAA-5BBB,59,299/12",
        "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
        "EET-2EEST,M3.4.4/50,M10.4.4/50",

    };

    (void)state;
    for (size_t r = 0; r < ALB_COUNT(RULES); r++) {
        struct zone_footer footer;

        assert_true(zone_footer_parse(RULES[r], &footer));
        setenv("TZ", RULES[r], 1);
        tzset();
        for (unsigned i = 0; i < 20000; i++) {
            int64_t at = (int64_t)gen_below(&gen, UINT64_C(4000000000));
            int64_t until_s;
            int32_t east_s = zone_footer_offset(&footer, at, &until_s);

            if (east_s != libc_offset(at))
                fail_msg("%s at %lld: %d, libc says %d", RULES[r], (long long)at, east_s,
                         libc_offset(at));
            if (until_s != INT64_MAX && libc_offset(until_s - 1) != east_s)
                fail_msg("%s at %lld, before %lld", RULES[r], (long long)at, (long long)until_s);
        }
    }
}

static int seed(void **state)
{
    (void)state;
    (void)gen_init_from_env(&gen);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_time_is_what_libc_says),
        cmocka_unit_test(an_offset_holds_until_it_says),
        cmocka_unit_test(footers_are_read_as_libc_reads_them),
    };
    return cmocka_run_group_tests(tests, seed, NULL);
}
