/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_layer_jobs.c – rules and deadlines of single layers on a line of 10 Mbit/s,
 * beside each other and beside somebody else's traffic. */
/* LINKS: sim_world */
#include "support/liar.h"

#include "net/datagram.h"
#include "store/ram.h"
#include "transfer/layer_jobs.h"
#include "transfer/line.h"
#include "transfer/supply.h"
#include "wire/routes.h"

enum { LAYERS = 2, CHUNKS = 400, RAW_SIZE = 32 << 10, OTHERS_PORT = 5555, OTHERS_SIZE = 500 };
#define LINE_BPS UINT64_C(10000000)

struct item {
    struct waiter waiter;
    struct pull *pull;
};

struct pull { /* one layer, each chunk of it asked for at once */
    struct stage *stage;
    const char *layer;
    unsigned count, came;
    uint64_t bytes, done_ns;
    struct item items[CHUNKS];
};

struct stage {
    struct liar_stage net; /* first */
    struct sign_secret root_key, hub_key;
    struct catalogue *catalogue;
    struct authority *authority;
    struct policy_book *book;
    struct line *line;
    struct upstream *upstream;
    struct supply *supply;
    struct upstream_place place;
    struct chunk *chunks[LAYERS * CHUNKS];
    struct pull pulls[LAYERS];
    uint64_t policy_number;
    unsigned asked[LAYERS]; /* chunks of it, of the parent */
    char left[32];          /* as the last batch said      */
    struct datagram *others_from, *others_to;
    struct datagram_peer door;
    struct timer others;
    uint64_t others_ns;
};

static const char *const layers[LAYERS] = {"base/a", "app/b"};

/* ---- the parent ------------------------------------------------------------------------------ */

