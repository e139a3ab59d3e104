/* SPDX-License-Identifier: Apache-2.0 */
/* emu/wire.c – moves packets between two TUN descriptors at the times the link computes. */
#include "emu/wire.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH_PACKETS 32 /* about 0.2 ms of work */
#define NS_PER_S 1000000000u

bool wire_init(struct wire *wire, const struct link_params *params, uint64_t seed,
               struct emu_error *err)
{
    link_init(&wire->link, params, seed);
    return packet_ring_init(&wire->ring, err);
}

void wire_release(struct wire *wire)
{
    packet_ring_release(&wire->ring);
}

uint64_t wire_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void judge(struct wire *wire, struct packet *packet)
{
    switch (link_offer(&wire->link, packet->bytes, wire_now_ns(), &packet->times)) {
    case LINK_PASS: packet_ring_push(&wire->ring); break;
    case LINK_CUT: wire->counts.cut++; break;
    case LINK_LOST: wire->counts.lost++; break;
    case LINK_FULL: wire->counts.queue++; break;
    }
}

bool wire_take_in(struct wire *wire, struct emu_error *err)
{
    for (int i = 0; i < BATCH_PACKETS; i++) {
        uint8_t scratch[PACKET_MTU];
        struct packet *packet = packet_ring_spare(&wire->ring);
        ssize_t bytes = read(wire->from_fd, packet != NULL ? packet->data : scratch, PACKET_MTU);
        if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (bytes < 0)
            return emu_fail(err,
                            "an interface of the link is gone (%s); was its namespace "
                            "deleted?",
                            strerrordesc_np(errno));
        if (packet == NULL) {
            wire->counts.pool++;
            continue;
        }
        packet->bytes = (uint32_t)bytes;
        judge(wire, packet);
    }
    return true;
}

void wire_give_out(struct wire *wire)
{
    struct packet *packet;
    while ((packet = packet_ring_peek(&wire->ring)) != NULL) {
        uint64_t now_ns = wire_now_ns();
        if (packet->times.due_ns > now_ns)
            return;
        /* Measured before the write: what the kernel does with the packet is not our lateness. */
        lateness_add(&wire->lateness, now_ns - packet->times.due_ns);
        if (write(wire->to_fd, packet->data, packet->bytes) == (ssize_t)packet->bytes) {
            wire->counts.packets++;
            wire->counts.bytes += packet->bytes;
        } else {
            wire->counts.refused++;
        }
        packet_ring_pop(&wire->ring);
    }
}

uint64_t wire_due_ns(struct wire *wire)
{
    const struct packet *packet = packet_ring_peek(&wire->ring);
    return packet == NULL ? WIRE_IDLE : packet->times.due_ns;
}

void wire_change(struct wire *wire, const struct link_params *params)
{
    struct link_change change = link_change(&wire->link, params, wire_now_ns());
    for (uint32_t i = 0; !params->down && i < packet_ring_count(&wire->ring); i++)
        link_retime(&wire->link, &change, &packet_ring_at(&wire->ring, i)->times);
    while (params->down && packet_ring_peek(&wire->ring) != NULL) {
        packet_ring_pop(&wire->ring);
        wire->counts.cut++;
    }
}

uint64_t wire_dropped(const struct wire *wire)
{
    const struct wire_counts *c = &wire->counts;
    return c->queue + c->lost + c->cut + c->pool + c->refused;
}
