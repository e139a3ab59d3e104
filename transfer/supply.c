/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/supply.c – memory, store, parent: the one way to a chunk. */
#include "transfer/supply.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/units.h"
#include "store/cache.h"
#include "transfer/hot_cache.h"
#include "transfer/sibling.h"

/* A rate is of the time between two questions for it, if that is neither too short nor long ago. */
#define RATE_LEAST_NS (4 * NS_PER_S)
#define RATE_MOST_NS (30 * NS_PER_S)

enum { CACHE_DEFAULT = 64 << 20, WANTS_DEFAULT = 65536, WAITERS_DEFAULT = 262144 };

struct supply {
    struct supply_options options;
    struct want_table table;
    struct fetcher *fetcher;
    struct hot_cache cache;
    struct waiter_list answered; /* outcomes to be told from the loop */
    size_t answered_count;
    struct timer tell_timer;
    size_t looks, keeps; /* at work for us: reads of the store, chunks on their way into it */
    bool is_dying;
    enum supply_fetching fetching;
    struct supply_stats stats;
    uint64_t rate_since_ns, rate_bytes, rate_bps; /* what the parent brings */
    struct log_limit bad_lines; /* a disk that dies fails each read, and devices ask again */
};

/* A question to a sibling. */
struct beside_ask {
    struct sibling_ask ask;
    struct supply *supply;
    struct want *want;
};

/* A read of the store on a worker. */
struct look {
    struct job job;
    struct supply *supply;
    struct want *want;
    struct chunk_key key;
    struct chunk *chunk;
    struct alb_status st;
};

static void tell_answered(void *arg);
static void answer_later(struct supply *s, struct waiter *waiter, struct alb_status st,
                         struct chunk *chunk);
static void join(struct supply *s, struct waiter *waiter);
static void look_in_store(struct supply *s, struct want *want);
static void look_run(struct job *job);
static void look_done(struct job *job);
static void start_search(struct supply *s, struct want *want, struct waiter *waiter);
static struct chunk *take_answered(struct supply *s, struct waiter *w);
static void not_in_store(struct supply *s, struct want *want, struct alb_status st);
static void ask_beside(struct supply *s, struct want *want, struct sibling *sibling);
static void ask_parent(struct supply *s, struct want *want, struct alb_status st);
static void fetched(void *arg, struct want *want, struct alb_status st, struct chunk *chunk);

struct supply *supply_new(const struct supply_options *options)
{
    struct supply *s = xalloc(sizeof *s);

    s->options = *options;
    hot_cache_init(&s->cache, options->cache_bytes != 0 ? options->cache_bytes : CACHE_DEFAULT);
    want_table_init(&s->table, options->max_wants != 0 ? options->max_wants : WANTS_DEFAULT,
                    options->max_waiters != 0 ? options->max_waiters : WAITERS_DEFAULT);
    TAILQ_INIT(&s->answered);
    log_limit_init(&s->bad_lines, "store.bad_chunk");
    timer_init(&s->tell_timer, options->loop, tell_answered, s);
    if (options->upstream != NULL) {
        const struct fetcher_options fetch = {
            .loop = options->loop,
            .upstream = options->upstream,
            .jobs = options->jobs,
            .only_held = options->only_held,
            .max_batches = options->max_batches,
            .max_outstanding_bytes = options->max_outstanding_bytes,
            .done = fetched,
            .arg = s,
        };
        s->fetcher = fetcher_new(&fetch);
    }
    return s;
}

/* Once nobody on a worker or in the keeper points here. */
static void maybe_bury(struct supply *s)
{
    if (!s->is_dying || s->looks > 0 || s->keeps > 0)
        return;
    want_table_release(&s->table);
    hot_cache_release(&s->cache);
    loop_bury(s->options.loop, free, s);
}

static struct chunk *take_answered(struct supply *s, struct waiter *w)
{
    TAILQ_REMOVE(&s->answered, w, link);
    s->answered_count--;
    w->is_answered = false;
    return take_ptr(&w->chunk);
}

struct supply *supply_free(struct supply *s)
{
    struct waiter *w;

    if (s == NULL)
        return NULL;
    timer_stop(&s->tell_timer);
    while ((w = TAILQ_FIRST(&s->answered)) != NULL)
        chunk_unref(take_answered(s, w));
    s->fetcher = fetcher_free(s->fetcher);
    s->is_dying = true;
    maybe_bury(s);
    return NULL;
}

