/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply_op.h – one operation of the journal at a time; for apply_*.c only. */
#pragma once

#include "image/apply_impl.h"

struct replay {
    int target_fd;
    int lock_fd;
    struct journal journal;
    struct manifest manifest;
    struct places places;
    struct dirs dirs;
    struct dirs other_dirs;    /* of a link's first name */
    struct meta_losses losses; /* predicted already, so not reported again */
    struct prepare judge;      /* only its `old`, `content` and the empty stage */
    struct stage no_stage;
    struct apply_result *out;
};

/* ---- apply_owner.c */
ALB_MUST_USE struct alb_status judge_open(struct replay *r);
void judge_close(struct replay *r);
/* Is what is at `path`, called `name` in `dir_fd`, something that the owner changed or made after
 * the journal was written?  `coming`: what takes its place; NULL when it only goes.  A directory
 * never is: it goes only when it is empty. */
bool judge_is_owners(struct replay *r, const char *path, int dir_fd, const char *name,
                     const struct manifest_entry *coming);

/* ---- apply_op.c */

/* Done, or done before, or a conflict (listed): OK. */
ALB_MUST_USE struct alb_status replay_op(struct replay *r, const struct journal_op *op,
                                         const char *path);
