/* SPDX-License-Identifier: Apache-2.0 */
/* crash/rebuild.c – which names last, and putting the inodes where those names say. */
#include "crash/rebuild.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "crash/rebuild_bytes.h"
#include "crash/rebuild_impl.h"

_Noreturn void rebuild_fails(const char *doing, const char *path)
{
    fprintf(stderr, "power loss: %s %s: %m\n", doing, path);
    abort();
}

/* ---- names ----------------------------------------------------------------------------------- */

static void names_add(struct powerloss *p, uint64_t dir, const char *name, uint64_t ino)
{
    if (p->name_count == p->name_capacity) {
        p->name_capacity = p->name_capacity == 0 ? 256 : 2 * p->name_capacity;
        p->names = xrealloc(p->names, p->name_capacity * sizeof *p->names);
    }
    struct name *n = &p->names[p->name_count++];
    *n = (struct name){.dir = dir, .ino = ino};
    snprintf(n->text, sizeof n->text, "%s", name);
}

static void names_drop(struct powerloss *p, uint64_t dir, const char *name)
{
    for (size_t i = 0; i < p->name_count; i++)
        if (p->names[i].dir == dir && strcmp(p->names[i].text, name) == 0)
            p->names[i--] = p->names[--p->name_count];
}

static void names_do(struct powerloss *p, const struct powerloss_op *op)
{
    if (op->kind == POWERLOSS_ADD || op->kind == POWERLOSS_DROP || op->kind == POWERLOSS_MOVE)
        names_drop(p, op->dir, op->name);
    if (op->kind == POWERLOSS_ADD)
        names_add(p, op->dir, op->name, op->ino);
    if (op->kind == POWERLOSS_MOVE) {
        names_drop(p, op->to_dir, op->to_name);
        names_add(p, op->to_dir, op->to_name, op->ino);
    }
}

/* ---- before ---------------------------------------------------------------------------------- */

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* All that is there: its names, and copies of its bytes as SHADOW/base/INO. */
static void remember(struct powerloss *p, const char *path)
{
    struct stat top, about;
    DIR *dir = opendir(path);

    if (dir == NULL || stat(path, &top) != 0)
        rebuild_fails("listing", path);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        AUTO_FREE char *child = xasprintf("%s/%s", path, e->d_name);

        if (is_dot(e->d_name))
            continue;
        if (lstat(child, &about) != 0)
            rebuild_fails("looking at", child);
        names_add(p, top.st_ino, e->d_name, about.st_ino);
        if (S_ISDIR(about.st_mode))
            remember(p, child);
        else if (S_ISREG(about.st_mode))
            bytes_remember(p->shadow, child, &about);
    }
    closedir(dir);
}

static void shadow_dir(const struct powerloss *p, const char *name)
{
    AUTO_FREE char *path = xasprintf("%s/%s", p->shadow, name);

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        rebuild_fails("making", path);
}

static void remove_tree(const char *path)
{
    /* Directories only: a file here may be one of the watched directory's, too. */
    AUTO_FREE char *command =
        xasprintf("[ ! -d '%s' ] || { find '%s' -type d -exec chmod 700 {} + ; rm -rf '%s'; }",
                  path, path, path);

    if (system(command) != 0)
        rebuild_fails("removing", path);
}

struct powerloss *powerloss_begin(const char *dir, const char *shadow)
{
    struct powerloss *p = xalloc(sizeof *p);
    struct stat about;

    p->dir = xstrdup(dir);
    p->shadow = xstrdup(shadow);
    remove_tree(shadow);
    shadow_dir(p, "");
    shadow_dir(p, "base");
    shadow_dir(p, "synced");
    shadow_dir(p, "grave");
    shadow_dir(p, "pool");
    if (stat(dir, &about) != 0)
        rebuild_fails("looking at", dir);
    p->top = about.st_ino;
    remember(p, dir);
    return p;
}

struct powerloss *powerloss_end(struct powerloss *p)
{
    remove_tree(p->shadow);
    free(p->dir);
    free(p->shadow);
    free(p->names);
    free(p->ops);
    free(p);
    return NULL;
}

uint64_t powerloss_events(const struct powerloss *p)
{
    AUTO_FREE char *path = xasprintf("%s/events", p->shadow);
    FILE *file = fopen(path, "re");
    unsigned long events = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%lu", &events) != 1)
        events = 0;
    fclose(file);
    return events;
}

