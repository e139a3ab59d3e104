/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream_dial.c – a stream's journey until it is open: name, connection, handshake.
 *
 * Addresses of a name are tried one after the other, each with its share of the time left.
 */
#include "net/stream_event.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

enum step {
    STEP_AGAIN, /* moved on; run me again                        */
    STEP_WAIT,  /* an event, the resolver or the deadline wakes me */
    STEP_DONE,  /* open or broken                                 */
};

static enum step resolve(struct event_stream *s);
static enum step connected(struct event_stream *s);
static enum step shake(struct event_stream *s);

static enum step dial_step(struct event_stream *s)
{
    switch (s->state) {
    case STREAM_RESOLVING: return resolve(s);
    case STREAM_CONNECTING: return connected(s);
    case STREAM_SHAKING: return shake(s);
    case STREAM_OPEN:
    case STREAM_LEAVING:
    case STREAM_BROKEN: return STEP_DONE;
    }
    alb_unreachable();
}

void stream_dial_advance(struct event_stream *s)
{
    enum step step = STEP_AGAIN;

    while (step == STEP_AGAIN)
        step = dial_step(s);
    if (step != STEP_DONE)
        return;
    timer_stop(&s->deadline);
    s->base.ready(s->base.ready_arg);
}

static enum step give_up(struct event_stream *s, struct alb_status st)
{
    stream_event_break(s, st);
    return STEP_DONE;
}

/* ---- the name -------------------------------------------------------------------------------- */

static enum step connect_next(struct event_stream *s, struct alb_status why_not_before);

static void on_resolved(void *arg, struct alb_status st, const struct address_list *list)
{
    struct event_stream *s = arg;

    s->resolve = NULL;
    if (alb_failed(st)) {
        stream_event_break(s, st);
    } else {
        s->addresses = *list;
        (void)connect_next(s, ALB_STATUS_OK);
    }
    if (s->state != STREAM_CONNECTING)
        stream_dial_advance(s);
}

static enum step resolve(struct event_stream *s)
{
    if (resolve_numeric(s->host, s->port, &s->addresses))
        return connect_next(s, ALB_STATUS_OK);
    s->resolve = resolve_start(&s->loop->base, s->host, s->port, on_resolved, s);
    return STEP_WAIT;
}

/* ---- the connection -------------------------------------------------------------------------- */

static struct alb_status connect_failure(int sys)
{
    switch (sys) {
    case ECONNREFUSED:
        return (struct alb_status){
            ALB_IO, sys, "connecting: nothing listens there; is the service up, the port right?"};
    case ENETUNREACH:
    case EHOSTUNREACH:
        return (struct alb_status){ALB_IO, sys, "connecting: there is no way to that address"};
    case ETIMEDOUT: return alb_fail(ALB_TIMEOUT, "connecting: the address does not answer");
    default: return alb_status_from_errno(sys, "connecting");
    }
}

/* 0 (under way or connected) or an errno. */
static int begin_connect(struct event_stream *s, const struct address *to)
{
    int fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    stream_event_use_fd(s, fd);
    if (connect(fd, (const struct sockaddr *)&to->storage, to->size) == 0 || errno == EINPROGRESS)
        return 0;
    int sys = errno;
    stream_event_drop_fd(s);
    return sys;
}

/* Tries the addresses that are left; gives up with the last reason when there is none. */
static enum step connect_next(struct event_stream *s, struct alb_status why_not_before)
{
    s->state = STREAM_CONNECTING;
    stream_event_drop_fd(s);
    while (s->next_address < s->addresses.count) {
        const struct address *to = &s->addresses.at[s->next_address];
        uint64_t now_ns = loop_now_ns(&s->loop->base);
        uint64_t left_ns = s->give_up_ns > now_ns ? s->give_up_ns - now_ns : 0;

        timer_set(&s->deadline, now_ns + left_ns / (s->addresses.count - s->next_address));
        s->next_address++;
        address_format(&to->storage, s->base.address);
        int sys = begin_connect(s, to);
        if (sys == 0) {
            stream_event_wait(s, EV_WRITE);
            return STEP_WAIT;
        }
        why_not_before = connect_failure(sys);
    }
    return give_up(s, why_not_before);
}

