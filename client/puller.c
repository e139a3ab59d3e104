/* SPDX-License-Identifier: Apache-2.0 */
/* client/puller.c – the journey of puller.h; enum order = function order. */
#include "client/puller.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"

enum { IN_FLIGHT_DEFAULT = 512 };

struct morsel { /* one chunk asked for, then being put */
    struct waiter waiter;
    struct job job;
    struct puller *puller; /* NULL once the puller is gone */
    struct chunk_sink *sink;
    struct chunk *chunk;
    uint32_t position;
    bool is_waiting;
    struct alb_status st;
    TAILQ_ENTRY(morsel) link;
};
TAILQ_HEAD(morsels, morsel);

struct chore { /* plan or seal on a worker */
    struct job job;
    struct puller *puller;
    struct chunk_sink *sink;
    const struct root_view *view;
    uint32_t *positions;
    size_t count;
    struct alb_status st;
};

struct puller {
    struct puller_options options;
    enum puller_state state;
    char *layer, *version;
    struct record_wait record_wait;
    bool waits_record, waits_root;
    struct root_wait root_wait;
    const struct root_view *view;
    struct version_record record;
    struct chore *chore;
    uint32_t *positions;
    size_t count, next, in_flight, retries;
    struct morsels morsels;
    struct alb_status st;
    struct puller_progress progress;
    struct timer end_timer;
};

static void ask_head(struct puller *p);
static void head_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                      size_t size, bool is_stale);
static void ask_record(struct puller *p, const char *which);
static void record_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                        size_t size, bool is_stale);
static void root_opened(struct root_wait *w, struct alb_status st, const struct root_view *view);
static void plan(struct puller *p);
static void ask_more(struct puller *p);
static void morsel_came(struct waiter *w, struct alb_status st, struct chunk *chunk);
static void put_run(struct job *job);
static void put_done(struct job *job);
static void seal(struct puller *p);
static void finish(struct puller *p, struct alb_status st);
static void tell_end(void *arg);

static void go(struct puller *p, enum puller_state state)
{
    log_event(LOG_DEBUG, "pull.state", "layer=%s from=%s to=%s", p->layer,
              puller_state_name(p->state), puller_state_name(state));
    p->state = state;
}

struct puller *puller_start(const struct puller_options *options)
{
    struct puller *p = xalloc(sizeof *p);

    p->options = *options;
    p->layer = xstrdup(options->layer);
    p->version = options->version != NULL ? xstrdup(options->version) : NULL;
    if (p->options.max_in_flight == 0)
        p->options.max_in_flight = IN_FLIGHT_DEFAULT;
    TAILQ_INIT(&p->morsels);
    timer_init(&p->end_timer, options->loop, tell_end, p);
    if (p->version != NULL)
        ask_record(p, p->version);
    else
        ask_head(p);
    return p;
}

struct puller *puller_free(struct puller *p)
{
    struct morsel *m, *next;

    if (p == NULL)
        return NULL;
    timer_stop(&p->end_timer);
    if (p->waits_record)
        record_book_leave(p->options.records, &p->record_wait);
    if (p->waits_root)
        root_book_leave(p->options.roots, &p->root_wait);
    if (p->chore != NULL)
        p->chore->puller = NULL;
    for (m = TAILQ_FIRST(&p->morsels); m != NULL; m = next) {
        next = TAILQ_NEXT(m, link);
        m->puller = NULL;
        if (m->is_waiting) {
            supply_leave(p->options.supply, &m->waiter);
            loop_bury(p->options.loop, free, m);
        }
    }
    if (p->view != NULL)
        root_book_close_view(p->options.roots, p->view);
    free(p->positions);
    free(p->layer);
    free(p->version);
    loop_bury(p->options.loop, free, p);
    return NULL;
}

/* ---- HEAD ---------------------------------------------------------------------------------------------- */

static void ask_head(struct puller *p)
{
    char name[CATALOGUE_NAME_MAX + 1];

    go(p, PULL_HEAD);
    snprintf(name, sizeof name, "head/%s", p->layer);
    p->record_wait.done = head_came;
    p->waits_record = true;
    record_book_get(p->options.records, name, &p->record_wait);
}

