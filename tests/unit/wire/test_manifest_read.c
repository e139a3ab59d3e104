/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_manifest_read.c – manifests nobody's writer makes, each refused by its words. */
#include "support/raw_manifest.h"

/* ---- what each case spells; the root's metadata and its block are there already ---- */

static void fine(struct raw *r)
{
    name(r, ENTRY_DIRECTORY, "d");
    file(r, "f");
    block(r, "d");
    name(r, ENTRY_SYMLINK, "s");
    put_text(&r->names, "../f");
}
static void entry_unsorted(struct raw *r)
{
    file(r, "b");
    file(r, "a");
}
static void entry_twice(struct raw *r)
{
    file(r, "a");
    file(r, "a");
}
static void dot_dot(struct raw *r)
{
    file(r, "..");
}
static void dot(struct raw *r)
{
    file(r, ".");
}
static void name_empty(struct raw *r)
{
    file(r, "");
}
static void name_slash(struct raw *r)
{
    file(r, "a/b");
}
static void name_absolute(struct raw *r)
{
    file(r, "/etc");
}
static void name_zero(struct raw *r)
{
    PUT(&r->names, "\3\3a\0b");
}
static void name_reserved(struct raw *r)
{
    name(r, ENTRY_DIRECTORY, ".albedo");
}
static void name_long(struct raw *r)
{
    char text[257] = "";

    memset(text, 'x', 256);
    file(r, text);
}
static void path_long(struct raw *r)
{
    char path[5000] = "", text[201] = "";

    memset(text, 'x', 200);
    for (unsigned depth = 0; depth < 21; depth++) {
        if (depth > 0)
            block(r, path);
        name(r, ENTRY_DIRECTORY, text);
        snprintf(path + strlen(path), 300, "%s%s", depth > 0 ? "/" : "", text);
    }
}
static void parent_unknown(struct raw *r)
{
    file(r, "a");
    block(r, "b");
    file(r, "c");
}
static void parent_symlink(struct raw *r)
{
    name(r, ENTRY_SYMLINK, "a");
    put_text(&r->names, "etc");
    block(r, "a");
    file(r, "c");
}
static void parent_file(struct raw *r)
{
    file(r, "a");
    block(r, "a");
    file(r, "c");
}
static void parent_slash(struct raw *r)
{
    name(r, ENTRY_DIRECTORY, "a");
    block(r, "/a");
    file(r, "c");
}
static void parent_after(struct raw *r)
{
    name(r, ENTRY_DIRECTORY, "a");
    name(r, ENTRY_DIRECTORY, "b");
    block(r, "b");
    file(r, "x");
    block(r, "a");
    file(r, "x");
}
static void block_twice(struct raw *r)
{
    file(r, "a");
    block(r, "");
    file(r, "b");
}
static void block_empty(struct raw *r)
{
    name(r, ENTRY_DIRECTORY, "a");
    name(r, ENTRY_DIRECTORY, "b");
    block(r, "a");
    block(r, "b");
    file(r, "x");
}
static void block_empty_last(struct raw *r)
{
    name(r, ENTRY_DIRECTORY, "a");
    block(r, "a");
}
static void type_unknown(struct raw *r)
{
    name(r, (enum entry_type)9, "a");
}
static void type_zero(struct raw *r)
{
    PUT(&r->names, "\0");
}
static void device(struct raw *r)
{
    name(r, ENTRY_CHAR_DEVICE, "null");
    PUT(&r->names, "\1\3");
}
static void link_forward(struct raw *r)
{
    name(r, ENTRY_HARDLINK, "a");
    put_text(&r->names, "b");
    file(r, "b");
}
static void link_to_directory(struct raw *r)
{
    name(r, ENTRY_DIRECTORY, "a");
    name(r, ENTRY_HARDLINK, "b");
    put_text(&r->names, "a");
}
static void link_to_link(struct raw *r)
{
    file(r, "a");
    name(r, ENTRY_HARDLINK, "b");
    put_text(&r->names, "a");
    name(r, ENTRY_HARDLINK, "c");
    put_text(&r->names, "b");
}
static void link_out(struct raw *r)
{
    name(r, ENTRY_HARDLINK, "a");
    put_text(&r->names, "../etc/shadow");
}
static void target_empty(struct raw *r)
{
    name(r, ENTRY_SYMLINK, "a");
    put_text(&r->names, "");
}
static void target_zero(struct raw *r)
{
    name(r, ENTRY_SYMLINK, "a");
    PUT(&r->names, "\3x\0y");
}
static void name_field(struct raw *r)
{
    PUT(&r->names, "\x82\1a\2\x97\0");
    meta(r);
}
static void name_field_none(struct raw *r)
{
    PUT(&r->names, "\x82\1a\0");
    meta(r);
}
static void names_cut(struct raw *r)
{
    PUT(&r->names, "\2\5abc");
}
static void meta_missing(struct raw *r)
{
    PUT(&r->names, "\2\1a");
}
static void meta_left(struct raw *r)
{
    file(r, "a");
    meta(r);
}
static void meta_mode(struct raw *r)
{
    PUT(&r->names, "\2\1a");
    PUT(&r->meta, "\x80\x80\1\0\0\0\0");
}
static void meta_uid(struct raw *r)
{
    PUT(&r->names, "\2\1a");
    PUT(&r->meta, "\0\xff\xff\xff\xff\x1f\0\0\0");
}
static void meta_ns(struct raw *r)
{
    PUT(&r->names, "\2\1a");
    PUT(&r->meta, "\0\0\0\0\x80\x94\xeb\xdc\3");
}
static void meta_field(struct raw *r)
{
    PUT(&r->names, "\2\1a");
    PUT(&r->meta, "\2\0\0\0\0\2\x97\0");
}
static void tail_field(struct raw *r)
{
    PUT(&r->tail, "\x85\0");
    file(r, "a");
}
static void tail_skipped(struct raw *r)
{
    PUT(&r->tail, "\5\0");
    file(r, "a");
}

