/* SPDX-License-Identifier: Apache-2.0 */
/* hub/nearby.h – "who can serve me?": GET /v1/nearby, one signed list for each site.
 *
 *     sites (directory) ──┐
 *     certificates ───────┼─> nearby_map ──> list of a site ──> signed when asked for, kept
 *     announcements ──────┤       │ something changed: within 1 s every list that was ever asked
 *     operators' states ──┘       └──> for and may be another is made anew: event "nearby SITE …"
 *
 * Numbers are one row over all sites and go up by one with each list signed.  They begin with the
 * clock, in milliseconds, so that a hub that begins again goes on above what it said before; one
 * that was restored, or whose clock was set back, hears from those who ask that theirs are higher,
 * and goes on above that, as far as its clock ten years on.
 *
 * Without a directory any name is a site; of those where no reflector is, 256 lists are watched.
 *
 * Where reflectors were last reached is kept ("holder/DEVICE").  Everything here is the loop's, but
 * for hub_load_nearby(), which blocks.
 */
#pragma once

#include "base/status.h"
#include "wire/announce.h"

struct hub;
struct hub_nearby;
struct serve_request;

/* At start, behind hub_load_sites(): blocks. */
ALB_MUST_USE struct alb_status hub_load_nearby(struct hub *h);
void hub_close_nearby(struct hub *h);
void hub_handle_nearby(void *hub, struct serve_request *rq);

/* A device was certified: a reflector, or another that perhaps was one before. */
void hub_nearby_joined(struct hub *h, const char *device, const char *role, const char *site);
void hub_nearby_left(struct hub *h, const char *device); /* revoked */
void hub_nearby_announced(struct hub *h, const struct announce *a);
void hub_nearby_listen(struct hub *h); /* h->roster is there: what reflectors announce */
void hub_nearby_unlisten(struct hub *h);
void hub_nearby_directory(struct hub *h); /* h->sites is another */
void hub_nearby_states(struct hub *h);    /* so are the states   */
/* How many are watched. */
size_t hub_nearby_lists(const struct hub *h);
/* Before h->sites is freed. */
void hub_nearby_forget_directory(struct hub *h);
