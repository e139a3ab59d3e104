/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_session.c – a session's pump, its watch over a silent other side, and its one road of
 * death.
 */
#include "net/http_impl.h"

#include "base/alloc.h"
#include "base/units.h"

enum {
    OUT_WATER = 48 << 10,  /* collect frames up to here, then write: three full records; with DATA
                              frames that are smaller than they could be, up to one of them    */
    OUT_LIMIT = 256 << 10, /* one more frame always fits                 */
    OUT_KEPT = 8 << 10,    /* by a session that has nothing under way    */
    READ_SIZE = 16 << 10,  /* one TLS record                             */
    QUEUE_MAX = 512,       /* control frames waiting: stop reading then  */
    LAST_WORDS = 512,      /* where no gate counts them any more         */
    TURN_STEPS = 64,       /* then other sessions have their turn        */
    TURN_BYTES = 256 << 10,
    EXCHANGES_DEFAULT = 64,
    LATE_SWEEPS = 8,
};
#define DEAD_DEFAULT_NS (20 * NS_PER_S)

static void on_stream_ready(void *arg);
static void on_again(void *arg);
static void on_watch(void *arg);
static void pump(struct http_session *s);
static bool begin(struct http_session *s);
static size_t collect(struct http_session *s);
static size_t flush(struct http_session *s);
static size_t fill(struct http_session *s);
static void end_when_empty(struct http_session *s);
static void shrink(struct http_session *s);
static void watch(struct http_session *s);
static void die(struct http_session *s);
static void say_goodbye(struct http_session *s);
static void session_free(void *arg);

struct http_session *http_session_new(struct stream *stream,
                                      const struct http_session_options *options,
                                      const struct http_side *side, void *arg)
{
    struct http_session *s = xalloc(sizeof(*s));
    uint64_t now_ns = loop_now_ns(stream->loop);

    *s = (struct http_session){.side = side, .stream = stream, .arg = arg};
    if (options != NULL)
        s->options = *options;
    if (s->options.max_exchanges == 0)
        s->options.max_exchanges = EXCHANGES_DEFAULT;
    if (s->options.dead_timeout_ns == 0)
        s->options.dead_timeout_ns = DEAD_DEFAULT_NS;
    http_credit_open(s);
    http_session_set_frame_size(s, 0);
    buf_init(&s->out, OUT_LIMIT);
    timer_init(&s->again, stream->loop, on_again, s);
    timer_init(&s->watch, stream->loop, on_watch, s);
    http_link_init(&s->messages);
    http_link_init(&s->waiting);
    s->heard_ns = s->idle_since_ns = s->resets_since_ns = now_ns;
    stream_on_ready(stream, on_stream_ready, s);
    http_session_wake(s);
    return s;
}

void http_session_wake(struct http_session *s)
{
    if (!timer_is_set(&s->again))
        timer_set_in(&s->again, 0);
}

void http_session_finish(struct http_session *s, struct alb_status st)
{
    if (s->is_over)
        return;
    s->is_over = true;
    s->status = st;
    http_session_wake(s);
}

void http_session_message_born(struct http_session *s)
{
    s->open++;
}

void http_session_message_died(struct http_session *s)
{
    alb_assert(s->open > 0);
    if (--s->open > 0 || s->is_over)
        return;
    s->idle_since_ns = loop_now_ns(s->stream->loop);
    if (s->is_begun && s->options.idle_timeout_ns != 0)
        watch(s);
    if (s->is_draining || s->is_other_draining)
        http_session_wake(s);
}

/* ---- entries from the loop ------------------------------------------------------------------- */

static void on_stream_ready(void *arg)
{
    struct http_session *s = arg;

    s->is_read_blocked = false;
    s->is_write_blocked = false;
    pump(s);
}

static void on_again(void *arg)
{
    struct http_session *s = arg;

    pump(s);
}

static void on_watch(void *arg)
{
    struct http_session *s = arg;

    watch(s);
}

