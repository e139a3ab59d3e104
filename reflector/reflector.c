/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/reflector.c – the product on one page.
 *
 *   endpoint asks ──> serve ──> root_book: which key is at that position?
 *                       │
 *                       └────> supply ──> memory? store? ──> answered from here: the albedo
 *                                 │
 *                                 └──> want_table: one want per chunk, however many ask
 *                                       └──> fetch ──> upstream ══ WAN, once ══> parent
 *                                             └──> verified ──> keeper ──> store, and all who wait
 *
 *   heads and records come through record_book, trust and revocations through authority; both keep
 *   what they saw, so that a branch cut off from its parent goes on.
 */
#include "reflector/reflector.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"

/* Five seconds in all (reflector.h): systemd waits far longer, people do not. */
#define STOP_DRAIN_NS (2 * NS_PER_S)
#define STOP_WRITE_NS (3 * NS_PER_S)
#define STOP_LOOK_NS (50 * NS_PER_MS)
enum { PENDING_DEFAULT = 64 << 20 };

static struct alb_status judge_grant(void *arg, const uint8_t *bytes, size_t size,
                                     int64_t *renew_wall_s);
static void on_event(void *arg, const char *line);
static void on_authority_changed(void *arg);
static void on_policy_taken(void *arg, enum policy_part part);

/* What changed while the line was down, no event has told. */
static void on_line_up(struct upstream_listener *l)
{
    struct reflector *r = ALB_CONTAINER(l, struct reflector, on_line);

    record_book_forget(r->records, NULL);
    root_book_forget_refused(r->roots);
    reflector_forget_layers(r);
    reflector_doubt_nearby(r);
    reflector_ask_above(r);
}

static void on_line_down(struct upstream_listener *l)
{
    reflector_say_here(ALB_CONTAINER(l, struct reflector, on_line));
    /* what is held goes on being served */
}

/* A parent on the same network is told by its delay alone: the others may be anywhere. */
static void on_chosen(void *arg)
{
    struct reflector *r = arg;

    line_leads_to(r->line, upstream_at(r->upstream), false);
}

static void start_line(struct reflector *r)
{
    const struct reflector_options *o = &r->options;

    r->line = line_new(&(struct line_options){.loop = o->loop,
                                              .places = r->options.parents,
                                              .place_count = o->parent_count,
                                              .kind = o->line,
                                              .down_bps = o->wan_down_bps,
                                              .up_bps = o->wan_up_bps,
                                              .window_bytes = o->window_bytes,
                                              .packet_overhead = o->packet_overhead,
                                              .policy = r->policy,
                                              .site = o->site,
                                              .addresses = &r->options.addresses,
                                              .device = o->device});
}

/* What is configured goes before what the list of its site names above it. */
static void start_chooser(struct reflector *r)
{
    const struct reflector_options *o = &r->options;
    struct chooser_options options = {.loop = o->loop,
                                      .tls = o->dial_tls,
                                      .catalogue = o->catalogue,
                                      .device = o->device,
                                      .is_reflector = true,
                                      .place_count = o->parent_count,
                                      .arg = r,
                                      .changed = on_chosen};

    memcpy(options.places, o->parents, sizeof options.places);
    r->chooser = chooser_new(&options);
}

static void start_upstream(struct reflector *r)
{
    const struct reflector_options *o = &r->options;
    struct upstream_options up = {.loop = o->loop,
                                  .places = {*chooser_first(r->chooser)},
                                  .place_count = 1,
                                  .tls = o->dial_tls,
                                  .window_bytes = o->window_bytes,
                                  .wan = line_wan(r->line),
                                  .wants_grant = true,
                                  .wants_events = true,
                                  .grant = buf_peek(&r->grant.bytes),
                                  .grant_size = buf_size(&r->grant.bytes),
                                  .grant_renew_wall_s = r->grant.renew_wall_s,
                                  .arg = r,
                                  .granted = judge_grant,
                                  .event = on_event};

    r->upstream = upstream_new(&up);
    r->on_line = (struct upstream_listener){.up = on_line_up, .down = on_line_down};
    upstream_listen(r->upstream, &r->on_line);
    authority_follow(r->authority, r->upstream, on_authority_changed, r);
    line_use_upstream(r->line, r->upstream);
    chooser_use_upstream(r->chooser, r->upstream);
}

static void start_supply(struct reflector *r)
{
    const struct reflector_options *o = &r->options;
    const uint64_t pending = o->max_pending_bytes != 0 ? o->max_pending_bytes : PENDING_DEFAULT;

    r->keeper = keeper_new(o->loop, o->store, pending);
    r->supply = supply_new(&(struct supply_options){.loop = o->loop,
                                                    .store = o->store,
                                                    .keeper = r->keeper,
                                                    .upstream = r->upstream,
                                                    .jobs = line_jobs(r->line),
                                                    .beside = reflector_beside,
                                                    .arrived = reflector_arrived,
                                                    .beside_arg = r,
                                                    .cache_bytes = o->memory_cache_bytes});
    r->records = record_book_new(&(struct record_book_options){.loop = o->loop,
                                                               .catalogue = o->catalogue,
                                                               .authority = r->authority,
                                                               .upstream = r->upstream});
    r->roots = root_book_new(&(struct root_book_options){
        .loop = o->loop, .records = r->records, .supply = r->supply, .authority = r->authority});
}

