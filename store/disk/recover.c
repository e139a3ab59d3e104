/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/recover.c – opening: what segments are there, and does the index know all of them?
 *
 *    load segments → open index → read on from its mark → cut the torn tail → choose where to go on
 *                        \ damaged or of other segments: build it anew, from all segments
 */

#include "store/disk/store_parts.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

/* Index changes that are written together while reading on. */
enum { BATCH_RECORDS = 512 };

static struct alb_status load_segments(struct segment_store *d);
static struct alb_status open_index(struct segment_store *d);
static struct alb_status read_on(struct segment_store *d);
static struct alb_status choose_active(struct segment_store *d, enum evict_queue queue);

struct alb_status store_recover(struct segment_store *d)
{
    struct alb_status st = load_segments(d);
    if (!alb_failed(st))
        st = open_index(d);
    if (!alb_failed(st))
        st = read_on(d);
    if (!alb_failed(st) && alb_failed(index_get_scrub(d->index, &d->scrub)))
        d->scrub = (struct index_scrub){.rounds = 0}; /* then from the beginning */
    for (int q = 0; q < EVICT_QUEUES && !alb_failed(st); q++)
        if (q == QUEUE_NEW || d->evicts)
            st = choose_active(d, (enum evict_queue)q);
    return st;
}

/* ---- segments ---- */

static bool parse_name(const char *name, uint64_t *id)
{
    if (strspn(name, "0123456789abcdef") != 16 || strcmp(name + 16, ".seg") != 0)
        return false;
    *id = strtoull(name, NULL, 16);
    return true;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static struct alb_status list_ids(const char *path, uint64_t **ids, size_t *count)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return alb_fail_sys("store: listing the segments");
    size_t capacity = 0;
    const struct dirent *entry;
    *ids = NULL;
    *count = 0;
    while ((entry = readdir(dir)) != NULL) {
        uint64_t id;
        if (!parse_name(entry->d_name, &id))
            continue;
        if (*count == capacity) {
            capacity = capacity == 0 ? 64 : 2 * capacity;
            *ids = xrealloc(*ids, capacity * sizeof(**ids));
        }
        (*ids)[(*count)++] = id;
    }
    (void)closedir(dir);
    if (*count > 0)
        qsort(*ids, *count, sizeof(**ids), compare_ids);
    return ALB_STATUS_OK;
}

/* A file that is no segment: made but not finished when the power went, or damaged.  The first
 * holds nothing; the second is set aside for a person, and its chunks are misses. */
static struct alb_status set_aside(struct segment_store *d, uint64_t id, struct alb_status why)
{
    AUTO_FREE char *path = segment_path(d->segments_dir, id);
    AUTO_FREE char *aside = xasprintf("%s.bad", path);
    struct stat about;
    if (stat(path, &about) != 0)
        return alb_fail_sys("store: looking at a segment file");
    if (about.st_size < SEGMENT_HEADER_SIZE) {
        log_event(LOG_INFO, "segment.unfinished", "file=%s removed=yes", path);
        return unlink(path) == 0 ? ALB_STATUS_OK
                                 : alb_fail_sys("store: removing an unfinished segment file");
    }
    log_status(LOG_ERROR, "segment.damaged", why, "file=%s kept_as=%s", path, aside);
    return rename(path, aside) == 0 ? ALB_STATUS_OK
                                    : alb_fail_sys("store: setting a damaged segment file aside");
}

static struct alb_status load_one(struct segment_store *d, uint64_t id)
{
    struct segment *s;
    struct alb_status st = segment_open(d->segments_dir, id, &s);
    if (id > d->last_id)
        d->last_id = id;
    if (st.code == ALB_CORRUPT)
        return set_aside(d, id, st);
    if (!alb_failed(st))
        segment_table_add(&d->table, s);
    else
        log_status(LOG_ERROR, "segment.refused", st, "dir=%s id=%016" PRIx64, d->segments_dir, id);
    return st;
}

