/* SPDX-License-Identifier: Apache-2.0 */
/* client/explain_facts.c – a path of a target: found, held against what was applied there, read. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "client/explain_file.h"
#include "image/content.h"

enum { KEPT_MOST = 32 };

/* ---- which target, which path ---------------------------------------------------------------- */

static bool is_target(const char *dir)
{
    AUTO_FREE char *applied = path_join(dir, ".albedo/applied");

    return file_exists(applied);
}

/* "/srv/os" and "/srv/os/etc/x" → "etc/x"; NULL when it does not lie within. */
static char *within(const char *top, const char *path)
{
    const size_t size = strcmp(top, "/") == 0 ? 0 : strlen(top);

    if (strncmp(path, top, size) != 0 || (path[size] != '/' && path[size] != '\0'))
        return NULL;
    return xstrdup(path[size] == '/' ? path + size + 1 : "");
}

/* The path itself may be a symlink, or gone: only what it lies in is resolved. */
static char *resolve(const char *file)
{
    AUTO_FREE char *copy = xstrdup(file);
    size_t size = strlen(copy);

    while (size > 1 && copy[size - 1] == '/')
        copy[--size] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash == NULL ? copy : slash + 1;
    const bool is_dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || name[0] == '\0';
    if (is_dots)
        return realpath(copy, NULL);
    if (slash != NULL)
        *slash = '\0';
    AUTO_FREE char *dir = realpath(slash == NULL ? "." : copy[0] == '\0' ? "/" : copy, NULL);
    return dir == NULL ? NULL : path_join(dir, name);
}

static enum exit_code go_up(struct output *o, const char *file, struct file_facts *f)
{
    AUTO_FREE char *full = resolve(file);

    if (full == NULL)
        return output_fail(o, ALB_NOT_FOUND,
                           "FILE %s: the directory it would be in is not there; say --target "
                           "TARGET, and FILE as the path within it",
                           file);
    AUTO_FREE char *top = xstrdup(full);
    while (!is_target(top)) {
        char *slash = strrchr(top, '/');
        if (slash == NULL || slash == top)
            return output_fail(o, ALB_NOT_FOUND,
                               "FILE %s: no directory above it was pulled into (none has "
                               ".albedo/applied); say --target TARGET. A chunk is 8 to 64 "
                               "hexadecimal digits",
                               file);
        *slash = '\0';
    }
    f->path = within(top, full);
    f->target = take_ptr(&top);
    return EXIT_DONE;
}

static enum exit_code beneath(struct output *o, const char *file, const char *target,
                              struct file_facts *f)
{
    f->target = realpath(target, NULL);
    if (f->target == NULL)
        return output_fail_status(o, alb_fail_sys("looking for it"), "TARGET %s", target);
    if (file[0] != '/') {
        f->path = xstrdup(strcmp(file, ".") == 0 ? "" : file);
        return EXIT_DONE;
    }
    AUTO_FREE char *full = resolve(file);
    f->path = within(f->target, full != NULL ? full : file);
    if (f->path != NULL)
        return EXIT_DONE;
    return output_fail(o, ALB_INVALID, "FILE %s: it does not lie in TARGET %s", file, target);
}

static enum exit_code read_applied(struct output *o, struct file_facts *f)
{
    struct alb_status st = applied_read(f->target, &f->applied);

    if (st.code == ALB_NOT_FOUND)
        return output_fail(o, ALB_NOT_FOUND, "TARGET %s: nothing was pulled into it yet",
                           f->target);
    if (alb_failed(st))
        return output_fail_status(o, st, "TARGET %s: what was pulled into it", f->target);
    const int layer_size = (int)strcspn(f->applied.version, "@");
    snprintf(f->layer, sizeof f->layer, "%.*s", layer_size, f->applied.version);
    return EXIT_DONE;
}

/* ---- what is there now ----------------------------------------------------------------------- */

