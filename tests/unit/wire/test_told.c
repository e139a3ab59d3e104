/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_told.c – reports of pulls: read as written, refused by name, counted once. */
#include "support/wire_fixture.h"

#include "wire/told.h"

static const struct told SAMPLE = {.device = "till-7",
                                   .epoch = "00112233445566ff",
                                   .number = 1,
                                   .layer = "base/os",
                                   .version = "2026.1",
                                   .outcome = TOLD_APPLIED,
                                   .bytes = 1234567,
                                   .duration_ms = 4321,
                                   .ended_wall_s = 1767225600};

static struct told numbered(uint64_t number)
{
    struct told t = SAMPLE;

    t.number = number;
    return t;
}

static struct alb_status decode(const char *text, struct told *list, size_t *count)
{
    return told_decode(text, strlen(text), list, count);
}

static void reports_read_as_they_were_written(void **state)
{
    struct told in[2] = {SAMPLE, SAMPLE}, out[TOLD_MOST];
    size_t count = 0;
    struct buf text;

    (void)state;
    in[1].outcome = TOLD_FAILED;
    in[1].version[0] = '\0';
    told_set_why(&in[1], "the disk is\nfull");
    buf_init(&text, TOLD_BODY_MAX);
    assert_ok(told_encode(in, 2, &text));
    assert_ok(told_decode(buf_peek(&text), buf_size(&text), out, &count));
    assert_int_equal(count, 2);
    assert_string_equal(out[0].device, "till-7");
    assert_string_equal(out[0].version, "2026.1");
    assert_true(out[0].bytes == 1234567 && out[0].duration_ms == 4321);
    assert_true(out[0].ended_wall_s == 1767225600 && out[0].number == 1);
    assert_int_equal(out[1].outcome, TOLD_FAILED);
    assert_string_equal(out[1].why, "the disk is full");
    buf_release(&text);
}

/* Quotes double, and nothing may be longer than a body. */
static void sixty_four_of_the_longest_fit_in_a_body(void **state)
{
    struct told *list = xcalloc(TOLD_MOST, sizeof *list), *back = xcalloc(TOLD_MOST, sizeof *back);
    size_t count = 0;
    struct buf text;

    (void)state;
    for (size_t i = 0; i < TOLD_MOST; i++) {
        list[i] = SAMPLE;
        memset(list[i].device, 'd', sizeof list[i].device);
        list[i].device[60] = '\0';
        memset(list[i].layer, 'l', 60);
        memset(list[i].version, 'v', 60);
        memset(list[i].why, '"', TOLD_WHY_SIZE - 1);
        list[i].outcome = TOLD_FAILED;
        list[i].number = list[i].bytes = list[i].duration_ms = INT64_MAX;
    }
    buf_init(&text, TOLD_BODY_MAX);
    assert_ok(told_encode(list, TOLD_MOST, &text));
    assert_ok(told_decode(buf_peek(&text), buf_size(&text), back, &count));
    assert_int_equal(count, TOLD_MOST);
    assert_string_equal(back[63].why, list[63].why);
    buf_release(&text);
    free(list);
    free(back);
}

static void what_is_no_report_is_refused_by_name(void **state)
{
    static const char whole[] = "{\"told\":[{\"device\":\"d\",\"epoch\":\"00112233445566ff\","
                                "\"number\":1,\"layer\":\"l\",\"version\":\"1\","
                                "\"outcome\":\"applied\"}]}";
    static const struct {
        const char *what, *with, *says;
    } rows[] = {
        {"\"told\"", "\"tald\"", "told: reports are missing"},
        {"\"d\"", "\"\"", "an id is empty"},
        {"00112233445566ff", "00112233445566fg",
         "a report needs an epoch of 16 hex digits and a number"},
        {"\"number\":1", "\"number\":0", "a report needs an epoch of 16 hex digits and a number"},
        {"\"applied\"", "\"applaud\"", "a report's outcome is applied or failed"},
        {"\"version\":\"1\"", "\"version\":\"\"", "a report of what was applied needs its version"},
        {"\"outcome\":\"applied\"", "\"outcome\":\"applied, or so it seemed\"",
         "a report with a name that is too long"},
    };
    struct told list[TOLD_MOST];
    size_t count = 0;
    char text[512];

    (void)state;
    assert_ok(decode(whole, list, &count));
    for (size_t i = 0; i < ALB_COUNT(rows); i++) {
        const char *at = strstr(whole, rows[i].what);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, rows[i].with,
                 at + strlen(rows[i].what));
        struct alb_status st = decode(text, list, &count);
        assert_int_equal(st.code, ALB_INVALID);
        if (i != 1)
            assert_string_equal(st.what, rows[i].says);
    }
    assert_int_equal(decode("nothing", list, &count).code, ALB_INVALID);
}

