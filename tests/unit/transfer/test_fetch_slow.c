/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_fetch_slow.c – a parent that says "queued" for ever, trickles, is silent. */
/* LINKS: sim_world */
#include "net/gate.h"

#include "support/fetch_stage.h"

/* ---- slow, silent ---- */

struct flow {
    struct http_exchange *x;
    struct timer timer;
    struct stage *stage;
    unsigned left; /* how many more times "queued" */
    bool says_nothing, is_due;
};

static struct flow flow;

static size_t flow_pull(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct buf item;
    size_t n = 0;

    (void)arg;
    (void)size;
    *ended = flow.left == 0;
    if (!flow.is_due)
        return 0;
    flow.is_due = false;
    buf_init(&item, 64);
    say(&item, 0, ITEM_QUEUED, NULL, 0);
    n = buf_size(&item);
    memcpy(out, buf_peek(&item), n);
    buf_release(&item);
    return n;
}

static void flow_tick(void *arg)
{
    (void)arg;
    flow.left--;
    flow.is_due = true;
    if (flow.left > 0)
        timer_set_in(&flow.timer, 5 * NS_PER_S);
    http_exchange_resume(flow.x);
}

static bool queue_first(struct stage *g, struct http_exchange *x)
{
    if (g->batches > 1)
        return false;
    flow.x = x;
    flow.is_due = false;
    timer_init(&flow.timer, g->on.hub, flow_tick, NULL);
    if (!flow.says_nothing)
        timer_set_in(&flow.timer, 5 * NS_PER_S);
    http_answer_stream(x, 200, octets, &(struct http_source){.pull = flow_pull});
    return true;
}

static void queued_for_ten_minutes_is_waited_for(void **state)
{
    struct stage *g = *state;

    flow = (struct flow){.left = 120};
    g->instead = queue_first;
    ask_all(g);
    run_s(g, 590);
    assert_int_equal(g->batches, 1);
    assert_int_equal(g->probes[0].told, 0);
    assert_int_equal(g->on.liar.accepted, 2);
    run_s(g, 30); /* it ends with nothing answered: asked again */
    expect_all(g);
    assert_int_equal(g->batches, 2);
}

/* Closed for some time, again and again if need be. */
struct turnstile {
    struct gate gate; /* first */
    uint64_t from_ns, until_ns;
};

static size_t turnstile_ask(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    const struct turnstile *t = (struct turnstile *)g;

    if (now_ns < t->from_ns || now_ns >= t->until_ns)
        return want;
    *retry_ns = t->until_ns;
    return 0;
}

static void turnstile_spent(struct gate *g, size_t bytes, uint64_t now_ns)
{
    (void)g;
    (void)bytes;
    (void)now_ns;
}

static void flow_end(void *arg)
{
    (void)arg;
    http_answer(flow.x, 503, octets, "{}", 2);
}

static bool answer_late(struct stage *g, struct http_exchange *x)
{
    if (g->batches > 1)
        return false;
    flow.x = x;
    timer_init(&flow.timer, g->on.hub, flow_end, NULL);
    timer_set_in(&flow.timer, 36 * NS_PER_S);
    return true;
}

/* From the 10th second, when the first PING is due, to the 18th nothing of ours gets out; the
 * parent answers in the 36th.  Counted from the 18th that is in time. */
static void what_our_own_gate_keeps_back_is_not_the_parents_silence(void **state)
{
    static const struct gate_ops gate_ops = {.ask = turnstile_ask, .spent = turnstile_spent};
    static struct turnstile gate; /* outlives the test's last words */
    struct stage *g = *state;

    gate = (struct turnstile){
        .gate = {.ops = &gate_ops}, .from_ns = 2 * NS_PER_S, .until_ns = 18 * NS_PER_S};
    supply_free(g->supply);
    upstream_free(g->upstream);
    g->upstream = upstream_new(&(struct upstream_options){
        .loop = g->on.box, .places = {{"hub", LIAR_PORT}}, .place_count = 1, .gate = &gate.gate});
    g->supply = supply_new(&(struct supply_options){.loop = g->on.box, .upstream = g->upstream});
    g->instead = answer_late;
    ask_all(g);
    run_s(g, 34);
    assert_int_equal(g->on.liar.accepted, 2);
    assert_int_equal(g->batches, 1);
    run_s(g, 10);
    expect_all(g);
    assert_int_equal(g->on.liar.accepted, 2);
}

/* ---- slow retrieval (TUF): what never comes is noticed ---- */

static unsigned warned, eased;

static void count_words(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    if (getenv("ALB_LOG") != NULL)
        fprintf(stderr, "%s\n", line);
    warned += level == LOG_WARN && strstr(line, "event=fetch.slow ") != NULL;
    eased += strstr(line, "event=fetch.slow_over") != NULL;
}

static void listen_to_the_log(void)
{
    warned = eased = 0;
    log_install(count_words, NULL, LOG_INFO);
}

