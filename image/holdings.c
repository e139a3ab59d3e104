/* SPDX-License-Identifier: Apache-2.0 */
/* image/holdings.c – reads trees, as far as nobody else remembers them, and finds bytes in them.
 *
 * A large file is read once for three things: the digest of all of it, its cut points and the
 * digest of each chunk.  Small files travel in packs, and a pack is wanted only when one of its
 * files is not held, so for them the digest is enough.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/log.h"
#include "chunk/codec.h"
#include "chunk/cut.h"
#include "image/content.h"
#include "image/holdings_impl.h"
#include "image/scan_open.h"

enum { UNIT_BYTES = 8 << 20, UNIT_FILES = 256 };

struct recollection {               /* files somebody has seen before, in scan order */
    const struct cached_tree *tree; /* may be NULL */
    size_t cursor;
};

struct memory {
    struct recollection applied, cache;
};

static void add_file(struct holdings *h, uint32_t item, struct memory *memory);
static void add_to_unit(struct holdings *h, struct held_file *f, uint64_t size);
static bool may_presume(const struct holdings *h, const struct scan *seed);
static void publish(struct holdings *h, struct held_file *f);
static struct alb_status read_file(struct holdings *h, struct held_file *f, struct content *c);

struct holdings *holdings_new(const char *cache_path)
{
    struct holdings *h = xalloc(sizeof(*h));

    map_init(&h->contents);
    map_init(&h->chunks);
    pthread_mutex_init(&h->lock, NULL);
    if (cache_path != NULL) {
        h->cache_path = xstrdup(cache_path);
        scan_cache_read(cache_path, &h->cache);
    }
    return h;
}

struct holdings *holdings_free(struct holdings *h)
{
    if (h == NULL)
        return NULL;
    for (size_t i = 0; i < h->file_count; i++) {
        free(h->files[i]->chunks);
        free(h->files[i]);
    }
    map_release(&h->contents);
    map_release(&h->chunks);
    pthread_mutex_destroy(&h->lock);
    scan_cache_release(&h->cache);
    free(h->cache_path);
    free(h->trees);
    free(h->files);
    free(h->units);
    free(h->unit_files);
    free(h->wanted_sizes);
    free(h);
    return NULL;
}

static int compare_sizes(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return *left < *right ? -1 : *left > *right;
}

void holdings_want(struct holdings *h, const struct manifest *wanted)
{
    h->wanted = wanted;
    free(h->wanted_sizes);
    h->wanted_sizes = xcalloc(wanted->count, sizeof(*h->wanted_sizes));
    h->wanted_size_count = 0;
    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->entries[i].type == ENTRY_FILE)
            h->wanted_sizes[h->wanted_size_count++] = wanted->entries[i].size;
    qsort(h->wanted_sizes, h->wanted_size_count, sizeof(*h->wanted_sizes), compare_sizes);
}

void holdings_add(struct holdings *h, const struct scan *scan)
{
    struct memory memory = {
        .cache = {.tree = scan_cache_tree(&h->cache, scan->top)},
    };
    struct cached_tree *applied = h->cache_path == NULL ? NULL : applied_tree_read(scan->top_fd);
    struct held_tree *tree;

    memory.applied.tree = applied;
    h->trees = xrealloc(h->trees, (h->tree_count + 1) * sizeof(*h->trees));
    tree = &h->trees[h->tree_count++];
    *tree = (struct held_tree){.scan = scan, .first_file = h->file_count};
    h->presumes = h->tree_count > 1 && h->wanted != NULL && may_presume(h, scan);
    for (uint32_t i = 0; i < scan->count; i++)
        if (scan->items[i].type == ENTRY_FILE)
            add_file(h, i, &memory);
    tree->file_count = h->file_count - tree->first_file;
    cached_tree_free(applied);
}

bool stamp_equal(const struct stamp *a, const struct stamp *b)
{
    return a->size == b->size && a->ino == b->ino && a->mtime_s == b->mtime_s &&
           a->mtime_ns == b->mtime_ns && a->ctime_s == b->ctime_s && a->ctime_ns == b->ctime_ns;
}

