/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/layer_jobs.h – the layers being fetched over a line: what the policy says of each, what
 * it still lacks, and by when.
 *
 * A line has one controller, and each layer on it may have rules and deadlines of its own.  So
 * every layer of which something is wanted is a *job*; its terms are those that the policy has for
 * it (rules of scope job among the others, the first match wins), and it holds what the fetcher
 * asks for:
 *
 *     off       nothing of it is asked for; what is wanted waits ("paused by policy")
 *     a rate    (capped, or a ceiling) of a job's rule: asked for as a bucket allows, in bytes on
 *               the wire as far as they are known when asking.  A chunk is asked for whole, so over
 *               any while it is exact to one batch: a twentieth of a second, or one chunk
 *     deadline  bytes left ÷ time left is what is needed, and an eighth more for headers and what
 *               may go wrong; policy_escalate() compares it with what scavenging brought of late
 *
 * The line itself goes by the strongest that an open job may have (off < scavenge < scavenge with a
 * deadline's floor < full), since its terms cannot be two at once; those that may have less than
 * that wait until it is over, or they would ride along.  They are let go if the strong one has
 * brought nothing for HOLD_NS.  An escalation stays at least 60 s.
 *
 * What is left of a layer is told by who knows it: a puller, or those below a reflector
 * (PROTOCOL §5, `albedo-left`).  Of several tellers the one that lacks most counts.
 */
#pragma once

#include "base/units.h"
#include "transfer/policy_book.h"

struct json_writer;
struct layer_jobs;
struct layer_job;

struct layer_jobs_options {
    struct loop *loop;
    struct policy_book *policy; /* borrowed, outlives it */
    struct policy_place place;  /* the line's; its texts are borrowed */
    void (*changed)(void *arg); /* layer_jobs_terms() may answer something else */
    void *arg;
};

struct layer_jobs *layer_jobs_new(const struct layer_jobs_options *options);
struct layer_jobs *layer_jobs_free(struct layer_jobs *all); /* NULL is fine */
/* The line's place is another: the line turned out to be a LAN (without any rule: FULL), or none
 * after all, or this machine has other addresses. */
void layer_jobs_move(struct layer_jobs *all, const struct policy_place *place);
/* What holds for the line now, when `plain` does without looking at jobs. */
struct policy_terms layer_jobs_terms(struct layer_jobs *all, const struct policy_terms *plain);
/* Bytes, as stored, that somebody still lacks of a layer; NULL is fine. */
void layer_jobs_tell_left(struct layer_jobs *all, const char *layer, uint64_t bytes);
/* What is left of a layer, 0: not known. */
uint64_t layer_jobs_left(const struct layer_jobs *all, const char *layer);
/* Is anything wanted that the policy keeps from being asked for now?  NULL: no. */
bool layer_jobs_hold(const struct layer_jobs *all);
/* Each open job, as an array "jobs" of a status. */
void layer_jobs_show(const struct layer_jobs *all, struct json_writer *w);

/* ---- for the fetcher: with `all` or `j` NULL everything is allowed and nothing counted ---- */

/* Called when more may be asked for than before. */
void layer_jobs_listen(struct layer_jobs *all, void (*more)(void *arg), void *arg);
/* A chunk of the layer is wanted; no more. */
struct layer_job *layer_job_enter(struct layer_jobs *all, const char *layer);
void layer_job_leave(struct layer_job *j);
/* Is it held to a rate of its own? */
bool layer_job_has_rate(const struct layer_job *j);
/* 0: now; UINT64_MAX: the listener will be called. */
uint64_t layer_job_ask_ns(const struct layer_job *j);
/* The most a batch may be, by what its items can be at most. */
uint64_t layer_job_batch_bytes(const struct layer_job *j, uint64_t most_bytes);
/* Asked for, what can be so large; returns what it was charged. */
uint64_t layer_job_charge(struct layer_job *j, uint64_t most_bytes);
/* What was charged so came as so many bytes, or did not come (0). */
void layer_job_settle(struct layer_job *j, uint64_t most_bytes, uint64_t charged_bytes,
                      uint64_t came_bytes);
