/* SPDX-License-Identifier: Apache-2.0 */
/* hub/upload.c – opening an upload:
 *
 *     DECODE root, manifest (worker) → LOOK which content is here → KEEP root, manifest → answer
 */
#include "hub/upload.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "chunk/codec.h"
#include "hub/hub_impl.h"
#include "wire/manifest.h"

struct open_task {
    struct hub_task task; /* first */
    struct upload *upload;
    struct upload_keep keep;
    bool counts_all; /* may_count_all() of the asker */
};

static void open_run(struct hub_task *t);
static void open_after(struct hub_task *t);
static void open_kept(struct hub_task *t);
static void open_release(struct hub_task *t);
static void answer_missing(struct hub_task *t, const struct upload *u);

/* ---- the list -------------------------------------------------------------------------------- */

void uploads_init(struct uploads *all)
{
    TAILQ_INIT(&all->list);
}

struct upload *upload_free(struct upload *u)
{
    if (u == NULL)
        return NULL;
    root_release(&u->root);
    free(u->keys);
    free(u->raw_bytes);
    free(u->held);
    free(u);
    return NULL;
}

void upload_finish(struct upload *u)
{
    if (u->is_over)
        return;
    TAILQ_REMOVE(&u->hub->uploads.list, u, link);
    u->hub->uploads.count--;
    u->is_over = true;
    if (u->users == 0)
        upload_free(u);
}

void uploads_release(struct uploads *all)
{
    struct upload *u, *next;

    for (u = TAILQ_FIRST(&all->list); u != NULL; u = next) {
        next = TAILQ_NEXT(u, link);
        upload_finish(u);
    }
}

static void touch(struct upload *u)
{
    u->lapses_ns = loop_now_ns(u->hub->options.loop) + UPLOAD_LIFETIME_NS;
}

void uploads_lapse(struct hub *h)
{
    const uint64_t now_ns = loop_now_ns(h->options.loop);
    struct upload *u, *next;

    for (u = TAILQ_FIRST(&h->uploads.list); u != NULL; u = next) {
        next = TAILQ_NEXT(u, link);
        if (u->users > 0 || u->lapses_ns > now_ns)
            continue;
        log_event(LOG_INFO, "upload.lapsed", "layer=%s device=%s missing=%zu", u->layer, u->device,
                  u->missing);
        upload_finish(u);
    }
}

struct upload *upload_use(struct hub *h, const struct identity *who, const char *id)
{
    struct upload *u;

    TAILQ_FOREACH(u, &h->uploads.list, link)
    {
        if (strcmp(u->id, id) == 0 && strcmp(u->device, who->device) == 0) {
            u->users++;
            touch(u);
            return u;
        }
    }
    return NULL;
}

void upload_leave(struct upload *u)
{
    if (u != NULL && --u->users == 0 && u->is_over)
        upload_free(u);
}

static struct upload *find_same(struct hub *h, const struct upload *like)
{
    struct upload *u;

    TAILQ_FOREACH(u, &h->uploads.list, link)
    if (digest_equal(&u->root_digest, &like->root_digest) && strcmp(u->layer, like->layer) == 0 &&
        strcmp(u->device, like->device) == 0)
        return u;
    return NULL;
}

static size_t count_of(const struct hub *h, const char *device)
{
    const struct upload *u;
    size_t count = 0;

    TAILQ_FOREACH(u, &h->uploads.list, link)
    count += strcmp(u->device, device) == 0;
    return count;
}

/* ---- POST /v1/upload ------------------------------------------------------------------------- */

/* The rule of "what do you lack?" (DESIGN §9): held is only what is reachable from roots this
 * identity may read, plus what arrived in this upload.  Publishers and admins may read every layer,
 * so every chunk here counts for them; nobody else may upload layers. */
static bool may_count_all(const struct identity *who)
{
    return who->role == ROLE_PUBLISHER || who->role == ROLE_ADMIN;
}

void hub_handle_upload(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct open_task *o = hub_task_new(h, rq, sizeof *o);
    struct hub_task *t = &o->task;

    t->release = open_release;
    uploads_lapse(h);
    o->counts_all = may_count_all(&t->who);
    o->upload = xalloc(sizeof *o->upload);
    o->upload->hub = h;
    snprintf(o->upload->device, sizeof o->upload->device, "%s", t->who.device);
    o->keep = (struct upload_keep){.task = t, .kept = open_kept};
    t->run = open_run;
    t->after = open_after;
    hub_task_start(t, JOB_SHARED, buf_size(&t->body) * 8);
}

