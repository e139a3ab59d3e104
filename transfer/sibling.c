/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/sibling.c – a line to a sibling, questions over it, and following what comes to it. */
#include "transfer/sibling.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "chunk/codec.h"
#include "wire/arrivals.h"
#include "wire/json.h"

#define PATIENT_NS (10 * NS_PER_S)
#define PAUSE_LEAST_NS NS_PER_S
#define PAUSE_MOST_NS (30 * NS_PER_S)
#define POLL_NS (250 * NS_PER_MS)
#define POLL_IDLE_NS NS_PER_S
#define POLL_FAILED_NS NS_PER_S
#define POLL_TIMEOUT_NS (10 * NS_PER_S)
#define BUSY_FOR_NS (10 * NS_PER_S)
/* That it waits itself it says every 4 s (serve_batch.c), and for one chunk no longer than this. */
#define QUEUED_NS (6 * NS_PER_S)
#define COMING_MOST_NS (120 * NS_PER_S)
#define CALL_NS (2 * NS_PER_S)
/* So many batches that what waits there holds nothing else up, and fewer than it serves at once. */
enum { FAILURES = 8, ASKS_MOST = 1024, BATCHES = 32, AGAINS = 3 };
#define OUTSTANDING_BYTES ((uint64_t)ASKS_MOST * CHUNK_STORED_MAX)

struct mirror_slot {
    struct sibling *owner;
    struct waiter waiter;
    bool is_busy;
};

struct sibling {
    struct sibling_options options;
    char device[ID_SIZE];
    struct upstream *upstream;
    struct upstream_listener on_line;
    struct supply *supply; /* of its own, over that line: it keeps nothing */
    bool is_believed;      /* the line is up and leads to whom it should   */
    TAILQ_HEAD(, sibling_ask) asks;
    size_t ask_count;
    unsigned failures; /* in a row */
    uint64_t paused_until_ns, pause_ns;
    uint64_t brought_ns; /* when it last gave something */
    uint64_t called_ns;
    /* The mirror: one batch at a time. */
    struct timer poll;
    struct upstream_request *polling;
    struct arrivals_answer news;
    struct root_wait root_wait;
    bool waits_root;
    uint64_t since, busy_until_ns;
    struct mirror_slot *slots; /* BATCH_ITEMS_MAX */
    size_t busy;
    bool was_paused;                             /* something of this batch was not asked for */
    unsigned agains;                             /* so the same is asked for again            */
    uint64_t hits, missed, late, mirrored, lost; /* counters */
};

static void on_up(struct upstream_listener *l);
static void on_down(struct upstream_listener *l);
static void told(struct waiter *w, struct alb_status st, struct chunk *chunk);
static void is_late(void *arg);
static void end_ask(struct sibling_ask *a, struct alb_status st, struct chunk *chunk);
static void poll(void *arg);
static void stop_mirror(struct sibling *s);

struct sibling *sibling_new(const struct sibling_options *options)
{
    struct sibling *s = xalloc(sizeof *s);
    const struct upstream_options up = {.loop = options->loop,
                                        .places = {options->place},
                                        .place_count = 1,
                                        .tls = options->tls,
                                        .wants_grant = true,
                                        .grant = options->grant,
                                        .grant_size = options->grant_size,
                                        .grant_renew_wall_s = options->grant_renew_wall_s,
                                        .arg = options->arg,
                                        .granted = options->granted};

    s->options = *options;
    snprintf(s->device, sizeof s->device, "%s", options->device);
    TAILQ_INIT(&s->asks);
    s->pause_ns = PAUSE_LEAST_NS;
    timer_init(&s->poll, options->loop, poll, s);
    s->slots = xcalloc(BATCH_ITEMS_MAX, sizeof *s->slots);
    s->upstream = upstream_new(&up);
    s->on_line = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(s->upstream, &s->on_line);
    s->supply = supply_new(&(struct supply_options){
        .loop = options->loop,
        .upstream = s->upstream,
        .only_held = true,
        .cache_bytes = 1,
        .max_batches = BATCHES,
        .max_outstanding_bytes = OUTSTANDING_BYTES,
    });
    return s;
}

