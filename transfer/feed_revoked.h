/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/feed_revoked.h – the revocation list as an event, so that it crosses each line once.
 *
 * On a busy line each question waits behind what is already under way: twice for "it changed", the
 * question and the answer. A revocation is to be in force within a second behind two such lines.
 */
#pragma once

#include "transfer/authority.h"
#include "transfer/feed.h"

/* Lists up to this size travel in the event (about 150 serials); of a larger one it only tells. */
enum { FEED_REVOKED_MAX = 3 << 10 };

/* "revoked LIST", or "revoked" alone, to everyone who listens. */
void feed_say_revoked(struct feed *f, const struct authority *a);
/* True when `line` is such an event: `a` has been told, and asks its parent if it has to. */
bool feed_hear_revoked(struct authority *a, const char *line);
