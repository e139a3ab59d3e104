/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/fetch.c – one batch's journey: ASK → RECEIVE (item by item → VERIFY) → OVER.
 *
 * A want is in exactly one place: the queue, a batch's `asked` row, or a check on a worker.
 */
#include "transfer/fetch.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "chunk/codec_pool.h"
#include "transfer/fetch_pace.h"
#include "transfer/fetch_queue.h"
#include "wire/batch.h"
#include "wire/routes.h"

enum { BATCHES_DEFAULT = 4, OUTSTANDING_DEFAULT = 16 << 20 };
/* A batch stays on its connection: on a WAN they are small, so that one that is opened later, since
 * losses hold the others back, soon has work. */
enum { WAN_SPLIT = 4 };
enum { CORRUPT_TRIES = 3, FAILURES_MOST = 12 /* some four minutes of rests */ };
#define SILENCE_NS (30 * NS_PER_S)
#define LOOK_AGAIN_NS (100 * NS_PER_MS)
#define SWEEP_NS (30 * NS_PER_S) /* of what a paused layer keeps and nobody wants */

struct batch {
    struct fetcher *fetcher;
    struct http_session *line; /* on which it was asked, lives as long as the call */
    struct http_call *call;
    unsigned status;
    struct batch_request request;
    struct want *asked[BATCH_ITEMS_MAX]; /* by position, ascending; NULL once answered */
    uint32_t positions[BATCH_ITEMS_MAX];
    size_t count;
    uint64_t expect_bytes;
    bool is_held; /* of a layer that has a rate */
    struct buf in;
    struct timer silence;
    TAILQ_ENTRY(batch) link;
};
TAILQ_HEAD(batch_list, batch);

/* A received item being checked on a worker. */
struct check {
    struct job job;
    struct fetcher *fetcher; /* NULL: nobody is interested any more */
    struct want *want;
    struct chunk *chunk;
    struct codec_pool *codecs; /* a reference, since the fetcher may go first */
    struct alb_status st;
    TAILQ_ENTRY(check) link;
};
TAILQ_HEAD(check_list, check);

struct fetcher {
    struct fetcher_options options;
    struct upstream_listener listener;
    struct fetch_queue queue;
    struct fetch_pace pace;
    struct batch_list batches;
    struct check_list checks;
    struct codec_pool *codecs;
    size_t batch_count, held_count; /* … held: of layers that have a rate */
    uint64_t outstanding_bytes, checking_bytes;
    uint64_t heard_ns; /* when the data connection last said anything */
    uint64_t swept_ns; /* … and it was last seen what nobody waits for */
    struct timer soon, rested, allowed;
    bool is_over; /* freed, though perhaps from inside one of its callbacks */
    struct fetcher_stats stats;
};

static void ask_more(void *arg);
static void more_is_allowed(void *arg);
static bool may_ask(void *arg, const struct want *want);
static void wake_rested(void *arg);
static struct batch *gather(struct fetcher *f);
static void ask(struct batch *b);
static void batch_head(void *arg, struct http_call *c, unsigned status);
static void batch_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size);
static void batch_end(void *arg, struct http_call *c, struct alb_status st);
static void take_item(struct batch *b, const struct batch_item *item);
static void verify(struct fetcher *f, struct want *want, const struct batch_item *item);
static void check_run(struct job *job);
static void check_done(struct job *job);
static void say_no(struct fetcher *f, struct want *want, struct alb_status st);
static void ask_later(struct fetcher *f, struct want *want);
static void settle(struct want *want, uint64_t came_bytes);
static void close_batch(struct batch *b);

static const struct http_call_ops batch_ops = {
    .head = batch_head, .data = batch_data, .end = batch_end};

static void on_up(struct upstream_listener *l)
{
    struct fetcher *f = ALB_CONTAINER(l, struct fetcher, listener);

    f->heard_ns = loop_now_ns(f->options.loop);
    timer_set_in(&f->soon, 0);
}

static void on_down(struct upstream_listener *l)
{
    (void)l; /* every batch hears the end of its call */
}

struct fetcher *fetcher_new(const struct fetcher_options *options)
{
    struct fetcher *f = xalloc(sizeof *f);

