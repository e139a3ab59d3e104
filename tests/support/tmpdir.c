/* SPDX-License-Identifier: Apache-2.0 */
/* support/tmpdir.c – a directory of a test's own. */
#include "support/tmpdir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More descriptors than a test tree is deep, fewer than the usual limit. */
enum { NFTW_DESCRIPTORS = 64 };

_Noreturn static void give_up(const char *doing, const char *path)
{
    fprintf(stderr, "test directory: %s %s: %m\n", doing, path);
    abort();
}

struct tmpdir *tmpdir_open(void)
{
    const char *top = getenv("TMPDIR");
    struct tmpdir *t = calloc(1, sizeof(*t));

    if (t == NULL || asprintf(&t->path, "%s/albedo-test-XXXXXX", top != NULL ? top : "/tmp") < 0)
        abort();
    if (mkdtemp(t->path) == NULL)
        give_up("making", t->path);
    return t;
}

/* A directory that a test made unreadable must not survive it. */
static int unlock_directory(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)where;
    if (type == FTW_D || type == FTW_DNR)
        (void)chmod(path, st->st_mode | S_IRWXU);
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

void tmpdir_close(struct tmpdir *t)
{
    if (t == NULL)
        return;
    (void)nftw(t->path, unlock_directory, NFTW_DESCRIPTORS, FTW_PHYS);
    if (nftw(t->path, remove_entry, NFTW_DESCRIPTORS, FTW_DEPTH | FTW_PHYS) != 0)
        give_up("removing", t->path);
    free(t->path);
    free(t);
}

char *tmpdir_path(const struct tmpdir *t, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", t->path, name) < 0)
        abort();
    return path;
}

void tmpdir_write(const struct tmpdir *t, const char *name, const void *bytes, size_t size)
{
    char *path = tmpdir_path(t, name);
    FILE *file = fopen(path, "wbe");

    if (file == NULL)
        give_up("opening", path);
    size_t written = fwrite(bytes, 1, size, file);
    if (fclose(file) != 0 || written != size)
        give_up("writing", path);
    free(path);
}

void tmpdir_mkdir(const struct tmpdir *t, const char *name)
{
    char *path = tmpdir_path(t, name);

    if (mkdir(path, 0755) != 0)
        give_up("making", path);
    free(path);
}

void *tmpdir_read(const struct tmpdir *t, const char *name, size_t *size)
{
    char *path = tmpdir_path(t, name);
    FILE *file = fopen(path, "rbe");
    struct stat st;

    if (file == NULL || fstat(fileno(file), &st) != 0)
        give_up("opening", path);
    size_t length = (size_t)st.st_size;
    char *bytes = calloc(1, length + 1);
    if (bytes == NULL || fread(bytes, 1, length, file) != length)
        give_up("reading", path);
    fclose(file);
    free(path);
    if (size != NULL)
        *size = length;
    return bytes;
}
