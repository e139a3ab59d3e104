/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_batch.c – a batch of chunks: asked for by position, answered item by item.
 *
 *     entitled? → OPEN the root → ASK the supply for every position → items leave as they come
 *
 * Hits leave first.  An item, once begun, is finished before another batch of the same connection
 * begins one (the *lane*), so that a cut costs at most one chunk.  A batch holds at most HOLD_BYTES
 * of chunks that are ready but not sent, a lane LANE_BYTES; what comes beyond is let go and asked
 * again, from memory or the store, when its turn comes: a slow reader costs bounded memory, and all
 * of them together SERVE_HELD_MAX and a chunk for each connection.  While something is still
 * awaited a "queued" item says so at least every 5 s.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/branches.h"
#include "transfer/serve_impl.h"
#include "transfer/sibling.h"
#include "wire/batch.h"

enum { HOLD_BYTES = 1 << 20, LANE_BYTES = 4 << 20 };
#define QUEUED_EVERY_NS (4 * NS_PER_S)
/* Well before a sibling takes us for dead (sibling.h). */
#define QUEUED_HELD_NS (SIBLING_LATE_NS / 6)

enum spot_state {
    SPOT_ASKED,  /* the supply will tell            */
    SPOT_READY,  /* chunk held, waits to be sent    */
    SPOT_LATER,  /* was here, let go; ask again     */
    SPOT_ABSENT, /* a "missing" or "failed" to send */
    SPOT_SENT,
};

struct batch_answer;

struct spot { /* one position asked for */
    struct waiter waiter;
    struct batch_answer *batch;
    struct chunk_key key;
    enum spot_state state;
    enum item_status outcome;
    TAILQ_ENTRY(spot) link; /* in `ready` or `later` */
};
TAILQ_HEAD(spots, spot);

struct batch_lane {
    struct batch_answer *speaking; /* in the middle of an item */
    size_t held_bytes;
    TAILQ_HEAD(, batch_answer) all; /* the oldest first */
    TAILQ_HEAD(, batch_answer) stalled;
};

struct batch_answer {
    struct serve_request *rq;
    struct serve *serve;
    struct batch_lane *lane;
    struct batch_request request;
    bool only_held;
    uint64_t left_bytes; /* as the asker says it lacks; 0: it does not say */
    struct root_wait root_wait;
    bool waits_root; /* even the root object is served only when its record vouches for it */
    const struct root_view *view;
    struct spot *spots;
    size_t count, open; /* open: not yet sent */
    struct spots ready, later;
    size_t held_bytes;
    struct buf head;    /* of the item being sent */
    struct chunk *body; /* of the item being sent */
    size_t body_sent;
    bool is_stalled, wants_queued;
    struct timer queued;
    TAILQ_ENTRY(batch_answer) link; /* in lane->stalled */
    TAILQ_ENTRY(batch_answer) in_lane;
};

static void root_opened(struct root_wait *w, struct alb_status st, const struct root_view *view);
static void ask_all(struct batch_answer *b);
static void spot_told(struct waiter *w, struct alb_status st, struct chunk *chunk);
void serve_lane_resume(struct serve_session *session)
{
    struct batch_answer *b;

    if (session->lane == NULL)
        return;
    TAILQ_FOREACH(b, &session->lane->all, in_lane)
    if (!b->is_stalled && b->rq->x != NULL)
        http_exchange_resume(b->rq->x);
}

static size_t pull_items(void *arg, uint8_t *out, size_t size, bool *ended);
static bool next_item(struct batch_answer *b);
static void batch_gone(struct serve_request *rq);
static void leave_lane(struct batch_answer *b);
static void say_queued(void *arg);

static struct batch_lane *lane_of(struct serve_session *session)
{
    if (session->lane == NULL) {
        session->lane = xalloc(sizeof *session->lane);
        TAILQ_INIT(&session->lane->stalled);
        TAILQ_INIT(&session->lane->all);
    }
    return session->lane;
}

void serve_lane_release(struct serve_session *session)
{
    free(session->lane);
    session->lane = NULL;
}

/* Each position asked for costs four hundred bytes until it is sent. */
static bool are_too_many(const struct serve *s, const struct serve_session *session, size_t more)
{
    return session->spots > 0 && (session->spots + more > SERVE_SESSION_SPOTS_MAX ||
                                  s->stats.spots + more > SERVE_SPOTS_MAX);
}

static void enter_lane(struct batch_answer *b)
{
    b->count = b->open = batch_request_items(&b->request);
    b->serve->stats.spots += b->count;
    b->rq->session->spots += b->count;
    b->lane = lane_of(b->rq->session);
    TAILQ_INSERT_TAIL(&b->lane->all, b, in_lane);
}

