/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_serve_limits.c – what one device may hold in a server's memory, and what it
 * is told beyond that. */
/* LINKS: sim_world */
#include "transfer/serve.h"

#include "sim/cast_holder.h"
#include "support/liar.h"

enum { PORT = 7600, DEVICE_LIMIT = 5, ANSWER_SIZE = 10 << 20, SLOW_WINDOW = 1400, BATCHES = 20 };
enum { CROWD = 70, EACH = 4, MACHINE_LINES = 4, MACHINE_CALLS = 40, QUESTIONS = 10, SHARERS = 5 };

struct asked {
    unsigned status;
    bool is_over;
    size_t size;
    char text[256]; /* how the body begins */
};

struct stage {
    struct world *world;
    struct world_link *link;
    struct loop *hub, *pc, *stranger, *editors[4];
    struct cast_holder holder;
    struct serve *serve;       /* a second one, with few places */
    struct upstream *upstream; /* of the second, where nobody is */
    struct listener *listener;
    unsigned handled, closed;
};

/* ---- callers ---- */

static void on_status(void *arg, struct http_call *c, unsigned status)
{
    (void)c;
    ((struct asked *)arg)->status = status;
}

static void on_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct asked *a = arg;

    (void)c;
    if (a->size == 0)
        (void)snprintf(a->text, sizeof a->text, "%.*s", (int)(size < 255 ? size : 255),
                       (const char *)bytes);
    a->size += size;
}

static void on_end(void *arg, struct http_call *c, struct alb_status st)
{
    (void)c;
    (void)st;
    ((struct asked *)arg)->is_over = true;
}

static void on_closed(void *arg, struct http_session *s, struct alb_status st)
{
    (void)s;
    (void)st;
    ((struct stage *)arg)->closed++;
}

static struct http_session *dial(struct stage *g, struct loop *from, uint64_t window_bytes)
{
    static const struct http_client_ops ops = {.closed = on_closed};
    const struct dial_options to = {.host = "hub", .port = PORT, .timeout_ns = 60 * NS_PER_S};
    const struct http_session_options options = {.window_bytes = window_bytes};

    return http_connect(loop_dial(from, &to), &options, &ops, g);
}

static void call(struct http_session *s, const struct http_call_options *options, struct asked *out)
{
    static const struct http_call_ops ops = {.head = on_status, .data = on_data, .end = on_end};

    *out = (struct asked){.status = 0};
    (void)http_call_start(s, options, &ops, out);
}

static void run_s(struct stage *g, uint64_t seconds)
{
    world_run(g->world, world_now_ns(g->world) + seconds * NS_PER_S);
}

static size_t says_nothing(void *arg, uint8_t *out, size_t size, bool *ended)
{
    (void)arg;
    (void)out;
    (void)size;
    *ended = false;
    return 0;
}

static void stub(void *arg, struct serve_request *rq)
{
    ((struct stage *)arg)->handled++;
    serve_answer(rq, NULL, "done", 4);
}

static void long_list(void *arg, struct serve_request *rq)
{
    uint8_t *list = xcalloc(ANSWER_SIZE, 1);

    ((struct stage *)arg)->handled++;
    serve_answer(rq, NULL, list, ANSWER_SIZE);
    free(list);
}

/* ---- stage ---- */

static struct loop *add_device(struct stage *g, enum role role, const char *name,
                               const char *serial)
{
    struct identity who = {.role = role, .org = "acme"};

    (void)snprintf(who.device, sizeof who.device, "%s", name);
    (void)snprintf(who.serial, sizeof who.serial, "%s", serial);
    struct loop *node = world_add_node(g->world, name, &who);
    world_route(g->world, g->hub, node, &g->link, 1);
    return node;
}

