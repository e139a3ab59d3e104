/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream_event.c – moves bytes between an owner and a socket, through TLS or plain. */
#include "net/stream_event.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/units.h"

enum {
    RECORD_SIZE = 16 << 10, /* most that TLS puts into one record (RFC 8446, 5.1)                 */
    /* Bytes that may wait in the kernel before the socket counts as full: enough for 100 Mbit/s
     * at 10 ms, little enough that what is urgent does not stand behind a second of bulk. */
    UNSENT_SIZE = 128 << 10,
    USER_TIMEOUT_MS = 20000, /* sent and not acknowledged for that long: the path is dead         */
    DSCP_LE = 0x01, /* "lower effort", RFC 8622                                           */
};
/* A last record that does not get out by then is lost. */
#define LEAVE_NS (5 * NS_PER_S)

static void on_io(evutil_socket_t fd, short what, void *arg);
static void on_left(void *arg);
static enum stream_result flush_stuck(struct event_stream *s);
static void leave(struct event_stream *s);

/* ---- sockets and events ---------------------------------------------------------------------- */

/* Each of these makes a good connection better; none is needed for a working one. */
static void tune(const struct event_stream *s, int fd)
{
    const int on = 1;
    const int unsent = UNSENT_SIZE;
    const unsigned user_timeout_ms = USER_TIMEOUT_MS;
    const int class = DSCP_LE << 2;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
    if (s->bulk) {
        (void)setsockopt(fd, IPPROTO_IP, IP_TOS, &class, sizeof(class));
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class));
    }
}

void stream_event_use_fd(struct event_stream *s, int fd)
{
    s->fd = fd;
    s->readable = event_new(s->loop->events, fd, EV_READ, on_io, s);
    s->writable = event_new(s->loop->events, fd, EV_WRITE, on_io, s);
    alb_assert(s->readable != NULL && s->writable != NULL);
    tune(s, fd);
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
        if ((what & EV_WRITE) == 0 || flush_stuck(s) != STREAM_BLOCKED)
            s->base.ready(s->base.ready_arg);
        return;
    case STREAM_LEAVING:
        if (flush_stuck(s) != STREAM_BLOCKED)
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

static enum stream_result write_record(struct event_stream *s, const void *bytes, size_t size,
                                       size_t *moved)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(s->ssl, bytes, size, moved);

    if (result == 1)
        return STREAM_MOVED;
    return stream_event_wait_tls(s, result) ? STREAM_BLOCKED : STREAM_FAILED;
}

/* BLOCKED while a record that was begun is not out; MOVED when nothing stands in the way. */
static enum stream_result flush_stuck(struct event_stream *s)
{
    size_t went = 0;

    while (s->stuck_size > 0) {
        enum stream_result result = write_record(s, s->stuck, s->stuck_size, &went);

        if (result != STREAM_MOVED)
            return result;
        memmove(s->stuck, s->stuck + went, s->stuck_size - went);
        s->stuck_size -= went;
    }
    free(s->stuck);
    s->stuck = NULL;
    return STREAM_MOVED;
}

/* TLS has sealed these bytes, or may have: from here on they are ours to deliver. */
static void keep_stuck(struct event_stream *s, const void *bytes, size_t size)
{
    s->stuck = xalloc(size);
    memcpy(s->stuck, bytes, size);
    s->stuck_size = size;
}

static enum stream_result write_tls(struct event_stream *s, const uint8_t *bytes, size_t size,
                                    size_t *moved)
{
    enum stream_result result = flush_stuck(s);
    size_t done = 0;

    while (result == STREAM_MOVED && done < size) {
        size_t record = size - done < RECORD_SIZE ? size - done : RECORD_SIZE;
        size_t went = 0;

        result = write_record(s, bytes + done, record, &went);
        if (result == STREAM_BLOCKED) {
            keep_stuck(s, bytes + done, record);
            went = record;
        }
        done += went;
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

/* ---- figures --------------------------------------------------------------------------------- */

static void event_figures(struct stream *base, struct path_figures *out)
{
    struct event_stream *s = ALB_CONTAINER(base, struct event_stream, base);
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);

    if (s->fd >= 0 && getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) {
        out->rtt_ns = (uint64_t)info.tcpi_rtt * 1000;
        out->retransmitted = info.tcpi_total_retrans;
        out->unsent_bytes = info.tcpi_notsent_bytes;
    }
    out->unsent_bytes += s->stuck_size;
    out->wire_sent_bytes = s->plain_sent;
    out->wire_received_bytes = s->plain_received;
    if (s->ssl != NULL) {
        out->wire_sent_bytes = BIO_number_written(SSL_get_wbio(s->ssl));
        out->wire_received_bytes = BIO_number_read(SSL_get_rbio(s->ssl));
    }
}

/* ---- birth and death ------------------------------------------------------------------------- */

static void destroy(void *memory)
{
    struct event_stream *s = memory;

    SSL_free(s->ssl);
    free(s->stuck);
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
static void die(struct event_stream *s)
{
    timer_stop(&s->deadline);
    if (s->stuck_size == 0)
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
    if (s->state == STREAM_OPEN && s->stuck_size > 0)
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
        .free = event_free_stream,
    };
    struct event_stream *s = xalloc(sizeof(*s));

    stream_init(&s->base, &loop->base, &ops);
    s->loop = loop;
    s->fd = -1;
    s->tls = tls;
    return s;
}
