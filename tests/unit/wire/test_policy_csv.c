/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_policy_csv.c – tables of rules: Mirage's taken over, ours read, errors by line. */
#include "support/policy_fixture.h"

#include "wire/policy_csv.h"

#define MIRAGE "SubnetMaskV4,Site,Download Limit,Upload Limit,Start Time,End Time,Days of Week\n"

static void expect(const char *text, const char *findings)
{
    AUTO_FREE char *found = findings_of(text, strlen(text));

    assert_string_equal(found, findings);
}

/* ---- Mirage's ---- */

static void a_subnet_becomes_a_site_and_its_limits_two_rules(void **state)
{
    struct policy_doc *d = policy_of(MIRAGE "100.100.10.100/20,,500,250,08:00,18:00,Mon-Fri\n");

    (void)state;
    assert_int_equal(d->site_count, 1);
    assert_string_equal(d->sites[0].name, "net-100-100-0-0-20");
    assert_int_equal(d->subnet_count, 1);
    assert_int_equal(d->rule_count, 2);
    assert_string_equal(d->rules[0].name, "mirage-2-down");
    assert_string_equal(d->rules[0].of, "net-100-100-0-0-20");
    assert_int_equal(d->rules[0].directions, POLICY_DOWN);
    assert_int_equal(d->rules[0].places, POLICY_WAN);
    assert_int_equal(d->rules[0].when.days, 0x1f);
    assert_int_equal(d->rules[0].when.from_min, 480);
    assert_int_equal(d->rules[0].when.to_min, 1080);
    assert_int_equal(d->rules[0].action.mode, POLICY_MODE_SCAVENGE);
    assert_string_equal(d->rules[0].note, "Mirage: 100.100.10.100/20, 500 KB/s");
    assert_int_equal(d->rules[1].directions, POLICY_UP);
    d = policy_doc_free(d);
}

static void limits_are_kilobytes_per_second(void **state)
{
    struct policy_doc *d = policy_of(MIRAGE ",oslo,2000,2,,,\n");

    (void)state;
    assert_int_equal(d->rules[0].action.ceiling_bps, 16000000);
    assert_int_equal(d->rules[1].action.ceiling_bps, 16000);
    d = policy_doc_free(d);
}

static void the_older_table_has_four_columns(void **state)
{
    struct policy_doc *d =
        policy_of("SubnetMaskV4,Site,Download limit,Upload limit\r\n,Branch1.Example.com,,100\r\n");

    (void)state;
    assert_int_equal(d->rule_count, 1);
    assert_string_equal(d->rules[0].of, "branch1-example-com");
    assert_int_equal(d->rules[0].directions, POLICY_UP);
    d = policy_doc_free(d);
}

/* Mirage's tables often begin with the rule for all, which with us would hide the others. */
static void the_particular_goes_before_the_general(void **state)
{
    static const char *const ORDER[] = {"mirage-4-down", "mirage-3-down", "mirage-5-down",
                                        "mirage-2-down"};
    struct policy_doc *d = policy_of(MIRAGE "0.0.0.0/0,,100,,,,\n"
                                            ",a,200,,,,\n"
                                            ",a,300,,08:00,9:30 PM,\n"
                                            "0.0.0.0/0,,400,,,,weekends\n");

    (void)state;
    assert_int_equal(d->rule_count, ALB_COUNT(ORDER));
    for (size_t i = 0; i < ALB_COUNT(ORDER); i++)
        assert_string_equal(d->rules[i].name, ORDER[i]);
    assert_int_equal(d->rules[0].when.to_min, 21 * 60 + 30);
    assert_int_equal(d->rules[2].when.days, 0x60);
    assert_int_equal(d->rules[3].scope, POLICY_GLOBAL);
    d = policy_doc_free(d);
}

static void from_midnight_to_a_minute_before_it_is_all_day(void **state)
{
    struct policy_doc *d = policy_of(MIRAGE ",a,200,,00:00,23:59,Daily\n");

    (void)state;
    assert_int_equal(d->rules[0].when.from_min, 0);
    assert_int_equal(d->rules[0].when.to_min, 1440);
    assert_int_equal(d->rules[0].when.days, 0x7f);
    d = policy_doc_free(d);
}

