/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_puller.c – a pull over a simulated link, into a sink that counts and fails on
 * demand. */
/* LINKS: sim_world */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "client/endpoint.h"
#include "client/puller.h"
#include "sim/cast_holder.h"
#include "transfer/supply.h"

#define NS_PER_MICRO UINT64_C(1000)

enum { SIZE = 6 << 20, ROUNDS = 3, FAR = 60 };

static const size_t units_of_round[ROUNDS] = {0, 7, 2};

/* A sink without a disk. */
struct basin {
    struct chunk_sink sink;
    struct chunk_key *keys; /* of list C */
    unsigned char *got;     /* how often each position was put */
    size_t count, puts, units_run, plans, seals;
    unsigned prepared;      /* rounds */
    size_t fail_unit;       /* from 1; 0: none */
    size_t fail_put;        /* from 1; 0: none */
    unsigned changed_seals; /* so many seals find that a local source changed */
    bool is_closed;         /* done() was called: nobody may come any more */
};

struct scene {
    struct world *world;
    struct world_link *link;
    struct cast_holder parent;
    struct cast_version versions[2];
    struct loop *loop;
    struct catalogue *catalogue;
    struct endpoint *endpoint;
    struct basin basin;
    struct puller *puller;
    struct puller_progress last;
    unsigned told;
    struct alb_status st;
};

static void must(struct alb_status st)
{
    assert_int_equal(st.code, ALB_OK);
}

/* ---- the sink ---- */

static struct basin *basin_of(struct chunk_sink *s)
{
    struct basin *b = ALB_CONTAINER(s, struct basin, sink);

    assert_false(b->is_closed);
    return b;
}

static struct alb_status basin_prepare(struct chunk_sink *s, const struct root_view *view,
                                       unsigned round, size_t *units)
{
    struct basin *b = basin_of(s);
    size_t before = 0;

    assert_non_null(view->manifest);
    assert_int_equal(round, b->prepared);
    for (unsigned i = 0; i < round; i++)
        before += units_of_round[i];
    assert_int_equal(b->units_run, before); /* the earlier rounds are over */
    b->prepared++;
    *units = units_of_round[round];
    return ALB_STATUS_OK;
}

static struct alb_status basin_unit(struct chunk_sink *s, unsigned round, size_t unit)
{
    struct basin *b = basin_of(s);

    assert_int_equal(round + 1, b->prepared);
    assert_true(unit < units_of_round[round]);
    b->units_run++;
    return b->units_run == b->fail_unit ? alb_fail(ALB_IO, "unit") : ALB_STATUS_OK;
}

static struct alb_status basin_plan(struct chunk_sink *s, const struct root_view *view,
                                    uint32_t **positions, size_t *count)
{
    struct basin *b = basin_of(s);

    if (b->plans++ == 0) {
        b->count = view->content_key_count;
        b->keys = xcalloc(b->count, sizeof *b->keys);
        b->got = xcalloc(b->count, 1);
        memcpy(b->keys, view->content_keys, b->count * sizeof *b->keys);
    }
    *count = 0;
    *positions = xcalloc(b->count, sizeof **positions);
    for (size_t i = 0; i < b->count; i++)
        if (b->plans == 1 || i == 3) /* later plans: a local source of that one changed */
            (*positions)[(*count)++] = (uint32_t)i;
    return ALB_STATUS_OK;
}

static struct alb_status basin_put(struct chunk_sink *s, uint32_t position,
                                   const struct chunk *chunk)
{
    struct basin *b = basin_of(s);

    assert_true(chunk_key_equal(&chunk->key, &b->keys[position]));
    b->got[position]++;
    return ++b->puts == b->fail_put ? (struct alb_status){ALB_FULL, ENOSPC, "put"} : ALB_STATUS_OK;
}

static struct alb_status basin_seal(struct chunk_sink *s)
{
    struct basin *b = basin_of(s);

    return b->seals++ < b->changed_seals ? alb_fail(ALB_NOT_FOUND, "changed") : ALB_STATUS_OK;
}

static const struct chunk_sink_ops plain_ops = {
    .plan = basin_plan, .put = basin_put, .seal = basin_seal};
