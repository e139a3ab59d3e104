/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_cover.c – rules that can never match, because others before them cover them or
 * because their days never come. */
#include <stdio.h>

#include "base/alloc.h"
#include "wire/policy_check.h"
#include "wire/policy_rows.h"

/* The minutes of a week, from Monday 00:00 on. */
enum { WEEK_MIN = 7 * 1440, WEEK_WORDS = (WEEK_MIN + 63) / 64 };

struct week {
    uint64_t minutes[WEEK_WORDS];
};

static void week_add(struct week *w, unsigned from, unsigned to)
{
    for (unsigned m = from; m < to; m++)
        w->minutes[m % WEEK_MIN / 64] |= UINT64_C(1) << (m % WEEK_MIN % 64);
}

static struct week week_of(const struct policy_when *when)
{
    struct week w = {{0}};
    unsigned to = when->to_min + (when->to_min < when->from_min ? 1440U : 0U);

    for (unsigned day = 0; day < 7; day++)
        if ((when->days >> day & 1) != 0)
            week_add(&w, day * 1440 + when->from_min, day * 1440 + to);
    return w;
}

static bool week_holds(const struct week *outer, const struct week *inner)
{
    for (size_t i = 0; i < WEEK_WORDS; i++)
        if ((inner->minutes[i] & ~outer->minutes[i]) != 0)
            return false;
    return true;
}

/* What a rule is, to those that come after it. */
struct reach {
    const struct policy_rule *rule;
    const char *link; /* of the site that a rule of scope SITE names; "" for none */
    struct week week;
};

static bool is_of_every_week(const struct policy_when *w)
{
    return w->on == 0 && w->except == 0 && w->first_day == INT32_MIN && w->last_day == INT32_MAX;
}

static bool has_same_dates(const struct policy_when *a, const struct policy_when *b)
{
    return a->on == b->on && a->except == b->except && a->first_day == b->first_day &&
           a->last_day == b->last_day;
}

static bool scope_covers(const struct reach *outside, const struct reach *inside)
{
    const struct policy_rule *outer = outside->rule, *inner = inside->rule;

    if (outer->scope == POLICY_GLOBAL)
        return true;
    if (outer->scope == POLICY_LINK && inner->scope == POLICY_SITE)
        return strcmp(inside->link, outer->of) == 0;
    if (outer->scope != inner->scope)
        return false;
    if (outer->scope == POLICY_JOB)
        return layer_is_under(inner->of, outer->of);
    return strcmp(outer->of, inner->of) == 0;
}

/* But for when. */
static bool traffic_covers(const struct reach *outside, const struct reach *inside)
{
    const struct policy_rule *outer = outside->rule, *inner = inside->rule;

    return (outer->directions & inner->directions) == inner->directions &&
           (outer->places & inner->places) == inner->places &&
           (outer->class == POLICY_ANY_CLASS || outer->class == inner->class) &&
           scope_covers(outside, inside);
}

static void warn_covered(const struct policy_doc *d, size_t index, const size_t *by, size_t count,
                         struct policy_findings *findings)
{
    char mine[128], other[128], text[600] = "";
    size_t size = 0;

    for (size_t i = 0; i < count && i < 4; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s", i == 0 ? "" : ", ",
                                 policy_rule_where(d, by[i], other));
    policy_findings_add(findings, false, "%s can never match: %s%s %s it",
                        policy_rule_where(d, index, mine), text, count > 4 ? " and others" : "",
                        count == 1 ? "covers" : "together cover");
}

/* One rule before it, or several of every week together; false when nothing was found. */
static bool check_covered(const struct policy_doc *d, const struct reach *all, size_t index,
                          struct policy_findings *findings)
{
    const struct reach *inner = &all[index];
    struct week together = {{0}};
    size_t by[5], count = 0;

    for (size_t i = 0; i < index; i++) {
        const struct policy_when *when = &d->rules[i].when;

        if (!traffic_covers(&all[i], inner))
            continue;
        if ((is_of_every_week(when) || has_same_dates(when, &inner->rule->when)) &&
            week_holds(&all[i].week, &inner->week)) {
            warn_covered(d, index, &i, 1, findings);
            return true;
        }
        if (!is_of_every_week(when) || week_holds(&together, &all[i].week))
            continue;
        for (size_t word = 0; word < WEEK_WORDS; word++)
            together.minutes[word] |= all[i].week.minutes[word];
        by[count < 4 ? count : 4] = i;
        count++;
        if (week_holds(&together, &inner->week)) {
            warn_covered(d, index, by, count, findings);
            return true;
        }
    }
    return false;
}

/* ---- rules that hold each other's hours ---- */

