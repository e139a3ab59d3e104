/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_serve_nobody.c – what those cost who show no certificate, or one that runs
 * out. */
/* LINKS: sim_world */
#include "transfer/serve.h"

#include "sim/cast_holder.h"
#include "support/liar.h"

enum { SECOND_PORT = 7600, LIMIT = 40, CROWD = 60 };

struct asked {
    unsigned status;
    bool is_over;
    struct buf body;
};

struct stage {
    struct world *world;
    struct world_link *link;
    struct loop *hub, *nobody, *device;
    struct cast_holder holder;
    struct serve *serve; /* a second one, with few places */
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
    (void)c;
    assert_int_equal(buf_append(&((struct asked *)arg)->body, bytes, size).code, ALB_OK);
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

static struct http_session *dial(struct stage *g, struct loop *from, uint16_t port)
{
    static const struct http_client_ops ops = {.closed = on_closed};
    const struct dial_options to = {.host = "hub", .port = port, .timeout_ns = 60 * NS_PER_S};

    return http_connect(loop_dial(from, &to), NULL, &ops, g);
}

static void call(struct http_session *s, const struct http_call_options *options, struct asked *out)
{
    static const struct http_call_ops ops = {.head = on_status, .data = on_data, .end = on_end};

    *out = (struct asked){.status = 0};
    buf_init(&out->body, 4096);
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

/* ---- stage ---- */

static int setup(void **state)
{
    static const struct identity hub = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    static const struct identity pc = {
        .role = ROLE_ENDPOINT, .org = "acme", .device = "pc", .serial = "04"};
    const struct listen_options at = {.address = "::", .port = SECOND_PORT};
    struct stage *g = xalloc(sizeof *g);

    g->world = world_new(1);
    g->hub = world_add_node(g->world, "hub", &hub);
    g->nobody = world_add_node(g->world, "nobody", NULL);
    g->device = world_add_node(g->world, "pc", &pc);
    g->link = world_add_link(g->world, "lan", 12500 * 1000, NS_PER_MS);
    world_route(g->world, g->hub, g->nobody, &g->link, 1);
    world_route(g->world, g->hub, g->device, &g->link, 1);
    cast_holder_start(&g->holder, g->hub);
    g->serve = serve_new(&(struct serve_options){.loop = g->hub,
                                                 .port = PORT_TREE,
                                                 .authority = g->holder.authority,
                                                 .max_sessions = LIMIT});
    serve_set(g->serve, ROUTE_ENROL, stub, g);
    assert_int_equal(loop_listen(g->hub, &at, serve_accept, g->serve, &g->listener).code, ALB_OK);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    listener_free(g->listener);
    serve_free(g->serve);
    cast_holder_stop(&g->holder);
    run_s(g, 60);
    world_free(g->world);
    cast_holder_release(&g->holder);
    free(g);
    return 0;
}

/* A request whose body never ends keeps a session from being idle. */
static void a_place_is_not_held_by_never_ending_a_request(void **state)
{
    struct stage *g = *state;
    struct asked asked;

    call(dial(g, g->nobody, SECOND_PORT),
         &(struct http_call_options){
             .method = "POST", .path = "/v1/enrol", .source = {.pull = says_nothing}},
         &asked);
    run_s(g, 80);
    assert_int_equal(g->closed, 0);
    run_s(g, 15);
    assert_int_equal(g->closed, 1);
    assert_int_equal(g->handled, 0);
    buf_release(&asked.body);
}

static void a_crowd_of_nobodies_leaves_room_for_devices(void **state)
{
    struct stage *g = *state;
    struct serve_stats stats;

    for (size_t i = 0; i < CROWD; i++)
        (void)dial(g, g->nobody, SECOND_PORT);
    run_s(g, 2);
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.sessions, LIMIT / 4);
    for (size_t i = 0; i < CROWD; i++)
        (void)dial(g, g->device, SECOND_PORT);
    run_s(g, 2);
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.sessions, LIMIT);
    run_s(g, 60); /* the nobodies go, the devices stay */
    serve_stats(g->serve, &stats);
    assert_int_equal(stats.sessions, LIMIT - LIMIT / 4);
}

static void a_certificate_is_heard_until_it_expires(void **state)
{
    const struct http_call_options trust = {
        .method = "GET", .path = "/v1/trust/1", .expect_bytes = 4096};
    struct stage *g = *state;
    struct identity brief = {.role = ROLE_ENDPOINT, .org = "acme", .device = "b", .serial = "05"};
    struct asked first, second;

    brief.expires_wall_s = loop_wall_s(g->hub) + 60;
    struct loop *node = world_add_node(g->world, "brief", &brief);
    world_route(g->world, g->hub, node, &g->link, 1);
    struct http_session *session = dial(g, node, CAST_PORT);
    call(session, &trust, &first);
    run_s(g, 1);
    assert_int_equal(first.status, 200);
    run_s(g, 70);
    call(session, &trust, &second);
    run_s(g, 1);
    assert_int_equal(second.status, 403);
    assert_non_null(strstr(buf_text(&second.body), "has expired"));
    buf_release(&first.body);
    buf_release(&second.body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_place_is_not_held_by_never_ending_a_request),
        TEST(a_crowd_of_nobodies_leaves_room_for_devices),
        TEST(a_certificate_is_heard_until_it_expires),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
