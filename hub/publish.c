/* SPDX-License-Identifier: Apache-2.0 */
/* hub/publish.c – making versions: commit an upload, name an old root anew,
 * choose what is current. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/hub_impl.h"
#include "hub/scope.h"
#include "wire/json.h"
#include "wire/signed.h"

enum { LOOK_AT_ONCE = 4096, PUT_AT_ONCE = 256 };

struct publish_task {
    struct hub_task task;  /* first */
    struct upload *upload; /* NULL: the root is here already (VERSION, PROMOTE) */
    struct version_record record;
    struct buf bytes; /* of the record, signed */
    bool hold;
    size_t vanished;
};

static void commit_run(struct hub_task *t);
static void commit_after(struct hub_task *t);
static void promote_run(struct hub_task *t);
static void publish_release(struct hub_task *t);

/* ---- the record, judged on the loop ---------------------------------------------------------- */

static struct alb_status judge_record(struct hub *h, const struct buf *bytes,
                                      struct version_record *out)
{
    const struct trust *trust = authority_trust(h->authority);

    if (trust == NULL)
        return alb_fail(ALB_REFUSED, "there is no trust file yet that says who may publish: run "
                                     "'albedo trust init', then 'albedo trust delegate'");
    return record_decode(buf_peek(bytes), buf_size(bytes), trust, out);
}

static struct alb_status judge_upload(const struct upload *u, const struct version_record *r)
{
    if (strcmp(u->layer, r->layer) != 0)
        return alb_fail(ALB_INVALID, "the version record is of another layer than the upload");
    if (!digest_equal(&u->root_digest, &r->root))
        return alb_fail(ALB_INVALID, "the version record names another root than the upload");
    if (r->root_bytes != u->root_bytes || r->content_bytes != u->root.content_bytes ||
        r->entries != u->root.entries)
        return alb_fail(ALB_CORRUPT, "version record and root object disagree about sizes");
    if (u->has_devices && (r->flags & RECORD_DEVICES) == 0)
        return alb_fail(ALB_REFUSED, "the tree holds device nodes and its version record does not "
                                     "say so: publish it with --devices");
    return ALB_STATUS_OK;
}

static struct publish_task *publish_task_new(struct hub *h, struct serve_request *rq)
{
    struct publish_task *p = hub_task_new(h, rq, sizeof *p);
    char hold[8];

    p->task.release = publish_release;
    p->hold = serve_query(rq, "hold", hold, sizeof hold) && strcmp(hold, "1") == 0;
    return p;
}

static void commit(struct publish_task *p)
{
    p->task.run = commit_run;
    p->task.after = commit_after;
    hub_task_start(&p->task, JOB_ORDERED, 64 << 10);
}

/* POST /v1/upload-end/ID */
void hub_handle_upload_end(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct publish_task *p = publish_task_new(h, rq);
    struct hub_task *t = &p->task;

    p->upload = upload_use(h, &t->who, rq->rest);
    if (p->upload == NULL)
        hub_task_refuse(t, ALB_NOT_FOUND, "no such upload is open; publish again");
    else if (p->upload->missing > 0)
        hub_task_refuse(t, ALB_INVALID,
                        "%zu chunks are still missing; open the upload again to "
                        "hear which",
                        p->upload->missing);
    else
        t->st = judge_record(h, &t->body, &p->record);
    if (!alb_failed(t->st))
        t->st = judge_upload(p->upload, &p->record);
    if (alb_failed(t->st))
        hub_task_end(t);
    else
        commit(p);
}

/* POST /v1/version */
void hub_handle_version(void *hub, struct serve_request *rq)
{
    struct publish_task *p = publish_task_new(hub, rq);

    p->task.st = judge_record(hub, &p->task.body, &p->record);
    if (alb_failed(p->task.st))
        hub_task_end(&p->task);
    else
        commit(p);
}

/* POST /v1/promote */
void hub_handle_promote(void *hub, struct serve_request *rq)
{
    struct publish_task *p = publish_task_new(hub, rq);

    p->task.run = promote_run;
    p->task.after = commit_after;
    p->hold = false;
    hub_task_start(&p->task, JOB_ORDERED, 64 << 10);
}

/* ---- on the worker --------------------------------------------------------------------------- */

static struct alb_status count_vanished(struct chunk_store *store, const struct chunk_key *keys,
                                        size_t count, size_t *vanished)
{
    AUTO_FREE bool *has = xcalloc(LOOK_AT_ONCE, sizeof *has);

    for (size_t at = 0; at < count; at += LOOK_AT_ONCE) {
        size_t some = count - at < LOOK_AT_ONCE ? count - at : LOOK_AT_ONCE;
        struct alb_status st = chunk_store_exists_many(store, keys + at, some, has);
        if (alb_failed(st))
            return st;
        for (size_t i = 0; i < some; i++)
            *vanished += !has[i];
    }
    return ALB_STATUS_OK;
}

/* A version is only committed when every chunk it names is durable: asked once more,
 * of the store. */
