/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage_place.c – one folder of ours on each file system,
 * because a rename cannot cross them. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "image/stage_impl.h"

static struct alb_status find_parents(struct stage *s);
static struct alb_status look_at_directory(struct stage *s, struct dirs *dirs, uint32_t entry);
static struct alb_status place_add(struct places *p, int target_fd, const char *top,
                                   const struct digest *root);
static struct alb_status place_open(struct place *p, int target_fd, const struct digest *root);
static struct alb_status sweep(int albedo_fd, const char *name,
                               bool (*is_spared)(const char *name, const char *keep),
                               const char *keep);
static bool is_the_one(const char *name, const char *keep);
static bool is_no_temporary(const char *name, const char *keep);

struct alb_status places_find(struct stage *s)
{
    char name[STAGE_ROOT_DIGITS + 1];
    struct dirs dirs;
    struct alb_status st = find_parents(s);

    if (!alb_failed(st))
        st = place_add(&s->places, s->target_fd, "", &s->root);
    dirs_init(&dirs, s->target_fd);
    for (uint32_t i = 0; i < s->manifest->count && !alb_failed(st); i++) {
        uint32_t parent = s->parents[i];

        s->entry_places[i] = i == 0 ? 0 : s->entry_places[parent];
        if (i == 0)
            s->on_disk[i] = true;
        else if (s->on_disk[parent] && stage_entry(s, i)->type == ENTRY_DIRECTORY)
            st = look_at_directory(s, &dirs, i);
    }
    dirs_release(&dirs);
    stage_root_name(&s->root, name);
    /* With a journal there, another root's stage may be what it needs. */
    for (size_t i = 0; !s->over_journal && i < s->places.count && !alb_failed(st); i++)
        st = sweep(s->places.items[i].albedo_fd, STAGE_DIR, is_the_one, name);
    if (!alb_failed(st))
        st = sweep(s->places.items[0].albedo_fd, ".", is_no_temporary, NULL);
    return st;
}

/* Entries of a directory are together, so the parent is looked up once for all of them. */
static struct alb_status find_parents(struct stage *s)
{
    const struct manifest *m = s->manifest;
    const char *last = NULL;
    size_t last_length = 0;
    uint32_t parent = 0;

    for (uint32_t i = 1; i < m->count; i++) {
        const char *path = m->entries[i].path;
        size_t length = dirs_parent_length(path);

        if (length > 0 &&
            (last == NULL || length != last_length || memcmp(last, path, length) != 0)) {
            AUTO_FREE char *dir = xstrndup(path, length);
            const struct manifest_entry *e = manifest_find(m, dir);

            if (e == NULL)
                return alb_fail(ALB_CORRUPT, "manifest: an entry lies in no directory of it");
            parent = (uint32_t)(e - m->entries);
            last = path;
            last_length = length;
        }
        s->parents[i] = length == 0 ? 0 : parent;
    }
    return ALB_STATUS_OK;
}

static struct alb_status look_at_directory(struct stage *s, struct dirs *dirs, uint32_t entry)
{
    const char *path = stage_entry(s, entry)->path;
    const char *name;
    struct statx now;
    int dir_fd;
    struct alb_status st = dirs_parent(dirs, path, &dir_fd, &name);

    if (alb_failed(st))
        return dirs_is_absent(st) ? ALB_STATUS_OK : stage_blame(s, path, st);
    if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &now) != 0 || !S_ISDIR(now.stx_mode))
        return ALB_STATUS_OK;
    s->on_disk[entry] = true;
    if ((now.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0)
        return ALB_STATUS_OK;
    st = place_add(&s->places, s->target_fd, path, &s->root);
    if (alb_failed(st))
        return stage_blame(s, path, st);
    s->entry_places[entry] = (uint16_t)(s->places.count - 1);
    return ALB_STATUS_OK;
}

