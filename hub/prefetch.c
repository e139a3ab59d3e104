/* SPDX-License-Identifier: Apache-2.0 */
/* hub/prefetch.c – orders to hold versions: said, said again, heard of. */
#include "hub/prefetch.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "hub/hub_impl.h"
#include "transfer/roster.h"
#include "transfer/serve.h"

#define SILENCE_NS (45 * NS_PER_S) /* two words of it got lost */
#define LOOK_NS (5 * NS_PER_S)
enum { SAYS_MOST = 3 };

struct hub_prefetch {
    struct chunk_key key; /* device and root */
    struct prefetch_order order;
    struct prefetch_report report;
    uint64_t heard_ns;      /* or said: when silence began */
    uint64_t away_since_ns; /* 0: it is here */
    unsigned unheard;       /* how often it was said since anything was heard */
    TAILQ_HEAD(, prefetch_user) users;
    TAILQ_ENTRY(hub_prefetch) link;
};

struct hub_prefetches {
    struct hub *hub;
    struct roster_listener listener;
    TAILQ_HEAD(, hub_prefetch) list;
    struct map by_key, by_id;
    struct timer timer;
    struct hub_prefetch_figures figures;
};

static void on_roster(struct roster_listener *l, enum roster_news news,
                      const struct roster_entry *e, const struct announce *before);
static void look(void *arg);

/* ---- life ------------------------------------------------------------------------------------ */

struct hub_prefetches *hub_prefetches_new(struct hub *h)
{
    struct hub_prefetches *p = xalloc(sizeof *p);

    p->hub = h;
    TAILQ_INIT(&p->list);
    map_init(&p->by_key);
    map_init(&p->by_id);
    timer_init(&p->timer, h->options.loop, look, p);
    p->listener.told = on_roster;
    roster_listen(h->roster, &p->listener);
    return p;
}

static void forget(struct hub_prefetches *p, struct hub_prefetch *f)
{
    const struct chunk_key id = map_text_key(f->order.id);

    (void)map_remove(&p->by_key, &f->key);
    (void)map_remove(&p->by_id, &id);
    TAILQ_REMOVE(&p->list, f, link);
    p->figures.open--;
    free(f);
}

struct hub_prefetches *hub_prefetches_free(struct hub_prefetches *p)
{
    struct hub_prefetch *f;

    if (p == NULL)
        return NULL;
    while ((f = TAILQ_FIRST(&p->list)) != NULL) {
        struct prefetch_user *u;

        TAILQ_FOREACH(u, &f->users, link)
        u->of = NULL;
        forget(p, f);
    }
    roster_unlisten(p->hub->roster, &p->listener);
    timer_stop(&p->timer);
    map_release(&p->by_key);
    map_release(&p->by_id);
    free(p);
    return NULL;
}

/* ---- saying ---------------------------------------------------------------------------------- */

static void say(struct hub_prefetches *p, struct hub_prefetch *f, bool is_end)
{
    const struct hub *h = p->hub;
    struct prefetch_order o = f->order;
    struct alb_status st;
    struct buf line;

    o.is_end = is_end;
    buf_init(&line, ROSTER_REST_MAX);
    st = prefetch_order_write(&o, &line);
    if (!alb_failed(st))
        st = roster_say(h->roster, h->feed, f->report.device, buf_text(&line));
    f->heard_ns = loop_now_ns(h->options.loop);
    f->unheard++;
    p->figures.orders += !is_end;
    log_event(LOG_INFO, is_end ? "prefetch.ended" : "prefetch.ordered",
              "order=%s device=%s layer=%s st=\"%s\"", o.id, f->report.device, o.layer, st.what);
    buf_release(&line);
}

static void tell(struct hub_prefetch *f)
{
    struct prefetch_user *u;

    TAILQ_FOREACH(u, &f->users, link)
    u->changed(u);
}

static bool is_ended(const struct hub_prefetch *f)
{
    return f->report.state == PREFETCH_HELD || f->report.state == PREFETCH_FAILED;
}

static void give_up(struct hub_prefetch *f)
{
    f->report.state = PREFETCH_FAILED;
    snprintf(f->report.why, sizeof f->report.why,
             "%.63s says nothing of the order; is its program an older one?", f->report.device);
    tell(f);
}

static void look(void *arg)
{
    struct hub_prefetches *p = arg;
    const uint64_t now_ns = loop_now_ns(p->hub->options.loop);
    struct hub_prefetch *f;

    TAILQ_FOREACH(f, &p->list, link)
    {
        if (is_ended(f))
            continue;
        if (f->away_since_ns != 0)
            tell(f); /* how long it is away counts */
        else if (now_ns - f->heard_ns >= SILENCE_NS && f->unheard == SAYS_MOST)
            give_up(f);
        else if (now_ns - f->heard_ns >= SILENCE_NS)
            say(p, f, false);
    }
    if (!TAILQ_EMPTY(&p->list))
        timer_set_in(&p->timer, LOOK_NS);
}

/* ---- who wants it ---------------------------------------------------------------------------- */

static struct chunk_key key_of(const char *device, const struct digest *root)
{
    char hex[DIGEST_HEX_SIZE], text[DIGEST_HEX_SIZE + 80];

    snprintf(text, sizeof text, "%s %s", digest_hex(root, hex), device);
    return map_text_key(text);
}

