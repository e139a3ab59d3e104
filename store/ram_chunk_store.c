/* SPDX-License-Identifier: Apache-2.0 */
/* store/ram_chunk_store.c – the chunk store's twin in memory. */

#include "store/ram.h"

#include <pthread.h>

#include "base/alloc.h"
#include "base/map.h"
#include "store/ram_luck.h"

struct kept {
    struct chunk *chunk; /* one reference */
    bool damaged;        /* stands for a check value that no longer fits */
};

/* The lock is for tests that run real workers; in the simulator nobody ever waits for it. */
struct ram_store {
    struct chunk_store base;
    pthread_mutex_t lock;
    struct map kept; /* key → struct kept, owned */
    uint64_t stored_bytes;
    uint64_t quota_bytes;
    struct ram_luck luck;
};

static struct ram_store *from_base(struct chunk_store *s)
{
    return ALB_CONTAINER(s, struct ram_store, base);
}

static bool is_over_quota(const struct ram_store *r, struct chunk *const *chunks, size_t count)
{
    if (r->quota_bytes == 0)
        return false;
    uint64_t total = r->stored_bytes;
    for (size_t i = 0; i < count; i++)
        if (map_get(&r->kept, &chunks[i]->key) == NULL)
            total += chunks[i]->size;
    return total > r->quota_bytes;
}

static enum put_outcome put_one(struct ram_store *r, struct chunk *chunk)
{
    if (map_get(&r->kept, &chunk->key) != NULL)
        return PUT_EXISTS;
    enum luck luck = ram_luck_draw(&r->luck);
    if (luck != LUCK_UNKNOWN_LOST) {
        struct kept *k = xalloc(sizeof(*k));
        k->chunk = chunk_ref(chunk);
        map_put(&r->kept, &chunk->key, k);
        r->stored_bytes += chunk->size;
    }
    return luck == LUCK_GOOD ? PUT_CREATED : PUT_UNKNOWN;
}

static struct alb_status put_many(struct chunk_store *s, struct chunk *const *chunks, size_t count,
                                  enum put_outcome *outcomes)
{
    struct ram_store *r = from_base(s);
    bool unknown = false;
    pthread_mutex_lock(&r->lock);
    if (is_over_quota(r, chunks, count)) {
        pthread_mutex_unlock(&r->lock);
        return alb_fail(ALB_FULL, "memory store: the quota is used up");
    }
    for (size_t i = 0; i < count; i++) {
        enum put_outcome outcome = put_one(r, chunks[i]);
        unknown |= outcome == PUT_UNKNOWN;
        if (outcomes != NULL)
            outcomes[i] = outcome;
    }
    pthread_mutex_unlock(&r->lock);
    if (unknown)
        return alb_fail(ALB_UNKNOWN, "memory store: a put was not answered");
    return ALB_STATUS_OK;
}

static void drop(struct ram_store *r, const struct chunk_key *key)
{
    struct kept *k = map_remove(&r->kept, key);
    if (k == NULL)
        return;
    r->stored_bytes -= k->chunk->size;
    chunk_unref(k->chunk);
    free(k);
}

static struct alb_status get(struct chunk_store *s, const struct chunk_key *key, struct chunk **out)
{
    struct ram_store *r = from_base(s);
    struct alb_status st = ALB_STATUS_OK;
    pthread_mutex_lock(&r->lock);
    struct kept *k = map_get(&r->kept, key);
    if (k == NULL) {
        st = alb_fail(ALB_NOT_FOUND, "memory store: no such chunk");
    } else if (k->damaged) {
        drop(r, key);
        st = alb_fail(ALB_CORRUPT, "memory store: the chunk is not what was put");
    } else {
        *out = chunk_ref(k->chunk);
    }
    pthread_mutex_unlock(&r->lock);
    return st;
}

static struct alb_status exists_many(struct chunk_store *s, const struct chunk_key *keys,
                                     size_t count, bool *has)
{
    struct ram_store *r = from_base(s);
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < count; i++)
        has[i] = map_get(&r->kept, &keys[i]) != NULL;
    pthread_mutex_unlock(&r->lock);
    return ALB_STATUS_OK;
}