static int setup(void **state)
{
    static const struct identity hub = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    static const char *const names[] = {"ed1", "ed2", "ed3", "ed4"};
    const struct listen_options at = {.address = "::", .port = PORT};
    struct stage *g = xalloc(sizeof *g);

    g->world = world_new(1);
    g->hub = world_add_node(g->world, "hub", &hub);
    g->link = world_add_link(g->world, "lan", 12500 * 1000, NS_PER_MS);
    g->pc = add_device(g, ROLE_ENDPOINT, "pc", "04");
    g->stranger = world_add_node(g->world, "stranger", NULL);
    world_route(g->world, g->hub, g->stranger, &g->link, 1);
    for (size_t i = 0; i < 4; i++)
        g->editors[i] = add_device(g, ROLE_PUBLISHER, names[i], names[i] + 1);
    cast_holder_start(&g->holder, g->hub);
    g->upstream = upstream_new(&(struct upstream_options){
        .loop = g->hub, .places = {{"nowhere", PORT}}, .place_count = 1});
    g->serve = serve_new(&(struct serve_options){.loop = g->hub,
                                                 .port = PORT_TREE,
                                                 .authority = g->holder.authority,
                                                 .records = g->holder.records,
                                                 .roots = g->holder.roots,
                                                 .supply = g->holder.supply,
                                                 .upstream = g->upstream,
                                                 .max_device_sessions = DEVICE_LIMIT,
                                                 .max_body_bytes = 200 << 20});
    serve_install_common(g->serve);
    serve_set(g->serve, ROUTE_UPLOAD, stub, g);
    serve_set(g->serve, ROUTE_GRANT, stub, g);
    serve_set(g->serve, ROUTE_ENROL, stub, g);
    serve_set(g->serve, ROUTE_LAYERS, long_list, g);
    assert_int_equal(loop_listen(g->hub, &at, serve_accept, g->serve, &g->listener).code, ALB_OK);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    listener_free(g->listener);
    serve_free(g->serve);
    upstream_free(g->upstream);
    cast_holder_stop(&g->holder);
    run_s(g, 60);
    world_free(g->world);
    cast_holder_release(&g->holder);
    free(g);
    return 0;
}

/* ---- sessions ---- */

static void a_device_with_too_many_connections_hears_why_and_others_come_in(void **state)
{
    const struct http_call_options ask = {
        .method = "GET", .path = "/v1/trust/1", .expect_bytes = 4096};
    struct stage *g = *state;
    struct asked asked[DEVICE_LIMIT + 1], other;
    struct serve_stats stats;

    for (size_t i = 0; i <= DEVICE_LIMIT; i++) {
        call(dial(g, g->pc, 0), &ask, &asked[i]);
        run_s(g, 1);
    }
    for (size_t i = 0; i < DEVICE_LIMIT; i++)
        assert_int_equal(asked[i].status, 200);
    assert_int_equal(asked[DEVICE_LIMIT].status, 503);
    assert_non_null(strstr(asked[DEVICE_LIMIT].text, "too many connections"));
    assert_int_equal(g->closed, 1); /* and is let go */
    call(dial(g, g->editors[0], 0), &ask, &other);
    run_s(g, 1);
    assert_int_equal(other.status, 200);
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.sessions, DEVICE_LIMIT + 1);
    assert_int_equal(stats.turned_away, 1);
}

static void who_is_turned_away_and_says_nothing_is_let_go_soon(void **state)
{
    struct stage *g = *state;

    for (size_t i = 0; i < DEVICE_LIMIT + 3; i++)
        (void)dial(g, g->pc, 0);
    run_s(g, 5);
    assert_int_equal(g->closed, 0);
    run_s(g, 10);
    assert_int_equal(g->closed, 3);
}

/* ---- bodies ---- */

static const struct http_call_options endless = {
    .method = "POST", .path = "/v1/upload", .source = {.pull = says_nothing}, .expect_bytes = 4096};

