/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply_result.c – what the summary of an apply will say. */
#include "base/alloc.h"
#include "image/apply_impl.h"

/* Conflicts beyond these are as many again of the same kind; the count is exact nowhere else. */
enum { CONFLICTS_LISTED = 1000 };

void apply_result_keep(struct apply_result *r, const char *path)
{
    if (r->kept_path_count == KEPT_LISTED)
        return;
    r->kept_paths = xrealloc(r->kept_paths, (r->kept_path_count + 1) * sizeof(char *));
    r->kept_paths[r->kept_path_count++] = xstrdup(path);
}

void apply_result_conflict(struct apply_result *r, const char *path, const char *why)
{
    AUTO_FREE char *text = xasprintf("%s: %s", *path == '\0' ? "." : path, why);

    apply_result_note(r, text);
}

void apply_result_note(struct apply_result *r, const char *text)
{
    if (r->conflict_count == CONFLICTS_LISTED)
        return;
    r->conflicts = xrealloc(r->conflicts, (r->conflict_count + 1) * sizeof(char *));
    r->conflicts[r->conflict_count++] = xstrdup(text);
}

void apply_result_count(struct apply_result *r, const struct journal_counts *counts)
{
    r->made = counts->made;
    r->replaced = counts->replaced;
    r->removed = counts->removed;
    r->metadata_only = counts->metadata_only;
    r->unchanged = counts->unchanged;
    r->kept = counts->kept;
    r->owners_not_set = counts->owners_not_set;
    r->devices_not_made = counts->devices_not_made;
    r->xattrs_not_set = counts->xattrs_not_set;
}

void apply_result_release(struct apply_result *r)
{
    for (size_t i = 0; i < r->kept_path_count; i++)
        free(r->kept_paths[i]);
    for (size_t i = 0; i < r->conflict_count; i++)
        free(r->conflicts[i]);
    free(r->kept_paths);
    free(r->conflicts);
    *r = (struct apply_result){0};
}