/* A store that drops chunks is to know of those who did not have to ask it. */
static void note_use(struct supply *s, const struct chunk_key *key)
{
    if (s->options.store != NULL)
        chunk_store_touch(s->options.store, key);
}

void supply_ask(struct supply *s, const struct chunk_key *key, struct waiter *waiter)
{
    struct chunk *chunk = hot_cache_get(&s->cache, key);
    struct want *started = NULL;

    waiter->want = NULL;
    waiter->is_answered = false;
    s->stats.asked++;
    if (chunk == NULL && s->options.keeper != NULL)
        chunk = keeper_peek(s->options.keeper, key);
    if (chunk != NULL) {
        s->stats.from_memory++;
        s->stats.bytes_from_memory += chunk->size;
        note_use(s, key);
        answer_later(s, waiter, ALB_STATUS_OK, chunk);
        return;
    }
    struct alb_status st =
        want_table_ask(&s->table, key, waiter, loop_now_ns(s->options.loop), &started);
    if (alb_failed(st))
        answer_later(s, waiter, st, NULL);
    else if (started != NULL)
        start_search(s, started, waiter);
    else
        join(s, waiter);
}

/* A sibling waits for what the parent was asked for already, so that it comes once; of two that
 * ask each other for the same, one is told no.  Our own mirror does not wait for the parent. */
static void join(struct supply *s, struct waiter *waiter)
{
    struct want *want = waiter->want;
    const bool is_too_far = (waiter->reach == REACH_HELD && want->stage == WANT_BESIDE) ||
                            (waiter->reach == REACH_BESIDE && want->stage == WANT_FETCHING);

    if (is_too_far) {
        want_table_leave(&s->table, waiter);
        answer_later(s, waiter, alb_fail(ALB_NOT_FOUND, "it is not here yet"), NULL);
        return;
    }
    note_use(s, &want->key);
    if (waiter->reach == REACH_PARENT && want->stage == WANT_BESIDE)
        sibling_ask_hurry(&want->beside->ask);
}

static void start_search(struct supply *s, struct want *want, struct waiter *waiter)
{
    if (s->options.store != NULL) {
        look_in_store(s, want);
    } else if (s->fetcher != NULL) {
        want->stage = WANT_FETCHING;
        fetcher_add(s->fetcher, want);
    } else { /* nowhere to look; told later, like everything */
        const struct alb_status st = alb_fail(ALB_NOT_FOUND, "no such chunk here");
        want_table_leave(&s->table, waiter);
        want_table_finish(&s->table, want, st, NULL);
        answer_later(s, waiter, st, NULL);
    }
}

void supply_leave(struct supply *s, struct waiter *waiter)
{
    if (waiter->want != NULL)
        want_table_leave(&s->table, waiter);
    else if (waiter->is_answered)
        chunk_unref(take_answered(s, waiter));
}

/* ---- outcomes known at once ----------------------------------------------------------------- */

static void answer_later(struct supply *s, struct waiter *waiter, struct alb_status st,
                         struct chunk *chunk)
{
    waiter->st = st;
    waiter->chunk = chunk != NULL ? chunk_ref(chunk) : NULL;
    waiter->is_answered = true;
    TAILQ_INSERT_TAIL(&s->answered, waiter, link);
    s->answered_count++;
    if (!timer_is_set(&s->tell_timer))
        timer_set_in(&s->tell_timer, 0);
}

static void tell_answered(void *arg)
{
    struct supply *s = arg;
    struct waiter *w;

    /* As many as there are now: whoever asks again from done() waits for the next turn. */
    for (size_t n = s->answered_count; n > 0 && (w = TAILQ_FIRST(&s->answered)) != NULL; n--) {
        struct chunk *chunk = take_answered(s, w);
        if (alb_failed(w->st))
            s->stats.failed++;
        w->done(w, w->st, chunk);
        chunk_unref(chunk);
    }
    if (!TAILQ_EMPTY(&s->answered))
        timer_set_in(&s->tell_timer, 0);
}

/* ---- LOOK ----------------------------------------------------------------------------------- */

