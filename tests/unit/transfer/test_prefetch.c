/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_prefetch.c – a child told to hold a version, over a simulated line that is
 * cut, with a store that is full, and what it says of that. */
/* LINKS: sim_world */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "sim/cast_holder.h"
#include "transfer/own_grant.h"
#include "transfer/prefetch.h"
#include "wire/json.h"

#define ID "f0123456789abcdef"
enum { REPORTS_MOST = 256 };

struct duo {
    struct world *world;
    struct world_link *wan;
    struct cast_holder parent;
    struct cast_version version;
    struct loop *loop;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct authority *authority;
    struct own_grant grant;
    struct upstream *upstream;
    struct keeper *keeper;
    struct supply *supply;
    struct record_book *records;
    struct root_book *roots;
    struct prefetcher *prefetcher;
    struct prefetch_report reports[REPORTS_MOST]; /* as the parent heard them */
    size_t report_count;
    char line[128]; /* the order */
};

static void ignore_event(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

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

static void start_books(struct duo *d)
{
    d->upstream = upstream_new(&(struct upstream_options){.loop = d->loop,
                                                          .places = {{"hub", CAST_PORT}},
                                                          .place_count = 1,
                                                          .wants_grant = true,
                                                          .wants_events = true,
                                                          .arg = &d->grant,
                                                          .granted = own_grant_judge,
                                                          .event = ignore_event});
    authority_follow(d->authority, d->upstream, NULL, NULL);
    d->keeper = keeper_new(d->loop, d->store, 64 << 20);
    d->supply = supply_new(&(struct supply_options){
        .loop = d->loop, .store = d->store, .keeper = d->keeper, .upstream = d->upstream});
    d->records = record_book_new(&(struct record_book_options){.loop = d->loop,
                                                               .catalogue = d->catalogue,
                                                               .authority = d->authority,
                                                               .upstream = d->upstream});
    d->roots = root_book_new(&(struct root_book_options){
        .loop = d->loop, .records = d->records, .supply = d->supply, .authority = d->authority});
    d->prefetcher = prefetcher_new(&(struct prefetcher_options){.loop = d->loop,
                                                                .upstream = d->upstream,
                                                                .roots = d->roots,
                                                                .supply = d->supply,
                                                                .device = "box",
                                                                .line = line_word});
}

static void start_child(struct duo *d, uint64_t quota_bytes)
{
    d->store = ram_chunk_store_new(&(struct ram_options){.quota_bytes = quota_bytes});
    d->catalogue = ram_catalogue_new(&(struct ram_options){0});
    assert_int_equal(authority_open(&(struct authority_options){.loop = d->loop,
                                                                .catalogue = d->catalogue,
                                                                .pin = &d->parent.trust_pin},
                                    &d->authority)
                         .code,
                     ALB_OK);
    d->grant = (struct own_grant){
        .loop = d->loop, .catalogue = d->catalogue, .authority = d->authority, .device = "box"};
    own_grant_init(&d->grant);
    start_books(d);
    /* The first trust file comes with enrolment, not over an unproven line. */
    assert_int_equal(authority_add_trust(d->authority, buf_peek(&d->parent.trust_bytes),
                                         buf_size(&d->parent.trust_bytes))
                         .code,
                     ALB_OK);
}

static int set_up(void **state)
{
    static const struct identity hub_id = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    static const struct identity box_id = {
        .role = ROLE_REFLECTOR, .org = "acme", .device = "box", .serial = "01"};
    struct duo *d = xalloc(sizeof *d);
    char hex[DIGEST_HEX_SIZE];

    d->world = world_new(1);
    struct loop *hub = world_add_node(d->world, "hub", &hub_id);
    d->loop = world_add_node(d->world, "box", &box_id);
    d->wan = world_add_link(d->world, "wan", 1250 * 1000, 20 * NS_PER_MS);
    world_route(d->world, hub, d->loop, &d->wan, 1);
    cast_holder_start(&d->parent, hub);
    serve_set(d->parent.serve, ROUTE_PREFETCHED, hear, d);
    const struct cast_order order = cast_holder_order(&d->parent, "base/os", 1, 3 << 20);
    cast_version_make(&order, &d->version);
    cast_holder_publish(&d->parent, &d->version, 1);
    snprintf(d->line, sizeof d->line, "prefetch " ID " %s base/os",
             digest_hex(&d->version.record.root, hex));
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    struct duo *d = *state;

    d->prefetcher = prefetcher_free(d->prefetcher);
    d->roots = root_book_free(d->roots);
    d->records = record_book_free(d->records);
    d->supply = supply_free(d->supply);
    d->authority = authority_close(d->authority);
    d->upstream = upstream_free(d->upstream);
    d->keeper = keeper_free(d->keeper);
    own_grant_release(&d->grant);
    cast_holder_stop(&d->parent);
    world_run(d->world, world_now_ns(d->world) + 60 * NS_PER_S);
    world_free(d->world);
    chunk_store_close(d->store);
    catalogue_close(d->catalogue);
    cast_holder_release(&d->parent);
    cast_version_release(&d->version);
    free(d);
    return 0;
}

static void run_ms(struct duo *d, uint64_t ms)
{
    world_run(d->world, world_now_ns(d->world) + ms * NS_PER_MS);
}

static const struct prefetch_report *last(const struct duo *d)
{
    assert_true(d->report_count > 0);
    return &d->reports[d->report_count - 1];
}

static uint64_t received(struct duo *d)
{
    struct supply_stats stats;

    supply_stats(d->supply, &stats);
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
    assert_int_equal(last(d)->chunks, d->version.count);
    assert_int_equal(last(d)->chunks_here, d->version.count);
    assert_true(last(d)->bytes_here == last(d)->bytes && last(d)->bytes >= 3 << 20);
    assert_int_equal(received(d), d->version.stored_bytes);
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
    assert_int_equal(received(d), d->version.stored_bytes);
}

static void a_line_that_is_cut_delays_it_and_what_came_stays(void **state)
{
    struct duo *d = *state;

    start_child(d, 0);
    run_ms(d, 2000);
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 1200);
    world_link_set_up(d->wan, false);
    run_ms(d, 60000);
    assert_int_not_equal(last(d)->state, PREFETCH_HELD);
    world_link_set_up(d->wan, true);
    run_ms(d, 60000);
    assert_int_equal(last(d)->state, PREFETCH_HELD);
    assert_true(received(d) <= d->version.stored_bytes + (1 << 20));
}

