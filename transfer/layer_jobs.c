/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/layer_jobs.c – a job for each layer that is wanted, looked at once a second. */
#include "transfer/layer_jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "shaper/bucket.h"
#include "shaper/shaper_wire.h"
#include "wire/json.h"

enum {
    BATCHES_PER_S = 20, /* of a job that has a rate            */
    FLOOR_STEP_BPS = 65536,
};
#define LOOK_NS NS_PER_S
#define OPEN_NS (5 * NS_PER_S) /* without a want: a puller thinks between two          */
#define FORGET_NS (120 * NS_PER_S)
#define TOLD_NS (30 * NS_PER_S) /* what the one who lacked most said is believed so long */
#define STAY_NS (60 * NS_PER_S) /* an escalation, at least                              */
#define HOLD_NS (30 * NS_PER_S)
#define KNOWN_NS (10 * NS_PER_S) /* what scavenging brings is known after               */
#define MEAN_NS (120 * NS_PER_S)

/* What of the line a job may have; more is stronger. */
enum rank { RANK_OFF, RANK_SCAVENGE, RANK_FLOOR, RANK_FULL };

struct layer_job {
    struct layer_jobs *all;
    char layer[NAME_MAX_SIZE];
    struct policy_watch watch;
    struct policy_terms terms; /* the watch's, escalated        */
    enum policy_class class;   /* urgent and normal: escalated  */
    uint64_t since_ns;         /* of the class                  */
    struct bucket bucket;      /* of a job's own rate           */
    uint64_t stored_per_1024;  /* of what items could be at most */
    size_t wanted;
    bool is_open;                 /* something is, or was a moment ago */
    uint64_t wanted_ns;           /* when something was wanted last */
    uint64_t told_bytes, told_ns; /* left, as told; 0 ns: never     */
    uint64_t brought_bytes;       /* since the last look            */
    uint64_t heard_ns;            /* when it brought something      */
    uint64_t mean_bps, seen_ns;   /* of scavenging; over how long   */
    uint64_t needed_bps;
    int64_t by_s; /* POLICY_NEVER */
    TAILQ_ENTRY(layer_job) link;
};

struct layer_jobs {
    struct layer_jobs_options options;
    TAILQ_HEAD(, layer_job) list;
    struct policy_terms plain;
    enum rank rank;                    /* the line's */
    const struct layer_job *strongest; /* NULL: the line goes by its plain terms */
    void (*more)(void *arg);
    void *more_arg;
    struct timer look;
};

static void look(void *arg);
static void judge(struct layer_job *j);
static void tell(struct layer_jobs *all);
static void on_changed(struct policy_watch *w);

static uint64_t now_of(const struct layer_jobs *all)
{
    return loop_now_ns(all->options.loop);
}

/* On a LAN nobody has to give way unless somebody said so. */
static bool is_free(const struct layer_jobs *all)
{
    return all->options.place.side == POLICY_LAN;
}

/* ---- birth and death ------------------------------------------------------------------------- */

struct layer_jobs *layer_jobs_new(const struct layer_jobs_options *options)
{
    struct layer_jobs *all = xalloc(sizeof *all);

    all->options = *options;
    all->plain.action.mode = is_free(all) ? POLICY_FULL : POLICY_MODE_SCAVENGE;
    all->rank = is_free(all) ? RANK_FULL : RANK_SCAVENGE;
    TAILQ_INIT(&all->list);
    timer_init(&all->look, options->loop, look, all);
    return all;
}

static void forget(struct layer_job *j)
{
    if (j->all->strongest == j)
        j->all->strongest = NULL;
    policy_book_unwatch(j->all->options.policy, &j->watch);
    TAILQ_REMOVE(&j->all->list, j, link);
    free(j);
}

struct layer_jobs *layer_jobs_free(struct layer_jobs *all)
{
    if (all == NULL)
        return NULL;
    timer_stop(&all->look);
    while (!TAILQ_EMPTY(&all->list))
        forget(TAILQ_FIRST(&all->list));
    free(all);
    return NULL;
}

