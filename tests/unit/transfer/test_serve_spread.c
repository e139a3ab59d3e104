/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_serve_spread.c – a parent of hundreds begins anew: in which seconds they come
 * back, with and without being told over how many. */
/* LINKS: sim_world */
#include "transfer/serve.h"

#include "sim/cast_holder.h"
#include "support/liar.h"

enum { CHILDREN = 200, SESSIONS = 2 * CHILDREN, PER_S = 20, SECONDS = 60, SPREAD_PORT = 7600 };

struct child {
    struct loop *loop;
    struct upstream *upstream;
};

struct stage {
    struct world *world;
    struct world_link *link;
    struct loop *hub;
    struct cast_holder holder; /* grants, trust */
    struct serve *serve;       /* the parent */
    struct listener *listener;
    uint32_t sessions_per_s;
    struct child children[CHILDREN];
};

static void give_grant(void *arg, struct serve_request *rq)
{
    (void)arg;
    serve_answer(rq, "application/octet-stream", "", 0);
}

/* What a grant says is nobody's business here. */
static struct alb_status granted(void *arg, const uint8_t *bytes, size_t size,
                                 int64_t *renew_wall_s)
{
    (void)arg;
    (void)bytes;
    (void)size;
    *renew_wall_s = INT64_MAX;
    return ALB_STATUS_OK;
}

static void run_ms(struct stage *g, uint64_t ms)
{
    world_run(g->world, world_now_ns(g->world) + ms * NS_PER_MS);
}

static uint64_t sessions_so_far(const struct stage *g)
{
    struct serve_stats stats;

    serve_stats(g->serve, &stats);
    return stats.sessions_total;
}

/* ---- the parent and its children ---- */

static void parent_start(struct stage *g)
{
    const struct listen_options at = {.address = "::", .port = SPREAD_PORT};

    g->serve = serve_new(&(struct serve_options){.loop = g->hub,
                                                 .port = PORT_TREE,
                                                 .authority = g->holder.authority,
                                                 .records = g->holder.records,
                                                 .roots = g->holder.roots,
                                                 .supply = g->holder.supply,
                                                 .feed = g->holder.feed});
    serve_install_common(g->serve);
    serve_set(g->serve, ROUTE_GRANT, give_grant, g);
    serve_set_spread(g->serve, g->sessions_per_s);
    assert_int_equal(loop_listen(g->hub, &at, serve_accept, g->serve, &g->listener).code, ALB_OK);
}

static void parent_stop(struct stage *g)
{
    g->listener = listener_free(g->listener);
    g->serve = serve_free(g->serve);
}

static void child_start(struct stage *g, unsigned n)
{
    struct identity who = {.role = ROLE_ENDPOINT, .org = "acme", .expires_wall_s = INT64_MAX};
    struct child *c = &g->children[n];

    snprintf(who.device, sizeof who.device, "pc%u", n);
    snprintf(who.serial, sizeof who.serial, "%04x", n + 16);
    c->loop = world_add_node(g->world, who.device, &who);
    world_route(g->world, g->hub, c->loop, &g->link, 1);
    c->upstream = upstream_new(&(struct upstream_options){.loop = c->loop,
                                                          .places = {{"hub", SPREAD_PORT}},
                                                          .place_count = 1,
                                                          .wants_grant = true,
                                                          .granted = granted});
}

static unsigned count_up(const struct stage *g)
{
    unsigned up = 0;

    for (unsigned i = 0; i < CHILDREN; i++)
        up += upstream_is_up(g->children[i].upstream);
    return up;
}

/* Each line breaks once, at another time: then all of them were told of all the others. */
static void everybody_greets_again(struct stage *g)
{
    for (unsigned i = 0; i < CHILDREN; i++) {
        upstream_suspect(g->children[i].upstream, alb_fail(ALB_CLOSED, "the test breaks it"));
        run_ms(g, 500);
    }
    run_ms(g, SECONDS * 1000);
    assert_int_equal(count_up(g), CHILDREN);
}

/* The most sessions in any second after the parent began anew; all must be back in a minute. */
static uint64_t busiest_second(struct stage *g)
{
    uint64_t at[SECONDS * 10 + 1] = {0}, most = 0;

    parent_stop(g);
    parent_start(g);
    for (size_t i = 1; i < ALB_COUNT(at); i++) {
        run_ms(g, 100);
        at[i] = sessions_so_far(g);
        if (i >= 10 && at[i] - at[i - 10] > most)
            most = at[i] - at[i - 10];
    }
    assert_int_equal(count_up(g), CHILDREN);
    print_message("%lu of %u sessions in the busiest second\n", (unsigned long)most, SESSIONS);
    return most;
}

static void open_parent(struct stage *g, uint32_t sessions_per_s)
{
    static const struct identity hub = {.role = ROLE_HUB, .org = "acme", .device = "hub"};

    *g = (struct stage){.world = world_new(1), .sessions_per_s = sessions_per_s};
    g->hub = world_add_node(g->world, "hub", &hub);
    g->link = world_add_link(g->world, "lan", 12500 * 1000, NS_PER_MS);
    cast_holder_start(&g->holder, g->hub);
    parent_start(g);
}

