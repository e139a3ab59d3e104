/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream.h – an authenticated byte stream that never blocks and knows what it waits for.
 *
 * Read and write move what they can.  A call that answers STREAM_BLOCKED has already armed what is
 * needed: `ready` is called, from the loop, when it is worth trying again; a call that was not made
 * arms nothing, so whoever stops reading exerts back-pressure.  "TLS wants to write in order to
 * read" is the stream's own business.
 *
 * Every write passes the stream's gate (net/gate.h) first: there is no other way for a byte to
 * leave.
 *
 * After stream_free() no ready call comes.  It may be called from inside ready.
 */
#pragma once

#include "net/gate.h"
#include "net/identity.h"
#include "net/loop.h"

enum stream_result {
    STREAM_MOVED,   /* *moved > 0 bytes went                               */
    STREAM_BLOCKED, /* nothing now; ready will be called                   */
    STREAM_ENDED,   /* read only: the other side finished its sending      */
    STREAM_FAILED,  /* stream_status() says why; nothing more will move    */
};

/* Of the connection below TLS; 0 when the system does not say.  Counts are since its start. */
struct path_figures {
    uint64_t rtt_ns;                               /* smoothed                           */
    uint64_t min_rtt_ns;                           /* least of the last minutes          */
    uint64_t segments_sent, segments_received;     /* all, acknowledgements too          */
    uint64_t retransmitted;                        /* segments                           */
    uint64_t retransmitted_bytes;                  /* part of path_sent_bytes            */
    uint64_t path_sent_bytes;                      /* payload, sent again included       */
    uint64_t acked_bytes;                          /* payload that the other side has    */
    uint64_t received_out_of_order;                /* segments: something before is lost */
    uint64_t unsent_bytes;                         /* accepted but not yet on the wire   */
    uint64_t wire_sent_bytes, wire_received_bytes; /* below TLS, TCP payload, once each  */
};

struct stream_ops {
    enum stream_result (*read)(struct stream *s, void *out, size_t size, size_t *moved);
    enum stream_result (*write)(struct stream *s, const void *bytes, size_t size, size_t *moved);
    void (*figures)(struct stream *s, struct path_figures *out);
    void (*mark_bulk)(struct stream *s);  /* NULL: there is nothing to mark */
    void (*set_pacing)(struct stream *s); /* to s->pacing_bps; NULL: cannot */
    /* NULL: it has no secret */
    struct alb_status (*export_key)(struct stream *s, const char *label, uint8_t *out);
    void (*free)(struct stream *s);
};

/* First member of every back end's stream. */
struct stream {
    const struct stream_ops *ops;
    struct loop *loop;
    loop_fn ready;
    void *ready_arg;
    struct gate *gate; /* borrowed; never NULL: open_gate until another is used */
    struct gate open_gate;
    struct timer gate_timer; /* the gate said: try again then                       */
    bool is_held;            /* the gate said no to the last write                  */
    bool is_open;            /* connected and, with TLS, hand-shaken                */
    uint64_t pacing_bps;     /* 0: not paced                                        */
    struct alb_status status;
    struct identity peer; /* role ROLE_NONE when it showed no certificate        */
    char address[64];     /* the other side's, for logs: "10.1.2.3:7443"          */
};

/* For back ends: set the common part. */
void stream_init(struct stream *s, struct loop *loop, const struct stream_ops *ops);

void stream_on_ready(struct stream *s, loop_fn ready, void *arg); /* NULL: nobody listens */
void stream_use_gate(struct stream *s, struct gate *gate);        /* NULL: the open one */
/* Does the gate keep back what the last write wanted to say? */
static inline bool stream_is_held(const struct stream *s)
{
    return s->is_held;
}
enum stream_result stream_read(struct stream *s, void *out, size_t size, size_t *moved);
/* Asks the gate, writes at most what it allows, tells it what went. */
enum stream_result stream_write(struct stream *s, const void *bytes, size_t size, size_t *moved);
static inline bool stream_is_open(const struct stream *s)
{
    return s->is_open;
}
static inline struct alb_status stream_status(const struct stream *s)
{
    return s->status;
}
static inline const struct identity *stream_peer(const struct stream *s)
{
    return &s->peer;
}
void stream_figures(struct stream *s, struct path_figures *out);
/* What leaves from now on gives way to everything else (DSCP LE); dialled streams may be born so
 * (dial_options.bulk).  Again is fine. */
void stream_mark_bulk(struct stream *s);
/* This stream crosses a thin link: the kernel spreads what it sends at 1.25 × `rate_bps` (a second
 * belt beside the gate, headers not counted; 0: at no rate of its own) and takes no more than 16 kB
 * ahead of what is on the wire, 4 kB below 2 Mbit/s, so that what is written is soon under way. */
void stream_set_pacing(struct stream *s, uint64_t rate_bps);
/* A secret that only the two ends of this connection can know, another one for each label (RFC 8446
 * §7.5).  REFUSED: it is not open, or has no TLS. */
enum { STREAM_EXPORTED_SIZE = 32 };
ALB_MUST_USE struct alb_status stream_export_key(struct stream *s, const char *label,
                                                 uint8_t out[STREAM_EXPORTED_SIZE]);
struct stream *stream_free(struct stream *s); /* returns NULL */
