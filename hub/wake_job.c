/* SPDX-License-Identifier: Apache-2.0 */
/* hub/wake_job.c – machines being woken: pure states, deadlines and counts. */
#include "hub/wake_job.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"

struct wake_job {
    size_t at_once;
    uint64_t space_ns, patience_ns;
    uint64_t next_begin_ns, lapsed_ns; /* when what was due then was looked for */
    struct wake_machine *machines;     /* owned */
    struct map by_device;              /* index + 1 of each, as a pointer */
    size_t count, room;
    size_t begun; /* and not done */
    /* Before `first` all are done; from `begun_end` on nobody is begun; before `fresh` nobody is
     * left who is not: so that a turn does not look at thousands that wait. */
    size_t first, begun_end, fresh;
    size_t results[WAKE_RESULTS];
    uint64_t change;
};

static const char *const RESULTS[WAKE_RESULTS] = {
    [WAKE_NO_RESULT] = "",
    [WAKE_WOKEN] = "woken",
    [WAKE_ALREADY_AWAKE] = "already_awake",
    [WAKE_NEVER_ANSWERED] = "never_answered",
    [WAKE_CANNOT_BE_WOKEN] = "cannot_be_woken",
    [WAKE_NOBODY_AWAKE] = "nobody_awake_there",
    [WAKE_REFUSED] = "refused",
    [WAKE_ENDED] = "ended",
    [WAKE_HAS_IT] = "has_it_already",
};
static const char *const STAGES[] = {
    [WAKE_WAITS] = "waits", [WAKE_ORDERED] = "ordered", [WAKE_QUEUED] = "queued",
    [WAKE_SENT] = "sent",   [WAKE_DONE] = "done",
};

const char *wake_result_text(enum wake_result result)
{
    return RESULTS[result];
}

const char *wake_stage_text(enum wake_stage stage)
{
    return STAGES[stage];
}

/* ---- made, filled, asked --------------------------------------------------------------------- */

struct wake_job *wake_job_new(const struct wake_job_options *options)
{
    struct wake_job *job = xalloc(sizeof *job);
    const unsigned rate = options->rate != 0 ? options->rate : WAKE_JOB_RATE_DEFAULT;

    map_init(&job->by_device);
    job->lapsed_ns = UINT64_MAX;
    job->at_once = options->at_once != 0 ? options->at_once : WAKE_AT_ONCE_DEFAULT;
    job->space_ns = NS_PER_S / rate;
    job->patience_ns = options->patience_ns != 0 ? options->patience_ns : WAKE_PATIENCE_NS;
    return job;
}

struct wake_job *wake_job_free(struct wake_job *job)
{
    if (job == NULL)
        return NULL;
    map_release(&job->by_device);
    free(job->machines);
    free(job);
    return NULL;
}

/* A map's value must not be NULL. */
static void *job_index(size_t count)
{
    return (void *)(uintptr_t)count;
}

size_t wake_job_add(struct wake_job *job, const char *device)
{
    alb_assert(job->count < WAKE_JOB_TARGETS_MAX);
    if (job->count == job->room) {
        job->room = job->room == 0 ? 16 : 2 * job->room;
        job->machines = xrealloc(job->machines, job->room * sizeof *job->machines);
    }
    struct wake_machine *m = &job->machines[job->count];
    *m = (struct wake_machine){.change = ++job->change};
    snprintf(m->device, sizeof m->device, "%s", device);
    job->count++;
    const struct chunk_key key = map_text_key(device);
    (void)map_put(&job->by_device, &key, job_index(job->count));
    return job->count - 1;
}

size_t wake_job_count(const struct wake_job *job)
{
    return job->count;
}

const struct wake_machine *wake_job_machine(const struct wake_job *job, size_t index)
{
    alb_assert(index < job->count);
    return &job->machines[index];
}

size_t wake_job_results(const struct wake_job *job, enum wake_result result)
{
    return job->results[result];
}

size_t wake_job_begun(const struct wake_job *job)
{
    return job->begun;
}

bool wake_job_is_done(const struct wake_job *job)
{
    size_t done = 0;

    for (size_t i = 0; i < WAKE_RESULTS; i++)
        done += job->results[i];
    return done == job->count;
}

uint64_t wake_job_change(const struct wake_job *job)
{
    return job->change;
}

uint64_t wake_job_note(struct wake_job *job)
{
    return ++job->change;
}

static struct wake_machine *find(const struct wake_job *job, const char *device)
{
    const struct chunk_key key = map_text_key(device);
    const uintptr_t at = (uintptr_t)map_get(&job->by_device, &key);

    return at == 0 ? NULL : &job->machines[at - 1];
}

const struct wake_machine *wake_job_find(const struct wake_job *job, const char *device)
{
    return find(job, device);
}

/* ---- the end of one -------------------------------------------------------------------------- */

static void say(struct wake_machine *m, const char *why)
{
    snprintf(m->why, sizeof m->why, "%s", why);
}

