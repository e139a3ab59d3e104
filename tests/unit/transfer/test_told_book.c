/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_told_book.c – reports of pulls on their way up: kept, told once, told late. */
/* LINKS: sim_world */
#include "transfer/told_book.h"

#include "store/ram.h"
#include "support/liar.h"

struct stage {
    struct liar_stage on;
    struct upstream *upstream;
    struct catalogue *catalogue;
    struct told_book *book;
    struct told got[1000]; /* what the parent took */
    size_t count, bodies;
    unsigned status;     /* other than 0: it answers that                 */
    const char *hates;   /* a body with this layer is called wrong        */
    bool loses_answers;  /* it takes them, and the line breaks at once    */
    unsigned done, full; /* told_book_take()'s answers                    */
};

static void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;
    struct buf *body = http_exchange_body(x);
    size_t count = 0;

    assert_string_equal(http_exchange_path(x), TOLD_PATH);
    assert_true(g->count + TOLD_MOST < ALB_COUNT(g->got));
    assert_int_equal(told_decode(buf_peek(body), buf_size(body), &g->got[g->count], &count).code,
                     ALB_OK);
    g->bodies++;
    for (size_t i = 0; g->hates != NULL && i < count; i++) {
        if (strcmp(g->got[g->count + i].layer, g->hates) == 0) {
            http_answer(x, 400, NULL, "{}", 2);
            return;
        }
    }
    if (g->status != 0) {
        http_answer(x, g->status, NULL, "{}", 2);
        return;
    }
    g->count += count;
    if (g->loses_answers)
        liar_hang_up(l);
    else
        http_answer(x, 200, "application/json", "{}", 2);
}

static void open_book(struct stage *g, size_t most, bool forgets_oldest)
{
    g->book = told_book_open(&(struct told_book_options){.loop = g->on.box,
                                                         .catalogue = g->catalogue,
                                                         .upstream = g->upstream,
                                                         .most = most,
                                                         .forgets_oldest = forgets_oldest,
                                                         .rest_ns = NS_PER_S,
                                                         .herd_ns = 20 * NS_PER_S});
}

static int setup(void **state)
{
    struct stage *g = xalloc(sizeof *g);

    liar_stage_open(&g->on);
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    g->catalogue = ram_catalogue_new(&(struct ram_options){.seed = 1});
    g->upstream = liar_plain_upstream(&g->on);
    open_book(g, 200, false);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    told_book_close(g->book);
    upstream_free(g->upstream);
    liar_stage_close(&g->on);
    catalogue_close(g->catalogue);
    free(g);
    return 0;
}

static void on_done(void *arg, struct alb_status st)
{
    struct stage *g = arg;

    g->done += st.code == ALB_OK;
    g->full += st.code == ALB_FULL;
}

static struct told report(uint64_t number, const char *layer)
{
    struct told t = {.device = "till", .epoch = "00112233445566ff", .number = number};

    snprintf(t.layer, sizeof t.layer, "%s", layer);
    snprintf(t.version, sizeof t.version, "1");
    t.ended_wall_s = (int64_t)number;
    return t;
}

static void take(struct stage *g, uint64_t number, const char *layer)
{
    const struct told t = report(number, layer);

    told_book_take(g->book, &t, 1, on_done, g);
}

static size_t kept(const struct stage *g)
{
    struct told_book_figures f;

    told_book_figures(g->book, &f);
    return f.kept;
}

/* ---- tests ---- */

/* Symptom: on a slow disk an agent said for a minute that it had nothing to tell. */
static void one_that_is_still_being_written_is_kept_already(void **state)
{
    struct stage *g = *state;

    liar_listen(&g->on.liar);
    liar_stage_run_ms(&g->on, 5000);
    take(g, 1, "os");
    assert_int_equal(g->done, 0);
    assert_int_equal(kept(g), 1);
    liar_stage_run_ms(&g->on, 5000);
    assert_int_equal(g->done, 1);
    assert_int_equal(g->count, 1);
    assert_int_equal(kept(g), 0);
}

static void those_of_a_moment_travel_in_one_body(void **state)
{
    struct stage *g = *state;

    liar_listen(&g->on.liar);
    liar_stage_run_ms(&g->on, 5000);
    for (uint64_t n = 1; n <= 40; n++)
        take(g, n, "base");
    liar_stage_run_ms(&g->on, 5000);
    assert_int_equal(g->done, 40);
    assert_int_equal(g->count, 40);
    assert_int_equal(g->bodies, 1);
    assert_int_equal(kept(g), 0);
}

static void what_a_cut_off_branch_did_is_told_later_and_in_order(void **state)
{
    struct stage *g = *state;

    for (uint64_t n = 1; n <= 150; n++)
        take(g, n, "base");
    liar_stage_run_ms(&g->on, 3600 * 1000);
    assert_int_equal(g->done, 150);
    assert_int_equal(kept(g), 150);
    g->book = told_book_close(g->book); /* the power fails meanwhile */
    open_book(g, 200, false);
    assert_int_equal(kept(g), 150);
    liar_listen(&g->on.liar);
    liar_stage_run_ms(&g->on, 60 * 1000);
    assert_int_equal(g->count, 150);
    assert_int_equal(g->bodies, 3);
    for (size_t i = 0; i < g->count; i++)
        assert_int_equal(g->got[i].number, i + 1);
    g->book = told_book_close(g->book);
    liar_stage_run_ms(&g->on, 1000);
    open_book(g, 200, false);
    assert_int_equal(kept(g), 0); /* not told again after a restart */
}

