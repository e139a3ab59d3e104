/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_fetch.c – a supply fetching from a parent that is faulty or hostile. */
/* LINKS: sim_world */
#include "net/gate.h"
#include "transfer/supply.h"

#include "support/liar.h"

enum { CHUNKS = 40, RAW_SIZE = 3000, VERSIONS = 2 };
enum { FOREVER = 1000000 };

enum lie { HONEST, WRONG_BYTES, OTHER_CHUNK, MISSING, FAILED, LEFT_OUT };

struct probe {
    struct waiter waiter;
    struct stage *stage;
    unsigned told;
    enum alb_code code;
    bool right; /* the chunk is the one that was asked for */
    uint64_t at_ns;
};

struct stage {
    struct liar_stage on;
    struct upstream *upstream;
    struct supply *supply;
    struct chunk *chunks[CHUNKS];
    struct probe probes[CHUNKS];
    /* the script: how each position is answered, and how often */
    enum lie lie[CHUNKS];
    unsigned lies_left[CHUNKS];
    unsigned asked[CHUNKS]; /* how often each was asked for */
    unsigned batches;
    struct digest last_root;
    char turns[64];                                     /* which root each batch was for */
    unsigned status;                                    /* of the next answers, when not 0 … */
    unsigned statuses;                                  /* … and for how many                */
    void (*spoil)(struct stage *g, struct buf *answer); /* the answer's bytes, before they go */
    bool (*instead)(struct stage *g, struct http_exchange *x); /* true: it answered itself     */
};

static const char octets[] = "application/octet-stream";

/* ---- the parent ---- */

static void say(struct buf *out, uint32_t position, enum item_status status, const void *bytes,
                size_t size)
{
    const struct batch_item item = {
        .status = status, .position = position, .bytes = bytes, .size = size};

    assert_int_equal(batch_item_head(&item, out).code, ALB_OK);
    if (size > 0)
        assert_int_equal(buf_append(out, bytes, size).code, ALB_OK);
}

static void say_position(struct stage *g, uint32_t p, struct buf *out)
{
    enum lie lie = g->lies_left[p] > 0 ? g->lie[p] : HONEST;
    const struct chunk *c = g->chunks[p], *other = g->chunks[(p + 1) % CHUNKS];
    uint8_t damaged[8192];

    g->asked[p]++;
    if (lie != HONEST)
        g->lies_left[p]--;
    memcpy(damaged, c->bytes, c->size);
    damaged[c->size / 2] ^= 0x40;
    switch (lie) {
    case HONEST: say(out, p, ITEM_HIT, c->bytes, c->size); break;
    case WRONG_BYTES: say(out, p, ITEM_HIT, damaged, c->size); break;
    case OTHER_CHUNK: say(out, p, ITEM_HIT, other->bytes, other->size); break;
    case MISSING: say(out, p, ITEM_MISSING, NULL, 0); break;
    case FAILED: say(out, p, ITEM_FAILED, NULL, 0); break;
    case LEFT_OUT: break;
    }
}

static void answer_honestly(struct stage *g, const struct batch_request *rq, struct buf *out)
{
    for (size_t r = 0; r < rq->run_count; r++)
        for (uint32_t i = 0; i < rq->runs[r].count; i++)
            say_position(g, rq->runs[r].first + i, out);
}

