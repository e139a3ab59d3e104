/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_stream.c – a connection's two ends: what is written at one is read at the other, in
 * order.
 *
 * An end sends while three limits allow: what was written, what the congestion window lets be under
 * way, and what the other side's program has not read yet.  Each segment is acknowledged, with the
 * count of bytes the program there has taken.
 */
#include "sim/world_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/fault.h"
#include "base/units.h"

enum {
    UNSENT_LIMIT = 256 << 10, /* as a kernel's send buffer beyond what is in flight */
    WINDOW_LEAST = 64 << 10,
    WINDOW_MOST = 4 << 20,
    CONGESTION_FIRST = 10 * SEGMENT_SIZE, /* RFC 6928 */
};

static void send_more(struct world_end *e);

/* The world does not run out of memory when a program in it does. */
static struct alb_status append(struct buf *b, const void *bytes, size_t size)
{
    fault_pause(true);
    struct alb_status st = buf_append(b, bytes, size);
    fault_pause(false);
    return st;
}

static struct world_end *other_end(const struct world_end *e)
{
    return &e->conn->ends[1 - e->index];
}

/* ---- lifetime -------------------------------------------------------------------------------- */

static uint64_t window_for(const struct world_path *p)
{
    if (p == NULL)
        return WINDOW_LEAST; /* a dial to nowhere */
    /* bytes/s × ns stays below 2^64 for 10 Gbit/s × 10 s */
    uint64_t bytes = 2 * (p->slowest_bps * (2 * p->delay_ns) / NS_PER_S);

    if (bytes < WINDOW_LEAST)
        return WINDOW_LEAST;
    return bytes < WINDOW_MOST ? bytes : WINDOW_MOST;
}

static void end_init(struct world_conn *c, unsigned index, struct world_node *node,
                     struct world_node *other)
{
    struct world_end *e = &c->ends[index];

    e->conn = c;
    e->index = index;
    e->node = node;
    e->path = world_path_find(c->world, node, other);
    e->failure = ALB_STATUS_OK;
    e->window_bytes = window_for(e->path);
    e->congestion_bytes = CONGESTION_FIRST;
    e->rtt_ns = e->path == NULL ? 0 : 2 * e->path->delay_ns;
    buf_init(&e->unsent, UNSENT_LIMIT);
    buf_init(&e->inbox, (size_t)e->window_bytes);
}

struct world_conn *world_conn_new(struct world *w, struct world_node *dialler,
                                  struct world_node *acceptor, uint16_t port)
{
    struct world_conn *c = xalloc(sizeof(*c));

    c->world = w;
    c->serial = ++w->conn_count;
    c->port = port;
    end_init(c, 0, dialler, acceptor);
    end_init(c, 1, acceptor, dialler);
    c->self = &w->conns;
    c->next = w->conns;
    if (c->next != NULL)
        c->next->self = &c->next;
    w->conns = c;
    return c;
}

void world_conn_free(struct world_conn *c)
{
    *c->self = c->next;
    if (c->next != NULL)
        c->next->self = c->self;
    for (unsigned i = 0; i < 2; i++) {
        buf_release(&c->ends[i].unsent);
        buf_release(&c->ends[i].inbox);
        free(c->ends[i].stream);
    }
    free(c);
}

void world_conn_ref(struct world_conn *c)
{
    c->references++;
}

void world_conn_unref(struct world_conn *c)
{
    if (--c->references == 0)
        world_conn_free(c);
}

uint64_t world_packet_segments(const struct world_packet *p)
{
    return p->size == 0 ? 1 : (p->size + SEGMENT_SIZE - 1) / SEGMENT_SIZE;
}

struct world_packet *world_packet_new(struct world_end *from, enum packet_kind kind, size_t size)
{
    struct world_packet *p = xalloc(sizeof(*p) + size);
    p->path = from->path;
    p->conn = from->conn;
    p->to = 1 - from->index;
    p->kind = kind;
    p->size = size;
    p->wire_size = size + world_packet_segments(p) * HEADERS_SIZE;
    p->sent_ns = from->conn->world->now_ns;
    from->segments_sent += world_packet_segments(p);
    world_conn_ref(p->conn);
    return p;
}

void world_packet_free(struct world_packet *p)
{
    world_conn_unref(p->conn);
    free(p);
}

/* ---- telling the program --------------------------------------------------------------------- */

static void on_notify(void *arg)
{
    struct world_end *e = arg;
    struct world_node *n = e->node;

    e->is_ready_pending = false;
    if (e->stream != NULL) {
        struct stream *s = &e->stream->stream;

        s->ready(s->ready_arg); /* may free it */
        world_node_turn(n);
    }
    world_conn_unref(e->conn);
}

