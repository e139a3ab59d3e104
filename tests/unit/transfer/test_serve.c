/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_serve.c – who may ask what, and what slow, rude and vanishing askers cost. */
/* LINKS: sim_world */
#include "transfer/serve.h"

#include "support/liar.h"
#include "sim/cast_holder.h"
#include "transfer/feed.h"
#include "wire/json.h"

enum { ROLES = 6, CALLS = 400, LATER_PORT = 7600 };

static const struct identity ids[ROLES] = {
    {.role = ROLE_NONE},
    {.role = ROLE_HUB, .org = "acme", .device = "other-hub", .serial = "02"},
    {.role = ROLE_REFLECTOR, .org = "acme", .device = "box", .serial = "03"},
    {.role = ROLE_ENDPOINT, .org = "acme", .device = "pc", .serial = "04"},
    {.role = ROLE_PUBLISHER, .org = "acme", .device = "maker", .serial = "05"},
    {.role = ROLE_ADMIN, .org = "acme", .device = "boss", .serial = "06"},
};

struct caller {
    struct stage *stage;
    struct http_call *call;
    unsigned status, ends;
    enum alb_code code;
    struct buf body;
    size_t stop_after; /* 0: never; else cancel after so many bytes */
    unsigned hits;     /* whole items, counted as they come when the stage watches */
};

struct stage {
    struct world *world;
    struct world_link *link;
    struct loop *hub, *nodes[ROLES];
    struct cast_holder holder;
    struct cast_version version;
    struct http_session *sessions[ROLES];
    bool closed[ROLES];
    struct caller callers[CALLS];
    size_t called;
    unsigned handled;           /* by stubs */
    struct serve_request *kept; /* by the handler that answers later */
    unsigned gone;
    bool watches;          /* that no item is interrupted by another's bytes */
    struct caller *middle; /* in the middle of an item */
    unsigned changes;      /* from one batch to another */
    struct caller *last;
};

/* ---- callers ---- */

static void on_status(void *arg, struct http_call *c, unsigned status)
{
    (void)c;
    ((struct caller *)arg)->status = status;
}

/* The session's bytes in the order they came. */
static void watch(struct caller *r)
{
    struct stage *g = r->stage;
    struct batch_item item;
    size_t used = 1;

    assert_true(g->middle == NULL || g->middle == r);
    g->changes += g->last != r;
    g->last = r;
    while (used > 0) {
        assert_int_equal(batch_item_next(&r->body, CHUNK_STORED_MAX, &item, &used).code, ALB_OK);
        r->hits += used > 0 && item.status == ITEM_HIT;
        buf_consume(&r->body, used);
    }
    g->middle = buf_size(&r->body) > 0 ? r : NULL;
}

static void on_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct caller *r = arg;

    assert_int_equal(buf_append(&r->body, bytes, size).code, ALB_OK);
    if (r->stage->watches)
        watch(r);
    if (r->stop_after != 0 && buf_size(&r->body) >= r->stop_after) {
        http_call_cancel(c);
        r->call = NULL;
    }
}

static void on_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct caller *r = arg;

    (void)c;
    r->call = NULL;
    r->ends++;
    r->code = st.code;
}

static void on_session_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct stage *g = arg;

    (void)st;
    for (unsigned i = 0; i < ROLES; i++) {
        if (g->sessions[i] == s) {
            g->sessions[i] = NULL;
            g->closed[i] = true;
        }
    }
}

static const struct http_call_ops call_ops = {.head = on_status, .data = on_data, .end = on_end};
static const struct http_client_ops client_ops = {.closed = on_session_closed};

static void dial(struct stage *g, unsigned who, uint16_t port)
{
    const struct dial_options to = {.host = "hub", .port = port, .timeout_ns = 10 * NS_PER_S};

    g->sessions[who] = http_connect(loop_dial(g->nodes[who], &to), NULL, &client_ops, g);
    g->closed[who] = false;
}

static struct caller *call(struct stage *g, unsigned who, struct http_call_options options)
{
    struct caller *r = &g->callers[g->called++];

