/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_nearby_book.c – one machine's list: which it takes and from whom, when it asks
 * again, and what it knows without a hub. */
/* LINKS: sim_world */
#include "support/liar.h"

#include "store/ram.h"
#include "transfer/nearby_book.h"

#define DAY_NS (24 * 3600 * NS_PER_S)
static const char MAC[] = "52:54:00:00:00:01";

struct book {
    struct liar_stage net; /* first */
    struct sign_secret root_key, hub_key, stranger;
    struct trust trust;
    struct catalogue *catalogue;
    struct authority *authority;
    struct upstream *upstream;
    struct nearby_book *book;
    struct nearby_shelf *shelf; /* NULL: the book's own */
    struct nearby_listener listener;
    unsigned changed, asked;
    struct nearby_head head; /* what the parent says */
    struct buf list;         /* … and signed; empty: nothing new */
    char query[512];         /* of the last question             */
    unsigned status;         /* 0: 200                           */
};

/* ---- the stage ------------------------------------------------------------------------------- */

static void seal_by(struct book *s, const char *site, uint64_t number, const char *box,
                    const struct sign_secret *key, const char *org)
{
    struct nearby_holder holder = {.at_count = 1};
    struct nearby n = {.number = number,
                       .issued_wall_s = loop_wall_s(s->net.hub),
                       .terms = {.use = SITE_USE_PREFER},
                       .holders = &holder,
                       .holder_count = 1};

    n.expires_wall_s = n.issued_wall_s + NEARBY_LIFETIME_S;
    snprintf(n.org, sizeof n.org, "%s", org);
    snprintf(n.site, sizeof n.site, "%s", site);
    snprintf(holder.device, sizeof holder.device, "%s", box);
    snprintf(holder.site, sizeof holder.site, "x");
    assert_int_equal(nearby_address_parse("10.1.0.5:7443", &holder.at[0]).code, ALB_OK);
    buf_clear(&s->list);
    assert_int_equal(nearby_encode(&n, key, &s->list).code, ALB_OK);
}

/* The parent's answer from now on: this site, with that box on its list. */
static void say(struct book *s, const char *site, enum nearby_by by, const char *what,
                uint64_t number, const char *box)
{
    s->head = (struct nearby_head){.by = by};
    snprintf(s->head.site, sizeof s->head.site, "%s", site);
    snprintf(s->head.what, sizeof s->head.what, "%s", what);
    seal_by(s, site, number, box, &s->hub_key, "acme");
}

static void answer(struct liar *l, struct http_exchange *x)
{
    struct book *s = l->arg;
    struct buf body;

    if (strcmp(http_exchange_path(x), "/v1/nearby") != 0) {
        http_answer(x, 200, "text/plain", "", 0);
        return;
    }
    s->asked++;
    snprintf(s->query, sizeof s->query, "%s", http_exchange_query(x));
    if (s->status != 0) {
        http_answer(x, s->status, "text/plain", "no", 2);
        return;
    }
    buf_init(&body, 1 << 20);
    assert_int_equal(nearby_head_write(&s->head, &body).code, ALB_OK);
    assert_int_equal(buf_append(&body, buf_peek(&s->list), buf_size(&s->list)).code, ALB_OK);
    http_answer(x, 200, "application/octet-stream", buf_peek(&body), buf_size(&body));
    buf_release(&body);
}

static void on_changed(struct nearby_listener *l)
{
    ALB_CONTAINER(l, struct book, listener)->changed++;
}

static void open_book(struct book *s)
{
    s->book = nearby_book_open(&(struct nearby_book_options){.loop = s->net.box,
                                                             .authority = s->authority,
                                                             .catalogue = s->catalogue,
                                                             .site = "home",
                                                             .roams = true,
                                                             .shelf = s->shelf});
    s->listener.changed = on_changed;
    nearby_book_listen(s->book, &s->listener);
}

