/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_mirage.c – Mirage's bandwidth rules, taken over. */
#include <stdio.h>
#include <strings.h>

#include "base/alloc.h"
#include "wire/policy_rows.h"
#include "wire/policy_table.h"
#include "wire/policy_words.h"

enum mirage_cell { SUBNET, SITE, DOWNLOAD, UPLOAD, START, END, DAYS, CELLS };
static const char *const HEADER[CELLS] = {"SubnetMaskV4", "Site",       "Download Limit",
                                          "Upload Limit", "Start Time", "End Time",
                                          "Days of Week"};

struct ranked {
    uint32_t rank; /* lower comes first */
    struct policy_rule rule;
};

struct mirage {
    struct policy_doc *doc;
    struct policy_findings *findings;
    uint32_t line;
    size_t columns;  /* 4 or 7 */
    uint32_t *ranks; /* of the document's rules, as read */
};

static const char *cell(const struct table *t, enum mirage_cell which)
{
    return (size_t)which < t->count ? t->cells[which] : "";
}

static void refuse(const struct mirage *m, enum mirage_cell which, const char *text,
                   const char *why)
{
    char quoted[80];

    policy_findings_add(m->findings, true, "line %u: %s \"%s\": %s", m->line, HEADER[which],
                        policy_quoted(text, quoted), why);
}

static bool take_header(struct mirage *m, const struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (i >= CELLS || strcasecmp(t->cells[i], HEADER[i]) != 0) {
            policy_findings_add(m->findings, true,
                                "line %u: the columns of Mirage's table are SubnetMaskV4, Site, "
                                "Download Limit, Upload Limit and, in later versions, Start Time, "
                                "End Time, Days of Week",
                                t->line);
            return false;
        }
    m->columns = t->count;
    return true;
}

/* ---- where: a subnet or a site ---- */

/* A site of this name, new or old. */
static struct policy_site *find_site(struct mirage *m, const char *name)
{
    struct policy_doc *d = m->doc;
    struct policy_row row;
    struct alb_status st;

    for (size_t i = 0; i < d->site_count; i++)
        if (strcmp(d->sites[i].name, name) == 0)
            return &d->sites[i];
    st = policy_row_begin(&row, POLICY_KIND_SITE, d);
    if (alb_failed(st)) {
        policy_findings_add(m->findings, true, "line %u: %s", m->line, st.what);
        return NULL;
    }
    policy_row_take(&row, "name", name, m->findings);
    ((struct policy_site *)row.item)->line = m->line;
    return row.item;
}

/* "Branch.Example.com" as an id of ours: small letters, and '-' for what separates. */
static bool make_id(const char *text, char out[64])
{
    size_t size = strlen(text);

    if (size == 0 || size >= 61)
        return false;
    for (size_t i = 0; i <= size; i++) {
        out[i] = text[i];
        if (text[i] >= 'A' && text[i] <= 'Z')
            out[i] = (char)(text[i] - 'A' + 'a');
        else if (text[i] != '\0' && strchr("._ ", text[i]) != NULL)
            out[i] = '-';
    }
    return !alb_failed(id_check(out));
}

/* "net-10-1-0-0-20": the site that a subnet makes. */
static bool take_subnet(struct mirage *m, const char *text, char scope[128])
{
    struct policy_subnet s = {.site = 0};
    struct alb_status st = subnet_parse(text, &s);
    struct policy_site *site;
    struct policy_row row;
    char name[64], subnet[64];
    const uint8_t *a = s.address + 12;

    if (alb_failed(st) || strchr(text, ':') != NULL) {
        refuse(m, SUBNET, text,
               alb_failed(st) ? st.what
                              : "here only IPv4 is known; our own "
                                "table takes IPv6");
        return false;
    }
    if (s.bits == 96) {
        (void)snprintf(scope, 128, "global");
        return true;
    }
    (void)snprintf(name, sizeof name, "net-%u-%u-%u-%u-%u", a[0], a[1], a[2], a[3], s.bits - 96U);
    (void)snprintf(scope, 128, "site:%s", name);
    site = find_site(m, name);
    if (site == NULL)
        return false;
    row = (struct policy_row){.kind = POLICY_KIND_SITE,
                              .columns = policy_columns_of(POLICY_KIND_SITE),
                              .doc = m->doc,
                              .item = site};
    (void)snprintf(subnet, sizeof subnet, "%u.%u.%u.%u/%u", a[0], a[1], a[2], a[3], s.bits - 96U);
    if (site->line == m->line) /* new */
        policy_row_take(&row, "subnets", subnet, m->findings);
    return true;
}

