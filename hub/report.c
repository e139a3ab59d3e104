/* SPDX-License-Identifier: Apache-2.0 */
/* hub/report.c – what the hub tells people: layers, devices, its own state; JSON on both ports.
 *
 *     {"layers": [{"layer", "current", "sequence", "head_expires",
 *                  "versions": [{"version", "sequence", "root", "entries", "content_bytes",
 *                                "made"}],
 *                  "deltas": hub/delta_maker.h}]}
 *     {"devices": [{"device", "role", "site", "serial", "layers", "token", "issued", "expires",
 *                   "revoked", …, "online", "where", "by", "through", "since" or "seen", "went"}]}
 *     status: see put_status()
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "hub/device.h"
#include "hub/hub_impl.h"
#include "hub/delta_maker.h"
#include "hub/report.h"
#include "hub/roster.h"
#include "hub/vigil.h"
#include "wire/json.h"

/* ---- layers ---------------------------------------------------------------------------------- */

struct layers_task {
    struct hub_task task; /* first */
    bool reads_all;
    struct grant *grant; /* owned; NULL: none was presented */
};

static bool may_read(const struct layers_task *p, const char *layer)
{
    return p->reads_all || (p->grant != NULL && grant_covers(p->grant, layer));
}

static void put_version(const struct version_record *r, struct json_writer *w)
{
    char hex[DIGEST_HEX_SIZE];

    json_object_begin(w, NULL);
    json_text(w, "version", r->version);
    json_number(w, "sequence", r->sequence);
    json_text(w, "root", digest_hex(&r->root, hex));
    json_number(w, "entries", r->entries);
    json_number(w, "content_bytes", r->content_bytes);
    json_signed(w, "made", r->made_wall_s);
    json_end(w);
}

/* "" while nothing was made current. */
static struct alb_status put_current(const struct ledger *l, const char *layer,
                                     struct json_writer *w)
{
    struct version_record current = {.version = ""};
    struct head head = {.expires_wall_s = 0};
    const struct alb_status st = ledger_current(l, layer, &head, &current);

    json_text(w, "current", current.version);
    json_signed(w, "head_expires", head.expires_wall_s);
    return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
}

static struct alb_status put_layer(const struct ledger *l, const char *layer, struct json_writer *w)
{
    struct ledger_versions versions = {.count = 0};
    struct ledger_layer state;
    struct alb_status st = ledger_layer(l, layer, &state);

    if (!alb_failed(st))
        st = ledger_versions(l, layer, &versions);
    if (alb_failed(st))
        return st;
    json_object_begin(w, NULL);
    json_text(w, "layer", layer);
    st = put_current(l, layer, w);
    json_number(w, "sequence", state.sequence);
    json_array_begin(w, "versions");
    for (size_t i = 0; i < versions.count; i++)
        put_version(&versions.list[i], w);
    json_end(w);
    hub_deltas_show(l, layer, &versions, w);
    json_end(w);
    free(versions.list);
    return st;
}

static void layers_run(struct hub_task *t)
{
    struct layers_task *p = (struct layers_task *)t;
    struct ledger_names all = {.count = 0};
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_array_begin(w, "layers");
    t->st = ledger_layers(&t->hub->ledger, &all);
    for (size_t i = 0; i < all.count && !alb_failed(t->st); i++)
        if (may_read(p, all.names[i]))
            t->st = put_layer(&t->hub->ledger, all.names[i], w);
    json_end(w);
    json_end(w);
    struct alb_status st = json_writer_finish(w, &t->answer);
    if (!alb_failed(t->st))
        t->st = st;
    free(all.names);
}

static void layers_release(struct hub_task *t)
{
    struct layers_task *p = (struct layers_task *)t;

    free(p->grant);
}

void hub_handle_layers(void *hub, struct serve_request *rq)
{
    struct layers_task *p = hub_task_new(hub, rq, sizeof *p);
    const struct serve_session *session = rq->session;

    /* A bearer token's holder is an operator, as is an admin. */
    p->reads_all = (rq->route->roles & RR_BEARER) != 0 || session->who.role == ROLE_ADMIN ||
                   session->who.role == ROLE_PUBLISHER;
    if (session->grant != NULL && session->grant->expires_wall_s >= p->task.now_wall_s)
        p->grant = serve_grant_copy(session->grant);
    p->task.content_type = "application/json";
    p->task.run = layers_run;
    p->task.release = layers_release;
    hub_task_start(&p->task, JOB_SHARED, 64 << 10);
}

