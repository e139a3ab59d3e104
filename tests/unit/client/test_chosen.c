/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_chosen.c – an endpoint between two real reflectors of a branch, one of which
 * dies or falls silent in mid-pull: the pull goes on, and the WAN carries little twice. */
/* LINKS: sim_world hub reflector */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "client/endpoint.h"
#include "client/puller.h"
#include "hub/hub.h"
#include "reflector/reflector.h"
#include "sim/cast_version.h"
#include "sim/world.h"
#include "store/ram.h"

enum { PORT = 7443, SIZE = 12 << 20, BOXES = 2 };

static const char *const BOX[BOXES] = {"a", "b"};

struct box {
    struct loop *loop;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct reflector *reflector;
    struct world_link *lan;
};

struct scene {
    struct world *world;
    struct world_link *wan;
    struct loop *hub_loop, *pc_loop;
    struct chunk_store *hub_store;
    struct catalogue *hub_catalogue, *pc_catalogue;
    struct hub *hub;
    struct sign_secret root_key, hub_key, publisher_key;
    struct buf trust_bytes;
    struct digest trust_pin;
    uint64_t stored_bytes;
    struct box boxes[BOXES];
    struct endpoint *endpoint;
    struct puller *puller;
    struct upstream_listener listener;
    uint64_t up_ns;
    struct chunk_sink sink;
    size_t planned, put, stop_at;
    bool is_over;
    struct alb_status st;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

/* ---- the sink -------------------------------------------------------------------------------- */

static struct alb_status plan(struct chunk_sink *s, const struct root_view *view,
                              uint32_t **positions, size_t *count)
{
    struct scene *g = ALB_CONTAINER(s, struct scene, sink);

    g->planned = *count = view->content_key_count;
    *positions = xcalloc(*count + 1, sizeof **positions);
    for (uint32_t i = 0; i < *count; i++)
        (*positions)[i] = i;
    return ALB_STATUS_OK;
}

static struct alb_status put(struct chunk_sink *s, uint32_t position, const struct chunk *chunk)
{
    (void)position;
    (void)chunk;
    ALB_CONTAINER(s, struct scene, sink)->put++;
    return ALB_STATUS_OK;
}

static struct alb_status seal(struct chunk_sink *s)
{
    (void)s;
    return ALB_STATUS_OK;
}

static const struct chunk_sink_ops sink_ops = {.plan = plan, .put = put, .seal = seal};

/* ---- who there is ---------------------------------------------------------------------------- */

static void admit(struct scene *g, enum role role, const char *device)
{
    struct identity who = {.role = role, .org = "sim", .expires_wall_s = INT64_MAX};

    snprintf(who.device, sizeof who.device, "%s", device);
    snprintf(who.serial, sizeof who.serial, "%02x", (unsigned)device[0]);
    must(hub_admit(g->hub, &who, "north", ""));
}

static struct loop *node(struct scene *g, enum role role, const char *device)
{
    struct identity who = {.role = role, .org = "sim"};

    snprintf(who.device, sizeof who.device, "%s", device);
    snprintf(who.serial, sizeof who.serial, "%02x", (unsigned)device[0]);
    return world_add_node(g->world, device, &who);
}

static void start_hub(struct scene *g)
{
    struct trust_delegation all = {.prefix = ""};
    struct trust trust = {.org = "sim",
                          .version = 1,
                          .threshold = 1,
                          .root_count = 1,
                          .delegations = &all,
                          .delegation_count = 1};

    g->hub_loop = node(g, ROLE_HUB, "hub");
    trust.issued_wall_s = loop_wall_s(g->hub_loop);
    cast_key(1, &g->root_key, &trust.roots[0]);
    cast_key(2, &g->hub_key, &trust.hub_key);
    cast_key(3, &g->publisher_key, &all.key);
    buf_init(&g->trust_bytes, SIGNED_MAX);
    must(trust_encode(&trust, &g->root_key, 1, &g->trust_bytes));
    sha256(buf_peek(&g->trust_bytes), buf_size(&g->trust_bytes), &g->trust_pin);
    g->hub_store = ram_chunk_store_new(&(struct ram_options){0});
    g->hub_catalogue = ram_catalogue_new(&(struct ram_options){0});
    must(hub_start(&(struct hub_options){.loop = g->hub_loop,
                                         .store = g->hub_store,
                                         .catalogue = g->hub_catalogue,
                                         .org = "sim",
                                         .online_key = &g->hub_key,
                                         .listen_address = "0.0.0.0",
                                         .listen_port = PORT},
                   &g->hub));
    must(hub_install_trust(g->hub, buf_peek(&g->trust_bytes), buf_size(&g->trust_bytes)));
}

static void publish(struct scene *g)
{
    const struct cast_order order = {.org = "sim",
                                     .layer = "base/os",
                                     .sequence = 1,
                                     .size = SIZE,
                                     .seed = 5,
                                     .wall_s = loop_wall_s(g->hub_loop),
                                     .publisher = &g->publisher_key};
    struct cast_version v;

    cast_version_make(&order, &v);
    g->stored_bytes = v.stored_bytes;
    must(hub_publish_local(g->hub,
                           &(struct hub_publication){.record = buf_peek(&v.record_bytes),
                                                     .record_size = buf_size(&v.record_bytes),
                                                     .chunks = v.chunks,
                                                     .chunk_count = v.count}));
    cast_version_release(&v);
}

static struct catalogue *catalogue_of(struct scene *g)
{
    struct catalogue *c = ram_catalogue_new(&(struct ram_options){0});

