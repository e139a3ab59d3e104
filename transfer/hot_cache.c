/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/hot_cache.c – a map and a list; the list's tail pays for what the head brings in. */
#include "transfer/hot_cache.h"

#include "base/alloc.h"

void hot_cache_init(struct hot_cache *c, uint64_t limit)
{
    *c = (struct hot_cache){.limit = limit};
    map_init(&c->entries);
    TAILQ_INIT(&c->order);
}

static void drop(struct hot_cache *c, struct hot_entry *e)
{
    TAILQ_REMOVE(&c->order, e, link);
    map_remove(&c->entries, &e->chunk->key);
    c->bytes -= e->chunk->size;
    chunk_unref(e->chunk);
    free(e);
}

void hot_cache_clear(struct hot_cache *c)
{
    while (!TAILQ_EMPTY(&c->order))
        drop(c, TAILQ_FIRST(&c->order));
}

void hot_cache_release(struct hot_cache *c)
{
    hot_cache_clear(c);
    map_release(&c->entries);
}

struct chunk *hot_cache_get(struct hot_cache *c, const struct chunk_key *key)
{
    struct hot_entry *e = map_get(&c->entries, key);

    if (e == NULL)
        return NULL;
    TAILQ_REMOVE(&c->order, e, link);
    TAILQ_INSERT_HEAD(&c->order, e, link);
    return e->chunk;
}

void hot_cache_put(struct hot_cache *c, struct chunk *chunk)
{
    if (chunk->size > c->limit / 4 || hot_cache_get(c, &chunk->key) != NULL)
        return;
    struct hot_entry *e = xalloc(sizeof *e);
    e->chunk = chunk_ref(chunk);
    TAILQ_INSERT_HEAD(&c->order, e, link);
    map_put(&c->entries, &chunk->key, e);
    c->bytes += chunk->size;
    while (c->bytes > c->limit)
        drop(c, TAILQ_LAST(&c->order, hot_list));
}
