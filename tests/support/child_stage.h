/* SPDX-License-Identifier: Apache-2.0 */
/* support/child_stage.h – a child with all its books, as reflector and endpoint compose them, below
 * a parent that holds one version, over a simulated line. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "sim/cast_holder.h"
#include "transfer/own_grant.h"

struct child {
    struct loop *loop;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct authority *authority;
    struct own_grant grant;
    struct upstream *upstream;
    struct keeper *keeper;
    struct supply *supply;
    struct record_book *records;
    struct root_book *roots;
};

struct child_stage {
    struct world *world;
    struct world_link *wan; /* 10 Mbit/s, 20 ms */
    struct cast_holder parent;
    struct cast_version version; /* of 3 MiB; the parent has it */
    struct child child;
};

static inline void child_ignore_event(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

/* The line and the books; store, catalogue and authority are there. */
static inline void child_start(struct child *c)
{
    c->upstream = upstream_new(&(struct upstream_options){.loop = c->loop,
                                                          .places = {{"hub", CAST_PORT}},
                                                          .place_count = 1,
                                                          .wants_grant = true,
                                                          .wants_events = true,
                                                          .arg = &c->grant,
                                                          .granted = own_grant_judge,
                                                          .event = child_ignore_event});
    authority_follow(c->authority, c->upstream, NULL, NULL);
    c->keeper = keeper_new(c->loop, c->store, 64 << 20);
    c->supply = supply_new(&(struct supply_options){
        .loop = c->loop, .store = c->store, .keeper = c->keeper, .upstream = c->upstream});
    c->records = record_book_new(&(struct record_book_options){.loop = c->loop,
                                                               .catalogue = c->catalogue,
                                                               .authority = c->authority,
                                                               .upstream = c->upstream});
    c->roots = root_book_new(&(struct root_book_options){
        .loop = c->loop, .records = c->records, .supply = c->supply, .authority = c->authority});
}

/* `quota_bytes` is its store's; 0: no limit. */
static inline void child_open(struct child_stage *s, uint64_t quota_bytes)
{
    struct child *c = &s->child;

    c->store = ram_chunk_store_new(&(struct ram_options){.quota_bytes = quota_bytes});
    c->catalogue = ram_catalogue_new(&(struct ram_options){0});
    assert_int_equal(authority_open(&(struct authority_options){.loop = c->loop,
                                                                .catalogue = c->catalogue,
                                                                .pin = &s->parent.trust_pin},
                                    &c->authority)
                         .code,
                     ALB_OK);
    c->grant = (struct own_grant){
        .loop = c->loop, .catalogue = c->catalogue, .authority = c->authority, .device = "box"};
    own_grant_init(&c->grant);
    child_start(c);
    /* The first trust file comes with enrolment, not over an unproven line. */
    assert_int_equal(authority_add_trust(c->authority, buf_peek(&s->parent.trust_bytes),
                                         buf_size(&s->parent.trust_bytes))
                         .code,
                     ALB_OK);
}

/* The parent only: child_open() follows. */
static inline void child_stage_open(struct child_stage *s, const char *layer)
{
    static const struct identity hub_id = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    static const struct identity box_id = {
        .role = ROLE_REFLECTOR, .org = "acme", .device = "box", .serial = "01"};

    s->world = world_new(1);
    struct loop *hub = world_add_node(s->world, "hub", &hub_id);
    s->child.loop = world_add_node(s->world, "box", &box_id);
    s->wan = world_add_link(s->world, "wan", 1250 * 1000, 20 * NS_PER_MS);
    world_route(s->world, hub, s->child.loop, &s->wan, 1);
    cast_holder_start(&s->parent, hub);
    const struct cast_order order = cast_holder_order(&s->parent, layer, 1, 3 << 20);
    cast_version_make(&order, &s->version);
    cast_holder_publish(&s->parent, &s->version, 1);
}

static inline void child_stage_close(struct child_stage *s)
{
    struct child *c = &s->child;

    c->roots = root_book_free(c->roots);
    c->records = record_book_free(c->records);
    c->supply = supply_free(c->supply);
    c->authority = authority_close(c->authority);
    c->upstream = upstream_free(c->upstream);
    c->keeper = keeper_free(c->keeper);
    own_grant_release(&c->grant);
    cast_holder_stop(&s->parent);
    world_run(s->world, world_now_ns(s->world) + 60 * NS_PER_S);
    world_free(s->world);
    chunk_store_close(c->store);
    catalogue_close(c->catalogue);
    cast_holder_release(&s->parent);
    cast_version_release(&s->version);
}
