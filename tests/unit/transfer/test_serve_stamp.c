/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_serve_stamp.c – what a sender tells those it sends batches to: how much, what
 * is in its way, what it sends to others. */
/* LINKS: sim_world */
#include "transfer/serve_impl.h"

#include "net/http_pace.h"
#include "sim/cast_holder.h"
#include "support/liar.h"
#include "transfer/branches.h"
#include "wire/stamp.h"

enum { CHILDREN = 3, NEAR = 2 /* on the hub's LAN */, STAMPS_MAX = 2000 };
#define LINK_BYTES_PER_S 1000000
#define GATE_BYTES_PER_S 100000

struct child {
    struct loop *loop;
    struct world_link *link;
    struct http_session *session;
    struct sender_stamp stamps[STAMPS_MAX];
    size_t count;
    uint64_t body_bytes;
    bool is_answered;
    /* reports queues by hand */
    struct datagram *socket;
    struct datagram_peer door;
    struct probe_ticket *ticket;
    uint32_t sequence;
    uint64_t told_bps;
    unsigned told_flows;
};

struct stage {
    struct world *world;
    struct loop *hub;
    struct child children[CHILDREN];
    struct cast_holder holder;
    struct cast_version version;
    struct job hogs[4];
    struct gate gate; /* a slow one */
    uint64_t free_ns;
};

static void on_stamp(void *arg, const uint8_t *bytes, size_t size)
{
    struct child *c = arg;

    assert_true(c->count < STAMPS_MAX);
    assert_int_equal(sender_stamp_decode(bytes, size, &c->stamps[c->count++]).code, ALB_OK);
}

static void on_data(void *arg, struct http_call *call, const uint8_t *bytes, size_t size)
{
    (void)call;
    (void)bytes;
    ((struct child *)arg)->body_bytes += size;
}

static void on_end(void *arg, struct http_call *call, struct alb_status st)
{
    (void)call;
    (void)st;
    ((struct child *)arg)->is_answered = true;
}

static void on_head(void *arg, struct http_call *call, unsigned status)
{
    (void)arg;
    (void)call;
    assert_int_equal(status, 200);
}

static void on_closed(void *arg, struct http_session *s, struct alb_status st)
{
    (void)s;
    (void)st;
    ((struct child *)arg)->session = NULL;
}

static const struct http_call_ops call_ops = {.head = on_head, .data = on_data, .end = on_end};
static const struct http_client_ops client_ops = {.closed = on_closed};

static void run_ms(struct stage *g, uint64_t ms)
{
    world_run(g->world, world_now_ns(g->world) + ms * NS_PER_MS);
}

static void add_child(struct stage *g, struct child *c, unsigned n)
{
    const struct identity who = {
        .role = ROLE_PUBLISHER, .org = "acme", .device = {(char)('a' + n)}, .serial = "05"};
    const struct dial_options to = {.host = "hub", .port = CAST_PORT, .timeout_ns = 10 * NS_PER_S};
    const char name[] = {(char)('a' + n), '\0'};

    c->loop = world_add_node(g->world, name, &who);
    c->link = world_add_link(g->world, name, LINK_BYTES_PER_S,
                             n == NEAR ? NS_PER_MS / 4 : 10 * NS_PER_MS);
    world_route(g->world, g->hub, c->loop, &c->link, 1);
    c->session = http_connect(loop_dial(c->loop, &to), NULL, &client_ops, c);
    http_session_on_stamp(c->session, on_stamp, c);
}

static int setup(void **state)
{
    static const struct identity hub_id = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    struct stage *g = xalloc(sizeof *g);

    g->world = world_new(1);
    g->hub = world_add_node(g->world, "hub", &hub_id);
    cast_holder_start(&g->holder, g->hub);
    const struct cast_order order = cast_holder_order(&g->holder, "base/os", 1, 6 << 20);
    cast_version_make(&order, &g->version);
    cast_holder_publish(&g->holder, &g->version, 1);
    for (unsigned n = 0; n < CHILDREN; n++)
        add_child(g, &g->children[n], n);
    run_ms(g, 1000);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    for (unsigned n = 0; n < CHILDREN; n++)
        if (g->children[n].session != NULL)
            http_session_close(g->children[n].session);
    cast_holder_stop(&g->holder);
    run_ms(g, 60000);
    world_free(g->world);
    cast_holder_release(&g->holder);
    cast_version_release(&g->version);
    free(g);
    return 0;
}

