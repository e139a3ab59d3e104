/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/branches_sums.c – sums above branches: what the policy says of a link holds for all its
 * sites together, and what it says of everything for everybody of a side.
 *
 *     the port ── everything (of the WAN, or the LAN) ── link ── branch
 *
 * Hours are those of sites, so one sum is looked at in each time zone that its branches have, and
 * the lowest limit counts.  Whom an operator lets go is beside all sums meanwhile.
 */
#include "transfer/branches_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/json.h"

struct sum_zone {
    struct branch_sum *sum;
    char zone[POLICY_ZONE_MAX];
    char site[NAME_MAX_SIZE]; /* one that has it, and the link */
    struct policy_watch watches[BRANCH_WAYS];
    TAILQ_ENTRY(sum_zone) link;
};

struct branch_sum { /* never freed before the end, as branches are */
    struct branches *all;
    char of[NAME_MAX_SIZE]; /* the link; "" is everything */
    bool is_lan;
    struct tree_node *nodes[BRANCH_WAYS];
    uint64_t limits_bps[BRANCH_WAYS]; /* as last set */
    TAILQ_HEAD(, sum_zone) zones;
    TAILQ_ENTRY(branch_sum) link; /* a link's goes before that of everything */
};

/* ---- limits ---------------------------------------------------------------------------------- */

static bool is_everything(const struct branch_sum *s)
{
    return s->of[0] == '\0';
}

/* Who knows neither time nor zone obeys the strictest, whosever sum it is. */
static uint64_t limit_of(const struct branch_sum *s, const struct policy_terms *t)
{
    const enum policy_scope scope = is_everything(s) ? POLICY_GLOBAL : POLICY_LINK;
    const bool is_own =
        t->source == POLICY_BY_STRICTEST || (t->source != POLICY_BY_DEFAULT && t->scope == scope);

    return is_own ? policy_absolute_bps(&t->action) : 0;
}

static void limit(struct branch_sum *s, enum branch_way way)
{
    const struct sum_zone *z;
    uint64_t least_bps = 0;

    TAILQ_FOREACH(z, &s->zones, link)
    {
        const uint64_t bps = limit_of(s, &z->watches[way].terms);
        if (bps != 0 && (least_bps == 0 || bps < least_bps))
            least_bps = bps;
    }
    if (least_bps == s->limits_bps[way])
        return;
    s->limits_bps[way] = least_bps;
    const struct node_terms terms = branch_terms(least_bps);
    shaper_node_set_terms(s->all->shapers[way], s->nodes[way], &terms);
}

static void down_changed(struct policy_watch *w)
{
    limit(ALB_CONTAINER(w, struct sum_zone, watches[BRANCH_DOWN])->sum, BRANCH_DOWN);
}

static void up_changed(struct policy_watch *w)
{
    limit(ALB_CONTAINER(w, struct sum_zone, watches[BRANCH_UP])->sum, BRANCH_UP);
}

/* ---- zones ----------------------------------------------------------------------------------- */

static void add_zone(struct branch_sum *s, const char *zone, const char *site)
{
    struct policy_book *book = s->all->options.policy;
    struct sum_zone *z;

    TAILQ_FOREACH(z, &s->zones, link)
    if (strcmp(z->zone, zone) == 0)
        return;
    z = xalloc(sizeof *z);
    z->sum = s;
    snprintf(z->zone, sizeof z->zone, "%s", zone);
    snprintf(z->site, sizeof z->site, "%s", site);
    TAILQ_INSERT_TAIL(&s->zones, z, link);
    for (size_t i = 0; i < BRANCH_WAYS; i++) {
        struct policy_watch *w = &z->watches[i];
        w->place = (struct policy_place){.site = z->site,
                                         .sum = is_everything(s) ? POLICY_OF_ALL : POLICY_OF_LINK,
                                         .direction = branch_direction((enum branch_way)i),
                                         .side = s->is_lan ? POLICY_LAN : POLICY_WAN};
        w->changed = i == BRANCH_DOWN ? down_changed : up_changed;
        policy_book_watch(book, w);
        limit(s, (enum branch_way)i);
    }
}

