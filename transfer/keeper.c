/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/keeper.c – group commit: collect, write once, sync once, tell everybody. */
#include "transfer/keeper.h"

#include <inttypes.h>
#include <sys/queue.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"

enum { GROUP_BYTES = 8 << 20, GROUP_CHUNKS = 256, UNKNOWN_TRIES = 3 };
#define GROUP_WAIT_NS (5 * NS_PER_MS)
#define CALM_NS (5 * NS_PER_S)

/* One chunk handed over; several may hold the same key (each has its own caller to tell). */
struct deposit {
    struct chunk *chunk; /* a reference */
    keeper_done kept;
    void *arg;
    TAILQ_ENTRY(deposit) link;
};
TAILQ_HEAD(deposit_list, deposit);

/* One put_many in flight.  The arrays are the job's; the loop does not touch them until done(). */
struct group {
    struct job job;
    struct keeper *keeper;
    struct chunk *chunks[GROUP_CHUNKS];
    size_t count;
    struct deposit_list deposits;
    struct alb_status st;
};

struct keeper {
    struct loop *loop;
    struct chunk_store *store;
    struct deposit_list waiting; /* not yet posted */
    size_t waiting_bytes, waiting_count;
    struct map pending; /* key → chunk, until its group is done */
    struct timer timer;
    unsigned groups_in_flight;
    size_t max_pending_bytes;
    uint64_t trouble_bytes, trouble_last_ns; /* of the last group that was refused */
    loop_fn idle_fn;
    void *idle_arg;
    struct keeper_stats stats;
};

static void post_group(void *arg);
static void run_group(struct job *job);
static void group_done(struct job *job);
static void note_outcome(struct keeper *k, const struct group *g);
static void tell_group(struct keeper *k, struct group *g);

struct keeper *keeper_new(struct loop *loop, struct chunk_store *store, size_t max_pending_bytes)
{
    struct keeper *k = xalloc(sizeof *k);

    k->loop = loop;
    k->store = store;
    k->max_pending_bytes = max_pending_bytes;
    TAILQ_INIT(&k->waiting);
    map_init(&k->pending);
    timer_init(&k->timer, loop, post_group, k);
    k->stats.trouble = ALB_STATUS_OK;
    return k;
}

struct keeper *keeper_free(struct keeper *k)
{
    if (k == NULL)
        return NULL;
    alb_assert(keeper_is_idle(k));
    timer_stop(&k->timer);
    map_release(&k->pending);
    free(k);
    return NULL;
}

struct alb_status keeper_put(struct keeper *k, struct chunk *chunk, keeper_done kept, void *arg)
{
    if (k->stats.pending_bytes + chunk->size > k->max_pending_bytes)
        return alb_fail(ALB_FULL, "the store cannot keep up with what arrives");

    struct deposit *d = xalloc(sizeof *d);
    d->chunk = chunk_ref(chunk);
    d->kept = kept;
    d->arg = arg;
    TAILQ_INSERT_TAIL(&k->waiting, d, link);
    k->waiting_bytes += chunk->size;
    k->waiting_count++;
    k->stats.pending_bytes += chunk->size;
    if (map_get(&k->pending, &chunk->key) == NULL)
        map_put(&k->pending, &chunk->key, chunk);
    if (k->waiting_bytes >= GROUP_BYTES || k->waiting_count >= GROUP_CHUNKS)
        timer_set_in(&k->timer, 0);
    else if (!timer_is_set(&k->timer))
        timer_set_in(&k->timer, GROUP_WAIT_NS);
    return ALB_STATUS_OK;
}

struct chunk *keeper_peek(const struct keeper *k, const struct chunk_key *key)
{
    return map_get(&k->pending, key);
}

static void post_group(void *arg)
{
    struct keeper *k = arg;
    struct deposit *d;

    while (!TAILQ_EMPTY(&k->waiting)) {
        struct group *g = xalloc(sizeof *g);
        g->job = (struct job){.run = run_group, .done = group_done, .lane = JOB_ORDERED};
        g->keeper = k;
        TAILQ_INIT(&g->deposits);
        while (g->count < GROUP_CHUNKS && g->job.work_bytes < GROUP_BYTES &&
               (d = TAILQ_FIRST(&k->waiting)) != NULL) {
            TAILQ_REMOVE(&k->waiting, d, link);
            TAILQ_INSERT_TAIL(&g->deposits, d, link);
            g->chunks[g->count++] = d->chunk;
            g->job.work_bytes += d->chunk->size;
        }
        k->groups_in_flight++;
        loop_submit(k->loop, &g->job);
    }
    k->waiting_bytes = 0;
    k->waiting_count = 0;
}

