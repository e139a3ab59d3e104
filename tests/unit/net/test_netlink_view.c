/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_netlink_view.c – what is told of a place, when, and what is not. */
/* LINKS: sim_world */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/units.h"
#include "net/netlink_impl.h"
#include "sim/world_place.h"

enum { CALLS_MOST = 16 };

struct stage {
    struct world *world;
    struct loop *laptop;
    struct netlink_view *view;
    unsigned calls;
    unsigned parts[CALLS_MOST];
    uint64_t at_ns[CALLS_MOST];
    bool closes;
};

static const struct world_place HOME = {
    .address = "10.1.0.11", .prefix = 24, .gateway = "10.1.0.1", .gateway_mac = {2, 1}};
static const struct world_place BRANCH = {
    .address = "10.2.0.11", .prefix = 24, .gateway = "10.2.0.1", .gateway_mac = {2, 2}};
static const struct world_place NO_CABLE = {.address = NULL};

static void on_changed(void *arg, unsigned parts)
{
    struct stage *s = arg;

    assert_true(s->calls < CALLS_MOST);
    s->parts[s->calls] = parts;
    s->at_ns[s->calls++] = world_now_ns(s->world);
    if (s->closes)
        s->view = netlink_view_close(s->view);
}

static int make_stage(void **state)
{
    static struct stage s;

    s = (struct stage){.world = world_new(1)};
    s.laptop = world_add_node(s.world, "laptop", NULL);
    world_node_place(s.laptop, &HOME);
    assert_false(alb_failed(netlink_view_open(s.laptop, on_changed, &s, &s.view)));
    *state = &s;
    return 0;
}

static int drop_stage(void **state)
{
    struct stage *s = *state;

    s->view = netlink_view_close(s->view);
    world_free(s->world);
    return 0;
}

static void run(struct stage *s, uint64_t ns)
{
    world_run(s->world, world_now_ns(s->world) + ns);
}

static const struct net_link *lan0(const struct stage *s)
{
    return net_picture_link(netlink_view_peek(s->view), WORLD_PLACE_LINK);
}

static void the_first_call_says_all(void **state)
{
    struct stage *s = *state;

    assert_int_equal(netlink_view_peek(s->view)->link_count, 0);
    run(s, NS_PER_S);
    assert_int_equal(s->calls, 1);
    assert_int_equal(s->parts[0], NET_ALL);
    assert_string_equal(lan0(s)->name, "lan0");
    assert_int_equal(netlink_view_peek(s->view)->route_count, 1);
}

static void a_carried_laptop_is_told_once_and_within_a_second(void **state)
{
    struct stage *s = *state;
    char text[NET_IP_TEXT_SIZE];

    run(s, NS_PER_S);
    world_node_place(s->laptop, &BRANCH);
    const uint64_t moved_ns = world_now_ns(s->world);
    run(s, 10 * NS_PER_S);
    assert_int_equal(s->calls, 2);
    assert_int_equal(s->parts[1], NET_ADDRESSES | NET_ROUTES | NET_NEIGHBOURS | NET_GATEWAYS);
    assert_true(s->at_ns[1] - moved_ns <= NS_PER_S);
    assert_string_equal(net_ip_format(&netlink_view_peek(s->view)->addresses[0].ip, text),
                        "10.2.0.11");
}

static void a_burst_of_changes_is_one_call(void **state)
{
    struct stage *s = *state;

    run(s, NS_PER_S);
    for (unsigned i = 0; i < 100; i++) {
        world_node_place(s->laptop, i % 2 == 0 ? &BRANCH : &HOME);
        run(s, NS_PER_MS);
    }
    world_node_place(s->laptop, &BRANCH);
    run(s, NS_PER_S);
    assert_int_equal(s->calls, 2);
}

static void changes_without_end_are_told_four_times_a_second_at_most(void **state)
{
    struct stage *s = *state;

    run(s, NS_PER_S);
    for (unsigned i = 0; i < 200; i++) {
        world_node_place(s->laptop, i % 2 == 0 ? &BRANCH : &HOME);
        run(s, 10 * NS_PER_MS);
    }
    assert_true(s->calls >= 4 && s->calls <= 9);
}

static void what_is_as_before_after_all_is_not_told(void **state)
{
    struct stage *s = *state;

    run(s, NS_PER_S);
    world_node_place(s->laptop, &BRANCH);
    world_node_place(s->laptop, &HOME);
    run(s, NS_PER_S);
    assert_int_equal(s->calls, 1);
}