struct sibling *sibling_free(struct sibling *s)
{
    if (s == NULL)
        return NULL;
    s->is_believed = false;
    stop_mirror(s);
    while (!TAILQ_EMPTY(&s->asks))
        end_ask(TAILQ_FIRST(&s->asks), alb_fail(ALB_NOT_FOUND, "no such sibling any more"), NULL);
    s->supply = supply_free(s->supply);
    upstream_unlisten(s->upstream, &s->on_line);
    s->upstream = upstream_free(s->upstream);
    loop_bury(s->options.loop, free, s->slots);
    loop_bury(s->options.loop, free, s);
    return NULL;
}

/* ---- the line -------------------------------------------------------------------------------- */

/* By its certificates, on every connection there is. */
static bool is_the_one(const struct sibling *s)
{
    const struct identity *id = upstream_parent(s->upstream, 0);

    for (size_t i = 0; id != NULL; id = upstream_parent(s->upstream, ++i))
        if (id->role != ROLE_REFLECTOR || strcmp(id->device, s->device) != 0 ||
            authority_has_revoked(s->options.authority, id->serial))
            return false;
    return upstream_parent(s->upstream, 0) != NULL;
}

static void on_up(struct upstream_listener *l)
{
    struct sibling *s = ALB_CONTAINER(l, struct sibling, on_line);

    s->is_believed = is_the_one(s);
    if (!s->is_believed) {
        log_event(LOG_WARN, "sibling.not_believed",
                  "device=%s what=\"somebody else answers there, or it is revoked\" "
                  "next=\"it is not asked; look at its addresses in the site's list\"",
                  s->device);
        return;
    }
    log_event(LOG_INFO, "sibling.up", "device=%s", s->device);
    s->since = 0; /* it may have begun anew, and its numbers with it */
    s->failures = s->agains = 0;
    s->paused_until_ns = 0;
    s->pause_ns = PAUSE_LEAST_NS;
    timer_set_in(&s->poll, 0);
}

static void on_down(struct upstream_listener *l)
{
    struct sibling *s = ALB_CONTAINER(l, struct sibling, on_line);

    s->is_believed = false;
    stop_mirror(s);
    while (!TAILQ_EMPTY(&s->asks))
        end_ask(TAILQ_FIRST(&s->asks), alb_fail(ALB_NOT_FOUND, "the sibling went away"), NULL);
}

/* ---- questions ------------------------------------------------------------------------------- */

bool sibling_is_worth_asking(const struct sibling *s)
{
    return s->is_believed && s->ask_count < ASKS_MOST &&
           loop_now_ns(s->options.loop) >= s->paused_until_ns;
}

void sibling_ask(struct sibling *s, const struct chunk_key *key, const struct where *where,
                 bool patient, struct sibling_ask *a)
{
    a->sibling = s;
    a->since_ns = loop_now_ns(s->options.loop);
    a->waiter = (struct waiter){.done = told, .where = *where};
    timer_init(&a->late, s->options.loop, is_late, a);
    timer_set_in(&a->late, patient ? PATIENT_NS : SIBLING_LATE_NS);
    TAILQ_INSERT_TAIL(&s->asks, a, link);
    s->ask_count++;
    supply_ask(s->supply, key, &a->waiter);
}

void sibling_ask_hurry(struct sibling_ask *a)
{
    timer_set_in(&a->late, SIBLING_LATE_NS);
}

static void pause_asking(struct sibling *s)
{
    const uint64_t now_ns = loop_now_ns(s->options.loop);

    if (now_ns < s->paused_until_ns)
        return;
    s->paused_until_ns = now_ns + s->pause_ns;
    s->pause_ns = s->pause_ns * 2 < PAUSE_MOST_NS ? s->pause_ns * 2 : PAUSE_MOST_NS;
}

