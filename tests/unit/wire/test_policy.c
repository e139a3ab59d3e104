/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_policy.c – policies that read as they were written, and all that is wrong with
 * others, each with its place, its fault and what is allowed. */
#include "support/policy_fixture.h"

#include "base/file.h"
#include "wire/policy_csv.h"

/* ---- what is right ---- */

static void a_policy_reads_as_it_was_meant(void **state)
{
    struct policy_doc *d = policy_of(
        "{\"format\":1,\"zone\":\"Europe/Oslo\",\"calendars\":[{\"name\":\"h\",\"dates\":"
        "[\"2026-12-26\",\"2026-12-24..2026-12-25\",\"2027-05-17\"]}],"
        "\"sites\":[{\"name\":\"oslo\","
        "\"zone\":\"Europe/Berlin\",\"link\":\"mpls\",\"subnets\":[\"10.1.2.3/20\"]}],\"rules\":["
        "{\"name\":\"nights\",\"scope\":\"site:oslo\",\"direction\":\"down\",\"place\":\"wan\","
        "\"class\":\"scavenger\",\"days\":\"fri-sun,tue\",\"hours\":\"22:00-06:00\",\"dates\":"
        "\"2026-01-01..\",\"except\":[\"h\"],\"mode\":\"scavenge\",\"ceiling\":\"4Mbit\",\"floor\":"
        "\"64kbit\",\"percent\":50,\"profile\":\"invisible\",\"max_queue\":\"5ms\","
        "\"note\":\"x\"}]}");
    const struct policy_rule *r = &d->rules[0];

    (void)state;
    assert_string_equal(d->zone, "Europe/Oslo");
    assert_int_equal(d->calendars[0].date_count, 2); /* what touches is one */
    assert_int_equal(d->subnets[0].bits, 96 + 20);
    assert_int_equal(d->subnets[0].address[14], 0); /* behind the prefix */
    assert_int_equal(r->scope, POLICY_SITE);
    assert_string_equal(r->of, "oslo");
    assert_int_equal(r->directions, POLICY_DOWN);
    assert_int_equal(r->places, POLICY_WAN);
    assert_int_equal(r->class, POLICY_SCAVENGER);
    assert_int_equal(r->when.days, 0x72);
    assert_int_equal(r->when.from_min, 22 * 60);
    assert_int_equal(r->when.to_min, 6 * 60);
    assert_int_equal(r->when.first_day, 20454);
    assert_int_equal(r->when.last_day, INT32_MAX);
    assert_int_equal(r->when.except, 1);
    assert_int_equal(r->action.ceiling_bps, 4000000);
    assert_int_equal(r->action.floor_bps, 64000);
    assert_int_equal(r->action.percent, 50);
    assert_int_equal(r->action.profile, POLICY_INVISIBLE);
    assert_int_equal(r->action.max_queue_ms, 5);
    d = policy_doc_free(d);
}

static void what_is_not_said_has_a_default(void **state)
{
    AUTO_FREE char *text = with_rule("\"scope\":\"global\",\"mode\":\"off\"");
    struct policy_doc *d = policy_of(text);
    const struct policy_rule *r = &d->rules[0];

    (void)state;
    assert_string_equal(d->zone, "UTC");
    assert_string_equal(r->name, "rule-1");
    assert_int_equal(r->directions, POLICY_BOTH);
    assert_int_equal(r->places, POLICY_WAN);
    assert_int_equal(r->when.days, 0x7f);
    assert_int_equal(r->when.to_min, 1440);
    d = policy_doc_free(d);
}

/* tests/golden/wire/policy.json and .csv are the same document; canonical bytes are signed. */
static void read_golden(const char *name, struct buf *out)
{
    static const char HERE[] = __FILE__;
    const char *tests = strstr(HERE, "tests/unit/");
    AUTO_FREE char *path = xasprintf("%.*stests/golden/wire/%s", (int)(tests - HERE), HERE, name);

    buf_init(out, 1 << 20);
    assert_int_equal(file_read(path, out).code, ALB_OK);
}

