/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/prefetch_pass.c – one order carried out: its version is passed over, and what lacks is
 * asked for, until a pass finds all of it in the store. */
#include "transfer/prefetch_impl.h"

#include <stdio.h>

#include "base/alloc.h"

enum {
    LOOK_AT = 256,   /* positions looked for in the store at once */
    TRIES_MOST = 3,  /* passes in a row that brought nothing */
    PASSES_MOST = 8, /* … and that brought all, which then was not there */
};
#define SETTLE_NS (300 * NS_PER_MS) /* the keeper writes within 5 ms, and a sync takes its time */
#define REST_NS (2 * NS_PER_S)      /* doubled with each try */

struct prefetch_slot { /* one chunk being asked for */
    struct prefetcher *owner;
    struct waiter waiter;
    uint32_t raw_bytes;
    bool is_busy;
};

struct prefetch_look { /* a job: what is in the store? */
    struct job job;
    struct prefetcher *owner; /* NULL: nobody asks any more */
    struct chunk_store *store;
    uint32_t first;
    size_t count;
    struct chunk_key keys[LOOK_AT];
    struct where where[LOOK_AT];
    bool has[LOOK_AT];
    struct alb_status st;
};

static void opened(struct root_wait *w, struct alb_status st, const struct root_view *view);
static void go_on(struct prefetcher *p);
static void look_run(struct job *job);
static void look_done(struct job *job);
static void came(struct waiter *w, struct alb_status st, struct chunk *chunk);
static void end_pass(struct prefetcher *p);
static void set_back(struct prefetcher *p, struct alb_status st);

void prefetcher_run(struct prefetcher *p, struct prefetch *f)
{
    p->running = f;
    p->passes = p->tries = 0;
    p->slots = xcalloc(PREFETCH_SLOTS, sizeof *p->slots);
    prefetcher_pass(p);
}

void prefetcher_let_go(struct prefetcher *p)
{
    timer_stop(&p->rest);
    if (p->look != NULL)
        p->look->owner = NULL;
    p->look = NULL;
    if (p->waits_root)
        root_book_leave(p->options.roots, &p->root_wait);
    p->waits_root = false;
    for (size_t i = 0; p->slots != NULL && i < PREFETCH_SLOTS; i++)
        if (p->slots[i].is_busy)
            supply_leave(p->options.supply, &p->slots[i].waiter);
    loop_bury(p->options.loop, free, p->slots);
    p->slots = NULL;
    p->busy = 0;
    if (p->view != NULL) {
        supply_tell_left(p->options.supply, p->view->layer, 0);
        root_book_close_view(p->options.roots, p->view);
    }
    p->view = NULL;
    p->running = NULL;
}

void prefetcher_pass(void *prefetcher)
{
    struct prefetcher *p = prefetcher;
    struct supply_stats stats;

    if (p->view == NULL) {
        p->root_wait = (struct root_wait){.done = opened};
        p->waits_root = true;
        root_book_open(p->options.roots, p->running->order.layer, &p->running->order.root,
                       &p->root_wait);
        return;
    }
    supply_stats(p->options.supply, &stats);
    p->pass = (struct prefetch_pass){.not_kept = stats.not_kept};
    p->passes++;
    go_on(p);
}

/* The lists as one row: the root object, the manifest's chunks, the content. */
static uint32_t row_length(const struct root_view *v)
{
    return 1 + v->root.chunk_count + (uint32_t)v->content_key_count;
}

static void row_key(const struct root_view *v, uint32_t at, struct chunk_key *key,
                    struct where *where)
{
    const uint32_t manifest = v->root.chunk_count;
    bool is_there;

    if (at == 0)
        is_there = root_view_key(v, LIST_ROOT, 0, key, where);
    else if (at <= manifest)
        is_there = root_view_key(v, LIST_MANIFEST, at - 1, key, where);
    else
        is_there = root_view_key(v, LIST_CONTENT, at - 1 - manifest, key, where);
    alb_assert(is_there);
}

static void opened(struct root_wait *w, struct alb_status st, const struct root_view *view)
{
    struct prefetcher *p = ALB_CONTAINER(w, struct prefetcher, root_wait);
    struct prefetch_report *r = &p->running->report;
    struct chunk_key key;
    struct where where;

    p->waits_root = false;
    if (alb_failed(st)) {
        set_back(p, st);
        return;
    }
    p->view = view;
    r->chunks = row_length(view);
    r->bytes = 0;
    for (uint32_t i = 0; i < r->chunks; i++) {
        row_key(view, i, &key, &where);
        r->bytes += where.raw_bytes;
    }
    prefetcher_set_news(p, p->running);
    prefetcher_pass(p);
}

