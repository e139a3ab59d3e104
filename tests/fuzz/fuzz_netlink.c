/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_netlink.c – any bytes as the kernel's answers and events: rows that hold together. */
/* LINKS: net base */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "fuzz/target.h"
#include "net/ethtool_netlink.h"
#include "net/netlink_parse.h"

enum { SEQ = 7, PORT = 99 };

/* A hop of 12 bytes becomes a row of 48, and lists double; a link of 32 bytes takes 144. */
const struct fuzz_bound fuzz_bound = {.fixed = 64 << 10, .per_byte = 40};

static void check_rows(const struct net_picture *p)
{
    char text[NET_IP_TEXT_SIZE];

    for (size_t i = 0; i < p->link_count; i++) {
        const struct net_link *l = &p->links[i];
        alb_assert(l->index != 0 && (i == 0 || l[-1].index < l->index));
        alb_assert(memchr(l->name, '\0', sizeof(l->name)) != NULL);
        alb_assert(memchr(l->kind, '\0', sizeof(l->kind)) != NULL);
        alb_assert(net_picture_link(p, l->index) == l && net_nature_name(l->nature) != NULL);
    }
    for (size_t i = 0; i < p->address_count; i++) {
        const struct net_address *a = &p->addresses[i];
        alb_assert(a->ip.size == 4 || a->ip.size == 16);
        alb_assert(a->prefix <= 8 * a->ip.size && net_ip_format(&a->ip, text)[0] != '\0');
        alb_assert(net_address_covers(a, a->peer.size != 0 ? &a->peer : &a->ip));
    }
    for (size_t i = 0; i < p->route_count; i++)
        alb_assert(p->routes[i].family_size == 4 || p->routes[i].family_size == 16);
    for (size_t i = 0; i < p->neighbour_count; i++) {
        const struct net_neighbour *n = &p->neighbours[i];
        alb_assert(net_picture_neighbour(p, n->link, &n->ip) == n);
    }
}

static void as_answers(const void *bytes, size_t size, struct net_picture *p)
{
    struct netlink_answer a = {.seq = SEQ, .port = PORT, .into = p};
    struct wake_ability ability;
    uint16_t family;

    netlink_parse_dump(&a, bytes, size);
    alb_assert(memchr(a.why, '\0', sizeof(a.why)) != NULL);
    a = (struct netlink_answer){.seq = SEQ, .port = PORT};
    netlink_parse_reach(&a, bytes, size);
    if (!alb_failed(ethtool_parse_wake(bytes, size, SEQ, &ability)))
        alb_assert(wake_answer_name(ability.answer) != NULL);
    alb_ignore(genetlink_parse_family(bytes, size, SEQ, &family), "any answer will do");
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct net_picture read = {.links = NULL}, heard = {.links = NULL};
    void *aligned = xalloc(size); /* as the kernel's datagrams lie */

    memcpy(aligned, bytes, size);
    as_answers(aligned, size, &read);
    check_rows(&read);
    net_picture_copy(&heard, &read);
    alb_assert(net_picture_changes(&heard, &read) == 0);
    const unsigned parts = netlink_parse_events(&heard, aligned, size);
    check_rows(&heard);
    alb_assert((parts & ~NET_READABLE) == 0);
    if ((net_picture_changes(&read, &heard) & NET_NEIGHBOURS) != 0)
        alb_assert((parts & NET_NEIGHBOURS) != 0);
    net_picture_release(&read);
    net_picture_release(&heard);
    free(aligned);
}
