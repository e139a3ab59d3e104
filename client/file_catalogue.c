/* SPDX-License-Identifier: Apache-2.0 */
/* client/file_catalogue.c – records as files: "albedo record 1\n", version, name, value. */
#include "client/file_catalogue.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/pack.h"

enum {
    FILE_NAME_MOST = 200, /* leaves room for file_replace()'s suffix */
    FILE_MOST = CATALOGUE_VALUE_MAX + CATALOGUE_NAME_MAX + 64,
    FILE_NAME_SIZE = 3 * CATALOGUE_NAME_MAX + 1,
};

static const char MAGIC[] = "albedo record 1\n";

struct file_catalogue {
    struct catalogue base;
    char *dir;   /* owned */
    int lock_fd; /* the directory's; swaps hold it exclusively */
};

/* One record as read from its file; borrowed from the buffer. */
struct record {
    char name[CATALOGUE_NAME_MAX + 1];
    uint64_t version;
    const uint8_t *value;
    size_t size;
};

static struct file_catalogue *from_base(struct catalogue *c)
{
    return ALB_CONTAINER(c, struct file_catalogue, base);
}

/* ---- names of files ---- */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '@' || c == '+';
}

/* "%XX" for what is not plain and for a leading dot, so no name hides or climbs; "%%" and a digest
 * when that would be too long. */
static void file_name(const char *name, char out[FILE_NAME_SIZE])
{
    size_t size = 0;

    for (const char *at = name; *at != '\0'; at++) {
        if (is_plain(*at) && !(at == name && *at == '.'))
            out[size++] = *at;
        else
            size += (size_t)snprintf(out + size, 4, "%%%02X", (unsigned char)*at);
    }
    out[size] = '\0';
    if (size <= FILE_NAME_MOST)
        return;
    struct digest digest;
    sha256(name, strlen(name), &digest);
    out[0] = out[1] = '%';
    digest_hex(&digest, out + 2);
}

static char *file_path(const struct file_catalogue *f, const char *name)
{
    char file[FILE_NAME_SIZE];

    file_name(name, file);
    return path_join(f->dir, file);
}

/* ---- what is in them ---- */

static struct alb_status record_decode_file(const struct buf *bytes, struct record *out)
{
    struct unpack u;

    unpack_init(&u, buf_peek(bytes), buf_size(bytes));
    const uint8_t *magic = unpack_bytes(&u, sizeof MAGIC - 1);
    if (magic == NULL || memcmp(magic, MAGIC, sizeof MAGIC - 1) != 0)
        return alb_fail(ALB_CORRUPT, "catalogue: a file in it is no record");
    out->version = unpack_u64(&u);
    unpack_string(&u, out->name, sizeof out->name);
    out->value = unpack_run(&u, CATALOGUE_VALUE_MAX, &out->size);
    return unpack_finish(&u);
}

static struct alb_status record_read(const char *path, struct buf *bytes, struct record *out)
{
    buf_init(bytes, FILE_MOST);
    struct alb_status st = file_read(path, bytes);
    if (st.code == ALB_NOT_FOUND)
        return alb_fail(ALB_NOT_FOUND, "catalogue: no such record");
    return alb_failed(st) ? st : record_decode_file(bytes, out);
}

static struct alb_status record_write(const char *path, const struct record *r)
{
    struct buf bytes;
    struct pack p;

    buf_init(&bytes, FILE_MOST);
    pack_init(&p, &bytes);
    pack_bytes(&p, MAGIC, sizeof MAGIC - 1);
    pack_u64(&p, r->version);
    pack_string(&p, r->name);
    pack_run(&p, r->value, r->size);
    struct alb_status st = pack_finish(&p);
    if (!alb_failed(st))
        st = file_replace(path, buf_peek(&bytes), buf_size(&bytes), 0600);
    buf_release(&bytes);
    return st;
}

/* ---- the operations ---- */

static struct alb_status get(struct catalogue *c, const char *name, struct buf *out,
                             uint64_t *version)
{
    AUTO_FREE char *path = file_path(from_base(c), name);
    struct record r;
    struct buf bytes;

    struct alb_status st = catalogue_check(name, 0);
    if (alb_failed(st))
        return st;
    st = record_read(path, &bytes, &r);
    if (!alb_failed(st))
        st = buf_append(out, r.value, r.size);
    if (!alb_failed(st) && version != NULL)
        *version = r.version;
    buf_release(&bytes);
    return st;
}

/* Random, so that a record made again never bears an old version. */
static uint64_t fresh_version(void)
{
    uint64_t version;

    do
        random_bytes(&version, sizeof version);
    while (version == CATALOGUE_ABSENT || version == CATALOGUE_ANY);
    return version;
}

static struct alb_status version_of(const char *path, uint64_t *out)
{
    struct record r;
    struct buf bytes;

    struct alb_status st = record_read(path, &bytes, &r);
    buf_release(&bytes);
    if (st.code == ALB_NOT_FOUND) {
        *out = CATALOGUE_ABSENT;
        return ALB_STATUS_OK;
    }
    if (!alb_failed(st))
        *out = r.version;
    return st;
}

