/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_write.c – a tree as its one canonical stream of bytes: names, metadata, content. */
#include "base/alloc.h"
#include "base/pack.h"
#include "wire/fields.h"
#include "wire/manifest_format.h"

enum { SECTION_MOST = 1 << 30 };

static struct alb_status params_check(const struct manifest_params *p)
{
    if (p->cut_min == 0 || p->cut_min >= p->cut_average || p->cut_average >= p->cut_max ||
        p->cut_max > CHUNK_BYTES_MOST)
        return alb_fail(ALB_INVALID, "a manifest's cut sizes are out of range");
    return ALB_STATUS_OK;
}

/* ---- typed fields ---- */

static void put_slices(struct pack *p, struct manifest_writer *w, const struct manifest_entry *e)
{
    for (size_t i = 0; i < e->slice_count; i++) {
        const struct slice *s = &e->slices[i];
        const struct slice_place before = {w->last_key, w->last_end};
        enum slice_form form = slice_form_of(&before, s);

        pack_varint(p, (uint64_t)s->length << SLICE_FORM_BITS | form);
        if (form != SLICE_CONTINUES)
            pack_key(p, &s->key);
        if (form == SLICE_PART)
            pack_varint(p, s->offset);
        w->last_key = s->key;
        w->last_end = s->offset + s->length;
    }
}

static void put_holes(struct pack *p, const struct manifest_entry *e)
{
    uint64_t end = 0;

    for (size_t i = 0; i < e->hole_count; i++) {
        pack_varint(p, e->holes[i].offset - end);
        pack_varint(p, e->holes[i].length);
        end = e->holes[i].offset + e->holes[i].length;
    }
}

static void put_xattrs(struct pack *p, const struct manifest_entry *e)
{
    for (size_t i = 0; i < e->xattr_count; i++) {
        pack_string(p, e->xattrs[i].name);
        pack_run(p, e->xattrs[i].value, e->xattrs[i].size);
    }
}

/* A field whose value was packed by `value`, which is emptied for the next. */
static void put_field(struct pack *p, unsigned tag, struct pack *value)
{
    if (alb_failed(value->st) && !alb_failed(p->st))
        p->st = value->st;
    pack_u8(p, (uint8_t)tag);
    pack_run(p, buf_peek(value->out), buf_size(value->out));
    buf_clear(value->out);
}

/* ---- an entry's part in each section ---- */

static struct alb_status put_name(struct manifest_writer *w, const struct manifest_entry *e,
                                  const char *name)
{
    struct pack p;

    pack_init(&p, &w->names);
    pack_u8(&p, (uint8_t)(e->type + TYPE_ADD));
    pack_string(&p, name);
    if (e->target != NULL)
        pack_string(&p, e->target);
    if (entry_is_device(e->type)) {
        pack_varint(&p, e->dev_major);
        pack_varint(&p, e->dev_minor);
    }
    return pack_finish(&p);
}

/* `fields` is a scratch buffer; so is `value`. */
static struct alb_status put_meta(struct manifest_writer *w, const struct manifest_entry *e,
                                  struct buf *fields, struct buf *value)
{
    unsigned flags = e->owner == OWNER_USER ? META_USER : 0;
    struct pack p, inner;

    pack_init(&p, fields);
    pack_init(&inner, value);
    if (e->xattr_count > 0) {
        put_xattrs(&inner, e);
        put_field(&p, META_XATTRS | FIELD_CRITICAL, &inner);
        flags |= META_FIELDS;
    }
    p.out = &w->meta;
    pack_varint(&p, (unsigned)e->mode << META_BITS | flags);
    pack_varint(&p, e->uid);
    pack_varint(&p, e->gid);
    pack_zigzag(&p, e->mtime_s);
    pack_varint(&p, e->mtime_ns);
    if ((flags & META_FIELDS) != 0)
        pack_run(&p, buf_peek(fields), buf_size(fields));
    return pack_finish(&p);
}

static struct alb_status put_content(struct manifest_writer *w, const struct manifest_entry *e,
                                     struct buf *fields, struct buf *value)
{
    struct pack p, inner;
    bool any;