/* A sibling asks: nothing is fetched for it. */
static bool is_only_held(const struct serve_request *rq)
{
    return http_exchange_header(rq->x, HELD_HEADER) != NULL;
}

/* False: it was refused. */
static bool may_ask(struct serve *s, struct serve_request *rq, struct batch_request *request)
{
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);

    if (alb_failed(batch_request_decode(body, size, request))) {
        serve_refuse_status(rq, alb_fail(ALB_INVALID, "the batch request does not parse"));
        return false;
    }
    if (!serve_may_read(rq, request->layer)) {
        serve_refuse(rq, ALB_NOT_FOUND, "no such version for this device");
        return false;
    }
    /* Opening a root may ask the parent. */
    if (is_only_held(rq) && !root_book_is_open(s->options.roots, request->layer, &request->root)) {
        serve_refuse(rq, ALB_NOT_FOUND, "nothing of this version is in use here");
        return false;
    }
    if (are_too_many(s, rq->session, batch_request_items(request))) {
        serve_refuse(rq, ALB_TIMEOUT, "read the batches that wait for you, then ask again");
        return false;
    }
    return serve_miss_begin(rq);
}

/* Believed no further than the version is large, once that is known. */
static uint64_t left_of(const struct serve_request *rq)
{
    const char *said = http_exchange_header(rq->x, LEFT_HEADER);
    uint64_t bytes = 0;

    return said != NULL && !alb_failed(parse_u64(said, UINT64_MAX, &bytes)) ? bytes : 0;
}

static void tell_left(const struct batch_answer *b)
{
    const uint64_t most = b->view->root.content_bytes;

    if (b->left_bytes > 0)
        supply_tell_left(b->serve->options.supply, b->request.layer,
                         b->left_bytes < most ? b->left_bytes : most);
}

void serve_handle_chunks(void *arg, struct serve_request *rq)
{
    struct serve *s = arg;
    struct batch_answer *b = xalloc(sizeof *b);

    if (!may_ask(s, rq, &b->request)) {
        free(b);
        return;
    }
    b->rq = rq;
    b->serve = s;
    b->left_bytes = left_of(rq);
    b->only_held = is_only_held(rq);
    enter_lane(b);
    TAILQ_INIT(&b->ready);
    TAILQ_INIT(&b->later);
    buf_init(&b->head, 64);
    timer_init(&b->queued, s->options.loop, say_queued, b);
    rq->work = b;
    rq->gone = batch_gone;
    b->root_wait.done = root_opened;
    b->waits_root = true;
    /* It is the server's end that sends the bulk of a data connection. */
    stream_mark_bulk(http_session_stream(rq->session->http));
    serve_stamp_begin(rq->session);
    /* The head goes out now, "queued" follows while the root is being opened: slow is not dead. */
    serve_answer_stream(rq, "application/x-albedo-batch",
                        &(struct http_source){.pull = pull_items, .arg = b});
    timer_set_in(&b->queued, b->only_held ? QUEUED_HELD_NS : QUEUED_EVERY_NS);
    root_book_open(s->options.roots, b->request.layer, &b->request.root, &b->root_wait);
}

/* ---- ASK ------------------------------------------------------------------------------------ */

/* A version that does not fit together will not, however often one asks. */
static bool is_for_good(enum alb_code code)
{
    return code == ALB_NOT_FOUND || code == ALB_CORRUPT || code == ALB_INVALID;
}

static void root_opened(struct root_wait *w, struct alb_status st, const struct root_view *view)
{
    struct batch_answer *b = ALB_CONTAINER(w, struct batch_answer, root_wait);

    b->waits_root = false;
    serve_miss_end(b->rq->session, st);
    b->view = view;
    if (!alb_failed(st))
        tell_left(b);
    b->spots = xcalloc(b->count, sizeof *b->spots);
    ask_all(b);
    for (size_t i = 0; alb_failed(st) && i < b->count; i++)
        b->spots[i].outcome = is_for_good(st.code) ? ITEM_MISSING : ITEM_FAILED;
    http_exchange_resume(b->rq->x);
}

static void set_absent(struct spot *spot, enum item_status outcome)
{
    spot->state = SPOT_ABSENT;
    spot->outcome = outcome;
    TAILQ_INSERT_TAIL(&spot->batch->ready, spot, link);
}

/* Two siblings that want the same at the same moment ask each other: it is fetched by the one
 * whose name comes first, and the other waits. */
static enum want_reach reach_of(const struct batch_answer *b)
{
    const char *us = b->serve->options.device;