static void one_publishers_bodies_do_not_take_the_room_of_others(void **state)
{
    struct stage *g = *state;
    struct http_session *first = dial(g, g->editors[0], 0);
    static struct asked asked[5]; /* some end with the stage */
    struct serve_stats stats;

    call(first, &endless, &asked[0]);
    call(first, &endless, &asked[1]);
    call(dial(g, g->editors[0], 0), &endless, &asked[2]);
    run_s(g, 1);
    assert_int_equal(asked[0].status, 0); /* is being taken */
    assert_int_equal(asked[1].status, 503);
    assert_int_equal(asked[2].status, 503); /* nor over another line */
    assert_non_null(strstr(asked[1].text, "after a rest"));
    call(dial(g, g->editors[1], 0), &endless, &asked[3]);
    call(dial(g, g->editors[2], 0), &endless, &asked[4]);
    run_s(g, 1);
    assert_int_equal(asked[3].status, 0);
    assert_int_equal(asked[4].status, 0);
    call(dial(g, g->editors[3], 0), &endless, &asked[1]);
    run_s(g, 1);
    assert_int_equal(asked[1].status, 503); /* all of them: 200 MiB */
    http_session_close(first);
    run_s(g, 1);
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.body_bytes, 2 * (64 << 20)); /* what was held is given back */
}

/* What is announced counts, whether it comes or not. */
static uint64_t announce(struct stage *g, struct loop *from, const char *path, size_t lines,
                         size_t calls)
{
    const struct http_call_options body = {
        .method = "POST", .path = path, .source = {.pull = says_nothing}, .expect_bytes = 4096};
    static struct asked asked[CROWD * EACH]; /* they end with the stage */
    struct serve_stats stats;

    for (size_t i = 0; i < lines; i++) {
        struct http_session *s = dial(g, from, 0);
        for (size_t k = 0; k < calls; k++)
            call(s, &body, &asked[i * calls + k]);
    }
    run_s(g, 2);
    serve_stats(g->serve, &stats);
    return stats.body_bytes;
}

static void bodies_that_machines_announce_take_no_room_from_publishers(void **state)
{
    struct stage *g = *state;
    static struct asked asked;

    assert_in_range(announce(g, g->pc, "/v1/session", MACHINE_LINES, MACHINE_CALLS), 1, 2 << 20);
    call(dial(g, g->editors[0], 0), &endless, &asked);
    run_s(g, 1);
    assert_int_equal(asked.status, 0); /* is being taken */
}

static void bodies_that_strangers_announce_take_no_room_from_devices(void **state)
{
    struct stage *g = *state;
    struct serve_stats stats;

    assert_in_range(announce(g, g->stranger, "/v1/enrol", CROWD, EACH), 1, 16 << 20);
    run_s(g, 180);
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.body_bytes, 0);
}

static void a_body_that_never_ends_is_broken_off(void **state)
{
    struct stage *g = *state;
    struct asked asked;
    struct serve_stats stats;

    call(dial(g, g->pc, 0),
         &(struct http_call_options){
             .method = "POST", .path = "/v1/grant", .source = {.pull = says_nothing}},
         &asked);
    run_s(g, 110);
    assert_false(asked.is_over);
    run_s(g, 20);
    assert_true(asked.is_over);
    assert_int_equal(g->handled, 0);
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.body_bytes, 0);
}

/* Each has 10 KB/s of the line. */
static void bodies_that_share_a_slow_line_arrive(void **state)
{
    struct stage *g = *state;
    const struct identity who = {
        .role = ROLE_PUBLISHER, .org = "acme", .device = "far", .serial = "0f"};
    struct loop *far = world_add_node(g->world, "far", &who);
    struct world_link *dsl = world_add_link(g->world, "dsl", 50000, 20 * NS_PER_MS);
    struct http_session *s;
    struct asked asked[SHARERS];
    void *zeros = xcalloc(4 << 20, 1);

    world_route(g->world, g->hub, far, &dsl, 1);
    s = dial(g, far, 0);
    for (size_t i = 0; i < SHARERS; i++)
        call(s,
             &(struct http_call_options){.method = "POST",
                                         .path = "/v1/upload",
                                         .body = zeros,
                                         .body_size = 4 << 20,
                                         .expect_bytes = 4096},
             &asked[i]);
    free(zeros);
    run_s(g, 600);
    assert_int_equal(g->handled, SHARERS);
}

