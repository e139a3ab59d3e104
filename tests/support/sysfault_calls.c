/* SPDX-License-Identifier: Apache-2.0 */
/* support/sysfault_calls.c – the system calls that can be made to fail, before libc's own. */
#include "support/sysfault_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define ALIAS(of) __attribute__((alias(#of)))

/* libc has some under several names; what a library was built with decides which it calls. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

bool sysfault_calls_are_ours(void)
{
    return true;
}

static bool interrupted(void)
{
    return sysfault_hits(SYSFAULT_EINTR, EINTR);
}

/* RocksDB's diary LOG, which no data depends on: Debian's build ends the program with an assertion
 * when a write to it has failed (7.8.3), which is a death that tests/crash is about. */
static bool is_diary[1024];

static void note_opened(int fd, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (fd >= 0 && (size_t)fd < sizeof(is_diary))
        is_diary[fd] = slash != NULL && strcmp(slash, "/LOG") == 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static int open_any(int dir_fd, const char *path, int flags, mode_t mode)
{
    bool makes = (flags & O_CREAT) != 0;

    if ((flags & O_PATH) == 0 &&
        (sysfault_hits(SYSFAULT_OPEN, EMFILE) || (makes && sysfault_hits(SYSFAULT_FULL, ENOSPC))))
        return -1;
    int fd = (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    note_opened(fd, path);
    return fd;
}

int openat(int dir_fd, const char *path, int flags, ...)
{
    va_list more;

    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_any(dir_fd, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list more;

    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_any(AT_FDCWD, path, flags, mode);
}

ALIAS(open) int open64(const char *path, int flags, ...);
ALIAS(openat) int openat64(int dir_fd, const char *path, int flags, ...);

static bool name_fails(void)
{
    return sysfault_hits(SYSFAULT_NAME, EIO) || sysfault_hits(SYSFAULT_FULL, ENOSPC);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return name_fails() ? -1 : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return renameat2(from_fd, from, to_fd, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    return name_fails() ? -1 : (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int symlinkat(const char *target, int dir_fd, const char *path)
{
    return name_fails() ? -1 : (int)syscall(SYS_symlinkat, target, dir_fd, path);
}

int mkdirat(int dir_fd, const char *path, mode_t mode)
{
    return name_fails() ? -1 : (int)syscall(SYS_mkdirat, dir_fd, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

static mode_t type_of(int fd)
{
    struct stat about;
    int kept = errno;
    bool known = syscall(SYS_fstat, fd, &about) == 0;

    errno = kept;
    return known ? about.st_mode & S_IFMT : 0;
}

/* What meets faults: S_IFREG, S_IFSOCK, or 0 for nothing. */
static mode_t concern(int fd)
{
    mode_t type = type_of(fd);
    bool spared = fd >= 0 && (size_t)fd < sizeof(is_diary) && is_diary[fd];

    return type == S_IFSOCK || (type == S_IFREG && !spared) ? type : 0;
}

/* ---- bytes of files and sockets -------------------------------------------------------------- */

struct span {
    bool fails;
    size_t size;
};

/* What happens to a call that would move `size` bytes out of `fd`. */
static struct span reading(int fd, size_t size)
{
    mode_t type = concern(fd);

    if (type == 0)
        return (struct span){false, size};
    bool file = type == S_IFREG;
    if (interrupted() ||
        (file ? sysfault_hits(SYSFAULT_READ, EIO) : sysfault_hits(SYSFAULT_RECV, ECONNRESET)))
        return (struct span){true, 0};
    return (struct span){false,
                         sysfault_portion(file ? SYSFAULT_READ_SHORT : SYSFAULT_RECV_SHORT, size)};
}

static struct span writing(int fd, size_t size)
{
    mode_t type = concern(fd);

    if (type == 0)
        return (struct span){false, size};
    bool file = type == S_IFREG;
    if (interrupted() ||
        (file ? sysfault_hits(SYSFAULT_WRITE, EIO) || sysfault_hits(SYSFAULT_FULL, ENOSPC)
              : sysfault_hits(SYSFAULT_SEND, EPIPE)))
        return (struct span){true, 0};
    return (struct span){false,
                         sysfault_portion(file ? SYSFAULT_WRITE_SHORT : SYSFAULT_SEND_SHORT, size)};
}

ssize_t read(int fd, void *out, size_t size)
{
    struct span s = reading(fd, size);

    return s.fails ? -1 : syscall(SYS_read, fd, out, s.size);
}

ssize_t pread(int fd, void *out, size_t size, off_t at)
{
    struct span s = reading(fd, size);

    return s.fails ? -1 : syscall(SYS_pread64, fd, out, s.size, at);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    struct span s = writing(fd, size);

    return s.fails ? -1 : syscall(SYS_write, fd, bytes, s.size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    struct span s = writing(fd, size);

    return s.fails ? -1 : syscall(SYS_pwrite64, fd, bytes, s.size, at);
}

ALIAS(pread) ssize_t pread64(int fd, void *out, size_t size, off_t at);
ALIAS(pwrite) ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at);

/* The first parts of `all` that hold `size` bytes; the last one of them cut. */
static int cut_parts(const struct iovec *all, int count, size_t size, struct iovec *out)
{
    int used = 0;

    while (used < count && size > 0) {
        out[used] = all[used];
        if (out[used].iov_len > size)
            out[used].iov_len = size;
        size -= out[used++].iov_len;
    }
    return used;
}

static size_t parts_size(const struct iovec *parts, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    return size;
}

ssize_t preadv(int fd, const struct iovec *parts, int count, off_t at)
{
    struct iovec some[IOV_MAX];
    struct span s = reading(fd, parts_size(parts, count));

    return s.fails ? -1
                   : syscall(SYS_preadv, fd, some, cut_parts(parts, count, s.size, some), at, 0);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    struct iovec some[IOV_MAX];
    struct span s = writing(fd, parts_size(parts, count));

    return s.fails ? -1
                   : syscall(SYS_pwritev, fd, some, cut_parts(parts, count, s.size, some), at, 0);
}

ssize_t recv(int fd, void *out, size_t size, int flags)
{
    struct span s = reading(fd, size);

    return s.fails ? -1 : syscall(SYS_recvfrom, fd, out, s.size, flags, NULL, NULL);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    struct span s = writing(fd, size);

    return s.fails ? -1 : syscall(SYS_sendto, fd, bytes, s.size, flags, NULL, 0);
}

/* ---- room and durability --------------------------------------------------------------------- */

int fallocate(int fd, int mode, off_t at, off_t size)
{
    return sysfault_hits(SYSFAULT_FULL, ENOSPC) ? -1
                                                : (int)syscall(SYS_fallocate, fd, mode, at, size);
}

/* The one call that returns its error. */
int posix_fallocate(int fd, off_t at, off_t size)
{
    return fallocate(fd, 0, at, size) == 0 ? 0 : errno;
}

/* Nobody here loses power, and thousands of real ones would take minutes: they only fail. */
int fsync(int fd)
{
    (void)fd;
    return sysfault_hits(SYSFAULT_SYNC, EIO) ? -1 : 0;
}

ALIAS(fsync) int fdatasync(int fd);
ALIAS(fsync) int syncfs(int fd);

int flock(int fd, int operation)
{
    return (operation & LOCK_NB) == 0 && interrupted() ? -1
                                                       : (int)syscall(SYS_flock, fd, operation);
}

/* ---- sockets --------------------------------------------------------------------------------- */

int socket(int domain, int type, int protocol)
{
    return sysfault_hits(SYSFAULT_SOCKET, EMFILE)
               ? -1
               : (int)syscall(SYS_socket, domain, type, protocol);
}

/* A call with nobody to accept is no chance to fail; who was not accepted stays in the queue. */
int accept4(int fd, struct sockaddr *from, socklen_t *size, int flags)
{
    struct pollfd queue = {.fd = fd, .events = POLLIN};

    if (poll(&queue, 1, 0) == 1 && (interrupted() || sysfault_hits(SYSFAULT_SOCKET, EMFILE)))
        return -1;
    return (int)syscall(SYS_accept4, fd, from, size, flags);
}

int bind(int fd, const struct sockaddr *at, socklen_t size)
{
    return sysfault_hits(SYSFAULT_BIND, EADDRINUSE) ? -1 : (int)syscall(SYS_bind, fd, at, size);
}

int listen(int fd, int backlog)
{
    return sysfault_hits(SYSFAULT_BIND, EADDRINUSE) ? -1 : (int)syscall(SYS_listen, fd, backlog);
}

int connect(int fd, const struct sockaddr *to, socklen_t size)
{
    return sysfault_hits(SYSFAULT_CONNECT, ENETUNREACH) ? -1
                                                        : (int)syscall(SYS_connect, fd, to, size);
}