static struct alb_status read_content(struct file_facts *f, const char *path)
{
    struct content content;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return alb_fail_sys("opening it");
    struct alb_status st = content_init(&content);
    if (!alb_failed(st))
        st = content_digest(&content, fd, (uint64_t)f->now.st_size, &f->content);
    content_release(&content);
    close(fd);
    f->has_content = !alb_failed(st);
    return st;
}

static void read_link(struct file_facts *f, const char *path)
{
    char text[MANIFEST_PATH_MAX + 1];
    const ssize_t size = readlink(path, text, sizeof text - 1);

    if (size < 0)
        return;
    text[size] = '\0';
    f->link_text = xstrdup(text);
}

static enum exit_code look(struct output *o, struct file_facts *f)
{
    AUTO_FREE char *path = path_join(f->target, f->path);
    struct alb_status st = ALB_STATUS_OK;

    f->exists = lstat(path, &f->now) == 0;
    if (!f->exists && errno != ENOENT && errno != ENOTDIR)
        return output_fail_status(o, alb_fail_sys("looking at it"), "FILE %s", path);
    if (f->exists && S_ISREG(f->now.st_mode))
        st = read_content(f, path);
    if (f->exists && S_ISLNK(f->now.st_mode))
        read_link(f, path);
    if (alb_failed(st)) {
        f->is = FILE_UNREADABLE;
        return EXIT_DONE;
    }
    if (!f->exists)
        f->is = FILE_MISSING;
    else if (f->entry == NULL)
        f->is = FILE_FOREIGN;
    else
        f->is = file_has(f, f->entry, f->bytes) ? FILE_AS_APPLIED : FILE_ALTERED;
    return EXIT_DONE;
}

bool file_has(const struct file_facts *f, const struct manifest_entry *e,
              const struct manifest_entry *bytes)
{
    const mode_t mode = f->now.st_mode;

    if (!f->exists)
        return false;
    switch (e->type) {
    case ENTRY_DIRECTORY: return S_ISDIR(mode);
    case ENTRY_FILE:
    case ENTRY_HARDLINK:
        return bytes != NULL && f->has_content && (uint64_t)f->now.st_size == bytes->size &&
               digest_equal(&f->content, &bytes->content);
    case ENTRY_SYMLINK: return f->link_text != NULL && strcmp(f->link_text, e->target) == 0;
    case ENTRY_FIFO: return S_ISFIFO(mode);
    case ENTRY_SOCKET: return S_ISSOCK(mode);
    case ENTRY_CHAR_DEVICE:
    case ENTRY_BLOCK_DEVICE:
        return (e->type == ENTRY_CHAR_DEVICE ? S_ISCHR(mode) : S_ISBLK(mode)) &&
               major(f->now.st_rdev) == e->dev_major && minor(f->now.st_rdev) == e->dev_minor;
    }
    alb_unreachable();
}

static void add_words(char *out, size_t size, const char *words)
{
    const size_t used = strlen(out);

    snprintf(out + used, size - used, "%s%s", used > 0 ? "; " : "", words);
}

bool file_meta_differs(const struct file_facts *f, const struct manifest_entry *e, char *out,
                       size_t size)
{
    const bool is_link = S_ISLNK(f->now.st_mode);
    char words[128];

    out[0] = '\0';
    if (!is_link && (f->now.st_mode & 07777) != e->mode) {
        snprintf(words, sizeof words, "mode %04o instead of %04o",
                 (unsigned)(f->now.st_mode & 07777), (unsigned)e->mode);
        add_words(out, size, words);
    }
    if (f->now.st_uid != e->uid || f->now.st_gid != e->gid) {
        snprintf(words, sizeof words, "owner %u:%u instead of %u:%u", f->now.st_uid, f->now.st_gid,
                 e->uid, e->gid);
        add_words(out, size, words);
    }
    if (!S_ISDIR(f->now.st_mode) &&
        (f->now.st_mtim.tv_sec != e->mtime_s || f->now.st_mtim.tv_nsec != (long)e->mtime_ns))
        add_words(out, size, "another time of change");
    return out[0] != '\0';
}

