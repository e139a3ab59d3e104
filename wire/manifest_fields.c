/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_fields.c – the typed fields of a manifest's entries: slices, holes, xattrs. */
#include "base/alloc.h"
#include "wire/fields.h"
#include "wire/manifest_reader.h"

static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("manifest");
static const uint8_t META_TAGS[] = {META_XATTRS | FIELD_CRITICAL};
static const uint8_t CONTENT_TAGS[] = {CONTENT_SLICES | FIELD_CRITICAL, CONTENT_HOLES};

/* ---- slices ---- */

/* One slice; `place` is where the one before ended.  Answers false after an error. */
static bool take_slice(struct unpack *u, struct slice_place *place, struct slice *out)
{
    uint64_t head = unpack_bounded(u, (uint64_t)CHUNK_BYTES_MOST << SLICE_FORM_BITS | 3);
    enum slice_form form = (enum slice_form)(head & 3);
    struct slice s = {.length = (uint32_t)(head >> SLICE_FORM_BITS)};

    switch (form) {
    case SLICE_FRONT: unpack_key(u, &s.key); break;
    case SLICE_PART:
        unpack_key(u, &s.key);
        s.offset = (uint32_t)unpack_bounded(u, CHUNK_BYTES_MOST);
        break;
    case SLICE_CONTINUES:
        if (place->end == 0)
            unpack_fail(u, "a slice continues where no slice is before");
        s.key = place->key;
        s.offset = place->end;
        break;
    case SLICE_SEALED:
        unpack_fail(u, "a slice is sealed by a scheme that this program does not know");
        break;
    }
    if (u->error == NULL && slice_form_of(place, &s) != form)
        unpack_fail(u, "a slice is not spelled in its one form");
    place->key = s.key;
    place->end = s.offset + s.length;
    *out = s;
    return u->error == NULL;
}

/* How many slices the value spells; they are judged when they are read again. */
static size_t count_slices(struct unpack u, struct slice_place place)
{
    struct slice s;
    size_t count = 0;

    while (unpack_left(&u) > 0 && take_slice(&u, &place, &s))
        count++;
    return count;
}

static void take_slices(struct manifest_reader *r, struct unpack *u, struct manifest_entry *e)
{
    size_t most = count_slices(*u, r->place);
    struct slice *slices = reader_take(r, u, most * sizeof *slices, _Alignof(struct slice));
    size_t count = 0;

    if (slices == NULL)
        return;
    while (unpack_left(u) > 0 && count < most && take_slice(u, &r->place, &slices[count]))
        count++;
    if (count == most && unpack_left(u) > 0)
        (void)take_slice(u, &r->place, &(struct slice){0}); /* the one that is wrong */
    e->slices = slices;
    e->slice_count = count;
    if (u->error == NULL && slices_are_implied(e))
        unpack_fail(u, "a slice is spelled out though the content's digest says it");
}

/* ---- holes and xattrs ---- */

static void take_holes(struct manifest_reader *r, struct unpack *u, struct manifest_entry *e)
{
    size_t most = unpack_left(u) / 2; /* each takes two bytes or more */
    struct hole *holes = reader_take(r, u, most * sizeof *holes, _Alignof(struct hole));
    uint64_t end = 0;

    if (holes == NULL)
        return;
    e->holes = holes;
    while (unpack_left(u) > 0) {
        uint64_t gap = unpack_varint(u);
        uint64_t length = unpack_varint(u);

        if (gap > e->size - end || length > e->size - end - gap) {
            unpack_fail(u, "a hole reaches beyond its file");
            return;
        }
        holes[e->hole_count++] = (struct hole){end + gap, length};
        end += gap + length;
    }
}

static bool take_xattr(struct manifest_reader *r, struct unpack *u, struct xattr *out)
{
    size_t name_size, size;
    const uint8_t *name = unpack_run(u, MANIFEST_NAME_MAX, &name_size);
    const uint8_t *value = unpack_run(u, MANIFEST_XATTR_MAX, &size);
    uint8_t *copy;

    if (value == NULL)
        return false;
    if (memchr(name, 0, name_size) != NULL) {
        unpack_fail(u, "the name of an extended attribute holds a zero byte");
        return false;
    }
    out->name = reader_copy_text(r, u, name, name_size);
    copy = reader_take(r, u, size, 1);
    if (out->name == NULL || copy == NULL)
        return false;
    memcpy(copy, value, size);
    out->value = copy;
    out->size = (uint32_t)size;
    return true;
}

static void take_xattrs(struct manifest_reader *r, struct unpack *u, struct manifest_entry *e)
{
    struct xattr found[MANIFEST_XATTRS_MAX], *xattrs;
    size_t count = 0;

    while (unpack_left(u) > 0) {
        if (count == MANIFEST_XATTRS_MAX) {
            unpack_fail(u, "an entry has more than 256 extended attributes");
            return;
        }
        if (!take_xattr(r, u, &found[count]))
            return;
        count++;
    }
    xattrs = reader_take(r, u, count * sizeof *xattrs, _Alignof(struct xattr));
    if (xattrs == NULL)
        return;
    memcpy(xattrs, found, count * sizeof *xattrs);
    e->xattrs = xattrs;
    e->xattr_count = count;
}

/* ---- the fields of an entry ---- */

/* The run of fields in `u`, which must not be empty: the flag would have said so. */
static void open_fields(struct unpack *u, struct fields *f, const uint8_t *tags, size_t tag_count)
{
    size_t size;
    const uint8_t *bytes = unpack_run(u, SIZE_MAX, &size);

    if (bytes != NULL && size == 0)
        unpack_fail(u, "an entry says it has typed fields and has none");
    fields_init(f, bytes, size, tags, tag_count, UNKNOWN);
}

/* The next known field that is not empty. */
static bool next_field(struct fields *f, struct field *out)
{
    if (!fields_next(f, out))
        return false;
    if (unpack_left(&out->value) > 0)
        return true;
    unpack_fail(&f->in, "a typed field is empty");
    return false;
}

static void close_fields(struct unpack *u, const struct fields *f)
{
    if (f->in.error != NULL)
        unpack_fail(u, f->in.error);
}

void read_name_fields(struct manifest_reader *r)
{
    struct fields f;
    struct field field;

    open_fields(&r->names, &f, NULL, 0);
    while (fields_next(&f, &field))
        fields_close(&f, &field);
    close_fields(&r->names, &f);
}

void read_meta_fields(struct manifest_reader *r, struct manifest_entry *e)
{
    struct fields f;
    struct field field;

    open_fields(&r->meta, &f, META_TAGS, ALB_COUNT(META_TAGS));
    while (next_field(&f, &field)) {
        take_xattrs(r, &field.value, e); /* the only one */
        fields_close(&f, &field);
    }
    close_fields(&r->meta, &f);
}

void read_content_fields(struct manifest_reader *r, struct manifest_entry *e)
{
    struct fields f;
    struct field field;

    open_fields(&r->content, &f, CONTENT_TAGS, ALB_COUNT(CONTENT_TAGS));
    while (next_field(&f, &field)) {
        if (field.number == CONTENT_SLICES)
            take_slices(r, &field.value, e);
        else
            take_holes(r, &field.value, e);
        fields_close(&f, &field);
    }
    close_fields(&r->content, &f);
}

void read_last_fields(struct unpack *u)
{
    struct fields f;
    struct field field;

    fields_init(&f, u->at, unpack_left(u), NULL, 0, UNKNOWN);
    while (fields_next(&f, &field))
        fields_close(&f, &field);
    u->at = u->end;
    close_fields(u, &f);
}
