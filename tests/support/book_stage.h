/* SPDX-License-Identifier: Apache-2.0 */
/* support/book_stage.h – a policy book on a box of a simulated world, a hub that signs for it, and
 * a parent that answers what it is told to; for the tests of transfer/policy_book. */
#pragma once

#include "support/liar.h"

#include "store/ram.h"
#include "transfer/policy_book.h"

/* The world begins on Thursday 2026-01-01 at 00:00 UTC. */
#define DAY_S INT64_C(86400)
#define HOUR_NS (3600 * NS_PER_S)

static const char OFFICE[] = "{\"format\":1,\"zone\":\"UTC\",\"rules\":[{\"name\":\"office\","
                             "\"scope\":\"global\",\"hours\":\"08:00-18:00\",\"mode\":\"off\"}]}";
static const char CAPPED[] = "{\"format\":1,\"zone\":\"UTC\",\"rules\":[{\"name\":\"all\","
                             "\"scope\":\"global\",\"mode\":\"capped\",\"rate\":\"1Mbit\"}]}";
static const char NOBODY[] = "{\"format\":1,\"overrides\":[]}";
static const char PAUSED[] =
    "{\"format\":1,\"overrides\":[{\"id\":\"o1\",\"what\":\"pause\",\"scope\":\"global\","
    "\"since\":\"2026-01-01T00:00:00Z\",\"until\":\"2026-01-01T02:00:00Z\",\"by\":\"admin\"}]}";

struct book_stage {
    struct liar_stage net; /* first */
    struct sign_secret root_key, hub_key, next_key, stranger;
    struct trust trust;
    struct buf trust_bytes;
    struct catalogue *catalogue;
    struct authority *authority;
    struct upstream *upstream;
    struct policy_book *book;
    struct policy_watch watch;
    unsigned changed, taken;
    struct buf answers[POLICY_PARTS]; /* what the parent says */
    unsigned asked[POLICY_PARTS];
    char after[POLICY_PARTS][64];
    bool knows_no_parts; /* the parent */
    size_t said_bytes;
};

/* ---- the stage ------------------------------------------------------------------------------- */

static inline void seal_by(struct book_stage *s, enum policy_part part, uint64_t number,
                           const char *text, const struct sign_secret *key)
{
    struct policy_seal seal = {.org = "acme",
                               .number = number,
                               .issued_wall_s = loop_wall_s(s->net.hub),
                               .text = text,
                               .text_size = strlen(text)};

    buf_clear(&s->answers[part]);
    assert_int_equal(policy_seal_encode(part, &seal, key, &s->answers[part]).code, ALB_OK);
}

static inline void seal(struct book_stage *s, enum policy_part part, uint64_t number,
                        const char *text)
{
    seal_by(s, part, number, text, &s->hub_key);
}

static inline struct alb_status take(struct book_stage *s, enum policy_part part)
{
    return policy_book_take(s->book, part, buf_peek(&s->answers[part]),
                            buf_size(&s->answers[part]));
}

static inline void make_trust(struct book_stage *s, uint64_t version, const struct sign_secret *hub)
{
    const struct trust before = s->trust;

    s->trust = (struct trust){
        .org = "acme", .version = version, .threshold = 1, .root_count = 1, .delegations = NULL};
    sign_public_of(&s->root_key, &s->trust.roots[0]);
    sign_public_of(hub, &s->trust.hub_key);
    buf_clear(&s->trust_bytes);
    assert_int_equal(trust_encode(&s->trust, &s->root_key, 1, &s->trust_bytes).code, ALB_OK);
    assert_true(version == 1 || before.version + 1 == version);
    assert_int_equal(
        authority_add_trust(s->authority, buf_peek(&s->trust_bytes), buf_size(&s->trust_bytes))
            .code,
        ALB_OK);
}

static inline void on_changed(struct policy_watch *w)
{
    ALB_CONTAINER(w, struct book_stage, watch)->changed++;
}

static inline void on_taken(void *arg, enum policy_part part)
{
    struct book_stage *s = arg;

    (void)part;
    s->taken++;
}

