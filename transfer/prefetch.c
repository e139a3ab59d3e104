/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/prefetch.c – orders in a row; the first is passed over until nothing of it lacks. */
#include "transfer/prefetch.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "wire/json.h"

enum {
    KEPT = 2 * PREFETCH_ORDERS,
    ANSWER_MOST = 4096, /* to a report */
    LOOK_AT = 256,      /* positions looked for in the store at once */
    TRIES_MOST = 3,     /* passes in a row that brought nothing */
    PASSES_MOST = 8,    /* … and that brought all, which then was not there */
};
#define SETTLE_NS (300 * NS_PER_MS) /* the keeper writes within 5 ms, and a sync takes its time */
#define REST_NS (2 * NS_PER_S)      /* doubled with each try */
#define TELL_NS (1 * NS_PER_S)      /* while chunks come */
#define TELL_AGAIN_NS (10 * NS_PER_S)
#define TELL_TIMEOUT_NS (10 * NS_PER_S)

struct prefetch { /* one order */
    struct prefetch_order order;
    struct prefetch_report report; /* as it would be told now */
    bool is_news;
    uint64_t told_ns;
    TAILQ_ENTRY(prefetch) link;
};

struct slot { /* one chunk being asked for */
    struct prefetcher *owner;
    struct waiter waiter;
    uint32_t raw_bytes;
    bool is_busy;
};

struct look { /* a job: what is in the store? */
    struct job job;
    struct prefetcher *owner; /* NULL: nobody asks any more */
    struct chunk_store *store;
    uint32_t first;
    size_t count;
    struct chunk_key keys[LOOK_AT];
    struct where where[LOOK_AT];
    bool has[LOOK_AT];
    struct alb_status st;
};

struct pass {
    uint32_t next; /* to be looked for */
    uint32_t here; /* found, or come */
    uint64_t bytes_here;
    uint32_t asked, came;
    struct alb_status st; /* of the last one that did not come */
    uint64_t not_kept;    /* of the supply when it began */
};

struct prefetcher {
    struct prefetcher_options options;
    TAILQ_HEAD(, prefetch) orders; /* as they came */
    size_t count;
    struct prefetch *running; /* NULL: none */
    struct root_wait root_wait;
    bool waits_root;
    const struct root_view *view; /* once it is open */
    struct pass pass;
    unsigned passes, tries;
    struct look *look; /* under way */
    struct slot *slots;
    size_t busy;
    struct timer rest, tell;
    struct upstream_request *telling;
    struct prefetch *told; /* what it tells of; NULL: it is gone */
    struct upstream_listener listener;
    struct prefetcher_figures figures;
};

static void begin_next(struct prefetcher *p);
static void opened(struct root_wait *w, struct alb_status st, const struct root_view *view);
static void begin_pass(void *arg);
static void go_on(struct prefetcher *p);
static void look_run(struct job *job);
static void look_done(struct job *job);
static void came(struct waiter *w, struct alb_status st, struct chunk *chunk);
static void end_pass(struct prefetcher *p);
static void set_back(struct prefetcher *p, struct alb_status st);
static void finish(struct prefetcher *p, enum prefetch_state state, const char *why);
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
    timer_init(&p->rest, options->loop, begin_pass, p);
    timer_init(&p->tell, options->loop, tell, p);
    p->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(options->upstream, &p->listener);
    return p;
}

/* Nobody asks for anything of the running one any more. */
static void let_go(struct prefetcher *p)
{
    timer_stop(&p->rest);
    if (p->look != NULL)
        p->look->owner = NULL;
    p->look = NULL;
    if (p->waits_root)
        root_book_leave(p->options.roots, &p->root_wait);
    p->waits_root = false;
    for (size_t i = 0; p->slots != NULL && i < PREFETCH_SLOTS; i++)
        if (p->slots[i].is_busy)
            supply_leave(p->options.supply, &p->slots[i].waiter);
    loop_bury(p->options.loop, free, p->slots);
    p->slots = NULL;
    p->busy = 0;
    if (p->view != NULL) {
        supply_tell_left(p->options.supply, p->view->layer, 0);
        root_book_close_view(p->options.roots, p->view);
    }
    p->view = NULL;
    p->running = NULL;
}

