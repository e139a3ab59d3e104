/* SPDX-License-Identifier: Apache-2.0 */
/* client/table.h – an array of a JSON document as a table for people.
 *
 * What a row lacks is shown as "-", so that an older hub's answer still makes a table.
 */
#pragma once

#include "client/output.h"
#include "wire/json.h"

enum cell_kind {
    CELL_TEXT,
    CELL_NUMBER,
    CELL_SIZE,  /* bytes */
    CELL_TIME,  /* seconds since 1970 */
    CELL_VALUE, /* any, as JSON spells it: yes, no, 1.004 */
};

struct column {
    const char *title;
    const char *path; /* within an element: "name", "head.expires_wall_s" */
    enum cell_kind kind;
};

enum { TABLE_COLUMNS_MAX = 12, CELL_SIZE_MAX = 160 };

/* One line for the titles and one for each element of the array `path`. */
void table_print(struct output *o, const struct json_doc *d, const char *path,
                 const struct column *columns, size_t column_count);
/* One value as people read it; returns `out`. */
const char *table_cell(const struct json_doc *d, const char *path, enum cell_kind kind,
                       char out[CELL_SIZE_MAX]);
