/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_sites.c – site directories that read as they were written, and all that is wrong
 * with others, each with its line; edits; and who is where. */
#include "support/policy_fixture.h"

#include "base/file.h"
#include "wire/sites_find.h"

/* ---- helpers ---- */

static struct sites *sites_of(const char *text)
{
    struct policy_findings findings;
    struct sites *s = NULL;

    policy_findings_init(&findings);
    if (alb_failed(sites_decode(text, strlen(text), earthly, NULL, &findings, &s)))
        fail_msg("%s", findings.count > 0 ? findings.list[0].text : "no finding");
    policy_findings_release(&findings);
    return s;
}

/* Each of the texts, which end with NULL, is among the findings. */
static void assert_found(const char *text, bool is_error, const char *const *texts)
{
    struct policy_findings findings;
    struct sites *s = NULL;

    policy_findings_init(&findings);
    const struct alb_status st = sites_decode(text, strlen(text), earthly, NULL, &findings, &s);
    assert_int_equal(st.code, is_error ? ALB_INVALID : ALB_OK);
    for (; *texts != NULL; texts++) {
        size_t i = 0;

        while (i < findings.count && strcmp(findings.list[i].text, *texts) != 0)
            i++;
        for (size_t k = 0; i == findings.count && k < findings.count; k++)
            print_error("found: %s\n", findings.list[k].text);
        if (i == findings.count)
            fail_msg("not found: %s", *texts);
        assert_int_equal(findings.list[i].is_error, is_error);
    }
    s = sites_free(s);
    policy_findings_release(&findings);
}

#define FOUND(text, is_error, ...)                                                                 \
    assert_found((text), (is_error), (const char *const[]){__VA_ARGS__, NULL})

static void assert_encodes_to(const struct sites *s, const char *text)
{
    struct buf b;

    buf_init(&b, SITES_BYTES_MAX);
    assert_int_equal(sites_encode(s, &b).code, ALB_OK);
    assert_string_equal(buf_text(&b), text);
    buf_release(&b);
}

/* ---- what is right ---- */

static const char TREE[] =
    "{\"format\":1,\"sites\":["
    "{\"name\":\"oslo\",\"parent\":\"norway\",\"subnets\":[\"2001:db8:1::/48\",\"10.1.2.3/20\"],"
    "\"gateways\":[\"5254.00AB.cdef\",\"00-16-3e-00-00-01\"],\"reflectors\":[\"r2\",\"r1\"],"
    "\"link\":\"mpls\",\"down\":\"20Mbit\",\"up\":\"5Mbit\",\"use\":\"always\","
    "\"latency\":\"20ms\",\"load\":80,\"max_sessions\":200,\"note\":\"by the quay\"},"
    "{\"name\":\"norway\",\"zone\":\"Europe/Oslo\",\"latency\":\"50ms\"}]}";

static void a_directory_reads_as_it_was_meant(void **state)
{
    struct sites *s = sites_of(TREE);
    const struct site *oslo = sites_find_name(s, "oslo");
    struct site_terms terms;
    const char *zone;
    char text[64];

    (void)state;
    assert_int_equal(s->count, 2);
    assert_non_null(oslo);
    assert_string_equal(sites_parent_of(s, oslo)->name, "norway");
    assert_int_equal(oslo->subnet_count, 2);
    assert_string_equal(site_subnet_text(&oslo->subnets[0], text), "10.1.0.0/20");
    assert_string_equal(site_mac_text(&oslo->gateways[1], text), "52:54:00:ab:cd:ef");
    assert_string_equal(oslo->reflectors[0], "r2"); /* the order is a preference */
    assert_int_equal(oslo->down_bps, 20000000);
    sites_terms_of(s, oslo, &terms, &zone);
    assert_int_equal(terms.use, SITE_USE_ALWAYS);
    assert_int_equal(terms.latency_ms, 20);
    assert_string_equal(zone, "Europe/Oslo"); /* said above */
    sites_terms_of(s, sites_find_name(s, "norway"), &terms, &zone);
    assert_int_equal(terms.use, SITE_USE_PREFER); /* nobody says */
    s = sites_free(s);
}

/* tests/golden/wire/sites.json and .csv are the same directory. */
static void read_golden(const char *name, struct buf *out)
{
    static const char HERE[] = __FILE__;
    const char *tests = strstr(HERE, "tests/unit/");
    AUTO_FREE char *path = xasprintf("%.*stests/golden/wire/%s", (int)(tests - HERE), HERE, name);

    assert_int_equal(file_read(path, out).code, ALB_OK);
}

