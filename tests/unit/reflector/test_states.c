/* SPDX-License-Identifier: Apache-2.0 */
/* unit/reflector/test_states.c – what operators have a reflector do, and what those behind it see
 * of that: who is served, who is told to come again, what crosses the WAN. */
/* LINKS: sim_world */
#include "support/box_stage.h"

#include "reflector/reflector_impl.h"
#include "wire/signed.h"

/* ---- helpers --------------------------------------------------------------------------------- */

struct states_branch {
    struct branch *b; /* the fixture's */
    struct cast_version version;
    struct buf sealed;
    char root[DIGEST_HEX_SIZE];
};

static void give_states(void *arg, struct serve_request *rq)
{
    struct states_branch *s = arg;

    if (buf_size(&s->sealed) == 0)
        serve_refuse(rq, ALB_NOT_FOUND, "none");
    else
        serve_answer(rq, "application/octet-stream", buf_peek(&s->sealed), buf_size(&s->sealed));
}

/* A list in which the box alone is, or nobody. */
static void order(struct states_branch *s, uint64_t number, const char *members)
{
    AUTO_FREE char *text =
        members == NULL
            ? xstrdup("{\"format\":1,\"states\":[]}")
            : xasprintf("{\"format\":1,\"states\":[{\"device\":\"box\",\"state\":%s}]}", members);
    const struct policy_seal seal = {.org = "acme",
                                     .number = number,
                                     .issued_wall_s = loop_wall_s(s->b->hub.loop),
                                     .text = text,
                                     .text_size = strlen(text)};

    buf_clear(&s->sealed);
    assert_int_equal(policy_seal_encode(POLICY_STATES, &seal, &s->b->hub.hub_key, &s->sealed).code,
                     ALB_OK);
    feed_say(s->b->hub.feed, "states");
    run(s->b, NS_PER_S);
}

static int states_setup(void **state)
{
    struct states_branch *s = xalloc(sizeof *s);
    void *branch = NULL;

    (void)setup(&branch);
    s->b = branch;
    buf_init(&s->sealed, SIGNED_MAX);
    serve_set(s->b->hub.serve, ROUTE_STATES, give_states, s);
    const struct cast_order what = cast_holder_order(&s->b->hub, "base/x", 1, 4 << 20);
    cast_version_make(&what, &s->version);
    cast_holder_publish(&s->b->hub, &s->version, 1);
    digest_hex(&s->version.record.root, s->root);
    *state = s;
    return 0;
}

static int states_teardown(void **state)
{
    struct states_branch *s = *state;
    void *branch = s->b;

    (void)teardown(&branch);
    cast_version_release(&s->version);
    buf_release(&s->sealed);
    free(s);
    return 0;
}

/* The status of GET for chunk N of the version's content. */
static unsigned chunk(struct states_branch *s, struct asker *a, unsigned n)
{
    AUTO_FREE char *path = xasprintf("/v1/chunk/%s/C/%u?layer=base/x", s->root, n);

    return answer_to(a, "GET", path, "");
}

static void restart_box(struct states_branch *s)
{
    s->b->reflector = reflector_free(s->b->reflector);
    run(s->b, NS_PER_S);
    box_start(s->b);
    run(s->b, 30 * NS_PER_S);
}

static void call_again(struct states_branch *s, struct asker *a, struct loop *loop)
{
    asker_stop(a);
    run(s->b, NS_PER_S);
    asker_start(s->b, a, loop);
    run(s->b, 5 * NS_PER_S);
}

static struct upstream_figures figures(const struct asker *a)
{
    struct upstream_figures f;

    upstream_figures(a->upstream, &f);
    return f;
}

static struct here here_of(struct states_branch *s, struct asker *a)
{
    struct here here = {.device = ""};

    (void)s;
    assert_int_equal(answer_to(a, "GET", "/v1/here", ""), 200);
    assert_int_equal(here_decode(buf_peek(&a->answer), buf_size(&a->answer), &here).code, ALB_OK);
    return here;
}

static uint64_t stored(const struct states_branch *s)
{
    struct chunk_store_stats stats;

    assert_int_equal(chunk_store_stats(s->b->store, &stats).code, ALB_OK);
    return stats.chunks;
}

static bool is_kept(const struct states_branch *s, const char *name)
{
    struct buf value;

    buf_init(&value, CATALOGUE_VALUE_MAX);
    const bool is_there = !alb_failed(catalogue_get(s->b->catalogue, name, &value, NULL));
    buf_release(&value);
    return is_there;
}

/* ---- the states ------------------------------------------------------------------------------ */

