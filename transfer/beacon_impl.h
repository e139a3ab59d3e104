/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/beacon_impl.h – the words that a beacon says and a browser looks for. */
#pragma once

#include "base/units.h"
#include "net/mdns_socket.h"
#include "transfer/beacon.h"

enum {
    BEACON_TTL_S = 120, /* RFC 6762 §10: of records that name a host */
    BEACON_ORG_SIZE = 8,
    BEACON_BOX_SIZE = 6,
    BEACON_ADDRESSES_MOST = 4, /* of each family */
    BEACON_PROTO = 1,
};
/* RFC 6762 §6: no record twice in a second; who answers for many waits so long, so that answers of
 * several do not collide. */
#define BEACON_APART_NS NS_PER_S
#define BEACON_WAIT_NS (20 * NS_PER_MS)
#define BEACON_WAIT_MOST_NS (120 * NS_PER_MS)

/* _albedo._tcp.local */
void beacon_service(struct mdns_name *out);
void beacon_org(const struct digest *pin, char out[2 * BEACON_ORG_SIZE + 1]);
void beacon_box(const struct digest *pin, const char *device, char out[2 * BEACON_BOX_SIZE + 1]);
