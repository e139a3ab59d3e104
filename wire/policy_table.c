/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_table.c – comma-separated values, cut into cells in place. */
#include "wire/policy_table.h"

#include "base/alloc.h"
#include "wire/policy_rows.h"

/* What separates cells is what the header uses. */
static char separator(const char *text)
{
    size_t first = strcspn(text, ",;\t\n");

    if (text[first] == ';' || text[first] == '\t')
        return text[first];
    return ',';
}

struct alb_status table_init(struct table *t, const void *bytes, size_t size,
                             struct policy_findings *findings)
{
    static const char MARK[] = "\xef\xbb\xbf";
    const char *text = bytes;

    *t = (struct table){.next_line = 1};
    if (memchr(bytes, '\0', size) != NULL) {
        policy_findings_add(findings, true, "this is neither JSON nor a table: it has zero bytes");
        return alb_fail(ALB_INVALID, "a policy is text");
    }
    if (size >= 3 && memcmp(text, MARK, 3) == 0) {
        text += 3;
        size -= 3;
    }
    t->text = xstrndup(text, size);
    t->at = t->text;
    t->between = separator(t->text);
    return ALB_STATUS_OK;
}

void table_release(struct table *t)
{
    free(t->text);
    *t = (struct table){0};
}

static bool is_end(char c)
{
    return c == '\0' || c == '\n';
}

static char *trimmed(char *cell)
{
    size_t size;

    cell += strspn(cell, " \t\r");
    size = strlen(cell);
    while (size > 0 && strchr(" \t\r", cell[size - 1]) != NULL)
        size--;
    cell[size] = '\0';
    return cell;
}

/* A quoted cell, with doubled quotes made single; t->at ends behind the last quote. */
static char *take_quoted(struct table *t)
{
    char *cell = ++t->at, *to = cell;

    while (*t->at != '\0' && (*t->at != '"' || t->at[1] == '"')) {
        if (*t->at == '"')
            t->at++;
        if (*t->at == '\n')
            t->next_line++;
        *to++ = *t->at++;
    }
    if (*t->at == '\0')
        t->is_broken = true;
    else
        t->at++;
    t->at += strspn(t->at, " \r");
    if (!is_end(*t->at) && *t->at != t->between)
        t->is_broken = true;
    if (to < t->at) /* else it is broken, and ends with the text */
        *to = '\0';
    return cell;
}

static char *take_plain(struct table *t)
{
    char *cell = t->at;

    while (!is_end(*t->at) && *t->at != t->between)
        t->at++;
    return cell;
}

/* Cuts one cell off; false when it was the row's last. */
static bool take_cell(struct table *t, char **out)
{
    char *cell, end;

    t->at += strspn(t->at, t->between == '\t' ? " " : " \t");
    cell = *t->at == '"' ? take_quoted(t) : take_plain(t);
    while (t->is_broken && !is_end(*t->at)) /* the rest of its line is not read */
        t->at++;
    end = *t->at;
    *t->at = '\0';
    if (end != '\0')
        t->at++;
    if (end == '\n')
        t->next_line++;
    *out = trimmed(cell);
    return end == t->between && end != '\0';
}

static void take_row(struct table *t)
{
    bool more = true;

    t->line = t->next_line;
    t->count = 0;
    t->is_broken = false;
    while (more) {
        char *cell;

        more = take_cell(t, &cell);
        if (t->count < TABLE_CELLS_MAX)
            t->cells[t->count++] = cell;
        else
            t->is_broken = true;
    }
}

static bool is_blank(const struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->cells[i][0] != '\0')
            return t->cells[0][0] == '#';
    return true;
}

bool table_next(struct table *t, struct policy_findings *findings)
{
    while (*t->at != '\0') {
        take_row(t);
        if (t->is_broken)
            policy_findings_add(findings, true,
                                "line %u: a quote that is not closed, text behind one, or more "
                                "than %d cells",
                                t->line, TABLE_CELLS_MAX);
        else if (!is_blank(t))
            return true;
    }
    return false;
}
