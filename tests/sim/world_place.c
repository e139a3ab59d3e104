/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_place.c – the scripted twin of the kernel's tables, and of raw frames. */
#include "sim/world_place.h"

#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/netlink_impl.h"
#include "sim/world_impl.h"

/* What reading the tables of a small machine takes. */
#define READ_NS NS_PER_MS

struct world_source {
    struct netlink_source base;
    struct world_source *next;
    struct world_node *node;
    struct timer reading;
    unsigned parts;
};

/* ---- placing --------------------------------------------------------------------------------- */

void world_node_set_picture(struct loop *node, const struct net_picture *picture)
{
    struct world_node *n = world_node_of(node);

    net_picture_copy(&n->place, picture);
    for (struct world_source *s = n->sources; s != NULL; s = s->next)
        netlink_view_stir(s->base.view, NET_READABLE);
}

static void put_route(struct net_picture *p, const struct world_place *place, uint8_t family_size)
{
    static const uint8_t NOT_KNOWN[NET_MAC_SIZE] = {0};
    struct net_route r = {
        .family_size = family_size, .table = RT_TABLE_MAIN, .link = WORLD_PLACE_LINK};
    struct net_neighbour n = {.link = WORLD_PLACE_LINK, .state = NUD_REACHABLE, .is_router = true};

    alb_assert(net_ip_parse(place->gateway, &r.gateway));
    net_picture_put_route(p, &r);
    if (memcmp(place->gateway_mac, NOT_KNOWN, sizeof(NOT_KNOWN)) == 0)
        return;
    n.ip = r.gateway;
    memcpy(n.mac, place->gateway_mac, sizeof(n.mac));
    net_picture_put_neighbour(p, &n);
}

void world_node_place(struct loop *node, const struct world_place *place)
{
    const uint32_t number = world_node_of(node)->number;
    struct net_picture p = {.links = NULL};
    struct net_link l = {.index = WORLD_PLACE_LINK,
                         .mtu = 1500,
                         .name = "lan0",
                         .mac = {0x02, 0, (uint8_t)(number >> 24), (uint8_t)(number >> 16),
                                 (uint8_t)(number >> 8), (uint8_t)number},
                         .has_mac = true,
                         .is_up = true,
                         .has_carrier = place->address != NULL,
                         .nature = place->nature};
    struct net_address a = {.link = WORLD_PLACE_LINK, .prefix = place->prefix};

    net_picture_put_link(&p, &l);
    if (place->address != NULL) {
        alb_assert(net_ip_parse(place->address, &a.ip));
        net_picture_put_address(&p, &a);
        if (place->gateway != NULL)
            put_route(&p, place, a.ip.size);
    }
    world_node_set_picture(node, &p);
    net_picture_release(&p);
}

/* ---- ways ------------------------------------------------------------------------------------ */

static bool is_same_ip(const struct net_ip *a, const struct net_ip *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool is_link_local(const struct net_ip *ip)
{
    return ip->size == 16 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

/* Of that link and family, the first that others may know; else none. */
static struct net_ip source_on(const struct net_picture *p, uint32_t link, uint8_t family_size)
{
    for (size_t i = 0; i < p->address_count; i++) {
        const struct net_address *a = &p->addresses[i];

        if (a->link == link && a->ip.size == family_size && !is_link_local(&a->ip))
            return a->ip;
    }
    return (struct net_ip){.size = 0};
}

static bool leads_out(const struct net_picture *p, uint32_t link)
{
    const struct net_link *l = net_picture_link(p, link);

    return l != NULL && net_link_is_usable(l);
}

/* The narrowest subnet it is in; NULL: none. */
static const struct net_address *neighbourhood(const struct net_picture *p, const struct net_ip *to)
{
    const struct net_address *best = NULL;

    for (size_t i = 0; i < p->address_count; i++) {
        const struct net_address *a = &p->addresses[i];

        if (net_address_covers(a, to) && leads_out(p, a->link) &&
            (best == NULL || a->prefix > best->prefix))
            best = a;
    }
    return best;
}

/* As the kernel would answer where there are no other routes and rules than those seen here. */
static struct alb_status reach_in(const struct net_picture *p, const struct net_ip *to,
                                  struct net_way *out)
{
    for (size_t i = 0; i < p->address_count; i++)
        if (is_same_ip(&p->addresses[i].ip, to)) {
            *out = (struct net_way){.link = p->addresses[i].link, .source = *to, .is_own = true};
            return ALB_STATUS_OK;
        }
    const struct net_address *near = neighbourhood(p, to);
    if (near != NULL) {
        *out = (struct net_way){.link = near->link, .source = near->ip};
        return ALB_STATUS_OK;
    }
    for (size_t i = 0; i < p->route_count; i++) {
        const struct net_route *r = &p->routes[i];

        if (r->family_size != to->size || r->table != RT_TABLE_MAIN || !leads_out(p, r->link))
            continue;
        *out = (struct net_way){
            .link = r->link, .source = source_on(p, r->link, to->size), .gateway = r->gateway};
        return ALB_STATUS_OK;
    }
    return alb_fail(ALB_NOT_FOUND, "asking for the way to an address: no route leads there");
}

/* ---- as a source of views -------------------------------------------------------------------- */

static struct world_source *source_of(struct netlink_source *base)
{
    return ALB_CONTAINER(base, struct world_source, base);
}

static void on_read(void *arg)
{
    struct world_source *s = arg;
    struct net_picture fresh = {.links = NULL};

    net_picture_copy(&fresh, &s->node->place);
    netlink_view_take(s->base.view, s->parts, 0, &fresh);
    net_picture_release(&fresh);
}

static void source_read(struct netlink_source *base, unsigned parts)
{
    struct world_source *s = source_of(base);

    s->parts = parts;
    timer_set_in(&s->reading, READ_NS);
}

static struct alb_status source_reach(struct netlink_source *base, const struct net_ip *to,
                                      struct net_way *out)
{
    return reach_in(&source_of(base)->node->place, to, out);
}

static void source_close(struct netlink_source *base)
{
    struct world_source *s = source_of(base);
    struct world_source **at = &s->node->sources;

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    timer_stop(&s->reading);
    loop_bury(&s->node->loop, free, s);
}

struct alb_status world_open_netlink(struct loop *loop, struct netlink_view *view,
                                     struct netlink_source **out)
{
    static const struct netlink_source_ops ops = {
        .read = source_read, .reach = source_reach, .close = source_close};
    struct world_source *s = xalloc(sizeof(*s));

    s->base = (struct netlink_source){.ops = &ops, .view = view};
    s->node = world_node_of(loop);
    s->next = s->node->sources;
    s->node->sources = s;
    timer_init(&s->reading, loop, on_read, s);
    *out = &s->base;
    return ALB_STATUS_OK;
}

/* ---- frames ---------------------------------------------------------------------------------- */

void world_on_frame(struct world *w, world_frame_fn fn, void *arg)
{
    w->frame = fn;
    w->frame_arg = arg;
}

struct alb_status world_send_frame(struct loop *loop, const struct raw_frame *f)
{
    const struct world_node *n = world_node_of(loop);
    const struct net_link *l = net_picture_link(&n->place, f->link);

    if (l == NULL)
        return alb_fail(ALB_NOT_FOUND, "sending a frame: there is no such link");
    if (!net_link_is_usable(l))
        return alb_fail(ALB_IO, "sending a frame: the link is down");
    if (n->world->frame != NULL)
        n->world->frame(n->world->frame_arg, loop, f);
    return ALB_STATUS_OK;
}
