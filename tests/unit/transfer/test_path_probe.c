/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_path_probe.c – a child measures the path to its parent, by whatever way there
 * is. */
/* LINKS: sim_world */
#include "transfer/path_probe.h"

#include "sim/cast_holder.h"
#include "support/liar.h"

#define RTT_NS (40 * NS_PER_MS)

struct stage {
    struct liar_stage on; /* the liar is the parent in some tests, the holder in the others */
    struct cast_holder holder;
    struct upstream *upstream;
    struct path_probe *path;
    struct probe_sample last;
    unsigned samples, lost, forgets;
    const char *invitation; /* the liar's */
    unsigned invited;
};

static void on_sample(void *arg, const struct probe_sample *s)
{
    struct stage *g = arg;

    g->last = *s;
    g->samples++;
}

static void on_lost(void *arg, uint64_t sent_ns)
{
    (void)sent_ns;
    ((struct stage *)arg)->lost++;
}

static void on_forget(void *arg)
{
    ((struct stage *)arg)->forgets++;
}

static const struct probe_ops ops = {.sample = on_sample, .lost = on_lost, .forget = on_forget};

static int setup(void **state)
{
    struct stage *g = xalloc(sizeof *g);

    liar_stage_open(&g->on);
    *state = g;
    return 0;
}

static void start_child(struct stage *g)
{
    g->upstream = liar_plain_upstream(&g->on);
    g->path = path_probe_new(&(struct path_probe_options){
        .loop = g->on.box, .upstream = g->upstream, .ops = &ops, .arg = g});
    path_probe_set_pace(g->path, PROBE_ACTIVE);
}

static void start_holder(struct stage *g, bool has_udp)
{
    cast_holder_start(&g->holder, g->on.hub);
    if (has_udp)
        serve_open_probes(g->holder.serve, "0.0.0.0", CAST_PORT);
    start_child(g);
}

static int teardown(void **state)
{
    struct stage *g = *state;

    path_probe_free(g->path);
    upstream_free(g->upstream);
    if (g->holder.loop != NULL)
        cast_holder_stop(&g->holder);
    liar_stage_close(&g->on);
    if (g->holder.loop != NULL)
        cast_holder_release(&g->holder);
    free(g);
    return 0;
}

static struct probe_responder_figures answerer(const struct stage *g)
{
    struct serve_stats stats;

    serve_stats(g->holder.serve, &stats);
    return stats.probes;
}

static enum probe_mode mode(const struct stage *g)
{
    struct probe_figures f = {.mode = PROBE_TRYING};

    assert_true(path_probe_figures(g->path, &f));
    return f.mode;
}

/* ---- tests ---- */

static void a_child_measures_the_path_to_its_parent(void **state)
{
    struct stage *g = *state;

    start_holder(g, true);
    liar_stage_run_ms(&g->on, 11000);
    assert_int_equal(mode(g), PROBE_UDP);
    assert_in_range(g->samples, 180, 230);
    assert_in_range(g->last.rtt_ns, RTT_NS, RTT_NS + NS_PER_MS);
    assert_true(g->last.has_owd);
    assert_int_equal(g->lost, 0);
    assert_int_equal(g->forgets, 1); /* a line came up */
    assert_int_equal(answerer(g).tickets, 1);
    assert_int_equal(answerer(g).strangers, 0);
}

static void what_the_parent_sends_elsewhere_comes_with_the_answers(void **state)
{
    struct stage *g = *state;

    start_holder(g, true);
    probe_responder_tell(serve_probes(g->holder.serve), 7000000, 4);
    liar_stage_run_ms(&g->on, 3000);
    assert_int_equal(g->last.aggregate_bps, 7000000);
    assert_int_equal(g->last.flows, 4);
}

static void a_parent_that_knows_nothing_of_probes_is_measured_by_ping(void **state)
{
    struct stage *g = *state;

    start_holder(g, false);
    liar_stage_run_ms(&g->on, 11000);
    assert_int_equal(mode(g), PROBE_PING);
    assert_in_range(g->samples, 80, 115);
    assert_false(g->last.has_owd);
    assert_in_range(g->last.rtt_ns, RTT_NS, RTT_NS + 2 * NS_PER_MS);
    assert_int_equal(g->lost, 0);
}

