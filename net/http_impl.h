/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_impl.h – what the files of net/http_*.c share; nobody else includes it.
 *
 *     http_session.c   the pump, the watch over a silent other side, the road of death
 *     http_frames.c    nghttp2: set up, its callbacks handed to the side, bodies that leave
 *     http_server.c    exchanges         http_client.c    calls
 *     http_fields.c    header fields     http_credit.c    credit: how much may come
 *     http_pace.c      frame sizes, PINGs, stamps
 *
 * A *message* is an exchange or a call; nghttp2 keeps it as the stream's user data, and a stream
 * whose message was given up has none.  nghttp2 is not re-entrant: inside its callbacks frames may
 * be submitted, but only the pump receives and sends.
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "net/http.h"
#include "net/http_credit.h"
#include "net/http_pace.h"

/* Of a DATA frame, so that a full one is exactly one TLS record. */
enum { HTTP_FRAME_HEAD = 9, HTTP_DATA_SIZE = (16 << 10) - HTTP_FRAME_HEAD };

/* Intrusive ring; an empty one points at itself. */
struct http_link {
    struct http_link *prev, *next;
};

static inline void http_link_init(struct http_link *l)
{
    l->prev = l->next = l;
}
static inline void http_link_remove(struct http_link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    http_link_init(l);
}
static inline void http_link_append(struct http_link *ring, struct http_link *l)
{
    l->prev = ring->prev;
    l->next = ring;
    ring->prev->next = l;
    ring->prev = l;
}

/* ---- header fields, as "name\0value\0…" ------------------------------------------------------ */

struct http_fields {
    struct buf text;
};

void http_fields_init(struct http_fields *f);
void http_fields_release(struct http_fields *f);
/* FULL when the message's fields exceed HTTP_HEADER_MAX. */
ALB_MUST_USE struct alb_status http_fields_add(struct http_fields *f, const char *name,
                                               const char *value, size_t value_size);
const char *http_fields_find(const struct http_fields *f, const char *name); /* or NULL */
/* A field as nghttp2 wants it, borrowed. */
nghttp2_nv http_field(const char *name, const char *value);

/* ---- bodies that leave ----------------------------------------------------------------------- */

struct http_outgoing {
    struct http_source source;
    struct buf whole;      /* when the body was given whole */
    struct http_loan loan; /* … or lent; `back` NULL: it was not, or is back */
    size_t lent_sent;
    bool is_ended; /* all of it has left            */
};

/* Copies `body`; FULL when there is no memory. */
ALB_MUST_USE struct alb_status http_outgoing_init_whole(struct http_outgoing *o, const void *body,
                                                        size_t size);
void http_outgoing_init_source(struct http_outgoing *o, const struct http_source *source);
void http_outgoing_init_lent(struct http_outgoing *o, const struct http_loan *loan);
void http_outgoing_release(struct http_outgoing *o);
nghttp2_data_provider http_outgoing_provider(struct http_outgoing *o);

/* ---- the session ----------------------------------------------------------------------------- */

/* What differs between server and client; `message` may be NULL where a stream has none. */
struct http_side {
    void (*began)(struct http_session *s, int32_t stream_id, void *message); /* a header block */
    void (*field)(struct http_session *s, void *message, const char *name, const char *value,
                  size_t value_size);
    void (*head)(struct http_session *s, void *message);
    void (*data)(struct http_session *s, void *message, const uint8_t *bytes, size_t size);
    void (*complete)(struct http_session *s, void *message); /* the other side's half is over */
    void (*sent_last)(struct http_session *s, void *message, int32_t stream_id);
    void (*closed)(struct http_session *s, void *message, uint32_t error);
    void (*unsent)(struct http_session *s, int32_t stream_id); /* a request could not leave */
    void (*feed)(struct http_session *s);   /* each turn of the pump: what waits to be submitted */
    void (*opened)(struct http_session *s); /* the stream is open                               */
    /* A message's stream, 0 when it has none yet, and what it may still bring. */
    int32_t (*expects)(struct http_link *message, uint64_t *left);
    void (*break_off)(struct http_link *message, struct alb_status st); /* NULL: it cannot */
    void (*bereave)(struct http_session *s);  /* end every message with s->status                */
    void (*farewell)(struct http_session *s); /* the owner's last call                          */
};

extern const struct http_side http_server_side, http_client_side;

struct http_ping {
    uint64_t id;   /* 0: free */
    uint64_t mark; /* what must have gone to the stream before it has */
    uint64_t sent_ns;
    void (*done)(void *arg, uint64_t rtt_ns);
    void *arg;
};

