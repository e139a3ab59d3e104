/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/probe.c – asks: how long does a small packet take there and back, now?
 *
 *     turn ──> settle: what is overdue is lost ──> judge the mode ──> send a datagram, or ask for
 *              a PING ──> sleep until the next is due, or the oldest is overdue
 *     got  ──> ours? ──> sample
 */
#include "shaper/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/units.h"

enum {
    MEMORY = 256, /* probes remembered: at 20 a second an answer may be 12 s late */
    RTTS_LOST = 3,
    SILENT_LEAST = 3, /* unanswered probes before UDP is taken for blocked */
    QUEUES = 3,       /* samples of which the least counts */
};
#define LOST_NS NS_PER_S
#define SILENT_NS (3 * NS_PER_S)
/* In PING mode UDP is tried again; each time that fails doubles the wait. */
#define RETRY_FIRST_NS (10 * NS_PER_S)
#define RETRY_MOST_NS (300 * NS_PER_S)
/* The least of one to two of these is a path without a queue. */
#define BASE_NS (150 * NS_PER_S)
#define SLEPT_NS (NS_PER_S / 2) /* below that it may be a pause between two readings */

enum memory_state { MEMORY_EMPTY, MEMORY_OUT, MEMORY_LOST };

struct probe_memory {
    enum memory_state state;
    uint32_t sequence;
    uint64_t sent_ns;
};

/* What is reported in requests; the law (law_delay.c) has a finer view of its own. */
struct probe_view {
    uint64_t since_ns; /* of the newer bucket; 0: there is nothing yet */
    int64_t least_owd_ns[2];
    uint64_t least_rtt_ns[2];
    uint64_t queue_ns[QUEUES];
    unsigned samples;
};

struct probe {
    struct loop *loop;
    struct datagram_peer to;
    uint8_t id[PROBE_ID_SIZE];
    uint8_t key[PROBE_KEY_SIZE];
    const struct probe_ops *ops;
    void *arg;
    struct datagram *socket; /* NULL: no UDP */
    struct timer turn;
    enum probe_pace pace;
    enum probe_mode mode;
    uint64_t next_ns;  /* when the next leaves */
    uint32_t sequence; /* of the next          */
    uint32_t oldest;   /* of those that may be out */
    struct probe_memory memory[MEMORY];
    uint64_t heard_ns;                /* UDP: the last answer, or the beginning */
    unsigned unheard;                 /* sent since then                        */
    uint64_t retry_ns, retry_wait_ns; /* in PING mode: UDP once more */
    uint64_t ping_sent_ns;            /* 0: none is out */
    bool ping_answered;               /* since UDP fell silent */
    uint64_t rtt_ns;
    bool has_epoch;
    uint32_t epoch;
    uint64_t asleep_ns;
    struct probe_view view;
    bool is_freed;
    struct probe_figures figures;
};

static void turn(void *arg);
static void on_reply(void *arg, const void *bytes, size_t size, const struct datagram_peer *from,
                     uint64_t at_ns);

/* ---- telling the owner, who may free the probe then; its memory stays a moment longer -------- */

static void tell_mode(struct probe *p, enum probe_mode mode)
{
    if (p->mode == mode || p->is_freed)
        return;
    p->mode = mode;
    if (p->ops->mode != NULL)
        p->ops->mode(p->arg, mode);
}

static void tell_lost(struct probe *p, uint64_t sent_ns)
{
    p->figures.lost++;
    if (p->ops->lost != NULL && !p->is_freed)
        p->ops->lost(p->arg, sent_ns);
}

static void tell_forget(struct probe *p)
{
    p->figures.forgets++;
    if (p->ops->forget != NULL && !p->is_freed)
        p->ops->forget(p->arg);
}

static void tell_sample(struct probe *p, const struct probe_sample *s)
{
    p->figures.answered++;
    p->figures.late += s->is_late;
    p->rtt_ns = p->rtt_ns == 0 ? s->rtt_ns : (7 * p->rtt_ns + s->rtt_ns) / 8;
    if (p->ops->sample != NULL && !p->is_freed)
        p->ops->sample(p->arg, s);
}

/* ---- when ------------------------------------------------------------------------------------ */

static uint64_t period_ns(const struct probe *p)
{
    switch (p->pace) {
    case PROBE_IDLE: return NS_PER_S;
    case PROBE_YIELDED: return 100 * NS_PER_MS;
    case PROBE_ACTIVE: return 50 * NS_PER_MS;
    case PROBE_ALERT: return 20 * NS_PER_MS;
    }
    alb_unreachable();
}

