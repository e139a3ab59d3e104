/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_branches.c – many connections, few branches, one link: who gets how much. */
/* LINKS: sim_world */
#include "transfer/branches.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/units.h"
#include "sim/world.h"
#include "support/policy_stage.h"
#include "wire/json.h"

/* The last two are one device, on a second and third connection. */
enum { BOXES = 6, ALL = 4, PORT = 7443, BODY = 64 << 20 };
#define LINK_BPS UINT64_C(4000000)
#define WIRE_BYTES UINT64_C(12500000) /* of each box's own line: never the brake */

struct rig;

struct box {
    struct rig *rig;
    const char *site;
    struct loop *loop;
    struct world_link *line;
    struct http_session *client, *server;
    struct branch_member *member;
    uint64_t got;
    unsigned changed; /* heard of a change */
    struct http_call *call;
};

struct rig {
    struct world *world;
    struct loop *hub;
    struct listener *listener;
    struct branches *branches;
    struct box boxes[BOXES];
    size_t accepted;
    struct policy_stage policy;
};

/* ---- the hub: every answer is without end ---------------------------------------------------- */

static size_t pour(void *arg, uint8_t *out, size_t size, bool *ended)
{
    (void)arg;
    memset(out, 7, size);
    *ended = false;
    return size;
}

static uint64_t on_head(void *arg, struct http_exchange *x)
{
    (void)arg;
    (void)x;
    return BODY;
}

static void on_request(void *arg, struct http_exchange *x)
{
    const struct http_source source = {.pull = pour};

    (void)arg;
    http_answer_stream(x, 200, "application/octet-stream", &source);
}

static void on_closed(void *arg, struct http_exchange *x)
{
    (void)arg;
    (void)x;
}

static void on_server_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct box *b = arg;

    (void)s;
    (void)st;
    branch_leave(b->member);
    b->member = NULL;
    b->server = NULL;
}

static const struct http_server_ops server_ops = {.head = on_head,
                                                  .request = on_request,
                                                  .closed = on_closed,
                                                  .session_closed = on_server_closed};

static void accepted(void *arg, struct stream *stream)
{
    struct rig *r = arg;
    struct box *b = &r->boxes[r->accepted++];

    b->server = http_serve(stream, NULL, &server_ops, b);
    b->member = branch_enter(r->branches, b->server, b);
}

/* ---- the boxes ------------------------------------------------------------------------------- */

static void opened(void *arg, struct http_session *s)
{
    (void)arg;
    (void)s;
}

static void client_closed(void *arg, struct http_session *s, struct alb_status st)
{
    (void)s;
    (void)st;
    ((struct box *)arg)->client = NULL;
}

static const struct http_client_ops client_ops = {.opened = opened, .closed = client_closed};

static void call_head(void *arg, struct http_call *c, unsigned status)
{
    (void)arg;
    (void)c;
    assert_int_equal(status, 200);
}

static void call_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    (void)c;
    (void)bytes;
    ((struct box *)arg)->got += size;
}

static void call_end(void *arg, struct http_call *c, struct alb_status st)
{
    (void)c;
    (void)st;
    ((struct box *)arg)->call = NULL;
}

static const struct http_call_ops call_ops = {
    .head = call_head, .data = call_data, .end = call_end};

static void dial(struct rig *r, size_t i)
{
    static const char *const names[BOXES] = {"a1", "a2", "a3", "b1", "b1-too", "b1-three"};
    const struct dial_options options = {.host = "hub", .port = PORT, .timeout_ns = 5 * NS_PER_S};
    struct box *b = &r->boxes[i];

    b->rig = r;
    b->loop = world_add_node(r->world, names[i], NULL);
    b->line = world_add_link(r->world, names[i], WIRE_BYTES, 5 * NS_PER_MS);
    world_route(r->world, r->hub, b->loop, &b->line, 1);
    b->client = http_connect(loop_dial(b->loop, &options), NULL, &client_ops, b);
    world_run(r->world, world_now_ns(r->world) + 200 * NS_PER_MS);
    assert_int_equal(r->accepted, i + 1);
    if (i < ALL)
        branch_place(b->member, i < 3 ? "a" : "b", names[i]);
    else
        branch_place(b->member, "b", "b1");
}

static void ask(struct box *b)
{
    b->call = http_call_start(
        b->client, &(struct http_call_options){.method = "GET", .path = "/", .expect_bytes = BODY},
        &call_ops, b);
}

