/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply_replay.c – does what the journal says, from its beginning, as often as it takes.
 *
 * Whatever fails for good reasons of the machine's (disk, memory, rights) stops the replay and
 * leaves the journal; what fails because the owner changed a path meanwhile is a conflict, is
 * listed, and the rest goes on.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "image/apply_impl.h"
#include "image/apply_op.h"

static struct alb_status replay_open(struct replay *r, const char *target, struct buf *bytes);
static struct alb_status replay_run(struct replay *r);
static struct alb_status check_staged(struct replay *r, struct apply_damage *out);
static struct alb_status replay_finish(struct replay *r);
static struct alb_status check_mounts(const struct replay *r);
static struct alb_status sync_places(const struct replay *r);
static void replay_release(struct replay *r);

struct alb_status apply_replay(const char *target, struct apply_result *out)
{
    struct apply_result result = {0};
    struct replay r = {.target_fd = -1, .lock_fd = -1, .out = &result};
    struct buf bytes;
    struct alb_status st;

    buf_init(&bytes, SIZE_MAX / 4);
    st = replay_open(&r, target, &bytes);
    if (!alb_failed(st))
        st = judge_open(&r);
    if (!alb_failed(st))
        st = replay_run(&r);
    if (!alb_failed(st))
        st = replay_finish(&r);
    replay_release(&r);
    buf_release(&bytes);
    if (alb_failed(st))
        apply_result_release(&result);
    else
        *out = result;
    return st;
}

struct alb_status apply_check(const char *target, struct apply_damage *out)
{
    struct apply_damage damage = {.count = 0};
    struct replay r = {.target_fd = -1, .lock_fd = -1};
    struct buf bytes;
    struct alb_status st;

    buf_init(&bytes, SIZE_MAX / 4);
    st = replay_open(&r, target, &bytes);
    if (!alb_failed(st))
        st = check_staged(&r, &damage);
    replay_release(&r);
    buf_release(&bytes);
    if (alb_failed(st))
        apply_damage_release(&damage);
    else
        *out = damage;
    return st;
}

void apply_damage_release(struct apply_damage *d)
{
    free(d->path);
    *d = (struct apply_damage){.count = 0};
}

static struct alb_status read_journal(struct replay *r, struct buf *bytes)
{
    struct manifest_limits limits = manifest_limits_default;
    char path[FD_PATH_SIZE];
    int albedo;
    /* Looked at again: whoever owns TARGET can have put another .albedo there since the lock. */
    struct alb_status st = albedo_open(r->target_fd, &albedo);

    if (alb_failed(st))
        return st;
    st = file_read(fd_path(albedo, JOURNAL_FILE, path), bytes);
    close(albedo);
    if (alb_failed(st))
        return st;
    st = journal_decode(buf_peek(bytes), buf_size(bytes), &r->journal);
    if (alb_failed(st))
        return st;
    limits.allow_devices = true; /* leave was given when the journal was written */
    st =
        manifest_decode(r->journal.manifest_bytes, r->journal.manifest_size, &limits, &r->manifest);
    for (size_t i = 0; i < r->journal.op_count && !alb_failed(st); i++)
        if (r->journal.ops[i].entry >= r->manifest.count)
            st = alb_fail(ALB_CORRUPT, "the journal names an entry that the version has not");
    return st;
}

static struct alb_status replay_open(struct replay *r, const char *target, struct buf *bytes)
{
    struct stat there;
    struct alb_status st = target_open(target, &r->target_fd);

    dirs_init(&r->dirs, r->target_fd);
    dirs_init(&r->other_dirs, r->target_fd);
    if (alb_failed(st))
        return st;
    if (fstatat(r->target_fd, ALBEDO_DIR "/" JOURNAL_FILE, &there, AT_SYMLINK_NOFOLLOW) != 0 &&
        (errno == ENOENT || errno == ENOTDIR))
        return alb_fail(ALB_NOT_FOUND, "there is nothing to finish in TARGET");
    st = target_lock(r->target_fd, &r->lock_fd);
    if (!alb_failed(st))
        st = read_journal(r, bytes);
    if (!alb_failed(st))
        st = check_mounts(r);
    if (!alb_failed(st))
        st = places_open(&r->places, r->target_fd, r->journal.places, r->journal.place_count,
                         &r->journal.root);
    return st;
}

/* A stage that lies on a file system which is not mounted now would look empty. */
static struct alb_status check_mounts(const struct replay *r)
{
    for (size_t i = 1; i < r->journal.place_count; i++) {
        struct statx now;
        int fd = dirs_open_path(r->target_fd, r->journal.places[i], O_DIRECTORY);
        bool mounted = fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &now) == 0 &&
                       (now.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;

        if (fd >= 0)
            close(fd);
        if (!mounted) {
            log_event(LOG_ERROR, "apply.not_mounted", "path=%s", r->journal.places[i]);
            return alb_fail(ALB_INVALID, "a file system that TARGET had is not mounted; mount it "
                                         "and run this again");
        }
    }
    return ALB_STATUS_OK;
}

/* Is what lies in the stage this entry's content?  What is not there was put in place already, or
 * is the owner's doing: the operation sees.  Who was fetching it again over this journal may have
 * died when it had its bytes and not yet its metadata, so that is set once more. */
