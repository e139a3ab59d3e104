/* SPDX-License-Identifier: Apache-2.0 */
/* client/follow_retry.h – a pull that failed: when it is tried again, and what a parent's word may
 * do to that.
 *
 * After a failure the wait doubles, 10 s to 10 min.  A parent that says that a head changed (its
 * own word, and as often as it likes) does not shorten it: the head is asked for, once in 10 s, and
 * only one that was not tried yet, which the hub must have signed, is pulled at once.  A line that
 * is back ends the wait 10 s after the failure at the soonest.
 *
 * Pure: time is passed in.  A zeroed one has seen no failure.
 */
#pragma once

#include <stdbool.h>

#include "base/key.h"

struct follow_retry {
    unsigned failures; /* in a row */
    uint64_t failed_ns, asked_ns;
    struct digest tried; /* the head of the last try; zeros: not known */
};

/* How long to wait now.  `head` is that of the try; zeros: it did not come so far. */
uint64_t follow_retry_failed(struct follow_retry *r, const struct digest *head, uint64_t now_ns);
void follow_retry_done(struct follow_retry *r);
/* Something was said: when the head may be asked for. */
uint64_t follow_retry_ask_at(const struct follow_retry *r, uint64_t now_ns);
void follow_retry_asked(struct follow_retry *r, uint64_t now_ns);
/* The answer: is it worth a pull at once?  True once for each head. */
bool follow_retry_is_news(struct follow_retry *r, const struct digest *head);
/* The line is back: when to try again. */
uint64_t follow_retry_line_up(const struct follow_retry *r, uint64_t now_ns);
