/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/common.c – clocks, sockets, arguments, the way out. */
#include "labkit/common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/net_tstamp.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_BYTES = 1 << 16, RECEIVE_BYTES = 4 << 20, BACKLOG = 64 };

volatile bool tool_stopped;

static void on_stop(int number)
{
    (void)number;
    tool_stopped = true;
}

void tool_begin(bool is_timed)
{
    struct sigaction action = {.sa_handler =
                                   on_stop}; /* without SA_RESTART: calls are broken off */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOFBF, OUTPUT_BYTES);
    if (is_timed) {
        struct sched_param priority = {.sched_priority = 1};
        (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
        (void)sched_setscheduler(0, SCHED_FIFO, &priority);
    }
}

void tool_fail(const char *format, ...)
{
    int number = errno;
    char text[256];
    va_list args;
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    (void)fflush(stdout);
    (void)fprintf(stderr, "albedo-traffic: %s%s%s\n", text, number != 0 ? ": " : "",
                  number != 0 ? strerrordesc_np(number) : "");
    _exit(1);
}

static uint64_t clock_ns(clockid_t which)
{
    struct timespec now;
    (void)clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_us(void)
{
    return clock_ns(CLOCK_MONOTONIC) / NS_PER_US;
}

uint64_t clock_real_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t clock_real_minus_us(void)
{
    return (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_US) - (int64_t)clock_us();
}

uint64_t arg_number(const char *what, const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most)
        tool_fail("%s: '%s' is no number from %llu to %llu", what, text, (unsigned long long)least,
                  (unsigned long long)most);
    return value;
}

struct sockaddr_in arg_address(const char *host, const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
        tool_fail("'%s' is no IPv4 address", host);
    to.sin_port = htons((uint16_t)arg_number("port", port, 1, UINT16_MAX));
    return to;
}

int udp_open(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int bytes = RECEIVE_BYTES, stamps = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) != 0)
        tool_fail("cannot open UDP port %u", port);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &stamps, sizeof stamps) != 0)
        tool_fail("the kernel gives no receive stamps");
    return fd;
}

ssize_t udp_receive(int fd, void *out, size_t size, struct sockaddr_in *from, uint64_t *at_ns)
{
    struct iovec piece = {.iov_base = out, .iov_len = size};
    union {
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_name = from,
                             .msg_namelen = sizeof *from,
                             .msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, 0);
    if (got < 0)
        return -1;
    *at_ns = clock_real_ns();
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec at;
        memcpy(&at, CMSG_DATA(head), sizeof at);
        *at_ns = (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
    }
    return got;
}

void tcp_use(int fd, const char *congestion)
{
    if (congestion != NULL &&
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion)) != 0)
        tool_fail("the kernel has no congestion control '%s'", congestion);
}

int tcp_listen(uint16_t port, const char *congestion)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        tool_fail("cannot open a socket");
    tcp_use(fd, congestion);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) != 0 || listen(fd, BACKLOG) != 0)
        tool_fail("cannot listen on port %u", port);
    (void)puts("ready");
    (void)fflush(stdout);
    return fd;
}

int tcp_connect(const struct sockaddr_in *to, const char *congestion)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        tool_fail("cannot open a socket");
    tcp_use(fd, congestion);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
        tool_fail("cannot connect to port %u", ntohs(to->sin_port));
    return fd;
}
