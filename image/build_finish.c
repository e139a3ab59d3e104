/* SPDX-License-Identifier: Apache-2.0 */
/* image/build_finish.c – all units' work put together: list C, the manifest, its chunks, the root.
 *
 * Everything here is in the scan's order and nothing depends on which thread ran what, so a tree
 * has one manifest and one root.
 */
#include <stdlib.h>

#include "image/build_unit.h"
#include "image/scan_array.h"

struct finishing {
    struct build *build;
    struct build_result *result;
    struct manifest_writer writer;
    struct slice *slices; /* of the entry at hand */
    size_t slice_capacity;
    size_t next_file;
    struct codec *codec;
};

static struct alb_status forget(struct build *b);
static struct alb_status write_manifest(struct finishing *f);
static struct alb_status write_item(struct finishing *f, const struct scan_item *item);
static struct manifest_entry entry_of(const struct scan_item *item);
static struct alb_status spell_content(struct finishing *f, const struct build_file *file,
                                       struct manifest_entry *entry);
static struct alb_status learn_key(struct finishing *f, struct build_chunk *chunk);
static struct alb_status skip(struct build *b, const struct scan_item *item, struct alb_status why);
static bool has_target(const struct build *b, const struct scan_item *item);
static struct alb_status read_back(const struct finishing *f);
static struct alb_status cut_manifest_stream(struct finishing *f);
static struct alb_status add_manifest_chunk(struct finishing *f, const uint8_t *bytes, size_t size,
                                            size_t *capacity);
static struct alb_status make_root(struct finishing *f);

struct alb_status build_finish(struct build *b, struct build_result *out)
{
    struct build_result made = {0};
    struct finishing f = {.build = b, .result = &made};
    buf_init(&made.manifest, (size_t)manifest_limits_default.max_bytes);
    buf_init(&made.root_object, ROOT_OBJECT_MAX);
    f.codec = codec_new();
    struct alb_status st = forget(b);
    if (!alb_failed(st))
        st = write_manifest(&f);
    if (!alb_failed(st))
        st = read_back(&f);
    if (!alb_failed(st))
        st = cut_manifest_stream(&f);
    if (!alb_failed(st))
        st = make_root(&f);
    manifest_writer_release(&f.writer);
    codec_free(f.codec);
    free(f.slices);
    if (alb_failed(st)) {
        build_result_release(&made);
        return st;
    }
    made.content_keys = b->keys;
    made.content_key_count = b->key_count;
    *out = made;
    return ALB_STATUS_OK;
}

void build_result_release(struct build_result *r)
{
    for (size_t i = 0; r->manifest_chunks != NULL && i < r->root.chunk_count; i++)
        chunk_unref(r->manifest_chunks[i]);
    free(r->manifest_chunks);
    root_release(&r->root);
    buf_release(&r->manifest);
    buf_release(&r->root_object);
    *r = (struct build_result){0};
}

/* What an earlier call may have left; and only whole work is put together. */
static struct alb_status forget(struct build *b)
{
    for (size_t i = 0; i < b->unit_count; i++)
        if (!b->units[i].is_done)
            return alb_fail(ALB_BUG, "finishing a build with a unit that did not run");
    map_release(&b->known);
    map_init(&b->known);
    b->key_count = 0;
    b->problem_count = 0;
    return ALB_STATUS_OK;
}

static struct alb_status write_manifest(struct finishing *f)
{
    const struct scan *scan = f->build->scan;
    struct manifest_params params = {cut_content.min, cut_content.average, cut_content.max};
    struct manifest_entry top = entry_of(&scan->items[0]);
    struct alb_status st = manifest_begin(&f->writer, &params, &top);
    f->result->root.entries = 1;
    for (size_t i = 1; i < scan->count && !alb_failed(st); i++)
        st = write_item(f, &scan->items[i]);
    return alb_failed(st) ? st : manifest_finish(&f->writer, &f->result->manifest);
}

