/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/upstream_request.c – small questions to the parent that survive a lost line.
 *
 *     WAITING (no line) ⇄ SENT (a call is open) → told once
 *        ^__ a little ___/   broken off alone, while the line holds
 */
#include "base/alloc.h"
#include "base/units.h"
#include "shaper/wan.h"
#include "transfer/upstream_impl.h"
#include "wire/json.h"

#define TIMEOUT_DEFAULT_NS (60 * NS_PER_S)
#define AGAIN_NS (250 * NS_PER_MS)
/* A parent takes no body that comes slower than 4 KiB/s, which may be our own doing. */
#define LONG_NS (60 * NS_PER_S)
#define LOOK_AGAIN_NS (100 * NS_PER_MS) /* while the policy says off */

enum { BROKEN_MOST = 3 };

struct upstream_request {
    struct upstream *upstream;
    struct upstream_link *via;
    char *method, *path;
    const uint8_t *body;
    uint8_t *own_body; /* NULL: the caller's */
    size_t body_size, body_sent, expect_bytes;
    bool fail_when_down, is_bulk, may_wait;
    uint64_t timeout_ns, sent_ns, moved_ns; /* moved: its body last; or when it was made */
    upstream_done done;
    void *arg;
    struct http_call *call; /* NULL while waiting */
    unsigned status;
    struct buf answer;
    bool too_long;
    unsigned broken;              /* how often it was broken off while the line held */
    struct timer deadline, again; /* again: broken off alone, or kept back by the policy */
    TAILQ_ENTRY(upstream_request) link;
};

static void send_request(struct upstream_request *r);
static void send_or_hold(struct upstream_request *r);
static void send_again(void *arg);
static void request_head(void *arg, struct http_call *c, unsigned status);
static void request_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size);
static void request_end(void *arg, struct http_call *c, struct alb_status st);
static void tell(struct upstream_request *r, struct alb_status st);

static const struct http_call_ops request_ops = {
    .head = request_head, .data = request_data, .end = request_end};

/* A body that moves, or that our own gate or the policy keeps back, is no silence of theirs. */
static uint64_t patient_until_ns(const struct upstream_request *r)
{
    const struct http_session *s = r->via->session;
    const uint64_t held_ns = r->call != NULL && s != NULL ? http_session_held_until_ns(s) : 0;

    return (held_ns > r->moved_ns ? held_ns : r->moved_ns) + r->timeout_ns;
}

static void on_deadline(void *arg)
{
    struct upstream_request *r = arg;

    if (r->is_bulk && !(r->fail_when_down && r->call == NULL) &&
        loop_now_ns(r->upstream->options.loop) < patient_until_ns(r)) {
        timer_set(&r->deadline, patient_until_ns(r));
        return;
    }
    if (r->fail_when_down && r->call == NULL && r->upstream->has_failed)
        tell(r, alb_fail(ALB_CLOSED, "the parent cannot be reached"));
    else
        tell(r, alb_fail(ALB_TIMEOUT, "the parent did not answer in time"));
}

struct upstream_request *upstream_request(struct upstream *u, const struct upstream_ask *ask,
                                          upstream_done done, void *arg)
{
    struct upstream_request *r = xalloc(sizeof *r);

    r->upstream = u;
    r->is_bulk = ask->is_bulk;
    r->via = ask->is_bulk ? &u->upload : &u->control;
    r->timeout_ns = ask->timeout_ns != 0 ? ask->timeout_ns : TIMEOUT_DEFAULT_NS;
    r->moved_ns = loop_now_ns(u->options.loop);
    r->method = xstrdup(ask->method);
    r->path = xstrdup(ask->path);
    r->body_size = ask->body_size;
    if (ask->body_size > 0 && !ask->body_stays)
        r->own_body = memcpy(xalloc(ask->body_size), ask->body, ask->body_size);
    r->body = r->own_body != NULL ? r->own_body : ask->body;
    r->expect_bytes = ask->expect_bytes;
    r->fail_when_down = ask->fail_when_down;
    r->may_wait = ask->may_wait;
    r->done = done;
    r->arg = arg;
    timer_init(&r->deadline, u->options.loop, on_deadline, r);
    timer_set_in(&r->deadline, r->timeout_ns);
    timer_init(&r->again, u->options.loop, send_again, r);
    TAILQ_INSERT_TAIL(&u->requests, r, link);
    if (u->is_resting && !r->may_wait)
        timer_set_in(&u->redial, 0);
    if (r->via->is_greeted)
        send_or_hold(r);
    else if (r->is_bulk && u->is_up)
        upstream_want_upload(u);
    else if (r->fail_when_down && u->has_failed)
        timer_set_in(&r->deadline, 0);
    return r;
}

