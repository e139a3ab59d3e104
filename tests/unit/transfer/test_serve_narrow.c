/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_serve_narrow.c – batches over lines that take a byte now and then, or stop. */
/* LINKS: sim_world */
#include "transfer/serve.h"

#include "support/liar.h"
#include "support/narrow.h"
#include "sim/cast_holder.h"

enum { ASKED = 10, PORT_NARROW = 7600 };

static const struct identity maker_id = {
    .role = ROLE_PUBLISHER, .org = "acme", .device = "maker", .serial = "05"};

struct answer {
    struct buf body;
    unsigned status, hits, ends;
    enum alb_code code;
    uint8_t digests[ASKED][32]; /* of the frames, by position */
};

struct stage {
    struct world *world;
    struct loop *hub, *maker;
    struct cast_holder holder;
    struct cast_version version;
    struct listener *listener;
    size_t read_most, write_most; /* of the serve's end at PORT_NARROW */
    struct http_session *session;
    struct narrow *mine;   /* the asker's end, when it is narrow */
    struct narrow *served; /* the serve's, at PORT_NARROW */
    bool is_closed;
};

/* ---- asking ---- */

static void on_status(void *arg, struct http_call *c, unsigned status)
{
    (void)c;
    ((struct answer *)arg)->status = status;
}

static void on_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct answer *a = arg;
    struct batch_item item;
    size_t used = 1;

    (void)c;
    assert_int_equal(buf_append(&a->body, bytes, size).code, ALB_OK);
    while (used > 0) {
        assert_int_equal(batch_item_next(&a->body, CHUNK_STORED_MAX, &item, &used).code, ALB_OK);
        if (used > 0 && item.status == ITEM_HIT) {
            struct digest digest;

            assert_true(item.position < ASKED);
            sha256(item.bytes, item.size, &digest);
            memcpy(a->digests[item.position], digest.bytes, sizeof a->digests[0]);
            a->hits++;
        }
        buf_consume(&a->body, used);
    }
}

static void on_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct answer *a = arg;

    (void)c;
    a->ends++;
    a->code = st.code;
}

static void on_session_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct stage *g = arg;

    (void)s;
    (void)st;
    g->session = NULL;
    g->is_closed = true;
}

static void dial(struct stage *g, uint16_t port, bool is_narrow)
{
    static const struct http_client_ops ops = {.closed = on_session_closed};
    /* The asker is patient: who gives up here is the serve. */
    static const struct http_session_options patient = {.dead_timeout_ns = 3600 * NS_PER_S};
    const struct dial_options to = {.host = "hub", .port = port, .timeout_ns = 10 * NS_PER_S};
    struct stream *stream = loop_dial(g->maker, &to);

    if (is_narrow) {
        g->mine = narrow_new(stream);
        stream = &g->mine->stream;
    }
    g->session = http_connect(stream, &patient, &ops, g);
}

static void ask(struct stage *g, struct answer *a)
{
    static const struct http_call_ops ops = {.head = on_status, .data = on_data, .end = on_end};
    struct batch_request rq = {
        .list = LIST_CONTENT, .run_count = 1, .runs = {{0, ASKED}}, .root = g->version.record.root};
    struct buf body;

    *a = (struct answer){0};
    buf_init(&a->body, 64 << 20);
    buf_init(&body, BATCH_REQUEST_MAX);
    snprintf(rq.layer, sizeof rq.layer, "base/debian-12");
    assert_int_equal(batch_request_encode(&rq, &body).code, ALB_OK);
    http_call_start(g->session,
                    &(struct http_call_options){.method = "POST",
                                                .path = "/v1/chunks",
                                                .body = buf_peek(&body),
                                                .body_size = buf_size(&body),
                                                .expect_bytes = 8 << 20},
                    &ops, a);
    buf_release(&body);
}

static void run_ms(struct stage *g, uint64_t ms)
{
    world_run(g->world, world_now_ns(g->world) + ms * NS_PER_MS);
}

static void hang_up(struct stage *g)
{
    if (g->session != NULL)
        http_session_close(g->session);
    run_ms(g, 100);
    g->is_closed = false;
}

/* ---- stage ---- */

static void on_accepted(void *arg, struct stream *stream)
{
    struct stage *g = arg;
    struct narrow *n = narrow_new(stream);

    n->read_most = g->read_most;
    n->write_most = g->write_most;
    g->served = n;
    serve_accept(g->holder.serve, &n->stream);
}

static int setup(void **state)
{
    static const struct identity hub_id = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    const struct listen_options at = {.address = "::", .port = PORT_NARROW};
    struct stage *g = xalloc(sizeof *g);

    g->world = world_new(1);
    g->hub = world_add_node(g->world, "hub", &hub_id);
    g->maker = world_add_node(g->world, "maker", &maker_id);
    struct world_link *lan = world_add_link(g->world, "lan", 12500 * 1000, NS_PER_MS);
    world_route(g->world, g->hub, g->maker, &lan, 1);
    cast_holder_start(&g->holder, g->hub);
    const struct cast_order order = cast_holder_order(&g->holder, "base/debian-12", 1, 6 << 20);
    cast_version_make(&order, &g->version);
    cast_holder_publish(&g->holder, &g->version, 1);
    assert_int_equal(loop_listen(g->hub, &at, on_accepted, g, &g->listener).code, ALB_OK);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    hang_up(g);
    listener_free(g->listener);
    cast_holder_stop(&g->holder);
    run_ms(g, 60000);
    world_free(g->world);
    cast_holder_release(&g->holder);
    cast_version_release(&g->version);
    free(g);
    return 0;
}