static void one_whose_answer_is_lost_is_told_again(void **state)
{
    struct stage *g = *state;

    liar_listen(&g->on.liar);
    g->loses_answers = true;
    take(g, 7, "base");
    liar_stage_run_ms(&g->on, 20 * 1000);
    assert_true(g->count >= 1);
    assert_int_equal(kept(g), 1);
    g->loses_answers = false;
    liar_stage_run_ms(&g->on, 1300 * 1000);
    assert_int_equal(kept(g), 0);
    for (size_t i = 0; i < g->count; i++)
        assert_int_equal(g->got[i].number, 7);
}

static void one_that_the_parent_calls_wrong_does_not_hold_up_the_others(void **state)
{
    struct stage *g = *state;
    struct told_book_figures f;

    g->hates = "odd";
    for (uint64_t n = 1; n <= 20; n++)
        take(g, n, n == 9 ? "odd" : "base");
    liar_listen(&g->on.liar);
    liar_stage_run_ms(&g->on, 60 * 1000);
    assert_int_equal(g->count, 19);
    told_book_figures(g->book, &f);
    assert_true(f.dropped == 1 && f.kept == 0 && f.delivered == 19);
}

static void an_older_parent_or_a_full_one_is_asked_rarely(void **state)
{
    struct stage *g = *state;

    g->status = 404;
    liar_listen(&g->on.liar);
    take(g, 1, "base");
    liar_stage_run_ms(&g->on, 3600 * 1000);
    assert_in_range(g->bodies, 5, 15);
    g->status = 0;
    liar_stage_run_ms(&g->on, 1300 * 1000);
    assert_int_equal(g->count, 1);
}

static void who_comes_when_it_is_full_is_told_so(void **state)
{
    struct stage *g = *state;

    for (uint64_t n = 1; n <= 210; n++)
        take(g, n, "base");
    liar_stage_run_ms(&g->on, 1000);
    assert_int_equal(g->done, 200);
    assert_int_equal(g->full, 10);
    assert_int_equal(told_book_count_of(g->book, "till"), 200);
    assert_int_equal(told_book_count_of(g->book, "other"), 0);
}

static void an_endpoint_forgets_its_oldest_and_says_how_many(void **state)
{
    struct stage *g = *state;
    struct told_book_figures f;

    told_book_close(g->book);
    open_book(g, 10, true);
    for (uint64_t n = 1; n <= 25; n++) {
        take(g, n, "base");
        liar_stage_run_ms(&g->on, 100);
    }
    told_book_figures(g->book, &f);
    assert_true(f.kept == 10 && f.dropped == 15 && f.oldest_wall_s == 16);
    assert_int_equal(g->done, 25);
}

static void who_asked_may_go_and_so_may_the_book(void **state)
{
    struct stage *g = *state;
    const struct told t = report(1, "base");

    told_book_cancel(told_book_take(g->book, &t, 1, on_done, g));
    liar_stage_run_ms(&g->on, 100);
    assert_int_equal(g->done, 0);
    assert_int_equal(kept(g), 1);
    told_book_take(g->book, &t, 1, on_done, g);
    g->book = told_book_close(g->book);
    liar_stage_run_ms(&g->on, 100);
    assert_int_equal(g->done, 0);
    open_book(g, 200, false);
    assert_int_equal(kept(g), 2); /* it was written all the same */
}

/* An agent and pulls beside it, on one state. */
static void books_that_are_open_together_leave_each_others_reports_alone(void **state)
{
    struct stage *g = *state;
    const struct told_book_options beside = {.loop = g->on.box,
                                             .catalogue = g->catalogue,
                                             .prefix = "told-pull/",
                                             .by_number = true,
                                             .upstream = g->upstream,
                                             .rest_ns = NS_PER_S};
    struct told_book *first = told_book_open(&beside), *second = told_book_open(&beside);
    const struct told one = report(101, "base"), two = report(102, "base");
    struct told_book_figures f;

    take(g, 1, "base");
    told_book_take(first, &one, 1, on_done, g);
    told_book_take(second, &two, 1, on_done, g);
    liar_stage_run_ms(&g->on, 1000); /* nobody is there to tell it to */
    assert_int_equal(g->done, 3);
    told_book_close(first);
    told_book_close(second);
    g->book = told_book_close(g->book);
    open_book(g, 200, false);
    assert_int_equal(kept(g), 1);
    first = told_book_open(&beside);
    told_book_figures(first, &f);
    assert_int_equal(f.kept, 2);
    liar_listen(&g->on.liar);
    liar_stage_run_ms(&g->on, 60000);
    assert_int_equal(g->count, 3);
    told_book_close(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_is_still_being_written_is_kept_already, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(those_of_a_moment_travel_in_one_body, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_cut_off_branch_did_is_told_later_and_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_whose_answer_is_lost_is_told_again, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_the_parent_calls_wrong_does_not_hold_up_the_others,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_older_parent_or_a_full_one_is_asked_rarely, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_comes_when_it_is_full_is_told_so, setup, teardown),
        cmocka_unit_test_setup_teardown(an_endpoint_forgets_its_oldest_and_says_how_many, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_asked_may_go_and_so_may_the_book, setup, teardown),
        cmocka_unit_test_setup_teardown(
            books_that_are_open_together_leave_each_others_reports_alone, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