/* The cable's addresses stay, as they do with the kernel. */
static void set_carrier(struct stage *s, bool is_there)
{
    struct net_picture p = {.links = NULL};

    net_picture_copy(&p, netlink_view_peek(s->view));
    p.links[0].has_carrier = is_there;
    world_node_set_picture(s->laptop, &p);
    net_picture_release(&p);
}

static void a_carrier_that_flaps_is_not_told(void **state)
{
    struct stage *s = *state;

    run(s, NS_PER_S);
    for (unsigned i = 0; i < 5; i++) {
        set_carrier(s, false);
        run(s, 1500 * NS_PER_MS);
        assert_false(lan0(s)->has_carrier);
        assert_true(net_link_is_usable(lan0(s)));
        set_carrier(s, true);
        run(s, 1500 * NS_PER_MS);
    }
    assert_int_equal(s->calls, 1);
}

static void a_carrier_lost_for_two_seconds_is_told_then(void **state)
{
    struct stage *s = *state;

    run(s, NS_PER_S);
    set_carrier(s, false);
    const uint64_t lost_ns = world_now_ns(s->world);
    run(s, 10 * NS_PER_S);
    assert_int_equal(s->calls, 2);
    assert_int_equal(s->parts[1], NET_LINKS);
    assert_true(s->at_ns[1] - lost_ns >= 2 * NS_PER_S);
    assert_true(s->at_ns[1] - lost_ns <= 3 * NS_PER_S);
    assert_false(net_link_is_usable(lan0(s)));
    set_carrier(s, true);
    run(s, NS_PER_S);
    assert_int_equal(s->calls, 3);
    assert_true(net_link_is_usable(lan0(s)));
}

static void a_lost_cable_takes_its_addresses_at_once_and_its_link_later(void **state)
{
    struct stage *s = *state;

    run(s, NS_PER_S);
    world_node_place(s->laptop, &NO_CABLE);
    run(s, NS_PER_S);
    assert_int_equal(s->calls, 2);
    assert_int_equal(s->parts[1] & NET_LINKS, 0);
    run(s, 2 * NS_PER_S);
    assert_int_equal(s->calls, 3);
    assert_int_equal(s->parts[2], NET_LINKS);
}

static void a_gateway_that_becomes_known_is_told(void **state)
{
    struct stage *s = *state;
    struct world_place strange = HOME;
    uint8_t mac[NET_MAC_SIZE];

    memset(strange.gateway_mac, 0, sizeof(strange.gateway_mac));
    world_node_place(s->laptop, &strange);
    run(s, NS_PER_S);
    const struct net_picture *p = netlink_view_peek(s->view);
    assert_false(net_picture_gateway_mac(p, &p->routes[0], mac));
    world_node_place(s->laptop, &HOME);
    run(s, NS_PER_S);
    p = netlink_view_peek(s->view);
    assert_true((s->parts[s->calls - 1] & NET_GATEWAYS) != 0);
    assert_true(net_picture_gateway_mac(p, &p->routes[0], mac));
    assert_memory_equal(mac, HOME.gateway_mac, sizeof(mac));
}

static void where_nothing_changes_nothing_happens(void **state)
{
    struct stage *s = *state;

    run(s, 10 * NS_PER_S);
    const uint64_t events = world_events(s->world);
    run(s, 3600 * NS_PER_S);
    assert_int_equal(world_events(s->world), events);
    assert_int_equal(s->calls, 1);
}

static void a_view_may_be_closed_where_it_tells(void **state)
{
    struct stage *s = *state;

    s->closes = true;
    run(s, NS_PER_S);
    assert_null(s->view);
    world_node_place(s->laptop, &BRANCH);
    run(s, NS_PER_S);
    assert_int_equal(s->calls, 1);
}

static void a_read_that_takes_long_is_followed_by_a_rest(void **state)
{
    struct stage *s = *state;
    struct net_picture none = {.links = NULL};

    run(s, NS_PER_S);
    s->view->read = NET_ROUTES;
    netlink_view_take(s->view, NET_ROUTES, NS_PER_S, &none);
    const unsigned calls = s->calls;
    world_node_place(s->laptop, &BRANCH);
    run(s, 8 * NS_PER_S);
    assert_int_equal(s->calls, calls);
    run(s, 2 * NS_PER_S);
    assert_int_equal(s->calls, calls + 1);
}

