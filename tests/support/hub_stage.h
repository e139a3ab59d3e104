/* SPDX-License-Identifier: Apache-2.0 */
/* support/hub_stage.h – a hub in a simulated world, and one of each role to ask it things.
 *
 * Code in a header, because each test file is a program of its own and only these share it.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/bearer.h"
#include "hub/device.h"
#include "hub/hub.h"
#include "net/x509.h"
#include "sim/world.h"
#include "store/ram.h"
#include "wire/json.h"
#include "wire/signed.h"
#include "wire/token.h"

enum actor {
    NOBODY,
    THE_HUB,
    REFLECTOR,
    ENDPOINT,
    PUBLISHER,
    ADMIN,
    BEARER, /* on the admin port, with the right token */
    PASSER, /* on the admin port, with a wrong one */
    ACTORS,
};

enum { STAGE_PORT = 7443, STAGE_ADMIN_PORT = 7444, STAGE_ANSWER_MAX = 4 << 20 };

struct reply {
    unsigned status;
    struct buf body;
    struct error_body error; /* when status ≥ 400 */
    bool is_over;
    enum alb_code code; /* of the call */
};

struct stage {
    struct world *world;
    struct world_link *link;
    struct loop *hub_loop, *loops[ACTORS];
    struct identity who[ACTORS];
    struct http_session *sessions[ACTORS];
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct hub *hub;
    struct sign_secret root_key, hub_key, publisher_key;
    struct trust_delegation all;
    struct trust trust;
    struct buf trust_bytes;
    char *ca_key, *ca_pem;
    char bearer[BEARER_TEXT_SIZE];
    struct reply reply;      /* the last one */
    unsigned delta_versions; /* the hub's option, from its next start on */
    bool is_stopped;
};

static inline void must(struct alb_status st)
{
    char text[256];

    if (alb_failed(st))
        fail_msg("%s", alb_status_text(st, text, sizeof text));
}

/* ---- people ---------------------------------------------------------------------------------- */

static inline void stage_add_actor(struct stage *s, enum actor a, const char *name, enum role role)
{
    s->who[a] = (struct identity){.role = role, .org = "acme", .expires_wall_s = INT64_MAX};
    snprintf(s->who[a].device, ID_SIZE, "%s", name);
    snprintf(s->who[a].serial, SERIAL_HEX_SIZE, "%032x", (unsigned)a + 1);
    s->loops[a] = world_add_node(s->world, name, role == ROLE_NONE ? NULL : &s->who[a]);
    world_route(s->world, s->hub_loop, s->loops[a], &s->link, 1);
}

static inline void stage_closed(void *arg, struct http_session *session, struct alb_status st)
{
    struct stage *s = arg;

    (void)st;
    for (unsigned a = 0; a < ACTORS; a++)
        if (s->sessions[a] == session)
            s->sessions[a] = NULL;
}

static inline void stage_opened(void *arg, struct http_session *session)
{
    (void)arg;
    (void)session;
}

static inline struct http_session *stage_session(struct stage *s, enum actor a)
{
    static const struct http_client_ops ops = {.opened = stage_opened, .closed = stage_closed};
    const struct dial_options dial = {.host = "hub",
                                      .port = a >= BEARER ? STAGE_ADMIN_PORT : STAGE_PORT,
                                      .timeout_ns = 5 * NS_PER_S};

    if (s->sessions[a] == NULL)
        s->sessions[a] =
            http_connect(loop_dial(s->loops[a], &dial), &(struct http_session_options){0}, &ops, s);
    return s->sessions[a];
}

/* ---- asking ---------------------------------------------------------------------------------- */

static inline void reply_head(void *arg, struct http_call *c, unsigned status)
{
    struct reply *r = arg;

    (void)c;
    r->status = status;
}

static inline void reply_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct reply *r = arg;

    (void)c;
    must(buf_append(&r->body, bytes, size));
}

