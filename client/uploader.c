/* SPDX-License-Identifier: Apache-2.0 */
/* client/uploader.c – OPEN → SEND → COMMIT; readers fill a body, full bodies leave.
 *
 * Each opening begins a new turn: what is read for an older one is dropped.
 */
#include "client/uploader.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "wire/batch.h"
#include "wire/signed.h"

enum { READERS_DEFAULT = 2, BODIES_DEFAULT = 3, HELPERS_MAX = 16, OPEN_MAX = 64 << 20 };
enum { VAIN_OPENINGS_MOST = 5 }; /* in a row, nothing having been sent in between */
#define BODY_TIMEOUT_NS (10 * 60 * NS_PER_S)
/* What is cut off is sent again whole, and a hub takes no body that comes slower than 4 KiB/s: on a
 * line that gives way to others bodies are small. */
enum { BODY_FIRST = 1 << 20, BODY_LEAST = 64 << 10 };
#define BODY_SOON_NS (5 * NS_PER_S)
#define BODY_LATE_NS (20 * NS_PER_S)

struct reader { /* one position being read and compressed on a worker */
    struct job job;
    struct uploader *uploader; /* NULL once it is gone */
    struct upload_source source;
    void *helper;
    uint32_t position;
    unsigned turn;
    struct chunk *chunk;
    struct alb_status st;
};

struct body { /* items on their way */
    struct uploader *uploader;
    struct upstream_request *request;
    struct buf items;
    size_t count;
    uint64_t stored_bytes, raw_bytes, sent_ns;
    TAILQ_ENTRY(body) link;
};
TAILQ_HEAD(bodies, body);

struct uploader {
    struct uploader_options options;
    char *layer, id[40];
    struct buf record;
    struct upstream_request *request; /* OPEN or COMMIT */
    struct upload_answer lacking;
    size_t run, in_run; /* the next position to read */
    struct reader *readers[HELPERS_MAX];
    void *helpers[HELPERS_MAX]; /* idle ones; NULL where in use or not made */
    unsigned reading;
    struct body *filling;
    struct bodies bodies; /* sent, not yet answered */
    struct bodies idle;   /* answered: their room is used again */
    unsigned body_count;
    size_t body_most_bytes;
    unsigned turn, vain_openings;
    bool is_open, is_over;
    struct alb_status st;
    char message[512];
    struct uploader_progress progress;
    struct timer end_timer;
};

static void open_upload(struct uploader *u);
static void open_again(struct uploader *u, const struct upstream_answer *answer);
static void opened(void *arg, const struct upstream_answer *answer);
static void read_more(struct uploader *u);
static void reader_run(struct job *job);
static void reader_done(struct job *job);
static void send_body(struct uploader *u);
static void body_answered(void *arg, const struct upstream_answer *answer);
static void commit(struct uploader *u);
static void committed(void *arg, const struct upstream_answer *answer);
static void finish(struct uploader *u, struct alb_status st, const char *message);
static void tell_end(void *arg);

struct uploader *uploader_start(const struct uploader_options *options)
{
    struct uploader *u = xalloc(sizeof *u);

    u->options = *options;
    u->layer = xstrdup(options->layer);
    if (u->options.readers == 0)
        u->options.readers = READERS_DEFAULT;
    if (u->options.readers > HELPERS_MAX)
        u->options.readers = HELPERS_MAX;
    if (u->options.max_bodies == 0)
        u->options.max_bodies = BODIES_DEFAULT;
    u->body_most_bytes = BODY_FIRST;
    buf_init(&u->record, SIGNED_MAX);
    alb_ignore(buf_append(&u->record, options->record, options->record_size),
               "signed_seal() bounded it");
    TAILQ_INIT(&u->bodies);
    TAILQ_INIT(&u->idle);
    timer_init(&u->end_timer, options->loop, tell_end, u);
    open_upload(u);
    return u;
}

static struct body *take_body(struct uploader *u)
{
    struct body *b = TAILQ_FIRST(&u->idle);

    if (b != NULL) {
        TAILQ_REMOVE(&u->idle, b, link);
        return b;
    }
    b = xalloc(sizeof *b);
    b->uploader = u;
    buf_init(&b->items, BATCH_BYTES_MAX + (1 << 20));
    return b;
}

