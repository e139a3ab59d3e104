/* SPDX-License-Identifier: Apache-2.0 */
/* net/listener_event.c – accepts connections and hands over those whose handshake succeeds.
 *
 * Between accept() and the owner a connection is an *arrival*; there are at most ARRIVALS_MAX, each
 * with a deadline, so a crowd that connects and says nothing costs a bounded amount.  When one
 * address has many of them, those of its own that have been silent for a while give way: an honest
 * handshake takes a second at most.
 */
#include "net/stream_event.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log_limit.h"
#include "base/log.h"
#include "base/units.h"

enum {
    BACKLOG = 512,        /* the kernel's queue: a site's machines that start in one second   */
    ARRIVALS_MAX = 256,   /* about 10 MiB of handshakes in progress                           */
    SOURCE_ARRIVALS = 64, /* of one address; a branch behind one address starts within this   */
    ACCEPTS_AT_ONCE = 16, /* then the open streams have their turn                            */
};
#define SHAKE_NS (10 * NS_PER_S)
#define CROWD_LOOK_NS (NS_PER_S / 2)
#define CROWD_AGE_NS (2 * NS_PER_S)
/* At the descriptor limit accept() fails at once, for ever:
 * asking without a pause burns the CPU. */
#define PAUSE_NS (2 * NS_PER_S)

struct event_listener {
    struct listener base;
    struct loop_event *loop;
    struct tls_context *tls; /* borrowed */
    accept_fn accepted;
    void *arg;
    int fd;
    struct event *readable;
    struct timer pause, crowd;
    struct log_limit failed_lines;
    bool is_starved; /* no descriptors; said so in the log */
    struct arrival *arrivals;
    unsigned arrival_count;
};

struct arrival {
    struct event_listener *listener;
    struct stream *stream;
    uint64_t since_ns;
    size_t source_size; /* of stream->address: without the port */
    struct arrival *next, **link;
};

/* ---- arrivals -------------------------------------------------------------------------------- */

static struct stream *arrival_take(struct arrival *a)
{
    struct event_listener *l = a->listener;
    struct stream *stream = a->stream;

    *a->link = a->next;
    if (a->next != NULL)
        a->next->link = a->link;
    if (l->arrival_count-- == ARRIVALS_MAX && !timer_is_set(&l->pause))
        event_add(l->readable, NULL);
    stream_on_ready(stream, NULL, NULL);
    free(a);
    return stream;
}

static void say_failed(struct event_listener *l, const struct stream *stream, struct alb_status st)
{
    char why[LOG_TEXT_SIZE];
    char quoted[LOG_TEXT_SIZE];

    if (log_limit_passes(&l->failed_lines, loop_now_ns(&l->loop->base)))
        log_event(LOG_INFO, "accept.failed", "from=%s why=%s", stream->address,
                  log_text(alb_status_text(st, why, sizeof(why)), quoted));
}

static void on_shaken(void *arg)
{
    struct arrival *a = arg;
    struct event_listener *l = a->listener;
    struct stream *stream = arrival_take(a);

    if (stream_is_open(stream)) {
        l->accepted(l->arg, stream);
        return;
    }
    say_failed(l, stream, stream_status(stream));
    stream_free(stream);
}

/* ---- crowds ---------------------------------------------------------------------------------- */

static bool is_same_source(const struct arrival *a, const struct arrival *b)
{
    return a->source_size == b->source_size &&
           memcmp(a->stream->address, b->stream->address, a->source_size) == 0;
}

static unsigned count_source(const struct event_listener *l, const struct arrival *of)
{
    unsigned n = 0;

    for (const struct arrival *a = l->arrivals; a != NULL; a = a->next)
        n += is_same_source(a, of);
    return n;
}

static void on_crowd(void *arg)
{
    struct event_listener *l = arg;
    const uint64_t now_ns = loop_now_ns(&l->loop->base);
    struct arrival *next;

    for (struct arrival *a = l->arrivals; a != NULL; a = next) {
        next = a->next;
        if (now_ns - a->since_ns < CROWD_AGE_NS || count_source(l, a) <= SOURCE_ARRIVALS)
            continue;
        struct stream *stream = arrival_take(a);
        say_failed(l, stream, alb_fail(ALB_FULL, "its address has too many handshakes under way"));
        stream_free(stream);
    }
    if (l->arrival_count > SOURCE_ARRIVALS)
        timer_set_in(&l->crowd, CROWD_LOOK_NS);
}

/* ---- arriving -------------------------------------------------------------------------------- */

