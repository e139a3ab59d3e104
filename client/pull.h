/* SPDX-License-Identifier: Apache-2.0 */
/* client/pull.h – `albedo pull` in the steps it shows.
 *
 *     FINISH what a crash interrupted → SCAN target and seeds
 *       → FETCH: client/puller.h into client/stage_sink.h, which reads what is held, copies it,
 *         and takes the rest from the network → APPLY by journal → VERIFY when asked
 *
 * Nothing in the target changes before everything is staged, verified and synced.  All of it
 * happens on workers while the loop runs, so that an interruption is heard at once: units under way
 * are finished, nothing is begun any more.  Whoever interrupts again ends the process there and
 * then.
 */
#pragma once

#include "client/endpoint.h"
#include "client/hold.h"
#include "client/link.h"
#include "client/progress.h"
#include "client/puller.h"
#include "client/stage_sink.h"
#include "image/apply.h"

struct pull_options {
    const char *layer;
    const char *version; /* NULL: the latest */
    const char *target;
    const char *const *seeds;
    size_t seed_count;
    bool exact, strict, verify, allow_rollback, replace_layer;
    enum line_kind line; /* AUTO: a LAN when a reflector of this site is asked */
    bool at_hub;         /* the hub and nobody else */
    bool allow_metered;
    uint64_t wait_ns; /* how long an upstream may be out of reach before giving up */
};

struct pull {
    struct output *output;
    struct state *state;
    const struct pull_options *options;
    struct loop *loop;
    struct tls_context *tls;
    struct endpoint *endpoint;
    bool endpoint_is_borrowed; /* an agent's, which pulls one thing after the other */
    bool interrupted, is_over;
    struct alb_status st;
    /* SCAN */
    struct scan *scans; /* [0] is the target's */
    size_t scan_count;
    char *cache_path;
    /* FETCH */
    struct stage_sink sink;
    struct puller *puller;
    struct puller_progress fetched;
    struct progress progress;
    const char *phase; /* of progress, as are these */
    struct progress_figures figures;
    uint64_t shown_ns;
    struct timer tick;
    uint64_t waits_since_ns;        /* for the upstream; 0: it does not */
    struct hold hold;               /* what the policy stops it by */
    uint64_t slow_alarms;           /* told so far (transfer/fetch_pace.h) */
    uint64_t moved_bytes, moved_ns; /* when something came last */
    uint64_t queued_told_ns;
    char queued[128];            /* what the upstream itself waits for; "": it does not say */
    struct alb_status why;       /* why we gave up, unless OK */
    char version[NAME_MAX_SIZE]; /* what was pulled */
    uint64_t sequence, least_sequence;
    uint64_t content_bytes, entries, files_checked;
    /* APPLY */
    struct apply_damage damage; /* what an interrupted pull left is to be fetched again */
    struct apply_result prepared, applied;
    bool is_applied;
    /* VERIFY */
    struct holdings *holdings;
    uint64_t begun_ns;
};

/* TARGET is there from now on, if it may be one; says why not.  *made: it was not there before, and
 * goes again (image/target.h) if nothing is brought into it. */
enum exit_code pull_ready_target(struct output *o, const char *target, bool *made);
/* Is the hub itself asked, and no reflector?  By who answers; before that, by the state. */
bool pull_is_from_hub(const struct pull *p);

/* Each says itself what went wrong. */
enum exit_code pull_run(struct pull *p);
enum exit_code pull_fetch(struct pull *p);
enum exit_code pull_verify(struct pull *p);
void pull_report(struct pull *p);
/* To the parent, now or later (client/pull_told.c): what became of it. */
void pull_tell(struct pull *p, enum exit_code code);
/* Frees what pull_run() left; the loop is still there. */
void pull_release(struct pull *p);

/* Blocking work on a worker while the loop runs.  CLOSED: interrupted before it began. */
ALB_MUST_USE struct alb_status pull_step(struct pull *p, const char *phase,
                                         struct alb_status (*run)(void *pull));

/* ---- what went wrong (client/pull_fail.c) ---- */

/* "DOING TARGET/PATH: what the status says"; `path` may be NULL. */
enum exit_code pull_fail(struct pull *p, struct alb_status st, const char *doing, const char *path);
/* By p->interrupted, p->fetched and p->st. */
enum exit_code pull_fetch_failed(struct pull *p);
