/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage_meta.c – sets metadata through a descriptor, so that no name is resolved twice.
 *
 * The order matters: a change of owner clears set-id bits and capabilities, an ACL changes the
 * group's bits.  So owner, attributes, mode, times.
 */
#include "image/stage_meta.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "image/scan_xattr.h"

enum { SET_IDS = S_ISUID | S_ISGID, PROC_PATH_SIZE = 40 };

static bool is_privileged(void);
static bool is_settable(const char *xattr);
static bool is_automatic(const char *xattr);
static bool is_same_xattr(const struct xattr *a, const struct xattr *b);
static bool lacks_xattrs(const struct meta *now, const struct manifest_entry *e,
                         struct meta_losses *losses);
static bool has_more_xattrs(const struct meta *now, const struct manifest_entry *e);
static const struct xattr *find_xattr(const struct xattr *list, size_t count, const char *name);
static uint16_t mode_for(const struct manifest_entry *e, bool owner_right);
static struct alb_status set_owner(int fd, const struct stat *now, const struct manifest_entry *e,
                                   bool *right, bool *touched);
static struct alb_status set_xattrs(int fd, const struct manifest_entry *e, bool fresh,
                                    bool *touched, struct meta_losses *losses);
static struct alb_status set_mode(int fd, uint16_t mode);

struct alb_status meta_set(int fd, const struct manifest_entry *e, bool fresh,
                           struct meta_losses *losses)
{
    struct stat now;
    bool owner_right = true;
    bool touched = false;
    struct alb_status st;

    if (fault_hits("meta.set"))
        return alb_status_from_errno(EIO, "setting metadata");
    if (fstat(fd, &now) != 0)
        return alb_fail_sys("asking about a file of the target");
    st = set_owner(fd, &now, e, &owner_right, &touched);
    if (!alb_failed(st) && (e->xattr_count > 0 || !fresh))
        st = set_xattrs(fd, e, fresh, &touched, losses);
    if (alb_failed(st))
        return st;
    if (!owner_right)
        losses->owners++;
    uint16_t mode = mode_for(e, owner_right);
    if (e->type != ENTRY_SYMLINK && (touched || (now.st_mode & 07777) != mode))
        st = set_mode(fd, mode);
    if (alb_failed(st))
        return st;
    if (now.st_mtim.tv_sec == e->mtime_s && now.st_mtim.tv_nsec == (long)e->mtime_ns)
        return ALB_STATUS_OK;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {e->mtime_s, (long)e->mtime_ns}};
    if (utimensat(fd, "", times, AT_EMPTY_PATH) != 0)
        return alb_fail_sys("setting the time of a file");
    return ALB_STATUS_OK;
}

bool meta_differs(const struct meta *now, const struct manifest_entry *e,
                  struct meta_losses *losses)
{
    bool owner_right = now->uid == e->uid && now->gid == e->gid;

    if (!owner_right && is_privileged())
        return true;
    losses->owners += owner_right ? 0 : 1;
    /* Both in any case: what cannot be set is to be counted. */
    bool lacks = lacks_xattrs(now, e, losses);
    return lacks || has_more_xattrs(now, e) || now->mtime_s != e->mtime_s ||
           now->mtime_ns != e->mtime_ns ||
           (e->type != ENTRY_SYMLINK && now->mode != mode_for(e, owner_right));
}

static bool lacks_xattrs(const struct meta *now, const struct manifest_entry *e,
                         struct meta_losses *losses)
{
    bool lacks = false;

    for (size_t i = 0; i < e->xattr_count; i++) {
        const struct xattr *want = &e->xattrs[i];

        if (is_settable(want->name))
            lacks |= !is_same_xattr(find_xattr(now->xattrs, now->xattr_count, want->name), want);
        else
            losses->xattrs++;
    }
    return lacks;
}

static bool has_more_xattrs(const struct meta *now, const struct manifest_entry *e)
{
    for (size_t i = 0; i < now->xattr_count; i++)
        if (is_settable(now->xattrs[i].name) && !is_automatic(now->xattrs[i].name) &&
            find_xattr(e->xattrs, e->xattr_count, now->xattrs[i].name) == NULL)
            return true;
    return false;
}

struct alb_status meta_forget_defaults(int fd)
{
    if (fremovexattr(fd, "system.posix_acl_default") == 0 || errno == ENODATA || errno == ENOTSUP)
        return ALB_STATUS_OK;
    return alb_fail_sys("removing the default ACL of the stage");
}