static void end_ask(struct sibling_ask *a, struct alb_status st, struct chunk *chunk)
{
    struct sibling *s = a->sibling;

    timer_stop(&a->late);
    supply_leave(s->supply, &a->waiter);
    TAILQ_REMOVE(&s->asks, a, link);
    s->ask_count--;
    a->done(a, st, chunk);
}

static void told(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct sibling_ask *a = ALB_CONTAINER(w, struct sibling_ask, waiter);
    struct sibling *s = a->sibling;

    if (!alb_failed(st)) {
        s->hits++;
        s->failures = 0;
        s->pause_ns = PAUSE_LEAST_NS;
        s->brought_ns = loop_now_ns(s->options.loop);
    } else {
        s->missed++;
        if (st.code != ALB_NOT_FOUND && ++s->failures >= FAILURES)
            pause_asking(s);
    }
    end_ask(a, st, chunk);
}

/* It said that it waits itself, and what it waits for does come. */
static bool is_coming(const struct sibling_ask *a)
{
    const struct sibling *s = a->sibling;
    const uint64_t now_ns = loop_now_ns(s->options.loop);
    const uint64_t heard_ns = s->brought_ns > a->since_ns ? s->brought_ns : a->since_ns;
    struct supply_stats stats;

    supply_stats(s->supply, &stats);
    return stats.fetch.before_ns != 0 && now_ns - stats.fetch.before_ns < QUEUED_NS &&
           now_ns - heard_ns < SIBLING_COMING_NS && now_ns - a->since_ns < COMING_MOST_NS;
}

/* Who hangs is not asked at all for a while. */
static void is_late(void *arg)
{
    struct sibling_ask *a = arg;

    if (is_coming(a)) {
        timer_set_in(&a->late, SIBLING_LATE_NS);
        return;
    }
    a->sibling->late++;
    pause_asking(a->sibling);
    end_ask(a, alb_fail(ALB_TIMEOUT, "the sibling is too slow"), NULL);
}

/* ---- the mirror ------------------------------------------------------------------------------ */

static void polled(void *arg, const struct upstream_answer *answer);
static void opened(struct root_wait *w, struct alb_status st, const struct root_view *view);
static void came(struct waiter *w, struct alb_status st, struct chunk *chunk);

static void stop_mirror(struct sibling *s)
{
    timer_stop(&s->poll);
    upstream_cancel(s->polling);
    s->polling = NULL;
    if (s->waits_root)
        root_book_leave(s->options.roots, &s->root_wait);
    s->waits_root = false;
    for (size_t i = 0; i < BATCH_ITEMS_MAX; i++)
        if (s->slots[i].is_busy)
            supply_leave(s->options.supply, &s->slots[i].waiter);
    memset(s->slots, 0, BATCH_ITEMS_MAX * sizeof *s->slots);
    s->busy = 0;
}

static void poll(void *arg)
{
    struct sibling *s = arg;
    char path[64];

    snprintf(path, sizeof path, "/v1/arrivals?since=%" PRIu64, s->since);
    s->polling = upstream_request(s->upstream,
                                  &(struct upstream_ask){.method = "GET",
                                                         .path = path,
                                                         .expect_bytes = ARRIVALS_BYTES_MAX,
                                                         .timeout_ns = POLL_TIMEOUT_NS,
                                                         .fail_when_down = true},
                                  polled, s);
}

/* Of an older program, or of one that does not know (yet) that we are beside it. */
static void poll_failed(struct sibling *s, struct alb_status st)
{
    log_status(LOG_DEBUG, "sibling.no_arrivals", st, "device=%s", s->device);
    timer_set_in(&s->poll, POLL_FAILED_NS);
}

