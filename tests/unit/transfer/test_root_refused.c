/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_root_refused.c – roots that are not to be had trouble the parent once. */
/* LINKS: sim_world */
#include "transfer/root_book.h"

#include "support/liar.h"

enum { MANY = 3000 };

struct ask {
    struct root_wait wait;
    struct stage *stage;
    unsigned told;
    bool asks_again;
};

struct stage {
    struct liar_stage on;
    struct authority *authority;
    struct upstream *upstream;
    struct record_book *records;
    struct supply *supply;
    struct root_book *roots;
    unsigned status; /* of the parent's answers */
};

static void answer(struct liar *l, struct http_exchange *x)
{
    http_answer(x, ((struct stage *)l->arg)->status, NULL, "", 0);
}

static int setup(void **state)
{
    struct stage *g = xalloc(sizeof *g);

    liar_stage_open(&g->on);
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    g->status = 404;
    liar_listen(&g->on.liar);
    const struct authority_options options = {.loop = g->on.box};
    assert_int_equal(authority_open(&options, &g->authority).code, ALB_OK);
    g->upstream = liar_plain_upstream(&g->on);
    g->records = record_book_new(&(struct record_book_options){
        .loop = g->on.box, .authority = g->authority, .upstream = g->upstream});
    g->supply = supply_new(&(struct supply_options){.loop = g->on.box, .upstream = g->upstream});
    g->roots = root_book_new(&(struct root_book_options){
        .loop = g->on.box, .records = g->records, .supply = g->supply, .authority = g->authority});
    liar_stage_run_ms(&g->on, 2000);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    root_book_free(g->roots);
    record_book_free(g->records);
    supply_free(g->supply);
    authority_close(g->authority);
    upstream_free(g->upstream);
    liar_stage_close(&g->on);
    free(g);
    return 0;
}

static void open_root(struct stage *g, struct ask *a, uint32_t which);

static void told(struct root_wait *w, struct alb_status st, const struct root_view *view)
{
    struct ask *a = ALB_CONTAINER(w, struct ask, wait);

    assert_true(alb_failed(st));
    assert_null(view);
    a->told++;
    if (a->asks_again && a->told < 10)
        open_root(a->stage, a, 7);
}

static void open_root(struct stage *g, struct ask *a, uint32_t which)
{
    struct digest root = {{0}};

    memcpy(&root, &which, sizeof which);
    a->wait.done = told;
    a->stage = g;
    root_book_open(g->roots, "base/os", &root, &a->wait);
}

static void asking_again_for_a_root_that_does_not_exist_is_answered_here(void **state)
{
    struct stage *g = *state;
    struct ask asks[100] = {{.told = 0}};
    const unsigned before = g->on.liar.asked;

    for (size_t i = 0; i < 100; i++) {
        open_root(g, &asks[i], 7);
        liar_stage_run_ms(&g->on, i < 2 ? 500 : 10);
        assert_int_equal(asks[i].told, 1);
    }
    assert_int_equal(g->on.liar.asked, before + 1);
    liar_stage_run_ms(&g->on, 5000);
    open_root(g, &asks[0], 7);
    liar_stage_run_ms(&g->on, 500);
    assert_int_equal(g->on.liar.asked, before + 2); /* it may be there by now */
}

static void what_changed_lets_a_root_be_asked_for_at_once(void **state)
{
    struct stage *g = *state;
    struct ask first = {.told = 0}, second = {.told = 0};
    const unsigned before = g->on.liar.asked;

    open_root(g, &first, 7);
    liar_stage_run_ms(&g->on, 500);
    root_book_forget_refused(g->roots);
    open_root(g, &second, 7);
    liar_stage_run_ms(&g->on, 500);
    assert_int_equal(g->on.liar.asked, before + 2);
}

static void a_parent_that_is_away_is_no_refusal(void **state)
{
    struct stage *g = *state;
    struct ask first = {.told = 0}, second = {.told = 0};
    const unsigned before = g->on.liar.asked;

    g->status = 503;
    open_root(g, &first, 7);
    liar_stage_run_ms(&g->on, 5000);
    assert_int_equal(first.told, 1);
    const unsigned asked = g->on.liar.asked;
    assert_true(asked > before);
    open_root(g, &second, 7);
    liar_stage_run_ms(&g->on, 5000);
    assert_true(g->on.liar.asked > asked);
}

static void who_leaves_is_told_nothing_and_who_asks_again_is_told_again(void **state)
{
    struct stage *g = *state;
    struct ask first = {.asks_again = true}, leaver = {.told = 0}, other = {.told = 0};

    open_root(g, &first, 7);
    liar_stage_run_ms(&g->on, 500);
    assert_int_equal(first.told, 10);
    open_root(g, &leaver, 7);
    open_root(g, &other, 7);
    root_book_leave(g->roots, &leaver.wait);
    liar_stage_run_ms(&g->on, 500);
    assert_int_equal(leaver.told, 0);
    assert_int_equal(other.told, 1);
}

static void the_book_may_be_freed_while_some_wait_to_hear_a_no(void **state)
{
    struct stage *g = *state;
    struct ask first = {.told = 0}, second = {.told = 0};

    open_root(g, &first, 7);
    liar_stage_run_ms(&g->on, 500);
    open_root(g, &second, 7);
    g->roots = root_book_free(g->roots);
    liar_stage_run_ms(&g->on, 500);
    assert_int_equal(second.told, 0);
}

static void a_storm_of_roots_that_do_not_exist_ends(void **state)
{
    struct stage *g = *state;
    struct ask *asks = xcalloc(MANY, sizeof *asks);

    for (uint32_t i = 0; i < MANY; i++)
        open_root(g, &asks[i], i);
    liar_stage_run_ms(&g->on, 30000);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(asks[i].told, 1);
    free(asks);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(asking_again_for_a_root_that_does_not_exist_is_answered_here),
        TEST(what_changed_lets_a_root_be_asked_for_at_once),
        TEST(a_parent_that_is_away_is_no_refusal),
        TEST(who_leaves_is_told_nothing_and_who_asks_again_is_told_again),
        TEST(the_book_may_be_freed_while_some_wait_to_hear_a_no),
        TEST(a_storm_of_roots_that_do_not_exist_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
