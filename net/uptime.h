/* SPDX-License-Identifier: Apache-2.0 */
/* net/uptime.h – how long this machine has been up, and how much of that it slept. */
#pragma once

#include <stdint.h>

struct uptime {
    uint64_t up_ns;    /* since it was started, sleep included (CLOCK_BOOTTIME) */
    uint64_t slept_ns; /* of it: what the monotonic clock did not count */
};
void uptime_read(struct uptime *out);
