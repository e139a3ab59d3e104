/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/test_units.c – what people type is understood or refused with the reason. */
#include "base/units.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct row {
    const char *text;
    uint64_t want;
};

static void all_read(struct alb_status (*parse)(const char *text, uint64_t *out),
                     const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t got = 0;

        if (alb_failed(parse(rows[i].text, &got)) || got != rows[i].want)
            fail_msg("\"%s\" was read as %llu", rows[i].text, (unsigned long long)got);
    }
}

static void all_refused(struct alb_status (*parse)(const char *text, uint64_t *out),
                        const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t got = 77;
        struct alb_status st = parse(texts[i], &got);

        if (st.code != ALB_INVALID || got != 77 || st.what[0] == '\0')
            fail_msg("\"%s\" was not refused", texts[i]);
    }
}

#define READ(parse, rows) all_read(parse, rows, sizeof(rows) / sizeof((rows)[0]))
#define REFUSED(parse, texts) all_refused(parse, texts, sizeof(texts) / sizeof((texts)[0]))

static void sizes_are_read_with_and_without_a_unit(void **state)
{
    static const struct row rows[] = {
        {"0", 0},
        {"300", 300},
        {"300B", 300},
        {"64KiB", 65536},
        {"2MB", 2000000},
        {"2kB", 2000},
        {"2KB", 2000},
        {"0.125MiB", 131072},
        {"1.5GiB", UINT64_C(1610612736)},
        {"16TiB", UINT64_C(16) << 40},
        {"18446744073709551615", UINT64_MAX},
    };

    (void)state;
    READ(parse_size, rows);
}

static void sizes_that_could_mean_two_things_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "B",
        "-1",
        "+1",
        "1 MB",
        " 1",
        "1.MB",
        ".5MB",
        "1.5",
        "1.5B",
        "1.2345MB",
        "64K",
        "64k",
        "1mb",
        "1MBx",
        "0x10",
        "1e3",
        "2Mbit",
        "18446744073709551616",
        "99999999TiB",
        "1,5MB",
    };

    (void)state;
    REFUSED(parse_size, bad);
}

static void rates_are_bits_or_bytes_and_always_say_so(void **state)
{
    static const struct row rows[] = {
        {"2Mbit", 2000000},    {"512kbit", 512000}, {"10MB", 80000000}, {"1.5Mbit", 1500000},
        {"1bit", 1},           {"64KiB", 524288},   {"0Mbit", 0},       {"1Gbit", 1000000000},
        {"0.512Mbit", 512000}, {"100B", 800},
    };
    static const char *const bad[] = {
        "2",  "0", "", "2M", "2Mbps", "2Mbit/s ", "2 Mbit", "0.5bit", "-2Mbit", "99999999999Gbit",
        "5s",
    };

    (void)state;
    READ(parse_rate, rows);
    REFUSED(parse_rate, bad);
}

static void a_rate_without_a_unit_is_told_which_there_are(void **state)
{
    uint64_t out;

    (void)state;
    assert_non_null(strstr(parse_rate("2", &out).what, "Mbit"));
    assert_non_null(strstr(parse_duration("30", &out).what, "30s"));
    assert_non_null(strstr(parse_size("64K", &out).what, "64KiB"));
}

static void durations_always_have_a_unit(void **state)
{
    static const struct row rows[] = {
        {"250ms", 250 * NS_PER_MS},
        {"30s", 30 * NS_PER_S},
        {"5m", 300 * NS_PER_S},
        {"24h", 86400 * NS_PER_S},
        {"7d", 604800 * NS_PER_S},
        {"1w", 604800 * NS_PER_S},
        {"1.5s", 1500 * NS_PER_MS},
        {"0s", 0},
        {"10us", 10000},
        {"0.5h", 1800 * NS_PER_S},
    };
    static const char *const bad[] = {
        "30", "0", "", "s", "30 s", "30sec", "1h30m", "-1s", "1.5ns", "99999999999d", "2M",
    };

    (void)state;
    READ(parse_duration, rows);
    REFUSED(parse_duration, bad);
}

static void whole_numbers_stay_within_their_bound(void **state)
{
    uint64_t out = 3;

    (void)state;
    assert_false(alb_failed(parse_u64("65535", 65535, &out)));
    assert_int_equal(out, 65535);
    assert_int_equal(parse_u64("65536", 65535, &out).code, ALB_INVALID);
    assert_int_equal(parse_u64("", 9, &out).code, ALB_INVALID);
    assert_int_equal(parse_u64("1 ", 9, &out).code, ALB_INVALID);
    assert_int_equal(parse_u64("-1", 9, &out).code, ALB_INVALID);
    assert_int_equal(parse_u64("99999999999999999999", UINT64_MAX, &out).code, ALB_INVALID);
    assert_int_equal(out, 65535);
}

