/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_policy_parts.c – a large policy over a thin line: in parts, beside others. */
/* LINKS: sim_world */
#include "sim/world_impl.h"
#include "support/book_stage.h"

enum { RULES = 1500, THIN_BYTES_PER_S = 1500 /* 12 kbit/s */ };

static void seal_many(struct book_stage *s, uint64_t number, const char *mode_word)
{
    struct buf text;

    buf_init(&text, POLICY_TEXT_MAX);
    assert_int_equal(buf_printf(&text, "{\"format\":1,\"zone\":\"UTC\",\"rules\":[").code, ALB_OK);
    for (unsigned i = 0; i < RULES; i++)
        assert_int_equal(
            buf_printf(&text, "{\"scope\":\"site:site-%u\",\"mode\":\"off\"},", i).code, ALB_OK);
    assert_int_equal(buf_printf(&text, "{\"scope\":\"global\",\"mode\":\"%s\"}]}", mode_word).code,
                     ALB_OK);
    seal(s, POLICY_RULES, number, buf_text(&text));
    buf_release(&text);
}

static void make_thin(struct book_stage *s)
{
    s->net.wan->rate_bps = THIN_BYTES_PER_S;
}

/* It was one answer that had a minute, and everything else on the line had to wait for it. */
static void a_large_policy_comes_over_a_thin_line_and_leaves_half_of_it_to_others(void **state)
{
    struct book_stage *s = *state;

    seal_many(s, 3, "full");
    const size_t size = buf_size(&s->answers[POLICY_RULES]);
    make_thin(s);
    connect_box(s);
    run_ns(s, size * NS_PER_S / THIN_BYTES_PER_S);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 0);
    assert_in_range(s->said_bytes, size * 40 / 100, size * 65 / 100);
    run_ns(s, size * 3 / 2 * NS_PER_S / THIN_BYTES_PER_S);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 3);
    assert_int_equal(mode(s), POLICY_FULL);
}

static void over_a_fast_line_a_large_policy_takes_a_second(void **state)
{
    struct book_stage *s = *state;

    seal_many(s, 3, "full");
    connect_box(s);
    run_ns(s, NS_PER_S);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 3);
    assert_in_range(s->asked[POLICY_RULES], 2, 8);
}

static void a_parent_that_knows_no_parts_is_understood(void **state)
{
    struct book_stage *s = *state;

    s->knows_no_parts = true;
    seal_many(s, 3, "full");
    connect_box(s);
    run_ns(s, NS_PER_S);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 3);
    assert_int_equal(s->asked[POLICY_RULES], 1);
}

/* With spaces behind it, so that it is as large as the first part asked for. */
static void seal_as_large_as_a_part(struct book_stage *s, uint64_t number)
{
    enum { PART = 8 << 10 };
    size_t spaces = PART / 2;
    struct buf text;

    buf_init(&text, POLICY_TEXT_MAX);
    for (unsigned i = 0; i < 4 && buf_size(&s->answers[POLICY_RULES]) != PART; i++) {
        spaces = i == 0 ? spaces : spaces + PART - buf_size(&s->answers[POLICY_RULES]);
        buf_clear(&text);
        assert_int_equal(buf_printf(&text, "%s%*s", CAPPED, (int)spaces, "").code, ALB_OK);
        seal(s, POLICY_RULES, number, buf_text(&text));
    }
    buf_release(&text);
    assert_int_equal(buf_size(&s->answers[POLICY_RULES]), PART);
}

/* It was taken for the first part of many, again and again. */
static void a_parent_that_knows_no_parts_may_have_just_as_much_as_one(void **state)
{
    struct book_stage *s = *state;

    s->knows_no_parts = true;
    seal_as_large_as_a_part(s, 3);
    connect_box(s);
    run_ns(s, NS_PER_S);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 3);
    assert_int_equal(s->asked[POLICY_RULES], 2);
}

static void a_line_that_was_lost_goes_on_where_it_was(void **state)
{
    struct book_stage *s = *state;

    seal_many(s, 3, "full");
    const size_t size = buf_size(&s->answers[POLICY_RULES]);
    make_thin(s);
    connect_box(s);
    run_ns(s, 40 * NS_PER_S);
    liar_hang_up(&s->net.liar);
    for (int i = 0; i < 100 && policy_book_number(s->book, POLICY_RULES) == 0; i++)
        run_ns(s, NS_PER_S);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 3);
    assert_true(s->said_bytes <= size + (16 << 10));
}

static void a_policy_that_changed_meanwhile_is_asked_for_anew(void **state)
{
    struct book_stage *s = *state;

    seal_many(s, 3, "full");
    make_thin(s);
    connect_box(s);
    run_ns(s, 20 * NS_PER_S);
    seal_many(s, 4, "scavenge");
    run_ns(s, 400 * NS_PER_S);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 4);
    assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_policy_comes_over_a_thin_line_and_leaves_half_of_it_to_others),
        TEST(over_a_fast_line_a_large_policy_takes_a_second),
        TEST(a_parent_that_knows_no_parts_is_understood),
        TEST(a_parent_that_knows_no_parts_may_have_just_as_much_as_one),
        TEST(a_line_that_was_lost_goes_on_where_it_was),
        TEST(a_policy_that_changed_meanwhile_is_asked_for_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
