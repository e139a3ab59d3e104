/* SPDX-License-Identifier: Apache-2.0 */
/* sim/cast.c – the programs on the simulated nodes: the real hub, reflectors and pull engine. */
#include "sim/cast.h"

#include <stdio.h>

#include "base/alloc.h"
#include "client/endpoint.h"
#include "client/puller.h"
#include "hub/hub.h"
#include "reflector/reflector.h"
#include "sim/cast_version.h"
#include "store/ram.h"
#include "wire/signed.h"

enum { CAST_PORT = 7443, ENDPOINTS_MAX = 32768, LAYERS_MAX = 64 };

/* An endpoint keeps nothing but the names of the chunks it was given. */
struct cast_endpoint {
    struct chunk_sink sink;
    struct cast *cast;
    struct loop *loop;
    struct catalogue *catalogue;
    char device[SCENARIO_WORD_SIZE + 16];
    bool is_revoked;
    struct endpoint *endpoint;
    struct puller *puller;
    char wants[64];
    char has[64];
    atomic_size_t put, planned;
    struct chunk_key *keys; /* list C of what is pulled */
    struct alb_status st;
};

struct cast_reflector {
    const struct scenario_site *site;
    struct loop *loop;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct reflector *reflector;
    uint64_t crossed; /* before it was killed, if it was */
};

struct cast {
    struct loop *hub_loop;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct hub *hub;
    uint64_t hub_sessions, hub_requests; /* before it was killed, if it was */
    struct sign_secret root_key, hub_key, publisher_key;
    struct buf trust_bytes;
    struct digest trust_pin;
    uint64_t published;
    struct cast_reflector reflectors[SCENARIO_SITES_MAX];
    const struct scenario_site *first_site;
    struct cast_endpoint *endpoints[ENDPOINTS_MAX];
    unsigned endpoint_count;
};

static void must(struct alb_status st)
{
    char text[256];

    if (alb_failed(st))
        fprintf(stderr, "cast: %s\n", alb_status_text(st, text, sizeof text));
    alb_assert(!alb_failed(st));
}

/* ---- the hub --------------------------------------------------------------------------------- */

static void make_trust(struct cast *c)
{
    struct trust_delegation all = {.prefix = ""};
    struct trust trust = {.org = "sim",
                          .version = 1,
                          .threshold = 1,
                          .root_count = 1,
                          .delegations = &all,
                          .delegation_count = 1,
                          .issued_wall_s = loop_wall_s(c->hub_loop)};

    cast_key(1, &c->root_key, &trust.roots[0]);
    cast_key(2, &c->hub_key, &trust.hub_key);
    cast_key(3, &c->publisher_key, &all.key);
    buf_init(&c->trust_bytes, SIGNED_MAX);
    must(trust_encode(&trust, &c->root_key, 1, &c->trust_bytes));
    sha256(buf_peek(&c->trust_bytes), buf_size(&c->trust_bytes), &c->trust_pin);
}

static void run_hub(struct cast *c)
{
    must(hub_start(&(struct hub_options){.loop = c->hub_loop,
                                         .store = c->store,
                                         .catalogue = c->catalogue,
                                         .org = "sim",
                                         .online_key = &c->hub_key,
                                         .listen_address = "0.0.0.0",
                                         .listen_port = CAST_PORT},
                   &c->hub));
}

static void start_hub(void *arg, struct loop *loop)
{
    struct cast *c = arg;

    c->hub_loop = loop;
    c->store = ram_chunk_store_new(&(struct ram_options){0});
    c->catalogue = ram_catalogue_new(&(struct ram_options){0});
    make_trust(c);
    run_hub(c);
    must(hub_install_trust(c->hub, buf_peek(&c->trust_bytes), buf_size(&c->trust_bytes)));
}

