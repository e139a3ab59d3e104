/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/wake.c – this box as a guard (transfer/waker.h) and under orders to hold versions
 * (transfer/prefetch.h); and what others behind it say of theirs, handed up.
 *
 * Such words are hints, so whoever says them is answered at once; one that gets lost on the way up
 * has the hub ask somebody else, or again.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"
#include "transfer/serve.h"
#include "wire/wake.h"

enum { RELAYS_MAX = 64, ANSWER_MOST = 4096 };
#define RELAY_NS (10 * NS_PER_S)

struct woke_relay {
    struct reflector *reflector;
    struct upstream_request *asking;
    TAILQ_ENTRY(woke_relay) link;
};

static void relay_free(struct woke_relay *x)
{
    TAILQ_REMOVE(&x->reflector->woke_relays, x, link);
    x->reflector->woke_relay_count--;
    free(x);
}

static void on_taken(void *arg, const struct upstream_answer *answer)
{
    if (alb_failed(answer->st))
        log_status(LOG_INFO, "word.not_told", answer->st, "of=\"somebody behind this box\"");
    relay_free(arg);
}

static void hand_up(struct reflector *r, const char *path, const uint8_t *body, size_t size)
{
    struct woke_relay *x = xalloc(sizeof *x);

    x->reflector = r;
    TAILQ_INSERT_TAIL(&r->woke_relays, x, link);
    r->woke_relay_count++;
    x->asking = upstream_request(r->upstream,
                                 &(struct upstream_ask){.method = "POST",
                                                        .path = path,
                                                        .body = body,
                                                        .body_size = size,
                                                        .expect_bytes = ANSWER_MOST,
                                                        .timeout_ns = RELAY_NS,
                                                        .fail_when_down = true},
                                 on_taken, x);
}

void reflector_handle_woke(void *reflector, struct serve_request *rq)
{
    struct reflector *r = reflector;
    struct wake_report report;
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);
    const struct alb_status st = wake_report_decode(body, size, &report);

    if (alb_failed(st)) {
        serve_refuse_status(rq, st);
    } else if (!roster_speaks_for(r->roster, &rq->session->who, report.guard)) {
        serve_refuse(rq, ALB_REFUSED, "a guard reports for itself, or its reflector does");
    } else if (r->woke_relay_count == RELAYS_MAX) {
        serve_refuse(rq, ALB_FULL, "too many reports of guards are on their way up");
    } else {
        hand_up(r, "/v1/woke", body, size);
        serve_answer(rq, "application/json", "{}", 2);
    }
}

void reflector_handle_prefetched(void *reflector, struct serve_request *rq)
{
    struct reflector *r = reflector;
    struct prefetch_report report;
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);
    const struct alb_status st = prefetch_report_decode(body, size, &report);

    if (alb_failed(st)) {
        serve_refuse_status(rq, st);
    } else if (!roster_speaks_for(r->roster, &rq->session->who, report.device)) {
        serve_refuse(rq, ALB_REFUSED, "a reflector reports for itself, or the one above it does");
    } else if (r->woke_relay_count == RELAYS_MAX) {
        serve_refuse(rq, ALB_FULL, "too many reports are on their way up");
    } else {
        hand_up(r, PREFETCH_PATH, body, size);
        serve_answer(rq, "application/json", "{}", 2);
    }
}

static const char *line_word(void *reflector)
{
    return reflector_line_word(reflector);
}

void reflector_open_wake(struct reflector *r)
{
    TAILQ_INIT(&r->woke_relays);
    r->waker = waker_new(&(struct waker_options){.loop = r->options.loop,
                                                 .authority = r->authority,
                                                 .upstream = r->upstream,
                                                 .device = r->options.device,
                                                 .picture = reflector_picture,
                                                 .arg = r});
    r->prefetcher = prefetcher_new(&(struct prefetcher_options){.loop = r->options.loop,
                                                                .upstream = r->upstream,
                                                                .roots = r->roots,
                                                                .supply = r->supply,
                                                                .device = r->options.device,
                                                                .line = line_word,
                                                                .arg = r});
}

void reflector_close_wake(struct reflector *r)
{
    if (r->waker == NULL)
        return;
    r->waker = waker_free(r->waker);
    r->prefetcher = prefetcher_free(r->prefetcher);
    while (!TAILQ_EMPTY(&r->woke_relays)) {
        struct woke_relay *x = TAILQ_FIRST(&r->woke_relays);

        upstream_cancel(x->asking);
        relay_free(x);
    }
}
