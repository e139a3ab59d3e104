/* SPDX-License-Identifier: Apache-2.0 */
/* net/uptime.c – two clocks of the kernel, one of which stands still while the machine sleeps. */
#include "net/uptime.h"

#include <time.h>

#include "base/units.h"

static uint64_t read_ns(clockid_t which)
{
    struct timespec t = {.tv_sec = 0};

    (void)clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void uptime_read(struct uptime *out)
{
    const uint64_t awake_ns = read_ns(CLOCK_MONOTONIC), up_ns = read_ns(CLOCK_BOOTTIME);

    out->up_ns = up_ns;
    out->slept_ns = up_ns > awake_ns ? up_ns - awake_ns : 0;
}
