/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_limits.c – what one device, and all of them together, may cost.
 *
 * Sessions, bodies that come in and answers that wait to leave are counted; whoever goes beyond is
 * told so (503, ask again after a rest) rather than dropped, and the log has an alarm.  So are,
 * where there is a parent, questions about what does not exist: each may cost one on the WAN.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/serve_impl.h"
#include "wire/json.h"

enum {
    NOBODYS_SHARE = 4,     /* who shows no certificate has a quarter of the places */
    TURNED_AWAY_MOST = 64, /* told why; more are just closed */
    SMALL_BODY = 64 << 10,
    SMALL_EXTRA = 1 << 20, /* whoever sends much may still ask */
};
/* What the bodies of one asker may hold.  Who publishes sends megabytes (SERVE_DEVICE_BODIES_MAX),
 * a branch asks for many, a machine asks small questions.  A body is counted before a byte of it is
 * here, so what machines and strangers may announce is far from all there is. */
enum {
    BRANCH_BODIES_MAX = 16 << 20,
    MACHINE_BODIES_MAX = 1 << 20,
    NOBODYS_BODIES_MAX = 16 << 20, /* all of them together */
};
/* Questions of POST /v1/holds under way for one device; a branch asks for many. */
enum { HOLDS_MOST = 4 };
/* A body of this size takes no longer, or it is one that is never meant to end.  A publisher sends
 * three at once: each has 4 KiB/s where the line has an eighth of a megabit. */
#define BODY_LEAST_NS (120 * NS_PER_S)
enum { BODY_LEAST_BPS = 4 << 10 };
/* A device has no reason to ask for what does not exist, but for a version that was published a
 * moment ago; a reflector speaks for a branch. */
enum { MISSES_BURST = 240, MISSES_EACH_S = 2, BRANCH = 16 };
enum { LOOKS_BURST = 20 }; /* of GET /v1/here, then one a second */
/* Announcements: a machine gathers what changed, a branch has many machines. */
enum { ANNOUNCES_BURST = 20, BRANCH_ANNOUNCES = 4 };
enum { ACCOUNTS_MOST = 16 << 10 /* then those without a session are forgotten */ };

/* What one device is doing here.  Lives as long as a session of it, and usually longer. */
struct serve_account {
    struct chunk_key key;
    size_t sessions;
    uint64_t body_bytes, most_body_bytes;
    size_t holds;
    uint32_t scale;
    uint32_t misses; /* left */
    uint64_t misses_ns;
    uint64_t mark;
    size_t greeted;       /* of its sessions        */
    uint64_t look_ns;     /* until when its looks are used up, as far as they go */
    uint64_t announce_ns; /* the same for its announcements */
};

/* ---- accounts ------------------------------------------------------------------------------- */

static struct chunk_key account_key(const struct identity *who)
{
    char text[2 * NAME_MAX_SIZE + 2];

    snprintf(text, sizeof text, "%s/%s", who->org, who->device);
    return map_text_key(text);
}

static bool find_idle(void *arg, const struct chunk_key *key, void *value)
{
    struct serve_account *a = value, **idle = arg;

    (void)key;
    if (a->sessions == 0)
        *idle = a;
    return *idle == NULL;
}

static void make_room(struct map *accounts)
{
    struct serve_account *idle = NULL;

    if (accounts->count < ACCOUNTS_MOST)
        return;
    map_each(accounts, find_idle, &idle);
    if (idle != NULL)
        free(map_remove(accounts, &idle->key));
}

static uint64_t most_body_bytes(enum role role)
{
    switch (role) {
    case ROLE_PUBLISHER:
    case ROLE_ADMIN: return SERVE_DEVICE_BODIES_MAX;
    case ROLE_REFLECTOR:
    case ROLE_HUB: return BRANCH_BODIES_MAX;
    case ROLE_ENDPOINT:
    case ROLE_NONE: return MACHINE_BODIES_MAX;
    }
    return MACHINE_BODIES_MAX;
}

struct serve_account *serve_account_enter(struct serve *s, const struct identity *who)
{
    const struct chunk_key key = account_key(who);
    struct serve_account *a = map_get(&s->accounts, &key);

    if (a == NULL) {
        make_room(&s->accounts);
        a = xalloc(sizeof *a);
        a->key = key;
        a->scale = who->role == ROLE_REFLECTOR ? BRANCH : 1;
        a->most_body_bytes = most_body_bytes(who->role);
        a->misses = MISSES_BURST * a->scale;
        a->misses_ns = loop_now_ns(s->options.loop);
        (void)map_put(&s->accounts, &key, a);
    }
    a->sessions++;
    return a;
}

bool serve_account_leave(struct serve_account *a)
{
    return a != NULL && --a->sessions == 0;
}

bool serve_account_greet(struct serve_account *a)
{
    return a->greeted++ == 0;
}

bool serve_account_part(struct serve_account *a)
{
    return --a->greeted == 0;
}

bool serve_account_is_here(const struct serve_account *a)
{
    return a->greeted > 0;
}

bool serve_account_may_look(struct serve_account *a, uint64_t now_ns)
{
    const uint64_t each_ns = NS_PER_S / a->scale;

    if (a->look_ns < now_ns)
        a->look_ns = now_ns;
    if (a->look_ns + each_ns > now_ns + LOOKS_BURST * NS_PER_S)
        return false;
    a->look_ns += each_ns;
    return true;
}

