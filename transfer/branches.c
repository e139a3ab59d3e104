/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/branches.c – two budget trees: branches, devices, connections. */
#include "transfer/branches_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/resolve.h"
#include "wire/json.h"

/* ---- birth and death ------------------------------------------------------------------------- */

struct node_terms branch_terms(uint64_t ceiling_bps)
{
    return (struct node_terms){.ceiling_bps = ceiling_bps != 0 ? ceiling_bps : TREE_UNLIMITED};
}

struct branches *branches_new(const struct branches_options *options)
{
    struct branches *b = xalloc(sizeof *b);

    b->options = *options;
    map_init(&b->by_name);
    map_init(&b->by_device);
    map_init(&b->by_sum);
    TAILQ_INIT(&b->list);
    TAILQ_INIT(&b->sums);
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        b->shapers[i] =
            shaper_new(options->loop,
                       &(struct shaper_options){.link = branch_terms(options->link_bps),
                                                .packet_overhead_bytes = options->packet_overhead});
    branch_policy_init(b);
    return b;
}

static void branch_free(struct branch *branch)
{
    branch_policy_unwatch(branch);
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        shaper_node_free(branch->all->shapers[i], branch->nodes[i]);
    free(branch);
}

struct branches *branches_free(struct branches *b)
{
    struct branch *branch;

    if (b == NULL)
        return NULL;
    alb_assert(b->members == 0);
    branch_policy_release(b);
    while ((branch = TAILQ_FIRST(&b->list)) != NULL) {
        TAILQ_REMOVE(&b->list, branch, link);
        branch_free(branch);
    }
    branch_sums_free(b);
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        shaper_free(b->shapers[i]);
    map_release(&b->by_sum);
    map_release(&b->by_name);
    map_release(&b->by_device);
    free(b);
    return NULL;
}

struct branch *branch_of(struct branches *b, const char *site)
{
    const struct chunk_key key = map_text_key(site);
    const struct node_terms terms = branch_terms(0);
    struct branch *branch = map_get(&b->by_name, &key);

    if (branch != NULL)
        return branch;
    branch = xalloc(sizeof *branch);
    branch->all = b;
    snprintf(branch->site, sizeof branch->site, "%s", site);
    branch->is_lan = b->options.own_site != NULL && strcmp(b->options.own_site, site) == 0;
    TAILQ_INIT(&branch->clients);
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        branch->nodes[i] = shaper_node_new(b->shapers[i], NULL, &terms);
    map_put(&b->by_name, &key, branch);
    TAILQ_INSERT_TAIL(&b->list, branch, link);
    branch_policy_watch(branch);
    return branch;
}

/* ---- devices --------------------------------------------------------------------------------- */

static struct branch_client *find_client(const struct branches *b, const char *device)
{
    const struct chunk_key key = map_text_key(device);

    return map_get(&b->by_device, &key);
}

static void client_nodes(struct branch_client *c)
{
    for (size_t i = 0; i < BRANCH_WAYS; i++) {
        const struct node_terms terms = branch_terms(c->limits_bps[i]);
        c->nodes[i] = shaper_node_new(c->branch->all->shapers[i], c->branch->nodes[i], &terms);
    }
}

static void client_enter(struct branch_client *c, struct branch *branch)
{
    branch_settle(branch);
    c->branch = branch;
    c->round = branch->round;
    branch->devices++;
    TAILQ_INSERT_TAIL(&branch->clients, c, link);
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        c->limits_bps[i] = 0;
    client_nodes(c);
}

static struct branch_client *client_new(struct branch *branch, const char *device)
{
    const struct chunk_key key = map_text_key(device);
    struct branch_client *c = xalloc(sizeof *c);

    snprintf(c->device, sizeof c->device, "%s", device);
    TAILQ_INIT(&c->members);
    client_enter(c, branch);
    map_put(&branch->all->by_device, &key, c);
    return c;
}