    assert_true(g->called <= CALLS);
    r->stage = g;
    buf_init(&r->body, 64 << 20);
    if (options.method == NULL)
        options.method = "GET";
    if (options.expect_bytes == 0)
        options.expect_bytes = 8 << 20;
    r->call = http_call_start(g->sessions[who], &options, &call_ops, r);
    return r;
}

static struct caller *get(struct stage *g, unsigned who, const char *path)
{
    return call(g, who, (struct http_call_options){.path = path});
}

static void run_ms(struct stage *g, uint64_t ms)
{
    world_run(g->world, world_now_ns(g->world) + ms * NS_PER_MS);
}

static unsigned status_of(struct stage *g, struct caller *r)
{
    run_ms(g, 3000);
    assert_int_equal(r->ends, 1);
    return r->status;
}

static const char *message_of(struct caller *r)
{
    static struct error_body error;

    error_body_decode(buf_peek(&r->body), buf_size(&r->body), &error);
    return error.message;
}

/* ---- stage ---- */

static int setup(void **state)
{
    static const struct identity hub_id = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    static const char *const names[ROLES] = {"nobody", "hub2", "box", "pc", "maker", "boss"};
    struct stage *g = xalloc(sizeof *g);

    if (getenv("ALB_LOG") != NULL)
        log_install(liar_print_log, NULL, LOG_DEBUG);
    g->world = world_new(1);
    g->hub = world_add_node(g->world, "hub", &hub_id);
    g->link = world_add_link(g->world, "lan", 12500 * 1000, NS_PER_MS);
    for (unsigned i = 0; i < ROLES; i++) {
        g->nodes[i] = world_add_node(g->world, names[i], i == 0 ? NULL : &ids[i]);
        world_route(g->world, g->hub, g->nodes[i], &g->link, 1);
    }
    cast_holder_start(&g->holder, g->hub);
    const struct cast_order order = cast_holder_order(&g->holder, "base/debian-12", 1, 6 << 20);
    cast_version_make(&order, &g->version);
    cast_holder_publish(&g->holder, &g->version, 1);
    for (unsigned i = 0; i < ROLES; i++)
        dial(g, i, CAST_PORT);
    run_ms(g, 1000);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    for (unsigned i = 0; i < ROLES; i++)
        if (g->sessions[i] != NULL)
            http_session_close(g->sessions[i]);
    cast_holder_stop(&g->holder);
    run_ms(g, 60000);
    world_free(g->world);
    cast_holder_release(&g->holder);
    cast_version_release(&g->version);
    for (size_t i = 0; i < g->called; i++)
        buf_release(&g->callers[i].body);
    free(g);
    return 0;
}

/* ---- who may ask what ---- */

static void stub(void *arg, struct serve_request *rq)
{
    struct stage *g = arg;

    g->handled++;
    serve_answer(rq, NULL, "done", 4);
}

static bool bearer_is(void *arg, const char *token)
{
    (void)arg;
    return strcmp(token, "right") == 0;
}

static struct serve *open_stubs(struct stage *g, unsigned port, struct listener **listener)
{
    struct serve *s = serve_new(&(struct serve_options){
        .loop = g->hub, .port = port, .authority = g->holder.authority, .bearer = bearer_is});
    const struct listen_options at = {.address = "::", .port = LATER_PORT};

    for (unsigned i = 0; i < ROUTE_COUNT; i++)
        serve_set(s, (enum route_id)i, stub, g);
    assert_int_equal(loop_listen(g->hub, &at, serve_accept, s, listener).code, ALB_OK);
    return s;
}

