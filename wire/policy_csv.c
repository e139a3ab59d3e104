/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_csv.c – a policy as a table of our own: a row each for rules, sites, calendars and
 * deadlines, and one for the document. */
#include "wire/policy_csv.h"

#include <stdio.h>
#include <strings.h>

#include "base/alloc.h"
#include "wire/policy_cells.h"
#include "wire/policy_table.h"
#include "wire/policy_words.h"

/* All columns of all kinds, in the order in which we write them. */
static const char *const COLUMNS[] = {
    "kind",   "name",    "scope", "direction", "place", "class",   "days",    "hours",     "on",
    "except", "mode",    "rate",  "ceiling",   "floor", "percent", "profile", "max_queue", "zone",
    "link",   "subnets", "dates", "layer",     "site",  "by",      "note"};
enum { COLUMN_COUNT = ALB_COUNT(COLUMNS) };

/* ---- reading ---- */

struct sheet {
    struct policy_doc *doc;
    struct policy_findings *findings;
    const char *names[TABLE_CELLS_MAX]; /* of the table's columns */
    size_t count, kind_at;
};

static const char *known_column(const char *text)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (strcasecmp(COLUMNS[i], text) == 0)
            return COLUMNS[i];
    return NULL;
}

static bool has_name(const struct sheet *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->names[i] == name)
            return true;
    return false;
}

static void report_column(const struct sheet *s, const struct table *t, const char *text,
                          bool is_known)
{
    char quoted[80];
    struct buf wrong;

    buf_init(&wrong, SIZE_MAX / 2);
    words_printf(&wrong, is_known ? "there twice" : "not known; there are ");
    for (size_t i = 0; i < COLUMN_COUNT && !is_known; i++)
        words_printf(&wrong, "%s%s", i == 0 ? "" : ", ", COLUMNS[i]);
    policy_findings_add(s->findings, true, "line %u: column \"%s\" is %s", t->line,
                        policy_quoted(text, quoted), buf_text(&wrong));
    buf_release(&wrong);
}

/* False when it is no header of ours. */
static bool take_header(struct sheet *s, const struct table *t)
{
    bool has_kind = false;

    for (size_t i = 0; i < t->count; i++) {
        const char *name = known_column(t->cells[i]);

        if (name == NULL || has_name(s, name)) {
            report_column(s, t, t->cells[i], name != NULL);
            return false;
        }
        if (name == COLUMNS[0]) {
            s->kind_at = i;
            has_kind = true;
        }
        s->names[s->count++] = name;
    }
    if (!has_kind)
        policy_findings_add(s->findings, true,
                            "line %u: a table begins with a line of column names: kind (rule, "
                            "site, calendar, deadline, policy), name, scope, mode and so on; or "
                            "Mirage's SubnetMaskV4,Site,Download Limit,Upload Limit,...",
                            t->line);
    return has_kind;
}

/* The row that says the document's zone. */
static void take_policy(struct sheet *s, const struct table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        struct alb_status st;

        if (i == s->kind_at || t->cells[i][0] == '\0')
            continue;
        if (i >= s->count || strcmp(s->names[i], "zone") != 0)
            st = alb_fail(ALB_INVALID, "a row of kind policy has a zone only");
        else
            st = zone_name_check(t->cells[i]);
        if (alb_failed(st))
            policy_findings_add(s->findings, true, "line %u: %s", t->line, st.what);
        else
            memcpy(s->doc->zone, t->cells[i], strlen(t->cells[i]) + 1);
    }
}

static void set_line(struct policy_row *r, uint32_t line)
{
    switch (r->kind) {
    case POLICY_KIND_RULE: ((struct policy_rule *)r->item)->line = line; break;
    case POLICY_KIND_SITE: ((struct policy_site *)r->item)->line = line; break;
    case POLICY_KIND_CALENDAR: ((struct policy_calendar *)r->item)->line = line; break;
    case POLICY_KIND_DEADLINE: ((struct policy_deadline *)r->item)->line = line; break;
    case POLICY_KIND_OVERRIDE:
    case POLICY_KIND_BRANCH: break;
    }
}

static void take_item(struct sheet *s, const struct table *t, enum policy_kind kind)
{
    struct policy_row row;
    struct alb_status st = policy_row_begin(&row, kind, s->doc);

    if (alb_failed(st)) {
        policy_findings_add(s->findings, true, "line %u: %s", t->line, st.what);
        return;
    }
    (void)snprintf(row.where, sizeof row.where, "line %u", t->line);
    set_line(&row, t->line);
    for (size_t i = 0; i < t->count; i++) {
        if (i == s->kind_at || t->cells[i][0] == '\0')
            continue;
        if (i < s->count)
            policy_row_take(&row, s->names[i], t->cells[i], s->findings);
        else
            policy_findings_add(s->findings, true, "line %u: there are more cells than columns",
                                t->line);
    }
    policy_row_end(&row, s->findings);
}

/* The kind in words; POLICY_DOC_KINDS for the document's own row, -1 for none. */
static int kind_of(const struct sheet *s, const struct table *t)
{
    const char *word = s->kind_at < t->count ? t->cells[s->kind_at] : "";

    if (strcmp(word, "policy") == 0)
        return POLICY_DOC_KINDS;
    for (int kind = 0; kind < POLICY_DOC_KINDS; kind++)
        if (strcmp(policy_columns_of((enum policy_kind)kind)->word, word) == 0)
            return kind;
    return -1;
}

/* Calendars in a first pass, so that rules before them can name them; the others in a second, where
 * what is wrong with the table itself was said already (`broken`). */
static void take_rows(struct sheet *s, struct table *t, bool calendars,
                      struct policy_findings *broken)
{
    char quoted[80];

