/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_frames.c – nghttp2 set up our way: its callbacks go to the session's side, and bodies
 * leave.
 */
#include "net/http_impl.h"

enum {
    STREAM_WINDOW = 16 << 20, /* never the brake: W (credit) is smaller by default */
    STREAM_REFILL = 4 << 20,
    CALLS_BEFORE_SETTINGS = 16, /* until the server says how many it takes at once */
    RESETS_MAX = 1000,          /* a batch cancelled whole is a few hundred */
};
#define RESETS_INTERVAL_NS (10 * UINT64_C(1000000000))

/* ---- bodies that leave ----------------------------------------------------------------------- */

static size_t pull_whole(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct http_outgoing *o = arg;
    size_t left = buf_size(&o->whole);
    size_t n = left < size ? left : size;

    if (n > 0)
        memcpy(out, buf_peek(&o->whole), n);
    buf_consume(&o->whole, n);
    *ended = n == left;
    return n;
}

struct alb_status http_outgoing_init_whole(struct http_outgoing *o, const void *body, size_t size)
{
    buf_init(&o->whole, size);
    o->source = (struct http_source){pull_whole, o};
    return buf_append(&o->whole, body, size);
}

void http_outgoing_init_source(struct http_outgoing *o, const struct http_source *source)
{
    buf_init(&o->whole, 0);
    o->source = *source;
}

static void give_back(struct http_outgoing *o)
{
    void (*back)(void *arg) = o->loan.back;

    o->loan.back = NULL;
    if (back != NULL)
        back(o->loan.arg);
}

static size_t pull_lent(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct http_outgoing *o = arg;
    size_t left = o->loan.size - o->lent_sent;
    size_t n = left < size ? left : size;

    memcpy(out, o->loan.bytes + o->lent_sent, n);
    o->lent_sent += n;
    *ended = n == left;
    if (*ended)
        give_back(o);
    return n;
}

void http_outgoing_init_lent(struct http_outgoing *o, const struct http_loan *loan)
{
    buf_init(&o->whole, 0);
    o->loan = *loan;
    o->source = (struct http_source){pull_lent, o};
}

void http_outgoing_release(struct http_outgoing *o)
{
    give_back(o);
    buf_release(&o->whole);
}

/* The body goes straight to where it leaves from, s->out, behind the place of its frame's head;
 * on_send_data() fills in the head.  Nothing is appended between the two.
 *
 * The source may cancel the call or close the session from inside: look again afterwards.  What it
 * hung on is only buried, so `o` outlives this turn. */