    f->options = *options;
    if (f->options.max_batches == 0)
        f->options.max_batches = BATCHES_DEFAULT;
    if (f->options.max_outstanding_bytes == 0)
        f->options.max_outstanding_bytes = OUTSTANDING_DEFAULT;
    fetch_queue_init(&f->queue, options->loop);
    f->queue.may_ask = may_ask;
    f->queue.may_ask_arg = f;
    fetch_pace_init(&f->pace, options->loop, options->upstream);
    f->pace.jobs = options->jobs;
    TAILQ_INIT(&f->batches);
    TAILQ_INIT(&f->checks);
    f->codecs = codec_pool_new();
    timer_init(&f->soon, options->loop, ask_more, f);
    timer_init(&f->rested, options->loop, wake_rested, f);
    timer_init(&f->allowed, options->loop, ask_more, f);
    layer_jobs_listen(options->jobs, more_is_allowed, f);
    f->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(options->upstream, &f->listener);
    return f;
}

struct fetcher *fetcher_free(struct fetcher *f)
{
    struct check *c;

    if (f == NULL)
        return NULL;
    f->is_over = true;
    upstream_unlisten(f->options.upstream, &f->listener);
    while (!TAILQ_EMPTY(&f->batches)) {
        struct batch *b = TAILQ_FIRST(&f->batches);
        if (b->call != NULL)
            http_call_cancel(b->call);
        b->call = NULL;
        close_batch(b);
    }
    TAILQ_FOREACH(c, &f->checks, link)
    c->fetcher = NULL;
    timer_stop(&f->soon);
    timer_stop(&f->rested);
    timer_stop(&f->allowed);
    layer_jobs_listen(f->options.jobs, NULL, NULL);
    fetch_pace_release(&f->pace);
    fetch_queue_release(&f->queue);
    f->codecs = codec_pool_unref(f->codecs);
    loop_bury(f->options.loop, free, f);
    return NULL;
}

/* Not at once: the wants of one callback, or of forty endpoints, become one batch. */
static void ask_soon(struct fetcher *f)
{
    if (!timer_is_set(&f->soon))
        timer_set_in(&f->soon, NS_PER_MS);
}

static void ask_for(struct fetcher *f, struct want *want)
{
    fetch_queue_add(&f->queue, want);
    ask_soon(f);
}

void fetcher_add(struct fetcher *f, struct want *want)
{
    if (f->is_over)
        return;
    fetch_pace_wanted(&f->pace);
    want->job = layer_job_enter(f->options.jobs, want->where.layer);
    ask_for(f, want);
}

/* The want's search ends here; the fetcher may be freed in it. */
static void finish(struct fetcher *f, struct want *want, struct alb_status st, struct chunk *chunk)
{
    fetch_pace_answered(&f->pace);
    layer_job_leave(take_ptr(&want->job));
    f->options.done(f->options.arg, want, st, chunk);
}

static size_t split(const struct fetcher *f)
{
    return upstream_is_wan(f->options.upstream) ? WAN_SPLIT : 1;
}

/* Layers that are held to a rate have places of their own: they would wait for seconds behind the
 * batches of those that are not. */
static bool may_ask(void *arg, const struct want *want)
{
    const struct fetcher *f = arg;
    const struct fetcher_options *o = &f->options;

    if (layer_job_ask_ns(want->job) != 0)
        return false;
    if (layer_job_has_rate(want->job))
        return f->held_count < o->max_batches;
    return f->batch_count < o->max_batches * split(f) &&
           f->outstanding_bytes + f->checking_bytes < o->max_outstanding_bytes;
}

static void more_is_allowed(void *arg)
{
    ask_soon(arg);
}

/* What nobody waits for any more is let go of when its turn comes, which may be in a week. */
static void sweep(struct fetcher *f, uint64_t now_ns)
{
    struct want *taken[BATCH_ITEMS_MAX];
    size_t count = ALB_COUNT(taken);

    while (count == ALB_COUNT(taken)) {
        count = fetch_queue_take_abandoned(&f->queue, taken, ALB_COUNT(taken));
        for (size_t i = 0; i < count && !f->is_over; i++)
            finish(f, taken[i], alb_fail(ALB_CLOSED, "nobody waits"), NULL);
        if (f->is_over)
            return; /* whoever was told freed it */
    }
    f->swept_ns = now_ns;
}

