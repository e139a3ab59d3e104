/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_tree.c – whatever trees, terms and wishes there are: no limit is broken, nothing is
 * left lying, nobody starves, and weights are kept. */
/* LINKS: shaper net wire base */
#include "shaper/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/gen.h"
#include "support/tree_stage.h"

typedef __int128 wide;

enum { ROUNDS = 60, NODES_MAX = 400, SITES = 6, CLASSES_OF_SITE = 3 };
#define BYTE ((wide)8 * 1000000000) /* what 1 bit/s earns in 1 ns */

static struct gen gen;

/* A limit as one would have it without rounding. */
struct limit {
    struct tree_node *node;
    uint64_t rate_bps, now_ns;
    wide burst, level;
    uint64_t earlier_bytes; /* of a leaf that was in its place before */
};

static struct world_of_limits {
    struct stage *stage;
    struct limit limits[NODES_MAX];
    size_t count;
    struct tree_node *inner[NODES_MAX]; /* from below to above */
    size_t inner_count;
} play;

static uint64_t some_rate(uint64_t most_bps)
{
    if (gen_chance(&gen, 1, 4))
        return TREE_UNLIMITED;
    if (gen_chance(&gen, 1, 20))
        return 0;
    return 8000 + gen_skewed(&gen, most_bps);
}

/* The burst that tree.h promises. */
static wide burst_of(uint64_t rate_bps)
{
    uint64_t bytes = rate_bps / 8 / 50;

    if (bytes > 1 << 30)
        bytes = 1 << 30;
    return (bytes < 3000 ? 3000 : bytes) * BYTE;
}

static void limit_init(struct limit *l, struct tree_node *n, uint64_t rate_bps)
{
    *l = (struct limit){n, rate_bps, play.stage->now_ns, burst_of(rate_bps), burst_of(rate_bps), 0};
}

static void limit_advance(struct limit *l)
{
    uint64_t now_ns = play.stage->now_ns;

    if (l->rate_bps != TREE_UNLIMITED)
        l->level += (wide)l->rate_bps * (wide)(now_ns - l->now_ns);
    if (l->level > l->burst)
        l->level = l->burst;
    l->now_ns = now_ns;
}

/* As bucket_set() promises: what may pass is the same number of bytes, and none are made. */
static void limit_set(struct limit *l, uint64_t rate_bps)
{
    limit_advance(l);
    if (rate_bps == l->rate_bps)
        return;
    if (l->rate_bps == TREE_UNLIMITED)
        l->level = 0;
    l->rate_bps = rate_bps;
    l->burst = burst_of(rate_bps);
    if (l->level > l->burst)
        l->level = l->burst;
}

static void limit_add(struct limit *l, wide bytes)
{
    limit_advance(l);
    if (l->rate_bps == TREE_UNLIMITED)
        return;
    l->level += bytes * BYTE;
    limit_advance(l);
}

static void limit_grant(struct limit *l, wide bytes)
{
    limit_add(l, -bytes);
    /* never above the ceiling and its burst, in any window */
    assert_true(l->rate_bps == TREE_UNLIMITED || l->level >= 0);
}

/* Could a packet have passed already at the last tick of the wheel? */
static bool limit_was_open(struct limit *l)
{
    limit_advance(l);
    if (l->rate_bps == TREE_UNLIMITED)
        return true;
    wide packet = (TREE_GRANT_MIN + 2) * BYTE + (wide)l->rate_bps * 1000100;
    return l->rate_bps != 0 && l->level >= (packet < l->burst ? packet : l->burst);
}

static struct limit *limit_of(const struct tree_node *n)
{
    for (size_t i = 0; i < play.count; i++)
        if (play.limits[i].node == n)
            return &play.limits[i];
    return NULL;
}

static void for_path(struct actor *a, void (*fn)(struct limit *l, wide bytes), wide bytes)
{
    for (struct tree_node **n = a->path; *n != NULL; n++)
        fn(limit_of(*n), bytes);
}

static void on_granted(struct stage *s, struct actor *a, uint64_t bytes)
{
    (void)s;
    for_path(a, limit_grant, bytes);
}

static struct tree_node *grow(struct tree_node *up, struct node_terms terms)
{
    struct tree_node *n = stage_node(play.stage, up, terms);

    limit_init(&play.limits[play.count++], n, terms.ceiling_bps);
    memmove(play.inner + 1, play.inner, play.inner_count++ * sizeof(struct tree_node *));
    play.inner[0] = n;
    return n;
}

