/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/segment_table.c – finds segments by id and bounds how many files are open. */

#include "store/disk/segment_table.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

void segment_table_init(struct segment_table *t)
{
    *t = (struct segment_table){0};
    pthread_mutex_init(&t->lock, NULL);
}

void segment_table_release(struct segment_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        segment_close(t->segments[i]);
    for (size_t i = 0; i < t->gone_count; i++)
        segment_close(t->gone[i]);
    free(t->segments);
    free(t->gone);
    t->segments = t->gone = NULL;
    t->count = t->gone_count = 0;
    pthread_mutex_destroy(&t->lock);
}

void segment_table_add(struct segment_table *t, struct segment *s)
{
    pthread_mutex_lock(&t->lock);
    alb_assert(t->count == 0 || t->segments[t->count - 1]->id < s->id);
    if (t->count == t->capacity) {
        t->capacity = t->capacity == 0 ? 16 : 2 * t->capacity;
        t->segments = xrealloc(t->segments, t->capacity * sizeof(struct segment *));
    }
    t->segments[t->count++] = s;
    t->open_count += s->fd >= 0;
    pthread_mutex_unlock(&t->lock);
}

static struct segment *find(const struct segment_table *t, uint64_t id)
{
    size_t low = 0;
    for (size_t high = t->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (t->segments[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->count && t->segments[low]->id == id ? t->segments[low] : NULL;
}

/* Nobody finds it any more, so no reader comes anew. */
static void let_go(struct segment_table *t, struct segment *s)
{
    t->open_count -= s->fd >= 0;
    if (atomic_load(&s->readers) == 0) {
        segment_close(s);
        return;
    }
    t->gone = xrealloc(t->gone, (t->gone_count + 1) * sizeof(struct segment *));
    t->gone[t->gone_count++] = s;
}

/* Close what was discarded and is not read any more: only then its blocks are free. */
static void close_gone(struct segment_table *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->gone_count; i++) {
        if (atomic_load(&t->gone[i]->readers) == 0)
            segment_close(t->gone[i]);
        else
            t->gone[kept++] = t->gone[i];
    }
    t->gone_count = kept;
}

struct alb_status segment_table_discard(struct segment_table *t, struct segment *s)
{
    struct alb_status st = ALB_STATUS_OK;
    size_t at = 0;
    pthread_mutex_lock(&t->lock);
    while (t->segments[at] != s)
        at++;
    if (unlink(s->path) != 0 && errno != ENOENT) {
        st = alb_fail_sys("store: deleting a segment file");
    } else {
        memmove(t->segments + at, t->segments + at + 1,
                (t->count - at - 1) * sizeof(struct segment *));
        t->count--;
        let_go(t, s);
    }
    close_gone(t);
    pthread_mutex_unlock(&t->lock);
    return st;
}

void segment_table_lose(struct segment_table *t, uint64_t id)
{
    pthread_mutex_lock(&t->lock);
    struct segment *s = find(t, id);
    pthread_mutex_unlock(&t->lock);
    if (s != NULL)
        alb_ignore(segment_table_discard(t, s), "there is no file to delete");
}

struct alb_status segment_table_discard_all(struct segment_table *t)
{
    struct alb_status st = ALB_STATUS_OK;
    size_t done = 0;
    pthread_mutex_lock(&t->lock);
    for (; done < t->count; done++) {
        if (unlink(t->segments[done]->path) != 0 && errno != ENOENT) {
            st = alb_fail_sys("store: deleting a segment file");
            break;
        }
        let_go(t, t->segments[done]);
    }
    t->count -= done;
    if (t->count > 0)
        memmove(t->segments, t->segments + done, t->count * sizeof(struct segment *));
    pthread_mutex_unlock(&t->lock);
    return st;
}

/* Close the next file nobody holds.  Holds are taken under the lock, so none can begin meanwhile.
 * When all are held there is one file more than wanted for a moment. */
static void close_one(struct segment_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        struct segment *s = t->segments[t->clock_hand++ % t->count];
        if (s->fd >= 0 && atomic_load(&s->readers) == 0) {
            (void)close(s->fd); /* whatever was written was synced */
            s->fd = -1;
            t->open_count--;
            return;
        }
    }
}

static struct alb_status hold(struct segment_table *t, uint64_t id, struct segment **out)
{
    struct segment *s = find(t, id);
    if (s == NULL)
        return alb_fail(ALB_NOT_FOUND, "store: there is no such segment");
    if (s->fd < 0) {
        if (t->open_count >= SEGMENT_OPEN_MAX)
            close_one(t);
        struct alb_status st = segment_reopen(s, false);
        if (alb_failed(st))
            return st;
        t->open_count++;
    }
    atomic_fetch_add(&s->readers, 1);
    *out = s;
    return ALB_STATUS_OK;
}

struct alb_status segment_table_hold(struct segment_table *t, uint64_t id, struct segment **out)
{
    pthread_mutex_lock(&t->lock);
    struct alb_status st = hold(t, id, out);
    pthread_mutex_unlock(&t->lock);
    return st;
}

void segment_drop(struct segment *s)
{
    unsigned before = atomic_fetch_sub(&s->readers, 1);
    alb_assert(before > 0);
}

bool segment_table_covers(struct segment_table *t, uint64_t id, uint64_t end)
{
    pthread_mutex_lock(&t->lock);
    const struct segment *s = find(t, id);
    bool covers = s != NULL && atomic_load(&s->size) >= end;
    pthread_mutex_unlock(&t->lock);
    return covers;
}

uint64_t segment_table_bytes(struct segment_table *t, uint64_t queues[EVICT_QUEUES])
{
    uint64_t total = 0;
    memset(queues, 0, EVICT_QUEUES * sizeof(queues[0]));
    pthread_mutex_lock(&t->lock);
    close_gone(t);
    for (size_t i = 0; i < t->count; i++)
        queues[t->segments[i]->queue] += atomic_load(&t->segments[i]->disk_bytes);
    for (size_t i = 0; i < t->gone_count; i++)
        total += atomic_load(&t->gone[i]->disk_bytes);
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < EVICT_QUEUES; i++)
        total += queues[i];
    return total;
}

uint64_t segment_table_gone_bytes(struct segment_table *t)
{
    uint64_t total = 0;
    pthread_mutex_lock(&t->lock);
    close_gone(t);
    for (size_t i = 0; i < t->gone_count; i++)
        total += atomic_load(&t->gone[i]->disk_bytes);
    pthread_mutex_unlock(&t->lock);
    return total;
}

uint64_t segment_table_last_of(struct segment_table *t, enum evict_queue queue)
{
    uint64_t id = 0;
    pthread_mutex_lock(&t->lock);
    for (size_t i = t->count; i > 0 && id == 0; i--)
        if (t->segments[i - 1]->queue == queue)
            id = t->segments[i - 1]->id;
    pthread_mutex_unlock(&t->lock);
    return id;
}

uint64_t segment_table_first_of(struct segment_table *t, enum evict_queue queue)
{
    uint64_t id = 0;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->count && id == 0; i++)
        if (t->segments[i]->queue == queue)
            id = t->segments[i]->id;
    pthread_mutex_unlock(&t->lock);
    return id;
}