/* ---- devices --------------------------------------------------------------------------------- */

struct devices_task {
    struct hub_task task; /* first */
    struct json_writer *writer;
    struct roster_copy *here; /* owned */
    struct vigil_copy *stay;  /* owned */
};

static void show_device(const struct device_record *d, struct devices_task *p)
{
    json_object_begin(p->writer, NULL);
    device_show(d, p->writer);
    hub_told_show(p->task.hub->options.catalogue, d->device, p->writer);
    roster_copy_show(p->here, p->task.hub->options.catalogue, d->device, p->writer);
    if (vigil_copy_has(p->stay, d->device))
        json_bool(p->writer, "stays_awake", true);
    json_end(p->writer);
}

static bool put_device(void *arg, const char *name, const void *value, size_t size,
                       uint64_t swap_version)
{
    struct device_record d;

    (void)name;
    (void)swap_version;
    if (!alb_failed(device_decode(value, size, &d)))
        show_device(&d, arg);
    return true;
}

static void devices_run(struct hub_task *t)
{
    struct devices_task *p = (struct devices_task *)t;
    struct json_writer *w = json_writer_new();

    p->writer = w;
    roster_copy_sort(p->here);
    json_object_begin(w, NULL);
    json_array_begin(w, "devices");
    t->st = catalogue_list(t->hub->options.catalogue, "device/", put_device, p);
    json_end(w);
    json_end(w);
    struct alb_status st = json_writer_finish(w, &t->answer);
    if (!alb_failed(t->st))
        t->st = st;
}

static void devices_release(struct hub_task *t)
{
    roster_copy_free(((struct devices_task *)t)->here);
    vigil_copy_free(((struct devices_task *)t)->stay);
}

void hub_handle_devices(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct devices_task *p = hub_task_new(h, rq, sizeof *p);

    p->here = roster_copy_new(h->roster);
    p->stay = vigil_copy_new(h->vigils);
    p->task.release = devices_release;
    p->task.content_type = "application/json";
    p->task.run = devices_run;
    hub_task_start(&p->task, JOB_SHARED, 64 << 10);
}

/* ---- status ---------------------------------------------------------------------------------- */

struct status_task {
    struct hub_task task; /* first */
    struct hub_state state;
    struct damaged_chunk *damaged; /* owned */
    struct json_doc *sites;        /* owned; NULL: there was no memory */
    struct alb_status (*show)(const struct hub_state *s, struct buf *out);
};

static bool count_one(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    (void)name;
    (void)value;
    (void)size;
    (void)version;
    (*(uint64_t *)arg)++;
    return true;
}

static void put_whole(const struct hub_state *s, struct json_writer *w)
{
    json_number(w, "layers", s->layers);
    json_number(w, "devices", s->devices);
    json_text(w, "store_state", keeper_state(&s->figures.keeper));
    json_number(w, "chunks", s->store.chunks);
    json_number(w, "bytes", s->store.stored_bytes);
    json_number(w, "disk_bytes", s->store.disk_bytes);
    json_number(w, "sessions", s->figures.serve.sessions);
    json_number(w, "requests", s->figures.serve.requests);
    json_number(w, "refused", s->figures.serve.refused);
    json_number(w, "chunks_sent", s->figures.serve.items_sent);
    json_number(w, "bytes_sent", s->figures.serve.item_bytes_sent);
    json_number(w, "open_uploads", s->figures.open_uploads);
    json_number(w, "published", s->figures.published);
    json_object_begin(w, "pulls");
    json_number(w, "applied", s->figures.pulls_applied);
    json_number(w, "failed", s->figures.pulls_failed);
    json_end(w);
    json_number(w, "online", s->figures.roster.devices);
    json_number(w, "reflectors_online", s->figures.roster.reflectors);
    json_number(w, "loop_lag_ms", s->worst_lag_ms);
    serve_show_held(&s->figures.serve, w);
    serve_show_probes(&s->figures.serve, w);
    json_object_begin(w, "bulk");
    json_number(w, "bps", s->figures.serve.bulk_bps);
    json_number(w, "devices", s->figures.serve.bulk_devices);
    json_end(w);
    if (s->sites != NULL) {
        json_relay(w, "sites", s->sites, "sites");
        json_relay(w, "policy", s->sites, "policy");
    }
    hub_damage_show(s->damaged, s->damaged_count, w);
}