static void every_row_takes_its_roles_and_refuses_the_others(void **state)
{
    struct stage *g = *state;
    struct listener *listener;
    struct serve *s = open_stubs(g, PORT_TREE, &listener);
    struct caller *answers[ROUTE_COUNT][ROLES] = {0};
    unsigned allowed = 0;

    for (unsigned i = 0; i < ROLES; i++)
        dial(g, i, LATER_PORT);
    for (unsigned r = 0; r < ROUTE_COUNT; r++) {
        char path[64];
        snprintf(path, sizeof path, "%s", routes[r].pattern);
        if (strchr(path, '*') != NULL)
            memcpy(strchr(path, '*'), "x", 2);
        for (unsigned i = 0; i < ROLES; i++)
            answers[r][i] =
                call(g, i, (struct http_call_options){.method = routes[r].method, .path = path});
        run_ms(g, 200);
    }
    run_ms(g, 5000);
    for (unsigned r = 0; r < ROUTE_COUNT; r++) {
        for (unsigned i = 0; i < ROLES; i++) {
            const bool may = (routes[r].roles & (unsigned)ids[i].role) != 0;
            unsigned expected = may ? 200 : i == 0 ? 401 : 403;
            if ((routes[r].ports & PORT_TREE) == 0)
                expected = 404;
            assert_int_equal(answers[r][i]->ends, 1);
            assert_int_equal(answers[r][i]->status, expected);
            allowed += expected == 200;
        }
    }
    assert_int_equal(g->handled, allowed);
    listener_free(listener);
    serve_free(s);
}

static void the_admin_port_wants_its_token(void **state)
{
    static const struct {
        const char *value;
        unsigned status;
    } cases[] = {
        {"Bearer right", 200}, {"Bearer wrong", 401}, {"Basic right", 401}, {"Bearer", 401}};
    struct stage *g = *state;
    struct listener *listener;
    struct serve *s = open_stubs(g, PORT_ADMIN, &listener);

    dial(g, 0, LATER_PORT);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct http_header header = {"authorization", cases[i].value};
        assert_int_equal(
            status_of(g, call(g, 0,
                              (struct http_call_options){
                                  .path = "/metrics", .headers = &header, .header_count = 1})),
            cases[i].status);
    }
    assert_int_equal(status_of(g, get(g, 0, "/metrics")), 401);
    assert_int_equal(status_of(g, get(g, 0, "/v1/status")), 404); /* the tree port's */
    listener_free(listener);
    serve_free(s);
}

static void what_is_no_row_is_404_and_a_wrong_method_too(void **state)
{
    struct stage *g = *state;

    assert_int_equal(status_of(g, get(g, 3, "/")), 404);
    assert_int_equal(status_of(g, get(g, 3, "/v2/head/base/debian-12")), 404);
    assert_int_equal(status_of(g, get(g, 3, "/v1/chunks")), 404);
    assert_int_equal(status_of(g, get(g, 5, "/v1/devices")),
                     404); /* this holder has no such part */
}

static void another_version_of_the_protocol_is_refused_by_name(void **state)
{
    struct stage *g = *state;
    const struct http_header ours = {"albedo-proto", "1"}, other = {"albedo-proto", "2"};

    assert_int_equal(
        status_of(g, call(g, 3,
                          (struct http_call_options){
                              .path = "/v1/revoked", .headers = &ours, .header_count = 1})),
        404); /* no list yet */
    struct caller *r = call(
        g, 3,
        (struct http_call_options){.path = "/v1/revoked", .headers = &other, .header_count = 1});
    assert_int_equal(status_of(g, r), 400);
    assert_non_null(strstr(message_of(r), "albedo-proto 1, not '2'"));
    assert_int_equal(status_of(g, get(g, 3, "/v1/trust/1")), 200); /* says nothing: curl */
}

static void a_body_beyond_the_rows_limit_is_413(void **state)
{
    struct stage *g = *state;
    static const uint8_t much[70 << 10];

    assert_int_equal(status_of(g, call(g, 3,
                                       (struct http_call_options){.method = "POST",
                                                                  .path = "/v1/session",
                                                                  .body = much,
                                                                  .body_size = sizeof much})),
                     413);
}

/* ---- grants ---- */

static struct caller *greet(struct stage *g, unsigned who, const struct grant *grant,
                            const struct sign_secret *key)
{
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(grant_encode(grant, key, &bytes).code, ALB_OK);
    struct caller *r = call(g, who,
                            (struct http_call_options){.method = "POST",
                                                       .path = "/v1/session",
                                                       .body = buf_peek(&bytes),
                                                       .body_size = buf_size(&bytes)});
    buf_release(&bytes);
    return r;
}

