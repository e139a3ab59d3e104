/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/segment.c – one segment file: made, appended to, read and cut back. */

#include "store/disk/segment.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "store/disk/blocks.h"

static struct segment *segment_new(const char *dir, uint64_t id);
static struct alb_status write_header(struct segment *s);
static struct alb_status read_header(struct segment *s);
static struct alb_status write_group(struct segment *s, struct append *group, size_t count);
static struct alb_status write_all(int fd, struct iovec *parts, size_t count, uint64_t offset);
static struct alb_status sync_data(int fd);
static void note_blocks(struct segment *s);
static bool breaks(const char *site, int sys);

char *segment_path(const char *dir, uint64_t id)
{
    return xasprintf("%s/%016" PRIx64 ".seg", dir, id);
}

struct alb_status segment_create(const char *dir, uint64_t id, enum evict_queue queue,
                                 struct segment **out)
{
    struct segment *s = segment_new(dir, id);
    s->queue = queue;
    if (breaks("segment.create", ENOSPC))
        s->fd = -1;
    else
        s->fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        struct alb_status st = alb_fail_sys("store: making a segment file");
        segment_close(s);
        return st;
    }
    random_bytes(&s->salt, sizeof(s->salt));
    struct alb_status st = write_header(s);
    if (!alb_failed(st))
        st = sync_data(s->fd);
    if (!alb_failed(st))
        st = file_sync_dir(dir);
    if (alb_failed(st)) {
        (void)unlink(s->path); /* opening would drop it anyway: it has no records */
        segment_close(s);
        return st;
    }
    *out = s;
    return ALB_STATUS_OK;
}

struct alb_status segment_open(const char *dir, uint64_t id, struct segment **out)
{
    struct segment *s = segment_new(dir, id);
    struct alb_status st = segment_reopen(s, false);
    if (!alb_failed(st))
        st = read_header(s);
    if (alb_failed(st)) {
        segment_close(s);
        return st;
    }
    (void)close(s->fd);
    s->fd = -1;
    *out = s;
    return ALB_STATUS_OK;
}

struct segment *segment_close(struct segment *s)
{
    if (s == NULL)
        return NULL;
    if (s->fd >= 0)
        (void)close(s->fd); /* every acknowledged byte was synced */
    free(s->path);
    free(s);
    return NULL;
}

struct alb_status segment_reopen(struct segment *s, bool writable)
{
    int fd = -1;
    if (!breaks("segment.open", EIO))
        fd = open(s->path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0)
        return alb_fail_sys("store: opening a segment file");
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = fd;
    return ALB_STATUS_OK;
}

static struct segment *segment_new(const char *dir, uint64_t id)
{
    struct segment *s = xalloc(sizeof(*s));
    s->id = id;
    s->path = segment_path(dir, id);
    s->fd = -1;
    atomic_init(&s->readers, 0);
    atomic_init(&s->size, SEGMENT_HEADER_SIZE);
    atomic_init(&s->disk_bytes, 0);
    return s;
}

static struct alb_status write_header(struct segment *s)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    const struct segment_header header = {.id = s->id, .salt = s->salt, .queue = s->queue};
    segment_header_encode(&header, bytes);
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct alb_status st = write_all(s->fd, &part, 1, 0);
    note_blocks(s);
    return st;
}

static struct alb_status read_header(struct segment *s)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header header;
    struct stat about;
    if (fstat(s->fd, &about) != 0)
        return alb_fail_sys("store: looking at a segment file");
    struct alb_status st = file_pread_all(s->fd, bytes, sizeof(bytes), 0);
    if (!alb_failed(st))
        st = segment_header_decode(bytes, &header);
    if (alb_failed(st))
        return st;
    if (header.id != s->id)
        return alb_fail(ALB_CORRUPT, "segment: its name is not the one it was made with");
    s->salt = header.salt;
    s->queue = header.queue;
    atomic_store(&s->size, (unsigned long long)about.st_size);
    note_blocks(s);
    return ALB_STATUS_OK;
}

uint64_t append_bytes(const struct append *group, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += RECORD_HEADER_SIZE + (uint64_t)group[i].record.size;
    return total;
}

struct alb_status segment_append(struct segment *s, struct append *group, size_t count)
{
    uint64_t start = atomic_load(&s->size);
    struct alb_status st = write_group(s, group, count);
    if (!alb_failed(st))
        st = sync_data(s->fd);
    if (alb_failed(st))
        segment_cut(s, start);
    else
        atomic_store(&s->size, start + append_bytes(group, count));
    note_blocks(s);
    return st;
}

void segment_cut(struct segment *s, uint64_t size)
{
    s->sealed = true;
    atomic_store(&s->size, size);
    if (breaks("segment.cut", EIO) || ftruncate(s->fd, (off_t)size) != 0)
        log_status(LOG_WARN, "segment.cut", alb_fail_sys("store: cutting a segment file back"),
                   "file=%s size=%" PRIu64, s->path, size);
    note_blocks(s);
}

