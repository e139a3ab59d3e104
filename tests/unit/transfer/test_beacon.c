/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_beacon.c – reflectors found on one's own link, on three links of a world. */
/* LINKS: sim_world */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "net/mdns_socket.h"
#include "sim/world_place.h"
#include "transfer/beacon_impl.h"

enum { PLACES = 80, LAPTOPS = 40 };

static const struct world_place BOX = {.address = "10.1.0.5", .prefix = 24};
static const struct world_place NEAR = {.address = "10.1.0.11", .prefix = 24};
static const struct world_place FAR = {.address = "10.2.0.11", .prefix = 24};
static const struct world_place OUT = {.address = NULL};

struct stage {
    struct world *world;
    struct loop *box, *laptop;
    struct beacon *beacon;
    struct beacon_browser *browser;
    struct mdns_socket *ear; /* hears what is said at the laptop's link; and is who forges */
    unsigned questions, answers, goodbyes, changes;
    uint64_t heard_ns;
    struct upstream_place places[PLACES];
};

static const struct digest PIN = {{1, 2, 3}}, OTHER_PIN = {{9}};

static void put(struct loop *node, const struct world_place *place)
{
    world_node_place(node, place);
}

/* What a netlink view would show just now. */
static void nothing(void *arg, unsigned parts)
{
    (void)arg;
    (void)parts;
}

static void run(struct stage *s, uint64_t ns)
{
    world_run(s->world, world_now_ns(s->world) + ns);
}

/* The picture of a node that was placed: its view's, once that has read it. */
static void show(struct stage *s, struct loop *node, struct net_picture const **out,
                 struct netlink_view **view)
{
    assert_false(alb_failed(netlink_view_open(node, nothing, NULL, view)));
    run(s, 300 * NS_PER_MS);
    *out = netlink_view_peek(*view);
}

static void beacon_sees(struct stage *s)
{
    const struct net_picture *now;
    struct netlink_view *view;

    show(s, s->box, &now, &view);
    beacon_follow(s->beacon, now);
    netlink_view_close(view);
}

static void browser_sees(struct stage *s)
{
    const struct net_picture *now;
    struct netlink_view *view;

    show(s, s->laptop, &now, &view);
    mdns_socket_follow(s->ear, now);
    beacon_browser_follow(s->browser, now);
    netlink_view_close(view);
}

static void on_ear(void *arg, const struct mdns_heard *heard)
{
    struct stage *s = arg;
    struct mdns_reader r;
    struct mdns_record record;

    assert_true(mdns_read_begin(&r, heard->bytes, heard->size));
    s->questions += !r.is_response;
    if (r.is_response && mdns_read_record(&r, &record)) {
        s->answers += record.ttl_s > 0;
        s->goodbyes += record.ttl_s == 0;
        s->heard_ns = world_now_ns(s->world);
    }
}

static void on_changed(void *arg)
{
    ((struct stage *)arg)->changes++;
}

static void open_browser(struct stage *s, const struct digest *pin)
{
    const struct beacon_browser_options o = {
        .loop = s->laptop, .pin = pin, .arg = s, .changed = on_changed};

    assert_false(alb_failed(beacon_browser_open(&o, &s->browser)));
}

static void open_beacon(struct stage *s, const char *at)
{
    const struct beacon_options o = {
        .loop = s->box, .pin = &PIN, .device = "branch-1-box", .address = at, .port = 7443};

    assert_false(alb_failed(beacon_open(&o, &s->beacon)));
}

static int make_stage(void **state)
{
    static struct stage s;

    s = (struct stage){.world = world_new(1)};
    s.box = world_add_node(s.world, "box", NULL);
    s.laptop = world_add_node(s.world, "laptop", NULL);
    put(s.box, &BOX);
    put(s.laptop, &NEAR);
    assert_false(alb_failed(mdns_socket_open(s.laptop, on_ear, &s, &s.ear)));
    open_beacon(&s, "0.0.0.0");
    open_browser(&s, &PIN);
    *state = &s;
    return 0;
}

static int drop_stage(void **state)
{
    struct stage *s = *state;

    s->beacon = beacon_close(s->beacon);
    s->browser = beacon_browser_close(s->browser);
    s->ear = mdns_socket_close(s->ear);
    world_free(s->world);
    return 0;
}

