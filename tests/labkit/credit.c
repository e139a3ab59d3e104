/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/credit.c – a download whose receiver grants each packet, as a rival's window law wants.
 *
 * The receiver sends credits of one packet with the time on them; the sender answers each with a
 * packet that carries the time back.  TCP below is a pipe that always has less to do than it could.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "labkit/common.h"
#include "labkit/ledbat.h"
#include "labkit/tools.h"

struct credit {
    uint64_t sent_us;
};

/* A packet's beginning; the rest of LEDBAT_PACKET bytes is filling. */
struct loan {
    uint64_t sent_us;
    uint32_t lost; /* segments retransmitted so far */
    uint32_t zero;
};

static uint32_t retransmitted(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    memset(&info, 0, sizeof info);
    (void)getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    return info.tcpi_total_retrans;
}

static void no_delay(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void lend_to(int fd)
{
    char packet[LEDBAT_PACKET] = {0};
    struct credit credit;
    no_delay(fd);
    while (!tool_stopped && recv(fd, &credit, sizeof credit, MSG_WAITALL) == sizeof credit) {
        struct loan loan = {.sent_us = credit.sent_us, .lost = retransmitted(fd)};
        memcpy(packet, &loan, sizeof loan);
        if (send(fd, packet, sizeof packet, 0) != sizeof packet)
            break;
    }
    close(fd);
}

int tool_lend(int argc, char **argv)
{
    (void)argc;
    tool_begin(false);
    int fd = tcp_listen((uint16_t)arg_number("port", argv[0], 1, UINT16_MAX), "cubic");
    while (!tool_stopped) { /* one borrower at a time */
        int got = accept(fd, NULL, NULL);
        if (got < 0)
            continue;
        tcp_use(got, "cubic");
        lend_to(got);
    }
    return 0;
}

struct borrower {
    int fd;
    struct ledbat law;
    uint64_t outstanding; /* bytes granted and not yet here */
    uint64_t left;        /* bytes not yet granted */
    char packet[LEDBAT_PACKET];
    size_t have;
};

static void credits_send(struct borrower *b)
{
    while (b->left > 0 && b->outstanding + LEDBAT_PACKET <= ledbat_window(&b->law)) {
        struct credit credit = {.sent_us = clock_us()};
        if (send(b->fd, &credit, sizeof credit, 0) != sizeof credit)
            tool_fail("the lender went away");
        b->outstanding += LEDBAT_PACKET;
        b->left -= b->left < LEDBAT_PACKET ? b->left : LEDBAT_PACKET;
    }
}

static void loans_take(struct borrower *b)
{
    ssize_t got;
    while ((got = recv(b->fd, b->packet + b->have, sizeof b->packet - b->have, MSG_DONTWAIT)) > 0) {
        b->have += (size_t)got;
        if (b->have < sizeof b->packet)
            continue;
        struct loan loan;
        memcpy(&loan, b->packet, sizeof loan);
        uint64_t now_us = clock_us();
        b->have = 0;
        b->outstanding -= LEDBAT_PACKET;
        ledbat_on_arrival(&b->law, now_us - loan.sent_us, loan.lost, now_us);
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        tool_fail("the lender went away");
}

int tool_ledbat(int argc, char **argv)
{
    tool_begin(false);
    struct sockaddr_in to = arg_address(argv[0], argv[1]);
    uint64_t until_us = clock_us() + US_PER_S * arg_number("seconds", argv[2], 1, 86400);
    struct borrower b = {.fd = tcp_connect(&to, "cubic"), .left = UINT64_MAX};
    if (argc > 3)
        b.left = arg_number("bytes", argv[3], 1, UINT64_MAX);
    no_delay(b.fd);
    ledbat_init(&b.law, clock_us());
    while (b.left + b.outstanding > 0 && clock_us() < until_us && !tool_stopped) {
        struct pollfd wait = {.fd = b.fd, .events = POLLIN};
        credits_send(&b);
        if (poll(&wait, 1, 100) > 0)
            loans_take(&b);
    }
    close(b.fd);
    return 0;
}
