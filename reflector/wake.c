/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/wake.c – this box as a guard (transfer/waker.h), and what guards behind it say, handed
 * up.
 *
 * A guard's words are hints, so whoever says them is answered at once; one that gets lost on the
 * way up has the hub ask somebody else.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"
#include "transfer/serve.h"
#include "wire/wake.h"

enum { RELAYS_MAX = 64 };
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
        log_status(LOG_INFO, "wake.not_told", answer->st, "of=\"a guard behind this box\"");
    relay_free(arg);
}

static void hand_up(struct reflector *r, const uint8_t *body, size_t size)
{
    struct woke_relay *x = xalloc(sizeof *x);

    x->reflector = r;
    TAILQ_INSERT_TAIL(&r->woke_relays, x, link);
    r->woke_relay_count++;
    x->asking = upstream_request(r->upstream,
                                 &(struct upstream_ask){.method = "POST",
                                                        .path = "/v1/woke",
                                                        .body = body,
                                                        .body_size = size,
                                                        .timeout_ns = RELAY_NS,
                                                        .fail_when_down = true},
                                 on_taken, x);
}

/* For itself, or for somebody behind it. */
static bool may_speak_for(const struct reflector *r, const char *device, const char *guard)
{
    const struct roster_entry *e = roster_find(r->roster, guard);

    return strcmp(device, guard) == 0 || (e != NULL && strcmp(e->via, device) == 0);
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
    } else if (!may_speak_for(r, rq->session->who.device, report.guard)) {
        serve_refuse(rq, ALB_REFUSED, "a guard reports for itself, or its reflector does");
    } else if (r->woke_relay_count == RELAYS_MAX) {
        serve_refuse(rq, ALB_FULL, "too many reports of guards are on their way up");
    } else {
        hand_up(r, body, size);
        serve_answer(rq, "application/json", "{}", 2);
    }
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
}

void reflector_close_wake(struct reflector *r)
{
    if (r->waker == NULL)
        return;
    r->waker = waker_free(r->waker);
    while (!TAILQ_EMPTY(&r->woke_relays)) {
        struct woke_relay *x = TAILQ_FIRST(&r->woke_relays);

        upstream_cancel(x->asking);
        relay_free(x);
    }
}