static void sizes_and_rates_are_written_for_people(void **state)
{
    char out[UNITS_TEXT_SIZE];

    (void)state;
    assert_string_equal(format_size(0, out), "0 B");
    assert_string_equal(format_size(999, out), "999 B");
    assert_string_equal(format_size(1000, out), "1.0 kB");
    assert_string_equal(format_size(12345678, out), "12.3 MB");
    assert_string_equal(format_size(999949, out), "999.9 kB");
    assert_string_equal(format_size(999950, out), "1.0 MB");
    assert_string_equal(format_size(1950000, out), "2.0 MB");
    assert_string_equal(format_size(UINT64_MAX, out), "18446744.1 TB");
    assert_string_equal(format_rate(1200000, out), "1.2 Mbit/s");
    assert_string_equal(format_rate(8, out), "8 bit/s");
    assert_string_equal(spell_rate(1200000, out), "1200kbit");
    assert_string_equal(spell_rate(0, out), "0bit");
    assert_string_equal(spell_rate(UINT64_C(2000000000000), out), "2000Gbit");
    assert_string_equal(format_rate(UINT64_MAX, out), "18446744.1 Tbit/s");
}

static void durations_and_times_are_written_for_people(void **state)
{
    char out[UNITS_TEXT_SIZE];

    (void)state;
    assert_string_equal(format_duration(0, out), "0ms");
    assert_string_equal(format_duration(1500, out), "1us");
    assert_string_equal(format_duration(250 * NS_PER_MS, out), "250ms");
    assert_string_equal(format_duration(12345 * NS_PER_MS, out), "12.3s");
    assert_string_equal(format_duration(192 * NS_PER_S, out), "3m12s");
    assert_string_equal(format_duration(7500 * NS_PER_S, out), "2h5m");
    assert_string_equal(format_duration(277200 * NS_PER_S, out), "3d5h");
    assert_string_equal(format_duration(UINT64_MAX, out), "213503d23h");
    assert_string_equal(format_time(1769860800, out), "2026-01-31T12:00:00Z");
    assert_string_equal(format_time(0, out), "1970-01-01T00:00:00Z");
    assert_string_equal(format_time(-1, out), "1969-12-31T23:59:59Z");
    assert_string_equal(format_time(INT64_MAX, out), "no such time");
}

static void all_names(struct alb_status (*check)(const char *text), const char *const *names,
                      enum alb_code want)
{
    for (; *names != NULL; names++)
        if (check(*names).code != want)
            fail_msg("\"%s\": expected %s", *names, alb_code_name(want));
}

/* A text of `size` times `c`. */
static const char *repeated(char c, size_t size)
{
    static char text[256];

    memset(text, c, size);
    text[size] = '\0';
    return text;
}

static void layer_names_keep_their_rule(void **state)
{
    static const char *const good[] = {"base",    "base/debian-12", "a/b/c/d", "0",
                                       "a.b_c-d", "a..b",           NULL};
    static const char *const bad[] = {"",     "/",         "/a",   "a/",   "a//b", ".",   "..",
                                      "a/..", "a/./b",     "-a",   "_a",   "Base", "a b", "a\nb",
                                      "a/.b", "a/b/c/d/e", "grün", "a\\b", "a/-b", "a:b", NULL};

    (void)state;
    all_names(layer_name_check, good, ALB_OK);
    all_names(layer_name_check, bad, ALB_INVALID);
    assert_false(alb_failed(layer_name_check(repeated('a', 100))));
    assert_int_equal(layer_name_check(repeated('a', 101)).code, ALB_INVALID);
}

static void version_names_keep_their_rule(void **state)
{
    static const char *const good[] = {"1", "2026-01-31", "v1.2.3+build_7", "A", NULL};
    static const char *const bad[] = {"",    ".",   "..",  "-1", "+1", "_",
                                      "1/2", "1 2", "1~2", "é",  NULL};

    (void)state;
    all_names(version_name_check, good, ALB_OK);
    all_names(version_name_check, bad, ALB_INVALID);
    assert_false(alb_failed(version_name_check(repeated('1', 60))));
    assert_int_equal(version_name_check(repeated('1', 61)).code, ALB_INVALID);
}

static void ids_keep_their_rule(void **state)
{
    static const char *const good[] = {"branch-7", "7", "a", NULL};
    static const char *const bad[] = {"", "-a", "A", "a_b", "a.b", "a/b", "a b", NULL};

    (void)state;
    all_names(id_check, good, ALB_OK);
    all_names(id_check, bad, ALB_INVALID);
    assert_false(alb_failed(id_check(repeated('x', 60))));
    assert_int_equal(id_check(repeated('x', 61)).code, ALB_INVALID);
}

static void a_prefix_covers_whole_components(void **state)
{
    (void)state;
    assert_true(layer_is_under("base/debian-12", "base"));
    assert_true(layer_is_under("base", "base"));
    assert_true(layer_is_under("anything", ""));
    assert_false(layer_is_under("baseline", "base"));
    assert_false(layer_is_under("base", "base/debian-12"));
    assert_false(layer_is_under("app/base", "base"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_read_with_and_without_a_unit),
        cmocka_unit_test(sizes_that_could_mean_two_things_are_refused),
        cmocka_unit_test(rates_are_bits_or_bytes_and_always_say_so),
        cmocka_unit_test(a_rate_without_a_unit_is_told_which_there_are),
        cmocka_unit_test(durations_always_have_a_unit),
        cmocka_unit_test(whole_numbers_stay_within_their_bound),
        cmocka_unit_test(sizes_and_rates_are_written_for_people),
        cmocka_unit_test(durations_and_times_are_written_for_people),
        cmocka_unit_test(layer_names_keep_their_rule),
        cmocka_unit_test(version_names_keep_their_rule),
        cmocka_unit_test(ids_keep_their_rule),
        cmocka_unit_test(a_prefix_covers_whole_components),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
