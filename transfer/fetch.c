/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/fetch.c – one batch's journey: ASK → RECEIVE (item by item → VERIFY) → OVER.
 *
 * A want is in exactly one place: the queue, a batch's `asked` row, or a check on a worker.
 */
#include "transfer/fetch.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "chunk/codec.h"
#include "wire/batch.h"

enum { BATCHES_DEFAULT = 4, OUTSTANDING_DEFAULT = 16 << 20, CORRUPT_TRIES = 3 };
#define SILENCE_NS (30 * NS_PER_S)
#define AGAIN_NS (500 * NS_PER_MS)

struct batch {
    struct fetcher *fetcher;
    struct http_call *call;
    unsigned status;
    struct batch_request request;
    struct want *asked[BATCH_ITEMS_MAX]; /* by position, ascending; NULL once answered */
    uint32_t positions[BATCH_ITEMS_MAX];
    size_t count, answered;
    uint64_t expect_bytes;
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
    struct alb_status st;
    TAILQ_ENTRY(check) link;
};
TAILQ_HEAD(check_list, check);

struct fetcher {
    struct fetcher_options options;
    struct upstream_listener listener;
    struct want_list queue;
    struct batch_list batches;
    struct check_list checks;
    size_t batch_count;
    uint64_t outstanding_bytes;
    struct timer soon;
    struct fetcher_stats stats;
};

static void ask_more(void *arg);
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
static void finish_batch(struct batch *b);

static const struct http_call_ops batch_ops = {
    .head = batch_head, .data = batch_data, .end = batch_end};

static void on_up(struct upstream_listener *l)
{
    timer_set_in(&ALB_CONTAINER(l, struct fetcher, listener)->soon, 0);
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
    TAILQ_INIT(&f->queue);
    TAILQ_INIT(&f->batches);
    TAILQ_INIT(&f->checks);
    timer_init(&f->soon, options->loop, ask_more, f);
    f->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(options->upstream, &f->listener);
    return f;
}

struct fetcher *fetcher_free(struct fetcher *f)
{
    struct check *c;

    if (f == NULL)
        return NULL;
    upstream_unlisten(f->options.upstream, &f->listener);
    timer_stop(&f->soon);
    while (!TAILQ_EMPTY(&f->batches)) {
        struct batch *b = TAILQ_FIRST(&f->batches);
        if (b->call != NULL)
            http_call_cancel(b->call);
        b->call = NULL;
        finish_batch(b);
    }
    TAILQ_FOREACH(c, &f->checks, link)
    c->fetcher = NULL;
    timer_stop(&f->soon);
    loop_bury(f->options.loop, free, f);
    return NULL;
}

void fetcher_add(struct fetcher *f, struct want *want)
{
    TAILQ_INSERT_TAIL(&f->queue, want, link);
    f->stats.queued++;
    /* Not at once: the wants of one callback, or of forty endpoints, become one batch. */
    if (!timer_is_set(&f->soon))
        timer_set_in(&f->soon, NS_PER_MS);
}

static void ask_more(void *arg)
{
    struct fetcher *f = arg;

    while (f->batch_count < f->options.max_batches && !TAILQ_EMPTY(&f->queue) &&
           upstream_data(f->options.upstream) != NULL &&
           (f->outstanding_bytes == 0 || f->outstanding_bytes < f->options.max_outstanding_bytes))
        ask(gather(f));
}

/* ---- ASK ------------------------------------------------------------------------------------------ */

static uint64_t most_bytes(const struct want *want)
{
    uint64_t raw = want->where.raw_bytes != 0 ? want->where.raw_bytes : CHUNK_RAW_MAX;

    return raw + raw / 128 + 1024 +
           BATCH_ITEM_OVERHEAD; /* zstd's worst case, and the item's head */
}

static bool same_group(const struct where *a, const struct where *b)
{
    return a->list == b->list && digest_equal(&a->root, &b->root) &&
           strcmp(a->layer, b->layer) == 0;
}