static struct alb_status erase(const struct file_catalogue *f, const char *path)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return alb_fail_sys("catalogue: removing a record");
    return file_sync_dir(f->dir);
}

static struct alb_status swap_locked(const struct file_catalogue *f, struct record *r,
                                     uint64_t expected)
{
    AUTO_FREE char *path = file_path(f, r->name);
    uint64_t found = 0;

    if (expected != CATALOGUE_ANY) {
        struct alb_status st = version_of(path, &found);
        if (alb_failed(st))
            return st;
        if (found != expected)
            return alb_fail(ALB_CONFLICT, "catalogue: the record has another version");
    }
    return r->value == NULL ? erase(f, path) : record_write(path, r);
}

static struct alb_status swap(struct catalogue *c, const char *name, uint64_t expected,
                              const void *value, size_t size, uint64_t *version)
{
    struct file_catalogue *f = from_base(c);
    struct record r = {.value = value, .size = size};

    struct alb_status st = catalogue_check(name, size);
    if (alb_failed(st))
        return st;
    memcpy(r.name, name, strlen(name) + 1);
    r.version = value == NULL ? CATALOGUE_ABSENT : fresh_version();
    while (flock(f->lock_fd, LOCK_EX) != 0)
        if (errno != EINTR)
            return alb_fail_sys("catalogue: locking it");
    st = swap_locked(f, &r, expected);
    (void)flock(f->lock_fd, LOCK_UN); /* cannot fail on a descriptor that was locked */
    if (!alb_failed(st) && version != NULL)
        *version = r.version;
    return st;
}

/* ---- listing ---- */

struct name_list {
    char **names; /* owned: record names */
    size_t count;
};

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void name_list_release(struct name_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->names[i]);
    free(l->names);
}

static struct alb_status add_name(const struct file_catalogue *f, const char *file,
                                  const char *prefix, struct name_list *l)
{
    AUTO_FREE char *path = path_join(f->dir, file);
    struct record r;
    struct buf bytes;

    struct alb_status st = record_read(path, &bytes, &r);
    buf_release(&bytes);
    if (st.code == ALB_NOT_FOUND)
        return ALB_STATUS_OK; /* removed by somebody else just now */
    if (alb_failed(st) || strncmp(r.name, prefix, strlen(prefix)) != 0)
        return st;
    l->names = xrealloc(l->names, (l->count + 1) * sizeof *l->names);
    l->names[l->count++] = xstrdup(r.name);
    return ALB_STATUS_OK;
}

static struct alb_status collect(const struct file_catalogue *f, const char *prefix,
                                 struct name_list *l)
{
    struct alb_status st = ALB_STATUS_OK;
    DIR *dir = opendir(f->dir);

    if (dir == NULL)
        return alb_fail_sys("catalogue: opening it");
    for (const struct dirent *e = readdir(dir); e != NULL && !alb_failed(st); e = readdir(dir))
        if (e->d_name[0] != '.') /* "." and "..", and files half written when a process died */
            st = add_name(f, e->d_name, prefix, l);
    closedir(dir);
    if (l->count > 1)
        qsort(l->names, l->count, sizeof *l->names, name_compare);
    return st;
}

static struct alb_status visit_each(const struct file_catalogue *f, const struct name_list *l,
                                    catalogue_visit visit, void *arg)
{
    bool goes_on = true;

    for (size_t i = 0; i < l->count && goes_on; i++) {
        AUTO_FREE char *path = file_path(f, l->names[i]);
        struct record r;
        struct buf bytes;

        struct alb_status st = record_read(path, &bytes, &r);
        if (!alb_failed(st))
            goes_on = visit(arg, r.name, r.value, r.size, r.version);
        buf_release(&bytes);
        if (alb_failed(st) && st.code != ALB_NOT_FOUND)
            return st;
    }
    return ALB_STATUS_OK;
}

static struct alb_status list(struct catalogue *c, const char *prefix, catalogue_visit visit,
                              void *arg)
{
    struct file_catalogue *f = from_base(c);
    struct name_list names = {NULL, 0};

    struct alb_status st = collect(f, prefix, &names);
    if (!alb_failed(st))
        st = visit_each(f, &names, visit, arg);
    name_list_release(&names);
    return st;
}

/* ---- opening and closing ---- */

static void file_close(struct catalogue *c)
{
    struct file_catalogue *f = from_base(c);

    close(f->lock_fd);
    free(f->dir);
    free(f);
}

static const struct catalogue_ops ops = {
    .name = "files",
    .get = get,
    .swap = swap,
    .list = list,
    .close = file_close,
};

struct alb_status file_catalogue_open(const char *dir, struct catalogue **out)
{
    struct alb_status st = file_make_dir(dir, 0700);
    if (alb_failed(st))
        return st;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return alb_fail_sys("catalogue: opening it");
    struct file_catalogue *f = xalloc(sizeof *f);
    f->base.ops = &ops;
    f->dir = xstrdup(dir);
    f->lock_fd = fd;
    *out = &f->base;
    return ALB_STATUS_OK;
}