/* ---- answers ---- */

static void who_does_not_read_its_answers_gets_no_more(void **state)
{
    const struct http_call_options ask = {
        .method = "GET", .path = "/v1/layers", .expect_bytes = ANSWER_SIZE};
    struct stage *g = *state;
    struct http_session *slow = dial(g, g->pc, SLOW_WINDOW);
    struct asked asked[3];
    struct serve_stats stats;

    call(slow, &ask, &asked[0]);
    call(slow, &ask, &asked[1]);
    run_s(g, 2);
    assert_int_equal(asked[0].status, 200);
    assert_int_equal(asked[1].status, 503);
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.answer_bytes, ANSWER_SIZE);
    run_s(g, 60);
    assert_int_equal(asked[0].size, ANSWER_SIZE);
    call(slow, &ask, &asked[2]);
    run_s(g, 60);
    assert_int_equal(asked[2].size, ANSWER_SIZE);
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.answer_bytes, 0);
}

/* Each asks for all that list C has, and nothing of the answers is read. */
static void more_batches_than_a_session_may_have_open_wait(void **state)
{
    struct stage *g = *state;
    const struct cast_order order = cast_holder_order(&g->holder, "base/os", 1, 6 << 20);
    struct batch_request ask = {
        .layer = "base/os", .list = LIST_CONTENT, .run_count = 1, .runs = {{0, 256}}};
    struct http_session *s = dial(g, g->editors[0], SLOW_WINDOW);
    struct cast_version version;
    struct asked asked[BATCHES];
    struct serve_stats stats;
    struct buf body;
    unsigned answered = 0, refused = 0;

    cast_version_make(&order, &version);
    cast_holder_publish(&g->holder, &version, 1);
    ask.root = version.record.root;
    buf_init(&body, BATCH_REQUEST_MAX);
    assert_int_equal(batch_request_encode(&ask, &body).code, ALB_OK);
    for (size_t i = 0; i < BATCHES; i++)
        call(s,
             &(struct http_call_options){.method = "POST",
                                         .path = "/v1/chunks",
                                         .body = buf_peek(&body),
                                         .body_size = buf_size(&body),
                                         .expect_bytes = 16 << 20},
             &asked[i]);
    run_s(g, 1);
    for (size_t i = 0; i < BATCHES; i++) {
        answered += asked[i].status == 200;
        refused += asked[i].status == 503;
    }
    assert_int_equal(answered, 16);
    assert_int_equal(refused, BATCHES - 16);
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.spots, 16 * 256);
    assert_in_range(stats.held_bytes, 1, 4 << 20); /* sixteen batches, one line */
    http_session_close(s);
    run_s(g, 1);
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.spots, 0);
    assert_int_equal(stats.held_bytes, 0);
    buf_release(&body);
    cast_version_release(&version);
}

/* ---- what does not exist --------------------------------------------------------------------- */

static void who_asks_for_what_does_not_exist_again_and_again_has_to_wait(void **state)
{
    struct stage *g = *state;
    struct http_session *s = dial(g, g->editors[0], 0);
    struct asked asked;
    unsigned missing = 0;
    char path[64];

    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(path, sizeof path, "/v1/head/base/x%u", i);
        call(s, &(struct http_call_options){.method = "GET", .path = path, .expect_bytes = 4096},
             &asked);
        world_run(g->world, world_now_ns(g->world) + 20 * NS_PER_MS);
        missing += asked.status == 404;
    }
    assert_in_range(missing, 240, 255); /* the burst, and two a second */
    assert_int_equal(asked.status, 503);
    assert_non_null(strstr(asked.text, "does not exist"));
    call(dial(g, g->editors[1], 0),
         &(struct http_call_options){.method = "GET", .path = path, .expect_bytes = 4096}, &asked);
    run_s(g, 1);
    assert_int_equal(asked.status, 404); /* others are heard */
    run_s(g, 60);
    call(s, &(struct http_call_options){.method = "GET", .path = path, .expect_bytes = 4096},
         &asked);
    run_s(g, 1);
    assert_int_equal(asked.status, 404); /* and so is this one, after a rest */
}

