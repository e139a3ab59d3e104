/* SPDX-License-Identifier: Apache-2.0 */
/* unit/store_disk/test_segment.c – one segment file,
 * and the table of many with few of them open. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "store/disk/segment_store.h"
#include "store/disk/segment_table.h"
#include "support/tmpdir.h"

enum { BODY = 300 };

static int set_up(void **state)
{
    *state = tmpdir_open();
    return 0;
}

static int tear_down(void **state)
{
    tmpdir_close(*state);
    return 0;
}

static struct chunk_key key_of(unsigned n)
{
    return (struct chunk_key){.kind = KEY_PLAIN, .digest = {{(uint8_t)n, (uint8_t)(n >> 8)}}};
}

static enum alb_code append(struct segment *s, unsigned n, uint64_t *offset)
{
    uint8_t body[BODY];
    memset(body, (int)(n & 0xff), sizeof(body));
    struct append item = {.record = {RECORD_CHUNK, key_of(n), BODY, 0}, .body = body};
    enum alb_code code = segment_append(s, &item, 1).code;
    if (offset != NULL)
        *offset = item.record.offset;
    return code;
}

static enum alb_code read_back(const struct segment *s, unsigned n, uint64_t offset, uint32_t size)
{
    struct chunk_key key = key_of(n);
    struct chunk *c;
    enum alb_code code = segment_read(s, &key, offset, size, &c).code;
    if (code == ALB_OK)
        chunk_unref(c);
    return code;
}

static void what_is_appended_can_be_read_by_its_name_only(void **state)
{
    struct tmpdir *tmp = *state;
    struct segment *s;
    uint64_t first = 0;
    uint64_t second = 0;
    assert_int_equal(segment_create(tmp->path, 5, QUEUE_NEW, &s).code, ALB_OK);
    assert_int_equal(append(s, 1, &first), ALB_OK);
    assert_int_equal(append(s, 2, &second), ALB_OK);
    assert_int_equal(first, SEGMENT_HEADER_SIZE);
    assert_int_equal(second, first + RECORD_HEADER_SIZE + BODY);
    assert_int_equal(read_back(s, 1, first, BODY), ALB_OK);
    assert_int_equal(read_back(s, 2, second, BODY), ALB_OK);
    assert_int_equal(read_back(s, 2, first, BODY), ALB_CORRUPT);
    assert_int_equal(read_back(s, 1, first, BODY - 1), ALB_CORRUPT);
    assert_int_equal(read_back(s, 1, first + 1, BODY), ALB_CORRUPT);
    assert_int_equal(read_back(s, 2, second, BODY + 1), ALB_CORRUPT); /* beyond the file */
    segment_close(s);
    assert_null(segment_close(NULL));
}

static void a_segment_opens_again_under_its_own_name_only(void **state)
{
    struct tmpdir *tmp = *state;
    struct segment *s;
    assert_int_equal(segment_create(tmp->path, 5, QUEUE_NEW, &s).code, ALB_OK);
    assert_int_equal(append(s, 1, NULL), ALB_OK);
    uint64_t salt = s->salt;
    segment_close(s);
    struct segment *again;
    assert_int_equal(segment_create(tmp->path, 5, QUEUE_NEW, &again).code, ALB_IO); /* is there */
    assert_int_equal(segment_open(tmp->path, 6, &again).code, ALB_NOT_FOUND);
    assert_int_equal(segment_open(tmp->path, 5, &again).code, ALB_OK);
    assert_int_equal(again->salt, salt);
    assert_int_equal(again->fd, -1);
    segment_close(again);
    AUTO_FREE char *from = segment_path(tmp->path, 5);
    AUTO_FREE char *to = segment_path(tmp->path, 6);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(segment_open(tmp->path, 6, &again).code, ALB_CORRUPT);
}

#ifdef ALB_FAULT
static struct alb_status count_one(void *arg, const struct record *r)
{
    (void)r;
    (*(unsigned *)arg)++;
    return ALB_STATUS_OK;
}

static void a_failed_group_leaves_nothing_and_seals(void **state)
{
    static const char *const sites[] = {"segment.write", "segment.sync"};
    struct tmpdir *tmp = *state;
    for (unsigned i = 0; i < ALB_COUNT(sites); i++) {
        struct segment *s;
        unsigned records = 0;
        uint64_t end;
        uint64_t damaged_bytes;
        assert_int_equal(segment_create(tmp->path, 1 + i, QUEUE_NEW, &s).code, ALB_OK);
        assert_int_equal(append(s, 1, NULL), ALB_OK);
        uint64_t size = atomic_load(&s->size);
        fault_arm(sites[i], 0);
        assert_int_equal(append(s, 2, NULL), i == 0 ? ALB_FULL : ALB_IO);
        fault_disarm();
        assert_true(s->sealed);
        assert_int_equal(atomic_load(&s->size), size);
        assert_int_equal(segment_walk(s, SEGMENT_HEADER_SIZE,
                                      &(struct segment_visitor){count_one, &records}, &end,
                                      &damaged_bytes)
                             .code,
                         ALB_OK);
        assert_int_equal(records, 1);
        assert_int_equal(end, size);
        assert_int_equal(damaged_bytes, 0);
        segment_close(s);
    }
}