static void look(struct prefetcher *p)
{
    const uint32_t left = row_length(p->view) - p->pass.next;
    struct prefetch_look *l = xalloc(sizeof *l);

    *l = (struct prefetch_look){.owner = p,
                                .store = supply_store(p->options.supply),
                                .first = p->pass.next,
                                .count = left < LOOK_AT ? left : LOOK_AT};
    for (size_t i = 0; i < l->count; i++)
        row_key(p->view, l->first + (uint32_t)i, &l->keys[i], &l->where[i]);
    p->pass.next += (uint32_t)l->count;
    p->look = l;
    l->job = (struct job){
        .run = look_run, .done = look_done, .lane = JOB_SHARED, .work_bytes = 64 << 10};
    loop_submit(p->options.loop, &l->job);
}

static void look_run(struct job *job)
{
    struct prefetch_look *l = ALB_CONTAINER(job, struct prefetch_look, job);

    l->st = chunk_store_exists_many(l->store, l->keys, l->count, l->has);
}

static void note_here(struct prefetcher *p, uint32_t raw_bytes)
{
    struct prefetch_report *r = &p->running->report;

    p->pass.here++;
    p->pass.bytes_here += raw_bytes;
    r->chunks_here = p->pass.here > r->chunks_here ? p->pass.here : r->chunks_here;
    r->bytes_here = p->pass.bytes_here > r->bytes_here ? p->pass.bytes_here : r->bytes_here;
}

static void ask(struct prefetcher *p, const struct chunk_key *key, const struct where *where)
{
    struct prefetch_slot *s = p->slots;

    while (s->is_busy)
        s++;
    *s = (struct prefetch_slot){.owner = p, .is_busy = true, .raw_bytes = where->raw_bytes};
    s->waiter = (struct waiter){.done = came, .where = *where};
    p->busy++;
    p->pass.asked++;
    supply_ask(p->options.supply, key, &s->waiter);
}

static void look_done(struct job *job)
{
    struct prefetch_look *l = ALB_CONTAINER(job, struct prefetch_look, job);
    struct prefetcher *p = l->owner;

    if (p == NULL) {
        free(l);
        return;
    }
    p->look = NULL;
    for (size_t i = 0; i < l->count; i++) {
        if (!alb_failed(l->st) && l->has[i])
            note_here(p, l->where[i].raw_bytes);
        else
            ask(p, &l->keys[i], &l->where[i]);
    }
    free(l);
    go_on(p);
}

static bool has_no_room(const struct prefetcher *p)
{
    struct supply_stats stats;

    supply_stats(p->options.supply, &stats);
    return stats.not_kept > p->pass.not_kept;
}

static void came(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct prefetch_slot *s = ALB_CONTAINER(w, struct prefetch_slot, waiter);
    struct prefetcher *p = s->owner;

    s->is_busy = false;
    p->busy--;
    if (alb_failed(st)) {
        p->pass.st = st;
    } else {
        p->pass.came++;
        p->running->report.fetched_bytes += chunk->size;
        p->figures.chunks++;
        p->figures.bytes += chunk->size;
        note_here(p, s->raw_bytes);
    }
    go_on(p);
}

static void go_on(struct prefetcher *p)
{
    if (has_no_room(p)) {
        prefetcher_end(p, PREFETCH_FAILED, "its store takes no more chunks: it is full, or fails");
        return;
    }
    prefetcher_tell_soon(p);
    if (p->look != NULL)
        return;
    if (p->pass.next < row_length(p->view) && PREFETCH_SLOTS - p->busy >= LOOK_AT)
        look(p);
    else if (p->pass.next == row_length(p->view) && p->busy == 0)
        end_pass(p);
}

/* What came is looked for once more, since only that it is in the store counts. */
static void end_pass(struct prefetcher *p)
{
    const struct prefetch_pass *s = &p->pass;

    if (s->asked == 0) {
        prefetcher_end(p, PREFETCH_HELD, "");
    } else if (s->came < s->asked) {
        p->tries = s->came > 0 ? 0 : p->tries;
        set_back(p, s->st);
    } else if (p->passes >= PASSES_MOST) {
        prefetcher_end(p, PREFETCH_FAILED, "what comes does not stay in its store");
    } else {
        timer_set_in(&p->rest, SETTLE_NS);
    }
}

static void set_back(struct prefetcher *p, struct alb_status st)
{
    char text[128];

    if (++p->tries == TRIES_MOST) {
        prefetcher_end(p, PREFETCH_FAILED, alb_status_text(st, text, sizeof text));
        return;
    }
    snprintf(p->running->report.why, sizeof p->running->report.why, "to be tried again: %s",
             alb_status_text(st, text, sizeof text));
    prefetcher_set_news(p, p->running);
    timer_set_in(&p->rest, REST_NS << p->tries);
}