static bool is_as_sealed(struct replay *r, uint32_t entry, const struct manifest_entry *e,
                         struct content *c)
{
    int stage_fd = r->places.items[places_of(&r->places, e->path)].stage_fd;
    char name[STAGE_NAME_SIZE];
    struct digest found;
    struct stat now;
    int fd = openat(stage_fd, stage_name(entry, name),
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT;
    bool is_right =
        fstat(fd, &now) == 0 && S_ISREG(now.st_mode) && (uint64_t)now.st_size == e->size &&
        !alb_failed(content_digest(c, fd, e->size, &found)) && digest_equal(&found, &e->content);
    is_right = is_right && !alb_failed(meta_set(fd, e, false, &r->losses));
    close(fd);
    return is_right;
}

static struct alb_status check_staged(struct replay *r, struct apply_damage *out)
{
    struct content c;
    struct alb_status st = content_init(&c);

    for (size_t i = 0; i < r->journal.op_count && !alb_failed(st); i++) {
        const struct journal_op *op = &r->journal.ops[i];
        const struct manifest_entry *e = &r->manifest.entries[op->entry];

        if (op->kind != JOURNAL_RENAME_IN || e->type != ENTRY_FILE ||
            is_as_sealed(r, op->entry, e, &c))
            continue;
        log_event(LOG_WARN, "apply.stage_damaged", "path=%s", e->path);
        if (out->count++ == 0)
            out->path = xstrdup(e->path);
    }
    content_release(&c);
    return alb_failed(st) ? st : sync_places(r); /* nor may it be on the disk yet */
}

static struct alb_status replay_run(struct replay *r)
{
    apply_result_count(r->out, &r->journal.counts);
    for (size_t i = 0; i < r->journal.note_count; i++)
        apply_result_note(r->out, r->journal.notes[i]);
    for (size_t i = 0; i < r->journal.op_count; i++) {
        const struct journal_op *op = &r->journal.ops[i];
        const char *path = op->path != NULL ? op->path : r->manifest.entries[op->entry].path;
        struct alb_status st = fault_hits("apply.op")
                                   ? alb_status_from_errno(EIO, "changing the target")
                                   : replay_op(r, op, path);

        if (alb_failed(st)) {
            log_status(LOG_ERROR, "apply.failed", st, "path=%s", path);
            return st;
        }
        KILL_POINT("apply.op_done");
    }
    return ALB_STATUS_OK;
}

/* How each file was when we had just put it there.  One that is not as we left it gets no stamp, so
 * that the next pull asks its bytes. */
static struct alb_status take_stamps(struct replay *r, struct stamp **out)
{
    AUTO_FREE struct stamp *stamps = stage_array(r->manifest.count, sizeof(*stamps));

    if (stamps == NULL)
        return alb_fail(ALB_FULL, "memory for what is applied");
    for (size_t i = 0; i < r->manifest.count; i++) {
        const struct manifest_entry *e = &r->manifest.entries[i];
        struct statx now;
        const char *name;
        int fd;

        if (e->type != ENTRY_FILE || alb_failed(dirs_parent(&r->dirs, e->path, &fd, &name)) ||
            statx(fd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &now) != 0)
            continue;
        if (S_ISREG(now.stx_mode) && now.stx_size == e->size &&
            now.stx_mtime.tv_sec == e->mtime_s && now.stx_mtime.tv_nsec == e->mtime_ns)
            stamps[i] = stamp_of_statx(&now);
    }
    *out = take_ptr(&stamps);
    return ALB_STATUS_OK;
}

static struct alb_status sync_places(const struct replay *r)
{
    for (size_t i = 0; i < r->places.count; i++)
        if (fault_hits("apply.sync") || syncfs(r->places.items[i].albedo_fd) != 0)
            return alb_fail_sys("writing the target to disk");
    return ALB_STATUS_OK;
}

static struct alb_status replay_finish(struct replay *r)
{
    AUTO_FREE struct stamp *stamps = NULL;
    int albedo_fd = r->places.items[0].albedo_fd;
    struct alb_status st = take_stamps(r, &stamps);

    if (alb_failed(st))
        return st;
    st = sync_places(r);
    if (alb_failed(st))
        return st;
    KILL_POINT("apply.synced");
    st = applied_record_write(albedo_fd, &r->journal, &r->manifest, stamps);
    if (alb_failed(st))
        return st;
    KILL_POINT("applied.recorded");
    if (fault_hits("apply.unlink") || unlinkat(albedo_fd, JOURNAL_FILE, 0) != 0 ||
        fsync(albedo_fd) != 0)
        return alb_fail_sys("removing the journal");
    KILL_POINT("journal.removed");
    /* The next pull would sweep it as well. */
    alb_ignore(places_sweep(&r->places), "an old stage is only room");
    KILL_POINT("stage.swept");
    return ALB_STATUS_OK;
}

static void replay_release(struct replay *r)
{
    judge_close(r);
    dirs_release(&r->dirs);
    dirs_release(&r->other_dirs);
    places_release(&r->places);
    journal_release(&r->journal);
    manifest_release(&r->manifest);
    if (r->lock_fd >= 0)
        close(r->lock_fd);
    if (r->target_fd >= 0)
        close(r->target_fd);
}
