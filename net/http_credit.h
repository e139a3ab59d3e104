/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_credit.h – how much connection window to grant: pure arithmetic, no HTTP.
 *
 * Credit is what the other side may still send.  It cannot be taken back, so it is given late and
 * only for a reason: what is outstanding never exceeds the window W, nor the bytes that somebody
 * here announced (an answer's largest size, an upload's length) and that have not come yet.  The
 * 65,535 bytes that every connection starts with are there before anything is said; they are
 * counted as outstanding, so nothing is added to them until more than that is wanted.
 */
#pragma once

#include <stdint.h>

enum { HTTP_WINDOW_DEFAULT = 4 << 20, HTTP_WINDOW_MAX = 1 << 30 };

/* Most that one body may announce; far above any real one, and thousands of them still add up. */
#define HTTP_BODY_MAX (UINT64_C(1) << 48)

struct http_credit {
    uint64_t window_bytes;    /* W: most bytes outstanding                       */
    uint64_t quantum_bytes;   /* least worth a frame; 0: an eighth of W          */
    uint64_t announced_bytes; /* expected by open calls or uploads, not yet here */
};

void http_credit_init(struct http_credit *c, uint64_t window_bytes);
/* Takes 0 for the default and cuts what is larger than the protocol can say. */
void http_credit_set_window(struct http_credit *c, uint64_t window_bytes);
/* A body of at most `limit` bytes announces limit + 1: without room for one byte too many, one that
 * is too long would stand still for ever instead of being noticed. */
void http_credit_announce(struct http_credit *c, uint64_t bytes);
/* `bytes` of what was announced came, or will not come any more. */
void http_credit_settle(struct http_credit *c, uint64_t bytes);

/* The least that is worth a frame: never so large that W has no room for two. */
uint64_t http_credit_least(const struct http_credit *c);
/* What to grant now, when the other side may still send `outstanding` bytes; 0 when it is too
 * little to be worth a frame and the other side is not about to stand still. */
uint64_t http_credit_due(const struct http_credit *c, uint64_t outstanding);
