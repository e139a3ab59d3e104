/* SPDX-License-Identifier: Apache-2.0 */
/* crash/die_at.c – takes base/fault.c's place: instead of failing, the program dies there.
 *
 * ALB_DIE_AT is the number of the hit, of any site or of the one in ALB_DIE_SITE.  A site stands
 * before the call that it would have failed, so the next one stands after it; kill points
 * stand after theirs anyway.
 */
#include "base/fault.h"

#ifdef ALB_FAULT

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_ulong hits;

bool fault_hits(const char *site)
{
    const char *at = getenv("ALB_DIE_AT");
    const char *where = getenv("ALB_DIE_SITE");

    /* Memory is asked for everywhere: dying there says nothing that a moment does not. */
    if (at == NULL || strcmp(site, "alloc") == 0 || (where != NULL && strcmp(site, where) != 0))
        return false;
    if (atomic_fetch_add(&hits, 1) + 1 == strtoul(at, NULL, 10))
        kill(getpid(), SIGKILL);
    return false;
}

void kill_point_reached(const char *name)
{
    (void)fault_hits(name);
}

void fault_arm(const char *site, unsigned nth)
{
    (void)site;
    (void)nth;
}

void fault_disarm(void)
{
}

bool fault_fired(void)
{
    return false;
}

#endif
