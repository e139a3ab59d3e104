/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_datagram.c – UDP between nodes: one packet on the links' queues, or none.
 *
 * A node's address is 10.0.0.0 + its number, so that what prints or compares addresses can.
 */
#include "sim/world_impl.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { DATAGRAM_HEADERS_SIZE = 28 /* IPv4 and UDP */ };
#define NET_ADDRESS 0x0a000000u

struct world_datagram {
    struct datagram datagram; /* first */
    struct world_datagram *next;
    struct world_node *node;
    uint16_t port;
};

/* ---- addresses ------------------------------------------------------------------------------- */

static void set_address(const struct world_node *n, uint16_t port, struct address *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr = {htonl(NET_ADDRESS + n->number)}};

    *out = (struct address){.size = sizeof(in)};
    memcpy(&out->storage, &in, sizeof(in));
}

bool world_find_host(struct loop *loop, const char *host, uint16_t port, struct address *out)
{
    struct loop *to = world_node(world_node_of(loop)->world, host);

    if (to == NULL)
        return false;
    set_address(world_node_of(to), port, out);
    return true;
}

static struct world_node *node_at(const struct world *w, const struct sockaddr_in *in)
{
    uint32_t number = ntohl(in->sin_addr.s_addr) - NET_ADDRESS;

    for (struct world_node *n = w->nodes; n != NULL; n = n->next)
        if (n->number == number)
            return n;
    return NULL;
}

/* ---- sending and arriving -------------------------------------------------------------------- */

static struct alb_status send_packet(struct datagram *base, const void *bytes, size_t size,
                                     const struct datagram_peer *to)
{
    const struct world_datagram *d = (const struct world_datagram *)base;
    struct world *w = d->node->world;
    struct sockaddr_in in;

    memcpy(&in, &to->address.storage, sizeof(in));
    const struct world_node *n = node_at(w, &in);
    const struct world_path *path = n == NULL ? NULL : world_path_find(w, d->node, n);
    if (path == NULL)
        return alb_fail(ALB_IO, "sending a datagram: there is no way to that address");
    struct world_packet *p = xalloc(sizeof(*p) + size);
    p->path = path;
    p->kind = PACKET_DATAGRAM;
    p->from_port = d->port;
    p->to_port = ntohs(in.sin_port);
    p->size = size;
    p->wire_size = size + DATAGRAM_HEADERS_SIZE;
    p->sent_ns = w->now_ns;
    memcpy(p->bytes, bytes, size);
    world_packet_send(p);
    return ALB_STATUS_OK;
}

static struct world_datagram *find(const struct world *w, const struct world_node *n, uint16_t port)
{
    for (struct world_datagram *d = w->datagrams; d != NULL; d = d->next)
        if (d->node == n && d->port == port)
            return d;
    return NULL;
}

void world_datagram_deliver(struct world_packet *p)
{
    struct world *w = p->path->from->world;
    struct world_datagram *d = find(w, p->path->to, p->to_port);
    struct datagram_peer from = {.here_size = 0};

    if (d != NULL && p->size <= DATAGRAM_MOST) {
        struct world_node *to = d->node;
        set_address(p->path->from, p->from_port, &from.address);
        d->datagram.got(d->datagram.arg, p->bytes, p->size, &from, w->now_ns); /* may close d */
        world_node_turn(to);
    }
    free(p);
}

/* ---- birth and death ------------------------------------------------------------------------- */

static uint16_t port_of(const struct datagram *d)
{
    return ((const struct world_datagram *)d)->port;
}

static void close_datagram(struct datagram *base)
{
    struct world_datagram *d = (struct world_datagram *)base;
    struct world_datagram **at = &d->node->world->datagrams;

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    free(d);
}

struct alb_status world_open_datagram(struct loop *loop, const struct datagram_options *options,
                                      struct datagram **out)
{
    static const struct datagram_ops ops = {
        .port = port_of, .send = send_packet, .close = close_datagram};
    struct world_node *n = world_node_of(loop);
    const uint16_t port = options->port == 0 ? n->world->next_port++ : options->port;

    if (find(n->world, n, port) != NULL)
        return alb_fail(ALB_IO, "binding the UDP port: it is taken");
    struct world_datagram *d = xalloc(sizeof(*d));
    *d = (struct world_datagram){.datagram = {&ops, options->got, options->arg},
                                 .next = n->world->datagrams,
                                 .node = n,
                                 .port = port};
    n->world->datagrams = d;
    *out = &d->datagram;
    return ALB_STATUS_OK;
}
