/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/nearby_shelf.h – lists of who is nearby (wire/nearby.h), one for each site: judged,
 * kept, and which gateway or subnet is known to be at which site.
 *
 *     "nearby/SITE"      the signed bytes; "nearby/-" is that of no site
 *     "nearby-places"    lines "gateway MAC SITE" and "subnet ADDRESS/BITS SITE"
 *
 * Both are bounded: what was not used for longest goes, and of lists that name nobody (of a site
 * that may be invented) all but an eighth of the shelf.  Everything here is called on the loop, but
 * for nearby_shelf_open(), which blocks.
 */
#pragma once

#include <sys/queue.h>

#include "transfer/authority.h"
#include "wire/nearby.h"

enum { NEARBY_SHELF_PLACES = 256 };

struct nearby_shelf_options {
    struct loop *loop;
    struct authority *authority; /* borrowed */
    struct catalogue *catalogue; /* borrowed, outlives the loop's last jobs; NULL: nothing kept */
    size_t max_lists;
};

struct nearby_shelved {
    struct nearby list;
    struct buf bytes;       /* signed */
    struct sign_public key; /* that signed it */
    bool is_fresh;          /* asked for since nearby_shelf_doubt() */
    TAILQ_ENTRY(nearby_shelved) link;
};
TAILQ_HEAD(nearby_shelveds, nearby_shelved);

struct nearby_place_note {
    bool is_gateway;
    struct site_mac mac;         /* of a gateway … */
    struct policy_subnet subnet; /* … or a subnet  */
    char site[64];               /* "": that gateway is at no site */
    bool is_fresh;
};

struct nearby_shelf {
    struct nearby_shelf_options options;
    struct nearby_shelveds lists; /* who was used last is last */
    size_t list_count;
    struct nearby_place_note places[NEARBY_SHELF_PLACES]; /* the newest first */
    size_t place_count;
};

/* Blocking: reads what is kept; what does not verify is left out, and said in the log. */
struct nearby_shelf *nearby_shelf_open(const struct nearby_shelf_options *options);
struct nearby_shelf *nearby_shelf_close(struct nearby_shelf *s);

/* Takes a list from wherever, as the newest of its site; it is fresh then.  OK also for the very
 * one held here.  REFUSED: older, or another of that number; CORRUPT, INVALID as nearby_decode().
 * *changed: it says something else than the one before. */
ALB_MUST_USE struct alb_status nearby_shelf_take(struct nearby_shelf *s, const void *bytes,
                                                 size_t size, struct nearby_shelved **out,
                                                 bool *changed);
/* NULL: none of that site.  Borrowed until the next is taken. */
struct nearby_shelved *nearby_shelf_find(struct nearby_shelf *s, const char *site);
/* Its number; 0: none, or of a former hub key. */
uint64_t nearby_shelf_number(const struct nearby_shelf *s, const struct nearby_shelved *list);
/* Any may be another by now, and so may places. */
void nearby_shelf_doubt(struct nearby_shelf *s);
/* Those of this site, and of all below it as far as known. */
void nearby_shelf_doubt_site(struct nearby_shelf *s, const char *site);
bool nearby_is_over(const struct nearby_shelf *s, const struct nearby *list);

/* ---- places ---- */

/* What a parent answered about a place. */
void nearby_shelf_note(struct nearby_shelf *s, const struct nearby_question *q,
                       const struct nearby_head *head);
/* By what was noted before: a gateway, else the narrowest subnet; false: nothing is known of it. */
bool nearby_shelf_locate(const struct nearby_shelf *s, const struct nearby_question *q,
                         struct nearby_head *out);
/* What is known of one gateway, and lately; NULL: it must be asked for. */
const struct nearby_place_note *nearby_shelf_gateway(const struct nearby_shelf *s,
                                                     const struct site_mac *mac);