static size_t flow(void *arg, uint8_t *out, size_t size, bool *ended)
{
    (void)arg;
    memset(out, 7, size);
    *ended = false;
    return size;
}

static void send(struct box *b)
{
    b->call = http_call_start(
        b->client,
        &(struct http_call_options){
            .method = "PUT", .path = "/", .expect_bytes = 100, .source = {.pull = flow}},
        &call_ops, b);
}

static void run_ms(struct rig *r, uint64_t ms)
{
    world_run(r->world, world_now_ns(r->world) + ms * NS_PER_MS);
}

static void heard(void *arg, void *owner)
{
    (void)arg;
    ((struct box *)owner)->changed++;
}

static struct rig *rig_ruled(uint64_t link_bps, const char *text)
{
    struct rig *r = xalloc(sizeof *r);
    const struct listen_options listen = {.address = "0.0.0.0", .port = PORT};

    r->world = world_new(3);
    r->hub = world_add_node(r->world, "hub", NULL);
    if (text != NULL)
        policy_stage_open(&r->policy, r->hub, text);
    r->branches = branches_new(&(struct branches_options){
        .loop = r->hub, .link_bps = link_bps, .policy = r->policy.book, .changed = heard});
    assert_false(alb_failed(loop_listen(r->hub, &listen, accepted, r, &r->listener)));
    for (size_t i = 0; i < ALL; i++)
        dial(r, i);
    return r;
}

static struct rig *rig_new(uint64_t link_bps)
{
    return rig_ruled(link_bps, NULL);
}

static void rig_free(struct rig *r)
{
    for (size_t i = 0; i < BOXES; i++)
        if (r->boxes[i].client != NULL)
            http_session_close(r->boxes[i].client);
    run_ms(r, 30000);
    branches_free(r->branches);
    listener_free(r->listener);
    policy_stage_close(&r->policy);
    run_ms(r, 100);
    world_free(r->world);
    policy_stage_release(&r->policy);
    free(r);
}

static uint64_t wire_bytes(const struct rig *r, size_t first, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = first; i < first + count; i++)
        sum += world_link_bytes(r->boxes[i].line, WORLD_DOWN);
    return sum;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void the_link_is_the_sum_of_all_its_connections(void **state)
{
    struct rig *r = rig_new(LINK_BPS);

    (void)state;
    for (size_t i = 0; i < ALL; i++)
        ask(&r->boxes[i]);
    run_ms(r, 2000);
    const uint64_t before = wire_bytes(r, 0, ALL);
    run_ms(r, 10000);
    const uint64_t bps = (wire_bytes(r, 0, ALL) - before) * 8 / 10;
    print_message("%.3f Mbit/s of %.3f\n", (double)bps / 1e6, (double)LINK_BPS / 1e6);
    assert_in_range(bps, LINK_BPS * 98 / 100, LINK_BPS * 102 / 100);
    rig_free(r);
}

static void three_connections_of_a_branch_get_as_much_as_one_of_another(void **state)
{
    struct rig *r = rig_new(LINK_BPS);

    (void)state;
    for (size_t i = 0; i < ALL; i++)
        ask(&r->boxes[i]);
    run_ms(r, 2000);
    const uint64_t a = wire_bytes(r, 0, 3), b = wire_bytes(r, 3, 1);
    run_ms(r, 10000);
    const uint64_t more_a = wire_bytes(r, 0, 3) - a, more_b = wire_bytes(r, 3, 1) - b;
    assert_in_range(more_a, more_b * 95 / 100, more_b * 105 / 100);
    rig_free(r);
}

static void what_a_branch_does_not_take_is_the_others(void **state)
{
    struct rig *r = rig_new(LINK_BPS);

    (void)state;
    ask(&r->boxes[3]);
    run_ms(r, 2000);
    const uint64_t before = wire_bytes(r, 3, 1);
    run_ms(r, 5000);
    assert_in_range((wire_bytes(r, 3, 1) - before) * 8 / 5, LINK_BPS * 98 / 100,
                    LINK_BPS * 102 / 100);
    rig_free(r);
}

static void who_moves_to_another_branch_while_it_waits_is_served_there(void **state)
{
    struct rig *r = rig_new(LINK_BPS);

    (void)state;
    ask(&r->boxes[0]);
    run_ms(r, 1000);
    branch_place(r->boxes[0].member, "c", "a1");
    const uint64_t before = r->boxes[0].got;
    run_ms(r, 2000);
    assert_true(r->boxes[0].got > before + LINK_BPS / 8);
    rig_free(r);
}

