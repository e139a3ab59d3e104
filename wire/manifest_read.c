/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_read.c – from bytes nobody vouches for to a tree that keeps every rule,
 * or nothing. */
#include "base/alloc.h"
#include "wire/manifest_reader.h"

const struct manifest_limits manifest_limits_default = {
    .max_bytes = UINT64_C(1) << 30,
    .max_entries = 16U << 20,
    .max_content_bytes = UINT64_C(64) << 40,
    .allow_devices = false,
};

static void read_header(struct manifest_reader *r, struct unpack *u);
static void read_root(struct manifest_reader *r);
static void read_block(struct manifest_reader *r);
static void read_child(struct manifest_reader *r, uint8_t type_byte);

/* ---- errors and memory ---- */

static void refuse(struct manifest_reader *r, const char *what)
{
    if (r->error == NULL)
        r->error = what;
}

static bool is_well(const struct manifest_reader *r)
{
    return r->error == NULL && r->names.error == NULL && r->meta.error == NULL &&
           r->content.error == NULL;
}

void *reader_take(struct manifest_reader *r, struct unpack *u, size_t size, size_t align)
{
    void *taken = arena_take(r->m.arena, size, align);

    if (taken == NULL)
        unpack_fail(u, "no memory"); /* never seen: arena_status() knows better */
    return taken;
}

char *reader_copy_text(struct manifest_reader *r, struct unpack *u, const void *bytes, size_t size)
{
    char *text = reader_take(r, u, size + 1, 1);

    if (text == NULL)
        return NULL;
    memcpy(text, bytes, size);
    text[size] = '\0';
    return text;
}

/* ---- the whole ---- */

static void section_init(struct unpack *section, struct unpack *u)
{
    size_t size;
    const uint8_t *bytes = unpack_run(u, SIZE_MAX, &size);

    unpack_init(section, bytes, size);
}

static struct alb_status verdict(struct manifest_reader *r, const struct unpack *u)
{
    const char *const errors[] = {u->error, r->error, r->names.error, r->meta.error,
                                  r->content.error};
    struct alb_status st = arena_status(r->m.arena);

    for (size_t i = 0; i < ALB_COUNT(errors) && !alb_failed(st); i++)
        if (errors[i] != NULL)
            st = (struct alb_status){ALB_CORRUPT, 0, errors[i]};
    if (alb_failed(st))
        return st;
    if (unpack_left(&r->meta) > 0)
        return alb_fail(ALB_CORRUPT, "a manifest has metadata of more entries than names");
    if (unpack_left(&r->content) > 0)
        return alb_fail(ALB_CORRUPT, "a manifest has content of more files than names");
    return ALB_STATUS_OK;
}

static struct alb_status read_stream(struct manifest_reader *r, struct unpack *u)
{
    read_header(r, u);
    section_init(&r->names, u);
    section_init(&r->meta, u);
    section_init(&r->content, u);
    read_last_fields(u);
    if (u->error == NULL)
        read_root(r);
    while (u->error == NULL && is_well(r) && unpack_left(&r->names) > 0) {
        uint8_t first = unpack_u8(&r->names);

        if (first == MARK_BLOCK)
            read_block(r);
        else
            read_child(r, first);
    }
    if (is_well(r) && r->directory != NULL && r->last_name == NULL)
        refuse(r, "a directory's block is empty");
    return verdict(r, u);
}

struct alb_status manifest_decode(const void *bytes, size_t size,
                                  const struct manifest_limits *limits, struct manifest *out)
{
    struct manifest_reader r = {.limits = limits};
    struct alb_status st;
    struct unpack u;

    if (size > limits->max_bytes)
        return alb_fail(ALB_CORRUPT, "a manifest is larger than its limit");
    r.m.arena = arena_new(size);
    if (r.m.arena == NULL)
        return alb_fail(ALB_FULL, "no memory for a manifest");
    unpack_init(&u, bytes, size);
    key_list_init(&r.keys, r.m.arena);
    st = read_stream(&r, &u);
    r.m.content_keys = take_ptr(&r.keys.keys);
    r.m.content_raw_bytes = take_ptr(&r.keys.furthest);
    r.m.content_key_count = r.keys.count;
    key_list_release(&r.keys);
    if (alb_failed(st))
        manifest_release(&r.m);
    else
        *out = r.m;
    return st;
}

void manifest_release(struct manifest *m)
{
    free(m->entries);
    free(m->content_keys);
    free(m->content_raw_bytes);
    m->arena = arena_free(m->arena);
    *m = (struct manifest){.count = 0};
}

/* ---- header and blocks ---- */

