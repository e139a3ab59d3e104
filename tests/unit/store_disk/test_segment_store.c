/* SPDX-License-Identifier: Apache-2.0 */
/* unit/store_disk/test_segment_store.c – the chunk store on disk: its contract, reopening,
 * damage. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "store/disk/record.h"
#include "store/disk/segment_store.h"
#include "support/tmpdir.h"

enum { BODY = 1000, RECORD = RECORD_HEADER_SIZE + BODY };

struct fixture {
    struct tmpdir *tmp;
    struct segment_store_options options;
    struct chunk_store *store;
};

static void reopen(struct fixture *f)
{
    chunk_store_close(f->store);
    f->store = NULL;
    assert_int_equal(segment_store_open(&f->options, &f->store).code, ALB_OK);
}

static int set_up(void **state)
{
    struct fixture *f = xalloc(sizeof(*f));
    f->tmp = tmpdir_open();
    f->options.dir = f->tmp->path;
    f->options.segment_bytes = 10 * RECORD;
    *state = f;
    reopen(f);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    chunk_store_close(f->store);
    tmpdir_close(f->tmp);
    free(f);
    return 0;
}

static struct chunk_key key_of(unsigned n)
{
    return (struct chunk_key){.kind = KEY_PLAIN, .digest = {{(uint8_t)n, (uint8_t)(n >> 8)}}};
}

static struct chunk *numbered(unsigned n)
{
    struct chunk_key key = key_of(n);
    struct chunk *c = chunk_new(&key, BODY);
    memset(c->bytes, (int)(n & 0xff), BODY);
    return c;
}

static enum alb_code put_range(struct fixture *f, unsigned from, unsigned count,
                               enum put_outcome *outcomes)
{
    struct chunk *group[64] = {NULL};
    for (unsigned i = 0; i < count; i++)
        group[i] = numbered(from + i);
    enum alb_code code = chunk_store_put_many(f->store, group, count, outcomes).code;
    for (unsigned i = 0; i < count; i++)
        chunk_unref(group[i]);
    return code;
}

static enum alb_code get(struct fixture *f, unsigned n)
{
    struct chunk_key key = key_of(n);
    struct chunk *c;
    enum alb_code code = chunk_store_get(f->store, &key, &c).code;
    if (code != ALB_OK)
        return code;
    assert_true(chunk_key_equal(&c->key, &key));
    assert_int_equal(c->size, BODY);
    for (size_t i = 0; i < BODY; i++)
        assert_int_equal(c->bytes[i], n & 0xff);
    chunk_unref(c);
    return code;
}

static bool has(struct fixture *f, unsigned n)
{
    struct chunk_key key = key_of(n);
    bool answer = false;
    assert_int_equal(chunk_store_exists_many(f->store, &key, 1, &answer).code, ALB_OK);
    return answer;
}

static uint64_t chunks(struct fixture *f)
{
    struct chunk_store_stats stats;
    assert_int_equal(chunk_store_stats(f->store, &stats).code, ALB_OK);
    assert_int_equal(stats.stored_bytes, stats.chunks * BODY);
    return stats.chunks;
}

static char *segment_file(struct fixture *f, unsigned id)
{
    char name[64];
    assert_true(snprintf(name, sizeof(name), "segments/%016x.seg", id) > 0);
    return tmpdir_path(f->tmp, name);
}

static off_t file_size(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return about.st_size;
}

/* Change a byte of a file. */
static void damage(const char *path, off_t offset)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void remove_tree(struct fixture *f, const char *name)
{
    AUTO_FREE char *path = tmpdir_path(f->tmp, name);
    AUTO_FREE char *command = xasprintf("rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static off_t record_at(unsigned n)
{
    return SEGMENT_HEADER_SIZE + (off_t)n * RECORD;
}

static void a_group_is_kept_once_and_survives_reopening(void **state)
{
    struct fixture *f = *state;
    enum put_outcome outcomes[5];
    assert_int_equal(put_range(f, 0, 3, outcomes), ALB_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(outcomes[i], PUT_CREATED);
    assert_int_equal(put_range(f, 1, 5, outcomes), ALB_OK);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(outcomes[i], i < 2 ? PUT_EXISTS : PUT_CREATED);
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 6; i++)
            assert_int_equal(get(f, i), ALB_OK);
        assert_int_equal(get(f, 6), ALB_NOT_FOUND);
        assert_false(has(f, 6));
        assert_int_equal(chunks(f), 6);
        reopen(f);
    }
    assert_int_equal(chunk_store_put_many(f->store, NULL, 0, NULL).code, ALB_OK);
}

static void a_chunk_twice_in_a_group_is_written_once(void **state)
{
    struct fixture *f = *state;
    struct chunk *c = numbered(7);
    struct chunk *group[3] = {c, c, c};
    enum put_outcome outcomes[3];
    assert_int_equal(chunk_store_put_many(f->store, group, 3, outcomes).code, ALB_OK);
    chunk_unref(c);
    assert_int_equal(outcomes[0], PUT_CREATED);
    assert_int_equal(outcomes[1], PUT_EXISTS);
    assert_int_equal(outcomes[2], PUT_EXISTS);
    assert_int_equal(chunks(f), 1);
    AUTO_FREE char *path = segment_file(f, 1);
    assert_int_equal(file_size(path), record_at(1));
}

static void segments_roll_over_and_the_last_one_goes_on(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < 30; n += 3)
        assert_int_equal(put_range(f, n, 3, NULL), ALB_OK);
    AUTO_FREE char *first = segment_file(f, 1);
    AUTO_FREE char *fourth = segment_file(f, 4);
    AUTO_FREE char *fifth = segment_file(f, 5);
    assert_int_equal(file_size(first), record_at(9));
    assert_true(file_exists(fourth));
    reopen(f);
    assert_int_equal(put_range(f, 30, 3, NULL), ALB_OK);
    assert_int_equal(file_size(fourth), record_at(6));
    assert_false(file_exists(fifth));
    for (unsigned n = 0; n < 33; n++)
        assert_int_equal(get(f, n), ALB_OK);
}

