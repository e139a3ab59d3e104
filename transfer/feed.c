/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/feed.c – a bounded queue of text per listener. */
#include "transfer/feed.h"

#include <stdio.h>

#include "base/alloc.h"

enum { QUEUE_MAX = 16 << 10 };

struct feed_listener {
    struct feed *feed; /* NULL once the feed is gone */
    struct http_exchange *x;
    char device[64];
    struct buf queue;
    bool is_ending; /* it was too slow, or we hang up */
    TAILQ_ENTRY(feed_listener) link;
};
TAILQ_HEAD(feed_listeners, feed_listener);

struct feed {
    struct loop *loop;
    struct feed_listeners listeners;
};

struct feed *feed_new(struct loop *loop)
{
    struct feed *f = xalloc(sizeof *f);

    f->loop = loop;
    TAILQ_INIT(&f->listeners);
    return f;
}

struct feed *feed_free(struct feed *f)
{
    struct feed_listener *l;

    if (f == NULL)
        return NULL;
    while ((l = TAILQ_FIRST(&f->listeners)) != NULL) {
        TAILQ_REMOVE(&f->listeners, l, link);
        l->feed = NULL;
        http_exchange_resume(l->x);
    }
    free(f);
    return NULL;
}

void feed_hang_up(struct feed *f)
{
    struct feed_listener *l;

    TAILQ_FOREACH(l, &f->listeners, link)
    {
        l->is_ending = true;
        http_exchange_resume(l->x);
    }
}

static void say(struct feed_listener *l, const char *line)
{
    if (l->is_ending || alb_failed(buf_printf(&l->queue, "%s\n", line)))
        l->is_ending = true;
    http_exchange_resume(l->x);
}

void feed_say(struct feed *f, const char *line)
{
    struct feed_listener *l;

    alb_assert(strlen(line) < FEED_LINE_MAX);
    TAILQ_FOREACH(l, &f->listeners, link)
    say(l, line);
}

size_t feed_say_to(struct feed *f, const char *device, const char *line)
{
    struct feed_listener *l;
    size_t heard = 0;

    alb_assert(strlen(line) < FEED_LINE_MAX);
    TAILQ_FOREACH(l, &f->listeners, link)
    {
        if (l->is_ending || strcmp(l->device, device) != 0)
            continue;
        say(l, line);
        heard += !l->is_ending;
    }
    return heard;
}

static size_t pull(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct feed_listener *l = arg;
    size_t n = buf_size(&l->queue) < size ? buf_size(&l->queue) : size;

    if (n > 0)
        memcpy(out, buf_peek(&l->queue), n);
    buf_consume(&l->queue, n);
    *ended = (l->is_ending || l->feed == NULL) && buf_size(&l->queue) == 0;
    return n;
}

struct feed_listener *feed_listen(struct feed *f, const char *device, struct http_exchange *x,
                                  struct http_source *source)
{
    struct feed_listener *l = xalloc(sizeof *l);

    l->feed = f;
    l->x = x;
    (void)snprintf(l->device, sizeof l->device, "%s", device);
    buf_init(&l->queue, QUEUE_MAX);
    TAILQ_INSERT_TAIL(&f->listeners, l, link);
    *source = (struct http_source){.pull = pull, .arg = l};
    return l;
}

void feed_unlisten(struct feed_listener *l)
{
    if (l->feed != NULL)
        TAILQ_REMOVE(&l->feed->listeners, l, link);
    buf_release(&l->queue);
    free(l);
}