void layer_jobs_move(struct layer_jobs *all, const struct policy_place *place)
{
    struct layer_job *j;

    all->options.place = *place;
    TAILQ_FOREACH(j, &all->list, link)
    {
        policy_book_unwatch(all->options.policy, &j->watch);
        j->watch.place.side = place->side;
        j->watch.place.addresses = place->addresses;
        j->watch.place.address_count = place->address_count;
        policy_book_watch(all->options.policy, &j->watch);
        judge(j);
    }
    tell(all);
}

static struct layer_job *find(const struct layer_jobs *all, const char *layer)
{
    struct layer_job *j;

    TAILQ_FOREACH(j, &all->list, link)
    if (strcmp(j->layer, layer) == 0)
        return j;
    return NULL;
}

static struct layer_job *job_of(struct layer_jobs *all, const char *layer)
{
    struct layer_job *j = find(all, layer);

    if (j != NULL)
        return j;
    j = xalloc(sizeof *j);
    j->all = all;
    snprintf(j->layer, sizeof j->layer, "%s", layer);
    j->class = POLICY_SCAVENGER;
    j->stored_per_1024 = WIRE_ONE;
    j->wanted_ns = j->heard_ns = now_of(all);
    j->by_s = POLICY_NEVER;
    bucket_init(&j->bucket, BUCKET_UNLIMITED, 1);
    j->watch.place = all->options.place;
    j->watch.place.job = j->layer;
    j->watch.changed = on_changed;
    policy_book_watch(all->options.policy, &j->watch);
    TAILQ_INSERT_TAIL(&all->list, j, link);
    judge(j);
    if (!timer_is_set(&all->look))
        timer_set_in(&all->look, LOOK_NS);
    return j;
}

/* ---- what it may have ------------------------------------------------------------------------ */

static bool is_own(const struct policy_terms *t)
{
    return t->scope == POLICY_JOB && t->source != POLICY_BY_DEFAULT;
}

/* What the job has for itself, whatever its line may: UNLIMITED when it has no rate. */
static uint64_t own_bps(const struct layer_job *j)
{
    const uint64_t bps = policy_absolute_bps(&j->terms.action);

    return is_own(&j->terms) && bps != 0 ? bps : BUCKET_UNLIMITED;
}

static enum rank rank_of(const struct policy_terms *t, enum policy_class class)
{
    if (t->action.mode == POLICY_OFF)
        return RANK_OFF;
    if (t->action.mode == POLICY_FULL || class == POLICY_URGENT)
        return RANK_FULL;
    return class == POLICY_NORMAL ? RANK_FLOOR : RANK_SCAVENGE;
}

/* What it asks of the line.  Its own cap is kept here, so it lowers no one else. */
static struct policy_terms demand_of(const struct layer_job *j, enum rank *rank)
{
    const struct policy_terms *plain = &j->all->plain;
    const bool is_capped = is_own(&j->terms) && j->terms.action.mode == POLICY_CAPPED;
    const struct policy_terms *t =
        is_capped && plain->action.mode != POLICY_OFF ? plain : &j->terms;

    *rank = rank_of(t, j->class);
    return *t;
}

static void choose(struct layer_jobs *all)
{
    const enum rank plain = rank_of(&all->plain, POLICY_SCAVENGER);
    const struct layer_job *j;

    all->strongest = NULL;
    all->rank = RANK_OFF;
    TAILQ_FOREACH(j, &all->list, link)
    {
        enum rank rank;
        demand_of(j, &rank);
        if (j->is_open && rank > all->rank) {
            all->rank = rank;
            all->strongest = j;
        }
    }
    if (all->rank == plain || all->rank == RANK_OFF) {
        all->rank = plain;
        all->strongest = NULL;
    }
}

struct policy_terms layer_jobs_terms(struct layer_jobs *all, const struct policy_terms *plain)
{
    enum rank rank;

    all->plain = *plain;
    choose(all);
    return all->strongest != NULL ? demand_of(all->strongest, &rank) : *plain;
}

