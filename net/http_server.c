/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_server.c – exchanges: a request comes in, an answer goes out, in whatever order they
 * end.
 *
 *     began → field… → head → data… → complete → (answer leaves) → closed
 *
 * An answer may begin at any point after `head`; what still comes of the body is then thrown away.
 * When the answer has left first, the other side should stop by itself; after a while it is told to
 * (RST_STREAM with NO_ERROR; at once would make curl 7.88 lose the answer).
 */
#include "net/http_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/units.h"

#define STOP_AFTER_NS NS_PER_S

enum { STATUS_HEAD_TOO_LARGE = 431, STATUS_BODY_TOO_LARGE = 413, NUMBER_SIZE = 24 };

struct http_exchange {
    struct http_link link;
    struct http_session *session;
    int32_t stream_id;
    struct http_fields fields;
    char *path; /* up to the '?', which is overwritten; the query is what follows */
    const char *query;
    struct buf body;
    uint64_t body_left;      /* most that may still come           */
    uint64_t announced_left; /* part of the session's credit       */
    struct http_outgoing answer;
    bool is_headed; /* the owner knows about it           */
    bool is_head_too_large;
    bool is_complete; /* the request's half is over         */
    bool is_answered;
    bool is_aborted;
    unsigned retry_after_s; /* 0: the answer says nothing of it */
    struct timer stop;      /* answered, but the body still comes       */
    void *user;
};

static void on_stop(void *arg);

static void exchange_free(void *arg)
{
    struct http_exchange *x = arg;

    http_fields_release(&x->fields);
    http_outgoing_release(&x->answer);
    buf_release(&x->body);
    free(x->path);
    free(x);
}

static void settle(struct http_exchange *x, uint64_t bytes)
{
    if (bytes > x->announced_left)
        bytes = x->announced_left;
    x->announced_left -= bytes;
    http_credit_settle(&x->session->credit, bytes);
}

/* ---- a request comes in ---------------------------------------------------------------------- */

static void exchange_begin(struct http_session *s, int32_t stream_id, void *message)
{
    if (message != NULL)
        return; /* trailers */
    struct http_exchange *x = xalloc(sizeof(*x));
    x->session = s;
    x->stream_id = stream_id;
    http_fields_init(&x->fields);
    buf_init(&x->body, 0);
    buf_init(&x->answer.whole, 0);
    timer_init(&x->stop, s->stream->loop, on_stop, x);
    http_link_append(&s->messages, &x->link);
    http_session_message_born(s);
    (void)nghttp2_session_set_stream_user_data(s->h2, stream_id, x);
}

static void exchange_field(struct http_session *s, void *message, const char *name,
                           const char *value, size_t value_size)
{
    struct http_exchange *x = message;

    (void)s;
    if (!x->is_headed && alb_failed(http_fields_add(&x->fields, name, value, value_size)))
        x->is_head_too_large = true;
}

static void split_path(struct http_exchange *x)
{
    const char *whole = http_fields_find(&x->fields, ":path");

    x->path = xstrdup(whole == NULL ? "" : whole);
    char *mark = strchr(x->path, '?');
    x->query = mark == NULL ? "" : mark + 1;
    if (mark != NULL)
        *mark = '\0';
}

static void refuse_body(struct http_exchange *x)
{
    static const char text[] = "the body is larger than this request may have\n";

    http_answer(x, STATUS_BODY_TOO_LARGE, "text/plain", text, sizeof(text) - 1);
}

/* Does the request say how long its body is?  nghttp2 holds it to that. */
static bool says_length(const struct http_exchange *x, uint64_t *out)
{
    const char *text = http_fields_find(&x->fields, "content-length");

    return text != NULL && !alb_failed(parse_u64(text, UINT64_MAX, out));
}

static void expect_body(struct http_exchange *x, uint64_t limit)
{
    uint64_t length;

    if (limit > HTTP_BODY_MAX)
        limit = HTTP_BODY_MAX;
    if (!says_length(x, &length))
        length = limit + 1;
    else if (length > limit) {
        refuse_body(x);
        return;
    }
    x->body_left = limit;
    x->announced_left = length;
    http_credit_announce(&x->session->credit, length);
    buf_init(&x->body, (size_t)limit);
}