static inline void reply_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct reply *r = arg;

    (void)c;
    r->is_over = true;
    r->code = st.code;
    if (r->status >= 400)
        error_body_decode(buf_peek(&r->body), buf_size(&r->body), &r->error);
}

static inline bool reply_is_over(void *arg)
{
    return ((struct reply *)arg)->is_over;
}

static inline struct http_call *stage_begin(struct stage *s, enum actor a, const char *method,
                                            const char *path, const struct buf *body,
                                            struct reply *reply)
{
    static const struct http_call_ops ops = {reply_head, reply_data, reply_end};
    static const uint8_t nothing[1] = {0};
    char bearer[BEARER_TEXT_SIZE + 16];
    const struct http_header headers[] = {{"authorization", bearer}};

    snprintf(bearer, sizeof bearer, "Bearer %s", a == BEARER ? s->bearer : "albadm_wrong");
    *reply = (struct reply){.status = 0};
    buf_init(&reply->body, STAGE_ANSWER_MAX);
    return http_call_start(
        stage_session(s, a),
        &(struct http_call_options){.method = method,
                                    .path = path,
                                    .headers = headers,
                                    .header_count = a >= BEARER,
                                    .body = body != NULL ? buf_peek(body) : nothing,
                                    .body_size = body != NULL ? buf_size(body) : 0,
                                    .expect_bytes = STAGE_ANSWER_MAX},
        &ops, reply);
}

/* Ask and wait; the answer stays in s->reply until the next one. */
static inline unsigned stage_ask(struct stage *s, enum actor a, const char *method,
                                 const char *path, const struct buf *body)
{
    buf_release(&s->reply.body);
    stage_begin(s, a, method, path, body, &s->reply);
    assert_true(world_run_until(s->world, world_now_ns(s->world) + 60 * NS_PER_S, reply_is_over,
                                &s->reply));
    return s->reply.status;
}

static inline unsigned stage_ask_text(struct stage *s, enum actor a, const char *method,
                                      const char *path, const char *text)
{
    struct buf body;

    buf_init(&body, 1 << 20);
    must(buf_append(&body, text, strlen(text)));
    unsigned status = stage_ask(s, a, method, path, &body);
    buf_release(&body);
    return status;
}

/* The last answer refuses with `status`, and its message has `words`. */
static inline void stage_refused(const struct stage *s, unsigned status, const char *words)
{
    if (s->reply.status != status || strstr(s->reply.error.message, words) == NULL)
        fail_msg("answered %u \"%s\", expected %u \"…%s…\"", s->reply.status,
                 s->reply.error.message, status, words);
}

static inline const char *stage_text(struct stage *s)
{
    return buf_text(&s->reply.body);
}

/* POST /v1/grant for oneself, then present it. */
static inline void stage_greet(struct stage *s, enum actor a)
{
    struct buf grant;

    assert_int_equal(stage_ask(s, a, "POST", "/v1/grant", NULL), 200);
    grant = s->reply.body;
    buf_init(&s->reply.body, 0);
    assert_int_equal(stage_ask(s, a, "POST", "/v1/session", &grant), 200);
    buf_release(&grant);
}

/* ---- up and down ----------------------------------------------------------------------------- */

static inline void stage_start_hub(struct stage *s)
{
    must(hub_start(&(struct hub_options){.loop = s->hub_loop,
                                         .store = s->store,
                                         .catalogue = s->catalogue,
                                         .org = "acme",
                                         .online_key = &s->hub_key,
                                         .ca_key_pem = s->ca_key,
                                         .ca_certificate_pem = s->ca_pem,
                                         .delta_versions = s->delta_versions,
                                         .listen_address = "0.0.0.0",
                                         .listen_port = STAGE_PORT,
                                         .admin_address = "0.0.0.0",
                                         .admin_port = STAGE_ADMIN_PORT},
                   &s->hub));
}

static inline void stage_stopped(void *arg)
{
    ((struct stage *)arg)->is_stopped = true;
}

