/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_manifest_write.c – what a manifest's writer refuses, and the forms it chooses. */
#include "support/wire_fixture.h"

#include "wire/manifest.h"

static const struct manifest_params PARAMS = {64 << 10, 256 << 10, 1 << 20};
static const struct manifest_entry ROOT = {.path = "", .type = ENTRY_DIRECTORY, .mode = 0755};
static const struct digest EMPTY = {{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                     0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                     0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                                     0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}};

static struct alb_status add_one(const struct manifest_entry *e)
{
    struct manifest_writer w;
    struct alb_status st;

    assert_ok(manifest_begin(&w, &PARAMS, &ROOT));
    st = manifest_add(&w, e);
    manifest_writer_release(&w);
    return st;
}

static struct chunk_key key_of(uint8_t fill, uint8_t kind)
{
    struct chunk_key k = {.kind = kind};

    memset(&k.digest, fill, sizeof k.digest);
    return k;
}

static void entries_must_ascend(void **state)
{
    static const char *const BEFORE[] = {"b", "b", "d/x", "d/x"}, *const AFTER[] = {"b", "a", "c",
                                                                                    "d/w"};

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(BEFORE); i++) {
        struct manifest_entry a = {.path = BEFORE[i], .type = ENTRY_DIRECTORY}, b = a;
        struct manifest_writer w;

        b.path = AFTER[i];
        assert_ok(manifest_begin(&w, &PARAMS, &ROOT));
        assert_ok(manifest_add(&w, &a));
        assert_says(manifest_add(&w, &b), ALB_INVALID,
                    "a manifest's entries are not in ascending order");
        manifest_writer_release(&w);
    }
}

static void the_beginning_is_checked(void **state)
{
    static const struct manifest_params BAD[] = {{0, 2, 3}, {2, 2, 3}, {1, 3, 3}, {1, 2, 5 << 20}};
    struct manifest_entry file = {.path = "", .type = ENTRY_FILE, .content = EMPTY};
    struct manifest_entry named = {.path = "x", .type = ENTRY_DIRECTORY};
    struct manifest_writer w;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(BAD); i++) {
        assert_says(manifest_begin(&w, &BAD[i], &ROOT), ALB_INVALID,
                    "a manifest's cut sizes are out of range");
        manifest_writer_release(&w);
    }
    assert_says(manifest_begin(&w, &PARAMS, &file), ALB_INVALID,
                "a manifest's root is not the directory with the empty path");
    assert_says(manifest_begin(&w, &PARAMS, &named), ALB_INVALID,
                "a manifest's root is not the directory with the empty path");
}

static void metadata_out_of_range_is_refused(void **state)
{
    struct manifest_entry e = {.path = "a", .type = ENTRY_DIRECTORY, .mode = 010000};
    struct xattr xattrs[300];

    (void)state;
    assert_says(add_one(&e), ALB_INVALID, "a mode has more than the bits 07777");
    e.mode = 0;
    e.mtime_ns = 1000000000;
    assert_says(add_one(&e), ALB_INVALID, "a time has more than 999999999 nanoseconds");
    e.mtime_ns = 0;
    e.type = (enum entry_type)9;
    assert_says(add_one(&e), ALB_INVALID, "an entry's type is not known to this program");
    e.type = ENTRY_FIFO;
    e.dev_minor = 1;
    assert_says(add_one(&e), ALB_INVALID, "an entry that is no device has device numbers");
    e.dev_minor = 0;
    e.size = 1;
    assert_says(add_one(&e), ALB_INVALID, "an entry that is no regular file has content");
    e.size = 0;
    e.target = "x";
    assert_says(add_one(&e), ALB_INVALID, "an entry that is no link has a target");
    e.target = NULL;
    for (size_t i = 0; i < ALB_COUNT(xattrs); i++)
        xattrs[i] = (struct xattr){"user.a", NULL, 0};
    e.xattrs = xattrs;
    e.xattr_count = 300;
    assert_says(add_one(&e), ALB_INVALID, "an entry has more than 256 extended attributes");
    e.xattr_count = 2;
    assert_says(add_one(&e), ALB_INVALID, "extended attributes are not in ascending order");
    xattrs[1].name = "";
    assert_says(add_one(&e), ALB_INVALID,
                "the name of an extended attribute is empty or longer than 255 bytes");
    xattrs[0].size = MANIFEST_XATTR_MAX + 1;
    assert_says(add_one(&e), ALB_INVALID,
                "the value of an extended attribute is larger than 64 KiB");
}

static void links_are_checked(void **state)
{
    AUTO_FREE char *text = xalloc(5000);
    struct manifest_entry e = {.path = "a", .type = ENTRY_SYMLINK};
    struct xattr x = {"user.a", NULL, 0};

    (void)state;
    assert_says(add_one(&e), ALB_INVALID, "a link has no target");
    e.target = "";
    assert_says(add_one(&e), ALB_INVALID, "a link has no target");
    memset(text, 'x', 4096);
    e.target = text;
    assert_says(add_one(&e), ALB_INVALID,
                "the target of a symbolic link is longer than 4095 bytes");
    text[4095] = '\0';
    assert_ok(add_one(&e));
    e.type = ENTRY_HARDLINK;
    e.target = "../x";
    assert_says(add_one(&e), ALB_INVALID, "a path has the component \"..\"");
    e.target = "x";
    e.xattrs = &x;
    e.xattr_count = 1;
    assert_says(add_one(&e), ALB_INVALID, "a hard link has metadata of its own");
}

