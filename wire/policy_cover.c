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

static bool is_of_every_week(const struct policy_when *w)
{
    return w->on == 0 && w->except == 0 && w->first_day == INT32_MIN && w->last_day == INT32_MAX;
}

static bool has_same_dates(const struct policy_when *a, const struct policy_when *b)
{
    return a->on == b->on && a->except == b->except && a->first_day == b->first_day &&
           a->last_day == b->last_day;
}

static bool is_on_link(const struct policy_doc *d, const char *site, const char *link)
{
    for (size_t i = 0; i < d->site_count; i++)
        if (strcmp(d->sites[i].name, site) == 0)
            return strcmp(d->sites[i].link, link) == 0;
    return false;
}

static bool scope_covers(const struct policy_doc *d, const struct policy_rule *outer,
                         const struct policy_rule *inner)
{
    if (outer->scope == POLICY_GLOBAL)
        return true;
    if (outer->scope == POLICY_LINK && inner->scope == POLICY_SITE)
        return is_on_link(d, inner->of, outer->of);
    if (outer->scope != inner->scope)
        return false;
    if (outer->scope == POLICY_JOB)
        return layer_is_under(inner->of, outer->of);
    return strcmp(outer->of, inner->of) == 0;
}

/* But for when. */
static bool traffic_covers(const struct policy_doc *d, const struct policy_rule *outer,
                           const struct policy_rule *inner)
{
    return (outer->directions & inner->directions) == inner->directions &&
           (outer->places & inner->places) == inner->places &&
           (outer->class == POLICY_ANY_CLASS || outer->class == inner->class) &&
           scope_covers(d, outer, inner);
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

/* One rule before it, or several of every week together. */
static void check_covered(const struct policy_doc *d, const struct week *weeks, size_t index,
                          struct policy_findings *findings)
{
    const struct policy_rule *inner = &d->rules[index];
    struct week together = {{0}};
    size_t by[5], count = 0;

    for (size_t i = 0; i < index; i++) {
        const struct policy_when *when = &d->rules[i].when;

        if (!traffic_covers(d, &d->rules[i], inner))
            continue;
        if ((is_of_every_week(when) || has_same_dates(when, &inner->when)) &&
            week_holds(&weeks[i], &weeks[index])) {
            warn_covered(d, index, &i, 1, findings);
            return;
        }
        if (!is_of_every_week(when) || week_holds(&together, &weeks[i]))
            continue;
        for (size_t word = 0; word < WEEK_WORDS; word++)
            together.minutes[word] |= weeks[i].minutes[word];
        by[count < 4 ? count : 4] = i;
        count++;
        if (week_holds(&together, &weeks[index])) {
            warn_covered(d, index, by, count, findings);
            return;
        }
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

void policy_check_cover(const struct policy_doc *d, struct policy_findings *findings)
{
    AUTO_FREE struct week *weeks = xcalloc(d->rule_count + 1, sizeof *weeks);
    char where[128];

    for (size_t i = 0; i < d->rule_count; i++) {
        weeks[i] = week_of(&d->rules[i].when);
        if (!comes_ever(d, &d->rules[i].when))
            policy_findings_add(findings, false,
                                "%s can never match: its days, dates and calendars have no day in "
                                "common",
                                policy_rule_where(d, i, where));
        else
            check_covered(d, weeks, i, findings);
    }
}