/* ---- the pump -------------------------------------------------------------------------------- */

/* Output first, input last: the order is the back-pressure. */
static size_t step(struct http_session *s)
{
    s->side->feed(s);
    http_credit_grant(s);
    return collect(s) + flush(s) + fill(s);
}

static void pump(struct http_session *s)
{
    size_t moved = 0;

    if (!s->is_over && !s->is_begun && !begin(s) && !s->is_over)
        return;
    for (unsigned i = 0; !s->is_over; i++) {
        size_t n = step(s);

        end_when_empty(s);
        if (n == 0) {
            shrink(s);
            break;
        }
        moved += n;
        if (i == TURN_STEPS || moved >= TURN_BYTES) {
            http_session_wake(s);
            return;
        }
    }
    if (s->is_over)
        die(s);
}

/* Has the stream opened?  Then there is an HTTP session on it from now on. */
static bool begin(struct http_session *s)
{
    if (!stream_is_open(s->stream)) {
        if (alb_failed(stream_status(s->stream)))
            http_session_finish(s, stream_status(s->stream));
        return false;
    }
    struct alb_status st = http_frames_open(s);
    if (alb_failed(st)) {
        http_session_finish(s, st);
        return false;
    }
    s->is_begun = true;
    s->heard_ns = s->idle_since_ns = loop_now_ns(s->stream->loop);
    watch(s);
    s->side->opened(s);
    return true;
}

/* A frame or a few to the end of `out`: a body is there already (http_frames.c), the rest is
 * appended. */
static bool collect_some(struct http_session *s)
{
    const uint8_t *bytes;
    ssize_t n = nghttp2_session_mem_send(s->h2, &bytes);

    return n >= 0 && !alb_failed(buf_append(&s->out, bytes, (size_t)n));
}

static size_t collect(struct http_session *s)
{
    size_t water = s->frame_size < HTTP_DATA_SIZE ? s->frame_size : OUT_WATER;
    size_t before = buf_size(&s->out);
    size_t held = before;

    while (!s->is_over && held < water) {
        if (!collect_some(s))
            http_session_finish(s, alb_fail(ALB_FULL, "preparing frames"));
        if (buf_size(&s->out) == held)
            break;
        held = buf_size(&s->out);
    }
    return held - before;
}

static void note_held(struct http_session *s, bool is_held)
{
    if (s->is_held && !is_held)
        s->let_go_ns = loop_now_ns(s->stream->loop);
    s->is_held = is_held;
}

static size_t flush(struct http_session *s)
{
    size_t moved = 0;

    if (s->is_over || s->is_write_blocked || buf_size(&s->out) == 0)
        return 0;
    switch (stream_write(s->stream, buf_peek(&s->out), buf_size(&s->out), &moved)) {
    case STREAM_MOVED:
        note_held(s, false);
        buf_consume(&s->out, moved);
        s->flushed_bytes += moved;
        http_pace_flushed(s);
        return moved;
    case STREAM_BLOCKED:
        note_held(s, stream_is_held(s->stream));
        s->is_write_blocked = true;
        return 0;
    case STREAM_ENDED:
        http_session_finish(s, alb_fail(ALB_CLOSED, "the other side closed the connection"));
        return 0;
    case STREAM_FAILED: http_session_finish(s, stream_status(s->stream)); return 0;
    }
    alb_unreachable();
}

/* Whoever makes us answer (PING, SETTINGS, resets) without reading what we say must wait; bodies do
 * not count, or two sides that both send much would wait for each other.  And a session that only
 * has to say why it ends reads nothing more: the watch closes it should nobody listen. */
static bool is_deaf(const struct http_session *s)
{
    if (s->is_write_blocked && nghttp2_session_get_outbound_queue_size(s->h2) > QUEUE_MAX)
        return true;
    return nghttp2_session_want_read(s->h2) == 0;
}

