/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_policy_book_over.c – overrides that are over by the hub's clock, copies with a
 * byte flipped, and what a status says of both. */
/* LINKS: sim_world */
#include "support/book_stage.h"

#include "wire/json.h"

/* ---- by the hub's clock ---------------------------------------------------------------------- */

static void take_pause(struct book_stage *s, uint64_t number)
{
    seal(s, POLICY_OVERRIDES, number, PAUSED);
    assert_int_equal(take(s, POLICY_OVERRIDES).code, ALB_OK);
    run_ns(s, NS_PER_S);
}

static void a_pause_that_ended_does_not_stay_where_the_clock_is_a_year_behind(void **state)
{
    struct book_stage *s = *state;

    world_node_set_clock(s->net.box, -400 * DAY_S);
    take_pause(s, 1);
    assert_int_equal(mode(s), POLICY_OFF);
    run_ns(s, 2 * HOUR_NS - 3 * NS_PER_S);
    assert_int_equal(mode(s), POLICY_OFF);
    run_ns(s, 3 * NS_PER_S);
    assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
}

/* How long the machine was off nobody knows: it counts anew. */
static void after_a_restart_a_pause_stays_too_long_rather_than_too_short(void **state)
{
    struct book_stage *s = *state;

    world_node_set_clock(s->net.box, -400 * DAY_S);
    take_pause(s, 1);
    run_ns(s, HOUR_NS);
    close_book(s);
    open_book(s);
    run_ns(s, 2 * HOUR_NS - 5 * NS_PER_S);
    assert_int_equal(mode(s), POLICY_OFF);
    run_ns(s, 6 * NS_PER_S);
    assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
}

static void a_hub_whose_clock_was_ahead_once_is_obeyed_when_it_pauses(void **state)
{
    struct book_stage *s = *state;

    world_node_set_clock(s->net.hub, 400 * DAY_S);
    seal(s, POLICY_OVERRIDES, 1, NOBODY);
    assert_int_equal(take(s, POLICY_OVERRIDES).code, ALB_OK);
    world_node_set_clock(s->net.hub, 0);
    take_pause(s, 2);
    assert_int_equal(mode(s), POLICY_OFF);
    run_ns(s, 2 * HOUR_NS + NS_PER_S);
    assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
}

/* ---- what a status says ---------------------------------------------------------------------- */

static struct json_doc *shown(const struct book_stage *s)
{
    struct json_writer *w = json_writer_new();
    struct json_doc *d = NULL;
    struct buf text;

    buf_init(&text, 64 << 10);
    json_object_begin(w, NULL);
    policy_book_show(s->book, w);
    json_end(w);
    assert_int_equal(json_writer_finish(w, &text).code, ALB_OK);
    assert_int_equal(json_doc_parse(buf_peek(&text), buf_size(&text), &d).code, ALB_OK);
    buf_release(&text);
    return d;
}

static void the_overrides_that_hold_are_shown_and_those_that_ended_are_not(void **state)
{
    struct book_stage *s = *state;

    take_pause(s, 7);
    struct json_doc *d = shown(s);
    assert_int_equal(json_doc_number(d, "policy.overrides"), 7);
    assert_int_equal(json_doc_number(d, "policy.in_force_count"), 1);
    assert_string_equal(json_doc_text(d, "policy.in_force.0.id"), "o1");
    assert_string_equal(json_doc_text(d, "policy.in_force.0.scope"), "global");
    json_doc_free(d);
    run_ns(s, 3 * HOUR_NS);
    d = shown(s);
    assert_int_equal(json_doc_number(d, "policy.in_force_count"), 0);
    json_doc_free(d);
}

/* ---- a byte flipped -------------------------------------------------------------------------- */

static void flip(struct book_stage *s, enum policy_part part, size_t at)
{
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(catalogue_get(s->catalogue, policy_part_name(part), &bytes, NULL).code,
                     ALB_OK);
    AUTO_FREE uint8_t *copy = xalloc(buf_size(&bytes));
    memcpy(copy, buf_peek(&bytes), buf_size(&bytes));
    copy[at % buf_size(&bytes)] ^= 0x10;
    assert_int_equal(catalogue_swap(s->catalogue, policy_part_name(part), CATALOGUE_ANY, copy,
                                    buf_size(&bytes), NULL)
                         .code,
                     ALB_OK);
    buf_release(&bytes);
}

static void a_copy_with_any_byte_flipped_is_left_out_and_a_status_says_so(void **state)
{
    struct book_stage *s = *state;
    size_t size = 0;

    seal(s, POLICY_RULES, 3, CAPPED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    (void)policy_book_bytes(s->book, POLICY_RULES, &size);
    for (size_t at = 0; at < size; at += 7) {
        close_book(s);
        flip(s, POLICY_RULES, at);
        open_book(s);
        assert_int_equal(policy_book_number(s->book, POLICY_RULES), 0);
        struct json_doc *d = shown(s);
        assert_int_equal(json_doc_count(d, "policy.damaged"), 1);
        assert_string_equal(json_doc_text(d, "policy.damaged.0"), "policy");
        json_doc_free(d);
        flip(s, POLICY_RULES, at); /* whole again */
    }
    run_ns(s, NS_PER_S);
    assert_int_equal(mode(s), POLICY_MODE_SCAVENGE);
}

static void a_damaged_copy_is_asked_for_anew_and_kept_again(void **state)
{
    struct book_stage *s = *state;

    seal(s, POLICY_RULES, 3, CAPPED);
    assert_int_equal(take(s, POLICY_RULES).code, ALB_OK);
    run_ns(s, NS_PER_S);
    close_book(s);
    flip(s, POLICY_RULES, 40);
    open_book(s);
    connect_box(s);
    assert_string_equal(s->after[POLICY_RULES], "after=0&from=0&size=8192");
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 3);
    assert_int_equal(mode(s), POLICY_CAPPED);
    struct json_doc *d = shown(s);
    assert_int_equal(json_doc_count(d, "policy.damaged"), 0);
    json_doc_free(d);
    close_book(s);
    open_book(s);
    assert_int_equal(policy_book_number(s->book, POLICY_RULES), 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(a_pause_that_ended_does_not_stay_where_the_clock_is_a_year_behind),
        TEST(after_a_restart_a_pause_stays_too_long_rather_than_too_short),
        TEST(a_hub_whose_clock_was_ahead_once_is_obeyed_when_it_pauses),
        TEST(the_overrides_that_hold_are_shown_and_those_that_ended_are_not),
        TEST(a_copy_with_any_byte_flipped_is_left_out_and_a_status_says_so),
        TEST(a_damaged_copy_is_asked_for_anew_and_kept_again),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
