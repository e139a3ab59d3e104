/* SPDX-License-Identifier: Apache-2.0 */
/* hub/roster.h – who is there in the whole tree, and what is kept of those who are not.
 *
 *     transfer/roster ──came, moved, went──> notes ──a job, 64 each──> catalogue "presence/DEVICE"
 *
 * A device's presence is written when its place, its cards or the versions it has are others than
 * what is kept, when its child is another, and when it goes; for one device at most once a minute,
 * and so that a machine that sleeps can be woken after the hub was started anew.  What is unchanged
 * is not written; what cannot be written is tried again a minute later.  Of a name that nobody
 * enrolled nothing is kept.  MACs come from here and from nowhere else: from what a device, or the
 * reflector it is behind, announced.
 */
#pragma once

#include "store/catalogue.h"
#include "transfer/roster.h"

struct hub;
struct hub_presences;

struct presence {
    int64_t seen_wall_s;       /* when it was written, or went */
    enum announce_goes goes;   /* STAYS: it was there then     */
    char via[64];              /* the hub's child that led to it */
    struct announce *announce; /* owned: device, role, place and cards */
};
void presence_release(struct presence *p); /* of a zeroed one, too */
/* Blocking.  NOT_FOUND: it was never here.  CORRUPT. */
ALB_MUST_USE struct alb_status presence_read(struct catalogue *c, const char *device,
                                             struct presence *out);
/* Blocking: each that can be read, by name; false stops.  `p` is borrowed. */
typedef bool (*presence_visit)(void *arg, const struct presence *p);
ALB_MUST_USE struct alb_status presence_each(struct catalogue *c, presence_visit visit, void *arg);
/* For tests: of a value. */
ALB_MUST_USE struct alb_status presence_decode(const void *value, size_t size,
                                               struct presence *out);

/* Loop: what is to be written of it still.  NOT_FOUND: nothing. */
ALB_MUST_USE struct alb_status presence_due(const struct hub *h, const char *device,
                                            struct presence *out);

/* h->roster and h->presences. */
void hub_open_roster(struct hub *h);
/* Nothing more is written. */
void hub_stop_roster(struct hub *h);
void hub_close_roster(struct hub *h); /* after the serve is gone */

struct presences_figures {
    uint64_t written, unchanged, failed, dropped;
    uint64_t strangers; /* nobody enrolled them, so they are not kept */
    size_t waiting;
};
void hub_presences_figures(const struct hub *h, struct presences_figures *out);

/* ---- shown ---- */

/* Who is here at a moment, for a worker to look up. */
struct roster_copy;
struct roster_copy *roster_copy_new(const struct roster *r);
/* Before the first is shown; takes a while, so it is a worker's. */
void roster_copy_sort(struct roster_copy *c);
struct roster_copy *roster_copy_free(struct roster_copy *c); /* NULL is fine */
/* As members of a device's open object: "online", and of who is here or was "where", "by",
 * "through", "since", "seen", "went".  From a worker. */
void roster_copy_show(const struct roster_copy *c, struct catalogue *catalogue, const char *device,
                      struct json_writer *w);
