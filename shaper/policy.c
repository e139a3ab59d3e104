/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy.c – overrides, then rules, then the built-in; what holds, and until when. */
#include "shaper/policy.h"

#include "base/alloc.h"
#include "shaper/policy_sites.h"
#include "shaper/policy_window.h"
#include "shaper/policy_zone.h"

struct policy {
    struct policy_doc *doc;
    struct policy_sites *sites;
    struct policy_overrides *overrides; /* NULL: none */
    int64_t least_s;
    int64_t last_date_s; /* from here on every week is like the next */
};

/* One question with what the document knows of its place. */
struct question {
    const struct policy *policy;
    const struct policy_place *place;
    const char *site_by_address; /* NULL: none */
    const char *link;
    const struct zone *zone; /* NULL: could not be read */
    int64_t wall_s;
    bool has_clock;
};

static const struct policy_action BUILT_IN = {.mode = POLICY_MODE_SCAVENGE};

/* Within as many days each hour of each weekday comes, and the clock is changed as it ever is. */
enum { STRETCH_DAYS = 400, DAY_S = 86400, HORIZON_DAYS = 50 * 366 };

/* A year of five digits is no clock either. */
#define LAST_WALL_S INT64_C(253402300799)

/* ---- what there is to ask ---- */

static int32_t later(int32_t day, int32_t other) /* unless it is open */
{
    return other != INT32_MAX && other > day ? other : day;
}

static int64_t last_date_s(const struct policy_doc *d)
{
    int32_t last = 0;

    for (size_t i = 0; i < d->rule_count; i++)
        last = later(later(last, d->rules[i].when.first_day), d->rules[i].when.last_day);
    for (size_t i = 0; i < d->calendar_count; i++)
        if (d->calendars[i].date_count > 0) /* they are in order */
            last = later(last, d->calendars[i].dates[d->calendars[i].date_count - 1].last_day);
    return ((int64_t)last + 3) * DAY_S; /* past midnight, in any zone */
}

struct policy *policy_new(struct policy_doc *doc, const char *zone_dir)
{
    struct policy *p = xalloc(sizeof *p);

    p->doc = doc;
    p->sites = policy_sites_new(doc, zone_dir);
    p->last_date_s = last_date_s(doc);
    return p;
}

struct policy *policy_free(struct policy *p)
{
    if (p == NULL)
        return NULL;
    p->sites = policy_sites_free(p->sites);
    p->doc = policy_doc_free(p->doc);
    free(p->overrides);
    free(p);
    return NULL;
}

void policy_set_overrides(struct policy *p, const struct policy_overrides *o)
{
    if (p->overrides == NULL)
        p->overrides = xalloc(sizeof *p->overrides);
    *p->overrides = *o;
}

void policy_set_least(struct policy *p, int64_t least_s)
{
    p->least_s = least_s;
}

struct zones_reading *policy_zones_begin(const struct policy *p)
{
    return zones_reading_new(p->sites);
}

bool policy_zones_end(struct policy *p, struct zones_reading *r)
{
    return policy_sites_take_zones(p->sites, r);
}

const struct policy_doc *policy_peek(const struct policy *p)
{
    return p->doc;
}

const struct policy_overrides *policy_peek_overrides(const struct policy *p)
{
    static const struct policy_overrides NONE;

    return p->overrides == NULL ? &NONE : p->overrides;
}

const char *policy_site_of(const struct policy *p, const uint8_t address[16])
{
    uint8_t list[1][16];

    memcpy(list[0], address, sizeof list[0]);
    return policy_sites_by_address(p->sites, (const uint8_t(*)[16])list, 1);
}

const char *policy_site_at(const struct policy *p, const uint8_t (*addresses)[16], size_t count,
                           struct policy_subnet *subnet)
{
    return policy_sites_around(p->sites, addresses, count, subnet);
}

bool policy_has_site(const struct policy *p, const char *site)
{
    return policy_sites_find(p->sites, site).is_known;
}

const char *policy_site_link(const struct policy *p, const char *site, const char **zone)
{
    const struct policy_site_facts facts = policy_sites_find(p->sites, site);

    *zone = facts.zone_name;
    return facts.link;
}

bool policy_is_clock(int64_t wall_s)
{
    return wall_s >= 0 && wall_s <= LAST_WALL_S;
}

