/* SPDX-License-Identifier: Apache-2.0 */
/* hub/hub.c – the data centre's end of the tree on one page.
 *
 *   publisher ──> upload ──> verified ──> keeper ──> store        publish ──> ledger: version, head
 *                                                                    │
 *   reflector ──> serve ──> root_book: which key is there? ──> supply ──> store   feed: "head L"
 *
 *   joiner ──> enrol: token → certificate     admin ──> tokens, trust, revoke: catalogue, authority
 *
 *   Whatever touches the catalogue is a task (task.h): run by a worker, answered from the loop.
 */
#include "hub/hub.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/hub_impl.h"
#include "hub/nearby.h"
#include "hub/policy.h"
#include "hub/prefetch.h"
#include "hub/roster.h"
#include "hub/sites.h"
#include "hub/states.h"
#include "hub/tokens.h"
#include "hub/vigil.h"
#include "hub/wake.h"

#define STOP_DEADLINE_NS (5 * NS_PER_S)
#define UPKEEP_NS (600 * NS_PER_S)
#define RENEW_NS (24 * 3600 * NS_PER_S)
#define ADMIN_IDLE_NS (60 * NS_PER_S)
enum { PENDING_DEFAULT = 128 << 20, ADMIN_SESSIONS_MAX = 64 /* browsers, curl, Prometheus */ };

static void hub_stopped(void *arg);
static void keep_up(void *arg);

static void start_supply(struct hub *h)
{
    const struct hub_options *o = &h->options;
    const uint64_t pending = o->max_pending_bytes != 0 ? o->max_pending_bytes : PENDING_DEFAULT;

    h->keeper = keeper_new(o->loop, o->store, pending);
    h->supply = supply_new(&(struct supply_options){.loop = o->loop,
                                                    .store = o->store,
                                                    .keeper = h->keeper,
                                                    .lost = hub_note_damage,
                                                    .lost_arg = h,
                                                    .cache_bytes = o->memory_cache_bytes});
    h->records = record_book_new(&(struct record_book_options){
        .loop = o->loop, .catalogue = o->catalogue, .authority = h->authority});
    h->roots = root_book_new(&(struct root_book_options){
        .loop = o->loop, .records = h->records, .supply = h->supply, .authority = h->authority});
}

/* What goes on beside the answers. */
static void open_works(struct hub *h)
{
    hub_open_roster(h);
    h->deltas = hub_deltas_new(h);
    h->prefetches = hub_prefetches_new(h);
    h->wakes = hub_wakes_new(h);
    h->vigils = hub_vigils_new(h);
    hub_nearby_listen(h);
}

static struct alb_status start_tree(struct hub *h)
{
    const struct hub_options *o = &h->options;
    const struct listen_options listen = {
        .address = o->listen_address, .port = o->listen_port, .tls = o->tree_tls};

    h->feed = feed_new(o->loop);
    h->branches = branches_new(&(struct branches_options){.loop = o->loop,
                                                          .link_bps = o->link_bps,
                                                          .packet_overhead = o->packet_overhead,
                                                          .policy = h->policy,
                                                          .changed = serve_branch_changed});
    h->serve = serve_new(&(struct serve_options){.loop = o->loop,
                                                 .port = PORT_TREE,
                                                 .authority = h->authority,
                                                 .records = h->records,
                                                 .roots = h->roots,
                                                 .supply = h->supply,
                                                 .feed = h->feed,
                                                 .branches = h->branches,
                                                 .max_sessions = o->max_sessions});
    serve_install_common(h->serve);
    serve_set(h->serve, ROUTE_ENROL, hub_handle_enrol, h);
    serve_set(h->serve, ROUTE_RENEW, hub_handle_renew, h);
    serve_set(h->serve, ROUTE_TOLD, hub_handle_told, h);
    serve_set(h->serve, ROUTE_GRANT, hub_handle_grant, h);
    serve_set(h->serve, ROUTE_LAYERS, hub_handle_layers, h);
    serve_set(h->serve, ROUTE_UPLOAD, hub_handle_upload, h);
    serve_set(h->serve, ROUTE_UPLOAD_PUT, hub_handle_upload_put, h);
    serve_set(h->serve, ROUTE_UPLOAD_END, hub_handle_upload_end, h);
    serve_set(h->serve, ROUTE_VERSION, hub_handle_version, h);
    serve_set(h->serve, ROUTE_PROMOTE, hub_handle_promote, h);
    serve_set(h->serve, ROUTE_TRUST_PUT, hub_handle_trust_put, h);
    serve_set(h->serve, ROUTE_TOKEN, hub_handle_token, h);
    serve_set(h->serve, ROUTE_TOKENS, hub_handle_tokens, h);
    serve_set(h->serve, ROUTE_TOKEN_REVOKE, hub_handle_token_revoke, h);
    serve_set(h->serve, ROUTE_DEVICES, hub_handle_devices, h);
    serve_set(h->serve, ROUTE_REVOKE, hub_handle_revoke, h);
    serve_set(h->serve, ROUTE_POLICY_PUT, hub_handle_policy_put, h);
    serve_set(h->serve, ROUTE_SITES, hub_handle_sites, h);
    serve_set(h->serve, ROUTE_SITE_DEVICES, hub_handle_site_devices, h);
    serve_set(h->serve, ROUTE_SITES_PUT, hub_handle_sites_put, h);
    serve_set(h->serve, ROUTE_NEARBY, hub_handle_nearby, h);
    serve_set(h->serve, ROUTE_OVERRIDE_PUT, hub_handle_override_put, h);
    serve_set(h->serve, ROUTE_OVERRIDE_END, hub_handle_override_end, h);
    serve_set(h->serve, ROUTE_REFLECTORS, hub_handle_reflectors, h);
    serve_set(h->serve, ROUTE_STATES_PUT, hub_handle_states_put, h);
    serve_set(h->serve, ROUTE_HERE, hub_handle_here, h);
    serve_set(h->serve, ROUTE_ARRIVALS, hub_handle_arrivals, h);
    policy_book_serve(h->policy, h->serve);
    serve_set(h->serve, ROUTE_STATUS, hub_handle_status, h);
    serve_set(h->serve, ROUTE_WAKE, hub_handle_wake, h);
    serve_set(h->serve, ROUTE_WAKE_JOB, hub_handle_wake_job, h);
    serve_set(h->serve, ROUTE_WAKE_END, hub_handle_wake_end, h);
    serve_set(h->serve, ROUTE_WOKE, hub_handle_woke, h);
    serve_set(h->serve, ROUTE_PREFETCHED, hub_handle_prefetched, h);
    serve_set(h->serve, ROUTE_EXPLAIN, hub_handle_explain, h);
    open_works(h);
    return loop_listen(o->loop, &listen, serve_accept, h->serve, &h->listener);
}

