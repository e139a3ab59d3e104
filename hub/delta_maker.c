/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_maker.c – delta sets made in the background: which, in what order, one at a time. */
#include "hub/delta_maker.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/delta_build.h"
#include "hub/delta_state.h"
#include "hub/hub_impl.h"

#define BEGIN_NS (2 * NS_PER_S)
#define REST_NS (20 * NS_PER_MS)

enum stage { STAGE_LIST, STAGE_LOOK, STAGE_STEP, STAGE_KEEP, STAGE_COMMIT };

/* What goes from task to task: a worker's while a task runs, else the loop's. */
struct work {
    enum stage stage;
    char layer[NAME_MAX_SIZE];
    unsigned versions_back;
    struct delta_pairs pairs;
    struct digest from, to;
    bool has_next, is_decided; /* LOOK: a pair is undecided; COMMIT: it is in the catalogue */
    struct delta_build *build;
    struct delta_pair made;
    uint64_t begun_ns;
};

struct delta_task {
    struct hub_task task;      /* first */
    struct work *work;         /* owned while it runs */
    struct ledger_names found; /* owned: by LIST */
};

struct hub_deltas {
    struct hub *hub;
    char (*queue)[NAME_MAX_SIZE]; /* owned: layers to look at, each once */
    size_t count;
    struct work *work; /* owned: at rest; NULL: none, or a task has it */
    bool is_busy, is_stopping;
    struct timer rest;
    struct hub_delta_figures figures;
};

static void go_on(void *arg);
static void delta_run(struct hub_task *t);
static void delta_after(struct hub_task *t);
static void delta_release(struct hub_task *t);

/* ---- the queue, on the loop ------------------------------------------------------------------ */

struct hub_deltas *hub_deltas_new(struct hub *h)
{
    struct hub_deltas *d = xalloc(sizeof *d);

    d->hub = h;
    timer_init(&d->rest, h->options.loop, go_on, d);
    d->work = xalloc(sizeof *d->work);
    d->work->stage = STAGE_LIST;
    timer_set_in(&d->rest, BEGIN_NS);
    return d;
}

static struct work *work_free(struct work *w)
{
    if (w != NULL)
        delta_build_free(w->build);
    free(w);
    return NULL;
}

void hub_deltas_stop(struct hub_deltas *d)
{
    if (d == NULL)
        return;
    d->is_stopping = true;
    timer_stop(&d->rest);
    d->work = work_free(d->work);
}

struct hub_deltas *hub_deltas_free(struct hub_deltas *d)
{
    if (d == NULL)
        return NULL;
    hub_deltas_stop(d);
    free(d->queue);
    free(d);
    return NULL;
}

static bool is_queued(const struct hub_deltas *d, const char *layer)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->queue[i], layer) == 0)
            return true;
    return false;
}

void hub_deltas_look(struct hub_deltas *d, const char *layer)
{
    if (d == NULL || d->is_stopping || is_queued(d, layer))
        return;
    d->queue = xrealloc(d->queue, (d->count + 1) * sizeof *d->queue);
    snprintf(d->queue[d->count++], NAME_MAX_SIZE, "%s", layer);
    if (!d->is_busy && d->work == NULL)
        timer_set_in(&d->rest, REST_NS);
}

static struct work *take_next(struct hub_deltas *d)
{
    if (d->count == 0)
        return NULL;
    struct work *w = xalloc(sizeof *w);
    w->stage = STAGE_LOOK;
    snprintf(w->layer, sizeof w->layer, "%s", d->queue[0]);
    memmove(d->queue, d->queue + 1, --d->count * sizeof *d->queue);
    return w;
}

