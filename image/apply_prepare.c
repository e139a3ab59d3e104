/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply_prepare.c – looks at every path of the version and writes down what is to be done.
 *
 * Nothing of the owner's is changed here.  For each entry there are four cases: nothing is there,
 * the right thing is there, something of the applied version is there, something of the owner's is
 * there.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "image/apply_impl.h"

static struct alb_status prepare_init(struct prepare *p);
static void prepare_release(struct prepare *p);
static struct alb_status prepare_entry(struct prepare *p, uint32_t entry);
static struct alb_status bring(struct prepare *p, uint32_t entry, const char *path);
static struct alb_status replace(struct prepare *p, uint32_t entry, const struct found *f);
static struct alb_status meet_directory(struct prepare *p, uint32_t entry, const struct found *f);
static struct alb_status meet_hardlink(struct prepare *p, uint32_t entry, const struct found *f);
static struct alb_status meet_other(struct prepare *p, uint32_t entry, const struct found *f);
static void finish_directories(struct prepare *p);
static struct alb_status finish(struct prepare *p);

struct alb_status apply_prepare(struct stage *s, const struct apply_options *options,
                                struct apply_result *out)
{
    struct apply_result result = {0};
    struct prepare p = {.s = s, .m = s->manifest, .options = options, .out = &result};
    struct alb_status st = prepare_init(&p);

    for (uint32_t i = 0; i < p.m->count && !alb_failed(st); i++) {
        st = prepare_entry(&p, i);
        if (alb_failed(st))
            st = stage_blame(s, stage_entry(s, i)->path, st);
    }
    if (!alb_failed(st))
        st = prepare_removals(&p);
    if (!alb_failed(st))
        st = finish(&p);
    prepare_release(&p);
    if (!alb_failed(st) || st.code == ALB_INVALID || st.code == ALB_REFUSED)
        *out = result;
    else
        apply_result_release(&result);
    return st;
}

static struct alb_status prepare_init(struct prepare *p)
{
    size_t count = p->m->count;
    struct alb_status st;

    dirs_init(&p->dirs, p->s->target_fd);
    map_init(&p->inodes);
    p->stays = stage_array(count, sizeof(*p->stays));
    p->touched = stage_array(count, sizeof(*p->touched));
    p->differs = stage_array(count, sizeof(*p->differs));
    p->comes = stage_array(count, sizeof(*p->comes));
    p->inos = stage_array(count, sizeof(*p->inos));
    if (p->stays == NULL || p->touched == NULL || p->differs == NULL || p->comes == NULL ||
        p->inos == NULL)
        return alb_fail(ALB_FULL, "memory for the journal");
    /* Our own folders have been made in them, or will be removed. */
    for (size_t i = 0; i < p->s->places.count; i++)
        p->touched[manifest_find(p->m, p->s->places.items[i].top) - p->m->entries] = true;
    st = content_init(&p->content);
    if (alb_failed(st))
        return st;
    st = applied_record_read(p->s->target_fd, &p->old);
    p->has_old = !alb_failed(st);
    return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
}

static void prepare_release(struct prepare *p)
{
    dirs_release(&p->dirs);
    map_release(&p->inodes);
    content_release(&p->content);
    if (p->has_old)
        applied_record_release(&p->old);
    for (size_t i = 0; i < ALB_COUNT(p->ops); i++)
        journal_release(&p->ops[i]);
    free(p->stays);
    free(p->touched);
    free(p->differs);
    free(p->comes);
    free(p->inos);
}

void prepare_op(struct prepare *p, enum journal_op_kind kind, uint32_t entry, const char *path,
                uint64_t ino)
{
    struct journal_op op = {.kind = kind, .entry = entry, .ino = ino};

    if (path != NULL)
        op.path = xstrdup(path);
    journal_add(&p->ops[kind], op);
}

void prepare_touch(struct prepare *p, const char *path)
{
    AUTO_FREE char *dir = xstrndup(path, dirs_parent_length(path));
    const struct manifest_entry *e = manifest_find(p->m, dir);

    if (e != NULL)
        p->touched[e - p->m->entries] = true;
}

void prepare_keep(struct prepare *p, const struct found *f)
{
    prepare_op(p, JOURNAL_KEEP, 0, f->path, f->now.stx_ino);
    prepare_touch(p, f->path);
    apply_result_keep(p->out, f->path);
    p->counts.kept++;
}

void prepare_forbid(struct prepare *p, const char *path, const char *why)
{
    apply_result_conflict(p->out, path, why);
    p->forbidden = true;
}

static struct alb_status prepare_entry(struct prepare *p, uint32_t entry)
{
    const struct manifest_entry *e = stage_entry(p->s, entry);
    struct found f;
    struct alb_status st = alb_fail(ALB_NOT_FOUND, "its directory is new");

