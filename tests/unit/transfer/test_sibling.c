/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_sibling.c – a sibling that lies, hangs, refuses, or is somebody else. */
/* LINKS: sim_world */
#include "transfer/sibling.h"

#include "support/liar.h"

enum { CHUNKS = 12, RAW_SIZE = 3000 };
enum deed { GIVES, LACKS, LIES, GIVES_MORE, REFUSES, HANGS, QUEUES };

struct probe {
    struct sibling_ask ask;
    struct stage *stage;
    unsigned told;
    enum alb_code code;
    uint64_t at_ns;
};

struct stage {
    struct liar_stage on;
    struct authority *authority;
    struct sibling *sibling;
    struct chunk *chunks[CHUNKS];
    struct probe probes[CHUNKS];
    enum deed deed;
    unsigned held_asked; /* batches that said "only what you hold" */
};

static void say(struct buf *out, uint32_t position, enum item_status status, const struct chunk *c)
{
    const struct batch_item item = {
        .status = status, .position = position, .size = c != NULL ? c->size : 0};

    assert_int_equal(batch_item_head(&item, out).code, ALB_OK);
    if (c != NULL)
        assert_int_equal(buf_append(out, c->bytes, c->size).code, ALB_OK);
}

static void say_position(const struct stage *g, uint32_t p, struct buf *out)
{
    if (g->deed == LACKS)
        say(out, p, ITEM_MISSING, NULL);
    else
        say(out, p, ITEM_HIT, g->chunks[g->deed == LIES ? (p + 1) % CHUNKS : p]);
    if (g->deed == GIVES_MORE)
        say(out, p + 1000, ITEM_HIT, g->chunks[p]);
}

/* Says once that it waits, and then nothing. */
static size_t pull_queued(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct stage *g = arg;
    const struct batch_item item = {.status = ITEM_QUEUED};
    struct buf head;
    size_t n = 0;

    buf_init(&head, 64);
    if (g->deed == QUEUES) {
        assert_int_equal(batch_item_head(&item, &head).code, ALB_OK);
        n = buf_size(&head);
        assert_true(n <= size);
        memcpy(out, buf_peek(&head), n);
        g->deed = HANGS;
    }
    buf_release(&head);
    *ended = false;
    return n;
}

static void answer_chunks(struct stage *g, struct http_exchange *x)
{
    struct buf *body = http_exchange_body(x), out;
    struct batch_request rq;

    g->held_asked += http_exchange_header(x, "albedo-held") != NULL;
    assert_int_equal(batch_request_decode(buf_peek(body), buf_size(body), &rq).code, ALB_OK);
    if (g->deed == QUEUES)
        http_answer_stream(x, 200, NULL, &(struct http_source){.pull = pull_queued, .arg = g});
    if (g->deed == QUEUES || g->deed == HANGS)
        return;
    if (g->deed == REFUSES) {
        http_answer(x, 403, "application/json", "{}", 2);
        return;
    }
    buf_init(&out, 8 << 20);
    for (size_t r = 0; r < rq.run_count; r++)
        for (uint32_t i = 0; i < rq.runs[r].count; i++)
            say_position(g, rq.runs[r].first + i, &out);
    http_answer(x, 200, NULL, buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

static void answer(struct liar *l, struct http_exchange *x)
{
    static const char nothing_new[] = "arrivals 0 0\n";
    const char *path = http_exchange_path(x);

    if (strcmp(path, "/v1/chunks") == 0)
        answer_chunks(l->arg, x);
    else if (strncmp(path, "/v1/arrivals", 12) == 0)
        http_answer(x, 200, NULL, nothing_new, sizeof nothing_new - 1);
    else
        http_answer(x, 200, NULL, "{}", 2);
}

static struct alb_status granted(void *arg, const uint8_t *bytes, size_t size,
                                 int64_t *renew_wall_s)
{
    (void)arg;
    (void)bytes;
    (void)size;
    *renew_wall_s = INT64_MAX;
    return ALB_STATUS_OK;
}

static void told(struct sibling_ask *a, struct alb_status st, struct chunk *chunk)
{
    struct probe *p = ALB_CONTAINER(a, struct probe, ask);

    p->told++;
    p->code = st.code;
    p->at_ns = world_now_ns(p->stage->on.world);
    assert_true(alb_failed(st) == (chunk == NULL));
    if (chunk != NULL)
        assert_true(chunk_key_equal(&chunk->key, &p->stage->chunks[p - p->stage->probes]->key));
}

/* Everything is asked for, and `ms` pass. */
static void ask_all(struct stage *g, enum deed deed, uint64_t ms)
{
    g->deed = deed;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        const struct where where = {
            .layer = "base/x", .list = LIST_CONTENT, .position = i, .raw_bytes = RAW_SIZE};
        g->probes[i] = (struct probe){.stage = g, .ask.done = told};
        sibling_ask(g->sibling, &g->chunks[i]->key, &where, false, &g->probes[i].ask);
    }
    liar_stage_run_ms(&g->on, ms);
}

static void expect_all(const struct stage *g, enum alb_code code)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        assert_int_equal(g->probes[i].told, 1);
        assert_int_equal(g->probes[i].code, code);
    }
}

/* The device that is looked for; who answers is "hub", a reflector unless `role` says otherwise. */
static struct stage *open_stage(const char *device, enum role role)
{
    const struct identity who = {.role = role, .org = "acme", .device = "hub", .serial = "02"};
    static const struct identity box = {
        .role = ROLE_REFLECTOR, .org = "acme", .device = "box", .serial = "01"};
    struct stage *g = xalloc(sizeof *g);