static void go_on(void *arg)
{
    struct hub_deltas *d = arg;

    if (d->is_busy || d->is_stopping)
        return;
    if (d->work == NULL)
        d->work = take_next(d);
    if (d->work == NULL)
        return;
    struct delta_task *t = hub_task_new(d->hub, NULL, sizeof *t);
    t->work = take_ptr(&d->work);
    t->work->versions_back = d->hub->options.delta_versions;
    t->task.run = delta_run;
    t->task.after = delta_after;
    t->task.release = delta_release;
    d->is_busy = true;
    const bool is_step = t->work->stage == STAGE_STEP || t->work->stage == STAGE_LIST;
    hub_task_start(&t->task, is_step ? JOB_SHARED : JOB_ORDERED, 16 << 20);
}

/* ---- LIST and LOOK, on a worker -------------------------------------------------------------- */

static bool is_current(const struct ledger *l, const char *layer, const struct digest *root)
{
    struct version_record record;

    return !alb_failed(ledger_current(l, layer, NULL, &record)) && digest_equal(&record.root, root);
}

/* 0 is the newest. */
static const struct digest *root_back(const struct ledger_versions *all, size_t back)
{
    return &all->list[all->count - 1 - back].root;
}

/* Of the newest `most`. */
static bool is_root_of(const struct ledger_versions *all, size_t most, const struct digest *root)
{
    for (size_t i = 0; i < all->count && i < most; i++)
        if (digest_equal(root_back(all, i), root))
            return true;
    return false;
}

static bool is_wanted(const struct ledger *l, const struct work *w,
                      const struct ledger_versions *all, const struct delta_pair *pair)
{
    if (w->versions_back == 0 || !is_root_of(all, all->count, &pair->from) ||
        !is_root_of(all, all->count, &pair->to))
        return false;
    return is_root_of(all, w->versions_back, &pair->to) || is_current(l, w->layer, &pair->to);
}

/* Sets of older policy or versions go; what is served is made good if a crash or another online
 * key left it behind. */
static struct alb_status tidy(const struct ledger *l, struct work *w,
                              const struct ledger_versions *all)
{
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = w->pairs.count; i > 0 && !alb_failed(st); i--) {
        const struct delta_pair pair = w->pairs.at[i - 1];
        if (is_wanted(l, w, all, &pair))
            continue;
        st = delta_state_drop(l, w->layer, &w->pairs, i - 1);
        if (!alb_failed(st) && pair.outcome == DELTA_KEPT)
            log_event(LOG_INFO, "delta.dropped", "layer=%s bytes=%" PRIu64, w->layer, pair.bytes);
    }
    for (size_t i = 0; i < w->pairs.count && !alb_failed(st); i++)
        if (!delta_state_is_served(l, w->layer, &w->pairs, &w->pairs.at[i].to))
            st = delta_state_serve(l, w->layer, &w->pairs, &w->pairs.at[i].to);
    return st;
}

/* The nearest of the versions before the newest from which nothing is decided yet. */
static void choose(struct work *w, const struct ledger_versions *all)
{
    unsigned back = 0;

    for (size_t i = 1; i < all->count && back < w->versions_back; i++) {
        const struct digest *from = root_back(all, i), *to = root_back(all, 0);

        if (digest_equal(from, to))
            continue;
        back++;
        if (delta_pairs_find(&w->pairs, from, to) != NULL)
            continue;
        w->from = *from;
        w->to = *to;
        w->has_next = true;
        return;
    }
}

static struct alb_status look(const struct ledger *l, struct work *w)
{
    struct ledger_versions all = {.count = 0};
    struct alb_status st = ledger_versions(l, w->layer, &all);

    if (!alb_failed(st))
        st = delta_state_read(l, w->layer, &w->pairs);
    if (st.code == ALB_CORRUPT) {
        log_status(LOG_ERROR, "delta.state_unreadable", st, "layer=%s next=\"made anew\"",
                   w->layer);
        w->pairs.count = 0;
        st = ALB_STATUS_OK;
    }
    if (!alb_failed(st))
        st = tidy(l, w, &all);
    if (!alb_failed(st))
        choose(w, &all);
    free(all.list);
    return st;
}

/* ---- COMMIT, on a worker --------------------------------------------------------------------- */