static size_t places(struct stage *s)
{
    return beacon_browser_places(s->browser, s->places, PLACES);
}

/* ---- what a beacon says ---------------------------------------------------------------------- */

static void a_box_says_twice_that_it_is_there_and_then_nothing(void **state)
{
    struct stage *s = *state;

    s->browser = beacon_browser_close(s->browser);
    open_browser(s, &PIN);
    const struct net_picture *now;
    struct netlink_view *view;
    show(s, s->laptop, &now, &view);
    mdns_socket_follow(s->ear, now);
    netlink_view_close(view);
    beacon_sees(s);
    run(s, NS_PER_S / 2);
    assert_int_equal(s->answers, 1);
    run(s, 3600 * NS_PER_S);
    assert_int_equal(s->answers, 2);
    assert_int_equal(s->questions, 0);
}

static void a_box_is_found_where_it_is(void **state)
{
    struct stage *s = *state;

    browser_sees(s);
    beacon_sees(s);
    run(s, NS_PER_S);
    assert_int_equal(places(s), 1);
    assert_string_equal(s->places[0].host, "10.1.0.5");
    assert_int_equal(s->places[0].port, 7443);
    assert_int_equal(s->changes, 1);
}

static void who_comes_later_asks_and_is_answered_within_two_tenths(void **state)
{
    struct stage *s = *state;

    beacon_sees(s);
    run(s, 100 * NS_PER_S);
    browser_sees(s);
    run(s, 320 * NS_PER_MS);
    assert_int_equal(places(s), 1);
}

static void nobody_elsewhere_hears_of_it(void **state)
{
    struct stage *s = *state;

    put(s->laptop, &FAR);
    browser_sees(s);
    beacon_sees(s);
    run(s, 100 * NS_PER_S);
    assert_int_equal(places(s), 0);
    assert_int_equal(s->answers, 0);
}

static void a_day_of_idling_keeps_the_place_and_costs_little(void **state)
{
    struct stage *s = *state;
    const uint64_t day_s = 86400;

    browser_sees(s);
    beacon_sees(s);
    for (unsigned i = 0; i < 24 * 60; i++) {
        run(s, 60 * NS_PER_S);
        assert_int_equal(places(s), 1);
    }
    assert_int_equal(s->changes, 1);
    assert_true(s->questions <= day_s / 80);
    assert_true(s->answers <= day_s / 80);
    assert_true(s->answers >= day_s / 110);
}

static void a_goodbye_is_believed_after_a_second(void **state)
{
    struct stage *s = *state;

    browser_sees(s);
    beacon_sees(s);
    run(s, 5 * NS_PER_S);
    s->beacon = beacon_close(s->beacon);
    run(s, NS_PER_S / 2);
    assert_int_equal(s->goodbyes, 1);
    assert_int_equal(places(s), 1);
    run(s, NS_PER_S);
    assert_int_equal(places(s), 0);
    assert_int_equal(s->changes, 2);
}

static void a_box_that_dies_is_forgotten_after_its_time(void **state)
{
    struct stage *s = *state;

    browser_sees(s);
    beacon_sees(s);
    run(s, 5 * NS_PER_S);
    put(s->box, &OUT);
    run(s, 110 * NS_PER_S);
    assert_int_equal(places(s), 1);
    run(s, 15 * NS_PER_S);
    assert_int_equal(places(s), 0);
}

static void a_closed_box_says_goodbye_and_answers_nobody_until_it_opens(void **state)
{
    struct stage *s = *state;

    browser_sees(s);
    beacon_sees(s);
    run(s, 5 * NS_PER_S);
    beacon_set_open(s->beacon, false);
    run(s, 2 * NS_PER_S);
    assert_int_equal(places(s), 0);
    beacon_browser_ask(s->browser);
    run(s, 20 * NS_PER_S);
    assert_int_equal(places(s), 0);
    beacon_set_open(s->beacon, true);
    run(s, NS_PER_S);
    assert_int_equal(places(s), 1);
}

static void a_box_of_another_organisation_is_no_place_but_for_who_knows_none(void **state)
{
    struct stage *s = *state;

    s->browser = beacon_browser_close(s->browser);
    open_browser(s, &OTHER_PIN);
    browser_sees(s);
    beacon_sees(s);
    run(s, NS_PER_S);
    assert_int_equal(places(s), 0);
    s->browser = beacon_browser_close(s->browser);
    open_browser(s, NULL);
    browser_sees(s);
    run(s, NS_PER_S);
    assert_int_equal(places(s), 1);
}