#define ORDER "names in a directory are not in ascending order"
#define PARENT "the parent of an entry is not a directory declared before"
#define NO_FILE "a hard link names no regular file before it"
#define UNKNOWN "manifest has a field 23 that this program does not know"

static const struct raw_case CASES[] = {
    {fine, ""},
    {entry_unsorted, ORDER},
    {entry_twice, ORDER},
    {dot_dot, "a path has the component \"..\""},
    {dot, "a path has the component \".\""},
    {name_empty, "a path has an empty component"},
    {name_slash, "a name holds a slash or a zero byte"},
    {name_absolute, "a name holds a slash or a zero byte"},
    {name_zero, "a name holds a slash or a zero byte"},
    {name_reserved, "a path has the reserved component \".albedo\""},
    {name_long, "a path has a component longer than 255 bytes"},
    {path_long, "a path is longer than 4095 bytes"},
    {parent_unknown, PARENT},
    {parent_symlink, PARENT},
    {parent_file, PARENT},
    {parent_slash, PARENT},
    {parent_after, "directories are not in ascending order"},
    {block_twice, "directories are not in ascending order"},
    {block_empty, "a directory's block is empty"},
    {block_empty_last, "a directory's block is empty"},
    {type_unknown, "an entry's type is not known to this program"},
    {type_zero, "an entry's type is not known to this program"},
    {device, "a device is not allowed in this layer"},
    {link_forward, NO_FILE},
    {link_to_directory, NO_FILE},
    {link_to_link, NO_FILE},
    {link_out, "a path has the component \"..\""},
    {target_empty, "a link has no target"},
    {target_zero, "the target of a link holds a zero byte"},
    {name_field, UNKNOWN},
    {name_field_none, "an entry says it has typed fields and has none"},
    {names_cut, "input ends too early"},
    {meta_missing, "input ends too early"},
    {meta_left, "a manifest has metadata of more entries than names"},
    {meta_mode, "a number is larger than allowed"},
    {meta_uid, "a number is larger than allowed"},
    {meta_ns, "a number is larger than allowed"},
    {meta_field, UNKNOWN},
    {tail_field, "manifest has a field 5 that this program does not know"},
    {tail_skipped, ""},
};