    g->on = (struct liar_stage){.world = world_new(1)};
    g->on.hub = world_add_node(g->on.world, "hub", &who);
    g->on.box = world_add_node(g->on.world, "box", &box);
    g->on.wan = world_add_link(g->on.world, "lan", 12500 * 1000, NS_PER_MS);
    world_route(g->on.world, g->on.hub, g->on.box, &g->on.wan, 1);
    g->on.liar = (struct liar){.loop = g->on.hub, .answer = answer, .arg = g};
    liar_listen(&g->on.liar);
    for (unsigned i = 0; i < CHUNKS; i++)
        g->chunks[i] = liar_chunk(i, RAW_SIZE);
    assert_int_equal(
        authority_open(&(struct authority_options){.loop = g->on.box}, &g->authority).code, ALB_OK);
    g->sibling = sibling_new(&(struct sibling_options){.loop = g->on.box,
                                                       .place = {"hub", LIAR_PORT},
                                                       .device = device,
                                                       .authority = g->authority,
                                                       .granted = granted});
    liar_stage_run_ms(&g->on, 2000);
    return g;
}

static void close_stage(struct stage *g)
{
    g->sibling = sibling_free(g->sibling);
    authority_close(g->authority);
    liar_stage_close(&g->on);
    for (unsigned i = 0; i < CHUNKS; i++)
        chunk_unref(g->chunks[i]);
    free(g);
}

static void what_it_holds_it_gives(void **state)
{
    struct stage *g = open_stage("hub", ROLE_REFLECTOR);

    (void)state;
    assert_true(sibling_is_worth_asking(g->sibling));
    ask_all(g, GIVES, 200);
    expect_all(g, ALB_OK);
    assert_int_equal(g->held_asked, 1);
    close_stage(g);
}

static void what_it_lacks_is_said_at_once_and_it_is_asked_on(void **state)
{
    struct stage *g = open_stage("hub", ROLE_REFLECTOR);

    (void)state;
    ask_all(g, LACKS, 200);
    expect_all(g, ALB_NOT_FOUND);
    assert_true(sibling_is_worth_asking(g->sibling));
    close_stage(g);
}

static void a_chunk_that_is_not_its_name_is_handed_to_nobody_and_it_is_left_alone(void **state)
{
    struct stage *g = open_stage("hub", ROLE_REFLECTOR);

    (void)state;
    ask_all(g, LIES, 400);
    expect_all(g, ALB_CORRUPT);
    assert_false(sibling_is_worth_asking(g->sibling));
    close_stage(g);
}

static void more_than_was_asked_for_is_nobodys(void **state)
{
    struct stage *g = open_stage("hub", ROLE_REFLECTOR);

    (void)state;
    ask_all(g, GIVES_MORE, 400);
    expect_all(g, ALB_OK);
    close_stage(g);
}

static void one_that_refuses_costs_a_round_trip_and_is_left_alone(void **state)
{
    struct stage *g = open_stage("hub", ROLE_REFLECTOR);

    (void)state;
    ask_all(g, REFUSES, 200);
    expect_all(g, ALB_REFUSED);
    assert_false(sibling_is_worth_asking(g->sibling));
    close_stage(g);
}

static void one_that_hangs_costs_300_ms_and_is_asked_again_after_a_second(void **state)
{
    struct stage *g = open_stage("hub", ROLE_REFLECTOR);
    const uint64_t before_ns = world_now_ns(g->on.world);

    (void)state;
    ask_all(g, HANGS, 400);
    expect_all(g, ALB_TIMEOUT);
    assert_in_range(g->probes[0].at_ns - before_ns, SIBLING_LATE_NS, SIBLING_LATE_NS + NS_PER_MS);
    assert_false(sibling_is_worth_asking(g->sibling));
    liar_stage_run_ms(&g->on, 1100);
    assert_true(sibling_is_worth_asking(g->sibling));
    close_stage(g);
}

static void one_that_says_it_waits_and_then_nothing_is_waited_for_6_s(void **state)
{
    struct stage *g = open_stage("hub", ROLE_REFLECTOR);

    (void)state;
    ask_all(g, QUEUES, 5000);
    assert_int_equal(g->probes[0].told, 0);
    liar_stage_run_ms(&g->on, 2000);
    expect_all(g, ALB_TIMEOUT);
    close_stage(g);
}

static void one_that_goes_away_owes_nothing(void **state)
{
    struct stage *g = open_stage("hub", ROLE_REFLECTOR);

    (void)state;
    ask_all(g, HANGS, 100);
    liar_hang_up(&g->on.liar);
    liar_stage_run_ms(&g->on, 100);
    expect_all(g, ALB_NOT_FOUND);
    close_stage(g);
}

static void another_device_or_role_at_its_address_is_not_asked(void **state)
{
    struct stage *g = open_stage("beside", ROLE_REFLECTOR);

    (void)state;
    assert_false(sibling_is_worth_asking(g->sibling));
    close_stage(g);
    g = open_stage("hub", ROLE_ENDPOINT);
    assert_false(sibling_is_worth_asking(g->sibling));
    close_stage(g);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_it_holds_it_gives),
        TEST(what_it_lacks_is_said_at_once_and_it_is_asked_on),
        TEST(a_chunk_that_is_not_its_name_is_handed_to_nobody_and_it_is_left_alone),
        TEST(more_than_was_asked_for_is_nobodys),
        TEST(one_that_refuses_costs_a_round_trip_and_is_left_alone),
        TEST(one_that_hangs_costs_300_ms_and_is_asked_again_after_a_second),
        TEST(one_that_says_it_waits_and_then_nothing_is_waited_for_6_s),
        TEST(one_that_goes_away_owes_nothing),
        TEST(another_device_or_role_at_its_address_is_not_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
