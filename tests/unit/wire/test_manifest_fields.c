/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_manifest_fields.c – slices, holes and xattrs nobody's writer makes,
 * each refused. */
#include "support/raw_manifest.h"

static void xattr(struct raw *r, const char *bytes, size_t size)
{
    uint8_t sizes[] = {(uint8_t)(size + 2), 0x81, (uint8_t)size};

    PUT(&r->names, "\2\1a");
    PUT(&r->meta, "\2\0\0\0\0");
    assert_ok(buf_append(&r->meta, sizes, sizeof sizes));
    put(&r->meta, bytes, size);
}
static void xattr_unsorted(struct raw *r)
{
    xattr(r, "\1b\0\1a\0", 6);
}
static void xattr_unnamed(struct raw *r)
{
    xattr(r, "\0\1x", 3);
}
static void xattr_zero(struct raw *r)
{
    xattr(r, "\2a\0\0", 4);
}
static void xattr_none(struct raw *r)
{
    xattr(r, "", 0);
}
static void content_missing(struct raw *r)
{
    name(r, ENTRY_FILE, "a");
}
static void content_left(struct raw *r)
{
    file(r, "a");
    content(r, 9, 7, false);
}
static void content_large(struct raw *r)
{
    name(r, ENTRY_FILE, "a");
    PUT(&r->content, "\x82\x80\x80\4"); /* 4 MiB + 1 */
    put(&r->content, "0123456789abcdef0123456789abcdef", 32);
}
static void content_empty(struct raw *r)
{
    name(r, ENTRY_FILE, "a");
    content(r, 0, 7, false);
}
static void content_disagrees(struct raw *r)
{
    name(r, ENTRY_FILE, "a");
    content(r, 9, 7, false);
    name(r, ENTRY_FILE, "b");
    content(r, 8, 7, false);
}

static void put_key(struct buf *b, uint8_t kind, uint8_t fill)
{
    uint8_t bytes[33];

    memset(bytes, fill, sizeof bytes);
    bytes[0] = kind;
    assert_ok(buf_append(b, bytes, sizeof bytes));
}

/* A file "a" of nine bytes, digest of 7s, whose one field is `tag` with this value. */
static void field(struct raw *r, uint8_t tag, const struct buf *value)
{
    uint8_t sizes[] = {(uint8_t)(buf_size(value) + 2), tag, (uint8_t)buf_size(value)};

    name(r, ENTRY_FILE, "a");
    content(r, 9, 7, true);
    assert_ok(buf_append(&r->content, sizes, sizeof sizes));
    assert_ok(buf_append(&r->content, buf_peek(value), buf_size(value)));
}

/* One slice: head byte, a key unless `kind` is 0, an offset unless it is negative. */
static void slice(struct buf *value, uint8_t head, uint8_t kind, int offset)
{
    uint8_t byte = (uint8_t)offset;

    assert_ok(buf_append(value, &head, 1));
    if (kind != 0)
        put_key(value, kind, 8);
    if (offset >= 0)
        assert_ok(buf_append(value, &byte, 1));
}

