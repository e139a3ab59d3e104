/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_netlink_parse.c – rtnetlink's messages, made by hand: what is taken, what not. */
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <libmnl/libmnl.h>

#include "net/netlink_parse.h"

enum { SEQ = 7, PORT = 99, ROOM = 8192 };

/* A datagram being made: messages one after the other. */
struct script {
    _Alignas(8) char bytes[ROOM];
    size_t size;
    struct nlmsghdr *now;
    struct net_picture picture;
    struct netlink_answer answer;
};

static void *begin(struct script *s, uint16_t type, size_t head)
{
    s->now = mnl_nlmsg_put_header(s->bytes + s->size);
    s->now->nlmsg_type = type;
    s->now->nlmsg_flags = NLM_F_MULTI;
    s->now->nlmsg_seq = SEQ;
    s->now->nlmsg_pid = PORT;
    return head == 0 ? NULL : mnl_nlmsg_put_extra_header(s->now, head);
}

static void end(struct script *s)
{
    s->size += netlink_align(s->now->nlmsg_len);
    assert_true(s->size < ROOM);
}

static void add_ip(struct script *s, uint16_t type, const char *text)
{
    struct net_ip ip;

    assert_true(net_ip_parse(text, &ip));
    mnl_attr_put(s->now, type, ip.size, ip.bytes);
}

static void add_done(struct script *s, int32_t result)
{
    int32_t *value = begin(s, NLMSG_DONE, sizeof(*value));

    *value = result;
    end(s);
}

static enum netlink_end dump(struct script *s)
{
    s->answer = (struct netlink_answer){.seq = SEQ, .port = PORT, .into = &s->picture};
    netlink_parse_dump(&s->answer, s->bytes, s->size);
    return s->answer.end;
}

static int make_script(void **state)
{
    static struct script s;

    s = (struct script){.size = 0};
    *state = &s;
    return 0;
}

static int drop_script(void **state)
{
    struct script *s = *state;

    net_picture_release(&s->picture);
    return 0;
}

/* ---- links and addresses --------------------------------------------------------------------- */

static void begin_link(struct script *s, int index, unsigned flags, const char *name)
{
    struct ifinfomsg *head = begin(s, RTM_NEWLINK, sizeof(*head));

    head->ifi_index = index;
    head->ifi_flags = flags;
    head->ifi_type = 1;
    mnl_attr_put_strz(s->now, IFLA_IFNAME, name);
}

static void a_link_has_name_kind_macs_and_carrier(void **state)
{
    static const uint8_t MAC[6] = {2, 1, 2, 3, 4, 5}, PERMANENT[6] = {0, 1, 2, 3, 4, 5};
    struct script *s = *state;

    begin_link(s, 5, IFF_UP, "wg0");
    mnl_attr_put_u32(s->now, IFLA_MTU, 1420);
    mnl_attr_put(s->now, IFLA_ADDRESS, sizeof(MAC), MAC);
    mnl_attr_put(s->now, IFLA_PERM_ADDRESS, sizeof(PERMANENT), PERMANENT);
    mnl_attr_put_u8(s->now, IFLA_CARRIER, 0);
    mnl_attr_put_u8(s->now, IFLA_OPERSTATE, IF_OPER_DOWN);
    struct nlattr *info = mnl_attr_nest_start(s->now, IFLA_LINKINFO);
    mnl_attr_put_strz(s->now, IFLA_INFO_KIND, "wireguard");
    mnl_attr_nest_end(s->now, info);
    end(s);
    add_done(s, 0);
    assert_int_equal(dump(s), NETLINK_DONE);
    const struct net_link *l = net_picture_link(&s->picture, 5);
    assert_string_equal(l->name, "wg0");
    assert_string_equal(l->kind, "wireguard");
    assert_int_equal(l->mtu, 1420);
    assert_int_equal(l->nature, NET_VPN);
    assert_memory_equal(l->mac, MAC, sizeof(MAC));
    assert_memory_equal(l->permanent_mac, PERMANENT, sizeof(PERMANENT));
    assert_true(l->is_up && !l->has_carrier && !net_link_is_usable(l));
}

static void a_mac_of_another_size_is_none_and_a_long_name_is_cut(void **state)
{
    static const uint8_t INFINIBAND[20] = {0};
    struct script *s = *state;

    begin_link(s, 5, IFF_UP, "a-name-beyond-all-that-is-allowed");
    mnl_attr_put(s->now, IFLA_ADDRESS, sizeof(INFINIBAND), INFINIBAND);
    end(s);
    assert_int_equal(dump(s), NETLINK_MORE);
    assert_false(s->picture.links[0].has_mac);
    assert_string_equal(s->picture.links[0].name, "a-name-beyond-a");
}