static void a_line_that_comes_back_is_measured_anew(void **state)
{
    struct stage *g = *state;

    start_holder(g, true);
    liar_stage_run_ms(&g->on, 3000);
    upstream_suspect(g->upstream, alb_fail(ALB_TIMEOUT, "a test"));
    struct probe_figures none;
    assert_false(path_probe_figures(g->path, &none));
    liar_stage_run_ms(&g->on, 1000);
    const unsigned samples = g->samples;
    liar_stage_run_ms(&g->on, 5000);
    assert_in_range(g->samples - samples, 85, 110); /* at the pace that was set before */
    assert_int_equal(g->forgets, 2);
    assert_int_equal(answerer(g).tickets, 1); /* the lost session's is gone */
}

static void who_leaves_leaves_no_ticket(void **state)
{
    struct stage *g = *state;

    start_holder(g, true);
    liar_stage_run_ms(&g->on, 3000);
    g->path = path_probe_free(g->path);
    g->upstream = upstream_free(g->upstream);
    liar_stage_run_ms(&g->on, 3000);
    assert_int_equal(answerer(g).tickets, 0);
}

static void a_parent_that_stops_ends_it_and_nothing_is_left_behind(void **state)
{
    struct stage *g = *state;

    start_holder(g, true);
    liar_stage_run_ms(&g->on, 3000);
    cast_holder_stop(&g->holder);
    liar_stage_run_ms(&g->on, 30000);
    cast_holder_release(&g->holder);
    g->holder.loop = NULL;
    struct probe_figures none;
    assert_false(path_probe_figures(g->path, &none));
}

static void one_that_asks_again_has_one_ticket(void **state)
{
    struct stage *g = *state;

    start_holder(g, true);
    liar_stage_run_ms(&g->on, 3000);
    struct path_probe *other = path_probe_new(&(struct path_probe_options){
        .loop = g->on.box, .upstream = g->upstream, .ops = &ops, .arg = g});
    g->path = path_probe_free(g->path);
    g->path = other;
    path_probe_set_pace(g->path, PROBE_ACTIVE);
    liar_stage_run_ms(&g->on, 3000);
    assert_int_equal(mode(g), PROBE_UDP);
    assert_int_equal(answerer(g).tickets, 1);
}

static void it_may_be_freed_while_it_waits_for_the_invitation(void **state)
{
    struct stage *g = *state;

    start_holder(g, true);
    while (!upstream_is_up(g->upstream))
        liar_stage_run_ms(&g->on, 1);
    liar_stage_run_ms(&g->on, 10);
    g->path = path_probe_free(g->path);
    liar_stage_run_ms(&g->on, 3000);
    assert_int_equal(g->samples + g->forgets, 0);
}

/* ---- a parent that talks nonsense ---- */

static void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;

    g->invited++;
    http_answer(x, 200, "application/json", g->invitation, strlen(g->invitation));
}

static void an_invitation_that_makes_no_sense_is_as_none(void **state)
{
    struct stage *g = *state;

    g->invitation = "{\"id\": \"1234\", \"port\": 7443}";
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    liar_listen(&g->on.liar);
    start_child(g);
    liar_stage_run_ms(&g->on, 5000);
    assert_int_equal(g->invited, 1);
    assert_int_equal(mode(g), PROBE_PING);
    assert_true(g->samples > 30);
}

static void an_invitation_to_a_port_where_nobody_answers_ends_in_pings(void **state)
{
    struct stage *g = *state;

    g->invitation = "{\"id\": \"00112233445566778899aabbccddeeff\", \"port\": 9}";
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    liar_listen(&g->on.liar);
    start_child(g);
    liar_stage_run_ms(&g->on, 10000);
    assert_int_equal(mode(g), PROBE_PING);
    assert_true(g->samples > 50);
    assert_int_equal(g->lost, 0);
}

int main(void)
{
#define on_stage(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        on_stage(a_child_measures_the_path_to_its_parent),
        on_stage(what_the_parent_sends_elsewhere_comes_with_the_answers),
        on_stage(a_parent_that_knows_nothing_of_probes_is_measured_by_ping),
        on_stage(a_line_that_comes_back_is_measured_anew),
        on_stage(who_leaves_leaves_no_ticket),
        on_stage(a_parent_that_stops_ends_it_and_nothing_is_left_behind),
        on_stage(one_that_asks_again_has_one_ticket),
        on_stage(it_may_be_freed_while_it_waits_for_the_invitation),
        on_stage(an_invitation_that_makes_no_sense_is_as_none),
        on_stage(an_invitation_to_a_port_where_nobody_answers_ends_in_pings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