static void words_are_cut_at_a_whole_character(void **state)
{
    struct told t = SAMPLE;
    char words[TOLD_WHY_SIZE + 8];

    (void)state;
    memset(words, 'a', sizeof words);
    memcpy(words + TOLD_WHY_SIZE - 2, "\xe2\x80\x93", 4); /* a dash of three bytes, one fits */
    told_set_why(&t, words);
    assert_int_equal(strlen(t.why), TOLD_WHY_SIZE - 2);
}

static void one_that_comes_twice_is_counted_once(void **state)
{
    struct told_seen seen = {.applied = 0};
    struct told t = numbered(1), late = numbered(3);

    (void)state;
    assert_true(told_count(&seen, &t));
    assert_false(told_count(&seen, &t));
    t = numbered(70);
    assert_true(told_count(&seen, &t));
    assert_true(told_count(&seen, &(struct told){.epoch = "00112233445566ff", .number = 6}));
    assert_false(told_count(&seen, &(struct told){.epoch = "00112233445566ff", .number = 6}));
    assert_false(told_count(&seen, &late)); /* 67 behind: nobody knows any more */
    assert_false(told_count(&seen, &t));
    assert_int_equal(seen.applied, 3);
}

/* Every order in which numbers may come, by a naive twin. */
static void any_order_counts_each_number_once(void **state)
{
    struct told_seen seen = {.applied = 0};
    bool counted[200] = {false};
    uint64_t highest = 0, dice = 1;

    (void)state;
    for (int i = 0; i < 5000; i++) {
        dice = dice * 6364136223846793005U + 1442695040888963407U;
        const uint64_t n = 1 + (dice >> 33) % (ALB_COUNT(counted) - 1);
        const struct told t = numbered(n);
        const bool wanted = !counted[n] && n + 64 >= highest;
        assert_int_equal(told_count(&seen, &t), wanted);
        counted[n] = counted[n] || wanted;
        highest = n > highest ? n : highest;
    }
}

static void a_new_state_of_the_device_counts_from_one_again(void **state)
{
    struct told_seen seen = {.applied = 0};
    struct told t = numbered(1);

    (void)state;
    for (unsigned i = 0; i < TOLD_EPOCHS + 1; i++) {
        snprintf(t.epoch, sizeof t.epoch, "%016x", i);
        assert_true(told_count(&seen, &t));
        assert_false(told_count(&seen, &t));
    }
    assert_int_equal(seen.epoch_count, TOLD_EPOCHS);
}

static void what_is_kept_reads_as_it_was_written(void **state)
{
    struct told_seen seen = {.applied = 0}, back;
    struct buf text;

    (void)state;
    for (uint64_t n = 1; n < 200; n += 3) {
        const struct told t = numbered(n);
        assert_true(told_count(&seen, &t));
    }
    buf_init(&text, TOLD_BODY_MAX);
    assert_ok(told_seen_encode(&seen, &text));
    assert_ok(told_seen_decode(buf_peek(&text), buf_size(&text), &back));
    assert_int_equal(back.epoch_count, 1);
    assert_string_equal(back.epochs[0].name, seen.epochs[0].name);
    assert_true(back.epochs[0].highest == seen.epochs[0].highest);
    assert_true(back.epochs[0].before == seen.epochs[0].before && back.epochs[0].before != 0);
    assert_true(back.applied == seen.applied && back.last.number == seen.last.number);
    assert_says(told_seen_decode("{}", 2, &back), ALB_CORRUPT,
                "what is kept of a device's reports is damaged");
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_read_as_they_were_written),
        cmocka_unit_test(sixty_four_of_the_longest_fit_in_a_body),
        cmocka_unit_test(what_is_no_report_is_refused_by_name),
        cmocka_unit_test(words_are_cut_at_a_whole_character),
        cmocka_unit_test(one_that_comes_twice_is_counted_once),
        cmocka_unit_test(any_order_counts_each_number_once),
        cmocka_unit_test(a_new_state_of_the_device_counts_from_one_again),
        cmocka_unit_test(what_is_kept_reads_as_it_was_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
