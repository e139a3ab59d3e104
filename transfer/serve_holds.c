/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_holds.c – POST /v1/holds: which positions of a list are held here, and above.
 *
 *     entitled? → OPEN the root → LOOK in the store (worker) → ASK the parent the same → answered
 *
 * For people who ask why (`albedo explain`).  The request is a batch's, so that a chunk is named by
 * a version that names it and never by its digest alone: whoever may not read the version hears
 * what everybody hears about a version that does not exist.  Nothing is fetched for the answer but
 * what opening the root needs, and a device has a few of these questions under way at most: each
 * may be one to the parent, and is disk and processor here.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "chunk/codec.h"
#include "transfer/serve_impl.h"
#include "wire/batch.h"
#include "wire/json.h"

/* With ?read=1 the bytes are read and checked: at most a batch's worth of disk and processor. */
enum { READ_MOST = 16, ANSWER_MOST = 1 << 20 };
#define PARENT_TIMEOUT_NS (10 * NS_PER_S)

enum held_state { HELD_NOT, HELD_YES, HELD_DAMAGED, HELD_UNREADABLE };

static const char *const state_names[] = {
    [HELD_NOT] = "absent",
    [HELD_YES] = "held",
    [HELD_DAMAGED] = "damaged",
    [HELD_UNREADABLE] = "unreadable",
};

struct held { /* one position */
    uint32_t position;
    struct chunk_key key;
    enum held_state state;
    size_t stored_bytes; /* known when it was read; else 0 */
};

struct holds {
    struct job job;
    struct serve_request *rq; /* NULL: nobody asks any more, the job frees this */
    struct serve *serve;
    struct chunk_store *store;
    struct batch_request request;
    bool reads, is_looking, waits_root;
    struct root_wait root_wait;
    struct held *items; /* owned */
    size_t count;
    struct alb_status st;
    struct upstream_request *asking;
};

static void opened(struct root_wait *w, struct alb_status st, const struct root_view *view);
static void look_run(struct job *job);
static void look_done(struct job *job);
static void ask_parent(struct holds *h);
static void parent_answered(void *arg, const struct upstream_answer *parent);
static void answer(struct holds *h, const struct upstream_answer *parent);
static void gone(struct serve_request *rq);

static void holds_free(void *holds)
{
    struct holds *h = holds;

    free(h->items);
    free(h);
}

static void end(struct holds *h)
{
    loop_bury(h->serve->options.loop, holds_free, h);
}

static void refuse(struct holds *h, struct alb_status st)
{
    serve_holds_end(h->rq->session, st);
    serve_refuse_status(h->rq, st);
    end(h);
}

static struct alb_status take_request(struct holds *h)
{
    char text[8];
    size_t size = 0;
    const uint8_t *body = serve_body(h->rq, &size);

    h->reads = serve_query(h->rq, "read", text, sizeof text) && strcmp(text, "1") == 0;
    struct alb_status st = batch_request_decode(body, size, &h->request);
    if (alb_failed(st))
        return alb_fail(ALB_INVALID, "the request does not parse: it is that of a batch");
    h->count = batch_request_items(&h->request);
    if (h->reads && h->count > READ_MOST)
        return alb_fail(ALB_INVALID, "at most 16 positions are read for one request");
    return ALB_STATUS_OK;
}

void serve_handle_holds(void *arg, struct serve_request *rq)
{
    struct serve *s = arg;
    struct holds *h = xalloc(sizeof *h);

    h->rq = rq;
    h->serve = s;
    h->store = supply_store(s->options.supply);
    struct alb_status st = take_request(h);
    if (!alb_failed(st) && !serve_may_read(rq, h->request.layer))
        st = alb_fail(ALB_NOT_FOUND, "no such version for this device");
    if (alb_failed(st)) {
        holds_free(h);
        serve_refuse_status(rq, st);
        return;
    }
    if (!serve_holds_begin(rq)) {
        holds_free(h);
        return;
    }
    rq->work = h;
    rq->gone = gone;
    h->root_wait.done = opened;
    h->waits_root = true;
    root_book_open(s->options.roots, h->request.layer, &h->request.root, &h->root_wait);
}

/* ---- LOOK ------------------------------------------------------------------------------------ */

static struct alb_status name_keys(struct holds *h, const struct root_view *view)
{
    struct where where;
    size_t n = 0;

    h->items = xcalloc(h->count + 1, sizeof *h->items);
    for (size_t r = 0; r < h->request.run_count; r++) {
        for (uint32_t i = 0; i < h->request.runs[r].count; i++) {
            struct held *item = &h->items[n++];
            item->position = h->request.runs[r].first + i;
            if (!root_view_key(view, h->request.list, item->position, &item->key, &where))
                return alb_fail(ALB_NOT_FOUND, "the list has no such position");
        }
    }
    return ALB_STATUS_OK;
}

static void opened(struct root_wait *w, struct alb_status st, const struct root_view *view)
{
    struct holds *h = ALB_CONTAINER(w, struct holds, root_wait);

    h->waits_root = false;
    if (!alb_failed(st)) {
        st = name_keys(h, view);
        root_book_close_view(h->serve->options.roots, view);
    } else if (st.code == ALB_NOT_FOUND) {
        st = alb_fail(ALB_NOT_FOUND, "no such version for this device");
    }
    if (alb_failed(st)) {
        refuse(h, st);
        return;
    }
    h->job = (struct job){
        .run = look_run, .done = look_done, .work_bytes = h->count * (h->reads ? 256 << 10 : 64)};
    h->is_looking = true;
    loop_submit(h->serve->options.loop, &h->job);
}

