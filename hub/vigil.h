/* SPDX-License-Identifier: Apache-2.0 */
/* hub/vigil.h – machines told to sleep again, or to stay awake for their subnet's sake.
 *
 *     sites with `keep_awake` ──> who is awake there, by subnet ──> one each: "for D vigil STAY"
 *        ^                                                            renewed every 5 min
 *        └── roster: somebody came, went, is elsewhere: looked at again within a second
 *
 * Where a reflector of the site is here nobody need stay: it can wake the others itself.  The one
 * that stays is wired before others, then the first by name, and keeps the post until it goes,
 * moves, or a reflector comes; then another is told at once, and the old one to LEAVE.  What is
 * told holds for VIGIL_STAY_S, so a machine that the hub lost sight of goes to sleep by itself.
 */
#pragma once

#include "wire/vigil.h"

struct hub;
struct hub_vigils;
struct json_writer;

enum { VIGIL_STAY_S = 900, VIGIL_RENEW_S = 300, VIGIL_POSTS_MAX = 16384 };

/* Behind the roster. */
struct hub_vigils *hub_vigils_new(struct hub *h);
struct hub_vigils *hub_vigils_free(struct hub_vigils *v); /* NULL is fine */
void hub_vigils_directory(struct hub_vigils *v);          /* h->sites is another */

/* Sign and say: device, kind, begun, until, layer and version are the caller's.  NOT_FOUND, CLOSED:
 * it cannot be told now. */
ALB_MUST_USE struct alb_status hub_vigil_say(struct hub *h, struct vigil_order *o);

/* Who stays awake at a moment, for a worker to look up. */
struct vigil_copy;
struct vigil_copy *vigil_copy_new(const struct hub_vigils *v);
struct vigil_copy *vigil_copy_free(struct vigil_copy *c); /* NULL is fine */
bool vigil_copy_has(const struct vigil_copy *c, const char *device);

struct hub_vigil_figures {
    size_t staying;
    uint64_t told;
};
void hub_vigil_figures(const struct hub_vigils *v, struct hub_vigil_figures *out);
