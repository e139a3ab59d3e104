/* SPDX-License-Identifier: Apache-2.0 */
/* unit/shaper/test_policy_hold.c – what stops everything and until when, limits of an unknown time,
 * pauses that are over by another's clock, and zone files that are replaced. */
#include "support/policy_fixture.h"
#include "support/tmpdir.h"

#include <unistd.h>

#include "base/file.h"
#include "shaper/policy.h"
#include "wire/policy_words.h"

#define OSLO_SITE                                                                                  \
    "{\"format\":1,\"zone\":\"UTC\",\"sites\":[{\"name\":\"oslo\",\"zone\":\"Europe/Oslo\"}],"

static const struct policy_place OSLO = {
    .site = "oslo", .direction = POLICY_DOWN, .side = POLICY_WAN, .class = POLICY_SCAVENGER};

static struct policy *policy_in(const char *zone_dir, const char *rules)
{
    AUTO_FREE char *text = xasprintf(OSLO_SITE "\"rules\":[%s]}", rules);

    return policy_new(policy_of(text), zone_dir);
}

static int64_t at(const char *utc)
{
    int64_t wall_s = 0;

    assert_int_equal(instant_parse(utc, &wall_s).code, ALB_OK);
    return wall_s;
}

static void override_with(struct policy *p, enum policy_what what, const char *until)
{
    AUTO_FREE struct policy_overrides *o = xalloc(sizeof *o);

    o->count = 1;
    o->list[0] = (struct policy_override){.id = "o7",
                                          .what = what,
                                          .scope = POLICY_SITE,
                                          .of = "oslo",
                                          .directions = POLICY_BOTH,
                                          .places = POLICY_BOTH,
                                          .since_s = at("2026-11-23T12:00:00Z"),
                                          .until_s = at(until),
                                          .by = "alice",
                                          .why = "trading day"};
    policy_set_overrides(p, o);
}

static void expect_hold(const struct policy *p, int64_t wall_s, const char *text)
{
    struct policy_hold h;

    assert_true(policy_hold(p, &OSLO, wall_s, &h));
    assert_string_equal(h.text, text);
}

/* ---- what stops everything ---- */

static void a_window_that_is_off_is_named_with_its_end(void **state)
{
    struct policy *p = policy_in(NULL, "{\"name\":\"full\",\"scope\":\"site:bergen\",\"mode\":"
                                       "\"full\"},{\"name\":\"office\",\"scope\":\"global\","
                                       "\"hours\":\"08:00-18:00\",\"mode\":\"off\"}");
    struct policy_hold h;

    (void)state;
    expect_hold(p, at("2026-11-23T12:00Z"),
                "paused by rule 2 (office) until Mon 2026-11-23 18:00 (Europe/Oslo)");
    assert_false(policy_hold(p, &OSLO, at("2026-11-23T18:00Z"), &h));
    p = policy_free(p);
}

static void one_window_that_is_off_after_another_ends_with_the_last(void **state)
{
    struct policy *p = policy_in(
        NULL, "{\"name\":\"a\",\"scope\":\"global\",\"hours\":\"08:00-12:00\",\"mode\":\"off\"},"
              "{\"name\":\"b\",\"scope\":\"global\",\"hours\":\"12:00-16:30\",\"mode\":\"off\"}");

    (void)state;
    expect_hold(p, at("2026-11-23T08:00Z"),
                "paused by rule 1 (a) until Mon 2026-11-23 16:30 (Europe/Oslo)");
    p = policy_free(p);
}

static void what_is_off_for_ever_says_so(void **state)
{
    struct policy *p =
        policy_in(NULL, "{\"name\":\"never\",\"scope\":\"global\",\"mode\":\"off\"}");

    (void)state;
    expect_hold(p, at("2026-11-23T08:00Z"),
                "paused by rule 1 (never), and nothing says until when");
    p = policy_free(p);
}

static void a_pause_says_who_why_and_how_to_end_it(void **state)
{
    struct policy *p = policy_in(NULL, "");

    (void)state;
    override_with(p, POLICY_PAUSE, "2026-11-23T13:30:00Z");
    expect_hold(p, at("2026-11-23T13:00Z"),
                "paused by alice since Mon 2026-11-23 13:00 (Europe/Oslo): 'trading day', until "
                "Mon 2026-11-23 14:30 (Europe/Oslo); `albedo resume o7` ends it");
    p = policy_free(p);
}

static void a_clock_that_is_behind_is_named_as_what_stops_everything(void **state)
{
    struct policy *p = policy_in(NULL, "{\"name\":\"office\",\"scope\":\"global\",\"hours\":"
                                       "\"08:00-18:00\",\"mode\":\"off\"}");

    (void)state;
    expect_hold(p, POLICY_NO_CLOCK,
                "paused by rule 1 (office), the strictest that could hold: the clock here is "
                "behind the last verified time; set it");
    p = policy_free(p);
}