/* PINGs are answered by a busy program behind a queue of its own: half as often is often enough. */
static uint64_t gap_ns(struct probe *p)
{
    const uint64_t period = p->mode == PROBE_PING ? 2 * period_ns(p) : period_ns(p);

    /* Many askers that started in one moment shall not stay in step. */
    return loop_random_between(p->loop, period - period / 10, period + period / 10);
}

static uint64_t patience_ns(const struct probe *p)
{
    return RTTS_LOST * p->rtt_ns > LOST_NS ? RTTS_LOST * p->rtt_ns : LOST_NS;
}

static struct probe_memory *remembered(struct probe *p, uint32_t sequence)
{
    struct probe_memory *m = &p->memory[sequence % MEMORY];

    return m->state != MEMORY_EMPTY && m->sequence == sequence ? m : NULL;
}

/* The oldest that is still waited for, or NULL. */
static struct probe_memory *oldest_out(struct probe *p)
{
    for (; p->oldest != p->sequence; p->oldest++) {
        struct probe_memory *m = remembered(p, p->oldest);

        if (m != NULL && m->state == MEMORY_OUT)
            return m;
    }
    return NULL;
}

static void set_timer(struct probe *p)
{
    const struct probe_memory *m = oldest_out(p);
    uint64_t at_ns = p->next_ns;

    if (m != NULL && m->sent_ns + patience_ns(p) < at_ns)
        at_ns = m->sent_ns + patience_ns(p);
    timer_set(&p->turn, at_ns);
}

/* ---- settling what is overdue ---------------------------------------------------------------- */

static void settle(struct probe *p, uint64_t now_ns)
{
    struct probe_memory *m;

    while (!p->is_freed && (m = oldest_out(p)) != NULL && m->sent_ns + patience_ns(p) <= now_ns) {
        m->state = MEMORY_LOST;
        p->oldest++;
        if (p->mode == PROBE_UDP)
            tell_lost(p, m->sent_ns);
    }
    if (p->is_freed || p->ping_sent_ns == 0 || now_ns - p->ping_sent_ns < patience_ns(p))
        return;
    const uint64_t sent_ns = p->ping_sent_ns;
    p->ping_sent_ns = 0;
    if (p->mode == PROBE_PING)
        tell_lost(p, sent_ns);
}

/* Everything sent before a sleep is worth nothing. */
static void notice_sleep(struct probe *p, uint64_t now_ns)
{
    const uint64_t asleep_ns = loop_asleep_ns(p->loop);
    const bool has_slept = asleep_ns > p->asleep_ns && asleep_ns - p->asleep_ns > SLEPT_NS;

    p->asleep_ns = asleep_ns;
    if (!has_slept)
        return;
    memset(p->memory, 0, sizeof(p->memory));
    p->ping_sent_ns = 0;
    p->heard_ns = now_ns;
    p->unheard = 0;
    p->view = (struct probe_view){0};
    tell_forget(p);
}

/* ---- sending --------------------------------------------------------------------------------- */

static bool is_silent(const struct probe *p, uint64_t now_ns)
{
    return p->socket == NULL || (p->unheard >= SILENT_LEAST && now_ns - p->heard_ns >= SILENT_NS);
}

static void send_ping(struct probe *p, uint64_t now_ns)
{
    if (p->ops->ping == NULL || p->ping_sent_ns != 0 || p->is_freed)
        return;
    p->ping_sent_ns = now_ns;
    p->figures.sent++;
    p->ops->ping(p->arg);
}

static uint32_t queue_seen(const struct probe *p)
{
    const struct probe_view *v = &p->view;
    uint64_t least_ns = UINT32_MAX;

    if (p->pace == PROBE_IDLE || v->samples < QUEUES)
        return 0;
    for (size_t i = 0; i < QUEUES; i++)
        least_ns = v->queue_ns[i] < least_ns ? v->queue_ns[i] : least_ns;
    return (uint32_t)least_ns;
}

