/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_check.c – a policy as a whole: contradictions within a rule, names used twice or
 * leading nowhere. */
#include "wire/policy_check.h"

#include <stdio.h>

#include "base/alloc.h"
#include "wire/policy_rows.h"
#include "wire/policy_words.h"
#include "wire/subnets.h"

const char *policy_rule_where(const struct policy_doc *d, size_t index, char out[128])
{
    const struct policy_rule *r = &d->rules[index];

    if (r->line > 0 && r->line != POLICY_LINE_WRONG)
        (void)snprintf(out, 128, "line %u (rule %s)", r->line, r->name);
    else
        (void)snprintf(out, 128, "rule %zu (%s)", index + 1, r->name);
    return out;
}

/* ---- a rule by itself ---- */

/* What each mode takes, and what to say of the rest. */
struct manners {
    bool rate, ceiling, floor, percent, law;
    const char *allowed;
};
static const struct manners MANNERS[] = {
    [POLICY_OFF] = {.allowed = "mode off stops everything: it takes no rate, ceiling, floor, "
                               "percent, profile or max_queue"},
    [POLICY_MODE_SCAVENGE] = {.ceiling = true,
                              .floor = true,
                              .percent = true,
                              .law = true,
                              .allowed = "mode scavenge takes ceiling, floor, percent, profile and "
                                         "max_queue; a rate is mode capped's"},
    [POLICY_CAPPED] = {.rate = true,
                       .percent = true,
                       .allowed = "mode capped takes a rate and percent; it does not yield, so "
                                  "ceiling, floor, profile and max_queue are mode scavenge's"},
    [POLICY_FULL] = {.ceiling = true,
                     .percent = true,
                     .allowed = "mode full takes a ceiling and percent; it does not yield, so "
                                "floor, profile and max_queue are mode scavenge's, a rate is "
                                "mode capped's"},
};

static void check_action(const struct policy_action *a, const char *where,
                         struct policy_findings *findings)
{
    const struct manners *m = &MANNERS[a->mode];
    char floor[UNITS_TEXT_SIZE], ceiling[UNITS_TEXT_SIZE];

    if ((a->rate_bps > 0 && !m->rate) || (a->ceiling_bps > 0 && !m->ceiling) ||
        (a->floor_bps > 0 && !m->floor) || (a->percent > 0 && !m->percent) ||
        ((a->profile != POLICY_PROFILE_UNSET || a->max_queue_ms > 0) && !m->law))
        policy_findings_add(findings, true, "%s contradicts itself: %s", where, m->allowed);
    if (a->mode == POLICY_CAPPED && a->rate_bps == 0)
        policy_findings_add(findings, true,
                            "%s: mode capped needs a rate%s, as in \"rate\": \"2Mbit\"", where,
                            a->percent > 0 ? " beside percent: it holds while the capacity is not "
                                             "measured yet"
                                           : "");
    if (a->floor_bps > 0 && a->ceiling_bps > 0 && a->floor_bps > a->ceiling_bps)
        policy_findings_add(findings, true, "%s: the floor, %s, is above the ceiling, %s", where,
                            format_rate(a->floor_bps, floor), format_rate(a->ceiling_bps, ceiling));
}

/* Who never asks for more never sees that there is more. */
static void check_percent(const struct policy_action *a, const char *where,
                          struct policy_findings *findings)
{
    const uint64_t most_bps = a->rate_bps > 0 ? a->rate_bps : a->ceiling_bps;
    char most[UNITS_TEXT_SIZE];

    if (a->percent > 0 && a->percent < 100 && most_bps > 0)
        policy_findings_add(findings, false,
                            "%s: no more of the line is measured than the %s, %s, lets through, so "
                            "percent allows at most %u %% of that",
                            where, a->rate_bps > 0 ? "rate" : "ceiling",
                            format_rate(most_bps, most), a->percent);
}

static void check_rule(const struct policy_doc *d, size_t index, struct policy_findings *findings)
{
    const struct policy_rule *r = &d->rules[index];
    char where[128];

    (void)policy_rule_where(d, index, where);
    check_action(&r->action, where, findings);
    check_percent(&r->action, where, findings);
    if ((r->when.on & r->when.except) != 0)
        policy_findings_add(findings, true,
                            "%s contradicts itself: the same calendar is in \"on\" and \"except\"",
                            where);
    if (r->scope == POLICY_LINK && r->places == POLICY_LAN)
        policy_findings_add(findings, true,
                            "%s contradicts itself: a link is a WAN's, and the "
                            "place is lan",
                            where);
}

/* ---- names ---- */

struct name {
    const char *text;
    size_t index;
};

static int compare_names(const void *a, const void *b)
{
    const struct name *left = a, *right = b;
    int order = strcmp(left->text, right->text);

    return order != 0 ? order : (left->index > right->index) - (left->index < right->index);
}

/* The names of a kind, each a text at the start of its item, sorted; the caller's. */
static struct name *names_of(const struct policy_doc *d, enum policy_kind kind)
{
    size_t count = policy_doc_count(d, kind);
    struct name *names = xcalloc(count + 1, sizeof *names);

    for (size_t i = 0; i < count; i++)
        names[i] = (struct name){policy_doc_item(d, kind, i), i};
    qsort(names, count, sizeof *names, compare_names);
    return names;
}