static void client_free(struct branch_client *c)
{
    const struct chunk_key key = map_text_key(c->device);
    struct branches *b = c->branch->all;

    for (size_t i = 0; i < BRANCH_WAYS; i++)
        shaper_node_free(b->shapers[i], c->nodes[i]);
    TAILQ_REMOVE(&c->branch->clients, c, link);
    c->branch->devices--;
    map_remove(&b->by_device, &key);
    free(c);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void start_leaves(struct branch_member *m)
{
    struct tree_node *const *above = m->client != NULL ? m->client->nodes : m->branch->nodes;
    struct node_terms terms = branch_terms(0);

    terms.class = m->takes_bulk ? TREE_SCAVENGER : TREE_URGENT;
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        shaper_leaf_start(&m->leaves[i], m->all->shapers[i], above[i], &terms);
    shaper_leaf_watch_sent(&m->leaves[BRANCH_DOWN], http_session_stream(m->session));
    shaper_leaf_watch_received(&m->leaves[BRANCH_UP], m->session);
    m->branch->members++;
}

static void stop_leaves(struct branch_member *m)
{
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        shaper_leaf_stop(&m->leaves[i]);
    m->branch->members--;
}

struct branch_member *branch_enter(struct branches *b, struct http_session *session, void *owner)
{
    struct branch_member *m = xalloc(sizeof *m);
    const char *device = stream_peer(http_session_stream(session))->device;

    m->all = b;
    m->session = session;
    m->owner = owner;
    if (device[0] != '\0')
        m->client = find_client(b, device); /* another connection said where it is */
    m->branch = m->client != NULL ? m->client->branch : branch_of(b, "");
    if (m->client != NULL)
        TAILQ_INSERT_TAIL(&m->client->members, m, link);
    start_leaves(m);
    stream_use_gate(http_session_stream(session), &m->leaves[BRANCH_DOWN].gate);
    http_session_use_credit_gate(session, &m->leaves[BRANCH_UP].gate);
    b->members++;
    branch_policy_entered(b);
    return m;
}

/* Stopped leaves grow anew where the member is now.  Who waited at the gates waits on, and asks the
 * new ones soon. */
static void grow(struct branch_member *m, const struct gate before[BRANCH_WAYS])
{
    start_leaves(m);
    for (size_t i = 0; i < BRANCH_WAYS; i++) {
        struct gate *g = &m->leaves[i].gate;
        g->passed_bytes = before[i].passed_bytes;
        g->least = before[i].least;
        g->wake = before[i].wake;
        g->wake_arg = before[i].wake_arg;
        gate_wake(g);
    }
}

static void plant(struct branch_member *m, struct branch *branch)
{
    const struct gate before[BRANCH_WAYS] = {m->leaves[BRANCH_DOWN].gate,
                                             m->leaves[BRANCH_UP].gate};

    stop_leaves(m);
    m->branch = branch;
    grow(m, before);
}

/* It has other nodes now: its connections go there, and those of before are no more. */
static void client_plant(struct branch_client *c, struct tree_node *const before[BRANCH_WAYS])
{
    struct branch_member *m;

    TAILQ_FOREACH(m, &c->members, link)
    plant(m, c->branch);
    for (size_t i = 0; i < BRANCH_WAYS; i++)
        shaper_node_free(c->branch->all->shapers[i], before[i]);
}

void branch_client_move(struct branch_client *c, struct branch *branch)
{
    struct branch *from = c->branch;
    struct tree_node *const before[BRANCH_WAYS] = {c->nodes[BRANCH_DOWN], c->nodes[BRANCH_UP]};

    TAILQ_REMOVE(&from->clients, c, link);
    from->devices--;
    client_enter(c, branch);
    client_plant(c, before);
}

/* Its branch has other nodes now. */
static void client_grow(struct branch_client *c)
{
    struct tree_node *const before[BRANCH_WAYS] = {c->nodes[BRANCH_DOWN], c->nodes[BRANCH_UP]};

    client_nodes(c);
    client_plant(c, before);
}

void branch_settle(struct branch *branch)
{
    struct tree_node *const before[BRANCH_WAYS] = {branch->nodes[BRANCH_DOWN],
                                                   branch->nodes[BRANCH_UP]};
    struct branch_sum *sum = branch->is_placed ? branch->sum : branch_sum_place(branch);
    struct branch_client *c;
    struct node_figures f;

    if (sum == branch->sum)
        return;
    branch->sum = sum;
    for (size_t i = 0; i < BRANCH_WAYS; i++) {
        const enum branch_way way = (enum branch_way)i;
        const struct node_terms terms = branch_terms(branch_policy_limit(branch, way));
        branch->nodes[i] =
            shaper_node_new(branch->all->shapers[i], branch_sum_node(sum, way), &terms);
    }
    TAILQ_FOREACH(c, &branch->clients, link)
    client_grow(c);
    for (size_t i = 0; i < BRANCH_WAYS; i++) {
        tree_node_figures(before[i], &f);
        branch->before_bytes[i] += f.granted_bytes;
        shaper_node_free(branch->all->shapers[i], before[i]);
    }
}

static void join(struct branch_member *m, struct branch_client *c)
{
    if (m->client == c)
        return;
    alb_assert(m->client == NULL); /* a session is one device's */
    m->client = c;
    TAILQ_INSERT_TAIL(&c->members, m, link);
    plant(m, c->branch);
}

/* Does a connection of the device, other than `m`, come from where it was placed by? */
static bool has_connection_there(const struct branch_client *c, const struct branch_member *m)
{
    const struct branch_member *other;
    uint8_t address[16];

    TAILQ_FOREACH(other, &c->members, link)
    if (other != m && address_parse(http_session_stream(other->session)->address, address) &&
        memcmp(address, c->address[0], sizeof address) == 0)
        return true;
    return false;
}

void branch_place(struct branch_member *m, const char *site, const char *device)
{
    struct branch_client *c = find_client(m->all, device);

    if (c == NULL)
        c = client_new(branch_of(m->all, site), device);
    snprintf(c->named_site, sizeof c->named_site, "%s", site);
    /* On two networks at once it does not go to and fro with each greeting. */
    if (c->address_count == 0 || !has_connection_there(c, m))
        c->address_count =
            address_parse(http_session_stream(m->session)->address, c->address[0]) ? 1 : 0;
    join(m, c);
    branch_policy_look(c);
}

void branch_takes_bulk(struct branch_member *m)
{
    if (m == NULL || m->takes_bulk)
        return;
    m->takes_bulk = true;
    plant(m, m->branch);
    branch_policy_size_frames(m);
}

void branch_charge(struct branch_member *m, enum branch_way way, size_t bytes)
{
    if (m != NULL)
        tree_leaf_charge(m->leaves[way].node, bytes + m->all->options.packet_overhead,
                         loop_now_ns(m->all->options.loop));
}

void branch_leave(struct branch_member *m)
{
    if (m == NULL)
        return;
    struct branch_client *c = m->client;

    stream_use_gate(http_session_stream(m->session), NULL);
    http_session_use_credit_gate(m->session, NULL);
    stop_leaves(m);
    m->all->members--;
    if (c != NULL)
        TAILQ_REMOVE(&c->members, m, link);
    free(m);
    if (c != NULL && TAILQ_EMPTY(&c->members))
        client_free(c);
}

bool branch_is_off(struct branch_member *m, const char *layer)
{
    if (m == NULL || m->all->options.policy == NULL || m->client == NULL)
        return false;
    const uint64_t now_ns = loop_now_ns(m->all->options.loop);
    if (m->asked_ns != 0 && now_ns - m->asked_ns < NS_PER_S && strcmp(m->asked_layer, layer) == 0)
        return m->is_off;
    struct policy_place place = branch_policy_place(m->client, BRANCH_DOWN);
    place.job = layer;
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

void branch_put_node(struct json_writer *w, const struct tree_node *node, uint64_t before_bytes)
{
    struct node_figures f;

    tree_node_figures(node, &f);
    if (f.terms.ceiling_bps != TREE_UNLIMITED)
        json_number(w, "limit_bps", f.terms.ceiling_bps);
    json_number(w, "wire_bytes", before_bytes + f.granted_bytes);
    json_bool(w, "waits", f.is_at_ceiling);
}

static void put_way(struct json_writer *w, const struct branch *branch, enum branch_way way)
{
    char text[POLICY_LINE_MAX];

    json_object_begin(w, way == BRANCH_DOWN ? "down" : "up");
    branch_put_node(w, branch->nodes[way], branch->before_bytes[way]);
    if (branch->all->options.policy != NULL)
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
        json_number(w, "devices", branch->devices);
        json_number(w, "connections", branch->members);
        put_way(w, branch, BRANCH_DOWN);
        put_way(w, branch, BRANCH_UP);
        json_end(w);
    }
    json_end(w);
    branch_sums_show(b, w);
}
