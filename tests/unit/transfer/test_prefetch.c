/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_prefetch.c – a child told to hold a version, over a simulated line that is
 * cut, with a store that is full, and what it says of that. */
/* LINKS: sim_world */
#include "support/child_stage.h"

#include <stdio.h>

#include "transfer/prefetch.h"
#include "wire/json.h"

#define ID "f0123456789abcdef"
enum { REPORTS_MOST = 256 };

struct duo {
    struct child_stage on;
    struct prefetcher *prefetcher;
    struct prefetch_report reports[REPORTS_MOST]; /* as the parent heard them */
    size_t report_count;
    char line[128]; /* the order */
};

static void hear(void *arg, struct serve_request *rq)
{
    struct duo *d = arg;
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);

    assert_true(d->report_count < REPORTS_MOST);
    assert_int_equal(prefetch_report_decode(body, size, &d->reports[d->report_count++]).code,
                     ALB_OK);
    serve_answer(rq, "application/json", "{}", 2);
}

static const char *line_word(void *arg)
{
    (void)arg;
    return "up";
}

static void start_prefetcher(struct duo *d)
{
    const struct child *c = &d->on.child;

    d->prefetcher = prefetcher_new(&(struct prefetcher_options){.loop = c->loop,
                                                                .upstream = c->upstream,
                                                                .roots = c->roots,
                                                                .supply = c->supply,
                                                                .device = "box",
                                                                .line = line_word});
}

static void start_child(struct duo *d, uint64_t quota_bytes)
{
    child_open(&d->on, quota_bytes);
    start_prefetcher(d);
}

static int set_up(void **state)
{
    struct duo *d = xalloc(sizeof *d);
    char hex[DIGEST_HEX_SIZE];

    child_stage_open(&d->on, "base/os");
    serve_set(d->on.parent.serve, ROUTE_PREFETCHED, hear, d);
    snprintf(d->line, sizeof d->line, "prefetch " ID " %s base/os",
             digest_hex(&d->on.version.record.root, hex));
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    struct duo *d = *state;

    d->prefetcher = prefetcher_free(d->prefetcher);
    child_stage_close(&d->on);
    free(d);
    return 0;
}

static void run_ms(struct duo *d, uint64_t ms)
{
    world_run(d->on.world, world_now_ns(d->on.world) + ms * NS_PER_MS);
}

static const struct prefetch_report *last(const struct duo *d)
{
    assert_true(d->report_count > 0);
    return &d->reports[d->report_count - 1];
}

static uint64_t received(struct duo *d)
{
    struct supply_stats stats;

    supply_stats(d->on.child.supply, &stats);
    return stats.fetch.received_bytes;
}

static void a_version_that_was_ordered_is_held_and_crossed_once(void **state)
{
    struct duo *d = *state;

    start_child(d, 0);
    run_ms(d, 2000);
    assert_false(prefetcher_hear(d->prefetcher, "wake AAAA"));
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 20000);
    assert_int_equal(last(d)->state, PREFETCH_HELD);
    assert_string_equal(last(d)->order, ID);
    assert_int_equal(last(d)->chunks, d->on.version.count);
    assert_int_equal(last(d)->chunks_here, d->on.version.count);
    assert_true(last(d)->bytes_here == last(d)->bytes && last(d)->bytes >= 3 << 20);
    assert_int_equal(received(d), d->on.version.stored_bytes);
    assert_true(d->report_count >= 4); /* 2.5 s on that line: it told how far it was */
    assert_int_equal(d->reports[0].state, PREFETCH_FETCHING);
}

static void an_order_said_again_costs_the_line_nothing(void **state)
{
    struct duo *d = *state;

    start_child(d, 0);
    run_ms(d, 2000);
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 20000);
    d->report_count = 0;
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 5000);
    assert_int_equal(last(d)->state, PREFETCH_HELD);
    d->line[sizeof "prefetch f" - 1] = '9'; /* another order for the same */
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 5000);
    assert_int_equal(last(d)->state, PREFETCH_HELD);
    assert_string_not_equal(last(d)->order, ID);
    assert_int_equal(last(d)->fetched_bytes, 0);
    assert_int_equal(received(d), d->on.version.stored_bytes);
}

static void a_line_that_is_cut_delays_it_and_what_came_stays(void **state)
{
    struct duo *d = *state;

    start_child(d, 0);
    run_ms(d, 2000);
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 1200);
    world_link_set_up(d->on.wan, false);
    run_ms(d, 60000);
    assert_int_not_equal(last(d)->state, PREFETCH_HELD);
    world_link_set_up(d->on.wan, true);
    run_ms(d, 60000);
    assert_int_equal(last(d)->state, PREFETCH_HELD);
    assert_true(received(d) <= d->on.version.stored_bytes + (1 << 20));
}