static void removing_lasts_even_when_the_index_is_lost(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 4, NULL), ALB_OK);
    struct chunk_key key = key_of(2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(chunk_store_remove(f->store, &key).code, ALB_OK);
    assert_int_equal(get(f, 2), ALB_NOT_FOUND);
    key = key_of(3);
    assert_int_equal(chunk_store_remove(f->store, &key).code, ALB_OK);
    assert_int_equal(put_range(f, 3, 1, NULL), ALB_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(get(f, 1), ALB_OK);
        assert_int_equal(get(f, 2), ALB_NOT_FOUND);
        assert_int_equal(get(f, 3), ALB_OK);
        assert_int_equal(chunks(f), 3);
        chunk_store_close(f->store);
        f->store = NULL;
        remove_tree(f, "index");
        reopen(f);
    }
}

static void beyond_the_quota_is_full_and_nothing_is_kept(void **state)
{
    struct fixture *f = *state;
    struct chunk_store_stats stats;
    reopen(f);
    assert_int_equal(chunk_store_stats(f->store, &stats).code, ALB_OK);
    f->options.quota_bytes = stats.disk_bytes + (100 << 10); /* the index has its share in it */
    reopen(f);
    unsigned n = 0;
    while (put_range(f, n, 3, NULL) == ALB_OK)
        n += 3;
    assert_in_range(n, 30, 130);
    assert_int_equal(put_range(f, n, 3, NULL), ALB_FULL);
    assert_false(has(f, n));
    assert_int_equal(put_range(f, 0, 30, NULL), ALB_OK); /* all there: takes no room */
    assert_int_equal(chunk_store_stats(f->store, &stats).code, ALB_OK);
    assert_true(stats.disk_bytes <= f->options.quota_bytes);
    struct chunk_key key = key_of(0);
    assert_int_equal(chunk_store_remove(f->store, &key).code, ALB_OK); /* even when full */
    reopen(f);
    assert_int_equal(get(f, n - 1), ALB_OK);
    assert_false(has(f, n));
}

