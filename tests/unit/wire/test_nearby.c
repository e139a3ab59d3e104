/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_nearby.c – what a signed list of holders says, who may sign it, and the line that
 * stands before it. */
#include "support/wire_fixture.h"

#include <string.h>

#include "base/pack.h"
#include "wire/nearby.h"

struct world {
    struct trust trust;
    struct trust_delegation delegation;
    struct nearby_holder holders[NEARBY_HOLDERS_MAX + 1];
    struct nearby list, out;
    struct buf bytes;
};

static void add_holder(struct world *w, const char *device, const char *site, unsigned depth)
{
    struct nearby_holder *h = &w->holders[w->list.holder_count];

    *h = (struct nearby_holder){
        .depth = depth, .order = (unsigned)w->list.holder_count, .at_count = 2, .subnet_count = 2};
    (void)snprintf(h->device, sizeof h->device, "%s", device);
    (void)snprintf(h->site, sizeof h->site, "%s", site);
    assert_ok(nearby_address_parse("10.1.0.5:7443", &h->at[0]));
    assert_ok(nearby_address_parse("[2001:db8::5]:7443", &h->at[1]));
    h->subnets[0] = (struct policy_subnet){
        .address = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1}, .bits = 96 + 24};
    h->subnets[1] = (struct policy_subnet){.address = {0x20, 0x01, 0x0d, 0xb8}, .bits = 64};
    w->list.holder_count++;
}

static int set_up(void **state)
{
    struct world *w = xalloc(sizeof *w);

    trust_sample(&w->trust, &w->delegation);
    buf_init(&w->bytes, SIGNED_MAX);
    w->list = (struct nearby){.org = "acme",
                              .site = "oslo",
                              .above = {"norway", "world"},
                              .above_count = 2,
                              .number = 7,
                              .issued_wall_s = 1700000000,
                              .expires_wall_s = 1700000000 + NEARBY_LIFETIME_S,
                              .terms = {.use = SITE_USE_PREFER, .max_sessions = 200},
                              .holders = w->holders,
                              .hub = {{"hub.example", 7443}, {"2001:db8::1", 443}},
                              .hub_count = 2};
    add_holder(w, "box-1", "oslo", 0);
    add_holder(w, "box-2", "norway", 1);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    nearby_release(&w->out);
    buf_release(&w->bytes);
    free(w);
    return 0;
}

static struct alb_status seal(struct world *w, int who)
{
    const struct sign_secret secret = secret_of(who);

    buf_clear(&w->bytes);
    return nearby_encode(&w->list, &secret, &w->bytes);
}

static struct alb_status open_it(struct world *w)
{
    nearby_release(&w->out);
    return nearby_decode(buf_peek(&w->bytes), buf_size(&w->bytes), &w->trust, &w->out);
}

static void a_list_comes_back_as_it_was_sealed(void **state)
{
    struct world *w = *state;

    w->holders[1].state = REFLECTOR_DRAIN;
    assert_ok(seal(w, HUB));
    assert_ok(open_it(w));
    assert_true(nearby_says_the_same(&w->list, &w->out));
    assert_int_equal(w->out.number, 7);
    assert_int_equal(w->out.issued_wall_s, 1700000000);
    assert_int_equal(w->out.expires_wall_s, 1700000000 + NEARBY_LIFETIME_S);
    assert_int_equal(w->out.holders[1].state, REFLECTOR_DRAIN);
    assert_string_equal(w->out.above[1], "world");
    assert_string_equal(w->out.hub[1].host, "2001:db8::1");
}

static void a_list_of_nobody_s_site_may_be_empty(void **state)
{
    struct world *w = *state;

    w->list.site[0] = '\0';
    w->list.holder_count = w->list.above_count = w->list.hub_count = 0;
    assert_ok(seal(w, HUB));
    assert_ok(open_it(w));
    assert_true(nearby_says_the_same(&w->list, &w->out));
}

static void any_difference_is_seen(void **state)
{
    struct world *w = *state;
    struct nearby other = w->list;
    struct nearby_holder holders[2] = {w->holders[0], w->holders[1]};

    other.holders = holders;
    assert_true(nearby_says_the_same(&w->list, &other));
    other.number++;
    other.issued_wall_s++;
    assert_true(nearby_says_the_same(&w->list, &other));
    holders[1].at[0].port++;
    assert_false(nearby_says_the_same(&w->list, &other));
    holders[1] = w->holders[1];
    holders[0].state = REFLECTOR_SUSPEND;
    assert_false(nearby_says_the_same(&w->list, &other));
    holders[0] = w->holders[0];
    holders[0].subnets[0].bits++;
    assert_false(nearby_says_the_same(&w->list, &other));
    holders[0] = w->holders[0];
    other.terms.use = SITE_USE_ALWAYS;
    assert_false(nearby_says_the_same(&w->list, &other));
    other.terms = w->list.terms;
    other.hub[0].port = 1;
    assert_false(nearby_says_the_same(&w->list, &other));
}