static void answer_chunks(struct stage *s, struct http_exchange *x)
{
    struct buf *body = http_exchange_body(x), out;
    const char *left = http_exchange_header(x, LEFT_HEADER);
    struct batch_request rq;

    assert_int_equal(batch_request_decode(buf_peek(body), buf_size(body), &rq).code, ALB_OK);
    const size_t layer = strcmp(rq.layer, layers[0]) == 0 ? 0 : 1;
    snprintf(s->left, sizeof s->left, "%s", left != NULL ? left : "");
    buf_init(&out, 16 << 20);
    for (size_t r = 0; r < rq.run_count; r++)
        for (uint32_t i = 0; i < rq.runs[r].count; i++) {
            const uint32_t position = rq.runs[r].first + i;
            const struct chunk *c = s->chunks[layer * CHUNKS + position];
            const struct batch_item item = {
                .status = ITEM_HIT, .position = position, .size = c->size};
            s->asked[layer]++;
            assert_int_equal(batch_item_head(&item, &out).code, ALB_OK);
            assert_int_equal(buf_append(&out, c->bytes, c->size).code, ALB_OK);
        }
    http_answer(x, 200, "application/octet-stream", buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

static void answer(struct liar *l, struct http_exchange *x)
{
    if (strcmp(http_exchange_path(x), "/v1/chunks") == 0)
        answer_chunks(l->arg, x);
    else
        http_answer(x, 404, "application/json", "{}", 2);
}

/* ---- somebody else's traffic ----------------------------------------------------------------- */

static void others_heard(void *arg, const void *bytes, size_t size,
                         const struct datagram_peer *from, uint64_t at_ns)
{
    (void)arg;
    (void)bytes;
    (void)size;
    (void)from;
    (void)at_ns;
}

static void others_send(void *arg)
{
    static const uint8_t packet[OTHERS_SIZE - 28];
    struct stage *s = arg;

    alb_ignore(datagram_send(s->others_from, packet, sizeof packet, &s->door), "it never drops");
    timer_set_in(&s->others, s->others_ns);
}

static void others_begin(struct stage *s, uint64_t bps)
{
    const struct datagram_options to = {
        .address = "0.0.0.0", .port = OTHERS_PORT, .got = others_heard, .arg = s};
    const struct datagram_options from = {.address = "0.0.0.0", .got = others_heard, .arg = s};

    assert_int_equal(datagram_open(s->net.box, &to, &s->others_to).code, ALB_OK);
    assert_int_equal(datagram_open(s->net.hub, &from, &s->others_from).code, ALB_OK);
    assert_true(s->net.liar.session_count > 0);
    assert_true(
        datagram_peer_of(http_session_stream(s->net.liar.sessions[0]), OTHERS_PORT, &s->door));
    s->others_ns = OTHERS_SIZE * 8 * NS_PER_S / bps;
    others_send(s);
}

/* ---- the child ------------------------------------------------------------------------------- */

static void set_policy(struct stage *s, const char *text)
{
    struct policy_seal seal = {.org = "acme",
                               .number = ++s->policy_number,
                               .issued_wall_s = loop_wall_s(s->net.hub),
                               .text = text,
                               .text_size = strlen(text)};
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(policy_seal_encode(POLICY_RULES, &seal, &s->hub_key, &bytes).code, ALB_OK);
    assert_int_equal(
        policy_book_take(s->book, POLICY_RULES, buf_peek(&bytes), buf_size(&bytes)).code, ALB_OK);
    buf_release(&bytes);
}

static void open_trust(struct stage *s)
{
    struct trust trust = {.org = "acme", .version = 1, .threshold = 1, .root_count = 1};
    struct buf bytes;

    memset(s->root_key.seed, 1, sizeof s->root_key.seed);
    memset(s->hub_key.seed, 2, sizeof s->hub_key.seed);
    sign_public_of(&s->root_key, &trust.roots[0]);
    sign_public_of(&s->hub_key, &trust.hub_key);
    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(trust_encode(&trust, &s->root_key, 1, &bytes).code, ALB_OK);
    s->catalogue = ram_catalogue_new(&(struct ram_options){0});
    assert_int_equal(
        authority_open(&(struct authority_options){.loop = s->net.box, .catalogue = s->catalogue},
                       &s->authority)
            .code,
        ALB_OK);
    assert_int_equal(authority_add_trust(s->authority, buf_peek(&bytes), buf_size(&bytes)).code,
                     ALB_OK);
    buf_release(&bytes);
}

static void open_child(struct stage *s, enum line_kind kind)
{
    s->place = (struct upstream_place){"hub", LIAR_PORT};
    s->book = policy_book_open(&(struct policy_book_options){
        .loop = s->net.box, .authority = s->authority, .catalogue = s->catalogue});
    s->line = line_new(&(struct line_options){.loop = s->net.box,
                                              .places = &s->place,
                                              .place_count = 1,
                                              .kind = kind,
                                              .policy = s->book,
                                              .site = "oslo",
                                              .device = "box"});
    s->upstream = upstream_new(&(struct upstream_options){
        .loop = s->net.box, .places = {s->place}, .place_count = 1, .wan = line_wan(s->line)});
    line_use_upstream(s->line, s->upstream);
    s->supply = supply_new(&(struct supply_options){
        .loop = s->net.box, .upstream = s->upstream, .jobs = line_jobs(s->line)});
}

static void tell_left(struct pull *p)
{
    supply_tell_left(p->stage->supply, p->layer,
                     (uint64_t)(p->count - p->came) * p->stage->chunks[0]->size);
}

static void told(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct pull *p = ALB_CONTAINER(w, struct item, waiter)->pull;

    assert_int_equal(st.code, ALB_OK);
    p->came++;
    p->bytes += chunk->size;
    if (p->came == p->count)
        p->done_ns = world_now_ns(p->stage->net.world);
    tell_left(p);
}

static void pull(struct stage *s, unsigned which, unsigned count)
{
    struct pull *p = &s->pulls[which];

    *p = (struct pull){.stage = s, .layer = layers[which], .count = count};
    tell_left(p);
    for (unsigned i = 0; i < count; i++) {
        struct item *item = &p->items[i];
        item->pull = p;
        item->waiter.done = told;
        item->waiter.where = (struct where){
            .root = {{1}}, .list = LIST_CONTENT, .position = i, .raw_bytes = RAW_SIZE};
        snprintf(item->waiter.where.layer, sizeof item->waiter.where.layer, "%s", p->layer);
        supply_ask(s->supply, &s->chunks[which * CHUNKS + i]->key, &item->waiter);
    }
}

static int set_up_on(void **state, enum line_kind kind)
{
    struct stage *s = xalloc(sizeof *s);

    liar_stage_open(&s->net);
    s->net.liar.answer = answer;
    s->net.liar.arg = s;
    liar_listen(&s->net.liar);
    for (unsigned i = 0; i < LAYERS * CHUNKS; i++) {
        uint8_t *raw = xalloc(RAW_SIZE);
        for (size_t k = 0; k < RAW_SIZE; k++)
            raw[k] = (uint8_t)loop_random(s->net.hub);
        s->chunks[i] = liar_chunk_of(raw, RAW_SIZE);
        free(raw);
    }
    timer_init(&s->others, s->net.hub, others_send, s);
    open_trust(s);
    open_child(s, kind);
    liar_stage_run_ms(&s->net, 2000);
    *state = s;
    return 0;
}

static int set_up(void **state)
{
    return set_up_on(state, LINE_IS_WAN);
}

/* A line without a law, so that only the job's own rate is seen. */
static int set_up_lan(void **state)
{
    return set_up_on(state, LINE_IS_LAN);
}

static int tear_down(void **state)
{
    struct stage *s = *state;

    timer_stop(&s->others);
    if (s->others_from != NULL) {
        datagram_close(s->others_from);
        datagram_close(s->others_to);
    }
    s->supply = supply_free(s->supply);
    line_stop(s->line);
    policy_book_close(s->book);
    authority_close(s->authority);
    upstream_free(s->upstream);
    line_free(s->line);
    liar_stage_close(&s->net);
    catalogue_close(s->catalogue);
    for (unsigned i = 0; i < LAYERS * CHUNKS; i++)
        chunk_unref(s->chunks[i]);
    free(s);
    return 0;
}

static void run_s(struct stage *s, uint64_t seconds)
{
    liar_stage_run_ms(&s->net, seconds * 1000);
}

/* ---- rules of a job -------------------------------------------------------------------------- */

static void a_layer_that_is_off_is_not_asked_for_and_comes_once_it_may(void **state)
{
    struct stage *s = *state;

    set_policy(s, "{\"format\":1,\"zone\":\"UTC\",\"rules\":[{\"name\":\"a\","
                  "\"scope\":\"job:base\",\"mode\":\"off\"}]}");
    pull(s, 0, 40);
    pull(s, 1, 40);
    run_s(s, 20);
    assert_int_equal(s->asked[0], 0);
    assert_int_equal(s->pulls[1].came, 40);
    assert_true(layer_jobs_hold(line_jobs(s->line)));
    set_policy(s, "{\"format\":1,\"zone\":\"UTC\",\"rules\":[]}");
    run_s(s, 20);
    assert_int_equal(s->pulls[0].came, 40);
    assert_false(layer_jobs_hold(line_jobs(s->line)));
}

/* They stayed for as long as the pause did. */
static void what_nobody_waits_for_any_more_is_let_go_of_in_a_pause(void **state)
{
    struct stage *s = *state;
    struct supply_stats stats;

    set_policy(s, "{\"format\":1,\"zone\":\"UTC\",\"rules\":[{\"name\":\"a\","
                  "\"scope\":\"job:base\",\"mode\":\"off\"}]}");
    pull(s, 0, 40);
    run_s(s, 5);
    supply_stats(s->supply, &stats);
    assert_int_equal(stats.fetch.queued, 40);
    for (unsigned i = 0; i < 39; i++)
        supply_leave(s->supply, &s->pulls[0].items[i].waiter);
    run_s(s, 65);
    supply_stats(s->supply, &stats);
    assert_int_equal(stats.fetch.queued, 1);
    assert_int_equal(s->asked[0], 0);
    set_policy(s, "{\"format\":1,\"zone\":\"UTC\",\"rules\":[]}");
    run_s(s, 20);
    assert_int_equal(s->pulls[0].came, 1);
}

/* 2 Mbit/s on the wire of a line that brings ten: over ten seconds within 2 %, of which one chunk
 * more or less is 1.4. */
static void a_capped_layer_has_its_rate_and_the_other_the_rest(void **state)
{
    struct stage *s = *state;
    const double wire = 1083.0 / 1024;

    set_policy(s, "{\"format\":1,\"zone\":\"UTC\",\"rules\":[{\"name\":\"a\","
                  "\"scope\":\"job:base\",\"place\":\"both\","
                  "\"mode\":\"capped\",\"rate\":\"2Mbit\"}]}");
    pull(s, 0, CHUNKS);
    pull(s, 1, CHUNKS);
    run_s(s, 3);
    const uint64_t capped = s->pulls[0].bytes, free = s->pulls[1].bytes;
    run_s(s, 10);
    const double capped_bps = (double)(s->pulls[0].bytes - capped) * 8 / 10 * wire;
    const double free_bps = (double)(s->pulls[1].bytes - free) * 8 / 10 * wire;
    if (getenv("ALB_LOG") != NULL)
        print_message("capped %.0f bit/s, free %.0f bit/s\n", capped_bps, free_bps);
    assert_true(capped_bps > 1.96e6 && capped_bps < 2.04e6);
    assert_true(free_bps > 7e6);
}

static void a_layer_that_may_go_goes_though_the_line_is_off(void **state)
{
    struct stage *s = *state;

    set_policy(s, "{\"format\":1,\"zone\":\"UTC\",\"rules\":[{\"name\":\"a\","
                  "\"scope\":\"job:app/b\",\"mode\":\"full\"},"
                  "{\"name\":\"all\",\"scope\":\"global\",\"mode\":\"off\"}]}");
    pull(s, 0, 40);
    pull(s, 1, 40);
    run_s(s, 20);
    assert_int_equal(s->asked[0], 0);
    assert_int_equal(s->pulls[1].came, 40);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

enum { OTHERS = 97 };

/* 80 chunks of 32 KiB are 21 Mbit.  Somebody else sends 97 % of the line; the world begins on
 * 2026-01-01 at 00:00 UTC. */
static void without_a_deadline_it_goes_on_yielding(void **state)
{
    struct stage *s = *state;

    set_policy(s, "{\"format\":1,\"zone\":\"UTC\",\"rules\":[]}");
    others_begin(s, LINE_BPS / 100 * OTHERS);
    pull(s, 0, 80);
    run_s(s, 70 - 2);
    if (getenv("ALB_LOG") != NULL)
        print_message("%u of 80 came\n", s->pulls[0].came);
    assert_true(s->pulls[0].came < 60);
}

static void with_a_deadline_it_is_there_by_then(void **state)
{
    struct stage *s = *state;

    set_policy(s, "{\"format\":1,\"zone\":\"UTC\",\"rules\":[],\"deadlines\":[{\"layer\":\"base\","
                  "\"by\":\"2026-01-01T00:01:10Z\"}]}");
    others_begin(s, LINE_BPS / 100 * OTHERS);
    pull(s, 0, 80);
    run_s(s, 70 - 2);
    if (getenv("ALB_LOG") != NULL)
        print_message("%u of 80 came, done after %.1f s\n", s->pulls[0].came,
                      (double)s->pulls[0].done_ns / 1e9);
    assert_int_equal(s->pulls[0].came, 80);
    assert_true(s->left[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_layer_that_is_off_is_not_asked_for_and_comes_once_it_may,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_waits_for_any_more_is_let_go_of_in_a_pause,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_capped_layer_has_its_rate_and_the_other_the_rest,
                                        set_up_lan, tear_down),
        cmocka_unit_test_setup_teardown(a_layer_that_may_go_goes_though_the_line_is_off, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_a_deadline_it_goes_on_yielding, set_up, tear_down),
        cmocka_unit_test_setup_teardown(with_a_deadline_it_is_there_by_then, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