static void a_bridges_word_about_its_port_is_no_link(void **state)
{
    struct script *s = *state;
    struct ifinfomsg *head = begin(s, RTM_NEWLINK, sizeof(*head));

    head->ifi_family = AF_BRIDGE;
    head->ifi_index = 5;
    end(s);
    (void)dump(s);
    assert_int_equal(s->picture.link_count, 0);
}

static void add_address(struct script *s, uint8_t family, uint8_t prefix, const char *local,
                        const char *address)
{
    struct ifaddrmsg *head = begin(s, RTM_NEWADDR, sizeof(*head));

    head->ifa_family = family;
    head->ifa_prefixlen = prefix;
    head->ifa_index = 3;
    if (local != NULL)
        add_ip(s, IFA_LOCAL, local);
    if (address != NULL)
        add_ip(s, IFA_ADDRESS, address);
    end(s);
}

static void addresses_of_both_families_and_of_two_ends(void **state)
{
    struct script *s = *state;
    struct net_ip near;

    add_address(s, AF_INET, 24, "10.1.2.3", "10.1.2.3");
    add_address(s, AF_INET, 32, "10.5.0.1", "10.5.0.2");
    add_address(s, AF_INET6, 64, NULL, "fd00::1");
    add_address(s, AF_INET, 33, "10.6.0.1", "10.6.0.1"); /* no such prefix */
    add_address(s, AF_INET, 24, "fd00::2", "fd00::2");   /* of another family */
    add_address(s, AF_INET, 24, NULL, NULL);
    (void)dump(s);
    assert_int_equal(s->picture.address_count, 3);
    assert_int_equal(s->picture.addresses[0].peer.size, 0);
    assert_int_equal(s->picture.addresses[1].peer.size, 4);
    assert_true(net_ip_parse("10.5.0.2", &near));
    assert_true(net_address_covers(&s->picture.addresses[1], &near));
    assert_true(net_ip_parse("fd00::ffff", &near));
    assert_true(net_address_covers(&s->picture.addresses[2], &near));
    assert_false(net_address_covers(&s->picture.addresses[0], &near));
}

/* ---- routes ---------------------------------------------------------------------------------- */

static struct rtmsg *begin_route(struct script *s, uint8_t family)
{
    struct rtmsg *head = begin(s, RTM_NEWROUTE, sizeof(*head));

    head->rtm_family = family;
    head->rtm_type = RTN_UNICAST;
    head->rtm_table = RT_TABLE_MAIN;
    return head;
}

static void default_routes_are_kept_best_first(void **state)
{
    struct script *s = *state;
    char text[NET_IP_TEXT_SIZE];

    (void)begin_route(s, AF_INET);
    add_ip(s, RTA_GATEWAY, "10.0.0.1");
    mnl_attr_put_u32(s->now, RTA_OIF, 2);
    mnl_attr_put_u32(s->now, RTA_PRIORITY, 600);
    end(s);
    (void)begin_route(s, AF_INET);
    mnl_attr_put_u32(s->now, RTA_OIF, 3);
    mnl_attr_put_u32(s->now, RTA_PRIORITY, 100);
    end(s);
    begin_route(s, AF_INET)->rtm_dst_len = 8; /* to a subnet */
    mnl_attr_put_u32(s->now, RTA_OIF, 2);
    end(s);
    begin_route(s, AF_INET)->rtm_type = RTN_UNREACHABLE;
    mnl_attr_put_u32(s->now, RTA_OIF, 1);
    end(s);
    (void)dump(s);
    assert_int_equal(s->picture.route_count, 2);
    assert_int_equal(s->picture.routes[0].link, 3);
    assert_int_equal(s->picture.routes[0].gateway.size, 0);
    assert_string_equal(net_ip_format(&s->picture.routes[1].gateway, text), "10.0.0.1");
}