/* ---- copies that were put aside -------------------------------------------------------------- */

static void note_kept(struct file_facts *f, const char *folder, const char *name)
{
    AUTO_FREE char *dir = path_join(folder, name);
    AUTO_FREE char *path = path_join(dir, f->path);
    struct stat there;

    if (f->kept_count == KEPT_MOST || lstat(path, &there) != 0)
        return;
    f->kept = xrealloc(f->kept, (f->kept_count + 1) * sizeof *f->kept);
    f->kept[f->kept_count++] = take_ptr(&path);
}

/* .albedo/kept/LAYER@VERSION/PATH; a layer's name may have slashes. */
static void find_kept(struct file_facts *f)
{
    AUTO_FREE char *kept = path_join(f->target, ".albedo/kept");
    AUTO_FREE char *layer = path_join(kept, f->layer);
    char *slash = strrchr(layer, '/');
    const char *name = slash + 1;
    const size_t size = strlen(name);

    if (f->path[0] == '\0')
        return;
    *slash = '\0';
    DIR *dir = opendir(layer);
    const struct dirent *d;
    while (dir != NULL && (d = readdir(dir)) != NULL)
        if (strncmp(d->d_name, name, size) == 0 && d->d_name[size] == '@')
            note_kept(f, layer, d->d_name);
    if (dir != NULL)
        closedir(dir);
}

/* ---- together -------------------------------------------------------------------------------- */

const struct manifest_entry *file_entry_find(const struct manifest *m, const char *path,
                                             const struct manifest_entry **bytes)
{
    const struct manifest_entry *e = path[0] == '\0' ? &m->entries[0] : manifest_find(m, path);

    *bytes = e != NULL && e->type == ENTRY_HARDLINK ? manifest_find(m, e->target) : e;
    return e;
}

enum exit_code file_facts_find(struct output *o, const char *file, const char *target,
                               struct file_facts *out)
{
    struct file_facts *f = out;

    *f = (struct file_facts){.target = NULL};
    enum exit_code code = target == NULL ? go_up(o, file, f) : beneath(o, file, target, f);
    if (code == EXIT_DONE && f->path != NULL && f->path[0] != '\0' &&
        alb_failed(path_check(f->path)))
        code = output_fail(o, ALB_INVALID, "FILE %s: %s", file, path_check(f->path).what);
    if (code == EXIT_DONE)
        code = read_applied(o, f);
    if (code != EXIT_DONE)
        return code;
    f->entry = file_entry_find(&f->applied.manifest, f->path, &f->bytes);
    find_kept(f);
    return look(o, f);
}

void file_facts_release(struct file_facts *f)
{
    applied_release(&f->applied);
    for (size_t i = 0; i < f->kept_count; i++)
        free(f->kept[i]);
    free(f->kept);
    free(f->link_text);
    free(f->target);
    free(f->path);
    *f = (struct file_facts){.target = NULL};
}

const char *file_type_name(enum entry_type type)
{
    static const char *const names[] = {
        [ENTRY_DIRECTORY] = "directory",
        [ENTRY_FILE] = "regular file",
        [ENTRY_SYMLINK] = "symbolic link",
        [ENTRY_HARDLINK] = "hard link",
        [ENTRY_FIFO] = "named pipe",
        [ENTRY_SOCKET] = "socket",
        [ENTRY_CHAR_DEVICE] = "character device",
        [ENTRY_BLOCK_DEVICE] = "block device",
    };

    return names[type];
}

const char *file_is_name(enum file_is is)
{
    static const char *const names[] = {
        [FILE_MISSING] = "missing", [FILE_AS_APPLIED] = "as_applied", [FILE_ALTERED] = "altered",
        [FILE_FOREIGN] = "foreign", [FILE_UNREADABLE] = "unreadable",
    };

    return names[is];
}
