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

struct path_figures {
    uint64_t rtt_ns;                               /* smoothed; 0 when unknown                */
    uint64_t retransmitted;                        /* segments since the start        */
    uint64_t unsent_bytes;                         /* accepted but not yet on the wire */
    uint64_t wire_sent_bytes, wire_received_bytes; /* below TLS, TCP payload */
};

struct stream_ops {
    enum stream_result (*read)(struct stream *s, void *out, size_t size, size_t *moved);
    enum stream_result (*write)(struct stream *s, const void *bytes, size_t size, size_t *moved);
    void (*figures)(struct stream *s, struct path_figures *out);
    void (*mark_bulk)(struct stream *s); /* NULL: there is nothing to mark */
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
    bool is_open;            /* connected and, with TLS, hand-shaken                */
    struct alb_status status;
    struct identity peer; /* role ROLE_NONE when it showed no certificate        */
    char address[64];     /* the other side's, for logs: "10.1.2.3:7443"          */
};

/* For back ends: set the common part. */
void stream_init(struct stream *s, struct loop *loop, const struct stream_ops *ops);

void stream_on_ready(struct stream *s, loop_fn ready, void *arg); /* NULL: nobody listens */
void stream_use_gate(struct stream *s, struct gate *gate);
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
struct stream *stream_free(struct stream *s); /* returns NULL */
