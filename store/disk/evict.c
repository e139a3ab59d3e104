/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/evict.c – the oldest segment of a queue goes, record by record.
 *
 *     walk it: the index points elsewhere → nothing to do
 *              pinned                     → copied on to the pinned queue
 *              it stays, says the policy  → copied on to the main queue
 *              else                       → out of the index
 *     → index synced → file deleted
 *
 * The index is synced first: it never points at a file that is gone, and a file that outlives a
 * crash has nothing in the index, so it goes when it is next looked at.  A reader that holds the
 * segment reads on; one that comes too late finds the record's new place.
 */
#include "store/disk/store_parts.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/log.h"

/* What is copied at a time. */
enum { COPY_CHUNKS = 256, COPY_BYTES = 4 << 20 };

struct copying {
    struct append items[COPY_CHUNKS];
    struct chunk *chunks[COPY_CHUNKS]; /* references: the bodies */
    size_t count;
    uint64_t bytes;
};

struct eviction {
    struct segment_store *store;
    struct segment *victim; /* held */
    bool force;
    struct copying copying[EVICT_QUEUES];
    struct index_batch *drops;
    size_t drop_count;
    uint64_t drop_bytes;
};

static void forget_copies(struct copying *c)
{
    for (size_t i = 0; i < c->count; i++)
        chunk_unref(c->chunks[i]);
    c->count = 0;
    c->bytes = 0;
}

static struct alb_status write_drops(struct eviction *e, bool sync)
{
    struct segment_store *d = e->store;
    struct index_mark mark = d->mark;
    mark.chunks -= e->drop_count < mark.chunks ? e->drop_count : mark.chunks;
    mark.stored_bytes -= e->drop_bytes < mark.stored_bytes ? e->drop_bytes : mark.stored_bytes;
    struct alb_status st = index_write(d->index, e->drops, &mark, sync);
    index_batch_free(e->drops);
    e->drops = index_batch_new();
    if (alb_failed(st))
        return st;
    d->mark = mark;
    d->counts.evicted_chunks += e->drop_count;
    d->counts.evicted_bytes += e->drop_bytes;
    e->drop_count = 0;
    e->drop_bytes = 0;
    return ALB_STATUS_OK;
}

static struct alb_status write_copies(struct eviction *e, enum evict_queue queue)
{
    struct copying *c = &e->copying[queue];
    struct group g = {.items = c->items, .count = c->count};
    if (c->count == 0)
        return ALB_STATUS_OK;
    struct alb_status st = store_append(e->store, queue, &g);
    if (!alb_failed(st))
        e->store->counts.copied_bytes += append_bytes(c->items, c->count);
    forget_copies(c);
    return st;
}

static struct alb_status copy_on(struct eviction *e, enum evict_queue queue, struct chunk *chunk)
{
    struct copying *c = &e->copying[queue];
    c->items[c->count] = (struct append){
        .record = {.type = RECORD_CHUNK, .key = chunk->key, .size = chunk->size},
        .body = chunk->bytes,
    };
    c->chunks[c->count++] = chunk;
    c->bytes += chunk->size;
    if (c->count < COPY_CHUNKS && c->bytes < COPY_BYTES)
        return ALB_STATUS_OK;
    return write_copies(e, queue);
}

static struct alb_status drop(struct eviction *e, const struct record *r)
{
    index_batch_remove(e->drops, &r->key);
    e->drop_bytes += r->size;
    e->drop_count++;
    return e->drop_count < COPY_CHUNKS ? ALB_STATUS_OK : write_drops(e, false);
}

static bool stays(struct eviction *e, const struct record *r, enum evict_queue *queue)
{
    struct segment_store *d = e->store;
    uint64_t hash = chunk_key_hash(&r->key);
    *queue = QUEUE_PINNED;
    if (pins_hold(&d->pins, hash))
        return true;
    *queue = QUEUE_MAIN;
    pthread_mutex_lock(&d->evict_lock);
    bool answer = evictor_stays(&d->evictor, hash, r->size, e->victim->queue);
    pthread_mutex_unlock(&d->evict_lock);
    return answer && !e->force;
}