static void without_limits_nobody_waits(void **state)
{
    struct rig *r = rig_new(0);

    (void)state;
    ask(&r->boxes[0]);
    run_ms(r, 3000);
    assert_true(r->boxes[0].got > 2 * WIRE_BYTES);
    assert_false(branch_is_off(r->boxes[0].member, "base/os"));
    assert_false(branch_is_off(NULL, "base/os"));
    assert_false(branch_was_off(NULL));
    rig_free(r);
}

static void each_branch_is_shown_with_its_sums(void **state)
{
    struct rig *r = rig_new(LINK_BPS);
    struct json_writer *w = json_writer_new();
    struct json_doc *doc = NULL;
    struct buf text;

    (void)state;
    ask(&r->boxes[3]);
    run_ms(r, 2000);
    buf_init(&text, 4096);
    json_object_begin(w, NULL);
    branches_show(r->branches, w);
    json_end(w);
    assert_false(alb_failed(json_writer_finish(w, &text)));
    assert_false(alb_failed(json_doc_parse(buf_peek(&text), buf_size(&text), &doc)));
    assert_int_equal(json_doc_count(doc, "sites"), 2);
    assert_string_equal(json_doc_text(doc, "sites.0.name"), "a");
    assert_int_equal(json_doc_number(doc, "sites.0.connections"), 3);
    assert_string_equal(json_doc_text(doc, "sites.1.name"), "b");
    assert_true(json_doc_number(doc, "sites.1.down.wire_bytes") > LINK_BPS / 8);
    json_doc_free(doc);
    buf_release(&text);
    rig_free(r);
}

static uint64_t rate_of(struct rig *r, size_t first, size_t count)
{
    run_ms(r, 2000);
    const uint64_t before = wire_bytes(r, first, count);
    run_ms(r, 10000);
    return (wire_bytes(r, first, count) - before) * 8 / 10;
}

#define MBIT UINT64_C(1000000)
static const char ONE_CLIENT[] =
    "{\"format\":1,\"rules\":[{\"scope\":\"client:b1\",\"mode\":\"capped\","
    "\"rate\":\"1Mbit\"}]}";
static const char NO_CLIENT[] =
    "{\"format\":1,\"rules\":[{\"scope\":\"client:b9\",\"mode\":\"capped\","
    "\"rate\":\"1Mbit\"}]}";

static void three_connections_of_a_device_share_its_limit(void **state)
{
    struct rig *r = rig_ruled(0, ONE_CLIENT);

    (void)state;
    dial(r, 4);
    dial(r, 5);
    for (size_t i = 3; i < BOXES; i++)
        ask(&r->boxes[i]);
    assert_in_range(rate_of(r, 3, 3), MBIT * 97 / 100, MBIT * 102 / 100);
    http_session_close(r->boxes[4].client);
    assert_in_range(rate_of(r, 3, 3), MBIT * 97 / 100, MBIT * 102 / 100);
    rig_free(r);
}

static void three_uploads_of_a_device_share_its_limit(void **state)
{
    struct rig *r = rig_ruled(0, ONE_CLIENT);
    uint64_t before = 0, after = 0;

    (void)state;
    dial(r, 4);
    dial(r, 5);
    for (size_t i = 3; i < BOXES; i++)
        send(&r->boxes[i]);
    run_ms(r, 2000);
    for (size_t i = 3; i < BOXES; i++)
        before += world_link_bytes(r->boxes[i].line, WORLD_UP);
    run_ms(r, 10000);
    for (size_t i = 3; i < BOXES; i++)
        after += world_link_bytes(r->boxes[i].line, WORLD_UP);
    assert_in_range((after - before) * 8 / 10, MBIT * 95 / 100, MBIT * 102 / 100);
    rig_free(r);
}

/* It took up to a minute, and only when the limit of its site changed as well. */
static void a_limit_of_a_device_holds_as_soon_as_it_is_said(void **state)
{
    struct rig *r = rig_ruled(0, NO_CLIENT);

    (void)state;
    ask(&r->boxes[3]);
    run_ms(r, 1000);
    policy_stage_set(&r->policy, ONE_CLIENT);
    run_ms(r, 500);
    assert_in_range(rate_of(r, 3, 1), MBIT * 97 / 100, MBIT * 102 / 100);
    policy_stage_set(&r->policy, NO_CLIENT);
    run_ms(r, 500);
    assert_true(rate_of(r, 3, 1) > 10 * MBIT);
    rig_free(r);
}

