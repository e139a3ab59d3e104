/* SPDX-License-Identifier: Apache-2.0 */
/* emu/lateness.c – a histogram by microsecond. */
#include "emu/lateness.h"

#define NS_PER_US 1000u
#define VALID_P99_US 1000u
#define VALID_MAX_NS 25000000u

void lateness_add(struct lateness *lateness, uint64_t late_ns)
{
    uint64_t us = late_ns / NS_PER_US;
    lateness->count++;
    lateness->buckets[us < LATENESS_BUCKETS ? us : LATENESS_BUCKETS - 1]++;
    if (late_ns > lateness->max_ns)
        lateness->max_ns = late_ns;
}

uint64_t lateness_quantile_us(const struct lateness *lateness, double share)
{
    double wanted = share * (double)lateness->count;
    uint64_t seen = 0;
    for (uint32_t us = 0; us < LATENESS_BUCKETS; us++) {
        seen += lateness->buckets[us];
        if (seen > 0 && (double)seen >= wanted)
            return us;
    }
    return 0;
}

bool lateness_is_valid(const struct lateness *lateness)
{
    return lateness_quantile_us(lateness, 0.99) <= VALID_P99_US && lateness->max_ns <= VALID_MAX_NS;
}
