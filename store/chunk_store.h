/* SPDX-License-Identifier: Apache-2.0 */
/* store/chunk_store.h – the door behind which chunk bytes are kept (DESIGN §6).
 *
 * An operation table, so that a segment store on disk, a twin in memory and, one day, a distributed
 * engine fit behind it.  The calls block and are made inside jobs, never on the loop.  put_many has
 * one caller at a time (the keeper's ordered lane); reads run in parallel with it.
 *
 * The store does not verify digests on put (the keeper did, before); it detects on read that bytes
 * are not those that were put (its own check value) and answers ALB_CORRUPT.
 *
 * "unknown" is an answer every caller handles: the write was sent and nobody can say whether it
 * took effect.  Asking again is always right, since put is idempotent.
 */
#pragma once

#include "base/key.h"
#include "base/status.h"
#include "chunk/chunk.h"

enum put_outcome { PUT_CREATED, PUT_EXISTS, PUT_UNKNOWN };

struct chunk_store_stats {
    uint64_t chunks;
    uint64_t stored_bytes; /* sum of stored forms                       */
    uint64_t disk_bytes;   /* what they occupy, overhead included       */
};

struct chunk_place { /* for people: where a stored form lies */
    char file[64];   /* relative to the store's directory */
    uint64_t offset; /* of its record                     */
    uint32_t size;   /* of the stored form                */
};

struct chunk_store;
struct cache_ops;

struct chunk_store_ops {
    const char *name;
    const struct cache_ops *cache; /* cache.h; NULL: nothing is ever dropped */
    /* Durable when it returns OK: one group, one write, one sync.  `outcomes` may be NULL.  FULL
     * when there is no room: nothing of the group is visible then (in a cache with several queues,
     * maybe some of it, if the disk itself is full).  UNKNOWN when at least one
     * outcome is PUT_UNKNOWN; the others are as `outcomes` says.  After any other failure
     * `outcomes` is not written and asking again is right. */
    struct alb_status (*put_many)(struct chunk_store *s, struct chunk *const *chunks, size_t count,
                                  enum put_outcome *outcomes);
    /* *out is a new reference.  NOT_FOUND, CORRUPT (the record is dropped from the index), IO. */
    struct alb_status (*get)(struct chunk_store *s, const struct chunk_key *key,
                             struct chunk **out);
    /* Advisory: has[i] says whether keys[i] is there now. */
    struct alb_status (*exists_many)(struct chunk_store *s, const struct chunk_key *keys,
                                     size_t count, bool *has);
    /* Idempotent; durable when it returns OK. */
    struct alb_status (*remove)(struct chunk_store *s, const struct chunk_key *key);
    /* Every chunk goes, and what it took on the disk.  OK: all of it, durably.  After a failure, or
     * a power loss in the midst of it, some may be left: asking again is right. */
    struct alb_status (*wipe)(struct chunk_store *s);
    /* Up to `max` keys greater than *after (NULL: from the start), in the store's own order. */
    struct alb_status (*list)(struct chunk_store *s, const struct chunk_key *after, size_t max,
                              struct chunk_key *keys, size_t *count);
    struct alb_status (*stats)(struct chunk_store *s, struct chunk_store_stats *out);
    /* NOT_FOUND.  NULL: this store has no places to speak of. */
    struct alb_status (*locate)(struct chunk_store *s, const struct chunk_key *key,
                                struct chunk_place *out);
    void (*close)(struct chunk_store *s);
};

/* First member of every implementation. */
struct chunk_store {
    const struct chunk_store_ops *ops;
};

static inline struct alb_status chunk_store_get(struct chunk_store *s, const struct chunk_key *key,
                                                struct chunk **out)
{
    return s->ops->get(s, key, out);
}
static inline struct alb_status chunk_store_put_many(struct chunk_store *s,
                                                     struct chunk *const *chunks, size_t count,
                                                     enum put_outcome *outcomes)
{
    return s->ops->put_many(s, chunks, count, outcomes);
}
static inline struct alb_status chunk_store_exists_many(struct chunk_store *s,
                                                        const struct chunk_key *keys, size_t count,
                                                        bool *has)
{
    return s->ops->exists_many(s, keys, count, has);
}
static inline struct alb_status chunk_store_remove(struct chunk_store *s,
                                                   const struct chunk_key *key)
{
    return s->ops->remove(s, key);
}
static inline struct alb_status chunk_store_wipe(struct chunk_store *s)
{
    return s->ops->wipe(s);
}
static inline struct alb_status chunk_store_list(struct chunk_store *s,
                                                 const struct chunk_key *after, size_t max,
                                                 struct chunk_key *keys, size_t *count)
{
    return s->ops->list(s, after, max, keys, count);
}
static inline struct alb_status chunk_store_stats(struct chunk_store *s,
                                                  struct chunk_store_stats *out)
{
    return s->ops->stats(s, out);
}
static inline struct alb_status chunk_store_locate(struct chunk_store *s,
                                                   const struct chunk_key *key,
                                                   struct chunk_place *out)
{
    if (s->ops->locate == NULL)
        return alb_fail(ALB_NOT_FOUND, "this store has no places");
    return s->ops->locate(s, key, out);
}
static inline void chunk_store_close(struct chunk_store *s)
{
    if (s != NULL)
        s->ops->close(s);
}
