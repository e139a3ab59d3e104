/* SPDX-License-Identifier: Apache-2.0 */
/* unit/shaper/test_policy.c – which rule holds here and now: scopes, hours, changes of the clock,
 * overrides, unknown times, deadlines, and what a person is told. */
#include "support/policy_fixture.h"

#include "shaper/policy.h"
#include "wire/policy_words.h"

/* Oslo is an hour east of UTC, two in summer; Boston five west, four in summer. */
#define SITES                                                                                      \
    "{\"format\":1,\"zone\":\"UTC\",\"calendars\":[{\"name\":\"holidays\",\"dates\":"              \
    "[\"2026-12-24..2026-12-26\"]}],\"sites\":[{\"name\":\"oslo\",\"zone\":\"Europe/Oslo\","       \
    "\"link\":\"mpls\",\"subnets\":[\"10.1.0.0/16\",\"2001:db8::/32\"]},{\"name\":\"boston\","     \
    "\"zone\":\"America/New_York\",\"subnets\":[\"10.0.0.0/8\"]}],"

static struct policy *policy_with(const char *rules)
{
    AUTO_FREE char *text = xasprintf(SITES "\"rules\":[%s]}", rules);

    return policy_new(policy_of(text), NULL);
}

static int64_t at(const char *utc)
{
    int64_t wall_s = 0;

    assert_int_equal(instant_parse(utc, &wall_s).code, ALB_OK);
    return wall_s;
}

static const struct policy_place OSLO = {
    .site = "oslo", .direction = POLICY_DOWN, .side = POLICY_WAN, .class = POLICY_SCAVENGER};

static enum policy_mode mode_at(const struct policy *p, const char *utc)
{
    return policy_now(p, &OSLO, at(utc)).action.mode;
}

static void expect_next(const struct policy *p, const char *utc, const char *next)
{
    char text[UNITS_TEXT_SIZE];

    assert_string_equal(format_time(policy_next_change(p, &OSLO, at(utc)), text), next);
}

/* ---- which rule ---- */

static void without_rules_everything_is_scavenging(void **state)
{
    struct policy *p = policy_with("");
    struct policy_terms t = policy_now(p, &OSLO, at("2026-11-22T12:00Z"));

    (void)state;
    assert_int_equal(t.source, POLICY_BY_DEFAULT);
    assert_int_equal(t.action.mode, POLICY_MODE_SCAVENGE);
    assert_int_equal(policy_limit_bps(&t.action, 0), UINT64_MAX);
    assert_int_equal(policy_next_change(p, &OSLO, at("2026-11-22T12:00Z")), POLICY_NEVER);
    p = policy_free(p);
}

#define PLACE(site, device, job, direction, side, class)                                           \
    {                                                                                              \
        (site), (device), (job), (direction), (side), (class), NULL, 0, 0                          \
    }

