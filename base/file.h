/* SPDX-License-Identifier: Apache-2.0 */
/* base/file.h – small files read whole and replaced whole, durably; blocking, for jobs and
 * start-up.
 */
#pragma once

#include "base/buf.h"

/* Append the file's bytes to `out` (its limit bounds the size).  NOT_FOUND, IO,
 * FULL (too large). */
ALB_MUST_USE struct alb_status file_read(const char *path, struct buf *out);
/* Write beside it, fsync, rename over, fsync the directory: after a crash either the old or the
 * new content is there.  `mode` as for open(2). */
ALB_MUST_USE struct alb_status file_replace(const char *path, const void *bytes, size_t size,
                                            unsigned mode);
/* mkdir -p with `mode` for the last component that is made; OK when it is there already.  What was
 * made is there after a power loss. */
ALB_MUST_USE struct alb_status file_make_dir(const char *path, unsigned mode);
/* fsync a directory so that names made in it last. */
ALB_MUST_USE struct alb_status file_sync_dir(const char *path);
/* Read/write everything or fail; retries EINTR and short transfers. */
ALB_MUST_USE struct alb_status file_write_all(int fd, const void *bytes, size_t size);
ALB_MUST_USE struct alb_status file_pread_all(int fd, void *out, size_t size, uint64_t offset);
bool file_exists(const char *path);
/* A file, or a directory with all beneath it (links are removed, not followed); OK when there is
 * none.  What cannot be removed ends it: the rest stays. */
ALB_MUST_USE struct alb_status file_remove_all(const char *path);
/* "dir/name", heap. */
char *path_join(const char *dir, const char *name);