static void nothing_that_names_the_organisation_or_the_box_is_on_the_wire(void **state)
{
    struct stage *s = *state;
    char org[2 * BEACON_ORG_SIZE + 1], box[2 * BEACON_BOX_SIZE + 1], other[sizeof(box)];

    (void)s;
    beacon_org(&PIN, org);
    beacon_box(&PIN, "branch-1-box", box);
    beacon_box(&OTHER_PIN, "branch-1-box", other);
    assert_int_equal(strlen(org), 16);
    assert_int_equal(strlen(box), 12);
    assert_string_not_equal(box, other); /* so a name alone cannot be tried out */
    assert_memory_not_equal(org, box, 12);
}

/* ---- moving ---------------------------------------------------------------------------------- */

static void a_carried_laptop_forgets_and_finds(void **state)
{
    struct stage *s = *state;

    browser_sees(s);
    beacon_sees(s);
    run(s, 5 * NS_PER_S);
    put(s->laptop, &OUT);
    browser_sees(s);
    run(s, NS_PER_S);
    assert_int_equal(places(s), 0);
    put(s->laptop, &FAR);
    browser_sees(s);
    run(s, 10 * NS_PER_S);
    assert_int_equal(places(s), 0);
    put(s->laptop, &NEAR);
    browser_sees(s);
    run(s, NS_PER_S);
    assert_int_equal(places(s), 1);
}

/* Without the link's going away in between: another DHCP lease on the same cable. */
static void a_new_subnet_on_the_same_link_forgets_who_was_in_the_old_one(void **state)
{
    struct stage *s = *state;

    browser_sees(s);
    beacon_sees(s);
    run(s, 5 * NS_PER_S);
    put(s->laptop, &FAR);
    browser_sees(s);
    run(s, NS_PER_S);
    assert_int_equal(places(s), 0);
}

static void a_box_with_a_new_address_says_so_at_once(void **state)
{
    struct stage *s = *state;
    const struct world_place moved = {.address = "10.1.0.6", .prefix = 24};

    browser_sees(s);
    beacon_sees(s);
    run(s, 5 * NS_PER_S);
    put(s->box, &moved);
    beacon_sees(s);
    run(s, NS_PER_S);
    assert_int_equal(places(s), 2); /* the old one until its time is over */
    assert_string_equal(s->places[1].host, "10.1.0.6");
}

static void only_addresses_at_which_it_listens_are_told(void **state)
{
    static const struct {
        const char *listen;
        size_t places;
    } CASES[] = {{"::", 1}, {"10.1.0.5", 1}, {"10.1.0.6", 0}, {"127.0.0.1", 0}, {"::1", 0}};
    struct stage *s = *state;

    for (size_t i = 0; i < ALB_COUNT(CASES); i++) {
        s->beacon = beacon_close(s->beacon);
        open_beacon(s, CASES[i].listen);
        browser_sees(s);
        run(s, 2 * NS_PER_S);
        assert_int_equal(places(s), 0);
        beacon_sees(s);
        run(s, 2 * NS_PER_S);
        assert_int_equal(places(s), CASES[i].places);
    }
}

static void a_link_without_a_neighbourhood_is_left_alone(void **state)
{
    struct stage *s = *state;
    const struct world_place tunnel = {.address = "10.1.0.5", .prefix = 24, .nature = NET_VPN};

    put(s->box, &tunnel);
    browser_sees(s);
    beacon_sees(s);
    run(s, 10 * NS_PER_S);
    assert_int_equal(places(s), 0);
    assert_int_equal(s->answers, 0);
}

/* ---- strangers ------------------------------------------------------------------------------- */

