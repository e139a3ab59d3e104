/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_path.c – the rules of names, the order of paths, finding an entry. */
#include "wire/manifest_format.h"

const char *component_fault(const char *name, size_t size)
{
    if (size == 0)
        return "a path has an empty component";
    if (size > MANIFEST_NAME_MAX)
        return "a path has a component longer than 255 bytes";
    if (memchr(name, '/', size) != NULL || memchr(name, 0, size) != NULL)
        return "a name holds a slash or a zero byte";
    if (name[0] != '.')
        return NULL;
    if (size == 1)
        return "a path has the component \".\"";
    if (size == 2 && name[1] == '.')
        return "a path has the component \"..\"";
    if (size == 7 && memcmp(name, ".albedo", 7) == 0)
        return "a path has the reserved component \".albedo\"";
    return NULL;
}

struct alb_status path_check(const char *path)
{
    const char *end;

    if (path[0] == '\0')
        return alb_fail(ALB_INVALID, "a path is empty");
    if (path[0] == '/')
        return alb_fail(ALB_INVALID, "a path begins with a slash");
    if (strnlen(path, MANIFEST_PATH_MAX + 1) > MANIFEST_PATH_MAX)
        return alb_fail(ALB_INVALID, "a path is longer than 4095 bytes");
    for (;; path = end + 1) {
        const char *fault;

        end = strchrnul(path, '/');
        fault = component_fault(path, (size_t)(end - path));
        if (fault != NULL)
            return (struct alb_status){ALB_INVALID, 0, fault};
        if (*end == '\0')
            return ALB_STATUS_OK;
    }
}

int directory_compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t both = a_size < b_size ? a_size : b_size;
    size_t i = 0;

    while (i < both && a[i] == b[i])
        i++;
    if (i == both)
        return (a_size > b_size) - (a_size < b_size);
    if (a[i] == '/' || b[i] == '/')
        return a[i] == '/' ? -1 : 1;
    return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
}

size_t path_split(const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');

    *name = slash == NULL ? path : slash + 1;
    return slash == NULL ? 0 : (size_t)(slash - path);
}

int path_compare(const char *a, const char *b)
{
    const char *a_name, *b_name;
    size_t a_size = path_split(a, &a_name);
    size_t b_size = path_split(b, &b_name);
    int order = directory_compare(a, a_size, b, b_size);

    return order != 0 ? order : strcmp(a_name, b_name);
}

const struct manifest_entry *entries_find(const struct manifest_entry *entries, size_t count,
                                          const char *path)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = path_compare(path, entries[middle].path);

        if (order == 0) /* "/x" is in the place of "x", but is no path of ours */
            return strcmp(path, entries[middle].path) == 0 ? &entries[middle] : NULL;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct manifest_entry *manifest_find(const struct manifest *m, const char *path)
{
    return entries_find(m->entries, m->count, path);
}
