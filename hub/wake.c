/* SPDX-License-Identifier: Apache-2.0 */
/* hub/wake.c – jobs on the loop: the next machine is ordered from a guard, and who comes is heard.
 *
 *     turn ──> wake_job_next ──> guard ──> order, signed ──> roster_say
 *       ^── timer · came · left · what a guard said ──┘
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/roster.h"
#include "hub/vigil.h"
#include "hub/wake_impl.h"
#include "transfer/serve.h"
#include "wire/token.h"

enum { ORDERS_A_TURN = 16 /* each is signed: 50 µs */, SLEEP_WITHIN_S = 2 * 3600 };
#define SLEEP_SAY_NS NS_PER_S
#define SLEEP_SAY_FOR_NS (300 * NS_PER_S)

static void turn(void *arg);
static void say_sleeps(struct hub_wake *k, uint64_t now_ns);
static void on_roster(struct roster_listener *l, enum roster_news news,
                      const struct roster_entry *e, const struct announce *before);

/* ---- life ------------------------------------------------------------------------------------ */

struct hub_wakes *hub_wakes_new(struct hub *h)
{
    struct hub_wakes *w = xalloc(sizeof *w);

    w->hub = h;
    TAILQ_INIT(&w->jobs);
    w->listener.told = on_roster;
    roster_listen(h->roster, &w->listener);
    return w;
}

static void wake_free(struct hub_wake *k)
{
    struct hub_wakes *w = k->all;

    hub_wake_forget_watchers(k);
    hub_wake_contents_end(k);
    timer_stop(&k->timer);
    TAILQ_REMOVE(&w->jobs, k, link);
    w->job_count--;
    w->sleeper_count -= wake_job_count(k->core);
    wake_job_free(k->core);
    wipe(k->password, sizeof k->password);
    free(k->sleepers);
    free(k->contents);
    free(k);
}

struct hub_wakes *hub_wakes_free(struct hub_wakes *w)
{
    if (w == NULL)
        return NULL;
    while (!TAILQ_EMPTY(&w->jobs))
        wake_free(TAILQ_FIRST(&w->jobs));
    roster_unlisten(w->hub->roster, &w->listener);
    free(w);
    return NULL;
}

void hub_wakes_stop(struct hub_wakes *w)
{
    struct hub_wake *k;

    TAILQ_FOREACH(k, &w->jobs, link)
    hub_wake_answer_watchers(k);
}

struct hub_wake *hub_wake_find(const struct hub_wakes *w, const char *id)
{
    struct hub_wake *k;

    TAILQ_FOREACH(k, &w->jobs, link)
    if (strcmp(k->id, id) == 0)
        return k;
    return NULL;
}

void hub_wake_figures(const struct hub_wakes *w, struct hub_wake_figures *out)
{
    const struct hub_wake *k;

    *out = w->figures;
    TAILQ_FOREACH(k, &w->jobs, link)
    out->active += !k->is_over;
}

/* ---- a job begins ---------------------------------------------------------------------------- */

static bool make_room(struct hub_wakes *w, size_t machines, char why[LEDGER_WHY_SIZE])
{
    struct hub_wake *k, *next;
    size_t active = 0;

    for (k = TAILQ_FIRST(&w->jobs); k != NULL; k = next) {
        next = TAILQ_NEXT(k, link);
        if (!k->is_over)
            active++;
        else if (w->job_count >= WAKE_JOBS_KEPT || w->sleeper_count + machines > WAKE_SLEEPERS_MAX)
            wake_free(k);
    }
    if (active < WAKE_JOBS_ACTIVE && w->sleeper_count + machines <= WAKE_SLEEPERS_MAX)
        return true;
    snprintf(why, LEDGER_WHY_SIZE,
             "%zu jobs are waking %zu machines already (at most %d, and %d): wait for one to end, "
             "or 'albedo wake --end --job ID'",
             active, w->sleeper_count, WAKE_JOBS_ACTIVE, WAKE_SLEEPERS_MAX);
    return false;
}

/* False: another job has it, or had it a moment ago; `why` says which. */
static bool may_wake(const struct hub_wakes *w, struct wake_sleeper *s, uint64_t now_ns)
{
    const uint64_t again_ns = WAKE_AGAIN_S * NS_PER_S;
    const struct hub_wake *k;

    TAILQ_FOREACH(k, &w->jobs, link)
    {
        const struct wake_machine *m = wake_job_find(k->core, s->device);

        if (m == NULL || m->result == WAKE_REFUSED || m->result == WAKE_NOBODY_AWAKE)
            continue;
        if (m->stage != WAKE_DONE) {
            snprintf(s->why, sizeof s->why, "job %s is waking it", k->id);
            return false;
        }
        s->is_again = s->is_again || m->result == WAKE_WOKEN;
        if (m->result == WAKE_NEVER_ANSWERED && now_ns - m->begun_ns < again_ns) {
            snprintf(s->why, sizeof s->why, "job %s sent for it %" PRIu64 " s ago: once in %d s",
                     k->id, (now_ns - m->begun_ns) / NS_PER_S, WAKE_AGAIN_S);
            return false;
        }
    }
    return true;
}

