/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/wan_member.c – one connection over the line: its gates, and what it tells of itself. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/units.h"
#include "shaper/shaper_wire.h"
#include "shaper/wan_impl.h"
#include "wire/stamp.h"

enum { FRAMES_IN_WINDOW = 2 };

/* ---- what came, what arrived ----------------------------------------------------------------- */

static void delivered(struct wan_member *m, enum wan_way way, uint64_t bytes, uint64_t now_ns)
{
    struct wan_half *h = &m->wan->halves[way];

    if (bytes == 0)
        return;
    m->delivered_bytes[way] += bytes;
    if (m->delivered_bytes[way] > m->granted_bytes[way]) {
        /* On its way when the credit was taken back: it was granted after all. */
        law_on_granted(&h->law, m->delivered_bytes[way] - m->granted_bytes[way], now_ns);
        m->granted_bytes[way] = m->delivered_bytes[way];
    }
    h->delivered_bytes += bytes;
    law_on_delivered(&h->law, bytes, now_ns);
    wan_moved(h, bytes, now_ns);
}

static void count_received(struct wan_member *m, uint64_t now_ns)
{
    uint64_t received = 0, sent = 0;

    http_session_counts(m->session, &received, &sent);
    delivered(m, WAN_DOWN, received - m->received_bytes, now_ns);
    m->received_bytes = received;
}

/* ---- credit: what bulk may come -------------------------------------------------------------- */

static struct wan_member *of_credit(struct gate *g)
{
    return ALB_CONTAINER(g, struct wan_member, credit_gate);
}

static void leaf_called(void *arg)
{
    gate_wake(arg);
}

static void keep_active(struct wan *w, uint64_t now_ns)
{
    const bool was_resting = !timer_is_set(&w->tick);

    w->active_ns = now_ns;
    if (was_resting && w->options.is_shaped)
        timer_set(&w->tick, now_ns);
}

static size_t credit_ask(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    struct wan_member *m = of_credit(g);
    m->down.gate.least = g->least;
    const size_t allowed = gate_ask(&m->down.gate, want, now_ns, retry_ns);
    keep_active(m->wan, now_ns);
    count_received(m, now_ns);
    if (allowed == 0 && *retry_ns == GATE_WILL_CALL)
        gate_await(&m->down.gate, leaf_called, g);
    return allowed;
}

static void credit_spent(struct gate *g, size_t bytes, uint64_t now_ns)
{
    struct wan_member *m = of_credit(g);

    m->granted_bytes[WAN_DOWN] += bytes;
    law_on_granted(&m->wan->halves[WAN_DOWN].law, bytes, now_ns);
    gate_spend(&m->down.gate, bytes, now_ns);
}

static void credit_forget(struct gate *g)
{
    gate_forget(&of_credit(g)->down.gate, g);
}

static const struct gate_ops credit_ops = {
    .ask = credit_ask, .spent = credit_spent, .forget = credit_forget};

/* ---- the stream: what leaves ----------------------------------------------------------------- */

static struct wan_member *of_stream(struct gate *g)
{
    return ALB_CONTAINER(g, struct wan_member, stream_gate);
}

static uint64_t under_way(const struct wan_member *m)
{
    const uint64_t gone = m->granted_bytes[WAN_UP], arrived = m->delivered_bytes[WAN_UP];

    return gone > arrived ? gone - arrived : 0;
}

/* Beyond W nothing more: the window of the way up.  What was acknowledged is only known by
 * asking. */
static size_t within_window(struct wan_member *m, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    const struct law_verdict *v = &m->wan->halves[WAN_UP].verdict;
    const uint64_t window = v->window_bytes;

    if (window == LAW_UNLIMITED || v->state == LAW_OFF)
        return want;
    wan_member_look(m, now_ns);
    if (under_way(m) + want <= window || under_way(m) == 0)
        return want;
    if (under_way(m) < window)
        return (size_t)(window - under_way(m));
    *retry_ns = now_ns + 2000000; /* two milliseconds: a packet at 6 Mbit/s */
    return 0;
}

