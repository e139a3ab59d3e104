/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites_rows.h – what a site consists of, as a table of named columns; inside wire/. */
#pragma once

#include "wire/policy_rows.h"
#include "wire/sites.h"

extern const struct policy_columns site_columns;

/* A new site at the end of the list, as a row.  FULL. */
ALB_MUST_USE struct alb_status site_row_begin(struct policy_row *r, struct sites *s);
/* "line 12 (site oslo)" or "site 7 (oslo)". */
const char *site_where(const struct site *site, char out[128]);
/* Loopback, link-local, multicast: what every link has says nothing about where it is. */
bool site_subnet_is_everywhere(const struct policy_subnet *s);
/* By name; within a site subnets by address, gateways ascending. */
void sites_sort(struct sites *s);

/* A table (wire/policy_table.h) into a directory; errors are among the findings. */
void sites_table_read(const void *bytes, size_t size, struct sites *s,
                      struct policy_findings *findings);
