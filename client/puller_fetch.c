/* SPDX-License-Identifier: Apache-2.0 */
/* client/puller_fetch.c – FETCH ⇄ PUT: chunks asked for together, put one by one as they come. */
#include "base/alloc.h"
#include "client/puller_impl.h"

static void morsel_came(struct waiter *w, struct alb_status st, struct chunk *chunk);

static void ask_one(struct puller *p, uint32_t position)
{
    struct morsel *m = xalloc(sizeof *m);
    struct chunk_key key;

    m->task.puller = p;
    m->position = position;
    m->raw_bytes = p->view->content_raw_bytes[position];
    m->waiter.done = morsel_came;
    root_view_key(p->view, LIST_CONTENT, position, &key, &m->waiter.where);
    TAILQ_INSERT_TAIL(&p->morsels, m, link);
    p->in_flight++;
    p->in_flight_bytes += m->raw_bytes;
    supply_ask(p->options.supply, &key, &m->waiter);
}

/* Not one by one: what is asked for together travels together. */
static bool is_time_to_ask(const struct puller *p)
{
    const struct puller_options *o = &p->options;

    return p->in_flight <= o->max_in_flight / 2 && p->in_flight_bytes <= o->max_in_flight_bytes / 2;
}

static bool has_room(const struct puller *p, uint32_t position)
{
    const struct puller_options *o = &p->options;

    return p->in_flight == 0 ||
           (p->in_flight < o->max_in_flight &&
            p->in_flight_bytes + p->view->content_raw_bytes[position] <= o->max_in_flight_bytes);
}

/* As stored, by what the chunks that came were; at first as if nothing could be made smaller. */
static void tell_left(const struct puller *p)
{
    const struct puller_progress *now = &p->progress;
    double bytes = (double)(now->needed_raw_bytes - now->put_raw_bytes);

    if (now->put_raw_bytes > 0)
        bytes *= (double)now->put_bytes / (double)now->put_raw_bytes;
    supply_tell_left(p->options.supply, p->layer, (uint64_t)bytes);
}

void puller_ask_more(struct puller *p)
{
    if (is_time_to_ask(p)) {
        tell_left(p);
        while (p->next < p->count && has_room(p, p->positions[p->next]))
            ask_one(p, p->positions[p->next++]);
    }
    if (p->in_flight == 0)
        puller_seal(p);
}

static void put_run(struct job *job)
{
    struct morsel *m = ALB_CONTAINER(job, struct morsel, task.job);

    m->task.st = m->task.sink->ops->put(m->task.sink, m->position, m->chunk);
}

static void put_over(struct puller *p, struct task *t)
{
    struct morsel *m = ALB_CONTAINER(t, struct morsel, task);

    if (p != NULL) {
        p->in_flight--;
        p->in_flight_bytes -= m->raw_bytes;
        if (alb_failed(t->st)) {
            puller_finish(p, t->st);
        } else {
            p->progress.put++;
            p->progress.put_bytes += m->chunk->size;
            p->progress.put_raw_bytes += m->raw_bytes;
        }
        if (p->state == PULL_FETCH)
            puller_ask_more(p);
    }
    chunk_unref(m->chunk);
    free(m);
}

static void morsel_came(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct morsel *m = ALB_CONTAINER(w, struct morsel, waiter);
    struct puller *p = m->task.puller;

    TAILQ_REMOVE(&p->morsels, m, link);
    if (alb_failed(st) || p->state != PULL_FETCH) {
        loop_bury(p->options.loop, free, m);
        puller_finish(p, st);
        return;
    }
    m->chunk = chunk_ref(chunk);
    m->task.over = put_over;
    puller_submit(p, &m->task, put_run, chunk->size);
}
