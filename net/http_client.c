/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_client.c – calls: wait for a place, ask, hear the answer.
 *
 *     started → (waiting) → submitted → head → data… → complete → end
 *
 * Calls beyond what the server takes at once wait here and announce no credit yet.  Whatever ends a
 * call, `end` is heard exactly once, from the loop, unless the call was cancelled.
 */
#include "net/http_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/units.h"

enum { FIELDS_MAX = 64, FIXED_FIELDS = 5, NUMBER_SIZE = 24, FIRST_FINAL_STATUS = 200 };

struct http_call {
    struct http_link link;
    struct http_session *session;
    int32_t stream_id; /* 0 while waiting */
    char *method, *path;
    struct http_fields asked, answered;
    struct http_outgoing body;
    bool has_body, is_body_known;
    size_t body_size;
    uint64_t expect_left;    /* most that the answer may still bring */
    uint64_t announced_left; /* part of the session's credit         */
    bool has_head, is_complete, is_over;
    const struct http_call_ops *ops;
    void *arg;
};

static void call_free(void *arg)
{
    struct http_call *c = arg;

    http_fields_release(&c->asked);
    http_fields_release(&c->answered);
    http_outgoing_release(&c->body);
    free(c->method);
    free(c->path);
    free(c);
}

/* Nothing of nghttp2 or the session points to it after this; the memory lives to the turn's end. */
static void call_detach(struct http_call *c)
{
    struct http_session *s = c->session;

    c->is_over = true;
    if (c->stream_id != 0) {
        (void)nghttp2_session_set_stream_user_data(s->h2, c->stream_id, NULL);
        http_credit_settle(&s->credit, c->announced_left);
        s->submitted--;
    }
    http_link_remove(&c->link);
    http_session_message_died(s);
    loop_bury(s->stream->loop, call_free, c);
}

static void call_end(struct http_call *c, struct alb_status st)
{
    call_detach(c);
    c->ops->end(c->arg, c, st);
}