static void finish(struct wake_job *job, struct wake_machine *m, enum wake_result result,
                   uint64_t now_ns)
{
    alb_assert(m->stage != WAKE_DONE && result != WAKE_NO_RESULT);
    m->stage = WAKE_DONE;
    m->result = result;
    m->done_ns = now_ns;
    m->change = ++job->change;
    job->results[result]++;
    if (m->is_begun)
        job->begun--;
}

void wake_job_settle(struct wake_job *job, size_t index, enum wake_result result, const char *why,
                     uint64_t now_ns)
{
    struct wake_machine *m = &job->machines[index];

    alb_assert(index < job->count);
    say(m, why);
    finish(job, m, result, now_ns);
}

/* Nobody is left who could send it: did anybody refuse, is nobody there, or did it not answer? */
static void give_up(struct wake_job *job, struct wake_machine *m, uint64_t now_ns)
{
    if (m->attempts > 0) {
        say(m, "frames were sent, then nobody was left to repeat them");
        finish(job, m, WAKE_NEVER_ANSWERED, now_ns);
    } else if (m->tried_count > 0) {
        finish(job, m, WAKE_REFUSED, now_ns); /* why: what the last guard said */
    } else {
        say(m, "nobody who could wake it is awake in a subnet of its");
        finish(job, m, WAKE_NOBODY_AWAKE, now_ns);
    }
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static bool was_tried(const struct wake_machine *m, const char *guard)
{
    for (size_t i = 0; i < m->tried_count; i++)
        if (strcmp(m->tried[i], guard) == 0)
            return true;
    return false;
}

/* That guard is out; somebody else may do it. */
static void turn_from_guard(struct wake_job *job, struct wake_machine *m, const char *why,
                            uint64_t now_ns)
{
    if (!was_tried(m, m->guard) && m->tried_count < WAKE_JOB_GUARDS)
        snprintf(m->tried[m->tried_count++], sizeof m->tried[0], "%s", m->guard);
    say(m, why);
    m->stage = WAKE_WAITS;
    m->due_ns = now_ns;
    m->change = ++job->change;
    if (m->tried_count == WAKE_JOB_GUARDS)
        give_up(job, m, now_ns);
}

/* Of the patience, 1/7, 2/7 and 4/7 are waited behind the first, second and third send. */
static uint64_t gap_ns(const struct wake_job *job, unsigned attempts)
{
    return (job->patience_ns << (attempts - 1)) / ((1u << WAKE_JOB_ATTEMPTS) - 1);
}

static void lapse_sent(struct wake_job *job, struct wake_machine *m, uint64_t now_ns)
{
    if (m->attempts < WAKE_JOB_ATTEMPTS) {
        m->stage = WAKE_WAITS;
        m->due_ns = now_ns;
        m->change = ++job->change;
        return;
    }
    say(m, m->is_seen ? "it was seen on its network, but never came to a parent of its"
                      : "wake frames were sent three times");
    finish(job, m, WAKE_NEVER_ANSWERED, now_ns);
}

static void lapse(struct wake_job *job, struct wake_machine *m, uint64_t now_ns)
{
    char why[WAKE_WHY_MAX];

    if (m->due_ns > now_ns)
        return;
    switch (m->stage) {
    case WAKE_WAITS:
    case WAKE_DONE: break;
    case WAKE_ORDERED:
    case WAKE_QUEUED:
        snprintf(why, sizeof why, "%s was told to wake it and said nothing", m->guard);
        turn_from_guard(job, m, why, now_ns);
        break;
    case WAKE_SENT: lapse_sent(job, m, now_ns); break;
    }
}

/* May this waiting one be ordered now? */
static bool is_ready(const struct wake_job *job, const struct wake_machine *m, uint64_t now_ns)
{
    if (m->stage != WAKE_WAITS || m->due_ns > now_ns || m->is_held)
        return false;
    return m->is_begun || (job->begun < job->at_once && now_ns >= job->next_begin_ns);
}

void wake_job_hold(struct wake_job *job, size_t index, bool is_held)
{
    struct wake_machine *m = &job->machines[index];

    alb_assert(index < job->count);
    if (m->stage == WAKE_DONE || m->is_held == is_held)
        return;
    m->is_held = is_held;
    m->change = ++job->change;
}

static void move_on(struct wake_job *job)
{
    while (job->first < job->count && job->machines[job->first].stage == WAKE_DONE)
        job->first++;
    while (job->fresh < job->count &&
           (job->machines[job->fresh].is_begun || job->machines[job->fresh].stage == WAKE_DONE))
        job->fresh++;
}

static bool find_ready(const struct wake_job *job, size_t from, size_t to, uint64_t now_ns,
                       size_t *index)
{
    for (size_t i = from; i < to; i++)
        if (is_ready(job, &job->machines[i], now_ns)) {
            *index = i;
            return true;
        }
    return false;
}

bool wake_job_next(struct wake_job *job, uint64_t now_ns, size_t *index)
{
    move_on(job);
    for (size_t i = job->first; i < job->begun_end && job->lapsed_ns != now_ns; i++)
        lapse(job, &job->machines[i], now_ns);
    job->lapsed_ns = now_ns;
    if (find_ready(job, job->first, job->begun_end, now_ns, index))
        return true;
    return job->begun < job->at_once && now_ns >= job->next_begin_ns &&
           find_ready(job, job->fresh, job->count, now_ns, index);
}

uint64_t wake_job_next_ns(const struct wake_job *job)
{
    const uint64_t begin_ns = job->begun < job->at_once ? job->next_begin_ns : UINT64_MAX;
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = job->first; i < job->begun_end; i++) {
        const struct wake_machine *m = &job->machines[i];

        if (m->stage != WAKE_DONE && m->is_begun && m->due_ns < next_ns)
            next_ns = m->due_ns;
    }
    for (size_t i = job->fresh; i < job->count && next_ns > begin_ns; i++) {
        const struct wake_machine *m = &job->machines[i];
        const uint64_t at_ns = m->due_ns < begin_ns ? begin_ns : m->due_ns;

        if (m->stage != WAKE_DONE && !m->is_begun && !m->is_held && at_ns < next_ns)
            next_ns = at_ns;
    }
    return next_ns;
}