static struct grant grant_for(struct stage *g, const char *device, const char *prefix)
{
    struct grant grant = {.org = "acme", .prefix_count = 1};

    snprintf(grant.device, sizeof grant.device, "%s", device);
    snprintf(grant.prefixes[0], sizeof grant.prefixes[0], "%s", prefix);
    grant.issued_wall_s = loop_wall_s(g->hub);
    grant.expires_wall_s = grant.issued_wall_s + 3600;
    return grant;
}

static void a_grant_opens_its_layers_until_it_expires(void **state)
{
    struct stage *g = *state;
    struct grant grant = grant_for(g, "pc", "base");

    assert_int_equal(status_of(g, get(g, 3, "/v1/head/base/debian-12")), 404);
    assert_int_equal(status_of(g, greet(g, 3, &grant, &g->holder.hub_key)), 200);
    assert_int_equal(status_of(g, get(g, 3, "/v1/head/base/debian-12")), 200);
    assert_int_equal(status_of(g, get(g, 3, "/v1/head/app/x")), 404);
    assert_int_equal(status_of(g, get(g, 4, "/v1/head/base/debian-12")), 200); /* a publisher */
    run_ms(g, 3700 * 1000);
    assert_int_equal(status_of(g, get(g, 3, "/v1/head/base/debian-12")), 404);
}

static void grants_that_are_not_this_devices_are_refused(void **state)
{
    struct stage *g = *state;
    struct grant other = grant_for(g, "someone", ""), foreign = grant_for(g, "pc", ""),
                 old = grant_for(g, "pc", ""), forged = grant_for(g, "pc", "");

    snprintf(foreign.org, sizeof foreign.org, "evil");
    old.issued_wall_s -= 7200;
    old.expires_wall_s -= 7200;
    assert_int_equal(status_of(g, greet(g, 3, &other, &g->holder.hub_key)), 403);
    assert_int_equal(status_of(g, greet(g, 3, &foreign, &g->holder.hub_key)), 403);
    assert_int_equal(status_of(g, greet(g, 3, &old, &g->holder.hub_key)), 403);
    assert_true(status_of(g, greet(g, 3, &forged, &g->holder.publisher_key)) >= 400);
    assert_int_equal(status_of(g, get(g, 3, "/v1/head/base/debian-12")), 404);
}

/* ---- revocation ---- */

static void revoke(struct stage *g, uint64_t number, const char *serial)
{
    char serials[1][41] = {{0}};
    struct revocations list = {.org = "acme", .number = number, .serials = serials, .count = 1};
    struct buf bytes;

    snprintf(serials[0], sizeof serials[0], "%s", serial);
    list.issued_wall_s = loop_wall_s(g->hub);
    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(revocations_encode(&list, &g->holder.hub_key, &bytes).code, ALB_OK);
    assert_int_equal(
        authority_add_revocations(g->holder.authority, buf_peek(&bytes), buf_size(&bytes)).code,
        ALB_OK);
    buf_release(&bytes);
}

static void a_revoked_device_is_hung_up_on_at_once(void **state)
{
    struct stage *g = *state;
    struct caller *events = get(g, 3, "/v1/events");

    run_ms(g, 500);
    revoke(g, 1, "04");
    serve_recheck(g->holder.serve);
    run_ms(g, 100);
    assert_true(g->closed[3]);
    assert_int_equal(events->ends, 1);
    assert_false(g->closed[2]);
}

static void and_refused_on_its_next_request(void **state)
{
    struct stage *g = *state;

    revoke(g, 1, "04");
    struct caller *r = get(g, 3, "/v1/trust/1");
    assert_int_equal(status_of(g, r), 403);
    assert_non_null(strstr(message_of(r), "revoked"));
    assert_true(g->closed[3]);
    dial(g, 3, CAST_PORT);
    assert_int_equal(status_of(g, get(g, 3, "/v1/trust/1")), 403);
}

/* ---- askers that go away ---- */

static void on_gone(struct serve_request *rq)
{
    ((struct stage *)rq->work)->gone++;
}

