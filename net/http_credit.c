/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_credit.c – the arithmetic of credit, and the one place where it is granted. */
#include "net/http_credit.h"

#include "base/status.h"
#include "net/http_impl.h"

/* A grant costs about 75 bytes on the wire (frame, TLS record, TCP and IP headers).  From one full
 * segment's worth on that stays under 6 % of the other direction; an eighth of W keeps it far
 * below. */
enum { QUANTUM_LEAST = 1400, QUANTUM_MOST = 256 << 10, QUANTA_IN_WINDOW = 8 };

static uint64_t quantum(const struct http_credit *c)
{
    uint64_t bytes = c->window_bytes / QUANTA_IN_WINDOW;

    if (bytes < QUANTUM_LEAST)
        return QUANTUM_LEAST;
    return bytes < QUANTUM_MOST ? bytes : QUANTUM_MOST;
}

void http_credit_init(struct http_credit *c, uint64_t window_bytes)
{
    *c = (struct http_credit){0};
    http_credit_set_window(c, window_bytes);
}

void http_credit_set_window(struct http_credit *c, uint64_t window_bytes)
{
    if (window_bytes == 0)
        window_bytes = HTTP_WINDOW_DEFAULT;
    c->window_bytes = window_bytes < HTTP_WINDOW_MAX ? window_bytes : HTTP_WINDOW_MAX;
}

void http_credit_announce(struct http_credit *c, uint64_t bytes)
{
    alb_assert(bytes <= UINT64_MAX - c->announced_bytes);
    c->announced_bytes += bytes;
}

void http_credit_settle(struct http_credit *c, uint64_t bytes)
{
    alb_assert(bytes <= c->announced_bytes);
    c->announced_bytes -= bytes;
}

uint64_t http_credit_due(const struct http_credit *c, uint64_t outstanding)
{
    uint64_t target = c->announced_bytes < c->window_bytes ? c->announced_bytes : c->window_bytes;

    if (target <= outstanding)
        return 0;
    if (target - outstanding < quantum(c) && outstanding >= quantum(c))
        return 0; /* more will be due before the other side runs dry */
    return target - outstanding;
}

void http_credit_grant(struct http_session *s)
{
    int32_t outstanding = nghttp2_session_get_local_window_size(s->h2);
    uint64_t due = http_credit_due(&s->credit, outstanding > 0 ? (uint64_t)outstanding : 0);

    if (due > 0 && nghttp2_submit_window_update(s->h2, NGHTTP2_FLAG_NONE, 0, (int32_t)due) != 0)
        http_session_finish(s, alb_fail(ALB_FULL, "granting credit"));
}
