/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_cells.h – the types of cells a policy's rows are made of; inside wire/.
 *
 * A column is a cell of some type at some member of the row's struct.  Reading refuses with what
 * is allowed; writing appends the canonical text, or nothing for what was not said.
 */
#pragma once

#include "wire/policy_rows.h"

struct policy_word { /* a table of these ends with one whose text is NULL */
    const char *text;
    uint32_t value;
};

struct policy_cell {
    struct alb_status (*read)(const struct policy_column *c, struct policy_row *r,
                              const char *text);
    void (*write)(const struct policy_column *c, const struct policy_doc *d, const void *item,
                  struct buf *out);
};

struct policy_column {
    const char *name;
    const struct policy_cell *cell;
    size_t offset, size; /* of the member, for the types that need it */
    bool is_required, is_list, is_number;
    bool is_label; /* tells the reader which row it is */
    const struct policy_word *words;
    const char *wrong; /* the refusal of cell_word */
};

extern const struct policy_cell cell_text, cell_id, cell_layer, cell_zone;
extern const struct policy_cell cell_word; /* an enum or a byte */
extern const struct policy_cell cell_rate, cell_percent, cell_queue;
extern const struct policy_cell cell_instant;
extern const struct policy_cell cell_scope;
extern const struct policy_cell cell_days, cell_hours, cell_dates, cell_calendars;
extern const struct policy_cell cell_subnets, cell_calendar_dates;

/* The next word of `*rest`, in `out`, which has room for any that is right; false at the end. */
bool policy_next_word(const char **rest, char out[128]);

/* Room for one more; it doubles at each power of two, so that no capacity has to be kept. */
void *policy_list_grown(void *list, size_t count, size_t item_size);
