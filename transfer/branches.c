/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/branches.c – two budget trees, a node for each branch in both, ruled by the policy. */
#include "transfer/branches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/units.h"
#include "wire/json.h"

/* What the clock changes for single clients is looked at so often; branches have watches. */
#define CLIENTS_EVERY_NS (60 * NS_PER_S)

struct branch { /* never freed before the end: its debts stay its own */
    struct branches *all;
    char site[NAME_MAX_SIZE];
    bool is_lan;
    struct tree_node *nodes[BRANCH_WAYS];
    struct policy_watch watches[BRANCH_WAYS]; /* unless there is no policy */
    size_t members;
    struct branch_bulk bulk; /* of one look */
    uint64_t bulk_look;
    TAILQ_ENTRY(branch) link;
};

struct branch_member {
    struct branches *all;
    struct branch *branch; /* at first the one without a name: of no site, or not known yet */
    char device[NAME_MAX_SIZE];
    struct http_session *session;
    bool takes_bulk; /* chunks are sent to it */
    bool is_off;     /* for this layer, as the policy said then */
    uint64_t asked_ns;
    char asked_layer[NAME_MAX_SIZE];
    struct shaper_leaf leaves[BRANCH_WAYS];
    TAILQ_ENTRY(branch_member) link;
};

struct branches {
    struct branches_options options;
    struct shaper *shapers[BRANCH_WAYS];
    struct map by_name;
    TAILQ_HEAD(, branch) list;
    TAILQ_HEAD(, branch_member) members;
    struct timer clients;
};

static void look_at_clients(void *arg);

/* ---- birth and death ------------------------------------------------------------------------- */

static struct node_terms terms_of(uint64_t ceiling_bps)
{
    return (struct node_terms){.ceiling_bps = ceiling_bps != 0 ? ceiling_bps : TREE_UNLIMITED};
}

struct branches *branches_new(const struct branches_options *options)
{
    struct branches *b = xalloc(sizeof *b);

    b->options = *options;
    map_init(&b->by_name);
    TAILQ_INIT(&b->list);
    TAILQ_INIT(&b->members);
    timer_init(&b->clients, options->loop, look_at_clients, b);
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        b->shapers[i] =
            shaper_new(options->loop,
                       &(struct shaper_options){.link = terms_of(options->link_bps),
                                                .packet_overhead_bytes = options->packet_overhead});
    return b;
}

/* Those of no site are admins, publishers, and who has not shown a grant yet. */
static bool is_ruled(const struct branch *branch)
{
    return branch->all->options.policy != NULL && branch->site[0] != '\0';
}

static void branch_free(struct branch *branch)
{
    struct branches *b = branch->all;

    for (size_t i = 0; i < BRANCH_WAYS; i++) {
        if (is_ruled(branch))
            policy_book_unwatch(b->options.policy, &branch->watches[i]);
        shaper_node_free(b->shapers[i], branch->nodes[i]);
    }
    free(branch);
}

struct branches *branches_free(struct branches *b)
{
    struct branch *branch;

    if (b == NULL)
        return NULL;
    alb_assert(TAILQ_EMPTY(&b->members));
    timer_stop(&b->clients);
    while ((branch = TAILQ_FIRST(&b->list)) != NULL) {
        TAILQ_REMOVE(&b->list, branch, link);
        branch_free(branch);
    }
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        shaper_free(b->shapers[i]);
    map_release(&b->by_name);
    free(b);
    return NULL;
}

/* ---- what the policy says -------------------------------------------------------------------- */

static uint8_t direction_of(enum branch_way way)
{
    return way == BRANCH_DOWN ? POLICY_DOWN : POLICY_UP;
}

static void limit_member(struct branch_member *m, enum branch_way way)
{
    const struct branch *branch = m->branch;
    const struct policy_place place = {.site = branch->site,
                                       .device = m->device,
                                       .direction = direction_of(way),
                                       .side = branch->is_lan ? POLICY_LAN : POLICY_WAN};
    const struct policy_terms t = policy_book_terms(m->all->options.policy, &place);
    const bool is_own = t.scope == POLICY_CLIENT && t.source != POLICY_BY_DEFAULT;
    const struct node_terms terms = terms_of(is_own ? policy_absolute_bps(&t.action) : 0);

    shaper_leaf_set_terms(&m->leaves[way], &terms);
}

/* On a thin line a large frame would keep PINGs and answers waiting for seconds. */
static void size_frames(struct branch_member *m)
{
    struct node_figures f;

    if (!m->takes_bulk)
        return;
    tree_node_figures(m->branch->nodes[BRANCH_DOWN], &f);
    const uint64_t bps = f.terms.ceiling_bps;
    http_session_set_frame_size(m->session, bps == TREE_UNLIMITED ? 0 : http_frame_size(bps));
}