static const struct chunk_sink_ops prepared_ops = {.rounds = ROUNDS,
                                                   .prepare = basin_prepare,
                                                   .prepare_unit = basin_unit,
                                                   .plan = basin_plan,
                                                   .put = basin_put,
                                                   .seal = basin_seal};

static void basin_clear(struct basin *b)
{
    free(b->keys);
    free(b->got);
    *b = (struct basin){.sink.ops = &plain_ops};
}

/* ---- the scene ---- */

static void start_endpoint(struct scene *s)
{
    struct endpoint_options options = {.loop = s->loop,
                                       .line = LINE_IS_LAN,
                                       .catalogue = s->catalogue,
                                       .parents = {{"hub", CAST_PORT}},
                                       .parent_count = 1,
                                       .device = "laptop",
                                       .trust_pin = &s->parent.trust_pin};

    must(endpoint_start(&options, &s->endpoint));
}

static int set_up(void **state)
{
    struct scene *s = xalloc(sizeof *s);
    struct identity hub = {.role = ROLE_HUB};
    struct identity laptop = {.role = ROLE_ENDPOINT, .org = "acme", .device = "laptop"};

    log_install(NULL, NULL, LOG_ERROR);
    s->world = world_new(7);
    struct loop *loop = world_add_node(s->world, "hub", &hub);
    s->loop = world_add_node(s->world, "laptop", &laptop);
    s->link = world_add_link(s->world, "lan", 4 << 20, NS_PER_MS);
    world_route(s->world, loop, s->loop, &s->link, 1);
    cast_holder_start(&s->parent, loop);
    for (uint64_t i = 0; i < 2; i++) {
        struct cast_order order = cast_holder_order(&s->parent, "base/os", i + 1, SIZE);
        cast_version_make(&order, &s->versions[i]);
        cast_holder_publish(&s->parent, &s->versions[i], i + 1);
    }
    s->catalogue = ram_catalogue_new(&(struct ram_options){0});
    must(catalogue_swap(s->catalogue, "trust/1", CATALOGUE_ABSENT, buf_peek(&s->parent.trust_bytes),
                        buf_size(&s->parent.trust_bytes), NULL));
    start_endpoint(s);
    basin_clear(&s->basin);
    *state = s;
    return 0;
}

static void run_ms(struct scene *s, uint64_t ms)
{
    world_run(s->world, world_now_ns(s->world) + ms * NS_PER_MS);
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    s->puller = puller_free(s->puller);
    s->endpoint = endpoint_free(s->endpoint);
    cast_holder_stop(&s->parent);
    run_ms(s, 20000);
    world_free(s->world);
    cast_holder_release(&s->parent);
    catalogue_close(s->catalogue);
    basin_clear(&s->basin);
    for (size_t i = 0; i < 2; i++)
        cast_version_release(&s->versions[i]);
    free(s);
    return 0;
}

static void on_done(void *arg, struct alb_status st)
{
    struct scene *s = arg;

    s->told++;
    s->st = st;
    s->basin.is_closed = true;
    puller_progress(s->puller, &s->last);
}

static void start_with(struct scene *s, struct puller_options options)
{
    s->puller = puller_free(s->puller);
    s->told = 0;
    s->basin.is_closed = false;
    options.loop = s->loop;
    options.authority = endpoint_authority(s->endpoint);
    options.records = endpoint_records(s->endpoint);
    options.roots = endpoint_roots(s->endpoint);
    options.supply = endpoint_supply(s->endpoint);
    options.sink = &s->basin.sink;
    options.layer = options.layer != NULL ? options.layer : "base/os";
    options.done = on_done;
    options.arg = s;
    s->puller = puller_start(&options);
    assert_int_equal(s->told, 0); /* never from inside */
}

static bool is_told(void *arg)
{
    return ((struct scene *)arg)->told > 0;
}

static struct alb_status wait_s(struct scene *s, uint64_t seconds)
{
    assert_true(world_run_until(s->world, world_now_ns(s->world) + seconds * NS_PER_S, is_told, s));
    run_ms(s, 3000); /* and nothing comes behind it */
    assert_int_equal(s->told, 1);
    return s->st;
}

static struct alb_status pull(struct scene *s, struct puller_options options)
{
    start_with(s, options);
    return wait_s(s, FAR);
}

