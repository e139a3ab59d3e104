/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/world.c – the clock of the packet model, and who gets a packet that arrives. */
#include "fluid/world.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "fluid/ours.h"
#include "fluid/pipe.h"

double world_seconds(const struct world *w)
{
    return (double)w->now_ns / 1e9;
}

double world_random(struct world *w)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return (double)(w->seed >> 11) / 9007199254740992.0;
}

struct world *world_new(const struct link_shape *down, const struct link_shape *up, uint64_t seed)
{
    struct world *w = xcalloc(1, sizeof(*w));
    w->now_ns = 1000000000;
    w->seed = seed * 0x9E3779B97F4A7C15u + 1;
    w->links[DOWN].shape = *down;
    w->links[UP].shape = *up;
    w->links[DOWN].free_ns = w->links[UP].free_ns = UINT64_MAX;
    double fast = down->rate_bps / 8 / 4000; /* at most 4000 packets a second */
    w->mss = fast > 1500 ? (uint32_t)fast - HEADER_BYTES : 1448;
    return w;
}

struct world *world_free(struct world *w)
{
    for (unsigned i = 0; i < w->pipe_count; i++)
        pipe_free(w->pipes[i]);
    for (unsigned i = 0; i < w->ours_count; i++)
        ours_free(w->ours[i]);
    for (unsigned i = 0; i < 2; i++) {
        if (w->callers[i] != NULL)
            free(w->callers[i]->delays_s);
        free(w->callers[i]);
    }
    link_release(&w->links[DOWN]);
    link_release(&w->links[UP]);
    free(w);
    return NULL;
}

void world_send(struct world *w, enum direction d, const struct packet *p)
{
    link_push(w, &w->links[d], p);
}

static void caller_arrived(struct world *w, struct caller *c, const struct packet *p)
{
    c->came++;
    double sent_s = (double)p->sent_ns / 1e9;
    if (sent_s < c->from_s || (c->to_s > 0 && sent_s >= c->to_s))
        return;
    if (c->count == c->room) {
        c->room = c->room == 0 ? 1024 : 2 * c->room;
        c->delays_s = xrealloc(c->delays_s, c->room * sizeof(double));
    }
    c->delays_s[c->count++] = (double)(w->now_ns - p->sent_ns) / 1e9;
}

static void arrived(struct world *w, enum direction d, struct packet p)
{
    switch (p.kind) {
    case PACKET_DATA: pipe_on_data(w, w->pipes[p.flow], &p); return;
    case PACKET_ACK: pipe_on_ack(w, w->pipes[p.flow], &p); return;
    case PACKET_CREDIT: ours_on_credit(w, w->ours[p.flow], &p); return;
    case PACKET_PROBE:
        if (d == DOWN) {
            ours_on_probe(w, w->ours[p.flow], &p);
            return;
        }
        p.turned_ns = w->now_ns;
        world_send(w, DOWN, &p);
        return;
    case PACKET_PING:
        if (d == UP)
            world_send(w, DOWN, &p);
        else
            caller_arrived(w, w->callers[p.flow], &p);
        return;
    case PACKET_CALL: caller_arrived(w, w->callers[p.flow], &p); return;
    }
}

static void caller_call(struct world *w, unsigned i)
{
    struct caller *c = w->callers[i];
    struct packet p = {.kind = c->kind, .flow = i, .size = c->size, .sent_ns = w->now_ns};
    c->sent++;
    c->next_ns += (uint64_t)(c->every_s * 1e9);
    world_send(w, c->kind == PACKET_PING ? UP : DOWN, &p);
}

/* The earliest event of all actors; `run` says whether to run it or only to name its time. */
enum actor { ACTOR_LINK, ACTOR_LINE, ACTOR_PIPE, ACTOR_OURS, ACTOR_CALLER };
struct turn {
    uint64_t at_ns;
    enum actor actor;
    unsigned index;
};

static void consider(struct turn *t, uint64_t at_ns, enum actor actor, unsigned index)
{
    if (at_ns < t->at_ns)
        *t = (struct turn){at_ns, actor, index};
}

static struct turn next_turn(const struct world *w)
{
    struct turn t = {UINT64_MAX, ACTOR_LINK, 0};
    for (unsigned d = 0; d < DIRECTIONS; d++) {
        consider(&t, w->links[d].free_ns, ACTOR_LINK, d);
        consider(&t, link_arrival_ns(&w->links[d]), ACTOR_LINE, d);
    }
    for (unsigned i = 0; i < w->pipe_count; i++)
        consider(&t, w->pipes[i]->timer_ns, ACTOR_PIPE, i);
    for (unsigned i = 0; i < w->ours_count; i++)
        consider(&t, ours_next_ns(w->ours[i]), ACTOR_OURS, i);
    for (unsigned i = 0; i < 2; i++)
        if (w->callers[i] != NULL)
            consider(&t, w->callers[i]->next_ns, ACTOR_CALLER, i);
    return t;
}

static void run_turn(struct world *w, struct turn t)
{
    switch (t.actor) {
    case ACTOR_LINK: link_transmit(w, &w->links[t.index]); return;
    case ACTOR_LINE: arrived(w, t.index, link_take(&w->links[t.index])); return;
    case ACTOR_PIPE: pipe_on_timer(w, w->pipes[t.index]); return;
    case ACTOR_OURS: ours_run(w, w->ours[t.index]); return;
    case ACTOR_CALLER: caller_call(w, t.index); return;
    }
}

void world_run(struct world *w, double until_s)
{
    uint64_t until_ns = (uint64_t)(until_s * 1e9);
    for (;;) {
        struct turn t = next_turn(w);
        if (t.at_ns > until_ns)
            break;
        if (t.at_ns > w->now_ns)
            w->now_ns = t.at_ns;
        run_turn(w, t);
    }
    w->now_ns = until_ns;
}

struct caller *caller_new(struct world *w, enum packet_kind kind, double every_s, uint32_t size)
{
    struct caller *c = xcalloc(1, sizeof(*c));
    c->kind = kind;
    c->every_s = every_s;
    c->size = size;
    c->next_ns = w->now_ns;
    w->callers[kind == PACKET_PING ? 0 : 1] = c;
    return c;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double caller_percentile(struct caller *c, double share)
{
    if (c->count == 0)
        return 0;
    qsort(c->delays_s, c->count, sizeof(double), compare);
    return c->delays_s[(size_t)(share * (double)(c->count - 1))] - c->delays_s[0];
}