static void limit_both(struct branch_member *m)
{
    size_frames(m);
    if (m->all->options.policy == NULL)
        return;
    limit_member(m, BRANCH_DOWN);
    limit_member(m, BRANCH_UP);
}

static bool has_client_rules(const struct branches *b)
{
    const struct policy *p = policy_book_peek(b->options.policy);
    const struct policy_doc *d = policy_peek(p);

    for (size_t i = 0; d != NULL && i < d->rule_count; i++)
        if (d->rules[i].scope == POLICY_CLIENT)
            return true;
    return policy_peek_overrides(p)->count > 0;
}

static void look_at_clients(void *arg)
{
    struct branches *b = arg;
    struct branch_member *m;

    if (TAILQ_EMPTY(&b->members))
        return;
    if (has_client_rules(b))
        TAILQ_FOREACH(m, &b->members, link)
    limit_both(m);
    timer_set_in(&b->clients, CLIENTS_EVERY_NS);
}

static void take_terms(struct branch *branch, enum branch_way way)
{
    struct branches *b = branch->all;
    /* The receiver knows its capacity, the sender does not: percentages are the receiver's. */
    const uint64_t bps = policy_absolute_bps(&branch->watches[way].terms.action);
    const struct node_terms terms = terms_of(bps);

    shaper_node_set_terms(b->shapers[way], branch->nodes[way], &terms);
}

static void branch_changed(struct branch *branch, enum branch_way way)
{
    struct branches *b = branch->all;
    struct branch_member *m;

    take_terms(branch, way);
    TAILQ_FOREACH(m, &b->members, link)
    if (m->branch == branch) {
        m->asked_ns = 0;
        size_frames(m);
        limit_member(m, way);
    }
    if (way == BRANCH_DOWN && b->options.changed != NULL)
        b->options.changed(b->options.arg);
}

static void down_changed(struct policy_watch *w)
{
    branch_changed(ALB_CONTAINER(w, struct branch, watches[BRANCH_DOWN]), BRANCH_DOWN);
}

static void up_changed(struct policy_watch *w)
{
    branch_changed(ALB_CONTAINER(w, struct branch, watches[BRANCH_UP]), BRANCH_UP);
}

static void watch(struct branch *branch, enum branch_way way)
{
    struct policy_watch *w = &branch->watches[way];

    if (!is_ruled(branch))
        return;
    w->place = (struct policy_place){.site = branch->site,
                                     .direction = direction_of(way),
                                     .side = branch->is_lan ? POLICY_LAN : POLICY_WAN};
    w->changed = way == BRANCH_DOWN ? down_changed : up_changed;
    policy_book_watch(branch->all->options.policy, w);
    take_terms(branch, way);
}

static struct branch *branch_of(struct branches *b, const char *site)
{
    const struct chunk_key key = map_text_key(site);
    const struct node_terms terms = terms_of(0);
    struct branch *branch = map_get(&b->by_name, &key);

    if (branch != NULL)
        return branch;
    branch = xalloc(sizeof *branch);
    branch->all = b;
    snprintf(branch->site, sizeof branch->site, "%s", site);
    branch->is_lan = b->options.own_site != NULL && strcmp(b->options.own_site, site) == 0;
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        branch->nodes[i] = shaper_node_new(b->shapers[i], NULL, &terms);
    map_put(&b->by_name, &key, branch);
    TAILQ_INSERT_TAIL(&b->list, branch, link);
    watch(branch, BRANCH_DOWN);
    watch(branch, BRANCH_UP);
    return branch;
}

/* ---- members --------------------------------------------------------------------------------- */

static void start_leaves(struct branch_member *m, struct branch *branch)
{
    struct node_terms terms = terms_of(0);
    struct stream *stream = http_session_stream(m->session);

    terms.class = m->takes_bulk ? TREE_SCAVENGER : TREE_URGENT;

    shaper_leaf_start(&m->leaves[BRANCH_DOWN], m->all->shapers[BRANCH_DOWN],
                      branch->nodes[BRANCH_DOWN], &terms);
    shaper_leaf_start(&m->leaves[BRANCH_UP], m->all->shapers[BRANCH_UP], branch->nodes[BRANCH_UP],
                      &terms);
    shaper_leaf_watch_sent(&m->leaves[BRANCH_DOWN], stream);
    shaper_leaf_watch_received(&m->leaves[BRANCH_UP], m->session);
    branch->members++;
}

struct branch_member *branch_enter(struct branches *b, struct http_session *session)
{
    struct branch_member *m = xalloc(sizeof *m);

    m->all = b;
    m->session = session;
    m->branch = branch_of(b, "");
    start_leaves(m, m->branch);
    stream_use_gate(http_session_stream(session), &m->leaves[BRANCH_DOWN].gate);
    http_session_use_credit_gate(session, &m->leaves[BRANCH_UP].gate);
    TAILQ_INSERT_TAIL(&b->members, m, link);
    if (b->options.policy != NULL && !timer_is_set(&b->clients))
        timer_set_in(&b->clients, CLIENTS_EVERY_NS);
    return m;
}

