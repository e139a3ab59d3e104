/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_dial.c – how a connection comes about: TCP's three flights, then TLS 1.3's.
 *
 *     dialler                                   acceptor
 *        0  SYN                ───────────────>   is there a listener?
 *           <───────────────            SYN, ACK  1
 *        2  ClientHello        ───────────────>
 *           <─── ServerHello, certificate, Fin.  3
 *   open 4  certificate, Finished  ───────────>   accepted
 */
#include "sim/world_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { LAST_STEP = 4, ADDRESS_SIZE = sizeof(((struct stream *)0)->address) };

/* Payload of each flight: what OpenSSL sends with Ed25519 certificates of a chain of two. */
static const size_t flight_size[] = {20, 20, 330, 1900, 1250};

struct world_listener {
    struct listener listener; /* first */
    struct world_listener *next;
    struct world_node *node;
    uint16_t port;
    accept_fn accepted;
    void *arg;
};

static struct world_listener *listener_at(const struct world_conn *c)
{
    for (struct world_listener *l = c->world->listeners; l != NULL; l = l->next)
        if (l->node == c->ends[1].node && l->port == c->port)
            return l;
    return NULL;
}

/* ---- dial ------------------------------------------------------------------------------------ */

static void send_step(struct world_conn *c, unsigned step)
{
    struct world_packet *p =
        world_packet_new(&c->ends[step % 2], PACKET_HANDSHAKE, flight_size[step]);

    p->step = step;
    world_packet_send(p);
}

static void on_dial_deadline(void *arg)
{
    struct world_conn *c = arg;
    struct world_end *e = &c->ends[0];

    if (e->stream != NULL && !e->stream->stream.is_open)
        world_end_fail(e, alb_fail(ALB_TIMEOUT, "connecting"));
    world_conn_unref(c);
}

static void on_start(void *arg)
{
    struct world_conn *c = arg;

    if (c->ends[0].stream != NULL)
        send_step(c, 0);
    world_conn_unref(c);
}

/* A dial that cannot succeed is still a stream, which says so by its ready call. */
static struct stream *dial_nowhere(struct world_node *from, struct alb_status st)
{
    struct world_conn *c = world_conn_new(from->world, from, from, 0);
    struct world_stream *s = world_end_open(&c->ends[0]);

    world_end_fail(&c->ends[0], st);
    return &s->stream;
}

struct stream *world_dial(struct loop *loop, const struct dial_options *options)
{
    struct world_node *from = world_node_of(loop);
    struct world *w = from->world;
    struct loop *to = world_node(w, options->host);

    if (to == NULL)
        return dial_nowhere(from, alb_fail(ALB_NOT_FOUND, "looking up the name"));
    if (world_path_find(w, from, world_node_of(to)) == NULL)
        return dial_nowhere(from, alb_fail(ALB_IO, "no route to that host"));
    struct world_conn *c = world_conn_new(w, from, world_node_of(to), options->port);
    struct world_stream *s = world_end_open(&c->ends[0]);
    (void)snprintf(s->stream.address, ADDRESS_SIZE, "%.50s:%u", options->host, options->port);
    world_conn_ref(c);
    world_at(w, w->now_ns, on_start, c);
    world_conn_ref(c);
    world_at(w, w->now_ns + options->timeout_ns, on_dial_deadline, c);
    return &s->stream;
}

/* ---- accept ---------------------------------------------------------------------------------- */

static void refuse(struct world_conn *c)
{
    world_packet_send(world_packet_new(&c->ends[1], PACKET_RESET, 0));
}

static void accept_stream(struct world_conn *c, const struct world_listener *l)
{
    struct world_stream *s = world_end_open(&c->ends[1]);

    s->stream.is_open = true;
    (void)snprintf(s->stream.address, ADDRESS_SIZE, "%.50s:%u", c->ends[0].node->name,
                   c->world->next_port++);
    l->accepted(l->arg, &s->stream);
    world_node_turn(c->ends[1].node);
}

/* The dialler may speak from step 3 on: its first words come right behind its certificate. */
void world_handshake_deliver(struct world_conn *c, unsigned step)
{
    const struct world_listener *l = listener_at(c);
    struct world_end *dialler = &c->ends[0];

    if (step % 2 == 0 && l == NULL) {
        refuse(c);
        return;
    }
    if (step == LAST_STEP) {
        alb_assert(l != NULL); /* the last step is an even one */
        accept_stream(c, l);
        return;
    }
    if (step % 2 == 1 && (dialler->stream == NULL || alb_failed(dialler->failure)))
        return; /* it gave up */
    send_step(c, step + 1);
    if (step + 1 == LAST_STEP) {
        c->is_handshaken = true;
        dialler->stream->stream.is_open = true;
        world_end_notify(dialler);
    }
}

/* ---- listen ---------------------------------------------------------------------------------- */

static uint16_t port_of(const struct listener *l)
{
    return ((const struct world_listener *)l)->port;
}

static void stop_listening(struct listener *l)
{
    struct world_listener *mine = (struct world_listener *)l;
    struct world_listener **at = &mine->node->world->listeners;

    while (*at != mine)
        at = &(*at)->next;
    *at = mine->next;
    free(mine);
}

static const struct listener_ops listener_ops = {.port = port_of, .free = stop_listening};

struct alb_status world_listen(struct loop *loop, const struct listen_options *options,
                               accept_fn accepted, void *arg, struct listener **out)
{
    struct world_node *n = world_node_of(loop);
    struct world_listener *l = xalloc(sizeof(*l));

    *l = (struct world_listener){
        .listener = {&listener_ops},
        .node = n,
        .port = options->port == 0 ? n->world->next_port++ : options->port,
        .accepted = accepted,
        .arg = arg,
    };
    for (struct world_listener *other = n->world->listeners; other != NULL; other = other->next)
        if (other->node == n && other->port == l->port) {
            free(l);
            return alb_fail(ALB_IO, "the port is taken");
        }
    l->next = n->world->listeners;
    n->world->listeners = l;
    *out = &l->listener;
    return ALB_STATUS_OK;
}
