/* SPDX-License-Identifier: Apache-2.0 */
/* support/choosing_stage.h – a machine between two reflectors, one above, and the hub. */
#pragma once

#include "net/http_pace.h"
#include "store/ram.h"
#include "support/liar.h"
#include "transfer/chooser.h"
#include "wire/here.h"
#include "wire/json.h"
#include "wire/nearby.h"

enum { A, B, PARENT, HUB, PARENTS };

static const char *const NAMES[PARENTS] = {"a", "b", "parent", "hub"};

struct actor {
    struct liar liar;
    struct stage *stage;
    struct here here;
    bool is_mute;     /* answers nothing any more */
    bool is_old;      /* does not know /v1/here   */
    unsigned refuses; /* status of greetings      */
    unsigned asked_here, greeted;
    struct http_exchange *hanging; /* a batch that is not answered */
};

struct stage {
    struct world *world;
    struct world_link *lan, *wan;
    struct loop *box;
    struct actor actors[PARENTS];
    struct nearby list;
    struct nearby_holder holders[3];
    struct chooser *chooser;
    struct upstream *upstream;
    struct upstream_listener listener;
    struct catalogue *catalogue;
    struct http_call *call;
    uint64_t up_ns;
    unsigned ups, changes;
    const char *revoked; /* a serial; NULL: none is */
};

/* ---- the parents ----------------------------------------------------------------------------- */

