/* SPDX-License-Identifier: Apache-2.0 */
/* image/scan.c – walks a tree directory by directory, in the very order a manifest has.
 *
 * A directory's names are read, sorted, and become items; its own directories wait on a stack,
 * first name on top.  That yields path_compare's order without sorting the whole.  Every directory
 * is opened beneath the top anew, so the walk holds one descriptor however deep the tree is.
 */
#include "image/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "image/scan_array.h"
#include "image/scan_open.h"
#include "image/scan_xattr.h"

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000 /* linux/stat.h since 5.8 */
#endif

static const char reserved_name[] = ".albedo";

struct inode_name { /* a regular file that has several names */
    uint64_t dev, ino;
    size_t item;
};

struct name_list {
    char **names;
    size_t count, capacity;
};

struct walk {
    struct scan *scan;
    const struct scan_options *options;
    size_t item_capacity, problem_capacity;
    size_t *pending; /* items that are directories still to be entered, the next one last */
    size_t pending_count, pending_capacity;
    struct inode_name *linked;
    size_t linked_count, linked_capacity;
};

static struct alb_status open_top(const char *top, int *out_fd);
static struct alb_status walk_all(struct walk *w);
static struct alb_status add_top(struct walk *w);
static struct alb_status visit(struct walk *w, size_t directory);
static struct alb_status list_names(DIR *stream, struct name_list *list,
                                    struct alb_status *problem);
static void name_list_release(struct name_list *list);
static struct alb_status look_at_all(struct walk *w, int fd, size_t directory,
                                     const struct name_list *list);
static struct alb_status look_at(struct walk *w, int fd, const char *name, char *path);
static bool is_excluded(const struct walk *w, const char *path);
static struct alb_status describe(const struct walk *w, int fd, const char *name,
                                  const struct statx *sx, struct scan_item *item);
static struct alb_status read_target(int fd, const char *name, char **out);
static struct alb_status add_item(struct walk *w, struct scan_item *item, const struct statx *sx);
static struct alb_status add_pending(struct walk *w, size_t item);
static struct alb_status add_problem(struct walk *w, char *path, struct alb_status st);
static void turn_around(size_t *array, size_t count);
static void mark_hard_links(struct walk *w);

static void item_release(struct scan_item *item)
{
    free(item->path);
    free(item->target);
    free(item->xattrs);
}

struct alb_status scan_tree(const char *top, const struct scan_options *options, struct scan *out)
{
    struct scan made = {.top_fd = -1};
    struct alb_status st = open_top(top, &made.top_fd);
    if (alb_failed(st))
        return st;
    made.top = xstrdup(top);
    struct walk w = {.scan = &made, .options = options};
    st = walk_all(&w);
    if (!alb_failed(st))
        mark_hard_links(&w);
    free(w.pending);
    free(w.linked);
    if (alb_failed(st)) {
        scan_release(&made);
        return st;
    }
    *out = made;
    return ALB_STATUS_OK;
}

void scan_release(struct scan *s)
{
    for (size_t i = 0; i < s->count; i++)
        item_release(&s->items[i]);
    for (size_t i = 0; i < s->problem_count; i++)
        free(s->problems[i].path);
    free(s->items);
    free(s->problems);
    if (s->top != NULL) /* a zeroed scan holds no descriptor */
        close(s->top_fd);
    free(s->top);
    *s = (struct scan){.top_fd = -1};
}

static int compare_with_item(const void *key, const void *element)
{
    const struct scan_item *item = element;
    return path_compare(key, item->path);
}

const struct scan_item *scan_find(const struct scan *s, const char *path)
{
    return s->count == 0
               ? NULL
               : bsearch(path, s->items, s->count, sizeof(s->items[0]), compare_with_item);
}

static struct alb_status open_top(const char *top, int *out_fd)
{
    int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR)
        return alb_fail(ALB_INVALID, "scanning: not a directory");
    if (fd < 0)
        return alb_fail_sys("scanning: opening the directory");
    /* Extended attributes are read through it; without it they would silently be missing. */
    if (access("/proc/self/fd", X_OK) != 0) {
        close(fd);
        return alb_fail(ALB_IO, "scanning: /proc is not mounted, and extended attributes need it");
    }
    *out_fd = fd;
    return ALB_STATUS_OK;
}

static struct alb_status walk_all(struct walk *w)
{
    struct alb_status st = add_top(w);
    while (!alb_failed(st) && w->pending_count > 0)
        st = visit(w, w->pending[--w->pending_count]);
    return st;
}

static struct alb_status stat_name(int fd, const char *name, struct statx *out)
{
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name[0] == '\0' ? AT_EMPTY_PATH : 0);
    if (statx(fd, name, flags, STATX_BASIC_STATS, out) != 0)
        return alb_fail_sys("scanning: asking about a path");
    return ALB_STATUS_OK;
}