/* A file of `size` with one slice. */
static struct alb_status add_file(uint64_t size, struct slice s)
{
    struct manifest_entry e = {
        .path = "a", .type = ENTRY_FILE, .size = size, .slices = &s, .slice_count = 1};

    return add_one(&e);
}

static void slices_are_checked(void **state)
{
    struct chunk_key plain = key_of(7, KEY_PLAIN);
    struct manifest_entry empty = {.path = "a", .type = ENTRY_FILE};

    (void)state;
    assert_says(add_file(5, (struct slice){plain, 0, 4}), ALB_INVALID,
                "a file's slices do not add up to its size");
    assert_says(add_file(0, (struct slice){plain, 0, 0}), ALB_INVALID,
                "an empty file has another digest than nothing has");
    assert_says(add_file(5, (struct slice){plain, 0, 0}), ALB_INVALID, "a slice is empty");
    assert_says(add_file(5, (struct slice){plain, 4 << 20, 5}), ALB_INVALID,
                "a slice reaches beyond the largest chunk");
    assert_says(add_file(5, (struct slice){plain, UINT32_MAX, 5}), ALB_INVALID,
                "a slice reaches beyond the largest chunk");
    assert_says(add_file(5, (struct slice){key_of(7, KEY_SEALED), 0, 5}), ALB_INVALID,
                "a sealed chunk is named without its seal");
    assert_says(add_file(5, (struct slice){key_of(7, 9), 0, 5}), ALB_INVALID,
                "a slice names an unknown kind of chunk");
    assert_says(add_file(UINT64_MAX, (struct slice){plain, 0, 5}), ALB_INVALID,
                "a file's size is absurd");
    assert_ok(add_file(5, (struct slice){key_of(7, KEY_CASYNC_SHA512), 3, 5}));
    assert_says(add_one(&empty), ALB_INVALID, "an empty file has another digest than nothing has");
    empty.content = EMPTY;
    assert_ok(add_one(&empty));
}

static void holes_are_checked(void **state)
{
    static const char ORDER[] = "holes are empty, touch each other or are not in ascending order";
    static const char BEYOND[] = "a hole reaches beyond its file";
    static const struct {
        struct hole holes[2];
        const char *says;
    } cases[] = {
        {{{0, 0}, {8, 1}}, ORDER},           {{{0, 5}, {5, 1}}, ORDER},
        {{{4, 1}, {2, 1}}, ORDER},           {{{0, 1}, {9, 2}}, BEYOND},
        {{{0, 1}, {UINT64_MAX, 1}}, BEYOND}, {{{0, 1}, {2, UINT64_MAX}}, BEYOND},
    };
    struct slice s = {key_of(7, KEY_PLAIN), 0, 10};

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        struct manifest_entry e = {.path = "a",
                                   .type = ENTRY_FILE,
                                   .size = 10,
                                   .slices = &s,
                                   .slice_count = 1,
                                   .holes = cases[i].holes,
                                   .hole_count = 2};

        assert_says(add_one(&e), ALB_INVALID, cases[i].says);
    }
}

/* How long the stream gets with two files that have these slices. */
static size_t size_with(struct slice first, struct slice second)
{
    struct manifest_entry e = {.path = "a", .type = ENTRY_FILE, .slice_count = 1};
    struct manifest_writer w;
    struct buf out;
    size_t size;

    buf_init(&out, 10000);
    assert_ok(manifest_begin(&w, &PARAMS, &ROOT));
    e.size = first.length;
    e.slices = &first;
    assert_ok(manifest_add(&w, &e));
    e.path = "b";
    e.content.bytes[0] = 9;
    e.size = second.length;
    e.slices = &second;
    assert_ok(manifest_add(&w, &e));
    assert_ok(manifest_finish(&w, &out));
    size = buf_size(&out);
    manifest_writer_release(&w);
    buf_release(&out);
    return size;
}

static void a_slice_takes_the_shortest_form_it_has(void **state)
{
    struct slice first = {key_of(7, KEY_PLAIN), 0, 20};
    size_t front = size_with(first, (struct slice){first.key, 0, 20});
    size_t part = size_with(first, (struct slice){first.key, 21, 20});
    size_t next = size_with(first, (struct slice){first.key, 20, 20});
    size_t whole = size_with(first, (struct slice){{KEY_PLAIN, {{9}}}, 0, 20});

    (void)state;
    assert_int_equal(part - front, 1);      /* the offset                              */
    assert_int_equal(front - next, 33 + 1); /* the key, and a byte of the section's length */
    assert_int_equal(next - whole, 1 + 3);  /* fields' length, tag, length, slice      */
}

static void an_unreleased_or_unbegun_writer_is_harmless(void **state)
{
    struct manifest_writer w = {.begun = false};

    (void)state;
    manifest_writer_release(&w);
    manifest_writer_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_must_ascend),
        cmocka_unit_test(the_beginning_is_checked),
        cmocka_unit_test(metadata_out_of_range_is_refused),
        cmocka_unit_test(links_are_checked),
        cmocka_unit_test(slices_are_checked),
        cmocka_unit_test(holes_are_checked),
        cmocka_unit_test(a_slice_takes_the_shortest_form_it_has),
        cmocka_unit_test(an_unreleased_or_unbegun_writer_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
