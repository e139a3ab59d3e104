/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_policy_book.c – a child's policy: what it takes, from whom, and who is told
 * what holds when. */
/* LINKS: sim_world */
#include "support/book_stage.h"

#include "wire/token.h"

/* ---- taking ---------------------------------------------------------------------------------- */

static void without_a_policy_everything_scavenges(void **state)
{
    struct book_stage *s = *state;

    assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
    assert_int_equal(s->watch.terms.source, POLICY_BY_DEFAULT);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 0);
}

static void a_newer_policy_is_in_force_and_told_of_from_the_loop(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_RULES, 1, CAPPED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    assert_int_equal(policy_book_terms(s->book, &s->watch.place).action.mode, POLICY_CAPPED);
    assert_int_equal(s->changed, 0); /* never from inside */
    run_ns(s, NS_PER_MS);
    assert_int_equal(s->changed, 1);
    assert_int_equal(mode(s), POLICY_CAPPED);
    assert_int_equal(s->watch.terms.action.rate_bps, 1000000);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK); /* once more is nothing new */
    run_ns(s, HOUR_NS);
    assert_int_equal(s->changed, 1);
    assert_int_equal(s->taken, 1);
}

static void an_older_policy_is_refused(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_RULES, 7, CAPPED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    seal(s, POLICY_RULES, 6, OFFICE);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_REFUSED);
    seal(s, POLICY_RULES, 7, OFFICE);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_REFUSED); /* another of that number */
    run_ns(s, NS_PER_S);
    assert_int_equal(mode(s), POLICY_CAPPED);
    assert_int_equal(s->taken, 1);
}

static void a_policy_that_somebody_altered_or_signed_is_refused(void **state)
{
    struct book_stage *s = *state;
    struct buf *b = &s->answers[POLICY_RULES];

    seal_by(s, POLICY_RULES, 9, OFFICE, &s->stranger);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_CORRUPT);
    seal(s, POLICY_RULES, 9, CAPPED);
    for (size_t i = 0; i < buf_size(b); i++) {
        b->bytes[b->head + i] ^= 0x20;
        assert_true(alb_failed(take(s, POLICY_RULES)));
        b->bytes[b->head + i] ^= 0x20;
    }
    assert_int_equal(s->taken, 0);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 0);
    seal(s, POLICY_RULES, 9, "{\"format\":2}"); /* signed, but nothing this program can read */
    assert_int_equal(take(s, POLICY_RULES).code, ALB_INVALID);
    assert_int_equal(take(s, POLICY_OVERRIDES).code, ALB_CORRUPT);
}

