/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve.c – from a stream to a handler: session, row, certificate, role, body, answer. */
#include "transfer/serve.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "transfer/branches.h"
#include "transfer/feed.h"
#include "transfer/serve_impl.h"
#include "wire/json.h"

/* Who shows no certificate can only enrol, which takes a second: a few requests and not for long,
 * whatever it says meanwhile.  A device has two connections, and a few more while its lost ones are
 * not noticed yet. */
enum {
    SESSIONS_DEFAULT = 4096,
    DEVICE_SESSIONS_DEFAULT = 32,
    BODY_BYTES_DEFAULT = 256 << 20,
    NOBODYS_EXCHANGES = 4,
};
#define NOBODY_IDLE_NS (30 * NS_PER_S)
#define NOBODY_LIFE_NS (90 * NS_PER_S)
#define TURNED_AWAY_LIFE_NS (10 * NS_PER_S)

static uint64_t on_head(void *arg, struct http_exchange *x);
static void on_request(void *arg, struct http_exchange *x);
static void on_closed(void *arg, struct http_exchange *x);
static void on_session_closed(void *arg, struct http_session *http, struct alb_status st);
static bool may_call(struct serve_request *rq);
static void maybe_free(struct serve_request *rq);
static void maybe_free_session(struct serve_session *session);

static const struct http_server_ops server_ops = {.head = on_head,
                                                  .request = on_request,
                                                  .closed = on_closed,
                                                  .session_closed = on_session_closed};

struct serve *serve_new(const struct serve_options *options)
{
    struct serve *s = xalloc(sizeof *s);

    s->options = *options;
    if (s->options.max_sessions == 0)
        s->options.max_sessions = SESSIONS_DEFAULT;
    if (s->options.max_device_sessions == 0)
        s->options.max_device_sessions = DEVICE_SESSIONS_DEFAULT;
    if (s->options.max_body_bytes == 0)
        s->options.max_body_bytes = BODY_BYTES_DEFAULT;
    log_limit_init(&s->full_lines, "serve.full");
    log_limit_init(&s->grant_lines, "serve.grant_refused");
    log_limit_init(&s->miss_lines, "serve.too_many_misses");
    log_limit_init(&s->door_lines, "serve.not_now");
    map_init(&s->accounts);
    TAILQ_INIT(&s->sessions);
    serve_stamp_init(s);
    return s;
}

static void leave_branch(struct serve_session *session)
{
    branch_leave(session->member);
    session->member = NULL;
}

void serve_branch_changed(void *arg, void *owner)
{
    (void)arg;
    serve_lane_resume(owner);
}

/* Now, not when the session dies a turn later: what the handlers work with goes away before
 * that. */
static void let_go(struct serve_session *session)
{
    struct serve_request *rq;

    TAILQ_FOREACH(rq, &session->requests, link)
    {
        serve_limits_release(rq);
        rq->serve = NULL;
        if (rq->gone == NULL)
            continue;
        rq->gone(rq);
        rq->gone = NULL;
        rq->is_answered = true;
    }
}

struct serve *serve_free(struct serve *s)
{
    struct serve_session *session;

    if (s == NULL)
        return NULL;
    s->is_draining = true;
    while ((session = TAILQ_FIRST(&s->sessions)) != NULL) {
        TAILQ_REMOVE(&s->sessions, session, link);
        leave_branch(session);
        session->serve = NULL; /* its last callbacks find no serve and only free */
        timer_stop(&session->life);
        http_session_close(session->http);
        let_go(session);
        session->account = NULL;
    }
    serve_accounts_release(s);
    timer_stop(&s->stamping);
    s->probes = probe_responder_close(s->probes);
    loop_bury(s->options.loop, free, s);
    return NULL;
}

void serve_set(struct serve *s, enum route_id route, serve_handler handler, void *arg)
{
    s->handlers[route] = handler;
    s->handler_args[route] = arg;
}