static struct alb_status look_all(struct publish_task *p)
{
    const struct upload *u = p->upload;
    struct chunk_store *store = u->hub->options.store;
    const struct chunk_key root = {KEY_PLAIN, u->root_digest};
    struct chunk_key *manifest = xcalloc(u->root.chunk_count + 1, sizeof *manifest);

    for (size_t i = 0; i < u->root.chunk_count; i++)
        manifest[i] = u->root.chunks[i].key;
    struct alb_status st = count_vanished(store, &root, 1, &p->vanished);
    if (!alb_failed(st))
        st = count_vanished(store, manifest, u->root.chunk_count, &p->vanished);
    if (!alb_failed(st))
        st = count_vanished(store, u->keys, u->key_count, &p->vanished);
    free(manifest);
    return st;
}

/* A root that is here already belongs to the layer when an older record of the layer names it. */
static void check_known_root(struct publish_task *p)
{
    struct hub_task *t = &p->task;
    char which[DIGEST_HEX_SIZE + 8], hex[DIGEST_HEX_SIZE];
    struct version_record old;

    snprintf(which, sizeof which, "root:%s", digest_hex(&p->record.root, hex));
    t->st = ledger_find(&t->hub->ledger, p->record.layer, which, NULL, &old);
    if (t->st.code == ALB_NOT_FOUND)
        hub_task_refuse(t, ALB_NOT_FOUND, "%s has no version with that root; upload it first",
                        p->record.layer);
    else if (!alb_failed(t->st) &&
             (old.root_bytes != p->record.root_bytes || old.entries != p->record.entries ||
              old.content_bytes != p->record.content_bytes || old.flags != p->record.flags))
        t->st = alb_fail(ALB_CORRUPT, "the record's sizes are not those of that root");
}

static void answer_published(struct publish_task *p)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "layer", p->record.layer);
    json_text(w, "version", p->record.version);
    json_number(w, "sequence", p->record.sequence);
    json_bool(w, "current", !p->hold);
    json_end(w);
    p->task.content_type = "application/json";
    p->task.st = json_writer_finish(w, &p->task.answer);
}

static struct alb_status select_record(struct hub_task *t, const char *layer,
                                       const struct buf *record)
{
    struct digest digest;

    sha256(buf_peek(record), buf_size(record), &digest);
    return ledger_select(&t->hub->ledger, layer, &digest, t->now_wall_s);
}

static void commit_run(struct hub_task *t)
{
    struct publish_task *p = (struct publish_task *)t;

    hub_check_scope(t, p->record.layer);
    if (alb_failed(t->st))
        return;
    if (p->upload == NULL) {
        check_known_root(p);
    } else {
        t->st = look_all(p);
        if (!alb_failed(t->st) && p->vanished > 0)
            hub_task_refuse(t, ALB_CONFLICT,
                            "%zu chunks are not in the store any more; publish "
                            "again",
                            p->vanished);
    }
    if (!alb_failed(t->st))
        t->st = ledger_commit(&t->hub->ledger, &p->record, buf_peek(&t->body), buf_size(&t->body),
                              t->why);
    if (!alb_failed(t->st) && !p->hold)
        t->st = select_record(t, p->record.layer, &t->body);
    if (alb_failed(t->st))
        return;
    hub_audit(&t->who, "publish", "layer=%s version=%s sequence=%" PRIu64 " current=%d",
              p->record.layer, p->record.version, p->record.sequence, !p->hold);
    answer_published(p);
}

/* To go back is to publish the old root anew, signed by who may: devices that have seen the newer
 * version would refuse the older one, and the others must not be led to it. */
static struct alb_status check_not_older(struct hub_task *t, const struct version_record *record)
{
    struct version_record current;
    struct alb_status st = ledger_current(&t->hub->ledger, record->layer, NULL, &current);

    if (st.code == ALB_NOT_FOUND)
        return ALB_STATUS_OK; /* nothing was current yet */
    if (alb_failed(st) || record->sequence >= current.sequence)
        return st;
    hub_task_refuse(t, ALB_CONFLICT,
                    "%s@%s is older than what is current, %s; to go back: albedo publish %s "
                    "--as-version %s",
                    record->layer, record->version, current.version, record->layer,
                    record->version);
    return t->st;
}

static void promote_run(struct hub_task *t)
{
    struct publish_task *p = (struct publish_task *)t;
    struct named_request ask;

    t->st = named_request_decode(buf_peek(&t->body), buf_size(&t->body), &ask);
    if (!alb_failed(t->st))
        t->st = layer_name_check(ask.layer);
    if (!alb_failed(t->st))
        t->st = version_name_check(ask.version);
    if (!alb_failed(t->st))
        hub_check_scope(t, ask.layer);
    if (alb_failed(t->st))
        return;
    buf_init(&p->bytes, SIGNED_MAX);
    t->st = ledger_find(&t->hub->ledger, ask.layer, ask.version, &p->bytes, &p->record);
    if (t->st.code == ALB_NOT_FOUND)
        hub_task_refuse(t, ALB_NOT_FOUND, "there is no %s@%s here; 'albedo layers' lists what is",
                        ask.layer, ask.version);
    if (!alb_failed(t->st))
        t->st = check_not_older(t, &p->record);
    if (!alb_failed(t->st))
        t->st = select_record(t, ask.layer, &p->bytes);
    if (alb_failed(t->st))
        return;
    hub_audit(&t->who, "promote", "layer=%s version=%s", ask.layer, ask.version);
    answer_published(p);
}