static void a_neighbour_that_goes_from_a_cut_picture_makes_room_for_another(void **state)
{
    struct stage *s = *state;
    struct net_ip gateway;

    run(s, NS_PER_S);
    s->view->now.cut = NET_NEIGHBOURS;
    assert_true(net_ip_parse(HOME.gateway, &gateway));
    assert_true(net_picture_remove_neighbour(&s->view->now, WORLD_PLACE_LINK, &gateway));
    netlink_view_neighbours_moved(s->view);
    run(s, NS_PER_S);
    assert_int_equal(netlink_view_peek(s->view)->neighbour_count, 1);
    assert_int_equal(netlink_view_peek(s->view)->cut, 0);
}

static void what_was_cut_is_no_longer_once_all_of_it_was_read(void **state)
{
    struct stage *s = *state;
    struct net_picture none = {.links = NULL};

    run(s, NS_PER_S);
    s->view->now.cut = NET_ROUTES | NET_LINKS;
    s->view->read = NET_ROUTES;
    netlink_view_take(s->view, NET_ROUTES, 0, &none);
    assert_int_equal(netlink_view_peek(s->view)->cut, NET_LINKS);
}

static struct net_way way_to(struct stage *s, const char *text)
{
    struct net_way way = {.link = 0};
    struct net_ip to;

    assert_true(net_ip_parse(text, &to));
    assert_false(alb_failed(netlink_view_reach(s->view, &to, &way)));
    return way;
}

static void a_simulated_way_goes_by_subnet_then_gateway(void **state)
{
    struct stage *s = *state;
    char text[NET_IP_TEXT_SIZE];
    struct net_ip to;
    struct net_way way;

    way = way_to(s, "10.1.0.200");
    assert_int_equal(way.gateway.size, 0);
    way = way_to(s, "192.0.2.1");
    assert_string_equal(net_ip_format(&way.gateway, text), "10.1.0.1");
    assert_string_equal(net_ip_format(&way.source, text), "10.1.0.11");
    assert_true(way_to(s, "10.1.0.11").is_own);
    assert_true(net_ip_parse("2001:db8::1", &to));
    assert_int_equal(netlink_view_reach(s->view, &to, &way).code, ALB_NOT_FOUND);
}

static void on_frame(void *arg, struct loop *from, const struct raw_frame *f)
{
    const struct stage *s = arg;

    assert_ptr_equal(from, s->laptop);
    check_expected(f->size);
}

static void a_simulated_frame_needs_a_link_that_works(void **state)
{
    struct stage *s = *state;
    const struct raw_frame f = {
        .link = WORLD_PLACE_LINK, .way = RAW_UDP, .port = 9, .bytes = "hi", .size = 2};
    struct raw_frame other = f;

    world_on_frame(s->world, on_frame, s);
    expect_value(on_frame, f->size, 2);
    assert_int_equal(raw_frame_send(s->laptop, &f).code, ALB_OK);
    other.link = 77;
    assert_int_equal(raw_frame_send(s->laptop, &other).code, ALB_NOT_FOUND);
    other.link = 0;
    assert_int_equal(raw_frame_send(s->laptop, &other).code, ALB_NOT_FOUND);
    world_node_place(s->laptop, &NO_CABLE);
    assert_int_equal(raw_frame_send(s->laptop, &f).code, ALB_IO);
}

#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, make_stage, drop_stage)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_STAGE(the_first_call_says_all),
        ON_STAGE(a_carried_laptop_is_told_once_and_within_a_second),
        ON_STAGE(a_burst_of_changes_is_one_call),
        ON_STAGE(changes_without_end_are_told_four_times_a_second_at_most),
        ON_STAGE(what_is_as_before_after_all_is_not_told),
        ON_STAGE(a_carrier_that_flaps_is_not_told),
        ON_STAGE(a_carrier_lost_for_two_seconds_is_told_then),
        ON_STAGE(a_lost_cable_takes_its_addresses_at_once_and_its_link_later),
        ON_STAGE(a_gateway_that_becomes_known_is_told),
        ON_STAGE(where_nothing_changes_nothing_happens),
        ON_STAGE(a_view_may_be_closed_where_it_tells),
        ON_STAGE(a_read_that_takes_long_is_followed_by_a_rest),
        ON_STAGE(a_neighbour_that_goes_from_a_cut_picture_makes_room_for_another),
        ON_STAGE(what_was_cut_is_no_longer_once_all_of_it_was_read),
        ON_STAGE(a_simulated_way_goes_by_subnet_then_gateway),
        ON_STAGE(a_simulated_frame_needs_a_link_that_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
