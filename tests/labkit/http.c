/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/http.c – HTTP/1.1, as much of it as our own server answers. */
#include "labkit/http.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "labkit/common.h"

enum { PIECE_BYTES = 1 << 14, HEAD_BYTES = 256 };

void http_ask(int fd, uint64_t bytes)
{
    char head[64];
    int size = snprintf(head, sizeof head, "GET /%" PRIu64 " HTTP/1.1\r\n\r\n", bytes);
    if (send(fd, head, (size_t)size, 0) != size)
        tool_fail("cannot ask for %" PRIu64 " bytes", bytes);
}

/* Body bytes that came behind the head; -1 when there was none. */
static ssize_t head_read(int fd)
{
    char head[HEAD_BYTES];
    size_t have = 0;
    while (have < sizeof head - 1) {
        ssize_t got = recv(fd, head + have, sizeof head - 1 - have, 0);
        if (got <= 0)
            return -1;
        have += (size_t)got;
        head[have] = '\0';
        const char *end = strstr(head, "\r\n\r\n");
        if (end != NULL)
            return (ssize_t)have - (end + 4 - head);
    }
    return -1;
}

bool http_get(int fd, uint64_t bytes)
{
    char piece[PIECE_BYTES];
    http_ask(fd, bytes);
    ssize_t first = head_read(fd);
    if (first < 0)
        return false;
    uint64_t have = (uint64_t)first;
    while (have < bytes) {
        ssize_t got = recv(fd, piece, sizeof piece, 0);
        if (got <= 0)
            return false;
        have += (uint64_t)got;
    }
    return !tool_stopped;
}
