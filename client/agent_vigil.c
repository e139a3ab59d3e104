/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_vigil.c – sleeping again after what this machine was woken for, and staying awake
 * when the hub asks for it.
 *
 *     "vigil ORDER" ──> signed by the hub? for us? in time? new?
 *       SLEEP ──> did we sleep when the job began? ──> every 2 s: applied? told? nobody here?
 *                   └─ no: never                        └──> "sleep" told up ──> the command
 *       STAY ──> the helper runs until it is let go, or was not renewed
 *
 * It does not go to sleep if it was awake when it was to be woken, if somebody is logged in at any
 * look, while it stays awake for its subnet, or when the pull takes longer than the order holds.
 * What it cannot see: somebody who uses it without a session (a service with clients of its own).
 * Such a machine should not be woken with --sleep-after.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "client/agent_impl.h"
#include "net/uptime.h"
#include "wire/token.h"
#include "wire/vigil.h"

#define LOOK_NS (2 * NS_PER_S)         /* while something is owed */
#define IDLE_NS (30 * NS_PER_S)        /* … or not: was this machine asleep meanwhile? */
#define AGAIN_NS (60 * NS_PER_S)       /* a helper that ended by itself is started again */
#define ASLEEP_MOST_NS (30 * NS_PER_S) /* awake: the command did not bring sleep */
#define SLEPT_LEAST_NS NS_PER_S
enum { CLOCKS_S = 60 /* what the hub's and ours may differ */ };

struct vigil_look { /* a job */
    struct job job;
    struct agent *agent;
    bool is_used;
};

struct vigil_sleep { /* a job */
    struct job job;
    struct agent *agent;
    int exit_code;
    struct alb_status st;
};

static void look(void *arg);

/* ---- was it asleep? -------------------------------------------------------------------------- */

/* True: it slept since it was last looked at. */
static bool note_sleep(struct agent *a)
{
    struct agent_vigil *v = &a->vigil;
    struct uptime now;

    uptime_read(&now);
    const bool has_slept = now.slept_ns > v->slept_ns + SLEPT_LEAST_NS;
    if (has_slept)
        v->woke_ns = loop_now_ns(a->loop);
    v->slept_ns = now.slept_ns;
    return has_slept;
}

/* Since when it has been awake, by the hub's clock. */
static int64_t awake_since_s(struct agent *a)
{
    struct authority *authority = endpoint_authority(a->endpoint);
    struct uptime now;

    uptime_read(&now);
    const uint64_t up_ns = now.up_ns, woken_ns = loop_now_ns(a->loop) - a->vigil.woke_ns,
                   for_ns = a->vigil.woke_ns != 0 && woken_ns < up_ns ? woken_ns : up_ns;
    return authority_now_s(authority, loop_wall_s(a->loop)) - (int64_t)(for_ns / NS_PER_S);
}

/* ---- sleeping again -------------------------------------------------------------------------- */

static void drop(struct agent *a, const char *why)
{
    log_event(LOG_INFO, "vigil.stays_awake", "layer=%s version=%s why=\"%s\"", a->vigil.order.layer,
              a->vigil.order.version, why);
    a->vigil.owes_sleep = false;
    snprintf(a->vigil.why, sizeof a->vigil.why, "%s", why);
    agent_changed(a);
}

static const struct follow *follow_of(const struct agent *a, const char *layer)
{
    for (size_t i = 0; i < a->follow_count; i++)
        if (strcmp(a->follows[i].layer, layer) == 0)
            return &a->follows[i];
    return NULL;
}

/* What it was woken for is in its target, nothing else is being pulled, and the hub knows. */
static bool is_done(const struct agent *a)
{
    const struct follow *f = follow_of(a, a->vigil.order.layer);

    for (size_t i = 0; i < a->follow_count; i++)
        if (a->follows[i].state == FOLLOW_DUE || a->follows[i].state == FOLLOW_PULLING)
            return false;
    return f != NULL && f->was_pulled && strcmp(f->version, a->vigil.order.version) == 0 &&
           !agent_told_waits(a);
}

static void come_back(struct agent *a, const char *why)
{
    log_event(LOG_INFO, "vigil.awake", "why=\"%s\"", why);
    a->vigil.is_asleep = false;
    agent_changed(a);
}

static void sleep_run(struct job *job)
{
    struct vigil_sleep *s = ALB_CONTAINER(job, struct vigil_sleep, job);

    s->st = helper_run(s->agent->options.sleep_command, &s->exit_code);
}

