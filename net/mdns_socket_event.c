/* SPDX-License-Identifier: Apache-2.0 */
/* net/mdns_socket_event.c – the kernel's multicast sockets: one for each family, on many links. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "net/loop_event.h"
#include "net/mdns_impl.h"

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29 /* since Linux 4.20; older C libraries do not name it */
#endif

enum {
    TAKEN_AT_ONCE = 16, /* then the streams have their turn          */
    CONTROL_SIZE = 128, /* which link a packet came by, with room    */
    ROOM = 128 << 10,   /* in the socket: some hundred of packets    */
    HOPS = 255,         /* RFC 6762 §11: what is less came by router */
};
static const struct in6_addr GROUP_6 = {{{0xff, 0x02, [15] = 0xfb}}};

struct event_mdns {
    struct mdns_socket base;
    struct loop_event *loop;
    int fd[MDNS_FAMILIES]; /* -1: this machine has no such family */
    struct event *readable[MDNS_FAMILIES];
    uint8_t bytes[MDNS_PACKET_MOST];
};

union control {
    char bytes[CONTROL_SIZE];
    struct cmsghdr aligned;
};

static struct event_mdns *event_of(struct mdns_socket *base)
{
    return ALB_CONTAINER(base, struct event_mdns, base);
}

/* ---- hearing --------------------------------------------------------------------------------- */

static uint32_t link_of(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            return (uint32_t)info.ipi_ifindex;
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            return info.ipi6_ifindex;
        }
    }
    return 0;
}

static void note_sender(const struct sockaddr_storage *from, struct mdns_heard *out)
{
    if (from->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof(in));
        memcpy(out->from.bytes, &in.sin_addr, sizeof(in.sin_addr));
        out->from.size = sizeof(in.sin_addr);
        out->from_port = ntohs(in.sin_port);
    } else {
        struct sockaddr_in6 in;
        memcpy(&in, from, sizeof(in));
        memcpy(out->from.bytes, &in.sin6_addr, sizeof(in.sin6_addr));
        out->from.size = sizeof(in.sin6_addr);
        out->from_port = ntohs(in.sin6_port);
    }
}

/* False: nothing more for now. */
static bool take_one(struct event_mdns *s, int fd)
{
    union control control;
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    struct iovec part = {s->bytes, sizeof(s->bytes)};
    struct msghdr m = {.msg_name = &from,
                       .msg_namelen = sizeof(from),
                       .msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    const ssize_t size = recvmsg(fd, &m, 0);

    if (size < 0)
        return errno != EAGAIN; /* else an error about what was sent before: the next may be fine */
    if ((m.msg_flags & MSG_TRUNC) != 0)
        return true;
    struct mdns_heard heard = {.bytes = s->bytes, .size = (size_t)size, .link = link_of(&m)};
    note_sender(&from, &heard);
    mdns_socket_hear(&s->base, &heard);
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct event_mdns *s = arg;

    (void)what;
    loop_event_enter(s->loop);
    for (unsigned i = 0; i < TAKEN_AT_ONCE && !s->base.is_closed; i++)
        if (!take_one(s, fd))
            return;
}

/* ---- groups ---------------------------------------------------------------------------------- */

static struct in_addr group_4(void)
{
    return (struct in_addr){.s_addr = htonl(0xe00000fb)}; /* 224.0.0.251 */
}

static int change_group(const struct event_mdns *s, uint32_t link, enum mdns_family family,
                        bool is_in)
{
    const struct ip_mreqn four = {.imr_multiaddr = group_4(), .imr_ifindex = (int)link};
    const struct ipv6_mreq six = {.ipv6mr_multiaddr = GROUP_6, .ipv6mr_interface = link};

    switch (family) {
    case MDNS_4:
        return setsockopt(s->fd[MDNS_4], IPPROTO_IP, is_in ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP,
                          &four, sizeof(four));
    case MDNS_6:
        return setsockopt(s->fd[MDNS_6], IPPROTO_IPV6, is_in ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP,
                          &six, sizeof(six));
    case MDNS_FAMILIES: break;
    }
    alb_unreachable();
}

static bool event_join(struct mdns_socket *base, uint32_t link, enum mdns_family family)
{
    const struct event_mdns *s = event_of(base);

    if (s->fd[family] < 0)
        return false;
    if (change_group(s, link, family, true) == 0 || errno == EADDRINUSE)
        return true;
    log_status(LOG_DEBUG, "mdns.join", alb_fail_sys("joining the group of a link"), "link=%u",
               (unsigned)link);
    return false;
}

/* Of a link that is gone, too: the socket's own list of groups has room for twenty. */
static void event_leave(struct mdns_socket *base, uint32_t link, enum mdns_family family)
{
    (void)change_group(event_of(base), link, family, false);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void put_link(struct msghdr *m, int level, int type, const void *info, size_t size)
{
    m->msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *c = CMSG_FIRSTHDR(m);

    alb_assert(c != NULL);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), info, size);
}

