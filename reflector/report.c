/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/report.c – the reflector's figures, and the status it tells people. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"
#include "store/cache.h"

enum { STATUS_MOST = 64 << 10 };

static double ratio(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

/* All but the store's, which blocks. */
static void look_around(struct reflector *r, struct reflector_figures *out)
{
    struct reflector_figures f = {.albedo = 0};

    supply_stats(r->supply, &f.supply);
    serve_stats(r->serve, &f.serve);
    keeper_stats(r->keeper, &f.keeper);
    upstream_figures(r->upstream, &f.upstream);
    if (f.serve.item_bytes_sent > f.supply.bytes_from_parent)
        f.albedo = 1 - ratio(f.supply.bytes_from_parent, f.serve.item_bytes_sent);
    /* What waits for the disk is needed as much as what is on it. */
    f.crossing_ratio =
        ratio(f.supply.fetch.received_bytes, f.keeper.bytes + f.keeper.pending_bytes);
    *out = f;
}

void reflector_figures(struct reflector *r, struct reflector_figures *out)
{
    struct reflector_figures f;

    look_around(r, &f);
    alb_ignore(chunk_store_stats(r->options.store, &f.store), "a store that fails shows zeros");
    *out = f;
}

/* ---- status ---- */

static void put_parent(struct json_writer *w, const struct reflector *r,
                       const struct upstream_figures *u)
{
    json_object_begin(w, "parent");
    json_text(w, "place", u->place);
    json_bool(w, "up", u->is_up);
    json_number(w, "since_s", (loop_now_ns(r->options.loop) - u->since_ns) / NS_PER_S);
    json_text(w, "why_down", u->why_down);
    json_number(w, "dials", u->dials);
    json_number(w, "losses", u->losses);
    json_number(w, "body_received", u->body_received);
    json_number(w, "body_sent", u->body_sent);
    json_end(w);
}

/* Until when those behind it believe who it is; what they may have is up to their own grants. */
static void put_cut_off(struct json_writer *w, const struct reflector *r,
                        const struct upstream_figures *u)
{
    json_object_begin(w, "cut_off");
    json_signed(w, "since_wall_s", reflector_cut_off_since_wall_s(r, u));
    if (r->renewal != NULL)
        json_signed(w, "can_go_on_until_wall_s", renewal_holds_until_wall_s(r->renewal));
    json_end(w);
}

static void put_source(struct json_writer *w, const char *name, uint64_t chunks, uint64_t bytes)
{
    json_object_begin(w, name);
    json_number(w, "chunks", chunks);
    json_number(w, "bytes", bytes);
    json_end(w);
}

static void put_supply(struct json_writer *w, const struct supply_stats *s)
{
    json_object_begin(w, "sources");
    put_source(w, "memory", s->from_memory, s->bytes_from_memory);
    put_source(w, "store", s->from_store, s->bytes_from_store);
    put_source(w, "parent", s->from_parent, s->bytes_from_parent);
    put_source(w, "sibling", s->from_sibling, s->bytes_from_sibling);
    json_end(w);
    json_object_begin(w, "chunks");
    json_number(w, "asked", s->asked);
    json_number(w, "joined", s->joined);
    json_number(w, "failed", s->failed);
    json_number(w, "damaged", s->damaged);
    json_number(w, "not_kept", s->not_kept);
    json_number(w, "received_bytes", s->fetch.received_bytes);
    json_number(w, "corrupt", s->fetch.corrupt);
    json_bool(w, "slow", s->fetch.is_slow);
    json_number(w, "slow_alarms", s->fetch.slow_alarms);
    json_number(w, "memory_cache_bytes", s->cache_bytes);
    json_end(w);
}

static void put_queues(struct json_writer *w, const struct reflector_figures *f)
{
    char why[LOG_TEXT_SIZE];

    json_object_begin(w, "queue");
    json_number(w, "wanted", f->supply.fetch.queued);
    json_number(w, "asked", f->supply.fetch.asked);
    json_number(w, "to_store_bytes", f->keeper.pending_bytes);
    json_end(w);
    json_object_begin(w, "store");
    json_text(w, "state", keeper_state(&f->keeper));
    json_text(w, "why", alb_status_text(f->keeper.trouble, why, sizeof why));
    json_number(w, "chunks", f->store.chunks);
    json_number(w, "live_bytes", f->store.stored_bytes);
    json_number(w, "disk_bytes", f->store.disk_bytes);
    json_end(w);
}

/* What is dropped and why; the store's own words (store/cache.h). */
static void put_cache(struct json_writer *w, const struct reflector *r, const struct cache_stats *c)
{
    if (c->policy == NULL)
        return;
    json_object_begin(w, "cache");
    json_text(w, "policy", c->policy);
    json_number(w, "quota_bytes", c->quota_bytes);
    json_number(w, "floor_bytes", c->floor_bytes);
    json_number(w, "used_bytes", c->used_bytes);
    json_number(w, "reserved_bytes", c->reserved_bytes);
    json_number(w, "new_bytes", c->queue_bytes[QUEUE_NEW]);
    json_number(w, "main_bytes", c->queue_bytes[QUEUE_MAIN]);
    json_number(w, "pinned_here_bytes", c->queue_bytes[QUEUE_PINNED]);
    json_number(w, "pins", c->pins);
    json_number(w, "pinned_bytes_at_most", c->pinned_bytes);
    json_number(w, "evicted_chunks", c->counts.evicted_chunks);
    json_number(w, "evicted_bytes", c->counts.evicted_bytes);
    json_number(w, "copied_bytes", c->counts.copied_bytes);
    json_number(w, "scrubbed_rounds", c->scrub.rounds);
    json_number(w, "scrubbed_chunks", c->scrub.chunks);
    json_number(w, "scrubbed_bytes", c->scrub.bytes);
    json_number(w, "scrubbed_bad", c->scrub.bad);
    json_number(w, "healed_chunks", r->healing.chunks);
    json_number(w, "healed_bytes", r->healing.bytes);
    json_number(w, "not_healed", r->healing.failed + r->healing.unnamed);
    json_end(w);
}

/* How old the list in force is: what a cut-off branch must know about its own decisions. */
static void put_trust(struct json_writer *w, const struct reflector *r)
{
    const struct trust *trust = authority_trust(r->authority);
    struct revocations list = {.number = 0};
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    struct alb_status st = authority_revocation_bytes(r->authority, &bytes);
    if (!alb_failed(st))
        st = revocations_decode(buf_peek(&bytes), buf_size(&bytes), trust, &list);
    json_object_begin(w, "trust");
    json_number(w, "version", trust == NULL ? 0 : trust->version);
    json_end(w);
    json_object_begin(w, "revocations");
    json_number(w, "number", list.number);
    json_number(w, "count", list.count);
    if (!alb_failed(st)) {
        json_signed(w, "issued_wall_s", list.issued_wall_s);
        json_signed(w, "age_s", loop_wall_s(r->options.loop) - list.issued_wall_s);
    }
    json_end(w);
    policy_book_show(r->policy, w);
    revocations_release(&list);
    buf_release(&bytes);
}

static void put_served(struct json_writer *w, const struct serve_stats *s)
{
    json_number(w, "sessions", s->sessions);
    json_object_begin(w, "served");
    json_number(w, "sessions_total", s->sessions_total);
    json_number(w, "requests", s->requests);
    json_number(w, "refused", s->refused);
    json_number(w, "chunks", s->items_sent);
    json_number(w, "bytes", s->item_bytes_sent);
    json_end(w);
    serve_show_held(s, w);
    serve_show_probes(s, w);
    json_object_begin(w, "bulk");
    json_number(w, "bps", s->bulk_bps);
    json_number(w, "devices", s->bulk_devices);
    json_end(w);
}

static struct alb_status status_text(const struct reflector *r, const struct reflector_figures *f,
                                     const struct cache_stats *cache, struct buf *out)
{
    const struct reflector_options *o = &r->options;
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "program", "albedo-reflector");
    json_text(w, "version", ALB_VERSION);
    json_text(w, "device", o->device);
    json_text(w, "site", o->site);
    json_number(w, "uptime_s", (loop_now_ns(o->loop) - r->started_ns) / NS_PER_S);
    json_decimal(w, "albedo_percent", 100 * f->albedo);
    json_decimal(w, "crossing_ratio", f->crossing_ratio);
    put_parent(w, r, &f->upstream);
    chooser_show(r->chooser, w);
    put_cut_off(w, r, &f->upstream);
    line_show(r->line, w);
    put_supply(w, &f->supply);
    put_served(w, &f->serve);
    branches_show(r->branches, w);
    roster_show(r->roster, w);
    waker_show(r->waker, w);
    prefetcher_show(r->prefetcher, w);
    reflector_show_siblings(r, w);
    put_queues(w, f);
    put_cache(w, r, cache);
    reflector_show_told(r, w);
    reflector_show_state(r, w);
    json_number(w, "layers", r->layers.doc == NULL ? 0 : json_doc_count(r->layers.doc, "layers"));
    put_trust(w, r);
    json_end(w);
    return json_writer_finish(w, out);
}