static void sleep_done(struct job *job)
{
    struct vigil_sleep *s = ALB_CONTAINER(job, struct vigil_sleep, job);
    struct agent *a = s->agent;

    a->vigil.jobs--;
    if (alb_failed(s->st)) {
        log_status(LOG_WARN, "vigil.no_sleep", s->st, "command=\"%s\" exit_code=%d",
                   a->options.sleep_command, s->exit_code);
        come_back(a, "the command to sleep failed");
    }
    free(s);
    loop_stop(a->loop); /* whoever ends the agent may wait for this; others run it on */
}

static void said(void *arg)
{
    struct agent *a = arg;
    struct vigil_sleep *s = xalloc(sizeof *s);

    if (a->is_terminated) {
        free(s);
        return;
    }
    *s = (struct vigil_sleep){.job = {.run = sleep_run, .done = sleep_done}, .agent = a};
    a->vigil.jobs++;
    a->vigil.slept_at_ns = loop_now_ns(a->loop);
    loop_submit(a->loop, &s->job);
}

static void go_to_sleep(struct agent *a)
{
    struct agent_vigil *v = &a->vigil;

    log_event(LOG_INFO, "vigil.sleeps", "layer=%s version=%s command=\"%s\"", v->order.layer,
              v->order.version, a->options.sleep_command);
    (void)note_sleep(a);
    v->owes_sleep = false;
    v->is_asleep = true;
    v->slept_at_ns = loop_now_ns(a->loop);
    announcer_say_goodbye(a->announcer, ANNOUNCE_SLEEP, said, a);
}

static void used_run(struct job *job)
{
    struct vigil_look *l = ALB_CONTAINER(job, struct vigil_look, job);

    l->is_used = helper_is_used(HELPER_SESSIONS, HELPER_UTMP);
}

static void used_done(struct job *job)
{
    struct vigil_look *l = ALB_CONTAINER(job, struct vigil_look, job);
    struct agent *a = l->agent;
    const bool is_used = l->is_used;

    a->vigil.jobs--;
    a->vigil.is_looking = false;
    free(l);
    if (a->vigil.owes_sleep && !a->is_terminated) {
        if (is_used)
            drop(a, "somebody is logged in");
        else if (is_done(a) && a->vigil.helper.pid == 0)
            go_to_sleep(a);
    }
    loop_stop(a->loop);
}

static void look_at_sleep(struct agent *a)
{
    struct agent_vigil *v = &a->vigil;
    const int64_t now_s = authority_now_s(endpoint_authority(a->endpoint), loop_wall_s(a->loop));

    if (now_s > v->order.until_wall_s) {
        drop(a, "what it was woken for took too long");
        return;
    }
    if (v->is_looking)
        return;
    struct vigil_look *l = xalloc(sizeof *l);
    *l = (struct vigil_look){.job = {.run = used_run, .done = used_done}, .agent = a};
    v->is_looking = true;
    v->jobs++;
    loop_submit(a->loop, &l->job);
}

/* ---- staying awake --------------------------------------------------------------------------- */

static void start_helper(struct agent *a)
{
    struct agent_vigil *v = &a->vigil;
    const struct alb_status st = helper_start(&v->helper, a->options.stay_command);

    v->helper_again_ns = loop_now_ns(a->loop) + AGAIN_NS;
    if (alb_failed(st))
        log_status(LOG_WARN, "vigil.no_helper", st, "command=\"%s\"", a->options.stay_command);
    else
        log_event(LOG_INFO, "vigil.stays", "pid=%ld", (long)v->helper.pid);
}

static void leave(struct agent *a, const char *why)
{
    a->vigil.stay_until_ns = 0;
    a->vigil.helper_again_ns = 0;
    helper_end(&a->vigil.helper);
    log_event(LOG_INFO, "vigil.leaves", "why=\"%s\"", why);
    agent_changed(a);
}

static void look_at_helper(struct agent *a)
{
    struct agent_vigil *v = &a->vigil;
    const uint64_t now_ns = loop_now_ns(a->loop);
    const bool did_run = v->helper.pid != 0;
    int exit_code = 0;

    if (now_ns >= v->stay_until_ns) {
        leave(a, "nobody asked for it any more");
        return;
    }
    if (helper_runs(&v->helper, &exit_code))
        return;
    if (did_run)
        log_event(LOG_WARN, "vigil.helper_ended",
                  "command=\"%s\" exit_code=%d next=\"this machine may fall asleep; it is started "
                  "again\"",
                  a->options.stay_command, exit_code);
    if (now_ns >= v->helper_again_ns)
        start_helper(a);
}

