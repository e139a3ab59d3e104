/* SPDX-License-Identifier: Apache-2.0 */
/* net/netlink_parse.c – rtnetlink's messages as rows of a picture. */
#include "net/netlink_parse.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/alloc.h"

/* mnl_nlmsg_ok() takes a length of 2 GiB and more for a negative one, and lets it pass. */
bool netlink_message_is_whole(const void *bytes, size_t size)
{
    const struct nlmsghdr *n = bytes;

    return size >= sizeof(*n) && n->nlmsg_len >= sizeof(*n) && n->nlmsg_len <= size;
}

/* ---- attributes ------------------------------------------------------------------------------ */

void netlink_attributes(const void *start, size_t size, const struct nlattr **table, size_t count)
{
    const char *at = start, *end = at + size;

    memset(table, 0, count * sizeof(const struct nlattr *));
    while (at < end && end - at >= (ptrdiff_t)sizeof(struct nlattr)) {
        const struct nlattr *a = (const struct nlattr *)(const void *)at;

        if (!mnl_attr_ok(a, (int)(end - at)))
            return;
        if (mnl_attr_get_type(a) < count)
            table[mnl_attr_get_type(a)] = a;
        at += netlink_align(a->nla_len);
    }
}

/* Those of a message, behind its own header of `offset` bytes; false: it is shorter than that. */
static bool read_attributes(const struct nlmsghdr *n, size_t offset, const struct nlattr **table,
                            size_t count)
{
    const size_t size = mnl_nlmsg_get_payload_len(n);

    if (size < offset)
        return false;
    offset = netlink_align(offset);
    if (offset < size)
        netlink_attributes((const char *)mnl_nlmsg_get_payload(n) + offset, size - offset, table,
                           count);
    else
        netlink_attributes(mnl_nlmsg_get_payload(n), 0, table, count);
    return true;
}

bool netlink_attribute_bytes(const struct nlattr *a, void *out, size_t size)
{
    if (a == NULL || mnl_attr_get_payload_len(a) != size)
        return false;
    memcpy(out, mnl_attr_get_payload(a), size);
    return true;
}

static uint32_t number_of(const struct nlattr *a)
{
    uint32_t value = 0;

    (void)netlink_attribute_bytes(a, &value, sizeof(value));
    return value;
}

static uint8_t octet_of(const struct nlattr *a, uint8_t otherwise)
{
    uint8_t value = otherwise;

    (void)netlink_attribute_bytes(a, &value, sizeof(value));
    return value;
}

static void copy_text(const struct nlattr *a, char *out, size_t size)
{
    const size_t length = a == NULL ? 0 : mnl_attr_get_payload_len(a);

    if (length == 0)
        return;
    const char *text = mnl_attr_get_payload(a);
    const size_t used = strnlen(text, length < size ? length : size - 1);
    memcpy(out, text, used);
    out[used] = '\0';
}

static uint8_t size_of_family(uint8_t family)
{
    return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

/* Left alone when it is no address of that size. */
static void copy_ip(const struct nlattr *a, uint8_t size, struct net_ip *out)
{
    struct net_ip found = {.size = size};

    if (netlink_attribute_bytes(a, found.bytes, size))
        *out = found;
}

/* ---- links ----------------------------------------------------------------------------------- */

static void copy_kind(const struct nlattr *a, char *out, size_t size)
{
    const struct nlattr *at[IFLA_INFO_KIND + 1];

    if (a == NULL)
        return;
    netlink_attributes(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), at, ALB_COUNT(at));
    copy_text(at[IFLA_INFO_KIND], out, size);
}

