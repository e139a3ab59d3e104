/* SPDX-License-Identifier: Apache-2.0 */
/* emu/air.c – a list of packets by due time, sorted as they come. */
#include "emu/air.h"

#include <math.h>

#define NORMAL_MOST 4.0 /* deviations: beyond are 6 packets of 100,000 */

static uint64_t jitter_draw(struct air *air, const struct air_params *params);
static uint64_t after_pause(struct air *air, const struct air_params *params, uint64_t due_ns);

void air_init(struct air *air, struct packet_pool *pool, uint64_t jitter_seed)
{
    *air = (struct air){.pool = pool, .jitter_dice = {jitter_seed}};
}

void air_restart_pauses(struct air *air, uint64_t seed, uint64_t now_ns)
{
    air->pause_dice = (struct dice){seed};
    air->pause_from_ns = air->pause_to_ns = now_ns;
}

static struct packet *packet_at(const struct air *air, uint32_t i)
{
    return packet_pool_at(air->pool, air->slots[i % PACKET_SLOTS]);
}

void air_launch(struct air *air, const struct air_params *params, uint32_t slot, uint64_t depart_ns)
{
    uint64_t due_ns = depart_ns + params->delay_ns + jitter_draw(air, params);
    if (!params->reorder && due_ns < air->last_due_ns)
        due_ns = air->last_due_ns;
    due_ns = after_pause(air, params, due_ns);
    if (due_ns > air->last_due_ns)
        air->last_due_ns = due_ns;
    packet_pool_at(air->pool, slot)->due_ns = due_ns;
    uint32_t i = air->end++;
    for (; i != air->first && packet_at(air, i - 1)->due_ns > due_ns; i--)
        air->slots[i % PACKET_SLOTS] = air->slots[(i - 1) % PACKET_SLOTS];
    air->slots[i % PACKET_SLOTS] = slot;
}

uint64_t air_due_ns(const struct air *air)
{
    return air->first == air->end ? UINT64_MAX : packet_at(air, air->first)->due_ns;
}

uint32_t air_land(struct air *air)
{
    return air->slots[air->first++ % PACKET_SLOTS];
}

uint32_t air_clear(struct air *air)
{
    uint32_t count = air->end - air->first;
    while (air->first != air->end)
        packet_pool_give(air->pool, air_land(air));
    air->last_due_ns = 0; /* what is gone holds nobody up */
    return count;
}

static uint64_t jitter_draw(struct air *air, const struct air_params *params)
{
    double most = (double)params->jitter_ns;
    if (params->jitter_ns == 0)
        return 0;
    switch (params->jitter) {
    case AIR_UNIFORM: return (uint64_t)(most * dice_unit(&air->jitter_dice));
    case AIR_NORMAL:
        return (uint64_t)(most * fmin(fabs(dice_normal(&air->jitter_dice)), NORMAL_MOST));
    }
    return 0;
}

/* Pauses are drawn one after the other, as far as packets need to know. */
static uint64_t after_pause(struct air *air, const struct air_params *params, uint64_t due_ns)
{
    if (params->pause_gap_ns == 0)
        return due_ns;
    while (due_ns >= air->pause_to_ns) {
        double range = (double)(params->pause_max_ns - params->pause_min_ns);
        double gap = (double)params->pause_gap_ns * dice_exponential(&air->pause_dice);
        air->pause_from_ns = air->pause_to_ns + (uint64_t)gap;
        air->pause_to_ns = air->pause_from_ns + params->pause_min_ns +
                           (uint64_t)(range * dice_unit(&air->pause_dice));
    }
    return due_ns > air->pause_from_ns ? air->pause_to_ns : due_ns;
}