static struct alb_status start_admin(struct hub *h)
{
    const struct hub_options *o = &h->options;
    const struct listen_options listen = {
        .address = o->admin_address, .port = o->admin_port, .tls = o->admin_tls};

    if (o->admin_address == NULL)
        return ALB_STATUS_OK;
    h->admin = serve_new(&(struct serve_options){.loop = o->loop,
                                                 .port = PORT_ADMIN,
                                                 .authority = h->authority,
                                                 .max_sessions = ADMIN_SESSIONS_MAX,
                                                 .idle_timeout_ns = ADMIN_IDLE_NS,
                                                 .bearer = hub_bearer_is_right,
                                                 .arg = h});
    serve_set(h->admin, ROUTE_API_STATUS, hub_handle_status, h);
    serve_set(h->admin, ROUTE_API_LAYERS, hub_handle_layers, h);
    serve_set(h->admin, ROUTE_API_DEVICES, hub_handle_devices, h);
    serve_set(h->admin, ROUTE_API_EXPLAIN, hub_handle_explain, h);
    serve_set(h->admin, ROUTE_API_METRICS, hub_handle_metrics, h);
    return loop_listen(o->loop, &listen, serve_accept, h->admin, &h->admin_listener);
}

static struct alb_status load(struct hub *h)
{
    struct alb_status st = id_check(h->options.org);

    if (!alb_failed(st))
        st = authority_open(
            &(struct authority_options){.loop = h->options.loop, .is_time_source = true},
            &h->authority);
    if (!alb_failed(st))
        st = hub_load_trust(h);
    if (!alb_failed(st))
        st = hub_load_policy(h);
    if (!alb_failed(st))
        st = hub_load_sites(h);
    if (!alb_failed(st))
        st = hub_load_nearby(h);
    if (!alb_failed(st))
        st = ledger_repair(&h->ledger);
    if (!alb_failed(st))
        st = hub_load_bearers(h);
    return st;
}

static struct hub *hub_new(const struct hub_options *options)
{
    struct hub *h = xalloc(sizeof *h);

    h->options = *options;
    h->started_ns = loop_now_ns(options->loop);
    sign_public_of(options->online_key, &h->online_public);
    h->ledger = (struct ledger){.catalogue = options->catalogue, .key = *options->online_key};
    h->ledger.self.hub_key = h->online_public;
    snprintf(h->ledger.self.org, sizeof h->ledger.self.org, "%s", options->org);
    log_limit_init(&h->wrong_token_lines, "enrol.wrong_token");
    TAILQ_INIT(&h->tasks);
    uploads_init(&h->uploads);
    timer_init(&h->upkeep, options->loop, keep_up, h);
    timer_init(&h->stop_timer, options->loop, hub_stopped, h);
    hub_damage_init(&h->damage);
    hub_scrub_init(h);
    return h;
}

struct alb_status hub_start(const struct hub_options *options, struct hub **out)
{
    struct hub *h = hub_new(options);
    struct alb_status st = load(h);

