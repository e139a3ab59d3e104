/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_policy.c – laws of the policy: next_change is what asking minute by minute finds,
 * documents come back from JSON and CSV, and the strictest is below all. */
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
#include "shaper/policy.h"
#include "shaper/policy_zone.h"
#include "support/gen.h"
#include "wire/policy_csv.h"

static struct gen gen;

static const char *const ZONES[] = {"UTC",
                                    "Europe/Oslo",
                                    "America/New_York",
                                    "America/St_Johns",
                                    "Asia/Kathmandu",
                                    "Africa/Casablanca",
                                    "Australia/Lord_Howe",
                                    "Pacific/Apia",
                                    "America/Havana",
                                    "America/Santiago"};

/* ---- documents at random, as text ---- */

static const char *one_of(const char *const *words, size_t count)
{
    return words[gen_below(&gen, count)];
}
#define ONE_OF(...)                                                                                \
    one_of((const char *const[]){__VA_ARGS__}, ALB_COUNT(((const char *const[]){__VA_ARGS__})))

static void put(struct buf *b, const char *format, ...) ALB_PRINTF(2, 3);

static void put(struct buf *b, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_int_equal(buf_append(b, text, strlen(text)).code, ALB_OK);
}

/* Near one of the changes of most zones half of the time. */
static unsigned random_minute(void)
{
    return (unsigned)(gen_chance(&gen, 1, 2) ? gen_range(&gen, 0, 240) : gen_below(&gen, 1440));
}