    if (entry == 0 || p->stays[p->s->parents[entry]])
        st = prepare_look(p, e->path, &f);
    if (st.code == ALB_NOT_FOUND) {
        p->counts.made++;
        return bring(p, entry, e->path);
    }
    if (alb_failed(st))
        return st;
    switch (e->type) {
    case ENTRY_DIRECTORY: return meet_directory(p, entry, &f);
    case ENTRY_HARDLINK: return meet_hardlink(p, entry, &f);
    case ENTRY_FILE:
    case ENTRY_SYMLINK:
    case ENTRY_FIFO:
    case ENTRY_SOCKET:
    case ENTRY_CHAR_DEVICE:
    case ENTRY_BLOCK_DEVICE: return meet_other(p, entry, &f);
    }
    alb_unreachable();
}

/* What meta_set() will find that it cannot set on a directory that is yet to be made. */
static void predict_losses(struct prepare *p, const struct manifest_entry *e)
{
    struct meta made = {.mode = e->mode,
                        .uid = geteuid(),
                        .gid = getegid(),
                        .mtime_s = e->mtime_s,
                        .mtime_ns = e->mtime_ns};

    (void)meta_differs(&made, e, &p->losses);
}

/* Nothing will be in the way when the entry comes. */
static struct alb_status bring(struct prepare *p, uint32_t entry, const char *path)
{
    const struct manifest_entry *e = stage_entry(p->s, entry);
    struct alb_status st = ALB_STATUS_OK;
    bool made = true;

    p->comes[entry] = true;
    p->touched[p->s->parents[entry]] = true;
    (void)path;
    switch (e->type) {
    case ENTRY_DIRECTORY:
        predict_losses(p, e);
        p->touched[entry] = true;
        prepare_op(p, JOURNAL_MAKE_DIR, entry, NULL, 0);
        return st;
    case ENTRY_HARDLINK: prepare_op(p, JOURNAL_LINK, entry, NULL, 0); return st;
    case ENTRY_FILE:
        if (!p->s->staged[entry])
            return alb_fail(ALB_CONFLICT, "a file of the target vanished meanwhile; pull again");
        break;
    case ENTRY_SYMLINK:
    case ENTRY_FIFO:
    case ENTRY_SOCKET:
    case ENTRY_CHAR_DEVICE:
    case ENTRY_BLOCK_DEVICE: st = stage_make_special(p->s, entry, &made); break;
    }
    if (!alb_failed(st) && made)
        prepare_op(p, JOURNAL_RENAME_IN, entry, NULL, p->s->inos[entry]);
    return st;
}

/* Something else is there: the applied version's is replaced, the owner's is kept. */
static struct alb_status replace(struct prepare *p, uint32_t entry, const struct found *f)
{
    bool is_directory = S_ISDIR(f->now.stx_mode);
    bool ours = false;
    struct alb_status st;

    p->counts.replaced++;
    if (is_directory) {
        st = prepare_clear(p, f);
    } else {
        st = found_is_ours(p, f, &ours);
        if (!alb_failed(st) && !ours)
            prepare_keep(p, f);
        else if (stage_entry(p->s, entry)->type == ENTRY_DIRECTORY)
            prepare_op(p, JOURNAL_UNLINK, 0, f->path, f->now.stx_ino);
    }
    return alb_failed(st) ? st : bring(p, entry, f->path);
}

static struct alb_status meet_directory(struct prepare *p, uint32_t entry, const struct found *f)
{
    const struct manifest_entry *e = stage_entry(p->s, entry);
    bool ours = false;
    struct alb_status st;

    if (S_ISDIR(f->now.stx_mode)) {
        p->stays[entry] = true;
        st = found_differs(p, f, e, &p->differs[entry]);
        p->counts.metadata_only += p->differs[entry] ? 1 : 0;
        p->counts.unchanged += p->differs[entry] ? 0 : 1;
        return st;
    }
    st = found_is_ours(p, f, &ours);
    if (alb_failed(st) || ours || !S_ISLNK(f->now.stx_mode))
        return alb_failed(st) ? st : replace(p, entry, f);
    prepare_forbid(p, f->path,
                   "is a symlink where the version has a directory; it is not followed: "
                   "remove it, or move what it points to here");
    return ALB_STATUS_OK;
}

/* In place when it is the same inode as its first name's, and that one stays. */
static struct alb_status meet_hardlink(struct prepare *p, uint32_t entry, const struct found *f)
{
    const struct manifest_entry *first = manifest_find(p->m, stage_entry(p->s, entry)->target);
    size_t index = (size_t)(first - p->m->entries);
    struct digest here;
    struct alb_status st;

