/* SPDX-License-Identifier: Apache-2.0 */
/* emu/loss.h – random loss: each packet by itself, or in bursts after Gilbert and Elliott.
 *
 * The line has two states.  Before each packet it may change state, then the packet is lost with
 * the share of the state.  A line that never turns bad loses independently.  In the long run the
 * bad state takes to_bad / (to_bad + to_good) of the packets, in runs of 1 / to_good on average.
 */
#pragma once

#include <stdbool.h>

#include "emu/dice.h"

/* Shares from 0 to 1; all zero loses nothing. */
struct loss_params {
    double good;    /* of the packets in the good state that are lost */
    double bad;     /* the same in the bad state */
    double to_bad;  /* chance that a good line turns bad before a packet */
    double to_good; /* chance that a bad one turns good */
};

/* Zeroed but for the seed is a good line. */
struct loss {
    struct dice dice;
    bool is_bad;
};

/* Is the next packet lost? */
bool loss_hits(struct loss *loss, const struct loss_params *params);
