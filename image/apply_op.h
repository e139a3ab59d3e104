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
    struct apply_result *out;
};

/* Done, or done before, or a conflict (listed): OK. */
ALB_MUST_USE struct alb_status replay_op(struct replay *r, const struct journal_op *op,
                                         const char *path);