static void exchange_head(struct http_session *s, void *message)
{
    struct http_exchange *x = message;
    static const char too_large[] = "the header fields are larger than a request may have\n";

    if (x->is_headed || x->is_answered)
        return;
    split_path(x);
    if (x->is_head_too_large) {
        http_answer(x, STATUS_HEAD_TOO_LARGE, "text/plain", too_large, sizeof(too_large) - 1);
        return;
    }
    x->is_headed = true;
    uint64_t limit = s->ops.server->head(s->arg, x);
    if (!s->is_over && !x->is_answered && !x->is_aborted)
        expect_body(x, limit);
}

static void exchange_data(struct http_session *s, void *message, const uint8_t *bytes, size_t size)
{
    struct http_exchange *x = message;

    (void)s;
    settle(x, size);
    if (x->is_answered || x->is_aborted)
        return;
    if (size > x->body_left || alb_failed(buf_append(&x->body, bytes, size))) {
        refuse_body(x);
        return;
    }
    x->body_left -= size;
}

static void exchange_complete(struct http_session *s, void *message)
{
    struct http_exchange *x = message;

    x->is_complete = true;
    settle(x, x->announced_left);
    if (x->is_headed && !x->is_answered && !x->is_aborted)
        s->ops.server->request(s->arg, x);
}

/* ---- its end --------------------------------------------------------------------------------- */

static void on_stop(void *arg)
{
    struct http_exchange *x = arg;

    (void)nghttp2_submit_rst_stream(x->session->h2, NGHTTP2_FLAG_NONE, x->stream_id,
                                    NGHTTP2_NO_ERROR);
    http_session_wake(x->session);
}

static void exchange_sent_last(struct http_session *s, void *message, int32_t stream_id)
{
    struct http_exchange *x = message;

    (void)s;
    (void)stream_id;
    if (x != NULL && !x->is_complete)
        timer_set_in(&x->stop, STOP_AFTER_NS);
}

static void exchange_end(struct http_exchange *x)
{
    struct http_session *s = x->session;

    if (s->h2 != NULL)
        (void)nghttp2_session_set_stream_user_data(s->h2, x->stream_id, NULL);
    settle(x, x->announced_left);
    timer_stop(&x->stop);
    http_link_remove(&x->link);
    http_session_message_died(s);
    x->is_answered = true;
    if (x->is_headed)
        s->ops.server->closed(s->arg, x);
    loop_bury(s->stream->loop, exchange_free, x);
}

static void exchange_closed(struct http_session *s, void *message, uint32_t error)
{
    (void)s;
    (void)error;
    exchange_end(message);
}

static void exchange_unsent(struct http_session *s, int32_t stream_id)
{
    /* An answer's head that is refused (say, too large) must not leave the other side waiting. */
    (void)nghttp2_submit_rst_stream(s->h2, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_INTERNAL_ERROR);
}

static int32_t exchange_expects(struct http_link *message, uint64_t *left)
{
    const struct http_exchange *x = ALB_CONTAINER(message, struct http_exchange, link);

    *left = x->announced_left;
    return x->stream_id;
}

static void server_nothing(struct http_session *s)
{
    (void)s;
}

static void server_bereave(struct http_session *s)
{
    while (s->messages.next != &s->messages)
        exchange_end(ALB_CONTAINER(s->messages.next, struct http_exchange, link));
}

static void server_farewell(struct http_session *s)
{
    if (s->ops.server->session_closed != NULL)
        s->ops.server->session_closed(s->arg, s, s->status);
}

const struct http_side http_server_side = {
    .began = exchange_begin,
    .field = exchange_field,
    .head = exchange_head,
    .data = exchange_data,
    .complete = exchange_complete,
    .sent_last = exchange_sent_last,
    .closed = exchange_closed,
    .unsent = exchange_unsent,
    .feed = server_nothing,
    .opened = server_nothing,
    .expects = exchange_expects,
    .bereave = server_bereave,
    .farewell = server_farewell,
};

/* ---- public ---------------------------------------------------------------------------------- */

struct http_session *http_serve(struct stream *stream, const struct http_session_options *options,
                                const struct http_server_ops *ops, void *arg)
{
    struct http_session *s = http_session_new(stream, options, &http_server_side, arg);

    s->ops.server = ops;
    return s;
}

const char *http_exchange_method(const struct http_exchange *x)
{
    const char *method = http_fields_find(&x->fields, ":method");

    return method == NULL ? "" : method;
}

const char *http_exchange_path(const struct http_exchange *x)
{
    return x->path;
}

