/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_json.c – a policy and a list of overrides as JSON: arrays of rows whose members are
 * the columns. */
#include "wire/policy_json.h"

#include <stdio.h>

#include "base/alloc.h"
#include "wire/policy_cells.h"
#include "wire/policy_table.h"
#include "wire/policy_words.h"

/* In which kinds are read: rules name calendars. */
static const enum policy_kind ORDER[POLICY_DOC_KINDS] = {POLICY_KIND_CALENDAR, POLICY_KIND_SITE,
                                                         POLICY_KIND_RULE, POLICY_KIND_DEADLINE};

#define REFUSED_WHOLE "the policy has errors; each is among the findings"

/* ---- reading ---- */

/* The text of a value: a text itself, a whole number, or texts joined by blanks; false for others.
 */
static bool value_text(const json_t *value, struct buf *out)
{
    buf_clear(out);
    if (json_is_integer(value)) {
        words_printf(out, "%lld", (long long)json_integer_value(value));
        return true;
    }
    if (json_is_string(value))
        return !alb_failed(buf_append(out, json_string_value(value), json_string_length(value)));
    if (!json_is_array(value))
        return false;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *part = json_array_get(value, i);

        if (!json_is_string(part) || (i > 0 && alb_failed(buf_append(out, " ", 1))) ||
            alb_failed(buf_append(out, json_string_value(part), json_string_length(part))))
            return false;
    }
    return true;
}

static void take_member(struct policy_row *r, const char *name, const json_t *value,
                        struct policy_findings *findings)
{
    struct buf text;
    char quoted[80];

    buf_init(&text, POLICY_BYTES_MAX);
    if (value_text(value, &text))
        policy_row_take(r, name, buf_text(&text), findings);
    else
        policy_findings_add(findings, true,
                            "%s: \"%s\" is neither a text, a whole number nor a "
                            "list of texts",
                            r->where, policy_quoted(name, quoted));
    buf_release(&text);
}

void policy_json_take_row(struct policy_row *r, const json_t *object,
                          struct policy_findings *findings)
{
    const char *label = r->kind == POLICY_KIND_OVERRIDE ? "id" : "name";
    const json_t *first = json_object_get(object, label);
    const json_t *value;
    const char *name;

    if (!json_is_object(object)) {
        policy_findings_add(findings, true, "%s is no object {...}", r->where);
        r->is_wrong = true;
        r->seen = UINT32_MAX; /* nothing more is said of it */
        policy_row_end(r, findings);
        return;
    }
    if (first != NULL)
        take_member(r, label, first, findings);
    json_object_foreach((json_t *)(uintptr_t)object, name, value) if (strcmp(name, label) != 0)
        take_member(r, name, value, findings);
    policy_row_end(r, findings);
}

static void take_rows(struct policy_doc *d, enum policy_kind kind, const json_t *rows,
                      struct policy_findings *findings)
{
    const char *plural = policy_columns_of(kind)->plural;

    if (rows == NULL)
        return;
    if (!json_is_array(rows)) {
        policy_findings_add(findings, true, "\"%s\" is no list [...]", plural);
        return;
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        struct policy_row row;
        struct alb_status st = policy_row_begin(&row, kind, d);

        if (alb_failed(st)) {
            policy_findings_add(findings, true, "\"%s\": %s; there are %zu", plural, st.what,
                                json_array_size(rows));
            return;
        }
        policy_json_take_row(&row, json_array_get(rows, i), findings);
    }
}

static bool is_top_member(const char *name)
{
    if (strcmp(name, "format") == 0 || strcmp(name, "zone") == 0)
        return true;
    for (size_t i = 0; i < POLICY_DOC_KINDS; i++)
        if (strcmp(name, policy_columns_of(ORDER[i])->plural) == 0)
            return true;
    return false;
}

static void take_format(const json_t *top, struct policy_findings *findings)
{
    const json_t *format = json_object_get(top, "format");

    if (!json_is_integer(format) || json_integer_value(format) != POLICY_FORMAT)
        policy_findings_add(findings, true, "\"format\" must be %d, the one this program knows",
                            POLICY_FORMAT);
}