static void parse_link(const struct nlmsghdr *n, struct net_picture *p)
{
    const struct nlattr *at[IFLA_PERM_ADDRESS + 1];
    struct ifinfomsg head;

    if (!read_attributes(n, sizeof(head), at, ALB_COUNT(at)))
        return;
    memcpy(&head, mnl_nlmsg_get_payload(n), sizeof(head));
    if (head.ifi_family != AF_UNSPEC || head.ifi_index <= 0)
        return;
    struct net_link l = {.index = (uint32_t)head.ifi_index,
                         .mtu = number_of(at[IFLA_MTU]),
                         .hardware = head.ifi_type,
                         .operstate = octet_of(at[IFLA_OPERSTATE], 0),
                         .is_up = (head.ifi_flags & IFF_UP) != 0,
                         .has_carrier = octet_of(at[IFLA_CARRIER], 1) != 0};
    if (at[IFLA_LINK_NETNSID] == NULL) /* else an index of another name space */
        l.lower = number_of(at[IFLA_LINK]);
    copy_text(at[IFLA_IFNAME], l.name, sizeof(l.name));
    copy_kind(at[IFLA_LINKINFO], l.kind, sizeof(l.kind));
    l.has_mac = netlink_attribute_bytes(at[IFLA_ADDRESS], l.mac, sizeof(l.mac));
    l.has_permanent_mac =
        netlink_attribute_bytes(at[IFLA_PERM_ADDRESS], l.permanent_mac, sizeof(l.permanent_mac));
    l.nature = net_nature_of(&l, (head.ifi_flags & IFF_LOOPBACK) != 0, "");
    net_picture_put_link(p, &l);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void parse_address(const struct nlmsghdr *n, struct net_picture *p)
{
    const struct nlattr *at[IFA_FLAGS + 1];
    struct ifaddrmsg head;

    if (!read_attributes(n, sizeof(head), at, ALB_COUNT(at)))
        return;
    memcpy(&head, mnl_nlmsg_get_payload(n), sizeof(head));
    const uint8_t size = size_of_family(head.ifa_family);
    if (size == 0 || head.ifa_prefixlen > 8 * size)
        return;
    struct net_address a = {.link = head.ifa_index,
                            .prefix = head.ifa_prefixlen,
                            .scope = head.ifa_scope,
                            .flags =
                                at[IFA_FLAGS] != NULL ? number_of(at[IFA_FLAGS]) : head.ifa_flags};
    /* LOCAL is ours and ADDRESS the other end's; IPv6 says LOCAL only where the two differ. */
    copy_ip(at[IFA_ADDRESS], size, &a.ip);
    if (at[IFA_LOCAL] != NULL) {
        a.peer = a.ip;
        copy_ip(at[IFA_LOCAL], size, &a.ip);
        if (memcmp(&a.peer, &a.ip, sizeof(a.ip)) == 0)
            a.peer = (struct net_ip){.size = 0};
    }
    if (a.ip.size != 0)
        net_picture_put_address(p, &a);
}

/* ---- routes ---------------------------------------------------------------------------------- */

enum { ROUTE_ATTRIBUTES = RTA_VIA + 1 };

/* RTA_GATEWAY, or RTA_VIA: a family and an address of it. */
static void copy_gateway(const struct nlattr *const *at, uint8_t size, struct net_ip *out)
{
    const struct nlattr *via = at[RTA_VIA];

    copy_ip(at[RTA_GATEWAY], size, out);
    if (via == NULL || mnl_attr_get_payload_len(via) < sizeof(struct rtvia))
        return;
    struct rtvia head;
    memcpy(&head, mnl_attr_get_payload(via), sizeof(head));
    const uint8_t via_size = size_of_family((uint8_t)head.rtvia_family);
    if (via_size == 0 || mnl_attr_get_payload_len(via) != sizeof(head) + via_size)
        return;
    *out = (struct net_ip){.size = via_size};
    memcpy(out->bytes, (const char *)mnl_attr_get_payload(via) + sizeof(head), via_size);
}

/* Each hop of RTA_MULTIPATH: a struct rtnexthop, then attributes of its own. */
static void put_hops(const struct nlattr *hops, const struct net_route *common,
                     struct net_picture *p)
{
    const char *at = mnl_attr_get_payload(hops), *end = at + mnl_attr_get_payload_len(hops);
    struct rtnexthop hop;

    while (at < end && end - at >= (ptrdiff_t)sizeof(hop)) {
        const struct nlattr *own[ROUTE_ATTRIBUTES];
        struct net_route r = *common;

        memcpy(&hop, at, sizeof(hop));
        if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > end - at)
            return;
        netlink_attributes(at + sizeof(hop), hop.rtnh_len - sizeof(hop), own, ALB_COUNT(own));
        r.link = (uint32_t)hop.rtnh_ifindex;
        copy_gateway(own, r.family_size, &r.gateway);
        net_picture_put_route(p, &r);
        at += netlink_align(hop.rtnh_len);
    }
}

/* Of a message about a route: is it a default route that may carry bytes?  The head and
 * attributes. */
static bool read_route(const struct nlmsghdr *n, struct rtmsg *head, const struct nlattr **at)
{
    if (!read_attributes(n, sizeof(*head), at, ROUTE_ATTRIBUTES))
        return false;
    memcpy(head, mnl_nlmsg_get_payload(n), sizeof(*head));
    return size_of_family(head->rtm_family) != 0;
}

static bool is_default(const struct rtmsg *head)
{
    return head->rtm_dst_len == 0 && head->rtm_src_len == 0 && head->rtm_type == RTN_UNICAST &&
           (head->rtm_flags & RTM_F_CLONED) == 0;
}

