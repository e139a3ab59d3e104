/* SPDX-License-Identifier: Apache-2.0 */
/* support/box_stage.h – a reflector in a simulated branch: a parent that says what the test wants,
 * an endpoint and a reflector behind it. */
#pragma once

#include "reflector/reflector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "sim/cast_holder.h"
#include "wire/json.h"

enum { BOX_PORT = 7500 };

/* One who speaks to the reflector. */
struct asker {
    struct branch *branch;
    struct upstream *upstream;
    struct buf grant;  /* the last that came */
    unsigned told;     /* answers to ask() */
    unsigned status;   /* of the last       */
    struct buf answer; /* its body          */
    char message[512];
};

struct branch {
    struct world *world;
    struct world_link *wan, *lan;
    struct loop *box, *pc, *below;
    struct cast_holder hub;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct reflector *reflector;
    /* what the hub was asked, and how it answers */
    unsigned grants, lists, renewals;
    int64_t grant_lifetime_s;
    const char *refused_device;
    struct asker endpoint, child;
};

static const char LIST[] = "{\"layers\":[{\"layer\":\"base/debian-12\",\"new_member\":[1,2]},"
                           "{\"layer\":\"app/office\"}]}";

static inline void print_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

/* ---- the hub ---- */

static inline void hub_grants(void *arg, struct serve_request *rq)
{
    struct branch *b = arg;
    struct named_request ask;
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);
    AUTO_FREE struct grant *grant = xalloc(sizeof *grant);
    struct buf bytes;

    assert_false(alb_failed(named_request_decode(body, size, &ask)));
    if (ask.device[0] == '\0')
        snprintf(ask.device, sizeof ask.device, "%s", rq->session->who.device);
    else
        b->grants++;
    if (b->refused_device != NULL && strcmp(ask.device, b->refused_device) == 0) {
        serve_refuse(rq, ALB_REFUSED, "no such device is enrolled here, or it was revoked");
        return;
    }
    snprintf(grant->org, sizeof grant->org, "acme");
    snprintf(grant->device, sizeof grant->device, "%s", ask.device);
    snprintf(grant->prefixes[0], NAME_MAX_SIZE, "%s", strcmp(ask.device, "pc") == 0 ? "base" : "");
    grant->prefix_count = 1;
    grant->issued_wall_s = loop_wall_s(b->hub.loop);
    grant->expires_wall_s = grant->issued_wall_s + b->grant_lifetime_s;
    buf_init(&bytes, SIGNED_MAX);
    assert_false(alb_failed(grant_encode(grant, &b->hub.hub_key, &bytes)));
    serve_answer(rq, "application/octet-stream", buf_peek(&bytes), buf_size(&bytes));
    buf_release(&bytes);
}

static inline void hub_lists(void *arg, struct serve_request *rq)
{
    struct branch *b = arg;

    b->lists++;
    serve_answer(rq, "application/json", LIST, sizeof LIST - 1);
}

/* Says whom it was asked for. */
static inline void hub_renews(void *arg, struct serve_request *rq)
{
    struct branch *b = arg;
    AUTO_FREE struct renew_request *ask = xalloc(sizeof *ask);
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);

    b->renewals++;
    assert_false(alb_failed(renew_request_decode(body, size, ask)));
    if (b->refused_device != NULL && strcmp(ask->device, b->refused_device) == 0)
        serve_refuse(rq, ALB_REFUSED, "no such device is enrolled here, or it was revoked");
    else
        serve_answer(rq, "application/json", ask->device, strlen(ask->device));
}

static inline void hub_start(struct branch *b, struct loop *loop)
{
    b->grant_lifetime_s = GRANT_LIFETIME_S;
    cast_holder_start(&b->hub, loop);
    serve_set(b->hub.serve, ROUTE_GRANT, hub_grants, b);
    serve_set(b->hub.serve, ROUTE_LAYERS, hub_lists, b);
    serve_set(b->hub.serve, ROUTE_RENEW, hub_renews, b);
}

/* ---- the reflector ---- */

/* As `init` leaves it: the first trust file is in the catalogue. */
static inline void keep_trust(struct branch *b)
{
    assert_false(alb_failed(catalogue_swap(b->catalogue, "trust/1", CATALOGUE_ANY,
                                           buf_peek(&b->hub.trust_bytes),
                                           buf_size(&b->hub.trust_bytes), NULL)));
}

static inline void box_start(struct branch *b)
{
    const struct reflector_options options = {.loop = b->box,
                                              .store = b->store,
                                              .catalogue = b->catalogue,
                                              .parents = {{"hub", CAST_PORT}},
                                              .parent_count = 1,
                                              .listen_address = "0.0.0.0",
                                              .listen_port = BOX_PORT,
                                              .trust_pin = &b->hub.trust_pin,
                                              .device = "box",
                                              .site = "north"};

    assert_false(alb_failed(reflector_start(&options, &b->reflector)));
}

/* ---- askers ---- */