static void take_zone(struct policy_doc *d, const json_t *top, struct policy_findings *findings)
{
    const json_t *zone = json_object_get(top, "zone");
    struct alb_status st;

    if (zone == NULL)
        return;
    st = json_is_string(zone) ? zone_name_check(json_string_value(zone))
                              : alb_fail(ALB_INVALID, "a zone is a text, as in \"Europe/Oslo\"");
    if (alb_failed(st))
        policy_findings_add(findings, true, "\"zone\": %s", st.what);
    else
        memcpy(d->zone, json_string_value(zone), json_string_length(zone) + 1);
}

static void take_document(struct policy_doc *d, const json_t *top, struct policy_findings *findings)
{
    const json_t *value;
    const char *name;
    char quoted[80];

    take_format(top, findings);
    take_zone(d, top, findings);
    json_object_foreach((json_t *)(uintptr_t)top, name, value) if (!is_top_member(name))
        policy_findings_add(findings, true,
                            "a policy has no \"%s\"; it has format, zone, calendars, sites, "
                            "rules, deadlines",
                            policy_quoted(name, quoted));
    for (size_t i = 0; i < POLICY_DOC_KINDS; i++)
        take_rows(d, ORDER[i], json_object_get(top, policy_columns_of(ORDER[i])->plural), findings);
}

json_t *policy_json_load(const void *bytes, size_t size, struct policy_findings *findings)
{
    json_error_t error;
    json_t *top = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
    char quoted[80];

    if (top == NULL) {
        policy_findings_add(findings, true, "line %d, column %d: this is no JSON: %s", error.line,
                            error.column, policy_quoted(error.text, quoted));
        return NULL;
    }
    if (json_is_object(top))
        return top;
    policy_findings_add(findings, true, "this is no JSON object {...}");
    json_decref(top);
    return NULL;
}

static void read_json(const void *bytes, size_t size, struct policy_findings *findings,
                      struct policy_doc *d)
{
    json_t *top = policy_json_load(bytes, size, findings);

    if (top == NULL)
        return;
    take_document(d, top, findings);
    json_decref(top);
}

const char *policy_text_begin(const void *bytes, size_t *size)
{
    static const char UTF8_MARK[] = "\xef\xbb\xbf";
    const size_t mark = sizeof UTF8_MARK - 1;

    if (*size < mark || memcmp(bytes, UTF8_MARK, mark) != 0)
        return bytes;
    *size -= mark;
    return (const char *)bytes + mark;
}

bool policy_json_begins(const char *text, size_t size)
{
    size_t at = 0;

    while (at < size && strchr(" \t\r\n", text[at]) != NULL && text[at] != '\0')
        at++;
    return at < size && (text[at] == '{' || text[at] == '[');
}

struct alb_status policy_doc_decode(const void *bytes, size_t size, policy_zone_fn is_zone,
                                    void *arg, struct policy_findings *findings,
                                    struct policy_doc **out)
{
    struct policy_doc *d;

    if (size > POLICY_BYTES_MAX) {
        policy_findings_add(findings, true, "a policy is at most %d bytes; this has %zu",
                            (int)POLICY_BYTES_MAX, size);
        return alb_fail(ALB_INVALID, REFUSED_WHOLE);
    }
    bytes = policy_text_begin(bytes, &size);
    d = policy_doc_new();
    if (policy_json_begins(bytes, size))
        read_json(bytes, size, findings, d);
    else
        policy_table_read(bytes, size, d, findings);
    policy_doc_check(d, is_zone, arg, findings);
    if (findings->errors > 0) {
        (void)policy_doc_free(d);
        return alb_fail(ALB_INVALID, REFUSED_WHOLE);
    }
    *out = d;
    return ALB_STATUS_OK;
}

/* ---- writing ---- */

static json_t *list_value(char *text)
{
    json_t *list = json_array();
    char *word;

    while ((word = strsep(&text, " ")) != NULL)
        (void)json_array_append_new(list, json_string(word));
    return list;
}

json_t *policy_json_row(const struct policy_columns *columns, const struct policy_doc *d,
                        const void *item)
{
    json_t *object = json_object();
    struct buf text;

    buf_init(&text, SIZE_MAX / 2);
    for (size_t i = 0; i < columns->count; i++) {
        const struct policy_column *c = &columns->list[i];
        json_t *value;

        buf_clear(&text);
        policy_column_write(c, d, item, &text);
        if (buf_size(&text) == 0)
            continue;
        (void)buf_text(&text);
        if (c->is_list)
            value = list_value((char *)(text.bytes + text.head));
        else if (c->is_number)
            value = json_integer(strtoll(buf_text(&text), NULL, 10));
        else
            value = json_string(buf_text(&text));
        (void)json_object_set_new(object, c->name, value);
    }
    buf_release(&text);
    return object;
}

