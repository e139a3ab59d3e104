/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/tree_ring.c – who sits in which ring, and who waits at a ceiling. */
#include "shaper/tree_impl.h"

#include "base/status.h"

static struct tree_seat *seat_of(struct tree_node *n, unsigned ring)
{
    return n->inner != NULL ? &n->inner->seats[ring] : &n->seats[ring < CLASSES];
}

static void unlink_seat(struct tree_ring *ring, struct tree_seat *seat)
{
    alb_assert(seat->prev != NULL && seat->next != NULL);
    seat->prev->next = seat->next;
    seat->next->prev = seat->prev;
    if (ring->head == seat)
        ring->head = seat->next == seat ? NULL : seat->next;
    seat->prev = seat->next = NULL;
}

/* Behind all others, or, in the middle of a turn, before them. */
static void link_seat(struct tree_ring *ring, struct tree_seat *seat)
{
    if (ring->head == NULL) {
        seat->prev = seat->next = seat;
        ring->head = seat;
        return;
    }
    seat->next = ring->head;
    seat->prev = ring->head->prev;
    seat->prev->next = seat;
    seat->next->prev = seat;
    if (seat->deficit > 0)
        ring->head = seat;
}

static void sit(struct tree_node *parent, unsigned ring, struct tree_seat *seat)
{
    struct tree_ring *r = &parent->inner->rings[ring];

    r->taken++;
    parent->mask |= (uint8_t)(1U << ring);
    if (seat->prev == NULL)
        link_seat(r, seat);
}

static void stand_up(struct tree_node *parent, unsigned ring, struct tree_seat *seat)
{
    struct tree_ring *r = &parent->inner->rings[ring];

    if (--r->taken == 0)
        parent->mask &= (uint8_t) ~(1U << ring);
    if (r->head == seat)
        unlink_seat(r, seat); /* it is its turn, and it has nothing */
}

struct tree_seat *ring_first(const struct tree_node *parent, unsigned ring)
{
    struct tree_ring *r = &parent->inner->rings[ring];
    struct tree_seat *seat = r->head;

    while ((seat->node->seated & 1U << ring) == 0) {
        struct tree_seat *next = seat->next;
        unlink_seat(r, seat);
        seat = next;
    }
    return seat;
}

void node_leave_rings(struct tree_node *n)
{
    for (unsigned ring = 0; ring < RINGS; ring++) {
        struct tree_seat *seat = seat_of(n, ring);
        bool may_be_there = n->inner != NULL || ring % CLASSES == n->prio;
        if (may_be_there && seat->prev != NULL)
            unlink_seat(&n->up->inner->rings[ring], seat);
    }
}

void ring_spend(struct tree_node *parent, unsigned ring, struct tree_seat *seat, uint64_t bytes)
{
    seat->deficit -= (int64_t)bytes;
    if (seat->deficit <= 0)
        parent->inner->rings[ring].head = seat->next; /* it is the last now */
}

uint8_t node_offer(const struct tree_node *n)
{
    unsigned wanted = n->mask >> CLASSES;
    unsigned owed = n->mask & OWED_MASK;

    if (n->is_red)
        return 0;
    if (n->is_green)
        owed = wanted;
    return (uint8_t)(owed | wanted << CLASSES);
}

/* Its colour, and when that changes by itself. */
static void judge(struct tree_node *n, uint64_t now_ns)
{
    uint64_t wake_ns = BUCKET_NEVER;

    n->is_red = n->is_green = false;
    if (n->mask != 0) {
        uint64_t free_ns = bucket_eligible_ns(&n->ceiling, TREE_GRANT_MIN);
        n->is_red = free_ns > now_ns;
        if (n->is_red) {
            wake_ns = free_ns;
        } else if (n->is_assured) {
            uint64_t owed_ns = bucket_eligible_ns(&n->assured, TREE_GRANT_MIN);
            n->is_green = owed_ns <= now_ns;
            wake_ns = n->is_green ? BUCKET_NEVER : owed_ns;
        }
    }
    if (wake_ns != BUCKET_NEVER) {
        if (!n->is_on_wheel || n->wake.at_ns != wake_ns)
            wheel_set(&n->tree->waiting, &n->wake, wake_ns);
    } else if (n->is_on_wheel) {
        wheel_remove(&n->tree->waiting, &n->wake);
    }
    n->is_on_wheel = wake_ns != BUCKET_NEVER;
}

/* Sit where the node should; says whether its parent's mask changed. */
static bool take_seats(struct tree_node *n)
{
    struct tree_node *parent = n->up;
    uint8_t offer = node_offer(n);
    uint8_t was = parent->mask;

    for (unsigned change = offer ^ n->seated; change != 0; change &= change - 1) {
        unsigned ring = (unsigned)__builtin_ctz(change);
        if (offer & 1U << ring)
            sit(parent, ring, seat_of(n, ring));
        else
            stand_up(parent, ring, seat_of(n, ring));
    }
    n->seated = offer;
    return parent->mask != was;
}

void node_settle(struct tree_node *n, uint64_t now_ns)
{
    do {
        judge(n, now_ns);
        if (n->up == NULL || !take_seats(n))
            return;
        n = n->up;
    } while (true);
}

void node_settle_path(struct tree_node *leaf, uint64_t now_ns)
{
    for (struct tree_node *n = leaf; n != NULL; n = n->up) {
        judge(n, now_ns);
        if (n->up != NULL)
            take_seats(n);
    }
}

void leaf_settle(struct tree_node *leaf, uint64_t now_ns)
{
    leaf->mask = 0;
    if (leaf->wanted_bytes > 0)
        leaf->mask = (uint8_t)(1U << (CLASSES + leaf->prio));
    node_settle(leaf, now_ns);
}