static bool is_there(const struct ledger *l, const char *layer, const struct digest *root)
{
    char which[DIGEST_HEX_SIZE + 8], hex[DIGEST_HEX_SIZE];
    struct version_record record;

    snprintf(which, sizeof which, "root:%s", digest_hex(root, hex));
    return !alb_failed(ledger_find(l, layer, which, NULL, &record));
}

/* A version may have been removed meanwhile: then there is nothing to say. */
static struct alb_status commit(struct hub_task *t, struct work *w)
{
    const struct ledger *l = &t->hub->ledger;

    if (!is_there(l, w->layer, &w->from) || !is_there(l, w->layer, &w->to))
        return ALB_STATUS_OK;
    w->made.from = w->from;
    w->made.to = w->to;
    w->made.made_wall_s = t->now_wall_s;
    /* As LOOK left them: nobody else writes them. */
    struct alb_status st = delta_state_add(l, w->layer, &w->pairs, &w->made);
    w->is_decided = !alb_failed(st);
    return st;
}

static void delta_run(struct hub_task *t)
{
    struct delta_task *d = (struct delta_task *)t;
    struct work *w = d->work;

    switch (w->stage) {
    case STAGE_LIST: t->st = ledger_layers(&t->hub->ledger, &d->found); break;
    case STAGE_LOOK: t->st = look(&t->hub->ledger, w); break;
    case STAGE_STEP:
        if (w->build == NULL)
            w->build = delta_build_new(t->hub->options.store, &w->from, &w->to);
        t->st = delta_build_step(w->build);
        break;
    case STAGE_KEEP: t->st = delta_build_keep(w->build); break;
    case STAGE_COMMIT: t->st = commit(t, w); break;
    }
}

/* ---- back on the loop ------------------------------------------------------------------------ */

static void note_result(struct work *w)
{
    struct delta_built b;

    delta_build_result(w->build, &b);
    w->made = (struct delta_pair){.outcome = b.is_worth_it ? DELTA_KEPT : DELTA_POOR,
                                  .root_bytes = b.root_bytes,
                                  .bytes = b.bytes,
                                  .chunk_bytes = b.chunk_bytes,
                                  .rest_bytes = b.rest_bytes,
                                  .pieces = b.pieces};
    if (b.is_worth_it)
        w->made.set = b.set;
}

static void tell_made(struct hub_deltas *d, const struct work *w)
{
    const struct delta_pair *m = &w->made;
    const uint64_t took_ns = loop_now_ns(d->hub->options.loop) - w->begun_ns;
    char hex[DIGEST_HEX_SIZE];

    log_event(LOG_INFO, m->outcome == DELTA_KEPT ? "delta.made" : "delta.not_worth_it",
              "layer=%s set=%.12s bytes=%" PRIu64 " rest_bytes=%" PRIu64 " chunk_bytes=%" PRIu64
              " pieces=%" PRIu64 " seconds=%.1f",
              w->layer, digest_hex(&m->set, hex), m->bytes, m->rest_bytes, m->chunk_bytes,
              m->pieces, (double)took_ns / (double)NS_PER_S);
    if (m->outcome == DELTA_KEPT) {
        d->figures.kept++;
        d->figures.bytes += m->bytes;
        d->figures.saved_bytes += m->chunk_bytes - m->rest_bytes - m->bytes;
    } else {
        d->figures.poor++;
    }
}

/* Trees that are too large stay so: decided.  Anything else may be better next time, which is when
 * the layer is looked at again. */
static struct work *note_failure(struct hub_deltas *d, struct work *w, struct alb_status st)
{
    const bool is_final =
        w->stage == STAGE_STEP && st.code == ALB_FULL && st.sys == 0 && w->build != NULL;

    d->figures.failed++;
    log_status(LOG_WARN, "delta.not_made", st, "layer=%s next=\"endpoints fetch chunks instead%s\"",
               w->layer,
               is_final ? "" : "; tried again when the layer changes or the hub is started");
    if (!is_final)
        return work_free(w);
    w->build = delta_build_free(w->build);
    w->made = (struct delta_pair){.outcome = DELTA_CANNOT};
    w->stage = STAGE_COMMIT;
    return w;
}

