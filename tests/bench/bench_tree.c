/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_tree.c – what one grant of the budget tree costs, by how many leaves there are. */
/* LINKS: shaper net wire base */

/* usage: bench_tree WHAT LEAVES GRANTS
 *
 *   deep     each leaf wants for ever: a grant is a turn
 *   ask      each leaf asks for one packet, gets it and asks again, as a gate does
 *   ceiling  the same, and each leaf is at its own ceiling after each: it goes round the wheel
 *
 * Ten sites, a class each, and the leaves under them; a link that always has work.  The clock is
 * virtual, a millisecond a run.  Prints one line of JSON: grants, the CPU's nanoseconds a grant. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/units.h"
#include "shaper/tree.h"

enum { SITES = 10, PACKET = 1448, RUNS_OF_WARMTH = 2 };
#define LINK_BPS (UINT64_C(10000) * 1000000)
#define FOR_EVER (UINT64_C(1) << 60)

struct bench {
    struct tree *tree;
    struct tree_node **leaves;
    uint64_t count, now_ns, grants, asked_bytes;
};

static bool on_granted(void *arg, struct tree_node *leaf, uint64_t bytes)
{
    struct bench *b = arg;

    (void)bytes;
    b->grants++;
    if (b->asked_bytes != FOR_EVER)
        (void)tree_leaf_want(leaf, b->asked_bytes, b->now_ns);
    return true;
}

static void run(struct bench *b, uint64_t grants)
{
    for (uint64_t until = b->grants + grants; b->grants < until; b->now_ns += NS_PER_MS)
        tree_run(b->tree, b->now_ns, on_granted, b);
}

/* Each leaf's ceiling is a 256th more than its share, so that some wait and the link is full. */
static void build(struct bench *b, bool has_ceilings)
{
    struct node_terms open = {.ceiling_bps = TREE_UNLIMITED, .assured_bps = LINK_BPS / SITES / 2};
    struct node_terms leaf = {.ceiling_bps = TREE_UNLIMITED};
    struct tree_node *classes[SITES];

    b->tree = tree_new(&(struct node_terms){.ceiling_bps = LINK_BPS}, b->now_ns);
    b->leaves = xcalloc(b->count, sizeof *b->leaves);
    for (unsigned i = 0; i < SITES; i++) {
        struct tree_node *site = tree_node_new(b->tree, NULL, &open, b->now_ns);
        classes[i] = tree_node_new(b->tree, site, &open, b->now_ns);
    }
    if (has_ceilings)
        leaf.ceiling_bps = LINK_BPS / b->count * 257 / 256;
    for (uint64_t i = 0; i < b->count; i++) {
        b->leaves[i] = tree_node_new(b->tree, classes[i % SITES], &leaf, b->now_ns);
        while (tree_leaf_want(b->leaves[i], b->asked_bytes, b->now_ns) > 0)
            ; /* until the burst is used and it is queued */
    }
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct bench b = {.now_ns = NS_PER_S, .asked_bytes = PACKET};
    uint64_t grants;

    if (argc != 4 || alb_failed(parse_u64(argv[2], 10000000, &b.count)) || b.count == 0 ||
        alb_failed(parse_u64(argv[3], UINT64_MAX, &grants)) || grants == 0) {
        (void)fprintf(stderr, "usage: bench_tree deep|ask|ceiling LEAVES GRANTS\n");
        return 2;
    }
    if (strcmp(argv[1], "deep") == 0)
        b.asked_bytes = FOR_EVER;
    build(&b, strcmp(argv[1], "ceiling") == 0);
    run(&b, RUNS_OF_WARMTH * b.count);
    uint64_t before = b.grants, began_ns = cpu_ns();
    run(&b, grants);
    uint64_t took_ns = cpu_ns() - began_ns;
    printf("{\"grants\": %" PRIu64 ", \"ns_per_grant\": %.1f}\n", b.grants - before,
           (double)took_ns / (double)(b.grants - before));
    return 0;
}