/* Probes and their answers passed beside the limits. */
static void datagrams_count_against_the_limit_of_their_device(void **state)
{
    struct rig *r = rig_ruled(0, ONE_CLIENT);
    uint64_t before = 0;

    (void)state;
    ask(&r->boxes[3]);
    run_ms(r, 2000);
    before = wire_bytes(r, 3, 1);
    for (int i = 0; i < 500; i++) {
        branch_charge(r->boxes[3].member, BRANCH_DOWN, 96);
        run_ms(r, 20);
    }
    branch_charge(NULL, BRANCH_DOWN, 96);
    const uint64_t bps = (wire_bytes(r, 3, 1) - before + 500 * 96) * 8 / 10;
    assert_in_range(bps, MBIT * 97 / 100, MBIT * 102 / 100);
    rig_free(r);
}

static void place_at(struct box *b, const char *address, const char *device)
{
    struct stream *stream = http_session_stream(b->server);

    snprintf(stream->address, sizeof stream->address, "%s", address);
    branch_place(b->member, "nowhere", device);
}

/* Their grants name a site that the policy does not know; rules taken over from Mirage are of
 * subnets. */
static void devices_of_one_subnet_share_the_limit_of_its_site(void **state)
{
    struct rig *r =
        rig_ruled(0, "{\"format\":1,\"sites\":[{\"name\":\"wide\",\"subnets\":[\"10.0.0.0/8\"]},"
                     "{\"name\":\"oslo\",\"subnets\":[\"10.4.0.0/16\",\"2001:db8:4::/48\"]}],"
                     "\"rules\":[{\"scope\":\"site:oslo\",\"mode\":\"capped\",\"rate\":"
                     "\"1Mbit\"}]}");

    (void)state;
    place_at(&r->boxes[0], "10.4.3.2:5000", "a1");
    place_at(&r->boxes[1], "[2001:db8:4::7]:5000", "a2");
    place_at(&r->boxes[2], "10.5.3.2:5000", "a3");
    for (size_t i = 0; i < 3; i++)
        ask(&r->boxes[i]);
    assert_in_range(rate_of(r, 0, 2), MBIT * 97 / 100, MBIT * 102 / 100);
    assert_true(r->boxes[2].got > 10 * MBIT);
    rig_free(r);
}

/* Each of its connections took it along to the subnet that it came from. */
static void a_device_on_two_networks_stays_where_it_came_from_first(void **state)
{
    struct rig *r =
        rig_ruled(0, "{\"format\":1,\"sites\":[{\"name\":\"oslo\",\"subnets\":[\"10.4.0.0/16\"]}],"
                     "\"rules\":[{\"scope\":\"site:oslo\",\"mode\":\"capped\",\"rate\":"
                     "\"1Mbit\"}]}");

    (void)state;
    place_at(&r->boxes[3], "10.4.3.2:5000", "b1");
    dial(r, 4);
    place_at(&r->boxes[4], "10.5.3.2:5000", "b1");
    ask(&r->boxes[4]);
    assert_in_range(rate_of(r, 4, 1), MBIT * 97 / 100, MBIT * 102 / 100);
    http_session_close(r->boxes[3].client);
    run_ms(r, 1000);
    place_at(&r->boxes[4], "10.5.3.2:5000", "b1");
    const uint64_t before = r->boxes[4].got;
    run_ms(r, 2000);
    assert_true((r->boxes[4].got - before) * 8 / 2 > 10 * MBIT);
    rig_free(r);
}

/* Its connections were walked, times the sites, in one turn. */
static void a_change_of_one_branch_is_heard_by_its_connections_alone(void **state)
{
    struct rig *r = rig_ruled(0, "{\"format\":1,\"rules\":[{\"scope\":\"site:b\",\"mode\":\"full\","
                                 "\"hours\":\"00:00-00:10\"}]}");
    unsigned before[ALL];

    (void)state;
    for (size_t i = 0; i < ALL; i++)
        before[i] = r->boxes[i].changed;
    run_ms(r, 15 * 60 * 1000);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(r->boxes[i].changed, before[i]);
    assert_int_equal(r->boxes[3].changed, before[3] + 1);
    rig_free(r);
}

