/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/room.c – how much may be kept: quota, floor and disk; and making room by evicting.
 *
 *     used (blocks of segments and index) + what the index may take by its own doing
 *     + the group + one segment, for what is copied on before its old place is freed  ≤  limit
 *
 * So the limit holds at every moment, and not only after an eviction is through.
 *
 * The index writes, merges and deletes files when it likes, so two looks may find different things:
 * one that finds no room is always followed by an eviction, if there is anything to evict.
 *
 * Fault site: room.look (it finds no room).
 */
#include "store/disk/store_parts.h"

#include <sys/statvfs.h>
#include <time.h>

#include "base/alloc.h"
#include "base/fault.h"

enum {
    PUT_RESERVE = 1 << 20, /* chunks leave this much to small writes: records, removals, logs */
    BLOCK = 4096,
    AHEAD_MOST = 16 << 20,
    AHEAD_SHARE = 64,
    WAIT_NS = 2 * 1000 * 1000,
    WAITS_MOST = 1000 /* two seconds; whoever puts is a job, and whoever reads takes no lock */
};

uint64_t store_used_bytes(struct segment_store *d, uint64_t queues[EVICT_QUEUES])
{
    return segment_table_bytes(&d->table, queues) + index_disk_bytes(d->index) +
           pins_disk_bytes(&d->pins);
}

/* A segment begun, blocks that are not quite full, and the file system's notes about them. */
static uint64_t blocks_for(uint64_t bytes)
{
    return bytes + bytes / 256 + (uint64_t)3 * BLOCK;
}

static struct alb_status look_at_floor(const struct segment_store *d, uint64_t bytes)
{
    struct statvfs about;
    if (d->floor_bytes == 0 || statvfs(d->dir, &about) != 0)
        return ALB_STATUS_OK;
    uint64_t free_bytes = (uint64_t)about.f_bavail * about.f_frsize;
    if (free_bytes >= d->floor_bytes + bytes)
        return ALB_STATUS_OK;
    return alb_fail(ALB_FULL, "store: no more may be taken of the disk's free space");
}

/* Quota and floor: what evicting helps against. */
static struct alb_status look_at_limits(struct segment_store *d, uint64_t bytes)
{
    uint64_t queues[EVICT_QUEUES];
    uint64_t more = blocks_for(bytes);
    if (d->evicts)
        more += index_reserve_bytes(d->index) + blocks_for(d->segment_bytes);
    if (fault_hits("room.look") || /* RocksDB writes by itself, between any two looks */
        (d->quota_bytes != 0 && store_used_bytes(d, queues) + more > d->quota_bytes))
        return alb_fail(ALB_FULL, "store: the quota is used up");
    return look_at_floor(d, more);
}

static struct alb_status look_at_disk(struct segment_store *d, uint64_t bytes)
{
    struct alb_status st = index_check_room(d->index, bytes + PUT_RESERVE);
    return (struct alb_status){st.code, st.sys, alb_failed(st) ? "store: keeping chunks" : ""};
}

struct alb_status store_look_for_room(struct segment_store *d, uint64_t bytes)
{
    struct alb_status st = look_at_limits(d, bytes);
    return alb_failed(st) ? st : look_at_disk(d, bytes);
}

/* More stands among the pinned than was said to be pinned, and looking through it is worth it:
 * since that last freed something, not all of it was looked through in vain. */
static bool pinned_are_loose(const struct segment_store *d, uint64_t pinned_bytes)
{
    uint64_t reserved = pins_reserved_bytes(&d->pins);
    return pinned_bytes > 2 * d->segment_bytes + reserved + reserved / 8 &&
           d->pinned_in_vain_bytes < pinned_bytes;
}

static struct alb_status evict_pinned(struct segment_store *d, uint64_t pinned_bytes, bool force)
{
    uint64_t queues[EVICT_QUEUES];
    struct alb_status st = store_evict(d, QUEUE_PINNED, force);
    (void)segment_table_bytes(&d->table, queues);
    if (queues[QUEUE_PINNED] < pinned_bytes)
        d->pinned_in_vain_bytes = 0;
    else
        d->pinned_in_vain_bytes += d->segment_bytes;
    return st;
}

