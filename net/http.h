/* SPDX-License-Identifier: Apache-2.0 */
/* net/http.h – HTTP/2 conversations over streams: one session type, both sides (RFC 9113, nghttp2).
 *
 * A session is a pump over one stream: output first, then input, and input only while output is
 * low.
 *
 * Receiving is paced by *credit*: automatic window updates are off, and http_session grants
 * connection window in exactly one function, only against bytes that calls (client) or uploads
 * (server) announced and that have not come yet, outstanding ≤ `window_bytes`.  The shaper stands
 * there as a gate (net/http_pace.h).
 *
 * Server: `exchange` = one request and its answer.  Client: `call` = the same seen from the other
 * side. "Exchange" and "call" pointers die with the last callback named below.
 */
#pragma once

#include "base/buf.h"
#include "net/stream.h"

struct http_session;
struct http_exchange;
struct http_call;

enum { HTTP_HEADER_MAX = 16 << 10 /* bytes of all header fields of a message */ };

struct http_header {
    const char *name; /* lower case */
    const char *value;
};

struct http_session_options {
    uint64_t window_bytes;    /* W: most credit outstanding; 0: 4 MiB            */
    uint32_t max_exchanges;   /* server: concurrent; 0: 64                       */
    uint64_t idle_timeout_ns; /* no call/exchange open for that long: close; 0: never */
    uint64_t dead_timeout_ns; /* nothing received that long though PINGed: closed; 0: 20 s */
    bool is_paced;            /* no byte of a body comes that was not granted: net/http_pace.h  */
};

/* Where an answer's (or a request's) body comes from when it is not all there yet. */
struct http_source {
    /* Write up to `size` bytes to `out`.  Returns how many; 0 with *ended false means "not now":
     * call http_exchange_resume()/http_call_resume() when there is more.  Never called after
     * `closed`. */
    size_t (*pull)(void *arg, uint8_t *out, size_t size, bool *ended);
    void *arg;
};

/* ---- server ---------------------------------------------------------------------------------- */

struct http_server_ops {
    /* The head is here.  Returns the largest body to accept; a larger one is answered 413.  May
     * answer at once (then the body is discarded). */
    uint64_t (*head)(void *arg, struct http_exchange *x);
    /* The body is complete (http_exchange_body()). */
    void (*request)(void *arg, struct http_exchange *x);
    /* Over: answered, reset or the session closed.  Forget it. */
    void (*closed)(void *arg, struct http_exchange *x);
    /* The session is over and will be freed after this; `st` says why. */
    void (*session_closed)(void *arg, struct http_session *s, struct alb_status st);
};

/* Takes the stream.  Callbacks come only from the loop, never from inside this call. */
struct http_session *http_serve(struct stream *stream, const struct http_session_options *options,
                                const struct http_server_ops *ops, void *arg);

const char *http_exchange_method(const struct http_exchange *x);
const char *http_exchange_path(const struct http_exchange *x);  /* without the query */
const char *http_exchange_query(const struct http_exchange *x); /* "" when none */
const char *http_exchange_header(const struct http_exchange *x, const char *name); /* or NULL */
struct buf *http_exchange_body(struct http_exchange *x); /* may be emptied */
struct http_session *http_exchange_session(struct http_exchange *x);
/* The handler's own pointer, NULL at first. */
void http_exchange_set_user(struct http_exchange *x, void *user);
void *http_exchange_user(const struct http_exchange *x);

/* Before the answer: it also says, as "retry-after", in how many seconds to ask again. */
void http_exchange_retry_after(struct http_exchange *x, unsigned seconds);
/* Answer whole; the bytes are copied. */
void http_answer(struct http_exchange *x, unsigned status, const char *content_type,
                 const void *body, size_t size);
/* The same with bytes that stay the lender's: `back` is called once, when none of them is needed
 * any more, which may be at once. */
struct http_loan {
    const uint8_t *bytes;
    size_t size;
    void (*back)(void *arg);
    void *arg;
};
void http_answer_lent(struct http_exchange *x, unsigned status, const char *content_type,
                      const struct http_loan *loan);
/* Answer as it comes. */
void http_answer_stream(struct http_exchange *x, unsigned status, const char *content_type,
                        const struct http_source *source);
void http_exchange_resume(struct http_exchange *x);
/* Break it off (RST_STREAM): what was sent stays sent. */
void http_exchange_abort(struct http_exchange *x);

/* ---- client ---------------------------------------------------------------------------------- */

struct http_call_ops {
    void (*head)(void *arg, struct http_call *c, unsigned status);
    /* Some body bytes, borrowed. */
    void (*data)(void *arg, struct http_call *c, const uint8_t *bytes, size_t size);
    /* Over; the call dies after this.  OK: the answer is complete. */
    void (*end)(void *arg, struct http_call *c, struct alb_status st);
};

struct http_call_options {
    const char *method;
    const char *path; /* with the query */
    const struct http_header *headers;
    size_t header_count;
    const void *body;          /* copied; or `source` */
    size_t body_size;          /* of `body`, or of all that `source` will give (0: not known) */
    struct http_source source; /* pull NULL: use `body` */
    uint64_t expect_bytes; /* most body bytes the answer may have: the credit it is worth; a larger
                                  answer is broken off as CORRUPT */
};

struct http_client_ops {
    /* Open for calls (the stream is hand-shaken).  May come any time before closed. */
    void (*opened)(void *arg, struct http_session *s);
    /* Over: every open call has heard its end before.  The session is freed after this. */
    void (*closed)(void *arg, struct http_session *s, struct alb_status st);
};

struct http_session *http_connect(struct stream *stream, const struct http_session_options *options,
                                  const struct http_client_ops *ops, void *arg);
/* May be made before `opened`.  Never calls back from inside.  On a session that drains the call
 * waits and hears its end (CLOSED) when the session does. */
struct http_call *http_call_start(struct http_session *s, const struct http_call_options *options,
                                  const struct http_call_ops *ops, void *arg);
void http_call_resume(struct http_call *c);
/* Give it up: end is not called. */
void http_call_cancel(struct http_call *c);

/* ---- both ------------------------------------------------------------------------------------ */

struct stream *http_session_stream(struct http_session *s);
/* May new calls be made?  False once it drains on either side, or is over.  Do not repeat a call on
 * the session that just ended it: ask this first. */
bool http_session_is_open(const struct http_session *s);
void http_session_set_user(struct http_session *s, void *user);
void *http_session_user(const struct http_session *s);
/* Finish open exchanges, accept no new ones, then close. */
void http_session_drain(struct http_session *s);
/* Close now; closed/session_closed comes from the loop with ALB_CLOSED. */
void http_session_close(struct http_session *s);
/* Until when our own gate kept back what we had to say, credit and PINGs among it: now, while it
 * does; 0: never.  The other side's silence before that is our doing. */
uint64_t http_session_held_until_ns(const struct http_session *s);
/* Change W while it runs. */
void http_session_set_window(struct http_session *s, uint64_t window_bytes);
/* Body bytes received and sent in DATA frames so far. */
void http_session_counts(const struct http_session *s, uint64_t *received, uint64_t *sent);