static void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;
    struct buf *body = http_exchange_body(x), out;
    struct batch_request rq;

    assert_string_equal(http_exchange_path(x), "/v1/chunks");
    assert_string_equal(http_exchange_header(x, "albedo-proto"), "1");
    assert_int_equal(batch_request_decode(buf_peek(body), buf_size(body), &rq).code, ALB_OK);
    if (g->batches < sizeof g->turns - 1)
        g->turns[g->batches] = (char)('A' + rq.root.bytes[0]);
    g->batches++;
    g->last_root = rq.root;
    if (g->statuses > 0) {
        g->statuses--;
        http_answer(x, g->status, octets, "{}", 2);
        return;
    }
    if (g->instead != NULL && g->instead(g, x))
        return;
    buf_init(&out, 8 << 20);
    answer_honestly(g, &rq, &out);
    if (g->spoil != NULL)
        g->spoil(g, &out);
    http_answer(x, 200, octets, buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

/* ---- the child ---- */

static void told(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct probe *p = ALB_CONTAINER(w, struct probe, waiter);

    p->told++;
    p->code = st.code;
    p->at_ns = world_now_ns(p->stage->on.world);
    const struct chunk *right = p->stage->chunks[w->where.position];
    p->right = chunk != NULL && chunk->size == right->size &&
               memcmp(chunk->bytes, right->bytes, right->size) == 0;
    assert_true(chunk == NULL || p->right); /* nothing else is ever handed out */
}

static void ask_under(struct stage *g, struct probe *p, unsigned position, uint8_t root)
{
    *p = (struct probe){.stage = g};
    p->waiter.done = told;
    p->waiter.where = (struct where){.layer = "base/x",
                                     .root = {{root}},
                                     .list = LIST_CONTENT,
                                     .position = position,
                                     .raw_bytes = RAW_SIZE};
    supply_ask(g->supply, &g->chunks[position]->key, &p->waiter);
}

static void ask_all(struct stage *g)
{
    for (unsigned i = 0; i < CHUNKS; i++)
        ask_under(g, &g->probes[i], i, 0);
}

static void expect_all(struct stage *g)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        assert_int_equal(g->probes[i].told, 1);
        assert_int_equal(g->probes[i].code, ALB_OK);
        assert_true(g->probes[i].right);
    }
}

static struct fetcher_stats figures(struct stage *g)
{
    struct supply_stats stats;

    supply_stats(g->supply, &stats);
    return stats.fetch;
}

static int setup(void **state)
{
    struct stage *g = xalloc(sizeof *g);

    liar_stage_open(&g->on);
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    liar_listen(&g->on.liar);
    for (unsigned i = 0; i < CHUNKS; i++)
        g->chunks[i] = liar_chunk(i, RAW_SIZE);
    g->upstream = liar_plain_upstream(&g->on);
    g->supply = supply_new(&(struct supply_options){.loop = g->on.box, .upstream = g->upstream});
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    g->supply = supply_free(g->supply);
    g->upstream = upstream_free(g->upstream);
    liar_stage_close(&g->on);
    for (unsigned i = 0; i < CHUNKS; i++)
        chunk_unref(g->chunks[i]);
    free(g);
    return 0;
}

static void run_s(struct stage *g, uint64_t seconds)
{
    liar_stage_run_ms(&g->on, seconds * 1000);
}

/* ---- tests ---- */

static void wants_of_one_moment_become_one_batch(void **state)
{
    struct stage *g = *state;

    ask_all(g);
    run_s(g, 5);
    expect_all(g);
    assert_int_equal(g->batches, 1);
    assert_int_equal(figures(g).items, CHUNKS);
}

static void a_damaged_chunk_is_dropped_counted_and_asked_for_again(void **state)
{
    struct stage *g = *state;

    g->lie[7] = WRONG_BYTES;
    g->lies_left[7] = 1;
    g->lie[9] = OTHER_CHUNK;
    g->lies_left[9] = 2;
    ask_all(g);
    run_s(g, 5);
    expect_all(g);
    assert_int_equal(g->asked[7], 2);
    assert_int_equal(g->asked[9], 3);
    assert_int_equal(g->asked[8], 1);
    assert_int_equal(figures(g).corrupt, 3);
}

static void the_third_bad_copy_fails_and_none_is_handed_out(void **state)
{
    struct stage *g = *state;

    g->lie[3] = WRONG_BYTES;
    g->lies_left[3] = FOREVER;
    ask_all(g);
    run_s(g, 5);
    assert_int_equal(g->probes[3].told, 1);
    assert_int_equal(g->probes[3].code, ALB_CORRUPT);
    assert_int_equal(g->asked[3], 3);
    assert_int_equal(g->probes[4].code, ALB_OK);
}

static void cut_in_half(struct stage *g, struct buf *answer)
{
    if (g->batches == 1)
        answer->tail = answer->head + buf_size(answer) / 2 + 100;
}

static void a_truncated_answer_keeps_its_whole_items(void **state)
{
    struct stage *g = *state;
    unsigned twice = 0;

    g->spoil = cut_in_half;
    ask_all(g);
    run_s(g, 5);
    expect_all(g);
    for (unsigned i = 0; i < CHUNKS; i++)
        twice += g->asked[i] > 1;
    assert_int_equal(g->batches, 2);
    assert_in_range(twice, CHUNKS / 2 - 3, CHUNKS / 2 + 3);
}

