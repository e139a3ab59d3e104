/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/cache.c – cache.h's calls on the store on disk: touch, pins, what would be lost. */
#include "store/disk/store_parts.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/log.h"

static struct segment_store *from_base(struct chunk_store *s)
{
    return ALB_CONTAINER(s, struct segment_store, base);
}

void store_touch(struct chunk_store *s, const struct chunk_key *key)
{
    struct segment_store *d = from_base(s);
    if (!d->evicts)
        return;
    pthread_mutex_lock(&d->evict_lock);
    evictor_touch(&d->evictor, chunk_key_hash(key));
    pthread_mutex_unlock(&d->evict_lock);
}

/* ---- pins ---- */

static uint64_t pins_most(uint64_t quota_bytes)
{
    return quota_bytes / 100 * PINS_SHARE_PERCENT;
}

static struct alb_status pin_locked(struct segment_store *d, const char *name,
                                    const struct chunk_key *keys, size_t count, uint64_t bytes)
{
    const struct pin *old = pins_find(&d->pins, name);
    uint64_t others = pins_reserved_bytes(&d->pins) - (old == NULL ? 0 : old->bytes);
    if (d->quota_bytes != 0 &&
        (bytes > pins_most(d->quota_bytes) || others > pins_most(d->quota_bytes) - bytes))
        return alb_fail(ALB_FULL, "store: the pins would take more than four fifths of the quota; "
                                  "unpin something or raise the quota");
    d->pinned_in_vain_bytes = 0;
    return pins_put(&d->pins, name, keys, count, bytes);
}

static struct alb_status pin(struct chunk_store *s, const char *name, const struct chunk_key *keys,
                             size_t count, uint64_t bytes)
{
    struct segment_store *d = from_base(s);
    pthread_mutex_lock(&d->write_lock);
    struct alb_status st = pin_locked(d, name, keys, count, bytes);
    pthread_mutex_unlock(&d->write_lock);
    return st;
}

static struct alb_status unpin(struct chunk_store *s, const char *name)
{
    struct segment_store *d = from_base(s);
    pthread_mutex_lock(&d->write_lock);
    d->pinned_in_vain_bytes = 0; /* some of it may go now */
    struct alb_status st = pins_remove(&d->pins, name);
    pthread_mutex_unlock(&d->write_lock);
    return st;
}

static void list_pins(struct chunk_store *s, cache_visit_pin visit, void *arg)
{
    struct segment_store *d = from_base(s);
    pthread_mutex_lock(&d->write_lock);
    for (size_t i = 0; i < d->pins.count; i++)
        visit(arg, d->pins.items[i].name, d->pins.items[i].count, d->pins.items[i].bytes);
    pthread_mutex_unlock(&d->write_lock);
}

/* ---- what would be lost ---- */

static struct alb_status count_unprotected(struct segment_store *d, const struct pin *p,
                                           struct cache_loss *loss)
{
    AUTO_FREE struct chunk_key *keys = NULL;
    size_t count = 0;
    struct index_entry e;
    struct alb_status st = pins_read_keys(&d->pins, p, &keys, &count);
    for (size_t i = 0; i < count && !alb_failed(st); i++) {
        if (pins_hold_besides(&d->pins, chunk_key_hash(&keys[i]), p))
            continue;
        st = index_get(d->index, &keys[i], &e);
        if (st.code == ALB_NOT_FOUND) {
            st = ALB_STATUS_OK;
            continue;
        }
        loss->chunks++;
        loss->bytes += e.size;
    }
    return st;
}

static struct alb_status would_lose_locked(struct segment_store *d, const char *name,
                                           uint64_t quota_bytes, struct cache_loss *out)
{
    struct cache_loss loss = {.chunks = 0};
    uint64_t queues[EVICT_QUEUES];
    uint64_t pinned = pins_reserved_bytes(&d->pins);
    struct alb_status st = ALB_STATUS_OK;
    if (name != NULL) {
        const struct pin *p = pins_find(&d->pins, name);
        if (p == NULL)
            return alb_fail(ALB_NOT_FOUND, "store: there is no pin of this name");
        pinned -= p->bytes;
        st = count_unprotected(d, p, &loss);
    }
    if (quota_bytes != 0) {
        uint64_t used = store_used_bytes(d, queues);
        loss.bytes += used > quota_bytes ? used - quota_bytes : 0;
        loss.lacking_bytes = pinned > pins_most(quota_bytes) ? pinned - pins_most(quota_bytes) : 0;
    }
    if (!alb_failed(st))
        *out = loss;
    return st;
}

static struct alb_status would_lose(struct chunk_store *s, const char *name, uint64_t quota_bytes,
                                    struct cache_loss *out)
{
    struct segment_store *d = from_base(s);
    pthread_mutex_lock(&d->write_lock);
    struct alb_status st = would_lose_locked(d, name, quota_bytes, out);
    pthread_mutex_unlock(&d->write_lock);
    return st;
}

/* ---- figures ---- */

static void stats(struct chunk_store *s, struct cache_stats *out)
{
    struct segment_store *d = from_base(s);
    pthread_mutex_lock(&d->write_lock);
    *out = (struct cache_stats){
        .policy = d->evicts ? d->evictor.policy->name : "none",
        .quota_bytes = d->quota_bytes,
        .floor_bytes = d->floor_bytes,
        .reserved_bytes = index_reserve_bytes(d->index) + (d->evicts ? d->segment_bytes : 0),
        .pins = d->pins.count,
        .pinned_bytes = pins_reserved_bytes(&d->pins),
        .memory_bytes = d->evicts ? heat_bytes(&d->evictor.heat) : 0,
        .counts = d->counts,
        .scrub = {d->scrub.rounds, d->scrub.chunks, d->scrub.bytes, d->scrub.bad},
    };
    out->used_bytes = store_used_bytes(d, out->queue_bytes);
    pthread_mutex_unlock(&d->write_lock);
}

const struct cache_ops store_cache_ops = {
    .touch = store_touch,
    .tend = store_tend,
    .scrub = store_scrub,
    .take_bad = store_take_bad,
    .pin = pin,
    .unpin = unpin,
    .list_pins = list_pins,
    .would_lose = would_lose,
    .stats = stats,
};