static void overrides_have_numbers_of_their_own_and_go_before_the_rules(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_RULES, 5, CAPPED);
    seal(s, POLICY_OVERRIDES, 1, PAUSED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    assert_int_equal(take(s, POLICY_OVERRIDES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    assert_int_equal(s->watch.terms.source, POLICY_BY_OVERRIDE);
    assert_int_equal(mode(s), POLICY_OFF);
    seal(s, POLICY_RULES, 6, OFFICE); /* the overrides stay when the rules change */
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    assert_int_equal(s->watch.terms.source, POLICY_BY_OVERRIDE);
    run_ns(s, 2 * HOUR_NS - 2 * NS_PER_S - 2 * NS_PER_MS);
    assert_int_equal(s->watch.terms.source, POLICY_BY_OVERRIDE);
    run_ns(s, 200 * NS_PER_MS); /* it ends by itself */
    assert_int_equal(s->watch.terms.source, POLICY_BY_DEFAULT);
    seal(s, POLICY_OVERRIDES, 2, NOBODY);
    assert_int_equal(take(s, POLICY_OVERRIDES).code, ALB_OK);
}

static void what_was_taken_is_there_after_a_restart(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_RULES, 3, CAPPED);
    seal(s, POLICY_OVERRIDES, 4, PAUSED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    assert_int_equal(take(s, POLICY_OVERRIDES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    close_book(s);
    run_ns(s, NS_PER_S);
    open_book(s);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 3);
    assert_int_equal(policy_book_number(s->book, POLICY_OVERRIDES), 4);
    assert_int_equal(mode(s), POLICY_OFF);
    assert_int_equal(s->taken, 2); /* what is kept is no news */
}

static void a_damaged_copy_is_left_out_at_start(void **state)
{
    struct book_stage *s = *state;

    close_book(s);
    assert_int_equal(catalogue_swap(s->catalogue, "policy", CATALOGUE_ANY, "garbage", 7, NULL).code,
                     ALB_OK);
    open_book(s);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 0);
    assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
}

static void a_pause_is_in_force_even_where_the_disk_has_no_room_to_keep_it(void **state)
{
    struct book_stage *s = *state;
    struct catalogue *full = ram_catalogue_new(&(struct ram_options){.quota_bytes = 1});
    struct catalogue *own = s->catalogue;

    close_book(s);
    s->catalogue = full;
    open_book(s);
    seal(s, POLICY_OVERRIDES, 1, PAUSED);
    assert_int_equal(take(s, POLICY_OVERRIDES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    assert_int_equal(mode(s), POLICY_OFF);
    close_book(s);
    open_book(s);
    assert_int_equal(policy_book_number(s->book, POLICY_OVERRIDES), 0); /* asked for again */
    close_book(s);
    s->catalogue = own;
    open_book(s);
    run_ns(s, NS_PER_S);
    catalogue_close(full);
}

static void what_a_former_hub_key_signed_holds_until_the_new_key_says_otherwise(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_RULES, UINT64_C(1) << 60, CAPPED); /* a thief's last word */
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    make_trust(s, 1 + s->trust.version, &s->next_key);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 0);
    close_book(s);
    open_book(s);
    assert_int_equal(mode(s), POLICY_CAPPED);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 0);
    seal(s, POLICY_RULES, 100, OFFICE); /* the old key may say nothing any more */
    assert_int_equal(take(s, POLICY_RULES).code, ALB_CORRUPT);
    seal_by(s, POLICY_RULES, 2, OFFICE, &s->next_key);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 2);
}

/* ---- the clock ------------------------------------------------------------------------------- */

static void a_window_begins_and_ends_within_a_second_of_its_time(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_RULES, 1, OFFICE);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    for (uint64_t day = 0; day < 3; day++) {
        world_run(s->net.world, day * 24 * HOUR_NS + 8 * HOUR_NS - NS_PER_MS);
        assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
        run_ns(s, 200 * NS_PER_MS);
        assert_int_equal(mode(s), POLICY_OFF);
        world_run(s->net.world, day * 24 * HOUR_NS + 18 * HOUR_NS - NS_PER_MS);
        assert_int_equal(mode(s), POLICY_OFF);
        run_ns(s, 200 * NS_PER_MS);
        assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
        assert_int_equal(s->changed, 2 * (day + 1));
    }
}

static void a_clock_that_is_set_is_noticed_at_once(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_RULES, 1, OFFICE);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    world_node_set_clock(s->net.box, 9 * 3600);
    run_ns(s, NS_PER_MS);
    assert_int_equal(mode(s), POLICY_OFF);
    world_node_set_clock(s->net.box, 20 * 3600); /* past the end, too */
    run_ns(s, NS_PER_MS);
    assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
    world_node_set_clock(s->net.box, 12 * 3600); /* back into it */
    run_ns(s, NS_PER_MS);
    assert_int_equal(mode(s), POLICY_OFF);
}

static void a_clock_that_forgot_means_the_strictest_of_all(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_RULES, 1, OFFICE);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
    world_node_set_clock(s->net.box, -400 * DAY_S);
    run_ns(s, NS_PER_MS);
    assert_int_equal(mode(s), POLICY_OFF);
    assert_int_equal(s->watch.terms.source, POLICY_BY_STRICTEST);
    assert_true(policy_book_now_s(s->book) == POLICY_NO_CLOCK);
    world_node_set_clock(s->net.box, 0);
    run_ns(s, NS_PER_MS);
    assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
}