static struct hub_prefetch *add(struct hub_prefetches *p, const struct chunk_key *key,
                                const char *device, const char *layer, const struct digest *root)
{
    const struct roster_entry *e = roster_find(p->hub->roster, device);
    struct hub_prefetch *f = xalloc(sizeof *f);

    f->key = *key;
    f->order.root = *root;
    snprintf(f->order.layer, sizeof f->order.layer, "%s", layer);
    prefetch_id_make(f->order.id);
    snprintf(f->report.device, sizeof f->report.device, "%s", device);
    memcpy(f->report.order, f->order.id, sizeof f->report.order);
    f->report.state = PREFETCH_WAITS;
    f->away_since_ns =
        e != NULL && e->announce->goes == ANNOUNCE_STAYS ? 0 : loop_now_ns(p->hub->options.loop);
    TAILQ_INIT(&f->users);
    const struct chunk_key id = map_text_key(f->order.id);
    (void)map_put(&p->by_key, key, f);
    (void)map_put(&p->by_id, &id, f);
    TAILQ_INSERT_TAIL(&p->list, f, link);
    p->figures.open++;
    return f;
}

struct alb_status hub_prefetch_begin(struct hub_prefetches *p, const char *device,
                                     const char *layer, const struct digest *root,
                                     struct prefetch_user *u)
{
    const struct chunk_key key = key_of(device, root);
    struct hub_prefetch *f = map_get(&p->by_key, &key);

    if (f == NULL && p->figures.open == HUB_PREFETCHES)
        return alb_fail(ALB_FULL, "1,024 orders to hold versions are open at this hub");
    if (f == NULL)
        f = add(p, &key, device, layer, root);
    /* What was held may be gone since, and what failed may go now: it is said in any case. */
    if (is_ended(f))
        f->report.state = PREFETCH_WAITS;
    f->unheard = 0;
    if (f->away_since_ns == 0)
        say(p, f, false);
    TAILQ_INSERT_TAIL(&f->users, u, link);
    u->of = f;
    timer_set_in(&p->timer, LOOK_NS);
    return ALB_STATUS_OK;
}

void hub_prefetch_leave(struct hub_prefetches *p, struct prefetch_user *u)
{
    struct hub_prefetch *f = u->of;

    if (f == NULL)
        return;
    u->of = NULL;
    TAILQ_REMOVE(&f->users, u, link);
    if (!TAILQ_EMPTY(&f->users))
        return;
    if (!is_ended(f) && f->away_since_ns == 0)
        say(p, f, true);
    forget(p, f);
}

const struct prefetch_report *hub_prefetch_report(const struct prefetch_user *u)
{
    return &u->of->report;
}

uint64_t hub_prefetch_away_since_ns(const struct prefetch_user *u)
{
    return u->of->away_since_ns;
}

/* ---- hearing --------------------------------------------------------------------------------- */

static void on_roster(struct roster_listener *l, enum roster_news news,
                      const struct roster_entry *e, const struct announce *before)
{
    struct hub_prefetches *p = ALB_CONTAINER(l, struct hub_prefetches, listener);
    const bool is_here = news != ROSTER_WENT && e->announce->goes == ANNOUNCE_STAYS;
    struct hub_prefetch *f;

    (void)before;
    if (!e->announce->is_reflector)
        return;
    TAILQ_FOREACH(f, &p->list, link)
    {
        if (strcmp(f->report.device, e->announce->device) != 0 ||
            is_here == (f->away_since_ns == 0))
            continue;
        f->away_since_ns = is_here ? 0 : loop_now_ns(p->hub->options.loop);
        if (is_here && !is_ended(f))
            say(p, f, false); /* it may have begun anew */
        f->unheard = 1;
        tell(f);
    }
}

static void take(struct hub_prefetches *p, const struct prefetch_report *r)
{
    const struct chunk_key id = map_text_key(r->order);
    struct hub_prefetch *f = map_get(&p->by_id, &id);
    char why[LOG_TEXT_SIZE];

    p->figures.reports++;
    if (f == NULL || strcmp(f->report.device, r->device) != 0)
        return; /* nobody wants it any more */
    if (r->state != f->report.state)
        log_event(LOG_INFO, "prefetch.told", "order=%s device=%s layer=%s state=%s why=%s",
                  r->order, r->device, f->order.layer, prefetch_state_word(r->state),
                  log_text(r->why, why));
    f->report = *r;
    f->unheard = 0;
    f->heard_ns = loop_now_ns(p->hub->options.loop);
    tell(f);
}

void hub_handle_prefetched(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct prefetch_report r;
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);
    const struct alb_status st = prefetch_report_decode(body, size, &r);

    if (alb_failed(st)) {
        serve_refuse_status(rq, st);
    } else if (!roster_speaks_for(h->roster, &rq->session->who, r.device)) {
        h->prefetches->figures.refused++;
        log_event(LOG_WARN, "prefetch.report_refused", "by=%s of=%s", rq->session->who.device,
                  r.device);
        serve_refuse(rq, ALB_REFUSED, "a reflector reports for itself, or the one above it does");
    } else {
        take(h->prefetches, &r);
        serve_answer(rq, "application/json", "{}", 2);
    }
}

void hub_prefetch_figures(const struct hub_prefetches *p, struct hub_prefetch_figures *out)
{
    *out = p->figures;
}
