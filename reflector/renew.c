/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/renew.c – certificates renewed: its own, and those of devices behind this box.
 *
 * What a device asks is handed to the parent and the answer handed back, both unread but for the
 * name: the hub looks at the key, and a certificate is of use only to whoever holds that.  A device
 * asks once in weeks: what it asks again within 5 s costs nothing on the WAN.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"

#define ASK_TIMEOUT_NS (20 * NS_PER_S)
enum { RENEW_MOST = 3 * JSON_PEM_MAX };

struct renew_ask {
    struct reflector *reflector;
    struct serve_request *rq;
    struct upstream_request *asking;
    TAILQ_ENTRY(renew_ask) link;
};

/* ---- its own ---- */

static void renewed(void *arg, const char *certificate_pem)
{
    const struct reflector_options *o = &((struct reflector *)arg)->options;

    o->renewed(o->renewed_arg, certificate_pem);
}

struct alb_status reflector_open_renewals(struct reflector *r)
{
    const struct reflector_options *o = &r->options;

    TAILQ_INIT(&r->renew_asks);
    grant_memos_init(&r->renew_memos);
    if (o->certificate_pem == NULL)
        return ALB_STATUS_OK;
    return renewal_new(&(struct renewal_options){.loop = o->loop,
                                                 .upstream = r->upstream,
                                                 .authority = r->authority,
                                                 .certificate_pem = o->certificate_pem,
                                                 .csr_pem = o->csr_pem,
                                                 .renewed = renewed,
                                                 .arg = r},
                       &r->renewal);
}

/* ---- a device's ---- */

static void finish(struct renew_ask *a)
{
    TAILQ_REMOVE(&a->reflector->renew_asks, a, link);
    upstream_cancel(a->asking);
    free(a);
}

static void refuse(struct renew_ask *a, enum alb_code code, const char *message)
{
    struct serve_request *rq = a->rq;

    finish(a);
    serve_refuse(rq, code, message);
}

void reflector_close_renewals(struct reflector *r)
{
    r->renewal = renewal_free(r->renewal);
    while (!TAILQ_EMPTY(&r->renew_asks))
        refuse(TAILQ_FIRST(&r->renew_asks), ALB_CLOSED, "this reflector is stopping");
    grant_memos_release(&r->renew_memos);
}

static void gone(struct serve_request *rq)
{
    finish(rq->work);
}

static void came(void *arg, const struct upstream_answer *answer)
{
    struct renew_ask *a = arg;

    a->asking = NULL;
    if (alb_failed(answer->st)) {
        refuse(a, answer->st.code, answer->message[0] != '\0' ? answer->message : answer->st.what);
        return;
    }
    struct serve_request *rq = a->rq;
    finish(a);
    serve_answer(rq, "application/json", answer->body, answer->size);
}

/* For whom?  A reflector may name a device that speaks to it, everybody else only themselves. */
static struct alb_status read_ask(const struct serve_request *rq, struct renew_request *out)
{
    const struct identity *who = &rq->session->who;
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);
    struct alb_status st = renew_request_decode(body, size, out);

    if (!alb_failed(st) && out->device[0] == '\0')
        (void)snprintf(out->device, sizeof out->device, "%s", who->device);
    if (!alb_failed(st))
        st = id_check(out->device);
    if (!alb_failed(st) && who->role != ROLE_REFLECTOR && strcmp(out->device, who->device) != 0)
        return alb_fail(ALB_REFUSED, "only a reflector may ask for another device");
    return st;
}

static void hand_on(struct reflector *r, struct serve_request *rq, const struct buf *body)
{
    const struct upstream_ask ask = {.method = "POST",
                                     .path = RENEWAL_PATH,
                                     .body = buf_peek(body),
                                     .body_size = buf_size(body),
                                     .expect_bytes = RENEW_MOST,
                                     .timeout_ns = ASK_TIMEOUT_NS,
                                     .fail_when_down = true};
    struct renew_ask *a = xalloc(sizeof *a);

    a->reflector = r;
    a->rq = rq;
    TAILQ_INSERT_TAIL(&r->renew_asks, a, link);
    rq->work = a;
    rq->gone = gone;
    a->asking = upstream_request(r->upstream, &ask, came, a);
}

/* Renewed a moment ago?  Then it is said again that it has to wait; else that is noted. */
static bool has_to_wait(struct reflector *r, struct serve_request *rq, const char *device)
{
    static const char words[] =
        "a certificate for this device was asked for a moment ago; wait, then ask again";
    const uint64_t now_ns = loop_now_ns(r->options.loop);

    if (grant_memos_find(&r->renew_memos, device, now_ns) != NULL) {
        serve_refuse(rq, ALB_TIMEOUT, words);
        return true;
    }
    grant_memos_refuse(&r->renew_memos, device, alb_fail(ALB_TIMEOUT, "asked a moment ago"), words,
                       now_ns);
    return false;
}

void reflector_handle_renew(void *reflector, struct serve_request *rq)
{
    AUTO_FREE struct renew_request *ask = xalloc(sizeof *ask);
    struct alb_status st = read_ask(rq, ask);
    struct buf body;

    buf_init(&body, RENEW_MOST);
    if (!alb_failed(st))
        st = renew_request_encode(ask, &body);
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else if (!has_to_wait(reflector, rq, ask->device))
        hand_on(reflector, rq, &body);
    buf_release(&body);
}