static void drained_it_serves_what_it_has_to_those_who_are_here_and_takes_nobody(void **state)
{
    struct states_branch *s = *state;

    assert_int_equal(chunk(s, &s->b->endpoint, 0), 200);
    order(s, 1, "\"drain\",\"why\":\"new disk\"");
    assert_int_equal(chunk(s, &s->b->endpoint, 0), 200);
    assert_int_equal(chunk(s, &s->b->endpoint, 5), 404);
    call_again(s, &s->b->child, s->b->below);
    struct upstream_figures f = figures(&s->b->child);
    assert_false(f.is_up);
    assert_string_equal(f.why_down,
                        "an operator has this reflector take no new sessions: new disk");
    assert_in_range(f.refused_until_wall_s, loop_wall_s(s->b->box) + 290,
                    loop_wall_s(s->b->box) + 601);
    order(s, 2, NULL);
    run(s->b, 15 * NS_PER_S);
    assert_true(figures(&s->b->child).is_up);
    assert_int_equal(chunk(s, &s->b->endpoint, 5), 200);
}

static void suspended_it_fetches_nothing_and_serves_everybody(void **state)
{
    struct states_branch *s = *state;

    assert_int_equal(chunk(s, &s->b->endpoint, 0), 200);
    order(s, 1, "\"suspend\"");
    call_again(s, &s->b->child, s->b->below);
    assert_true(figures(&s->b->child).is_up);
    assert_int_equal(chunk(s, &s->b->endpoint, 0), 200);
    assert_int_equal(chunk(s, &s->b->endpoint, 5), 404);
    assert_int_equal(answer_to(&s->b->endpoint, "GET", "/v1/head/base/x", ""), 200); /* control */
    assert_string_equal(here_of(s, &s->b->endpoint).line_state, "suspended");
    order(s, 2, NULL);
    assert_int_equal(chunk(s, &s->b->endpoint, 5), 200);
}

/* What was under way when it came is not waited for. */
static void suspended_while_it_fetches_it_gives_that_up(void **state)
{
    struct states_branch *s = *state;
    AUTO_FREE char *path = xasprintf("/v1/chunk/%s/C/%u?layer=base/x", s->root, 7);

    assert_int_equal(chunk(s, &s->b->endpoint, 0), 200);
    world_link_set_up(s->b->wan, false);
    const unsigned before = s->b->endpoint.told;
    ask(&s->b->endpoint, "GET", path, "");
    run(s->b, NS_PER_S);
    assert_int_equal(s->b->endpoint.told, before);
    world_link_set_up(s->b->wan, true);
    order(s, 1, "\"suspend\"");
    run(s->b, 2 * NS_PER_S);
    assert_int_equal(s->b->endpoint.told, before + 1);
}

static void disabled_it_serves_nobody_until_it_accepts_again(void **state)
{
    struct states_branch *s = *state;

    assert_int_equal(chunk(s, &s->b->endpoint, 0), 200);
    order(s, 1, "\"disable\",\"why\":\"stolen\"");
    struct upstream_figures f = figures(&s->b->endpoint);
    run(s->b, 5 * NS_PER_S);
    f = figures(&s->b->endpoint);
    assert_false(f.is_up);
    assert_string_equal(f.why_down, "an operator disabled this reflector: stolen");
    assert_true(f.refused_until_wall_s > 0);
    assert_true(stored(s) > 0); /* it keeps what it has */
    order(s, 2, NULL);
    run(s->b, 15 * NS_PER_S);
    assert_true(figures(&s->b->endpoint).is_up);
    assert_int_equal(chunk(s, &s->b->endpoint, 0), 200);
}

static void each_state_is_in_force_behind_a_restart_without_a_line(void **state)
{
    static const struct {
        const char *order;
        enum reflector_state state;
        bool takes_new;
    } CASES[] = {{"\"drain\"", REFLECTOR_DRAIN, false},
                 {"\"suspend\"", REFLECTOR_SUSPEND, true},
                 {"\"disable\"", REFLECTOR_DISABLE, false}};
    struct states_branch *s = *state;

    for (size_t i = 0; i < ALB_COUNT(CASES); i++) {
        order(s, i + 1, CASES[i].order);
        world_link_set_up(s->b->wan, false);
        restart_box(s);
        assert_int_equal(s->b->reflector->duty.entry.state, CASES[i].state);
        assert_int_equal(figures(&s->b->endpoint).is_up, CASES[i].takes_new);
        world_link_set_up(s->b->wan, true);
        run(s->b, 30 * NS_PER_S);
    }
}