/* What it told within the last minute may not be written yet: another card, that it went, what it
 * has since. */
static void look_at_news(const struct hub_wake *k, struct wake_sleeper *s)
{
    struct presence p = {.announce = NULL};

    if (s->preset == WAKE_REFUSED || alb_failed(presence_due(k->all->hub, s->device, &p)))
        return;
    hub_wake_learn(s, &p, k->begun_wall_s, &k->errand, k->password_size > 0);
    presence_release(&p);
}

static void add_machine(struct hub_wake *k, struct wake_sleeper *s, uint64_t now_ns)
{
    const struct roster_entry *e = roster_find(k->all->hub->roster, s->device);

    look_at_news(k, s);
    const bool may = s->preset == WAKE_NO_RESULT && may_wake(k->all, s, now_ns);
    const size_t i = wake_job_add(k->core, s->device);

    if (e != NULL && e->announce->goes == ANNOUNCE_STAYS)
        wake_job_settle(k->core, i, WAKE_ALREADY_AWAKE, "", now_ns);
    else if (s->has_it && s->preset != WAKE_REFUSED)
        wake_job_settle(k->core, i, WAKE_HAS_IT, "", now_ns);
    else if (s->preset != WAKE_NO_RESULT)
        wake_job_settle(k->core, i, s->preset, s->why, now_ns);
    else if (!may)
        wake_job_settle(k->core, i, WAKE_REFUSED, s->why, now_ns);
}

struct alb_status hub_wake_begin(struct hub_wakes *w, const char *id, const struct identity *by,
                                 struct wake_wish *wish, char why[LEDGER_WHY_SIZE])
{
    struct loop *loop = w->hub->options.loop;

    if (!make_room(w, wish->count, why))
        return alb_fail(ALB_FULL, "refused");
    struct hub_wake *k = xalloc(sizeof *k);
    k->all = w;
    k->by = *by;
    k->begun_wall_s = loop_wall_s(loop);
    k->core = wake_job_new(&wish->options);
    snprintf(k->id, sizeof k->id, "%s", id);
    snprintf(k->site, sizeof k->site, "%s", wish->site);
    memcpy(k->password, wish->password, sizeof k->password);
    k->password_size = wish->password_size;
    k->errand = wish->errand;
    k->sleepers = wish->sleepers;
    wish->sleepers = NULL;
    TAILQ_INIT(&k->watchers);
    timer_init(&k->timer, loop, turn, k);
    for (size_t i = 0; i < wish->count; i++)
        add_machine(k, &k->sleepers[i], loop_now_ns(loop));
    TAILQ_INSERT_TAIL(&w->jobs, k, link);
    w->job_count++;
    w->sleeper_count += wish->count;
    w->figures.jobs++;
    const struct alb_status st = hub_wake_contents_begin(k);
    if (alb_failed(st)) {
        snprintf(why, LEDGER_WHY_SIZE, "%s", st.what);
        wake_free(k);
        return st;
    }
    hub_wake_touch(k);
    return ALB_STATUS_OK;
}

/* ---- a job goes on --------------------------------------------------------------------------- */

static struct alb_status seal(const struct hub_wake *k, size_t index, const char *guard,
                              struct wake_order *o, struct buf *out)
{
    const struct hub *h = k->all->hub;
    const struct wake_sleeper *s = &k->sleepers[index];
    struct wake_order_target *t = &o->targets[0];

    *o = (struct wake_order){.issued_wall_s =
                                 authority_now_s(h->authority, loop_wall_s(h->options.loop)),
                             .target_count = 1};
    o->expires_wall_s = o->issued_wall_s + WAKE_ORDER_LIFE_S;
    random_bytes(&o->number, sizeof o->number);
    snprintf(o->org, sizeof o->org, "%s", h->options.org);
    snprintf(o->guard, sizeof o->guard, "%s", guard);
    snprintf(o->job, sizeof o->job, "%s", k->id);
    memcpy(t->device, s->device, sizeof t->device);
    memcpy(t->macs, s->macs, sizeof t->macs);
    memcpy(t->addresses, s->addresses, sizeof t->addresses);
    memcpy(t->password, k->password, sizeof t->password);
    t->mac_count = s->mac_count;
    t->address_count = s->address_count;
    t->password_size = k->password_size;
    t->is_again = s->is_again || wake_job_machine(k->core, index)->attempts > 0;
    return wake_order_encode(o, &h->ledger.key, out);
}

