/* SPDX-License-Identifier: Apache-2.0 */
/* store/heat.c – the table of counts and ghosts: buckets, names, and whom a full bucket forgets. */
#include "store/heat.h"

#include <stdlib.h>

#include "base/alloc.h"

/* A place: name << 8 | ghost << 4 | count.  The name is never 0, so neither is a place in use. */
enum { NAME_SHIFT = 8, GHOST_SHIFT = 4, GHOST_BITS = 3, COUNT_BITS = 15 };

static uint32_t name_of(uint64_t hash)
{
    uint32_t name = (uint32_t)(hash >> 40);
    return name == 0 ? 1 : name;
}

static unsigned ghost_of(uint32_t place)
{
    return (place >> GHOST_SHIFT) & GHOST_BITS;
}

static uint32_t *bucket_of(const struct heat *h, uint64_t hash)
{
    return h->places + (size_t)(hash & (h->buckets - 1)) * HEAT_BUCKET;
}

static uint32_t *find(const struct heat *h, uint64_t hash)
{
    uint32_t *bucket = bucket_of(h, hash);
    for (size_t i = 0; i < HEAT_BUCKET; i++)
        if (bucket[i] >> NAME_SHIFT == name_of(hash))
            return &bucket[i];
    return NULL;
}

/* Whom a full bucket forgets first: nobody, ghosts (older ones before), then the coldest. */
static unsigned worth(const struct heat *h, uint32_t place)
{
    if (place == 0)
        return 0;
    if (ghost_of(place) != 0)
        return ghost_of(place) == h->turn ? 2 : 1;
    return 3 + (place & COUNT_BITS);
}

/* The place of `hash`, given to it if it has none. */
static uint32_t *claim(struct heat *h, uint64_t hash)
{
    uint32_t *found = find(h, hash);
    uint32_t *bucket = bucket_of(h, hash);
    if (found != NULL)
        return found;
    found = bucket;
    for (size_t i = 1; i < HEAT_BUCKET; i++)
        if (worth(h, bucket[i]) < worth(h, *found))
            found = &bucket[i];
    *found = name_of(hash) << NAME_SHIFT;
    return found;
}

void heat_init(struct heat *h, size_t places)
{
    *h = (struct heat){.buckets = 1, .turn = 1};
    while (h->buckets * HEAT_BUCKET < places)
        h->buckets *= 2;
    /* Zeroed pages that nobody touched take no memory. */
    h->places = xcalloc(h->buckets * HEAT_BUCKET, sizeof(*h->places));
}

void heat_release(struct heat *h)
{
    free(h->places);
    *h = (struct heat){.places = NULL};
}

unsigned heat_get(const struct heat *h, uint64_t hash)
{
    const uint32_t *place = find(h, hash);
    return place == NULL || ghost_of(*place) != 0 ? 0 : *place & COUNT_BITS;
}

void heat_set(struct heat *h, uint64_t hash, unsigned count)
{
    uint32_t *place = count == 0 ? find(h, hash) : claim(h, hash);
    if (place == NULL)
        return;
    *place = count == 0 ? 0 : name_of(hash) << NAME_SHIFT | (count < HEAT_MOST ? count : HEAT_MOST);
}

bool heat_is_ghost(const struct heat *h, uint64_t hash)
{
    const uint32_t *place = find(h, hash);
    return place != NULL && ghost_of(*place) != 0;
}

void heat_make_ghost(struct heat *h, uint64_t hash)
{
    *claim(h, hash) = name_of(hash) << NAME_SHIFT | h->turn << GHOST_SHIFT;
}

void heat_turn(struct heat *h)
{
    h->turn = h->turn % 3 + 1;
    for (size_t i = 0; i < h->buckets * HEAT_BUCKET; i++)
        if (ghost_of(h->places[i]) == h->turn) /* of three turns ago */
            h->places[i] = 0;
}

void heat_cool(struct heat *h)
{
    for (size_t i = 0; i < h->buckets * HEAT_BUCKET; i++) {
        uint32_t place = h->places[i];
        unsigned half = (place & COUNT_BITS) / 2;
        if (place != 0 && ghost_of(place) == 0)
            h->places[i] = half == 0 ? 0 : (place & ~(uint32_t)COUNT_BITS) | half;
    }
}

size_t heat_bytes(const struct heat *h)
{
    return h->buckets * HEAT_BUCKET * sizeof(*h->places);
}
