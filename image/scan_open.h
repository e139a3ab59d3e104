/* SPDX-License-Identifier: Apache-2.0 */
/* image/scan_open.h – opening a path beneath a directory so that no symlink can lead out of it. */
#pragma once

/* open(2) of `path` (relative, "" for the directory itself) beneath `top_fd`, following no symlink
 * in any component; O_CLOEXEC is added, and O_NOATIME where the owner allows it.  Returns a
 * descriptor, or −1 with errno (ELOOP or ENOTDIR where a symlink stands). */
int beneath_open(int top_fd, const char *path, int flags);
