/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply_compare.c – what is at a path now, held against what was applied and what shall come.
 *
 * Bytes are read only where neither the scan nor the applied record has seen the file in exactly
 * this state (inode, size, times).
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "image/apply_impl.h"
#include "image/scan_xattr.h"

static const struct manifest_entry *old_entry(const struct prepare *p, const char *path);
static bool is_type(const struct found *f, enum entry_type type);

struct alb_status prepare_look(struct prepare *p, const char *path, struct found *out)
{
    struct found f = {.path = path};
    struct alb_status st = dirs_parent(&p->dirs, path, &f.dir_fd, &f.name);

    if (alb_failed(st))
        return dirs_is_absent(st) ? alb_fail(ALB_NOT_FOUND, "its directory is not there") : st;
    if (statx(f.dir_fd, f.name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &f.now) != 0)
        return alb_fail_sys("asking about a path of the target");
    *out = f;
    return ALB_STATUS_OK;
}

static bool is_type(const struct found *f, enum entry_type type)
{
    static const unsigned modes[] = {
        [ENTRY_DIRECTORY] = S_IFDIR,   [ENTRY_FILE] = S_IFREG,        [ENTRY_SYMLINK] = S_IFLNK,
        [ENTRY_HARDLINK] = S_IFREG,    [ENTRY_FIFO] = S_IFIFO,        [ENTRY_SOCKET] = S_IFSOCK,
        [ENTRY_CHAR_DEVICE] = S_IFCHR, [ENTRY_BLOCK_DEVICE] = S_IFBLK};

    return (f->now.stx_mode & S_IFMT) == modes[type];
}

/* The scan's view of the same object, if nothing has happened to it since. */
static const struct scan_item *item_of(const struct prepare *p, const struct found *f)
{
    const struct scan_item *item = p->s->scan == NULL ? NULL : scan_find(p->s->scan, f->path);

    if (item == NULL || item->ino != f->now.stx_ino || item->mtime_s != f->now.stx_mtime.tv_sec ||
        item->mtime_ns != f->now.stx_mtime.tv_nsec || item->ctime_s != f->now.stx_ctime.tv_sec ||
        item->ctime_ns != f->now.stx_ctime.tv_nsec)
        return NULL;
    return item;
}

/* What the applied version had at `path`; for another name of a file, the file. */
static const struct manifest_entry *old_entry(const struct prepare *p, const char *path)
{
    const struct manifest_entry *e =
        p->has_old ? manifest_find(&p->old.applied.manifest, path) : NULL;

    if (e != NULL && e->type == ENTRY_HARDLINK)
        e = manifest_find(&p->old.applied.manifest, e->target);
    return e;
}

struct alb_status found_digest(struct prepare *p, const struct found *f, struct digest *out)
{
    struct alb_status st;
    int fd;

    if (item_of(p, f) != NULL && holdings_digest_of(p->s->holdings, f->path, out))
        return ALB_STATUS_OK;
    fd = openat(f->dir_fd, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return alb_fail_sys("opening a file of the target");
    st = content_digest(&p->content, fd, f->now.stx_size, out);
    close(fd);
    return st;
}

static struct alb_status has_target(const struct found *f, const char *target, bool *out)
{
    char text[MANIFEST_PATH_MAX + 2];
    ssize_t size = readlinkat(f->dir_fd, f->name, text, sizeof(text));

    if (size < 0)
        return alb_fail_sys("reading a symlink of the target");
    *out = (size_t)size == strlen(target) && memcmp(text, target, (size_t)size) == 0;
    return ALB_STATUS_OK;
}

struct alb_status found_has_content(struct prepare *p, const struct found *f,
                                    const struct manifest_entry *e, bool *out)
{
    struct digest found;
    struct alb_status st = ALB_STATUS_OK;

    *out = is_type(f, e->type);
    if (!*out)
        return st;
    switch (e->type) {
    case ENTRY_SYMLINK: return has_target(f, e->target, out);
    case ENTRY_FILE:
        *out = f->now.stx_size == e->size;
        if (*out)
            st = found_digest(p, f, &found);
        *out = *out && !alb_failed(st) && digest_equal(&found, &e->content);
        return st;
    case ENTRY_CHAR_DEVICE:
    case ENTRY_BLOCK_DEVICE:
        *out = f->now.stx_rdev_major == e->dev_major && f->now.stx_rdev_minor == e->dev_minor;
        return st;
    case ENTRY_DIRECTORY:
    case ENTRY_HARDLINK:
    case ENTRY_FIFO:
    case ENTRY_SOCKET: return st;
    }
    alb_unreachable();
}

struct alb_status found_is_ours(struct prepare *p, const struct found *f, bool *out)
{
    const struct manifest_entry *e = old_entry(p, f->path);
    struct stamp now = stamp_of_statx(&f->now);

    *out = false;
    if (e == NULL)
        return ALB_STATUS_OK;
    *out = e->type == ENTRY_FILE && is_type(f, ENTRY_FILE) &&
           stamp_equal(&now, &p->old.stamps[e - p->old.applied.manifest.entries]);
    return *out ? ALB_STATUS_OK : found_has_content(p, f, e, out);
}

struct alb_status found_differs(struct prepare *p, const struct found *f,
                                const struct manifest_entry *e, bool *out)
{
    const struct scan_item *item = item_of(p, f);
    AUTO_FREE struct xattr *read = NULL;
    struct meta now = {
        .mode = f->now.stx_mode & 07777,
        .uid = f->now.stx_uid,
        .gid = f->now.stx_gid,
        .mtime_s = f->now.stx_mtime.tv_sec,
        .mtime_ns = f->now.stx_mtime.tv_nsec,
    };

    if (item != NULL && item->type != ENTRY_HARDLINK) {
        now.xattrs = item->xattrs;
        now.xattr_count = item->xattr_count;
    } else {
        bool itself = strcmp(f->name, ".") == 0;
        struct alb_status st =
            xattrs_read(f->dir_fd, itself ? "" : f->name, &read, &now.xattr_count);

        if (alb_failed(st))
            return st;
        now.xattrs = read;
    }
    *out = meta_differs(&now, e, &p->losses);
    return ALB_STATUS_OK;
}
