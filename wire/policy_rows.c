/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_rows.c – the columns of each kind of row, and rows being read. */
#include "wire/policy_rows.h"

#include <stddef.h>
#include <stdio.h>

#include "base/alloc.h"
#include "wire/policy_cells.h"
#include "wire/policy_words.h"

/* ---- the tables ---- */

static const struct policy_word DIRECTIONS[] = {
    {"down", POLICY_DOWN}, {"up", POLICY_UP}, {"both", POLICY_BOTH}, {NULL, 0}};
static const struct policy_word PLACES[] = {
    {"wan", POLICY_WAN}, {"lan", POLICY_LAN}, {"both", POLICY_BOTH}, {NULL, 0}};
static const struct policy_word CLASSES[] = {{"any", POLICY_ANY_CLASS},
                                             {"urgent", POLICY_URGENT},
                                             {"normal", POLICY_NORMAL},
                                             {"scavenger", POLICY_SCAVENGER},
                                             {NULL, 0}};
static const struct policy_word MODES[] = {{"off", POLICY_OFF},
                                           {"scavenge", POLICY_MODE_SCAVENGE},
                                           {"capped", POLICY_CAPPED},
                                           {"full", POLICY_FULL},
                                           {NULL, 0}};
static const struct policy_word PROFILES[] = {{"harvest", POLICY_HARVEST},
                                              {"normal", POLICY_BALANCED},
                                              {"invisible", POLICY_INVISIBLE},
                                              {NULL, 0}};
static const struct policy_word WHATS[] = {{"pause", POLICY_PAUSE}, {"go", POLICY_GO}, {NULL, 0}};

#define AT(type, member) offsetof(struct type, member), sizeof(((struct type *)NULL)->member)
#define CELL(word, type, member, kind) .name = (word), .cell = &(kind), AT(type, member)
#define DIRECTION(type)                                                                            \
    {                                                                                              \
        CELL("direction", type, directions, cell_word), .words = DIRECTIONS,                       \
                                                        .wrong = "direction is down, up or both"   \
    }
#define PLACE(type)                                                                                \
    {                                                                                              \
        CELL("place", type, places, cell_word), .words = PLACES,                                   \
                                                .wrong = "place is wan, lan or both"               \
    }

static const struct policy_column RULE[] = {
    {CELL("name", policy_rule, name, cell_id), .is_label = true},
    {CELL("scope", policy_rule, scope, cell_scope), .is_required = true},
    DIRECTION(policy_rule),
    PLACE(policy_rule),
    {CELL("class", policy_rule, class, cell_word), .words = CLASSES,
     .wrong = "class is any, urgent, normal or scavenger"},
    {CELL("days", policy_rule, when.days, cell_days)},
    {CELL("hours", policy_rule, when.from_min, cell_hours)},
    {CELL("dates", policy_rule, when.first_day, cell_dates)},
    {CELL("on", policy_rule, when.on, cell_calendars), .is_list = true},
    {CELL("except", policy_rule, when.except, cell_calendars), .is_list = true},
    {CELL("mode", policy_rule, action.mode, cell_word), .words = MODES, .is_required = true,
     .wrong = "mode is off, scavenge, capped or full"},
    {CELL("rate", policy_rule, action.rate_bps, cell_rate)},
    {CELL("ceiling", policy_rule, action.ceiling_bps, cell_rate)},
    {CELL("floor", policy_rule, action.floor_bps, cell_rate)},
    {CELL("percent", policy_rule, action.percent, cell_percent), .is_number = true},
    {CELL("profile", policy_rule, action.profile, cell_word), .words = PROFILES,
     .wrong = "profile is harvest, normal or invisible"},
    {CELL("max_queue", policy_rule, action.max_queue_ms, cell_queue)},
    {CELL("note", policy_rule, note, cell_text)},
};
static const struct policy_column SITE[] = {
    {CELL("name", policy_site, name, cell_id), .is_required = true, .is_label = true},
    {CELL("zone", policy_site, zone, cell_zone)},
    {CELL("link", policy_site, link, cell_id)},
    {.name = "subnets", .cell = &cell_subnets, .is_list = true},
};
static const struct policy_column CALENDAR[] = {
    {CELL("name", policy_calendar, name, cell_id), .is_required = true, .is_label = true},
    {.name = "dates", .cell = &cell_calendar_dates, .is_required = true, .is_list = true},
};
static const struct policy_column DEADLINE[] = {
    {CELL("layer", policy_deadline, layer, cell_layer), .is_required = true},
    {CELL("site", policy_deadline, site, cell_id)},
    {CELL("by", policy_deadline, by_s, cell_instant), .is_required = true},
};
static const struct policy_column OVERRIDE[] = {
    {CELL("id", policy_override, id, cell_id), .is_required = true, .is_label = true},
    {CELL("what", policy_override, what, cell_word), .words = WHATS, .is_required = true,
     .wrong = "what is pause or go"},
    {CELL("scope", policy_override, scope, cell_scope), .is_required = true},
    DIRECTION(policy_override),
    PLACE(policy_override),
    {CELL("since", policy_override, since_s, cell_instant), .is_required = true},
    {CELL("until", policy_override, until_s, cell_instant), .is_required = true},
    {CELL("by", policy_override, by, cell_id), .is_required = true},
    {CELL("why", policy_override, why, cell_text)},
};