static void publish(void *arg, const char *layer, uint64_t size)
{
    struct cast *c = arg;
    const struct cast_order order = {.org = "sim",
                                     .layer = layer,
                                     .sequence = 1,
                                     .size = size,
                                     .seed = ++c->published,
                                     .wall_s = loop_wall_s(c->hub_loop),
                                     .publisher = &c->publisher_key};
    struct cast_version version;

    cast_version_make(&order, &version);
    must(hub_publish_local(c->hub,
                           &(struct hub_publication){.record = buf_peek(&version.record_bytes),
                                                     .record_size = buf_size(&version.record_bytes),
                                                     .chunks = version.chunks,
                                                     .chunk_count = version.count}));
    cast_version_release(&version);
}

static void admit(struct cast *c, enum role role, const char *device, const char *site)
{
    struct identity who = {.role = role, .org = "sim", .expires_wall_s = INT64_MAX};

    snprintf(who.device, sizeof who.device, "%s", device);
    scenario_serial(device, who.serial, sizeof who.serial);
    must(hub_admit(c->hub, &who, site, ""));
}

/* A chain of trust reaches a box with its enrolment. */
static void give_trust(struct cast *c, struct catalogue *catalogue)
{
    must(catalogue_swap(catalogue, "trust/1", CATALOGUE_ANY, buf_peek(&c->trust_bytes),
                        buf_size(&c->trust_bytes), NULL));
}

/* ---- reflectors ------------------------------------------------------------------------------ */

static struct upstream_place place_of(const char *node)
{
    struct upstream_place place = {.port = CAST_PORT};

    snprintf(place.host, sizeof place.host, "%s", node);
    return place;
}

static struct cast_reflector *box_of(struct cast *c, const struct scenario_site *site)
{
    if (c->first_site == NULL || site < c->first_site)
        c->first_site = site;
    return &c->reflectors[site - c->first_site];
}

static void run_reflector(struct cast *c, struct cast_reflector *box)
{
    must(reflector_start(&(struct reflector_options){.loop = box->loop,
                                                     .store = box->store,
                                                     .catalogue = box->catalogue,
                                                     .parents = {place_of(box->site->parent->name)},
                                                     .parent_count = 1,
                                                     .listen_address = "0.0.0.0",
                                                     .listen_port = CAST_PORT,
                                                     .trust_pin = &c->trust_pin,
                                                     .device = box->site->name,
                                                     .site = box->site->name},
                         &box->reflector));
}

static uint64_t received_bytes(const struct cast_reflector *box)
{
    struct reflector_figures figures;

    if (box->reflector == NULL)
        return 0;
    reflector_figures(box->reflector, &figures);
    return figures.supply.fetch.received_bytes;
}

static void start_reflector(void *arg, const struct scenario_site *site, struct loop *loop)
{
    struct cast *c = arg;
    struct cast_reflector *box = box_of(c, site);

    box->site = site;
    box->loop = loop;
    box->store = ram_chunk_store_new(&(struct ram_options){.quota_bytes = site->cache_bytes});
    box->catalogue = ram_catalogue_new(&(struct ram_options){0});
    give_trust(c, box->catalogue);
    admit(c, ROLE_REFLECTOR, site->name, site->name);
    run_reflector(c, box);
}

static void hub_die(struct cast *c)
{
    struct hub_figures figures;

    hub_figures(c->hub, &figures);
    c->hub_sessions += figures.serve.sessions_total;
    c->hub_requests += figures.serve.requests;
    c->hub = hub_free(c->hub);
}

static void die(void *arg, const struct scenario_site *site)
{
    if (site->parent == NULL) {
        hub_die(arg);
        return;
    }
    struct cast_reflector *box = box_of(arg, site);

    box->crossed += received_bytes(box);
    box->reflector = reflector_free(box->reflector);
}