static struct alb_status load_segments(struct segment_store *d)
{
    AUTO_FREE uint64_t *ids = NULL;
    size_t count = 0;
    struct alb_status st = list_ids(d->segments_dir, &ids, &count);
    for (size_t i = 0; i < count && !alb_failed(st); i++)
        st = load_one(d, ids[i]);
    return st;
}

/* ---- index ---- */

static struct alb_status rebuild_index(struct segment_store *d, const char *why)
{
    log_event(LOG_WARN, "index.rebuild", "dir=%s why=\"%s\" segments=%zu", d->index_dir, why,
              d->table.count);
    index_close(d->index);
    d->index = NULL;
    struct alb_status st = index_destroy(d->index_dir);
    if (!alb_failed(st))
        st = index_open(d->index_dir, d->quota_bytes, &d->index);
    d->mark = (struct index_mark){0};
    return st;
}

/* An index whose newest segment is gone belongs to other segments, or they to another index: what
 * is evicted is taken out of the mark first. */
static bool is_of_other_segments(struct segment_store *d)
{
    for (size_t i = 0; i < EVICT_QUEUES; i++)
        if (d->mark.at[i].segment != 0 &&
            !segment_table_covers(&d->table, d->mark.at[i].segment, 0))
            return true;
    return false;
}

static struct alb_status open_index(struct segment_store *d)
{
    struct alb_status st = index_open(d->index_dir, d->quota_bytes, &d->index);
    if (!alb_failed(st))
        st = index_get_mark(d->index, &d->mark);
    if (st.code == ALB_CORRUPT)
        return rebuild_index(d, "damaged");
    if (st.code == ALB_NOT_FOUND && d->table.count > 0)
        return rebuild_index(d, "lost");
    if (alb_failed(st) && st.code != ALB_NOT_FOUND)
        return st;
    if (d->mark.complete_to > d->last_id)
        d->last_id = d->mark.complete_to;
    if (is_of_other_segments(d))
        return rebuild_index(d, "of other segments");
    return ALB_STATUS_OK;
}

/* ---- reading on ---- */

struct reader {
    struct segment_store *store;
    const struct segment *segment;
    struct index_batch *batch;
    struct map pending; /* keys in `batch`: the index cannot answer for them yet */
    uint64_t found;
};

static struct alb_status flush(struct reader *r)
{
    struct segment_store *d = r->store;
    if (r->pending.count == 0)
        return ALB_STATUS_OK;
    struct alb_status st = index_write(d->index, r->batch, &d->mark, false);
    index_batch_free(r->batch);
    r->batch = index_batch_new();
    map_release(&r->pending);
    map_init(&r->pending);
    return st;
}

/* Keep the mark's sums right for a key that had `old` (or nothing) and now has `size` bytes. */
static void account(struct index_mark *mark, const uint32_t *old_size, const uint32_t *size)
{
    if (old_size != NULL) {
        mark->chunks -= mark->chunks > 0;
        mark->stored_bytes -= mark->stored_bytes < *old_size ? mark->stored_bytes : *old_size;
    }
    if (size != NULL) {
        mark->chunks++;
        mark->stored_bytes += *size;
    }
}

static struct alb_status take_record(void *arg, const struct record *record)
{
    struct reader *r = arg;
    struct segment_store *d = r->store;
    struct index_entry old;
    struct alb_status st = ALB_STATUS_OK;
    if (map_get(&r->pending, &record->key) != NULL || r->pending.count >= BATCH_RECORDS)
        st = flush(r);
    if (alb_failed(st))
        return st;
    st = index_get(d->index, &record->key, &old);
    if (alb_failed(st) && st.code != ALB_NOT_FOUND)
        return st;
    const uint32_t *old_size = alb_failed(st) ? NULL : &old.size;
    struct index_entry entry = {r->segment->id, (uint32_t)record->offset, record->size};
    if (record->type == RECORD_CHUNK)
        index_batch_put(r->batch, &record->key, &entry);
    else
        index_batch_remove(r->batch, &record->key);
    account(&d->mark, old_size, record->type == RECORD_CHUNK ? &record->size : NULL);
    map_put(&r->pending, &record->key, r);
    d->mark.at[r->segment->queue] =
        (struct index_extent){r->segment->id, record->offset + RECORD_HEADER_SIZE + record->size};
    if (d->mark.complete_to < r->segment->id)
        d->mark.complete_to = r->segment->id;
    r->found++;
    return ALB_STATUS_OK;
}

