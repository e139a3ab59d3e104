/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_sites.c – sites sorted by name, subnets by address, zones read once each. */
#include "shaper/policy_sites.h"

#include "base/alloc.h"

struct named_zone {
    const char *name;
    struct zone *zone; /* owned; NULL: not there */
    struct zone_stamp stamp;
};

struct policy_sites {
    const struct policy_doc *doc;
    char *zone_dir; /* NULL: the system's */
    const struct policy_site **by_name;
    struct policy_subnet *by_address; /* sorted by bits, then address */
    size_t bits_begin[130];           /* where each length begins; [129] is the end */
    struct named_zone *zones;         /* sorted by name */
    size_t zone_count;
};

/* ---- zones ---- */

static int compare_zones(const void *a, const void *b)
{
    const struct named_zone *left = a, *right = b;

    return strcmp(left->name, right->name);
}

/* Its stamp is taken first: a file that is replaced meanwhile is seen the next time. */
static void read_zone(struct named_zone *n, const char *dir)
{
    struct zone *zone = NULL;

    n->stamp = zone_look(dir, n->name);
    alb_ignore(zone_read(dir, n->name, &zone),
               "a site whose zone is not here gets the strictest terms");
    (void)zone_free(n->zone);
    n->zone = zone;
}

bool policy_sites_refresh_zones(struct policy_sites *s)
{
    bool is_other = false;

    for (size_t i = 0; i < s->zone_count; i++) {
        const struct zone_stamp now = zone_look(s->zone_dir, s->zones[i].name);

        if (zone_stamp_equal(&now, &s->zones[i].stamp))
            continue;
        read_zone(&s->zones[i], s->zone_dir);
        is_other = true;
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
        read_zone(&s->zones[i], s->zone_dir);
}

static const struct zone *find_zone(const struct policy_sites *s, const char *name)
{
    struct named_zone key = {.name = name};
    const struct named_zone *found =
        bsearch(&key, s->zones, s->zone_count, sizeof key, compare_zones);

    return found == NULL ? NULL : found->zone;
}

/* ---- names ---- */

static int compare_sites(const void *a, const void *b)
{
    const struct policy_site *left = *(const struct policy_site *const *)a;
    const struct policy_site *right = *(const struct policy_site *const *)b;

    return strcmp(left->name, right->name);
}

static int compare_name(const void *key, const void *item)
{
    return strcmp(key, (*(const struct policy_site *const *)item)->name);
}

struct policy_site_facts policy_sites_find(const struct policy_sites *s, const char *site)
{
    const struct policy_site *const *found = NULL;
    struct policy_site_facts facts = {.link = "", .zone_name = s->doc->zone};

    if (site != NULL)
        found = bsearch(site, s->by_name, s->doc->site_count, sizeof *s->by_name, compare_name);
    if (found != NULL) {
        facts.is_known = true;
        facts.link = (*found)->link;
        if ((*found)->zone[0] != '\0')
            facts.zone_name = (*found)->zone;
    }
    facts.zone = find_zone(s, facts.zone_name);
    return facts;
}

/* ---- addresses ---- */

static int compare_subnets(const void *a, const void *b)
{
    const struct policy_subnet *left = a, *right = b;

    if (left->bits != right->bits)
        return left->bits < right->bits ? -1 : 1;
    return memcmp(left->address, right->address, sizeof left->address);
}

static void sort_subnets(struct policy_sites *s)
{
    const struct policy_doc *d = s->doc;
    size_t at = 0;

    s->by_address = xcalloc(d->subnet_count + 1, sizeof *s->by_address);
    if (d->subnet_count > 0)
        memcpy(s->by_address, d->subnets, d->subnet_count * sizeof *s->by_address);
    qsort(s->by_address, d->subnet_count, sizeof *s->by_address, compare_subnets);
    for (unsigned bits = 0; bits < ALB_COUNT(s->bits_begin); bits++) {
        while (at < d->subnet_count && s->by_address[at].bits < bits)
            at++;
        s->bits_begin[bits] = at;
    }
}

static struct policy_subnet masked(const uint8_t address[16], unsigned bits)
{
    struct policy_subnet s = {.bits = (uint8_t)bits};

    memcpy(s.address, address, sizeof s.address);
    for (unsigned i = 0; i < sizeof s.address; i++) {
        unsigned kept = bits > 8 * i ? bits - 8 * i : 0;

        if (kept < 8)
            s.address[i] = (uint8_t)(s.address[i] & ~(0xffU >> kept));
    }
    return s;
}

static const char *find_subnet(const struct policy_sites *s, const uint8_t address[16],
                               unsigned bits)
{
    size_t first = s->bits_begin[bits], count = s->bits_begin[bits + 1] - first;
    struct policy_subnet key = masked(address, bits);
    const struct policy_subnet *found =
        bsearch(&key, s->by_address + first, count, sizeof key, compare_subnets);

    return found == NULL ? NULL : s->doc->sites[found->site].name;
}

const char *policy_sites_by_address(const struct policy_sites *s, const uint8_t (*addresses)[16],
                                    size_t count)
{
    for (unsigned bits = 129; bits-- > 0;)
        for (size_t i = 0; s->bits_begin[bits + 1] > s->bits_begin[bits] && i < count; i++) {
            const char *site = find_subnet(s, addresses[i], bits);

            if (site != NULL)
                return site;
        }
    return NULL;
}

/* ---- all ---- */

struct policy_sites *policy_sites_new(const struct policy_doc *doc, const char *zone_dir)
{
    struct policy_sites *s = xalloc(sizeof *s);

    s->doc = doc;
    s->zone_dir = zone_dir == NULL ? NULL : xstrdup(zone_dir);
    s->by_name = xcalloc(doc->site_count + 1, sizeof *s->by_name);
    for (size_t i = 0; i < doc->site_count; i++)
        s->by_name[i] = &doc->sites[i];
    qsort(s->by_name, doc->site_count, sizeof *s->by_name, compare_sites);
    sort_subnets(s);
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
    free(s->by_address);
    free(s);
    return NULL;
}