static void keep_with_gone(void *arg, struct serve_request *rq)
{
    struct stage *g = arg;

    g->kept = rq;
    rq->work = g;
    rq->gone = on_gone;
}

static void keep(void *arg, struct serve_request *rq)
{
    ((struct stage *)arg)->kept = rq;
}

static void a_handler_hears_that_its_asker_is_gone(void **state)
{
    struct stage *g = *state;

    serve_set(g->holder.serve, ROUTE_STATUS, keep_with_gone, g);
    struct caller *r = get(g, 3, "/v1/status");
    run_ms(g, 500);
    http_call_cancel(r->call);
    run_ms(g, 500);
    assert_int_equal(g->gone, 1);
}

static void one_that_cannot_stop_may_still_answer_a_dead_session(void **state)
{
    struct stage *g = *state;

    serve_set(g->holder.serve, ROUTE_STATUS, keep, g);
    get(g, 3, "/v1/status");
    run_ms(g, 500);
    http_session_close(g->sessions[3]);
    run_ms(g, 5000);
    assert_null(g->kept->x);
    assert_int_equal(g->kept->session->who.role, ROLE_ENDPOINT);
    serve_refuse(g->kept, ALB_NOT_FOUND, "too late");
}

static void and_one_even_when_the_serve_is_gone(void **state)
{
    struct stage *g = *state;

    serve_set(g->holder.serve, ROUTE_STATUS, keep, g);
    get(g, 3, "/v1/status");
    run_ms(g, 500);
    g->holder.serve = serve_free(g->holder.serve);
    run_ms(g, 5000);
    serve_refuse(g->kept, ALB_NOT_FOUND, "too late");
}

/* ---- batches ---- */

/* Ask for positions [first, first + count) of list C. */
static struct caller *ask_batch(struct stage *g, unsigned who, uint32_t first, uint32_t count)
{
    struct batch_request rq = {.list = LIST_CONTENT,
                               .run_count = 1,
                               .runs = {{first, count}},
                               .root = g->version.record.root};
    struct buf body;

    snprintf(rq.layer, sizeof rq.layer, "base/debian-12");
    buf_init(&body, BATCH_REQUEST_MAX);
    assert_int_equal(batch_request_encode(&rq, &body).code, ALB_OK);
    struct caller *r = call(g, who,
                            (struct http_call_options){.method = "POST",
                                                       .path = "/v1/chunks",
                                                       .body = buf_peek(&body),
                                                       .body_size = buf_size(&body)});
    buf_release(&body);
    return r;
}

/* Whole items in the body, by status. */
static void count_items(struct caller *r, unsigned counts[5])
{
    struct batch_item item;
    size_t used = 1;

    memset(counts, 0, 5 * sizeof counts[0]);
    while (used > 0) {
        assert_int_equal(batch_item_next(&r->body, CHUNK_STORED_MAX, &item, &used).code, ALB_OK);
        if (used > 0)
            counts[item.status]++;
        buf_consume(&r->body, used);
    }
}

static void a_batch_answers_each_position_once(void **state)
{
    struct stage *g = *state;
    unsigned counts[5];

    struct caller *r = ask_batch(g, 4, 2, 8);
    assert_int_equal(status_of(g, r), 200);
    assert_int_equal(r->code, ALB_OK);
    count_items(r, counts);
    assert_int_equal(counts[ITEM_HIT], 8);
    assert_int_equal(buf_size(&r->body), 0);
    r = ask_batch(g, 4, 100000, 5);
    assert_int_equal(status_of(g, r), 200);
    count_items(r, counts);
    assert_int_equal(counts[ITEM_MISSING], 5);
}

static void a_batch_beyond_the_grant_is_404_and_nonsense_400(void **state)
{
    struct stage *g = *state;

    assert_int_equal(status_of(g, ask_batch(g, 3, 0, 5)), 404);
    assert_int_equal(status_of(g, call(g, 4,
                                       (struct http_call_options){.method = "POST",
                                                                  .path = "/v1/chunks",
                                                                  .body = "nonsense",
                                                                  .body_size = 8})),
                     400);
}

