/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/upstream.c – dialling, greeting and losing the parent's two connections.
 *
 *     DOWN → DIAL CONTROL → (ask for a grant ⇄ for trust) → GREET → DIAL DATA → GREET → UP
 *       ^____ back-off ______________ any loss, on either connection ______/
 *
 *     while UP, a grant that is half-spent: ask for one → GREET both again
 */
#include "transfer/upstream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "shaper/wan.h"
#include "transfer/upstream_impl.h"
#include "wire/json.h"
#include "wire/routes.h"
#include "wire/signed.h"

enum { CONTROL_WINDOW = 256 << 10 }; /* small answers, and nobody paces them */
#define BACKOFF_FIRST_NS (250 * NS_PER_MS)
#define BACKOFF_MOST_NS (10 * NS_PER_S)
#define DIAL_TIMEOUT_NS (15 * NS_PER_S)
#define DEAD_NS (20 * NS_PER_S)
#define PATIENCE_NS (60 * NS_PER_S)       /* a reflector may have to ask the hub for our grant */
#define STEADY_NS (10 * NS_PER_S)         /* up for that long: the next loss is a new story    */
#define RENEWAL_EVERY_NS (300 * NS_PER_S) /* far below any grant's half-life                   */
#define SPREAD_MOST_S 60
#define BUSY_NS (30 * NS_PER_S) /* a silent line is found dead after DEAD_NS */

static void dial(void *arg);
static void out_of_patience(void *arg);
static void renew_grant(void *arg);
static void link_opened(void *arg, struct http_session *s);
static void link_closed(void *arg, struct http_session *s, struct alb_status st);
static void ask_grant(struct upstream *u);
static void ask_trust(struct upstream *u);
static void greet(struct upstream_link *link);
static void link_ready(struct upstream_link *link);
static void lose(struct upstream *u, struct alb_status why);
static void lose_in_words(struct upstream *u, struct alb_status why, const char *words,
                          int64_t until_wall_s);

const struct http_header proto_header = {PROTO_HEADER, PROTO_VERSION};

static const struct http_client_ops link_ops = {.opened = link_opened, .closed = link_closed};

struct upstream *upstream_new(const struct upstream_options *options)
{
    struct upstream *u = xalloc(sizeof *u);

    u->options = *options;
    u->grant.limit = UPSTREAM_GRANT_MAX;
    if (options->grant != NULL)
        alb_ignore(buf_append(&u->grant, options->grant, options->grant_size),
                   "a grant that does not fit is asked for anew");
    u->options.grant = NULL;
    u->control.upstream = u;
    u->data.upstream = u;
    upstream_init_more(u);
    u->since_ns = loop_now_ns(options->loop);
    TAILQ_INIT(&u->listeners);
    TAILQ_INIT(&u->requests);
    timer_init(&u->redial, options->loop, dial, u);
    timer_init(&u->patience, options->loop, out_of_patience, u);
    timer_init(&u->renewal, options->loop, renew_grant, u);
    upstream_init_events(u);
    timer_set_in(&u->redial, 0);
    return u;
}

void upstream_drop_link(struct upstream_link *link)
{
    if (link->call != NULL) {
        http_call_cancel(link->call);
        link->call = NULL;
    }
    if (link->session != NULL) {
        uint64_t received = 0, sent = 0;
        link->member = wan_detach(link->member);
        http_session_counts(link->session, &received, &sent);
        link->upstream->body_received += received;
        link->upstream->body_sent += sent;
        http_session_set_user(link->session, NULL); /* its closed() is nobody's business now */
        http_session_close(link->session);
        link->session = NULL;
    }
    buf_release(&link->answer);
    link->is_greeted = link->is_leaving = false;
}

struct upstream *upstream_free(struct upstream *u)
{
    if (u == NULL)
        return NULL;
    timer_stop(&u->redial);
    timer_stop(&u->patience);
    timer_stop(&u->renewal);
    upstream_drop_requests(u);
    upstream_stop_events(u);
    upstream_drop_more(u);
    upstream_drop_link(&u->control);
    upstream_drop_link(&u->data);
    buf_release(&u->grant);
    loop_bury(u->options.loop, free, u);
    return NULL;
}