static void stop_leaves(struct branch_member *m)
{
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        shaper_leaf_stop(&m->leaves[i]);
    m->branch->members--;
}

/* Anew, under `branch`.  Who waits at the gates waits on, and asks the new ones soon. */
static void plant(struct branch_member *m, struct branch *branch)
{
    struct gate before[BRANCH_WAYS] = {m->leaves[BRANCH_DOWN].gate, m->leaves[BRANCH_UP].gate};

    stop_leaves(m);
    m->branch = branch;
    start_leaves(m, branch);
    for (size_t i = 0; i < BRANCH_WAYS; i++) {
        struct gate *g = &m->leaves[i].gate;
        g->passed_bytes = before[i].passed_bytes;
        g->least = before[i].least;
        g->wake = before[i].wake;
        g->wake_arg = before[i].wake_arg;
        gate_wake(g);
    }
}

void branch_place(struct branch_member *m, const char *site, const char *device)
{
    struct branch *branch = branch_of(m->all, site);

    snprintf(m->device, sizeof m->device, "%s", device);
    if (branch != m->branch)
        plant(m, branch);
    limit_both(m);
}

void branch_takes_bulk(struct branch_member *m)
{
    if (m == NULL || m->takes_bulk)
        return;
    m->takes_bulk = true;
    plant(m, m->branch);
    limit_both(m);
}

void branch_leave(struct branch_member *m)
{
    if (m == NULL)
        return;
    stream_use_gate(http_session_stream(m->session), NULL);
    http_session_use_credit_gate(m->session, NULL);
    stop_leaves(m);
    TAILQ_REMOVE(&m->all->members, m, link);
    free(m);
}

bool branch_is_off(struct branch_member *m, const char *layer)
{
    if (m == NULL || !is_ruled(m->branch))
        return false;
    const uint64_t now_ns = loop_now_ns(m->all->options.loop);
    if (m->asked_ns != 0 && now_ns - m->asked_ns < NS_PER_S && strcmp(m->asked_layer, layer) == 0)
        return m->is_off;
    const struct policy_place place = {.site = m->branch->site,
                                       .device = m->device,
                                       .job = layer,
                                       .direction = POLICY_DOWN,
                                       .side = m->branch->is_lan ? POLICY_LAN : POLICY_WAN};
    const struct policy_terms t = policy_book_terms(m->all->options.policy, &place);
    m->asked_ns = now_ns;
    snprintf(m->asked_layer, sizeof m->asked_layer, "%s", layer);
    m->is_off = t.action.mode == POLICY_OFF;
    return m->is_off;
}

/* ---- bulk ------------------------------------------------------------------------------------ */

void branch_add_bulk(struct branch_member *m, uint64_t look, uint64_t bytes, bool is_device)
{
    struct branch *branch = m != NULL ? m->branch : NULL;

    if (branch == NULL || branch->site[0] == '\0')
        return;
    if (branch->bulk_look != look)
        branch->bulk = (struct branch_bulk){0};
    branch->bulk_look = look;
    branch->bulk.bytes += bytes;
    branch->bulk.devices += is_device;
}

struct branch_bulk branch_bulk(const struct branch_member *m, uint64_t look)
{
    const bool is_known = m != NULL && m->branch->bulk_look == look;

    return is_known ? m->branch->bulk : (struct branch_bulk){0};
}

bool branch_was_off(const struct branch_member *m)
{
    return m != NULL && m->asked_ns != 0 && m->is_off;
}

/* ---- shown ----------------------------------------------------------------------------------- */

static void put_way(struct json_writer *w, const struct branch *branch, enum branch_way way)
{
    struct node_figures f;
    char text[POLICY_LINE_MAX];

    tree_node_figures(branch->nodes[way], &f);
    json_object_begin(w, way == BRANCH_DOWN ? "down" : "up");
    if (f.terms.ceiling_bps != TREE_UNLIMITED)
        json_number(w, "limit_bps", f.terms.ceiling_bps);
    json_number(w, "wire_bytes", f.granted_bytes);
    json_bool(w, "waits", f.is_at_ceiling);
    if (is_ruled(branch))
        json_text(w, "policy", policy_action_text(&branch->watches[way].terms.action, text));
    json_end(w);
}

void branches_show(const struct branches *b, struct json_writer *w)
{
    const struct branch *branch;

    json_array_begin(w, "sites");
    TAILQ_FOREACH(branch, &b->list, link)
    {
        if (branch->site[0] == '\0')
            continue;
        json_object_begin(w, NULL);
        json_text(w, "name", branch->site);
        json_text(w, "side", branch->is_lan ? "lan" : "wan");
        json_number(w, "connections", branch->members);
        put_way(w, branch, BRANCH_DOWN);
        put_way(w, branch, BRANCH_UP);
        json_end(w);
    }
    json_end(w);
}
