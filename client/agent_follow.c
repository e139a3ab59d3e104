/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_follow.c – one followed layer: asked about, pulled when it is another, tried again.
 *
 *     DUE → PULLING → CURRENT ⇄ ASKING → DUE
 *              └────→ WAITING → DUE
 */
#include "client/agent_impl.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"

/* Events say when a head changed; asking unasked is for those that were lost. */
#define LOOK_NS (15 * 60 * NS_PER_S)
#define RETRY_LEAST_NS (10 * NS_PER_S)
#define RETRY_MOST_NS (10 * 60 * NS_PER_S)
#define LOOK_RETRY_NS (30 * NS_PER_S)

const char *follow_state_name(enum follow_state state)
{
    switch (state) {
    case FOLLOW_DUE: return "due";
    case FOLLOW_PULLING: return "pulling";
    case FOLLOW_ASKING: return "asking";
    case FOLLOW_CURRENT: return "current";
    case FOLLOW_WAITING: return "waiting";
    }
    alb_unreachable();
}

static void go(struct follow *f, enum follow_state state)
{
    if (f->state == state)
        return;
    f->state = state;
    agent_changed(f->agent);
    if (state == FOLLOW_DUE)
        loop_stop(f->agent->loop); /* agent_run() begins it, out of every callback */
}

/* A fifth earlier or later, so that a branch's machines do not do all things at once. */
static void set_timer(struct follow *f, uint64_t delay_ns)
{
    struct loop *loop = f->agent->loop;

    timer_set_in(&f->timer,
                 loop_random_between(loop, delay_ns - delay_ns / 5, delay_ns + delay_ns / 5));
}

/* ---- ASKING ---------------------------------------------------------------------------------- */

static void head_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                      size_t size, bool is_stale)
{
    struct follow *f = ALB_CONTAINER(w, struct follow, wait);
    const struct trust *trust = authority_trust(endpoint_authority(f->agent->endpoint));
    struct head head;

    (void)is_stale;
    if (!alb_failed(st))
        st = head_decode(bytes, size, trust, &head);
    if (!alb_failed(st) && !digest_equal(&head.record, &f->head)) {
        go(f, FOLLOW_DUE);
        return;
    }
    go(f, FOLLOW_CURRENT);
    set_timer(f, alb_failed(st) ? LOOK_RETRY_NS : LOOK_NS);
    if (f->asks_again)
        follow_look(f, NS_PER_S);
}

static void ask(struct follow *f)
{
    AUTO_FREE char *name = xasprintf("head/%s", f->layer);

    go(f, FOLLOW_ASKING);
    f->asks_again = false;
    f->wait = (struct record_wait){.done = head_came};
    record_book_get(endpoint_records(f->agent->endpoint), name, &f->wait);
}

static void on_timer(void *arg)
{
    struct follow *f = arg;

    if (f->state == FOLLOW_WAITING || !f->was_pulled)
        go(f, FOLLOW_DUE);
    else if (f->state == FOLLOW_CURRENT)
        ask(f);
}

void follow_look(struct follow *f, uint64_t within_ns)
{
    switch (f->state) {
    case FOLLOW_DUE: break;
    case FOLLOW_PULLING:
    case FOLLOW_ASKING: f->asks_again = true; break;
    case FOLLOW_CURRENT:
    case FOLLOW_WAITING:
        timer_set_in(&f->timer, loop_random_between(f->agent->loop, 0, within_ns));
        break;
    }
}

/* ---- PULLING --------------------------------------------------------------------------------- */

static void pulled(struct follow *f, const struct pull *p)
{
    f->was_pulled = true;
    f->head = p->fetched.head_record;
    f->sequence = p->sequence;
    memcpy(f->version, p->version, sizeof f->version);
    f->pulled_wall_s = loop_wall_s(f->agent->loop);
    f->failures = 0;
    f->why[0] = '\0';
    go(f, FOLLOW_CURRENT);
    set_timer(f, LOOK_NS);
    if (f->asks_again)
        follow_look(f, 0);
}

static void failed(struct follow *f)
{
    uint64_t delay_ns = RETRY_LEAST_NS;

    for (unsigned i = 0; i < f->failures && delay_ns < RETRY_MOST_NS; i++)
        delay_ns *= 2;
    delay_ns = delay_ns < RETRY_MOST_NS ? delay_ns : RETRY_MOST_NS;
    f->failures++;
    snprintf(f->why, sizeof f->why, "%s", f->agent->options.output->last_error);
    f->retry_wall_s = loop_wall_s(f->agent->loop) + (int64_t)(delay_ns / NS_PER_S);
    go(f, FOLLOW_WAITING);
    set_timer(f, delay_ns);
    log_event(LOG_WARN, "agent.pull_failed", "layer=%s target=%s again_s=%lu", f->layer, f->target,
              (unsigned long)(delay_ns / NS_PER_S));
}

static enum exit_code run(struct follow *f, struct pull *p)
{
    struct agent *a = f->agent;
    bool made = false;
    enum exit_code code = pull_ready_target(a->options.output, f->target, &made);

    if (code != EXIT_DONE)
        return code;
    a->pulling = p;
    code = pull_run(p);
    a->pulling = NULL;
    if (code == EXIT_DONE) {
        pulled(f, p);
        agent_tell_applied(f, p);
    }
    pull_release(p);
    return code;
}

void follow_pull(struct follow *f)
{
    struct agent *a = f->agent;
    const struct pull_options options = {.layer = f->layer,
                                         .target = f->target,
                                         .wait_ns = a->options.wait_ns,
                                         .allow_metered = a->options.allow_metered};
    struct pull *p = xalloc(sizeof *p);

    *p = (struct pull){.output = a->options.output,
                       .state = a->options.state,
                       .options = &options,
                       .loop = a->loop,
                       .tls = a->tls,
                       .endpoint = a->endpoint,
                       .endpoint_is_borrowed = true,
                       .begun_ns = loop_now_ns(a->loop)};
    timer_stop(&f->timer);
    f->asks_again = false;
    go(f, FOLLOW_PULLING);
    f->code = run(f, p);
    if (f->code != EXIT_DONE)
        failed(f);
    if (f->code != EXIT_DONE)
        agent_tell_failed(f, p);
    loop_bury(a->loop, free, p);
}

/* ---- birth and death ------------------------------------------------------------------------- */

void follow_init(struct follow *f, struct agent *a, const struct agent_follow *typed)
{
    *f = (struct follow){
        .agent = a, .layer = typed->layer, .target = typed->target, .state = FOLLOW_DUE};
    timer_init(&f->timer, a->loop, on_timer, f);
}

void follow_stop(struct follow *f)
{
    timer_stop(&f->timer);
    if (f->state == FOLLOW_ASKING)
        record_book_leave(endpoint_records(f->agent->endpoint), &f->wait);
    f->state = FOLLOW_CURRENT;
}
