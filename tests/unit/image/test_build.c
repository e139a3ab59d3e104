/* SPDX-License-Identifier: Apache-2.0 */
/* unit/image/test_build.c – what a tree becomes: slices, packs, manifest, root and chunks. */

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
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

enum { SMALL = 64 << 10, AVERAGE = 256 << 10, MAX = 1 << 20 }; /* below SMALL files are packed */

/* A tree and all that becomes of it. */
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

static void made_begin(struct made *m, const char *top)
{
    *m = (struct made){0};
    must(scan_tree(top, &(struct scan_options){.allow_devices = true}, &m->scan));
    assert_int_equal(m->scan.problem_count, 0);
    m->build = build_new(&m->scan);
    m->worker = build_worker_new();
}

static void made_finish(struct made *m)
{
    for (size_t i = 0; i < build_units(m->build); i++)
        must(build_run(m->build, i, m->worker));
    must(build_finish(m->build, &m->result));
    must(manifest_decode(buf_peek(&m->result.manifest), buf_size(&m->result.manifest),
                         &manifest_limits_default, &m->manifest));
}

static void make(struct made *m, const struct tmpdir *t)
{
    made_begin(m, t->path);
    made_finish(m);
}

static void made_release(struct made *m)
{
    manifest_release(&m->manifest);
    build_result_release(&m->result);
    build_worker_free(m->worker);
    build_free(m->build);
    scan_release(&m->scan);
}

static const struct manifest_entry *entry(const struct made *m, const char *path)
{
    const struct manifest_entry *found = manifest_find(&m->manifest, path);
    if (found == NULL)
        fail_msg("%s is not in the manifest", path);
    return found;
}

static void write_random(const struct tmpdir *t, const char *name, size_t size, uint64_t seed)
{
    struct gen g;
    gen_init(&g, seed);
    AUTO_FREE uint8_t *bytes = xalloc(size + 1);
    gen_bytes(&g, bytes, size);
    tmpdir_write(t, name, bytes, size);
}

/* Packs are decided by digests: these files have contents whose digest ends no pack. */
static void write_quiet(const struct tmpdir *t, const char *name, size_t size, uint64_t seed)
{
    struct digest d;
    uint64_t lot;
    struct gen g;
    gen_init(&g, seed);
    AUTO_FREE uint8_t *bytes = xalloc(size);
    do {
        gen_bytes(&g, bytes, size);
        sha256(bytes, size, &d);
        memcpy(&lot, d.bytes + 8, 8); /* these tests run on little-endian machines */
    } while (lot % AVERAGE < size);
    tmpdir_write(t, name, bytes, size);
}

static void an_empty_tree_has_a_manifest_and_no_content(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct made m;
    make(&m, t);
    assert_int_equal(build_units(m.build), 0);
    assert_int_equal(m.manifest.count, 1);
    assert_int_equal(m.result.content_key_count, 0);
    assert_int_equal(m.result.root.entries, 1);
    assert_true(m.result.root.chunk_count > 0);
    made_release(&m);
    tmpdir_close(t);
}

static void the_root_object_says_what_the_build_says(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct made m;
    struct root root;
    struct digest d;
    uint64_t manifest_bytes = 0;
    write_random(t, "large", 3 * AVERAGE, 1);
    write_random(t, "same", 3 * AVERAGE, 1);
    write_random(t, "small", 100, 2);
    make(&m, t);
    const struct buf *object = &m.result.root_object;
    sha256(buf_peek(object), buf_size(object), &d);
    assert_true(digest_equal(&d, &m.result.root_digest));
    must(root_decode(buf_peek(object), buf_size(object), &root));
    assert_int_equal(root.entries, 4);
    assert_int_equal(root.content_bytes, 6 * AVERAGE + 100);
    assert_int_equal(root.content_raw_bytes, 3 * AVERAGE + 100);
    assert_int_equal(root.content_chunks, m.manifest.content_key_count);
    for (size_t i = 0; i < root.chunk_count; i++) {
        const struct chunk *chunk = m.result.manifest_chunks[i];
        assert_true(chunk_key_equal(&root.chunks[i].key, &chunk->key));
        manifest_bytes += root.chunks[i].raw_bytes;
    }
    assert_int_equal(root.manifest_bytes, manifest_bytes);
    assert_int_equal(manifest_bytes, buf_size(&m.result.manifest));
    root_release(&root);
    made_release(&m);
    tmpdir_close(t);
}

