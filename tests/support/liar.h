/* SPDX-License-Identifier: Apache-2.0 */
/* support/liar.h – a simulated parent that answers whatever the test says, and a child's half. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/units.h"
#include "chunk/chunk.h"
#include "chunk/codec.h"
#include "net/http.h"
#include "sim/world.h"
#include "transfer/upstream.h"
#include "wire/batch.h"

enum { LIAR_PORT = 7443, LIAR_SESSIONS = 64 };

struct liar {
    struct loop *loop;
    struct listener *listener;
    struct http_session *sessions[LIAR_SESSIONS]; /* alive */
    size_t session_count, most_sessions;
    unsigned accepted, asked; /* sessions and requests so far */
    void (*answer)(struct liar *l, struct http_exchange *x);
    void (*gone)(struct liar *l, struct http_exchange *x); /* may be NULL */
    void *arg;
};

/* A world of a parent ("hub"), a child ("box") and a link of 1.25 MB/s and 20 ms between them. */
struct liar_stage {
    struct world *world;
    struct world_link *wan;
    struct loop *hub, *box;
    struct liar liar;
};

static inline uint64_t liar_head(void *arg, struct http_exchange *x)
{
    (void)arg;
    (void)x;
    return 1 << 20;
}

static inline void liar_request(void *arg, struct http_exchange *x)
{
    struct liar *l = arg;

    l->asked++;
    l->answer(l, x);
}

static inline void liar_closed(void *arg, struct http_exchange *x)
{
    struct liar *l = arg;

    if (l->gone != NULL)
        l->gone(l, x);
}

static inline void liar_session_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct liar *l = arg;

    (void)st;
    for (size_t i = 0; i < l->session_count; i++) {
        if (l->sessions[i] == s) {
            l->sessions[i] = l->sessions[--l->session_count];
            return;
        }
    }
}

static inline void liar_accept(void *arg, struct stream *stream)
{
    static const struct http_server_ops ops = {.head = liar_head,
                                               .request = liar_request,
                                               .closed = liar_closed,
                                               .session_closed = liar_session_closed};
    struct liar *l = arg;

    alb_assert(l->session_count < LIAR_SESSIONS);
    l->accepted++;
    l->sessions[l->session_count++] = http_serve(stream, NULL, &ops, l);
    if (l->session_count > l->most_sessions)
        l->most_sessions = l->session_count;
}

static inline void liar_listen(struct liar *l)
{
    const struct listen_options options = {.address = "0.0.0.0", .port = LIAR_PORT};

    assert_int_equal(loop_listen(l->loop, &options, liar_accept, l, &l->listener).code, ALB_OK);
}

static inline void liar_hang_up(struct liar *l)
{
    for (size_t i = 0; i < l->session_count; i++)
        http_session_close(l->sessions[i]);
}

static inline void liar_print_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static inline void liar_stage_open(struct liar_stage *g)
{
    static const struct identity hub = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    static const struct identity box = {
        .role = ROLE_REFLECTOR, .org = "acme", .device = "box", .serial = "01"};

    *g = (struct liar_stage){.world = world_new(1)};
    if (getenv("ALB_LOG") != NULL)
        log_install(liar_print_log, NULL, LOG_DEBUG);
    g->hub = world_add_node(g->world, "hub", &hub);
    g->box = world_add_node(g->world, "box", &box);
    g->wan = world_add_link(g->world, "wan", 1250 * 1000, 20 * NS_PER_MS);
    world_route(g->world, g->hub, g->box, &g->wan, 1);
    g->liar.loop = g->hub;
}

static inline void liar_stage_run_ms(struct liar_stage *g, uint64_t ms)
{
    world_run(g->world, world_now_ns(g->world) + ms * NS_PER_MS);
}

/* The child's parts are gone already. */
static inline void liar_stage_close(struct liar_stage *g)
{
    liar_hang_up(&g->liar);
    if (g->liar.listener != NULL)
        listener_free(g->liar.listener);
    liar_stage_run_ms(g, 60000);
    world_free(g->world);
}

/* An upstream to the parent that needs no greeting. */
static inline struct upstream *liar_plain_upstream(struct liar_stage *g)
{
    return upstream_new(&(struct upstream_options){
        .loop = g->box, .places = {{"hub", LIAR_PORT}}, .place_count = 1});
}

static inline struct chunk *liar_chunk_of(const uint8_t *raw, size_t raw_size)
{
    struct chunk_key key = {.kind = KEY_PLAIN};
    struct codec *codec = codec_new();
    struct buf stored;

    sha256(raw, raw_size, &key.digest);
    buf_init(&stored, CHUNK_STORED_MAX);
    assert_int_equal(codec_compress(codec, raw, raw_size, &stored).code, ALB_OK);
    struct chunk *chunk = chunk_copy(&key, buf_peek(&stored), buf_size(&stored));
    assert_non_null(chunk);
    buf_release(&stored);
    codec_free(codec);
    return chunk;
}

/* The `n`-th of many small chunks: its raw bytes follow from its number. */
static inline struct chunk *liar_chunk(unsigned n, size_t raw_size)
{
    uint8_t *raw = xalloc(raw_size + 1);

    for (size_t i = 0; i < raw_size; i++)
        raw[i] = (uint8_t)((i * 2654435761U + n * 40503U) >> (8 + n % 7));
    struct chunk *chunk = liar_chunk_of(raw, raw_size);
    free(raw);
    return chunk;
}
