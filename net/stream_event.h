/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream_event.h – a TCP connection, with TLS or without, as the kernel's loop keeps it.
 *
 *     dialled:   RESOLVING → CONNECTING → SHAKING → OPEN → LEAVING
 *     accepted:                           SHAKING → OPEN → LEAVING
 *                any failure → BROKEN, status says why
 *
 * stream_dial.c is the journey to OPEN; stream_event.c moves bytes from there on; stream_socket.c
 * is what is asked of the kernel about the socket.  LEAVING is a
 * stream whose owner has freed it while records were half sent; nobody hears of it any more.
 */
#pragma once

#include "net/loop_event.h"
#include "net/resolve.h"
#include "net/stream.h"
#include "net/tls_impl.h"

enum {
    /* Sealed and sent at once: three full records.  The kernel works by call and by segment, and a
     * segment on its way to the card is 64 KiB at most: four records would make two of them, which
     * cost a quarter of all that is sent per CPU-second. */
    STREAM_SEAL_SIZE = 48 << 10,
    STREAM_SEALED_MAX = 2 * STREAM_SEAL_SIZE, /* the same with what TLS adds; ample */
};

enum stream_state {
    STREAM_RESOLVING,
    STREAM_CONNECTING,
    STREAM_SHAKING,
    STREAM_OPEN,
    STREAM_LEAVING,
    STREAM_BROKEN,
};

struct event_stream {
    struct stream base;
    struct loop_event *loop;
    enum stream_state state;
    int fd; /* -1: none yet */
    struct event *readable, *writable;
    struct tls_context *tls; /* borrowed; NULL: plain TCP */
    SSL *ssl;
    struct tls_verdict verdict;
    bool bulk;

    /* The way to OPEN. */
    struct timer kick;     /* the first step is taken from the loop     */
    struct timer deadline; /* of this attempt, or of all                */
    uint64_t give_up_ns;
    char *host;
    uint16_t port;
    struct resolve *resolve;
    struct address_list addresses;
    size_t next_address;

    struct tls_outlet outlet;
    bool gathers;      /* what comes out of the outlet goes to loop->sealed        */
    struct buf unsent; /* sealed, counted as moved, and not yet taken by the socket */
    struct event_stream *next_leaving;

    uint64_t plain_sent, plain_received; /* what TLS's own counters say otherwise */
};

/* Takes the connected socket `fd`.  The handshake starts from the loop and ends by `timeout_ns`. */
struct stream *stream_event_accept(struct loop_event *loop, int fd, struct tls_context *tls,
                                   const struct sockaddr_storage *from, uint64_t timeout_ns);
/* End what loop_free() finds still leaving. */
void stream_event_abandon_leaving(struct loop_event *loop);

/* ---- between the files ----------------------------------------------------------------------- */

struct event_stream *stream_event_new(struct loop_event *loop, struct tls_context *tls);
/* The next steps towards OPEN; tells the owner when it ends there or in BROKEN. */
void stream_dial_advance(struct event_stream *s);
void stream_dial_release(struct event_stream *s);
void stream_event_use_fd(struct event_stream *s, int fd);
void stream_event_drop_fd(struct event_stream *s);
void stream_event_wait(struct event_stream *s, short what); /* EV_READ or EV_WRITE, once */
void stream_event_break(struct event_stream *s, struct alb_status st);
/* What does this TLS call wait for?  True: armed.  False: it failed and the stream is BROKEN. */
bool stream_event_wait_tls(struct event_stream *s, int result);
/* What s says of itself (bulk, pacing) to its socket, which is there. */
void stream_event_tune(const struct event_stream *s);
/* What the kernel knows of the path; the rest of *out is left alone. */
void stream_event_tcp_figures(const struct event_stream *s, struct path_figures *out);
