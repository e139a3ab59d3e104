/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/pipe.c – segments, transmissions and acknowledgements of a TCP-like connection. */
#include "fluid/pipe.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "fluid/ours.h"

static struct segment *segment(struct pipe *p, uint64_t seq)
{
    return &p->segments[seq % PIPE_RING];
}

static struct transmission *transmission(struct pipe *p, uint64_t tx)
{
    return &p->transmissions[tx % PIPE_RING];
}

struct pipe *pipe_new(struct world *w, enum direction direction, enum congestion congestion)
{
    struct pipe *p = xcalloc(1, sizeof(*p));
    p->index = w->pipe_count;
    p->direction = direction;
    p->congestion = congestion;
    p->timer_ns = p->rto_ns = p->ack_due_ns = UINT64_MAX;
    w->pipes[w->pipe_count++] = p;
    congestion_begin(w, p);
    return p;
}

struct pipe *pipe_free(struct pipe *p)
{
    if (p != NULL)
        free(p->web);
    free(p);
    return NULL;
}

static void set_timer(struct pipe *p, uint64_t now_ns)
{
    p->timer_ns = p->rto_ns < p->ack_due_ns ? p->rto_ns : p->ack_due_ns;
    bool more = p->given < p->limit || p->resend_count > 0;
    if (more && p->pace_ns > now_ns && p->pace_ns < p->timer_ns)
        p->timer_ns = p->pace_ns;
    if (p->web != NULL && p->web->due_ns < p->timer_ns)
        p->timer_ns = p->web->due_ns;
}

static void arm_timeout(struct world *w, struct pipe *p)
{
    double rto_s = p->timeouts == 0 ? 2 * p->srtt_s + 0.05 : (double)(1U << p->timeouts) * 0.3;
    if (p->srtt_s <= 0)
        rto_s = 1;
    p->rto_ns = p->in_flight == 0 ? UINT64_MAX : w->now_ns + (uint64_t)(rto_s * 1e9);
}

static void transmit(struct world *w, struct pipe *p, uint64_t seq)
{
    struct segment *s = segment(p, seq);
    struct transmission *t = transmission(p, p->next_tx);
    *t = (struct transmission){seq, w->now_ns, p->acked_bytes, p->delivered_ns, false, false};
    t->limited = p->given >= p->limit && p->resend_count == 0;
    s->tx = p->next_tx;
    s->queued = false;
    struct packet packet = {.kind = PACKET_DATA, .flow = p->index, .size = s->size + HEADER_BYTES};
    packet.seq = seq;
    packet.tx = p->next_tx++;
    packet.sent_ns = w->now_ns;
    if (p->in_flight++ == 0)
        p->heard_ns = w->now_ns;
    if (p->rto_ns == UINT64_MAX)
        arm_timeout(w, p);
    double pace = congestion_pace_bps(p);
    if (pace > 0)
        p->pace_ns = (p->pace_ns > w->now_ns ? p->pace_ns : w->now_ns) +
                     (uint64_t)(packet.size * 8e9 / pace);
    world_send(w, p->direction, &packet);
}

static bool next_lost(struct pipe *p, uint64_t *out)
{
    if (p->resend_from < p->edge_seq)
        p->resend_from = p->edge_seq;
    while (p->resend_count > 0 && p->resend_from < p->next_seq) {
        struct segment *s = segment(p, p->resend_from);
        if (s->queued && !s->acked) {
            *out = p->resend_from;
            return true;
        }
        p->resend_from++;
    }
    p->resend_count = 0;
    return false;
}

static void pump(struct world *w, struct pipe *p)
{
    while (p->in_flight < congestion_window(w, p) && p->pace_ns <= w->now_ns) {
        uint64_t seq;
        if (next_lost(p, &seq)) {
            p->resend_count--;
            p->retransmitted++;
            transmit(w, p, seq);
            continue;
        }
        if (p->given >= p->limit || p->next_seq - p->edge_seq >= PIPE_RING - 1 ||
            p->next_tx - p->edge_tx >= PIPE_RING - 1)
            break;
        uint64_t size = p->limit - p->given < w->mss ? p->limit - p->given : w->mss;
        *segment(p, p->next_seq) = (struct segment){.size = (uint32_t)size};
        p->given += size;
        transmit(w, p, p->next_seq++);
    }
    set_timer(p, w->now_ns);
}

void pipe_give(struct world *w, struct pipe *p, uint64_t bytes)
{
    p->limit = bytes >= PIPE_ENDLESS ? PIPE_ENDLESS : p->limit + bytes;
    pump(w, p);
}

void pipe_stop(struct pipe *p)
{
    p->limit = p->given;
}

void pipe_reconnect(struct world *w, struct pipe *p)
{
    congestion_begin(w, p);
    p->timeouts = 0;
}