static void canonical_bytes_are_the_golden_ones(void **state)
{
    static const char *const NAMES[] = {"policy.json", "policy.csv"};
    struct buf golden[2], made;

    (void)state;
    for (size_t i = 0; i < 2; i++)
        read_golden(NAMES[i], &golden[i]);
    buf_init(&made, 1 << 20);
    for (size_t i = 0; i < 2; i++) {
        struct policy_doc *d = policy_of(buf_text(&golden[i]));

        buf_clear(&made);
        assert_int_equal(policy_doc_encode(d, &made).code, ALB_OK);
        assert_int_equal(buf_append(&made, "\n", 1).code, ALB_OK);
        assert_string_equal(buf_text(&made), buf_text(&golden[0]));
        buf_clear(&made);
        assert_int_equal(policy_csv_write(d, &made).code, ALB_OK);
        assert_string_equal(buf_text(&made), buf_text(&golden[1]));
        d = policy_doc_free(d);
    }
    buf_release(&made);
    for (size_t i = 0; i < 2; i++)
        buf_release(&golden[i]);
}

/* ---- what is wrong ---- */

static void expect(const char *text, const char *findings)
{
    AUTO_FREE char *found = findings_of(text, strlen(text));

    assert_string_equal(found, findings);
}

static const struct {
    const char *member, *found;
} WRONG_MEMBERS[] = {
    {"\"name\":\"Office hours\"", "rule 1: name \"Office hours\": an id begins with a-z or 0-9"},
    {"\"rate\":\"2\"", "rule 1: rate \"2\": a rate needs a unit (bit, kbit, Mbit, Gbit, or kB, "
                       "MB, GB per second, as in 2Mbit)"},
    {"\"rate\":\"0Mbit\"",
     "rule 1: rate \"0Mbit\": 0 is no rate: leave it out for no limit; a rule "
     "with mode off stops everything"},
    {"\"ceiling\":\"11999bit\"",
     "rule 1: ceiling \"11999bit\": less than one packet of 1500 bytes a second moves nothing: "
     "say at least 12kbit; a rule with mode off stops everything"},
    {"\"floor\":\"1001Gbit\"", "rule 1: floor \"1001Gbit\": no link has more than 1000Gbit"},
    {"\"percent\":0", "rule 1: percent \"0\": percent is a whole number from 1 to 100, of the "
                      "measured capacity (for none of it, say mode off)"},
    {"\"percent\":101", "rule 1: percent \"101\": percent is a whole number from 1 to 100, of "
                        "the measured capacity (for none of it, say mode off)"},
    {"\"percent\":12.5", "rule 1: \"percent\" is neither a text, a whole number nor a list of "
                         "texts"},
    {"\"hours\":\"8-18\"", "rule 1: hours \"8-18\": hours are written hh:mm-hh:mm between 00:00 "
                           "and 24:00, as in 08:00-18:00 or 22:00-06:00"},
    {"\"hours\":\"08:00-08:00\"", "rule 1: hours \"08:00-08:00\": the hours end as they begin; "
                                  "leave them out for the whole day"},
    {"\"hours\":\"24:00-08:00\"",
     "rule 1: hours \"24:00-08:00\": hours are written hh:mm-hh:mm between 00:00 and 24:00, as "
     "in 08:00-18:00 or 22:00-06:00"},
    {"\"days\":\"mon-frx\"", "rule 1: days \"mon-frx\": days are mon, tue, wed, thu, fri, sat, "
                             "sun, as in mon-fri or sat,sun"},
    {"\"days\":\"\"", "rule 1: days \"\": days are mon, tue, wed, thu, fri, sat, sun, as in "
                      "mon-fri or sat,sun"},
    {"\"dates\":\"2026-02-29\"",
     "rule 1: dates \"2026-02-29\": there is no such date (from 1970-01-01 on)"},
    {"\"dates\":\"2026-2-9\"",
     "rule 1: dates \"2026-2-9\": a date is written YYYY-MM-DD, as in 2026-12-24"},
    {"\"dates\":\"2026-03-02..2026-03-01\"",
     "rule 1: dates \"2026-03-02..2026-03-01\": the last day is before the first"},
    {"\"dates\":\"..\"",
     "rule 1: dates \"..\": one end of the dates is needed, as in 2026-12-24.."},
    {"\"on\":[\"work\"]", "rule 1: on \"work\": this policy has no calendar of that name"},
    {"\"class\":\"bulk\"", "rule 1: class \"bulk\": class is any, urgent, normal or scavenger"},
    {"\"direction\":\"in\"", "rule 1: direction \"in\": direction is down, up or both"},
    {"\"place\":\"home\"", "rule 1: place \"home\": place is wan, lan or both"},
    {"\"profile\":\"fast\"", "rule 1: profile \"fast\": profile is harvest, normal or invisible"},
    {"\"max_queue\":\"2s\"",
     "rule 1: max_queue \"2s\": the queue it may add is 1ms to 1000ms, in whole ms"},
    {"\"note\":\"two\\nlines\"",
     "rule 1: note \"two?lines\": one line of text in UTF-8 is expected"},
    {"\"note\":\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\",\"hours\":\"1\"",
     "rule 1: hours \"1\": hours are written hh:mm-hh:mm between 00:00 and 24:00, as in "
     "08:00-18:00 or 22:00-06:00"},
    {"\"days\":[1]", "rule 1: \"days\" is neither a text, a whole number nor a list of texts"},
    {"\"speed\":\"2Mbit\"",
     "rule 1: a rule has no \"speed\"; it has name, scope, direction, place, class, days, "
     "hours, dates, on, except, mode, rate, ceiling, floor, percent, profile, max_queue, note"},
};

