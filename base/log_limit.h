/* SPDX-License-Identifier: Apache-2.0 */
/* base/log_limit.h – one kind of line that strangers can cause: a few at a time, the rest counted.
 *
 *     struct log_limit refused;
 *     log_limit_init(&refused, "serve.refused");
 *     if (log_limit_passes(&refused, now_ns))
 *         log_event(LOG_WARN, "serve.refused", …);
 *
 * LOG_LIMIT_LINES pass in each LOG_LIMIT_INTERVAL_NS.  How many did not is said by a line of its
 * own, event=log.held of=EVENT lines=N, before the first that passes again.  Time is passed in; a
 * limit belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"

enum { LOG_LIMIT_LINES = 20 /* a screen: enough to see what is going on */ };
#define LOG_LIMIT_INTERVAL_NS (60 * NS_PER_S)

struct log_limit {
    const char *event; /* borrowed: a literal */
    uint64_t since_ns;
    unsigned passed;
    uint64_t held, held_ever;
};

void log_limit_init(struct log_limit *l, const char *event);
bool log_limit_passes(struct log_limit *l, uint64_t now_ns);
