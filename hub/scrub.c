/* SPDX-License-Identifier: Apache-2.0 */
/* hub/scrub.c – all of the store read once, in the background, after a chunk was found damaged.
 *
 *     a slice of keys: list → read each (check values are looked at) → what is bad is noted → a
 *     rest → the next slice … → told
 *
 * A disk that damaged one chunk has rarely damaged one only; whoever publishes again is to hear of
 * all of them at once.  A rest between slices leaves the disk to those who are waiting for it: at
 * most some 100 MB/s are read.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/hub_impl.h"

#define REST_NS (50 * NS_PER_MS)
enum { SLICE_CHUNKS = 64 };

struct scrub_task {
    struct hub_task task; /* first */
    struct chunk_key after, bad[SLICE_CHUNKS];
    struct alb_status why[SLICE_CHUNKS];
    size_t bad_count, looked_at;
    bool is_over;
};

static void slice(void *hub);

void hub_scrub_init(struct hub *h)
{
    timer_init(&h->scrub.rest, h->options.loop, slice, h);
}

void hub_scrub_start(struct hub *h)
{
    struct scrub *s = &h->scrub;

    if (s->is_running)
        return;
    s->is_running = true;
    s->after = (struct chunk_key){.kind = 0};
    s->looked_at = s->bad = 0;
    timer_set_in(&s->rest, REST_NS);
}

void hub_scrub_stop(struct hub *h)
{
    timer_stop(&h->scrub.rest);
    h->scrub.is_running = false;
}

/* NOT_FOUND: removed since it was listed. */
static void scrub_run(struct hub_task *t)
{
    struct scrub_task *p = (struct scrub_task *)t;
    struct chunk_store *store = t->hub->options.store;
    struct chunk_key keys[SLICE_CHUNKS];
    size_t count = 0;

    t->st = chunk_store_list(store, &p->after, SLICE_CHUNKS, keys, &count);
    for (size_t i = 0; i < count && !alb_failed(t->st); i++) {
        struct chunk *chunk = NULL;
        struct alb_status st = chunk_store_get(store, &keys[i], &chunk);
        chunk_unref(chunk);
        if (!alb_failed(st) || st.code == ALB_NOT_FOUND)
            continue;
        p->why[p->bad_count] = st;
        p->bad[p->bad_count++] = keys[i];
    }
    if (count > 0)
        p->after = keys[count - 1];
    p->looked_at = count;
    p->is_over = alb_failed(t->st) || count < SLICE_CHUNKS;
}

static void scrub_after(struct hub_task *t)
{
    struct scrub_task *p = (struct scrub_task *)t;
    struct scrub *s = &t->hub->scrub;

    for (size_t i = 0; i < p->bad_count && s->is_running; i++)
        hub_note_damage(t->hub, &p->bad[i], p->why[i]);
    s->after = p->after;
    s->looked_at += p->looked_at;
    s->bad += p->bad_count;
    if (alb_failed(t->st))
        log_status(LOG_ERROR, "store.not_looked_through", t->st, "looked_at=%" PRIu64,
                   s->looked_at);
    else if (p->is_over)
        log_event(LOG_INFO, "store.looked_through", "chunks=%" PRIu64 " bad=%" PRIu64, s->looked_at,
                  s->bad);
    if (p->is_over)
        s->is_running = false;
    if (s->is_running)
        timer_set_in(&s->rest, REST_NS);
    hub_task_end(t);
}

static void slice(void *hub)
{
    struct hub *h = hub;
    struct scrub_task *p = hub_task_new(h, NULL, sizeof *p);

    p->after = h->scrub.after;
    p->task.run = scrub_run;
    p->task.after = scrub_after;
    hub_task_start(&p->task, JOB_SHARED, 1 << 20);
}