/* ---- sums above branches --------------------------------------------------------------------- */

#define ON_A_LINK                                                                                  \
    "{\"format\":1,\"sites\":[{\"name\":\"a\",\"link\":\"l\"},"                                    \
    "{\"name\":\"b\",\"link\":\"l\",\"zone\":\"Asia/Tokyo\"}],\"rules\":["
#define LINK_RULE "{\"scope\":\"link:l\",\"mode\":\"capped\",\"rate\":\"2Mbit\"}"

static void ask_all(struct rig *r)
{
    for (size_t i = 0; i < ALL; i++)
        ask(&r->boxes[i]);
}

/* Each site had the whole of it. */
static void sites_of_a_link_share_its_limit(void **state)
{
    struct rig *r = rig_ruled(0, ON_A_LINK LINK_RULE "]}");

    (void)state;
    ask_all(r);
    run_ms(r, 2000);
    const uint64_t of_b = wire_bytes(r, 3, 1);
    assert_in_range(rate_of(r, 0, ALL), 2 * MBIT * 97 / 100, 2 * MBIT * 102 / 100);
    assert_in_range((wire_bytes(r, 3, 1) - of_b) * 8 / 12, MBIT * 90 / 100, MBIT * 110 / 100);
    rig_free(r);
}

static void uploads_of_sites_of_a_link_share_its_limit(void **state)
{
    struct rig *r = rig_ruled(0, ON_A_LINK LINK_RULE "]}");
    uint64_t before = 0, after = 0;

    (void)state;
    for (size_t i = 0; i < ALL; i++)
        send(&r->boxes[i]);
    run_ms(r, 2000);
    for (size_t i = 0; i < ALL; i++)
        before += world_link_bytes(r->boxes[i].line, WORLD_UP);
    run_ms(r, 10000);
    for (size_t i = 0; i < ALL; i++)
        after += world_link_bytes(r->boxes[i].line, WORLD_UP);
    assert_in_range((after - before) * 8 / 10, 2 * MBIT * 95 / 100, 2 * MBIT * 102 / 100);
    rig_free(r);
}

static void a_global_limit_is_one_for_all_sites(void **state)
{
    struct rig *r = rig_ruled(0, "{\"format\":1,\"rules\":[{\"scope\":\"global\",\"mode\":"
                                 "\"capped\",\"rate\":\"3Mbit\"}]}");

    (void)state;
    ask_all(r);
    assert_in_range(rate_of(r, 0, ALL), 3 * MBIT * 97 / 100, 3 * MBIT * 102 / 100);
    rig_free(r);
}

static void a_rule_for_one_site_does_not_take_it_out_of_its_links_sum(void **state)
{
    struct rig *r =
        rig_ruled(0, ON_A_LINK "{\"scope\":\"site:b\",\"mode\":\"capped\",\"rate\":\"500kbit\"}"
                               "," LINK_RULE "]}");

    (void)state;
    ask_all(r);
    run_ms(r, 2000);
    const uint64_t of_b = wire_bytes(r, 3, 1);
    assert_in_range(rate_of(r, 0, ALL), 2 * MBIT * 97 / 100, 2 * MBIT * 102 / 100);
    assert_in_range((wire_bytes(r, 3, 1) - of_b) * 8 / 12, MBIT * 45 / 100, MBIT * 51 / 100);
    rig_free(r);
}

/* While it sends, and back. */
static void a_site_that_is_on_another_link_now_is_out_of_the_sum(void **state)
{
    struct rig *r = rig_ruled(0, ON_A_LINK LINK_RULE "]}");

    (void)state;
    ask_all(r);
    run_ms(r, 1000);
    policy_stage_set(&r->policy,
                     "{\"format\":1,\"sites\":[{\"name\":\"a\",\"link\":\"l\"},{\"name\":\"b\","
                     "\"link\":\"other\"}],\"rules\":[" LINK_RULE "]}");
    run_ms(r, 500);
    const uint64_t before = wire_bytes(r, 3, 1);
    run_ms(r, 1000);
    assert_true((wire_bytes(r, 3, 1) - before) * 8 > 10 * MBIT);
    assert_in_range(rate_of(r, 0, 3), 2 * MBIT * 97 / 100, 2 * MBIT * 102 / 100);
    ask(&r->boxes[3]);
    policy_stage_set(&r->policy, ON_A_LINK LINK_RULE "]}");
    run_ms(r, 500);
    assert_in_range(rate_of(r, 0, ALL), 2 * MBIT * 97 / 100, 2 * MBIT * 102 / 100);
    rig_free(r);
}

