/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/waker.c – a guard: an order is judged, its machines are queued, sent for, told of.
 *
 *     hear ──> errand ──> queue ──timer──> frames ──> "sent" ──200 ms──> POST /v1/woke
 *                └── until WATCH_NS later: is one of its MACs among the neighbours? ──> "seen"
 */
#include "transfer/waker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/log.h"
#include "shaper/wake.h"
#include "wire/json.h"
#include "wire/token.h"

#define GATHER_NS (200 * NS_PER_MS) /* words of one order are told together */
#define WATCH_NS (240 * NS_PER_S)   /* a machine takes minutes to start     */
#define REPORT_TIMEOUT_NS (10 * NS_PER_S)
enum {
    NEIGHBOUR_REACHABLE = 2 /* NUD_REACHABLE */,
    REPORT_BYTES_MAX = 8 << 10,
    ANSWER_MOST = 4096
};

/* One machine of an order. */
struct errand_target {
    enum wake_word word, told;
    bool was_told;           /* anything yet */
    bool was_reachable;      /* before it was woken, so that being so says nothing */
    size_t accepted, failed; /* of its MACs */
    char why[WAKE_WHY_MAX];
};

struct errand {
    struct waker *waker;
    struct wake_order order;
    struct errand_target targets[WAKE_ORDER_TARGETS_MAX];
    uint64_t until_ns;
    struct timer timer; /* to report */
    struct upstream_request *asking;
    TAILQ_ENTRY(errand) link;
};
TAILQ_HEAD(errands, errand);

struct remembered {
    uint64_t number;
    int64_t expires_wall_s;
};

struct waker {
    struct waker_options options;
    struct wake_queue *queue;
    struct timer timer; /* of the queue */
    struct errands errands;
    size_t errand_count, asking;
    struct remembered memory[WAKER_REMEMBERED];
    struct waker_figures figures;
};

static void send_due(void *arg);
static void report(void *arg);

struct waker *waker_new(const struct waker_options *options)
{
    struct waker *w = xalloc(sizeof *w);

    w->options = *options;
    w->queue = wake_queue_new(options->rate != 0 ? options->rate : WAKE_RATE_DEFAULT);
    timer_init(&w->timer, options->loop, send_due, w);
    TAILQ_INIT(&w->errands);
    return w;
}

static void errand_free(struct errand *e)
{
    struct waker *w = e->waker;

    if (e->asking != NULL) {
        upstream_cancel(e->asking);
        w->asking--;
    }
    timer_stop(&e->timer);
    TAILQ_REMOVE(&w->errands, e, link);
    w->errand_count--;
    wipe(e, sizeof *e); /* it may hold passwords */
    free(e);
}

struct waker *waker_free(struct waker *w)
{
    if (w == NULL)
        return NULL;
    while (!TAILQ_EMPTY(&w->errands))
        errand_free(TAILQ_FIRST(&w->errands));
    timer_stop(&w->timer);
    wake_queue_free(w->queue);
    free(w);
    return NULL;
}

/* ---- telling --------------------------------------------------------------------------------- */

static bool has_news(const struct errand_target *t)
{
    return !t->was_told || t->word != t->told;
}

static bool is_over(const struct errand *e, uint64_t now_ns)
{
    bool is_watching = false;

    for (size_t i = 0; i < e->order.target_count; i++) {
        if (has_news(&e->targets[i]) || e->targets[i].word == WAKE_WORD_QUEUED)
            return false;
        is_watching = is_watching || e->targets[i].word == WAKE_WORD_SENT;
    }
    return e->asking == NULL && (!is_watching || now_ns >= e->until_ns);
}

/* What is over goes; of the rest the oldest, too, when there is no room for another. */
static void tidy(struct waker *w)
{
    const uint64_t now_ns = loop_now_ns(w->options.loop);
    struct errand *e, *next;

    for (e = TAILQ_FIRST(&w->errands); e != NULL; e = next) {
        next = TAILQ_NEXT(e, link);
        if (is_over(e, now_ns))
            errand_free(e);
    }
    if (w->errand_count == WAKER_REMEMBERED)
        errand_free(TAILQ_FIRST(&w->errands));
}

static void on_reported(void *arg, const struct upstream_answer *answer)
{
    struct errand *e = arg;

    e->asking = NULL;
    e->waker->asking--;
    if (alb_failed(answer->st))
        log_status(LOG_INFO, "wake.not_told", answer->st, "job=%s", e->order.job);
    for (size_t i = 0; i < e->order.target_count; i++)
        if (has_news(&e->targets[i]))
            timer_set_in(&e->timer, GATHER_NS);
}

