/* SPDX-License-Identifier: Apache-2.0 */
/* client/puller.c – the journey of puller.h; enum order = function order. */
#include "client/puller_impl.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"

enum { IN_FLIGHT_DEFAULT = 512, BYTES_DEFAULT = 64 << 20, UNITS_DEFAULT = 4, RETRIES_MOST = 3 };
#define AGAIN_NS NS_PER_S

static void ask_head(struct puller *p);
static void head_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                      size_t size, bool is_stale);
static void ask_record(struct puller *p);
static void record_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                        size_t size, bool is_stale);
static void open_root(struct puller *p);
static void root_opened(struct root_wait *w, struct alb_status st, const struct root_view *view);
static void prepare(struct puller *p, unsigned round);
static void run_units(struct puller *p);
static void plan(struct puller *p);
static void fail_or_ask_again(struct puller *p, struct alb_status st);
static void ask_again(void *arg);
static void tell_end(void *arg);

static void go(struct puller *p, enum puller_state state)
{
    static const char *const NAMES[] = {"head", "record", "open", "prepare",
                                        "plan", "fetch",  "seal", "finished"};

    if (p->state == state)
        return;
    log_event(LOG_DEBUG, "pull.state", "layer=%s from=%s to=%s", p->layer, NAMES[p->state],
              NAMES[state]);
    p->progress.asked_again = ALB_STATUS_OK;
    p->state = state;
}

static void take_defaults(struct puller_options *o)
{
    if (o->max_in_flight == 0)
        o->max_in_flight = IN_FLIGHT_DEFAULT;
    if (o->max_in_flight_bytes == 0)
        o->max_in_flight_bytes = BYTES_DEFAULT;
    if (o->units_at_once == 0)
        o->units_at_once = UNITS_DEFAULT;
}

struct puller *puller_start(const struct puller_options *options)
{
    struct puller *p = xalloc(sizeof *p);

    p->options = *options;
    take_defaults(&p->options);
    p->layer = xstrdup(options->layer);
    p->version = options->version != NULL ? xstrdup(options->version) : NULL;
    p->progress.ended_in = PULL_FINISHED;
    TAILQ_INIT(&p->morsels);
    TAILQ_INIT(&p->tasks);
    timer_init(&p->again_timer, options->loop, ask_again, p);
    timer_init(&p->end_timer, options->loop, tell_end, p);
    if (authority_trust(options->authority) == NULL) {
        p->progress.refusal = PULL_NO_TRUST; /* the decoders would not judge without one */
        puller_finish(
            p, alb_fail(ALB_REFUSED, "no trust file is held here, so nothing can be verified"));
    } else if (p->version == NULL) {
        ask_head(p);
    } else {
        snprintf(p->which, sizeof p->which, "%s", p->version);
        ask_record(p);
    }
    return p;
}

/* What was asked of others is asked no more. */
static void leave_all(struct puller *p)
{
    struct morsel *m;

    timer_stop(&p->again_timer);
    if (p->waits_record)
        record_book_leave(p->options.records, &p->record_wait);
    if (p->waits_root)
        root_book_leave(p->options.roots, &p->root_wait);
    p->waits_record = p->waits_root = false;
    while ((m = TAILQ_FIRST(&p->morsels)) != NULL) {
        TAILQ_REMOVE(&p->morsels, m, link);
        supply_leave(p->options.supply, &m->waiter);
        loop_bury(p->options.loop, free, m);
    }
}

struct puller *puller_free(struct puller *p)
{
    struct task *t;

    if (p == NULL)
        return NULL;
    timer_stop(&p->end_timer);
    leave_all(p);
    TAILQ_FOREACH(t, &p->tasks, link)
    t->puller = NULL;
    if (p->view != NULL)
        root_book_close_view(p->options.roots, p->view);
    free(p->positions);
    free(p->layer);
    free(p->version);
    loop_bury(p->options.loop, free, p);
    return NULL;
}

/* ---- on workers ------------------------------------------------------------------------------ */

static void task_done(struct job *job)
{
    struct task *t = ALB_CONTAINER(job, struct task, job);
    struct puller *p = t->puller;

    if (p != NULL)
        TAILQ_REMOVE(&p->tasks, t, link);
    t->over(p, t);
    if (p != NULL && p->state == PULL_FINISHED && TAILQ_EMPTY(&p->tasks))
        timer_set_in(&p->end_timer, 0);
}

void puller_submit(struct puller *p, struct task *t, void (*run)(struct job *), uint64_t work_bytes)
{
    t->puller = p;
    t->sink = p->options.sink;
    t->job = (struct job){.run = run, .done = task_done, .work_bytes = work_bytes};
    TAILQ_INSERT_TAIL(&p->tasks, t, link);
    loop_submit(p->options.loop, &t->job);
}

static struct chore *chore_new(struct puller *p, void (*over)(struct puller *p, struct task *t))
{
    struct chore *c = xalloc(sizeof *c);

    c->task.over = over;
    c->view = p->view;
    return c;
}

/* ---- HEAD ------------------------------------------------------------------------------------ */