/* ---- what it lacks, and by when -------------------------------------------------------------- */

static uint64_t left_of(const struct layer_job *j)
{
    return j->told_ns != 0 ? j->told_bytes : 0;
}

/* After a change of what is allowed: told to those who act by it. */
static void tell(struct layer_jobs *all)
{
    if (all->options.changed != NULL)
        all->options.changed(all->options.arg);
    if (all->more != NULL)
        all->more(all->more_arg);
}

static void set_class(struct layer_job *j, enum policy_class class)
{
    char needed[UNITS_TEXT_SIZE], mean[UNITS_TEXT_SIZE];

    if (class == j->class)
        return;
    if (class < j->class) /* urgent < normal < scavenger */
        j->heard_ns = now_of(j->all);
    log_event(LOG_INFO, "job.deadline",
              "layer=%s class=%s was=%s left_bytes=%" PRIu64 " needed=\"%s\" scavenged=\"%s\"",
              j->layer, policy_class_word(class), policy_class_word(j->class), left_of(j),
              j->needed_bps == UINT64_MAX ? "it is past" : format_rate(j->needed_bps, needed),
              format_rate(j->mean_bps, mean));
    j->class = class;
    j->since_ns = now_of(j->all);
}

static uint64_t needed_bps(const struct layer_job *j, int64_t wall_s)
{
    const uint64_t bps = policy_needed_bps(left_of(j), j->by_s, wall_s);

    if (bps > UINT64_MAX / 2)
        return UINT64_MAX;
    return (bps + bps / 8 + FLOOR_STEP_BPS - 1) / FLOOR_STEP_BPS * FLOOR_STEP_BPS;
}

static void press(struct layer_job *j)
{
    const struct policy_book *book = j->all->options.policy;
    const int64_t wall_s = policy_book_now_s(book);
    const uint64_t harvested = j->seen_ns < KNOWN_NS ? UINT64_MAX : j->mean_bps;

    j->by_s = policy_deadline(policy_book_peek(book), j->layer, j->watch.place.site, wall_s);
    j->needed_bps = j->by_s == POLICY_NEVER ? 0 : needed_bps(j, wall_s);
    if (j->by_s == POLICY_NEVER || left_of(j) == 0 || !j->is_open) {
        set_class(j, POLICY_SCAVENGER);
        return;
    }
    struct policy_terms terms = j->watch.terms;
    enum policy_class class = policy_escalate(&terms, j->needed_bps, harvested);
    if (class > j->class && now_of(j->all) - j->since_ns < STAY_NS) {
        terms = j->watch.terms; /* not yet back: as if it were still so */
        const uint64_t pretended = j->class == POLICY_URGENT ? 0 : j->needed_bps;
        class = policy_escalate(&terms, j->class == POLICY_URGENT ? UINT64_MAX : j->needed_bps,
                                pretended);
    }
    set_class(j, class);
    j->terms = terms;
}

static uint64_t batch_bytes(uint64_t bps)
{
    enum { MOST = 4 << 20 };
    const uint64_t bytes = bps / 8 / BATCHES_PER_S + 1;

    return bytes < MOST ? bytes : MOST;
}

static void judge(struct layer_job *j)
{
    j->terms = j->watch.terms;
    if (is_free(j->all) && j->terms.source == POLICY_BY_DEFAULT)
        j->terms.action.mode = POLICY_FULL;
    else
        press(j);
    const uint64_t bps = own_bps(j);
    if (bps != j->bucket.rate_bps)
        bucket_set(&j->bucket, bps, (uint32_t)(2 * batch_bytes(bps)), now_of(j->all));
}

static void on_changed(struct policy_watch *w)
{
    struct layer_job *j = ALB_CONTAINER(w, struct layer_job, watch);

    judge(j);
    tell(j->all);
}