static void nobody_but_the_hub_s_online_key_signs_a_list(void **state)
{
    static const int OTHERS[] = {ROOT_1, PUBLISHER, STRANGER};
    struct world *w = *state;

    for (size_t i = 0; i < ALB_COUNT(OTHERS); i++) {
        assert_ok(seal(w, OTHERS[i]));
        assert_says(open_it(w), ALB_CORRUPT,
                    "the signature of the key that must sign this is missing");
    }
}

static void another_organisation_s_list_is_refused(void **state)
{
    struct world *w = *state;

    memcpy(w->list.org, "other", 6);
    assert_ok(seal(w, HUB));
    assert_says(open_it(w), ALB_REFUSED, "the list of what is nearby is another organisation's");
    assert_says(nearby_decode(buf_peek(&w->bytes), buf_size(&w->bytes), NULL, &w->out), ALB_REFUSED,
                "there is no trust file yet to judge a list by");
}

static void a_list_with_any_byte_altered_is_refused(void **state)
{
    struct world *w = *state;

    assert_ok(seal(w, HUB));
    for (size_t i = 0; i < buf_size(&w->bytes); i++) {
        w->bytes.bytes[w->bytes.head + i] ^= 1;
        assert_true(alb_failed(open_it(w)));
        w->bytes.bytes[w->bytes.head + i] ^= 1;
    }
    for (size_t i = 0; i < buf_size(&w->bytes); i += 7)
        assert_true(alb_failed(nearby_decode(buf_peek(&w->bytes), i, &w->trust, &w->out)));
    assert_ok(open_it(w));
}

/* What the hub's key signed and no hub of ours would say. */
static struct alb_status open_text(struct world *w, const char *text)
{
    struct buf body;
    struct pack p;

    buf_init(&body, SIGNED_MAX);
    pack_init(&p, &body);
    pack_bytes(&p, "\x81\4acme\x82", 7);
    pack_varint(&p, strlen(text));
    pack_bytes(&p, text, strlen(text));
    assert_ok(pack_finish(&p));
    reseal(&w->bytes, "nearby", 1, &body, HUB);
    buf_release(&body);
    return open_it(w);
}

#define LIST(members)                                                                              \
    "{\"format\":1,\"site\":\"oslo\",\"above\":[],\"number\":1,\"issued\":5,\"expires\":9,"        \
    "\"terms\":{\"use\":\"always\"}," members "}"
#define HOLDER(members)                                                                            \
    LIST("\"holders\":[{\"device\":\"b\",\"site\":\"oslo\",\"depth\":0,\"order\":0," members "}]")

