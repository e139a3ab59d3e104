/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_batch.c – requests by position, items in any order, sets of positions, uploads. */
#include "support/wire_fixture.h"

#include "wire/batch.h"

static struct batch_request *request_sample(void)
{
    static const uint32_t POSITIONS[] = {3, 4, 5, 9, 1000};
    struct batch_request *r = xalloc(sizeof *r);

    memcpy(r->layer, "base/x", 7);
    memset(&r->root, 0xcc, sizeof r->root);
    r->list = LIST_CONTENT;
    assert_ok(batch_request_set(r, POSITIONS, 5));
    return r;
}

static void a_request_keeps_its_runs(void **state)
{
    AUTO_FREE struct batch_request *in = request_sample();
    AUTO_FREE struct batch_request *out = xalloc(sizeof *out);
    struct buf b;

    (void)state;
    assert_int_equal(in->run_count, 3);
    assert_int_equal(batch_request_items(in), 5);
    buf_init(&b, BATCH_REQUEST_MAX);
    assert_ok(batch_request_encode(in, &b));
    assert_ok(batch_request_decode(buf_peek(&b), buf_size(&b), out));
    assert_memory_equal(in, out, sizeof *in);
    for (size_t i = 0; i < buf_size(&b); i++)
        assert_int_equal(batch_request_decode(buf_peek(&b), i, out).code, ALB_CORRUPT);
    buf_release(&b);
}

static void positions_must_ascend_and_be_few(void **state)
{
    static const uint32_t TWICE[] = {1, 1}, DOWN[] = {2, 1};
    AUTO_FREE struct batch_request *r = xalloc(sizeof *r);
    uint32_t many[BATCH_ITEMS_MAX + 1];
    struct buf b;

    (void)state;
    for (uint32_t i = 0; i < BATCH_ITEMS_MAX + 1; i++)
        many[i] = 2 * i;
    assert_says(batch_request_set(r, TWICE, 2), ALB_INVALID,
                "positions of a batch must be ascending");
    assert_says(batch_request_set(r, DOWN, 2), ALB_INVALID,
                "positions of a batch must be ascending");
    assert_says(batch_request_set(r, many, BATCH_ITEMS_MAX + 1), ALB_INVALID,
                "a batch asks for more than 256 chunks");
    assert_ok(batch_request_set(r, many, BATCH_ITEMS_MAX));
    memcpy(r->layer, "base", 5);
    r->list = LIST_MANIFEST;
    buf_init(&b, BATCH_REQUEST_MAX);
    assert_ok(batch_request_encode(r, &b));
    buf_release(&b);
}

static void requests_that_make_no_sense_are_not_made(void **state)
{
    AUTO_FREE struct batch_request *r = request_sample();
    struct buf b;

    (void)state;
    buf_init(&b, BATCH_REQUEST_MAX);
    r->runs[0].count = 300;
    assert_says(batch_request_encode(r, &b), ALB_INVALID, "a batch asks for more than 256 chunks");
    r->run_count = 0;
    assert_says(batch_request_encode(r, &b), ALB_INVALID, "a batch asks for nothing");
    r->run_count = 2;
    r->runs[0] = (struct batch_run){3, 2};
    r->runs[1] = (struct batch_run){5, 1}; /* touches: one run in two pieces */
    assert_says(batch_request_encode(r, &b), ALB_INVALID, "positions are not in ascending runs");
    r->list = LIST_ROOT;
    assert_says(batch_request_encode(r, &b), ALB_INVALID, "list R has only position 0");
    buf_clear(&b);
    r->run_count = 1;
    r->runs[0] = (struct batch_run){0, 1};
    assert_ok(batch_request_encode(r, &b));
    r->layer[0] = '/';
    assert_int_equal(batch_request_encode(r, &b).code, ALB_INVALID);
    buf_release(&b);
}

#define DIGEST_TEXT "\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc"
#define FRONT "\1\4base" DIGEST_TEXT DIGEST_TEXT

