/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/chooser_gather.c – of the signed list, beacons and the configuration, the candidates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "transfer/chooser_impl.h"
#include "wire/subnets.h"

/* Places without a rank from the list come behind all of the same tier that have one. */
enum { ORDER_CONFIGURED = 100, ORDER_BEACON = 200, ORDER_REMEMBERED = 300 };
enum { PLACES_OF_LIST = 40, DEPTH_ELSEWHERE = 100 /* behind every site above */ };

struct gathering {
    const struct chooser *chooser;
    const struct net_place *place;
    struct choice_candidate *out;
    struct chooser_candidate *more;
    size_t count;
};

static bool is_same_place(const struct upstream_place *a, const struct upstream_place *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

size_t chooser_find(const struct chooser *c, const struct upstream_place *place)
{
    for (size_t i = 0; i < c->count; i++)
        if (is_same_place(&c->facts[i].place, place))
            return i;
    return CHOICE_NONE;
}

static bool is_there(const struct gathering *g, const struct upstream_place *place)
{
    for (size_t i = 0; i < g->count; i++)
        if (is_same_place(&g->out[i].place, place))
            return true;
    return false;
}

/* Who is disabled ends his sessions himself: one that serves us is not, whatever a list says that
 * came by a parent which had not heard of the next one. */
static bool is_outdated(const struct gathering *g, const struct upstream_place *place,
                        enum reflector_state listed)
{
    const struct upstream *u = g->chooser->upstream;

    return listed == REFLECTOR_DISABLE && u != NULL && upstream_is_up(u) &&
           is_same_place(upstream_at(u), place);
}

/* Whatever was learned of a place stays, unless the list now names somebody else there, or what an
 * operator said of it changed. */
static void keep_facts(struct gathering *g, struct choice_candidate *to,
                       struct chooser_candidate *more)
{
    const size_t i = chooser_find(g->chooser, &to->place);

    if (i == CHOICE_NONE)
        return;
    const struct choice_candidate *from = &g->chooser->facts[i];
    const struct chooser_candidate *before = &g->chooser->more[i];
    struct choice_candidate kept = *from;
    struct chooser_candidate kept_more = *before;
    if (more->is_expected && strcmp(to->device, from->device) != 0) {
        kept.is_foreign = kept.is_revoked = false;
        kept_more.serial[0] = '\0';
        kept.failed_until_ns = before->is_being_asked ? UINT64_MAX : 0;
    }
    if (more->is_expected)
        memcpy(kept.device, to->device, sizeof kept.device);
    if (more->listed != before->listed && !is_outdated(g, &to->place, more->listed))
        kept.state = more->listed;
    kept.from = to->from;
    kept.tier = from->tier == CHOICE_HUB && !more->is_expected ? CHOICE_HUB : to->tier;
    kept.depth = to->depth;
    kept.order = to->order;
    kept_more.is_expected = more->is_expected;
    kept_more.listed = more->listed;
    *to = kept;
    *more = kept_more;
}

static void add(struct gathering *g, const struct choice_candidate *candidate,
                enum reflector_state listed)
{
    if (g->count == CHOICE_MAX || is_there(g, &candidate->place))
        return;
    struct choice_candidate *to = &g->out[g->count];
    struct chooser_candidate *more = &g->more[g->count];

    *to = *candidate;
    *more = (struct chooser_candidate){.listed = listed, .is_expected = to->device[0] != '\0'};
    to->state = listed;
    keep_facts(g, to, more);
    g->count++;
}

static bool holds_any(const struct nearby_holder *h, const struct net_place *place)
{
    for (size_t s = 0; s < h->subnet_count; s++)
        for (size_t a = 0; a < place->address_count; a++)
            if (subnet_is_of_kind(&h->subnets[s], place->addresses[a]) &&
                subnet_holds(&h->subnets[s], place->addresses[a]))
                return true;
    return false;
}

static enum choice_tier tier_of(const struct nearby_holder *h, const struct net_place *place)
{
    if (holds_any(h, place))
        return CHOICE_SAME_SUBNET;
    return h->depth == 0 ? CHOICE_SAME_SITE : CHOICE_PARENT_SITE;
}

static bool is_ipv4(const uint8_t address[16])
{
    static const uint8_t PREFIX[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(address, PREFIX, sizeof PREFIX) == 0;
}

/* Has this machine an address of that kind at all?  True when its own are not known. */
static bool is_reachable(const struct net_place *place, const char *host)
{
    uint8_t address[16];

    if (place->address_count == 0 || alb_failed(site_address_parse(host, address)))
        return true;
    for (size_t a = 0; a < place->address_count; a++)
        if (is_ipv4(place->addresses[a]) == is_ipv4(address))
            return true;
    return false;
}

static void add_holder(struct gathering *g, const struct nearby_holder *h, size_t most)
{
    struct choice_candidate c = {.from = CHOICE_BY_LIST, .depth = h->depth, .order = h->order};
    size_t taken = 0;

    if (strcmp(h->device, g->chooser->options.device) == 0 ||
        (g->chooser->options.is_reflector && h->depth == 0))
        return;
    c.tier = tier_of(h, g->place);
    snprintf(c.device, sizeof c.device, "%.63s", h->device);
    for (size_t i = 0; i < h->at_count && taken < most; i++) {
        if (!is_reachable(g->place, h->at[i].host))
            continue;
        snprintf(c.place.host, sizeof c.place.host, "%.45s", h->at[i].host);
        c.place.port = h->at[i].port;
        add(g, &c, h->state);
        taken++;
    }
}

static void add_list(struct gathering *g)
{
    const struct nearby *list = &g->chooser->list;
    const size_t holders = list->holder_count > 0 ? list->holder_count : 1;
    const size_t most = PLACES_OF_LIST / holders > 0 ? PLACES_OF_LIST / holders : 1;

    for (size_t i = 0; i < list->holder_count; i++)
        add_holder(g, &list->holders[i], most);
    for (size_t i = 0; i < list->hub_count; i++) {
        struct choice_candidate c = {
            .from = CHOICE_BY_LIST, .tier = CHOICE_HUB, .order = (unsigned)i};
        snprintf(c.place.host, sizeof c.place.host, "%.255s", list->hub[i].host);
        c.place.port = list->hub[i].port;
        add(g, &c, REFLECTOR_ACCEPT);
    }
}

static void add_plain(struct gathering *g, const struct upstream_place *place,
                      enum choice_from from, unsigned order)
{
    const struct choice_candidate c = {.place = *place,
                                       .from = from,
                                       .tier = from == CHOICE_BY_BEACON ? CHOICE_SAME_SUBNET
                                                                        : CHOICE_SAME_SITE,
                                       .order = order};

    add(g, &c, REFLECTOR_ACCEPT);
}

/* Another name of somebody who is on the list: it has his rank, behind the list's own address. */
static void rank_alias(const struct gathering *g, size_t i, const struct nearby_holder *holder)
{
    struct choice_candidate *c = &g->out[i];

    c->tier = tier_of(holder, g->place);
    c->depth = holder->depth;
    c->order = holder->order;
    if (g->more[i].listed != holder->state && !is_outdated(g, &c->place, holder->state))
        c->state = holder->state;
    g->more[i].listed = holder->state;
}

/* The list names all of its site and of those above: who is not on it is another site's, and a WAN
 * lies between.  Whom an operator named is asked before the hub all the same; one that we remember
 * from elsewhere, behind it.  A beacon stands on our own link, whatever is said of it. */
static void rank_stranger(struct choice_candidate *c)
{
    if (c->from == CHOICE_BY_CONFIGURATION) {
        c->tier = CHOICE_PARENT_SITE;
        c->depth = DEPTH_ELSEWHERE;
    } else if (c->from == CHOICE_BY_MEMORY) {
        c->tier = CHOICE_ELSEWHERE;
    }
}

/* A list of no site, got through a tunnel: whom we remember is reached through it as well. */
static bool is_far_off(const struct gathering *g, const struct choice_candidate *c)
{
    return g->place->has_vpn && g->chooser->list.number != 0 && c->from == CHOICE_BY_MEMORY;
}

/* By its device, where the list does not name the place itself. */
static void rank_by_device(const struct gathering *g, size_t i)
{
    const struct nearby *list = &g->chooser->list;
    struct choice_candidate *c = &g->out[i];

    if (c->from == CHOICE_BY_LIST || c->tier == CHOICE_HUB || c->device[0] == '\0')
        return;
    for (size_t h = 0; h < list->holder_count; h++)
        if (strcmp(list->holders[h].device, c->device) == 0) {
            rank_alias(g, i, &list->holders[h]);
            return;
        }
    if (list->site[0] != '\0' || is_far_off(g, c))
        rank_stranger(c);
}

void chooser_rank(struct chooser *c, size_t i)
{
    const struct gathering g = {
        .chooser = c, .place = &c->place, .out = c->facts, .more = c->more, .count = c->count};

    rank_by_device(&g, i);
}

size_t chooser_candidates(const struct chooser *c, const struct net_place *place,
                          struct choice_candidate *out, struct chooser_candidate *more)
{
    struct gathering g = {.chooser = c, .place = place, .out = out, .more = more};
    const struct chooser_options *o = &c->options;

    add_list(&g);
    if (o->hub.port != 0) {
        const struct choice_candidate hub = {.place = o->hub,
                                             .from = CHOICE_BY_CONFIGURATION,
                                             .tier = CHOICE_HUB,
                                             .order = ORDER_CONFIGURED};
        add(&g, &hub, REFLECTOR_ACCEPT);
    }
    for (size_t i = 0; i < o->place_count; i++)
        add_plain(&g, &o->places[i], CHOICE_BY_CONFIGURATION, ORDER_CONFIGURED + (unsigned)i);
    for (size_t i = 0; i < c->beacon_count && !o->is_reflector; i++)
        add_plain(&g, &c->beacons[i], CHOICE_BY_BEACON, ORDER_BEACON + (unsigned)i);
    if (c->remembered.port != 0)
        add_plain(&g, &c->remembered, CHOICE_BY_MEMORY, ORDER_REMEMBERED);
    for (size_t i = 0; i < g.count; i++)
        rank_by_device(&g, i);
    return g.count;
}

void chooser_gather(struct chooser *c)
{
    struct choice_candidate *facts = xalloc(sizeof c->facts);
    struct chooser_candidate *more = xalloc(sizeof c->more);

    struct upstream_place chosen = {.port = 0};
    if (c->choice.chosen != CHOICE_NONE)
        chosen = c->facts[c->choice.chosen].place;
    c->count = chooser_candidates(c, &c->place, facts, more);
    memcpy(c->facts, facts, sizeof c->facts);
    memcpy(c->more, more, sizeof c->more);
    free(facts);
    free(more);
    c->terms = c->list.terms;
    if (c->options.is_reflector)
        c->terms.use = SITE_USE_PREFER; /* whoever serves the site must get it from somewhere */
    c->choice = (struct choice){.chosen = chooser_find(c, &chosen)}; /* the index is another */
    chooser_decide_soon(c);
}

void chooser_drop_list(struct chooser *c)
{
    nearby_release(&c->list);
    c->list = (struct nearby){.terms = {.use = SITE_USE_UNSET}};
}

/* ---- what is told ---------------------------------------------------------------------------- */

void chooser_set_list(struct chooser *c, const struct nearby *list)
{
    chooser_drop_list(c);
    if (list != NULL) {
        const size_t size = list->holder_count * sizeof list->holders[0];
        c->list = *list;
        c->list.holders = size > 0 ? memcpy(xalloc(size), list->holders, size) : NULL;
    }
    chooser_gather(c);
}

void chooser_set_beacons(struct chooser *c, const struct upstream_place *places, size_t count)
{
    const size_t taken = count < CHOOSER_BEACONS_MAX ? count : CHOOSER_BEACONS_MAX;
    bool is_same = taken == c->beacon_count;

    for (size_t i = 0; i < taken && is_same; i++)
        is_same = is_same_place(&c->beacons[i], &places[i]);
    if (is_same)
        return;
    c->beacon_count = taken;
    if (taken > 0)
        memcpy(c->beacons, places, taken * sizeof places[0]);
    chooser_gather(c);
}
