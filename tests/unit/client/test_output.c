/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_output.c – which stream a line goes to, how errors end, how progress reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/units.h"
#include "client/progress.h"
#include "client/table.h"

struct fixture {
    struct output o;
    char *out, *err; /* owned */
    size_t out_size, err_size;
};

static int set_up(void **state)
{
    struct fixture *f = xalloc(sizeof *f);

    output_init(&f->o, open_memstream(&f->out, &f->out_size),
                open_memstream(&f->err, &f->err_size));
    f->o.err_is_terminal = false;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    fclose(f->o.out);
    fclose(f->o.err);
    output_release(&f->o);
    free(f->out);
    free(f->err);
    free(f);
    return 0;
}

static const char *out_of(struct fixture *f)
{
    fflush(f->o.out);
    return f->out;
}

static const char *err_of(struct fixture *f)
{
    fflush(f->o.err);
    return f->err;
}

static void answers_and_explanations_go_to_different_streams(void **state)
{
    struct fixture *f = *state;

    output_say(&f->o, "the %s", "answer");
    output_note(&f->o, "a note");
    assert_string_equal(out_of(f), "the answer\n");
    assert_string_equal(err_of(f), "a note\n");
}

static void json_keeps_prose_away_and_tells_errors_twice(void **state)
{
    struct fixture *f = *state;

    f->o.json = true;
    output_say(&f->o, "prose");
    output_note(&f->o, "prose");
    assert_int_equal(output_fail(&f->o, ALB_REFUSED, "no: %d", 1), EXIT_REFUSED);
    assert_string_equal(
        out_of(f), "{\"event\":\"error\",\"code\":\"refused\",\"exit\":3,\"message\":\"no: 1\"}\n");
    assert_string_equal(err_of(f), "albedo: no: 1\n");
}