/* ---- which changes last ---------------------------------------------------------------------- */

static void read_log(struct powerloss *p)
{
    AUTO_FREE char *path = xasprintf("%s/log", p->shadow);
    FILE *file = fopen(path, "re");
    struct powerloss_op op;

    while (file != NULL && fread(&op, sizeof op, 1, file) == 1) {
        p->ops = xrealloc(p->ops, (p->op_count + 1) * sizeof *p->ops);
        p->ops[p->op_count++] = op;
    }
    if (file != NULL)
        fclose(file);
}

static bool is_in(const struct inos *set, uint64_t ino)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i] == ino)
            return true;
    return false;
}

static void put_in(struct inos *set, uint64_t ino)
{
    if (ino == 0 || is_in(set, ino))
        return;
    set->items = xrealloc(set->items, (set->count + 1) * sizeof *set->items);
    set->items[set->count++] = ino;
}

static bool touches(const struct powerloss_op *op, const struct inos *set)
{
    return is_in(set, op->dir) || (op->to_dir != 0 && is_in(set, op->to_dir));
}

static bool is_change(const struct powerloss_op *op)
{
    return op->kind == POWERLOSS_ADD || op->kind == POWERLOSS_DROP || op->kind == POWERLOSS_MOVE;
}

/* From the end: what a later sync promised, and what such a change was built on. */
static void find_promised(const struct powerloss *p, bool *lasts)
{
    struct inos synced = {NULL, 0};
    bool all = false;

    for (size_t i = p->op_count; i-- > 0;) {
        const struct powerloss_op *op = &p->ops[i];

        all = all || op->kind == POWERLOSS_SYNC_ALL;
        if (op->kind == POWERLOSS_SYNC_DIR)
            put_in(&synced, op->dir);
        lasts[i] = all || (is_change(op) && touches(op, &synced));
        if (!lasts[i] || !is_change(op))
            continue;
        put_in(&synced, op->dir);
        put_in(&synced, op->to_dir);
    }
    free(synced.items);
}

/* Of the others, each with the same luck, but none that builds on what is lost: on an earlier
 * change of the same directory, or on the directory itself. */
static void choose_strict(const struct powerloss *p, struct gen *g, bool *lasts)
{
    static const unsigned lucks[] = {0, 50, 90, 100};
    unsigned luck = lucks[gen_below(g, ALB_COUNT(lucks))];
    struct inos lost = {NULL, 0};

    for (size_t i = 0; i < p->op_count; i++) {
        if (lasts[i] || !is_change(&p->ops[i]))
            continue;
        lasts[i] = !touches(&p->ops[i], &lost) && gen_chance(g, luck, 100);
        if (lasts[i])
            continue;
        put_in(&lost, p->ops[i].dir);
        put_in(&lost, p->ops[i].to_dir);
        if (p->ops[i].kind == POWERLOSS_ADD)
            put_in(&lost, p->ops[i].ino); /* a directory that is not there takes nothing in */
    }
    free(lost.items);
}

static void choose_ordered(const struct powerloss *p, struct gen *g, bool *lasts)
{
    size_t promised = 0;

    for (size_t i = 0; i < p->op_count; i++)
        promised = lasts[i] ? i + 1 : promised;
    size_t end = (size_t)gen_range(g, promised, p->op_count);
    for (size_t i = 0; i < end; i++)
        lasts[i] = true;
}

static void choose_names(struct powerloss *p, const struct powerloss_options *options,
                         struct powerloss_losses *losses)
{
    AUTO_FREE bool *lasts = xalloc(p->op_count + 1);

    find_promised(p, lasts);
    if (options->is_ordered)
        choose_ordered(p, options->gen, lasts);
    else
        choose_strict(p, options->gen, lasts);
    for (size_t i = 0; i < p->op_count; i++) {
        if (lasts[i])
            names_do(p, &p->ops[i]);
        else
            losses->names += is_change(&p->ops[i]);
    }
}

/* ---- putting inodes where they belong -------------------------------------------------------- */

static char *pool_path(const struct powerloss *p, uint64_t ino)
{
    return xasprintf("%s/pool/%llu", p->shadow, (unsigned long long)ino);
}