static void the_golden_files_are_one_directory_and_stay_as_they_are(void **state)
{
    struct buf json, csv, again;

    (void)state;
    buf_init(&json, SITES_BYTES_MAX);
    buf_init(&csv, SITES_BYTES_MAX);
    buf_init(&again, SITES_BYTES_MAX);
    read_golden("sites.json", &json);
    read_golden("sites.csv", &csv);
    struct sites *from_json = sites_of(buf_text(&json)), *from_csv = sites_of(buf_text(&csv));
    assert_encodes_to(from_json, buf_text(&json));
    assert_encodes_to(from_csv, buf_text(&json));
    assert_int_equal(sites_csv_write(from_json, &again).code, ALB_OK);
    assert_string_equal(buf_text(&again), buf_text(&csv));
    from_json = sites_free(from_json);
    from_csv = sites_free(from_csv);
    buf_release(&json);
    buf_release(&csv);
    buf_release(&again);
}

static void a_table_as_spreadsheets_write_it_is_read(void **state)
{
    struct sites *s = sites_of("\xef\xbb\xbfNote;Name;Subnets;Gateways\r\n"
                               "# the north\r\n"
                               "\"a; b\";tromso;10.2.0.0/16 2001:db8::/32;\r\n"
                               ";bodo;;52:54:00:00:00:02\r\n");

    (void)state;
    assert_int_equal(s->count, 2);
    assert_string_equal(sites_find_name(s, "tromso")->note, "a; b");
    assert_int_equal(sites_find_name(s, "bodo")->gateway_count, 1);
    s = sites_free(s);
}

/* ---- what is wrong ---- */

static void all_that_is_wrong_is_told_at_once_each_with_its_line(void **state)
{
    (void)state;
    FOUND("name,parent,subnets,gateways,reflectors,zone\n"
          "a,b,10.0.0.0/8,52:54:00:00:00:01,r1,\n"
          "b,c,10.0.0.0/8,,,\n"
          "c,a,,52-54-00-00-00-01,,\n"
          "d,nowhere,,,r1,Mars/Olympus\n"
          "a,,,,,\n"
          "e,,10.0.0.0/33,zz,r 1/,\n",
          true,
          "line 7 (e): subnets \"10.0.0.0/33\": bits of a subnet are 0 to 32 (IPv4) or 0 to 128 "
          "(IPv6)",
          "line 7 (e): gateways \"zz\": a MAC address is six bytes in hexadecimal, as in "
          "52:54:00:ab:cd:ef",
          "line 3 (site b): subnet 10.0.0.0/8 is that of line 2 (site a) already; one site only "
          "may have it",
          "line 4 (site c): gateway 52:54:00:00:00:01 is that of line 2 (site a) already; one site "
          "only may have it",
          "line 5 (site d): reflector r1 is that of line 2 (site a) already; one site only may "
          "have it",
          "line 5 (site d): there is no site nowhere to be its parent",
          "line 5 (site d): there is no time zone \"Mars/Olympus\" on this machine; zones are "
          "named as in Europe/Oslo",
          "line 6 (site a): line 2 (site a) has the same name");
}

static void a_loop_in_the_tree_is_told_once(void **state)
{
    struct policy_findings findings;
    struct sites *s = NULL;
    static const char LOOP[] = "name,parent\na,b\nb,c\nc,b\nd,a\ne,e\n";

    (void)state;
    FOUND(LOOP, true, "line 3 (site b): its parents lead back to it: b → c → b",
          "line 6 (site e): its parents lead back to it: e → e");
    policy_findings_init(&findings);
    assert_true(alb_failed(sites_decode(LOOP, strlen(LOOP), NULL, NULL, &findings, &s)));
    assert_int_equal(findings.count, 2);
    policy_findings_release(&findings);
}

static void a_tree_that_is_too_deep_is_refused(void **state)
{
    char text[1024] = "name,parent\ns0,\n";
    size_t size = strlen(text);

    (void)state;
    for (int i = 1; i <= SITES_DEPTH_MAX; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "s%d,s%d\n", i, i - 1);
    sites_free(sites_of(text));
    (void)snprintf(text + size, sizeof text - size, "last,s%d\n", SITES_DEPTH_MAX);
    FOUND(text, true, "line 19 (site last): more than 16 sites are above it");
}

