/* SPDX-License-Identifier: Apache-2.0 */
/* support/tree_diff.c – walks two trees side by side, with nothing of the project's own code. */
#include "support/tree_diff.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PATH_SIZE = 8192, STEP = 65536, LINKS = 4096, XATTR_SIZE = 4096 };

struct walk {
    const char *want, *got;
    bool more;
    struct {
        ino_t want, got;
    } links[LINKS]; /* files with several names, paired up */
    size_t link_count;
};

static char *compare(struct walk *w, const char *path);

static void join(char *out, const char *top, const char *path)
{
    if (snprintf(out, PATH_SIZE, "%s%s%s", top, *path == '\0' ? "" : "/", path) >= PATH_SIZE)
        abort();
}

static char *say(const char *path, const char *what)
{
    char *text = NULL;

    if (asprintf(&text, "%s: %s", *path == '\0' ? "." : path, what) < 0)
        abort();
    return text;
}

static bool has_same_bytes(const char *a, const char *b)
{
    static char left[STEP], right[STEP];
    int fa = open(a, O_RDONLY | O_CLOEXEC);
    int fb = open(b, O_RDONLY | O_CLOEXEC);
    bool same = fa >= 0 && fb >= 0;
    ssize_t n = 1;

    while (same && n > 0) {
        n = read(fa, left, STEP);
        same = n >= 0 && read(fb, right, STEP) == n && memcmp(left, right, (size_t)n) == 0;
    }
    close(fa);
    close(fb);
    return same;
}

static bool has_same_target(const char *a, const char *b)
{
    char left[PATH_SIZE], right[PATH_SIZE];
    ssize_t n = readlink(a, left, sizeof(left));

    return n >= 0 && readlink(b, right, sizeof(right)) == n && memcmp(left, right, (size_t)n) == 0;
}

/* Every user. attribute of `a` is on `b` with the same value, and there are as many. */
static bool has_same_xattrs(const char *a, const char *b)
{
    char names[XATTR_SIZE], other[XATTR_SIZE], left[XATTR_SIZE], right[XATTR_SIZE];
    ssize_t size = llistxattr(a, names, sizeof(names));
    ssize_t other_size = llistxattr(b, other, sizeof(other));

    if (size != other_size)
        return false;
    for (const char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
        ssize_t n = lgetxattr(a, name, left, sizeof(left));

        if (n < 0 || lgetxattr(b, name, right, sizeof(right)) != n ||
            memcmp(left, right, (size_t)n) != 0)
            return false;
    }
    return true;
}

/* Names of one file in `want` are names of one file in `got`, and the other way round. */
static bool has_same_links(struct walk *w, const struct stat *a, const struct stat *b)
{
    for (size_t i = 0; i < w->link_count; i++)
        if (w->links[i].want == a->st_ino || w->links[i].got == b->st_ino)
            return w->links[i].want == a->st_ino && w->links[i].got == b->st_ino;
    if (w->link_count == LINKS)
        abort();
    w->links[w->link_count].want = a->st_ino;
    w->links[w->link_count++].got = b->st_ino;
    return true;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the trees that tests make */
static char *compare_names(struct walk *w, const char *path, const char *from, const char *to,
                           bool deeper)
{
    char dir[PATH_SIZE], other[PATH_SIZE], child[PATH_SIZE];
    char *diff = NULL;
    struct stat st;
    DIR *d;

    join(dir, from, path);
    d = opendir(dir);
    if (d == NULL)
        return say(path, "cannot be read");
    for (struct dirent *e = readdir(d); e != NULL && diff == NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            (*path == '\0' && strcmp(e->d_name, ".albedo") == 0))
            continue;
        if (snprintf(child, sizeof(child), "%s%s%s", path, *path == '\0' ? "" : "/", e->d_name) >=
            (int)sizeof(child))
            abort();
        join(other, to, child);
        if (lstat(other, &st) != 0)
            diff = say(child, deeper ? "is missing" : "should not be there");
        else if (deeper)
            diff = compare(w, child);
    }
    closedir(d);
    return diff;
}

static char *compare_meta(const char *path, const struct stat *a, const struct stat *b)
{
    char text[128];

    if ((a->st_mode & S_IFMT) != (b->st_mode & S_IFMT))
        return say(path, "is of another type");
    if (a->st_mode != b->st_mode) {
        (void)snprintf(text, sizeof(text), "mode %o, not %o", b->st_mode, a->st_mode);
        return say(path, text);
    }
    if (a->st_uid != b->st_uid || a->st_gid != b->st_gid)
        return say(path, "has another owner");
    if (a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec)
        return say(path, "has another time");
    if (a->st_rdev != b->st_rdev)
        return say(path, "is another device");
    return NULL;
}

/* NOLINTNEXTLINE(misc-no-recursion): as above */
static char *compare(struct walk *w, const char *path)
{
    char left[PATH_SIZE], right[PATH_SIZE];
    struct stat a, b;
    char *diff;

    join(left, w->want, path);
    join(right, w->got, path);
    if (lstat(left, &a) != 0 || lstat(right, &b) != 0)
        return say(path, "is missing");
    diff = compare_meta(path, &a, &b);
    if (diff != NULL)
        return diff;
    if (!has_same_xattrs(left, right))
        return say(path, "has other attributes");
    if (S_ISLNK(a.st_mode))
        return has_same_target(left, right) ? NULL : say(path, "points elsewhere");
    if (S_ISREG(a.st_mode)) {
        if (a.st_size != b.st_size || !has_same_bytes(left, right))
            return say(path, "has other bytes");
        return has_same_links(w, &a, &b) ? NULL : say(path, "has other links");
    }
    if (!S_ISDIR(a.st_mode))
        return NULL;
    diff = compare_names(w, path, w->want, w->got, true);
    if (diff == NULL && !w->more)
        diff = compare_names(w, path, w->got, w->want, false);
    return diff;
}

char *tree_diff(const char *want, const char *got, bool more)
{
    struct walk *w = calloc(1, sizeof(*w));
    char *diff;

    if (w == NULL)
        abort();
    w->want = want;
    w->got = got;
    w->more = more;
    diff = compare(w, "");
    free(w);
    return diff;
}

static bool file_is(const char *path, const char *text)
{
    char bytes[PATH_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

    if (fd >= 0)
        close(fd);
    return n >= 0 && (size_t)n == strlen(text) && memcmp(bytes, text, (size_t)n) == 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as above */
bool tree_has_text(const char *top, const char *text)
{
    DIR *d = opendir(top);
    bool found = false;

    if (d == NULL)
        return false;
    for (struct dirent *e = readdir(d); e != NULL && !found; e = readdir(d)) {
        char child[PATH_SIZE];
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        join(child, top, e->d_name);
        if (lstat(child, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            found = tree_has_text(child, text);
        else if (S_ISREG(st.st_mode))
            found = file_is(child, text);
    }
    closedir(d);
    return found;
}