static void fill_report(struct errand *e, struct wake_report *r)
{
    *r = (struct wake_report){.number = e->order.number};
    snprintf(r->guard, sizeof r->guard, "%s", e->waker->options.device);
    snprintf(r->job, sizeof r->job, "%s", e->order.job);
    for (size_t i = 0; i < e->order.target_count; i++) {
        struct errand_target *t = &e->targets[i];
        struct wake_told *told = &r->told[r->told_count];

        if (!has_news(t))
            continue;
        *told = (struct wake_told){.word = t->word};
        memcpy(told->device, e->order.targets[i].device, sizeof told->device);
        memcpy(told->why, t->why, sizeof told->why);
        t->told = t->word;
        t->was_told = true;
        r->told_count++;
    }
}

/* A hint that gets lost is lost: the hub waits for words, and asks somebody else without them. */
static void report(void *arg)
{
    struct errand *e = arg;
    struct waker *w = e->waker;
    struct wake_report r;
    struct buf body;

    if (e->asking != NULL || w->asking == WAKER_REPORTS) {
        timer_set_in(&e->timer, GATHER_NS);
        return;
    }
    fill_report(e, &r);
    buf_init(&body, REPORT_BYTES_MAX);
    if (r.told_count > 0 && !alb_failed(wake_report_encode(&r, &body))) {
        w->asking++;
        e->asking = upstream_request(w->options.upstream,
                                     &(struct upstream_ask){.method = "POST",
                                                            .path = "/v1/woke",
                                                            .body = buf_peek(&body),
                                                            .body_size = buf_size(&body),
                                                            .expect_bytes = ANSWER_MOST,
                                                            .timeout_ns = REPORT_TIMEOUT_NS,
                                                            .fail_when_down = true},
                                     on_reported, e);
    }
    buf_release(&body);
}

static void set_word(struct errand *e, size_t i, enum wake_word word, const char *why)
{
    e->targets[i].word = word;
    snprintf(e->targets[i].why, sizeof e->targets[i].why, "%s", why);
    if (!timer_is_set(&e->timer))
        timer_set_in(&e->timer, GATHER_NS);
}

/* ---- sending --------------------------------------------------------------------------------- */

static bool has_mac(const struct wake_order_target *t, const uint8_t *mac)
{
    for (size_t i = 0; i < t->mac_count; i++)
        if (memcmp(t->macs[i].bytes, mac, NET_MAC_SIZE) == 0)
            return true;
    return false;
}

static void note_sent(struct errand *e, size_t i, struct alb_status st)
{
    struct errand_target *t = &e->targets[i];
    char text[128], why[WAKE_WHY_MAX];

    if (!alb_failed(st)) {
        e->waker->figures.machines++;
        set_word(e, i, WAKE_WORD_SENT, "");
    } else if (++t->failed >= t->accepted) {
        snprintf(why, sizeof why, "its link let no frame out: %s",
                 alb_status_text(st, text, sizeof text));
        set_word(e, i, WAKE_WORD_REFUSED, why);
    }
}

static void send_one(struct waker *w, const struct wake_due *due)
{
    const struct alb_status st = wake_send(w->options.loop, &due->target);
    struct errand *e;

    w->figures.frames_failed += alb_failed(st);
    if (alb_failed(st))
        log_status(LOG_WARN, "wake.send_failed", st, "link=%u", (unsigned)due->target.link);
    if (due->attempt > 0)
        return;
    TAILQ_FOREACH(e, &w->errands, link)
    for (size_t i = 0; i < e->order.target_count; i++)
        if (e->targets[i].word == WAKE_WORD_QUEUED && e->targets[i].accepted > 0 &&
            has_mac(&e->order.targets[i], due->target.mac))
            note_sent(e, i, st);
}

static void send_due(void *arg)
{
    struct waker *w = arg;
    const uint64_t now_ns = loop_now_ns(w->options.loop);
    struct wake_due due;

    while (wake_queue_take(w->queue, now_ns, &due))
        send_one(w, &due);
    wipe(&due, sizeof due);
    const uint64_t next_ns = wake_queue_next_ns(w->queue);
    if (next_ns != UINT64_MAX)
        timer_set_in(&w->timer, next_ns > now_ns ? next_ns - now_ns : 0);
}

/* ---- where ----------------------------------------------------------------------------------- */

