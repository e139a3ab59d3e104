/* SPDX-License-Identifier: Apache-2.0 */
/* base/fault.h – lets a test make the n-th fallible call of the program fail, or end it there.
 *
 * A site is a literal such as "segment.write".  In builds with ALB_FAULT the test arms the n-th hit
 * of a site (or of any site, with NULL) and fault_hits() answers true exactly then; in other
 * builds it is a constant false that the compiler removes.
 *
 * A kill point stands behind a step that is to last (a write, sync, rename, commit or grant) and
 * has a name such as "segment.synced".  In the same builds ALB_DIE_AT=NAME:N in the environment
 * ends the program with SIGKILL when it reaches that point for the N-th time (from 1), and says so
 * on standard error first; ALB_DIE_AT=list prints the names of all the program's points and exits.
 */
#pragma once

#include <stdbool.h>

#ifdef ALB_FAULT
bool fault_hits(const char *site);
/* Fail the `nth` hit from now (0 = the next) of `site`; NULL means any site. */
void fault_arm(const char *site, unsigned nth);
void fault_disarm(void);
/* Did the armed fault fire? */
bool fault_fired(void);
/* While paused nothing is hit: for what only plays the world around the program. */
void fault_pause(bool is_paused);

/* Each use puts its name into a section where "list" finds it: none can be forgotten. */
#define KILL_POINT(name)                                                                           \
    do {                                                                                           \
        static const char *const here __attribute__((section("alb_kill_points"), used)) = name;    \
        kill_point_reached(here);                                                                  \
    } while (0)
void kill_point_reached(const char *name);
#else
static inline bool fault_hits(const char *site)
{
    (void)site;
    return false;
}
static inline void fault_pause(bool is_paused)
{
    (void)is_paused;
}
#define KILL_POINT(name) ((void)0)
#endif
