/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/probe_responder.c – answers probes: those of its tickets, each once, and nobody else's. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/map.h"
#include "base/units.h"
#include "shaper/probe.h"

enum {
    TICKETS_DEFAULT = 4096, /* as many as a daemon has sessions (transfer/serve.h)             */
    REPLAY_WINDOW = 64,     /* sequence numbers; at 20 a second, three seconds of reordering   */
    BURST = 20,             /* what a path that was stuck for a second lets go at once         */
};
#define PROBE_EVERY_NS (NS_PER_S / 100) /* of one ticket, in the long run: five askers' pace */
#define SLEPT_NS (NS_PER_S / 2)         /* below that it may be a pause between two readings */
/* Of the epoch: who answers, drawn at start, and how often its machine slept since. */
enum { EPOCH_SLEEPS_BITS = 8 };

struct probe_ticket {
    struct probe_responder *responder; /* NULL once it is closed */
    struct chunk_key name;             /* the id, as the map wants it */
    uint8_t id[PROBE_ID_SIZE];
    uint8_t key[PROBE_KEY_SIZE];
    bool has_seen;
    uint32_t newest; /* sequence number */
    uint64_t seen;   /* bit n: newest − n was */
    uint64_t heard_ns;
    uint32_t queue_ns; /* that its asker reported then */
    uint64_t full_ns;  /* virtual time up to which its rate is used */
    loop_fn answered;  /* may be NULL */
    void *arg;
};

struct probe_responder {
    struct loop *loop;
    struct datagram *socket;
    struct map tickets;
    size_t max_tickets;
    uint32_t epoch;
    uint64_t asleep_ns;
    uint64_t aggregate_bps;
    uint16_t flows;
    struct probe_responder_figures figures;
};

/* ---- tickets --------------------------------------------------------------------------------- */

static struct chunk_key name_of(const uint8_t id[PROBE_ID_SIZE])
{
    struct chunk_key name = {.kind = KEY_PLAIN};

    memcpy(name.digest.bytes, id, PROBE_ID_SIZE);
    return name;
}

struct alb_status probe_ticket_new(struct probe_responder *r, const uint8_t key[PROBE_KEY_SIZE],
                                   struct probe_ticket **out)
{
    if (r->tickets.count >= r->max_tickets)
        return alb_fail(ALB_FULL, "as many measure their paths to here as may");
    struct probe_ticket *t = xalloc(sizeof(*t));

    t->responder = r;
    memcpy(t->key, key, PROBE_KEY_SIZE);
    do {
        const uint64_t halves[] = {loop_random(r->loop), loop_random(r->loop)};
        memcpy(t->id, halves, PROBE_ID_SIZE);
        t->name = name_of(t->id);
    } while (map_get(&r->tickets, &t->name) != NULL);
    map_put(&r->tickets, &t->name, t);
    *out = t;
    return ALB_STATUS_OK;
}

struct probe_ticket *probe_ticket_free(struct probe_ticket *t)
{
    if (t == NULL)
        return NULL;
    if (t->responder != NULL)
        map_remove(&t->responder->tickets, &t->name);
    wipe(t->key, PROBE_KEY_SIZE);
    free(t);
    return NULL;
}

void probe_ticket_on_answered(struct probe_ticket *t, loop_fn fn, void *arg)
{
    t->answered = fn;
    t->arg = arg;
}

const uint8_t *probe_ticket_id(const struct probe_ticket *t)
{
    return t->id;
}

/* ---- judging a request ----------------------------------------------------------------------- */

/* Sequence numbers count on past their end, so distances are taken modulo 2^32. */
static bool is_repeated(const struct probe_ticket *t, uint32_t sequence)
{
    const uint32_t behind = t->newest - sequence;

    if (!t->has_seen || behind > UINT32_MAX / 2)
        return false;
    return behind >= REPLAY_WINDOW || (t->seen >> behind & 1) != 0;
}

static void note_seen(struct probe_ticket *t, uint32_t sequence)
{
    const uint32_t ahead = sequence - t->newest;

    if (!t->has_seen || (ahead > 0 && ahead <= UINT32_MAX / 2)) {
        t->seen = t->has_seen && ahead < REPLAY_WINDOW ? t->seen << ahead | 1 : 1;
        t->newest = sequence;
        t->has_seen = true;
    } else {
        t->seen |= UINT64_C(1) << (t->newest - sequence);
    }
}

static bool is_too_many(struct probe_ticket *t, uint64_t now_ns)
{
    const uint64_t used_ns = t->full_ns > now_ns ? t->full_ns : now_ns;

    if (used_ns - now_ns > (BURST - 1) * PROBE_EVERY_NS)
        return true;
    t->full_ns = used_ns + PROBE_EVERY_NS;
    return false;
}

/* The ticket, or NULL when nobody is to be answered. */
static struct probe_ticket *judge(struct probe_responder *r, const uint8_t *bytes, size_t size,
                                  struct probe_packet *p)
{
    struct alb_status st = probe_packet_read(bytes, size, p);
    struct probe_ticket *t = NULL;