/* The store's figures come from a worker; everything else is taken when they are here. */
struct status_ask {
    struct job job;
    struct reflector *reflector;
    struct serve_request *rq; /* NULL once nobody waits */
    struct chunk_store *store;
    struct chunk_store_stats stats;
    struct cache_stats cache; /* policy NULL: none */
    TAILQ_ENTRY(status_ask) link;
};

static void status_run(struct job *job)
{
    struct status_ask *a = ALB_CONTAINER(job, struct status_ask, job);

    alb_ignore(chunk_store_stats(a->store, &a->stats), "a store that fails shows zeros");
    if (a->store->ops->cache != NULL)
        a->store->ops->cache->stats(a->store, &a->cache);
}

static void status_done(struct job *job)
{
    struct status_ask *a = ALB_CONTAINER(job, struct status_ask, job);
    struct serve_request *rq = a->rq;
    struct reflector_figures f;
    struct buf text;

    if (rq == NULL) {
        free(a);
        return;
    }
    TAILQ_REMOVE(&a->reflector->status_asks, a, link);
    look_around(a->reflector, &f);
    f.store = a->stats;
    buf_init(&text, STATUS_MOST);
    struct alb_status st = status_text(a->reflector, &f, &a->cache, &text);
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/json", buf_peek(&text), buf_size(&text));
    buf_release(&text);
    free(a);
}

/* The job frees it. */
static void forget(struct status_ask *a)
{
    TAILQ_REMOVE(&a->reflector->status_asks, a, link);
    a->rq = NULL;
}

static void gone(struct serve_request *rq)
{
    forget(rq->work);
}

void reflector_handle_status(void *reflector, struct serve_request *rq)
{
    struct reflector *r = reflector;
    struct status_ask *a = xalloc(sizeof *a);

    a->job = (struct job){.run = status_run, .done = status_done, .work_bytes = 4096};
    a->reflector = r;
    a->rq = rq;
    a->store = r->options.store;
    rq->work = a;
    rq->gone = gone;
    TAILQ_INSERT_TAIL(&r->status_asks, a, link);
    loop_submit(r->options.loop, &a->job);
}

void reflector_open_reports(struct reflector *r)
{
    TAILQ_INIT(&r->status_asks);
}

void reflector_close_reports(struct reflector *r)
{
    struct status_ask *a;

    while ((a = TAILQ_FIRST(&r->status_asks)) != NULL) {
        struct serve_request *rq = a->rq;
        forget(a);
        serve_refuse(rq, ALB_CLOSED, "this reflector is stopping");
    }
}
