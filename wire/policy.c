/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy.c – a policy document and its findings in memory; its words. */
#include "wire/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/policy_rows.h"

enum { FINDINGS_MOST = 200 };

/* ---- the document ---- */

struct policy_doc *policy_doc_new(void)
{
    struct policy_doc *d = xalloc(sizeof *d);

    memcpy(d->zone, "UTC", sizeof "UTC");
    return d;
}

struct policy_doc *policy_doc_free(struct policy_doc *d)
{
    if (d == NULL)
        return NULL;
    for (size_t i = 0; i < d->calendar_count; i++)
        free(d->calendars[i].dates);
    free(d->rules);
    free(d->sites);
    free(d->subnets);
    free(d->calendars);
    free(d->deadlines);
    free(d);
    return NULL;
}

static int compare_sites(const void *a, const void *b)
{
    return strcmp((*(const struct policy_site *const *)a)->name,
                  (*(const struct policy_site *const *)b)->name);
}

const struct policy_site **policy_doc_sites(const struct policy_doc *d)
{
    const struct policy_site **sites = xcalloc(d->site_count + 1, sizeof *sites);

    for (size_t i = 0; i < d->site_count; i++)
        sites[i] = &d->sites[i];
    qsort(sites, d->site_count, sizeof *sites, compare_sites);
    return sites;
}

static int compare_name(const void *key, const void *item)
{
    return strcmp(key, (*(const struct policy_site *const *)item)->name);
}

const struct policy_site *policy_site_named(const struct policy_site *const *sites, size_t count,
                                            const char *name)
{
    const struct policy_site *const *found =
        bsearch(name, sites, count, sizeof *sites, compare_name);

    return found == NULL ? NULL : *found;
}

size_t policy_doc_count(const struct policy_doc *d, enum policy_kind kind)
{
    switch (kind) {
    case POLICY_KIND_RULE: return d->rule_count;
    case POLICY_KIND_SITE: return d->site_count;
    case POLICY_KIND_CALENDAR: return d->calendar_count;
    case POLICY_KIND_DEADLINE: return d->deadline_count;
    case POLICY_KIND_OVERRIDE:
    case POLICY_KIND_BRANCH: return 0;
    }
    alb_unreachable();
}

const void *policy_doc_item(const struct policy_doc *d, enum policy_kind kind, size_t index)
{
    switch (kind) {
    case POLICY_KIND_RULE: return &d->rules[index];
    case POLICY_KIND_SITE: return &d->sites[index];
    case POLICY_KIND_CALENDAR: return &d->calendars[index];
    case POLICY_KIND_DEADLINE: return &d->deadlines[index];
    case POLICY_KIND_OVERRIDE:
    case POLICY_KIND_BRANCH: return NULL;
    }
    alb_unreachable();
}

static bool has_day(const struct policy_calendar *c, int32_t day)
{
    size_t low = 0, high = c->date_count;

    while (low < high) { /* the first that does not end before the day */
        size_t middle = low + (high - low) / 2;

        if (c->dates[middle].last_day < day)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->date_count && c->dates[low].first_day <= day;
}

bool policy_day_is_on(const struct policy_doc *d, uint64_t calendars, int32_t day)
{
    for (size_t i = 0; i < d->calendar_count && calendars >> i != 0; i++)
        if ((calendars >> i & 1) != 0 && has_day(&d->calendars[i], day))
            return true;
    return false;
}

/* ---- findings ---- */

void policy_findings_init(struct policy_findings *f)
{
    *f = (struct policy_findings){0};
}

void policy_findings_release(struct policy_findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->list[i].text);
    free(f->list);
    *f = (struct policy_findings){0};
}

const char *policy_findings_first(const struct policy_findings *f, const char *otherwise)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].is_error)
            return f->list[i].text;
    return otherwise;
}

bool policy_findings_have(const struct policy_findings *f, const char *text)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->list[i].text, text) == 0)
            return true;
    return false;
}

void policy_findings_add(struct policy_findings *f, bool is_error, const char *format, ...)
{
    char text[1024];
    va_list args;

    if (is_error)
        f->errors++;
    else
        f->warnings++;
    if (f->count == FINDINGS_MOST)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (f->list == NULL)
        f->list = xcalloc(FINDINGS_MOST, sizeof *f->list);
    f->list[f->count++] = (struct policy_finding){is_error, xstrdup(text)};
}

const char *policy_quoted(const char *text, char out[80])
{
    size_t size = strlen(text);
    size_t most = size < 60 ? size : 60;

    for (size_t i = 0; i < most; i++) {
        out[i] = text[i];
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            out[i] = '?';
    }
    /* Not in the middle of a character of UTF-8. */
    while (most > 0 && most < size && ((unsigned char)text[most] & 0xc0) == 0x80)
        most--;
    memcpy(out + most, size > most ? "..." : "", size > most ? 4 : 1);
    return out;
}

/* ---- words ---- */

const char *policy_what_word(enum policy_what what)
{
    static const char *const WORDS[] = {"pause", "go"};

    return WORDS[what];
}

const char *policy_mode_word(enum policy_mode mode)
{
    static const char *const WORDS[] = {"off", "scavenge", "capped", "full"};

    return WORDS[mode];
}

const char *policy_class_word(enum policy_class class)
{
    static const char *const WORDS[] = {"any", "urgent", "normal", "scavenger"};

    return WORDS[class];
}

const char *policy_profile_word(enum policy_profile profile)
{
    static const char *const WORDS[] = {"", "harvest", "normal", "invisible"};

    return WORDS[profile];
}

static const char *const SCOPES[] = {"global", "link:", "site:", "client:", "job:"};

struct alb_status policy_scope_parse(const char *text, enum policy_scope *scope, char of[104])
{
    struct alb_status st;

    if (strcmp(text, SCOPES[POLICY_GLOBAL]) == 0) {
        *scope = POLICY_GLOBAL;
        of[0] = '\0';
        return ALB_STATUS_OK;
    }
    for (enum policy_scope s = POLICY_LINK; s <= POLICY_JOB; s++) {
        size_t size = strlen(SCOPES[s]);

        if (strncmp(text, SCOPES[s], size) != 0)
            continue;
        st = s == POLICY_JOB ? layer_name_check(text + size) : id_check(text + size);
        if (alb_failed(st))
            return st;
        memcpy(of, text + size, strlen(text + size) + 1); /* at most 100 bytes, as just checked */
        *scope = s;
        return ALB_STATUS_OK;
    }
    return alb_fail(ALB_INVALID, "a scope is global, link:NAME, site:NAME, client:DEVICE or "
                                 "job:LAYER");
}

const char *policy_scope_text(enum policy_scope scope, const char *of, char out[128])
{
    (void)snprintf(out, 128, "%s%s", SCOPES[scope], of);
    return out;
}