static void what_is_signed_and_makes_no_sense_is_refused_by_name(void **state)
{
    static const struct {
        const char *text, *says;
    } CASES[] = {
        {"{\"a\":", "this is no JSON document"},
        {LIST("\"x\":[true]"), ""},
        {"{\"format\":2,\"site\":\"oslo\",\"number\":1,\"issued\":5,\"expires\":9,"
         "\"terms\":{\"use\":\"always\"}}",
         "this format of a list is not known to this program"},
        {"{\"format\":1,\"site\":\"oslo\",\"number\":1,\"issued\":5,\"expires\":5,"
         "\"terms\":{\"use\":\"always\"}}",
         "a list ends after it begins"},
        {"{\"format\":1,\"site\":\"oslo\",\"issued\":5,\"expires\":9,"
         "\"terms\":{\"use\":\"always\"}}",
         "lists are numbered from 1"},
        {"{\"format\":1,\"site\":\"oslo\",\"number\":1,\"issued\":5,\"expires\":9,"
         "\"terms\":{\"use\":\"sometimes\"}}",
         "the terms of a list are out of bounds"},
        {HOLDER("\"state\":\"asleep\""), "a state is accept, drain, suspend or disable"},
        {HOLDER("\"state\":\"accept\",\"at\":[\"10.0.0.1\"]"),
         "a place is written 10.1.0.5:7443, [2001:db8::5]:7443 or NAME:PORT"},
        {HOLDER("\"state\":\"accept\",\"at\":[\"box.example:7443\"]"),
         "that is no IPv4 or IPv6 address"},
        {HOLDER("\"state\":\"accept\",\"subnets\":[\"10.0.0.0\"]"),
         "a subnet is written address/bits, as in 10.1.0.0/20 or 2001:db8::/48"},
        {HOLDER("\"state\":\"accept\"},{\"device\":\"c\",\"site\":\"oslo\",\"depth\":0,"
                "\"order\":0,\"state\":\"accept\""),
         "the holders of a list are not in order"},
        {LIST("\"hub\":[\"hub example:7443\"]"), "a place of the hub is no host and port"},
        {LIST("\"hub\":[\"a:1\",\"a:1\",\"a:1\",\"a:1\",\"a:1\",\"a:1\",\"a:1\",\"a:1\",\"a:1\"]"),
         "a list within a list of what is nearby is too long"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < ALB_COUNT(CASES); i++)
        assert_says(open_text(w, CASES[i].text), CASES[i].says[0] == '\0' ? ALB_OK : ALB_CORRUPT,
                    CASES[i].says);
}

static void what_is_out_of_bounds_is_not_sealed(void **state)
{
    struct world *w = *state;

    while (w->list.holder_count <= NEARBY_HOLDERS_MAX)
        add_holder(w, "box-n", "world", 2);
    assert_says(seal(w, HUB), ALB_INVALID, "a list has at most 32 holders");
    w->list.holder_count = NEARBY_HOLDERS_MAX;
    assert_ok(seal(w, HUB));
    assert_true(buf_size(&w->bytes) < NEARBY_BYTES_MAX);
    w->holders[1].order = 0;
    w->holders[1].depth = 0;
    assert_says(seal(w, HUB), ALB_INVALID, "the holders of a list are not in order");
    w->list.holder_count = 1;
    w->holders[0].at[0].port = 0;
    assert_says(seal(w, HUB), ALB_INVALID, "a holder's address is no address and port");
    w->list.holder_count = 0;
    w->list.number = 0;
    assert_says(seal(w, HUB), ALB_INVALID, "lists are numbered from 1");
}

static void the_largest_list_is_within_its_limit(void **state)
{
    static const char NAME[] = "abcdefghij-abcdefghij-abcdefghij-abcdefghij-abcdefghij-abcde";
    struct world *w = *state;

    w->list.holder_count = 0;
    while (w->list.holder_count < NEARBY_HOLDERS_MAX) {
        struct nearby_holder *h = &w->holders[w->list.holder_count];
        add_holder(w, NAME, NAME, 0);
        h->at_count = NEARBY_AT_MAX;
        h->subnet_count = NEARBY_SUBNETS_MAX;
        for (size_t i = 0; i < NEARBY_AT_MAX; i++) {
            assert_ok(
                nearby_address_parse("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", &h->at[i]));
            memset(h->subnets[i].address, 0x21, 16);
            h->subnets[i].bits = 128;
        }
    }
    for (w->list.above_count = 0; w->list.above_count < NEARBY_ABOVE_MAX; w->list.above_count++)
        memcpy(w->list.above[w->list.above_count], NAME, sizeof NAME);
    for (w->list.hub_count = 0; w->list.hub_count < NEARBY_HUB_MAX; w->list.hub_count++) {
        struct nearby_hub *h = &w->list.hub[w->list.hub_count];
        memset(h->host, 'a', NEARBY_HOST_SIZE - 1);
        h->port = 65535;
    }
    assert_ok(seal(w, HUB));
    assert_ok(open_it(w));
    assert_true(nearby_says_the_same(&w->list, &w->out));
}

static void a_newer_format_of_a_list_is_refused_by_name(void **state)
{
    struct world *w = *state;
    struct buf body;

    assert_ok(seal(w, HUB));
    buf_init(&body, SIGNED_MAX);
    body_of(&w->bytes, "nearby", &body);
    reseal(&w->bytes, "nearby", 2, &body, HUB);
    assert_says(open_it(w), ALB_INVALID,
                "list of what is nearby format 2 is not known to this program");
    buf_release(&body);
}

static void an_address_with_a_port_is_read_as_people_write_it(void **state)
{
    static const char *const WRONG[] = {
        "",         "10.1.0.5", "10.1.0.5:", "10.1.0.5:0",       "10.1.0.5:x",
        "::1:7443", "[::1]",    "[::1]7443", "[10.1.0.5]:1",     "10.1.0.5:65536",
        "[::1:1",   ":1",       "[]:1",      "[fe80::1%eth0]:1", "box:1"};
    struct nearby_address a;
    char text[64];

    (void)state;
    assert_ok(nearby_address_parse("[2001:db8::5]:65535", &a));
    assert_string_equal(a.host, "2001:db8::5");
    assert_int_equal(a.port, 65535);
    assert_string_equal(nearby_address_text(&a, text), "[2001:db8::5]:65535");
    assert_ok(nearby_address_parse("10.1.0.5:7443", &a));
    assert_string_equal(nearby_address_text(&a, text), "10.1.0.5:7443");
    for (size_t i = 0; i < ALB_COUNT(WRONG); i++)
        assert_int_equal(nearby_address_parse(WRONG[i], &a).code, ALB_INVALID);
}

static void the_line_before_a_list_comes_back_and_leaves_the_rest(void **state)
{
    static const struct nearby_head HEADS[] = {
        {.site = "oslo", .by = NEARBY_BY_GATEWAY, .what = "52:54:00:ab:cd:ef"},
        {.site = "oslo", .by = NEARBY_BY_SUBNET, .what = "2001:db8::/48", .is_stale = true},
        {.site = "", .by = NEARBY_BY_NONE, .what = ""},
        {.site = "x", .by = NEARBY_BY_CONFIGURED, .what = ""},
    };
    struct world *w = *state;
    struct nearby_head out;
    size_t used;

    for (size_t i = 0; i < ALB_COUNT(HEADS); i++) {
        buf_clear(&w->bytes);
        assert_ok(nearby_head_write(&HEADS[i], &w->bytes));
        const size_t size = buf_size(&w->bytes);
        assert_ok(buf_append(&w->bytes, "rest\n", 5));
        assert_ok(nearby_head_read(buf_peek(&w->bytes), buf_size(&w->bytes), &out, &used));
        assert_int_equal(used, size);
        assert_string_equal(out.site, HEADS[i].site);
        assert_string_equal(out.what, HEADS[i].what);
        assert_int_equal(out.by, HEADS[i].by);
        assert_int_equal(out.is_stale, HEADS[i].is_stale);
    }
}

static void a_line_that_says_something_else_is_refused(void **state)
{
    static const char *const WRONG[] = {
        "",
        "nearby oslo subnet 10.0.0.0/8 fresh",
        "nearby oslo subnet 10.0.0.0/8 rotten\n",
        "nearby oslo subnet fresh\n",
        "nearby oslo  10.0.0.0/8 fresh\n",
        "nearby OSLO subnet - fresh\n",
        "nearby oslo subnet - fresh more\n",
        "far oslo subnet - fresh\n",
        "nearby oslo subnet "
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa fresh\n",
    };
    struct nearby_head out;
    size_t used;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(WRONG); i++)
        assert_int_equal(nearby_head_read(WRONG[i], strlen(WRONG[i]), &out, &used).code,
                         ALB_INVALID);
}