/* What lies behind the last whole record of the newest segment was never acknowledged. */
static struct alb_status cut_tail(struct segment *s, uint64_t end)
{
    uint64_t size = atomic_load(&s->size);
    if (end >= size)
        return ALB_STATUS_OK;
    log_event(LOG_INFO, "segment.tail", "file=%s cut_bytes=%" PRIu64, s->path, size - end);
    if (truncate(s->path, (off_t)end) != 0)
        return alb_fail_sys("store: cutting the torn tail of a segment file");
    atomic_store(&s->size, end);
    return ALB_STATUS_OK;
}

static struct alb_status read_segment(struct reader *r, struct segment *s, uint64_t from)
{
    struct segment_store *d = r->store;
    bool newest = s->id == segment_table_last_of(&d->table, s->queue);
    uint64_t found_before = r->found;
    uint64_t end;
    uint64_t damaged_bytes;
    if (from > atomic_load(&s->size))
        return ALB_STATUS_OK; /* a group whose index write failed, and was cut off: nothing there */
    const struct segment_visitor visitor = {take_record, r};
    r->segment = s;
    struct alb_status st = segment_walk(s, from, &visitor, &end, &damaged_bytes);
    if (!alb_failed(st) && damaged_bytes > 0)
        log_event(LOG_ERROR, "segment.damaged", "file=%s bytes=%" PRIu64, s->path, damaged_bytes);
    if (!alb_failed(st) && newest)
        st = cut_tail(s, end);
    if (!alb_failed(st) && r->found > found_before)
        st = segment_sync(s); /* from now on they are answered for as durable */
    return alb_failed(st) ? st : flush(r);
}

static struct alb_status read_on(struct segment_store *d)
{
    struct reader r = {.store = d, .batch = index_batch_new()};
    struct alb_status st = ALB_STATUS_OK;
    const struct index_mark known = d->mark;
    map_init(&r.pending);
    for (size_t i = 0; i < d->table.count && !alb_failed(st); i++) {
        struct segment *s;
        uint64_t id = d->table.segments[i]->id;
        uint64_t from = index_mark_knows(&known, id);
        if (from == UINT64_MAX)
            continue;
        st = segment_table_hold(&d->table, id, &s);
        if (alb_failed(st))
            break;
        st = read_segment(&r, s, from == 0 ? SEGMENT_HEADER_SIZE : from);
        segment_drop(s);
    }
    index_batch_free(r.batch);
    map_release(&r.pending);
    if (r.found > 0)
        log_event(LOG_INFO, "store.recovered", "dir=%s records=%" PRIu64, d->dir, r.found);
    return st;
}

/* Go on in the queue's newest segment if it has room, and if the index does not speak of places
 * behind its end, where other records would come to stand. */
static struct alb_status choose_active(struct segment_store *d, enum evict_queue queue)
{
    uint64_t newest = segment_table_last_of(&d->table, queue);
    const struct index_extent *at = &d->mark.at[queue];
    if (newest == 0 || newest < at->segment)
        return ALB_STATUS_OK;
    if (newest == at->segment && !segment_table_covers(&d->table, newest, at->offset))
        return ALB_STATUS_OK;
    if (segment_table_covers(&d->table, newest, d->segment_bytes))
        return ALB_STATUS_OK;
    struct segment *s;
    struct alb_status st = segment_table_hold(&d->table, newest, &s);
    if (alb_failed(st))
        return st;
    st = segment_reopen(s, true);
    if (alb_failed(st))
        segment_drop(s);
    else
        d->active[queue] = s;
    return st;
}
