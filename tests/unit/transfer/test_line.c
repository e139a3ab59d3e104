/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_line.c – which side's rules a line goes by, as far as it turns out to be. */
/* LINKS: sim_world */
#include "transfer/line.h"

#include "base/alloc.h"
#include "base/units.h"
#include "sim/world.h"
#include "support/policy_stage.h"
#include "transfer/layer_jobs.h"

static const char BOTH_SIDES[] =
    "{\"format\":1,\"rules\":["
    "{\"scope\":\"job:app/lan\",\"place\":\"lan\",\"mode\":\"off\"},"
    "{\"scope\":\"global\",\"place\":\"wan\",\"direction\":\"both\",\"mode\":\"off\"},"
    "{\"scope\":\"global\",\"place\":\"lan\",\"mode\":\"capped\",\"rate\":\"50Mbit\"}]}";

struct stage {
    struct world *world;
    struct loop *box;
    struct policy_stage policy;
    struct upstream_place hub;
    struct line *line;
};

static struct stage *stage_new(enum line_kind kind, const char *text)
{
    struct stage *g = xalloc(sizeof *g);

    g->world = world_new(5);
    g->box = world_add_node(g->world, "box", NULL);
    g->hub = (struct upstream_place){"hub", 7443};
    policy_stage_open(&g->policy, g->box, text);
    g->line = line_new(&(struct line_options){.loop = g->box,
                                              .places = &g->hub,
                                              .place_count = 1,
                                              .kind = kind,
                                              .policy = g->policy.book,
                                              .site = "oslo",
                                              .device = "box"});
    return g;
}

static void run_ms(struct stage *g, uint64_t ms)
{
    world_run(g->world, world_now_ns(g->world) + ms * NS_PER_MS);
}

static void stage_free(struct stage *g)
{
    line_stop(g->line);
    line_free(g->line);
    policy_stage_close(&g->policy);
    run_ms(g, 100);
    world_free(g->world);
    policy_stage_release(&g->policy);
    free(g);
}

static void measure(struct stage *g, uint64_t rtt_ns)
{
    for (int i = 0; i < 40; i++) {
        const uint64_t now_ns = loop_now_ns(g->box);
        wan_probe_ops.sample(
            line_wan(g->line),
            &(struct probe_sample){.sent_ns = now_ns - rtt_ns, .at_ns = now_ns, .rtt_ns = rtt_ns});
        run_ms(g, 50);
    }
}

static struct policy_terms terms(const struct stage *g, enum wan_way way)
{
    struct wan_figures f;

    wan_figures(line_wan(g->line), way, &f);
    return f.terms;
}

static void a_line_that_turns_out_to_be_near_goes_by_the_rules_of_the_lan(void **state)
{
    struct stage *g = stage_new(LINE_IS_AUTO, BOTH_SIDES);

    (void)state;
    assert_int_equal(terms(g, WAN_DOWN).action.mode, POLICY_OFF);
    assert_int_equal(terms(g, WAN_UP).action.mode, POLICY_OFF);
    struct layer_job *j = layer_job_enter(line_jobs(g->line), "app/lan");
    measure(g, 200000);
    assert_int_equal(terms(g, WAN_DOWN).action.mode, POLICY_CAPPED);
    assert_int_equal(terms(g, WAN_DOWN).action.rate_bps, 50000000);
    assert_int_equal(terms(g, WAN_UP).action.mode, POLICY_CAPPED);
    assert_true(layer_job_ask_ns(j) == UINT64_MAX); /* by a rule of the LAN */
    layer_job_leave(j);
    wan_probe_ops.forget(line_wan(g->line)); /* the cable is in another socket now */
    measure(g, 20 * NS_PER_MS);
    assert_int_equal(terms(g, WAN_DOWN).action.mode, POLICY_OFF);
    stage_free(g);
}

/* One that is just as far as a LAN may be would go by other rules with each probe. */
static void a_line_that_is_near_has_to_be_twice_as_far_to_be_far_again(void **state)
{
    struct stage *near = stage_new(LINE_IS_AUTO, BOTH_SIDES);
    struct stage *far = stage_new(LINE_IS_AUTO, BOTH_SIDES);

    (void)state;
    measure(near, 300000);
    assert_int_equal(terms(near, WAN_DOWN).action.mode, POLICY_CAPPED);
    for (int i = 0; i < 180; i++) /* the base is the least of five minutes */
        measure(near, 700000);
    assert_int_equal(terms(near, WAN_DOWN).action.mode, POLICY_CAPPED);
    for (int i = 0; i < 180; i++)
        measure(near, 1100000);
    assert_int_equal(terms(near, WAN_DOWN).action.mode, POLICY_OFF);
    measure(far, 700000);
    assert_int_equal(terms(far, WAN_DOWN).action.mode, POLICY_OFF);
    stage_free(near);
    stage_free(far);
}

/* What a job may follows the line, there and back. */
static void the_jobs_of_a_line_that_turns_out_to_be_near_go_by_the_rules_of_the_lan(void **state)
{
    struct stage *g = stage_new(LINE_IS_AUTO, BOTH_SIDES);
    struct layer_job *j = layer_job_enter(line_jobs(g->line), "app/other");

    (void)state;
    assert_true(layer_job_ask_ns(j) == UINT64_MAX); /* by the rule of the WAN */
    measure(g, 200000);
    assert_true(layer_job_ask_ns(j) != UINT64_MAX);
    wan_probe_ops.forget(line_wan(g->line));
    measure(g, 20 * NS_PER_MS);
    assert_true(layer_job_ask_ns(j) == UINT64_MAX);
    layer_job_leave(j);
    stage_free(g);
}

static void a_line_that_is_said_to_be_a_wan_stays_one_however_near(void **state)
{
    struct stage *g = stage_new(LINE_IS_WAN, BOTH_SIDES);

    (void)state;
    measure(g, 200000);
    assert_int_equal(terms(g, WAN_DOWN).action.mode, POLICY_OFF);
    stage_free(g);
}

static const char FREE[] = "{\"format\":1,\"rules\":[]}";

/* A modem's bytes cost money: what scavenges waits for another way. */
static void a_metered_way_holds_what_only_scavenges_and_lets_it_go_again(void **state)
{
    struct stage *g = stage_new(LINE_IS_WAN, FREE);

    (void)state;
    assert_int_equal(terms(g, WAN_DOWN).action.mode, POLICY_MODE_SCAVENGE);
    assert_false(line_is_spared(g->line));
    line_spare(g->line, true);
    run_ms(g, 100);
    assert_true(line_is_spared(g->line));
    assert_int_equal(terms(g, WAN_DOWN).action.mode, POLICY_OFF);
    assert_int_equal(terms(g, WAN_UP).action.mode, POLICY_OFF);
    line_spare(g->line, false);
    run_ms(g, 100);
    assert_int_equal(terms(g, WAN_DOWN).action.mode, POLICY_MODE_SCAVENGE);
    stage_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_that_turns_out_to_be_near_goes_by_the_rules_of_the_lan),
        cmocka_unit_test(a_line_that_is_near_has_to_be_twice_as_far_to_be_far_again),
        cmocka_unit_test(the_jobs_of_a_line_that_turns_out_to_be_near_go_by_the_rules_of_the_lan),
        cmocka_unit_test(a_line_that_is_said_to_be_a_wan_stays_one_however_near),
        cmocka_unit_test(a_metered_way_holds_what_only_scavenges_and_lets_it_go_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
