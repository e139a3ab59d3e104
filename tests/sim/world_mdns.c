/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_mdns.c – multicast between nodes: who was placed in the same subnet hears it, 1 ms on.
 *
 * It takes no room on the world's links, which are wide-area lines; it is lost nowhere.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/mdns_impl.h"
#include "sim/world_impl.h"

#define WAY_NS NS_PER_MS

struct world_mdns {
    struct mdns_socket base;
    struct world_mdns *next;
    struct world_node *node;
    struct world_said *under_way; /* to us */
};

/* One packet on its way to one node. */
struct world_said {
    struct world_said *next;
    struct world_mdns *to;
    struct timer timer;
    struct mdns_heard heard;
    uint8_t bytes[];
};

static struct world_mdns *mdns_of(struct mdns_socket *base)
{
    return ALB_CONTAINER(base, struct world_mdns, base);
}

/* The first address of a node on a link; NULL: none. */
static const struct net_address *address_on(const struct net_picture *p, uint32_t link,
                                            uint8_t family_size)
{
    for (size_t i = 0; i < p->address_count; i++)
        if (p->addresses[i].link == link && p->addresses[i].ip.size == family_size)
            return &p->addresses[i];
    return NULL;
}

static void unlink_said(struct world_said *said)
{
    struct world_said **at = &said->to->under_way;

    while (*at != said)
        at = &(*at)->next;
    *at = said->next;
}

static void arrive(void *arg)
{
    struct world_said *said = arg;
    struct world_mdns *to = said->to;

    unlink_said(said);
    mdns_socket_hear(&to->base, &said->heard); /* may close it */
    free(said);
}

static void say_to(struct world_mdns *to, uint32_t link, const struct net_ip *from,
                   const struct mdns_writer *packet)
{
    struct world_said *said = xalloc(sizeof(*said) + packet->size);

    said->to = to;
    said->next = to->under_way;
    to->under_way = said;
    memcpy(said->bytes, packet->bytes, packet->size);
    said->heard = (struct mdns_heard){.bytes = said->bytes,
                                      .size = packet->size,
                                      .link = link,
                                      .from = *from,
                                      .from_port = MDNS_PORT};
    timer_init(&said->timer, &to->node->loop, arrive, said);
    timer_set_in(&said->timer, WAY_NS);
}

static struct alb_status world_send(struct mdns_socket *base, uint32_t link,
                                    enum mdns_family family, const struct mdns_writer *packet)
{
    const struct world_node *n = mdns_of(base)->node;
    const struct net_address *own = address_on(&n->place, link, family == MDNS_4 ? 4 : 16);

    if (own == NULL)
        return alb_fail(ALB_IO, "sending to a link: it has no address there");
    for (struct world_mdns *to = n->world->mdns; to != NULL; to = to->next)
        for (size_t i = 0; i < to->node->place.address_count; i++) {
            const struct net_address *a = &to->node->place.addresses[i];
            if (net_address_covers(a, &own->ip)) {
                say_to(to, a->link, &own->ip, packet);
                break;
            }
        }
    return ALB_STATUS_OK;
}

static bool world_join(struct mdns_socket *base, uint32_t link, enum mdns_family family)
{
    (void)base;
    (void)link;
    (void)family;
    return true;
}

static void world_leave(struct mdns_socket *base, uint32_t link, enum mdns_family family)
{
    (void)base;
    (void)link;
    (void)family;
}

static void world_close(struct mdns_socket *base)
{
    struct world_mdns *s = mdns_of(base);
    struct world_mdns **at = &s->node->world->mdns;

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    while (s->under_way != NULL) {
        struct world_said *said = s->under_way;
        s->under_way = said->next;
        timer_stop(&said->timer);
        free(said);
    }
    loop_bury(&s->node->loop, free, s);
}

struct alb_status world_open_mdns(struct loop *loop, struct mdns_socket **out)
{
    static const struct mdns_ops ops = {
        .join = world_join, .leave = world_leave, .send = world_send, .close = world_close};
    struct world_mdns *s = xalloc(sizeof(*s));

    s->base = (struct mdns_socket){.ops = &ops};
    s->node = world_node_of(loop);
    s->next = s->node->world->mdns;
    s->node->world->mdns = s;
    *out = &s->base;
    return ALB_STATUS_OK;
}
