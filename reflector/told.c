/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/told.c – what became of the branch's pulls: kept here, handed up when it can be. */
#include <stdio.h>

#include "base/alloc.h"
#include "reflector/reflector_impl.h"
#include "transfer/told_book.h"

#define REST_NS (2 * NS_PER_S)  /* those of a branch that pulls together travel together */
#define HERD_NS (30 * NS_PER_S) /* all branches get their lines back at once */
enum { MOST_OF_ONE = 128 };

struct told_wait {
    struct reflector *reflector;
    struct serve_request *rq;
    struct told_taking *taking;
    size_t count;
    TAILQ_ENTRY(told_wait) link;
};

void reflector_open_told(struct reflector *r)
{
    TAILQ_INIT(&r->told_waits);
    r->told = told_book_open(&(struct told_book_options){.loop = r->options.loop,
                                                         .catalogue = r->options.catalogue,
                                                         .upstream = r->upstream,
                                                         .rest_ns = REST_NS,
                                                         .herd_ns = HERD_NS});
}

/* The asker has its answer or is gone. */
static struct serve_request *finish(struct told_wait *w)
{
    struct serve_request *rq = w->rq;

    TAILQ_REMOVE(&w->reflector->told_waits, w, link);
    if (w->taking != NULL)
        told_book_cancel(w->taking);
    free(w);
    return rq;
}

void reflector_close_told(struct reflector *r)
{
    while (r->told != NULL && !TAILQ_EMPTY(&r->told_waits))
        serve_refuse(finish(TAILQ_FIRST(&r->told_waits)), ALB_CLOSED, "this reflector is stopping");
    r->told = told_book_close(r->told);
}

static void gone(struct serve_request *rq)
{
    (void)finish(rq->work);
}

static void taken(void *arg, struct alb_status st)
{
    struct told_wait *w = arg;
    char text[32];

    snprintf(text, sizeof text, "{\"taken\":%zu}", w->count);
    w->taking = NULL;
    struct serve_request *rq = finish(w);
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/json", text, strlen(text));
}

static struct alb_status judge(const struct reflector *r, const struct identity *who,
                               const struct told *list, size_t count)
{
    if (who->role == ROLE_REFLECTOR)
        return ALB_STATUS_OK;
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].device, who->device) != 0)
            return alb_fail(ALB_REFUSED, "only a reflector may tell of another device's pulls");
    if (told_book_count_of(r->told, who->device) + count > MOST_OF_ONE)
        return alb_fail(ALB_FULL, "128 reports of this device are kept here already");
    return ALB_STATUS_OK;
}

void reflector_handle_told(void *reflector, struct serve_request *rq)
{
    struct reflector *r = reflector;
    AUTO_FREE struct told *list = xcalloc(TOLD_MOST, sizeof *list);
    size_t size = 0, count = 0;
    const uint8_t *body = serve_body(rq, &size);
    struct alb_status st = told_decode(body, size, list, &count);

    if (!alb_failed(st))
        st = judge(r, &rq->session->who, list, count);
    if (alb_failed(st)) {
        serve_refuse_status(rq, st);
        return;
    }
    struct told_wait *w = xalloc(sizeof *w);
    w->reflector = r;
    w->rq = rq;
    w->count = count;
    TAILQ_INSERT_TAIL(&r->told_waits, w, link);
    rq->work = w;
    rq->gone = gone;
    w->taking = told_book_take(r->told, list, count, taken, w);
}

void reflector_show_told(const struct reflector *r, struct json_writer *w)
{
    struct told_book_figures f;

    told_book_figures(r->told, &f);
    json_object_begin(w, "told");
    json_number(w, "kept", f.kept);
    json_number(w, "delivered", f.delivered);
    json_number(w, "dropped", f.dropped);
    json_signed(w, "oldest_wall_s", f.oldest_wall_s);
    json_end(w);
}