static void the_first_rule_that_fits_wins(void **state)
{
    static const struct {
        struct policy_place place;
        int rule; /* from 1; 0: none */
    } CASES[] = {
        {PLACE("oslo", NULL, NULL, POLICY_DOWN, POLICY_WAN, POLICY_ANY_CLASS), 5},
        {PLACE("oslo", "till-7", NULL, POLICY_DOWN, POLICY_WAN, POLICY_ANY_CLASS), 1},
        {PLACE("boston", "till-7", NULL, POLICY_UP, POLICY_WAN, POLICY_ANY_CLASS), 6},
        {PLACE("oslo", "till-8", "base/debian/x", POLICY_DOWN, POLICY_WAN, POLICY_NORMAL), 2},
        {PLACE("oslo", "till-8", "base/debian-12", POLICY_DOWN, POLICY_WAN, POLICY_NORMAL), 5},
        {PLACE("oslo", "", "", POLICY_DOWN, POLICY_WAN, POLICY_URGENT), 3},
        {PLACE("boston", NULL, NULL, POLICY_DOWN, POLICY_WAN, POLICY_URGENT), 3},
        {PLACE("oslo", NULL, NULL, POLICY_DOWN, POLICY_LAN, POLICY_URGENT), 4},
        {PLACE("boston", NULL, NULL, POLICY_DOWN, POLICY_WAN, POLICY_NORMAL), 0},
        {PLACE("unknown", NULL, NULL, POLICY_UP, POLICY_WAN, POLICY_NORMAL), 6},
        {PLACE(NULL, NULL, NULL, POLICY_UP, POLICY_WAN, POLICY_NORMAL), 6},
        {PLACE("", NULL, NULL, POLICY_DOWN, POLICY_WAN, POLICY_NORMAL), 0},
    };
    struct policy *p =
        policy_with("{\"scope\":\"client:till-7\",\"direction\":\"down\",\"mode\":\"full\"},"
                    "{\"scope\":\"job:base/debian\",\"mode\":\"off\"},"
                    "{\"scope\":\"global\",\"class\":\"urgent\",\"mode\":\"full\"},"
                    "{\"scope\":\"site:oslo\",\"place\":\"lan\",\"mode\":\"full\"},"
                    "{\"scope\":\"link:mpls\",\"mode\":\"capped\",\"rate\":\"1Mbit\"},"
                    "{\"scope\":\"global\",\"direction\":\"up\",\"mode\":\"off\"}");

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(CASES); i++) {
        struct policy_terms t = policy_now(p, &CASES[i].place, at("2026-11-22T12:00Z"));

        assert_int_equal(t.source, CASES[i].rule > 0 ? POLICY_BY_RULE : POLICY_BY_DEFAULT);
        assert_int_equal(t.index + (t.source == POLICY_BY_RULE), CASES[i].rule);
    }
    p = policy_free(p);
}

static void an_address_belongs_to_the_narrowest_subnet(void **state)
{
    struct policy *p = policy_with("");
    uint8_t v4[16] = {[10] = 0xff, 0xff, 10, 1, 2, 3};
    uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 9};

    (void)state;
    assert_string_equal(policy_site_of(p, v4), "oslo");
    v4[13] = 2;
    assert_string_equal(policy_site_of(p, v4), "boston");
    v4[12] = 11;
    assert_null(policy_site_of(p, v4));
    assert_string_equal(policy_site_of(p, v6), "oslo");
    v6[0] = 0x21;
    assert_null(policy_site_of(p, v6));
    p = policy_free(p);
}

static void rules_of_a_subnet_fit_who_has_an_address_in_it(void **state)
{
    static const uint8_t OWN[2][16] = {{[10] = 0xff, 0xff, 172, 16, 0, 1},
                                       {[10] = 0xff, 0xff, 10, 1, 9, 9}};
    struct policy_place place = {.site = "hamburg", /* the hub's, not the policy's */
                                 .addresses = OWN,
                                 .address_count = 2,
                                 .direction = POLICY_DOWN,
                                 .side = POLICY_WAN};
    struct policy *p =
        policy_with("{\"scope\":\"site:oslo\",\"hours\":\"08:00-09:00\",\"mode\":\"full\"},"
                    "{\"scope\":\"link:mpls\",\"mode\":\"off\"}");

    (void)state;
    assert_int_equal(policy_now(p, &place, at("2026-11-23T07:00:00Z")).action.mode, POLICY_FULL);
    assert_int_equal(policy_now(p, &place, at("2026-11-23T08:00:00Z")).action.mode, POLICY_OFF);
    assert_int_equal(policy_next_change(p, &place, at("2026-11-23T08:00:00Z")),
                     at("2026-11-24T07:00:00Z"));
    place.site = "boston"; /* which the policy has: its zone and link, but both sites' rules */
    assert_int_equal(policy_now(p, &place, at("2026-11-23T13:00:00Z")).action.mode, POLICY_FULL);
    place.address_count = 1;
    assert_int_equal(policy_now(p, &place, at("2026-11-23T13:00:00Z")).source, POLICY_BY_DEFAULT);
    p = policy_free(p);
}

static void expect_sum(const struct policy *p, enum policy_sum sum, int rule)
{
    struct policy_place place = OSLO;

    place.sum = sum;
    place.device = "till-7";
    const struct policy_terms t = policy_now(p, &place, at("2026-11-22T12:00Z"));
    assert_int_equal(t.source, rule == 0 ? POLICY_BY_DEFAULT : POLICY_BY_RULE);
    assert_int_equal(rule == 0 ? 0 : t.index + 1, rule);
}

