/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage.c – opening, planning, filling and sealing a stage. */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "image/holdings_impl.h"
#include "image/stage_impl.h"

static struct alb_status take_lock(struct stage *s);
static struct alb_status make_tables(struct stage *s);
static const struct scan *scan_of_target(const struct stage *s);
static bool is_needed(const struct stage *s, size_t position);

struct alb_status stage_open(const struct stage_options *options, struct stage **out)
{
    struct stage *s = xalloc(sizeof(*s));
    struct alb_status st;

    s->target = xstrdup(options->target);
    s->target_fd = s->lock_fd = -1;
    s->manifest = options->manifest;
    s->holdings = options->holdings;
    s->root = *options->root;
    s->over_journal = options->over_journal;
    pthread_mutex_init(&s->lock, NULL);
    st = target_open(s->target, &s->target_fd);
    if (!alb_failed(st))
        st = take_lock(s);
    if (!alb_failed(st))
        st = make_tables(s);
    if (!alb_failed(st))
        st = places_find(s);
    if (!alb_failed(st))
        st = stage_table_make(s);
    if (!alb_failed(st))
        st = stage_resume(s);
    if (!alb_failed(st))
        st = stage_units_make(s);
    if (alb_failed(st)) {
        stage_close(s);
        return st;
    }
    *out = s;
    return ALB_STATUS_OK;
}

struct stage *stage_close(struct stage *s)
{
    if (s == NULL)
        return NULL;
    places_release(&s->places);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->target_fd >= 0)
        close(s->target_fd);
    pthread_mutex_destroy(&s->lock);
    free(s->target);
    free(s->parents);
    free(s->entry_places);
    free(s->on_disk);
    free(s->staged);
    free(s->inos);
    free(s->files);
    free(s->uses);
    free(s->position_starts);
    free(s->by_position);
    free(s->units);
    free(s->unit_files);
    free(s->positions);
    free(s);
    return NULL;
}

struct alb_status target_open(const char *target, int *out)
{
    struct stat top, root;
    int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 && (errno == ENOTDIR || errno == ENOENT))
        return alb_fail(ALB_INVALID, "TARGET must be a directory that exists");
    if (fd < 0)
        return alb_fail_sys("opening TARGET");
    if (fstat(fd, &top) != 0 || stat("/", &root) != 0) {
        close(fd);
        return alb_fail_sys("opening TARGET");
    }
    if (top.st_dev == root.st_dev && top.st_ino == root.st_ino) {
        close(fd);
        return alb_fail(ALB_INVALID, "TARGET is / itself: a running system is not replaced from "
                                     "within; pull into a directory");
    }
    *out = fd;
    return ALB_STATUS_OK;
}

/* Whoever may write there decides what we do with our rights: a journal of somebody else's making
 * could make set-id files of root's. */
struct alb_status albedo_judge(int fd, bool may_be_roots)
{
    struct stat now;

