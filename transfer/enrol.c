/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/enrol.c – dial with a pin, ask once, check what came.
 *
 *     DIAL → POST /v1/enrol → answer → is it what the token promised?
 */
#include "transfer/enrol.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/units.h"
#include "net/http.h"
#include "net/tls.h"
#include "net/x509.h"
#include "transfer/upstream.h"

enum { ANSWER_MOST = 3 * JSON_PEM_MAX };
#define TIMEOUT_NS (30 * NS_PER_S)

struct journey {
    struct loop *loop;
    struct http_session *session; /* NULL once it is closed */
    struct http_call *call;       /* NULL once it has ended */
    struct timer deadline;
    unsigned status;
    struct buf answer;
    struct alb_status st; /* of the whole */
    bool is_over;
};

static void finish(struct journey *j, struct alb_status st)
{
    if (!j->is_over)
        j->st = st;
    j->is_over = true;
    loop_stop(j->loop);
}

/* ---- events ---- */

static void call_head(void *arg, struct http_call *c, unsigned status)
{
    struct journey *j = arg;

    (void)c;
    j->status = status;
}

static void call_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct journey *j = arg;

    (void)c;
    alb_ignore(buf_append(&j->answer, bytes, size), "a longer answer is broken off as CORRUPT");
}

static void call_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct journey *j = arg;

    (void)c;
    j->call = NULL;
    if (st.code != ALB_CLOSED) /* then the session knows the reason, and says it next */
        finish(j, st);
}

static void session_opened(void *arg, struct http_session *s)
{
    (void)arg;
    (void)s;
}

static void session_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct journey *j = arg;

    (void)s;
    j->session = NULL;
    finish(j, st);
}

static void on_deadline(void *arg)
{
    finish(arg, alb_fail(ALB_TIMEOUT, "no answer in 30 seconds"));
}

static const struct http_call_ops call_ops = {
    .head = call_head, .data = call_data, .end = call_end};
static const struct http_client_ops session_ops = {.opened = session_opened,
                                                   .closed = session_closed};

/* ---- asking ---- */

static void travel(struct journey *j, const struct enrolment *e, struct tls_context *tls,
                   const struct buf *body)
{
    const struct dial_options dial = {
        .host = e->hub.host, .port = e->hub.port, .tls = tls, .timeout_ns = TIMEOUT_NS};
    const struct http_call_options call = {.method = "POST",
                                           .path = "/v1/enrol",
                                           .headers = &proto_header,
                                           .header_count = 1,
                                           .body = buf_peek(body),
                                           .body_size = buf_size(body),
                                           .expect_bytes = ANSWER_MOST};
    const struct http_session_options options = {.window_bytes = 0};

    timer_init(&j->deadline, j->loop, on_deadline, j);
    timer_set_in(&j->deadline, TIMEOUT_NS);
    j->session = http_connect(loop_dial(j->loop, &dial), &options, &session_ops, j);
    j->call = http_call_start(j->session, &call, &call_ops, j);
    while (!j->is_over)
        loop_run(j->loop);
    timer_stop(&j->deadline);
    if (j->session != NULL)
        http_session_close(j->session);
    while (j->session != NULL)
        loop_run(j->loop);
}

static struct alb_status request_write(const struct enrolment *e, struct buf *out)
{
    struct enrol_request *r = xalloc(sizeof *r);

    snprintf(r->token_id, sizeof r->token_id, "%s", e->token->id);
    bytes_hex(e->token->secret, TOKEN_SECRET_SIZE, r->secret_hex);
    snprintf(r->name, sizeof r->name, "%s", e->name);
    snprintf(r->csr_pem, sizeof r->csr_pem, "%s", e->csr_pem);
    struct alb_status st = enrol_request_encode(r, out);
    wipe(r, sizeof *r);
    free(r);
    return st;
}

/* ---- what came ---- */

/* Only the tree port of a hub knows the request at all. */
static const char no_door[] =
    "it answers, but nobody joins there; is that a reflector, or the hub's admin port? The tree "
    "port is meant: `listen` in hub.conf, 7443 unless it was changed";

static struct alb_status status_of(unsigned status)
{
    if (status >= 200 && status < 300)
        return ALB_STATUS_OK;
    switch (status) {
    case 401:
    case 403: return alb_fail(ALB_REFUSED, "the hub refused the token");
    case 404: return alb_fail(ALB_NOT_FOUND, "what answers there is no hub");
    case 429:
    case 503:
    case 507: return alb_fail(ALB_FULL, "the hub has no room for this now; try again later");
    default: return alb_fail(ALB_IO, "the hub could not enrol this device");
    }
}

static struct alb_status answer_check(const struct enrolment *e, const struct enrol_answer *a)
{
    struct digest pin;
    struct identity who = {.role = ROLE_NONE};

    struct alb_status st = x509_pin(a->ca_pem, &pin);
    if (!alb_failed(st) && !digest_equal(&pin, &e->token->ca_pin))
        return alb_fail(ALB_REFUSED, "the CA in the hub's answer is not the one the token names");
    if (!alb_failed(st))
        st = x509_identity(a->certificate_pem, &who);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    if (strcmp(who.org, a->org) != 0 || strcmp(who.device, a->device) != 0 ||
        strcmp(role_name(who.role), a->role) != 0)
        return alb_fail(ALB_CORRUPT, "the certificate names somebody else than the hub's answer");
    return ALB_STATUS_OK;
}

static struct alb_status answer_take(const struct enrolment *e, const struct journey *j,
                                     struct enrol_answer *out, char *message)
{
    const uint8_t *body = buf_peek(&j->answer);
    struct error_body error;

    struct alb_status st = status_of(j->status);
    if (alb_failed(st)) {
        error_body_decode(body, buf_size(&j->answer), &error);
        snprintf(message, ENROL_MESSAGE_SIZE, "%s", j->status == 404 ? no_door : error.message);
        return st;
    }
    AUTO_FREE struct enrol_answer *answer = xalloc(sizeof *answer);
    st = enrol_answer_decode(body, buf_size(&j->answer), answer);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    st = answer_check(e, answer);
    if (!alb_failed(st))
        *out = *answer;
    return st;
}

struct alb_status enrol(const struct enrolment *e, struct enrol_answer *out,
                        char message[ENROL_MESSAGE_SIZE])
{
    const struct tls_options tls_options = {.ca_pin = &e->token->ca_pin};
    const struct loop_options loop_options = {.workers = 0};
    struct tls_context *tls = NULL;
    struct buf body;

    message[0] = '\0';
    struct alb_status st = tls_context_new(&tls_options, &tls);
    if (alb_failed(st))
        return st;
    buf_init(&body, 2 * JSON_PEM_MAX);
    st = request_write(e, &body);
    if (!alb_failed(st)) {
        struct journey j = {.loop = loop_new(&loop_options)};

        buf_init(&j.answer, ANSWER_MOST);
        travel(&j, e, tls, &body);
        st = alb_failed(j.st) ? j.st : answer_take(e, &j, out, message);
        buf_release(&j.answer);
        loop_free(j.loop);
    }
    if (body.bytes != NULL)
        wipe(body.bytes, body.capacity);
    buf_release(&body);
    tls_context_free(tls);
    return st;
}
