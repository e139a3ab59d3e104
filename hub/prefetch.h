/* SPDX-License-Identifier: Apache-2.0 */
/* hub/prefetch.h – reflectors told to hold a version, and how far they are.
 *
 *     begin ──> "for R prefetch ORDER ROOT LAYER" ──> R ──> POST /v1/prefetched ──> changed()
 *        ^── again: R came back, or nothing was heard for 45 s, or somebody else wants the same
 *
 * One order stands for all who want the same version at the same reflector; it ends when the last
 * of them leaves, and R is told unless it holds the version.  What R says is a claim: a reflector
 * that lies about its own store hurts its own branch alone.  Bounded: HUB_PREFETCHES.  Nothing is
 * written down: who wants something wants it anew from a hub that began anew.
 */
#pragma once

#include <sys/queue.h>

#include "wire/prefetch.h"

struct hub;
struct hub_prefetch;
struct hub_prefetches;
struct serve_request;

enum { HUB_PREFETCHES = 1024 };

/* Behind the roster. */
struct hub_prefetches *hub_prefetches_new(struct hub *h);
struct hub_prefetches *hub_prefetches_free(struct hub_prefetches *p); /* NULL is fine */

struct prefetch_user { /* who wants it; the storage is its own */
    /* From the loop, not from inside begin; nobody may begin or leave from here. */
    void (*changed)(struct prefetch_user *u);
    struct hub_prefetch *of; /* NULL: nothing */
    TAILQ_ENTRY(prefetch_user) link;
};
/* FULL. */
ALB_MUST_USE struct alb_status hub_prefetch_begin(struct hub_prefetches *p, const char *device,
                                                  const char *layer, const struct digest *root,
                                                  struct prefetch_user *u);
void hub_prefetch_leave(struct hub_prefetches *p, struct prefetch_user *u); /* twice is fine */
/* As it was heard last; borrowed until the loop's next turn. */
const struct prefetch_report *hub_prefetch_report(const struct prefetch_user *u);
/* Since when the reflector is not here; 0: it is. */
uint64_t hub_prefetch_away_since_ns(const struct prefetch_user *u);

void hub_handle_prefetched(void *hub, struct serve_request *rq);

struct hub_prefetch_figures {
    size_t open;
    uint64_t orders, reports, refused;
};
void hub_prefetch_figures(const struct hub_prefetches *p, struct hub_prefetch_figures *out);