static struct alb_status start_serve(struct reflector *r)
{
    const struct reflector_options *o = &r->options;
    const struct listen_options listen = {
        .address = o->listen_address, .port = o->listen_port, .tls = o->tree_tls};

    r->feed = feed_new(o->loop);
    r->branches = branches_new(&(struct branches_options){.loop = o->loop,
                                                          .link_bps = o->lan_rate_bps,
                                                          .packet_overhead = o->packet_overhead,
                                                          .policy = r->policy,
                                                          .own_site = o->site,
                                                          .changed = serve_branch_changed});
    r->serve = serve_new(&(struct serve_options){.loop = o->loop,
                                                 .device = o->device,
                                                 .port = PORT_TREE,
                                                 .authority = r->authority,
                                                 .records = r->records,
                                                 .roots = r->roots,
                                                 .supply = r->supply,
                                                 .upstream = r->upstream,
                                                 .feed = r->feed,
                                                 .branches = r->branches,
                                                 .max_sessions = o->max_sessions});
    serve_install_common(r->serve);
    serve_set(r->serve, ROUTE_GRANT, reflector_handle_grant, r);
    serve_set(r->serve, ROUTE_RENEW, reflector_handle_renew, r);
    serve_set(r->serve, ROUTE_NEARBY, reflector_handle_nearby, r);
    serve_set(r->serve, ROUTE_LAYERS, reflector_handle_layers, r);
    serve_set(r->serve, ROUTE_TOLD, reflector_handle_told, r);
    serve_set(r->serve, ROUTE_WOKE, reflector_handle_woke, r);
    serve_set(r->serve, ROUTE_PREFETCHED, reflector_handle_prefetched, r);
    serve_set(r->serve, ROUTE_STATUS, reflector_handle_status, r);
    serve_set(r->serve, ROUTE_HERE, reflector_handle_here, r);
    serve_set(r->serve, ROUTE_ARRIVALS, reflector_handle_arrivals, r);
    policy_book_serve(r->policy, r->serve);
    return loop_listen(o->loop, &listen, serve_accept, r->serve, &r->listener);
}

struct alb_status reflector_start(const struct reflector_options *options, struct reflector **out)
{
    struct reflector *r = xalloc(sizeof *r);

    r->options = *options;
    r->started_ns = loop_now_ns(options->loop);
    timer_init(&r->stop_timer, options->loop, reflector_stop_turn, r);
    struct alb_status st = authority_open(
        &(struct authority_options){
            .loop = options->loop, .catalogue = options->catalogue, .pin = options->trust_pin},
        &r->authority);
    if (!alb_failed(st)) {
        tls_context_floor(options->dial_tls, authority_floor_s(r->authority));
        tls_context_floor(options->tree_tls, authority_floor_s(r->authority));
        r->grant = (struct own_grant){.loop = options->loop,
                                      .catalogue = options->catalogue,
                                      .authority = r->authority,
                                      .device = options->device};
        own_grant_init(&r->grant);
        r->policy = policy_book_open(&(struct policy_book_options){.loop = options->loop,
                                                                   .authority = r->authority,
                                                                   .catalogue = options->catalogue,
                                                                   .arg = r,
                                                                   .taken = on_policy_taken});
        reflector_open_grants(r);
        reflector_open_layers(r);
        reflector_open_reports(r);
        reflector_open_above(r);
        start_line(r);
        start_chooser(r);
        start_upstream(r);
        reflector_open_told(r);
        start_supply(r);
        st = reflector_open_renewals(r);
    }
    if (!alb_failed(st))
        st = start_serve(r);
    if (!alb_failed(st)) {
        reflector_open_beacon(r);
        reflector_open_states(r);
    }
    if (!alb_failed(st))
        reflector_open_nearby(r);
    if (!alb_failed(st))
        reflector_open_roster(r);
    if (!alb_failed(st)) {
        reflector_open_cache(r);
        reflector_open_siblings(r);
    }
    if (alb_failed(st)) {
        reflector_free(r);
        return st;
    }
    serve_open_probes(r->serve, options->listen_address, reflector_port(r));
    *out = r;
    return ALB_STATUS_OK;
}

static struct alb_status judge_grant(void *arg, const uint8_t *bytes, size_t size,
                                     int64_t *renew_wall_s)
{
    struct reflector *r = arg;

    return own_grant_judge(&r->grant, bytes, size, renew_wall_s);
}

