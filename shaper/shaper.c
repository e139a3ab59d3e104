/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/shaper.c – one timer that runs the tree, and a look each 100 ms at what really passed. */
#include "shaper/shaper.h"

#include <string.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/http.h"
#include "net/http_pace.h"
#include "net/stream.h"
#include "shaper/shaper_wire.h"

/* Each look asks the kernel about a connection: many are looked at in parts, that nobody waits for
 * all of them. */
enum { LOOK_EVERY_MS = 100, LOOK_PARTS = 10, LOOK_AT_ONCE = 64 };

struct shaper {
    struct loop *loop;
    struct tree *tree;
    struct timer timer;
    uint32_t packet_overhead_bytes;
    TAILQ_HEAD(, shaper_leaf) looked_at; /* who waited longest comes first */
    size_t looked_at_count;
    uint64_t look_ns; /* UINT64_MAX: nobody to look at */
};

static void on_timer(void *arg);

/* ---- the timer ------------------------------------------------------------------------------- */

static void arm(struct shaper *s)
{
    uint64_t at_ns = tree_next_ns(s->tree);
    uint64_t now_ns = loop_now_ns(s->loop);

    if (s->look_ns < at_ns)
        at_ns = s->look_ns;
    if (at_ns < now_ns)
        at_ns = now_ns; /* behind those who are woken now */
    if (at_ns == UINT64_MAX)
        timer_stop(&s->timer);
    else if (!timer_is_set(&s->timer) || s->timer.at_ns != at_ns)
        timer_set(&s->timer, at_ns);
}

/* ---- looking at what passed ------------------------------------------------------------------ */

static void look_from_now(struct shaper_leaf *leaf)
{
    struct shaper *s = leaf->shaper;

    leaf->is_asleep = false;
    if (leaf->is_looked_at)
        return;
    leaf->is_looked_at = true;
    TAILQ_INSERT_TAIL(&s->looked_at, leaf, link);
    s->looked_at_count++;
    if (s->look_ns == UINT64_MAX) {
        s->look_ns = loop_now_ns(s->loop) + LOOK_EVERY_MS * NS_PER_MS;
        arm(s);
    }
}

static void look_no_more(struct shaper_leaf *leaf)
{
    if (!leaf->is_looked_at)
        return;
    leaf->is_looked_at = false;
    TAILQ_REMOVE(&leaf->shaper->looked_at, leaf, link);
    leaf->shaper->looked_at_count--;
}

/* Who got all of what it asked for hears of it before others are given more. */
static bool on_granted(void *arg, struct tree_node *node, uint64_t bytes)
{
    struct shaper_leaf *leaf = tree_node_arg(node);

    (void)arg;
    leaf->in_hand_bytes += bytes;
    look_from_now(leaf);
    if (leaf->in_hand_bytes >= leaf->awaited_bytes || !tree_leaf_wants(node))
        gate_wake(&leaf->gate);
    return tree_leaf_wants(node);
}

static uint64_t measure(const struct shaper_leaf *leaf)
{
    uint32_t overhead = leaf->shaper->packet_overhead_bytes;
    struct path_figures figures;
    uint64_t to_come = 0;

    stream_figures(leaf->stream, &figures);
    if (leaf->session == NULL)
        return wire_sent(&figures, leaf->stream->address, overhead);
    to_come = http_session_outstanding_bytes(leaf->session) * leaf->wire_per_1024 / WIRE_ONE;
    return wire_received(&figures, leaf->stream->address, overhead) + to_come;
}

/* The estimate moves a quarter of the way to what was found, if there was enough to tell. */
static void learn(struct shaper_leaf *leaf, uint64_t measured)
{
    enum { ENOUGH = 4096, MOST = 4 * WIRE_ONE, SLOWLY = 4 };
    uint64_t passed = leaf->passed_bytes - leaf->seen_passed_bytes;

    if (passed < ENOUGH)
        return;
    uint64_t found =
        measured > leaf->seen_bytes ? (measured - leaf->seen_bytes) * WIRE_ONE / passed : 0;
    found = found < WIRE_ONE ? WIRE_ONE : found > MOST ? MOST : found;
    leaf->wire_per_1024 =
        (uint32_t)((leaf->wire_per_1024 * (uint64_t)(SLOWLY - 1) + found) / SLOWLY);
    leaf->seen_passed_bytes = leaf->passed_bytes;
    /* What is outstanding is measured by the estimate, too: its change is nothing that passed. */
    uint64_t again = measure(leaf);
    leaf->seen_bytes = again > leaf->before_bytes ? again - leaf->before_bytes : 0;
}