static struct alb_status put_status(const struct hub_state *s, struct buf *out)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "program", "albedo-hub");
    json_text(w, "version", ALB_VERSION);
    json_text(w, "org", s->org);
    json_text(w, "hub_key", s->hub_key);
    json_number(w, "trust_version", s->trust_version);
    json_number(w, "revocation_number", s->revocation_number);
    json_number(w, "policy_number", s->policy_number);
    json_number(w, "override_number", s->override_number);
    json_number(w, "uptime_s", s->uptime_s);
    if (s->is_whole)
        put_whole(s, w);
    json_end(w);
    return json_writer_finish(w, out);
}

static void status_run(struct hub_task *t)
{
    struct status_task *p = (struct status_task *)t;
    struct catalogue *c = t->hub->options.catalogue;

    if (p->state.is_whole)
        t->st = chunk_store_stats(t->hub->options.store, &p->state.store);
    if (p->state.is_whole && !alb_failed(t->st))
        t->st = catalogue_list(c, "layer/", count_one, &p->state.layers);
    if (p->state.is_whole && !alb_failed(t->st))
        t->st = catalogue_list(c, "device/", count_one, &p->state.devices);
    if (!alb_failed(t->st))
        t->st = p->show(&p->state, &t->answer);
}

/* What only the loop knows; the worker adds the rest. */
static void gather(const struct hub *h, struct hub_state *out)
{
    const struct trust *trust = authority_trust(h->authority);

    hub_figures(h, &out->figures);
    snprintf(out->org, sizeof out->org, "%.63s", h->ledger.self.org);
    bytes_hex(h->online_public.bytes, SIGN_PUBLIC_SIZE, out->hub_key);
    out->trust_version = trust == NULL ? 0 : trust->version;
    out->revocation_number = authority_revocation_number(h->authority);
    out->policy_number = policy_book_number(h->policy, POLICY_RULES);
    out->override_number = policy_book_number(h->policy, POLICY_OVERRIDES);
    out->uptime_s = (loop_now_ns(h->options.loop) - h->started_ns) / NS_PER_S;
    out->worst_lag_ms =
        h->options.worst_lag_ns == NULL ? 0 : h->options.worst_lag_ns(h->options.loop) / NS_PER_MS;
}

enum { SITES_MOST = 4 << 20 }; /* 10,000 of them */

/* The branches are the loop's: what they say now is what the worker passes on. */
static struct json_doc *copy_sites(const struct hub *h)
{
    struct json_writer *w = json_writer_new();
    struct json_doc *doc = NULL;
    struct buf text;

    buf_init(&text, SITES_MOST);
    json_object_begin(w, NULL);
    branches_show(h->branches, w);
    policy_book_show(h->policy, w);
    json_end(w);
    struct alb_status st = json_writer_finish(w, &text);
    if (!alb_failed(st))
        st = json_doc_parse(buf_peek(&text), buf_size(&text), &doc);
    buf_release(&text);
    return alb_failed(st) ? NULL : doc;
}

static void status_release(struct hub_task *t)
{
    json_doc_free(((struct status_task *)t)->sites);
    free(((struct status_task *)t)->damaged);
}

/* The organisation's totals are no business of its machines; who may see them counts them, too. */
static bool is_operator(const struct serve_request *rq)
{
    return (rq->route->roles & RR_BEARER) != 0 || rq->session->who.role == ROLE_ADMIN;
}

static void start_status(struct hub *h, struct serve_request *rq, const char *content_type,
                         struct alb_status (*show)(const struct hub_state *s, struct buf *out))
{
    struct status_task *p = hub_task_new(h, rq, sizeof *p);

    gather(h, &p->state);
    p->state.is_whole = is_operator(rq);
    p->damaged = hub_damage_copy(h, &p->state.damaged_count);
    p->state.damaged = p->damaged;
    p->sites = copy_sites(h);
    p->state.sites = p->sites;
    p->show = show;
    p->task.release = status_release;
    p->task.content_type = content_type;
    p->task.run = status_run;
    hub_task_start(&p->task, JOB_SHARED, 4 << 10);
}

void hub_handle_status(void *hub, struct serve_request *rq)
{
    start_status(hub, rq, "application/json", put_status);
}

void hub_handle_metrics(void *hub, struct serve_request *rq)
{
    start_status(hub, rq, "text/plain; version=0.0.4", hub_metrics);
}
