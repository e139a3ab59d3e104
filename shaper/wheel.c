/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/wheel.c – two rings of slots and a bit for each slot that is not empty. */
#include "shaper/wheel.h"

#include <stddef.h>

#define TICK_NS UINT64_C(1000000)

void wheel_init(struct wheel *w, uint64_t now_ns)
{
    *w = (struct wheel){.tick = now_ns / TICK_NS};
}

static void mark(struct wheel *w, uint32_t slot, bool is_used)
{
    uint64_t *word = &w->coarse_used;
    uint32_t bit = slot - WHEEL_FINE;

    if (slot == WHEEL_DUE)
        return;
    if (slot < WHEEL_FINE) {
        word = &w->fine_used[slot / WHEEL_WORD];
        bit = slot % WHEEL_WORD;
    }
    if (is_used)
        *word |= UINT64_C(1) << bit;
    else
        *word &= ~(UINT64_C(1) << bit);
}

static uint32_t slot_of(const struct wheel *w, uint64_t at_ns)
{
    uint64_t tick = at_ns / TICK_NS + (at_ns % TICK_NS != 0);
    uint64_t turn = tick / WHEEL_FINE;
    uint64_t now_turn = w->tick / WHEEL_FINE;

    if (tick <= w->tick)
        return WHEEL_DUE;
    if (tick - w->tick < WHEEL_FINE)
        return (uint32_t)(tick % WHEEL_FINE);
    if (turn - now_turn >= WHEEL_COARSE)
        turn = now_turn + WHEEL_COARSE - 1; /* round again from there */
    return (uint32_t)(WHEEL_FINE + turn % WHEEL_COARSE);
}

void wheel_remove(struct wheel *w, struct wheel_entry *e)
{
    if (!wheel_entry_is_set(e))
        return;
    if (e->prev != NULL)
        e->prev->next = e->next;
    else
        w->slots[e->slot] = e->next;
    if (e->next != NULL)
        e->next->prev = e->prev;
    if (w->slots[e->slot] == NULL)
        mark(w, e->slot, false);
    e->slot = WHEEL_IDLE;
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t at_ns)
{
    wheel_remove(w, e);
    e->at_ns = at_ns;
    e->slot = slot_of(w, at_ns);
    e->prev = NULL;
    e->next = w->slots[e->slot];
    if (e->next != NULL)
        e->next->prev = e;
    w->slots[e->slot] = e;
    mark(w, e->slot, true);
}

/* The first used fine slot's tick after w->tick, or UINT64_MAX. */
static uint64_t next_fine_tick(const struct wheel *w)
{
    enum { WORDS = WHEEL_FINE / WHEEL_WORD };
    uint64_t from = w->tick + 1;
    uint32_t start = (uint32_t)(from % WHEEL_FINE);

    for (uint32_t i = 0; i <= WORDS; i++) {
        uint32_t word = (start / WHEEL_WORD + i) % WORDS;
        uint64_t used = w->fine_used[word];
        if (i == 0)
            used &= UINT64_MAX << (start % WHEEL_WORD);
        if (used == 0)
            continue;
        uint32_t slot = word * WHEEL_WORD + (uint32_t)__builtin_ctzll(used);
        return from + (slot + WHEEL_FINE - start) % WHEEL_FINE;
    }
    return UINT64_MAX;
}

/* The tick at which the first used coarse slot is to be spread over the fine ones. */
static uint64_t next_coarse_tick(const struct wheel *w)
{
    uint64_t turn = w->tick / WHEEL_FINE + 1;
    uint32_t start = (uint32_t)(turn % WHEEL_COARSE);
    uint64_t used = w->coarse_used;

    if (used == 0)
        return UINT64_MAX;
    if (start != 0)
        used = used >> start | used << (WHEEL_COARSE - start);
    return (turn + (uint64_t)__builtin_ctzll(used)) * WHEEL_FINE;
}

uint64_t wheel_next_ns(const struct wheel *w)
{
    uint64_t fine = next_fine_tick(w);
    uint64_t coarse = next_coarse_tick(w);
    uint64_t tick = fine < coarse ? fine : coarse;

    if (w->slots[WHEEL_DUE] != NULL)
        return w->tick * TICK_NS;
    return tick == UINT64_MAX ? UINT64_MAX : tick * TICK_NS;
}

/* Put everybody in a slot where they belong now. */
static void spread(struct wheel *w, uint32_t slot)
{
    struct wheel_entry *e = w->slots[slot];

    w->slots[slot] = NULL;
    mark(w, slot, false);
    while (e != NULL) {
        struct wheel_entry *next = e->next;
        __builtin_prefetch((const char *)e - 3 * 64);
        __builtin_prefetch((const char *)e - 2 * 64);
        __builtin_prefetch((const char *)e - 64);
        e->slot = WHEEL_IDLE;
        wheel_set(w, e, e->at_ns);
        e = next;
    }
}

struct wheel_entry *wheel_take(struct wheel *w, uint64_t now_ns)
{
    uint64_t now_tick = now_ns / TICK_NS;

    while (w->slots[WHEEL_DUE] == NULL && w->tick < now_tick) {
        uint64_t fine = next_fine_tick(w);
        uint64_t coarse = next_coarse_tick(w);
        uint64_t next = fine < coarse ? fine : coarse;
        if (next > now_tick) {
            w->tick = now_tick;
            break;
        }
        w->tick = next;
        if (coarse == next)
            spread(w, (uint32_t)(WHEEL_FINE + next / WHEEL_FINE % WHEEL_COARSE));
        if (fine == next)
            spread(w, (uint32_t)(next % WHEEL_FINE));
    }
    struct wheel_entry *e = w->slots[WHEEL_DUE];
    if (e != NULL)
        wheel_remove(w, e);
    return e;
}
