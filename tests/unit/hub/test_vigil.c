/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_vigil.c – one machine of each subnet stays awake where no reflector is. */
/* LINKS: sim_world */
#include "hub/vigil.h"
#include "support/hub_stage.h"

#include "hub/hub_impl.h"

#define PC(name, site, nature, address)                                                            \
    "{\"device\":\"" name "\",\"role\":\"endpoint\",\"place\":{\"site\":\"" site                   \
    "\",\"by\":\"subnet\",\"nature\":\"" nature "\",\"addresses\":[\"" address "\"]}}"
#define ALL(list) "{\"devices\":[" list "]}"
#define PC1 PC("pc-1", "oslo", "wireless", "10.1.0.9/24")
#define PC2 PC("pc-2", "oslo", "wired", "10.1.0.10/24")
#define PC3 PC("pc-3", "oslo", "wired", "10.1.1.10/24")
#define PC4 PC("pc-4", "bergen", "wired", "10.2.0.10/24")
#define BOX                                                                                        \
    "{\"device\":\"box\",\"role\":\"reflector\",\"place\":{\"site\":\"oslo\",\"by\":"              \
    "\"configured\",\"addresses\":[\"10.1.0.2/24\"]}}"

static int set_up(void **state)
{
    struct stage *s = stage_ready();

    assert_int_equal(
        stage_ask_text(s, ADMIN, "POST", "/v1/sites-put",
                       "{\"format\":1,\"sites\":[{\"name\":\"bergen\"},{\"name\":\"site1\"},"
                       "{\"name\":\"norway\",\"keep_awake\":\"yes\"},"
                       "{\"name\":\"oslo\",\"parent\":\"norway\"}]}"),
        200);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    stage_free(*state);
    return 0;
}

/* `list` is all there is. */
static void there_are(struct stage *s, const char *list)
{
    assert_int_equal(stage_ask_text(s, REFLECTOR, "POST", "/v1/announce?all=1", list), 200);
    world_run(s->world, world_now_ns(s->world) + 3 * NS_PER_S);
}

static bool stays(struct stage *s, const char *device)
{
    struct vigil_copy *c = vigil_copy_new(s->hub->vigils);
    const bool has = vigil_copy_has(c, device);

    vigil_copy_free(c);
    return has;
}

static size_t staying(struct stage *s)
{
    struct hub_vigil_figures f;

    hub_vigil_figures(s->hub->vigils, &f);
    return f.staying;
}

static void a_wired_machine_of_each_subnet_stays_where_the_site_says_so(void **state)
{
    struct stage *s = *state;

    there_are(s, ALL(PC1 "," PC2 "," PC3 "," PC4));
    assert_true(stays(s, "pc-2") && stays(s, "pc-3"));
    assert_int_equal(staying(s), 2);
}

static void when_it_goes_another_stays_and_keeps_the_post_when_it_returns(void **state)
{
    struct stage *s = *state;

    there_are(s, ALL(PC1 "," PC2));
    assert_true(stays(s, "pc-2"));
    there_are(s, ALL(PC1));
    assert_true(stays(s, "pc-1") && !stays(s, "pc-2"));
    there_are(s, ALL(PC1 "," PC2));
    assert_true(stays(s, "pc-1") && !stays(s, "pc-2"));
}

static void one_that_moved_to_another_subnet_leaves_its_post(void **state)
{
    struct stage *s = *state;

    there_are(s, ALL(PC1 "," PC2));
    there_are(s, ALL(PC1 "," PC("pc-2", "bergen", "wired", "10.2.0.9/24")));
    assert_true(stays(s, "pc-1") && !stays(s, "pc-2"));
    assert_int_equal(staying(s), 1);
}

static void where_a_reflector_comes_nobody_need_stay(void **state)
{
    struct stage *s = *state;

    there_are(s, ALL(PC1 "," PC2));
    assert_int_equal(staying(s), 1);
    there_are(s, ALL(PC1 "," PC2 "," BOX));
    assert_int_equal(staying(s), 0);
    there_are(s, ALL(PC1 "," PC2));
    assert_int_equal(staying(s), 1);
}

