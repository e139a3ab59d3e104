/* SPDX-License-Identifier: Apache-2.0 */
/* image/scan_xattr.c – reads extended attributes by way of /proc/self/fd, the only relative way.
 *
 * There is no llistxattrat(2) before Linux 6.13; "/proc/self/fd/N/name" resolves N without a path
 * and the l-calls leave the last component alone, so no symlink is followed on the way.
 */
#include "image/scan_xattr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"

/* XATTR_LIST_MAX of linux/limits.h; the kernel never lists more. */
enum { LIST_MAX = 65536 };

struct found {
    const char *name;
    size_t offset; /* of the value in `values` */
    size_t size;
};

/* Where attributes are asked for: a path, and whether its last component is to be followed (only
 * /proc/self/fd/N itself is). */
struct place {
    char path[32 + MANIFEST_NAME_MAX + 1];
    bool itself;
};

static struct alb_status list_names(const struct place *at, char *names, size_t *size);
static bool is_kept(const char *name);
static struct alb_status read_values(const struct place *at, const char *names, size_t names_size,
                                     struct found *found, size_t *count, struct buf *values);
static struct alb_status read_value(const struct place *at, const char *name, struct buf *values,
                                    bool *there);
static int compare_found(const void *a, const void *b);
static struct alb_status join(const struct found *found, size_t count, const struct buf *values,
                              struct xattr **out);

struct alb_status xattrs_read(int directory_fd, const char *name, struct xattr **out,
                              size_t *out_count)
{
    struct place at = {.itself = name[0] == '\0'};
    int length = snprintf(at.path, sizeof(at.path), "/proc/self/fd/%d%s%s", directory_fd,
                          at.itself ? "" : "/", name);
    if (length < 0 || (size_t)length >= sizeof(at.path))
        return alb_fail(ALB_INVALID, "reading extended attributes: the name is too long");

    char names[LIST_MAX];
    size_t names_size = 0;
    struct alb_status st = list_names(&at, names, &names_size);
    if (alb_failed(st))
        return st;
    *out = NULL;
    *out_count = 0;
    if (names_size == 0)
        return ALB_STATUS_OK;

    struct found found[MANIFEST_XATTRS_MAX];
    size_t count = 0;
    struct buf values;
    buf_init(&values, (size_t)MANIFEST_XATTRS_MAX * MANIFEST_XATTR_MAX);
    st = read_values(&at, names, names_size, found, &count, &values);
    if (!alb_failed(st) && count > 0) {
        qsort(found, count, sizeof(found[0]), compare_found);
        st = join(found, count, &values, out);
    }
    buf_release(&values);
    if (!alb_failed(st))
        *out_count = count;
    return st;
}

static struct alb_status list_names(const struct place *at, char *names, size_t *size)
{
    ssize_t got =
        at->itself ? listxattr(at->path, names, LIST_MAX) : llistxattr(at->path, names, LIST_MAX);
    if (got < 0 && errno != ENOTSUP)
        return alb_fail_sys("listing extended attributes");
    *size = got < 0 ? 0 : (size_t)got;
    return ALB_STATUS_OK;
}

/* The rest of system. is how one file system spells what another does not know. */
static bool is_kept(const char *name)
{
    static const char *const prefixes[] = {"user.", "security.", "trusted.", "system.posix_acl_"};
    for (size_t i = 0; i < ALB_COUNT(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static struct alb_status read_values(const struct place *at, const char *names, size_t names_size,
                                     struct found *found, size_t *count, struct buf *values)
{
    for (const char *name = names; name < names + names_size; name += strlen(name) + 1) {
        if (!is_kept(name))
            continue;
        if (*count == MANIFEST_XATTRS_MAX)
            return alb_fail(ALB_INVALID, "more than 256 extended attributes");
        size_t offset = buf_size(values);
        bool there;
        struct alb_status st = read_value(at, name, values, &there);
        if (alb_failed(st))
            return st;
        if (there)
            found[(*count)++] = (struct found){name, offset, buf_size(values) - offset};
    }
    return ALB_STATUS_OK;
}

/* *there is false when the attribute was removed after it was listed. */
static struct alb_status read_value(const struct place *at, const char *name, struct buf *values,
                                    bool *there)
{
    uint8_t *to;
    struct alb_status st = buf_reserve(values, MANIFEST_XATTR_MAX, &to);
    if (alb_failed(st))
        return st;
    ssize_t got = at->itself ? getxattr(at->path, name, to, MANIFEST_XATTR_MAX)
                             : lgetxattr(at->path, name, to, MANIFEST_XATTR_MAX);
    *there = got >= 0;
    if (got >= 0)
        buf_commit(values, (size_t)got);
    else if (errno != ENODATA)
        return alb_fail_sys("reading an extended attribute");
    return ALB_STATUS_OK;
}

static int compare_found(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* One block: the array, then each name and value. */
static struct alb_status join(const struct found *found, size_t count, const struct buf *values,
                              struct xattr **out)
{
    size_t size = count * sizeof(struct xattr) + buf_size(values);
    for (size_t i = 0; i < count; i++)
        size += strlen(found[i].name) + 1;
    struct xattr *block = try_alloc(size);
    if (block == NULL)
        return alb_fail(ALB_FULL, "memory for extended attributes");
    uint8_t *to = (uint8_t *)(block + count);
    for (size_t i = 0; i < count; i++) {
        size_t name_size = strlen(found[i].name) + 1;
        block[i].name = memcpy(to, found[i].name, name_size);
        to += name_size;
        block[i].value = to;
        block[i].size = (uint32_t)found[i].size;
        if (found[i].size > 0)
            memcpy(to, buf_peek(values) + found[i].offset, found[i].size);
        to += found[i].size;
    }
    *out = block;
    return ALB_STATUS_OK;
}