static void a_slow_reader_holds_little(void **state)
{
    struct stage *g = *state;
    struct serve_stats stats;
    unsigned counts[5];

    /* 6 MiB of content asked for over a link that is all but shut. */
    struct loop *snail = world_add_node(g->world, "snail", &ids[4]);
    struct world_link *slow = world_add_link(g->world, "slow", 2000, NS_PER_MS);
    world_route(g->world, g->hub, snail, &slow, 1);
    http_session_close(g->sessions[4]);
    run_ms(g, 100);
    g->nodes[4] = snail;
    dial(g, 4, CAST_PORT);
    run_ms(g, 5000);
    struct caller *r = ask_batch(g, 4, 0, 20);
    for (unsigned i = 0; i < 20; i++) {
        run_ms(g, 1000);
        assert_true(g->holder.serve != NULL);
        serve_stats(g->holder.serve, &stats);
        assert_true(stats.held_bytes <= 1 << 20);
    }
    assert_true(stats.held_bytes > 0);
    http_call_cancel(r->call);
    run_ms(g, 60000);
    serve_stats(g->holder.serve, &stats);
    assert_int_equal(stats.held_bytes, 0);
    r = ask_batch(g, 5, 0, 20); /* a quick one gets all of it, in spite of letting go */
    run_ms(g, 5000);
    count_items(r, counts);
    assert_int_equal(counts[ITEM_HIT], 20);
}

static void an_asker_may_go_away_in_the_middle_of_an_item(void **state)
{
    struct stage *g = *state;
    unsigned counts[5];

    for (size_t stop = 1; stop < 600000; stop = stop * 3 + 7) {
        struct caller *first = ask_batch(g, 4, 0, 10);
        first->stop_after = stop;
        struct caller *second = ask_batch(g, 4, 3, 10);
        assert_int_equal(status_of(g, second), 200);
        count_items(second, counts);
        assert_int_equal(counts[ITEM_HIT], 10); /* the lane is free again */
        assert_null(first->call);
    }
}

static void items_of_batches_on_one_connection_never_interleave(void **state)
{
    struct stage *g = *state;
    struct caller *r[4];

    for (unsigned i = 0; i < 4; i++)
        r[i] = ask_batch(g, 4, i * 3, 10);
    g->watches = true;
    run_ms(g, 20000);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(r[i]->ends, 1);
        assert_int_equal(r[i]->hits, 10);
    }
    assert_null(g->middle);
    assert_true(g->changes >= 4);
}

static void free_after_ms(struct stage *g, unsigned ms)
{
    ask_batch(g, 4, 0, 20);
    ask_batch(g, 4, 5, 20);
    get(g, 4, "/v1/events");
    get(g, 4, "/v1/head/base/debian-12");
    char path[128], hex[DIGEST_HEX_SIZE];
    snprintf(path, sizeof path, "/v1/chunk/%s/C/1?layer=base/debian-12",
             digest_hex(&g->version.record.root, hex));
    struct caller *r = get(g, 4, path);
    run_ms(g, ms);
    cast_holder_stop(&g->holder); /* books and supply go right after the serve */
    run_ms(g, 5000);
    assert_int_equal(r->ends, 1);
    assert_true(g->closed[4]);
}

static void the_serve_may_be_freed_at_every_moment_of_a_batch(void **state)
{
    (void)state;
    for (unsigned ms = 0; ms < 30; ms += 2) {
        void *g;
        setup(&g);
        free_after_ms(g, ms);
        teardown(&g);
    }
}

/* ---- sessions ---- */

static void nobody_is_hung_up_on_when_idle_and_a_device_is_not(void **state)
{
    struct stage *g = *state;

    run_ms(g, 25000);
    assert_false(g->closed[0]);
    run_ms(g, 10000);
    assert_true(g->closed[0]);
    assert_false(g->closed[3]);
}

