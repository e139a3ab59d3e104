/* SPDX-License-Identifier: Apache-2.0 */
/* emu/loss.c – two states and four chances. */
#include "emu/loss.h"

/* A chance of nothing costs no number, so that an option that is off changes no run. */
static bool happens(struct loss *loss, double chance)
{
    return chance > 0 && dice_unit(&loss->dice) < chance;
}

bool loss_hits(struct loss *loss, const struct loss_params *params)
{
    if (params->to_bad <= 0)
        loss->is_bad = false; /* bursts were turned off in mid-run */
    else if (happens(loss, loss->is_bad ? params->to_good : params->to_bad))
        loss->is_bad = !loss->is_bad;
    return happens(loss, loss->is_bad ? params->bad : params->good);
}