static struct alb_status tell_guard(const struct hub_wake *k, const char *guard,
                                    const struct buf *order)
{
    static const char WORD[] = "wake ";
    char rest[ROSTER_REST_MAX + 1];

    snprintf(rest, sizeof rest, "%s", WORD);
    base64url_encode(buf_peek(order), buf_size(order), rest + sizeof WORD - 1);
    return roster_say(k->all->hub->roster, k->all->hub->feed, guard, rest);
}

static void order_one(struct hub_wake *k, size_t index, uint64_t now_ns)
{
    const struct roster_entry *e = hub_wake_guard(k, index);
    struct wake_order o;
    struct buf bytes;
    char guard[64];

    if (e == NULL) {
        wake_job_unguarded(k->core, index, now_ns);
        return;
    }
    snprintf(guard, sizeof guard, "%s", e->announce->device);
    buf_init(&bytes, WAKE_ORDER_BYTES_MAX);
    struct alb_status st = seal(k, index, guard, &o, &bytes);
    wake_job_ordered(k->core, index, guard, o.number, now_ns);
    if (!alb_failed(st))
        st = tell_guard(k, guard, &bytes);
    if (alb_failed(st)) {
        struct wake_told told = {.word = WAKE_WORD_REFUSED};

        memcpy(told.device, k->sleepers[index].device, sizeof told.device);
        snprintf(told.why, sizeof told.why, "%s could not be told: %s", guard, st.what);
        (void)wake_job_told(k->core, guard, o.number, &told, now_ns);
    }
    k->all->figures.orders++;
    log_event(LOG_INFO, "wake.ordered", "job=%s device=%s guard=%s st=\"%s\"", k->id,
              k->sleepers[index].device, guard, st.what);
    wipe(&o, sizeof o);
    buf_release(&bytes);
}

static void end(struct hub_wake *k)
{
    struct hub_wake_figures *f = &k->all->figures;
    const size_t woken = wake_job_results(k->core, WAKE_WOKEN),
                 awake = wake_job_results(k->core, WAKE_ALREADY_AWAKE);

    k->is_over = true;
    hub_wake_contents_end(k);
    f->woken += woken;
    f->failed += wake_job_count(k->core) - woken - awake - wake_job_results(k->core, WAKE_HAS_IT);
    wipe(k->password, sizeof k->password);
    hub_audit(&k->by, "wake.end",
              "job=%s woken=%zu already_awake=%zu never_answered=%zu cannot_be_woken=%zu "
              "nobody_awake_there=%zu refused=%zu ended=%zu has_it_already=%zu",
              k->id, woken, awake, wake_job_results(k->core, WAKE_NEVER_ANSWERED),
              wake_job_results(k->core, WAKE_CANNOT_BE_WOKEN),
              wake_job_results(k->core, WAKE_NOBODY_AWAKE), wake_job_results(k->core, WAKE_REFUSED),
              wake_job_results(k->core, WAKE_ENDED), wake_job_results(k->core, WAKE_HAS_IT));
    hub_wake_record_end(k);
}

static void turn(void *arg)
{
    struct hub_wake *k = arg;
    const uint64_t now_ns = loop_now_ns(k->all->hub->options.loop);
    unsigned orders = 0;
    size_t index;

    hub_wake_contents_look(k);
    while (orders < ORDERS_A_TURN && wake_job_next(k->core, now_ns, &index)) {
        order_one(k, index, now_ns);
        orders++;
    }
    if (wake_job_is_done(k->core) && !k->is_over)
        end(k);
    hub_wake_tell(k);
    const uint64_t job_ns = wake_job_next_ns(k->core), content_ns = hub_wake_contents_next_ns(k),
                   next_ns = job_ns < content_ns ? job_ns : content_ns;
    say_sleeps(k, now_ns);
    if (k->owed > 0 && next_ns > now_ns + SLEEP_SAY_NS)
        timer_set_in(&k->timer, SLEEP_SAY_NS);
    else if (next_ns != UINT64_MAX)
        timer_set_in(&k->timer, next_ns > now_ns ? next_ns - now_ns : 0);
}

void hub_wake_touch(struct hub_wake *k)
{
    timer_set_in(&k->timer, 0);
}

/* ---- who may sleep again --------------------------------------------------------------------- */