static struct alb_status write_item(struct finishing *f, const struct scan_item *item)
{
    struct build *b = f->build;
    struct manifest_entry entry = entry_of(item);
    struct alb_status st = ALB_STATUS_OK;
    if (item->type == ENTRY_FILE) {
        const struct build_file *file = &b->files[f->next_file++];
        if (!file->is_there)
            return skip(b, item, file->problem);
        st = spell_content(f, file, &entry);
    } else if (item->type == ENTRY_HARDLINK && !has_target(b, item)) {
        return skip(b, item, alb_fail(ALB_NOT_FOUND, "another name of a file that vanished"));
    }
    if (!alb_failed(st))
        st = manifest_add(&f->writer, &entry);
    if (alb_failed(st))
        return st;
    f->result->root.entries++;
    f->result->root.content_bytes += entry.size;
    return ALB_STATUS_OK;
}

static struct manifest_entry entry_of(const struct scan_item *item)
{
    struct manifest_entry entry = {
        .path = item->path,
        .type = item->type,
        .owner = OWNER_IT,
        .target = item->target,
    };
    if (item->type == ENTRY_HARDLINK)
        return entry; /* the metadata is its target's */
    entry.mode = item->mode;
    entry.uid = item->uid;
    entry.gid = item->gid;
    entry.mtime_s = item->mtime_s;
    entry.mtime_ns = item->mtime_ns;
    entry.dev_major = item->dev_major;
    entry.dev_minor = item->dev_minor;
    entry.xattrs = item->xattrs;
    entry.xattr_count = item->xattr_count;
    return entry;
}

static struct alb_status spell_content(struct finishing *f, const struct build_file *file,
                                       struct manifest_entry *entry)
{
    struct build_unit *u = &f->build->units[file->unit];
    entry->size = file->size;
    entry->content = file->content;
    entry->mode = file->mode;
    entry->uid = file->uid;
    entry->gid = file->gid;
    entry->mtime_s = file->mtime_s;
    entry->mtime_ns = file->mtime_ns;
    entry->holes = file->holes;
    entry->hole_count = file->hole_count;
    for (size_t i = 0; i < file->chunk_count; i++) {
        struct build_chunk *chunk = &u->chunks[file->chunk + i];
        struct slice *slices = array_room(f->slices, i, &f->slice_capacity, sizeof(*slices));
        if (slices == NULL)
            return alb_fail(ALB_FULL, "memory for a file's slices");
        f->slices = slices;
        bool is_packed = chunk->members > 0;
        slices[i].key = chunk->key;
        slices[i].offset = is_packed ? file->offset : 0;
        slices[i].length = is_packed ? (uint32_t)file->size : chunk->raw_size;
        struct alb_status st = learn_key(f, chunk);
        if (alb_failed(st))
            return st;
    }
    entry->slices = f->slices;
    entry->slice_count = file->chunk_count;
    return ALB_STATUS_OK;
}

/* Give a key that appears for the first time the next position of list C. */
static struct alb_status learn_key(struct finishing *f, struct build_chunk *chunk)
{
    struct build *b = f->build;
    const struct build_chunk *first = map_get(&b->known, &chunk->key);
    if (first != NULL) {
        chunk->position = first->position;
        return ALB_STATUS_OK;
    }
    if (b->key_count == UINT32_MAX)
        return alb_fail(ALB_FULL, "more chunks than positions can name");
    struct build_chunk **places =
        array_room(b->places, b->key_count, &b->place_capacity, sizeof(struct build_chunk *));
    b->places = places != NULL ? places : b->places;
    struct chunk_key *keys = array_room(b->keys, b->key_count, &b->key_capacity, sizeof(*keys));
    b->keys = keys != NULL ? keys : b->keys;
    if (places == NULL || keys == NULL)
        return alb_fail(ALB_FULL, "memory for the list of keys");
    chunk->position = (uint32_t)b->key_count;
    places[b->key_count] = chunk;
    keys[b->key_count++] = chunk->key;
    map_put(&b->known, &chunk->key, chunk);
    f->result->root.content_chunks++;
    f->result->root.content_raw_bytes += chunk->raw_size;
    return ALB_STATUS_OK;
}

static struct alb_status skip(struct build *b, const struct scan_item *item, struct alb_status why)
{
    struct scan_problem *problems =
        array_room(b->problems, b->problem_count, &b->problem_capacity, sizeof(*problems));
    if (problems == NULL)
        return alb_fail(ALB_FULL, "memory for the list of problems");
    b->problems = problems;
    problems[b->problem_count++] = (struct scan_problem){item->path, why};
    return ALB_STATUS_OK;
}