/* Blocks, not lengths, are what a disk runs out of. */
static void note_blocks(struct segment *s)
{
    struct stat about;
    if (fstat(s->fd, &about) == 0)
        atomic_store(&s->disk_bytes, blocks_bytes(&about));
}

static struct alb_status write_group(struct segment *s, struct append *group, size_t count)
{
    AUTO_FREE uint8_t *headers = try_alloc(count * RECORD_HEADER_SIZE);
    AUTO_FREE struct iovec *parts = try_alloc(2 * count * sizeof(*parts));
    if (headers == NULL || parts == NULL)
        return alb_fail(ALB_FULL, "store: memory for a group of records");
    uint64_t start = atomic_load(&s->size);
    uint64_t at = start;
    for (size_t i = 0; i < count; i++) {
        struct record *r = &group[i].record;
        r->offset = at;
        uint8_t *header = headers + i * RECORD_HEADER_SIZE;
        record_header_encode(r, s->salt, group[i].body, header);
        parts[2 * i] = (struct iovec){header, RECORD_HEADER_SIZE};
        /* iovec is for reading, too, and so lacks the const; pwritev() only reads. */
        parts[2 * i + 1] = (struct iovec){(void *)(uintptr_t)group[i].body, r->size};
        at += RECORD_HEADER_SIZE + (uint64_t)r->size;
    }
    if (fault_hits("segment.write")) { /* what a full disk does: a part is there */
        alb_ignore(write_all(s->fd, parts, count, start), "this write fails either way");
        return alb_status_from_errno(ENOSPC, "store: writing a group of chunks");
    }
    struct alb_status st = write_all(s->fd, parts, 2 * count, start);
    if (!alb_failed(st))
        KILL_POINT("segment.written");
    return st;
}

/* Take `written` bytes off the front of the parts; returns how many parts are finished. */
static size_t step_over(struct iovec *parts, size_t count, size_t written)
{
    size_t done = 0;
    while (done < count && written >= parts[done].iov_len)
        written -= parts[done++].iov_len;
    if (done < count) {
        parts[done].iov_base = (uint8_t *)parts[done].iov_base + written;
        parts[done].iov_len -= written;
    }
    return done;
}

static struct alb_status write_all(int fd, struct iovec *parts, size_t count, uint64_t offset)
{
    while (count > 0) {
        size_t some = count < IOV_MAX ? count : IOV_MAX;
        ssize_t n = pwritev(fd, parts, (int)some, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return alb_fail_sys("store: writing a group of chunks");
        size_t done = step_over(parts, count, (size_t)n);
        offset += (uint64_t)n;
        parts += done;
        count -= done;
    }
    return ALB_STATUS_OK;
}

static struct alb_status sync_data(int fd)
{
    if (breaks("segment.sync", EIO) || fdatasync(fd) != 0)
        return alb_fail_sys("store: syncing a segment file");
    KILL_POINT("segment.synced");
    return ALB_STATUS_OK;
}

struct alb_status segment_sync(const struct segment *s)
{
    return sync_data(s->fd);
}

/* One system call for header and body; retried only where the kernel gave less than asked. */
static struct alb_status read_record(int fd, uint8_t *header, struct chunk *body, uint64_t offset)
{
    struct iovec parts[2] = {{header, RECORD_HEADER_SIZE}, {body->bytes, body->size}};
    size_t at = 0;
    while (at < 2) {
        ssize_t n = -1;
        if (!breaks("segment.read", EIO))
            n = preadv(fd, parts + at, (int)(2 - at), (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return alb_fail_sys("store: reading a chunk");
        if (n == 0)
            return alb_fail(ALB_CORRUPT, "store: a segment file ends within a chunk");
        at += step_over(parts + at, 2 - at, (size_t)n);
        offset += (uint64_t)n;
    }
    return ALB_STATUS_OK;
}

struct alb_status segment_read(const struct segment *s, const struct chunk_key *key,
                               uint64_t offset, uint32_t size, struct chunk **out)
{
    uint8_t header[RECORD_HEADER_SIZE];
    struct record found;
    struct chunk *c = chunk_new(key, size);
    if (c == NULL)
        return alb_fail(ALB_FULL, "store: memory for a chunk");
    struct alb_status st = read_record(s->fd, header, c, offset);
    if (!alb_failed(st))
        st = record_header_decode(header, s->salt, offset, &found);
    if (!alb_failed(st) &&
        (found.type != RECORD_CHUNK || found.size != size || !chunk_key_equal(&found.key, key)))
        st = alb_fail(ALB_CORRUPT, "store: another record stands where the chunk should be");
    if (!alb_failed(st) && !record_is_whole(header, &found, s->salt, c->bytes))
        st = alb_fail(ALB_CORRUPT, "store: the chunk's check value is wrong");
    if (alb_failed(st)) {
        chunk_unref(c);
        return st;
    }
    *out = c;
    return ALB_STATUS_OK;
}

/* True, with errno as a broken disk would leave it, when a test asked for a failure here. */
static bool breaks(const char *site, int sys)
{
    if (!fault_hits(site))
        return false;
    errno = sys;
    return true;
}