static struct net_ip ip_of(const struct announce_address *a)
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};
    struct net_ip ip = {.size = 16};

    memcpy(ip.bytes, a->bytes, sizeof a->bytes);
    if (memcmp(a->bytes, V4, sizeof V4) == 0) {
        ip = (struct net_ip){.size = 4};
        memcpy(ip.bytes, a->bytes + sizeof V4, ip.size);
    }
    return ip;
}

/* The index of a link of ours that is in a subnet of the machine's; 0: none. */
static uint32_t find_link(const struct net_picture *p, const struct wake_order_target *t)
{
    for (size_t i = 0; i < t->address_count; i++) {
        const struct net_ip ip = ip_of(&t->addresses[i]);

        for (size_t k = 0; k < p->address_count; k++) {
            const struct net_link *l = net_picture_link(p, p->addresses[k].link);

            if (l != NULL && net_link_is_usable(l) && l->nature != NET_LOOPBACK &&
                net_address_covers(&p->addresses[k], &ip))
                return l->index;
        }
    }
    return 0;
}

static bool is_own_mac(const struct net_picture *p, const uint8_t *mac)
{
    for (size_t i = 0; i < p->link_count; i++)
        if ((p->links[i].has_mac && memcmp(p->links[i].mac, mac, NET_MAC_SIZE) == 0) ||
            (p->links[i].has_permanent_mac &&
             memcmp(p->links[i].permanent_mac, mac, NET_MAC_SIZE) == 0))
            return true;
    return false;
}

static bool is_reachable(const struct net_picture *p, const struct wake_order_target *t)
{
    for (size_t i = 0; i < p->neighbour_count; i++)
        if (p->neighbours[i].state == NEIGHBOUR_REACHABLE && has_mac(t, p->neighbours[i].mac))
            return true;
    return false;
}

/* ---- an order -------------------------------------------------------------------------------- */

static void queue_macs(struct errand *e, size_t i, uint32_t link)
{
    struct waker *w = e->waker;
    const struct wake_order_target *t = &e->order.targets[i];
    const uint64_t now_ns = loop_now_ns(w->options.loop);
    struct alb_status failure = ALB_STATUS_OK;
    char text[128];

    for (size_t k = 0; k < t->mac_count; k++) {
        struct wake_target target = {.link = link, .password_size = t->password_size};

        memcpy(target.mac, t->macs[k].bytes, sizeof target.mac);
        memcpy(target.password, t->password, sizeof target.password);
        if (t->is_again)
            wake_queue_forget(w->queue, target.mac);
        const struct alb_status st = wake_queue_add(w->queue, &target, now_ns);
        if (alb_failed(st))
            failure = st;
        else
            e->targets[i].accepted++;
        wipe(&target, sizeof target);
    }
    if (e->targets[i].accepted > 0)
        set_word(e, i, WAKE_WORD_QUEUED, "");
    else
        set_word(e, i, WAKE_WORD_REFUSED, alb_status_text(failure, text, sizeof text));
}

static void begin_target(struct errand *e, size_t i, const struct net_picture *p)
{
    const struct wake_order_target *t = &e->order.targets[i];
    char ip[NET_IP_TEXT_SIZE], why[WAKE_WHY_MAX];
    const struct net_ip first = ip_of(&t->addresses[0]);

    if (p == NULL) {
        set_word(e, i, WAKE_WORD_REFUSED, "this guard cannot tell which links it has");
        return;
    }
    const uint32_t link = find_link(p, t);
    if (link == 0) {
        snprintf(why, sizeof why, "no link of this guard is in a subnet of the machine's (%s/%u)",
                 net_ip_format(&first, ip), t->addresses[0].bits - (first.size == 4 ? 96u : 0));
        set_word(e, i, WAKE_WORD_REFUSED, why);
    } else if (is_own_mac(p, t->macs[0].bytes)) {
        set_word(e, i, WAKE_WORD_REFUSED, "that MAC is this guard's own");
    } else {
        e->targets[i].was_reachable = is_reachable(p, t);
        queue_macs(e, i, link);
    }
}

/* "": it is to be obeyed. */
static void judge(struct waker *w, const struct wake_order *o, char why[WAKE_WHY_MAX])
{
    authority_saw_time(w->options.authority, o->issued_wall_s);
    const int64_t now_s = authority_now_s(w->options.authority, loop_wall_s(w->options.loop));

    why[0] = '\0';
    if (strcmp(o->guard, w->options.device) != 0)
        snprintf(why, WAKE_WHY_MAX, "the order is for %s, and came to %s", o->guard,
                 w->options.device);
    else if (now_s > o->expires_wall_s)
        snprintf(why, WAKE_WHY_MAX,
                 "the order ended %" PRId64 " s ago by this guard's clock: is that ahead?",
                 now_s - o->expires_wall_s);
}

