/* SPDX-License-Identifier: Apache-2.0 */
/* hub/wake_show.c – a job as JSON, to whoever asks or waits; and the record of it. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/wake_impl.h"
#include "transfer/serve.h"

#define WATCH_NS (10 * NS_PER_S) /* then it is answered, though nothing changed */
enum { ANSWER_MAX = 4 << 20, RECORD_MAX = 4096 };

static const char *const RECORDS = "wake-job/";

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_counts(const struct wake_job *core, struct json_writer *w)
{
    json_object_begin(w, "results");
    for (unsigned r = WAKE_NO_RESULT + 1; r < WAKE_RESULTS; r++)
        json_number(w, wake_result_text((enum wake_result)r),
                    wake_job_results(core, (enum wake_result)r));
    json_end(w);
}

static const char *why_of(const struct wake_machine *m)
{
    return m->stage == WAKE_WAITS && m->is_held ? "its content is not at the branch yet" : m->why;
}

static void put_machine(const struct hub_wake *k, size_t i, uint64_t now_ns, struct json_writer *w)
{
    const struct wake_machine *m = wake_job_machine(k->core, i);
    const uint64_t until_ns = m->stage == WAKE_DONE ? m->done_ns : now_ns;

    json_object_begin(w, NULL);
    json_text(w, "device", m->device);
    json_text(w, "site", k->sleepers[i].site);
    json_text(w, "stage", wake_stage_text(m->stage));
    json_text(w, "result", wake_result_text(m->result));
    json_text(w, "guard", m->guard);
    json_number(w, "attempts", m->attempts);
    json_bool(w, "seen", m->is_seen);
    json_number(w, "took_ms", m->is_begun ? (until_ns - m->begun_ns) / NS_PER_MS : 0);
    json_text(w, "why", why_of(m));
    json_end(w);
}

/* Machines that changed after number `after`. */
void hub_wake_show(const struct hub_wake *k, uint64_t after, struct json_writer *w)
{
    const uint64_t now_ns = loop_now_ns(k->all->hub->options.loop);

    json_object_begin(w, NULL);
    json_text(w, "job", k->id);
    json_text(w, "state", k->is_over ? "done" : "running");
    json_text(w, "by", k->by.device);
    json_text(w, "site", k->site);
    json_signed(w, "at", k->begun_wall_s);
    json_number(w, "change", wake_job_change(k->core));
    json_number(w, "count", wake_job_count(k->core));
    json_number(w, "begun", wake_job_begun(k->core));
    put_counts(k->core, w);
    hub_wake_contents_show(k, w);
    json_array_begin(w, "machines");
    for (size_t i = 0; i < wake_job_count(k->core); i++)
        if (wake_job_machine(k->core, i)->change > after)
            put_machine(k, i, now_ns, w);
    json_end(w);
    json_end(w);
}