/* While it is urgent, what comes says nothing of what scavenging would bring. */
static void take_mean(struct layer_job *j)
{
    const uint64_t bps = j->brought_bytes * 8 * NS_PER_S / LOOK_NS;

    if (j->told_ns != 0)
        j->told_bytes -= j->brought_bytes < j->told_bytes ? j->brought_bytes : j->told_bytes;
    j->brought_bytes = 0;
    if (j->wanted == 0 || j->class == POLICY_URGENT || j->terms.action.mode == POLICY_OFF)
        return;
    j->seen_ns += j->seen_ns < MEAN_NS ? LOOK_NS : 0;
    const uint64_t looks = j->seen_ns / LOOK_NS;
    j->mean_bps = (j->mean_bps * (looks - 1) + bps) / looks;
}

static void look(void *arg)
{
    struct layer_jobs *all = arg;
    const struct layer_job *strongest = all->strongest;
    const uint64_t now_ns = now_of(all);
    struct layer_job *j, *next;
    bool is_other = false;

    for (j = TAILQ_FIRST(&all->list); j != NULL; j = next) {
        const struct policy_terms before = j->terms;
        next = TAILQ_NEXT(j, link);
        if (j->wanted > 0)
            j->wanted_ns = now_ns;
        if (now_ns - j->wanted_ns > FORGET_NS) {
            forget(j);
            continue;
        }
        j->is_open = now_ns - j->wanted_ns < OPEN_NS && j->is_open;
        take_mean(j);
        judge(j);
        is_other = is_other || !policy_terms_equal(&before, &j->terms);
    }
    choose(all);
    if (is_other || all->strongest != strongest)
        tell(all);
    else if (all->more != NULL && layer_jobs_hold(all))
        all->more(all->more_arg); /* who was waited for may have fallen silent */
    if (!TAILQ_EMPTY(&all->list))
        timer_set_in(&all->look, LOOK_NS);
}

void layer_jobs_tell_left(struct layer_jobs *all, const char *layer, uint64_t bytes)
{
    if (all == NULL || (bytes == 0 && find(all, layer) == NULL))
        return;
    struct layer_job *j = job_of(all, layer);
    const uint64_t now_ns = now_of(all);

    if (j->told_ns != 0 && bytes < j->told_bytes && now_ns - j->told_ns < TOLD_NS)
        return;
    j->told_bytes = bytes;
    j->told_ns = now_ns;
}

uint64_t layer_jobs_left(const struct layer_jobs *all, const char *layer)
{
    const struct layer_job *j = all == NULL ? NULL : find(all, layer);

    return j == NULL ? 0 : left_of(j);
}

/* ---- asking ---------------------------------------------------------------------------------- */

void layer_jobs_listen(struct layer_jobs *all, void (*more)(void *arg), void *arg)
{
    if (all == NULL)
        return;
    all->more = more;
    all->more_arg = arg;
}

struct layer_job *layer_job_enter(struct layer_jobs *all, const char *layer)
{
    if (all == NULL)
        return NULL;
    struct layer_job *j = job_of(all, layer);

    j->wanted++;
    j->wanted_ns = now_of(all);
    if (!j->is_open) {
        j->is_open = true;
        tell(all);
    }
    return j;
}

void layer_job_leave(struct layer_job *j)
{
    if (j == NULL)
        return;
    alb_assert(j->wanted > 0);
    j->wanted--;
    j->wanted_ns = now_of(j->all);
}

/* A stronger one goes first, as long as it brings anything. */
static bool must_wait(const struct layer_job *j)
{
    const struct layer_job *strong = j->all->strongest;
    enum rank rank;

    demand_of(j, &rank);
    return strong != NULL && rank < j->all->rank && now_of(j->all) - strong->heard_ns < HOLD_NS;
}

static bool is_off(const struct layer_job *j)
{
    return j->terms.action.mode == POLICY_OFF;
}

uint64_t layer_job_ask_ns(const struct layer_job *j)
{
    if (j == NULL)
        return 0;
    if (is_off(j) || must_wait(j))
        return UINT64_MAX;
    const uint64_t at_ns = bucket_eligible_ns(&j->bucket, j->bucket.burst_bytes / 2);

    return at_ns <= now_of(j->all) ? 0 : at_ns;
}