static void each_wrong_member_of_a_rule_says_what_is_allowed(void **state)
{
    static const char OK[] = "\"scope\":\"global\",\"mode\":\"scavenge\"";

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(WRONG_MEMBERS); i++) {
        AUTO_FREE char *members = xasprintf("%s,%s", OK, WRONG_MEMBERS[i].member);
        AUTO_FREE char *text = with_rule(members);
        AUTO_FREE char *found = findings_of(text, strlen(text));
        AUTO_FREE char *expected = xasprintf("error: %s\n", WRONG_MEMBERS[i].found);

        assert_string_equal(found, expected);
    }
}

static const struct {
    const char *members, *found;
} CONTRADICTIONS[] = {
    {"\"scope\":\"global\",\"mode\":\"off\",\"ceiling\":\"1Mbit\"",
     "rule 1 (rule-1) contradicts itself: mode off stops everything: it takes no rate, ceiling, "
     "floor, percent, profile or max_queue"},
    {"\"scope\":\"global\",\"mode\":\"scavenge\",\"rate\":\"1Mbit\"",
     "rule 1 (rule-1) contradicts itself: mode scavenge takes ceiling, floor, percent, profile "
     "and max_queue; a rate is mode capped's"},
    {"\"scope\":\"global\",\"mode\":\"full\",\"floor\":\"1Mbit\"",
     "rule 1 (rule-1) contradicts itself: mode full takes a ceiling and percent; it does not "
     "yield, so floor, profile and max_queue are mode scavenge's, a rate is mode capped's"},
    {"\"scope\":\"global\",\"mode\":\"capped\",\"rate\":\"1Mbit\",\"profile\":\"harvest\"",
     "rule 1 (rule-1) contradicts itself: mode capped takes a rate and percent; it does not "
     "yield, so ceiling, floor, profile and max_queue are mode scavenge's"},
    {"\"scope\":\"global\",\"mode\":\"capped\"",
     "rule 1 (rule-1): mode capped needs a rate, as in \"rate\": \"2Mbit\""},
    {"\"scope\":\"global\",\"mode\":\"capped\",\"percent\":30",
     "rule 1 (rule-1): mode capped needs a rate beside percent: it holds while the capacity is "
     "not measured yet, as in \"rate\": \"2Mbit\""},
    {"\"scope\":\"global\",\"mode\":\"scavenge\",\"floor\":\"2Mbit\",\"ceiling\":\"1Mbit\"",
     "rule 1 (rule-1): the floor, 2.0 Mbit/s, is above the ceiling, 1.0 Mbit/s"},
    {"\"scope\":\"global\",\"mode\":\"off\",\"on\":[\"holidays\"],\"except\":[\"holidays\"]",
     "rule 1 (rule-1) contradicts itself: the same calendar is in \"on\" and \"except\""},
    {"\"scope\":\"link:a\",\"place\":\"lan\",\"mode\":\"off\"",
     "rule 1 (rule-1) contradicts itself: a link is a WAN's, and the place is lan"},
    {"\"mode\":\"off\"", "rule 1: \"scope\" is missing"},
    {"\"scope\":\"global\"", "rule 1: \"mode\" is missing"},
    {"\"scope\":\"branch\",\"mode\":\"off\"",
     "rule 1: scope \"branch\": a scope is global, link:NAME, site:NAME, client:DEVICE or "
     "job:LAYER"},
};