static void one_slice(struct raw *r, uint8_t head, uint8_t kind, int offset)
{
    struct buf value;

    buf_init(&value, 1000);
    slice(&value, head, kind, offset);
    field(r, 0x81, &value);
    buf_release(&value);
}
static void slice_fine(struct raw *r)
{
    one_slice(r, 9 << 2 | 1, KEY_PLAIN, 5);
}
static void slice_short(struct raw *r)
{
    one_slice(r, 8 << 2, KEY_PLAIN, -1);
}
static void slice_offset_zero(struct raw *r)
{
    one_slice(r, 9 << 2 | 1, KEY_PLAIN, 0);
}
static void slice_continues_nothing(struct raw *r)
{
    one_slice(r, 9 << 2 | 2, 0, -1);
}
static void slice_sealed_form(struct raw *r)
{
    one_slice(r, 9 << 2 | 3, 0, -1);
}
static void slice_sealed_kind(struct raw *r)
{
    one_slice(r, 9 << 2, KEY_SEALED, -1);
}
static void slice_kind_unknown(struct raw *r)
{
    one_slice(r, 9 << 2, 5, -1);
}
static void slice_cut(struct raw *r)
{
    one_slice(r, 9 << 2 | 1, KEY_PLAIN, -1);
}
static void slice_empty(struct raw *r)
{
    struct buf value;

    buf_init(&value, 1000);
    slice(&value, 9 << 2, KEY_PLAIN, -1);
    slice(&value, 0, KEY_CASYNC_SHA256, -1);
    field(r, 0x81, &value);
    buf_release(&value);
}
static void slice_spelled_long(struct raw *r) /* continues, but spelled with its key */
{
    struct buf value;

    buf_init(&value, 1000);
    slice(&value, 4 << 2, KEY_PLAIN, -1);
    slice(&value, 5 << 2 | 1, KEY_PLAIN, 4);
    field(r, 0x81, &value);
    buf_release(&value);
}
static void slice_spelled_needlessly(struct raw *r)
{
    struct buf value;

    buf_init(&value, 1000);
    PUT(&value, "\x24");
    put_key(&value, KEY_PLAIN, 7);
    field(r, 0x81, &value);
    buf_release(&value);
}
static void slice_beyond_whole(struct raw *r)
{
    struct buf value;

    buf_init(&value, 1000);
    PUT(&value, "\x25");
    put_key(&value, KEY_PLAIN, 6);
    PUT(&value, "\1"); /* bytes 1 … 10 of what is below a chunk of 9 */
    field(r, 0x81, &value);
    name(r, ENTRY_FILE, "b");
    content(r, 9, 6, false);
    buf_release(&value);
}
static void raw_field(struct raw *r, uint8_t tag, const char *bytes, size_t size)
{
    struct buf value;

    buf_init(&value, 1000);
    put(&value, bytes, size);
    field(r, tag, &value);
    buf_release(&value);
}
static void content_field(struct raw *r)
{
    raw_field(r, 0x97, "", 0);
}
static void content_field_skipped(struct raw *r)
{
    raw_field(r, 0x17, "x", 1);
}
static void content_field_bit(struct raw *r)
{
    raw_field(r, 0x82, "\0\1", 2);
}
static void slices_none(struct raw *r)
{
    raw_field(r, 0x81, "", 0);
}
static void hole_fine(struct raw *r)
{
    raw_field(r, 0x02, "\0\1\1\7", 4);
}
static void hole_touches(struct raw *r)
{
    raw_field(r, 0x02, "\0\1\0\7", 4);
}
static void hole_beyond(struct raw *r)
{
    raw_field(r, 0x02, "\0\1\1\x8", 4);
}
#define UNKNOWN "manifest has a field 23 that this program does not know"

static const struct raw_case CASES[] = {
    {xattr_unsorted, "extended attributes are not in ascending order"},
    {xattr_unnamed, "the name of an extended attribute is empty or longer than 255 bytes"},
    {xattr_zero, "the name of an extended attribute holds a zero byte"},
    {xattr_none, "a typed field is empty"},
    {content_missing, "input ends too early"},
    {content_left, "a manifest has content of more files than names"},
    {content_large, "a file larger than the largest chunk has no slices"},
    {content_empty, "an empty file has another digest than nothing has"},
    {content_disagrees, "slices of one chunk do not agree on its size"},
    {slice_fine, ""},
    {slice_short, "a file's slices do not add up to its size"},
    {slice_offset_zero, "a slice is not spelled in its one form"},
    {slice_continues_nothing, "a slice continues where no slice is before"},
    {slice_sealed_form, "a slice is sealed by a scheme that this program does not know"},
    {slice_sealed_kind, "a sealed chunk is named without its seal"},
    {slice_kind_unknown, "unknown kind of chunk key"},
    {slice_cut, "input ends too early"},
    {slice_empty, "a slice is empty"},
    {slice_spelled_long, "a slice is not spelled in its one form"},
    {slice_spelled_needlessly, "a slice is spelled out though the content's digest says it"},
    {slice_beyond_whole, "slices of one chunk do not agree on its size"},
    {content_field, UNKNOWN},
    {content_field_skipped, ""},
    {content_field_bit, "a field's critical bit is not as it must be"},
    {slices_none, "a typed field is empty"},
    {hole_fine, ""},
    {hole_touches, "holes are empty, touch each other or are not in ascending order"},
    {hole_beyond, "a hole reaches beyond its file"},
};

static void each_refusal_says_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALB_COUNT(CASES); i++)
        raw_check(&CASES[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_says_its_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
