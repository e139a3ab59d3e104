/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_window.c – days, hours, dates and calendars against a local time. */
#include "shaper/policy_window.h"

enum { DAY_S = 86400 };

static int32_t day_at(int64_t local_s)
{
    return (int32_t)((local_s - (local_s < 0 ? DAY_S - 1 : 0)) / DAY_S);
}

bool window_is_always(const struct policy_when *w)
{
    return w->days == 0x7f && w->from_min == 0 && w->to_min == 1440 && w->on == 0 &&
           w->except == 0 && w->first_day == INT32_MIN && w->last_day == INT32_MAX;
}

/* Does a window begin on this day? */
static bool is_day(const struct policy_doc *d, const struct policy_when *w, int32_t day)
{
    int weekday = ((day + 3) % 7 + 7) % 7; /* day 0 was a Thursday; 0 is Monday */

    return (w->days >> weekday & 1) != 0 && w->first_day <= day && day <= w->last_day &&
           (w->on == 0 || policy_day_is_on(d, w->on, day)) &&
           (w->except == 0 || !policy_day_is_on(d, w->except, day));
}

static bool goes_past_midnight(const struct policy_when *w)
{
    return w->to_min < w->from_min;
}

bool window_holds(const struct policy_doc *d, const struct policy_when *w, int64_t local_s)
{
    int32_t day = day_at(local_s);
    int64_t of_day = local_s - (int64_t)day * DAY_S;
    bool after = of_day >= w->from_min * 60, before = of_day < w->to_min * 60;

    if (!goes_past_midnight(w))
        return after && before && is_day(d, w, day);
    return (after && is_day(d, w, day)) || (before && is_day(d, w, day - 1));
}

/* The next local time at which anything can change. */
static int64_t next_edge(const struct policy_when *w, int64_t local_s)
{
    int64_t midnight = (int64_t)day_at(local_s) * DAY_S;
    int64_t from = midnight + w->from_min * 60, to = midnight + w->to_min * 60;
    int64_t edge = midnight + DAY_S;

    if (from > local_s && from < edge)
        edge = from;
    return to > local_s && to < edge ? to : edge;
}

/* No window begins before the first of its days, and none goes on for more than one past the last.
 */
static int64_t skip_to_dates(const struct policy_when *w, int64_t local_s)
{
    int32_t day = day_at(local_s);

    if (w->last_day != INT32_MAX && day > w->last_day + 1)
        return INT64_MAX;
    if (w->first_day != INT32_MIN && day < w->first_day)
        return (int64_t)w->first_day * DAY_S;
    return local_s;
}

int64_t window_next(const struct policy_doc *d, const struct policy_when *w, bool wanted,
                    int64_t local_s, int64_t until_s)
{
    if (window_is_always(w))
        return wanted ? local_s : INT64_MAX;
    if (wanted)
        local_s = skip_to_dates(w, local_s);
    for (; local_s <= until_s; local_s = next_edge(w, local_s))
        if (window_holds(d, w, local_s) == wanted)
            return local_s;
    return INT64_MAX;
}
