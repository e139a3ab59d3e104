/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply_op.c – the operations themselves, each content to find its work done.
 *
 * Those that take away look at the inode first: what was brought later has another one, because
 * staged objects exist before the journal does.
 */
#include "image/apply_op.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"

#define LINK_NAME "link"
enum { KEEP_TRIES = 100 };

static struct alb_status op_unlink(struct replay *r, const struct journal_op *op, const char *path);
static struct alb_status op_remove_dir(struct replay *r, const struct journal_op *op,
                                       const char *path);
static struct alb_status op_keep(struct replay *r, const struct journal_op *op, const char *path);
static struct alb_status keep_owners(struct replay *r, const char *path, int dir_fd,
                                     const char *name, const struct manifest_entry *coming,
                                     bool *kept);
static struct alb_status op_make_dir(struct replay *r, const char *path);
static struct alb_status op_rename_in(struct replay *r, const struct journal_op *op,
                                      const char *path);
static struct alb_status op_link(struct replay *r, const struct journal_op *op, const char *path);
static struct alb_status op_set_meta(struct replay *r, const struct journal_op *op,
                                     const char *path);

struct alb_status replay_op(struct replay *r, const struct journal_op *op, const char *path)
{
    switch (op->kind) {
    case JOURNAL_UNLINK: return op_unlink(r, op, path);
    case JOURNAL_KEEP: return op_keep(r, op, path);
    case JOURNAL_REMOVE_DIR:
    case JOURNAL_CLEAR_DIR: return op_remove_dir(r, op, path);
    case JOURNAL_MAKE_DIR: return op_make_dir(r, path);
    case JOURNAL_RENAME_IN: return op_rename_in(r, op, path);
    case JOURNAL_LINK: return op_link(r, op, path);
    case JOURNAL_SET_META: return op_set_meta(r, op, path);
    }
    alb_unreachable();
}

/* Where the path's name lives, and what is there; *ino 0 when nothing is. */
static struct alb_status locate(struct replay *r, const char *path, int *dir_fd, const char **name,
                                struct stat *now)
{
    struct alb_status st = dirs_parent(&r->dirs, path, dir_fd, name);

    *now = (struct stat){0};
    if (alb_failed(st))
        return st;
    if (fstatat(*dir_fd, *name, now, AT_SYMLINK_NOFOLLOW) != 0 && errno != ENOENT)
        return alb_fail_sys("asking about a path of the target");
    return ALB_STATUS_OK;
}

/* An error that only says that the owner was faster. */
static bool is_shape_error(int sys)
{
    return sys == EEXIST || sys == EISDIR || sys == ENOTDIR || sys == ENOTEMPTY || sys == ELOOP ||
           sys == EBUSY || sys == ENOENT || sys == EXDEV;
}

static struct alb_status conflict_or(struct replay *r, const char *path, struct alb_status st)
{
    if (!is_shape_error(st.sys))
        return st;
    apply_result_conflict(r->out, path, "changed while the version was applied; pull again");
    return ALB_STATUS_OK;
}

/* Without privilege a directory of the owner's may forbid us to change it; its mode is set again at
 * the end, with the times. */
static bool may_retry(int dir_fd)
{
    struct stat now;
    char path[FD_PATH_SIZE];

    if (errno != EACCES || geteuid() == 0 || fstat(dir_fd, &now) != 0 ||
        (now.st_mode & S_IRWXU) == S_IRWXU)
        return false;
    return chmod(fd_path(dir_fd, ".", path), (now.st_mode & 07777) | S_IRWXU) == 0;
}

static int unlink_in(int dir_fd, const char *name, int flags)
{
    int result = unlinkat(dir_fd, name, flags);

    return result != 0 && may_retry(dir_fd) ? unlinkat(dir_fd, name, flags) : result;
}

static int rename_in(int from_fd, const char *from, int dir_fd, const char *name)
{
    int result = renameat(from_fd, from, dir_fd, name);

    return result != 0 && may_retry(dir_fd) ? renameat(from_fd, from, dir_fd, name) : result;
}

static struct alb_status op_unlink(struct replay *r, const struct journal_op *op, const char *path)
{
    bool kept = false;
    const char *name;
    struct stat now;
    int dir_fd;
    struct alb_status st = locate(r, path, &dir_fd, &name, &now);

    if (alb_failed(st))
        return dirs_is_absent(st) ? ALB_STATUS_OK : st;
    if (now.st_ino != op->ino || S_ISDIR(now.st_mode))
        return ALB_STATUS_OK;
    st = keep_owners(r, path, dir_fd, name, NULL, &kept);
    if (!alb_failed(st) && !kept && unlink_in(dir_fd, name, 0) != 0)
        st = alb_fail_sys("removing a file");
    return alb_failed(st) ? conflict_or(r, path, st) : st;
}