static int by_position(const void *a, const void *b)
{
    const struct want *const *x = a, *const *y = b;

    return ((*x)->where.position > (*y)->where.position) -
           ((*x)->where.position < (*y)->where.position);
}

/* Take wants of the oldest want's group from the queue, as many as a batch may hold. */
static struct batch *gather(struct fetcher *f)
{
    struct batch *b = xalloc(sizeof *b);
    struct want *w = TAILQ_FIRST(&f->queue), *next;
    const struct where group = w->where;

    b->fetcher = f;
    snprintf(b->request.layer, sizeof b->request.layer, "%s", group.layer);
    b->request.root = group.root;
    b->request.list = group.list;
    for (; w != NULL && b->count < BATCH_ITEMS_MAX; w = next) {
        next = TAILQ_NEXT(w, link);
        if (!same_group(&w->where, &group))
            continue;
        if (b->count > 0 && b->expect_bytes + most_bytes(w) > BATCH_BYTES_MAX)
            break;
        TAILQ_REMOVE(&f->queue, w, link);
        b->asked[b->count++] = w;
        b->expect_bytes += most_bytes(w);
    }
    qsort(b->asked, b->count, sizeof b->asked[0], by_position);
    return b;
}

static void on_silence(void *arg)
{
    struct batch *b = arg;

    upstream_suspect(b->fetcher->options.upstream,
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

    /* The answer may also hold "queued" items, one every 5 s for as long as it takes. */
    const struct http_call_options call = {.method = "POST",
                                           .path = "/v1/chunks",
                                           .body = buf_peek(&body),
                                           .body_size = buf_size(&body),
                                           .expect_bytes = b->expect_bytes + (64 << 10)};
    b->call = http_call_start(upstream_data(f->options.upstream), &call, &batch_ops, b);
    buf_release(&body);
    buf_init(&b->in, CHUNK_STORED_MAX + (64 << 10));
    timer_init(&b->silence, f->options.loop, on_silence, b);
    timer_set_in(&b->silence, SILENCE_NS);
    TAILQ_INSERT_TAIL(&f->batches, b, link);
    f->batch_count++;
    f->outstanding_bytes += b->expect_bytes;
    f->stats.queued -= b->count;
    f->stats.asked += b->count;
    f->stats.batches++;
}

/* ---- RECEIVE -------------------------------------------------------------------------------------- */

static void batch_head(void *arg, struct http_call *c, unsigned status)
{
    struct batch *b = arg;

    (void)c;
    b->status = status;
    timer_set_in(&b->silence, SILENCE_NS);
}

static void batch_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct batch *b = arg;
    struct batch_item item;
    size_t used = 1;

    (void)c;
    timer_set_in(&b->silence, SILENCE_NS);
    if (b->status != 200)
        return;
    struct alb_status st = buf_append(&b->in, bytes, size);
    while (!alb_failed(st) && used > 0) {
        st = batch_item_next(&b->in, CHUNK_STORED_MAX, &item, &used);
        if (alb_failed(st) || used == 0)
            break;
        take_item(b, &item);
        buf_consume(&b->in, used);
    }
    if (alb_failed(st)) {
        log_status(LOG_WARN, "fetch.bad_answer", st, "layer=%s", b->request.layer);
        b->fetcher->stats.corrupt++;
        upstream_suspect(b->fetcher->options.upstream, st);
    }
}

static int find_position(const void *key, const void *element)
{
    uint32_t position = *(const uint32_t *)key, other = *(const uint32_t *)element;

    return (position > other) - (position < other);
}