static void retire_body(struct body *b)
{
    upstream_cancel(b->request);
    b->request = NULL;
    buf_clear(&b->items);
    b->count = 0;
    b->stored_bytes = b->raw_bytes = 0;
    TAILQ_INSERT_HEAD(&b->uploader->idle, b, link);
}

static void free_idle(struct uploader *u)
{
    struct body *b;

    while ((b = TAILQ_FIRST(&u->idle)) != NULL) {
        TAILQ_REMOVE(&u->idle, b, link);
        buf_release(&b->items);
        free(b);
    }
}

/* What was asked of the hub is asked no more. */
static void cancel_requests(struct uploader *u)
{
    upstream_cancel(u->request);
    u->request = NULL;
    while (!TAILQ_EMPTY(&u->bodies)) {
        struct body *b = TAILQ_FIRST(&u->bodies);
        TAILQ_REMOVE(&u->bodies, b, link);
        retire_body(b);
    }
    u->body_count = 0;
    if (u->filling != NULL)
        retire_body(u->filling);
    u->filling = NULL;
}

struct uploader *uploader_free(struct uploader *u)
{
    if (u == NULL)
        return NULL;
    timer_stop(&u->end_timer);
    cancel_requests(u);
    free_idle(u);
    for (unsigned i = 0; i < u->options.readers; i++) {
        if (u->readers[i] != NULL)
            u->readers[i]->uploader = NULL; /* frees its helper itself */
        if (u->helpers[i] != NULL)
            u->options.source.helper_free(u->helpers[i]);
    }
    upload_answer_release(&u->lacking);
    buf_release(&u->record);
    free(u->layer);
    loop_bury(u->options.loop, free, u);
    return NULL;
}

/* ---- OPEN ------------------------------------------------------------------------------------ */

static struct alb_status pack_manifest(const struct uploader *u, struct buf *items)
{
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < u->options.manifest_chunk_count && !alb_failed(st); i++) {
        const struct chunk *chunk = u->options.manifest_chunks[i];
        const struct batch_item item = {
            .status = ITEM_HIT, .position = (uint32_t)i, .size = chunk->size};
        st = batch_item_head(&item, items);
        if (!alb_failed(st))
            st = buf_append(items, chunk->bytes, chunk->size);
    }
    return st;
}

static void open_upload(struct uploader *u)
{
    struct buf items, body;
    struct upload_open open = {.root = u->options.root_object,
                               .root_size = u->options.root_object_size};

    u->is_open = false;
    u->turn++;
    u->progress.openings++;
    buf_init(&items, OPEN_MAX);
    buf_init(&body, OPEN_MAX);
    snprintf(open.layer, sizeof open.layer, "%s", u->layer);
    struct alb_status st = pack_manifest(u, &items);
    open.items = buf_peek(&items);
    open.items_size = buf_size(&items);
    if (!alb_failed(st))
        st = upload_open_encode(&open, &body);
    if (alb_failed(st)) {
        finish(u, st, "the manifest is too large to be sent in one piece");
    } else {
        const struct upstream_ask ask = {.method = "POST",
                                         .path = "/v1/upload",
                                         .body = buf_peek(&body),
                                         .body_size = buf_size(&body),
                                         .expect_bytes =
                                             64 + 10 * (u->options.content_chunk_count + 1),
                                         .is_bulk = true,
                                         .timeout_ns = BODY_TIMEOUT_NS};
        u->request = upstream_request(u->options.upstream, &ask, opened, u);
    }
    buf_release(&items);
    buf_release(&body);
}

/* It may be that the hub was started anew, or that the upload lapsed:
 * the chunks are there still. */
static void open_again(struct uploader *u, const struct upstream_answer *answer)
{
    if (++u->vain_openings > VAIN_OPENINGS_MOST) {
        finish(u, answer->st, answer->message);
        return;
    }
    log_event(LOG_INFO, "upload.open_again", "layer=%s sent=%zu", u->layer, u->progress.sent);
    cancel_requests(u);
    upload_answer_release(&u->lacking);
    u->lacking.run_count = u->run = u->in_run = 0;
    u->progress.is_committing = false;
    open_upload(u);
}

