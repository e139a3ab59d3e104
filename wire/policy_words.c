/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_words.c – dates, hours, days, rates and subnets as people write them. */
#include "wire/policy_words.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/alloc.h"

void words_printf(struct buf *out, const char *format, ...)
{
    char text[512];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    alb_assert(size >= 0 && (size_t)size < sizeof text);
    alb_assert(!alb_failed(buf_append(out, text, (size_t)size)));
}

/* `count` digits as a number; false when one is none. */
static bool take_digits(const char **at, const char *end, unsigned count, unsigned *out)
{
    unsigned v = 0;

    if ((size_t)(end - *at) < count)
        return false;
    for (; count > 0; count--, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        v = 10 * v + (unsigned)(**at - '0');
    }
    *out = v;
    return true;
}

static bool take_char(const char **at, const char *end, char c)
{
    if (*at == end || **at != c)
        return false;
    (*at)++;
    return true;
}

/* ---- dates ---- */

/* Years begin in March here, so that the leap day is the last of its year. */
int32_t day_of_date(int32_t year, unsigned month, unsigned day)
{
    int32_t y = month <= 2 ? year - 1 : year;
    int32_t era = (y >= 0 ? y : y - 399) / 400;
    int32_t of_era = y - era * 400;
    int32_t of_year = (153 * ((int32_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int32_t)day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int32_t year_of_day(int32_t day)
{
    int32_t year = 1970 + day / 366; /* too early, or right, after 1970; the reverse before */

    while (day_of_date(year, 1, 1) > day)
        year--;
    while (day_of_date(year + 1, 1, 1) <= day)
        year++;
    return year;
}

static unsigned days_in_month(int32_t year, unsigned month)
{
    int32_t next = month == 12 ? day_of_date(year + 1, 1, 1) : day_of_date(year, month + 1, 1);

    return (unsigned)(next - day_of_date(year, month, 1));
}

struct alb_status date_parse(const char *text, size_t size, int32_t *day)
{
    const char *end = text + size;
    unsigned y, m, d;

    if (!take_digits(&text, end, 4, &y) || !take_char(&text, end, '-') ||
        !take_digits(&text, end, 2, &m) || !take_char(&text, end, '-') ||
        !take_digits(&text, end, 2, &d) || text != end)
        return alb_fail(ALB_INVALID, "a date is written YYYY-MM-DD, as in 2026-12-24");
    if (y < 1970 || m < 1 || m > 12 || d < 1 || d > days_in_month((int32_t)y, m))
        return alb_fail(ALB_INVALID, "there is no such date (from 1970-01-01 on)");
    *day = day_of_date((int32_t)y, m, d);
    return ALB_STATUS_OK;
}

void date_write(int32_t day, struct buf *out)
{
    char text[UNITS_TEXT_SIZE];

    words_printf(out, "%.10s", format_time((int64_t)day * 86400, text));
}

/* What lies before and behind "..", or twice the same. */
struct alb_status dates_parse(const char *text, bool open, struct policy_dates *out)
{
    struct policy_dates d = {INT32_MIN, INT32_MAX};
    const char *dots = strstr(text, "..");
    size_t size = dots == NULL ? strlen(text) : (size_t)(dots - text);
    struct alb_status st = ALB_STATUS_OK;

    if (dots != NULL && !open && (size == 0 || dots[2] == '\0'))
        return alb_fail(ALB_INVALID, "dates have a first and a last day, as in "
                                     "2026-12-24..2027-01-06");
    if (dots != NULL && size == 0 && dots[2] == '\0')
        return alb_fail(ALB_INVALID, "one end of the dates is needed, as in 2026-12-24..");
    if (size > 0 || dots == NULL)
        st = date_parse(text, size, &d.first_day);
    if (alb_failed(st))
        return st;
    if (dots == NULL)
        d.last_day = d.first_day;
    else if (dots[2] != '\0')
        st = date_parse(dots + 2, strlen(dots + 2), &d.last_day);
    if (alb_failed(st))
        return st;
    if (d.last_day < d.first_day)
        return alb_fail(ALB_INVALID, "the last day is before the first");
    *out = d;
    return ALB_STATUS_OK;
}

void dates_write(const struct policy_dates *d, struct buf *out)
{
    if (d->first_day == INT32_MIN && d->last_day == INT32_MAX)
        return;
    if (d->first_day != INT32_MIN)
        date_write(d->first_day, out);
    if (d->first_day == d->last_day)
        return;
    words_printf(out, "..");
    if (d->last_day != INT32_MAX)
        date_write(d->last_day, out);
}

struct alb_status instant_parse(const char *text, int64_t *wall_s)
{
    const char *end = text + strlen(text);
    unsigned h, m, s = 0;
    struct alb_status st;
    int32_t day;

    if (strlen(text) < 11 || text[10] != 'T')
        return alb_fail(ALB_INVALID, "a time is written in UTC, as in 2026-12-01T06:00:00Z");
    st = date_parse(text, 10, &day);
    if (alb_failed(st))
        return st;
    text += 11;
    if (!take_digits(&text, end, 2, &h) || !take_char(&text, end, ':') ||
        !take_digits(&text, end, 2, &m) ||
        (take_char(&text, end, ':') && !take_digits(&text, end, 2, &s)) ||
        !take_char(&text, end, 'Z') || text != end || h > 23 || m > 59 || s > 59)
        return alb_fail(ALB_INVALID, "a time is written in UTC, as in 2026-12-01T06:00:00Z");
    *wall_s = (int64_t)day * 86400 + (int64_t)(h * 3600 + m * 60 + s);
    return ALB_STATUS_OK;
}

/* ---- hours and days of the week ---- */

static bool take_time_of_day(const char **at, const char *end, unsigned *out_min)
{
    unsigned h, m;

    if (!take_digits(at, end, 2, &h) || !take_char(at, end, ':') || !take_digits(at, end, 2, &m) ||
        m > 59 || h * 60 + m > 1440)
        return false;
    *out_min = h * 60 + m;
    return true;
}

struct alb_status hours_parse(const char *text, uint16_t *from, uint16_t *to)
{
    const char *end = text + strlen(text);
    unsigned first, last;

    if (!take_time_of_day(&text, end, &first) || !take_char(&text, end, '-') ||
        !take_time_of_day(&text, end, &last) || text != end || first == 1440)
        return alb_fail(ALB_INVALID, "hours are written hh:mm-hh:mm between 00:00 and 24:00, as in "
                                     "08:00-18:00 or 22:00-06:00");
    if (first == last)
        return alb_fail(ALB_INVALID, "the hours end as they begin; leave them out for the whole "
                                     "day");
    *from = (uint16_t)first;
    *to = (uint16_t)(last == 0 ? 1440 : last);
    return ALB_STATUS_OK;
}

void hours_write(uint16_t from, uint16_t to, struct buf *out)
{
    if (from != 0 || to != 1440)
        words_printf(out, "%02d:%02d-%02d:%02d", from / 60, from % 60, to / 60, to % 60);
}

static const char *const DAYS[] = {"monday", "tuesday",  "wednesday", "thursday",
                                   "friday", "saturday", "sunday"};

/* A day's number from its name or the first three letters of it; -1 for none. */
static int take_day(const char **at)
{
    size_t size = strspn(*at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

    for (int i = 0; i < 7; i++) {
        if ((size != 3 && size != strlen(DAYS[i])) || strncasecmp(*at, DAYS[i], size) != 0)
            continue;
        *at += size;
        return i;
    }
    return -1;
}

struct alb_status days_parse(const char *text, uint8_t *days)
{
    static const char WRONG[] = "days are mon, tue, wed, thu, fri, sat, sun, as in mon-fri or "
                                "sat,sun";
    uint8_t all = 0;

    for (text += strspn(text, ", ;"); *text != '\0'; text += strspn(text, ", ;")) {
        int first = take_day(&text), last = first;

        if (first >= 0 && *text == '-') {
            text++;
            last = take_day(&text);
        }
        if (first < 0 || last < 0 || (*text != '\0' && strchr(", ;", *text) == NULL))
            return (struct alb_status){ALB_INVALID, 0, WRONG};
        for (int day = first;; day = (day + 1) % 7) {
            all = (uint8_t)(all | 1U << day);
            if (day == last)
                break;
        }
    }
    if (all == 0)
        return (struct alb_status){ALB_INVALID, 0, WRONG};
    *days = all;
    return ALB_STATUS_OK;
}

void days_write(uint8_t days, struct buf *out)
{
    const char *between = "";

    if ((days & 0x7f) == 0x7f)
        return;
    for (int day = 0; day < 7; day++) {
        int last = day;

        if ((days >> day & 1) == 0)
            continue;
        while (last < 6 && (days >> (last + 1) & 1) != 0)
            last++;
        words_printf(out, "%s%.3s", between, DAYS[day]);
        if (last > day)
            words_printf(out, "%s%.3s", last > day + 1 ? "-" : ",", DAYS[last]);
        between = ",";
        day = last;
    }
}

/* ---- rates ---- */

struct alb_status limit_parse(const char *text, uint64_t *bps)
{
    const struct alb_status none =
        alb_fail(ALB_INVALID, "0 is no rate: leave it out for no limit; a rule with mode off stops "
                              "everything");
    uint64_t rate;
    struct alb_status st = strcmp(text, "0") == 0 ? none : parse_rate(text, &rate);

    if (alb_failed(st))
        return st;
    if (rate == 0)
        return none;
    if (rate < RATE_LEAST_BPS)
        return alb_fail(ALB_INVALID, "less than one packet of 1500 bytes a second moves nothing: "
                                     "say at least 12kbit; a rule with mode off stops "
                                     "everything");
    if (rate > RATE_MOST_BPS)
        return alb_fail(ALB_INVALID, "no link has more than 1000Gbit");
    *bps = rate;
    return ALB_STATUS_OK;
}

void limit_write(uint64_t bps, struct buf *out)
{
    char text[UNITS_TEXT_SIZE];

    if (bps != 0)
        words_printf(out, "%s", spell_rate(bps, text));
}

/* ---- subnets and zones ---- */

static void clear_behind(struct policy_subnet *s)
{
    for (unsigned bit = s->bits; bit < 128; bit++)
        s->address[bit / 8] = (uint8_t)(s->address[bit / 8] & ~(0x80U >> bit % 8));
}

struct alb_status subnet_parse(const char *text, struct policy_subnet *out)
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};
    struct policy_subnet s = {.site = out->site};
    const char *slash = strchr(text, '/');
    char address[64];
    uint64_t bits;
    bool is_v4;

    if (slash == NULL || slash == text || (size_t)(slash - text) >= sizeof address)
        return alb_fail(ALB_INVALID, "a subnet is written address/bits, as in 10.1.0.0/20 or "
                                     "2001:db8::/48");
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    is_v4 = inet_pton(AF_INET, address, s.address + 12) == 1;
    if (is_v4)
        memcpy(s.address, V4, sizeof V4);
    else if (inet_pton(AF_INET6, address, s.address) != 1)
        return alb_fail(ALB_INVALID, "that is no IPv4 or IPv6 address");
    if (alb_failed(parse_u64(slash + 1, is_v4 ? 32 : 128, &bits)))
        return alb_fail(ALB_INVALID, "bits of a subnet are 0 to 32 (IPv4) or 0 to 128 (IPv6)");
    s.bits = (uint8_t)(bits + (is_v4 ? 96 : 0));
    clear_behind(&s);
    *out = s;
    return ALB_STATUS_OK;
}

static bool is_mapped(const struct policy_subnet *s)
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};

    return s->bits >= 96 && memcmp(s->address, V4, sizeof V4) == 0;
}

void subnet_write(const struct policy_subnet *s, struct buf *out)
{
    char text[INET6_ADDRSTRLEN];
    bool is_v4 = is_mapped(s);

    alb_assert(inet_ntop(is_v4 ? AF_INET : AF_INET6, s->address + (is_v4 ? 12 : 0), text,
                         sizeof text) != NULL);
    words_printf(out, "%s/%u", text, s->bits - (is_v4 ? 96U : 0U));
}

struct alb_status zone_name_check(const char *text)
{
    static const char WRONG[] = "a zone is named as in Europe/Oslo or UTC";
    size_t size = strlen(text);

    if (size == 0 || size >= POLICY_ZONE_MAX || text[0] == '/' || text[size - 1] == '/' ||
        strstr(text, "//") != NULL)
        return (struct alb_status){ALB_INVALID, 0, WRONG};
    for (const char *at = text; *at != '\0'; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
              (*at >= '0' && *at <= '9') || strchr("_+-/", *at) != NULL))
            return (struct alb_status){ALB_INVALID, 0, WRONG};
    return ALB_STATUS_OK;
}
