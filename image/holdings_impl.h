/* SPDX-License-Identifier: Apache-2.0 */
/* image/holdings_impl.h – what holdings are made of; for holdings*.c,
 * stage*.c and apply*.c only. */
#pragma once

#include <pthread.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/pack.h"
#include "image/holdings.h"

struct held_chunk {
    struct held_file *file;
    struct digest digest;
    uint64_t offset;
    uint32_t length;
};

struct held_file {
    uint32_t tree;
    uint32_t item; /* in the tree's scan */
    bool is_known; /* the digest is that of its bytes */
    struct digest content;
    struct held_chunk *chunks; /* owned; of large files */
    size_t chunk_count;
};

struct held_tree {
    const struct scan *scan;       /* borrowed */
    size_t first_file, file_count; /* its regular files, in scan order */
};

/* A file as it was when its digest was computed; scan cache and applied record. */
struct stamp {
    uint64_t size, ino;
    int64_t mtime_s, ctime_s;
    uint32_t mtime_ns, ctime_ns;
};

struct cached_file {
    char *path;
    struct stamp stamp;
    struct digest content;
    struct held_chunk *chunks; /* `file` unset */
    size_t chunk_count;
};

struct cached_tree {
    char *top;
    struct cached_file *files; /* in scan order */
    size_t count;
};

struct scan_cache {
    struct cached_tree *trees;
    size_t count;
};

struct holdings_unit {
    size_t first, count; /* in unit_files */
    uint64_t bytes;
};

struct holdings {
    char *cache_path;
    struct scan_cache cache;
    struct held_tree *trees;
    size_t tree_count;
    struct held_file **files; /* each owned */
    size_t file_count, file_capacity;
    struct holdings_unit *units;
    size_t unit_count, unit_capacity;
    struct held_file **unit_files;
    size_t unit_file_count, unit_file_capacity;
    const struct manifest *wanted; /* borrowed; may be NULL */
    uint64_t *wanted_sizes;        /* ascending             */
    size_t wanted_size_count;
    bool presumes;        /* the tree being added: what looks like a wanted file need not be read */
    struct map contents;  /* digest → held_file  */
    struct map chunks;    /* digest → held_chunk */
    pthread_mutex_t lock; /* of both maps while units run */
};

/* The first tree added; NULL when there is none. */
const struct scan *holdings_first(const struct holdings *h);
bool stamp_equal(const struct stamp *a, const struct stamp *b);
struct stamp stamp_of_item(const struct scan_item *item);
void stamp_encode(struct pack *p, const struct stamp *s);
void stamp_decode(struct unpack *u, struct stamp *out);

/* Room for one more, where a tree that was scanned has already paid for as many. */
static inline void *xrealloc_room(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 16 : 2 * *capacity;
    alb_assert(*capacity <= SIZE_MAX / size);
    return xrealloc(array, *capacity * size);
}

/* ---- holdings_cache.c */
/* What the file at `path` knows; empty when it is missing, damaged or of another version. */
void scan_cache_read(const char *path, struct scan_cache *out);
void scan_cache_release(struct scan_cache *c);
/* The applied record of the tree whose top is open, in the same form; freed with
 * cached_tree_free(). */
struct cached_tree *applied_tree_read(int top_fd);
struct cached_tree *cached_tree_free(struct cached_tree *t);
/* Files of the tree at `top`, in scan order; NULL when it knows none. */
const struct cached_tree *scan_cache_tree(const struct scan_cache *c, const char *top);
