/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_batch.c – any set of positions has one spelling; items survive any division. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "support/gen.h"
#include "wire/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { ROUNDS = 300, ITEMS = 40, MOST = 200 };

static void any_set_of_positions_is_read_as_written(void **state)
{
    struct batch_request *in = xalloc(sizeof *in), *out = xalloc(sizeof *out);
    uint32_t positions[BATCH_ITEMS_MAX];
    struct gen g;

    (void)state;
    gen_init_from_env(&g);
    for (unsigned n = 0; n < ROUNDS; n++) {
        size_t count = gen_range(&g, 1, BATCH_ITEMS_MAX);
        uint64_t at = gen_skewed(&g, 1 << 20);
        struct buf b;

        for (size_t i = 0; i < count; i++) {
            positions[i] = (uint32_t)at;
            at += 1 + (gen_chance(&g, 1, 2) ? 0 : gen_skewed(&g, 1 << 20));
        }
        memset(in, 0, sizeof *in);
        memcpy(in->layer, "base", 5);
        in->list = gen_chance(&g, 1, 2) ? LIST_CONTENT : LIST_MANIFEST;
        assert_false(alb_failed(batch_request_set(in, positions, count)));
        assert_int_equal(batch_request_items(in), count);
        buf_init(&b, BATCH_REQUEST_MAX);
        assert_false(alb_failed(batch_request_encode(in, &b)));
        assert_string_equal(batch_request_decode(buf_peek(&b), buf_size(&b), out).what, "");
        assert_memory_equal(in, out, sizeof *in);
        buf_release(&b);
    }
    free(in);
    free(out);
}

static void make_item(struct gen *g, struct batch_item *item, uint8_t *bytes)
{
    *item = (struct batch_item){.status = (enum item_status)gen_range(g, ITEM_HIT, ITEM_FAILED)};
    if (item->status == ITEM_QUEUED) {
        item->line = (uint32_t)gen_skewed(g, UINT32_MAX);
        item->rate_bps = gen_skewed(g, UINT64_MAX);
        return;
    }
    item->position = (uint32_t)gen_skewed(g, UINT32_MAX);
    if (item->status != ITEM_HIT)
        return;
    item->size = gen_range(g, 1, MOST);
    item->bytes = bytes;
    gen_bytes(g, bytes, item->size);
}

/* Take all whole items from `in`, the next of which is number `next`. */
static size_t take_items(struct buf *in, const struct batch_item *items, size_t next)
{
    struct batch_item got;
    size_t used;

    for (;; next++) {
        assert_string_equal(batch_item_next(in, MOST, &got, &used).what, "");
        if (used == 0)
            return next;
        assert_true(next < ITEMS);
        assert_int_equal(got.status, items[next].status);
        assert_true(got.position == items[next].position && got.line == items[next].line);
        assert_true(got.rate_bps == items[next].rate_bps && got.size == items[next].size);
        if (got.size > 0)
            assert_memory_equal(got.bytes, items[next].bytes, got.size);
        buf_consume(in, used);
    }
}

static void items_survive_any_division(void **state)
{
    static uint8_t bytes[ITEMS][MOST];
    struct batch_item items[ITEMS];
    struct gen g;

    (void)state;
    gen_init_from_env(&g);
    for (unsigned n = 0; n < ROUNDS; n++) {
        struct buf all, in;
        size_t next = 0;

        buf_init(&all, 1 << 20);
        buf_init(&in, 1 << 20);
        for (size_t i = 0; i < ITEMS; i++) {
            make_item(&g, &items[i], bytes[i]);
            assert_false(alb_failed(batch_item_head(&items[i], &all)));
            assert_false(alb_failed(buf_append(&all, items[i].bytes, items[i].size)));
        }
        while (buf_size(&all) > 0) {
            size_t part = gen_range(&g, 1, gen_range(&g, 1, buf_size(&all)));

            assert_false(alb_failed(buf_append(&in, buf_peek(&all), part)));
            buf_consume(&all, part);
            next = take_items(&in, items, next);
        }
        assert_int_equal(next, ITEMS);
        assert_int_equal(buf_size(&in), 0);
        buf_release(&all);
        buf_release(&in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_set_of_positions_is_read_as_written),
        cmocka_unit_test(items_survive_any_division),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