void serve_install_common(struct serve *s)
{
    serve_set(s, ROUTE_SESSION, serve_handle_session, s);
    serve_set(s, ROUTE_TRUST, serve_handle_trust, s);
    serve_set(s, ROUTE_REVOKED, serve_handle_revoked, s);
    serve_set(s, ROUTE_HEAD, serve_handle_head, s);
    serve_set(s, ROUTE_RECORD, serve_handle_record, s);
    serve_set(s, ROUTE_DELTAS, serve_handle_deltas, s);
    serve_set(s, ROUTE_ROOT, serve_handle_root, s);
    serve_set(s, ROUTE_CHUNKS, serve_handle_chunks, s);
    serve_set(s, ROUTE_CHUNK, serve_handle_chunk, s);
    serve_set(s, ROUTE_HOLDS, serve_handle_holds, s);
    serve_set(s, ROUTE_EVENTS, serve_handle_events, s);
}

static void on_life_over(void *arg)
{
    struct serve_session *session = arg;

    http_session_close(session->http);
}

/* Who is turned away has one request to hear it by. */
static struct http_session_options options_of(const struct serve *s, bool is_nobody,
                                              bool is_turned_away)
{
    struct http_session_options o = {.idle_timeout_ns = s->options.idle_timeout_ns};

    if (is_nobody)
        o.idle_timeout_ns = NOBODY_IDLE_NS;
    if (is_nobody)
        o.max_exchanges = NOBODYS_EXCHANGES;
    if (is_turned_away)
        o.max_exchanges = 1;
    return o;
}

static void enter(struct serve *s, struct serve_session *session)
{
    timer_init(&session->life, s->options.loop, on_life_over, session);
    if (session->turned_away != NULL)
        timer_set_in(&session->life, TURNED_AWAY_LIFE_NS);
    else if (session->is_nobody)
        timer_set_in(&session->life, NOBODY_LIFE_NS);
    TAILQ_INSERT_TAIL(&s->sessions, session, link);
    if (session->turned_away != NULL) {
        s->turned_away++;
        return;
    }
    if ((unsigned)session->who.role > ROLE_NONE)
        session->account = serve_account_enter(s, &session->who);
    s->nobodies += session->is_nobody;
    s->stats.sessions++;
    s->stats.sessions_total++;
}

void serve_accept(void *serve, struct stream *stream)
{
    struct serve *s = serve;
    const bool is_nobody =
        (unsigned)stream_peer(stream)->role <= ROLE_NONE && s->options.port == PORT_TREE;
    const char *why = serve_is_full_for(s, stream_peer(stream), is_nobody);

    if (why != NULL)
        serve_say_full(s, stream, why);
    if (s->is_draining || (why != NULL && !serve_may_turn_away(s))) {
        stream_free(stream);
        return;
    }
    const struct http_session_options options = options_of(s, is_nobody, why != NULL);
    struct serve_session *session = xalloc(sizeof *session);
    session->serve = s;
    session->who = *stream_peer(stream);
    session->is_nobody = is_nobody;
    session->turned_away = why;
    TAILQ_INIT(&session->requests);
    session->http = http_serve(stream, &options, &server_ops, session);
    if (s->options.branches != NULL)
        session->member = branch_enter(s->options.branches, session->http, session);
    enter(s, session);
}

static void leave(struct serve *s, struct serve_session *session)
{
    TAILQ_REMOVE(&s->sessions, session, link);
    if (session->turned_away != NULL) {
        s->turned_away--;
        return;
    }
    s->stats.sessions--;
    s->nobodies -= session->is_nobody;
    serve_note_parted(session);
    const bool was_last = serve_account_leave(session->account);
    session->account = NULL;
    if (was_last && s->left != NULL)
        s->left(s->left_arg, session->who.device);
}

void serve_when_left(struct serve *s, void (*left)(void *arg, const char *device), void *arg)
{
    s->left = left;
    s->left_arg = arg;
}

static void on_session_closed(void *arg, struct http_session *http, struct alb_status st)
{
    struct serve_session *session = arg;
    struct serve *s = session->serve;
    char text[128];

    (void)http;
    log_event(LOG_DEBUG, "serve.session_closed", "device=%s why=\"%s\"", session->who.device,
              alb_status_text(st, text, sizeof text));
    leave_branch(session);
    serve_lane_release(session);
    session->ticket = probe_ticket_free(session->ticket);
    timer_stop(&session->life);
    if (s != NULL)
        leave(s, session);
    session->is_closed = true;
    maybe_free_session(session);
}

