/* SPDX-License-Identifier: Apache-2.0 */
/* image/scan.h – a directory tree as a sorted list of what is in it; contents are not read here.
 *
 * Symlinks are never followed, other file systems are not entered unless told, and the reserved
 * name ".albedo" is skipped.  The order is that of the manifest (path_compare).  What cannot be
 * read is not silently left out: it is listed as a problem, and the caller decides.
 */
#pragma once

#include "wire/manifest.h"

struct scan_options {
    bool cross_mounts;
    bool allow_devices;
    const char *const *exclude; /* paths relative to the top, whole subtrees; may be NULL */
    size_t exclude_count;
};

struct scan_item {
    char *path;           /* relative, no leading slash; "" is the top itself */
    enum entry_type type; /* ENTRY_HARDLINK when an earlier item has the same inode */
    uint16_t mode;
    uint32_t uid, gid;
    int64_t mtime_s, ctime_s;
    uint32_t mtime_ns, ctime_ns;
    uint64_t size, dev, ino, blocks; /* blocks of 512 bytes: fewer than size means holes */
    uint32_t dev_major, dev_minor;
    char *target; /* symlink text, or the path of the first name of a hard link */
    /* owned, ascending by name; those of user., security., trusted. and system.posix_acl_* */
    struct xattr *xattrs;
    size_t xattr_count;
};

struct scan_problem {
    char *path;
    struct alb_status st;
};

struct scan {
    int top_fd; /* of the tree's top directory */
    char *top;
    struct scan_item *items;
    size_t count;
    uint64_t file_bytes;
    struct scan_problem *problems;
    size_t problem_count;
};

/* NOT_FOUND or INVALID (not a directory) for the top itself; everything below becomes a problem. */
ALB_MUST_USE struct alb_status scan_tree(const char *top, const struct scan_options *options,
                                         struct scan *out);
void scan_release(struct scan *s);
const struct scan_item *scan_find(const struct scan *s, const char *path);