static inline void answer_here(struct actor *a, struct http_exchange *x)
{
    struct buf out;

    a->asked_here++;
    buf_init(&out, HERE_BYTES_MAX);
    assert_false(alb_failed(here_encode(&a->here, &out)));
    http_answer(x, a->is_old ? 404 : 200, NULL, buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

static inline void answer(struct liar *l, struct http_exchange *x)
{
    static const char closed[] = "{\"code\":\"closed\",\"message\":\"full\",\"until\":%lld}";
    struct actor *a = l->arg;
    char body[128];

    if (a->is_mute)
        return;
    if (strcmp(http_exchange_path(x), "/v1/here") == 0) {
        answer_here(a, x);
    } else if (strcmp(http_exchange_path(x), "/v1/session") == 0) {
        a->greeted++;
        snprintf(body, sizeof body, closed, (long long)loop_wall_s(l->loop) + 40);
        http_answer(x, a->refuses != 0 ? a->refuses : 200, NULL, body, strlen(body));
    } else if (strcmp(http_exchange_path(x), "/v1/grant") == 0) {
        http_answer(x, 200, NULL, "grant", 5);
    } else {
        a->hanging = x;
    }
}

static inline void gone(struct liar *l, struct http_exchange *x)
{
    struct actor *a = l->arg;

    if (a->hanging == x)
        a->hanging = NULL;
}

static inline void die(struct stage *g, unsigned i)
{
    struct liar *l = &g->actors[i].liar;

    if (l->listener != NULL)
        l->listener = listener_free(l->listener);
    liar_hang_up(l);
}

/* ---- the box --------------------------------------------------------------------------------- */

static inline struct alb_status granted(void *arg, const uint8_t *bytes, size_t size,
                                        int64_t *renew_wall_s)
{
    const struct stage *g = arg;

    (void)bytes;
    (void)size;
    *renew_wall_s = loop_wall_s(g->box) + 3600 * 24;
    return ALB_STATUS_OK;
}

static inline void on_up(struct upstream_listener *l)
{
    struct stage *g = ALB_CONTAINER(l, struct stage, listener);

    g->ups++;
    g->up_ns = world_now_ns(g->world);
}

static inline void on_down(struct upstream_listener *l)
{
    (void)l;
}

static inline void on_changed(void *arg)
{
    struct stage *g = arg;

    g->changes++;
}

static inline bool has_revoked(void *arg, const char *serial)
{
    const struct stage *g = arg;

    return g->revoked != NULL && strcmp(g->revoked, serial) == 0;
}

/* Configured with `first`; knows the list from the beginning, if it shall know one. */
static inline void start(struct stage *g, unsigned first, bool knows_list, bool is_reflector)
{
    struct chooser_options o = {.loop = g->box,
                                .catalogue = g->catalogue,
                                .device = "box",
                                .is_reflector = is_reflector,
                                .place_count = 1};

    snprintf(o.places[0].host, sizeof o.places[0].host, "%s", NAMES[first]);
    o.places[0].port = LIAR_PORT;
    o.hub = (struct upstream_place){.host = "hub", .port = LIAR_PORT};
    o.arg = g;
    o.changed = on_changed;
    g->chooser = chooser_new(&o);
    if (knows_list)
        chooser_set_list(g->chooser, &g->list);
    struct upstream_options u = {
        .loop = g->box, .place_count = 1, .wants_grant = true, .granted = granted, .arg = g};
    u.places[0] = *chooser_first(g->chooser);
    g->upstream = upstream_new(&u);
    g->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(g->upstream, &g->listener);
    upstream_use_trust(g->upstream, &(struct upstream_trust){.has_revoked = has_revoked, .arg = g});
    chooser_use_upstream(g->chooser, g->upstream);
}

static inline void stop(struct stage *g)
{
    g->chooser = chooser_free(g->chooser);
    if (g->upstream != NULL)
        upstream_unlisten(g->upstream, &g->listener);
    g->upstream = upstream_free(g->upstream);
}

static inline void run_ms(struct stage *g, uint64_t ms)
{
    world_run(g->world, world_now_ns(g->world) + ms * NS_PER_MS);
}

static const char *at(struct stage *g)
{
    return upstream_is_up(g->upstream) ? upstream_at(g->upstream)->host : "";
}

static inline bool is_at_other(void *arg)
{
    struct stage *g = arg;

    return g->up_ns != 0;
}

/* Runs until it is up anew; how long that took. */
static inline uint64_t ms_to_next_up(struct stage *g, uint64_t most_ms)
{
    const uint64_t begin_ns = world_now_ns(g->world);

    g->up_ns = 0;
    if (!world_run_until(g->world, begin_ns + most_ms * NS_PER_MS, is_at_other, g))
        return UINT64_MAX;
    return (g->up_ns - begin_ns) / NS_PER_MS;
}

static inline void make_list(struct stage *g)
{
    g->list = (struct nearby){
        .org = "acme", .site = "north", .number = 7, .holders = g->holders, .holder_count = 3};
    g->list.terms.use = SITE_USE_PREFER;
    for (unsigned i = A; i <= PARENT; i++) {
        struct nearby_holder *h = &g->holders[i];
        *h = (struct nearby_holder){
            .depth = i == PARENT, .order = i == PARENT ? 0 : i, .at_count = 1};
        snprintf(h->device, sizeof h->device, "%s", NAMES[i]);
        snprintf(h->at[0].host, sizeof h->at[0].host, "%s", NAMES[i]);
        h->at[0].port = LIAR_PORT;
    }
    snprintf(g->list.hub[0].host, sizeof g->list.hub[0].host, "hub");
    g->list.hub[0].port = LIAR_PORT;
    g->list.hub_count = 1;
}

static inline int setup(void **state)
{
    static const struct identity box = {
        .role = ROLE_ENDPOINT, .org = "acme", .device = "box", .serial = "01"};
    struct stage *g = xalloc(sizeof *g);

    g->world = world_new(1);
    if (getenv("ALB_LOG") != NULL)
        log_install(liar_print_log, NULL, LOG_DEBUG);
    g->lan = world_add_link(g->world, "lan", 125 * 1000 * 1000, NS_PER_MS / 5);
    g->wan = world_add_link(g->world, "wan", 250 * 1000, 20 * NS_PER_MS);
    g->box = world_add_node(g->world, "box", &box);
    for (unsigned i = 0; i < PARENTS; i++) {
        struct actor *a = &g->actors[i];
        struct identity id = {.role = i == HUB ? ROLE_HUB : ROLE_REFLECTOR, .org = "acme"};
        snprintf(id.device, sizeof id.device, "%s", NAMES[i]);
        snprintf(id.serial, sizeof id.serial, "%02x", i + 2);
        struct loop *node = world_add_node(g->world, NAMES[i], &id);
        struct world_link *links[] = {i >= PARENT ? g->wan : g->lan, g->lan};
        world_route(g->world, node, g->box, links, i >= PARENT ? 2 : 1);
        *a = (struct actor){.stage = g, .here = {.takes_new = true, .is_hub = i == HUB}};
        snprintf(a->here.device, sizeof a->here.device, "%s", NAMES[i]);
        a->liar = (struct liar){.loop = node, .answer = answer, .gone = gone, .arg = a};
        liar_listen(&a->liar);
    }
    make_list(g);
    g->catalogue = ram_catalogue_new(&(struct ram_options){0});
    *state = g;
    return 0;
}

static inline int teardown(void **state)
{
    struct stage *g = *state;

    stop(g);
    for (unsigned i = 0; i < PARENTS; i++)
        die(g, i);
    world_link_set_up(g->lan, true);
    world_link_set_up(g->wan, true);
    run_ms(g, 60000);
    catalogue_close(g->catalogue);
    world_free(g->world);
    free(g);
    return 0;
}

static inline size_t find_shown(struct stage *g, struct json_doc **doc, const char *device)
{
    struct json_writer *w = json_writer_new();
    struct buf out;
    char path[64];

    json_object_begin(w, NULL);
    chooser_show(g->chooser, w);
    json_end(w);
    buf_init(&out, 1 << 20);
    assert_false(alb_failed(json_writer_finish(w, &out)));
    assert_false(alb_failed(json_doc_parse(buf_peek(&out), buf_size(&out), doc)));
    buf_release(&out);
    for (size_t i = 0; i < json_doc_count(*doc, "choice.candidates"); i++) {
        snprintf(path, sizeof path, "choice.candidates.%zu.place", i);
        if (strncmp(json_doc_text(*doc, path), device, strlen(device)) == 0)
            return i;
    }
    fail();
    return 0;
}

static inline void expect_reason(struct stage *g, const char *device, const char *reason)
{
    struct json_doc *doc = NULL;
    char path[64];
    const size_t i = find_shown(g, &doc, device);

    snprintf(path, sizeof path, "choice.candidates.%zu.reason", i);
    assert_string_equal(json_doc_text(doc, path), reason);
    json_doc_free(doc);
}
