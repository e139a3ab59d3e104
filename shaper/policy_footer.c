/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_footer.c – a POSIX TZ rule, read and asked. */
#include "shaper/policy_footer.h"

#include <string.h>

#include "wire/policy_words.h"

/* ---- reading ---- */

static bool take(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool take_number(const char **at, int32_t most, int32_t *out)
{
    int32_t v = 0;

    if (**at < '0' || **at > '9')
        return false;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        v = 10 * v + (**at - '0');
        if (v > most)
            return false;
    }
    *out = v;
    return true;
}

/* "CET" or "<+03>": told apart from what follows, otherwise of no use to us. */
static bool take_letters(const char **at)
{
    const char *end;

    if (take(at, '<')) {
        end = strchr(*at, '>');
        if (end == NULL)
            return false;
        *at = end + 1;
        return true;
    }
    end = *at;
    while ((*end >= 'a' && *end <= 'z') || (*end >= 'A' && *end <= 'Z'))
        end++;
    if (end - *at < 3)
        return false;
    *at = end;
    return true;
}

/* [+-]h[h][:mm[:ss]] */
static bool take_time(const char **at, int32_t most_hours, int32_t *out_s)
{
    int32_t h, m = 0, s = 0;
    bool is_negative = take(at, '-');

    if (!is_negative)
        (void)take(at, '+');
    if (!take_number(at, most_hours, &h) || (take(at, ':') && !take_number(at, 59, &m)))
        return false;
    if (take(at, ':') && !take_number(at, 59, &s))
        return false;
    *out_s = (h * 3600 + m * 60 + s) * (is_negative ? -1 : 1);
    return true;
}

static bool take_day(const char **at, struct zone_change *c)
{
    if (take(at, 'J')) {
        c->kind = CHANGE_JULIAN;
        return take_number(at, 365, &c->day) && c->day > 0;
    }
    if (!take(at, 'M')) {
        c->kind = CHANGE_DAY;
        return take_number(at, 365, &c->day);
    }
    c->kind = CHANGE_WEEKDAY;
    return take_number(at, 12, &c->month) && c->month > 0 && take(at, '.') &&
           take_number(at, 5, &c->week) && c->week > 0 && take(at, '.') &&
           take_number(at, 6, &c->day);
}

static bool take_change(const char **at, struct zone_change *c)
{
    if (!take(at, ',') || !take_day(at, c))
        return false;
    c->time_s = 2 * 3600;
    return !take(at, '/') || take_time(at, 167, &c->time_s);
}

bool zone_footer_parse(const char *text, struct zone_footer *out)
{
    struct zone_footer f = {.has_summer = false};
    int32_t west_s;

    if (!take_letters(&text) || !take_time(&text, 24, &west_s))
        return false;
    f.standard_east_s = -west_s;
    f.summer_east_s = 3600 - west_s;
    if (*text != '\0') {
        f.has_summer = true;
        if (!take_letters(&text))
            return false;
        if (*text != ',') {
            if (!take_time(&text, 24, &west_s))
                return false;
            f.summer_east_s = -west_s;
        }
        if (!take_change(&text, &f.begins) || !take_change(&text, &f.ends) || *text != '\0')
            return false;
    }
    *out = f;
    return true;
}

/* ---- asking ---- */

/* Beyond it nobody knows, and days would not fit. */
#define YEAR_9999_S INT64_C(253402300799)

static bool is_leap(int32_t year)
{
    return day_of_date(year + 1, 1, 1) - day_of_date(year, 1, 1) == 366;
}

/* The week-th such weekday of a month, or the last one. */
static int32_t weekday_of_month(int32_t year, const struct zone_change *c)
{
    int32_t first = day_of_date(year, (unsigned)c->month, 1);
    int32_t next =
        c->month == 12 ? day_of_date(year + 1, 1, 1) : day_of_date(year, (unsigned)c->month + 1, 1);
    int32_t weekday = ((first + 4) % 7 + 7) % 7; /* day 0 was a Thursday; 0 is Sunday */
    int32_t day = first + (c->day - weekday + 7) % 7 + 7 * (c->week - 1);

    return day >= next ? day - 7 : day;
}

static int32_t day_of_change(int32_t year, const struct zone_change *c)
{
    int32_t first = day_of_date(year, 1, 1);

    switch (c->kind) {
    case CHANGE_JULIAN: return first + c->day - 1 + (is_leap(year) && c->day >= 60 ? 1 : 0);
    case CHANGE_DAY: return first + c->day;
    case CHANGE_WEEKDAY: break;
    }
    return weekday_of_month(year, c);
}

static int64_t instant_of_change(int32_t year, const struct zone_change *c, int32_t east_before_s)
{
    return (int64_t)day_of_change(year, c) * 86400 + c->time_s - east_before_s;
}

/* The changes of the year before and of the years around an instant, in order of time, tell which
 * was last and which comes next.  Where summer ends in the instant in which it begins (zones that
 * have it all year), the beginning counts. */
int32_t zone_footer_offset(const struct zone_footer *f, int64_t utc_s, int64_t *until_s)
{
    int64_t last = INT64_MIN, next = INT64_MAX;
    bool is_summer = false;
    int32_t year;

    if (!f->has_summer || utc_s < -YEAR_9999_S || utc_s > YEAR_9999_S) {
        *until_s = INT64_MAX;
        return f->standard_east_s;
    }
    year = year_of_day((int32_t)(utc_s / 86400));
    for (int32_t y = year - 1; y <= year + 2; y++) {
        int64_t begins = instant_of_change(y, &f->begins, f->standard_east_s);
        int64_t ends = instant_of_change(y, &f->ends, f->summer_east_s);

        if (ends <= utc_s && ends > last) {
            last = ends;
            is_summer = false;
        }
        if (begins <= utc_s && begins >= last) {
            last = begins;
            is_summer = true;
        }
        next = begins > utc_s && begins < next ? begins : next;
        next = ends > utc_s && ends < next ? ends : next;
    }
    *until_s = next;
    return is_summer ? f->summer_east_s : f->standard_east_s;
}
