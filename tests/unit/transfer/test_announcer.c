/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_announcer.c – who is behind whom, told up three levels of real sessions, and
 * what is said down to one device. */
/* LINKS: sim_world */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "sim/cast_holder.h"
#include "transfer/announcer.h"

/*          hub
 *         /    \
 *       r1      r3
 *       |
 *       r2
 *       |
 *       pc */
enum { HUB, R1, R2, R3, PC, NODES };
static const char *const NAMES[NODES] = {"hub", "r1", "r2", "r3", "pc"};

struct node {
    struct loop *loop;
    struct identity who;
    struct cast_holder holder; /* of all but the endpoint */
    struct roster *roster;
    struct upstream *upstream;
    struct announcer *announcer;
    char heard[64];
};

struct stage {
    struct world *world;
    struct world_link *links[NODES];
    struct node nodes[NODES];
    bool has_left;
};

static void on_event(void *arg, const char *line)
{
    struct node *n = arg;
    const char *rest = NULL;

    if (roster_hear(n->roster, n->holder.feed, n->who.device, line, &rest) == ROSTER_FOR_ME)
        (void)snprintf(n->heard, sizeof n->heard, "%s", rest);
}

static void set_own(struct stage *s, int which, const char *site)
{
    struct node *n = &s->nodes[which];
    struct announce own = {.is_reflector = n->who.role == ROLE_REFLECTOR};
    static const struct announce_serves serves = {.max_sessions = 100};

    (void)snprintf(own.device, sizeof own.device, "%s", n->who.device);
    (void)snprintf(own.place.site, sizeof own.place.site, "%s", site);
    own.serves = own.is_reflector ? &serves : NULL;
    announcer_set_own(n->announcer, &own);
}

static void go_up(struct stage *s, int which, int parent)
{
    struct node *n = &s->nodes[which];
    struct upstream_options up = {
        .loop = n->loop, .place_count = 1, .wants_events = true, .arg = n, .event = on_event};

    (void)snprintf(up.places[0].host, sizeof up.places[0].host, "%s", NAMES[parent]);
    up.places[0].port = CAST_PORT;
    n->upstream = upstream_new(&up);
    n->announcer = announcer_new(
        &(struct announcer_options){.loop = n->loop, .upstream = n->upstream, .roster = n->roster});
    set_own(s, which, "oslo");
}

static void go_away(struct stage *s, int which)
{
    struct node *n = &s->nodes[which];

    n->announcer = announcer_free(n->announcer);
    if (n->upstream != NULL)
        n->upstream = upstream_free(n->upstream);
}

static void add_node(struct stage *s, int which, enum role role)
{
    struct node *n = &s->nodes[which];

    n->who = (struct identity){.role = role, .org = "acme"};
    (void)snprintf(n->who.device, sizeof n->who.device, "%s", NAMES[which]);
    (void)snprintf(n->who.serial, sizeof n->who.serial, "%02d", which);
    n->loop = world_add_node(s->world, NAMES[which], &n->who);
    if (role == ROLE_ENDPOINT)
        return;
    cast_holder_start(&n->holder, n->loop);
    n->roster = roster_new(&(struct roster_options){
        .loop = n->loop, .max_devices = 8000, .self = which == HUB ? "" : NAMES[which]});
    roster_serve(n->roster, n->holder.serve);
}

static void print_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static int set_up(void **state)
{
    static const int ROUTES[][2] = {{HUB, R1}, {HUB, R3}, {R1, R2}, {R2, PC}, {R3, PC}, {HUB, PC}};
    struct stage *s = xalloc(sizeof *s);

    if (getenv("ALB_LOG") != NULL)
        log_install(print_log, NULL, LOG_DEBUG);
    s->world = world_new(1);
    for (int i = 0; i < NODES; i++)
        add_node(s, i, i == HUB ? ROLE_HUB : i == PC ? ROLE_ENDPOINT : ROLE_REFLECTOR);
    for (size_t i = 0; i < ALB_COUNT(ROUTES); i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "link%zu", i);
        struct world_link *l = world_add_link(s->world, name, 1250 * 1000, 20 * NS_PER_MS);
        world_route(s->world, s->nodes[ROUTES[i][0]].loop, s->nodes[ROUTES[i][1]].loop, &l, 1);
        if (i < NODES)
            s->links[i] = l;
    }
    *state = s;
    return 0;
}

static void run_ms(struct stage *s, uint64_t ms)
{
    world_run(s->world, world_now_ns(s->world) + ms * NS_PER_MS);
}

static int tear_down(void **state)
{
    struct stage *s = *state;

    for (int i = NODES - 1; i >= 0; i--)
        go_away(s, i);
    for (int i = 0; i < PC; i++) {
        cast_holder_stop(&s->nodes[i].holder);
        s->nodes[i].roster = roster_free(s->nodes[i].roster);
    }
    run_ms(s, 60000);
    world_free(s->world);
    for (int i = 0; i < PC; i++)
        cast_holder_release(&s->nodes[i].holder);
    free(s);
    log_install(NULL, NULL, LOG_ERROR);
    return 0;
}