static bool is_privileged(void)
{
    return geteuid() == 0;
}

/* Without privilege security. and trusted. are not to be set, perhaps not even to be seen. */
static bool is_settable(const char *xattr)
{
    return is_privileged() || strncmp(xattr, "user.", strlen("user.")) == 0 ||
           strncmp(xattr, "system.", strlen("system.")) == 0;
}

/* The label that the system puts on by itself is nobody's difference. */
static bool is_automatic(const char *xattr)
{
    return strcmp(xattr, "security.selinux") == 0;
}

static bool is_same_xattr(const struct xattr *a, const struct xattr *b)
{
    return a != NULL && a->size == b->size &&
           (a->size == 0 || memcmp(a->value, b->value, a->size) == 0);
}

static uint16_t mode_for(const struct manifest_entry *e, bool owner_right)
{
    return (uint16_t)(owner_right || e->type == ENTRY_DIRECTORY ? e->mode : e->mode & ~SET_IDS);
}

static struct alb_status set_owner(int fd, const struct stat *now, const struct manifest_entry *e,
                                   bool *right, bool *touched)
{
    if (now->st_uid == e->uid && now->st_gid == e->gid)
        return ALB_STATUS_OK;
    *touched = true;
    if (fchownat(fd, "", e->uid, e->gid, AT_EMPTY_PATH) == 0)
        return ALB_STATUS_OK;
    /* EINVAL: the id does not exist in this user namespace. */
    if (errno != EPERM && errno != EINVAL && errno != EACCES)
        return alb_fail_sys("setting the owner of a file");
    *right = false;
    return ALB_STATUS_OK;
}

static const char *proc_path(int fd, char out[PROC_PATH_SIZE])
{
    (void)snprintf(out, PROC_PATH_SIZE, "/proc/self/fd/%d", fd);
    return out;
}

static bool is_unprivileged_error(void)
{
    return errno == EPERM || errno == EACCES || errno == ENOTSUP || errno == EINVAL;
}

static const struct xattr *find_xattr(const struct xattr *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

/* Remove what the entry has not; what cannot be removed is counted like what cannot be set. */
static struct alb_status remove_xattrs(const char *path, const struct manifest_entry *e,
                                       const struct xattr *now, size_t count,
                                       struct meta_losses *losses)
{
    for (size_t i = 0; i < count; i++) {
        if (find_xattr(e->xattrs, e->xattr_count, now[i].name) != NULL || is_automatic(now[i].name))
            continue;
        if (removexattr(path, now[i].name) == 0 || errno == ENODATA)
            continue;
        if (!is_unprivileged_error())
            return alb_fail_sys("removing an extended attribute");
        losses->xattrs++;
    }
    return ALB_STATUS_OK;
}

static struct alb_status set_xattrs(int fd, const struct manifest_entry *e, bool fresh,
                                    bool *touched, struct meta_losses *losses)
{
    char path[PROC_PATH_SIZE];
    AUTO_FREE struct xattr *now = NULL;
    size_t count = 0;
    struct alb_status st = ALB_STATUS_OK;

    proc_path(fd, path);
    if (!fresh)
        st = xattrs_read(fd, "", &now, &count);
    if (!alb_failed(st))
        st = remove_xattrs(path, e, now, count, losses);
    for (size_t i = 0; i < e->xattr_count && !alb_failed(st); i++) {
        const struct xattr *want = &e->xattrs[i];
        const struct xattr *is = find_xattr(now, count, want->name);

        /* A change of owner may have removed a capability, so after one all are set. */
        if (!*touched && is_same_xattr(is, want))
            continue;
        *touched = true;
        if (setxattr(path, want->name, want->value, want->size, 0) == 0)
            continue;
        if (!is_unprivileged_error())
            return alb_fail_sys("setting an extended attribute");
        losses->xattrs++;
    }
    return st;
}

static struct alb_status set_mode(int fd, uint16_t mode)
{
    char path[PROC_PATH_SIZE];

    if (fchmod(fd, mode) == 0)
        return ALB_STATUS_OK;
    /* fchmod() refuses O_PATH descriptors; their name in /proc stands for the object itself. */
    if (errno != EBADF || chmod(proc_path(fd, path), mode) != 0)
        return alb_fail_sys("setting the mode of a file");
    return ALB_STATUS_OK;
}