/* ---- who holds what -------------------------------------------------------------------------- */

static void ask_holds(struct http_session *s, const struct digest *root, struct asked *out)
{
    const struct batch_request ask = {
        .layer = "base/os", .root = *root, .list = LIST_CONTENT, .run_count = 1, .runs = {{0, 1}}};
    struct buf body;

    buf_init(&body, BATCH_REQUEST_MAX);
    assert_int_equal(batch_request_encode(&ask, &body).code, ALB_OK);
    call(s,
         &(struct http_call_options){.method = "POST",
                                     .path = "/v1/holds",
                                     .body = buf_peek(&body),
                                     .body_size = buf_size(&body),
                                     .expect_bytes = 1 << 20},
         out);
    buf_release(&body);
}

static void who_asks_again_and_again_who_holds_what_does_not_exist_has_to_wait(void **state)
{
    struct stage *g = *state;
    struct http_session *s = dial(g, g->editors[0], 0);
    struct digest root = {.bytes = {1}};
    struct asked asked;
    unsigned missing = 0;

    for (unsigned i = 0; i < 300; i++) {
        root.bytes[1] = (uint8_t)i;
        root.bytes[2] = (uint8_t)(i >> 8);
        ask_holds(s, &root, &asked);
        world_run(g->world, world_now_ns(g->world) + 20 * NS_PER_MS);
        missing += asked.status == 404;
    }
    assert_in_range(missing, 240, 255); /* each may be a question to the parent */
    assert_int_equal(asked.status, 503);
}

static void a_device_has_few_questions_of_who_holds_what_under_way(void **state)
{
    struct stage *g = *state;
    const struct cast_order order = cast_holder_order(&g->holder, "base/os", 1, 1 << 20);
    struct http_session *s = dial(g, g->editors[0], 0);
    static struct asked asked[QUESTIONS], later;
    struct cast_version version;
    unsigned answered = 0, refused = 0;

    cast_version_make(&order, &version);
    cast_holder_publish(&g->holder, &version, 1);
    for (size_t i = 0; i < QUESTIONS; i++)
        ask_holds(s, &version.record.root, &asked[i]);
    run_s(g, 30); /* the parent is nowhere */
    for (size_t i = 0; i < QUESTIONS; i++) {
        answered += asked[i].status == 200;
        refused += asked[i].status == 503;
    }
    assert_int_equal(answered, 4);
    assert_int_equal(refused, QUESTIONS - 4);
    ask_holds(s, &version.record.root, &later);
    run_s(g, 30);
    assert_int_equal(later.status, 200);
    cast_version_release(&version);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_device_with_too_many_connections_hears_why_and_others_come_in),
        TEST(who_is_turned_away_and_says_nothing_is_let_go_soon),
        TEST(one_publishers_bodies_do_not_take_the_room_of_others),
        TEST(bodies_that_machines_announce_take_no_room_from_publishers),
        TEST(bodies_that_strangers_announce_take_no_room_from_devices),
        TEST(a_body_that_never_ends_is_broken_off),
        TEST(bodies_that_share_a_slow_line_arrive),
        TEST(who_does_not_read_its_answers_gets_no_more),
        TEST(more_batches_than_a_session_may_have_open_wait),
        TEST(who_asks_for_what_does_not_exist_again_and_again_has_to_wait),
        TEST(who_asks_again_and_again_who_holds_what_does_not_exist_has_to_wait),
        TEST(a_device_has_few_questions_of_who_holds_what_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