static void a_rule_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALB_COUNT(CONTRADICTIONS); i++) {
        AUTO_FREE char *text = with_rule(CONTRADICTIONS[i].members);
        AUTO_FREE char *found = findings_of(text, strlen(text));
        AUTO_FREE char *expected = xasprintf("error: %s\n", CONTRADICTIONS[i].found);

        assert_memory_equal(found, expected, strlen(expected)); /* warnings may follow */
    }
}

/* Half of what a ceiling lets through was taken for half of the line. */
static void a_percentage_beside_a_figure_is_warned_of(void **state)
{
    (void)state;
    expect(
        "{\"format\":1,\"rules\":[{\"scope\":\"client:a\",\"mode\":\"capped\",\"rate\":\"2Mbit\","
        "\"percent\":30},{\"scope\":\"client:b\",\"mode\":\"scavenge\",\"ceiling\":\"8Mbit\","
        "\"percent\":50},{\"scope\":\"client:c\",\"mode\":\"full\",\"percent\":50}]}",
        "warning: rule 1 (rule-1): no more of the line is measured than the rate, 2.0 Mbit/s, "
        "lets through, so percent allows at most 30 % of that\n"
        "warning: rule 2 (rule-2): no more of the line is measured than the ceiling, 8.0 "
        "Mbit/s, lets through, so percent allows at most 50 % of that\n");
}

static void everything_that_is_wrong_is_said_at_once(void **state)
{
    (void)state;
    expect("{\"format\":2,\"zone\":\"no zone\",\"rulez\":[],\"calendars\":[{\"name\":\"x\"}],"
           "\"sites\":[{\"name\":\"a\",\"subnets\":[\"10.0.0.0\"]},{\"name\":\"a\",\"zone\":"
           "\"Mars/Base\"}],\"rules\":[7,{\"scope\":\"site:A\",\"mode\":\"of\"}],"
           "\"deadlines\":[{\"layer\":\"base\",\"by\":\"tomorrow\"}]}",
           "error: \"format\" must be 1, the one this program knows\n"
           "error: \"zone\": a zone is named as in Europe/Oslo or UTC\n"
           "error: a policy has no \"rulez\"; it has format, zone, calendars, sites, rules, "
           "deadlines\n"
           "error: calendar 1 (x): \"dates\" is missing\n"
           "error: site 1 (a): subnets \"10.0.0.0\": a subnet is written address/bits, as in "
           "10.1.0.0/20 or 2001:db8::/48\n"
           "error: rule 1 is no object {...}\n"
           "error: rule 2: scope \"site:A\": an id begins with a-z or 0-9\n"
           "error: rule 2: mode \"of\": mode is off, scavenge, capped or full\n"
           "error: deadline 1: by \"tomorrow\": a time is written in UTC, as in "
           "2026-12-01T06:00:00Z\n"
           "error: site 2 (a): site 1 has the same name\n"
           "error: there is no time zone \"Mars/Base\" on this machine; zones are named as in "
           "Europe/Oslo\n");
}

