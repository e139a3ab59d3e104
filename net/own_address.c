/* SPDX-License-Identifier: Apache-2.0 */
/* net/own_address.c – the kernel's list of interfaces, as addresses of one kind. */
#include "net/own_address.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

/* False for what is no address that others know us by. */
static bool take(const struct sockaddr *address, uint8_t out[16])
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;

    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        memcpy(out, V4, sizeof V4);
        memcpy(out + sizeof V4, &v4.sin_addr, 4);
        return out[12] != 127 && (out[12] != 169 || out[13] != 254);
    }
    if (address->sa_family != AF_INET6)
        return false;
    memcpy(&v6, address, sizeof v6);
    memcpy(out, &v6.sin6_addr, 16);
    return !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr) && !IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

void own_addresses_read(struct own_addresses *out)
{
    struct ifaddrs *all = NULL;

    *out = (struct own_addresses){.count = 0};
    if (getifaddrs(&all) != 0)
        return; /* then no rule goes by subnet here */
    for (const struct ifaddrs *at = all; at != NULL && out->count < OWN_ADDRESSES_MAX;
         at = at->ifa_next)
        if (at->ifa_addr != NULL && (at->ifa_flags & IFF_UP) != 0 &&
            take(at->ifa_addr, out->list[out->count]))
            out->count++;
    freeifaddrs(all);
}
