/* SPDX-License-Identifier: Apache-2.0 */
/* emu/lateness.h – how late packets were released: the emulator's own noise, told with every run.
 *
 * One counter for each microsecond up to 64 ms; what is later falls into the last one, while the
 * maximum stays exact.  A run whose p99 is above 1 ms or whose maximum is above 25 ms measured
 * the machine and not the link, and is to be repeated.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LATENESS_BUCKETS 65536u

struct lateness {
    uint64_t count;
    uint64_t max_ns;
    uint32_t buckets[LATENESS_BUCKETS];
};

/* A zeroed struct is an empty one. */
void lateness_add(struct lateness *lateness, uint64_t late_ns);

/* The smallest whole microsecond that `share` (0 to 1) of the packets did not exceed; 0 if none. */
uint64_t lateness_quantile_us(const struct lateness *lateness, double share);

/* Was the machine quiet enough for the run to count? */
bool lateness_is_valid(const struct lateness *lateness);