static void put_when(struct buf *b)
{
    static const char *const DAYS[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    unsigned from = random_minute(), to = random_minute();
    unsigned year = (unsigned)gen_range(&gen, 2024, 2030);

    if (gen_chance(&gen, 1, 2))
        put(b, ",\"days\":\"%s-%s\"", one_of(DAYS, 7), one_of(DAYS, 7));
    if (gen_chance(&gen, 3, 4) && from != to)
        put(b, ",\"hours\":\"%02u:%02u-%02u:%02u\"", from / 60, from % 60, to / 60, to % 60);
    if (gen_chance(&gen, 1, 5))
        put(b, ",\"dates\":\"%u-%02u-%02u..%s\"", year, (unsigned)gen_range(&gen, 1, 12),
            (unsigned)gen_range(&gen, 1, 28), ONE_OF("", "2031-01-01", "2030-12-31"));
    if (gen_chance(&gen, 1, 6))
        put(b, ",\"on\":[\"%s\"]", ONE_OF("summer", "holidays"));
    else if (gen_chance(&gen, 1, 6))
        put(b, ",\"except\":[\"%s\"]", ONE_OF("summer", "holidays"));
}

static void put_action(struct buf *b)
{
    static const char *const ACTIONS[] = {
        "\"mode\":\"off\"",
        "\"mode\":\"scavenge\"",
        "\"mode\":\"scavenge\",\"ceiling\":\"2500kbit\",\"floor\":\"64kbit\"",
        "\"mode\":\"scavenge\",\"percent\":40,\"profile\":\"invisible\",\"max_queue\":\"5ms\"",
        "\"mode\":\"capped\",\"rate\":\"1Mbit\"",
        "\"mode\":\"capped\",\"rate\":\"2Mbit\",\"percent\":30",
        "\"mode\":\"full\"",
        "\"mode\":\"full\",\"ceiling\":\"12001bit\"",
    };

    put(b, ",%s", one_of(ACTIONS, ALB_COUNT(ACTIONS)));
}

static void put_document(struct buf *b, const char *zone)
{
    unsigned rules = (unsigned)gen_range(&gen, 0, 12);

    put(b, "{\"format\":1,\"zone\":\"UTC\",\"calendars\":[{\"name\":\"summer\",\"dates\":"
           "[\"2026-06-20..2026-08-20\",\"2027-06-20..2027-08-20\"]},{\"name\":\"holidays\","
           "\"dates\":[\"2026-12-24..2027-01-01\",\"2026-05-17\",\"2028-02-29\"]}],");
    put(b,
        "\"sites\":[{\"name\":\"here\",\"zone\":\"%s\",\"link\":\"line\",\"subnets\":"
        "[\"10.0.0.0/8\"]}],\"rules\":[",
        zone);
    for (unsigned i = 0; i < rules; i++) {
        put(b, "%s{\"scope\":\"%s\",\"direction\":\"%s\",\"place\":\"%s\",\"class\":\"%s\"",
            i == 0 ? "" : ",",
            ONE_OF("global", "site:here", "site:here", "site:there", "link:line", "client:till-7",
                   "job:base"),
            ONE_OF("down", "up", "both"), ONE_OF("wan", "both", "lan"),
            ONE_OF("any", "any", "scavenger", "normal"));
        put_when(b);
        put_action(b);
        put(b, "}");
    }
    put(b, "]}");
}

static uint64_t condemned; /* rules of the last document that are said never to match, by bit */

static void note_condemned(const struct policy_findings *findings)
{
    condemned = 0;
    for (size_t i = 0; i < findings->count; i++) {
        unsigned rule;

        if (strstr(findings->list[i].text, " can never match") != NULL &&
            sscanf(findings->list[i].text, "rule %u ", &rule) == 1)
            condemned |= UINT64_C(1) << (rule - 1);
    }
}

static struct policy_doc *decode(const struct buf *b)
{
    struct policy_findings findings;
    struct policy_doc *d = NULL;

    policy_findings_init(&findings);
    if (alb_failed(policy_doc_decode(buf_peek(b), buf_size(b), zone_is_known, NULL, &findings, &d)))
        fail_msg("%s: %.*s", findings.list[0].text, (int)buf_size(b), (const char *)buf_peek(b));
    note_condemned(&findings);
    policy_findings_release(&findings);
    return d;
}

static struct policy_doc *random_document(const char *zone)
{
    struct policy_doc *d;
    struct buf text;

    buf_init(&text, 1 << 20);
    do { /* a link's rule for the LAN is refused */
        buf_clear(&text);
        put_document(&text, zone);
    } while (strstr(buf_text(&text), "link:line\",\"direction\":\"down\",\"place\":\"lan") ||
             strstr(buf_text(&text), "link:line\",\"direction\":\"up\",\"place\":\"lan") ||
             strstr(buf_text(&text), "link:line\",\"direction\":\"both\",\"place\":\"lan"));
    d = decode(&text);
    buf_release(&text);
    return d;
}

static struct policy_place random_place(void)
{
    return (struct policy_place){.site = gen_chance(&gen, 9, 10) ? "here" : "there",
                                 .device = gen_chance(&gen, 1, 2) ? "till-7" : NULL,
                                 .job = gen_chance(&gen, 1, 2) ? "base/debian" : NULL,
                                 .direction = gen_chance(&gen, 1, 2) ? POLICY_DOWN : POLICY_UP,
                                 .side = gen_chance(&gen, 4, 5) ? POLICY_WAN : POLICY_LAN,
                                 .class = (enum policy_class)gen_below(&gen, 4)};
}

static void add_overrides(struct policy *p, int64_t around_s)
{
    AUTO_FREE struct policy_overrides *o = xalloc(sizeof *o);

    o->count = gen_below(&gen, 3);
    for (size_t i = 0; i < o->count; i++)
        o->list[i] =
            (struct policy_override){.what = gen_chance(&gen, 1, 2) ? POLICY_PAUSE : POLICY_GO,
                                     .scope = gen_chance(&gen, 1, 2) ? POLICY_GLOBAL : POLICY_SITE,
                                     .of = "here",
                                     .directions = POLICY_BOTH,
                                     .places = POLICY_BOTH,
                                     .until_s = around_s + (int64_t)gen_below(&gen, 200000)};
    policy_set_overrides(p, o);
}

/* ---- laws ---- */

static bool is_same(const struct policy_terms *a, const struct policy_terms *b)
{
    return a->source == b->source && a->index == b->index;
}

/* From `at` on for `minutes`: the same until next_change says, and another then. */
static void walk(const struct policy *p, const struct policy_place *place, int64_t at,
                 unsigned minutes)
{
    struct policy_terms was = policy_now(p, place, at);
    int64_t next_s = policy_next_change(p, place, at);

    for (; minutes > 0; minutes--) {
        int64_t later = at + 60 - at % 60;
        struct policy_terms now = policy_now(p, place, later);

        assert_true(next_s > at);
        if (next_s > later) {
            assert_true(is_same(&was, &now));
        } else {
            struct policy_terms before = policy_now(p, place, next_s - 1);
            struct policy_terms after = policy_now(p, place, next_s);

            assert_true(is_same(&was, &before));
            assert_false(is_same(&was, &after));
            was = after;
            later = next_s;
            next_s = policy_next_change(p, place, next_s);
        }
        at = later;
    }
}

static void the_next_change_is_the_one_that_asking_each_minute_finds(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 120; round++) {
        struct policy *p = policy_new(random_document(one_of(ZONES, ALB_COUNT(ZONES))), NULL);
        struct policy_place place = random_place();
        int64_t at = INT64_C(1704067200) + (int64_t)gen_below(&gen, 6 * 366 * UINT64_C(86400));

        if (gen_chance(&gen, 1, 3)) /* in Europe's and America's weeks of change */
            at = gen_chance(&gen, 1, 2) ? 1774569600 : 1793318400;
        if (gen_chance(&gen, 1, 3))
            add_overrides(p, at);
        walk(p, &place, at, 10000);
        p = policy_free(p);
    }
}

