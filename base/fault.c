/* SPDX-License-Identifier: Apache-2.0 */
/* base/fault.c – the one armed fault of a test program; empty in builds without ALB_FAULT. */
#include "base/fault.h"

#ifdef ALB_FAULT

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

/* Armed and read by the test's thread; hit by any thread, so the counters are atomic.  `site` is
 * published by the store to `armed`. */
static struct {
    atomic_bool armed;
    atomic_bool fired;
    atomic_uint hits_left;
    const char *site; /* borrowed literal; NULL = any */
} fault;

bool fault_hits(const char *site)
{
    if (!atomic_load(&fault.armed))
        return false;
    if (fault.site != NULL && strcmp(fault.site, site) != 0)
        return false;
    if (atomic_fetch_sub(&fault.hits_left, 1) != 0)
        return false;
    atomic_store(&fault.armed, false);
    atomic_store(&fault.fired, true);
    return true;
}

void fault_arm(const char *site, unsigned nth)
{
    atomic_store(&fault.armed, false);
    fault.site = site;
    atomic_store(&fault.hits_left, nth);
    atomic_store(&fault.fired, false);
    atomic_store(&fault.armed, true);
}

void fault_disarm(void)
{
    atomic_store(&fault.armed, false);
}

bool fault_fired(void)
{
    return atomic_load(&fault.fired);
}

#endif