static void times_are_read_as_people_type_them(void **state)
{
    static const struct {
        const char *start, *end;
        int from, to;
    } CASES[] = {
        {"8:00", "18:30", 480, 1110},      {"08:00:00", "18:00:00", 480, 1080},
        {"8:00 AM", "6:00 PM", 480, 1080}, {"12:00 AM", "12:00 pm", 0, 720},
        {"22:00", "06:00", 1320, 360},     {"22:00", "00:00", 1320, 1440},
        {"22:00", "24:00", 1320, 1440},    {"22:00", "23:59", 1320, 1440},
    };
    static const char *const WRONG[] = {"8",      "8:60", "8:00:61", "8:00x", "13:00 PM", "0:30 AM",
                                        "123:00", ":30",  "8:",      "8:00:", "24:01"};

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(CASES); i++) {
        AUTO_FREE char *text =
            xasprintf(MIRAGE ",a,9,,%s,%s,weekdays\n", CASES[i].start, CASES[i].end);
        struct policy_doc *d = policy_of(text);

        assert_int_equal(d->rules[0].when.from_min, CASES[i].from);
        assert_int_equal(d->rules[0].when.to_min, CASES[i].to);
        d = policy_doc_free(d);
    }
    for (size_t i = 0; i < ALB_COUNT(WRONG); i++) {
        AUTO_FREE char *text = xasprintf(MIRAGE ",a,9,,%s,23:00,\n", WRONG[i]);
        AUTO_FREE char *found = findings_of(text, strlen(text));

        assert_non_null(strstr(found, "error: line 2: Start Time \""));
    }
}

static void the_zone_of_a_table_without_one_is_the_callers(void **state)
{
    static const char TEXT[] = MIRAGE ",a,9,,,,\n";
    struct policy_findings findings;
    struct policy_doc *d = NULL;

    (void)state;
    policy_findings_init(&findings);
    assert_int_equal(policy_csv_read(TEXT, strlen(TEXT), "Europe/Oslo", &findings, &d).code,
                     ALB_OK);
    assert_string_equal(d->zone, "Europe/Oslo");
    d = policy_doc_free(d);
    assert_int_equal(policy_csv_read("x", 1, "", &findings, &d).code, ALB_INVALID);
    assert_int_equal(policy_csv_read(TEXT, POLICY_BYTES_MAX + 1, "", &findings, &d).code,
                     ALB_INVALID);
    policy_findings_release(&findings);
}

static void more_rules_than_there_may_be_are_refused_by_line(void **state)
{
    AUTO_FREE char *found = NULL;
    struct buf text;

    (void)state;
    buf_init(&text, POLICY_BYTES_MAX);
    assert_int_equal(buf_printf(&text, "%s", MIRAGE).code, ALB_OK);
    for (int i = 0; i < 1001; i++)
        assert_int_equal(buf_printf(&text, ",a-%d,9,9,,,\n", i).code, ALB_OK);
    found = findings_of(buf_text(&text), buf_size(&text));
    assert_string_equal(found, "error: line 1002: a policy has at most 2000 rules\n"
                               "error: line 1002: a policy has at most 2000 rules\n");
    buf_release(&text);
}

static void wrong_lines_of_mirage_are_named_by_number(void **state)
{
    (void)state;
    expect(
        MIRAGE "1.1.1.1/33,,2000,1000,,,\n"
               "100.100.10.100/20,x,500,,,,\n"
               "# a comment\n"
               ",,500,,,,\n"
               ",a,0,lots,,,1-5\n"
               ",a,500,,25:00,,\n"
               ",a,500,,08:00,,\n"
               "fe80::/10,,5,,,,\n"
               ",a b c/d,5,,,,\n"
               ",a,,,,,\n"
               ",a,5,,,,,extra\n"
               ",a,5,,,,1-5\n",
        "error: line 2: SubnetMaskV4 \"1.1.1.1/33\": bits of a subnet are 0 to 32 (IPv4) or 0 to "
        "128 (IPv6)\n"
        "error: line 3: a rule has either a subnet or a site, this has both\n"
        "error: line 5: a rule has either a subnet or a site, this has neither\n"
        "error: line 6: Download Limit \"0\": a limit is a whole number of kilobytes per second, "
        "2 to 125000000; empty is no limit (to stop traffic, write mode off in our own table)\n"
        "error: line 6: Upload Limit \"lots\": a limit is a whole number of kilobytes per "
        "second, 2 to 125000000; empty is no limit (to stop traffic, write mode off in our own "
        "table)\n"
        "error: line 7: Start Time \"25:00\": a time is written hh:mm, as in 08:00, and a rule "
        "has both or none\n"
        "error: line 8: End Time \"\": a time is written hh:mm, as in 08:00, and a rule has both "
        "or none\n"
        "error: line 9: SubnetMaskV4 \"fe80::/10\": here only IPv4 is known; our own table takes "
        "IPv6\n"
        "error: line 10: Site \"a b c/d\": a site's name is letters, digits, '.' and '-', at "
        "most 60 of them\n"
        "warning: line 11 limits nothing: both limits are empty\n"
        "error: line 12: there are more cells than columns\n"
        "error: line 13 (mirage-13-down): days \"1-5\": days are mon, tue, wed, thu, fri, sat, "
        "sun, as in mon-fri or sat,sun\n");
    expect("SubnetMaskV4,Branch,Download Limit,Upload Limit\n",
           "error: line 1: the columns of Mirage's table are SubnetMaskV4, Site, Download Limit, "
           "Upload Limit and, in later versions, Start Time, End Time, Days of Week\n");
}

/* ---- ours ---- */

