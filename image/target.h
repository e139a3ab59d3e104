/* SPDX-License-Identifier: Apache-2.0 */
/* image/target.h – leaving a target into which nothing was brought. */
#pragma once

#include <stdbool.h>

/* What brought nothing leaves nothing: .albedo goes if there is only its lock in it, held by
 * nobody, and `target` if it was made for this and is empty.  What a stage keeps for the next try
 * stays, and so does whatever cannot be removed: that is no failure. */
void target_leave(const char *target, bool made);
