/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/branches_policy.c – what the policy says of branches and devices, a few of them a turn.
 *
 *     policy_book ── a few watches a turn ──> branch: its limits ──> queue
 *     queue ── a few devices a turn ──> their site, their own limits, frames; who waited goes on
 *
 * A branch that changes again while its devices are looked at begins a new round with those that
 * waited longest: several changes are one, and nobody is left out.
 */
#include "transfer/branches_impl.h"

#include <string.h>

#include "base/alloc.h"
#include "base/units.h"

/* A policy of 1,000 rules takes 15 us for a device, both ways. */
enum { WORK_A_TURN = 64 };
/* What the clock changes for single devices is looked at so often; branches have watches. */
#define AGAIN_NS (60 * NS_PER_S)

uint8_t branch_direction(enum branch_way way)
{
    return way == BRANCH_DOWN ? POLICY_DOWN : POLICY_UP;
}

struct policy_place branch_policy_place(const struct branch_client *c, enum branch_way way)
{
    return (struct policy_place){.site = c->named_site,
                                 .device = c->device,
                                 .addresses = (const uint8_t(*)[16])c->address,
                                 .address_count = c->address_count,
                                 .direction = branch_direction(way),
                                 .side = c->branch->is_lan ? POLICY_LAN : POLICY_WAN};
}

/* ---- a device -------------------------------------------------------------------------------- */

/* Its own, or those of a site beside the one that it is counted with: a machine of Oslo that stands
 * in Boston's subnet obeys both. */
static bool is_own(const struct branch_client *c, enum branch_way way, const struct policy_terms *t)
{
    const struct policy_terms *site = &c->branch->watches[way].terms;

    switch (t->scope) {
    case POLICY_CLIENT: return true;
    case POLICY_SITE: return t->source != site->source || t->index != site->index;
    case POLICY_GLOBAL:
    case POLICY_LINK:
    case POLICY_JOB: return false;
    }
    alb_unreachable();
}

static uint64_t own_limit(const struct branch_client *c, enum branch_way way)
{
    const struct branches *b = c->branch->all;

    if (b->options.policy == NULL || !b->asks_clients)
        return 0;
    const struct policy_place place = branch_policy_place(c, way);
    const struct policy_terms t = policy_book_terms(b->options.policy, &place);
    return t.source != POLICY_BY_DEFAULT && is_own(c, way, &t) ? policy_absolute_bps(&t.action) : 0;
}

static void limit(struct branch_client *c, enum branch_way way)
{
    struct branches *b = c->branch->all;
    const uint64_t bps = own_limit(c, way);
    const struct node_terms terms = branch_terms(bps);

    if (bps == c->limits_bps[way])
        return;
    c->limits_bps[way] = bps;
    shaper_node_set_terms(b->shapers[way], c->nodes[way], &terms);
}

/* On a thin line a large frame would keep PINGs and answers waiting for seconds. */
void branch_policy_size_frames(struct branch_member *m)
{
    if (!m->takes_bulk)
        return;
    const uint64_t bps = tree_leaf_ceiling_bps(m->leaves[BRANCH_DOWN].node);
    http_session_set_frame_size(m->session, bps == TREE_UNLIMITED ? 0 : http_frame_size(bps));
}

/* Its site is the one that its grant names if that is ours or the policy has it, else the one whose
 * subnet it is in (rules taken over from Mirage know subnets), else the one of its grant after all.
 */
static const char *site_of(const struct branch_client *c)
{
    const struct branches *b = c->branch->all;
    const struct policy *p = b->options.policy != NULL ? policy_book_peek(b->options.policy) : NULL;

    if (p == NULL || c->address_count == 0 || policy_has_site(p, c->named_site) ||
        (b->options.own_site != NULL && strcmp(b->options.own_site, c->named_site) == 0))
        return c->named_site;
    const char *site = policy_site_of(p, c->address[0]);
    return site != NULL ? site : c->named_site;
}

void branch_policy_look(struct branch_client *c)
{
    struct branches *b = c->branch->all;
    struct branch *branch = branch_of(b, site_of(c));
    struct branch_member *m;

    if (branch != c->branch)
        branch_client_move(c, branch);
    limit(c, BRANCH_DOWN);
    limit(c, BRANCH_UP);
    TAILQ_FOREACH(m, &c->members, link)
    {
        m->asked_ns = 0;
        branch_policy_size_frames(m);
        if (b->options.changed != NULL)
            b->options.changed(b->options.arg, m->owner);
    }
}

/* ---- a few a turn ---------------------------------------------------------------------------- */

/* The one of them that waits longest; NULL: all were looked at. */
static struct branch_client *take_client(struct branch *branch)
{
    struct branch_client *c = TAILQ_FIRST(&branch->clients);

    if (c == NULL || c->round == branch->round)
        return NULL;
    TAILQ_REMOVE(&branch->clients, c, link);
    TAILQ_INSERT_TAIL(&branch->clients, c, link);
    c->round = branch->round;
    return c;
}

static size_t count_members(const struct branch_client *c)
{
    const struct branch_member *m;
    size_t count = 0;

    TAILQ_FOREACH(m, &c->members, link)
    count++;
    return count;
}

