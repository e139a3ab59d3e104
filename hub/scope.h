/* SPDX-License-Identifier: Apache-2.0 */
/* hub/scope.h – which layers a publisher may work on, whatever its key may sign.
 *
 * The trust file says whose signature introduces content; this says whose certificate may publish,
 * hold, promote: a publisher that joined with `--layers` stays beneath these prefixes.
 */
#pragma once

#include "hub/task.h"

/* On a worker: reads the device's record.  Leaves a refusal in the task when `layer` is beyond
 * it. */
void hub_check_scope(struct hub_task *t, const char *layer);
