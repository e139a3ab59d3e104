/* SPDX-License-Identifier: Apache-2.0 */
/* emu/packet_ring.c – a ring of fixed slots. */
#include "emu/packet_ring.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

static const size_t RING_BYTES = PACKET_RING_SLOTS * sizeof(struct packet);

bool packet_ring_init(struct packet_ring *ring, struct emu_error *err)
{
    void *memory = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return emu_fail(err, "no memory for %zu bytes of packets (%s); free some memory",
                        RING_BYTES, strerrordesc_np(errno));
    *ring = (struct packet_ring){.slots = memory};
    return true;
}

void packet_ring_release(struct packet_ring *ring)
{
    if (ring->slots != NULL)
        munmap(ring->slots, RING_BYTES);
    *ring = (struct packet_ring){0};
}

struct packet *packet_ring_spare(struct packet_ring *ring)
{
    if (packet_ring_count(ring) == PACKET_RING_SLOTS)
        return NULL;
    return &ring->slots[ring->end % PACKET_RING_SLOTS];
}

void packet_ring_push(struct packet_ring *ring)
{
    ring->end++;
}

struct packet *packet_ring_peek(struct packet_ring *ring)
{
    return packet_ring_count(ring) == 0 ? NULL : packet_ring_at(ring, 0);
}

void packet_ring_pop(struct packet_ring *ring)
{
    ring->first++;
}

uint32_t packet_ring_count(const struct packet_ring *ring)
{
    return ring->end - ring->first;
}

struct packet *packet_ring_at(struct packet_ring *ring, uint32_t i)
{
    return &ring->slots[(ring->first + i) % PACKET_RING_SLOTS];
}