static struct node_terms some_terms(uint64_t most_bps, enum tree_class class)
{
    return (struct node_terms){
        .assured_bps = gen_chance(&gen, 1, 3) ? gen_skewed(&gen, most_bps) : 0,
        .ceiling_bps = some_rate(most_bps),
        .weight = (uint32_t)gen_below(&gen, 12),
        .class = class,
    };
}

static void grow_leaf(struct tree_node *class, struct tree_node *site, uint64_t most_bps)
{
    struct node_terms terms = some_terms(most_bps, TREE_INHERIT);
    struct actor *a = stage_leaf(play.stage, class, terms);

    limit_init(&play.limits[play.count++], a->leaf, terms.ceiling_bps);
    memcpy(a->path, (struct tree_node *[]){a->leaf, class, site, tree_link(play.stage->tree)},
           4 * sizeof(struct tree_node *));
    a->ask_bytes = 300 + gen_skewed(&gen, 100000);
}

static void plant(uint64_t link_bps)
{
    memset(&play, 0, sizeof play);
    play.stage = stage_new(link_bps);
    play.stage->granted = on_granted;
    limit_init(&play.limits[play.count++], tree_link(play.stage->tree), link_bps);
    for (unsigned i = 0; i < SITES; i++) {
        struct tree_node *site = grow(NULL, some_terms(link_bps, TREE_INHERIT));
        for (unsigned c = 0; c < CLASSES_OF_SITE; c++) {
            struct tree_node *class = grow(site, some_terms(link_bps, TREE_URGENT + c));
            for (uint64_t leaves = gen_below(&gen, 6); leaves > 0; leaves--)
                grow_leaf(class, site, link_bps);
        }
    }
}

/* What the leaves got is what each node above counted. */
static void nothing_is_lost_on_the_way(void)
{
    for (size_t i = 0; i < play.count; i++) {
        struct node_figures figures;
        uint64_t sum = 0;
        tree_node_figures(play.limits[i].node, &figures);
        for (struct actor *a = play.stage->actors; a->leaf != NULL; a++)
            for (struct tree_node **n = a->path; *n != NULL; n++)
                sum += *n == play.limits[i].node ? a->got_bytes : 0;
        assert_int_equal(figures.granted_bytes + play.limits[i].earlier_bytes, sum);
    }
}

/* Who waits has a limit above it that had no room for a packet a tick ago. */
static void nobody_waits_without_a_reason(void)
{
    for (struct actor *a = play.stage->actors; a->leaf != NULL; a++) {
        bool is_open = true;
        for (struct tree_node **n = a->path; *n != NULL; n++)
            is_open = is_open && limit_was_open(limit_of(*n));
        if (is_open && a->queued_bytes > 0)
            fail_msg("leaf %zu waits for nothing", (size_t)(a - play.stage->actors));
    }
}

/* It was more on the wire than granted, or less. */
static void correct(struct actor *a)
{
    uint64_t bytes = gen_skewed(&gen, 20000);

    if (gen_chance(&gen, 2, 3)) {
        tree_leaf_charge(a->leaf, bytes, play.stage->now_ns);
        for_path(a, limit_add, bytes * (wide)-1);
        a->got_bytes += bytes;
    } else if (a->got_bytes - limit_of(a->leaf)->earlier_bytes >= bytes) {
        tree_leaf_refund(a->leaf, bytes, play.stage->now_ns);
        for_path(a, limit_add, bytes);
        a->got_bytes -= bytes;
    }
}

/* Its client goes, and another comes. */
static void replace(struct actor *a)
{
    struct node_terms terms = some_terms(play.limits[0].rate_bps, TREE_INHERIT);
    struct limit *l = limit_of(a->leaf);

    stage_leave(play.stage, a);
    a->leaf = a->path[0] = stage_node(play.stage, a->path[1], terms);
    tree_node_set_arg(a->leaf, a);
    limit_init(l, a->leaf, terms.ceiling_bps);
    l->earlier_bytes = a->got_bytes;
}

