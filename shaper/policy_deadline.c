/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_deadline.c – what must be there by when, and what that takes. */
#include "shaper/policy.h"

enum { KEPT_S = 7 * 86400 }; /* a deadline that is missed still presses for a week */

int64_t policy_deadline(const struct policy *p, const char *layer, const char *site, int64_t wall_s)
{
    const struct policy_doc *d = policy_peek(p);
    int64_t earliest_s = POLICY_NEVER;

    if (!policy_is_clock(wall_s))
        return POLICY_NEVER;
    for (size_t i = 0; i < d->deadline_count; i++) {
        const struct policy_deadline *one = &d->deadlines[i];

        if (one->by_s > wall_s - KEPT_S && one->by_s < earliest_s &&
            layer_is_under(layer, one->layer) &&
            (one->site[0] == '\0' || (site != NULL && strcmp(one->site, site) == 0)))
            earliest_s = one->by_s;
    }
    return earliest_s;
}

uint64_t policy_needed_bps(uint64_t bytes, int64_t by_s, int64_t wall_s)
{
    __extension__ unsigned __int128 bits = (unsigned __int128)bytes * 8;
    uint64_t left_s = by_s > wall_s ? (uint64_t)by_s - (uint64_t)wall_s : 0;

    if (bytes == 0)
        return 0;
    if (left_s == 0)
        return UINT64_MAX;
    bits = (bits + left_s - 1) / left_s;
    return bits > UINT64_MAX ? UINT64_MAX : (uint64_t)bits;
}

/* The floor of a scavenger that has to be there in time; below its ceiling, as rules have it. */
static uint64_t floor_for(const struct policy_action *a, uint64_t needed_bps)
{
    uint64_t floor_bps = needed_bps > a->floor_bps ? needed_bps : a->floor_bps;

    return a->ceiling_bps > 0 && floor_bps > a->ceiling_bps ? a->ceiling_bps : floor_bps;
}

enum policy_class policy_escalate(struct policy_terms *terms, uint64_t needed_bps,
                                  uint64_t harvested_bps)
{
    struct policy_action *a = &terms->action;
    bool is_short = needed_bps > harvested_bps;
    bool is_tight = needed_bps > harvested_bps / 10 * 8 + harvested_bps % 10 * 8 / 10;

    if (harvested_bps == UINT64_MAX || !is_tight)
        return POLICY_SCAVENGER;
    if (a->mode == POLICY_MODE_SCAVENGE && terms->source != POLICY_BY_OVERRIDE) {
        a->floor_bps = is_short ? 0 : floor_for(a, needed_bps);
        a->mode = is_short ? POLICY_FULL : POLICY_MODE_SCAVENGE;
        if (is_short) { /* what only a yielding mode has */
            a->profile = POLICY_PROFILE_UNSET;
            a->max_queue_ms = 0;
        }
    }
    return is_short ? POLICY_URGENT : POLICY_NORMAL;
}