static void read_header(struct manifest_reader *r, struct unpack *u)
{
    struct manifest_params *p = &r->m.params;

    if (unpack_left(u) < MANIFEST_MAGIC_SIZE ||
        memcmp(unpack_bytes(u, MANIFEST_MAGIC_SIZE), MANIFEST_MAGIC, MANIFEST_MAGIC_SIZE) != 0) {
        unpack_fail(u, "these bytes are not a manifest");
        return;
    }
    if (unpack_u8(u) != MANIFEST_VERSION)
        unpack_fail(u, "manifest format is not known to this program");
    p->cut_min = (uint32_t)unpack_bounded(u, CHUNK_BYTES_MOST);
    p->cut_average = (uint32_t)unpack_bounded(u, CHUNK_BYTES_MOST);
    p->cut_max = (uint32_t)unpack_bounded(u, CHUNK_BYTES_MOST);
    if (p->cut_min == 0 || p->cut_min >= p->cut_average || p->cut_average >= p->cut_max)
        unpack_fail(u, "a manifest's cut sizes are out of range");
}

static const struct manifest_entry *find(const struct manifest_reader *r, const char *path)
{
    return entries_find(r->m.entries, r->m.count, path);
}

/* A block's directory must have been an entry, so its path needs no check of its own. */
static void read_block(struct manifest_reader *r)
{
    char path[MANIFEST_PATH_MAX + 1];
    const struct manifest_entry *directory;

    unpack_string(&r->names, path, sizeof path);
    if (r->names.error != NULL)
        return;
    if (r->directory != NULL && r->last_name == NULL)
        refuse(r, "a directory's block is empty");
    if (r->directory != NULL &&
        directory_compare(r->directory, r->directory_size, path, strlen(path)) >= 0)
        refuse(r, "directories are not in ascending order");
    directory = find(r, path);
    if (directory == NULL || directory->type != ENTRY_DIRECTORY) {
        refuse(r, "the parent of an entry is not a directory declared before");
        return;
    }
    r->directory = directory->path;
    r->directory_size = strlen(path);
    r->last_name = NULL;
}

/* ---- an entry's name ---- */

/* Directory, slash and name as one text of the arena; *name_out points into it. */
static const char *join_path(struct manifest_reader *r, const uint8_t *name, size_t name_size,
                             const char **name_out)
{
    size_t front = r->directory_size == 0 ? 0 : r->directory_size + 1;
    char *path;

    if (front + name_size > MANIFEST_PATH_MAX) {
        refuse(r, "a path is longer than 4095 bytes");
        return NULL;
    }
    path = reader_take(r, &r->names, front + name_size + 1, 1);
    if (path == NULL)
        return NULL;
    if (front > 0) {
        memcpy(path, r->directory, r->directory_size);
        path[front - 1] = '/';
    }
    memcpy(path + front, name, name_size);
    path[front + name_size] = '\0';
    *name_out = path + front;
    return path;
}

static void read_name(struct manifest_reader *r, struct manifest_entry *e)
{
    size_t size;
    const uint8_t *bytes = unpack_run(&r->names, MANIFEST_PATH_MAX, &size);
    const char *fault, *name;

    if (bytes == NULL)
        return;
    fault = component_fault((const char *)bytes, size);
    if (fault != NULL) {
        refuse(r, fault);
        return;
    }
    e->path = join_path(r, bytes, size, &name);
    if (e->path == NULL)
        return;
    if (r->last_name != NULL && strcmp(r->last_name, name) >= 0)
        refuse(r, "names in a directory are not in ascending order");
    r->last_name = name;
}

static void read_target(struct manifest_reader *r, struct manifest_entry *e)
{
    size_t size;
    const uint8_t *bytes = unpack_run(&r->names, MANIFEST_PATH_MAX, &size);

    if (bytes == NULL)
        return;
    if (memchr(bytes, 0, size) != NULL)
        refuse(r, "the target of a link holds a zero byte");
    e->target = reader_copy_text(r, &r->names, bytes, size);
}

static void read_type(struct manifest_reader *r, uint8_t byte, struct manifest_entry *e)
{
    unsigned type = (byte & ~(unsigned)TYPE_FIELDS) - TYPE_ADD;

    if (type < ENTRY_DIRECTORY || type > ENTRY_BLOCK_DEVICE) {
        refuse(r, "an entry's type is not known to this program");
        return;
    }
    e->type = (enum entry_type)type;
    if (entry_is_device(e->type) && !r->limits->allow_devices)
        refuse(r, "a device is not allowed in this layer");
}

/* All that `names` says of an entry. */
static void read_naming(struct manifest_reader *r, uint8_t type_byte, struct manifest_entry *e)
{
    if (r->directory == NULL)
        refuse(r, "an entry is in no directory's block");
    read_type(r, type_byte, e);
    if (is_well(r))
        read_name(r, e);
    if (is_well(r) && (e->type == ENTRY_SYMLINK || e->type == ENTRY_HARDLINK))
        read_target(r, e);
    if (is_well(r) && entry_is_device(e->type)) {
        e->dev_major = (uint32_t)unpack_bounded(&r->names, UINT32_MAX);
        e->dev_minor = (uint32_t)unpack_bounded(&r->names, UINT32_MAX);
    }
    if (is_well(r) && (type_byte & TYPE_FIELDS) != 0)
        read_name_fields(r);
}