static bool take_where(struct mirage *m, const struct table *t, char scope[128])
{
    const char *subnet = cell(t, SUBNET), *site = cell(t, SITE);
    char id[64];

    if ((subnet[0] == '\0') == (site[0] == '\0')) {
        policy_findings_add(m->findings, true,
                            "line %u: a rule has either a subnet or a site, this has %s", m->line,
                            site[0] == '\0' ? "neither" : "both");
        return false;
    }
    if (subnet[0] != '\0')
        return take_subnet(m, subnet, scope);
    if (!make_id(site, id)) {
        refuse(m, SITE, site, "a site's name is letters, digits, '.' and '-', at most 60 of them");
        return false;
    }
    (void)snprintf(scope, 128, "site:%s", id);
    return find_site(m, id) != NULL;
}

/* ---- when ---- */

/* One or two digits. */
static bool take_two(const char **at, unsigned *out)
{
    size_t size = strspn(*at, "0123456789");

    if (size < 1 || size > 2)
        return false;
    *out = (unsigned)strtoul(*at, NULL, 10);
    *at += size;
    return true;
}

/* "8:00", "08:00:00": hours and minutes, and what is behind them. */
static bool take_clock(const char **at, unsigned *h, unsigned *min)
{
    unsigned s = 0;

    if (!take_two(at, h) || *(*at)++ != ':' || !take_two(at, min))
        return false;
    if (**at == ':') {
        (*at)++;
        if (!take_two(at, &s))
            return false;
    }
    return *min <= 59 && s <= 59;
}

/* "8:00", "08:00:00", "8:00 PM" as minutes of the day; -1 for none. */
static int time_of_day(const char *text)
{
    unsigned h = 0, min = 0;
    bool is_pm, is_am;

    if (!take_clock(&text, &h, &min))
        return -1;
    text += strspn(text, " ");
    is_am = strcasecmp(text, "AM") == 0;
    is_pm = strcasecmp(text, "PM") == 0;
    if ((!is_am && !is_pm && text[0] != '\0') || h * 60 + min > 1440 ||
        ((is_am || is_pm) && (h < 1 || h > 12)))
        return -1;
    if (is_am || is_pm)
        h = h % 12 + (is_pm ? 12 : 0);
    if (h == 23 && min == 59) /* how people say midnight where 24:00 cannot be typed */
        return 1440;
    return (int)(h * 60 + min);
}

static bool take_hours(const struct mirage *m, const struct table *t, char hours[32])
{
    const char *start = cell(t, START), *end = cell(t, END);
    int from = time_of_day(start), to = time_of_day(end);

    hours[0] = '\0';
    if (start[0] == '\0' && end[0] == '\0')
        return true;
    if (from < 0 || to < 0 || from == 1440) {
        bool is_start = from < 0 || from == 1440;

        refuse(m, is_start ? START : END, is_start ? start : end,
               "a time is written hh:mm, as in 08:00, and a rule has both or none");
        return false;
    }
    if (from == to % 1440)
        return true; /* from midnight to midnight */
    (void)snprintf(hours, 32, "%02d:%02d-%02d:%02d", from / 60, from % 60, to / 60, to % 60);
    return true;
}

static const char *days_text(const char *text)
{
    static const char *const ALL[] = {"all", "any", "everyday", "every day", "daily", "*"};

    for (size_t i = 0; i < ALB_COUNT(ALL); i++)
        if (strcasecmp(text, ALL[i]) == 0)
            return "";
    if (strcasecmp(text, "weekdays") == 0)
        return "mon-fri";
    return strcasecmp(text, "weekends") == 0 ? "sat,sun" : text;
}

/* ---- how much ---- */

/* Kilobytes a second as our text; false when it is wrong or there is no limit. */
static bool take_limit(const struct mirage *m, const struct table *t, enum mirage_cell which,
                       char limit[32])
{
    const char *text = cell(t, which);
    uint64_t kilobytes;

    if (text[0] == '\0')
        return false;
    if (alb_failed(parse_u64(text, 125000000, &kilobytes)) || kilobytes < 2) {
        refuse(m, which, text,
               "a limit is a whole number of kilobytes per second, 2 to 125000000; empty is no "
               "limit (to stop traffic, write mode off in our own table)");
        return false;
    }
    (void)snprintf(limit, 32, "%llukbit", (unsigned long long)kilobytes * 8);
    return true;
}

