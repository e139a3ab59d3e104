/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage_file.c – one file of the stage: made, filled, proven and dressed.
 *
 * A file counts only when the digest of all its bytes is its entry's; then it gets its metadata
 * while it is open.  Nothing is marked on disk: an earlier run's files are proven anew by reading
 * them, chunk by chunk where a file is not whole, so no crash can make us believe what is not
 * there.
 */
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/fault.h"
#include "chunk/codec.h"
#include "image/scan_open.h"
#include "image/stage_impl.h"

/* Room is asked for at once from here on; below,
 * the file system's delayed allocation does as well. */
enum { PREALLOCATE_FROM = 1 << 20 };

static struct alb_status file_open(struct stage *s, struct stage_file *f, int *out);
static struct alb_status allocate(int fd, const struct manifest_entry *e);
static struct alb_status file_finish(struct stage *s, struct stage_file *f, int fd,
                                     struct content *c, const struct digest *known);
static struct alb_status dress(struct stage *s, uint32_t entry, int fd);
static void file_start_again(struct stage *s, struct stage_file *f);

static void auto_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* The first path stays: later errors are its echo. */
struct alb_status stage_blame(struct stage *s, const char *path, struct alb_status st)
{
    pthread_mutex_lock(&s->lock);
    if (s->error_path[0] == '\0')
        memcpy(s->error_path, path, strnlen(path, MANIFEST_PATH_MAX) + 1);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static int open_new(const struct stage *s, uint32_t entry, int flags)
{
    char name[STAGE_NAME_SIZE];
    int stage_fd = s->places.items[s->entry_places[entry]].stage_fd;

    if (fault_hits("stage.open")) {
        errno = EIO;
        return -1;
    }
    /* Often the mode that it shall have; nobody else can look into the stage. */
    return openat(stage_fd, stage_name(entry, name), flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC,
                  (stage_entry(s, entry)->mode & 0777) | 0600);
}

/* ---- copying what is held ---- */

/* From a held file into a new staged one; *same is false when it is not what it was. */
static struct alb_status copy_held(struct stage *s, struct stage_file *f, struct content *c, int to,
                                   bool *same)
{
    const struct manifest_entry *e = stage_entry(s, f->entry);
    ALB_AUTO(auto_close) int from = -1;
    struct holding held;
    struct digest found;
    struct alb_status st = ALB_STATUS_OK;

    *same = false;
    if (e->size == 0) {
        *same = true;
        return st;
    }
    if (holdings_file(s->holdings, &e->content, e->size, &held))
        from = beneath_open(held.top_fd, held.path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (from < 0)
        return st;
    st = content_copy(c, from, to, e, &found);
    *same = !alb_failed(st) && digest_equal(&found, &e->content);
    /* What cannot be read here can be fetched; what cannot be written cannot. */
    return st.code == ALB_FULL ? st : ALB_STATUS_OK;
}

struct alb_status stage_file_copy(struct stage *s, struct stage_file *f, struct content *c)
{
    const struct manifest_entry *e = stage_entry(s, f->entry);
    ALB_AUTO(auto_close) int to = open_new(s, f->entry, O_CREAT | O_TRUNC);
    struct alb_status st;
    bool same;

    if (to < 0)
        return stage_blame(s, e->path, alb_fail_sys("making a staged file"));
    st = copy_held(s, f, c, to, &same);
    if (alb_failed(st))
        return stage_blame(s, e->path, st);
    if (same)
        return file_finish(s, f, to, c, &e->content);
    file_start_again(s, f);
    return ALB_STATUS_OK;
}

/* All its chunks are to be fetched. */
static void file_start_again(struct stage *s, struct stage_file *f)
{
    char name[STAGE_NAME_SIZE];

    (void)unlinkat(s->places.items[f->place].stage_fd, stage_name(f->entry, name), 0);
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < f->use_count; i++) {
        s->uses[f->first_use + i].local = false;
        s->uses[f->first_use + i].filled = false;
    }
    f->unfilled = (uint32_t)f->use_count;
    f->created = false;
    f->state = STAGE_PIECES;
    pthread_mutex_unlock(&s->lock);
}

struct alb_status stage_file_take(struct stage *s, uint32_t entry, int dir_fd, const char *name,
                                  struct content *c)
{
    const struct manifest_entry *e = stage_entry(s, entry);
    ALB_AUTO(auto_close) int from = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ALB_AUTO(auto_close) int to = -1;
    struct digest found;
    struct alb_status st;

