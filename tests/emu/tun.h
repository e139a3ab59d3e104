/* SPDX-License-Identifier: Apache-2.0 */
/* emu/tun.h – a TUN interface inside another network namespace, up and with its address. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/error.h"
#include "emu/options.h"

struct tun {
    int fd;       /* non-blocking; each read and write is one IP packet */
    int count_fd; /* the kernel's counters, as seen inside the namespace */
    char ifname[IFNAMSIZ];
};

/* Enter /run/netns/NS, make the interface, give it its address, an MTU of 1500 and a transmit
 * queue of 10,000 packets (with the default of 500 the kernel drops before the emulator sees the
 * packet), turn IPv6 off on it so that only the test's own packets cross, and come back.
 * The interface lives until tun_close().  There is no virtual-network header, so the kernel hands
 * over segments of one MTU. */
bool tun_open(const struct emu_side *side, struct emu_error *err, struct tun *tun);

/* Nothing is done to one whose descriptors are −1. */
void tun_close(struct tun *tun);

/* Packets that the kernel dropped because that queue was full: the emulator stood still. */
uint64_t tun_unseen(const struct tun *tun);