static void take_rule(struct mirage *m, const struct table *t, enum mirage_cell which,
                      const char *scope, const char *hours)
{
    bool is_down = which == DOWNLOAD;
    struct policy_row row;
    struct alb_status st;
    char name[64], limit[32], note[POLICY_NOTE_MAX];

    if (!take_limit(m, t, which, limit))
        return;
    st = policy_row_begin(&row, POLICY_KIND_RULE, m->doc);
    if (alb_failed(st)) {
        policy_findings_add(m->findings, true, "line %u: %s", m->line, st.what);
        return;
    }
    (void)snprintf(row.where, sizeof row.where, "line %u", m->line);
    ((struct policy_rule *)row.item)->line = m->line;
    (void)snprintf(name, sizeof name, "mirage-%u-%s", m->line, is_down ? "down" : "up");
    (void)snprintf(note, sizeof note, "Mirage: %.60s%.60s, %.20s KB/s", cell(t, SUBNET),
                   cell(t, SITE), cell(t, which));
    policy_row_take(&row, "name", name, m->findings);
    policy_row_take(&row, "scope", scope, m->findings);
    policy_row_take(&row, "direction", is_down ? "down" : "up", m->findings);
    policy_row_take(&row, "mode", "scavenge", m->findings);
    policy_row_take(&row, "ceiling", limit, m->findings);
    policy_row_take(&row, "note", note, m->findings);
    if (hours[0] != '\0')
        policy_row_take(&row, "hours", hours, m->findings);
    if (days_text(cell(t, DAYS))[0] != '\0')
        policy_row_take(&row, "days", days_text(cell(t, DAYS)), m->findings);
    policy_row_end(&row, m->findings);
    m->ranks[m->doc->rule_count - 1] =
        (strcmp(scope, "global") == 0 ? 2U : 0U) +
        (hours[0] == '\0' && days_text(cell(t, DAYS))[0] == '\0' ? 1U : 0U);
}

static void take_line(struct mirage *m, const struct table *t)
{
    char scope[128], hours[32];
    bool is_right = take_where(m, t, scope);

    if (t->count > m->columns)
        policy_findings_add(m->findings, true, "line %u: there are more cells than columns",
                            m->line);
    is_right = take_hours(m, t, hours) && is_right;
    if (!is_right)
        return;
    if (cell(t, DOWNLOAD)[0] == '\0' && cell(t, UPLOAD)[0] == '\0')
        policy_findings_add(m->findings, false, "line %u limits nothing: both limits are empty",
                            m->line);
    take_rule(m, t, DOWNLOAD, scope, hours);
    take_rule(m, t, UPLOAD, scope, hours);
}

/* The first match wins with us, so the particular goes before the general. */
static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;

    if (left->rank != right->rank)
        return left->rank < right->rank ? -1 : 1;
    if (left->rule.line != right->rule.line)
        return left->rule.line < right->rule.line ? -1 : 1;
    return (int)left->rule.directions - (int)right->rule.directions;
}

static void put_in_order(const struct mirage *m)
{
    struct policy_doc *d = m->doc;
    AUTO_FREE struct ranked *all = xcalloc(d->rule_count + 1, sizeof *all);

    for (size_t i = 0; i < d->rule_count; i++)
        all[i] = (struct ranked){m->ranks[i], d->rules[i]};
    qsort(all, d->rule_count, sizeof *all, compare_ranked);
    for (size_t i = 0; i < d->rule_count; i++)
        d->rules[i] = all[i].rule;
}

void policy_mirage_read(struct table *t, struct policy_doc *d, struct policy_findings *findings)
{
    struct mirage m = {.doc = d, .findings = findings};
    AUTO_FREE uint32_t *ranks = xcalloc(POLICY_RULES_MAX, sizeof *ranks);

    m.ranks = ranks;
    if (!take_header(&m, t))
        return;
    while (table_next(t, findings)) {
        m.line = t->line;
        take_line(&m, t);
    }
    put_in_order(&m);
}
