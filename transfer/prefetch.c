/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/prefetch.c – orders in a row, one of which runs, and what is told of each. */
#include "transfer/prefetch_impl.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "wire/json.h"

enum {
    KEPT = 2 * PREFETCH_ORDERS,
    ANSWER_MOST = 4096, /* to a report */
};
#define TELL_NS (1 * NS_PER_S) /* while chunks come */
#define TELL_AGAIN_NS (10 * NS_PER_S)
#define TELL_TIMEOUT_NS (10 * NS_PER_S)

static void begin_next(struct prefetcher *p);
static void tell(void *arg);

/* ---- life ------------------------------------------------------------------------------------ */

static void on_up(struct upstream_listener *l)
{
    timer_set_in(&ALB_CONTAINER(l, struct prefetcher, listener)->tell, 0);
}

static void on_down(struct upstream_listener *l)
{
    (void)l; /* what is asked for waits for the line */
}

struct prefetcher *prefetcher_new(const struct prefetcher_options *options)
{
    struct prefetcher *p = xalloc(sizeof *p);

    p->options = *options;
    TAILQ_INIT(&p->orders);
    timer_init(&p->rest, options->loop, prefetcher_pass, p);
    timer_init(&p->tell, options->loop, tell, p);
    p->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(options->upstream, &p->listener);
    return p;
}

static void forget(struct prefetcher *p, struct prefetch *f)
{
    if (p->running == f)
        prefetcher_let_go(p);
    if (p->told == f)
        p->told = NULL;
    TAILQ_REMOVE(&p->orders, f, link);
    p->count--;
    free(f);
}

struct prefetcher *prefetcher_free(struct prefetcher *p)
{
    if (p == NULL)
        return NULL;
    while (!TAILQ_EMPTY(&p->orders))
        forget(p, TAILQ_FIRST(&p->orders));
    upstream_cancel(p->telling);
    upstream_unlisten(p->options.upstream, &p->listener);
    timer_stop(&p->tell);
    loop_bury(p->options.loop, free, p);
    return NULL;
}

/* ---- orders ---------------------------------------------------------------------------------- */

static bool is_open(const struct prefetch *f)
{
    return f->report.state == PREFETCH_WAITS || f->report.state == PREFETCH_FETCHING;
}

void prefetcher_set_news(struct prefetcher *p, struct prefetch *f)
{
    f->is_news = true;
    if (p->telling == NULL)
        timer_set_in(&p->tell, 0);
}

static struct prefetch *find(const struct prefetcher *p, const char *id)
{
    struct prefetch *f;

    TAILQ_FOREACH(f, &p->orders, link)
    if (strcmp(f->order.id, id) == 0)
        return f;
    return NULL;
}

static size_t count_open(const struct prefetcher *p)
{
    const struct prefetch *f;
    size_t count = 0;

    TAILQ_FOREACH(f, &p->orders, link)
    count += is_open(f);
    return count;
}

static void forget_ended(struct prefetcher *p)
{
    struct prefetch *f;

    TAILQ_FOREACH(f, &p->orders, link)
    if (!is_open(f)) {
        forget(p, f);
        return;
    }
}

/* One that is not open is to wait its turn, unless as many do as may. */
static void admit(struct prefetcher *p, struct prefetch *f)
{
    const bool is_full = count_open(p) >= PREFETCH_ORDERS;

    f->report.state = is_full ? PREFETCH_FAILED : PREFETCH_WAITS;
    f->report.why[0] = '\0';
    if (is_full)
        snprintf(f->report.why, sizeof f->report.why,
                 "%d orders wait here already: again when one has ended", PREFETCH_ORDERS);
    p->figures.refused += is_full;
}

static struct prefetch *add(struct prefetcher *p, const struct prefetch_order *o)
{
    struct prefetch *f = xalloc(sizeof *f);

    if (p->count == KEPT)
        forget_ended(p); /* there is one: at most half of them are open */
    f->order = *o;
    snprintf(f->report.device, sizeof f->report.device, "%s", p->options.device);
    snprintf(f->report.order, sizeof f->report.order, "%s", o->id);
    admit(p, f);
    TAILQ_INSERT_TAIL(&p->orders, f, link);
    p->count++;
    return f;
}

bool prefetcher_hear(struct prefetcher *p, const char *rest)
{
    struct prefetch_order o;
    const struct alb_status st = prefetch_order_read(rest, &o);

    if (st.code == ALB_NOT_FOUND)
        return false;
    if (alb_failed(st)) {
        p->figures.refused++;
        log_status(LOG_WARN, "prefetch.not_understood", st, "next=\"nothing was fetched\"");
        return true;
    }
    struct prefetch *f = find(p, o.id);
    if (o.is_end) {
        if (f != NULL)
            forget(p, f);
        begin_next(p);
        return true;
    }
    p->figures.orders += f == NULL;
    if (f == NULL)
        f = add(p, &o);
    else if (f->report.state == PREFETCH_FAILED)
        admit(p, f); /* said again by who wants it tried once more */
    log_event(LOG_INFO, "prefetch.order", "order=%s layer=%s state=%s", o.id, o.layer,
              prefetch_state_word(f->report.state));
    prefetcher_set_news(p, f);
    begin_next(p);
    return true;
}