static void a_torn_tail_is_cut_and_written_over(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 3, NULL), ALB_OK);
    chunk_store_close(f->store);
    f->store = NULL;
    AUTO_FREE char *path = segment_file(f, 1);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "ALBr and then the power went", 28), 28);
    close(fd);
    reopen(f);
    assert_int_equal(file_size(path), record_at(3));
    assert_int_equal(put_range(f, 3, 1, NULL), ALB_OK);
    reopen(f);
    for (unsigned n = 0; n < 4; n++)
        assert_int_equal(get(f, n), ALB_OK);
}

static void a_damaged_chunk_is_corrupt_once_and_can_be_put_anew(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 3, NULL), ALB_OK);
    AUTO_FREE char *path = segment_file(f, 1);
    damage(path, record_at(1) + RECORD_HEADER_SIZE + 500);
    assert_int_equal(get(f, 1), ALB_CORRUPT);
    assert_int_equal(get(f, 1), ALB_NOT_FOUND);
    assert_int_equal(chunks(f), 2);
    assert_int_equal(put_range(f, 1, 1, NULL), ALB_OK);
    assert_int_equal(get(f, 1), ALB_OK);
    damage(path, record_at(2) + 20); /* in the header */
    assert_int_equal(get(f, 2), ALB_CORRUPT);
    assert_int_equal(get(f, 0), ALB_OK);
}

static void a_rebuild_steps_over_damage(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < 12; n += 3)
        assert_int_equal(put_range(f, n, 3, NULL), ALB_OK);
    chunk_store_close(f->store);
    f->store = NULL;
    AUTO_FREE char *path = segment_file(f, 1);
    damage(path, record_at(1) + 8);                       /* a size */
    damage(path, record_at(4) + RECORD_HEADER_SIZE + 10); /* a body */
    damage(path, record_at(8) + 1);                       /* the last one's magic */
    remove_tree(f, "index");
    reopen(f);
    for (unsigned n = 0; n < 12; n++)
        assert_int_equal(get(f, n), n == 1 || n == 4 || n == 8 ? ALB_NOT_FOUND : ALB_OK);
    assert_int_equal(chunks(f), 9);
}

static void a_damaged_index_is_built_anew(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 5, NULL), ALB_OK);
    chunk_store_close(f->store);
    f->store = NULL;
    AUTO_FREE char *index = tmpdir_path(f->tmp, "index");
    AUTO_FREE char *command =
        xasprintf("for f in '%s'/MANIFEST-*; do echo nonsense > \"$f\"; done", index);
    assert_int_equal(system(command), 0);
    reopen(f);
    for (unsigned n = 0; n < 5; n++)
        assert_int_equal(get(f, n), ALB_OK);
    chunk_store_close(f->store);
    f->store = NULL;
    AUTO_FREE char *again = xasprintf("rm '%s'/MANIFEST-*", index);
    assert_int_equal(system(again), 0);
    reopen(f);
    assert_int_equal(get(f, 4), ALB_OK);
}

static void lost_segments_are_misses_and_can_be_put_anew(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < 20; n += 5)
        assert_int_equal(put_range(f, n, 5, NULL), ALB_OK);
    chunk_store_close(f->store);
    f->store = NULL;
    AUTO_FREE char *path = segment_file(f, 1);
    assert_int_equal(unlink(path), 0);
    reopen(f);
    assert_int_equal(get(f, 0), ALB_NOT_FOUND);
    assert_false(has(f, 0));
    assert_int_equal(get(f, 15), ALB_OK);
    enum put_outcome outcome;
    assert_int_equal(put_range(f, 0, 1, &outcome), ALB_OK);
    assert_int_equal(outcome, PUT_CREATED);
    assert_int_equal(get(f, 0), ALB_OK);

    chunk_store_close(f->store);
    f->store = NULL;
    remove_tree(f, "segments");
    reopen(f);
    assert_int_equal(get(f, 15), ALB_NOT_FOUND);
    assert_int_equal(chunks(f), 0);
    assert_int_equal(put_range(f, 0, 5, NULL), ALB_OK);
    assert_int_equal(get(f, 4), ALB_OK);
}

