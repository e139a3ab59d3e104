/* SPDX-License-Identifier: Apache-2.0 */
/* tests/prop/prop_manifest.c – laws of the manifest over trees nobody thought of. */
/* LINKS: wire base */
#include "wire/manifest.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "support/gen.h"

#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum {
    ENTRIES = 60,
    SLICES = 5,
    HOLES = 3,
    XATTRS = 3,
    POOL = 6,
    TREES = 300,
    DAMAGED_TREES = 6,
    FLIPS = 4000,
    CHUNK = 100000
};

static const struct manifest_params PARAMS = {64 << 10, 256 << 10, 1 << 20};
static const struct manifest_limits LIMITS = {.max_bytes = 1 << 30,
                                              .max_entries = 1000,
                                              .max_content_bytes = UINT64_C(1) << 50,
                                              .allow_devices = true};

/* A tree and all that its entries point to. */
struct tree {
    struct gen *gen;
    size_t count;
    struct manifest_entry entries[ENTRIES];
    struct own {
        char path[400];
        char target[400];
        struct slice slices[SLICES];
        struct hole holes[HOLES];
        struct xattr xattrs[XATTRS];
        char xattr_names[XATTRS][32];
        uint8_t xattr_value[64];
    } own[ENTRIES];
    struct chunk_key pool[POOL]; /* chunks that several files take parts of */
    struct slice last;
};

static void make_slices(struct tree *t, struct manifest_entry *e, struct own *own)
{
    size_t count = gen_range(t->gen, 1, SLICES);

    for (size_t i = 0; i < count; i++) {
        struct slice *s = &own->slices[i];

        s->key = t->pool[gen_below(t->gen, POOL)];
        s->offset = gen_chance(t->gen, 1, 2) ? 0 : (uint32_t)gen_below(t->gen, CHUNK / 2);
        if (t->last.length > 0 && gen_chance(t->gen, 1, 3)) {
            s->key = t->last.key;
            s->offset = t->last.offset + t->last.length;
        }
        s->length = (uint32_t)gen_range(t->gen, 1, CHUNK);
        if (s->offset + s->length > CHUNK * 20)
            s->offset = 0;
        e->size += s->length;
        t->last = *s;
    }
    e->slices = own->slices;
    e->slice_count = count;
}

static void make_holes(struct tree *t, struct manifest_entry *e, struct own *own)
{
    uint64_t end = 0;

    e->holes = own->holes;
    while (e->hole_count < HOLES && end + 2 < e->size && gen_chance(t->gen, 1, 2)) {
        uint64_t offset = end + 1 + gen_below(t->gen, e->size - end - 1);
        uint64_t length = gen_range(t->gen, 1, e->size - offset);

        if (end == 0 && gen_chance(t->gen, 1, 3))
            offset = 0;
        own->holes[e->hole_count++] = (struct hole){offset, length};
        end = offset + length;
    }
}

static void make_content(struct tree *t, struct manifest_entry *e, struct own *own)
{
    if (gen_chance(t->gen, 1, 5)) {
        sha256("", 0, &e->content);
        return;
    }
    gen_bytes(t->gen, &e->content, sizeof e->content);
    if (gen_chance(t->gen, 1, 2)) {
        make_slices(t, e, own);
    } else {
        e->size = gen_range(t->gen, 1, 4 << 20);
        own->slices[0] = (struct slice){{KEY_PLAIN, e->content}, 0, (uint32_t)e->size};
        e->slices = own->slices;
        e->slice_count = 1;
    }
    make_holes(t, e, own);
}

static void make_xattrs(struct tree *t, struct manifest_entry *e, struct own *own)
{
    size_t count = gen_below(t->gen, XATTRS + 1);

    for (size_t i = 0; i < count; i++) {
        snprintf(own->xattr_names[i], sizeof own->xattr_names[i], "user.%zu", i);
        own->xattrs[i] = (struct xattr){own->xattr_names[i], own->xattr_value,
                                        (uint32_t)gen_below(t->gen, sizeof own->xattr_value)};
    }
    gen_bytes(t->gen, own->xattr_value, sizeof own->xattr_value);
    e->xattrs = own->xattrs;
    e->xattr_count = count;
}

static void make_meta(struct tree *t, struct manifest_entry *e, struct own *own)
{
    e->owner = gen_chance(t->gen, 1, 4) ? OWNER_USER : OWNER_IT;
    e->mode = (uint16_t)gen_below(t->gen, 010000);
    e->uid = (uint32_t)gen_skewed(t->gen, UINT32_MAX);
    e->gid = (uint32_t)gen_skewed(t->gen, UINT32_MAX);
    e->mtime_s = (int64_t)gen_u64(t->gen) >> gen_below(t->gen, 64);
    e->mtime_ns = (uint32_t)gen_below(t->gen, 1000000000);
    if (gen_chance(t->gen, 1, 4))
        make_xattrs(t, e, own);
}