static void count_lacking(struct uploader *u)
{
    const struct upload_source *source = &u->options.source;

    u->progress.lacking = u->progress.sent;
    u->progress.lacking_raw_bytes = u->progress.sent_raw_bytes;
    for (size_t i = 0; i < u->lacking.run_count; i++) {
        const struct batch_run *run = &u->lacking.runs[i];
        u->progress.lacking += run->count;
        for (uint32_t n = 0; n < run->count; n++)
            u->progress.lacking_raw_bytes += source->raw_size(source->arg, run->first + n);
    }
}

static void opened(void *arg, const struct upstream_answer *answer)
{
    struct uploader *u = arg;
    struct alb_status st = answer->st;

    u->request = NULL;
    if (!alb_failed(st))
        st = upload_answer_decode(answer->body, answer->size,
                                  (uint32_t)u->options.content_chunk_count, &u->lacking);
    if (alb_failed(st)) {
        finish(u, st, answer->message);
        return;
    }
    snprintf(u->id, sizeof u->id, "%s", u->lacking.id);
    u->is_open = true;
    count_lacking(u);
    read_more(u);
}

/* ---- SEND ------------------------------------------------------------------------------------ */

static bool next_position(struct uploader *u, uint32_t *position)
{
    while (u->run < u->lacking.run_count && u->in_run == u->lacking.runs[u->run].count) {
        u->run++;
        u->in_run = 0;
    }
    if (u->run == u->lacking.run_count)
        return false;
    *position = u->lacking.runs[u->run].first + (uint32_t)u->in_run++;
    return true;
}

static void start_reader(struct uploader *u, unsigned place, uint32_t position)
{
    struct reader *r = xalloc(sizeof *r);

    r->uploader = u;
    r->source = u->options.source;
    r->helper =
        u->helpers[place] != NULL ? take_ptr(&u->helpers[place]) : u->options.source.helper_new();
    r->position = position;
    r->turn = u->turn;
    r->job = (struct job){.run = reader_run, .done = reader_done, .work_bytes = 256 << 10};
    u->readers[place] = r;
    u->reading++;
    loop_submit(u->options.loop, &r->job);
}

static void read_more(struct uploader *u)
{
    uint32_t position = 0;

    for (unsigned i = 0; i < u->options.readers; i++) {
        if (u->is_over || u->body_count >= u->options.max_bodies)
            return; /* the line is behind: reading ahead would only pile up */
        if (u->readers[i] == NULL && next_position(u, &position))
            start_reader(u, i, position);
    }
    if (u->reading > 0)
        return;
    if (u->filling != NULL)
        send_body(u);
    else if (u->body_count == 0)
        commit(u);
}

static void reader_run(struct job *job)
{
    struct reader *r = ALB_CONTAINER(job, struct reader, job);

    r->st = r->source.read(r->source.arg, r->helper, r->position, &r->chunk);
}

static struct alb_status add_item(struct uploader *u, const struct reader *r)
{
    const struct batch_item item = {
        .status = ITEM_HIT, .position = r->position, .size = r->chunk->size};

    if (u->filling != NULL &&
        (u->filling->count == BATCH_ITEMS_MAX ||
         buf_size(&u->filling->items) + r->chunk->size + BATCH_ITEM_OVERHEAD > u->body_most_bytes))
        send_body(u);
    if (u->filling == NULL)
        u->filling = take_body(u);
    struct alb_status st = batch_item_head(&item, &u->filling->items);
    if (!alb_failed(st))
        st = buf_append(&u->filling->items, r->chunk->bytes, r->chunk->size);
    u->filling->count++;
    u->filling->stored_bytes += r->chunk->size;
    u->filling->raw_bytes += u->options.source.raw_size(u->options.source.arg, r->position);
    return st;
}