/* ---- the strictest ---- */

static void a_lower_ceiling_of_another_window_holds_a_capped_rate_too(void **state)
{
    struct policy *p = policy_in(
        NULL, "{\"scope\":\"global\",\"hours\":\"08:00-18:00\",\"mode\":\"full\",\"ceiling\":"
              "\"1Mbit\"},{\"scope\":\"global\",\"mode\":\"capped\",\"rate\":\"4Mbit\"}");
    const struct policy_terms t = policy_now(p, &OSLO, POLICY_NO_CLOCK);

    (void)state;
    assert_int_equal(t.action.mode, POLICY_CAPPED);
    assert_int_equal(t.action.rate_bps, 1000000);
    assert_int_equal(policy_absolute_bps(&t.action), 1000000);
    assert_int_equal(policy_limit_bps(&t.action, 0), 1000000);
    p = policy_free(p);
}

static void the_lower_of_rate_and_ceiling_is_what_an_action_allows(void **state)
{
    const struct policy_action both = {
        .mode = POLICY_CAPPED, .rate_bps = 4000000, .ceiling_bps = 1000000, .percent = 50};
    const struct policy_action off = {.mode = POLICY_OFF, .ceiling_bps = 5};
    const struct policy_action full = {.mode = POLICY_FULL};

    (void)state;
    assert_int_equal(policy_absolute_bps(&both), 1000000);
    assert_int_equal(policy_absolute_bps(&off), 0);
    assert_int_equal(policy_absolute_bps(&full), 0);
}

static void terms_that_differ_in_a_ceiling_are_not_equal(void **state)
{
    const struct policy_terms a = {.action = {.mode = POLICY_FULL, .ceiling_bps = 1}};
    struct policy_terms b = a;

    (void)state;
    assert_true(policy_terms_equal(&a, &b));
    b.action.ceiling_bps = 2;
    assert_false(policy_terms_equal(&a, &b));
}

/* ---- over by another's clock ---- */

static void a_pause_that_is_over_by_the_hubs_clock_ends_on_a_clock_far_behind(void **state)
{
    struct policy *p = policy_in(NULL, "");

    (void)state;
    override_with(p, POLICY_PAUSE, "2026-11-23T13:30:00Z");
    policy_set_least(p, at("2026-11-23T13:29:59Z"));
    assert_int_equal(policy_now(p, &OSLO, POLICY_NO_CLOCK).action.mode, POLICY_OFF);
    assert_int_equal(policy_now(p, &OSLO, at("2020-01-01T00:00Z")).action.mode, POLICY_OFF);
    policy_set_least(p, at("2026-11-23T13:30:00Z"));
    assert_int_equal(policy_now(p, &OSLO, POLICY_NO_CLOCK).action.mode, POLICY_MODE_SCAVENGE);
    assert_int_equal(policy_now(p, &OSLO, at("2020-01-01T00:00Z")).action.mode,
                     POLICY_MODE_SCAVENGE);
    override_with(p, POLICY_GO, "2026-11-23T13:30:00Z");
    assert_int_equal(policy_now(p, &OSLO, at("2020-01-01T00:00Z")).action.mode,
                     POLICY_MODE_SCAVENGE);
    p = policy_free(p);
}

/* ---- zone files that are replaced ---- */

static void copy_zone(const char *from, const char *to)
{
    AUTO_FREE char *source = xasprintf("/usr/share/zoneinfo/%s", from);
    AUTO_FREE char *fresh = xasprintf("%s.new", to);
    struct buf bytes;

    buf_init(&bytes, 1 << 20);
    assert_int_equal(file_read(source, &bytes).code, ALB_OK);
    assert_int_equal(file_replace(fresh, buf_peek(&bytes), buf_size(&bytes), 0644).code, ALB_OK);
    assert_int_equal(rename(fresh, to), 0);
    buf_release(&bytes);
}

static const char OFF_AT_NOON[] = "{\"scope\":\"global\",\"hours\":\"13:00-14:00\","
                                  "\"mode\":\"off\"}";

/* A directory of zones' files: UTC, and Oslo's, which is `*file`, heap. */
static struct tmpdir *zones_open(char **file)
{
    struct tmpdir *dir = tmpdir_open();
    AUTO_FREE char *utc = tmpdir_path(dir, "UTC");

    tmpdir_mkdir(dir, "Europe");
    *file = tmpdir_path(dir, "Europe/Oslo");
    copy_zone("Etc/UTC", utc);
    copy_zone("Europe/Oslo", *file);
    return dir;
}