static void ask_head(struct puller *p)
{
    char name[CATALOGUE_NAME_MAX + 1];

    go(p, PULL_HEAD);
    snprintf(name, sizeof name, "head/%s", p->layer);
    p->record_wait.done = head_came;
    p->waits_record = true;
    record_book_get(p->options.records, name, &p->record_wait);
}

static struct alb_status judge_head(struct puller *p, const struct head *head)
{
    struct authority *authority = p->options.authority;

    if (strcmp(head->layer, p->layer) != 0)
        return alb_fail(ALB_CORRUPT, "the head is another layer's");
    p->progress.head_expires_wall_s = head->expires_wall_s;
    p->progress.head_record = head->record;
    authority_saw_time(authority, head->issued_wall_s);
    if (head->expires_wall_s >= authority_now_s(authority, loop_wall_s(p->options.loop)))
        return ALB_STATUS_OK;
    p->progress.refusal = PULL_HEAD_EXPIRED;
    log_event(LOG_WARN, "head.expired", "layer=%s expired_wall_s=%lld", p->layer,
              (long long)head->expires_wall_s);
    return alb_fail(ALB_TIMEOUT, "the layer's head has expired, so what is latest cannot be said");
}

static void head_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                      size_t size, bool is_stale)
{
    struct puller *p = ALB_CONTAINER(w, struct puller, record_wait);
    char hex[DIGEST_HEX_SIZE];
    struct head head;

    (void)is_stale; /* it says itself until when it holds */
    p->waits_record = false;
    if (!alb_failed(st))
        st = head_decode(bytes, size, authority_trust(p->options.authority), &head);
    if (!alb_failed(st))
        st = judge_head(p, &head);
    if (alb_failed(st)) {
        fail_or_ask_again(p, st);
        return;
    }
    snprintf(p->which, sizeof p->which, "sha256:%s", digest_hex(&head.record, hex));
    ask_record(p);
}

/* ---- RECORD ---------------------------------------------------------------------------------- */

static void ask_record(struct puller *p)
{
    char name[CATALOGUE_NAME_MAX + 1];

    go(p, PULL_RECORD);
    snprintf(name, sizeof name, "record/%.100s@%.100s", p->layer, p->which);
    p->record_wait.done = record_came;
    p->waits_record = true;
    record_book_get(p->options.records, name, &p->record_wait);
}

static void record_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                        size_t size, bool is_stale)
{
    struct puller *p = ALB_CONTAINER(w, struct puller, record_wait);
    const struct trust *trust = authority_trust(p->options.authority);

    (void)is_stale; /* a version record never changes */
    p->waits_record = false;
    if (!alb_failed(st) && trust == NULL)
        st = alb_fail(ALB_REFUSED, "there is no trust file yet, so nothing can be believed");
    if (!alb_failed(st))
        st = record_decode(bytes, size, trust, &p->record);
    if (!alb_failed(st) && strcmp(p->record.layer, p->layer) != 0)
        st = alb_fail(ALB_CORRUPT, "the version record is another layer's");
    if (!alb_failed(st) && p->record.sequence < p->options.least_sequence &&
        !p->options.allow_rollback) {
        p->progress.refusal = PULL_ROLLBACK;
        st = alb_fail(ALB_REFUSED, "this version is older than one applied here before");
    }
    if (alb_failed(st))
        fail_or_ask_again(p, st);
    else
        open_root(p);
}

/* ---- OPEN ------------------------------------------------------------------------------------ */

static void open_root(struct puller *p)
{
    go(p, PULL_OPEN);
    p->root_wait.done = root_opened;
    p->waits_root = true;
    root_book_open(p->options.roots, p->layer, &p->record.root, &p->root_wait);
}

static void root_opened(struct root_wait *w, struct alb_status st, const struct root_view *view)
{
    struct puller *p = ALB_CONTAINER(w, struct puller, root_wait);

    p->waits_root = false;
    if (alb_failed(st)) {
        fail_or_ask_again(p, st);
        return;
    }
    p->view = view;
    prepare(p, 0);
}

/* ---- PREPARE --------------------------------------------------------------------------------- */

static void prepare_run(struct job *job)
{
    struct chore *c = ALB_CONTAINER(job, struct chore, task.job);

    c->task.st = c->task.sink->ops->prepare(c->task.sink, c->view, c->round, &c->units);
}

static void prepare_over(struct puller *p, struct task *t)
{
    struct chore *c = ALB_CONTAINER(t, struct chore, task);

    if (p != NULL && alb_failed(t->st)) {
        puller_finish(p, t->st);
    } else if (p != NULL && p->state == PULL_PREPARE) {
        p->progress.round = c->round;
        p->progress.units = c->units;
        p->progress.units_done = p->next_unit = 0;
        run_units(p);
    }
    free(c);
}

static void prepare(struct puller *p, unsigned round)
{
    go(p, PULL_PREPARE);
    if (round == p->options.sink->ops->rounds) {
        plan(p);
        return;
    }
    struct chore *c = chore_new(p, prepare_over);
    c->round = round;
    puller_submit(p, &c->task, prepare_run, p->view->root.manifest_bytes);
}