static void give_up_batch(struct fetcher *f, struct batch *b)
{
    if (b->call != NULL)
        http_call_cancel(b->call);
    b->call = NULL;
    close_batch(b); /* it is there until this turn is over */
    for (size_t i = 0; i < b->count && !f->is_over; i++) {
        if (b->asked[i] == NULL)
            continue;
        f->stats.asked--;
        settle(b->asked[i], 0);
        finish(f, b->asked[i], alb_fail(ALB_NOT_FOUND, "nothing is fetched here now"), NULL);
    }
}

void fetcher_give_up(struct fetcher *f)
{
    struct want *taken[BATCH_ITEMS_MAX];
    size_t count;

    while (!f->is_over && !TAILQ_EMPTY(&f->batches))
        give_up_batch(f, TAILQ_FIRST(&f->batches));
    while (!f->is_over && (count = fetch_queue_take_any(&f->queue, taken, ALB_COUNT(taken))) > 0)
        for (size_t i = 0; i < count && !f->is_over; i++)
            finish(f, taken[i], alb_fail(ALB_NOT_FOUND, "nothing is fetched here now"), NULL);
}

/* The policy keeps back all that is ready, until then or until it says so (more_is_allowed). */
static void wait_until_allowed(struct fetcher *f)
{
    const struct fetch_group *g = NULL;
    const struct want *first = NULL;
    const uint64_t now_ns = loop_now_ns(f->options.loop);

    if (now_ns >= f->swept_ns + SWEEP_NS)
        sweep(f, now_ns);
    if (f->is_over)
        return;
    uint64_t at_ns = f->queue.ready > 0 ? f->swept_ns + SWEEP_NS : UINT64_MAX;
    while ((g = fetch_queue_next(&f->queue, g, &first)) != NULL) {
        const uint64_t ask_ns = layer_job_ask_ns(first->job);
        at_ns = ask_ns != 0 && ask_ns < at_ns ? ask_ns : at_ns;
    }
    if (at_ns != UINT64_MAX)
        timer_set(&f->allowed, at_ns);
}

static void ask_more(void *arg)
{
    struct fetcher *f = arg;

    while (!f->is_over && f->queue.ready > 0) {
        struct http_session *line = upstream_data(f->options.upstream);
        if (line == NULL || !http_session_is_open(line)) {
            if (line == NULL && upstream_is_up(f->options.upstream))
                timer_set_in(&f->soon, LOOK_AGAIN_NS); /* about to be moved, or not */
            return;                                    /* on_up() comes back here */
        }
        if (fetch_queue_peek(&f->queue) == NULL) {
            wait_until_allowed(f);
            return;
        }
        struct batch *b = gather(f);
        b->line = line;
        if (b->count > 0)
            ask(b);
        else
            free(b);
    }
}

static void wake_rested(void *arg)
{
    struct fetcher *f = arg;
    uint64_t next_ns = fetch_queue_wake(&f->queue);

    if (next_ns != 0)
        timer_set(&f->rested, next_ns);
    ask_soon(f);
}

/* ---- ASK ------------------------------------------------------------------------------------ */

static int by_position(const void *a, const void *b)
{
    const struct want *const *x = a, *const *y = b;

    return ((*x)->where.position > (*y)->where.position) -
           ((*x)->where.position < (*y)->where.position);
}

/* Fill a batch from the queue; what nobody waits for any more is let go instead. */
static struct batch *gather(struct fetcher *f)
{
    struct batch *b = xalloc(sizeof *b);
    struct want *taken[BATCH_ITEMS_MAX];
    const struct want *first = fetch_queue_peek(&f->queue);
    const uint64_t most = layer_job_batch_bytes(first->job, BATCH_BYTES_MAX / split(f));
    size_t count = fetch_queue_take(&f->queue, taken, BATCH_ITEMS_MAX, most);

