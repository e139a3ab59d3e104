/* SPDX-License-Identifier: Apache-2.0 */
/* crash/powerloss_track.c – what is done to names and what is synced, written down. */
#include "crash/powerloss_track.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { COPY_STEP = 64 << 10, NAME_MOST = 255 };
enum fate { DIES_BEFORE, DIES_AFTER, DIES_TORN, FATES };

static struct {
    pthread_mutex_t lock;
    char dir[PATH_MAX];
    size_t dir_size; /* 0: nothing is watched */
    int shadow_fd;   /* -1: nothing is kept   */
    int log_fd;
    unsigned long at, event; /* at 0: lives on */
    unsigned long fate;
    int saved_errno;
} track = {.lock = PTHREAD_MUTEX_INITIALIZER, .shadow_fd = -1, .log_fd = -1};

_Noreturn static void give_up(const char *what)
{
    dprintf(2, "powerloss: %s: %m\n", what);
    _exit(99);
}

static int open_at(int dir_fd, const char *path, int flags)
{
    return (int)syscall(SYS_openat, dir_fd, path, flags | O_CLOEXEC, 0600);
}

static void shadow_open(const char *shadow)
{
    track.shadow_fd = open_at(AT_FDCWD, shadow, O_RDONLY | O_DIRECTORY);
    if (track.shadow_fd < 0)
        give_up(shadow);
    syscall(SYS_mkdirat, track.shadow_fd, "synced", 0700);
    syscall(SYS_mkdirat, track.shadow_fd, "grave", 0700);
    track.log_fd = open_at(track.shadow_fd, "log", O_WRONLY | O_CREAT | O_APPEND);
    if (track.log_fd < 0)
        give_up("making the log");
}

__attribute__((constructor)) static void track_begin(void)
{
    const char *dir = getenv(POWERLOSS_DIR);
    const char *shadow = getenv(POWERLOSS_SHADOW);
    const char *at = getenv(POWERLOSS_AT);
    const char *fate = getenv(POWERLOSS_FATE);

    if (dir == NULL || realpath(dir, track.dir) == NULL)
        return;
    if (shadow != NULL)
        shadow_open(shadow);
    track.at = at == NULL ? 0 : strtoul(at, NULL, 10);
    track.fate = fate == NULL ? 0 : strtoul(fate, NULL, 10);
    track.dir_size = strlen(track.dir);
}

__attribute__((destructor)) static void track_finish(void)
{
    int fd;

    if (track.dir_size == 0 || track.shadow_fd < 0)
        return;
    fd = open_at(track.shadow_fd, "events", O_WRONLY | O_CREAT | O_TRUNC);
    dprintf(fd, "%lu\n", track.event);
    close(fd);
}

/* ---- places ---------------------------------------------------------------------------------- */

bool fd_is_inside(int fd)
{
    int kept = errno;
    char link[64], path[PATH_MAX];
    ssize_t size;

    if (track.dir_size == 0)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    errno = kept;
    if (size < (ssize_t)track.dir_size || memcmp(path, track.dir, track.dir_size) != 0)
        return false;
    return (size_t)size == track.dir_size || path[track.dir_size] == '/';
}

struct place place_of(int dir_fd, const char *path)
{
    struct place p = {.dir_fd = -1};
    char parent[PATH_MAX];
    size_t size = strnlen(path, sizeof parent - 1);
    int kept = errno;
    struct stat about;

    while (size > 1 && path[size - 1] == '/')
        size--;
    memcpy(parent, path, size);
    parent[size] = '\0';
    char *slash = strrchr(parent, '/');
    const char *name = slash == NULL ? parent : slash + 1;
    if (track.dir_size == 0 || name[0] == '\0' || strlen(name) > NAME_MOST)
        return p;
    memcpy(p.name, name, strlen(name) + 1);
    if (slash == NULL)
        snprintf(parent, sizeof parent, ".");
    else
        slash[slash == parent] = '\0';
    p.dir_fd = open_at(dir_fd, parent, O_PATH | O_DIRECTORY);
    if (p.dir_fd >= 0 && fd_is_inside(p.dir_fd) && fstat(p.dir_fd, &about) == 0) {
        p.inside = true;
        p.dir = about.st_ino;
    } else {
        place_drop(&p);
    }
    errno = kept;
    return p;
}

void place_drop(struct place *p)
{
    int kept = errno;

    if (p->dir_fd >= 0)
        close(p->dir_fd);
    p->dir_fd = -1;
    errno = kept;
}

static bool place_stat(const struct place *p, struct stat *out)
{
    int kept = errno;
    bool there = fstatat(p->dir_fd, p->name, out, AT_SYMLINK_NOFOLLOW) == 0;

    errno = kept;
    return there;
}

uint64_t place_ino(const struct place *p)
{
    struct stat about;

    return place_stat(p, &about) ? about.st_ino : 0;
}

/* ---- death ----------------------------------------------------------------------------------- */

_Noreturn static void die(void)
{
    for (;;)
        syscall(SYS_kill, getpid(), SIGKILL);
}

static bool is_fate(enum fate fate)
{
    return track.event == track.at && track.fate % FATES == fate;
}

