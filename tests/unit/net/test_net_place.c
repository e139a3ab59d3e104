/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_net_place.c – which addresses and gateways say where a machine is. */
#include "net/net_place.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "net/netlink_impl.h"

static void add_link(struct net_picture *p, uint32_t index, enum net_nature nature, bool is_up)
{
    struct net_link l = {.index = index, .nature = nature, .is_up = is_up, .has_carrier = true};

    if (nature == NET_VIRTUAL)
        memcpy(l.kind, "bridge", sizeof("bridge"));
    net_picture_put_link(p, &l);
}

static struct net_ip ip_of(const char *text)
{
    struct net_ip ip;

    assert_true(net_ip_parse(text, &ip));
    return ip;
}

static void add_address(struct net_picture *p, uint32_t link, const char *text, uint32_t flags)
{
    const struct net_address a = {.link = link, .ip = ip_of(text), .prefix = 24, .flags = flags};

    net_picture_put_address(p, &a);
}

static void add_route(struct net_picture *p, uint32_t link, const char *gateway, uint32_t metric,
                      uint32_t table)
{
    struct net_route r = {.link = link, .metric = metric, .table = table, .family_size = 4};

    if (gateway != NULL)
        r.gateway = ip_of(gateway);
    if (r.gateway.size != 0)
        r.family_size = r.gateway.size;
    net_picture_put_route(p, &r);
}

static void add_mac(struct net_picture *p, uint32_t link, const char *ip, uint8_t mac)
{
    const struct net_neighbour n = {.link = link, .ip = ip_of(ip), .mac = {2, mac}};

    net_picture_put_neighbour(p, &n);
}

static bool is_at(const struct net_place *place, size_t at, const char *text)
{
    const struct net_ip ip = ip_of(text);

    assert_true(at < place->address_count);
    return memcmp(place->addresses[at] + 16 - ip.size, ip.bytes, ip.size) == 0;
}

static void addresses_of_the_way_out_come_first_and_only_those_that_tell(void **state)
{
    struct net_picture p = {.links = NULL};
    struct net_place place;

    (void)state;
    add_link(&p, 1, NET_LOOPBACK, true);
    add_link(&p, 2, NET_WIRED, true);
    add_link(&p, 3, NET_WIRELESS, true);
    add_link(&p, 4, NET_VIRTUAL, true); /* of containers */
    add_link(&p, 5, NET_WIRED, false);
    add_address(&p, 1, "127.0.0.1", 0);
    add_address(&p, 2, "10.2.0.2", 0);
    add_address(&p, 2, "169.254.7.7", 0);
    add_address(&p, 3, "10.3.0.3", 0);
    add_address(&p, 3, "fe80::3", 0);
    add_address(&p, 3, "fd03::3", 0);
    add_address(&p, 3, "fd03::4", IFA_F_TENTATIVE);
    add_address(&p, 4, "172.17.0.1", 0);
    add_address(&p, 5, "10.5.0.5", 0);
    add_route(&p, 3, "10.3.0.1", 600, RT_TABLE_MAIN);
    net_place_of(&p, &place);
    assert_int_equal(place.address_count, 3);
    assert_true(is_at(&place, 0, "10.3.0.3"));
    assert_true(is_at(&place, 1, "fd03::3"));
    assert_true(is_at(&place, 2, "10.2.0.2"));
    assert_int_equal(place.link, 3);
    assert_int_equal(place.nature, NET_WIRELESS);
    assert_int_equal(place.gateway_count, 0); /* its MAC is not known */
    add_route(&p, 4, "172.17.0.9", 900, RT_TABLE_MAIN);
    net_place_of(&p, &place);
    assert_int_equal(place.address_count, 4); /* a bridge that leads out is a LAN */
    net_picture_release(&p);
}

