/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_roster.c – who is there, by which child, and whose word counts. */
/* LINKS: sim_world */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "sim/world.h"
#include "transfer/roster.h"

struct stage {
    struct world *world;
    struct loop *hub;
    struct roster *roster;
    struct feed *feed;
    struct roster_listener listener;
    unsigned came, changed, went;
    char last[64], last_via[64], last_site[64];
    enum announce_goes goes;
};

static void told(struct roster_listener *l, enum roster_news news, const struct roster_entry *e,
                 const struct announce *before)
{
    struct stage *s = ALB_CONTAINER(l, struct stage, listener);

    assert_true((before != NULL) == (news == ROSTER_CHANGED));
    s->came += news == ROSTER_CAME;
    s->changed += news == ROSTER_CHANGED;
    s->went += news == ROSTER_WENT;
    s->goes = e->announce->goes;
    (void)snprintf(s->last, sizeof s->last, "%s", e->announce->device);
    (void)snprintf(s->last_via, sizeof s->last_via, "%s", e->via);
    (void)snprintf(s->last_site, sizeof s->last_site, "%s", e->announce->place.site);
}

static void open_roster(struct stage *s, size_t max_devices, size_t max_via, const char *self)
{
    s->roster = roster_new(&(struct roster_options){
        .loop = s->hub, .max_devices = max_devices, .max_via = max_via, .self = self});
    roster_listen(s->roster, &s->listener);
}

static int set_up(void **state)
{
    static const struct identity hub = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    struct stage *s = xalloc(sizeof *s);

    s->world = world_new(1);
    s->hub = world_add_node(s->world, "hub", &hub);
    s->feed = feed_new(s->hub);
    s->listener.told = told;
    open_roster(s, 1000, 0, "");
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *s = *state;

    roster_free(s->roster);
    feed_free(s->feed);
    world_free(s->world);
    free(s);
    return 0;
}

static void run_ms(struct stage *s, uint64_t ms)
{
    world_run(s->world, world_now_ns(s->world) + ms * NS_PER_MS);
}

static enum alb_code take(struct stage *s, const char *via, enum role role, enum roster_scope scope,
                          const char *body)
{
    return roster_take(s->roster, via, role, scope, body, strlen(body)).code;
}

static enum alb_code from_reflector(struct stage *s, const char *via, const char *devices)
{
    char body[4096];

    (void)snprintf(body, sizeof body, "{\"devices\":[%s]}", devices);
    return take(s, via, ROLE_REFLECTOR, ROSTER_SOME, body);
}

/* {"device", "endpoint", since, at a site} as text, in one of a few places. */
static const char *pc(const char *device, int64_t since, const char *site)
{
    static char texts[8][256];
    static unsigned next;
    char *text = texts[next++ % 8];

    (void)snprintf(text, 256,
                   "{\"device\":\"%s\",\"role\":\"endpoint\",\"since\":%lld,\"place\":{\"site\":"
                   "\"%s\"}}",
                   device, (long long)since, site);
    return text;
}

static const char *via_of(struct stage *s, const char *device)
{
    const struct roster_entry *e = roster_find(s->roster, device);

    return e == NULL ? "" : e->via;
}

static bool count(void *arg, const struct roster_entry *e)
{
    (void)e;
    ++*(size_t *)arg;
    return true;
}

static size_t at_site(struct stage *s, const char *site)
{
    size_t n = 0;

    roster_each(s->roster, site, count, &n);
    return n;
}

/* ---- coming and going ------------------------------------------------------------------------ */

static void a_device_behind_a_reflector_is_found_by_it(void **state)
{
    struct stage *s = *state;

    assert_int_equal(from_reflector(s, "r1", pc("pc-1", 10, "oslo")), ALB_OK);
    assert_string_equal(via_of(s, "pc-1"), "r1");
    assert_int_equal(s->came, 1);
    assert_int_equal(at_site(s, "oslo"), 1);
    assert_int_equal(at_site(s, "bergen"), 0);
    assert_int_equal(at_site(s, NULL), 1);
    assert_int_equal(roster_count_via(s->roster, "r1"), 1);
    assert_null(roster_find(s->roster, "r1")); /* it said nothing of itself */
}

