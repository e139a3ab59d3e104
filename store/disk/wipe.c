/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/wipe.c – emptying a store while it runs: segment files first, then their index.
 *
 * The files go oldest first.  Whenever that ends in the midst of it, entries whose segment is gone
 * are misses; and an index whose newest segment is gone is built anew at the next start, from what
 * is left.
 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "store/disk/store_parts.h"

enum { PAGE = 1024 };

/* The next page of entries goes; *count is how many there were. */
static struct alb_status drop_page(struct segment_store *d, struct chunk_key *keys,
                                   struct index_entry *entries, size_t *count)
{
    const struct index_mark nothing = {.complete_to = 0};
    struct chunk_key first = {.kind = 0};
    struct alb_status st = index_list(d->index, &first, PAGE, keys, entries, count);
    if (alb_failed(st))
        return st;
    struct index_batch *b = index_batch_new();
    for (size_t i = 0; i < *count; i++)
        index_batch_remove(b, &keys[i]);
    st = index_write(d->index, b, *count < PAGE ? &nothing : &d->mark, false);
    index_batch_free(b);
    if (!alb_failed(st) && *count < PAGE)
        d->mark = nothing;
    return st;
}

static struct alb_status drop_entries(struct segment_store *d)
{
    AUTO_FREE struct chunk_key *keys = try_alloc(PAGE * sizeof(*keys));
    AUTO_FREE struct index_entry *entries = try_alloc(PAGE * sizeof(*entries));
    struct alb_status st = ALB_STATUS_OK;
    size_t count = PAGE;
    if (keys == NULL || entries == NULL)
        return alb_fail(ALB_FULL, "store: memory for a list of chunks");
    while (!alb_failed(st) && count == PAGE)
        st = drop_page(d, keys, entries, &count);
    return st;
}

static struct alb_status wipe_locked(struct segment_store *d)
{
    for (size_t q = 0; q < EVICT_QUEUES; q++) {
        if (d->active[q] != NULL)
            segment_drop(d->active[q]);
        d->active[q] = NULL;
    }
    struct alb_status st = segment_table_discard_all(&d->table);
    if (!alb_failed(st))
        st = pins_remove_all(&d->pins);
    if (!alb_failed(st))
        st = file_sync_dir(d->segments_dir);
    if (!alb_failed(st))
        st = drop_entries(d);
    map_release(&d->suspects);
    map_init(&d->suspects);
    atomic_store(&d->suspect_count, 0);
    return st;
}

struct alb_status store_wipe(struct chunk_store *s)
{
    struct segment_store *d = ALB_CONTAINER(s, struct segment_store, base);
    pthread_mutex_lock(&d->write_lock);
    struct alb_status st = wipe_locked(d);
    pthread_mutex_unlock(&d->write_lock);
    if (!alb_failed(st))
        log_event(LOG_WARN, "store.wiped", "dir=%s", d->dir);
    return st;
}
