/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites_csv.c – a site directory as a table: a line of column names, then a row a site. */
#include <stdio.h>
#include <strings.h>

#include "wire/policy_table.h"
#include "wire/sites_rows.h"

struct sheet {
    struct sites *sites;
    struct policy_findings *findings;
    size_t columns[TABLE_CELLS_MAX]; /* of ours, by the table's */
    size_t count;
};

/* ---- reading ---- */

static size_t column_named(const char *text)
{
    size_t i = 0;

    while (site_column(i) != NULL && strcasecmp(site_column(i), text) != 0)
        i++;
    return i;
}

static void take_heading(struct sheet *s, const struct table *t, size_t at)
{
    const size_t column = column_named(t->cells[at]);
    const char *wrong = site_column(column) == NULL ? "not known" : NULL;
    char quoted[80];

    for (size_t i = 0; i < s->count; i++)
        if (s->columns[i] == column && wrong == NULL)
            wrong = "there twice";
    if (wrong != NULL)
        policy_findings_add(s->findings, true, "line %u: column \"%s\" is %s", t->line,
                            policy_quoted(t->cells[at], quoted), wrong);
    s->columns[s->count++] = column;
}

/* False when it is no header of ours: then rows mean nothing. */
static bool take_header(struct sheet *s, const struct table *t)
{
    const size_t errors = s->findings->errors;
    bool has_name = false;

    for (size_t i = 0; i < t->count; i++)
        take_heading(s, t, i);
    for (size_t i = 0; i < s->count; i++)
        has_name = has_name || s->columns[i] == 0;
    if (!has_name)
        policy_findings_add(s->findings, true,
                            "line %u: a table of sites begins with a line of column names: name, "
                            "parent, subnets, gateways, reflectors, zone, link, down, up, use, "
                            "latency, load, max_sessions, keep_awake, note",
                            t->line);
    return s->findings->errors == errors;
}

static void take_site(struct sheet *s, const struct table *t)
{
    struct policy_row row;
    struct alb_status st = site_row_begin(&row, s->sites);

    if (alb_failed(st)) {
        policy_findings_add(s->findings, true, "line %u: %s", t->line, st.what);
        return;
    }
    (void)snprintf(row.where, sizeof row.where, "line %u", t->line);
    s->sites->list[s->sites->count - 1].line = t->line;
    for (size_t i = 0; i < t->count; i++) {
        if (t->cells[i][0] == '\0')
            continue;
        if (i < s->count)
            policy_row_take(&row, site_column(s->columns[i]), t->cells[i], s->findings);
        else
            policy_findings_add(s->findings, true, "%s: there are more cells than columns",
                                row.where);
    }
    policy_row_end(&row, s->findings);
}

void sites_table_read(const void *bytes, size_t size, struct sites *s,
                      struct policy_findings *findings)
{
    struct sheet sheet = {.sites = s, .findings = findings};
    struct table t;

    if (alb_failed(table_init(&t, bytes, size, findings)))
        return;
    if (!table_next(&t, findings))
        policy_findings_add(findings, true, "there are no sites in this: neither JSON nor a table");
    else if (take_header(&sheet, &t))
        while (s->count < SITES_MAX && table_next(&t, findings))
            take_site(&sheet, &t);
    if (s->count == SITES_MAX && table_next(&t, findings))
        policy_findings_add(findings, true, "line %u: there are at most 10000 sites", t.line);
    table_release(&t);
}

/* ---- writing ---- */

static struct alb_status put_site(const struct site *site, struct buf *out)
{
    struct alb_status st = ALB_STATUS_OK;
    struct buf text;

    buf_init(&text, SIZE_MAX / 2);
    for (size_t i = 0; i < site_columns.count && !alb_failed(st); i++) {
        buf_clear(&text);
        site_column_write(site, i, &text);
        st = table_put_cell(buf_text(&text), i + 1 == site_columns.count, out);
    }
    buf_release(&text);
    return st;
}

struct alb_status sites_csv_write(const struct sites *s, struct buf *out)
{
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < site_columns.count && !alb_failed(st); i++)
        st = table_put_cell(site_column(i), i + 1 == site_columns.count, out);
    for (size_t i = 0; i < s->count && !alb_failed(st); i++)
        st = put_site(&s->list[i], out);
    return st;
}