static void files_that_are_no_segments_are_set_aside(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 5, NULL), ALB_OK);
    chunk_store_close(f->store);
    f->store = NULL;
    tmpdir_write(f->tmp, "segments/0000000000000007.seg", "half", 4);
    tmpdir_write(f->tmp, "segments/0000000000000008.seg",
                 "sixty-four bytes that are no segment: 0123456789012345678901234", 64);
    tmpdir_write(f->tmp, "segments/notes.txt", "mine", 4);
    reopen(f);
    AUTO_FREE char *half = segment_file(f, 7);
    AUTO_FREE char *other = segment_file(f, 8);
    AUTO_FREE char *aside = xasprintf("%s.bad", other);
    assert_false(file_exists(half));
    assert_false(file_exists(other));
    assert_true(file_exists(aside));
    assert_int_equal(get(f, 4), ALB_OK);
}

static void an_unknown_format_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 1, NULL), ALB_OK);
    chunk_store_close(f->store);
    f->store = NULL;
    AUTO_FREE char *path = segment_file(f, 1);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "ALBSEG02", 8, 0), 8);
    close(fd);
    struct alb_status st = segment_store_open(&f->options, &f->store);
    assert_int_equal(st.code, ALB_INVALID);
    assert_non_null(strstr(st.what, "format version"));
    assert_int_equal(file_size(path), record_at(1));
}

static void a_second_opener_is_refused(void **state)
{
    struct fixture *f = *state;
    struct chunk_store *second = NULL;
    struct alb_status st = segment_store_open(&f->options, &second);
    assert_int_equal(st.code, ALB_CONFLICT);
    assert_non_null(strstr(st.what, "open"));
    assert_null(second);
    f->options.segment_bytes = UINT64_C(2) << 30;
    assert_int_equal(segment_store_open(&f->options, &second).code, ALB_INVALID);
}

static void a_directory_that_cannot_be_made_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct chunk_store *store;
    tmpdir_write(f->tmp, "file", "", 0);
    AUTO_FREE char *dir = tmpdir_path(f->tmp, "file/store");
    struct segment_store_options options = {.dir = dir};
    assert_int_equal(segment_store_open(&options, &store).code, ALB_IO);
}

static void listing_pages_through_what_is_there(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < 40; n += 10)
        assert_int_equal(put_range(f, n, 10, NULL), ALB_OK);
    chunk_store_close(f->store);
    f->store = NULL;
    AUTO_FREE char *path = segment_file(f, 2); /* a group of ten is one segment */
    assert_int_equal(unlink(path), 0);
    reopen(f);
    for (size_t page = 1; page < 45; page += 6) {
        struct chunk_key keys[45];
        const struct chunk_key *after = NULL;
        unsigned seen = 0;
        size_t count;
        do {
            assert_int_equal(chunk_store_list(f->store, after, page, keys, &count).code, ALB_OK);
            for (size_t i = 0; i < count; i++, seen++)
                assert_int_equal(keys[i].digest.bytes[0], seen < 10 ? seen : seen + 10);
            after = &keys[count > 0 ? count - 1 : 0];
        } while (count == page);
        assert_int_equal(seen, 30);
    }
}

static void the_bodies_may_be_empty_and_large(void **state)
{
    struct fixture *f = *state;
    struct chunk_key small = key_of(1);
    struct chunk_key large = key_of(2);
    struct chunk *group[2] = {chunk_copy(&small, "", 0), chunk_new(&large, 4 << 20)};
    memset(group[1]->bytes, 9, 4 << 20);
    assert_int_equal(chunk_store_put_many(f->store, group, 2, NULL).code, ALB_OK);
    for (int round = 0; round < 2; round++) {
        struct chunk *found;
        assert_int_equal(chunk_store_get(f->store, &small, &found).code, ALB_OK);
        assert_int_equal(found->size, 0);
        chunk_unref(found);
        assert_int_equal(chunk_store_get(f->store, &large, &found).code, ALB_OK);
        assert_memory_equal(found->bytes, group[1]->bytes, 4 << 20);
        chunk_unref(found);
        chunk_store_close(f->store);
        f->store = NULL;
        remove_tree(f, "index");
        reopen(f);
    }
    chunk_unref(group[0]);
    chunk_unref(group[1]);
}

