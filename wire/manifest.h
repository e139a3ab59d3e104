/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest.h – a directory tree as canonical bytes: every name, its metadata, its chunks.
 *
 * The stream is a header and three sections, one after another, each with its length before it:
 *   names    for each directory that is not empty a block: its path, then its children's types and
 *            names (and link targets, device numbers);
 *   meta     for each entry of `names` (hard links excepted), in the same order: mode, uid, gid,
 *            mtime, owner, xattrs;
 *   content  for each regular file, in the same order: size, digest, slices, holes.
 * They are apart because they change apart: measured on a monthly OS update, v2's manifest
 * cost 1.16 MB beside v1's with everything in one entry, and 0.66 MB like this (ARCHITECTURE.md,
 * "Sizes"). Blocks and entries are in ascending order (path_compare), so a tree has exactly one
 * encoding and a change disturbs only the bytes around it: nothing holds an absolute offset or a
 * table index. Byte-exact rules: wire/FORMAT.md.
 *
 * Decoding trusts nothing: unsorted or duplicate names, "..", ".", empty or over-long components, a
 * ".albedo" component, a parent that is not a directory declared before, a hard link to anything
 * but an earlier regular file, sizes that do not add up, devices without leave, unknown critical
 * fields, and anything beyond the limits is refused as CORRUPT with a literal that says which,
 * before anybody sees an entry.
 */
#pragma once

#include "base/buf.h"
#include "base/key.h"
#include "base/status.h"

enum {
    MANIFEST_VERSION = 1,
    MANIFEST_PATH_MAX = 4095, /* bytes of a whole path, Linux PATH_MAX without its zero */
    MANIFEST_NAME_MAX = 255,
    MANIFEST_XATTR_MAX = 64 << 10, /* bytes of one value (XATTR_SIZE_MAX) */
    MANIFEST_XATTRS_MAX = 256,     /* xattrs of one entry */
};

enum entry_type {
    ENTRY_DIRECTORY = 1,
    ENTRY_FILE = 2,
    ENTRY_SYMLINK = 3,
    ENTRY_HARDLINK = 4, /* another name of an earlier regular file, without metadata of its own */
    ENTRY_FIFO = 5,
    ENTRY_SOCKET = 6,
    ENTRY_CHAR_DEVICE = 7,
    ENTRY_BLOCK_DEVICE = 8,
};

enum entry_owner { OWNER_IT = 0, OWNER_USER = 1 };

struct slice {
    struct chunk_key key;
    uint32_t offset; /* in the chunk's raw bytes */
    uint32_t length;
};

/* A run of zeros that takes no room on disk; content digest and slices cover it too. */
struct hole {
    uint64_t offset;
    uint64_t length;
};

struct xattr {
    const char *name;
    const uint8_t *value;
    uint32_t size;
};

/* All pointers are borrowed from the manifest (reader) or the caller (writer). */
struct manifest_entry {
    const char *path; /* "" for the root itself; "usr/bin/env": no leading slash */
    enum entry_type type;
    enum entry_owner owner;
    uint16_t mode; /* permission bits with setuid, setgid, sticky: 07777 */
    uint32_t uid, gid;
    int64_t mtime_s;
    uint32_t mtime_ns;
    const char *target; /* symlink: its text; hard link: the other path */
    uint32_t dev_major, dev_minor;
    uint64_t size;         /* regular file */
    struct digest content; /* regular file: SHA-256 of all its bytes */
    /* In order, covering `size`; none for an empty file.  A file that is one whole plain chunk has
     * one slice here though it is not spelled out. */
    const struct slice *slices;
    size_t slice_count;
    const struct hole *holes; /* ascending, within `size` */
    size_t hole_count;
    const struct xattr *xattrs; /* ascending by name */
    size_t xattr_count;
};

struct manifest_params {
    uint32_t cut_min, cut_average, cut_max; /* how file content was cut (chunk/cut.h) */
};

/* ---- writing --------------------------------------------------------------------------------- */

struct manifest_writer {
    struct buf names, meta, content; /* the sections so far */
    struct manifest_params params;
    char directory[MANIFEST_PATH_MAX + 1]; /* of the block being written */
    char last_path[MANIFEST_PATH_MAX + 1];
    bool begun;
    struct chunk_key last_key; /* the slice before, for the "continues" form */
    uint32_t last_end;
};

/* `root` is the entry of the tree's top (path ""). */
ALB_MUST_USE struct alb_status manifest_begin(struct manifest_writer *w,
                                              const struct manifest_params *params,
                                              const struct manifest_entry *root);
/* Entries must come in path_compare order; INVALID when they do not or a value is out of range.
 * What needs the whole tree (a parent is a directory, a hard link's file came before) is the
 * reader's to check: read back what was written before it is signed.  After a failure the stream is
 * useless. */
ALB_MUST_USE struct alb_status manifest_add(struct manifest_writer *w,
                                            const struct manifest_entry *entry);
/* Append the whole stream to `out`. */
ALB_MUST_USE struct alb_status manifest_finish(struct manifest_writer *w, struct buf *out);
void manifest_writer_release(struct manifest_writer *w);

/* ---- reading --------------------------------------------------------------------------------- */

struct manifest_limits {
    uint64_t max_bytes; /* of the stream         */
    uint64_t max_entries;
    uint64_t max_content_bytes; /* sum of file sizes */
    bool allow_devices;
};
extern const struct manifest_limits manifest_limits_default; /* 1 GiB, 16 M, 64 TiB, no devices */

struct manifest {
    struct manifest_params params;
    struct manifest_entry *entries; /* [0] is the root; then manifest order */
    size_t count;
    struct chunk_key *content_keys; /* list C: distinct keys in order of first appearance */
    uint32_t *content_raw_bytes;    /* of each: how far slices reach, its chunk's raw size */
    size_t content_key_count;
    uint64_t content_bytes; /* sum of file sizes */
    struct manifest_arena *arena;
};

/* Whole or not at all. */
ALB_MUST_USE struct alb_status manifest_decode(const void *bytes, size_t size,
                                               const struct manifest_limits *limits,
                                               struct manifest *out);
void manifest_release(struct manifest *m);
/* Binary search by path; NULL when absent. */
const struct manifest_entry *manifest_find(const struct manifest *m, const char *path);

/* The order of entries: by directory (component by component), then by name; a directory's block
 * comes after the block its own entry is in.  <0, 0, >0. */
int path_compare(const char *a, const char *b);
/* OK, or INVALID saying which rule of names `path` breaks ("" is refused too). */
ALB_MUST_USE struct alb_status path_check(const char *path);
