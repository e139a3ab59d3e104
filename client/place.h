/* SPDX-License-Identifier: Apache-2.0 */
/* client/place.h – the addresses people type: https://HOST:PORT,
 * with [ ] around an IPv6 address. */
#pragma once

#include "transfer/upstream.h"

enum { PLACE_TEXT_SIZE = UPSTREAM_HOST_SIZE + 24 };

/* INVALID with what is wrong: another scheme, no port, a path behind it, … */
ALB_MUST_USE struct alb_status place_parse(const char *url, struct upstream_place *out);
/* "https://HOST:PORT"; returns `out`. */
const char *place_format(const struct upstream_place *p, char *out /* PLACE_TEXT_SIZE */);
