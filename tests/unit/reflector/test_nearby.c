/* SPDX-License-Identifier: Apache-2.0 */
/* unit/reflector/test_nearby.c – lists of who is nearby through three levels: a hub, a reflector in
 * the office, one in the shop behind it, and a machine there; and what becomes of them in a cut. */
/* LINKS: sim_world hub */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/hub.h"
#include "reflector/reflector.h"
#include "sim/world_place.h"
#include "store/ram.h"
#include "transfer/nearby_book.h"
#include "transfer/policy_book.h"
#include "wire/json.h"

enum { PORT = 7443 };

struct box {
    const char *name, *site, *parent;
    struct loop *loop;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct reflector *reflector;
};

struct tree {
    struct world *world;
    struct world_link *wan, *line, *lan;
    struct loop *hub_loop, *pc_loop, *admin_loop;
    struct sign_secret root_key, hub_key;
    struct buf trust;
    struct digest pin;
    struct chunk_store *store;
    struct catalogue *catalogue, *pc_catalogue;
    struct hub *hub;
    struct box office, shop;
    struct authority *authority; /* the machine's, as are the next */
    struct upstream *pc, *admin;
    struct nearby_book *book;
    struct nearby_listener listener;
    unsigned changed;
    unsigned answers, status; /* to ask() */
    struct nearby_head head;
    char message[256];
};

static void must(struct alb_status st)
{
    char text[256];

    if (alb_failed(st))
        fail_msg("%s", alb_status_text(st, text, sizeof text));
}

static void run_s(struct tree *t, uint64_t seconds)
{
    world_run(t->world, world_now_ns(t->world) + seconds * NS_PER_S);
}

/* ---- the stage ------------------------------------------------------------------------------- */

static void make_trust(struct tree *t)
{
    struct trust_delegation all = {.prefix = ""};
    struct trust trust = {.org = "acme",
                          .version = 1,
                          .threshold = 1,
                          .root_count = 1,
                          .delegations = &all,
                          .delegation_count = 1,
                          .issued_wall_s = loop_wall_s(t->hub_loop)};

    memset(t->root_key.seed, 1, sizeof t->root_key.seed);
    memset(t->hub_key.seed, 2, sizeof t->hub_key.seed);
    sign_public_of(&t->root_key, &trust.roots[0]);
    sign_public_of(&t->hub_key, &trust.hub_key);
    sign_public_of(&t->root_key, &all.key);
    buf_init(&t->trust, SIGNED_MAX);
    must(trust_encode(&trust, &t->root_key, 1, &t->trust));
    sha256(buf_peek(&t->trust), buf_size(&t->trust), &t->pin);
}

static void give_trust(struct tree *t, struct catalogue *c)
{
    must(catalogue_swap(c, "trust/1", CATALOGUE_ANY, buf_peek(&t->trust), buf_size(&t->trust),
                        NULL));
}

static void start_hub(struct tree *t)
{
    must(hub_start(&(struct hub_options){.loop = t->hub_loop,
                                         .store = t->store,
                                         .catalogue = t->catalogue,
                                         .org = "acme",
                                         .online_key = &t->hub_key,
                                         .listen_address = "0.0.0.0",
                                         .listen_port = PORT,
                                         .places = {{"hub.example", PORT}},
                                         .place_count = 1},
                   &t->hub));
}

static void start_box(struct tree *t, struct box *b)
{
    struct reflector_options o = {.loop = b->loop,
                                  .store = b->store,
                                  .catalogue = b->catalogue,
                                  .parents = {{.port = PORT}},
                                  .parent_count = 1,
                                  .listen_address = "0.0.0.0",
                                  .listen_port = PORT,
                                  .trust_pin = &t->pin,
                                  .device = b->name,
                                  .site = b->site};

    snprintf(o.parents[0].host, sizeof o.parents[0].host, "%s", b->parent);
    must(reflector_start(&o, &b->reflector));
}

static void admit(struct tree *t, enum role role, const char *device, const char *serial,
                  const char *site)
{
    struct identity who = {.role = role, .org = "acme", .expires_wall_s = INT64_MAX};

    snprintf(who.device, sizeof who.device, "%s", device);
    snprintf(who.serial, sizeof who.serial, "%s", serial);
    must(hub_admit(t->hub, &who, site, ""));
}

static void open_box(struct tree *t, struct box *b, const char *name, const char *site,
                     const char *parent, struct loop *loop)
{
    *b = (struct box){.name = name, .site = site, .parent = parent, .loop = loop};
    b->store = ram_chunk_store_new(&(struct ram_options){0});
    b->catalogue = ram_catalogue_new(&(struct ram_options){0});
    give_trust(t, b->catalogue);
    start_box(t, b);
}