/* How often the terms change until `end`, by jumping from change to change. */
static unsigned count_jumps(const struct policy *p, const struct policy_place *place, int64_t at,
                            int64_t end)
{
    unsigned jumps = 0;

    for (at = policy_next_change(p, place, at); at < end; at = policy_next_change(p, place, at))
        jumps++;
    return jumps;
}

static void years_of_changes_are_none_too_many_and_none_too_few(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        struct policy *p = policy_new(random_document(one_of(ZONES, ALB_COUNT(ZONES))), NULL);
        struct policy_place place = random_place();
        int64_t start = INT64_C(1704067200), end = start + 4 * 366 * INT64_C(86400);
        struct policy_terms was = policy_now(p, &place, start);
        unsigned steps = 0;

        for (int64_t at = start; at < end; at += 60) {
            struct policy_terms now = policy_now(p, &place, at);

            steps += !is_same(&was, &now);
            was = now;
        }
        assert_int_equal(count_jumps(p, &place, start, end), steps);
        p = policy_free(p);
    }
}

/* ---- the rules read naively, with libc's local time ---- */

static bool is_listed(const struct policy_doc *d, uint64_t calendars, int32_t day)
{
    for (size_t i = 0; i < d->calendar_count; i++)
        for (size_t k = 0; (calendars >> i & 1) != 0 && k < d->calendars[i].date_count; k++)
            if (d->calendars[i].dates[k].first_day <= day &&
                day <= d->calendars[i].dates[k].last_day)
                return true;
    return false;
}

static bool begins_on(const struct policy_doc *d, const struct policy_when *w, int32_t day,
                      int weekday_from_monday)
{
    return (w->days & 1 << weekday_from_monday) != 0 && day >= w->first_day && day <= w->last_day &&
           (w->on == 0 || is_listed(d, w->on, day)) && !is_listed(d, w->except, day);
}

static bool holds_naively(const struct policy_doc *d, const struct policy_when *w,
                          const struct tm *tm)
{
    struct tm noon = {
        .tm_year = tm->tm_year, .tm_mon = tm->tm_mon, .tm_mday = tm->tm_mday, .tm_hour = 12};
    int32_t today = (int32_t)(timegm(&noon) / 86400);
    int weekday = (tm->tm_wday + 6) % 7, minute = tm->tm_hour * 60 + tm->tm_min;

    if (w->from_min < w->to_min)
        return minute >= w->from_min && minute < w->to_min && begins_on(d, w, today, weekday);
    if (minute >= w->from_min && begins_on(d, w, today, weekday))
        return true;
    return minute < w->to_min && begins_on(d, w, today - 1, (weekday + 6) % 7);
}

static bool fits_naively(const struct policy_rule *r, const struct policy_place *place)
{
    const char *scope[] = {"", "line", place->site, place->device, "base"};

    if ((r->directions & place->direction) == 0 || (r->places & place->side) == 0 ||
        (r->class != POLICY_ANY_CLASS && r->class != place->class))
        return false;
    if (r->scope == POLICY_LINK)
        return strcmp(place->site, "here") == 0;
    if (r->scope == POLICY_JOB)
        return place->job != NULL;
    return r->scope == POLICY_GLOBAL ||
           (scope[r->scope] != NULL && strcmp(scope[r->scope], r->of) == 0);
}

