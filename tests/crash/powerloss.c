/* SPDX-License-Identifier: Apache-2.0 */
/* crash/powerloss.c – stands between a program and the calls that change files; see powerloss.h. */
#include "crash/powerloss_track.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define ALIAS(of) __attribute__((visibility("default"), alias(#of)))

/* libc has each under several names; what the program was built with decides which it calls. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* ---- names ----------------------------------------------------------------------------------- */

static int open_watched(int dir_fd, const char *path, int flags, mode_t mode)
{
    struct place p = {.dir_fd = -1};
    bool was_there = true;
    int fd;

    if ((flags & (O_CREAT | O_TRUNC)) != 0 && (flags & O_TMPFILE) != O_TMPFILE)
        p = place_of(dir_fd, path);
    if (p.inside) {
        event_begin();
        was_there = place_ino(&p) != 0;
    }
    fd = (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    if (fd >= 0 && p.inside && !was_there)
        note_op(POWERLOSS_ADD, &p, NULL, place_ino(&p));
    if (p.inside)
        event_end();
    place_drop(&p);
    return fd;
}

static bool takes_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

EXPORT int openat(int dir_fd, const char *path, int flags, ...)
{
    va_list more;

    va_start(more, flags);
    mode_t mode = takes_mode(flags) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_watched(dir_fd, path, flags, mode);
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list more;

    va_start(more, flags);
    mode_t mode = takes_mode(flags) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_watched(AT_FDCWD, path, flags, mode);
}

EXPORT int __open_2(const char *path, int flags)
{
    return open_watched(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int dir_fd, const char *path, int flags)
{
    return open_watched(dir_fd, path, flags, 0);
}

ALIAS(open) int open64(const char *path, int flags, ...);
ALIAS(openat) int openat64(int dir_fd, const char *path, int flags, ...);
ALIAS(__open_2) int __open64_2(const char *path, int flags);
ALIAS(__openat_2) int __openat64_2(int dir_fd, const char *path, int flags);

/* What a call that makes a name does around itself. */
static struct place making(int dir_fd, const char *path)
{
    struct place p = place_of(dir_fd, path);

    if (p.inside)
        event_begin();
    return p;
}

static int made(struct place *p, long result)
{
    if (p->inside && result == 0)
        note_op(POWERLOSS_ADD, p, NULL, place_ino(p));
    if (p->inside)
        event_end();
    place_drop(p);
    return (int)result;
}

EXPORT int mkdirat(int dir_fd, const char *path, mode_t mode)
{
    struct place p = making(dir_fd, path);

    return made(&p, syscall(SYS_mkdirat, dir_fd, path, mode));
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

EXPORT int mknodat(int dir_fd, const char *path, mode_t mode, dev_t dev)
{
    struct place p = making(dir_fd, path);

    return made(&p, syscall(SYS_mknodat, dir_fd, path, mode, (unsigned)dev));
}

EXPORT int mkfifoat(int dir_fd, const char *path, mode_t mode)
{
    return mknodat(dir_fd, path, mode | S_IFIFO, 0);
}

EXPORT int symlinkat(const char *target, int dir_fd, const char *path)
{
    struct place p = making(dir_fd, path);

    return made(&p, syscall(SYS_symlinkat, target, dir_fd, path));
}

EXPORT int symlink(const char *target, const char *path)
{
    return symlinkat(target, AT_FDCWD, path);
}

EXPORT int linkat(int from_fd, const char *from, int dir_fd, const char *path, int flags)
{
    struct place p = making(dir_fd, path);

    return made(&p, syscall(SYS_linkat, from_fd, from, dir_fd, path, flags));
}

EXPORT int link(const char *from, const char *path)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, path, 0);
}

EXPORT int unlinkat(int dir_fd, const char *path, int flags)
{
    struct place p = making(dir_fd, path);
    int result;

    if (!p.inside) {
        place_drop(&p);
        return (int)syscall(SYS_unlinkat, dir_fd, path, flags);
    }
    if ((flags & AT_REMOVEDIR) != 0) {
        result = bury_dir(&p);
    } else {
        bury(&p);
        result = (int)syscall(SYS_unlinkat, dir_fd, path, flags);
    }
    if (result == 0)
        note_op(POWERLOSS_DROP, &p, NULL, 0);
    event_end();
    place_drop(&p);
    return result;
}

EXPORT int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

EXPORT int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

EXPORT int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    struct place a = place_of(from_fd, from);
    struct place b = place_of(to_fd, to);
    bool watched = a.inside && b.inside; /* in and out again: nobody does */
    uint64_t ino = watched ? place_ino(&a) : 0;
    int result;

    if (watched)
        event_begin();
    if (watched && (flags & RENAME_NOREPLACE) == 0 && place_ino(&b) != ino)
        bury(&b);
    result = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    if (watched && result == 0)
        note_op(POWERLOSS_MOVE, &a, &b, ino);
    if (watched)
        event_end();
    place_drop(&a);
    place_drop(&b);
    return result;
}

