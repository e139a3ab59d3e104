/* SPDX-License-Identifier: Apache-2.0 */
/* net/datagram_event.c – UDP sockets of the kernel: when did it come, to which of our addresses.
 */
#include "net/datagram_event.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/loop_event.h"

enum {
    TAKEN_AT_ONCE = 64, /* then the streams have their turn                              */
    CONTROL_SIZE = 256, /* a time stamp and a packet's address, with room                */
    ROOM = 256 << 10,   /* in the socket, each way: hundreds of probes while a loop lags */
};
/* A stamp older than that is a stepped clock's. */
#define STAMP_AGE_MOST_NS (2 * NS_PER_S)

struct event_datagram {
    struct datagram base;
    struct loop_event *loop;
    int fd;
    struct event *readable;
    bool is_closed; /* while its own callback runs */
};

union control {
    char bytes[CONTROL_SIZE];
    struct cmsghdr aligned;
};

/* ---- receiving ------------------------------------------------------------------------------- */

/* The stamp is of the wall's clock, which may have been stepped since. */
static uint64_t arrival_ns(const struct timespec *stamp, uint64_t now_ns)
{
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t age_ns = (int64_t)(wall.tv_sec - stamp->tv_sec) * (int64_t)NS_PER_S +
                     (wall.tv_nsec - stamp->tv_nsec);

    if (age_ns < 0 || age_ns > (int64_t)STAMP_AGE_MOST_NS || (uint64_t)age_ns > now_ns)
        return now_ns;
    return now_ns - (uint64_t)age_ns;
}

static void note_here(struct datagram_peer *from, const void *address, uint8_t size)
{
    memcpy(from->here, address, size);
    from->here_size = size;
}

static void read_control(struct msghdr *m, struct datagram_peer *from, uint64_t *at_ns)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
            *at_ns = arrival_ns(&stamp, *at_ns);
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            note_here(from, &info.ipi_spec_dst, sizeof(info.ipi_spec_dst));
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            note_here(from, &info.ipi6_addr, sizeof(info.ipi6_addr));
        }
    }
}

/* False: nothing more for now. */
static bool take_one(struct event_datagram *d)
{
    uint8_t bytes[DATAGRAM_MOST];
    union control control;
    struct datagram_peer from = {.here_size = 0};
    struct iovec part = {bytes, sizeof(bytes)};
    struct msghdr m = {.msg_name = &from.address.storage,
                       .msg_namelen = sizeof(from.address.storage),
                       .msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t size = recvmsg(d->fd, &m, 0);

    if (size < 0)
        return errno != EAGAIN; /* else an error about what was sent before: the next may be fine */
    if ((m.msg_flags & MSG_TRUNC) != 0)
        return true;
    uint64_t at_ns = loop_now_ns(&d->loop->base);
    from.address.size = m.msg_namelen;
    read_control(&m, &from, &at_ns);
    d->base.got(d->base.arg, bytes, (size_t)size, &from, at_ns);
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct event_datagram *d = arg;

    (void)fd;
    (void)what;
    loop_event_enter(d->loop);
    for (unsigned i = 0; i < TAKEN_AT_ONCE && !d->is_closed; i++)
        if (!take_one(d))
            return;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void put_control(struct msghdr *m, int level, int type, const void *info, size_t size)
{
    m->msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *c = CMSG_FIRSTHDR(m);

    alb_assert(c != NULL);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), info, size);
}