    if (fstat(fd, &now) != 0)
        return alb_fail_sys("asking about .albedo");
    if ((now.st_uid != geteuid() && !(may_be_roots && now.st_uid == 0)) ||
        (now.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return alb_fail(ALB_INVALID,
                        ".albedo in TARGET belongs to another user, or others may write "
                        "to it; pull as its owner, or remove it");
    return ALB_STATUS_OK;
}

struct alb_status albedo_open(int top_fd, int *out)
{
    int fd;
    struct alb_status st = dirs_make(top_fd, ALBEDO_DIR, 0700, &fd);

    if (alb_failed(st))
        return st;
    st = albedo_judge(fd, false);
    if (alb_failed(st)) {
        close(fd);
        return st;
    }
    *out = fd;
    return ALB_STATUS_OK;
}

struct alb_status target_lock(int target_fd, int *out)
{
    struct alb_status st;
    struct stat now;
    int albedo;
    int fd;

    st = albedo_open(target_fd, &albedo);
    if (alb_failed(st))
        return st;
    fd = openat(albedo, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    close(albedo);
    if (fd < 0)
        return alb_fail_sys("making the lock of TARGET");
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        st = errno == EWOULDBLOCK
                 ? alb_fail(ALB_CONFLICT, "another pull works on TARGET; wait for it to end")
                 : alb_fail_sys("locking TARGET");
        close(fd);
        return st;
    }
    if (fstat(fd, &now) == 0 && now.st_nlink == 0) { /* whoever held it has taken it away */
        close(fd);
        return alb_fail(ALB_CONFLICT, "another pull on TARGET ended just now; run this one again");
    }
    *out = fd;
    return ALB_STATUS_OK;
}

static struct alb_status take_lock(struct stage *s)
{
    struct stat journal;
    struct alb_status st = target_lock(s->target_fd, &s->lock_fd);

    if (alb_failed(st))
        return st;
    if (!s->over_journal &&
        fstatat(s->target_fd, ALBEDO_DIR "/" JOURNAL_FILE, &journal, AT_SYMLINK_NOFOLLOW) == 0)
        return alb_fail(ALB_CONFLICT, "an apply was cut short in TARGET; finish it first");
    return ALB_STATUS_OK;
}

static struct alb_status make_tables(struct stage *s)
{
    size_t count = s->manifest->count;

    s->parents = stage_array(count, sizeof(*s->parents));
    s->entry_places = stage_array(count, sizeof(*s->entry_places));
    s->on_disk = stage_array(count, sizeof(*s->on_disk));
    s->staged = stage_array(count, sizeof(*s->staged));
    s->inos = stage_array(count, sizeof(*s->inos));
    if (s->parents == NULL || s->entry_places == NULL || s->on_disk == NULL || s->staged == NULL ||
        s->inos == NULL)
        return alb_fail(ALB_FULL, "memory for the stage");
    s->scan = scan_of_target(s);
    return ALB_STATUS_OK;
}

/* The holdings know paths of the first tree added to them; is that the target? */
static const struct scan *scan_of_target(const struct stage *s)
{
    const struct scan *first = holdings_first(s->holdings);
    struct stat a, b;

    if (first == NULL || fstat(first->top_fd, &a) != 0 || fstat(s->target_fd, &b) != 0)
        return NULL;
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino ? first : NULL;
}

struct alb_status stage_plan(struct stage *s, struct stage_plan *out)
{
    struct stage_plan plan;

    pthread_mutex_lock(&s->lock);
    plan = s->counted; /* what is in place and what was resumed */
    for (size_t i = 0; i < s->file_count; i++) {
        const struct stage_file *f = &s->files[i];

        if (f->state == STAGE_WHOLE) {
            plan.files_local++;
            plan.bytes_local += stage_entry(s, f->entry)->size;
        }
        for (size_t k = 0; k < f->use_count && f->state == STAGE_PIECES; k++) {
            const struct stage_use *u = &s->uses[f->first_use + k];

            plan.bytes_local_chunks += u->local && !u->filled ? u->length : 0;
        }
    }
    for (size_t i = 0; i < s->manifest->content_key_count; i++) {
        if (!is_needed(s, i))
            continue;
        s->positions[plan.position_count++] = (uint32_t)i;
        plan.bytes_needed += s->manifest->content_raw_bytes[i];
    }
    pthread_mutex_unlock(&s->lock);
    plan.positions = s->positions;
    *out = plan;
    return ALB_STATUS_OK;
}

static bool is_open(const struct stage *s, const struct stage_use *u)
{
    return s->files[u->file].state == STAGE_PIECES && !u->filled;
}

static bool is_needed(const struct stage *s, size_t position)
{
    for (size_t i = s->position_starts[position]; i < s->position_starts[position + 1]; i++) {
        const struct stage_use *u = &s->uses[s->by_position[i]];

        if (is_open(s, u) && !u->local)
            return true;
    }
    return false;
}

size_t stage_local_units(const struct stage *s)
{
    return s->unit_count;
}

struct alb_status stage_fill_local(struct stage *s, size_t unit)
{
    const struct stage_unit *u = &s->units[unit];
    struct content c;
    struct alb_status st = content_init(&c);

    for (size_t i = 0; i < u->count && !alb_failed(st); i++) {
        struct stage_file *f = &s->files[s->unit_files[u->first + i]];
        bool whole;

        pthread_mutex_lock(&s->lock);
        whole = f->state == STAGE_WHOLE;
        pthread_mutex_unlock(&s->lock);
        st = whole ? stage_file_copy(s, f, &c) : stage_file_gather(s, f);
    }
    content_release(&c);
    return st;
}

struct alb_status stage_put(struct stage *s, uint32_t position, const void *raw, size_t size)
{
    struct alb_status st = ALB_STATUS_OK;

    if (position >= s->manifest->content_key_count)
        return alb_fail(ALB_BUG, "a chunk that the manifest does not have");
    for (size_t i = s->position_starts[position];
         i < s->position_starts[position + 1] && !alb_failed(st); i++) {
        size_t use = s->by_position[i];
        bool open;

        pthread_mutex_lock(&s->lock);
        open = is_open(s, &s->uses[use]);
        pthread_mutex_unlock(&s->lock);
        if (open)
            st = stage_file_put(s, use, raw, size);
    }
    return st;
}

struct alb_status stage_seal(struct stage *s)
{
    for (size_t i = 0; i < s->file_count; i++)
        if (s->files[i].state != STAGE_DONE)
            return stage_blame(s, stage_entry(s, s->files[i].entry)->path,
                               alb_fail(ALB_NOT_FOUND, "chunks of a file have not come yet"));
    return stage_sync(s);
}

struct alb_status stage_sync(struct stage *s)
{
    for (size_t i = 0; i < s->places.count; i++)
        if (fault_hits("stage.sync") || syncfs(s->places.items[i].stage_fd) != 0)
            return alb_fail_sys("writing the stage to disk");
    KILL_POINT("stage.synced");
    return ALB_STATUS_OK;
}

const char *stage_error_path(const struct stage *s)
{
    return s->error_path;
}