    if (!b->only_held)
        return REACH_PARENT;
    return us != NULL && strcmp(us, b->rq->session->who.device) < 0 ? REACH_COMING : REACH_HELD;
}

static void ask_spot(struct spot *spot)
{
    spot->state = SPOT_ASKED;
    spot->waiter.done = spot_told;
    spot->waiter.reach = reach_of(spot->batch);
    supply_ask(spot->batch->serve->options.supply, &spot->key, &spot->waiter);
}

static void ask_all(struct batch_answer *b)
{
    size_t n = 0;

    for (size_t r = 0; r < b->request.run_count; r++) {
        for (uint32_t i = 0; i < b->request.runs[r].count; i++) {
            struct spot *spot = &b->spots[n++];
            uint32_t position = b->request.runs[r].first + i;
            spot->batch = b;
            spot->waiter.where.position = position;
            if (b->view != NULL &&
                root_view_key(b->view, b->request.list, position, &spot->key, &spot->waiter.where))
                ask_spot(spot);
            else
                set_absent(spot, ITEM_MISSING);
        }
    }
}

/* Of a lane that holds nothing one chunk is taken in any case: that is how it gets on. */
static bool is_too_much(const struct batch_answer *b, size_t more)
{
    return b->lane->held_bytes > 0 && ((b->held_bytes > 0 && b->held_bytes + more > HOLD_BYTES) ||
                                       b->lane->held_bytes + more > LANE_BYTES ||
                                       b->serve->stats.held_bytes + more > SERVE_HELD_MAX);
}

static void hold(struct batch_answer *b, struct spot *spot, struct chunk *chunk)
{
    spot->waiter.chunk = chunk_ref(chunk);
    b->held_bytes += chunk->size;
    b->lane->held_bytes += chunk->size;
    b->serve->stats.held_bytes += chunk->size;
}

static struct chunk *let_go(struct batch_answer *b, struct spot *spot)
{
    b->held_bytes -= spot->waiter.chunk->size;
    b->lane->held_bytes -= spot->waiter.chunk->size;
    b->serve->stats.held_bytes -= spot->waiter.chunk->size;
    return take_ptr(&spot->waiter.chunk);
}

static void spot_told(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct spot *spot = ALB_CONTAINER(w, struct spot, waiter);
    struct batch_answer *b = spot->batch;

    if (alb_failed(st)) {
        set_absent(spot, st.code == ALB_NOT_FOUND ? ITEM_MISSING : ITEM_FAILED);
    } else if (is_too_much(b, chunk->size)) {
        spot->state = SPOT_LATER;
        TAILQ_INSERT_TAIL(&b->later, spot, link);
    } else {
        spot->state = SPOT_READY;
        hold(b, spot, chunk);
        TAILQ_INSERT_TAIL(&b->ready, spot, link);
    }
    http_exchange_resume(b->rq->x);
}

/* ---- SEND ----------------------------------------------------------------------------------- */

static void begin_item(struct batch_answer *b, const struct batch_item *item)
{
    struct alb_status st;

    buf_clear(&b->head);
    st = batch_item_head(item, &b->head);
    alb_assert(!alb_failed(st)); /* the limit of `head` covers every head */
    b->lane->speaking = b;
}

/* Take what is ready into `head` and `body`; false when there is nothing to say now. */
static bool next_item(struct batch_answer *b)
{
    /* What the policy holds back is as if it were not here yet: "queued" says so. */
    struct spot *spot =
        branch_is_off(b->rq->session->member, b->request.layer) ? NULL : TAILQ_FIRST(&b->ready);
    struct batch_item item = {.status = ITEM_QUEUED};

    if (spot == NULL) {
        if (!b->wants_queued)
            return false;
        b->wants_queued = false;
        supply_queue(b->serve->options.supply, &item.line, &item.rate_bps);
        begin_item(b, &item);
        return true;
    }
    TAILQ_REMOVE(&b->ready, spot, link);
    item.position = spot->waiter.where.position;
    item.status = spot->state == SPOT_READY ? ITEM_HIT : spot->outcome;
    if (spot->state == SPOT_READY) {
        b->body = let_go(b, spot);
        item.size = b->body->size;
        b->serve->stats.items_sent++;
        b->serve->stats.item_bytes_sent += b->body->size;
    }
    b->body_sent = 0;
    spot->state = SPOT_SENT;
    b->open--;
    begin_item(b, &item);
    return true;
}

static size_t copy_item(struct batch_answer *b, uint8_t *out, size_t size)
{
    size_t n = buf_size(&b->head) < size ? buf_size(&b->head) : size, more = 0;

    memcpy(out, buf_peek(&b->head), n);
    buf_consume(&b->head, n);
    if (b->body != NULL && buf_size(&b->head) == 0) {
        more = b->body->size - b->body_sent;
        more = more < size - n ? more : size - n;
        memcpy(out + n, b->body->bytes + b->body_sent, more);
        b->body_sent += more;
    }
    return n + more;
}

