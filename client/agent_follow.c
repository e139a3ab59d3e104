/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_follow.c – one followed layer: asked about, pulled when it is another, tried again.
 *
 *     DUE → PULLING → CURRENT ⇄ ASKING → DUE
 *              └────→ WAITING → DUE     (follow_retry.h)
 */
#include "client/agent_impl.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"

/* Events say when a head changed; asking unasked is for those that were lost. */
#define LOOK_NS (15 * 60 * NS_PER_S)
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
static uint64_t about(const struct follow *f, uint64_t delay_ns)
{
    return loop_random_between(f->agent->loop, delay_ns - delay_ns / 5, delay_ns + delay_ns / 5);
}

static void set_timer(struct follow *f, uint64_t delay_ns)
{
    timer_set_in(&f->timer, about(f, delay_ns));
}

static void retry_at(struct follow *f, uint64_t at_ns)
{
    struct loop *loop = f->agent->loop;
    const uint64_t left_ns = at_ns - loop_now_ns(loop);

    f->retry_ns = at_ns;
    f->retry_wall_s = loop_wall_s(loop) + (int64_t)(left_ns / NS_PER_S);
    timer_set(&f->timer, at_ns);
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
    if (!alb_failed(st))
        f->head_expires_wall_s = head.expires_wall_s;
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

/* ---- WAITING: is there something else to try? ------------------------------------------------ */

static void stop_wondering(struct follow *f)
{
    timer_stop(&f->hint);
    if (f->is_wondering)
        record_book_leave(endpoint_records(f->agent->endpoint), &f->wait);
    f->is_wondering = false;
}

static void wonder_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                        size_t size, bool is_stale)
{
    struct follow *f = ALB_CONTAINER(w, struct follow, wait);
    struct head head;

    (void)is_stale;
    f->is_wondering = false;
    if (!alb_failed(st))
        st = head_decode(bytes, size, authority_trust(endpoint_authority(f->agent->endpoint)),
                         &head);
    if (!alb_failed(st) && follow_retry_is_news(&f->retry, &head.record))
        go(f, FOLLOW_DUE);
}

static void wonder(void *arg)
{
    struct follow *f = arg;
    AUTO_FREE char *name = xasprintf("head/%s", f->layer);

    if (f->state != FOLLOW_WAITING || f->is_wondering)
        return;
    f->is_wondering = true;
    follow_retry_asked(&f->retry, loop_now_ns(f->agent->loop));
    f->wait = (struct record_wait){.done = wonder_came};
    record_book_get(endpoint_records(f->agent->endpoint), name, &f->wait);
}

static void wonder_within(struct follow *f, uint64_t within_ns)
{
    struct loop *loop = f->agent->loop;
    const uint64_t now_ns = loop_now_ns(loop);

    if (!timer_is_set(&f->hint))
        timer_set(&f->hint,
                  follow_retry_ask_at(&f->retry, now_ns) + loop_random_between(loop, 0, within_ns));
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
        timer_set_in(&f->timer, loop_random_between(f->agent->loop, 0, within_ns));
        break;
    case FOLLOW_WAITING: wonder_within(f, within_ns); break;
    }
}

void follow_line_up(struct follow *f, uint64_t within_ns)
{
    struct loop *loop = f->agent->loop;
    const uint64_t at_ns = follow_retry_line_up(&f->retry, loop_now_ns(loop));

    follow_look(f, within_ns);
    if (f->state == FOLLOW_WAITING && f->retry_ns > at_ns)
        retry_at(f, at_ns + loop_random_between(loop, 0, within_ns));
}

/* ---- PULLING --------------------------------------------------------------------------------- */

static void pulled(struct follow *f, const struct pull *p)
{
    f->was_pulled = true;
    f->head = p->fetched.head_record;
    f->head_expires_wall_s = p->fetched.head_expires_wall_s;
    f->sequence = p->sequence;
    memcpy(f->version, p->version, sizeof f->version);
    f->pulled_wall_s = loop_wall_s(f->agent->loop);
    follow_retry_done(&f->retry);
    f->why[0] = '\0';
    go(f, FOLLOW_CURRENT);
    set_timer(f, LOOK_NS);
    if (f->asks_again)
        follow_look(f, 0);
}

static void failed(struct follow *f, const struct pull *p)
{
    const uint64_t now_ns = loop_now_ns(f->agent->loop);
    const uint64_t delay_ns = follow_retry_failed(&f->retry, &p->fetched.head_record, now_ns);

    snprintf(f->why, sizeof f->why, "%s", f->agent->options.output->last_error);
    go(f, FOLLOW_WAITING);
    retry_at(f, now_ns + about(f, delay_ns));
    if (f->asks_again)
        wonder_within(f, NS_PER_S);
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
    stop_wondering(f);
    f->asks_again = false;
    go(f, FOLLOW_PULLING);
    f->code = run(f, p);
    if (f->code != EXIT_DONE)
        failed(f, p);
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
    timer_init(&f->hint, a->loop, wonder, f);
}

void follow_stop(struct follow *f)
{
    timer_stop(&f->timer);
    stop_wondering(f);
    if (f->state == FOLLOW_ASKING)
        record_book_leave(endpoint_records(f->agent->endpoint), &f->wait);
    f->state = FOLLOW_CURRENT;
}
