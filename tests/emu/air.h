/* SPDX-License-Identifier: Apache-2.0 */
/* emu/air.h – the way from the end of the line to the other end: delay, jitter, and a radio that
 * pauses.
 *
 * Jitter only adds to the delay, so that the least round trip stays the configured one: "uniform"
 * adds anything from 0 to `jitter_ns`, "normal" the absolute value of a normal number with that
 * deviation, at most four of them.  Without `reorder` no packet overtakes another: one that would
 * arrives with it, so packets closer together than the jitter come in bunches after the late one.
 *
 * The radio stops now and then, as Wi-Fi does under interference or a scan: what would arrive in
 * a pause arrives, all at once, at its end.  Both directions are given the same seed and start,
 * and so pause together.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/dice.h"
#include "emu/packet_pool.h"

enum air_jitter {
    AIR_UNIFORM,
    AIR_NORMAL,
};

struct air_params {
    uint64_t delay_ns;
    uint64_t jitter_ns; /* 0: none */
    enum air_jitter jitter;
    bool reorder;
    uint64_t pause_min_ns, pause_max_ns;
    uint64_t pause_gap_ns; /* mean time between two pauses; 0: no pauses */
};

struct air {
    struct packet_pool *pool; /* borrowed */
    struct dice jitter_dice;
    struct dice pause_dice;
    uint64_t pause_from_ns, pause_to_ns; /* the latest pause that was drawn */
    uint64_t last_due_ns;
    uint32_t first, end;          /* both only grow; the index is their value modulo PACKET_SLOTS */
    uint32_t slots[PACKET_SLOTS]; /* by due time */
};

void air_init(struct air *air, struct packet_pool *pool, uint64_t jitter_seed);

/* Draw pauses from `now_ns` on, as `seed` has them. */
void air_restart_pauses(struct air *air, uint64_t seed, uint64_t now_ns);

/* The packet in `slot` left the line at `depart_ns`. */
void air_launch(struct air *air, const struct air_params *params, uint32_t slot,
                uint64_t depart_ns);

/* When the next packet arrives; UINT64_MAX: none is under way. */
uint64_t air_due_ns(const struct air *air);

/* The slot of the packet that arrives next; it is no longer in the air.  Not when none is. */
uint32_t air_land(struct air *air);

/* Drop all; how many. */
uint32_t air_clear(struct air *air);