static struct alb_status place_add(struct places *p, int target_fd, const char *top,
                                   const struct digest *root)
{
    struct place place = {.albedo_fd = -1, .stage_fd = -1};
    struct alb_status st;

    if (p->count == PLACES_MAX)
        return alb_fail(ALB_INVALID, "the target spans more than 256 file systems");
    place.top = xstrdup(top);
    st = place_open(&place, target_fd, root);
    p->items = xrealloc(p->items, (p->count + 1) * sizeof(*p->items));
    p->items[p->count++] = place; /* released with the rest, whole or not */
    return st;
}

/* Nobody but us shall look into the stage, where set-id files lie under names of our making; and
 * nothing shall inherit an ACL there. */
static struct alb_status place_open(struct place *p, int target_fd, const struct digest *root)
{
    char name[STAGE_ROOT_DIGITS + 1];
    AUTO_FREE char *path = xasprintf("%s/%s", STAGE_DIR, stage_root_name(root, name));
    int top = dirs_open_path(target_fd, p->top, O_DIRECTORY);
    struct alb_status st;

    if (top < 0)
        return alb_fail_sys("opening a file system of the target");
    st = albedo_open(top, &p->albedo_fd);
    close(top);
    if (!alb_failed(st))
        st = dirs_make(p->albedo_fd, path, 0700, &p->stage_fd);
    if (alb_failed(st))
        return st;
    return meta_forget_defaults(p->stage_fd);
}

/* All in `name` but what is spared, with all that is in it. */
static struct alb_status sweep(int albedo_fd, const char *name,
                               bool (*is_spared)(const char *name, const char *keep),
                               const char *keep)
{
    struct alb_status st = ALB_STATUS_OK;
    int fd = openat(albedo_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir == NULL) {
        st = alb_fail_sys("reading .albedo in TARGET");
        if (fd >= 0)
            close(fd);
        return st;
    }
    for (struct dirent *e = readdir(dir); e != NULL && !alb_failed(st); e = readdir(dir))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            !is_spared(e->d_name, keep))
            st = dirs_remove(dirfd(dir), e->d_name);
    closedir(dir);
    return st;
}

static bool is_the_one(const char *name, const char *keep)
{
    return strcmp(name, keep) == 0;
}

/* Temporary is what file_replace() left when the program died in it. */
static bool is_no_temporary(const char *name, const char *keep)
{
    static const char *const starts[] = {"." JOURNAL_FILE ".tmp-", "." APPLIED_FILE ".tmp-"};

    (void)keep;
    for (size_t i = 0; i < ALB_COUNT(starts); i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return false;
    return true;
}

struct alb_status places_open(struct places *p, int target_fd, char *const *tops, size_t count,
                              const struct digest *root)
{
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < count && !alb_failed(st); i++)
        st = place_add(p, target_fd, tops[i], root);
    return st;
}

void places_release(struct places *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].top);
        if (p->items[i].stage_fd >= 0)
            close(p->items[i].stage_fd);
        if (p->items[i].albedo_fd >= 0)
            close(p->items[i].albedo_fd);
    }
    free(p->items);
    *p = (struct places){0};
}

uint16_t places_of(const struct places *p, const char *path)
{
    uint16_t best = 0;

    for (size_t i = 1; i < p->count; i++) {
        size_t length = strlen(p->items[i].top);

        if (strncmp(path, p->items[i].top, length) == 0 && path[length] == '/' &&
            length > strlen(p->items[best].top))
            best = (uint16_t)i;
    }
    return best;
}

struct alb_status places_sweep(struct places *p)
{
    struct alb_status st = ALB_STATUS_OK;

    if (fault_hits("apply.sweep"))
        return alb_status_from_errno(EIO, "removing the stage");
    for (size_t i = 0; i < p->count && !alb_failed(st); i++)
        st = dirs_remove(p->items[i].albedo_fd, STAGE_DIR);
    return st;
}

const char *stage_root_name(const struct digest *root, char out[STAGE_ROOT_DIGITS + 1])
{
    bytes_hex(root->bytes, STAGE_ROOT_DIGITS / 2, out);
    return out;
}

const char *stage_name(uint32_t entry, char out[STAGE_NAME_SIZE])
{
    (void)snprintf(out, STAGE_NAME_SIZE, "%u", entry);
    return out;
}
