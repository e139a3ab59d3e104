/* SPDX-License-Identifier: Apache-2.0 */
/* client/endpoint.c – the reflector's composition without a store and without anyone downstream. */
#include "client/endpoint.h"

#include "base/alloc.h"
#include "base/log.h"
#include "client/beacons.h"
#include "transfer/feed_revoked.h"
#include "wire/json.h"

/* A chunk is written into every staged file that has it when it comes; it is asked for again only
 * when a list is opened or an answer was wrong. */
enum { MEMORY_DEFAULT = 4 << 20 };

struct endpoint {
    struct endpoint_options options;
    struct authority *authority;
    struct policy_book *policy;
    struct own_grant grant;
    struct line *line;
    struct nearby_book *nearby;
    struct nearby_listener on_list;
    struct chooser *chooser;
    struct whereabouts *whereabouts; /* NULL: it is told where it is, or nobody knows */
    struct beacons *beacons;         /* NULL: this machine cannot hear any */
    struct upstream *upstream;
    struct supply *supply;
    struct record_book *records;
    struct root_book *roots;
};

static void on_event(void *arg, const char *line)
{
    struct endpoint *e = arg;

    root_book_forget_refused(e->roots);
    nearby_book_hear(e->nearby, line);
    if (strncmp(line, "head ", 5) == 0)
        record_book_forget(e->records, NULL);
    else if (strcmp(line, "trust") == 0)
        authority_refresh(e->authority);
    else if (strcmp(line, "here") == 0)
        chooser_hear(e->chooser);
    else if (!feed_hear_revoked(e->authority, line))
        policy_book_hear(e->policy, line);
    if (e->options.heard != NULL)
        e->options.heard(e->options.arg, line);
}

static void on_authority_changed(void *arg)
{
    struct endpoint *e = arg;

    policy_book_refresh(e->policy); /* what is signed by a new key may have been refused */
    nearby_book_refresh(e->nearby);
}

static struct alb_status granted(void *arg, const uint8_t *bytes, size_t size,
                                 int64_t *renew_wall_s)
{
    struct endpoint *e = arg;

    return own_grant_judge(&e->grant, bytes, size, renew_wall_s);
}

/* Of a branch without a reflector: one of so many, should the parent not tell how many they are. */
enum { CROWD = 8 };

static void start_line(struct endpoint *e)
{
    const struct endpoint_options *o = &e->options;
    struct upstream_place places[UPSTREAM_PLACES_MAX + 1];
    size_t count = o->parent_count;

    memcpy(places, o->parents, sizeof o->parents);
    if (o->hub.port != 0)
        places[count++] = o->hub;
    e->line = line_new(&(struct line_options){.loop = o->loop,
                                              .places = places,
                                              .place_count = count,
                                              .kind = o->line,
                                              .crowd = CROWD,
                                              .policy = e->policy,
                                              .site = o->site,
                                              .addresses = &e->options.addresses,
                                              .device = o->device});
}

/* A tunnel or a modem is no LAN, whoever stands at its end; and a modem's bytes cost money. */
static void follow_way(struct endpoint *e)
{
    const enum net_nature way = endpoint_way(e);
    const bool is_detour = way == NET_VPN || way == NET_MOBILE;

    line_leads_to(e->line, upstream_at(e->upstream), !is_detour && chooser_is_lan(e->chooser));
    line_spare(e->line, way == NET_MOBILE && !e->options.allow_metered);
}

static void changed(void *arg)
{
    struct endpoint *e = arg;

    if (e->upstream == NULL)
        return; /* it is only being put together */
    follow_way(e);
    if (e->options.changed != NULL)
        e->options.changed(e->options.arg);
}

static void on_list(struct nearby_listener *l)
{
    struct endpoint *e = ALB_CONTAINER(l, struct endpoint, on_list);

    if (!e->options.stays)
        chooser_set_list(e->chooser, nearby_book_peek(e->nearby));
    changed(e);
}

static void start_chooser(struct endpoint *e)
{
    struct chooser_options options = {.loop = e->options.loop,
                                      .tls = e->options.dial_tls,
                                      .catalogue = e->options.stays ? NULL : e->options.catalogue,
                                      .device = e->options.device,
                                      .place_count = e->options.parent_count,
                                      .hub = e->options.hub,
                                      .arg = e,
                                      .changed = changed};

    memcpy(options.places, e->options.parents, sizeof options.places);
    e->chooser = chooser_new(&options);
    e->nearby = nearby_book_open(
        &(struct nearby_book_options){.loop = e->options.loop,
                                      .authority = e->authority,
                                      .catalogue = e->options.catalogue,
                                      .site = e->options.site != NULL ? e->options.site : "",
                                      .roams = true});
    e->on_list.changed = on_list;
    nearby_book_listen(e->nearby, &e->on_list);
    on_list(&e->on_list);
}

static void moved(void *arg, const struct net_place *place, bool is_elsewhere)
{
    struct endpoint *e = arg;

    nearby_book_where(e->nearby, place);
    if (is_elsewhere)
        chooser_moved(e->chooser, place);
    line_addresses_changed(e->line);
    changed(e);
}

static void seen(void *arg)
{
    const struct endpoint *e = arg;

    if (e->options.seen != NULL)
        e->options.seen(e->options.arg);
}

static void look_around(struct endpoint *e)
{
    const struct endpoint_options *o = &e->options;

    e->whereabouts =
        whereabouts_new(&(struct whereabouts_options){.loop = o->loop,
                                                      .addresses = &e->options.addresses,
                                                      .moved = moved,
                                                      .seen = seen,
                                                      .arg = e});
}

