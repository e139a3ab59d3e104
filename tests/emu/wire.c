/* SPDX-License-Identifier: Apache-2.0 */
/* emu/wire.c – moves packets between two TUN descriptors at the times the link computes. */
#include "emu/wire.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "emu/pace.h"

#define NS_PER_S 1000000000u

bool wire_init(struct wire *wire, const struct link_params *params, uint64_t seed,
               uint64_t radio_seed, uint64_t now_ns, struct emu_error *err)
{
    link_init(&wire->link, &wire->pool, params, seed, radio_seed, now_ns);
    return packet_pool_init(&wire->pool, PACKET_SLOTS, err);
}

void wire_release(struct wire *wire)
{
    packet_pool_release(&wire->pool);
}

uint64_t wire_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

bool wire_take_in(struct wire *wire, struct emu_error *err, uint32_t *count)
{
    for (uint32_t i = 0; i < PACE_BATCH; i++) {
        uint8_t scratch[PACKET_MTU];
        uint32_t slot = packet_pool_take(&wire->pool);
        struct packet *packet = slot == PACKET_NONE ? NULL : packet_pool_at(&wire->pool, slot);
        ssize_t bytes = read(wire->from_fd, packet != NULL ? packet->data : scratch, PACKET_MTU);
        if (bytes < 0 && packet != NULL)
            packet_pool_give(&wire->pool, slot);
        if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (bytes < 0)
            return emu_fail(err,
                            "an interface of the link is gone (%s); was its namespace "
                            "deleted?",
                            strerrordesc_np(errno));
        ++*count;
        if (packet == NULL) {
            wire->counts.pool++;
            continue;
        }
        packet->bytes = (uint32_t)bytes;
        (void)link_offer(&wire->link, slot, wire_now_ns()); /* the link counts its verdicts */
    }
    return true;
}

static void hand_over(struct wire *wire, const struct packet *packet)
{
    if (write(wire->to_fd, packet->data, packet->bytes) == (ssize_t)packet->bytes) {
        wire->counts.packets++;
        wire->counts.bytes += packet->bytes;
    } else {
        wire->counts.refused++;
    }
}

uint32_t wire_give_out(struct wire *wire)
{
    for (uint32_t count = 0;; count++) {
        uint64_t now_ns = wire_now_ns();
        link_advance(&wire->link, now_ns);
        uint32_t slot = link_take(&wire->link, now_ns);
        if (slot == PACKET_NONE)
            return count;
        const struct packet *packet = packet_pool_at(&wire->pool, slot);
        /* Measured before the write: what the kernel does with the packet is not our lateness. */
        lateness_add(&wire->lateness, now_ns - packet->due_ns);
        hand_over(wire, packet);
        packet_pool_give(&wire->pool, slot);
    }
}

uint64_t wire_dropped(const struct wire *wire)
{
    const struct wire_counts *c = &wire->counts;
    return link_dropped(&wire->link) + c->pool + c->refused + c->unseen;
}