static void a_box_that_begins_anew_goes_on_from_its_store(void **state)
{
    struct duo *d = *state;
    struct child *c = &d->on.child;

    start_child(d, 0);
    run_ms(d, 2000);
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 1500);
    const uint64_t before = received(d);
    assert_in_range(before, 1, d->on.version.stored_bytes - 1);
    d->prefetcher = prefetcher_free(d->prefetcher);
    c->roots = root_book_free(c->roots);
    c->records = record_book_free(c->records);
    c->supply = supply_free(c->supply);
    c->upstream = upstream_free(c->upstream);
    run_ms(d, 5000);
    c->keeper = keeper_free(c->keeper);
    child_start(c);
    start_prefetcher(d);
    run_ms(d, 5000);
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 20000);
    assert_int_equal(last(d)->state, PREFETCH_HELD);
    assert_true(received(d) < d->on.version.stored_bytes);
    assert_true(before + received(d) <= d->on.version.stored_bytes + (1 << 20));
}

static void a_store_without_room_is_said_at_once_and_not_filled_in_vain(void **state)
{
    struct duo *d = *state;

    start_child(d, 1 << 20);
    run_ms(d, 2000);
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 30000);
    assert_int_equal(last(d)->state, PREFETCH_FAILED);
    assert_non_null(strstr(last(d)->why, "its store takes no more chunks"));
    assert_true(received(d) <= d->on.version.stored_bytes);
}

static void a_version_that_is_not_to_be_had_fails_and_the_next_order_runs(void **state)
{
    struct duo *d = *state;
    char wrong[128];

    start_child(d, 0);
    run_ms(d, 2000);
    snprintf(wrong, sizeof wrong, "prefetch faaaaaaaaaaaaaaaa %064x base/os", 7);
    assert_true(prefetcher_hear(d->prefetcher, wrong));
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 60000);
    size_t failed = 0;
    for (size_t i = 0; i < d->report_count; i++)
        failed += d->reports[i].state == PREFETCH_FAILED &&
                  strcmp(d->reports[i].order, "faaaaaaaaaaaaaaaa") == 0;
    assert_true(failed > 0);
    assert_int_equal(last(d)->state, PREFETCH_HELD);
}

static void an_order_that_ended_is_forgotten_and_more_than_16_are_refused(void **state)
{
    struct duo *d = *state;
    struct prefetcher_figures f;
    char line[128];

    start_child(d, 0);
    for (unsigned i = 0; i < PREFETCH_ORDERS + 3; i++) { /* the line is not up yet: all wait */
        snprintf(line, sizeof line, "prefetch f%016x%s", i, d->line + sizeof "prefetch " ID - 1);
        assert_true(prefetcher_hear(d->prefetcher, line));
    }
    prefetcher_figures(d->prefetcher, &f);
    assert_int_equal(f.open, PREFETCH_ORDERS);
    assert_int_equal(f.refused, 3);
    for (unsigned i = 0; i < PREFETCH_ORDERS; i++) {
        snprintf(line, sizeof line, "prefetch-end f%016x", i);
        assert_true(prefetcher_hear(d->prefetcher, line));
    }
    prefetcher_figures(d->prefetcher, &f);
    assert_int_equal(f.open, 0);
    run_ms(d, 20000);
    assert_true(received(d) < 4096); /* a root object at most, asked for by the first */
}

static void orders_that_are_said_again_do_not_outgrow_the_16_that_may_wait(void **state)
{
    /* As many as are remembered; the same once more, the refused among them; and others. */
    static const unsigned first[] = {0, 0, 2 * PREFETCH_ORDERS, 4 * PREFETCH_ORDERS};
    struct duo *d = *state;
    struct prefetcher_figures f;
    char line[128];

    start_child(d, 0);
    for (size_t turn = 0; turn < ALB_COUNT(first); turn++)
        for (unsigned i = 0; i < 2 * PREFETCH_ORDERS; i++) {
            snprintf(line, sizeof line, "prefetch f%016x%s", first[turn] + i,
                     d->line + sizeof "prefetch " ID - 1);
            assert_true(prefetcher_hear(d->prefetcher, line));
            prefetcher_figures(d->prefetcher, &f);
            assert_in_range(f.open, 1, PREFETCH_ORDERS);
        }
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    prefetcher_show(d->prefetcher, w);
    json_end(w);
    struct buf text;
    struct json_doc *doc = NULL;
    buf_init(&text, 64 << 10);
    assert_int_equal(json_writer_finish(w, &text).code, ALB_OK);
    assert_int_equal(json_doc_parse(buf_peek(&text), buf_size(&text), &doc).code, ALB_OK);
    assert_int_equal(json_doc_count(doc, "prefetch.orders"), 2 * PREFETCH_ORDERS);
    json_doc_free(doc);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_version_that_was_ordered_is_held_and_crossed_once),
        TEST(an_order_said_again_costs_the_line_nothing),
        TEST(a_line_that_is_cut_delays_it_and_what_came_stays),
        TEST(a_box_that_begins_anew_goes_on_from_its_store),
        TEST(a_store_without_room_is_said_at_once_and_not_filled_in_vain),
        TEST(a_version_that_is_not_to_be_had_fails_and_the_next_order_runs),
        TEST(an_order_that_ended_is_forgotten_and_more_than_16_are_refused),
        TEST(orders_that_are_said_again_do_not_outgrow_the_16_that_may_wait),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