struct stamp stamp_of_item(const struct scan_item *item)
{
    return (struct stamp){
        .size = item->size,
        .ino = item->ino,
        .mtime_s = item->mtime_s,
        .ctime_s = item->ctime_s,
        .mtime_ns = item->mtime_ns,
        .ctime_ns = item->ctime_ns,
    };
}

/* What the memory says about the path; both lists are in scan order, so the cursor goes along. */
static const struct cached_file *recall(struct recollection *r, const char *path)
{
    int order = -1;

    while (r->tree != NULL && r->cursor < r->tree->count) {
        order = path_compare(r->tree->files[r->cursor].path, path);
        if (order >= 0)
            break;
        r->cursor++;
    }
    return order == 0 && r->cursor < r->tree->count ? &r->tree->files[r->cursor] : NULL;
}

static void remember(struct held_file *f, const struct scan_item *item,
                     const struct cached_file *was)
{
    struct stamp now = stamp_of_item(item);

    if (was == NULL || f->is_known || !stamp_equal(&was->stamp, &now))
        return;
    f->is_known = true;
    f->content = was->content;
    if (was->chunk_count == 0)
        return;
    f->chunks = xcalloc(was->chunk_count, sizeof(*f->chunks));
    memcpy(f->chunks, was->chunks, was->chunk_count * sizeof(*f->chunks));
    f->chunk_count = was->chunk_count;
}

/* What the wanted version has at the seed file's path, when size and time are the same, too. */
static const struct manifest_entry *like(const struct holdings *h, const struct scan_item *item)
{
    const struct manifest_entry *e = manifest_find(h->wanted, item->path);

    return e != NULL && e->type == ENTRY_FILE && e->size == item->size &&
                   e->mtime_s == item->mtime_s && e->mtime_ns == item->mtime_ns
               ? e
               : NULL;
}

/* Is everything there that chunks of other files could be of use for?  Then whoever copies a file
 * that looks alike proves it soon enough, and reading it now as well would be for nothing. */
static bool may_presume(const struct holdings *h, const struct scan *seed)
{
    for (size_t i = 0; i < h->wanted->count; i++) {
        const struct manifest_entry *e = &h->wanted->entries[i];
        const struct scan_item *item;

        if (e->type != ENTRY_FILE || e->size < cut_content.min)
            continue;
        item = scan_find(seed, e->path);
        if (item == NULL || item->type != ENTRY_FILE || like(h, item) != e)
            return false;
    }
    return true;
}

/* Could reading the file help? */
static bool is_worth_reading(const struct holdings *h, const struct scan_item *item, bool foreign)
{
    if (h->wanted == NULL || bsearch(&item->size, h->wanted_sizes, h->wanted_size_count,
                                     sizeof(item->size), compare_sizes) != NULL)
        return true;
    if (item->size < cut_content.min)
        return false;
    return !foreign || manifest_find(h->wanted, item->path) != NULL;
}

static void add_file(struct holdings *h, uint32_t item, struct memory *memory)
{
    const struct scan_item *it = &h->trees[h->tree_count - 1].scan->items[item];
    const struct cached_file *applied = recall(&memory->applied, it->path);
    bool foreign = h->tree_count == 1 && memory->applied.tree != NULL && applied == NULL;
    struct held_file *f = xalloc(sizeof(*f));
    const struct manifest_entry *presumed;

    f->tree = (uint32_t)(h->tree_count - 1);
    f->item = item;
    h->files = xrealloc_room(h->files, h->file_count, &h->file_capacity, sizeof(*h->files));
    h->files[h->file_count++] = f;
    remember(f, it, applied);
    remember(f, it, recall(&memory->cache, it->path));
    presumed = h->presumes && !f->is_known ? like(h, it) : NULL;
    if (presumed != NULL)
        f->content = presumed->content;
    if (f->is_known || presumed != NULL)
        publish(h, f);
    else if (is_worth_reading(h, it, foreign))
        add_to_unit(h, f, it->size);
}

