/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/test_log.c – one event, one line, whatever the values hold. */
#include "base/log.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct heard {
    unsigned lines;
    enum log_level level;
    char last[LOG_LINE_SIZE + 1];
};

static void hear(void *arg, enum log_level level, const char *line)
{
    struct heard *heard = arg;

    heard->lines++;
    heard->level = level;
    memcpy(heard->last, line, strlen(line) + 1);
}

static int listen_anew(void **state)
{
    static struct heard heard;

    heard = (struct heard){0};
    *state = &heard;
    log_install(hear, &heard, LOG_INFO);
    return 0;
}

static int fall_silent(void **state)
{
    (void)state;
    log_install(NULL, NULL, LOG_INFO);
    return 0;
}

static void an_event_is_a_line_of_pairs(void **state)
{
    struct heard *heard = *state;

    log_event(LOG_WARN, "upstream.lost", "host=%s retry_ms=%u", "hub", 250u);
    assert_string_equal(heard->last, "event=upstream.lost host=hub retry_ms=250");
    assert_int_equal(heard->level, LOG_WARN);
    log_event(LOG_INFO, "started", "%s", "");
    assert_memory_equal(heard->last, "event=started", 13);
}

static void events_below_the_level_cost_nothing(void **state)
{
    struct heard *heard = *state;

    log_event(LOG_DEBUG, "state", "to=%d", 1);
    assert_int_equal(heard->lines, 0);
    assert_false(log_wants(LOG_DEBUG));
    assert_true(log_wants(LOG_INFO));
}

static void without_a_sink_nothing_happens(void **state)
{
    (void)state;
    log_install(NULL, NULL, LOG_DEBUG);
    assert_false(log_wants(LOG_ERROR));
    log_event(LOG_ERROR, "lost", "x=%d", 1);
    log_status(LOG_ERROR, "lost", alb_fail(ALB_BUG, "x"), "x=%d", 1);
}

static void a_value_cannot_begin_a_second_line(void **state)
{
    struct heard *heard = *state;

    log_event(LOG_INFO, "bad", "why=%s", "a\nevent=forged\x1b[31m");
    assert_null(strchr(heard->last, '\n'));
    assert_null(strchr(heard->last, 0x1b));
    assert_string_equal(heard->last, "event=bad why=a?event=forged?[31m");
}

static void a_text_is_quoted_only_when_it_needs_to_be(void **state)
{
    char out[LOG_TEXT_SIZE];

    (void)state;
    assert_string_equal(log_text("base/debian-12", out), "base/debian-12");
    assert_string_equal(log_text("", out), "\"\"");
    assert_string_equal(log_text("two words", out), "\"two words\"");
    assert_string_equal(log_text("a=b", out), "\"a=b\"");
    assert_string_equal(log_text("say \"x\\\"", out), "\"say \\\"x\\\\\\\"\"");
    assert_string_equal(log_text("a\nb\x01", out), "\"a\\nb\\x01\"");
}

static void long_values_and_lines_are_cut(void **state)
{
    struct heard *heard = *state;
    char longer[2 * LOG_LINE_SIZE];
    char out[LOG_TEXT_SIZE];

    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    log_text(longer, out);
    assert_int_equal(strlen(out), LOG_TEXT_SIZE - 1);
    assert_int_equal(out[LOG_TEXT_SIZE - 2], '"');
    memset(longer, '"', LOG_TEXT_SIZE);
    assert_true(strlen(log_text(longer, out)) < LOG_TEXT_SIZE);
    log_event(LOG_INFO, "long", "x=%s y=%s", longer, "z");
    assert_int_equal(strlen(heard->last), LOG_LINE_SIZE - 1);
    assert_string_equal(heard->last + LOG_LINE_SIZE - 4, "...");
}

static void a_status_is_logged_with_its_words_and_code(void **state)
{
    struct heard *heard = *state;

    log_status(LOG_ERROR, "store.failed", alb_status_from_errno(ENOSPC, "writing a segment"),
               "segment=%d", 3);
    assert_string_equal(heard->last, "event=store.failed segment=3 what=\"writing a segment\" "
                                     "code=full errno=\"No space left on device\"");
    log_status(LOG_ERROR, "x", alb_fail(ALB_NOT_FOUND, "gone"), "%s", "a=1");
    assert_string_equal(heard->last, "event=x a=1 what=gone code=\"not found\"");
}

static void levels_have_words(void **state)
{
    enum log_level level = LOG_WARN;

    (void)state;
    assert_int_equal(log_level_parse("loud", &level).code, ALB_INVALID);
    assert_int_equal(log_level_parse("", &level).code, ALB_INVALID);
    assert_int_equal(level, LOG_WARN);
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        assert_false(alb_failed(log_level_parse(log_level_name((enum log_level)i), &level)));
        assert_int_equal(level, i);
    }
}

#define heard_test(f) cmocka_unit_test_setup_teardown(f, listen_anew, fall_silent)

int main(void)
{
    const struct CMUnitTest tests[] = {
        heard_test(an_event_is_a_line_of_pairs),
        heard_test(events_below_the_level_cost_nothing),
        heard_test(without_a_sink_nothing_happens),
        heard_test(a_value_cannot_begin_a_second_line),
        heard_test(a_text_is_quoted_only_when_it_needs_to_be),
        heard_test(long_values_and_lines_are_cut),
        heard_test(a_status_is_logged_with_its_words_and_code),
        heard_test(levels_have_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