static void look_in_store(struct supply *s, struct want *want)
{
    struct look *look = xalloc(sizeof *look);

    look->supply = s;
    look->want = want;
    look->key = want->key;
    look->job = (struct job){.run = look_run, .done = look_done, .work_bytes = 64 << 10};
    s->looks++;
    loop_submit(s->options.loop, &look->job);
}

static void look_run(struct job *job)
{
    struct look *look = ALB_CONTAINER(job, struct look, job);

    look->st = chunk_store_get(look->supply->options.store, &look->key, &look->chunk);
}

static void look_done(struct job *job)
{
    struct look *look = ALB_CONTAINER(job, struct look, job);
    struct supply *s = look->supply;
    char hex[DIGEST_HEX_SIZE];

    s->looks--;
    if (s->is_dying) {
        maybe_bury(s);
    } else if (!alb_failed(look->st)) {
        s->stats.from_store++;
        s->stats.bytes_from_store += look->chunk->size;
        hot_cache_put(&s->cache, look->chunk);
        want_table_finish(&s->table, look->want, ALB_STATUS_OK, look->chunk);
    } else {
        if (look->st.code != ALB_NOT_FOUND) {
            s->stats.damaged++;
            if (log_limit_passes(&s->bad_lines, loop_now_ns(s->options.loop)))
                log_status(LOG_WARN, "store.bad_chunk", look->st, "chunk=%s",
                           digest_hex(&look->key.digest, hex));
        }
        not_in_store(s, look->want, look->st);
    }
    chunk_unref(look->chunk);
    free(look);
}

static bool is_for_parent(const struct want *want)
{
    const struct waiter *w;

    TAILQ_FOREACH(w, &want->waiters, link)
    if (w->reach == REACH_PARENT)
        return true;
    return false;
}

/* Those for whom it may not go further are told so; false: nobody is left, and the want is gone. */
static bool goes_on_beyond(struct supply *s, struct want *want, enum want_reach reach)
{
    const struct alb_status st = alb_fail(ALB_NOT_FOUND, "it is not held here");
    const bool is_coming = is_for_parent(want);
    struct waiter *w, *next;

    if (TAILQ_EMPTY(&want->waiters))
        return true; /* whoever searches sees to those that everybody left */
    for (w = TAILQ_FIRST(&want->waiters); w != NULL; w = next) {
        next = TAILQ_NEXT(w, link);
        if (w->reach == REACH_COMING ? is_coming : w->reach < reach)
            continue;
        want_table_leave(&s->table, w);
        answer_later(s, w, st, NULL);
    }
    w = TAILQ_FIRST(&want->waiters);
    if (w != NULL)
        want->where = w->where;
    else
        want_table_finish(&s->table, want, st, NULL);
    return w != NULL;
}

static void not_in_store(struct supply *s, struct want *want, struct alb_status st)
{
    struct sibling *sibling;

    if (!goes_on_beyond(s, want, REACH_HELD))
        return;
    sibling = s->options.beside != NULL ? s->options.beside(s->options.beside_arg) : NULL;
    if (sibling != NULL && s->fetching == SUPPLY_FETCHES && !TAILQ_EMPTY(&want->waiters))
        ask_beside(s, want, sibling);
    else if (goes_on_beyond(s, want, REACH_BESIDE))
        ask_parent(s, want, st);
}

static void beside_told(struct sibling_ask *a, struct alb_status st, struct chunk *chunk);

static void ask_beside(struct supply *s, struct want *want, struct sibling *sibling)
{
    struct beside_ask *b = xalloc(sizeof *b);

    b->supply = s;
    b->want = want;
    b->ask.done = beside_told;
    want->stage = WANT_BESIDE;
    want->beside = b;
    sibling_ask(sibling, &want->key, &want->where, !is_for_parent(want), &b->ask);
}

static void ask_parent(struct supply *s, struct want *want, struct alb_status st)
{
    if (s->fetcher != NULL && s->fetching == SUPPLY_FETCHES) {
        want->stage = WANT_FETCHING;
        fetcher_add(s->fetcher, want);
        return;
    }
    s->stats.failed++;
    if (s->fetcher != NULL) { /* what is damaged is as good as not here */
        want_table_finish(&s->table, want, alb_fail(ALB_NOT_FOUND, "nothing is fetched here now"),
                          NULL);
        return;
    }
    if (s->options.lost != NULL)
        s->options.lost(s->options.lost_arg, &want->key, st);
    want_table_finish(&s->table, want, st, NULL);
}

