/* SPDX-License-Identifier: Apache-2.0 */
/* emu/packet_pool.h – packets on their way in one direction, in memory taken once.
 *
 * Slots are allocated and touched at the start, so that no packet waits for a page fault, and the
 * slot given back last is used next, so that a thin stream stays in the processor's cache.
 * 16,384 slots of a full MTU are 25 MB: at 100 mbit that is 1.9 s of full-size packets, ten times
 * the largest queue plus delay of the links we test on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/error.h"

#define PACKET_MTU 1500u
#define PACKET_SLOTS 16384u /* a power of two */
#define PACKET_NONE UINT32_MAX

struct packet {
    uint64_t came_ns; /* when it joined the queue */
    uint64_t due_ns;  /* when it reaches the other end; set once it has left the line */
    uint32_t bytes;   /* IP header included */
    uint32_t next;    /* slot of the one behind it in its queue, or PACKET_NONE */
    uint8_t data[PACKET_MTU];
};

struct packet_pool {
    struct packet *slots;
    uint32_t *spare; /* a stack of free slots */
    uint32_t spares;
    uint32_t size;
};

/* `size` slots, at most PACKET_SLOTS. */
bool packet_pool_init(struct packet_pool *pool, uint32_t size, struct emu_error *err);
void packet_pool_release(struct packet_pool *pool);

/* A free slot, or PACKET_NONE; and give one back. */
uint32_t packet_pool_take(struct packet_pool *pool);
void packet_pool_give(struct packet_pool *pool, uint32_t slot);

struct packet *packet_pool_at(const struct packet_pool *pool, uint32_t slot);