void event_begin(void)
{
    int kept = errno;

    pthread_mutex_lock(&track.lock);
    track.event++;
    if (is_fate(DIES_BEFORE))
        die();
    errno = kept;
}

size_t event_torn(size_t size)
{
    return size > 0 && is_fate(DIES_TORN) ? track.fate / FATES % size : size;
}

void event_end(void)
{
    int kept = errno;

    if (track.event == track.at)
        die();
    pthread_mutex_unlock(&track.lock);
    errno = kept;
}

/* ---- notes ----------------------------------------------------------------------------------- */

void note_op(enum powerloss_kind kind, const struct place *p, const struct place *to, uint64_t ino)
{
    struct powerloss_op op = {.kind = kind, .ino = ino};
    int kept = errno;

    if (track.log_fd < 0)
        return;
    if (p != NULL) {
        op.dir = p->dir;
        memcpy(op.name, p->name, sizeof op.name);
    }
    if (to != NULL) {
        op.to_dir = to->dir;
        memcpy(op.to_name, to->name, sizeof op.to_name);
    }
    if (syscall(SYS_write, track.log_fd, &op, sizeof op) != (long)sizeof op)
        give_up("writing the log");
    errno = kept;
}

static void copy_bytes(int from, int to)
{
    static char bytes[COPY_STEP]; /* under the lock */
    long n;

    while ((n = syscall(SYS_read, from, bytes, sizeof bytes)) > 0)
        if (syscall(SYS_write, to, bytes, n) != n)
            give_up("keeping what was synced");
}

/* `path`, an open file of `about`, as SHADOW/synced/INO; whole or not at all. */
static void snapshot(int dir_fd, const char *path, const struct stat *about)
{
    const struct timespec times[2] = {about->st_mtim, about->st_mtim};
    char name[64];
    int from = open_at(dir_fd, path, O_RDONLY);
    int to = open_at(track.shadow_fd, "synced/new", O_WRONLY | O_CREAT | O_TRUNC);

    if (from < 0 || to < 0)
        give_up("keeping what was synced");
    copy_bytes(from, to);
    fchmod(to, about->st_mode & 07777);
    futimens(to, times);
    close(from);
    close(to);
    snprintf(name, sizeof name, "synced/%llu", (unsigned long long)about->st_ino);
    if (syscall(SYS_renameat, track.shadow_fd, "synced/new", track.shadow_fd, name) != 0)
        give_up("keeping what was synced");
}

void note_sync(int fd)
{
    int kept = errno;
    struct stat about;
    char link[64];

    if (track.shadow_fd < 0 || fstat(fd, &about) != 0)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (S_ISDIR(about.st_mode))
        note_op(POWERLOSS_SYNC_DIR, &(struct place){.dir = about.st_ino}, NULL, 0);
    else if (S_ISREG(about.st_mode))
        snapshot(AT_FDCWD, link, &about);
    errno = kept;
}

/* Takes the descriptor. */
static void snapshot_tree(int fd)
{
    DIR *dir = fdopendir(fd);

    if (dir == NULL)
        give_up("listing what is synced");
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        struct stat about;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(fd, e->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(about.st_mode))
            snapshot_tree(open_at(fd, e->d_name, O_RDONLY | O_DIRECTORY));
        else if (S_ISREG(about.st_mode))
            snapshot(fd, e->d_name, &about);
    }
    closedir(dir);
}

void note_sync_all(void)
{
    int kept = errno;

    if (track.shadow_fd < 0)
        return;
    snapshot_tree(open_at(AT_FDCWD, track.dir, O_RDONLY | O_DIRECTORY));
    note_op(POWERLOSS_SYNC_ALL, NULL, NULL, 0);
    errno = kept;
}

/* ---- graves ---------------------------------------------------------------------------------- */

static void grave_name(uint64_t ino, char out[64])
{
    snprintf(out, 64, "grave/%llu", (unsigned long long)ino);
}

void bury(const struct place *p)
{
    struct stat about;
    char grave[64];
    int kept = errno;

    if (track.shadow_fd < 0 || !place_stat(p, &about) || S_ISDIR(about.st_mode) ||
        about.st_nlink != 1)
        return;
    grave_name(about.st_ino, grave);
    if (syscall(SYS_linkat, p->dir_fd, p->name, track.shadow_fd, grave, 0) != 0)
        give_up("keeping what is removed");
    errno = kept;
}

static bool is_empty(const struct place *p)
{
    int fd = open_at(p->dir_fd, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    unsigned entries = 0;

    if (dir == NULL)
        return false;
    while (readdir(dir) != NULL)
        entries++;
    closedir(dir);
    return entries == 2;
}

int bury_dir(const struct place *p)
{
    char grave[64];
    uint64_t ino = place_ino(p);

    grave_name(ino, grave);
    if (track.shadow_fd < 0 || ino == 0 || !is_empty(p)) /* it goes, or says why not */
        return (int)syscall(SYS_unlinkat, p->dir_fd, p->name, AT_REMOVEDIR);
    return (int)syscall(SYS_renameat, p->dir_fd, p->name, track.shadow_fd, grave);
}