/* What a line without troubles brings. */
static void ask_plainly(struct stage *g, struct answer *a)
{
    dial(g, CAST_PORT, false);
    ask(g, a);
    run_ms(g, 5000);
    assert_int_equal(a->ends, 1);
    assert_int_equal(a->hits, ASKED);
    hang_up(g);
}

static void assert_same_frames(const struct answer *a, const struct answer *b)
{
    assert_int_equal(a->status, 200);
    assert_int_equal(a->ends, 1);
    assert_int_equal(a->code, ALB_OK);
    assert_int_equal(a->hits, ASKED);
    assert_int_equal(buf_size(&a->body), 0);
    assert_memory_equal(a->digests, b->digests, sizeof a->digests);
}

static void answers_release(struct answer *a, struct answer *b)
{
    buf_release(&a->body);
    buf_release(&b->body);
}

/* ---- the laws ---- */

static void a_request_that_comes_byte_by_byte_is_answered_like_any_other(void **state)
{
    struct stage *g = *state;
    struct answer plain, narrow;

    ask_plainly(g, &plain);
    g->read_most = 1;
    dial(g, PORT_NARROW, false);
    ask(g, &narrow);
    run_ms(g, 5000);
    assert_same_frames(&narrow, &plain);
    answers_release(&plain, &narrow);
}

static void an_answer_that_leaves_in_crumbs_is_whole(void **state)
{
    struct stage *g = *state;
    struct answer plain, narrow;

    ask_plainly(g, &plain);
    g->write_most = 2500; /* 1, 2, 3 … bytes: every place in a frame's and an item's head */
    dial(g, PORT_NARROW, false);
    ask(g, &narrow);
    run_ms(g, 20000);
    assert_same_frames(&narrow, &plain);
    answers_release(&plain, &narrow);
}

static void an_answer_that_is_read_byte_by_byte_is_whole(void **state)
{
    struct stage *g = *state;
    struct answer plain, narrow;

    ask_plainly(g, &plain);
    dial(g, CAST_PORT, true);
    g->mine->read_most = 1;
    ask(g, &narrow);
    run_ms(g, 5000);
    assert_same_frames(&narrow, &plain);
    answers_release(&plain, &narrow);
}

static void the_line_that_batches_leave_by_is_marked_as_bulk(void **state)
{
    struct stage *g = *state;
    struct answer a;

    dial(g, PORT_NARROW, false);
    run_ms(g, 1000);
    assert_false(g->served->is_bulk); /* so far it may be a control connection */
    ask(g, &a);
    run_ms(g, 5000);
    assert_int_equal(a.hits, ASKED);
    assert_true(g->served->is_bulk);
    buf_release(&a.body);
}

static uint64_t held(const struct stage *g)
{
    struct serve_stats stats;

    serve_stats(g->holder.serve, &stats);
    return stats.held_bytes;
}

static void stop_in_mid_batch(struct stage *g, struct answer *a)
{
    dial(g, CAST_PORT, true);
    run_ms(g, 100);
    ask(g, a);
    while (a->hits == 0)
        run_ms(g, 1);
    g->mine->is_stopped = true;
    assert_true(a->hits < ASKED);
}

static void a_reader_that_stops_in_mid_batch_and_goes_on_gets_the_rest(void **state)
{
    struct stage *g = *state;
    struct answer plain, stopped;

    ask_plainly(g, &plain);
    stop_in_mid_batch(g, &stopped);
    run_ms(g, 15000);
    assert_int_equal(stopped.ends, 0);
    assert_true(held(g) <= 1 << 20);
    narrow_go_on(g->mine);
    run_ms(g, 5000);
    assert_same_frames(&stopped, &plain);
    assert_int_equal(held(g), 0);
    answers_release(&plain, &stopped);
}

static void a_reader_that_stops_for_good_is_given_up_and_holds_nothing(void **state)
{
    struct stage *g = *state;
    struct answer stopped, later;
    struct serve_stats stats;

    stop_in_mid_batch(g, &stopped);
    run_ms(g, 30000);
    serve_stats(g->holder.serve, &stats);
    assert_int_equal(stats.sessions, 0);
    assert_int_equal(stats.held_bytes, 0);
    narrow_go_on(g->mine); /* what it reads now ends in the middle */
    run_ms(g, 5000);
    assert_int_equal(stopped.ends, 1);
    assert_int_not_equal(stopped.code, ALB_OK);
    hang_up(g);
    ask_plainly(g, &later);
    answers_release(&stopped, &later);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_that_comes_byte_by_byte_is_answered_like_any_other),
        TEST(an_answer_that_leaves_in_crumbs_is_whole),
        TEST(an_answer_that_is_read_byte_by_byte_is_whole),
        TEST(the_line_that_batches_leave_by_is_marked_as_bulk),
        TEST(a_reader_that_stops_in_mid_batch_and_goes_on_gets_the_rest),
        TEST(a_reader_that_stops_for_good_is_given_up_and_holds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