static void add_rubbish(struct stage *g, struct buf *answer)
{
    say(answer, 39, ITEM_HIT, g->chunks[39]->bytes, g->chunks[39]->size);
    say(answer, 4000, ITEM_HIT, "never asked", 11);
    say(answer, 4001, ITEM_MISSING, NULL, 0);
}

static void items_repeated_or_never_asked_for_are_counted_and_nobodys(void **state)
{
    struct stage *g = *state;

    g->spoil = add_rubbish;
    ask_all(g);
    run_s(g, 5);
    expect_all(g);
    assert_int_equal(figures(g).repeated, 3);
    assert_int_equal(g->batches, 1);
}

static void make_nonsense(struct stage *g, struct buf *answer)
{
    if (g->batches == 1)
        memset(answer->bytes + answer->head, 0xee, 64);
}

static void what_is_no_item_ends_the_line_and_is_asked_again(void **state)
{
    struct stage *g = *state;

    g->spoil = make_nonsense;
    ask_all(g);
    run_s(g, 20);
    expect_all(g);
    assert_int_equal(g->batches, 2);
    assert_int_equal(g->on.liar.accepted, 4); /* control and data, twice */
}

static void make_too_long(struct stage *g, struct buf *answer)
{
    static uint8_t much[1 << 16];

    for (unsigned i = 0; g->batches == 1 && i < 8; i++)
        say(answer, 4000 + i, ITEM_HIT, much, sizeof much);
}

static void an_answer_longer_than_asked_for_is_broken_off_and_asked_again_after_a_rest(void **state)
{
    struct stage *g = *state;

    g->spoil = make_too_long;
    g->lie[5] = LEFT_OUT;
    g->lies_left[5] = 1;
    ask_all(g);
    run_s(g, 10);
    expect_all(g);
    assert_int_equal(g->batches, 2);
    assert_int_equal(g->asked[5], 2);
    assert_true(g->probes[5].at_ns - g->probes[4].at_ns >= 375 * NS_PER_MS);
}

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

/* ---- no, and not now ---- */

static void failed_items_rest_and_come_later(void **state)
{
    struct stage *g = *state;

    g->lie[2] = FAILED;
    g->lies_left[2] = 3;
    ask_all(g);
    run_s(g, 1);
    assert_int_equal(g->probes[3].told, 1); /* the others are not held up */
    run_s(g, 10);
    expect_all(g);
    assert_int_equal(g->asked[2], 4);
    assert_true(g->probes[2].at_ns - g->probes[3].at_ns >= 2625 * NS_PER_MS); /* ¾ of 3.5 s */
}

static void what_keeps_failing_fails_after_minutes_not_for_ever(void **state)
{
    struct stage *g = *state;

    g->lie[2] = FAILED;
    g->lies_left[2] = FOREVER;
    ask_all(g);
    run_s(g, 100);
    assert_int_equal(g->probes[2].told, 0);
    run_s(g, 200);
    assert_int_equal(g->probes[2].code, ALB_IO);
    assert_int_equal(g->probes[2].told, 1);
    assert_int_equal(g->asked[2], 13);
}

static void missing_is_said_at_once(void **state)
{
    struct stage *g = *state;

    g->lie[2] = MISSING;
    g->lies_left[2] = FOREVER;
    ask_all(g);
    run_s(g, 2);
    assert_int_equal(g->probes[2].told, 1);
    assert_int_equal(g->probes[2].code, ALB_NOT_FOUND);
    assert_int_equal(g->asked[2], 1);
}

static void missing_under_one_root_is_asked_under_another_waiters(void **state)
{
    struct stage *g = *state;
    struct probe second;

    g->lie[2] = MISSING;
    g->lies_left[2] = 1;
    ask_under(g, &g->probes[2], 2, 0);
    ask_under(g, &second, 2, 1);
    run_s(g, 2);
    assert_int_equal(g->probes[2].code, ALB_OK);
    assert_int_equal(g->probes[2].told, 1);
    assert_int_equal(second.told, 1);
    assert_string_equal(g->turns, "AB");
}