/* NOLINTNEXTLINE(readability-function-size,readability-non-const-parameter): nghttp2's signature */
static ssize_t on_pull(nghttp2_session *h2, int32_t stream_id, uint8_t *unused, size_t size,
                       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct http_session *s = arg;
    struct http_outgoing *o = source->ptr;
    bool ended = false;
    uint8_t *room;

    (void)unused;
    if (s->is_over)
        return NGHTTP2_ERR_DEFERRED;
    if (nghttp2_session_get_stream_user_data(h2, stream_id) == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (alb_failed(buf_reserve(&s->out, HTTP_FRAME_HEAD + size, &room)))
        return NGHTTP2_ERR_NOMEM;
    size_t n = o->source.pull(o->source.arg, room + HTTP_FRAME_HEAD, size, &ended);
    alb_assert(n <= size);
    if (s->is_over)
        return NGHTTP2_ERR_DEFERRED;
    if (nghttp2_session_get_stream_user_data(h2, stream_id) == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    s->sent_bytes += n;
    o->is_ended = ended;
    if (ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (n > 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return n == 0 && !ended ? NGHTTP2_ERR_DEFERRED : (ssize_t)n;
}

/* PAUSE: one frame for each call of nghttp2_session_mem_send(), so that collect() can stop. */
/* NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's */
static int on_send_data(nghttp2_session *h2, nghttp2_frame *frame, const uint8_t *head, size_t size,
                        nghttp2_data_source *source, void *arg)
{
    struct http_session *s = arg;
    uint8_t *room;

    (void)h2;
    (void)source;
    alb_assert(frame->data.padlen == 0);
    if (alb_failed(buf_reserve(&s->out, HTTP_FRAME_HEAD + size, &room)))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(room, head, HTTP_FRAME_HEAD);
    buf_commit(&s->out, HTTP_FRAME_HEAD + size);
    return NGHTTP2_ERR_PAUSE;
}

/* NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's */
static ssize_t on_frame_size(nghttp2_session *h2, uint8_t type, int32_t stream_id,
                             int32_t session_window, int32_t stream_window, uint32_t frame_max,
                             void *arg)
{
    const struct http_session *s = arg;

    (void)h2;
    (void)type;
    (void)stream_id;
    (void)session_window; /* nghttp2 cuts to the windows itself */
    (void)stream_window;
    (void)frame_max;
    return s->frame_size;
}

nghttp2_data_provider http_outgoing_provider(struct http_outgoing *o)
{
    return (nghttp2_data_provider){.source = {.ptr = o}, .read_callback = on_pull};
}

/* ---- callbacks of nghttp2: shims ------------------------------------------------------------- */

/* What callbacks answer while receiving: once the session is over, nothing more is parsed.  Those
 * that also come while sending answer 0, or the last words would not leave. */
static int verdict(const struct http_session *s)
{
    return s->is_over ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void *message_of(struct http_session *s, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(s->h2, stream_id);
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    struct http_session *s = arg;
    int32_t id = frame->hd.stream_id;

    (void)h2;
    if (!s->is_over && frame->hd.type == NGHTTP2_HEADERS)
        s->side->began(s, id, message_of(s, id));
    return verdict(s);
}

/* NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's */
static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *arg)
{
    struct http_session *s = arg;
    void *message = message_of(s, frame->hd.stream_id);

    (void)h2;
    (void)name_size;
    (void)flags;
    if (!s->is_over && frame->hd.type == NGHTTP2_HEADERS && message != NULL)
        s->side->field(s, message, (const char *)name, (const char *)value, value_size);
    return verdict(s);
}

static void take_goaway(struct http_session *s, const nghttp2_goaway *frame)
{
    if (frame->error_code != NGHTTP2_NO_ERROR)
        http_session_finish(s, alb_fail(ALB_CLOSED, "the other side ended the session in anger"));
    s->is_other_draining = true;
}

static int on_frame_recv(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    struct http_session *s = arg;
    int32_t id = frame->hd.stream_id;

    (void)h2;
    if (s->is_over)
        return verdict(s);
    if (frame->hd.type == NGHTTP2_GOAWAY)
        take_goaway(s, &frame->goaway);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
        http_pace_ping_answered(s, frame->ping.opaque_data);
    if (frame->hd.type == HTTP_STAMP_TYPE)
        http_pace_stamp_came(s, id);
    if (frame->hd.type == NGHTTP2_HEADERS && message_of(s, id) != NULL)
        s->side->head(s, message_of(s, id));
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && message_of(s, id) != NULL)
        s->side->complete(s, message_of(s, id));
    return verdict(s);
}

static int on_data_chunk_recv(nghttp2_session *h2, uint8_t flags, int32_t stream_id,
                              const uint8_t *bytes, size_t size, void *arg)
{
    struct http_session *s = arg;
    void *message = message_of(s, stream_id);

    (void)h2;
    (void)flags;
    if (s->is_over)
        return verdict(s);
    s->received_bytes += size;
    http_frames_refill(s, stream_id);
    if (message != NULL)
        s->side->data(s, message, bytes, size);
    return verdict(s);
}

/* A flood of streams opened only to be reset costs the other side nothing and us a lot
 * (CVE-2023-44487).  nghttp2's own limit reads the clock, so it is counted here. */
static void count_reset(struct http_session *s)
{
    uint64_t now_ns = loop_now_ns(s->stream->loop);

    if (now_ns - s->resets_since_ns > RESETS_INTERVAL_NS) {
        s->resets_since_ns = now_ns;
        s->resets = 0;
    }
    if (++s->resets > RESETS_MAX)
        http_session_finish(s, alb_fail(ALB_REFUSED, "too many streams opened and reset"));
}

static int on_stream_close(nghttp2_session *h2, int32_t stream_id, uint32_t error, void *arg)
{
    struct http_session *s = arg;
    void *message = message_of(s, stream_id);

    (void)h2;
    if (s->is_over)
        return 0;
    if (error == NGHTTP2_FLOW_CONTROL_ERROR)
        http_session_finish(s, alb_fail(ALB_CORRUPT, "more was sent than was granted"));
    if (error != NGHTTP2_NO_ERROR && s->side == &http_server_side)
        count_reset(s);
    if (message != NULL)
        s->side->closed(s, message, error);
    return 0;
}

static int on_before_frame_send(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    (void)h2;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
        http_pace_ping_sent(arg, frame->ping.opaque_data);
    return 0;
}

static int on_frame_send(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    struct http_session *s = arg;
    int32_t id = frame->hd.stream_id;

    (void)h2;
    if (frame->hd.type == NGHTTP2_WINDOW_UPDATE && id == 0)
        http_credit_told(s, frame->window_update.window_size_increment);
    if (frame->hd.type == NGHTTP2_RST_STREAM || frame->hd.type == NGHTTP2_GOAWAY)
        http_credit_told_reset(s);
    if (!s->is_over && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        s->side->sent_last(s, message_of(s, id), id);
    return 0;
}

static int on_frame_not_send(nghttp2_session *h2, const nghttp2_frame *frame, int error, void *arg)
{
    struct http_session *s = arg;

    (void)h2;
    (void)error;
    if (!s->is_over && frame->hd.type == NGHTTP2_HEADERS)
        s->side->unsent(s, frame->hd.stream_id);
    return 0;
}

/* ---- set up ---------------------------------------------------------------------------------- */

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *c = NULL;

    alb_assert(nghttp2_session_callbacks_new(&c) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_before_frame_send_callback(c, on_before_frame_send);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(c, on_frame_size);
    http_pace_set_callbacks(c);
    return c;
}

static nghttp2_option *option_new(void)
{
    nghttp2_option *o = NULL;

    alb_assert(nghttp2_option_new(&o) == 0);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_user_recv_extension_type(o, HTTP_STAMP_TYPE);
    nghttp2_option_set_peer_max_concurrent_streams(o, CALLS_BEFORE_SETTINGS);
    nghttp2_option_set_stream_reset_rate_limit(o, UINT64_MAX, UINT64_MAX); /* count_reset() does */
    return o;
}

static int submit_settings(struct http_session *s)
{
    bool is_server = s->side == &http_server_side;

    s->stream_window = s->is_by_stream ? 0 : STREAM_WINDOW;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, s->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADER_MAX},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, is_server ? s->options.max_exchanges : 0},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };

    /* Only a client may speak of push. */
    return nghttp2_submit_settings(s->h2, NGHTTP2_FLAG_NONE, settings, is_server ? 3 : 4);
}

void http_frames_set_stream_window(struct http_session *s)
{
    s->stream_window = s->is_by_stream ? 0 : STREAM_WINDOW;
    const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, s->stream_window};

    if (nghttp2_submit_settings(s->h2, NGHTTP2_FLAG_NONE, &entry, 1) != 0)
        http_session_finish(s, alb_fail(ALB_FULL, "saying what a stream may send"));
}

struct alb_status http_frames_open(struct http_session *s)
{
    nghttp2_session_callbacks *callbacks = callbacks_new();
    nghttp2_option *option = option_new();
    int rv = s->side == &http_server_side
                 ? nghttp2_session_server_new2(&s->h2, callbacks, s, option)
                 : nghttp2_session_client_new2(&s->h2, callbacks, s, option);

    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (rv != 0 || submit_settings(s) != 0)
        return alb_fail(ALB_FULL, "no memory for an HTTP session");
    return ALB_STATUS_OK;
}

void http_frames_refill(struct http_session *s, int32_t stream_id)
{
    int32_t taken = nghttp2_session_get_stream_effective_recv_data_length(s->h2, stream_id);

    if (s->is_by_stream)
        return; /* http_credit.c counts */
    if (taken >= STREAM_REFILL &&
        nghttp2_submit_window_update(s->h2, NGHTTP2_FLAG_NONE, stream_id, taken) != 0)
        http_session_finish(s, alb_fail(ALB_FULL, "widening a stream's window"));
}