static void each_wrong_request_hears_what_is_wrong(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } cases[] = {
        {"\2", 1, "batch request format is not known to this program"},
        {"\1\4Base", 6, NULL},
        {FRONT "\4\1\0\0", 42, "a request names none of the lists M, C and R"},
        {FRONT "\2\0", 40, "a batch asks for nothing"},
        {FRONT "\2\1\0\x80\2", 43, "a batch asks for more than 256 chunks"},
        {FRONT "\2\1\xff\xff\xff\xff\xf\0", 46, "a position is beyond the end of its list"},
        {FRONT "\2\2\xfe\xff\xff\xff\xf\0\0\0", 48, "a position is beyond the end of its list"},
        {FRONT "\3\1\1\0", 42, "list R has only position 0"},
        {FRONT "\2\1\0\0\0", 43, "bytes are left over at the end"},
    };
    AUTO_FREE struct batch_request *out = xalloc(sizeof *out);

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        struct alb_status st = batch_request_decode(cases[i].bytes, cases[i].size, out);

        assert_int_equal(st.code, ALB_CORRUPT);
        if (cases[i].says != NULL)
            assert_string_equal(st.what, cases[i].says);
    }
    assert_says(batch_request_decode(FRONT, BATCH_REQUEST_MAX + 1, out), ALB_CORRUPT,
                "a batch request is longer than 8 KiB");
}

/* Items as a sender makes them: heads by us, a hit's bytes behind. */
static void items_arrive_byte_by_byte(void **state)
{
    static const struct batch_item ITEMS[] = {
        {.status = ITEM_HIT, .position = 300, .bytes = (const uint8_t *)"frame", .size = 5},
        {.status = ITEM_MISSING, .position = 7},
        {.status = ITEM_QUEUED, .line = 12, .rate_bps = UINT64_MAX},
        {.status = ITEM_FAILED, .position = UINT32_MAX},
    };
    struct buf all, in;
    size_t next = 0, used;

    (void)state;
    buf_init(&all, 1000);
    buf_init(&in, 1000);
    for (size_t i = 0; i < ALB_COUNT(ITEMS); i++) {
        size_t before = buf_size(&all);

        assert_ok(batch_item_head(&ITEMS[i], &all));
        assert_true(buf_size(&all) - before <= BATCH_ITEM_OVERHEAD);
        if (ITEMS[i].status == ITEM_HIT)
            assert_ok(buf_append(&all, ITEMS[i].bytes, ITEMS[i].size));
    }
    for (size_t i = 0; i < buf_size(&all); i++) {
        struct batch_item item;

        assert_ok(buf_append(&in, buf_peek(&all) + i, 1));
        assert_ok(batch_item_next(&in, 5, &item, &used));
        if (used == 0)
            continue;
        assert_int_equal(used, buf_size(&in));
        assert_int_equal(item.status, ITEMS[next].status);
        assert_true(item.position == ITEMS[next].position && item.line == ITEMS[next].line);
        assert_true(item.rate_bps == ITEMS[next].rate_bps && item.size == ITEMS[next].size);
        if (item.size > 0)
            assert_memory_equal(item.bytes, ITEMS[next].bytes, item.size);
        buf_consume(&in, used);
        next++;
    }
    assert_int_equal(next, ALB_COUNT(ITEMS));
    buf_release(&all);
    buf_release(&in);
}

static void what_cannot_be_an_item_is_refused_at_once(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } cases[] = {
        {"\0", 1, "an item's status is not known to this program"},
        {"\5", 1, "an item's status is not known to this program"},
        {"\1\0\6", 3, "an item's chunk is empty or larger than it may be"},
        {"\1\0\0", 3, "an item's chunk is empty or larger than it may be"},
        {"\2\x80\0", 3, "a number is spelled longer than needed"},
        {"\2\xff\xff\xff\xff\x1f", 6, "a number is larger than allowed"},
        {"\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, "a number does not fit 64 bits"},
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        struct batch_item item;
        struct buf in;
        size_t used;

        buf_init(&in, 100);
        assert_ok(buf_append(&in, cases[i].bytes, cases[i].size));
        assert_says(batch_item_next(&in, 5, &item, &used), ALB_CORRUPT, cases[i].says);
        buf_release(&in);
    }
}