void upstream_dial_link(struct upstream_link *link)
{
    struct upstream *u = link->upstream;
    const bool is_bulk = link != &u->control, is_upload = link == &u->upload;
    const bool is_paced = is_bulk && !is_upload;
    const struct upstream_place *place = &u->options.places[u->place];
    const struct dial_options dial_options = {.host = place->host,
                                              .port = place->port,
                                              .tls = u->options.tls,
                                              .timeout_ns = DIAL_TIMEOUT_NS,
                                              .bulk = is_bulk};
    const struct http_session_options session_options = {
        .window_bytes = is_paced ? u->options.window_bytes : CONTROL_WINDOW,
        .dead_timeout_ns = DEAD_NS,
        .is_paced = is_paced && u->options.wan != NULL && wan_is_shaped(u->options.wan)};
    struct stream *stream = loop_dial(u->options.loop, &dial_options);

    if (u->options.gate != NULL)
        stream_use_gate(stream, u->options.gate);
    link->session = http_connect(stream, &session_options, &link_ops, link);
    http_session_set_user(link->session, link);
    if (u->options.wan != NULL)
        link->member = wan_attach(u->options.wan, link->session,
                                  is_upload ? WAN_UPLOAD
                                  : is_bulk ? WAN_BULK
                                            : WAN_CONTROL);
}

static void dial(void *arg)
{
    struct upstream *u = arg;

    u->dials++;
    u->is_resting = false;
    u->has_asked_trust = false;
    u->has_asked_grant = false;
    timer_set_in(&u->patience, PATIENCE_NS);
    upstream_dial_link(&u->control);
}

/* A side that answers PINGs but not the greeting would hold us for ever. */
static void out_of_patience(void *arg)
{
    lose(arg, alb_fail(ALB_TIMEOUT, "the parent does not finish its greeting"));
}

static void link_opened(void *arg, struct http_session *s)
{
    struct upstream_link *link = arg;
    struct upstream *u = link->upstream;

    if (http_session_user(s) != link)
        return;
    if (upstream_is_more(link) && !upstream_more_is_ours(link)) {
        upstream_more_lost(link);
        return;
    }
    if (link == &u->control && u->options.wants_grant &&
        (buf_size(&u->grant) == 0 || loop_wall_s(u->options.loop) >= u->options.grant_renew_wall_s))
        ask_grant(u);
    else
        greet(link);
}

/* ---- the small calls that make a connection useful ------------------------------------------- */

static void small_head(void *arg, struct http_call *c, unsigned status)
{
    struct upstream_link *link = arg;

    (void)c;
    link->answer_status = status;
}

static void small_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct upstream_link *link = arg;

    (void)c;
    alb_ignore(buf_append(&link->answer, bytes, size),
               "a longer answer is no grant; judged at end");
}

static void small_call(struct upstream_link *link, const struct http_call_options *what,
                       const struct http_call_ops *ops)
{
    struct http_call_options call = *what;

    call.headers = &proto_header;
    call.header_count = 1;
    buf_release(&link->answer);
    buf_init(&link->answer, call.expect_bytes);
    link->answer_status = 0;
    link->call = http_call_start(link->session, &call, ops, link);
}

static void greet_all(struct upstream *u)
{
    greet(&u->control);
    if (u->is_up && u->data.call == NULL)
        greet(&u->data);
    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++)
        if (u->more[i].is_greeted && u->more[i].call == NULL && !u->more[i].is_leaving)
            greet(&u->more[i]);
    if (u->upload.is_greeted && u->upload.call == NULL)
        greet(&u->upload);
}

static bool is_refusal(unsigned status)
{
    return status == 401 || status == 403;
}

/* When it is worth asking again, in the parent's own words; 0: it does not say. */
static int64_t refused_until_s(const struct upstream_link *link)
{
    struct json_doc *doc = NULL;
    int64_t until_s = 0;

    if (!alb_failed(json_doc_parse(buf_peek(&link->answer), buf_size(&link->answer), &doc)))
        until_s = (int64_t)(json_doc_number(doc, "until") & INT64_MAX);
    json_doc_free(doc);
    return until_s;
}

/* What the parent says about it is worth more than that the line is gone. */
static void turned_away(struct upstream_link *link)
{
    struct upstream *u = link->upstream;
    const unsigned status = link->answer_status;
    struct error_body error;

    log_event(LOG_WARN, "upstream.not_welcome", "status=%u place=%s", status,
              u->options.places[u->place].host);
    if (status < 500)
        buf_clear(&u->grant); /* a refused grant is not shown twice */
    error_body_decode(buf_peek(&link->answer), buf_size(&link->answer), &error);
    lose_in_words(u,
                  status < 500 ? alb_fail(ALB_REFUSED, "the parent does not accept this device")
                               : alb_fail(ALB_CLOSED, "the parent cannot let anybody in now"),
                  error.message, refused_until_s(link));
}