static void names_and_subnets_are_given_once(void **state)
{
    (void)state;
    expect("{\"format\":1,\"sites\":[{\"name\":\"a\",\"subnets\":[\"10.1.2.3/8\",\"fe80::1/10\"]},"
           "{\"name\":\"b\",\"subnets\":[\"10.9.9.9/8\"]}],\"rules\":[{\"name\":\"r\",\"scope\":"
           "\"site:a\",\"mode\":\"off\"},{\"name\":\"r\",\"scope\":\"site:b\",\"mode\":\"off\"}]}",
           "error: rule 2 (r): rule 1 has the same name\n"
           "error: subnet 10.0.0.0/8 is given twice: to site a and to site b\n");
}

static void what_is_no_policy_at_all_is_told_so(void **state)
{
    (void)state;
    expect("", "error: there is nothing in this policy: neither JSON nor a table\n");
    expect("[]", "error: this is no JSON object {...}\n");
    expect("{\"format\":1,}", "error: line 1, column 13: this is no JSON: string or '}' expected "
                              "near '}'\n");
    expect("hello",
           "error: line 1: column \"hello\" is not known; there are kind, name, scope, direction, "
           "place, class, days, hours, on, except, mode, rate, ceiling, floor, percent, profile, "
           "max_queue, zone, link, subnets, dates, layer, site, by, note\n");
}

/* ---- what is unwise ---- */

static void rules_that_can_never_match_are_pointed_out(void **state)
{
    (void)state;
    expect("{\"format\":1,\"sites\":[{\"name\":\"a\",\"link\":\"l\"}],\"rules\":["
           "{\"name\":\"one\",\"scope\":\"site:a\",\"mode\":\"off\",\"days\":\"mon-fri\"},"
           "{\"name\":\"two\",\"scope\":\"site:a\",\"mode\":\"full\",\"days\":\"tue\",\"hours\":"
           "\"09:00-10:00\"},"
           "{\"name\":\"late\",\"scope\":\"site:a\",\"mode\":\"full\",\"days\":\"fri\",\"hours\":"
           "\"22:00-06:00\"},"
           "{\"name\":\"end\",\"scope\":\"link:l\",\"mode\":\"off\",\"days\":\"sat,sun\"},"
           "{\"name\":\"rest\",\"scope\":\"site:a\",\"mode\":\"full\"},"
           "{\"name\":\"up\",\"scope\":\"global\",\"direction\":\"up\",\"mode\":\"off\"},"
           "{\"name\":\"job\",\"scope\":\"job:base\",\"direction\":\"up\",\"mode\":\"full\"},"
           "{\"name\":\"both\",\"scope\":\"job:base\",\"mode\":\"full\"}]}",
           "warning: rule 2 (two) can never match: rule 1 (one) covers it\n"
           "warning: rule 3 (late) overlaps rule 1 (one), from fri 22:00 on, and differs; where "
           "both hold, the earlier rule wins\n"
           "warning: rule 5 (rest) can never match: rule 1 (one), rule 3 (late), rule 4 (end) "
           "together cover it\n"
           "warning: rule 7 (job) can never match: rule 6 (up) covers it\n");
}

static void rules_that_overlap_by_halves_are_pointed_out(void **state)
{
    (void)state;
    expect("{\"format\":1,\"rules\":["
           "{\"name\":\"a\",\"scope\":\"site:x\",\"hours\":\"08:00-16:00\",\"mode\":\"off\"},"
           "{\"name\":\"b\",\"scope\":\"site:x\",\"days\":\"fri\",\"hours\":\"15:00-20:00\","
           "\"mode\":\"full\"},"
           "{\"name\":\"c\",\"scope\":\"site:y\",\"hours\":\"15:00-20:00\",\"mode\":\"full\"},"
           "{\"name\":\"rest\",\"scope\":\"site:x\",\"mode\":\"full\"}]}",
           "warning: rule 2 (b) overlaps rule 1 (a), from fri 15:00 on, and differs; where both "
           "hold, the earlier rule wins\n");
}