static enum held_state read_one(struct chunk_store *store, struct codec *codec, struct held *item)
{
    struct chunk *chunk;
    struct alb_status st = chunk_store_get(store, &item->key, &chunk);

    if (alb_failed(st) && st.code != ALB_NOT_FOUND)
        return st.code == ALB_CORRUPT ? HELD_DAMAGED : HELD_UNREADABLE;
    if (alb_failed(st))
        return HELD_NOT;
    item->stored_bytes = chunk->size;
    st = codec_verify(codec, &item->key, chunk->bytes, chunk->size, NULL);
    chunk_unref(chunk);
    return alb_failed(st) ? HELD_DAMAGED : HELD_YES;
}

static void read_all(struct holds *h)
{
    struct codec *codec = codec_new();

    for (size_t i = 0; i < h->count; i++)
        h->items[i].state = read_one(h->store, codec, &h->items[i]);
    codec_free(codec);
}

static void look_run(struct job *job)
{
    struct holds *h = ALB_CONTAINER(job, struct holds, job);

    if (h->store == NULL)
        return;
    if (h->reads) {
        read_all(h);
        return;
    }
    for (size_t i = 0; i < h->count && !alb_failed(h->st); i++) {
        bool has = false;
        h->st = chunk_store_exists_many(h->store, &h->items[i].key, 1, &has);
        h->items[i].state = has ? HELD_YES : HELD_NOT;
    }
}

static void look_done(struct job *job)
{
    struct holds *h = ALB_CONTAINER(job, struct holds, job);

    h->is_looking = false;
    if (h->rq == NULL) {
        holds_free(h);
    } else if (alb_failed(h->st)) {
        refuse(h, h->st);
    } else if (h->serve->options.upstream != NULL) {
        ask_parent(h);
    } else {
        answer(h, NULL);
    }
}

/* ---- ASK ------------------------------------------------------------------------------------- */

/* With this program's own grant: what that does not cover it is told does not exist. */
static void ask_parent(struct holds *h)
{
    size_t size = 0;
    const uint8_t *body = serve_body(h->rq, &size);
    const struct upstream_ask ask = {.method = "POST",
                                     .path = h->reads ? "/v1/holds?read=1" : "/v1/holds",
                                     .body = body,
                                     .body_size = size,
                                     .expect_bytes = ANSWER_MOST,
                                     .timeout_ns = PARENT_TIMEOUT_NS,
                                     .fail_when_down = true};

    h->asking = upstream_request(h->serve->options.upstream, &ask, parent_answered, h);
}

static void parent_answered(void *arg, const struct upstream_answer *parent)
{
    struct holds *h = arg;

    h->asking = NULL;
    answer(h, parent);
}

/* ---- ANSWER ---------------------------------------------------------------------------------- */

static void put_item(struct json_writer *w, const struct held *item)
{
    char hex[DIGEST_HEX_SIZE];

    json_object_begin(w, NULL);
    json_number(w, "position", item->position);
    json_text(w, "chunk", digest_hex(&item->key.digest, hex));
    json_text(w, "state", state_names[item->state]);
    if (item->stored_bytes > 0)
        json_number(w, "stored_bytes", item->stored_bytes);
    json_end(w);
}

static void put_parent(struct json_writer *w, const struct upstream_answer *parent)
{
    struct json_doc *doc = NULL;
    struct alb_status st = parent->st;

    if (!alb_failed(st))
        st = json_doc_parse(parent->body, parent->size, &doc);
    if (!alb_failed(st)) {
        json_relay(w, "parent", doc, "");
        json_doc_free(doc);
        return;
    }
    json_object_begin(w, "parent");
    json_text(w, "error", alb_code_name(st.code));
    json_text(w, "message", parent->message[0] != '\0' ? parent->message : st.what);
    json_end(w);
}

static void answer(struct holds *h, const struct upstream_answer *parent)
{
    struct json_writer *w = json_writer_new();
    struct buf text;

    json_object_begin(w, NULL);
    json_text(w, "by", h->serve->options.upstream != NULL ? "reflector" : "hub");
    json_array_begin(w, "holds");
    for (size_t i = 0; i < h->count; i++)
        put_item(w, &h->items[i]);
    json_end(w);
    if (parent != NULL)
        put_parent(w, parent);
    json_end(w);
    buf_init(&text, ANSWER_MOST);
    struct alb_status st = json_writer_finish(w, &text);
    serve_holds_end(h->rq->session, st);
    if (alb_failed(st))
        serve_refuse_status(h->rq, st);
    else
        serve_answer(h->rq, "application/json", buf_peek(&text), buf_size(&text));
    buf_release(&text);
    end(h);
}

static void gone(struct serve_request *rq)
{
    struct holds *h = rq->work;

    if (h->waits_root)
        root_book_leave(h->serve->options.roots, &h->root_wait);
    if (h->asking != NULL)
        upstream_cancel(h->asking);
    serve_holds_end(rq->session, alb_fail(ALB_NOT_FOUND, "its asker left"));
    h->rq = NULL;
    if (!h->is_looking)
        end(h);
}
