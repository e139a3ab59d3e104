/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_json.h – rows as JSON objects whose members are the columns; inside wire/. */
#pragma once

#include <jansson.h>

#include "wire/policy_rows.h"

/* Past the mark that some editors put first, in tables and in JSON; `*size` is what is left. */
const char *policy_text_begin(const void *bytes, size_t *size);
/* Is this JSON, by its first character?  Else it is a table. */
bool policy_json_begins(const char *text, size_t size);
/* NULL, with a finding, for what is no JSON object. */
json_t *policy_json_load(const void *bytes, size_t size, struct policy_findings *findings);
/* The row's members, then policy_row_end().  The label first, so that whatever is wrong with the
 * others is found by it. */
void policy_json_take_row(struct policy_row *r, const json_t *object,
                          struct policy_findings *findings);
/* What was said, in the columns' order. */
json_t *policy_json_row(const struct policy_columns *columns, const struct policy_doc *d,
                        const void *item);