static void days_that_never_come_are_pointed_out(void **state)
{
    AUTO_FREE char *weekday =
        with_rule("\"scope\":\"global\",\"mode\":\"off\",\"days\":\"sun\",\"on\":[\"holidays\"]");
    AUTO_FREE char *dates = with_rule(
        "\"scope\":\"global\",\"mode\":\"off\",\"days\":\"mon\",\"dates\":\"2026-12-25\"");
    AUTO_FREE char *fine = with_rule(
        "\"scope\":\"global\",\"mode\":\"off\",\"days\":\"fri\",\"dates\":\"2026-12-25\"");

    (void)state;
    expect(weekday, "warning: rule 1 (rule-1) can never match: its days, dates and calendars have "
                    "no day in common\n");
    expect(dates, "warning: rule 1 (rule-1) can never match: its days, dates and calendars have no "
                  "day in common\n");
    expect(fine, "");
}

static void names_that_lead_nowhere_are_pointed_out(void **state)
{
    (void)state;
    expect("{\"format\":1,\"zone\":\"Europe/Oslo\",\"sites\":[{\"name\":\"oslo\"}],\"rules\":["
           "{\"scope\":\"site:olso\",\"mode\":\"off\"},{\"scope\":\"link:x\",\"mode\":\"off\"}],"
           "\"deadlines\":[{\"layer\":\"base\",\"site\":\"bergen\",\"by\":"
           "\"2026-12-01T00:00:00Z\"}]}",
           "warning: rule 1 (rule-1): site olso is not among this policy's sites, so its times are "
           "taken in Europe/Oslo\n"
           "warning: rule 2 (rule-2) can never match: no site of this policy is on link x\n"
           "warning: deadline 1: site bergen is not among this policy's sites\n");
    expect("{\"format\":1,\"rules\":[{\"scope\":\"link:x\",\"mode\":\"off\"}]}",
           "warning: rule 1 (rule-1): this policy names no sites, so it matches only if the hub's "
           "site directory has one on link x\n");
}

/* ---- bounds ---- */

/* A note of this many bytes, on one line. */
static char *findings_of_note(size_t size, const char *end)
{
    AUTO_FREE char *note = xalloc(size + 1);
    AUTO_FREE char *members = NULL, *text = NULL;

    memset(note, 'n', size);
    members = xasprintf("\"scope\":\"global\",\"mode\":\"off\",\"note\":\"%s%s\"", note, end);
    text = with_rule(members);
    return findings_of(text, strlen(text));
}

#define FIFTY "12345678901234567890123456789012345678901234567890"

static void a_note_has_at_most_255_bytes(void **state)
{
    AUTO_FREE char *fits = findings_of_note(255, "");
    AUTO_FREE char *fits_not = findings_of_note(256, "");
    AUTO_FREE char *cut = findings_of_note(59, "\xc3\xa9" FIFTY FIFTY FIFTY FIFTY);

    (void)state;
    assert_string_equal(fits, "");
    assert_non_null(strstr(fits_not, "nnn...\": too long: at most 255 bytes\n"));
    assert_non_null(strstr(cut, "nnn...\": too long")); /* not in the middle of the é */
}

