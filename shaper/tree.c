/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/tree.c – the nodes of the budget tree: made, changed, freed. */
#include "shaper/tree_impl.h"

#include "base/alloc.h"
#include "base/status.h"

enum {
    BURST_MIN = 2 * TREE_TURN_MIN,
    BURSTS_PER_S = 50,        /* 20 ms: more than a wheel's tick and a loop's late timer */
    LEAST_BURSTS_PER_S = 200, /* 5 ms: less cannot keep the rate with a wheel of 1 ms   */
    BURST_MAX = 1 << 30,
    BITS = 8
};

uint64_t tree_clock(struct tree *t, uint64_t now_ns)
{
    uint64_t own_ns = now_ns + t->behind_ns;

    if (own_ns < t->now_ns) {
        t->behind_ns += t->now_ns - own_ns;
        own_ns = t->now_ns;
    }
    t->now_ns = own_ns;
    return own_ns;
}

static uint32_t share_of(uint64_t rate_bps, unsigned per_s, uint32_t least, uint32_t most)
{
    uint64_t bytes = rate_bps / BITS / per_s;

    if (bytes < least)
        return least;
    return bytes > most ? most : (uint32_t)bytes;
}

static uint32_t burst_of(uint64_t rate_bps, uint32_t asked_bytes)
{
    if (asked_bytes == 0)
        return share_of(rate_bps, BURSTS_PER_S, BURST_MIN, BURST_MAX);
    uint32_t least = share_of(rate_bps, LEAST_BURSTS_PER_S, BURST_MIN, BURST_MAX);
    if (asked_bytes > BURST_MAX)
        return BURST_MAX;
    return asked_bytes < least ? least : asked_bytes;
}

static uint64_t assured_of(const struct node_terms *terms)
{
    return terms->assured_bps < terms->ceiling_bps ? terms->assured_bps : terms->ceiling_bps;
}

static void set_terms(struct tree_node *n, const struct node_terms *terms)
{
    n->terms = *terms;
    n->weight = TREE_WEIGHT_MAX;
    if (terms->weight < TREE_WEIGHT_MAX)
        n->weight = terms->weight == 0 ? 1 : (uint8_t)terms->weight;
    n->is_assured = n->up != NULL && assured_of(terms) > 0;
    n->turn_bytes = share_of(terms->ceiling_bps, TREE_TURNS_PER_S, TREE_TURN_MIN, TREE_TURN_MAX);
}

static struct tree_node *node_new(struct tree *t, struct tree_node *up,
                                  const struct node_terms *terms)
{
    struct tree_node *n = xalloc(sizeof *n);
    uint64_t assured_bps = assured_of(terms);

    n->tree = t;
    n->up = up;
    n->prio = up == NULL ? TREE_NORMAL - 1 : up->prio;
    if (terms->class != TREE_INHERIT)
        n->prio = (uint8_t)(terms->class - TREE_URGENT);
    set_terms(n, terms);
    bucket_init(&n->ceiling, terms->ceiling_bps, burst_of(terms->ceiling_bps, terms->burst_bytes));
    bucket_init(&n->assured, assured_bps, burst_of(assured_bps, 0));
    n->seats[0].node = n->seats[1].node = n;
    wheel_entry_init(&n->wake);
    t->nodes++;
    return n;
}

struct tree *tree_new(const struct node_terms *link, uint64_t now_ns)
{
    struct tree *t = xalloc(sizeof *t);

    t->now_ns = now_ns;
    wheel_init(&t->waiting, now_ns);
    t->link = node_new(t, NULL, link);
    return t;
}

struct tree *tree_free(struct tree *t)
{
    if (t == NULL)
        return NULL;
    alb_assert(t->nodes == 1 && !t->is_running);
    free(t->link->inner);
    free(t->link);
    free(t);
    return NULL;
}

struct tree_node *tree_link(struct tree *t)
{
    return t->link;
}

static void become_inner(struct tree_node *n)
{
    if (n->up != NULL)
        node_leave_rings(n); /* with the seats of a leaf */
    n->inner = xalloc(sizeof *n->inner);
    for (unsigned ring = 0; ring < RINGS; ring++)
        n->inner->seats[ring].node = n;
}

struct tree_node *tree_node_new(struct tree *t, struct tree_node *parent,
                                const struct node_terms *terms, uint64_t now_ns)
{
    struct tree_node *up = parent == NULL ? t->link : parent;
    unsigned depth = 2;

    tree_clock(t, now_ns);
    for (const struct tree_node *n = up->up; n != NULL; n = n->up)
        depth++;
    alb_assert(depth <= TREE_DEPTH_MAX && up->wanted_bytes == 0);
    if (up->inner == NULL)
        become_inner(up);
    up->inner->children++;
    return node_new(t, up, terms);
}

struct tree_node *tree_node_free(struct tree_node *n, uint64_t now_ns)
{
    if (n == NULL)
        return NULL;
    alb_assert(n->up != NULL && (n->inner == NULL || n->inner->children == 0));
    if (n->inner == NULL)
        tree_leaf_want(n, 0, now_ns);
    alb_assert(n->seated == 0 && !wheel_entry_is_set(&n->wake));
    node_leave_rings(n);
    n->up->inner->children--;
    n->tree->nodes--;
    free(n->inner);
    free(n);
    return NULL;
}

void tree_node_set_terms(struct tree_node *n, const struct node_terms *terms, uint64_t now_ns)
{
    uint64_t now = tree_clock(n->tree, now_ns);
    uint64_t assured_bps = assured_of(terms);

    set_terms(n, terms);
    bucket_set(&n->ceiling, terms->ceiling_bps, burst_of(terms->ceiling_bps, terms->burst_bytes),
               now);
    bucket_set(&n->assured, assured_bps, burst_of(assured_bps, 0), now);
    node_settle(n, now);
}

void tree_node_set_arg(struct tree_node *n, void *arg)
{
    n->arg = arg;
}

void *tree_node_arg(const struct tree_node *n)
{
    return n->arg;
}

void tree_node_figures(const struct tree_node *n, struct node_figures *out)
{
    *out = (struct node_figures){
        .terms = n->terms,
        .granted_bytes = n->granted_bytes,
        .wanted_bytes = n->wanted_bytes,
        .children = n->inner == NULL ? 0 : n->inner->children,
        .is_waiting = n->mask != 0,
        .is_at_ceiling = n->is_red,
    };
}
