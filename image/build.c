/* SPDX-License-Identifier: Apache-2.0 */
/* image/build.c – plans the units of work, and runs one.
 *
 * The way through: build_new() lists files and units; build_run() → build_alone.c or build_pack.c,
 * which read through build_file.c; build_finish.c turns it all into manifest and root; build_read.c
 * reads a chunk again when somebody wants it.
 */
#include "image/build.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/units.h"
#include "image/build_unit.h"

static int64_t newest_change(const struct scan *scan);
static void list_files(struct build *b);
static void plan_units(struct build *b);
static size_t directory_length(const char *path);
static void plan_directory(struct build *b, size_t first, size_t end);
static int compare_units(const void *a, const void *b);
static void tell_files(struct build *b, size_t unit);
static void unit_reset(struct build *b, struct build_unit *u);

struct build *build_new(const struct scan *scan)
{
    struct build *b = xalloc(sizeof(*b));
    b->scan = scan;
    cutter_init(&b->cutter, &cut_content);
    alb_assert(cut_content.max + cut_content.min <= PACK_SIZE);
    alb_assert(2 * cut_content.max <= WINDOW_SIZE);
    map_init(&b->known);
    b->newest_ns = newest_change(scan);
    list_files(b);
    plan_units(b);
    return b;
}

struct build *build_free(struct build *b)
{
    if (b == NULL)
        return NULL;
    for (size_t i = 0; i < b->file_count; i++)
        free(b->files[i].holes);
    for (size_t i = 0; i < b->unit_count; i++)
        free(b->units[i].chunks);
    map_release(&b->known);
    free(b->files);
    free(b->units);
    free(b->problems);
    free(b->places);
    free(b->keys);
    free(b);
    return NULL;
}

struct build_worker *build_worker_new(void)
{
    struct build_worker *w = xalloc(sizeof(*w));
    w->codec = codec_new();
    w->hasher = hasher_new();
    w->path = "";
    w->window = xalloc(WINDOW_SIZE);
    w->pack = xalloc(PACK_SIZE);
    buf_init(&w->stored, CHUNK_STORED_MAX);
    return w;
}

struct build_worker *build_worker_free(struct build_worker *w)
{
    if (w == NULL)
        return NULL;
    codec_free(w->codec);
    hasher_free(w->hasher);
    free(w->window);
    free(w->pack);
    buf_release(&w->stored);
    free(w);
    return NULL;
}

const char *build_worker_path(const struct build_worker *w)
{
    return w->path;
}

size_t build_units(const struct build *b)
{
    return b->unit_count;
}

uint64_t build_unit_bytes(const struct build *b, size_t unit)
{
    alb_assert(unit < b->unit_count);
    return b->units[unit].bytes;
}

struct alb_status build_run(struct build *b, size_t unit, struct build_worker *w)
{
    alb_assert(unit < b->unit_count);
    struct build_unit *u = &b->units[unit];
    struct build_file *f = &b->files[u->file];
    unit_reset(b, u);
    w->path = b->scan->items[f->item].path;
    struct alb_status st = u->alone ? build_alone(b, u, f, w) : build_pack(b, u, w);
    u->is_done = !alb_failed(st);
    if (u->is_done)
        w->path = "";
    return st;
}

size_t build_problems(const struct build *b, const struct scan_problem **out)
{
    *out = b->problems;
    return b->problem_count;
}

static int64_t newest_change(const struct scan *scan)
{
    int64_t newest_ns = INT64_MIN;
    for (size_t i = 0; i < scan->count; i++) {
        const struct scan_item *item = &scan->items[i];
        int64_t changed_ns = item->ctime_s * (int64_t)NS_PER_S + item->ctime_ns;
        if (changed_ns > newest_ns)
            newest_ns = changed_ns;
    }
    return newest_ns;
}

/* In the scan's order, which keeps a directory's files together. */
static void list_files(struct build *b)
{
    size_t count = 0;
    for (size_t i = 0; i < b->scan->count; i++)
        count += b->scan->items[i].type == ENTRY_FILE;
    b->files = xcalloc(count + 1, sizeof(*b->files));
    for (size_t i = 0; i < b->scan->count; i++) {
        const struct scan_item *item = &b->scan->items[i];
        if (item->type != ENTRY_FILE)
            continue;
        b->files[b->file_count++] = (struct build_file){
            .item = i,
            .alone = item->size >= b->cutter.params.min,
        };
    }
}

static void plan_units(struct build *b)
{
    /* Each file makes at most one unit, or is in its directory's. */
    b->units = xcalloc(b->file_count + 1, sizeof(*b->units));
    size_t first = 0;
    for (size_t i = 1; i <= b->file_count; i++) {
        const char *here = b->scan->items[b->files[first].item].path;
        size_t length = directory_length(here);
        bool more = i < b->file_count;
        const char *next = more ? b->scan->items[b->files[i].item].path : here;
        if (more && directory_length(next) == length && memcmp(here, next, length) == 0)
            continue;
        plan_directory(b, first, i);
        first = i;
    }
    if (b->unit_count > 0)
        qsort(b->units, b->unit_count, sizeof(*b->units), compare_units);
    for (size_t i = 0; i < b->unit_count; i++)
        tell_files(b, i);
}

static size_t directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path);
}

static void plan_directory(struct build *b, size_t first, size_t end)
{
    struct build_unit packed = {.file = first, .file_count = end - first};
    bool has_small = false;
    for (size_t i = first; i < end; i++) {
        uint64_t size = b->scan->items[b->files[i].item].size;
        if (b->files[i].alone) {
            b->units[b->unit_count++] =
                (struct build_unit){.alone = true, .file = i, .file_count = 1, .bytes = size};
            continue;
        }
        packed.bytes += size;
        has_small = true;
    }
    if (has_small)
        b->units[b->unit_count++] = packed;
}

static int compare_units(const void *a, const void *b)
{
    const struct build_unit *left = a, *right = b;
    if (left->bytes != right->bytes)
        return left->bytes > right->bytes ? -1 : 1;
    return left->file < right->file ? -1 : left->file > right->file;
}

static void tell_files(struct build *b, size_t unit)
{
    const struct build_unit *u = &b->units[unit];
    for (size_t i = u->file; i < u->file + u->file_count; i++)
        if (b->files[i].alone == u->alone)
            b->files[i].unit = unit;
}

/* A unit that failed may be run again. */
static void unit_reset(struct build *b, struct build_unit *u)
{
    u->is_done = false;
    u->chunk_count = 0;
    for (size_t i = u->file; i < u->file + u->file_count; i++) {
        struct build_file *f = &b->files[i];
        if (f->alone != u->alone)
            continue; /* another unit's, perhaps another thread's */
        free(f->holes);
        f->is_there = false; /* the plan's part of a file is read by others: leave it alone */
        f->problem = ALB_STATUS_OK;
        f->holes = NULL;
        f->hole_count = 0;
        f->chunk = 0;
        f->chunk_count = 0;
        f->offset = 0;
    }
}