static void bytes_that_are_no_utf8_are_refused(void **state)
{
    static const char *const NOTES[] = {
        "\x80", "\xc1\x81", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3(", "\x7f"};

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(NOTES); i++) {
        AUTO_FREE char *text = xasprintf("kind,scope,mode,note\nrule,global,off,%s\n", NOTES[i]);
        AUTO_FREE char *found = findings_of(text, strlen(text));

        assert_non_null(strstr(found, ": one line of text in UTF-8 is expected\n"));
    }
}

static void a_policy_may_begin_with_the_mark_of_utf8(void **state)
{
    struct policy_doc *d = policy_of("\xef\xbb\xbf{\"format\":1,\"zone\":\"Europe/Oslo\"}");

    (void)state;
    assert_string_equal(d->zone, "Europe/Oslo");
    policy_doc_free(d);
}

static void lists_that_are_none_are_refused(void **state)
{
    (void)state;
    expect(" \n{\"format\":1,\"rules\":{}}", "error: \"rules\" is no list [...]\n");
    expect(
        "{\"format\":1,\"calendars\":[{\"name\":\"a\",\"dates\":[\"2026-12-24..\"]}]}",
        "error: calendar 1 (a): dates \"2026-12-24..\": dates have a first and a last day, as in "
        "2026-12-24..2027-01-06\n");
}

/* A table has no member names, so it can be smaller than the document that it says. */
static void what_is_too_large_written_out_cannot_be_signed(void **state)
{
    struct policy_doc *d;
    struct buf text, out;

    (void)state;
    buf_init(&text, POLICY_BYTES_MAX);
    buf_init(&out, 4 << 20);
    assert_int_equal(buf_printf(&text, "kind,name,zone,link\n").code, ALB_OK);
    for (int i = 0; i < POLICY_SITES_MAX; i++)
        assert_int_equal(buf_printf(&text,
                                    "site,a-rather-long-name-of-a-site-%d,America/"
                                    "Argentina/Buenos_Aires,the-line-number-%d\n",
                                    i, i)
                             .code,
                         ALB_OK);
    d = policy_of(buf_text(&text));
    assert_int_equal(policy_doc_encode(d, &out).code, ALB_FULL);
    d = policy_doc_free(d);
    buf_release(&text);
    buf_release(&out);
}

static void too_many_rules_are_refused_with_their_number(void **state)
{
    struct buf text;
    AUTO_FREE char *found = NULL;

    (void)state;
    buf_init(&text, 1 << 20);
    assert_int_equal(buf_printf(&text, "{\"format\":1,\"rules\":[").code, ALB_OK);
    for (int i = 0; i < POLICY_RULES_MAX + 1; i++)
        assert_int_equal(
            buf_printf(&text, "%s{\"scope\":\"client:d-%d\",\"mode\":\"off\"}", i ? "," : "", i)
                .code,
            ALB_OK);
    assert_int_equal(buf_printf(&text, "]}").code, ALB_OK);
    found = findings_of(buf_peek(&text), buf_size(&text));
    assert_string_equal(found,
                        "error: \"rules\": a policy has at most 2000 rules; there are 2001\n");
    buf_release(&text);
}

static void too_large_a_policy_is_refused(void **state)
{
    AUTO_FREE char *text = xalloc(POLICY_BYTES_MAX + 2);

    (void)state;
    memset(text, ' ', POLICY_BYTES_MAX + 1);
    expect(text, "error: a policy is at most 1044480 bytes; this has 1044481\n");
}

static void findings_beyond_the_200th_are_counted(void **state)
{
    struct policy_findings findings;
    struct policy_doc *d = NULL;
    struct buf text;

    (void)state;
    policy_findings_init(&findings);
    buf_init(&text, 1 << 20);
    assert_int_equal(buf_printf(&text, "{\"format\":1,\"rules\":[7").code, ALB_OK);
    for (int i = 0; i < 999; i++)
        assert_int_equal(buf_printf(&text, ",7").code, ALB_OK);
    assert_int_equal(buf_printf(&text, "]}").code, ALB_OK);
    assert_int_equal(
        policy_doc_decode(buf_peek(&text), buf_size(&text), NULL, NULL, &findings, &d).code,
        ALB_INVALID);
    assert_int_equal(findings.count, 200);
    assert_int_equal(findings.errors, 1000);
    policy_findings_release(&findings);
    buf_release(&text);
}

/* ---- overrides ---- */

static void overrides_read_as_they_were_written(void **state)
{
    static const char TEXT[] =
        "{\"format\":1,\"overrides\":[{\"id\":\"o-1\",\"what\":\"pause\",\"scope\":\"site:oslo\","
        "\"direction\":\"both\",\"place\":\"both\",\"since\":\"2026-11-22T17:00:00Z\",\"until\":"
        "\"2026-11-22T19:00:00Z\",\"by\":\"anna\",\"why\":\"video call\"}]}";
    AUTO_FREE struct policy_overrides *o = xalloc(sizeof *o);
    struct policy_findings findings;
    struct buf again;

    (void)state;
    policy_findings_init(&findings);
    buf_init(&again, 1 << 20);
    assert_int_equal(policy_overrides_decode(TEXT, strlen(TEXT), &findings, o).code, ALB_OK);
    assert_int_equal(o->count, 1);
    assert_int_equal(o->list[0].until_s - o->list[0].since_s, 7200);
    assert_int_equal(policy_overrides_encode(o, &again).code, ALB_OK);
    assert_string_equal(buf_text(&again), TEXT);
    buf_release(&again);
}

static void wrong_overrides_are_refused(void **state)
{
    static const char TEXT[] =
        "{\"format\":1,\"overrides\":[{\"id\":\"a\",\"what\":\"pause\",\"scope\":\"global\","
        "\"since\":\"2026-11-22T17:00Z\",\"until\":\"2026-11-22T17:00Z\",\"by\":\"anna\"},"
        "{\"id\":\"a\",\"what\":\"stop\",\"scope\":\"global\",\"since\":\"2026-11-22T17:00Z\","
        "\"until\":\"2026-11-22T18:00Z\"}]}";
    AUTO_FREE struct policy_overrides *o = xalloc(sizeof *o);
    struct policy_findings f;

    (void)state;
    policy_findings_init(&f);
    assert_int_equal(policy_overrides_decode(TEXT, strlen(TEXT), &f, o).code, ALB_INVALID);
    assert_int_equal(f.errors, 4);
    assert_string_equal(f.list[0].text, "override 1 (a): it ends before it begins");
    assert_string_equal(f.list[1].text, "override 2 (a): what \"stop\": what is pause or go");
    assert_string_equal(f.list[2].text, "override 2 (a): \"by\" is missing");
    assert_string_equal(f.list[3].text, "override 2 (a): override 1 has the same id");
    assert_int_equal(o->count, 0);
    policy_findings_release(&f);
}

static void what_is_no_list_of_overrides_is_refused(void **state)
{
    static const char *const TEXTS[] = {"{\"format\":1}", "{\"format\":1,\"overrides\":{}}",
                                        "{\"format\":2,\"overrides\":[]}", "[]", "x"};
    AUTO_FREE struct policy_overrides *o = xalloc(sizeof *o);
    AUTO_FREE char *large = xalloc(POLICY_BYTES_MAX + 1);

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(TEXTS); i++) {
        struct policy_findings f;

        policy_findings_init(&f);
        assert_int_equal(policy_overrides_decode(TEXTS[i], strlen(TEXTS[i]), &f, o).code,
                         ALB_INVALID);
        assert_int_equal(f.errors, 1);
        policy_findings_release(&f);
    }
    assert_int_equal(policy_overrides_decode(large, POLICY_BYTES_MAX + 1, NULL, o).code,
                     ALB_INVALID);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_reads_as_it_was_meant),
        cmocka_unit_test(what_is_not_said_has_a_default),
        cmocka_unit_test(canonical_bytes_are_the_golden_ones),
        cmocka_unit_test(each_wrong_member_of_a_rule_says_what_is_allowed),
        cmocka_unit_test(a_rule_that_contradicts_itself_is_refused),
        cmocka_unit_test(a_percentage_beside_a_figure_is_warned_of),
        cmocka_unit_test(everything_that_is_wrong_is_said_at_once),
        cmocka_unit_test(names_and_subnets_are_given_once),
        cmocka_unit_test(what_is_no_policy_at_all_is_told_so),
        cmocka_unit_test(rules_that_can_never_match_are_pointed_out),
        cmocka_unit_test(rules_that_overlap_by_halves_are_pointed_out),
        cmocka_unit_test(days_that_never_come_are_pointed_out),
        cmocka_unit_test(names_that_lead_nowhere_are_pointed_out),
        cmocka_unit_test(a_note_has_at_most_255_bytes),
        cmocka_unit_test(bytes_that_are_no_utf8_are_refused),
        cmocka_unit_test(a_policy_may_begin_with_the_mark_of_utf8),
        cmocka_unit_test(lists_that_are_none_are_refused),
        cmocka_unit_test(what_is_too_large_written_out_cannot_be_signed),
        cmocka_unit_test(too_many_rules_are_refused_with_their_number),
        cmocka_unit_test(too_large_a_policy_is_refused),
        cmocka_unit_test(findings_beyond_the_200th_are_counted),
        cmocka_unit_test(overrides_read_as_they_were_written),
        cmocka_unit_test(wrong_overrides_are_refused),
        cmocka_unit_test(what_is_no_list_of_overrides_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