static void check_unique(const struct policy_doc *d, enum policy_kind kind,
                         struct policy_findings *findings)
{
    AUTO_FREE struct name *names = names_of(d, kind);
    const char *word = policy_columns_of(kind)->word;

    for (size_t i = 1; i < policy_doc_count(d, kind); i++)
        if (strcmp(names[i].text, names[i - 1].text) == 0)
            policy_findings_add(findings, true, "%s %zu (%s): %s %zu has the same name", word,
                                names[i].index + 1, names[i].text, word, names[i - 1].index + 1);
}

static bool is_among(const struct name *names, size_t count, const char *text)
{
    struct name key = {text, 0};
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(names[middle].text, key.text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && strcmp(names[low].text, text) == 0;
}

/* The names of links, sorted; the caller's. */
static struct name *links_of(const struct policy_doc *d)
{
    struct name *links = xcalloc(d->site_count + 1, sizeof *links);

    for (size_t i = 0; i < d->site_count; i++)
        links[i] = (struct name){d->sites[i].link, i};
    qsort(links, d->site_count, sizeof *links, compare_names);
    return links;
}

/* Sites may be known to the hub and not to the policy. */
static void check_scopes(const struct policy_doc *d, struct policy_findings *findings)
{
    AUTO_FREE struct name *sites = names_of(d, POLICY_KIND_SITE);
    AUTO_FREE struct name *links = links_of(d);
    char where[128];

    for (size_t i = 0; i < d->rule_count; i++) {
        const struct policy_rule *r = &d->rules[i];

        if (r->scope == POLICY_SITE && d->site_count > 0 && !is_among(sites, d->site_count, r->of))
            policy_findings_add(findings, false,
                                "%s: site %s is not among this policy's sites, so its times are "
                                "taken in %s",
                                policy_rule_where(d, i, where), r->of, d->zone);
        if (r->scope == POLICY_LINK && d->site_count == 0)
            policy_findings_add(findings, false,
                                "%s: this policy names no sites, so it matches only if the hub's "
                                "site directory has one on link %s",
                                policy_rule_where(d, i, where), r->of);
        else if (r->scope == POLICY_LINK && !is_among(links, d->site_count, r->of))
            policy_findings_add(findings, false,
                                "%s can never match: no site of this policy is on link %s",
                                policy_rule_where(d, i, where), r->of);
    }
    for (size_t i = 0; i < d->deadline_count; i++)
        if (d->deadlines[i].site[0] != '\0' && d->site_count > 0 &&
            !is_among(sites, d->site_count, d->deadlines[i].site))
            policy_findings_add(findings, false,
                                "deadline %zu: site %s is not among this policy's sites", i + 1,
                                d->deadlines[i].site);
}

/* ---- zones ---- */

static int compare_zones(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each zone is asked about once. */
static void check_zones(const struct policy_doc *d, policy_zone_fn is_zone, void *arg,
                        struct policy_findings *findings)
{
    AUTO_FREE const char **zones = xcalloc(d->site_count + 1, sizeof *zones);
    size_t count = 0;

    zones[count++] = d->zone;
    for (size_t i = 0; i < d->site_count; i++)
        if (d->sites[i].zone[0] != '\0')
            zones[count++] = d->sites[i].zone;
    qsort(zones, count, sizeof *zones, compare_zones);
    for (size_t i = 0; i < count; i++)
        if ((i == 0 || strcmp(zones[i], zones[i - 1]) != 0) && !is_zone(zones[i], arg))
            policy_findings_add(findings, true,
                                "there is no time zone \"%s\" on this machine; zones are named as "
                                "in Europe/Oslo",
                                zones[i]);
}

/* ---- subnets ---- */

static void check_subnets(const struct policy_doc *d, struct policy_findings *findings)
{
    AUTO_FREE struct policy_subnet *all = xcalloc(d->subnet_count + 1, sizeof *all);

    if (d->subnet_count > 0)
        memcpy(all, d->subnets, d->subnet_count * sizeof *all);
    qsort(all, d->subnet_count, sizeof *all, subnet_order);
    for (size_t i = 1; i < d->subnet_count; i++) {
        uint8_t memory[64];
        struct buf text = {.bytes = memory, .capacity = sizeof memory, .limit = sizeof memory};

        if (subnet_order(&all[i], &all[i - 1]) != 0)
            continue;
        subnet_write(&all[i], &text);
        policy_findings_add(findings, true, "subnet %.*s is given twice: to site %s and to site %s",
                            (int)buf_size(&text), (const char *)buf_peek(&text),
                            d->sites[all[i - 1].site].name, d->sites[all[i].site].name);
    }
}

/* ---- all of it ---- */

void policy_doc_check(const struct policy_doc *d, policy_zone_fn is_zone, void *arg,
                      struct policy_findings *findings)
{
    for (size_t i = 0; i < d->rule_count; i++)
        if (d->rules[i].line != POLICY_LINE_WRONG)
            check_rule(d, i, findings);
    check_unique(d, POLICY_KIND_RULE, findings);
    check_unique(d, POLICY_KIND_SITE, findings);
    check_unique(d, POLICY_KIND_CALENDAR, findings);
    check_subnets(d, findings);
    if (is_zone == NULL) /* handed to us signed: what is only unwise is the signer's */
        return;
    check_zones(d, is_zone, arg, findings);
    if (findings->errors > 0)
        return; /* what is unwise is said of what can be read */
    check_scopes(d, findings);
    policy_check_cover(d, findings);
}
