/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_lock.h – one agent for each state directory, and is there one?
 *
 * The lock is the kernel's, on the file "agent.lock": it ends with the process, however that ends.
 * What stands in the file, the process's number, is for people.
 */
#pragma once

#include "base/status.h"

struct agent_lock {
    int fd;   /* -1: not held */
    long pid; /* who holds it; 0: not known */
};

/* CONFLICT: another process has it; out->pid is which. */
ALB_MUST_USE struct alb_status agent_lock_take(const char *dir, struct agent_lock *out);
void agent_lock_release(struct agent_lock *lock);
/* Does an agent run on this state?  *pid then is its process, 0 when that is not known. */
bool agent_lock_is_held(const char *dir, long *pid);
