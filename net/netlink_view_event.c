/* SPDX-License-Identifier: Apache-2.0 */
/* net/netlink_view_event.c – rtnetlink's sockets: one hears what changes, one reads, one asks.
 *
 * A read is a row of dumps, one after the other, each answered in datagrams of up to 32 KiB:
 *
 *     links → addresses → routes → routes (IPv6) → neighbours → neighbours (IPv6) → take
 *
 * A dump whose tables changed under it says so at its end and is begun anew.  The kernel works out
 * an answer while we receive it, so a turn of the loop takes only a few datagrams.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "net/loop_event.h"
#include "net/netlink_parse.h"

enum {
    TAKEN_AT_ONCE = 8,    /* datagrams; then others have their turn                    */
    INTERRUPTED_MOST = 8, /* dumps begun anew at once; then after a rest               */
    EVENTS_ROOM = 1 << 20,
    UEVENT_SIZE = 1024,
};
#define RETRY_NS NS_PER_S
#define RETRY_MOST_NS (64 * NS_PER_S)

struct dump {
    uint16_t type;
    uint8_t family;
    unsigned part;
    const char *name;
};

static const struct dump DUMPS[] = {
    {RTM_GETLINK, AF_UNSPEC, NET_LINKS, "links"},
    {RTM_GETADDR, AF_UNSPEC, NET_ADDRESSES, "addresses"},
    {RTM_GETROUTE, AF_INET, NET_ROUTES, "\"IPv4 routes\""},
    {RTM_GETROUTE, AF_INET6, NET_ROUTES, "\"IPv6 routes\""},
    {RTM_GETNEIGH, AF_INET, NET_NEIGHBOURS, "\"IPv4 neighbours\""},
    {RTM_GETNEIGH, AF_INET6, NET_NEIGHBOURS, "\"IPv6 neighbours\""},
};

struct event_source {
    struct netlink_source base;
    struct loop_event *loop;
    struct mnl_socket *hears, *reads, *asks;
    struct event *heard, *answered;
    void *buffer;   /* NETLINK_DUMP_SIZE */
    unsigned parts; /* being read; 0: nothing */
    size_t step;    /* of DUMPS */
    uint32_t seq;
    unsigned interruptions;
    bool is_outrun; /* the tables changed faster than they were read: said so */
    struct netlink_answer answer;
    struct net_picture fresh;
    struct timer retry;
    uint64_t retry_ns;
    uint64_t spent_ns; /* on this read, by us and by the kernel for us */
    bool is_closed;    /* while its own callback runs */
};

static struct event_source *source_of(struct netlink_source *base)
{
    return ALB_CONTAINER(base, struct event_source, base);
}

/* ---- hearing --------------------------------------------------------------------------------- */

/* False: nothing more for now. */
static bool hear_one(struct event_source *s)
{
    struct netlink_view *v = s->base.view;
    const ssize_t size = mnl_socket_recvfrom(s->hears, s->buffer, NETLINK_DUMP_SIZE);

    if (size < 0 && errno == EINTR)
        return true;
    if (size < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
        netlink_view_overrun(v); /* ENOSPC: libmnl's word for a datagram that was cut */
        return true;
    }
    if (size <= 0)
        return false;
    const unsigned parts = netlink_parse_events(&v->now, s->buffer, (size_t)size);
    if ((parts & NET_NEIGHBOURS) != 0)
        netlink_view_neighbours_moved(v);
    netlink_view_stir(v, parts & ~(unsigned)NET_NEIGHBOURS);
    return true;
}