static void head_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                      size_t size, bool is_stale)
{
    struct puller *p = ALB_CONTAINER(w, struct puller, record_wait);
    struct authority *authority = p->options.authority;
    char hex[DIGEST_HEX_SIZE], which[DIGEST_HEX_SIZE + 8];
    struct head head;

    p->waits_record = false;
    if (!alb_failed(st))
        st = head_decode(bytes, size, authority_trust(authority), &head);
    if (!alb_failed(st) && strcmp(head.layer, p->layer) != 0)
        st = alb_fail(ALB_CORRUPT, "the head is another layer's");
    if (!alb_failed(st)) {
        p->progress.head_expires_wall_s = head.expires_wall_s;
        p->progress.head_is_stale = is_stale;
        authority_saw_time(authority, head.issued_wall_s);
        if (head.expires_wall_s < authority_now_s(authority, loop_wall_s(p->options.loop)))
            st = alb_fail(ALB_TIMEOUT, "the layer's head has expired, so what is latest cannot be "
                                       "said; name a version: pull LAYER@VERSION");
    }
    if (alb_failed(st)) {
        finish(p, st);
        return;
    }
    snprintf(which, sizeof which, "sha256:%s", digest_hex(&head.record, hex));
    ask_record(p, which);
}

/* ---- RECORD -------------------------------------------------------------------------------------------- */

static void ask_record(struct puller *p, const char *which)
{
    char name[CATALOGUE_NAME_MAX + 1];

    go(p, PULL_RECORD);
    snprintf(name, sizeof name, "record/%s@%s", p->layer, which);
    p->record_wait.done = record_came;
    p->waits_record = true;
    record_book_get(p->options.records, name, &p->record_wait);
}

static void record_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                        size_t size, bool is_stale)
{
    struct puller *p = ALB_CONTAINER(w, struct puller, record_wait);

    (void)is_stale; /* a version record never changes */
    p->waits_record = false;
    if (!alb_failed(st))
        st = record_decode(bytes, size, authority_trust(p->options.authority), &p->record);
    if (!alb_failed(st) && p->record.sequence < p->options.least_sequence &&
        !p->options.allow_rollback)
        st = alb_fail(ALB_REFUSED, "this version is older than one applied here before; "
                                   "--allow-rollback takes it all the same");
    if (alb_failed(st)) {
        finish(p, st);
        return;
    }
    go(p, PULL_OPEN);
    p->root_wait.done = root_opened;
    p->waits_root = true;
    root_book_open(p->options.roots, p->layer, &p->record.root, &p->root_wait);
}

/* ---- OPEN ---------------------------------------------------------------------------------------------- */

static void root_opened(struct root_wait *w, struct alb_status st, const struct root_view *view)
{
    struct puller *p = ALB_CONTAINER(w, struct puller, root_wait);

    p->waits_root = false;
    if (alb_failed(st)) {
        finish(p, st);
        return;
    }
    p->view = view;
    plan(p);
}

/* ---- PLAN ---------------------------------------------------------------------------------------------- */

static struct chore *post_chore(struct puller *p, void (*run)(struct job *),
                                void (*done)(struct job *), uint64_t work_bytes)
{
    struct chore *c = xalloc(sizeof *c);

    c->puller = p;
    c->sink = p->options.sink;
    c->view = p->view;
    c->job = (struct job){.run = run, .done = done, .work_bytes = work_bytes};
    loop_submit(p->options.loop, &c->job);
    return c;
}

static void plan_run(struct job *job)
{
    struct chore *c = ALB_CONTAINER(job, struct chore, job);

    c->st = c->sink->ops->plan(c->sink, c->view, &c->positions, &c->count);
}

static void plan_done(struct job *job)
{
    struct chore *c = ALB_CONTAINER(job, struct chore, job);
    struct puller *p = c->puller;

    if (p == NULL || alb_failed(c->st)) {
        free(c->positions);
    } else {
        free(p->positions);
        p->positions = c->positions;
        p->count = c->count;
        p->next = 0;
        p->progress.needed += c->count;
        for (size_t i = 0; i < c->count; i++)
            p->progress.needed_raw_bytes += p->view->content_raw_bytes[c->positions[i]];
    }
    if (p != NULL) {
        p->chore = NULL;
        if (alb_failed(c->st)) {
            finish(p, c->st);
        } else {
            go(p, PULL_FETCH);
            ask_more(p);
        }
    }
    free(c);
}

