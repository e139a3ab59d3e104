/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_sites.h – a policy's sites by name and by address, with their zones read; inside
 * shaper/policy.
 */
#pragma once

#include "shaper/policy_zone.h"
#include "wire/policy.h"

struct policy_sites;

struct policy_site_facts {
    bool is_known;                /* the document has it */
    const char *link, *zone_name; /* borrowed from the document */
    const struct zone *zone;      /* NULL: it could not be read */
};

/* `doc` must outlive it. */
struct policy_sites *policy_sites_new(const struct policy_doc *doc, const char *zone_dir);
struct policy_sites *policy_sites_free(struct policy_sites *s);
/* policy_zones_begin() and policy_zones_end() */
struct zones_reading *zones_reading_new(const struct policy_sites *s);
bool policy_sites_take_zones(struct policy_sites *s, struct zones_reading *r);
/* Of a site that the document does not have, or NULL: no link, and the document's zone. */
struct policy_site_facts policy_sites_find(const struct policy_sites *s, const char *site);
/* By any of these addresses, the narrowest subnet first; NULL: none. */
const char *policy_sites_by_address(const struct policy_sites *s, const uint8_t (*addresses)[16],
                                    size_t count);
/* … and by which subnet; written only when there is one. */
const char *policy_sites_around(const struct policy_sites *s, const uint8_t (*addresses)[16],
                                size_t count, struct policy_subnet *subnet);

/* ---- for policy_explain() ---- */

struct policy_local {
    const char *zone;
    int32_t east_s; /* 0 where either is not known */
    bool zone_is_known, clock_is_known;
};
struct policy;
struct policy_place;
void policy_place_zone(const struct policy *p, const struct policy_place *place, int64_t wall_s,
                       struct policy_local *out);