static const char *via(struct stage *s, int at, const char *device)
{
    const struct roster_entry *e = roster_find(s->nodes[at].roster, device);

    return e == NULL ? "" : e->via;
}

static void chain(struct stage *s)
{
    go_up(s, R1, HUB);
    go_up(s, R2, R1);
    go_up(s, PC, R2);
    run_ms(s, 5000);
}

static void a_device_behind_a_reflector_behind_a_reflector_is_found(void **state)
{
    struct stage *s = *state;

    chain(s);
    assert_string_equal(via(s, R2, "pc"), "pc");
    assert_string_equal(via(s, R1, "pc"), "r2");
    assert_string_equal(via(s, HUB, "pc"), "r1");
    assert_string_equal(via(s, HUB, "r2"), "r1");
    assert_string_equal(via(s, HUB, "r1"), "r1");
    assert_string_equal(roster_find(s->nodes[HUB].roster, "pc")->announce->upstream, "r2");
    assert_true(roster_find(s->nodes[HUB].roster, "r1")->announce->upstream_is_hub);
    assert_non_null(roster_find(s->nodes[HUB].roster, "r1")->announce->serves);
}

static void a_change_is_at_the_hub_within_three_gatherings(void **state)
{
    struct stage *s = *state;

    chain(s);
    set_own(s, PC, "bergen");
    run_ms(s, 3 * 500 + 300);
    assert_string_equal(roster_find(s->nodes[HUB].roster, "pc")->announce->place.site, "bergen");
    struct announcer_figures f;
    announcer_figures(s->nodes[R1].announcer, &f);
    const uint64_t bodies = f.bodies;
    set_own(s, PC, "bergen"); /* nothing new is not told */
    run_ms(s, 5000);
    announcer_figures(s->nodes[R1].announcer, &f);
    assert_int_equal(f.bodies, bodies);
}

static void a_word_for_one_device_goes_down_to_it_alone(void **state)
{
    struct stage *s = *state;
    struct node *hub = &s->nodes[HUB];

    chain(s);
    assert_int_equal(roster_say(hub->roster, hub->holder.feed, "pc", "wake 17").code, ALB_OK);
    run_ms(s, 500);
    assert_string_equal(s->nodes[PC].heard, "wake 17");
    assert_string_equal(s->nodes[R1].heard, "");
    assert_string_equal(s->nodes[R2].heard, "");
    assert_int_equal(roster_say(hub->roster, hub->holder.feed, "r2", "stay").code, ALB_OK);
    run_ms(s, 500);
    assert_string_equal(s->nodes[R2].heard, "stay");
}

static void a_device_that_goes_is_gone_everywhere(void **state)
{
    struct stage *s = *state;

    chain(s);
    go_away(s, PC);
    run_ms(s, 4000);
    assert_string_equal(via(s, R2, "pc"), "pc"); /* it may come back */
    run_ms(s, 4000);
    assert_string_equal(via(s, R2, "pc"), "");
    assert_string_equal(via(s, HUB, "pc"), "");
    assert_string_equal(via(s, HUB, "r2"), "r1");
}

static void on_left(void *arg)
{
    ((struct stage *)arg)->has_left = true;
}

static void a_device_that_says_it_sleeps_is_gone_at_once_and_the_hub_knows_why(void **state)
{
    struct stage *s = *state;

    chain(s);
    announcer_say_goodbye(s->nodes[PC].announcer, ANNOUNCE_SLEEP, on_left, s);
    run_ms(s, 1800);
    assert_true(s->has_left);
    assert_string_equal(via(s, HUB, "pc"), "");
    set_own(s, PC, "oslo"); /* it woke up with its sessions as they were */
    run_ms(s, 1800);
    assert_string_equal(via(s, HUB, "pc"), "r1");
}

static void what_a_box_notices_while_it_ends_does_not_undo_its_bye(void **state)
{
    struct stage *s = *state;

    chain(s);
    announcer_say_goodbye(s->nodes[R2].announcer, ANNOUNCE_BYE, NULL, NULL);
    set_own(s, R2, "bergen"); /* a card moved right then */
    run_ms(s, 1000);
    assert_string_equal(via(s, HUB, "r2"), "");
    set_own(s, R2, "oslo");
    run_ms(s, 1800);
    assert_string_equal(via(s, R1, "r2"), "");
    assert_string_equal(via(s, HUB, "r2"), "");
}

