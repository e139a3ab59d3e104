/* SPDX-License-Identifier: Apache-2.0 */
/* image/scan_xattr.h – the extended attributes of one name in an open directory. */
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "wire/manifest.h"

/* Those a manifest keeps (user., security., trusted., system.posix_acl_*), ascending by name, in
 * one heap block: free() `*out` and all is gone.  NULL and 0 when there are none or the file system
 * has no such thing.  `name` "" means the directory itself; a symlink is not followed.  NOT_FOUND
 * when the name vanished, FULL, INVALID (more than a manifest can hold), IO. */
ALB_MUST_USE struct alb_status xattrs_read(int directory_fd, const char *name, struct xattr **out,
                                           size_t *out_count);