static inline void open_authority(struct book_stage *s)
{
    const struct authority_options options = {.loop = s->net.box, .catalogue = s->catalogue};

    assert_int_equal(authority_open(&options, &s->authority).code, ALB_OK);
}

static inline void open_book(struct book_stage *s)
{
    s->book = policy_book_open(&(struct policy_book_options){.loop = s->net.box,
                                                             .authority = s->authority,
                                                             .catalogue = s->catalogue,
                                                             .arg = s,
                                                             .taken = on_taken});
    s->watch = (struct policy_watch){
        .place = {.direction = POLICY_DOWN, .side = POLICY_WAN, .class = POLICY_SCAVENGER},
        .changed = on_changed};
    policy_book_watch(s->book, &s->watch);
}

static inline void close_book(struct book_stage *s)
{
    policy_book_unwatch(s->book, &s->watch);
    s->book = policy_book_close(s->book);
}

static inline int set_up(void **state)
{
    struct book_stage *s = xalloc(sizeof *s);

    liar_stage_open(&s->net);
    memset(s->root_key.seed, 1, sizeof s->root_key.seed);
    memset(s->hub_key.seed, 2, sizeof s->hub_key.seed);
    memset(s->next_key.seed, 3, sizeof s->next_key.seed);
    memset(s->stranger.seed, 4, sizeof s->stranger.seed);
    buf_init(&s->trust_bytes, SIGNED_MAX);
    for (int part = 0; part < POLICY_PARTS; part++)
        buf_init(&s->answers[part], SIGNED_MAX);
    s->catalogue = ram_catalogue_new(&(struct ram_options){0});
    open_authority(s);
    make_trust(s, 1, &s->hub_key);
    open_book(s);
    *state = s;
    return 0;
}

static inline int tear_down(void **state)
{
    struct book_stage *s = *state;

    close_book(s);
    authority_close(s->authority);
    if (s->upstream != NULL)
        upstream_free(s->upstream);
    liar_stage_close(&s->net);
    catalogue_close(s->catalogue);
    buf_release(&s->trust_bytes);
    for (int part = 0; part < POLICY_PARTS; part++)
        buf_release(&s->answers[part]);
    free(s);
    return 0;
}

static inline void run_ns(struct book_stage *s, uint64_t ns)
{
    world_run(s->net.world, world_now_ns(s->net.world) + ns);
}

static inline enum policy_mode mode(const struct book_stage *s)
{
    return s->watch.terms.action.mode;
}

static inline void answer_part(struct book_stage *s, struct http_exchange *x, enum policy_part part)
{
    s->asked[part]++;
    snprintf(s->after[part], sizeof s->after[part], "%s", http_exchange_query(x));
    const size_t all = buf_size(&s->answers[part]);
    size_t from = 0, size = all;

    if (!s->knows_no_parts)
        (void)sscanf(s->after[part], "after=%*u&from=%zu&size=%zu", &from, &size);
    from = from < all ? from : all;
    size = size < all - from ? size : all - from;
    s->said_bytes += size;
    if (all == 0)
        http_answer(x, 404, "text/plain", "none", 4);
    else
        http_answer(x, 200, "application/octet-stream", buf_peek(&s->answers[part]) + from, size);
}

static inline void answer(struct liar *l, struct http_exchange *x)
{
    struct book_stage *s = l->arg;
    const char *path = http_exchange_path(x);

    for (int part = 0; part < POLICY_PARTS; part++) {
        if (strcmp(path + strlen("/v1/"), policy_part_name((enum policy_part)part)) == 0) {
            answer_part(s, x, (enum policy_part)part);
            return;
        }
    }
    http_answer(x, 200, "text/plain", "", 0);
}

static inline void connect_box(struct book_stage *s)
{
    s->net.liar.answer = answer;
    s->net.liar.arg = s;
    liar_listen(&s->net.liar);
    s->upstream = upstream_new(&(struct upstream_options){
        .loop = s->net.box, .places = {{"hub", LIAR_PORT}}, .place_count = 1});
    policy_book_follow(s->book, s->upstream);
    run_ns(s, 2 * NS_PER_S);
}
