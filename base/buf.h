/* SPDX-License-Identifier: Apache-2.0 */
/* base/buf.h – a growing byte buffer whose limit is part of its type's state.
 *
 * Bytes are appended at the end and consumed from the front.  buf_reserve() refuses to grow beyond
 * `limit`; nothing else can make it larger, so a buffer fed by the network is bounded by the line
 * that initialised it.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/status.h"

struct buf {
    uint8_t *bytes; /* owned                                  */
    size_t head;    /* first byte not consumed                */
    size_t tail;    /* one past the last byte                 */
    size_t capacity;
    size_t limit; /* most bytes ever held (tail − head)     */
};

void buf_init(struct buf *b, size_t limit);
void buf_release(struct buf *b);

static inline size_t buf_size(const struct buf *b)
{
    return b->tail - b->head;
}
/* Borrowed; dies with the next append, reserve or release. */
static inline const uint8_t *buf_peek(const struct buf *b)
{
    return b->bytes == NULL ? (const uint8_t *)"" : b->bytes + b->head;
}
static inline size_t buf_room(const struct buf *b)
{
    return b->limit - buf_size(b);
}

/* Make room for `more` bytes at the end; *out points at them until buf_commit().  ALB_FULL when
 * the limit or memory does not allow it. */
ALB_MUST_USE struct alb_status buf_reserve(struct buf *b, size_t more, uint8_t **out);
void buf_commit(struct buf *b, size_t written);
ALB_MUST_USE struct alb_status buf_append(struct buf *b, const void *bytes, size_t size);
ALB_MUST_USE struct alb_status buf_printf(struct buf *b, const char *format, ...) ALB_PRINTF(2, 3);
void buf_consume(struct buf *b, size_t size);
void buf_clear(struct buf *b);
/* Terminate with a zero byte that is not counted and return the text, borrowed. */
const char *buf_text(struct buf *b);