static void say_sleep(struct hub_wake *k, struct wake_sleeper *s)
{
    struct hub *h = k->all->hub;
    struct vigil_order o = {.kind = VIGIL_SLEEP, .begun_wall_s = k->begun_wall_s};

    memcpy(o.device, s->device, sizeof s->device);
    memcpy(o.layer, k->errand.layer, sizeof o.layer);
    memcpy(o.version, k->errand.version, sizeof o.version);
    o.until_wall_s = authority_now_s(h->authority, loop_wall_s(h->options.loop)) + SLEEP_WITHIN_S;
    const struct alb_status st = hub_vigil_say(h, &o);
    if (alb_failed(st))
        return; /* it came a moment ago, and does not listen yet: again in a second */
    s->owes_sleep = false;
    k->owed--;
    k->owed_from_ns = loop_now_ns(h->options.loop);
    log_event(LOG_INFO, "wake.sleep_after", "job=%s device=%s", k->id, s->device);
}

static void say_sleeps(struct hub_wake *k, uint64_t now_ns)
{
    for (size_t i = 0; k->owed > 0 && i < wake_job_count(k->core); i++) {
        struct wake_sleeper *s = &k->sleepers[i];

        if (s->owes_sleep && now_ns >= k->owed_from_ns + SLEEP_SAY_FOR_NS) {
            log_event(LOG_WARN, "wake.not_told_to_sleep", "job=%s device=%s", k->id, s->device);
            s->owes_sleep = false;
            k->owed--;
        } else if (s->owes_sleep) {
            say_sleep(k, s);
        }
    }
}

/* Only who was woken: never a machine that was awake before. */
static void note_awake(struct hub_wake *k, const char *device, uint64_t now_ns)
{
    const struct wake_machine *m = wake_job_find(k->core, device);

    if (!wake_job_awake(k->core, device, now_ns) || !k->errand.sleeps_after ||
        m->result != WAKE_WOKEN)
        return;
    for (size_t i = 0; i < wake_job_count(k->core); i++)
        if (wake_job_machine(k->core, i) == m) {
            k->sleepers[i].owes_sleep = true;
            k->owed++;
            k->owed_from_ns = now_ns;
        }
}

/* ---- who comes and goes ---------------------------------------------------------------------- */

static void on_roster(struct roster_listener *l, enum roster_news news,
                      const struct roster_entry *e, const struct announce *before)
{
    struct hub_wakes *w = ALB_CONTAINER(l, struct hub_wakes, listener);
    const uint64_t now_ns = loop_now_ns(w->hub->options.loop);
    const bool is_here = news != ROSTER_WENT && e->announce->goes == ANNOUNCE_STAYS;
    struct hub_wake *k;

    (void)before;
    TAILQ_FOREACH(k, &w->jobs, link)
    {
        if (k->is_over)
            continue;
        if (is_here)
            note_awake(k, e->announce->device, now_ns);
        else
            wake_job_guard_left(k->core, e->announce->device, now_ns);
        if (wake_job_change(k->core) != k->told_change || news == ROSTER_CAME)
            hub_wake_touch(k); /* whoever came may be a guard, too */
    }
}

/* ---- POST /v1/woke --------------------------------------------------------------------------- */

void hub_handle_woke(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct wake_report r;
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);
    const struct alb_status st = wake_report_decode(body, size, &r);

    if (alb_failed(st)) {
        serve_refuse_status(rq, st);
        return;
    }
    if (!roster_speaks_for(h->roster, &rq->session->who, r.guard)) {
        log_event(LOG_WARN, "wake.report_refused", "by=%s guard=%s", rq->session->who.device,
                  r.guard);
        serve_refuse(rq, ALB_REFUSED, "a guard reports for itself, or its reflector does");
        return;
    }
    char why[LOG_TEXT_SIZE];
    struct hub_wake *k = hub_wake_find(h->wakes, r.job);
    for (size_t i = 0; k != NULL && !k->is_over && i < r.told_count; i++) {
        if (!wake_job_told(k->core, r.guard, r.number, &r.told[i], loop_now_ns(h->options.loop)))
            continue;
        log_event(LOG_INFO, "wake.told", "job=%s device=%s guard=%s word=%s why=%s", k->id,
                  r.told[i].device, r.guard, wake_word_text(r.told[i].word),
                  log_text(r.told[i].why, why));
        hub_wake_touch(k);
    }
    serve_answer(rq, "application/json", "{}", 2);
}

/* ---- POST /v1/wake-end/ID -------------------------------------------------------------------- */

void hub_handle_wake_end(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct hub_wake *k = hub_wake_find(h->wakes, rq->rest);
    char why[WAKE_WHY_MAX];

    if (k == NULL) {
        serve_refuse(rq, ALB_NOT_FOUND,
                     "no such job to wake machines: it ended long ago, or "
                     "before the hub was started last");
        return;
    }
    snprintf(why, sizeof why, "%s ended the job", rq->session->who.device);
    if (!k->is_over)
        hub_audit(&rq->session->who, "wake.ended", "job=%s", k->id);
    wake_job_end(k->core, why, loop_now_ns(h->options.loop));
    hub_wake_touch(k);
    hub_wake_answer(k, 0, rq);
}