static void on_turn(void *arg)
{
    struct branches *b = arg;
    size_t done = 0;

    while (!TAILQ_EMPTY(&b->queue) && done++ < WORK_A_TURN) {
        struct branch *branch = TAILQ_FIRST(&b->queue);
        done += branch->is_placed ? 0 : branch->devices;
        branch_settle(branch);
        struct branch_client *c = take_client(branch);
        if (c == NULL) {
            TAILQ_REMOVE(&b->queue, branch, queue);
            branch->is_queued = false;
            continue;
        }
        branch_policy_look(c);
        done += count_members(c);
    }
    if (!TAILQ_EMPTY(&b->queue))
        timer_set_in(&b->turns, 0);
}

static void look_soon(struct branch *branch)
{
    struct branches *b = branch->all;

    branch->round++;
    if (branch->is_queued || TAILQ_EMPTY(&branch->clients))
        return;
    branch->is_queued = true;
    TAILQ_INSERT_TAIL(&b->queue, branch, queue);
    if (!timer_is_set(&b->turns))
        timer_set_in(&b->turns, 0);
}

/* ---- a branch -------------------------------------------------------------------------------- */

/* Of overrides any may be about a device; and where there are subnets, a device may be in one that
 * is not its site's. */
static bool asks_clients(const struct branches *b)
{
    const struct policy *p = policy_book_peek(b->options.policy);
    const struct policy_doc *d = policy_peek(p);

    for (size_t i = 0; d != NULL && i < d->rule_count; i++)
        if (d->rules[i].scope == POLICY_CLIENT)
            return true;
    return (d != NULL && d->subnet_count > 0) || policy_peek_overrides(p)->count > 0;
}

/* Those of no site are admins, publishers, and who has not shown a grant yet: without a limit.
 * The receiver knows its capacity, the sender does not: percentages are the receiver's. */
uint64_t branch_policy_limit(const struct branch *branch, enum branch_way way)
{
    const struct policy_terms *t = &branch->watches[way].terms;
    const bool is_own = t->scope == POLICY_SITE || t->source == POLICY_BY_STRICTEST;

    if (branch->site[0] == '\0' || branch->all->options.policy == NULL || !is_own)
        return 0; /* what is a link's, or everybody's, is theirs together: branches_sums.c */
    return policy_absolute_bps(&t->action);
}

static void take_terms(struct branch *branch, enum branch_way way)
{
    const struct node_terms terms = branch_terms(branch_policy_limit(branch, way));

    if (branch->site[0] != '\0')
        shaper_node_set_terms(branch->all->shapers[way], branch->nodes[way], &terms);
}

static void branch_changed(struct branch *branch, enum branch_way way)
{
    take_terms(branch, way);
    branch->is_placed = false;
    look_soon(branch);
}

static void down_changed(struct policy_watch *w)
{
    branch_changed(ALB_CONTAINER(w, struct branch, watches[BRANCH_DOWN]), BRANCH_DOWN);
}

static void up_changed(struct policy_watch *w)
{
    branch_changed(ALB_CONTAINER(w, struct branch, watches[BRANCH_UP]), BRANCH_UP);
}

void branch_policy_watch(struct branch *branch)
{
    struct policy_book *book = branch->all->options.policy;

    for (size_t i = 0; i < BRANCH_WAYS && book != NULL; i++) {
        struct policy_watch *w = &branch->watches[i];
        w->place = (struct policy_place){.site = branch->site,
                                         .direction = branch_direction((enum branch_way)i),
                                         .side = branch->is_lan ? POLICY_LAN : POLICY_WAN};
        w->changed = i == BRANCH_DOWN ? down_changed : up_changed;
        policy_book_watch(book, w);
        take_terms(branch, (enum branch_way)i);
    }
}

void branch_policy_unwatch(struct branch *branch)
{
    struct policy_book *book = branch->all->options.policy;

    for (size_t i = 0; i < BRANCH_WAYS && book != NULL; i++)
        policy_book_unwatch(book, &branch->watches[i]);
}

/* ---- all ------------------------------------------------------------------------------------- */

static void look_at_all(struct branches *b)
{
    struct branch *branch;

    TAILQ_FOREACH(branch, &b->list, link)
    look_soon(branch);
}

/* What is said of single devices, and where subnets are, no branch's own terms tell. */
static void document_changed(struct policy_watch *w)
{
    struct branches *b = ALB_CONTAINER(w, struct branches, documents);

    b->asks_clients = asks_clients(b);
    branch_sums_forget(b);
    look_at_all(b);
}

static void on_again(void *arg)
{
    struct branches *b = arg;

    if (b->members == 0)
        return;
    if (b->asks_clients)
        look_at_all(b);
    timer_set_in(&b->again, AGAIN_NS);
}

void branch_policy_init(struct branches *b)
{
    TAILQ_INIT(&b->queue);
    timer_init(&b->turns, b->options.loop, on_turn, b);
    timer_init(&b->again, b->options.loop, on_again, b);
    if (b->options.policy == NULL)
        return;
    b->documents = (struct policy_watch){.changed = document_changed, .hears_all = true};
    policy_book_watch(b->options.policy, &b->documents);
    b->asks_clients = asks_clients(b);
}

void branch_policy_release(struct branches *b)
{
    timer_stop(&b->turns);
    timer_stop(&b->again);
    if (b->options.policy != NULL)
        policy_book_unwatch(b->options.policy, &b->documents);
}

void branch_policy_entered(struct branches *b)
{
    if (b->options.policy != NULL && !timer_is_set(&b->again))
        timer_set_in(&b->again, AGAIN_NS);
}