static void slow_retrieval_a_parent_that_says_queued_for_ever_raises_an_alarm(void **state)
{
    struct stage *g = *state;

    listen_to_the_log();
    flow = (struct flow){.left = 1000};
    g->instead = queue_first;
    ask_all(g);
    run_s(g, 55);
    assert_int_equal(warned, 0);
    assert_false(figures(g).is_slow);
    run_s(g, 10);
    assert_int_equal(warned, 1);
    assert_true(figures(g).is_slow);
    run_s(g, 60 * 60); /* told after 1, 2, 4 … 64 minutes of it, not every minute */
    assert_in_range(warned, 5, 7);
    assert_int_equal(figures(g).slow_alarms, warned);
    assert_int_equal(g->batches, 1); /* slow is not dead: it is waited for all the same */
    timer_stop(&flow.timer);
    liar_hang_up(&g->on.liar);
    run_s(g, 20);
    expect_all(g);
    assert_int_equal(eased, 1);
    assert_false(figures(g).is_slow);
    log_install(NULL, NULL, LOG_INFO);
}

static size_t drip_pull(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct buf *rest = arg;

    (void)size;
    *ended = buf_size(rest) == 0;
    if (!flow.is_due || *ended)
        return 0;
    flow.is_due = false;
    *out = *(const uint8_t *)buf_peek(rest);
    buf_consume(rest, 1);
    return 1;
}

static void drip_tick(void *arg)
{
    (void)arg;
    flow.is_due = true;
    timer_set_in(&flow.timer, 10 * NS_PER_S);
    http_exchange_resume(flow.x);
}

static struct buf drips;

static bool drip(struct stage *g, struct http_exchange *x)
{
    if (g->batches > 1)
        return false;
    buf_init(&drips, 1 << 20);
    say(&drips, 0, ITEM_HIT, g->chunks[0]->bytes, g->chunks[0]->size);
    flow = (struct flow){.x = x};
    timer_init(&flow.timer, g->on.hub, drip_tick, NULL);
    timer_set_in(&flow.timer, NS_PER_S);
    http_answer_stream(x, 200, octets, &(struct http_source){.pull = drip_pull, .arg = &drips});
    return true;
}

static void slow_retrieval_a_parent_that_trickles_raises_an_alarm(void **state)
{
    struct stage *g = *state;

    listen_to_the_log();
    g->instead = drip;
    ask_all(g);
    run_s(g, 65);
    assert_int_equal(warned, 1);
    assert_int_equal(g->on.liar.accepted, 2);
    timer_stop(&flow.timer); /* now it is silent as well */
    run_s(g, 40);
    expect_all(g);
    assert_int_equal(eased, 1);
    buf_release(&drips);
    log_install(NULL, NULL, LOG_INFO);
}

static void slow_retrieval_hanging_up_in_between_does_not_hide_it(void **state)
{
    struct stage *g = *state;

    listen_to_the_log();
    for (unsigned i = 0; i < 4; i++) {
        g->batches = 0;
        flow = (struct flow){.left = 1000};
        g->instead = queue_first;
        if (i == 0)
            ask_all(g);
        run_s(g, 25);
        timer_stop(&flow.timer);
        liar_hang_up(&g->on.liar);
    }
    assert_int_equal(warned, 1);
    g->instead = NULL;
    run_s(g, 40);
    expect_all(g);
    log_install(NULL, NULL, LOG_INFO);
}

static void a_line_that_is_down_is_no_slow_parent(void **state)
{
    struct stage *g = *state;

    listen_to_the_log();
    world_link_set_up(g->on.wan, false);
    ask_all(g);
    run_s(g, 300);
    assert_int_equal(warned, 0);
    world_link_set_up(g->on.wan, true);
    run_s(g, 40);
    expect_all(g);
    log_install(NULL, NULL, LOG_INFO);
}

static void a_silent_parent_is_hung_up_on_after_30_s_and_called_again(void **state)
{
    struct stage *g = *state;

    flow = (struct flow){.left = 1, .says_nothing = true};
    g->instead = queue_first;
    ask_all(g);
    run_s(g, 29);
    assert_int_equal(g->on.liar.accepted, 2);
    run_s(g, 5);
    expect_all(g);
    assert_int_equal(g->on.liar.accepted, 4);
    assert_int_equal(g->batches, 2);
}

static void a_lost_line_costs_no_tries(void **state)
{
    struct stage *g = *state;

    flow = (struct flow){.left = 1, .says_nothing = true};
    for (unsigned i = 0; i < 15; i++) {
        g->batches = 0;
        g->instead = queue_first;
        if (i == 0)
            ask_all(g);
        run_s(g, 1);
        liar_hang_up(&g->on.liar);
        run_s(g, 20);
    }
    g->instead = NULL;
    liar_hang_up(&g->on.liar);
    run_s(g, 40);
    expect_all(g);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(queued_for_ten_minutes_is_waited_for),
        TEST(slow_retrieval_a_parent_that_says_queued_for_ever_raises_an_alarm),
        TEST(slow_retrieval_a_parent_that_trickles_raises_an_alarm),
        TEST(slow_retrieval_hanging_up_in_between_does_not_hide_it),
        TEST(a_line_that_is_down_is_no_slow_parent),
        TEST(a_silent_parent_is_hung_up_on_after_30_s_and_called_again),
        TEST(what_our_own_gate_keeps_back_is_not_the_parents_silence),
        TEST(a_lost_line_costs_no_tries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