/* A directory gets to the pool empty, and remembers its mode and times. */
static void pool_take(struct powerloss *p, const char *path, const struct stat *about)
{
    AUTO_FREE char *pooled = pool_path(p, about->st_ino);
    int failed;

    if (!S_ISDIR(about->st_mode) && access(pooled, F_OK) == 0)
        failed = unlink(path); /* another name of it */
    else
        failed = rename(path, pooled);
    if (failed != 0)
        rebuild_fails("taking away", path);
}

static void note_dir(struct powerloss *p, const struct stat *about)
{
    p->dirs = xrealloc(p->dirs, (p->dir_count + 1) * sizeof *p->dirs);
    p->dirs[p->dir_count++] = *about;
}

static void pool_tree(struct powerloss *p, const char *path)
{
    struct stat top, about;
    DIR *dir;

    if (stat(path, &top) != 0 || chmod(path, 0700) != 0 || (dir = opendir(path)) == NULL)
        rebuild_fails("taking away", path);
    note_dir(p, &top);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        AUTO_FREE char *child = xasprintf("%s/%s", path, e->d_name);

        if (is_dot(e->d_name) || strcmp(child, p->shadow) == 0)
            continue;
        if (lstat(child, &about) != 0)
            rebuild_fails("looking at", child);
        if (S_ISDIR(about.st_mode))
            pool_tree(p, child);
        pool_take(p, child, &about);
    }
    closedir(dir);
}

static void restore_dir(const struct powerloss *p, const char *path, uint64_t ino)
{
    for (size_t i = 0; i < p->dir_count; i++) {
        const struct stat *d = &p->dirs[i];
        const struct timespec times[2] = {d->st_mtim, d->st_mtim};

        if (d->st_ino != ino)
            continue;
        if (chmod(path, d->st_mode & 07777) != 0 || utimensat(AT_FDCWD, path, times, 0) != 0)
            rebuild_fails("restoring", path);
        return;
    }
}

static void place_one(struct powerloss *p, struct name *n, const char *path)
{
    AUTO_FREE char *pooled = pool_path(p, n->ino);

    for (size_t i = 0; i < p->name_count; i++) {
        const struct name *other = &p->names[i];

        if (other->ino != n->ino || other->placed == NULL)
            continue;
        if (link(other->placed, path) != 0)
            rebuild_fails("linking", path);
        return;
    }
    if (rename(pooled, path) != 0 && errno != ENOENT) /* made by what cannot be watched */
        rebuild_fails("putting back", path);
    n->placed = xstrdup(path);
}

static void place_tree(struct powerloss *p, const char *path, uint64_t dir)
{
    struct stat about;

    for (size_t i = 0; i < p->name_count; i++) {
        AUTO_FREE char *child = NULL;

        if (p->names[i].dir != dir)
            continue;
        child = xasprintf("%s/%s", path, p->names[i].text);
        place_one(p, &p->names[i], child);
        if (lstat(child, &about) == 0 && S_ISDIR(about.st_mode))
            place_tree(p, child, p->names[i].ino);
    }
    restore_dir(p, path, dir);
}

/* A new process's inode might get the number of one that is still spoken of. */
static void choose_bytes(struct powerloss *p, const struct powerloss_options *options,
                         struct powerloss_losses *losses)
{
    for (size_t i = 0; i < p->name_count; i++) {
        AUTO_FREE char *pooled = pool_path(p, p->names[i].ino);
        bool seen = false;

        for (size_t k = 0; k < i && !seen; k++)
            seen = p->names[k].ino == p->names[i].ino;
        if (!seen)
            bytes_choose(p->shadow, pooled, options, losses);
    }
}

void powerloss_rebuild(struct powerloss *p, const struct powerloss_options *options,
                       struct powerloss_losses *losses)
{
    AUTO_FREE char *grave = xasprintf("%s/grave", p->shadow);

    read_log(p);
    choose_names(p, options, losses);
    pool_tree(p, p->dir);
    pool_tree(p, grave);
    choose_bytes(p, options, losses);
    place_tree(p, p->dir, p->top);
    for (size_t i = 0; i < p->name_count; i++)
        free(p->names[i].placed);
    free(p->dirs);
    p->dirs = NULL;
    p->name_count = 0;
}