static void correct(struct shaper_leaf *leaf, uint64_t now_ns)
{
    if (leaf->stream == NULL)
        return;
    uint64_t total = measure(leaf);
    uint64_t measured = total > leaf->before_bytes ? total - leaf->before_bytes : 0;

    learn(leaf, measured);
    if (measured != leaf->charged_bytes)
        leaf->is_asleep = false;
    if (measured > leaf->charged_bytes)
        tree_leaf_charge(leaf->node, measured - leaf->charged_bytes, now_ns);
    else
        tree_leaf_refund(leaf->node, leaf->charged_bytes - measured, now_ns);
    leaf->charged_bytes = measured;
}

static void drop_hand(struct shaper_leaf *leaf, uint64_t now_ns)
{
    tree_leaf_refund(leaf->node, leaf->in_hand_bytes, now_ns);
    leaf->in_hand_bytes = 0;
}

/* Who did nothing since the last look gives back what it holds, and is let alone. */
static void look_at(struct shaper_leaf *leaf, uint64_t now_ns)
{
    const bool was_asleep = leaf->is_asleep;

    leaf->is_asleep = true;
    correct(leaf, now_ns);
    if (!was_asleep || !leaf->is_asleep)
        return;
    if (!tree_leaf_wants(leaf->node)) /* else it waits for the rest */
        drop_hand(leaf, now_ns);
    look_no_more(leaf);
}

static void look_at_some(struct shaper *s, uint64_t now_ns)
{
    const bool is_many = s->looked_at_count > LOOK_AT_ONCE;
    const size_t part = (s->looked_at_count + LOOK_PARTS - 1) / LOOK_PARTS;
    const uint64_t every_ns = LOOK_EVERY_MS * NS_PER_MS;

    for (size_t n = is_many ? part : s->looked_at_count; n > 0; n--) {
        struct shaper_leaf *leaf = TAILQ_FIRST(&s->looked_at);
        TAILQ_REMOVE(&s->looked_at, leaf, link);
        TAILQ_INSERT_TAIL(&s->looked_at, leaf, link);
        look_at(leaf, now_ns);
    }
    if (s->looked_at_count == 0)
        s->look_ns = UINT64_MAX;
    else
        s->look_ns = now_ns + (is_many ? every_ns / LOOK_PARTS : every_ns);
}

static void on_timer(void *arg)
{
    struct shaper *s = arg;
    uint64_t now_ns = loop_now_ns(s->loop);

    if (now_ns >= s->look_ns)
        look_at_some(s, now_ns);
    tree_run(s->tree, now_ns, on_granted, s);
    arm(s);
}

/* ---- the gate -------------------------------------------------------------------------------- */

static struct shaper_leaf *leaf_of(struct gate *g)
{
    return ALB_CONTAINER(g, struct shaper_leaf, gate);
}

static uint64_t on_wire(const struct shaper_leaf *leaf, uint64_t bytes)
{
    return (bytes * leaf->wire_per_1024 + WIRE_ONE - 1) / WIRE_ONE;
}

/* The asker's wish for one piece ends where it becomes a burst, and where it would have to hoard
 * what it gets at several turns: with many that do, the line is idle first and flooded then. */
static uint64_t least_answer(const struct shaper_leaf *leaf, uint64_t wire)
{
    uint64_t least = on_wire(leaf, leaf->gate.least);
    uint64_t turn = tree_leaf_turn_bytes(leaf->node);

    if (least < TREE_GRANT_MIN)
        least = TREE_GRANT_MIN;
    least = least < turn ? least : turn;
    return wire < least ? wire : least;
}

/* What is granted at once may be a part; who got nothing is queued for the rest. */
static void collect(struct shaper_leaf *leaf, uint64_t wire, uint64_t now_ns)
{
    uint64_t got = 1;

    while (got > 0 && leaf->in_hand_bytes < wire) {
        got = tree_leaf_want(leaf->node, wire - leaf->in_hand_bytes, now_ns);
        leaf->in_hand_bytes += got;
    }
}

static size_t leaf_ask(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    struct shaper_leaf *leaf = leaf_of(g);
    uint64_t wire = on_wire(leaf, want);
    uint64_t least = least_answer(leaf, wire);

    look_from_now(leaf);
    if (tree_leaf_ceiling_bps(leaf->node) == 0)
        drop_hand(leaf, now_ns);
    collect(leaf, wire, now_ns);
    if (leaf->in_hand_bytes >= least) {
        uint64_t may = leaf->in_hand_bytes * WIRE_ONE / leaf->wire_per_1024;
        tree_leaf_want(leaf->node, 0, now_ns); /* it will ask again for the rest */
        return may < want ? (size_t)may : want;
    }
    *retry_ns = GATE_WILL_CALL;
    leaf->awaited_bytes = least;
    arm(leaf->shaper);
    return 0;
}