/* The first minute that two weeks share; −1 for none. */
static int first_shared(const struct week *a, const struct week *b)
{
    for (size_t i = 0; i < WEEK_WORDS; i++)
        if ((a->minutes[i] & b->minutes[i]) != 0)
            return (int)(64 * i) + __builtin_ctzll(a->minutes[i] & b->minutes[i]);
    return -1;
}

static bool share_traffic(const struct policy_rule *a, const struct policy_rule *b)
{
    return a->scope == b->scope && strcmp(a->of, b->of) == 0 &&
           (a->directions & b->directions) != 0 && (a->places & b->places) != 0 &&
           (a->class == POLICY_ANY_CLASS || b->class == POLICY_ANY_CLASS || a->class == b->class);
}

/* An exception within a wider rule is how policies are written; hours that overlap with neither
 * inside the other are more often a slip. */
static void check_overlap(const struct policy_doc *d, const struct reach *all, size_t index,
                          struct policy_findings *findings)
{
    static const char *const DAYS[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    const struct reach *later = &all[index];

    for (size_t i = 0; i < index; i++) {
        char mine[128], other[128];
        int minute;

        if (all[i].rule->action.mode == later->rule->action.mode ||
            !share_traffic(all[i].rule, later->rule) ||
            !has_same_dates(&all[i].rule->when, &later->rule->when))
            continue;
        minute = first_shared(&all[i].week, &later->week);
        if (minute < 0 || week_holds(&later->week, &all[i].week))
            continue;
        policy_findings_add(findings, false,
                            "%s overlaps %s, from %s %02d:%02d on, and differs; where both hold, "
                            "the earlier rule wins",
                            policy_rule_where(d, index, mine), policy_rule_where(d, i, other),
                            DAYS[minute / 1440], minute / 60 % 24, minute % 60);
        return;
    }
}

/* ---- days that never come ---- */

static bool holds_on(const struct policy_doc *d, const struct policy_when *w, int32_t day)
{
    unsigned weekday = (unsigned)((day % 7 + 7 + 3) % 7); /* day 0 was a Thursday */

    return w->first_day <= day && day <= w->last_day && (w->days >> weekday & 1) != 0 &&
           (w->on == 0 || policy_day_is_on(d, w->on, day)) && !policy_day_is_on(d, w->except, day);
}

/* Some day of [first, last], of which two weeks without any calendar are enough. */
static bool comes_within(const struct policy_doc *d, const struct policy_when *w, int32_t first,
                         int32_t last)
{
    for (int32_t day = first, left = 800; day <= last && left > 0; day++, left--)
        if (holds_on(d, w, day))
            return true;
    return last - first >= 800; /* too far to be sure that it never does */
}

static bool comes_on_calendar(const struct policy_doc *d, const struct policy_when *w)
{
    for (size_t i = 0; i < d->calendar_count; i++) {
        const struct policy_calendar *c = &d->calendars[i];

        for (size_t k = 0; (w->on >> i & 1) != 0 && k < c->date_count; k++)
            if (comes_within(d, w, c->dates[k].first_day, c->dates[k].last_day))
                return true;
    }
    return false;
}

static bool comes_ever(const struct policy_doc *d, const struct policy_when *w)
{
    if (w->on != 0)
        return comes_on_calendar(d, w);
    if (w->first_day == INT32_MIN || w->last_day == INT32_MAX)
        return true; /* calendars end */
    return comes_within(d, w, w->first_day, w->last_day);
}

/* ---- all rules ---- */

static struct reach *reaches_of(const struct policy_doc *d)
{
    AUTO_FREE const struct policy_site **sites = policy_doc_sites(d);
    struct reach *all = xcalloc(d->rule_count + 1, sizeof *all);

    for (size_t i = 0; i < d->rule_count; i++) {
        const struct policy_rule *r = &d->rules[i];
        const struct policy_site *site = NULL;

        if (r->scope == POLICY_SITE)
            site = policy_site_named(sites, d->site_count, r->of);
        all[i] = (struct reach){r, site == NULL ? "" : site->link, week_of(&r->when)};
    }
    return all;
}

void policy_check_cover(const struct policy_doc *d, struct policy_findings *findings)
{
    AUTO_FREE struct reach *all = reaches_of(d);
    char where[128];

    for (size_t i = 0; i < d->rule_count; i++) {
        if (!comes_ever(d, &d->rules[i].when))
            policy_findings_add(findings, false,
                                "%s can never match: its days, dates and calendars have no day in "
                                "common",
                                policy_rule_where(d, i, where));
        else if (!check_covered(d, all, i, findings))
            check_overlap(d, all, i, findings);
    }
}
