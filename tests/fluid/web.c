/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/web.c – a person at a browser: an object, a thought, the next object. */
#include "fluid/pipe.h"

#include <stdlib.h>

#include "base/alloc.h"

static const uint64_t sizes[WEB_SIZES] = {30000, 300000, 2000000};

void web_begin(struct world *w, struct pipe *p, double think_s)
{
    p->web = xcalloc(1, sizeof(*p->web));
    p->web->think_ns = (uint64_t)(think_s * 1e9);
    p->web->due_ns = p->timer_ns = w->now_ns;
}

/* A click: a round trip for the connection, another for the request, then the object. */
void web_on_timer(struct world *w, struct pipe *p)
{
    struct web *web = p->web;
    double trip_s = w->links[DOWN].shape.delay_s + w->links[UP].shape.delay_s;
    if (web->began_ns == 0) {
        web->began_ns = w->now_ns;
        double wait_s = 1.5 * trip_s + 2 * link_queue_s(&w->links[DOWN]);
        web->due_ns = w->now_ns + (uint64_t)(wait_s * 1e9);
        return;
    }
    web->due_ns = UINT64_MAX;
    if (p->stop_ns != 0 && w->now_ns >= p->stop_ns)
        return;
    pipe_reconnect(w, p);
    web->target = p->limit + sizes[web->next];
    pipe_give(w, p, sizes[web->next]);
}

void web_on_delivered(struct world *w, struct pipe *p)
{
    struct web *web = p->web;
    if (web->began_ns == 0 || p->received_bytes < web->target)
        return;
    double took_s = (double)(w->now_ns - web->began_ns) / 1e9;
    unsigned *count = &web->count[web->next];
    if ((double)web->began_ns / 1e9 >= web->from_s && *count < WEB_KEPT)
        web->took_s[web->next][(*count)++] = took_s;
    web->next = (web->next + 1) % WEB_SIZES;
    web->began_ns = 0;
    /* No two thoughts are equally long, or pages would keep in step with the law. */
    web->due_ns = w->now_ns + (uint64_t)((double)web->think_ns * (0.5 + world_random(w)));
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double web_percentile(struct web *web, unsigned size, double share)
{
    unsigned count = web->count[size];
    if (count == 0)
        return 0;
    qsort(web->took_s[size], count, sizeof(double), compare);
    return web->took_s[size][(size_t)(share * (count - 1))];
}