static void assert_each_put_once(const struct basin *b)
{
    assert_true(b->count > 10);
    assert_int_equal(b->puts, b->count);
    for (size_t i = 0; i < b->count; i++)
        assert_int_equal(b->got[i], 1);
}

static bool is_in_state(struct scene *s, enum puller_state state)
{
    struct puller_progress now;

    puller_progress(s->puller, &now);
    return now.state == state;
}

/* ---- what is pulled ---- */

static void the_latest_version_comes_whole_and_each_chunk_once(void **state)
{
    struct scene *s = *state;

    must(pull(s, (struct puller_options){0}));
    assert_each_put_once(&s->basin);
    assert_int_equal(puller_record(s->puller)->sequence, 2);
    assert_int_equal(s->last.put, s->basin.count);
    assert_int_equal(s->last.needed, s->basin.count);
    assert_int_equal(s->last.put_raw_bytes, SIZE);
    assert_int_equal(s->last.needed_raw_bytes, SIZE);
    assert_true(s->last.put_bytes > 0 && s->last.put_bytes < SIZE);
    assert_int_equal(s->last.ended_in, PULL_FINISHED);
}

static void a_version_that_is_named_comes_and_an_older_one_only_when_allowed(void **state)
{
    struct scene *s = *state;

    must(pull(s, (struct puller_options){.version = "1", .least_sequence = 1}));
    assert_int_equal(puller_record(s->puller)->sequence, 1);
    basin_clear(&s->basin);
    assert_int_equal(pull(s, (struct puller_options){.version = "1", .least_sequence = 2}).code,
                     ALB_REFUSED);
    assert_int_equal(s->last.refusal, PULL_ROLLBACK);
    assert_int_equal(s->last.ended_in, PULL_RECORD);
    assert_int_equal(s->basin.plans, 0);
    must(pull(
        s, (struct puller_options){.version = "1", .least_sequence = 2, .allow_rollback = true}));
}

static void a_layer_or_version_that_is_not_there_is_not_found(void **state)
{
    struct scene *s = *state;

    assert_int_equal(pull(s, (struct puller_options){.layer = "base/none"}).code, ALB_NOT_FOUND);
    assert_int_equal(s->last.ended_in, PULL_HEAD);
    assert_int_equal(pull(s, (struct puller_options){.version = "9"}).code, ALB_NOT_FOUND);
    assert_int_equal(s->last.ended_in, PULL_RECORD);
    assert_int_equal(s->last.refusal, PULL_NOT_REFUSED);
}

static void let_head_expire(struct scene *s)
{
    const struct buf *record = &s->versions[1].record_bytes;
    struct head head = {.org = "acme", .layer = "base/os", .sequence = 3};
    struct buf bytes;

    sha256(buf_peek(record), buf_size(record), &head.record);
    head.expires_wall_s = loop_wall_s(s->loop) - 10;
    head.issued_wall_s = head.expires_wall_s - 100;
    buf_init(&bytes, SIGNED_MAX);
    must(head_encode(&head, &s->parent.hub_key, &bytes));
    must(catalogue_swap(s->parent.catalogue, "head/base/os", CATALOGUE_ANY, buf_peek(&bytes),
                        buf_size(&bytes), NULL));
    buf_release(&bytes);
}

static void an_expired_head_stops_the_latest_but_no_version_that_is_named(void **state)
{
    struct scene *s = *state;

    let_head_expire(s);
    assert_int_equal(pull(s, (struct puller_options){.is_patient = true}).code, ALB_TIMEOUT);
    assert_int_equal(s->last.refusal, PULL_HEAD_EXPIRED);
    assert_int_equal(s->last.head_expires_wall_s, loop_wall_s(s->loop) - 10 - 3);
    must(pull(s, (struct puller_options){.version = "2"}));
    assert_each_put_once(&s->basin);
}

static void without_a_trust_file_nothing_is_even_asked_for(void **state)
{
    struct scene *s = *state;

    s->endpoint = endpoint_free(s->endpoint);
    run_ms(s, 1000);
    must(catalogue_swap(s->catalogue, "trust/1", CATALOGUE_ANY, NULL, 0, NULL));
    start_endpoint(s);
    assert_int_equal(pull(s, (struct puller_options){0}).code, ALB_REFUSED);
    assert_int_equal(s->last.refusal, PULL_NO_TRUST);
    must(pull(s, (struct puller_options){0})); /* it came meanwhile, and fits the pin */
}

