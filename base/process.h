/* SPDX-License-Identifier: Apache-2.0 */
/* base/process.h – what the system lets this process have. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Raise the limit of open files as far as it may be raised.  Returns what it is now: systemd and
 * shells start programs with 1,024, kept low only for select(2). */
uint64_t process_raise_open_files(void);
/* How many of `sessions` connections fit beside what else a daemon opens (log, store, index): the
 * number itself, or less. */
size_t process_sessions_that_fit(uint64_t open_files, size_t sessions);
/* Both, for a daemon that is to have `wanted`: beyond what fits accept() fails, and so does the
 * store.  The log hears of it as `event`. */
size_t process_fit_sessions(const char *event, size_t wanted);