static const struct policy_columns KINDS[POLICY_KINDS] = {
    {"rule", "rules", RULE, ALB_COUNT(RULE)},
    {"site", "sites", SITE, ALB_COUNT(SITE)},
    {"calendar", "calendars", CALENDAR, ALB_COUNT(CALENDAR)},
    {"deadline", "deadlines", DEADLINE, ALB_COUNT(DEADLINE)},
    {"override", "overrides", OVERRIDE, ALB_COUNT(OVERRIDE)},
};

const struct policy_columns *policy_columns_of(enum policy_kind kind)
{
    return &KINDS[kind];
}

void policy_column_write(const struct policy_column *c, const struct policy_doc *doc,
                         const void *item, struct buf *out)
{
    c->cell->write(c, doc, item, out);
}

void *policy_list_grown(void *list, size_t count, size_t item_size)
{
    if ((count & (count - 1)) != 0)
        return list;
    return xrealloc(list, (count == 0 ? 1 : 2 * count) * item_size);
}

/* ---- a row being read ---- */

static void *add_rule(struct policy_doc *d)
{
    d->rules = policy_list_grown(d->rules, d->rule_count, sizeof *d->rules);
    d->rules[d->rule_count] = (struct policy_rule){
        .directions = POLICY_BOTH,
        .places = POLICY_WAN,
        .when = {.days = 0x7f, .to_min = 1440, .first_day = INT32_MIN, .last_day = INT32_MAX}};
    return &d->rules[d->rule_count++];
}

static void *add_site(struct policy_doc *d)
{
    d->sites = policy_list_grown(d->sites, d->site_count, sizeof *d->sites);
    d->sites[d->site_count] = (struct policy_site){.line = 0};
    return &d->sites[d->site_count++];
}

static void *add_calendar(struct policy_doc *d)
{
    d->calendars = policy_list_grown(d->calendars, d->calendar_count, sizeof *d->calendars);
    d->calendars[d->calendar_count] = (struct policy_calendar){.line = 0};
    return &d->calendars[d->calendar_count++];
}

static void *add_deadline(struct policy_doc *d)
{
    d->deadlines = policy_list_grown(d->deadlines, d->deadline_count, sizeof *d->deadlines);
    d->deadlines[d->deadline_count] = (struct policy_deadline){.line = 0};
    return &d->deadlines[d->deadline_count++];
}

static const struct {
    void *(*add)(struct policy_doc *d);
    size_t most;
    const char *too_many;
} ADDERS[POLICY_DOC_KINDS] = {
    {add_rule, POLICY_RULES_MAX, "a policy has at most 2000 rules"},
    {add_site, POLICY_SITES_MAX, "a policy has at most 10000 sites"},
    {add_calendar, POLICY_CALENDARS_MAX, "a policy has at most 64 calendars"},
    {add_deadline, POLICY_DEADLINES_MAX, "a policy has at most 1000 deadlines"},
};

struct alb_status policy_row_begin(struct policy_row *r, enum policy_kind kind,
                                   struct policy_doc *doc)
{
    size_t count = policy_doc_count(doc, kind);

    if (count >= ADDERS[kind].most)
        return (struct alb_status){ALB_FULL, 0, ADDERS[kind].too_many};
    *r = (struct policy_row){
        .kind = kind, .columns = &KINDS[kind], .doc = doc, .item = ADDERS[kind].add(doc)};
    (void)snprintf(r->where, sizeof r->where, "%s %zu", KINDS[kind].word, count + 1);
    return ALB_STATUS_OK;
}

