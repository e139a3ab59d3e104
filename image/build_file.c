/* SPDX-License-Identifier: Apache-2.0 */
/* image/build_file.c – one file of the tree, read so that what was read is one state of it.
 *
 * A file is asked about before and after: a size, mtime or ctime that moved means that it may be
 * torn. Kernels stamp times a tick at a time, so two writes within a tick look like one; hence a
 * file that changed as lately as anything in the tree is read twice, and only equal bytes count.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/build_unit.h"
#include "image/scan_array.h"
#include "image/scan_open.h"

/* Longer than a tick of any kernel (CONFIG_HZ is at least 100), with as much again to spare. */
#define TICK_NS INT64_C(20000000)
#define NS INT64_C(1000000000)

static bool is_young(const struct build *b, int64_t ctime_ns);
static struct alb_status ask(int fd, struct opened_file *out, bool *is_file);
static bool is_same_state(const struct opened_file *a, const struct opened_file *b);
static struct alb_status read_again(struct build_worker *w, const struct opened_file *o,
                                    const struct digest *digest, bool *out_same);
static struct alb_status find_holes(const struct opened_file *o, struct hole **out, size_t *count);

struct alb_status build_file_open(struct build *b, struct build_file *f, struct opened_file *out)
{
    const char *path = b->scan->items[f->item].path;
    out->fd = beneath_open(b->scan->top_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (out->fd < 0 && errno == ENOENT) {
        f->problem = alb_fail(ALB_NOT_FOUND, "vanished after it was found");
        return ALB_STATUS_OK;
    }
    bool is_file = false;
    bool is_other = out->fd < 0 && (errno == ELOOP || errno == ENOTDIR || errno == ENXIO);
    if (out->fd < 0 && !is_other)
        return alb_fail_sys("opening a file of the tree");
    struct alb_status st = out->fd < 0 ? ALB_STATUS_OK : ask(out->fd, out, &is_file);
    if (alb_failed(st) || !is_file) {
        if (out->fd >= 0)
            close(out->fd);
        out->fd = -1;
        f->problem = alb_fail(ALB_CONFLICT, "is something else now than when it was found");
    }
    return st;
}

struct alb_status build_file_read(const struct opened_file *o, uint8_t *out, size_t size,
                                  uint64_t offset, size_t *got)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(o->fd, out + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return alb_fail_sys("reading a file of the tree");
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return ALB_STATUS_OK;
}

struct alb_status build_file_settle(const struct build *b, struct build_worker *w,
                                    struct build_file *f, const struct opened_file *o,
                                    const struct digest *digest, bool *out_same)
{
    struct hole *holes = NULL;
    size_t hole_count = 0;
    struct opened_file now = *o;
    bool same = true;
    struct alb_status st = find_holes(o, &holes, &hole_count);
    if (!alb_failed(st) && is_young(b, o->ctime_ns))
        st = read_again(w, o, digest, &same);
    bool is_file = true;
    if (!alb_failed(st))
        st = ask(o->fd, &now, &is_file);
    *out_same = same && is_same_state(o, &now);
    if (alb_failed(st) || !*out_same) {
        free(holes);
        return st;
    }
    f->is_there = true;
    f->content = *digest;
    f->size = o->size;
    f->mode = o->mode;
    f->uid = o->uid;
    f->gid = o->gid;
    f->mtime_s = o->mtime_s;
    f->mtime_ns = o->mtime_ns;
    f->ctime_ns = o->ctime_ns;
    f->inode = o->inode;
    free(f->holes);
    f->holes = holes;
    f->hole_count = hole_count;
    return ALB_STATUS_OK;
}

static bool is_young(const struct build *b, int64_t ctime_ns)
{
    return ctime_ns >= b->newest_ns - TICK_NS;
}

/* A write after the scan moves the ctime of a file that was not young then. */
struct alb_status build_file_is_as_noted(const struct build *b, const struct build_file *f,
                                         const struct opened_file *o, bool *out)
{
    struct opened_file now = *o;
    bool is_file = true;
    struct alb_status st = ask(o->fd, &now, &is_file);
    *out = !alb_failed(st) && is_same_state(o, &now) && now.size == f->size &&
           now.mtime_s == f->mtime_s && now.mtime_ns == f->mtime_ns &&
           now.ctime_ns == f->ctime_ns && now.inode == f->inode && !is_young(b, f->ctime_ns);
    return st;
}

static struct alb_status ask(int fd, struct opened_file *out, bool *is_file)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return alb_fail_sys("asking about a file of the tree");
    *is_file = S_ISREG(st.st_mode);
    *out = (struct opened_file){
        .fd = fd,
        .size = (uint64_t)st.st_size,
        .blocks = (uint64_t)st.st_blocks,
        .mtime_s = st.st_mtim.tv_sec,
        .mtime_ns = (uint32_t)st.st_mtim.tv_nsec,
        .ctime_ns = st.st_ctim.tv_sec * NS + st.st_ctim.tv_nsec,
        .inode = st.st_ino,
        .mode = (uint16_t)(st.st_mode & 07777),
        .uid = st.st_uid,
        .gid = st.st_gid,
    };
    return ALB_STATUS_OK;
}

static bool is_same_state(const struct opened_file *a, const struct opened_file *b)
{
    return a->size == b->size && a->mtime_s == b->mtime_s && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns;
}

static struct alb_status read_again(struct build_worker *w, const struct opened_file *o,
                                    const struct digest *digest, bool *out_same)
{
    struct digest found;
    hasher_reset(w->hasher);
    for (uint64_t at = 0; at < o->size;) {
        size_t got = 0;
        size_t size = o->size - at < WINDOW_SIZE ? (size_t)(o->size - at) : WINDOW_SIZE;
        struct alb_status st = build_file_read(o, w->window, size, at, &got);
        if (alb_failed(st))
            return st;
        if (got < size)
            break;
        hasher_add(w->hasher, w->window, got);
        at += got;
    }
    hasher_finish(w->hasher, &found);
    *out_same = digest_equal(&found, digest);
    return ALB_STATUS_OK;
}

/* A file system that knows nothing of holes answers as if all were data. */
static struct alb_status find_holes(const struct opened_file *o, struct hole **out, size_t *count)
{
    if (o->blocks * 512 >= o->size)
        return ALB_STATUS_OK;
    size_t capacity = 0;
    for (uint64_t at = 0; at < o->size;) {
        off_t hole = lseek(o->fd, (off_t)at, SEEK_HOLE);
        if (hole < 0 || (uint64_t)hole >= o->size)
            break;
        off_t data = lseek(o->fd, hole, SEEK_DATA); /* ENXIO: a hole to the end */
        at = data < 0 || (uint64_t)data > o->size ? o->size : (uint64_t)data;
        struct hole *grown = array_room(*out, *count, &capacity, sizeof(*grown));
        if (grown == NULL)
            return alb_fail(ALB_FULL, "memory for a file's holes");
        *out = grown;
        grown[(*count)++] = (struct hole){(uint64_t)hole, at - (uint64_t)hole};
    }
    return ALB_STATUS_OK;
}

struct alb_status build_chunk_add(struct build_unit *u, const struct build_chunk *chunk)
{
    struct build_chunk *chunks =
        array_room(u->chunks, u->chunk_count, &u->chunk_capacity, sizeof(*chunks));
    if (chunks == NULL)
        return alb_fail(ALB_FULL, "memory for the list of chunks");
    u->chunks = chunks;
    u->chunks[u->chunk_count++] = *chunk;
    return ALB_STATUS_OK;
}
