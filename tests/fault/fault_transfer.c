/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_transfer.c – a pull from a parent: each allocation, read and write of both ends fails
 * once. */
/* LINKS: sim_world client config image net shaper transfer store wire chunk base */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/units.h"
#include "client/endpoint.h"
#include "client/puller.h"
#include "sim/cast_holder.h"
#include "transfer/supply.h"

#ifdef ALB_FAULT

enum { SIZE = 400 << 10, TRIES_MAX = 5000 };

/* A sink that checks and keeps nothing. */
struct basin {
    struct chunk_sink sink;
    struct chunk_key *keys; /* of list C */
    size_t count, puts;
};

struct scene {
    struct world *world;
    struct world_link *link;
    struct cast_holder parent;
    struct cast_version version;
    struct loop *loop;
    struct catalogue *catalogue;
    struct endpoint *endpoint;
    struct basin basin;
    struct puller *puller;
    bool is_told;
    struct alb_status st;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

/* ---- the sink -------------------------------------------------------------------------------- */

static struct alb_status basin_plan(struct chunk_sink *s, const struct root_view *view,
                                    uint32_t **positions, size_t *count)
{
    struct basin *b = ALB_CONTAINER(s, struct basin, sink);

    free(b->keys);
    *count = b->count = view->content_key_count;
    b->keys = xcalloc(b->count, sizeof *b->keys);
    memcpy(b->keys, view->content_keys, b->count * sizeof *b->keys);
    *positions = xcalloc(b->count, sizeof **positions);
    for (uint32_t i = 0; i < b->count; i++)
        (*positions)[i] = i;
    return ALB_STATUS_OK;
}

static struct alb_status basin_put(struct chunk_sink *s, uint32_t position,
                                   const struct chunk *chunk)
{
    struct basin *b = ALB_CONTAINER(s, struct basin, sink);

    assert_true(chunk_key_equal(&chunk->key, &b->keys[position]));
    b->puts++;
    return ALB_STATUS_OK;
}

static struct alb_status basin_seal(struct chunk_sink *s)
{
    (void)s;
    return ALB_STATUS_OK;
}

/* ---- a parent and its child ------------------------------------------------------------------ */

static void start_endpoint(struct scene *s)
{
    struct endpoint_options options = {.loop = s->loop,
                                       .catalogue = s->catalogue,
                                       .parents = {{"hub", CAST_PORT}},
                                       .parent_count = 1,
                                       .device = "laptop",
                                       .trust_pin = &s->parent.trust_pin};

    must(endpoint_start(&options, &s->endpoint));
}

static void scene_open(struct scene *s)
{
    static const struct chunk_sink_ops ops = {
        .plan = basin_plan, .put = basin_put, .seal = basin_seal};
    struct identity hub = {.role = ROLE_HUB};
    struct identity laptop = {.role = ROLE_ENDPOINT, .org = "acme", .device = "laptop"};

    *s = (struct scene){.basin.sink.ops = &ops};
    s->world = world_new(7);
    struct loop *loop = world_add_node(s->world, "hub", &hub);
    s->loop = world_add_node(s->world, "laptop", &laptop);
    s->link = world_add_link(s->world, "lan", 4 << 20, 1000000);
    world_route(s->world, loop, s->loop, &s->link, 1);
    cast_holder_start(&s->parent, loop);
    struct cast_order order = cast_holder_order(&s->parent, "base/os", 1, SIZE);
    cast_version_make(&order, &s->version);
    cast_holder_publish(&s->parent, &s->version, 1);
    s->catalogue = ram_catalogue_new(&(struct ram_options){0});
    must(catalogue_swap(s->catalogue, "trust/1", CATALOGUE_ABSENT, buf_peek(&s->parent.trust_bytes),
                        buf_size(&s->parent.trust_bytes), NULL));
    start_endpoint(s);
}

static void scene_close(struct scene *s)
{
    s->puller = puller_free(s->puller);
    s->endpoint = endpoint_free(s->endpoint);
    cast_holder_stop(&s->parent);
    world_run(s->world, world_now_ns(s->world) + 20 * NS_PER_S);
    world_free(s->world);
    cast_holder_release(&s->parent);
    catalogue_close(s->catalogue);
    cast_version_release(&s->version);
    free(s->basin.keys);
}

static void on_done(void *arg, struct alb_status st)
{
    struct scene *s = arg;

    assert_false(s->is_told);
    s->is_told = true;
    s->st = st;
}

static bool is_told(void *arg)
{
    return ((struct scene *)arg)->is_told;
}

/* The pull's own word for how it went; OK means that every chunk has come. */
static struct alb_status pull(struct scene *s)
{
    s->puller = puller_free(s->puller);
    s->is_told = false;
    s->basin.puts = 0;
    s->puller = puller_start(&(struct puller_options){.loop = s->loop,
                                                      .authority = endpoint_authority(s->endpoint),
                                                      .records = endpoint_records(s->endpoint),
                                                      .roots = endpoint_roots(s->endpoint),
                                                      .supply = endpoint_supply(s->endpoint),
                                                      .sink = &s->basin.sink,
                                                      .layer = "base/os",
                                                      .done = on_done,
                                                      .arg = s});
    assert_true(world_run_until(s->world, world_now_ns(s->world) + 300 * NS_PER_S, is_told, s));
    assert_true(alb_failed(s->st) || (s->basin.count > 1 && s->basin.puts >= s->basin.count));
    return s->st;
}

/* False when there was no n-th hit any more. */
static bool pull_with_fault(const char *site, unsigned n)
{
    struct scene s;

    scene_open(&s);
    fault_arm(site, n);
    struct alb_status st = pull(&s);
    fault_disarm();
    bool fired = fault_fired();
    if (!fired)
        must(st);
    assert_true(!alb_failed(st) || st.what[0] != '\0');
    /* In the same process, once the parent is dialled again. */
    world_run(s.world, world_now_ns(s.world) + 60 * NS_PER_S);
    must(pull(&s));
    scene_close(&s);
    return fired;
}

static void fail_each(const char *site, unsigned least)
{
    unsigned n = 0;

    log_install(NULL, NULL, LOG_ERROR);
    while (pull_with_fault(site, n))
        assert_true(++n < TRIES_MAX);
    print_message("%s: survived at %u\n", site, n);
    assert_true(n >= least);
}

static void a_pull_ends_and_the_next_is_whole_whatever_read_breaks_the_connection(void **state)
{
    (void)state;
    fail_each("stream.read", 30);
}

static void a_pull_ends_and_the_next_is_whole_whatever_write_breaks_the_connection(void **state)
{
    (void)state;
    fail_each("stream.write", 20);
}

static void a_pull_that_lacks_memory_for_what_is_large_says_so_or_goes_on(void **state)
{
    (void)state;
    fail_each("alloc.large", 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pull_ends_and_the_next_is_whole_whatever_read_breaks_the_connection),
        cmocka_unit_test(a_pull_ends_and_the_next_is_whole_whatever_write_breaks_the_connection),
        cmocka_unit_test(a_pull_that_lacks_memory_for_what_is_large_says_so_or_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    print_message("built without ALB_FAULT: nothing can be made to fail\n");
    return 77; /* skipped, to ctest */
}

#endif