static void begin_next(struct prefetcher *p)
{
    struct prefetch *f;

    if (p->running != NULL)
        return;
    TAILQ_FOREACH(f, &p->orders, link)
    if (f->report.state == PREFETCH_WAITS)
        break;
    if (f == NULL)
        return;
    f->report.state = PREFETCH_FETCHING;
    prefetcher_set_news(p, f);
    prefetcher_run(p, f);
}

void prefetcher_end(struct prefetcher *p, enum prefetch_state state, const char *why)
{
    struct prefetch *f = p->running;

    f->report.state = state;
    snprintf(f->report.why, sizeof f->report.why, "%s", why);
    p->figures.held += state == PREFETCH_HELD;
    p->figures.failed += state == PREFETCH_FAILED;
    log_event(state == PREFETCH_HELD ? LOG_INFO : LOG_WARN,
              state == PREFETCH_HELD ? "prefetch.held" : "prefetch.failed",
              "order=%s layer=%s chunks=%llu fetched_bytes=%llu why=\"%s\"", f->order.id,
              f->order.layer, (unsigned long long)f->report.chunks,
              (unsigned long long)f->report.fetched_bytes, why);
    prefetcher_let_go(p);
    prefetcher_set_news(p, f);
    begin_next(p);
}

/* ---- telling --------------------------------------------------------------------------------- */

void prefetcher_tell_soon(struct prefetcher *p)
{
    if (!timer_is_set(&p->tell) && p->telling == NULL)
        timer_set_in(&p->tell, TELL_NS);
}

static void on_told(void *arg, const struct upstream_answer *answer)
{
    struct prefetcher *p = arg;

    p->telling = NULL;
    if (alb_failed(answer->st) && p->told != NULL) {
        p->told->is_news = true;
        log_status(LOG_INFO, "prefetch.not_told", answer->st, "order=%s", p->told->order.id);
    }
    p->told = NULL;
    timer_set_in(&p->tell, alb_failed(answer->st) ? TELL_AGAIN_NS : TELL_NS);
}

/* What is left, for the deadlines of its layer (layer_jobs.h): in bytes as they travel, as far as
 * they are known. */
static void tell_left(const struct prefetcher *p, const struct prefetch_report *r)
{
    if (p->view != NULL && p->running != NULL && r == &p->running->report)
        supply_tell_left(p->options.supply, p->view->layer, r->bytes - r->bytes_here);
}

static void tell_one(struct prefetcher *p, struct prefetch *f)
{
    struct buf body;

    snprintf(f->report.line, sizeof f->report.line, "%s",
             p->options.line == NULL ? "" : p->options.line(p->options.arg));
    tell_left(p, &f->report);
    f->is_news = false;
    f->told_ns = loop_now_ns(p->options.loop);
    buf_init(&body, PREFETCH_BODY_MAX);
    if (!alb_failed(prefetch_report_encode(&f->report, &body))) {
        p->told = f;
        p->telling = upstream_request(p->options.upstream,
                                      &(struct upstream_ask){.method = "POST",
                                                             .path = PREFETCH_PATH,
                                                             .body = buf_peek(&body),
                                                             .body_size = buf_size(&body),
                                                             .expect_bytes = ANSWER_MOST,
                                                             .timeout_ns = TELL_TIMEOUT_NS,
                                                             .fail_when_down = true},
                                      on_told, p);
    }
    buf_release(&body);
}

static bool is_due(const struct prefetch *f, uint64_t now_ns)
{
    const uint64_t rest_ns =
        f->report.state == PREFETCH_FETCHING ? TELL_NS : PREFETCH_WORD_NS - TELL_NS;

    return f->is_news || (is_open(f) && now_ns >= f->told_ns + rest_ns);
}

static void tell(void *arg)
{
    struct prefetcher *p = arg;
    const uint64_t now_ns = loop_now_ns(p->options.loop);
    struct prefetch *f;

    if (p->telling != NULL || !upstream_is_up(p->options.upstream))
        return; /* on_told() and on_up() come back here */
    TAILQ_FOREACH(f, &p->orders, link)
    if (is_due(f, now_ns))
        break;
    if (f != NULL)
        tell_one(p, f);
    else if (count_open(p) > 0)
        timer_set_in(&p->tell, TELL_NS);
}

/* ---- shown ----------------------------------------------------------------------------------- */

void prefetcher_figures(const struct prefetcher *p, struct prefetcher_figures *out)
{
    *out = p->figures;
    out->open = count_open(p);
}

void prefetcher_show(const struct prefetcher *p, struct json_writer *w)
{
    const struct prefetch *f;

    json_object_begin(w, "prefetch");
    json_number(w, "orders_total", p->figures.orders);
    json_number(w, "held_total", p->figures.held);
    json_number(w, "failed_total", p->figures.failed);
    json_number(w, "chunks_total", p->figures.chunks);
    json_number(w, "bytes_total", p->figures.bytes);
    json_array_begin(w, "orders");
    TAILQ_FOREACH(f, &p->orders, link)
    {
        json_object_begin(w, NULL);
        json_text(w, "order", f->order.id);
        json_text(w, "layer", f->order.layer);
        json_text(w, "state", prefetch_state_word(f->report.state));
        json_number(w, "chunks", f->report.chunks);
        json_number(w, "chunks_here", f->report.chunks_here);
        json_text(w, "why", f->report.why);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}