/* Leave from the address that was asked. */
static void put_here(struct msghdr *m, const struct datagram_peer *to)
{
    if (to->here_size == sizeof(struct in_addr)) {
        struct in_pktinfo info = {.ipi_ifindex = 0};
        memcpy(&info.ipi_spec_dst, to->here, sizeof(info.ipi_spec_dst));
        put_control(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    } else if (to->here_size == sizeof(struct in6_addr)) {
        struct in6_pktinfo info = {.ipi6_ifindex = 0};
        memcpy(&info.ipi6_addr, to->here, sizeof(info.ipi6_addr));
        put_control(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    } else {
        m->msg_control = NULL;
        m->msg_controllen = 0;
    }
}

static struct alb_status event_send(struct datagram *base, const void *bytes, size_t size,
                                    const struct datagram_peer *to)
{
    struct event_datagram *d = ALB_CONTAINER(base, struct event_datagram, base);
    uint8_t copy[DATAGRAM_MOST];
    struct datagram_peer peer = *to;
    union control control = {.bytes = {0}};
    struct iovec part = {copy, size};
    struct msghdr m = {.msg_name = &peer.address.storage,
                       .msg_namelen = peer.address.size,
                       .msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};

    memcpy(copy, bytes, size); /* an iovec has no const */
    put_here(&m, &peer);
    if (sendmsg(d->fd, &m, MSG_NOSIGNAL) >= 0)
        return ALB_STATUS_OK;
    if (errno == EAGAIN || errno == ENOBUFS)
        return alb_fail(ALB_FULL, "sending a datagram: the socket has no room");
    return alb_fail_sys("sending a datagram");
}

/* ---- birth and death ------------------------------------------------------------------------- */

static uint16_t event_port(const struct datagram *base)
{
    const struct event_datagram *d = (const struct event_datagram *)base;
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof(own);

    alb_assert(getsockname(d->fd, (struct sockaddr *)&own, &size) == 0);
    return address_port(&own);
}

static void event_close(struct datagram *base)
{
    struct event_datagram *d = ALB_CONTAINER(base, struct event_datagram, base);

    d->is_closed = true;
    event_free(d->readable);
    close(d->fd);
    loop_bury(&d->loop->base, free, d); /* got() may be what calls us */
}

/* Each makes an answer better; none is needed for one. */
static void tune(int fd, int family)
{
    const int on = 1, off = 0, room = ROOM;

    (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    if (family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    } else {
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    }
}

static struct alb_status open_socket(const struct address *at, int *out)
{
    int fd = socket(at->storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return alb_fail_sys("making a datagram socket");
    tune(fd, at->storage.ss_family);
    if (bind(fd, (const struct sockaddr *)&at->storage, at->size) != 0) {
        struct alb_status st = alb_fail_sys("binding the UDP port");
        close(fd);
        return st;
    }
    *out = fd;
    return ALB_STATUS_OK;
}

static const char *any_address(const struct datagram_peer *towards)
{
    return towards->address.storage.ss_family == AF_INET6 ? "::" : "0.0.0.0";
}

bool datagram_event_find_host(struct loop *loop, const char *host, uint16_t port,
                              struct address *out)
{
    struct address_list found;

    (void)loop;
    if (!resolve_numeric(host, port, &found))
        return false;
    *out = found.at[0];
    return true;
}

struct alb_status datagram_event_open(struct loop *loop, const struct datagram_options *options,
                                      struct datagram **out)
{
    static const struct datagram_ops ops = {
        .port = event_port, .send = event_send, .close = event_close};
    const char *host = options->address != NULL ? options->address : any_address(options->towards);
    struct address at;
    int fd = -1;

    if (!datagram_event_find_host(loop, host, options->port, &at))
        return alb_fail(ALB_INVALID, "the address of a UDP socket: it is no IP address");
    struct alb_status st = open_socket(&at, &fd);
    if (alb_failed(st))
        return st;

    struct event_datagram *d = xalloc(sizeof(*d));
    d->base = (struct datagram){.ops = &ops, .got = options->got, .arg = options->arg};
    d->loop = loop_event_of(loop);
    d->fd = fd;
    d->readable = event_new(d->loop->events, fd, EV_READ | EV_PERSIST, on_readable, d);
    alb_assert(d->readable != NULL && event_add(d->readable, NULL) == 0);
    *out = &d->base;
    return ALB_STATUS_OK;
}
