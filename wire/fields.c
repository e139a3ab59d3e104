/* SPDX-License-Identifier: Apache-2.0 */
/* wire/fields.c – typed fields in ascending order, one by one and as tables. */
#include "wire/fields.h"

#include "base/alloc.h"
#include "base/units.h"

enum { ROWS_MOST = 32, FIELD_MOST_BYTES = 1 << 20 };

/* ---- reading one after another ---- */

void fields_init(struct fields *f, const void *bytes, size_t size, const uint8_t *tags,
                 size_t tag_count, const char *const *unknown)
{
    *f = (struct fields){.tags = tags, .tag_count = tag_count, .unknown = unknown};
    unpack_init(&f->in, bytes, size);
}

/* Is the tag known?  Notes why not when that is a refusal. */
static bool judge_tag(struct fields *f, uint8_t tag)
{
    for (size_t i = 0; i < f->tag_count; i++) {
        if (f->tags[i] == tag)
            return true;
        if ((f->tags[i] ^ tag) == FIELD_CRITICAL) {
            unpack_fail(&f->in, "a field's critical bit is not as it must be");
            return false;
        }
    }
    if (tag & FIELD_CRITICAL)
        unpack_fail(&f->in, f->unknown[tag & ~FIELD_CRITICAL]);
    return false;
}

bool fields_next(struct fields *f, struct field *out)
{
    while (unpack_left(&f->in) > 0) {
        uint8_t tag = unpack_u8(&f->in);
        unsigned number = tag & ~(unsigned)FIELD_CRITICAL;
        size_t size;
        const uint8_t *value = unpack_run(&f->in, SIZE_MAX, &size);

        if (value == NULL)
            return false;
        if (number <= f->last) {
            unpack_fail(&f->in, "fields are not in ascending order");
            return false;
        }
        f->last = number;
        if (!judge_tag(f, tag))
            continue;
        out->number = number;
        unpack_init(&out->value, value, size);
        return true;
    }
    return false;
}

void fields_close(struct fields *f, const struct field *field)
{
    if (field->value.error != NULL)
        unpack_fail(&f->in, field->value.error);
    else if (unpack_left(&field->value) > 0)
        unpack_fail(&f->in, "a field is longer than its value");
}

struct alb_status fields_skip(const struct unpack *u, const char *const *unknown)
{
    struct fields f;
    struct field none;

    fields_init(&f, u->at, unpack_left(u), NULL, 0, unknown);
    (void)fields_next(&f, &none); /* to the end: it knows none to stop at */
    return unpack_finish(&f.in);
}

/* ---- whole objects ---- */

static struct alb_status name_check(enum field_type type, const char *name)
{
    switch (type) {
    case FIELD_ID: return id_check(name);
    case FIELD_SITE: return name[0] == '\0' ? ALB_STATUS_OK : id_check(name);
    case FIELD_LAYER: return layer_name_check(name);
    case FIELD_VERSION: return version_name_check(name);
    case FIELD_NUMBER:
    case FIELD_TIME:
    case FIELD_BYTES32:
    case FIELD_OWN: break;
    }
    alb_unreachable();
}

static void put_name(struct pack *p, enum field_type type, const char *name)
{
    struct alb_status st = name_check(type, name);

    if (alb_failed(st) && !alb_failed(p->st))
        p->st = st;
    pack_bytes(p, name, strlen(name));
}

static void put_value(struct pack *p, const struct field_row *row, const void *object)
{
    const char *at = (const char *)object + row->offset;
    uint64_t number;
    int64_t time;

    switch (row->type) {
    case FIELD_NUMBER:
        memcpy(&number, at, sizeof number);
        pack_varint(p, number);
        return;
    case FIELD_TIME:
        memcpy(&time, at, sizeof time);
        pack_zigzag(p, time);
        return;
    case FIELD_BYTES32: pack_bytes(p, at, DIGEST_SIZE); return;
    case FIELD_ID:
    case FIELD_SITE:
    case FIELD_LAYER:
    case FIELD_VERSION: put_name(p, row->type, at); return;
    case FIELD_OWN: row->put(p, object); return;
    }
    alb_unreachable();
}

struct alb_status fields_encode(const struct field_table *t, const void *object, struct buf *out)
{
    struct buf value;
    struct pack inner, outer;

    buf_init(&value, FIELD_MOST_BYTES);
    pack_init(&outer, out);
    for (size_t i = 0; i < t->count && !alb_failed(outer.st); i++) {
        buf_clear(&value);
        pack_init(&inner, &value);
        put_value(&inner, &t->rows[i], object);
        outer.st = pack_finish(&inner);
        pack_u8(&outer, (uint8_t)(t->rows[i].number | FIELD_CRITICAL));
        pack_run(&outer, buf_peek(&value), buf_size(&value));
    }
    buf_release(&value);
    return pack_finish(&outer);
}

/* A name is the whole value: no length of its own. */
static void get_name(struct unpack *u, enum field_type type, char *out)
{
    size_t size = unpack_left(u);
    const uint8_t *bytes = unpack_bytes(u, size);
    struct alb_status st;

    if (bytes == NULL)
        return;
    if (size >= NAME_MAX_SIZE || memchr(bytes, 0, size) != NULL) {
        unpack_fail(u, "a name is too long or holds a zero byte");
        return;
    }
    memcpy(out, bytes, size);
    out[size] = '\0';
    st = name_check(type, out);
    if (alb_failed(st))
        unpack_fail(u, st.what);
}

static void get_value(struct unpack *u, const struct field_row *row, void *object)
{
    char *at = (char *)object + row->offset;
    struct digest digest;
    uint64_t number;
    int64_t time;

    switch (row->type) {
    case FIELD_NUMBER:
        number = unpack_varint(u);
        memcpy(at, &number, sizeof number);
        return;
    case FIELD_TIME:
        time = unpack_zigzag(u);
        memcpy(at, &time, sizeof time);
        return;
    case FIELD_BYTES32:
        unpack_digest(u, &digest);
        memcpy(at, &digest, sizeof digest);
        return;
    case FIELD_ID:
    case FIELD_SITE:
    case FIELD_LAYER:
    case FIELD_VERSION: get_name(u, row->type, at); return;
    case FIELD_OWN: row->get(u, object); return;
    }
    alb_unreachable();
}

static const struct field_row *row_of(const struct field_table *t, unsigned number)
{
    size_t i = 0;

    while (t->rows[i].number != number)
        i++;
    return &t->rows[i]; /* fields_next() answers known ones only */
}

struct alb_status fields_decode(const struct field_table *t, const void *bytes, size_t size,
                                void *object)
{
    uint8_t tags[ROWS_MOST];
    struct fields f;
    struct field field;
    size_t found = 0;

    alb_assert(t->count <= ROWS_MOST);
    for (size_t i = 0; i < t->count; i++)
        tags[i] = (uint8_t)(t->rows[i].number | FIELD_CRITICAL);
    fields_init(&f, bytes, size, tags, t->count, t->unknown);
    while (fields_next(&f, &field)) {
        get_value(&field.value, row_of(t, field.number), object);
        fields_close(&f, &field);
        found++;
    }
    if (found != t->count)
        unpack_fail(&f.in, t->missing); /* an earlier error stays */
    return unpack_finish(&f.in);
}
