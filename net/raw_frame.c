/* SPDX-License-Identifier: Apache-2.0 */
/* net/raw_frame.c – a socket for one packet: which link it leaves by is said with the packet. */
#include "net/raw_frame_impl.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"

union control {
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct cmsghdr aligned;
};

static struct alb_status status_of(int error, int family)
{
    if ((error == EPERM || error == EACCES) && family != AF_PACKET)
        return alb_fail(ALB_REFUSED,
                        "sending a datagram: this machine's packet filter or routes forbid it");
    if (error == EPERM || error == EACCES)
        return alb_fail(ALB_REFUSED, "sending a frame: it needs CAP_NET_RAW");
    if (error == EAFNOSUPPORT)
        return alb_fail(ALB_REFUSED, "sending a frame: this system allows no such socket");
    if (error == ENODEV || error == ENXIO)
        return alb_fail(ALB_NOT_FOUND, "sending a frame: there is no such link");
    if (error == EAGAIN || error == ENOBUFS)
        return alb_fail(ALB_FULL, "sending a frame: the link's queue is full");
    return alb_status_from_errno(error, "sending a frame");
}

/* Makes a socket, sends what `m` says, closes it.  A wake is a rare thing. */
static struct alb_status send_once(int family, int type, const struct msghdr *m)
{
    const int on = 1;
    const int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return status_of(errno, family);
    if (family == AF_INET)
        (void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &on, sizeof(on));
    const int error = sendmsg(fd, m, MSG_NOSIGNAL) < 0 ? errno : 0;
    close(fd);
    return error == 0 ? ALB_STATUS_OK : status_of(error, family);
}

/* The kernel writes the Ethernet header, with the link's own MAC.  Protocol 0: nothing is received.
 */
static struct alb_status send_ether(const struct raw_frame *f, struct iovec *part)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(f->ethertype),
                             .sll_ifindex = (int)f->link,
                             .sll_halen = NET_MAC_SIZE};
    const struct msghdr m = {
        .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = part, .msg_iovlen = 1};

    memcpy(to.sll_addr, f->to_mac, NET_MAC_SIZE);
    return send_once(AF_PACKET, SOCK_DGRAM, &m);
}

static struct alb_status send_udp(const struct raw_frame *f, struct iovec *part)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr = {htonl(INADDR_BROADCAST)}};
    const struct in_pktinfo info = {.ipi_ifindex = (int)f->link};
    union control control = {.bytes = {0}};
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = sizeof(to),
                       .msg_iov = part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = CMSG_SPACE(sizeof(info))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    if (f->to.size == sizeof(to.sin_addr))
        memcpy(&to.sin_addr, f->to.bytes, sizeof(to.sin_addr));
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(c), &info, sizeof(info));
    return send_once(AF_INET, SOCK_DGRAM, &m);
}

static struct alb_status send_udp6(const struct raw_frame *f, struct iovec *part)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_port = htons(f->port),
                              .sin6_addr = {{{0xff, 0x02, [15] = 1}}},
                              .sin6_scope_id = f->link};
    const struct msghdr m = {
        .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = part, .msg_iovlen = 1};

    if (f->to.size == sizeof(to.sin6_addr))
        memcpy(&to.sin6_addr, f->to.bytes, sizeof(to.sin6_addr));
    return send_once(AF_INET6, SOCK_DGRAM, &m);
}

static struct alb_status send_its_way(const struct raw_frame *f, struct iovec *part)
{
    switch (f->way) {
    case RAW_ETHER: return send_ether(f, part);
    case RAW_UDP: return send_udp(f, part);
    case RAW_UDP6: return send_udp6(f, part);
    }
    alb_unreachable();
}

struct alb_status raw_frame_event_send(struct loop *loop, const struct raw_frame *f)
{
    uint8_t copy[RAW_FRAME_MOST];
    struct iovec part = {copy, f->size};

    (void)loop;
    memcpy(copy, f->bytes, f->size); /* an iovec has no const */
    struct alb_status st = send_its_way(f, &part);
    wipe(copy, f->size); /* a wake frame may hold a password */
    return st;
}

struct alb_status raw_frame_send(struct loop *loop, const struct raw_frame *f)
{
    alb_assert(f->size <= RAW_FRAME_MOST);
    if (f->link == 0) /* to the kernel: whichever the routes say */
        return alb_fail(ALB_NOT_FOUND, "sending a frame: there is no such link");
    return loop->ops->send_frame(loop, f);
}