static void forge(struct stage *s, const char *box, const char *address, uint16_t port,
                  uint32_t ttl_s)
{
    struct mdns_record r = {.type = MDNS_PTR, .ttl_s = ttl_s};
    struct mdns_writer w;
    char org[2 * BEACON_ORG_SIZE + 1], tag[64];
    uint8_t text[64];
    const char *strings[] = {"proto=1", tag};

    beacon_org(&PIN, org); /* he heard it on the link */
    (void)snprintf(tag, sizeof(tag), "org=%s", org);
    beacon_service(&r.name);
    assert_true(mdns_name_under(box, &r.name, &r.target));
    mdns_write_begin(&w, true);
    mdns_write_record(&w, &r);
    r.name = r.target;
    r.type = MDNS_SRV;
    r.port = port;
    assert_true(mdns_name_of("forged.local", &r.target));
    mdns_write_record(&w, &r);
    r.type = MDNS_TXT;
    r.text = text;
    r.text_size = mdns_text_join(strings, 2, text, sizeof(text));
    mdns_write_record(&w, &r);
    r.type = MDNS_A;
    r.name = r.target;
    assert_true(net_ip_parse(address, &r.ip));
    if (r.ip.size == 16)
        r.type = MDNS_AAAA;
    mdns_write_record(&w, &r);
    assert_true(mdns_write_end(&w));
    assert_false(alb_failed(mdns_socket_send(s->ear, WORLD_PLACE_LINK, &w)));
    run(s, 20 * NS_PER_MS);
}

static void addresses_beyond_the_link_are_no_places(void **state)
{
    struct stage *s = *state;

    browser_sees(s);
    forge(s, "aaaaaaaaaaaa", "192.0.2.1", 443, 120);
    forge(s, "aaaaaaaaaaaa", "10.2.0.1", 443, 120);
    forge(s, "aaaaaaaaaaaa", "127.0.0.1", 443, 120);
    forge(s, "aaaaaaaaaaaa", "2001:db8::1", 443, 120);
    forge(s, "aaaaaaaaaaaa", "10.1.0.77", 0, 120);
    run(s, NS_PER_S);
    assert_int_equal(places(s), 0);
    forge(s, "aaaaaaaaaaaa", "10.1.0.77", 443, 120);
    assert_int_equal(places(s), 1);
}

static void a_thousand_forged_boxes_do_not_keep_the_real_one_out(void **state)
{
    struct stage *s = *state;
    char box[16], address[16];

    browser_sees(s);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(box, sizeof(box), "%012u", i);
        (void)snprintf(address, sizeof(address), "10.1.0.%u", 20 + i % 200);
        forge(s, box, address, (uint16_t)(1000 + i), 120);
    }
    assert_int_equal(places(s), 8); /* of one sender */
    beacon_sees(s);
    run(s, 2 * NS_PER_S);
    assert_int_equal(places(s), 9);
    assert_string_equal(s->places[1].host, "10.1.0.5"); /* before anybody's second */
}

/* Boxes come and go a thousand times a minute: who wants to know hears of it once a minute. */
static void boxes_that_come_and_go_all_the_time_are_told_of_seldom(void **state)
{
    struct stage *s = *state;
    char box[16], address[16];

    browser_sees(s);
    beacon_sees(s);
    run(s, 5 * NS_PER_S);
    const unsigned before = s->changes;
    for (unsigned i = 0; i < 15000; i++) {
        (void)snprintf(box, sizeof(box), "%012u", i / 2);
        (void)snprintf(address, sizeof(address), "10.1.0.%u", 20 + i / 2 % 200);
        forge(s, box, address, (uint16_t)(1000 + i / 2), i % 2 == 0 ? 120 : 0);
    }
    print_message("told %u times in five minutes\n", s->changes - before);
    assert_in_range(s->changes - before, 1, 12);
    run(s, 300 * NS_PER_S);
    const unsigned rested = s->changes;
    forge(s, "aaaaaaaaaaaa", "10.1.0.77", 443, 120);
    run(s, 100 * NS_PER_MS);
    assert_int_equal(s->changes, rested + 1); /* and soon when it is quiet */
}

static void a_stranger_cannot_say_goodbye_for_somebody_else(void **state)
{
    struct stage *s = *state;
    char box[2 * BEACON_BOX_SIZE + 1];

    browser_sees(s);
    beacon_sees(s);
    run(s, 5 * NS_PER_S);
    beacon_box(&PIN, "branch-1-box", box);
    forge(s, box, "10.1.0.5", 7443, 0);
    run(s, 5 * NS_PER_S);
    assert_int_equal(places(s), 1);
}

