/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/delta_match.h – lays a target beside its reference: which run of it is best told as the
 * difference to which run of the reference.
 *
 * bsdiff's idea (Percival, 2003) without its suffix sorting.  Along a run both sides move in
 * step and most bytes are alike; a run ends where another place of the reference promises clearly
 * more.  Such places are found by a hash of eight bytes at every step-th position of the reference:
 * every fourth, and fewer in a reference so large that the table would not stay small.
 *
 * Pure; nothing of it is in the format: any list of runs that rebuilds the target is as good.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* `literals` new bytes, then `length` bytes beside the reference's from `from` on. */
struct delta_run {
    size_t literals, length, from;
};

/* Hears the runs in order; together they are the target.  The last may have no length. */
struct delta_runs {
    struct alb_status (*add)(void *arg, const struct delta_run *run);
    void *arg;
};

/* Where things are in a reference; keeps its tables between references. */
struct delta_match;
struct delta_match *delta_match_new(void);
struct delta_match *delta_match_free(struct delta_match *m);
/* Borrows the bytes (at least 1, at most UINT32_MAX) until the next call.  FULL: no memory, and
 * then it has no reference.  Free when bytes and size are those it has. */
ALB_MUST_USE struct alb_status delta_match_refer(struct delta_match *m, const uint8_t *bytes,
                                                 size_t size);
/* The next reference is another one, even if it lies at the same place. */
void delta_match_forget(struct delta_match *m);
/* `at` is a guess where in the reference the target begins.  Fails only as `runs` does. */
ALB_MUST_USE struct alb_status delta_match_find(const struct delta_match *m, const uint8_t *target,
                                                size_t size, size_t at,
                                                const struct delta_runs *runs);