static void add_to_unit(struct holdings *h, struct held_file *f, uint64_t size)
{
    struct holdings_unit *u = h->unit_count > 0 ? &h->units[h->unit_count - 1] : NULL;

    if (u == NULL || u->bytes + size > UNIT_BYTES || u->count == UNIT_FILES) {
        h->units = xrealloc_room(h->units, h->unit_count, &h->unit_capacity, sizeof(*h->units));
        u = &h->units[h->unit_count++];
        *u = (struct holdings_unit){.first = h->unit_file_count};
    }
    h->unit_files = xrealloc_room(h->unit_files, h->unit_file_count, &h->unit_file_capacity,
                                  sizeof(struct held_file *));
    h->unit_files[h->unit_file_count++] = f;
    u->count++;
    u->bytes += size;
}

size_t holdings_units(const struct holdings *h)
{
    return h->unit_count;
}

uint64_t holdings_unit_bytes(const struct holdings *h, size_t unit)
{
    return h->units[unit].bytes;
}

void holdings_run(struct holdings *h, size_t unit)
{
    const struct holdings_unit *u = &h->units[unit];
    struct content c;

    if (alb_failed(content_init(&c)))
        return; /* what is not looked at is fetched instead */
    for (size_t i = 0; i < u->count; i++) {
        struct held_file *f = h->unit_files[u->first + i];
        struct alb_status st = read_file(h, f, &c);

        if (alb_failed(st))
            log_status(LOG_DEBUG, "holdings.skipped", st, "file=%s",
                       h->trees[f->tree].scan->items[f->item].path);
        else if (f->is_known)
            publish(h, f);
    }
    content_release(&c);
}

static const struct scan_item *item_of(const struct holdings *h, const struct held_file *f)
{
    return &h->trees[f->tree].scan->items[f->item];
}

static bool is_unchanged(int fd, const struct scan_item *item)
{
    struct stat now;

    return fstat(fd, &now) == 0 && S_ISREG(now.st_mode) && (uint64_t)now.st_size == item->size &&
           now.st_ino == item->ino && now.st_mtim.tv_sec == item->mtime_s &&
           now.st_mtim.tv_nsec == (long)item->mtime_ns && now.st_ctim.tv_sec == item->ctime_s &&
           now.st_ctim.tv_nsec == (long)item->ctime_ns;
}

static void add_chunk(struct held_file *f, const uint8_t *bytes, uint64_t offset, size_t length,
                      size_t *capacity)
{
    struct held_chunk *chunk;

    f->chunks = xrealloc_room(f->chunks, f->chunk_count, capacity, sizeof(*f->chunks));
    chunk = &f->chunks[f->chunk_count++];
    *chunk = (struct held_chunk){.offset = offset, .length = (uint32_t)length};
    sha256(bytes, length, &chunk->digest);
}

/* A window of twice the largest chunk is kept full, so that a cut never depends on where reading
 * paused. */
static struct alb_status cut_file(struct held_file *f, const struct scan_item *item, int fd,
                                  struct hasher *hasher)
{
    size_t window = 2 * (size_t)cut_content.max;
    AUTO_FREE uint8_t *bytes = try_alloc(window);
    struct cutter cutter;
    size_t have = 0;
    size_t capacity = 0;
    uint64_t at = 0;

    if (bytes == NULL)
        return alb_fail(ALB_FULL, "memory to read files with");
    cutter_init(&cutter, &cut_content);
    hasher_reset(hasher);
    while (at < item->size) {
        uint64_t left = item->size - at - have;
        size_t more = left < window - have ? (size_t)left : window - have;
        struct alb_status st = file_pread_all(fd, bytes + have, more, at + have);
        size_t begin = 0;

        if (alb_failed(st))
            return st;
        hasher_add(hasher, bytes + have, more);
        have += more;
        bool last = at + have == item->size;
        while (have - begin >= (last ? 1 : cut_content.max)) {
            size_t length = cutter_next(&cutter, bytes + begin, have - begin);

            add_chunk(f, bytes + begin, at + begin, length, &capacity);
            begin += length;
        }
        memmove(bytes, bytes + begin, have - begin);
        have -= begin;
        at += begin;
    }
    hasher_finish(hasher, &f->content);
    return ALB_STATUS_OK;
}