static void grant_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct upstream_link *link = arg;
    struct upstream *u = link->upstream;
    int64_t renew_wall_s = 0;

    (void)c;
    link->call = NULL;
    if (alb_failed(st))
        return; /* the session is closing and says so itself */
    if (link->answer_status != 200) {
        log_event(LOG_WARN, "upstream.no_grant", "status=%u", link->answer_status);
        if (is_refusal(link->answer_status) || buf_size(&u->grant) == 0) {
            turned_away(link);
            return;
        }
    } else if (alb_failed(st = u->options.granted(u->options.arg, buf_peek(&link->answer),
                                                  buf_size(&link->answer), &renew_wall_s))) {
        log_status(LOG_WARN, "upstream.bad_grant", st, "at=%s", u->options.places[u->place].host);
        if (u->trust.take != NULL && !u->has_asked_trust) {
            u->has_asked_trust = true;
            u->has_new_trust = false;
            ask_trust(u);
            return;
        }
    } else {
        buf_release(&u->grant);
        u->grant = link->answer;
        link->answer = (struct buf){0};
        u->options.grant_renew_wall_s = renew_wall_s;
    }
    greet_all(u);
}

static const struct http_call_ops grant_ops = {
    .head = small_head, .data = small_data, .end = grant_end};

static void ask_grant(struct upstream *u)
{
    const struct http_call_options call = {.method = "POST",
                                           .path = "/v1/grant",
                                           .body = "{}",
                                           .body_size = 2,
                                           .expect_bytes = UPSTREAM_GRANT_MAX};

    u->has_asked_grant = true;
    small_call(&u->control, &call, &grant_ops);
}

/* As many as there are; then the grant is worth another question, if they brought anything. */
static void trust_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct upstream_link *link = arg;
    struct upstream *u = link->upstream;

    (void)c;
    link->call = NULL;
    if (alb_failed(st))
        return;
    if (link->answer_status == 200 && u->trust.take != NULL &&
        !alb_failed(
            u->trust.take(u->trust.arg, buf_peek(&link->answer), buf_size(&link->answer)))) {
        u->has_new_trust = true;
        ask_trust(u);
    } else if (u->has_new_trust) {
        ask_grant(u);
    } else {
        greet_all(u);
    }
}

static const struct http_call_ops trust_ops = {
    .head = small_head, .data = small_data, .end = trust_end};

static void ask_trust(struct upstream *u)
{
    char path[48];
    const struct http_call_options call = {
        .method = "GET", .path = path, .expect_bytes = SIGNED_MAX};

    snprintf(path, sizeof path, "/v1/trust/%" PRIu64, u->trust.next(u->trust.arg));
    small_call(&u->control, &call, &trust_ops);
}

bool upstream_has_revoked(const struct upstream *u, const char *serial)
{
    return u->trust.has_revoked != NULL && u->trust.has_revoked(u->trust.arg, serial);
}

void upstream_use_trust(struct upstream *u, const struct upstream_trust *trust)
{
    u->trust = trust != NULL ? *trust : (struct upstream_trust){.take = NULL};
}

static void renew_grant(void *arg)
{
    struct upstream *u = arg;

    timer_set_in(&u->renewal, RENEWAL_EVERY_NS);
    if (u->control.call == NULL && u->data.call == NULL &&
        loop_wall_s(u->options.loop) >= u->options.grant_renew_wall_s) {
        u->has_asked_trust = false;
        ask_grant(u);
    }
}

/* A parent that began anew does not know yet how many will come: it is believed that they are fewer
 * only when it says so later, on a line that holds. */
static void note_spread(struct upstream_link *link)
{
    struct upstream *u = link->upstream;
    struct json_doc *doc = NULL;
    uint64_t said_s = 0;

    if (!alb_failed(json_doc_parse(buf_peek(&link->answer), buf_size(&link->answer), &doc)))
        said_s = json_doc_number(doc, "spread_s");
    json_doc_free(doc);
    if (said_s > SPREAD_MOST_S)
        said_s = SPREAD_MOST_S;
    if (said_s > u->spread_s || link->is_greeted)
        u->spread_s = said_s;
}

static uint64_t part_of_spread_ns(struct upstream *u)
{
    return u->spread_s == 0 ? 0 : loop_random_between(u->options.loop, 0, u->spread_s * NS_PER_S);
}

static void greet_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct upstream_link *link = arg;

    (void)c;
    link->call = NULL;
    if (st.code == ALB_REFUSED && http_session_is_open(link->session)) {
        greet(link); /* a pause took its credit back, and the session stays */
        return;
    }
    if (alb_failed(st))
        return;
    if (link->answer_status == 200) {
        note_spread(link);
        link_ready(link);
        return;
    }
    struct upstream *u = link->upstream;
    if (upstream_is_more(link)) {
        upstream_more_lost(link);
        return;
    }
    if (link == &u->control && link->answer_status < 500 && !u->has_asked_grant &&
        buf_size(&u->grant) > 0) {
        log_event(LOG_INFO, "upstream.old_grant", "status=%u next=\"a new one is asked for\"",
                  link->answer_status); /* of a hub key that was rotated since, say */
        buf_clear(&u->grant);
        ask_grant(u);
        return;
    }
    turned_away(link);
}