static void reader_done(struct job *job)
{
    struct reader *r = ALB_CONTAINER(job, struct reader, job);
    struct uploader *u = r->uploader;
    struct alb_status st = r->st;

    if (u == NULL) {
        r->source.helper_free(r->helper);
    } else {
        for (unsigned i = 0; i < u->options.readers; i++) {
            if (u->readers[i] == r) {
                u->readers[i] = NULL;
                u->helpers[i] = r->helper;
            }
        }
        u->reading--;
        if (!alb_failed(st) && !u->is_over && r->turn == u->turn)
            st = add_item(u, r);
        if (alb_failed(st))
            finish(u, st, "");
        else if (u->is_open)
            read_more(u);
        if (u->is_over)
            timer_set_in(&u->end_timer, 0);
    }
    chunk_unref(r->chunk);
    free(r);
}

static void send_body(struct uploader *u)
{
    struct body *b = take_ptr(&u->filling);
    char path[64];
    const struct upstream_ask ask = {.method = "POST",
                                     .path = path,
                                     .body = buf_peek(&b->items),
                                     .body_size = buf_size(&b->items),
                                     .body_stays = true,
                                     .is_bulk = true,
                                     .expect_bytes = 4096,
                                     .timeout_ns = BODY_TIMEOUT_NS};

    snprintf(path, sizeof path, "/v1/upload-put/%s", u->id);
    TAILQ_INSERT_TAIL(&u->bodies, b, link);
    u->body_count++;
    b->sent_ns = loop_now_ns(u->options.loop);
    b->request = upstream_request(u->options.upstream, &ask, body_answered, b);
}

static void adapt_to_line(struct uploader *u, const struct body *b)
{
    const uint64_t took_ns = loop_now_ns(u->options.loop) - b->sent_ns;

    if (took_ns < BODY_SOON_NS && u->body_most_bytes < BATCH_BYTES_MAX)
        u->body_most_bytes *= 2;
    else if (took_ns > BODY_LATE_NS && u->body_most_bytes > BODY_LEAST)
        u->body_most_bytes /= 2;
}

static void body_answered(void *arg, const struct upstream_answer *answer)
{
    struct body *b = arg;
    struct uploader *u = b->uploader;

    b->request = NULL;
    TAILQ_REMOVE(&u->bodies, b, link);
    u->body_count--;
    if (answer->st.code == ALB_NOT_FOUND && !u->is_over) {
        open_again(u, answer);
    } else if (alb_failed(answer->st)) {
        finish(u, answer->st, answer->message);
    } else {
        u->progress.sent += b->count;
        u->progress.sent_bytes += b->stored_bytes;
        u->progress.sent_raw_bytes += b->raw_bytes;
        u->vain_openings = 0;
        adapt_to_line(u, b);
        read_more(u);
    }
    retire_body(b);
}

/* ---- COMMIT ---------------------------------------------------------------------------------- */

static void commit(struct uploader *u)
{
    char path[80];
    const struct upstream_ask ask = {.method = "POST",
                                     .path = path,
                                     .body = buf_peek(&u->record),
                                     .body_size = buf_size(&u->record),
                                     .expect_bytes = 4096,
                                     .timeout_ns = BODY_TIMEOUT_NS};

    if (u->request != NULL || u->is_over)
        return;
    u->progress.is_committing = true;
    snprintf(path, sizeof path, "/v1/upload-end/%s%s", u->id, u->options.hold ? "?hold=1" : "");
    u->request = upstream_request(u->options.upstream, &ask, committed, u);
}

static void committed(void *arg, const struct upstream_answer *answer)
{
    struct uploader *u = arg;

    u->request = NULL;
    if (answer->st.code == ALB_NOT_FOUND && !u->is_over)
        open_again(u, answer);
    else
        finish(u, answer->st, answer->message);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void finish(struct uploader *u, struct alb_status st, const char *message)
{
    if (u->is_over)
        return;
    u->is_over = true;
    u->st = st;
    snprintf(u->message, sizeof u->message, "%s", message);
    timer_set_in(&u->end_timer, 0);
}

static void tell_end(void *arg)
{
    struct uploader *u = arg;

    cancel_requests(u);
    if (u->reading == 0)
        u->options.done(u->options.arg, u->st, u->message);
}

void uploader_give_up(struct uploader *u)
{
    finish(u, alb_fail(ALB_CLOSED, "given up"), "");
}

void uploader_progress(const struct uploader *u, struct uploader_progress *out)
{
    *out = u->progress;
}
