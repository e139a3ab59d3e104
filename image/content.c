/* SPDX-License-Identifier: Apache-2.0 */
/* image/content.c – reads, digests and copies whole files. */
#include "image/content.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/fault.h"

static struct alb_status write_all(int fd, const void *bytes, size_t size, uint64_t offset);
/* Sharing blocks is not worth asking for below; most file systems cannot. */
enum { CLONE_FROM = 64 << 10 };

static struct alb_status read_some(struct content *c, int fd, uint64_t offset, uint64_t size,
                                   size_t *got);

struct alb_status content_init(struct content *c)
{
    c->hasher = NULL;
    c->bytes = try_alloc(CONTENT_STEP);
    if (c->bytes == NULL)
        return alb_fail(ALB_FULL, "memory to read files with");
    c->hasher = hasher_new();
    return ALB_STATUS_OK;
}

void content_release(struct content *c)
{
    free(c->bytes);
    c->bytes = NULL;
    c->hasher = hasher_free(c->hasher);
}

struct alb_status content_digest(struct content *c, int fd, uint64_t size, struct digest *out)
{
    hasher_reset(c->hasher);
    for (uint64_t at = 0; at < size;) {
        size_t got = 0;
        struct alb_status st = read_some(c, fd, at, size, &got);

        if (alb_failed(st))
            return st;
        hasher_add(c->hasher, c->bytes, got);
        at += got;
    }
    hasher_finish(c->hasher, out);
    return ALB_STATUS_OK;
}

struct alb_status content_copy(struct content *c, int from, int to, const struct manifest_entry *e,
                               struct digest *out)
{
    /* A hole at the end is not written, so nothing else would give the file its size. */
    if (e->hole_count > 0 && ftruncate(to, (off_t)e->size) != 0)
        return alb_fail_sys("making a staged file");
    /* What was cloned can no longer change under us, so the copy is what is digested; without the
     * tail of a source that has grown since somebody asked for its size. */
    if (e->size >= CLONE_FROM && ioctl(to, FICLONE, from) == 0)
        return ftruncate(to, (off_t)e->size) != 0 ? alb_fail_sys("making a staged file")
                                                  : content_digest(c, to, e->size, out);
    hasher_reset(c->hasher);
    for (uint64_t at = 0; at < e->size;) {
        size_t got = 0;
        struct alb_status st = read_some(c, from, at, e->size, &got);

        if (!alb_failed(st))
            st = content_write(to, e, c->bytes, got, at);
        if (alb_failed(st))
            return st;
        hasher_add(c->hasher, c->bytes, got);
        at += got;
    }
    hasher_finish(c->hasher, out);
    return ALB_STATUS_OK;
}

struct alb_status content_write(int fd, const struct manifest_entry *e, const void *bytes,
                                size_t size, uint64_t offset)
{
    const uint8_t *at = bytes;
    uint64_t end = offset + size;
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < e->hole_count && offset < end && !alb_failed(st); i++) {
        const struct hole *hole = &e->holes[i];
        uint64_t stop = hole->offset < end ? hole->offset : end;

        if (hole->offset + hole->length <= offset)
            continue;
        if (offset < stop)
            st = write_all(fd, at, (size_t)(stop - offset), offset);
        stop = hole->offset + hole->length < end ? hole->offset + hole->length : end;
        at += stop - offset;
        offset = stop;
    }
    if (!alb_failed(st) && offset < end)
        st = write_all(fd, at, (size_t)(end - offset), offset);
    return st;
}

static struct alb_status write_all(int fd, const void *bytes, size_t size, uint64_t offset)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        ssize_t n;

        if (fault_hits("content.write")) {
            errno = ENOSPC;
            n = -1;
        } else {
            n = pwrite(fd, at, size, (off_t)offset);
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return alb_fail_sys("writing a staged file");
        KILL_POINT("content.written");
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return ALB_STATUS_OK;
}

/* At least one byte, and none beyond `size`. */
static struct alb_status read_some(struct content *c, int fd, uint64_t offset, uint64_t size,
                                   size_t *got)
{
    size_t most = size - offset < CONTENT_STEP ? (size_t)(size - offset) : CONTENT_STEP;
    ssize_t n;

    do
        n = pread(fd, c->bytes, most, (off_t)offset);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return alb_fail_sys("reading a file");
    if (n == 0)
        return alb_fail(ALB_CORRUPT, "a file is shorter than it was");
    *got = (size_t)n;
    return ALB_STATUS_OK;
}
