/* SPDX-License-Identifier: Apache-2.0 */
/* base/units.c – reading and writing sizes, rates, durations, times and names. */
#include "base/units.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"

/* ---- numbers with units ---- */

struct unit {
    const char *word;
    uint64_t factor;
};

/* 64KiB and 64K differ in nothing a person would notice until it matters, so 64K is refused. */
static const struct unit SIZE_UNITS[] = {
    {"", 1},
    {"B", 1},
    {"kB", UINT64_C(1000)},
    {"KB", UINT64_C(1000)},
    {"MB", UINT64_C(1000000)},
    {"GB", UINT64_C(1000000000)},
    {"TB", UINT64_C(1000000000000)},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
};

static const struct unit RATE_UNITS[] = {
    {"bit", 1},
    {"kbit", UINT64_C(1000)},
    {"Kbit", UINT64_C(1000)},
    {"Mbit", UINT64_C(1000000)},
    {"Gbit", UINT64_C(1000000000)},
    {"B", 8},
    {"kB", UINT64_C(8000)},
    {"KB", UINT64_C(8000)},
    {"MB", UINT64_C(8000000)},
    {"GB", UINT64_C(8000000000)},
    {"KiB", UINT64_C(8) << 10},
    {"MiB", UINT64_C(8) << 20},
    {"GiB", UINT64_C(8) << 30},
};

static const struct unit DURATION_UNITS[] = {
    {"ns", 1},
    {"us", UINT64_C(1000)},
    {"ms", NS_PER_MS},
    {"s", NS_PER_S},
    {"m", 60 * NS_PER_S},
    {"h", 3600 * NS_PER_S},
    {"d", 86400 * NS_PER_S},
    {"w", 7 * 86400 * NS_PER_S},
};

/* A number as typed: 1.25 is whole 1, thousandths 250. */
struct number {
    uint64_t whole;
    unsigned thousandths;
    bool has_fraction;
    const char *rest; /* the unit */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct alb_status read_whole(const char **text, uint64_t *out)
{
    const char *at = *text;
    uint64_t v = 0;

    if (!is_digit(*at))
        return alb_fail(ALB_INVALID, "a number is expected (digits first, no sign)");
    for (; is_digit(*at); at++)
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*at - '0'), &v))
            return alb_fail(ALB_INVALID, "the number is too large");
    *text = at;
    *out = v;
    return ALB_STATUS_OK;
}

static struct alb_status read_number(const char *text, struct number *out)
{
    struct number n = {0};
    unsigned weight = 100;
    struct alb_status st = read_whole(&text, &n.whole);

    if (alb_failed(st))
        return st;
    if (*text == '.') {
        n.has_fraction = true;
        text++;
        if (!is_digit(*text))
            return alb_fail(ALB_INVALID, "a digit is expected after the point");
        for (; is_digit(*text); text++, weight /= 10) {
            if (weight == 0)
                return alb_fail(ALB_INVALID, "at most three digits may follow the point");
            n.thousandths += weight * (unsigned)(*text - '0');
        }
    }
    n.rest = text;
    *out = n;
    return ALB_STATUS_OK;
}

static const struct unit *find_unit(const struct unit *units, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(units[i].word, word) == 0)
            return &units[i];
    return NULL;
}

static struct alb_status scale(const struct number *n, uint64_t factor, uint64_t *out)
{
    uint64_t v;

    if (n->has_fraction && factor == 1)
        return alb_fail(ALB_INVALID, "this unit takes whole numbers only");
    /* The largest factor, a week of nanoseconds, times 999 still fits 64 bits. */
    if (__builtin_mul_overflow(n->whole, factor, &v) ||
        __builtin_add_overflow(v, factor * n->thousandths / 1000, &v))
        return alb_fail(ALB_INVALID, "the number is too large");
    *out = v;
    return ALB_STATUS_OK;
}

/* `bare`: it has no unit, and needs one; `unknown`: none of these. */
static struct alb_status parse_scaled(const char *text, const struct unit *units, size_t count,
                                      struct alb_status bare, struct alb_status unknown,
                                      uint64_t *out)
{
    struct number n;
    struct alb_status st = read_number(text, &n);

    if (alb_failed(st))
        return st;
    const struct unit *unit = find_unit(units, count, n.rest);
    if (unit == NULL)
        return n.rest[0] == '\0' ? bare : unknown;
    return scale(&n, unit->factor, out);
}