bool layer_job_has_rate(const struct layer_job *j)
{
    return j != NULL && j->bucket.rate_bps != BUCKET_UNLIMITED;
}

uint64_t layer_job_batch_bytes(const struct layer_job *j, uint64_t most_bytes)
{
    if (!layer_job_has_rate(j))
        return most_bytes;
    const uint64_t bytes = batch_bytes(j->bucket.rate_bps) * WIRE_ONE / (j->stored_per_1024 + 1);

    return bytes < most_bytes ? bytes : most_bytes;
}

uint64_t layer_job_charge(struct layer_job *j, uint64_t most_bytes)
{
    if (j == NULL)
        return 0;
    const uint64_t bytes = wire_estimate(most_bytes * j->stored_per_1024 / WIRE_ONE);

    bucket_charge(&j->bucket, bytes, now_of(j->all));
    return bytes;
}

void layer_job_settle(struct layer_job *j, uint64_t most_bytes, uint64_t charged_bytes,
                      uint64_t came_bytes)
{
    if (j == NULL)
        return;
    const uint64_t now_ns = now_of(j->all), wire_bytes = wire_estimate(came_bytes);

    if (wire_bytes > charged_bytes)
        bucket_charge(&j->bucket, wire_bytes - charged_bytes, now_ns);
    else
        bucket_refund(&j->bucket, charged_bytes - wire_bytes, now_ns);
    if (came_bytes == 0)
        return;
    j->brought_bytes += came_bytes;
    j->heard_ns = now_ns;
    if (most_bytes > 0)
        j->stored_per_1024 = (j->stored_per_1024 * 15 + came_bytes * WIRE_ONE / most_bytes) / 16;
}

bool layer_jobs_hold(const struct layer_jobs *all)
{
    const struct layer_job *j;

    if (all == NULL)
        return false;
    TAILQ_FOREACH(j, &all->list, link)
    if (j->wanted > 0 && layer_job_ask_ns(j) != 0)
        return true;
    return false;
}

/* ---- shown ----------------------------------------------------------------------------------- */

static const char *pressed_state_of(const struct layer_job *j)
{
    if (j->class != POLICY_URGENT)
        return "does not yield below what its deadline takes";
    return j->needed_bps == UINT64_MAX ? "urgent: its deadline is past"
                                       : "urgent: its deadline is near";
}

static const char *state_of(const struct layer_job *j)
{
    if (is_off(j))
        return "paused by policy";
    if (must_wait(j))
        return "waits for a layer that goes before it";
    if (j->class != POLICY_SCAVENGER)
        return pressed_state_of(j);
    return layer_job_has_rate(j) ? "held to its own rate" : "goes with its line";
}

static void show_one(const struct layer_job *j, struct json_writer *w)
{
    char text[POLICY_LINE_MAX];

    json_object_begin(w, NULL);
    json_text(w, "layer", j->layer);
    json_text(w, "state", state_of(j));
    json_text(w, "class", policy_class_word(j->class));
    json_text(w, "policy", policy_action_text(&j->terms.action, text));
    json_number(w, "wanted", j->wanted);
    json_number(w, "left_bytes", left_of(j));
    json_number(w, "scavenged_bps", j->mean_bps);
    if (j->by_s != POLICY_NEVER) {
        json_signed(w, "by_wall_s", j->by_s);
        json_bool(w, "is_late", j->needed_bps == UINT64_MAX);
        json_number(w, "needed_bps", j->needed_bps == UINT64_MAX ? 0 : j->needed_bps);
    }
    json_end(w);
}

void layer_jobs_show(const struct layer_jobs *all, struct json_writer *w)
{
    const struct layer_job *j;

    if (all == NULL || TAILQ_EMPTY(&all->list))
        return;
    json_array_begin(w, "jobs");
    TAILQ_FOREACH(j, &all->list, link)
    if (j->is_open)
        show_one(j, w);
    json_end(w);
}