static void call_break_off(struct http_call *c, struct alb_status st)
{
    (void)nghttp2_submit_rst_stream(c->session->h2, NGHTTP2_FLAG_NONE, c->stream_id,
                                    NGHTTP2_CANCEL);
    call_end(c, st);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static size_t request_fields(const struct http_call *c, nghttp2_nv *out, char *length_text)
{
    const char *at = (const char *)buf_peek(&c->asked.text);
    const char *end = at + buf_size(&c->asked.text);
    const char *address = c->session->stream->address;
    size_t count = 0;

    out[count++] = http_field(":method", c->method);
    out[count++] = http_field(":scheme", "https");
    out[count++] = http_field(":authority", address[0] == '\0' ? "albedo" : address);
    out[count++] = http_field(":path", c->path);
    if (c->is_body_known) {
        (void)snprintf(length_text, NUMBER_SIZE, "%zu", c->body_size);
        out[count++] = http_field("content-length", length_text);
    }
    while (at < end && count < FIELDS_MAX + FIXED_FIELDS) {
        const char *value = at + strlen(at) + 1;

        out[count++] = http_field(at, value);
        at = value + strlen(value) + 1;
    }
    return count;
}

static void submit(struct http_call *c)
{
    struct http_session *s = c->session;
    nghttp2_nv fields[FIELDS_MAX + FIXED_FIELDS];
    char length_text[NUMBER_SIZE];
    size_t count = request_fields(c, fields, length_text);
    nghttp2_data_provider provider = http_outgoing_provider(&c->body);
    int32_t id =
        nghttp2_submit_request(s->h2, NULL, fields, count, c->has_body ? &provider : NULL, c);

    if (id < 0) { /* stream ids are used up after 2^30 calls, or there is no memory */
        http_session_drain(s);
        call_end(c, alb_fail(ALB_CLOSED, "the session takes no more calls"));
        return;
    }
    c->stream_id = id;
    s->submitted++;
    http_link_remove(&c->link);
    http_link_append(&s->messages, &c->link);
    c->announced_left = c->expect_left + 1;
    http_credit_announce(&s->credit, c->announced_left);
}

static uint32_t places(const struct http_session *s)
{
    return nghttp2_session_get_remote_settings(s->h2, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

static void client_feed(struct http_session *s)
{
    while (!s->is_over && !s->is_other_draining && s->waiting.next != &s->waiting &&
           s->submitted < places(s))
        submit(ALB_CONTAINER(s->waiting.next, struct http_call, link));
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void call_began(struct http_session *s, int32_t stream_id, void *message)
{
    struct http_call *c = message;

    (void)s;
    (void)stream_id;
    if (c != NULL && !c->has_head)
        buf_clear(&c->answered.text);
}

static void call_field(struct http_session *s, void *message, const char *name, const char *value,
                       size_t value_size)
{
    struct http_call *c = message;

    (void)s;
    if (!c->has_head && alb_failed(http_fields_add(&c->answered, name, value, value_size)))
        call_break_off(c, alb_fail(ALB_CORRUPT, "an answer with too many header fields"));
}

static void call_head(struct http_session *s, void *message)
{
    struct http_call *c = message;
    const char *text = http_fields_find(&c->answered, ":status");
    uint64_t status;

    (void)s;
    if (c->has_head || text == NULL || alb_failed(parse_u64(text, 999, &status)) ||
        status < FIRST_FINAL_STATUS)
        return; /* trailers, or an interim answer: the real one follows */
    c->has_head = true;
    if (c->ops->head != NULL)
        c->ops->head(c->arg, c, (unsigned)status);
}

static void call_data(struct http_session *s, void *message, const uint8_t *bytes, size_t size)
{
    struct http_call *c = message;

    if (size > c->expect_left) {
        call_break_off(c, alb_fail(ALB_CORRUPT, "the answer is larger than what was asked for"));
        return;
    }
    c->expect_left -= size;
    c->announced_left -= size;
    http_credit_settle(&s->credit, size);
    if (c->ops->data != NULL)
        c->ops->data(c->arg, c, bytes, size);
}

static void call_complete(struct http_session *s, void *message)
{
    struct http_call *c = message;

    http_credit_settle(&s->credit, c->announced_left);
    c->announced_left = 0;
    c->is_complete = true;
    if (c->has_body &&
        !c->body.is_ended) /* answered early: the rest of the body interests nobody */
        (void)nghttp2_submit_rst_stream(s->h2, NGHTTP2_FLAG_NONE, c->stream_id, NGHTTP2_CANCEL);
}

static void call_closed(struct http_session *s, void *message, uint32_t error)
{
    struct http_call *c = message;

    (void)s;
    if (c->is_complete)
        call_end(c, ALB_STATUS_OK);
    else if (error == NGHTTP2_REFUSED_STREAM)
        call_end(c, alb_fail(ALB_CLOSED, "the other side did not take the call"));
    else if (error == NGHTTP2_PROTOCOL_ERROR)
        call_end(c, alb_fail(ALB_CORRUPT, "an answer that breaks the rules of HTTP"));
    else
        call_end(c, alb_fail(ALB_CLOSED, "the answer was broken off"));
}

static void call_sent_last(struct http_session *s, void *message, int32_t stream_id)
{
    (void)s;
    (void)message;
    (void)stream_id;
}

/* The request's head never left (the other side drains), so there is no stream that could close. */
static void call_unsent(struct http_session *s, int32_t stream_id)
{
    for (struct http_link *l = s->messages.next; l != &s->messages; l = l->next) {
        struct http_call *c = ALB_CONTAINER(l, struct http_call, link);

        if (c->stream_id == stream_id) {
            call_end(c, alb_fail(ALB_CLOSED, "the other side takes no more calls"));
            return;
        }
    }
}

static void client_opened(struct http_session *s)
{
    if (s->ops.client->opened != NULL)
        s->ops.client->opened(s->arg, s);
}

static void end_all(struct http_session *s, struct http_link *ring)
{
    struct http_link mine;

    /* What is started meanwhile joins the session's ring, not this one. */
    http_link_init(&mine);
    while (ring->next != ring) {
        struct http_link *l = ring->next;

        http_link_remove(l);
        http_link_append(&mine, l);
    }
    while (mine.next != &mine)
        call_end(ALB_CONTAINER(mine.next, struct http_call, link), s->status);
}

static int32_t call_expects(struct http_link *message, uint64_t *left)
{
    const struct http_call *c = ALB_CONTAINER(message, struct http_call, link);

    *left = c->announced_left;
    return c->stream_id;
}

static void call_is_taken_back(struct http_link *message, struct alb_status st)
{
    call_break_off(ALB_CONTAINER(message, struct http_call, link), st);
}

static void client_bereave(struct http_session *s)
{
    end_all(s, &s->messages);
    end_all(s, &s->waiting);
}

static void client_farewell(struct http_session *s)
{
    if (s->ops.client->closed != NULL)
        s->ops.client->closed(s->arg, s, s->status);
}

const struct http_side http_client_side = {
    .began = call_began,
    .field = call_field,
    .head = call_head,
    .data = call_data,
    .complete = call_complete,
    .sent_last = call_sent_last,
    .closed = call_closed,
    .unsent = call_unsent,
    .feed = client_feed,
    .opened = client_opened,
    .expects = call_expects,
    .break_off = call_is_taken_back,
    .bereave = client_bereave,
    .farewell = client_farewell,
};

/* ---- public ---------------------------------------------------------------------------------- */

struct http_session *http_connect(struct stream *stream, const struct http_session_options *options,
                                  const struct http_client_ops *ops, void *arg)
{
    struct http_session *s = http_session_new(stream, options, &http_client_side, arg);

    s->ops.client = ops;
    return s;
}

static void copy_request(struct http_call *c, const struct http_call_options *options)
{
    c->method = xstrdup(options->method);
    c->path = xstrdup(options->path);
    alb_assert(options->header_count <= FIELDS_MAX);
    for (size_t i = 0; i < options->header_count; i++) {
        const struct http_header *h = &options->headers[i];
        bool fits = !alb_failed(http_fields_add(&c->asked, h->name, h->value, strlen(h->value)));

        alb_assert(fits); /* ours to keep small */
    }
}

struct http_call *http_call_start(struct http_session *s, const struct http_call_options *options,
                                  const struct http_call_ops *ops, void *arg)
{
    struct http_call *c = xalloc(sizeof(*c));

    *c = (struct http_call){.session = s, .ops = ops, .arg = arg};
    http_fields_init(&c->asked);
    http_fields_init(&c->answered);
    copy_request(c, options);
    c->expect_left = options->expect_bytes < HTTP_BODY_MAX ? options->expect_bytes : HTTP_BODY_MAX;
    c->body_size = options->body_size;
    c->is_body_known = options->body_size > 0;
    c->has_body = options->source.pull != NULL || options->body_size > 0;
    if (options->source.pull != NULL)
        http_outgoing_init_source(&c->body, &options->source);
    else if (alb_failed(http_outgoing_init_whole(&c->body, options->body, options->body_size)))
        alb_assert(!"no memory for a request's body");
    http_link_append(&s->waiting, &c->link);
    http_session_message_born(s);
    http_session_wake(s);
    return c;
}

void http_call_resume(struct http_call *c)
{
    if (c->stream_id == 0 || c->is_over || c->session->is_over)
        return;
    (void)nghttp2_session_resume_data(c->session->h2, c->stream_id);
    http_session_wake(c->session);
}

void http_call_cancel(struct http_call *c)
{
    if (c == NULL || c->is_over)
        return;
    if (c->stream_id != 0)
        (void)nghttp2_submit_rst_stream(c->session->h2, NGHTTP2_FLAG_NONE, c->stream_id,
                                        NGHTTP2_CANCEL);
    http_session_wake(c->session);
    call_detach(c);
}
