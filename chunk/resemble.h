/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/resemble.h – which old file is a new one most likely made from?
 *
 * Pure functions over lists.  Fill an index with the files somebody holds, then ask it for each
 * new file; the answer is a short list, best first, without the file itself (the same digest).  In
 * the order of trust:
 *
 *   same path    etc/passwd                  etc/passwd
 *   folded path  modules/6.1.0-50/x.ko       modules/6.1.0-56/x.ko      digits made alike
 *   name         usr/lib/libx.so.1           usr/lib/x86_64/libx.so.1   and near in size
 *   folded name  libx.so.1.2.3               libx.so.1.3.0              and near in size
 *   content      a renamed or moved file: a super-feature in common
 *
 * Features are made from content in one pass, and kept by whoever has a place for them:
 * RESEMBLE_SUPER numbers a file.  Each is made of four maxima over content-defined samples; files
 * of which most is alike share at least one with fair odds, files that have nothing in common
 * never do but by accident, which costs a useless trial.  (Broder's shingles; sampling by content.)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/key.h"
#include "base/status.h"

enum {
    RESEMBLE_SUPER = 3, /* super-features of a file                                         */
    RESEMBLE_FEATURES = 12,
    RESEMBLE_ANSWERS = 4, /* most predecessors one is told of                                 */
};

/* All zero: the file is too small to have any (under some 2 KiB). */
struct resemble_features {
    uint64_t super[RESEMBLE_SUPER];
};

/* A running pass over content. */
struct resemble_pass {
    uint64_t gear;
    uint64_t samples;
    uint64_t maxima[RESEMBLE_FEATURES];
};
void resemble_begin(struct resemble_pass *p);
void resemble_add(struct resemble_pass *p, const void *bytes, size_t size);
void resemble_end(const struct resemble_pass *p, struct resemble_features *out);

struct resemble_file {
    const char *path; /* borrowed; must outlive the index */
    uint64_t size;
    struct digest digest;
    struct resemble_features features; /* zero when not known */
};

enum resemble_how {
    RESEMBLE_PATH,
    RESEMBLE_FOLDED_PATH,
    RESEMBLE_NAME,
    RESEMBLE_FOLDED_NAME,
    RESEMBLE_CONTENT,
};

struct resemble_answer {
    size_t file; /* index in the list the index was made of */
    enum resemble_how how;
};

/* Borrows `files` until it is freed; some 100 bytes a file.  FULL when there is no memory. */
struct resemble_index;
ALB_MUST_USE struct alb_status resemble_index_new(const struct resemble_file *files, size_t count,
                                                  struct resemble_index **out);
struct resemble_index *resemble_index_free(struct resemble_index *x);
/* Up to RESEMBLE_ANSWERS predecessors of `target`, best first; returns how many.  Empty files, and
 * files of which `target` would be more than RESEMBLE_SIZES times the size or less than so many
 * parts, are no predecessors but by their very path. */
enum { RESEMBLE_SIZES = 8 };
size_t resemble_find(const struct resemble_index *x, const struct resemble_file *target,
                     struct resemble_answer out[RESEMBLE_ANSWERS]);
/* "same path", "folded path", …: for reports. */
const char *resemble_how_text(enum resemble_how how);