static struct alb_status add_top(struct walk *w)
{
    struct statx sx;
    struct alb_status st = stat_name(w->scan->top_fd, "", &sx);
    if (alb_failed(st))
        return st;
    struct scan_item item = {.path = xstrdup("")};
    st = describe(w, w->scan->top_fd, "", &sx, &item);
    if (alb_failed(st)) {
        item_release(&item);
        return st;
    }
    st = add_item(w, &item, &sx);
    return alb_failed(st) ? st : add_pending(w, 0);
}

/* Only a lack of memory ends the walk; what a directory refuses becomes a problem. */
static struct alb_status visit(struct walk *w, size_t directory)
{
    const char *path = w->scan->items[directory].path;
    int fd = beneath_open(w->scan->top_fd, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return add_problem(w, xstrdup(path), alb_fail_sys("opening a directory"));
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        close(fd);
        return alb_fail(ALB_FULL, "memory for reading a directory");
    }
    struct name_list list = {0};
    struct alb_status problem = ALB_STATUS_OK;
    struct alb_status st = list_names(stream, &list, &problem);
    if (!alb_failed(st) && alb_failed(problem))
        st = add_problem(w, xstrdup(path), problem);
    if (!alb_failed(st))
        st = look_at_all(w, fd, directory, &list);
    name_list_release(&list);
    closedir(stream);
    return st;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct alb_status list_names(DIR *stream, struct name_list *list, struct alb_status *problem)
{
    struct dirent *found;
    while (errno = 0, (found = readdir(stream)) != NULL) {
        const char *name = found->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, reserved_name) == 0)
            continue;
        char **names = array_room(list->names, list->count, &list->capacity, sizeof(*names));
        if (names == NULL)
            return alb_fail(ALB_FULL, "memory for a directory's names");
        list->names = names;
        list->names[list->count++] = xstrdup(name);
    }
    if (errno != 0)
        *problem = alb_fail_sys("reading a directory");
    if (list->count > 0)
        qsort(list->names, list->count, sizeof(*list->names), compare_names);
    return ALB_STATUS_OK;
}

static void name_list_release(struct name_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
}

static struct alb_status look_at_all(struct walk *w, int fd, size_t directory,
                                     const struct name_list *list)
{
    size_t waiting = w->pending_count;
    for (size_t i = 0; i < list->count; i++) {
        const char *above = w->scan->items[directory].path; /* may move with every item added */
        char *path = xasprintf("%s%s%s", above, above[0] == '\0' ? "" : "/", list->names[i]);
        struct alb_status st = look_at(w, fd, list->names[i], path);
        if (alb_failed(st))
            return st;
    }
    turn_around(w->pending + waiting, w->pending_count - waiting);
    return ALB_STATUS_OK;
}

/* Takes `path`.  A name that vanished since it was listed is as if it had never been there. */
static struct alb_status look_at(struct walk *w, int fd, const char *name, char *path)
{
    if (is_excluded(w, path)) {
        free(path);
        return ALB_STATUS_OK;
    }
    struct scan_item item = {.path = path};
    struct statx sx;
    struct alb_status st = path_check(path);
    if (!alb_failed(st))
        st = stat_name(fd, name, &sx);
    if (!alb_failed(st))
        st = describe(w, fd, name, &sx, &item);
    if (!alb_failed(st))
        return add_item(w, &item, &sx);
    item.path = NULL;
    item_release(&item);
    if (st.code == ALB_NOT_FOUND) {
        free(path);
        return ALB_STATUS_OK;
    }
    return add_problem(w, path, st);
}

static bool is_excluded(const struct walk *w, const char *path)
{
    if (w->options == NULL || w->options->exclude == NULL)
        return false;
    for (size_t i = 0; i < w->options->exclude_count; i++)
        if (strcmp(path, w->options->exclude[i]) == 0)
            return true;
    return false;
}

static bool may_cross_mounts(const struct walk *w)
{
    return w->options != NULL && w->options->cross_mounts;
}