static void a_route_of_many_hops_is_one_row_each(void **state)
{
    struct script *s = *state;
    char text[NET_IP_TEXT_SIZE];
    struct net_ip via;

    (void)begin_route(s, AF_INET);
    mnl_attr_put_u32(s->now, RTA_PRIORITY, 5);
    struct nlattr *hops = mnl_attr_nest_start(s->now, RTA_MULTIPATH);
    for (int link = 2; link < 4; link++) {
        struct rtnexthop *hop = mnl_nlmsg_get_payload_tail(s->now);

        *hop = (struct rtnexthop){.rtnh_ifindex = link};
        s->now->nlmsg_len += sizeof(*hop);
        if (link == 2) {
            add_ip(s, RTA_GATEWAY, "10.0.0.1");
        } else { /* IPv4 over an IPv6 neighbour */
            struct {
                uint16_t family;
                uint8_t bytes[16];
            } __attribute__((packed)) value = {.family = AF_INET6};
            assert_true(net_ip_parse("fe80::9", &via));
            memcpy(value.bytes, via.bytes, sizeof(value.bytes));
            mnl_attr_put(s->now, RTA_VIA, sizeof(value), &value);
        }
        hop->rtnh_len =
            (uint16_t)((const char *)mnl_nlmsg_get_payload_tail(s->now) - (const char *)hop);
    }
    mnl_attr_nest_end(s->now, hops);
    end(s);
    (void)dump(s);
    assert_int_equal(s->picture.route_count, 2);
    assert_string_equal(net_ip_format(&s->picture.routes[0].gateway, text), "10.0.0.1");
    assert_int_equal(s->picture.routes[1].link, 3);
    assert_int_equal(s->picture.routes[1].family_size, 4);
    assert_string_equal(net_ip_format(&s->picture.routes[1].gateway, text), "fe80::9");
}