static struct alb_status remove_one(struct chunk_store *s, const struct chunk_key *key)
{
    struct ram_store *r = from_base(s);
    pthread_mutex_lock(&r->lock);
    enum luck luck = ram_luck_draw(&r->luck);
    if (luck != LUCK_UNKNOWN_LOST)
        drop(r, key);
    pthread_mutex_unlock(&r->lock);
    if (luck != LUCK_GOOD)
        return alb_fail(ALB_UNKNOWN, "memory store: a removal was not answered");
    return ALB_STATUS_OK;
}

/* The `max` smallest keys greater than `after`, as a sorted array that is inserted into. */
struct listing {
    struct chunk_key after; /* a copy: callers page with an `after` that lies in `keys`; kind 0
                               comes before every key */
    struct chunk_key *keys;
    size_t max;
    size_t count;
};

static bool list_one(void *arg, const struct chunk_key *key, void *value)
{
    struct listing *l = arg;
    (void)value;
    if (chunk_key_compare(key, &l->after) <= 0)
        return true;
    size_t low = 0;
    for (size_t high = l->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (chunk_key_compare(&l->keys[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == l->max)
        return true;
    size_t kept = l->count < l->max ? l->count : l->max - 1;
    memmove(&l->keys[low + 1], &l->keys[low], (kept - low) * sizeof(*l->keys));
    l->keys[low] = *key;
    l->count = kept + 1;
    return true;
}

static struct alb_status list(struct chunk_store *s, const struct chunk_key *after, size_t max,
                              struct chunk_key *keys, size_t *count)
{
    struct ram_store *r = from_base(s);
    struct listing l = {.keys = keys, .max = max};
    if (after != NULL)
        l.after = *after;
    pthread_mutex_lock(&r->lock);
    map_each(&r->kept, list_one, &l);
    pthread_mutex_unlock(&r->lock);
    *count = l.count;
    return ALB_STATUS_OK;
}

static struct alb_status stats(struct chunk_store *s, struct chunk_store_stats *out)
{
    struct ram_store *r = from_base(s);
    pthread_mutex_lock(&r->lock);
    *out = (struct chunk_store_stats){
        .chunks = r->kept.count,
        .stored_bytes = r->stored_bytes,
        .disk_bytes = r->stored_bytes,
    };
    pthread_mutex_unlock(&r->lock);
    return ALB_STATUS_OK;
}

static bool free_one(void *arg, const struct chunk_key *key, void *value)
{
    struct kept *k = value;
    (void)arg;
    (void)key;
    chunk_unref(k->chunk);
    free(k);
    return true;
}

static struct alb_status wipe(struct chunk_store *s)
{
    struct ram_store *r = from_base(s);
    pthread_mutex_lock(&r->lock);
    map_each(&r->kept, free_one, NULL);
    map_release(&r->kept);
    map_init(&r->kept);
    r->stored_bytes = 0;
    pthread_mutex_unlock(&r->lock);
    return ALB_STATUS_OK;
}

static void ram_close(struct chunk_store *s)
{
    struct ram_store *r = from_base(s);
    map_each(&r->kept, free_one, NULL);
    map_release(&r->kept);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static const struct chunk_store_ops ops = {
    .name = "memory",
    .put_many = put_many,
    .get = get,
    .exists_many = exists_many,
    .remove = remove_one,
    .wipe = wipe,
    .list = list,
    .stats = stats,
    .close = ram_close,
};

struct chunk_store *ram_chunk_store_new(const struct ram_options *options)
{
    struct ram_store *r = xalloc(sizeof(*r));
    r->base.ops = &ops;
    pthread_mutex_init(&r->lock, NULL);
    map_init(&r->kept);
    r->quota_bytes = options->quota_bytes;
    ram_luck_init(&r->luck, options);
    return &r->base;
}

struct alb_status ram_chunk_store_damage(struct chunk_store *s, const struct chunk_key *key)
{
    struct ram_store *r = from_base(s);
    pthread_mutex_lock(&r->lock);
    struct kept *k = map_get(&r->kept, key);
    if (k != NULL)
        k->damaged = true;
    pthread_mutex_unlock(&r->lock);
    if (k == NULL)
        return alb_fail(ALB_NOT_FOUND, "memory store: no such chunk to damage");
    return ALB_STATUS_OK;
}