/* ---- back on the loop ------------------------------------------------------------------------ */

static void tell_layer(struct hub *h, const char *layer, bool has_new_head)
{
    char line[NAME_MAX_SIZE + 8];

    root_book_forget_refused(h->roots);
    feed_say(h->feed, "layers");
    hub_deltas_look(h->deltas, layer);
    if (!has_new_head)
        return;
    snprintf(line, sizeof line, "head/%s", layer);
    record_book_forget(h->records, line);
    line[4] = ' ';
    feed_say(h->feed, line);
}

static void commit_after(struct hub_task *t)
{
    struct publish_task *p = (struct publish_task *)t;

    if (!alb_failed(t->st)) {
        t->hub->published += t->run == commit_run;
        tell_layer(t->hub, p->record.layer, !p->hold);
    }
    if (p->upload != NULL && (!alb_failed(t->st) || p->vanished > 0))
        upload_finish(p->upload);
    hub_task_end(t);
}

static void publish_release(struct hub_task *t)
{
    struct publish_task *p = (struct publish_task *)t;

    upload_leave(p->upload);
    buf_release(&p->bytes);
}

/* ---- heads grow old -------------------------------------------------------------------------- */

struct renew_task {
    struct hub_task task;          /* first */
    char (*layers)[NAME_MAX_SIZE]; /* owned: those with a new head */
    size_t count;
};

static void note_renewed(void *arg, const char *layer)
{
    struct renew_task *r = arg;

    r->layers = xrealloc(r->layers, (r->count + 1) * sizeof *r->layers);
    snprintf(r->layers[r->count++], NAME_MAX_SIZE, "%s", layer);
}

static void renew_run(struct hub_task *t)
{
    t->st = ledger_renew(&t->hub->ledger, t->now_wall_s, note_renewed, t);
}

static void renew_after(struct hub_task *t)
{
    struct renew_task *r = (struct renew_task *)t;

    t->hub->is_renewing = false;
    if (alb_failed(t->st))
        log_status(LOG_ERROR, "heads.not_renewed", t->st, "lifetime_days=%d",
                   HEAD_LIFETIME_S / 86400);
    for (size_t i = 0; i < r->count; i++)
        tell_layer(t->hub, r->layers[i], true);
    if (r->count > 0)
        log_event(LOG_INFO, "heads.renewed", "count=%zu", r->count);
    hub_task_end(t);
}

static void renew_release(struct hub_task *t)
{
    free(((struct renew_task *)t)->layers);
}

void hub_renew_heads(struct hub *h)
{
    if (h->is_renewing)
        return;
    struct renew_task *r = hub_task_new(h, NULL, sizeof *r);
    h->is_renewing = true;
    r->task.run = renew_run;
    r->task.after = renew_after;
    r->task.release = renew_release;
    hub_task_start(&r->task, JOB_ORDERED, 64 << 10);
}

/* ---- without a network ----------------------------------------------------------------------- */

static struct alb_status put_all(struct chunk_store *store, const struct hub_publication *p)
{
    struct alb_status st = ALB_STATUS_OK;

    for (size_t at = 0; at < p->chunk_count && !alb_failed(st); at += PUT_AT_ONCE) {
        size_t some = p->chunk_count - at < PUT_AT_ONCE ? p->chunk_count - at : PUT_AT_ONCE;
        do
            st = chunk_store_put_many(store, p->chunks + at, some, NULL);
        while (st.code == ALB_UNKNOWN); /* put is idempotent */
    }
    return st;
}

struct alb_status hub_publish_local(struct hub *h, const struct hub_publication *p)
{
    const struct identity self = {.role = ROLE_HUB};
    const int64_t now_wall_s = authority_now_s(h->authority, loop_wall_s(h->options.loop));
    const struct buf view = {
        .tail = p->record_size, .limit = p->record_size, .bytes = (uint8_t *)(uintptr_t)p->record};
    struct version_record record;
    char why[LEDGER_WHY_SIZE] = "";
    struct digest digest;
    struct alb_status st = judge_record(h, &view, &record);

    if (!alb_failed(st))
        st = put_all(h->options.store, p);
    if (!alb_failed(st))
        st = ledger_commit(&h->ledger, &record, p->record, p->record_size, why);
    sha256(p->record, p->record_size, &digest);
    if (!alb_failed(st) && !p->hold)
        st = ledger_select(&h->ledger, record.layer, &digest, now_wall_s);
    if (alb_failed(st)) {
        log_status(LOG_WARN, "publish.refused", st, "why=\"%s\"", why);
        return st;
    }
    h->published++;
    hub_audit(&self, "publish", "layer=%s version=%s sequence=%" PRIu64 " current=%d", record.layer,
              record.version, record.sequence, !p->hold);
    tell_layer(h, record.layer, !p->hold);
    return st;
}