static void a_clock_a_little_behind_the_hub_s_is_good_enough(void **state)
{
    struct book_stage *s = *state;

    world_node_set_clock(s->net.box, -120);
    seal(s, POLICY_RULES, 1, OFFICE); /* issued now, by the hub's clock */
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_MS);
    assert_int_equal(s->watch.terms.source, POLICY_BY_DEFAULT);
    assert_int_equal(policy_book_now_s(s->book), loop_wall_s(s->net.hub));
}

/* ---- from the parent ------------------------------------------------------------------------- */

static void both_are_asked_for_when_the_line_comes_up(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_RULES, 5, CAPPED);
    connect_box(s);
    assert_int_equal(s->asked[POLICY_RULES], 1);
    assert_int_equal(s->asked[POLICY_OVERRIDES], 1);
    assert_string_equal(s->after[POLICY_RULES], "after=0&from=0&size=8192");
    assert_int_equal(mode(s), POLICY_CAPPED);
    liar_hang_up(&s->net.liar);
    run_ns(s, 5 * NS_PER_S);
    assert_string_equal(s->after[POLICY_RULES], "after=5&from=0&size=8192");
}

static void a_parent_that_lies_changes_nothing(void **state)
{
    struct book_stage *s = *state;
    struct buf *b = &s->answers[POLICY_RULES];

    seal(s, POLICY_RULES, 5, CAPPED);
    connect_box(s);
    seal(s, POLICY_RULES, 4, OFFICE); /* an old one */
    policy_book_refresh(s->book);
    run_ns(s, NS_PER_S);
    seal(s, POLICY_RULES, 6, OFFICE);
    b->bytes[b->tail / 2] ^= 1; /* an altered one */
    policy_book_refresh(s->book);
    run_ns(s, NS_PER_S);
    assert_int_equal(s->asked[POLICY_RULES], 3);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 5);
    assert_int_equal(mode(s), POLICY_CAPPED);
    assert_int_equal(s->taken, 1);
}

static void an_event_with_the_document_needs_no_question(void **state)
{
    struct book_stage *s = *state;
    char line[FEED_LINE_MAX] = "override ";

    connect_box(s);
    seal(s, POLICY_OVERRIDES, 1, PAUSED);
    base64url_encode(buf_peek(&s->answers[POLICY_OVERRIDES]),
                     buf_size(&s->answers[POLICY_OVERRIDES]), line + strlen(line));
    assert_true(policy_book_hear(s->book, line));
    run_ns(s, NS_PER_MS);
    assert_int_equal(mode(s), POLICY_OFF);
    assert_int_equal(s->asked[POLICY_OVERRIDES], 1);
    assert_true(policy_book_hear(s->book, "policy"));
    assert_true(policy_book_hear(s->book, "policy !!!"));
    assert_true(policy_book_hear(s->book, "override AAAA"));
    assert_false(policy_book_hear(s->book, "policyx"));
    assert_false(policy_book_hear(s->book, "head base/os"));
    run_ns(s, NS_PER_S);
    assert_int_equal(s->asked[POLICY_RULES], 3); /* told during a question: once more after it */
    assert_int_equal(s->asked[POLICY_OVERRIDES], 2);
}

/* ---- those who are told ---------------------------------------------------------------------- */

struct closing_watch {
    struct policy_watch watch; /* first */
    struct book_stage *stage;
};

static void close_from_within(struct policy_watch *w)
{
    struct book_stage *s = ((struct closing_watch *)w)->stage;

    policy_book_unwatch(s->book, w);
    policy_book_unwatch(s->book, &s->watch);
    s->book = policy_book_close(s->book);
}