static void however_often_it_is_asked_it_answers_once_a_second(void **state)
{
    struct stage *s = *state;
    struct mdns_name service;
    struct mdns_writer w;

    browser_sees(s);
    beacon_sees(s);
    run(s, 5 * NS_PER_S);
    beacon_service(&service);
    mdns_write_begin(&w, false);
    mdns_write_question(&w, &service, MDNS_PTR);
    const unsigned before = s->answers;
    for (unsigned i = 0; i < 1000; i++) {
        assert_false(alb_failed(mdns_socket_send(s->ear, WORLD_PLACE_LINK, &w)));
        run(s, 10 * NS_PER_MS);
    }
    assert_in_range(s->answers - before, 9, 11);
}

/* Two hundred packets each turn: what is more than the bound in a second is not even read. */
static void a_flood_is_dropped_unread(void **state)
{
    struct stage *s = *state;
    struct mdns_name other;
    struct mdns_writer w;

    browser_sees(s);
    run(s, 2 * NS_PER_S);
    assert_true(mdns_name_of("printer.local", &other));
    mdns_write_begin(&w, false);
    mdns_write_question(&w, &other, MDNS_A);
    s->questions = 0;
    for (unsigned i = 0; i < 2000; i++)
        assert_false(alb_failed(mdns_socket_send(s->ear, WORLD_PLACE_LINK, &w)));
    run(s, NS_PER_S / 2);
    assert_in_range(s->questions, 1, MDNS_HEARD_MOST);
}

static void forty_who_start_together_do_not_ask_forty_times(void **state)
{
    struct stage *s = *state;
    struct beacon_browser *others[LAPTOPS];
    char name[16], address[16];

    browser_sees(s);
    for (unsigned i = 0; i < LAPTOPS; i++) {
        (void)snprintf(name, sizeof(name), "laptop%u", i);
        (void)snprintf(address, sizeof(address), "10.1.0.%u", 20 + i);
        struct loop *node = world_add_node(s->world, name, NULL);
        put(node, &(struct world_place){.address = address, .prefix = 24});
        const struct beacon_browser_options o = {.loop = node, .pin = &PIN};
        assert_false(alb_failed(beacon_browser_open(&o, &others[i])));
        const struct net_picture *now;
        struct netlink_view *view;
        show(s, node, &now, &view);
        beacon_browser_follow(others[i], now);
        netlink_view_close(view);
    }
    beacon_sees(s);
    run(s, 100 * NS_PER_S);
    s->questions = s->answers = 0;
    run(s, 3600 * NS_PER_S);
    assert_true(s->questions <= 3 * 45); /* a round is some 80 s */
    assert_true(s->answers <= 2 * 45);
    for (unsigned i = 0; i < LAPTOPS; i++) {
        assert_int_equal(beacon_browser_places(others[i], s->places, PLACES), 1);
        beacon_browser_close(others[i]);
    }
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, make_stage, drop_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        A_TEST(a_box_says_twice_that_it_is_there_and_then_nothing),
        A_TEST(a_box_is_found_where_it_is),
        A_TEST(who_comes_later_asks_and_is_answered_within_two_tenths),
        A_TEST(nobody_elsewhere_hears_of_it),
        A_TEST(a_day_of_idling_keeps_the_place_and_costs_little),
        A_TEST(a_goodbye_is_believed_after_a_second),
        A_TEST(a_box_that_dies_is_forgotten_after_its_time),
        A_TEST(a_closed_box_says_goodbye_and_answers_nobody_until_it_opens),
        A_TEST(a_box_of_another_organisation_is_no_place_but_for_who_knows_none),
        A_TEST(nothing_that_names_the_organisation_or_the_box_is_on_the_wire),
        A_TEST(a_carried_laptop_forgets_and_finds),
        A_TEST(a_new_subnet_on_the_same_link_forgets_who_was_in_the_old_one),
        A_TEST(a_box_with_a_new_address_says_so_at_once),
        A_TEST(only_addresses_at_which_it_listens_are_told),
        A_TEST(a_link_without_a_neighbourhood_is_left_alone),
        A_TEST(addresses_beyond_the_link_are_no_places),
        A_TEST(a_thousand_forged_boxes_do_not_keep_the_real_one_out),
        A_TEST(boxes_that_come_and_go_all_the_time_are_told_of_seldom),
        A_TEST(a_stranger_cannot_say_goodbye_for_somebody_else),
        A_TEST(however_often_it_is_asked_it_answers_once_a_second),
        A_TEST(a_flood_is_dropped_unread),
        A_TEST(forty_who_start_together_do_not_ask_forty_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
