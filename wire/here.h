/* SPDX-License-Identifier: Apache-2.0 */
/* wire/here.h – what a hub or a reflector answers to "may I come here?", GET /v1/here.
 *
 * Small, cheap, and answered before a session is greeted, also by who refuses sessions: so whoever
 * chooses an upstream asks several before it settles.  None of it is signed: it is the word of that
 * certificate, and decides nothing but who is asked first.
 */
#pragma once

#include "base/buf.h"
#include "wire/states.h"

enum {
    HERE_ABOVE_MAX = 16,      /* parents above it, nearest first */
    HERE_BYTES_MAX = 8 << 10, /* of an answer: a reader takes no more */
    HERE_WHY_MAX = 241,
};

struct here {
    char device[NAME_MAX_SIZE];
    bool is_hub;
    enum reflector_state state;
    bool takes_new;               /* would a new session of the asker be taken now? */
    uint32_t sessions;            /* devices that have one */
    uint32_t max_sessions;        /* 0: not said */
    uint32_t load_percent;        /* 0 to 100: of whatever is scarcest there */
    char line_state[16];          /* of its own line upwards, as in its status ("" at a hub) */
    uint64_t down_bps;            /* … its rate as known; 0: not known */
    int64_t cut_off_since_wall_s; /* 0: it is not */
    int64_t until_wall_s;         /* by its own clock: come again then; 0: takes_new, or not said */
    uint32_t retry_s;             /* the same, from now on; for who does not share that clock */
    char why[HERE_WHY_MAX];       /* it would not be taken; else "" */
    /* The devices above it, nearest first, the hub's among them when it is known: nobody chooses
     * who has him there. */
    char above[HERE_ABOVE_MAX][NAME_MAX_SIZE];
    size_t above_count;
};

/* Is `device` above it, or it itself? */
bool here_leads_to(const struct here *h, const char *device);

ALB_MUST_USE struct alb_status here_encode(const struct here *h, struct buf *out);
/* Foreign bytes.  INVALID: no JSON object, or no "device"; whatever else is wrong or too long
 * reads as not said (more than HERE_ABOVE_MAX above it: INVALID, since a loop could hide there). */
ALB_MUST_USE struct alb_status here_decode(const void *bytes, size_t size, struct here *out);