    b->fetcher = f;
    b->is_held = layer_job_has_rate(first->job);
    for (size_t i = 0; i < count; i++) {
        struct want *want = taken[i];
        if (TAILQ_EMPTY(&want->waiters)) {
            finish(f, want, alb_fail(ALB_CLOSED, "nobody waits"), NULL);
            continue;
        }
        b->asked[b->count++] = want;
        const uint64_t most_bytes = fetch_queue_most_bytes(want);
        b->expect_bytes += most_bytes;
        want->charged_bytes = layer_job_charge(want->job, most_bytes);
    }
    if (b->count == 0)
        return b;
    const struct where *where = &b->asked[0]->where;
    snprintf(b->request.layer, sizeof b->request.layer, "%s", where->layer);
    b->request.root = where->root;
    b->request.list = where->list;
    qsort(b->asked, b->count, sizeof b->asked[0], by_position);
    return b;
}

/* Another batch's item may be long on its way while this one must wait its turn: what counts is
 * that the connection says something. And what our own gate kept from it (credit above all) is no
 * silence of its. */
static void on_silence(void *arg)
{
    struct batch *b = arg;
    struct fetcher *f = b->fetcher;

    if (!upstream_is_up(f->options.upstream))
        return; /* lost: the call's end is about to come */
    uint64_t held_ns = http_session_held_until_ns(b->line);
    uint64_t until_ns = (held_ns > f->heard_ns ? held_ns : f->heard_ns) + SILENCE_NS;

    if (loop_now_ns(f->options.loop) < until_ns)
        timer_set(&b->silence, until_ns);
    else
        upstream_suspect(f->options.upstream,
                         alb_fail(ALB_TIMEOUT, "the parent said nothing for 30 s"));
}

static void ask(struct batch *b)
{
    struct fetcher *f = b->fetcher;
    struct buf body;

    for (size_t i = 0; i < b->count; i++)
        b->positions[i] = b->asked[i]->where.position;
    buf_init(&body, BATCH_REQUEST_MAX);
    struct alb_status st = batch_request_set(&b->request, b->positions, b->count);
    if (!alb_failed(st))
        st = batch_request_encode(&b->request, &body);
    alb_assert(!alb_failed(st)); /* ascending and within the limits by construction */

    char left[32];
    struct http_header headers[3] = {proto_header};
    size_t header_count = 1;
    const uint64_t left_bytes = layer_jobs_left(f->options.jobs, b->request.layer);
    snprintf(left, sizeof left, "%" PRIu64, left_bytes);
    if (left_bytes > 0)
        headers[header_count++] = (struct http_header){LEFT_HEADER, left};
    if (f->options.only_held)
        headers[header_count++] = (struct http_header){HELD_HEADER, "1"};

    /* The answer may also hold "queued" items, one every 5 s for as long as it takes. */
    const struct http_call_options call = {.method = "POST",
                                           .path = "/v1/chunks",
                                           .headers = headers,
                                           .header_count = header_count,
                                           .body = buf_peek(&body),
                                           .body_size = buf_size(&body),
                                           .expect_bytes = b->expect_bytes + (64 << 10)};
    b->call = http_call_start(b->line, &call, &batch_ops, b);
    buf_release(&body);
    buf_init(&b->in, CHUNK_STORED_MAX + (64 << 10));
    timer_init(&b->silence, f->options.loop, on_silence, b);
    timer_set_in(&b->silence, SILENCE_NS);
    TAILQ_INSERT_TAIL(&f->batches, b, link);
    *(b->is_held ? &f->held_count : &f->batch_count) += 1;
    f->outstanding_bytes += b->is_held ? 0 : b->expect_bytes;
    f->stats.asked += b->count;
    f->stats.batches++;
}

/* ---- RECEIVE -------------------------------------------------------------------------------- */

static void batch_head(void *arg, struct http_call *c, unsigned status)
{
    struct batch *b = arg;

    (void)c;
    b->status = status;
    b->fetcher->heard_ns = loop_now_ns(b->fetcher->options.loop);
}

