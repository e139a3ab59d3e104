/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_nearby.c – who can serve a machine where it is: which site that is, who stands on
 * its list, and who is told when it changes. */
/* LINKS: sim_world */
#include "support/hub_stage.h"

#include "hub/nearby.h"
#include "wire/nearby.h"

#define SITES(text) "{\"format\":1,\"sites\":[{\"name\":\"site1\"}," text "]}"
/* country > oslo > shop; two boxes at oslo, one each at country and shop. */
#define COUNTRY "{\"name\":\"country\",\"use\":\"always\",\"max_sessions\":50}"
#define OSLO                                                                                       \
    "{\"name\":\"oslo\",\"parent\":\"country\",\"subnets\":[\"10.1.0.0/16\",\"2001:db8:1::/48\"]," \
    "\"gateways\":[\"52:54:00:00:00:01\"],\"reflectors\":[\"oslo-2\"]}"
#define SHOP                                                                                       \
    "{\"name\":\"shop\",\"parent\":\"oslo\",\"subnets\":[\"10.1.7.0/24\"],\"use\":\"direct\"}"
#define DIRECTORY SITES(COUNTRY "," OSLO "," SHOP)

struct nearby_stage {
    struct stage *s;
    struct nearby_head head;
    struct nearby list;
    size_t list_size; /* of the answer, behind the line; 0: it said nothing new */
    struct reply events;
    struct http_call *listening;
};

static void join_box(struct nearby_stage *n, const char *device, const char *site)
{
    struct identity who = {.role = ROLE_REFLECTOR, .org = "acme", .expires_wall_s = INT64_MAX};

    snprintf(who.device, sizeof who.device, "%s", device);
    snprintf(who.serial, sizeof who.serial, "%032zx", strlen(device));
    must(hub_admit(n->s->hub, &who, site, ""));
}

static void announce(struct nearby_stage *n, const char *device, const char *at,
                     const char *address, uint8_t bits)
{
    struct announce_serves serves = {.at_count = 1};
    struct announce_address a = {.bits = bits};
    struct announce said = {.is_reflector = true, .serves = &serves};

    snprintf(said.device, sizeof said.device, "%s", device);
    must(nearby_address_parse(at, &serves.at[0]));
    must(site_address_parse(address, a.bytes));
    said.place.addresses = &a;
    said.place.address_count = 1;
    hub_nearby_announced(n->s->hub, &said);
}

static unsigned ask(struct nearby_stage *n, const char *query)
{
    AUTO_FREE char *path = xasprintf("/v1/nearby%s", query);
    size_t used;

    nearby_release(&n->list);
    const unsigned status = stage_ask(n->s, ENDPOINT, "GET", path, NULL);
    if (status != 200)
        return status;
    const uint8_t *bytes = buf_peek(&n->s->reply.body);
    must(nearby_head_read(bytes, buf_size(&n->s->reply.body), &n->head, &used));
    n->list_size = buf_size(&n->s->reply.body) - used;
    if (n->list_size > 0)
        must(nearby_decode(bytes + used, n->list_size, &n->s->trust, &n->list));
    return status;
}

static void put_sites(struct nearby_stage *n, const char *text)
{
    assert_int_equal(stage_ask_text(n->s, ADMIN, "POST", "/v1/sites-put", text), 200);
}

static int set_up(void **state)
{
    struct nearby_stage *n = xalloc(sizeof *n);

    n->s = stage_ready();
    join_box(n, "oslo-1", "oslo");
    join_box(n, "oslo-2", "oslo");
    join_box(n, "country-1", "country");
    join_box(n, "shop-1", "shop");
    put_sites(n, DIRECTORY);
    announce(n, "oslo-1", "10.1.0.5:7443", "10.1.0.5", 96 + 24);
    *state = n;
    return 0;
}

static int tear_down(void **state)
{
    struct nearby_stage *n = *state;

    nearby_release(&n->list);
    stage_free(n->s);
    buf_release(&n->events.body);
    free(n);
    return 0;
}

static void listen_for_events(struct nearby_stage *n)
{
    n->listening = stage_begin(n->s, REFLECTOR, "GET", "/v1/events", NULL, &n->events);
    world_run(n->s->world, world_now_ns(n->s->world) + 3 * NS_PER_S);
    buf_clear(&n->events.body);
}