static void close_box(struct box *b)
{
    b->reflector = reflector_free(b->reflector);
}

static void told(void *arg, const struct upstream_answer *answer)
{
    struct tree *t = arg;
    size_t used;

    t->answers++;
    t->status = answer->status;
    snprintf(t->message, sizeof t->message, "%s", answer->message);
    if (answer->status == 200 && answer->size > 0 && answer->body[0] == 'n')
        must(nearby_head_read(answer->body, answer->size, &t->head, &used));
}

static void ask_as(struct tree *t, struct upstream *u, const char *method, const char *path,
                   const char *body)
{
    (void)upstream_request(u,
                           &(struct upstream_ask){.method = method,
                                                  .path = path,
                                                  .body = body,
                                                  .body_size = strlen(body),
                                                  .expect_bytes = 1 << 20},
                           told, t);
}

static unsigned ask(struct tree *t, const char *query)
{
    AUTO_FREE char *path = xasprintf("/v1/nearby%s", query);
    const unsigned before = t->answers;

    ask_as(t, t->pc, "GET", path, "");
    run_s(t, 15);
    assert_int_equal(t->answers, before + 1);
    return t->status;
}

static void put(struct tree *t, const char *path, const char *body)
{
    const unsigned before = t->answers;

    ask_as(t, t->admin, "POST", path, body);
    run_s(t, 2);
    assert_int_equal(t->answers, before + 1);
    if (t->status != 200)
        fail_msg("%s: %u %s", path, t->status, t->message);
}

static void on_changed(struct nearby_listener *l)
{
    ALB_CONTAINER(l, struct tree, listener)->changed++;
}

static void on_event(void *arg, const char *line)
{
    (void)nearby_book_hear(((struct tree *)arg)->book, line);
}

static struct upstream *dial(struct loop *loop, const char *host, struct tree *t)
{
    struct upstream_options o = {
        .loop = loop, .places = {{.port = PORT}}, .place_count = 1, .arg = t};

    snprintf(o.places[0].host, sizeof o.places[0].host, "%s", host);
    if (t->book != NULL) {
        o.wants_events = true;
        o.event = on_event;
    }
    return upstream_new(&o);
}

static void start_pc(struct tree *t)
{
    const struct authority_options options = {.loop = t->pc_loop, .catalogue = t->pc_catalogue};

    must(authority_open(&options, &t->authority));
    t->book = nearby_book_open(&(struct nearby_book_options){.loop = t->pc_loop,
                                                             .authority = t->authority,
                                                             .catalogue = t->pc_catalogue,
                                                             .site = "shop"});
    t->listener.changed = on_changed;
    nearby_book_listen(t->book, &t->listener);
    t->pc = dial(t->pc_loop, "shop-box", t);
    nearby_book_follow(t->book, t->pc);
}

static const char SITES[] =
    "{\"format\":1,\"sites\":["
    "{\"name\":\"office\",\"subnets\":[\"10.1.0.0/16\"],\"reflectors\":[\"office-box\"]},"
    "{\"name\":\"shop\",\"parent\":\"office\",\"subnets\":[\"10.1.7.0/24\"],"
    "\"gateways\":[\"52:54:00:00:00:07\"]},"
    "{\"name\":\"far\",\"subnets\":[\"10.9.0.0/16\"]}]}";

static void build_world(struct tree *t)
{
    static const struct identity HUB = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    static const struct identity OFFICE = {
        .role = ROLE_REFLECTOR, .org = "acme", .device = "office-box", .serial = "01"};
    static const struct identity SHOP = {
        .role = ROLE_REFLECTOR, .org = "acme", .device = "shop-box", .serial = "02"};
    static const struct identity PC = {
        .role = ROLE_ENDPOINT, .org = "acme", .device = "pc", .serial = "03"};
    static const struct identity ADMIN = {
        .role = ROLE_ADMIN, .org = "acme", .device = "root", .serial = "04"};

    t->world = world_new(1);
    t->hub_loop = world_add_node(t->world, "hub", &HUB);
    t->office.loop = world_add_node(t->world, "office-box", &OFFICE);
    t->shop.loop = world_add_node(t->world, "shop-box", &SHOP);
    t->pc_loop = world_add_node(t->world, "pc", &PC);
    t->admin_loop = world_add_node(t->world, "root", &ADMIN);
    t->wan = world_add_link(t->world, "wan", 1250 * 1000, 20 * NS_PER_MS);
    t->line = world_add_link(t->world, "line", 250 * 1000, 20 * NS_PER_MS);
    t->lan = world_add_link(t->world, "lan", 125 * 1000 * 1000, NS_PER_MS / 5);
    world_route(t->world, t->hub_loop, t->office.loop, &t->wan, 1);
    world_route(t->world, t->office.loop, t->shop.loop, &t->line, 1);
    world_route(t->world, t->shop.loop, t->pc_loop, &t->lan, 1);
    world_route(t->world, t->hub_loop, t->admin_loop, &t->lan, 1);
}

