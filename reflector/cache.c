/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/cache.c – care for the store while nobody waits: room ahead of need, and pins.
 *
 *     a turn, on a worker: some room is made → again at once while there is more to do; then some
 *     of the store is read again and compared, 4 MiB a second at most; what is damaged is fetched
 *     anew (heal.c) → the next turn in 1 s; an hour after all of it was looked at, from the
 *     beginning
 *
 *     a pin of the configuration: RECORD (LAYER@VERSION) → ROOT → its keys → PIN (worker) → next
 *     … what could not be had is asked for again in a minute
 *
 * Pinned is what the lists of the root name, whether it is here or not, and as much room as it can
 * take at most: the chunks as they are before compression.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"
#include "store/cache.h"

#define TURN_NS (1 * NS_PER_S)
#define SOON_NS (1 * NS_PER_MS)
#define AGAIN_NS (60 * NS_PER_S)
#define ROUND_REST_NS (3600 * NS_PER_S)
enum { SCRUB_BYTES = 4 << 20, RECORD_ROOM = 512 /* what a record takes beside its chunk */ };

/* A job sees only itself and the store. */
struct cache_turn {
    struct job job;
    struct reflector *reflector; /* NULL: it is gone */
    struct chunk_store *store;
    bool has_more, scrubs, is_round_over;
    bool heals; /* nothing else is being healed */
    struct chunk_key bad[CACHE_BAD_MOST];
    size_t bad_count;
    struct alb_status st;
};

struct cache_pin {
    struct job job;
    struct reflector *reflector; /* NULL: it is gone */
    struct chunk_store *store;
    char name[PIN_NAME_MAX + 1];
    struct chunk_key *keys; /* owned */
    size_t count;
    uint64_t bytes;
    struct alb_status st;
};

struct reflector_cache {
    struct reflector *reflector;
    struct timer turn_timer, pin_timer;
    struct cache_turn *turn; /* on a worker */
    uint64_t rest_until_ns;  /* between two rounds of scrubbing */
    struct cache_pin *pin;   /* on a worker */
    size_t next_pin;         /* of the configuration's */
    size_t failed_pins;      /* of this round          */
    struct record_wait record;
    struct root_wait root;
    bool waits_for_record, waits_for_root;
};

static void begin_turn(void *reflector);
static void begin_pin(void *reflector);
static void pin_over(struct reflector *r, struct alb_status st);

/* ---- turns ---- */

static void turn_run(struct job *job)
{
    struct cache_turn *t = ALB_CONTAINER(job, struct cache_turn, job);

    t->st = t->store->ops->cache->tend(t->store, &t->has_more);
    if (!alb_failed(t->st) && !t->has_more && t->scrubs)
        t->st = t->store->ops->cache->scrub(t->store, SCRUB_BYTES, &t->is_round_over);
    if (t->heals)
        t->bad_count = t->store->ops->cache->take_bad(t->store, t->bad);
}

static void turn_done(struct job *job)
{
    struct cache_turn *t = ALB_CONTAINER(job, struct cache_turn, job);
    struct reflector *r = t->reflector;

    if (r != NULL) {
        r->cache->turn = NULL;
        if (t->is_round_over)
            r->cache->rest_until_ns = loop_now_ns(r->options.loop) + ROUND_REST_NS;
        timer_set_in(&r->cache->turn_timer, t->has_more ? SOON_NS : TURN_NS);
        if (t->bad_count > 0)
            reflector_heal(r, t->bad, t->bad_count);
    }
    free(t);
}

static void begin_turn(void *reflector)
{
    struct reflector *r = reflector;
    struct cache_turn *t = xalloc(sizeof *t);

    t->job = (struct job){.run = turn_run, .done = turn_done, .work_bytes = 1 << 20};
    t->reflector = r;
    t->store = r->options.store;
    t->heals = r->healing.heal == NULL;
    t->scrubs = loop_now_ns(r->options.loop) >= r->cache->rest_until_ns;
    r->cache->turn = t;
    loop_submit(r->options.loop, &t->job);
}

/* ---- pins ---- */

static void pin_run(struct job *job)
{
    struct cache_pin *p = ALB_CONTAINER(job, struct cache_pin, job);

    p->st = p->store->ops->cache->pin(p->store, p->name, p->keys, p->count, p->bytes);
}

static void pin_done(struct job *job)
{
    struct cache_pin *p = ALB_CONTAINER(job, struct cache_pin, job);
    struct reflector *r = p->reflector;

    if (r != NULL) {
        r->cache->pin = NULL;
        if (!alb_failed(p->st))
            log_event(LOG_INFO, "cache.pinned", "version=%s chunks=%zu bytes_at_most=%lu", p->name,
                      p->count, (unsigned long)p->bytes);
        pin_over(r, p->st);
    }
    free(p->keys);
    free(p);
}