static void parse_route(const struct nlmsghdr *n, struct net_picture *p)
{
    const struct nlattr *at[ROUTE_ATTRIBUTES];
    struct rtmsg head;

    if (!read_route(n, &head, at) || !is_default(&head))
        return;
    struct net_route r = {.family_size = size_of_family(head.rtm_family),
                          .metric = number_of(at[RTA_PRIORITY]),
                          .table =
                              at[RTA_TABLE] != NULL ? number_of(at[RTA_TABLE]) : head.rtm_table,
                          .link = number_of(at[RTA_OIF])};
    if (at[RTA_MULTIPATH] != NULL) {
        put_hops(at[RTA_MULTIPATH], &r, p);
        return;
    }
    copy_gateway(at, r.family_size, &r.gateway);
    if (r.link != 0)
        net_picture_put_route(p, &r);
}

/* ---- neighbours ------------------------------------------------------------------------------ */

enum { NUD_CONFIRMED = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT };

static bool read_neighbour(const struct nlmsghdr *n, struct net_neighbour *out)
{
    const struct nlattr *at[NDA_LLADDR + 1];
    struct ndmsg head;

    if (!read_attributes(n, sizeof(head), at, ALB_COUNT(at)))
        return false;
    memcpy(&head, mnl_nlmsg_get_payload(n), sizeof(head));
    const uint8_t size = size_of_family(head.ndm_family);
    if (size == 0 || head.ndm_ifindex <= 0 || (head.ndm_flags & NTF_PROXY) != 0)
        return false;
    *out = (struct net_neighbour){.link = (uint32_t)head.ndm_ifindex,
                                  .state = head.ndm_state,
                                  .is_router = (head.ndm_flags & NTF_ROUTER) != 0};
    copy_ip(at[NDA_DST], size, &out->ip);
    if (!netlink_attribute_bytes(at[NDA_LLADDR], out->mac, sizeof(out->mac)))
        out->state = NUD_NONE;
    return out->ip.size != 0;
}

static void parse_neighbour(const struct nlmsghdr *n, struct net_picture *p)
{
    struct net_neighbour row;

    if (read_neighbour(n, &row) && (row.state & NUD_CONFIRMED) != 0)
        net_picture_put_neighbour(p, &row);
}

