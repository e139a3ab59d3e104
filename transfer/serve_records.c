/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_records.c – the small answers: session, trust, revocations, heads, records,
 * roots, events. */
#include <stddef.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/feed.h"
#include "transfer/branches.h"
#include "transfer/serve_impl.h"
#include "wire/signed.h"

static const char octets[] = "application/octet-stream";

struct grant *serve_grant_copy(const struct grant *g)
{
    const size_t used = offsetof(struct grant, prefixes) + g->prefix_count * sizeof g->prefixes[0];

    return memcpy(xalloc(used), g, used);
}

/* POST /v1/session: the body is a read grant, or nothing (which reads nothing). */
void serve_handle_session(void *arg, struct serve_request *rq)
{
    struct serve *s = arg;
    struct serve_session *session = rq->session;
    struct authority *authority = s->options.authority;
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);
    struct grant grant;

    if (!serve_admits(rq))
        return;
    if (size == 0) {
        serve_note_greeted(session);
        serve_answer_greeting(rq);
        return;
    }
    struct alb_status st = grant_decode(body, size, authority_trust(authority), &grant);
    if (!alb_failed(st) && (strcmp(grant.device, session->who.device) != 0 ||
                            strcmp(grant.org, session->who.org) != 0))
        st = alb_fail(ALB_REFUSED, "the grant is another device's");
    if (!alb_failed(st) &&
        grant.expires_wall_s < authority_now_s(authority, loop_wall_s(s->options.loop)))
        st = alb_fail(ALB_REFUSED, "the grant has expired; ask for a new one");
    if (alb_failed(st)) {
        if (log_limit_passes(&s->grant_lines, loop_now_ns(s->options.loop)))
            log_status(LOG_WARN, "serve.grant_refused", st, "device=%s", session->who.device);
        serve_refuse_status(rq, st);
        return;
    }
    free(session->grant);
    session->grant = serve_grant_copy(&grant);
    if (session->member != NULL)
        branch_place(session->member, grant.site, grant.device);
    serve_note_greeted(session);
    serve_answer_greeting(rq);
}

static void answer_bytes(struct serve_request *rq, struct alb_status st, const struct buf *bytes)
{
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, octets, buf_peek(bytes), buf_size(bytes));
}

/* GET /v1/trust/N */
void serve_handle_trust(void *arg, struct serve_request *rq)
{
    struct serve *s = arg;
    uint64_t version = 0;
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    struct alb_status st = parse_u64(rq->rest, UINT32_MAX, &version);
    if (!alb_failed(st))
        st = authority_trust_bytes(s->options.authority, version, &bytes);
    answer_bytes(rq, st, &bytes);
    buf_release(&bytes);
}

/* GET /v1/revoked */
void serve_handle_revoked(void *arg, struct serve_request *rq)
{
    struct serve *s = arg;
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    struct alb_status st = authority_revocation_bytes(s->options.authority, &bytes);
    answer_bytes(rq, st, &bytes);
    buf_release(&bytes);
}

/* ---- heads and records ---------------------------------------------------------------------- */

struct record_answer {
    struct serve_request *rq;
    struct serve *serve;
    struct record_wait wait;
};

static void record_gone(struct serve_request *rq)
{
    struct record_answer *a = rq->work;

    record_book_leave(a->serve->options.records, &a->wait);
    free(a);
}

static void record_told(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                        size_t size, bool is_stale)
{
    struct record_answer *a = ALB_CONTAINER(w, struct record_answer, wait);
    struct serve_request *rq = a->rq;

    (void)is_stale; /* the head itself says how old it is */
    serve_miss_end(rq->session, st);
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, octets, bytes, size);
    free(a);
}

static void answer_record(struct serve *s, struct serve_request *rq, const char *name)
{
    if (!serve_miss_begin(rq))
        return;
    struct record_answer *a = xalloc(sizeof *a);

    a->rq = rq;
    a->serve = s;
    a->wait.done = record_told;
    rq->work = a;
    rq->gone = record_gone;
    record_book_get(s->options.records, name, &a->wait);
}

/* Both name checks come before any look-up, so that an answer never depends on what exists. */
static bool layer_is_readable(struct serve_request *rq, const char *layer)
{
    if (!alb_failed(layer_name_check(layer)) && serve_may_read(rq, layer))
        return true;
    serve_refuse(rq, ALB_NOT_FOUND, "no such layer for this device");
    return false;
}

/* GET /v1/head/LAYER */
void serve_handle_head(void *arg, struct serve_request *rq)
{
    char name[CATALOGUE_NAME_MAX + 1];

    if (!layer_is_readable(rq, rq->rest))
        return;
    snprintf(name, sizeof name, "head/%.*s", NAME_MAX_SIZE, rq->rest);
    answer_record(arg, rq, name);
}

static bool names_root(const char *which)
{
    struct digest digest;

    return strncmp(which, "root:", 5) == 0 && !alb_failed(digest_parse(which + 5, &digest));
}

static bool which_is_sound(const char *which)
{
    struct digest digest;

    if (strncmp(which, "sha256:", 7) == 0)
        return !alb_failed(digest_parse(which + 7, &digest));
    return names_root(which) || !alb_failed(version_name_check(which));
}

/* What the record book has as KIND/LAYER@WHICH; `how` says how such a thing is asked for. */
static void answer_which(struct serve *s, struct serve_request *rq, const char *kind,
                         bool (*is_sound)(const char *which), const char *how)
{
    char name[CATALOGUE_NAME_MAX + 1], layer[NAME_MAX_SIZE];
    const char *at = strchr(rq->rest, '@');

    if (at == NULL || (size_t)(at - rq->rest) >= sizeof layer || !is_sound(at + 1)) {
        serve_refuse(rq, ALB_INVALID, how);
        return;
    }
    snprintf(layer, sizeof layer, "%.*s", (int)(at - rq->rest), rq->rest);
    if (!layer_is_readable(rq, layer))
        return;
    snprintf(name, sizeof name, "%s/%s%.*s", kind, layer, 100, at);
    answer_record(s, rq, name);
}

