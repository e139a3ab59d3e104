/* SPDX-License-Identifier: Apache-2.0 */
/* store/cache.h – what a store that may drop chunks can besides: limits, pins, and what they cost.
 *
 * `chunk_store_ops.cache` is NULL for a store that never drops anything.  All calls but touch()
 * block and are made inside jobs.
 *
 * A *pin* is a named set of keys that is never dropped, with the bytes it may take: whoever pins
 * says an upper bound of their stored sizes.  Pinned chunks need not be there yet; room for them is
 * kept all the same, because everything else goes first.  Pins outlive restarts, and their sum is
 * at most PINS_SHARE of the quota: the rest is what a cache lives on.
 */
#pragma once

#include "store/chunk_store.h"
#include "store/evict.h"

enum { PIN_NAME_MAX = 255, PINS_MAX = 64, PINS_SHARE_PERCENT = 80, CACHE_BAD_MOST = 64 };

struct cache_counts {
    uint64_t evicted_segments;
    uint64_t evicted_chunks;
    uint64_t evicted_bytes; /* stored forms                                */
    uint64_t copied_bytes;  /* of what stayed, copied on to make room      */
};

struct cache_scrub {
    uint64_t rounds;             /* how often all of it was looked through   */
    uint64_t chunks, bytes, bad; /* looked at, since there is a store */
};

struct cache_stats {
    const char *policy;
    uint64_t quota_bytes; /* 0: none */
    uint64_t floor_bytes;
    uint64_t used_bytes;     /* blocks of all files                          */
    uint64_t reserved_bytes; /* kept back: for the index, and for what is copied on */
    uint64_t queue_bytes[EVICT_QUEUES];
    uint64_t pins;
    uint64_t pinned_bytes; /* the sum of their bounds */
    uint64_t memory_bytes; /* of the policy           */
    struct cache_counts counts;
    struct cache_scrub scrub;
};

/* What would be lost if … */
struct cache_loss {
    uint64_t chunks, bytes; /* … without a pin: what is here and nothing else protects;
                               with another quota: bytes that would have to go */
    uint64_t lacking_bytes; /* by which the pins would exceed their share of the quota */
};

typedef void (*cache_visit_pin)(void *arg, const char *name, uint64_t chunks, uint64_t bytes);

struct cache_ops {
    /* It was asked for, and somebody else had it at hand.  Does not block. */
    void (*touch)(struct chunk_store *s, const struct chunk_key *key);
    /* Makes some room ahead of need, in a step of at most one segment; *more: call again. */
    struct alb_status (*tend)(struct chunk_store *s, bool *more);
    /* Reads about so many bytes of what is kept, from where the last call ended, over restarts, and
     * compares check values.  What is damaged is dropped, so that it is asked of the parent when
     * it is wanted next.  One caller at a time. */
    struct alb_status (*scrub)(struct chunk_store *s, uint64_t bytes, bool *is_round_over);
    /* What scrubbing found damaged since the last call: those who have a parent fetch it anew.  Of
     * more than CACHE_BAD_MOST between two calls the others are fetched when they are wanted. */
    size_t (*take_bad)(struct chunk_store *s, struct chunk_key keys[CACHE_BAD_MOST]);
    /* Replaces the pin of this name.  FULL: more than the share of the quota, or PINS_MAX; INVALID:
     * the name. */
    struct alb_status (*pin)(struct chunk_store *s, const char *name, const struct chunk_key *keys,
                             size_t count, uint64_t bytes);
    struct alb_status (*unpin)(struct chunk_store *s, const char *name); /* NOT_FOUND */
    void (*list_pins)(struct chunk_store *s, cache_visit_pin visit, void *arg);
    /* … if the pin `name` (NULL: none) went, and the quota were `quota_bytes` (0: as it is). */
    struct alb_status (*would_lose)(struct chunk_store *s, const char *name, uint64_t quota_bytes,
                                    struct cache_loss *out);
    void (*stats)(struct chunk_store *s, struct cache_stats *out);
};

static inline void chunk_store_touch(struct chunk_store *s, const struct chunk_key *key)
{
    if (s->ops->cache != NULL)
        s->ops->cache->touch(s, key);
}