static void a_device_that_comes_elsewhere_is_there_and_stays_there(void **state)
{
    struct stage *s = *state;
    struct roster_figures f;

    chain(s);
    go_up(s, R3, HUB);
    world_link_set_up(s->links[3], false); /* r2 has not noticed for a while */
    go_away(s, PC);
    run_ms(s, 1100);
    go_up(s, PC, R3);
    run_ms(s, 4000);
    assert_string_equal(via(s, HUB, "pc"), "r3");
    run_ms(s, 120000); /* r2 notices */
    assert_string_equal(via(s, R2, "pc"), "");
    assert_string_equal(via(s, HUB, "pc"), "r3");
    roster_figures(s->nodes[HUB].roster, &f);
    assert_int_equal(f.contested, 1);
    assert_int_equal(f.went, 0);
    world_link_set_up(s->links[3], true);
}

static void behind_a_reflector_that_was_lost_nobody_is_left_until_it_is_back(void **state)
{
    struct stage *s = *state;

    chain(s);
    world_link_set_up(s->links[0], false);
    run_ms(s, 60000);
    assert_string_equal(via(s, HUB, "pc"), "");
    assert_string_equal(via(s, R1, "pc"), "r2"); /* there it goes on */
    world_link_set_up(s->links[0], true);
    run_ms(s, 30000);
    assert_string_equal(via(s, HUB, "pc"), "r1");
    assert_string_equal(via(s, HUB, "r2"), "r1");
}

static void a_parent_that_lost_count_is_told_all(void **state)
{
    struct stage *s = *state;

    chain(s);
    const char forget[] = "{\"gone\":[\"pc\"]}";
    assert_int_equal(
        roster_take(s->nodes[HUB].roster, "r1", ROLE_REFLECTOR, ROSTER_SOME, forget, strlen(forget))
            .code,
        ALB_OK);
    assert_string_equal(via(s, HUB, "pc"), "");
    run_ms(s, 17 * 60 * 1000);
    assert_string_equal(via(s, HUB, "pc"), "r1");
}

static void nine_hundred_devices_come_in_parts_and_none_is_lost(void **state)
{
    struct stage *s = *state;
    char body[256], layers[64];
    struct roster_figures f;

    go_up(s, R1, HUB);
    for (int i = 0; i < 900; i++) {
        (void)snprintf(layers, sizeof layers, "[{\"layer\":\"base\",\"version\":\"1.%d\"}]", i);
        (void)snprintf(body, sizeof body,
                       "{\"devices\":[{\"device\":\"d%d\",\"role\":\"endpoint\",\"layers\":%s}]}",
                       i, layers);
        assert_int_equal(roster_take(s->nodes[R1].roster, i % 2 == 0 ? "x1" : "x2", ROLE_REFLECTOR,
                                     ROSTER_SOME, body, strlen(body))
                             .code,
                         ALB_OK);
    }
    run_ms(s, 10000);
    roster_figures(s->nodes[HUB].roster, &f);
    assert_int_equal(f.devices, 901);
    struct announcer_figures said;
    announcer_figures(s->nodes[R1].announcer, &said);
    assert_true(said.bodies > 2);
}

/* What an idle endpoint costs on the line of its branch, and on the line to the hub. */
static void an_idle_tree_says_little(void **state)
{
    struct stage *s = *state;
    struct announcer_figures before, after;

    chain(s);
    announcer_figures(s->nodes[R1].announcer, &before);
    const uint64_t wan =
        world_link_bytes(s->links[0], WORLD_UP) + world_link_bytes(s->links[0], WORLD_DOWN);
    run_ms(s, 6 * 3600 * 1000);
    announcer_figures(s->nodes[R1].announcer, &after);
    assert_int_equal(after.bodies, before.bodies);
    assert_in_range(after.counts - before.counts, 20, 28);
    const uint64_t day = 4 * (world_link_bytes(s->links[0], WORLD_UP) +
                              world_link_bytes(s->links[0], WORLD_DOWN) - wan);
    print_message("r1 to hub: %llu bytes a day, of which announcements %llu\n",
                  (unsigned long long)day, (unsigned long long)(after.counts - before.counts) * 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_device_behind_a_reflector_behind_a_reflector_is_found),
        TEST(a_change_is_at_the_hub_within_three_gatherings),
        TEST(a_word_for_one_device_goes_down_to_it_alone),
        TEST(a_device_that_goes_is_gone_everywhere),
        TEST(a_device_that_says_it_sleeps_is_gone_at_once_and_the_hub_knows_why),
        TEST(what_a_box_notices_while_it_ends_does_not_undo_its_bye),
        TEST(a_device_that_comes_elsewhere_is_there_and_stays_there),
        TEST(behind_a_reflector_that_was_lost_nobody_is_left_until_it_is_back),
        TEST(a_parent_that_lost_count_is_told_all),
        TEST(nine_hundred_devices_come_in_parts_and_none_is_lost),
        TEST(an_idle_tree_says_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