static void arrive(struct event_listener *l, int fd, const struct sockaddr_storage *from)
{
    struct arrival *a = xalloc(sizeof(*a));

    a->listener = l;
    a->stream = stream_event_accept(l->loop, fd, l->tls, from, SHAKE_NS);
    const char *port = strrchr(a->stream->address, ':');
    a->source_size = port == NULL ? 0 : (size_t)(port - a->stream->address);
    a->since_ns = loop_now_ns(&l->loop->base);
    a->link = &l->arrivals;
    a->next = l->arrivals;
    if (a->next != NULL)
        a->next->link = &a->next;
    l->arrivals = a;
    if (++l->arrival_count > SOURCE_ARRIVALS && !timer_is_set(&l->crowd))
        timer_set_in(&l->crowd, CROWD_LOOK_NS);
    stream_on_ready(a->stream, on_shaken, a);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static bool is_shortage(int sys)
{
    return sys == EMFILE || sys == ENFILE || sys == ENOBUFS || sys == ENOMEM;
}

static void pause_accepting(struct event_listener *l, int sys)
{
    event_del(l->readable);
    timer_set_in(&l->pause, PAUSE_NS);
    if (l->is_starved)
        return;
    l->is_starved = true;
    log_status(LOG_ERROR, "accept.paused",
               alb_status_from_errno(sys, "accepting connections: raise the limit of open files"),
               "port=%u", (unsigned)listener_port(&l->base));
}

/* False: nothing more for now. */
static bool accept_one(struct event_listener *l)
{
    struct sockaddr_storage from = {0};
    socklen_t size = sizeof(from);
    int fd = accept4(l->fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        arrive(l, fd, &from);
        return true;
    }
    if (is_shortage(errno)) {
        pause_accepting(l, errno);
        return false;
    }
    if (errno == EAGAIN) {
        l->is_starved = false; /* the queue is empty: that shortage is over */
        return false;
    }
    return true; /* that connection died in the queue; look at the next */
}

static void on_connection(evutil_socket_t fd, short what, void *arg)
{
    struct event_listener *l = arg;

    (void)fd;
    (void)what;
    loop_event_enter(l->loop);
    for (unsigned i = 0; i < ACCEPTS_AT_ONCE && l->arrival_count < ARRIVALS_MAX; i++)
        if (!accept_one(l))
            return;
    if (l->arrival_count == ARRIVALS_MAX)
        event_del(l->readable); /* arrival_take() starts it again */
}

static void on_pause_over(void *arg)
{
    struct event_listener *l = arg;

    if (l->arrival_count < ARRIVALS_MAX)
        event_add(l->readable, NULL);
}

/* ---- birth and death ------------------------------------------------------------------------- */

static uint16_t event_port(const struct listener *base)
{
    const struct event_listener *l = (const struct event_listener *)base;
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof(own);

    alb_assert(getsockname(l->fd, (struct sockaddr *)&own, &size) == 0);
    return address_port(&own);
}

static void event_free_listener(struct listener *base)
{
    struct event_listener *l = (struct event_listener *)base;

    while (l->arrivals != NULL)
        stream_free(arrival_take(l->arrivals));
    timer_stop(&l->pause);
    timer_stop(&l->crowd);
    event_free(l->readable);
    close(l->fd);
    loop_bury(&l->loop->base, free, l); /* accepted() may be what calls us */
}

static struct alb_status open_socket(const struct address *at, int *out)
{
    const int on = 1;
    const int off = 0;
    int fd = socket(at->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return alb_fail_sys("making a listening socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (at->storage.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, (const struct sockaddr *)&at->storage, at->size) != 0 ||
        listen(fd, BACKLOG) != 0) {
        struct alb_status st = alb_fail_sys("listening at that address and port");
        close(fd);
        return st;
    }
    *out = fd;
    return ALB_STATUS_OK;
}

struct alb_status listener_event_open(struct loop *loop, const struct listen_options *options,
                                      accept_fn accepted, void *arg, struct listener **out)
{
    static const struct listener_ops ops = {.port = event_port, .free = event_free_listener};
    struct address_list where;
    int fd = -1;

    if (!resolve_numeric(options->address, options->port, &where))
        return alb_fail(ALB_INVALID, "the listen address: it is no IP address");
    struct alb_status st = open_socket(&where.at[0], &fd);
    if (alb_failed(st))
        return st;

    struct event_listener *l = xalloc(sizeof(*l));
    l->base.ops = &ops;
    l->loop = loop_event_of(loop);
    l->tls = options->tls;
    l->accepted = accepted;
    l->arg = arg;
    l->fd = fd;
    l->readable = event_new(l->loop->events, fd, EV_READ | EV_PERSIST, on_connection, l);
    alb_assert(l->readable != NULL && event_add(l->readable, NULL) == 0);
    timer_init(&l->pause, loop, on_pause_over, l);
    timer_init(&l->crowd, loop, on_crowd, l);
    log_limit_init(&l->failed_lines, "accept.failed");
    *out = &l->base;
    return ALB_STATUS_OK;
}