static void unit_run(struct job *job)
{
    struct chore *c = ALB_CONTAINER(job, struct chore, task.job);

    c->task.st = c->task.sink->ops->prepare_unit(c->task.sink, c->round, c->unit);
}

static void unit_over(struct puller *p, struct task *t)
{
    if (p != NULL) {
        p->progress.units_done++;
        if (alb_failed(t->st))
            puller_finish(p, t->st);
        else if (p->state == PULL_PREPARE)
            run_units(p);
    }
    free(ALB_CONTAINER(t, struct chore, task));
}

static void run_units(struct puller *p)
{
    const struct puller_progress *now = &p->progress;

    while (p->next_unit < now->units && p->next_unit - now->units_done < p->options.units_at_once) {
        struct chore *c = chore_new(p, unit_over);
        c->round = now->round;
        c->unit = p->next_unit++;
        puller_submit(p, &c->task, unit_run, p->view->root.content_bytes / now->units);
    }
    if (now->units_done == now->units)
        prepare(p, now->round + 1);
}

/* ---- PLAN ------------------------------------------------------------------------------------ */

static void plan_run(struct job *job)
{
    struct chore *c = ALB_CONTAINER(job, struct chore, task.job);

    c->task.st = c->task.sink->ops->plan(c->task.sink, c->view, &c->positions, &c->count);
}

static void take_plan(struct puller *p, struct chore *c)
{
    free(p->positions);
    p->positions = take_ptr(&c->positions);
    p->count = c->count;
    p->next = 0;
    p->progress.needed += c->count;
    for (size_t i = 0; i < c->count; i++)
        p->progress.needed_raw_bytes += p->view->content_raw_bytes[p->positions[i]];
    go(p, PULL_FETCH);
    puller_ask_more(p);
}

static void plan_over(struct puller *p, struct task *t)
{
    struct chore *c = ALB_CONTAINER(t, struct chore, task);

    if (p != NULL && alb_failed(t->st))
        puller_finish(p, t->st);
    else if (p != NULL && p->state == PULL_PLAN)
        take_plan(p, c);
    free(c->positions);
    free(c);
}

static void plan(struct puller *p)
{
    go(p, PULL_PLAN);
    puller_submit(p, &chore_new(p, plan_over)->task, plan_run, p->view->root.manifest_bytes);
}

/* ---- SEAL ------------------------------------------------------------------------------------ */

static void seal_run(struct job *job)
{
    struct chore *c = ALB_CONTAINER(job, struct chore, task.job);

    c->task.st = c->task.sink->ops->seal(c->task.sink);
}

static void seal_over(struct puller *p, struct task *t)
{
    if (p != NULL && p->state == PULL_SEAL) {
        if (t->st.code == ALB_NOT_FOUND && p->retries++ < RETRIES_MOST)
            plan(p); /* something local changed under us: fetch it instead */
        else
            puller_finish(p, t->st);
    }
    free(ALB_CONTAINER(t, struct chore, task));
}

void puller_seal(struct puller *p)
{
    go(p, PULL_SEAL);
    puller_submit(p, &chore_new(p, seal_over)->task, seal_run, p->view->root.content_bytes);
}

/* ---- FINISHED -------------------------------------------------------------------------------- */

/* A line that is down is no verdict about the version. */
static void fail_or_ask_again(struct puller *p, struct alb_status st)
{
    if (st.code == ALB_CLOSED && p->options.is_patient && p->progress.refusal == PULL_NOT_REFUSED) {
        p->progress.asked_again = st;
        timer_set_in(&p->again_timer, AGAIN_NS);
    } else {
        puller_finish(p, st);
    }
}

static void ask_again(void *arg)
{
    struct puller *p = arg;

    if (p->state == PULL_HEAD)
        ask_head(p);
    else if (p->state == PULL_RECORD)
        ask_record(p);
    else
        open_root(p);
}

/* The first status counts; the owner hears it from the loop once nothing is under way. */
void puller_finish(struct puller *p, struct alb_status st)
{
    if (p->state == PULL_FINISHED)
        return;
    p->progress.ended_in = alb_failed(st) ? p->state : PULL_FINISHED;
    go(p, PULL_FINISHED);
    p->st = st;
    timer_set_in(&p->end_timer, 0);
}

void puller_give_up(struct puller *p)
{
    puller_finish(p, alb_fail(ALB_CLOSED, "given up"));
}

static void tell_end(void *arg)
{
    struct puller *p = arg;

    leave_all(p); /* here, since whoever told us of a failure may be telling others still */
    if (TAILQ_EMPTY(&p->tasks))
        p->options.done(p->options.arg, p->st);
}

void puller_progress(const struct puller *p, struct puller_progress *out)
{
    *out = p->progress;
    out->state = p->state;
    out->waits_for_upstream =
        p->state <= PULL_OPEN || (p->state == PULL_FETCH && TAILQ_EMPTY(&p->tasks));
}

const struct version_record *puller_record(const struct puller *p)
{
    return &p->record;
}