static void hand_up(struct world *w, struct pipe *p)
{
    uint64_t before = p->received_bytes;
    while (p->received_seq < p->next_seq && segment(p, p->received_seq)->arrived)
        p->received_bytes += segment(p, p->received_seq++)->size;
    if (p->received_bytes == before)
        return;
    if (p->ours != NULL)
        ours_on_delivered(w, p->ours, p, p->received_bytes - before);
    if (p->web != NULL)
        web_on_delivered(w, p);
}

static void acknowledge(struct world *w, struct pipe *p)
{
    struct packet ack = {.kind = PACKET_ACK, .flow = p->index, .size = 60};
    ack.tx = p->ack_tx;
    ack.seq = p->unacked;
    ack.edge = p->received_seq;
    p->unacked = 0;
    p->ack_due_ns = UINT64_MAX;
    world_send(w, p->direction == DOWN ? UP : DOWN, &ack);
}

void pipe_on_data(struct world *w, struct pipe *p, const struct packet *packet)
{
    bool hole = packet->seq != p->received_seq;
    bool fresh = packet->seq >= p->received_seq && !segment(p, packet->seq)->arrived;
    if (fresh)
        segment(p, packet->seq)->arrived = true;
    if (hole && p->ours != NULL)
        ours_on_hole(w, p->ours);
    if (p->unacked > 0 && p->ack_tx + 1 != packet->tx)
        acknowledge(w, p); /* one acknowledgement names a run of transmissions */
    hand_up(w, p);
    p->ack_tx = packet->tx;
    p->unacked++;
    if (p->ack_due_ns == UINT64_MAX)
        p->ack_due_ns = w->now_ns + 40000000;
    if (hole || p->unacked >= 2)
        acknowledge(w, p);
    set_timer(p, w->now_ns);
}

static void came(struct world *w, struct pipe *p, uint64_t tx)
{
    struct transmission *t = transmission(p, tx);
    if (tx < p->edge_tx || t->done)
        return;
    t->done = true;
    p->in_flight--;
    p->heard_ns = w->now_ns;
    double rtt_s = (double)(w->now_ns - t->sent_ns) / 1e9;
    p->srtt_s = p->srtt_s <= 0 ? rtt_s : 0.875 * p->srtt_s + 0.125 * rtt_s;
    struct segment *s = segment(p, t->seq);
    if (t->seq >= p->edge_seq && !s->acked) {
        s->acked = true;
        p->acked_bytes += s->size;
        p->delivered_ns = w->now_ns;
    }
    if (tx > p->acked_tx)
        p->acked_tx = tx;
    congestion_acked(w, p, t, rtt_s);
}

static void give_up(struct world *w, struct pipe *p, uint64_t tx)
{
    struct transmission *t = transmission(p, tx);
    if (t->done)
        return;
    t->done = true;
    p->in_flight--;
    struct segment *s = segment(p, t->seq);
    if (t->seq < p->edge_seq || s->acked || s->tx != tx)
        return;
    s->queued = true;
    p->resend_count++;
    if (t->seq < p->resend_from)
        p->resend_from = t->seq;
    if (tx >= p->recovery_tx) { /* once per window */
        p->recovery_tx = p->next_tx;
        congestion_lost(w, p);
    }
}

void pipe_on_ack(struct world *w, struct pipe *p, const struct packet *packet)
{
    p->timeouts = 0;
    for (uint64_t i = packet->seq; i-- > 0;)
        came(w, p, packet->tx - i);
    while (p->edge_seq < packet->edge) { /* also what lost acknowledgements spoke of */
        struct segment *s = segment(p, p->edge_seq);
        if (!s->acked && s->tx < packet->tx)
            came(w, p, s->tx);
        s->acked = true;
        p->edge_seq++;
    }
    while (p->edge_tx + 3 <= p->acked_tx)
        give_up(w, p, p->edge_tx++);
    while (p->edge_tx < p->next_tx && transmission(p, p->edge_tx)->done)
        p->edge_tx++;
    arm_timeout(w, p);
    pump(w, p);
}

static void time_out(struct world *w, struct pipe *p)
{
    for (; p->edge_tx < p->next_tx; p->edge_tx++)
        give_up(w, p, p->edge_tx);
    if (p->timeouts++ > 0)
        congestion_timeout(p);
    if (p->timeouts > 6)
        p->timeouts = 6;
    p->rto_ns = UINT64_MAX;
    p->recovery_tx = p->next_tx;
}

void pipe_on_timer(struct world *w, struct pipe *p)
{
    if (p->ack_due_ns <= w->now_ns)
        acknowledge(w, p);
    if (p->rto_ns <= w->now_ns)
        time_out(w, p);
    if (p->web != NULL && p->web->due_ns <= w->now_ns)
        web_on_timer(w, p);
    pump(w, p);
}
