/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream_event.c – moves bytes between an owner and a socket, through TLS or plain. */
#include "net/stream_event.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/units.h"

/* A last record that does not get out by then is lost. */
#define LEAVE_NS (5 * NS_PER_S)

static void on_io(evutil_socket_t fd, short what, void *arg);
static void on_left(void *arg);
static enum stream_result push_unsent(struct event_stream *s);
static ssize_t put(void *arg, const void *bytes, size_t size);
static void leave(struct event_stream *s);

/* ---- sockets and events ---------------------------------------------------------------------- */

void stream_event_use_fd(struct event_stream *s, int fd)
{
    s->fd = fd;
    s->readable = event_new(s->loop->events, fd, EV_READ, on_io, s);
    s->writable = event_new(s->loop->events, fd, EV_WRITE, on_io, s);
    alb_assert(s->readable != NULL && s->writable != NULL);
    stream_event_tune(s);
}

void stream_event_drop_fd(struct event_stream *s)
{
    if (s->fd < 0)
        return;
    event_free(s->readable);
    event_free(s->writable);
    s->readable = NULL;
    s->writable = NULL;
    close(s->fd);
    s->fd = -1;
}

void stream_event_wait(struct event_stream *s, short what)
{
    alb_assert(event_add(what == EV_READ ? s->readable : s->writable, NULL) == 0);
}

/* The first reason stays. */
void stream_event_break(struct event_stream *s, struct alb_status st)
{
    if (s->state == STREAM_BROKEN)
        return;
    s->state = STREAM_BROKEN;
    s->base.is_open = false;
    s->base.status = st;
    timer_stop(&s->kick);
    timer_stop(&s->deadline);
    stream_event_drop_fd(s);
}

/* A writer notices that the connection is gone before it reads the alert that says why, such as a
 * refused certificate: with TLS 1.3 a dialler's handshake is over before its own is looked at. */
static struct alb_status last_words(struct event_stream *s, struct alb_status otherwise)
{
    char byte = 0;
    size_t got = 0;

    ERR_clear_error();
    int result = SSL_peek_ex(s->ssl, &byte, 1, &got);
    int error = SSL_get_error(s->ssl, result);
    struct alb_status st = otherwise;

    if (result != 1 && error == SSL_ERROR_SSL)
        st = tls_failure(&s->verdict, error, 0);
    ERR_clear_error();
    return st.code == ALB_REFUSED ? st : otherwise;
}

bool stream_event_wait_tls(struct event_stream *s, int result)
{
    int sys = errno;
    int error = SSL_get_error(s->ssl, result);

    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        stream_event_wait(s, error == SSL_ERROR_WANT_READ ? EV_READ : EV_WRITE);
        return true;
    }
    struct alb_status st = tls_failure(&s->verdict, error, sys);
    stream_event_break(s, st.code == ALB_CLOSED && sys != 0 ? last_words(s, st) : st);
    return false;
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
    struct event_stream *s = arg;

    (void)fd;
    loop_event_enter(s->loop);
    switch (s->state) {
    case STREAM_RESOLVING:
    case STREAM_CONNECTING:
    case STREAM_SHAKING: stream_dial_advance(s); return;
    case STREAM_OPEN:
        if ((what & EV_WRITE) == 0 || push_unsent(s) != STREAM_BLOCKED)
            s->base.ready(s->base.ready_arg);
        return;
    case STREAM_LEAVING:
        if (push_unsent(s) != STREAM_BLOCKED)
            leave(s);
        return;
    case STREAM_BROKEN: return;
    }
    alb_unreachable();
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum stream_result read_plain(struct event_stream *s, void *out, size_t size, size_t *moved)
{
    ssize_t got = recv(s->fd, out, size, 0);

    if (got > 0) {
        s->plain_received += (uint64_t)got;
        *moved = (size_t)got;
        return STREAM_MOVED;
    }
    if (got == 0)
        return STREAM_ENDED;
    if (errno == EAGAIN || errno == EINTR) {
        stream_event_wait(s, EV_READ);
        return STREAM_BLOCKED;
    }
    stream_event_break(s, alb_fail_sys("the connection to the other side"));
    return STREAM_FAILED;
}

static enum stream_result read_tls(struct event_stream *s, void *out, size_t size, size_t *moved)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_read_ex(s->ssl, out, size, moved);

    if (result == 1)
        return STREAM_MOVED;
    if (SSL_get_error(s->ssl, result) == SSL_ERROR_ZERO_RETURN)
        return STREAM_ENDED;
    return stream_event_wait_tls(s, result) ? STREAM_BLOCKED : STREAM_FAILED;
}

static enum stream_result event_read(struct stream *base, void *out, size_t size, size_t *moved)
{
    struct event_stream *s = ALB_CONTAINER(base, struct event_stream, base);