    while (table_next(t, broken)) {
        int kind = kind_of(s, t);

        if (calendars != (kind == POLICY_KIND_CALENDAR))
            continue;
        if (kind == POLICY_DOC_KINDS)
            take_policy(s, t);
        else if (kind >= 0)
            take_item(s, t, (enum policy_kind)kind);
        else
            policy_findings_add(
                s->findings, true,
                "line %u: kind \"%s\" is none of rule, site, calendar, deadline, "
                "policy",
                t->line, policy_quoted(s->kind_at < t->count ? t->cells[s->kind_at] : "", quoted));
    }
}

static void read_ours(struct table *t, const void *bytes, size_t size, struct policy_doc *d,
                      struct policy_findings *findings)
{
    struct sheet s = {.doc = d, .findings = findings};
    struct policy_findings ignored;
    struct table again;

    if (!take_header(&s, t))
        return;
    policy_findings_init(&ignored);
    take_rows(&s, t, true, findings);
    if (!alb_failed(table_init(&again, bytes, size, &ignored))) {
        (void)table_next(&again, &ignored);
        take_rows(&s, &again, false, &ignored);
        table_release(&again);
    }
    policy_findings_release(&ignored);
}

void policy_table_read(const void *bytes, size_t size, struct policy_doc *d,
                       struct policy_findings *findings)
{
    struct table t;

    if (alb_failed(table_init(&t, bytes, size, findings)))
        return;
    if (!table_next(&t, findings))
        policy_findings_add(findings, true,
                            "there is nothing in this policy: neither JSON nor "
                            "a table");
    else if (strcasecmp(t.cells[0], "SubnetMaskV4") == 0)
        policy_mirage_read(&t, d, findings);
    else
        read_ours(&t, bytes, size, d, findings);
    table_release(&t);
}

struct alb_status policy_csv_read(const void *bytes, size_t size, const char *zone,
                                  struct policy_findings *findings, struct policy_doc **out)
{
    struct policy_doc *d;

    if (size > POLICY_BYTES_MAX)
        return alb_fail(ALB_INVALID, "a table of rules is larger than 1 MiB");
    d = policy_doc_new();
    if (zone[0] != '\0' && strlen(zone) < sizeof d->zone)
        memcpy(d->zone, zone, strlen(zone) + 1);
    policy_table_read(bytes, size, d, findings);
    if (findings->errors == 0) {
        *out = d;
        return ALB_STATUS_OK;
    }
    (void)policy_doc_free(d);
    return alb_fail(ALB_INVALID, "the table has errors; each is among the findings");
}

/* ---- writing ---- */

static bool needs_quotes(const char *text)
{
    return text[strcspn(text, ",;\"\n\r\t")] != '\0' || text[0] == '#';
}

struct alb_status table_put_cell(const char *text, bool last, struct buf *out)
{
    struct alb_status st = ALB_STATUS_OK;
    bool quoted = needs_quotes(text);

    if (quoted)
        st = buf_append(out, "\"", 1);
    for (const char *at = text; *at != '\0' && !alb_failed(st); at++)
        st = buf_append(out, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
    if (!alb_failed(st) && quoted)
        st = buf_append(out, "\"", 1);
    return alb_failed(st) ? st : buf_append(out, last ? "\n" : ",", 1);
}

/* The text of a kind's column of this name; "" when it has none. */
static void column_text(const char *name, enum policy_kind kind, const struct policy_doc *d,
                        const void *item, struct buf *text)
{
    const struct policy_columns *columns = policy_columns_of(kind);

    buf_clear(text);
    if (strcmp(name, "kind") == 0)
        words_printf(text, "%s", columns->word);
    for (size_t i = 0; i < columns->count; i++)
        if (strcmp(columns->list[i].name, name) == 0)
            policy_column_write(&columns->list[i], d, item, text);
}

static struct alb_status put_item(const struct policy_doc *d, enum policy_kind kind,
                                  const void *item, struct buf *out)
{
    struct alb_status st = ALB_STATUS_OK;
    struct buf text;

    buf_init(&text, SIZE_MAX / 2);
    for (size_t i = 0; i < COLUMN_COUNT && !alb_failed(st); i++) {
        column_text(COLUMNS[i], kind, d, item, &text);
        st = table_put_cell(buf_text(&text), i + 1 == COLUMN_COUNT, out);
    }
    buf_release(&text);
    return st;
}

/* The header, and the document's own row. */
static struct alb_status put_head(const struct policy_doc *d, struct buf *out)
{
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < COLUMN_COUNT && !alb_failed(st); i++)
        st = table_put_cell(COLUMNS[i], i + 1 == COLUMN_COUNT, out);
    for (size_t i = 0; i < COLUMN_COUNT && !alb_failed(st); i++) {
        const char *text = i == 0 ? "policy" : strcmp(COLUMNS[i], "zone") == 0 ? d->zone : "";

        st = table_put_cell(text, i + 1 == COLUMN_COUNT, out);
    }
    return st;
}

struct alb_status policy_csv_write(const struct policy_doc *d, struct buf *out)
{
    static const enum policy_kind ORDER[POLICY_DOC_KINDS] = {
        POLICY_KIND_CALENDAR, POLICY_KIND_SITE, POLICY_KIND_RULE, POLICY_KIND_DEADLINE};
    struct alb_status st = put_head(d, out);

    for (size_t k = 0; k < POLICY_DOC_KINDS; k++)
        for (size_t i = 0; i < policy_doc_count(d, ORDER[k]) && !alb_failed(st); i++)
            st = put_item(d, ORDER[k], policy_doc_item(d, ORDER[k], i), out);
    return st;
}
