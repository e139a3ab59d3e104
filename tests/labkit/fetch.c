/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/fetch.c – downloads, uploads and small objects, timed. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "labkit/common.h"
#include "labkit/http.h"
#include "labkit/tools.h"

enum { PIECE_BYTES = 1 << 16, BIN_US = 100000 };

static char piece[PIECE_BYTES];

/* Bytes gone by, printed for each 100 ms that has passed. */
struct meter {
    uint64_t began_us, bin, bytes;
};

static void meter_begin(struct meter *m)
{
    *m = (struct meter){.began_us = clock_us()};
    (void)printf("bin_us,bytes\n");
}

static void meter_add(struct meter *m, uint64_t bytes)
{
    uint64_t bin = (clock_us() - m->began_us) / BIN_US;
    while (m->bin < bin) {
        (void)printf("%" PRIu64 ",%" PRIu64 "\n", m->began_us + m->bin * BIN_US, m->bytes);
        m->bytes = 0;
        m->bin++;
    }
    m->bytes += bytes;
}

static bool wait_ready(int fd, short events)
{
    struct pollfd wait = {.fd = fd, .events = events};
    return poll(&wait, 1, BIN_US / 1000) > 0;
}

int tool_fetch(int argc, char **argv)
{
    (void)argc;
    tool_begin(false);
    struct sockaddr_in to = arg_address(argv[0], argv[1]);
    uint64_t seconds = arg_number("seconds", argv[2], 1, 86400);
    struct meter meter;
    meter_begin(&meter);
    uint64_t until_us = meter.began_us + seconds * US_PER_S;
    int fd = tcp_connect(&to, NULL);
    http_ask(fd, UINT64_C(1) << 40);
    while (clock_us() < until_us && !tool_stopped) {
        bool is_ready = wait_ready(fd, POLLIN);
        ssize_t got = is_ready ? recv(fd, piece, sizeof piece, MSG_DONTWAIT) : 0;
        if (is_ready && got == 0) {
            errno = 0;
            tool_fail("the download ended before its time");
        }
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            tool_fail("the download broke off");
        meter_add(&meter, got > 0 ? (uint64_t)got : 0);
    }
    meter_add(&meter, 0);
    close(fd);
    return 0;
}

/* Bytes that the peer's kernel has not acknowledged do not count as gone by. */
static uint64_t unacknowledged(int fd)
{
    int bytes = 0;
    (void)ioctl(fd, SIOCOUTQ, &bytes);
    return (uint64_t)bytes;
}

int tool_push(int argc, char **argv)
{
    (void)argc;
    tool_begin(false);
    struct sockaddr_in to = arg_address(argv[0], argv[1]);
    uint64_t seconds = arg_number("seconds", argv[2], 1, 86400), put = 0, counted = 0;
    struct meter meter;
    meter_begin(&meter);
    uint64_t until_us = meter.began_us + seconds * US_PER_S;
    int fd = tcp_connect(&to, argv[3]);
    static const char HEAD[] = "PUT / HTTP/1.1\r\n\r\n";
    (void)send(fd, HEAD, sizeof HEAD - 1, 0);
    while (clock_us() < until_us && !tool_stopped) {
        ssize_t sent = wait_ready(fd, POLLOUT) ? send(fd, piece, sizeof piece, MSG_DONTWAIT) : 0;
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            tool_fail("the upload broke off");
        put += sent > 0 ? (uint64_t)sent : 0;
        uint64_t waiting = unacknowledged(fd), done = put > waiting ? put - waiting : 0;
        meter_add(&meter, done > counted ? done - counted : 0);
        counted = done > counted ? done : counted;
    }
    close(fd);
    return 0;
}

/* Microseconds from the first packet to the last byte, or 0 when stopped meanwhile. */
static uint64_t object_fetch(const struct sockaddr_in *to, uint64_t bytes)
{
    uint64_t began_us = clock_us();
    int fd = tcp_connect(to, NULL);
    bool whole = http_get(fd, bytes);
    close(fd);
    return whole ? clock_us() - began_us : 0;
}

int tool_web(int argc, char **argv)
{
    tool_begin(false);
    struct sockaddr_in to = arg_address(argv[0], argv[1]);
    uint64_t until_us = clock_us() + US_PER_S * arg_number("seconds", argv[2], 1, 86400);
    int think_ms = (int)arg_number("pause", argv[3], 0, 60000);
    (void)puts("began_us,bytes,took_us");
    for (int i = 0; clock_us() < until_us && !tool_stopped; i++) {
        uint64_t bytes = arg_number("size", argv[4 + i % (argc - 4)], 1, 1u << 30);
        uint64_t began_us = clock_us(), took_us = object_fetch(&to, bytes);
        if (took_us > 0)
            (void)printf("%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", began_us, bytes, took_us);
        (void)fflush(stdout);
        (void)poll(NULL, 0, think_ms);
    }
    return 0;
}
