/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_words.h – the values people write in a policy: times of day, days, dates, rates,
 * subnets; for wire/ and shaper/policy only.
 *
 * Reading refuses with what is allowed, as a literal.  Writing gives the one canonical spelling,
 * which reads back as the same value; nothing at all for a value that was not said.
 */
#pragma once

#include "wire/policy.h"

/* ---- days: 0 is 1970-01-01, a Thursday ---- */
int32_t day_of_date(int32_t year, unsigned month, unsigned day); /* Gregorian, any year */
int32_t year_of_day(int32_t day);
/* "2026-12-24" between 1970 and 9999, as a date that there is. */
ALB_MUST_USE struct alb_status date_parse(const char *text, size_t size, int32_t *day);
void date_write(int32_t day, struct buf *out);
/* "2026-12-24" or "2026-12-24..2027-01-06"; `open` allows one end to be left out. */
ALB_MUST_USE struct alb_status dates_parse(const char *text, bool open, struct policy_dates *out);
void dates_write(const struct policy_dates *d, struct buf *out);

/* "08:00-18:00", "22:00-06:00", "00:00-24:00". */
ALB_MUST_USE struct alb_status hours_parse(const char *text, uint16_t *from, uint16_t *to);
void hours_write(uint16_t from, uint16_t to, struct buf *out);
/* "mon-fri", "sat,sun", "fri-mon wed"; long names and any case, too. */
ALB_MUST_USE struct alb_status days_parse(const char *text, uint8_t *days);
void days_write(uint8_t days, struct buf *out);

/* "2026-12-01T06:00:00Z"; seconds may be left out. */
ALB_MUST_USE struct alb_status instant_parse(const char *text, int64_t *wall_s);

/* From 12kbit (a packet a second) to 1000Gbit. */
ALB_MUST_USE struct alb_status limit_parse(const char *text, uint64_t *bps);
void limit_write(uint64_t bps, struct buf *out);

/* "10.1.0.0/20", "2001:db8::/48"; bits behind the prefix are cleared. */
ALB_MUST_USE struct alb_status subnet_parse(const char *text, struct policy_subnet *out);
void subnet_write(const struct policy_subnet *s, struct buf *out);

ALB_MUST_USE struct alb_status zone_name_check(const char *text);

/* Append to a buffer that is large enough by construction. */
void words_printf(struct buf *out, const char *format, ...) ALB_PRINTF(2, 3);
