/* SPDX-License-Identifier: Apache-2.0 */
/* image/scan_open.c – openat2 where the kernel has it, component by component where it has not. */

#include "image/scan_open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"

static int open_quietly(int top_fd, const char *path, int flags);
static int open_at_once(int top_fd, const char *path, int flags);
static int open_by_steps(int top_fd, const char *path, int flags);

int beneath_open(int top_fd, const char *path, int flags)
{
    if (path[0] == '\0')
        path = ".";
    int fd = open_quietly(top_fd, path, flags | O_NOATIME);
    if (fd < 0 && errno == EPERM) /* not the owner: the access time is the kernel's to set */
        fd = open_quietly(top_fd, path, flags);
    return fd;
}

/* A container's filter may forbid openat2 with EPERM or ENOSYS; the slow way asks for no leave. */
static int open_quietly(int top_fd, const char *path, int flags)
{
    int fd = open_at_once(top_fd, path, flags);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EAGAIN))
        fd = open_by_steps(top_fd, path, flags);
    return fd;
}

static int open_at_once(int top_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    return (int)syscall(SYS_openat2, top_fd, path, &how, sizeof(how));
}

static int open_by_steps(int top_fd, const char *path, int flags)
{
    AUTO_FREE char *copy = xstrdup(path);
    int at = top_fd;
    char *name = copy;
    for (char *slash; (slash = strchr(name, '/')) != NULL; name = slash + 1) {
        *slash = '\0';
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int why = errno;
        if (at != top_fd)
            close(at);
        errno = why;
        if (next < 0)
            return -1;
        at = next;
    }
    int fd = openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC);
    int why = errno;
    if (at != top_fd)
        close(at);
    errno = why;
    return fd;
}
