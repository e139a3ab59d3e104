/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/serve.c – a small web server: GET /BYTES is answered with so many, PUT is drained.
 *
 * One thread for each connection, requests one after another, enough HTTP/1.1 for curl.  The
 * sender's congestion control decides how a download behaves, so one server runs for each kind.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "labkit/common.h"
#include "labkit/tools.h"

enum { REQUEST_BYTES = 4096, PIECE_BYTES = 1 << 16 };

static char piece[PIECE_BYTES]; /* zeros: nothing between here and there compresses */

/* The request's head, NUL-terminated; false if the peer left before it ended. */
static bool head_read(int fd, char *out)
{
    size_t have = 0;
    while (have < REQUEST_BYTES - 1) {
        ssize_t got = recv(fd, out + have, REQUEST_BYTES - 1 - have, 0);
        if (got <= 0)
            return false;
        have += (size_t)got;
        out[have] = '\0';
        if (strstr(out, "\r\n\r\n") != NULL)
            return true;
    }
    return false;
}

static void get_answer(int fd, const char *path)
{
    unsigned long long bytes = strtoull(path, NULL, 10);
    char head[128];
    int size =
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", bytes);
    if (send(fd, head, (size_t)size, bytes > 0 ? MSG_MORE : 0) != size)
        return;
    while (bytes > 0) {
        ssize_t sent = send(fd, piece, bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES, 0);
        if (sent <= 0)
            return;
        bytes -= (unsigned long long)sent;
    }
}

static void *connection_serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char head[REQUEST_BYTES], sink[4096];
    while (head_read(fd, head) && strncmp(head, "GET /", 5) == 0)
        get_answer(fd, head + 5);
    while (recv(fd, sink, sizeof sink, 0) > 0)
        ; /* an upload, or the end of the connection */
    close(fd);
    return NULL;
}

/* A route's own congestion control wins over what a connection inherits: it is said again. */
static void connection_begin(int fd, const char *congestion)
{
    pthread_t thread;
    int one = 1;
    tcp_use(fd, congestion);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (pthread_create(&thread, NULL, connection_serve, (void *)(intptr_t)fd) != 0)
        tool_fail("no thread for a connection");
    (void)pthread_detach(thread);
}

int tool_serve(int argc, char **argv)
{
    (void)argc;
    tool_begin(false);
    int fd = tcp_listen((uint16_t)arg_number("port", argv[0], 1, UINT16_MAX), argv[1]);
    while (!tool_stopped) {
        int got = accept(fd, NULL, NULL);
        if (got >= 0)
            connection_begin(got, argv[1]);
        else if (errno != EINTR && errno != ECONNABORTED)
            tool_fail("cannot accept");
    }
    return 0;
}