/* One manifest chunk, in its turn: verified, kept for the store, expanded behind the others. */
static struct alb_status take_manifest_chunk(struct open_task *o, struct codec *codec, size_t at,
                                             const struct batch_item *item, struct buf *stream)
{
    const struct root_chunk *expected = &o->upload->root.chunks[at];
    struct buf raw;

    if (item->status != ITEM_HIT || item->position != at)
        return alb_fail(ALB_CORRUPT, "the manifest's chunks are not all there, in their order");
    buf_init(&raw, CHUNK_RAW_MAX);
    struct alb_status st = codec_verify(codec, &expected->key, item->bytes, item->size, &raw);
    if (!alb_failed(st) && buf_size(&raw) != expected->raw_bytes)
        st = alb_fail(ALB_CORRUPT, "a manifest chunk has another size than the root says");
    if (!alb_failed(st))
        st = buf_append(stream, buf_peek(&raw), buf_size(&raw));
    buf_release(&raw);
    if (alb_failed(st))
        return st;
    struct chunk *chunk = chunk_copy(&expected->key, item->bytes, item->size);
    if (chunk == NULL)
        return alb_fail(ALB_FULL, "no memory for the manifest's chunks");
    o->keep.chunks[o->keep.count++] = chunk;
    return ALB_STATUS_OK;
}

static struct alb_status join_manifest(struct open_task *o, struct codec *codec, struct buf *stream)
{
    struct buf *items = &o->task.body;
    struct batch_item item;
    size_t used = 0;

    for (size_t at = 0; at < o->upload->root.chunk_count; at++) {
        struct alb_status st = batch_item_next(items, CHUNK_STORED_MAX, &item, &used);
        if (!alb_failed(st) && used == 0)
            st = alb_fail(ALB_CORRUPT, "the manifest's chunks are not all there, in their order");
        if (!alb_failed(st))
            st = take_manifest_chunk(o, codec, at, &item, stream);
        if (alb_failed(st))
            return st;
        buf_consume(items, used);
    }
    if (buf_size(items) > 0)
        return alb_fail(ALB_CORRUPT, "there is more than the manifest's chunks");
    return ALB_STATUS_OK;
}

static struct alb_status judge_sizes(const struct root *root, const struct manifest *m)
{
    uint64_t raw_bytes = 0;

    for (size_t i = 0; i < m->content_key_count; i++)
        raw_bytes += m->content_raw_bytes[i];
    if (m->count != root->entries || m->content_bytes != root->content_bytes ||
        m->content_key_count != root->content_chunks || raw_bytes != root->content_raw_bytes)
        return alb_fail(ALB_CORRUPT, "manifest and root object disagree about sizes");
    return ALB_STATUS_OK;
}

static void keep_list(struct upload *u, const struct manifest *m)
{
    u->key_count = m->content_key_count;
    u->keys = xcalloc(u->key_count + 1, sizeof *u->keys);
    u->raw_bytes = xcalloc(u->key_count + 1, sizeof *u->raw_bytes);
    u->held = xcalloc(u->key_count + 1, sizeof *u->held);
    for (size_t i = 0; i < u->key_count; i++) {
        u->keys[i] = m->content_keys[i];
        u->raw_bytes[i] = m->content_raw_bytes[i];
    }
    for (size_t i = 0; i < m->count; i++)
        if (m->entries[i].type == ENTRY_CHAR_DEVICE || m->entries[i].type == ENTRY_BLOCK_DEVICE)
            u->has_devices = true;
}

static struct alb_status open_manifest(struct open_task *o, const struct buf *stream)
{
    const struct manifest_limits limits = {
        .max_bytes = UPLOAD_MANIFEST_MAX,
        .max_entries = UPLOAD_ENTRIES_MAX,
        .max_content_bytes = manifest_limits_default.max_content_bytes,
        .allow_devices = true, /* the version record must say so: judged at the end */
    };
    struct manifest m;
    struct alb_status st = manifest_decode(buf_peek(stream), buf_size(stream), &limits, &m);

    if (alb_failed(st))
        return st;
    st = judge_sizes(&o->upload->root, &m);
    if (!alb_failed(st))
        keep_list(o->upload, &m);
    manifest_release(&m);
    return st;
}

/* The root object is kept, and sent, as the plain chunk of its own digest. */
static struct alb_status keep_root(struct open_task *o, struct codec *codec,
                                   const struct upload_open *open)
{
    const struct chunk_key key = {KEY_PLAIN, o->upload->root_digest};
    struct buf stored;

    buf_init(&stored, CHUNK_STORED_MAX);
    struct alb_status st = codec_compress(codec, open->root, open->root_size, &stored);
    if (!alb_failed(st)) {
        struct chunk *chunk = chunk_copy(&key, buf_peek(&stored), buf_size(&stored));
        if (chunk != NULL)
            o->keep.chunks[o->keep.count++] = chunk;
        else
            st = alb_fail(ALB_FULL, "no memory for the root object");
    }
    buf_release(&stored);
    return st;
}

static struct alb_status look_up(struct open_task *o)
{
    struct upload *u = o->upload;
    struct alb_status st = ALB_STATUS_OK;