/* Zone and link are those of the named site, if the document has it. */
static struct policy_site_facts facts_of(const struct policy *p, const char *site,
                                         const char *by_address)
{
    struct policy_site_facts facts = policy_sites_find(p->sites, site);

    return facts.is_known || by_address == NULL ? facts : policy_sites_find(p->sites, by_address);
}

static struct question question_of(const struct policy *p, const struct policy_place *place,
                                   int64_t wall_s)
{
    const char *by_address =
        policy_sites_by_address(p->sites, place->addresses, place->address_count);
    struct policy_site_facts facts = facts_of(p, place->site, by_address);

    return (struct question){.policy = p,
                             .place = place,
                             .site_by_address = by_address,
                             .link = facts.link,
                             .zone = facts.zone,
                             .wall_s = wall_s,
                             .has_clock = policy_is_clock(wall_s)};
}

void policy_place_zone(const struct policy *p, const struct policy_place *place, int64_t wall_s,
                       struct policy_local *out)
{
    struct policy_site_facts facts = facts_of(
        p, place->site, policy_sites_by_address(p->sites, place->addresses, place->address_count));
    int64_t until_s;

    *out = (struct policy_local){.zone = facts.zone_name,
                                 .zone_is_known = facts.zone != NULL,
                                 .clock_is_known = policy_is_clock(wall_s)};
    if (out->zone_is_known && out->clock_is_known)
        out->east_s = zone_offset(facts.zone, wall_s, &until_s);
}

/* ---- what fits a place ---- */

static bool is_same(const char *asked, const char *of)
{
    return asked != NULL && asked[0] != '\0' && strcmp(asked, of) == 0;
}

static bool scope_fits(const struct question *q, enum policy_scope scope, const char *of)
{
    const char *job = q->place->job;

    switch (scope) {
    case POLICY_GLOBAL: return true;
    case POLICY_LINK: return q->place->sum != POLICY_OF_ALL && is_same(q->link, of);
    case POLICY_SITE:
        return q->place->sum == POLICY_OF_SITE &&
               (is_same(q->place->site, of) || is_same(q->site_by_address, of));
    case POLICY_CLIENT: return is_same(q->place->device, of);
    case POLICY_JOB: return job != NULL && job[0] != '\0' && layer_is_under(job, of);
    }
    alb_unreachable();
}

static bool rule_fits(const struct question *q, const struct policy_rule *r)
{
    return (r->directions & q->place->direction) != 0 && (r->places & q->place->side) != 0 &&
           (r->class == POLICY_ANY_CLASS || r->class == q->place->class) &&
           scope_fits(q, r->scope, r->of);
}

/* Where nobody knows the time, who stops the line is believed, and who opens it is not; neither
 * once it is over whatever the time is. */
static bool override_holds(const struct question *q, const struct policy_override *o)
{
    return q->policy->least_s < o->until_s && (o->directions & q->place->direction) != 0 &&
           (o->places & q->place->side) != 0 &&
           (q->has_clock ? q->wall_s < o->until_s : o->what == POLICY_PAUSE) &&
           scope_fits(q, o->scope, o->of);
}

/* Its index, or their number. */
static size_t find_override(const struct question *q)
{
    const struct policy_overrides *o = policy_peek_overrides(q->policy);
    size_t i = 0;

    while (i < o->count && !override_holds(q, &o->list[i]))
        i++;
    return i;
}

static size_t find_rule(const struct question *q, int32_t east_s)
{
    const struct policy_doc *d = q->policy->doc;
    size_t i = 0;

    while (i < d->rule_count &&
           !(rule_fits(q, &d->rules[i]) && window_holds(d, &d->rules[i].when, q->wall_s + east_s)))
        i++;
    return i;
}

/* ---- the strictest ---- */

static uint64_t least(uint64_t a, uint64_t b) /* 0 is none */
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

uint64_t policy_absolute_bps(const struct policy_action *a)
{
    return a->mode == POLICY_OFF ? 0 : least(a->rate_bps, a->ceiling_bps);
}

static int strictness(enum policy_profile profile)
{
    switch (profile) {
    case POLICY_HARVEST: return 0;
    case POLICY_PROFILE_UNSET:
    case POLICY_BALANCED: return 1;
    case POLICY_INVISIBLE: return 2;
    }
    alb_unreachable();
}