/* ---- rounds ---- */

static void preparation_goes_round_by_round_and_then_the_plan_is_made(void **state)
{
    struct scene *s = *state;

    s->basin.sink.ops = &prepared_ops;
    must(pull(s, (struct puller_options){.units_at_once = 3}));
    assert_int_equal(s->basin.prepared, ROUNDS);
    assert_int_equal(s->basin.units_run, 9);
    assert_each_put_once(&s->basin);
}

static void units_run_side_by_side_but_not_more_than_told(void **state)
{
    struct scene *s = *state;
    struct puller_progress now;
    size_t most = 0;

    s->basin.sink.ops = &prepared_ops;
    start_with(s, (struct puller_options){.units_at_once = 3});
    while (s->told == 0) {
        world_run(s->world, world_now_ns(s->world) + NS_PER_MICRO);
        puller_progress(s->puller, &now);
        if (now.state == PULL_PREPARE && now.round == 1 && s->basin.prepared == 2) {
            size_t under_way = s->basin.units_run - now.units_done; /* a job runs when submitted */
            most = under_way > most ? under_way : most;
        }
    }
    assert_int_equal(most, 3);
}

static void a_unit_that_fails_ends_it_before_the_plan(void **state)
{
    struct scene *s = *state;

    s->basin.sink.ops = &prepared_ops;
    s->basin.fail_unit = 4;
    assert_int_equal(pull(s, (struct puller_options){0}).code, ALB_IO);
    assert_int_equal(s->last.ended_in, PULL_PREPARE);
    assert_int_equal(s->basin.plans, 0);
    assert_true(s->basin.units_run < 9);
}

/* ---- in flight ---- */

static void watch_in_flight(struct scene *s, struct puller_options options, size_t most)
{
    struct supply_stats before, now;
    struct puller_progress done;

    start_with(s, options);
    while (!is_in_state(s, PULL_PLAN))
        world_run(s->world, world_now_ns(s->world) + NS_PER_MICRO);
    supply_stats(endpoint_supply(s->endpoint), &before);
    while (s->told == 0) {
        world_run(s->world, world_now_ns(s->world) + NS_PER_MS);
        supply_stats(endpoint_supply(s->endpoint), &now);
        puller_progress(s->puller, &done);
        assert_true(now.asked - before.asked - done.put <= most);
    }
    must(s->st);
    assert_each_put_once(&s->basin);
}

static void no_more_chunks_are_asked_for_than_may_be_in_flight(void **state)
{
    watch_in_flight(*state, (struct puller_options){.max_in_flight = 4}, 4);
}

static void chunks_in_flight_are_bounded_by_their_expanded_size_too(void **state)
{
    watch_in_flight(*state, (struct puller_options){.max_in_flight_bytes = 1}, 1);
}

static void a_full_disk_ends_it_and_nothing_is_put_afterwards(void **state)
{
    struct scene *s = *state;

    s->basin.fail_put = 5;
    struct alb_status st = pull(s, (struct puller_options){0});
    assert_int_equal(st.code, ALB_FULL);
    assert_int_equal(st.sys, ENOSPC);
    assert_int_equal(s->last.ended_in, PULL_FETCH);
    assert_int_equal(s->basin.seals, 0);
}

static void a_line_that_is_cut_brings_no_chunk_twice(void **state)
{
    struct scene *s = *state;

    start_with(s, (struct puller_options){0});
    run_ms(s, 600);
    assert_true(s->basin.puts > 0);
    world_link_set_up(s->link, false);
    run_ms(s, 40000);
    assert_int_equal(s->told, 0);
    world_link_set_up(s->link, true);
    must(wait_s(s, 120));
    assert_each_put_once(&s->basin);
}

/* ---- the seal ---- */

static void a_local_source_that_changed_is_planned_for_again(void **state)
{
    struct scene *s = *state;

    s->basin.changed_seals = 2;
    must(pull(s, (struct puller_options){0}));
    assert_int_equal(s->basin.plans, 3);
    assert_int_equal(s->basin.got[3], 3);
    assert_int_equal(s->last.put, s->last.needed);
}