static void answer_json(struct serve_request *rq, struct json_writer *w)
{
    struct buf out;

    buf_init(&out, ANSWER_MAX);
    const struct alb_status st = json_writer_finish(w, &out);
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/json", buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

void hub_wake_answer(const struct hub_wake *k, uint64_t after, struct serve_request *rq)
{
    struct json_writer *w = json_writer_new();

    hub_wake_show(k, after, w);
    answer_json(rq, w);
}

/* ---- who waits for a change ------------------------------------------------------------------ */

static void watcher_free(struct wake_watcher *x)
{
    timer_stop(&x->timer);
    TAILQ_REMOVE(&x->wake->watchers, x, link);
    x->wake->watcher_count--;
    free(x);
}

static void watcher_answer(void *arg)
{
    struct wake_watcher *x = arg;
    struct serve_request *rq = x->rq;
    const struct hub_wake *k = x->wake;
    const uint64_t after = x->after;

    rq->gone = NULL;
    watcher_free(x);
    hub_wake_answer(k, after, rq);
}

static void watcher_gone(struct serve_request *rq)
{
    watcher_free(rq->work);
}

static void watch(struct hub_wake *k, uint64_t after, struct serve_request *rq)
{
    struct wake_watcher *x = xalloc(sizeof *x);

    *x = (struct wake_watcher){.wake = k, .rq = rq, .after = after};
    timer_init(&x->timer, k->all->hub->options.loop, watcher_answer, x);
    timer_set_in(&x->timer, WATCH_NS);
    rq->work = x;
    rq->gone = watcher_gone;
    TAILQ_INSERT_TAIL(&k->watchers, x, link);
    k->watcher_count++;
}

void hub_wake_tell(struct hub_wake *k)
{
    struct wake_watcher *x, *next;

    k->told_change = wake_job_change(k->core);
    for (x = TAILQ_FIRST(&k->watchers); x != NULL; x = next) {
        next = TAILQ_NEXT(x, link);
        if (k->is_over || wake_job_change(k->core) > x->after)
            watcher_answer(x);
    }
}

void hub_wake_answer_watchers(struct hub_wake *k)
{
    while (!TAILQ_EMPTY(&k->watchers))
        watcher_answer(TAILQ_FIRST(&k->watchers));
}

/* Their requests are answered by whoever frees the serve. */
void hub_wake_forget_watchers(struct hub_wake *k)
{
    while (!TAILQ_EMPTY(&k->watchers)) {
        struct wake_watcher *x = TAILQ_FIRST(&k->watchers);

        x->rq->gone = NULL;
        watcher_free(x);
    }
}

/* ---- records --------------------------------------------------------------------------------- */

static struct alb_status write_record(struct catalogue *c, const char *id, struct json_writer *w)
{
    char name[64];
    struct buf value;

    snprintf(name, sizeof name, "%s%s", RECORDS, id);
    buf_init(&value, RECORD_MAX);
    struct alb_status st = json_writer_finish(w, &value);
    if (!alb_failed(st))
        st = ledger_write(c, name, CATALOGUE_ANY, buf_peek(&value), buf_size(&value));
    buf_release(&value);
    return st;
}

struct oldest {
    size_t count;
    uint64_t at;
    char name[64];
};

static bool find_oldest(void *arg, const char *name, const void *value, size_t size,
                        uint64_t version)
{
    struct oldest *o = arg;
    struct json_doc *d = NULL;

    (void)version;
    const bool is_read = !alb_failed(json_doc_parse(value, size, &d));
    const uint64_t at = is_read ? json_doc_number(d, "at") : 0;
    if (o->count++ == 0 || at < o->at) {
        o->at = at;
        snprintf(o->name, sizeof o->name, "%s", name);
    }
    json_doc_free(d);
    return true;
}

struct alb_status hub_wake_record_begin(struct catalogue *c, const char *id, const char *by,
                                        int64_t at_wall_s, const char *site, size_t machines)
{
    struct json_writer *w = json_writer_new();
    struct oldest oldest = {.count = 0};
    struct alb_status st = catalogue_list(c, RECORDS, find_oldest, &oldest);

    if (!alb_failed(st) && oldest.count >= WAKE_RECORDS_KEPT)
        st = catalogue_swap(c, oldest.name, CATALOGUE_ANY, NULL, 0, NULL);
    alb_ignore(st, "one more record is kept then");
    json_object_begin(w, NULL);
    json_text(w, "job", id);
    json_text(w, "state", "running");
    json_text(w, "by", by);
    json_text(w, "site", site);
    json_signed(w, "at", at_wall_s);
    json_number(w, "count", machines);
    json_end(w);
    return write_record(c, id, w);
}

struct end_task {
    struct hub_task task; /* first */
    struct json_writer *record;
    char id[WAKE_ID_SIZE];
};

static void end_run(struct hub_task *t)
{
    struct end_task *p = (struct end_task *)t;

    t->st = write_record(t->hub->ledger.catalogue, p->id, p->record);
    if (alb_failed(t->st))
        log_status(LOG_WARN, "wake.not_recorded", t->st, "job=%s", p->id);
}

void hub_wake_record_end(const struct hub_wake *k)
{
    struct end_task *p = hub_task_new(k->all->hub, NULL, sizeof *p);
    struct json_writer *w = json_writer_new();

    memcpy(p->id, k->id, sizeof p->id);
    json_object_begin(w, NULL);
    json_text(w, "job", k->id);
    json_text(w, "state", "done");
    json_text(w, "by", k->by.device);
    json_text(w, "site", k->site);
    json_signed(w, "at", k->begun_wall_s);
    json_number(w, "count", wake_job_count(k->core));
    put_counts(k->core, w);
    json_end(w);
    p->record = w;
    p->task.run = end_run;
    hub_task_start(&p->task, JOB_ORDERED, RECORD_MAX);
}

static void refused_run(struct hub_task *t)
{
    struct end_task *p = (struct end_task *)t;
    char name[64];

    snprintf(name, sizeof name, "%s%s", RECORDS, p->id);
    t->st = catalogue_swap(t->hub->ledger.catalogue, name, CATALOGUE_ANY, NULL, 0, NULL);
    if (alb_failed(t->st))
        log_status(LOG_WARN, "wake.not_recorded", t->st, "job=%s", p->id);
}

void hub_wake_record_refused(struct hub *h, const char *id)
{
    struct end_task *p = hub_task_new(h, NULL, sizeof *p);

    snprintf(p->id, sizeof p->id, "%s", id);
    p->task.run = refused_run;
    hub_task_start(&p->task, JOB_ORDERED, RECORD_MAX);
}

/* ---- GET /v1/wake-job/ID?after=N&wait=1 ------------------------------------------------------ */

struct record_task {
    struct hub_task task; /* first */
    char id[WAKE_ID_SIZE];
};

static void record_run(struct hub_task *t)
{
    const struct record_task *p = (const struct record_task *)t;
    struct json_doc *d = NULL;
    char name[64];

    snprintf(name, sizeof name, "%s%s", RECORDS, p->id);
    t->st = catalogue_get(t->hub->ledger.catalogue, name, &t->answer, NULL);
    if (t->st.code == ALB_NOT_FOUND)
        hub_task_refuse(t, ALB_NOT_FOUND, "no job %s to wake machines: 'albedo wake' prints its ID",
                        p->id);
    if (!alb_failed(t->st))
        t->st = json_doc_parse(buf_peek(&t->answer), buf_size(&t->answer), &d);
    if (!alb_failed(t->st) && strcmp(json_doc_text(d, "state"), "running") == 0)
        hub_task_refuse(t, ALB_CONFLICT,
                        "job %s was interrupted: the hub was started anew meanwhile. Whoever it "
                        "woke is awake ('albedo devices'); for the others run the command again",
                        p->id);
    json_doc_free(d);
}

static void answer_record(struct hub *h, struct serve_request *rq)
{
    struct record_task *p = hub_task_new(h, rq, sizeof *p);

    snprintf(p->id, sizeof p->id, "%.17s", rq->rest);
    p->task.content_type = "application/json";
    p->task.run = record_run;
    hub_task_start(&p->task, JOB_SHARED, RECORD_MAX);
}

void hub_handle_wake_job(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct hub_wake *k = hub_wake_find(h->wakes, rq->rest);
    char text[24], wait[4];
    uint64_t after = 0;

    if (strlen(rq->rest) >= WAKE_ID_SIZE || alb_failed(id_check(rq->rest))) {
        serve_refuse(rq, ALB_INVALID, "that is no ID of a job: 'w' and 16 hexadecimal digits");
        return;
    }
    if (k == NULL) {
        answer_record(h, rq);
        return;
    }
    if (serve_query(rq, "after", text, sizeof text) &&
        alb_failed(parse_u64(text, UINT64_MAX, &after))) {
        serve_refuse(rq, ALB_INVALID, "after: it is the \"change\" of an answer");
        return;
    }
    if (serve_query(rq, "wait", wait, sizeof wait) && !k->is_over &&
        wake_job_change(k->core) <= after && k->watcher_count < WAKE_WATCHERS_MAX)
        watch(k, after, rq);
    else
        hub_wake_answer(k, after, rq);
}