static void the_same_word_again_is_no_news(void **state)
{
    struct stage *s = *state;

    for (int i = 0; i < 3; i++)
        assert_int_equal(from_reflector(s, "r1", pc("pc-1", 10, "oslo")), ALB_OK);
    assert_int_equal(s->came, 1);
    assert_int_equal(s->changed, 0);
    assert_int_equal(from_reflector(s, "r1", pc("pc-1", 10, "bergen")), ALB_OK);
    assert_int_equal(s->changed, 1);
    assert_int_equal(at_site(s, "oslo"), 0);
    assert_int_equal(at_site(s, "bergen"), 1);
}

static void who_says_bye_or_sleep_is_gone_with_that_word(void **state)
{
    struct stage *s = *state;

    from_reflector(s, "r1", pc("pc-1", 10, "oslo"));
    from_reflector(s, "r1", "{\"device\":\"pc-1\",\"role\":\"endpoint\",\"goes\":\"sleep\"}");
    assert_int_equal(s->went, 1);
    assert_int_equal(s->goes, ANNOUNCE_SLEEP);
    assert_string_equal(s->last_site, "oslo"); /* where it sleeps */
    assert_int_equal(at_site(s, NULL), 0);
    assert_int_equal(roster_count_via(s->roster, "r1"), 0);
}

static void behind_a_child_whose_session_ended_nobody_is_left_after_5_s(void **state)
{
    struct stage *s = *state;

    from_reflector(s, "r1", pc("pc-1", 10, "oslo"));
    from_reflector(s, "r1", pc("pc-2", 10, "oslo"));
    from_reflector(s, "r2", pc("pc-3", 10, "oslo"));
    roster_lost(s->roster, "r1");
    roster_lost(s->roster, "nobody");
    run_ms(s, 4900);
    assert_int_equal(at_site(s, NULL), 3);
    run_ms(s, 200);
    assert_int_equal(at_site(s, NULL), 1);
    assert_int_equal(s->went, 2);
    assert_int_equal(s->goes, ANNOUNCE_LOST);
}

static void a_child_that_is_back_within_5_s_loses_nobody(void **state)
{
    struct stage *s = *state;

    from_reflector(s, "r1", pc("pc-1", 10, "oslo"));
    roster_lost(s->roster, "r1");
    run_ms(s, 4900);
    from_reflector(s, "r1", "");
    run_ms(s, 60000);
    assert_int_equal(at_site(s, NULL), 1);
    assert_int_equal(s->went, 0);
}

static void who_is_not_among_all_is_gone(void **state)
{
    struct stage *s = *state;
    char body[1024];

    from_reflector(s, "r1", pc("pc-1", 10, "oslo"));
    from_reflector(s, "r1", pc("pc-2", 10, "oslo"));
    from_reflector(s, "r1", pc("pc-3", 10, "oslo"));
    (void)snprintf(body, sizeof body, "{\"devices\":[%s]}", pc("pc-3", 10, "oslo"));
    assert_int_equal(take(s, "r1", ROLE_REFLECTOR, ROSTER_ALL_BEGIN, body), ALB_OK);
    assert_int_equal(s->went, 0); /* more comes */
    (void)snprintf(body, sizeof body, "{\"devices\":[%s]}", pc("pc-1", 10, "oslo"));
    assert_int_equal(take(s, "r1", ROLE_REFLECTOR, ROSTER_ALL, body), ALB_OK);
    assert_int_equal(s->went, 1);
    assert_string_equal(s->last, "pc-2");
    assert_int_equal(take(s, "r1", ROLE_REFLECTOR, ROSTER_ALL, "{}"), ALB_OK);
    assert_int_equal(at_site(s, NULL), 0);
}

/* ---- several claim one device ---------------------------------------------------------------- */

static void of_two_paths_the_later_one_counts_and_repeating_the_old_one_flaps_nothing(void **state)
{
    struct stage *s = *state;

    from_reflector(s, "r1", pc("pc-1", 10, "oslo"));
    from_reflector(s, "r2", pc("pc-1", 20, "bergen"));
    assert_string_equal(via_of(s, "pc-1"), "r2");
    assert_int_equal(s->changed, 1);
    for (int i = 0; i < 5; i++) {
        from_reflector(s, "r1", pc("pc-1", 10, "oslo"));
        from_reflector(s, "r2", pc("pc-1", 20, "bergen"));
    }
    assert_string_equal(via_of(s, "pc-1"), "r2");
    assert_int_equal(s->changed, 1);
    assert_int_equal(at_site(s, NULL), 1);
    from_reflector(s, "r1", "{\"device\":\"pc-1\",\"role\":\"endpoint\",\"goes\":\"lost\"}");
    assert_int_equal(s->changed, 1); /* the old path noticed */
    assert_int_equal(s->went, 0);
}

