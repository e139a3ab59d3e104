/* SPDX-License-Identifier: Apache-2.0 */
/* client/beacons.h – reflectors on this machine's own links, told to its chooser.
 *
 * Looks at the links by itself (net/netlink.h), browses there (transfer/beacon.h), and asks again
 * when the upstream is lost.  Where there is no netlink, or no port 5353, it says so once and finds
 * nobody: lists and the configuration name reflectors, too.
 */
#pragma once

#include "transfer/beacon.h"
#include "transfer/chooser.h"

struct beacons;

/* `pin` may be NULL (transfer/beacon.h); chooser and upstream are borrowed. */
struct beacons *beacons_open(struct loop *loop, const struct digest *pin, struct chooser *chooser,
                             struct upstream *upstream);
/* Before the two; returns NULL; NULL is fine. */
struct beacons *beacons_close(struct beacons *b);
