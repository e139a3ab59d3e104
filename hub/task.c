/* SPDX-License-Identifier: Apache-2.0 */
/* hub/task.c – from a request to a worker and back. */
#include "hub/task.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/hub_impl.h"

static void on_run(struct job *job);
static void on_done(struct job *job);
static void asker_gone(struct serve_request *rq);

void *hub_task_new(struct hub *h, struct serve_request *rq, size_t size)
{
    struct hub_task *t = xalloc(size);

    t->hub = h;
    t->now_wall_s = authority_now_s(h->authority, loop_wall_s(h->options.loop));
    buf_init(&t->answer, HUB_ANSWER_MAX);
    TAILQ_INSERT_TAIL(&h->tasks, t, link);
    if (rq == NULL)
        return t;
    t->rq = rq;
    t->who = rq->session->who;
    rq->work = t;
    rq->gone = asker_gone;
    struct buf *body = http_exchange_body(rq->x);
    t->body = *body;
    buf_init(body, t->body.limit);
    return t;
}

void hub_task_start(struct hub_task *t, enum job_lane lane, uint64_t work_bytes)
{
    t->job = (struct job){.run = on_run, .done = on_done, .lane = lane, .work_bytes = work_bytes};
    loop_submit(t->hub->options.loop, &t->job);
}

static void on_run(struct job *job)
{
    struct hub_task *t = ALB_CONTAINER(job, struct hub_task, job);

    t->run(t);
}

static void on_done(struct job *job)
{
    struct hub_task *t = ALB_CONTAINER(job, struct hub_task, job);

    if (t->after != NULL && !t->hub->is_dying)
        t->after(t);
    else
        hub_task_end(t);
}

static void asker_gone(struct serve_request *rq)
{
    struct hub_task *t = rq->work;

    t->rq = NULL;
}

/* Whatever was asked: on a full disk the one thing to do is the same. */
static void say_disk_is_full(struct hub_task *t)
{
    if (t->why[0] == '\0' && t->st.code == ALB_FULL && (t->st.sys == ENOSPC || t->st.sys == EDQUOT))
        hub_task_refuse(t, ALB_FULL,
                        "the disk under the hub's data directory is full, so nothing new can be "
                        "kept there; what it has acknowledged stays. Make room (its log names "
                        "the directory) and run the same command again, it goes on where it "
                        "stopped");
}

static void answer(struct hub_task *t)
{
    const char *type = t->content_type != NULL ? t->content_type : "application/octet-stream";

    if (!alb_failed(t->st))
        serve_answer(t->rq, type, buf_peek(&t->answer), buf_size(&t->answer));
    else if (t->why[0] != '\0')
        serve_refuse(t->rq, t->st.code, t->why);
    else
        serve_refuse_status(t->rq, t->st);
}

void hub_task_end(struct hub_task *t)
{
    struct hub *h = t->hub;

    TAILQ_REMOVE(&h->tasks, t, link);
    say_disk_is_full(t);
    if (t->rq != NULL)
        answer(t);
    if (t->release != NULL)
        t->release(t);
    buf_release(&t->body);
    buf_release(&t->answer);
    free(t);
    hub_maybe_idle(h);
}

void hub_task_refuse(struct hub_task *t, enum alb_code code, const char *format, ...)
{
    va_list args;

    t->st = (struct alb_status){code, 0, "refused"};
    va_start(args, format);
    vsnprintf(t->why, sizeof t->why, format, args);
    va_end(args);
}

void hub_audit(const struct identity *who, const char *what, const char *format, ...)
{
    char details[640];
    va_list args;

    va_start(args, format);
    vsnprintf(details, sizeof details, format, args);
    va_end(args);
    log_event(LOG_INFO, "audit", "who=%s role=%s what=%s %s",
              who->device[0] != '\0' ? who->device : "-",
              who->role != 0 ? role_name(who->role) : "hub", what, details);
}