static void when_the_better_path_ends_the_other_one_holds(void **state)
{
    struct stage *s = *state;

    from_reflector(s, "r1", pc("pc-1", 20, "oslo"));
    from_reflector(s, "r2", pc("pc-1", 10, "bergen")); /* its clock is behind */
    assert_string_equal(via_of(s, "pc-1"), "r1");
    roster_lost(s->roster, "r1");
    run_ms(s, 6000);
    assert_string_equal(via_of(s, "pc-1"), "r2");
    assert_int_equal(s->went, 0);
    assert_int_equal(s->changed, 1);
    assert_int_equal(at_site(s, "bergen"), 1);
    assert_int_equal(at_site(s, "oslo"), 0);
}

static void a_device_s_own_word_goes_before_what_others_say_of_it(void **state)
{
    struct stage *s = *state;
    char body[512];

    (void)snprintf(body, sizeof body, "{\"devices\":[%s]}", pc("pc-1", 5, "oslo"));
    assert_int_equal(take(s, "pc-1", ROLE_ENDPOINT, ROSTER_ALL, body), ALB_OK);
    from_reflector(s, "liar", pc("pc-1", 30, "bergen"));
    assert_string_equal(via_of(s, "pc-1"), "pc-1");
    assert_int_equal(s->changed, 0);
}

static void a_time_ahead_of_ours_is_taken_for_now(void **state)
{
    struct stage *s = *state;
    const int64_t now = loop_wall_s(s->hub);

    from_reflector(s, "liar", pc("pc-1", now + 1000000, "oslo"));
    assert_int_equal(roster_find(s->roster, "pc-1")->announce->since_wall_s, now);
    run_ms(s, 2000);
    from_reflector(s, "r1", pc("pc-1", now + 1, "bergen"));
    assert_string_equal(via_of(s, "pc-1"), "r1");
}

static void of_one_device_three_claims_are_remembered(void **state)
{
    static const char *const vias[] = {"r1", "r2", "r3", "r4"};
    struct stage *s = *state;
    struct roster_figures f;

    for (int i = 0; i < 4; i++)
        from_reflector(s, vias[i], pc("pc-1", 10 + i, "oslo"));
    roster_figures(s->roster, &f);
    assert_int_equal(f.claims, 3);
    assert_int_equal(f.devices, 1);
    assert_int_equal(roster_count_via(s->roster, "r1"), 0);
    assert_string_equal(via_of(s, "pc-1"), "r4");
}

/* ---- who may say what ------------------------------------------------------------------------ */

static void an_endpoint_that_speaks_of_somebody_else_is_refused(void **state)
{
    struct stage *s = *state;
    char body[512];

    (void)snprintf(body, sizeof body, "{\"devices\":[%s,%s]}", pc("pc-1", 10, "oslo"),
                   pc("pc-2", 10, "oslo"));
    assert_int_equal(take(s, "pc-1", ROLE_ENDPOINT, ROSTER_SOME, body), ALB_REFUSED);
    assert_int_equal(take(s, "pc-1", ROLE_ENDPOINT, ROSTER_SOME, "{\"gone\":[\"pc-2\"]}"),
                     ALB_REFUSED);
    assert_int_equal(take(s, "pc-1", ROLE_ENDPOINT, ROSTER_SOME,
                          "{\"devices\":[{\"device\":\"pc-1\",\"role\":\"reflector\"}]}"),
                     ALB_REFUSED);
    assert_int_equal(at_site(s, NULL), 0); /* not even of itself */
}

static void nobody_behind_a_reflector_may_be_that_reflector(void **state)
{
    struct stage *s = *state;

    roster_free(s->roster);
    open_roster(s, 100, 0, "box");
    assert_int_equal(from_reflector(s, "r1", "{\"device\":\"box\",\"role\":\"reflector\"}"),
                     ALB_REFUSED);
    assert_int_equal(from_reflector(s, "r1", pc("pc-1", 10, "oslo")), ALB_OK);
}

