/* SPDX-License-Identifier: Apache-2.0 */
/* store/evict.c – the policies, a few lines each, and their table. */
#include "store/evict.h"

#include <string.h>

#include "base/alloc.h"

enum { S3_COUNT_MOST = 3, NEW_SHARE = 10 /* a tenth of the room */ };
enum { PLACES_LEAST = 64 << 10, PLACES_MOST = 8 << 20, BYTES_PER_PLACE = 1 << 10 };

static enum evict_queue non_empty(const uint64_t bytes[EVICT_QUEUES], enum evict_queue wanted)
{
    if (bytes[wanted] > 0)
        return wanted;
    return wanted == QUEUE_NEW ? QUEUE_MAIN : QUEUE_NEW;
}

static enum evict_queue admit_main(struct evictor *e, uint64_t hash)
{
    (void)e;
    (void)hash;
    return QUEUE_MAIN;
}

/* NEW holds something only if another policy was in force before. */
static enum evict_queue victim_one_queue(const struct evictor *e,
                                         const uint64_t bytes[EVICT_QUEUES])
{
    (void)e;
    return non_empty(bytes, QUEUE_NEW);
}

static enum evict_queue victim_two_queues(const struct evictor *e,
                                          const uint64_t bytes[EVICT_QUEUES])
{
    (void)e;
    uint64_t all = bytes[QUEUE_NEW] + bytes[QUEUE_MAIN];
    return non_empty(bytes, bytes[QUEUE_NEW] > all / NEW_SHARE ? QUEUE_NEW : QUEUE_MAIN);
}

/* ---- fifo ---- */

static void fifo_touch(struct evictor *e, uint64_t hash)
{
    (void)e;
    (void)hash;
}

static bool fifo_stays(struct evictor *e, uint64_t hash, enum evict_queue from)
{
    (void)e;
    (void)hash;
    (void)from;
    return false;
}

/* ---- lru ---- */

static void lru_touch(struct evictor *e, uint64_t hash)
{
    heat_set(&e->heat, hash, 1);
}

static bool lru_stays(struct evictor *e, uint64_t hash, enum evict_queue from)
{
    (void)from;
    bool was_asked_for = heat_get(&e->heat, hash) > 0;
    heat_set(&e->heat, hash, 0);
    return was_asked_for;
}

/* ---- s3-fifo (Yang et al., SOSP 2023) ---- */

static enum evict_queue s3_admit(struct evictor *e, uint64_t hash)
{
    if (!heat_is_ghost(&e->heat, hash))
        return QUEUE_NEW;
    heat_set(&e->heat, hash, 0);
    return QUEUE_MAIN;
}

static void s3_touch(struct evictor *e, uint64_t hash)
{
    unsigned count = heat_get(&e->heat, hash);
    if (count < S3_COUNT_MOST && !heat_is_ghost(&e->heat, hash))
        heat_set(&e->heat, hash, count + 1);
}

/* Asked for once more while it was new is enough: all machines of a branch that ask at about the
 * same time are answered from memory, so a second request is news. */
static bool s3_stays(struct evictor *e, uint64_t hash, enum evict_queue from)
{
    unsigned count = heat_get(&e->heat, hash);
    if (from == QUEUE_NEW && count == 0)
        heat_make_ghost(&e->heat, hash);
    else
        heat_set(&e->heat, hash, from == QUEUE_NEW || count == 0 ? 0 : count - 1);
    return count > 0;
}

/* ---- tiny-lfu (after Einziger et al., 2017) ---- */

static void tiny_touch(struct evictor *e, uint64_t hash)
{
    unsigned count = heat_get(&e->heat, hash);
    if (count < HEAT_MOST)
        heat_set(&e->heat, hash, count + 1);
}

static enum evict_queue tiny_admit(struct evictor *e, uint64_t hash)
{
    tiny_touch(e, hash);
    return QUEUE_NEW;
}

static bool tiny_stays(struct evictor *e, uint64_t hash, enum evict_queue from)
{
    unsigned count = heat_get(&e->heat, hash);
    bool stays = count > 1 && 16 * count > e->bar_x16;
    if (from == QUEUE_MAIN)
        e->bar_x16 += (16 * count) / 64 - e->bar_x16 / 64;
    return stays;
}

/* ---- the table ---- */

static const struct evict_policy policies[] = {
    {"s3-fifo", s3_admit, s3_touch, s3_stays, victim_two_queues, false},
    {"lru", admit_main, lru_touch, lru_stays, victim_one_queue, false},
    {"tiny-lfu", tiny_admit, tiny_touch, tiny_stays, victim_two_queues, true},
    {"fifo", admit_main, fifo_touch, fifo_stays, victim_one_queue, false},
};

const struct evict_policy *evict_policy_at(size_t n)
{
    return n < ALB_COUNT(policies) ? &policies[n] : NULL;
}

const struct evict_policy *evict_policy_find(const char *name)
{
    for (size_t i = 0; i < ALB_COUNT(policies); i++)
        if (strcmp(policies[i].name, name) == 0)
            return &policies[i];
    return NULL;
}

void evictor_init(struct evictor *e, const struct evict_policy *policy, uint64_t limit_bytes)
{
    uint64_t places = limit_bytes / BYTES_PER_PLACE;
    *e = (struct evictor){.policy = policy, .limit_bytes = limit_bytes};
    places = places < PLACES_LEAST ? PLACES_LEAST : places;
    heat_init(&e->heat, (size_t)(places < PLACES_MOST ? places : PLACES_MOST));
}

void evictor_release(struct evictor *e)
{
    heat_release(&e->heat);
}

bool evictor_stays(struct evictor *e, uint64_t hash, uint64_t size, enum evict_queue from)
{
    e->since_turn_bytes += size;
    if (e->since_turn_bytes >= e->limit_bytes) {
        e->since_turn_bytes = 0;
        if (e->policy->cools)
            heat_cool(&e->heat);
        else
            heat_turn(&e->heat);
    }
    return e->policy->stays(e, hash, from);
}