static const struct http_call_ops greet_ops = {
    .head = small_head, .data = small_data, .end = greet_end};

static void greet(struct upstream_link *link)
{
    const struct buf *grant = &link->upstream->grant;
    const struct http_call_options call = {.method = "POST",
                                           .path = "/v1/session",
                                           .body = buf_peek(grant),
                                           .body_size = buf_size(grant),
                                           .expect_bytes = UPSTREAM_GRANT_MAX};

    if (!link->upstream->options.wants_grant)
        link_ready(link);
    else
        small_call(link, &call, &greet_ops);
}

static void link_ready(struct upstream_link *link)
{
    struct upstream *u = link->upstream;
    struct upstream_listener *l, *next;

    if (link->is_greeted)
        return; /* again, with a new grant */
    link->is_greeted = true;
    if (upstream_is_more(link)) {
        upstream_send_requests(u);
        return;
    }
    if (link == &u->control) {
        u->calm_ns = loop_now_ns(u->options.loop) + part_of_spread_ns(u);
        upstream_dial_link(&u->data);
        upstream_send_requests(u);
        if (u->options.wants_events)
            upstream_start_events(u);
        return;
    }
    u->is_up = true;
    timer_stop(&u->patience);
    if (u->options.wants_grant)
        timer_set_in(&u->renewal, RENEWAL_EVERY_NS);
    u->since_ns = loop_now_ns(u->options.loop);
    log_event(LOG_INFO, "upstream.up", "place=%s", upstream_place_text(upstream_at(u)).text);
    for (l = TAILQ_FIRST(&u->listeners); l != NULL; l = next) {
        next = TAILQ_NEXT(l, link);
        l->up(l);
    }
    if (u->is_up)
        upstream_send_requests(u);
}

/* ---- losing it ------------------------------------------------------------------------------ */

static void link_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct upstream_link *link = arg;

    if (http_session_user(s) != link)
        return; /* one we dropped ourselves */
    uint64_t received = 0, sent = 0;
    link->member = wan_detach(link->member);
    http_session_counts(s, &received, &sent);
    link->upstream->body_received += received;
    link->upstream->body_sent += sent;
    link->session = NULL;
    link->call = NULL;
    if (upstream_is_more(link))
        upstream_more_lost(link);
    else
        lose(link->upstream, st);
}

static uint64_t backoff_ns(struct upstream *u)
{
    uint64_t delay = BACKOFF_FIRST_NS << (u->failures < 6 ? u->failures : 6);

    if (delay > BACKOFF_MOST_NS)
        delay = BACKOFF_MOST_NS;
    return loop_random_between(u->options.loop, delay / 2, delay + delay / 2);
}

/* Requests wait, listeners hear of it: both connections are gone.  Called again in `redial_ns`. */
void upstream_hang_up(struct upstream *u, uint64_t redial_ns)
{
    struct upstream_listener *l, *next;
    const bool was_up = u->is_up;

    u->is_up = false;
    if (was_up)
        u->since_ns = loop_now_ns(u->options.loop);
    upstream_stop_events(u);
    upstream_park_requests(u);
    upstream_drop_more(u);
    upstream_drop_link(&u->control);
    upstream_drop_link(&u->data);
    timer_stop(&u->patience);
    timer_stop(&u->renewal);
    timer_set_in(&u->redial, redial_ns);
    for (l = TAILQ_FIRST(&u->listeners); l != NULL; l = next) {
        next = TAILQ_NEXT(l, link);
        if (was_up)
            l->down(l);
    }
}

static void tell_failed(struct upstream *u)
{
    struct upstream_listener *l, *next;

    for (l = TAILQ_FIRST(&u->listeners); l != NULL; l = next) {
        next = TAILQ_NEXT(l, link);
        if (l->failed != NULL)
            l->failed(l);
    }
}

static void lose(struct upstream *u, struct alb_status why)
{
    lose_in_words(u, why, "", 0);
}

/* By a question, or by chunks: then a session that ended was busy a moment ago. */
static bool is_awaited(struct upstream *u)
{
    return upstream_is_busy(u) || upstream_is_awaited(u) ||
           (u->busy_ns != 0 && loop_now_ns(u->options.loop) - u->busy_ns < BUSY_NS);
}