static void add_key(struct cache_pin *p, const struct chunk_key *key, uint64_t bytes)
{
    p->keys[p->count++] = *key;
    p->bytes += bytes + bytes / 64 + RECORD_ROOM;
}

static void root_opened(struct root_wait *w, struct alb_status st, const struct root_view *v)
{
    struct reflector_cache *c = ALB_CONTAINER(w, struct reflector_cache, root);
    struct reflector *r = c->reflector;

    c->waits_for_root = false;
    if (alb_failed(st)) {
        pin_over(r, st);
        return;
    }
    struct cache_pin *p = xalloc(sizeof *p);
    p->job = (struct job){.run = pin_run, .done = pin_done, .work_bytes = 1 << 20};
    p->reflector = r;
    p->store = r->options.store;
    (void)snprintf(p->name, sizeof p->name, "%s", r->options.pins[c->next_pin]);
    p->keys = xcalloc(1 + v->root.chunk_count + v->content_key_count, sizeof *p->keys);
    const struct chunk_key root = {.kind = KEY_PLAIN, .digest = v->digest};
    add_key(p, &root, v->record.root_bytes);
    for (size_t i = 0; i < v->root.chunk_count; i++)
        add_key(p, &v->root.chunks[i].key, v->root.chunks[i].stored_bytes);
    for (size_t i = 0; i < v->content_key_count; i++)
        add_key(p, &v->content_keys[i], v->content_raw_bytes[i]);
    root_book_close_view(r->roots, v);
    c->pin = p;
    loop_submit(r->options.loop, &p->job);
}

static void record_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                        size_t size, bool is_stale)
{
    struct reflector_cache *c = ALB_CONTAINER(w, struct reflector_cache, record);
    struct reflector *r = c->reflector;
    struct version_record record;

    (void)is_stale;
    c->waits_for_record = false;
    if (!alb_failed(st))
        st = record_decode(bytes, size, authority_trust(r->authority), &record);
    if (alb_failed(st)) {
        pin_over(r, st);
        return;
    }
    c->root = (struct root_wait){.done = root_opened};
    c->waits_for_root = true;
    root_book_open(r->roots, record.layer, &record.root, &c->root);
}

/* On to the next, and from the beginning in a minute if one of them could not be had. */
static void pin_over(struct reflector *r, struct alb_status st)
{
    struct reflector_cache *c = r->cache;

    if (alb_failed(st)) {
        c->failed_pins++;
        log_status(LOG_WARN, "cache.not_pinned", st,
                   "version=%s next=\"tried again in a minute; what is pinned of it from before "
                   "stays pinned\"",
                   r->options.pins[c->next_pin]);
    }
    if (++c->next_pin < r->options.pin_count) {
        timer_set_in(&c->pin_timer, 0);
    } else if (c->failed_pins > 0) {
        c->next_pin = c->failed_pins = 0;
        timer_set_in(&c->pin_timer, AGAIN_NS);
    }
}

static void begin_pin(void *reflector)
{
    struct reflector *r = reflector;
    struct reflector_cache *c = r->cache;
    char name[CATALOGUE_NAME_MAX + 1];

    (void)snprintf(name, sizeof name, "record/%s", r->options.pins[c->next_pin]);
    c->record = (struct record_wait){.done = record_came};
    c->waits_for_record = true;
    record_book_get(r->records, name, &c->record);
}

/* ---- both ---- */

void reflector_open_cache(struct reflector *r)
{
    if (r->options.store->ops->cache == NULL)
        return;
    r->cache = xalloc(sizeof *r->cache);
    r->cache->reflector = r;
    timer_init(&r->cache->turn_timer, r->options.loop, begin_turn, r);
    timer_init(&r->cache->pin_timer, r->options.loop, begin_pin, r);
    timer_set_in(&r->cache->turn_timer, TURN_NS);
    if (r->options.pin_count > 0)
        timer_set_in(&r->cache->pin_timer, 0);
}

void reflector_close_cache(struct reflector *r)
{
    struct reflector_cache *c = r->cache;

    if (c == NULL)
        return;
    reflector_stop_healing(r);
    timer_stop(&c->turn_timer);
    timer_stop(&c->pin_timer);
    if (c->waits_for_record)
        record_book_leave(r->records, &c->record);
    if (c->waits_for_root)
        root_book_leave(r->roots, &c->root);
    if (c->turn != NULL)
        c->turn->reflector = NULL;
    if (c->pin != NULL)
        c->pin->reflector = NULL;
    free(c);
    r->cache = NULL;
}