static void the_manifests_chunks_spell_the_manifest(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    char name[32];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "file-%d", i);
        write_random(t, name, 10, (uint64_t)i);
    }
    struct made m;
    make(&m, t);
    struct codec *codec = codec_new();
    struct buf whole, part;
    buf_init(&whole, SIZE_MAX);
    buf_init(&part, CHUNK_RAW_MAX);
    assert_true(m.result.root.chunk_count > 3);
    for (size_t i = 0; i < m.result.root.chunk_count; i++) {
        const struct chunk *chunk = m.result.manifest_chunks[i];
        must(codec_verify(codec, &chunk->key, chunk->bytes, chunk->size, &part));
        must(buf_append(&whole, buf_peek(&part), buf_size(&part)));
    }
    assert_int_equal(buf_size(&whole), buf_size(&m.result.manifest));
    assert_memory_equal(buf_peek(&whole), buf_peek(&m.result.manifest), buf_size(&whole));
    buf_release(&whole);
    buf_release(&part);
    codec_free(codec);
    made_release(&m);
    tmpdir_close(t);
}

static void a_large_file_is_cut_as_the_cutter_says(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    enum { SIZE = 21 * AVERAGE + 12345 }; /* more than the window, so that it has to roll */
    write_random(t, "large", SIZE, 3);
    AUTO_FREE uint8_t *bytes = tmpdir_read(t, "large", NULL);
    struct made m;
    struct cutter cutter;
    size_t at = 0, slices = 0;
    struct digest d;
    make(&m, t);
    const struct manifest_entry *e = entry(&m, "large");
    cutter_init(&cutter, &cut_content);
    for (; at < SIZE; slices++) {
        size_t length = cutter_next(&cutter, bytes + at, SIZE - at);
        assert_true(slices < e->slice_count);
        sha256(bytes + at, length, &d);
        assert_true(digest_equal(&e->slices[slices].key.digest, &d));
        assert_int_equal(e->slices[slices].length, length);
        assert_int_equal(e->slices[slices].offset, 0);
        at += length;
    }
    assert_int_equal(slices, e->slice_count);
    sha256(bytes, SIZE, &d);
    assert_true(digest_equal(&e->content, &d));
    made_release(&m);
    tmpdir_close(t);
}

static void a_file_alone_in_its_directory_is_one_plain_chunk(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    write_random(t, "only", SMALL - 1, 4);
    struct made m;
    make(&m, t);
    const struct manifest_entry *e = entry(&m, "only");
    assert_int_equal(e->slice_count, 1);
    assert_int_equal(e->slices[0].offset, 0);
    assert_int_equal(e->slices[0].length, SMALL - 1);
    assert_true(digest_equal(&e->slices[0].key.digest, &e->content));
    made_release(&m);
    tmpdir_close(t);
}

static void small_files_of_a_directory_share_a_chunk_in_name_order(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    tmpdir_mkdir(t, "d");
    write_quiet(t, "d/c", 30, 5);
    write_quiet(t, "d/a", 10, 6);
    write_random(t, "d/b-large", AVERAGE, 7);
    write_quiet(t, "d/b", 20, 8);
    tmpdir_write(t, "d/empty", "", 0);
    write_quiet(t, "elsewhere", 40, 9);
    struct made m;
    make(&m, t);
    const struct slice *a = entry(&m, "d/a")->slices, *b = entry(&m, "d/b")->slices,
                       *c = entry(&m, "d/c")->slices, *other = entry(&m, "elsewhere")->slices;
    assert_true(chunk_key_equal(&a->key, &b->key) && chunk_key_equal(&b->key, &c->key));
    assert_false(chunk_key_equal(&a->key, &other->key));
    assert_int_equal(a->offset, 0);
    assert_int_equal(b->offset, 10);
    assert_int_equal(c->offset, 30);
    assert_int_equal(entry(&m, "d/empty")->slice_count, 0);
    assert_false(chunk_key_equal(&entry(&m, "d/b-large")->slices[0].key, &a->key));
    made_release(&m);
    tmpdir_close(t);
}

static void a_pack_ends_where_a_digest_says_and_before_it_is_too_large(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    char name[16];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "%03d", i);
        write_random(t, name, 15000 + 247 * (size_t)i, (uint64_t)i);
    }
    struct made m;
    make(&m, t);
    const struct manifest_entry *before = &m.manifest.entries[1];
    uint64_t size = before->size;
    size_t packs = 1;
    for (size_t i = 2; i < m.manifest.count; i++) {
        const struct manifest_entry *e = &m.manifest.entries[i];
        uint64_t lot;
        memcpy(&lot, before->content.bytes + 8, 8);
        bool said = lot % AVERAGE<before->size, too_large = size + e->size> MAX;
        bool ended = !chunk_key_equal(&before->slices[0].key, &e->slices[0].key);
        assert_int_equal(ended, said || too_large);
        packs += ended;
        size = ended ? e->size : size + e->size;
        before = e;
    }
    assert_int_equal(packs, m.manifest.content_key_count);
    assert_true(packs > 10);
    made_release(&m);
    tmpdir_close(t);
}