static json_t *rows_array(const struct policy_doc *d, enum policy_kind kind)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < policy_doc_count(d, kind); i++)
        (void)json_array_append_new(
            rows, policy_json_row(policy_columns_of(kind), d, policy_doc_item(d, kind, i)));
    return rows;
}

struct dumped {
    struct buf *out;
    size_t size;
};

static int append_part(const char *text, size_t size, void *arg)
{
    struct dumped *to = arg;

    to->size += size;
    return to->size > POLICY_BYTES_MAX || alb_failed(buf_append(to->out, text, size)) ? -1 : 0;
}

/* Takes the document. */
static struct alb_status dump(json_t *top, struct buf *out)
{
    struct dumped to = {.out = out};
    int rc = json_dump_callback(top, append_part, &to, JSON_COMPACT);

    json_decref(top);
    if (rc != 0)
        return alb_fail(ALB_FULL, "the policy is larger than 1 MiB, written out");
    return ALB_STATUS_OK;
}

struct alb_status policy_doc_encode(const struct policy_doc *d, struct buf *out)
{
    json_t *top = json_object();

    (void)json_object_set_new(top, "format", json_integer(POLICY_FORMAT));
    (void)json_object_set_new(top, "zone", json_string(d->zone));
    for (size_t i = 0; i < POLICY_DOC_KINDS; i++)
        if (policy_doc_count(d, ORDER[i]) > 0)
            (void)json_object_set_new(top, policy_columns_of(ORDER[i])->plural,
                                      rows_array(d, ORDER[i]));
    return dump(top, out);
}

/* ---- overrides ---- */

static void check_override(const struct policy_overrides *o, size_t index,
                           struct policy_findings *findings)
{
    const struct policy_override *mine = &o->list[index];

    if (mine->until_s <= mine->since_s)
        policy_findings_add(findings, true, "override %zu (%s): it ends before it begins",
                            index + 1, mine->id);
    for (size_t i = 0; i < index; i++)
        if (strcmp(o->list[i].id, mine->id) == 0)
            policy_findings_add(findings, true, "override %zu (%s): override %zu has the same id",
                                index + 1, mine->id, i + 1);
}

static void take_overrides(struct policy_overrides *o, const json_t *top,
                           struct policy_findings *findings)
{
    const json_t *rows = json_object_get(top, "overrides");

    take_format(top, findings);
    if (!json_is_array(rows) || json_array_size(rows) > POLICY_OVERRIDES_MAX) {
        policy_findings_add(findings, true, "\"overrides\" is no list of at most %d",
                            POLICY_OVERRIDES_MAX);
        return;
    }
    for (; o->count < json_array_size(rows); o->count++) {
        struct policy_row row;

        policy_row_begin_override(&row, &o->list[o->count], o->count);
        policy_json_take_row(&row, json_array_get(rows, o->count), findings);
        check_override(o, o->count, findings);
    }
}

struct alb_status policy_overrides_decode(const void *bytes, size_t size,
                                          struct policy_findings *findings,
                                          struct policy_overrides *out)
{
    AUTO_FREE struct policy_overrides *o = xalloc(sizeof *o);
    json_t *top;

    if (size > POLICY_BYTES_MAX)
        return alb_fail(ALB_INVALID, "a list of overrides is larger than 1 MiB");
    top = policy_json_load(bytes, size, findings);
    if (top != NULL)
        take_overrides(o, top, findings);
    json_decref(top);
    if (findings->errors > 0)
        return alb_fail(ALB_INVALID, "the list of overrides has errors; each is among the "
                                     "findings");
    *out = *o;
    return ALB_STATUS_OK;
}

struct alb_status policy_overrides_encode(const struct policy_overrides *o, struct buf *out)
{
    json_t *top = json_object();
    json_t *rows = json_array();

    (void)json_object_set_new(top, "format", json_integer(POLICY_FORMAT));
    for (size_t i = 0; i < o->count; i++)
        (void)json_array_append_new(
            rows, policy_json_row(policy_columns_of(POLICY_KIND_OVERRIDE), NULL, &o->list[i]));
    (void)json_object_set_new(top, "overrides", rows);
    return dump(top, out);
}
