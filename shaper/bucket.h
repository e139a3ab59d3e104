/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/bucket.h – a rate limit that is a number: when the next byte would be due.
 *
 * The generic cell rate algorithm.  Instead of tokens that a timer refills, a bucket keeps the time
 * at which all it has let through is paid for (`tat`, the theoretical arrival time).  Up to
 * `burst_bytes` may be ahead of that.  So nothing ticks, what the limit allows next is known
 * exactly, and a machine that slept for a day finds a full bucket and no more.
 *
 * Integers only.  The time of a byte is kept in 2^-31 ns and rounded up once, when the rate is
 * set: the bucket is never faster than its limit, and slower by less than 1e-9 of it up to
 * 10 Gbit/s.  After that nothing is rounded: in any stretch of time dt at most
 * burst_bytes + rate × dt pass, if only what bucket_room() allows is charged.
 *
 * Pure: the time is an argument and must not run backwards (the tree sees to that).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BUCKET_UNLIMITED UINT64_MAX /* as a rate */
#define BUCKET_NEVER UINT64_MAX     /* as a time */
#define BUCKET_Q 31                 /* 1 bit/s must fit: 8e9 ns × 2^31 < 2^64 */

struct bucket {
    uint64_t tat_ns;          /* at rate 0: bytes below full               */
    uint64_t ns_per_byte_q31; /* 0 at rate 0 and without a limit           */
    uint64_t rate_bps;        /* bits per second                           */
    uint32_t tat_q31;         /* what tat_ns has beyond the whole, 2^-31 ns */
    uint32_t burst_bytes;     /* at most 1 GiB                              */
};

/* Full.  Rate 0: never; BUCKET_UNLIMITED: always. */
void bucket_init(struct bucket *b, uint64_t rate_bps, uint32_t burst_bytes);
/* From now on.  What may pass at once, or is owed, is the same number of bytes before and after
 * (less, if the new burst holds less): changing a rate never makes a burst.  What had no limit
 * begins empty. */
void bucket_set(struct bucket *b, uint64_t rate_bps, uint32_t burst_bytes, uint64_t now_ns);

/* How many of `want` bytes may pass now. */
uint64_t bucket_room(const struct bucket *b, uint64_t want, uint64_t now_ns);
/* From when on `bytes` (more than the burst count as the burst) may pass, or BUCKET_NEVER. */
uint64_t bucket_eligible_ns(const struct bucket *b, uint64_t bytes);
/* They passed, asked for or not: the bucket may owe more than its burst. */
void bucket_charge(struct bucket *b, uint64_t bytes, uint64_t now_ns);
/* They were charged and did not pass.  A full bucket stays full. */
void bucket_refund(struct bucket *b, uint64_t bytes, uint64_t now_ns);