static size_t stream_ask(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    struct wan_member *m = of_stream(g);

    if (m->is_uploading) {
        keep_active(m->wan, now_ns);
        want = within_window(m, want, now_ns, retry_ns);
    }
    if (want == 0)
        return 0;
    m->up.gate.least = g->least;
    const size_t allowed = gate_ask(&m->up.gate, want, now_ns, retry_ns);
    if (allowed == 0 && *retry_ns == GATE_WILL_CALL)
        gate_await(&m->up.gate, leaf_called, g);
    return allowed;
}

static void stream_spent(struct gate *g, size_t bytes, uint64_t now_ns)
{
    struct wan_member *m = of_stream(g);

    m->granted_bytes[WAN_UP] += bytes;
    if (m->is_uploading)
        law_on_granted(&m->wan->halves[WAN_UP].law, bytes, now_ns);
    gate_spend(&m->up.gate, bytes, now_ns);
}

static void stream_forget(struct gate *g)
{
    gate_forget(&of_stream(g)->up.gate, g);
}

static const struct gate_ops stream_ops = {
    .ask = stream_ask, .spent = stream_spent, .forget = stream_forget};

/* ---- stamps ---------------------------------------------------------------------------------- */

static void on_stamp(void *arg, const uint8_t *bytes, size_t size)
{
    struct wan_member *m = arg;
    struct wan *w = m->wan;
    const uint64_t now_ns = loop_now_ns(w->options.loop);
    struct sender_stamp s;

    if (alb_failed(sender_stamp_decode(bytes, size, &s)))
        return; /* of a newer program, say: it is advice, and we go on without it */
    const struct law_stamp stamp = {
        .stream = m->number,
        .retransmitted = s.retransmitted,
        .sender_limited = (s.flags & (STAMP_SOURCE_STARVED | STAMP_SENDER_LIMITED)) != 0,
        .policy_limited = (s.flags & STAMP_POLICY_LIMITED) != 0,
        .aggregate_bps = s.aggregate_bps,
        .sisters = s.flows};
    law_on_stamp(&w->halves[WAN_DOWN].law, &stamp, now_ns);
    if (w->is_by_ping) {
        const struct law_sample sample = {.at_ns = now_ns, .owd_ns = (int64_t)(now_ns - s.sent_ns)};
        law_on_sample(&w->halves[WAN_DOWN].law, &sample);
    }
}

/* ---- looking --------------------------------------------------------------------------------- */

/* Credit that is not outstanding any more and did not come will never come. */
static void forfeit(struct wan_member *m, uint64_t now_ns)
{
    const uint64_t open = http_session_outstanding_bytes(m->session);
    const uint64_t known = m->granted_bytes[WAN_DOWN] > m->delivered_bytes[WAN_DOWN]
                               ? m->granted_bytes[WAN_DOWN] - m->delivered_bytes[WAN_DOWN]
                               : 0;

    if (known <= open)
        return;
    m->granted_bytes[WAN_DOWN] -= known - open;
    law_on_forfeit(&m->wan->halves[WAN_DOWN].law, known - open, now_ns);
}

/* What control brings is not asked for beforehand, only counted: the credit it holds for answers
 * that may never come would take the whole of a thin line.  A lump that came while nobody looked
 * is forgiven beyond a little. */
static void charge_control(struct wan_member *m, uint64_t received_bytes)
{
    enum { LUMP_MOST = 64 << 10 };
    const uint64_t bytes = received_bytes - m->received_bytes;

    m->received_bytes = received_bytes;
    wan_charge(&m->wan->halves[WAN_DOWN], wire_estimate(bytes < LUMP_MOST ? bytes : LUMP_MOST));
}

static void look_down(struct wan_member *m, const struct path_figures *f, uint64_t now_ns)
{
    count_received(m, now_ns);
    forfeit(m, now_ns);
    if (f->received_out_of_order > m->out_of_order)
        law_on_hole(&m->wan->halves[WAN_DOWN].law, now_ns);
    m->out_of_order = f->received_out_of_order;
}

void wan_member_look(struct wan_member *m, uint64_t now_ns)
{
    struct path_figures f;

    stream_figures(http_session_stream(m->session), &f);
    if (m->traffic == WAN_BULK)
        look_down(m, &f, now_ns);
    else
        charge_control(m, f.wire_received_bytes);
    if (m->is_uploading && f.acked_bytes > m->acked_bytes)
        delivered(m, WAN_UP, f.acked_bytes - m->acked_bytes, now_ns);
    m->acked_bytes = f.acked_bytes;
    if (m->traffic != WAN_CONTROL && http_session_expected_bytes(m->session) > 0)
        m->wan->active_ns = now_ns;
}