static void leaf_spent(struct gate *g, size_t bytes, uint64_t now_ns)
{
    struct shaper_leaf *leaf = leaf_of(g);
    uint64_t wire = on_wire(leaf, bytes);

    look_from_now(leaf);
    leaf->passed_bytes += bytes;
    leaf->charged_bytes += wire;
    if (wire <= leaf->in_hand_bytes) {
        leaf->in_hand_bytes -= wire;
        return;
    }
    tree_leaf_charge(leaf->node, wire - leaf->in_hand_bytes, now_ns);
    leaf->in_hand_bytes = 0;
}

static void leaf_forget(struct gate *g)
{
    struct shaper_leaf *leaf = leaf_of(g);
    uint64_t now_ns = loop_now_ns(leaf->shaper->loop);

    tree_leaf_want(leaf->node, 0, now_ns);
    drop_hand(leaf, now_ns);
    arm(leaf->shaper);
}

static const struct gate_ops leaf_ops = {
    .ask = leaf_ask, .spent = leaf_spent, .forget = leaf_forget};

/* ---- leaves ---------------------------------------------------------------------------------- */

void shaper_leaf_start(struct shaper_leaf *leaf, struct shaper *s, struct tree_node *parent,
                       const struct node_terms *terms)
{
    *leaf =
        (struct shaper_leaf){.gate.ops = &leaf_ops, .shaper = s, .wire_per_1024 = WIRE_ESTIMATE};
    leaf->node = tree_node_new(s->tree, parent, terms, loop_now_ns(s->loop));
    tree_node_set_arg(leaf->node, leaf);
}

void shaper_leaf_stop(struct shaper_leaf *leaf)
{
    struct shaper *s = leaf->shaper;

    if (s == NULL)
        return;
    uint64_t now_ns = loop_now_ns(s->loop);
    correct(leaf, now_ns);
    drop_hand(leaf, now_ns);
    look_no_more(leaf);
    tree_node_free(leaf->node, now_ns);
    *leaf = (struct shaper_leaf){0};
    arm(s);
}

void shaper_leaf_set_terms(struct shaper_leaf *leaf, const struct node_terms *terms)
{
    shaper_node_set_terms(leaf->shaper, leaf->node, terms);
}

static void watch(struct shaper_leaf *leaf, struct stream *stream, struct http_session *session)
{
    correct(leaf, loop_now_ns(leaf->shaper->loop));
    leaf->stream = stream;
    leaf->session = session;
    leaf->charged_bytes = leaf->seen_bytes = leaf->before_bytes = 0;
    leaf->seen_passed_bytes = leaf->passed_bytes;
    if (stream != NULL)
        leaf->before_bytes = measure(leaf);
}

void shaper_leaf_watch_sent(struct shaper_leaf *leaf, struct stream *stream)
{
    watch(leaf, stream, NULL);
}

void shaper_leaf_watch_received(struct shaper_leaf *leaf, struct http_session *session)
{
    watch(leaf, session == NULL ? NULL : http_session_stream(session), session);
}

/* ---- the shaper ------------------------------------------------------------------------------ */

struct shaper *shaper_new(struct loop *loop, const struct shaper_options *options)
{
    struct shaper *s = xalloc(sizeof *s);

    s->loop = loop;
    TAILQ_INIT(&s->looked_at);
    s->tree = tree_new(&options->link, loop_now_ns(loop));
    s->packet_overhead_bytes = options->packet_overhead_bytes;
    s->look_ns = UINT64_MAX;
    timer_init(&s->timer, loop, on_timer, s);
    return s;
}

struct shaper *shaper_free(struct shaper *s)
{
    if (s == NULL)
        return NULL;
    timer_stop(&s->timer);
    tree_free(s->tree);
    free(s);
    return NULL;
}

struct tree_node *shaper_link(struct shaper *s)
{
    return tree_link(s->tree);
}

struct tree_node *shaper_node_new(struct shaper *s, struct tree_node *parent,
                                  const struct node_terms *terms)
{
    return tree_node_new(s->tree, parent, terms, loop_now_ns(s->loop));
}

struct tree_node *shaper_node_free(struct shaper *s, struct tree_node *n)
{
    return tree_node_free(n, loop_now_ns(s->loop));
}

void shaper_node_set_terms(struct shaper *s, struct tree_node *n, const struct node_terms *terms)
{
    tree_node_set_terms(n, terms, loop_now_ns(s->loop));
    arm(s);
}