/* At most what either allows, in every respect. */
static struct policy_action stricter(const struct policy_action *a, const struct policy_action *b)
{
    struct policy_action both = {
        .mode = a->mode < b->mode ? a->mode : b->mode,
        .ceiling_bps = least(policy_absolute_bps(a), policy_absolute_bps(b)),
        .floor_bps = a->floor_bps < b->floor_bps ? a->floor_bps : b->floor_bps,
        .percent = (uint32_t)least(a->percent, b->percent),
        .profile = strictness(a->profile) >= strictness(b->profile) ? a->profile : b->profile,
        .max_queue_ms = (uint32_t)least(a->max_queue_ms, b->max_queue_ms),
    };

    if (both.mode == POLICY_OFF)
        return (struct policy_action){.mode = POLICY_OFF};
    if (both.mode == POLICY_CAPPED)
        both.rate_bps = least(both.ceiling_bps, least(a->rate_bps, b->rate_bps));
    if (both.mode == POLICY_CAPPED && both.percent == 0)
        both.ceiling_bps = 0; /* it says no more than the rate */
    if (both.mode != POLICY_MODE_SCAVENGE)
        both.floor_bps = 0;
    return both;
}

/* Of all rules that could hold at some time: down to the first that always does, or the built-in.
 * The index is that of the strictest mode among them. */
static struct policy_terms strictest(const struct question *q)
{
    const struct policy_doc *d = q->policy->doc;
    struct policy_terms terms = {.source = POLICY_BY_DEFAULT, .action = BUILT_IN};
    bool always = false;
    size_t count = 0;

    for (size_t i = 0; i < d->rule_count && !always; i++) {
        const struct policy_rule *r = &d->rules[i];

        if (!rule_fits(q, r))
            continue;
        always = window_is_always(&r->when);
        if (count++ == 0 || r->action.mode < terms.action.mode) {
            terms.index = (uint32_t)i;
            terms.scope = r->scope;
        }
        terms.action = count == 1 ? r->action : stricter(&terms.action, &r->action);
    }
    if (count == 0)
        return terms;
    if (!always)
        terms.action = stricter(&terms.action, &BUILT_IN);
    terms.source = always && count == 1 ? POLICY_BY_RULE : POLICY_BY_STRICTEST;
    return terms;
}

/* ---- what holds now ---- */

static struct policy_terms override_terms(const struct question *q, size_t index)
{
    const struct policy_override *o = &policy_peek_overrides(q->policy)->list[index];

    return (struct policy_terms){.action.mode = o->what == POLICY_PAUSE ? POLICY_OFF : POLICY_FULL,
                                 .scope = o->scope,
                                 .source = POLICY_BY_OVERRIDE,
                                 .index = (uint32_t)index};
}

static struct policy_terms answer(const struct question *q)
{
    const struct policy_doc *d = q->policy->doc;
    size_t index = find_override(q);
    int64_t until_s;

    if (index < policy_peek_overrides(q->policy)->count)
        return override_terms(q, index);
    if (!q->has_clock || q->zone == NULL)
        return strictest(q);
    index = find_rule(q, zone_offset(q->zone, q->wall_s, &until_s));
    if (index == d->rule_count)
        return (struct policy_terms){.source = POLICY_BY_DEFAULT, .action = BUILT_IN};
    return (struct policy_terms){.action = d->rules[index].action,
                                 .scope = d->rules[index].scope,
                                 .source = POLICY_BY_RULE,
                                 .index = (uint32_t)index};
}

struct policy_terms policy_now(const struct policy *p, const struct policy_place *place,
                               int64_t wall_s)
{
    struct question q = question_of(p, place, wall_s);

    return answer(&q);
}

bool policy_has_terms(const struct policy *p, const struct policy_terms *t)
{
    switch (t->source) {
    case POLICY_BY_DEFAULT: return true;
    case POLICY_BY_RULE:
    case POLICY_BY_STRICTEST: return t->index < p->doc->rule_count;
    case POLICY_BY_OVERRIDE: return t->index < policy_peek_overrides(p)->count;
    }
    alb_unreachable();
}

bool policy_terms_equal(const struct policy_terms *a, const struct policy_terms *b)
{
    const struct policy_action *x = &a->action, *y = &b->action;

    return a->scope == b->scope && a->source == b->source && a->index == b->index &&
           x->mode == y->mode && x->rate_bps == y->rate_bps && x->ceiling_bps == y->ceiling_bps &&
           x->floor_bps == y->floor_bps && x->percent == y->percent && x->profile == y->profile &&
           x->max_queue_ms == y->max_queue_ms;
}