static void take(struct http_session *s, const uint8_t *bytes, size_t size)
{
    s->heard_ns = loop_now_ns(s->stream->loop);
    ssize_t n = nghttp2_session_mem_recv(s->h2, bytes, size);
    if (n < 0)
        http_session_finish(s, n == NGHTTP2_ERR_NOMEM
                                   ? alb_fail(ALB_FULL, "taking frames")
                                   : alb_fail(ALB_CORRUPT, "the other side does not speak HTTP/2"));
}

static size_t fill(struct http_session *s)
{
    uint8_t bytes[READ_SIZE];
    size_t moved = 0;

    if (s->is_over || s->is_read_blocked || is_deaf(s))
        return 0;
    switch (stream_read(s->stream, bytes, sizeof(bytes), &moved)) {
    case STREAM_MOVED: take(s, bytes, moved); return moved;
    case STREAM_BLOCKED: s->is_read_blocked = true; return 0;
    case STREAM_ENDED:
        http_session_finish(s, alb_fail(ALB_CLOSED, "the other side closed the connection"));
        return 0;
    case STREAM_FAILED: http_session_finish(s, stream_status(s->stream)); return 0;
    }
    alb_unreachable();
}

/* All is said: was that the last of it? */
static void end_when_empty(struct http_session *s)
{
    if (s->is_over || buf_size(&s->out) > 0 || nghttp2_session_want_write(s->h2) != 0)
        return;
    if (s->is_draining && s->open == 0)
        http_session_finish(s, alb_fail(ALB_CLOSED, "drained"));
    else if (s->is_other_draining && nghttp2_session_want_read(s->h2) == 0)
        http_session_finish(s, alb_fail(ALB_CLOSED, "the other side drained the session"));
    else if (!s->is_draining && nghttp2_session_want_read(s->h2) == 0)
        http_session_finish(s, alb_fail(ALB_CORRUPT, "the other side broke the rules of HTTP/2"));
}

/* There may be thousands of sessions, and few that serve at a time. */
static void shrink(struct http_session *s)
{
    if (s->open == 0 && buf_size(&s->out) == 0 && s->out.capacity > OUT_KEPT)
        buf_release(&s->out);
}

/* ---- the watch ------------------------------------------------------------------------------- */