static inline struct alb_status take_grant(void *arg, const uint8_t *bytes, size_t size,
                                           int64_t *renew_wall_s)
{
    struct asker *a = arg;

    buf_release(&a->grant);
    buf_init(&a->grant, SIGNED_MAX);
    *renew_wall_s = INT64_MAX;
    return buf_append(&a->grant, bytes, size);
}

static inline void asker_start(struct branch *b, struct asker *a, struct loop *loop)
{
    a->branch = b;
    buf_init(&a->grant, SIGNED_MAX);
    buf_init(&a->answer, SIGNED_MAX);
    a->upstream = upstream_new(&(struct upstream_options){.loop = loop,
                                                          .places = {{"box", BOX_PORT}},
                                                          .place_count = 1,
                                                          .wants_grant = true,
                                                          .arg = a,
                                                          .granted = take_grant});
}

static inline void asker_stop(struct asker *a)
{
    a->upstream = upstream_free(a->upstream);
    buf_release(&a->grant);
    buf_release(&a->answer);
}

static inline void told(void *arg, const struct upstream_answer *answer)
{
    struct asker *a = arg;

    a->told++;
    a->status = answer->status;
    buf_clear(&a->answer);
    assert_false(alb_failed(buf_append(&a->answer, answer->body, answer->size)));
    snprintf(a->message, sizeof a->message, "%s", answer->message);
}

static inline void run(struct branch *b, uint64_t ns)
{
    world_run(b->world, world_now_ns(b->world) + ns);
}

static inline void ask(struct asker *a, const char *method, const char *path, const char *body)
{
    const struct upstream_ask question = {.method = method,
                                          .path = path,
                                          .body = body,
                                          .body_size = strlen(body),
                                          .expect_bytes = SIGNED_MAX,
                                          .timeout_ns = 50 * NS_PER_S};

    (void)upstream_request(a->upstream, &question, told, a);
}

/* Ask and wait for the answer's HTTP status. */
static inline unsigned answer_to(struct asker *a, const char *method, const char *path,
                                 const char *body)
{
    const unsigned before = a->told;

    ask(a, method, path, body);
    run(a->branch, 60 * NS_PER_S);
    assert_int_equal(a->told, before + 1);
    return a->status;
}

static inline void check_grant(const struct branch *b, const struct asker *a, const char *device)
{
    AUTO_FREE struct grant *grant = xalloc(sizeof *grant);

    assert_int_equal(grant_decode(buf_peek(&a->answer), buf_size(&a->answer),
                                  authority_trust(b->hub.authority), grant)
                         .code,
                     ALB_OK);
    assert_string_equal(grant->device, device);
}

static inline void cut(struct branch *b)
{
    world_link_set_up(b->wan, false);
    run(b, 120 * NS_PER_S);
}

/* ---- fixture ---- */

static inline int setup(void **state)
{
    static const struct identity ids[] = {
        {.role = ROLE_HUB, .org = "acme", .device = "hub"},
        {.role = ROLE_REFLECTOR, .org = "acme", .device = "box", .serial = "01"},
        {.role = ROLE_ENDPOINT, .org = "acme", .device = "pc", .serial = "02"},
        {.role = ROLE_REFLECTOR, .org = "acme", .device = "below", .serial = "03"},
    };
    struct branch *b = xalloc(sizeof *b);

    if (getenv("ALB_LOG") != NULL)
        log_install(print_log, NULL, LOG_DEBUG);
    b->world = world_new(1);
    struct loop *hub = world_add_node(b->world, "hub", &ids[0]);
    b->box = world_add_node(b->world, "box", &ids[1]);
    b->pc = world_add_node(b->world, "pc", &ids[2]);
    b->below = world_add_node(b->world, "below", &ids[3]);
    b->wan = world_add_link(b->world, "wan", 1250 * 1000, 20 * NS_PER_MS);
    b->lan = world_add_link(b->world, "lan", 125 * 1000 * 1000, NS_PER_MS / 5);
    world_route(b->world, hub, b->box, &b->wan, 1);
    world_route(b->world, b->box, b->pc, &b->lan, 1);
    world_route(b->world, b->box, b->below, &b->lan, 1);
    hub_start(b, hub);
    b->store = ram_chunk_store_new(&(struct ram_options){0});
    b->catalogue = ram_catalogue_new(&(struct ram_options){0});
    keep_trust(b);
    box_start(b);
    run(b, NS_PER_S);
    asker_start(b, &b->endpoint, b->pc);
    asker_start(b, &b->child, b->below);
    run(b, NS_PER_S);
    *state = b;
    return 0;
}

static inline int teardown(void **state)
{
    struct branch *b = *state;

    asker_stop(&b->endpoint);
    asker_stop(&b->child);
    b->reflector = reflector_free(b->reflector);
    cast_holder_stop(&b->hub);
    run(b, 60 * NS_PER_S);
    world_free(b->world);
    chunk_store_close(b->store);
    catalogue_close(b->catalogue);
    cast_holder_release(&b->hub);
    free(b);
    return 0;
}