/* A handler that is still at work may look at the session of its request. */
static void maybe_free_session(struct serve_session *session)
{
    if (!session->is_closed || !TAILQ_EMPTY(&session->requests))
        return;
    free(session->grant);
    free(session);
}

void serve_drain(struct serve *s)
{
    struct serve_session *session;

    s->is_draining = true;
    if (s->options.feed != NULL)
        feed_hang_up(s->options.feed);
    TAILQ_FOREACH(session, &s->sessions, link)
    http_session_drain(session->http);
}

void serve_recheck(struct serve *s)
{
    struct serve_session *session;

    TAILQ_FOREACH(session, &s->sessions, link)
    {
        if (authority_has_revoked(s->options.authority, session->who.serial)) {
            log_event(LOG_WARN, "serve.revoked", "device=%s serial=%s", session->who.device,
                      session->who.serial);
            http_session_close(session->http);
        }
    }
}

/* ---- a request comes in --------------------------------------------------------------------- */

static void decode_rest(const char *rest, char *out, size_t size)
{
    size_t n = 0;

    for (; *rest != '\0' && n + 1 < size; rest++) {
        uint8_t byte = 0;
        char pair[3] = {0};
        if (*rest == '%' && rest[1] != '\0' && rest[2] != '\0') {
            memcpy(pair, rest + 1, 2);
            if (!alb_failed(bytes_parse_hex(pair, &byte, 1)) && byte != 0) {
                out[n++] = (char)byte;
                rest += 2;
                continue;
            }
        }
        out[n++] = *rest;
    }
    out[n] = '\0';
}

static bool speaks_our_version(struct serve_request *rq)
{
    const char *version = http_exchange_header(rq->x, PROTO_HEADER);
    char text[160];

    if (version == NULL || strcmp(version, PROTO_VERSION) == 0)
        return true;
    snprintf(text, sizeof text,
             "this program speaks " PROTO_HEADER " " PROTO_VERSION
             ", not '%.32s': update the older of the two",
             version);
    serve_refuse(rq, ALB_INVALID, text);
    return false;
}

static uint64_t on_head(void *arg, struct http_exchange *x)
{
    struct serve_session *session = arg;
    struct serve *s = session->serve;
    struct serve_request *rq = xalloc(sizeof *rq);
    const char *rest = "";

    rq->serve = s;
    rq->session = session;
    rq->x = x;
    http_exchange_set_user(x, rq);
    TAILQ_INSERT_TAIL(&session->requests, rq, link);
    if (s == NULL) {
        http_exchange_abort(x);
        return 0;
    }
    s->stats.requests++;
    if (session->turned_away != NULL) {
        struct http_session *http = session->http; /* the answer may be the end of `rq` */
        serve_refuse(rq, ALB_TIMEOUT, session->turned_away);
        http_session_drain(http);
        return 0;
    }
    if (!speaks_our_version(rq))
        return 0;
    rq->route = route_find(s->options.port, http_exchange_method(x), http_exchange_path(x), &rest);
    if (rq->route == NULL || s->handlers[rq->route->id] == NULL) {
        rq->route = NULL;
        serve_refuse(rq, ALB_NOT_FOUND, "no such request here");
        return 0;
    }
    decode_rest(rest, rq->rest, sizeof rq->rest);
    if (!may_call(rq) || !serve_is_open_for(rq) || !serve_reserve_body(rq))
        return 0;
    return rq->route->body_limit;
}

static bool bearer_is_right(const struct serve_request *rq)
{
    const struct serve_options *o = &rq->serve->options;
    const char *value = http_exchange_header(rq->x, "authorization");

    return o->bearer != NULL && value != NULL && strncmp(value, "Bearer ", 7) == 0 &&
           o->bearer(o->arg, value + 7);
}

