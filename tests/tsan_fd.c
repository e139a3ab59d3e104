/* SPDX-License-Identifier: Apache-2.0 */
/* tests/tsan_fd.c – lets ThreadSanitizer see which descriptors openat() and opendir() make.
 *
 * It knows those of open(), not those of openat() and opendir() (gcc 12): when a worker gets the
 * number of a socket that the loop has just closed, its close() looks like a race with the loop's
 * use of the old one.  In TSan builds every program is linked with these, which go by open(),
 * unless it has its own (support/sysfault.h).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

__attribute__((weak)) int openat(int dir_fd, const char *path, int flags, ...)
{
    char whole[PATH_MAX + 32];
    va_list more;

    va_start(more, flags);
    bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = makes ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (path[0] == '/' || dir_fd == AT_FDCWD)
        return open(path, flags, mode);
    int size = snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", dir_fd, path);
    if (size < 0 || (size_t)size >= sizeof whole) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(whole, flags, mode);
}

__attribute__((weak)) DIR *opendir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);

    return fd < 0 ? NULL : fdopendir(fd); /* which cannot fail for a directory */
}
