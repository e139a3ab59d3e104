/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_supply.c – memory, store, parent, and leaving at every stage. */
/* LINKS: sim_world */
#include "transfer/supply.h"

#include "support/liar.h"
#include "store/ram.h"

enum { CHUNKS = 20, RAW_SIZE = 3000 };

struct probe {
    struct waiter waiter;
    struct stage *stage;
    unsigned told;
    enum alb_code code;
};

struct stage {
    struct liar_stage on;
    struct upstream *upstream;
    struct chunk_store *store;
    struct keeper *keeper;
    struct supply *supply;
    struct chunk *chunks[CHUNKS];
    struct probe probes[CHUNKS];
    unsigned crossed; /* items the parent sent */
};

static void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;
    struct buf *body = http_exchange_body(x), out;
    struct batch_request rq;

    assert_int_equal(batch_request_decode(buf_peek(body), buf_size(body), &rq).code, ALB_OK);
    buf_init(&out, 8 << 20);
    for (size_t r = 0; r < rq.run_count; r++) {
        for (uint32_t i = 0; i < rq.runs[r].count; i++) {
            const struct chunk *c = g->chunks[rq.runs[r].first + i];
            const struct batch_item item = {
                .status = ITEM_HIT, .position = rq.runs[r].first + i, .size = c->size};
            assert_int_equal(batch_item_head(&item, &out).code, ALB_OK);
            assert_int_equal(buf_append(&out, c->bytes, c->size).code, ALB_OK);
            g->crossed++;
        }
    }
    http_answer(x, 200, NULL, buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

static void told(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct probe *p = ALB_CONTAINER(w, struct probe, waiter);

    p->told++;
    p->code = st.code;
    if (!alb_failed(st))
        assert_true(chunk_key_equal(&chunk->key, &p->stage->chunks[w->where.position]->key));
}

static struct probe *ask(struct stage *g, unsigned n)
{
    struct probe *p = &g->probes[n];

    *p = (struct probe){.stage = g, .waiter.done = told};
    p->waiter.where = (struct where){
        .layer = "base/x", .list = LIST_CONTENT, .position = n, .raw_bytes = RAW_SIZE};
    supply_ask(g->supply, &g->chunks[n]->key, &p->waiter);
    return p;
}

static void run_ms(struct stage *g, uint64_t ms)
{
    liar_stage_run_ms(&g->on, ms);
}

/* No parent when `has_parent` is false; a cache of nothing when `cache_bytes` is 1. */
static void open_supply(struct stage *g, bool has_parent, uint64_t quota, uint64_t cache_bytes)
{
    if (has_parent)
        g->upstream = liar_plain_upstream(&g->on);
    g->store = ram_chunk_store_new(&(struct ram_options){.quota_bytes = quota});
    g->keeper = keeper_new(g->on.box, g->store, 64 << 20);
    g->supply = supply_new(&(struct supply_options){.loop = g->on.box,
                                                    .store = g->store,
                                                    .keeper = g->keeper,
                                                    .upstream = g->upstream,
                                                    .cache_bytes = cache_bytes,
                                                    .max_wants = 16,
                                                    .max_waiters = 24});
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
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    g->supply = supply_free(g->supply);
    g->upstream = upstream_free(g->upstream);
    run_ms(g, 1000);
    g->keeper = keeper_free(g->keeper);
    liar_stage_close(&g->on);
    chunk_store_close(g->store);
    for (unsigned i = 0; i < CHUNKS; i++)
        chunk_unref(g->chunks[i]);
    free(g);
    return 0;
}

static void a_chunk_crosses_once_and_is_then_at_hand(void **state)
{
    struct stage *g = *state;
    struct supply_stats stats;

    open_supply(g, true, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        struct probe *p = ask(g, 4);
        assert_int_equal(p->told, 0); /* never from inside */
        run_ms(g, 1000);
        assert_int_equal(p->told, 1);
        assert_int_equal(p->code, ALB_OK);
    }
    assert_int_equal(g->crossed, 1);
    supply_stats(g->supply, &stats);
    assert_int_equal(stats.from_parent, 1);
    assert_int_equal(stats.from_memory, 2);
    assert_int_equal(stats.asked, 3);
}

static void without_memory_it_comes_from_the_store(void **state)
{
    struct stage *g = *state;
    struct supply_stats stats;

    open_supply(g, true, 0, 1);
    for (unsigned i = 0; i < 3; i++) {
        ask(g, 4);
        run_ms(g, 1000);
        assert_int_equal(g->probes[4].code, ALB_OK);
    }
    assert_int_equal(g->crossed, 1);
    supply_stats(g->supply, &stats);
    assert_int_equal(stats.from_store, 2);
}

static void what_is_on_its_way_into_the_store_is_not_asked_for_again(void **state)
{
    struct stage *g = *state;

    open_supply(g, true, 0, 1);
    assert_int_equal(keeper_put(g->keeper, g->chunks[4], NULL, NULL).code, ALB_OK);
    ask(g, 4);
    run_ms(g, 1);
    assert_int_equal(g->probes[4].told, 1);
    assert_int_equal(g->crossed, 0);
}

static void a_chunk_damaged_in_the_store_is_fetched_anew(void **state)
{
    struct stage *g = *state;
    struct supply_stats stats;

    open_supply(g, true, 0, 1);
    ask(g, 4);
    run_ms(g, 1000);
    assert_int_equal(ram_chunk_store_damage(g->store, &g->chunks[4]->key).code, ALB_OK);
    ask(g, 4);
    run_ms(g, 1000);
    assert_int_equal(g->probes[4].code, ALB_OK);
    assert_int_equal(g->crossed, 2);
    ask(g, 4);
    run_ms(g, 1000);
    assert_int_equal(g->probes[4].code, ALB_OK);
    assert_int_equal(g->crossed, 2); /* whole again */
    supply_stats(g->supply, &stats);
    assert_int_equal(stats.damaged, 1);
}

static void count_bad(void *arg, enum log_level level, const char *line)
{
    (void)level;
    *(unsigned *)arg += strstr(line, "event=store.bad_chunk") != NULL;
}

static void a_store_whose_reads_fail_again_and_again_does_not_flood_the_log(void **state)
{
    struct stage *g = *state;
    struct supply_stats stats;
    unsigned lines = 0;

    open_supply(g, true, 0, 1);
    ask(g, 4);
    run_ms(g, 1000);
    log_install(count_bad, &lines, LOG_WARN);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(ram_chunk_store_damage(g->store, &g->chunks[4]->key).code, ALB_OK);
        ask(g, 4);
        run_ms(g, 200);
    }
    log_install(NULL, NULL, LOG_ERROR);
    supply_stats(g->supply, &stats);
    assert_int_equal(stats.damaged, 60);
    assert_in_range(lines, 1, 20);
}