static struct alb_status judge(void *arg, const struct record *r)
{
    struct eviction *e = arg;
    struct segment_store *d = e->store;
    struct index_entry at;
    struct chunk *chunk;
    enum evict_queue queue;
    if (r->type != RECORD_CHUNK)
        return ALB_STATUS_OK;
    struct alb_status st = index_get(d->index, &r->key, &at);
    if (st.code == ALB_NOT_FOUND)
        return ALB_STATUS_OK;
    if (alb_failed(st))
        return st;
    if (at.segment != e->victim->id || at.offset != r->offset)
        return ALB_STATUS_OK;
    if (!stays(e, r, &queue))
        return drop(e, r);
    st = segment_read(e->victim, &r->key, r->offset, r->size, &chunk);
    if (st.code == ALB_IO) /* disks think better of it at times */
        st = segment_read(e->victim, &r->key, r->offset, r->size, &chunk);
    if (st.code == ALB_CORRUPT || st.code == ALB_IO) /* can be had from above again */
        return drop(e, r);
    return alb_failed(st) ? st : copy_on(e, queue, chunk);
}

/* The mark must not name a file that is no more. */
static void unmark(struct segment_store *d, uint64_t id)
{
    for (size_t i = 0; i < EVICT_QUEUES; i++)
        if (d->mark.at[i].segment == id)
            d->mark.at[i] = (struct index_extent){0, 0};
}

static struct alb_status empty_it(struct eviction *e)
{
    const struct segment_visitor visitor = {judge, e};
    uint64_t end;
    uint64_t damaged_bytes;
    struct alb_status st =
        segment_walk(e->victim, SEGMENT_HEADER_SIZE, &visitor, &end, &damaged_bytes);
    for (int q = 0; q < EVICT_QUEUES && !alb_failed(st); q++)
        st = write_copies(e, (enum evict_queue)q);
    if (alb_failed(st))
        return st;
    unmark(e->store, e->victim->id);
    return write_drops(e, true);
}

/* Somebody else deleted the file.  Its chunks are misses from now on, which the index hears of when
 * they are put or scrubbed again. */
static void forget_lost(struct segment_store *d, uint64_t id)
{
    log_event(LOG_ERROR, "segment.lost",
              "dir=%s id=%016" PRIx64 " next=\"its chunks are fetched again when they are wanted; "
              "find out who deletes files there\"",
              d->segments_dir, id);
    unmark(d, id);
    segment_table_lose(&d->table, id);
}

/* Held, and nobody appends to it any more.  NOT_FOUND: there is none, or there is none any more. */
static struct alb_status take_victim(struct segment_store *d, enum evict_queue queue,
                                     struct segment **out)
{
    uint64_t id = segment_table_first_of(&d->table, queue);
    if (id != 0 && d->active[queue] != NULL && d->active[queue]->id == id) {
        store_retire(d, queue);
        id = segment_table_first_of(&d->table, queue); /* it may have been empty */
    }
    struct alb_status st = segment_table_hold(&d->table, id, out);
    if (st.code == ALB_NOT_FOUND && id != 0)
        forget_lost(d, id);
    return st;
}

struct alb_status store_evict(struct segment_store *d, enum evict_queue queue, bool force)
{
    struct eviction *e = xalloc(sizeof *e);
    struct alb_status st = take_victim(d, queue, &e->victim);
    if (alb_failed(st)) {
        free(e);
        return st;
    }
    e->store = d;
    e->force = force;
    e->drops = index_batch_new();
    st = empty_it(e);
    for (size_t q = 0; q < EVICT_QUEUES; q++)
        forget_copies(&e->copying[q]);
    index_batch_free(e->drops);
    segment_drop(e->victim);
    if (!alb_failed(st))
        st = segment_table_discard(&d->table, e->victim);
    if (!alb_failed(st))
        d->counts.evicted_segments++;
    free(e);
    return st;
}
