/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply_remove.c – what the new version does not have, and what stands in its way. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "image/apply_impl.h"

struct names {
    char **items; /* owned, each too */
    size_t count, capacity;
};

static struct alb_status remove_obsolete(struct prepare *p, const struct manifest_entry *e);
static struct alb_status remove_foreign(struct prepare *p);
static struct alb_status remove_tree(struct prepare *p, const char *path);
static struct alb_status remove_name(struct prepare *p, const struct found *f);
static struct alb_status names_read(struct prepare *p, const char *path, struct names *out);
static void names_release(struct names *n);

struct alb_status prepare_removals(struct prepare *p)
{
    const struct manifest *old = &p->old.applied.manifest;
    struct alb_status st = ALB_STATUS_OK;

    if (p->options->exact)
        return remove_foreign(p);
    /* Backwards: what is in a directory before the directory. */
    for (size_t i = p->has_old ? old->count : 0; i-- > 1 && !alb_failed(st);)
        if (manifest_find(p->m, old->entries[i].path) == NULL)
            st = remove_obsolete(p, &old->entries[i]);
    return st;
}

static bool is_mount(const struct found *f)
{
    return (f->now.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/* Only what is still of the type it was: otherwise the owner has put something of his own there. */
static struct alb_status remove_obsolete(struct prepare *p, const struct manifest_entry *e)
{
    struct found f;
    struct alb_status st = prepare_look(p, e->path, &f);

    if (alb_failed(st))
        return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : stage_blame(p->s, e->path, st);
    if (S_ISDIR(f.now.stx_mode) != (e->type == ENTRY_DIRECTORY) ||
        S_ISLNK(f.now.stx_mode) != (e->type == ENTRY_SYMLINK))
        return ALB_STATUS_OK;
    return remove_name(p, &f);
}

static struct alb_status remove_name(struct prepare *p, const struct found *f)
{
    bool ours = true;
    struct alb_status st = ALB_STATUS_OK;

    if (is_mount(f)) {
        apply_result_conflict(p->out, f->path, "is a mount point; it was left");
        return st;
    }
    /* With `exact` the owner asked for foreign things to go; what he changed of ours is kept. */
    if (p->has_old && manifest_find(&p->old.applied.manifest, f->path) != NULL)
        st = found_is_ours(p, f, &ours);
    if (alb_failed(st))
        return stage_blame(p->s, f->path, st);
    if (!ours) {
        prepare_keep(p, f);
        return st;
    }
    prepare_op(p, S_ISDIR(f->now.stx_mode) ? JOURNAL_REMOVE_DIR : JOURNAL_UNLINK, 0, f->path,
               f->now.stx_ino);
    prepare_touch(p, f->path);
    p->counts.removed++;
    return st;
}

/* ---- everything else, for --exact ---- */

static struct alb_status remove_foreign(struct prepare *p)
{
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < p->m->count && !alb_failed(st); i++) {
        struct names names = {0};

        if (!p->stays[i])
            continue;
        st = names_read(p, p->m->entries[i].path, &names);
        for (size_t k = 0; k < names.count && !alb_failed(st); k++)
            if (manifest_find(p->m, names.items[k]) == NULL)
                st = remove_tree(p, names.items[k]);
        names_release(&names);
    }
    return st;
}

/* As deep as the target is; each level costs a few hundred bytes of stack. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static struct alb_status remove_children(struct prepare *p, const char *path)
{
    struct names names = {0};
    struct alb_status st = names_read(p, path, &names);

    for (size_t i = 0; i < names.count && !alb_failed(st); i++)
        st = remove_tree(p, names.items[i]);
    names_release(&names);
    return st;
}

static struct alb_status remove_tree(struct prepare *p, const char *path) /* NOLINT: as above */
{
    struct found f;
    struct alb_status st = prepare_look(p, path, &f);

    if (alb_failed(st))
        return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : stage_blame(p->s, path, st);
    if (S_ISDIR(f.now.stx_mode) && !is_mount(&f)) {
        st = remove_children(p, path);
        if (!alb_failed(st))
            st = prepare_look(p, path, &f);
        if (st.code == ALB_NOT_FOUND)
            return ALB_STATUS_OK;
    }
    return alb_failed(st) ? st : remove_name(p, &f);
}

/* Paths, below the target, of what is in the directory; all at once, so that no descriptor stays
 * open while we go deeper.  Our own folder is nobody's. */
static struct alb_status names_read(struct prepare *p, const char *path, struct names *out)
{
    int dir_fd = dirs_open_path(p->s->target_fd, path, O_DIRECTORY);
    int fd = dir_fd < 0 ? -1 : openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct alb_status st = alb_fail_sys("reading a directory of the target");

    if (dir_fd >= 0)
        close(dir_fd);
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return dirs_is_absent(st) ? ALB_STATUS_OK : stage_blame(p->s, path, st);
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            strcmp(e->d_name, ALBEDO_DIR) == 0)
            continue;
        out->items = xrealloc_room(out->items, out->count, &out->capacity, sizeof(char *));
        out->items[out->count++] = *path == '\0' ? xstrdup(e->d_name) : path_join(path, e->d_name);
    }
    closedir(dir);
    return ALB_STATUS_OK;
}

static void names_release(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->items[i]);
    free(n->items);
}

/* ---- a directory where something else comes ---- */

/* Does the tree hold anything that the applied version did not put there as it is?  A mount point
 * in it cannot be moved. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the target is, as above */
static struct alb_status holds_foreign(struct prepare *p, const char *path, bool *foreign,
                                       bool *mount)
{
    struct names names = {0};
    struct alb_status st = names_read(p, path, &names);

    for (size_t i = 0; i < names.count && !alb_failed(st); i++) {
        struct found f;
        bool ours = false;

        st = prepare_look(p, names.items[i], &f);
        if (!alb_failed(st))
            st = found_is_ours(p, &f, &ours);
        if (alb_failed(st))
            break;
        *mount = *mount || is_mount(&f);
        *foreign = *foreign || !ours;
        if (S_ISDIR(f.now.stx_mode) && !is_mount(&f))
            st = holds_foreign(p, names.items[i], foreign, mount);
    }
    names_release(&names);
    return st;
}

struct alb_status prepare_clear(struct prepare *p, const struct found *f)
{
    bool mount = is_mount(f);
    bool foreign = false;
    struct found top = *f;
    struct alb_status st = holds_foreign(p, f->path, &foreign, &mount);

    if (alb_failed(st))
        return st;
    if (mount) {
        prepare_forbid(
            p, f->path,
            "is or holds a mount point where the version has something else; unmount it");
        return st;
    }
    if (p->options->exact) {
        st = remove_children(p, f->path);
        foreign = false;
    }
    if (foreign)
        prepare_keep(p, &top);
    else
        prepare_op(p, JOURNAL_CLEAR_DIR, 0, f->path, top.now.stx_ino);
    return st;
}
