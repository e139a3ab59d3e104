/* SPDX-License-Identifier: Apache-2.0 */
/* emu/policer.h – a token bucket without a queue: what exceeds the rate is dropped at once.
 *
 * As a provider's equipment does it, in front of a line that is faster.  The bucket is kept as
 * the time at which it will be full again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct policer_params {
    uint64_t rate_bits;   /* bits per second; 0: no policer */
    uint64_t burst_bytes; /* what may pass at once after a rest */
};

/* A zeroed struct is a full bucket. */
struct policer {
    uint64_t full_ns;
};

/* May a packet of `bytes` pass?  If so, it is paid for. */
bool policer_passes(struct policer *policer, const struct policer_params *params, uint32_t bytes,
                    uint64_t now_ns);