static void send_datagram(struct probe *p)
{
    uint8_t bytes[PROBE_PACKET_SIZE];
    struct probe_packet packet = {.kind = PROBE_REQUEST, .sequence = p->sequence};
    struct probe_memory *m = &p->memory[p->sequence % MEMORY];

    memcpy(packet.id, p->id, PROBE_ID_SIZE);
    packet.held_ns = queue_seen(p);
    packet.sent_ns = loop_now_ns(p->loop);
    probe_packet_seal(&packet, p->key, bytes);
    *m = (struct probe_memory){MEMORY_OUT, p->sequence++, packet.sent_ns};
    p->figures.sent++;
    p->unheard++;
    alb_ignore(datagram_send(p->socket, bytes, sizeof(bytes), &p->to), "it counts as lost");
}

/* A line that is down is silent to both; only what passes a PING and no datagram blocks UDP. */
static void judge_mode(struct probe *p, uint64_t now_ns)
{
    if (p->mode == PROBE_PING || !is_silent(p, now_ns))
        return;
    if (p->mode == PROBE_UDP && !p->ping_answered) {
        send_ping(p, now_ns);
        return;
    }
    p->retry_wait_ns = RETRY_FIRST_NS;
    p->retry_ns = now_ns + p->retry_wait_ns;
    tell_mode(p, PROBE_PING);
}

static void send_next(struct probe *p, uint64_t now_ns)
{
    if (p->mode != PROBE_PING) {
        send_datagram(p);
        return;
    }
    if (p->socket != NULL && now_ns >= p->retry_ns) {
        send_datagram(p);
        p->retry_wait_ns =
            2 * p->retry_wait_ns < RETRY_MOST_NS ? 2 * p->retry_wait_ns : RETRY_MOST_NS;
        p->retry_ns = now_ns + p->retry_wait_ns;
    }
    send_ping(p, now_ns);
}

static void turn(void *arg)
{
    struct probe *p = arg;
    const uint64_t now_ns = loop_now_ns(p->loop);

    notice_sleep(p, now_ns);
    settle(p, now_ns);
    if (!p->is_freed && now_ns >= p->next_ns) {
        judge_mode(p, now_ns);
        if (!p->is_freed)
            send_next(p, now_ns);
        p->next_ns = now_ns + gap_ns(p);
    }
    if (!p->is_freed)
        set_timer(p);
}