static size_t pull_body(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct upstream_request *r = arg;
    const struct wan *wan = r->upstream->options.wan;
    size_t left = r->body_size - r->body_sent;

    r->moved_ns = loop_now_ns(r->upstream->options.loop);
    if (r->is_bulk && wan != NULL && !wan_may_upload(wan)) {
        timer_set_in(&r->again, LOOK_AGAIN_NS);
        return 0;
    }
    size_t n = size < left ? size : left;

    memcpy(out, r->body + r->body_sent, n);
    r->body_sent += n;
    *ended = n == left;
    return n;
}

/* What the upload connection says is bulk while it has something to do. */
static void count_upload(const struct upstream_request *r, bool begins)
{
    struct upstream_link *via = r->via;

    if (!r->is_bulk)
        return;
    if (begins)
        via->uploads++;
    else
        via->uploads--;
    if (via->member != NULL)
        wan_member_uploads(via->member, via->uploads > 0);
}

/* Its call is no more. */
static void call_is_over(struct upstream_request *r)
{
    r->call = NULL;
    count_upload(r, false);
}

static void send_request(struct upstream_request *r)
{
    const struct http_call_options call = {.method = r->method,
                                           .path = r->path,
                                           .body_size = r->body_size,
                                           .source = {r->body_size > 0 ? pull_body : NULL, r},
                                           .headers = &proto_header,
                                           .header_count = 1,
                                           .expect_bytes = r->expect_bytes};

    buf_release(&r->answer);
    buf_init(&r->answer, r->expect_bytes);
    r->body_sent = 0;
    r->sent_ns = loop_now_ns(r->upstream->options.loop);
    r->status = 0;
    r->too_long = false;
    timer_stop(&r->again);
    count_upload(r, true);
    r->call = http_call_start(r->via->session, &call, &request_ops, r);
}

/* The line is new, and so are those of many others. */
static void send_or_hold(struct upstream_request *r)
{
    const struct upstream *u = r->upstream;

    if (!r->may_wait || loop_now_ns(u->options.loop) >= u->calm_ns) {
        send_request(r);
        return;
    }
    timer_set(&r->again, u->calm_ns);
    timer_set(&r->deadline, u->calm_ns + r->timeout_ns);
}

bool upstream_is_awaited(const struct upstream *u)
{
    const struct upstream_request *r;

    TAILQ_FOREACH(r, &u->requests, link)
    if (!r->may_wait)
        return true;
    return false;
}

static void request_head(void *arg, struct http_call *c, unsigned status)
{
    struct upstream_request *r = arg;

    (void)c;
    r->status = status;
}

static void request_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct upstream_request *r = arg;

    (void)c;
    if (alb_failed(buf_append(&r->answer, bytes, size)))
        r->too_long = true;
}

