/* SPDX-License-Identifier: Apache-2.0 */
/* store/evict.h – what leaves a full cache: policies as plug-ins, pure and in memory.
 *
 * A store keeps its records in files that are written once, in order, and freed as a whole.  So
 * every policy here is a set of queues: a record stands at the end of one, and once it comes to the
 * front the policy *judges* it: it goes, or is copied on to the end of the main queue.  That is
 * all a policy can do, and it is told four things: a record came, was asked for, is judged, and
 * how full the queues are.
 *
 *     a chunk comes ──admit──> NEW  ──judge──> dropped
 *                        \       └──judge──┐
 *                         └──> MAIN <──────┘<─┐
 *                                └──judge─────┘ or dropped         PINNED: never judged
 *
 *   s3-fifo   new chunks stand in a tenth of the room; who was not asked for again there goes, and
 *             is remembered as a ghost; a ghost that returns goes to main at once.  In main every
 *             request up to three is another round.
 *   lru       one queue; who was asked for since the last round stays (second chance, "clock").
 *   tiny-lfu  as s3-fifo, but whoever is asked for more often than those judged lately stays, and
 *             counts outlive the record; they are halved every round.
 *   fifo      one queue, nobody stays; to compare with.
 *
 * Memory: heat.h's table, four bytes per KiB of the limit, at most 32 MiB.
 */
#pragma once

#include "store/heat.h"

/* The numbers are on disk (store/FORMAT.md). */
enum evict_queue { QUEUE_NEW = 0, QUEUE_MAIN = 1, QUEUE_PINNED = 2 };
enum { EVICT_QUEUES = 3 };

struct evictor {
    const struct evict_policy *policy;
    struct heat heat;
    uint64_t limit_bytes;
    uint64_t since_turn_bytes; /* judged since the table last turned or cooled */
    unsigned bar_x16;          /* tiny-lfu: the mean count of those judged, × 16 */
};

struct evict_policy {
    const char *name;
    /* A chunk is about to be kept: at the end of which queue? */
    enum evict_queue (*admit)(struct evictor *e, uint64_t hash);
    /* It was asked for. */
    void (*touch)(struct evictor *e, uint64_t hash);
    /* It came to the front of `from`: does it stay (at the end of MAIN)? */
    bool (*stays)(struct evictor *e, uint64_t hash, enum evict_queue from);
    /* Which queue gives up its front: NEW or MAIN, whichever of them holds something. */
    enum evict_queue (*victim)(const struct evictor *e, const uint64_t bytes[EVICT_QUEUES]);
    bool cools; /* the table is halved every round; else its ghosts grow older */
};

/* NULL when there is none of this name. */
const struct evict_policy *evict_policy_find(const char *name);
/* The n-th, NULL behind the last: to list them. */
const struct evict_policy *evict_policy_at(size_t n);

void evictor_init(struct evictor *e, const struct evict_policy *policy, uint64_t limit_bytes);
void evictor_release(struct evictor *e);

static inline enum evict_queue evictor_admit(struct evictor *e, uint64_t hash)
{
    return e->policy->admit(e, hash);
}
static inline void evictor_touch(struct evictor *e, uint64_t hash)
{
    e->policy->touch(e, hash);
}
static inline enum evict_queue evictor_victim(const struct evictor *e,
                                              const uint64_t bytes[EVICT_QUEUES])
{
    return e->policy->victim(e, bytes);
}
bool evictor_stays(struct evictor *e, uint64_t hash, uint64_t size, enum evict_queue from);
