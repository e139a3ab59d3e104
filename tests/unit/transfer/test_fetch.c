/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_fetch.c – a supply fetching from a parent that is faulty or hostile. */
/* LINKS: sim_world */
#include "support/fetch_stage.h"

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wants_of_one_moment_become_one_batch),
        TEST(a_damaged_chunk_is_dropped_counted_and_asked_for_again),
        TEST(the_third_bad_copy_fails_and_none_is_handed_out),
        TEST(a_truncated_answer_keeps_its_whole_items),
        TEST(items_repeated_or_never_asked_for_are_counted_and_nobodys),
        TEST(what_is_no_item_ends_the_line_and_is_asked_again),
        TEST(an_answer_longer_than_asked_for_is_broken_off_and_asked_again_after_a_rest),
        TEST(failed_items_rest_and_come_later),
        TEST(what_keeps_failing_fails_after_minutes_not_for_ever),
        TEST(missing_is_said_at_once),
        TEST(missing_under_one_root_is_asked_under_another_waiters),
        TEST(a_refused_batch_says_what_its_status_means),
        TEST(a_parent_without_room_is_asked_again_after_rests),
        TEST(what_nobody_waits_for_any_more_is_not_asked_for),
        TEST(versions_take_turns),
        TEST(everything_may_be_freed_while_one_is_being_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
