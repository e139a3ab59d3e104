/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_footer.h – the rule behind a TZif file's transitions, as in
 * "CET-1CEST,M3.5.0,M10.5.0/3" (POSIX TZ, with the hours of RFC 8536); inside shaper/policy.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct zone_change { /* a day of the year and a time of that day, by the clock before the change */
    enum { CHANGE_JULIAN, CHANGE_DAY, CHANGE_WEEKDAY } kind;
    int32_t month, week,
        day;        /* DAY, from 0; JULIAN, from 1, without 29 February; WEEKDAY: 0 Sunday,
                                 week 5 the last */
    int32_t time_s; /* −167 h to 167 h */
};

struct zone_footer {
    int32_t standard_east_s, summer_east_s;
    bool has_summer;
    struct zone_change begins, ends; /* of summer time */
};

/* False for what is none. */
bool zone_footer_parse(const char *text, struct zone_footer *out);
/* As zone_offset(). */
int32_t zone_footer_offset(const struct zone_footer *f, int64_t utc_s, int64_t *until_s);
