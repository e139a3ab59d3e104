/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites.c – a site directory in memory: names, order, what is said above, edits. */
#include "wire/sites.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/policy_cells.h"
#include "wire/sites_rows.h"
#include "wire/subnets.h"

struct sites *sites_new(void)
{
    return xalloc(sizeof(struct sites));
}

void site_release(struct site *s)
{
    free(s->subnets);
    free(s->gateways);
    free(s->reflectors);
    *s = (struct site){.line = 0};
}

struct sites *sites_free(struct sites *s)
{
    if (s == NULL)
        return NULL;
    for (size_t i = 0; i < s->count; i++)
        site_release(&s->list[i]);
    free(s->list);
    free(s);
    return NULL;
}

/* ---- order ---- */

static int compare_macs(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct site_mac));
}

/* Of two of one name the one that was read first: the second is told to be the wrong one. */
static int compare_sites(const void *a, const void *b)
{
    const struct site *left = a, *right = b;
    const int order = strcmp(left->name, right->name);

    return order != 0 ? order : (left->line > right->line) - (left->line < right->line);
}

static void sort_lists(struct site *s)
{
    if (s->subnet_count > 1)
        qsort(s->subnets, s->subnet_count, sizeof *s->subnets, subnet_order);
    if (s->gateway_count > 1)
        qsort(s->gateways, s->gateway_count, sizeof *s->gateways, compare_macs);
}

void sites_sort(struct sites *s)
{
    for (size_t i = 0; i < s->count; i++)
        sort_lists(&s->list[i]);
    if (s->count > 1)
        qsort(s->list, s->count, sizeof *s->list, compare_sites);
}

/* Where a name is, or would be. */
static size_t place_of(const struct sites *s, const char *name)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (strcmp(s->list[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct site *sites_find_name(const struct sites *s, const char *name)
{
    const size_t at = place_of(s, name);

    return at < s->count && strcmp(s->list[at].name, name) == 0 ? &s->list[at] : NULL;
}

const struct site *sites_parent_of(const struct sites *s, const struct site *site)
{
    return site->parent[0] == '\0' ? NULL : sites_find_name(s, site->parent);
}

/* ---- what holds at a site ---- */

void sites_terms_of(const struct sites *s, const struct site *site, struct site_terms *terms,
                    const char **zone)
{
    struct site_terms said = {.use = SITE_USE_UNSET};

    *zone = "";
    for (unsigned depth = 0; site != NULL && depth <= SITES_DEPTH_MAX; depth++) {
        if (said.use == SITE_USE_UNSET)
            said.use = site->terms.use;
        if (said.latency_ms == 0)
            said.latency_ms = site->terms.latency_ms;
        if (said.load_percent == 0)
            said.load_percent = site->terms.load_percent;
        if (said.max_sessions == 0)
            said.max_sessions = site->terms.max_sessions;
        if (said.keep_awake == SITE_KEEP_UNSET)
            said.keep_awake = site->terms.keep_awake;
        if ((*zone)[0] == '\0')
            *zone = site->zone;
        site = sites_parent_of(s, site);
    }
    if (said.use == SITE_USE_UNSET)
        said.use = SITE_USE_PREFER;
    *terms = said;
}

/* ---- edits ---- */

static const char *change_of(const struct site_change *changes, size_t count, const char *column)
{
    const char *text = NULL;

    for (size_t i = 0; i < count; i++)
        if (strcmp(changes[i].column, column) == 0)
            text = changes[i].text;
    return text;
}

static void refuse_twice(struct policy_row *r, const struct site_change *changes, size_t count,
                         struct policy_findings *findings)
{
    for (size_t i = 0; i < count; i++) {
        if (change_of(changes, i, changes[i].column) == NULL)
            continue;
        r->is_wrong = true;
        policy_findings_add(findings, true, "%s: %s is said twice; say it once, lists with commas",
                            r->where, changes[i].column);
    }
}

static void take_column(struct policy_row *r, const struct site *before, size_t index,
                        const char *changed, struct policy_findings *findings)
{
    struct buf text;

    buf_init(&text, SITES_BYTES_MAX);
    if (changed == NULL && before != NULL)
        site_column_write(before, index, &text);
    if (changed == NULL)
        changed = buf_text(&text);
    if (changed[0] != '\0')
        policy_row_take(r, site_column(index), changed, findings);
    buf_release(&text);
}

struct alb_status site_changed(const struct site *before, const char *name,
                               const struct site_change *changes, size_t count,
                               struct policy_findings *findings, struct site *out)
{
    struct site site = {.line = 0};
    struct policy_row row;

    policy_row_begin_alone(&row, POLICY_KIND_BRANCH, &site_columns, &site, 0);
    (void)snprintf(row.where, sizeof row.where, "site");
    for (size_t i = 0; site_column(i) != NULL; i++)
        take_column(&row, before, i, i == 0 ? name : change_of(changes, count, site_column(i)),
                    findings);
    for (size_t i = 0; i < count; i++) /* those there are no columns of */
        if (policy_column_index(&site_columns, changes[i].column) == site_columns.count)
            policy_row_take(&row, changes[i].column, changes[i].text, findings);
    refuse_twice(&row, changes, count, findings);
    policy_row_end(&row, findings);
    if (row.is_wrong) {
        site_release(&site);
        return alb_fail(ALB_INVALID, "the site has errors; each is among the findings");
    }
    sort_lists(&site);
    *out = site;
    return ALB_STATUS_OK;
}

struct alb_status sites_put(struct sites *s, struct site *site)
{
    const size_t at = place_of(s, site->name);

    if (at < s->count && strcmp(s->list[at].name, site->name) == 0) {
        site_release(&s->list[at]);
    } else {
        if (s->count == SITES_MAX)
            return alb_fail(ALB_FULL, "there are at most 10000 sites");
        s->list = policy_list_grown(s->list, s->count, sizeof *s->list);
        memmove(&s->list[at + 1], &s->list[at], (s->count - at) * sizeof *s->list);
        s->count++;
    }
    s->list[at] = *site;
    *site = (struct site){.line = 0};
    return ALB_STATUS_OK;
}

struct alb_status sites_remove(struct sites *s, const char *name)
{
    const size_t at = place_of(s, name);

    if (at == s->count || strcmp(s->list[at].name, name) != 0)
        return alb_fail(ALB_NOT_FOUND, "there is no site of that name");
    site_release(&s->list[at]);
    memmove(&s->list[at], &s->list[at + 1], (s->count - at - 1) * sizeof *s->list);
    s->count--;
    return ALB_STATUS_OK;
}

bool site_is_same(const struct site *a, const struct site *b)
{
    bool is_same = true;
    struct buf left, right;

    buf_init(&left, SIZE_MAX / 2);
    buf_init(&right, SIZE_MAX / 2);
    for (size_t i = 0; is_same && site_column(i) != NULL; i++) {
        buf_clear(&left);
        buf_clear(&right);
        site_column_write(a, i, &left);
        site_column_write(b, i, &right);
        is_same = strcmp(buf_text(&left), buf_text(&right)) == 0;
    }
    buf_release(&left);
    buf_release(&right);
    return is_same;
}