/* What was said within two seconds, all lines. */
static const char *events(struct nearby_stage *n)
{
    buf_clear(&n->events.body);
    world_run(n->s->world, world_now_ns(n->s->world) + 2 * NS_PER_S);
    return buf_text(&n->events.body);
}

static void assert_site(struct nearby_stage *n, const char *query, const char *site,
                        enum nearby_by by, const char *what)
{
    assert_int_equal(ask(n, query), 200);
    if (strcmp(n->head.site, site) != 0 || n->head.by != by || strcmp(n->head.what, what) != 0)
        fail_msg("%s: \"%s\" by %s \"%s\"", query, n->head.site, nearby_by_word(n->head.by),
                 n->head.what);
    assert_string_equal(n->list.site, site);
}

/* ---- which site ------------------------------------------------------------------------------ */

static void the_place_decides_which_list_it_is(void **state)
{
    struct nearby_stage *n = *state;

    assert_site(n, "?address=10.1.3.4", "oslo", NEARBY_BY_SUBNET, "10.1.0.0/16");
    assert_site(n, "?address=10.1.7.4", "shop", NEARBY_BY_SUBNET, "10.1.7.0/24");
    assert_site(n, "?address=fe80::1,2001:db8:1::9", "oslo", NEARBY_BY_SUBNET, "2001:db8:1::/48");
    assert_site(n, "?address=10.1.7.4&gateway=52:54:00:00:00:09,52:54:00:00:00:01", "oslo",
                NEARBY_BY_GATEWAY, "52:54:00:00:00:01");
    assert_site(n, "?gateway=52-54-00-00-00-01&site=shop", "oslo", NEARBY_BY_GATEWAY,
                "52:54:00:00:00:01");
    assert_site(n, "?address=192.0.2.1&site=shop", "shop", NEARBY_BY_CONFIGURED, "");
    assert_site(n, "?site=country", "country", NEARBY_BY_CONFIGURED, "");
    assert_site(n, "?address=192.0.2.1", "", NEARBY_BY_NONE, "");
    assert_site(n, "", "", NEARBY_BY_NONE, "");
    assert_site(n, "?site=atlantis", "", NEARBY_BY_NONE, "");
}

static void a_question_that_cannot_be_read_is_refused_by_name(void **state)
{
    static const struct {
        const char *query, *says;
    } CASES[] = {
        {"?address=10.1.0", "address: IPv4 or IPv6"},
        {"?address=10.1.0.0/16", "address: IPv4 or IPv6"},
        {"?address=1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9,"
         "1.1.1.10,1.1.1.11,1.1.1.12,1.1.1.13",
         "address: "},
        {"?gateway=52:54:00:00:00", "gateway: MAC addresses"},
        {"?site=OSLO", "site: that is no site's name"},
        {"?after=-1", "after: it is the number"},
    };
    struct nearby_stage *n = *state;

    for (size_t i = 0; i < ALB_COUNT(CASES); i++) {
        assert_int_equal(ask(n, CASES[i].query), 400);
        stage_refused(n->s, 400, CASES[i].says);
    }
}

static void strangers_are_told_nothing(void **state)
{
    struct nearby_stage *n = *state;

    assert_int_equal(stage_ask(n->s, NOBODY, "GET", "/v1/nearby?site=oslo", NULL), 401);
}

/* ---- who is on it ---------------------------------------------------------------------------- */

static void assert_holder(const struct nearby *list, size_t index, const char *device,
                          const char *site, unsigned depth, unsigned order)
{
    assert_true(index < list->holder_count);
    const struct nearby_holder *h = &list->holders[index];
    assert_string_equal(h->device, device);
    assert_string_equal(h->site, site);
    assert_int_equal(h->depth, depth);
    assert_int_equal(h->order, order);
}

