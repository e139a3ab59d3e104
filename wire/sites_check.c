/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites_check.c – a site directory as a whole: bounds, names, the tree, and what may belong to
 * one site only. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/sites_rows.h"
#include "wire/subnets.h"

const char *site_where(const struct site *site, char out[128])
{
    if (site->line > 0)
        (void)snprintf(out, 128, "line %u (site %s)", site->line, site->name);
    else
        (void)snprintf(out, 128, "site %s", site->name);
    return out;
}

/* ---- bounds ---- */

static void check_bounds(const struct sites *s, struct policy_findings *findings)
{
    size_t subnets = 0, gateways = 0, reflectors = 0;

    for (size_t i = 0; i < s->count; i++) {
        subnets += s->list[i].subnet_count;
        gateways += s->list[i].gateway_count;
        reflectors += s->list[i].reflector_count;
    }
    if (subnets > SITES_SUBNETS_MAX)
        policy_findings_add(findings, true, "there are at most %d subnets; this has %zu",
                            SITES_SUBNETS_MAX, subnets);
    if (gateways > SITES_GATEWAYS_MAX)
        policy_findings_add(findings, true, "there are at most %d gateways; this has %zu",
                            SITES_GATEWAYS_MAX, gateways);
    if (reflectors > SITES_REFLECTORS_MAX)
        policy_findings_add(findings, true, "there are at most %d reflectors; this has %zu",
                            SITES_REFLECTORS_MAX, reflectors);
}

/* ---- names, and the tree ---- */

static void check_names(const struct sites *s, struct policy_findings *findings)
{
    char where[128], other[128];

    for (size_t i = 1; i < s->count; i++)
        if (s->list[i].name[0] != '\0' && strcmp(s->list[i].name, s->list[i - 1].name) == 0)
            policy_findings_add(findings, true, "%s: %s has the same name",
                                site_where(&s->list[i], where), site_where(&s->list[i - 1], other));
}

static void check_parents(const struct sites *s, struct policy_findings *findings)
{
    char where[128];

    for (size_t i = 0; i < s->count; i++) {
        const struct site *site = &s->list[i];

        if (site->parent[0] != '\0' && sites_parent_of(s, site) == NULL)
            policy_findings_add(findings, true, "%s: there is no site %s to be its parent",
                                site_where(site, where), site->parent);
    }
}

/* The sites of a loop, from `first` up to it again. */
static void tell_loop(const struct sites *s, const struct site *first,
                      struct policy_findings *findings)
{
    char where[128], chain[512];
    size_t size = (size_t)snprintf(chain, sizeof chain, "%s", first->name);
    const struct site *at = first;

    do {
        at = sites_parent_of(s, at);
        if (size < sizeof chain)
            size += (size_t)snprintf(chain + size, sizeof chain - size, " → %s", at->name);
    } while (at != first);
    policy_findings_add(findings, true, "%s: its parents lead back to it: %s",
                        site_where(first, where), chain);
}

/* How a site's way up ends, by the number of the walk that went it first, from 1. */
struct walks {
    size_t *walk;  /* that was at a site, by index; 0: none yet */
    bool *is_loop; /* … ended in a loop, by walk */
};

/* Goes up from a site on ways nobody went before, so that each loop is met once. */
static void walk_up(const struct sites *s, const struct walks *w, size_t from,
                    struct policy_findings *findings)
{
    const struct site *at = &s->list[from];

    while (at != NULL && w->walk[at - s->list] == 0) {
        w->walk[at - s->list] = from + 1;
        at = sites_parent_of(s, at);
    }
    if (at == NULL)
        return;
    if (w->walk[at - s->list] == from + 1)
        tell_loop(s, at, findings);
    w->is_loop[from + 1] = w->walk[at - s->list] == from + 1 || w->is_loop[w->walk[at - s->list]];
}

static bool is_too_deep(const struct sites *s, const struct site *site)
{
    unsigned depth = 0;

    while (site != NULL && depth++ <= SITES_DEPTH_MAX)
        site = sites_parent_of(s, site);
    return site != NULL;
}

static void check_tree(const struct sites *s, struct policy_findings *findings)
{
    AUTO_FREE size_t *walk = xcalloc(s->count + 1, sizeof *walk);
    AUTO_FREE bool *is_loop = xcalloc(s->count + 2, sizeof *is_loop);
    const struct walks w = {walk, is_loop};
    char where[128];

    for (size_t i = 0; i < s->count; i++)
        if (walk[i] == 0)
            walk_up(s, &w, i, findings);
    for (size_t i = 0; i < s->count; i++)
        if (!is_loop[walk[i]] && is_too_deep(s, &s->list[i]))
            policy_findings_add(findings, true, "%s: more than %d sites are above it",
                                site_where(&s->list[i], where), SITES_DEPTH_MAX);
}

