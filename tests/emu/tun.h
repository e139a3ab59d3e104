/* SPDX-License-Identifier: Apache-2.0 */
/* emu/tun.h – a TUN interface inside another network namespace, up and with its address. */
#pragma once

#include <stdbool.h>

#include "emu/error.h"
#include "emu/options.h"

/* Enter /run/netns/NS, make the interface, give it its address, an MTU of 1500 and a transmit
 * queue of 10,000 packets (with the default of 500 the kernel drops before the emulator sees the
 * packet), turn IPv6 off on it so that only the test's own packets cross, and come back.
 * `*fd` is non-blocking; each read and write is one IP packet.  The interface lives as long as
 * `*fd`.  There is no virtual-network header, so the kernel hands over segments of one MTU. */
bool tun_open(const struct emu_side *side, struct emu_error *err, int *fd);