static void columns_come_in_any_order_and_only_those_needed(void **state)
{
    struct policy_doc *d =
        policy_of("\xef\xbb\xbfMode;Kind;Ceiling;Scope;Note;subnets;name;zone\r\n"
                  "scavenge;rule;2Mbit;site:oslo;\"a;b \"\"c\"\"\";;;\r\n"
                  ";site;;;;2001:db8::/48 10.0.0.0/8;oslo;Europe/Oslo\r\n"
                  ";policy;;;;;;Europe/Berlin");

    (void)state;
    assert_string_equal(d->zone, "Europe/Berlin");
    assert_int_equal(d->rule_count, 1);
    assert_string_equal(d->rules[0].note, "a;b \"c\"");
    assert_int_equal(d->rules[0].action.ceiling_bps, 2000000);
    assert_int_equal(d->subnet_count, 2);
    assert_string_equal(d->sites[0].zone, "Europe/Oslo");
    d = policy_doc_free(d);
}

static void a_rule_may_name_a_calendar_that_comes_after_it(void **state)
{
    struct policy_doc *d = policy_of("kind,name,scope,mode,on,dates\n"
                                     "rule,r,global,off,holidays,\n"
                                     "calendar,holidays,,,,2026-12-24..2026-12-26 2027-01-01\n");

    (void)state;
    assert_int_equal(d->rules[0].when.on, 1);
    assert_int_equal(d->calendars[0].date_count, 2);
    d = policy_doc_free(d);
}

static void wrong_lines_of_ours_are_named_by_number(void **state)
{
    (void)state;
    expect(
        "kind,name,scope,mode,rate,ceiling,zone\n"
        "\n"
        "rule,a,global,capped,2,,\n"
        "rulez,b,global,off,,,\n"
        "site,s,,,,,Nowhere Land\n"
        "rule,c,site:x,full,,1Mbit,UTC\n"
        "policy,,,,,,,\n"
        "policy,p,,,,,UTC\n"
        "rule,d,global,off,,5Mbit,\n"
        "rule,e,global,off,,,,7\n"
        "rule,\"f,global,off,,,\n",
        "error: line 11: a quote that is not closed, text behind one, or more than 64 cells\n"
        "error: line 3 (a): rate \"2\": a rate needs a unit (bit, kbit, Mbit, Gbit, or kB, MB, "
        "GB per second, as in 2Mbit)\n"
        "error: line 4: kind \"rulez\" is none of rule, site, calendar, deadline, policy\n"
        "error: line 5 (s): zone \"Nowhere Land\": a zone is named as in Europe/Oslo or UTC\n"
        "error: line 6 (c): a rule has no \"zone\"; it has name, scope, direction, place, class, "
        "days, hours, dates, on, except, mode, rate, ceiling, floor, percent, profile, "
        "max_queue, note\n"
        "error: line 8: a row of kind policy has a zone only\n"
        "error: line 10: there are more cells than columns\n"
        "error: line 9 (rule d) contradicts itself: mode off stops everything: it takes no rate, "
        "ceiling, floor, percent, profile or max_queue\n");
}

static void wrong_headers_are_told_what_a_header_is(void **state)
{
    (void)state;
    expect("name,scope\n",
           "error: line 1: a table begins with a line of column names: kind (rule, site, calendar, "
           "deadline, policy), name, scope, mode and so on; or Mirage's "
           "SubnetMaskV4,Site,Download Limit,Upload Limit,...\n");
    expect("kind,name,speed\n",
           "error: line 1: column \"speed\" is not known; there are kind, name, scope, direction, "
           "place, class, days, hours, on, except, mode, rate, ceiling, floor, percent, profile, "
           "max_queue, zone, link, subnets, dates, layer, site, by, note\n");
    expect("kind,name,name\n", "error: line 1: column \"name\" is there twice\n");
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    AUTO_FREE char *found = findings_of("kind\0", 5);

    (void)state;
    assert_string_equal(found, "error: this is neither JSON nor a table: it has zero bytes\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subnet_becomes_a_site_and_its_limits_two_rules),
        cmocka_unit_test(limits_are_kilobytes_per_second),
        cmocka_unit_test(the_older_table_has_four_columns),
        cmocka_unit_test(the_particular_goes_before_the_general),
        cmocka_unit_test(from_midnight_to_a_minute_before_it_is_all_day),
        cmocka_unit_test(times_are_read_as_people_type_them),
        cmocka_unit_test(the_zone_of_a_table_without_one_is_the_callers),
        cmocka_unit_test(more_rules_than_there_may_be_are_refused_by_line),
        cmocka_unit_test(wrong_lines_of_mirage_are_named_by_number),
        cmocka_unit_test(columns_come_in_any_order_and_only_those_needed),
        cmocka_unit_test(a_rule_may_name_a_calendar_that_comes_after_it),
        cmocka_unit_test(wrong_lines_of_ours_are_named_by_number),
        cmocka_unit_test(wrong_headers_are_told_what_a_header_is),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
