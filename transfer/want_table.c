/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/want_table.c – one want per chunk, many waiters per want. */
#include "transfer/want_table.h"

#include "base/alloc.h"

static void tell(struct want_table *t, struct want *want, struct alb_status st,
                 struct chunk *chunk);

void want_table_init(struct want_table *t, size_t max_wants, size_t max_waiters)
{
    *t = (struct want_table){.max_wants = max_wants, .max_waiters = max_waiters};
    map_init(&t->wants);
}

static bool free_want(void *arg, const struct chunk_key *key, void *value)
{
    (void)arg;
    (void)key;
    free(value);
    return true;
}

void want_table_release(struct want_table *t)
{
    map_each(&t->wants, free_want, NULL);
    map_release(&t->wants);
}

static struct want *add_want(struct want_table *t, const struct chunk_key *key,
                             const struct where *where, uint64_t now_ns)
{
    struct want *want = xalloc(sizeof *want);

    want->key = *key;
    want->where = *where;
    want->since_ns = now_ns;
    TAILQ_INIT(&want->waiters);
    map_put(&t->wants, key, want);
    t->started++;
    return want;
}

struct alb_status want_table_ask(struct want_table *t, const struct chunk_key *key,
                                 struct waiter *waiter, uint64_t now_ns, struct want **started)
{
    struct want *want = map_get(&t->wants, key);
    bool is_new = want == NULL;

    if (t->waiters >= t->max_waiters || (is_new && t->wants.count >= t->max_wants)) {
        t->refused++;
        return alb_fail(ALB_FULL, "too many chunks are being waited for");
    }
    if (is_new)
        want = add_want(t, key, &waiter->where, now_ns);
    else
        t->joined++;
    waiter->want = want;
    waiter->refused = false;
    TAILQ_INSERT_TAIL(&want->waiters, waiter, link);
    t->waiters++;
    *started = is_new ? want : NULL;
    return ALB_STATUS_OK;
}

void want_table_leave(struct want_table *t, struct waiter *waiter)
{
    alb_assert(waiter->want != NULL);
    TAILQ_REMOVE(&waiter->want->waiters, waiter, link);
    waiter->want = NULL;
    t->waiters--;
}

void want_table_finish(struct want_table *t, struct want *want, struct alb_status st,
                       struct chunk *chunk)
{
    /* Out of the map first: a waiter may ask for the same chunk again from its done(). */
    map_remove(&t->wants, &want->key);
    tell(t, want, st, chunk);
    free(want);
}

static void tell(struct want_table *t, struct want *want, struct alb_status st, struct chunk *chunk)
{
    struct waiter *w;

    while ((w = TAILQ_FIRST(&want->waiters)) != NULL) {
        want_table_leave(t, w);
        w->done(w, st, chunk);
    }
}

static bool same_place(const struct where *a, const struct where *b)
{
    return digest_equal(&a->root, &b->root) && strcmp(a->layer, b->layer) == 0;
}

bool want_table_next_place(struct want *want)
{
    struct waiter *w;

    TAILQ_FOREACH(w, &want->waiters, link)
    {
        if (same_place(&w->where, &want->where))
            w->refused = true;
    }
    TAILQ_FOREACH(w, &want->waiters, link)
    {
        if (!w->refused) {
            want->where = w->where;
            return true;
        }
    }
    return false;
}