static bool refresh_zones(struct policy *p)
{
    struct zones_reading *r = policy_zones_begin(p);

    zones_reading_run(r);
    return policy_zones_end(p, r);
}

static void a_zone_file_that_is_replaced_is_read_anew(void **state)
{
    const int64_t noon_s = at("2026-11-23T12:30Z");
    AUTO_FREE char *file = NULL;
    struct tmpdir *dir = zones_open(&file);

    (void)state;
    struct policy *p = policy_in(dir->path, OFF_AT_NOON);
    assert_int_equal(policy_now(p, &OSLO, noon_s).action.mode, POLICY_OFF); /* 13:30 there */
    assert_false(refresh_zones(p));
    copy_zone("America/New_York", file); /* the country moved */
    assert_true(refresh_zones(p));
    assert_false(refresh_zones(p));
    assert_int_equal(policy_now(p, &OSLO, noon_s).action.mode, POLICY_MODE_SCAVENGE);
    assert_int_equal(unlink(file), 0);
    struct policy *without = policy_in(dir->path, OFF_AT_NOON);
    assert_int_equal(policy_now(without, &OSLO, noon_s).source, POLICY_BY_STRICTEST);
    copy_zone("Europe/Oslo", file); /* it comes back, and so does the window */
    assert_true(refresh_zones(without));
    assert_int_equal(policy_now(without, &OSLO, noon_s).source, POLICY_BY_RULE);
    without = policy_free(without);
    p = policy_free(p);
    tmpdir_close(dir);
}

/* A worker reads while another policy comes. */
static void zones_that_were_read_for_the_document_before_are_taken_by_name(void **state)
{
    const int64_t noon_s = at("2026-11-23T12:30Z");
    AUTO_FREE char *file = NULL;
    struct tmpdir *dir = zones_open(&file);

    (void)state;
    struct policy *p = policy_in(dir->path, OFF_AT_NOON);
    struct zones_reading *r = policy_zones_begin(p);
    struct policy *next = policy_in(dir->path, OFF_AT_NOON);
    p = policy_free(p);
    copy_zone("America/New_York", file);
    zones_reading_run(r);
    assert_int_equal(policy_now(next, &OSLO, noon_s).action.mode, POLICY_OFF);
    assert_true(policy_zones_end(next, r));
    assert_int_equal(policy_now(next, &OSLO, noon_s).action.mode, POLICY_MODE_SCAVENGE);
    r = policy_zones_begin(next);
    zones_reading_run(r);
    assert_int_equal(unlink(file), 0);
    assert_false(policy_zones_end(next, r));
    r = zones_reading_free(policy_zones_begin(next));
    next = policy_free(next);
    tmpdir_close(dir);
}

static void expect_off_at_noon(struct policy *p)
{
    assert_false(refresh_zones(p));
    assert_int_equal(policy_now(p, &OSLO, at("2026-11-23T12:30Z")).source, POLICY_BY_RULE);
}

/* Half of a package's files while it was installed made the site strict for half an hour. */
static void a_zone_file_that_cannot_be_read_anew_leaves_what_is_known(void **state)
{
    AUTO_FREE char *file = NULL;
    struct tmpdir *dir = zones_open(&file);

    (void)state;
    struct policy *p = policy_in(dir->path, OFF_AT_NOON);
    assert_int_equal(file_replace(file, "TZif2", 5, 0644).code, ALB_OK);
    expect_off_at_noon(p);
    assert_int_equal(unlink(file), 0);
    expect_off_at_noon(p);
    copy_zone("America/New_York", file);
    assert_true(refresh_zones(p));
    p = policy_free(p);
    tmpdir_close(dir);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_that_is_off_is_named_with_its_end),
        cmocka_unit_test(one_window_that_is_off_after_another_ends_with_the_last),
        cmocka_unit_test(what_is_off_for_ever_says_so),
        cmocka_unit_test(a_pause_says_who_why_and_how_to_end_it),
        cmocka_unit_test(a_clock_that_is_behind_is_named_as_what_stops_everything),
        cmocka_unit_test(a_lower_ceiling_of_another_window_holds_a_capped_rate_too),
        cmocka_unit_test(the_lower_of_rate_and_ceiling_is_what_an_action_allows),
        cmocka_unit_test(terms_that_differ_in_a_ceiling_are_not_equal),
        cmocka_unit_test(a_pause_that_is_over_by_the_hubs_clock_ends_on_a_clock_far_behind),
        cmocka_unit_test(a_zone_file_that_is_replaced_is_read_anew),
        cmocka_unit_test(zones_that_were_read_for_the_document_before_are_taken_by_name),
        cmocka_unit_test(a_zone_file_that_cannot_be_read_anew_leaves_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