/* False: it was obeyed before, or so many came within a minute that nobody could say. */
static bool remember(struct waker *w, const struct wake_order *o)
{
    const int64_t now_s = authority_now_s(w->options.authority, loop_wall_s(w->options.loop));
    struct remembered *room = NULL;

    for (size_t i = 0; i < WAKER_REMEMBERED; i++) {
        struct remembered *m = &w->memory[i];

        if (m->expires_wall_s != 0 && m->number == o->number)
            return false;
        if (m->expires_wall_s < now_s)
            room = m;
    }
    if (room != NULL)
        *room = (struct remembered){o->number, o->expires_wall_s};
    return room != NULL;
}

static void obey(struct waker *w, const struct wake_order *o)
{
    const struct net_picture *p =
        w->options.picture == NULL ? NULL : w->options.picture(w->options.arg);
    struct errand *e = xalloc(sizeof *e);
    char why[WAKE_WHY_MAX];

    tidy(w);
    e->waker = w;
    e->order = *o;
    e->until_ns = loop_now_ns(w->options.loop) + WATCH_NS;
    timer_init(&e->timer, w->options.loop, report, e);
    TAILQ_INSERT_TAIL(&w->errands, e, link);
    w->errand_count++;
    judge(w, o, why);
    if (why[0] != '\0')
        w->figures.refused_orders++;
    log_event(LOG_INFO, why[0] == '\0' ? "wake.order" : "wake.refused",
              "job=%s guard=%s machines=%zu why=\"%s\"", o->job, o->guard, o->target_count, why);
    for (size_t i = 0; i < o->target_count; i++) {
        if (why[0] != '\0')
            set_word(e, i, WAKE_WORD_REFUSED, why);
        else
            begin_target(e, i, p);
    }
    send_due(w);
}

bool waker_hear(struct waker *w, const char *rest)
{
    static const char WORD[] = "wake ";
    struct wake_order o;
    uint8_t bytes[WAKE_ORDER_BYTES_MAX];
    size_t size = 0;

    if (strncmp(rest, WORD, sizeof WORD - 1) != 0)
        return false;
    w->figures.orders++;
    struct alb_status st = base64url_decode(rest + sizeof WORD - 1, bytes, sizeof bytes, &size);
    if (!alb_failed(st))
        st = wake_order_decode(bytes, size, authority_trust(w->options.authority), &o);
    if (alb_failed(st)) {
        w->figures.refused_orders++;
        log_status(LOG_WARN, "wake.not_believed", st, "next=\"nothing was woken\"");
    } else if (!remember(w, &o)) {
        w->figures.refused_orders++;
        log_event(LOG_WARN, "wake.replayed", "job=%s", o.job);
    } else {
        obey(w, &o);
    }
    wipe(&o, sizeof o);
    return true;
}

/* ---- neighbours ------------------------------------------------------------------------------ */

void waker_look(struct waker *w)
{
    const struct net_picture *p =
        w->options.picture == NULL ? NULL : w->options.picture(w->options.arg);
    size_t watched = 0;
    struct errand *e;

    if (p == NULL)
        return;
    TAILQ_FOREACH(e, &w->errands, link)
    for (size_t i = 0; i < e->order.target_count && watched < WAKER_WATCHED; i++) {
        struct errand_target *t = &e->targets[i];

        if (t->word != WAKE_WORD_SENT || t->was_reachable)
            continue;
        watched++;
        if (!is_reachable(p, &e->order.targets[i]))
            continue;
        w->figures.seen++;
        set_word(e, i, WAKE_WORD_SEEN, "");
    }
}

/* ---- shown ----------------------------------------------------------------------------------- */

void waker_figures(const struct waker *w, struct waker_figures *out)
{
    *out = w->figures;
    out->waiting = wake_queue_waiting(w->queue);
}

void waker_show(const struct waker *w, struct json_writer *j)
{
    struct waker_figures f;

    waker_figures(w, &f);
    json_object_begin(j, "wake");
    json_number(j, "orders", f.orders);
    json_number(j, "orders_refused", f.refused_orders);
    json_number(j, "machines", f.machines);
    json_number(j, "sends_failed", f.frames_failed);
    json_number(j, "seen", f.seen);
    json_number(j, "waiting", f.waiting);
    json_end(j);
}
