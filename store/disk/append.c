/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/append.c – one group: a segment with room → append and sync → index.
 *
 * Whatever fails, the segment is cut back to before the group, so nothing of it is visible.
 */
#include "store/disk/store_parts.h"

enum { GROUP_BYTES_MAX = 1 << 30 }; /* offsets in the index are 32 bits */

static struct alb_status begin_segment(struct segment_store *d, enum evict_queue queue)
{
    struct segment *s;
    struct alb_status st = segment_create(d->segments_dir, ++d->last_id, queue, &s);
    if (alb_failed(st))
        return st;
    segment_table_add(&d->table, s);
    return segment_table_hold(&d->table, s->id, &d->active[queue]);
}

static struct alb_status find_segment(struct segment_store *d, enum evict_queue queue,
                                      uint64_t bytes)
{
    if (bytes > GROUP_BYTES_MAX)
        return alb_fail(ALB_INVALID, "store: a group of chunks has at most 1 GiB");
    if (d->active[queue] != NULL) {
        uint64_t size = atomic_load(&d->active[queue]->size);
        if (size == SEGMENT_HEADER_SIZE || size + bytes <= d->segment_bytes)
            return ALB_STATUS_OK;
        store_retire(d, queue);
    }
    return begin_segment(d, queue);
}

/* One without records is of no use to anybody. */
void store_retire(struct segment_store *d, enum evict_queue queue)
{
    struct segment *s = d->active[queue];
    bool empty = atomic_load(&s->size) == SEGMENT_HEADER_SIZE;
    d->active[queue] = NULL;
    segment_drop(s);
    if (empty)
        alb_ignore(segment_table_discard(&d->table, s), "a file without records does no harm");
}

static struct alb_status write_index(struct segment_store *d, enum evict_queue queue,
                                     const struct group *g)
{
    const struct segment *s = d->active[queue];
    struct index_batch *b = index_batch_new();
    struct index_mark mark = d->mark;
    for (size_t i = 0; i < g->count; i++) {
        const struct record *r = &g->items[i].record;
        struct index_entry entry = {s->id, (uint32_t)r->offset, r->size};
        if (r->type == RECORD_CHUNK)
            index_batch_put(b, &r->key, &entry);
        else
            index_batch_remove(b, &r->key);
    }
    mark.at[queue] = (struct index_extent){s->id, atomic_load(&s->size)};
    if (mark.complete_to < s->id)
        mark.complete_to = s->id;
    mark.chunks += (uint64_t)g->chunks_delta;
    mark.stored_bytes += (uint64_t)g->bytes_delta;
    struct alb_status st = index_write(d->index, b, &mark, false);
    index_batch_free(b);
    if (alb_failed(st))
        return st;
    d->mark = mark;
    for (size_t i = 0; i < g->count && d->suspects.count > 0; i++)
        (void)map_remove(&d->suspects, &g->items[i].record.key);
    atomic_store(&d->suspect_count, d->suspects.count);
    return ALB_STATUS_OK;
}

struct alb_status store_append(struct segment_store *d, enum evict_queue queue, struct group *g)
{
    struct alb_status st = find_segment(d, queue, append_bytes(g->items, g->count));
    if (alb_failed(st))
        return st;
    uint64_t start = atomic_load(&d->active[queue]->size);
    st = segment_append(d->active[queue], g->items, g->count);
    if (alb_failed(st)) {
        store_retire(d, queue);
        return st;
    }
    st = write_index(d, queue, g);
    if (alb_failed(st)) {
        segment_cut(d->active[queue], start);
        store_retire(d, queue);
    }
    return st;
}

enum evict_queue store_last_queue(const struct segment_store *d)
{
    enum evict_queue last = QUEUE_NEW;
    for (int q = 0; q < EVICT_QUEUES; q++)
        if (d->active[q] != NULL &&
            (d->active[last] == NULL || d->active[q]->id > d->active[last]->id))
            last = (enum evict_queue)q;
    return last;
}