    if (s->state == STREAM_BROKEN)
        return STREAM_FAILED;
    if (s->state != STREAM_OPEN)
        return STREAM_BLOCKED; /* the end of the journey will call ready */
    return s->ssl == NULL ? read_plain(s, out, size, moved) : read_tls(s, out, size, moved);
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum stream_result write_plain(struct event_stream *s, const void *bytes, size_t size,
                                      size_t *moved)
{
    ssize_t went = send(s->fd, bytes, size, MSG_NOSIGNAL);

    if (went > 0) {
        s->plain_sent += (uint64_t)went;
        *moved = (size_t)went;
        return STREAM_MOVED;
    }
    if (errno == EAGAIN || errno == EINTR) {
        stream_event_wait(s, EV_WRITE);
        return STREAM_BLOCKED;
    }
    stream_event_break(s, alb_fail_sys("the connection to the other side"));
    return STREAM_FAILED;
}

/* The reason why a socket takes nothing any more. */
static enum stream_result fail_sending(struct event_stream *s, int sys)
{
    struct alb_status st = tls_failure(&s->verdict, SSL_ERROR_SYSCALL, sys);

    stream_event_break(s, st.code == ALB_CLOSED && sys != 0 ? last_words(s, st) : st);
    return STREAM_FAILED;
}

/* MOVED when the socket took all; else what is left is in `bytes` from *went on, and BLOCKED has
 * armed what is needed. */
static enum stream_result send_sealed(struct event_stream *s, const uint8_t *bytes, size_t size,
                                      size_t *went)
{
    *went = 0;
    while (*went < size) {
        ssize_t n = send(s->fd, bytes + *went, size - *went, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail_sending(s, errno);
        if (n < 0) {
            stream_event_wait(s, EV_WRITE);
            return STREAM_BLOCKED;
        }
        *went += (size_t)n;
    }
    return STREAM_MOVED;
}

/* BLOCKED while sealed records are not out; MOVED when nothing stands in the way. */
static enum stream_result push_unsent(struct event_stream *s)
{
    size_t went = 0;

    if (buf_size(&s->unsent) == 0)
        return STREAM_MOVED;
    if (event_pending(s->writable, EV_WRITE, NULL))
        return STREAM_BLOCKED; /* it said so before */
    enum stream_result result = send_sealed(s, buf_peek(&s->unsent), buf_size(&s->unsent), &went);
    buf_consume(&s->unsent, went);
    if (buf_size(&s->unsent) == 0)
        buf_release(&s->unsent);
    return result;
}

/* What TLS puts out: data is gathered, to be sent in one call; the rest (the handshake, an alert)
 * leaves at once, but never before what was sealed earlier. */
static ssize_t put(void *arg, const void *bytes, size_t size)
{
    struct event_stream *s = arg;

    if (s->gathers)
        return alb_failed(buf_append(&s->loop->sealed, bytes, size)) ? -1 : (ssize_t)size;
    if (buf_size(&s->unsent) > 0) {
        ssize_t went = send(s->fd, buf_peek(&s->unsent), buf_size(&s->unsent), MSG_NOSIGNAL);

        if (went < 0)
            return -1;
        buf_consume(&s->unsent, (size_t)went);
        errno = EAGAIN;
        if (buf_size(&s->unsent) > 0)
            return -1;
        buf_release(&s->unsent);
    }
    return send(s->fd, bytes, size, MSG_NOSIGNAL);
}

/* All or nothing: an outlet that gathers takes all. */
static bool seal(struct event_stream *s, const uint8_t *bytes, size_t size)
{
    size_t went = 0;

    ERR_clear_error();
    s->gathers = true;
    int result = SSL_write_ex(s->ssl, bytes, size, &went);
    s->gathers = false;
    if (result != 1)
        stream_event_break(s, tls_failure(&s->verdict, SSL_get_error(s->ssl, result), 0));
    return result == 1;
}

/* What TLS has sealed is ours to deliver, now or when the socket takes more. */
static enum stream_result seal_and_send(struct event_stream *s, const uint8_t *bytes, size_t size)
{
    struct buf *sealed = &s->loop->sealed;
    size_t went = 0;

    buf_clear(sealed);
    if (!seal(s, bytes, size))
        return STREAM_FAILED;
    enum stream_result result = send_sealed(s, buf_peek(sealed), buf_size(sealed), &went);
    buf_consume(sealed, went);
    if (result != STREAM_BLOCKED ||
        !alb_failed(buf_append(&s->unsent, buf_peek(sealed), buf_size(sealed))))
        return result;
    stream_event_break(s, alb_fail(ALB_FULL, "no memory for bytes on their way"));
    return STREAM_FAILED;
}

static enum stream_result write_tls(struct event_stream *s, const uint8_t *bytes, size_t size,
                                    size_t *moved)
{
    enum stream_result result = push_unsent(s);
    size_t done = 0;

    while (result == STREAM_MOVED && done < size) {
        size_t part = size - done < STREAM_SEAL_SIZE ? size - done : STREAM_SEAL_SIZE;

        result = seal_and_send(s, bytes + done, part);
        done += part;
    }
    if (result == STREAM_FAILED || done == 0)
        return result;
    *moved = done;
    return STREAM_MOVED;
}

static enum stream_result event_write(struct stream *base, const void *bytes, size_t size,
                                      size_t *moved)
{
    struct event_stream *s = ALB_CONTAINER(base, struct event_stream, base);

    if (s->state == STREAM_BROKEN)
        return STREAM_FAILED;
    if (s->state != STREAM_OPEN)
        return STREAM_BLOCKED;
    return s->ssl == NULL ? write_plain(s, bytes, size, moved) : write_tls(s, bytes, size, moved);
}

static void event_mark_bulk(struct stream *base)
{
    struct event_stream *s = ALB_CONTAINER(base, struct event_stream, base);

    s->bulk = true;
    if (s->fd >= 0)
        stream_event_tune(s);
}

static void event_set_pacing(struct stream *base)
{
    struct event_stream *s = ALB_CONTAINER(base, struct event_stream, base);

    if (s->fd >= 0)
        stream_event_tune(s);
}

/* ---- figures --------------------------------------------------------------------------------- */

static void event_figures(struct stream *base, struct path_figures *out)
{
    struct event_stream *s = ALB_CONTAINER(base, struct event_stream, base);

    stream_event_tcp_figures(s, out);
    out->unsent_bytes += buf_size(&s->unsent);
    out->wire_sent_bytes = s->plain_sent;
    out->wire_received_bytes = s->plain_received;
    if (s->ssl != NULL) {
        out->wire_sent_bytes = BIO_number_written(SSL_get_wbio(s->ssl)) - buf_size(&s->unsent);
        out->wire_received_bytes = BIO_number_read(SSL_get_rbio(s->ssl));
    }
}

/* ---- birth and death ------------------------------------------------------------------------- */

static void destroy(void *memory)
{
    struct event_stream *s = memory;

    SSL_free(s->ssl);
    buf_release(&s->unsent);
    free(s);
}

static void say_goodbye(struct event_stream *s)
{
    if (s->fd >= 0 && s->ssl != NULL && SSL_is_init_finished(s->ssl)) {
        ERR_clear_error();
        (void)SSL_shutdown(s->ssl); /* best effort: there is nobody left to tell */
        ERR_clear_error();
    }
}

/* The end of every stream that was not broken before. */
static struct alb_status event_export_key(struct stream *base, const char *label, uint8_t *out)
{
    struct event_stream *s = ALB_CONTAINER(base, struct event_stream, base);

    if (s->ssl == NULL)
        return alb_fail(ALB_REFUSED, "a connection without TLS has no secret");
    ERR_clear_error();
    if (SSL_export_keying_material(s->ssl, out, STREAM_EXPORTED_SIZE, label, strlen(label), NULL, 0,
                                   0) == 1)
        return ALB_STATUS_OK;
    ERR_clear_error();
    return alb_fail(ALB_IO, "deriving a key from the connection's secret");
}

static void die(struct event_stream *s)
{
    timer_stop(&s->deadline);
    if (buf_size(&s->unsent) == 0)
        say_goodbye(s);
    stream_event_drop_fd(s);
    loop_bury(&s->loop->base, destroy, s);
}

static void leave(struct event_stream *s)
{
    struct event_stream **link = &s->loop->leaving;

    while (*link != s)
        link = &(*link)->next_leaving;
    *link = s->next_leaving;
    die(s);
}

static void on_left(void *arg)
{
    leave(arg);
}

static void start_leaving(struct event_stream *s)
{
    s->state = STREAM_LEAVING;
    s->next_leaving = s->loop->leaving;
    s->loop->leaving = s;
    timer_init(&s->deadline, &s->loop->base, on_left, s);
    timer_set_in(&s->deadline, LEAVE_NS);
}

static void event_free_stream(struct stream *base)
{
    struct event_stream *s = ALB_CONTAINER(base, struct event_stream, base);

    stream_dial_release(s);
    if (s->state == STREAM_OPEN && buf_size(&s->unsent) > 0)
        start_leaving(s);
    else
        die(s);
}

void stream_event_abandon_leaving(struct loop_event *loop)
{
    while (loop->leaving != NULL)
        leave(loop->leaving);
}

struct event_stream *stream_event_new(struct loop_event *loop, struct tls_context *tls)
{
    static const struct stream_ops ops = {
        .read = event_read,
        .write = event_write,
        .figures = event_figures,
        .mark_bulk = event_mark_bulk,
        .set_pacing = event_set_pacing,
        .export_key = event_export_key,
        .free = event_free_stream,
    };
    struct event_stream *s = xalloc(sizeof(*s));

    stream_init(&s->base, &loop->base, &ops);
    s->loop = loop;
    s->fd = -1;
    s->tls = tls;
    s->outlet = (struct tls_outlet){put, s};
    buf_init(&s->unsent, STREAM_SEALED_MAX);
    return s;
}