static int compare_with_file(const void *key, const void *element)
{
    const size_t *item = key;
    const struct build_file *file = element;
    return *item < file->item ? -1 : *item > file->item;
}

static bool has_target(const struct build *b, const struct scan_item *item)
{
    const struct scan_item *target = scan_find(b->scan, item->target);
    alb_assert(target != NULL);
    size_t index = (size_t)(target - b->scan->items);
    const struct build_file *file =
        bsearch(&index, b->files, b->file_count, sizeof(*b->files), compare_with_file);
    return file != NULL && file->is_there;
}

/* Nobody shall sign what a reader refuses, or reads otherwise: every holder counts positions of
 * list C for itself.  The writer cannot know all of that, only a reader does. */
static struct alb_status read_back(const struct finishing *f)
{
    const struct build *b = f->build;
    const struct buf *stream = &f->result->manifest;
    struct manifest_limits limits = manifest_limits_default;
    struct manifest m;
    limits.allow_devices = true; /* the scan had the say */
    struct alb_status st = manifest_decode(buf_peek(stream), buf_size(stream), &limits, &m);
    if (alb_failed(st))
        return st;
    bool same = m.count == f->result->root.entries &&
                m.content_bytes == f->result->root.content_bytes &&
                m.content_key_count == b->key_count;
    for (size_t i = 0; same && i < b->key_count; i++)
        same = chunk_key_equal(&m.content_keys[i], &b->keys[i]) &&
               m.content_raw_bytes[i] == b->places[i]->raw_size;
    manifest_release(&m);
    return same ? ALB_STATUS_OK : alb_fail(ALB_BUG, "the manifest does not read as it was written");
}

static struct alb_status cut_manifest_stream(struct finishing *f)
{
    const uint8_t *bytes = buf_peek(&f->result->manifest);
    size_t left = buf_size(&f->result->manifest);
    struct cutter cutter;
    size_t capacity = 0;
    cutter_init(&cutter, &cut_manifest);
    f->result->root.manifest_bytes = left;
    while (left > 0) {
        size_t length = cutter_next(&cutter, bytes, left);
        struct alb_status st = add_manifest_chunk(f, bytes, length, &capacity);
        if (alb_failed(st))
            return st;
        bytes += length;
        left -= length;
    }
    return ALB_STATUS_OK;
}

static struct alb_status add_manifest_chunk(struct finishing *f, const uint8_t *bytes, size_t size,
                                            size_t *capacity)
{
    struct build_result *r = f->result;
    struct root *root = &r->root;
    size_t had = *capacity;
    struct root_chunk *list = array_room(root->chunks, root->chunk_count, capacity, sizeof(*list));
    root->chunks = list != NULL ? list : root->chunks;
    struct chunk **chunks =
        array_room(r->manifest_chunks, root->chunk_count, &had, sizeof(struct chunk *));
    r->manifest_chunks = chunks != NULL ? chunks : r->manifest_chunks;
    if (list == NULL || chunks == NULL)
        return alb_fail(ALB_FULL, "memory for the manifest's chunks");

    struct buf stored;
    struct chunk_key key = {.kind = KEY_PLAIN};
    buf_init(&stored, CHUNK_STORED_MAX);
    sha256(bytes, size, &key.digest);
    struct alb_status st = codec_compress(f->codec, bytes, size, &stored);
    struct chunk *made =
        alb_failed(st) ? NULL : chunk_copy(&key, buf_peek(&stored), buf_size(&stored));
    buf_release(&stored);
    if (made == NULL)
        return alb_failed(st) ? st : alb_fail(ALB_FULL, "memory for a chunk of the manifest");
    list[root->chunk_count] = (struct root_chunk){key, (uint32_t)size, made->size};
    chunks[root->chunk_count++] = made;
    return ALB_STATUS_OK;
}

static struct alb_status make_root(struct finishing *f)
{
    struct build_result *r = f->result;
    struct alb_status st = root_encode(&r->root, &r->root_object);
    if (alb_failed(st))
        return st;
    sha256(buf_peek(&r->root_object), buf_size(&r->root_object), &r->root_digest);
    return ALB_STATUS_OK;
}
