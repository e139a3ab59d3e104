/* SPDX-License-Identifier: Apache-2.0 */
/* store/ram_catalogue.c – the catalogue's twin in memory: an array of records sorted by name. */

#include "store/ram.h"

#include <pthread.h>

#include "base/alloc.h"
#include "store/ram_luck.h"

struct record {
    char *name;     /* owned */
    uint8_t *value; /* owned */
    size_t size;
    uint64_t version;
};

/* The lock is for tests that run real workers; in the simulator nobody ever waits for it. */
struct ram_catalogue {
    struct catalogue base;
    pthread_mutex_t lock;
    struct record *records; /* owned, sorted by name */
    size_t count;
    size_t capacity;
    uint64_t last_version;
    uint64_t used_bytes; /* names and values */
    uint64_t quota_bytes;
    struct ram_luck luck;
};

static struct ram_catalogue *from_base(struct catalogue *c)
{
    return ALB_CONTAINER(c, struct ram_catalogue, base);
}

/* The first record whose name is not before `name` (or, with `beyond`, is after it). */
static size_t find(const struct ram_catalogue *r, const char *name, bool beyond)
{
    size_t low = 0;
    for (size_t high = r->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(r->records[middle].name, name);
        if (order < 0 || (beyond && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct record *find_exact(const struct ram_catalogue *r, const char *name)
{
    size_t at = find(r, name, false);
    bool found = at < r->count && strcmp(r->records[at].name, name) == 0;
    return found ? &r->records[at] : NULL;
}

static struct alb_status get(struct catalogue *c, const char *name, struct buf *out,
                             uint64_t *version)
{
    struct ram_catalogue *r = from_base(c);
    pthread_mutex_lock(&r->lock);
    const struct record *record = find_exact(r, name);
    struct alb_status st = record == NULL ? alb_fail(ALB_NOT_FOUND, "catalogue: no such record")
                                          : buf_append(out, record->value, record->size);
    if (!alb_failed(st) && version != NULL)
        *version = record->version;
    pthread_mutex_unlock(&r->lock);
    return st;
}

static void record_free_contents(struct ram_catalogue *r, struct record *record)
{
    r->used_bytes -= strlen(record->name) + record->size;
    free(record->name);
    free(record->value);
}

static void erase(struct ram_catalogue *r, const char *name)
{
    struct record *record = find_exact(r, name);
    if (record == NULL)
        return;
    record_free_contents(r, record);
    size_t behind = (size_t)(r->records + r->count - (record + 1));
    memmove(record, record + 1, behind * sizeof(*record));
    r->count--;
}

static void insert(struct ram_catalogue *r, struct record new_record)
{
    if (r->count == r->capacity) {
        r->capacity = r->capacity == 0 ? 16 : 2 * r->capacity;
        r->records = xrealloc(r->records, r->capacity * sizeof(*r->records));
    }
    size_t at = find(r, new_record.name, false);
    memmove(&r->records[at + 1], &r->records[at], (r->count - at) * sizeof(*r->records));
    r->records[at] = new_record;
    r->count++;
    r->used_bytes += strlen(new_record.name) + new_record.size;
}

static struct alb_status write_one(struct ram_catalogue *r, const char *name, const void *value,
                                   size_t size, uint64_t *version)
{
    uint64_t now_version = CATALOGUE_ABSENT;
    if (value == NULL) {
        erase(r, name);
    } else {
        const struct record *old = find_exact(r, name);
        uint64_t freed = old != NULL ? strlen(name) + old->size : 0;
        if (r->quota_bytes != 0 && r->used_bytes - freed + strlen(name) + size > r->quota_bytes)
            return alb_fail(ALB_FULL, "catalogue: the quota is used up");
        struct record fresh = {.name = xstrdup(name), .value = xalloc(size + 1), .size = size};
        memcpy(fresh.value, value, size);
        fresh.version = now_version = ++r->last_version;
        erase(r, name);
        insert(r, fresh);
    }
    if (version != NULL)
        *version = now_version;
    return ALB_STATUS_OK;
}

static struct alb_status swap_locked(struct ram_catalogue *r, const char *name, uint64_t expected,
                                     const void *value, size_t size, uint64_t *version)
{
    const struct record *old = find_exact(r, name);
    uint64_t found = old != NULL ? old->version : CATALOGUE_ABSENT;
    if (expected != CATALOGUE_ANY && expected != found)
        return alb_fail(ALB_CONFLICT, "catalogue: the record has another version");
    enum luck luck = ram_luck_draw(&r->luck);
    if (luck == LUCK_GOOD)
        return write_one(r, name, value, size, version);
    if (luck == LUCK_UNKNOWN_DONE)
        alb_ignore(write_one(r, name, value, size, NULL), "whatever it says gets lost");
    return alb_fail(ALB_UNKNOWN, "catalogue: a write was not answered");
}

static struct alb_status swap(struct catalogue *c, const char *name, uint64_t expected,
                              const void *value, size_t size, uint64_t *version)
{
    struct ram_catalogue *r = from_base(c);
    struct alb_status st = catalogue_check(name, size);
    if (alb_failed(st))
        return st;
    pthread_mutex_lock(&r->lock);
    st = swap_locked(r, name, expected, value, size, version);
    pthread_mutex_unlock(&r->lock);
    return st;
}

/* Copies what is at or behind `cursor` out of the lock, so that `visit` may call the catalogue. */
static bool copy_next(struct ram_catalogue *r, const char *cursor, bool beyond, struct record *out)
{
    pthread_mutex_lock(&r->lock);
    size_t at = find(r, cursor, beyond);
    bool found = at < r->count;
    if (found) {
        *out = r->records[at];
        out->name = xstrdup(out->name);
        out->value = xalloc(out->size + 1);
        memcpy(out->value, r->records[at].value, out->size);
    }
    pthread_mutex_unlock(&r->lock);
    return found;
}

static struct alb_status list(struct catalogue *c, const char *prefix, catalogue_visit visit,
                              void *arg)
{
    struct ram_catalogue *r = from_base(c);
    char *cursor = xstrdup(prefix);
    struct record next;
    bool beyond = false;
    while (copy_next(r, cursor, beyond, &next)) {
        bool more = strncmp(next.name, prefix, strlen(prefix)) == 0 &&
                    visit(arg, next.name, next.value, next.size, next.version);
        free(next.value);
        free(cursor);
        cursor = next.name;
        beyond = true;
        if (!more)
            break;
    }
    free(cursor);
    return ALB_STATUS_OK;
}

static void ram_close(struct catalogue *c)
{
    struct ram_catalogue *r = from_base(c);
    for (size_t i = 0; i < r->count; i++)
        record_free_contents(r, &r->records[i]);
    free(r->records);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static const struct catalogue_ops ops = {
    .name = "memory",
    .get = get,
    .swap = swap,
    .list = list,
    .close = ram_close,
};

struct catalogue *ram_catalogue_new(const struct ram_options *options)
{
    struct ram_catalogue *r = xalloc(sizeof(*r));
    r->base.ops = &ops;
    pthread_mutex_init(&r->lock, NULL);
    r->quota_bytes = options->quota_bytes;
    ram_luck_init(&r->luck, options);
    return &r->base;
}
