/* SPDX-License-Identifier: Apache-2.0 */
/* emu/packet_pool.c – fixed slots and a stack of the free ones. */
#include "emu/packet_pool.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

static size_t bytes_of(uint32_t size)
{
    return size * (sizeof(struct packet) + sizeof(uint32_t));
}

bool packet_pool_init(struct packet_pool *pool, uint32_t size, struct emu_error *err)
{
    void *memory = mmap(NULL, bytes_of(size), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return emu_fail(err, "no memory for %zu bytes of packets (%s); free some memory",
                        bytes_of(size), strerrordesc_np(errno));
    *pool = (struct packet_pool){.slots = memory, .size = size};
    pool->spare = (uint32_t *)(void *)(pool->slots + size);
    for (uint32_t slot = size; slot > 0; slot--)
        packet_pool_give(pool, slot - 1);
    return true;
}

void packet_pool_release(struct packet_pool *pool)
{
    if (pool->slots != NULL)
        munmap(pool->slots, bytes_of(pool->size));
    *pool = (struct packet_pool){0};
}

uint32_t packet_pool_take(struct packet_pool *pool)
{
    return pool->spares == 0 ? PACKET_NONE : pool->spare[--pool->spares];
}

void packet_pool_give(struct packet_pool *pool, uint32_t slot)
{
    pool->spare[pool->spares++] = slot;
}

struct packet *packet_pool_at(const struct packet_pool *pool, uint32_t slot)
{
    return &pool->slots[slot];
}