/* ---- the parent answered -------------------------------------------------------------------- */

static void kept(void *arg, struct alb_status st)
{
    struct supply *s = arg;

    s->keeps--;
    if (alb_failed(st))
        s->stats.not_kept++;
    maybe_bury(s);
}

/* A store that is full or slow costs a repeat some day, not service: the chunk is passed on all
 * the same. */
static void keep(struct supply *s, struct chunk *chunk)
{
    if (s->options.keeper == NULL)
        return;
    if (alb_failed(keeper_put(s->options.keeper, chunk, kept, s)))
        s->stats.not_kept++;
    else
        s->keeps++;
}

/* What only the mirror wanted is kept, and does not push what is in use out of memory. */
static void beside_told(struct sibling_ask *a, struct alb_status st, struct chunk *chunk)
{
    struct beside_ask *b = ALB_CONTAINER(a, struct beside_ask, ask);
    struct supply *s = b->supply;
    struct want *want = b->want;

    want->beside = NULL;
    loop_bury(s->options.loop, free, b);
    if (!alb_failed(st)) {
        s->stats.from_sibling++;
        s->stats.bytes_from_sibling += chunk->size;
        if (is_for_parent(want))
            hot_cache_put(&s->cache, chunk);
        keep(s, chunk);
        want_table_finish(&s->table, want, ALB_STATUS_OK, chunk);
    } else if (goes_on_beyond(s, want, REACH_BESIDE)) {
        ask_parent(s, want, st);
    }
}

static void fetched(void *arg, struct want *want, struct alb_status st, struct chunk *chunk)
{
    struct supply *s = arg;

    if (!alb_failed(st)) {
        s->stats.from_parent++;
        s->stats.bytes_from_parent += chunk->size;
        if (s->options.arrived != NULL)
            s->options.arrived(s->options.beside_arg, &want->where);
        hot_cache_put(&s->cache, chunk);
        keep(s, chunk);
    } else if (!TAILQ_EMPTY(&want->waiters)) { /* else nobody waits, so it was not asked for */
        s->stats.failed++;
    }
    want_table_finish(&s->table, want, st, chunk);
}

void supply_set_fetching(struct supply *s, enum supply_fetching fetching)
{
    s->fetching = fetching;
    if (s->fetcher != NULL && fetching == SUPPLY_FETCHES_NOTHING)
        fetcher_give_up(s->fetcher);
}

void supply_forget(struct supply *s)
{
    hot_cache_clear(&s->cache);
}

void supply_tell_left(struct supply *s, const char *layer, uint64_t bytes)
{
    layer_jobs_tell_left(s->options.jobs, layer, bytes);
}

struct chunk_store *supply_store(const struct supply *s)
{
    return s->options.store;
}

void supply_stats(const struct supply *s, struct supply_stats *out)
{
    *out = s->stats;
    out->joined = s->table.joined;
    out->cache_bytes = s->cache.bytes;
    if (s->fetcher != NULL)
        fetcher_stats(s->fetcher, &out->fetch);
}

/* A line that is made anew counts from nothing. */
static void measure_rate(struct supply *s)
{
    const uint64_t now_ns = loop_now_ns(s->options.loop);
    const uint64_t bytes = upstream_brought_bytes(s->options.upstream);
    const uint64_t passed_ns = now_ns - s->rate_since_ns;
    const bool is_fresh = s->rate_since_ns != 0 && bytes >= s->rate_bytes;

    if (is_fresh && passed_ns < RATE_LEAST_NS)
        return;
    s->rate_bps = is_fresh && passed_ns < RATE_MOST_NS
                      ? (bytes - s->rate_bytes) * 1000 / (passed_ns / NS_PER_MS)
                      : 0;
    s->rate_since_ns = now_ns;
    s->rate_bytes = bytes;
}

void supply_queue(struct supply *s, uint32_t *before, uint64_t *bps)
{
    struct fetcher_stats stats;

    *before = 0;
    *bps = 0;
    if (s->fetcher == NULL)
        return;
    measure_rate(s);
    fetcher_stats(s->fetcher, &stats);
    *before = (uint32_t)(stats.queued + stats.asked);
    *bps = s->rate_bps;
}