    if (!alb_failed(st) && p->kind == PROBE_REQUEST) {
        const struct chunk_key name = name_of(p->id);
        t = map_get(&r->tickets, &name);
    }
    if (t == NULL || !probe_packet_is_authentic(bytes, t->key)) {
        r->figures.strangers++;
        return NULL;
    }
    if (is_repeated(t, p->sequence)) {
        r->figures.repeated++;
        return NULL;
    }
    note_seen(t, p->sequence);
    if (is_too_many(t, loop_now_ns(r->loop))) {
        r->figures.too_many++;
        return NULL;
    }
    return t;
}

/* ---- answering ------------------------------------------------------------------------------- */

static uint32_t epoch_now(struct probe_responder *r)
{
    const uint64_t asleep_ns = loop_asleep_ns(r->loop);
    const uint32_t sleeps = (1u << EPOCH_SLEEPS_BITS) - 1;

    if (asleep_ns - r->asleep_ns > SLEPT_NS && asleep_ns > r->asleep_ns)
        r->epoch = (r->epoch & ~sleeps) | ((r->epoch + 1) & sleeps);
    r->asleep_ns = asleep_ns;
    return r->epoch;
}

static void on_request(void *arg, const void *bytes, size_t size, const struct datagram_peer *from,
                       uint64_t at_ns)
{
    struct probe_responder *r = arg;
    uint8_t reply[PROBE_PACKET_SIZE];
    struct probe_packet p;
    struct probe_ticket *t = judge(r, bytes, size, &p);

    if (t == NULL)
        return;
    t->heard_ns = at_ns;
    t->queue_ns = p.held_ns;
    p.kind = PROBE_REPLY;
    p.received_ns = at_ns;
    p.epoch = epoch_now(r);
    p.aggregate_bps = r->aggregate_bps;
    p.flows = r->flows;
    const uint64_t held_ns = loop_now_ns(r->loop) - at_ns;
    p.held_ns = held_ns < UINT32_MAX ? (uint32_t)held_ns : UINT32_MAX;
    probe_packet_seal(&p, t->key, reply);
    if (alb_failed(datagram_send(r->socket, reply, sizeof(reply), from)))
        r->figures.unsent++;
    else
        r->figures.answered++;
    if (t->answered != NULL)
        t->answered(t->arg);
}

void probe_responder_tell(struct probe_responder *r, uint64_t aggregate_bps, uint16_t flows)
{
    r->aggregate_bps = aggregate_bps;
    r->flows = flows;
}

struct census {
    uint64_t least_ns, since_ns;
    size_t count;
};

static bool count_queued(void *arg, const struct chunk_key *name, void *ticket)
{
    const struct probe_ticket *t = ticket;
    struct census *c = arg;

    (void)name;
    c->count += t->heard_ns >= c->since_ns && t->queue_ns >= c->least_ns;
    return true;
}

size_t probe_responder_queued(const struct probe_responder *r, uint64_t least_ns, uint64_t since_ns)
{
    struct census c = {.least_ns = least_ns, .since_ns = since_ns};

    map_each(&r->tickets, count_queued, &c);
    return c.count;
}

void probe_responder_figures(const struct probe_responder *r, struct probe_responder_figures *out)
{
    *out = r->figures;
    out->tickets = r->tickets.count;
}

/* ---- birth and death ------------------------------------------------------------------------- */

struct alb_status probe_responder_open(const struct probe_responder_options *options,
                                       struct probe_responder **out)
{
    struct probe_responder *r = xalloc(sizeof(*r));
    const struct datagram_options socket = {
        .address = options->address, .port = options->port, .got = on_request, .arg = r};

    r->loop = options->loop;
    r->max_tickets = options->max_tickets != 0 ? options->max_tickets : TICKETS_DEFAULT;
    map_init(&r->tickets);
    struct alb_status st = datagram_open(options->loop, &socket, &r->socket);
    if (alb_failed(st)) {
        free(r);
        return st;
    }
    r->epoch = (uint32_t)loop_random(r->loop) << EPOCH_SLEEPS_BITS;
    r->asleep_ns = loop_asleep_ns(r->loop);
    *out = r;
    return ALB_STATUS_OK;
}

static bool orphan(void *arg, const struct chunk_key *name, void *ticket)
{
    (void)arg;
    (void)name;
    ((struct probe_ticket *)ticket)->responder = NULL;
    return true;
}

struct probe_responder *probe_responder_close(struct probe_responder *r)
{
    if (r == NULL)
        return NULL;
    datagram_close(r->socket);
    map_each(&r->tickets, orphan, NULL);
    map_release(&r->tickets);
    free(r);
    return NULL;
}

uint16_t probe_responder_port(const struct probe_responder *r)
{
    return datagram_port(r->socket);
}
