/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_keeper.c – groups, their outcomes, and what can be seen before they are
 * written. */
/* LINKS: sim_world */
#include "transfer/keeper.h"

#include "support/liar.h"

enum { CHUNKS = 600, RAW_SIZE = 700 };

/* A store that counts calls and answers as told. */
struct watched_store {
    struct chunk_store base;
    unsigned calls;
    size_t chunks;
    struct alb_status answers[8]; /* of the first calls; then OK */
};

struct stage {
    struct world *world;
    struct loop *loop;
    struct watched_store store;
    struct keeper *keeper;
    struct chunk *chunks[CHUNKS];
    unsigned told[16]; /* outcomes by code */
    unsigned idle;
};

static struct alb_status put_many(struct chunk_store *s, struct chunk *const *chunks, size_t count,
                                  enum put_outcome *outcomes)
{
    struct watched_store *w = ALB_CONTAINER(s, struct watched_store, base);
    unsigned call = w->calls++;

    (void)outcomes;
    for (size_t i = 0; i < count; i++)
        assert_non_null(chunks[i]);
    w->chunks += count;
    return call < 8 ? w->answers[call] : ALB_STATUS_OK;
}

static const struct chunk_store_ops watched_ops = {.name = "watched", .put_many = put_many};

static void kept(void *arg, struct alb_status st)
{
    struct stage *g = arg;

    g->told[st.code]++;
}

static void on_idle(void *arg)
{
    struct stage *g = arg;

    g->idle++;
}

static int setup(void **state)
{
    struct stage *g = xalloc(sizeof *g);

    g->world = world_new(1);
    g->loop = world_add_node(g->world, "box", NULL);
    g->store.base.ops = &watched_ops;
    g->keeper = keeper_new(g->loop, &g->store.base, 8 << 20);
    for (unsigned i = 0; i < CHUNKS; i++)
        g->chunks[i] = liar_chunk(i, RAW_SIZE);
    *state = g;
    return 0;
}

static void run_ms(struct stage *g, uint64_t ms)
{
    world_run(g->world, world_now_ns(g->world) + ms * NS_PER_MS);
}

static int teardown(void **state)
{
    struct stage *g = *state;

    run_ms(g, 10000);
    keeper_free(g->keeper);
    world_free(g->world);
    for (unsigned i = 0; i < CHUNKS; i++)
        chunk_unref(g->chunks[i]);
    free(g);
    return 0;
}

static void put(struct stage *g, unsigned n)
{
    assert_int_equal(keeper_put(g->keeper, g->chunks[n], kept, g).code, ALB_OK);
}

static void chunks_of_five_milliseconds_are_one_write(void **state)
{
    struct stage *g = *state;

    for (unsigned i = 0; i < 100; i++)
        put(g, i);
    run_ms(g, 4);
    assert_int_equal(g->store.calls, 0);
    run_ms(g, 10);
    assert_int_equal(g->store.calls, 1);
    assert_int_equal(g->store.chunks, 100);
    assert_int_equal(g->told[ALB_OK], 100);
}

static void a_full_group_does_not_wait(void **state)
{
    struct stage *g = *state;

    for (unsigned i = 0; i < CHUNKS; i++)
        put(g, i);
    run_ms(g, 3);
    assert_int_equal(g->store.calls, 3); /* 256 + 256 + the rest */
    assert_int_equal(g->store.chunks, CHUNKS);
}

static void a_chunk_is_seen_until_it_is_written(void **state)
{
    struct stage *g = *state;

    put(g, 5);
    assert_ptr_equal(keeper_peek(g->keeper, &g->chunks[5]->key), g->chunks[5]);
    assert_null(keeper_peek(g->keeper, &g->chunks[6]->key));
    run_ms(g, 20);
    assert_int_equal(g->told[ALB_OK], 1);
    assert_null(keeper_peek(g->keeper, &g->chunks[5]->key));
}

static void unknown_is_tried_again_and_told_only_in_the_end(void **state)
{
    struct stage *g = *state;

    g->store.answers[0] = alb_fail(ALB_UNKNOWN, "sent, not answered");
    g->store.answers[1] = alb_fail(ALB_UNKNOWN, "sent, not answered");
    put(g, 1);
    run_ms(g, 50);
    assert_int_equal(g->store.calls, 3);
    assert_int_equal(g->told[ALB_OK], 1);
    assert_int_equal(g->told[ALB_UNKNOWN], 0);
}

static void a_full_store_is_told_to_each(void **state)
{
    struct stage *g = *state;
    struct keeper_stats stats;

    g->store.answers[0] = alb_fail(ALB_FULL, "no room");
    for (unsigned i = 0; i < 10; i++)
        put(g, i);
    run_ms(g, 50);
    assert_int_equal(g->told[ALB_FULL], 10);
    keeper_stats(g->keeper, &stats);
    assert_string_equal(keeper_state(&stats), "full");
    put(g, 1); /* and it goes on */
    run_ms(g, 50);
    assert_int_equal(g->told[ALB_OK], 1);
    keeper_stats(g->keeper, &stats);
    assert_string_equal(keeper_state(&stats), "full"); /* a small one may fit by luck */
    run_ms(g, 6000);
    put(g, 2);
    run_ms(g, 50);
    keeper_stats(g->keeper, &stats);
    assert_string_equal(keeper_state(&stats), "ok");
    assert_int_equal(stats.failed, 10);
    assert_int_equal(stats.chunks, 2);
    assert_int_equal(stats.pending_bytes, 0);
}

static void more_than_may_wait_is_refused_at_once(void **state)
{
    struct stage *g = *state;
    struct keeper *small = keeper_new(g->loop, &g->store.base, g->chunks[0]->size + 1);

    assert_int_equal(keeper_put(small, g->chunks[0], kept, g).code, ALB_OK);
    assert_int_equal(keeper_put(small, g->chunks[1], kept, g).code, ALB_FULL);
    run_ms(g, 20);
    assert_int_equal(keeper_put(small, g->chunks[1], NULL, NULL).code, ALB_OK);
    run_ms(g, 20);
    assert_int_equal(g->told[ALB_OK], 1);
    keeper_free(small);
}

static void the_same_chunk_twice_is_told_twice(void **state)
{
    struct stage *g = *state;

    put(g, 1);
    put(g, 1);
    run_ms(g, 6); /* the first group is posted */
    put(g, 1);
    run_ms(g, 50);
    assert_int_equal(g->told[ALB_OK], 3);
    assert_null(keeper_peek(g->keeper, &g->chunks[1]->key));
}

static void idle_is_said_once_when_all_is_told(void **state)
{
    struct stage *g = *state;

    put(g, 1);
    keeper_when_idle(g->keeper, on_idle, g);
    assert_int_equal(g->idle, 0);
    assert_false(keeper_is_idle(g->keeper));
    run_ms(g, 50);
    assert_int_equal(g->idle, 1);
    assert_int_equal(g->told[ALB_OK], 1);
    put(g, 2);
    run_ms(g, 50);
    assert_int_equal(g->idle, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(chunks_of_five_milliseconds_are_one_write, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_group_does_not_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(a_chunk_is_seen_until_it_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_is_tried_again_and_told_only_in_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_store_is_told_to_each, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_may_wait_is_refused_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_chunk_twice_is_told_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(idle_is_said_once_when_all_is_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