static void on_heard(evutil_socket_t fd, short what, void *arg)
{
    struct event_source *s = arg;

    (void)fd;
    (void)what;
    loop_event_enter(s->loop);
    for (unsigned i = 0; i < TAKEN_AT_ONCE; i++)
        if (!hear_one(s))
            return;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void fail_read(struct event_source *s, int error, const char *why)
{
    struct alb_status st = alb_status_from_errno(error, "reading the kernel's network tables");
    char text[LOG_TEXT_SIZE];

    log_status(LOG_WARN, "netlink.refused", st,
               "table=%s again_s=%" PRIu64 " kernel=%s what=\"what was known of this machine's "
               "network stays until then\"",
               DUMPS[s->step].name, s->retry_ns / NS_PER_S, log_text(why, text));
    timer_set_in(&s->retry, s->retry_ns);
    s->retry_ns = 2 * s->retry_ns < RETRY_MOST_NS ? 2 * s->retry_ns : RETRY_MOST_NS;
}

static void begin_dump(struct event_source *s)
{
    uint8_t request[NETLINK_REQUEST_SIZE] __attribute__((aligned(4)));
    const struct dump *d = &DUMPS[s->step];
    const size_t size = netlink_build_dump(request, d->type, d->family, ++s->seq);

    s->answer = (struct netlink_answer){
        .seq = s->seq, .port = mnl_socket_get_portid(s->reads), .into = &s->fresh};
    if (mnl_socket_sendto(s->reads, request, size) < 0)
        fail_read(s, errno, "");
}

/* sysfs alone knows wireless links and modems.  Names and indices are of our own name space;
 * where /sys shows another's, or nothing, the link stays what it was. */
static void look_at(struct net_link *l)
{
    char path[64], text[UEVENT_SIZE], devtype[16] = "";

    (void)snprintf(path, sizeof(path), "/sys/class/net/%s/uevent", l->name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    const ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    const char *found = strstr(text, "DEVTYPE=");
    if (found == NULL || sscanf(found, "DEVTYPE=%15s", devtype) != 1)
        return;
    l->nature = net_nature_of(l, l->nature == NET_LOOPBACK, devtype);
}

/* Only links that are new or were renamed: a file of a few bytes, made up in memory. */
static void look_at_links(struct event_source *s)
{
    for (size_t i = 0; i < s->fresh.link_count; i++) {
        struct net_link *l = &s->fresh.links[i];
        const struct net_link *known = net_picture_link(&s->base.view->now, l->index);

        if (known != NULL && strcmp(known->name, l->name) == 0 && strcmp(known->kind, l->kind) == 0)
            l->nature = known->nature;
        else
            look_at(l);
    }
}

/* To the next dump of the parts wanted, or the end. */
static void next_dump(struct event_source *s)
{
    while (s->step < ALB_COUNT(DUMPS) && (DUMPS[s->step].part & s->parts) == 0)
        s->step++;
    if (s->step < ALB_COUNT(DUMPS)) {
        begin_dump(s);
        return;
    }
    const unsigned parts = s->parts;
    look_at_links(s);
    s->parts = 0;
    s->is_outrun = false;
    s->retry_ns = RETRY_NS;
    netlink_view_take(s->base.view, parts, s->spent_ns, &s->fresh); /* may close us */
    net_picture_release(&s->fresh);
}

static void begin_read(void *arg)
{
    struct event_source *s = arg;

    net_picture_release(&s->fresh);
    s->step = 0;
    s->interruptions = 0;
    s->spent_ns = 0;
    next_dump(s);
}

/* Tables so large and busy are read again, but for no more than a tenth of our time. */
static void rest_then_read(struct event_source *s)
{
    const uint64_t rest_ns = NETLINK_REST_FACTOR * s->spent_ns;

    if (!s->is_outrun)
        log_event(LOG_WARN, "netlink.outrun",
                  "table=%s what=\"it changes faster than it is read; until a read succeeds, what "
                  "was known stays\"",
                  DUMPS[s->step].name);
    s->is_outrun = true;
    timer_set_in(&s->retry, rest_ns > RETRY_NS ? rest_ns : RETRY_NS);
}

/* A part is read from its first dump on, so what came of it may be believed whole. */
static void read_part_again(struct event_source *s)
{
    const unsigned part = DUMPS[s->step].part;
    struct net_picture dropped = {.links = NULL};

    net_picture_move(&dropped, &s->fresh, part);
    net_picture_release(&dropped);
    while (s->step > 0 && DUMPS[s->step - 1].part == part)
        s->step--;
    if (++s->interruptions > INTERRUPTED_MOST)
        rest_then_read(s);
    else
        begin_dump(s);
}

static void end_dump(struct event_source *s)
{
    switch (s->answer.end) {
    case NETLINK_MORE: return;
    case NETLINK_INTERRUPTED: read_part_again(s); return;
    case NETLINK_REFUSED:
        if (s->answer.error != EOPNOTSUPP && s->answer.error != EAFNOSUPPORT) {
            fail_read(s, s->answer.error, s->answer.why);
            return;
        }
        break; /* a kernel without IPv6 */
    case NETLINK_DONE: break;
    }
    s->step++;
    next_dump(s);
}

/* False: nothing more for now. */
static bool read_one(struct event_source *s)
{
    const ssize_t size = mnl_socket_recvfrom(s->reads, s->buffer, NETLINK_DUMP_SIZE);

    if (size < 0 && (errno == EINTR || errno == ENOBUFS))
        return true; /* ENOBUFS: of a dump nothing is lost by it */
    if (size < 0 && errno != EAGAIN) {
        fail_read(s, errno, "");
        return false;
    }
    if (size <= 0)
        return false;
    if (s->parts == 0 || timer_is_set(&s->retry))
        return true; /* the rest of something given up */
    netlink_parse_dump(&s->answer, s->buffer, (size_t)size);
    end_dump(s);
    return true;
}

static void on_answered(evutil_socket_t fd, short what, void *arg)
{
    struct event_source *s = arg;
    uint64_t since_ns = loop_now_ns(&s->loop->base);

    (void)fd;
    (void)what;
    loop_event_enter(s->loop);
    for (unsigned i = 0; i < TAKEN_AT_ONCE && !s->is_closed && read_one(s); i++) {
        const uint64_t now_ns = loop_now_ns(&s->loop->base);

        s->spent_ns += now_ns - since_ns;
        since_ns = now_ns;
    }
}

static void event_read(struct netlink_source *base, unsigned parts)
{
    struct event_source *s = source_of(base);

    s->parts = parts;
    begin_read(s);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* Unreachable, or a route that says so: of type prohibit (EACCES) or blackhole (EINVAL; a request
 * that the kernel dislikes ends so too, but with words). */
static bool leads_nowhere(const struct netlink_answer *a)
{
    return a->error == ENETUNREACH || a->error == EHOSTUNREACH || a->error == EACCES ||
           (a->error == EINVAL && a->why[0] == '\0');
}

/* The kernel answers before the request's call returns. */
static struct alb_status event_reach(struct netlink_source *base, const struct net_ip *to,
                                     struct net_way *out)
{
    struct event_source *s = source_of(base);
    uint8_t request[NETLINK_REQUEST_SIZE] __attribute__((aligned(4)));
    struct netlink_answer a = {.seq = ++s->seq, .port = mnl_socket_get_portid(s->asks)};

    if (mnl_socket_sendto(s->asks, request, netlink_build_reach(request, to, a.seq)) < 0)
        return alb_fail_sys("asking for the way to an address");
    while (a.end == NETLINK_MORE) {
        uint8_t answer[4096] __attribute__((aligned(8)));
        const ssize_t size = mnl_socket_recvfrom(s->asks, answer, sizeof(answer));

        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return alb_fail_sys("asking for the way to an address");
        netlink_parse_reach(&a, answer, (size_t)size);
    }
    if (a.end == NETLINK_REFUSED && leads_nowhere(&a))
        return alb_fail(ALB_NOT_FOUND, "asking for the way to an address: no route leads there");
    if (a.end == NETLINK_REFUSED || !a.has_way)
        return alb_status_from_errno(a.error, "asking for the way to an address");
    *out = a.way;
    return ALB_STATUS_OK;
}

/* ---- birth and death ------------------------------------------------------------------------- */

static void bury(void *arg)
{
    struct event_source *s = arg;

    net_picture_release(&s->fresh);
    free(s->buffer);
    free(s);
}

static void event_close(struct netlink_source *base)
{
    struct event_source *s = source_of(base);

    s->is_closed = true;
    timer_stop(&s->retry);
    event_free(s->heard);
    event_free(s->answered);
    mnl_socket_close(s->hears);
    mnl_socket_close(s->reads);
    mnl_socket_close(s->asks);
    loop_bury(&s->loop->base, bury, s);
}

static struct alb_status open_socket(unsigned groups, struct mnl_socket **out)
{
    struct mnl_socket *m = mnl_socket_open2(NETLINK_ROUTE, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int on = 1;

    if (m == NULL)
        return alb_fail_sys("opening a netlink socket");
    if (mnl_socket_bind(m, groups, MNL_SOCKET_AUTOPID) < 0) {
        struct alb_status st = alb_fail_sys("binding a netlink socket");
        mnl_socket_close(m);
        return st;
    }
    /* Words beside the number of an error, and only what was asked for; older kernels do without.
     */
    (void)mnl_socket_setsockopt(m, NETLINK_EXT_ACK, &on, sizeof(on));
    (void)mnl_socket_setsockopt(m, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
    *out = m;
    return ALB_STATUS_OK;
}

/* Beyond the machine's limit with CAP_NET_ADMIN, else up to it: the more, the longer may the loop
 * be busy before all has to be read anew. */
static void make_room(int fd)
{
    const int room = EVENTS_ROOM;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
}

static struct alb_status open_sockets(struct event_source *s)
{
    const unsigned groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE |
                            RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
    struct alb_status st = open_socket(groups, &s->hears);

    if (alb_failed(st))
        return st;
    st = open_socket(0, &s->reads);
    if (!alb_failed(st)) {
        st = open_socket(0, &s->asks);
        if (!alb_failed(st))
            return st;
        mnl_socket_close(s->reads);
    }
    mnl_socket_close(s->hears);
    return st;
}

static struct event *watch(struct event_source *s, struct mnl_socket *m, event_callback_fn fn)
{
    struct event *e = event_new(s->loop->events, mnl_socket_get_fd(m), EV_READ | EV_PERSIST, fn, s);

    alb_assert(e != NULL && event_add(e, NULL) == 0);
    return e;
}

struct alb_status netlink_event_open(struct loop *loop, struct netlink_view *v,
                                     struct netlink_source **out)
{
    static const struct netlink_source_ops ops = {
        .read = event_read, .reach = event_reach, .close = event_close};
    struct event_source *s = xalloc(sizeof(*s));

    s->base = (struct netlink_source){.ops = &ops, .view = v};
    s->loop = loop_event_of(loop);
    s->buffer = xalloc(NETLINK_DUMP_SIZE);
    s->retry_ns = RETRY_NS;
    struct alb_status st = open_sockets(s);
    if (alb_failed(st)) {
        bury(s);
        return st;
    }
    make_room(mnl_socket_get_fd(s->hears));
    s->heard = watch(s, s->hears, on_heard);
    s->answered = watch(s, s->reads, on_answered);
    timer_init(&s->retry, loop, begin_read, s);
    *out = &s->base;
    return ALB_STATUS_OK;
}
