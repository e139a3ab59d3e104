/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_door.c – who may come: what an operator, the site's terms and the load allow.
 *
 * Judged where a session is greeted, by device: who is here may open more connections.  Whoever may
 * not come hears why, and when to try again, each at another moment of its own.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/serve_impl.h"
#include "wire/json.h"

/* An operator's word ends with an event, which is faster; this is for who does not hear it.  Room
 * is found by asking. */
enum { STATE_LEAST_S = 300, STATE_MOST_S = 600, FULL_LEAST_S = 30, FULL_MOST_S = 60, LOOK_S = 5 };

/* ---- how full it is -------------------------------------------------------------------------- */

static uint32_t percent(uint64_t used, uint64_t most)
{
    const uint64_t share = most == 0 ? 0 : used * 100 / most;

    return share > 100 ? 100 : (uint32_t)share;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Of what those who read slowly, or ask for much, use up. */
static uint32_t memory_percent(const struct serve *s)
{
    uint32_t most = percent(s->stats.held_bytes, SERVE_HELD_MAX);

    most = larger(most, percent(s->stats.spots, SERVE_SPOTS_MAX));
    return larger(most, percent(s->stats.answer_bytes, SERVE_ANSWERS_MAX));
}

/* ---- the door -------------------------------------------------------------------------------- */

static void say_not(struct serve *s, struct here *out, uint32_t least_s, uint32_t most_s)
{
    out->takes_new = false;
    out->retry_s = (uint32_t)loop_random_between(s->options.loop, least_s, most_s);
    out->until_wall_s = loop_wall_s(s->options.loop) + out->retry_s;
}

static void say_state(struct serve *s, struct here *out)
{
    const char *why = s->door.why;

    say_not(s, out, STATE_LEAST_S, STATE_MOST_S);
    snprintf(out->why, sizeof out->why, "%s%s%s",
             s->door.state == REFLECTOR_DISABLE
                 ? "an operator disabled this reflector"
                 : "an operator has this reflector take no new sessions",
             why[0] == '\0' ? "" : ": ", why);
}

static bool is_full(struct serve *s, struct here *out)
{
    const struct serve_door *d = &s->door;
    const uint32_t most_percent = d->load_percent == 0 ? 100 : d->load_percent;

    if (d->max_devices != 0 && s->stats.devices >= d->max_devices)
        snprintf(out->why, sizeof out->why,
                 "%zu devices are served here, and its site's max_sessions is %u", s->stats.devices,
                 d->max_devices);
    else if (memory_percent(s) >= most_percent)
        snprintf(out->why, sizeof out->why,
                 "the memory for those served here is used to %u %%, and nobody new comes from %u "
                 "%% on",
                 memory_percent(s), most_percent);
    return out->why[0] != '\0';
}

void serve_here(struct serve *s, struct here *out)
{
    const struct serve_door *d = &s->door;
    const uint32_t of_places = percent(s->stats.sessions, s->options.max_sessions);

    out->state = d->state;
    out->takes_new = true;
    out->sessions = (uint32_t)s->stats.devices;
    out->max_sessions = d->max_devices;
    out->load_percent =
        larger(larger(memory_percent(s), of_places), percent(s->stats.devices, d->max_devices));
    out->why[0] = '\0';
    if (d->state == REFLECTOR_DRAIN || d->state == REFLECTOR_DISABLE)
        say_state(s, out);
    else if (is_full(s, out))
        say_not(s, out, FULL_LEAST_S, FULL_MOST_S);
}

static bool serves_nobody(const struct serve_door *d)
{
    return d->state == REFLECTOR_DISABLE;
}

void serve_set_door(struct serve *s, const struct serve_door *door)
{
    const bool was_open = !serves_nobody(&s->door);
    struct serve_session *session;

    s->door = *door;
    if (!was_open || !serves_nobody(door))
        return;
    TAILQ_FOREACH(session, &s->sessions, link)
    if (session->is_greeted)
        http_session_close(session->http);
}

/* ---- judged ---------------------------------------------------------------------------------- */

static void refuse(struct serve_request *rq, const struct here *here, const char *code)
{
    struct serve *s = rq->serve;
    char why[LOG_TEXT_SIZE];

    if (log_limit_passes(&s->door_lines, loop_now_ns(s->options.loop)))
        log_event(LOG_INFO, "serve.not_now", "device=%s code=%s retry_s=%u why=%s",
                  rq->session->who.device, code, here->retry_s, log_text(here->why, why));
    serve_refuse_until(rq, code, here);
}

static void turn_away(struct serve_request *rq, const struct here *here)
{
    const bool is_state = here->state == REFLECTOR_DRAIN || here->state == REFLECTOR_DISABLE;

    refuse(rq, here, is_state ? "closed" : "full");
}

bool serve_admits(struct serve_request *rq)
{
    const struct serve_account *a = rq->session->account;
    struct here here = {.device = ""};

    serve_here(rq->serve, &here);
    if (here.takes_new ||
        (!serves_nobody(&rq->serve->door) && a != NULL && serve_account_is_here(a)))
        return true;
    turn_away(rq, &here);
    return false;
}

/* What is not content, and serves nobody: by it a device learns why, and where else to go. */
static bool is_control(enum route_id id)
{
    static const enum route_id ALWAYS[] = {ROUTE_SESSION, ROUTE_HERE,     ROUTE_NEARBY,
                                           ROUTE_STATUS,  ROUTE_TRUST,    ROUTE_REVOKED,
                                           ROUTE_POLICY,  ROUTE_OVERRIDE, ROUTE_STATES};

    for (size_t i = 0; i < ALB_COUNT(ALWAYS); i++)
        if (id == ALWAYS[i])
            return true;
    return false;
}

bool serve_is_open_for(struct serve_request *rq)
{
    struct here here = {.device = ""};

    if (!serves_nobody(&rq->serve->door) || is_control(rq->route->id))
        return true;
    serve_here(rq->serve, &here);
    turn_away(rq, &here);
    return false;
}

void serve_note_greeted(struct serve_session *session)
{
    if (session->is_greeted || session->account == NULL || session->serve == NULL)
        return;
    session->is_greeted = true;
    session->serve->stats.devices += serve_account_greet(session->account);
}

void serve_note_parted(struct serve_session *session)
{
    if (session->is_greeted)
        session->serve->stats.devices -= serve_account_part(session->account);
    session->is_greeted = false;
}

/* ---- when they come back --------------------------------------------------------------------- */

void serve_set_spread(struct serve *s, uint32_t sessions_per_s)
{
    s->sessions_per_s = sessions_per_s;
}

void serve_answer_greeting(struct serve_request *rq)
{
    struct serve *s = rq->serve;
    char text[48] = "";

    if (s->stats.sessions > s->sessions_most)
        s->sessions_most = s->stats.sessions;
    const size_t spread_s = s->sessions_per_s == 0 ? 0 : s->sessions_most / s->sessions_per_s;
    if (spread_s > 0)
        (void)snprintf(text, sizeof text, "{\"spread_s\":%zu}", spread_s);
    serve_answer(rq, spread_s > 0 ? "application/json" : "application/octet-stream", text,
                 strlen(text));
}

/* ---- GET /v1/here ---------------------------------------------------------------------------- */

void serve_answer_here(struct serve_request *rq, const struct here *here)
{
    struct serve_account *a = rq->session->account;
    struct here not_now = *here;
    struct buf text;

    if (a != NULL && !serve_account_may_look(a, loop_now_ns(rq->serve->options.loop))) {
        say_not(rq->serve, &not_now, LOOK_S, 2 * LOOK_S);
        snprintf(not_now.why, sizeof not_now.why,
                 "this device asks all the time whether it may come; once a second is enough");
        refuse(rq, &not_now, "full");
        return;
    }
    buf_init(&text, HERE_BYTES_MAX);
    struct alb_status st = here_encode(here, &text);
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/json", buf_peek(&text), buf_size(&text));
    buf_release(&text);
}
