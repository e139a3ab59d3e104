/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_waker.c – a guard in a simulated branch: what it sends, what it refuses, and
 * what it says of both. */
/* LINKS: sim_world */
#include "transfer/waker.h"

#include "shaper/wake.h"
#include "sim/world_place.h"
#include "support/liar.h"
#include "wire/token.h"

enum { FRAMES_MAX = 256 };

struct seen_frame {
    enum raw_way way;
    uint8_t to_mac[NET_MAC_SIZE];
    uint8_t bytes[WAKE_PATTERN_MOST];
    size_t size;
    uint64_t at_ns;
};

struct stage {
    struct liar_stage net; /* first */
    struct sign_secret root_key, hub_key;
    struct authority *authority;
    struct upstream *upstream;
    struct netlink_view *view;
    struct waker *waker;
    struct seen_frame frames[FRAMES_MAX];
    size_t frame_count;
    struct wake_report reports[16];
    size_t report_count;
};

/* ---- the stage ------------------------------------------------------------------------------- */

static void on_frame(void *arg, struct loop *from, const struct raw_frame *f)
{
    struct stage *s = arg;
    struct seen_frame *x = &s->frames[s->frame_count];

    assert_ptr_equal(from, s->net.box);
    assert_true(s->frame_count < FRAMES_MAX && f->size <= sizeof x->bytes);
    *x = (struct seen_frame){.way = f->way, .size = f->size, .at_ns = world_now_ns(s->net.world)};
    memcpy(x->to_mac, f->to_mac, sizeof x->to_mac);
    memcpy(x->bytes, f->bytes, f->size);
    s->frame_count++;
}

static void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *s = l->arg;
    struct buf *body = http_exchange_body(x);

    if (strcmp(http_exchange_path(x), "/v1/woke") == 0) {
        assert_true(s->report_count < ALB_COUNT(s->reports));
        assert_int_equal(
            wake_report_decode(buf_peek(body), buf_size(body), &s->reports[s->report_count]).code,
            ALB_OK);
        s->report_count++;
    }
    http_answer(x, 200, "application/json", "{}", 2);
}

static const struct net_picture *picture(void *arg)
{
    return netlink_view_peek(((struct stage *)arg)->view);
}

static void on_moved(void *arg, unsigned parts)
{
    struct stage *s = arg;

    (void)parts;
    if (s->waker != NULL)
        waker_look(s->waker);
}

static void believe_the_hub(struct stage *s)
{
    struct trust t = {.org = "acme", .version = 1, .threshold = 1, .root_count = 1};
    struct buf bytes;

    sign_generate(&s->root_key, &t.roots[0]);
    sign_generate(&s->hub_key, &t.hub_key);
    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(trust_encode(&t, &s->root_key, 1, &bytes).code, ALB_OK);
    assert_int_equal(
        authority_open(&(struct authority_options){.loop = s->net.box}, &s->authority).code,
        ALB_OK);
    assert_int_equal(authority_add_trust(s->authority, buf_peek(&bytes), buf_size(&bytes)).code,
                     ALB_OK);
    buf_release(&bytes);
}

static int setup(void **state)
{
    struct stage *s = xalloc(sizeof *s);

    liar_stage_open(&s->net);
    s->net.liar.answer = answer;
    s->net.liar.arg = s;
    believe_the_hub(s);
    world_node_place(s->net.box, &(struct world_place){.address = "10.1.0.5",
                                                       .prefix = 24,
                                                       .gateway = "10.1.0.1",
                                                       .gateway_mac = {2, 9}});
    world_on_frame(s->net.world, on_frame, s);
    assert_int_equal(netlink_view_open(s->net.box, on_moved, s, &s->view).code, ALB_OK);
    liar_listen(&s->net.liar);
    s->upstream = liar_plain_upstream(&s->net);
    s->waker = waker_new(&(struct waker_options){.loop = s->net.box,
                                                 .authority = s->authority,
                                                 .upstream = s->upstream,
                                                 .device = "box",
                                                 .picture = picture,
                                                 .arg = s});
    liar_stage_run_ms(&s->net, 2000);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    waker_free(s->waker);
    netlink_view_close(s->view);
    authority_close(s->authority);
    upstream_free(s->upstream);
    liar_stage_close(&s->net);
    free(s);
    return 0;
}

/* ---- orders ---------------------------------------------------------------------------------- */

static struct wake_order order_of(struct stage *s, uint64_t number)
{
    const int64_t now_s = loop_wall_s(s->net.hub);
    struct wake_order o = {.org = "acme",
                           .guard = "box",
                           .job = "w1",
                           .number = number,
                           .issued_wall_s = now_s,
                           .expires_wall_s = now_s + WAKE_ORDER_LIFE_S,
                           .target_count = 1};

