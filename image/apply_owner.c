/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply_owner.c – is what an operation is about to take away still what the journal meant?
 *
 * After a crash a journal may lie for days while the owner goes on working.  What he has changed or
 * made since is neither what the applied version put there nor what comes: it is his.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "image/apply_op.h"

struct alb_status judge_open(struct replay *r)
{
    struct prepare *j = &r->judge;
    struct alb_status st = content_init(&j->content);

    j->s = &r->no_stage;
    if (alb_failed(st))
        return st;
    st = applied_record_read(r->target_fd, &j->old);
    j->has_old = !alb_failed(st);
    if (j->has_old || st.code == ALB_NOT_FOUND)
        return ALB_STATUS_OK;
    log_status(LOG_WARN, "apply.record_unknown", st, "next=\"what is replaced is kept as well\"");
    return st.code == ALB_FULL ? st : ALB_STATUS_OK;
}

void judge_close(struct replay *r)
{
    content_release(&r->judge.content);
    if (r->judge.has_old)
        applied_record_release(&r->judge.old);
}

/* Is it, by its bytes, what comes anyway?  Of a further name of a file, the file decides. */
static struct alb_status is_what_comes(struct replay *r, const struct found *f,
                                       const struct manifest_entry *coming, bool *out)
{
    if (coming->type == ENTRY_HARDLINK)
        coming = manifest_find(&r->manifest, coming->target);
    return found_has_content(&r->judge, f, coming, out);
}

bool judge_is_owners(struct replay *r, const char *path, int dir_fd, const char *name,
                     const struct manifest_entry *coming)
{
    struct found f = {.path = path, .dir_fd = dir_fd, .name = name};
    bool known = false;

    if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &f.now) != 0 ||
        S_ISDIR(f.now.stx_mode))
        return false;
    /* Foreign things that only go are listed in the journal because the owner asked for it. */
    if (coming == NULL &&
        (!r->judge.has_old || manifest_find(&r->judge.old.applied.manifest, path) == NULL))
        return false;
    struct alb_status st = found_is_ours(&r->judge, &f, &known);
    if (!alb_failed(st) && !known && coming != NULL)
        st = is_what_comes(r, &f, coming, &known);
    return alb_failed(st) || !known; /* what cannot be read is not given up either */
}
