/* SPDX-License-Identifier: Apache-2.0 */
/* emu/pace.h – how often the emulator wakes: at once for thin streams, by the interval for thick.
 *
 * Falling asleep and waking costs this machine more than anything else it does for a packet, and
 * the processors are shared with what is measured.  So when wakes come thick it takes a nap after
 * each and serves all that gathered, as a network card does that holds back its interrupts.  The
 * nap shows in the lateness.  Sparse packets, such as pings on an idle link, never wait.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PACE_WAKES 8u  /* so many within half as many naps are thick */
#define PACE_BATCH 32u /* packets that one look takes in at most; about 0.2 ms of work */

/* Zeroed but for `nap_ns`; a nap of 0 never happens. */
struct pace {
    uint64_t nap_ns;
    uint64_t wakes_ns[PACE_WAKES]; /* the latest, going round */
    uint32_t next;
    bool is_thick;
    bool is_behind; /* the last look did not reach the end of what waited */
};

/* Packets were read and written at `now_ns`: `packets` of them. */
void pace_served(struct pace *pace, uint32_t packets, uint64_t now_ns);

/* Until when to sleep before looking again, whatever comes; 0: do not. */
uint64_t pace_nap_until_ns(const struct pace *pace);
