/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/layers.c – which layers there are: the parent's list, cut to what each asker may read.
 *
 * One question to the parent answers all who wait; its answer is good for a few seconds, or until
 * an event says that something changed.  The last list is kept ("layers"), and answered, marked
 * stale, when the parent cannot be reached.  So that there is one to keep, it is asked for a while
 * after each change even if nobody here does: at a random moment, since all branches hear of it.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"
#include "transfer/record_keep.h"

enum { LIST_MOST = CATALOGUE_VALUE_MAX };
#define FRESH_NS (5 * NS_PER_S) /* as heads (transfer/record_book.h) */
#define ASK_TIMEOUT_NS (10 * NS_PER_S)
#define FIRST_MOST_NS (2 * NS_PER_S) /* while there is none */
#define NEXT_LEAST_NS (5 * NS_PER_S)
#define NEXT_MOST_NS (60 * NS_PER_S)

static const char RECORD[] = "layers";

struct layers_waiter {
    struct reflector *reflector;
    struct serve_request *rq;
    TAILQ_ENTRY(layers_waiter) link;
};

static void ask_parent(struct reflector *r);
static void ask_if_old(void *reflector);

static struct alb_status take(struct layers_list *l, const void *bytes, size_t size)
{
    struct json_doc *doc;
    struct alb_status st = json_doc_parse(bytes, size, &doc);

    if (alb_failed(st))
        return st;
    json_doc_free(l->doc);
    l->doc = doc;
    return ALB_STATUS_OK;
}

void reflector_open_layers(struct reflector *r)
{
    struct buf bytes;

    TAILQ_INIT(&r->layers.waiters);
    timer_init(&r->layers.soon, r->options.loop, ask_if_old, r);
    buf_init(&bytes, LIST_MOST);
    struct alb_status st = catalogue_get(r->options.catalogue, RECORD, &bytes, NULL);
    if (!alb_failed(st))
        st = take(&r->layers, buf_peek(&bytes), buf_size(&bytes));
    if (alb_failed(st) && st.code != ALB_NOT_FOUND)
        log_status(LOG_WARN, "layers.not_loaded", st, "next=\"the parent is asked\"");
    buf_release(&bytes);
}

void reflector_forget_layers(struct reflector *r)
{
    struct layers_list *l = &r->layers;

    l->asked_ns = 0;
    if (!timer_is_set(&l->soon))
        timer_set_in(&l->soon,
                     l->doc == NULL
                         ? loop_random_between(r->options.loop, 0, FIRST_MOST_NS)
                         : loop_random_between(r->options.loop, NEXT_LEAST_NS, NEXT_MOST_NS));
}

static void ask_if_old(void *arg)
{
    struct reflector *r = arg;

    if (r->layers.asked_ns == 0 && r->layers.asking == NULL && upstream_is_up(r->upstream))
        ask_parent(r); /* else the line's return is told, and sets this anew */
}

/* ---- answering ---- */

static void answer(struct reflector *r, struct serve_request *rq, bool is_stale)
{
    const struct json_doc *doc = r->layers.doc;
    struct json_writer *w = json_writer_new();
    char path[48];
    struct buf text;

    json_object_begin(w, NULL);
    json_array_begin(w, "layers");
    for (size_t i = 0; i < json_doc_count(doc, "layers"); i++) {
        (void)snprintf(path, sizeof path, "layers.%zu.layer", i);
        const bool is_readable = serve_may_read(rq, json_doc_text(doc, path));
        (void)snprintf(path, sizeof path, "layers.%zu", i);
        if (is_readable)
            json_relay(w, NULL, doc, path);
    }
    json_end(w);
    json_bool(w, "stale", is_stale);
    json_end(w);
    buf_init(&text, (size_t)2 * LIST_MOST);
    struct alb_status st = json_writer_finish(w, &text);
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/json", buf_peek(&text), buf_size(&text));
    buf_release(&text);
}

static struct serve_request *next_request(struct reflector *r)
{
    struct layers_waiter *w = TAILQ_FIRST(&r->layers.waiters);

    if (w == NULL)
        return NULL;
    struct serve_request *rq = w->rq;
    TAILQ_REMOVE(&r->layers.waiters, w, link);
    free(w);
    return rq;
}

static void gone(struct serve_request *rq)
{
    struct layers_waiter *w = rq->work;

    TAILQ_REMOVE(&w->reflector->layers.waiters, w, link);
    free(w);
}

void reflector_handle_layers(void *reflector, struct serve_request *rq)
{
    struct reflector *r = reflector;
    struct layers_list *l = &r->layers;

    if (l->asked_ns != 0 && loop_now_ns(r->options.loop) - l->asked_ns < FRESH_NS &&
        upstream_is_up(r->upstream)) {
        answer(r, rq, false);
        return;
    }
    struct layers_waiter *w = xalloc(sizeof *w);
    w->reflector = r;
    w->rq = rq;
    rq->work = w;
    rq->gone = gone;
    TAILQ_INSERT_TAIL(&l->waiters, w, link);
    if (l->asking == NULL)
        ask_parent(r);
}

void reflector_close_layers(struct reflector *r)
{
    struct serve_request *rq;

    timer_stop(&r->layers.soon);
    while ((rq = next_request(r)) != NULL)
        serve_refuse(rq, ALB_CLOSED, "this reflector is stopping");
    if (r->layers.asking != NULL)
        upstream_cancel(r->layers.asking);
    r->layers.asking = NULL;
    r->layers.doc = json_doc_free(r->layers.doc);
}

/* ---- the parent ---- */

/* Did the parent speak?  Then its no is an answer; what is kept is for when nobody does. */
static bool is_silence(struct alb_status st)
{
    return st.code == ALB_CLOSED || st.code == ALB_TIMEOUT || st.code == ALB_IO ||
           st.code == ALB_FULL;
}

static void tell_all(struct reflector *r, struct alb_status st, const char *message)
{
    struct serve_request *rq;

    while ((rq = next_request(r)) != NULL) {
        if (!alb_failed(st))
            answer(r, rq, false);
        else if (is_silence(st) && r->layers.doc != NULL)
            answer(r, rq, true);
        else
            serve_refuse(rq, st.code, message);
    }
}

void reflector_record_kept(void)
{
    KILL_POINT("reflector.record_kept");
}

static void came(void *arg, const struct upstream_answer *answer_in)
{
    struct reflector *r = arg;
    struct alb_status st = answer_in->st;

    r->layers.asking = NULL;
    if (!alb_failed(st)) {
        st = take(&r->layers, answer_in->body, answer_in->size);
        if (alb_failed(st))
            st = alb_fail(ALB_IO, "the parent's list of layers is no JSON document");
    }
    if (!alb_failed(st)) {
        r->layers.asked_ns = loop_now_ns(r->options.loop);
        record_keep(r->options.loop, r->options.catalogue, RECORD, answer_in->body, answer_in->size,
                    reflector_record_kept);
    }
    tell_all(r, st, answer_in->message[0] != '\0' ? answer_in->message : st.what);
}

static void ask_parent(struct reflector *r)
{
    const struct upstream_ask ask = {.method = "GET",
                                     .path = "/v1/layers",
                                     .expect_bytes = LIST_MOST,
                                     .timeout_ns = ASK_TIMEOUT_NS,
                                     .fail_when_down = true};

    r->layers.asking = upstream_request(r->upstream, &ask, came, r);
}