static void a_links_sum_is_not_asked_of_rules_of_sites_nor_everything_of_those_of_links(
    void **state)
{
    const char *zone = NULL;
    struct policy *p = policy_with("{\"scope\":\"site:oslo\",\"mode\":\"off\"},"
                                   "{\"scope\":\"link:mpls\",\"mode\":\"full\"},"
                                   "{\"scope\":\"global\",\"mode\":\"capped\",\"rate\":\"1Mbit\"}");

    (void)state;
    expect_sum(p, POLICY_OF_SITE, 1);
    expect_sum(p, POLICY_OF_LINK, 2);
    expect_sum(p, POLICY_OF_ALL, 3);
    assert_string_equal(policy_site_link(p, "oslo", &zone), "mpls");
    assert_string_equal(zone, "Europe/Oslo");
    assert_string_equal(policy_site_link(p, "nowhere", &zone), "");
    assert_string_equal(zone, "UTC");
    p = policy_free(p);
}

static void a_percentage_is_of_the_capacity_once_it_is_known(void **state)
{
    struct policy_action capped = {.mode = POLICY_CAPPED, .rate_bps = 2000000, .percent = 30};
    struct policy_action scavenge = {
        .mode = POLICY_MODE_SCAVENGE, .ceiling_bps = 4000000, .percent = 50};
    struct policy_action off = {.mode = POLICY_OFF};

    (void)state;
    assert_int_equal(policy_limit_bps(&capped, 0), 2000000);
    assert_int_equal(policy_limit_bps(&capped, 10000000), 3000000);
    assert_int_equal(policy_limit_bps(&scavenge, 0), 4000000);
    assert_int_equal(policy_limit_bps(&scavenge, 6000000), 3000000);
    assert_int_equal(policy_limit_bps(&scavenge, 10000000), 4000000);
    assert_int_equal(policy_limit_bps(&scavenge, 100), RATE_LEAST_BPS);
    assert_int_equal(policy_limit_bps(&off, 10000000), 0);
}

/* ---- when ---- */

static void hours_are_those_of_the_site(void **state)
{
    struct policy *p =
        policy_with("{\"scope\":\"global\",\"hours\":\"08:00-16:00\",\"mode\":\"off\"}");
    struct policy_place boston = OSLO;

    (void)state;
    boston.site = "boston";
    assert_int_equal(mode_at(p, "2026-11-23T06:59:59Z"), POLICY_MODE_SCAVENGE);
    assert_int_equal(mode_at(p, "2026-11-23T07:00:00Z"), POLICY_OFF); /* 08:00 in Oslo */
    assert_int_equal(mode_at(p, "2026-11-23T14:59:59Z"), POLICY_OFF);
    assert_int_equal(mode_at(p, "2026-11-23T15:00:00Z"), POLICY_MODE_SCAVENGE);
    assert_int_equal(mode_at(p, "2026-07-01T06:00:00Z"), POLICY_OFF); /* in summer, too */
    assert_int_equal(policy_now(p, &boston, at("2026-11-23T12:59:59Z")).action.mode,
                     POLICY_MODE_SCAVENGE);
    assert_int_equal(policy_now(p, &boston, at("2026-11-23T13:00:00Z")).action.mode, POLICY_OFF);
    expect_next(p, "2026-11-23T06:59:59Z", "2026-11-23T07:00:00Z");
    expect_next(p, "2026-11-23T07:00:00Z", "2026-11-23T15:00:00Z");
    p = policy_free(p);
}