static void json_has_lines_too_unless_it_is_one(void **state)
{
    (void)state;
    FOUND("{\"format\":1,\n\"sites\":[\n{\"name\":\"a\",\"note\":\"[{,\\\"\"},\n\n{\"name\":\"b\","
          "\n\"subnets\":[\"x\"]}, 7]}",
          true,
          "line 5 (b): subnets \"x\": a subnet is written address/bits, as in 10.1.0.0/20 or "
          "2001:db8::/48",
          "line 6 is no object {...}");
    FOUND("{\"format\":1,\"sites\":[{\"name\":\"a\",\"zone\":7,\"colour\":\"red\"}]}", true,
          "site 1 (a): a site has no \"colour\"; it has name, parent, subnets, gateways, "
          "reflectors, zone, link, down, up, use, latency, load, max_sessions, keep_awake, note");
    FOUND("{\"format\":2,\"places\":[]}", true, "\"format\" must be 1, the one this program knows",
          "a site directory has no \"places\"; it has format, number, sites",
          "\"sites\" is missing, or no list [...]");
    FOUND("", true, "there are no sites in this: neither JSON nor a table");
    FOUND("parent,colour\n", true, "line 1: column \"colour\" is not known",
          "line 1: a table of sites begins with a line of column names: name, parent, subnets, "
          "gateways, reflectors, zone, link, down, up, use, latency, load, max_sessions, "
          "keep_awake, note");
    FOUND("name,name\n", true, "line 1: column \"name\" is there twice");
}

static void what_every_link_has_is_no_subnet_of_a_site(void **state)
{
    static const char *const LINKS[] = {"127.0.0.0/8", "169.254.1.0/24", "224.0.0.0/4",
                                        "fe80::/10",   "::1/128",        "ff02::/16"};

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(LINKS); i++) {
        AUTO_FREE char *text = xasprintf("name,subnets\na,%s\n", LINKS[i]);
        AUTO_FREE char *says = xasprintf("line 2 (a): subnets \"%s\": loopback, link-local and "
                                         "multicast addresses are everywhere: they say nothing "
                                         "about a site",
                                         LINKS[i]);
        FOUND(text, true, says);
    }
    sites_free(sites_of("name,subnets\na,0.0.0.0/0 ::/0 128.0.0.0/1\n"));
}

static void what_is_hardly_meant_is_a_warning(void **state)
{
    (void)state;
    FOUND("name,parent,subnets,gateways\n"
          "a,,10.0.0.0/8,\n"
          "b,a,10.1.0.0/16,\n" /* beneath its parent: as it should be */
          "c,,10.1.2.0/24,00:00:5e:00:01:07\n",
          false,
          "line 4 (site c): subnet 10.1.2.0/24 lies inside 10.1.0.0/16 of site b, which is not "
          "above it; the narrower one wins",
          "line 4 (site c): gateway 00:00:5e:00:01:07 is a virtual router's (VRRP or HSRP), which "
          "other networks may have, too: give the subnet instead");
}

/* ---- edits ---- */

static void a_site_is_changed_by_what_people_type(void **state)
{
    static const struct site_change CHANGES[] = {
        {"parent", ""}, {"subnets", "10.9.0.0/16,10.8.0.0/16"}, {"load", "50"}};
    struct sites *s = sites_of(TREE);
    struct policy_findings findings;
    struct site site;

    (void)state;
    policy_findings_init(&findings);
    assert_int_equal(
        site_changed(sites_find_name(s, "oslo"), "oslo", CHANGES, 3, &findings, &site).code,
        ALB_OK);
    assert_false(site_is_same(&site, sites_find_name(s, "oslo")));
    assert_int_equal(sites_put(s, &site).code, ALB_OK);
    const struct site *oslo = sites_find_name(s, "oslo");
    assert_string_equal(oslo->parent, "");
    assert_int_equal(oslo->subnet_count, 2);
    assert_int_equal(oslo->terms.load_percent, 50);
    assert_string_equal(oslo->note, "by the quay");
    assert_int_equal(sites_remove(s, "norway").code, ALB_OK);
    assert_int_equal(sites_remove(s, "norway").code, ALB_NOT_FOUND);
    assert_int_equal(s->count, 1);
    s = sites_free(s);
    policy_findings_release(&findings);
}