static void a_reflector_takes_nobody_out_of_another_one_s_hands(void **state)
{
    struct stage *s = *state;

    from_reflector(s, "r1", pc("pc-1", 10, "oslo"));
    take(s, "liar", ROLE_REFLECTOR, ROSTER_SOME, "{\"gone\":[\"pc-1\"]}");
    take(s, "liar", ROLE_REFLECTOR, ROSTER_ALL, "{}");
    assert_string_equal(via_of(s, "pc-1"), "r1");
}

static void what_cannot_be_read_changes_nothing(void **state)
{
    struct stage *s = *state;

    from_reflector(s, "r1", pc("pc-1", 10, "oslo"));
    assert_int_equal(take(s, "r1", ROLE_REFLECTOR, ROSTER_ALL, "{"), ALB_INVALID);
    assert_int_equal(take(s, "r1", ROLE_REFLECTOR, ROSTER_ALL, "{\"devices\":[{}]}"), ALB_INVALID);
    assert_string_equal(via_of(s, "pc-1"), "r1");
}

static void a_full_roster_says_so_and_keeps_up_with_whom_it_knows(void **state)
{
    struct stage *s = *state;
    char name[16];

    roster_free(s->roster);
    open_roster(s, 100, 64, "");
    for (int i = 0; i < 70; i++) {
        (void)snprintf(name, sizeof name, "pc-%d", i);
        assert_int_equal(from_reflector(s, "liar", pc(name, 10, "oslo")),
                         i < 64 ? ALB_OK : ALB_FULL);
    }
    for (int i = 100; i < 140; i++) {
        (void)snprintf(name, sizeof name, "pc-%d", i);
        assert_int_equal(from_reflector(s, "r1", pc(name, 10, "oslo")),
                         i < 136 ? ALB_OK : ALB_FULL);
    }
    assert_int_equal(from_reflector(s, "r1", pc("pc-100", 10, "bergen")), ALB_OK);
    assert_int_equal(at_site(s, "bergen"), 1);
    assert_int_equal(at_site(s, NULL), 100);
}

/* ---- being told ------------------------------------------------------------------------------ */

static void a_line_for_somebody_who_is_not_here_is_not_said(void **state)
{
    struct stage *s = *state;
    const char *rest = NULL;

    assert_int_equal(roster_say(s->roster, s->feed, "pc-1", "wake x").code, ALB_NOT_FOUND);
    from_reflector(s, "r1", pc("pc-1", 10, "oslo"));
    assert_int_equal(roster_say(s->roster, s->feed, "pc-1", "wake x").code, ALB_CLOSED);
    assert_int_equal(roster_hear(s->roster, s->feed, "box", "head base", &rest), ROSTER_OTHER_LINE);
    assert_int_equal(roster_hear(s->roster, s->feed, "box", "for pc-9 wake", &rest), ROSTER_PASSED);
    assert_int_equal(roster_hear(s->roster, s->feed, "box", "for pc-9", &rest), ROSTER_PASSED);
    assert_int_equal(roster_hear(NULL, NULL, "pc-1", "for pc-2 wake", &rest), ROSTER_PASSED);
    assert_int_equal(roster_hear(NULL, NULL, "pc-1", "for pc-1 wake me", &rest), ROSTER_FOR_ME);
    assert_string_equal(rest, "wake me");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_device_behind_a_reflector_is_found_by_it),
        TEST(the_same_word_again_is_no_news),
        TEST(who_says_bye_or_sleep_is_gone_with_that_word),
        TEST(behind_a_child_whose_session_ended_nobody_is_left_after_5_s),
        TEST(a_child_that_is_back_within_5_s_loses_nobody),
        TEST(who_is_not_among_all_is_gone),
        TEST(of_two_paths_the_later_one_counts_and_repeating_the_old_one_flaps_nothing),
        TEST(when_the_better_path_ends_the_other_one_holds),
        TEST(a_device_s_own_word_goes_before_what_others_say_of_it),
        TEST(a_time_ahead_of_ours_is_taken_for_now),
        TEST(of_one_device_three_claims_are_remembered),
        TEST(an_endpoint_that_speaks_of_somebody_else_is_refused),
        TEST(nobody_behind_a_reflector_may_be_that_reflector),
        TEST(a_reflector_takes_nobody_out_of_another_one_s_hands),
        TEST(what_cannot_be_read_changes_nothing),
        TEST(a_full_roster_says_so_and_keeps_up_with_whom_it_knows),
        TEST(a_line_for_somebody_who_is_not_here_is_not_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
