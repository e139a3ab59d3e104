/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply_impl.h – what the parts of apply share; for apply*.c and holdings.c only. */
#pragma once

#include "image/apply.h"
#include "image/holdings_impl.h"
#include "image/journal.h"
#include "image/stage_impl.h"

/* ---- apply_record.c: TARGET/.albedo/applied */
struct applied_record {
    struct applied applied;
    struct stamp *stamps; /* per entry; zero where there is no regular file */
};

/* Of the tree whose top is open.  NOT_FOUND, CORRUPT. */
ALB_MUST_USE struct alb_status applied_record_read(int top_fd, struct applied_record *out);
ALB_MUST_USE struct alb_status applied_record_write(int albedo_fd, const struct journal *j,
                                                    const struct manifest *m,
                                                    const struct stamp *stamps);
void applied_record_release(struct applied_record *r);
struct stamp stamp_of_statx(const struct statx *now);
/* "/proc/self/fd/N/NAME": beneath an open directory, for calls that take a path. */
enum { FD_PATH_SIZE = 64 };
const char *fd_path(int fd, const char *name, char out[FD_PATH_SIZE]);

/* ---- apply_result.c */
void apply_result_keep(struct apply_result *r, const char *path);
void apply_result_conflict(struct apply_result *r, const char *path, const char *why);
void apply_result_count(struct apply_result *r, const struct journal_counts *counts);
/* What apply_prepare() had to say already. */
void apply_result_note(struct apply_result *r, const char *text);

/* ---- apply_prepare.c, apply_compare.c, apply_remove.c */
struct prepare {
    struct stage *s;
    const struct manifest *m; /* the stage's */
    const struct apply_options *options;
    struct applied_record old;
    bool has_old;
    struct dirs dirs;
    struct content content;
    struct map inodes; /* of files in place with several names: (device, inode) → entry + 1 */
    bool *stays;       /* per entry: a directory that is there and stays        */
    bool *touched;     /* per entry: a directory whose time our work changes    */
    bool *differs;     /* per entry: a directory whose metadata is to change    */
    bool *comes;       /* per entry: a new object is brought                    */
    uint64_t *inos;    /* per entry: inode of what is in place                  */
    struct journal ops[JOURNAL_SET_META + 1]; /* only .ops of each, by kind          */
    struct journal_counts counts;
    struct meta_losses losses;
    struct apply_result *out;
    bool forbidden; /* a conflict that forbids to start */
};

struct found {        /* what is at an entry's path now */
    const char *path; /* relative to the target */
    int dir_fd;       /* borrowed; dies with the next dirs_parent() */
    const char *name;
    struct statx now;
};

/* Put the operation into its list. */
void prepare_op(struct prepare *p, enum journal_op_kind kind, uint32_t entry, const char *path,
                uint64_t ino);
/* The directory that `path` lies in changes. */
void prepare_touch(struct prepare *p, const char *path);
/* NOT_FOUND: nothing is there (or its directory is none). */
ALB_MUST_USE struct alb_status prepare_look(struct prepare *p, const char *path, struct found *out);
/* Move it away and say so. */
void prepare_keep(struct prepare *p, const struct found *f);
/* A conflict that forbids to start. */
void prepare_forbid(struct prepare *p, const char *path, const char *why);

/* Is it, unchanged, what the applied version put there? */
ALB_MUST_USE struct alb_status found_is_ours(struct prepare *p, const struct found *f, bool *out);
/* Does it have this entry's type and content? */
ALB_MUST_USE struct alb_status found_has_content(struct prepare *p, const struct found *f,
                                                 const struct manifest_entry *e, bool *out);
/* Does its metadata differ from the entry's?  Adds to the losses. */
ALB_MUST_USE struct alb_status found_differs(struct prepare *p, const struct found *f,
                                             const struct manifest_entry *e, bool *out);
ALB_MUST_USE struct alb_status found_digest(struct prepare *p, const struct found *f,
                                            struct digest *out);

/* What the version does not have: the applied one's, and with `exact` everything. */
ALB_MUST_USE struct alb_status prepare_removals(struct prepare *p);
/* A directory stands where something else comes. */
ALB_MUST_USE struct alb_status prepare_clear(struct prepare *p, const struct found *f);