/* GET /v1/record/LAYER@VERSION, @sha256:HEX, @root:HEX */
void serve_handle_record(void *arg, struct serve_request *rq)
{
    answer_which(arg, rq, "record", which_is_sound,
                 "a record is named LAYER@VERSION, @sha256:HEX or @root:HEX");
}

/* GET /v1/deltas/LAYER@root:HEX */
void serve_handle_deltas(void *arg, struct serve_request *rq)
{
    answer_which(arg, rq, "deltas", names_root,
                 "delta sets are asked for as LAYER@root:HEX, the target's");
}

/* ---- one chunk, for people and tools -------------------------------------------------------- */

struct chunk_answer {
    struct serve_request *rq;
    struct serve *serve;
    enum chunk_list list;
    uint32_t position;
    struct root_wait root_wait;
    struct waiter waiter;
    const struct root_view *view;
    bool waits_root, waits_chunk;
};

static void chunk_release(struct chunk_answer *a)
{
    if (a->view != NULL)
        root_book_close_view(a->serve->options.roots, a->view);
    loop_bury(a->serve->options.loop, free, a);
}

static void chunk_gone(struct serve_request *rq)
{
    struct chunk_answer *a = rq->work;

    if (a->waits_root)
        root_book_leave(a->serve->options.roots, &a->root_wait);
    if (a->waits_chunk)
        supply_leave(a->serve->options.supply, &a->waiter);
    chunk_release(a);
}

static void chunk_told(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct chunk_answer *a = ALB_CONTAINER(w, struct chunk_answer, waiter);

    a->waits_chunk = false;
    if (alb_failed(st))
        serve_refuse_status(a->rq, st);
    else
        serve_answer_chunk(a->rq, "application/zstd", chunk);
    chunk_release(a);
}

static void chunk_root_opened(struct root_wait *w, struct alb_status st,
                              const struct root_view *view)
{
    struct chunk_answer *a = ALB_CONTAINER(w, struct chunk_answer, root_wait);
    struct chunk_key key;

    a->waits_root = false;
    serve_miss_end(a->rq->session, st);
    a->view = view;
    if (!alb_failed(st) && !root_view_key(view, a->list, a->position, &key, &a->waiter.where))
        st = alb_fail(ALB_NOT_FOUND, "the list has no such position");
    if (alb_failed(st)) {
        serve_refuse_status(a->rq, st);
        chunk_release(a);
        return;
    }
    a->waiter.done = chunk_told;
    a->waits_chunk = true;
    supply_ask(a->serve->options.supply, &key, &a->waiter);
}

static void answer_chunk(struct serve *s, struct serve_request *rq, const struct digest *root,
                         enum chunk_list list, uint32_t position)
{
    char layer[NAME_MAX_SIZE];

    if (!serve_query(rq, "layer", layer, sizeof layer)) {
        serve_refuse(rq, ALB_INVALID, "say which layer: ?layer=LAYER");
        return;
    }
    if (!layer_is_readable(rq, layer) || !serve_miss_begin(rq))
        return;
    struct chunk_answer *a = xalloc(sizeof *a);
    a->rq = rq;
    a->serve = s;
    a->list = list;
    a->position = position;
    a->root_wait.done = chunk_root_opened;
    a->waits_root = true;
    rq->work = a;
    rq->gone = chunk_gone;
    root_book_open(s->options.roots, layer, root, &a->root_wait);
}

/* GET /v1/root/HEX?layer=LAYER: the root object's stored form */
void serve_handle_root(void *arg, struct serve_request *rq)
{
    struct digest root;

    if (alb_failed(digest_parse(rq->rest, &root)))
        serve_refuse(rq, ALB_INVALID, "a root is 64 hexadecimal digits");
    else
        answer_chunk(arg, rq, &root, LIST_ROOT, 0);
}

/* GET /v1/chunk/HEX/M|C/POSITION?layer=LAYER */
void serve_handle_chunk(void *arg, struct serve_request *rq)
{
    struct digest root;
    uint64_t position = 0;
    char hex[DIGEST_HEX_SIZE];
    const char *rest = rq->rest;

    snprintf(hex, sizeof hex, "%.*s", DIGEST_HEX_SIZE - 1, rest);
    if (strlen(rest) < DIGEST_HEX_SIZE + 2 || alb_failed(digest_parse(hex, &root)) ||
        rest[64] != '/' || (rest[65] != 'M' && rest[65] != 'C') || rest[66] != '/' ||
        alb_failed(parse_u64(rest + 67, UINT32_MAX, &position))) {
        serve_refuse(rq, ALB_INVALID, "a chunk is named ROOT/M/POSITION or ROOT/C/POSITION");
        return;
    }
    answer_chunk(arg, rq, &root, rest[65] == 'M' ? LIST_MANIFEST : LIST_CONTENT,
                 (uint32_t)position);
}

/* ---- events --------------------------------------------------------------------------------- */

static void events_gone(struct serve_request *rq)
{
    feed_unlisten(rq->work);
}

/* GET /v1/events */
void serve_handle_events(void *arg, struct serve_request *rq)
{
    struct serve *s = arg;
    struct http_source source;

    if (s->options.feed == NULL) {
        serve_refuse(rq, ALB_NOT_FOUND, "no events here");
        return;
    }
    rq->work = feed_listen(s->options.feed, rq->session->who.device, rq->x, &source);
    rq->gone = events_gone;
    serve_answer_stream(rq, "text/plain", &source);
}