static size_t segment_files(const struct fixture *f)
{
    AUTO_FREE char *dir = path_join(f->tmp->path, "segments");
    DIR *d = opendir(dir);
    size_t count = 0;
    const struct dirent *e;
    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        count += e->d_name[0] != '.';
    (void)closedir(d);
    return count;
}

static void a_wiped_store_is_empty_on_the_disk_too_and_goes_on(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(chunk_store_wipe(f->store).code, ALB_OK); /* it never held anything */
    for (unsigned n = 0; n < 2048; n += 64)
        assert_int_equal(put_range(f, n, 64, NULL), ALB_OK);
    assert_int_equal(segment_files(f), 32); /* one for each group */
    assert_int_equal(chunk_store_wipe(f->store).code, ALB_OK);
    assert_int_equal(segment_files(f), 0);
    assert_int_equal(chunks(f), 0);
    assert_int_equal(get(f, 7), ALB_NOT_FOUND);
    assert_int_equal(put_range(f, 5, 10, NULL), ALB_OK);
    assert_int_equal(get(f, 7), ALB_OK);
    reopen(f);
    assert_int_equal(chunks(f), 10);
    assert_int_equal(get(f, 7), ALB_OK);
    assert_int_equal(get(f, 20), ALB_NOT_FOUND);
    assert_int_equal(chunk_store_wipe(f->store).code, ALB_OK);
    assert_int_equal(chunk_store_wipe(f->store).code, ALB_OK);
    reopen(f);
    assert_int_equal(chunks(f), 0);
}

/* The power went when the files were gone and the index knew nothing of it. */
static void a_wipe_that_was_cut_short_leaves_no_chunk_that_cannot_be_read(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_range(f, 0, 64, NULL), ALB_OK);
    assert_int_equal(put_range(f, 64, 64, NULL), ALB_OK);
    chunk_store_close(f->store);
    f->store = NULL;
    remove_tree(f, "segments");
    reopen(f);
    assert_int_equal(chunks(f), 0);
    assert_int_equal(put_range(f, 0, 64, NULL), ALB_OK);
    assert_int_equal(get(f, 63), ALB_OK);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        STORE_TEST(a_group_is_kept_once_and_survives_reopening),
        STORE_TEST(a_chunk_twice_in_a_group_is_written_once),
        STORE_TEST(segments_roll_over_and_the_last_one_goes_on),
        STORE_TEST(removing_lasts_even_when_the_index_is_lost),
        STORE_TEST(beyond_the_quota_is_full_and_nothing_is_kept),
        STORE_TEST(a_torn_tail_is_cut_and_written_over),
        STORE_TEST(a_damaged_chunk_is_corrupt_once_and_can_be_put_anew),
        STORE_TEST(a_rebuild_steps_over_damage),
        STORE_TEST(a_damaged_index_is_built_anew),
        STORE_TEST(lost_segments_are_misses_and_can_be_put_anew),
        STORE_TEST(files_that_are_no_segments_are_set_aside),
        STORE_TEST(an_unknown_format_is_refused_and_left_alone),
        STORE_TEST(a_second_opener_is_refused),
        STORE_TEST(a_directory_that_cannot_be_made_is_an_error),
        STORE_TEST(listing_pages_through_what_is_there),
        STORE_TEST(the_bodies_may_be_empty_and_large),
        STORE_TEST(a_wiped_store_is_empty_on_the_disk_too_and_goes_on),
        STORE_TEST(a_wipe_that_was_cut_short_leaves_no_chunk_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
