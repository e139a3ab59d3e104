/* SPDX-License-Identifier: Apache-2.0 */
/* crash/drive.h – life after life of a program on one directory, each ended by a death.
 *
 * A *driver* starts itself again as a *life*: the same program with the argument "live", which
 * opens the directory, checks it against what was acknowledged before, and goes on working.  It
 * dies of kill -9, at a moment, at an event (powerloss.h) or at a fault site (die_at.c), or of a
 * power loss.  A life that ends in any other way than well has found a bug: the driver says the
 * seed, the cycle and where it left the directory.
 *
 * What was acknowledged is in EXPECT, a file of lines outside the directory.  A line is written
 * after the answer it speaks of, so the last answer may be missing in it but none is invented.
 */
#pragma once

#include "base/status.h"
#include "support/gen.h"

struct crash_actor {
    const char *name;
    /* Before the first life and whenever the directory starts anew; may be NULL. */
    void (*prepare)(const char *work);
    /* In the life: false is a bug, said on stderr.  Works in work/dir, acknowledges in expect. */
    bool (*live)(const char *work, uint64_t seed);
    /* In the driver, between lives: false is a bug.  May be NULL. */
    bool (*between)(const char *work, struct gen *g);
    bool may_lie; /* disks that lie about syncs are survived, too */
};

/* Of every crash program: main() returns it.  Usage: PROGRAM [CYCLES]; ALB_SEED. */
int crash_main(const struct crash_actor *actor, int argc, char **argv);

/* ---- for lives ---- */

/* Append a line to work/expect. */
void expect_say(const char *work, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Each line to fn(arg, line). */
void expect_read(const char *work, void (*fn)(void *arg, const char *line), void *arg);
/* Says it on stderr; false. */
bool crash_bug(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* False, and says so, when `st` failed. */
bool crash_ok(struct alb_status st, const char *doing);