static void sources_that_keep_changing_are_an_error_in_the_end(void **state)
{
    struct scene *s = *state;

    s->basin.changed_seals = 100;
    assert_int_equal(pull(s, (struct puller_options){0}).code, ALB_NOT_FOUND);
    assert_int_equal(s->last.ended_in, PULL_SEAL);
    assert_int_equal(s->basin.plans, 4);
}

/* ---- giving up ---- */

static void giving_up_at_any_moment_is_told_once_when_nothing_is_under_way(void **state)
{
    struct scene *s = *state;
    unsigned given_up = 0;

    for (uint64_t us = 0; us < 3000000; us += 37000) {
        basin_clear(&s->basin);
        s->basin.sink.ops = &prepared_ops;
        start_with(s, (struct puller_options){.max_in_flight = 8});
        world_run(s->world, world_now_ns(s->world) + us * NS_PER_MICRO);
        if (s->told > 0)
            break;
        puller_give_up(s->puller);
        puller_give_up(s->puller);
        assert_int_equal(s->told, 0); /* not from inside */
        assert_int_equal(wait_s(s, 10).code, ALB_CLOSED);
        given_up++;
    }
    assert_true(given_up > 3);
}

static void freeing_at_any_moment_tells_nothing(void **state)
{
    struct scene *s = *state;
    bool was_told = false;

    for (uint64_t us = 0; us < 3000000 && !was_told; us += 41000) {
        basin_clear(&s->basin);
        s->basin.sink.ops = &prepared_ops;
        start_with(s, (struct puller_options){.max_in_flight = 8});
        world_run(s->world, world_now_ns(s->world) + us * NS_PER_MICRO);
        was_told = s->told > 0;
        s->told = 0;
        s->puller = puller_free(s->puller);
        run_ms(s, 500);
        assert_int_equal(s->told, 0);
    }
    assert_true(was_told);
}

/* ---- patience ---- */

static void a_parent_out_of_reach_is_told_at_once_or_waited_for(void **state)
{
    struct scene *s = *state;

    s->endpoint = endpoint_free(s->endpoint);
    run_ms(s, 1000);
    world_link_set_up(s->link, false);
    start_endpoint(s);
    assert_int_equal(pull(s, (struct puller_options){0}).code, ALB_CLOSED);
    assert_int_equal(s->last.ended_in, PULL_HEAD);

    start_with(s, (struct puller_options){.is_patient = true});
    run_ms(s, 60000);
    assert_int_equal(s->told, 0);
    puller_progress(s->puller, &s->last);
    assert_true(s->last.waits_for_upstream);
    world_link_set_up(s->link, true);
    must(wait_s(s, 60));
    assert_each_put_once(&s->basin);
}

static void giving_up_while_waiting_for_a_parent_is_told(void **state)
{
    struct scene *s = *state;

    world_link_set_up(s->link, false);
    start_with(s, (struct puller_options){.is_patient = true});
    run_ms(s, 45000);
    puller_give_up(s->puller);
    assert_int_equal(wait_s(s, 1).code, ALB_CLOSED);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(the_latest_version_comes_whole_and_each_chunk_once),
        ROW(a_version_that_is_named_comes_and_an_older_one_only_when_allowed),
        ROW(a_layer_or_version_that_is_not_there_is_not_found),
        ROW(an_expired_head_stops_the_latest_but_no_version_that_is_named),
        ROW(without_a_trust_file_nothing_is_even_asked_for),
        ROW(preparation_goes_round_by_round_and_then_the_plan_is_made),
        ROW(units_run_side_by_side_but_not_more_than_told),
        ROW(a_unit_that_fails_ends_it_before_the_plan),
        ROW(no_more_chunks_are_asked_for_than_may_be_in_flight),
        ROW(chunks_in_flight_are_bounded_by_their_expanded_size_too),
        ROW(a_full_disk_ends_it_and_nothing_is_put_afterwards),
        ROW(a_line_that_is_cut_brings_no_chunk_twice),
        ROW(a_local_source_that_changed_is_planned_for_again),
        ROW(sources_that_keep_changing_are_an_error_in_the_end),
        ROW(giving_up_at_any_moment_is_told_once_when_nothing_is_under_way),
        ROW(freeing_at_any_moment_tells_nothing),
        ROW(a_parent_out_of_reach_is_told_at_once_or_waited_for),
        ROW(giving_up_while_waiting_for_a_parent_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