static void place(struct loop *node, const char *address, uint8_t prefix, const char *gateway,
                  uint8_t mac)
{
    world_node_place(node, &(struct world_place){.address = address,
                                                 .prefix = prefix,
                                                 .gateway = gateway,
                                                 .gateway_mac = {0x52, 0x54, 0, 0, 0, mac}});
}

static int set_up(void **state)
{
    struct tree *t = xalloc(sizeof *t);

    build_world(t);
    make_trust(t);
    t->store = ram_chunk_store_new(&(struct ram_options){0});
    t->catalogue = ram_catalogue_new(&(struct ram_options){0});
    t->pc_catalogue = ram_catalogue_new(&(struct ram_options){0});
    start_hub(t);
    must(hub_install_trust(t->hub, buf_peek(&t->trust), buf_size(&t->trust)));
    admit(t, ROLE_REFLECTOR, "office-box", "01", "office");
    admit(t, ROLE_REFLECTOR, "shop-box", "02", "shop");
    admit(t, ROLE_ENDPOINT, "pc", "03", "shop");
    admit(t, ROLE_ADMIN, "root", "04", "");
    place(t->office.loop, "10.1.0.5", 24, "10.1.0.1", 1);
    place(t->shop.loop, "10.1.7.5", 24, "10.1.7.1", 7);
    t->admin = dial(t->admin_loop, "hub", t);
    run_s(t, 1);
    put(t, "/v1/sites-put", SITES);
    open_box(t, &t->office, "office-box", "office", "hub", t->office.loop);
    open_box(t, &t->shop, "shop-box", "shop", "office-box", t->shop.loop);
    give_trust(t, t->pc_catalogue);
    run_s(t, 5);
    start_pc(t);
    run_s(t, 15);
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    struct tree *t = *state;

    nearby_book_unlisten(t->book, &t->listener);
    nearby_book_close(t->book);
    authority_close(t->authority);
    upstream_free(t->pc);
    upstream_free(t->admin);
    close_box(&t->shop);
    close_box(&t->office);
    run_s(t, 1);
    t->hub = hub_free(t->hub);
    run_s(t, 10);
    world_free(t->world);
    chunk_store_close(t->store);
    catalogue_close(t->catalogue);
    catalogue_close(t->pc_catalogue);
    chunk_store_close(t->shop.store);
    chunk_store_close(t->office.store);
    catalogue_close(t->shop.catalogue);
    catalogue_close(t->office.catalogue);
    buf_release(&t->trust);
    free(t);
    return 0;
}

static uint64_t hub_requests(const struct tree *t)
{
    struct hub_figures f;

    hub_figures(t->hub, &f);
    return f.serve.requests;
}

static const struct nearby_holder *holder(const struct tree *t, size_t index)
{
    const struct nearby *list = nearby_book_peek(t->book);

    assert_non_null(list);
    assert_true(index < list->holder_count);
    return &list->holders[index];
}

/* ---- three levels ---------------------------------------------------------------------------- */

static void a_machine_two_reflectors_down_knows_who_can_serve_it(void **state)
{
    struct tree *t = *state;

    assert_string_equal(nearby_book_head(t->book)->site, "shop");
    assert_false(nearby_book_is_stale(t->book));
    assert_int_equal(nearby_book_peek(t->book)->holder_count, 2);
    assert_string_equal(holder(t, 0)->device, "shop-box");
    assert_string_equal(holder(t, 0)->at[0].host, "10.1.7.5");
    assert_int_equal(holder(t, 0)->at[0].port, PORT);
    assert_string_equal(holder(t, 1)->device, "office-box");
    assert_int_equal(holder(t, 1)->depth, 1);
    assert_int_equal(nearby_book_peek(t->book)->hub_count, 1);
    assert_string_equal(nearby_book_peek(t->book)->hub[0].host, "hub.example");
}

static void the_place_decides_through_two_reflectors_as_it_does_at_the_hub(void **state)
{
    struct tree *t = *state;

    assert_int_equal(ask(t, "?address=10.1.7.99"), 200);
    assert_string_equal(t->head.site, "shop");
    assert_string_equal(t->head.what, "10.1.7.0/24");
    assert_int_equal(ask(t, "?address=10.1.8.99"), 200);
    assert_string_equal(t->head.site, "office");
    assert_int_equal(ask(t, "?address=10.1.8.99&gateway=52:54:00:00:00:07"), 200);
    assert_string_equal(t->head.site, "shop");
    assert_int_equal(t->head.by, NEARBY_BY_GATEWAY);
    assert_int_equal(ask(t, "?address=203.0.113.5&site=nowhere"), 200);
    assert_string_equal(t->head.site, "");
    assert_int_equal(t->head.by, NEARBY_BY_NONE);
    assert_int_equal(ask(t, "?address=203.0.113"), 400);
}