static void a_window_past_midnight_belongs_to_the_day_it_began(void **state)
{
    struct policy *p = policy_with("{\"scope\":\"global\",\"days\":\"fri\",\"hours\":"
                                   "\"22:00-06:00\",\"mode\":\"full\"}");

    (void)state;
    assert_int_equal(mode_at(p, "2026-11-26T23:00:00Z"), POLICY_MODE_SCAVENGE); /* Fri 00:00 */
    assert_int_equal(mode_at(p, "2026-11-27T21:00:00Z"), POLICY_FULL);          /* Fri 22:00 */
    assert_int_equal(mode_at(p, "2026-11-28T04:59:59Z"), POLICY_FULL);          /* Sat 05:59 */
    assert_int_equal(mode_at(p, "2026-11-28T05:00:00Z"), POLICY_MODE_SCAVENGE); /* Sat 06:00 */
    assert_int_equal(mode_at(p, "2026-11-28T21:00:00Z"), POLICY_MODE_SCAVENGE); /* Sat 22:00 */
    expect_next(p, "2026-11-27T21:00:00Z", "2026-11-28T05:00:00Z");
    expect_next(p, "2026-11-28T05:00:00Z", "2026-12-04T21:00:00Z");
    p = policy_free(p);
}

/* On 2026-03-29 Oslo goes from 02:00 to 03:00, at 01:00 UTC. */
static void an_hour_that_the_clock_leaves_out_does_not_come(void **state)
{
    struct policy *within =
        policy_with("{\"scope\":\"global\",\"hours\":\"02:00-03:00\",\"mode\":\"full\"}");
    struct policy *across =
        policy_with("{\"scope\":\"global\",\"hours\":\"02:30-04:00\",\"mode\":\"full\"}");

    (void)state;
    assert_int_equal(mode_at(within, "2026-03-29T00:59:59Z"), POLICY_MODE_SCAVENGE);
    assert_int_equal(mode_at(within, "2026-03-29T01:00:00Z"), POLICY_MODE_SCAVENGE);
    expect_next(within, "2026-03-28T03:00:00Z", "2026-03-30T00:00:00Z"); /* not on the 29th */
    expect_next(across, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"); /* from 03:00 on */
    expect_next(across, "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z");
    within = policy_free(within);
    across = policy_free(across);
}

/* On 2026-10-25 it goes from 03:00 back to 02:00, at 01:00 UTC. */
static void an_hour_that_comes_twice_holds_twice(void **state)
{
    struct policy *p =
        policy_with("{\"scope\":\"global\",\"hours\":\"02:00-02:30\",\"mode\":\"full\"}");

    (void)state;
    expect_next(p, "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z");
    expect_next(p, "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z");
    expect_next(p, "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z");
    expect_next(p, "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z");
    expect_next(p, "2026-10-25T01:30:00Z", "2026-10-26T01:00:00Z");
    p = policy_free(p);
}

static void a_leap_day_is_a_day(void **state)
{
    struct policy *p =
        policy_with("{\"scope\":\"global\",\"dates\":\"2028-02-29\",\"mode\":\"off\"}");

    (void)state;
    assert_int_equal(mode_at(p, "2028-02-28T22:59:59Z"), POLICY_MODE_SCAVENGE);
    assert_int_equal(mode_at(p, "2028-02-28T23:00:00Z"), POLICY_OFF);
    expect_next(p, "2028-02-28T00:00:00Z", "2028-02-28T23:00:00Z");
    expect_next(p, "2028-02-28T23:00:00Z", "2028-02-29T23:00:00Z");
    p = policy_free(p);
}

static void dates_and_calendars_are_of_the_day_a_window_began(void **state)
{
    struct policy *p = policy_with(
        "{\"scope\":\"global\",\"hours\":\"20:00-04:00\",\"on\":[\"holidays\"],\"mode\":\"full\"},"
        "{\"scope\":\"global\",\"dates\":\"..2026-12-01\",\"except\":[\"holidays\"],"
        "\"mode\":\"off\"}");

    (void)state;
    assert_int_equal(mode_at(p, "2026-12-24T02:00:00Z"), POLICY_MODE_SCAVENGE);
    assert_int_equal(mode_at(p, "2026-12-24T19:00:00Z"), POLICY_FULL);
    assert_int_equal(mode_at(p, "2026-12-27T02:59:59Z"), POLICY_FULL);
    assert_int_equal(mode_at(p, "2026-12-27T03:00:00Z"), POLICY_MODE_SCAVENGE);
    assert_int_equal(mode_at(p, "2026-12-01T22:59:59Z"), POLICY_OFF);
    assert_int_equal(policy_next_change(p, &OSLO, at("2026-12-27T03:00:00Z")), POLICY_NEVER);
    expect_next(p, "2026-11-22T12:00:00Z", "2026-12-01T23:00:00Z");
    p = policy_free(p);
}

static void a_date_years_ahead_is_seen(void **state)
{
    struct policy *p = policy_with(
        "{\"scope\":\"global\",\"dates\":\"2041-05-17\",\"hours\":\"22:00-06:00\",\"mode\":"
        "\"off\"},"
        "{\"scope\":\"global\",\"dates\":\"2100-01-01..\",\"mode\":\"full\"}");

    (void)state;
    expect_next(p, "2026-11-22T12:00:00Z", "2041-05-17T20:00:00Z");
    expect_next(p, "2041-05-17T20:00:00Z", "2041-05-18T04:00:00Z");
    assert_int_equal(policy_next_change(p, &OSLO, at("2041-05-18T04:00:00Z")), POLICY_NEVER);
    expect_next(p, "2060-01-01T00:00:00Z", "2099-12-31T23:00:00Z");
    p = policy_free(p);
}

static void a_rule_that_always_holds_never_changes(void **state)
{
    struct policy *p = policy_with("{\"scope\":\"global\",\"mode\":\"off\"}");

    (void)state;
    assert_int_equal(policy_next_change(p, &OSLO, at("2026-11-22T12:00Z")), POLICY_NEVER);
    p = policy_free(p);
}

/* ---- overrides ---- */

static void override_with(struct policy *p, enum policy_what what, const char *until)
{
    AUTO_FREE struct policy_overrides *o = xalloc(sizeof *o);

    o->count = 1;
    o->list[0] = (struct policy_override){.id = "o-1",
                                          .what = what,
                                          .scope = POLICY_SITE,
                                          .of = "oslo",
                                          .directions = POLICY_BOTH,
                                          .places = POLICY_BOTH,
                                          .until_s = at(until),
                                          .by = "anna",
                                          .why = "video call"};
    policy_set_overrides(p, o);
}

static void an_override_goes_before_all_rules_and_ends(void **state)
{
    struct policy *p = policy_with("{\"scope\":\"global\",\"hours\":\"14:00-15:00\",\"mode\":"
                                   "\"capped\",\"rate\":\"1Mbit\"}");
    struct policy_place boston = OSLO;

    (void)state;
    boston.site = "boston";
    override_with(p, POLICY_PAUSE, "2026-11-23T13:30:00Z");
    assert_int_equal(mode_at(p, "2026-11-23T13:29:59Z"), POLICY_OFF);
    assert_int_equal(mode_at(p, "2026-11-23T13:30:00Z"), POLICY_CAPPED);
    expect_next(p, "2026-11-23T12:00:00Z", "2026-11-23T13:30:00Z");
    expect_next(p, "2026-11-23T13:30:00Z", "2026-11-23T14:00:00Z");
    assert_int_equal(policy_now(p, &boston, at("2026-11-23T13:00Z")).source, POLICY_BY_DEFAULT);
    override_with(p, POLICY_GO, "2026-11-23T13:30:00Z");
    assert_int_equal(mode_at(p, "2026-11-23T13:00:00Z"), POLICY_FULL);
    p = policy_free(p);
}

/* ---- unknown times ---- */

#define NIGHTS                                                                                     \
    "{\"scope\":\"site:oslo\",\"hours\":\"22:00-06:00\",\"mode\":\"full\"},"                       \
    "{\"scope\":\"site:oslo\",\"hours\":\"08:00-16:00\",\"mode\":\"scavenge\",\"ceiling\":"        \
    "\"1Mbit\",\"percent\":40},{\"scope\":\"global\",\"mode\":\"capped\",\"rate\":\"500kbit\"},"   \
    "{\"scope\":\"global\",\"mode\":\"off\"}"

static void expect_strictest(const struct policy *p, int64_t wall_s)
{
    struct policy_terms t = policy_now(p, &OSLO, wall_s);

    assert_int_equal(t.source, POLICY_BY_STRICTEST);
    assert_int_equal(t.index, 1);
    assert_int_equal(t.action.mode, POLICY_MODE_SCAVENGE);
    assert_int_equal(t.action.ceiling_bps, 500000); /* of the third; the fourth never holds */
    assert_int_equal(t.action.percent, 40);
    assert_int_equal(policy_next_change(p, &OSLO, wall_s), POLICY_NEVER);
}

static void a_clock_that_is_not_believed_gives_the_strictest(void **state)
{
    struct policy *p = policy_with(NIGHTS);

    (void)state;
    expect_strictest(p, POLICY_NO_CLOCK);
    expect_strictest(p, INT64_MAX);
    expect_strictest(p, -1);
    assert_int_equal(mode_at(p, "2026-11-22T22:00:00Z"), POLICY_FULL);
    p = policy_free(p);
}

static void a_zone_that_is_not_here_gives_the_strictest(void **state)
{
    AUTO_FREE char *text = xasprintf(SITES "\"rules\":[%s]}", NIGHTS);
    struct policy *p = policy_new(policy_of(text), "/nonexistent");

    (void)state;
    expect_strictest(p, at("2026-11-22T22:00:00Z"));
    p = policy_free(p);
}

static void a_rule_without_times_needs_no_clock(void **state)
{
    struct policy *p = policy_with("{\"scope\":\"global\",\"mode\":\"full\"}");
    struct policy_terms t = policy_now(p, &OSLO, POLICY_NO_CLOCK);

    (void)state;
    assert_int_equal(t.source, POLICY_BY_RULE);
    assert_int_equal(t.action.mode, POLICY_FULL);
    p = policy_free(p);
}

static void without_a_clock_a_pause_stays_and_a_go_does_not(void **state)
{
    struct policy *p = policy_with("");

    (void)state;
    override_with(p, POLICY_PAUSE, "2026-11-23T13:30:00Z");
    assert_int_equal(policy_now(p, &OSLO, POLICY_NO_CLOCK).action.mode, POLICY_OFF);
    assert_int_equal(policy_next_change(p, &OSLO, POLICY_NO_CLOCK), POLICY_NEVER);
    override_with(p, POLICY_GO, "2026-11-23T13:30:00Z");
    assert_int_equal(policy_now(p, &OSLO, POLICY_NO_CLOCK).action.mode, POLICY_MODE_SCAVENGE);
    p = policy_free(p);
}

/* ---- deadlines ---- */

static void the_earliest_deadline_that_is_not_long_past_counts(void **state)
{
    struct policy *p =
        policy_new(policy_of(SITES "\"deadlines\":["
                                   "{\"layer\":\"base\",\"by\":\"2026-12-01T00:00:00Z\"},"
                                   "{\"layer\":\"base/debian\",\"site\":\"oslo\",\"by\":"
                                   "\"2026-11-20T00:00:00Z\"}]}"),
                   NULL);
    int64_t first = at("2026-11-20T00:00Z"), second = at("2026-12-01T00:00Z");

    (void)state;
    assert_int_equal(policy_deadline(p, "base/debian", "oslo", first - 9), first);
    assert_int_equal(policy_deadline(p, "base/debian", "oslo", first + 9), first);
    assert_int_equal(policy_deadline(p, "base/debian", "oslo", first + 7 * 86400), second);
    assert_int_equal(policy_deadline(p, "base/debian", "boston", first - 9), second);
    assert_int_equal(policy_deadline(p, "base/fedora", NULL, first - 9), second);
    assert_int_equal(policy_deadline(p, "app", "oslo", first - 9), POLICY_NEVER);
    assert_int_equal(policy_deadline(p, "base", "oslo", POLICY_NO_CLOCK), POLICY_NEVER);
    p = policy_free(p);
}

static void what_is_needed_is_rounded_up_and_never_overflows(void **state)
{
    (void)state;
    assert_int_equal(policy_needed_bps(1000, 100, 97), 2667);
    assert_int_equal(policy_needed_bps(0, 100, 200), 0);
    assert_int_equal(policy_needed_bps(1, 100, 100), UINT64_MAX);
    assert_int_equal(policy_needed_bps(UINT64_MAX, 100, 99), UINT64_MAX);
    assert_int_equal(policy_needed_bps(1, INT64_MAX, INT64_MIN), 1);
}

static void a_deadline_raises_the_floor_and_then_the_mode(void **state)
{
    struct policy_terms calm = {.source = POLICY_BY_RULE,
                                .action = {.mode = POLICY_MODE_SCAVENGE,
                                           .ceiling_bps = 3000000,
                                           .profile = POLICY_INVISIBLE}};
    struct policy_terms t = calm;

    (void)state;
    assert_int_equal(policy_escalate(&t, 800000, 1000000), POLICY_SCAVENGER);
    assert_memory_equal(&t, &calm, sizeof t);
    assert_int_equal(policy_escalate(&t, 9000000, UINT64_MAX), POLICY_SCAVENGER);
    assert_int_equal(policy_escalate(&t, 800001, 1000000), POLICY_NORMAL);
    assert_int_equal(t.action.mode, POLICY_MODE_SCAVENGE);
    assert_int_equal(t.action.floor_bps, 800001);
    t = calm;
    assert_int_equal(policy_escalate(&t, 4000000, 4000000), POLICY_NORMAL);
    assert_int_equal(t.action.floor_bps, 3000000); /* not above the ceiling */
    t = calm;
    assert_int_equal(policy_escalate(&t, 1000001, 1000000), POLICY_URGENT);
    assert_int_equal(t.action.mode, POLICY_FULL);
    assert_int_equal(t.action.ceiling_bps, 3000000);
}

static void a_deadline_changes_nothing_that_an_operator_said(void **state)
{
    struct policy_terms off = {.source = POLICY_BY_RULE, .action = {.mode = POLICY_OFF}};
    struct policy_terms capped = {.source = POLICY_BY_RULE,
                                  .action = {.mode = POLICY_CAPPED, .rate_bps = 1000000}};
    struct policy_terms t = off;

    (void)state;
    assert_int_equal(policy_escalate(&t, UINT64_MAX, 1), POLICY_URGENT);
    assert_memory_equal(&t, &off, sizeof t);
    t = capped;
    assert_int_equal(policy_escalate(&t, 2000000, 1000000), POLICY_URGENT);
    assert_memory_equal(&t, &capped, sizeof t);
}

/* ---- explained ---- */

static void expect_words(const struct policy *p, int64_t wall_s, const char *now, const char *next)
{
    struct policy_explanation e;

    policy_explain(p, &OSLO, wall_s, &e);
    assert_string_equal(e.now_text, now);
    assert_string_equal(e.next_text, next);
}

static void what_holds_and_what_comes_is_told_in_the_sites_time(void **state)
{
    struct policy *p = policy_with(
        "{\"name\":\"office\",\"scope\":\"site:oslo\",\"days\":\"mon-fri\",\"hours\":"
        "\"08:00-16:00\",\"mode\":\"scavenge\",\"ceiling\":\"2500kbit\",\"floor\":\"64kbit\","
        "\"percent\":40,\"profile\":\"invisible\",\"max_queue\":\"5ms\"}");

    (void)state;
    expect_words(
        p, at("2026-11-23T12:00Z"),
        "rule 1 (office): scavenge, at most 40 % of the measured capacity, at most 2.5 "
        "Mbit/s (more is not measured), at least 64.0 kbit/s, profile invisible, adding at most 5 "
        "ms of delay",
        "at Mon 2026-11-23 16:00 (Europe/Oslo): no rule holds: scavenge");
    override_with(p, POLICY_PAUSE, "2026-11-23T13:30:30Z");
    expect_words(
        p, at("2026-11-23T12:00Z"),
        "pause o-1 by anna until 2026-11-23T13:30:30Z (video call): off",
        "at Mon 2026-11-23 14:30:30 (Europe/Oslo): rule 1 (office): scavenge, at most 40 % "
        "of the measured capacity, at most 2.5 Mbit/s (more is not measured), at least 64.0 "
        "kbit/s, profile invisible, adding at most 5 ms of delay");
    p = policy_free(p);
    p = policy_with("{\"name\":\"a\",\"scope\":\"global\",\"mode\":\"capped\",\"rate\":\"2Mbit\","
                    "\"percent\":30}");
    expect_words(
        p, at("2026-11-23T12:00Z"),
        "rule 1 (a): capped, 2.0 Mbit/s, then 30 % of the capacity that is measured, which is no "
        "more than that",
        "nothing else, ever");
    p = policy_free(p);
}

static void terms_of_the_document_before_name_no_rule_of_this_one(void **state)
{
    struct policy *p = policy_with("{\"name\":\"a\",\"scope\":\"global\",\"mode\":\"off\"}");
    const struct policy_terms rule = {.source = POLICY_BY_RULE, .index = 1};
    const struct policy_terms override = {.source = POLICY_BY_OVERRIDE, .index = 0};
    char text[POLICY_LINE_MAX];

    (void)state;
    assert_false(policy_has_terms(p, &rule));
    assert_false(policy_has_terms(p, &override));
    assert_string_equal(policy_terms_text(p, &rule, true, text), "off");
    assert_string_equal(policy_terms_text(p, &override, true, text), "off");
    p = policy_free(p);
}

static void an_unknown_time_is_told(void **state)
{
    struct policy *p = policy_with(
        "{\"name\":\"day\",\"scope\":\"global\",\"hours\":\"08:00-16:00\",\"mode\":\"off\"}");
    struct policy_explanation e;

    (void)state;
    expect_words(p, POLICY_NO_CLOCK,
                 "the time is not known here, so the strictest that could hold, as in rule 1 "
                 "(day): off",
                 "nothing else before the time is known");
    policy_explain(p, &OSLO, POLICY_NO_CLOCK, &e);
    assert_false(e.clock_is_known);
    assert_true(e.zone_is_known);
    p = policy_free(p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules_everything_is_scavenging),
        cmocka_unit_test(the_first_rule_that_fits_wins),
        cmocka_unit_test(an_address_belongs_to_the_narrowest_subnet),
        cmocka_unit_test(rules_of_a_subnet_fit_who_has_an_address_in_it),
        cmocka_unit_test(
            a_links_sum_is_not_asked_of_rules_of_sites_nor_everything_of_those_of_links),
        cmocka_unit_test(a_percentage_is_of_the_capacity_once_it_is_known),
        cmocka_unit_test(hours_are_those_of_the_site),
        cmocka_unit_test(a_window_past_midnight_belongs_to_the_day_it_began),
        cmocka_unit_test(an_hour_that_the_clock_leaves_out_does_not_come),
        cmocka_unit_test(an_hour_that_comes_twice_holds_twice),
        cmocka_unit_test(a_leap_day_is_a_day),
        cmocka_unit_test(dates_and_calendars_are_of_the_day_a_window_began),
        cmocka_unit_test(a_date_years_ahead_is_seen),
        cmocka_unit_test(a_rule_that_always_holds_never_changes),
        cmocka_unit_test(an_override_goes_before_all_rules_and_ends),
        cmocka_unit_test(a_clock_that_is_not_believed_gives_the_strictest),
        cmocka_unit_test(a_zone_that_is_not_here_gives_the_strictest),
        cmocka_unit_test(a_rule_without_times_needs_no_clock),
        cmocka_unit_test(without_a_clock_a_pause_stays_and_a_go_does_not),
        cmocka_unit_test(the_earliest_deadline_that_is_not_long_past_counts),
        cmocka_unit_test(what_is_needed_is_rounded_up_and_never_overflows),
        cmocka_unit_test(a_deadline_raises_the_floor_and_then_the_mode),
        cmocka_unit_test(a_deadline_changes_nothing_that_an_operator_said),
        cmocka_unit_test(what_holds_and_what_comes_is_told_in_the_sites_time),
        cmocka_unit_test(terms_of_the_document_before_name_no_rule_of_this_one),
        cmocka_unit_test(an_unknown_time_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
