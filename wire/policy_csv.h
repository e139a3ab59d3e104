/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_csv.h – a policy as a table: Mirage's bandwidth rules taken over, and our own columns
 * with IPv6 and units.
 *
 * Which of the two it is, the header line says.  Errors name the line.
 *
 * Mirage's: SubnetMaskV4,Site,Download Limit,Upload Limit[,Start Time,End Time,Days of Week].
 * Limits are kilobytes (of 1,000 bytes) per second there, without a unit; 2000 is 16 Mbit/s.  A
 * rule has a subnet or a site; 0.0.0.0/0 is everything.  Each subnet becomes a site with a name of
 * ours.  Times were the endpoint's and become the site's, in `zone`.  What it says is a limit, so a
 * rule becomes `scavenge` with that ceiling: never more, and less while others want the line.  The
 * table has no order that its documents speak of, ours has: sites and subnets go before everything,
 * rules with hours or days before those without.
 *
 * Ours: one row a rule, site, calendar or deadline; the columns are listed in FORMAT.md and may
 * come in any order.
 */
#pragma once

#include "wire/policy.h"

/* As policy_doc_decode(), without the check of the whole.  `zone` is the document's where the
 * table does not say (Mirage's never does); "" is UTC. */
ALB_MUST_USE struct alb_status policy_csv_read(const void *bytes, size_t size, const char *zone,
                                               struct policy_findings *findings,
                                               struct policy_doc **out);
/* Ours; reading it back gives the same document. */
ALB_MUST_USE struct alb_status policy_csv_write(const struct policy_doc *d, struct buf *out);