static void start_upstream(struct endpoint *e)
{
    struct upstream_options up = {.loop = e->options.loop,
                                  .places = {*chooser_first(e->chooser)},
                                  .place_count = 1,
                                  .tls = e->options.dial_tls,
                                  .wan = line_wan(e->line),
                                  .wants_grant = true,
                                  .wants_events = true,
                                  .grant = buf_peek(&e->grant.bytes),
                                  .grant_size = buf_size(&e->grant.bytes),
                                  .grant_renew_wall_s = e->grant.renew_wall_s,
                                  .arg = e,
                                  .granted = granted,
                                  .event = on_event};

    e->upstream = upstream_new(&up);
    authority_follow(e->authority, e->upstream, on_authority_changed, e);
    line_use_upstream(e->line, e->upstream);
    chooser_use_upstream(e->chooser, e->upstream);
    follow_way(e);
    nearby_book_follow(e->nearby, e->upstream);
}

static void start_books(struct endpoint *e)
{
    const struct endpoint_options *o = &e->options;

    e->supply = supply_new(&(struct supply_options){
        .loop = o->loop,
        .upstream = e->upstream,
        .jobs = line_jobs(e->line),
        .cache_bytes = o->memory_bytes != 0 ? o->memory_bytes : MEMORY_DEFAULT});
    e->records = record_book_new(&(struct record_book_options){.loop = o->loop,
                                                               .catalogue = o->catalogue,
                                                               .authority = e->authority,
                                                               .upstream = e->upstream});
    e->roots = root_book_new(&(struct root_book_options){.loop = o->loop,
                                                         .records = e->records,
                                                         .supply = e->supply,
                                                         .authority = e->authority,
                                                         .max_roots = 2,
                                                         .keep_manifests = true});
}

struct alb_status endpoint_start(const struct endpoint_options *options, struct endpoint **out)
{
    struct endpoint *e = xalloc(sizeof *e);

    e->options = *options;
    struct alb_status st = authority_open(
        &(struct authority_options){
            .loop = options->loop, .catalogue = options->catalogue, .pin = options->trust_pin},
        &e->authority);
    if (alb_failed(st)) {
        free(e);
        return st;
    }
    tls_context_floor(options->dial_tls, authority_floor_s(e->authority));
    e->grant = (struct own_grant){.loop = options->loop,
                                  .catalogue = options->catalogue,
                                  .authority = e->authority,
                                  .device = options->device};
    own_grant_init(&e->grant);
    e->policy = policy_book_open(&(struct policy_book_options){.loop = options->loop,
                                                               .authority = e->authority,
                                                               .catalogue = options->catalogue,
                                                               .without_states = true});
    start_line(e);
    start_chooser(e);
    start_upstream(e);
    if (!options->stays)
        e->beacons = beacons_open(options->loop, options->trust_pin, e->chooser, e->upstream);
    start_books(e);
    if (options->looks_around)
        look_around(e);
    *out = e;
    return ALB_STATUS_OK;
}

struct endpoint *endpoint_free(struct endpoint *e)
{
    if (e == NULL)
        return NULL;
    e->whereabouts = whereabouts_free(e->whereabouts);
    root_book_free(e->roots);
    record_book_free(e->records);
    supply_free(e->supply);
    line_stop(e->line);
    policy_book_close(e->policy);
    nearby_book_unlisten(e->nearby, &e->on_list);
    nearby_book_close(e->nearby);
    authority_close(e->authority);
    beacons_close(e->beacons);
    chooser_free(e->chooser);
    upstream_free(e->upstream);
    line_free(e->line);
    own_grant_release(&e->grant);
    loop_bury(e->options.loop, free, e);
    return NULL;
}

struct authority *endpoint_authority(struct endpoint *e)
{
    return e->authority;
}

struct record_book *endpoint_records(struct endpoint *e)
{
    return e->records;
}

struct root_book *endpoint_roots(struct endpoint *e)
{
    return e->roots;
}

struct supply *endpoint_supply(struct endpoint *e)
{
    return e->supply;
}

struct upstream *endpoint_upstream(struct endpoint *e)
{
    return e->upstream;
}

struct chooser *endpoint_chooser(struct endpoint *e)
{
    return e->chooser;
}

struct nearby_book *endpoint_nearby(struct endpoint *e)
{
    return e->nearby;
}

void endpoint_moved(struct endpoint *e, const struct net_place *place)
{
    nearby_book_where(e->nearby, place);
    chooser_moved(e->chooser, place);
}

struct whereabouts *endpoint_whereabouts(struct endpoint *e)
{
    return e->whereabouts;
}

enum net_nature endpoint_way(const struct endpoint *e)
{
    return e->whereabouts == NULL ? NET_WIRED
                                  : whereabouts_way(e->whereabouts, upstream_at(e->upstream));
}

void endpoint_show_way(struct endpoint *e, struct json_writer *w)
{
    const struct net_place *place =
        e->whereabouts == NULL ? NULL : whereabouts_place(e->whereabouts);

    if (place != NULL)
        whereabouts_put_place(place, w);
    json_text(w, "way", net_nature_name(endpoint_way(e)));
    nearby_book_show(e->nearby, w);
    chooser_show(e->chooser, w);
}

struct line *endpoint_line(struct endpoint *e)
{
    return e->line;
}

const struct policy_book *endpoint_policy(struct endpoint *e)
{
    return e->policy;
}

bool endpoint_has_grant(const struct endpoint *e)
{
    return buf_size(&e->grant.bytes) > 0;
}

int64_t endpoint_grant_expires_wall_s(const struct endpoint *e)
{
    struct grant grant;

    if (alb_failed(grant_decode(buf_peek(&e->grant.bytes), buf_size(&e->grant.bytes),
                                authority_trust(e->authority), &grant)))
        return 0;
    return grant.expires_wall_s;
}