    if (from < 0)
        return alb_fail_sys("opening a file of the target");
    to = open_new(s, entry, O_CREAT | O_TRUNC);
    if (to < 0)
        return alb_fail_sys("making a staged file");
    st = content_copy(c, from, to, e, &found);
    if (alb_failed(st))
        return st;
    if (!digest_equal(&found, &e->content))
        return alb_fail(ALB_CONFLICT, "a file of the target changed meanwhile; pull again");
    s->staged[entry] = true;
    return dress(s, entry, to);
}

/* ---- putting together ---- */

static struct alb_status file_open(struct stage *s, struct stage_file *f, int *out)
{
    const struct manifest_entry *e = stage_entry(s, f->entry);
    struct alb_status st = ALB_STATUS_OK;
    int fd = open_new(s, f->entry, O_CREAT);
    bool first;

    if (fd < 0)
        return alb_fail_sys("making a staged file");
    pthread_mutex_lock(&s->lock);
    first = !f->created;
    f->created = true;
    pthread_mutex_unlock(&s->lock);
    if (first)
        st = allocate(fd, e);
    if (alb_failed(st)) {
        close(fd);
        return st;
    }
    *out = fd;
    return ALB_STATUS_OK;
}

static struct alb_status allocate(int fd, const struct manifest_entry *e)
{
    if (ftruncate(fd, (off_t)e->size) != 0)
        return alb_fail_sys("making a staged file");
    if (e->size >= PREALLOCATE_FROM && e->hole_count == 0 &&
        fallocate(fd, 0, 0, (off_t)e->size) != 0 && (errno == ENOSPC || errno == EDQUOT))
        return alb_fail_sys("making room for a staged file");
    return ALB_STATUS_OK;
}

/* Count `use` as filled; true when it was its file's last. */
static bool use_filled(struct stage *s, struct stage_use *use)
{
    struct stage_file *f = &s->files[use->file];
    bool last = false;

    pthread_mutex_lock(&s->lock);
    if (!use->filled) {
        use->filled = true;
        f->unfilled--;
        last = f->unfilled == 0;
    }
    pthread_mutex_unlock(&s->lock);
    return last;
}

/* Holes are punched before the proof: if they are lies, the digest will say so. */
static struct alb_status punch_holes(int fd, const struct manifest_entry *e)
{
    for (size_t i = 0; i < e->hole_count; i++)
        if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)e->holes[i].offset,
                      (off_t)e->holes[i].length) != 0 &&
            errno != EOPNOTSUPP && errno != ENOSYS)
            return alb_fail_sys("making a hole in a staged file");
    return ALB_STATUS_OK;
}

/* `known`: the digest of what was written, when it was written in one go. */
static struct alb_status file_finish(struct stage *s, struct stage_file *f, int fd,
                                     struct content *c, const struct digest *known)
{
    const struct manifest_entry *e = stage_entry(s, f->entry);
    struct digest found = known != NULL ? *known : (struct digest){{0}};
    struct alb_status st = punch_holes(fd, e);

    if (!alb_failed(st) && (known == NULL || e->hole_count > 0))
        st = content_digest(c, fd, e->size, &found);
    if (!alb_failed(st) && !digest_equal(&found, &e->content)) {
        file_start_again(s, f);
        st = alb_fail(ALB_CORRUPT, "the manifest's chunks do not spell the manifest's file");
    }
    if (!alb_failed(st))
        st = dress(s, f->entry, fd);
    if (alb_failed(st))
        return stage_blame(s, e->path, st);
    pthread_mutex_lock(&s->lock);
    f->state = STAGE_DONE;
    pthread_mutex_unlock(&s->lock);
    return ALB_STATUS_OK;
}

static struct alb_status dress(struct stage *s, uint32_t entry, int fd)
{
    struct meta_losses losses = {0};
    struct alb_status st = meta_set(fd, stage_entry(s, entry), true, &losses);
    struct stat now;

    if (!alb_failed(st) && fstat(fd, &now) != 0)
        st = alb_fail_sys("asking about a staged file");
    if (alb_failed(st))
        return st;
    s->inos[entry] = now.st_ino;
    pthread_mutex_lock(&s->lock);
    s->losses.owners += losses.owners;
    s->losses.xattrs += losses.xattrs;
    pthread_mutex_unlock(&s->lock);
    return st;
}

/* A slice that is its whole file: proven before it is written, in one go. */
static struct alb_status put_whole(struct stage *s, struct stage_file *f, const uint8_t *bytes,
                                   size_t size)
{
    const struct manifest_entry *e = stage_entry(s, f->entry);
    ALB_AUTO(auto_close) int fd = -1;
    struct content none = {0};
    struct digest found;
    struct alb_status st;

    sha256(bytes, size, &found);
    if (!digest_equal(&found, &e->content))
        return stage_blame(
            s, e->path, alb_fail(ALB_CORRUPT, "the manifest's chunk is not the manifest's file"));
    fd = open_new(s, f->entry, O_CREAT | O_TRUNC);
    if (fd < 0)
        return stage_blame(s, e->path, alb_fail_sys("making a staged file"));
    st = content_write(fd, e, bytes, size, 0);
    if (alb_failed(st))
        return stage_blame(s, e->path, st);
    for (size_t i = 0; i < f->use_count; i++)
        (void)use_filled(s, &s->uses[f->first_use + i]);
    return file_finish(s, f, fd, &none, &found);
}