static void ask_all(struct stage *g, struct child *c)
{
    struct batch_request rq = {
        .list = LIST_CONTENT, .run_count = 1, .root = g->version.record.root};
    struct buf body;

    rq.runs[0].count = (uint32_t)g->version.count - 2; /* at most: beyond the end is "missing" */
    if (rq.runs[0].count > BATCH_ITEMS_MAX)
        rq.runs[0].count = BATCH_ITEMS_MAX;
    snprintf(rq.layer, sizeof rq.layer, "base/os");
    buf_init(&body, BATCH_REQUEST_MAX);
    assert_int_equal(batch_request_encode(&rq, &body).code, ALB_OK);
    c->is_answered = false;
    (void)http_call_start(c->session,
                          &(struct http_call_options){.method = "POST",
                                                      .path = "/v1/chunks",
                                                      .body = buf_peek(&body),
                                                      .body_size = buf_size(&body),
                                                      .expect_bytes = 16 << 20},
                          &call_ops, c);
    buf_release(&body);
}

static struct serve_stats sending(const struct stage *g)
{
    struct serve_stats stats;

    serve_stats(g->holder.serve, &stats);
    return stats;
}

static size_t count_flag(const struct child *c, unsigned flag)
{
    size_t n = 0;

    for (size_t i = 0; i < c->count; i++)
        n += (c->stamps[i].flags & flag) != 0;
    return n;
}

/* ---- tests ---- */

static void who_gets_no_batch_gets_no_stamp(void **state)
{
    struct stage *g = *state;

    run_ms(g, 5000);
    assert_int_equal(g->children[0].count, 0);
    assert_int_equal(sending(g).bulk_bps, 0);
}

static void stamps_count_what_was_sent_and_end_with_it(void **state)
{
    struct stage *g = *state;
    struct child *c = &g->children[0];

    ask_all(g, c);
    run_ms(g, 2000);
    assert_in_range(c->count, 12, 25); /* ten a second */
    for (size_t i = 1; i < c->count; i++) {
        assert_true(c->stamps[i].cumulative_bytes > c->stamps[i - 1].cumulative_bytes);
        assert_true(c->stamps[i].sent_ns > c->stamps[i - 1].sent_ns);
    }
    assert_int_equal(count_flag(c, STAMP_FLAGS), 0); /* the line is the bottleneck */
    assert_in_range(c->stamps[c->count - 1].cumulative_bytes, c->body_bytes / 2,
                    2 * c->body_bytes + 500000);
    run_ms(g, 10000);
    assert_true(c->is_answered);
    assert_in_range(c->body_bytes, 2500000, 8000000);
    const size_t count = c->count;
    run_ms(g, 10000);
    assert_int_equal(c->count, count);
    assert_int_equal(sending(g).bulk_bps, 0);
    assert_int_equal(sending(g).bulk_devices, 0);
}

static void each_on_its_own_line_hears_of_no_others(void **state)
{
    struct stage *g = *state;
    const struct child *c = &g->children[0];

    ask_all(g, &g->children[0]);
    ask_all(g, &g->children[1]);
    run_ms(g, 1500);
    for (size_t i = 0; i < c->count; i++)
        assert_true(c->stamps[i].flows == 0 && c->stamps[i].aggregate_bps == 0);
    assert_int_equal(sending(g).bulk_devices, 2);
    assert_in_range(sending(g).bulk_bps, 14000000, 16800000);
}

static void who_is_on_the_same_lan_is_not_counted(void **state)
{
    struct stage *g = *state;

    ask_all(g, &g->children[0]);
    ask_all(g, &g->children[NEAR]);
    run_ms(g, 1500);
    assert_int_equal(sending(g).bulk_devices, 1);
    assert_in_range(sending(g).bulk_bps, 7000000, 8400000);
    assert_true(g->children[NEAR].count > 5); /* who is near is stamped as well */
}

/* ---- of one site ---- */

/* Each session is given the site of its device's letter in `sites`. */
static struct branches *place(struct stage *g, const char *sites)
{
    struct branches *b = branches_new(&(struct branches_options){.loop = g->hub});
    struct serve_session *session;

    TAILQ_FOREACH(session, &g->holder.serve->sessions, link)
    {
        const char site[] = {sites[session->who.device[0] - 'a'], '\0'};

        session->member = branch_enter(b, session->http, session);
        branch_place(session->member, site, session->who.device);
    }
    return b;
}

static void unplace(struct stage *g, struct branches *b)
{
    struct serve_session *session;

    TAILQ_FOREACH(session, &g->holder.serve->sessions, link)
    {
        branch_leave(session->member);
        session->member = NULL;
    }
    branches_free(b);
}