static struct alb_status status_of(unsigned status)
{
    if (status >= 200 && status < 300)
        return ALB_STATUS_OK;
    switch (status) {
    case 400: return alb_fail(ALB_INVALID, "the parent did not understand the request");
    case 401:
    case 403: return alb_fail(ALB_REFUSED, "the parent refused the request");
    case 404: return alb_fail(ALB_NOT_FOUND, "the parent has no such thing for this device");
    case 409: return alb_fail(ALB_CONFLICT, "somebody else changed it first");
    case 413: return alb_fail(ALB_INVALID, "the request is larger than the parent accepts");
    case 503:
        return alb_fail(ALB_CLOSED,
                        "the parent does not hold it and is cut off from its own, or is "
                        "stopping; try again later");
    case 429:
    case 507: return alb_fail(ALB_FULL, "the parent has no room for this now");
    default: return alb_fail(ALB_IO, "the parent failed");
    }
}

static void request_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct upstream_request *r = arg;

    (void)c;
    call_is_over(r);
    if (!alb_failed(st)) {
        tell(r, r->too_long ? alb_fail(ALB_CORRUPT, "the parent's answer is too long")
                            : status_of(r->status));
    } else if (st.code == ALB_CORRUPT) {
        tell(r, st);
    } else if (r->via->session != NULL && http_session_is_open(r->via->session)) {
        if (r->is_bulk && loop_now_ns(r->upstream->options.loop) - r->sent_ns > LONG_NS)
            r->broken = 0;
        if (++r->broken > BROKEN_MOST)
            tell(r, alb_fail(ALB_CLOSED, "the parent keeps breaking off its answer"));
        else
            timer_set_in(&r->again, AGAIN_NS);
    } /* else the line is lost: waits for the next one, or its deadline */
}

static void send_again(void *arg)
{
    struct upstream_request *r = arg;

    if (r->call != NULL)
        http_call_resume(r->call); /* the policy had it wait */
    else if (r->via->is_greeted)
        send_request(r);
}

static void cancel_call(struct upstream_request *r)
{
    if (r->call == NULL)
        return;
    http_call_cancel(r->call);
    call_is_over(r);
}

/* Nothing calls it after this. */
static void unlink_request(struct upstream_request *r)
{
    timer_stop(&r->deadline);
    timer_stop(&r->again);
    TAILQ_REMOVE(&r->upstream->requests, r, link);
    cancel_call(r);
}

static void free_request(struct upstream_request *r)
{
    buf_release(&r->answer);
    free(r->method);
    free(r->path);
    free(r->own_body);
    loop_bury(r->upstream->options.loop, free, r);
}

static void tell(struct upstream_request *r, struct alb_status st)
{
    struct error_body error = {.message = ""};
    struct upstream_answer answer = {
        .st = st, .status = r->status, .body = buf_peek(&r->answer), .size = buf_size(&r->answer)};

    if (alb_failed(st) && r->status >= 400)
        error_body_decode(answer.body, answer.size, &error);
    answer.message = error.message;
    unlink_request(r); /* first: done() may well free the upstream */
    r->done(r->arg, &answer);
    free_request(r);
}

void upstream_cancel(struct upstream_request *r)
{
    if (r == NULL)
        return;
    unlink_request(r);
    free_request(r);
}

void upstream_send_requests(struct upstream *u)
{
    struct upstream_request *r;

    TAILQ_FOREACH(r, &u->requests, link)
    {
        if (r->call == NULL && r->via->is_greeted)
            send_or_hold(r);
    }
    if (!u->upload.is_greeted && upstream_has_bulk(u))
        upstream_want_upload(u);
}

bool upstream_has_bulk(const struct upstream *u)
{
    const struct upstream_request *r;

    TAILQ_FOREACH(r, &u->requests, link)
    if (r->is_bulk)
        return true;
    return false;
}

void upstream_park_requests(struct upstream *u)
{
    struct upstream_request *r;

    TAILQ_FOREACH(r, &u->requests, link)
    {
        cancel_call(r);
        timer_stop(&r->again);
        if (r->fail_when_down && u->has_failed)
            timer_set_in(&r->deadline, 0);
    }
}

void upstream_drop_requests(struct upstream *u)
{
    while (!TAILQ_EMPTY(&u->requests))
        upstream_cancel(TAILQ_FIRST(&u->requests));
}