struct alb_status stage_file_prove(struct stage *s, struct stage_file *f, int fd)
{
    struct content c;
    struct alb_status st = content_init(&c);

    if (!alb_failed(st))
        st = file_finish(s, f, fd, &c, NULL);
    content_release(&c);
    return st;
}

struct alb_status stage_file_put(struct stage *s, size_t use, const uint8_t *raw, size_t size)
{
    struct stage_use *u = &s->uses[use];
    struct stage_file *f = &s->files[u->file];
    const struct manifest_entry *e = stage_entry(s, f->entry);
    ALB_AUTO(auto_close) int fd = -1;
    struct alb_status st;

    if (u->offset > size || u->length > size - u->offset)
        return stage_blame(
            s, e->path, alb_fail(ALB_CORRUPT, "the manifest wants more of a chunk than there is"));
    if (u->length == e->size && e->hole_count == 0)
        return put_whole(s, f, raw + u->offset, u->length);
    st = file_open(s, f, &fd);
    if (!alb_failed(st))
        st = content_write(fd, e, raw + u->offset, u->length, u->file_offset);
    if (alb_failed(st))
        return stage_blame(s, e->path, st);
    return use_filled(s, u) ? stage_file_prove(s, f, fd) : ALB_STATUS_OK;
}

/* The chunk's bytes, read where it is held and proven; NULL when it is not there any more. */
static uint8_t *read_held(const struct stage *s, const struct chunk_key *key, size_t *size)
{
    struct holding held;
    ALB_AUTO(auto_close) int fd = -1;
    AUTO_FREE uint8_t *bytes = NULL;
    struct digest found;

    if (!holdings_chunk(s->holdings, key, &held) || held.length > CHUNK_RAW_MAX)
        return NULL;
    fd = beneath_open(held.top_fd, held.path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    bytes = try_alloc(held.length);
    if (fd < 0 || bytes == NULL ||
        pread(fd, bytes, held.length, (off_t)held.offset) != (ssize_t)held.length)
        return NULL;
    sha256(bytes, held.length, &found);
    if (!digest_equal(&found, &key->digest))
        return NULL;
    *size = held.length;
    return take_ptr(&bytes);
}

struct alb_status stage_file_gather(struct stage *s, struct stage_file *f)
{
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < f->use_count && !alb_failed(st); i++) {
        struct stage_use *u = &s->uses[f->first_use + i];
        AUTO_FREE uint8_t *bytes = NULL;
        size_t size = 0;
        bool wanted;

        pthread_mutex_lock(&s->lock);
        wanted = u->local && !u->filled && f->state == STAGE_PIECES;
        pthread_mutex_unlock(&s->lock);
        if (!wanted)
            continue;
        bytes = read_held(s, &s->manifest->content_keys[u->position], &size);
        if (bytes != NULL)
            st = stage_file_put(s, f->first_use + i, bytes, size);
        pthread_mutex_lock(&s->lock);
        u->local = bytes != NULL; /* else it joins what is to be fetched */
        pthread_mutex_unlock(&s->lock);
    }
    return st;
}

/* ---- what is no file ---- */

static int make_special(int stage_fd, const char *name, const struct manifest_entry *e)
{
    static const mode_t types[] = {
        [ENTRY_FIFO] = S_IFIFO,
        [ENTRY_SOCKET] = S_IFSOCK,
        [ENTRY_CHAR_DEVICE] = S_IFCHR,
        [ENTRY_BLOCK_DEVICE] = S_IFBLK,
    };

    if (fault_hits("stage.special")) {
        errno = EIO;
        return -1;
    }
    if (e->type == ENTRY_SYMLINK)
        return symlinkat(e->target, stage_fd, name);
    return mknodat(stage_fd, name, types[e->type] | 0600, makedev(e->dev_major, e->dev_minor));
}

struct alb_status stage_make_special(struct stage *s, uint32_t entry, bool *made)
{
    const struct manifest_entry *e = stage_entry(s, entry);
    int stage_fd = s->places.items[s->entry_places[entry]].stage_fd;
    ALB_AUTO(auto_close) int fd = -1;
    char name[STAGE_NAME_SIZE];

    stage_name(entry, name);
    *made = false;
    if (unlinkat(stage_fd, name, 0) != 0 && errno != ENOENT)
        return alb_fail_sys("making a staged link or device");
    if (make_special(stage_fd, name, e) != 0) {
        if (errno != EPERM || e->type == ENTRY_SYMLINK)
            return alb_fail_sys("making a staged link or device");
        s->losses.devices++;
        return ALB_STATUS_OK;
    }
    *made = true;
    s->staged[entry] = true;
    fd = openat(stage_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return alb_fail_sys("making a staged link or device");
    return dress(s, entry, fd);
}