static void drop_zones(struct branch_sum *s)
{
    struct sum_zone *z;

    while ((z = TAILQ_FIRST(&s->zones)) != NULL) {
        TAILQ_REMOVE(&s->zones, z, link);
        for (size_t i = 0; i < BRANCH_WAYS; i++)
            policy_book_unwatch(s->all->options.policy, &z->watches[i]);
        free(z);
    }
}

/* ---- sums ------------------------------------------------------------------------------------ */

static struct branch_sum *sum_of(struct branches *b, bool is_lan, const char *of)
{
    char name[NAME_MAX_SIZE + 4];

    snprintf(name, sizeof name, "%s %s", is_lan ? "lan" : "wan", of);
    const struct chunk_key key = map_text_key(name);
    struct branch_sum *s = map_get(&b->by_sum, &key);
    if (s != NULL)
        return s;
    const struct branch_sum *above = of[0] == '\0' ? NULL : sum_of(b, is_lan, "");
    const struct node_terms terms = branch_terms(0);
    s = xalloc(sizeof *s);
    s->all = b;
    s->is_lan = is_lan;
    snprintf(s->of, sizeof s->of, "%s", of);
    TAILQ_INIT(&s->zones);
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        s->nodes[i] =
            shaper_node_new(b->shapers[i], above == NULL ? NULL : above->nodes[i], &terms);
    map_put(&b->by_sum, &key, s);
    TAILQ_INSERT_HEAD(&b->sums, s, link);
    return s;
}

/* Whatever the policy says: also of the link, and of everything. */
static bool is_let_go(const struct branch *branch)
{
    const struct policy_terms *t = &branch->watches[BRANCH_DOWN].terms;
    const struct policy_terms *up = &branch->watches[BRANCH_UP].terms;

    return t->source == POLICY_BY_OVERRIDE && t->action.mode == POLICY_FULL &&
           up->source == POLICY_BY_OVERRIDE && up->action.mode == POLICY_FULL;
}

struct branch_sum *branch_sum_place(struct branch *branch)
{
    struct branches *b = branch->all;
    const char *zone;

    branch->is_placed = true;
    if (b->options.policy == NULL || branch->site[0] == '\0')
        return NULL;
    const struct policy *p = policy_book_peek(b->options.policy);
    const char *of = policy_site_link(p, branch->site, &zone);
    struct branch_sum *s = sum_of(b, branch->is_lan, of);
    add_zone(s, zone, branch->site);
    if (!is_everything(s))
        add_zone(sum_of(b, branch->is_lan, ""), zone, branch->site);
    return is_let_go(branch) ? NULL : s;
}

struct tree_node *branch_sum_node(const struct branch_sum *s, enum branch_way way)
{
    return s == NULL ? NULL : s->nodes[way];
}

void branch_sums_forget(struct branches *b)
{
    struct branch_sum *s;
    struct branch *branch;

    TAILQ_FOREACH(s, &b->sums, link)
    drop_zones(s);
    TAILQ_FOREACH(branch, &b->list, link)
    branch->is_placed = false;
}

void branch_sums_free(struct branches *b)
{
    struct branch_sum *s;

    while ((s = TAILQ_FIRST(&b->sums)) != NULL) {
        TAILQ_REMOVE(&b->sums, s, link);
        drop_zones(s);
        for (size_t i = 0; i < BRANCH_WAYS; i++)
            shaper_node_free(b->shapers[i], s->nodes[i]);
        free(s);
    }
}

/* ---- shown ----------------------------------------------------------------------------------- */

static void put_way(struct json_writer *w, const struct branch_sum *s, enum branch_way way)
{
    json_object_begin(w, way == BRANCH_DOWN ? "down" : "up");
    branch_put_node(w, s->nodes[way], 0);
    json_end(w);
}

void branch_sums_show(const struct branches *b, struct json_writer *w)
{
    const struct branch_sum *s;

    json_array_begin(w, "links");
    TAILQ_FOREACH(s, &b->sums, link)
    {
        json_object_begin(w, NULL);
        json_text(w, "name", s->of);
        json_text(w, "side", s->is_lan ? "lan" : "wan");
        put_way(w, s, BRANCH_DOWN);
        put_way(w, s, BRANCH_UP);
        json_end(w);
    }
    json_end(w);
}
