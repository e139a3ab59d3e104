/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_rows.h – what a rule, site, calendar, deadline and override consist of, as one table
 * of named columns each; JSON and CSV are two spellings of these; inside wire/.
 */
#pragma once

#include "wire/policy.h"

enum policy_kind {
    POLICY_KIND_RULE,
    POLICY_KIND_SITE,
    POLICY_KIND_CALENDAR,
    POLICY_KIND_DEADLINE,
    POLICY_KIND_OVERRIDE,
    POLICY_KIND_BRANCH, /* a row of the site directory: wire/sites_rows.h */
};
enum { POLICY_DOC_KINDS = 4, POLICY_KINDS = 5 /* with a table of columns here */ };

struct policy_column;

struct policy_columns {
    const char *word;                 /* "rule"  */
    const char *plural;               /* "rules": the JSON array */
    const struct policy_column *list; /* wire/policy_cells.h */
    size_t count;
};
const struct policy_columns *policy_columns_of(enum policy_kind kind);
/* `count` when there is none of that name. */
size_t policy_column_index(const struct policy_columns *columns, const char *name);

/* A row being read. */
struct policy_row {
    enum policy_kind kind;
    const struct policy_columns *columns;
    struct policy_doc *doc; /* NULL: an override, a branch */
    void *item;             /* within the document: dies with the next row of the kind */
    uint32_t seen;          /* columns given, by bit */
    bool is_wrong;          /* something was */
    char where[192];        /* "rule 7 (office)" or "line 12 (rule office)" */
};

/* In place of a rule's line: something in it could not be read, so that the rest is not judged. */
#define POLICY_LINE_WRONG UINT32_MAX

/* A new item with its defaults; FULL when there are as many as there may be. */
ALB_MUST_USE struct alb_status policy_row_begin(struct policy_row *r, enum policy_kind kind,
                                                struct policy_doc *doc);
void policy_row_begin_override(struct policy_row *r, struct policy_override *item, size_t index);
/* A row that is no part of a document; `item` has its defaults. */
void policy_row_begin_alone(struct policy_row *r, enum policy_kind kind,
                            const struct policy_columns *columns, void *item, size_t index);
/* What is unknown to this kind or wrong goes to the findings. */
void policy_row_take(struct policy_row *r, const char *name, const char *text,
                     struct policy_findings *findings);
/* What must be there is; a rule without a name gets one. */
void policy_row_end(struct policy_row *r, struct policy_findings *findings);

/* The canonical text of a column, appended; nothing when it was not said. */
void policy_column_write(const struct policy_column *c, const struct policy_doc *doc,
                         const void *item, struct buf *out);

size_t policy_doc_count(const struct policy_doc *d, enum policy_kind kind);
const void *policy_doc_item(const struct policy_doc *d, enum policy_kind kind, size_t index);

void policy_findings_add(struct policy_findings *f, bool is_error, const char *format, ...)
    ALB_PRINTF(3, 4);
/* What was typed, made fit for a line of text: no controls, not too long. */
const char *policy_quoted(const char *text, char out[80]);