void policy_row_begin_override(struct policy_row *r, struct policy_override *item, size_t index)
{
    *item = (struct policy_override){.directions = POLICY_BOTH, .places = POLICY_BOTH};
    policy_row_begin_alone(r, POLICY_KIND_OVERRIDE, &KINDS[POLICY_KIND_OVERRIDE], item, index);
}

void policy_row_begin_alone(struct policy_row *r, enum policy_kind kind,
                            const struct policy_columns *columns, void *item, size_t index)
{
    *r = (struct policy_row){.kind = kind, .columns = columns, .item = item};
    (void)snprintf(r->where, sizeof r->where, "%s %zu", columns->word, index + 1);
}

size_t policy_column_index(const struct policy_columns *columns, const char *name)
{
    size_t i = 0;

    while (i < columns->count && strcmp(columns->list[i].name, name) != 0)
        i++;
    return i;
}

static void report_unknown(struct policy_row *r, const char *name, struct policy_findings *findings)
{
    const struct policy_columns *columns = r->columns;
    char quoted[80];
    struct buf known;

    r->is_wrong = true;
    buf_init(&known, SIZE_MAX / 2);
    for (size_t i = 0; i < columns->count; i++)
        words_printf(&known, "%s%s", i == 0 ? "" : ", ", columns->list[i].name);
    policy_findings_add(findings, true, "%s: a %s has no \"%s\"; it has %s", r->where,
                        columns->word, policy_quoted(name, quoted), buf_text(&known));
    buf_release(&known);
}

void policy_row_take(struct policy_row *r, const char *name, const char *text,
                     struct policy_findings *findings)
{
    const size_t index = policy_column_index(r->columns, name);
    const struct policy_column *c;
    char quoted[80];
    struct alb_status st;

    if (index == r->columns->count) {
        report_unknown(r, name, findings);
        return;
    }
    c = &r->columns->list[index];
    r->seen |= UINT32_C(1) << index;
    st = c->cell->read(c, r, text);
    if (alb_failed(st)) {
        r->is_wrong = true;
        policy_findings_add(findings, true, "%s: %s \"%s\": %s", r->where, name,
                            policy_quoted(text, quoted), st.what);
    } else if (c->is_label)
        (void)snprintf(r->where + strlen(r->where), sizeof r->where - strlen(r->where), " (%s)",
                       text);
}

/* A rule without a name is called after its number. */
static void name_rule(struct policy_row *r)
{
    struct policy_rule *rule = r->item;

    if (rule->name[0] == '\0')
        (void)snprintf(rule->name, sizeof rule->name, "rule-%zu", r->doc->rule_count);
}

static int compare_dates(const void *a, const void *b)
{
    const struct policy_dates *left = a, *right = b;

    return (left->first_day > right->first_day) - (left->first_day < right->first_day);
}

/* Sorted, and those that touch made one, so that a day is found by halving. */
static void tidy_calendar(struct policy_calendar *c)
{
    size_t kept = 0;

    if (c->date_count == 0)
        return;
    qsort(c->dates, c->date_count, sizeof *c->dates, compare_dates);
    for (size_t i = 1; i < c->date_count; i++) {
        struct policy_dates *last = &c->dates[kept];

        if (c->dates[i].first_day > last->last_day + 1)
            c->dates[++kept] = c->dates[i];
        else if (c->dates[i].last_day > last->last_day)
            last->last_day = c->dates[i].last_day;
    }
    c->date_count = kept + 1;
}

void policy_row_end(struct policy_row *r, struct policy_findings *findings)
{
    const struct policy_columns *columns = r->columns;

    for (size_t i = 0; i < columns->count; i++)
        if (columns->list[i].is_required && (r->seen >> i & 1) == 0) {
            r->is_wrong = true;
            policy_findings_add(findings, true, "%s: \"%s\" is missing", r->where,
                                columns->list[i].name);
        }
    if (r->kind == POLICY_KIND_RULE)
        name_rule(r);
    if (r->kind == POLICY_KIND_RULE && r->is_wrong)
        ((struct policy_rule *)r->item)->line = POLICY_LINE_WRONG;
    if (r->kind == POLICY_KIND_CALENDAR)
        tidy_calendar(r->item);
}