static void forty_who_ask_at_once_cost_the_hub_one_question(void **state)
{
    struct tree *t = *state;
    char path[128];

    run_s(t, 60);
    const uint64_t before = hub_requests(t);
    const unsigned answers = t->answers;
    for (unsigned i = 1; i <= 40; i++) {
        snprintf(path, sizeof path, "/v1/nearby?address=10.9.0.%u&gateway=52:54:00:00:00:99", i);
        ask_as(t, t->pc, "GET", path, "");
    }
    run_s(t, 2);
    assert_int_equal(t->answers, answers + 40);
    assert_int_equal(t->status, 200);
    assert_string_equal(t->head.site, "far");
    assert_true(hub_requests(t) - before <= 2); /* the other is somebody's check-in */
}

static void what_changes_at_the_hub_is_known_below_within_seconds(void **state)
{
    struct tree *t = *state;

    run_s(t, 30);
    const unsigned before = t->changed;
    put(t, "/v1/states-put",
        "{\"device\":[\"office-box\"],\"state\":\"drain\",\"why\":\"a new disk\"}");
    run_s(t, 14); /* gathered for 1 s, asked for within 10 */
    assert_int_equal(t->changed, before + 1);
    assert_int_equal(holder(t, 1)->state, REFLECTOR_DRAIN);
    place(t->office.loop, "10.1.0.6", 24, "10.1.0.1", 1);
    run_s(t, 15);
    assert_string_equal(holder(t, 1)->at[0].host, "10.1.0.6");
}

/* ---- cut off --------------------------------------------------------------------------------- */

static void cut_off_the_branch_goes_on_answering_and_says_that_it_is_old(void **state)
{
    struct tree *t = *state;

    assert_int_equal(ask(t, "?address=10.1.8.99&gateway=52:54:00:00:00:07"), 200);
    assert_int_equal(ask(t, "?address=10.1.8.99"), 200); /* the office's list was asked for */
    world_link_set_up(t->wan, false);
    world_link_set_up(t->line, false);
    run_s(t, 120);
    assert_int_equal(ask(t, "?address=10.1.7.44"), 200);
    assert_string_equal(t->head.site, "shop");
    assert_true(t->head.is_stale);
    assert_int_equal(ask(t, "?address=203.0.113.1&gateway=52:54:00:00:00:07"), 200);
    assert_string_equal(t->head.site, "shop");
    assert_int_equal(ask(t, "?address=10.1.8.1"), 200);
    assert_string_equal(t->head.site, "office");
    assert_int_equal(ask(t, "?address=10.9.8.1"), 503); /* nobody here ever asked for that */
    assert_non_null(strstr(t->message, "it has no list of that site"));
}

static void a_branch_that_is_back_hears_of_what_it_missed(void **state)
{
    struct tree *t = *state;

    world_link_set_up(t->line, false);
    run_s(t, 120);
    put(t, "/v1/states-put",
        "{\"device\":[\"office-box\"],\"state\":\"suspend\",\"why\":\"later\"}");
    run_s(t, 30);
    assert_int_equal(holder(t, 1)->state, REFLECTOR_ACCEPT);
    world_link_set_up(t->line, true);
    run_s(t, 60);
    assert_int_equal(holder(t, 1)->state, REFLECTOR_SUSPEND);
    assert_false(nearby_book_is_stale(t->book));
}

static void a_reflector_that_starts_cut_off_answers_with_what_it_kept(void **state)
{
    struct tree *t = *state;

    world_link_set_up(t->line, false);
    close_box(&t->shop);
    run_s(t, 5);
    start_box(t, &t->shop);
    run_s(t, 30);
    assert_int_equal(ask(t, "?address=10.1.7.44"), 200);
    assert_string_equal(t->head.site, "shop");
    assert_true(t->head.is_stale);
    assert_int_equal(ask(t, "?site=shop"), 200);
    assert_int_equal(t->head.by, NEARBY_BY_CONFIGURED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_machine_two_reflectors_down_knows_who_can_serve_it),
        TEST(the_place_decides_through_two_reflectors_as_it_does_at_the_hub),
        TEST(forty_who_ask_at_once_cost_the_hub_one_question),
        TEST(what_changes_at_the_hub_is_known_below_within_seconds),
        TEST(cut_off_the_branch_goes_on_answering_and_says_that_it_is_old),
        TEST(a_branch_that_is_back_hears_of_what_it_missed),
        TEST(a_reflector_that_starts_cut_off_answers_with_what_it_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