static void check_naively(const struct policy *p, const struct policy_place *place, int64_t wall_s)
{
    const struct policy_doc *d = policy_peek(p);
    struct policy_terms t = policy_now(p, place, wall_s);
    time_t wall = (time_t)wall_s;
    struct tm tm;
    size_t i = 0;

    assert_non_null(localtime_r(&wall, &tm));
    while (i < d->rule_count &&
           !(fits_naively(&d->rules[i], place) && holds_naively(d, &d->rules[i].when, &tm)))
        i++;
    assert_int_equal(t.source, i < d->rule_count ? POLICY_BY_RULE : POLICY_BY_DEFAULT);
    assert_int_equal(t.index, i < d->rule_count ? i : 0);
}

static void what_holds_is_what_a_naive_reading_says(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        const char *zone = one_of(ZONES, ALB_COUNT(ZONES));
        struct policy *p = policy_new(random_document(zone), NULL);
        struct policy_place place = random_place();

        setenv("TZ", strcmp(place.site, "here") == 0 ? zone : "UTC", 1);
        tzset();
        for (unsigned i = 0; i < 1000; i++)
            check_naively(p, &place,
                          INT64_C(1704067200) + (int64_t)gen_below(&gen, UINT64_C(220000000)));
        p = policy_free(p);
    }
}

static void the_strictest_is_no_more_than_what_holds_at_any_time(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct policy *p = policy_new(random_document("Europe/Oslo"), NULL);
        struct policy_place place = random_place();
        struct policy_terms strict = policy_now(p, &place, POLICY_NO_CLOCK);

        for (unsigned i = 0; i < 200; i++) {
            int64_t at = INT64_C(1704067200) + (int64_t)gen_below(&gen, UINT64_C(190000000));
            struct policy_terms now = policy_now(p, &place, at);
            uint64_t capacity = gen_chance(&gen, 1, 2) ? 0 : gen_skewed(&gen, 1000000000);

            assert_true(strict.action.mode <= now.action.mode);
            assert_true(policy_limit_bps(&strict.action, capacity) <=
                        policy_limit_bps(&now.action, capacity));
            assert_true(now.action.mode != POLICY_MODE_SCAVENGE ||
                        strict.action.floor_bps <= now.action.floor_bps);
        }
        p = policy_free(p);
    }
}

static void rules_said_never_to_match_never_do(void **state)
{
    unsigned count = 0;

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        struct policy *p = policy_new(random_document("Europe/Oslo"), NULL);

        count += condemned != 0;
        for (unsigned i = 0; i < 2000 && condemned != 0; i++) {
            struct policy_place place = random_place();
            struct policy_terms t = policy_now(
                p, &place, INT64_C(1704067200) + (int64_t)gen_below(&gen, UINT64_C(220000000)));

            assert_false(t.source == POLICY_BY_RULE && (condemned >> t.index & 1) != 0);
        }
        p = policy_free(p);
    }
    assert_true(count > 10); /* or nothing was tried */
}

static void documents_come_back_from_json_and_from_csv(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct policy_doc *d = random_document(one_of(ZONES, ALB_COUNT(ZONES)));
        struct buf json, again, table;
        struct policy_doc *back;

        buf_init(&json, 1 << 20);
        buf_init(&again, 1 << 20);
        buf_init(&table, 1 << 20);
        assert_int_equal(policy_doc_encode(d, &json).code, ALB_OK);
        assert_int_equal(policy_csv_write(d, &table).code, ALB_OK);
        back = decode(&json);
        assert_int_equal(policy_doc_encode(back, &again).code, ALB_OK);
        assert_string_equal(buf_text(&json), buf_text(&again));
        back = policy_doc_free(back);
        back = decode(&table);
        buf_clear(&again);
        assert_int_equal(policy_doc_encode(back, &again).code, ALB_OK);
        assert_string_equal(buf_text(&json), buf_text(&again));
        back = policy_doc_free(back);
        d = policy_doc_free(d);
        buf_release(&json);
        buf_release(&again);
        buf_release(&table);
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
        cmocka_unit_test(the_next_change_is_the_one_that_asking_each_minute_finds),
        cmocka_unit_test(years_of_changes_are_none_too_many_and_none_too_few),
        cmocka_unit_test(what_holds_is_what_a_naive_reading_says),
        cmocka_unit_test(the_strictest_is_no_more_than_what_holds_at_any_time),
        cmocka_unit_test(rules_said_never_to_match_never_do),
        cmocka_unit_test(documents_come_back_from_json_and_from_csv),
    };
    return cmocka_run_group_tests(tests, seed, NULL);
}
