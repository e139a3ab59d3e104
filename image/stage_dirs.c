/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage_dirs.c – openat2 where there is one, a step for each component elsewhere. */
#include "image/stage_dirs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"

static int open_by_steps(int top_fd, const char *path, int flags);
static struct alb_status make_step(int *at, const char *name, unsigned mode);
static struct alb_status clear(int fd);

void dirs_init(struct dirs *d, int top_fd)
{
    d->top_fd = top_fd;
    d->fd = -1;
}

void dirs_release(struct dirs *d)
{
    dirs_forget(d);
}

void dirs_forget(struct dirs *d)
{
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

struct alb_status dirs_parent(struct dirs *d, const char *path, int *out_fd, const char **out_name)
{
    size_t length = dirs_parent_length(path);
    const char *name = path + length + (length > 0 ? 1 : 0);

    if (length == 0) {
        *out_fd = d->top_fd;
        *out_name = *name == '\0' ? "." : name;
        return ALB_STATUS_OK;
    }
    if (d->fd < 0 || strncmp(d->path, path, length) != 0 || d->path[length] != '\0') {
        dirs_forget(d);
        memcpy(d->path, path, length);
        d->path[length] = '\0';
        d->fd = dirs_open_path(d->top_fd, d->path, O_DIRECTORY);
        if (d->fd < 0)
            return alb_fail_sys("opening a directory of the target");
    }
    *out_fd = d->fd;
    *out_name = name;
    return ALB_STATUS_OK;
}

bool dirs_is_absent(struct alb_status st)
{
    return st.sys == ENOENT || st.sys == ENOTDIR || st.sys == ELOOP;
}

size_t dirs_parent_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? 0 : (size_t)(slash - path);
}

int dirs_open_path(int top_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_PATH | O_NOFOLLOW | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    int fd;

    if (path[0] == '\0')
        path = ".";
    fd = (int)syscall(SYS_openat2, top_fd, path, &how, sizeof(how));
    /* Old kernels lack it and the filters of old containers forbid it;
     * EAGAIN is a race it reports. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EAGAIN))
        fd = open_by_steps(top_fd, path, flags);
    return fd;
}

static int open_by_steps(int top_fd, const char *path, int flags)
{
    AUTO_FREE char *copy = xstrdup(path);
    char *name = copy;
    int at = top_fd;

    for (char *slash = strchr(name, '/'); at >= 0; slash = strchr(name, '/')) {
        int more = slash != NULL ? O_DIRECTORY : flags;
        int next;
        int why;

        if (slash != NULL)
            *slash = '\0';
        next = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | more);
        why = errno;
        if (at != top_fd)
            close(at);
        errno = why;
        at = next;
        if (slash == NULL)
            break;
        name = slash + 1;
    }
    return at;
}

struct alb_status dirs_make(int top_fd, const char *path, unsigned mode, int *out)
{
    AUTO_FREE char *copy = xstrdup(path);
    char *rest = copy;
    int at = openat(top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (at < 0)
        return alb_fail_sys("opening a directory of the target");
    for (char *name = strsep(&rest, "/"); name != NULL; name = strsep(&rest, "/")) {
        struct alb_status st = *name == '\0' ? ALB_STATUS_OK : make_step(&at, name, mode);

        if (alb_failed(st)) {
            close(at);
            return st;
        }
    }
    *out = at;
    return ALB_STATUS_OK;
}

/* Step from the open directory *at into `name`, which is made when it is not there. */
static struct alb_status make_step(int *at, const char *name, unsigned mode)
{
    int next;

    if (fault_hits("dirs.make"))
        return alb_status_from_errno(EIO, "making a directory below .albedo");
    if (mkdirat(*at, name, mode) != 0 && errno != EEXIST)
        return alb_fail_sys("making a directory below .albedo");
    next = openat(*at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0)
        return alb_fail_sys("opening a directory below .albedo");
    close(*at);
    *at = next;
    return ALB_STATUS_OK;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as what we staged */
struct alb_status dirs_remove(int fd, const char *name)
{
    struct alb_status st;
    int inner;

    if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
        return ALB_STATUS_OK;
    if (errno != EISDIR && errno != EPERM)
        return alb_fail_sys("removing an old stage");
    inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0)
        return alb_fail_sys("removing an old stage");
    st = clear(inner);
    if (!alb_failed(st) && unlinkat(fd, name, AT_REMOVEDIR) != 0)
        st = alb_fail_sys("removing an old stage");
    return st;
}

/* Remove all that is in the open directory, and close it. */
/* NOLINTNEXTLINE(misc-no-recursion): as above */
static struct alb_status clear(int fd)
{
    DIR *dir = fdopendir(fd);
    struct alb_status st = ALB_STATUS_OK;

    if (dir == NULL) {
        st = alb_fail_sys("reading a directory below .albedo");
        close(fd);
        return st;
    }
    for (struct dirent *e = readdir(dir); e != NULL && !alb_failed(st); e = readdir(dir))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            st = dirs_remove(fd, e->d_name);
    closedir(dir);
    return st;
}