static void each_refusal_says_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALB_COUNT(CASES); i++)
        raw_check(&CASES[i]);
}

static void the_header_is_known_or_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } cases[] = {
        {"", 0, "these bytes are not a manifest"},
        {"ALBMAM\1", 7, "these bytes are not a manifest"},
        {"ALBMAN", 6, "manifest format is not known to this program"},
        {"ALBMAN\2", 7, "manifest format is not known to this program"},
        {"ALBMAN\1\2\2\3", 10, "a manifest's cut sizes are out of range"},
        {"ALBMAN\1\1\2\3\0\0\0", 13, "input ends too early"}, /* no root */
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        struct buf b;

        buf_init(&b, 100);
        put(&b, cases[i].bytes, cases[i].size);
        /* "ALBMAN" alone ends before its version */
        assert_int_equal(decode_bytes(&b, &manifest_limits_default).code, ALB_CORRUPT);
        if (i != 2)
            assert_string_equal(decode_bytes(&b, &manifest_limits_default).what, cases[i].says);
        buf_release(&b);
    }
}

static void an_entry_before_any_block_is_refused(void **state)
{
    struct raw r;

    (void)state;
    raw_init(&r);
    meta(&r);
    file(&r, "a");
    assert_says(decode(&r, &manifest_limits_default), ALB_CORRUPT,
                "an entry is in no directory's block");
}

static void limits_bind(void **state)
{
    struct manifest_limits l = {.max_bytes = 1000, .max_entries = 2, .max_content_bytes = 9};
    struct raw r;

    (void)state;
    for (int which = 0; which < 4; which++) {
        static const char *const SAYS[] = {"", "a manifest has more entries than its limit",
                                           "a manifest's files are larger than its limit",
                                           "a manifest is larger than its limit"};

        raw_init(&r);
        meta(&r);
        block(&r, "");
        file(&r, "a");
        if (which == 1)
            name(&r, ENTRY_FIFO, "b");
        l.max_content_bytes = which == 2 ? 8 : 9;
        l.max_bytes = which == 3 ? 20 : 1000;
        assert_says(decode(&r, &l), which == 0 ? ALB_OK : ALB_CORRUPT, SAYS[which]);
    }
}

static void devices_come_with_leave(void **state)
{
    struct manifest_limits l = manifest_limits_default;
    struct raw r;

    (void)state;
    l.allow_devices = true;
    raw_init(&r);
    meta(&r);
    block(&r, "");
    device(&r);
    assert_ok(decode(&r, &l));
}

/* Many names in a deep directory: few bytes here, a whole path each in memory. */
static void memory_is_bounded_by_the_input(void **state)
{
    char path[4000] = "", text[201] = "";
    struct raw r;

    (void)state;
    raw_init(&r);
    meta(&r);
    memset(text, 'x', 200);
    for (unsigned depth = 0; depth < 19; depth++) {
        block(&r, path);
        name(&r, ENTRY_DIRECTORY, text);
        snprintf(path + strlen(path), 300, "%s%s", depth > 0 ? "/" : "", text);
    }
    block(&r, path);
    for (unsigned i = 0; i < 9000; i++) {
        snprintf(text, sizeof text, "%04x", i);
        name(&r, ENTRY_FIFO, text);
    }
    assert_says(decode(&r, &manifest_limits_default), ALB_CORRUPT,
                "a manifest asks for far more memory than its size allows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_says_its_reason),
        cmocka_unit_test(the_header_is_known_or_refused),
        cmocka_unit_test(an_entry_before_any_block_is_refused),
        cmocka_unit_test(limits_bind),
        cmocka_unit_test(devices_come_with_leave),
        cmocka_unit_test(memory_is_bounded_by_the_input),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