static void its_own_reflectors_come_first_then_those_above(void **state)
{
    struct nearby_stage *n = *state;

    assert_int_equal(ask(n, "?site=shop"), 200);
    assert_int_equal(n->list.holder_count, 4);
    assert_holder(&n->list, 0, "shop-1", "shop", 0, 0);
    assert_holder(&n->list, 1, "oslo-2", "oslo", 1, 0); /* the directory names it */
    assert_holder(&n->list, 2, "oslo-1", "oslo", 1, 1);
    assert_holder(&n->list, 3, "country-1", "country", 2, 0);
    assert_int_equal(n->list.above_count, 2);
    assert_string_equal(n->list.above[0], "oslo");
    assert_string_equal(n->list.above[1], "country");
    assert_int_equal(n->list.terms.use, SITE_USE_DIRECT);
    assert_int_equal(n->list.terms.max_sessions, 50); /* from above */
    assert_int_equal(n->list.holders[2].at_count, 1);
    assert_string_equal(n->list.holders[2].at[0].host, "10.1.0.5");
    assert_int_equal(n->list.holders[2].subnet_count, 1);
    assert_int_equal(n->list.holders[2].subnets[0].bits, 96 + 24);
    assert_int_equal(n->list.holders[2].subnets[0].address[15], 0);
    assert_int_equal(n->list.holders[0].at_count, 0);
}

static void who_is_at_no_known_site_hears_of_nobody(void **state)
{
    struct nearby_stage *n = *state;

    join_box(n, "stray", "");
    assert_int_equal(ask(n, ""), 200);
    assert_int_equal(n->list.holder_count, 0);
    assert_int_equal(n->list.terms.use, SITE_USE_PREFER);
}

static void without_a_directory_those_who_joined_at_a_site_are_its_list(void **state)
{
    struct nearby_stage *n = *state;

    put_sites(n, "{\"format\":1,\"sites\":[{\"name\":\"site1\"},{\"name\":\"oslo\"},"
                 "{\"name\":\"shop\"},{\"name\":\"country\"}]}");
    assert_int_equal(ask(n, "?site=oslo"), 200);
    assert_int_equal(n->list.holder_count, 2);
    assert_int_equal(n->list.above_count, 0);
}

static void a_reflector_that_is_not_believed_any_more_leaves_the_list(void **state)
{
    struct nearby_stage *n = *state;

    assert_int_equal(ask(n, "?site=oslo"), 200);
    const uint64_t before = n->list.number;
    must(hub_revoke_local(n->s->hub, "oslo-2"));
    assert_int_equal(ask(n, "?site=oslo"), 200);
    assert_int_equal(n->list.holder_count, 2);
    assert_holder(&n->list, 0, "oslo-1", "oslo", 0, 0);
    assert_true(n->list.number > before);
}

