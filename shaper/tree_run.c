/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/tree_run.c – a leaf wants, the tree grants, and the whole path pays. */
#include "shaper/tree_impl.h"

#include "base/alloc.h"
#include "base/status.h"

/* The way from the link down to the leaf whose turn it is. */
struct turn {
    struct tree_node *leaf;
    struct tree_seat *seats[TREE_DEPTH_MAX];
    uint8_t rings[TREE_DEPTH_MAX];
    unsigned depth;
    uint64_t grant_bytes;
};

static void pay(struct tree_node *leaf, uint64_t bytes, uint64_t now_ns)
{
    for (struct tree_node *n = leaf; n != NULL; n = n->up) {
        bucket_charge(&n->ceiling, bytes, now_ns);
        if (n->is_green)
            bucket_charge(&n->assured, bytes, now_ns);
        n->granted_bytes += bytes;
    }
}

/* How many of `bytes` all the limits above the leaf have room for. */
static uint64_t room_for(const struct tree_node *leaf, uint64_t bytes, uint64_t now_ns)
{
    for (const struct tree_node *n = leaf; n != NULL && bytes > 0; n = n->up)
        bytes = bucket_room(&n->ceiling, bytes, now_ns);
    return bytes;
}

/* Nobody waits whom this leaf would overtake. */
static bool is_way_free(const struct tree_node *leaf)
{
    const struct tree *t = leaf->tree;

    if (t->is_running || node_offer(t->link) != 0)
        return false;
    for (const struct tree_node *n = leaf; n != NULL; n = n->up)
        if (n->is_red)
            return false;
    return true;
}

/* Below its assured rate, though nothing of it waits in a ring? */
static void judge_green(struct tree_node *leaf, uint64_t now_ns)
{
    for (struct tree_node *n = leaf; n->up != NULL; n = n->up)
        n->is_green = n->is_assured && bucket_eligible_ns(&n->assured, TREE_GRANT_MIN) <= now_ns;
}

static uint64_t grant_at_once(struct tree_node *leaf, uint64_t bytes, uint64_t now_ns)
{
    uint64_t least = bytes < TREE_GRANT_MIN ? bytes : TREE_GRANT_MIN;

    if (!is_way_free(leaf))
        return 0;
    uint64_t grant = room_for(leaf, bytes, now_ns);
    if (grant < least)
        return 0;
    judge_green(leaf, now_ns);
    pay(leaf, grant, now_ns);
    node_settle_path(leaf, now_ns);
    return grant;
}

uint64_t tree_leaf_want(struct tree_node *leaf, uint64_t bytes, uint64_t now_ns)
{
    uint64_t now = tree_clock(leaf->tree, now_ns);

    alb_assert(leaf->inner == NULL && leaf->up != NULL);
    if (bytes > 0 && leaf->wanted_bytes == 0) {
        uint64_t grant = grant_at_once(leaf, bytes, now);
        if (grant > 0)
            return grant;
    }
    bool was_waiting = leaf->wanted_bytes > 0;
    leaf->wanted_bytes = bytes;
    if (was_waiting != (bytes > 0))
        leaf_settle(leaf, now);
    return 0;
}

bool tree_leaf_wants(const struct tree_node *leaf)
{
    return leaf->wanted_bytes > 0;
}

uint64_t tree_leaf_ceiling_bps(const struct tree_node *leaf)
{
    uint64_t least = TREE_UNLIMITED;

    for (const struct tree_node *n = leaf; n != NULL; n = n->up)
        if (n->ceiling.rate_bps < least)
            least = n->ceiling.rate_bps;
    return least;
}

uint64_t tree_leaf_turn_bytes(const struct tree_node *leaf)
{
    enum { BITS = 8 };
    uint64_t least = tree_leaf_ceiling_bps(leaf) / BITS / TREE_TURNS_PER_S;

    for (const struct tree_node *n = leaf->up; n != NULL; n = n->up)
        if (n->turn_bytes < least)
            least = n->turn_bytes;
    return least < TREE_GRANT_MIN ? TREE_GRANT_MIN : least;
}

void tree_leaf_charge(struct tree_node *leaf, uint64_t bytes, uint64_t now_ns)
{
    uint64_t now = tree_clock(leaf->tree, now_ns);

    alb_assert(leaf->inner == NULL);
    pay(leaf, bytes, now);
    node_settle_path(leaf, now);
}

