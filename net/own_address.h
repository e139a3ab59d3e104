/* SPDX-License-Identifier: Apache-2.0 */
/* net/own_address.h – this machine's addresses, for rules that go by subnet. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { OWN_ADDRESSES_MAX = 16 };

/* IPv6; IPv4 as ::ffff:a.b.c.d. */
struct own_addresses {
    uint8_t list[OWN_ADDRESSES_MAX][16];
    size_t count; /* 0 where nobody can say */
};

/* Of all interfaces that are up, but for loopback and what only its link knows (169.254/16,
 * fe80::/10); the first OWN_ADDRESSES_MAX.  Asks the kernel; for start-up. */
void own_addresses_read(struct own_addresses *out);