struct alb_status parse_size(const char *text, uint64_t *out)
{
    const struct alb_status unknown =
        alb_fail(ALB_INVALID, "unknown unit of a size (use B, kB, MB, GB, TB, KiB, MiB, GiB or "
                              "TiB, as in 64KiB)");

    return parse_scaled(text, SIZE_UNITS, ALB_COUNT(SIZE_UNITS), unknown, unknown, out);
}

struct alb_status parse_rate(const char *text, uint64_t *out_bps)
{
    return parse_scaled(text, RATE_UNITS, ALB_COUNT(RATE_UNITS),
                        alb_fail(ALB_INVALID, "a rate needs a unit (bit, kbit, Mbit, Gbit, or kB, "
                                              "MB, GB per second, as in 2Mbit)"),
                        alb_fail(ALB_INVALID, "unknown unit of a rate (use bit, kbit, Mbit, Gbit, "
                                              "or kB, MB, GB per second, as in 2Mbit)"),
                        out_bps);
}

struct alb_status parse_duration(const char *text, uint64_t *out_ns)
{
    return parse_scaled(
        text, DURATION_UNITS, ALB_COUNT(DURATION_UNITS),
        alb_fail(ALB_INVALID, "a duration needs a unit (ms, s, m, h, d or w, as in 30s)"),
        alb_fail(ALB_INVALID, "unknown unit of a duration (use ms, s, m, h, d or w, as in 30s)"),
        out_ns);
}

struct alb_status parse_u64(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t v;
    struct alb_status st = read_whole(&text, &v);

    if (alb_failed(st))
        return st;
    if (*text != '\0')
        return alb_fail(ALB_INVALID, "a whole number is expected, digits only");
    if (v > max)
        return alb_fail(ALB_INVALID, "the number is too large");
    *out = v;
    return ALB_STATUS_OK;
}

/* ---- writing ---- */

/* "12.3 MB": the largest unit that leaves at least 1, one decimal, rounded half up.  `words` has
 * five entries, each 1000 times the one before; the first is written without a decimal. */
static const char *format_scaled(uint64_t v, const char *const words[5], char *out)
{
    uint64_t divisor = 1;
    uint64_t tenths;
    size_t i = 0;

    while (i < 4 && v / divisor >= 1000) {
        divisor *= 1000;
        i++;
    }
    if (i == 0) {
        (void)snprintf(out, UNITS_TEXT_SIZE, "%u %s", (unsigned)v, words[0]);
        return out;
    }
    tenths = v / divisor * 10 + (v % divisor * 10 + divisor / 2) / divisor;
    if (tenths >= 10000 && i < 4) { /* 999.96 MB would read 1000.0 MB */
        tenths = 10;
        i++;
    }
    (void)snprintf(out, UNITS_TEXT_SIZE, "%llu.%u %s", (unsigned long long)(tenths / 10),
                   (unsigned)(tenths % 10), words[i]);
    return out;
}

const char *format_size(uint64_t bytes, char *out)
{
    static const char *const words[5] = {"B", "kB", "MB", "GB", "TB"};

    return format_scaled(bytes, words, out);
}

const char *format_rate(uint64_t bps, char *out)
{
    static const char *const words[5] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};

    return format_scaled(bps, words, out);
}

const char *spell_rate(uint64_t bps, char *out)
{
    static const char *const words[] = {"bit", "kbit", "Mbit", "Gbit"};
    size_t unit = 0;

    for (; bps != 0 && bps % 1000 == 0 && unit + 1 < ALB_COUNT(words); unit++)
        bps /= 1000;
    (void)snprintf(out, UNITS_TEXT_SIZE, "%llu%s", (unsigned long long)bps, words[unit]);
    return out;
}

