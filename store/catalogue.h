/* SPDX-License-Identifier: Apache-2.0 */
/* store/catalogue.h – the door behind which records are kept: small values by name, with versions.
 *
 * A record's name is text such as "head/base/debian-12"; its version is a number the store gives
 * it, never 0, that changes with every write.  Writes are compare-and-swap.  No transactions over
 * several records, no locks, no ordering is assumed.  Calls block and are made inside jobs or at
 * start-up.  Writes are durable when they return OK.
 */
#pragma once

#include "base/buf.h"
#include "base/status.h"

enum { CATALOGUE_NAME_MAX = 255, CATALOGUE_VALUE_MAX = 1 << 20 };
#define CATALOGUE_ABSENT UINT64_C(0) /* swap's `expected`: only when there is no such record */
#define CATALOGUE_ANY UINT64_MAX     /* swap's `expected`: whatever is there                 */

struct catalogue;

/* Called for each record of a listing, in name order; false stops. */
typedef bool (*catalogue_visit)(void *arg, const char *name, const void *value, size_t size,
                                uint64_t version);

/* What every implementation refuses the same way: INVALID for a name that is empty or over
 * CATALOGUE_NAME_MAX, and for a value over CATALOGUE_VALUE_MAX. */
ALB_MUST_USE struct alb_status catalogue_check(const char *name, size_t value_size);

struct catalogue_ops {
    const char *name;
    /* Appends the value to `out`.  NOT_FOUND, IO, FULL. */
    struct alb_status (*get)(struct catalogue *c, const char *name, struct buf *out,
                             uint64_t *version);
    /* CONFLICT when the version is not `expected`; UNKNOWN when nobody can say; `version` may be
     * NULL.  `value` NULL deletes the record (and *version is CATALOGUE_ABSENT). */
    struct alb_status (*swap)(struct catalogue *c, const char *name, uint64_t expected,
                              const void *value, size_t size, uint64_t *version);
    struct alb_status (*list)(struct catalogue *c, const char *prefix, catalogue_visit visit,
                              void *arg);
    void (*close)(struct catalogue *c);
};

struct catalogue {
    const struct catalogue_ops *ops;
};

static inline struct alb_status catalogue_get(struct catalogue *c, const char *name,
                                              struct buf *out, uint64_t *version)
{
    return c->ops->get(c, name, out, version);
}
static inline struct alb_status catalogue_swap(struct catalogue *c, const char *name,
                                               uint64_t expected, const void *value, size_t size,
                                               uint64_t *version)
{
    return c->ops->swap(c, name, expected, value, size, version);
}
static inline struct alb_status catalogue_list(struct catalogue *c, const char *prefix,
                                               catalogue_visit visit, void *arg)
{
    return c->ops->list(c, prefix, visit, arg);
}
static inline void catalogue_close(struct catalogue *c)
{
    if (c != NULL)
        c->ops->close(c);
}