/* ---- taking part ----------------------------------------------------------------------------- */

/* Those that W is shared by: whoever expects nothing, or but a word about what it sends, would keep
 * its part from the others, and what then comes too slowly looks like somebody else's traffic. */
static uint64_t sharers(const struct wan_member *self)
{
    const struct wan_member *m;
    uint64_t count = 1;

    TAILQ_FOREACH(m, &self->wan->members, link)
    if (m != self && m->traffic == WAN_BULK && !m->is_uploading)
        count += http_session_expected_bytes(m->session) > 0;
    return count;
}

/* A little more or less is not worth waking a session for. */
static bool differs(uint64_t a, uint64_t b)
{
    return a > b + b / 16 || b > a + a / 16;
}

/* Without a law a limit still needs a window: who sends more slowly than he may would else collect
 * credit that was paid for long ago, and use it all at once. */
static uint64_t limit_window(const struct wan_half *h)
{
    enum { PATIENCE_MS = 100, UNKNOWN_MS = 200 };
    const uint64_t base_ms = h->verdict.base_rtt_ns / NS_PER_MS;

    if (h->line_bps == TREE_UNLIMITED)
        return LAW_UNLIMITED;
    return h->line_bps / 8 * (PATIENCE_MS + (base_ms != 0 ? base_ms : UNKNOWN_MS)) / 1000;
}

static uint64_t window_of(const struct wan_member *m)
{
    const struct wan *w = m->wan;
    const struct law_verdict *v = &w->halves[WAN_DOWN].verdict;
    const uint64_t most =
        v->window_bytes != LAW_UNLIMITED ? v->window_bytes : limit_window(&w->halves[WAN_DOWN]);
    uint64_t window = w->options.window_bytes;

    if (most != LAW_UNLIMITED && most / sharers(m) < window)
        window = most / sharers(m);
    if (window < FRAMES_IN_WINDOW * TREE_GRANT_MIN)
        window = FRAMES_IN_WINDOW * TREE_GRANT_MIN;
    return window;
}

static uint64_t quantum_of(const struct wan_member *m)
{
    const struct wan_half *down = &m->wan->halves[WAN_DOWN];
    const uint64_t rate = down->verdict.rate_bps, reverse = m->wan->options.ceiling_bps[WAN_UP];
    const uint64_t quantum = down->verdict.quantum_bytes;

    if (rate == LAW_UNLIMITED)
        return 0;
    const uint64_t for_reverse = http_credit_quantum(rate, reverse);
    return reverse != 0 && quantum < for_reverse ? for_reverse : quantum;
}

/* What leaves goes in frames of some milliseconds, and the kernel spreads them.  0: neither. */
static void spread(struct wan_member *m, uint64_t rate_bps)
{
    if (!differs(rate_bps, m->spread_bps))
        return;
    m->spread_bps = rate_bps;
    http_session_set_frame_size(m->session, rate_bps == 0 ? 0 : http_frame_size(rate_bps));
    stream_set_pacing(http_session_stream(m->session), rate_bps);
}

/* Another leaf of the other kind: what waits asks again.  Where bulk is off no body is begun (see
 * wan_may_upload()), and what keeps the connection alive goes on. */
static void use_up_leaf(struct wan_member *m)
{
    const struct node_terms terms = {.ceiling_bps = TREE_UNLIMITED};
    struct wan_half *up = &m->wan->halves[WAN_UP];
    const bool is_bulk = m->is_uploading && up->verdict.state != LAW_OFF;

    if (m->is_up_bulk == is_bulk)
        return;
    m->is_up_bulk = is_bulk;
    shaper_leaf_stop(&m->up);
    shaper_leaf_start(&m->up, up->shaper, is_bulk ? up->bulk : up->control, &terms);
    shaper_leaf_watch_sent(&m->up, http_session_stream(m->session));
    gate_wake(&m->stream_gate);
}