static void an_endpoint_that_claims_to_serve_is_on_no_list(void **state)
{
    struct nearby_stage *n = *state;

    announce(n, "laptop", "10.1.0.66:7443", "10.1.0.66", 96 + 24);
    announce(n, "unheard-of", "10.1.0.67:7443", "10.1.0.67", 96 + 24);
    assert_int_equal(ask(n, "?site=oslo"), 200);
    assert_int_equal(n->list.holder_count, 3);
    for (size_t i = 0; i < n->list.holder_count; i++)
        assert_string_not_equal(n->list.holders[i].device, "laptop");
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void who_has_the_newest_list_is_told_so_and_no_more(void **state)
{
    struct nearby_stage *n = *state;

    assert_int_equal(ask(n, "?site=oslo"), 200);
    AUTO_FREE char *again = xasprintf("?site=oslo&after=%llu", (unsigned long long)n->list.number);
    assert_int_equal(ask(n, again), 200);
    assert_int_equal(n->list_size, 0);
    assert_string_equal(n->head.site, "oslo");
    announce(n, "oslo-1", "10.1.0.6:7443", "10.1.0.6", 96 + 24);
    assert_int_equal(ask(n, again), 200); /* at once, not when the event is due */
    assert_int_equal(n->list_size > 0, true);
    assert_string_equal(n->list.holders[1].at[0].host, "10.1.0.6");
}

static void a_hub_that_begins_again_knows_where_they_were_and_counts_on(void **state)
{
    struct nearby_stage *n = *state;

    assert_int_equal(ask(n, "?site=oslo"), 200);
    const uint64_t before = n->list.number;
    stage_stop_hub(n->s);
    stage_start_hub(n->s);
    assert_int_equal(ask(n, "?site=oslo"), 200);
    assert_true(n->list.number > before);
    assert_holder(&n->list, 1, "oslo-1", "oslo", 0, 1);
    assert_string_equal(n->list.holders[1].at[0].host, "10.1.0.5");
    assert_int_equal(n->list.holders[1].subnet_count, 1);
}

static void a_hub_that_was_restored_goes_on_above_what_others_have(void **state)
{
    struct nearby_stage *n = *state;

    assert_int_equal(ask(n, "?site=oslo"), 200);
    const uint64_t theirs = n->list.number + 1000000;
    AUTO_FREE char *query = xasprintf("?site=oslo&after=%llu", (unsigned long long)theirs);
    assert_int_equal(ask(n, query), 200);
    assert_true(n->list.number > theirs);
    const uint64_t before = n->list.number;
    assert_int_equal(ask(n, "?site=oslo&after=9000000000000000000"), 200); /* no such list */
    assert_true(n->list_size > 0 && n->list.number <= before + 1);
}

static void a_list_that_is_a_day_old_is_signed_anew_when_asked_for(void **state)
{
    struct nearby_stage *n = *state;

    assert_int_equal(ask(n, "?site=oslo"), 200);
    const int64_t issued_s = n->list.issued_wall_s;
    assert_int_equal(n->list.expires_wall_s, issued_s + NEARBY_LIFETIME_S);
    world_run(n->s->world, world_now_ns(n->s->world) + 25 * 3600 * NS_PER_S);
    assert_int_equal(ask(n, "?site=oslo"), 200);
    assert_true(n->list.issued_wall_s >= issued_s + 24 * 3600);
}

/* ---- who is told ----------------------------------------------------------------------------- */

static void only_those_whose_list_is_another_are_named(void **state)
{
    struct nearby_stage *n = *state;

    world_run(n->s->world, world_now_ns(n->s->world) + 3 * NS_PER_S);
    assert_int_equal(ask(n, "?site=shop"), 200);
    assert_int_equal(ask(n, "?site=country"), 200);
    listen_for_events(n);
    announce(n, "oslo-1", "10.1.0.9:7443", "10.1.0.9", 96 + 24);
    assert_string_equal(events(n), "nearby shop\n"); /* nobody has that of oslo itself */
    announce(n, "oslo-1", "10.1.0.9:7443", "10.1.0.9", 96 + 24);
    assert_string_equal(events(n), ""); /* the same again */
    announce(n, "country-1", "10.9.0.9:7443", "10.9.0.9", 96 + 24);
    announce(n, "country-1", "10.9.0.8:7443", "10.9.0.8", 96 + 24);
    const char *line = events(n);
    assert_true(strcmp(line, "nearby shop country\n") == 0 ||
                strcmp(line, "nearby country shop\n") == 0);
}

static void a_change_that_is_taken_back_is_not_told(void **state)
{
    struct nearby_stage *n = *state;

    world_run(n->s->world, world_now_ns(n->s->world) + 3 * NS_PER_S);
    assert_int_equal(ask(n, "?site=oslo"), 200);
    listen_for_events(n);
    announce(n, "oslo-1", "10.1.0.9:7443", "10.1.0.9", 96 + 24);
    announce(n, "oslo-1", "10.1.0.5:7443", "10.1.0.5", 96 + 24);
    assert_string_equal(events(n), "");
}

static void who_asked_just_before_is_told_all_the_same(void **state)
{
    struct nearby_stage *n = *state;

    world_run(n->s->world, world_now_ns(n->s->world) + 3 * NS_PER_S);
    assert_int_equal(ask(n, "?site=oslo"), 200);
    listen_for_events(n);
    announce(n, "oslo-1", "10.1.0.9:7443", "10.1.0.9", 96 + 24);
    assert_int_equal(ask(n, "?site=oslo"), 200); /* somebody else, in between */
    assert_string_equal(events(n), "nearby oslo\n");
}

static void a_new_directory_is_told_to_all(void **state)
{
    struct nearby_stage *n = *state;

    listen_for_events(n);
    put_sites(n, SITES(COUNTRY "," OSLO "," SHOP ",{\"name\":\"bergen\"}"));
    const char *lines = events(n);
    assert_non_null(strstr(lines, "nearby\n"));
}

/* ---- no directory, and invented names ---- */

static int set_up_without_directory(void **state)
{
    struct nearby_stage *n = xalloc(sizeof *n);

    n->s = stage_ready();
    join_box(n, "oslo-1", "oslo");
    *state = n;
    return 0;
}

static void ask_for_inventions(struct nearby_stage *n, unsigned count)
{
    char query[64];

    for (unsigned i = 0; i < count; i++) {
        snprintf(query, sizeof query, "?site=invented-%u", i);
        assert_int_equal(ask(n, query), 200);
        assert_int_equal(n->list.holder_count, 0);
    }
}

static void invented_names_do_not_push_a_real_site_out(void **state)
{
    struct nearby_stage *n = *state;

    world_run(n->s->world, world_now_ns(n->s->world) + 3 * NS_PER_S);
    assert_int_equal(ask(n, "?site=oslo"), 200);
    const uint64_t before = n->list.number;
    ask_for_inventions(n, 600);
    assert_in_range(hub_nearby_lists(n->s->hub), 2, 260);
    assert_int_equal(ask(n, "?site=oslo"), 200);
    assert_int_equal(n->list.number, before); /* not signed again: it was there still */
    listen_for_events(n);
    announce(n, "oslo-1", "10.1.0.9:7443", "10.1.0.9", 96 + 24);
    assert_string_equal(events(n), "nearby oslo\n");
}

static void a_site_taken_for_an_invention_is_named_when_a_reflector_joins(void **state)
{
    struct nearby_stage *n = *state;

    world_run(n->s->world, world_now_ns(n->s->world) + 3 * NS_PER_S);
    assert_int_equal(ask(n, "?site=bergen"), 200);
    ask_for_inventions(n, 300);
    listen_for_events(n);
    join_box(n, "bergen-12", "bergen");
    assert_string_equal(events(n), "nearby bergen\n");
    assert_int_equal(ask(n, "?site=bergen"), 200);
    assert_int_equal(n->list.holder_count, 1);
}

static void an_invention_that_goes_while_all_are_looked_at_is_looked_at_no_more(void **state)
{
    struct nearby_stage *n = *state;

    ask_for_inventions(n, 256);
    for (unsigned i = 0; i < 20; i++) {
        join_box(n, i % 2 == 0 ? "moving" : "moving-2", i % 3 == 0 ? "oslo" : "bergen");
        hub_nearby_states(n->s->hub);
        world_run(n->s->world, world_now_ns(n->s->world) + NS_PER_S - NS_PER_MS);
        ask_for_inventions(n, 3);
        assert_int_equal(ask(n, i % 2 == 0 ? "?site=x" : "?site=y"), 200);
    }
    assert_in_range(hub_nearby_lists(n->s->hub), 200, 260);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_place_decides_which_list_it_is),
        TEST(a_question_that_cannot_be_read_is_refused_by_name),
        TEST(strangers_are_told_nothing),
        TEST(its_own_reflectors_come_first_then_those_above),
        TEST(who_is_at_no_known_site_hears_of_nobody),
        TEST(without_a_directory_those_who_joined_at_a_site_are_its_list),
        TEST(a_reflector_that_is_not_believed_any_more_leaves_the_list),
        TEST(an_endpoint_that_claims_to_serve_is_on_no_list),
        TEST(who_has_the_newest_list_is_told_so_and_no_more),
        TEST(a_hub_that_begins_again_knows_where_they_were_and_counts_on),
        TEST(a_hub_that_was_restored_goes_on_above_what_others_have),
        TEST(a_list_that_is_a_day_old_is_signed_anew_when_asked_for),
        TEST(only_those_whose_list_is_another_are_named),
        TEST(a_change_that_is_taken_back_is_not_told),
        TEST(who_asked_just_before_is_told_all_the_same),
        TEST(a_new_directory_is_told_to_all),
#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_without_directory, tear_down)
        TEST(invented_names_do_not_push_a_real_site_out),
        TEST(a_site_taken_for_an_invention_is_named_when_a_reflector_joins),
        TEST(an_invention_that_goes_while_all_are_looked_at_is_looked_at_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
