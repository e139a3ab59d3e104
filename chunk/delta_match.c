/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/delta_match.c – the scan that bsdiff does, over candidates that a hash table offers. */

#include "chunk/delta_match.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

enum {
    SEED = 8,              /* bytes that must be alike for a place to be looked at                */
    STEP = 4,              /* of the positions kept; instructions and tables love multiples of 4  */
    ENTRIES_MAX = 4 << 20, /* positions kept: 16 MiB of chain and as much of heads                */
    DEPTH = 24,            /* places looked at for one position                                   */
    AHEAD = 64,            /* bytes over which two places are compared                            */
    SWITCH = 8,            /* alike bytes more that make another place worth a new run (bsdiff's) */
    GOOD = 8,              /* alike bytes in a row under which nothing better is looked for       */
    MISS_COST = 2,         /* a byte that differs costs as much as this many alike ones save      */
    DROP = 64,             /* a run that lost this much is broken off                             */
    HURRY = 10, /* after 2^n bytes without a match every second is looked up, and so on */
};

struct delta_match {
    const uint8_t *bytes;
    size_t size, step;
    unsigned bits;
    uint32_t *heads, *chain; /* entry + 1 of the first with that hash, of the next; 0 ends it */
    size_t heads_room, chain_room;
};

/* One scan. */
struct scan {
    const struct delta_match *m;
    const uint8_t *target;
    size_t size;
    size_t done; /* everything before is told                                       */
    size_t base; /* the run under way began here …                                  */
    size_t from; /* … beside this place of the reference (SIZE_MAX: there is no run) */
};

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static size_t hash_of(const uint8_t *p, unsigned bits)
{
    return (size_t)(load64(p) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - bits));
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many of the next bytes are alike, up to the first that is not. */
static size_t alike_run(const uint8_t *a, const uint8_t *b, size_t max)
{
    size_t n = 0;

    while (n + 8 <= max) {
        uint64_t differ = load64(a + n) ^ load64(b + n);
        if (differ != 0)
            break;
        n += 8;
    }
    while (n < max && a[n] == b[n])
        n++;
    return n;
}

/* How many of the next `max` bytes are alike. */
static size_t alike(const uint8_t *a, const uint8_t *b, size_t max)
{
    const uint64_t low = UINT64_C(0x7F7F7F7F7F7F7F7F);
    size_t n = 0, i = 0;

    for (; i + 8 <= max; i += 8) {
        uint64_t differ = load64(a + i) ^ load64(b + i);
        uint64_t zero = ~(((differ & low) + low) | differ | low); /* 0x80 where a byte is zero */
        n += (size_t)__builtin_popcountll(zero);
    }
    for (; i < max; i++)
        n += a[i] == b[i];
    return n;
}

struct delta_match *delta_match_new(void)
{
    return xalloc(sizeof(struct delta_match));
}

struct delta_match *delta_match_free(struct delta_match *m)
{
    if (m == NULL)
        return NULL;
    free(m->heads);
    free(m->chain);
    free(m);
    return NULL;
}

void delta_match_forget(struct delta_match *m)
{
    m->bytes = NULL;
}

/* Grow a table; what it held is of no use any more. */
static bool table_grow(uint32_t **table, size_t *room, size_t wanted)
{
    if (*room >= wanted)
        return true;
    free(*table);
    *room = 0;
    *table = try_alloc(wanted * sizeof **table);
    if (*table == NULL)
        return false;
    *room = wanted;
    return true;
}

struct alb_status delta_match_refer(struct delta_match *m, const uint8_t *bytes, size_t size)
{
    if (m->bytes == bytes && m->size == size)
        return ALB_STATUS_OK;
    m->bytes = NULL;
    alb_assert(size > 0 && size <= UINT32_MAX);
    size_t step = STEP;
    while (size / step > ENTRIES_MAX)
        step *= 2;
    size_t entries = size < SEED ? 0 : (size - SEED) / step + 1;
    unsigned bits = 8;
    while ((size_t)1 << bits < entries)
        bits++;
    if (!table_grow(&m->heads, &m->heads_room, (size_t)1 << bits) ||
        !table_grow(&m->chain, &m->chain_room, entries + 1))
        return alb_fail(ALB_FULL, "the index of a delta's reference");
    memset(m->heads, 0, sizeof(*m->heads) << bits);
    /* From the end, so that of places alike the first is found first; runs of one byte are kept
     * once, or their chain would hide all else. */
    uint64_t before = 0;
    for (size_t i = entries; i > 0; i--) {
        uint64_t seed = load64(bytes + (i - 1) * step);
        if (i < entries && seed == before)
            continue;
        before = seed;
        size_t h = hash_of(bytes + (i - 1) * step, bits);
        m->chain[i] = m->heads[h];
        m->heads[h] = (uint32_t)i;
    }
    m->bytes = bytes;
    m->size = size;
    m->step = step;
    m->bits = bits;
    return ALB_STATUS_OK;
}

/* Where in the reference the run under way would be at `t`; SIZE_MAX when it is over. */
static size_t place_at(const struct scan *s, size_t t)
{
    if (s->from == SIZE_MAX)
        return SIZE_MAX;
    size_t place = s->from + (t - s->base);
    return place < s->m->size ? place : SIZE_MAX;
}

