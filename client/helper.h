/* SPDX-License-Identifier: Apache-2.0 */
/* client/helper.h – programs that the agent starts, as its configuration names them; and who uses
 * this machine.
 *
 * Commands go to /bin/sh -c, as the agent's user.  A helper that stays reads its standard input: it
 * is to end when that ends, so it never outlives the agent, however the agent dies.
 */
#pragma once

#include <sys/types.h>

#include "base/status.h"

/* Blocking: run it to its end.  IO: it could not be started; REFUSED: it failed, and `*exit_code`
 * says how (128 + the signal's number when one ended it). */
ALB_MUST_USE struct alb_status helper_run(const char *command, int *exit_code);

struct helper {
    pid_t pid; /* 0: none runs */
    int input; /* our end of its standard input; -1: it has ended */
};
ALB_MUST_USE struct alb_status helper_start(struct helper *h, const char *command);
/* False: none runs; one that ended by itself is forgotten, `*exit_code` as above. */
bool helper_runs(struct helper *h, int *exit_code);
/* Its input ends, so it will; helper_runs() tells. */
void helper_end(struct helper *h);
/* Blocking: its input ends, and it is waited for, a second at most; then it is killed. */
void helper_stop(struct helper *h);

/* Blocking: is somebody logged in?  By logind's sessions of class "user" (files in `sessions`), or
 * where there is no such directory by the entries of `utmp`. */
#define HELPER_SESSIONS "/run/systemd/sessions"
#define HELPER_UTMP "/run/utmp"
bool helper_is_used(const char *sessions, const char *utmp);
