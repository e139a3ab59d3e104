/* SPDX-License-Identifier: Apache-2.0 */
/* emu/policer.c – the bucket as a time. */
#include "emu/policer.h"

#define NS_PER_S 1000000000u
#define BITS_PER_BYTE 8u

bool policer_passes(struct policer *policer, const struct policer_params *params, uint32_t bytes,
                    uint64_t now_ns)
{
    if (params->rate_bits == 0)
        return true;
    const uint64_t ns_bits = (uint64_t)BITS_PER_BYTE * NS_PER_S;
    uint64_t burst_ns = params->burst_bytes * ns_bits / params->rate_bits;
    uint64_t full_ns = policer->full_ns > now_ns ? policer->full_ns : now_ns;
    full_ns += bytes * ns_bits / params->rate_bits;
    if (full_ns - now_ns > burst_ns)
        return false;
    policer->full_ns = full_ns;
    return true;
}