static void a_watch_may_close_the_book_while_it_is_told(void **state)
{
    struct book_stage *s = *state;
    struct closing_watch c = {.watch = {.place = s->watch.place, .changed = close_from_within},
                              .stage = s};

    policy_book_watch(s->book, &c.watch);
    seal(s, POLICY_RULES, 1, CAPPED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    assert_null(s->book);
    open_book(s);
    assert_int_equal(mode(s), POLICY_CAPPED);
}

enum { WATCHES = 500 };

struct crowd_watch {
    struct policy_watch watch; /* first */
    unsigned told;
};

static void crowd_told(struct policy_watch *w)
{
    ((struct crowd_watch *)w)->told++;
}

static bool is_second(void *arg)
{
    return (*(unsigned *)arg)++ > 0;
}

static void run_a_turn(struct book_stage *s)
{
    unsigned asked = 0;

    (void)world_run_until(s->net.world, world_now_ns(s->net.world) + NS_PER_S, is_second, &asked);
}

static size_t told_once(const struct crowd_watch *crowd)
{
    size_t count = 0;

    for (size_t i = 0; i < WATCHES; i++) {
        assert_true(crowd[i].told <= 1);
        count += crowd[i].told;
    }
    return count;
}

/* A turn that told ten thousand sites stood still for seconds. */
static void a_change_is_told_to_many_in_turns_that_are_short(void **state)
{
    struct book_stage *s = *state;
    struct crowd_watch *crowd = xcalloc(WATCHES, sizeof *crowd);
    size_t before = 0, turns = 0;

    for (size_t i = 0; i < WATCHES; i++) {
        crowd[i].watch = (struct policy_watch){.place = s->watch.place, .changed = crowd_told};
        policy_book_watch(s->book, &crowd[i].watch);
    }
    seal(s, POLICY_RULES, 1, CAPPED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    for (; before < WATCHES && turns < WATCHES; turns++) {
        run_a_turn(s);
        assert_true(told_once(crowd) - before <= 64);
        before = told_once(crowd);
    }
    assert_int_equal(before, WATCHES);
    for (size_t i = 0; i < WATCHES; i++)
        policy_book_unwatch(s->book, &crowd[i].watch);
    free(crowd);
}

/* The second came while the first was still being told: nobody hears of the first any more who had
 * not heard of it, nobody is left with it, and nobody who leaves meanwhile is missed. */
static void changes_that_come_while_one_is_told_are_told_as_one(void **state)
{
    struct book_stage *s = *state;
    struct crowd_watch *crowd = xcalloc(WATCHES, sizeof *crowd);

    for (size_t i = 0; i < WATCHES; i++) {
        crowd[i].watch = (struct policy_watch){.place = s->watch.place, .changed = crowd_told};
        policy_book_watch(s->book, &crowd[i].watch);
    }
    seal(s, POLICY_RULES, 1, CAPPED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    for (int i = 0; i < 3; i++)
        run_a_turn(s);
    seal(s, POLICY_OVERRIDES, 2, PAUSED);
    assert_int_equal(take(s, POLICY_OVERRIDES).code, ALB_OK);
    policy_book_unwatch(s->book, &crowd[0].watch);
    policy_book_unwatch(s->book, &crowd[WATCHES - 1].watch);
    run_ns(s, NS_PER_S);
    unsigned told = 0;
    for (size_t i = 1; i + 1 < WATCHES; i++) {
        assert_int_equal(crowd[i].watch.terms.action.mode, POLICY_OFF);
        told += crowd[i].told;
    }
    assert_true(told >= WATCHES - 2 && told < WATCHES + 200);
    for (size_t i = 1; i + 1 < WATCHES; i++)
        policy_book_unwatch(s->book, &crowd[i].watch);
    free(crowd);
}

static void who_asked_for_it_hears_of_documents_that_change_nothing_for_it(void **state)
{
    struct book_stage *s = *state;
    struct crowd_watch w = {
        .watch = {.place = s->watch.place, .changed = crowd_told, .hears_all = true}};

    policy_book_watch(s->book, &w.watch);
    seal(s, POLICY_RULES, 1, CAPPED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    seal(s, POLICY_RULES, 2, CAPPED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, 200 * NS_PER_S);
    assert_int_equal(w.told, 2);
    assert_int_equal(s->changed, 1);
    policy_book_unwatch(s->book, &w.watch);
}

/* ---- many rules ------------------------------------------------------------------------------ */

static void seal_many(struct book_stage *s, uint64_t number, const char *mode_word)
{
    struct buf text;

    buf_init(&text, POLICY_TEXT_MAX);
    assert_int_equal(buf_printf(&text, "{\"format\":1,\"zone\":\"UTC\",\"rules\":[").code, ALB_OK);
    for (unsigned i = 0; i < 1500; i++)
        assert_int_equal(buf_printf(&text,
                                    "%s{\"name\":\"rule-%u\",\"scope\":\"site:site-%u\","
                                    "\"mode\":\"off\"}",
                                    i == 0 ? "" : ",", i, i)
                             .code,
                         ALB_OK);
    assert_int_equal(
        buf_printf(&text, ",{\"name\":\"last\",\"scope\":\"global\",\"mode\":\"%s\"}]}", mode_word)
            .code,
        ALB_OK);
    seal(s, POLICY_RULES, number, buf_text(&text));
    buf_release(&text);
}

static void many_rules_are_read_on_a_worker_and_then_in_force(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_OVERRIDES, 1, NOBODY);
    assert_int_equal(take(s, POLICY_OVERRIDES).code, ALB_OK);
    seal_many(s, 2, "full");
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK); /* as event and answer may */
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 0);
    run_ns(s, NS_PER_S);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 2);
    assert_int_equal(mode(s), POLICY_FULL);
    assert_int_equal(s->taken, 2);
    close_book(s);
    open_book(s); /* and from the catalogue */
    assert_int_equal(mode(s), POLICY_FULL);
}

