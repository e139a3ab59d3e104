/* SPDX-License-Identifier: Apache-2.0 */
/* client/table.c – widths first, then lines. */
#include "client/table.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/units.h"

enum { ROW_TEXT_SIZE = TABLE_COLUMNS_MAX * (CELL_SIZE_MAX + 2) };

/* Names come from another machine: nothing in them may drive the terminal. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

/* What no reader of json.h's takes: booleans as yes and no, decimals to three places. */
static void spell(const struct json_doc *d, const char *path, char out[CELL_SIZE_MAX])
{
    struct json_writer *w = json_writer_new();
    struct buf text;

    buf_init(&text, 4096);
    json_array_begin(w, NULL);
    json_relay(w, NULL, d, path);
    json_end(w);
    bool fits = !alb_failed(json_writer_finish(w, &text)) && buf_size(&text) > 2;
    const char *value = fits ? buf_text(&text) + 1 : "-]";
    if (strcmp(value, "true]") == 0)
        value = "yes]";
    else if (strcmp(value, "false]") == 0)
        value = "no]";
    const char *point = strchr(value, '.');
    size_t size = strlen(value) - 1;
    if (point != NULL && (size_t)(point - value) + 4 < size)
        size = (size_t)(point - value) + 4;
    snprintf(out, CELL_SIZE_MAX, "%.*s", (int)size, value);
    make_printable(out);
    buf_release(&text);
}

const char *table_cell(const struct json_doc *d, const char *path, enum cell_kind kind,
                       char out[CELL_SIZE_MAX])
{
    uint64_t number = json_doc_number(d, path);

    switch (kind) {
    case CELL_TEXT:
        snprintf(out, CELL_SIZE_MAX, "%s", json_doc_text(d, path));
        make_printable(out);
        if (out[0] == '\0')
            snprintf(out, CELL_SIZE_MAX, "-");
        return out;
    case CELL_NUMBER: snprintf(out, CELL_SIZE_MAX, "%" PRIu64, number); return out;
    case CELL_SIZE: return format_size(number, out);
    case CELL_TIME:
        if (number != 0)
            return format_time((int64_t)number, out);
        snprintf(out, CELL_SIZE_MAX, "-");
        return out;
    case CELL_VALUE: spell(d, path, out); return out;
    }
    alb_unreachable();
}

static const char *cell_at(const struct json_doc *d, const char *path, size_t row,
                           const struct column *column, char out[CELL_SIZE_MAX])
{
    AUTO_FREE char *full = xasprintf("%s.%zu.%s", path, row, column->path);

    return table_cell(d, full, column->kind, out);
}

/* Columns before the last are padded; numbers stand to the right. */
static void add_cell(char *line, size_t *size, const char *text, size_t width, bool is_right)
{
    int n =
        snprintf(line + *size, ROW_TEXT_SIZE - *size, is_right ? "%*s" : "%-*s", (int)width, text);

    if (n > 0 && *size + (size_t)n < ROW_TEXT_SIZE)
        *size += (size_t)n;
}

static void print_row(struct output *o, const char *const *cells, const size_t *widths,
                      const struct column *columns, size_t column_count)
{
    char line[ROW_TEXT_SIZE];
    size_t size = 0;

    for (size_t i = 0; i < column_count; i++) {
        bool is_right = columns[i].kind == CELL_NUMBER || columns[i].kind == CELL_SIZE;
        bool is_last = i + 1 == column_count;

        if (i > 0)
            add_cell(line, &size, "  ", 2, false);
        add_cell(line, &size, cells[i], is_last && !is_right ? 0 : widths[i], is_right);
    }
    output_say(o, "%s", line);
}

void table_print(struct output *o, const struct json_doc *d, const char *path,
                 const struct column *columns, size_t column_count)
{
    size_t rows = json_doc_count(d, path), widths[TABLE_COLUMNS_MAX];
    const char *cells[TABLE_COLUMNS_MAX];
    char texts[TABLE_COLUMNS_MAX][CELL_SIZE_MAX];

    alb_assert(column_count <= TABLE_COLUMNS_MAX);
    for (size_t i = 0; i < column_count; i++) {
        cells[i] = columns[i].title;
        widths[i] = strlen(columns[i].title);
        for (size_t row = 0; row < rows; row++) {
            size_t width = strlen(cell_at(d, path, row, &columns[i], texts[i]));
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    print_row(o, cells, widths, columns, column_count);
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < column_count; i++)
            cells[i] = cell_at(d, path, row, &columns[i], texts[i]);
        print_row(o, cells, widths, columns, column_count);
    }
}
