/* SPDX-License-Identifier: Apache-2.0 */
/* hub/wake_job.h – machines being woken: who is next, who was tried, and what became of each.
 *
 *     WAITS ──guard──> ORDERED ──"sent"──> SENT ──awake──> DONE: woken
 *       ^                 │ no word in 5 s     │ 30, 60, 120 s
 *       │<── another ─────┘ or refused         │
 *       │<──────────────── again, three times ─┘──> DONE: never answered
 *
 * Each machine ends in exactly one result.  At most `at_once` are begun and not yet done, and one
 * begins every `space_ns`, so that neither fuses nor the reflector meet a herd.  A guard that does
 * not answer, refuses or leaves is not asked again for that machine; without any the machine waits
 * WAKE_GUARD_NS for one.  Pure: time is passed in; finding guards and speaking to them is the
 * owner's (hub/wake.c).
 *
 *     while (wake_job_next(job, now, &i))
 *         if (find_guard(i)) wake_job_ordered(job, i, guard, number, now);
 *         else               wake_job_unguarded(job, i, now);
 *     timer at wake_job_next_ns(job, now)
 */
#pragma once

#include "base/units.h"
#include "wire/wake.h"

enum {
    WAKE_JOB_TARGETS_MAX = 4096,
    WAKE_JOB_ATTEMPTS = 3,
    WAKE_JOB_GUARDS = 4, /* tried for one machine */
    WAKE_AT_ONCE_DEFAULT = 10,
    WAKE_AT_ONCE_MOST = 1000,
    WAKE_JOB_RATE_DEFAULT = 2, /* machines a second */
    WAKE_JOB_RATE_MOST = 20,
};
#define WAKE_WORD_NS (5 * NS_PER_S)        /* an order is answered in a round trip          */
#define WAKE_GUARD_NS (10 * NS_PER_S)      /* a new one may come: 5 s until one is missed   */
#define WAKE_GUARD_AGAIN_NS (1 * NS_PER_S) /* looked for that often meanwhile               */
#define WAKE_PATIENCE_NS (210 * NS_PER_S)  /* by default: 30 + 60 + 120 s                   */

enum wake_stage { WAKE_WAITS, WAKE_ORDERED, WAKE_QUEUED, WAKE_SENT, WAKE_DONE };
enum wake_result {
    WAKE_NO_RESULT, /* not done yet */
    WAKE_WOKEN,
    WAKE_ALREADY_AWAKE,
    WAKE_NEVER_ANSWERED,
    WAKE_CANNOT_BE_WOKEN,
    WAKE_NOBODY_AWAKE,
    WAKE_REFUSED,
    WAKE_ENDED,  /* by an operator, before its time */
    WAKE_HAS_IT, /* what it would have been woken for */
};
enum { WAKE_RESULTS = 9 };
const char *wake_result_text(enum wake_result result); /* "", "woken", "already_awake", … */
const char *wake_stage_text(enum wake_stage stage);    /* "waits", "ordered", … */

struct wake_machine {
    char device[64], guard[64]; /* guard: the last one; "": none yet */
    enum wake_stage stage;
    enum wake_result result;
    unsigned attempts; /* orders that a guard sent out */
    bool is_begun;     /* one of `at_once` until done */
    bool is_seen;      /* a guard saw its MAC answer; hint */
    bool is_held;      /* its content is on its way */
    char why[WAKE_WHY_MAX];
    uint64_t change; /* the job's number when this one changed last */
    uint64_t begun_ns, done_ns;
    uint64_t due_ns;          /* when something must happen; of what is not done */
    uint64_t number;          /* of the order */
    uint64_t guard_wanted_ns; /* since when there is none; 0: not so */
    char tried[WAKE_JOB_GUARDS][64];
    size_t tried_count;
};

struct wake_job_options {
    size_t at_once;       /* 0: the default */
    unsigned rate;        /* 0: the default */
    uint64_t patience_ns; /* 0: the default */
};
struct wake_job;
struct wake_job *wake_job_new(const struct wake_job_options *options);
struct wake_job *wake_job_free(struct wake_job *job); /* NULL is fine */
/* Its index; at most WAKE_JOB_TARGETS_MAX, each device once. */
size_t wake_job_add(struct wake_job *job, const char *device);

size_t wake_job_count(const struct wake_job *job);
const struct wake_machine *wake_job_machine(const struct wake_job *job, size_t index);
size_t wake_job_results(const struct wake_job *job, enum wake_result result); /* how many */
size_t wake_job_begun(const struct wake_job *job);                            /* and not done */
bool wake_job_is_done(const struct wake_job *job);
uint64_t wake_job_change(const struct wake_job *job); /* of whatever changed last */
/* Something that is shown with it changed: the next number. */
uint64_t wake_job_note(struct wake_job *job);
/* NULL: it is none of this job's. */
const struct wake_machine *wake_job_find(const struct wake_job *job, const char *device);

/* This one does not begin while it is held; what is done stays. */
void wake_job_hold(struct wake_job *job, size_t index, bool is_held);
/* The next one to be ordered now; it must be followed by one of the three below.  Lapses what is
 * due as well: call it at wake_job_next_ns(). */
bool wake_job_next(struct wake_job *job, uint64_t now_ns, size_t *index);
void wake_job_ordered(struct wake_job *job, size_t index, const char *guard, uint64_t number,
                      uint64_t now_ns);
void wake_job_unguarded(struct wake_job *job, size_t index, uint64_t now_ns);
void wake_job_settle(struct wake_job *job, size_t index, enum wake_result result, const char *why,
                     uint64_t now_ns);
/* False: that guard was tried for this machine. */
bool wake_job_may_ask(const struct wake_job *job, size_t index, const char *guard);
uint64_t wake_job_next_ns(const struct wake_job *job); /* UINT64_MAX: never by itself */

/* It announced itself.  False: it is none of this job's, or done. */
bool wake_job_awake(struct wake_job *job, const char *device, uint64_t now_ns);
/* A guard's word of order `number`.  False: it is of no order that is under way. */
bool wake_job_told(struct wake_job *job, const char *guard, uint64_t number,
                   const struct wake_told *told, uint64_t now_ns);
void wake_job_guard_left(struct wake_job *job, const char *guard, uint64_t now_ns);
void wake_job_end(struct wake_job *job, const char *why, uint64_t now_ns);
