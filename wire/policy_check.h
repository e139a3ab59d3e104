/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_check.h – parts of policy_doc_check(); inside wire/. */
#pragma once

#include "wire/policy.h"

/* "rule 7 (office)" or "line 12 (rule office)". */
const char *policy_rule_where(const struct policy_doc *d, size_t index, char out[128]);
/* Warnings about rules that can never match: those that others before them cover, and those whose
 * days, dates and calendars never meet; and about rules that overlap by halves. */
void policy_check_cover(const struct policy_doc *d, struct policy_findings *findings);