/* One segment of the queue whose turn it is; NOT_FOUND: only what is pinned is left. */
static struct alb_status evict_next(struct segment_store *d, bool force)
{
    uint64_t queues[EVICT_QUEUES];
    (void)segment_table_bytes(&d->table, queues);
    struct alb_status st;
    if (pinned_are_loose(d, queues[QUEUE_PINNED])) {
        st = evict_pinned(d, queues[QUEUE_PINNED], force);
        return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
    }
    if (queues[QUEUE_NEW] + queues[QUEUE_MAIN] == 0)
        return alb_fail(ALB_NOT_FOUND, "store: only what is pinned is left");
    pthread_mutex_lock(&d->evict_lock);
    enum evict_queue queue = evictor_victim(&d->evictor, queues);
    pthread_mutex_unlock(&d->evict_lock);
    st = store_evict(d, queue, force);
    return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st; /* it was empty: look again */
}

/* Nothing is dropped for the sake of what could not be kept even then. */
static bool can_ever_fit(struct segment_store *d, uint64_t bytes)
{
    uint64_t queues[EVICT_QUEUES];
    (void)segment_table_bytes(&d->table, queues);
    uint64_t fixed = index_disk_bytes(d->index) + index_reserve_bytes(d->index) +
                     pins_disk_bytes(&d->pins) + blocks_for(d->segment_bytes);
    if (pins_reserved_bytes(&d->pins) >= queues[QUEUE_PINNED])
        fixed += queues[QUEUE_PINNED]; /* else some of that can go, too */
    return d->quota_bytes == 0 || fixed + blocks_for(bytes) <= d->quota_bytes;
}

/* Whoever stays takes room again.  When as much as there is was looked through and it is still not
 * enough, everybody asked for everything: then the oldest go. */
static struct alb_status evict_for(struct segment_store *d, uint64_t bytes)
{
    size_t most = d->table.count + 2;
    struct alb_status st = look_at_limits(d, bytes);
    for (size_t n = 0; st.code == ALB_FULL && n < 2 * most; n++) {
        struct alb_status evicted = evict_next(d, n >= most);
        if (alb_failed(evicted) && evicted.code != ALB_FULL)
            return evicted.code == ALB_NOT_FOUND ? st : evicted;
        if (alb_failed(evicted) && n < most)
            n = most; /* no room even for those who stay */
        st = look_at_limits(d, bytes);
    }
    return st;
}

/* What was evicted is free only when its last reader is through, which is soon. */
struct alb_status store_make_room(struct segment_store *d, uint64_t bytes)
{
    const struct timespec a_while = {.tv_nsec = WAIT_NS};
    struct alb_status st = ALB_STATUS_OK;
    if (!d->evicts)
        return store_look_for_room(d, bytes);
    for (unsigned n = 0; n <= WAITS_MOST; n++) {
        st = look_at_limits(d, bytes);
        if (alb_failed(st) && !can_ever_fit(d, bytes))
            return alb_fail(ALB_FULL,
                            "store: this is more than the quota has room for beside the pins");
        if (alb_failed(st))
            st = evict_for(d, bytes);
        if (st.code != ALB_FULL || segment_table_gone_bytes(&d->table) == 0)
            break;
        (void)nanosleep(&a_while, NULL);
    }
    return alb_failed(st) ? st : look_at_disk(d, bytes);
}

/* Room ahead of need, so that whoever puts need not wait for it. */
static uint64_t ahead_bytes(const struct segment_store *d)
{
    uint64_t share = d->quota_bytes / AHEAD_SHARE;
    return share == 0 || share > AHEAD_MOST ? AHEAD_MOST : share;
}

struct alb_status store_tend(struct chunk_store *s, bool *more)
{
    struct segment_store *d = ALB_CONTAINER(s, struct segment_store, base);
    struct alb_status st = ALB_STATUS_OK;
    *more = false;
    if (!d->evicts)
        return st;
    pthread_mutex_lock(&d->write_lock);
    if (look_at_limits(d, ahead_bytes(d)).code == ALB_FULL) {
        st = evict_next(d, false);
        if (st.code == ALB_NOT_FOUND)
            st = ALB_STATUS_OK;
        else if (!alb_failed(st))
            *more = look_at_limits(d, ahead_bytes(d)).code == ALB_FULL;
    }
    pthread_mutex_unlock(&d->write_lock);
    return st;
}
