/* SPDX-License-Identifier: Apache-2.0 */
/* wire/routes.c – the table of requests and the search in it. */
#include "wire/routes.h"

#include <stdbool.h>
#include <string.h>

/* The short words of routes.def. */
enum {
    N = RR_NONE,
    R = RR_REFLECTOR,
    E = RR_ENDPOINT,
    P = RR_PUBLISHER,
    A = RR_ADMIN,
    B = RR_BEARER
};
enum { TREE = PORT_TREE, ADMIN = PORT_ADMIN };

#define ROUTE(id, method, pattern, roles, limit, ports, text)                                      \
    {ROUTE_##id, #id, method, pattern, roles, limit, ports, text},
const struct route routes[ROUTE_COUNT] = {
#include "wire/routes.def"
};
#undef ROUTE

/* What the pattern's '*' takes; "" when it has none; NULL when the path is another.  A query ("?…")
 * belongs to what '*' takes and is no part of an exact path. */
static const char *match(const char *pattern, const char *path)
{
    size_t size = strcspn(pattern, "*");

    if (strncmp(pattern, path, size) != 0)
        return NULL;
    path += size;
    if (pattern[size] == '*')
        return *path == '\0' || *path == '?' ? NULL : path;
    return *path == '\0' || *path == '?' ? "" : NULL;
}

const struct route *route_find(unsigned port, const char *method, const char *path,
                               const char **rest)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct route *r = &routes[i];
        const char *taken;

        if ((r->ports & port) == 0 || strcmp(r->method, method) != 0)
            continue;
        taken = match(r->pattern, path);
        if (taken == NULL)
            continue;
        *rest = taken;
        return r;
    }
    return NULL;
}