static void those_of_one_site_hear_what_the_site_gets_until_one_has_all(void **state)
{
    struct stage *g = *state;
    const struct child *c = &g->children[0];
    struct branches *b = place(g, "xxx");

    ask_all(g, &g->children[0]);
    run_ms(g, 1500);
    assert_int_equal(c->stamps[c->count - 1].flows, 0);
    ask_all(g, &g->children[1]);
    ask_all(g, &g->children[NEAR]);
    run_ms(g, 1500);
    assert_int_equal(c->stamps[c->count - 1].flows, 2);
    assert_in_range(c->stamps[c->count - 1].aggregate_bps, 14000000, 16800000);
    assert_int_equal(g->children[NEAR].stamps[g->children[NEAR].count - 1].flows, 0);
    run_ms(g, 6000);
    assert_true(c->is_answered && g->children[1].is_answered);
    ask_all(g, &g->children[0]);
    run_ms(g, 1500);
    assert_int_equal(c->stamps[c->count - 1].flows, 0);
    unplace(g, b);
}

static void those_of_other_sites_and_of_none_are_no_sisters(void **state)
{
    struct stage *g = *state;

    for (unsigned i = 0; i < 2; i++) {
        struct branches *b = place(g, i == 0 ? "xyy" : "\0\0\0");
        ask_all(g, &g->children[0]);
        ask_all(g, &g->children[1]);
        run_ms(g, 1500);
        for (unsigned n = 0; n < 2; n++)
            assert_int_equal(g->children[n].stamps[g->children[n].count - 1].flows, 0);
        run_ms(g, 8000);
        unplace(g, b);
    }
}

/* ---- our own line shared ---- */

static void on_nothing(void *arg, const void *bytes, size_t size, const struct datagram_peer *from,
                       uint64_t at_ns)
{
    struct child *c = arg;
    struct probe_packet reply;

    (void)from;
    (void)at_ns;
    assert_int_equal(probe_packet_read(bytes, size, &reply).code, ALB_OK);
    c->told_bps = reply.aggregate_bps;
    c->told_flows = reply.flows;
}

static void open_reporter(struct stage *g, struct child *c)
{
    const struct stream line = {.loop = c->loop, .address = "hub:1"};
    static const uint8_t key[PROBE_KEY_SIZE] = {3};

    if (serve_probes(g->holder.serve) == NULL)
        serve_open_probes(g->holder.serve, "0.0.0.0", CAST_PORT);
    assert_true(datagram_peer_of(&line, CAST_PORT, &c->door));
    const struct datagram_options o = {.towards = &c->door, .got = on_nothing, .arg = c};
    assert_int_equal(datagram_open(c->loop, &o, &c->socket).code, ALB_OK);
    assert_int_equal(probe_ticket_new(serve_probes(g->holder.serve), key, &c->ticket).code, ALB_OK);
}

static void report(struct child *c, uint32_t queue_ns)
{
    struct probe_packet p = {.kind = PROBE_REQUEST, .sequence = ++c->sequence, .held_ns = queue_ns};
    static const uint8_t key[PROBE_KEY_SIZE] = {3};
    uint8_t bytes[PROBE_PACKET_SIZE];

    memcpy(p.id, probe_ticket_id(c->ticket), PROBE_ID_SIZE);
    probe_packet_seal(&p, key, bytes);
    assert_int_equal(datagram_send(c->socket, bytes, sizeof bytes, &c->door).code, ALB_OK);
}

static void report_for(struct stage *g, uint64_t ms, uint32_t first_ns, uint32_t second_ns)
{
    for (uint64_t at = 0; at < ms; at += 50) {
        report(&g->children[0], first_ns);
        report(&g->children[1], second_ns);
        run_ms(g, 50);
    }
}

static void close_reporters(struct stage *g)
{
    for (unsigned n = 0; n < 2; n++) {
        probe_ticket_free(g->children[n].ticket);
        datagram_close(g->children[n].socket);
    }
}

static void those_who_share_our_line_hear_what_all_of_them_get(void **state)
{
    struct stage *g = *state;
    const struct child *c = &g->children[0];

    open_reporter(g, &g->children[0]);
    open_reporter(g, &g->children[1]);
    ask_all(g, &g->children[0]);
    ask_all(g, &g->children[1]);
    report_for(g, 1000, 2 * NS_PER_MS, 2 * NS_PER_MS);
    assert_int_equal(c->told_flows, 0);
    report_for(g, 1000, 15 * NS_PER_MS, 15 * NS_PER_MS);
    assert_int_equal(c->told_flows, 2);
    assert_in_range(c->told_bps, 14000000, 16800000);
    assert_int_equal(c->stamps[c->count - 1].flows, 2);
    assert_in_range(c->stamps[c->count - 1].aggregate_bps, 14000000, 16800000);
    close_reporters(g);
    run_ms(g, 1800);
    assert_int_equal(c->stamps[c->count - 1].flows, 0); /* nobody reports it any more */
}