void world_end_notify(struct world_end *e)
{
    if (e->is_ready_pending || e->stream == NULL)
        return;
    e->is_ready_pending = true;
    world_conn_ref(e->conn);
    world_at(e->conn->world, e->conn->world->now_ns, on_notify, e);
}

void world_end_fail(struct world_end *e, struct alb_status st)
{
    if (alb_failed(e->failure))
        return;
    e->failure = st;
    e->is_finishing = false;
    buf_clear(&e->unsent);
    world_end_notify(e);
    if (e->stream != NULL && buf_size(&e->inbox) == 0)
        e->stream->stream.status = st;
}

/* ---- sending --------------------------------------------------------------------------------- */

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* On a fast path one packet stands for the segments of a millisecond,
 * as the kernel's offloads do. */
static size_t segment_most(const struct world_end *e)
{
    uint64_t bytes = e->path->slowest_bps / 1000;

    if (bytes < SEGMENT_SIZE)
        return SEGMENT_SIZE;
    return bytes < SEGMENT_MOST ? (size_t)bytes : SEGMENT_MOST;
}

static size_t sendable(const struct world_end *e)
{
    if (buf_size(&e->unsent) == 0)
        return 0;
    uint64_t flying = e->sent_bytes - e->acked_bytes;
    uint64_t unread = e->sent_bytes - e->other_consumed_bytes;
    uint64_t congestion = e->congestion_bytes > flying ? e->congestion_bytes - flying : 0;
    uint64_t window = e->window_bytes > unread ? e->window_bytes - unread : 0;

    return (size_t)lesser(lesser(congestion, window),
                          lesser(buf_size(&e->unsent), segment_most(e)));
}

static void send_more(struct world_end *e)
{
    for (size_t n = sendable(e); n > 0; n = sendable(e)) {
        struct world_packet *p = world_packet_new(e, PACKET_DATA, n);

        memcpy(p->bytes, buf_peek(&e->unsent), n);
        buf_consume(&e->unsent, n);
        e->sent_bytes += n;
        world_packet_send(p);
    }
    if (e->is_finishing && !e->is_finish_sent && buf_size(&e->unsent) == 0) {
        e->is_finish_sent = true;
        world_packet_send(world_packet_new(e, PACKET_FINISH, 0));
    }
    if (e->is_writer_waiting && buf_size(&e->unsent) <= UNSENT_LIMIT / 2) {
        e->is_writer_waiting = false;
        world_end_notify(e);
    }
}

static void acknowledge(struct world_end *e, uint64_t sent_ns)
{
    struct world_packet *p = world_packet_new(e, PACKET_ACK, 0);

    p->acked_bytes = e->received_bytes;
    p->consumed_bytes = e->consumed_bytes;
    p->sent_ns = sent_ns;
    e->reported_bytes = e->consumed_bytes;
    world_packet_send(p);
}

/* ---- a packet has arrived -------------------------------------------------------------------- */

static void take_data(struct world_end *e, const struct world_packet *p)
{
    if (e->stream == NULL || alb_failed(e->failure)) { /* nobody is there any more */
        world_packet_send(world_packet_new(e, PACKET_RESET, 0));
        return;
    }
    e->received_bytes += p->size;
    struct alb_status st = append(&e->inbox, p->bytes, p->size);
    alb_assert(!alb_failed(st)); /* the window is the inbox's limit */
    acknowledge(e, p->sent_ns);
    if (e->is_reader_waiting) {
        e->is_reader_waiting = false;
        world_end_notify(e);
    }
}

static void take_acknowledgement(struct world_end *e, const struct world_packet *p)
{
    uint64_t sample_ns = e->conn->world->now_ns - p->sent_ns;

    if (p->acked_bytes > e->acked_bytes) {
        e->congestion_bytes =
            lesser(e->congestion_bytes + p->acked_bytes - e->acked_bytes, e->window_bytes);
        e->acked_bytes = p->acked_bytes;
        e->rtt_ns = (7 * e->rtt_ns + sample_ns) / 8;
        if (e->min_rtt_ns == 0 || sample_ns < e->min_rtt_ns)
            e->min_rtt_ns = sample_ns;
    }
    if (p->consumed_bytes > e->other_consumed_bytes)
        e->other_consumed_bytes = p->consumed_bytes;
    send_more(e);
}