static void take_item(struct batch *b, const struct batch_item *item)
{
    struct fetcher *f = b->fetcher;
    const uint32_t *at = NULL;

    if (item->status == ITEM_QUEUED)
        return; /* alive; the silence timer has heard it */
    f->stats.received_bytes += item->size;
    at = bsearch(&item->position, b->positions, b->count, sizeof b->positions[0], find_position);
    if (at == NULL || b->asked[at - b->positions] == NULL) {
        f->stats.repeated++; /* not asked for, or answered before: nobody's */
        return;
    }
    struct want *want = b->asked[at - b->positions];
    b->asked[at - b->positions] = NULL;
    b->answered++;
    f->stats.asked--;
    switch (item->status) {
    case ITEM_HIT: verify(f, want, item); break;
    case ITEM_MISSING:
        f->stats.missing++;
        say_no(f, want, alb_fail(ALB_NOT_FOUND, "the parent lacks the chunk"));
        break;
    case ITEM_FAILED:
        fetcher_add(f, want);
        timer_set_in(&f->soon, AGAIN_NS);
        break;
    case ITEM_QUEUED: break;
    }
}

static void batch_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct batch *b = arg;
    struct fetcher *f = b->fetcher;
    bool is_refused = !alb_failed(st) && b->status != 200;

    (void)c;
    b->call = NULL;
    for (size_t i = 0; i < b->count; i++) {
        struct want *want = b->asked[i];
        if (want == NULL)
            continue;
        f->stats.asked--;
        b->asked[i] = NULL;
        if (is_refused && b->status >= 400 && b->status < 500 && b->status != 429)
            say_no(f, want, alb_fail(ALB_NOT_FOUND, "the parent does not serve this version"));
        else
            fetcher_add(f, want);
    }
    if (is_refused || b->answered == 0)
        timer_set_in(&f->soon, AGAIN_NS);
    finish_batch(b);
}

static void finish_batch(struct batch *b)
{
    struct fetcher *f = b->fetcher;

    timer_stop(&b->silence);
    TAILQ_REMOVE(&f->batches, b, link);
    f->batch_count--;
    f->outstanding_bytes -= b->expect_bytes;
    buf_release(&b->in);
    loop_bury(f->options.loop, free, b);
    if (!timer_is_set(&f->soon))
        timer_set_in(&f->soon, 0);
}

/* ---- VERIFY --------------------------------------------------------------------------------------- */

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
    check->job = (struct job){.run = check_run, .done = check_done, .work_bytes = item->size};
    TAILQ_INSERT_TAIL(&f->checks, check, link);
    loop_submit(f->options.loop, &check->job);
}

static void check_run(struct job *job)
{
    struct check *check = ALB_CONTAINER(job, struct check, job);
    struct codec *codec = codec_new();

    check->st =
        codec_verify(codec, &check->chunk->key, check->chunk->bytes, check->chunk->size, NULL);
    codec_free(codec);
}

static void check_done(struct job *job)
{
    struct check *check = ALB_CONTAINER(job, struct check, job);
    struct fetcher *f = check->fetcher;
    char hex[DIGEST_HEX_SIZE];

    if (f != NULL) {
        struct want *want = check->want;
        TAILQ_REMOVE(&f->checks, check, link);
        if (!alb_failed(check->st)) {
            f->stats.items++;
            f->stats.stored_bytes += check->chunk->size;
            f->options.done(f->options.arg, want, ALB_STATUS_OK, check->chunk);
        } else {
            f->stats.corrupt++;
            log_status(LOG_WARN, "fetch.bad_chunk", check->st, "chunk=%s layer=%s",
                       digest_hex(&want->key.digest, hex), want->where.layer);
            if (++want->tries < CORRUPT_TRIES)
                fetcher_add(f, want);
            else
                say_no(f, want, alb_fail(ALB_CORRUPT, "the parent keeps sending a bad chunk"));
        }
    }
    chunk_unref(check->chunk);
    free(check);
}

/* This place said no; another waiter may know a better one. */
static void say_no(struct fetcher *f, struct want *want, struct alb_status st)
{
    if (want_table_next_place(want))
        fetcher_add(f, want);
    else
        f->options.done(f->options.arg, want, st, NULL);
}

void fetcher_stats(const struct fetcher *f, struct fetcher_stats *out)
{
    *out = f->stats;
}
