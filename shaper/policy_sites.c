/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_sites.c – sites sorted by name, subnets by address, zones read once each. */
#include "shaper/policy_sites.h"

#include "base/alloc.h"
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

/* Its stamp is taken first: a file that is replaced meanwhile is seen the next time.  False: there
 * is none that can be read.  What was known of it before is better than nothing; a site whose zone
 * never was here gets the strictest terms. */
static bool read_zone(struct named_zone *n, const char *dir)
{
    struct zone *zone = NULL;

    n->stamp = zone_look(dir, n->name);
    if (alb_failed(zone_read(dir, n->name, &zone)))
        return false;
    (void)zone_free(n->zone);
    n->zone = zone;
    return true;
}

bool policy_sites_refresh_zones(struct policy_sites *s)
{
    bool is_other = false;

    for (size_t i = 0; i < s->zone_count; i++) {
        const struct zone_stamp now = zone_look(s->zone_dir, s->zones[i].name);

        if (!zone_stamp_equal(&now, &s->zones[i].stamp))
            is_other |= read_zone(&s->zones[i], s->zone_dir);
    }
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
    for (size_t i = 0; i < s->zone_count; i++)
        (void)read_zone(&s->zones[i], s->zone_dir);
}

static const struct zone *find_zone(const struct policy_sites *s, const char *name)
{
    struct named_zone key = {.name = name};
    const struct named_zone *found =
        bsearch(&key, s->zones, s->zone_count, sizeof key, compare_zones);

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