static bool item_is_over(const struct batch_answer *b)
{
    return buf_size(&b->head) == 0 && (b->body == NULL || b->body_sent == b->body->size);
}

static struct batch_answer *first_with_later(const struct batch_lane *lane)
{
    struct batch_answer *b;

    if (lane->held_bytes >= LANE_BYTES / 2)
        return NULL;
    TAILQ_FOREACH(b, &lane->all, in_lane)
    {
        if (b->held_bytes < HOLD_BYTES / 2 && !TAILQ_EMPTY(&b->later))
            return b;
    }
    return NULL;
}

/* One at a time, since its size is known only when it is here.  The oldest batch first: in turn,
 * all would end together, and whoever asks for the next one at each end would have none under way
 * for a round trip. */
static void ask_later_ones(struct batch_lane *lane)
{
    struct batch_answer *b = first_with_later(lane);

    if (b == NULL)
        return;
    struct spot *spot = TAILQ_FIRST(&b->later);
    TAILQ_REMOVE(&b->later, spot, link);
    ask_spot(spot);
}

static void end_item(struct batch_answer *b)
{
    b->body = chunk_unref(b->body);
    leave_lane(b);
    ask_later_ones(b->lane);
}

static void leave_lane(struct batch_answer *b)
{
    if (b->is_stalled)
        TAILQ_REMOVE(&b->lane->stalled, b, link);
    b->is_stalled = false;
    if (b->lane->speaking == b)
        b->lane->speaking = NULL;
}

/* Let the others of this connection speak: all of them, since the first may be unable to just
 * now. */
static void offer_lane(struct batch_lane *lane)
{
    struct batch_answer *b;

    while (lane->speaking == NULL && (b = TAILQ_FIRST(&lane->stalled)) != NULL) {
        TAILQ_REMOVE(&lane->stalled, b, link);
        b->is_stalled = false;
        http_exchange_resume(b->rq->x);
    }
}

static size_t pull_items(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct batch_answer *b = arg;
    size_t n = 0;
    bool is_mute = false;

    while (n < size) {
        if (b->lane->speaking != NULL && b->lane->speaking != b) {
            if (!b->is_stalled)
                TAILQ_INSERT_TAIL(&b->lane->stalled, b, link);
            b->is_stalled = true;
            break;
        }
        is_mute = b->lane->speaking == NULL && !next_item(b);
        if (is_mute)
            break;
        n += copy_item(b, out + n, size - n);
        if (item_is_over(b))
            end_item(b);
    }
    offer_lane(b->lane);
    *ended = !b->waits_root && b->open == 0 && b->lane->speaking != b && buf_size(&b->head) == 0;
    if (n > 0 || (is_mute && !*ended && b->lane->held_bytes == 0))
        serve_stamp_note(b->rq->session, n > 0);
    return n;
}

static void say_queued(void *arg)
{
    struct batch_answer *b = arg;

    if (b->waits_root || b->open > 0) {
        b->wants_queued = true;
        http_exchange_resume(b->rq->x);
        timer_set_in(&b->queued, QUEUED_EVERY_NS);
    }
}

/* ---- over, well or badly -------------------------------------------------------------------- */

static void release_spot(struct batch_answer *b, struct spot *spot)
{
    switch (spot->state) {
    case SPOT_ASKED: supply_leave(b->serve->options.supply, &spot->waiter); break;
    case SPOT_READY: chunk_unref(let_go(b, spot)); break;
    case SPOT_LATER:
    case SPOT_ABSENT:
    case SPOT_SENT: break;
    }
}

static void batch_gone(struct serve_request *rq)
{
    struct batch_answer *b = rq->work;

    timer_stop(&b->queued);
    if (b->waits_root)
        root_book_leave(b->serve->options.roots, &b->root_wait);
    for (size_t i = 0; b->spots != NULL && i < b->count; i++)
        release_spot(b, &b->spots[i]);
    if (b->view != NULL)
        root_book_close_view(b->serve->options.roots, b->view);
    chunk_unref(b->body);
    leave_lane(b);
    TAILQ_REMOVE(&b->lane->all, b, in_lane);
    b->rq->session->spots -= b->count;
    b->serve->stats.spots -= b->count;
    ask_later_ones(b->lane);
    offer_lane(b->lane);
    buf_release(&b->head);
    free(b->spots);
    loop_bury(b->serve->options.loop, free, b);
}