struct http_stamps {
    uint8_t out[HTTP_STAMP_MAX], in[HTTP_STAMP_MAX];
    size_t out_size, in_size;
    bool is_queued;
    uint64_t since_ns; /* of the second that is counted */
    uint32_t count;
    void (*fn)(void *arg, const uint8_t *bytes, size_t size);
    void *arg;
};

struct http_session {
    const struct http_side *side;
    struct stream *stream;
    nghttp2_session *h2;
    struct http_session_options options; /* with the defaults filled in */
    struct http_credit credit;
    struct gate *credit_gate;  /* borrowed; NULL: credit is granted as W allows  */
    struct timer credit_timer; /* the gate said: try again then                  */
    bool is_credit_awaited;    /* it or the timer will call                      */
    bool is_by_stream;         /* credit is each stream's, not the connection's  */
    bool is_breaking_off;      /* … and what has some is to be ended             */
    /* The connection's window: granted by us; told, also by nghttp2 in place of what came for
     * streams that were reset; and as much of that as there is a reason for. */
    uint64_t granted_bytes, told_bytes, pardoned_bytes;
    uint64_t refunded_bytes; /* … of which nghttp2 told, as last seen       */
    uint32_t stream_window;  /* what our last SETTINGS said a new stream has   */
    uint32_t frame_size;     /* of DATA that leaves                            */
    uint64_t flushed_bytes;  /* of `out`, to the stream, so far                */
    struct http_ping pings[HTTP_PINGS_MAX];
    struct http_stamps stamps;
    struct buf out;     /* frames on their way to the stream */
    struct timer again; /* run the pump, from the loop       */
    struct timer watch; /* ping, dead, idle                  */
    bool is_begun;      /* the stream was open: preface and SETTINGS are on their way */
    bool is_read_blocked, is_write_blocked;
    bool is_draining; /* ours: no new messages             */
    bool is_other_draining;
    bool is_over; /* only death is left; why: status   */
    struct alb_status status;
    bool is_held; /* the stream's gate keeps what we have to say */
    uint64_t heard_ns, pinged_ns, let_go_ns, idle_since_ns;
    uint64_t received_bytes, sent_bytes;
    uint64_t resets_since_ns;
    uint32_t resets;    /* streams reset in the current interval */
    uint32_t open;      /* messages alive                    */
    uint32_t submitted; /* client: calls that have a stream  */
    struct http_link messages;
    struct http_link waiting; /* client: calls not yet submitted */
    union {
        const struct http_server_ops *server;
        const struct http_client_ops *client;
    } ops;
    void *arg;
    void *user;
};

struct http_session *http_session_new(struct stream *stream,
                                      const struct http_session_options *options,
                                      const struct http_side *side, void *arg);
/* Make the pump run soon, from the loop. */
void http_session_wake(struct http_session *s);
/* Mark the session as over; the first status stays.  The rest happens from the loop. */
void http_session_finish(struct http_session *s, struct alb_status st);
void http_session_message_born(struct http_session *s);
void http_session_message_died(struct http_session *s);

/* http_credit.c: the one function that grants credit; its beginning; waiting for its gate ends. */
void http_credit_grant(struct http_session *s);
void http_credit_open(struct http_session *s);
void http_credit_forget_gate(struct http_session *s);
/* A WINDOW_UPDATE of the connection has left, or what makes streams end: RST_STREAM, GOAWAY. */
void http_credit_told(struct http_session *s, int32_t bytes);
void http_credit_told_reset(struct http_session *s);
/* Keep one stream's own window from running out; the connection's is the brake. */
void http_frames_refill(struct http_session *s, int32_t stream_id);
/* SETTINGS: what a stream may send by itself, as s->is_by_stream says. */
void http_frames_set_stream_window(struct http_session *s);
/* http_pace.c: a PING is being put to `out`; some of it has gone; an answer came. */
void http_pace_ping_sent(struct http_session *s, const uint8_t opaque[8]);
void http_pace_flushed(struct http_session *s);
void http_pace_ping_answered(struct http_session *s, const uint8_t opaque[8]);
/* nghttp2's callbacks for frames of our own type. */
void http_pace_set_callbacks(nghttp2_session_callbacks *c);
void http_pace_stamp_came(struct http_session *s, int32_t stream_id);
/* Create s->h2 and submit SETTINGS. */
ALB_MUST_USE struct alb_status http_frames_open(struct http_session *s);