static void batch_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct batch *b = arg;
    struct fetcher *f = b->fetcher;
    struct batch_item item;
    size_t used = 1;

    (void)c;
    f->heard_ns = loop_now_ns(f->options.loop);
    if (b->status != 200)
        return;
    fetch_pace_brought(&f->pace, size);
    struct alb_status st = buf_append(&b->in, bytes, size);
    while (!alb_failed(st) && used > 0) {
        st = batch_item_next(&b->in, CHUNK_STORED_MAX, &item, &used);
        if (alb_failed(st) || used == 0)
            break;
        take_item(b, &item);
        if (f->is_over)
            return;
        if (item.status == ITEM_QUEUED)
            fetch_pace_queued(&f->pace, used);
        buf_consume(&b->in, used);
    }
    if (alb_failed(st)) {
        log_status(LOG_WARN, "fetch.bad_answer", st, "layer=%s", b->request.layer);
        f->stats.corrupt++;
        upstream_suspect(f->options.upstream, st);
    }
}

static int find_position(const void *key, const void *element)
{
    uint32_t position = *(const uint32_t *)key, other = *(const uint32_t *)element;

    return (position > other) - (position < other);
}

static void settle(struct want *want, uint64_t came_bytes)
{
    layer_job_settle(want->job, fetch_queue_most_bytes(want), want->charged_bytes, came_bytes);
    want->charged_bytes = 0;
}

static void take_item(struct batch *b, const struct batch_item *item)
{
    struct fetcher *f = b->fetcher;
    const uint32_t *at = NULL;

    if (item->status == ITEM_QUEUED) { /* alive; the silence timer has heard it */
        f->stats.before = item->line;
        f->stats.before_bps = item->rate_bps;
        f->stats.before_ns = loop_now_ns(f->options.loop);
        return;
    }
    f->stats.received_bytes += item->size;
    at = bsearch(&item->position, b->positions, b->count, sizeof b->positions[0], find_position);
    if (at == NULL || b->asked[at - b->positions] == NULL) {
        f->stats.repeated++; /* not asked for, or answered before: nobody's */
        return;
    }
    struct want *want = b->asked[at - b->positions];
    b->asked[at - b->positions] = NULL;
    f->stats.asked--;
    settle(want, item->status == ITEM_HIT ? item->size : 0);
    switch (item->status) {
    case ITEM_HIT: verify(f, want, item); break;
    case ITEM_MISSING:
        f->stats.missing++;
        if (upstream_lacks(f->options.upstream))
            ask_later(f, want);
        else
            say_no(f, want, alb_fail(ALB_NOT_FOUND, "the parent lacks the chunk"));
        break;
    case ITEM_FAILED: ask_later(f, want); break;
    case ITEM_QUEUED: break;
    }
}

/* Why the whole batch was refused, or OK: what it did not answer is worth asking again. */
static struct alb_status refusal(const struct batch *b, struct alb_status st)
{
    if (alb_failed(st) || b->status < 400 || b->status >= 500 || b->status == 429)
        return ALB_STATUS_OK;
    if (b->status == 404)
        return alb_fail(ALB_NOT_FOUND, "the parent does not serve this version");
    if (b->status == 401 || b->status == 403)
        return alb_fail(ALB_REFUSED, "the parent refuses this device");
    return alb_fail(ALB_INVALID, "the parent does not understand the request");
}

static void batch_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct batch *b = arg;
    struct fetcher *f = b->fetcher;
    const struct alb_status refused = refusal(b, st);
    const bool is_lost =
        alb_failed(st) && (st.code == ALB_REFUSED || !http_session_is_open(b->line));

    (void)c;
    b->call = NULL;
    if (st.code == ALB_CORRUPT)
        f->stats.corrupt++;
    close_batch(b);
    for (size_t i = b->count; i-- > 0;) { /* from the last, so that the first is put back first */
        struct want *want = b->asked[i];
        if (want == NULL)
            continue;
        if (f->is_over)
            return;
        f->stats.asked--;
        settle(want, 0);
        if (alb_failed(refused))
            say_no(f, want, refused);
        else if (is_lost)
            fetch_queue_put_back(&f->queue, want);
        else
            ask_later(f, want);
    }
}

