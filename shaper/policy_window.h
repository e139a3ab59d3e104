/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_window.h – does a rule's `when` hold at a local time, and when does that change;
 * inside shaper/policy.
 *
 * A local time is seconds since 1970-01-01T00:00 by the clock on the wall.  Where that clock is put
 * back, an hour comes twice and holds twice; where it is put forward, an hour does not come.
 */
#pragma once

#include "wire/policy.h"

bool window_is_always(const struct policy_when *w);
bool window_holds(const struct policy_doc *d, const struct policy_when *w, int64_t local_s);
/* The first local time from `local_s` to `until_s` at which window_holds() is `wanted`; INT64_MAX:
 * none. */
int64_t window_next(const struct policy_doc *d, const struct policy_when *w, bool wanted,
                    int64_t local_s, int64_t until_s);