/* ---- its metadata and content ---- */

static void read_meta(struct manifest_reader *r, struct manifest_entry *e)
{
    struct unpack *u = &r->meta;
    uint64_t head = unpack_bounded(u, MODE_MOST << META_BITS | META_USER | META_FIELDS);

    e->mode = (uint16_t)(head >> META_BITS);
    e->owner = (head & META_USER) != 0 ? OWNER_USER : OWNER_IT;
    e->uid = (uint32_t)unpack_bounded(u, UINT32_MAX);
    e->gid = (uint32_t)unpack_bounded(u, UINT32_MAX);
    e->mtime_s = unpack_zigzag(u);
    e->mtime_ns = (uint32_t)unpack_bounded(u, NS_MOST);
    if (u->error == NULL && (head & META_FIELDS) != 0)
        read_meta_fields(r, e);
}

/* A file that spells no slices is one whole chunk named by its content's digest. */
static void imply_slice(struct manifest_reader *r, struct manifest_entry *e)
{
    struct slice *s;

    if (e->size > CHUNK_BYTES_MOST) {
        refuse(r, "a file larger than the largest chunk has no slices");
        return;
    }
    s = reader_take(r, &r->content, sizeof *s, _Alignof(struct slice));
    if (s == NULL)
        return;
    *s = (struct slice){.key = {KEY_PLAIN, e->content}, .length = (uint32_t)e->size};
    e->slices = s;
    e->slice_count = 1;
}

static void read_content(struct manifest_reader *r, struct manifest_entry *e)
{
    uint64_t head = unpack_varint(&r->content);

    e->size = head >> CONTENT_BITS;
    unpack_digest(&r->content, &e->content);
    if (r->content.error == NULL && (head & CONTENT_FIELDS) != 0)
        read_content_fields(r, e);
    if (is_well(r) && e->size > 0 && e->slice_count == 0)
        imply_slice(r, e);
}

/* Its slices into list C, its size into the sum. */
static void note_content(struct manifest_reader *r, const struct manifest_entry *e)
{
    bool whole = slices_are_implied(e), contradiction = false;

    if (e->size > r->limits->max_content_bytes - r->m.content_bytes) {
        refuse(r, "a manifest's files are larger than its limit");
        return;
    }
    r->m.content_bytes += e->size;
    for (size_t i = 0; i < e->slice_count; i++) {
        const struct slice *s = &e->slices[i];

        if (!key_list_note(&r->keys, &s->key, s->offset + s->length, whole, &contradiction)) {
            refuse(r, "slices of one chunk do not agree on its size");
            return;
        }
    }
}

/* A hard link is its file by another name, whoever's that is. */
static void check_link(struct manifest_reader *r, struct manifest_entry *e)
{
    const struct manifest_entry *file = find(r, e->target);

    if (file == NULL || file->type != ENTRY_FILE)
        refuse(r, "a hard link names no regular file before it");
    else
        e->owner = file->owner;
}

static void keep_entry(struct manifest_reader *r, const struct manifest_entry *e)
{
    struct manifest_entry *grown;

    if (r->m.count >= r->limits->max_entries) {
        refuse(r, "a manifest has more entries than its limit");
        return;
    }
    grown = arena_grow(r->m.arena, r->m.entries, &r->capacity, r->m.count + 1, sizeof *e);
    if (grown == NULL) {
        refuse(r, "no memory"); /* never seen: arena_status() knows better */
        return;
    }
    r->m.entries = grown;
    grown[r->m.count++] = *e;
}

/* What names said is in `e`; read the rest, judge it, keep it. */
static void read_details(struct manifest_reader *r, struct manifest_entry *e)
{
    const char *fault;

    if (e->type != ENTRY_HARDLINK)
        read_meta(r, e);
    if (is_well(r) && e->type == ENTRY_FILE)
        read_content(r, e);
    if (!is_well(r))
        return;
    fault = entry_fault(e);
    if (fault != NULL) {
        refuse(r, fault);
        return;
    }
    if (e->type == ENTRY_HARDLINK)
        check_link(r, e);
    if (e->type == ENTRY_FILE)
        note_content(r, e);
    if (is_well(r))
        keep_entry(r, e);
}

static void read_root(struct manifest_reader *r)
{
    struct manifest_entry e = {.path = "", .type = ENTRY_DIRECTORY};

    read_details(r, &e);
}

static void read_child(struct manifest_reader *r, uint8_t type_byte)
{
    struct manifest_entry e = {.path = NULL};

    read_naming(r, type_byte, &e);
    if (is_well(r))
        read_details(r, &e);
}