static void a_question_is_asked_and_read_in_the_same_words(void **state)
{
    struct world *w = *state;
    struct nearby_question q;

    assert_ok(nearby_question_read("10.1.0.9,2001:db8::9", "52-54-00-ab-cd-ef", "oslo", "17", &q));
    assert_int_equal(q.address_count, 2);
    assert_int_equal(q.gateway_count, 1);
    buf_clear(&w->bytes);
    assert_ok(nearby_question_write(&q, &w->bytes));
    assert_string_equal(buf_text(&w->bytes),
                        "/v1/nearby?address=10.1.0.9,2001:db8::9&gateway=52:54:00:ab:cd:ef"
                        "&site=oslo&after=17");
    assert_ok(nearby_question_read("", "", "", "", &q));
    buf_clear(&w->bytes);
    assert_ok(nearby_question_write(&q, &w->bytes));
    assert_string_equal(buf_text(&w->bytes), "/v1/nearby");
    q.after = 3;
    buf_clear(&w->bytes);
    assert_ok(nearby_question_write(&q, &w->bytes));
    assert_string_equal(buf_text(&w->bytes), "/v1/nearby?after=3");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_list_comes_back_as_it_was_sealed),
        TEST(a_list_of_nobody_s_site_may_be_empty),
        TEST(any_difference_is_seen),
        TEST(nobody_but_the_hub_s_online_key_signs_a_list),
        TEST(another_organisation_s_list_is_refused),
        TEST(a_list_with_any_byte_altered_is_refused),
        TEST(what_is_signed_and_makes_no_sense_is_refused_by_name),
        TEST(what_is_out_of_bounds_is_not_sealed),
        TEST(the_largest_list_is_within_its_limit),
        TEST(a_newer_format_of_a_list_is_refused_by_name),
        TEST(an_address_with_a_port_is_read_as_people_write_it),
        TEST(the_line_before_a_list_comes_back_and_leaves_the_rest),
        TEST(a_line_that_says_something_else_is_refused),
        TEST(a_question_is_asked_and_read_in_the_same_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
