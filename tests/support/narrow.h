/* SPDX-License-Identifier: Apache-2.0 */
/* support/narrow.h – a stream through which little passes at a time, over any other stream. */
#pragma once

#include "base/alloc.h"
#include "net/stream.h"

struct narrow {
    struct stream stream; /* give this to whom should have it hard */
    struct stream *inner; /* owned */
    size_t read_most;     /* bytes of one read; 0: as they come */
    size_t write_most; /* the n-th write moves 1 + n % write_most, every other one blocks first */
    bool is_bulk;      /* it was marked */
    bool is_stopped;   /* nothing is read until narrow_go_on() */
    unsigned writes;
    struct timer again;
};

static inline void narrow_follow(struct narrow *n)
{
    n->stream.is_open = n->inner->is_open;
    n->stream.status = n->inner->status;
    n->stream.peer = n->inner->peer;
}

static inline void narrow_on_ready(void *arg)
{
    struct narrow *n = arg;

    narrow_follow(n);
    n->stream.ready(n->stream.ready_arg);
}

static inline enum stream_result narrow_read(struct stream *s, void *out, size_t size,
                                             size_t *moved)
{
    struct narrow *n = ALB_CONTAINER(s, struct narrow, stream);

    if (n->is_stopped)
        return STREAM_BLOCKED;
    if (n->read_most != 0 && size > n->read_most)
        size = n->read_most;
    enum stream_result result = stream_read(n->inner, out, size, moved);
    narrow_follow(n);
    return result;
}

static inline enum stream_result narrow_write(struct stream *s, const void *bytes, size_t size,
                                              size_t *moved)
{
    struct narrow *n = ALB_CONTAINER(s, struct narrow, stream);

    if (n->write_most != 0) {
        size_t most = 1 + n->writes / 2 % n->write_most;

        if (n->writes++ % 2 == 0) {
            timer_set_in(&n->again, 0);
            return STREAM_BLOCKED;
        }
        size = size < most ? size : most;
    }
    enum stream_result result = stream_write(n->inner, bytes, size, moved);
    narrow_follow(n);
    return result;
}

static inline void narrow_figures(struct stream *s, struct path_figures *out)
{
    stream_figures(ALB_CONTAINER(s, struct narrow, stream)->inner, out);
}

static inline void narrow_mark_bulk(struct stream *s)
{
    struct narrow *n = ALB_CONTAINER(s, struct narrow, stream);

    n->is_bulk = true;
    stream_mark_bulk(n->inner);
}

static inline void narrow_free(struct stream *s)
{
    struct narrow *n = ALB_CONTAINER(s, struct narrow, stream);

    timer_stop(&n->again);
    stream_free(n->inner);
    loop_bury(s->loop, free, n);
}

/* Takes `inner`; freed with stream_free(&n->stream), by whoever it was given to. */
static inline struct narrow *narrow_new(struct stream *inner)
{
    static const struct stream_ops ops = {.read = narrow_read,
                                          .write = narrow_write,
                                          .figures = narrow_figures,
                                          .mark_bulk = narrow_mark_bulk,
                                          .free = narrow_free};
    struct narrow *n = xalloc(sizeof *n);

    stream_init(&n->stream, inner->loop, &ops);
    memcpy(n->stream.address, inner->address, sizeof n->stream.address);
    n->inner = inner;
    timer_init(&n->again, inner->loop, narrow_on_ready, n);
    narrow_follow(n);
    stream_on_ready(inner, narrow_on_ready, n);
    return n;
}

static inline void narrow_go_on(struct narrow *n)
{
    n->is_stopped = false;
    timer_set_in(&n->again, 0);
}