static void lose_in_words(struct upstream *u, struct alb_status why, const char *words,
                          int64_t until_wall_s)
{
    const bool was_up = u->is_up;

    if (was_up && loop_now_ns(u->options.loop) - u->since_ns >= STEADY_NS)
        u->failures = 0;
    uint64_t delay_ns = backoff_ns(u);
    u->is_resting = was_up && u->spread_s > 0 && !is_awaited(u);
    if (u->is_resting)
        delay_ns += part_of_spread_ns(u);
    u->has_failed = true;
    u->why_down = why;
    snprintf(u->refusal, sizeof u->refusal, "%.255s", words);
    u->refused_until_s = until_wall_s;
    u->losses++;
    u->failures++;
    log_status(LOG_WARN, "upstream.down", why, "place=%s retry_ms=%" PRIu64,
               upstream_place_text(upstream_at(u)).text, delay_ns / NS_PER_MS);
    if (!was_up)
        u->place = (u->place + 1) % u->options.place_count;
    upstream_hang_up(u, delay_ns);
    if (!was_up)
        tell_failed(u);
}

void upstream_suspect(struct upstream *u, struct alb_status why)
{
    if (u->is_up || u->control.session != NULL)
        lose(u, why);
}

struct upstream_place_text upstream_place_text(const struct upstream_place *place)
{
    const bool is_six = strchr(place->host, ':') != NULL;
    struct upstream_place_text out;

    (void)snprintf(out.text, sizeof out.text, is_six ? "[%s]:%u" : "%s:%u", place->host,
                   place->port);
    return out;
}

const struct upstream_place *upstream_at(const struct upstream *u)
{
    return &u->options.places[u->place];
}

void upstream_move(struct upstream *u, const struct upstream_place *place)
{
    const struct upstream_place to = *place, *at = upstream_at(u);
    const bool is_same = to.port == at->port && strcmp(to.host, at->host) == 0;

    if (is_same && (u->is_up || u->control.session != NULL))
        return;
    log_event(LOG_INFO, "upstream.move", "from=%s to=%s", upstream_place_text(at).text,
              upstream_place_text(&to).text);
    u->options.places[0] = to;
    u->options.place_count = 1;
    u->place = 0;
    u->failures = 0;
    u->spread_s = 0;
    u->is_resting = false;
    u->has_failed = u->is_quiet = false;
    upstream_hang_up(u, 0);
}

void upstream_wait(struct upstream *u, const char *words)
{
    u->has_failed = true;
    u->why_down = alb_fail(ALB_CLOSED, "nobody may serve this device now");
    snprintf(u->refusal, sizeof u->refusal, "%.255s", words);
    u->refused_until_s = 0;
    u->is_resting = false;
    upstream_hang_up(u, 0);
    timer_stop(&u->redial);
}

/* ---- small things --------------------------------------------------------------------------- */

void upstream_listen(struct upstream *u, struct upstream_listener *l)
{
    TAILQ_INSERT_TAIL(&u->listeners, l, link);
}

void upstream_unlisten(struct upstream *u, struct upstream_listener *l)
{
    TAILQ_REMOVE(&u->listeners, l, link);
}

bool upstream_is_up(const struct upstream *u)
{
    return u->is_up;
}

struct http_session *upstream_control(struct upstream *u)
{
    return u->is_up ? u->control.session : NULL;
}

static void add_counts(const struct upstream_link *link, struct upstream_figures *out)
{
    uint64_t received = 0, sent = 0;

    if (link->session == NULL)
        return;
    http_session_counts(link->session, &received, &sent);
    out->body_received += received;
    out->body_sent += sent;
}

void upstream_figures(struct upstream *u, struct upstream_figures *out)
{
    const struct upstream_place_text place = upstream_place_text(upstream_at(u));

    *out = (struct upstream_figures){.is_up = u->is_up,
                                     .since_ns = u->since_ns,
                                     .dials = u->dials,
                                     .losses = u->losses,
                                     .body_received = u->body_received,
                                     .body_sent = u->body_sent};
    memcpy(out->place, place.text, sizeof out->place);
    if (!u->is_up && u->has_failed) {
        if (u->refusal[0] != '\0')
            memcpy(out->why_down, u->refusal, sizeof out->why_down);
        else
            alb_status_text(u->why_down, out->why_down, sizeof out->why_down);
        out->down_code = u->why_down.code;
        out->refused_until_wall_s = u->refused_until_s;
    }
    add_counts(&u->control, out);
    add_counts(&u->data, out);
    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++)
        add_counts(&u->more[i], out);
    add_counts(&u->upload, out);
}
