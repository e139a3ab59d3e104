/* SPDX-License-Identifier: Apache-2.0 */
/* hub/upload_chunks.c – chunks of an open upload: VERIFY (worker) → KEEP,
 * all of them → answered. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "chunk/codec.h"
#include "hub/hub_impl.h"

struct put_task {
    struct hub_task task; /* first */
    struct upload *upload;
    struct upload_keep keep;
    uint32_t positions[BATCH_ITEMS_MAX];
};

static void put_run(struct hub_task *t);
static void put_after(struct hub_task *t);
static void put_kept(struct hub_task *t);
static void put_release(struct hub_task *t);
static void one_kept(void *arg, struct alb_status st);

/* ---- keeping --------------------------------------------------------------------------------- */

void upload_keep_start(struct upload_keep *k)
{
    struct alb_status st = ALB_STATUS_OK;

    k->waiting = 1; /* ours, until all are handed over */
    for (size_t i = 0; i < k->count && !alb_failed(st); i++) {
        st = keeper_put(k->task->hub->keeper, k->chunks[i], one_kept, k);
        if (!alb_failed(st))
            k->waiting++;
    }
    one_kept(k, st);
}

static void one_kept(void *arg, struct alb_status st)
{
    struct upload_keep *k = arg;

    if (alb_failed(st))
        k->task->st = st;
    if (--k->waiting > 0)
        return;
    for (size_t i = 0; i < k->count && !alb_failed(k->task->st); i++)
        hub_note_healed(k->task->hub, &k->chunks[i]->key);
    k->kept(k->task);
}

void upload_keep_release(struct upload_keep *k)
{
    for (size_t i = 0; i < k->count; i++)
        chunk_unref(k->chunks[i]);
    free(k->chunks);
}

/* ---- POST /v1/upload-put/ID ------------------------------------------------------------------ */

void hub_handle_upload_put(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct put_task *p = hub_task_new(h, rq, sizeof *p);
    struct hub_task *t = &p->task;

    t->release = put_release;
    p->keep = (struct upload_keep){.task = t, .kept = put_kept};
    p->upload = upload_use(h, &t->who, rq->rest);
    if (p->upload == NULL) {
        hub_task_refuse(t, ALB_NOT_FOUND, "no such upload is open; open it again to go on");
        hub_task_end(t);
        return;
    }
    t->run = put_run;
    t->after = put_after;
    hub_task_start(t, JOB_SHARED, buf_size(&t->body) * 4);
}

static struct alb_status take_item(struct put_task *p, struct codec *codec, struct buf *raw,
                                   const struct batch_item *item)
{
    const struct upload *u = p->upload;

    if (item->status != ITEM_HIT || item->position >= u->key_count)
        return alb_fail(ALB_CORRUPT, "an item is no chunk of this upload");
    if (p->keep.count == BATCH_ITEMS_MAX)
        return alb_fail(ALB_INVALID, "more than 256 chunks at once");
    const struct chunk_key *key = &u->keys[item->position];
    struct alb_status st = codec_verify(codec, key, item->bytes, item->size, raw);
    if (st.code == ALB_CORRUPT) /* an honest publisher does not hash again what seems unchanged */
        return alb_fail(ALB_CORRUPT,
                        "a chunk's bytes are not those of its name: a file may have been written "
                        "to while it was published; publish again when the tree is at rest");
    if (!alb_failed(st) && buf_size(raw) != u->raw_bytes[item->position])
        st = alb_fail(ALB_CORRUPT, "a chunk has another size than the manifest uses of it");
    if (alb_failed(st))
        return st;
    struct chunk *chunk = chunk_copy(key, item->bytes, item->size);
    if (chunk == NULL)
        return alb_fail(ALB_FULL, "no memory for the chunks");
    p->positions[p->keep.count] = item->position;
    p->keep.chunks[p->keep.count++] = chunk;
    return ALB_STATUS_OK;
}

static struct alb_status take_items(struct put_task *p, struct codec *codec, struct buf *raw)
{
    struct buf *items = &p->task.body;
    struct batch_item item;
    size_t used = 0;

    while (buf_size(items) > 0) {
        struct alb_status st = batch_item_next(items, CHUNK_STORED_MAX, &item, &used);
        if (!alb_failed(st) && used == 0)
            st = alb_fail(ALB_CORRUPT, "the last chunk is cut short");
        if (!alb_failed(st))
            st = take_item(p, codec, raw, &item);
        if (alb_failed(st))
            return st;
        buf_consume(items, used);
    }
    return ALB_STATUS_OK;
}

static void put_run(struct hub_task *t)
{
    struct put_task *p = (struct put_task *)t;
    struct codec *codec = codec_new();
    struct buf raw;

    buf_init(&raw, CHUNK_RAW_MAX);
    p->keep.chunks = xcalloc(BATCH_ITEMS_MAX, sizeof(struct chunk *));
    t->st = take_items(p, codec, &raw);
    buf_release(&raw);
    codec_free(codec);
}

static void put_after(struct hub_task *t)
{
    struct put_task *p = (struct put_task *)t;

    if (!alb_failed(t->st)) {
        upload_keep_start(&p->keep);
        return;
    }
    log_status(LOG_WARN, "upload.chunks_refused", t->st, "device=%s layer=%s", t->who.device,
               p->upload->layer);
    hub_task_end(t);
}

static void put_kept(struct hub_task *t)
{
    struct put_task *p = (struct put_task *)t;
    struct upload *u = p->upload;

    for (size_t i = 0; i < p->keep.count && !alb_failed(t->st); i++) {
        if (!u->held[p->positions[i]])
            u->missing--;
        u->held[p->positions[i]] = true;
    }
    hub_task_end(t);
}

static void put_release(struct hub_task *t)
{
    struct put_task *p = (struct put_task *)t;

    upload_keep_release(&p->keep);
    upload_leave(p->upload);
}
