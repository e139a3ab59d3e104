/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply.h – a sealed stage becomes the target, by a journal that can be replayed.
 *
 * Nothing is changed until the journal (TARGET/.albedo/journal) is durable; its operations are
 * idempotent (make-dir, set-meta, rename-in, link, symlink, node, unlink, remove-dir; directory
 * times last) and are replayed from the start after a crash.  Parents are opened beneath the target
 * without following symlinks (openat2, RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS); a user's symlink in
 * place of a directory is a conflict that is reported, not followed.  Mount points are never
 * removed.
 *
 * Removed are only paths the version recorded in TARGET/.albedo/applied had and the new one has
 * not; with `exact` everything else too.  A file that differs from what was applied is moved to
 * .albedo/kept/VERSION/… first, counted and listed.
 */
#pragma once

#include "image/stage.h"

struct apply_options {
    const char *version; /* "base/debian-12@3", for the record and the kept folder */
    bool exact;
    bool strict; /* what could not be set (owner, device, capability) is an error */
};

struct apply_result {
    uint64_t made, replaced, removed, metadata_only, unchanged;
    uint64_t kept;     /* files of the owner's moved to .albedo/kept             */
    char **kept_paths; /* the first KEPT_LISTED of them; owned                   */
    size_t kept_path_count;
    uint64_t owners_not_set, devices_not_made, xattrs_not_set; /* for lack of privilege  */
    char **conflicts; /* paths left alone, with why; owned                      */
    size_t conflict_count;
};
enum { KEPT_LISTED = 20 };

/* Write the journal.  INVALID for a conflict that forbids starting (listed in `out`). */
ALB_MUST_USE struct alb_status apply_prepare(struct stage *s, const struct apply_options *options,
                                             struct apply_result *out);
/* Files of the stage that are not what was sealed: something altered them on the disk since. */
struct apply_damage {
    uint64_t count;
    char *path; /* of the first of them, as it would be in the target; owned; NULL when none */
};
/* Reads again what a journal that was left behind is to put in place, before anybody relies on it.
 * What is damaged is fetched anew by a stage opened with `over_journal`, and the journal that
 * apply_prepare() then writes takes this one's place.  NOT_FOUND: there is no journal. */
ALB_MUST_USE struct alb_status apply_check(const char *target, struct apply_damage *out);
void apply_damage_release(struct apply_damage *d);
/* Replay the target's journal to its end, record what is applied, remove the stage.  NOT_FOUND:
 * there is no journal.  May be called again after any failure or crash. */
ALB_MUST_USE struct alb_status apply_replay(const char *target, struct apply_result *out);
void apply_result_release(struct apply_result *r);

/* What TARGET/.albedo/applied says.  NOT_FOUND: nothing applied yet; CORRUPT. */
struct applied {
    char version[256];
    struct digest root;
    struct manifest manifest;
};
ALB_MUST_USE struct alb_status applied_read(const char *target, struct applied *out);
void applied_release(struct applied *a);
