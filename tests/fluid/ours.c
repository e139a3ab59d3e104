/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/ours.c – credit, carriers and probes around a law. */
#include "fluid/ours.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "fluid/pipe.h"

enum { GRANT_LEAST_NS = 2000000, CREDIT_SIZE = 100, PROBE_SIZE = 92, MOST_CONNECTIONS = 4 };

struct ours *ours_new(struct world *w, const struct fluid_law *law, unsigned sessions,
                      double start_s)
{
    struct ours *o = xcalloc(1, sizeof(*o));
    o->index = w->ours_count;
    o->law = law;
    o->sessions = sessions;
    o->per_session = 1;
    o->owd = true;
    o->start_ns = (uint64_t)(start_s * 1e9);
    o->stop_ns = UINT64_MAX;
    o->grant_ns = o->probe_ns = o->start_ns;
    o->state = law->make(&(struct law_options){.now_ns = o->start_ns});
    o->verdict = law->tick(o->state, o->start_ns);
    w->ours[w->ours_count++] = o;
    for (unsigned i = 0; i < sessions * MOST_CONNECTIONS; i++) {
        o->pipes[i] = pipe_new(w, DOWN, CUBIC);
        o->pipes[i]->ours = o;
        o->pipes[i]->session = i % sessions;
    }
    return o;
}

struct ours *ours_free(struct ours *o)
{
    free(o->state);
    free(o);
    return NULL;
}

uint64_t ours_next_ns(const struct ours *o)
{
    uint64_t next = o->law->next_ns(o->state);
    next = o->grant_ns < next ? o->grant_ns : next;
    next = o->probe_ns < next ? o->probe_ns : next;
    return next < o->start_ns ? o->start_ns : next;
}

static void tick(struct world *w, struct ours *o)
{
    o->verdict = o->law->tick(o->state, w->now_ns);
    unsigned per = o->verdict.connections;
    if (per > o->per_session && per <= MOST_CONNECTIONS)
        o->per_session = per; /* connections stay once they are there */
}

static void send_probe(struct world *w, struct ours *o)
{
    uint64_t number = o->probe_number++;
    unsigned slot = number % OURS_PROBES;
    struct packet p = {.kind = PACKET_PROBE, .flow = o->index, .size = PROBE_SIZE};
    p.seq = number;
    p.sent_ns = w->now_ns;
    o->probe_sent_ns[slot] = w->now_ns;
    o->probe_open[slot] = true;
    o->probe_ns = w->now_ns + o->verdict.probe_period_ns;
    world_send(w, UP, &p);
    /* The one of two seconds ago, or none. */
    for (uint64_t back = number > 64 ? number - 64 : 0; back < number; back++) {
        unsigned old = back % OURS_PROBES;
        if (!o->probe_open[old] || w->now_ns - o->probe_sent_ns[old] < 1000000000)
            continue;
        o->probe_open[old] = false;
        o->law->on_lost(o->state, w->now_ns);
    }
}

void ours_on_probe(struct world *w, struct ours *o, const struct packet *p)
{
    unsigned slot = p->seq % OURS_PROBES;
    if (!o->probe_open[slot] || o->probe_sent_ns[slot] != p->sent_ns)
        return;
    o->probe_open[slot] = false;
    struct law_sample s = {w->now_ns, w->now_ns - p->sent_ns, LAW_NO_OWD};
    int64_t drift_ns = (int64_t)(o->drift * (double)w->now_ns);
    if (o->owd) /* p->queued_ns is when it arrives; it left the other end when it was turned */
        s.owd_ns = (int64_t)(w->now_ns - p->turned_ns) + 7777777 + drift_ns;
    o->law->on_sample(o->state, &s);
    tick(w, o);
}

static uint64_t outstanding(const struct ours *o)
{
    return o->granted - o->delivered;
}