static void on_event(void *arg, const char *line)
{
    struct reflector *r = arg;
    char name[CATALOGUE_NAME_MAX + 1];

    if (reflector_hear_for(r, line))
        return;
    root_book_forget_refused(r->roots);
    reflector_hear_nearby(r, line);
    if (strncmp(line, "head ", 5) == 0) {
        snprintf(name, sizeof name, "head/%s", line + 5);
        record_book_forget(r->records, name);
        reflector_forget_layers(r);
    } else if (strcmp(line, "layers") == 0) {
        reflector_forget_layers(r);
    } else if (strcmp(line, "trust") == 0) {
        authority_refresh(r->authority);
        return; /* told on once it is here and judged */
    } else if (strcmp(line, "here") == 0) {
        reflector_ask_above(r);
        chooser_hear(r->chooser);
        return; /* those below hear of what becomes another here */
    } else if (feed_hear_revoked(r->authority, line) || policy_book_hear(r->policy, line)) {
        return; /* the same */
    }
    feed_say(r->feed, line);
}

static void on_authority_changed(void *arg)
{
    struct reflector *r = arg;

    root_book_forget_refused(r->roots);
    reflector_forget_grants(r);
    serve_recheck(r->serve);
    feed_say_revoked(r->feed, r->authority);
    feed_say(r->feed, "trust");
    policy_book_refresh(r->policy); /* what is signed by a new key may have been refused */
    reflector_refresh_nearby(r);
}

static void on_policy_taken(void *arg, enum policy_part part)
{
    struct reflector *r = arg;

    policy_book_say(r->policy, part, r->feed);
    if (part == POLICY_STATES)
        reflector_obey_states(r);
}

/* ---- stopping ---- */

static void all_stopped(void *arg)
{
    struct reflector *r = arg;
    loop_fn fn = r->stopped;

    timer_stop(&r->stop_timer);
    r->stopped = NULL;
    if (fn != NULL)
        fn(r->stopped_arg);
}

/* Everything that serves or fetches goes; what was verified is still on its way to the store. */
static void close_parts(struct reflector *r)
{
    if (r->listener != NULL)
        r->listener = listener_free(r->listener);
    reflector_close_siblings(r);
    reflector_close_grants(r);
    reflector_close_renewals(r);
    reflector_close_layers(r);
    reflector_close_nearby(r);
    reflector_close_reports(r);
    reflector_close_above(r);
    reflector_close_beacon(r);
    reflector_close_states(r);
    reflector_close_told(r);
    r->serve = serve_free(r->serve);
    reflector_close_wake(r);
    reflector_close_roster(r);
    reflector_close_cache(r);
    r->roots = root_book_free(r->roots);
    r->records = record_book_free(r->records);
    r->supply = supply_free(r->supply);
    line_stop(r->line);
    r->branches = branches_free(r->branches);
    r->policy = policy_book_close(r->policy);
    r->authority = authority_close(r->authority);
    r->chooser = chooser_free(r->chooser);
    r->upstream = upstream_free(r->upstream);
    r->line = line_free(r->line);
    r->feed = feed_free(r->feed);
}

/* Sessions get a moment to end by themselves, then the store to write what it was given. */
void reflector_stop_turn(void *reflector)
{
    struct reflector *r = reflector;
    struct serve_stats stats;

    if (r->serve == NULL) { /* a disk that does not answer must not keep us */
        all_stopped(r);
        return;
    }
    serve_stats(r->serve, &stats);
    if (stats.sessions > 0 && loop_now_ns(r->options.loop) < r->drain_until_ns) {
        timer_set_in(&r->stop_timer, STOP_LOOK_NS);
        return;
    }
    close_parts(r);
    timer_set_in(&r->stop_timer, STOP_WRITE_NS);
    keeper_when_idle(r->keeper, all_stopped, r);
}

void reflector_stop(struct reflector *r, loop_fn stopped, void *arg)
{
    r->stopped = stopped;
    r->stopped_arg = arg;
    r->listener = listener_free(r->listener);
    reflector_leave(r);
    reflector_close_beacon(r);
    serve_drain(r->serve);
    r->drain_until_ns = loop_now_ns(r->options.loop) + STOP_DRAIN_NS;
    timer_set_in(&r->stop_timer, 0);
}

static void free_keeper(void *keeper)
{
    keeper_free(keeper);
}

struct reflector *reflector_free(struct reflector *r)
{
    if (r == NULL)
        return NULL;
    timer_stop(&r->stop_timer);
    close_parts(r);
    if (r->keeper != NULL)
        keeper_when_idle(r->keeper, free_keeper, r->keeper);
    own_grant_release(&r->grant);
    grant_memos_release(&r->grant_memos);
    loop_bury(r->options.loop, free, r);
    return NULL;
}

uint16_t reflector_port(const struct reflector *r)
{
    return listener_port(r->listener);
}
