/* SPDX-License-Identifier: Apache-2.0 */
/* image/target.c – leaving a target into which nothing was brought. */
#include "image/target.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "image/stage_impl.h"

static bool holds_only_the_lock(int albedo_fd)
{
    const struct dirent *d;
    bool only = true;
    int fd = openat(albedo_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while ((d = readdir(dir)) != NULL)
        only = only && (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
                        strcmp(d->d_name, LOCK_FILE) == 0);
    closedir(dir);
    return only;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void target_leave(const char *target, bool made)
{
    int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int albedo =
        fd < 0 ? -1 : openat(fd, ALBEDO_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int lock = albedo < 0 ? -1 : openat(albedo, LOCK_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 && holds_only_the_lock(albedo))
        (void)unlinkat(albedo, LOCK_FILE, 0);
    if (albedo >= 0)
        (void)unlinkat(fd, ALBEDO_DIR, AT_REMOVEDIR); /* fails when there is anything in it */
    if (made)
        (void)rmdir(target); /* as this does */
    close_if_open(lock);
    close_if_open(albedo);
    close_if_open(fd);
}
