/* SPDX-License-Identifier: Apache-2.0 */
/* client/pull.h – `albedo pull` in the steps it shows.
 *
 *     FINISH what a crash interrupted → LOOK at what target and seeds hold (all workers)
 *       → FETCH the rest (client/puller.h into client/stage_sink.h) → APPLY by journal → VERIFY when asked
 *
 * Nothing in the target changes before everything is staged, verified and synced.
 */
#pragma once

#include "client/endpoint.h"
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
    uint64_t wait_ns; /* how long an upstream may be out of reach before giving up */
};

struct pull {
    struct output *output;
    struct state *state;
    const struct pull_options *options;
    struct loop *loop;
    struct tls_context *tls;
    struct endpoint *endpoint;
    bool interrupted, is_over;
    struct alb_status st;
    /* LOOK */
    struct scan *scans; /* [0] is the target's */
    size_t scan_count;
    struct holdings *holdings;
    /* FETCH */
    struct stage_sink sink;
    struct puller *puller;
    struct puller_progress fetched;
    struct progress progress;
    struct timer tick;
    char version[NAME_MAX_SIZE]; /* what was pulled */
    uint64_t sequence;
    uint64_t content_bytes, entries, files_checked;
    /* APPLY */
    struct apply_result applied;
    uint64_t begun_ns;
};

/* Each says itself what went wrong. */
enum exit_code pull_run(struct pull *p);
enum exit_code pull_finish_old(struct pull *p); /* a journal left by a crash */
enum exit_code pull_look(struct pull *p);
enum exit_code pull_fetch(struct pull *p);
enum exit_code pull_apply(struct pull *p);
enum exit_code pull_verify(struct pull *p);
void pull_report(struct pull *p);
/* "TARGET: what the status says" with the path it was about. */
enum exit_code pull_fail(struct pull *p, struct alb_status st, const char *doing, const char *path);