static void run_group(struct job *job)
{
    struct group *g = ALB_CONTAINER(job, struct group, job);

    for (unsigned n = 0; n < UNKNOWN_TRIES; n++) {
        g->st = chunk_store_put_many(g->keeper->store, g->chunks, g->count, NULL);
        if (g->st.code != ALB_UNKNOWN)
            return;
    }
}

/* A disk that is almost full takes a small group and not the next one: it has room again once as
 * much was kept as was refused, or nothing was refused for a while. */
static bool is_over(struct keeper *k, const struct group *g, uint64_t now_ns)
{
    const uint64_t kept = g->job.work_bytes;

    k->trouble_bytes -= kept < k->trouble_bytes ? kept : k->trouble_bytes;
    return k->trouble_bytes == 0 || now_ns - k->trouble_last_ns >= CALM_NS;
}

static void note_outcome(struct keeper *k, const struct group *g)
{
    struct keeper_stats *s = &k->stats;
    const uint64_t now_ns = loop_now_ns(k->loop);

    if (alb_failed(g->st)) {
        s->failed += g->count;
        k->trouble_bytes = g->job.work_bytes;
        k->trouble_last_ns = now_ns;
        if (!alb_failed(s->trouble)) {
            s->trouble_since_ns = now_ns;
            s->trouble_chunks = 0;
            log_status(LOG_WARN, "store.keeps_nothing", g->st,
                       "next=\"what is kept is served on; new chunks are kept again by themselves "
                       "once the store takes them\"");
        }
        s->trouble_chunks += g->count;
        s->trouble = g->st;
    } else if (alb_failed(s->trouble) && is_over(k, g, now_ns)) {
        s->trouble = g->st;
        log_event(LOG_INFO, "store.keeps_again", "after_s=%" PRIu64 " chunks_not_kept=%" PRIu64,
                  (now_ns - s->trouble_since_ns) / NS_PER_S, s->trouble_chunks);
    }
}

static void group_done(struct job *job)
{
    struct group *g = ALB_CONTAINER(job, struct group, job);
    struct keeper *k = g->keeper;

    k->groups_in_flight--;
    k->stats.groups++;
    note_outcome(k, g);
    tell_group(k, g);
    free(g);
    if (k->idle_fn != NULL && keeper_is_idle(k)) {
        loop_fn fn = k->idle_fn;
        k->idle_fn = NULL;
        fn(k->idle_arg);
    }
}

static void tell_group(struct keeper *k, struct group *g)
{
    struct deposit *d;

    while ((d = TAILQ_FIRST(&g->deposits)) != NULL) {
        TAILQ_REMOVE(&g->deposits, d, link);
        k->stats.pending_bytes -= d->chunk->size;
        if (!alb_failed(g->st)) {
            k->stats.chunks++;
            k->stats.bytes += d->chunk->size;
        }
        if (map_get(&k->pending, &d->chunk->key) == d->chunk)
            map_remove(&k->pending, &d->chunk->key);
        if (d->kept != NULL)
            d->kept(d->arg, g->st);
        chunk_unref(d->chunk);
        free(d);
    }
}

bool keeper_is_idle(const struct keeper *k)
{
    return k->groups_in_flight == 0 && TAILQ_EMPTY(&k->waiting);
}

void keeper_when_idle(struct keeper *k, loop_fn fn, void *arg)
{
    k->idle_fn = fn;
    k->idle_arg = arg;
    if (keeper_is_idle(k)) {
        k->idle_fn = NULL;
        fn(arg);
    }
}

void keeper_stats(const struct keeper *k, struct keeper_stats *out)
{
    *out = k->stats;
}

const char *keeper_state(const struct keeper_stats *stats)
{
    if (!alb_failed(stats->trouble))
        return "ok";
    return stats->trouble.code == ALB_FULL ? "full" : "failing";
}