static void sessions_beyond_the_limit_are_turned_away(void **state)
{
    struct stage *g = *state;
    enum { LIMIT = 2000 };
    static struct http_session *many[LIMIT + 50];
    struct serve *s = serve_new(&(struct serve_options){.loop = g->hub,
                                                        .port = PORT_TREE,
                                                        .authority = g->holder.authority,
                                                        .max_sessions = LIMIT,
                                                        .max_device_sessions = LIMIT});
    const struct listen_options at = {.address = "::", .port = LATER_PORT};
    const struct dial_options to = {.host = "hub", .port = LATER_PORT, .timeout_ns = NS_PER_S * 60};
    struct listener *listener;
    struct serve_stats stats;

    assert_int_equal(loop_listen(g->hub, &at, serve_accept, s, &listener).code, ALB_OK);
    for (size_t i = 0; i < LIMIT + 50; i++)
        many[i] = http_connect(loop_dial(g->nodes[3], &to), NULL, &client_ops, g);
    run_ms(g, 5000);
    serve_stats(s, &stats);
    assert_int_equal(stats.sessions, LIMIT);
    assert_int_equal(stats.turned_away, 50);
    size_t open = 0;
    listener_free(listener);
    serve_free(s);
    for (size_t i = 0; i < LIMIT + 50; i++)
        open += many[i] != NULL;
    assert_int_equal(open, LIMIT + 50);
    run_ms(g, 30000);
}

/* ---- events ---- */

static void events_reach_who_listens_and_end_when_the_port_drains(void **state)
{
    struct stage *g = *state;
    struct caller *r = get(g, 3, "/v1/events");

    run_ms(g, 500);
    feed_say(g->holder.feed, "trust");
    run_ms(g, 100);
    assert_int_equal(r->status, 200);
    assert_int_equal(buf_size(&r->body), 6);
    assert_memory_equal(buf_peek(&r->body), "trust\n", 6);
    serve_drain(g->holder.serve);
    run_ms(g, 2000);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->code, ALB_OK);
    assert_true(g->closed[3]);
}

static void a_listener_that_does_not_keep_up_is_cut_off(void **state)
{
    struct stage *g = *state;
    struct caller *slow = get(g, 3, "/v1/events"), *quick = get(g, 4, "/v1/events");
    char line[200];

    run_ms(g, 500);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    for (unsigned i = 0; i < 100; i++) /* all at once: more than one queue holds */
        feed_say(g->holder.feed, line);
    run_ms(g, 2000);
    assert_int_equal(slow->ends, 1);
    assert_int_equal(slow->code, ALB_OK);
    assert_true(buf_size(&slow->body) < 17 << 10);
    assert_int_equal(quick->ends, 1);
    slow = get(g, 3, "/v1/events");
    run_ms(g, 500);
    feed_say(g->holder.feed, "layers");
    run_ms(g, 500);
    assert_int_equal(buf_size(&slow->body), 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_row_takes_its_roles_and_refuses_the_others),
        TEST(the_admin_port_wants_its_token),
        TEST(what_is_no_row_is_404_and_a_wrong_method_too),
        TEST(another_version_of_the_protocol_is_refused_by_name),
        TEST(a_body_beyond_the_rows_limit_is_413),
        TEST(a_grant_opens_its_layers_until_it_expires),
        TEST(grants_that_are_not_this_devices_are_refused),
        TEST(a_revoked_device_is_hung_up_on_at_once),
        TEST(and_refused_on_its_next_request),
        TEST(a_handler_hears_that_its_asker_is_gone),
        TEST(one_that_cannot_stop_may_still_answer_a_dead_session),
        TEST(and_one_even_when_the_serve_is_gone),
        TEST(a_batch_answers_each_position_once),
        TEST(a_batch_beyond_the_grant_is_404_and_nonsense_400),
        TEST(a_slow_reader_holds_little),
        TEST(an_asker_may_go_away_in_the_middle_of_an_item),
        TEST(items_of_batches_on_one_connection_never_interleave),
        cmocka_unit_test(the_serve_may_be_freed_at_every_moment_of_a_batch),
        TEST(nobody_is_hung_up_on_when_idle_and_a_device_is_not),
        TEST(sessions_beyond_the_limit_are_turned_away),
        TEST(events_reach_who_listens_and_end_when_the_port_drains),
        TEST(a_listener_that_does_not_keep_up_is_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