/* A grant to the next session in turn, on its connection with the least under way. */
static void grant(struct world *w, struct ours *o, uint64_t bytes)
{
    unsigned session = o->turn++ % o->sessions;
    unsigned best = session;
    for (unsigned k = 1; k < o->per_session; k++) {
        struct pipe *a = o->pipes[best], *b = o->pipes[session + k * o->sessions];
        if (b->limit - b->received_bytes < a->limit - a->received_bytes)
            best = session + k * o->sessions;
    }
    struct packet p = {.kind = PACKET_CREDIT, .flow = o->index, .size = CREDIT_SIZE};
    p.seq = bytes;
    p.position = best;
    o->granted += bytes;
    o->law->on_granted(o->state, bytes, w->now_ns);
    world_send(w, UP, &p);
}

static void pace(struct world *w, struct ours *o)
{
    uint64_t rate = o->verdict.rate_bps, quantum = o->verdict.quantum_bytes;
    if (o->demand_bps > 0 && (double)rate > o->demand_bps)
        rate = (uint64_t)o->demand_bps;
    if (rate == 0 || o->verdict.window_bytes == 0 || w->now_ns >= o->stop_ns) {
        o->grant_ns = w->now_ns + 10000000;
        return;
    }
    if (rate > 2000000000)
        rate = 2000000000;
    uint64_t least = rate / 8 * GRANT_LEAST_NS / 1000000000;
    if (quantum < least)
        quantum = least;
    if (outstanding(o) + quantum > o->verdict.window_bytes && outstanding(o) > 0) {
        o->grant_ns = w->now_ns + GRANT_LEAST_NS;
        return;
    }
    grant(w, o, quantum);
    uint64_t step = (uint64_t)((double)quantum * 8e9 / (double)rate);
    o->grant_ns = (o->grant_ns + step > w->now_ns ? o->grant_ns : w->now_ns) + step;
}

void ours_run(struct world *w, struct ours *o)
{
    if (o->law->next_ns(o->state) <= w->now_ns)
        tick(w, o);
    if (o->probe_ns <= w->now_ns)
        send_probe(w, o);
    if (o->grant_ns <= w->now_ns)
        pace(w, o);
}

void ours_on_credit(struct world *w, struct ours *o, const struct packet *p)
{
    pipe_give(w, o->pipes[p->position], p->seq);
}

/* As transfer/serve_stamp does: ten looks a second, the mean of half a second, and what is said is
 * of the look before. */
static void look_at_aggregate(struct world *w)
{
    enum { LOOK_NS = 100000000, LOOKS = ALB_COUNT(w->aggregate.recent_bytes) };
    uint64_t sum = 0, recent = 0;
    if (w->now_ns < w->aggregate.look_ns)
        return;
    w->aggregate.look_ns = w->now_ns + LOOK_NS;
    w->aggregate.told_bps = w->aggregate.bps;
    w->aggregate.told_sisters = w->aggregate.sisters;
    w->aggregate.sisters = 0;
    for (unsigned i = 0; i < w->ours_count; i++) {
        sum += w->ours[i]->delivered;
        w->aggregate.sisters += w->ours[i]->delivered > 0 && w->now_ns < w->ours[i]->stop_ns;
    }
    w->aggregate.recent_bytes[w->aggregate.looks++ % LOOKS] = sum - w->aggregate.sent_bytes;
    w->aggregate.sent_bytes = sum;
    for (unsigned i = 0; i < LOOKS; i++)
        recent += w->aggregate.recent_bytes[i];
    w->aggregate.bps = recent * 8 * (1000000000 / LOOK_NS) / LOOKS;
}

void ours_on_delivered(struct world *w, struct ours *o, struct pipe *p, uint64_t bytes)
{
    o->delivered += bytes;
    o->session_bytes[p->session] += bytes;
    o->law->on_delivered(o->state, bytes, w->now_ns);
    struct law_stamp stamp = {.stream = p->index, .retransmitted = p->retransmitted};
    if (o->told_aggregate) {
        look_at_aggregate(w);
        stamp.aggregate_bps = w->aggregate.told_sisters > 1 ? w->aggregate.told_bps : 0;
        stamp.sisters = w->aggregate.told_sisters > 1 ? w->aggregate.told_sisters : 0;
    }
    o->law->on_stamp(o->state, &stamp, w->now_ns);
}

void ours_on_hole(struct world *w, struct ours *o)
{
    o->law->on_hole(o->state, w->now_ns);
}
