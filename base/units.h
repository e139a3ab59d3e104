/* SPDX-License-Identifier: Apache-2.0 */
/* base/units.h – the units and names people type and read: sizes, rates, durations, times, names.
 *
 * Sizes: 300, 64KiB, 2MB, 1.5GiB (bytes).  Rates: 2Mbit, 512kbit, 10MB (per second; stored in bits
 * per second: "bps" is bits everywhere).  Durations: 250ms, 30s, 5m, 24h, 7d.  A number without a
 * unit is refused for rates and durations, because guessing is how a link gets flooded; the error
 * names what is allowed.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

enum { NAME_MAX_SIZE = 128, UNITS_TEXT_SIZE = 32 };
#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* What a line or a limit may have: one packet of 1,500 bytes a second, and 1000 Gbit/s. */
#define RATE_LEAST_BPS UINT64_C(12000)
#define RATE_MOST_BPS UINT64_C(1000000000000)

ALB_MUST_USE struct alb_status parse_size(const char *text, uint64_t *out);
ALB_MUST_USE struct alb_status parse_rate(const char *text, uint64_t *out_bps);
ALB_MUST_USE struct alb_status parse_duration(const char *text, uint64_t *out_ns);
ALB_MUST_USE struct alb_status parse_u64(const char *text, uint64_t max, uint64_t *out);

/* "12.3 MB", "1.2 Mbit/s", "3m12s", "2026-01-31T12:00:00Z"; `out` holds UNITS_TEXT_SIZE;
 * returned. */
const char *format_size(uint64_t bytes, char *out);
const char *format_rate(uint64_t bps, char *out);
/* As parse_rate() reads it, in the largest unit that loses nothing: "1200kbit". */
const char *spell_rate(uint64_t bps, char *out);
const char *format_duration(uint64_t ns, char *out);
const char *format_time(int64_t wall_s, char *out);

/* A layer: 1–4 components of [a-z0-9][a-z0-9._-]* joined by '/', at most 100 bytes; none is "."
 * or "..".  A version: [A-Za-z0-9][A-Za-z0-9._+-]*, at most 60 bytes.  An id (site, device, org):
 * [a-z0-9][a-z0-9-]*, at most 60 bytes.  Refusals say which rule. */
ALB_MUST_USE struct alb_status layer_name_check(const char *text);
ALB_MUST_USE struct alb_status version_name_check(const char *text);
ALB_MUST_USE struct alb_status id_check(const char *text);
/* Does `layer` equal `prefix` or lie beneath it ("base" covers "base/debian-12", not "baseline")?
 * The empty prefix covers all. */
bool layer_is_under(const char *layer, const char *prefix);
