/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_pace.c – what the shaper sets on a session, and the two frames it measures with. */
#include "net/http_pace.h"

#include <string.h>

#include "base/units.h"
#include "net/http_impl.h"

enum {
    FRAME_LEAST = 1400, /* one segment's worth */
    FRAMES_PER_S = 250, /* one each 4 ms       */
    PING_SIZE = 17,     /* with the frame's head */
};

/* ---- credit ---------------------------------------------------------------------------------- */

void http_session_use_credit_gate(struct http_session *s, struct gate *gate)
{
    http_credit_forget_gate(s);
    s->credit_gate = gate;
    http_session_wake(s);
}

void http_session_set_quantum(struct http_session *s, uint64_t bytes)
{
    s->credit.quantum_bytes = bytes;
    http_session_wake(s);
}

void http_session_revoke_credit(struct http_session *s)
{
    if (s->is_over)
        return;
    s->is_breaking_off = s->is_by_stream;
    if (!s->is_by_stream) {
        s->is_by_stream = true;
        if (s->is_begun)
            http_frames_set_stream_window(s);
    }
    http_session_wake(s);
}

/* ---- frames ---------------------------------------------------------------------------------- */

uint32_t http_frame_size(uint64_t rate_bps)
{
    uint64_t bytes = rate_bps / 8 / FRAMES_PER_S;

    if (bytes < FRAME_LEAST)
        return FRAME_LEAST;
    return bytes < HTTP_DATA_SIZE ? (uint32_t)bytes : HTTP_DATA_SIZE;
}

void http_session_set_frame_size(struct http_session *s, uint32_t bytes)
{
    if (bytes == 0 || bytes > HTTP_DATA_SIZE)
        bytes = HTTP_DATA_SIZE;
    s->frame_size = bytes < FRAME_LEAST ? FRAME_LEAST : bytes;
}

/* ---- PING ------------------------------------------------------------------------------------ */

/* The watch's own PINGs (http_session.c) say 0. */
static struct http_ping *find(struct http_session *s, const uint8_t opaque[8])
{
    uint64_t id;

    memcpy(&id, opaque, sizeof(id));
    for (size_t i = 0; i < HTTP_PINGS_MAX; i++)
        if (id != 0 && s->pings[i].id == id)
            return &s->pings[i];
    return NULL;
}

static struct http_ping *find_free(struct http_session *s)
{
    for (size_t i = 0; i < HTTP_PINGS_MAX; i++)
        if (s->pings[i].id == 0)
            return &s->pings[i];
    return NULL;
}

bool http_session_ping(struct http_session *s, void (*done)(void *arg, uint64_t rtt_ns), void *arg)
{
    struct http_ping *p = find_free(s);
    uint8_t opaque[8];

    if (p == NULL || s->is_over || !s->is_begun)
        return false;
    uint64_t id = loop_random(s->stream->loop) | 1; /* so that no answer is ready beforehand */
    memcpy(opaque, &id, sizeof(opaque));
    if (nghttp2_submit_ping(s->h2, NGHTTP2_FLAG_NONE, opaque) != 0)
        return false;
    *p = (struct http_ping){.id = id, .done = done, .arg = arg};
    http_session_wake(s);
    return true;
}

void http_session_cancel_pings(struct http_session *s, const void *arg)
{
    for (size_t i = 0; i < HTTP_PINGS_MAX; i++)
        if (s->pings[i].id != 0 && s->pings[i].arg == arg)
            s->pings[i].done = NULL; /* its place is taken until it is answered */
}

void http_pace_ping_sent(struct http_session *s, const uint8_t opaque[8])
{
    struct http_ping *p = find(s, opaque);

    if (p != NULL)
        p->mark = s->flushed_bytes + buf_size(&s->out) + PING_SIZE;
}

void http_pace_flushed(struct http_session *s)
{
    for (size_t i = 0; i < HTTP_PINGS_MAX; i++) {
        struct http_ping *p = &s->pings[i];

        if (p->mark == 0 || p->sent_ns != 0 || p->mark > s->flushed_bytes)
            continue;
        p->sent_ns = loop_now_ns(s->stream->loop);
    }
}

void http_pace_ping_answered(struct http_session *s, const uint8_t opaque[8])
{
    struct http_ping *p = find(s, opaque);

    if (p == NULL || p->sent_ns == 0)
        return; /* not asked, or answered before it left: a lie */
    struct http_ping answered = *p;
    *p = (struct http_ping){0};
    if (answered.done != NULL)
        answered.done(answered.arg, loop_now_ns(s->stream->loop) - answered.sent_ns);
}

/* ---- stamps ---------------------------------------------------------------------------------- */

void http_session_stamp(struct http_session *s, const void *bytes, size_t size)
{
    alb_assert(size <= HTTP_STAMP_MAX);
    if (s->is_over || !s->is_begun)
        return;
    memcpy(s->stamps.out, bytes, size);
    s->stamps.out_size = size;
    if (s->stamps.is_queued)
        return;
    if (nghttp2_submit_extension(s->h2, HTTP_STAMP_TYPE, NGHTTP2_FLAG_NONE, 0, s) != 0) {
        http_session_finish(s, alb_fail(ALB_FULL, "no memory for a stamp"));
        return;
    }
    s->stamps.is_queued = true;
    http_session_wake(s);
}

void http_session_on_stamp(struct http_session *s,
                           void (*fn)(void *arg, const uint8_t *bytes, size_t size), void *arg)
{
    s->stamps.fn = fn;
    s->stamps.arg = arg;
}

static ssize_t on_pack(nghttp2_session *h2, uint8_t *out, size_t size, const nghttp2_frame *frame,
                       void *arg)
{
    struct http_session *s = arg;

    (void)h2;
    (void)frame;
    s->stamps.is_queued = false;
    if (size < s->stamps.out_size)
        return NGHTTP2_ERR_CANCEL;
    memcpy(out, s->stamps.out, s->stamps.out_size);
    return (ssize_t)s->stamps.out_size;
}

static int on_chunk(nghttp2_session *h2, const nghttp2_frame_hd *head, const uint8_t *bytes,
                    size_t size, void *arg)
{
    struct http_session *s = arg;

    (void)h2;
    if (head->length > HTTP_STAMP_MAX)
        return NGHTTP2_ERR_CANCEL; /* the rest of it is passed over */
    memcpy(s->stamps.in + s->stamps.in_size, bytes, size);
    s->stamps.in_size += size;
    return 0;
}

static int on_unpack(nghttp2_session *h2, void **payload, const nghttp2_frame_hd *head, void *arg)
{
    (void)h2;
    (void)head;
    *payload = arg;
    return 0;
}

void http_pace_set_callbacks(nghttp2_session_callbacks *c)
{
    nghttp2_session_callbacks_set_pack_extension_callback(c, on_pack);
    nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(c, on_chunk);
    nghttp2_session_callbacks_set_unpack_extension_callback(c, on_unpack);
}

static bool is_too_often(struct http_session *s)
{
    uint64_t now_ns = loop_now_ns(s->stream->loop);

    if (now_ns - s->stamps.since_ns >= NS_PER_S) {
        s->stamps.since_ns = now_ns;
        s->stamps.count = 0;
    }
    return ++s->stamps.count > HTTP_STAMPS_PER_S;
}

void http_pace_stamp_came(struct http_session *s, int32_t stream_id)
{
    size_t size = s->stamps.in_size;

    s->stamps.in_size = 0;
    if (stream_id != 0 || size == 0 || is_too_often(s) || s->stamps.fn == NULL)
        return;
    s->stamps.fn(s->stamps.arg, s->stamps.in, size);
}