/* The stage after this one; NULL: the work is done. */
static struct work *advance(struct hub_deltas *d, struct work *w)
{
    switch (w->stage) {
    case STAGE_LIST: return work_free(w);
    case STAGE_LOOK:
        if (!w->has_next)
            return work_free(w);
        w->begun_ns = loop_now_ns(d->hub->options.loop);
        w->stage = STAGE_STEP;
        return w;
    case STAGE_STEP: w->stage = STAGE_KEEP; return w;
    case STAGE_KEEP:
        w->stage = delta_build_is_over(w->build) ? STAGE_COMMIT : STAGE_STEP;
        if (w->stage == STAGE_COMMIT)
            note_result(w);
        return w;
    case STAGE_COMMIT:
        if (w->is_decided && w->made.outcome != DELTA_CANNOT)
            tell_made(d, w);
        hub_deltas_look(d, w->layer);
        return work_free(w);
    }
    alb_unreachable();
}

static void delta_after(struct hub_task *t)
{
    struct delta_task *task = (struct delta_task *)t;
    struct hub_deltas *d = t->hub->deltas;
    struct work *w = take_ptr(&task->work);

    d->is_busy = false;
    for (size_t i = 0; i < task->found.count; i++)
        hub_deltas_look(d, task->found.names[i]);
    d->work = alb_failed(t->st) ? note_failure(d, w, t->st) : advance(d, w);
    if (d->is_stopping)
        d->work = work_free(d->work);
    else if (d->work != NULL || d->count > 0)
        timer_set_in(&d->rest, REST_NS);
    hub_task_end(t);
}

static void delta_release(struct hub_task *t)
{
    struct delta_task *task = (struct delta_task *)t;

    work_free(task->work);
    free(task->found.names);
}

/* ---- shown ----------------------------------------------------------------------------------- */

void hub_delta_figures(const struct hub_deltas *d, struct hub_delta_figures *out)
{
    *out = d == NULL ? (struct hub_delta_figures){.kept = 0} : d->figures;
    out->is_working = d != NULL && (d->is_busy || d->work != NULL);
}

static const char *version_of(const struct ledger_versions *all, const struct digest *root)
{
    for (size_t i = all->count; i > 0; i--)
        if (digest_equal(&all->list[i - 1].root, root))
            return all->list[i - 1].version;
    return "";
}

static const char *outcome_word(enum delta_outcome outcome)
{
    switch (outcome) {
    case DELTA_KEPT: return "kept";
    case DELTA_POOR: return "poor";
    case DELTA_CANNOT: return "cannot";
    }
    alb_unreachable();
}

void hub_deltas_show(const struct ledger *l, const char *layer,
                     const struct ledger_versions *versions, struct json_writer *w)
{
    AUTO_FREE struct delta_pairs *pairs = xalloc(sizeof *pairs);
    struct alb_status st = delta_state_read(l, layer, pairs);

    if (alb_failed(st)) /* made anew when the layer changes */
        log_status(LOG_WARN, "delta.state_unreadable", st, "layer=%s", layer);
    json_array_begin(w, "deltas");
    for (size_t i = 0; i < pairs->count && !alb_failed(st); i++) {
        const struct delta_pair *p = &pairs->at[i];

        json_object_begin(w, NULL);
        json_text(w, "from", version_of(versions, &p->from));
        json_text(w, "to", version_of(versions, &p->to));
        json_text(w, "outcome", outcome_word(p->outcome));
        json_number(w, "bytes", p->bytes);
        json_number(w, "rest_bytes", p->rest_bytes);
        json_number(w, "chunk_bytes", p->chunk_bytes);
        json_signed(w, "made", p->made_wall_s);
        json_end(w);
    }
    json_end(w);
}