static struct alb_status send_out(int fd, const struct msghdr *m)
{
    if (sendmsg(fd, m, MSG_NOSIGNAL) >= 0)
        return ALB_STATUS_OK;
    if (errno == EAGAIN || errno == ENOBUFS)
        return alb_fail(ALB_FULL, "sending to a link: the socket has no room");
    return alb_fail_sys("sending to a link");
}

static struct alb_status event_send(struct mdns_socket *base, uint32_t link,
                                    enum mdns_family family, const struct mdns_writer *packet)
{
    const struct event_mdns *s = event_of(base);
    uint8_t copy[MDNS_WRITE_MOST];
    union control control = {.bytes = {0}};
    struct iovec part = {copy, packet->size};
    struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_port = htons(MDNS_PORT), .sin_addr = group_4()};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                               .sin6_port = htons(MDNS_PORT),
                               .sin6_addr = GROUP_6,
                               .sin6_scope_id = link};
    const struct in_pktinfo four_by = {.ipi_ifindex = (int)link};
    const struct in6_pktinfo six_by = {.ipi6_ifindex = link};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes};

    memcpy(copy, packet->bytes, packet->size); /* an iovec has no const */
    if (family == MDNS_4) {
        m.msg_name = &four;
        m.msg_namelen = sizeof(four);
        put_link(&m, IPPROTO_IP, IP_PKTINFO, &four_by, sizeof(four_by));
    } else {
        m.msg_name = &six;
        m.msg_namelen = sizeof(six);
        put_link(&m, IPPROTO_IPV6, IPV6_PKTINFO, &six_by, sizeof(six_by));
    }
    return send_out(s->fd[family], &m);
}

/* ---- birth and death ------------------------------------------------------------------------- */

static void event_close(struct mdns_socket *base)
{
    struct event_mdns *s = event_of(base);

    for (unsigned f = 0; f < MDNS_FAMILIES; f++) {
        if (s->fd[f] < 0)
            continue;
        event_free(s->readable[f]);
        close(s->fd[f]);
    }
    loop_bury(&s->loop->base, free, s); /* heard() may be what calls us */
}

/* Both words for a port that others share: who asked for one only gets on with either. */
static void share_port(int fd)
{
    const int on = 1, room = ROOM;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
}

/* Only groups that this socket joined; packets on every link it joined; ours heard by others on
 * this machine. */
static bool tune(int fd, enum mdns_family family)
{
    const int on = 1, off = 0, hops = HOPS;

    if (family == MDNS_4) {
        (void)setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off));
        (void)setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof(on));
        return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof(hops)) == 0 &&
               setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) == 0;
    }
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof(off));
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &on, sizeof(on));
    return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0 &&
           setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) == 0 &&
           setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) == 0;
}

static bool bind_port(int fd, enum mdns_family family)
{
    const struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(MDNS_PORT)};
    const struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(MDNS_PORT)};

    if (family == MDNS_4)
        return bind(fd, (const struct sockaddr *)&four, sizeof(four)) == 0;
    return bind(fd, (const struct sockaddr *)&six, sizeof(six)) == 0;
}

static struct alb_status open_family(enum mdns_family family, int *out)
{
    const int fd =
        socket(family == MDNS_4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return alb_fail_sys("making a socket for multicast DNS");
    share_port(fd);
    if (!tune(fd, family) || !bind_port(fd, family)) {
        struct alb_status st = alb_fail_sys("binding UDP port 5353 for multicast DNS");
        close(fd);
        return st;
    }
    *out = fd;
    return ALB_STATUS_OK;
}

struct alb_status mdns_event_open(struct loop *loop, struct mdns_socket **out)
{
    static const struct mdns_ops ops = {
        .join = event_join, .leave = event_leave, .send = event_send, .close = event_close};
    int fd[MDNS_FAMILIES] = {-1, -1};
    struct alb_status four = open_family(MDNS_4, &fd[MDNS_4]);
    struct alb_status six = open_family(MDNS_6, &fd[MDNS_6]);

    if (alb_failed(four) && alb_failed(six))
        return four;
    struct event_mdns *s = xalloc(sizeof(*s));
    s->base = (struct mdns_socket){.ops = &ops};
    s->loop = loop_event_of(loop);
    for (unsigned f = 0; f < MDNS_FAMILIES; f++) {
        s->fd[f] = fd[f];
        if (fd[f] < 0)
            continue;
        s->readable[f] = event_new(s->loop->events, fd[f], EV_READ | EV_PERSIST, on_readable, s);
        alb_assert(s->readable[f] != NULL && event_add(s->readable[f], NULL) == 0);
    }
    *out = &s->base;
    return ALB_STATUS_OK;
}
