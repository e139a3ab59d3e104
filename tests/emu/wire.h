/* SPDX-License-Identifier: Apache-2.0 */
/* emu/wire.h – one direction at work: packets in from one TUN, held by the link,
 * out to the other. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/error.h"
#include "emu/lateness.h"
#include "emu/link.h"
#include "emu/packet_pool.h"

/* What happens outside the link, which has its own counts. */
struct wire_counts {
    uint64_t packets; /* delivered to the other end */
    uint64_t bytes;   /* of those, IP headers included */
    uint64_t pool;    /* dropped: the emulator's own memory was full; should be 0 */
    uint64_t refused; /* dropped: the kernel would not take the packet; should be 0 */
    uint64_t unseen;  /* dropped by the kernel before this saw them, see tun.h; should be 0 */
};

struct wire {
    struct packet_pool pool;
    struct link link;
    struct lateness lateness;
    struct wire_counts counts;
    int from_fd; /* borrowed */
    int to_fd;   /* borrowed */
};

/* `wire` is a zeroed struct; for the rest see link_init(). */
bool wire_init(struct wire *wire, const struct link_params *params, uint64_t seed,
               uint64_t radio_seed, uint64_t now_ns, struct emu_error *err);
void wire_release(struct wire *wire);

/* Read the packets that wait, at most a batch so that the other direction is not kept waiting, and
 * add their number to `count`.  Fails when the interface is gone. */
bool wire_take_in(struct wire *wire, struct emu_error *err, uint32_t *count);

/* Hand over every packet that is due; how many. */
uint32_t wire_give_out(struct wire *wire);

/* Dropped for whatever reason. */
uint64_t wire_dropped(const struct wire *wire);

/* The emulator's clock: CLOCK_MONOTONIC in nanoseconds. */
uint64_t wire_now_ns(void);