    pack_init(&p, fields);
    pack_init(&inner, value);
    if (e->slice_count > 0 && !slices_are_implied(e)) {
        put_slices(&inner, w, e);
        put_field(&p, CONTENT_SLICES | FIELD_CRITICAL, &inner);
    }
    if (e->hole_count > 0) {
        put_holes(&inner, e);
        put_field(&p, CONTENT_HOLES, &inner);
    }
    any = buf_size(fields) > 0;
    p.out = &w->content;
    pack_varint(&p, e->size << CONTENT_BITS | (any ? CONTENT_FIELDS : 0));
    pack_digest(&p, &e->content);
    if (any)
        pack_run(&p, buf_peek(fields), buf_size(fields));
    return pack_finish(&p);
}

static struct alb_status put_details(struct manifest_writer *w, const struct manifest_entry *e)
{
    struct alb_status st = ALB_STATUS_OK;
    struct buf fields, value;

    buf_init(&fields, SECTION_MOST);
    buf_init(&value, SECTION_MOST);
    if (e->type != ENTRY_HARDLINK)
        st = put_meta(w, e, &fields, &value);
    buf_clear(&fields);
    if (!alb_failed(st) && e->type == ENTRY_FILE)
        st = put_content(w, e, &fields, &value);
    buf_release(&fields);
    buf_release(&value);
    return st;
}

/* ---- the whole ---- */

static struct alb_status entry_check(const struct manifest_entry *e)
{
    const char *fault = entry_fault(e);

    return fault == NULL ? ALB_STATUS_OK : (struct alb_status){ALB_INVALID, 0, fault};
}

struct alb_status manifest_begin(struct manifest_writer *w, const struct manifest_params *params,
                                 const struct manifest_entry *root)
{
    struct alb_status st = params_check(params);

    *w = (struct manifest_writer){.params = *params};
    buf_init(&w->names, SECTION_MOST);
    buf_init(&w->meta, SECTION_MOST);
    buf_init(&w->content, SECTION_MOST);
    if (!alb_failed(st))
        st = entry_check(root);
    if (alb_failed(st))
        return st;
    if (root->type != ENTRY_DIRECTORY || root->path[0] != '\0')
        return alb_fail(ALB_INVALID, "a manifest's root is not the directory with the empty path");
    return put_details(w, root);
}

/* Begin the block of the entry's directory unless it is the one being written. */
static struct alb_status enter_block(struct manifest_writer *w, const char *path, size_t size)
{
    struct pack p;

    if (w->begun && strlen(w->directory) == size && memcmp(w->directory, path, size) == 0)
        return ALB_STATUS_OK;
    w->begun = true;
    memcpy(w->directory, path, size);
    w->directory[size] = '\0';
    pack_init(&p, &w->names);
    pack_u8(&p, MARK_BLOCK);
    pack_run(&p, path, size);
    return pack_finish(&p);
}

struct alb_status manifest_add(struct manifest_writer *w, const struct manifest_entry *entry)
{
    struct alb_status st = path_check(entry->path);
    const char *name;

    if (!alb_failed(st))
        st = entry_check(entry);
    if (alb_failed(st))
        return st;
    if (path_compare(w->last_path, entry->path) >= 0)
        return alb_fail(ALB_INVALID, "a manifest's entries are not in ascending order");
    memcpy(w->last_path, entry->path, strlen(entry->path) + 1);
    st = enter_block(w, entry->path, path_split(entry->path, &name));
    if (!alb_failed(st))
        st = put_name(w, entry, name);
    return alb_failed(st) ? st : put_details(w, entry);
}

struct alb_status manifest_finish(struct manifest_writer *w, struct buf *out)
{
    struct pack p;

    pack_init(&p, out);
    pack_bytes(&p, MANIFEST_MAGIC, MANIFEST_MAGIC_SIZE);
    pack_u8(&p, MANIFEST_VERSION);
    pack_varint(&p, w->params.cut_min);
    pack_varint(&p, w->params.cut_average);
    pack_varint(&p, w->params.cut_max);
    pack_run(&p, buf_peek(&w->names), buf_size(&w->names));
    pack_run(&p, buf_peek(&w->meta), buf_size(&w->meta));
    pack_run(&p, buf_peek(&w->content), buf_size(&w->content));
    return pack_finish(&p); /* no typed fields yet: they would stand here, to the end */
}

void manifest_writer_release(struct manifest_writer *w)
{
    buf_release(&w->names);
    buf_release(&w->meta);
    buf_release(&w->content);
}
