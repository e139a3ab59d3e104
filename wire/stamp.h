/* SPDX-License-Identifier: Apache-2.0 */
/* wire/stamp.h – what a sender says about its own sending, in a private frame before DATA.
 *
 * The receiver paces; these few facts keep it from taking the sender's own reasons for somebody
 * else's traffic.  A stamp travels inside the connection's TLS, so only the other program can make
 * one, and a receiver that cannot read one goes on without it.
 *
 * What a sender that lies can cause, and no more: it chooses what it sends anyway, so it can make
 * *its own* transfers slower or keep them from yielding while others use the line, down to what
 * delay alone enforces (a stamp never takes back that a queue was seen) and up to the receiver's
 * limits, which no stamp raises.  Counters that run backwards are a new beginning, not an error;
 * differences are taken modulo 2^64 and bounded by what was received (shaper/law).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { STAMP_VERSION = 1, STAMP_SIZE = 32 };

enum stamp_flag {
    STAMP_SOURCE_STARVED = 1, /* nothing to send: disk, or its own parent, is slower */
    STAMP_POLICY_LIMITED = 2, /* its buckets hold it back                            */
    STAMP_SENDER_LIMITED = 4, /* its process is short of time                        */
};
enum { STAMP_FLAGS = 7 };

struct sender_stamp {
    unsigned flags;            /* of stamp_flag                                         */
    uint64_t sent_ns;          /* the sender's monotonic clock when it was written      */
    uint64_t cumulative_bytes; /* of this connection below TLS, repetitions left out    */
    uint64_t retransmitted;    /* segments since the connection's start                 */
    uint64_t aggregate_bps;    /* of all its scavengers that share a line with this one; else 0 */
    uint16_t flows;            /* how many devices they are                             */
};

void sender_stamp_encode(const struct sender_stamp *s, uint8_t out[STAMP_SIZE]);
/* CORRUPT: another length, unknown flags; INVALID: another version. */
ALB_MUST_USE struct alb_status sender_stamp_decode(const void *bytes, size_t size,
                                                   struct sender_stamp *out);