static void a_queue_at_one_of_them_is_that_ones_own(void **state)
{
    struct stage *g = *state;

    open_reporter(g, &g->children[0]);
    open_reporter(g, &g->children[1]);
    ask_all(g, &g->children[0]);
    ask_all(g, &g->children[1]);
    report_for(g, 2500, 50 * NS_PER_MS, 2 * NS_PER_MS);
    assert_int_equal(g->children[0].told_flows, 0);
    assert_int_equal(g->children[1].told_flows, 0);
    close_reporters(g);
}

/* ---- what is in the way ---- */

static void what_was_lost_on_the_way_is_in_the_stamps(void **state)
{
    struct stage *g = *state;
    struct child *c = &g->children[0];

    world_link_set_loss(c->link, 20000);
    ask_all(g, c);
    run_ms(g, 3000);
    assert_true(c->count > 10);
    assert_in_range(c->stamps[c->count - 1].retransmitted, 10, 120);
}

static void nothing_to_do(struct job *job)
{
    (void)job;
}

static void a_sender_whose_disk_is_slow_says_so(void **state)
{
    struct stage *g = *state;
    struct child *c = &g->children[0];

    /* Its workers are busy for four seconds at a time. */
    for (size_t i = 0; i < ALB_COUNT(g->hogs); i++) {
        g->hogs[i] = (struct job){
            .run = nothing_to_do, .done = nothing_to_do, .work_bytes = UINT64_C(1600000000)};
        loop_submit(g->hub, &g->hogs[i]);
    }
    ask_all(g, c);
    run_ms(g, 4500);
    assert_true(c->count > 0 || c->body_bytes == 0);
    assert_int_equal(count_flag(c, STAMP_POLICY_LIMITED), 0);
    const size_t starved = count_flag(c, STAMP_SOURCE_STARVED);
    run_ms(g, 12000);
    assert_true(c->is_answered);
    assert_true(count_flag(c, STAMP_SOURCE_STARVED) > starved ||
                (starved > 0 && c->count > starved));
    assert_false(c->stamps[c->count - 1].flags & STAMP_SOURCE_STARVED);
}

static size_t slow_ask(struct gate *gate, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    const struct stage *g = ALB_CONTAINER(gate, struct stage, gate);

    *retry_ns = g->free_ns;
    return now_ns >= g->free_ns ? want : 0;
}

static void slow_spent(struct gate *gate, size_t bytes, uint64_t now_ns)
{
    struct stage *g = ALB_CONTAINER(gate, struct stage, gate);

    g->free_ns = now_ns + bytes * NS_PER_S / GATE_BYTES_PER_S;
}

static void a_sender_that_its_limits_hold_back_says_so(void **state)
{
    static const struct gate_ops slow = {.ask = slow_ask, .spent = slow_spent};
    struct stage *g = *state;
    struct child *c = &g->children[0];
    struct serve_session *session;

    g->gate = (struct gate){.ops = &slow};
    TAILQ_FOREACH(session, &g->holder.serve->sessions, link)
    if (strcmp(session->who.device, "a") == 0)
        stream_use_gate(http_session_stream(session->http), &g->gate);
    ask_all(g, c);
    run_ms(g, 5000);
    assert_true(c->count >= 5);
    assert_true(count_flag(c, STAMP_POLICY_LIMITED) * 10 >= c->count * 8);
    assert_int_equal(count_flag(c, STAMP_SOURCE_STARVED), 0);
    TAILQ_FOREACH(session, &g->holder.serve->sessions, link)
    stream_use_gate(http_session_stream(session->http), NULL);
}

static void a_sender_that_is_short_of_time_says_so(void **state)
{
    struct stage *g = *state;
    struct child *c = &g->children[0];

    ask_all(g, c);
    run_ms(g, 1000);
    assert_true(c->count >= 5);
    assert_int_equal(count_flag(c, STAMP_SENDER_LIMITED), 0);
    timer_set_in(&g->holder.serve->stamping,
                 170 * NS_PER_MS); /* as a loop that stood still would */
    run_ms(g, 1000);
    assert_int_equal(count_flag(c, STAMP_SENDER_LIMITED), 1);
}

int main(void)
{
#define on_stage(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        on_stage(who_gets_no_batch_gets_no_stamp),
        on_stage(stamps_count_what_was_sent_and_end_with_it),
        on_stage(each_on_its_own_line_hears_of_no_others),
        on_stage(who_is_on_the_same_lan_is_not_counted),
        on_stage(those_of_one_site_hear_what_the_site_gets_until_one_has_all),
        on_stage(those_of_other_sites_and_of_none_are_no_sisters),
        on_stage(those_who_share_our_line_hear_what_all_of_them_get),
        on_stage(a_queue_at_one_of_them_is_that_ones_own),
        on_stage(what_was_lost_on_the_way_is_in_the_stamps),
        on_stage(a_sender_whose_disk_is_slow_says_so),
        on_stage(a_sender_that_its_limits_hold_back_says_so),
        on_stage(a_sender_that_is_short_of_time_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
