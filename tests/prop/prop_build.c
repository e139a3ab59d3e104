/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_build.c – random trees come back byte for byte from manifest and chunks. */
/* LINKS: image wire chunk base */

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "chunk/codec.h"
#include "chunk/cut.h"
#include "image/build.h"
#include "support/gen.h"
#include "support/tmpdir.h"

enum { ROUNDS = 12, DIRECTORIES = 8, FILES_MAX = 60, SIZE_LIMIT = 3 << 20 };

struct made {
    struct scan scan;
    struct build *build;
    struct build_worker *worker;
    struct build_result result;
    struct manifest manifest;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

/* The units in a random order, as threads would take them. */
static void make(struct made *m, const struct tmpdir *t, struct gen *g)
{
    *m = (struct made){0};
    must(scan_tree(t->path, NULL, &m->scan));
    m->build = build_new(&m->scan);
    m->worker = build_worker_new();
    size_t count = build_units(m->build);
    AUTO_FREE size_t *order = xcalloc(count + 1, sizeof(*order));
    for (size_t i = 0; i < count; i++) {
        size_t k = (size_t)gen_below(g, i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    for (size_t i = 0; i < count; i++)
        must(build_run(m->build, order[i], m->worker));
    must(build_finish(m->build, &m->result));
    must(manifest_decode(buf_peek(&m->result.manifest), buf_size(&m->result.manifest),
                         &manifest_limits_default, &m->manifest));
}

static void made_release(struct made *m)
{
    manifest_release(&m->manifest);
    build_result_release(&m->result);
    build_worker_free(m->worker);
    build_free(m->build);
    scan_release(&m->scan);
}

static size_t random_size(struct gen *g)
{
    if (gen_chance(g, 1, 20))
        return (size_t)cut_content.min - 1 + (size_t)gen_below(g, 3);
    return (size_t)gen_skewed(g, gen_chance(g, 1, 8) ? SIZE_LIMIT : 20000);
}

/* Few seeds, so that equal files and equal beginnings happen. */
static void write_file(const struct tmpdir *t, const char *name, struct gen *g)
{
    struct gen content;
    size_t size = random_size(g);
    AUTO_FREE uint8_t *bytes = xalloc(size + 1);
    gen_init(&content, gen_below(g, 30));
    if (gen_chance(g, 1, 2))
        gen_text(&content, bytes, size);
    else
        gen_bytes(&content, bytes, size);
    tmpdir_write(t, name, bytes, size);
}

/* Names of one directory may repeat: then a file is written over, which is fine. */
static void grow_tree(const struct tmpdir *t, struct gen *g)
{
    char directories[DIRECTORIES][200] = {""};
    size_t count = 1, files = (size_t)gen_range(g, 1, FILES_MAX);
    for (; count < DIRECTORIES && gen_chance(g, 5, 6); count++) {
        const char *above = directories[gen_below(g, count)];
        snprintf(directories[count], sizeof(directories[0]), "%.100s%sdir-%zu", above,
                 above[0] == '\0' ? "" : "/", count);
        tmpdir_mkdir(t, directories[count]);
    }
    for (size_t i = 0; i < files; i++) {
        char name[32], path[300];
        const char *above = directories[gen_below(g, count)];
        gen_name(g, name, 20);
        snprintf(path, sizeof(path), "%s%s_%s", above, above[0] == '\0' ? "" : "/", name);
        write_file(t, path, g);
        if (!gen_chance(g, 1, 10))
            continue;
        AUTO_FREE char *from = tmpdir_path(t, path);
        snprintf(path, sizeof(path), "hard-%zu", i);
        AUTO_FREE char *to = tmpdir_path(t, path);
        assert_int_equal(link(from, to), 0);
    }
}

/* Raw bytes of every chunk of list C, each verified. */
static struct buf *read_chunks(struct made *m)
{
    struct codec *codec = codec_new();
    struct buf *raw = xcalloc(m->result.content_key_count + 1, sizeof(*raw));
    for (uint32_t i = 0; i < m->result.content_key_count; i++) {
        struct chunk *chunk;
        buf_init(&raw[i], CHUNK_RAW_MAX);
        must(build_read(m->build, i, m->worker, &chunk));
        must(codec_verify(codec, &m->manifest.content_keys[i], chunk->bytes, chunk->size, &raw[i]));
        assert_int_equal(buf_size(&raw[i]), m->manifest.content_raw_bytes[i]);
        assert_in_range(buf_size(&raw[i]), 1, cut_content.max);
        chunk_unref(chunk);
    }
    codec_free(codec);
    return raw;
}

static const struct buf *chunk_of(const struct made *m, const struct buf *raw,
                                  const struct chunk_key *key)
{
    for (size_t i = 0; i < m->manifest.content_key_count; i++)
        if (chunk_key_equal(&m->manifest.content_keys[i], key))
            return &raw[i];
    fail_msg("a slice's key is not in list C");
    return NULL;
}

static void compare_file(const struct made *m, const struct tmpdir *t, const struct buf *raw,
                         const struct manifest_entry *e)
{
    size_t size;
    struct digest d;
    uint64_t at = 0;
    AUTO_FREE uint8_t *bytes = tmpdir_read(t, e->path, &size);
    assert_int_equal(e->size, size);
    sha256(bytes, size, &d);
    assert_true(digest_equal(&d, &e->content));
    for (size_t i = 0; i < e->slice_count; i++) {
        const struct slice *slice = &e->slices[i];
        const struct buf *chunk = chunk_of(m, raw, &slice->key);
        assert_true((uint64_t)slice->offset + slice->length <= buf_size(chunk));
        assert_true(at + slice->length <= size);
        assert_memory_equal(bytes + at, buf_peek(chunk) + slice->offset, slice->length);
        at += slice->length;
    }
    assert_int_equal(at, size);
    assert_true(size >= cut_content.min || e->slice_count <= 1); /* small: never split */
}

static void random_trees_come_back_from_their_chunks(void **state)
{
    struct gen *g = *state;
    for (int round = 0; round < ROUNDS; round++) {
        struct tmpdir *t = tmpdir_open();
        struct made m;
        grow_tree(t, g);
        make(&m, t, g);
        assert_int_equal(m.manifest.count, m.scan.count);
        assert_int_equal(m.manifest.content_key_count, m.result.content_key_count);
        struct buf *raw = read_chunks(&m);
        for (size_t i = 0; i < m.manifest.count; i++) {
            const struct manifest_entry *e = &m.manifest.entries[i];
            assert_string_equal(e->path, m.scan.items[i].path);
            assert_int_equal(e->type, m.scan.items[i].type);
            if (e->type == ENTRY_FILE)
                compare_file(&m, t, raw, e);
        }
        for (size_t i = 0; i < m.result.content_key_count; i++)
            buf_release(&raw[i]);
        free(raw);
        made_release(&m);
        tmpdir_close(t);
    }
}

static void any_order_of_work_makes_the_same_root(void **state)
{
    struct gen *g = *state;
    for (int round = 0; round < ROUNDS; round++) {
        struct tmpdir *t = tmpdir_open();
        struct made one, other;
        grow_tree(t, g);
        make(&one, t, g);
        make(&other, t, g);
        assert_true(digest_equal(&one.result.root_digest, &other.result.root_digest));
        made_release(&one);
        made_release(&other);
        tmpdir_close(t);
    }
}

static bool is_in(const struct manifest_entry *e, const char *directory)
{
    const char *slash = strrchr(e->path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - e->path);
    return strlen(directory) == length && memcmp(directory, e->path, length) == 0;
}

static void a_new_file_changes_no_slice_outside_its_directory(void **state)
{
    struct gen *g = *state;
    for (int round = 0; round < ROUNDS; round++) {
        struct tmpdir *t = tmpdir_open();
        struct made before, after;
        tmpdir_mkdir(t, "dir");
        tmpdir_write(t, "dir/there", "already", 7);
        grow_tree(t, g);
        make(&before, t, g);
        write_file(t, "dir/new", g);
        make(&after, t, g);
        assert_int_equal(after.manifest.count, before.manifest.count + 1);
        for (size_t i = 0; i < before.manifest.count; i++) {
            const struct manifest_entry *old = &before.manifest.entries[i];
            const struct manifest_entry *now = manifest_find(&after.manifest, old->path);
            assert_non_null(now);
            if (is_in(old, "dir"))
                continue;
            assert_int_equal(now->slice_count, old->slice_count);
            for (size_t k = 0; k < now->slice_count; k++)
                assert_true(chunk_key_equal(&now->slices[k].key, &old->slices[k].key));
        }
        made_release(&before);
        made_release(&after);
        tmpdir_close(t);
    }
}

int main(void)
{
    static struct gen g;
    gen_init_from_env(&g);
    struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(random_trees_come_back_from_their_chunks, &g),
        cmocka_unit_test_prestate(any_order_of_work_makes_the_same_root, &g),
        cmocka_unit_test_prestate(a_new_file_changes_no_slice_outside_its_directory, &g),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