uint64_t policy_limit_bps(const struct policy_action *a, uint64_t capacity_bps)
{
    __extension__ unsigned __int128 share = (unsigned __int128)capacity_bps * a->percent / 100;
    uint64_t limit = a->mode == POLICY_CAPPED ? a->rate_bps : 0;

    if (a->mode == POLICY_OFF)
        return 0;
    if (a->percent > 0 && capacity_bps > 0)
        limit = share < RATE_LEAST_BPS ? RATE_LEAST_BPS : (uint64_t)share;
    limit = least(limit, a->ceiling_bps);
    return limit == 0 ? UINT64_MAX : limit;
}

/* ---- what comes next ---- */

/* The stretches of constant offset that a question looks at. */
struct spans {
    struct {
        int64_t from_s, to_s; /* UTC, `to` not included */
        int32_t east_s;
    } list[16];
    size_t count;
};

static struct spans spans_of(const struct zone *zone, int64_t from_s)
{
    int64_t end_s = from_s + (int64_t)STRETCH_DAYS * DAY_S;
    struct spans s = {.count = 0};

    while (from_s < end_s && s.count < ALB_COUNT(s.list)) {
        int64_t until_s;
        int32_t east_s = zone_offset(zone, from_s, &until_s);

        s.list[s.count].from_s = from_s;
        s.list[s.count].to_s = until_s < end_s ? until_s : end_s;
        s.list[s.count].east_s = east_s;
        from_s = s.list[s.count++].to_s;
    }
    return s;
}

/* The first instant of the spans, before `limit_s`, at which a rule holds, or not; POLICY_NEVER. */
static int64_t next_of_rule(const struct policy_doc *d, const struct policy_rule *r, bool wanted,
                            const struct spans *s, int64_t limit_s)
{
    for (size_t i = 0; i < s->count && s->list[i].from_s < limit_s; i++) {
        int32_t east_s = s->list[i].east_s;
        int64_t last_s = s->list[i].to_s < limit_s ? s->list[i].to_s : limit_s;
        int64_t local_s =
            window_next(d, &r->when, wanted, s->list[i].from_s + east_s, last_s - 1 + east_s);

        if (local_s <= last_s - 1 + east_s)
            return local_s - east_s;
    }
    return POLICY_NEVER;
}

/* The one that holds stops, or one before it begins. */
static int64_t next_within(const struct question *q, const struct policy_terms *now,
                           const struct spans *spans)
{
    const struct policy_doc *d = q->policy->doc;
    size_t holding = now->source == POLICY_BY_RULE ? now->index : d->rule_count;
    int64_t next_s = POLICY_NEVER;

    if (holding < d->rule_count)
        next_s = next_of_rule(d, &d->rules[holding], false, spans, POLICY_NEVER);
    for (size_t i = 0; i < holding; i++) {
        int64_t begins_s;

        if (!rule_fits(q, &d->rules[i]))
            continue;
        begins_s = next_of_rule(d, &d->rules[i], true, spans, next_s);
        if (begins_s < next_s)
            next_s = begins_s;
    }
    return next_s;
}

static int64_t next_of_rules(const struct question *q, const struct policy_terms *now)
{
    int64_t from_s = q->wall_s + 1, next_s = POLICY_NEVER;
    int64_t horizon_s = from_s + (int64_t)HORIZON_DAYS * DAY_S;
    bool more = true;

    while (next_s == POLICY_NEVER && more) {
        struct spans spans = spans_of(q->zone, from_s);

        next_s = next_within(q, now, &spans);
        more = from_s <= q->policy->last_date_s && from_s < horizon_s;
        from_s = spans.list[spans.count - 1].to_s;
    }
    return next_s;
}

static int64_t next_of(const struct question *q, const struct policy_terms *now)
{
    if (!q->has_clock)
        return POLICY_NEVER;
    if (now->source == POLICY_BY_OVERRIDE)
        return policy_peek_overrides(q->policy)->list[now->index].until_s;
    return q->zone == NULL ? POLICY_NEVER : next_of_rules(q, now);
}

struct policy_terms policy_now_and_next(const struct policy *p, const struct policy_place *place,
                                        int64_t wall_s, int64_t *next_s)
{
    struct question q = question_of(p, place, wall_s);
    struct policy_terms now = answer(&q);

    *next_s = next_of(&q, &now);
    return now;
}

int64_t policy_next_change(const struct policy *p, const struct policy_place *place, int64_t wall_s)
{
    int64_t next_s;

    (void)policy_now_and_next(p, place, wall_s, &next_s);
    return next_s;
}
