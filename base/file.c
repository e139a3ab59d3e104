/* SPDX-License-Identifier: Apache-2.0 */
/* base/file.c – whole small files, read and durably replaced. */
#include "base/file.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/fault.h"

/* One read(2); small enough to be read in one piece, large enough for most files of ours. */
enum { READ_STEP = 64 * 1024 };

/* True, with errno as a broken disk would leave it, when a test asked for a failure here. */
static bool breaks(const char *site)
{
    if (!fault_hits(site))
        return false;
    errno = EIO;
    return true;
}

static void close_keeping_errno(int fd)
{
    int kept = errno;

    (void)close(fd); /* nothing unsynced of ours depends on it */
    errno = kept;
}

/* Close an fd that goes out of scope. */
static void auto_close(const int *fd)
{
    if (*fd >= 0)
        close_keeping_errno(*fd);
}

/* ---- reading ---- */

static ssize_t read_some(int fd, void *out, size_t size)
{
    ssize_t n;

    if (breaks("file.read"))
        return -1;
    do
        n = read(fd, out, size);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Append up to READ_STEP bytes; *got 0 is the end.  A full buffer still has to see the end. */
static struct alb_status read_step(int fd, struct buf *out, size_t *got)
{
    size_t room = buf_room(out);
    uint8_t probe;
    uint8_t *at = &probe;
    struct alb_status st;
    ssize_t n;

    if (room > 0) {
        room = room < READ_STEP ? room : READ_STEP;
        st = buf_reserve(out, room, &at);
        if (alb_failed(st))
            return st;
    }
    n = read_some(fd, at, room > 0 ? room : 1);
    if (n < 0)
        return alb_fail_sys("reading a file");
    if (room == 0 && n > 0)
        return alb_fail(ALB_FULL, "file is larger than allowed");
    buf_commit(out, (size_t)n);
    *got = (size_t)n;
    return ALB_STATUS_OK;
}

struct alb_status file_read(const char *path, struct buf *out)
{
    ALB_AUTO(auto_close) int fd = breaks("file.open") ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    size_t before = buf_size(out);
    size_t got = 1;

    if (fd < 0)
        return alb_fail_sys("opening a file");
    while (got > 0) {
        struct alb_status st = read_step(fd, out, &got);

        if (alb_failed(st)) {
            out->tail = out->head + before; /* half a file is no answer */
            return st;
        }
    }
    return ALB_STATUS_OK;
}

struct alb_status file_pread_all(int fd, void *out, size_t size, uint64_t offset)
{
    uint8_t *at = out;

    while (size > 0) {
        ssize_t n = breaks("file.pread") ? -1 : pread(fd, at, size, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return alb_fail_sys("reading a file");
        if (n == 0)
            return alb_fail(ALB_CORRUPT, "file ends too early");
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return ALB_STATUS_OK;
}

/* ---- writing ---- */

struct alb_status file_write_all(int fd, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        ssize_t n = breaks("file.write") ? -1 : write(fd, at, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return alb_fail_sys("writing a file");
        at += n;
        size -= (size_t)n;
    }
    return ALB_STATUS_OK;
}

/* The directory a path lies in, heap. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return xstrdup(".");
    return xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* ".NAME.tmp-RANDOM" beside `path`, heap.  Long names are cut to stay below NAME_MAX (255). */
static char *temporary_beside(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    uint8_t random[8];
    char hex[2 * sizeof random + 1];

    random_bytes(random, sizeof random);
    bytes_hex(random, sizeof random, hex);
    return xasprintf("%.*s.%.200s.tmp-%s", (int)(name - path), path, name, hex);
}

/* Make `path`, which must not exist, with these bytes, and fsync it. */
static struct alb_status write_new(const char *path, const void *bytes, size_t size, unsigned mode)
{
    ALB_AUTO(auto_close) int fd = -1;
    struct alb_status st;

    if (!breaks("file.create"))
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0)
        return alb_fail_sys("creating a file");
    st = file_write_all(fd, bytes, size);
    if (alb_failed(st))
        return st;
    KILL_POINT("file.written");
    if (breaks("file.sync") || fsync(fd) != 0)
        return alb_fail_sys("syncing a file");
    KILL_POINT("file.synced");
    return ALB_STATUS_OK;
}

struct alb_status file_replace(const char *path, const void *bytes, size_t size, unsigned mode)
{
    AUTO_FREE char *temporary = temporary_beside(path);
    AUTO_FREE char *parent = parent_of(path);
    struct alb_status st = write_new(temporary, bytes, size, mode);

    if (!alb_failed(st) && (breaks("file.rename") || rename(temporary, path) != 0))
        st = alb_fail_sys("renaming a file into place");
    if (alb_failed(st)) {
        (void)unlink(temporary); /* may not be there at all */
        return st;
    }
    KILL_POINT("file.renamed");
    return file_sync_dir(parent);
}

struct alb_status file_sync_dir(const char *path)
{
    ALB_AUTO(auto_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return alb_fail_sys("opening a directory");
    if (breaks("file.sync_dir") || fsync(fd) != 0)
        return alb_fail_sys("syncing a directory");
    KILL_POINT("file.dir_synced");
    return ALB_STATUS_OK;
}

/* ---- names ---- */

static struct alb_status make_one_dir(const char *path, unsigned mode)
{
    AUTO_FREE char *parent = parent_of(path);
    struct stat info;

    if (!breaks("file.make_dir") && mkdir(path, (mode_t)mode) == 0)
        return file_sync_dir(parent); /* else what is synced in it later may be lost with it */
    if (errno != EEXIST)
        return alb_fail_sys("making a directory");
    if (stat(path, &info) != 0)
        return alb_fail_sys("making a directory");
    if (!S_ISDIR(info.st_mode))
        return alb_status_from_errno(ENOTDIR, "making a directory");
    return ALB_STATUS_OK;
}

struct alb_status file_make_dir(const char *path, unsigned mode)
{
    AUTO_FREE char *partial = xstrdup(path);
    size_t size = strlen(partial);

    while (size > 1 && partial[size - 1] == '/')
        partial[--size] = '\0';
    for (char *slash = partial; *slash != '\0'; slash++) {
        struct alb_status st;

        if (*slash != '/' || slash == partial)
            continue;
        *slash = '\0';
        st = make_one_dir(partial, 0777);
        *slash = '/';
        if (alb_failed(st))
            return st;
    }
    return make_one_dir(partial, mode);
}

bool file_exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

char *path_join(const char *dir, const char *name)
{
    size_t size = strlen(dir);

    if (size == 0)
        return xstrdup(name);
    return xasprintf("%s%s%s", dir, dir[size - 1] == '/' ? "" : "/", name);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

struct alb_status file_remove_all(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return ALB_STATUS_OK;
    return alb_fail_sys("removing files");
}