static void plan(struct puller *p)
{
    go(p, PULL_PLAN);
    p->chore = post_chore(p, plan_run, plan_done, p->view->root.manifest_bytes);
}

/* ---- FETCH and PUT ------------------------------------------------------------------------------------- */

static void ask_one(struct puller *p, uint32_t position)
{
    struct morsel *m = xalloc(sizeof *m);
    struct chunk_key key;

    m->puller = p;
    m->sink = p->options.sink;
    m->position = position;
    m->waiter.done = morsel_came;
    m->is_waiting = true;
    root_view_key(p->view, LIST_CONTENT, position, &key, &m->waiter.where);
    TAILQ_INSERT_TAIL(&p->morsels, m, link);
    p->in_flight++;
    supply_ask(p->options.supply, &key, &m->waiter);
}

static void ask_more(struct puller *p)
{
    while (p->next < p->count && p->in_flight < p->options.max_in_flight)
        ask_one(p, p->positions[p->next++]);
    if (p->in_flight == 0)
        seal(p);
}

static void drop_morsel(struct puller *p, struct morsel *m)
{
    TAILQ_REMOVE(&p->morsels, m, link);
    p->in_flight--;
    loop_bury(p->options.loop, free, m);
}

static void morsel_came(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct morsel *m = ALB_CONTAINER(w, struct morsel, waiter);
    struct puller *p = m->puller;

    m->is_waiting = false;
    if (alb_failed(st)) {
        drop_morsel(p, m);
        finish(p, st);
        return;
    }
    m->chunk = chunk_ref(chunk);
    m->job = (struct job){.run = put_run, .done = put_done, .work_bytes = chunk->size};
    loop_submit(p->options.loop, &m->job);
}

static void put_run(struct job *job)
{
    struct morsel *m = ALB_CONTAINER(job, struct morsel, job);

    m->st = m->sink->ops->put(m->sink, m->position, m->chunk);
}

static void put_done(struct job *job)
{
    struct morsel *m = ALB_CONTAINER(job, struct morsel, job);
    struct puller *p = m->puller;
    struct alb_status st = m->st;

    if (p == NULL) {
        chunk_unref(m->chunk);
        free(m);
        return;
    }
    p->progress.put++;
    p->progress.put_bytes += m->chunk->size;
    p->progress.put_raw_bytes += p->view->content_raw_bytes[m->position];
    chunk_unref(m->chunk);
    drop_morsel(p, m);
    if (alb_failed(st))
        finish(p, st);
    else if (p->state == PULL_FETCH)
        ask_more(p);
}

/* ---- SEAL ---------------------------------------------------------------------------------------------- */

static void seal_run(struct job *job)
{
    struct chore *c = ALB_CONTAINER(job, struct chore, job);

    c->st = c->sink->ops->seal(c->sink);
}

static void seal_done(struct job *job)
{
    struct chore *c = ALB_CONTAINER(job, struct chore, job);
    struct puller *p = c->puller;

    if (p != NULL) {
        p->chore = NULL;
        if (c->st.code == ALB_NOT_FOUND && p->retries++ < 3)
            plan(p); /* something local changed under us: fetch it instead */
        else
            finish(p, c->st);
    }
    free(c);
}

static void seal(struct puller *p)
{
    go(p, PULL_SEAL);
    p->chore = post_chore(p, seal_run, seal_done, p->view->root.content_bytes);
}

/* ---- FINISHED ------------------------------------------------------------------------------------------ */

/* The first status counts; the owner hears it from the loop. */
static void finish(struct puller *p, struct alb_status st)
{
    if (p->state == PULL_FINISHED)
        return;
    go(p, PULL_FINISHED);
    p->st = st;
    timer_set_in(&p->end_timer, 0);
}

static void tell_end(void *arg)
{
    struct puller *p = arg;

    p->options.done(p->options.arg, p->st);
}

void puller_progress(const struct puller *p, struct puller_progress *out)
{
    *out = p->progress;
    out->state = p->state;
}

const struct root_view *puller_view(const struct puller *p)
{
    return p->view;
}

const struct version_record *puller_record(const struct puller *p)
{
    return &p->record;
}

const char *puller_state_name(enum puller_state state)
{
    static const char *const names[] = {"head",  "record", "open",    "plan",
                                        "fetch", "seal",   "finished"};

    return names[state];
}
