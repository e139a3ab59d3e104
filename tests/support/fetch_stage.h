/* SPDX-License-Identifier: Apache-2.0 */
/* support/fetch_stage.h – a supply that fetches from a parent whose answers a test scripts. */
#pragma once

#include "transfer/supply.h"

#include "support/liar.h"

enum { CHUNKS = 40, RAW_SIZE = 3000, VERSIONS = 2 };
enum { FOREVER = 1000000 };

enum lie { HONEST, WRONG_BYTES, OTHER_CHUNK, MISSING, FAILED, LEFT_OUT };

struct probe {
    struct waiter waiter;
    struct stage *stage;
    unsigned told;
    enum alb_code code;
    bool right; /* the chunk is the one that was asked for */
    uint64_t at_ns;
};

struct stage {
    struct liar_stage on;
    struct upstream *upstream;
    struct supply *supply;
    struct chunk *chunks[CHUNKS];
    struct probe probes[CHUNKS];
    /* the script: how each position is answered, and how often */
    enum lie lie[CHUNKS];
    unsigned lies_left[CHUNKS];
    unsigned asked[CHUNKS]; /* how often each was asked for */
    unsigned batches;
    struct digest last_root;
    char turns[64];                                     /* which root each batch was for */
    unsigned status;                                    /* of the next answers, when not 0 … */
    unsigned statuses;                                  /* … and for how many                */
    void (*spoil)(struct stage *g, struct buf *answer); /* the answer's bytes, before they go */
    bool (*instead)(struct stage *g, struct http_exchange *x); /* true: it answered itself     */
};

static const char octets[] = "application/octet-stream";

/* ---- the parent ---- */

static inline void say(struct buf *out, uint32_t position, enum item_status status,
                       const void *bytes, size_t size)
{
    const struct batch_item item = {
        .status = status, .position = position, .bytes = bytes, .size = size};

    assert_int_equal(batch_item_head(&item, out).code, ALB_OK);
    if (size > 0)
        assert_int_equal(buf_append(out, bytes, size).code, ALB_OK);
}

static inline void say_position(struct stage *g, uint32_t p, struct buf *out)
{
    enum lie lie = g->lies_left[p] > 0 ? g->lie[p] : HONEST;
    const struct chunk *c = g->chunks[p], *other = g->chunks[(p + 1) % CHUNKS];
    uint8_t damaged[8192];

    g->asked[p]++;
    if (lie != HONEST)
        g->lies_left[p]--;
    memcpy(damaged, c->bytes, c->size);
    damaged[c->size / 2] ^= 0x40;
    switch (lie) {
    case HONEST: say(out, p, ITEM_HIT, c->bytes, c->size); break;
    case WRONG_BYTES: say(out, p, ITEM_HIT, damaged, c->size); break;
    case OTHER_CHUNK: say(out, p, ITEM_HIT, other->bytes, other->size); break;
    case MISSING: say(out, p, ITEM_MISSING, NULL, 0); break;
    case FAILED: say(out, p, ITEM_FAILED, NULL, 0); break;
    case LEFT_OUT: break;
    }
}

static inline void answer_honestly(struct stage *g, const struct batch_request *rq, struct buf *out)
{
    for (size_t r = 0; r < rq->run_count; r++)
        for (uint32_t i = 0; i < rq->runs[r].count; i++)
            say_position(g, rq->runs[r].first + i, out);
}

static inline void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;
    struct buf *body = http_exchange_body(x), out;
    struct batch_request rq;

    assert_string_equal(http_exchange_path(x), "/v1/chunks");
    assert_string_equal(http_exchange_header(x, "albedo-proto"), "1");
    assert_int_equal(batch_request_decode(buf_peek(body), buf_size(body), &rq).code, ALB_OK);
    if (g->batches < sizeof g->turns - 1)
        g->turns[g->batches] = (char)('A' + rq.root.bytes[0]);
    g->batches++;
    g->last_root = rq.root;
    if (g->statuses > 0) {
        g->statuses--;
        http_answer(x, g->status, octets, "{}", 2);
        return;
    }
    if (g->instead != NULL && g->instead(g, x))
        return;
    buf_init(&out, 8 << 20);
    answer_honestly(g, &rq, &out);
    if (g->spoil != NULL)
        g->spoil(g, &out);
    http_answer(x, 200, octets, buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

/* ---- the child ---- */

static inline void told(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct probe *p = ALB_CONTAINER(w, struct probe, waiter);

    p->told++;
    p->code = st.code;
    p->at_ns = world_now_ns(p->stage->on.world);
    const struct chunk *right = p->stage->chunks[w->where.position];
    p->right = chunk != NULL && chunk->size == right->size &&
               memcmp(chunk->bytes, right->bytes, right->size) == 0;
    assert_true(chunk == NULL || p->right); /* nothing else is ever handed out */
}

static inline void ask_under(struct stage *g, struct probe *p, unsigned position, uint8_t root)
{
    *p = (struct probe){.stage = g};
    p->waiter.done = told;
    p->waiter.where = (struct where){.layer = "base/x",
                                     .root = {{root}},
                                     .list = LIST_CONTENT,
                                     .position = position,
                                     .raw_bytes = RAW_SIZE};
    supply_ask(g->supply, &g->chunks[position]->key, &p->waiter);
}

static inline void ask_all(struct stage *g)
{
    for (unsigned i = 0; i < CHUNKS; i++)
        ask_under(g, &g->probes[i], i, 0);
}

static inline void expect_all(struct stage *g)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        assert_int_equal(g->probes[i].told, 1);
        assert_int_equal(g->probes[i].code, ALB_OK);
        assert_true(g->probes[i].right);
    }
}

static inline struct fetcher_stats figures(struct stage *g)
{
    struct supply_stats stats;

    supply_stats(g->supply, &stats);
    return stats.fetch;
}

static inline int setup(void **state)
{
    struct stage *g = xalloc(sizeof *g);

    liar_stage_open(&g->on);
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    liar_listen(&g->on.liar);
    for (unsigned i = 0; i < CHUNKS; i++)
        g->chunks[i] = liar_chunk(i, RAW_SIZE);
    g->upstream = liar_plain_upstream(&g->on);
    g->supply = supply_new(&(struct supply_options){.loop = g->on.box, .upstream = g->upstream});
    *state = g;
    return 0;
}

static inline int teardown(void **state)
{
    struct stage *g = *state;

    g->supply = supply_free(g->supply);
    g->upstream = upstream_free(g->upstream);
    liar_stage_close(&g->on);
    for (unsigned i = 0; i < CHUNKS; i++)
        chunk_unref(g->chunks[i]);
    free(g);
    return 0;
}

static inline void run_s(struct stage *g, uint64_t seconds)
{
    liar_stage_run_ms(&g->on, seconds * 1000);
}
