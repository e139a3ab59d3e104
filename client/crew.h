/* SPDX-License-Identifier: Apache-2.0 */
/* client/crew.h – many independent units of blocking work on all workers at once, with a bar
 * meanwhile.
 *
 * Each member of the crew takes the next unit until none is left, one fails, or the person
 * interrupts. crew_run() runs the loop until everybody has stopped, so nothing is under way when it
 * returns.
 */
#pragma once

#include "client/link.h"
#include "client/progress.h"

enum { CREW_MOST = 16 };

struct crew_options {
    struct loop *loop;
    struct output *output;
    const bool *interrupted; /* set by a signal, which also stops the loop */
    const char *phase;       /* for the bar: "reading" */
    size_t units;
    uint64_t total_bytes;                           /* 0: not known */
    uint64_t (*unit_bytes)(void *arg, size_t unit); /* may be NULL */
    /* On a worker; `member` < CREW_MOST is the same for calls that do not overlap. */
    struct alb_status (*run)(void *arg, size_t unit, unsigned member);
    void *arg;
};

struct crew_result {
    struct alb_status st; /* of a unit that failed; CLOSED: interrupted before all were done */
    unsigned member;      /* who failed */
    size_t unit;
};

/* How many work on so many units: one for each processor, two at least. */
unsigned crew_size(size_t units);
void crew_run(const struct crew_options *options, struct crew_result *out);

/* One blocking piece of work on a worker; `options` says loop, output, interrupted and phase.
 * CLOSED: interrupted before it began. */
ALB_MUST_USE struct alb_status crew_do(const struct crew_options *options,
                                       struct alb_status (*run)(void *arg), void *arg);