static uint64_t sooner(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

static uint64_t later(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns > b_ns ? a_ns : b_ns;
}

/* Half the time in silence: ask.  All of it: dead.  Set lazily: what is heard moves no timer.
 * While our own gate keeps the question back, nobody can answer it. */
static uint64_t watch_silence(struct http_session *s, uint64_t now_ns)
{
    uint64_t since_ns = later(s->heard_ns, http_session_held_until_ns(s));
    uint64_t dead_ns = since_ns + s->options.dead_timeout_ns;
    uint64_t ask_ns = s->heard_ns + s->options.dead_timeout_ns / 2;

    if (now_ns >= dead_ns)
        http_session_finish(s, alb_fail(ALB_TIMEOUT, "the other side is silent"));
    if (s->pinged_ns > s->heard_ns || now_ns < ask_ns)
        return s->pinged_ns > s->heard_ns ? dead_ns : ask_ns;
    if (nghttp2_submit_ping(s->h2, NGHTTP2_FLAG_NONE, NULL) != 0)
        http_session_finish(s, alb_fail(ALB_FULL, "asking for a sign of life"));
    s->pinged_ns = now_ns;
    http_session_wake(s);
    return dead_ns;
}

static uint64_t watch_idleness(struct http_session *s, uint64_t now_ns)
{
    uint64_t at_ns = s->idle_since_ns + s->options.idle_timeout_ns;

    if (s->open > 0 || s->options.idle_timeout_ns == 0)
        return UINT64_MAX;
    if (now_ns >= at_ns)
        http_session_finish(s, alb_fail(ALB_CLOSED, "idle"));
    return at_ns;
}

static void watch(struct http_session *s)
{
    uint64_t now_ns = loop_now_ns(s->stream->loop);

    if (s->is_over)
        return;
    uint64_t at_ns = sooner(watch_silence(s, now_ns), watch_idleness(s, now_ns));
    if (!s->is_over)
        timer_set(&s->watch, at_ns);
}

/* ---- death ----------------------------------------------------------------------------------- */

static void die(struct http_session *s)
{
    timer_stop(&s->again);
    timer_stop(&s->watch);
    /* What is started on a session that is over hears its end too, but to do that again and again
     * is a mistake of the caller's that would never end: see http_session_is_open(). */
    for (unsigned i = 0; s->open > 0; i++) {
        alb_assert(i < LATE_SWEEPS);
        s->side->bereave(s);
    }
    say_goodbye(s);
    /* The gates may go with what hears of the end. */
    http_session_use_credit_gate(s, NULL);
    stream_use_gate(s->stream, NULL);
    s->side->farewell(s);
    timer_stop(&s->again);
    s->stream = stream_free(s->stream);
    loop_bury(s->again.loop, session_free, s);
}

/* Best effort: tell why, if it can be told at once.  Bodies that waited for a gate that was taken
 * away do not leave now, beside every limit, and nothing can be said behind them. */
static void say_goodbye(struct http_session *s)
{
    uint32_t why = s->status.code == ALB_CORRUPT   ? NGHTTP2_PROTOCOL_ERROR
                   : s->status.code == ALB_REFUSED ? NGHTTP2_ENHANCE_YOUR_CALM
                                                   : NGHTTP2_NO_ERROR;
    size_t moved;

    if (s->h2 == NULL || alb_failed(stream_status(s->stream)) ||
        nghttp2_session_terminate_session(s->h2, why) != 0)
        return;
    for (unsigned i = 0; i < TURN_STEPS && buf_size(&s->out) < OUT_WATER; i++) {
        size_t held = buf_size(&s->out);
        if (!collect_some(s) || buf_size(&s->out) == held)
            break;
    }
    const bool is_counted = s->stream->gate != &s->stream->open_gate;
    if (buf_size(&s->out) > 0 && (is_counted || buf_size(&s->out) <= LAST_WORDS))
        (void)stream_write(s->stream, buf_peek(&s->out), buf_size(&s->out), &moved);
}

static void session_free(void *arg)
{
    struct http_session *s = arg;

    nghttp2_session_del(s->h2);
    buf_release(&s->out);
    free(s);
}

/* ---- public, for both sides ------------------------------------------------------------------ */

struct stream *http_session_stream(struct http_session *s)
{
    return s->stream;
}

void http_session_set_user(struct http_session *s, void *user)
{
    s->user = user;
}

void *http_session_user(const struct http_session *s)
{
    return s->user;
}

bool http_session_is_open(const struct http_session *s)
{
    return !s->is_over && !s->is_draining && !s->is_other_draining;
}

void http_session_drain(struct http_session *s)
{
    if (s->is_over || s->is_draining)
        return;
    s->is_draining = true;
    if (s->h2 != NULL && s->side == &http_server_side)
        (void)nghttp2_submit_goaway(s->h2, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(s->h2),
                                    NGHTTP2_NO_ERROR, NULL, 0);
    http_session_wake(s);
}

void http_session_close(struct http_session *s)
{
    http_session_finish(s, alb_fail(ALB_CLOSED, "closed here"));
}

uint64_t http_session_held_until_ns(const struct http_session *s)
{
    const bool is_starved =
        s->is_credit_awaited && http_session_outstanding_bytes(s) < http_credit_least(&s->credit);

    return s->is_held || is_starved ? loop_now_ns(s->stream->loop) : s->let_go_ns;
}

void http_session_set_window(struct http_session *s, uint64_t window_bytes)
{
    http_credit_set_window(&s->credit, window_bytes);
    http_session_wake(s);
}

void http_session_counts(const struct http_session *s, uint64_t *received, uint64_t *sent)
{
    *received = s->received_bytes;
    *sent = s->sent_bytes;
}
