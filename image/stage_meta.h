/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage_meta.h – mode, owner, time and extended attributes of one object, set as an entry
 * says.
 *
 * What this process may not set is counted, not an error: the summary says it once.  Set-id bits
 * are dropped where the owner they stand for could not be set.
 */
#pragma once

#include "wire/manifest.h"

struct meta_losses {
    uint64_t owners, devices, xattrs; /* not set for lack of privilege */
};

/* What is there now, so that only differences are touched. */
struct meta {
    uint16_t mode; /* 07777 */
    uint32_t uid, gid;
    int64_t mtime_s;
    uint32_t mtime_ns;
    const struct xattr *xattrs; /* borrowed; ascending by name */
    size_t xattr_count;
};

/* Make the object behind `fd` (O_PATH will do) what `e` says.  `fresh`: we made it a moment ago, it
 * has no attributes to remove. */
ALB_MUST_USE struct alb_status meta_set(int fd, const struct manifest_entry *e, bool fresh,
                                        struct meta_losses *losses);
/* Would meta_set() change anything?  What it could not set is added to `losses`. */
bool meta_differs(const struct meta *now, const struct manifest_entry *e,
                  struct meta_losses *losses);
/* What is made in this directory shall not inherit an ACL. */
ALB_MUST_USE struct alb_status meta_forget_defaults(int fd);