/* TLS looks at the dates once, and sessions last long.  0: a world that has no certificates. */
static bool has_run_out(const struct serve *s, const struct identity *who)
{
    const struct serve_options *o = &s->options;

    return who->expires_wall_s != 0 &&
           who->expires_wall_s < authority_now_s(o->authority, loop_wall_s(o->loop));
}

static bool may_call(struct serve_request *rq)
{
    const struct identity *who = &rq->session->who;
    struct http_session *http = rq->session->http; /* an answer may be the end of `rq` */
    unsigned role = (unsigned)who->role;

    if ((rq->route->roles & RR_BEARER) != 0 && bearer_is_right(rq))
        return true;
    if (role <= ROLE_NONE) {
        if ((rq->route->roles & RR_NONE) != 0)
            return true;
        serve_refuse(rq, ALB_REFUSED,
                     rq->serve->options.port == PORT_ADMIN
                         ? "this needs 'Authorization: Bearer TOKEN'"
                         : "this needs a certificate: join first (albedo join)");
        return false;
    }
    if (authority_has_revoked(rq->serve->options.authority, who->serial)) {
        serve_refuse(rq, ALB_REFUSED,
                     "this device's certificate was revoked; ask an administrator");
        http_session_drain(http);
        return false;
    }
    if (has_run_out(rq->serve, who)) {
        serve_refuse(rq, ALB_REFUSED, "this device's certificate has expired; join again");
        http_session_drain(http);
        return false;
    }
    if ((rq->route->roles & role) != 0)
        return true;
    serve_refuse(rq, ALB_REFUSED, "this device's role may not do that");
    return false;
}

static void on_request(void *arg, struct http_exchange *x)
{
    struct serve_session *session = arg;
    struct serve_request *rq = http_exchange_user(x);

    if (session->serve == NULL || rq == NULL || rq->is_answered || rq->route == NULL)
        return;
    rq->is_started = true;
    if (timer_is_set(&rq->late))
        timer_stop(&rq->late);
    rq->serve->handlers[rq->route->id](rq->serve->handler_args[rq->route->id], rq);
}

static void on_closed(void *arg, struct http_exchange *x)
{
    struct serve_request *rq = http_exchange_user(x);

    (void)arg;
    if (rq == NULL)
        return;
    serve_limits_release(rq);
    rq->x = NULL;
    http_exchange_set_user(x, NULL);
    if (rq->gone != NULL)
        rq->gone(rq);
    if (rq->gone != NULL || !rq->is_started)
        rq->is_answered = true; /* nobody will answer any more */
    maybe_free(rq);
}

/* Both must be over: the exchange, and the handler's work. */
static void maybe_free(struct serve_request *rq)
{
    struct serve_session *session = rq->session;

    if (rq->x != NULL || !rq->is_answered)
        return;
    TAILQ_REMOVE(&session->requests, rq, link);
    free(rq);
    maybe_free_session(session);
}

/* ---- answers -------------------------------------------------------------------------------- */

static const char read_first[] = "read the answers that wait for you, then ask again";

void serve_answer(struct serve_request *rq, const char *content_type, const void *body, size_t size)
{
    alb_assert(!rq->is_answered);
    if (!serve_reserve_answer(rq, size)) {
        serve_refuse(rq, ALB_TIMEOUT, read_first);
        return;
    }
    rq->is_answered = true;
    rq->gone = NULL;
    if (rq->x != NULL)
        http_answer(rq->x, 200, content_type, body, size);
    maybe_free(rq);
}

static void unref_chunk(void *chunk)
{
    chunk_unref(chunk);
}

void serve_answer_chunk(struct serve_request *rq, const char *content_type, struct chunk *chunk)
{
    const struct http_loan loan = {
        .bytes = chunk->bytes, .size = chunk->size, .back = unref_chunk, .arg = chunk};

    alb_assert(!rq->is_answered);
    if (!serve_reserve_answer(rq, chunk->size)) {
        serve_refuse(rq, ALB_TIMEOUT, read_first);
        return;
    }
    rq->is_answered = true;
    rq->gone = NULL;
    chunk_ref(chunk);
    if (rq->x != NULL)
        http_answer_lent(rq->x, 200, content_type, &loan);
    else
        chunk_unref(chunk);
    maybe_free(rq);
}

