/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/wheel.h – a hundred thousand who wait for a time, each set, moved and found in O(1).
 *
 * A hashed timing wheel: 1,024 slots of 1 ms and 64 of 1.024 s; who waits longer goes round the
 * coarse slots again.  An entry is due at the first whole millisecond at or after its time, never
 * before it.  Pure: no clock, no timer, no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    WHEEL_FINE = 1024,
    WHEEL_COARSE = 64,
    WHEEL_DUE = WHEEL_FINE + WHEEL_COARSE, /* the slot of those whose time has come */
    WHEEL_SLOTS = WHEEL_DUE + 1,
    WHEEL_IDLE = WHEEL_SLOTS,
    WHEEL_WORD = 64
};

/* Embedded in whoever waits; zeroed is not idle: wheel_entry_init(). */
struct wheel_entry {
    struct wheel_entry *prev, *next;
    uint64_t at_ns;
    uint32_t slot;
};

struct wheel {
    uint64_t tick; /* milliseconds; all slots up to it have been emptied */
    uint64_t fine_used[WHEEL_FINE / WHEEL_WORD];
    uint64_t coarse_used;
    struct wheel_entry *slots[WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ns);
static inline void wheel_entry_init(struct wheel_entry *e)
{
    *e = (struct wheel_entry){.slot = WHEEL_IDLE};
}
static inline bool wheel_entry_is_set(const struct wheel_entry *e)
{
    return e->slot != WHEEL_IDLE;
}
/* Wait for that time; replaces what was set. */
void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t at_ns);
void wheel_remove(struct wheel *w, struct wheel_entry *e); /* idle is fine */
/* One that is due, now idle, or NULL.  `now_ns` must not run backwards. */
struct wheel_entry *wheel_take(struct wheel *w, uint64_t now_ns);
/* When wheel_take() is worth calling: exact for the next second, else at most as late as the first
 * entry.  UINT64_MAX when nobody waits. */
uint64_t wheel_next_ns(const struct wheel *w);