/* The place of the reference that has most bytes alike with the target's from `t` on. */
static size_t place_find(const struct scan *s, size_t t, size_t *score)
{
    const struct delta_match *m = s->m;
    const uint8_t *seed = s->target + t;
    size_t best = SIZE_MAX;

    *score = 0;
    if (s->size - t < SEED || m->size < SEED)
        return best;
    uint32_t entry = m->heads[hash_of(seed, m->bits)];
    for (unsigned depth = 0; entry != 0 && depth < DEPTH; depth++, entry = m->chain[entry]) {
        size_t place = (entry - 1) * m->step;
        if (load64(m->bytes + place) != load64(seed))
            continue;
        size_t max = least(AHEAD, least(s->size - t, m->size - place));
        size_t n = alike(seed, m->bytes + place, max);
        if (n > *score) {
            *score = n;
            best = place;
        }
    }
    return best;
}

/* How far a run pays: forwards from (t, place) over at most `max` bytes. */
static size_t reach_forward(const struct scan *s, size_t t, size_t place, size_t max)
{
    const uint8_t *a = s->target + t, *b = s->m->bytes + place;
    ptrdiff_t score = 0, best = 0;
    size_t reach = 0;

    for (size_t i = 0; i < max && score > best - DROP;) {
        size_t n = alike_run(a + i, b + i, max - i);
        i += n;
        score += (ptrdiff_t)n;
        if (score > best) {
            best = score;
            reach = i;
        }
        if (i < max) {
            score -= MISS_COST;
            i++;
        }
    }
    return reach;
}

static size_t reach_back(const struct scan *s, size_t t, size_t place, size_t max)
{
    const uint8_t *a = s->target + t, *b = s->m->bytes + place;
    ptrdiff_t score = 0, best = 0;
    size_t reach = 0;

    for (size_t i = 1; i <= max; i++) {
        score += a[-(ptrdiff_t)i] == b[-(ptrdiff_t)i] ? 1 : -MISS_COST;
        if (score > best) {
            best = score;
            reach = i;
        }
        if (score < best - DROP)
            break;
    }
    return reach;
}

/* Two runs claim the same bytes: how many of these belong to the earlier one? */
static size_t share_overlap(const struct scan *s, size_t t, size_t first, size_t second, size_t n)
{
    ptrdiff_t score = 0, best = 0;
    size_t share = 0;

    for (size_t i = 0; i < n; i++) {
        uint8_t byte = s->target[t + i];
        score += (byte == s->m->bytes[first + i]) - (byte == s->m->bytes[second + i]);
        if (score > best) {
            best = score;
            share = i + 1;
        }
    }
    return share;
}

/* Tell what the run under way is good for before `end`: where it loses too much for too long it
 * is broken off, and taken up again where it has GOOD bytes alike. */
static struct alb_status tell(struct scan *s, size_t end, const struct delta_runs *runs)
{
    const struct delta_match *m = s->m;

    while (s->from != SIZE_MAX && s->base < end && s->from < m->size) {
        const uint8_t *a = s->target + s->base, *b = m->bytes + s->from;
        size_t max = least(end - s->base, m->size - s->from), skip = 0;
        size_t length = reach_forward(s, s->base, s->from, max);
        if (length > 0) {
            struct delta_run run = {s->base - s->done, length, s->from};
            struct alb_status st = runs->add(runs->arg, &run);
            if (alb_failed(st))
                return st;
            s->done = s->base + length;
        }
        for (skip = length + 1; skip + GOOD <= max; skip++)
            if (load64(a + skip) == load64(b + skip))
                break;
        if (skip + GOOD > max)
            break;
        s->base += skip;
        s->from += skip;
    }
    return ALB_STATUS_OK;
}

/* The run under way ends, because a run beside `place` begins at `t` (or the target ends there,
 * with `place` SIZE_MAX). */
static struct alb_status turn(struct scan *s, size_t t, size_t place, const struct delta_runs *runs)
{
    size_t back = place == SIZE_MAX ? 0 : reach_back(s, t, place, least(t - s->done, place));
    size_t begin = t - back, here = s->from == SIZE_MAX ? t : s->base;

    if (s->from != SIZE_MAX && here < begin)
        here = begin;
    if (s->from != SIZE_MAX && here < t) {
        size_t first = s->from + (here - s->base);
        size_t max = first < s->m->size ? least(t - here, s->m->size - first) : 0;
        size_t reach = reach_forward(s, here, first, max);
        size_t share = share_overlap(s, here, first, place - (t - here), reach);
        begin = share > 0 ? here + share : begin;
    }
    struct alb_status st = tell(s, begin, runs);
    s->base = begin;
    s->from = place == SIZE_MAX ? SIZE_MAX : place - (t - begin);
    return st;
}

struct alb_status delta_match_find(const struct delta_match *m, const uint8_t *target, size_t size,
                                   size_t at, const struct delta_runs *runs)
{
    struct scan s = {.m = m, .target = target, .size = size, .from = at < m->size ? at : SIZE_MAX};
    size_t t = 0, matched = 0; /* up to where something was alike */

    while (t < size) {
        size_t here = place_at(&s, t), ahead = 0, score;
        if (here != SIZE_MAX) {
            size_t max = least(size - t, m->size - here);
            size_t n = alike_run(target + t, m->bytes + here, max);
            if (n >= GOOD || n == size - t) {
                t += n;
                matched = t;
                continue;
            }
            ahead = alike(target + t, m->bytes + here, least(AHEAD, max));
        }
        size_t place = place_find(&s, t, &score);
        if (place != SIZE_MAX && place != here && score > ahead + SWITCH) {
            struct alb_status st = turn(&s, t, place, runs);
            if (alb_failed(st))
                return st;
            matched = t;
            t += SEED;
            continue;
        }
        t += 1 + ((t - matched) >> HURRY);
    }
    struct alb_status st = turn(&s, size, SIZE_MAX, runs);
    if (alb_failed(st) || s.done == size)
        return st;
    return runs->add(runs->arg, &(struct delta_run){.literals = size - s.done});
}
