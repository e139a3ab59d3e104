/* SPDX-License-Identifier: Apache-2.0 */
/* support/tree_stage.h – a budget tree on a virtual clock, with leaves that are hungry or not. */
#pragma once

#include "shaper/tree.h"

#include "base/alloc.h"
#include "base/units.h"

enum { STAGE_ACTORS_MAX = 4096, STAGE_ASK = 16384 };
#define STAGE_START (UINT64_C(1000) * NS_PER_S)
#define MBIT UINT64_C(1000000)

struct actor {
    struct tree_node *leaf;
    struct tree_node *path[TREE_DEPTH_MAX]; /* leaf first; NULL ends it */
    bool is_hungry;
    uint64_t ask_bytes, queued_bytes, got_bytes;
};

struct stage {
    struct tree *tree;
    uint64_t now_ns;
    size_t count;
    struct actor actors[STAGE_ACTORS_MAX];
    /* hears of all that is granted; NULL: nobody */
    void (*granted)(struct stage *s, struct actor *a, uint64_t bytes);
};

static inline struct stage *stage_new(uint64_t link_bps)
{
    struct stage *s = xalloc(sizeof *s);

    s->now_ns = STAGE_START;
    s->tree = tree_new(&(struct node_terms){.ceiling_bps = link_bps}, s->now_ns);
    return s;
}

static inline struct tree_node *stage_node(struct stage *s, struct tree_node *up,
                                           struct node_terms terms)
{
    return tree_node_new(s->tree, up, &terms, s->now_ns);
}

static inline struct actor *stage_leaf(struct stage *s, struct tree_node *up,
                                       struct node_terms terms)
{
    struct actor *a = &s->actors[s->count++];

    alb_assert(s->count <= STAGE_ACTORS_MAX);
    *a = (struct actor){.is_hungry = true, .ask_bytes = STAGE_ASK};
    a->leaf = stage_node(s, up, terms);
    tree_node_set_arg(a->leaf, a);
    return a;
}

static inline void stage_tell(struct stage *s, struct actor *a, uint64_t bytes)
{
    a->got_bytes += bytes;
    if (s->granted != NULL && bytes > 0)
        s->granted(s, a, bytes);
}

static inline bool stage_on_granted(void *arg, struct tree_node *leaf, uint64_t bytes)
{
    struct actor *a = tree_node_arg(leaf);

    alb_assert(bytes <= a->queued_bytes);
    alb_assert(bytes >= TREE_GRANT_MIN || bytes == a->queued_bytes);
    a->queued_bytes -= bytes;
    stage_tell(arg, a, bytes);
    return a->queued_bytes > 0;
}

/* Whoever is hungry and does not wait asks, until told to. */
static inline void stage_ask(struct stage *s)
{
    for (struct actor *a = s->actors; a < s->actors + s->count; a++)
        while (a->leaf != NULL && a->is_hungry && a->queued_bytes == 0) {
            uint64_t bytes = tree_leaf_want(a->leaf, a->ask_bytes, s->now_ns);
            a->queued_bytes = bytes == 0 ? a->ask_bytes : 0;
            stage_tell(s, a, bytes);
        }
}

static inline void stage_stop(struct stage *s, struct actor *a)
{
    a->is_hungry = false;
    a->queued_bytes = 0;
    if (a->leaf != NULL)
        tree_leaf_want(a->leaf, 0, s->now_ns);
}

static inline void stage_run_for(struct stage *s, uint64_t ns)
{
    uint64_t until_ns = s->now_ns + ns;

    for (;;) {
        stage_ask(s);
        uint64_t at_ns = tree_next_ns(s->tree);
        if (at_ns > until_ns)
            break;
        s->now_ns = at_ns > s->now_ns ? at_ns : s->now_ns;
        tree_run(s->tree, s->now_ns, stage_on_granted, s);
    }
    s->now_ns = until_ns;
}

/* What an actor got in the next `ns`, in bits per second. */
static inline uint64_t stage_rate(struct stage *s, struct actor *a, uint64_t ns)
{
    uint64_t before = a->got_bytes;

    stage_run_for(s, ns);
    return (uint64_t)((double)(a->got_bytes - before) * 8e9 / (double)ns);
}

static inline void stage_leave(struct stage *s, struct actor *a)
{
    a->leaf = tree_node_free(a->leaf, s->now_ns);
    a->queued_bytes = 0;
}

/* Leaves first; then the given nodes, from below to above. */
static inline void stage_free(struct stage *s, struct tree_node **nodes, size_t count)
{
    for (struct actor *a = s->actors; a < s->actors + s->count; a++)
        stage_leave(s, a);
    for (size_t i = 0; i < count; i++)
        tree_node_free(nodes[i], s->now_ns);
    tree_free(s->tree);
    free(s);
}
