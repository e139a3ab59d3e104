/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_table.h – a table of comma-separated values, a row at a time (RFC 4180, and what
 * spreadsheets make of it: a byte order mark, semicolons, CR LF); inside wire/.
 */
#pragma once

#include "wire/policy.h"

enum { TABLE_CELLS_MAX = 64 };

struct table {
    char *text, *at; /* a copy, cut up as it is read */
    char between;
    uint32_t line; /* of the row that was read, from 1 */
    uint32_t next_line;
    char *cells[TABLE_CELLS_MAX]; /* without the blanks around them */
    size_t count;
    bool is_broken; /* a quote without end, or too many cells; a finding was added */
};

/* INVALID, with a finding, for what is no text. */
ALB_MUST_USE struct alb_status table_init(struct table *t, const void *bytes, size_t size,
                                          struct policy_findings *findings);
void table_release(struct table *t);
/* Reads the next row that is neither blank nor a comment (#); false at the end. */
bool table_next(struct table *t, struct policy_findings *findings);

/* Appends one cell, quoted where it must be, and what is behind it. */
ALB_MUST_USE struct alb_status table_put_cell(const char *text, bool last, struct buf *out);

/* A table of either kind into a document; errors are among the findings. */
void policy_table_read(const void *bytes, size_t size, struct policy_doc *d,
                       struct policy_findings *findings);
/* Mirage's rules into a document; errors are among the findings. */
void policy_mirage_read(struct table *t, struct policy_doc *d, struct policy_findings *findings);
