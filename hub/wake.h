/* SPDX-License-Identifier: Apache-2.0 */
/* hub/wake.h – machines woken when an operator says so: jobs, the orders they send, what came of
 * them.
 *
 *     POST /v1/wake ──> WORKER who is meant, how each is woken ("presence/DEVICE") ──> a job
 *       for a layer: each site's reflector holds it first (wake_content.c, prefetch.h)
 *       job (wake_job.h) ──> who is awake beside it? roster ──> signed order ──> "for GUARD …"
 *       POST /v1/woke, what guards say ──┐
 *       roster: it announced itself ─────┴──> job ──> GET /v1/wake-job/ID, told as it happens
 *                                               └──> "sleep again when you have it" (vigil.h)
 *
 * MACs and subnets are only what a device announced of itself when it was awake; a request names
 * devices or a site.  Bounded: WAKE_JOBS_ACTIVE at a time, WAKE_JOBS_KEPT to be looked at, and
 * WAKE_SLEEPERS_MAX machines in all of them; WAKE_ASKS_A_MINUTE requests.  A machine is in one job
 * at a time, and is not woken again within WAKE_AGAIN_S unless it came meanwhile.
 *
 *     "wake-job/ID"   {"by", "at", "site", "machines", "state", results}: what outlasts the hub
 *
 * A job that runs when the hub ends is over; who asks for it is told that it was interrupted.
 */
#pragma once

#include "wire/wake.h"

struct hub;
struct hub_wakes;
struct serve_request;

enum {
    WAKE_JOBS_ACTIVE = 16,
    WAKE_JOBS_KEPT = 32,
    WAKE_SLEEPERS_MAX = 16384,
    WAKE_ASKS_A_MINUTE = 30,
    WAKE_RECORDS_KEPT = 256,
    WAKE_AGAIN_S = 300,
};

/* Behind the roster. */
struct hub_wakes *hub_wakes_new(struct hub *h);
/* Whoever waits for news is answered, so that the hub can stop. */
void hub_wakes_stop(struct hub_wakes *w);
struct hub_wakes *hub_wakes_free(struct hub_wakes *w); /* before the roster; NULL is fine */

/* POST /v1/wake, GET /v1/wake-job/ID, POST /v1/wake-end/ID, POST /v1/woke */
void hub_handle_wake(void *hub, struct serve_request *rq);
void hub_handle_wake_job(void *hub, struct serve_request *rq);
void hub_handle_wake_end(void *hub, struct serve_request *rq);
void hub_handle_woke(void *hub, struct serve_request *rq);

struct hub_wake_figures {
    uint64_t jobs, orders, woken, failed; /* machines; failed: any other end but already awake */
    size_t active;
};
void hub_wake_figures(const struct hub_wakes *w, struct hub_wake_figures *out);
