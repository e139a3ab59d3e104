/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_fetch_cut.c – an answer that is cut after any byte, or comes in crumbs. */
/* LINKS: sim_world */
#include "net/gate.h"
#include "transfer/supply.h"

#include "support/liar.h"

enum { CHUNKS = 4, RAW_SIZE = 60, FOREVER = 1 << 30 };
#define ROUND_MS 5000 /* the line is called again after at most 375 ms */

struct probe {
    struct waiter waiter;
    struct stage *stage;
    unsigned told;
    bool right;
};

/* Lets `left` bytes of the parent's side leave, `most` at a time; then it hangs up. */
struct cutter {
    struct gate gate; /* first */
    uint64_t left;
    size_t most;
    bool is_cut;
    struct http_session *session;
    struct timer hang_up;
};

struct stage {
    struct liar_stage on;
    struct upstream *upstream;
    struct supply *supply;
    struct chunk *chunks[CHUNKS];
    struct probe probes[CHUNKS];
    struct cutter cutter;
    unsigned batches, asked[CHUNKS];
};

/* ---- the cut --------------------------------------------------------------------------------- */

static size_t ask(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    struct cutter *c = (struct cutter *)g;
    size_t allowed = want < c->most ? want : c->most;

    if (c->left == 0) {
        *retry_ns = now_ns + 3600 * NS_PER_S;
        if (!c->is_cut)
            timer_set_in(&c->hang_up, 0);
        c->is_cut = true;
        return 0;
    }
    return allowed < c->left ? allowed : (size_t)c->left;
}

static void spent(struct gate *g, size_t bytes, uint64_t now_ns)
{
    (void)now_ns;
    ((struct cutter *)g)->left -= bytes;
}

static void hang_up(void *arg)
{
    http_session_close(((struct cutter *)arg)->session);
}

static void cut_after(struct stage *g, uint64_t bytes, size_t most)
{
    static const struct gate_ops ops = {.ask = ask, .spent = spent};

    g->cutter = (struct cutter){.gate = {.ops = &ops}, .left = bytes, .most = most};
    timer_init(&g->cutter.hang_up, g->on.hub, hang_up, &g->cutter);
}

/* ---- the parent ------------------------------------------------------------------------------ */

static void say(struct stage *g, uint32_t position, struct buf *out)
{
    const struct chunk *c = g->chunks[position];
    const struct batch_item item = {
        .status = ITEM_HIT, .position = position, .bytes = c->bytes, .size = c->size};

    g->asked[position]++;
    assert_int_equal(batch_item_head(&item, out).code, ALB_OK);
    assert_int_equal(buf_append(out, c->bytes, c->size).code, ALB_OK);
}

static void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;
    struct buf *body = http_exchange_body(x), out;
    struct batch_request rq;

    assert_int_equal(batch_request_decode(buf_peek(body), buf_size(body), &rq).code, ALB_OK);
    buf_init(&out, 1 << 16);
    for (size_t r = 0; r < rq.run_count; r++)
        for (uint32_t i = 0; i < rq.runs[r].count; i++)
            say(g, rq.runs[r].first + i, &out);
    if (g->batches++ == 0) {
        g->cutter.session = http_exchange_session(x);
        stream_use_gate(http_session_stream(g->cutter.session), &g->cutter.gate);
    }
    http_answer(x, 200, "application/octet-stream", buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

/* ---- the child ------------------------------------------------------------------------------- */

static void told(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct probe *p = ALB_CONTAINER(w, struct probe, waiter);
    const struct chunk *right = p->stage->chunks[w->where.position];

    p->told++;
    p->right = !alb_failed(st) && chunk->size == right->size &&
               memcmp(chunk->bytes, right->bytes, right->size) == 0;
}

static void open_stage(struct stage *g)
{
    *g = (struct stage){.batches = 0};
    liar_stage_open(&g->on);
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    liar_listen(&g->on.liar);
    for (unsigned i = 0; i < CHUNKS; i++)
        g->chunks[i] = liar_chunk(i, RAW_SIZE);
    g->upstream = liar_plain_upstream(&g->on);
    g->supply = supply_new(&(struct supply_options){.loop = g->on.box, .upstream = g->upstream});
}

static void close_stage(struct stage *g)
{
    g->supply = supply_free(g->supply);
    g->upstream = upstream_free(g->upstream);
    timer_stop(&g->cutter.hang_up);
    liar_stage_close(&g->on);
    for (unsigned i = 0; i < CHUNKS; i++)
        chunk_unref(g->chunks[i]);
}

static void ask_all(struct stage *g)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        g->probes[i] = (struct probe){.stage = g};
        g->probes[i].waiter.done = told;
        g->probes[i].waiter.where = (struct where){
            .layer = "base/x", .list = LIST_CONTENT, .position = i, .raw_bytes = RAW_SIZE};
        supply_ask(g->supply, &g->chunks[i]->key, &g->probes[i].waiter);
    }
}

/* Everybody heard once, of the right chunk, and nothing is left over. */
static void expect_all(struct stage *g, uint64_t cut)
{
    struct supply_stats stats;

    for (unsigned i = 0; i < CHUNKS; i++)
        if (g->probes[i].told != 1 || !g->probes[i].right || g->asked[i] > 2)
            fail_msg("cut after %lu bytes: chunk %u told %u times, asked %u times, %s",
                     (unsigned long)cut, i, g->probes[i].told, g->asked[i],
                     g->probes[i].right ? "right" : "wrong");
    supply_stats(g->supply, &stats);
    assert_int_equal(stats.fetch.items, CHUNKS);
    assert_int_equal(stats.fetch.asked, 0);
    assert_int_equal(stats.fetch.queued, 0);
    assert_int_equal(stats.fetch.corrupt, 0);
    assert_int_equal(stats.failed, 0);
}

/* Was the answer cut? */
static bool play(uint64_t cut, size_t most)
{
    struct stage *g = xalloc(sizeof *g);

    open_stage(g);
    cut_after(g, cut, most);
    ask_all(g);
    liar_stage_run_ms(&g->on, ROUND_MS);
    expect_all(g, cut);
    const bool was_cut = g->cutter.is_cut;
    if (was_cut)
        assert_int_equal(g->on.liar.accepted, 4); /* control and data, twice */
    g->cutter.left = FOREVER;                     /* farewells are not what is tried here */
    close_stage(g);
    free(g);
    return was_cut;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void a_line_cut_after_any_byte_costs_no_want_and_tells_none_twice(void **state)
{
    uint64_t cut = 0;

    (void)state;
    while (play(cut, SIZE_MAX))
        cut++;
    print_message("cut after each of %lu bytes\n", (unsigned long)cut);
    assert_true(cut > CHUNKS * 32); /* at least the items were among them */
}

static void an_answer_in_crumbs_of_one_byte_is_the_same_answer(void **state)
{
    (void)state;
    assert_false(play(FOREVER, 1));
}

static void crumbs_that_end_after_any_byte_are_asked_for_again(void **state)
{
    (void)state;
    for (uint64_t cut = 0; play(cut, 1);)
        cut += 7;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_cut_after_any_byte_costs_no_want_and_tells_none_twice),
        cmocka_unit_test(an_answer_in_crumbs_of_one_byte_is_the_same_answer),
        cmocka_unit_test(crumbs_that_end_after_any_byte_are_asked_for_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
