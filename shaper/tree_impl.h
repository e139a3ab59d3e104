/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/tree_impl.h – what the files of shaper/tree*.c share; nobody else includes it.
 *
 *     tree.c       nodes and their terms
 *     tree_ring.c  who sits in which ring: everything that keeps a node's state true
 *     tree_run.c   wanting, granting, charging
 *
 * A node sits in up to six rings of its parent: for each class whether it has something to send,
 * and whether that is owed to it.  `mask` has a bit for each ring that is not empty (a leaf: as if
 * it had them), owed ones first: the lowest bit is who goes next.
 */
#pragma once

#include <stddef.h>

#include "shaper/tree.h"
#include "shaper/wheel.h"

enum { CLASSES = 3, RINGS = 2 * CLASSES, OWED_MASK = (1 << CLASSES) - 1 };

/* A place in a ring.  `deficit` > 0: in the middle of its turn.
 *
 * Who has nothing to send for a moment keeps the place until its turn comes, so that asking for
 * little at a time costs nobody their turn, nor does being served from the other ring.  Whether a
 * seat is taken its node's `seated` says. */
struct tree_seat {
    struct tree_seat *prev, *next; /* NULL: in no ring */
    struct tree_node *node;
    int64_t deficit;
};

struct tree_ring {
    struct tree_seat *head; /* whose turn it is */
    unsigned taken;         /* seats            */
};

/* What a node has only when it has children. */
struct tree_inner {
    struct tree_ring rings[RINGS];
    struct tree_seat seats[RINGS]; /* its own, in its parent's rings     */
    unsigned children;
};

/* What a grant touches comes first, in two lines of the cache: with 100,000 leaves that is what a
 * grant costs. */
struct tree_node {
    struct tree_node *up; /* NULL: the link */
    struct tree_inner *inner;
    struct tree *tree;
    void *arg;
    uint64_t wanted_bytes;
    uint64_t granted_bytes;
    uint8_t prio;   /* 0 urgent, 1 normal, 2 scavenger */
    uint8_t mask;   /* by ring; empty: nothing to send */
    uint8_t seated; /* in which of the parent's rings  */
    uint8_t weight;
    bool is_red : 1;      /* at its ceiling                  */
    bool is_green : 1;    /* below its assured rate          */
    bool is_assured : 1;  /* … and it has one                */
    bool is_on_wheel : 1; /* `wake` is set                   */
    struct bucket ceiling;
    struct tree_seat seats[2]; /* a leaf's: not owed, owed */
    struct bucket assured;
    struct wheel_entry wake; /* the end of being red, else of not being green */
    uint32_t turn_bytes;     /* of its children, at most */
    struct node_terms terms;
};

struct tree {
    struct tree_node *link;
    uint64_t now_ns;    /* the tree's own time */
    uint64_t behind_ns; /* … minus the caller's: how far that has run backwards */
    unsigned nodes;
    bool is_running;
    struct wheel waiting;
};

/* The tree's own time for the caller's. */
uint64_t tree_clock(struct tree *t, uint64_t now_ns);

/* ---- tree_ring.c ----------------------------------------------------------------------------- */

/* In which of its parent's rings the node should sit: none while it is red. */
uint8_t node_offer(const struct tree_node *n);
/* The node's mask, buckets or terms changed: its colour, its seats, and whatever that changes
 * above. */
void node_settle(struct tree_node *n, uint64_t now_ns);
/* The same when the buckets of all the path changed. */
void node_settle_path(struct tree_node *leaf, uint64_t now_ns);
/* What a leaf wants began or ended. */
void leaf_settle(struct tree_node *leaf, uint64_t now_ns);
/* The first seat that is taken, of a ring that has one; free ones before it are cleared away. */
struct tree_seat *ring_first(const struct tree_node *parent, unsigned ring);
/* All its seats are gone from its parent's rings. */
void node_leave_rings(struct tree_node *n);
/* `seat` has had its turn if nothing is left of it. */
void ring_spend(struct tree_node *parent, unsigned ring, struct tree_seat *seat, uint64_t bytes);