static void a_full_store_passes_chunks_on_and_counts_them(void **state)
{
    struct stage *g = *state;
    struct supply_stats stats;

    open_supply(g, true, 10, 1);
    for (unsigned i = 0; i < 2; i++) {
        ask(g, 4);
        run_ms(g, 1000);
        assert_int_equal(g->probes[4].code, ALB_OK);
    }
    assert_int_equal(g->crossed, 2);
    supply_stats(g->supply, &stats);
    assert_int_equal(stats.not_kept, 2);
}

static void without_a_parent_what_is_not_here_is_not_found(void **state)
{
    struct stage *g = *state;

    open_supply(g, false, 0, 0);
    struct probe *p = ask(g, 4);
    assert_int_equal(p->told, 0);
    run_ms(g, 1000);
    assert_int_equal(p->told, 1);
    assert_int_equal(p->code, ALB_NOT_FOUND);
}

static void with_nothing_at_all_it_is_still_told_later(void **state)
{
    struct stage *g = *state;

    g->supply = supply_new(&(struct supply_options){.loop = g->on.box});
    struct probe *p = ask(g, 4);
    assert_int_equal(p->told, 0);
    run_ms(g, 10);
    assert_int_equal(p->told, 1);
    assert_int_equal(p->code, ALB_NOT_FOUND);
}

static void one_too_many_is_told_full_and_the_others_are_served(void **state)
{
    struct stage *g = *state;

    open_supply(g, true, 0, 0);
    for (unsigned i = 0; i < CHUNKS; i++)
        ask(g, i);
    run_ms(g, 2000);
    for (unsigned i = 0; i < CHUNKS; i++) {
        assert_int_equal(g->probes[i].told, 1);
        assert_int_equal(g->probes[i].code, i < 16 ? ALB_OK : ALB_FULL);
    }
}