static void close_batch(struct batch *b)
{
    struct fetcher *f = b->fetcher;

    timer_stop(&b->silence);
    TAILQ_REMOVE(&f->batches, b, link);
    *(b->is_held ? &f->held_count : &f->batch_count) -= 1;
    f->outstanding_bytes -= b->is_held ? 0 : b->expect_bytes;
    f->stats.received_bytes += buf_size(&b->in); /* an item cut short has crossed the line too */
    buf_release(&b->in);
    loop_bury(f->options.loop, free, b);
    if (!f->is_over)
        timer_set_in(&f->soon, 0);
}

/* ---- VERIFY --------------------------------------------------------------------------------- */

static void verify(struct fetcher *f, struct want *want, const struct batch_item *item)
{
    struct check *check = xalloc(sizeof *check);

    check->fetcher = f;
    check->want = want;
    check->chunk = chunk_copy(&want->key, item->bytes, item->size);
    if (check->chunk == NULL) {
        free(check);
        say_no(f, want, alb_fail(ALB_FULL, "memory for a chunk"));
        return;
    }
    check->codecs = codec_pool_ref(f->codecs);
    check->job = (struct job){.run = check_run, .done = check_done, .work_bytes = item->size};
    f->checking_bytes += item->size;
    TAILQ_INSERT_TAIL(&f->checks, check, link);
    loop_submit(f->options.loop, &check->job);
}

static void check_run(struct job *job)
{
    struct check *check = ALB_CONTAINER(job, struct check, job);
    struct codec *codec = codec_pool_take(check->codecs);

    check->st =
        codec_verify(codec, &check->chunk->key, check->chunk->bytes, check->chunk->size, NULL);
    codec_pool_give(check->codecs, codec);
}

static void judge_check(struct fetcher *f, struct check *check)
{
    struct want *want = check->want;
    char hex[DIGEST_HEX_SIZE];

    TAILQ_REMOVE(&f->checks, check, link);
    f->checking_bytes -= check->chunk->size;
    if (f->queue.ready > 0)
        ask_soon(f);
    if (!alb_failed(check->st)) {
        f->stats.items++;
        f->stats.stored_bytes += check->chunk->size;
        finish(f, want, ALB_STATUS_OK, check->chunk);
        return;
    }
    f->stats.corrupt++;
    log_status(LOG_WARN, "fetch.bad_chunk", check->st, "chunk=%s layer=%s",
               digest_hex(&want->key.digest, hex), want->where.layer);
    if (++want->tries < CORRUPT_TRIES)
        ask_for(f, want);
    else
        say_no(f, want, alb_fail(ALB_CORRUPT, "the parent keeps sending a bad chunk"));
}

static void check_done(struct job *job)
{
    struct check *check = ALB_CONTAINER(job, struct check, job);

    codec_pool_unref(check->codecs);
    if (check->fetcher != NULL)
        judge_check(check->fetcher, check);
    chunk_unref(check->chunk);
    free(check);
}

/* ---- NO, or not now ------------------------------------------------------------------------- */

/* This place said no; another waiter may know a better one. */
static void say_no(struct fetcher *f, struct want *want, struct alb_status st)
{
    if (want_table_next_place(want)) {
        want->tries = want->failures = 0;
        layer_job_leave(want->job);
        want->job = layer_job_enter(f->options.jobs, want->where.layer);
        ask_for(f, want);
    } else {
        finish(f, want, st, NULL);
    }
}

static void ask_later(struct fetcher *f, struct want *want)
{
    if (++want->failures > FAILURES_MOST) {
        say_no(f, want, alb_fail(ALB_IO, "the parent keeps failing to send the chunk"));
        return;
    }
    fetch_queue_rest(&f->queue, want);
    if (!timer_is_set(&f->rested) || f->rested.at_ns > want->retry_ns)
        timer_set(&f->rested, want->retry_ns);
}

void fetcher_stats(const struct fetcher *f, struct fetcher_stats *out)
{
    *out = f->stats;
    out->queued = f->queue.ready + f->queue.resting;
    out->is_slow = f->pace.is_slow;
    out->slow_alarms = f->pace.alarms;
}