static void a_set_of_positions_stays_below_its_limit(void **state)
{
    static const struct batch_run RUNS[] = {{0, 1}, {2, 3}, {100, 900}};
    struct batch_run *out;
    size_t count;
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_ok(runs_encode(RUNS, 3, &b));
    assert_ok(runs_decode(buf_peek(&b), buf_size(&b), 1000, &out, &count));
    assert_int_equal(count, 3);
    assert_memory_equal(out, RUNS, sizeof RUNS);
    free(out);
    assert_says(runs_decode(buf_peek(&b), buf_size(&b), 999, &out, &count), ALB_CORRUPT,
                "a position is beyond the end of its list");
    buf_clear(&b);
    assert_ok(runs_encode(NULL, 0, &b));
    assert_ok(runs_decode(buf_peek(&b), buf_size(&b), 0, &out, &count));
    assert_int_equal(count, 0);
    free(out);
    assert_says(runs_decode("\x7f\0\0", 3, 1000, &out, &count), ALB_CORRUPT,
                "a number is larger than allowed");
    buf_release(&b);
}

static void an_upload_is_opened_by_layer_root_and_items(void **state)
{
    struct upload_open in = {.layer = "base",
                             .root = (const uint8_t *)"root",
                             .root_size = 4,
                             .items = (const uint8_t *)"items",
                             .items_size = 5};
    struct upload_open out;
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_ok(upload_open_encode(&in, &b));
    assert_ok(upload_open_decode(buf_peek(&b), buf_size(&b), &out));
    assert_string_equal(out.layer, "base");
    assert_int_equal(out.root_size, 4);
    assert_memory_equal(out.root, "root", 4);
    assert_int_equal(out.items_size, 5);
    assert_memory_equal(out.items, "items", 5);
    assert_int_equal(upload_open_decode(buf_peek(&b), 10, &out).code, ALB_CORRUPT);
    b.bytes[0] = 2;
    assert_says(upload_open_decode(buf_peek(&b), buf_size(&b), &out), ALB_CORRUPT,
                "upload format is not known to this program");
    in.layer[0] = '\0';
    assert_int_equal(upload_open_encode(&in, &b).code, ALB_INVALID);
    buf_release(&b);
}

static void an_upload_is_answered_by_its_id_and_what_it_lacks(void **state)
{
    static const char *const SAYS[] = {"upload answer format is not known to this program",
                                       "input ends too early"};
    struct upload_answer out;

    (void)state;
    assert_ok(upload_answer_decode("\1\2id\1\7\1", 7, 9, &out));
    assert_string_equal(out.id, "id");
    assert_int_equal(out.run_count, 1);
    assert_true(out.runs[0].first == 7 && out.runs[0].count == 2);
    upload_answer_release(&out);
    assert_says(upload_answer_decode("\2\2id\1\7\1", 7, 9, &out), ALB_CORRUPT, SAYS[0]);
    assert_says(upload_answer_decode("\1\2i", 3, 9, &out), ALB_CORRUPT, SAYS[1]);
    assert_says(upload_answer_decode("\1\2id\1\7\1", 7, 8, &out), ALB_CORRUPT,
                "a position is beyond the end of its list");
    assert_says(upload_answer_decode("\1\2id\1\7\1\0", 8, 9, &out), ALB_CORRUPT,
                "bytes are left over at the end");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_keeps_its_runs),
        cmocka_unit_test(positions_must_ascend_and_be_few),
        cmocka_unit_test(requests_that_make_no_sense_are_not_made),
        cmocka_unit_test(each_wrong_request_hears_what_is_wrong),
        cmocka_unit_test(items_arrive_byte_by_byte),
        cmocka_unit_test(what_cannot_be_an_item_is_refused_at_once),
        cmocka_unit_test(a_set_of_positions_stays_below_its_limit),
        cmocka_unit_test(an_upload_is_opened_by_layer_root_and_items),
        cmocka_unit_test(an_upload_is_answered_by_its_id_and_what_it_lacks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