    if (o->counts_all && u->key_count > 0)
        st = chunk_store_exists_many(u->hub->options.store, u->keys, u->key_count, u->held);
    for (size_t i = 0; i < u->key_count; i++)
        u->missing += !u->held[i];
    return st;
}

static struct alb_status open_upload(struct open_task *o, struct codec *codec)
{
    struct upload *u = o->upload;
    struct upload_open open;
    struct buf stream;
    struct alb_status st =
        upload_open_decode(buf_peek(&o->task.body), buf_size(&o->task.body), &open);

    if (!alb_failed(st))
        st = root_decode(open.root, open.root_size, &u->root);
    if (!alb_failed(st) && u->root.manifest_bytes > UPLOAD_MANIFEST_MAX)
        st = alb_fail(ALB_FULL, "the manifest is larger than this hub accepts (256 MiB)");
    if (alb_failed(st))
        return st;
    memcpy(u->layer, open.layer, sizeof u->layer);
    u->root_bytes = open.root_size;
    sha256(open.root, open.root_size, &u->root_digest);
    o->keep.chunks = xcalloc(u->root.chunk_count + 1, sizeof(struct chunk *));
    st = keep_root(o, codec, &open);
    buf_consume(&o->task.body, buf_size(&o->task.body) - open.items_size);
    buf_init(&stream, u->root.manifest_bytes);
    if (!alb_failed(st))
        st = join_manifest(o, codec, &stream);
    if (!alb_failed(st))
        st = open_manifest(o, &stream);
    buf_release(&stream);
    return alb_failed(st) ? st : look_up(o);
}

static void open_run(struct hub_task *t)
{
    struct open_task *o = (struct open_task *)t;
    struct codec *codec = codec_new();

    t->st = open_upload(o, codec);
    codec_free(codec);
}

static void open_after(struct hub_task *t)
{
    struct open_task *o = (struct open_task *)t;
    struct upload *same = alb_failed(t->st) ? NULL : find_same(t->hub, o->upload);

    if (alb_failed(t->st)) {
        log_status(LOG_WARN, "upload.refused", t->st, "device=%s", t->who.device);
        hub_task_end(t);
    } else if (same != NULL) {
        touch(same);
        answer_missing(t, same);
        hub_task_end(t);
    } else if (count_of(t->hub, t->who.device) >= UPLOADS_PER_DEVICE_MAX ||
               t->hub->uploads.count >= UPLOADS_MAX) {
        hub_task_refuse(t, ALB_FULL,
                        "too many uploads are open; finish one, or wait until it lapses (24 h)");
        hub_task_end(t);
    } else {
        upload_keep_start(&o->keep);
    }
}

static void new_id(struct upload *u)
{
    for (size_t at = 0; at + 16 < UPLOAD_ID_SIZE; at += 16)
        snprintf(u->id + at, UPLOAD_ID_SIZE - at, "%016llx",
                 (unsigned long long)loop_random(u->hub->options.loop));
}

static void open_kept(struct hub_task *t)
{
    struct open_task *o = (struct open_task *)t;
    struct upload *u = o->upload, *same;

    if (!alb_failed(t->st)) {
        same = find_same(t->hub, u); /* two at once: the first one's */
        if (same == NULL) {
            new_id(u);
            touch(u);
            TAILQ_INSERT_TAIL(&t->hub->uploads.list, u, link);
            t->hub->uploads.count++;
            o->upload = NULL;
            log_event(LOG_INFO, "upload.opened", "device=%s layer=%s chunks=%zu missing=%zu",
                      u->device, u->layer, u->key_count, u->missing);
            same = u;
        }
        answer_missing(t, same);
    }
    hub_task_end(t);
}

static void collect_missing(const struct upload *u, struct upload_answer *a)
{
    for (size_t i = 0; i < u->key_count; i++) {
        struct batch_run *last = a->run_count > 0 ? &a->runs[a->run_count - 1] : NULL;
        if (u->held[i])
            continue;
        if (last != NULL && last->first + last->count == i)
            last->count++;
        else
            a->runs[a->run_count++] = (struct batch_run){(uint32_t)i, 1};
    }
}

static void answer_missing(struct hub_task *t, const struct upload *u)
{
    struct upload_answer a = {.runs = try_alloc((u->missing + 1) * sizeof *a.runs)};

    if (a.runs == NULL) {
        t->st = alb_fail(ALB_FULL, "no memory to say what is missing");
        return;
    }
    collect_missing(u, &a);
    snprintf(a.id, sizeof a.id, "%s", u->id);
    t->st = upload_answer_encode(&a, &t->answer);
    upload_answer_release(&a);
}

static void open_release(struct hub_task *t)
{
    struct open_task *o = (struct open_task *)t;

    upload_keep_release(&o->keep);
    upload_free(o->upload);
}