void tree_leaf_refund(struct tree_node *leaf, uint64_t bytes, uint64_t now_ns)
{
    uint64_t now = tree_clock(leaf->tree, now_ns);

    alb_assert(leaf->inner == NULL);
    for (struct tree_node *n = leaf; n != NULL; n = n->up) {
        bucket_refund(&n->ceiling, bytes, now);
        n->granted_bytes -= bytes < n->granted_bytes ? bytes : n->granted_bytes;
    }
    node_settle_path(leaf, now);
}

/* Of a leaf's two hot lines of the cache this is the second; of other nodes none is cold. */
static void prefetch(const struct tree_seat *seat)
{
    __builtin_prefetch((const char *)seat - 2 * (ptrdiff_t)sizeof(struct bucket));
    __builtin_prefetch((const char *)seat - offsetof(struct tree_node, seats));
    __builtin_prefetch(seat);
}

/* The child whose turn it is in that ring; a turn begins with its bytes. */
static struct tree_seat *next_seat(const struct tree_node *n, unsigned ring, uint32_t turn_bytes)
{
    struct tree_seat *seat = ring_first(n, ring);

    prefetch(seat->next);
    if (seat->deficit <= 0) {
        int64_t turn = (int64_t)turn_bytes * seat->node->weight;
        seat->deficit += turn;
        if (seat->deficit <= 0)
            seat->deficit = turn; /* the turn has become smaller meanwhile */
    }
    return seat;
}

/* From the link down: who is owed, by class; then who is not. */
static void find_turn(struct tree *t, struct turn *out)
{
    struct tree_node *n = t->link;
    unsigned band = (unsigned)__builtin_ctz(n->mask);
    uint32_t turn_bytes = n->turn_bytes;

    out->depth = 0;
    while (n->inner != NULL) {
        unsigned ring = band;
        if (ring < CLASSES && (n->mask & 1U << ring) == 0)
            ring += CLASSES; /* owed to the node itself, so to any of its children */
        struct tree_seat *seat = next_seat(n, ring, turn_bytes);
        out->seats[out->depth] = seat;
        out->rings[out->depth++] = (uint8_t)ring;
        band = ring;
        n = seat->node;
        if (n->inner != NULL && n->turn_bytes < turn_bytes)
            turn_bytes = n->turn_bytes;
    }
    out->leaf = n;
    out->grant_bytes = turn_bytes < TREE_GRANT_MAX ? turn_bytes : TREE_GRANT_MAX;
    if (n->wanted_bytes < out->grant_bytes)
        out->grant_bytes = n->wanted_bytes;
}

static void spend_turn(struct turn *turn, uint64_t bytes)
{
    for (unsigned i = 0; i < turn->depth; i++)
        ring_spend(turn->seats[i]->node->up, turn->rings[i], turn->seats[i], bytes);
}

/* One grant, or one leaf less in the rings.  Returns what was granted. */
static uint64_t grant_next(struct tree *t, struct turn *turn, uint64_t now_ns)
{
    find_turn(t, turn);
    struct tree_node *leaf = turn->leaf;
    uint64_t grant = room_for(leaf, turn->grant_bytes, now_ns);

    if (grant < turn->grant_bytes && grant < TREE_GRANT_MIN) {
        node_settle_path(leaf, now_ns); /* judged by a later time: who was told asked for more */
        return 0;
    }
    pay(leaf, grant, now_ns);
    spend_turn(turn, grant);
    leaf->wanted_bytes -= grant;
    if (leaf->wanted_bytes == 0)
        leaf->mask = 0;
    node_settle_path(leaf, now_ns);
    return grant;
}

static void wake_who_is_due(struct tree *t, uint64_t now_ns)
{
    struct wheel_entry *e;

    while ((e = wheel_take(&t->waiting, now_ns)) != NULL) {
        struct tree_node *n = ALB_CONTAINER(e, struct tree_node, wake);
        n->is_on_wheel = false;
        node_settle(n, now_ns);
    }
}

void tree_run(struct tree *t, uint64_t now_ns, tree_granted_fn granted, void *arg)
{
    uint64_t now = tree_clock(t, now_ns);
    struct turn turn;

    alb_assert(!t->is_running);
    wake_who_is_due(t, now);
    t->is_running = true;
    while (node_offer(t->link) != 0) {
        uint64_t bytes = grant_next(t, &turn, now);
        if (bytes > 0 && !granted(arg, turn.leaf, bytes))
            break;
    }
    t->is_running = false;
}

uint64_t tree_next_ns(const struct tree *t)
{
    uint64_t at_ns = wheel_next_ns(&t->waiting);

    if (node_offer(t->link) != 0)
        return 0;
    if (at_ns == UINT64_MAX)
        return UINT64_MAX;
    return at_ns > t->behind_ns ? at_ns - t->behind_ns : 0;
}