static void a_box_that_begins_anew_goes_on_from_its_store(void **state)
{
    struct duo *d = *state;

    start_child(d, 0);
    run_ms(d, 2000);
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 1500);
    const uint64_t before = received(d);
    assert_in_range(before, 1, d->version.stored_bytes - 1);
    d->prefetcher = prefetcher_free(d->prefetcher);
    d->roots = root_book_free(d->roots);
    d->records = record_book_free(d->records);
    d->supply = supply_free(d->supply);
    d->upstream = upstream_free(d->upstream);
    run_ms(d, 5000);
    d->keeper = keeper_free(d->keeper);
    start_books(d);
    run_ms(d, 5000);
    assert_true(prefetcher_hear(d->prefetcher, d->line));
    run_ms(d, 20000);
    assert_int_equal(last(d)->state, PREFETCH_HELD);
    assert_true(received(d) < d->version.stored_bytes);
    assert_true(before + received(d) <= d->version.stored_bytes + (1 << 20));
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
    assert_true(received(d) <= d->version.stored_bytes);
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
    enum { MOST = 3 * PREFETCH_ORDERS };
    struct duo *d = *state;
    struct prefetcher_figures f;
    char line[128];

    start_child(d, 0);
    for (unsigned turn = 0; turn < 3; turn++)
        for (unsigned i = 0; i < MOST; i++) {
            snprintf(line, sizeof line, "prefetch f%016x%s", i,
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
