/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage_dirs.h – directories beneath the target, opened without following a symlink anywhere.
 *
 * Work comes directory by directory, so the one opened last is remembered.
 */
#pragma once

#include "wire/manifest.h"

struct dirs {
    int top_fd; /* borrowed                                 */
    int fd;     /* of `path`; −1 when nothing is remembered */
    char path[MANIFEST_PATH_MAX + 1];
};

void dirs_init(struct dirs *d, int top_fd);
void dirs_release(struct dirs *d);
/* After a directory was moved or removed. */
void dirs_forget(struct dirs *d);

/* The directory `path` lies in, open with O_PATH and borrowed until the next call, and the name in
 * it (borrowed from `path`; "." for the top itself).  .sys is ENOENT, ENOTDIR or ELOOP when there
 * is no such directory: dirs_is_absent(). */
ALB_MUST_USE struct alb_status dirs_parent(struct dirs *d, const char *path, int *out_fd,
                                           const char **out_name);
bool dirs_is_absent(struct alb_status st);
/* The length of the part of `path` before its last slash; 0 when it has none. */
size_t dirs_parent_length(const char *path);

/* openat2(2) of `path` with O_PATH and these flags beneath `top_fd`, following nothing; -1 and
 * errno. */
int dirs_open_path(int top_fd, const char *path, int flags);
/* mkdir -p beneath the open directory; *out is the last one, open and the caller's. */
ALB_MUST_USE struct alb_status dirs_make(int top_fd, const char *path, unsigned mode, int *out);
/* Remove `name` in the open directory and, when it is a directory, all that is in it;
 * gone is fine. */
ALB_MUST_USE struct alb_status dirs_remove(int fd, const char *name);