static void stay(struct agent *a, const struct vigil_order *o)
{
    struct agent_vigil *v = &a->vigil;
    const int64_t for_s = o->until_wall_s - o->issued_wall_s;

    v->stay_until_ns = loop_now_ns(a->loop) + (uint64_t)for_s * NS_PER_S;
    if (v->helper.pid == 0)
        start_helper(a);
    agent_changed(a);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void look(void *arg)
{
    struct agent *a = arg;
    struct agent_vigil *v = &a->vigil;
    const bool has_slept = note_sleep(a);
    int ignored = 0;

    if (v->is_asleep && has_slept)
        come_back(a, "it slept");
    else if (v->is_asleep && loop_now_ns(a->loop) >= v->slept_at_ns + ASLEEP_MOST_NS)
        come_back(a, "the command to sleep did not bring it");
    if (v->owes_sleep)
        look_at_sleep(a);
    if (v->stay_until_ns != 0)
        look_at_helper(a);
    else
        (void)helper_runs(&v->helper, &ignored); /* told to end: is it gone? */
    agent_ask_cards(a);
    timer_set_in(&v->timer,
                 v->owes_sleep || v->is_asleep || v->stay_until_ns != 0 ? LOOK_NS : IDLE_NS);
}

/* ---- orders ---------------------------------------------------------------------------------- */

static bool is_new(struct agent_vigil *v, uint64_t number)
{
    for (size_t i = 0; i < VIGIL_REMEMBERED; i++)
        if (v->numbers[i] == number)
            return false;
    v->numbers[v->next_number++ % VIGIL_REMEMBERED] = number;
    return true;
}

static const char *judge(struct agent *a, const struct vigil_order *o)
{
    struct authority *authority = endpoint_authority(a->endpoint);

    authority_saw_time(authority, o->issued_wall_s);
    if (strcmp(o->device, a->options.state->who.device) != 0)
        return "it is for another device";
    if (authority_now_s(authority, loop_wall_s(a->loop)) > o->expires_wall_s)
        return "it is too old, by this machine's clock";
    return is_new(&a->vigil, o->number) ? NULL : "it was obeyed before";
}

static void sleep_after(struct agent *a, const struct vigil_order *o)
{
    (void)note_sleep(a);
    a->vigil.order = *o;
    if (awake_since_s(a) + CLOCKS_S < o->begun_wall_s)
        drop(a, "it was awake before it was woken");
    else if (follow_of(a, o->layer) == NULL)
        drop(a, "its agent does not follow that layer");
    else
        a->vigil.owes_sleep = true;
    if (a->vigil.owes_sleep)
        a->vigil.why[0] = '\0';
}

static void obey(struct agent *a, const struct vigil_order *o)
{
    switch ((enum vigil_kind)o->kind) {
    case VIGIL_SLEEP: sleep_after(a, o); break;
    case VIGIL_STAY: stay(a, o); break;
    case VIGIL_LEAVE:
        if (a->vigil.stay_until_ns != 0)
            leave(a, "somebody else stays");
        break;
    }
    timer_set_in(&a->vigil.timer, LOOK_NS);
}

bool agent_vigil_hear(struct agent *a, const char *rest)
{
    static const char WORD[] = "vigil ";
    uint8_t bytes[VIGIL_ORDER_BYTES_MAX];
    struct vigil_order o;
    const char *why = NULL;
    size_t size = 0;

    if (strncmp(rest, WORD, sizeof WORD - 1) != 0)
        return false;
    struct alb_status st = base64url_decode(rest + sizeof WORD - 1, bytes, sizeof bytes, &size);
    if (!alb_failed(st))
        st = vigil_order_decode(bytes, size, authority_trust(endpoint_authority(a->endpoint)), &o);
    if (alb_failed(st))
        log_status(LOG_WARN, "vigil.not_believed", st, "next=\"nothing\"");
    else if ((why = judge(a, &o)) != NULL)
        log_event(LOG_WARN, "vigil.refused", "why=\"%s\"", why);
    else
        obey(a, &o);
    return true;
}

/* ---- beginning, end, shown ------------------------------------------------------------------- */

void agent_vigil_start(struct agent *a)
{
    struct uptime now;

    uptime_read(&now);
    a->vigil.slept_ns = now.slept_ns;
    timer_init(&a->vigil.timer, a->loop, look, a);
    timer_set_in(&a->vigil.timer, IDLE_NS);
}

void agent_vigil_stop(struct agent *a)
{
    timer_stop(&a->vigil.timer);
    while (a->vigil.jobs > 0)
        loop_run(a->loop);
    helper_stop(&a->vigil.helper);
}

void agent_vigil_show(const struct agent *a, struct json_writer *w)
{
    const struct agent_vigil *v = &a->vigil;

    json_object_begin(w, "vigil");
    json_bool(w, "stays_awake", v->stay_until_ns != 0);
    json_bool(w, "sleeps_after", v->owes_sleep);
    json_text(w, "layer", v->order.layer);
    json_text(w, "version", v->order.version);
    json_text(w, "why", v->why);
    json_end(w);
}