    if (!p->comes[index] && S_ISREG(f->now.stx_mode) && f->now.stx_ino == p->inos[index]) {
        p->counts.unchanged++;
        return ALB_STATUS_OK;
    }
    if (!S_ISREG(f->now.stx_mode) || f->now.stx_size != first->size)
        return replace(p, entry, f);
    st = found_digest(p, f, &here);
    if (alb_failed(st) || !digest_equal(&here, &first->content))
        return alb_failed(st) ? st : replace(p, entry, f);
    p->counts.replaced++; /* the right bytes, so nothing of anyone's is lost */
    return bring(p, entry, f->path);
}

/* Names on disk of the inode in `f` that this entry's names are. */
static struct alb_status count_names(struct prepare *p, uint32_t entry, uint64_t ino, uint32_t *out)
{
    const char *path = stage_entry(p->s, entry)->path;
    uint32_t names = 1;

    for (size_t i = entry + 1; i < p->m->count; i++) {
        const struct manifest_entry *e = &p->m->entries[i];
        struct found f;
        struct alb_status st;

        if (e->type != ENTRY_HARDLINK || strcmp(e->target, path) != 0)
            continue;
        st = prepare_look(p, e->path, &f);
        if (alb_failed(st) && st.code != ALB_NOT_FOUND)
            return st;
        names += !alb_failed(st) && f.now.stx_ino == ino ? 1 : 0;
    }
    *out = names;
    return ALB_STATUS_OK;
}

/* Another entry has claimed this inode: the owner linked what are two files here. */
static bool is_claimed(struct prepare *p, uint32_t entry, const struct statx *now)
{
    struct chunk_key key = {.kind = KEY_PLAIN};
    uint64_t device = (uint64_t)now->stx_dev_major << 32 | now->stx_dev_minor;

    if (now->stx_nlink < 2)
        return false;
    memcpy(key.digest.bytes, &now->stx_ino, sizeof(now->stx_ino));
    memcpy(key.digest.bytes + sizeof(now->stx_ino), &device, sizeof(device));
    if (map_get(&p->inodes, &key) != NULL)
        return true;
    (void)map_put(&p->inodes, &key, (void *)(uintptr_t)(entry + 1));
    return false;
}

static bool has_capabilities(const struct manifest_entry *e)
{
    for (size_t i = 0; i < e->xattr_count; i++)
        if (strcmp(e->xattrs[i].name, "security.capability") == 0)
            return true;
    return false;
}

/* Another user may hold this inode open, ready to write.  Were it given root's name or a set-id
 * bit, its content would be that user's choice from then on: such a file is brought anew. */
static bool is_unsafe_to_bless(const struct found *f, const struct manifest_entry *e)
{
    const bool is_theirs =
        f->now.stx_uid != geteuid() || (f->now.stx_mode & (S_IWGRP | S_IWOTH)) != 0;
    const bool gains =
        e->uid != f->now.stx_uid || (e->mode & (S_ISUID | S_ISGID)) != 0 || has_capabilities(e);

    return geteuid() == 0 && e->type == ENTRY_FILE && is_theirs && gains;
}

/* The bytes are right.  Is the inode ours to change? */
static struct alb_status meet_same(struct prepare *p, uint32_t entry, const struct found *f)
{
    const struct manifest_entry *e = stage_entry(p->s, entry);
    bool differs = false;
    bool split = e->type == ENTRY_FILE && is_claimed(p, entry, &f->now);
    uint32_t names = 1;
    uint32_t links = f->now.stx_nlink;
    uint64_t ino = f->now.stx_ino;
    struct found again;
    struct alb_status st = found_differs(p, f, e, &differs);

    if (!alb_failed(st) && differs && e->type == ENTRY_FILE && links > 1 && !split) {
        st = count_names(p, entry, ino, &names);
        split = names < links;
    }
    if (alb_failed(st))
        return st;
    split = split || (differs && is_unsafe_to_bless(f, e));
    p->inos[entry] = ino;
    if (!split) {
        p->counts.metadata_only += differs ? 1 : 0;
        p->counts.unchanged += differs ? 0 : 1;
        if (differs)
            prepare_op(p, JOURNAL_SET_META, entry, NULL, 0);
        return ALB_STATUS_OK;
    }
    st = prepare_look(p, e->path, &again);
    if (!alb_failed(st))
        st = stage_file_take(p->s, entry, again.dir_fd, again.name, &p->content);
    if (alb_failed(st))
        return st;
    p->counts.replaced++;
    return bring(p, entry, e->path);
}

