/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage_resume.c – what an earlier run left in the stage,
 * believed as far as its bytes prove. */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/units.h"
#include "image/stage_impl.h"

static struct alb_status resume_place(struct stage *s, size_t place, const uint32_t *file_of,
                                      struct content *c);
static struct alb_status resume_name(struct stage *s, DIR *dir, const char *name,
                                     const uint32_t *file_of, struct content *c);

struct alb_status stage_resume(struct stage *s)
{
    AUTO_FREE uint32_t *file_of = stage_array(s->manifest->count, sizeof(*file_of));
    struct content c;
    struct alb_status st;

    if (file_of == NULL)
        return alb_fail(ALB_FULL, "memory for the stage");
    for (size_t i = 0; i < s->file_count; i++)
        file_of[s->files[i].entry] = (uint32_t)i + 1;
    st = content_init(&c);
    for (size_t i = 0; i < s->places.count && !alb_failed(st); i++)
        st = resume_place(s, i, file_of, &c);
    content_release(&c);
    return st;
}

static struct alb_status resume_place(struct stage *s, size_t place, const uint32_t *file_of,
                                      struct content *c)
{
    int fd = openat(s->places.items[place].stage_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct alb_status st = ALB_STATUS_OK;

    if (dir == NULL) {
        st = alb_fail_sys("reading the stage");
        if (fd >= 0)
            close(fd);
        return st;
    }
    for (struct dirent *e = readdir(dir); e != NULL && !alb_failed(st); e = readdir(dir))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            st = resume_name(s, dir, e->d_name, file_of, c);
    closedir(dir);
    return st;
}

/* Does the chunk that this use is stand in the file?  A slice proves itself only when it is all of
 * its chunk, and a hole in the file is not worth reading. */
static bool use_is_there(const struct stage *s, const struct stage_use *u, int fd, uint8_t *bytes)
{
    const struct chunk_key *key = &s->manifest->content_keys[u->position];
    struct digest found;

    if (u->offset != 0 || u->length != s->manifest->content_raw_bytes[u->position] ||
        u->length > CONTENT_STEP * 4)
        return false;
    if (lseek(fd, (off_t)u->file_offset, SEEK_DATA) < 0 && errno == ENXIO)
        return false;
    if (pread(fd, bytes, u->length, (off_t)u->file_offset) != (ssize_t)u->length)
        return false;
    sha256(bytes, u->length, &found);
    return digest_equal(&found, &key->digest);
}

static struct alb_status resume_pieces(struct stage *s, struct stage_file *f, int fd)
{
    AUTO_FREE uint8_t *bytes = try_alloc((size_t)CONTENT_STEP * 4);

    if (bytes == NULL)
        return alb_fail(ALB_FULL, "memory to read files with");
    for (size_t i = 0; i < f->use_count; i++) {
        struct stage_use *u = &s->uses[f->first_use + i];

        if (!use_is_there(s, u, fd, bytes))
            continue;
        u->filled = true;
        f->unfilled--;
        s->counted.bytes_resumed += u->length;
    }
    f->created = true;
    return f->unfilled > 0 ? ALB_STATUS_OK : stage_file_prove(s, f, fd);
}

static struct alb_status resume_file(struct stage *s, struct stage_file *f, int fd,
                                     struct content *c)
{
    const struct manifest_entry *e = stage_entry(s, f->entry);
    struct digest found;
    struct stat now;
    struct alb_status st;

    if (fstat(fd, &now) != 0)
        return alb_fail_sys("asking about a staged file");
    if (!S_ISREG(now.st_mode) || (uint64_t)now.st_size != e->size)
        return ALB_STATUS_OK; /* begun anew, over it */
    if (f->use_count > 1 && f->state == STAGE_PIECES)
        return resume_pieces(s, f, fd);
    st = content_digest(c, fd, e->size, &found);
    if (alb_failed(st) || !digest_equal(&found, &e->content))
        return st;
    for (size_t i = 0; i < f->use_count; i++)
        s->uses[f->first_use + i].filled = true;
    f->unfilled = 0;
    s->counted.bytes_resumed += e->size;
    return stage_file_prove(s, f, fd);
}

static struct alb_status resume_name(struct stage *s, DIR *dir, const char *name,
                                     const uint32_t *file_of, struct content *c)
{
    uint64_t entry = 0;
    bool ours = !alb_failed(parse_u64(name, s->manifest->count - 1, &entry)) && file_of[entry] > 0;
    struct alb_status st;
    int fd;

    if (!ours)
        return dirs_remove(dirfd(dir), name);
    fd = openat(dirfd(dir), name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return dirs_remove(dirfd(dir), name);
    st = resume_file(s, &s->files[file_of[entry] - 1], fd, c);
    close(fd);
    return st;
}