static void more_than_is_kept_is_cut_and_says_so(void **state)
{
    struct script *s = *state;

    for (unsigned i = 0; i < NET_LINKS_MOST + 1; i++) {
        s->size = 0;
        begin_link(s, (int)i + 1, IFF_UP, "x");
        end(s);
        assert_int_equal(s->picture.cut, 0);
        (void)dump(s);
    }
    assert_int_equal(s->picture.cut, NET_LINKS);
    assert_int_equal(s->picture.link_count, NET_LINKS_MOST);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void what_others_asked_is_passed_over(void **state)
{
    struct script *s = *state;

    begin_link(s, 5, IFF_UP, "x");
    s->now->nlmsg_seq = SEQ - 1;
    end(s);
    begin_link(s, 6, IFF_UP, "y");
    s->now->nlmsg_pid = PORT + 1;
    end(s);
    assert_int_equal(dump(s), NETLINK_MORE);
    assert_int_equal(s->picture.link_count, 0);
}

static void a_dump_that_was_interrupted_says_so(void **state)
{
    struct script *s = *state;

    begin_link(s, 5, IFF_UP, "x");
    s->now->nlmsg_flags |= NLM_F_DUMP_INTR;
    end(s);
    add_done(s, 0);
    assert_int_equal(dump(s), NETLINK_INTERRUPTED);
}

static void a_dump_that_broke_off_is_refused(void **state)
{
    struct script *s = *state;

    add_done(s, -ENOMEM);
    assert_int_equal(dump(s), NETLINK_REFUSED);
    assert_int_equal(s->answer.error, ENOMEM);
}

/* Whether the request's own bytes stand between depends on a flag. */
static void the_kernels_own_words_are_kept(void **state)
{
    struct script *s = *state;

    for (unsigned capped = 0; capped < 2; capped++) {
        s->size = 0;
        struct nlmsgerr *head = begin(s, NLMSG_ERROR, sizeof(*head));
        head->error = -EINVAL;
        head->msg.nlmsg_len = sizeof(head->msg) + 12;
        s->now->nlmsg_flags = NLM_F_ACK_TLVS | (capped != 0 ? NLM_F_CAPPED : 0);
        if (capped == 0)
            (void)mnl_nlmsg_put_extra_header(s->now, 12);
        mnl_attr_put_strz(s->now, NLMSGERR_ATTR_MSG, "Invalid header for dump request");
        end(s);
        assert_int_equal(dump(s), NETLINK_REFUSED);
        assert_int_equal(s->answer.error, EINVAL);
        assert_string_equal(s->answer.why, "Invalid header for dump request");
    }
}

static void a_way_that_leads_nowhere_is_refused(void **state)
{
    struct script *s = *state;

    begin_route(s, AF_INET6)->rtm_type = RTN_UNREACHABLE;
    mnl_attr_put_u32(s->now, RTA_OIF, 1);
    end(s);
    s->answer = (struct netlink_answer){.seq = SEQ, .port = PORT};
    netlink_parse_reach(&s->answer, s->bytes, s->size);
    assert_int_equal(s->answer.end, NETLINK_REFUSED);
    assert_int_equal(s->answer.error, ENETUNREACH);
}

/* ---- events ---------------------------------------------------------------------------------- */

static unsigned event(struct script *s)
{
    const unsigned parts = netlink_parse_events(&s->picture, s->bytes, s->size);

    s->size = 0;
    return parts;
}

static void add_neighbour(struct script *s, uint16_t type, uint16_t neighbour_state,
                          const uint8_t *mac)
{
    struct ndmsg *head = begin(s, type, sizeof(*head));

    head->ndm_family = AF_INET;
    head->ndm_ifindex = 2;
    head->ndm_state = neighbour_state;
    add_ip(s, NDA_DST, "10.0.0.1");
    if (mac != NULL)
        mnl_attr_put(s->now, NDA_LLADDR, NET_MAC_SIZE, mac);
    end(s);
}

static void a_neighbour_is_news_when_its_mac_is(void **state)
{
    static const uint8_t ONE[6] = {2, 1}, TWO[6] = {2, 2};
    struct script *s = *state;

    add_neighbour(s, RTM_NEWNEIGH, NUD_INCOMPLETE, NULL);
    assert_int_equal(event(s), 0);
    add_neighbour(s, RTM_NEWNEIGH, NUD_REACHABLE, ONE);
    assert_int_equal(event(s), NET_NEIGHBOURS);
    add_neighbour(s, RTM_NEWNEIGH, NUD_STALE, ONE);
    assert_int_equal(event(s), 0);
    assert_int_equal(s->picture.neighbours[0].state, NUD_STALE);
    add_neighbour(s, RTM_NEWNEIGH, NUD_REACHABLE, TWO);
    assert_int_equal(event(s), NET_NEIGHBOURS);
    add_neighbour(s, RTM_NEWNEIGH, NUD_FAILED, NULL);
    assert_int_equal(event(s), NET_NEIGHBOURS);
    assert_int_equal(s->picture.neighbour_count, 0);
    add_neighbour(s, RTM_DELNEIGH, NUD_FAILED, NULL);
    assert_int_equal(event(s), 0);
}

static void a_route_to_one_subnet_stirs_nothing(void **state)
{
    struct script *s = *state;

    begin_route(s, AF_INET)->rtm_dst_len = 24;
    add_ip(s, RTA_DST, "10.9.0.0");
    end(s);
    assert_int_equal(event(s), 0);
    (void)begin_route(s, AF_INET);
    mnl_attr_put_u32(s->now, RTA_OIF, 2);
    end(s);
    assert_int_equal(event(s), NET_ROUTES);
}

static void a_link_that_goes_stirs_what_hung_on_it(void **state)
{
    struct script *s = *state;
    struct ifinfomsg *head = begin(s, RTM_DELLINK, sizeof(*head));

    head->ifi_index = 2;
    end(s);
    assert_int_equal(event(s), NET_LINKS | NET_ADDRESSES | NET_ROUTES);
}

static void a_message_that_is_cut_short_is_passed_over(void **state)
{
    struct script *s = *state;

    begin_link(s, 5, IFF_UP, "x");
    end(s);
    const size_t whole = s->size;
    for (size_t size = 0; size < whole; size++) {
        s->answer = (struct netlink_answer){.seq = SEQ, .port = PORT, .into = &s->picture};
        netlink_parse_dump(&s->answer, s->bytes, size);
        assert_int_equal(s->picture.link_count, 0);
    }
}

static void a_length_beyond_two_gigabytes_is_not_believed(void **state)
{
    struct script *s = *state;

    (void)begin_route(s, AF_INET);
    s->now->nlmsg_len = UINT32_C(0x80000010);
    s->size = NLMSG_HDRLEN; /* the head of a route is not there */
    assert_int_equal(dump(s), NETLINK_MORE);
    s->size = NLMSG_HDRLEN;
    assert_int_equal(event(s), 0);
}

#define SCRIPTED(test) cmocka_unit_test_setup_teardown(test, make_script, drop_script)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SCRIPTED(a_link_has_name_kind_macs_and_carrier),
        SCRIPTED(a_mac_of_another_size_is_none_and_a_long_name_is_cut),
        SCRIPTED(a_bridges_word_about_its_port_is_no_link),
        SCRIPTED(addresses_of_both_families_and_of_two_ends),
        SCRIPTED(default_routes_are_kept_best_first),
        SCRIPTED(a_route_of_many_hops_is_one_row_each),
        SCRIPTED(more_than_is_kept_is_cut_and_says_so),
        SCRIPTED(what_others_asked_is_passed_over),
        SCRIPTED(a_dump_that_was_interrupted_says_so),
        SCRIPTED(a_dump_that_broke_off_is_refused),
        SCRIPTED(the_kernels_own_words_are_kept),
        SCRIPTED(a_way_that_leads_nowhere_is_refused),
        SCRIPTED(a_neighbour_is_news_when_its_mac_is),
        SCRIPTED(a_route_to_one_subnet_stirs_nothing),
        SCRIPTED(a_link_that_goes_stirs_what_hung_on_it),
        SCRIPTED(a_length_beyond_two_gigabytes_is_not_believed),
        SCRIPTED(a_message_that_is_cut_short_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