static bool has_path(const struct tree *t, const char *path)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->entries[i].path, path) == 0)
            return true;
    return false;
}

/* A path beneath some directory of the tree so far. */
static void make_path(struct tree *t, char *out, size_t size)
{
    const struct manifest_entry *parent;
    char name[20];

    do {
        parent = &t->entries[gen_below(t->gen, t->count)];
        gen_name(t->gen, name, sizeof name - 1);
        if (strlen(parent->path) < 300)
            snprintf(out, size, "%s%s%s", parent->path, parent->path[0] != '\0' ? "/" : "", name);
    } while (parent->type != ENTRY_DIRECTORY || strlen(parent->path) >= 300 || has_path(t, out));
}

static int entry_order(const void *a, const void *b)
{
    const struct manifest_entry *x = a, *y = b;

    return path_compare(x->path, y->path);
}

/* Types first, then order, then what depends on the order. */
static void make_names(struct tree *t)
{
    t->entries[0] = (struct manifest_entry){.path = "", .type = ENTRY_DIRECTORY};
    t->count = 1;
    while (t->count < ENTRIES && !gen_chance(t->gen, 1, 40)) {
        struct manifest_entry *e = &t->entries[t->count];
        char *path = t->own[t->count].path;

        make_path(t, path, sizeof t->own[0].path);
        *e =
            (struct manifest_entry){.path = path, .type = (enum entry_type)gen_range(t->gen, 1, 8)};
        if (gen_chance(t->gen, 1, 2))
            e->type = ENTRY_FILE;
        t->count++;
    }
    qsort(t->entries, t->count, sizeof t->entries[0], entry_order);
}

static void make_link(struct tree *t, size_t at)
{
    struct manifest_entry *e = &t->entries[at];
    const struct manifest_entry *file = &t->entries[gen_below(t->gen, at)];

    if (file->type != ENTRY_FILE) {
        e->type = ENTRY_FIFO;
        make_meta(t, e, &t->own[at]);
        return;
    }
    e->owner = file->owner;
    e->target = file->path;
}

static void make_entry(struct tree *t, size_t at)
{
    struct manifest_entry *e = &t->entries[at];
    struct own *own = &t->own[at]; /* its path may be another's: only the rest is used */

    if (e->type == ENTRY_HARDLINK) {
        make_link(t, at);
        return;
    }
    make_meta(t, e, own);
    if (e->type == ENTRY_FILE)
        make_content(t, e, own);
    if (e->type == ENTRY_SYMLINK) {
        gen_name(t->gen, own->target, 300);
        e->target = own->target;
    }
    if (e->type == ENTRY_CHAR_DEVICE || e->type == ENTRY_BLOCK_DEVICE) {
        e->dev_major = (uint32_t)gen_skewed(t->gen, UINT32_MAX);
        e->dev_minor = (uint32_t)gen_skewed(t->gen, UINT32_MAX);
    }
}

static void make_tree(struct tree *t, struct gen *gen)
{
    memset(t, 0, sizeof *t);
    t->gen = gen;
    for (size_t i = 0; i < POOL; i++) {
        t->pool[i].kind = gen_chance(gen, 1, 2) ? KEY_PLAIN : KEY_CASYNC_SHA256;
        gen_bytes(gen, &t->pool[i].digest, sizeof t->pool[i].digest);
    }
    make_names(t);
    for (size_t i = 0; i < t->count; i++)
        make_entry(t, i);
}

static void encode(const struct manifest_params *params, const struct manifest_entry *entries,
                   size_t count, struct buf *out)
{
    struct manifest_writer w;

    buf_init(out, SIZE_MAX / 2);
    assert_string_equal(manifest_begin(&w, params, &entries[0]).what, "");
    for (size_t i = 1; i < count; i++)
        assert_string_equal(manifest_add(&w, &entries[i]).what, "");
    assert_string_equal(manifest_finish(&w, out).what, "");
    manifest_writer_release(&w);
}

/* ---- laws ---- */

static void check_same_content(const struct manifest_entry *a, const struct manifest_entry *b)
{
    assert_true(a->size == b->size);
    assert_true(a->type != ENTRY_FILE || digest_equal(&a->content, &b->content));
    assert_int_equal(a->slice_count, b->slice_count);
    for (size_t i = 0; i < a->slice_count; i++) {
        assert_true(chunk_key_equal(&a->slices[i].key, &b->slices[i].key));
        assert_int_equal(a->slices[i].offset, b->slices[i].offset);
        assert_int_equal(a->slices[i].length, b->slices[i].length);
    }
    assert_int_equal(a->hole_count, b->hole_count);
    for (size_t i = 0; i < a->hole_count; i++) {
        assert_true(a->holes[i].offset == b->holes[i].offset);
        assert_true(a->holes[i].length == b->holes[i].length);
    }
}