static void make_trust(struct book *s)
{
    struct buf bytes;

    s->trust = (struct trust){.org = "acme", .version = 1, .threshold = 1, .root_count = 1};
    sign_public_of(&s->root_key, &s->trust.roots[0]);
    sign_public_of(&s->hub_key, &s->trust.hub_key);
    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(trust_encode(&s->trust, &s->root_key, 1, &bytes).code, ALB_OK);
    assert_int_equal(authority_add_trust(s->authority, buf_peek(&bytes), buf_size(&bytes)).code,
                     ALB_OK);
    buf_release(&bytes);
}

static int set_up(void **state)
{
    struct book *s = xalloc(sizeof *s);
    struct authority_options o = {.catalogue = NULL};

    liar_stage_open(&s->net);
    memset(s->root_key.seed, 1, sizeof s->root_key.seed);
    memset(s->hub_key.seed, 2, sizeof s->hub_key.seed);
    memset(s->stranger.seed, 3, sizeof s->stranger.seed);
    buf_init(&s->list, SIGNED_MAX);
    s->catalogue = ram_catalogue_new(&(struct ram_options){0});
    o.loop = s->net.box;
    o.catalogue = s->catalogue;
    assert_int_equal(authority_open(&o, &s->authority).code, ALB_OK);
    make_trust(s);
    open_book(s);
    say(s, "home", NEARBY_BY_CONFIGURED, "", 1, "box-home");
    *state = s;
    return 0;
}

static void close_book(struct book *s)
{
    nearby_book_unlisten(s->book, &s->listener);
    s->book = nearby_book_close(s->book);
}

static int tear_down(void **state)
{
    struct book *s = *state;

    close_book(s);
    authority_close(s->authority);
    if (s->upstream != NULL)
        upstream_free(s->upstream);
    liar_stage_close(&s->net);
    catalogue_close(s->catalogue);
    buf_release(&s->list);
    free(s);
    return 0;
}

static void run_ns(struct book *s, uint64_t ns)
{
    world_run(s->net.world, world_now_ns(s->net.world) + ns);
}

static void connect_box(struct book *s)
{
    s->net.liar.answer = answer;
    s->net.liar.arg = s;
    liar_listen(&s->net.liar);
    s->upstream = upstream_new(&(struct upstream_options){
        .loop = s->net.box, .places = {{"hub", LIAR_PORT}}, .place_count = 1});
    nearby_book_follow(s->book, s->upstream);
    run_ns(s, 2 * NS_PER_S);
}

static void disconnect_box(struct book *s)
{
    close_book(s);
    upstream_free(s->upstream);
    s->upstream = NULL;
    run_ns(s, NS_PER_S);
}

static void move_behind(struct book *s, const char *address, const char *mac, bool has_vpn)
{
    struct net_place place = {.address_count = 1, .has_vpn = has_vpn};
    struct site_mac bytes;

    assert_int_equal(site_address_parse(address, place.addresses[0]).code, ALB_OK);
    if (mac != NULL) {
        assert_int_equal(site_mac_parse(mac, &bytes).code, ALB_OK);
        memcpy(place.gateways[place.gateway_count++], bytes.bytes, sizeof bytes.bytes);
    }
    nearby_book_where(s->book, &place);
    run_ns(s, 2 * NS_PER_S);
}

static void move_to(struct book *s, const char *address, const char *mac)
{
    move_behind(s, address, mac, false);
}

