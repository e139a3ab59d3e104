/* SPDX-License-Identifier: Apache-2.0 */
/* net/net_picture.c – links, addresses, routes and neighbours as sorted lists, and how two differ.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "net/netlink_impl.h"

enum { FIRST_ROWS = 8 };
#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

typedef int (*row_order)(const void *a, const void *b);

/* ---- sorted lists ---------------------------------------------------------------------------- */

struct rows {
    void *at;
    size_t *count;
    size_t size, most; /* of one, in bytes; of all */
    row_order order;
    unsigned part;
};

/* The first row that is not before `row`. */
static size_t find_row(const struct rows *r, const void *row)
{
    size_t low = 0, high = *r->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (r->order((const char *)r->at + middle * r->size, row) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The list, which may have moved.  Room grows when the count is a power of two. */
static void *put_row(struct net_picture *p, const struct rows *r, const void *row)
{
    char *list = r->at;
    const size_t at = find_row(r, row), count = *r->count;

    if (at < count && r->order(list + at * r->size, row) == 0) {
        memcpy(list + at * r->size, row, r->size);
        return list;
    }
    if (count == r->most) {
        p->cut |= r->part;
        return list;
    }
    if (count == 0 || (count >= FIRST_ROWS && (count & (count - 1)) == 0))
        list = xrealloc(list, (count == 0 ? FIRST_ROWS : 2 * count) * r->size);
    memmove(list + (at + 1) * r->size, list + at * r->size, (count - at) * r->size);
    memcpy(list + at * r->size, row, r->size);
    *r->count = count + 1;
    return list;
}

static int order_ip(const struct net_ip *a, const struct net_ip *b)
{
    return a->size != b->size ? COMPARE(a->size, b->size)
                              : memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int order_links(const void *left, const void *right)
{
    const struct net_link *a = left, *b = right;

    return COMPARE(a->index, b->index);
}

static int order_addresses(const void *left, const void *right)
{
    const struct net_address *a = left, *b = right;
    int order = COMPARE(a->link, b->link);

    order = order != 0 ? order : order_ip(&a->ip, &b->ip);
    order = order != 0 ? order : order_ip(&a->peer, &b->peer);
    return order != 0 ? order : COMPARE(a->prefix, b->prefix);
}

static int order_routes(const void *left, const void *right)
{
    const struct net_route *a = left, *b = right;
    int order = COMPARE(a->family_size, b->family_size);

    order = order != 0 ? order : COMPARE(a->metric, b->metric);
    order = order != 0 ? order : COMPARE(a->table, b->table);
    order = order != 0 ? order : COMPARE(a->link, b->link);
    return order != 0 ? order : order_ip(&a->gateway, &b->gateway);
}

static int order_neighbours(const void *left, const void *right)
{
    const struct net_neighbour *a = left, *b = right;
    int order = COMPARE(a->link, b->link);

    return order != 0 ? order : order_ip(&a->ip, &b->ip);
}

static struct rows neighbour_rows(struct net_picture *p)
{
    return (struct rows){p->neighbours,       &p->neighbour_count, sizeof(*p->neighbours),
                         NET_NEIGHBOURS_MOST, order_neighbours,    NET_NEIGHBOURS};
}

void net_picture_put_link(struct net_picture *p, const struct net_link *row)
{
    const struct rows r = {p->links,       &p->link_count, sizeof(*row),
                           NET_LINKS_MOST, order_links,    NET_LINKS};

    p->links = put_row(p, &r, row);
}

void net_picture_put_address(struct net_picture *p, const struct net_address *row)
{
    const struct rows r = {p->addresses,       &p->address_count, sizeof(*row),
                           NET_ADDRESSES_MOST, order_addresses,   NET_ADDRESSES};

    p->addresses = put_row(p, &r, row);
}

void net_picture_put_route(struct net_picture *p, const struct net_route *row)
{
    const struct rows r = {p->routes,       &p->route_count, sizeof(*row),
                           NET_ROUTES_MOST, order_routes,    NET_ROUTES};

    p->routes = put_row(p, &r, row);
}

void net_picture_put_neighbour(struct net_picture *p, const struct net_neighbour *row)
{
    const struct rows r = neighbour_rows(p);

    p->neighbours = put_row(p, &r, row);
}

const struct net_neighbour *net_picture_neighbour(const struct net_picture *p, uint32_t link,
                                                  const struct net_ip *ip)
{
    const struct net_neighbour key = {.link = link, .ip = *ip};
    size_t count = p->neighbour_count;
    const struct rows r = {p->neighbours,       &count,           sizeof(key),
                           NET_NEIGHBOURS_MOST, order_neighbours, NET_NEIGHBOURS};
    const size_t at = find_row(&r, &key);

    return at < count && order_neighbours(&p->neighbours[at], &key) == 0 ? &p->neighbours[at]
                                                                         : NULL;
}

bool net_picture_remove_neighbour(struct net_picture *p, uint32_t link, const struct net_ip *ip)
{
    const struct net_neighbour *found = net_picture_neighbour(p, link, ip);

    if (found == NULL)
        return false;
    const size_t at = (size_t)(found - p->neighbours);
    const size_t left = p->neighbour_count - 1;
    memmove(&p->neighbours[at], &p->neighbours[at + 1], (left - at) * sizeof(*found));
    p->neighbour_count = left;
    return true;
}

/* ---- whole pictures -------------------------------------------------------------------------- */

void net_picture_release(struct net_picture *p)
{
    free(p->links);
    free(p->addresses);
    free(p->routes);
    free(p->neighbours);
    *p = (struct net_picture){.links = NULL};
}

void net_picture_move(struct net_picture *to, struct net_picture *from, unsigned parts)
{
    to->cut = (to->cut & ~parts) | (from->cut & parts);
    from->cut &= ~parts;
    if ((parts & NET_LINKS) != 0) {
        free(to->links);
        to->links = take_ptr(&from->links);
        to->link_count = from->link_count;
        from->link_count = 0;
    }
    if ((parts & NET_ADDRESSES) != 0) {
        free(to->addresses);
        to->addresses = take_ptr(&from->addresses);
        to->address_count = from->address_count;
        from->address_count = 0;
    }
    if ((parts & NET_ROUTES) != 0) {
        free(to->routes);
        to->routes = take_ptr(&from->routes);
        to->route_count = from->route_count;
        from->route_count = 0;
    }
    if ((parts & NET_NEIGHBOURS) != 0) {
        free(to->neighbours);
        to->neighbours = take_ptr(&from->neighbours);
        to->neighbour_count = from->neighbour_count;
        from->neighbour_count = 0;
    }
}

void net_picture_copy(struct net_picture *to, const struct net_picture *from)
{
    net_picture_release(to);
    for (size_t i = 0; i < from->link_count; i++)
        net_picture_put_link(to, &from->links[i]);
    for (size_t i = 0; i < from->address_count; i++)
        net_picture_put_address(to, &from->addresses[i]);
    for (size_t i = 0; i < from->route_count; i++)
        net_picture_put_route(to, &from->routes[i]);
    for (size_t i = 0; i < from->neighbour_count; i++)
        net_picture_put_neighbour(to, &from->neighbours[i]);
    to->cut = from->cut;
}

const struct net_link *net_picture_link(const struct net_picture *p, uint32_t index)
{
    const struct net_link key = {.index = index};
    size_t count = p->link_count;
    const struct rows r = {p->links, &count, sizeof(key), NET_LINKS_MOST, order_links, NET_LINKS};
    const size_t at = find_row(&r, &key);

    return at < count && p->links[at].index == index ? &p->links[at] : NULL;
}

bool net_picture_gateway_mac(const struct net_picture *p, const struct net_route *r,
                             uint8_t out[NET_MAC_SIZE])
{
    const struct net_neighbour *n = net_picture_neighbour(p, r->link, &r->gateway);

    if (r->gateway.size == 0 || n == NULL)
        return false;
    memcpy(out, n->mac, NET_MAC_SIZE);
    return true;
}

/* ---- how two differ -------------------------------------------------------------------------- */

static bool is_same_link(const struct net_link *a, const struct net_link *b)
{
    return a->index == b->index && a->lower == b->lower && a->mtu == b->mtu &&
           strcmp(a->name, b->name) == 0 && strcmp(a->kind, b->kind) == 0 &&
           a->has_mac == b->has_mac && memcmp(a->mac, b->mac, NET_MAC_SIZE) == 0 &&
           memcmp(a->permanent_mac, b->permanent_mac, NET_MAC_SIZE) == 0 &&
           a->nature == b->nature && net_link_is_usable(a) == net_link_is_usable(b);
}

static bool is_same_mac(const struct net_neighbour *a, const struct net_neighbour *b)
{
    return order_neighbours(a, b) == 0 && memcmp(a->mac, b->mac, NET_MAC_SIZE) == 0;
}

static bool are_links_same(const struct net_picture *a, const struct net_picture *b)
{
    bool same = a->link_count == b->link_count;

    for (size_t i = 0; same && i < a->link_count; i++)
        same = is_same_link(&a->links[i], &b->links[i]);
    return same;
}

static bool are_addresses_same(const struct net_picture *a, const struct net_picture *b)
{
    bool same = a->address_count == b->address_count;

    for (size_t i = 0; same && i < a->address_count; i++)
        same = order_addresses(&a->addresses[i], &b->addresses[i]) == 0 &&
               a->addresses[i].flags == b->addresses[i].flags;
    return same;
}

static bool are_routes_same(const struct net_picture *a, const struct net_picture *b)
{
    bool same = a->route_count == b->route_count;

    for (size_t i = 0; same && i < a->route_count; i++)
        same = order_routes(&a->routes[i], &b->routes[i]) == 0;
    return same;
}

static bool are_neighbours_same(const struct net_picture *a, const struct net_picture *b)
{
    bool same = a->neighbour_count == b->neighbour_count;

    for (size_t i = 0; same && i < a->neighbour_count; i++)
        same = is_same_mac(&a->neighbours[i], &b->neighbours[i]);
    return same;
}

/* Another route is told as such; here it is the same gateway with another face. */
static bool are_gateways_same(const struct net_picture *before, const struct net_picture *after)
{
    for (size_t i = 0; i < after->route_count; i++) {
        const struct net_route *r = &after->routes[i];
        uint8_t was[NET_MAC_SIZE] = {0}, is[NET_MAC_SIZE] = {0};
        const bool was_known = net_picture_gateway_mac(before, r, was);

        if (was_known != net_picture_gateway_mac(after, r, is) || memcmp(was, is, sizeof(was)) != 0)
            return false;
    }
    return true;
}

unsigned net_picture_changes(const struct net_picture *before, const struct net_picture *after)
{
    unsigned parts = 0;

    parts |= are_links_same(before, after) ? 0 : (unsigned)NET_LINKS;
    parts |= are_addresses_same(before, after) ? 0 : (unsigned)NET_ADDRESSES;
    parts |= are_routes_same(before, after) ? 0 : (unsigned)NET_ROUTES;
    parts |= are_neighbours_same(before, after) ? 0 : (unsigned)NET_NEIGHBOURS;
    parts |= are_gateways_same(before, after) ? 0 : (unsigned)NET_GATEWAYS;
    return parts;
}