static void check_same(const struct manifest_entry *a, const struct manifest_entry *b)
{
    assert_string_equal(a->path, b->path);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->owner, b->owner);
    assert_int_equal(a->mode, b->mode);
    assert_true(a->uid == b->uid && a->gid == b->gid);
    assert_true(a->mtime_s == b->mtime_s && a->mtime_ns == b->mtime_ns);
    assert_true(a->dev_major == b->dev_major && a->dev_minor == b->dev_minor);
    assert_int_equal(a->target == NULL, b->target == NULL);
    if (a->target != NULL)
        assert_string_equal(a->target, b->target);
    assert_int_equal(a->xattr_count, b->xattr_count);
    for (size_t i = 0; i < a->xattr_count; i++) {
        assert_string_equal(a->xattrs[i].name, b->xattrs[i].name);
        assert_int_equal(a->xattrs[i].size, b->xattrs[i].size);
        assert_memory_equal(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].size);
    }
    check_same_content(a, b);
}

/* The definition of list C, the slow way. */
static void check_content_keys(const struct manifest *m)
{
    size_t found = 0;
    uint32_t raw[ENTRIES * SLICES] = {0};

    for (size_t i = 0; i < m->count; i++)
        for (size_t j = 0; j < m->entries[i].slice_count; j++) {
            const struct slice *s = &m->entries[i].slices[j];
            const struct chunk_key *key = &s->key;
            size_t k = 0;

            while (k < found && !chunk_key_equal(key, &m->content_keys[k]))
                k++;
            if (raw[k] < s->offset + s->length)
                raw[k] = s->offset + s->length;
            if (k < found)
                continue;
            assert_true(found < m->content_key_count);
            assert_true(chunk_key_equal(key, &m->content_keys[found]));
            found++;
        }
    assert_int_equal(found, m->content_key_count);
    for (size_t k = 0; k < found; k++)
        assert_int_equal(raw[k], m->content_raw_bytes[k]);
}

static void what_was_written_is_read(void **state)
{
    struct tree *t = xalloc(sizeof *t);
    struct gen gen;

    (void)state;
    gen_init_from_env(&gen);
    for (unsigned n = 0; n < TREES; n++) {
        struct manifest m;
        struct buf bytes;

        make_tree(t, &gen);
        encode(&PARAMS, t->entries, t->count, &bytes);
        assert_string_equal(manifest_decode(buf_peek(&bytes), buf_size(&bytes), &LIMITS, &m).what,
                            "");
        assert_int_equal(m.count, t->count);
        for (size_t i = 0; i < m.count; i++) {
            check_same(&t->entries[i], &m.entries[i]);
            assert_ptr_equal(manifest_find(&m, t->entries[i].path), &m.entries[i]);
        }
        assert_null(manifest_find(&m, "not/there"));
        check_content_keys(&m);
        manifest_release(&m);
        buf_release(&bytes);
    }
    free(t);
}

/* Refused, or it was the encoding of another tree: then that tree's one encoding is these bytes. */
static void check_damaged(const uint8_t *bytes, size_t size, bool flipped)
{
    AUTO_FREE uint8_t *exact = xalloc(size); /* reading past the end is seen */
    struct manifest m;
    struct buf again;

    memcpy(exact, bytes, size);
    if (alb_failed(manifest_decode(exact, size, &LIMITS, &m)))
        return;
    assert_true(flipped); /* a prefix is never a manifest: the sections have their lengths */
    encode(&m.params, m.entries, m.count, &again);
    /* Shorter: a field that became unknown and is not critical was skipped. */
    assert_true(buf_size(&again) <= size);
    if (buf_size(&again) == size)
        assert_memory_equal(buf_peek(&again), exact, size);
    buf_release(&again);
    manifest_release(&m);
}

static void damage_is_refused_or_canonical(void **state)
{
    struct tree *t = xalloc(sizeof *t);
    struct gen gen;

    (void)state;
    gen_init_from_env(&gen);
    for (unsigned n = 0; n < DAMAGED_TREES; n++) {
        struct buf bytes;

        make_tree(t, &gen);
        encode(&PARAMS, t->entries, t->count, &bytes);
        for (size_t i = 0; i < buf_size(&bytes); i++)
            check_damaged(buf_peek(&bytes), i, false);
        for (size_t i = 0; i < FLIPS; i++) {
            size_t bit = gen_below(&gen, 8 * buf_size(&bytes));

            bytes.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            check_damaged(bytes.bytes, buf_size(&bytes), true);
            bytes.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        buf_release(&bytes);
    }
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(damage_is_refused_or_canonical),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