static void a_page_the_disk_cannot_read_costs_that_page(void **state)
{
    struct tmpdir *tmp = *state;
    struct segment *s;
    unsigned records = 0;
    uint64_t end;
    uint64_t damaged_bytes;
    assert_int_equal(segment_create(tmp->path, 1, QUEUE_NEW, &s).code, ALB_OK);
    for (unsigned n = 0; n < 60; n++)
        assert_int_equal(append(s, n, NULL), ALB_OK);
    fault_arm("file.pread", 0); /* the large read; then it goes page by page */
    assert_int_equal(segment_walk(s, SEGMENT_HEADER_SIZE,
                                  &(struct segment_visitor){count_one, &records}, &end,
                                  &damaged_bytes)
                         .code,
                     ALB_OK);
    fault_disarm();
    assert_int_equal(records, 60);
    segment_close(s);
}
#endif

static unsigned open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void many_segments_keep_few_files_open(void **state)
{
    struct tmpdir *tmp = *state;
    struct segment_table t;
    struct segment *held;
    enum { COUNT = SEGMENT_OPEN_MAX + 50 };
    segment_table_init(&t);
    unsigned before = open_descriptors();
    for (unsigned id = 1; id <= COUNT; id++) {
        struct segment *s;
        assert_int_equal(segment_create(tmp->path, id, QUEUE_NEW, &s).code, ALB_OK);
        assert_int_equal(append(s, id, NULL), ALB_OK);
        segment_close(s);
        assert_int_equal(segment_open(tmp->path, id, &s).code, ALB_OK);
        segment_table_add(&t, s);
    }
    assert_int_equal(segment_table_hold(&t, 7, &held).code, ALB_OK);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned id = 1; id <= COUNT; id++) {
            struct segment *s;
            assert_int_equal(segment_table_hold(&t, id, &s).code, ALB_OK);
            assert_int_equal(read_back(s, id, SEGMENT_HEADER_SIZE, BODY), ALB_OK);
            segment_drop(s);
            assert_true(open_descriptors() <= before + SEGMENT_OPEN_MAX);
        }
    }
    assert_true(held->fd >= 0); /* what is held stays open */
    segment_drop(held);
    struct segment *none;
    assert_int_equal(segment_table_hold(&t, COUNT + 1, &none).code, ALB_NOT_FOUND);
    assert_int_equal(segment_table_last_of(&t, QUEUE_NEW), COUNT);
    uint64_t queues[EVICT_QUEUES]; /* in blocks, not lengths */
    uint64_t lengths = COUNT * (SEGMENT_HEADER_SIZE + RECORD_HEADER_SIZE + BODY);
    assert_true(segment_table_bytes(&t, queues) >= lengths);
    assert_true(queues[QUEUE_NEW] >= lengths && queues[QUEUE_MAIN] == 0);
    assert_true(segment_table_covers(&t, 1, SEGMENT_HEADER_SIZE));
    assert_false(segment_table_covers(&t, 1, 1 << 20));
    assert_false(segment_table_covers(&t, COUNT + 1, 0));
    segment_table_release(&t);
}

/* ---- readers beside the writer ---- */

enum { READ_KEYS = 400 };

struct readers {
    struct chunk_store *store;
    atomic_uint written; /* keys below are there */
    atomic_uint failures;
    atomic_uint reads;
};

static void *read_on(void *arg)
{
    struct readers *r = arg;
    unsigned n = 0;
    while (atomic_load(&r->written) < READ_KEYS) {
        unsigned written = atomic_load(&r->written);
        unsigned wanted = n++ % (written + 1); /* the last of these may not be there yet */
        struct chunk_key key = key_of(wanted);
        struct chunk *c = NULL;
        bool must = wanted < written;
        enum alb_code code = chunk_store_get(r->store, &key, &c).code;
        if (code != ALB_OK && (must || code != ALB_NOT_FOUND))
            atomic_fetch_add(&r->failures, 1);
        if (code == ALB_OK && c->bytes[c->size - 1] != key.digest.bytes[0])
            atomic_fetch_add(&r->failures, 1);
        chunk_unref(c);
        atomic_fetch_add(&r->reads, 1);
    }
    return NULL;
}

static void readers_and_the_writer_do_not_disturb_each_other(void **state)
{
    struct tmpdir *tmp = *state;
    struct segment_store_options options = {.dir = tmp->path, .segment_bytes = 20 * 1024};
    struct readers r = {.failures = 0};
    pthread_t threads[3];
    assert_int_equal(segment_store_open(&options, &r.store).code, ALB_OK);
    for (size_t i = 0; i < ALB_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &r), 0);
    for (unsigned n = 0; n < READ_KEYS; n++) {
        struct chunk_key key = key_of(n);
        struct chunk *c = chunk_new(&key, 1000);
        memset(c->bytes, (int)(n & 0xff), 1000);
        assert_int_equal(chunk_store_put_many(r.store, &c, 1, NULL).code, ALB_OK);
        chunk_unref(c);
        atomic_store(&r.written, n + 1);
    }
    for (size_t i = 0; i < ALB_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&r.failures), 0);
    assert_true(atomic_load(&r.reads) > 0);
    chunk_store_close(r.store);
}

#define SEGMENT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SEGMENT_TEST(what_is_appended_can_be_read_by_its_name_only),
        SEGMENT_TEST(a_segment_opens_again_under_its_own_name_only),
#ifdef ALB_FAULT
        SEGMENT_TEST(a_failed_group_leaves_nothing_and_seals),
        SEGMENT_TEST(a_page_the_disk_cannot_read_costs_that_page),
#endif
        SEGMENT_TEST(many_segments_keep_few_files_open),
        SEGMENT_TEST(readers_and_the_writer_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