static void apply_down(struct wan_member *m)
{
    const struct law_verdict *v = &m->wan->halves[WAN_DOWN].verdict;
    const uint64_t window = window_of(m);

    if (differs(window, m->window_bytes)) {
        m->window_bytes = window;
        http_session_set_window(m->session, window);
        http_session_set_quantum(m->session, quantum_of(m));
    }
    if (v->state == LAW_OFF && !m->is_off)
        http_session_revoke_credit(m->session);
    m->is_off = v->state == LAW_OFF;
}

void wan_member_apply(struct wan_member *m)
{
    const struct law_verdict *up = &m->wan->halves[WAN_UP].verdict;

    use_up_leaf(m);
    if (m->traffic == WAN_BULK)
        apply_down(m);
    if (m->traffic != WAN_CONTROL && m->wan->options.is_shaped)
        spread(m, m->is_uploading && up->rate_bps != LAW_UNLIMITED ? up->rate_bps : 0);
}

/* Two connections with one number would look like losses whenever both say how many they had. */
static unsigned free_number(const struct wan *w)
{
    const struct wan_member *m;
    unsigned taken = 0, number = 0;

    TAILQ_FOREACH(m, &w->members, link)
    taken |= 1u << m->number;
    while (number + 1 < LAW_STREAMS && (taken >> number & 1) != 0)
        number++;
    return number;
}

struct wan_member *wan_attach(struct wan *w, struct http_session *session, enum wan_traffic traffic)
{
    const struct node_terms terms = {.ceiling_bps = TREE_UNLIMITED};
    struct wan_member *m = xalloc(sizeof *m);
    struct wan_half *down = &w->halves[WAN_DOWN], *up = &w->halves[WAN_UP];
    struct stream *stream = http_session_stream(session);

    *m = (struct wan_member){.wan = w, .session = session, .traffic = traffic};
    m->number = free_number(w);
    law_on_stream(&down->law, m->number);
    m->credit_gate.ops = &credit_ops;
    m->stream_gate.ops = &stream_ops;
    if (traffic == WAN_BULK) {
        shaper_leaf_start(&m->down, down->shaper, down->bulk, &terms);
        shaper_leaf_watch_received(&m->down, session);
        http_session_use_credit_gate(session, &m->credit_gate);
        http_session_on_stamp(session, on_stamp, m);
    }
    shaper_leaf_start(&m->up, up->shaper, up->control, &terms);
    shaper_leaf_watch_sent(&m->up, stream);
    stream_use_gate(stream, &m->stream_gate);
    TAILQ_INSERT_TAIL(&w->members, m, link);
    wan_hear(w);
    return m;
}

struct wan_member *wan_detach(struct wan_member *m)
{
    if (m == NULL)
        return NULL;
    struct wan *w = m->wan;
    const uint64_t now_ns = loop_now_ns(w->options.loop);

    wan_member_look(m, now_ns);
    http_session_on_stamp(m->session, NULL, NULL);
    http_session_use_credit_gate(m->session, NULL);
    stream_use_gate(http_session_stream(m->session), NULL);
    shaper_leaf_stop(&m->down);
    shaper_leaf_stop(&m->up);
    if (m->traffic == WAN_BULK && m->granted_bytes[WAN_DOWN] > m->delivered_bytes[WAN_DOWN])
        law_on_forfeit(&w->halves[WAN_DOWN].law,
                       m->granted_bytes[WAN_DOWN] - m->delivered_bytes[WAN_DOWN], now_ns);
    if (m->is_uploading)
        law_on_forfeit(&w->halves[WAN_UP].law, under_way(m), now_ns);
    TAILQ_REMOVE(&w->members, m, link);
    free(m);
    wan_hear(w);
    return NULL;
}

void wan_member_uploads(struct wan_member *m, bool is_uploading)
{
    struct wan_half *up = &m->wan->halves[WAN_UP];
    const uint64_t now_ns = loop_now_ns(m->wan->options.loop);

    if (m->is_uploading == is_uploading)
        return;
    wan_member_look(m, now_ns);
    if (m->is_uploading)
        law_on_forfeit(&up->law, under_way(m), now_ns); /* what is acknowledged later is not bulk */
    m->is_uploading = is_uploading;
    m->granted_bytes[WAN_UP] = m->delivered_bytes[WAN_UP] = 0;
    use_up_leaf(m);
}