static void forget(struct prefetcher *p, struct prefetch *f)
{
    if (p->running == f)
        let_go(p);
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

static void set_news(struct prefetcher *p, struct prefetch *f)
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
    set_news(p, f);
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
    p->running = f;
    p->passes = p->tries = 0;
    p->slots = xcalloc(PREFETCH_SLOTS, sizeof *p->slots);
    f->report.state = PREFETCH_FETCHING;
    set_news(p, f);
    begin_pass(p);
}

/* ---- a pass ---------------------------------------------------------------------------------- */

static void begin_pass(void *arg)
{
    struct prefetcher *p = arg;
    struct supply_stats stats;

    if (p->view == NULL) {
        p->root_wait = (struct root_wait){.done = opened};
        p->waits_root = true;
        root_book_open(p->options.roots, p->running->order.layer, &p->running->order.root,
                       &p->root_wait);
        return;
    }
    supply_stats(p->options.supply, &stats);
    p->pass = (struct pass){.not_kept = stats.not_kept};
    p->passes++;
    go_on(p);
}

/* The lists as one row: the root object, the manifest's chunks, the content. */
static uint32_t row_length(const struct root_view *v)
{
    return 1 + v->root.chunk_count + (uint32_t)v->content_key_count;
}

static void row_key(const struct root_view *v, uint32_t at, struct chunk_key *key,
                    struct where *where)
{
    const uint32_t manifest = v->root.chunk_count;
    bool is_there;

    if (at == 0)
        is_there = root_view_key(v, LIST_ROOT, 0, key, where);
    else if (at <= manifest)
        is_there = root_view_key(v, LIST_MANIFEST, at - 1, key, where);
    else
        is_there = root_view_key(v, LIST_CONTENT, at - 1 - manifest, key, where);
    alb_assert(is_there);
}

static void opened(struct root_wait *w, struct alb_status st, const struct root_view *view)
{
    struct prefetcher *p = ALB_CONTAINER(w, struct prefetcher, root_wait);
    struct prefetch_report *r = &p->running->report;
    struct chunk_key key;
    struct where where;

    p->waits_root = false;
    if (alb_failed(st)) {
        set_back(p, st);
        return;
    }
    p->view = view;
    r->chunks = row_length(view);
    r->bytes = 0;
    for (uint32_t i = 0; i < r->chunks; i++) {
        row_key(view, i, &key, &where);
        r->bytes += where.raw_bytes;
    }
    set_news(p, p->running);
    begin_pass(p);
}

static void look(struct prefetcher *p)
{
    const uint32_t left = row_length(p->view) - p->pass.next;
    struct look *l = xalloc(sizeof *l);

    *l = (struct look){.owner = p,
                       .store = supply_store(p->options.supply),
                       .first = p->pass.next,
                       .count = left < LOOK_AT ? left : LOOK_AT};
    for (size_t i = 0; i < l->count; i++)
        row_key(p->view, l->first + (uint32_t)i, &l->keys[i], &l->where[i]);
    p->pass.next += (uint32_t)l->count;
    p->look = l;
    l->job = (struct job){
        .run = look_run, .done = look_done, .lane = JOB_SHARED, .work_bytes = 64 << 10};
    loop_submit(p->options.loop, &l->job);
}

static void look_run(struct job *job)
{
    struct look *l = ALB_CONTAINER(job, struct look, job);

    l->st = chunk_store_exists_many(l->store, l->keys, l->count, l->has);
}