static void without_the_term_nobody_stays(void **state)
{
    struct stage *s = *state;

    there_are(s, ALL(PC1 "," PC2));
    assert_int_equal(
        stage_ask_text(s, ADMIN, "POST", "/v1/sites-put",
                       "{\"format\":1,\"sites\":[{\"name\":\"oslo\"},{\"name\":\"site1\"}]}"),
        200);
    world_run(s->world, world_now_ns(s->world) + 3 * NS_PER_S);
    assert_int_equal(staying(s), 0);
}

/* It announced itself before it listened to events. */
static void who_cannot_be_told_yet_is_told_within_a_minute(void **state)
{
    static struct reply events; /* lives longer than the stage */
    struct hub_vigil_figures f;
    struct stage *s = *state;

    there_are(s, ALL(PC1));
    assert_true(stays(s, "pc-1"));
    hub_vigil_figures(s->hub->vigils, &f);
    assert_int_equal(f.told, 0);
    stage_begin(s, REFLECTOR, "GET", "/v1/events", NULL, &events);
    world_run(s->world, world_now_ns(s->world) + 61 * NS_PER_S);
    hub_vigil_figures(s->hub->vigils, &f);
    assert_int_equal(f.told, 1);
    world_run(s->world, world_now_ns(s->world) + 240 * NS_PER_S);
    hub_vigil_figures(s->hub->vigils, &f);
    assert_int_equal(f.told, 1); /* renewed every 5 min, not at each look */
    buf_clear(&events.body);
}

enum { SUBNETS = 150, A_LOOK = 64 };

/* One machine in each of many subnets of one site. */
static void announce_many(struct stage *s)
{
    struct buf body;

    buf_init(&body, 64 << 10);
    for (unsigned i = 0; i < SUBNETS; i++)
        must(buf_printf(&body,
                        "%s{\"device\":\"many-%u\",\"role\":\"endpoint\",\"place\":{\"site\":"
                        "\"oslo\",\"by\":\"subnet\",\"nature\":\"wired\",\"addresses\":["
                        "\"10.9.%u.9/24\"]}}",
                        i == 0 ? "{\"devices\":[" : ",", i, i));
    must(buf_printf(&body, "]}"));
    assert_int_equal(stage_ask_text(s, REFLECTOR, "POST", "/v1/announce?all=1", buf_text(&body)),
                     200);
    buf_release(&body);
}

static size_t many_that_stay(struct stage *s)
{
    struct vigil_copy *c = vigil_copy_new(s->hub->vigils);
    char name[16];
    size_t count = 0;

    for (unsigned i = 0; i < SUBNETS; i++) {
        snprintf(name, sizeof name, "many-%u", i);
        count += vigil_copy_has(c, name);
    }
    vigil_copy_free(c);
    return count;
}

/* Each is told by a signed word: a thousand of them in one turn held the loop up for 50 ms. */
static void many_subnets_at_once_do_not_hold_the_loop_up(void **state)
{
    struct stage *s = *state;
    size_t before = 0, most = 0;

    announce_many(s);
    for (unsigned i = 0; i < 60; i++) {
        world_run(s->world, world_now_ns(s->world) + NS_PER_S / 10);
        const size_t now = many_that_stay(s);
        most = now - before > most ? now - before : most;
        before = now;
    }
    assert_int_equal(before, SUBNETS);
    assert_int_equal(most, A_LOOK);
    assert_int_equal(staying(s), SUBNETS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_wired_machine_of_each_subnet_stays_where_the_site_says_so),
        TEST(when_it_goes_another_stays_and_keeps_the_post_when_it_returns),
        TEST(one_that_moved_to_another_subnet_leaves_its_post),
        TEST(where_a_reflector_comes_nobody_need_stay),
        TEST(without_the_term_nobody_stays),
        TEST(who_cannot_be_told_yet_is_told_within_a_minute),
        TEST(many_subnets_at_once_do_not_hold_the_loop_up),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