static void a_pack_is_closed_before_it_exceeds_a_chunk(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    char name[16];
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "%03d", i);
        write_quiet(t, name, 50000, (uint64_t)i);
    }
    struct made m;
    make(&m, t);
    assert_int_equal(m.result.content_key_count, 3); /* 20 of 50,000 bytes fit a mebibyte */
    assert_int_equal(build_chunk_raw_size(m.build, 0), 1000000);
    assert_int_equal(entry(&m, "020")->slices[0].offset, 0);
    made_release(&m);
    tmpdir_close(t);
}

static void metadata_links_and_odd_names_come_through(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    tmpdir_mkdir(t, "empty");
    tmpdir_write(t, "new\nline \xff", "odd", 3);
    tmpdir_write(t, "file", "content", 7);
    AUTO_FREE char *file = tmpdir_path(t, "file");
    AUTO_FREE char *again = tmpdir_path(t, "link");
    AUTO_FREE char *soft = tmpdir_path(t, "soft");
    bool has_xattrs = setxattr(file, "user.colour", "blue", 4, 0) == 0;
    struct timespec times[2] = {{1, 2}, {1234567890, 123456789}};
    assert_int_equal(chmod(file, 04750), 0);
    assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
    assert_int_equal(link(file, again), 0);
    assert_int_equal(symlink("../a way", soft), 0);
    struct made m;
    make(&m, t);
    const struct manifest_entry *e = entry(&m, "file");
    assert_int_equal(e->mode, 04750);
    assert_int_equal(e->mtime_s, 1234567890);
    assert_int_equal(e->mtime_ns, 123456789);
    assert_int_equal(e->size, 7);
    assert_int_equal(e->xattr_count, has_xattrs);
    assert_int_equal(entry(&m, "link")->type, ENTRY_HARDLINK);
    assert_string_equal(entry(&m, "link")->target, "file");
    assert_string_equal(entry(&m, "soft")->target, "../a way");
    assert_int_equal(entry(&m, "empty")->type, ENTRY_DIRECTORY);
    assert_int_equal(entry(&m, "new\nline \xff")->size, 3);
    assert_int_equal(m.result.root.content_bytes, 10);
    made_release(&m);
    tmpdir_close(t);
}

static void holes_of_a_sparse_file_are_noted(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    tmpdir_write(t, "sparse", "begin", 5);
    tmpdir_write(t, "dense", "begin", 5);
    AUTO_FREE char *path = tmpdir_path(t, "sparse");
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "middle", 6, 2 << 20), 6);
    assert_int_equal(ftruncate(fd, 5 << 20), 0);
    assert_int_equal(fsync(fd), 0); /* so that blocks are counted */
    close(fd);
    struct made m;
    make(&m, t);
    const struct manifest_entry *e = entry(&m, "sparse");
    uint64_t covered = 0;
    assert_int_equal(e->size, 5 << 20);
    for (size_t i = 0; i < e->hole_count; i++)
        covered += e->holes[i].length;
    /* A file system without holes has nothing to note; one with them keeps two blocks or so. */
    assert_true(e->hole_count == 0 || covered >= (4 << 20));
    assert_int_equal(entry(&m, "dense")->hole_count, 0);
    made_release(&m);
    tmpdir_close(t);
}

static void list_c_is_what_a_reader_computes_and_every_chunk_can_be_read(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    char name[32];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        tmpdir_mkdir(t, name);
        snprintf(name, sizeof(name), "d%d/small", i);
        write_random(t, name, 1000 * (size_t)(i % 7), (uint64_t)(i % 5)); /* some are equal */
        snprintf(name, sizeof(name), "d%d/tiny", i);
        write_random(t, name, 100 + (size_t)i, (uint64_t)i);
    }
    write_random(t, "large", 7 * AVERAGE, 1);
    write_random(t, "z", 7 * AVERAGE, 1);
    struct made m;
    make(&m, t);
    struct codec *codec = codec_new();
    assert_int_equal(m.result.content_key_count, m.manifest.content_key_count);
    for (uint32_t i = 0; i < m.result.content_key_count; i++) {
        struct chunk *chunk;
        struct buf raw;
        buf_init(&raw, CHUNK_RAW_MAX);
        assert_true(chunk_key_equal(&m.result.content_keys[i], &m.manifest.content_keys[i]));
        must(build_read(m.build, i, m.worker, &chunk));
        assert_true(chunk_key_equal(&chunk->key, &m.result.content_keys[i]));
        must(codec_verify(codec, &chunk->key, chunk->bytes, chunk->size, &raw));
        assert_int_equal(buf_size(&raw), build_chunk_raw_size(m.build, i));
        buf_release(&raw);
        chunk_unref(chunk);
    }
    codec_free(codec);
    made_release(&m);
    tmpdir_close(t);
}