EXPORT int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return renameat2(from_fd, from, to_fd, to, 0);
}

EXPORT int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

EXPORT ssize_t write(int fd, const void *bytes, size_t size)
{
    bool inside = fd_is_inside(fd);
    ssize_t n;

    if (inside)
        event_begin();
    n = syscall(SYS_write, fd, bytes, inside ? event_torn(size) : size);
    if (inside)
        event_end();
    return n;
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    bool inside = fd_is_inside(fd);
    ssize_t n;

    if (inside)
        event_begin();
    n = syscall(SYS_pwrite64, fd, bytes, inside ? event_torn(size) : size, offset);
    if (inside)
        event_end();
    return n;
}

ALIAS(pwrite) ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset);

static size_t parts_size(const struct iovec *parts, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    return size;
}

/* Offset −1 is where the file stands. */
static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t offset)
{
    size_t size = parts_size(parts, count);
    size_t torn = event_torn(size);
    size_t done = 0;

    if (torn == size)
        return offset < 0 ? syscall(SYS_writev, fd, parts, count)
                          : syscall(SYS_pwritev, fd, parts, count, offset, 0);
    for (int i = 0; i < count && done < torn; i++) {
        size_t some = parts[i].iov_len < torn - done ? parts[i].iov_len : torn - done;

        if (offset < 0)
            syscall(SYS_write, fd, parts[i].iov_base, some);
        else
            syscall(SYS_pwrite64, fd, parts[i].iov_base, some, offset + (off_t)done);
        done += some;
    }
    return (ssize_t)done;
}

static ssize_t write_vector(int fd, const struct iovec *parts, int count, off_t offset)
{
    ssize_t n;

    if (!fd_is_inside(fd))
        return offset < 0 ? syscall(SYS_writev, fd, parts, count)
                          : syscall(SYS_pwritev, fd, parts, count, offset, 0);
    event_begin();
    n = write_parts(fd, parts, count, offset);
    event_end();
    return n;
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_vector(fd, parts, count, -1);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return write_vector(fd, parts, count, offset);
}

ALIAS(pwritev) ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset);

EXPORT int ftruncate(int fd, off_t size)
{
    bool inside = fd_is_inside(fd);
    int result;

    if (inside)
        event_begin();
    result = (int)syscall(SYS_ftruncate, fd, size);
    if (inside)
        event_end();
    return result;
}

ALIAS(ftruncate) int ftruncate64(int fd, off_t size);

EXPORT int truncate(const char *path, off_t size)
{
    struct place p = making(AT_FDCWD, path);
    int result = (int)syscall(SYS_truncate, path, size);

    if (p.inside)
        event_end();
    place_drop(&p);
    return result;
}

ALIAS(truncate) int truncate64(const char *path, off_t size);

/* ---- promises -------------------------------------------------------------------------------- */

/* The machine will not lose power, so the sync itself would be waiting for nothing. */
EXPORT int fsync(int fd)
{
    if (!fd_is_inside(fd))
        return (int)syscall(SYS_fsync, fd);
    event_begin();
    note_sync(fd);
    event_end();
    return 0;
}

ALIAS(fsync) int fdatasync(int fd);

EXPORT int syncfs(int fd)
{
    if (!fd_is_inside(fd))
        return (int)syscall(SYS_syncfs, fd);
    event_begin();
    note_sync_all();
    event_end();
    return 0;
}