static void what_came_while_rules_were_read_is_not_undone_by_them(void **state)
{
    struct book_stage *s = *state;

    seal_many(s, 2, "full");
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    seal(s, POLICY_OVERRIDES, 1, PAUSED);
    assert_int_equal(take(s, POLICY_OVERRIDES).code, ALB_OK);
    seal(s, POLICY_RULES, 3, CAPPED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 3);
    assert_int_equal(s->watch.terms.source, POLICY_BY_OVERRIDE);
}

static void many_rules_that_are_wrong_change_nothing(void **state)
{
    struct book_stage *s = *state;

    seal_many(s, 2, "fast");
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 0);
    seal_many(s, 3, "full");
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    close_book(s); /* nobody waits for it any more */
    run_ns(s, NS_PER_S);
    open_book(s);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_policy_everything_scavenges),
        TEST(a_newer_policy_is_in_force_and_told_of_from_the_loop),
        TEST(an_older_policy_is_refused),
        TEST(a_policy_that_somebody_altered_or_signed_is_refused),
        TEST(overrides_have_numbers_of_their_own_and_go_before_the_rules),
        TEST(what_was_taken_is_there_after_a_restart),
        TEST(a_damaged_copy_is_left_out_at_start),
        TEST(a_pause_is_in_force_even_where_the_disk_has_no_room_to_keep_it),
        TEST(what_a_former_hub_key_signed_holds_until_the_new_key_says_otherwise),
        TEST(a_window_begins_and_ends_within_a_second_of_its_time),
        TEST(a_clock_that_is_set_is_noticed_at_once),
        TEST(a_clock_that_forgot_means_the_strictest_of_all),
        TEST(a_clock_a_little_behind_the_hub_s_is_good_enough),
        TEST(both_are_asked_for_when_the_line_comes_up),
        TEST(a_parent_that_lies_changes_nothing),
        TEST(an_event_with_the_document_needs_no_question),
        TEST(a_watch_may_close_the_book_while_it_is_told),
        TEST(a_change_is_told_to_many_in_turns_that_are_short),
        TEST(changes_that_come_while_one_is_told_are_told_as_one),
        TEST(who_asked_for_it_hears_of_documents_that_change_nothing_for_it),
        TEST(many_rules_are_read_on_a_worker_and_then_in_force),
        TEST(what_came_while_rules_were_read_is_not_undone_by_them),
        TEST(many_rules_that_are_wrong_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