/* The simulated clock begins at a full hour of UTC; Tokyo is nine hours east of it. */
static void a_links_limit_holds_when_it_is_time_at_one_of_its_sites(void **state)
{
    char text[512];
    struct rig *r = rig_ruled(0, ON_A_LINK "]}");

    (void)state;
    const unsigned hour = (unsigned)((loop_wall_s(r->hub) / 3600 + 9) % 24);
    (void)snprintf(text, sizeof text,
                   ON_A_LINK "{\"scope\":\"link:l\",\"mode\":\"capped\",\"rate\":\"2Mbit\","
                             "\"hours\":\"%02u:00-%02u:00\"}]}",
                   hour, (hour + 2) % 24);
    policy_stage_set(&r->policy, text);
    ask_all(r);
    assert_in_range(rate_of(r, 0, ALL), 2 * MBIT * 97 / 100, 2 * MBIT * 102 / 100);
    rig_free(r);
}

static void go(struct rig *r, const char *site)
{
    struct policy_overrides *o = xalloc(sizeof *o);

    o->count = 1;
    o->list[0] = (struct policy_override){.id = "o1",
                                          .what = POLICY_GO,
                                          .scope = POLICY_SITE,
                                          .directions = POLICY_BOTH,
                                          .places = POLICY_BOTH,
                                          .since_s = loop_wall_s(r->hub),
                                          .until_s = loop_wall_s(r->hub) + 15,
                                          .by = "alice",
                                          .why = "tonight"};
    snprintf(o->list[0].of, sizeof o->list[0].of, "%s", site);
    policy_stage_override(&r->policy, o);
    free(o);
}

static void an_operators_go_for_a_site_is_beside_its_links_sum_until_it_ends(void **state)
{
    struct rig *r = rig_ruled(0, ON_A_LINK LINK_RULE "]}");

    (void)state;
    ask_all(r);
    run_ms(r, 500);
    go(r, "b");
    run_ms(r, 500);
    const uint64_t before = wire_bytes(r, 3, 1);
    run_ms(r, 1000);
    assert_true((wire_bytes(r, 3, 1) - before) * 8 > 10 * MBIT);
    run_ms(r, 16000);
    ask(&r->boxes[3]);
    assert_in_range(rate_of(r, 0, ALL), 2 * MBIT * 97 / 100, 2 * MBIT * 102 / 100);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_link_is_the_sum_of_all_its_connections),
        cmocka_unit_test(three_connections_of_a_branch_get_as_much_as_one_of_another),
        cmocka_unit_test(what_a_branch_does_not_take_is_the_others),
        cmocka_unit_test(who_moves_to_another_branch_while_it_waits_is_served_there),
        cmocka_unit_test(without_limits_nobody_waits),
        cmocka_unit_test(each_branch_is_shown_with_its_sums),
        cmocka_unit_test(three_connections_of_a_device_share_its_limit),
        cmocka_unit_test(three_uploads_of_a_device_share_its_limit),
        cmocka_unit_test(a_limit_of_a_device_holds_as_soon_as_it_is_said),
        cmocka_unit_test(datagrams_count_against_the_limit_of_their_device),
        cmocka_unit_test(devices_of_one_subnet_share_the_limit_of_its_site),
        cmocka_unit_test(a_device_on_two_networks_stays_where_it_came_from_first),
        cmocka_unit_test(a_change_of_one_branch_is_heard_by_its_connections_alone),
        cmocka_unit_test(sites_of_a_link_share_its_limit),
        cmocka_unit_test(uploads_of_sites_of_a_link_share_its_limit),
        cmocka_unit_test(a_global_limit_is_one_for_all_sites),
        cmocka_unit_test(a_rule_for_one_site_does_not_take_it_out_of_its_links_sum),
        cmocka_unit_test(a_site_that_is_on_another_link_now_is_out_of_the_sum),
        cmocka_unit_test(a_links_limit_holds_when_it_is_time_at_one_of_its_sites),
        cmocka_unit_test(an_operators_go_for_a_site_is_beside_its_links_sum_until_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
