/* SPDX-License-Identifier: Apache-2.0 */
/* net/netlink_request.c – what is asked of rtnetlink. */
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "net/netlink_parse.h"

/* Strictly checked by the kernel: each with the header of its own table, and nothing that the
 * kernel would not understand. */
size_t netlink_build_dump(void *out, uint16_t type, uint8_t family, uint32_t seq)
{
    memset(out, 0, NETLINK_REQUEST_SIZE);
    struct nlmsghdr *n = mnl_nlmsg_put_header(out);

    n->nlmsg_type = type;
    n->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    n->nlmsg_seq = seq;
    if (type == RTM_GETLINK) {
        struct ifinfomsg *head = mnl_nlmsg_put_extra_header(n, sizeof(*head));
        head->ifi_family = family;
        mnl_attr_put_u32(n, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    } else if (type == RTM_GETADDR) {
        struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(n, sizeof(*head));
        head->ifa_family = family;
    } else if (type == RTM_GETROUTE) {
        struct rtmsg *head = mnl_nlmsg_put_extra_header(n, sizeof(*head));
        head->rtm_family = family;
    } else {
        struct ndmsg *head = mnl_nlmsg_put_extra_header(n, sizeof(*head));
        head->ndm_family = family;
    }
    return n->nlmsg_len;
}

size_t netlink_build_reach(void *out, const struct net_ip *to, uint32_t seq)
{
    memset(out, 0, NETLINK_REQUEST_SIZE);
    struct nlmsghdr *n = mnl_nlmsg_put_header(out);

    n->nlmsg_type = RTM_GETROUTE;
    n->nlmsg_flags = NLM_F_REQUEST;
    n->nlmsg_seq = seq;
    struct rtmsg *head = mnl_nlmsg_put_extra_header(n, sizeof(*head));
    head->rtm_family = to->size == 4 ? AF_INET : AF_INET6;
    head->rtm_dst_len = (uint8_t)(8 * to->size);
    mnl_attr_put(n, RTA_DST, to->size, to->bytes);
    return n->nlmsg_len;
}
