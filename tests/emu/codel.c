/* SPDX-License-Identifier: Apache-2.0 */
/* emu/codel.c – RFC 8289 section 5, asked one packet at a time. */
#include "emu/codel.h"

#include <math.h>

#define MTU_BYTES 1500u     /* a queue of no more than a packet is not standing */
#define MEMORY_INTERVALS 16 /* a spell that began so soon after the last resumes its pace */

static bool is_standing(struct codel *codel, const struct codel_params *params, uint64_t sojourn_ns,
                        uint64_t left_bytes, uint64_t now_ns)
{
    if (sojourn_ns < params->target_ns || left_bytes <= MTU_BYTES) {
        codel->above_until_ns = 0;
        return false;
    }
    if (codel->above_until_ns == 0) {
        codel->above_until_ns = now_ns + params->interval_ns;
        return false;
    }
    return now_ns >= codel->above_until_ns;
}

static uint64_t next_after(const struct codel *codel, const struct codel_params *params,
                           uint64_t time_ns)
{
    return time_ns + (uint64_t)((double)params->interval_ns / sqrt(codel->count));
}

static void begin_dropping(struct codel *codel, const struct codel_params *params, uint64_t now_ns)
{
    uint32_t recent = codel->count - codel->last_count;
    bool resumes =
        recent > 1 && now_ns < codel->drop_next_ns + MEMORY_INTERVALS * params->interval_ns;
    codel->is_dropping = true;
    codel->count = resumes ? recent : 1;
    codel->last_count = codel->count;
    codel->drop_next_ns = next_after(codel, params, now_ns);
}

bool codel_drops(struct codel *codel, const struct codel_params *params, uint64_t sojourn_ns,
                 uint64_t left_bytes, uint64_t now_ns)
{
    if (params->target_ns == 0)
        return false;
    if (!is_standing(codel, params, sojourn_ns, left_bytes, now_ns)) {
        codel->is_dropping = false;
        return false;
    }
    if (!codel->is_dropping) {
        begin_dropping(codel, params, now_ns);
        return true;
    }
    if (now_ns < codel->drop_next_ns)
        return false;
    codel->count++;
    codel->drop_next_ns = next_after(codel, params, codel->drop_next_ns);
    return true;
}