static inline bool stage_is_stopped(void *arg)
{
    return ((struct stage *)arg)->is_stopped;
}

static inline void stage_stop_hub(struct stage *s)
{
    s->is_stopped = false;
    hub_stop(s->hub, stage_stopped, s);
    assert_true(
        world_run_until(s->world, world_now_ns(s->world) + 6 * NS_PER_S, stage_is_stopped, s));
    s->hub = hub_free(s->hub);
    for (unsigned a = 0; a < ACTORS; a++)
        if (s->sessions[a] != NULL)
            http_session_close(s->sessions[a]);
    world_run(s->world, world_now_ns(s->world) + 10 * NS_PER_S);
}

static inline void stage_key(unsigned seed, struct sign_secret *secret, struct sign_public *pub)
{
    memset(secret->seed, (int)seed, sizeof secret->seed);
    sign_public_of(secret, pub);
}

/* Trust file 1, not installed. */
static inline void stage_make_trust(struct stage *s)
{
    s->trust = (struct trust){.org = "acme",
                              .version = 1,
                              .threshold = 1,
                              .root_count = 1,
                              .delegations = &s->all,
                              .delegation_count = 1};
    stage_key(1, &s->root_key, &s->trust.roots[0]);
    stage_key(2, &s->hub_key, &s->trust.hub_key);
    stage_key(3, &s->publisher_key, &s->all.key);
    s->trust.issued_wall_s = loop_wall_s(s->hub_loop);
    buf_init(&s->trust_bytes, SIGNED_MAX);
    must(trust_encode(&s->trust, &s->root_key, 1, &s->trust_bytes));
}

static inline struct stage *stage_new_with(const struct ram_options *ram)
{
    struct stage *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->world = world_new(1);
    s->hub_loop = world_add_node(s->world, "hub", &(struct identity){.role = ROLE_HUB});
    s->link = world_add_link(s->world, "lan", 100000000, NS_PER_MS);
    stage_add_actor(s, NOBODY, "nobody", ROLE_NONE);
    stage_add_actor(s, THE_HUB, "hub-2", ROLE_HUB);
    stage_add_actor(s, REFLECTOR, "box", ROLE_REFLECTOR);
    stage_add_actor(s, ENDPOINT, "laptop", ROLE_ENDPOINT);
    stage_add_actor(s, PUBLISHER, "builder", ROLE_PUBLISHER);
    stage_add_actor(s, ADMIN, "root", ROLE_ADMIN);
    stage_add_actor(s, BEARER, "prometheus", ROLE_NONE);
    stage_add_actor(s, PASSER, "passer-by", ROLE_NONE);
    s->store = ram_chunk_store_new(ram);
    s->catalogue = ram_catalogue_new(ram);
    stage_make_trust(s);
    must(x509_make_ca("acme", loop_wall_s(s->hub_loop), &s->ca_key, &s->ca_pem));
    must(bearer_make(s->catalogue, s->bearer));
    stage_start_hub(s);
    return s;
}

static inline struct stage *stage_new(void)
{
    return stage_new_with(&(struct ram_options){0});
}

/* With trust file 1 in force and everybody enrolled. */
static inline struct stage *stage_ready(void)
{
    struct stage *s = stage_new();

    must(hub_install_trust(s->hub, buf_peek(&s->trust_bytes), buf_size(&s->trust_bytes)));
    for (unsigned a = REFLECTOR; a <= ADMIN; a++)
        must(hub_admit(s->hub, &s->who[a], "site1", a == ENDPOINT ? "base" : ""));
    return s;
}

static inline void stage_free(struct stage *s)
{
    if (s->hub != NULL)
        stage_stop_hub(s);
    world_free(s->world);
    chunk_store_close(s->store);
    catalogue_close(s->catalogue);
    buf_release(&s->trust_bytes);
    buf_release(&s->reply.body);
    free(s->ca_key);
    free(s->ca_pem);
    free(s);
}