static void a_change_that_is_wrong_says_all_that_is(void **state)
{
    static const struct site_change CHANGES[] = {
        {"use", "maybe"}, {"colour", "red"}, {"latency", "20s"}};
    struct policy_findings findings;
    struct site site;

    (void)state;
    policy_findings_init(&findings);
    assert_int_equal(site_changed(NULL, "x", CHANGES, 3, &findings, &site).code, ALB_INVALID);
    assert_int_equal(findings.errors, 3);
    assert_string_equal(findings.list[0].text,
                        "site (x): use \"maybe\": use is always, prefer or direct");
    policy_findings_release(&findings);
}

static void adding_and_removing_keeps_the_order_of_names(void **state)
{
    struct sites *s = sites_new();
    char name[16];

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        struct site site = {.line = 0};

        (void)snprintf(site.name, sizeof site.name, "s%02u", i * 37 % 100);
        assert_int_equal(sites_put(s, &site).code, ALB_OK);
    }
    for (unsigned i = 0; i < 100; i += 2) {
        (void)snprintf(name, sizeof name, "s%02u", i);
        assert_int_equal(sites_remove(s, name).code, ALB_OK);
    }
    assert_int_equal(s->count, 50);
    for (size_t i = 1; i < s->count; i++)
        assert_true(strcmp(s->list[i - 1].name, s->list[i].name) < 0);
    s = sites_free(s);
}

/* ---- with the policy ---- */

static void a_policy_says_what_the_directory_says(void **state)
{
    struct sites *s = sites_of(TREE);
    struct policy_doc *d = policy_of("{\"format\":1,\"zone\":\"UTC\"}");
    struct sites *draft = sites_new();
    char why[256];

    (void)state;
    sites_into_policy(s, d);
    assert_int_equal(d->site_count, 2);
    assert_int_equal(d->subnet_count, 2);
    assert_string_equal(d->sites[1].name, "oslo");
    assert_string_equal(d->sites[1].zone, "Europe/Oslo");
    assert_string_equal(d->sites[1].link, "mpls");
    assert_true(sites_agree_with(s, d, why));
    sites_add_from_policy(draft, d);
    assert_int_equal(draft->count, 2);
    assert_string_equal(sites_find_name(draft, "oslo")->zone, "Europe/Oslo");
    d->subnets[0].bits--;
    assert_false(sites_agree_with(s, d, why));
    assert_string_equal(why, "site oslo has other subnets there");
    (void)snprintf(d->sites[0].name, sizeof d->sites[0].name, "sweden");
    assert_false(sites_agree_with(s, d, why));
    assert_string_equal(why, "site sweden is not in the directory");
    d = policy_doc_free(d);
    s = sites_free(s);
    draft = sites_free(draft);
}

/* A draft says no zone where the policy's own holds, and no subnet that a directory refuses. */
static void a_draft_means_what_the_policy_meant(void **state)
{
    struct policy_doc *d = policy_of(
        "{\"format\":1,\"zone\":\"Europe/Oslo\",\"sites\":[{\"name\":\"akureyri\",\"zone\":\"UTC\","
        "\"subnets\":[\"10.1.0.0/16\",\"169.254.0.0/16\"]},{\"name\":\"oslo\"}]}");
    struct sites *draft = sites_new();

    (void)state;
    sites_add_from_policy(draft, d);
    assert_encodes_to(draft, "{\"format\":1,\"sites\":[\n{\"name\":\"akureyri\",\"subnets\":["
                             "\"10.1.0.0/16\"],\"zone\":\"UTC\"},\n{\"name\":\"oslo\"}\n]}\n");
    sites_into_policy(draft, d);
    assert_string_equal(d->sites[0].zone, "UTC");
    assert_string_equal(d->sites[1].zone, "");
    d = policy_doc_free(d);
    draft = sites_free(draft);
}

static void a_key_that_is_said_twice_is_refused(void **state)
{
    static const struct site_change TWICE[] = {
        {"zone", "Europe/Oslo"}, {"load", "50"}, {"zone", ""}};
    struct policy_findings findings;
    struct site site;

    (void)state;
    policy_findings_init(&findings);
    assert_int_equal(site_changed(NULL, "oslo", TWICE, ALB_COUNT(TWICE), &findings, &site).code,
                     ALB_INVALID);
    assert_int_equal(findings.count, 1);
    assert_string_equal(findings.list[0].text,
                        "site (oslo): zone is said twice; say it once, lists with commas");
    policy_findings_release(&findings);
}