static enum step connected(struct event_stream *s)
{
    int sys = 0;
    socklen_t size = sizeof(sys);

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &sys, &size) != 0)
        sys = errno;
    if (sys != 0)
        return connect_next(s, connect_failure(sys));
    timer_set(&s->deadline, s->give_up_ns);
    s->state = STREAM_SHAKING;
    return STEP_AGAIN;
}

/* ---- the handshake --------------------------------------------------------------------------- */

static enum step open_stream(struct event_stream *s)
{
    s->base.peer = s->verdict.peer;
    s->base.is_open = true;
    s->state = STREAM_OPEN;
    return STEP_DONE;
}

static enum step shake(struct event_stream *s)
{
    if (s->tls == NULL) {
        s->verdict.peer.role = ROLE_NONE;
        return open_stream(s);
    }
    if (s->ssl == NULL)
        s->ssl = tls_connection_new(s->tls, s->fd, tls_outlet_bio(s->loop->outlets, &s->outlet),
                                    &s->verdict);
    if (s->ssl == NULL)
        return give_up(s, alb_fail(ALB_FULL, "no memory for another TLS connection"));
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(s->ssl);
    if (result != 1)
        return stream_event_wait_tls(s, result) ? STEP_WAIT : STEP_DONE;

    struct alb_status st = tls_check_protocol(s->ssl);
    return alb_failed(st) ? give_up(s, st) : open_stream(s);
}

/* ---- beginnings and ends --------------------------------------------------------------------- */

static void on_kick(void *arg)
{
    stream_dial_advance(arg);
}

static struct alb_status late(const struct event_stream *s)
{
    switch (s->state) {
    case STREAM_RESOLVING: return alb_fail(ALB_TIMEOUT, "looking up the host name took too long");
    case STREAM_CONNECTING: return alb_fail(ALB_TIMEOUT, "connecting: the address does not answer");
    case STREAM_SHAKING:
    case STREAM_OPEN:
    case STREAM_LEAVING:
    case STREAM_BROKEN: return alb_fail(ALB_TIMEOUT, "the TLS handshake took too long");
    }
    alb_unreachable();
}

static void on_deadline(void *arg)
{
    struct event_stream *s = arg;

    resolve_cancel(s->resolve);
    s->resolve = NULL;
    if (s->state == STREAM_CONNECTING && connect_next(s, late(s)) == STEP_WAIT)
        return;
    if (s->state != STREAM_BROKEN)
        stream_event_break(s, late(s));
    stream_dial_advance(s);
}

static void begin(struct event_stream *s, uint64_t timeout_ns)
{
    s->give_up_ns = loop_now_ns(&s->loop->base) + timeout_ns;
    timer_init(&s->kick, &s->loop->base, on_kick, s);
    timer_init(&s->deadline, &s->loop->base, on_deadline, s);
    timer_set_in(&s->kick, 0);
    timer_set(&s->deadline, s->give_up_ns);
}

struct stream *stream_event_dial(struct loop *loop, const struct dial_options *options)
{
    struct event_stream *s = stream_event_new(loop_event_of(loop), options->tls);

    s->state = STREAM_RESOLVING;
    s->host = xstrdup(options->host);
    s->port = options->port;
    s->bulk = options->bulk;
    (void)snprintf(s->base.address, sizeof(s->base.address), "%.48s:%u", options->host,
                   (unsigned)options->port);
    begin(s, options->timeout_ns);
    return &s->base;
}

struct stream *stream_event_accept(struct loop_event *loop, int fd, struct tls_context *tls,
                                   const struct sockaddr_storage *from, uint64_t timeout_ns)
{
    struct event_stream *s = stream_event_new(loop, tls);

    s->state = STREAM_SHAKING;
    address_format(from, s->base.address);
    stream_event_use_fd(s, fd);
    begin(s, timeout_ns);
    return &s->base;
}

void stream_dial_release(struct event_stream *s)
{
    timer_stop(&s->kick);
    timer_stop(&s->deadline);
    resolve_cancel(s->resolve);
    s->resolve = NULL;
    free(s->host);
    s->host = NULL;
}