static void each_code_has_its_exit_code(void **state)
{
    static const struct {
        enum alb_code code;
        enum exit_code exit;
    } rows[] = {
        {ALB_OK, EXIT_DONE},
        {ALB_NOT_FOUND, EXIT_NOT_FOUND},
        {ALB_FULL, EXIT_FULL},
        {ALB_CORRUPT, EXIT_DAMAGED},
        {ALB_REFUSED, EXIT_REFUSED},
        {ALB_TIMEOUT, EXIT_UNREACHABLE},
        {ALB_CLOSED, EXIT_UNREACHABLE},
        {ALB_IO, EXIT_FAILED},
        {ALB_INVALID, EXIT_USAGE},
        {ALB_CONFLICT, EXIT_FAILED},
        {ALB_UNKNOWN, EXIT_FAILED},
        {ALB_BUG, EXIT_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(rows); i++)
        assert_int_equal(exit_code_of(rows[i].code), rows[i].exit);
}

static void a_status_says_where_and_why(void **state)
{
    struct fixture *f = *state;
    struct alb_status st = {ALB_FULL, ENOSPC, "writing a file"};

    assert_int_equal(output_fail_status(&f->o, st, "state %s", "/s"), EXIT_FULL);
    assert_string_equal(err_of(f), "albedo: state /s: writing a file: No space left on device\n");
}

static void a_line_never_shares_the_bar_s_line(void **state)
{
    struct fixture *f = *state;

    output_bar(&f->o, "[##]");
    output_note(&f->o, "note");
    output_bar(&f->o, "[###]");
    output_bar(&f->o, NULL);
    assert_string_equal(err_of(f), "[##]\r\033[Knote\n[###]\r\033[K");
}

static void warnings_are_held_back_when_an_error_will_say_it(void **state)
{
    struct fixture *f = *state;

    output_log(&f->o, LOG_WARN, "event=one");
    f->o.holds_warnings = true;
    output_log(&f->o, LOG_WARN, "event=two");
    output_log(&f->o, LOG_ERROR, "event=three");
    f->o.verbose = true;
    output_log(&f->o, LOG_DEBUG, "event=four");
    assert_string_equal(err_of(f), "event=one\nevent=three\nevent=four\n");
}

static void standard_output_that_cannot_be_written_is_an_error(void **state)
{
    struct fixture *f = *state;
    FILE *full = fopen("/dev/full", "w");
    FILE *was = f->o.out;

    assert_non_null(full);
    f->o.out = full;
    output_say(&f->o, "lost");
    assert_int_equal(output_finish(&f->o, EXIT_DONE), EXIT_FAILED);
    assert_int_equal(output_finish(&f->o, EXIT_REFUSED), EXIT_REFUSED);
    assert_non_null(strstr(err_of(f), "standard output"));
    f->o.out = was;
    fclose(full);
}

/* ---- progress ---- */

static const struct progress_figures half = {.done_bytes = 5000000,
                                             .total_bytes = 10000000,
                                             .done_items = 10,
                                             .total_items = 40,
                                             .has_sources = true,
                                             .wan_bytes = 1000000,
                                             .branch_bytes = 4000000};

static void progress_reads_as_a_bar_with_its_sources(void **state)
{
    struct fixture *f = *state;
    char text[PROGRESS_TEXT_SIZE];
    struct progress p;

    progress_begin(&p, &f->o, "fetching", 0);
    progress_show(&p, &half, NS_PER_S);
    progress_text(&p, &half, PROGRESS_TEXT_SIZE, text);
    assert_string_equal(text, "fetching [##########----------]  50 %  5.0 MB of 10.0 MB  10 of 40 "
                              "files  WAN 1.0 MB, branch 4.0 MB, here 0 B  5.0 MB/s  1.0s left");
}

static void progress_keeps_to_the_columns_there_are(void **state)
{
    struct fixture *f = *state;
    char text[PROGRESS_TEXT_SIZE];
    struct progress p;

    progress_begin(&p, &f->o, "fetching", 0);
    for (size_t columns = 0; columns < 120; columns++)
        assert_true(strlen(progress_text(&p, &half, columns, text)) <= columns);
}

static void progress_without_a_total_has_no_bar(void **state)
{
    struct fixture *f = *state;
    const struct progress_figures unknown = {.done_items = 7};
    char text[PROGRESS_TEXT_SIZE];
    struct progress p;

    progress_begin(&p, &f->o, "scanning", 0);
    assert_string_equal(progress_text(&p, &unknown, 100, text), "scanning  7 files");
}

static void lines_come_every_five_seconds_and_at_the_end(void **state)
{
    struct fixture *f = *state;
    struct progress p;
    size_t lines = 0;

    progress_begin(&p, &f->o, "fetching", 0);
    for (uint64_t ms = 0; ms <= 12000; ms += 100)
        progress_show(&p, &half, ms * NS_PER_MS);
    progress_end(&p, &half, 13 * NS_PER_S);
    for (const char *at = err_of(f); *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 3);
    assert_string_equal(out_of(f), "");
}

static void progress_as_json_is_a_document_a_second(void **state)
{
    struct fixture *f = *state;
    struct progress p;
    size_t lines = 0;

    f->o.json = true;
    progress_begin(&p, &f->o, "fetching", 0);
    for (uint64_t ms = 0; ms < 3000; ms += 10)
        progress_show(&p, &half, ms * NS_PER_MS);
    progress_end(&p, &half, 3 * NS_PER_S);
    for (const char *at = out_of(f); *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 3);
    assert_non_null(strstr(out_of(f), "\"event\":\"phase_done\""));
    assert_non_null(strstr(out_of(f), "\"wan_bytes\":1000000"));
    assert_string_equal(err_of(f), "");
}

/* ---- tables ---- */

static void a_table_is_as_wide_as_its_widest_cell(void **state)
{
    static const char document[] =
        "{\"layers\":[{\"name\":\"base/debian-12\",\"bytes\":1500,\"at\":0,\"up\":true},"
        "{\"name\":\"a\\u001b[31m\",\"bytes\":12000000,\"up\":1.0047999},{\"at\":1763769600}]}";
    static const struct column columns[] = {{"LAYER", "name", CELL_TEXT},
                                            {"SIZE", "bytes", CELL_SIZE},
                                            {"MADE", "at", CELL_TIME},
                                            {"UP", "up", CELL_VALUE}};
    struct fixture *f = *state;
    struct json_doc *d;

    assert_int_equal(json_doc_parse(document, sizeof document - 1, &d).code, ALB_OK);
    table_print(&f->o, d, "layers", columns, ALB_COUNT(columns));
    assert_string_equal(out_of(f), "LAYER              SIZE  MADE                  UP\n"
                                   "base/debian-12   1.5 kB  -                     yes\n"
                                   "a?[31m          12.0 MB  -                     1.004\n"
                                   "-                   0 B  2025-11-22T00:00:00Z  -\n");
    json_doc_free(d);
}

static void a_person_is_not_told_that_a_loop_was_late(void **state)
{
    struct fixture *f = *state;

    output_log(&f->o, LOG_WARN, "event=loop.lag ms=108");
    assert_string_equal(err_of(f), "");
    f->o.verbose = true;
    output_log(&f->o, LOG_WARN, "event=loop.lag ms=108");
    assert_string_equal(err_of(f), "event=loop.lag ms=108\n");
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(answers_and_explanations_go_to_different_streams),
        ROW(json_keeps_prose_away_and_tells_errors_twice),
        ROW(each_code_has_its_exit_code),
        ROW(a_status_says_where_and_why),
        ROW(a_line_never_shares_the_bar_s_line),
        ROW(warnings_are_held_back_when_an_error_will_say_it),
        ROW(a_person_is_not_told_that_a_loop_was_late),
        ROW(standard_output_that_cannot_be_written_is_an_error),
        ROW(progress_reads_as_a_bar_with_its_sources),
        ROW(progress_keeps_to_the_columns_there_are),
        ROW(progress_without_a_total_has_no_bar),
        ROW(lines_come_every_five_seconds_and_at_the_end),
        ROW(progress_as_json_is_a_document_a_second),
        ROW(a_table_is_as_wide_as_its_widest_cell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
