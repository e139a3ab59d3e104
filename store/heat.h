/* SPDX-License-Identifier: Apache-2.0 */
/* store/heat.h – how often chunks were asked for lately, and which were dropped lately: four bytes
 * each, in memory only.
 *
 * A table of buckets of eight places.  Who was never asked for again has no place, so a store of
 * millions of chunks begins with an empty table and learns.  A full bucket forgets its coldest.
 * A place names its chunk by 24 bits beside the bucket's number: one stranger in two million is
 * taken for somebody here, which costs a wrong guess and never a wrong byte.
 *
 * A *ghost* is a chunk that was dropped: it is remembered for one to two generations
 * (heat_turn()), long enough to tell "asked for once" from "asked for again, but too late".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAT_MOST = 15, HEAT_BUCKET = 8 };

struct heat {
    uint32_t *places; /* owned; 0: empty.  24 bits of name, 2 of ghost, 4 of count */
    size_t buckets;   /* power of two                                            */
    unsigned turn;    /* 1 … 3: the generation of ghosts made now                */
};

/* `places` is rounded up to a power of two, at least one bucket.
 * Four bytes each, taken when touched. */
void heat_init(struct heat *h, size_t places);
void heat_release(struct heat *h);

/* 0 … HEAT_MOST; 0 for whoever has no place, and for ghosts. */
unsigned heat_get(const struct heat *h, uint64_t hash);
/* 0 gives the place up. */
void heat_set(struct heat *h, uint64_t hash, unsigned count);
bool heat_is_ghost(const struct heat *h, uint64_t hash);
void heat_make_ghost(struct heat *h, uint64_t hash);
/* A new generation of ghosts; those of the one before the last go.  One pass over the table. */
void heat_turn(struct heat *h);
/* Everybody's count is halved.  One pass over the table. */
void heat_cool(struct heat *h);
size_t heat_bytes(const struct heat *h);