static struct alb_status meet_other(struct prepare *p, uint32_t entry, const struct found *f)
{
    const struct manifest_entry *e = stage_entry(p->s, entry);
    bool same = false;
    struct alb_status st = found_has_content(p, f, e, &same);

    if (alb_failed(st))
        return st;
    if (same && (e->type != ENTRY_FILE || !p->s->staged[entry]))
        return meet_same(p, entry, f);
    if (same) { /* staged because nobody had looked here; as good as what comes */
        p->counts.replaced++;
        return bring(p, entry, f->path);
    }
    if (e->type == ENTRY_FILE && !p->s->staged[entry])
        return alb_fail(ALB_CONFLICT, "a file of the target changed meanwhile; pull again");
    return replace(p, entry, f);
}

/* Deepest first, so that a directory without permissions is closed after what is in it. */
static void finish_directories(struct prepare *p)
{
    for (size_t i = p->m->count; i-- > 0;)
        if (p->m->entries[i].type == ENTRY_DIRECTORY && (p->touched[i] || p->differs[i]))
            prepare_op(p, JOURNAL_SET_META, (uint32_t)i, NULL, 0);
}

static struct alb_status encode_manifest(const struct manifest *m, struct buf *out)
{
    struct manifest_writer w;
    struct alb_status st = manifest_begin(&w, &m->params, &m->entries[0]);

    for (size_t i = 1; i < m->count && !alb_failed(st); i++)
        st = manifest_add(&w, &m->entries[i]);
    if (!alb_failed(st))
        st = manifest_finish(&w, out);
    manifest_writer_release(&w);
    return st;
}

/* One list in the order of the kinds; the manifest makes replaying independent of anything else. */
static struct alb_status write_journal(struct prepare *p, const struct buf *manifest)
{
    struct journal j = {.root = p->s->root, .counts = p->counts};
    int albedo_fd = p->s->places.items[0].albedo_fd;
    char path[FD_PATH_SIZE];
    struct buf bytes;
    struct alb_status st;

    j.version = xstrdup(p->options->version);
    j.manifest_bytes = buf_peek(manifest);
    j.manifest_size = buf_size(manifest);
    j.places = xcalloc(p->s->places.count, sizeof(*j.places));
    while (j.place_count < p->s->places.count) {
        j.places[j.place_count] = xstrdup(p->s->places.items[j.place_count].top);
        j.place_count++;
    }
    j.notes = xcalloc(p->out->conflict_count + 1, sizeof(*j.notes));
    for (; j.note_count < p->out->conflict_count; j.note_count++)
        j.notes[j.note_count] = xstrdup(p->out->conflicts[j.note_count]);
    for (size_t kind = 0; kind < ALB_COUNT(p->ops); kind++) {
        for (size_t i = 0; i < p->ops[kind].op_count; i++)
            journal_add(&j, p->ops[kind].ops[i]);
        p->ops[kind].op_count = 0; /* their texts have a new owner */
    }
    buf_init(&bytes, SIZE_MAX / 4);
    st = journal_encode(&j, &bytes);
    if (!alb_failed(st))
        st = file_replace(fd_path(albedo_fd, JOURNAL_FILE, path), buf_peek(&bytes),
                          buf_size(&bytes), 0600);
    buf_release(&bytes);
    journal_release(&j);
    return st;
}

static void count_losses(struct prepare *p)
{
    p->counts.owners_not_set = p->losses.owners + p->s->losses.owners;
    p->counts.devices_not_made = p->losses.devices + p->s->losses.devices;
    p->counts.xattrs_not_set = p->losses.xattrs + p->s->losses.xattrs;
    apply_result_count(p->out, &p->counts);
}

static struct alb_status finish(struct prepare *p)
{
    struct buf manifest;
    struct alb_status st;

    finish_directories(p);
    count_losses(p);
    if (p->forbidden)
        return alb_fail(ALB_INVALID, "TARGET has things in the way that only its owner can move");
    if (p->options->strict &&
        p->counts.owners_not_set + p->counts.devices_not_made + p->counts.xattrs_not_set > 0)
        return alb_fail(ALB_REFUSED,
                        "--strict: owners, devices or attributes cannot be set without "
                        "the privilege; run as root, or without --strict");
    buf_init(&manifest, SIZE_MAX / 4);
    st = encode_manifest(p->m, &manifest);
    if (!alb_failed(st))
        st = stage_sync(p->s);
    if (!alb_failed(st))
        st = write_journal(p, &manifest);
    buf_release(&manifest);
    if (alb_failed(st))
        return st;
    KILL_POINT("journal.sealed");
    close(p->s->lock_fd); /* apply_replay() takes it, in this process or the next */
    p->s->lock_fd = -1;
    return ALB_STATUS_OK;
}
