/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/announcer.h – what this program tells its parent of itself and of those behind it.
 *
 *     announcer_set_own(a, &own);          again whenever something is other than it was
 *
 * When the line comes up all is told (`?all=1`, in parts where it is much); then what changes, once
 * for all that changed within ANNOUNCER_GATHER_NS.  Every 15 min ± 10 % the parent is told how many
 * we know of, which costs little: one that counts otherwise says so (409) and is told all.  After
 * a refusal (400, 403) all is told again in 15 min, or when something changes; to a parent that has
 * no room (503, 507) or does not answer after 30 to 60 s; to one that does not know the request
 * (404: it is older) when the line comes up anew.
 *
 * One request is under way at a time; what changes meanwhile is remembered by name only.
 */
#pragma once

#include "net/net_picture.h"
#include "net/net_place.h"
#include "transfer/roster.h"
#include "transfer/upstream.h"

#define ANNOUNCER_GATHER_NS (500 * NS_PER_MS)
#define ANNOUNCER_AGAIN_NS (900 * NS_PER_S)

struct announcer;
struct announcer_options {
    struct loop *loop;
    struct upstream *upstream; /* borrowed */
    struct roster *roster;     /* of those behind; borrowed; NULL: nobody can be */
};
struct announcer *announcer_new(const struct announcer_options *options);
struct announcer *announcer_free(
    struct announcer *a); /* before upstream and roster; NULL is fine */

/* Copied.  `since`, `upstream` and `goes` are the announcer's to fill in.  Until the first one,
 * nothing is said. */
void announcer_set_own(struct announcer *a, const struct announce *own);
/* NULL before the first announcer_set_own(). */
const struct announce *announcer_own(const struct announcer *a);
/* The last words: BYE or SLEEP; done() when they were taken, or after 2 s at most.  Nothing is said
 * after BYE any more; after SLEEP until announcer_set_own(), which says that it is back. */
void announcer_say_goodbye(struct announcer *a, enum announce_goes goes, loop_fn done, void *arg);

struct announcer_figures {
    uint64_t bodies, bytes; /* sent, and taken by the parent */
    uint64_t counts;        /* how often only the number was told */
    uint64_t failures;
    char why[128]; /* of the last one; "" when the last one was taken */
};
void announcer_figures(const struct announcer *a, struct announcer_figures *out);

/* ---- pieces of an announcement ---- */

/* Storage for what a place points to. */
struct announcer_place {
    struct announce_address addresses[ANNOUNCE_ADDRESSES_MAX];
    struct site_mac gateways[ANNOUNCE_GATEWAYS_MAX];
};
/* Addresses with their prefixes, gateways and nature; site, by and is_metered are left alone.
 * `out` points into `room`. */
void announcer_place_of(const struct net_picture *p, const struct net_place *place,
                        struct announcer_place *room, struct announce_place *out);
/* The hardware cards (wired and wireless) of a picture; whether they can be woken is not asked
 * here (is_known false; wake_ability_ask() may block).  `links`, their indices, may be NULL.
 * Returns how many. */
size_t announcer_cards_of(const struct net_picture *p, struct announce_card out[ANNOUNCE_CARDS_MAX],
                          uint32_t links[ANNOUNCE_CARDS_MAX]);
/* What one device takes as JSON, and a little more. */
size_t announcer_size_of(const struct announce *one);
