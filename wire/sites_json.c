/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites_json.c – a site directory as JSON, a line a site. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "wire/policy_json.h"
#include "wire/policy_words.h"
#include "wire/sites_rows.h"

#define REFUSED_WHOLE "the site directory has errors; each is among the findings"

/* ---- where in the text each site begins ---- */

/* A walk over text that is JSON: jansson keeps no lines of what it has read. */
struct walk {
    const char *at, *end;
    uint32_t line;
    unsigned depth;
    const char *word; /* the last text of the top object: the name of what follows */
    size_t word_size;
    bool is_sites;  /* in the list */
    bool is_before; /* one of its elements */
    uint32_t *lines;
    size_t count;
};

static void walk_text(struct walk *w)
{
    const char *from = ++w->at;

    while (w->at < w->end && *w->at != '"')
        w->at += *w->at == '\\' ? 2 : 1;
    if (w->depth == 1 && w->at <= w->end) {
        w->word = from;
        w->word_size = (size_t)(w->at - from);
    }
}

static void walk_one(struct walk *w)
{
    const char c = *w->at;

    if (w->is_sites && w->is_before && strchr(" \t\r\n]", c) == NULL) {
        if (w->count < SITES_MAX)
            w->lines[w->count++] = w->line;
        w->is_before = false;
    }
    if (c == '\n')
        w->line++;
    if (c == '[' && w->depth == 1) {
        w->is_sites = w->word_size == 5 && memcmp(w->word, "sites", 5) == 0;
        w->is_before = w->is_sites;
    }
    if (c == ',' && w->depth == 2)
        w->is_before = w->is_sites;
    if (c == '{' || c == '[')
        w->depth++;
    if (c == '}' || c == ']')
        w->depth--;
    if (w->depth == 1)
        w->is_sites = false;
    if (c == '"')
        walk_text(w);
    w->at++;
}

/* The line of each, the caller's; NULL when all is on one. */
static uint32_t *lines_of(const char *text, size_t size, size_t *count)
{
    struct walk w = {.at = text, .end = text + size, .line = 1};

    w.lines = xcalloc(SITES_MAX, sizeof *w.lines);
    while (w.at < w.end)
        walk_one(&w);
    *count = w.count;
    if (w.line > 1)
        return w.lines;
    free(w.lines);
    return NULL;
}

/* ---- reading ---- */

static void take_number(struct sites *s, const json_t *top, struct policy_findings *findings)
{
    const json_t *number = json_object_get(top, "number");

    if (number == NULL)
        return;
    if (!json_is_integer(number) || json_integer_value(number) < 0)
        policy_findings_add(findings, true, "\"number\" is no number of a directory");
    else
        s->number = (uint64_t)json_integer_value(number);
}

static void take_list(struct sites *s, const json_t *list, const uint32_t *lines, size_t line_count,
                      struct policy_findings *findings)
{
    if (!json_is_array(list)) {
        policy_findings_add(findings, true, "\"sites\" is missing, or no list [...]");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct policy_row row;
        struct alb_status st = site_row_begin(&row, s);

        if (alb_failed(st)) {
            policy_findings_add(findings, true, "%s; this has %zu", st.what, json_array_size(list));
            return;
        }
        if (lines != NULL && i < line_count) {
            (void)snprintf(row.where, sizeof row.where, "line %u", lines[i]);
            s->list[i].line = lines[i];
        }
        policy_json_take_row(&row, json_array_get(list, i), findings);
    }
}

static void take_top(struct sites *s, const json_t *top, const char *text, size_t size,
                     struct policy_findings *findings)
{
    const json_t *format = json_object_get(top, "format");
    AUTO_FREE uint32_t *lines = NULL;
    const json_t *value;
    const char *name;
    size_t count = 0;
    char quoted[80];

    if (!json_is_integer(format) || json_integer_value(format) != SITES_FORMAT)
        policy_findings_add(findings, true, "\"format\" must be %d, the one this program knows",
                            SITES_FORMAT);
    json_object_foreach((json_t *)(uintptr_t)top, name, value) if (strcmp(name, "format") != 0 &&
                                                                   strcmp(name, "number") != 0 &&
                                                                   strcmp(name, "sites") != 0)
        policy_findings_add(findings, true,
                            "a site directory has no \"%s\"; it has format, number, sites",
                            policy_quoted(name, quoted));
    take_number(s, top, findings);
    lines = lines_of(text, size, &count);
    take_list(s, json_object_get(top, "sites"), lines, count, findings);
}

static void read_json(const char *text, size_t size, struct sites *s,
                      struct policy_findings *findings)
{
    json_t *top = policy_json_load(text, size, findings);

    if (top == NULL)
        return;
    take_top(s, top, text, size, findings);
    json_decref(top);
}

struct alb_status sites_decode(const void *bytes, size_t size, policy_zone_fn is_zone, void *arg,
                               struct policy_findings *findings, struct sites **out)
{
    const char *text;
    struct sites *s;

    if (size > SITES_BYTES_MAX) {
        policy_findings_add(findings, true, "a site directory is at most %d bytes; this has %zu",
                            (int)SITES_BYTES_MAX, size);
        return alb_fail(ALB_INVALID, REFUSED_WHOLE);
    }
    text = policy_text_begin(bytes, &size);
    s = sites_new();
    if (policy_json_begins(text, size))
        read_json(text, size, s, findings);
    else
        sites_table_read(text, size, s, findings);
    sites_check(s, is_zone, arg, findings);
    if (findings->errors > 0) {
        s = sites_free(s);
        return alb_fail(ALB_INVALID, REFUSED_WHOLE);
    }
    *out = s;
    return ALB_STATUS_OK;
}

/* ---- writing ---- */

static struct alb_status put_site(const struct site *site, struct buf *out)
{
    json_t *object = policy_json_row(&site_columns, NULL, site);
    char *text = json_dumps(object, JSON_COMPACT);
    struct alb_status st = buf_append(out, text, strlen(text));

    free(text);
    json_decref(object);
    return st;
}

struct alb_status sites_encode(const struct sites *s, struct buf *out)
{
    struct alb_status st = ALB_STATUS_OK;
    struct buf text;

    buf_init(&text, SITES_BYTES_MAX);
    words_printf(&text, "{\"format\":%d", SITES_FORMAT);
    if (s->number > 0)
        words_printf(&text, ",\"number\":%" PRIu64, s->number);
    words_printf(&text, ",\"sites\":[");
    for (size_t i = 0; i < s->count && !alb_failed(st); i++) {
        st = buf_append(&text, i == 0 ? "\n" : ",\n", i == 0 ? 1 : 2);
        if (!alb_failed(st))
            st = put_site(&s->list[i], &text);
    }
    if (!alb_failed(st))
        st = buf_append(&text, "\n]}\n", 4);
    if (!alb_failed(st))
        st = buf_append(out, buf_peek(&text), buf_size(&text));
    buf_release(&text);
    if (st.code == ALB_FULL)
        st.what = "the site directory is over 8 MiB, written out: shorten its notes";
    return st;
}