static void assert_at(struct book *s, const char *site, const char *box)
{
    const struct nearby *list = nearby_book_peek(s->book);

    assert_string_equal(nearby_book_head(s->book)->site, site);
    if (box == NULL) {
        assert_null(list);
        return;
    }
    assert_non_null(list);
    assert_string_equal(list->site, site);
    assert_string_equal(list->holders[0].device, box);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void the_list_of_where_it_is_comes_when_the_line_does(void **state)
{
    struct book *s = *state;

    assert_at(s, "home", NULL);
    assert_true(nearby_book_is_stale(s->book));
    connect_box(s);
    assert_at(s, "home", "box-home");
    assert_false(nearby_book_is_stale(s->book));
    assert_string_equal(s->query, "site=home");
    assert_int_equal(s->changed, 1);
    assert_int_equal(s->asked, 1);
}

static void a_machine_that_is_carried_elsewhere_asks_at_once(void **state)
{
    struct book *s = *state;

    connect_box(s);
    say(s, "oslo", NEARBY_BY_GATEWAY, MAC, 2, "box-oslo");
    move_to(s, "10.1.0.9", MAC);
    assert_string_equal(s->query, "address=10.1.0.9&gateway=52:54:00:00:00:01&site=home&after=1");
    assert_at(s, "oslo", "box-oslo");
    assert_int_equal(nearby_book_head(s->book)->by, NEARBY_BY_GATEWAY);
    assert_int_equal(s->asked, 2);
    move_to(s, "10.1.0.9", MAC); /* the same place again */
    assert_int_equal(s->asked, 2);
}

static void behind_a_tunnel_the_site_of_the_certificate_does_not_count(void **state)
{
    struct book *s = *state;

    connect_box(s);
    assert_at(s, "home", "box-home");
    say(s, "", NEARBY_BY_NONE, "", 2, "box-nowhere");
    move_behind(s, "192.168.7.5", NULL, true);
    assert_string_equal(s->query, "address=192.168.7.5");
    assert_at(s, "", "box-nowhere");
    say(s, "home", NEARBY_BY_CONFIGURED, "", 3, "box-home");
    move_to(s, "192.168.7.5", NULL);
    assert_string_equal(s->query, "address=192.168.7.5&site=home&after=1");
    assert_at(s, "home", "box-home");
}

static void an_event_is_followed_within_ten_seconds_if_it_concerns_us(void **state)
{
    struct book *s = *state;

    connect_box(s);
    assert_true(nearby_book_hear(s->book, "nearby oslo homes"));
    run_ns(s, NEARBY_BOOK_JITTER_NS);
    assert_int_equal(s->asked, 1);
    say(s, "home", NEARBY_BY_CONFIGURED, "", 2, "box-new");
    assert_true(nearby_book_hear(s->book, "nearby oslo home"));
    assert_true(nearby_book_hear(s->book, "nearby"));
    run_ns(s, NEARBY_BOOK_JITTER_NS + NS_PER_S);
    assert_int_equal(s->asked, 2);
    assert_string_equal(s->query, "site=home&after=1");
    assert_at(s, "home", "box-new");
    assert_false(nearby_book_hear(s->book, "nearbyhome"));
    assert_false(nearby_book_hear(s->book, "policy"));
}

static void nobody_is_told_of_a_list_that_says_the_same(void **state)
{
    struct book *s = *state;

    connect_box(s);
    say(s, "home", NEARBY_BY_CONFIGURED, "", 2, "box-home");
    assert_true(nearby_book_hear(s->book, "nearby"));
    run_ns(s, NEARBY_BOOK_JITTER_NS + NS_PER_S);
    assert_int_equal(nearby_book_peek(s->book)->number, 2);
    assert_int_equal(s->changed, 1);
    buf_clear(&s->list); /* what we have is the newest */
    assert_true(nearby_book_hear(s->book, "nearby"));
    run_ns(s, NEARBY_BOOK_JITTER_NS + NS_PER_S);
    assert_int_equal(s->asked, 3);
    assert_int_equal(s->changed, 1);
}

/* Of a reflector whose child asked: its own question then finds nothing newer. */
static void a_list_that_came_to_the_shelf_by_another_question_is_told(void **state)
{
    struct book *s = *state;
    struct nearby_shelved *taken = NULL;
    bool is_another = false;

    close_book(s);
    struct nearby_shelf *shelf = nearby_shelf_open(&(struct nearby_shelf_options){
        .loop = s->net.box, .authority = s->authority, .catalogue = s->catalogue, .max_lists = 4});
    s->shelf = shelf;
    open_book(s);
    connect_box(s);
    const unsigned before = s->changed;
    say(s, "home", NEARBY_BY_CONFIGURED, "", 2, "box-new");
    assert_int_equal(
        nearby_shelf_take(shelf, buf_peek(&s->list), buf_size(&s->list), &taken, &is_another).code,
        ALB_OK);
    buf_clear(&s->list); /* the parent says that we have it */
    assert_true(nearby_book_hear(s->book, "nearby home"));
    run_ns(s, NEARBY_BOOK_JITTER_NS + NS_PER_S);
    assert_at(s, "home", "box-new");
    assert_int_equal(s->changed, before + 1);
    assert_true(nearby_book_hear(s->book, "nearby home"));
    run_ns(s, NEARBY_BOOK_JITTER_NS + NS_PER_S);
    assert_int_equal(s->changed, before + 1);
    close_book(s);
    s->shelf = NULL;
    nearby_shelf_close(shelf);
    open_book(s);
}

static void a_list_is_asked_for_anew_when_half_of_its_time_is_over(void **state)
{
    struct book *s = *state;

    connect_box(s);
    run_ns(s, 3 * DAY_NS);
    assert_int_equal(s->asked, 1);
    say(s, "home", NEARBY_BY_CONFIGURED, "", 2, "box-home");
    run_ns(s, DAY_NS);
    assert_int_equal(s->asked, 2);
    assert_int_equal(nearby_book_peek(s->book)->number, 2);
    run_ns(s, DAY_NS);
    assert_int_equal(s->asked, 2);
}

static void a_parent_that_cannot_answer_now_is_asked_again(void **state)
{
    struct book *s = *state;

    s->status = 503;
    connect_box(s);
    assert_int_equal(s->asked, 1);
    s->status = 0;
    run_ns(s, 11 * NS_PER_S);
    assert_int_equal(s->asked, 2);
    assert_at(s, "home", "box-home");
}

static void a_parent_that_knows_no_lists_is_left_alone(void **state)
{
    struct book *s = *state;

    s->status = 404;
    connect_box(s);
    run_ns(s, DAY_NS);
    assert_int_equal(s->asked, 1);
}

/* ---- believing ------------------------------------------------------------------------------- */

static void assert_stays(struct book *s)
{
    nearby_book_hear(s->book, "nearby");
    run_ns(s, NEARBY_BOOK_JITTER_NS + NS_PER_S);
    assert_at(s, "home", "box-home");
    assert_int_equal(nearby_book_peek(s->book)->number, 5);
}

static void what_is_older_or_another_s_is_not_taken(void **state)
{
    struct book *s = *state;

    say(s, "home", NEARBY_BY_CONFIGURED, "", 5, "box-home");
    connect_box(s);
    say(s, "home", NEARBY_BY_CONFIGURED, "", 4, "box-old");
    assert_stays(s);
    say(s, "home", NEARBY_BY_CONFIGURED, "", 5, "box-other");
    assert_stays(s);
    seal_by(s, "home", 9, "box-evil", &s->stranger, "acme");
    assert_stays(s);
    seal_by(s, "home", 9, "box-evil", &s->hub_key, "umbrella");
    assert_stays(s);
    seal_by(s, "elsewhere", 9, "box-far", &s->hub_key, "acme");
    assert_stays(s);
    buf_clear(&s->list);
    assert_int_equal(buf_append(&s->list, "garbage", 7).code, ALB_OK);
    assert_stays(s);
}

static void a_hub_that_lost_its_numbers_is_believed_once_the_list_is_over(void **state)
{
    struct book *s = *state;

    say(s, "home", NEARBY_BY_CONFIGURED, "", 5, "box-home");
    connect_box(s);
    run_ns(s, 8 * DAY_NS);
    assert_true(nearby_book_is_stale(s->book));
    assert_at(s, "home", "box-home"); /* a hint all the same */
    say(s, "home", NEARBY_BY_CONFIGURED, "", 2, "box-new");
    nearby_book_hear(s->book, "nearby");
    run_ns(s, NEARBY_BOOK_JITTER_NS + NS_PER_S);
    assert_at(s, "home", "box-new");
    assert_false(nearby_book_is_stale(s->book));
}

/* ---- without a hub --------------------------------------------------------------------------- */

static void without_a_hub_it_knows_the_places_it_has_been_at(void **state)
{
    struct book *s = *state;

    connect_box(s);
    say(s, "oslo", NEARBY_BY_GATEWAY, MAC, 2, "box-oslo");
    move_to(s, "10.1.0.9", MAC);
    say(s, "bergen", NEARBY_BY_SUBNET, "10.2.0.0/16", 3, "box-bergen");
    move_to(s, "10.2.3.4", "52:54:00:00:00:02");
    disconnect_box(s);
    open_book(s);
    assert_at(s, "home", "box-home");
    move_to(s, "192.168.7.7", MAC);
    assert_at(s, "oslo", "box-oslo");
    assert_true(nearby_book_is_stale(s->book));
    assert_string_equal(nearby_book_head(s->book)->what, MAC);
    move_to(s, "10.2.99.99", "52:54:00:00:00:02");
    assert_at(s, "bergen", "box-bergen");
    move_to(s, "172.16.0.1", NULL);
    assert_at(s, "home", "box-home");
    assert_int_equal(nearby_book_head(s->book)->by, NEARBY_BY_CONFIGURED);
}

static void a_gateway_that_was_given_to_another_site_is_learned_anew(void **state)
{
    struct book *s = *state;

    connect_box(s);
    say(s, "oslo", NEARBY_BY_GATEWAY, MAC, 2, "box-oslo");
    move_to(s, "10.1.0.9", MAC);
    say(s, "bergen", NEARBY_BY_SUBNET, "10.1.0.0/24", 3, "box-bergen");
    nearby_book_hear(s->book, "nearby");
    run_ns(s, NEARBY_BOOK_JITTER_NS + NS_PER_S);
    assert_at(s, "bergen", "box-bergen");
    disconnect_box(s);
    open_book(s);
    move_to(s, "10.1.0.9", MAC);
    assert_at(s, "bergen", "box-bergen");
}

static void lists_of_places_that_were_left_long_ago_are_not_kept(void **state)
{
    struct book *s = *state;
    char site[16], address[24];

    connect_box(s);
    for (unsigned i = 0; i < NEARBY_BOOK_LISTS + 3; i++) {
        snprintf(site, sizeof site, "site-%u", i);
        snprintf(address, sizeof address, "10.%u.0.1", i);
        say(s, site, NEARBY_BY_SUBNET, "10.0.0.0/8", 10 + i, "box");
        move_to(s, address, NULL);
        assert_at(s, site, "box");
    }
    disconnect_box(s);
    open_book(s);
    assert_at(s, "home", NULL);
}

static void a_reflector_that_is_cut_off_says_that_its_list_is_old(void **state)
{
    struct book *s = *state;

    s->head.is_stale = true;
    connect_box(s);
    assert_at(s, "home", "box-home");
    assert_true(nearby_book_is_stale(s->book));
    s->head.is_stale = false;
    nearby_book_hear(s->book, "nearby");
    run_ns(s, NEARBY_BOOK_JITTER_NS + NS_PER_S);
    assert_false(nearby_book_is_stale(s->book));
    assert_int_equal(s->changed, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_list_of_where_it_is_comes_when_the_line_does),
        TEST(a_machine_that_is_carried_elsewhere_asks_at_once),
        TEST(behind_a_tunnel_the_site_of_the_certificate_does_not_count),
        TEST(an_event_is_followed_within_ten_seconds_if_it_concerns_us),
        TEST(nobody_is_told_of_a_list_that_says_the_same),
        TEST(a_list_that_came_to_the_shelf_by_another_question_is_told),
        TEST(a_list_is_asked_for_anew_when_half_of_its_time_is_over),
        TEST(a_parent_that_cannot_answer_now_is_asked_again),
        TEST(a_parent_that_knows_no_lists_is_left_alone),
        TEST(what_is_older_or_another_s_is_not_taken),
        TEST(a_hub_that_lost_its_numbers_is_believed_once_the_list_is_over),
        TEST(without_a_hub_it_knows_the_places_it_has_been_at),
        TEST(a_gateway_that_was_given_to_another_site_is_learned_anew),
        TEST(lists_of_places_that_were_left_long_ago_are_not_kept),
        TEST(a_reflector_that_is_cut_off_says_that_its_list_is_old),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