void serve_answer_stream(struct serve_request *rq, const char *content_type,
                         const struct http_source *source)
{
    alb_assert(!rq->is_answered && rq->x != NULL);
    rq->is_answered = true;
    http_answer_stream(rq->x, 200, content_type, source);
}

static unsigned http_status_of(const struct serve_request *rq, enum alb_code code)
{
    switch (code) {
    case ALB_OK: return 200;
    case ALB_NOT_FOUND: return 404;
    case ALB_REFUSED: return (unsigned)rq->session->who.role <= ROLE_NONE ? 401 : 403;
    case ALB_INVALID: return 400;
    case ALB_CONFLICT: return 409;
    case ALB_CORRUPT: return 422;
    case ALB_FULL: return 507;
    case ALB_TIMEOUT:
    case ALB_CLOSED: return 503;
    case ALB_IO:
    case ALB_UNKNOWN:
    case ALB_BUG: return 500;
    }
    return 500;
}

static void refuse(struct serve_request *rq, unsigned status, const struct error_body *error)
{
    struct buf body;

    alb_assert(!rq->is_answered);
    rq->is_answered = true;
    rq->gone = NULL;
    if (rq->serve != NULL)
        rq->serve->stats.refused++;
    buf_init(&body, 4096);
    if (rq->x != NULL && !alb_failed(error_body_encode(error, &body)))
        http_answer(rq->x, status, "application/json", buf_peek(&body), buf_size(&body));
    buf_release(&body);
    maybe_free(rq);
}

void serve_refuse(struct serve_request *rq, enum alb_code code, const char *message)
{
    struct error_body error = {.message = ""};

    snprintf(error.code, sizeof error.code, "%s", alb_code_name(code));
    snprintf(error.message, sizeof error.message, "%s", message);
    refuse(rq, http_status_of(rq, code), &error);
}

void serve_refuse_until(struct serve_request *rq, const char *code, const struct here *here)
{
    struct error_body error = {.until = (uint64_t)here->until_wall_s, .retry_s = here->retry_s};

    snprintf(error.code, sizeof error.code, "%s", code);
    snprintf(error.message, sizeof error.message, "%s", here->why);
    if (rq->x != NULL)
        http_exchange_retry_after(rq->x, here->retry_s);
    refuse(rq, 503, &error);
}

void serve_refuse_status(struct serve_request *rq, struct alb_status st)
{
    char text[256];

    serve_refuse(rq, st.code, alb_status_text(st, text, sizeof text));
}

bool serve_may_read(const struct serve_request *rq, const char *layer)
{
    const struct serve_session *session = rq->session;

    if (session->who.role == ROLE_ADMIN || session->who.role == ROLE_PUBLISHER)
        return true;
    if (session->grant == NULL || !grant_covers(session->grant, layer) || rq->serve == NULL)
        return false;
    /* It may have run out since it was shown: sessions last long. */
    const struct serve_options *o = &rq->serve->options;
    return session->grant->expires_wall_s >= authority_now_s(o->authority, loop_wall_s(o->loop));
}

const uint8_t *serve_body(const struct serve_request *rq, size_t *size)
{
    struct buf *body = http_exchange_body(rq->x);

    *size = buf_size(body);
    return buf_peek(body);
}

bool serve_query(const struct serve_request *rq, const char *name, char *out, size_t size)
{
    const char *at = http_exchange_query(rq->x);
    size_t length = strlen(name);
    char raw[512];

    while (*at != '\0') {
        size_t part = strcspn(at, "&");
        if (part > length && at[length] == '=' && strncmp(at, name, length) == 0) {
            if (part - length - 1 >= sizeof raw)
                return false;
            snprintf(raw, sizeof raw, "%.*s", (int)(part - length - 1), at + length + 1);
            decode_rest(raw, out, size);
            return true;
        }
        at += part + (at[part] == '&');
    }
    return false;
}

void serve_stats(const struct serve *s, struct serve_stats *out)
{
    *out = s->stats;
    if (s->probes != NULL)
        probe_responder_figures(s->probes, &out->probes);
}
