/* SPDX-License-Identifier: Apache-2.0 */
/* base/buf.c – a growing byte buffer with a limit.
 *
 * The block always has one spare byte after the tail, so that buf_text() and vsnprintf() can
 * terminate without growing.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"

enum { FIRST_CAPACITY = 64 };

static void move_to_front(struct buf *b)
{
    if (b->head == 0)
        return;
    memmove(b->bytes, b->bytes + b->head, buf_size(b));
    b->tail -= b->head;
    b->head = 0;
}

static bool has_space(const struct buf *b, size_t more)
{
    return b->capacity > b->tail && more < b->capacity - b->tail; /* one byte stays spare */
}

static size_t most_capacity(const struct buf *b)
{
    return b->limit == SIZE_MAX ? SIZE_MAX : b->limit + 1;
}

/* Double the block, at least to `need` bytes, never past the limit and its spare byte. */
static bool grow(struct buf *b, size_t need)
{
    size_t capacity = b->capacity < FIRST_CAPACITY / 2 ? FIRST_CAPACITY : 2 * b->capacity;
    uint8_t *grown;

    if (capacity > most_capacity(b))
        capacity = most_capacity(b);
    if (capacity < need)
        capacity = need;
    grown = try_realloc(b->bytes, capacity);
    if (grown == NULL)
        return false;
    b->bytes = grown;
    b->capacity = capacity;
    return true;
}

/* Moving is paid for by what was consumed; when less was consumed than has to move, grow as well,
 * or a slow reader would cost a move for each append. */
static bool make_space(struct buf *b, size_t more)
{
    bool cheap = b->head >= buf_size(b);

    if (has_space(b, more))
        return true;
    move_to_front(b);
    if (has_space(b, more) && (cheap || b->capacity >= most_capacity(b)))
        return true;
    return grow(b, b->tail + more + 1);
}

void buf_init(struct buf *b, size_t limit)
{
    *b = (struct buf){.limit = limit};
}

void buf_release(struct buf *b)
{
    free(b->bytes);
    *b = (struct buf){.limit = b->limit};
}

struct alb_status buf_reserve(struct buf *b, size_t more, uint8_t **out)
{
    if (more > buf_room(b) || more >= SIZE_MAX - b->tail)
        return alb_fail(ALB_FULL, "buffer limit reached");
    if (!make_space(b, more))
        return alb_fail(ALB_FULL, "no memory for a buffer");
    *out = b->bytes + b->tail;
    return ALB_STATUS_OK;
}

void buf_commit(struct buf *b, size_t written)
{
    alb_assert(written == 0 || written < b->capacity - b->tail);
    b->tail += written;
}

struct alb_status buf_append(struct buf *b, const void *bytes, size_t size)
{
    uint8_t *room;
    struct alb_status st;

    if (size == 0)
        return ALB_STATUS_OK;
    st = buf_reserve(b, size, &room);
    if (alb_failed(st))
        return st;
    memcpy(room, bytes, size);
    buf_commit(b, size);
    return ALB_STATUS_OK;
}

struct alb_status buf_printf(struct buf *b, const char *format, ...)
{
    struct alb_status st;
    uint8_t *room;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        return alb_fail(ALB_BUG, "formatting text");
    st = buf_reserve(b, (size_t)n, &room);
    if (alb_failed(st))
        return st;
    va_start(args, format);
    n = vsnprintf((char *)room, (size_t)n + 1, format, args);
    va_end(args);
    buf_commit(b, (size_t)n);
    return ALB_STATUS_OK;
}

void buf_consume(struct buf *b, size_t size)
{
    alb_assert(size <= buf_size(b));
    b->head += size;
    if (b->head == b->tail)
        buf_clear(b);
}

void buf_clear(struct buf *b)
{
    b->head = 0;
    b->tail = 0;
}

const char *buf_text(struct buf *b)
{
    if (b->bytes == NULL)
        return "";
    b->bytes[b->tail] = '\0';
    return (const char *)buf_peek(b);
}
