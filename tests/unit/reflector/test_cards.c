/* SPDX-License-Identifier: Apache-2.0 */
/* unit/reflector/test_cards.c – by which cards a box says it can be woken, when these change and
 * when somebody sets what wakes them. */
/* LINKS: sim_world */
#include "support/box_stage.h"

#include "net/ethtool_netlink.h"
#include "sim/world_place.h"
#include "wire/announce.h"

static struct {
    struct loop *box;
    bool brings_another; /* a card comes while the drivers are asked */
    bool is_off;
    unsigned asked;
    struct announce *last; /* what the box said of itself last; owned */
} scene;

static void place(unsigned cards)
{
    struct net_link links[2] = {{.index = 2, .mac = {2, 0, 0, 0, 0, 1}},
                                {.index = 3, .mac = {2, 0, 0, 0, 0, 2}}};
    const struct net_picture p = {.links = links, .link_count = cards};

    for (unsigned i = 0; i < cards; i++) {
        snprintf(links[i].name, sizeof links[i].name, "eth%u", i);
        links[i].has_mac = links[i].is_up = links[i].has_carrier = true;
        links[i].hardware = 1;
        links[i].operstate = 6;
        links[i].nature = NET_WIRED;
    }
    world_node_set_picture(scene.box, &p);
}

static struct alb_status ask_wake(uint32_t link, struct wake_ability *out)
{
    (void)link;
    scene.asked++;
    if (scene.brings_another) {
        scene.brings_another = false;
        place(2);
    }
    *out = (struct wake_ability){.answer = scene.is_off ? WAKE_OFF : WAKE_READY,
                                 .active = scene.is_off ? 0 : WAKE_ON_MAGIC};
    return ALB_STATUS_OK;
}

static void hub_hears(void *arg, struct serve_request *rq)
{
    struct announce_body *body = NULL;
    size_t size = 0;
    const uint8_t *bytes = serve_body(rq, &size);

    (void)arg;
    if (size > 0) {
        assert_int_equal(announce_decode(bytes, size, &body).code, ALB_OK);
        for (size_t i = 0; i < body->device_count; i++)
            if (strcmp(body->devices[i]->device, "box") == 0) {
                free(scene.last);
                scene.last = announce_copy(body->devices[i]);
            }
        announce_body_free(body);
    }
    serve_answer(rq, "application/json", "{}", 2);
}

static int set_up(void **state)
{
    assert_int_equal(setup(state), 0);
    struct branch *b = *state;

    serve_set(b->hub.serve, ROUTE_ANNOUNCE, hub_hears, NULL);
    b->reflector = reflector_free(b->reflector);
    run(b, NS_PER_S);
    memset(&scene, 0, sizeof scene);
    scene.box = b->box;
    place(1);
    return 0;
}

static int tear_down(void **state)
{
    const int failed = teardown(state);

    free(scene.last);
    scene.last = NULL;
    return failed;
}

static void start(struct branch *b)
{
    const struct reflector_options options = {.loop = b->box,
                                              .store = b->store,
                                              .catalogue = b->catalogue,
                                              .parents = {{"hub", CAST_PORT}},
                                              .parent_count = 1,
                                              .listen_address = "0.0.0.0",
                                              .listen_port = BOX_PORT,
                                              .trust_pin = &b->hub.trust_pin,
                                              .device = "box",
                                              .site = "north",
                                              .ask_wake = ask_wake};

    assert_false(alb_failed(reflector_start(&options, &b->reflector)));
    run(b, 30 * NS_PER_S);
    assert_non_null(scene.last);
}

static void cards_that_come_while_their_drivers_are_asked_are_not_lost(void **state)
{
    scene.brings_another = true;
    start(*state);
    assert_int_equal(scene.last->card_count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(scene.last->cards[i].is_known && scene.last->cards[i].wake == WAKE_ON_MAGIC);
}

static void what_wakes_a_card_is_asked_again_since_somebody_may_set_it(void **state)
{
    struct branch *b = *state;

    start(b);
    assert_int_equal(scene.asked, 1);
    assert_int_equal(scene.last->cards[0].wake, WAKE_ON_MAGIC);
    scene.is_off = true; /* ethtool -s eth0 wol d */
    run(b, 1000 * NS_PER_S);
    assert_in_range(scene.asked, 2, 3);
    assert_int_equal(scene.last->cards[0].wake, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(cards_that_come_while_their_drivers_are_asked_are_not_lost),
        TEST(what_wakes_a_card_is_asked_again_since_somebody_may_set_it),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