static void polled(void *arg, const struct upstream_answer *answer)
{
    struct sibling *s = arg;
    const uint64_t now_ns = loop_now_ns(s->options.loop);
    struct alb_status st = answer->st;

    s->polling = NULL;
    if (!alb_failed(st))
        st = arrivals_decode(answer->body, answer->size, &s->news);
    if (alb_failed(st)) {
        poll_failed(s, st);
        return;
    }
    s->lost += s->news.has_lost;
    if (!s->news.has_some) {
        s->since = s->news.next;
        timer_set_in(&s->poll, now_ns < s->busy_until_ns ? POLL_NS : POLL_IDLE_NS);
        return;
    }
    s->busy_until_ns = now_ns + BUSY_FOR_NS;
    s->paused_until_ns = 0;
    s->was_paused = false;
    s->root_wait = (struct root_wait){.done = opened};
    s->waits_root = true;
    root_book_open(s->options.roots, s->news.came.layer, &s->news.came.root, &s->root_wait);
}

static void ask_slot(struct sibling *s, size_t at, const struct root_view *view, uint32_t position)
{
    struct mirror_slot *slot = &s->slots[at];
    struct chunk_key key;

    *slot = (struct mirror_slot){.owner = s, .waiter = {.done = came, .reach = REACH_BESIDE}};
    if (!root_view_key(view, s->news.came.list, position, &key, &slot->waiter.where))
        return;
    slot->is_busy = true;
    s->busy++;
    supply_ask(s->options.supply, &key, &slot->waiter);
}

/* What was not asked for, since it was too slow a moment ago, is not passed over for that. */
static void end_news(struct sibling *s)
{
    if (s->was_paused && s->agains < AGAINS) {
        s->agains++;
        timer_set_in(&s->poll, POLL_FAILED_NS);
        return;
    }
    s->agains = 0;
    s->since = s->news.next;
    timer_set_in(&s->poll, POLL_NS);
}

static void opened(struct root_wait *w, struct alb_status st, const struct root_view *view)
{
    struct sibling *s = ALB_CONTAINER(w, struct sibling, root_wait);
    const struct batch_request *r = &s->news.came;
    size_t at = 0;

    s->waits_root = false;
    for (size_t i = 0; !alb_failed(st) && i < r->run_count; i++)
        for (uint32_t k = 0; k < r->runs[i].count && at < BATCH_ITEMS_MAX; k++)
            ask_slot(s, at++, view, r->runs[i].first + k);
    if (!alb_failed(st))
        root_book_close_view(s->options.roots, view);
    if (s->busy == 0)
        end_news(s);
}

static void came(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct mirror_slot *slot = ALB_CONTAINER(w, struct mirror_slot, waiter);
    struct sibling *s = slot->owner;

    (void)chunk; /* the supply keeps it */
    slot->is_busy = false;
    s->mirrored += !alb_failed(st);
    s->was_paused |= alb_failed(st) && !sibling_is_worth_asking(s);
    if (--s->busy == 0)
        end_news(s);
}

void sibling_call(struct sibling *s)
{
    const uint64_t now_ns = loop_now_ns(s->options.loop);

    if (upstream_is_up(s->upstream) || now_ns < s->called_ns + CALL_NS)
        return;
    s->called_ns = now_ns;
    upstream_move(s->upstream, &s->options.place);
}

/* ---- said ------------------------------------------------------------------------------------ */

bool sibling_is(const struct sibling *s, const char *device)
{
    return strcmp(s->device, device) == 0;
}

bool sibling_is_at(const struct sibling *s, const char *device, const struct upstream_place *place)
{
    return sibling_is(s, device) && strcmp(s->options.place.host, place->host) == 0 &&
           s->options.place.port == place->port;
}

void sibling_show(const struct sibling *s, struct json_writer *w)
{
    json_text(w, "device", s->device);
    json_bool(w, "up", s->is_believed);
    json_bool(w, "asked", sibling_is_worth_asking(s));
    json_number(w, "hits", s->hits);
    json_number(w, "misses", s->missed);
    json_number(w, "late", s->late);
    json_number(w, "mirrored", s->mirrored);
    json_number(w, "lost", s->lost);
}