    must(catalogue_swap(c, "trust/1", CATALOGUE_ANY, buf_peek(&g->trust_bytes),
                        buf_size(&g->trust_bytes), NULL));
    return c;
}

static void run_box(struct scene *g, unsigned i)
{
    must(reflector_start(&(struct reflector_options){.loop = g->boxes[i].loop,
                                                     .store = g->boxes[i].store,
                                                     .catalogue = g->boxes[i].catalogue,
                                                     .parents = {{"hub", PORT}},
                                                     .parent_count = 1,
                                                     .listen_address = "0.0.0.0",
                                                     .listen_port = PORT,
                                                     .trust_pin = &g->trust_pin,
                                                     .device = BOX[i],
                                                     .site = "north"},
                         &g->boxes[i].reflector));
}

static void on_up(struct upstream_listener *l)
{
    struct scene *g = ALB_CONTAINER(l, struct scene, listener);

    g->up_ns = world_now_ns(g->world);
}

static void on_down(struct upstream_listener *l)
{
    (void)l;
}

static void run_pc(struct scene *g)
{
    struct endpoint_options o = {.loop = g->pc_loop,
                                 .catalogue = g->pc_catalogue,
                                 .parents = {{"a", PORT}, {"b", PORT}},
                                 .parent_count = 2,
                                 .hub = {"hub", PORT},
                                 .device = "pc",
                                 .trust_pin = &g->trust_pin};

    must(endpoint_start(&o, &g->endpoint));
    g->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(endpoint_upstream(g->endpoint), &g->listener);
}

static int setup(void **state)
{
    struct scene *g = xalloc(sizeof *g);

    g->sink.ops = &sink_ops;
    g->world = world_new(3);
    g->wan = world_add_link(g->world, "wan", 1250 * 1000, 15 * NS_PER_MS);
    start_hub(g);
    publish(g);
    g->pc_loop = node(g, ROLE_ENDPOINT, "pc");
    for (unsigned i = 0; i < BOXES; i++) {
        struct box *b = &g->boxes[i];
        b->loop = node(g, ROLE_REFLECTOR, BOX[i]);
        b->lan = world_add_link(g->world, BOX[i], 125 * 1000 * 1000, NS_PER_MS / 5);
        world_route(g->world, g->hub_loop, b->loop, &g->wan, 1);
        world_route(g->world, b->loop, g->pc_loop, &b->lan, 1);
        b->store = ram_chunk_store_new(&(struct ram_options){0});
        b->catalogue = catalogue_of(g);
        admit(g, ROLE_REFLECTOR, BOX[i]);
        run_box(g, i);
    }
    world_route(g->world, g->hub_loop, g->pc_loop, &g->wan, 1);
    admit(g, ROLE_ENDPOINT, "pc");
    g->pc_catalogue = catalogue_of(g);
    run_pc(g);
    *state = g;
    return 0;
}

static void run_ms(struct scene *g, uint64_t ms)
{
    world_run(g->world, world_now_ns(g->world) + ms * NS_PER_MS);
}

static int teardown(void **state)
{
    struct scene *g = *state;

    puller_free(g->puller);
    upstream_unlisten(endpoint_upstream(g->endpoint), &g->listener);
    endpoint_free(g->endpoint);
    for (unsigned i = 0; i < BOXES; i++)
        reflector_free(g->boxes[i].reflector);
    hub_free(g->hub);
    run_ms(g, 60000);
    world_free(g->world);
    for (unsigned i = 0; i < BOXES; i++) {
        chunk_store_close(g->boxes[i].store);
        catalogue_close(g->boxes[i].catalogue);
    }
    chunk_store_close(g->hub_store);
    catalogue_close(g->hub_catalogue);
    catalogue_close(g->pc_catalogue);
    buf_release(&g->trust_bytes);
    free(g);
    return 0;
}

/* ---- a pull ---------------------------------------------------------------------------------- */

static void pull_ended(void *arg, struct alb_status st)
{
    struct scene *g = arg;

    g->st = st;
    g->is_over = true;
}

static bool is_far_enough(void *arg)
{
    struct scene *g = arg;

    return g->is_over || (g->planned > 0 && g->put >= g->planned * g->stop_at / 100);
}

static bool is_over(void *arg)
{
    return ((struct scene *)arg)->is_over;
}

static bool is_up_again(void *arg)
{
    return ((struct scene *)arg)->up_ns != 0;
}

/* Begins it and runs until so much of it is there. */
static void pull_until(struct scene *g, size_t percent)
{
    struct endpoint *e = g->endpoint;

    g->puller = puller_start(&(struct puller_options){.loop = g->pc_loop,
                                                      .authority = endpoint_authority(e),
                                                      .records = endpoint_records(e),
                                                      .roots = endpoint_roots(e),
                                                      .supply = endpoint_supply(e),
                                                      .sink = &g->sink,
                                                      .layer = "base/os",
                                                      .done = pull_ended,
                                                      .arg = g});
    g->stop_at = percent;
    assert_true(
        world_run_until(g->world, world_now_ns(g->world) + 300 * NS_PER_S, is_far_enough, g));
    assert_false(g->is_over);
}

static void finish(struct scene *g)
{
    assert_true(world_run_until(g->world, world_now_ns(g->world) + 300 * NS_PER_S, is_over, g));
    must(g->st);
    assert_int_equal(g->put, g->planned);
}

static uint64_t ms_to_up(struct scene *g)
{
    const uint64_t begin_ns = world_now_ns(g->world);

    g->up_ns = 0;
    assert_true(world_run_until(g->world, begin_ns + 240 * NS_PER_S, is_up_again, g));
    return (g->up_ns - begin_ns) / NS_PER_MS;
}

static const char *at(struct scene *g)
{
    return upstream_at(endpoint_upstream(g->endpoint))->host;
}

static uint64_t brought(const struct box *b)
{
    struct reflector_figures f;

    reflector_figures(b->reflector, &f);
    return f.supply.fetch.received_bytes;
}

static void a_reflector_dies_in_the_middle_of_a_pull_and_its_sibling_goes_on(void **state)
{
    struct scene *g = *state;

    run_ms(g, 20000);
    pull_until(g, 50);
    assert_string_equal(at(g), "a");
    const uint64_t by_a = brought(&g->boxes[0]);
    g->boxes[0].reflector = reflector_free(g->boxes[0].reflector);
    const uint64_t ms = ms_to_up(g);
    assert_string_equal(at(g), "b");
    finish(g);
    const double ratio = (double)(by_a + brought(&g->boxes[1])) / (double)g->stored_bytes;
    print_message("re-chosen %lu ms after a death; crossing ratio %.4f\n", (unsigned long)ms,
                  ratio);
    assert_true(ms <= 3000);
    assert_true(ratio <= 1.02);
}

static void the_preferred_one_is_taken_back_after_a_while(void **state)
{
    struct scene *g = *state;

    run_ms(g, 20000);
    g->boxes[0].reflector = reflector_free(g->boxes[0].reflector);
    run_ms(g, 10000);
    assert_string_equal(at(g), "b");
    run_box(g, 0);
    const uint64_t ms = ms_to_up(g);
    print_message("taken back %lu ms after it was there again\n", (unsigned long)ms);
    assert_string_equal(at(g), "a");
    assert_true(ms >= 30000);
}

static void a_slow_wan_is_no_reason_to_leave_the_reflector(void **state)
{
    struct scene *g = *state;

    run_ms(g, 20000);
    pull_until(g, 20);
    world_link_set_up(g->wan, false); /* queued: it says so */
    run_ms(g, 120000);
    assert_string_equal(at(g), "a");
    assert_true(upstream_is_up(endpoint_upstream(g->endpoint)));
    world_link_set_up(g->wan, true);
    finish(g);
    assert_string_equal(at(g), "a");
    assert_true(brought(&g->boxes[1]) == 0);
}

static void a_reflector_falls_silent_in_the_middle_of_a_pull(void **state)
{
    struct scene *g = *state;

    run_ms(g, 20000);
    pull_until(g, 50);
    world_link_set_up(g->boxes[0].lan, false);
    const uint64_t ms = ms_to_up(g);
    assert_string_equal(at(g), "b");
    print_message("re-chosen %lu ms after a silence\n", (unsigned long)ms);
    assert_true(ms <= 7000);
    finish(g);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reflector_dies_in_the_middle_of_a_pull_and_its_sibling_goes_on),
        TEST(the_preferred_one_is_taken_back_after_a_while),
        TEST(a_slow_wan_is_no_reason_to_leave_the_reflector),
        TEST(a_reflector_falls_silent_in_the_middle_of_a_pull),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
