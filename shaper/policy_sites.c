/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_sites.c – sites sorted by name, subnets by address, zones read once each. */
#include "shaper/policy_sites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "shaper/policy.h"
#include "wire/subnets.h"

struct named_zone {
    const char *name;
    struct zone *zone; /* owned; NULL: not there */
    struct zone_stamp stamp;
};

struct policy_sites {
    const struct policy_doc *doc;
    char *zone_dir; /* NULL: the system's */
    const struct policy_site **by_name;
    struct subnet_index *by_address;
    struct named_zone *zones; /* sorted by name */
    size_t zone_count;
};

/* ---- zones ---- */

static int compare_zones(const void *a, const void *b)
{
    const struct named_zone *left = a, *right = b;

    return strcmp(left->name, right->name);
}

static struct named_zone *zone_named(const struct policy_sites *s, const char *name)
{
    const struct named_zone key = {.name = name};

    return bsearch(&key, s->zones, s->zone_count, sizeof key, compare_zones);
}

/* ---- zones read anew ---- */

struct zone_reading {
    char name[POLICY_ZONE_MAX];
    struct zone_stamp stamp;
    struct zone *zone; /* NULL: the file is what it was, or none that can be read */
    bool is_other;
};

struct zones_reading {
    char *zone_dir;
    struct zone_reading *list;
    size_t count;
};

struct zones_reading *zones_reading_new(const struct policy_sites *s)
{
    struct zones_reading *r = xalloc(sizeof *r);

    r->zone_dir = s->zone_dir == NULL ? NULL : xstrdup(s->zone_dir);
    r->list = xcalloc(s->zone_count + 1, sizeof *r->list);
    r->count = s->zone_count;
    for (size_t i = 0; i < r->count; i++) {
        (void)snprintf(r->list[i].name, sizeof r->list[i].name, "%s", s->zones[i].name);
        r->list[i].stamp = s->zones[i].stamp;
    }
    return r;
}

struct zones_reading *zones_reading_free(struct zones_reading *r)
{
    if (r == NULL)
        return NULL;
    for (size_t i = 0; i < r->count; i++)
        (void)zone_free(r->list[i].zone);
    free(r->list);
    free(r->zone_dir);
    free(r);
    return NULL;
}

/* The stamp is taken first: a file that is replaced meanwhile is seen the next time. */
void zones_reading_run(struct zones_reading *r)
{
    for (size_t i = 0; i < r->count; i++) {
        struct zone_reading *z = &r->list[i];
        const struct zone_stamp now = zone_look(r->zone_dir, z->name);

        z->is_other = !zone_stamp_equal(&now, &z->stamp);
        z->stamp = now;
        if (z->is_other)
            alb_ignore(zone_read(r->zone_dir, z->name, &z->zone), "then what is known stays");
    }
}

/* What was known of a zone is better than nothing; a site whose zone never was here gets the
 * strictest terms. */
bool policy_sites_take_zones(struct policy_sites *s, struct zones_reading *r)
{
    bool is_other = false;

    for (size_t i = 0; i < r->count; i++) {
        struct zone_reading *from = &r->list[i];
        struct named_zone *to = zone_named(s, from->name);

        if (to == NULL || !from->is_other)
            continue; /* the document is another since */
        to->stamp = from->stamp;
        if (from->zone == NULL)
            continue;
        (void)zone_free(to->zone);
        to->zone = from->zone;
        from->zone = NULL;
        is_other = true;
    }
    (void)zones_reading_free(r);
    return is_other;
}

static void read_zones(struct policy_sites *s)
{
    const struct policy_doc *d = s->doc;
    size_t named = 0;

    s->zones = xcalloc(d->site_count + 1, sizeof *s->zones);
    s->zones[named++].name = d->zone;
    for (size_t i = 0; i < d->site_count; i++)
        if (d->sites[i].zone[0] != '\0')
            s->zones[named++].name = d->sites[i].zone;
    qsort(s->zones, named, sizeof *s->zones, compare_zones);
    for (size_t i = 0; i < named; i++)
        if (i == 0 || strcmp(s->zones[i].name, s->zones[s->zone_count - 1].name) != 0)
            s->zones[s->zone_count++].name = s->zones[i].name;
    for (size_t i = 0; i < s->zone_count; i++) {
        struct named_zone *n = &s->zones[i];
        n->stamp = zone_look(s->zone_dir, n->name);
        alb_ignore(zone_read(s->zone_dir, n->name, &n->zone), "its sites are strict");
    }
}

static const struct zone *find_zone(const struct policy_sites *s, const char *name)
{
    const struct named_zone *found = zone_named(s, name);

    return found == NULL ? NULL : found->zone;
}

/* ---- names ---- */

struct policy_site_facts policy_sites_find(const struct policy_sites *s, const char *site)
{
    const struct policy_site *found = NULL;
    struct policy_site_facts facts = {.link = "", .zone_name = s->doc->zone};

    if (site != NULL)
        found = policy_site_named(s->by_name, s->doc->site_count, site);
    if (found != NULL) {
        facts.is_known = true;
        facts.link = found->link;
        if (found->zone[0] != '\0')
            facts.zone_name = found->zone;
    }
    facts.zone = find_zone(s, facts.zone_name);
    return facts;
}

/* ---- addresses ---- */

const char *policy_sites_by_address(const struct policy_sites *s, const uint8_t (*addresses)[16],
                                    size_t count)
{
    struct policy_subnet subnet;

    return policy_sites_around(s, addresses, count, &subnet);
}

const char *policy_sites_around(const struct policy_sites *s, const uint8_t (*addresses)[16],
                                size_t count, struct policy_subnet *subnet)
{
    const struct policy_subnet *found = subnet_index_find(s->by_address, addresses, count, NULL);

    if (found == NULL)
        return NULL;
    *subnet = *found;
    return s->doc->sites[found->site].name;
}

/* ---- all ---- */

struct policy_sites *policy_sites_new(const struct policy_doc *doc, const char *zone_dir)
{
    struct policy_sites *s = xalloc(sizeof *s);

    s->doc = doc;
    s->zone_dir = zone_dir == NULL ? NULL : xstrdup(zone_dir);
    s->by_name = policy_doc_sites(doc);
    s->by_address = subnet_index_new(doc->subnets, doc->subnet_count);
    read_zones(s);
    return s;
}

struct policy_sites *policy_sites_free(struct policy_sites *s)
{
    if (s == NULL)
        return NULL;
    for (size_t i = 0; i < s->zone_count; i++)
        (void)zone_free(s->zones[i].zone);
    free(s->zones);
    free(s->zone_dir);
    free(s->by_name);
    subnet_index_free(s->by_address);
    free(s);
    return NULL;
}
