/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/cut.c – rolls the gear hash over a stream and says where the first chunk ends. */

#include "chunk/cut.h"

/* A byte leaves the 64-bit hash after this many shifts: what a cut point can depend on. */
enum { WINDOW = 64 };
/* How many one-bits the strict mask has more, and the loose one less, than log2(average). */
enum { NORMALISATION = 2 };

static const uint64_t gear[256] = {
#include "chunk/gear.def"
};

const struct cut_params cut_content = {.min = 64 << 10, .average = 256 << 10, .max = 1024 << 10};
const struct cut_params cut_manifest = {.min = 512, .average = 1 << 10, .max = 4 << 10};

static uint64_t spread_mask(unsigned bits);
static uint64_t warm_up(const uint8_t *bytes, size_t from);
static size_t find_cut(uint64_t *hash, uint64_t mask, const uint8_t *bytes, size_t at, size_t end);

struct alb_status cut_params_check(const struct cut_params *p)
{
    if (p->min < WINDOW)
        return alb_fail(ALB_INVALID, "cut parameters: min is below 64 bytes");
    if (p->min >= p->average || p->average >= p->max)
        return alb_fail(ALB_INVALID, "cut parameters: not min < average < max");
    if (p->max > CUT_MAX_LIMIT)
        return alb_fail(ALB_INVALID, "cut parameters: max is above 4 MiB");
    if ((p->average & (p->average - 1)) != 0)
        return alb_fail(ALB_INVALID, "cut parameters: average is no power of two");
    return ALB_STATUS_OK;
}

void cutter_init(struct cutter *c, const struct cut_params *params)
{
    alb_assert(!alb_failed(cut_params_check(params)));
    unsigned bits = (unsigned)__builtin_ctz(params->average);
    c->params = *params;
    c->strict_mask = spread_mask(bits + NORMALISATION);
    c->loose_mask = spread_mask(bits - NORMALISATION);
}

size_t cutter_next(const struct cutter *c, const uint8_t *bytes, size_t size)
{
    const struct cut_params *p = &c->params;
    if (size <= p->min)
        return size;
    size_t end = size < p->max ? size : p->max;
    size_t middle = end < p->average ? end : p->average;
    uint64_t hash = warm_up(bytes, p->min);
    size_t cut = find_cut(&hash, c->strict_mask, bytes, p->min, middle);
    if (cut == 0 && middle < end)
        cut = find_cut(&hash, c->loose_mask, bytes, middle, end);
    return cut != 0 ? cut : end;
}

/* `bits` one-bits spread evenly downwards from bit 62 over 48 positions.  High bits have seen many
 * bytes and low ones few. */
static uint64_t spread_mask(unsigned bits)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < bits; i++)
        mask |= UINT64_C(1) << (62 - i * 48 / bits);
    return mask;
}

/* The hash of the window that ends before `from`, so that even the first place where a cut is
 * allowed is judged by a whole window and not by how far it is from the last cut. */
static uint64_t warm_up(const uint8_t *bytes, size_t from)
{
    uint64_t hash = 0;
    for (size_t i = from - WINDOW; i < from; i++)
        hash = (hash << 1) + gear[bytes[i]];
    return hash;
}

/* The first length in (at, end] whose window has no bit of `mask`, or 0.  Four bytes a step: the
 * chain from one hash to the next, not the work beside it, is what limits the speed, and it is as
 * long for four bytes as for one when what they add is put together apart from it. */
static size_t find_cut(uint64_t *hash, uint64_t mask, const uint8_t *bytes, size_t at, size_t end)
{
    uint64_t h = *hash;
    for (; at + 4 <= end; at += 4) {
        uint64_t one = gear[bytes[at]];
        uint64_t two = (one << 1) + gear[bytes[at + 1]];
        uint64_t three = (two << 1) + gear[bytes[at + 2]];
        uint64_t four = (three << 1) + gear[bytes[at + 3]];
        if ((((h << 1) + one) & mask) == 0)
            return at + 1;
        if ((((h << 2) + two) & mask) == 0)
            return at + 2;
        if ((((h << 3) + three) & mask) == 0)
            return at + 3;
        h = (h << 4) + four;
        if ((h & mask) == 0)
            return at + 4;
    }
    for (; at < end; at++) {
        h = (h << 1) + gear[bytes[at]];
        if ((h & mask) == 0)
            return at + 1;
    }
    *hash = h;
    return 0;
}
