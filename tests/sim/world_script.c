/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_script.c – a stream whose other side is a script. */
#include "sim/world_script.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"

enum { PIECE_MOST = 600, WRITES_BETWEEN_PAUSES = 7 };

struct script {
    struct stream stream; /* first */
    struct timer timer;
    const uint8_t *bytes;
    size_t left, piece;
    unsigned writes;
    bool is_paused;
};

static void on_next_piece(void *arg)
{
    struct script *s = arg;
    size_t most = s->left < PIECE_MOST ? s->left : PIECE_MOST;

    s->is_paused = false;
    if (s->piece == 0 && most > 0)
        s->piece = loop_random_between(s->stream.loop, 1, most);
    s->stream.ready(s->stream.ready_arg);
}

static enum stream_result wait_a_moment(struct script *s)
{
    if (!timer_is_set(&s->timer))
        timer_set_in(&s->timer, NS_PER_MS);
    return STREAM_BLOCKED;
}

static enum stream_result script_read(struct stream *stream, void *out, size_t size, size_t *moved)
{
    struct script *s = (struct script *)stream;
    size_t n = size < s->piece ? size : s->piece;

    if (s->left == 0)
        return STREAM_ENDED;
    if (n == 0)
        return wait_a_moment(s);
    memcpy(out, s->bytes, n);
    s->bytes += n;
    s->left -= n;
    s->piece -= n;
    *moved = n;
    return STREAM_MOVED;
}

static enum stream_result script_write(struct stream *stream, const void *bytes, size_t size,
                                       size_t *moved)
{
    struct script *s = (struct script *)stream;

    (void)bytes;
    if (s->is_paused)
        return wait_a_moment(s);
    s->is_paused = ++s->writes % WRITES_BETWEEN_PAUSES == 0;
    *moved = size;
    return STREAM_MOVED;
}

static void script_figures(struct stream *stream, struct path_figures *out)
{
    (void)stream;
    (void)out;
}

static void script_free(struct stream *stream)
{
    struct script *s = (struct script *)stream;

    timer_stop(&s->timer);
    free(s);
}

static const struct stream_ops script_ops = {
    .read = script_read, .write = script_write, .figures = script_figures, .free = script_free};

struct stream *world_script_stream(struct loop *loop, const uint8_t *bytes, size_t size)
{
    struct script *s = xalloc(sizeof(*s));

    stream_init(&s->stream, loop, &script_ops);
    timer_init(&s->timer, loop, on_next_piece, s);
    s->stream.is_open = true;
    s->bytes = bytes;
    s->left = size;
    return &s->stream;
}
