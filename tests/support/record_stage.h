/* SPDX-License-Identifier: Apache-2.0 */
/* support/record_stage.h – a child's trust and its book of records, below a parent that answers
 * what the test puts behind each path; for the tests of what is believed of it. */
#pragma once

#include "support/liar.h"

#include "sim/cast_version.h"
#include "store/ram.h"
#include "transfer/record_book.h"

enum { ROOT_KEY = 1, HUB_KEY, PUBLISHER_KEY, OTHER_KEY, KEYS, THINGS_MAX = 16 };

struct thing { /* what the parent answers for a path */
    char path[200];
    struct buf bytes;
};

struct told {
    struct record_wait wait;
    unsigned count;
    enum alb_code code;
    bool is_stale;
    struct buf bytes;
};

struct stage {
    struct liar_stage on;
    struct sign_secret keys[KEYS];
    struct sign_public publics[KEYS];
    struct thing things[THINGS_MAX];
    size_t thing_count;
    unsigned refusal; /* status of every answer, when not 0 */
    struct catalogue *catalogue;
    struct authority *authority;
    struct upstream *upstream;
    struct record_book *book;
    struct digest pin;
    unsigned changes;
};

/* ---- the parent ---- */

static inline void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;

    for (size_t i = 0; i < g->thing_count; i++) {
        const struct buf *b = &g->things[i].bytes;
        if (g->refusal == 0 && strcmp(g->things[i].path, http_exchange_path(x)) == 0) {
            http_answer(x, 200, NULL, buf_peek(b), buf_size(b));
            return;
        }
    }
    http_answer(x, g->refusal != 0 ? g->refusal : 404, NULL, "", 0);
}

/* The bytes behind `path`, emptied, to be written anew. */
static inline struct buf *thing(struct stage *g, const char *path)
{
    for (size_t i = 0; i < g->thing_count; i++) {
        if (strcmp(g->things[i].path, path) == 0) {
            buf_clear(&g->things[i].bytes);
            return &g->things[i].bytes;
        }
    }
    assert_true(g->thing_count < THINGS_MAX);
    struct thing *t = &g->things[g->thing_count++];
    snprintf(t->path, sizeof t->path, "%s", path);
    buf_init(&t->bytes, SIGNED_MAX);
    return &t->bytes;
}

static inline void make_trust(struct stage *g, uint64_t version, unsigned hub_key, unsigned signer,
                              struct buf *out)
{
    struct trust_delegation all = {.prefix = "", .key = g->publics[PUBLISHER_KEY]};
    struct trust trust = {.org = "acme",
                          .version = version,
                          .threshold = 1,
                          .root_count = 1,
                          .roots = {g->publics[signer]},
                          .hub_key = g->publics[hub_key],
                          .delegations = &all,
                          .delegation_count = 1,
                          .issued_wall_s = loop_wall_s(g->on.hub)};

    assert_int_equal(trust_encode(&trust, &g->keys[signer], 1, out).code, ALB_OK);
}

/* ---- the child ---- */

static inline void ignore_event(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

static inline void changed(void *arg)
{
    ((struct stage *)arg)->changes++;
}

static inline enum alb_code open_authority(struct stage *g, const struct digest *pin)
{
    return authority_open(&(struct authority_options){.loop = g->on.box,
                                                      .catalogue = g->catalogue,
                                                      .pin = pin},
                          &g->authority)
        .code;
}

static inline void start(struct stage *g)
{
    assert_int_equal(open_authority(g, &g->pin), ALB_OK);
    g->upstream = upstream_new(&(struct upstream_options){.loop = g->on.box,
                                                          .places = {{"hub", LIAR_PORT}},
                                                          .place_count = 1,
                                                          .event = ignore_event});
    authority_follow(g->authority, g->upstream, changed, g);
    g->book = record_book_new(&(struct record_book_options){.loop = g->on.box,
                                                            .catalogue = g->catalogue,
                                                            .authority = g->authority,
                                                            .upstream = g->upstream});
}

static inline void stop(struct stage *g)
{
    g->book = record_book_free(g->book);
    g->authority = authority_close(g->authority);
    g->upstream = upstream_free(g->upstream);
    liar_stage_run_ms(&g->on, 1000);
}

static inline int setup(void **state)
{
    struct stage *g = xalloc(sizeof *g);

    liar_stage_open(&g->on);
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    liar_listen(&g->on.liar);
    for (unsigned i = 1; i < KEYS; i++)
        cast_key(i, &g->keys[i], &g->publics[i]);
    struct buf *first = thing(g, "/v1/trust/1");
    make_trust(g, 1, HUB_KEY, ROOT_KEY, first);
    sha256(buf_peek(first), buf_size(first), &g->pin);
    g->catalogue = ram_catalogue_new(&(struct ram_options){0});
    start(g);
    *state = g;
    return 0;
}

static inline int teardown(void **state)
{
    struct stage *g = *state;

    stop(g);
    liar_stage_close(&g->on);
    catalogue_close(g->catalogue);
    for (size_t i = 0; i < g->thing_count; i++)
        buf_release(&g->things[i].bytes);
    free(g);
    return 0;
}

static inline void run_ms(struct stage *g, uint64_t ms)
{
    liar_stage_run_ms(&g->on, ms);
}

static inline void told(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                        size_t size, bool is_stale)
{
    struct told *t = ALB_CONTAINER(w, struct told, wait);

    t->count++;
    t->code = st.code;
    t->is_stale = is_stale;
    buf_clear(&t->bytes);
    assert_int_equal(buf_append(&t->bytes, bytes, size).code, ALB_OK);
}

static inline void ask(struct stage *g, struct told *t, const char *name)
{
    *t = (struct told){.wait.done = told};
    buf_init(&t->bytes, SIGNED_MAX);
    record_book_get(g->book, name, &t->wait);
}
