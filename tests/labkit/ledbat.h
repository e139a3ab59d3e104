/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/ledbat.h – a window law in the manner of LEDBAT++, as a rival that the lab can run.
 *
 * After draft-irtf-iccrg-ledbat-plus-plus: round-trip delay against a target of 60 ms; a gain of
 * 1 / min(16, ceil(2 target / base)); additive increase below the target, decrease in proportion
 * to the excess above it, by half at most; slow start multiplied by the gain; from time to time a
 * slowdown to two packets for two round trips, to see the base again.  Pure; microseconds, bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { LEDBAT_PACKET = 1448, LEDBAT_BASES = 10 };

struct ledbat {
    double window, threshold;          /* bytes */
    uint64_t base_us[LEDBAT_BASES];    /* the least of each of the last minutes; 0: none yet */
    uint64_t minute_us;                /* when the newest of them began */
    uint64_t least_us;                 /* of this round */
    uint64_t round_us, rtt_us;         /* when this round ends; its length */
    uint64_t slow_at_us, slow_from_us; /* the next slowdown, 0: none; the one before */
    uint64_t slow_until_us;
    uint64_t halved_us;
    uint32_t lost;
};

void ledbat_init(struct ledbat *l, uint64_t now_us);
/* A packet came back after `rtt_us`; the sender has retransmitted `lost` segments so far. */
void ledbat_on_arrival(struct ledbat *l, uint64_t rtt_us, uint32_t lost, uint64_t now_us);
/* Bytes that may be on their way. */
uint64_t ledbat_window(const struct ledbat *l);