static void fill_with_versions(const struct tmpdir *t)
{
    char name[32];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "file-%03d", i);
        write_random(t, name, 5000 + (size_t)i * 37, (uint64_t)i);
    }
    write_random(t, "large", 30 * AVERAGE, 1);
}

static void a_changed_file_disturbs_few_chunks(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct made before, after;
    size_t fresh = 0;
    fill_with_versions(t);
    make(&before, t);
    write_random(t, "file-050", 9000, 777);
    write_random(t, "file-100a", 4000, 778);
    AUTO_FREE char *path = tmpdir_path(t, "large");
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "patch", 5, 10 * AVERAGE), 5);
    close(fd);
    make(&after, t);
    for (size_t i = 0; i < after.result.content_key_count; i++) {
        bool old = false;
        for (size_t k = 0; k < before.result.content_key_count && !old; k++)
            old = chunk_key_equal(&after.result.content_keys[i], &before.result.content_keys[k]);
        fresh += !old;
    }
    assert_in_range(fresh, 2, 8);
    assert_true(before.result.content_key_count > 25);
    made_release(&before);
    made_release(&after);
    tmpdir_close(t);
}

static void the_same_tree_has_the_same_root_whatever_the_order_of_work(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct made one, other;
    fill_with_versions(t);
    make(&one, t);
    made_begin(&other, t->path);
    for (size_t i = build_units(other.build); i-- > 0;)
        must(build_run(other.build, i, other.worker));
    made_finish(&other); /* which runs every unit once more */
    assert_true(digest_equal(&one.result.root_digest, &other.result.root_digest));
    build_result_release(&other.result);
    must(build_finish(other.build, &other.result)); /* and finishing twice changes nothing */
    assert_true(digest_equal(&one.result.root_digest, &other.result.root_digest));
    made_release(&one);
    made_release(&other);
    tmpdir_close(t);
}

struct share { /* every second unit */
    struct build *build;
    size_t first;
};

static void *run_share(void *arg)
{
    struct share *share = arg;
    struct build_worker *w = build_worker_new();
    for (size_t i = share->first; i < build_units(share->build); i += 2)
        if (alb_failed(build_run(share->build, i, w)))
            abort();
    build_worker_free(w);
    return NULL;
}

static void two_threads_make_what_one_makes(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct made one, both;
    pthread_t thread;
    char name[16];
    fill_with_versions(t);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        tmpdir_mkdir(t, name);
        snprintf(name, sizeof(name), "d%d/f", i);
        write_random(t, name, 100 + 30000 * (size_t)i, 55);
    }
    make(&one, t);
    made_begin(&both, t->path);
    struct share even = {both.build, 0}, odd = {both.build, 1};
    assert_int_equal(pthread_create(&thread, NULL, run_share, &even), 0);
    run_share(&odd);
    pthread_join(thread, NULL);
    must(build_finish(both.build, &both.result));
    assert_true(digest_equal(&one.result.root_digest, &both.result.root_digest));
    made_release(&one);
    made_release(&both);
    tmpdir_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_tree_has_a_manifest_and_no_content),
        cmocka_unit_test(the_root_object_says_what_the_build_says),
        cmocka_unit_test(the_manifests_chunks_spell_the_manifest),
        cmocka_unit_test(a_large_file_is_cut_as_the_cutter_says),
        cmocka_unit_test(a_file_alone_in_its_directory_is_one_plain_chunk),
        cmocka_unit_test(small_files_of_a_directory_share_a_chunk_in_name_order),
        cmocka_unit_test(a_pack_ends_where_a_digest_says_and_before_it_is_too_large),
        cmocka_unit_test(a_pack_is_closed_before_it_exceeds_a_chunk),
        cmocka_unit_test(metadata_links_and_odd_names_come_through),
        cmocka_unit_test(holes_of_a_sparse_file_are_noted),
        cmocka_unit_test(list_c_is_what_a_reader_computes_and_every_chunk_can_be_read),
        cmocka_unit_test(a_changed_file_disturbs_few_chunks),
        cmocka_unit_test(the_same_tree_has_the_same_root_whatever_the_order_of_work),
        cmocka_unit_test(two_threads_make_what_one_makes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