/* ---- what belongs to one site only ---- */

struct claim { /* a site's hold on a subnet, gateway or reflector */
    const struct site *site;
    const void *what;
};

struct claim_kind {
    const char *word;
    size_t size; /* of an item */
    int (*compare)(const void *a, const void *b);
    const char *(*text)(const void *what, char out[64]);
};

static int compare_subnets(const void *a, const void *b)
{
    return subnet_order(((const struct claim *)a)->what, ((const struct claim *)b)->what);
}

static const char *subnet_text(const void *what, char out[64])
{
    return site_subnet_text(what, out);
}

static int compare_gateways(const void *a, const void *b)
{
    return memcmp(((const struct claim *)a)->what, ((const struct claim *)b)->what,
                  sizeof(struct site_mac));
}

static const char *gateway_text(const void *what, char out[64])
{
    return site_mac_text(what, out);
}

static int compare_reflectors(const void *a, const void *b)
{
    return strcmp(((const struct claim *)a)->what, ((const struct claim *)b)->what);
}

static const char *reflector_text(const void *what, char out[64])
{
    (void)snprintf(out, 64, "%s", (const char *)what);
    return out;
}

static const struct claim_kind SUBNETS = {"subnet", sizeof(struct policy_subnet), compare_subnets,
                                          subnet_text};
static const struct claim_kind GATEWAYS = {"gateway", sizeof(struct site_mac), compare_gateways,
                                           gateway_text};
static const struct claim_kind REFLECTORS = {"reflector", 64, compare_reflectors, reflector_text};

static const void *items_of(const struct site *site, const struct claim_kind *kind, size_t *count)
{
    if (kind == &SUBNETS) {
        *count = site->subnet_count;
        return site->subnets;
    }
    *count = kind == &GATEWAYS ? site->gateway_count : site->reflector_count;
    return kind == &GATEWAYS ? (const void *)site->gateways : (const void *)site->reflectors;
}

/* All of one kind, sorted; the caller's. */
static struct claim *claims_of(const struct sites *s, const struct claim_kind *kind, size_t *count)
{
    struct claim *claims;
    size_t all = 0, one;

    for (size_t i = 0; i < s->count; i++) {
        (void)items_of(&s->list[i], kind, &one);
        all += one;
    }
    claims = xcalloc(all + 1, sizeof *claims);
    *count = 0;
    for (size_t i = 0; i < s->count; i++) {
        const char *items = items_of(&s->list[i], kind, &one);

        for (size_t k = 0; k < one; k++)
            claims[(*count)++] = (struct claim){&s->list[i], items + k * kind->size};
    }
    qsort(claims, *count, sizeof *claims, kind->compare);
    return claims;
}

static void tell_twice(const struct claim_kind *kind, const struct claim *a, const struct claim *b,
                       struct policy_findings *findings)
{
    const bool is_first =
        a->site->line != b->site->line ? a->site->line < b->site->line : a->site < b->site;
    const struct site *first = is_first ? a->site : b->site, *second = is_first ? b->site : a->site;
    char text[64], where[128], other[128];

    (void)kind->text(a->what, text);
    if (first == second)
        policy_findings_add(findings, true, "%s: %s %s is there twice", site_where(first, where),
                            kind->word, text);
    else
        policy_findings_add(findings, true,
                            "%s: %s %s is that of %s already; one site only may "
                            "have it",
                            site_where(second, where), kind->word, text, site_where(first, other));
}

static void check_claims(const struct sites *s, const struct claim_kind *kind,
                         struct policy_findings *findings)
{
    size_t count;
    AUTO_FREE struct claim *claims = claims_of(s, kind, &count);

    for (size_t i = 1; i < count; i++)
        if (kind->compare(&claims[i - 1], &claims[i]) == 0)
            tell_twice(kind, &claims[i - 1], &claims[i], findings);
}

/* ---- what is hardly meant ---- */

static bool covers(const struct policy_subnet *wide, const struct policy_subnet *narrow)
{
    return wide->bits <= narrow->bits && subnet_holds(wide, narrow->address);
}

static bool is_above(const struct sites *s, const struct site *upper, const struct site *site)
{
    for (unsigned depth = 0; site != NULL && depth <= SITES_DEPTH_MAX; depth++) {
        if (site == upper)
            return true;
        site = sites_parent_of(s, site);
    }
    return false;
}

