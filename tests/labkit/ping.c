/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/ping.c – round trips of small packets, and what each way took of them.
 *
 * Both ends read one clock, that of the machine, so the two ways can be told apart.  Arrivals are
 * the kernel's own stamps: how late a process is woken is not counted as the link's delay.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "labkit/common.h"
#include "labkit/tools.h"

enum { PACKET_MOST = 1400, LOST_AFTER_US = 2 * US_PER_S };

struct ping_packet {
    uint64_t seq;
    uint64_t sent_ns;     /* by the asking side */
    uint64_t reached_ns;  /* when the echo's kernel had it */
    uint64_t returned_ns; /* when the echo sent it back */
};

struct ping {
    int fd;
    struct sockaddr_in to;
    size_t bytes; /* payload */
    uint64_t period_us;
    uint64_t count;
    uint64_t *sent_us; /* by sequence number; 0 once answered */
    int64_t real_minus_us;
};

int tool_echo(int argc, char **argv)
{
    (void)argc;
    tool_begin(true);
    int fd = udp_open((uint16_t)arg_number("port", argv[0], 1, UINT16_MAX));
    (void)puts("ready");
    (void)fflush(stdout);
    union {
        struct ping_packet head;
        char bytes[PACKET_MOST];
    } packet;
    while (!tool_stopped) {
        struct sockaddr_in from;
        uint64_t at_ns;
        ssize_t got = udp_receive(fd, &packet, sizeof packet, &from, &at_ns);
        if (got < (ssize_t)sizeof packet.head)
            continue;
        packet.head.reached_ns = at_ns;
        packet.head.returned_ns = clock_real_ns();
        (void)sendto(fd, &packet, (size_t)got, 0, (struct sockaddr *)&from, sizeof from);
    }
    close(fd);
    return 0;
}

static void ping_send(struct ping *p, uint64_t seq)
{
    char bytes[PACKET_MOST] = {0};
    struct ping_packet head = {.seq = seq, .sent_ns = clock_real_ns()};
    memcpy(bytes, &head, sizeof head);
    p->sent_us[seq] = clock_us();
    (void)sendto(p->fd, bytes, p->bytes, 0, (struct sockaddr *)&p->to, sizeof p->to);
}

static void ping_take(struct ping *p)
{
    union {
        struct ping_packet head;
        char bytes[PACKET_MOST];
    } packet;
    struct sockaddr_in from;
    uint64_t at_ns;
    ssize_t got = udp_receive(p->fd, &packet, sizeof packet, &from, &at_ns);
    struct ping_packet *head = &packet.head;
    if (got < (ssize_t)sizeof *head || head->seq >= p->count || p->sent_us[head->seq] == 0)
        return;
    int64_t up_us = (int64_t)(head->reached_ns - head->sent_ns) / NS_PER_US;
    int64_t down_us = (int64_t)(at_ns - head->returned_ns) / NS_PER_US;
    (void)printf("%" PRIu64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "\n", p->sent_us[head->seq],
                 up_us + down_us, up_us, down_us);
    p->sent_us[head->seq] = 0;
}

/* Whatever arrives until the monotonic moment `until_us`. */
static void ping_listen(struct ping *p, uint64_t until_us)
{
    for (uint64_t now_us = clock_us(); now_us < until_us && !tool_stopped; now_us = clock_us()) {
        struct pollfd wait = {.fd = p->fd, .events = POLLIN};
        struct timespec left = {.tv_sec = (time_t)((until_us - now_us) / US_PER_S),
                                .tv_nsec = (long)((until_us - now_us) % US_PER_S) * NS_PER_US};
        if (ppoll(&wait, 1, &left, NULL) > 0)
            ping_take(p);
    }
}

static void ping_run(struct ping *p)
{
    uint64_t began_us = clock_us(), sent = 0;
    (void)puts("sent_us,rtt_us,up_us,down_us");
    for (; sent < p->count && !tool_stopped; sent++) {
        ping_send(p, sent);
        ping_listen(p, began_us + (sent + 1) * p->period_us);
        if (sent % 64 == 0)
            (void)fflush(stdout);
    }
    uint64_t stopped_us = clock_us();
    tool_stopped = false;
    if (sent == p->count)
        ping_listen(p, stopped_us + LOST_AFTER_US);
    for (uint64_t seq = 0; seq < sent; seq++)
        if (p->sent_us[seq] != 0 && p->sent_us[seq] + LOST_AFTER_US <= clock_us())
            (void)printf("%" PRIu64 ",-1,-1,-1\n", p->sent_us[seq]);
}

int tool_ping(int argc, char **argv)
{
    (void)argc;
    tool_begin(true);
    uint64_t hz = arg_number("rate", argv[2], 1, 1000);
    struct ping p = {
        .fd = udp_open(0),
        .to = arg_address(argv[0], argv[1]),
        .bytes = arg_number("size", argv[4], sizeof(struct ping_packet), PACKET_MOST),
        .period_us = US_PER_S / hz,
        .count = hz * arg_number("seconds", argv[3], 1, 86400),
    };
    p.sent_us = calloc(p.count, sizeof *p.sent_us);
    if (p.sent_us == NULL)
        tool_fail("no memory");
    ping_run(&p);
    free(p.sent_us);
    close(p.fd);
    return 0;
}