/* ---- who is where ---- */

static struct sites_found found_at(const struct sites_index *x, const char *address,
                                   const char *gateway)
{
    uint8_t addresses[1][16] = {{0}};
    struct site_mac macs[1] = {{{0}}};

    if (address != NULL)
        assert_int_equal(site_address_parse(address, addresses[0]).code, ALB_OK);
    if (gateway != NULL)
        assert_int_equal(site_mac_parse(gateway, &macs[0]).code, ALB_OK);
    return sites_find(x, &(struct sites_place){.addresses = (const uint8_t(*)[16])addresses,
                                               .address_count = address != NULL,
                                               .gateways = macs,
                                               .gateway_count = gateway != NULL});
}

static void a_gateway_goes_before_the_narrowest_subnet(void **state)
{
    struct sites *s = sites_of("name,parent,subnets,gateways\n"
                               "all,,10.0.0.0/8 2001:db8::/32,\n"
                               "oslo,all,10.1.0.0/16,52:54:00:00:00:01\n"
                               "quay,oslo,10.1.7.0/24 2001:db8:7::/48,\n");
    struct sites_index *x = sites_index_new(s);

    (void)state;
    assert_string_equal(found_at(x, "10.1.7.9", NULL).site->name, "quay");
    assert_string_equal(found_at(x, "10.1.8.9", NULL).site->name, "oslo");
    assert_string_equal(found_at(x, "10.2.0.1", NULL).site->name, "all");
    assert_string_equal(found_at(x, "2001:db8:7::1", NULL).site->name, "quay");
    assert_null(found_at(x, "192.0.2.1", NULL).site);
    const struct sites_found f = found_at(x, "10.1.7.9", "52:54:00:00:00:01");
    assert_string_equal(f.site->name, "oslo");
    assert_int_equal(f.why, SITES_BY_GATEWAY);
    assert_string_equal(f.subnet_site->name, "quay");
    assert_int_equal(found_at(x, "10.1.7.9", "52:54:00:00:00:09").why, SITES_BY_SUBNET);
    assert_int_equal(found_at(x, NULL, NULL).why, SITES_NOWHERE);
    x = sites_index_free(x);
    s = sites_free(s);
}

static void all_of_ipv6_is_nowhere_for_an_ipv4_address(void **state)
{
    struct sites *s = sites_of("name,subnets\nsix,::/0\nfour,10.0.0.0/8\n");
    struct sites_index *x = sites_index_new(s);
    struct policy_findings findings;

    (void)state;
    assert_null(found_at(x, "192.0.2.1", NULL).site);
    assert_string_equal(found_at(x, "10.1.7.9", NULL).site->name, "four");
    assert_string_equal(found_at(x, "2001:db8::1", NULL).site->name, "six");
    policy_findings_init(&findings);
    sites_check(s, NULL, NULL, &findings);
    assert_int_equal(findings.count, 0); /* nor does one lie in the other */
    policy_findings_release(&findings);
    x = sites_index_free(x);
    s = sites_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_reads_as_it_was_meant),
        cmocka_unit_test(the_golden_files_are_one_directory_and_stay_as_they_are),
        cmocka_unit_test(a_table_as_spreadsheets_write_it_is_read),
        cmocka_unit_test(all_that_is_wrong_is_told_at_once_each_with_its_line),
        cmocka_unit_test(a_loop_in_the_tree_is_told_once),
        cmocka_unit_test(a_tree_that_is_too_deep_is_refused),
        cmocka_unit_test(json_has_lines_too_unless_it_is_one),
        cmocka_unit_test(what_every_link_has_is_no_subnet_of_a_site),
        cmocka_unit_test(what_is_hardly_meant_is_a_warning),
        cmocka_unit_test(a_site_is_changed_by_what_people_type),
        cmocka_unit_test(a_change_that_is_wrong_says_all_that_is),
        cmocka_unit_test(adding_and_removing_keeps_the_order_of_names),
        cmocka_unit_test(a_policy_says_what_the_directory_says),
        cmocka_unit_test(a_draft_means_what_the_policy_meant),
        cmocka_unit_test(a_key_that_is_said_twice_is_refused),
        cmocka_unit_test(all_of_ipv6_is_nowhere_for_an_ipv4_address),
        cmocka_unit_test(a_gateway_goes_before_the_narrowest_subnet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