/* ---- what the owner did ---------------------------------------------------------------------- */

void wake_job_ordered(struct wake_job *job, size_t index, const char *guard, uint64_t number,
                      uint64_t now_ns)
{
    struct wake_machine *m = &job->machines[index];

    alb_assert(index < job->count && m->stage == WAKE_WAITS);
    if (!m->is_begun) {
        m->is_begun = true;
        job->begun_end = index + 1 > job->begun_end ? index + 1 : job->begun_end;
        m->begun_ns = now_ns;
        job->begun++;
        job->next_begin_ns = now_ns + job->space_ns;
    }
    snprintf(m->guard, sizeof m->guard, "%s", guard);
    m->number = number;
    m->guard_wanted_ns = 0;
    m->stage = WAKE_ORDERED;
    m->due_ns = now_ns + WAKE_WORD_NS;
    m->change = ++job->change;
}

void wake_job_unguarded(struct wake_job *job, size_t index, uint64_t now_ns)
{
    struct wake_machine *m = &job->machines[index];

    alb_assert(index < job->count && m->stage == WAKE_WAITS);
    if (m->guard_wanted_ns == 0)
        m->guard_wanted_ns = now_ns == 0 ? 1 : now_ns;
    if (now_ns >= m->guard_wanted_ns + WAKE_GUARD_NS) {
        give_up(job, m, now_ns);
        return;
    }
    m->due_ns = now_ns + WAKE_GUARD_AGAIN_NS;
}

bool wake_job_may_ask(const struct wake_job *job, size_t index, const char *guard)
{
    return !was_tried(wake_job_machine(job, index), guard);
}

/* ---- what others said ------------------------------------------------------------------------ */

bool wake_job_awake(struct wake_job *job, const char *device, uint64_t now_ns)
{
    struct wake_machine *m = find(job, device);

    if (m == NULL || m->stage == WAKE_DONE)
        return false;
    m->why[0] = '\0';
    finish(job, m, m->is_begun ? WAKE_WOKEN : WAKE_ALREADY_AWAKE, now_ns);
    return true;
}

static bool is_under_way(const struct wake_machine *m)
{
    return m->stage == WAKE_ORDERED || m->stage == WAKE_QUEUED;
}

bool wake_job_told(struct wake_job *job, const char *guard, uint64_t number,
                   const struct wake_told *told, uint64_t now_ns)
{
    struct wake_machine *m = find(job, told->device);

    if (m == NULL || m->stage == WAKE_DONE || m->number != number || strcmp(m->guard, guard) != 0)
        return false;
    if (told->word == WAKE_WORD_SEEN)
        m->is_seen = true;
    else if (!is_under_way(m))
        return false;
    switch (told->word) {
    case WAKE_WORD_QUEUED:
        m->stage = WAKE_QUEUED;
        m->due_ns = now_ns + WAKE_ORDER_LIFE_S * NS_PER_S;
        break;
    case WAKE_WORD_SENT:
        m->stage = WAKE_SENT;
        m->attempts++;
        m->due_ns = now_ns + gap_ns(job, m->attempts);
        m->why[0] = '\0';
        break;
    case WAKE_WORD_SEEN: break;
    case WAKE_WORD_REFUSED: turn_from_guard(job, m, told->why, now_ns); return true;
    }
    m->change = ++job->change;
    return true;
}

void wake_job_guard_left(struct wake_job *job, const char *guard, uint64_t now_ns)
{
    char why[WAKE_WHY_MAX];

    snprintf(why, sizeof why, "%s went away before it sent anything", guard);
    for (size_t i = 0; i < job->count; i++)
        if (is_under_way(&job->machines[i]) && strcmp(job->machines[i].guard, guard) == 0)
            turn_from_guard(job, &job->machines[i], why, now_ns);
}

void wake_job_end(struct wake_job *job, const char *why, uint64_t now_ns)
{
    for (size_t i = 0; i < job->count; i++) {
        if (job->machines[i].stage == WAKE_DONE)
            continue;
        say(&job->machines[i], why);
        finish(job, &job->machines[i], WAKE_ENDED, now_ns);
    }
}