static void change_something(void)
{
    struct limit *l = &play.limits[gen_below(&gen, play.count)];
    struct actor *a = &play.stage->actors[gen_below(&gen, play.stage->count)];
    struct node_terms terms = some_terms(play.limits[0].rate_bps, TREE_INHERIT);

    if (gen_chance(&gen, 1, 4) && l != &play.limits[0]) {
        tree_node_set_terms(l->node, &terms, play.stage->now_ns);
        limit_set(l, terms.ceiling_bps);
    } else if (a->leaf != NULL && gen_chance(&gen, 1, 4)) {
        replace(a);
    } else if (a->leaf != NULL && gen_chance(&gen, 1, 2)) {
        correct(a);
    } else if (a->leaf != NULL) {
        stage_stop(play.stage, a);
        a->is_hungry = gen_chance(&gen, 2, 3);
    }
}

static void no_limit_is_broken_nothing_is_lost_and_nobody_waits_without_a_reason(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        plant(20000 + gen_skewed(&gen, 200 * MBIT));
        for (unsigned step = 0; step < 150; step++) {
            stage_run_for(play.stage, gen_skewed(&gen, 100 * NS_PER_MS));
            nobody_waits_without_a_reason();
            change_something();
        }
        nothing_is_lost_on_the_way();
        stage_free(play.stage, play.inner, play.inner_count);
    }
}

/* ---- shares ---------------------------------------------------------------------------------- */

static double jain(const double *shares, unsigned count)
{
    double sum = 0, squares = 0;

    for (unsigned i = 0; i < count; i++) {
        sum += shares[i];
        squares += shares[i] * shares[i];
    }
    return sum * sum / (count * squares);
}

static void equals_share_by_weight_whatever_they_ask_for_at_a_time(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS / 4; round++) {
        unsigned count = 2 + (unsigned)gen_below(&gen, 29);
        struct stage *s = stage_new((2 + gen_below(&gen, 100)) * MBIT);
        double shares[32];
        uint32_t weights[32];
        for (unsigned i = 0; i < count; i++) {
            weights[i] = 1 + (uint32_t)gen_below(&gen, 10);
            struct node_terms terms = {.ceiling_bps = TREE_UNLIMITED, .weight = weights[i]};
            stage_leaf(s, NULL, terms)->ask_bytes = 1400 + gen_below(&gen, 100000);
        }
        stage_run_for(s, 30 * NS_PER_S);
        for (unsigned i = 0; i < count; i++)
            shares[i] = (double)s->actors[i].got_bytes / weights[i];
        assert_true(jain(shares, count) >= 0.99);
        stage_free(s, NULL, 0);
    }
}

static void thirty_clients_on_and_off_never_pass_their_parent_and_share_by_weight(void **state)
{
    struct stage *s = stage_new(50 * MBIT);
    struct tree_node *site = stage_node(s, NULL, (struct node_terms){.ceiling_bps = 10 * MBIT});
    double shares[30] = {0}, on_s[30] = {0}, total = 0;

    (void)state;
    for (unsigned i = 0; i < 30; i++)
        stage_leaf(s, site,
                   (struct node_terms){.ceiling_bps = TREE_UNLIMITED, .weight = 1 + i % 3});
    for (unsigned second = 0; second < 120; second++) {
        uint64_t before[30], sum = 0;
        unsigned weights = 0;
        for (unsigned i = 0; i < 30; i++) {
            before[i] = s->actors[i].got_bytes;
            stage_stop(s, &s->actors[i]);
            s->actors[i].is_hungry = gen_chance(&gen, 1, 2);
            weights += s->actors[i].is_hungry ? 1 + i % 3 : 0;
        }
        stage_run_for(s, NS_PER_S);
        for (unsigned i = 0; i < 30; i++) {
            sum += s->actors[i].got_bytes - before[i];
            on_s[i] += s->actors[i].is_hungry ? 1.0 / weights : 0;
        }
        assert_true(sum <= 1250000 * 1.02);
        assert_true(weights == 0 || sum >= 1250000 * 0.98);
        total += (double)sum;
    }
    for (unsigned i = 0; i < 30; i++)
        shares[i] = (double)s->actors[i].got_bytes / (on_s[i] * (1 + i % 3));
    assert_true(total > 0 && jain(shares, 30) >= 0.99);
    stage_free(s, &site, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_limit_is_broken_nothing_is_lost_and_nobody_waits_without_a_reason),
        cmocka_unit_test(equals_share_by_weight_whatever_they_ask_for_at_a_time),
        cmocka_unit_test(thirty_clients_on_and_off_never_pass_their_parent_and_share_by_weight),
    };

    gen_init_from_env(&gen);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