static struct alb_status read_file(struct holdings *h, struct held_file *f, struct content *c)
{
    const struct scan_item *item = item_of(h, f);
    int fd =
        beneath_open(h->trees[f->tree].scan->top_fd, item->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct alb_status st;

    if (fd < 0)
        return alb_fail_sys("opening a file");
    if (!is_unchanged(fd, item))
        st = alb_fail(ALB_CONFLICT, "changed after it was found");
    else if (item->size >= cut_content.min)
        st = cut_file(f, item, fd, c->hasher);
    else
        st = content_digest(c, fd, item->size, &f->content);
    if (!alb_failed(st) && !is_unchanged(fd, item))
        st = alb_fail(ALB_CONFLICT, "changed while it was read");
    f->is_known = !alb_failed(st);
    close(fd);
    return st;
}

static struct chunk_key plain(const struct digest *d)
{
    return (struct chunk_key){KEY_PLAIN, *d};
}

static void publish(struct holdings *h, struct held_file *f)
{
    struct chunk_key key = plain(&f->content);
    const struct held_file *there;

    pthread_mutex_lock(&h->lock);
    there = map_get(&h->contents, &key);
    if (there == NULL || (f->is_known && !there->is_known)) /* read is better than presumed */
        (void)map_put(&h->contents, &key, f);
    for (size_t i = 0; i < f->chunk_count; i++) {
        key = plain(&f->chunks[i].digest);
        f->chunks[i].file = f;
        if (map_get(&h->chunks, &key) == NULL)
            (void)map_put(&h->chunks, &key, &f->chunks[i]);
    }
    pthread_mutex_unlock(&h->lock);
}

bool holdings_file(const struct holdings *h, const struct digest *content, uint64_t size,
                   struct holding *out)
{
    struct chunk_key key = plain(content);
    const struct held_file *f = map_get(&h->contents, &key);

    if (f == NULL || item_of(h, f)->size != size)
        return false;
    *out = (struct holding){
        .top_fd = h->trees[f->tree].scan->top_fd,
        .path = item_of(h, f)->path,
        .length = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size,
    };
    return true;
}

/* A small file is also a chunk, when it travels alone. */
bool holdings_chunk(const struct holdings *h, const struct chunk_key *key, struct holding *out)
{
    const struct held_chunk *chunk = map_get(&h->chunks, key);
    const struct held_file *f = chunk != NULL ? chunk->file : map_get(&h->contents, key);

    if (f == NULL || (chunk == NULL && item_of(h, f)->size > CHUNK_RAW_MAX))
        return false;
    *out = (struct holding){
        .top_fd = h->trees[f->tree].scan->top_fd,
        .path = item_of(h, f)->path,
        .offset = chunk != NULL ? chunk->offset : 0,
        .length = chunk != NULL ? chunk->length : (uint32_t)item_of(h, f)->size,
    };
    return true;
}

static int compare_item(const void *key, const void *element)
{
    const uint32_t *item = key;
    const struct held_file *f = *(struct held_file *const *)element;

    return *item < f->item ? -1 : *item > f->item;
}

bool holdings_digest_of(const struct holdings *h, const char *path, struct digest *out)
{
    const struct held_tree *tree = h->trees;
    const struct scan_item *item = h->tree_count == 0 ? NULL : scan_find(tree->scan, path);
    struct held_file *const *found;
    uint32_t index;

    if (item != NULL && item->type == ENTRY_HARDLINK)
        item = scan_find(tree->scan, item->target);
    if (item == NULL)
        return false;
    index = (uint32_t)(item - tree->scan->items);
    found = tree->file_count == 0 ? NULL
                                  : bsearch(&index, h->files + tree->first_file, tree->file_count,
                                            sizeof(struct held_file *), compare_item);
    if (found == NULL || !(*found)->is_known)
        return false;
    *out = (*found)->content;
    return true;
}

const struct scan *holdings_first(const struct holdings *h)
{
    return h->tree_count == 0 ? NULL : h->trees[0].scan;
}
