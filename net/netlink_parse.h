/* SPDX-License-Identifier: Apache-2.0 */
/* net/netlink_parse.h – the bytes of rtnetlink, both ways; pure, so that any bytes can be tried.
 *
 * Buffers are aligned as malloc() aligns.  What is malformed or not ours to know (other families,
 * routes that are no default, links' bridge ports) is passed over: the kernel adds attributes and
 * messages with every release.
 */
#pragma once

#include "net/netlink_impl.h"

enum {
    NETLINK_DUMP_SIZE = 32 << 10, /* the kernel fills up to that, and cuts what is longer */
    NETLINK_REQUEST_SIZE = 128,   /* the longest that is built here                       */
    NETLINK_WHY_SIZE = 120,
};

enum netlink_end {
    NETLINK_MORE,        /* the answer goes on                                */
    NETLINK_DONE,        /* it is complete                                    */
    NETLINK_INTERRUPTED, /* complete, but the tables changed under it: again  */
    NETLINK_REFUSED,     /* `error` and `why` say                             */
};

/* What comes in answer to one request. */
struct netlink_answer {
    uint32_t seq, port;       /* whose answer: everything else is passed over  */
    struct net_picture *into; /* where its rows go                             */
    struct net_way way;       /* the last route that was no row of a dump      */
    bool has_way;
    bool is_interrupted;
    enum netlink_end end;
    int error;                  /* errno, with NETLINK_REFUSED                   */
    char why[NETLINK_WHY_SIZE]; /* the kernel's own words (extended ACK), or ""  */
};

/* One datagram of a dump. */
void netlink_parse_dump(struct netlink_answer *a, const void *bytes, size_t size);
/* The datagram that answers netlink_build_reach(). */
void netlink_parse_reach(struct netlink_answer *a, const void *bytes, size_t size);
/* One datagram of events: neighbours go into `p`, the rest is only told of.  The parts that it
 * stirred; NET_NEIGHBOURS when a neighbour came, went or has another MAC. */
unsigned netlink_parse_events(struct net_picture *p, const void *bytes, size_t size);
/* Is there a whole message at `bytes`?  Then its length may be believed. */
bool netlink_message_is_whole(const void *bytes, size_t size);
/* NLMSG_ERROR: errno and the kernel's words.  For genetlink's answers, too. */
struct nlmsghdr;
void netlink_parse_error(const struct nlmsghdr *n, int *error, char why[NETLINK_WHY_SIZE]);

/* Everything begins at a multiple of four. */
static inline size_t netlink_align(size_t size)
{
    return (size + 3) & ~(size_t)3;
}

struct nlattr;
/* table[type] = the attribute, for types below `count`; of two alike the last. */
void netlink_attributes(const void *start, size_t size, const struct nlattr **table, size_t count);
/* Does it hold exactly that much?  Then it is copied. */
bool netlink_attribute_bytes(const struct nlattr *a, void *out, size_t size);

/* A request for all rows of `type` (RTM_GETLINK, …); bytes written. */
size_t netlink_build_dump(void *out, uint16_t type, uint8_t family, uint32_t seq);
size_t netlink_build_reach(void *out, const struct net_ip *to, uint32_t seq);