static bool is_mount_point(const struct statx *sx)
{
    return (sx->stx_attributes_mask & sx->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

static enum entry_type type_of(unsigned mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR: return ENTRY_DIRECTORY;
    case S_IFLNK: return ENTRY_SYMLINK;
    case S_IFIFO: return ENTRY_FIFO;
    case S_IFSOCK: return ENTRY_SOCKET;
    case S_IFCHR: return ENTRY_CHAR_DEVICE;
    case S_IFBLK: return ENTRY_BLOCK_DEVICE;
    default: return ENTRY_FILE;
    }
}

static bool is_device(enum entry_type type)
{
    return type == ENTRY_CHAR_DEVICE || type == ENTRY_BLOCK_DEVICE;
}

static struct alb_status describe(const struct walk *w, int fd, const char *name,
                                  const struct statx *sx, struct scan_item *item)
{
    item->type = type_of(sx->stx_mode);
    item->mode = sx->stx_mode & 07777;
    item->uid = sx->stx_uid;
    item->gid = sx->stx_gid;
    item->mtime_s = sx->stx_mtime.tv_sec;
    item->mtime_ns = sx->stx_mtime.tv_nsec;
    item->ctime_s = sx->stx_ctime.tv_sec;
    item->ctime_ns = sx->stx_ctime.tv_nsec;
    item->size = item->type == ENTRY_FILE ? sx->stx_size : 0;
    item->blocks = sx->stx_blocks;
    item->dev = makedev(sx->stx_dev_major, sx->stx_dev_minor);
    item->ino = sx->stx_ino;
    if (is_device(item->type)) {
        if (w->options == NULL || !w->options->allow_devices)
            return alb_fail(ALB_REFUSED, "a device, which this scan was not told to take");
        item->dev_major = sx->stx_rdev_major;
        item->dev_minor = sx->stx_rdev_minor;
    }
    if (item->type != ENTRY_DIRECTORY && is_mount_point(sx) && !may_cross_mounts(w))
        return alb_fail(ALB_REFUSED, "a file mounted from elsewhere, which is not crossed");
    struct alb_status st = ALB_STATUS_OK;
    if (item->type == ENTRY_SYMLINK)
        st = read_target(fd, name, &item->target);
    if (!alb_failed(st))
        st = xattrs_read(fd, name, &item->xattrs, &item->xattr_count);
    return st;
}

static struct alb_status read_target(int fd, const char *name, char **out)
{
    char text[MANIFEST_PATH_MAX + 1];
    ssize_t got = readlinkat(fd, name, text, sizeof(text));
    if (got < 0)
        return alb_fail_sys("reading a symlink");
    if ((size_t)got == sizeof(text))
        return alb_fail(ALB_INVALID, "a symlink's text is longer than a path may be");
    *out = xstrndup(text, (size_t)got);
    return ALB_STATUS_OK;
}

/* Takes what `item` owns, in any case. */
static struct alb_status add_item(struct walk *w, struct scan_item *item, const struct statx *sx)
{
    struct scan *s = w->scan;
    struct scan_item *items = array_room(s->items, s->count, &w->item_capacity, sizeof(*items));
    if (items == NULL) {
        item_release(item);
        return alb_fail(ALB_FULL, "memory for the list of paths");
    }
    s->items = items;
    size_t index = s->count++;
    s->items[index] = *item;
    if (item->type == ENTRY_FILE && sx->stx_nlink > 1) {
        struct inode_name *linked =
            array_room(w->linked, w->linked_count, &w->linked_capacity, sizeof(*linked));
        if (linked == NULL)
            return alb_fail(ALB_FULL, "memory for the list of hard links");
        w->linked = linked;
        w->linked[w->linked_count++] = (struct inode_name){item->dev, item->ino, index};
    }
    s->file_bytes += item->size;
    bool elsewhere = item->dev != s->items[0].dev || is_mount_point(sx);
    if (index > 0 && item->type == ENTRY_DIRECTORY && (!elsewhere || may_cross_mounts(w)))
        return add_pending(w, index);
    return ALB_STATUS_OK;
}

static struct alb_status add_pending(struct walk *w, size_t item)
{
    size_t *pending =
        array_room(w->pending, w->pending_count, &w->pending_capacity, sizeof(*pending));
    if (pending == NULL)
        return alb_fail(ALB_FULL, "memory for the list of directories");
    w->pending = pending;
    w->pending[w->pending_count++] = item;
    return ALB_STATUS_OK;
}

/* Takes `path`. */
static struct alb_status add_problem(struct walk *w, char *path, struct alb_status st)
{
    struct scan *s = w->scan;
    struct scan_problem *problems =
        array_room(s->problems, s->problem_count, &w->problem_capacity, sizeof(*problems));
    if (problems == NULL) {
        free(path);
        return alb_fail(ALB_FULL, "memory for the list of problems");
    }
    s->problems = problems;
    s->problems[s->problem_count++] = (struct scan_problem){path, st};
    return ALB_STATUS_OK;
}

static void turn_around(size_t *array, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        size_t kept = array[i];
        array[i] = array[count - 1 - i];
        array[count - 1 - i] = kept;
    }
}

static int compare_inodes(const void *a, const void *b)
{
    const struct inode_name *left = a, *right = b;
    if (left->dev != right->dev)
        return left->dev < right->dev ? -1 : 1;
    if (left->ino != right->ino)
        return left->ino < right->ino ? -1 : 1;
    return left->item < right->item ? -1 : left->item > right->item;
}

/* Of the names of one inode the first in order is the file, the others are links to it. */
static void mark_hard_links(struct walk *w)
{
    if (w->linked_count == 0)
        return;
    qsort(w->linked, w->linked_count, sizeof(w->linked[0]), compare_inodes);
    const struct inode_name *first = &w->linked[0];
    for (size_t i = 1; i < w->linked_count; i++) {
        const struct inode_name *next = &w->linked[i];
        if (next->dev != first->dev || next->ino != first->ino) {
            first = next;
            continue;
        }
        struct scan_item *item = &w->scan->items[next->item];
        w->scan->file_bytes -= item->size;
        item->type = ENTRY_HARDLINK;
        item->target = xstrdup(w->scan->items[first->item].path);
    }
}
