/* SPDX-License-Identifier: Apache-2.0 */
/* hub/nearby_map.h – which reflectors stand at which site, by what addresses they are reached, and
 * what follows from that for a machine at a site: the list of wire/nearby.h, not yet signed.
 *
 * A reflector is at the site of its certificate, and nowhere else, whatever it announces.  Those
 * that the directory names come first, in its order; the others of the site by name.  Without a
 * directory a site has no parent, and its reflectors are those who joined there.  Who joined
 * without a site is on nobody's list.
 *
 * Plain data, no clock; one question costs a search for each site on the way up.
 */
#pragma once

#include "base/map.h"
#include "wire/announce.h"

struct nearby_group; /* the reflectors of one site */

struct nearby_reflector {
    char device[64], site[64];
    struct nearby_address at[NEARBY_AT_MAX];
    struct policy_subnet subnets[NEARBY_SUBNETS_MAX];
    size_t at_count, subnet_count;
    bool is_new; /* has nothing but a name: it never said where it is */
};

struct nearby_map {
    struct map reflectors; /* by device; owned */
    struct map groups;     /* by site; owned   */
};
void nearby_map_init(struct nearby_map *m);
void nearby_map_release(struct nearby_map *m);

/* A reflector joined; again, with another site, it moved.  True: lists may be others. */
bool nearby_map_admit(struct nearby_map *m, const char *device, const char *site);
/* It is not believed any more, or no reflector. */
bool nearby_map_remove(struct nearby_map *m, const char *device);
/* Is a reflector there? */
bool nearby_map_has_site(const struct nearby_map *m, const char *site);
/* NULL: none of that name. */
const struct nearby_reflector *nearby_map_find(const struct nearby_map *m, const char *device);
/* Where it can be reached, as it said.  Who does not say so (serves NULL, no addresses) keeps what
 * was known.  True: that is another. */
bool nearby_map_place(struct nearby_map *m, const struct announce *a);

struct nearby_facts {
    const struct sites *sites;   /* NULL: there is no directory       */
    const struct states *states; /* who does not accept; NULL: nobody */
};
/* Terms, sites above and holders of a list for `site`, which exists or is "".  The rest is as it
 * was in `out`; the holders are the caller's to release. */
void nearby_map_compile(const struct nearby_map *m, const struct nearby_facts *facts,
                        const char *site, struct nearby *out);
/* Is the list of `site` another when something changes at `changed`: the same, or below it? */
bool nearby_site_is_under(const struct sites *sites, const char *site, const char *changed);

/* ---- what is kept of a reflector ("holder/DEVICE"), so that a hub that begins again can say where
 * it was last: JSON ---- */
ALB_MUST_USE struct alb_status nearby_reflector_encode(const struct nearby_reflector *r,
                                                       struct buf *out);
/* INVALID.  Device and site are not in it. */
ALB_MUST_USE struct alb_status nearby_reflector_decode(const void *bytes, size_t size,
                                                       struct nearby_reflector *out);
/* As place(), from what was kept. */
void nearby_map_restore(struct nearby_map *m, const char *device,
                        const struct nearby_reflector *kept);