static void gateways_are_in_the_order_of_their_routes_and_once_each(void **state)
{
    struct net_picture p = {.links = NULL};
    struct net_place place;

    (void)state;
    add_link(&p, 2, NET_WIRED, true);
    add_link(&p, 3, NET_WIRED, true);
    add_link(&p, 4, NET_WIRED, false);
    add_route(&p, 2, "10.2.0.1", 200, RT_TABLE_MAIN);
    add_route(&p, 2, "fd02::1", 200, RT_TABLE_MAIN); /* the same box */
    add_route(&p, 3, "10.3.0.1", 100, RT_TABLE_MAIN);
    add_route(&p, 4, "10.4.0.1", 50, RT_TABLE_MAIN); /* is down */
    add_mac(&p, 2, "10.2.0.1", 2);
    add_mac(&p, 2, "fd02::1", 2);
    add_mac(&p, 3, "10.3.0.1", 3);
    add_mac(&p, 3, "10.2.0.1", 9); /* on another link */
    add_mac(&p, 4, "10.4.0.1", 4);
    net_place_of(&p, &place);
    assert_int_equal(place.gateway_count, 2);
    assert_int_equal(place.gateways[0][1], 3);
    assert_int_equal(place.gateways[1][1], 2);
    assert_int_equal(place.link, 3);
    net_picture_release(&p);
}

static void a_vpn_is_seen_in_any_table_and_hides_no_gateway(void **state)
{
    struct net_picture p = {.links = NULL};
    struct net_place place, again;

    (void)state;
    add_link(&p, 2, NET_WIRED, true);
    add_link(&p, 7, NET_VPN, true);
    add_route(&p, 2, "10.2.0.1", 100, RT_TABLE_MAIN);
    add_mac(&p, 2, "10.2.0.1", 2);
    net_place_of(&p, &place);
    assert_false(place.has_vpn);
    add_route(&p, 7, NULL, 0, 51820);
    net_place_of(&p, &again);
    assert_true(again.has_vpn && again.link == 2);
    assert_false(net_place_is_same(&place, &again));
    add_route(&p, 7, NULL, 50, RT_TABLE_MAIN);
    net_place_of(&p, &place);
    assert_int_equal(place.nature, NET_VPN);
    assert_int_equal(place.gateways[0][1], 2);
    net_place_of(&p, &again);
    assert_true(net_place_is_same(&place, &again));
    net_picture_release(&p);
}

static void where_a_tunnel_ends_is_told_last_though_all_goes_into_it(void **state)
{
    struct net_picture p = {.links = NULL};
    struct net_place place;

    (void)state;
    add_link(&p, 2, NET_WIRED, true);
    add_link(&p, 7, NET_VPN, true);
    add_address(&p, 7, "10.1.0.200", 0);
    add_address(&p, 2, "10.2.0.2", 0);
    add_route(&p, 7, NULL, 0, RT_TABLE_MAIN);
    net_place_of(&p, &place);
    assert_int_equal(place.nature, NET_VPN);
    assert_int_equal(place.address_count, 2);
    assert_true(is_at(&place, 0, "10.2.0.2"));
    assert_true(is_at(&place, 1, "10.1.0.200"));
    net_picture_release(&p);
}

static void nowhere_is_a_place_too(void **state)
{
    const struct net_picture p = {.links = NULL};
    struct net_place place;

    (void)state;
    net_place_of(&p, &place);
    assert_int_equal(place.address_count + place.gateway_count + place.link, 0);
}

/* More than fits is dropped, the way out's kept. */
static void a_machine_of_many_addresses_names_the_first(void **state)
{
    struct net_picture p = {.links = NULL};
    struct net_place place;
    char text[NET_IP_TEXT_SIZE] = "10.0.0.1";

    (void)state;
    add_link(&p, 2, NET_WIRED, true);
    add_link(&p, 3, NET_WIRED, true);
    for (unsigned i = 0; i < 2 * NET_PLACE_ADDRESSES; i++) {
        text[3] = (char)('0' + i / 10);
        text[5] = (char)('0' + i % 10);
        add_address(&p, 2, text, 0);
    }
    add_address(&p, 3, "192.0.2.3", 0);
    add_route(&p, 3, "192.0.2.1", 0, RT_TABLE_MAIN);
    net_place_of(&p, &place);
    assert_int_equal(place.address_count, NET_PLACE_ADDRESSES);
    assert_true(is_at(&place, 0, "192.0.2.3"));
    net_picture_release(&p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_the_way_out_come_first_and_only_those_that_tell),
        cmocka_unit_test(gateways_are_in_the_order_of_their_routes_and_once_each),
        cmocka_unit_test(a_vpn_is_seen_in_any_table_and_hides_no_gateway),
        cmocka_unit_test(where_a_tunnel_ends_is_told_last_though_all_goes_into_it),
        cmocka_unit_test(nowhere_is_a_place_too),
        cmocka_unit_test(a_machine_of_many_addresses_names_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
