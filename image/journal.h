/* SPDX-License-Identifier: Apache-2.0 */
/* image/journal.h – the list of operations that make a target what a version says, as bytes.
 *
 * TARGET/.albedo/journal is written whole and synced before the first of its operations is done,
 * and removed after the last.  Each operation can be done again: those that take something away
 * name the inode they mean, those that bring something are content to find it in its place.  Every
 * record has a CRC and the last one counts them; bytes: image/FORMAT.md.
 */
#pragma once

#include "base/buf.h"
#include "wire/manifest.h"

enum journal_op_kind { /* the numbers are on disk; also the order in which kinds are done */
                       JOURNAL_UNLINK =
                           1, /* a name that is no directory, if it still is inode `ino`          */
                       JOURNAL_KEEP =
                           2, /* move inode `ino` to the kept folder                              */
                       JOURNAL_REMOVE_DIR =
                           3, /* if it is inode `ino` and empty                                   */
                       JOURNAL_CLEAR_DIR =
                           4, /* the same, but what is not empty is kept: something else comes    */
                       JOURNAL_MAKE_DIR =
                           5, /* of entry `entry`; there already is fine                          */
                       JOURNAL_RENAME_IN =
                           6, /* the staged object of `entry` to its path                         */
                       JOURNAL_LINK =
                           7, /* `entry` becomes another name of its target                       */
                       JOURNAL_SET_META =
                           8, /* metadata of `entry`; directories last, deepest first             */
};

struct journal_op {
    enum journal_op_kind kind;
    uint32_t entry; /* of the manifest; MAKE_DIR and after            */
    char *path;     /* before MAKE_DIR; owned                         */
    uint64_t ino;   /* before MAKE_DIR; of RENAME_IN the staged one's */
};

struct journal_counts { /* what the summary says; image/apply.h */
    uint64_t made, replaced, removed, metadata_only, unchanged, kept;
    uint64_t owners_not_set, devices_not_made, xattrs_not_set;
};

struct journal {
    char *version; /* owned */
    struct digest root;
    struct journal_counts counts;
    char **places; /* owned; tops of the file systems that hold a stage; [0] is "" */
    size_t place_count;
    char **notes; /* owned; paths that will be left alone, and why */
    size_t note_count;
    struct journal_op *ops;
    size_t op_count, op_capacity;
    const uint8_t *manifest_bytes; /* the version's, borrowed */
    size_t manifest_size;
};

ALB_MUST_USE struct alb_status journal_encode(const struct journal *j, struct buf *out);
/* The manifest's bytes are borrowed from `bytes`.  CORRUPT; an unknown format
 * version is refused by name. */
ALB_MUST_USE struct alb_status journal_decode(const void *bytes, size_t size, struct journal *out);
void journal_release(struct journal *j);
/* Append; takes `op.path`. */
void journal_add(struct journal *j, struct journal_op op);