static struct alb_status op_remove_dir(struct replay *r, const struct journal_op *op,
                                       const char *path)
{
    const char *name;
    struct stat now;
    int dir_fd;
    struct alb_status st = locate(r, path, &dir_fd, &name, &now);

    if (alb_failed(st))
        return dirs_is_absent(st) ? ALB_STATUS_OK : st;
    if (now.st_ino != op->ino || !S_ISDIR(now.st_mode))
        return ALB_STATUS_OK;
    dirs_forget(&r->other_dirs);
    if (unlink_in(dir_fd, name, AT_REMOVEDIR) == 0)
        return ALB_STATUS_OK;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return conflict_or(r, path, alb_fail_sys("removing a directory"));
    if (op->kind == JOURNAL_CLEAR_DIR)
        return op_keep(r, op, path);
    r->out->removed -= r->out->removed > 0 ? 1 : 0; /* something of the owner's is in it */
    return ALB_STATUS_OK;
}

static int rename_new(int from_fd, const char *from, int to_fd, const char *to)
{
    int result = renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE);
    struct stat there;

    if (result == 0 || errno != EINVAL)
        return result;
    /* A file system without the flag; we hold the lock, and the folder is ours alone. */
    if (fstatat(to_fd, to, &there, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename_in(from_fd, from, to_fd, to);
}

/* To kept/VERSION/PATH; what is kept there already stays, and the newcomer goes to VERSION.~1 … */
static struct alb_status keep_as(struct replay *r, const char *path, int dir_fd, const char *name,
                                 unsigned attempt)
{
    const struct place *place = &r->places.items[places_of(&r->places, path)];
    const char *below = path + strlen(place->top) + (*place->top == '\0' ? 0 : 1);
    AUTO_FREE char *folder = attempt == 0
                                 ? xasprintf("%s/%s/%.*s", KEPT_DIR, r->journal.version,
                                             (int)dirs_parent_length(below), below)
                                 : xasprintf("%s/%s.~%u/%.*s", KEPT_DIR, r->journal.version,
                                             attempt, (int)dirs_parent_length(below), below);
    int to_fd;
    struct alb_status st = dirs_make(place->albedo_fd, folder, 0700, &to_fd);

    if (alb_failed(st))
        return st;
    if (rename_new(dir_fd, name, to_fd, name) != 0 &&
        (!may_retry(dir_fd) || rename_new(dir_fd, name, to_fd, name) != 0))
        st = alb_fail_sys("moving what is the owner's to .albedo/kept");
    close(to_fd);
    return st;
}

static struct alb_status keep(struct replay *r, const char *path, int dir_fd, const char *name)
{
    struct alb_status st = ALB_STATUS_OK;

    for (unsigned attempt = 0; attempt < KEEP_TRIES; attempt++) {
        st = keep_as(r, path, dir_fd, name, attempt);
        if (st.sys != EEXIST && st.sys != ENOTDIR && st.sys != ENOTEMPTY && st.sys != ELOOP)
            break;
    }
    dirs_forget(&r->dirs);
    dirs_forget(&r->other_dirs);
    if (!alb_failed(st))
        apply_result_keep(r->out, path);
    return st;
}

static struct alb_status op_keep(struct replay *r, const struct journal_op *op, const char *path)
{
    const char *name;
    struct stat now;
    int dir_fd;
    struct alb_status st = locate(r, path, &dir_fd, &name, &now);

    if (alb_failed(st))
        return dirs_is_absent(st) ? ALB_STATUS_OK : st;
    if (now.st_ino == op->ino)
        st = keep(r, path, dir_fd, name);
    return alb_failed(st) ? conflict_or(r, path, st) : st;
}

/* What the journal does not know of, because only since then it is the owner's.  *kept: both
 * directories are to be looked up again. */
static struct alb_status keep_owners(struct replay *r, const char *path, int dir_fd,
                                     const char *name, const struct manifest_entry *coming,
                                     bool *kept)
{
    struct alb_status st = ALB_STATUS_OK;

    if (!judge_is_owners(r, path, dir_fd, name, coming))
        return st;
    st = keep(r, path, dir_fd, name);
    *kept = !alb_failed(st);
    r->out->kept += *kept ? 1 : 0;
    return st;
}

static struct alb_status op_make_dir(struct replay *r, const char *path)
{
    const char *name;
    struct stat now;
    int dir_fd;
    struct alb_status st = locate(r, path, &dir_fd, &name, &now);

    if (alb_failed(st))
        return conflict_or(r, path, st);
    if (S_ISDIR(now.st_mode))
        return ALB_STATUS_OK;
    if (mkdirat(dir_fd, name, 0700) != 0 &&
        (!may_retry(dir_fd) || mkdirat(dir_fd, name, 0700) != 0))
        return conflict_or(r, path, alb_fail_sys("making a directory"));
    return ALB_STATUS_OK;
}

static struct alb_status op_rename_in(struct replay *r, const struct journal_op *op,
                                      const char *path)
{
    int stage_fd = r->places.items[places_of(&r->places, path)].stage_fd;
    const struct manifest_entry *e = &r->manifest.entries[op->entry];
    char staged[STAGE_NAME_SIZE];
    bool kept = false;
    const char *name;
    struct stat now;
    int dir_fd;
    struct alb_status st = dirs_parent(&r->dirs, path, &dir_fd, &name);

    if (!alb_failed(st) &&
        fstatat(stage_fd, stage_name(op->entry, staged), &now, AT_SYMLINK_NOFOLLOW) == 0)
        st = keep_owners(r, path, dir_fd, name, e, &kept);
    if (kept)
        st = dirs_parent(&r->dirs, path, &dir_fd, &name);
    if (alb_failed(st))
        return conflict_or(r, path, st);
    if (rename_in(stage_fd, stage_name(op->entry, staged), dir_fd, name) == 0) {
        KILL_POINT("apply.renamed_in");
        return ALB_STATUS_OK;
    }
    st = alb_fail_sys("moving a staged file into place");
    if (st.sys != ENOENT)
        return conflict_or(r, path, st);
    if (fstatat(dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == op->ino)
        return ALB_STATUS_OK; /* an earlier replay did it */
    return conflict_or(r, path, st);
}

struct ends { /* of a link that is to be */
    const char *name, *first_name;
    int dir_fd, first_fd;
    bool joined; /* it is there already */
};

static struct alb_status find_ends(struct replay *r, const char *path, const char *first,
                                   struct ends *out)
{
    struct stat now, is;
    struct alb_status st = locate(r, path, &out->dir_fd, &out->name, &now);

    if (!alb_failed(st))
        st = dirs_parent(&r->other_dirs, first, &out->first_fd, &out->first_name);
    if (alb_failed(st))
        return st;
    if (fstatat(out->first_fd, out->first_name, &is, AT_SYMLINK_NOFOLLOW) != 0)
        return alb_fail_sys("finding the file to link");
    out->joined = is.st_ino == now.st_ino && is.st_dev == now.st_dev;
    return ALB_STATUS_OK;
}

/* Made under a name of ours first, because link(2) does not replace. */
static struct alb_status op_link(struct replay *r, const struct journal_op *op, const char *path)
{
    const struct manifest_entry *e = &r->manifest.entries[op->entry];
    int stage_fd = r->places.items[places_of(&r->places, path)].stage_fd;
    bool kept = false;
    struct ends at;
    struct alb_status st = find_ends(r, path, e->target, &at);

    if (!alb_failed(st) && !at.joined)
        st = keep_owners(r, path, at.dir_fd, at.name, e, &kept);
    if (kept)
        st = find_ends(r, path, e->target, &at);
    if (alb_failed(st) || at.joined)
        return conflict_or(r, path, st);
    if (unlinkat(stage_fd, LINK_NAME, 0) != 0 && errno != ENOENT)
        return alb_fail_sys("making a link");
    if (linkat(at.first_fd, at.first_name, stage_fd, LINK_NAME, 0) != 0 ||
        rename_in(stage_fd, LINK_NAME, at.dir_fd, at.name) != 0)
        return conflict_or(r, path, alb_fail_sys("making a link"));
    return ALB_STATUS_OK;
}

static bool is_as_entry(const struct stat *now, const struct manifest_entry *e)
{
    switch (e->type) {
    case ENTRY_DIRECTORY: return S_ISDIR(now->st_mode);
    case ENTRY_FILE: return S_ISREG(now->st_mode);
    case ENTRY_SYMLINK: return S_ISLNK(now->st_mode);
    case ENTRY_FIFO: return S_ISFIFO(now->st_mode);
    case ENTRY_SOCKET: return S_ISSOCK(now->st_mode);
    case ENTRY_CHAR_DEVICE: return S_ISCHR(now->st_mode);
    case ENTRY_BLOCK_DEVICE: return S_ISBLK(now->st_mode);
    case ENTRY_HARDLINK: return false;
    }
    alb_unreachable();
}

static struct alb_status op_set_meta(struct replay *r, const struct journal_op *op,
                                     const char *path)
{
    const struct manifest_entry *e = &r->manifest.entries[op->entry];
    const char *name;
    struct stat now;
    int dir_fd;
    int fd;
    struct alb_status st = dirs_parent(&r->dirs, path, &dir_fd, &name);

    if (alb_failed(st))
        return conflict_or(r, path, st);
    fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return conflict_or(r, path, alb_fail_sys("opening a path of the target"));
    if (fstat(fd, &now) != 0)
        st = alb_fail_sys("asking about a path of the target");
    else if (!is_as_entry(&now, e))
        st = alb_status_from_errno(EEXIST, "setting metadata");
    else
        st = meta_set(fd, e, false, &r->losses);
    close(fd);
    return alb_failed(st) ? conflict_or(r, path, st) : st;
}
