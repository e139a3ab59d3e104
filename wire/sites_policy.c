/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites_policy.c – what a policy and the site directory both say: put in, and compared. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/sites_rows.h"
#include "wire/subnets.h"

/* What the document's own zone says already is left out: 10,000 sites should fit. */
static void put_site(const struct sites *s, const struct site *from, struct policy_doc *d)
{
    struct site_terms terms;
    const char *zone;
    const uint32_t index = (uint32_t)d->site_count;
    struct policy_site *to = &d->sites[d->site_count++];

    sites_terms_of(s, from, &terms, &zone);
    (void)snprintf(to->name, sizeof to->name, "%s", from->name);
    (void)snprintf(to->link, sizeof to->link, "%s", from->link);
    if (strcmp(zone, d->zone) != 0)
        (void)snprintf(to->zone, sizeof to->zone, "%s", zone);
    for (size_t i = 0; i < from->subnet_count; i++) {
        d->subnets[d->subnet_count] = from->subnets[i];
        d->subnets[d->subnet_count++].site = index;
    }
}

void sites_into_policy(const struct sites *s, struct policy_doc *d)
{
    size_t subnets = 0;

    for (size_t i = 0; i < s->count; i++)
        subnets += s->list[i].subnet_count;
    free(d->sites);
    free(d->subnets);
    d->sites = xcalloc(s->count + 1, sizeof *d->sites);
    d->subnets = xcalloc(subnets + 1, sizeof *d->subnets);
    d->site_count = 0;
    d->subnet_count = 0;
    for (size_t i = 0; i < s->count; i++)
        put_site(s, &s->list[i], d);
}

/* ---- agreement ---- */

/* The subnets of a document's site, which lie together. */
static size_t subnets_of(const struct policy_doc *d, size_t site, size_t *first)
{
    size_t low = 0, high = d->subnet_count, count = 0;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (d->subnets[middle].site < site)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + count < d->subnet_count && d->subnets[low + count].site == site)
        count++;
    *first = low;
    return count;
}

static bool has_same_subnets(const struct site *mine, const struct policy_doc *d, size_t site)
{
    size_t first;
    const size_t count = subnets_of(d, site, &first);
    AUTO_FREE struct policy_subnet *sorted = xcalloc(count + 1, sizeof *sorted);

    if (count != mine->subnet_count)
        return false;
    if (count > 0)
        memcpy(sorted, &d->subnets[first], count * sizeof *sorted);
    if (count > 1)
        qsort(sorted, count, sizeof *sorted, subnet_order);
    for (size_t i = 0; i < count; i++)
        if (subnet_order(&sorted[i], &mine->subnets[i]) != 0)
            return false;
    return true;
}

/* What is different about a site, or NULL. */
static const char *difference(const struct sites *s, const struct policy_doc *d, size_t index)
{
    const struct policy_site *theirs = &d->sites[index];
    const struct site *mine = sites_find_name(s, theirs->name);
    struct site_terms terms;
    const char *zone, *their_zone = theirs->zone[0] != '\0' ? theirs->zone : d->zone;

    if (mine == NULL)
        return "is not in the directory";
    sites_terms_of(s, mine, &terms, &zone);
    if (strcmp(zone[0] != '\0' ? zone : d->zone, their_zone) != 0)
        return "has another zone there";
    if (strcmp(mine->link, theirs->link) != 0)
        return "has another link there";
    return has_same_subnets(mine, d, index) ? NULL : "has other subnets there";
}

bool sites_agree_with(const struct sites *s, const struct policy_doc *d, char why[256])
{
    for (size_t i = 0; i < d->site_count; i++) {
        const char *what = difference(s, d, i);

        if (what == NULL)
            continue;
        (void)snprintf(why, 256, "site %s %s", d->sites[i].name, what);
        return false;
    }
    return true;
}

/* ---- the way in ---- */

/* But those that a directory refuses. */
static void take_subnets(struct site *site, const struct policy_doc *d, size_t index)
{
    size_t first;
    const size_t count = subnets_of(d, index, &first);

    site->subnets = xcalloc(count + 1, sizeof *site->subnets);
    for (size_t i = first; i < first + count; i++)
        if (!site_subnet_is_everywhere(&d->subnets[i]))
            site->subnets[site->subnet_count++] = d->subnets[i];
}

void sites_add_from_policy(struct sites *s, const struct policy_doc *d)
{
    for (size_t i = 0; i < d->site_count; i++) {
        const struct policy_site *from = &d->sites[i];
        struct site site = {.line = 0};

        if (sites_find_name(s, from->name) != NULL)
            continue;
        (void)snprintf(site.name, sizeof site.name, "%s", from->name);
        (void)snprintf(site.link, sizeof site.link, "%s", from->link);
        (void)snprintf(site.zone, sizeof site.zone, "%s", from->zone);
        take_subnets(&site, d, i);
        if (alb_failed(sites_put(s, &site)))
            site_release(&site);
    }
}
