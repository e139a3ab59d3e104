/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_limits.c – what one device, and all of them together, may cost in memory.
 *
 * Sessions, bodies that come in and answers that wait to leave are counted; whoever goes beyond is
 * told so (503, ask again after a rest) rather than dropped, and the log has an alarm.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "transfer/serve_impl.h"

enum {
    NOBODYS_SHARE = 4,     /* who shows no certificate has a quarter of the places */
    TURNED_AWAY_MOST = 64, /* told why; more are just closed */
    SMALL_BODY = 64 << 10,
};
/* A body of this size takes no longer, or it is one that is never meant to end: 16 KiB/s is what a
 * publisher behind a quarter of a megabit has. */
#define BODY_LEAST_NS (120 * NS_PER_S)
enum { BODY_LEAST_BPS = 16 << 10 };

static bool is_same_device(const struct serve_session *a, const struct identity *who)
{
    return strcmp(a->who.device, who->device) == 0 && strcmp(a->who.org, who->org) == 0;
}

static size_t sessions_of(const struct serve *s, const struct identity *who)
{
    const struct serve_session *session;
    size_t n = 0;

    TAILQ_FOREACH(session, &s->sessions, link)
    n += is_same_device(session, who);
    return n;
}

const char *serve_is_full_for(const struct serve *s, const struct identity *who, bool is_nobody)
{
    const bool is_device = (unsigned)who->role > ROLE_NONE;

    if (s->stats.sessions >= s->options.max_sessions)
        return "there are as many connections here as max_sessions allows; try again later";
    if (is_nobody && s->nobodies * NOBODYS_SHARE >= s->options.max_sessions)
        return "too many who show no certificate are connected here; try again later";
    if (is_device && sessions_of(s, who) >= s->options.max_device_sessions)
        return "this device has too many connections here; close some, or wait until the lost ones "
               "are noticed (20 s)";
    return NULL;
}

bool serve_may_turn_away(const struct serve *s)
{
    return s->turned_away < TURNED_AWAY_MOST;
}

void serve_say_full(struct serve *s, const struct stream *stream, const char *why)
{
    char text[LOG_TEXT_SIZE];

    s->stats.turned_away++;
    if (log_limit_passes(&s->full_lines, loop_now_ns(s->options.loop)))
        log_event(LOG_WARN, "serve.full", "sessions=%zu from=%s device=%s why=%s",
                  s->stats.sessions, stream->address, stream->peer.device, log_text(why, text));
}

/* ---- bodies that come in -------------------------------------------------------------------- */

static uint64_t bodies_of(const struct serve *s, const struct identity *who)
{
    const struct serve_session *session;
    uint64_t bytes = 0;

    TAILQ_FOREACH(session, &s->sessions, link)
    bytes += is_same_device(session, who) ? session->body_bytes : 0;
    return bytes;
}

static bool is_room_for_body(const struct serve_request *rq, uint64_t bytes)
{
    const struct serve *s = rq->serve;

    if (s->stats.body_bytes + bytes > s->options.max_body_bytes)
        return false;
    return bytes <= SMALL_BODY || bodies_of(s, &rq->session->who) == 0 ||
           bodies_of(s, &rq->session->who) + bytes <= SERVE_DEVICE_BODIES_MAX;
}

static void body_is_late(void *arg)
{
    struct serve_request *rq = arg;

    if (rq->x != NULL && !rq->is_started)
        http_exchange_abort(rq->x);
}

bool serve_reserve_body(struct serve_request *rq)
{
    struct serve *s = rq->serve;
    const char *said = http_exchange_header(rq->x, "content-length");
    uint64_t bytes = rq->route->body_limit, length;

    if (said != NULL && !alb_failed(parse_u64(said, UINT64_MAX, &length)) && length < bytes)
        bytes = length;
    if (bytes == 0)
        return true;
    if (!is_room_for_body(rq, bytes)) {
        if (log_limit_passes(&s->full_lines, loop_now_ns(s->options.loop)))
            log_event(LOG_WARN, "serve.bodies_full", "device=%s bytes=%" PRIu64 " in_all=%" PRIu64,
                      rq->session->who.device, bytes, s->stats.body_bytes);
        serve_refuse(rq, ALB_TIMEOUT,
                     "too many bytes are on their way here at once; send this again after a rest");
        return false;
    }
    rq->body_bytes = bytes;
    rq->session->body_bytes += bytes;
    s->stats.body_bytes += bytes;
    timer_init(&rq->late, s->options.loop, body_is_late, rq);
    timer_set_in(&rq->late, BODY_LEAST_NS + bytes * NS_PER_S / BODY_LEAST_BPS);
    return true;
}

/* ---- answers that wait to leave ------------------------------------------------------------- */

bool serve_reserve_answer(struct serve_request *rq, size_t bytes)
{
    struct serve *s = rq->serve;
    struct serve_session *session = rq->session;

    if (s == NULL || rq->x == NULL)
        return true;
    if (session->answer_bytes > 0 && (session->answer_bytes + bytes > SERVE_SESSION_ANSWERS_MAX ||
                                      s->stats.answer_bytes + bytes > SERVE_ANSWERS_MAX)) {
        if (log_limit_passes(&s->full_lines, loop_now_ns(s->options.loop)))
            log_event(LOG_WARN, "serve.answers_full", "device=%s unread=%" PRIu64,
                      session->who.device, session->answer_bytes);
        return false;
    }
    rq->answer_bytes = bytes;
    session->answer_bytes += bytes;
    s->stats.answer_bytes += bytes;
    return true;
}

/* What the exchange held is given back with it. */
void serve_limits_release(struct serve_request *rq)
{
    if (timer_is_set(&rq->late))
        timer_stop(&rq->late);
    rq->session->body_bytes -= rq->body_bytes;
    rq->session->answer_bytes -= rq->answer_bytes;
    if (rq->serve != NULL) {
        rq->serve->stats.body_bytes -= rq->body_bytes;
        rq->serve->stats.answer_bytes -= rq->answer_bytes;
    }
    rq->body_bytes = 0;
    rq->answer_bytes = 0;
}