    o.targets[0] = (struct wake_order_target){
        .device = "till-1",
        .macs = {{{0x52, 0x54, 0, 0, 0, 7}}},
        .mac_count = 1,
        .addresses = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 0, 77}, 120}},
        .address_count = 1};
    return o;
}

static void hear_by(struct stage *s, const struct wake_order *o, const struct sign_secret *key)
{
    char rest[8 << 10] = "wake ";
    struct buf bytes;

    buf_init(&bytes, WAKE_ORDER_BYTES_MAX);
    assert_int_equal(wake_order_encode(o, key, &bytes).code, ALB_OK);
    base64url_encode(buf_peek(&bytes), buf_size(&bytes), rest + strlen(rest));
    assert_true(waker_hear(s->waker, rest));
    buf_release(&bytes);
}

static void hear(struct stage *s, const struct wake_order *o)
{
    hear_by(s, o, &s->hub_key);
}

static void assert_refused(struct stage *s, const char *words)
{
    liar_stage_run_ms(&s->net, 1000);
    assert_int_equal(s->frame_count, 0);
    assert_int_equal(s->report_count, 1);
    assert_int_equal(s->reports[0].told[0].word, WAKE_WORD_REFUSED);
    if (strstr(s->reports[0].told[0].why, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", s->reports[0].told[0].why, words);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void an_order_sends_three_times_every_way_and_says_so(void **state)
{
    static const uint8_t ALL[NET_MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct stage *s = *state;
    struct wake_order o = order_of(s, 5);

    hear(s, &o);
    liar_stage_run_ms(&s->net, 3000);
    assert_int_equal(s->frame_count, WAKE_SENDS * WAKE_WAYS);
    assert_true(s->frames[WAKE_WAYS].at_ns - s->frames[0].at_ns == 100 * NS_PER_MS);
    assert_true(s->frames[2 * WAKE_WAYS].at_ns - s->frames[0].at_ns == NS_PER_S);
    for (size_t i = 0; i < s->frame_count; i++) {
        assert_int_equal(s->frames[i].size, 102);
        assert_memory_equal(s->frames[i].bytes, ALL, 6);
        for (size_t k = 6; k < 102; k += 6)
            assert_memory_equal(s->frames[i].bytes + k, o.targets[0].macs[0].bytes, 6);
    }
    assert_int_equal(s->report_count, 1);
    assert_string_equal(s->reports[0].guard, "box");
    assert_string_equal(s->reports[0].job, "w1");
    assert_true(s->reports[0].number == 5);
    assert_int_equal(s->reports[0].told[0].word, WAKE_WORD_SENT);
}

static void a_password_ends_the_pattern(void **state)
{
    struct stage *s = *state;
    struct wake_order o = order_of(s, 5);

    memcpy(o.targets[0].password, "\1\2\3\4\5\6", 6);
    o.targets[0].password_size = 6;
    hear(s, &o);
    assert_int_equal(s->frames[0].size, 108);
    assert_memory_equal(s->frames[0].bytes + 102, "\1\2\3\4\5\6", 6);
}

static void what_the_hub_did_not_sign_wakes_nobody(void **state)
{
    struct stage *s = *state;
    struct wake_order o = order_of(s, 5);
    struct waker_figures f;

    hear_by(s, &o, &s->root_key);
    assert_true(waker_hear(s->waker, "wake !!!"));
    assert_true(waker_hear(s->waker, "wake "));
    assert_false(waker_hear(s->waker, "awake"));
    liar_stage_run_ms(&s->net, 1000);
    waker_figures(s->waker, &f);
    assert_int_equal(s->frame_count, 0);
    assert_int_equal(s->report_count, 0);
    assert_true(f.orders == 3 && f.refused_orders == 3);
}

static void an_order_for_somebody_else_is_refused_by_name(void **state)
{
    struct stage *s = *state;
    struct wake_order o = order_of(s, 5);

    snprintf(o.guard, sizeof o.guard, "other");
    hear(s, &o);
    assert_refused(s, "the order is for other, and came to box");
}

static void an_order_that_is_over_is_refused(void **state)
{
    struct stage *s = *state;
    struct wake_order o = order_of(s, 5);

    liar_stage_run_ms(&s->net, 62000);
    hear(s, &o);
    assert_refused(s, "by this guard's clock: is that ahead?");
}

static void an_order_is_obeyed_once(void **state)
{
    struct stage *s = *state;
    const struct wake_order o = order_of(s, 5);

    hear(s, &o);
    liar_stage_run_ms(&s->net, 3000);
    hear(s, &o);
    liar_stage_run_ms(&s->net, 3000);
    assert_int_equal(s->frame_count, WAKE_SENDS * WAKE_WAYS);
    assert_int_equal(s->report_count, 1);
}

static void a_machine_on_no_link_of_ours_is_refused(void **state)
{
    struct stage *s = *state;
    struct wake_order o = order_of(s, 5);

    o.targets[0].addresses[0].bytes[14] = 9;
    hear(s, &o);
    assert_refused(s, "no link of this guard is in a subnet of the machine's (10.1.9.77/24)");
}

static void a_machine_is_not_woken_again_at_once_unless_the_order_says_so(void **state)
{
    struct stage *s = *state;
    struct wake_order o = order_of(s, 5);

    hear(s, &o);
    liar_stage_run_ms(&s->net, 3000);
    o.number = 6;
    hear(s, &o);
    liar_stage_run_ms(&s->net, 1000);
    assert_int_equal(s->report_count, 2);
    assert_int_equal(s->reports[1].told[0].word, WAKE_WORD_REFUSED);
    o.number = 7;
    o.targets[0].is_again = true;
    hear(s, &o);
    liar_stage_run_ms(&s->net, 3000);
    assert_int_equal(s->reports[2].told[0].word, WAKE_WORD_SENT);
    assert_int_equal(s->frame_count, 2 * WAKE_SENDS * WAKE_WAYS);
}

static void one_of_two_machines_can_be_refused(void **state)
{
    struct stage *s = *state;
    struct wake_order o = order_of(s, 5);

    o.target_count = 2;
    o.targets[1] = o.targets[0];
    snprintf(o.targets[1].device, sizeof o.targets[1].device, "till-2");
    o.targets[1].addresses[0].bytes[14] = 9;
    hear(s, &o);
    liar_stage_run_ms(&s->net, 1000);
    assert_int_equal(s->reports[0].told_count, 2);
    assert_int_equal(s->reports[0].told[0].word, WAKE_WORD_SENT);
    assert_int_equal(s->reports[0].told[1].word, WAKE_WORD_REFUSED);
}

static void a_guard_without_a_cable_refuses(void **state)
{
    struct stage *s = *state;
    const struct wake_order o = order_of(s, 5);

    world_node_place(s->net.box, &(struct world_place){.address = NULL});
    liar_stage_run_ms(&s->net, 5000);
    hear(s, &o);
    assert_refused(s, "no link of this guard");
}

static void who_answers_among_the_neighbours_is_seen(void **state)
{
    struct stage *s = *state;
    struct wake_order o = order_of(s, 5);
    struct net_picture p = *netlink_view_peek(s->view);
    struct net_neighbour neighbours[2] = {{0}};

    hear(s, &o);
    liar_stage_run_ms(&s->net, 2000);
    neighbours[0] = (struct net_neighbour){.link = WORLD_PLACE_LINK, .state = 2};
    memcpy(neighbours[0].mac, o.targets[0].macs[0].bytes, NET_MAC_SIZE);
    (void)net_ip_parse("10.1.0.77", &neighbours[0].ip);
    p.neighbours = neighbours;
    p.neighbour_count = 1;
    world_node_set_picture(s->net.box, &p);
    liar_stage_run_ms(&s->net, 3000);
    assert_int_equal(s->report_count, 2);
    assert_int_equal(s->reports[1].told[0].word, WAKE_WORD_SEEN);
}

static void thousands_of_orders_are_held_within_bounds(void **state)
{
    struct stage *s = *state;
    struct waker_figures f;

    world_on_frame(s->net.world, NULL, NULL);
    s->net.liar.listener = listener_free(s->net.liar.listener); /* no report gets through */
    liar_hang_up(&s->net.liar);
    for (unsigned i = 0; i < 3 * WAKER_REMEMBERED; i++) {
        struct wake_order o = order_of(s, 1000 + i);

        o.targets[0].macs[0].bytes[4] = (uint8_t)(i >> 8);
        o.targets[0].macs[0].bytes[5] = (uint8_t)i;
        hear(s, &o);
    }
    liar_stage_run_ms(&s->net, 30000);
    waker_figures(s->waker, &f);
    assert_true(f.refused_orders == 2 * WAKER_REMEMBERED); /* so many in a minute */
    assert_true(f.waiting <= WAKER_REMEMBERED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_order_sends_three_times_every_way_and_says_so),
        TEST(a_password_ends_the_pattern),
        TEST(what_the_hub_did_not_sign_wakes_nobody),
        TEST(an_order_for_somebody_else_is_refused_by_name),
        TEST(an_order_that_is_over_is_refused),
        TEST(an_order_is_obeyed_once),
        TEST(a_machine_on_no_link_of_ours_is_refused),
        TEST(a_machine_is_not_woken_again_at_once_unless_the_order_says_so),
        TEST(one_of_two_machines_can_be_refused),
        TEST(a_guard_without_a_cable_refuses),
        TEST(who_answers_among_the_neighbours_is_seen),
        TEST(thousands_of_orders_are_held_within_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