static void revive(void *arg, const struct scenario_site *site)
{
    if (site->parent == NULL)
        run_hub(arg);
    else
        run_reflector(arg, box_of(arg, site));
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static struct alb_status sink_plan(struct chunk_sink *s, const struct root_view *view,
                                   uint32_t **positions, size_t *count)
{
    struct cast_endpoint *e = (struct cast_endpoint *)s;

    *count = view->content_key_count;
    *positions = xcalloc(*count + 1, sizeof **positions);
    e->keys = xcalloc(*count + 1, sizeof *e->keys);
    for (size_t i = 0; i < *count; i++) {
        (*positions)[i] = (uint32_t)i;
        e->keys[i] = view->content_keys[i];
    }
    e->planned = *count;
    return ALB_STATUS_OK;
}

static struct alb_status sink_put(struct chunk_sink *s, uint32_t position,
                                  const struct chunk *chunk)
{
    struct cast_endpoint *e = (struct cast_endpoint *)s;

    if (!chunk_key_equal(&chunk->key, &e->keys[position]))
        return alb_fail(ALB_BUG, "a chunk was given for another one's position");
    e->put++;
    return ALB_STATUS_OK;
}

static struct alb_status sink_seal(struct chunk_sink *s)
{
    struct cast_endpoint *e = (struct cast_endpoint *)s;

    return e->put == e->planned ? ALB_STATUS_OK : alb_fail(ALB_BUG, "sealed before all was put");
}

static const struct chunk_sink_ops sink_ops = {
    .plan = sink_plan, .put = sink_put, .seal = sink_seal};

static void start_endpoint(void *arg, const struct scenario_site *site, unsigned number,
                           struct loop *loop)
{
    struct cast *c = arg;
    struct cast_endpoint *e = xalloc(sizeof *e);

    alb_assert(number < ENDPOINTS_MAX);
    e->sink.ops = &sink_ops;
    e->cast = c;
    e->loop = loop;
    snprintf(e->device, sizeof e->device, "%s-%u", site->name, number - site->first_endpoint + 1);
    e->catalogue = ram_catalogue_new(&(struct ram_options){0});
    give_trust(c, e->catalogue);
    admit(c, ROLE_ENDPOINT, e->device, site->name);
    must(endpoint_start(
        &(struct endpoint_options){.loop = loop,
                                   .catalogue = e->catalogue,
                                   .parents = {place_of(site->name)},
                                   .parent_count = 1,
                                   .line = site->parent == NULL ? LINE_IS_WAN : LINE_IS_LAN,
                                   .device = e->device,
                                   .trust_pin = &c->trust_pin,
                                   .memory_bytes = 4 << 20},
        &e->endpoint));
    c->endpoints[number] = e;
    if (number >= c->endpoint_count)
        c->endpoint_count = number + 1;
}

static void pull_ended(void *arg, struct alb_status st)
{
    struct cast_endpoint *e = arg;
    char text[256];

    e->st = st;
    if (alb_failed(st))
        fprintf(stderr, "%s: %s\n", e->device, alb_status_text(st, text, sizeof text));
    else
        snprintf(e->has, sizeof e->has, "%s", e->wants);
    e->puller = puller_free(e->puller);
}

static void want(void *arg, unsigned number, const char *layer)
{
    struct cast *c = arg;
    struct cast_endpoint *e = c->endpoints[number];

    snprintf(e->wants, sizeof e->wants, "%s", layer);
    e->put = 0;
    free(e->keys);
    e->keys = NULL;
    e->puller = puller_start(&(struct puller_options){.loop = e->loop,
                                                      .authority = endpoint_authority(e->endpoint),
                                                      .records = endpoint_records(e->endpoint),
                                                      .roots = endpoint_roots(e->endpoint),
                                                      .supply = endpoint_supply(e->endpoint),
                                                      .sink = &e->sink,
                                                      .layer = layer,
                                                      .done = pull_ended,
                                                      .arg = e});
}

static bool has(void *arg, unsigned number, const char *layer)
{
    struct cast *c = arg;

    return strcmp(c->endpoints[number]->has, layer) == 0;
}

/* ---- who is put out -------------------------------------------------------------------------- */

static struct cast_endpoint *endpoint_called(const struct cast *c, const char *device)
{
    for (unsigned i = 0; i < c->endpoint_count; i++)
        if (strcmp(c->endpoints[i]->device, device) == 0)
            return c->endpoints[i];
    return NULL;
}

static struct upstream_figures line_of(const struct cast_endpoint *e)
{
    struct upstream_figures figures;

    upstream_figures(endpoint_upstream(e->endpoint), &figures);
    return figures;
}

static void revoke(void *arg, const char *device)
{
    struct cast *c = arg;
    struct cast_endpoint *e = endpoint_called(c, device);

    alb_assert(e != NULL && line_of(e).is_up); /* else its being cut off would say nothing */
    e->is_revoked = true;
    must(hub_revoke_local(c->hub, device));
}

static bool is_cut_off(void *arg, const char *device)
{
    const struct cast_endpoint *e = endpoint_called(arg, device);

    return e != NULL && e->is_revoked && !line_of(e).is_up;
}

static bool is_out(void *arg, const char *device)
{
    const struct cast_endpoint *e = endpoint_called(arg, device);

    return e != NULL && !line_of(e).is_up && line_of(e).down_code == ALB_REFUSED;
}

/* ---- figures --------------------------------------------------------------------------------- */

static uint64_t crossed_bytes(void *arg, const struct scenario_site *site)
{
    const struct cast_reflector *box = box_of(arg, site);

    return box->crossed + received_bytes(box);
}

static uint64_t hub_sessions(void *arg)
{
    const struct cast *c = arg;
    struct hub_figures figures = {.serve = {.sessions_total = 0}};

    if (c->hub != NULL)
        hub_figures(c->hub, &figures);
    return c->hub_sessions + figures.serve.sessions_total;
}

static uint64_t hub_requests(void *arg)
{
    const struct cast *c = arg;
    struct hub_figures figures = {.serve = {.requests = 0}};

    if (c->hub != NULL)
        hub_figures(c->hub, &figures);
    return c->hub_requests + figures.serve.requests;
}

static uint64_t needed_bytes(void *arg, const struct scenario_site *site)
{
    struct chunk_store_stats stats;
    struct chunk_store *store = box_of(arg, site)->store;

    must(store->ops->stats(store, &stats));
    return stats.stored_bytes;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void stop(void *arg)
{
    struct cast *c = arg;

    for (unsigned i = 0; i < c->endpoint_count; i++) {
        struct cast_endpoint *e = c->endpoints[i];
        e->puller = puller_free(e->puller);
        e->endpoint = endpoint_free(e->endpoint);
    }
    for (size_t i = 0; i < SCENARIO_SITES_MAX; i++) {
        if (c->reflectors[i].reflector != NULL)
            reflector_stop(c->reflectors[i].reflector, NULL, NULL);
    }
    if (c->hub != NULL)
        hub_stop(c->hub, NULL, NULL);
}

static void released(void *arg)
{
    struct cast *c = arg;

    for (unsigned i = 0; i < c->endpoint_count; i++) {
        catalogue_close(c->endpoints[i]->catalogue);
        free(c->endpoints[i]->keys);
        free(c->endpoints[i]);
    }
    for (size_t i = 0; i < SCENARIO_SITES_MAX; i++) {
        reflector_free(c->reflectors[i].reflector);
        chunk_store_close(c->reflectors[i].store);
        catalogue_close(c->reflectors[i].catalogue);
    }
    hub_free(c->hub);
    chunk_store_close(c->store);
    catalogue_close(c->catalogue);
    buf_release(&c->trust_bytes);
}

const struct scenario_ops cast_ops = {.start_hub = start_hub,
                                      .start_reflector = start_reflector,
                                      .start_endpoint = start_endpoint,
                                      .publish = publish,
                                      .want = want,
                                      .revoke = revoke,
                                      .is_cut_off = is_cut_off,
                                      .is_out = is_out,
                                      .has = has,
                                      .die = die,
                                      .revive = revive,
                                      .hub_sessions = hub_sessions,
                                      .hub_requests = hub_requests,
                                      .crossed_bytes = crossed_bytes,
                                      .needed_bytes = needed_bytes,
                                      .stop = stop,
                                      .released = released};

struct cast *cast_new(void)
{
    return xalloc(sizeof(struct cast));
}

struct cast *cast_free(struct cast *c)
{
    free(c);
    return NULL;
}