static void open_stage(struct stage *g, uint32_t sessions_per_s)
{
    open_parent(g, sessions_per_s);
    for (unsigned i = 0; i < CHILDREN; i++)
        child_start(g, i);
    run_ms(g, SECONDS * 1000);
    assert_int_equal(count_up(g), CHILDREN);
}

static void close_stage(struct stage *g)
{
    for (unsigned i = 0; i < CHILDREN; i++)
        g->children[i].upstream = upstream_free(g->children[i].upstream);
    parent_stop(g);
    cast_holder_stop(&g->holder);
    run_ms(g, 60000);
    world_free(g->world);
    cast_holder_release(&g->holder);
}

/* ---- tests ---- */

static void children_of_a_parent_that_says_nothing_come_back_all_at_once(void **state)
{
    struct stage *g = *state;

    open_stage(g, 0);
    everybody_greets_again(g);
    assert_in_range(busiest_second(g), SESSIONS / 2, SESSIONS);
    close_stage(g);
}

static void told_of_each_other_they_come_back_at_the_rate_that_the_parent_takes(void **state)
{
    struct stage *g = *state;

    open_stage(g, PER_S);
    everybody_greets_again(g);
    assert_in_range(busiest_second(g), PER_S, 5 * PER_S / 2); /* by chance, not in turn */
    assert_in_range(busiest_second(g), PER_S, 5 * PER_S / 2); /* a second time: still known */
    close_stage(g);
}

/* Who came first was told of few: it is among the first to come back. */
static void also_those_that_came_all_at_once_and_were_told_then_come_back_over_a_time(void **state)
{
    struct stage *g = *state;

    open_stage(g, PER_S);
    assert_in_range(busiest_second(g), PER_S, SESSIONS / 3);
    close_stage(g);
}

static void nobody_waits_for_a_parent_that_takes_all_of_them_in_one_second(void **state)
{
    struct stage *g = *state;

    open_stage(g, SESSIONS + 1);
    everybody_greets_again(g);
    assert_in_range(busiest_second(g), SESSIONS / 2, SESSIONS);
    close_stage(g);
}

/* ---- the words ---- */

struct greeting {
    char text[64];
    size_t size;
};

static void on_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct greeting *told = arg;

    (void)c;
    assert_true(told->size + size < sizeof told->text);
    memcpy(told->text + told->size, bytes, size);
    told->size += size;
}

static void on_end(void *arg, struct http_call *c, struct alb_status st)
{
    (void)arg;
    (void)c;
    assert_int_equal(st.code, ALB_OK);
}

static struct greeting greet(struct stage *g, struct http_session *session)
{
    static const struct http_call_ops ops = {.data = on_data, .end = on_end};
    struct greeting told = {.size = 0};

    (void)http_call_start(
        session,
        &(struct http_call_options){.method = "POST", .path = "/v1/session", .expect_bytes = 64},
        &ops, &told);
    run_ms(g, 500);
    return told;
}

static void a_greeting_says_how_long_as_many_as_there_ever_were_take(void **state)
{
    enum { LINES = 30, EACH_S = 10 };
    static const struct http_client_ops no_ops = {.closed = NULL};
    static const struct identity pc = {
        .role = ROLE_ENDPOINT, .org = "acme", .device = "pc", .serial = "04"};
    const struct dial_options to = {.host = "hub", .port = SPREAD_PORT, .timeout_ns = NS_PER_S};
    struct http_session *lines[LINES];
    struct stage *g = *state;

    open_parent(g, EACH_S);
    struct loop *node = world_add_node(g->world, "pc", &pc);
    world_route(g->world, g->hub, node, &g->link, 1);
    for (unsigned i = 0; i < LINES; i++) {
        lines[i] = http_connect(loop_dial(node, &to), NULL, &no_ops, NULL);
        run_ms(g, 100);
        const struct greeting told = greet(g, lines[i]);
        if (i + 1 < EACH_S)
            assert_string_equal(told.text, "");
        else if (i + 1 < 2 * EACH_S)
            assert_string_equal(told.text, "{\"spread_s\":1}");
        else
            assert_memory_equal(told.text, "{\"spread_s\":", 12);
    }
    for (unsigned i = 1; i < LINES; i++)
        http_session_close(lines[i]);
    run_ms(g, 1000);
    assert_string_equal(greet(g, lines[0]).text, "{\"spread_s\":3}");
    http_session_close(lines[0]);
    close_stage(g);
}

static int setup(void **state)
{
    *state = xalloc(sizeof(struct stage));
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(children_of_a_parent_that_says_nothing_come_back_all_at_once),
        TEST(told_of_each_other_they_come_back_at_the_rate_that_the_parent_takes),
        TEST(also_those_that_came_all_at_once_and_were_told_then_come_back_over_a_time),
        TEST(nobody_waits_for_a_parent_that_takes_all_of_them_in_one_second),
        TEST(a_greeting_says_how_long_as_many_as_there_ever_were_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