bool serve_may_announce(struct serve_request *rq)
{
    struct serve_account *a = rq->session->account;
    const uint64_t now_ns = loop_now_ns(rq->serve->options.loop);

    if (a == NULL)
        return true;
    const uint64_t each_ns = a->scale > 1 ? NS_PER_S / BRANCH_ANNOUNCES : NS_PER_S;
    if (a->announce_ns < now_ns)
        a->announce_ns = now_ns;
    if (a->announce_ns + each_ns > now_ns + ANNOUNCES_BURST * NS_PER_S)
        return false;
    a->announce_ns += each_ns;
    return true;
}

static bool free_each(void *arg, const struct chunk_key *key, void *value)
{
    (void)arg;
    (void)key;
    free(value);
    return true;
}

void serve_accounts_release(struct serve *s)
{
    map_each(&s->accounts, free_each, NULL);
    map_release(&s->accounts);
}

/* ---- sessions ------------------------------------------------------------------------------- */

static size_t sessions_of(const struct serve *s, const struct identity *who)
{
    const struct chunk_key key = account_key(who);
    const struct serve_account *a = map_get(&s->accounts, &key);

    return a == NULL ? 0 : a->sessions;
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

static bool is_room_for_body(const struct serve_request *rq, uint64_t bytes)
{
    const struct serve *s = rq->serve;
    const struct serve_account *a = rq->session->account;
    const uint64_t extra = bytes <= SMALL_BODY ? SMALL_EXTRA : 0;

    if (s->stats.body_bytes + bytes > s->options.max_body_bytes)
        return false;
    if (a == NULL)
        return s->nobodys_body_bytes + bytes <= NOBODYS_BODIES_MAX;
    return a->body_bytes == 0 || a->body_bytes + bytes <= a->most_body_bytes + extra;
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
    if (rq->session->account != NULL)
        rq->session->account->body_bytes += bytes;
    else
        s->nobodys_body_bytes += bytes;
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
    if (rq->session->account != NULL)
        rq->session->account->body_bytes -= rq->body_bytes;
    else if (rq->serve != NULL)
        rq->serve->nobodys_body_bytes -= rq->body_bytes;
    rq->session->answer_bytes -= rq->answer_bytes;
    if (rq->serve != NULL) {
        rq->serve->stats.body_bytes -= rq->body_bytes;
        rq->serve->stats.answer_bytes -= rq->answer_bytes;
    }
    rq->body_bytes = 0;
    rq->answer_bytes = 0;
}

/* ---- questions about what does not exist ---------------------------------------------------- */

bool serve_miss_begin(struct serve_request *rq)
{
    struct serve *s = rq->serve;
    struct serve_account *a = rq->session->account;

    if (s->options.upstream == NULL || a == NULL)
        return true;
    const uint64_t now_ns = loop_now_ns(s->options.loop);
    const uint64_t seconds = (now_ns - a->misses_ns) / NS_PER_S;
    const uint64_t most = (uint64_t)MISSES_BURST * a->scale;
    const uint64_t left = a->misses + seconds * MISSES_EACH_S * a->scale;
    a->misses_ns += seconds * NS_PER_S;
    a->misses = (uint32_t)(left < most ? left : most);
    if (a->misses == 0) {
        if (log_limit_passes(&s->miss_lines, now_ns))
            log_event(LOG_WARN, "serve.too_many_misses", "device=%s", rq->session->who.device);
        serve_refuse(rq, ALB_TIMEOUT,
                     "this device asks for too much that does not exist; wait a minute");
        return false;
    }
    a->misses--;
    return true;
}

void serve_miss_end(struct serve_session *session, struct alb_status st)
{
    const bool was_one = st.code == ALB_NOT_FOUND || st.code == ALB_CORRUPT ||
                         st.code == ALB_INVALID || st.code == ALB_REFUSED;

    if (!was_one && session->account != NULL)
        session->account->misses++;
}

/* ---- questions of who holds what ------------------------------------------------------------ */

bool serve_holds_begin(struct serve_request *rq)
{
    struct serve_account *a = rq->session->account;

    if (a != NULL && a->holds >= (size_t)HOLDS_MOST * a->scale) {
        serve_refuse(rq, ALB_TIMEOUT, "wait for what you asked before, then ask again");
        return false;
    }
    if (!serve_miss_begin(rq))
        return false;
    if (a != NULL)
        a->holds++;
    return true;
}

void serve_holds_end(struct serve_session *session, struct alb_status st)
{
    if (session->account != NULL)
        session->account->holds--;
    serve_miss_end(session, st);
}

/* ---- for people ----------------------------------------------------------------------------- */

void serve_show_held(const struct serve_stats *stats, struct json_writer *w)
{
    json_object_begin(w, "held");
    json_number(w, "chunk_bytes", stats->held_bytes);
    json_number(w, "body_bytes", stats->body_bytes);
    json_number(w, "answer_bytes", stats->answer_bytes);
    json_number(w, "positions", stats->spots);
    json_number(w, "turned_away", stats->turned_away);
    json_end(w);
}

bool serve_account_mark(struct serve_account *a, uint64_t mark)
{
    const bool is_first = a->mark != mark;

    a->mark = mark;
    return is_first;
}