static void warn_inside(const struct claim *wide, const struct claim *narrow,
                        struct policy_findings *findings)
{
    char inner[64], outer[64], where[128];

    policy_findings_add(findings, false,
                        "%s: subnet %s lies inside %s of site %s, which is not above it; the "
                        "narrower one wins",
                        site_where(narrow->site, where), subnet_text(narrow->what, inner),
                        subnet_text(wide->what, outer), wide->site->name);
}

static const uint8_t *address_of(const struct claim *claim)
{
    return ((const struct policy_subnet *)claim->what)->address;
}

/* Sorted, whatever covers a subnet is among those before it: a stack of what covers the last. */
static void warn_overlaps(const struct sites *s, struct policy_findings *findings)
{
    size_t count, depth = 0;
    AUTO_FREE struct claim *claims = claims_of(s, &SUBNETS, &count);
    const struct claim *stack[129]; /* one for each length */

    for (size_t i = 0; i < count; i++) {
        while (depth > 0 && !covers(stack[depth - 1]->what, claims[i].what))
            depth--;
        if (depth > 0 && subnet_is_of_kind(stack[depth - 1]->what, address_of(&claims[i])) &&
            !is_above(s, stack[depth - 1]->site, claims[i].site))
            warn_inside(stack[depth - 1], &claims[i], findings);
        stack[depth++] = &claims[i];
    }
}

/* Virtual routers have the same address wherever the same group number was chosen. */
static bool is_virtual(const struct site_mac *mac)
{
    static const uint8_t VRRP[] = {0x00, 0x00, 0x5e, 0x00}, HSRP[] = {0x00, 0x00, 0x0c, 0x07, 0xac};
    static const uint8_t HSRP2[] = {0x00, 0x00, 0x0c, 0x9f};

    return memcmp(mac->bytes, VRRP, sizeof VRRP) == 0 ||
           memcmp(mac->bytes, HSRP, sizeof HSRP) == 0 ||
           memcmp(mac->bytes, HSRP2, sizeof HSRP2) == 0;
}

static void warn_virtual(const struct sites *s, struct policy_findings *findings)
{
    char text[18], where[128];

    for (size_t i = 0; i < s->count; i++)
        for (size_t k = 0; k < s->list[i].gateway_count; k++)
            if (is_virtual(&s->list[i].gateways[k]))
                policy_findings_add(findings, false,
                                    "%s: gateway %s is a virtual router's (VRRP or HSRP), which "
                                    "other networks may have, too: give the subnet instead",
                                    site_where(&s->list[i], where),
                                    site_mac_text(&s->list[i].gateways[k], text));
}

/* ---- zones ---- */

static int compare_zones(const void *a, const void *b)
{
    return strcmp((*(const struct site *const *)a)->zone, (*(const struct site *const *)b)->zone);
}

/* Each zone is asked about once, and named with the first site that has it. */
static void check_zones(const struct sites *s, policy_zone_fn is_zone, void *arg,
                        struct policy_findings *findings)
{
    AUTO_FREE const struct site **sorted = xcalloc(s->count + 1, sizeof *sorted);
    size_t count = 0;
    char where[128];

    for (size_t i = 0; i < s->count; i++)
        if (s->list[i].zone[0] != '\0')
            sorted[count++] = &s->list[i];
    qsort(sorted, count, sizeof *sorted, compare_zones);
    for (size_t i = 0; i < count; i++)
        if ((i == 0 || strcmp(sorted[i]->zone, sorted[i - 1]->zone) != 0) &&
            !is_zone(sorted[i]->zone, arg))
            policy_findings_add(findings, true,
                                "%s: there is no time zone \"%s\" on this machine; zones are named "
                                "as in Europe/Oslo",
                                site_where(sorted[i], where), sorted[i]->zone);
}

/* ---- all of it ---- */

void sites_check(struct sites *s, policy_zone_fn is_zone, void *arg,
                 struct policy_findings *findings)
{
    sites_sort(s);
    check_bounds(s, findings);
    check_names(s, findings);
    check_parents(s, findings);
    check_tree(s, findings);
    check_claims(s, &SUBNETS, findings);
    check_claims(s, &GATEWAYS, findings);
    check_claims(s, &REFLECTORS, findings);
    if (is_zone != NULL)
        check_zones(s, is_zone, arg, findings);
    if (findings->errors > 0)
        return; /* what is unwise is said of what can be read */
    warn_overlaps(s, findings);
    warn_virtual(s, findings);
}
