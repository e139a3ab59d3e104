/* SPDX-License-Identifier: Apache-2.0 */
/* base/log_limit.c – counting what is not said. */
#include "base/log_limit.h"

#include <inttypes.h>

#include "base/log.h"

void log_limit_init(struct log_limit *l, const char *event)
{
    *l = (struct log_limit){.event = event};
}

bool log_limit_passes(struct log_limit *l, uint64_t now_ns)
{
    if (now_ns - l->since_ns >= LOG_LIMIT_INTERVAL_NS) {
        if (l->held > 0)
            log_event(LOG_WARN, "log.held", "of=%s lines=%" PRIu64, l->event, l->held);
        l->since_ns = now_ns;
        l->passed = 0;
        l->held = 0;
    }
    if (l->passed < LOG_LIMIT_LINES) {
        l->passed++;
        return true;
    }
    l->held++;
    l->held_ever++;
    return false;
}
