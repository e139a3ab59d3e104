/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/tree.h – who may send how much now: link, sites, classes and clients share one budget.
 *
 *     link ── site ── class (urgent, normal, scavenger) ── client
 *
 * Every node has a *ceiling* that nothing beneath it together exceeds, an *assured* rate that it
 * gets before others borrow, and a *weight* for sharing what is left.  The depth is the owner's
 * choice; a node that has no children is a leaf and may want bytes.
 *
 *     struct tree *t = tree_new(&(struct node_terms){.ceiling_bps = 10000000}, now_ns);
 *     struct tree_node *site = tree_node_new(t, NULL, &site_terms, now_ns);
 *     struct tree_node *leaf = tree_node_new(t, site, &client_terms, now_ns);
 *     uint64_t bytes = tree_leaf_want(leaf, 48000, now_ns);    // 0: queued
 *     … at tree_next_ns(t): tree_run(t, now_ns, granted, arg);
 *
 * Who goes first, at every node: children that are below an assured rate (their own or that of
 * something beneath them), then the others; among either the urgent before the normal before the
 * scavengers, and among equals deficit round robin by weight.  So a scavenger anywhere waits for
 * everybody else in the tree, except for what it is assured.  Only who has something to send takes
 * turns; who has nothing for a moment, or is at its ceiling and waits in a timing wheel, keeps the
 * place until its turn comes.  What a node borrows is not held against its assured rate.
 *
 * What is granted is charged at once, along the whole path; tree_leaf_charge() adds what turned out
 * to be more on the wire, tree_leaf_refund() takes back what was not used.  Grants are at least
 * TREE_GRANT_MIN bytes, unless less is wanted.
 *
 * Pure: no clock and no timer.  `now_ns` is monotonic; should it run backwards the tree's own time
 * stands still for that long, and no longer.  Sizes are in bytes (on the wire, if the owner says
 * so), rates in bits per second.  Every call costs O(depth), however many nodes there are (places
 * of those who left are cleared away once each); only making nodes allocates.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shaper/bucket.h"

#define TREE_UNLIMITED BUCKET_UNLIMITED
enum {
    TREE_GRANT_MIN = 1400,  /* less makes packets that are mostly headers               */
    TREE_GRANT_MAX = 16384, /* one TLS record, and never more than a turn               */
    TREE_TURNS_PER_S = 100, /* a turn is 10 ms of the ceiling, times the weight: fewer  */
    TREE_TURN_MIN = 1500,   /* … and larger pieces cost less, smaller ones wait less    */
    TREE_TURN_MAX = 65536,
    TREE_WEIGHT_MAX = 100, /* larger weights count as it */
    TREE_DEPTH_MAX = 8
};

/* The numbers are those of enum policy_class (wire/policy.h). */
enum tree_class { TREE_INHERIT, TREE_URGENT, TREE_NORMAL, TREE_SCAVENGER };

struct node_terms {
    /* 0: nothing; above the ceiling counts as the ceiling; of the link it means nothing. */
    uint64_t assured_bps;
    uint64_t ceiling_bps; /* 0: nothing passes; TREE_UNLIMITED */
    uint32_t weight;      /* 0 counts as 1                     */
    /* Of the leaves beneath; fixed when a node is made.  INHERIT: its parent's, at the link normal.
     */
    enum tree_class class;
    /* 0: 20 ms of the ceiling; never less than 3,000 and 5 ms of the ceiling. */
    uint32_t burst_bytes;
};

struct tree;
struct tree_node;

/* A tree of one node, the link, which is tree_link(). */
struct tree *tree_new(const struct node_terms *link, uint64_t now_ns);
struct tree *tree_free(struct tree *t); /* all other nodes are gone before */
struct tree_node *tree_link(struct tree *t);

/* Under `parent` (NULL: the link), which wants nothing itself. */
struct tree_node *tree_node_new(struct tree *t, struct tree_node *parent,
                                const struct node_terms *terms, uint64_t now_ns);
/* Has no children any more.  What it wanted is forgotten, what it sent stays charged above. */
struct tree_node *tree_node_free(struct tree_node *n, uint64_t now_ns);
/* In force for the next byte.  What is owed or may be ahead stays the same number of bytes. */
void tree_node_set_terms(struct tree_node *n, const struct node_terms *terms, uint64_t now_ns);
void tree_node_set_arg(struct tree_node *n, void *arg); /* the owner's */
void *tree_node_arg(const struct tree_node *n);

/* How many of `bytes` may go now: they are granted and charged.  0: it is queued for that many (or,
 * queued before, now for that many) and tree_run() will grant them, perhaps in parts.  With `bytes`
 * 0 it wants nothing any more. */
uint64_t tree_leaf_want(struct tree_node *leaf, uint64_t bytes, uint64_t now_ns);
bool tree_leaf_wants(const struct tree_node *leaf); /* is it queued? */
/* The least of the ceilings above it, its own included.  0: nothing will be granted until terms
 * change. */
uint64_t tree_leaf_ceiling_bps(const struct tree_node *leaf);
/* What one turn gives it, whatever its weight: whoever waits for more than that in one piece holds
 * what others could use meanwhile. */
uint64_t tree_leaf_turn_bytes(const struct tree_node *leaf);
/* These passed as well, in whatever debt that ends. */
void tree_leaf_charge(struct tree_node *leaf, uint64_t bytes, uint64_t now_ns);
/* These were granted, or charged, and did not pass. */
void tree_leaf_refund(struct tree_node *leaf, uint64_t bytes, uint64_t now_ns);

/* Hears of a grant to a queued leaf; false: stop here for now.  Stop when a leaf got all it wanted
 * and will want more a moment later: the run would give others, less urgent, what is its due.  May
 * call anything of this header but tree_run() and tree_free(); what it wants again is granted in
 * the same run as far as the limits go, so without any limit it must not want for ever. */
typedef bool (*tree_granted_fn)(void *arg, struct tree_node *leaf, uint64_t bytes);
/* Grants all that may go now, or until told to stop. */
void tree_run(struct tree *t, uint64_t now_ns, tree_granted_fn granted, void *arg);
/* When tree_run() is worth calling: 0 at once, UINT64_MAX not until something changes. */
uint64_t tree_next_ns(const struct tree *t);

struct node_figures {
    struct node_terms terms;
    uint64_t granted_bytes; /* charged since it was made, refunds taken off */
    uint64_t wanted_bytes;  /* a leaf's                                     */
    unsigned children;
    bool is_waiting;    /* beneath it somebody wants bytes              */
    bool is_at_ceiling; /* … and its ceiling is why they wait           */
};
void tree_node_figures(const struct tree_node *n, struct node_figures *out);