static void note_here(struct prefetcher *p, uint32_t raw_bytes)
{
    struct prefetch_report *r = &p->running->report;

    p->pass.here++;
    p->pass.bytes_here += raw_bytes;
    r->chunks_here = p->pass.here > r->chunks_here ? p->pass.here : r->chunks_here;
    r->bytes_here = p->pass.bytes_here > r->bytes_here ? p->pass.bytes_here : r->bytes_here;
}

static void ask(struct prefetcher *p, const struct chunk_key *key, const struct where *where)
{
    struct slot *s = p->slots;

    while (s->is_busy)
        s++;
    *s = (struct slot){.owner = p, .is_busy = true, .raw_bytes = where->raw_bytes};
    s->waiter = (struct waiter){.done = came, .where = *where};
    p->busy++;
    p->pass.asked++;
    supply_ask(p->options.supply, key, &s->waiter);
}

static void look_done(struct job *job)
{
    struct look *l = ALB_CONTAINER(job, struct look, job);
    struct prefetcher *p = l->owner;

    if (p == NULL) {
        free(l);
        return;
    }
    p->look = NULL;
    for (size_t i = 0; i < l->count; i++) {
        if (!alb_failed(l->st) && l->has[i])
            note_here(p, l->where[i].raw_bytes);
        else
            ask(p, &l->keys[i], &l->where[i]);
    }
    free(l);
    go_on(p);
}

static bool has_no_room(const struct prefetcher *p)
{
    struct supply_stats stats;

    supply_stats(p->options.supply, &stats);
    return stats.not_kept > p->pass.not_kept;
}

static void came(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct slot *s = ALB_CONTAINER(w, struct slot, waiter);
    struct prefetcher *p = s->owner;

    s->is_busy = false;
    p->busy--;
    if (alb_failed(st)) {
        p->pass.st = st;
    } else {
        p->pass.came++;
        p->running->report.fetched_bytes += chunk->size;
        p->figures.chunks++;
        p->figures.bytes += chunk->size;
        note_here(p, s->raw_bytes);
    }
    go_on(p);
}

static void go_on(struct prefetcher *p)
{
    if (has_no_room(p)) {
        finish(p, PREFETCH_FAILED, "its store takes no more chunks: it is full, or fails");
        return;
    }
    if (!timer_is_set(&p->tell) && p->telling == NULL)
        timer_set_in(&p->tell, TELL_NS);
    if (p->look != NULL)
        return;
    if (p->pass.next < row_length(p->view) && PREFETCH_SLOTS - p->busy >= LOOK_AT)
        look(p);
    else if (p->pass.next == row_length(p->view) && p->busy == 0)
        end_pass(p);
}

/* What came is looked for once more, since only that it is in the store counts. */
static void end_pass(struct prefetcher *p)
{
    const struct pass *s = &p->pass;

    if (s->asked == 0) {
        finish(p, PREFETCH_HELD, "");
    } else if (s->came < s->asked) {
        p->tries = s->came > 0 ? 0 : p->tries;
        set_back(p, s->st);
    } else if (p->passes >= PASSES_MOST) {
        finish(p, PREFETCH_FAILED, "what comes does not stay in its store");
    } else {
        timer_set_in(&p->rest, SETTLE_NS);
    }
}

static void set_back(struct prefetcher *p, struct alb_status st)
{
    char text[128];

    if (++p->tries == TRIES_MOST) {
        finish(p, PREFETCH_FAILED, alb_status_text(st, text, sizeof text));
        return;
    }
    snprintf(p->running->report.why, sizeof p->running->report.why, "to be tried again: %s",
             alb_status_text(st, text, sizeof text));
    set_news(p, p->running);
    timer_set_in(&p->rest, REST_NS << p->tries);
}

static void finish(struct prefetcher *p, enum prefetch_state state, const char *why)
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
    let_go(p);
    set_news(p, f);
    begin_next(p);
}

/* ---- telling --------------------------------------------------------------------------------- */

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
