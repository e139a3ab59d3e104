/* SPDX-License-Identifier: Apache-2.0 */
/* emu/codel.h – CoDel (RFC 8289): a queue that stands longer than an interval is told by drops.
 *
 * A good queue empties within a round trip.  When every packet of the last interval waited longer
 * than the target, one is dropped, then more, at times that come closer by the square root of
 * their number, until the wait is below the target.  The RFC's values are 5 ms and 100 ms.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct codel_params {
    uint64_t target_ns;   /* 0: no CoDel */
    uint64_t interval_ns; /* a round trip of most flows */
};

/* A zeroed struct is a queue that was always good. */
struct codel {
    uint64_t above_until_ns; /* when the wait will have been above the target for an interval;
                                0: it is below */
    uint64_t drop_next_ns;
    uint32_t count; /* drops of this spell */
    uint32_t last_count;
    bool is_dropping;
};

/* Is the packet that just left the queue to be dropped?  It waited `sojourn_ns` and `left_bytes`
 * are behind it.  If so, ask again about the next. */
bool codel_drops(struct codel *codel, const struct codel_params *params, uint64_t sojourn_ns,
                 uint64_t left_bytes, uint64_t now_ns);