static void wiped_it_has_nothing_of_content_and_knows_who_it_is(void **state)
{
    struct states_branch *s = *state;

    assert_int_equal(chunk(s, &s->b->endpoint, 0), 200);
    assert_int_equal(answer_to(&s->b->endpoint, "GET", "/v1/head/base/x", ""), 200);
    assert_true(stored(s) > 0 && is_kept(s, "head/base/x"));
    order(s, 1, "\"disable\",\"wipe\":true");
    run(s->b, NS_PER_S);
    assert_int_equal(stored(s), 0);
    assert_false(is_kept(s, "head/base/x"));
    assert_false(is_kept(s, "grant/of/pc"));
    assert_true(is_kept(s, "trust/1") && is_kept(s, "states"));
    assert_true(s->b->reflector->duty.is_wiped);
    restart_box(s);
    assert_int_equal(s->b->reflector->duty.entry.state, REFLECTOR_DISABLE);
    order(s, 2, NULL);
    run(s->b, 15 * NS_PER_S);
    assert_int_equal(chunk(s, &s->b->endpoint, 0), 200);
}

/* ---- terms ----------------------------------------------------------------------------------- */

static void beyond_max_sessions_a_newcomer_is_told_when_to_come_again(void **state)
{
    struct states_branch *s = *state;

    reflector_set_terms(s->b->reflector, 1, 0); /* two devices are here already, and stay */
    run(s->b, NS_PER_S);
    assert_true(figures(&s->b->endpoint).is_up && figures(&s->b->child).is_up);
    call_again(s, &s->b->child, s->b->below);
    struct upstream_figures f = figures(&s->b->child);
    assert_false(f.is_up);
    assert_string_equal(f.why_down, "1 devices are served here, and its site's max_sessions is 1");
    assert_in_range(f.refused_until_wall_s, loop_wall_s(s->b->box) + 20,
                    loop_wall_s(s->b->box) + 61);
    assert_false(here_of(s, &s->b->endpoint).takes_new);
    reflector_set_terms(s->b->reflector, 2, 0);
    run(s->b, 15 * NS_PER_S);
    assert_true(figures(&s->b->child).is_up);
}

/* ---- here ------------------------------------------------------------------------------------ */

static void whoever_asks_hears_who_is_above_and_since_when_it_is_cut_off(void **state)
{
    struct states_branch *s = *state;
    struct here here = here_of(s, &s->b->endpoint);

    assert_string_equal(here.device, "box");
    assert_int_equal(here.sessions, 2);
    assert_true(here.takes_new);
    assert_true(
        here_leads_to(&here, "hub")); /* by its certificate: it does not know the question */
    assert_int_equal(here.cut_off_since_wall_s, 0);
    const int64_t before_s = loop_wall_s(s->b->box);
    world_link_set_up(s->b->wan, false);
    run(s->b, 60 * NS_PER_S);
    here = here_of(s, &s->b->endpoint);
    assert_in_range(here.cut_off_since_wall_s, before_s, before_s + 25);
    assert_string_equal(here.line_state, "down");
}

static void whoever_asks_all_the_time_is_told_to_wait(void **state)
{
    struct states_branch *s = *state;

    for (unsigned i = 0; i < 20; i++)
        ask(&s->b->endpoint, "GET", "/v1/here", "");
    run(s->b, 50 * NS_PER_MS);
    assert_int_equal(s->b->endpoint.status, 200);
    ask(&s->b->endpoint, "GET", "/v1/here", "");
    run(s->b, 50 * NS_PER_MS);
    assert_int_equal(s->b->endpoint.status, 503);
    assert_non_null(strstr(s->b->endpoint.message, "once a second is enough"));
    run(s->b, 2 * NS_PER_S);
    assert_int_equal(here_of(s, &s->b->endpoint).state, REFLECTOR_ACCEPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, states_setup, states_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(drained_it_serves_what_it_has_to_those_who_are_here_and_takes_nobody),
        TEST(suspended_it_fetches_nothing_and_serves_everybody),
        TEST(suspended_while_it_fetches_it_gives_that_up),
        TEST(disabled_it_serves_nobody_until_it_accepts_again),
        TEST(each_state_is_in_force_behind_a_restart_without_a_line),
        TEST(wiped_it_has_nothing_of_content_and_knows_who_it_is),
        TEST(beyond_max_sessions_a_newcomer_is_told_when_to_come_again),
        TEST(whoever_asks_hears_who_is_above_and_since_when_it_is_cut_off),
        TEST(whoever_asks_all_the_time_is_told_to_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