const char *format_duration(uint64_t ns, char *out)
{
    uint64_t s = ns / NS_PER_S;
    unsigned tenths = (unsigned)(ns % NS_PER_S / (100 * NS_PER_MS));
    unsigned days = (unsigned)(s / 86400);
    unsigned hours = (unsigned)(s / 3600 % 24);
    unsigned minutes = (unsigned)(s / 60 % 60);

    if (ns > 0 && ns < 10 * NS_PER_MS)
        (void)snprintf(out, UNITS_TEXT_SIZE, "%uus", (unsigned)(ns / 1000));
    else if (s < 1)
        (void)snprintf(out, UNITS_TEXT_SIZE, "%ums", (unsigned)(ns / NS_PER_MS));
    else if (s < 60)
        (void)snprintf(out, UNITS_TEXT_SIZE, "%u.%us", (unsigned)s, tenths);
    else if (s < 3600)
        (void)snprintf(out, UNITS_TEXT_SIZE, "%um%us", minutes, (unsigned)(s % 60));
    else if (days == 0)
        (void)snprintf(out, UNITS_TEXT_SIZE, "%uh%um", hours, minutes);
    else
        (void)snprintf(out, UNITS_TEXT_SIZE, "%ud%uh", days, hours);
    return out;
}

const char *format_time(int64_t wall_s, char *out)
{
    time_t wall = (time_t)wall_s;
    struct tm tm;

    if (gmtime_r(&wall, &tm) == NULL ||
        strftime(out, UNITS_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(out, UNITS_TEXT_SIZE, "no such time");
    return out;
}

/* ---- names ---- */

enum { LAYER_MOST = 100, LAYER_PARTS_MOST = 4, VERSION_MOST = 60, ID_MOST = 60 };

static bool is_low(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

struct alb_status layer_name_check(const char *text)
{
    unsigned parts = 1;

    if (text[0] == '\0')
        return alb_fail(ALB_INVALID, "a layer's name is empty");
    if (strlen(text) > LAYER_MOST)
        return alb_fail(ALB_INVALID, "a layer's name is longer than 100 bytes");
    for (const char *at = text; *at != '\0'; at++) {
        bool first = at == text || at[-1] == '/';

        if (first && !is_low(*at))
            return alb_fail(ALB_INVALID, "each part of a layer's name begins with a-z or 0-9, as "
                                         "in base/debian-12");
        if (*at == '/')
            parts++;
        else if (!is_low(*at) && !is_one_of(*at, "._-"))
            return alb_fail(ALB_INVALID, "a layer's name holds only a-z, 0-9, '.', '_', '-' and "
                                         "'/' between parts");
    }
    if (text[strlen(text) - 1] == '/')
        return alb_fail(ALB_INVALID, "a layer's name ends with '/'");
    if (parts > LAYER_PARTS_MOST)
        return alb_fail(ALB_INVALID, "a layer's name has more than 4 parts");
    return ALB_STATUS_OK;
}

struct alb_status version_name_check(const char *text)
{
    if (text[0] == '\0')
        return alb_fail(ALB_INVALID, "a version's name is empty");
    if (strlen(text) > VERSION_MOST)
        return alb_fail(ALB_INVALID, "a version's name is longer than 60 bytes");
    for (const char *at = text; *at != '\0'; at++) {
        bool plain = is_low(*at) || (*at >= 'A' && *at <= 'Z');

        if (at == text && !plain)
            return alb_fail(ALB_INVALID, "a version's name begins with a letter or a digit");
        if (!plain && !is_one_of(*at, "._+-"))
            return alb_fail(ALB_INVALID,
                            "a version's name holds only letters, digits, '.', '_', '+' and '-'");
    }
    return ALB_STATUS_OK;
}

struct alb_status id_check(const char *text)
{
    if (text[0] == '\0')
        return alb_fail(ALB_INVALID, "an id is empty");
    if (strlen(text) > ID_MOST)
        return alb_fail(ALB_INVALID, "an id is longer than 60 bytes");
    for (const char *at = text; *at != '\0'; at++) {
        if (at == text && !is_low(*at))
            return alb_fail(ALB_INVALID, "an id begins with a-z or 0-9");
        if (!is_low(*at) && *at != '-')
            return alb_fail(ALB_INVALID, "an id holds only a-z, 0-9 and '-'");
    }
    return ALB_STATUS_OK;
}

bool layer_is_under(const char *layer, const char *prefix)
{
    size_t size = strlen(prefix);

    if (size == 0)
        return true;
    return strncmp(layer, prefix, size) == 0 && (layer[size] == '\0' || layer[size] == '/');
}
