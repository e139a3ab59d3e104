/* SPDX-License-Identifier: Apache-2.0 */
/* emu/packet_ring.h – packets on their way in one direction, first in, first out, in memory taken
 * once.
 *
 * Slots are allocated and touched at the start, so that no packet waits for a page fault.
 * 16,384 slots of a full MTU are 25 MB: at 100 mbit that is 1.9 s of full-size packets, ten times
 * the largest queue plus delay of the links we test on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/error.h"
#include "emu/link.h"

#define PACKET_MTU 1500u
#define PACKET_RING_SLOTS 16384u /* a power of two */

struct packet {
    struct link_times times;
    uint32_t bytes;
    uint8_t data[PACKET_MTU];
};

struct packet_ring {
    struct packet *slots;
    uint32_t first; /* both only grow; the slot is their value modulo PACKET_RING_SLOTS */
    uint32_t end;
};

bool packet_ring_init(struct packet_ring *ring, struct emu_error *err);
void packet_ring_release(struct packet_ring *ring);

/* The slot to fill next, or NULL when the ring is full.  It joins the ring by push. */
struct packet *packet_ring_spare(struct packet_ring *ring);
void packet_ring_push(struct packet_ring *ring);

/* The oldest packet, or NULL; and forget it. */
struct packet *packet_ring_peek(struct packet_ring *ring);
void packet_ring_pop(struct packet_ring *ring);

/* Packets inside, and the i-th of them from the oldest. */
uint32_t packet_ring_count(const struct packet_ring *ring);
struct packet *packet_ring_at(struct packet_ring *ring, uint32_t i);