static void a_refused_batch_says_what_its_status_means(void **state)
{
    static const struct {
        unsigned status;
        enum alb_code code;
    } cases[] = {{404, ALB_NOT_FOUND}, {403, ALB_REFUSED}, {401, ALB_REFUSED}, {400, ALB_INVALID}};
    struct stage *g = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        g->status = cases[i].status;
        g->statuses = 1;
        ask_under(g, &g->probes[i], (unsigned)i, 0);
        run_s(g, 2);
        assert_int_equal(g->probes[i].told, 1);
        assert_int_equal(g->probes[i].code, cases[i].code);
    }
}

static void a_parent_without_room_is_asked_again_after_rests(void **state)
{
    struct stage *g = *state;

    g->status = 503;
    g->statuses = 3;
    ask_all(g);
    run_s(g, 2);
    assert_int_equal(g->probes[0].told, 0);
    run_s(g, 8);
    expect_all(g);
    assert_int_equal(g->batches, 4);
}

static void what_nobody_waits_for_any_more_is_not_asked_for(void **state)
{
    struct stage *g = *state;

    ask_all(g);
    for (unsigned i = 1; i < CHUNKS; i++)
        supply_leave(g->supply, &g->probes[i].waiter);
    run_s(g, 5);
    assert_int_equal(g->probes[0].told, 1);
    for (unsigned i = 1; i < CHUNKS; i++) {
        assert_int_equal(g->asked[i], 0);
        assert_int_equal(g->probes[i].told, 0);
    }
    ask_under(g, &g->probes[1], 1, 0); /* and can be asked for anew */
    run_s(g, 5);
    assert_int_equal(g->probes[1].code, ALB_OK);
}

static void versions_take_turns(void **state)
{
    struct stage *g = *state;
    unsigned i;

    /* Batches of one, since
     * the sizes are pretended to be large. */
    for (i = 0; i < 6; i++) {
        ask_under(g, &g->probes[i], i, i < 4 ? 0 : 1);
        g->probes[i].waiter.want->where.raw_bytes = CHUNK_RAW_MAX;
    }
    run_s(g, 5);
    for (i = 0; i < 6; i++)
        assert_int_equal(g->probes[i].code, ALB_OK);
    assert_string_equal(g->turns, "ABABAA");
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

static void free_all(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct stage *g = ALB_CONTAINER(w, struct probe, waiter)->stage;

    told(w, st, chunk);
    g->supply = supply_free(g->supply);
    g->upstream = upstream_free(g->upstream);
}

static void everything_may_be_freed_while_one_is_being_told(void **state)
{
    static const enum lie lies[] = {HONEST, MISSING, WRONG_BYTES};
    struct stage *g = *state;

    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        if (g->supply == NULL) {
            g->upstream = liar_plain_upstream(&g->on);
            g->supply =
                supply_new(&(struct supply_options){.loop = g->on.box, .upstream = g->upstream});
        }
        g->lie[11] = lies[i];
        g->lies_left[11] = FOREVER;
        ask_all(g);
        g->probes[11].waiter.done = free_all;
        run_s(g, 10);
        assert_int_equal(g->probes[11].told, 1);
        assert_null(g->supply);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(wants_of_one_moment_become_one_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_chunk_is_dropped_counted_and_asked_for_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_third_bad_copy_fails_and_none_is_handed_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_truncated_answer_keeps_its_whole_items, setup, teardown),
        cmocka_unit_test_setup_teardown(items_repeated_or_never_asked_for_are_counted_and_nobodys,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_item_ends_the_line_and_is_asked_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            an_answer_longer_than_asked_for_is_broken_off_and_asked_again_after_a_rest, setup,
            teardown),
        cmocka_unit_test_setup_teardown(queued_for_ten_minutes_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(
            slow_retrieval_a_parent_that_says_queued_for_ever_raises_an_alarm, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_retrieval_a_parent_that_trickles_raises_an_alarm,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(slow_retrieval_hanging_up_in_between_does_not_hide_it,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_that_is_down_is_no_slow_parent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_parent_is_hung_up_on_after_30_s_and_called_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_our_own_gate_keeps_back_is_not_the_parents_silence,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(failed_items_rest_and_come_later, setup, teardown),
        cmocka_unit_test_setup_teardown(what_keeps_failing_fails_after_minutes_not_for_ever, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(missing_is_said_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_under_one_root_is_asked_under_another_waiters,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_batch_says_what_its_status_means, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_parent_without_room_is_asked_again_after_rests, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_nobody_waits_for_any_more_is_not_asked_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(versions_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_line_costs_no_tries, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_may_be_freed_while_one_is_being_told, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
