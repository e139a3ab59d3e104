/* SPDX-License-Identifier: Apache-2.0 */
/* store/ram_luck.h – decides by seed which writes to a twin in memory get the answer "unknown". */
#pragma once

#include <stdbool.h>

#include "store/ram.h"

enum luck {
    LUCK_GOOD,         /* written, and the caller is told        */
    LUCK_UNKNOWN_DONE, /* written, but the answer was lost       */
    LUCK_UNKNOWN_LOST, /* not written, and nobody can say so     */
};

struct ram_luck {
    uint64_t state;
    unsigned per_mille;
};

static inline void ram_luck_init(struct ram_luck *l, const struct ram_options *options)
{
    l->state = options->seed;
    l->per_mille = options->unknown_per_mille;
}

/* splitmix64 (Steele, Lea, Flood, OOPSLA'14). */
static inline enum luck ram_luck_draw(struct ram_luck *l)
{
    if (l->per_mille == 0)
        return LUCK_GOOD;
    l->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = l->state;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    if (x % 1000 >= l->per_mille)
        return LUCK_GOOD;
    return (x >> 32) % 2 == 0 ? LUCK_UNKNOWN_DONE : LUCK_UNKNOWN_LOST;
}