const char *http_exchange_query(const struct http_exchange *x)
{
    return x->query;
}

const char *http_exchange_header(const struct http_exchange *x, const char *name)
{
    return http_fields_find(&x->fields, name);
}

struct buf *http_exchange_body(struct http_exchange *x)
{
    return &x->body;
}

struct http_session *http_exchange_session(struct http_exchange *x)
{
    return x->session;
}

void http_exchange_set_user(struct http_exchange *x, void *user)
{
    x->user = user;
}

void *http_exchange_user(const struct http_exchange *x)
{
    return x->user;
}

void http_exchange_retry_after(struct http_exchange *x, unsigned seconds)
{
    x->retry_after_s = seconds;
}

/* Submit the head; `length_text` NULL: not known yet.  The body follows unless there is none. */
static void submit_answer(struct http_exchange *x, unsigned status, const char *content_type,
                          const char *length_text, bool has_body)
{
    struct http_session *s = x->session;
    char status_text[NUMBER_SIZE], retry_text[NUMBER_SIZE];
    nghttp2_nv fields[4];
    size_t count = 0;

    (void)snprintf(status_text, sizeof(status_text), "%u", status);
    fields[count++] = http_field(":status", status_text);
    if (content_type != NULL)
        fields[count++] = http_field("content-type", content_type);
    if (length_text != NULL)
        fields[count++] = http_field("content-length", length_text);
    (void)snprintf(retry_text, sizeof(retry_text), "%u", x->retry_after_s);
    if (x->retry_after_s != 0)
        fields[count++] = http_field("retry-after", retry_text);
    nghttp2_data_provider provider = http_outgoing_provider(&x->answer);
    settle(x, x->announced_left);
    if (nghttp2_submit_response(s->h2, x->stream_id, fields, count, has_body ? &provider : NULL) !=
        0)
        http_session_finish(s, alb_fail(ALB_FULL, "no memory for an answer"));
    http_session_wake(s);
}

static bool may_be_answered(const struct http_exchange *x)
{
    return !x->is_answered && !x->is_aborted && !x->session->is_over;
}

static bool has_body(const struct http_exchange *x, size_t size)
{
    return size > 0 && strcmp(http_exchange_method(x), "HEAD") != 0;
}

/* RFC 9110: 1xx, 204 and 304 carry no length of a body of theirs. */
static void submit_whole(struct http_exchange *x, unsigned status, const char *content_type,
                         size_t size)
{
    char length_text[NUMBER_SIZE];

    (void)snprintf(length_text, sizeof(length_text), "%zu", size);
    submit_answer(x, status, content_type, status == 204 || status == 304 ? NULL : length_text,
                  has_body(x, size));
}

void http_answer(struct http_exchange *x, unsigned status, const char *content_type,
                 const void *body, size_t size)
{
    if (!may_be_answered(x))
        return;
    x->is_answered = true;
    if (alb_failed(http_outgoing_init_whole(&x->answer, body, has_body(x, size) ? size : 0)))
        http_exchange_abort(x);
    else
        submit_whole(x, status, content_type, size);
}

void http_answer_lent(struct http_exchange *x, unsigned status, const char *content_type,
                      const struct http_loan *loan)
{
    if (!may_be_answered(x)) {
        loan->back(loan->arg);
        return;
    }
    x->is_answered = true;
    http_outgoing_init_lent(&x->answer, loan);
    submit_whole(x, status, content_type, loan->size);
}

void http_answer_stream(struct http_exchange *x, unsigned status, const char *content_type,
                        const struct http_source *source)
{
    if (!may_be_answered(x))
        return;
    x->is_answered = true;
    http_outgoing_init_source(&x->answer, source);
    submit_answer(x, status, content_type, NULL, strcmp(http_exchange_method(x), "HEAD") != 0);
}

void http_exchange_resume(struct http_exchange *x)
{
    if (x->session->is_over || x->is_aborted)
        return;
    (void)nghttp2_session_resume_data(x->session->h2, x->stream_id);
    http_session_wake(x->session);
}

void http_exchange_abort(struct http_exchange *x)
{
    struct http_session *s = x->session;

    if (x->is_aborted || s->is_over)
        return;
    x->is_aborted = true;
    settle(x, x->announced_left);
    (void)nghttp2_submit_rst_stream(s->h2, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_INTERNAL_ERROR);
    http_session_wake(s);
}
