/* SPDX-License-Identifier: Apache-2.0 */
/* emu/pace.c – thick begins by the rate of wakes, and lasts while naps gather packets. */
#include "emu/pace.h"

#define WORTH_PACKETS 2u /* a nap that gathers fewer saves nothing */

void pace_served(struct pace *pace, uint32_t packets, uint64_t now_ns)
{
    uint64_t oldest_ns = pace->wakes_ns[pace->next % PACE_WAKES];
    pace->wakes_ns[pace->next++ % PACE_WAKES] = now_ns;
    pace->is_behind = packets >= PACE_BATCH;
    if (pace->is_thick)
        pace->is_thick = packets >= WORTH_PACKETS;
    else
        pace->is_thick = now_ns - oldest_ns < PACE_WAKES * pace->nap_ns / 2;
}

uint64_t pace_nap_until_ns(const struct pace *pace)
{
    if (!pace->is_thick || pace->is_behind)
        return 0;
    return pace->wakes_ns[(pace->next - 1) % PACE_WAKES] + pace->nap_ns;
}