    if (!alb_failed(st)) {
        start_supply(h);
        st = start_tree(h);
    }
    if (!alb_failed(st))
        st = start_admin(h);
    if (alb_failed(st)) {
        hub_free(h);
        return st;
    }
    serve_open_probes(h->serve, options->listen_address, hub_port(h));
    keep_up(h);
    *out = h;
    return ALB_STATUS_OK;
}

static void keep_up(void *arg)
{
    struct hub *h = arg;
    const uint64_t now_ns = loop_now_ns(h->options.loop);

    uploads_lapse(h);
    if (h->renewed_ns == 0 || now_ns - h->renewed_ns >= RENEW_NS) {
        h->renewed_ns = now_ns;
        hub_renew_heads(h);
    }
    timer_set_in(&h->upkeep, UPKEEP_NS);
}

void hub_figures(const struct hub *h, struct hub_figures *out)
{
    *out = (struct hub_figures){.open_uploads = h->uploads.count,
                                .published = h->published,
                                .pulls_applied = h->told_applied,
                                .pulls_failed = h->told_failed,
                                .enrolled = h->enrolled,
                                .revoked = h->revoked};
    serve_stats(h->serve, &out->serve);
    supply_stats(h->supply, &out->supply);
    keeper_stats(h->keeper, &out->keeper);
    out->lost_chunks = h->damage.count;
    roster_figures(h->roster, &out->roster);
    hub_wake_figures(h->wakes, &out->wake);
    hub_delta_figures(h->deltas, &out->deltas);
}

uint16_t hub_port(const struct hub *h)
{
    return listener_port(h->listener);
}

uint16_t hub_admin_port(const struct hub *h)
{
    return h->admin_listener == NULL ? 0 : listener_port(h->admin_listener);
}

/* ---- stopping -------------------------------------------------------------------------------- */

static void release(void *hub)
{
    struct hub *h = hub;

    keeper_free(h->keeper);
    uploads_release(&h->uploads);
    wipe(&h->ledger.key, sizeof h->ledger.key);
    hub_damage_release(&h->damage);
    free(h->bearers);
    sites_free(h->sites);
    free(h);
}

static void on_keeper_idle(void *hub)
{
    hub_maybe_idle(hub);
}

void hub_maybe_idle(struct hub *h)
{
    if (!TAILQ_EMPTY(&h->tasks) || (h->keeper != NULL && !keeper_is_idle(h->keeper)))
        return;
    if (h->is_dying && !h->is_buried)
        loop_bury(h->options.loop, release, h); /* the keeper may be telling somebody just now */
    h->is_buried = h->is_dying;
    if (h->stopped != NULL)
        timer_set_in(&h->stop_timer, 0);
}

static void hub_stopped(void *arg)
{
    struct hub *h = arg;
    loop_fn stopped = h->stopped;

    timer_stop(&h->stop_timer);
    h->stopped = NULL;
    if (stopped != NULL)
        stopped(h->stopped_arg);
}

void hub_stop(struct hub *h, loop_fn stopped, void *arg)
{
    h->stopped = stopped;
    h->stopped_arg = arg;
    timer_stop(&h->upkeep);
    hub_scrub_stop(h);
    hub_stop_roster(h);
    hub_wakes_stop(h->wakes);
    hub_deltas_stop(h->deltas);
    h->listener = listener_free(h->listener);
    if (h->admin_listener != NULL)
        h->admin_listener = listener_free(h->admin_listener);
    serve_drain(h->serve);
    if (h->admin != NULL)
        serve_drain(h->admin);
    timer_set_in(&h->stop_timer, STOP_DEADLINE_NS);
    keeper_when_idle(h->keeper, on_keeper_idle, h);
}

struct hub *hub_free(struct hub *h)
{
    if (h == NULL)
        return NULL;
    timer_stop(&h->stop_timer);
    timer_stop(&h->upkeep);
    hub_scrub_stop(h);
    if (h->listener != NULL)
        listener_free(h->listener);
    if (h->admin_listener != NULL)
        listener_free(h->admin_listener);
    serve_free(h->admin);
    serve_free(h->serve);
    hub_nearby_unlisten(h);
    hub_vigils_free(h->vigils);
    hub_wakes_free(h->wakes);
    hub_prefetches_free(h->prefetches);
    hub_deltas_free(h->deltas);
    hub_close_roster(h);
    root_book_free(h->roots);
    record_book_free(h->records);
    supply_free(h->supply);
    branches_free(h->branches);
    hub_close_nearby(h);
    policy_book_close(h->policy);
    authority_close(h->authority);
    feed_free(h->feed);
    h->is_dying = true;
    if (h->keeper != NULL && !keeper_is_idle(h->keeper))
        keeper_when_idle(h->keeper, on_keeper_idle, h);
    else
        hub_maybe_idle(h);
    return NULL;
}