void probe_set_pace(struct probe *p, enum probe_pace pace)
{
    const uint64_t now_ns = loop_now_ns(p->loop);

    if (p->pace == pace)
        return;
    p->pace = pace;
    if (p->next_ns > now_ns + period_ns(p))
        p->next_ns = now_ns + period_ns(p);
    set_timer(p);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void begin_bucket(struct probe_view *v, const struct probe_sample *s)
{
    const bool is_first = v->since_ns == 0;

    v->least_owd_ns[1] = is_first ? s->owd_down_ns : v->least_owd_ns[0];
    v->least_rtt_ns[1] = is_first ? s->rtt_ns : v->least_rtt_ns[0];
    v->least_owd_ns[0] = s->owd_down_ns;
    v->least_rtt_ns[0] = s->rtt_ns;
    v->since_ns = s->at_ns;
}

/* Two clocks may drift apart: what looks like a queue one way must be in the round trip, too. */
static void view_sample(struct probe_view *v, const struct probe_sample *s)
{
    if (v->since_ns == 0 || s->at_ns - v->since_ns > BASE_NS)
        begin_bucket(v, s);
    if (s->owd_down_ns < v->least_owd_ns[0])
        v->least_owd_ns[0] = s->owd_down_ns;
    if (s->rtt_ns < v->least_rtt_ns[0])
        v->least_rtt_ns[0] = s->rtt_ns;
    int64_t base_owd_ns = v->least_owd_ns[0];
    uint64_t base_rtt_ns = v->least_rtt_ns[0];
    if (v->least_owd_ns[1] < base_owd_ns)
        base_owd_ns = v->least_owd_ns[1];
    if (v->least_rtt_ns[1] < base_rtt_ns)
        base_rtt_ns = v->least_rtt_ns[1];
    const uint64_t by_owd_ns = (uint64_t)(s->owd_down_ns - base_owd_ns);
    const uint64_t by_rtt_ns = s->rtt_ns - base_rtt_ns;
    v->queue_ns[v->samples++ % QUEUES] = by_owd_ns < by_rtt_ns ? by_owd_ns : by_rtt_ns;
}

static void notice_epoch(struct probe *p, uint32_t epoch)
{
    const bool has_changed = p->has_epoch && p->epoch != epoch;

    p->has_epoch = true;
    p->epoch = epoch;
    if (!has_changed)
        return;
    p->view = (struct probe_view){0};
    tell_forget(p);
}

/* The probe it answers, once; NULL: it is nobody's, or was answered already. */
static struct probe_memory *match(struct probe *p, const uint8_t *bytes, size_t size,
                                  struct probe_packet *reply)
{
    struct alb_status st = probe_packet_read(bytes, size, reply);

    if (alb_failed(st) || reply->kind != PROBE_REPLY ||
        memcmp(reply->id, p->id, PROBE_ID_SIZE) != 0 || !probe_packet_is_authentic(bytes, p->key))
        return NULL;
    struct probe_memory *m = remembered(p, reply->sequence);
    return m != NULL && m->sent_ns == reply->sent_ns ? m : NULL;
}

static void on_reply(void *arg, const void *bytes, size_t size, const struct datagram_peer *from,
                     uint64_t at_ns)
{
    struct probe *p = arg;
    struct probe_packet reply;
    struct probe_memory *m = match(p, bytes, size, &reply);

    (void)from; /* whoever has the key may answer from wherever it is */
    if (m == NULL || at_ns < m->sent_ns || at_ns - m->sent_ns < reply.held_ns) {
        p->figures.wrong++;
        return;
    }
    const struct probe_sample s = {
        .sent_ns = m->sent_ns,
        .at_ns = at_ns,
        .rtt_ns = at_ns - m->sent_ns - reply.held_ns,
        .has_owd = true,
        .owd_down_ns = (int64_t)(at_ns - (reply.received_ns + reply.held_ns)),
        .owd_up_ns = (int64_t)(reply.received_ns - m->sent_ns),
        .is_late = m->state == MEMORY_LOST,
        .aggregate_bps = reply.aggregate_bps,
        .flows = reply.flows,
    };
    m->state = MEMORY_EMPTY;
    p->heard_ns = loop_now_ns(p->loop);
    p->unheard = 0;
    p->ping_answered = false;
    tell_mode(p, PROBE_UDP);
    notice_epoch(p, reply.epoch);
    view_sample(&p->view, &s);
    tell_sample(p, &s);
}

void probe_take_ping(struct probe *p, uint64_t rtt_ns)
{
    const uint64_t now_ns = loop_now_ns(p->loop);
    const struct probe_sample s = {.sent_ns = now_ns - rtt_ns,
                                   .at_ns = now_ns,
                                   .rtt_ns = rtt_ns,
                                   .is_late = rtt_ns >= patience_ns(p)};

    p->ping_answered = true;
    p->ping_sent_ns = 0;
    if (p->mode == PROBE_PING)
        tell_sample(p, &s);
}

/* ---- birth and death ------------------------------------------------------------------------- */

struct probe *probe_new(const struct probe_options *options)
{
    struct probe *p = xalloc(sizeof(*p));
    const uint64_t now_ns = loop_now_ns(options->loop);

    p->loop = options->loop;
    p->ops = options->ops;
    p->arg = options->arg;
    memcpy(p->id, options->id, PROBE_ID_SIZE);
    memcpy(p->key, options->key, PROBE_KEY_SIZE);
    p->asleep_ns = loop_asleep_ns(p->loop);
    p->heard_ns = now_ns;
    p->next_ns = now_ns;
    timer_init(&p->turn, p->loop, turn, p);
    if (options->to != NULL) {
        const struct datagram_options socket = {.towards = options->to, .got = on_reply, .arg = p};
        p->to = *options->to;
        alb_ignore(datagram_open(p->loop, &socket, &p->socket), "then PINGs do");
    }
    timer_set(&p->turn, now_ns);
    return p;
}

struct probe *probe_free(struct probe *p)
{
    if (p == NULL)
        return NULL;
    p->is_freed = true;
    timer_stop(&p->turn);
    p->socket = datagram_close(p->socket);
    wipe(p->key, PROBE_KEY_SIZE);
    loop_bury(p->loop, free, p);
    return NULL;
}

const char *probe_mode_name(enum probe_mode mode)
{
    switch (mode) {
    case PROBE_TRYING: return "trying";
    case PROBE_UDP: return "udp";
    case PROBE_PING: return "ping";
    }
    alb_unreachable();
}

void probe_figures(const struct probe *p, struct probe_figures *out)
{
    *out = p->figures;
    out->mode = p->mode;
    out->rtt_ns = p->rtt_ns;
}