/* Leaving after each so many microseconds meets every stage from asked to told. */
static void who_waits_is_told_for_how_many_chunks_and_how_fast_they_come(void **state)
{
    struct stage *g = *state;
    uint32_t before = 7;
    uint64_t bps = 7, bytes = 0;

    open_supply(g, true, 0, 0);
    run_ms(g, 1000);
    supply_queue(g->supply, &before, &bps);
    assert_int_equal(before, 0);
    assert_int_equal(bps, 0); /* not known yet */
    for (unsigned i = 0; i < 10; i++) {
        ask(g, i);
        bytes += g->chunks[i]->size;
    }
    run_ms(g, 30);
    supply_queue(g->supply, &before, &bps);
    assert_int_equal(before, 10);
    run_ms(g, 4970);
    supply_queue(g->supply, &before, &bps);
    assert_int_equal(before, 0);
    assert_in_range(bps, bytes / 5, bytes / 5 + 100); /* and the items' heads */
    run_ms(g, 60000);
    supply_queue(g->supply, &before, &bps);
    assert_int_equal(bps, 0); /* of a minute ago: not known */
}

static void one_may_leave_at_every_stage(void **state)
{
    struct stage *g = *state;
    unsigned heard = 0, left = 0;

    open_supply(g, true, 0, 0);
    run_ms(g, 1000);
    for (unsigned n = 0; n < CHUNKS; n++) {
        struct probe *p = ask(g, n), other = {.stage = g, .waiter = p->waiter};
        other.waiter.want = NULL;
        supply_ask(g->supply, &g->chunks[n]->key, &other.waiter);
        world_run(g->on.world, world_now_ns(g->on.world) + n * 3000 * (uint64_t)1000);
        supply_leave(g->supply, &p->waiter);
        heard += p->told;
        left += p->told == 0;
        const unsigned told_then = p->told;
        run_ms(g, 1000);
        assert_int_equal(p->told, told_then);
        assert_int_equal(other.told, 1);
        supply_leave(g->supply, &p->waiter); /* once more does no harm */
    }
    assert_true(heard > 0 && left > 0);
}

static void leaving_before_an_answer_from_memory_is_told(void **state)
{
    struct stage *g = *state;

    open_supply(g, true, 0, 0);
    ask(g, 4);
    run_ms(g, 1000);
    struct probe *p = ask(g, 4);
    supply_leave(g->supply, &p->waiter);
    run_ms(g, 1000);
    assert_int_equal(p->told, 0);
}

static void it_may_be_freed_at_every_moment(void **state)
{
    struct stage *g = *state;

    for (unsigned n = 0; n < 40; n++) {
        open_supply(g, true, 0, 0);
        run_ms(g, 200);
        ask(g, n % CHUNKS);
        world_run(g->on.world, world_now_ns(g->on.world) + n * 2000 * (uint64_t)1000);
        ask(g, (n + 1) % CHUNKS);
        ask(g, (n + 2) % CHUNKS);
        g->supply = supply_free(g->supply);
        g->upstream = upstream_free(g->upstream);
        run_ms(g, 5000);
        g->keeper = keeper_free(g->keeper);
        chunk_store_close(g->store);
        g->store = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_chunk_crosses_once_and_is_then_at_hand, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_it_comes_from_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_on_its_way_into_the_store_is_not_asked_for_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_chunk_damaged_in_the_store_is_fetched_anew, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_store_whose_reads_fail_again_and_again_does_not_flood_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_store_passes_chunks_on_and_counts_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_a_parent_what_is_not_here_is_not_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(with_nothing_at_all_it_is_still_told_later, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_too_many_is_told_full_and_the_others_are_served, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_may_leave_at_every_stage, setup, teardown),
        cmocka_unit_test_setup_teardown(
            who_waits_is_told_for_how_many_chunks_and_how_fast_they_come, setup, teardown),
        cmocka_unit_test_setup_teardown(leaving_before_an_answer_from_memory_is_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(it_may_be_freed_at_every_moment, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