/* True: it came, went or has another MAC. */
static bool follow_neighbour(const struct nlmsghdr *n, struct net_picture *p)
{
    struct net_neighbour row;

    if (!read_neighbour(n, &row))
        return false;
    if (n->nlmsg_type == RTM_DELNEIGH || (row.state & NUD_CONFIRMED) == 0)
        return net_picture_remove_neighbour(p, row.link, &row.ip);
    const struct net_neighbour *known = net_picture_neighbour(p, row.link, &row.ip);
    const bool is_news = known == NULL || memcmp(known->mac, row.mac, sizeof(row.mac)) != 0;
    net_picture_put_neighbour(p, &row);
    return is_news;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* struct nlmsgerr, then (unless capped) the rest of the request, then attributes. */
void netlink_parse_error(const struct nlmsghdr *n, int *error, char why[NETLINK_WHY_SIZE])
{
    const struct nlattr *at[NLMSGERR_ATTR_MSG + 1];
    const size_t size = mnl_nlmsg_get_payload_len(n);
    struct nlmsgerr head;

    why[0] = '\0';
    *error = EPROTO;
    if (size < sizeof(head))
        return;
    memcpy(&head, mnl_nlmsg_get_payload(n), sizeof(head));
    *error = head.error < 0 && head.error > -4096 ? -head.error : 0;
    if ((n->nlmsg_flags & NLM_F_ACK_TLVS) == 0)
        return;
    size_t skip = sizeof(head);
    if ((n->nlmsg_flags & NLM_F_CAPPED) == 0 && head.msg.nlmsg_len > sizeof(head.msg))
        skip += netlink_align(head.msg.nlmsg_len - sizeof(head.msg));
    if (skip > size)
        return;
    netlink_attributes((const char *)mnl_nlmsg_get_payload(n) + skip, size - skip, at,
                       ALB_COUNT(at));
    copy_text(at[NLMSGERR_ATTR_MSG], why, NETLINK_WHY_SIZE);
}

/* NLMSG_DONE carries an error where the dump broke off: a number, then attributes. */
static void parse_done(struct netlink_answer *a, const struct nlmsghdr *n)
{
    const struct nlattr *at[NLMSGERR_ATTR_MSG + 1];
    int32_t result = 0;

    a->end = a->is_interrupted ? NETLINK_INTERRUPTED : NETLINK_DONE;
    if (!read_attributes(n, sizeof(result), at, ALB_COUNT(at)))
        return;
    memcpy(&result, mnl_nlmsg_get_payload(n), sizeof(result));
    if (result >= 0 || result < -4095)
        return;
    a->end = NETLINK_REFUSED;
    a->error = -result;
    a->why[0] = '\0';
    copy_text(at[NLMSGERR_ATTR_MSG], a->why, sizeof(a->why));
}

static void parse_row(const struct nlmsghdr *n, struct net_picture *p)
{
    if (n->nlmsg_type == RTM_NEWLINK)
        parse_link(n, p);
    else if (n->nlmsg_type == RTM_NEWADDR)
        parse_address(n, p);
    else if (n->nlmsg_type == RTM_NEWROUTE)
        parse_route(n, p);
    else if (n->nlmsg_type == RTM_NEWNEIGH)
        parse_neighbour(n, p);
}

static bool is_ours(const struct netlink_answer *a, const struct nlmsghdr *n)
{
    return n->nlmsg_seq == a->seq && n->nlmsg_pid == a->port;
}

/* The message at *at, or NULL at the end; moves on. */
static const struct nlmsghdr *next_message(const char **at, size_t *left)
{
    const struct nlmsghdr *n = (const struct nlmsghdr *)(const void *)*at;

    if (!netlink_message_is_whole(n, *left))
        return NULL;
    const size_t step = netlink_align(n->nlmsg_len);
    *left = step < *left ? *left - step : 0;
    *at += step;
    return n;
}

void netlink_parse_dump(struct netlink_answer *a, const void *bytes, size_t size)
{
    const char *at = bytes;

    for (const struct nlmsghdr *n; a->end == NETLINK_MORE && (n = next_message(&at, &size));) {
        if (!is_ours(a, n))
            continue;
        if ((n->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
            a->is_interrupted = true;
        if (n->nlmsg_type == NLMSG_DONE) {
            parse_done(a, n);
        } else if (n->nlmsg_type == NLMSG_ERROR) {
            netlink_parse_error(n, &a->error, a->why);
            a->end = NETLINK_REFUSED;
        } else {
            parse_row(n, a->into);
        }
    }
}

/* How one address is reached: a route of any kind. */
static void parse_way(struct netlink_answer *a, const struct nlmsghdr *n)
{
    const struct nlattr *at[ROUTE_ATTRIBUTES];
    struct rtmsg head;

    if (!read_route(n, &head, at))
        return;
    if (head.rtm_type != RTN_UNICAST && head.rtm_type != RTN_LOCAL) {
        a->end = NETLINK_REFUSED; /* IPv6 answers with a route that leads nowhere */
        a->error = ENETUNREACH;
        return;
    }
    const uint8_t size = size_of_family(head.rtm_family);
    a->end = NETLINK_DONE;
    a->way = (struct net_way){.link = number_of(at[RTA_OIF]), .is_own = head.rtm_type == RTN_LOCAL};
    a->has_way = true;
    copy_ip(at[RTA_PREFSRC], size, &a->way.source);
    copy_gateway(at, size, &a->way.gateway);
}

void netlink_parse_reach(struct netlink_answer *a, const void *bytes, size_t size)
{
    const char *at = bytes;

    for (const struct nlmsghdr *n; a->end == NETLINK_MORE && (n = next_message(&at, &size));) {
        if (!is_ours(a, n))
            continue;
        if (n->nlmsg_type == NLMSG_ERROR) {
            netlink_parse_error(n, &a->error, a->why);
            a->end = a->error == 0 ? NETLINK_DONE : NETLINK_REFUSED;
        } else if (n->nlmsg_type == RTM_NEWROUTE) {
            parse_way(a, n);
        }
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Routes to single subnets come and go by the thousand where a machine routes for others. */
static unsigned stirred_by_route(const struct nlmsghdr *n)
{
    const struct nlattr *at[ROUTE_ATTRIBUTES];
    struct rtmsg head;

    return read_route(n, &head, at) && is_default(&head) ? (unsigned)NET_ROUTES : 0;
}

unsigned netlink_parse_events(struct net_picture *p, const void *bytes, size_t size)
{
    const char *at = bytes;
    unsigned parts = 0;

    for (const struct nlmsghdr *n; (n = next_message(&at, &size));) {
        const uint16_t type = n->nlmsg_type;

        if (type == RTM_NEWLINK || type == RTM_DELLINK)
            parts |= NET_LINKS | NET_ADDRESSES | NET_ROUTES;
        else if (type == RTM_NEWADDR || type == RTM_DELADDR)
            parts |= NET_ADDRESSES | NET_ROUTES;
        else if (type == RTM_NEWROUTE || type == RTM_DELROUTE)
            parts |= stirred_by_route(n);
        else if ((type == RTM_NEWNEIGH || type == RTM_DELNEIGH) && follow_neighbour(n, p))
            parts |= NET_NEIGHBOURS;
    }
    return parts;
}