void world_conn_deliver(struct world_packet *p)
{
    struct world_end *e = &p->conn->ends[p->to];

    e->segments_received += world_packet_segments(p);
    switch (p->kind) {
    case PACKET_HANDSHAKE: world_handshake_deliver(p->conn, p->step); break;
    case PACKET_DATA: take_data(e, p); break;
    case PACKET_ACK: take_acknowledgement(e, p); break;
    case PACKET_FINISH:
        e->is_other_finished = true;
        world_end_notify(e);
        break;
    case PACKET_RESET:
        world_end_fail(e, p->conn->is_handshaken ? alb_fail(ALB_CLOSED, "the connection was reset")
                                                 : alb_fail(ALB_REFUSED, "nobody listens there"));
        break;
    case PACKET_DATAGRAM: alb_unreachable(); /* has no connection */
    }
    world_packet_free(p);
}

/* ---- the program's stream -------------------------------------------------------------------- */

static struct world_end *end_of(struct stream *s)
{
    return ((struct world_stream *)s)->end;
}

static enum stream_result end_read(struct stream *s, void *out, size_t size, size_t *moved)
{
    struct world_end *e = end_of(s);
    size_t n = lesser(size, buf_size(&e->inbox));

    if (n > 0) {
        memcpy(out, buf_peek(&e->inbox), n);
        buf_consume(&e->inbox, n);
        e->consumed_bytes += n;
        if (e->consumed_bytes - e->reported_bytes >= e->window_bytes / 2)
            acknowledge(e, e->conn->world->now_ns);
        *moved = n;
        return STREAM_MOVED;
    }
    if (alb_failed(e->failure)) {
        s->status = e->failure;
        return STREAM_FAILED;
    }
    if (e->is_other_finished)
        return STREAM_ENDED;
    e->is_reader_waiting = true;
    return STREAM_BLOCKED;
}

static enum stream_result end_write(struct stream *s, const void *bytes, size_t size, size_t *moved)
{
    struct world_end *e = end_of(s);
    size_t n = lesser(size, buf_room(&e->unsent));

    if (alb_failed(e->failure)) {
        s->status = e->failure;
        return STREAM_FAILED;
    }
    if (n == 0 || !s->is_open) {
        e->is_writer_waiting = true;
        return STREAM_BLOCKED;
    }
    struct alb_status st = append(&e->unsent, bytes, n);
    alb_assert(!alb_failed(st));
    send_more(e);
    *moved = n;
    return STREAM_MOVED;
}

static void end_figures(struct stream *s, struct path_figures *out)
{
    const struct world_end *e = end_of(s);

    *out = (struct path_figures){
        .rtt_ns = e->rtt_ns,
        .min_rtt_ns = e->min_rtt_ns,
        .segments_sent = e->segments_sent + e->lost_segments,
        .segments_received = e->segments_received,
        .retransmitted = e->lost_segments,
        .retransmitted_bytes = e->lost_bytes,
        .path_sent_bytes = e->sent_bytes + e->lost_bytes,
        .received_out_of_order = e->held_up_segments,
        .unsent_bytes = buf_size(&e->unsent),
        .wire_sent_bytes = e->sent_bytes,
        .acked_bytes = e->acked_bytes,
        .wire_received_bytes = e->received_bytes,
    };
}

/* The same at both ends, and another one for each connection of a world. */
static struct alb_status end_export_key(struct stream *s, const char *label, uint8_t *out)
{
    const struct world_conn *c = end_of(s)->conn;

    struct digest key;

    hmac_sha256(&c->serial, sizeof(c->serial), label, strlen(label), &key);
    memcpy(out, key.bytes, STREAM_EXPORTED_SIZE);
    return ALB_STATUS_OK;
}

/* What was written still leaves, then the end of it;
 * a connection that never opened is forgotten. */
static void end_free(struct stream *s)
{
    struct world_end *e = end_of(s);

    free(e->stream);
    e->stream = NULL;
    e->is_finishing = e->conn->is_handshaken && !alb_failed(e->failure);
    send_more(e);
    world_conn_unref(e->conn);
}

static const struct stream_ops end_ops = {
    .read = end_read,
    .write = end_write,
    .figures = end_figures,
    .export_key = end_export_key,
    .free = end_free,
};

struct world_stream *world_end_open(struct world_end *e)
{
    struct world_stream *s = xalloc(sizeof(*s));

    stream_init(&s->stream, &e->node->loop, &end_ops);
    s->end = e;
    s->stream.peer = other_end(e)->node->identity;
    e->stream = s;
    world_conn_ref(e->conn);
    return s;
}
