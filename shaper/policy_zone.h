/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_zone.h – local time in a named zone, from a TZif file (RFC 8536) read by ourselves:
 * libc has one zone a process, set by an environment variable.
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zone; /* immutable once read */

enum { ZONE_BYTES_MAX = 256 << 10 };

/* INVALID: no name of a zone (Area/City; no dots, no leading '/').  NOT_FOUND: no such file under
 * `dir` (NULL: the system's).  CORRUPT: it is no TZif. */
ALB_MUST_USE struct alb_status zone_read(const char *dir, const char *name, struct zone **out);
/* The same from bytes. */
ALB_MUST_USE struct alb_status zone_decode(const uint8_t *bytes, size_t size, struct zone **out);
struct zone *zone_free(struct zone *z);

/* Which file a zone's name leads to now; all zero: none.  Another file, or one that was written to,
 * has another stamp. */
struct zone_stamp {
    uint64_t device, inode, size;
    int64_t changed_s, changed_ns;
};
struct zone_stamp zone_look(const char *dir, const char *name);
bool zone_stamp_equal(const struct zone_stamp *a, const struct zone_stamp *b);

/* Seconds east of UTC at an instant, and until which instant (not included) that holds. */
int32_t zone_offset(const struct zone *z, int64_t utc_s, int64_t *until_s);

/* A policy_zone_fn; `dir` as above. */
bool zone_is_known(const char *name, void *dir);
